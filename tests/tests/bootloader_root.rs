//! The boot loader's step on a loop device, with a real Debian: needs root, loop devices and
//! mmdebstrap (once; the tree is kept in `$BAREON_CACHE`, `~/.cache/bareon` where that is not set).
//! What is missing is said, and the test skipped.
#![expect(clippy::disallowed_methods, reason = "a test sets its machine up with the tools themselves")]

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use bareon::audit::{self, Check, Finding, Scope, Severity};
use bareon::hardware::usage::Kernel;
use bareon::steps::bootloader::{
    self, Boot, BootDisk, BootError, BootOrder, Family, Firmware, InFstab, Mount, Storage, defaults,
    initramfs, legacy::Kernels,
};
use bareon_host::{System, mount};

const PACKAGES: &str =
    "linux-image-cloud-amd64,grub-pc-bin,grub2-common,e2fsprogs,initramfs-tools,systemd-sysv,udev";

/// Runs a shell's line and gives its output; panics with all that it said where it fails.
fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-euc", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Why this cannot run here.
fn missing() -> Option<&'static str> {
    let has = |line: &str| Command::new("sh").args(["-c", line]).output().is_ok_and(|o| o.status.success());
    [
        ("test $(id -u) = 0", "root"),
        ("losetup -f", "loop devices"),
        ("command -v partx && command -v sfdisk && command -v mkfs.ext4", "partx, sfdisk, mkfs.ext4"),
        ("command -v mmdebstrap", "mmdebstrap"),
    ]
    .into_iter()
    .find_map(|(check, what)| (!has(check)).then_some(what))
}

/// Held while the Debian of these tests is made.
static MAKING: Mutex<()> = Mutex::new(());

/// A Debian with a kernel and GRUB, as a tar file. The first test that asks for it makes it, the others wait.
fn debian() -> PathBuf {
    let cache = std::env::var("BAREON_CACHE").unwrap_or_else(|_| {
        format!("{}/.cache/bareon", std::env::var("HOME").unwrap_or_else(|_| "/root".into()))
    });
    fs::create_dir_all(&cache).expect("the cache's directory");
    let tar = Path::new(&cache).join("bootloader-bookworm.tar");
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if !tar.exists() {
        let new = tar.with_extension("new");
        sh(&format!(
            "mmdebstrap --variant=minbase --format=tar --include={PACKAGES} --dpkgopt='path-exclude=/usr/share/doc/*' \
             --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' bookworm {0} && mv {0} {1}",
            new.display(),
            tar.display()
        ));
    }
    tar
}

/// A disk in a file with a partition for GRUB and one with a Debian; detached at the end.
struct Disk {
    dir: tempfile::TempDir,
    name: String,
    /// The number of the partition with the system.
    number: u32,
}

impl Disk {
    fn with_debian(tar: &Path) -> Self {
        let table = "label: gpt\\nsize=24M,type=21686148-6449-6E6F-744E-656564454649\\ntype=linux\\n";
        Self::laid_out(tar, (table, 2, "mkfs.ext4 -q"))
    }

    /// With that table, the system in the partition of that number, made by that command.
    fn laid_out(tar: &Path, (table, number, mkfs): (&str, u32, &str)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("disk");
        let image = file.display();
        sh(&format!("truncate -s 2G {image}"));
        sh(&format!("printf '{table}' | sfdisk -q {image}"));
        let name = sh(&format!("losetup -f --show {image}"));
        let disk = Self { dir, name, number };
        // Not every kernel reads the table by itself, and nodes of the file before may still be there.
        sh(&format!("partx -u {}", disk.name));
        let mounted = disk.dir.path().join("fill");
        fs::create_dir(&mounted).expect("a directory");
        sh(&format!(
            "{mkfs} {0} && mount {0} {1} && tar -xf {2} -C {1} --numeric-owner && umount {1}",
            disk.root(),
            mounted.display(),
            tar.display()
        ));
        disk
    }

    fn root(&self) -> String {
        format!("{}p{}", self.name, self.number)
    }

    fn uuid(&self) -> String {
        sh(&format!("blkid -p -o value -s UUID {}", self.root()))
    }

    /// Does something with the mounted system, as a shell whose directory is its root.
    fn inside(&self, line: &str) -> String {
        let mounted = self.dir.path().join("look");
        fs::create_dir_all(&mounted).expect("a directory");
        let mounted = mounted.display();
        sh(&format!("mount {} {mounted}; (cd {mounted}; {line}); umount {mounted}", self.root()))
    }

