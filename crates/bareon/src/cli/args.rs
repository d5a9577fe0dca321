//! Arguments: what they may be, and what they were.
//!
//! The flags come from the table of [`options`](super::options). Every command takes all of them,
//! so that they may stand before and after its name; the ones after it win. oslo.config took
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
    Command, Stage,
    options::{Group, OPTIONS, Opt},
    settings::{Flag, Given},
    value::Kind,
};

/// The program's name in usage, manual and completions.
pub const PROGRAM: &str = "bareon-provision";

/// The names under which the program does one command.
const NAMES: [(&str, &str); 5] = [
    ("bareon-partition", "partition"),
    ("bareon-configdrive", "configdrive"),
    ("bareon-copyimage", "copyimage"),
    ("bareon-bootloader", "bootloader"),
    ("bareon-ironic-callback", "ironic-callback"),
];

/// What the arguments say.
#[derive(Debug, Clone)]
pub struct Called {
    /// The name that the program was called by.
    pub program: String,
    /// What to do.
    pub task: Task,
    /// Values for options.
    pub given: Given,
    /// Hardware recorded elsewhere.
    pub hardware: Option<PathBuf>,
    /// Image metadata recorded elsewhere.
    pub image_metadata: Option<PathBuf>,
    /// The id that the plan must have to be run.
    pub plan_id: Option<String>,
    /// The backup that is put back.
    pub backup: Option<PathBuf>,
    /// Whether the answer is to be JSON.
    pub json: bool,
}

/// What the program was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Something that the application does.
    App(Command),
    /// To tell Ironic that the ramdisk is up; the file is the kernel's command line.
    IronicCallback(PathBuf),
    /// To print a completion script.
    Completions(Shell),
    /// To print the manual page.
    Man,
    /// To print a sample configuration.
    Sample,
}

/// All commands and options.
pub fn command() -> clap::Command {
    let mut root = with_options(clap::Command::new(PROGRAM))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Provisions the machine it runs on from one input document")
        .long_about(
            "Provisions the machine it runs on from one input document. Without a command it does all: \
             partitions, config drive, images and boot loader. Every option can also be given in the \
             environment (BAREON_LOG_FILE for --log-file) and in the configuration file (log_file); flags come \
             before the environment, and that before the file. Booleans are turned off by --no and their \
             name, such as --nodebug.",
        )
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND");
    for (name, about) in COMMANDS {
        root = root.subcommand(with_options(clap::Command::new(*name)).about(*about));
    }
    let path = Arg::new("kernel-command-line")
        .long("kernel-command-line")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .default_value("/proc/cmdline")
        .hide(true);
    let backup = Arg::new("backup")
        .long("backup")
        .value_name("DIR")
        .required(true)
        .value_parser(clap::value_parser!(PathBuf))
        .help("The folder of the run in its backup_dir; the report names it, too");
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .help("Where data was written over since, put back what no such step met; without it, nothing is");
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(clap::value_parser!(Shell));
    root.mut_subcommand("ironic-callback", |command| command.arg(path))
        .mut_subcommand("undo", |command| command.arg(backup).arg(force))
        .mut_subcommand("completions", |command| command.arg(shell))
}

const COMMANDS: &[(&str, &str)] = &[
    ("partition", "Make partitions and file systems"),
    ("configdrive", "Make the config drive"),
    ("copyimage", "Write the images, and the config drive where there is one"),
    ("bootloader", "Install the boot loader"),
    ("audit-boot", "Look whether what is installed would boot, and touch nothing"),
    ("plan", "Show what a run would do, and touch nothing"),
    ("apply", "Do what was shown as the plan with that --plan-id, and nothing else"),
    ("hardware", "Show the block devices as input documents are matched to them"),
    ("explain-disk", "Show which disk of the machine each disk of the input is, and why no other"),
    ("schema", "Print the JSON schema of the data driver's input"),
    ("drivers", "List the data drivers"),
    ("undo", "Put back the tables and other metadata that a run saved before it overwrote them"),
    ("ironic-callback", "Tell Ironic that this ramdisk is up"),
    ("completions", "Print a completion script for a shell"),
    ("man", "Print the manual page"),
    ("sample", "Print a sample configuration file"),
];

