//! `lvmlocal.conf` of the installed system: which physical volumes are not its own.
//!
//! LVM needs no configuration to find its groups, with one exception: of two groups with the same name that are there
//! at once, neither can be activated by its name, which is what udev's rules do in the initramfs and after it. A machine
//! whose other disks bring such a group along would not boot. Those physical volumes are therefore rejected, by the link
//! that udev makes from their UUID (`69-lvm.rules`): whatever the disk is called, and no other one of that disk. pvscan(8),
//! which those rules call before the link is there, knows it from its environment (`DEVLINKS`).
//!
//! `lvmlocal.conf` is read after `lvm.conf`, and is the place for what one machine alone needs; Debian's hook copies all of `/etc/lvm` into
//! the initramfs, dracut this file by name. A site's own `global_filter` would be replaced as a whole, and a filter that
//! accepts a device by another name of it wins; where there is one it is left alone, and told.

use super::{BootError, block, inroot::Root, storage::ForeignPv};

/// The file.
pub const FILE: &str = "/etc/lvm/lvmlocal.conf";

const BEGIN: &str =
    "# --- written when this system was installed: volume groups of the same name as one of its own";
const END: &str = "# --- end of what was written at installation";

/// Rejects `foreign`; what is to be told where that is not done.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(root: &Root, foreign: &[ForeignPv]) -> Result<Option<String>, BootError> {
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
             see that it rejects those, or rename that group (vgrename), else this system may not boot",
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
        write(&root, &[]).unwrap();
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
