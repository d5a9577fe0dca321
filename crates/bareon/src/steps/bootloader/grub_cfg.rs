//! The generated `grub.cfg`, read back before the machine depends on it.
//!
//! grub-mkconfig names the root file system by UUID where it can; where it cannot, it falls back to
//! the device's name in the ramdisk without a word, and the installed system waits for a disk that
//! may have another name there.

use super::BootError;

/// Checks that each kernel is told the root file system by `uuid`. A logical volume may be told by its name, `device`,
/// which is its own everywhere; grub-mkconfig does so. `entries` files of their own may start kernels too.
///
/// # Errors
/// When one is told something else, or nothing starts a kernel.
pub fn check(file: &str, text: &str, (uuid, device): (&str, &str), entries: usize) -> Result<(), BootError> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| matches!(line.split_whitespace().next(), Some("linux" | "linuxefi" | "linux16")));
    let mut kernels = 0;
    for line in lines {
        // Others, such as a memory test, have no root file system.
        let Some(root) = line.split_whitespace().find_map(|word| word.strip_prefix("root=")) else {
            continue;
        };
        let by_name = root == device && root.starts_with("/dev/mapper/");
        if root.strip_prefix("UUID=") != Some(uuid) && !by_name {
            let (file, uuid, found) = (file.into(), uuid.into(), format!("root={root}"));
            return Err(BootError::WrongRoot { file, uuid, found });
        }
        kernels += 1;
    }
    if kernels + entries == 0 { Err(BootError::NoEntry(file.into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(line: &str) -> Result<(), BootError> {
        let text = format!("menuentry 'x' {{\n\tlinux16 /boot/memtest86+.bin\n\t{line}\n}}\n");
        check("/boot/grub/grub.cfg", &text, ("ab-cd", "/dev/mapper/os-root"), 0)
    }

    #[test]
    fn the_root_file_system_must_be_found_by_uuid() {
        checked("linux\t/boot/vmlinuz-6 root=UUID=ab-cd ro quiet").unwrap();
        checked("linux /vmlinuz-6 root=/dev/mapper/os-root ro").unwrap();
        let error = checked("linux /boot/vmlinuz-6 root=/dev/loop0p5 ro").unwrap_err().to_string();
        assert!(error.contains("`root=/dev/loop0p5`"), "{error}");
        checked("linux /boot/vmlinuz-6 root=UUID=ab-cdef ro").unwrap_err();
        checked("linux /boot/vmlinuz-6 root=/dev/mapper/builder-root ro").unwrap_err();
    }

    #[test]
    fn something_must_start_a_kernel() {
        assert!(matches!(checked("initrd /x"), Err(BootError::NoEntry(_))));
        check("/boot/grub2/grub.cfg", "blscfg\n", ("ab-cd", "/dev/sda1"), 2).unwrap();
    }
}
