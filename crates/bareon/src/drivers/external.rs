//! Data drivers that are installed on their own: executables that read a document on their
//! standard input and answer with the objects as JSON on their standard output.
//!
//! The contract, protocol 1. The driver `NAME` is the file `NAME` in `drivers_dir` (by default
//! `/usr/lib/bareon/drivers`): a regular file, owned by root (or by who runs bareon) and writable
//! by nobody else. It is called
//!
//! - without arguments, to read a document: as JSON on standard input, whatever it was written
//!   in. `BAREON_PROTOCOL` is `1`, `BAREON_HARDWARE` names a file with the machine's disks (what
//!   `bareon-provision hardware --json` prints), `BAREON_PREPARE_CONFIGDRIVE` is `1` where a
//!   config drive is to be made. It prints [`Objects`] and ends with status 0, or [`Refusal`](super::answer::Refusal)
//!   and ends with 0 or 1. Every other status, and 60 seconds without an end, are failures; what
//!   it says on standard error stands in the message.
//! - with `--schema`, to print the JSON Schema of its documents.
//!
//! The answer is taken strictly: an unknown or missing key or a value of another type is a
//! mistake of the driver. Document and answer are kept out of the log, as both hold secrets.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bareon_host::{Cmd, CommandError, Runner, Tool};
use serde_json::{Value, json};

use super::{
    DataDriver, Deployment, DriverError, Facts, Listed, Mistake, Mistakes, Origins,
    answer::{self, Answer, Objects},
    types,
};
use crate::chain::chain;

/// How long a driver may take. It computes; whoever fetches something has long failed by then.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The bits of a mode by which others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// An executable that reads documents.
pub struct External<'h> {
    name: String,
    about: String,
    path: PathBuf,
    host: &'h dyn Runner,
}

impl<'h> External<'h> {
    /// The driver `name` in `dir`; nothing where there is no such file.
    ///
    /// # Errors
    /// When the file is there and cannot be trusted: it runs as root.
    pub fn find(name: &str, dir: &Path, host: &'h dyn Runner) -> Result<Option<Self>, DriverError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = dir.join(name);
        match distrust(&path, dir) {
            Ok(None) => Ok(Some(Self { name: name.into(), about: about(&path), path, host })),
            Ok(Some(reason)) => Err(DriverError::Untrusted { path, reason }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DriverError::Look { path, source }),
        }
    }

    fn cmd(&self) -> Cmd {
        Tool::Driver.cmd().env("BAREON_PROTOCOL", "1").arg(&self.path).time_limit(TIME_LIMIT)
    }

    fn ask(&self, document: &Value, facts: &Facts<'_>) -> Result<String, Failure> {
        let mut hardware = tempfile::NamedTempFile::new()?;
        hardware.write_all(json!(facts.devices).to_string().as_bytes())?;
        hardware.flush()?;
        let prepare = if facts.prepare_configdrive { "1" } else { "0" };
        let cmd = self
            .cmd()
            .env("BAREON_HARDWARE", &hardware.path().to_string_lossy())
            .env("BAREON_PREPARE_CONFIGDRIVE", prepare)
            .stdin(document.to_string())
            .private()
            .also_ok(1);
        let output = self.host.run(&cmd).map_err(|error| {
            // Its standard error is for whoever reads the message; the command is private otherwise.
            let said = error.outputs().map(|(_, stderr)| last_lines(stderr)).unwrap_or_default();
            Failure::Command { error, said }
        })?;
        if output.status == 1 && output.stdout.trim().is_empty() {
            return Err(Failure::Silent(last_lines(&output.stderr)));
        }
        Ok(output.stdout)
    }

    /// A mistake that is the driver's, not the document's.
    fn mistake(&self, path: &str, problem: &str) -> Mistake {
        let remedy = format!("mend {}, or use another driver", self.path.display());
        Mistake::new(path, None, format!("the data driver {}: {problem}", self.name), remedy)
    }
}

/// Why a driver gave no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}{said}", chain(.error))]
    Command { error: CommandError, said: String },
    #[error("writing the list of disks for it")]
    Hardware(#[from] io::Error),
    #[error("it failed and named no mistake{0}")]
    Silent(String),
}

/// The last lines of what a driver said on standard error, as the end of a message.
fn last_lines(stderr: &str) -> String {
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.len() {
        0 => "; it said nothing".into(),
        n => format!(": {}", lines[n.saturating_sub(3)..].join(" / ")),
    }
}

