//! The one door through which a process is started.
//!
//! A command gets no input but its own, a fixed `PATH`, `LC_ALL=C` and a process group of its own.
//! At its time limit, or when [`cancel`] was called, the whole group is ended; when this program
//! is killed, the command is, too. Every command is logged with its line, status, milliseconds and
//! both outputs, unless it is [private](Cmd::private).

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    Cmd, Tool,
    cmd::without_credentials,
    orphan,
    process::{self, Attended, End},
};

/// Where programs are looked for, on this system and in a chroot.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    /// It ended with a status that means failure. The outputs are whole; the message shows the end
    /// of one.
    #[error("`{cmd}` ended with {status}{}", last_words(.stdout, .stderr, *.private))]
    Failed {
        /// The command, to paste.
        cmd: String,
        /// How it ended.
        status: ExitStatus,
        /// All of its standard output.
        stdout: String,
        /// All of its standard error.
        stderr: String,
        /// Whether what it printed is kept out of the message.
        private: bool,
    },
    /// It ran into its time limit and was ended.
    #[error("`{cmd}` was ended after {} s: it did not come to an end; is the disk or controller stuck?", .limit.as_secs())]
    TimedOut {
        /// The command, to paste.
        cmd: String,
        /// Its limit.
        limit: Duration,
        /// What it had printed to its standard output.
        stdout: String,
        /// What it had printed to its standard error.
        stderr: String,
    },
    /// The run was told to stop (SIGTERM, SIGINT).
    #[error("`{cmd}` was stopped, because the run was told to stop")]
    Cancelled {
        /// The command, to paste.
        cmd: String,
        /// What it had printed to its standard output.
        stdout: String,
        /// What it had printed to its standard error.
        stderr: String,
    },
}

impl CommandError {
    /// Standard output and standard error of a command that ran. They are not to be shown where the
    /// command is [private](Cmd::is_private).
    pub fn outputs(&self) -> Option<(&str, &str)> {
        match self {
            Self::Missing { .. } | Self::Start { .. } => None,
            Self::Failed { stdout, stderr, .. }
            | Self::TimedOut { stdout, stderr, .. }
            | Self::Cancelled { stdout, stderr, .. } => Some((stdout, stderr)),
        }
    }
}

/// The last lines of what a command said, as the end of a message; they mostly say why. Some tools
/// say it on their standard output.
fn last_words(stdout: &str, stderr: &str, private: bool) -> String {
    if private {
        return String::new();
    }
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<_> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
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

    /// Runs `cmd` to its end; what it reads on its standard input comes from `input`. A fake need not look at that.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_fed(&self, cmd: &Cmd, input: OwnedFd) -> Result<Output, CommandError> {
        drop(input);
        self.run(cmd)
    }

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
static SHIELDS: AtomicUsize = AtomicUsize::new(0);

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
    SHIELDS.fetch_add(1, Ordering::SeqCst);
    Shield(())
}

/// See [`shield`].
#[derive(Debug)]
pub struct Shield(());

