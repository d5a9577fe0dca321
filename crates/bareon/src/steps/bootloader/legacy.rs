//! GRUB legacy (0.97), the boot loader of CentOS 6: for a BIOS only.
//!
//! It is taken where the image brings it (`grub`, its stages) and the layout asks for version 1 or the image has no
//! GRUB 2. Its stages are copied to `/boot/grub`, the kernels are entered into `grub.conf`, the newest first, and its
//! shell puts it onto each disk that holds `/boot`: the disk that a BIOS boots from is always its `(hd0)`, so that each
//! disk of a mirror starts by itself.
//!
//! - The shell ends with status 0 whatever happened; that something failed is read from what it prints.
//! - It writes to partitions by a name that it makes from the disk's and a number, which is wrong for `/dev/nvme0n1p1`
//!   and the like. It is given links of our own in `/run`, whose names are made that way.
//! - It reads the disk beside the mounted file system, which is flushed before.
//! - A master boot record leaves room before its first partition, into which it embeds the stage that reads file
//!   systems. A GPT leaves none (its header begins there), and a `bios_grub` partition means nothing to it: it then
//!   writes down where `stage2` lies, so that this file must not be moved.
//! - Red Hat's GRUB reads GPT (their change log: 0.97-15) and ext4 (0.97-52); that of Debian reads neither, which it
//!   says as `Error 22: No such partition` and `Error 2: Bad file or directory type`.
//! - It reads no LVM, and arrays only as their single members: mirrors with their superblock at the end (0.90, 1.0).
//!
//! Tried with the `grub` of Debian's grub-legacy: a disk with a master boot record, which QEMU's BIOS then boots, from
//! the menu on a serial line to a Debian's systemd; a GPT, which it refuses. Not tried, as there is no image to try it
//! with: CentOS 6 itself, and so its initramfs (it is taken as it is, and not opened), a GPT, ext4, `/boot` on a mirror.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use bareon_host::{Runner, grub};
use nix::unistd::syncfs;

use super::{Boot, BootError, Family, defaults, family, found::Found, inroot::Root};
use crate::hardware::usage::Kernel;

/// Its configuration, and the name that its shell writes into its stages.
pub const CONF: &str = "/boot/grub/grub.conf";
const MENU: &str = "/boot/grub/menu.lst";

/// Where the image has its stages, each in a directory that is named after the platform.
const STAGES: [&str; 2] = ["/usr/share/grub", "/usr/lib/grub"];

/// Links by which its shell finds disk and partition, the same here and in the chroot.
const LINKS: &str = "/run/bareon-grub";

/// Which kernels may be booted; all where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernels {
    /// What the names of kernels are to match.
    pub kernel_regexp: Option<String>,
    /// What the names of initramfs are to match.
    pub initrd_regexp: Option<String>,
    /// The one kernel.
    pub kernel: Option<String>,
    /// The one initramfs.
    pub initrd: Option<String>,
}

/// Whether it is the boot loader of this image.
///
/// # Errors
/// When it was asked for and the image does not bring it, or the machine boots by UEFI.
pub fn chosen(boot: &Boot, root: &Root) -> Result<bool, BootError> {
    let there = root.has_program("grub") && stages(root).is_some();
    if boot.grub_version == 1 && !there {
        let what = "GRUB legacy (the program grub, and its stages in /usr/share/grub)".into();
        return Err(BootError::Incomplete { what, package: "grub (Debian: grub-legacy)" });
    }
    let chosen = there && (boot.grub_version == 1 || family::detect(root).is_err());
    if chosen && boot.firmware.uefi() { Err(BootError::LegacyUefi) } else { Ok(chosen) }
}

/// The family of an image with GRUB legacy, by its package manager.
pub fn family_of(root: &Root) -> Family {
    if root.has_program("dpkg") { Family::Debian } else { Family::Rpm }
}

