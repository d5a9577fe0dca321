//! Boot loader entries as files: `/boot/loader/entries/*.conf`, which the RPM family's GRUB reads.
//!
//! They come from the machine that built the image, and grub2-mkconfig leaves them alone (or refers to
//! `$kernelopts` of GRUB's environment). See the Boot Loader Specification. Their `options` are
//! written out here, and their files are named as GRUB finds them: from the root of the file system
//! that holds `/boot`, which need not be what it was on that machine. `/etc/kernel/cmdline` is what
//! kernel-install(8) puts into the entries of later kernels.

use std::{fmt::Write, path::Path};

use super::{
    BootError,
    defaults::{consoles, for_grub},
    inroot::Root,
};

/// The directory of the entries.
pub const DIR: &str = "/boot/loader/entries";

const CMDLINE: &str = "/etc/kernel/cmdline";

/// Gives all entries the root file system, the parameters and the place of their files; how many
/// there are. `own_boot`: `/boot` is a file system of its own.
///
/// # Errors
/// When one cannot be read or written, or names a file that is not there.
pub fn rewrite(root: &Root, uuid: &str, params: &str, own_boot: bool) -> Result<usize, BootError> {
    let names: Vec<_> = root
        .names(DIR)
        .into_iter()
        .filter(|name| Path::new(name).extension().is_some_and(|ext| ext == "conf"))
        .collect();
    let mut later = None;
    for name in &names {
        let path = format!("{DIR}/{name}");
        let text = root.read(&path)?.unwrap_or_default();
        let options = options(&text, uuid, params);
        root.write(&path, rewritten(root, (&path, &text), &options, own_boot)?)?;
        // Sorted by version, the newest kernel is the last; the one for rescue is like no other.
        if later.is_none() || !name.contains("-rescue") {
            later = Some(options);
        }
    }
    if let Some(options) = later {
        root.write(CMDLINE, options + "\n")?;
    }
    Ok(names.len())
}

/// The key and the value of a line.
fn field(line: &str) -> (&str, &str) {
    let (key, value) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    (key, value.trim())
}

/// The options of an entry; consoles stay where the parameters name none, a root's flags always.
fn options(text: &str, uuid: &str, params: &str) -> String {
    let old: Vec<_> =
        text.lines().map(field).filter(|(key, _)| *key == "options").map(|(_, value)| value).collect();
    let old = old.join(" ");
    let mut words = vec![format!("root=UUID={uuid}"), "ro".into()];
    words.extend(old.split_whitespace().filter(|word| word.starts_with("rootflags=")).map(str::to_owned));
    if consoles(params).is_empty() {
        words.extend(consoles(&old).into_iter().map(str::to_owned));
    }
    words.push(for_grub(params.trim()));
    words.join(" ").trim_end().to_owned()
}

/// The entry with other options, and with its files where they are.
fn rewritten(
    root: &Root,
    (entry, text): (&str, &str),
    options: &str,
    own_boot: bool,
) -> Result<String, BootError> {
    let mut lines = String::new();
    for line in text.lines() {
        let (key, value) = field(line);
        // Writing into a string does not fail.
        let _ = match key {
            "options" => Ok(()),
            "linux" | "initrd" => {
                let files = value.split_whitespace().map(|file| placed(root, entry, file, own_boot));
                writeln!(lines, "{key} {}", files.collect::<Result<Vec<_>, _>>()?.join(" "))
            }
            _ => writeln!(lines, "{line}"),
        };
    }
    Ok(format!("{lines}options {options}\n"))
}

/// A file of an entry as GRUB finds it. A variable (`$tuned_initrd`) is GRUB's to resolve.
fn placed(root: &Root, entry: &str, file: &str, own_boot: bool) -> Result<String, BootError> {
    if !file.starts_with('/') {
        return Ok(file.to_owned());
    }
    // Before `/boot` there may be the name of a btrfs subvolume.
    let (before, within) = file.split_once("/boot/").unwrap_or(("", file.trim_start_matches('/')));
    if !root.has(Path::new("/boot").join(within)) {
        let (entry, file) = (entry.to_owned(), format!("/boot/{within}"));
        return Err(BootError::NoBootFile { entry, file });
    }
    Ok(if own_boot { format!("/{within}") } else { format!("{before}/boot/{within}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entry: &str) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for file in ["/boot/vmlinuz-5", "/boot/initramfs-5.img"] {
            root.write(file, "").unwrap();
        }
        root.write(format!("{DIR}/5.conf"), entry).unwrap();
        (dir, root)
    }

    #[test]
    fn options_are_written_out_and_are_those_of_later_kernels() {
        let (_dir, root) = image(
            "title CentOS Stream\nlinux\t/vmlinuz-5\ninitrd /initramfs-5.img $tuned_initrd\n\
             options root=UUID=old ro rootflags=subvol=root console=ttyS0 rhgb\ngrub_users $grub_users\n",
        );
        root.write(format!("{DIR}/6-0-rescue.conf"), "linux /vmlinuz-5\noptions x\n").unwrap();
        assert_eq!(rewrite(&root, "new", "net.ifnames=0", true).unwrap(), 2);
        let options = "root=UUID=new ro rootflags=subvol=root console=ttyS0 net.ifnames=0\n";
        assert_eq!(
            root.read(format!("{DIR}/5.conf")).unwrap().unwrap(),
            format!(
                "title CentOS Stream\nlinux /vmlinuz-5\ninitrd /initramfs-5.img $tuned_initrd\n\
                 grub_users $grub_users\noptions {options}"
            )
        );
        assert_eq!(root.read(CMDLINE).unwrap().unwrap(), options);
        assert_eq!(
            super::options("options $kernelopts\n", "new", "console=tty0 a=$b"),
            "root=UUID=new ro console=tty0 a=\\$b"
        );
    }

    #[test]
    fn files_are_named_from_the_file_system_that_holds_them() {
        for (file, own_boot, placed) in [
            ("/vmlinuz-5", true, "/vmlinuz-5"),
            ("/vmlinuz-5", false, "/boot/vmlinuz-5"),
            ("/boot/vmlinuz-5", true, "/vmlinuz-5"),
            ("/boot/vmlinuz-5", false, "/boot/vmlinuz-5"),
            ("/root/boot/vmlinuz-5", false, "/root/boot/vmlinuz-5"),
        ] {
            let (_dir, root) = image(&format!("linux {file}\n"));
            rewrite(&root, "u", "", own_boot).unwrap();
            let entry = root.read(format!("{DIR}/5.conf")).unwrap().unwrap();
            assert_eq!(entry.lines().next(), Some(&*format!("linux {placed}")), "{file} {own_boot}");
        }
        let (_dir, root) = image("linux /boot/vmlinuz-4\n");
        let error = rewrite(&root, "u", "", false).unwrap_err().to_string();
        assert!(error.contains("5.conf") && error.contains("/boot/vmlinuz-4"), "{error}");
    }

    #[test]
    fn an_image_without_entries_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert_eq!(rewrite(&root, "u", "", false).unwrap(), 0);
        assert!(!root.has(CMDLINE));
    }
}
