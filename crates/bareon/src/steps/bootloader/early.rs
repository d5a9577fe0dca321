//! The initramfs: does it wake up this machine?
//!
//! The image's own is opened first. Where it has all that this machine needs to find its root file system, and no name of
//! the builder's devices, it stays: to make it anew takes as long as the rest of the step. Otherwise it is made once, for
//! all kernels, after all files that it reads were written (`mdadm.conf`, udev's rules, fstab, `RESUME=`), by the
//! image's `update-initramfs` or `dracut`, and opened again: what it lacks then fails the run, here and not at the first
//! boot.
//!
//! Dracut's is made anew too where it was made for its builder's machine (`hostonly`). One for all machines starts no
//! array and no volume by itself: which ones, it is told on the kernel's command line, as anaconda does; see
//! dracut.cmdline(7).

use std::{collections::BTreeSet, fs::File, io, io::BufReader, path::PathBuf};

use bareon_host::{Cmd, Runner};

use super::{
    Boot, BootError, family,
    initramfs::{self, Initramfs},
    inroot::Root,
    leftovers, lvm_conf, mdadm_conf,
    modules::{self, Has, Modules},
};
use crate::hardware::usage::Kernel;

/// What this machine needs of an initramfs.
#[derive(Debug, Default)]
pub struct Needs {
    /// Kernel modules.
    modules: Vec<Module>,
    /// Programs.
    programs: Vec<&'static str>,
    /// The UUIDs of all arrays.
    arrays: Vec<String>,
    /// The UUIDs of physical volumes that are to be rejected.
    rejected: Vec<String>,
    /// All UUIDs that may be named, in lower case.
    known: BTreeSet<String>,
}

/// A kernel module that is needed.
#[derive(Debug)]
struct Module {
    /// Its names: one of them is enough.
    names: Vec<String>,
    /// What for, to come after `, which`.
    why: String,
    /// Whether a kernel that does not know it is told of.
    told: bool,
}

/// What is wrong with an initramfs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    /// What it lacks: the machine would not boot.
    lacks: Vec<String>,
    /// What of its builder's is in it: the machine may boot slowly, or not.
    stale: Vec<String>,
    /// What the kernel does not have at all.
    unknown: Vec<String>,
}

/// The parameters by which a dracut initramfs is told what to start.
pub fn parameters(boot: &Boot, root: &Root, arrays: &[(String, String)]) -> Vec<String> {
    if !makes_by_dracut(root) {
        return Vec::new();
    }
    let early = |device: &String| {
        let is_early = |array: &super::storage::Array| array.device == *device && array.needed_by.initramfs;
        boot.storage.arrays.iter().any(is_early)
    };
    let arrays =
        arrays.iter().filter(|(device, _)| early(device)).map(|(_, uuid)| format!("rd.md.uuid={uuid}"));
    let volumes =
        boot.storage.groups.iter().flat_map(|group| {
            group.early.iter().map(move |volume| format!("rd.lvm.lv={}/{volume}", group.name))
        });
    let given: BTreeSet<_> = boot.kernel_params.split_whitespace().collect();
    arrays.chain(volumes).filter(|parameter| !given.contains(parameter.as_str())).collect()
}

fn makes_by_dracut(root: &Root) -> bool {
    root.has_program("dracut") && !root.has_program("update-initramfs")
}

/// Makes the initramfs of all kernels anew.
///
/// # Errors
/// When the image has no program for it.
pub fn make(root: &Root, boot: &Boot) -> Result<Cmd, BootError> {
    if root.has_program("update-initramfs") {
        return Ok(update_initramfs(root.path()));
    }
    if root.has_program("dracut") {
        return Ok(dracut(root.path(), boot));
    }
    let package = "initramfs-tools (rpm: dracut)";
    Err(BootError::Incomplete { what: "program that makes an initramfs".into(), package })
}

/// Debian's way to make it.
pub fn update_initramfs(root: &std::path::Path) -> Cmd {
    Cmd::inside(root, "update-initramfs").args(["-u", "-k", "all"])
}

/// The RPM family's way to make it: for any machine, with our configuration of arrays and groups.
pub fn dracut(root: &std::path::Path, boot: &Boot) -> Cmd {
    let mut cmd = Cmd::inside(root, "dracut").args(["--force", "--no-hostonly"]);
    if !boot.storage.arrays.is_empty() {
        cmd = cmd.arg("--mdadmconf");
    }
    if !boot.storage.groups.is_empty() {
        cmd = cmd.arg("--lvmconf");
    }
    cmd.arg("--regenerate-all")
}