    fn boot(&self, params: &str) -> Boot {
        let root = Mount {
            device: self.root(),
            mount: "/".into(),
            fs_type: "xfs".into(),
            image: true,
            fstab: InFstab::Usual,
        };
        Boot {
            target: self.dir.path().join("target"),
            mounts: vec![root],
            swaps: Vec::new(),
            storage: Storage { disks: vec![self.name.clone()], ..Storage::default() },
            disks: vec![BootDisk { disk: self.name.clone(), esp: None }],
            firmware: Firmware::Bios,
            efi_boot_order: BootOrder::Keep,
            efivars: false,
            kernel_params: params.into(),
            grub_version: 2,
            kernels: Kernels::default(),
            grub_timeout: 3,
            fix_udev_net_rules: true,
            udev_rules: vec![("52:54:00:12:34:56".into(), "lan0".into())],
            udev_rules_dir: "/etc/udev/rules.d".into(),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let line = format!("partx -d {0}; losetup -d {0}", self.name);
        let _ = Command::new("sh").args(["-c", &line]).output();
    }
}

#[test]
fn a_debian_is_made_bootable_and_left_unmounted() {
    if let Some(what) = missing() {
        eprintln!("SKIPPED: no {what} here");
        return;
    }
    mount::private_namespace().expect("mounts of our own");
    let disk = Disk::with_debian(&debian());
    // A script of the image that leaves a process behind whenever it is read, and a link that would
    // lead into this system; both are to do no harm.
    let marker = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos().to_string();
    let marker = &marker[..12];
    disk.inside(&format!(
        "echo '(setsid sleep {marker} >/dev/null 2>&1 &)' >> etc/default/grub; ln -sfn /tmp/{marker} etc/fstab; \
         mkdir -p etc/default/grub.d; echo 'GRUB_TIMEOUT=77' > etc/default/grub.d/50-cloud.cfg"
    ));

    let params = "net.ifnames=0 console=ttyS0,115200 price=$HOME&x a=\"b c\"";
    let boot = disk.boot(params);
    let report = bootloader::run(&System::default(), &boot, &Kernel::default()).expect("a boot loader");

    assert_eq!(report.family, Family::Debian);
    assert_eq!(report.installed, std::slice::from_ref(&disk.name));
    assert_eq!(report.kernels.len(), 1);
    assert!(report.warnings.iter().any(|w| w.contains("holds ext4, the layout says xfs")), "{report:?}");
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&*disk.dir.path().to_string_lossy()), "left mounted: {mounts}");
    let left = sh(&format!("pgrep -fx 'sleep {marker}' || true"));
    assert_eq!(left, "", "a process of the image still runs");

    let uuid = disk.uuid();
    let cfg = disk.inside("cat boot/grub/grub.cfg");
    let kernel = cfg.lines().find(|line| line.trim_start().starts_with("linux")).expect("a kernel");
    assert!(kernel.contains(&format!("root=UUID={uuid} ro")), "{kernel}");
    assert!(kernel.contains("price=\\$HOME\\&x a=\"b c\""), "{kernel}");
    assert!(cfg.contains("set timeout=3") && !cfg.contains("set timeout=77"));
    assert!(cfg.contains("serial --unit=0 --speed=115200") && cfg.contains("terminal_input console serial"));
    assert!(!Path::new("/tmp").join(marker).exists(), "a link led out of the image");
    let fstab = disk.inside(&format!("cat tmp/{marker}"));
    assert_eq!(fstab, report.fstab.trim());
    assert!(fstab.ends_with(&format!("UUID={uuid} / ext4 errors=remount-ro 0 1")), "{fstab}");
    assert!(disk.inside("cat etc/udev/rules.d/70-persistent-net.rules").contains("NAME=\"lan0\""));
    let mbr = fs::read(&disk.name).map(|bytes| bytes[..512].to_vec()).expect("the first sector");
    assert!(mbr.windows(4).any(|bytes| bytes == b"GRUB"), "no boot sector");
    sh(&format!("e2fsck -fn {}", disk.root()));

    // The initramfs was enough for a disk without a driver, so it is the image's own; it can be opened.
    let copy = disk.dir.path().join("initrd");
    disk.inside(&format!("cp boot/initrd.img-{} {}", report.kernels[0], copy.display()));
    let file = BufReader::new(fs::File::open(&copy).expect("the copy"));
    let opened = initramfs::read(file, &|path| path == "conf/initramfs.conf").expect("an initramfs");
    let module = format!("usr/lib/modules/{}/kernel/drivers/block/virtio_blk.ko", report.kernels[0]);
    assert!(opened.paths.contains("init") && opened.paths.contains(&module), "{:?}", opened.paths);
    assert!(opened.texts["conf/initramfs.conf"].contains("MODULES=most"), "{:?}", opened.texts);

    // Once more over the first, with other parameters; then without the modules, which is refused.
    let again = Boot { kernel_params: "quiet".into(), ..disk.boot("") };
    bootloader::run(&System::default(), &again, &Kernel::default()).expect("a boot loader once more");
    let defaults = disk.inside(&format!("cat .{} .{}", defaults::FILE, defaults::LAST));
    assert_eq!(defaults.matches("GRUB_CMDLINE_LINUX=quiet").count(), 2, "{defaults}");
    disk.inside("rm -r usr/lib/grub/i386-pc");
    let error =
        bootloader::run(&System::default(), &again, &Kernel::default()).expect_err("modules are missing");
    assert!(matches!(error, BootError::Incomplete { package: "grub-pc-bin", .. }), "{error}");
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&*disk.dir.path().to_string_lossy()), "left mounted: {mounts}");
}

