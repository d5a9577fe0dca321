//! A place to build in, and what has to hold after every build.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Debian's mirror.
pub const MIRROR: &str = "http://deb.debian.org/debian";

/// Folders of its own for output and working folders.
pub struct Bench {
    dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        assert!(nix_is_root(), "root is needed");
        Self { dir: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The names of the files in the output folder.
    pub fn made(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("out")).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A document for a minimal system with `packages` and one image, `root.img.gz`.
    pub fn document(&self, packages: &[&str]) -> Value {
        json!({
            "codename": "bookworm",
            "output": self.path("out"),
            "repos": [{"name": "debian", "uri": MIRROR, "suite": "bookworm", "section": "main", "priority": 500}],
            "packages": packages,
            "image_data": {"/": {"uri": "http://h/root.img.gz", "format": "ext4", "container": "gzip"}},
        })
    }

    fn command(&self, document: &Value, options: &[&str]) -> Command {
        let input = self.path("input.json");
        fs::write(&input, document.to_string()).unwrap();
        let cache = env::var_os("BAREON_CACHE").map_or_else(
            || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/bareon"),
            PathBuf::from,
        );
        let mut command = Command::new(program());
        command
            .env_remove("SOURCE_DATE_EPOCH")
            .env_remove("BAREON_BUILD_IMAGE")
            .env_remove("BAREON_PROVISION")
            .env_remove("BAREON_CACHE")
            .args(["--bootstrapper", "mmdebstrap", "--build-in", "disk", "--nodebug", "--use-stderr", "-v"])
            .arg("--input-data-file")
            .arg(input)
            .arg("--image-build-dir")
            .arg(self.path("work"))
            .args(options);
        if !options.contains(&"--cache-dir") {
            command.arg("--cache-dir").arg(cache.join("packages"));
        }
        command
    }

    /// Builds to the end.
    pub fn build(&self, document: &Value, options: &[&str]) -> Output {
        let output = self.command(document, options).output().unwrap();
        self.assert_clean();
        output
    }

    /// Begins to build; what it says goes to the file `log`.
    pub fn begin(&self, document: &Value) -> Child {
        let log = fs::File::create(self.path("log")).unwrap();
        self.command(document, &[]).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Nothing of a build that has ended is left: no working folder, no file that is not whole, no mount, no loop device,
    /// no process.
    pub fn assert_clean(&self) {
        let work: Vec<_> = fs::read_dir(self.path("work")).into_iter().flatten().flatten().collect();
        assert!(work.is_empty(), "{work:?} is left");
        assert!(self.made().iter().all(|name| !name.starts_with('.')), "{:?}", self.made());
        self.assert_nothing_runs();
    }

    /// No mount, no loop device and no process of a build is left.
    pub fn assert_nothing_runs(&self) {
        let top = self.dir.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&top), "{mounts}");
        let loops = Command::new("losetup")
            .args(["--list", "--noheadings", "--output", "BACK-FILE"])
            .output()
            .unwrap();
        let loops = String::from_utf8_lossy(&loops.stdout).into_owned();
        assert!(!loops.contains(&top), "{loops}");
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let root = fs::read_link(entry.path().join("root")).unwrap_or_default();
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            assert!(
                !root.starts_with(&top) && !line.contains(&top),
                "{} runs: {line}",
                entry.path().display()
            );
        }
    }
}

/// Builds, and wants it to succeed.
pub fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

/// Builds that are to fail do so with 255, and say why; the text.
pub fn failed(output: &Output) -> String {
    let text = said(output);
    assert_eq!(output.status.code(), Some(255), "{text}");
    assert!(text.contains("Unexpected error"), "{text}");
    text
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a line of shell; what it printed.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-euc", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn nix_is_root() -> bool {
    sh("id -u") == "0"
}

/// The program: `BAREON_BUILD_IMAGE`, or the one beside `BAREON_PROVISION`, or the one that was built with this test.
pub fn program() -> PathBuf {
    if let Some(path) = env::var_os("BAREON_BUILD_IMAGE") {
        return path.into();
    }
    if let Some(path) = env::var_os("BAREON_PROVISION") {
        return Path::new(&path).with_file_name("bareon-build-image");
    }
    let test = env::current_exe().unwrap();
    let beside = test.ancestors().map(|dir| dir.join("bareon-build-image"));
    beside
        .filter(|path| path.is_file())
        .last()
        .expect("bareon-build-image: build it first, or name it by BAREON_BUILD_IMAGE")
}
