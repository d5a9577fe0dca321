//! UEFI: the EFI system partitions are filled.
//!
//! Each disk's partition is mounted at `/boot/efi` in its turn and gets the same: the distribution's
//! own directory, and the removable fallback path `EFI/BOOT/BOOTX64.EFI`, by which a machine boots
//! whose NVRAM knows nothing, was lost, or belongs to another board.
//!
//! Debian's grub-install brings shim along where the image has the signed packages. The RPM family
//! forbids grub2-install here: its signed boot loader is a packaged file in `/boot/efi`, which a mount
//! would hide; those files are read before and copied. What they look for beside themselves is a
//! `grub.cfg`; it gets two lines that lead to the one in `/boot`.

use std::path::{Path, PathBuf};

use bareon_host::{Runner, grub};

use super::{BootError, Esp, EspFiles, Family, Storage, family, fstab, inroot::Root, target::Target};

/// Files with their paths from the partition's root.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

/// A boot loader in an EFI system partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// The disk.
    pub disk: String,
    /// The EFI system partition.
    pub esp: Esp,
    /// The partition's GUID, where it is in a GPT.
    pub partuuid: Option<String>,
    /// The file that is started, as UEFI writes paths: `\EFI\debian\grubx64.efi`.
    pub file: String,
    /// What is in the partition now.
    pub files: EspFiles,
}

/// What is put into each EFI system partition, found out before one is mounted.
#[derive(Debug)]
pub enum Source {
    /// By grub-install, for a distribution of that name.
    Installer(String),
    /// As packaged, with paths from the partition's root.
    Packaged {
        /// The name of the distribution's directory.
        vendor: String,
        /// The packaged files.
        files: Files,
        /// The `grub.cfg` to put beside them.
        stub: String,
    },
}

impl Source {
    /// Looks into the image. `boot` is the UUID of the file system with GRUB's configuration, and
    /// the configuration's directory within it.
    ///
    /// # Errors
    /// When the image brings no boot loader for UEFI; the error names the packages.
    pub fn find(
        root: &Root,
        family: Family,
        storage: &Storage,
        boot: (&str, &str),
    ) -> Result<Self, BootError> {
        if family == Family::Debian {
            family::check_debian_efi(root, storage)?;
            return Ok(Self::Installer(family::distribution(root)?));
        }
        let files = root.files(Path::new(fstab::ESP))?;
        let vendor = files.iter().find_map(|(path, _)| vendor_of(path));
        let vendor = vendor.ok_or_else(|| BootError::Incomplete {
            what: "boot loader for UEFI in /boot/efi/EFI".into(),
            package: "grub2-efi-x64 (and shim-x64 for secure boot)",
        })?;
        Ok(Self::Packaged { vendor, files, stub: stub(boot.0, boot.1) })
    }

    /// The name of the distribution's directory, which names the entry in NVRAM too.
    pub fn id(&self) -> &str {
        match self {
            Self::Installer(id) | Self::Packaged { vendor: id, .. } => id,
        }
    }
}

/// `fedora` for `EFI/fedora/grubx64.efi`.
fn vendor_of(path: &Path) -> Option<String> {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    match &parts[..] {
        [efi, vendor, file]
            if efi.eq_ignore_ascii_case("EFI")
                && !vendor.eq_ignore_ascii_case("BOOT")
                && file.eq_ignore_ascii_case("grubx64.efi") =>
        {
            Some(vendor.to_string())
        }
        _ => None,
    }
}

/// A `grub.cfg` that goes on in the one of `dir` on the file system `uuid`.
fn stub(uuid: &str, dir: &str) -> String {
    format!(
        "search --no-floppy --fs-uuid --set=dev {uuid}\nset prefix=($dev){dir}\nexport prefix\nconfigfile $prefix/grub.cfg\n"
    )
}

/// The boot loaders in the EFI system partition that is mounted: the distribution's and the removable one, and no files of
/// anybody else.
fn loaders(root: &Root, id: &str) -> Result<Files, BootError> {
    let own = |path: &Path| {
        let mut parts = path.iter().map(|part| part.to_string_lossy());
        parts.next().is_some_and(|top| top.eq_ignore_ascii_case("EFI"))
            && parts
                .next()
                .is_some_and(|dir| dir.eq_ignore_ascii_case(id) || dir.eq_ignore_ascii_case("BOOT"))
    };
    let files = root.files(Path::new(fstab::ESP))?;
    Ok(files.into_iter().filter(|(path, _)| own(path)).collect())
}