/// What the audit finds of the disk as it is, beside what it says of this machine's console.
fn audited(boot: &Boot) -> Vec<Finding> {
    let scope = Scope { disks: boot.disks.iter().map(|disk| disk.disk.clone()).collect() };
    let mut found = audit::alone(&System::default(), boot, &scope).expect("an audit");
    found.retain(|finding| finding.check != Check::Console);
    found
}

/// What breaks something, how that is found, and what mends it.
type Break<'a> = (Box<dyn Fn() + 'a>, Check, Severity, &'a str, Box<dyn Fn() + 'a>);

#[test]
fn what_is_broken_of_an_installed_system_is_what_the_audit_finds() {
    if let Some(what) = missing() {
        eprintln!("SKIPPED: no {what} here");
        return;
    }
    mount::private_namespace().expect("mounts of our own");
    let disk = Disk::with_debian(&debian());
    let boot = disk.boot("console=ttyS0");
    let scope = Scope { disks: [disk.name.clone()].into() };
    let (_, after) = bootloader::run_then(&System::default(), &boot, &Kernel::default(), |root, esps| {
        audit::after(&System::default(), &boot, &scope, root, esps)
    })
    .expect("a boot loader");
    assert_eq!(after.expect("an audit"), []);
    let before = sh(&format!("sha256sum < {}", disk.name));
    assert_eq!(audited(&boot), []);
    assert_eq!(sh(&format!("sha256sum < {}", disk.name)), before, "the audit wrote to the disk");

    let (root, uuid) = (disk.root(), disk.uuid());
    let other = "11111111-2222-3333-4444-555555555555";
    let sed = |file: &str| {
        format!("cp {file} /tmp/{0}; sed -i s/{uuid}/{other}/ {file}", disk.name.replace('/', "-"))
    };
    let restore = |file: &str| format!("mv /tmp/{} {file}", disk.name.replace('/', "-"));
    let inside = |line: &str| {
        disk.inside(line);
    };
    let breaks: Vec<Break<'_>> = vec![
        (
            Box::new(|| inside("mv boot/vmlinuz-* root/")),
            Check::GrubCfg,
            Severity::Error,
            "it names /boot/vmlinuz-",
            Box::new(|| inside("mv root/vmlinuz-* boot/")),
        ),
        (
            Box::new(|| inside(&sed("etc/fstab"))),
            Check::Fstab,
            Severity::Error,
            other,
            Box::new(|| inside(&restore("etc/fstab"))),
        ),
        (
            Box::new(|| inside(&sed("boot/grub/grub.cfg"))),
            Check::GrubCfg,
            Severity::Error,
            other,
            Box::new(|| inside(&restore("boot/grub/grub.cfg"))),
        ),
        (
            Box::new(|| {
                sh(&format!(
                    "dd if={0} of={0}.mbr bs=440 count=1; dd if=/dev/zero of={1} bs=440 count=1",
                    disk.dir.path().join("disk").display(),
                    disk.name
                ));
            }),
            Check::BootCode,
            Severity::Error,
            "there is no boot code",
            Box::new(|| {
                sh(&format!(
                    "dd if={0}.mbr of={1} bs=440 count=1",
                    disk.dir.path().join("disk").display(),
                    disk.name
                ));
            }),
        ),
    ];
    for (broken, check, severity, problem, mend) in breaks {
        broken();
        let found = audited(&boot);
        assert!(!found.is_empty(), "not seen: {problem}");
        for finding in &found {
            assert_eq!((finding.check, finding.severity), (check, severity), "{found:?}");
            assert!(finding.to_string().contains(problem), "{found:?}");
        }
        mend();
        assert_eq!(audited(&boot), []);
    }

    // A label that another disk has, and then the whole file system once more.
    let label = format!("a{}", std::process::id());
    sh(&format!("e2label {root} {label}"));
    let twin = Blank::new();
    sh(&format!("mkfs.ext4 -q -L {label} {}", twin.0));
    let told = |severity, what: &str| {
        let found = audited(&boot);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].check, found[0].severity), (Check::Names, severity), "{found:?}");
        assert_eq!(found[0].place, root);
        assert!(found[0].problem.contains(what) && found[0].problem.contains(&twin.0), "{found:?}");
    };
    told(Severity::Warning, "its label");
    sh(&format!("mkfs.ext4 -q -F -U {uuid} {}", twin.0));
    told(Severity::Error, "its UUID");
}

