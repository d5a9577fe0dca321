//! A process that was started: it is talked to and waited for, and ended where it has to be.
//!
//! One loop does all of it, on pipes that never block: a process that prints much before it reads,
//! or that does not read at all, holds nobody. When it has exited, all that it wrote is in the
//! pipes, which are emptied; their end is not waited for, as a daemon that was left behind may keep
//! them open (dmeventd does).

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, poll},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How often a running process is looked at, in milliseconds.
const POLL: u8 = 5;

/// How long a process may take to end when it is asked to, and once more when it was killed: one
/// that hangs in the kernel cannot be killed.
const GRACE: Duration = Duration::from_secs(5);

/// How much is read of a pipe, or written to it, at once.
const CHUNK: usize = 64 * 1024;

/// How a process came to its end.
#[derive(Debug)]
pub(crate) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It ran into its limit and was ended.
    TimedOut,
    /// We were told to stop, and it was ended.
    Stopped,
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Attended {
    pub(crate) end: End,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Writes `input` to a child, reads what it prints, and waits until it ends or has to.
///
/// # Errors
/// When its pipes or the child itself cannot be used; it is ended then.
pub(crate) fn attend(
    child: &mut Child,
    input: &str,
    limit: Duration,
    to_stop: impl Fn() -> bool,
) -> io::Result<Attended> {
    let mut pipes = Pipes::default();
    let end = pipes.open(child, input).and_then(|()| follow(child, &mut pipes, limit, to_stop));
    if !matches!(end, Ok(End::Exited(_))) {
        kill(child, &mut pipes);
    }
    let end = end?;
    Ok(Attended { end, stdout: pipes.stdout.rest(), stderr: pipes.stderr.rest() })
}

fn follow(
    child: &mut Child,
    pipes: &mut Pipes<'_>,
    limit: Duration,
    to_stop: impl Fn() -> bool,
) -> io::Result<End> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        if to_stop() {
            return Ok(End::Stopped);
        }
        if begun.elapsed() >= limit {
            return Ok(End::TimedOut);
        }
        pipes.turn()?;
    }
}

/// Ends a child and all that it started: politely, then not. One that hangs in the kernel is left.
fn kill(child: &mut Child, pipes: &mut Pipes<'_>) {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let _ = killpg(group, signal);
        if within(GRACE, pipes, || !matches!(child.try_wait(), Ok(None))) {
            return;
        }
    }
    tracing::warn!("process {group} hangs in the kernel and cannot be killed; it is left behind");
}

/// Whether it is `over` in this time.
fn within(time: Duration, pipes: &mut Pipes<'_>, mut over: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + time;
    loop {
        if over() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        // It may have to tell something before it can end.
        let _ = pipes.turn();
    }
}

/// Our ends of a child's pipes.
#[derive(Default)]
struct Pipes<'i> {
    stdin: Option<(File, &'i [u8])>,
    stdout: Collected,
    stderr: Collected,
}

impl<'i> Pipes<'i> {
    fn open(&mut self, child: &mut Child, input: &'i str) -> io::Result<()> {
        self.stdout.pipe = child.stdout.take().map(|pipe| unblocked(pipe.into())).transpose()?;
        self.stderr.pipe = child.stderr.take().map(|pipe| unblocked(pipe.into())).transpose()?;
        let stdin = child.stdin.take().map(|pipe| unblocked(pipe.into())).transpose()?;
        self.stdin = stdin.map(|pipe| (pipe, input.as_bytes()));
        Ok(())
    }

