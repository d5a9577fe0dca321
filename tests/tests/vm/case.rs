//! What every case needs: a machine in a folder of its own, a server with the image, a key, and the usual questions.

use std::{collections::BTreeMap, env, path::PathBuf};

use bareon_tests::vm::{
    boot::{self, Booted, Key},
    document::{self, ADDRESS, HOSTNAME, KERNEL_PARAMETER},
    http::Server,
    job::{self, Outcome},
    machine::{Bus, Disk, Firmware, Machine},
};
use serde_json::Value;

/// Asked of every machine that has booted. Each answer is a line `@NAME` and what follows it.
const QUESTIONS: &str = r#"
fact() { echo "@$1"; shift; "$@" 2>&1; }
fact cloud-init cloud-init status --wait
fact warnings grep -h WARNING /var/log/cloud-init.log
fact failed systemctl --failed --plain --no-legend
fact hostname hostname
fact fqdn hostname -f
fact root findmnt -no SOURCE,FSTYPE /
fact root-size findmnt -bno SIZE /
fact mounts findmnt --real -rno TARGET,SOURCE,FSTYPE,LABEL
fact fstab cat /etc/fstab
fact swaps swapon --show=NAME,TYPE --noheadings
fact labels lsblk -rno LABEL,FSTYPE,NAME
fact address ip -br -4 address show scope global
fact route ip -4 route show default
fact cmdline cat /proc/cmdline
fact firmware sh -c '[ -d /sys/firmware/efi ] && echo UEFI || echo BIOS'
fact loader find /boot/efi/EFI -type f
fact nvram efibootmgr
fact machine-id cat /etc/machine-id
fact home ls -A /home /srv
"#;

/// A machine under test.
pub struct Case {
    /// The server with the images, apart from the one with the jobs: this one may die.
    pub images: Server,
    /// The machine.
    pub machine: Machine,
    /// Who may log in.
    pub key: Key,
    dir: Option<tempfile::TempDir>,
}

impl Case {
    /// A machine with one empty disk of 3 GiB.
    pub fn new(firmware: Firmware, bus: Bus) -> Self {
        let dir = ok(tempfile::Builder::new().prefix("bareon-vm-").tempdir());
        let mut machine = ok(Machine::new(dir.path(), firmware));
        ok(machine.add_disk(bus, "TARGET", 3072));
        let images = ok(Server::start());
        ok(job::serve_image(&images));
        let key = ok(Key::generate(dir.path()));
        Self { images, machine, key, dir: Some(dir) }
    }

    /// The disk that is provisioned.
    pub fn target(&self) -> &Disk {
        &self.machine.disks[0]
    }

    /// A document that lays `volumes` on the first disk and fetches the root image.
    pub fn document(&self, volumes: Vec<Value>) -> Value {
        let layout = [document::disk(self.target(), volumes)];
        document::document(&layout, &[("/", self.images.url("/image/root.img.gz"))], &self.key.public)
    }

    /// Runs a job in the ramdisk.
    pub fn run(&self, name: &str, document: &Value, script: &str) -> Outcome {
        ok(job::run(&self.machine, name, document, script))
    }

    /// Provisions the machine, which must succeed and leave nothing behind.
    pub fn provision(&self, name: &str, document: &Value) -> Outcome {
        let outcome = self.run(name, document, "provision && nothing_left");
        assert_eq!(outcome.status, 0, "{outcome}");
        assert_eq!(ok(outcome.report())["end"]["outcome"], "success", "{outcome}");
        outcome
    }

    /// Boots the machine from its own disk and checks what holds for all.
    pub fn boot(&self, name: &str) -> Facts {
        let booted = ok(boot::boot(&self.machine, name, &self.key));
        let facts = Facts::of(&booted);
        facts.has("cloud-init", "status: done");
        facts.is("warnings", "");
        facts.is("failed", "");
        facts.is("hostname", HOSTNAME.split('.').next().unwrap_or_default());
        facts.is("fqdn", HOSTNAME);
        facts.has("address", ADDRESS);
        facts.has("route", "default via 10.0.2.2");
        facts.has("cmdline", KERNEL_PARAMETER);
        facts.has("cmdline", "console=ttyS0,115200");
        facts.has("cmdline", "root=UUID=");
        facts.has("fstab", "UUID=");
        facts.is("firmware", if self.machine.firmware == Firmware::Uefi { "UEFI" } else { "BIOS" });
        assert!(
            booted.running.console().contains("login:"),
            "no login on the console: {}",
            booted.running.said()
        );
        facts
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if env::var_os("BAREON_KEEP").is_some() {
            let kept: Option<PathBuf> = self.dir.take().map(tempfile::TempDir::keep);
            eprintln!("kept: {}", kept.unwrap_or_default().display());
        }
    }
}

/// What a machine answered.
pub struct Facts(BTreeMap<String, String>);

impl Facts {
    fn of(booted: &Booted) -> Self {
        let text = ok(booted.ask(QUESTIONS));
        let facts = format!("\n{text}")
            .split("\n@")
            .skip(1)
            .map(|part| part.split_once('\n').unwrap_or((part, "")))
            .map(|(name, answer)| (name.to_owned(), answer.trim().to_owned()))
            .collect();
        Self(facts)
    }

    /// The answer to the question `name`.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Fails unless the answer to `name` contains `part`.
    pub fn has(&self, name: &str, part: &str) {
        assert!(self.get(name).contains(part), "{name} lacks {part:?}: {self}");
    }

    /// Fails unless the answer to `name` is `whole`.
    pub fn is(&self, name: &str, whole: &str) {
        assert_eq!(self.get(name), whole, "{name}: {self}");
    }

    /// Fails unless `target` is mounted as this type of file system, with this label. An image brings its own label.
    pub fn mounted(&self, target: &str, file_system: &str, label: &str) {
        let found = self.get("mounts").lines().any(|line| {
            let mut words = line.split(' ');
            words.next() == Some(target)
                && words.nth(1) == Some(file_system)
                && words.next().unwrap_or("") == label
        });
        assert!(found, "{target} is not mounted as {file_system} labelled {label}: {self}");
    }
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(name, answer)| write!(f, "\n@{name}\n{answer}"))
    }
}

/// What `result` holds; its error fails the test, as text and not escaped.
#[track_caller]
pub fn ok<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}
