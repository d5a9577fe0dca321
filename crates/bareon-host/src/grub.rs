//! GRUB's programs, run in a chroot: every call of `grub-install`, `grub-mkconfig` and their
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

/// Writes GRUB's configuration to `file` within `root`.
pub fn mkconfig(root: &Path, program: &str, file: &str) -> Cmd {
    Cmd::inside(root, program).args(["-o", file])
}