    /// Waits a moment for the pipes, and reads and writes what can be.
    fn turn(&mut self) -> io::Result<()> {
        let outputs = [&self.stdout, &self.stderr].into_iter().filter_map(|output| output.pipe.as_ref());
        let mut fds: Vec<_> = outputs.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
        fds.extend(self.stdin.iter().map(|(pipe, _)| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        if fds.is_empty() || poll(&mut fds, POLL).is_err() {
            thread::sleep(Duration::from_millis(POLL.into()));
        }
        self.stdout.read(CHUNK);
        self.stderr.read(CHUNK);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let Some((pipe, left)) = &mut self.stdin else { return Ok(()) };
        match pipe.write(&left[..left.len().min(CHUNK)]) {
            Ok(n) => *left = &left[n..],
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                // A command that does not read its input to the end ends with its own message.
                io::ErrorKind::BrokenPipe => *left = &[],
                _ => return Err(error),
            },
        }
        if left.is_empty() {
            self.stdin = None;
        }
        Ok(())
    }
}

fn unblocked(pipe: OwnedFd) -> io::Result<File> {
    let flags = OFlag::from_bits_retain(fcntl(&pipe, FcntlArg::F_GETFL)?);
    fcntl(&pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(pipe.into())
}

/// What was read of a pipe so far; the pipe is gone when it has come to its end.
#[derive(Default)]
struct Collected {
    pipe: Option<File>,
    bytes: Vec<u8>,
}

impl Collected {
    /// Reads what is there, `most` bytes at most.
    fn read(&mut self, most: usize) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.take(most.try_into().unwrap_or(u64::MAX)).read_to_end(&mut self.bytes) {
            Ok(n) if n == most => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => self.pipe = None,
        }
    }

    /// All that a process had printed when it ended. Whoever still has the pipe may go on to write:
    /// no more is read than fits into a pipe, as more cannot have been in it.
    fn rest(mut self) -> String {
        let room = self.pipe.as_ref().and_then(|pipe| fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok());
        self.read(room.and_then(|room| usize::try_from(room).ok()).unwrap_or(CHUNK));
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::{Cmd, CommandError, Runner, System, Tool};

    fn shell(script: &str) -> Cmd {
        Tool::Driver.cmd().args(["sh", "-c", script])
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nobody may read before the process has exited")]
    fn all_that_was_written_before_the_exit_is_read_though_somebody_keeps_the_pipe() {
        for (script, bytes) in [
            ("head -c 60000 /dev/zero", 60_000),
            ("sleep 20 & head -c 60000 /dev/zero", 60_000),
            ("yes &", 0),
        ] {
            let mut child = Command::new("sh")
                .args(["-c", script])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.wait().unwrap();
            let attended = attend(&mut child, "", Duration::from_mins(1), || false).unwrap();
            assert!(matches!(attended.end, End::Exited(status) if status.success()));
            assert!(attended.stdout.len() >= bytes, "{script}: {}", attended.stdout.len());
        }
    }

    #[test]
    fn a_daemon_that_is_left_holds_nobody() {
        let output = System::default().run(&shell("sleep 20 & echo done; echo said >&2")).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("done\n", "said\n"));
    }

    #[test]
    fn who_prints_much_before_reading_gets_all_its_input() {
        let cmd = shell("head -c 300000 /dev/zero; cat").stdin("x".repeat(300_000));
        let output = System::default().run(&cmd).unwrap();
        assert_eq!(output.stdout.len(), 600_000);
        assert!(output.stdout.ends_with("xx"));
        let ignored = shell("exit 3").stdin("x".repeat(300_000)).also_ok(3);
        assert_eq!(System::default().run(&ignored).unwrap().status, 3);
        assert_eq!(System::default().run(&shell("cat").stdin("")).unwrap().stdout, "");
    }

    #[test]
    fn who_never_reads_runs_into_its_limit_and_what_it_said_is_kept() {
        let cmd = shell("echo out; echo err >&2; exec sleep 1000").stdin("x".repeat(300_000));
        let error = System::default().run(&cmd.time_limit(Duration::from_secs(2))).unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
        assert_eq!(error.outputs(), Some(("out\n", "err\n")));
    }

    #[test]
    fn who_does_not_hear_that_it_is_to_end_is_killed() {
        let cmd =
            shell("trap '' TERM; echo up; while :; do sleep 0.1; done").time_limit(Duration::from_secs(1));
        let error = System::default().run(&cmd).unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn who_cannot_be_killed_is_not_waited_for() {
        let mut asked = 0;
        assert!(!within(Duration::from_secs(1), &mut Pipes::default(), || {
            asked += 1;
            false
        }));
        assert!(asked > 1);
        assert!(within(GRACE, &mut Pipes::default(), || true));
    }
}
