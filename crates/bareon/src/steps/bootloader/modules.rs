//! Kernel modules: those of an image's kernel, and those that drive a disk of this machine.
//!
//! The running kernel tells in sysfs which drivers a disk hangs on, from the disk up to the bus (`sd_mod`, `ahci`). Which
//! of them the image's kernel has built in, and which are files, stand in `modules.builtin` and `modules.dep`, see
//! depmod(8) and the kernel's `kbuild/kbuild`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{BootError, inroot::Root};
use crate::hardware::usage::{Kernel, kernel_name, names_in};

/// The modules of one kernel of the image, by names with `_` for each dash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modules {
    builtin: BTreeSet<String>,
    /// Of each file, the modules that must be loaded before.
    files: BTreeMap<String, Vec<String>>,
}

/// How a kernel has a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Has {
    /// It is part of the kernel.
    Builtin,
    /// It is loaded, and these before it; itself is among them.
    Loadable(Vec<String>),
    /// The kernel knows none of that name.
    Not,
}

impl Modules {
    /// Those of the image's kernel of that version.
    ///
    /// # Errors
    /// When the lists of them cannot be read.
    pub fn of(root: &Root, version: &str) -> Result<Self, BootError> {
        let read =
            |file: &str| root.read(format!("/lib/modules/{version}/{file}")).map(Option::unwrap_or_default);
        Ok(Self::parse(&read("modules.dep")?, &read("modules.builtin")?))
    }

    fn parse(dep: &str, builtin: &str) -> Self {
        let files = dep.lines().filter_map(|line| {
            let (file, needs) = line.split_once(':')?;
            Some((name(file)?, needs.split_whitespace().filter_map(name).collect()))
        });
        Self { builtin: builtin.lines().filter_map(name).collect(), files: files.collect() }
    }

    /// Whether nothing is known of them: the image has no such lists.
    pub fn is_empty(&self) -> bool {
        self.builtin.is_empty() && self.files.is_empty()
    }

    /// How the kernel has `module`.
    pub fn has(&self, module: &str) -> Has {
        let module = module.replace('-', "_");
        if let Some(needs) = self.files.get(&module) {
            return Has::Loadable(std::iter::once(module).chain(needs.iter().cloned()).collect());
        }
        if self.builtin.contains(&module) { Has::Builtin } else { Has::Not }
    }
}

/// The name of the module in a file: `raid1` for `kernel/drivers/md/raid1.ko.zst`. Nothing where it is no module.
pub fn name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, ending) = file.split_once(".ko")?;
    matches!(ending, "" | ".gz" | ".xz" | ".zst").then(|| name.replace('-', "_"))
}

/// A module that drives a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Its name; where it is built into the running kernel, that of the driver, which is nearly always the same.
    pub module: String,
    /// Whether the running kernel has loaded it, so that it is the name of a module for sure.
    pub loaded: bool,
}

/// The modules that drive `disk` here, as far as the running kernel names them.
pub fn drivers(disk: &str, kernel: &Kernel) -> Vec<Driver> {
    let mut found = Vec::new();
    let mut left = vec![kernel_name(disk)];
    while let Some(disk) = left.pop() {
        let Ok(dir) = fs::canonicalize(kernel.sys.join("class/block").join(&disk)) else { continue };
        // A disk that the device mapper makes of paths (multipath) hangs on those.
        left.extend(names_in(&dir.join("slaves")));
        for dir in dir.ancestors().take_while(|dir| **dir != kernel.sys) {
            let Some(driver) = target(&dir.join("driver")) else { continue };
            let module = target(&dir.join("driver/module")).unwrap_or_else(|| match driver.as_str() {
                "sd" => "sd_mod".into(),
                _ => driver.replace('-', "_"),
            });
            let loaded = kernel.sys.join("module").join(&module).join("initstate").exists();
            if !found.iter().any(|driver: &Driver| driver.module == module) {
                found.push(Driver { module, loaded });
            }
        }
    }
    found
}

/// The name that a link leads to.
fn target(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_module_is_built_in_or_loaded_with_what_it_needs() {
        let modules = Modules::parse(
            "kernel/drivers/md/raid1.ko.xz: kernel/drivers/md/md-mod.ko.xz\nkernel/drivers/md/md-mod.ko.xz:\n",
            "kernel/fs/ext4/ext4.ko\nkernel/drivers/nvme/host/nvme-core.ko\n",
        );
        assert_eq!(modules.has("raid1"), Has::Loadable(vec!["raid1".into(), "md_mod".into()]));
        assert_eq!(modules.has("nvme-core"), Has::Builtin);
        assert_eq!(modules.has("ahci"), Has::Not);
        assert_eq!(name("kernel/x/a.kobold"), None);
    }

    #[test]
    fn a_disk_hangs_on_its_driver_and_on_those_of_the_bus() {
        let dir = tempfile::tempdir().unwrap();
        let sys = fs::canonicalize(dir.path()).unwrap();
        let kernel = Kernel { proc: sys.clone(), sys: sys.clone() };
        let make = |path: &str| {
            fs::create_dir_all(sys.join(path)).unwrap();
            sys.join(path)
        };
        let port = make("devices/pci0000:00/0000:00:1f.2");
        let device = make("devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0");
        make("devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda");
        symlink(make("bus/pci/drivers/ahci"), port.join("driver")).unwrap();
        symlink(make("module/ahci"), sys.join("bus/pci/drivers/ahci/module")).unwrap();
        fs::write(sys.join("module/ahci/initstate"), "live\n").unwrap();
        symlink(make("bus/scsi/drivers/sd"), device.join("driver")).unwrap();
        make("class/block");
        let block = "devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        symlink(sys.join(block), sys.join("class/block/sda")).unwrap();
        let slaves = make("devices/virtual/block/dm-0/slaves");
        symlink(sys.join(block), slaves.join("sda")).unwrap();
        symlink(sys.join("devices/virtual/block/dm-0"), sys.join("class/block/dm-0")).unwrap();
        let driver = |module: &str, loaded| Driver { module: module.into(), loaded };
        let expected = [driver("sd_mod", false), driver("ahci", true)];
        assert_eq!(drivers("/dev/sda", &kernel), expected);
        assert_eq!(drivers("/dev/dm-0", &kernel), expected);
        assert!(drivers("/dev/sdb", &kernel).is_empty());
    }
}
