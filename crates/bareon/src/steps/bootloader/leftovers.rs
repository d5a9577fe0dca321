//! What the image's builder left in it of its own devices, beside fstab and `mdadm.conf`.
//!
//! `RESUME=` of initramfs-tools names the swap space that a hibernated system wakes up from. The builder's is none of this
//! machine's, and the initramfs waits for it half a minute at each boot; without the file, the package guesses one by the
//! swap of the system that runs now, the ramdisk. A server does not hibernate: `none`. A kernel parameter `resume=` wins.
//!
//! An encrypted volume of the builder cannot be told from one that a site will add: it is told, and left alone.

use super::{BootError, inroot::Root};

/// Where initramfs-tools reads it.
pub const RESUME: &str = "/etc/initramfs-tools/conf.d/resume";

const NO_RESUME: &str = "# Written when this system was installed: nothing to wake up from, and nothing to wait for at boot.\nRESUME=none\n";

/// Corrects what can be corrected; what is to be told of the rest.
///
/// # Errors
/// When a file cannot be read or written.
pub fn clear(root: &Root) -> Result<Option<String>, BootError> {
    if root.has_program("update-initramfs") && root.read(RESUME)?.as_deref() != Some(NO_RESUME) {
        root.write(RESUME, NO_RESUME)?;
    }
    let crypttab = root.read("/etc/crypttab")?.unwrap_or_default();
    let volumes = volumes(&crypttab);
    Ok((!volumes.is_empty()).then(|| {
        format!(
            "the image's /etc/crypttab has {}, whose devices this machine need not have: it may wait for them at boot; \
             remove them from the image",
            volumes.join(", ")
        )
    }))
}

/// The encrypted volumes of a crypttab.
pub fn volumes(crypttab: &str) -> Vec<&str> {
    let lines = crypttab.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_resume_is_corrected_and_a_stale_crypttab_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        root.write("/etc/crypttab", "# <name> <device>\n\nhome UUID=x none luks\n").unwrap();
        let told = clear(&root).unwrap().unwrap();
        assert!(told.contains("/etc/crypttab has home,"), "{told}");
        assert!(!root.has(RESUME), "there is no initramfs-tools");
        root.write("/usr/sbin/update-initramfs", "").unwrap();
        root.write(RESUME, "RESUME=UUID=builders\n").unwrap();
        root.remove("/etc/crypttab".as_ref()).unwrap();
        assert_eq!(clear(&root).unwrap(), None);
        assert!(root.read(RESUME).unwrap().unwrap().ends_with("RESUME=none\n"));
    }
}
