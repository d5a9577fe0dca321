//! Arguments: what they may be, and what they were.
//!
//! The flags come from the table of [`options`](super::options), the commands from the [`Program`]. Every command takes
//! all flags, so that they may stand before and after its name; the ones after it win. oslo.config took
//! `--log_file` and `--log-file` alike, and callers mix the two: arguments are brought to one
//! spelling before they are read. A program that was called by one of the original's names does
//! what that one did.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, ArgMatches,
    builder::ValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;

use super::{
    options::{Group, OPTIONS, Opt},
    program::{About, Program},
    settings::{Flag, Given},
    value::Kind,
    words::Words,
};

/// What the arguments say; `C` are the commands of the program's application.
#[derive(Debug, Clone)]
pub struct Called<C> {
    /// The name that the program was called by.
    pub program: String,
    /// What to do.
    pub task: Task<C>,
    /// Values for options.
    pub given: Given,
    /// The data driver where nobody names one.
    pub driver: &'static str,
    /// Whether the answer is to be JSON.
    pub json: bool,
}

/// What the program was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task<C> {
    /// Something that the application does.
    App(C),
    /// To print a completion script.
    Completions(Shell),
    /// To print the manual page.
    Man,
    /// To print a sample configuration.
    Sample,
}

/// The commands that every program has.
const COMMANDS: [(&str, &str); 3] = [
    ("completions", "Print a completion script for a shell"),
    ("man", "Print the manual page"),
    ("sample", "Print a sample configuration file"),
];

/// All commands and options that are taken.
pub fn command<P: Program>() -> clap::Command {
    built::<P>(|_| true)
}

/// The commands and options of the program, without those that it takes as other programs have them.
pub fn own_command<P: Program>() -> clap::Command {
    built::<P>(|opt| opt.of.has(P::ABOUT.of))
}

fn built<P: Program>(takes: fn(&Opt) -> bool) -> clap::Command {
    let about = P::ABOUT;
    let with_options = |command, name| with_options::<P>(command, name, takes);
    let mut root = with_options(clap::Command::new(about.name), None)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about.does)
        .long_about(format!("{} {}", about.does_in_full, LAYERS))
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND");
    for (name, about) in about.commands.iter().chain(&COMMANDS) {
        root = root.subcommand(with_options(clap::Command::new(*name), Some(name)).about(*about));
    }
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(clap::value_parser!(Shell));
    P::single(root).mut_subcommand("completions", |command| command.arg(shell))
}

/// Where the options' values come from, for the long help.
const LAYERS: &str = "Every option can also be given in the environment (BAREON_LOG_FILE for --log-file) and in the \
     configuration file (log_file); flags come before the environment, and that before the file. Booleans are turned \
     off by --no and their name, such as --nodebug.";

fn with_options<P: Program>(
    command: clap::Command,
    name: Option<&str>,
    takes: fn(&Opt) -> bool,
) -> clap::Command {
    let mut command = command.args_override_self(true).arg(
        Arg::new("config-file")
            .long("config-file")
            .value_name("PATH")
            .value_parser(clap::value_parser!(PathBuf))
            .action(ArgAction::Append)
            .help("Configuration file, in place of /etc/bareon/bareon.conf; of several, later ones win"),
    );
    command = P::everywhere(command);
    for opt in OPTIONS.iter().filter(|opt| takes(opt)) {
        command = command.args(flags(opt, P::ABOUT, name));
    }
    command
}

/// The flag of an option; for a boolean the one that turns it off, too.
fn flags(opt: &'static Opt, about: &About, command: Option<&str>) -> Vec<Arg> {
    let hidden = opt.group == Group::Unused || !opt.of.has(about.of);
    let mut arg = Arg::new(opt.name)
        .long(opt.flag())
        .help(help(opt, opt.default_of(about.driver_of(command))))
        .hide(hidden)
        .hide_short_help(opt.group != Group::Everyday);
    if opt.group != Group::Everyday {
        arg = arg.help_heading(opt.group.heading());
    }
    match opt.name {
        "debug" => arg = arg.short('d'),
        "verbose" => arg = arg.short('v'),
        _ => {}
    }
    match opt.kind {
        Kind::Bool => {
            let off = Arg::new(off_id(opt)).long(format!("no{}", opt.flag())).action(ArgAction::SetTrue);
            let off = off.hide(true).overrides_with(opt.name);
            vec![arg.action(ArgAction::SetTrue).overrides_with(off_id(opt)), off]
        }
        Kind::Choice(words) if words.len() <= 4 => {
            let words = words.join("|");
            vec![arg.value_name(words).value_parser(ValueParser::string())]
        }
        kind => vec![arg.value_name(kind.placeholder()).value_parser(ValueParser::string())],
    }
}