/// Fills the EFI system partition of `disk`; what is to be entered into NVRAM.
///
/// What grub-install puts into one is the same on each disk, so the others get a copy of the first, which `installed`
/// remembers.
///
/// # Errors
/// When it cannot be mounted, or a program or a copy fails.
pub fn install(
    host: &dyn Runner,
    target: &mut Target<'_>,
    source: &Source,
    installed: &mut Files,
    disk: &str,
    (esp, partuuid): (&Esp, Option<String>),
) -> Result<Loader, BootError> {
    target.mount(&esp.device, fstab::ESP, "vfat")?;
    match source {
        Source::Installer(_) if !installed.is_empty() => {
            for (path, content) in installed.iter() {
                target.root().write(Path::new(fstab::ESP).join(path), content)?;
            }
        }
        Source::Installer(id) => {
            let program = Family::Debian.names().install;
            let root = target.root().path();
            host.run(&grub::install_efi(root, program, fstab::ESP, Some(id)))?;
            host.run(&grub::install_efi(root, program, fstab::ESP, None))?;
            *installed = loaders(target.root(), id)?;
        }
        Source::Packaged { vendor, files, stub } => copy(target.root(), vendor, files, stub)?,
    }
    let dir = format!("EFI/{}", source.id());
    // shim checks the signature of GRUB and starts it; without secure boot it does so unchecked.
    let file = ["shimx64.efi", "grubx64.efi"]
        .into_iter()
        .find(|file| target.root().has(Path::new(fstab::ESP).join(&dir).join(file)))
        .unwrap_or("grubx64.efi");
    let file = format!("\\{}\\{file}", dir.replace('/', "\\"));
    let files = EspFiles::read(target.root(), fstab::ESP, &esp.device)?;
    target.unmount_last()?;
    Ok(Loader { disk: disk.into(), esp: esp.clone(), partuuid, file, files })
}

fn copy(root: &Root, vendor: &str, files: &[(PathBuf, Vec<u8>)], stub: &str) -> Result<(), BootError> {
    let esp = Path::new(fstab::ESP);
    for (path, content) in files {
        root.write(esp.join(path), content)?;
    }
    let dir = esp.join("EFI").join(vendor);
    root.write(dir.join("grub.cfg"), stub)?;
    let fallback = esp.join("EFI/BOOT");
    if root.has(fallback.join("BOOTX64.EFI")) {
        return Ok(());
    }
    // Alone there, shim starts the grubx64.efi beside it; without shim, GRUB itself is started.
    let content = |name: &str| {
        let path = Path::new("EFI").join(vendor).join(name);
        files.iter().find(|(other, _)| *other == path).map(|(_, content)| content)
    };
    let grub = content("grubx64.efi");
    if let Some(first) = content("shimx64.efi").or(grub) {
        root.write(fallback.join("BOOTX64.EFI"), first)?;
    }
    if let Some(grub) = grub {
        root.write(fallback.join("grubx64.efi"), grub)?;
    }
    root.write(fallback.join("grub.cfg"), stub)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[&str]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for name in files {
            root.write(name, *name).unwrap();
        }
        (dir, root)
    }

    #[test]
    fn packaged_files_are_copied_with_a_configuration_and_a_fallback() {
        let (_image, image) = root(&["boot/efi/EFI/fedora/shimx64.efi", "boot/efi/EFI/fedora/grubx64.efi"]);
        let source = Source::find(&image, Family::Rpm, &Storage::default(), ("ab-cd", "/grub2")).unwrap();
        assert_eq!(source.id(), "fedora");
        let Source::Packaged { vendor, files, stub } = &source else { panic!("{source:?}") };
        let (_esp, esp) = root(&[]);
        copy(&esp, vendor, files, stub).unwrap();
        let read = |name: &str| esp.read(Path::new(fstab::ESP).join("EFI").join(name)).unwrap().unwrap();
        assert_eq!(read("BOOT/BOOTX64.EFI"), "boot/efi/EFI/fedora/shimx64.efi");
        assert_eq!(read("BOOT/grubx64.efi"), "boot/efi/EFI/fedora/grubx64.efi");
        assert_eq!(read("fedora/grub.cfg"), read("BOOT/grub.cfg"));
        assert!(read("fedora/grub.cfg").contains("--set=dev ab-cd\nset prefix=($dev)/grub2\n"));
    }

    #[test]
    fn a_packaged_fallback_is_kept() {
        let (_image, image) = root(&["boot/efi/EFI/fedora/grubx64.efi", "boot/efi/EFI/BOOT/BOOTX64.EFI"]);
        let Source::Packaged { vendor, files, stub } =
            Source::find(&image, Family::Rpm, &Storage::default(), ("u", "/")).unwrap()
        else {
            panic!("packaged")
        };
        let (_esp, esp) = root(&[]);
        copy(&esp, &vendor, &files, &stub).unwrap();
        assert_eq!(esp.names("boot/efi/EFI/BOOT"), ["BOOTX64.EFI"]);
    }

    #[test]
    fn an_image_without_a_boot_loader_for_uefi_is_refused() {
        let (_image, image) = root(&["usr/sbin/grub-install"]);
        let error =
            Source::find(&image, Family::Debian, &Storage::default(), ("u", "/")).unwrap_err().to_string();
        assert!(error.contains("grub-efi-amd64-bin"), "{error}");
        let error =
            Source::find(&image, Family::Rpm, &Storage::default(), ("u", "/")).unwrap_err().to_string();
        assert!(error.contains("grub2-efi-x64"), "{error}");
    }
}
