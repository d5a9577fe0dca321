//! What the image brings to boot with, found out by looking at its files.
//!
//! Debian's family and the RPM family ship the same GRUB 2 under two names, `grub-*` and `grub2-*`.
//! Modules come in packages of their own, one for each kind of firmware; what is missing is named
//! here, before anything is changed, and not by a tool that fails half-way.

use std::{cmp::Ordering, collections::BTreeMap, path::Path};

use super::{BootError, Family, Storage, inroot::Root};

/// The names of a family's programs and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The program that installs GRUB.
    pub install: &'static str,
    /// The program that writes its configuration.
    pub mkconfig: &'static str,
    /// The directory of its configuration.
    pub dir: &'static str,
}

impl Family {
    /// The names of its programs and files.
    pub const fn names(self) -> Names {
        match self {
            Self::Debian => Names { install: "grub-install", mkconfig: "grub-mkconfig", dir: "/boot/grub" },
            Self::Rpm => Names { install: "grub2-install", mkconfig: "grub2-mkconfig", dir: "/boot/grub2" },
        }
    }

    /// The file that `mkconfig` writes.
    pub fn grub_cfg(self) -> String {
        format!("{}/grub.cfg", self.names().dir)
    }

    /// The package with the modules for BIOS.
    const fn bios_package(self) -> &'static str {
        match self {
            Self::Debian => "grub-pc-bin",
            Self::Rpm => "grub2-pc-modules",
        }
    }
}

/// The family of the image.
///
/// # Errors
/// When it brings no GRUB 2.
pub fn detect(root: &Root) -> Result<Family, BootError> {
    [Family::Debian, Family::Rpm]
        .into_iter()
        .find(|family| root.has_program(family.names().mkconfig))
        .ok_or(BootError::NoGrub)
}

/// Checks that the image can install GRUB for a BIOS.
///
/// # Errors
/// When it cannot; the error names the package.
pub fn check_bios(root: &Root, family: Family, storage: &Storage) -> Result<(), BootError> {
    check_installer(root, family)?;
    check_modules(root, "i386-pc", family.bios_package())?;
    check_readers(root, storage, "i386-pc", family.bios_package())
}

/// Checks that the image of Debian's family can install GRUB for UEFI.
///
/// # Errors
/// When it cannot; the error names the package.
pub fn check_debian_efi(root: &Root, storage: &Storage) -> Result<(), BootError> {
    check_installer(root, Family::Debian)?;
    check_modules(root, "x86_64-efi", "grub-efi-amd64-bin")?;
    check_readers(root, storage, "x86_64-efi", "grub-efi-amd64-bin")
}

fn check_installer(root: &Root, family: Family) -> Result<(), BootError> {
    let program = family.names().install;
    if root.has_program(program) {
        return Ok(());
    }
    let package = match family {
        Family::Debian => "grub2-common",
        Family::Rpm => "grub2-tools",
    };
    Err(BootError::Incomplete { what: program.into(), package })
}

fn check_modules(root: &Root, platform: &str, package: &'static str) -> Result<(), BootError> {
    let dir = format!("/usr/lib/grub/{platform}");
    if root.has(Path::new(&dir).join("moddep.lst")) {
        return Ok(());
    }
    Err(BootError::Incomplete { what: format!("GRUB modules in {dir}"), package })
}

/// The distribution's name in `os-release`, which is the name of its directory in the EFI system
/// partition: signed boot loaders look for their configuration there.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn distribution(root: &Root) -> Result<String, BootError> {
    let mut text = None;
    for file in ["/etc/os-release", "/usr/lib/os-release"] {
        text = text.or(root.read(file)?);
    }
    let id = text.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("ID=")));
    let id = id.unwrap_or_default().trim().trim_matches(['"', '\'']);
    let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    Ok(if plain { id.into() } else { "linux".into() })
}

