//! Volume groups of other disks that have the name of one of the installed system's own.
//!
//! LVM needs no configuration to find its groups, with one exception: of two groups with the same name that are there
//! at once, the one whose disk udev sees first is activated in the initramfs, and by its name neither can be used. The
//! physical volumes of the other one are therefore left out, by their UUIDs, whatever the disk is called:
//!
//! - a rule of udev, read before LVM's own (`69-lvm.rules`), has those pass them by. LVM's filters do not do that: a link
//!   that a filter names is not there yet when that rule runs pvscan(8), and names of devices move. Debian's hooks copy
//!   no rule of a site into the initramfs, so a hook of our own does; dracut is told to.
//! - `global_filter` in `lvmlocal.conf` (read after `lvm.conf`, and the place for what one machine alone needs) rejects them
//!   by the link that the rule makes, so that a person's commands find one group of that name. A site's own `global_filter`
//!   would be replaced as a whole: where there is one it is left alone, and told.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{BootError, block, inroot::Root, storage::ForeignPv};

/// The file.
pub const FILE: &str = "/etc/lvm/lvmlocal.conf";

const BEGIN: &str =
    "# --- written when this system was installed: volume groups of the same name as one of its own";
const END: &str = "# --- end of what was written at installation";

/// The rule of udev.
pub const RULES: &str = "/etc/udev/rules.d/68-bareon-foreign-lvm.rules";

/// What copies it into an initramfs of initramfs-tools.
const HOOK: &str = "/etc/initramfs-tools/hooks/bareon-foreign-lvm";

/// What has dracut copy it.
const DRACUT: &str = "/etc/dracut.conf.d/bareon-foreign-lvm.conf";

/// Whether a path of an initramfs is that of the rule.
pub fn is_rule(path: &str) -> bool {
    RULES.rsplit_once('/').is_some_and(|(_, name)| path.rsplit('/').next() == Some(name))
}

/// The rule: LVM's rules pass by what has this flag; the link is the one that they would have made.
fn rules(foreign: &[ForeignPv]) -> String {
    let rule = |pv: &ForeignPv| {
        format!(
            "ENV{{ID_FS_TYPE}}==\"LVM2_member\", ENV{{ID_FS_UUID_ENC}}==\"{0}\", \
             ENV{{DM_UDEV_DISABLE_OTHER_RULES_FLAG}}=\"1\", SYMLINK+=\"disk/by-id/lvm-pv-uuid-{0}\"\n",
            pv.uuid
        )
    };
    let head = "# Written when this system was installed: physical volumes of other volume groups that have the name of one of \
                its own.\nSUBSYSTEM!=\"block\", GOTO=\"foreign_lvm_end\"\nACTION==\"remove\", GOTO=\"foreign_lvm_end\"\n";
    let rules: Vec<_> = foreign.iter().map(rule).collect();
    format!("{head}{}LABEL=\"foreign_lvm_end\"\n", rules.concat())
}

/// Has the rule, and what copies it into the initramfs, or neither.
fn write_rules(root: &Root, foreign: &[ForeignPv]) -> Result<(), BootError> {
    if foreign.is_empty() {
        return [RULES, HOOK, DRACUT].into_iter().try_for_each(|file| root.remove(file.as_ref()));
    }
    root.write(RULES, rules(foreign))?;
    if root.has_program("update-initramfs") {
        root.write(HOOK, format!("#!/bin/sh\n[ \"$1\" != prereqs ] || exit 0\nmkdir -p \"$DESTDIR/lib/udev/rules.d\"\ncp -p {RULES} \"$DESTDIR/lib/udev/rules.d/\"\n"))?;
        let path = root.resolve(HOOK)?;
        return fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(BootError::file("writing", path));
    }
    root.write(DRACUT, format!("install_items+=\" {RULES} \"\n"))
}

