//! What the installed system mounts (`/etc/fstab`), decrypts (`/etc/crypttab`) and assembles (`mdadm.conf`).
//!
//! A line that leads nowhere makes a system wait and then ask for the administrator. See fstab(5), crypttab(5),
//! mdadm.conf(5).

use super::{
    Check, Finding, Seen,
    devices::{Device, Spec},
};

const FSTAB: &str = "/etc/fstab";
const CRYPTTAB: &str = "/etc/crypttab";
const MDADM: [&str; 2] = ["/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"];

/// Looks at the three files.
pub fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = fstab(seen);
    found.extend(crypttab(seen));
    found.extend(mdadm(seen));
    found
}

/// The lines of a file that are no comments, as words.
fn lines(seen: &Seen<'_>, file: &str) -> Vec<Vec<String>> {
    let text = seen.root.read(file).ok().flatten().unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(ToOwned::to_owned).collect()).collect()
}

fn fstab(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut root = false;
    for words in lines(seen, FSTAB) {
        let [spec, mount, kind, rest @ ..] = words.as_slice() else {
            let remedy = "write device, mount point, type and options, see fstab(5)";
            found.push(Finding::error(
                Check::Fstab,
                FSTAB,
                format!("`{}` is no entry", words.join(" ")),
                remedy,
            ));
            continue;
        };
        let mount = unescaped(mount);
        root |= mount == "/";
        let options = rest.first().map_or("", String::as_str);
        found.extend(entry(seen, spec, &mount, kind, options));
    }
    if !root {
        let remedy = "run `bareon-provision bootloader`, which writes it anew";
        found.push(Finding::error(Check::Fstab, FSTAB, "it has no entry for /", remedy));
    }
    found
}

/// An entry. What is not mounted at boot, or may fail, is a warning only.
fn entry(seen: &Seen<'_>, spec: &str, mount: &str, kind: &str, options: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let optional = options.split(',').any(|option| option == "nofail" || option == "noauto");
    let mut tell = |problem: String, remedy: &str| {
        let severity = if optional { Finding::warning } else { Finding::error };
        found.push(severity(Check::Fstab, FSTAB.to_owned(), problem, remedy.to_owned()));
    };
    let Some(named) = Spec::read(spec) else { return found };
    if let Spec::Kernel(node) = named {
        tell(
            format!("{mount} is to be on {node}: that is the name which another system gave to it"),
            "name it by UUID=, as blkid(8) shows it",
        );
        return found;
    }
    let devices = seen.devices.find(named);
    let Some(device) = devices.first() else {
        tell(
            format!("{mount} is to be on {spec}, which is on no disk of the layout"),
            "correct the entry by what blkid(8) shows, or run `bareon-provision bootloader`, which writes it anew",
        );
        return found;
    };
    // `ext4` mounts the older ones, too; `auto` mounts what it finds.
    let same =
        kind == device.kind() || kind == "auto" || (kind == "ext4" && device.kind().starts_with("ext"));
    if !same {
        tell(
            format!("{mount} is to be {kind}, but {} holds {}", device.node(), device.kind()),
            "correct the type in the entry",
        );
    }
    if mount == "/" && seen.mounted("/").is_some_and(|root| root.node() != device.node()) {
        tell(format!("/ is to be on {spec}, which is {}", device.node()), "name the root file system");
    }
    if mount.starts_with('/') && !seen.root.resolve(mount).is_ok_and(|path| path.is_dir()) {
        tell(format!("the mount point {mount} is not there"), "make the directory in the image");
    }
    found
}

/// Undoes `\040` for a blank, and the like.
fn unescaped(word: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(word.to_owned(), |word, (code, c)| word.replace(code, c))
}

fn crypttab(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for words in lines(seen, CRYPTTAB) {
        let [name, spec, rest @ ..] = words.as_slice() else { continue };
        let Some(named) = Spec::read(spec) else { continue };
        // A container of LUKS is found by its UUID as a file system is.
        if !seen.devices.find(named).is_empty() && !matches!(named, Spec::Kernel(_)) {
            continue;
        }
        let optional = rest.get(1).is_some_and(|options| options.split(',').any(|option| option == "nofail"));
        let severity = if optional { Finding::warning } else { Finding::error };
        found.push(severity(
            Check::Crypttab,
            CRYPTTAB.to_owned(),
            format!("{name} is to be on {spec}, which is on no disk of the layout"),
            "correct the entry by what blkid(8) shows, or remove it from the image".to_owned(),
        ));
    }
    found
}

/// An array's UUID as one row of digits: blkid and mdadm put other marks between them.
fn digits(uuid: &str) -> String {
    uuid.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase()
}

