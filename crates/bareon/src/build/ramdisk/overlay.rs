//! What is laid over the tree of a ramdisk: `contrib/ramdisk/overlay`, which this program carries with it, units that are
//! off, and `bareon-provision` under all its names.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, Runner, runner::PATH};

use super::RamdiskError;

/// A file: where it lies below the tree, what it holds, whether it is run.
struct Laid {
    path: &'static str,
    text: &'static str,
    runs: bool,
}

/// An entry of the table below.
macro_rules! laid {
    ($path:literal, $runs:literal) => {
        Laid {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/ramdisk/overlay/", $path)),
            runs: $runs,
        }
    };
}

/// All of `contrib/ramdisk/overlay`.
const FILES: [Laid; 14] = [
    laid!("etc/initramfs-tools/conf.d/bareon", false),
    laid!("etc/initramfs-tools/hooks/bareon", true),
    laid!("etc/initramfs-tools/scripts/bareon", false),
    laid!("etc/ssh/sshd_config.d/bareon.conf", false),
    laid!("etc/systemd/journald.conf.d/bareon.conf", false),
    laid!("etc/systemd/network/80-bareon.network", false),
    laid!("etc/systemd/system/bareon-autorun.service", false),
    laid!("etc/systemd/system/bareon-ironic-callback.service", false),
    laid!("etc/systemd/system/bareon-resolv.path", false),
    laid!("etc/systemd/system/bareon-resolv.service", false),
    laid!("etc/systemd/system/bareon-shell.service", false),
    laid!("etc/systemd/system/ssh.service.d/bareon.conf", false),
    laid!("usr/lib/bareon/autorun", true),
    laid!("usr/lib/bareon/resolv", true),
];

/// Units that are started, with what starts them.
const STARTED: [(&str, &str); 5] = [
    ("bareon-autorun.service", "multi-user.target"),
    ("bareon-ironic-callback.service", "multi-user.target"),
    ("bareon-resolv.path", "multi-user.target"),
    ("systemd-network-generator.service", "sysinit.target"),
    ("systemd-networkd.service", "multi-user.target"),
];

/// Units that are off: a login on the console, which nobody could pass, and what serves a system that is there tomorrow.
/// Each costs time and RAM; the monitors would hold devices that are to be provisioned.
const OFF: [&str; 36] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "blk-availability.service",
    "console-getty.service",
    "dm-event.socket",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@.service",
    "ldconfig.service",
    "logrotate.timer",
    "lvm2-lvmpolld.socket",
    "lvm2-monitor.service",
    "man-db.timer",
    "mdadm-shutdown.service",
    "mdcheck_continue.timer",
    "mdcheck_start.timer",
    "mdmonitor.service",
    "mdmonitor-oneshot.timer",
    "motd-news.timer",
    "serial-getty@.service",
    "smartmontools.service",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-logind.service",
    "systemd-networkd-wait-online.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-resolved.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-done.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "uuidd.socket",
];

/// Where the program lies in the ramdisk.
const PROGRAM: &str = "usr/bin/bareon-provision";

/// The other names that it is called by, there.
const NAMES: [&str; 6] = [
    "bareon-bootloader",
    "bareon-configdrive",
    "bareon-copyimage",
    "bareon-ironic-callback",
    "bareon-partition",
    "provision",
];

/// Lays our files over `tree`, whose packages are installed. Files of the same name are replaced; a `bareon-provision` that
/// is there already stays, else `program` is put there.
///
/// # Errors
/// When a file cannot be written, and when there is no program or it does not run there.
pub fn lay(host: &dyn Runner, tree: &Path, program: Option<&Path>) -> Result<(), RamdiskError> {
    for file in &FILES {
        let path = tree.join(file.path);
        make_parent(&path)?;
        fs::write(&path, file.text).map_err(|source| RamdiskError::io("writing", &path, source))?;
        make_mode(&path, if file.runs { 0o755 } else { 0o644 })?;
    }
    let units = tree.join("etc/systemd/system");
    for unit in OFF {
        link("/dev/null", &units.join(unit))?;
    }
    for (unit, target) in STARTED {
        let here = units.join(unit).exists();
        let dir = if here { "/etc/systemd/system" } else { "/lib/systemd/system" };
        link(&format!("{dir}/{unit}"), &units.join(format!("{target}.wants")).join(unit))?;
    }
    lay_program(host, tree, program)
}