/// The directory with the stages.
fn stages(root: &Root) -> Option<PathBuf> {
    let dirs =
        STAGES.iter().flat_map(|dir| root.names(dir).into_iter().map(move |name| Path::new(dir).join(name)));
    dirs.into_iter().find(|dir| root.has(dir.join("stage1")) && root.has(dir.join("stage2")))
}

/// A disk that holds `/boot`, and the number of its partition that does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    disk: String,
    number: u32,
    partition: String,
}

/// Writes its configuration and puts it onto the boot disks; what was installed, and warnings.
///
/// # Errors
/// When `/boot` is where it cannot be read, no kernel may be booted, or its shell fails.
pub fn install(
    host: &dyn Runner,
    boot: &Boot,
    found: &Found,
    root: &Root,
    kernel: &Kernel,
) -> Result<(Vec<String>, Vec<String>), BootError> {
    let own = boot.own_boot();
    let device = own.unwrap_or(&boot.mounts[0]).device.as_str();
    let holders = holders(kernel, device).ok_or_else(|| BootError::LegacyBoot { device: device.into() })?;
    let number = holders.first().map_or(1, |holder| holder.number);
    if holders.iter().any(|holder| holder.number != number) {
        return Err(BootError::LegacyNumbers { device: device.into() });
    }
    copy_stages(root)?;
    let entries = entries(root, &boot.kernels)?;
    let uuid = &found.entry(&boot.mounts[0].device)?.uuid;
    let conf = conf(boot, number, uuid, own.is_some(), &entries);
    root.write(CONF, conf)?;
    link_menu(root)?;
    let map: Vec<_> = (0..).zip(&boot.disks).map(|(i, disk)| format!("(hd{i}) {}\n", disk.disk)).collect();
    root.write("/boot/grub/device.map", map.concat())?;
    let (mut installed, mut warnings) = (Vec::new(), Vec::new());
    for disk in &boot.disks {
        match holders.iter().find(|holder| holder.disk == disk.disk) {
            Some(holder) => {
                setup(host, root, holder)?;
                installed.push(disk.disk.clone());
            }
            None => warnings.push(format!(
                "{} gets no boot loader: /boot is not on it, and GRUB legacy starts from its own disk only",
                disk.disk
            )),
        }
    }
    if installed.is_empty() {
        Err(BootError::LegacyBoot { device: device.into() })
    } else {
        Ok((installed, warnings))
    }
}

/// The disks and partitions that hold what lies on `device`: one, or the members of a mirror.
fn holders(kernel: &Kernel, device: &str) -> Option<Vec<Holder>> {
    let name = kernel.name(device);
    if let Some(number) = kernel.text(&name, "partition") {
        let disk = kernel.node(kernel.below(&name).first()?);
        return Some(vec![Holder { disk, number: number.parse().ok()?, partition: kernel.node(&name) }]);
    }
    if kernel.text(&name, "md/level")? != "raid1" {
        return None;
    }
    let members: Option<Vec<_>> =
        kernel.below(&name).iter().map(|member| holders(kernel, &kernel.node(member))).collect();
    Some(members?.concat()).filter(|holders| !holders.is_empty())
}

fn copy_stages(root: &Root) -> Result<(), BootError> {
    let Some(dir) = stages(root) else { return Ok(()) };
    for (name, content) in root.files(&dir)? {
        root.write(Path::new("/boot/grub").join(name), content)?;
    }
    Ok(())
}

/// `menu.lst` is the name that GRUB's shell looks for unless it was built to look for `grub.conf`.
fn link_menu(root: &Root) -> Result<(), BootError> {
    root.remove(Path::new(MENU))?;
    let link = root.resolve("/boot/grub")?.join("menu.lst");
    symlink("grub.conf", &link).map_err(BootError::file("making the link", link))
}