/// The versions of the kernels that have an initramfs, the oldest first.
///
/// # Errors
/// When there is no such kernel.
pub fn kernels(root: &Root) -> Result<Vec<String>, BootError> {
    let names = root.names("/boot");
    let mut kernels: Vec<_> = names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).collect();
    kernels.sort_by(|a, b| by_version(a, b));
    if kernels.is_empty() {
        return Err(BootError::NoKernel);
    }
    let has_initramfs = |version: &&&str| initramfs_names(version).iter().any(|name| names.contains(name));
    let bootable: Vec<_> = kernels.iter().filter(has_initramfs).map(ToString::to_string).collect();
    if bootable.is_empty() { Err(BootError::NoInitramfs(kernels.join(", "))) } else { Ok(bootable) }
}

/// The names that the initramfs of a kernel may have in `/boot`.
pub fn initramfs_names(version: &str) -> [String; 3] {
    [format!("initrd.img-{version}"), format!("initramfs-{version}.img"), format!("initrd-{version}")]
}

/// Checks that the image brings the programs that its storage needs.
///
/// # Errors
/// When it does not; the error names the package.
pub fn check_storage(root: &Root, storage: &Storage) -> Result<(), BootError> {
    for (needed, program, why, package) in [
        (!storage.arrays.is_empty(), "mdadm", "this layout has arrays", "mdadm"),
        (!storage.groups.is_empty(), "lvm", "this layout has volume groups", "lvm2"),
    ] {
        if needed && !root.has_program(program) {
            return Err(BootError::Incomplete { what: format!("program {program}, and {why}"), package });
        }
    }
    Ok(())
}

/// Checks that GRUB can read what `/boot` lies on, by its modules in `platform`.
///
/// # Errors
/// When it cannot; the error names the package.
fn check_readers(
    root: &Root,
    storage: &Storage,
    platform: &str,
    package: &'static str,
) -> Result<(), BootError> {
    let mut modules = Vec::new();
    for array in storage.arrays.iter().filter(|array| array.needed_by.grub) {
        let unreadable =
            || BootError::GrubCannotRead { device: array.device.clone(), level: array.level.clone() };
        modules.extend(array.grub_modules().ok_or_else(unreadable)?);
    }
    if storage.groups.iter().any(|group| group.needed_by.grub) {
        modules.push("lvm");
    }
    let dir = format!("/usr/lib/grub/{platform}");
    match modules.into_iter().find(|module| !root.has(format!("{dir}/{module}.mod"))) {
        None => Ok(()),
        Some(module) => {
            Err(BootError::Incomplete { what: format!("GRUB module {module} in {dir}"), package })
        }
    }
}

/// Whether dracut made the image's initramfs for the machine that the image was built on.
pub fn hostonly_initramfs(root: &Root) -> bool {
    if !root.has_program("dracut") {
        return false;
    }
    let set = |file: &String| root.read(file).ok().flatten().and_then(|text| hostonly(&text));
    dracut_files(root).iter().filter_map(set).next_back().unwrap_or(true)
}

/// Dracut's configuration in the order in which it is read, see dracut.conf(5): what stands last
/// counts, and a file in `/etc` hides the one of the same name in `/usr/lib`.
fn dracut_files(root: &Root) -> Vec<String> {
    let mut read = BTreeMap::new();
    for dir in ["/usr/lib/dracut/dracut.conf.d", "/etc/dracut.conf.d"] {
        let names = root.names(dir).into_iter();
        let names = names.filter(|name| Path::new(name).extension().is_some_and(|ext| ext == "conf"));
        read.extend(names.map(|name| (name.clone(), format!("{dir}/{name}"))));
    }
    let mut files = vec!["/etc/dracut.conf".to_owned()];
    files.extend(read.into_values());
    files
}

/// What a file of dracut's configuration, which is a shell script, sets `hostonly` to.
fn hostonly(text: &str) -> Option<bool> {
    let value = text.lines().filter_map(|line| line.trim().strip_prefix("hostonly=")).next_back()?;
    let value = value.split(['#', ';', ' ', '\t']).next().unwrap_or_default();
    Some(value.trim_matches(['"', '\'']) != "no")
}

