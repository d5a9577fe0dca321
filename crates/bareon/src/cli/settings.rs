//! Where each option's value comes from: flags before environment before file before default.
//!
//! All mistakes are collected, each with its place, so that one run shows all there is to mend.
//! `$name` and `${name}` in the file stand for the value of another option, `$$` for a dollar.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use bareon_image::{HttpOptions, TorrentOptions};
use serde_json::Value;

use super::{
    config,
    options::{self, Group, OPTIONS, Of, Settings, Values},
    value::Setting,
};
use crate::input::{self, InputError};

/// The file that is read when none is named; it need not exist.
pub const CONFIG_FILE: &str = "/etc/bareon/bareon.conf";

/// How deep `$name` may lead from one option to the next. Deeper is a circle.
const DEPTH: usize = 8;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In a line of a file.
    File(PathBuf, usize),
    /// In the environment, by this variable.
    Environment(String),
    /// On the command line, by this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value that an option was given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The option.
    pub name: &'static str,
    /// The value.
    pub value: String,
}

/// What options were given, and by what.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The flags, later ones win.
    pub flags: Vec<Flag>,
    /// The configuration files that were named.
    pub config_files: Vec<PathBuf>,
    /// The variables of the environment that begin with `BAREON_`.
    pub environment: Vec<(String, String)>,
}

/// The settings, and what there is to say about where they come from.
#[derive(Debug)]
pub struct Resolved {
    /// The values.
    pub settings: Settings,
    /// What the log is to warn of.
    pub warnings: Vec<String>,
    /// What the log is to say at level DEBUG.
    pub remarks: Vec<String>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A configuration file cannot be read.
    #[error("reading the configuration file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Mistakes in files, environment or flags, a line each.
    #[error("{}", .mistakes.join("\n"))]
    Wrong {
        /// Each with its place, the value and what is allowed.
        mistakes: Vec<String>,
        /// Whether all were made on the command line.
        usage: bool,
    },
}

/// Makes the settings of the program `of` from all that was given; `default_file` is read when no file is named,
/// `driver` is the data driver when none is. What only other programs have is theirs to read.
///
/// # Errors
/// When a file that was named cannot be read, or a value is none of its option.
pub fn resolve(
    given: &Given,
    default_file: &Path,
    of: Of,
    driver: &'static str,
) -> Result<Resolved, SettingsError> {
    let mut layers = Layers::new(of, driver);
    for (path, text) in texts(given, default_file)? {
        layers.file(&path, &text);
    }
    layers.environment(&given.environment);
    for Flag { name, value } in &given.flags {
        let flag = format!("--{}", name.replace('_', "-"));
        layers.set(name, value, Origin::Flag(flag));
    }
    let settings = Settings::from_values(&mut layers);
    layers.check_unused();
    if layers.mistakes.is_empty() {
        Ok(Resolved { settings, warnings: layers.warnings, remarks: layers.remarks })
    } else {
        Err(SettingsError::Wrong { mistakes: layers.mistakes, usage: !layers.beyond_flags })
    }
}

impl Settings {
    /// The input document.
    ///
    /// # Errors
    /// When it cannot be read, or is neither JSON nor YAML.
    pub fn document(&self) -> Result<Value, InputError> {
        match &self.input_data {
            Some(text) => input::parse(text),
            None => input::read(&self.input_data_file),
        }
    }

    /// How images are shared by torrents.
    pub fn torrent(&self) -> TorrentOptions {
        TorrentOptions {
            timeout: self.torrent_timeout.0,
            seed: self.torrent_seed_seconds,
            seed_percent: Some(self.torrent_seed_ratio.0).filter(|percent| *percent > 0),
            upload_limit: self.torrent_upload_limit.map(|limit| limit.0),
            dht: self.torrent_dht,
            dht_routers: self.torrent_dht_routers.0.clone(),
            local_discovery: self.torrent_lsd,
            spool: self.torrent_spool.clone(),
            spare: None,
        }
    }

    /// How servers are talked to.
    pub fn http(&self) -> HttpOptions {
        HttpOptions {
            max_retries: u32::try_from(self.http_max_retries).unwrap_or(u32::MAX),
            stall: self.http_request_timeout.0,
            retry_delay: self.http_retry_delay,
            ca_file: self.ca_file.clone(),
            client_cert: self.client_cert.clone(),
            client_key: self.client_key.clone(),
            ..HttpOptions::default()
        }
    }
}

