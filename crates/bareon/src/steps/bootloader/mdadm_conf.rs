//! `mdadm.conf` of the installed system: which arrays are its own.
//!
//! Arrays are named by UUID, so that each gets the device node that the layout gives it, also when another disk brings
//! an array of the same name along; that one gets another node (`/dev/md127`). See mdadm.conf(5). What the image brought
//! of its builder's machine goes: `ARRAY`, `HOMEHOST`, and `DEVICE` where it names devices. All other settings of a site
//! (`MAILADDR`, `PROGRAM`, `AUTO`, `CREATE`, `POLICY`, …) stay.

use std::fmt::Write;

use super::{BootError, Family, inroot::Root};

const HEAD: &str = "# The arrays of this system, written when it was installed; `mdadm --detail --scan` shows those that run.";

/// The places where mdadm looks for it; the first is the one that a package of that family has.
fn places(family: Family) -> [&'static str; 2] {
    match family {
        Family::Debian => ["/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"],
        Family::Rpm => ["/etc/mdadm.conf", "/etc/mdadm/mdadm.conf"],
    }
}

/// Whether a path of an initramfs is this file.
pub fn is_it(path: &str) -> bool {
    path == "etc/mdadm/mdadm.conf" || path == "etc/mdadm.conf"
}

/// Writes `arrays` (their nodes and UUIDs) into the file that mdadm reads. Without arrays only stale lines go.
///
/// # Errors
/// When it cannot be read or written.
pub fn write(root: &Root, family: Family, arrays: &[(String, String)]) -> Result<(), BootError> {
    let places = places(family);
    let place = places.into_iter().find(|place| root.has(place)).unwrap_or(places[0]);
    let old = root.read(place)?.unwrap_or_default();
    let new = text(&old, arrays);
    if new == old { Ok(()) } else { root.write(place, new) }
}

/// The UUIDs of the arrays that such a file names, in lower case.
pub fn uuids(text: &str) -> Vec<String> {
    let lines = settings(text).into_iter().filter(|lines| is(lines, "array"));
    let words = lines.flat_map(|lines| lines.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>());
    words.filter_map(|word| word.strip_prefix("uuid=").map(str::to_owned)).collect()
}

/// The file with `arrays` for whatever arrays it had.
fn text(old: &str, arrays: &[(String, String)]) -> String {
    let stale = |setting: &&str| {
        is(setting, "array") || is(setting, "homehost") || is(setting, "device") && setting.contains('/')
    };
    let settings = settings(old);
    let kept: Vec<_> =
        settings.iter().copied().filter(|setting| setting.trim_end() != HEAD && !stale(setting)).collect();
    let mut text = kept.concat();
    if arrays.is_empty() {
        return text;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    // Without a word of where to report to, mdmonitor.service fails.
    if !kept.iter().any(|setting| is(setting, "mailaddr") || is(setting, "program")) {
        text.push_str("MAILADDR root\n");
    }
    // Writing into a string does not fail.
    let _ = writeln!(text, "{HEAD}\nHOMEHOST <ignore>");
    for (device, uuid) in arrays {
        let _ = writeln!(text, "ARRAY {device} UUID={uuid}");
    }
    text
}

/// Each setting with the lines that continue it, which begin with a blank.
fn settings(text: &str) -> Vec<&str> {
    let mut settings = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        if end > begin && !line.starts_with([' ', '\t']) {
            settings.push(&text[begin..end]);
            begin = end;
        }
        end += line.len();
    }
    settings.push(&text[begin..end]);
    settings
}

/// Whether a setting is `keyword`, which may be cut to three letters and written in any case.
fn is(setting: &str, keyword: &str) -> bool {
    let word = setting.split_whitespace().next().unwrap_or_default().to_lowercase();
    word.len() >= 3 && keyword.starts_with(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDERS: &str = "# mdadm.conf\nDEVICE partitions\nCREATE owner=root group=disk\n  mode=0660 auto=yes\n\
        HOMEHOST builder\nMAILADDR ops@example.org\nDEV /dev/sda1 /dev/sdb1\n\
        ARRAY /dev/md/0 metadata=1.2\n   UUID=0:0:0:1 name=builder:0\narr /dev/md1 uuid=0:0:0:2\nAUTO +all\n";

    fn ours() -> Vec<(String, String)> {
        vec![("/dev/md0".into(), "a:b:c:d".into()), ("/dev/md1".into(), "e:f:a:b".into())]
    }

    #[test]
    fn arrays_of_the_builder_go_and_what_a_site_wants_stays() {
        let kept = "# mdadm.conf\nDEVICE partitions\nCREATE owner=root group=disk\n  mode=0660 auto=yes\n\
                    MAILADDR ops@example.org\nAUTO +all\n";
        assert_eq!(text(BUILDERS, &[]), kept);
        let written = text(BUILDERS, &ours());
        let arrays = "HOMEHOST <ignore>\nARRAY /dev/md0 UUID=a:b:c:d\nARRAY /dev/md1 UUID=e:f:a:b\n";
        assert_eq!(written, format!("{kept}{HEAD}\n{arrays}"));
        assert_eq!(text(&written, &ours()), written, "once more is the same");
        assert_eq!(text("", &ours()), format!("MAILADDR root\n{HEAD}\n{arrays}"));
    }

    #[test]
    fn the_uuids_of_a_file_are_found_wherever_they_stand() {
        assert_eq!(uuids(BUILDERS), ["0:0:0:1", "0:0:0:2"]);
        assert!(uuids("# ARRAY UUID=x\n").is_empty());
    }

    #[test]
    fn the_file_that_is_there_is_the_one_that_is_written() {
        for (there, family, written) in [
            (None, Family::Debian, "/etc/mdadm/mdadm.conf"),
            (None, Family::Rpm, "/etc/mdadm.conf"),
            (Some("/etc/mdadm.conf"), Family::Debian, "/etc/mdadm.conf"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let root = Root::new(dir.path());
            if let Some(there) = there {
                root.write(there, "AUTO +all\n").unwrap();
            }
            write(&root, family, &ours()).unwrap();
            assert!(root.read(written).unwrap().unwrap().contains("ARRAY /dev/md0 UUID=a:b:c:d"));
            assert_eq!(root.has("/etc/mdadm/mdadm.conf"), written == "/etc/mdadm/mdadm.conf");
        }
    }
}
