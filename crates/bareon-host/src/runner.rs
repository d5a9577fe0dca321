//! The one door through which a process is started.
//!
//! A command gets no input but its own, a fixed `PATH`, `LC_ALL=C` and a process group of its own.
//! Its two outputs are read by two threads: a daemon that it leaves behind and that keeps the pipes
//! open (dmeventd does) cannot hold us. At its time limit, or when [`cancel`] was called, the whole
//! group is ended. Every command is logged with its line, status, milliseconds and outputs.

use std::{
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{Cmd, Tool};

/// Where programs are looked for, on this system and in a chroot.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(5);

/// How long a command that is to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long outputs are still read after a command ended, should a process it left hold them.
const LINGER: Duration = Duration::from_millis(200);

/// What a command that succeeded left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status: 0 or one that the command accepts.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command that could not be started, or that ended badly.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program is not there.
    #[error("`{cmd}` cannot run: {program} is not in PATH; install the package {deb} (rpm: {rpm})")]
    Missing {
        /// The command, to paste.
        cmd: String,
        /// The program's name.
        program: &'static str,
        /// The Debian package.
        deb: &'static str,
        /// The RPM package.
        rpm: &'static str,
    },
    /// It could not be started, or not be talked to.
    #[error("starting `{cmd}`")]
    Start {
        /// The command, to paste.
        cmd: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It ended with a status that means failure. `stderr` is whole; the message shows its end.
    #[error("`{cmd}` ended with {status}{}", last_words(.stderr))]
    Failed {
        /// The command, to paste.
        cmd: String,
        /// How it ended.
        status: ExitStatus,
        /// All of its standard error.
        stderr: String,
    },
    /// It ran into its time limit and was ended.
    #[error("`{cmd}` was ended after {} s: it did not come to an end; is the disk or controller stuck?", .limit.as_secs())]
    TimedOut {
        /// The command, to paste.
        cmd: String,
        /// Its limit.
        limit: Duration,
    },
    /// The run was told to stop (SIGTERM, SIGINT).
    #[error("`{cmd}` was stopped, because the run was told to stop")]
    Cancelled {
        /// The command, to paste.
        cmd: String,
    },
}

/// The last lines of what a command said, as the end of a message; they mostly say why.
fn last_words(stderr: &str) -> String {
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    match lines.len() {
        0 => String::new(),
        n => format!(": {}", lines[n.saturating_sub(3)..].join(" / ")),
    }
}

/// Something that runs commands: the machine, or a fake of it.
pub trait Runner {
    /// Runs `cmd` to its end.
    ///
    /// # Errors
    /// When it cannot start, ends with a status that it does not accept, or is ended by us.
    fn run(&self, cmd: &Cmd) -> Result<Output, CommandError>;

    /// Whether the program is installed.
    fn has(&self, tool: Tool) -> bool;
}

/// Called after each command with its line, its milliseconds and whether it succeeded.
pub type Observer = dyn Fn(&Cmd, Duration, Result<&Output, &CommandError>) + Send + Sync;

/// The machine that this program runs on.
#[derive(Clone, Default)]
pub struct System {
    observer: Option<Arc<Observer>>,
}

impl System {
    /// The machine, with somebody who is told of every command (a report is written from it).
    pub fn observed(observer: Arc<Observer>) -> Self {
        Self { observer: Some(observer) }
    }
}

static CANCELLED: AtomicBool = AtomicBool::new(false);
static SHIELDED: AtomicBool = AtomicBool::new(false);

/// Ends the command that runs now and refuses all later ones; safe to call from a signal handler.
pub fn cancel() {
    CANCELLED.store(true, Ordering::SeqCst);
}

/// Whether [`cancel`] was called.
pub fn cancelled() -> bool {
    CANCELLED.load(Ordering::SeqCst)
}

/// While the returned guard lives, commands run although [`cancel`] was called: for cleaning up.
pub fn shield() -> Shield {
    Shield(SHIELDED.swap(true, Ordering::SeqCst))
}

/// See [`shield`].
#[derive(Debug)]
pub struct Shield(bool);

impl Drop for Shield {
    fn drop(&mut self) {
        SHIELDED.store(self.0, Ordering::SeqCst);
    }
}

fn to_stop() -> bool {
    cancelled() && !SHIELDED.load(Ordering::SeqCst)
}

impl Runner for System {
    fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
        let begun = Instant::now();
        let result = execute(cmd);
        let took = begun.elapsed();
        log(cmd, took, &result);
        if let Some(observer) = &self.observer {
            observer(cmd, took, result.as_ref());
        }
        result
    }

    fn has(&self, tool: Tool) -> bool {
        find(tool.origin().program).is_some()
    }
}