fn with_options(mut command: clap::Command) -> clap::Command {
    command = command.args_override_self(true).arg(
        Arg::new("config-file")
            .long("config-file")
            .value_name("PATH")
            .value_parser(clap::value_parser!(PathBuf))
            .action(ArgAction::Append)
            .help("Configuration file, in place of /etc/bareon/bareon.conf; of several, later ones win"),
    );
    let switch = |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let file = |name: &'static str, help| {
        let parser = clap::value_parser!(PathBuf);
        Arg::new(name).long(name).value_name("PATH").value_parser(parser).help(help)
    };
    command = command
        .arg(switch("dry-run", "Show what would be done, and touch nothing; the same as the command plan"))
        .arg(switch("json", "Answer in JSON (plan, audit-boot, hardware, explain-disk, schema, drivers)"))
        .arg(file("hardware", "Plan for the hardware in this file, which `hardware --json` recorded"))
        .arg(file("image-metadata", "Plan with this image metadata, in place of the server's"))
        .arg(
            Arg::new("plan-id")
                .long("plan-id")
                .value_name("ID")
                .help("Run only if the plan still has this id, which `plan` showed"),
        );
    for opt in OPTIONS {
        command = command.args(flags(opt));
    }
    command
}

/// The flag of an option; for a boolean the one that turns it off, too.
fn flags(opt: &'static Opt) -> Vec<Arg> {
    let hidden = opt.group == Group::Unused;
    let mut arg = Arg::new(opt.name)
        .long(opt.flag())
        .help(help(opt))
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
pub fn help(opt: &Opt) -> String {
    let help = opt.help.trim_end_matches('.');
    match (opt.kind, opt.default) {
        (_, "") | (Kind::Bool, "false") => help.to_owned(),
        (Kind::Bool, _) => format!("{help} [default; off by --no{}]", opt.flag()),
        (_, default) => format!("{help} [default: {default}]"),
    }
}

fn off_id(opt: &Opt) -> String {
    format!("no {}", opt.name)
}

/// Reads the arguments, the program's name first, and the variables that begin with `BAREON_`.
///
/// # Errors
/// When they are wrong, and when only help or the version is asked for: the error says it all.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Called, clap::Error> {
    let command = command();
    let (program, arguments) = normalise(&command, arguments);
    let matches = command.try_get_matches_from(arguments).map_err(discreet)?;
    let mut called = Called {
        program,
        task: Task::App(Command::Run(Stage::All)),
        given: Given { environment: environment(variables), ..Given::default() },
        hardware: None,
        image_metadata: None,
        plan_id: None,
        backup: None,
        json: false,
    };
    if called.given.config_files.is_empty()
        && let Some((_, path)) = called.given.environment.iter().find(|(name, _)| name == CONFIG_VARIABLE)
        && !path.is_empty()
    {
        called.given.config_files.push(path.into());
    }
    called.given.environment.retain(|(name, _)| name != CONFIG_VARIABLE);
    let named_by_environment = called.given.config_files.len();
    let mut dry_run = collect(&matches, &mut called);
    if let Some((name, inner)) = matches.subcommand() {
        called.task = task(name, inner);
        dry_run |= collect(inner, &mut called);
        if name == "undo" {
            called.task = Task::App(Command::Undo { dry_run, force: inner.get_flag("force") });
            called.backup = inner.get_one::<PathBuf>("backup").cloned();
        }
    }
    if called.given.config_files.len() > named_by_environment {
        called.given.config_files.drain(..named_by_environment);
    }
    if dry_run && let Task::App(Command::Run(stage)) = called.task {
        called.task = Task::App(Command::Plan(stage));
    }
    let applies = matches.subcommand_name() == Some("apply");
    check(&called, dry_run, applies)?;
    Ok(called)
}

/// Names the configuration file in the environment.
const CONFIG_VARIABLE: &str = "BAREON_CONFIG_FILE";

fn task(name: &str, matches: &ArgMatches) -> Task {
    let path = |id| matches.get_one::<PathBuf>(id).cloned().unwrap_or_default();
    match name {
        "partition" => Task::App(Command::Run(Stage::Partition)),
        "configdrive" => Task::App(Command::Run(Stage::ConfigDrive)),
        "copyimage" => Task::App(Command::Run(Stage::CopyImage)),
        "bootloader" => Task::App(Command::Run(Stage::BootLoader)),
        "audit-boot" => Task::App(Command::AuditBoot),
        "plan" => Task::App(Command::Plan(Stage::All)),
        "apply" => Task::App(Command::Run(Stage::All)),
        "hardware" => Task::App(Command::Hardware),
        "explain-disk" => Task::App(Command::ExplainDisk),
        "schema" => Task::App(Command::Schema),
        "drivers" => Task::App(Command::Drivers),
        "ironic-callback" => Task::IronicCallback(path("kernel-command-line")),
        "completions" => Task::Completions(*matches.get_one("shell").unwrap_or(&Shell::Bash)),
        "man" => Task::Man,
        _ => Task::Sample,
    }
}

