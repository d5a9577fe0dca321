//! What is built: an operating system from repositories and packages, and the files that it is packed into.
//!
//! The drivers of the builder make this value from an input document; nothing after them knows the document.

use std::path::PathBuf;

pub use bareon_image::pack::Packing as Container;
use serde_json::Value;

use super::OperatingSystem;

/// What one run of `bareon-build-image` makes.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildScheme {
    /// The suite's code name, such as `bookworm`.
    pub codename: String,
    /// The operating system by its code name, for people: what is written into metadata is read from the built tree.
    pub operating_system: OperatingSystem,
    /// Where packages come from; the first is what the bootstrapper gets. Never empty.
    pub repos: Vec<Repo>,
    /// The packages that are installed beside the suite's essential ones.
    pub packages: Vec<String>,
    /// Proxies that packages are fetched through.
    pub proxies: Proxies,
    /// What the tree is given beside its packages.
    pub custom: Customization,
    /// The file systems' images, the root's among them.
    pub images: Vec<TreeImage>,
    /// The whole tree as a tar archive, too.
    pub tar: Option<TarImage>,
    /// A disk with a table, a boot loader and the whole tree, too.
    pub disk: Option<DiskImage>,
    /// The torrents that are made of all of these; nothing makes none.
    pub torrents: Option<Torrents>,
    /// Where the metadata of the images are written; nothing for a bootstrap ramdisk, which has its own.
    pub metadata: Option<PathBuf>,
    /// The bootstrap ramdisk that is made of the tree, in place of images.
    pub bootstrap: Option<Bootstrap>,
    /// The partition scheme, image scheme and operating system as a plan shows them in JSON: the shape that callers
    /// of the original know.
    pub shown: Value,
}

/// An apt repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// What it is called in messages and file names.
    pub name: String,
    /// Where it lies: `http`, `https`, `file`, `copy`.
    pub uri: String,
    /// The suite, or the folder of a flat repository, with a `/` at its end.
    pub suite: String,
    /// The components, separated by blanks; empty for a flat repository.
    pub section: String,
    /// The priority of its packages by apt's rules (`apt_preferences(5)`); nothing leaves apt's own.
    pub priority: Option<i32>,
    /// Whether packages are taken without a look at signatures.
    pub trusted: bool,
    /// The key that signs it; nothing means the keyrings of the suite.
    pub signed_by: Option<SignedBy>,
}

/// A key that signs a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// A keyring on the build host, binary or armoured.
    File(PathBuf),
    /// The key itself, armoured.
    Armored(String),
}

/// Proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Pairs of protocol (`http`, `https`, `ftp`) and the proxy's URI.
    pub protocols: Vec<(String, String)>,
    /// Hosts, or URIs of repositories, that are reached without.
    pub direct: Vec<String>,
}

/// What a tree is given beside its packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Customization {
    /// The password of root.
    pub root_password: RootPassword,
    /// A file on the build host with the ssh keys that may log in as root.
    pub root_ssh_authorized_file: Option<PathBuf>,
    /// Answers to debconf's questions, as `debconf-set-selections(1)` reads them.
    pub debconf: Vec<String>,
    /// Folders on the build host whose content is laid over the tree, in this order.
    pub extra_files: Vec<PathBuf>,
    /// A script on the build host that is run in the tree at the end.
    pub post_script_file: Option<PathBuf>,
    /// Certificates of authorities that the tree is to trust, files on the build host.
    pub certs: Vec<PathBuf>,
}

/// The password of root.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum RootPassword {
    /// Nobody logs in by a password.
    #[default]
    Locked,
    /// A hash as `crypt(5)` describes it.
    Hashed(String),
    /// The password itself; it is hashed before it is written anywhere.
    Plain(String),
}

impl std::fmt::Debug for RootPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Locked => "Locked",
            Self::Hashed(_) => "Hashed(***)",
            Self::Plain(_) => "Plain(***)",
        })
    }
}

/// The image of a file system that holds the tree's folder `mount`, without what lies in other images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeImage {
    /// Where it is mounted in the installed system, such as `/`.
    pub mount: PathBuf,
    /// The URI that nodes will fetch it from.
    pub uri: String,
    /// The file that is written.
    pub file: PathBuf,
    /// The file system.
    pub format: ImageFormat,
    /// How the file is packed.
    pub container: Container,
}

/// A file system that images are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// ext2.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl ImageFormat {
    /// All, by name.
    pub const ALL: [Self; 5] = [Self::Ext2, Self::Ext3, Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The name in input and metadata, and of its mkfs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// A tar archive of the whole tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarImage {
    /// The URI that nodes will fetch it from.
    pub uri: String,
    /// The file that is written.
    pub file: PathBuf,
    /// How it is packed.
    pub container: Container,
}

/// A disk as a file: GPT, boot loaders for BIOS and UEFI, one file system with the whole tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskImage {
    /// The URI that nodes will fetch it from.
    pub uri: String,
    /// The file that is written.
    pub file: PathBuf,
    /// How it is packed.
    pub container: Container,
    /// The file system of the root.
    pub format: ImageFormat,
    /// The kernel's parameters beside `root=`.
    pub kernel_params: String,
}

/// Torrents of images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Torrents {
    /// Where peers tell of themselves.
    pub trackers: Vec<String>,
    /// Folders on servers, each with `/` at its end, that have the same files.
    pub mirrors: Vec<String>,
    /// The size of a piece in bytes; nothing for one by the size of the image.
    pub piece_size: Option<u32>,
}

/// A bootstrap ramdisk: kernel, initrd and a squashfs of the tree, with metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The id that its importer knows it by.
    pub uuid: String,
    /// A name for people.
    pub label: String,
    /// Kernel parameters that its importer adds.
    pub extend_kopts: String,
    /// Where it is written: an archive or a folder, by `packed`.
    pub output: PathBuf,
    /// Whether it is a `tar.gz` rather than a folder.
    pub packed: bool,
    /// The name of the metadata file within.
    pub meta_file: String,
    /// The URI of the kernel; its last part is the file's name within.
    pub kernel_uri: String,
    /// The URI of the initrd, and how it is compressed.
    pub initrd_uri: String,
    /// How the initrd is compressed (`xz`, `gzip`, `zstd`).
    pub initrd_compress: String,
    /// The URI of the squashfs.
    pub rootfs_uri: String,
    /// How the squashfs is compressed (`xz`, `gzip`, `zstd`).
    pub rootfs_compress: String,
}
