//! What every case needs: a machine in a folder of its own, a server with the image, a key, and the usual questions.

use std::{collections::BTreeMap, env, path::PathBuf, thread, time::Instant};

use bareon_tests::vm::{
    boot::{self, Key},
    document::{self, ADDRESS, HOSTNAME, KERNEL_PARAMETER},
    http::Server,
    job::{self, Outcome},
    machine::{Bus, Disk, Firmware, Machine},
};
use serde_json::Value;

use crate::bystander;

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
    bystander: Option<(usize, String)>,
    dir: Option<tempfile::TempDir>,
}

impl Case {
    /// A machine with one empty disk of 3 GiB.
    pub fn new(firmware: Firmware, bus: Bus) -> Self {
        let mut case = Self::bare(firmware);
        ok(case.machine.add_disk(bus, "TARGET", 3072));
        case
    }

    /// A machine without disks.
    pub fn bare(firmware: Firmware) -> Self {
        let dir = ok(tempfile::Builder::new().prefix("bareon-vm-").tempdir());
        let machine = ok(Machine::new(dir.path(), firmware));
        let images = ok(Server::start());
        ok(job::serve_image(&images));
        let key = ok(Key::generate(dir.path()));
        Self { images, machine, key, bystander: None, dir: Some(dir) }
    }

    /// Adds the [bystander](bystander), whose bytes are compared after every run and boot from now on.
    pub fn add_bystander(&mut self) {
        let place = bystander::add(&mut self.machine);
        self.bystander = Some((place, ok(self.machine.disks[place].sha256())));
    }

    fn unharmed(&self, by: &str) {
        if let Some((place, before)) = &self.bystander {
            assert_eq!(
                ok(self.machine.disks[*place].sha256()),
                *before,
                "the bystander was written to: {by}"
            );
        }
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

    /// The images that a document fetches: the root image with all in it, or that and one for `/boot` where it is asked for.
    pub fn images(&self, boot: bool) -> Vec<(&'static str, String)> {
        if boot {
            let url = |name: &str| self.images.url(&format!("/split/{name}.img.gz"));
            vec![("/", url("root")), ("/boot", url("boot"))]
        } else {
            vec![("/", self.images.url("/image/root.img.gz"))]
        }
    }

    /// Runs a job in the ramdisk.
    pub fn run(&self, name: &str, document: &Value, script: &str) -> Outcome {
        self.run_with(name, &[("provision.json", document)], script)
    }

    /// Runs a job in the ramdisk with several documents.
    pub fn run_with(&self, name: &str, documents: &[(&str, &Value)], script: &str) -> Outcome {
        let outcome = timed(name, || ok(job::run_with(&self.machine, name, documents, script)));
        self.unharmed(&outcome.to_string());
        outcome
    }

    /// Runs a job in the ramdisk up to where its script says `power_cut`; there the machine loses its power.
    pub fn cut_off(&self, name: &str, document: &Value, script: &str) {
        timed(name, || ok(job::cut_off(&self.machine, name, &[("provision.json", document)], script)));
        self.unharmed(name);
    }

    /// Provisions the machine, which must succeed and leave nothing behind.
    pub fn provision(&self, name: &str, document: &Value) -> Outcome {
        let outcome = self.run(name, document, "provision && nothing_left");
        assert_eq!(outcome.status, 0, "{outcome}");
        assert_eq!(ok(outcome.report())["end"]["outcome"], "success", "{outcome}");
        outcome
    }

    /// Boots the machine as far as its root file system and what fstab lists, and answers what it found. For documents
    /// with [`CHECK`](boot::CHECK) among the kernel parameters.
    pub fn check(&self, name: &str) -> Facts {
        self.check_machine(name, &self.machine)
    }

    /// The same without the disks at the places `pulled`; what it then writes to the others is thrown away.
    pub fn check_without(&self, name: &str, pulled: &[usize]) -> Facts {
        self.check_machine(name, &Machine { forgets: true, ..self.machine.without(pulled) })
    }

    fn check_machine(&self, name: &str, machine: &Machine) -> Facts {
        let facts = Facts::read(&timed(name, || ok(boot::check(machine, name))));
        self.unharmed(name);
        facts.is("mount", "");
        facts.is("swapon", "");
        facts.is("firmware", if self.machine.firmware == Firmware::Uefi { "UEFI" } else { "BIOS" });
        facts.has("cmdline", KERNEL_PARAMETER);
        facts
    }

    /// Boots the machine from its own disk to a login and checks what holds for all.
    pub fn boot(&self, name: &str) -> Facts {
        self.boot_and_ask(name, "")
    }

    /// The same; the machine then runs `script`, too, whose answers are facts as those of `QUESTIONS`.
    pub fn boot_and_ask(&self, name: &str, script: &str) -> Facts {
        self.boot_machine(name, &self.machine, script)
    }

    /// The same without the disks at the places `pulled`; what it then writes to the others is thrown away.
    pub fn boot_without(&self, name: &str, pulled: &[usize]) -> Facts {
        self.boot_machine(name, &Machine { forgets: true, ..self.machine.without(pulled) }, "")
    }

    fn boot_machine(&self, name: &str, machine: &Machine, script: &str) -> Facts {
        // The machine is ended without a shutdown, and may be booted again from what is on its disks by then.
        let script = format!("{QUESTIONS}{script}\nsync\nexit 0");
        let booted = timed(name, || ok(boot::boot(machine, name, &self.key, &script)));
        let facts = Facts::read(&booted.said);
        facts.has("cloud-init", "status: done");
        facts.is("warnings", "");
        facts.is("failed", "");
        facts.is("hostname", HOSTNAME.split('.').next().unwrap_or_default());
        facts.is("fqdn", HOSTNAME);
        facts.has("address", ADDRESS);
        facts.has("route", "default via 10.0.2.2");
        facts.has("cmdline", KERNEL_PARAMETER);
        facts.has("cmdline", "console=ttyS0,115200");
        // GRUB names a volume by its name, which LVM keeps unique, and everything else by its UUID.
        let root = ["root=UUID=", "root=/dev/mapper/"];
        assert!(root.iter().any(|root| facts.get("cmdline").contains(root)), "{facts}");
        facts.has("fstab", "UUID=");
        facts.is("firmware", if self.machine.firmware == Firmware::Uefi { "UEFI" } else { "BIOS" });
        assert!(
            booted.running.console().contains("login:"),
            "no login on the console: {}",
            booted.running.said()
        );
        self.unharmed(name);
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
    /// What `text` says.
    pub fn read(text: &str) -> Self {
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

/// Tells how long `work` took, for those who look for the slow ones with `--nocapture`.
fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    let case = thread::current();
    eprintln!("{}: {name} took {:.1} s", case.name().unwrap_or_default(), begin.elapsed().as_secs_f64());
    done
}

/// What `result` holds; its error fails the test, as text and not escaped.
#[track_caller]
pub fn ok<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}