fn texts(given: &Given, default_file: &Path) -> Result<Vec<(PathBuf, String)>, SettingsError> {
    let read = |path: &Path| fs::read_to_string(path);
    if given.config_files.is_empty() {
        return match read(default_file) {
            Ok(text) => Ok(vec![(default_file.into(), text)]),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(SettingsError::Unreadable { path: default_file.into(), source }),
        };
    }
    let named = given.config_files.iter().map(|path| match read(path) {
        Ok(text) => Ok((path.clone(), text)),
        Err(source) => Err(SettingsError::Unreadable { path: path.clone(), source }),
    });
    named.collect()
}

/// The values as texts, the last layer on top, and what was found wrong or odd with them.
#[derive(Debug)]
struct Layers {
    of: Of,
    driver: &'static str,
    values: BTreeMap<&'static str, (String, Origin)>,
    mistakes: Vec<String>,
    warnings: Vec<String>,
    remarks: Vec<String>,
    beyond_flags: bool,
}

impl Layers {
    fn new(of: Of, driver: &'static str) -> Self {
        Self {
            of,
            driver,
            values: BTreeMap::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            remarks: Vec::new(),
            beyond_flags: false,
        }
    }

    fn set(&mut self, name: &'static str, text: &str, origin: Origin) {
        self.values.insert(name, (text.to_owned(), origin));
    }

    fn wrong(&mut self, origin: &Origin, message: impl fmt::Display) {
        self.beyond_flags |= !matches!(origin, Origin::Flag(_));
        self.mistakes.push(format!("{origin}: {message}"));
    }

    fn file(&mut self, path: &Path, text: &str) {
        let at = |line| Origin::File(path.into(), line);
        let entries = match config::parse(text) {
            Ok(entries) => entries,
            Err(faults) => {
                for (line, fault) in faults {
                    self.wrong(&at(line), fault);
                }
                return;
            }
        };
        let mut ignored = Vec::new();
        for entry in entries {
            if entry.section != "DEFAULT" {
                if !ignored.contains(&entry.section) {
                    ignored.push(entry.section);
                }
                continue;
            }
            match options::find(&entry.key.replace('-', "_")) {
                Some(opt) => self.set(opt.name, &entry.value, at(entry.line)),
                None => self.warnings.push(format!("{}: there is no option {}", at(entry.line), entry.key)),
            }
        }
        if !ignored.is_empty() {
            self.remarks.push(format!("{}: ignored sections: {}", path.display(), ignored.join(", ")));
        }
    }

    fn environment(&mut self, variables: &[(String, String)]) {
        for (variable, value) in variables {
            let named = |opt: &&options::Opt| {
                opt.variable() == *variable || opt.foreign_variable() == Some(variable.as_str())
            };
            match OPTIONS.iter().find(named) {
                // An empty variable is how a shell unsets one for a single command.
                Some(_) if value.is_empty() => {}
                Some(opt) => self.set(opt.name, value, Origin::Environment(variable.clone())),
                None => self.warnings.push(format!("{variable} in the environment names no option")),
            }
        }
    }

    fn check_unused(&mut self) {
        for opt in OPTIONS {
            let Some((_, origin)) = self.values.get(opt.name) else { continue };
            if opt.group == Group::Unused {
                self.warnings.push(format!("{origin}: {} has no effect: {}", opt.name, opt.help));
            } else if !opt.of.has(self.of) && matches!(origin, Origin::Flag(_)) {
                // Files and environment are for all programs.
                let other = opt.of.name();
                self.warnings.push(format!("{origin}: {} has no effect: only {other} uses it", opt.name));
            }
        }
    }