/// The kernels that may be booted with their initramfs, the newest first.
fn entries(root: &Root, wanted: &Kernels) -> Result<Vec<(String, String)>, BootError> {
    if let (Some(kernel), Some(initrd)) = (&wanted.kernel, &wanted.initrd) {
        let missing = [kernel, initrd].into_iter().find(|name| !root.has(Path::new("/boot").join(name)));
        return match missing {
            Some(file) => {
                Err(BootError::NoBootFile { entry: "of the layout".into(), file: format!("/boot/{file}") })
            }
            None => Ok(vec![(kernel.clone(), initrd.clone())]),
        };
    }
    let names = root.names("/boot");
    let mut entries = Vec::new();
    for version in family::kernels(root)?.iter().rev() {
        let kernel = format!("vmlinuz-{version}");
        let initrds = [
            format!("initramfs-{version}.img"),
            format!("initrd.img-{version}"),
            format!("initrd-{version}"),
        ];
        let initrd = initrds
            .into_iter()
            .find(|name| names.contains(name) && matches(name, wanted.initrd_regexp.as_ref()));
        if let Some(initrd) = initrd.filter(|_| matches(&kernel, wanted.kernel_regexp.as_ref())) {
            entries.push((kernel, initrd));
        }
    }
    let regexp = wanted.kernel_regexp.clone().unwrap_or_default();
    if entries.is_empty() { Err(BootError::NoKernelMatches(regexp)) } else { Ok(entries) }
}

/// Whether a name begins as a regular expression does that is a text followed by anything (`^vmlinuz-2\.6.*`), which
/// is what drivers give. Another one forbids nothing, and that is said.
fn matches(name: &str, regexp: Option<&String>) -> bool {
    let Some(regexp) = regexp else { return true };
    let Some(beginning) = beginning(regexp) else {
        tracing::warn!("{regexp} is no text followed by .*, so every kernel is taken");
        return true;
    };
    name.starts_with(&beginning)
}

/// The text that such an expression begins with.
fn beginning(regexp: &str) -> Option<String> {
    let text = regexp.strip_prefix('^').unwrap_or(regexp);
    let text = text.strip_suffix(".*").unwrap_or(text);
    let mut beginning = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => beginning.push(chars.next().filter(|c| !c.is_ascii_alphanumeric())?),
            '.' | '*' | '+' | '?' | '[' | ']' | '(' | ')' | '{' | '}' | '|' | '^' | '$' => return None,
            c => beginning.push(c),
        }
    }
    Some(beginning)
}

/// The text of `grub.conf`.
fn conf(boot: &Boot, number: u32, uuid: &str, own_boot: bool, entries: &[(String, String)]) -> String {
    let timeout = boot.grub_timeout;
    let dir = if own_boot { "" } else { "/boot" };
    let params = &boot.kernel_params;
    let mut parts =
        vec![format!("# Written when this system was installed.\ndefault=0\ntimeout={timeout}\n")];
    if let Some(serial) = defaults::serial(params) {
        parts.push(format!("{serial}\nterminal --timeout={timeout} serial console\n"));
    }
    for (kernel, initrd) in entries {
        let title = format!("title Linux ({})", kernel.trim_start_matches("vmlinuz-"));
        let root = format!("\troot (hd0,{})", number.saturating_sub(1));
        let line = format!("\tkernel {dir}/{kernel} ro root=UUID={uuid} {params}");
        parts.push(format!("{title}\n{root}\n{}\n\tinitrd {dir}/{initrd}\n", line.trim_end()));
    }
    parts.concat()
}

/// Has GRUB's shell put it onto a disk.
fn setup(host: &dyn Runner, root: &Root, holder: &Holder) -> Result<(), BootError> {
    const DOING: &str = "flushing what GRUB wrote (look for disk errors by dmesg) to";
    let boot = root.resolve("/boot")?;
    File::open(&boot)
        .and_then(|dir| syncfs(&dir).map_err(Into::into))
        .map_err(BootError::file("flushing", &boot))?;
    let links = Links::new(Path::new(LINKS), holder)?;
    // Open from before, so that it is told of whatever fails meanwhile.
    let disk = File::open(&holder.disk).map_err(BootError::file(DOING, &holder.disk))?;
    let output = host.run(&grub::legacy_setup(root.path(), &links.disk(), holder.number))?;
    disk.sync_all().map_err(BootError::file(DOING, &holder.disk))?;
    match grub::legacy_error(&output.stdout) {
        Some(error) => Err(BootError::LegacySetup { disk: holder.disk.clone(), error }),
        None => Ok(()),
    }
}