/// What an option does and what it is when nobody says.
fn help(opt: &Opt, default: &str) -> String {
    let help = opt.help.trim_end_matches('.');
    match (opt.kind, default) {
        (_, "") | (Kind::Bool, "false") => help.to_owned(),
        (Kind::Bool, _) => format!("{help} [default; off by --no{}]", opt.flag()),
        (_, default) => format!("{help} [default: {default}]"),
    }
}

fn off_id(opt: &Opt) -> String {
    format!("no {}", opt.name)
}

/// Reads the arguments, the program's name first, and the variables of the environment.
///
/// # Errors
/// When they are wrong, and when only help or the version is asked for: the error says it all.
pub fn parse<P: Program>(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Called<P::Command>, clap::Error> {
    let command = command::<P>();
    let (program, arguments) = normalise(P::ABOUT, &command, arguments);
    let matches = command.try_get_matches_from(arguments).map_err(discreet::<P>)?;
    let words = Words::of(&matches);
    let mut given = Given { environment: environment(variables), ..Given::default() };
    if let Some((_, path)) = given.environment.iter().find(|(name, _)| name == CONFIG_VARIABLE)
        && !path.is_empty()
    {
        given.config_files.push(path.into());
    }
    given.environment.retain(|(name, _)| name != CONFIG_VARIABLE);
    let named_by_environment = given.config_files.len();
    collect(&matches, &mut given);
    if let Some((_, inner)) = matches.subcommand() {
        collect(inner, &mut given);
    }
    if given.config_files.len() > named_by_environment {
        given.config_files.drain(..named_by_environment);
    }
    let task = match matches.subcommand() {
        Some(("completions", inner)) => Task::Completions(*inner.get_one("shell").unwrap_or(&Shell::Bash)),
        Some(("man", _)) => Task::Man,
        Some(("sample", _)) => Task::Sample,
        _ => Task::App(P::command(&words).map_err(conflict::<P>)?),
    };
    let json = words.switch("json");
    if json && matches!(&task, Task::App(command) if P::runs(command)) {
        return Err(conflict::<P>(
            "--json only goes with commands that answer something, as plan does, or with --dry-run",
        ));
    }
    Ok(Called { program, task, given, driver: P::ABOUT.driver_of(words.command()), json })
}

/// Names the configuration file in the environment.
const CONFIG_VARIABLE: &str = "BAREON_CONFIG_FILE";

fn conflict<P: Program>(message: &str) -> clap::Error {
    command::<P>().error(ErrorKind::ArgumentConflict, message)
}

/// Takes over the options that stand before, or after, the command's name.
fn collect(matches: &ArgMatches, given: &mut Given) {
    for opt in OPTIONS {
        let mut flag = |value: String| given.flags.push(Flag { name: opt.name, value });
        if opt.kind == Kind::Bool {
            if matches.get_flag(opt.name) {
                flag("true".into());
            } else if matches.get_flag(&off_id(opt)) {
                flag("false".into());
            }
        } else if let Some(value) = matches.get_one::<String>(opt.name) {
            flag(value.clone());
        }
    }
    let files = matches.get_many::<PathBuf>("config-file").into_iter().flatten().cloned();
    given.config_files.extend(files);
}

/// The variables that name options: ours, and those that others know, too.
fn environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let all = variables.into_iter().map(|(name, value)| (text(name), text(value)));
    let known = |name: &str| {
        name.starts_with("BAREON_") || OPTIONS.iter().any(|opt| opt.foreign_variable() == Some(name))
    };
    let mut ours: Vec<_> = all.filter(|(name, _)| known(name)).collect();
    // What others know stands behind, and so first.
    ours.sort_by_key(|(name, _)| (name.starts_with("BAREON_"), name.clone()));
    ours
}