    /// The value of an option as text, with what `$name` stands for put in.
    fn text(&self, name: &str, depth: usize) -> Result<Text, (Origin, String)> {
        let mut secret = name == SECRET;
        let opt = options::find(name);
        let ours = depth > 0 || opt.is_none_or(|opt| opt.of.has(self.of));
        let Some((text, origin)) = self.values.get(name).filter(|_| ours) else {
            let default = opt.map_or("", |opt| opt.default_of(self.driver));
            return Ok(Text { whole: default.to_owned(), origin: Origin::Default, secret });
        };
        if !matches!(origin, Origin::File(..)) {
            return Ok(Text { whole: text.clone(), origin: origin.clone(), secret });
        }
        if depth > DEPTH {
            return Err((origin.clone(), format!("{name}: the options refer to each other in a circle")));
        }
        let mut whole = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            whole.push_str(before);
            let (word, next) = reference(after);
            rest = next;
            match word {
                Reference::Dollar => whole.push('$'),
                Reference::Option(other) if options::find(other).is_some() => {
                    let other = self.text(other, depth + 1)?;
                    whole.push_str(&other.whole);
                    secret |= other.secret;
                }
                Reference::Option(other) => {
                    // What follows a dollar in a document may be a piece of a password.
                    let other = if name == SECRET { "an option".to_owned() } else { format!("${other}") };
                    let message = format!(
                        "{name} refers to {other}, and there is no such option; write $$ for a dollar sign"
                    );
                    return Err((origin.clone(), message));
                }
            }
        }
        whole.push_str(rest);
        Ok(Text { whole, origin: origin.clone(), secret })
    }
}

/// The option whose value may hold passwords.
const SECRET: &str = "input_data";

/// The value of an option.
struct Text {
    whole: String,
    origin: Origin,
    /// Whether the document is in it.
    secret: bool,
}

impl Text {
    /// The value as it may be shown.
    fn shown(&self) -> &str {
        if self.secret { "(not shown)" } else { &self.whole }
    }
}

/// What a `$` stands for.
enum Reference<'a> {
    Dollar,
    Option(&'a str),
}