impl DataDriver for External<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn schema(&self) -> Result<Value, DriverError> {
        let output = self.host.run(&self.cmd().arg("--schema"));
        let output = output.map_err(|source| DriverError::Schema { path: self.path.clone(), source })?;
        let schema = serde_json::from_str(&output.stdout).ok().filter(Value::is_object);
        schema.ok_or_else(|| DriverError::NoSchema { path: self.path.clone() })
    }

    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
        let answer = match self.ask(document, facts) {
            Ok(answer) => answer,
            Err(failure) => return Err(self.mistake("", &chain(&failure)).into()),
        };
        let answer: Value = serde_json::from_str(&answer).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            self.mistake("", &format!("its answer is not JSON at {place}"))
        })?;
        let wrong = |path: &str, problem: &str| self.mistake(path, problem);
        match answer::read(answer, &wrong)? {
            Answer::Refusal(refusal) => Err(Mistakes(refusal.mistakes)),
            Answer::Objects(objects) => Ok(deployment(*objects)),
        }
    }
}

fn deployment(objects: Objects) -> Deployment {
    let (mut scheme, origins) = (objects.partition_scheme, Origins::default());
    let deferred = types::settle(&mut scheme, &origins);
    Deployment {
        skip_partitioning: objects.skip_partitioning.unwrap_or_else(|| scheme.skip_partitioning()),
        partition_scheme: scheme,
        image_scheme: objects.image_scheme,
        grub: objects.grub,
        operating_system: objects.operating_system,
        configdrive: objects.configdrive,
        host: objects.host,
        shown_scheme: None,
        deferred,
        origins,
        matches: Vec::new(),
        image_os: None,
        grub_guessed: false,
    }
}

fn about(path: &Path) -> String {
    format!("an executable: {}", path.display())
}

/// Why the file `path` in `dir` is not run as root, and what to do about it; nothing where it may be.
fn distrust(path: &Path, dir: &Path) -> io::Result<Option<&'static str>> {
    let (file, folder) = (fs::symlink_metadata(path)?, fs::metadata(dir)?);
    let trusted = |m: &fs::Metadata| {
        [0, nix::unistd::geteuid().as_raw()].contains(&m.uid()) && m.mode() & OTHERS_WRITE == 0
    };
    Ok(if !file.is_file() {
        Some("it is no regular file; install the executable itself")
    } else if !is_executable(&file) {
        Some("it is not executable; run `chmod +x` on it")
    } else if !trusted(&file) {
        Some("others may write it; run `chown root` and `chmod go-w` on it")
    } else if !trusted(&folder) {
        Some("others may write its directory; run `chown root` and `chmod go-w` on that")
    } else {
        None
    })
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.mode() & 0o111 != 0
}

