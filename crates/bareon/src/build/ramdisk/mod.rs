//! The bootstrap ramdisk: what a bare machine is booted into to be provisioned.
//!
//! ```text
//! tree ── overlay::lay ── (extra files, post script) ── make ──┬─ vmlinuz         the tree's newest kernel
//!                                                              ├─ initrd.img      initramfs-tools, with our boot script
//!                                                              ├─ root.squashfs   the tree, without what no machine needs
//!                                                              └─ metadata.yaml   sums, packages, the importer's id
//! ```
//!
//! The tree is a Debian or Ubuntu system with a kernel, systemd and initramfs-tools. Our files ([`overlay`]) are laid over
//! it: how the initramfs finds the squashfs, and what the started system does by its kernel command line. What the input
//! adds comes after them, so that a site replaces what it wants to be otherwise. Packing is the last that happens to a tree.
//!
//! The same tree gives the same bytes: every time is the epoch of the build, names are in order, nothing is asked of the
//! machine that builds.

mod archive;
mod initrd;
mod metadata;
pub mod overlay;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bareon_host::{CommandError, Runner, squashfs};
use serde_json::{Map, Value};

use crate::{
    build::tree::guest::{Guest, GuestError},
    objects::{Bootstrap, OperatingSystem, Repo},
};

/// What is left out of the squashfs, as patterns of mksquashfs: contents that exist anew in every boot, the kernel that has
/// been loaded by then, documentation, and drivers of what a server's disks and network do not need. The packages stay
/// installed as far as their database tells.
const EXCLUDED: [&str; 29] = [
    "boot/*",
    "dev/*",
    "proc/*",
    "run/*",
    "sys/*",
    "tmp/*",
    "var/tmp/*",
    "var/cache/*",
    "var/lib/apt/lists/*",
    "usr/share/bug/*",
    "usr/share/doc/*",
    "usr/share/info/*",
    "usr/share/lintian/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "usr/lib/locale/locale-archive",
    "usr/lib/modules/*/kernel/drivers/bluetooth",
    "usr/lib/modules/*/kernel/drivers/gpu",
    "usr/lib/modules/*/kernel/drivers/iio",
    "usr/lib/modules/*/kernel/drivers/input/joystick",
    "usr/lib/modules/*/kernel/drivers/isdn",
    "usr/lib/modules/*/kernel/drivers/media",
    "usr/lib/modules/*/kernel/drivers/net/wireless",
    "usr/lib/modules/*/kernel/drivers/staging",
    "usr/lib/modules/*/kernel/drivers/video",
    "usr/lib/modules/*/kernel/net/bluetooth",
    "usr/lib/modules/*/kernel/net/mac80211",
    "usr/lib/modules/*/kernel/net/wireless",
    "usr/lib/modules/*/kernel/sound",
];

/// What a ramdisk's metadata say of its tree.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The time of every file, in seconds since 1970.
    pub epoch: u64,
    /// The operating system, as read from the tree.
    pub operating_system: &'a OperatingSystem,
    /// The packages that are installed in the tree, with their versions.
    pub packages: &'a Map<String, Value>,
    /// Where they came from.
    pub repos: &'a [Repo],
}

/// A file that is whole, and where it is to appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it lies now.
    pub file: PathBuf,
    /// Where it belongs.
    pub place: PathBuf,
}

/// A ramdisk that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RamdiskError {
    /// The tree has nothing to boot.
    #[error(
        "the tree has no kernel: no version is in both /boot (vmlinuz-…) and /lib/modules; add a package such as linux-image-amd64"
    )]
    NoKernel,
    /// A program that has to be in the tree is not.
    #[error("the tree has no {program}, which {why}; add the package {package}")]
    Lacking {
        /// The program.
        program: String,
        /// What it is needed for.
        why: &'static str,
        /// The package that brings it.
        package: &'static str,
    },
    /// There is no `bareon-provision` to put into the ramdisk.
    #[error(
        "there is no bareon-provision to put into the ramdisk, neither beside this program nor in PATH; install it, or add it to the packages or extra_files of the input"
    )]
    NoProgram,
    /// Our program does not run there.
    #[error(
        "{} does not run in the tree; build it on a system that is not newer than the tree's, or take a newer codename", .program.display()
    )]
    Foreign {
        /// The program on the build host.
        program: PathBuf,
        /// What happened.
        #[source]
        source: CommandError,
    },
    /// Two files of the ramdisk would have one name.
    #[error(
        "two files of the ramdisk would be called {name:?}; give kernel, initrd, rootfs and meta_file names of their own"
    )]
    SameName {
        /// The name.
        name: String,
    },
    /// A program failed.
    #[error("making the {what}")]
    Command {
        /// What was being made.
        what: &'static str,
        /// How it failed.
        #[source]
        source: CommandError,
    },
    /// Programs could not be run in the tree.
    #[error("making the tree ready for programs")]
    Guest(#[from] GuestError),
    /// The metadata cannot be written as YAML.
    #[error("writing the ramdisk's metadata as YAML: {why}")]
    Yaml {
        /// What the library said.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("{doing} {}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RamdiskError {
    fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }
}