/// Takes over what stands before, or after, the command's name; whether `--dry-run` does.
fn collect(matches: &ArgMatches, called: &mut Called) -> bool {
    for opt in OPTIONS {
        let mut flag = |value: String| called.given.flags.push(Flag { name: opt.name, value });
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
    called.given.config_files.extend(files);
    let path = |id| matches.get_one::<PathBuf>(id).cloned();
    called.hardware = path("hardware").or(called.hardware.take());
    called.image_metadata = path("image-metadata").or(called.image_metadata.take());
    called.plan_id = matches.get_one::<String>("plan-id").cloned().or(called.plan_id.take());
    called.json |= matches.get_flag("json");
    matches.get_flag("dry-run")
}

/// Refuses what would be ignored: who gives `--hardware` without a command that plans must not get a run.
fn check(called: &Called, dry_run: bool, applies: bool) -> Result<(), clap::Error> {
    let plans = matches!(called.task, Task::App(Command::Plan(_)));
    let explains = matches!(called.task, Task::App(Command::ExplainDisk));
    let runs = matches!(called.task, Task::App(Command::Run(_)) | Task::IronicCallback(_));
    let message = if !plans && !explains && called.hardware.is_some() {
        "--hardware only goes with the commands plan and explain-disk, or with --dry-run"
    } else if !plans && called.image_metadata.is_some() {
        "--image-metadata only goes with the command plan, or with --dry-run"
    } else if runs && called.json {
        "--json only goes with commands that answer something, as plan and hardware do, or with --dry-run"
    } else if called.plan_id.is_some() && !matches!(called.task, Task::App(Command::Run(_))) {
        "--plan-id only goes with apply and the commands that run a stage"
    } else if applies && called.plan_id.is_none() {
        "apply needs --plan-id, with the id that `plan` showed"
    } else if dry_run && matches!(called.task, Task::IronicCallback(_)) {
        "ironic-callback has no --dry-run"
    } else {
        return Ok(());
    };
    Err(command().error(ErrorKind::ArgumentConflict, message))
}

fn environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let ours = variables.into_iter().map(|(name, value)| (text(name), text(value)));
    let mut ours: Vec<_> = ours.filter(|(name, _)| name.starts_with("BAREON_")).collect();
    ours.sort();
    ours
}

/// The name that the program was called by, and the arguments in one spelling.
///
/// A value is joined to its flag, `--name=value`, so that it may begin with a dash as a YAML document
/// does. One that is itself a flag is not: who writes `--report --dry-run` forgot a value.
fn normalise(
    command: &clap::Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> (String, Vec<OsString>) {
    let mut arguments = arguments.into_iter();
    let path = arguments.next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or(OsStr::new(PROGRAM)).to_string_lossy().into_owned();
    let mut normal = vec![PROGRAM.into()];
    normal.extend(NAMES.iter().find(|(program, _)| *program == name).map(|(_, command)| (*command).into()));
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
fn discreet(error: clap::Error) -> clap::Error {
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
    command().error(error.kind(), message)
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

    fn parsed(line: &[&str]) -> Result<Called, clap::Error> {
        parse(line.iter().map(OsString::from), [])
    }

    fn task_of(line: &[&str]) -> Task {
        parsed(line).unwrap().task
    }

    #[test]
    fn every_option_is_a_flag_in_both_spellings() {
        command().debug_assert();
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
        assert_eq!(called.hardware.as_deref(), Some(Path::new("h")));
    }

    #[test]
    fn a_dry_run_is_a_plan_of_what_would_run() {
        assert_eq!(task_of(&["p", "--dry-run"]), Task::App(Command::Plan(Stage::All)));
        assert_eq!(task_of(&["p", "--dry_run", "copyimage"]), Task::App(Command::Plan(Stage::CopyImage)));
        assert_eq!(task_of(&["p", "bootloader", "--dry-run"]), Task::App(Command::Plan(Stage::BootLoader)));
        assert_eq!(task_of(&["p", "plan"]), Task::App(Command::Plan(Stage::All)));
        assert_eq!(task_of(&["p"]), Task::App(Command::Run(Stage::All)));
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
            assert_eq!(task_of(&[name, "--nodebug"]), Task::App(Command::Run(stage)), "{name}");
        }
        let callback = Task::IronicCallback("/proc/cmdline".into());
        assert_eq!(task_of(&["bareon-ironic-callback"]), callback);
        assert_eq!(parsed(&["/sbin/provision"]).unwrap().program, "provision");
    }

    #[test]
    fn a_configuration_file_on_the_command_line_replaces_the_one_in_the_environment() {
        let variables = || [("BAREON_CONFIG_FILE", "env"), ("BAREON_DEBUG", "1"), ("HOME", "/")];
        let files = |line: &[&str]| {
            let variables = variables().map(|(name, value)| (name.into(), value.into()));
            parse(line.iter().map(OsString::from), variables).unwrap().given
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
                    assert_eq!(called.task, Task::App(Command::Plan(Stage::All)));
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
        let (_, arguments) = normalise(&command(), ["p", "--a_b", "--", "--a_b"].map(OsString::from));
        assert_eq!(arguments, ["bareon-provision", "--a-b", "--", "--a_b"]);
    }
}