/// Whether the image's configuration has `SELinux` on.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn uses_selinux(root: &Root) -> Result<bool, BootError> {
    let text = root.read("/etc/selinux/config")?.unwrap_or_default();
    let mode = text.lines().filter_map(|line| line.trim().strip_prefix("SELINUX=")).next_back();
    Ok(mode.is_some_and(|mode| mode.trim() != "disabled"))
}

/// Compares versions as people do: numbers by their value, so that 5.10.0-10 goes after 5.10.0-9.
pub fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (number(&mut a), number(&mut b)) {
            (Some(x), Some(y)) if x != y => return x.cmp(&y),
            (Some(_), Some(_)) => continue,
            _ => {}
        }
        match (a.split_first(), b.split_first()) {
            (Some((x, rest_a)), Some((y, rest_b))) if x == y => (a, b) = (rest_a, rest_b),
            (x, y) => return x.map(|(c, _)| c).cmp(&y.map(|(c, _)| c)),
        }
    }
}

/// Takes the digits at the beginning of `text`.
fn number(text: &mut &[u8]) -> Option<u64> {
    let length = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    *text = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::bootloader::storage::{Array, NeededBy};

    fn image(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for (name, text) in files {
            root.write(name, text).unwrap();
        }
        (dir, root)
    }

    #[test]
    fn the_family_is_known_by_its_programs() {
        let (_dir, root) = image(&[("/usr/sbin/grub-mkconfig", "")]);
        assert_eq!(detect(&root).unwrap(), Family::Debian);
        let (_dir, root) = image(&[("/sbin/grub2-mkconfig", "")]);
        assert_eq!(detect(&root).unwrap(), Family::Rpm);
        let (_dir, root) = image(&[]);
        assert!(matches!(detect(&root), Err(BootError::NoGrub)));
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let (_dir, root) = image(&[("/usr/sbin/grub-install", "")]);
        let error = check_bios(&root, Family::Debian, &Storage::default()).unwrap_err().to_string();
        assert_eq!(
            error,
            "the image has no GRUB modules in /usr/lib/grub/i386-pc: put the package grub-pc-bin into it"
        );
        let error = check_bios(&root, Family::Rpm, &Storage::default()).unwrap_err().to_string();
        assert!(error.contains("grub2-install") && error.contains("grub2-tools"), "{error}");
    }

    #[test]
    fn what_boot_lies_on_is_read_by_modules() {
        let early = NeededBy { grub: true, initramfs: false };
        let array = |level: &str| Array {
            device: "/dev/md0".into(),
            level: level.into(),
            metadata: "1.0".into(),
            needed_by: early,
        };
        let (_dir, root) = image(&[
            ("/usr/sbin/grub-install", ""),
            ("/usr/lib/grub/i386-pc/moddep.lst", ""),
            ("/usr/lib/grub/i386-pc/mdraid1x.mod", ""),
            ("/usr/lib/grub/i386-pc/diskfilter.mod", ""),
        ]);
        let check = |level: &str| {
            let storage = Storage { arrays: vec![array(level)], ..Storage::default() };
            check_bios(&root, Family::Debian, &storage).map_err(|error| error.to_string())
        };
        check("mirror").unwrap();
        assert!(check("5").unwrap_err().contains("GRUB module raid5rec in /usr/lib/grub/i386-pc"));
        assert!(check("linear").unwrap_err().contains("GRUB cannot read /dev/md0"));
        let storage = Storage { arrays: vec![array("1")], ..Storage::default() };
        let error = check_storage(&root, &storage).unwrap_err().to_string();
        assert_eq!(
            error,
            "the image has no program mdadm, and this layout has arrays: put the package mdadm into it"
        );
    }

    #[test]
    fn kernels_are_ordered_by_their_numbers() {
        let (_dir, root) = image(&[
            ("/boot/vmlinuz-5.10.0-10-amd64", ""),
            ("/boot/vmlinuz-5.10.0-9-amd64", ""),
            ("/boot/vmlinuz-6.1.0-1-amd64", ""),
            ("/boot/vmlinuz-5.10.0-10-amd64-rescue", ""),
            ("/boot/initrd.img-5.10.0-10-amd64", ""),
            ("/boot/initrd.img-5.10.0-9-amd64", ""),
        ]);
        assert_eq!(kernels(&root).unwrap(), ["5.10.0-9-amd64", "5.10.0-10-amd64"]);
    }

    #[test]
    fn a_kernel_without_initramfs_is_not_enough() {
        let (_dir, root) = image(&[("/boot/vmlinuz-6.1.0-1", "")]);
        assert!(kernels(&root).unwrap_err().to_string().contains("6.1.0-1"));
        let (_dir, root) = image(&[]);
        assert!(matches!(kernels(&root), Err(BootError::NoKernel)));
    }

    #[test]
    fn the_distribution_is_read_from_either_place() {
        for (file, text, id) in [
            ("/etc/os-release", "NAME=x\nID=debian\n", "debian"),
            ("/usr/lib/os-release", "ID=\"rhel\"\nID_LIKE=fedora\n", "rhel"),
            ("/etc/os-release", "ID=../x\n", "linux"),
            ("/etc/other", "", "linux"),
        ] {
            let (_dir, root) = image(&[(file, text)]);
            assert_eq!(distribution(&root).unwrap(), id);
        }
    }

    #[test]
    fn dracut_makes_it_for_its_machine_unless_told_otherwise() {
        let (_dir, root) = image(&[]);
        assert!(!hostonly_initramfs(&root));
        let (_dir, root) = image(&[("/usr/bin/dracut", ""), ("/etc/dracut.conf", "# hostonly=\"no\"\n")]);
        assert!(hostonly_initramfs(&root));
        root.write("/usr/lib/dracut/dracut.conf.d/02-generic-image.conf", "hostonly=\"no\"\n").unwrap();
        assert!(!hostonly_initramfs(&root));
    }

    #[test]
    fn what_dracut_reads_last_counts() {
        for (files, hostonly) in [
            (
                &[
                    ("usr/lib/dracut/dracut.conf.d/01-dist", "yes"),
                    ("etc/dracut.conf.d/99-x", "\"no\" # all"),
                ][..],
                false,
            ),
            (&[("usr/lib/dracut/dracut.conf.d/02-generic", "no"), ("etc/dracut.conf.d/10-x", "yes")], true),
            (&[("usr/lib/dracut/dracut.conf.d/20-generic", "no"), ("etc/dracut.conf.d/10-x", "yes")], false),
            (&[("usr/lib/dracut/dracut.conf.d/20-same", "no"), ("etc/dracut.conf.d/20-same", "'yes'")], true),
            (&[("etc/dracut", "yes"), ("usr/lib/dracut/dracut.conf.d/02-generic", "no\nhostonly=yes")], true),
        ] {
            let (_dir, root) =
                image(&[("/usr/bin/dracut", ""), ("/etc/dracut.conf.d/99.off", "hostonly=no\n")]);
            for (name, value) in files {
                root.write(format!("/{name}.conf"), format!("hostonly={value}\n")).unwrap();
            }
            assert_eq!(hostonly_initramfs(&root), hostonly, "{files:?}");
        }
    }

    #[test]
    fn selinux_is_on_unless_it_is_disabled() {
        for (text, on) in [
            ("# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n", true),
            ("SELINUX=permissive\n", true),
            ("SELINUX=disabled\n", false),
            ("", false),
        ] {
            let (_dir, root) = image(&[("/etc/selinux/config", text)]);
            assert_eq!(uses_selinux(&root).unwrap(), on, "{text}");
        }
    }
}
