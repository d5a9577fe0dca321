//! GRUB's programs, run in a chroot: every call of `grub-install`, `grub-mkconfig`, `grub-mkimage` and their
//! namesakes `grub2-*` is in this file.

use std::path::Path;

use crate::Cmd;

/// Installs GRUB for a BIOS onto `disk`.
///
/// `--recheck` has it forget a `device.map` that came with the image.
pub fn install_bios(root: &Path, program: &str, disk: &str) -> Cmd {
    Cmd::inside(root, program).args(["--target=i386-pc", "--recheck", disk])
}

/// Installs GRUB for UEFI into the EFI system partition that is mounted at `esp` within `root`:
/// into the directory `EFI/<id>`, or, without an id, into the removable fallback path.
///
/// NVRAM is left alone: the entries there are kept from outside of the chroot.
pub fn install_efi(root: &Path, program: &str, esp: &str, id: Option<&str>) -> Cmd {
    let cmd = Cmd::inside(root, program)
        .arg("--target=x86_64-efi")
        .arg(format!("--efi-directory={esp}"))
        .arg("--no-nvram")
        .arg("--recheck");
    match id {
        Some(id) => cmd.arg(format!("--bootloader-id={id}")),
        None => cmd.arg("--removable"),
    }
}

/// Has the shell of GRUB legacy install itself for a BIOS onto `disk`, the first disk to it, from the partition
/// `number` of that disk (1 is the first, which it calls 0).
///
/// Its status is always 0; [`legacy_error`] tells whether it failed.
pub fn legacy_setup(root: &Path, disk: &str, number: u32) -> Cmd {
    let script = format!("device (hd0) {disk}\nroot (hd0,{})\nsetup (hd0)\nquit\n", number.saturating_sub(1));
    Cmd::inside(root, "grub").args(["--batch", "--no-floppy", "--device-map=/dev/null"]).stdin(script)
}

/// The first error that the shell of GRUB legacy printed: `Error 22: No such partition`.
pub fn legacy_error(printed: &str) -> Option<String> {
    let is_error = |line: &&str| {
        line.strip_prefix("Error ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    printed.lines().map(str::trim).find(is_error).map(ToOwned::to_owned)
}

/// Writes GRUB's configuration to `file` within `root`.
pub fn mkconfig(root: &Path, program: &str, file: &str) -> Cmd {
    Cmd::inside(root, program).args(["-o", file])
}

/// An image of GRUB that a firmware or a first sector starts. All paths are within the chroot.
#[derive(Debug, Clone, Copy)]
pub struct CoreImage<'a> {
    /// What it is for, such as `i386-pc`.
    pub format: &'a str,
    /// Where the modules are that it is made of.
    pub modules: &'a Path,
    /// Where it looks for more of them.
    pub prefix: &'a str,
    /// What it does first.
    pub config: &'a Path,
    /// The file that is made.
    pub image: &'a Path,
}

/// Makes an image of GRUB; the names of its modules are to be added.
pub fn mkimage(root: &Path, new: &CoreImage<'_>) -> Cmd {
    Cmd::inside(root, "grub-mkimage")
        .arg(format!("--format={}", new.format))
        .arg("--directory")
        .arg(new.modules)
        .arg("--prefix")
        .arg(new.prefix)
        .arg("--config")
        .arg(new.config)
        .arg("--output")
        .arg(new.image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_made_of_the_systems_own_modules() {
        let new = CoreImage {
            format: "i386-pc",
            modules: Path::new("/usr/lib/grub/i386-pc"),
            prefix: "/boot/grub",
            config: Path::new("/boot/grub/i386-pc/load.cfg"),
            image: Path::new("/boot/grub/i386-pc/core.img"),
        };
        let line = mkimage(Path::new("/t"), &new).arg("biosdisk").to_string();
        assert!(line.starts_with("chroot /t /usr/bin/env -i "), "{line}");
        assert!(
            line.ends_with(
                " grub-mkimage --format=i386-pc --directory /usr/lib/grub/i386-pc --prefix /boot/grub \
                 --config /boot/grub/i386-pc/load.cfg --output /boot/grub/i386-pc/core.img biosdisk"
            ),
            "{line}"
        );
    }

    #[test]
    fn an_error_of_grub_legacy_is_found_in_what_it_prints() {
        let good = " Checking if \"/boot/grub/stage1\" exists... yes\n Running \"install /boot/grub/stage1 (hd0) (hd0)1+19 p \
                    (hd0,0)/boot/grub/stage2 /boot/grub/menu.lst\"... succeeded\nDone.\ngrub> quit\n";
        assert_eq!(legacy_error(good), None);
        let bad = "grub> root (hd0,1)\n\nError 22: No such partition\ngrub> setup (hd0)\n\nError 12: Invalid device requested\n";
        assert_eq!(legacy_error(bad).as_deref(), Some("Error 22: No such partition"));
        let line = legacy_setup(Path::new("/t"), "/run/x/hd0", 3).to_string();
        assert!(line.ends_with(
            "--device-map=/dev/null <<'END'\ndevice (hd0) /run/x/hd0\nroot (hd0,2)\nsetup (hd0)\nquit\nEND"
        ));
    }
}
