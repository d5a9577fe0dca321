//! The report of a run: what was done when, by which commands, what was written, how it ended.
//!
//! It is for programs; the log is for people. It is written whole, under another name first, also
//! when the run failed or was told to stop, so that a reader never meets half of one.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bareon_host::{Cmd, CommandError, Output, cmd::without_credentials, runner::Observer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::{
    audit::Finding,
    steps::{backup::BackupReport, bootloader::BootReport},
};

/// How much of a command's outputs is kept, in bytes of the end of each.
const TAIL: usize = 4096;

/// What `--report` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Report of a run of bareon")]
pub struct Document {
    /// The version of the program.
    pub version: String,
    /// The command line; the value of `input_data` is left out.
    pub command_line: Vec<String>,
    /// When the run began (RFC 3339).
    pub started: String,
    /// When it ended (RFC 3339).
    pub ended: String,
    /// How long it took.
    pub ms: u64,
    /// The steps, in the order in which they began.
    pub steps: Vec<Step>,
    /// The commands, in the order in which they ended.
    pub commands: Vec<Command>,
    /// The images that were written.
    pub images: Vec<Image>,
    /// Where the metadata of the disks was saved, as it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupReport>,
    /// What was installed to boot from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_loader: Option<BootReport>,
    /// What the audit of the installed system found; nothing where none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Vec<Finding>>,
    /// How the run ended.
    pub end: End,
}

/// A step of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The stage that it belongs to: `partition`, `configdrive`, `copyimage`, `bootloader`.
    pub stage: String,
    /// What it does.
    pub name: String,
    /// When it began, in milliseconds since the run began.
    pub start_ms: u64,
    /// How long it took; none if it never ended.
    pub ms: Option<u64>,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A command of the operating system that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// The line, to paste into a shell.
    pub line: String,
    /// Its exit status; none if it never started, or was ended by a signal.
    pub status: Option<i32>,
    /// When it ended, in milliseconds since the run began.
    pub end_ms: u64,
    /// How long it took.
    pub ms: u64,
    /// The end of its standard output; empty where that may hold secrets.
    pub stdout: String,
    /// The end of its standard error; empty where that may hold secrets.
    pub stderr: String,
    /// What was wrong, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An image that was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Where it came from.
    pub uri: String,
    /// The block device that it went to.
    pub target: String,
    /// The size of its raw data.
    pub bytes: u64,
    /// How many bytes were fetched for it.
    #[serde(default)]
    pub bytes_fetched: u64,
    /// How many bytes of its raw data stood on the target already, and were left as they are.
    #[serde(default)]
    pub bytes_kept: u64,
    /// The MD5 sum of its raw data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// The SHA-256 sum of its raw data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How long it took.
    pub ms: u64,
    /// Bytes of raw data per second.
    pub bytes_per_second: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum End {
    /// All was done.
    Success,
    /// It failed.
    Failure {
        /// Why.
        error: Failure,
        /// The signal that told it to stop, where one did: `SIGTERM`, `SIGINT`, `SIGHUP`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
    },
}

/// The report of the run that is going on. Clones share it.
#[derive(Debug, Clone)]
pub struct Report {
    begun: Instant,
    document: Arc<Mutex<Document>>,
}

/// A step that was reported as begun.
#[derive(Debug, Clone, Copy)]
#[must_use = "a step that began has to end"]
pub struct StepId(usize);

impl Report {
    /// The report of a run that begins now, called as `command_line` says.
    pub fn new(command_line: Vec<String>) -> Self {
        let document = Document {
            version: env!("CARGO_PKG_VERSION").into(),
            command_line,
            started: now(),
            ended: String::new(),
            ms: 0,
            steps: Vec::new(),
            commands: Vec::new(),
            images: Vec::new(),
            backup: None,
            boot_loader: None,
            audit: None,
            end: End::Success,
        };
        Self { begun: Instant::now(), document: Arc::new(Mutex::new(document)) }
    }

    fn document(&self) -> MutexGuard<'_, Document> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_ms(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    /// Notes that a step of `stage` begins.
    pub fn step_started(&self, stage: &str, name: impl Into<String>) -> StepId {
        let start_ms = self.elapsed_ms();
        let mut document = self.document();
        document.steps.push(Step { stage: stage.into(), name: name.into(), start_ms, ms: None, error: None });
        StepId(document.steps.len() - 1)
    }

    /// Notes that a step ended, and why it failed where it did.
    pub fn step_ended(&self, StepId(index): StepId, error: Option<String>) {
        let now = self.elapsed_ms();
        if let Some(step) = self.document().steps.get_mut(index) {
            step.ms = Some(now.saturating_sub(step.start_ms));
            step.error = error;
        }
    }

    /// Notes an image that was written.
    pub fn image(&self, image: Image) {
        self.document().images.push(image);
    }

    /// Notes where the metadata of the disks was saved.
    pub fn backup(&self, saved: BackupReport) {
        self.document().backup = Some(saved);
    }

    /// Notes that the boot loader was installed.
    pub fn boot_loader(&self, installed: BootReport) {
        self.document().boot_loader = Some(installed);
    }

    /// Notes what an audit found, be it nothing.
    pub fn audit(&self, findings: Vec<Finding>) {
        self.document().audit = Some(findings);
    }

