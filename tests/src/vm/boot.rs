//! A machine that boots from its own disk, and is asked what runs there, over ssh.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    machine::{Machine, Running},
    process::{self, Result},
};

/// A boot to ssh takes about a minute; one that takes this long hangs.
const LIMIT: Duration = Duration::from_mins(10);

/// A pair of keys for ssh.
#[derive(Debug, Clone)]
pub struct Key {
    /// The file with the private key.
    pub file: PathBuf,
    /// The line for `authorized_keys`.
    pub public: String,
}

impl Key {
    /// Makes a new pair in `dir`.
    ///
    /// # Errors
    /// When `ssh-keygen` fails.
    pub fn generate(dir: &Path) -> Result<Self> {
        let file = dir.join("id_ed25519");
        process::output(
            process::command("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "vm-test", "-f"])
                .arg(&file),
        )?;
        let public = fs::read_to_string(file.with_extension("pub"))?.trim().to_owned();
        Ok(Self { file, public })
    }
}

/// A machine that has booted and lets us in.
pub struct Booted {
    /// The machine.
    pub running: Running,
    /// The port of this machine's loopback that leads to its ssh.
    pub port: u16,
    /// How long it took until ssh answered.
    pub took: Duration,
    /// What the first script wrote.
    pub said: String,
    key: Key,
}

/// Switches `machine` on, waits until ssh lets the owner of `key` in, and runs `script` there, which must not fail: an
/// emulated machine takes seconds for each login. The console is kept as `NAME.console`.
///
/// # Errors
/// When the machine ends or does not let us in; the error shows the end of its console.
pub fn boot(machine: &Machine, name: &str, key: &Key, script: &str) -> Result<Booted> {
    let (running, port) = machine.start(&machine.dir.join(format!("{name}.console")))?;
    let mut booted = Booted { running, port, took: Duration::ZERO, said: String::new(), key: key.clone() };
    let mut last = String::new();
    while booted.running.age() < LIMIT {
        if let Some(status) = booted.running.status()? {
            return Err(format!("QEMU ended with {status}\n{}", booted.running.said()).into());
        }
        match booted.ask(script) {
            Ok(said) => {
                booted.took = booted.running.age();
                booted.said = said;
                return Ok(booted);
            }
            Err(e) => last = e.to_string(),
        }
        thread::sleep(Duration::from_secs(1));
    }
    Err(format!("no login after {LIMIT:?}: {last}\n{}", booted.running.said()).into())
}

/// The kernel parameter of an installed system that is only to tell what it booted into, see [`check`].
pub const CHECK: &str = "init=/usr/lib/check-boot";

/// Switches `machine` on, whose kernel parameters hold [`CHECK`], waits until it has switched itself off, and answers
/// the facts it printed, as `tests/vm/check-boot` has them. The console is kept as `NAME.console`.
///
/// # Errors
/// When the machine does not get there; the error shows the end of its console.
pub fn check(machine: &Machine, name: &str) -> Result<String> {
    let console = machine.dir.join(format!("{name}.console"));
    machine.start(&console)?.0.wait(LIMIT)?;
    let said = String::from_utf8_lossy(&fs::read(&console)?).replace('\r', "");
    let facts = said.split_once("@@begin\n").and_then(|(_, rest)| rest.split_once("@@end\n"));
    facts.map(|(facts, _)| facts.to_owned()).ok_or_else(|| {
        let tail: Vec<_> = said.lines().rev().take(60).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        format!("{name}: it did not boot; the console ends:\n{}", tail.join("\n")).into()
    })
}

impl Booted {
    /// Runs `script` in `sh` as root of the machine and answers what it wrote.
    ///
    /// # Errors
    /// When it cannot be run, or fails.
    pub fn ask(&self, script: &str) -> Result<String> {
        let mut ssh = process::command("ssh");
        ssh.args(self.options()).args([
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=15",
            "-o",
            "LogLevel=ERROR",
        ]);
        process::output(ssh.arg("root@127.0.0.1").arg(script))
    }

    /// The command line that logs in.
    pub fn login(&self) -> String {
        format!("ssh {} root@127.0.0.1", self.options().join(" "))
    }

    fn options(&self) -> Vec<String> {
        let key = self.key.file.display();
        let line =
            format!("-i {key} -p {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null", self.port);
        line.split(' ').map(String::from).collect()
    }
}
