//! Boot loader entries as files: `/boot/loader/entries/*.conf`, which the RPM family's GRUB reads.
//!
//! Their `options` come from the machine that built the image, and grub2-mkconfig leaves them alone
//! (or refers to `$kernelopts` of GRUB's environment). See the Boot Loader Specification. They are
//! written out here; `/etc/kernel/cmdline` is what kernel-install(8) gives later kernels.

use std::{fmt::Write, path::Path};

use super::{
    BootError,
    defaults::{consoles, for_grub},
    inroot::Root,
};

/// The directory of the entries.
pub const DIR: &str = "/boot/loader/entries";

const CMDLINE: &str = "/etc/kernel/cmdline";

/// Gives all entries the root file system and the parameters; how many there are.
///
/// # Errors
/// When one cannot be read or written.
pub fn rewrite(root: &Root, uuid: &str, params: &str) -> Result<usize, BootError> {
    let names: Vec<_> = root
        .names(DIR)
        .into_iter()
        .filter(|name| Path::new(name).extension().is_some_and(|ext| ext == "conf"))
        .collect();
    for name in &names {
        let path = format!("{DIR}/{name}");
        let text = root.read(&path)?.unwrap_or_default();
        root.write(&path, with_options(&text, uuid, params))?;
    }
    if !names.is_empty() {
        root.write(CMDLINE, format!("root=UUID={uuid} ro {}\n", params.trim()))?;
    }
    Ok(names.len())
}

/// An entry with other options; consoles stay where the parameters name none, a root's flags always.
fn with_options(text: &str, uuid: &str, params: &str) -> String {
    let old = text.lines().find_map(|line| line.strip_prefix("options ")).unwrap_or_default();
    let mut words = vec![format!("root=UUID={uuid}"), "ro".into()];
    words.extend(old.split_whitespace().filter(|word| word.starts_with("rootflags=")).map(str::to_owned));
    if consoles(params).is_empty() {
        words.extend(consoles(old).into_iter().map(str::to_owned));
    }
    words.push(for_grub(params.trim()));
    let mut entry = String::new();
    for line in text.lines().filter(|line| !line.starts_with("options ")) {
        // Writing into a string does not fail.
        let _ = writeln!(entry, "{line}");
    }
    format!("{entry}options {}\n", words.join(" ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_out() {
        let text = "title CentOS Stream\nlinux /vmlinuz-5\noptions root=UUID=old ro rootflags=subvol=root console=ttyS0 rhgb\ngrub_users $grub_users\n";
        assert_eq!(
            with_options(text, "new", "net.ifnames=0"),
            "title CentOS Stream\nlinux /vmlinuz-5\ngrub_users $grub_users\n\
             options root=UUID=new ro rootflags=subvol=root console=ttyS0 net.ifnames=0\n"
        );
        assert_eq!(
            with_options("linux /vmlinuz-4\noptions $kernelopts\n", "new", "console=tty0 a=$b"),
            "linux /vmlinuz-4\noptions root=UUID=new ro console=tty0 a=\\$b\n"
        );
    }

    #[test]
    fn an_image_without_entries_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert_eq!(rewrite(&root, "u", "").unwrap(), 0);
        assert!(!root.has(CMDLINE));
    }
}
