//! Every program that is ever started, with the packages that bring it.
//!
//! One list, so that a ramdisk's author can see what to install, `bareon-provision` can check at
//! its start that all is there, and a missing program is reported with the package to install.

/// A program of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// `blkid(8)`: what lies on a block device.
    Blkid,
    /// `btrfs(8)`: grows btrfs.
    Btrfs,
    /// `chroot(8)`: runs a program of the installed system.
    Chroot,
    /// `cp(1)`: copies a tree into a file system.
    Cp,
    /// `debootstrap(8)`: makes the tree of a suite.
    Debootstrap,
    /// `debugfs(8)`: changes images of ext2, ext3 and ext4.
    Debugfs,
    /// A data driver that was installed as an executable; its path is the first argument.
    Driver,
    /// `e2fsck(8)`: checks ext2, ext3 and ext4 before they are grown.
    E2fsck,
    /// `efibootmgr(8)`: the boot entries in NVRAM.
    Efibootmgr,
    /// `fsck.fat(8)`: checks FAT.
    FsckVfat,
    /// `fstrim(8)`: frees what a file system does not use.
    Fstrim,
    /// `genisoimage(1)`: makes the config drive where xorriso is absent.
    Genisoimage,
    /// `kpartx(8)`: partitions of disks with several paths.
    Kpartx,
    /// `lvm(8)`: volume groups.
    Lvm,
    /// `mdadm(8)`: software RAID.
    Mdadm,
    /// `mke2fs(8)`: makes images of ext2, ext3 and ext4.
    Mke2fs,
    /// `mkfs.btrfs(8)`.
    MkfsBtrfs,
    /// `mke2fs(8)` as `mkfs.ext2`.
    MkfsExt2,
    /// `mke2fs(8)` as `mkfs.ext3`.
    MkfsExt3,
    /// `mke2fs(8)` as `mkfs.ext4`.
    MkfsExt4,
    /// `mkfs.fat(8)`.
    MkfsVfat,
    /// `mkfs.xfs(8)`.
    MkfsXfs,
    /// `mkisofs(1)`: makes the config drive where neither xorriso nor genisoimage is there.
    Mkisofs,
    /// `mksquashfs(1)`: packs the tree of a ramdisk.
    Mksquashfs,
    /// `mkswap(8)`.
    Mkswap,
    /// `mmdebstrap(1)`: makes the tree of a suite by apt.
    Mmdebstrap,
    /// `mount(8)`.
    Mount,
    /// `partx(8)`: tells the kernel of partitions.
    Partx,
    /// `qemu-img(1)`: unpacks qcow2.
    QemuImg,
    /// `resize2fs(8)`: grows ext2, ext3 and ext4.
    Resize2fs,
    /// `sfdisk(8)`: writes partition tables.
    Sfdisk,
    /// `sgdisk(8)`: mends the GPT of an image on a larger disk.
    Sgdisk,
    /// GNU `tar(1)`: archives a tree, and unpacks one.
    Tar,
    /// `udevadm(8)`: udev's database and queue.
    Udevadm,
    /// `umount(8)`.
    Umount,
    /// `wipefs(8)`: removes signatures.
    Wipefs,
    /// `xfs_growfs(8)`.
    XfsGrowfs,
    /// `xfs_repair(8)`: checks XFS.
    XfsRepair,
    /// `xorriso(1)`: makes the config drive.
    Xorriso,
}

/// Where a program comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The name that is looked up in `PATH`.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub deb: &'static str,
    /// The RPM package that brings it.
    pub rpm: &'static str,
}

impl Tool {
    /// The program's name and the packages that bring it.
    pub const fn origin(self) -> Origin {
        let (program, deb, rpm) = match self {
            Self::Blkid => ("blkid", "util-linux", "util-linux"),
            Self::Btrfs => ("btrfs", "btrfs-progs", "btrfs-progs"),
            Self::Chroot => ("chroot", "coreutils", "coreutils"),
            Self::Cp => ("cp", "coreutils", "coreutils"),
            Self::Debootstrap => ("debootstrap", "debootstrap", "debootstrap"),
            Self::Debugfs => ("debugfs", "e2fsprogs", "e2fsprogs"),
            Self::Driver => ("env", "coreutils", "coreutils"),
            Self::E2fsck => ("e2fsck", "e2fsprogs", "e2fsprogs"),
            Self::Efibootmgr => ("efibootmgr", "efibootmgr", "efibootmgr"),
            Self::FsckVfat => ("fsck.vfat", "dosfstools", "dosfstools"),
            Self::Fstrim => ("fstrim", "util-linux", "util-linux"),
            Self::Genisoimage => ("genisoimage", "genisoimage", "genisoimage"),
            Self::Kpartx => ("kpartx", "kpartx", "kpartx"),
            Self::Lvm => ("lvm", "lvm2", "lvm2"),
            Self::Mdadm => ("mdadm", "mdadm", "mdadm"),
            Self::Mke2fs => ("mke2fs", "e2fsprogs", "e2fsprogs"),
            Self::MkfsBtrfs => ("mkfs.btrfs", "btrfs-progs", "btrfs-progs"),
            Self::MkfsExt2 => ("mkfs.ext2", "e2fsprogs", "e2fsprogs"),
            Self::MkfsExt3 => ("mkfs.ext3", "e2fsprogs", "e2fsprogs"),
            Self::MkfsExt4 => ("mkfs.ext4", "e2fsprogs", "e2fsprogs"),
            Self::MkfsVfat => ("mkfs.vfat", "dosfstools", "dosfstools"),
            Self::MkfsXfs => ("mkfs.xfs", "xfsprogs", "xfsprogs"),
            Self::Mkisofs => ("mkisofs", "xorriso", "genisoimage"),
            Self::Mksquashfs => ("mksquashfs", "squashfs-tools", "squashfs-tools"),
            Self::Mkswap => ("mkswap", "util-linux", "util-linux"),
            Self::Mmdebstrap => ("mmdebstrap", "mmdebstrap", "mmdebstrap"),
            Self::Mount => ("mount", "mount", "util-linux"),
            Self::Partx => ("partx", "util-linux", "util-linux"),
            Self::QemuImg => ("qemu-img", "qemu-utils", "qemu-img"),
            Self::Resize2fs => ("resize2fs", "e2fsprogs", "e2fsprogs"),
            Self::Sfdisk => ("sfdisk", "fdisk", "util-linux"),
            Self::Sgdisk => ("sgdisk", "gdisk", "gdisk"),
            Self::Tar => ("tar", "tar", "tar"),
            Self::Udevadm => ("udevadm", "udev", "systemd-udev"),
            Self::Umount => ("umount", "mount", "util-linux"),
            Self::Wipefs => ("wipefs", "util-linux", "util-linux"),
            Self::XfsGrowfs => ("xfs_growfs", "xfsprogs", "xfsprogs"),
            Self::XfsRepair => ("xfs_repair", "xfsprogs", "xfsprogs"),
            Self::Xorriso => ("xorriso", "xorriso", "xorriso"),
        };
        Origin { program, deb, rpm }
    }

    /// A call of this program without arguments yet.
    pub fn cmd(self) -> crate::Cmd {
        crate::Cmd::new(self)
    }
}
