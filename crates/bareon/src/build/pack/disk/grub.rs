//! GRUB and fstab in the tree, while it is packed as a disk: what grub-install and update-grub would have written.
//!
//! They cannot run: they ask the running system for its disks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, Runner, cmd::quoted, grub};

use super::super::{PackError, edit::Edit, place::within};
use crate::{
    objects::build::ImageFormat,
    steps::bootloader::{family, inroot::Root},
};

/// Where GRUB's configuration and modules are.
const BOOT_GRUB: &str = "/boot/grub";
/// Where packages put the modules.
const LIBRARY: &str = "/usr/lib/grub";

/// What boots.
pub struct System<'a> {
    /// The UUID of the root's file system.
    pub uuid: String,
    /// The id of the EFI system partition.
    pub esp: String,
    /// The root's file system.
    pub format: ImageFormat,
    /// The kernel's parameters beside `root=`.
    pub params: &'a str,
}

/// What lies outside of the root.
pub struct Loaders {
    /// The code for the first sector.
    pub boot: Vec<u8>,
    /// The core image for a BIOS.
    pub core: Vec<u8>,
    /// The program for UEFI.
    pub uefi: Vec<u8>,
}

/// A kind of firmware.
struct Platform {
    /// GRUB's name for it.
    name: &'static str,
    /// The file that grub-mkimage makes.
    image: &'static str,
    /// What it has to be able to do before it reads modules.
    modules: &'static [&'static str],
    /// The Debian package.
    package: &'static str,
}

const BIOS: Platform = Platform {
    name: "i386-pc",
    image: "core.img",
    modules: &["biosdisk", "part_gpt", "search_fs_uuid"],
    package: "grub-pc-bin",
};
const UEFI: Platform = Platform {
    name: "x86_64-efi",
    image: "core.efi",
    modules: &["part_gpt", "search_fs_uuid"],
    package: "grub-efi-amd64-bin",
};

/// Puts all into `tree` for as long as `edit` lasts.
pub fn install(
    host: &dyn Runner,
    tree: &Path,
    system: &System<'_>,
    edit: &mut Edit,
) -> Result<Loaders, PackError> {
    let root = Root::new(tree);
    if !root.has_program("grub-mkimage") {
        return Err(PackError::Missing { what: "program grub-mkimage".into(), package: "grub2-common" });
    }
    let kernels = family::kernels(&root)?;
    let newest = kernels.last().map(String::as_str).unwrap_or_default();
    let names = family::initramfs_names(newest);
    let initramfs = names.iter().find(|name| root.has(format!("/boot/{name}")));
    let kernel = Kernel { version: newest, initramfs: initramfs.map_or("", String::as_str) };

    for folder in [BOOT_GRUB, "/boot/efi", "/etc/default/grub.d"] {
        edit.folder(Path::new(folder))?;
    }
    let params = system.params.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let defaults = format!("GRUB_CMDLINE_LINUX={}\n", quoted(&params));
    edit.put(Path::new("/etc/default/grub.d/90-image.cfg"), defaults.as_bytes(), 0o644)?;
    let name = pretty_name(&read(tree, "/etc/os-release").or_else(|_| read(tree, "/usr/lib/os-release")));
    edit.put(&Path::new(BOOT_GRUB).join("grub.cfg"), grub_cfg(system, &kernel, &name).as_bytes(), 0o644)?;
    let old = read(tree, "/etc/fstab").unwrap_or_default();
    edit.put(Path::new("/etc/fstab"), fstab(system, &String::from_utf8_lossy(&old)).as_bytes(), 0o644)?;
    Ok(Loaders {
        boot: read(tree, &format!("{LIBRARY}/{}/boot.img", BIOS.name)).map_err(|_| BIOS.missing())?,
        core: BIOS.install(host, tree, system, edit)?,
        uefi: UEFI.install(host, tree, system, edit)?,
    })
}

impl Platform {
    fn missing(&self) -> PackError {
        PackError::Missing { what: format!("GRUB's modules for {}", self.name), package: self.package }
    }

    /// Copies the modules, makes the image, and answers its content.
    fn install(
        &self,
        host: &dyn Runner,
        tree: &Path,
        system: &System<'_>,
        edit: &mut Edit,
    ) -> Result<Vec<u8>, PackError> {
        let from = within(tree, Path::new(LIBRARY))?.join(self.name);
        let to = Path::new(BOOT_GRUB).join(self.name);
        edit.folder(&to)?;
        let mut any = false;
        for file in files(&from).map_err(|_| self.missing())? {
            let extension = file.extension().unwrap_or_default();
            if extension == "mod" || extension == "lst" {
                let content = fs::read(&file).map_err(|error| PackError::file("reading", &file, error))?;
                edit.put(&to.join(file.file_name().unwrap_or_default()), &content, 0o644)?;
                any = true;
            }
        }
        if !any {
            return Err(self.missing());
        }
        let config = to.join("load.cfg");
        edit.put(&config, load_cfg(&system.uuid).as_bytes(), 0o644)?;
        let image = to.join(self.image);
        // Made here, so that it goes away with the rest.
        edit.put(&image, b"", 0o644)?;
        host.run(&self.mkimage(tree, system.format, &config, &image)).map_err(PackError::making(&image))?;
        let made = within(tree, &to)?.join(self.image);
        fs::read(&made).map_err(|error| PackError::file("reading", &made, error))
    }

