//! `/etc/fstab` of the installed system; the image's own is replaced, as it names other disks.
//!
//! See fstab(5). File systems are named by UUID. The last field says when fsck checks one: the root
//! first, others of the ext family after it; xfs and btrfs have nothing to check at boot (`xfs_repair(8)`,
//! `btrfs-check(8)`), so 0.
//!
//! The EFI system partition is `nofail`: a mirrored machine boots without it, and does not wait for its disk. Other
//! file systems are not, whatever they lie on: an array that lacks members is started without them by the installed
//! system itself (Debian's initramfs after some 20 seconds, `mdadm-last-resort@.timer` after 30), and a machine that
//! would run without its data is worse than one that says what it lacks.

use std::fmt::Write;

use super::InFstab;

/// A line of fstab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The UUID of the file system or swap space.
    pub uuid: String,
    /// The mount point; nothing for swap.
    pub mount: Option<String>,
    /// The type as it was found on the device.
    pub fs_type: String,
    /// What the layout wants of its line.
    pub line: InFstab,
}

/// Where the EFI system partition is mounted.
pub const ESP: &str = "/boot/efi";

/// The whole file.
pub fn fstab(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# /etc/fstab: written when this system was installed, see fstab(5); UUIDs are shown by blkid(8).\n\
         # <file system> <mount point> <type> <options> <dump> <pass>\n",
    );
    for entry in entries {
        let (mount, usual, pass) = fields(entry);
        let options = match &entry.line {
            InFstab::Usual => usual,
            InFstab::Options(options) => options,
            InFstab::Absent => continue,
        };
        // Writing into a string does not fail.
        let _ = writeln!(text, "UUID={} {} {} {options} 0 {pass}", entry.uuid, escaped(mount), entry.fs_type);
    }
    text
}

fn fields(entry: &Entry) -> (&str, &'static str, u8) {
    let ext = entry.fs_type.starts_with("ext");
    match entry.mount.as_deref() {
        None => ("none", "sw", 0),
        Some("/") => ("/", if ext { "errors=remount-ro" } else { "defaults" }, u8::from(ext)),
        Some(ESP) if entry.fs_type == "vfat" => (ESP, "umask=0077,nofail,x-systemd.device-timeout=60s", 2),
        Some(mount) => (mount, "defaults", if ext || entry.fs_type == "vfat" { 2 } else { 0 }),
    }
}

/// Blanks separate fields, so they are written in octal.
fn escaped(mount: &str) -> String {
    mount.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mount: Option<&str>, fs_type: &str, line: InFstab) -> Entry {
        Entry { uuid: "u".into(), mount: mount.map(Into::into), fs_type: fs_type.into(), line }
    }

    #[test]
    fn each_kind_of_line() {
        for (mount, fs_type, line) in [
            (Some("/"), "ext4", "UUID=u / ext4 errors=remount-ro 0 1"),
            (Some("/"), "xfs", "UUID=u / xfs defaults 0 0"),
            (Some("/"), "btrfs", "UUID=u / btrfs defaults 0 0"),
            (Some("/boot"), "ext2", "UUID=u /boot ext2 defaults 0 2"),
            (
                Some("/boot/efi"),
                "vfat",
                "UUID=u /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=60s 0 2",
            ),
            (Some("/var/my data"), "xfs", "UUID=u /var/my\\040data xfs defaults 0 0"),
            (Some("/a\\b\tc"), "ext3", "UUID=u /a\\134b\\011c ext3 defaults 0 2"),
            (None, "swap", "UUID=u none swap sw 0 0"),
        ] {
            assert_eq!(fstab(&[entry(mount, fs_type, InFstab::Usual)]).lines().last(), Some(line));
        }
    }

    #[test]
    fn the_layout_has_the_last_word() {
        let options = InFstab::Options("noatime,nofail".into());
        let text = fstab(&[entry(Some("/srv"), "ext4", options), entry(None, "swap", InFstab::Absent)]);
        assert_eq!(text.lines().last(), Some("UUID=u /srv ext4 noatime,nofail 0 2"));
    }
}
