//! What can go wrong while the boot loader is installed, and what to do about it.

use std::{io, path::PathBuf};

use bareon_host::CommandError;

use crate::steps::mounted::MountError;

/// Why the boot loader was not installed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file of the installed system, or of this one, could not be read or written.
    #[error("{doing} {}", .path.display())]
    File {
        /// `reading`, `writing`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// GRUB legacy is for a BIOS only.
    #[error(
        "the image brings GRUB legacy, which does not boot by UEFI: set firmware=bios, or use an image with GRUB 2"
    )]
    LegacyUefi,
    /// GRUB legacy cannot read `/boot`.
    #[error(
        "/boot is on {device}, which GRUB legacy cannot read: put it on a partition, or on a mirror (raid1, metadata 0.90 or 1.0) of partitions of disks that get the boot loader"
    )]
    LegacyBoot {
        /// The device of `/boot`.
        device: String,
    },
    /// The members of a mirror have several numbers.
    #[error(
        "the partitions of {device}, which holds /boot, have other numbers on other disks, and GRUB legacy has one configuration for all: lay the disks out alike"
    )]
    LegacyNumbers {
        /// The array.
        device: String,
    },
    /// GRUB legacy's shell failed.
    #[error(
        "GRUB legacy was not installed onto {disk}: {error}; it reads ext2 and ext3 (Red Hat's also ext4 made with `-O ^64bit,^metadata_csum`) and, but for Red Hat's, no GPT"
    )]
    LegacySetup {
        /// The disk.
        disk: String,
        /// What it printed.
        error: String,
    },
    /// No kernel may be booted.
    #[error(
        "no kernel of the image with an initramfs is one that may be booted ({0}): see kernel_lt, or use another image"
    )]
    NoKernelMatches(String),
    /// A layout without a root file system cannot boot.
    #[error("no file system is mounted at / first: the layout needs one")]
    NoRoot,
    /// A device holds nothing that can be mounted.
    #[error(
        "{device}, which is to be mounted at {mount}, holds no file system: was its image written, or the file system made?"
    )]
    NoFileSystem {
        /// The device.
        device: String,
        /// The mount point.
        mount: String,
    },
    /// A device holds several things.
    #[error(
        "{device} has signatures of several file systems, so that nobody can tell which one it holds: look at them by `wipefs {device}` and remove the wrong one by `wipefs --offset OFFSET {device}`, or make the image anew"
    )]
    Ambivalent {
        /// The device.
        device: String,
    },
    /// A device's content cannot be named in fstab.
    #[error("what lies on {device} has no UUID, so fstab cannot name it: make it anew")]
    NoUuid {
        /// The device.
        device: String,
    },
    /// Something could not be mounted or unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The image brings no GRUB 2.
    #[error(
        "the image has neither grub-mkconfig nor grub2-mkconfig: put the package grub2-common (rpm: grub2-tools) into it"
    )]
    NoGrub,
    /// The image brings GRUB, but not all of it.
    #[error("the image has no {what}: put the package {package} into it")]
    Incomplete {
        /// What is missing.
        what: String,
        /// The package that brings it.
        package: &'static str,
    },
    /// An array of the layout is not there.
    #[error("{device} is no array that runs: look at /proc/mdstat, and run `partition` first")]
    NoArray {
        /// Its node.
        device: String,
    },
    /// There is no kernel to boot.
    #[error(
        "the image has no kernel in /boot (vmlinuz-*): put one into it, such as linux-image-amd64 (rpm: kernel)"
    )]
    NoKernel,
    /// No kernel has an initramfs, without which no root file system is found by UUID.
    #[error(
        "no kernel of the image has an initramfs in /boot (kernels: {0}): put initramfs-tools (rpm: dracut) into it"
    )]
    NoInitramfs(String),
    /// The initramfs does not start what the root file system lies on.
    #[error(
        "{lack}: the installed system would not find its root file system; look at the image's configuration of its initramfs"
    )]
    Initramfs {
        /// What it lacks.
        lack: String,
    },
    /// GRUB knows no such array.
    #[error(
        "GRUB cannot read {device}, an array of level {level}, and /boot lies on it: put /boot elsewhere"
    )]
    GrubCannotRead {
        /// The array.
        device: String,
        /// Its level.
        level: String,
    },
    /// `/boot` is another file system than the one that holds the image.
    #[error(
        "/boot is a file system of its own ({device}) and no image was written to it: give it an image or leave the volume out"
    )]
    EmptyBoot {
        /// The device of `/boot`.
        device: String,
    },
    /// A boot loader entry of the image leads nowhere.
    #[error(
        "the image's boot loader entry {entry} names {file}, which is not there: remove the entry from the image, or add the file"
    )]
    NoBootFile {
        /// The entry.
        entry: String,
        /// The file, as the installed system names it.
        file: String,
    },
    /// No disk can take the UEFI boot loader.
    #[error("no disk has an EFI system partition: add one to the layout, or set firmware=bios")]
    NoEsp,
    /// No disk gets a boot loader.
    #[error("no disk gets the boot loader: mark one with install_bootloader in the layout")]
    NoDisk,
    /// The generated configuration does not find the root file system.
    #[error(
        "{file} does not start the kernel with root=UUID={uuid} but with `{found}`: the installed system would not find its root file system"
    )]
    WrongRoot {
        /// The configuration.
        file: String,
        /// The UUID that it should name.
        uuid: String,
        /// The line that is wrong.
        found: String,
    },
    /// The generated configuration starts nothing.
    #[error("{0} starts no kernel: look for what grub-mkconfig says in the log")]
    NoEntry(String),
    /// A network interface cannot be named like that.
    #[error("`{mac}` = `{name}` is no pair of a MAC address and an interface's name: correct udevrules")]
    BadInterface {
        /// The MAC address.
        mac: String,
        /// The name.
        name: String,
    },
}

impl BootError {
    /// For `map_err`: what was being done to which file.
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