/// Leaves `foreign` out; what is to be told where that is not done.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(root: &Root, foreign: &[ForeignPv]) -> Result<Option<String>, BootError> {
    write_rules(root, foreign)?;
    let old = root.read(FILE)?.unwrap_or_default();
    let own = block::without(&old, BEGIN, END);
    if foreign.is_empty() {
        if own != old {
            root.write(FILE, own)?;
        }
        return Ok(None);
    }
    let main = root.read("/etc/lvm/lvm.conf")?.unwrap_or_default();
    let group = &foreign[0].group;
    if [&own, &main].into_iter().any(|text| sets_filter(text)) {
        let devices: Vec<_> = foreign.iter().map(|pv| pv.device.as_str()).collect();
        return Ok(Some(format!(
            "another volume group {group} is on {}, and the image has a global_filter of its own, which was left as it is: \
             see that it rejects those, or rename that group (vgrename), else commands find two groups of that name",
            devices.join(", ")
        )));
    }
    root.write(FILE, with_block(&own, foreign))?;
    Ok(None)
}

/// The name by which a physical volume is rejected.
fn link(pv: &ForeignPv) -> String {
    format!("/dev/disk/by-id/lvm-pv-uuid-{}", pv.uuid)
}

/// Whether a configuration has the setting; comments do not count.
fn sets_filter(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with("global_filter"))
}

fn with_block(own: &str, foreign: &[ForeignPv]) -> String {
    let rejects: Vec<_> = foreign.iter().map(|pv| format!("\"r|^{}$|\"", link(pv))).collect();
    let newline = if own.is_empty() || own.ends_with('\n') { "" } else { "\n" };
    format!("{own}{newline}{BEGIN}\ndevices {{\n\tglobal_filter = [ {} ]\n}}\n{END}\n", rejects.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign() -> Vec<ForeignPv> {
        let pv = |uuid: &str, device: &str| ForeignPv {
            group: "os".into(),
            uuid: uuid.into(),
            device: device.into(),
        };
        vec![pv("AbC-1", "/dev/sdc1"), pv("AbC-2", "/dev/sdd")]
    }

    fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for (name, text) in files {
            root.write(name, text).unwrap();
        }
        (dir, root)
    }

    #[test]
    fn foreign_volumes_are_rejected_by_their_uuid_and_found_again() {
        let (_dir, root) =
            root(&[(FILE, "# local\nlocal {\n}"), ("/etc/lvm/lvm.conf", "\t# global_filter = []\n")]);
        assert_eq!(write(&root, &foreign()).unwrap(), None);
        let written = root.read(FILE).unwrap().unwrap();
        assert_eq!(
            written,
            format!(
                "# local\nlocal {{\n}}\n{BEGIN}\ndevices {{\n\tglobal_filter = [ \
                 \"r|^/dev/disk/by-id/lvm-pv-uuid-AbC-1$|\", \"r|^/dev/disk/by-id/lvm-pv-uuid-AbC-2$|\" ]\n}}\n{END}\n"
            )
        );
        write(&root, &foreign()).unwrap();
        assert_eq!(root.read(FILE).unwrap().unwrap(), written, "once more is the same");
        let rules = root.read(RULES).unwrap().unwrap();
        assert!(
            rules.contains("ENV{ID_FS_UUID_ENC}==\"AbC-2\", ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}=\"1\""),
            "{rules}"
        );
        assert!(root.has(DRACUT) && !root.has(HOOK), "no initramfs-tools");
        root.write("/usr/sbin/update-initramfs", "").unwrap();
        write(&root, &foreign()).unwrap();
        let hook = fs::metadata(root.resolve(HOOK).unwrap()).unwrap();
        assert_eq!(hook.permissions().mode() & 0o777, 0o755);
        write(&root, &[]).unwrap();
        assert!([RULES, HOOK, DRACUT].iter().all(|file| !root.has(file)));
        assert_eq!(root.read(FILE).unwrap().unwrap(), "# local\nlocal {\n}\n");
    }

    #[test]
    fn a_filter_of_the_site_is_left_alone_and_told() {
        let (_dir, root) = root(&[("/etc/lvm/lvm.conf", "devices {\n  global_filter = [ \"a|.*|\" ]\n}\n")]);
        let told = write(&root, &foreign()).unwrap().unwrap();
        assert!(told.contains("volume group os is on /dev/sdc1, /dev/sdd"), "{told}");
        assert!(!root.has(FILE));
    }
}