/// Splits what follows a `$` into what that refers to and the rest.
fn reference(text: &str) -> (Reference<'_>, &str) {
    if let Some(rest) = text.strip_prefix('$') {
        return (Reference::Dollar, rest);
    }
    let begins = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if let Some((word, rest)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}'))
        && begins(word)
    {
        return (Reference::Option(word), rest);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if begins(text) { (Reference::Option(&text[..end]), &text[end..]) } else { (Reference::Dollar, text) }
}

impl Values for Layers {
    fn value<T: Setting>(&mut self, name: &'static str) -> T {
        let text = match self.text(name, 0) {
            Ok(text) => text,
            Err((origin, message)) => {
                self.wrong(&origin, message);
                return T::default();
            }
        };
        let shown = text.shown();
        if let Some(value) = T::read(&text.whole) {
            if text.origin != Origin::Default {
                self.remarks.push(format!("{name} = {shown} ({})", text.origin));
            }
            return value;
        }
        self.wrong(&text.origin, format_args!("{name} = {shown}: {} is expected", T::KIND.allowed()));
        T::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn resolve(given: &Given, default_file: &Path) -> Result<Resolved, SettingsError> {
        super::resolve(given, default_file, Of::Provision, "nailgun")
    }

    fn in_file(text: &str, given: &Given) -> Result<Resolved, SettingsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bareon.conf");
        fs::write(&path, text).unwrap();
        resolve(given, &path)
    }

    fn mistakes(text: &str, given: &Given) -> (Vec<String>, bool) {
        match in_file(text, given) {
            Err(SettingsError::Wrong { mistakes, usage }) => (mistakes, usage),
            other => panic!("{other:?}"),
        }
    }

    fn variable(name: &str, value: &str) -> Given {
        Given { environment: vec![(name.into(), value.into())], ..Given::default() }
    }

    #[test]
    fn every_default_is_a_value_of_its_option() {
        let resolved = resolve(&Given::default(), Path::new("/nonexistent/bareon.conf")).unwrap();
        assert!(resolved.warnings.is_empty() && resolved.remarks.is_empty());
        assert_eq!(resolved.settings.data_driver, "nailgun");
        assert_eq!(resolved.settings.http_retry_delay, Duration::from_secs(2));
        assert_eq!(resolved.settings.log_file, None);
        assert!(resolved.settings.prepare_configdrive);
    }

    #[test]
    fn every_option_is_found_in_file_environment_and_flags_and_the_later_of_these_wins() {
        for opt in OPTIONS {
            let given = |flags: &[&str], env: &[&str]| Given {
                flags: flags.iter().map(|v| Flag { name: opt.name, value: (*v).into() }).collect(),
                environment: env.iter().map(|v| (opt.variable(), (*v).to_owned())).collect(),
                config_files: Vec::new(),
            };
            let origin = |given: &Given, file: &str| {
                let mut layers = Layers::new(opt.of, "nailgun");
                layers.file(Path::new("f"), file);
                layers.environment(&given.environment);
                for flag in &given.flags {
                    layers.set(flag.name, &flag.value, Origin::Flag("--x".into()));
                }
                layers.text(opt.name, 0).unwrap_or_else(|(_, message)| panic!("{message}"))
            };
            let line = format!("{} = from-file\n", opt.name);
            let default = if opt.name == "data_driver" { "nailgun" } else { opt.default };
            assert_eq!(origin(&given(&[], &[]), "").whole, default);
            assert_eq!(origin(&given(&[], &[]), &line).whole, "from-file");
            assert_eq!(origin(&given(&[], &["from-env"]), &line).whole, "from-env");
            assert_eq!(origin(&given(&["one", "two"], &["from-env"]), &line).whole, "two");
            assert_eq!(origin(&given(&[], &[""]), &line).whole, "from-file");
        }
    }

    #[test]
    fn a_bad_value_is_told_with_place_value_and_what_is_allowed() {
        let (lines, usage) =
            mistakes("\ngrub_timeout = soon\nfirmware = efi\n", &variable("BAREON_DEBUG", "maybe"));
        assert!(!usage);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "BAREON_DEBUG: debug = maybe: true or false is expected");
        assert!(
            lines[1].ends_with("bareon.conf:3: firmware = efi: one of auto, bios, uefi, both is expected")
        );
        assert!(
            lines[2]
                .ends_with("bareon.conf:2: grub_timeout = soon: a whole number, not negative is expected")
        );
    }

    #[test]
    fn a_bad_flag_alone_is_a_mistake_of_usage() {
        let flags = vec![Flag { name: "grub_timeout", value: "-1".into() }];
        let (lines, usage) = mistakes("", &Given { flags, ..Given::default() });
        assert!(usage);
        assert_eq!(lines, ["--grub-timeout: grub_timeout = -1: a whole number, not negative is expected"]);
    }

    #[test]
    fn an_unknown_key_or_variable_is_warned_of_once_and_other_sections_are_remarked_on() {
        let text = "nosuch = 1\n[other]\na = 1\nb = 2\n[DEFAULT]\ngrub-timeout = 7\n";
        let resolved = in_file(text, &variable("BAREON_NOSUCH", "1")).unwrap();
        assert_eq!(resolved.settings.grub_timeout, 7);
        assert_eq!(resolved.warnings.len(), 2);
        assert!(resolved.warnings[0].ends_with("bareon.conf:1: there is no option nosuch"));
        assert_eq!(resolved.warnings[1], "BAREON_NOSUCH in the environment names no option");
        assert!(resolved.remarks[0].ends_with("ignored sections: other"));
    }

    #[test]
    fn an_option_without_meaning_is_accepted_and_said_so() {
        let resolved = in_file("udev_empty_rule = x\n", &Given::default()).unwrap();
        assert_eq!(resolved.warnings.len(), 1);
        assert!(resolved.warnings[0].contains("udev_empty_rule has no effect: udev is kept off"));
    }

    #[test]
    fn what_another_program_has_is_told_as_a_flag_and_left_to_it_elsewhere() {
        let flags = vec![Flag { name: "image_build_dir", value: "/b".into() }];
        let resolved = in_file("cache_dir = $nosuch\n", &Given { flags, ..Given::default() }).unwrap();
        let want = "--image-build-dir: image_build_dir has no effect: only bareon-build-image uses it";
        assert_eq!(resolved.warnings, [want]);
        assert_eq!(resolved.settings.cache_dir, None);
        let build = |given: &Given| {
            super::resolve(given, Path::new("/nonexistent"), Of::Build, "nailgun_build_image").unwrap()
        };
        assert_eq!(build(&Given::default()).settings.data_driver, "nailgun_build_image");
        assert!(build(&variable("BAREON_FIRMWARE", "nosuch")).warnings.is_empty());
    }

    #[test]
    fn a_variable_that_others_know_comes_after_ours() {
        let epoch = |variables: &[(&str, &str)]| {
            let environment = variables.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
            let given = Given { environment, ..Given::default() };
            super::resolve(&given, Path::new("/none"), Of::Build, "d").unwrap().settings.source_date_epoch
        };
        assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "5")]), Some(5));
        assert_eq!(epoch(&[("SOURCE_DATE_EPOCH", "5"), ("BAREON_SOURCE_DATE_EPOCH", "6")]), Some(6));
    }

    #[test]
    fn a_dollar_stands_for_another_option_in_the_file() {
        let text = "log_dir = /var/log\nlog_file = $log_dir/b.log\ntmp_path = ${log_dir}x$$/$1$\n\
                    config_drive_path = $tmp_path/drive\nudev_rules_dir = ${unclosed\n";
        let settings = in_file(text, &variable("BAREON_LOG_DIR", "/env")).unwrap().settings;
        assert_eq!(settings.log_file, Some("/env/b.log".into()));
        assert_eq!(settings.tmp_path, Path::new("/envx$/$1$"));
        assert_eq!(settings.config_drive_path, Path::new("/envx$/$1$/drive"));
        assert_eq!(settings.udev_rules_dir, Path::new("${unclosed"));
    }

    #[test]
    fn a_circle_and_an_unknown_name_are_mistakes() {
        let (lines, _) =
            mistakes("log_dir = $log_file\nlog_file = $log_dir\ntmp_path = /a/$nosuch\n", &Given::default());
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().any(|l| l.contains("in a circle")));
        assert!(lines.iter().any(|l| l.contains(":3: tmp_path refers to $nosuch")));
    }

    #[test]
    fn a_value_of_input_data_is_never_remarked_on() {
        let resolved = in_file("input_data = {\"password\": \"s3cret\"}\n", &Given::default()).unwrap();
        assert!(resolved.remarks.iter().all(|line| !line.contains("s3cret")), "{:?}", resolved.remarks);
        assert!(resolved.settings.input_data.unwrap().contains("s3cret"));
    }

    #[test]
    fn no_mistake_shows_what_is_in_input_data() {
        let whole = "input_data = s3cret$input_data\n";
        let word = "input_data = {\"password\": \"a$s3cret\"}\n";
        let other = "input_data = s3cret\ngrub_timeout = $input_data\n";
        for text in [whole, word, other] {
            let (lines, _) = mistakes(text, &Given::default());
            assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains("s3cret")), "{lines:?}");
        }
        let resolved = in_file("input_data = s3cret\nlog_file = $input_data\n", &Given::default()).unwrap();
        assert!(resolved.remarks.iter().all(|line| !line.contains("s3cret")), "{:?}", resolved.remarks);
    }

    #[test]
    fn what_has_no_effect_or_would_never_work_is_said() {
        let resolved = in_file("read_chunk_size = 1\n", &Given::default()).unwrap();
        assert!(resolved.warnings[0].contains("read_chunk_size has no effect"), "{:?}", resolved.warnings);
        let (lines, _) = mistakes("http_request_timeout = 0\n", &Given::default());
        assert!(lines[0].ends_with(
            "http_request_timeout = 0: a number of seconds above 0, such as 10 or 2.5 is expected"
        ));
    }

    #[test]
    fn a_file_that_was_named_has_to_be_there_and_later_files_win() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, "grub_timeout = 1\ndata_driver = ironic\n").unwrap();
        fs::write(&two, "grub_timeout = 2\n").unwrap();
        let named = |files: &[&PathBuf]| Given {
            config_files: files.iter().map(|&path| path.clone()).collect(),
            ..Given::default()
        };
        let settings = resolve(&named(&[&one, &two]), Path::new("/none")).unwrap().settings;
        assert_eq!((settings.grub_timeout, settings.data_driver.as_str()), (2, "ironic"));
        let missing = dir.path().join("three");
        let error = resolve(&named(&[&one, &missing]), Path::new("/none")).unwrap_err();
        assert!(matches!(error, SettingsError::Unreadable { path, .. } if path == missing));
    }
}
