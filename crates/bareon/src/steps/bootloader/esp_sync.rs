//! Several EFI system partitions, kept alike by the installed system.
//!
//! Each disk has its own, as firmware reads no array; one on md with its superblock at the end works until firmware or
//! another system writes to a member of it, behind md's back. What changes one later is a package's script, fwupd or
//! a person with grub-install, in Debian's family and the RPM family alike, so nothing of a package manager is hooked: a
//! systemd path unit sees the change, a timer (two minutes after boot, then daily) what was missed. GRUB in that
//! partition loads modules from `/boot`, and those of another version do not fit: a copy that stays behind is a disk that
//! does not boot when it is needed.
//!
//! fstab names the first one alone: programs look for `/boot/efi`. Where its disk is gone, the script mounts another one
//! there.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{BootError, inroot::Root};

/// The script.
const SCRIPT: &str = "/usr/local/sbin/bareon-esp-sync";

const TEXT: &str = include_str!("esp_sync.sh");

const UNITS: &str = "/etc/systemd/system";

const SERVICE: &str = "[Unit]\n\
    Description=Keep the EFI system partitions of all disks alike\n\
    After=local-fs.target\n\n\
    [Service]\n\
    Type=oneshot\n\
    # An update writes several files.\n\
    ExecStartPre=/bin/sleep 5\n\
    ExecStart=/bin/sh /usr/local/sbin/bareon-esp-sync\n";

const TIMER: &str = "[Unit]\n\
    Description=Keep the EFI system partitions of all disks alike\n\n\
    [Timer]\n\
    OnBootSec=2min\n\
    OnCalendar=daily\n\n\
    [Install]\n\
    WantedBy=timers.target\n";

/// Has the installed system keep the partitions with these UUIDs alike, of which the first is at `/boot/efi` and holds
/// the boot loader in `EFI/<id>`; what is to be told where it cannot.
///
/// # Errors
/// When a file cannot be written.
pub fn write(root: &Root, uuids: &[&str], id: &str) -> Result<Option<String>, BootError> {
    if uuids.len() < 2 {
        return Ok(None);
    }
    if !["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].iter().any(|systemd| root.has(systemd)) {
        return Ok(Some(
            "the image has no systemd, so nothing keeps the EFI system partitions of all disks alike: copy what changes in \
             /boot/efi to the others, too"
                .into(),
        ));
    }
    root.write(SCRIPT, TEXT.replace("@UUIDS@", &uuids.join(" ")))?;
    let path = root.resolve(SCRIPT)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .map_err(BootError::file("writing", path))?;
    root.write(format!("{UNITS}/bareon-esp-sync.service"), SERVICE)?;
    for (kind, text) in [("timer", TIMER.to_owned()), ("path", path_unit(id))] {
        root.write(format!("{UNITS}/bareon-esp-sync.{kind}"), text)?;
        let wants = format!("{UNITS}/{kind}s.target.wants/bareon-esp-sync.{kind}");
        root.link(&wants, format!("{UNITS}/bareon-esp-sync.{kind}"))?;
    }
    Ok(None)
}

fn path_unit(id: &str) -> String {
    format!(
        "[Unit]\n\
         Description=Keep the EFI system partitions of all disks alike\n\
         After=local-fs.target\n\n\
         [Path]\n\
         PathChanged=/boot/efi/EFI/{id}\n\
         PathChanged=/boot/efi/EFI/BOOT\n\n\
         [Install]\n\
         WantedBy=paths.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_partitions_are_kept_alike_and_one_needs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert!(write(&root, &["A-1", "B-2"], "debian").unwrap().unwrap().contains("no systemd"));
        root.write("/usr/lib/systemd/systemd", "").unwrap();
        assert_eq!(write(&root, &["A-1"], "debian").unwrap(), None);
        assert!(!root.has(SCRIPT));
        for _ in 0..2 {
            assert_eq!(write(&root, &["A-1", "B-2"], "debian").unwrap(), None);
        }
        assert!(root.read(SCRIPT).unwrap().unwrap().contains("\npartitions=\"A-1 B-2\"\n"));
        let mode =
            fs::metadata(dir.path().join("usr/local/sbin/bareon-esp-sync")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let unit = root.read("/etc/systemd/system/paths.target.wants/bareon-esp-sync.path").unwrap().unwrap();
        assert!(unit.contains("PathChanged=/boot/efi/EFI/debian\n"), "{unit}");
        let wants = dir.path().join("etc/systemd/system/timers.target.wants/bareon-esp-sync.timer");
        assert_eq!(fs::read_link(wants).unwrap().to_str(), Some("/etc/systemd/system/bareon-esp-sync.timer"));
    }
}