/// The name that the program was called by, and the arguments in one spelling.
///
/// A value is joined to its flag, `--name=value`, so that it may begin with a dash as a YAML document
/// does. One that is itself a flag is not: who writes `--report --dry-run` forgot a value.
fn normalise(
    about: &About,
    command: &clap::Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> (String, Vec<OsString>) {
    let mut arguments = arguments.into_iter();
    let path = arguments.next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or(OsStr::new(about.name)).to_string_lossy().into_owned();
    let mut normal = vec![about.name.into()];
    normal.extend(
        about.names.iter().find(|(program, _)| *program == name).map(|(_, command)| (*command).into()),
    );
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            normal.push(argument);
            normal.extend(arguments);
            break;
        }
        let mut argument = dashed(argument);
        if takes_value(command, &argument)
            && let Some(value) = arguments.next_if(|next| !is_flag(command, next))
        {
            argument.push("=");
            argument.push(value);
        }
        normal.push(argument);
    }
    (name, normal)
}

/// Whether `argument` is a long flag whose value stands in the next one.
fn takes_value(command: &clap::Command, argument: &OsStr) -> bool {
    long_flag(command, argument).is_some_and(|flag| flag.get_action().takes_values())
}

/// Whether `argument` is one of our flags, or the end of all flags.
fn is_flag(command: &clap::Command, argument: &OsStr) -> bool {
    let name = dashed(argument.to_owned());
    let name = name.to_string_lossy();
    let name = name.split_once('=').map_or(&*name, |(name, _)| name);
    let short = ["--", "-d", "-v", "-h", "-V", "--help", "--version"];
    short.contains(&name) || long_flag(command, OsStr::new(name)).is_some()
}

fn long_flag<'c>(command: &'c clap::Command, argument: &OsStr) -> Option<&'c Arg> {
    let name = argument.to_str()?.strip_prefix("--")?;
    let own = command.get_subcommands().flat_map(clap::Command::get_arguments);
    command.get_arguments().chain(own).find(|arg| arg.get_long() == Some(name))
}

/// An error of usage without what may be a piece of a document: a document that lost its flag, or
/// its quotes, is taken for arguments, and it may hold passwords.
fn discreet<P: Program>(error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let named = match error.kind() {
        ErrorKind::UnknownArgument => text(ContextKind::InvalidArg).is_none_or(is_flag_like),
        // A mistyped command is shown with the one that was meant; any other word is not.
        ErrorKind::InvalidSubcommand => error.get(ContextKind::SuggestedSubcommand).is_some(),
        ErrorKind::InvalidValue => error.get(ContextKind::ValidValue).is_some(),
        _ => text(ContextKind::InvalidValue).is_none(),
    };
    if named {
        return error;
    }
    let message = match text(ContextKind::InvalidArg).filter(|_| error.kind() != ErrorKind::UnknownArgument) {
        Some(flag) => format!("the value of {flag} cannot be used; it is not shown, as it may be a secret"),
        None => "an argument is no flag and no command; it is not shown, as it may be a secret".to_owned(),
    };
    command::<P>().error(error.kind(), message)
}