    fn mkimage(&self, tree: &Path, format: ImageFormat, config: &Path, image: &Path) -> Cmd {
        let reader = match format {
            ImageFormat::Ext2 | ImageFormat::Ext3 | ImageFormat::Ext4 => "ext2",
            ImageFormat::Xfs => "xfs",
            ImageFormat::Btrfs => "btrfs",
        };
        let modules = Path::new(LIBRARY).join(self.name);
        let new = grub::CoreImage { format: self.name, modules: &modules, prefix: BOOT_GRUB, config, image };
        grub::mkimage(tree, &new).args(self.modules).arg(reader)
    }
}

/// A kernel that can be started.
struct Kernel<'a> {
    version: &'a str,
    initramfs: &'a str,
}

/// What an image does first.
fn load_cfg(uuid: &str) -> String {
    format!("search.fs_uuid {uuid} root\nset prefix=($root){BOOT_GRUB}\n")
}

/// The menu, with the one kernel.
fn grub_cfg(system: &System<'_>, kernel: &Kernel<'_>, name: &str) -> String {
    let System { uuid, params, .. } = system;
    let params: Vec<_> = params.split_ascii_whitespace().map(quoted).collect();
    let params = params.join(" ");
    let Kernel { version, initramfs } = kernel;
    format!(
        "# Made with the image. update-grub writes it anew.\n\
         set default=0\n\
         set timeout=5\n\
         insmod all_video\n\
         search --no-floppy --fs-uuid --set=root {uuid}\n\
         menuentry {} {{\n\
         \tlinux /boot/vmlinuz-{version} root=UUID={uuid} ro {params}\n\
         \tinitrd /boot/{initramfs}\n\
         }}\n",
        quoted(name)
    )
}

/// The root and the EFI system partition, and what else stood there.
fn fstab(system: &System<'_>, old: &str) -> String {
    let ours = |line: &&str| {
        let dir = line.split_ascii_whitespace().nth(1);
        line.trim_start().starts_with('#') || !matches!(dir, Some("/" | "/boot/efi"))
    };
    let kept: Vec<_> = old.lines().filter(ours).chain([""]).collect();
    let kept = kept.join("\n");
    let format = system.format.name();
    let check = u8::from(matches!(system.format, ImageFormat::Ext2 | ImageFormat::Ext3 | ImageFormat::Ext4));
    format!(
        "UUID={} / {format} defaults 0 {check}\nUUID={} /boot/efi vfat umask=0077,nofail 0 0\n{kept}",
        system.uuid, system.esp
    )
}

/// What the system calls itself.
fn pretty_name(os_release: &Result<Vec<u8>, PackError>) -> String {
    let text = os_release.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or("Linux", |name| name.trim().trim_matches(['"', '\''])).to_owned()
}

/// The content of a file of the tree.
fn read(tree: &Path, path: &str) -> Result<Vec<u8>, PackError> {
    let root = Root::new(tree);
    let place = root.resolve(path)?;
    fs::read(&place).map_err(|error| PackError::file("reading", &place, error))
}

/// The files in a folder, by name.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: System<'_> = System {
        uuid: String::new(),
        esp: String::new(),
        format: ImageFormat::Ext4,
        params: " console=ttyS0,115200n8\n  x=$y;z ",
    };

    #[test]
    fn a_parameter_is_no_word_of_grubs_language() {
        let kernel = Kernel { version: "6.1-amd64", initramfs: "initrd.img-6.1-amd64" };
        let system = System { uuid: "u-1".into(), ..SYSTEM };
        let text = grub_cfg(&system, &kernel, "Debian 12 (bookworm)");
        assert!(text.contains(
            "menuentry 'Debian 12 (bookworm)' {\n\tlinux /boot/vmlinuz-6.1-amd64 root=UUID=u-1 ro console=ttyS0,115200n8 \
             'x=$y;z'\n\tinitrd /boot/initrd.img-6.1-amd64\n}\n"
        ), "{text}");
    }

    #[test]
    fn fstab_keeps_what_it_does_not_know_better() {
        let system = System { uuid: "u-1".into(), esp: "AB-CD".into(), ..SYSTEM };
        let old = "# /dev/sda1 / ext4\nLABEL=x / ext3\ntmpfs /tmp tmpfs\n";
        assert_eq!(
            fstab(&system, old),
            "UUID=u-1 / ext4 defaults 0 1\nUUID=AB-CD /boot/efi vfat umask=0077,nofail 0 0\n\
             # /dev/sda1 / ext4\ntmpfs /tmp tmpfs\n"
        );
    }
}