/// Whether no initramfs that came with an image can be right for this machine: no builder knows the UUIDs of our arrays.
pub fn is_never_ready(boot: &Boot) -> bool {
    !boot.storage.arrays.is_empty() || !boot.storage.foreign.is_empty()
}

/// Sees to it that the initramfs of each of `kernels` wakes up this machine; what is to be told.
///
/// # Errors
/// When it cannot be made, or lacks something then, too.
pub fn prepare(
    host: &dyn Runner,
    boot: &Boot,
    root: &Root,
    kernels: &[String],
    needs: &Needs,
) -> Result<Vec<String>, BootError> {
    if !is_never_ready(boot) && !family::hostonly_initramfs(root) {
        let faults = examine(root, kernels, needs)?;
        if faults.lacks.is_empty() && faults.stale.is_empty() {
            return Ok(faults.unknown);
        }
        for fault in faults.lacks.iter().chain(&faults.stale) {
            tracing::info!("the initramfs is made anew: {fault}");
        }
    }
    host.run(&make(root, boot)?)?;
    let faults = examine(root, kernels, needs)?;
    if let Some(first) = faults.lacks.first() {
        for fault in &faults.lacks {
            tracing::error!("{fault}");
        }
        return Err(BootError::Initramfs { lack: first.clone() });
    }
    Ok([faults.stale, faults.unknown].concat())
}

/// Opens the initramfs of all kernels and changes nothing: what keeps this machine from booting, and what is to be told.
///
/// # Errors
/// When there is no kernel, or a file cannot be read.
pub fn look(root: &Root, needs: &Needs) -> Result<(Vec<String>, Vec<String>), BootError> {
    let faults = examine(root, &family::kernels(root)?, needs)?;
    Ok((faults.lacks, [faults.stale, faults.unknown].concat()))
}

impl Needs {
    /// What `boot` needs: `arrays` are all of the layout with their UUIDs, `found` the UUIDs of its file systems, and
    /// `types` the types of those that the initramfs mounts.
    pub fn new(
        boot: &Boot,
        arrays: &[(String, String)],
        found: impl Iterator<Item = String>,
        types: &[&str],
        kernel: &Kernel,
    ) -> Self {
        let storage = &boot.storage;
        let early = storage.arrays.iter().filter(|array| array.needed_by.initramfs);
        let mut needed: Vec<_> =
            early.map(|array| Module::new(array.kernel_module(), &array.device)).collect();
        if storage.early_lvm() {
            needed.push(Module::new("dm_mod", "the volume of /"));
        }
        for fs_type in types {
            let names: &[&str] = match *fs_type {
                "ext3" => &["ext4", "ext3"],
                "ext2" => &["ext2", "ext4"],
                other => &[other],
            };
            let names = names.iter().map(ToString::to_string).collect();
            needed.push(Module { names, why: format!("is needed for {fs_type}"), told: true });
        }
        for disk in &storage.disks {
            needed.extend(modules::drivers(disk, kernel).into_iter().map(|driver| Module {
                names: vec![driver.module],
                why: format!("drives {disk} here"),
                told: driver.loaded,
            }));
        }
        let programs = [(storage.early_md(), "mdadm"), (storage.early_lvm(), "lvm")]
            .into_iter()
            .filter(|(needed, _)| *needed);
        let uuids: Vec<_> = arrays.iter().map(|(_, uuid)| uuid.to_lowercase()).collect();
        Self {
            modules: needed,
            programs: programs.map(|(_, program)| program).collect(),
            known: uuids.iter().cloned().chain(found.map(|uuid| uuid.to_lowercase())).collect(),
            arrays: uuids,
            rejected: storage.foreign.iter().map(|pv| pv.uuid.clone()).collect(),
        }
    }
}

impl Module {
    fn new(name: &str, device: &str) -> Self {
        Self { names: vec![name.into()], why: format!("is needed for {device}"), told: true }
    }
}

/// The initramfs of a kernel.
fn path(root: &Root, version: &str) -> Option<PathBuf> {
    let names = family::initramfs_names(version);
    names.iter().filter_map(|name| root.resolve(format!("/boot/{name}")).ok()).find(|path| path.exists())
}

