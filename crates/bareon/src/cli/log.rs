//! The log: records of `tracing`, as lines whose form callers rely on.
//!
//! Fuel and others read progress from the log file by exact text, in lines that begin
//! `YYYY-MM-DD HH:MM:SS.mmm PID LEVEL name [-] `, as those of oslo.log do. A record of several lines
//! becomes several lines with that beginning. Each is written at once: the last one before a crash
//! is in the file.

use std::{
    fmt::{self, Write as _},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use super::{options::Settings, output, progress::Bars, syslog::Syslog, value::LogFormat};

/// The target of the last record of a failed run. Where the log goes to standard error as text, it
/// is left out there: the same stands below it, in the form that callers expect.
pub const FAILURE: &str = "bareon::failure";

/// The log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("opening the log file {}; does its directory exist?", .path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Where records go, and in which form.
#[derive(Debug)]
pub struct Log {
    format: LogFormat,
    level: LevelFilter,
    file: Option<File>,
    stderr: Option<Bars>,
    syslog: Option<Syslog>,
}

impl Log {
    /// The log that `settings` ask for; `program` names the file in `log_dir`.
    ///
    /// # Errors
    /// When the log file cannot be opened.
    pub fn new(settings: &Settings, program: &str, bars: &Bars) -> Result<Self, LogError> {
        let path = match (&settings.log_dir, &settings.log_file) {
            // An absolute file stays what it is.
            (Some(dir), Some(file)) => Some(dir.join(file)),
            (Some(dir), None) => Some(dir.join(format!("{program}.log"))),
            (None, file) => file.clone(),
        };
        let file = match path {
            Some(path) => Some(open(&path).map_err(|source| LogError { path, source })?),
            None => None,
        };
        let stderr = (file.is_none() || settings.use_stderr).then(|| bars.clone());
        let syslog = settings.use_syslog.then(|| Syslog::new(program, settings.syslog_log_facility));
        Ok(Self { format: settings.log_format, level: level(settings), file, stderr, syslog })
    }

    /// Sends all records of this process here from now on.
    pub fn install(self) {
        // Only a second call can fail; then the first log stays.
        let _ = tracing_subscriber::registry().with(self).try_init();
    }

    fn write(&self, record: &Record) {
        let text = match self.format {
            LogFormat::Text => record.lines(),
            LogFormat::Json => record.json(),
        };
        if let Some(mut file) = self.file.as_ref() {
            // Nobody is left to be told that the log cannot be written.
            let _ = file.write_all(text.as_bytes());
        }
        let repeated = record.target == FAILURE && self.format == LogFormat::Text;
        if let Some(bars) = self.stderr.as_ref().filter(|_| !repeated) {
            bars.beside(|| output::complain(text.trim_end_matches('\n')));
        }
        if let Some(syslog) = &self.syslog {
            syslog.send(record.level, &record.body());
        }
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    fs::OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn level(settings: &Settings) -> LevelFilter {
    match (settings.debug, settings.verbose) {
        (true, _) => LevelFilter::TRACE,
        (false, true) => LevelFilter::INFO,
        (false, false) => LevelFilter::WARN,
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // What libraries say at lower levels is about themselves.
        let limit = if metadata.target().starts_with("bareon") { self.level } else { LevelFilter::WARN };
        *metadata.level() <= limit
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.write(&Record::new(event));
    }
}

/// One record.
#[derive(Debug)]
struct Record {
    time: jiff::Zoned,
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, serde_json::Value)>,
}

impl Record {
    fn new(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut record = Self {
            time: jiff::Zoned::now(),
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut record);
        record
    }

    /// The level's name; a command's outputs (TRACE) are DEBUG to those who read the log.
    fn level(&self) -> &'static str {
        match self.level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        }
    }

    fn name(&self) -> String {
        self.target.replace("::", ".")
    }

    /// The message and its fields; behind a message of several lines they get a line of their own.
    fn body(&self) -> String {
        let mut body = self.message.clone();
        for (index, (name, value)) in self.fields.iter().enumerate() {
            body.push(if index == 0 && body.contains('\n') { '\n' } else { ' ' });
            let _ = match value {
                serde_json::Value::String(text) => write!(body, "{name}={text}"),
                other => write!(body, "{name}={other}"),
            };
        }
        body
    }

    fn lines(&self) -> String {
        let (level, name, pid) = (self.level(), self.name(), std::process::id());
        let head = format!("{} {pid} {level} {name} [-]", self.time.strftime("%Y-%m-%d %H:%M:%S%.3f"));
        let body = self.body();
        let mut lines = String::new();
        for line in body.split('\n') {
            let _ = writeln!(lines, "{head} {line}");
        }
        lines
    }

    fn json(&self) -> String {
        let fields: serde_json::Map<_, _> =
            self.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let record = serde_json::json!({
            "time": self.time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            "pid": std::process::id(),
            "level": self.level(),
            "name": self.name(),
            "message": self.message,
            "fields": fields,
        });
        format!("{record}\n")
    }

    fn add(&mut self, field: &Field, value: serde_json::Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn logged(settings: &Settings, work: impl FnOnce()) -> String {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { log_dir: Some(dir.path().into()), verbose: true, ..settings.clone() };
        let log = Log::new(&settings, "provision", &Bars::new(false)).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), work);
        fs::read_to_string(dir.path().join("provision.log")).unwrap()
    }

    fn debug() -> Settings {
        Settings { debug: true, ..Settings::default() }
    }

    /// Takes the beginning off a line, after a look at each part of it.
    fn rest(line: &str) -> (&str, &str, &str) {
        let (time, rest) = line.split_at(23);
        let digits: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(digits, "9999-99-99 99:99:99.999");
        let rest = rest.strip_prefix(&format!(" {} ", std::process::id())).unwrap();
        let (level, rest) = rest.split_once(' ').unwrap();
        let (name, rest) = rest.split_once(" [-] ").unwrap();
        (level, name, rest)
    }

    #[test]
    fn a_line_has_the_form_that_callers_rely_on() {
        let text = logged(&Settings::default(), || {
            tracing::info!(target: "bareon::steps::partitioning", "--- Partitioning disks (do_partitioning) ---");
            tracing::warn!(path = %"/dev/sda", n = 3, "odd");
            tracing::debug!("not this");
        });
        let lines: Vec<_> = text.lines().map(rest).collect();
        let want = ("INFO", "bareon.steps.partitioning", "--- Partitioning disks (do_partitioning) ---");
        assert_eq!(lines, [want, ("WARNING", "bareon.cli.log.tests", "odd path=/dev/sda n=3")]);
    }

    #[test]
    fn each_line_of_a_record_begins_alike_and_outputs_are_debug() {
        let text = logged(&debug(), || {
            tracing::debug!(ms = 5, "ran: sfdisk <<'END'\nlabel: gpt\nEND");
            tracing::trace!("stdout: x");
        });
        let lines: Vec<_> = text.lines().map(rest).map(|(level, _, text)| (level, text)).collect();
        let want = ["ran: sfdisk <<'END'", "label: gpt", "END", "ms=5", "stdout: x"];
        assert_eq!(lines, want.map(|text| ("DEBUG", text)));
    }

    #[test]
    fn libraries_are_heard_from_warnings_on_only() {
        let text = logged(&debug(), || {
            tracing::info!(target: "hyper::client", "connecting");
            tracing::error!(target: "hyper::client", "broken");
        });
        assert_eq!(text.lines().map(rest).collect::<Vec<_>>(), [("ERROR", "hyper.client", "broken")]);
    }

    #[test]
    fn json_is_one_object_a_line_with_fields_of_their_types() {
        let settings = Settings { log_format: LogFormat::Json, ..debug() };
        let text = logged(&settings, || tracing::debug!(status = 0, "ran: a\nb"));
        let record: serde_json::Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(record["level"], "DEBUG");
        assert_eq!(record["message"], "ran: a\nb");
        assert_eq!(record["fields"]["status"], 0);
        assert!(record["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn a_log_is_appended_to_and_a_missing_directory_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.log");
        fs::write(&path, "before\n").unwrap();
        open(&path).unwrap().write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nafter\n");
        let settings = Settings { log_file: Some("/nonexistent/p.log".into()), ..Settings::default() };
        let error = Log::new(&settings, "p", &Bars::new(false)).unwrap_err();
        assert_eq!(error.path, Path::new("/nonexistent/p.log"));
    }
}
