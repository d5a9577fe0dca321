//! One run: from the arguments to the exit status.
//!
//! The statuses are those of the original: 0, 255 for any failure with `Unexpected error` and the
//! reason on standard error, 2 for wrong usage. A panic is a failure like any other: what was
//! mounted is unmounted while the stack unwinds, and the report is written.

use std::{
    any::Any,
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::ExitCode,
};

use bareon_host::namespace::{self, Entered};

use super::{
    App, Context, Failure, Invocation, Program, Settings,
    args::{self, Called, Task},
    generate,
    log::{FAILURE, Log},
    output,
    progress::Bars,
    report::{End, Report},
    settings::{self, CONFIG_FILE, Resolved, SettingsError},
    signals,
};

/// The status of a failure.
const FAILED: u8 = 255;

/// The status of wrong usage.
const USAGE: u8 = 2;

/// Does what `arguments` (the program's name first) say, by means of `app`.
pub fn main<P: Program>(arguments: impl IntoIterator<Item = OsString>, app: App<P::Command>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let mut json = false;
    let result = guarded(|| {
        let called = args::parse::<P>(arguments.clone(), env::vars_os()).map_err(Ended::Answered)?;
        json = called.json;
        perform::<P>(called, redacted(&arguments), app)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Answered(answer)) => {
            // Also help and version; a reader that went away is no failure.
            let _ = answer.print();
            ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(USAGE))
        }
        Err(Ended::Elsewhere(code)) => code,
        Err(Ended::Usage(message)) => {
            output::complain(&format!("error: {message}\n\nFor more information, try '--help'."));
            ExitCode::from(USAGE)
        }
        Err(Ended::Failed(failure)) => {
            if json {
                // Standard error says the same, should standard output be gone.
                let _ = output::print(&format!("{}\n", serde_json::json!({ "error": failure })));
            }
            output::complain(&format!("Unexpected error\n{failure}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Does `work`; a panic is a failure.
fn guarded<E: From<Failure>>(work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    result.unwrap_or_else(|payload| Err(panicked(payload.as_ref()).into()))
}

/// How a run ended that did not succeed.
enum Ended {
    Answered(clap::Error),
    Usage(String),
    Failed(Failure),
    /// In namespaces of its own, where all has been told.
    Elsewhere(ExitCode),
}

impl<E: Into<Failure>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn perform<P: Program>(
    called: Called<P::Command>,
    command_line: Vec<String>,
    app: App<P::Command>,
) -> Result<(), Ended> {
    if let Task::App(command) = &called.task
        && P::apart(command)
        && let Entered::Ended(code) = namespace::enter()?
    {
        return Err(Ended::Elsewhere(code));
    }
    let (settings, bars) = match called.task {
        Task::Completions(shell) => return Ok(output::print(&generate::completions::<P>(shell))?),
        Task::Man => return Ok(output::print(&generate::man::<P>()?)?),
        Task::Sample => return Ok(output::print(&generate::sample())?),
        Task::App(_) => set_up::<P>(&called)?,
    };
    let Task::App(command) = called.task else { return Ok(()) };
    let invocation = Invocation { command, settings, json: called.json };
    if P::runs(&invocation.command) {
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!("{} {version}, called as {}", P::ABOUT.name, command_line.join(" "));
    }
    let context = Context { report: Report::new(command_line), bars };
    let path = invocation.settings.report.as_deref();
    Ok(reported(path, &context.report, || app(&invocation, &context))?)
}

/// Makes the settings, starts the log and catches signals.
fn set_up<P: Program>(called: &Called<P::Command>) -> Result<(Settings, Bars), Ended> {
    let resolved = settings::resolve(&called.given, Path::new(CONFIG_FILE), P::ABOUT.of, called.driver);
    let Resolved { settings, warnings, remarks } = match resolved {
        Err(error @ SettingsError::Wrong { usage: true, .. }) => return Err(Ended::Usage(error.to_string())),
        other => other?,
    };
    let bars = Bars::new(io::stderr().is_terminal());
    Log::new(&settings, &called.program, &bars)?.install();
    panic::set_hook(Box::new(|info| tracing::error!("{info}")));
    signals::catch()?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    for remark in remarks {
        tracing::debug!("{remark}");
    }
    Ok((settings, bars))
}

/// Does `work` and writes the report to `path`, if any, however that ended.
fn reported(
    path: Option<&Path>,
    report: &Report,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let result = logged(guarded(work));
    let Some(path) = path else { return result };
    let end = match &result {
        Ok(()) => End::Success,
        Err(error) => End::Failure { error: error.clone(), signal: signals::received().map(str::to_owned) },
    };
    let written = report
        .finish(end)
        .write(path)
        .map_err(|error| Failure::new(format!("writing the report {}: {error}", path.display())));
    // The first error wins, the later one is logged.
    let written = logged(written);
    result.and(written)
}

fn logged(result: Result<(), Failure>) -> Result<(), Failure> {
    if let Err(failure) = &result {
        tracing::error!(target: FAILURE, "Unexpected error: {failure}");
    }
    result
}

fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Failure::new(format!(
        "internal error: {text}; this is a fault of the program, please report it with its log"
    ))
}

/// The command line without the value of `input_data`, which may hold passwords.
fn redacted(arguments: &[OsString]) -> Vec<String> {
    const HIDDEN: &str = "(not shown)";
    let mut shown = Vec::new();
    let mut hide = false;
    for argument in arguments {
        let argument = argument.to_string_lossy().into_owned();
        let (name, value) = argument.split_once('=').map_or((argument.as_str(), None), |(n, v)| (n, Some(v)));
        let secret = name.replace('_', "-") == "--input-data";
        shown.push(match (hide, secret, value) {
            (true, _, _) => HIDDEN.into(),
            (false, true, Some(_)) => format!("{name}={HIDDEN}"),
            _ => argument.clone(),
        });
        hide = !hide && secret && value.is_none();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report;

    #[test]
    fn the_document_on_the_command_line_is_not_shown() {
        let shown = |line: &[&str]| redacted(&line.iter().map(OsString::from).collect::<Vec<_>>()).join(" ");
        assert_eq!(shown(&["p", "--input-data", "s3cret", "plan"]), "p --input-data (not shown) plan");
        assert_eq!(shown(&["p", "--input_data=s3=cret", "-d"]), "p --input_data=(not shown) -d");
        assert_eq!(shown(&["p", "--input_data_file", "f"]), "p --input_data_file f");
    }

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        let payload = panic::catch_unwind(|| std::panic::panic_any("broken")).unwrap_err();
        assert!(panicked(payload.as_ref()).message.starts_with("internal error: broken; "));
    }

    #[test]
    fn a_panic_anywhere_is_a_failure() {
        let Err(Ended::Failed(failure)) = guarded(|| -> Result<(), Ended> { panic!("broken") }) else {
            panic!("no failure");
        };
        assert!(failure.message.starts_with("internal error: broken; "), "{failure}");
    }

    #[test]
    fn however_a_run_ends_its_report_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        for end in [None, Some("refused"), Some("internal error: broken")] {
            let work = || match end {
                None => Ok(()),
                Some("refused") => Err(Failure::new("refused")),
                Some(_) => panic!("broken"),
            };
            let report = Report::new(vec!["p".into()]);
            let step = report.step_started("partition", "look");
            report.step_ended(step, None);
            let result = reported(Some(&path), &report, work);
            let document: report::Document = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(document.steps.len(), 1);
            match (end, document.end) {
                (None, End::Success) => assert!(result.is_ok()),
                (Some(text), End::Failure { error, signal: None }) => {
                    assert!(error.message.starts_with(text), "{error}");
                    assert_eq!(result.unwrap_err(), error);
                }
                (_, end) => panic!("{end:?}"),
            }
        }
    }

    #[test]
    fn a_report_that_cannot_be_written_fails_a_run_that_succeeded() {
        let path = Path::new("/nonexistent/r.json");
        let error = reported(Some(path), &Report::new(Vec::new()), || Ok(())).unwrap_err();
        assert!(error.message.starts_with("writing the report /nonexistent/r.json: "), "{error}");
    }
}