/// Whether `argument` looks like the name of a flag and like nothing else.
fn is_flag_like(argument: &str) -> bool {
    let name = argument.strip_prefix("--").filter(|name| name.len() > 1);
    let name = name.or_else(|| argument.strip_prefix('-').filter(|name| name.len() == 1));
    name.is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.len() <= LONGEST_FLAG
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

/// No flag of ours, or mistyped one, is longer.
const LONGEST_FLAG: usize = 40;

/// A long option with dashes for the underscores of its name; its value stays as it is.
fn dashed(argument: OsString) -> OsString {
    if !argument.as_bytes().starts_with(b"--") {
        return argument;
    }
    let mut bytes = argument.into_vec();
    for byte in bytes.iter_mut().take_while(|byte| **byte != b'=') {
        if *byte == b'_' {
            *byte = b'-';
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Build, Builder, Command, Provision, Stage};

    fn parsed(line: &[&str]) -> Result<Called<Command>, clap::Error> {
        parse::<Provision>(line.iter().map(OsString::from), [])
    }

    fn task_of(line: &[&str]) -> Task<Command> {
        parsed(line).unwrap().task
    }

    fn plan(stage: Stage) -> Task<Command> {
        Task::App(Command::Plan { stage, hardware: None, image_metadata: None })
    }

    fn run(stage: Stage) -> Task<Command> {
        Task::App(Command::Run { stage, plan_id: None })
    }

    #[test]
    fn every_option_is_a_flag_in_both_spellings() {
        command::<Provision>().debug_assert();
        command::<Builder>().debug_assert();
        for opt in OPTIONS {
            let flags = |line: &[&str]| parsed(line).unwrap().given.flags;
            let is = |value: &str| vec![Flag { name: opt.name, value: value.into() }];
            for name in [opt.name.to_owned(), opt.flag()] {
                if opt.kind == Kind::Bool {
                    assert_eq!(flags(&["p", &format!("--{name}")]), is("true"));
                    assert_eq!(flags(&["p", &format!("--no{name}")]), is("false"));
                } else {
                    assert_eq!(flags(&["p", &format!("--{name}=a_b-c")]), is("a_b-c"));
                    assert_eq!(flags(&["p", &format!("--{name}"), "a_b"]), is("a_b"));
                }
            }
        }
    }

    #[test]
    fn what_stands_after_the_command_comes_later_and_wins() {
        let called =
            parsed(&["p", "--log_file=a", "--json", "plan", "--log-file=b", "--hardware", "h"]).unwrap();
        let values: Vec<_> = called.given.flags.iter().map(|flag| flag.value.as_str()).collect();
        assert_eq!(values, ["a", "b"]);
        assert!(called.json);
        let hardware = Some("h".into());
        assert_eq!(
            called.task,
            Task::App(Command::Plan { stage: Stage::All, hardware, image_metadata: None })
        );
    }

    #[test]
    fn a_dry_run_is_a_plan_of_what_would_run() {
        assert_eq!(task_of(&["p", "--dry-run"]), plan(Stage::All));
        assert_eq!(task_of(&["p", "--dry_run", "copyimage"]), plan(Stage::CopyImage));
        assert_eq!(task_of(&["p", "bootloader", "--dry-run"]), plan(Stage::BootLoader));
        assert_eq!(task_of(&["p", "plan"]), plan(Stage::All));
        assert_eq!(task_of(&["p"]), run(Stage::All));
    }

    #[test]
    fn a_name_of_the_original_is_its_command() {
        for (name, stage) in [
            ("/usr/bin/bareon-partition", Stage::Partition),
            ("bareon-configdrive", Stage::ConfigDrive),
            ("./bareon-copyimage", Stage::CopyImage),
            ("bareon-bootloader", Stage::BootLoader),
            ("provision", Stage::All),
            ("bareon-provision", Stage::All),
        ] {
            assert_eq!(task_of(&[name, "--nodebug"]), run(stage), "{name}");
        }
        let callback = Task::App(Command::IronicCallback { kernel_command_line: "/proc/cmdline".into() });
        assert_eq!(task_of(&["bareon-ironic-callback"]), callback);
        assert_eq!(parsed(&["/sbin/provision"]).unwrap().program, "provision");
    }

    #[test]
    fn the_builder_has_commands_names_and_drivers_of_its_own() {
        let build = |line: &[&str]| parse::<Builder>(line.iter().map(OsString::from), []);
        for (line, want, driver) in [
            (&["bareon-build-image"][..], Build::Run { force: false }, "nailgun_build_image"),
            (&["fa_build_image", "--force"], Build::Run { force: true }, "nailgun_build_image"),
            (&["p", "build", "--dry_run"], Build::Plan { force: false }, "nailgun_build_image"),
            (&["p", "plan", "--json"], Build::Plan { force: false }, "nailgun_build_image"),
            (&["p", "mkbootstrap"], Build::Run { force: false }, "bootstrap_build_image"),
            (&["/usr/bin/bareon-mkbootstrap", "-v"], Build::Run { force: false }, "bootstrap_build_image"),
            (
                &["fa_mkbootstrap", "--dry-run", "--json"],
                Build::Plan { force: false },
                "bootstrap_build_image",
            ),
        ] {
            let called = build(line).unwrap();
            assert_eq!((called.task, called.driver), (Task::App(want), driver), "{line:?}");
        }
        for line in
            [&["p", "partition"][..], &["p", "--json"], &["p", "--hardware=x"], &["p", "drivers", "--force"]]
        {
            assert_eq!(build(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
        // An option of the other program is taken, as the original took it.
        assert_eq!(build(&["p", "--grub_timeout=5"]).unwrap().given.flags.len(), 1);
    }

    #[test]
    fn a_configuration_file_on_the_command_line_replaces_the_one_in_the_environment() {
        let variables = || [("BAREON_CONFIG_FILE", "env"), ("BAREON_DEBUG", "1"), ("HOME", "/")];
        let files = |line: &[&str]| {
            let variables = variables().map(|(name, value)| (name.into(), value.into()));
            parse::<Provision>(line.iter().map(OsString::from), variables).unwrap().given
        };
        assert_eq!(files(&["p"]).config_files, [Path::new("env")]);
        assert_eq!(files(&["p"]).environment, [("BAREON_DEBUG".into(), "1".into())]);
        let both = ["p", "--config-file=a", "partition", "--config_file", "b"];
        assert_eq!(files(&both).config_files, [Path::new("a"), Path::new("b")]);
    }

    #[test]
    fn a_value_may_begin_with_dashes_and_stays_as_it_is() {
        for value in ["---\nks_meta: {a_b: 1}\n", "--a_b", "-", "-1", "a_b: c_d", "{}", ""] {
            for flag in ["--input-data", "--input_data"] {
                for line in [&["p", flag, value, "plan"][..], &["p", "plan", flag, value]] {
                    let called = parsed(line).unwrap();
                    assert_eq!(called.given.flags, [Flag { name: "input_data", value: value.into() }]);
                    assert_eq!(called.task, plan(Stage::All));
                }
            }
        }
        assert_eq!(parsed(&["p", "--config_file", "-a_b"]).unwrap().given.config_files, [Path::new("-a_b")]);
    }

    #[test]
    fn a_flag_is_no_value_of_the_one_before_it() {
        for next in ["--dry-run", "--dry_run", "--log-file=x", "--nodebug", "-d", "--help", "--"] {
            let error = parsed(&["p", "--report", next]).unwrap_err();
            assert!(
                error.to_string().contains("a value is required for '--report <PATH>'"),
                "{next}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_flag_is_not_shown() {
        for line in [
            &["p", "---\npassword: s3cret\n"][..],
            &["p", "--password: s3cret"],
            &["p", "--s3cret!"],
            &["p", "-s3cret"],
            &["p", "password: s3cret"],
            &["p", "s3cret"],
            &["p", "plan", "s3cret"],
            &["p", "--nosuch=s3cret"],
            &["p", "--debug=s3cret"],
            &["p", "--", "s3cret"],
            &["p", "-d=s3cret"],
        ] {
            let error = parsed(line).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains("s3cret"), "{line:?}: {error}");
        }
        let shown = |line: &[&str]| parsed(line).unwrap_err().to_string();
        assert!(shown(&["p", "--log-fiel=a"]).contains("'--log-fiel' found"));
        assert!(shown(&["p", "--log-fiel=a"]).contains("'--log-file'"));
        assert!(shown(&["p", "partiton"]).contains("'partition'"));
        assert!(shown(&["p", "completions", "bahs"]).contains("bash"));
    }

    #[test]
    fn what_is_no_long_option_stays_as_it_is() {
        for text in ["-a_b", "a_b", "-", ""] {
            assert_eq!(dashed(text.into()), text);
        }
        assert_eq!(dashed("--a_b=c_d=e_f".into()), "--a-b=c_d=e_f");
        let (_, arguments) = normalise(
            Provision::ABOUT,
            &command::<Provision>(),
            ["p", "--a_b", "--", "--a_b"].map(OsString::from),
        );
        assert_eq!(arguments, ["bareon-provision", "--a-b", "--", "--a_b"]);
    }
}