fn log(cmd: &Cmd, took: Duration, result: &Result<Output, CommandError>) {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(output) => {
            tracing::debug!(status = output.status, ms, "ran: {cmd}");
            for line in output.stdout.lines().filter(|_| !cmd.is_private()) {
                tracing::trace!("stdout: {line}");
            }
            for line in output.stderr.lines() {
                tracing::trace!("stderr: {line}");
            }
        }
        Err(CommandError::Failed { status, stderr, .. }) => {
            tracing::debug!(%status, ms, "ran: {cmd}");
            for line in stderr.lines() {
                tracing::debug!("stderr: {line}");
            }
        }
        Err(error) => tracing::debug!(ms, "ran: {error}"),
    }
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

fn execute(cmd: &Cmd) -> Result<Output, CommandError> {
    let line = || cmd.to_string();
    if to_stop() {
        return Err(CommandError::Cancelled { cmd: line() });
    }
    let origin = cmd.tool().origin();
    let Some(program) = find(origin.program) else {
        return Err(CommandError::Missing {
            cmd: line(),
            program: origin.program,
            deb: origin.deb,
            rpm: origin.rpm,
        });
    };
    let start = |source| CommandError::Start { cmd: line(), source };
    let mut child = spawn(&program, cmd).map_err(start)?;
    if let (Some(text), Some(mut pipe)) = (cmd.input(), child.stdin.take()) {
        match pipe.write_all(text.as_bytes()) {
            // A command that does not read its input to the end ends with its own message.
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(start(e)),
            _ => {}
        }
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, cmd)?;
    let (stdout, stderr) = (stdout.text(), stderr.text());
    match status.code() {
        Some(code) if cmd.accepts(code) => Ok(Output { status: code, stdout, stderr }),
        _ => {
            // Some tools say what is wrong on their standard output.
            let stderr = if stderr.trim().is_empty() { stdout } else { stderr };
            Err(CommandError::Failed { cmd: line(), status, stderr })
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one door")]
fn spawn(program: &Path, cmd: &Cmd) -> io::Result<Child> {
    let mut command = std::process::Command::new(program);
    command
        .args(cmd.arguments())
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .envs(cmd.environment().iter().map(|(name, value)| (name, value)))
        .stdin(if cmd.input().is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn()
}

fn wait(child: &mut Child, cmd: &Cmd) -> Result<ExitStatus, CommandError> {
    let deadline = Instant::now() + cmd.limit();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(source) => return Err(CommandError::Start { cmd: cmd.to_string(), source }),
        }
        if to_stop() {
            end(child);
            return Err(CommandError::Cancelled { cmd: cmd.to_string() });
        }
        if Instant::now() >= deadline {
            end(child);
            return Err(CommandError::TimedOut { cmd: cmd.to_string(), limit: cmd.limit() });
        }
        thread::sleep(POLL);
    }
}

/// Ends a child and all that it started: politely, then not.
fn end(child: &mut Child) {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let _ = killpg(group, Signal::SIGTERM);
    let until = Instant::now() + GRACE;
    while Instant::now() < until {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        thread::sleep(POLL);
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
}

/// What a thread has read of a pipe so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let reader = pipe.map(|mut pipe| {
        let bytes = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..n]);
            }
        })
    });
    Collected { bytes, reader }
}

impl Collected {
    fn text(self) -> String {
        let until = Instant::now() + LINGER;
        if let Some(reader) = self.reader {
            while !reader.is_finished() && Instant::now() < until {
                thread::sleep(POLL);
            }
        }
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A status as a shell would give it; for tests and fakes.
pub fn status(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}