/// What is wrong with those of `kernels`.
fn examine(root: &Root, kernels: &[String], needs: &Needs) -> Result<Faults, BootError> {
    let mut all = Faults::default();
    for version in kernels {
        let Some(path) = path(root, version) else { continue };
        let modules = Modules::of(root, version)?;
        let file = File::open(&path).map_err(BootError::file("opening", &path))?;
        let faults = match initramfs::read(BufReader::new(file), &names_devices) {
            Ok(initramfs) => faults(&initramfs, version, &modules, needs),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Faults {
                unknown: vec![format!("the initramfs of kernel {version} was not looked at: {error}")],
                ..Faults::default()
            },
            Err(error) => Faults {
                lacks: vec![format!("the initramfs of kernel {version} cannot be read: {error}")],
                ..Faults::default()
            },
        };
        all.lacks.extend(faults.lacks);
        all.stale.extend(faults.stale);
        all.unknown.extend(faults.unknown);
    }
    Ok(all)
}

/// Whether a file of an initramfs names devices.
fn names_devices(path: &str) -> bool {
    let dirs = ["conf/conf.d/", "etc/cmdline.d/"];
    mdadm_conf::is_it(path)
        || CRYPTTABS.contains(&path)
        || lvm_conf::is_rule(path)
        || dirs.iter().any(|dir| path.starts_with(dir))
}

/// Where initramfs-tools and dracut have it.
const CRYPTTABS: [&str; 2] = ["cryptroot/crypttab", "etc/crypttab"];

fn faults(initramfs: &Initramfs, version: &str, modules: &Modules, needs: &Needs) -> Faults {
    let mut faults = Faults { stale: stale(initramfs, version, needs), ..Faults::default() };
    let mut lacks =
        |what: String| faults.lacks.push(format!("the initramfs of kernel {version} has no {what}"));
    let there: BTreeSet<_> = initramfs.paths.iter().filter_map(|path| modules::name(path)).collect();
    for Module { names, why, told } in &needs.modules {
        let has: Vec<_> = names.iter().map(|name| modules.has(name)).collect();
        let ready = |has: &Has| match has {
            Has::Builtin => true,
            Has::Loadable(all) => all.iter().all(|name| there.contains(name)),
            Has::Not => false,
        };
        if has.iter().any(ready) {
            continue;
        }
        if has.iter().any(|has| *has != Has::Not) {
            lacks(format!("module {}, which {why}", names[0]));
        } else if *told && !modules.is_empty() {
            faults.unknown.push(format!("kernel {version} has no module {}, which {why}", names[0]));
        }
    }
    let has_program = |program: &str| {
        initramfs.paths.iter().any(|path| path.rsplit_once("bin/").is_some_and(|(_, file)| file == program))
    };
    for program in needs.programs.iter().filter(|program| !has_program(program)) {
        lacks(format!("program {program}, which starts what / lies on"));
    }
    let text_of = |is_it: &dyn Fn(&str) -> bool| -> String {
        initramfs.texts.iter().filter(|(path, _)| is_it(path)).map(|(_, text)| text.as_str()).collect()
    };
    if has_program("mdadm") {
        let named = mdadm_conf::uuids(&text_of(&mdadm_conf::is_it));
        for array in needs.arrays.iter().filter(|array| !named.contains(array)) {
            lacks(format!("line for the array {array} in its mdadm.conf"));
        }
    }
    if has_program("lvm") {
        let rules = text_of(&lvm_conf::is_rule);
        for uuid in needs.rejected.iter().filter(|uuid| !rules.contains(uuid.as_str())) {
            lacks(format!("rule against the physical volume {uuid} of another group of the same name"));
        }
    }
    faults
}

/// What is in it of devices that are none of this machine's.
fn stale(initramfs: &Initramfs, version: &str, needs: &Needs) -> Vec<String> {
    let mut found = Vec::new();
    let mut tell = |path: &str, what: &str| {
        found.push(format!(
            "the initramfs of kernel {version} names {what}, which is none of this system ({path})"
        ));
    };
    for (path, text) in &initramfs.texts {
        if mdadm_conf::is_it(path) {
            let others = mdadm_conf::uuids(text).into_iter().filter(|uuid| !needs.known.contains(uuid));
            others.for_each(|uuid| tell(path, &format!("the array {uuid}")));
        } else if CRYPTTABS.contains(&path.as_str()) {
            for volume in leftovers::volumes(text) {
                tell(path, volume);
            }
        } else if !lvm_conf::is_rule(path) {
            let words = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            let words = words.flat_map(|line| line.split([' ', '\t', '"', '\'']));
            let others = words.filter(|word| foreign_uuid(word, &needs.known));
            others.for_each(|word| tell(path, word));
        }
    }
    // Dracut waits for each of these.
    let waited = initramfs.paths.iter().filter(|path| path.contains("initqueue/finished/devexists-"));
    let waited =
        waited.filter(|path| !needs.known.iter().any(|uuid| path.replace("\\x2d", "-").contains(uuid)));
    waited.for_each(|path| tell(path, "a device"));
    found
}