impl Drop for Shield {
    fn drop(&mut self) {
        SHIELDS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a [`Shield`] lives.
pub fn shielded() -> bool {
    SHIELDS.load(Ordering::SeqCst) > 0
}

fn to_stop() -> bool {
    cancelled() && !shielded()
}

impl System {
    fn told(&self, cmd: &Cmd, input: Option<OwnedFd>) -> Result<Output, CommandError> {
        let begun = Instant::now();
        let result = execute(cmd, input);
        let took = begun.elapsed();
        log(cmd, took, &result);
        if let Some(observer) = &self.observer {
            observer(cmd, took, result.as_ref());
        }
        result
    }
}

impl Runner for System {
    fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
        self.told(cmd, None)
    }

    fn run_fed(&self, cmd: &Cmd, input: OwnedFd) -> Result<Output, CommandError> {
        self.told(cmd, Some(input))
    }

    fn has(&self, tool: Tool) -> bool {
        find(tool.origin().program).is_some()
    }
}

fn log(cmd: &Cmd, took: Duration, result: &Result<Output, CommandError>) {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let outputs = match result {
        Ok(output) => {
            tracing::debug!(status = output.status, ms, "ran: {cmd}");
            Some((output.stdout.as_str(), output.stderr.as_str()))
        }
        Err(error) => {
            if let CommandError::Failed { status, .. } = error {
                tracing::debug!(%status, ms, "ran: {cmd}");
            } else {
                tracing::debug!(ms, "ran: {error}");
            }
            error.outputs()
        }
    };
    let Some((stdout, stderr)) = outputs.filter(|_| !cmd.is_private()) else { return };
    for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
        for line in text.lines().map(without_credentials) {
            if result.is_ok() {
                tracing::trace!("{name}: {line}");
            } else {
                tracing::debug!("{name}: {line}");
            }
        }
    }
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

fn execute(cmd: &Cmd, input: Option<OwnedFd>) -> Result<Output, CommandError> {
    let line = || cmd.to_string();
    if to_stop() {
        return Err(CommandError::Cancelled { cmd: line(), stdout: String::new(), stderr: String::new() });
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
    let mut child = spawn(&program, cmd, input).map_err(start)?;
    let attended = process::attend(&mut child, cmd.input().unwrap_or_default(), cmd.limit(), to_stop);
    let Attended { end, stdout, stderr } = attended.map_err(start)?;
    if let End::Exited(status) = end
        && let Some(code) = status.code().filter(|code| cmd.accepts(*code))
    {
        return Ok(Output { status: code, stdout, stderr });
    }
    // What is read of a failure is read by people.
    let [stdout, stderr] = [stdout, stderr].map(|text| without_credentials(&text).into_owned());
    match end {
        End::Exited(status) => {
            Err(CommandError::Failed { cmd: line(), status, stdout, stderr, private: cmd.is_private() })
        }
        End::TimedOut => Err(CommandError::TimedOut { cmd: line(), limit: cmd.limit(), stdout, stderr }),
        End::Stopped => Err(CommandError::Cancelled { cmd: line(), stdout, stderr }),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one door")]
fn spawn(program: &Path, cmd: &Cmd, input: Option<OwnedFd>) -> io::Result<Child> {
    let nothing = || if cmd.input().is_some() { Stdio::piped() } else { Stdio::null() };
    let mut command = std::process::Command::new(program);
    command
        .args(cmd.arguments())
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .envs(cmd.environment().iter().map(|(name, value)| (name, value)))
        .stdin(input.map_or_else(nothing, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    orphan::prevent(&mut command);
    command.spawn()
}

/// A status as a shell would give it; for tests and fakes.
pub fn status(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Takes what is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// How `cmd` ends, with its message where it fails, and what is logged.
    fn logged(cmd: &Cmd) -> (Result<Output, CommandError>, String) {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        let result = tracing::subscriber::with_default(subscriber, || System::default().run(cmd));
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (result, String::from_utf8(bytes).unwrap())
    }

    fn shell(status: u8, out: &str, err: &str) -> Cmd {
        // Put together by the shell, so that the line of the command itself does not hold the words.
        let script = format!("printf '%s-%s' {out} out; printf '%s-%s' {err} err >&2; exit {status}");
        Tool::Driver.cmd().args(["sh", "-c", &script])
    }

    #[test]
    fn both_outputs_are_logged_however_a_command_ends() {
        let (result, log) = logged(&shell(0, "a", "b"));
        assert!(result.is_ok() && log.contains("stdout: a-out") && log.contains("stderr: b-err"), "{log}");
        let (result, log) = logged(&shell(3, "a", "b"));
        assert!(log.contains("stdout: a-out") && log.contains("stderr: b-err"), "{log}");
        let error = result.unwrap_err();
        assert_eq!(error.outputs(), Some(("a-out", "b-err")));
        assert!(error.to_string().ends_with("ended with exit status: 3: b-err"), "{error}");
    }

    #[test]
    fn what_is_said_on_standard_output_alone_is_in_the_message() {
        let cmd = Tool::Driver.cmd().args(["sh", "-c", "printf '%s-%s' a out; exit 3"]);
        let message = System::default().run(&cmd).unwrap_err().to_string();
        assert!(message.ends_with("exit status: 3: a-out"), "{message}");
    }

    #[test]
    fn a_command_is_fed_from_a_pipe() {
        let (reader, mut writer) = io::pipe().unwrap();
        let fed = std::thread::spawn(move || {
            System::default().run_fed(&Tool::Driver.cmd().arg("cat"), reader.into())
        });
        io::Write::write_all(&mut writer, b"through a pipe").unwrap();
        drop(writer);
        assert_eq!(fed.join().unwrap().unwrap().stdout, "through a pipe");
    }

    #[test]
    fn nothing_of_a_private_command_is_told() {
        for status in [0, 3] {
            let (result, log) = logged(&shell(status, "a", "b").private());
            let message = result.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(log.contains("ran: env sh"), "{log}");
            for text in [log, message] {
                assert!(!text.contains("a-out") && !text.contains("b-err"), "{text}");
            }
        }
    }
}