    /// Something to give to [`bareon_host::System::observed`]: it notes each command.
    pub fn observer(&self) -> Arc<Observer> {
        let report = self.clone();
        Arc::new(move |cmd, took, result| {
            let command = command(cmd, took, result, report.elapsed_ms());
            report.document().commands.push(command);
        })
    }

    /// The whole report of a run that ends now.
    pub fn finish(&self, end: End) -> Document {
        let mut document = self.document();
        document.ended = now();
        document.ms = self.elapsed_ms();
        document.end = end;
        document.clone()
    }
}

/// The JSON schema of a [`Document`].
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Document)
}

impl Document {
    /// Writes the report to `path`, under another name first.
    ///
    /// # Errors
    /// When the file cannot be written or renamed.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".bareon-report-").tempfile_in(dir)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        io::Write::write_all(&mut file, b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(dir)?.sync_all()
    }
}

fn command(cmd: &Cmd, took: Duration, result: Result<&Output, &CommandError>, end_ms: u64) -> Command {
    let mut command = Command {
        line: cmd.to_string(),
        status: None,
        end_ms,
        ms: millis(took),
        stdout: String::new(),
        stderr: String::new(),
        error: None,
    };
    let outputs = match result {
        Ok(output) => {
            command.status = Some(output.status);
            Some((output.stdout.as_str(), output.stderr.as_str()))
        }
        Err(error) => {
            if let CommandError::Failed { status, .. } = error {
                command.status = status.code();
            }
            command.error = Some(Failure::from(error).message);
            error.outputs()
        }
    };
    if let Some((stdout, stderr)) = outputs.filter(|_| !cmd.is_private()) {
        command.stdout = tail(&without_credentials(stdout));
        command.stderr = tail(&without_credentials(stderr));
    }
    command
}

fn tail(text: &str) -> String {
    let start = text.ceil_char_boundary(text.len().saturating_sub(TAIL));
    text[start..].to_owned()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use bareon_host::{Tool, runner};

    use super::*;

    fn failed(cmd: &Cmd) -> CommandError {
        CommandError::Failed {
            cmd: cmd.to_string(),
            status: runner::status(1),
            stdout: "tried".into(),
            stderr: "no".into(),
            private: cmd.is_private(),
        }
    }

    #[test]
    fn of_a_private_command_no_output_is_kept() {
        let cmd = Tool::Driver.cmd().arg("/x").private();
        let output = Output { status: 0, stdout: "tried".into(), stderr: "no".into() };
        let took = Duration::from_millis(5);
        for command in [command(&cmd, took, Ok(&output), 5), command(&cmd, took, Err(&failed(&cmd)), 5)] {
            assert_eq!((command.stdout.as_str(), command.stderr.as_str()), ("", ""));
            assert!(!command.error.unwrap_or_default().contains("no"));
        }
    }

    #[test]
    fn the_schema_in_contrib_is_that_of_reports() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/report.schema.json");
        let schema = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(path, &schema).unwrap();
        }
        let kept = fs::read_to_string(path).unwrap_or_default();
        assert!(kept == schema, "{path} is out of date; run this test with UPDATE_GENERATED=1");
    }

    #[test]
    fn a_report_holds_what_was_done_and_fits_its_schema() {
        let report = Report::new(vec!["bareon-provision".into()]);
        let step = report.step_started("partition", "write the table of /dev/sda");
        let cmd = Tool::Sfdisk.cmd().arg("/dev/sda");
        let failed = failed(&cmd);
        let observer = report.observer();
        let output = Output { status: 0, stdout: "done".into(), stderr: String::new() };
        observer(&cmd, Duration::from_millis(5), Ok(&output));
        observer(&cmd, Duration::from_millis(5), Err(&failed));
        report.step_ended(step, Some("failed".into()));
        report.image(Image { uri: "http://a/i".into(), bytes: 1, ..Image::default() });
        let error = Failure::new("failed");
        let document = report.finish(End::Failure { error, signal: Some("SIGTERM".into()) });

        assert_eq!(document.commands[0].status, Some(0));
        assert_eq!((document.commands[1].status, document.commands[1].stderr.as_str()), (Some(1), "no"));
        assert_eq!(document.commands[1].stdout, "tried");
        assert_eq!(document.commands[1].line, "sfdisk /dev/sda");
        assert!(document.steps[0].ms.is_some());
        let json = serde_json::to_value(&document).unwrap();
        assert_eq!(json["end"]["signal"], "SIGTERM");
        let schema = serde_json::to_value(schema()).unwrap();
        assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&json), "{json:#}");
        assert_eq!(serde_json::from_value::<Document>(json).unwrap(), document);
    }

    #[test]
    fn a_report_takes_the_place_of_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        fs::write(&path, "old").unwrap();
        Report::new(Vec::new()).finish(End::Success).write(&path).unwrap();
        let document: Document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(document.end, End::Success);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_a_long_output_the_end_is_kept() {
        let text = format!("{}é{}", "a".repeat(100), "b".repeat(TAIL - 1));
        assert_eq!(tail(&text), "b".repeat(TAIL - 1));
        assert_eq!(tail("short"), "short");
    }
}
