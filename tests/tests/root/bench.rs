//! The built program, with all its paths in a directory of its own.
#![expect(clippy::disallowed_methods, reason = "it starts the program that is tested")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// Where a program is run, and what it leaves there.
pub struct Bench {
    dir: TempDir,
}

/// How it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program: `BAREON_PROVISION`, or the one that was built beside this test.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("BAREON_PROVISION") {
        return path.into();
    }
    let profile = env::current_exe().ok().and_then(|test| Some(test.parent()?.parent()?.to_owned()));
    let profile = profile.expect("the test lies in target/*/deps");
    let beside = [profile.clone(), profile.join("../release"), profile.join("../debug")];
    let mut found = beside.iter().map(|dir| dir.join("bareon-provision")).filter(|path| path.exists());
    found.next().expect("bareon-provision: build it first, or name it by BAREON_PROVISION")
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with `arguments` before all settings.
    pub fn command(&self, driver: &str, document: &Value, arguments: &[&str]) -> Command {
        fs::write(self.path("input.json"), document.to_string()).expect("the document");
        fs::write(self.path("bareon.conf"), "").expect("the configuration");
        fs::create_dir_all(self.path("tmp")).expect("a directory");
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init-templates");
        let mut command = Command::new(program());
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            // Most images here are made for the moment; a flag has the last word.
            .env("BAREON_ALLOW_UNVERIFIED", "true")
            .args(arguments)
            .args(["--data-driver", driver, "--firmware", "bios", "--http-max-retries", "1"])
            // Servers are slow here only where the machine is, or where a test waits for what they do not send.
            .args(["--http-request-timeout", "600", "--http-retry-delay", "0.1"])
            .arg("--nc-template-path")
            .arg(templates)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (flag, name) in [
            ("--config-file", "bareon.conf"),
            ("--input-data-file", "input.json"),
            ("--tmp-path", "tmp"),
            ("--config-drive-path", "config-drive.img"),
            ("--log-file", "log"),
            ("--report", "report.json"),
            ("--backup-dir", "backup"),
        ] {
            command.arg(flag).arg(self.path(name));
        }
        command
    }

    /// Runs it to its end, with a document of `nailgun_simple`.
    pub fn run(&self, document: &Value, arguments: &[&str]) -> Ended {
        self.run_driver("nailgun_simple", document, arguments)
    }

    /// Runs it to its end.
    pub fn run_driver(&self, driver: &str, document: &Value, arguments: &[&str]) -> Ended {
        let output = self.command(driver, document, arguments).output().expect("the program");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it says in the log, without what each line begins with.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().filter_map(|line| Some(line.split_once(" [-] ")?.1.to_owned())).collect()
    }

    /// The report.
    pub fn report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("report.json")).expect("a report")).expect("JSON")
    }
}

impl Ended {
    /// Panics with what it said unless it succeeded.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Panics unless it failed as programs that call it expect, saying each of `words`.
    pub fn failed(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(255), "{}", self.stderr);
        assert!(self.stderr.contains("Unexpected error\n"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not said: {}", self.stderr);
        }
        self
    }
}