/// The executables in `dir`, and links to such, by name: those that are not run, too.
pub fn installed(dir: &Path) -> Vec<Listed> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| fs::metadata(entry.path()).is_ok_and(|metadata| is_executable(&metadata)))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| is_name(name))
        .map(|(name, path)| {
            let untrusted = match distrust(&path, dir) {
                Ok(reason) => reason.map(str::to_owned),
                Err(error) => Some(format!("it cannot be looked at: {error}")),
            };
            Listed { name, about: about(&path), untrusted }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Whether a name can be that of a driver: it is joined to a path.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bareon_host::System;

    use super::*;
    use crate::hardware::BlockDevice;

    const CONTRIB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/drivers");

    /// A folder with an executable `driver`.
    fn folder(script: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), "driver", script.as_bytes());
        dir
    }

    fn install(dir: &Path, name: &str, content: &[u8]) {
        // Another process writes it: were it open for writing here, those that tests beside this one start would have it
        // open, too, for a moment, and it could not be run (`Text file busy`).
        let write = r#"cat >"$0" && chmod 755 "$0""#;
        let content = std::str::from_utf8(content).unwrap();
        let cmd = Tool::Driver.cmd().args(["sh", "-c", write]).arg(dir.join(name)).stdin(content);
        System::default().run(&cmd).unwrap();
    }

    fn read(dir: &Path, name: &str, document: &Value) -> Result<Deployment, Mistakes> {
        let disk = json!({"device": "/dev/nvme0n1", "bspec": {"size64": "10737418240"}});
        let devices: Vec<BlockDevice> = vec![serde_json::from_value(disk).unwrap()];
        let facts = Facts {
            devices: &devices,
            image_metadata: &|_| None,
            prepare_configdrive: true,
            configdrive_exists: false,
        };
        crate::drivers::find(name, dir, &System::default()).unwrap().read(document, &facts)
    }

    fn complaint(script: &str) -> String {
        let dir = folder(&format!("#!/bin/sh\n{script}\n"));
        read(dir.path(), "driver", &json!({})).unwrap_err().to_string()
    }

    #[test]
    fn the_one_in_contrib_answers_with_objects() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), "one-disk", &fs::read(format!("{CONTRIB}/one-disk")).unwrap());
        let document = json!({"disk": "/dev/nvme0n1", "image": "http://h/i.img.gz", "hostname": "n1"});
        let deployment = read(dir.path(), "one-disk", &document).unwrap();
        let partitions: Vec<_> = deployment
            .partition_scheme
            .partitions()
            .map(|p| (p.name.as_str(), p.begin.0, p.end.0, p.esp))
            .collect();
        assert_eq!(
            partitions,
            [
                ("/dev/nvme0n1p1", 1, 25, false),
                ("/dev/nvme0n1p2", 25, 225, true),
                ("/dev/nvme0n1p3", 225, 10239, false)
            ]
        );
        assert_eq!(deployment.image_scheme[0].target_device, "/dev/nvme0n1p3");
        assert_eq!(deployment.host.hostname.as_deref(), Some("n1"));
        assert!(!deployment.skip_partitioning && deployment.configdrive.is_none());
        let all = read(dir.path(), "one-disk", &json!({"disk": "/dev/sdq", "x": 1})).unwrap_err();
        assert_eq!(all.0.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(), ["/x", "/image", "/disk"]);
        let schema =
            crate::drivers::find("one-disk", dir.path(), &System::default()).unwrap().schema().unwrap();
        assert!(jsonschema::is_valid(&schema, &document));
        assert!(!jsonschema::is_valid(&schema, &json!({"disk": 1})));
    }

    #[test]
    fn a_bad_answer_is_refused_with_driver_and_place() {
        let objects = r#""image_scheme":[],"grub":{},"operating_system":{"name":"x","major":1,"minor":2}"#;
        for (answer, wants) in [
            ("hello", vec!["not JSON at line 1"]),
            ("[]", vec!["no object"]),
            ("{}", vec!["/partition_scheme: ", "/image_scheme: ", "/grub: ", "/operating_system: "]),
            (r#"{"mistakes":[]}"#, vec!["/mistakes: "]),
            (
                &format!("{{\"partition_scheme\":{{\"fss\":[{{\"device\":7}}],\"x\":1}},{objects}}}"),
                vec!["/partition_scheme/fss/0: ", "/partition_scheme/x: "],
            ),
            (&format!("{{\"partition_scheme\":{{}},\"more\":1,{objects}}}"), vec!["/more: "]),
        ] {
            let message = complaint(&format!("cat > /dev/null; printf '%s' '{answer}'"));
            for want in wants {
                let found =
                    message.lines().any(|line| line.contains(want) && line.contains("data driver driver"));
                assert!(found, "{answer}: {want}: {message}");
            }
        }
    }

    #[test]
    fn a_failure_is_told_with_what_the_driver_said() {
        assert!(complaint("echo out of cheese >&2; exit 1").contains("out of cheese"));
        let message = complaint("echo s3cret; echo out of cheese >&2; exit 7");
        assert!(
            message.contains("exit status: 7: out of cheese") && !message.contains("s3cret"),
            "{message}"
        );
        let mistakes = r#"{"mistakes":[{"path":"/a","problem":"p","remedy":"r"}]}"#;
        assert_eq!(complaint(&format!("echo x >&2; echo '{mistakes}'; exit 1")), "/a: p; r");
    }

    #[test]
    fn documents_reach_the_driver_and_nothing_of_our_environment_does() {
        let dir = folder(
            "#!/bin/sh\nread -r line\nenv | grep -v ^PWD= | sort | tr '\\n' ' ' >&2\necho \"$line\" >&2\nexit 9\n",
        );
        let message = read(dir.path(), "driver", &json!({"a": "é"})).unwrap_err().to_string();
        assert!(message.contains(r#"{"a":"é"}"#), "{message}");
        assert!(message.contains("BAREON_HARDWARE=/") && message.contains("BAREON_PREPARE_CONFIGDRIVE=1"));
        assert!(message.contains("BAREON_PROTOCOL=1") && !message.contains("HOME="), "{message}");
    }

    #[test]
    fn what_others_may_write_is_not_run() {
        let host = System::default();
        let refused = |dir: &Path, name: &str| {
            crate::drivers::find(name, dir, &host).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let dir = folder("#!/bin/sh\n");
        let path = dir.path().join("driver");
        assert_eq!(refused(dir.path(), "driver"), "");
        for (mode, why) in
            [(0o775, "others may write it"), (0o757, "others may write it"), (0o644, "not executable")]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(refused(dir.path(), "driver").contains(why), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
        assert!(refused(dir.path(), "link").contains("no regular file"));
        fs::write(dir.path().join("README"), "").unwrap();
        let listed: Vec<_> = crate::drivers::list(dir.path()).iter().map(ToString::to_string).collect();
        let own = ["bareon", "ironic", "nailgun", "nailgun_simple", "driver", "link"];
        assert!(
            listed.iter().zip(own).all(|(line, name)| line.starts_with(&format!("{name} "))),
            "{listed:?}"
        );
        assert!(listed.len() == own.len() && !listed[4].contains("not run"), "{listed:?}");
        assert!(listed[5].contains("; not run: it is no regular file"), "{listed:?}");
        let unknown = refused(dir.path(), "../driver");
        assert!(unknown.contains("nailgun") && unknown.contains("driver"), "{unknown}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refused(dir.path(), "driver").contains("its directory"));
        assert!(installed(dir.path())[0].untrusted.as_ref().is_some_and(|why| why.contains("its directory")));
    }

    #[test]
    fn types_of_an_answer_are_settled() {
        let partition = |number: u32, more: &str| {
            format!(
                r#"{{"name":"/dev/sda{number}","count":{number},"device":"/dev/sda","begin":{number},"end":{},"partition_type":"primary",{more}}}"#,
                number + 1
            )
        };
        let partitions = [
            partition(1, r#""flags":["esp"]"#),
            partition(2, r#""flags":["bios_grub"],"guid":"0FC63DAF-8483-4772-8E79-3D69D8477DE4""#),
            partition(3, r#""keep_data":false"#),
        ];
        let scheme = format!(
            r#"{{"parteds":[{{"name":"/dev/sda","label":"gpt","partitions":[{}]}}],"mds":[{{"name":"/dev/md0","level":1,"keep_data":true}}]}}"#,
            partitions.join(",")
        );
        let rest = r#""image_scheme":[],"grub":{},"operating_system":{"name":"x","major":1,"minor":2}"#;
        let dir = folder(&format!(
            "#!/bin/sh\ncat > /dev/null; printf '%s' '{{\"partition_scheme\":{scheme},{rest}}}'\n"
        ));
        let deployment = read(dir.path(), "driver", &json!({})).unwrap();
        let esps: Vec<_> = deployment.partition_scheme.partitions().map(|partition| partition.esp).collect();
        assert_eq!(esps, [true, false, false]);
        assert!(deployment.skip_partitioning);
        let paths: Vec<_> = deployment.deferred.iter().map(|mistake| mistake.path.as_str()).collect();
        assert_eq!(paths, ["/partition_scheme/parteds/0/partitions/1/guid"]);
    }

    #[test]
    fn a_schema_that_cannot_be_had_is_no_empty_schema() {
        let host = System::default();
        let complaint = |script: &str| {
            let dir = folder(&format!("#!/bin/sh\n{script}\n"));
            let error = crate::drivers::find("driver", dir.path(), &host).unwrap().schema().unwrap_err();
            chain(&error)
        };
        assert!(complaint("echo out of cheese >&2; exit 3").contains("out of cheese"));
        assert!(complaint("echo '[]'").contains("no JSON object"));
    }

    #[test]
    fn what_the_system_said_stands_in_the_message() {
        let dir = folder("#!/nonexistent/interpreter\n");
        let message = read(dir.path(), "driver", &json!({})).unwrap_err().to_string();
        assert!(message.contains("No such file"), "{message}");
    }

    #[test]
    fn the_schema_in_contrib_is_that_of_answers() {
        let path = format!("{CONTRIB}/answer.schema.json");
        let schema = format!("{}\n", serde_json::to_string_pretty(&answer::schema()).unwrap());
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &schema).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == schema, "{path} is out of date; run this test with UPDATE_GENERATED=1");
    }
}