/// A disk with nothing on it.
struct Blank(String, #[expect(dead_code, reason = "the disk's file")] tempfile::TempDir);

impl Blank {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("disk");
        let name = sh(&format!("truncate -s 64M {0}; losetup -f --show {0}", file.display()));
        Self(name, dir)
    }
}

impl Drop for Blank {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).output();
    }
}

/// The packages of GRUB legacy: it is a program of 32 bits.
fn grub_legacy() -> Option<PathBuf> {
    let dir = debian().with_file_name("grub-legacy");
    let line =
        format!("mkdir -p {0}; cd {0}; ls *.deb || apt-get download grub-legacy libc6-i386", dir.display());
    let fetched =
        Command::new("sh").args(["-ec", &line]).output().is_ok_and(|output| output.status.success());
    fetched.then_some(dir)
}

#[test]
fn grub_legacy_is_installed_where_the_image_brings_no_other() {
    if let Some(what) = missing() {
        eprintln!("SKIPPED: no {what} here");
        return;
    }
    let Some(packages) = grub_legacy() else {
        eprintln!("SKIPPED: grub-legacy and libc6-i386 cannot be fetched here");
        return;
    };
    mount::private_namespace().expect("mounts of our own");
    // What the GRUB of Debian's package reads.
    let layout = ("label: dos\\nstart=2048,type=83,bootable\\n", 1, "mkfs.ext2 -q -I 128");
    let disk = Disk::laid_out(&debian(), layout);
    disk.inside(&format!(
        "rm -rf usr/sbin/grub-* usr/bin/grub-* usr/lib/grub boot/grub; \
         for deb in {}/*.deb; do dpkg-deb --fsys-tarfile $deb | tar -xf - --keep-directory-symlink; done",
        packages.display()
    ));
    let boot = disk.boot("console=ttyS0,115200 panic=-1");
    let scope = Scope { disks: [disk.name.clone()].into() };
    let (report, found) =
        bootloader::run_then(&System::default(), &boot, &Kernel::default(), |root, esps| {
            audit::after(&System::default(), &boot, &scope, root, esps)
        })
        .expect("a boot loader");
    assert_eq!(report.installed, std::slice::from_ref(&disk.name));
    let mut found = found.expect("an audit");
    found.retain(|finding| finding.check != Check::Console);
    assert_eq!(found, []);
    assert!(!Path::new("/run/bareon-grub").exists());
    let conf = disk.inside("cat boot/grub/menu.lst");
    assert!(conf.contains("root (hd0,0)\n\tkernel /boot/vmlinuz-") && conf.contains(&disk.uuid()), "{conf}");
    sh(&format!("e2fsck -fn {}", disk.root()));
    if let Ok(kept) = std::env::var("BAREON_KEEP_DISK") {
        sh(&format!("cp --sparse=always {} {kept}", disk.dir.path().join("disk").display()));
    }
    sh(&format!("dd if=/dev/zero of={} bs=440 count=1", disk.name));
    assert!(audited(&boot).iter().any(|finding| finding.check == Check::BootCode));
}