/// Whether a word such as `RESUME=UUID=…` or `rd.md.uuid=…` names by UUID what is not known.
fn foreign_uuid(word: &str, known: &BTreeSet<String>) -> bool {
    let word = word.to_lowercase();
    let Some((_, uuid)) = word.split_once("uuid=") else { return false };
    !uuid.is_empty() && !known.contains(uuid)
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;
    use crate::steps::bootloader::{
        initramfs::tests::cpio,
        storage::{Array, ForeignPv, Group, NeededBy, Storage},
    };

    fn boot() -> Boot {
        let early = NeededBy { grub: false, initramfs: true };
        let array = |device: &str, needed_by| Array {
            device: device.into(),
            level: "1".into(),
            metadata: "1.2".into(),
            needed_by,
        };
        let storage = Storage {
            arrays: vec![array("/dev/md0", NeededBy::default()), array("/dev/md1", early)],
            groups: vec![Group { name: "os".into(), early: vec!["root".into()], needed_by: early }],
            foreign: vec![ForeignPv { group: "os".into(), uuid: "Twin-1".into(), device: "/dev/sdz".into() }],
            disks: Vec::new(),
        };
        Boot {
            storage,
            ..crate::steps::bootloader::run::tests::boot("/nowhere".as_ref(), super::super::Firmware::Bios)
        }
    }

    fn arrays() -> Vec<(String, String)> {
        vec![("/dev/md0".into(), "0:0:0:A".into()), ("/dev/md1".into(), "0:0:0:b".into())]
    }

    fn needs(boot: &Boot) -> Needs {
        let nowhere = Kernel { proc: "/nowhere".into(), sys: "/nowhere".into() };
        Needs::new(boot, &arrays(), ["R-1".to_owned()].into_iter(), &["ext4"], &nowhere)
    }

    const MDADM_CONF: &str = "ARRAY /dev/md0 UUID=0:0:0:a\nARRAY /dev/md1 UUID=0:0:0:b\n";

    /// All that is needed.
    const READY: [(&str, &str); 8] = [
        ("usr/lib/modules/6/kernel/raid1.ko", ""),
        ("usr/lib/modules/6/kernel/md-mod.ko.zst", ""),
        ("usr/lib/modules/6/kernel/dm-mod.ko", ""),
        ("usr/sbin/mdadm", ""),
        ("usr/sbin/lvm", ""),
        ("etc/mdadm/mdadm.conf", MDADM_CONF),
        ("usr/lib/udev/rules.d/68-bareon-foreign-lvm.rules", "lvm-pv-uuid-Twin-1"),
        ("conf/conf.d/resume", "RESUME=none\n"),
    ];

    fn image(initramfs: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        root.write("/boot/initrd.img-6", cpio(initramfs)).unwrap();
        let dep = "kernel/raid1.ko: kernel/md-mod.ko\nkernel/md-mod.ko:\nkernel/dm-mod.ko:\n";
        root.write("/lib/modules/6/modules.dep", dep).unwrap();
        root.write("/lib/modules/6/modules.builtin", "kernel/ext4.ko\n").unwrap();
        root.write("/usr/sbin/update-initramfs", "").unwrap();
        (dir, root)
    }

    #[test]
    fn all_that_is_missing_is_told_and_nothing_else() {
        let boot = boot();
        let kernels = ["6".to_owned()];
        let (_dir, root) = image(&READY);
        assert_eq!(examine(&root, &kernels, &needs(&boot)).unwrap(), Faults::default());
        for (missing, told) in [
            ("usr/lib/modules/6/kernel/raid1.ko", "no module raid1, which is needed for /dev/md1"),
            ("usr/lib/modules/6/kernel/md-mod.ko.zst", "no module raid1, which is needed for /dev/md1"),
            ("usr/lib/modules/6/kernel/dm-mod.ko", "no module dm_mod, which is needed for the volume of /"),
            ("usr/sbin/mdadm", "no program mdadm"),
            ("usr/sbin/lvm", "no program lvm"),
            ("etc/mdadm/mdadm.conf", "no line for the array 0:0:0:a in its mdadm.conf"),
            (
                "usr/lib/udev/rules.d/68-bareon-foreign-lvm.rules",
                "no rule against the physical volume Twin-1",
            ),
        ] {
            let files: Vec<_> = READY.into_iter().filter(|(path, _)| *path != missing).collect();
            let (_dir, root) = image(&files);
            let faults = examine(&root, &kernels, &needs(&boot)).unwrap();
            assert!(faults.lacks[0].contains(told), "{missing}: {:?}", faults.lacks);
        }
    }

    #[test]
    fn devices_of_the_builder_are_told() {
        let boot = boot();
        for (path, text, told) in [
            ("conf/conf.d/resume", "RESUME=UUID=other\n", Some("RESUME=UUID=other")),
            ("conf/conf.d/resume", "RESUME=UUID=r-1\n", None),
            ("conf/conf.d/x", "# RESUME=UUID=other\n", None),
            ("etc/mdadm.conf", "ARRAY /dev/md9 UUID=9:9:9:9\n", Some("the array 9:9:9:9")),
            ("cryptroot/crypttab", "home UUID=x none\n", Some("home")),
            (
                "etc/cmdline.d/90lvm.conf",
                "rd.md.uuid=0:0:0:b rd.luks.uuid=luks-1\n",
                Some("rd.luks.uuid=luks-1"),
            ),
            ("lib/dracut/hooks/initqueue/finished/devexists-\\x2fdev\\x2fr\\x2d1.sh", "", None),
            ("lib/dracut/hooks/initqueue/finished/devexists-x.sh", "", Some("a device")),
        ] {
            let mut files: Vec<_> = READY.into_iter().filter(|(other, _)| *other != path).collect();
            files.push((path, text));
            let (_dir, root) = image(&files);
            let faults = examine(&root, &["6".to_owned()], &needs(&boot)).unwrap();
            assert_eq!(faults.stale.len(), usize::from(told.is_some()), "{path}: {:?}", faults.stale);
            assert!(told.is_none_or(|told| faults.stale[0].contains(told)), "{:?}", faults.stale);
        }
    }

    #[test]
    fn an_image_that_is_ready_is_left_as_it_is() {
        let mut boot = boot();
        boot.storage.arrays.clear();
        boot.storage.foreign.clear();
        let needs = Needs::new(
            &boot,
            &[],
            std::iter::empty(),
            &["ext4", "xfs"],
            &Kernel { proc: "/nowhere".into(), sys: "/nowhere".into() },
        );
        let files: Vec<_> = READY.into_iter().filter(|(path, _)| !path.contains("mdadm")).collect();
        let (_dir, root) = image(&files);
        let told = prepare(&Script::default(), &boot, &root, &["6".to_owned()], &needs).unwrap();
        assert_eq!(told, ["kernel 6 has no module xfs, which is needed for xfs"]);
    }

    #[test]
    fn what_is_made_anew_is_opened_again() {
        let boot = boot();
        let (_dir, root) = image(&READY[1..]);
        let cmd = update_initramfs(root.path()).to_string();
        assert!(cmd.ends_with(" update-initramfs -u -k all"), "{cmd}");
        let host = Script::default().ok(&cmd, "");
        let error = prepare(&host, &boot, &root, &["6".to_owned()], &needs(&boot)).unwrap_err().to_string();
        assert!(error.contains("kernel 6 has no module raid1"), "{error}");

        root.remove("/usr/sbin/update-initramfs".as_ref()).unwrap();
        let error = prepare(&host, &boot, &root, &[], &needs(&boot)).unwrap_err().to_string();
        assert!(error.contains("initramfs-tools (rpm: dracut)"), "{error}");
    }

    #[test]
    fn dracut_is_told_what_to_start() {
        let mut boot = boot();
        let (_dir, root) = image(&[]);
        assert!(parameters(&boot, &root, &arrays()).is_empty());
        root.remove("/usr/sbin/update-initramfs".as_ref()).unwrap();
        root.write("/usr/bin/dracut", "").unwrap();
        assert_eq!(parameters(&boot, &root, &arrays()), ["rd.md.uuid=0:0:0:b", "rd.lvm.lv=os/root"]);
        boot.kernel_params = "quiet rd.lvm.lv=os/root".into();
        assert_eq!(parameters(&boot, &root, &arrays()), ["rd.md.uuid=0:0:0:b"]);
        let cmd = make(&root, &boot).unwrap().to_string();
        assert!(
            cmd.ends_with(" dracut --force --no-hostonly --mdadmconf --lvmconf --regenerate-all"),
            "{cmd}"
        );
    }
}