/// Makes the ramdisk `bootstrap` of `tree`, in the empty folder `work`; the files that are to be put in place, the metadata
/// last. Nothing is mounted in the tree; programs run in it only here.
///
/// # Errors
/// When the tree has no kernel or lacks a program, or one fails; when a file cannot be written.
pub fn make(
    host: &dyn Runner,
    tree: &Path,
    bootstrap: &Bootstrap,
    facts: &Facts<'_>,
    work: &Path,
) -> Result<Vec<Made>, RamdiskError> {
    let names = Names::of(bootstrap)?;
    let version = initrd::kernel(tree)?;
    let kernel = tree.join("boot").join(format!("vmlinuz-{version}"));
    let to = work.join(names.kernel);
    fs::copy(&kernel, &to).map_err(|source| RamdiskError::io("copying the kernel to", &to, source))?;
    tracing::info!("making the initrd of Linux {version}");
    // Only as long as that runs: what is mounted and written for it is not to be in the squashfs.
    let guest = Guest::enter(host, tree, &[])?;
    initrd::make(host, tree, &version, &bootstrap.initrd_compress, facts.epoch, &work.join(names.initrd))?;
    guest.close()?;
    tracing::info!("packing the tree as squashfs ({})", bootstrap.rootfs_compress);
    pack_tree(host, tree, &bootstrap.rootfs_compress, facts.epoch, &work.join(names.rootfs))?;
    let modules = [
        metadata::Module { name: "kernel", uri: &bootstrap.kernel_uri, file: names.kernel },
        metadata::Module { name: "initrd", uri: &bootstrap.initrd_uri, file: names.initrd },
        metadata::Module { name: "rootfs", uri: &bootstrap.rootfs_uri, file: names.rootfs },
    ];
    let text = metadata::metadata(work, &modules, bootstrap, facts)?;
    let file = work.join(names.meta);
    fs::write(&file, text).map_err(|source| RamdiskError::io("writing", &file, source))?;
    if bootstrap.packed {
        let archive = work.join("ramdisk.tar.gz");
        archive::pack(work, &names.all(), facts.epoch, &archive)?;
        return Ok(vec![Made { file: archive, place: bootstrap.output.clone() }]);
    }
    let made = |name: &str| Made { file: work.join(name), place: bootstrap.output.join(name) };
    Ok(names.all().map(made).into())
}

fn pack_tree(
    host: &dyn Runner,
    tree: &Path,
    compress: &str,
    epoch: u64,
    image: &Path,
) -> Result<(), RamdiskError> {
    let exclude = image.with_extension("exclude");
    fs::write(&exclude, EXCLUDED.join("\n") + "\n")
        .map_err(|source| RamdiskError::io("writing", &exclude, source))?;
    host.run(&squashfs::mksquashfs(tree, image, compress, epoch, &exclude))
        .map_err(|source| RamdiskError::Command { what: "squashfs of the tree", source })?;
    fs::remove_file(&exclude).map_err(|source| RamdiskError::io("removing", &exclude, source))
}

/// The names of a ramdisk's files: the last parts of their URIs.
struct Names<'a> {
    kernel: &'a str,
    initrd: &'a str,
    rootfs: &'a str,
    meta: &'a str,
}

impl<'a> Names<'a> {
    fn of(bootstrap: &'a Bootstrap) -> Result<Self, RamdiskError> {
        let names = Self::called(bootstrap);
        let mut seen = std::collections::BTreeSet::new();
        match names.all().into_iter().find(|name| !seen.insert(*name)) {
            Some(name) => Err(RamdiskError::SameName { name: name.into() }),
            None => Ok(names),
        }
    }

    fn called(bootstrap: &'a Bootstrap) -> Self {
        Self {
            kernel: base(&bootstrap.kernel_uri),
            initrd: base(&bootstrap.initrd_uri),
            rootfs: base(&bootstrap.rootfs_uri),
            meta: base(&bootstrap.meta_file),
        }
    }

    /// All, in the order in which they appear.
    fn all(&self) -> [&'a str; 4] {
        [self.kernel, self.initrd, self.rootfs, self.meta]
    }
}

/// The names of the files of `bootstrap`, in the order in which they appear: the metadata are the last.
pub fn files(bootstrap: &Bootstrap) -> [&str; 4] {
    Names::called(bootstrap).all()
}

fn base(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or(uri)
}