/// The `bareon-provision` that is to go into ramdisks: the one beside this program, else the one in `PATH`.
pub fn program() -> Option<PathBuf> {
    let beside = env::current_exe().ok().map(|exe| exe.with_file_name("bareon-provision"));
    let installed = PATH.split(':').map(|dir| Path::new(dir).join("bareon-provision"));
    beside.into_iter().chain(installed).find(|path| path.is_file())
}

fn lay_program(host: &dyn Runner, tree: &Path, program: Option<&Path>) -> Result<(), RamdiskError> {
    let path = tree.join(PROGRAM);
    if !path.exists() {
        let from = program.ok_or(RamdiskError::NoProgram)?;
        make_parent(&path)?;
        fs::copy(from, &path)
            .map_err(|source| RamdiskError::io("copying bareon-provision to", &path, source))?;
        make_mode(&path, 0o755)?;
        host.run(&Cmd::inside(tree, "/usr/bin/bareon-provision").arg("--version"))
            .map_err(|source| RamdiskError::Foreign { program: from.into(), source })?;
    }
    for name in NAMES {
        link("bareon-provision", &path.with_file_name(name))?;
    }
    Ok(())
}

fn make_parent(path: &Path) -> Result<(), RamdiskError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|source| RamdiskError::io("making", parent, source))
}

fn make_mode(path: &Path, mode: u32) -> Result<(), RamdiskError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| RamdiskError::io("setting the mode of", path, source))
}

/// Makes `path` a symbolic link to `target`, whatever file was there.
fn link(target: &str, path: &Path) -> Result<(), RamdiskError> {
    make_parent(path)?;
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(RamdiskError::io("removing", path, source));
        }
        _ => {}
    }
    symlink(target, path).map_err(|source| RamdiskError::io("linking", path, source))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bareon_host::Script;

    use super::*;

    fn files(dir: &Path, below: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir.join(below)).unwrap() {
            let path = below.join(entry.unwrap().file_name());
            if dir.join(&path).is_dir() {
                files(dir, &path, found);
            } else {
                found.insert(path.display().to_string());
            }
        }
    }

    #[test]
    fn every_file_of_the_overlay_is_laid() {
        let mut found = BTreeSet::new();
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/ramdisk/overlay");
        files(&top, Path::new(""), &mut found);
        assert_eq!(found, FILES.iter().map(|file| file.path.to_owned()).collect());
        for file in &FILES {
            let mode = fs::metadata(top.join(file.path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o100 != 0, file.runs, "{}", file.path);
        }
    }

    #[test]
    fn the_names_are_those_of_the_package() {
        let links = include_str!("../../../../../debian/bareon.links");
        let names: BTreeSet<_> =
            links.lines().filter_map(|line| line.strip_prefix("usr/bin/bareon-provision usr/bin/")).collect();
        assert_eq!(names, BTreeSet::from(NAMES));
    }

    #[test]
    fn the_program_is_brought_unless_there_is_one_and_has_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let program = dir.path().join("program");
        fs::write(&program, "ours").unwrap();
        assert!(matches!(lay(&Script::default(), &tree, None), Err(RamdiskError::NoProgram)));
        let version = Cmd::inside(&tree, "/usr/bin/bareon-provision").arg("--version").to_string();
        lay(&Script::default().ok(&version, ""), &tree, Some(&program)).unwrap();
        assert_eq!(fs::read_to_string(tree.join("usr/bin/provision")).unwrap(), "ours");
        assert_eq!(
            fs::read_link(tree.join("etc/systemd/system/getty@.service")).unwrap(),
            Path::new("/dev/null")
        );
        let wanted = tree.join("etc/systemd/system/multi-user.target.wants/bareon-autorun.service");
        assert_eq!(fs::read_link(wanted).unwrap(), Path::new("/etc/systemd/system/bareon-autorun.service"));

        fs::write(tree.join(PROGRAM), "the tree's own").unwrap();
        lay(&Script::default(), &tree, Some(&program)).unwrap();
        assert_eq!(fs::read_to_string(tree.join(PROGRAM)).unwrap(), "the tree's own");

        fs::remove_file(tree.join(PROGRAM)).unwrap();
        let foreign = Script::default().fails(&version, 1, "version `GLIBC_2.36' not found");
        let error = lay(&foreign, &tree, Some(&program)).unwrap_err().to_string();
        assert!(error.contains("does not run in the tree"), "{error}");
    }
}