/// The links, removed at the end.
struct Links(PathBuf);

impl Links {
    fn new(dir: &Path, holder: &Holder) -> Result<Self, BootError> {
        let made = Self(dir.into());
        // What a run that was killed left.
        made.clear();
        fs::create_dir_all(dir).map_err(BootError::file("making the directory", dir))?;
        for (target, name) in
            [(&holder.disk, "hd0".to_owned()), (&holder.partition, format!("hd0{}", holder.number))]
        {
            let link = dir.join(name);
            symlink(target, &link).map_err(BootError::file("making the link", link))?;
        }
        Ok(made)
    }

    fn disk(&self) -> String {
        self.0.join("hd0").to_string_lossy().into_owned()
    }

    fn clear(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            // Only links: nothing else is ever made here.
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::bootloader::Firmware::{Bios, Uefi};

    fn image(files: &[&str]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for name in files {
            root.write(name, "").unwrap();
        }
        (dir, root)
    }

    const KERNELS: [&str; 6] = [
        "/boot/vmlinuz-2.6.32-9.el6.x86_64",
        "/boot/initramfs-2.6.32-9.el6.x86_64.img",
        "/boot/vmlinuz-2.6.32-10.el6.x86_64",
        "/boot/initramfs-2.6.32-10.el6.x86_64.img",
        "/boot/vmlinuz-3.10.55-1.mos6.x86_64",
        "/boot/initramfs-3.10.55-1.mos6.x86_64.img",
    ];

    #[test]
    fn kernels_are_entered_the_newest_first_and_only_those_that_may_be_booted() {
        let (_dir, root) = image(&KERNELS);
        let all = entries(&root, &Kernels::default()).unwrap();
        let names: Vec<_> = all.iter().map(|(kernel, _)| kernel.as_str()).collect();
        assert_eq!(
            names,
            ["vmlinuz-3.10.55-1.mos6.x86_64", "vmlinuz-2.6.32-10.el6.x86_64", "vmlinuz-2.6.32-9.el6.x86_64"]
        );
        let own = Kernels {
            kernel_regexp: Some(r"^vmlinuz-2\.6.*".into()),
            initrd_regexp: Some(r"^initramfs-2\.6.*".into()),
            ..Kernels::default()
        };
        let old = entries(&root, &own).unwrap();
        assert_eq!(old.len(), 2);
        assert_eq!(old[0].1, "initramfs-2.6.32-10.el6.x86_64.img");
        let none = Kernels { kernel_regexp: Some(r"^vmlinuz-4\..*".into()), ..Kernels::default() };
        assert!(entries(&root, &none).unwrap_err().to_string().contains("kernel_lt"));
        let one = |kernel: &str| Kernels {
            kernel: Some(kernel.into()),
            initrd: Some("initramfs-2.6.32-9.el6.x86_64.img".into()),
            ..Kernels::default()
        };
        assert_eq!(entries(&root, &one("vmlinuz-2.6.32-9.el6.x86_64")).unwrap().len(), 1);
        entries(&root, &one("vmlinuz-9")).unwrap_err();
    }

    #[test]
    fn an_expression_is_a_text_and_what_follows() {
        for (regexp, text) in [
            (r"^vmlinuz-2\.6.*", Some("vmlinuz-2.6")),
            ("^vmlinuz-3.*", Some("vmlinuz-3")),
            (r"^vmlinuz-\d+.*", None),
            ("^(vmlinuz|kernel).*", None),
            ("vmlinuz-2.6.*", None),
        ] {
            assert_eq!(beginning(regexp).as_deref(), text, "{regexp}");
        }
    }

    #[test]
    fn a_disk_and_the_members_of_a_mirror_hold_boot() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: dir.path().into(), sys: dir.path().into() };
        let class = dir.path().join("class/block");
        for disk in ["sda", "sdb"] {
            for path in [format!("{disk}3"), format!("{disk}/{disk}3")] {
                fs::create_dir_all(class.join(&path)).unwrap();
                fs::write(class.join(path).join("partition"), "3\n").unwrap();
            }
        }
        for (array, level) in [("md0", "raid1"), ("md1", "raid5")] {
            let dir = class.join(array);
            fs::create_dir_all(dir.join("md")).unwrap();
            fs::write(dir.join("md/level"), format!("{level}\n")).unwrap();
            fs::create_dir_all(dir.join("slaves")).unwrap();
            for member in ["sda3", "sdb3"] {
                fs::write(dir.join("slaves").join(member), "").unwrap();
            }
        }
        let holder = |disk: &str| Holder { disk: disk.into(), number: 3, partition: format!("{disk}3") };
        assert_eq!(holders(&kernel, "/dev/sda3"), Some(vec![holder("/dev/sda")]));
        assert_eq!(holders(&kernel, "/dev/md0"), Some(vec![holder("/dev/sda"), holder("/dev/sdb")]));
        assert_eq!(holders(&kernel, "/dev/md1"), None);
    }

    #[test]
    fn an_image_with_grub_2_is_booted_by_that_one_unless_the_layout_says_otherwise() {
        let legacy =
            ["/sbin/grub", "/usr/share/grub/x86_64-redhat/stage1", "/usr/share/grub/x86_64-redhat/stage2"];
        let both = [&legacy[..], &["/usr/sbin/grub2-mkconfig"]].concat();
        let boot = |version, firmware| {
            let mut boot = crate::audit::tests::Bench::new().boot;
            (boot.grub_version, boot.firmware) = (version, firmware);
            boot
        };
        for (files, version, chosen) in
            [(&legacy[..], 1, true), (&legacy, 2, true), (&both, 2, false), (&both, 1, true), (&[], 2, false)]
        {
            let (_dir, root) = image(files);
            assert_eq!(super::chosen(&boot(version, Bios), &root).unwrap(), chosen, "{files:?} {version}");
        }
        let (_dir, root) = image(&legacy);
        assert!(matches!(super::chosen(&boot(2, Uefi), &root), Err(BootError::LegacyUefi)));
        let (_dir, root) = image(&both[3..]);
        assert!(super::chosen(&boot(1, Bios), &root).unwrap_err().to_string().contains("the package grub"));
    }

    #[test]
    fn the_configuration_names_partition_and_files_as_grub_finds_them() {
        let mut boot = crate::audit::tests::Bench::new().boot;
        boot.kernel_params = "console=ttyS0,115200 quiet".into();
        let entries = [("vmlinuz-2.6".to_owned(), "initramfs-2.6.img".to_owned())];
        assert_eq!(
            conf(&boot, 3, "ab-cd", true, &entries),
            "# Written when this system was installed.\ndefault=0\ntimeout=5\n\
             serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1\nterminal --timeout=5 serial console\n\
             title Linux (2.6)\n\troot (hd0,2)\n\tkernel /vmlinuz-2.6 ro root=UUID=ab-cd console=ttyS0,115200 quiet\n\
             \tinitrd /initramfs-2.6.img\n"
        );
        boot.kernel_params.clear();
        let text = conf(&boot, 1, "ab-cd", false, &entries);
        assert!(
            text.contains("\tkernel /boot/vmlinuz-2.6 ro root=UUID=ab-cd\n\tinitrd /boot/initramfs"),
            "{text}"
        );
    }
}