fn mdadm(seen: &Seen<'_>) -> Vec<Finding> {
    let mut ours: Vec<_> = seen
        .devices
        .ours()
        .filter(|device| device.kind() == "linux_raid_member")
        .map(|device| digits(device.uuid()))
        .collect();
    ours.sort();
    ours.dedup();
    let file = MDADM.into_iter().find(|file| seen.root.has(file)).unwrap_or(MDADM[0]);
    let named: Vec<_> = lines(seen, file)
        .iter()
        .filter(|words| words.first().is_some_and(|word| word.eq_ignore_ascii_case("ARRAY")))
        .filter_map(|words| {
            let uuid = |word: &String| word.to_lowercase().strip_prefix("uuid=").map(digits);
            words.iter().find_map(uuid)
        })
        .collect();
    let mut found = Vec::new();
    for uuid in ours.iter().filter(|uuid| !named.contains(uuid)) {
        let members: Vec<_> =
            seen.devices.ours().filter(|one| digits(one.uuid()) == **uuid).map(Device::node).collect();
        found.push(Finding::error(
            Check::Arrays,
            file,
            format!("it does not name the array of {}", members.join(", ")),
            "run `bareon-provision bootloader`, which writes it anew",
        ));
    }
    for uuid in named.iter().filter(|uuid| !ours.contains(uuid)) {
        let problem = format!("it names the array {uuid}, which is on no disk of the layout");
        let remedy = "remove the line: it came with the image";
        found.push(Finding::warning(Check::Arrays, file, problem, remedy));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{Bench, ROOT};

    fn problems(bench: &Bench) -> Vec<String> {
        check(&bench.seen()).iter().map(|finding| format!("{:?} {finding}", finding.severity)).collect()
    }

    #[test]
    fn entries_lead_to_file_systems_of_the_layout() {
        let root = format!("UUID={ROOT} / ext4 errors=remount-ro 0 1\n");
        for (line, problem) in [
            ("", None),
            ("UUID=5afe /srv xfs defaults 0 0", None),
            ("LABEL=srv /srv auto defaults 0 0", None),
            ("tmpfs /tmp tmpfs defaults 0 0", None),
            (
                "UUID=5AFE /srv ext4 defaults 0 0",
                Some("Error /etc/fstab: /srv is to be ext4, but /dev/vda3 holds xfs"),
            ),
            ("UUID=5afe /data xfs defaults 0 0", Some("the mount point /data is not there")),
            ("UUID=f0-e1 /srv ext4 defaults 0 0", Some("on UUID=f0-e1, which is on no disk of the layout")),
            ("UUID=0 /srv ext4 nofail 0 0", Some("Warning /etc/fstab: /srv is to be on UUID=0")),
            ("/dev/sda1 /srv ext4 defaults 0 0", Some("the name which another system gave")),
            ("UUID=5afe", Some("`UUID=5afe` is no entry")),
        ] {
            let bench = Bench::new();
            bench.write(FSTAB, &format!("# x\n{root}{line}\n"));
            let found = problems(&bench);
            match problem {
                None => assert!(found.is_empty(), "{line}: {found:?}"),
                Some(problem) => assert!(found.len() == 1 && found[0].contains(problem), "{line}: {found:?}"),
            }
        }
        let bench = Bench::new();
        bench.write(FSTAB, "UUID=5afe / xfs defaults 0 0\n");
        assert!(problems(&bench)[0].contains("/ is to be on UUID=5afe, which is /dev/vda3"));
        bench.write(FSTAB, "");
        assert!(problems(&bench)[0].contains("it has no entry for /"));
    }

    #[test]
    fn arrays_are_those_of_the_layout_and_all_of_them() {
        let mut bench = Bench::new();
        bench.write(FSTAB, &format!("UUID={ROOT} / ext4 defaults 0 1\n"));
        let uuid = "1c4b7ca2-f9f5-7d0c-6f0b-3a5a7f1a1d2e";
        bench.add(&[
            ("/dev/vda4", "linux_raid_member", uuid, "", "", true),
            ("/dev/vdb4", "linux_raid_member", uuid, "", "", true),
        ]);
        let found = problems(&bench);
        assert!(found.len() == 1 && found[0].contains("the array of /dev/vda4, /dev/vdb4"), "{found:?}");
        bench.write(MDADM[1], "ARRAY /dev/md/0 metadata=1.2 UUID=1c4b7ca2:f9f57d0c:6f0b3a5a:7f1a1d2e\n");
        assert!(problems(&bench).is_empty());
        bench.write(
            MDADM[0],
            "ARRAY /dev/md9 UUID=0:0:0:1\nARRAY <ignore> UUID=1c4b7ca2:f9f57d0c:6f0b3a5a:7f1a1d2e\n",
        );
        let found = problems(&bench);
        assert!(
            found.len() == 1 && found[0].starts_with("Warning /etc/mdadm/mdadm.conf: it names"),
            "{found:?}"
        );
    }

    #[test]
    fn crypttab_leads_somewhere() {
        let bench = Bench::new();
        bench.write(FSTAB, &format!("UUID={ROOT} / ext4 defaults 0 1\n"));
        bench.write(CRYPTTAB, "data UUID=5afe none luks\nswap /dev/sda3 /dev/urandom swap\n");
        let found = problems(&bench);
        assert!(found.len() == 1 && found[0].contains("swap is to be on /dev/sda3"), "{found:?}");
    }
}
