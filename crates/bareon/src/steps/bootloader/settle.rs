//! Debian's initramfs ends udev as soon as `/` is mounted, and drops the events that are still queued. An array that it
//! has just started, and that holds a volume group but not `/`, loses the one by which LVM's rule (`69-lvm.rules`) would
//! activate that group: those that are triggered anew after the change of root are of another kind (`add`), which the rule
//! ignores for arrays. The system would wait for its volumes until somebody activates them. A script of ours, which runs
//! once `/` is mounted, waits for udev before.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{BootError, Storage, inroot::Root};

/// The script.
const SCRIPT: &str = "/etc/initramfs-tools/scripts/local-bottom/bareon-settle";

const TEXT: &str = "#!/bin/sh\n\
    # Written when this system was installed: volume groups on arrays are activated by events that must not be lost.\n\
    [ \"$1\" != prereqs ] || exit 0\n\
    udevadm settle --timeout=30 || true\n";

/// Whether the layout needs it.
fn is_needed(storage: &Storage) -> bool {
    !storage.arrays.is_empty() && !storage.groups.is_empty()
}

/// Writes it where the layout needs it and the image has initramfs-tools.
///
/// # Errors
/// When it cannot be written.
pub fn write(root: &Root, storage: &Storage) -> Result<(), BootError> {
    if !is_needed(storage) || !root.has_program("update-initramfs") {
        return root.remove(SCRIPT.as_ref());
    }
    root.write(SCRIPT, TEXT)?;
    let path = root.resolve(SCRIPT)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(BootError::file("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::bootloader::storage::{Array, Group, NeededBy};

    #[test]
    fn it_is_there_for_groups_and_arrays_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        root.write("/usr/sbin/update-initramfs", "").unwrap();
        let array = Array {
            device: "/dev/md2".into(),
            level: "1".into(),
            metadata: "1.2".into(),
            needed_by: NeededBy::default(),
        };
        let group = Group { name: "data".into(), early: Vec::new(), needed_by: NeededBy::default() };
        let both = Storage { arrays: vec![array], groups: vec![group], ..Storage::default() };
        write(&root, &both).unwrap();
        let mode = fs::metadata(root.resolve(SCRIPT).unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        write(&root, &Storage { groups: Vec::new(), ..both }).unwrap();
        assert!(!root.has(SCRIPT));
    }
}
