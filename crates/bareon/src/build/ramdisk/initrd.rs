//! The initrd, made by the tree's own initramfs-tools, and the kernel that it is for.

use std::{fs, path::Path};

use bareon_host::{Cmd, Runner};

use super::RamdiskError;
use crate::{build::tree::initrds, steps::bootloader::family};

/// The version of the tree's newest kernel that has its modules.
///
/// # Errors
/// When there is none.
pub(super) fn kernel(tree: &Path) -> Result<String, RamdiskError> {
    let kernels = initrds::kernels(tree).into_iter();
    kernels.max_by(|a, b| family::by_version(a, b)).ok_or(RamdiskError::NoKernel)
}

/// Makes the initrd `file` for the kernel `version` of `tree`, compressed as `compress` says (`xz`, `gzip`, `zstd`).
///
/// The tool runs in the tree. It gives its files the time `epoch` and packs them in order.
///
/// # Errors
/// When the tree lacks initramfs-tools or the compressor, or the tool fails.
pub(super) fn make(
    host: &dyn Runner,
    tree: &Path,
    version: &str,
    compress: &str,
    epoch: u64,
    file: &Path,
) -> Result<(), RamdiskError> {
    check(tree, "mkinitramfs", "makes the initrd", "initramfs-tools")?;
    // Without it initramfs-tools packs with gzip, and only warns.
    check(tree, compress, "the initrd is to be compressed with", compressor_package(compress))?;
    let made = format!("/boot/initrd.img-{version}");
    let environment = format!("SOURCE_DATE_EPOCH={epoch}");
    let cmd =
        Cmd::inside(tree, "env").args([&environment, "mkinitramfs", "-c", compress, "-o", &made, version]);
    host.run(&cmd).map_err(|source| RamdiskError::Command { what: "initrd", source })?;
    let made = tree.join(made.trim_start_matches('/'));
    fs::copy(&made, file).map_err(|source| RamdiskError::io("copying the initrd to", file, source))?;
    fs::remove_file(&made).map_err(|source| RamdiskError::io("removing", &made, source))
}

fn check(tree: &Path, program: &str, why: &'static str, package: &'static str) -> Result<(), RamdiskError> {
    let there =
        ["usr/sbin", "usr/bin", "sbin", "bin"].iter().any(|dir| tree.join(dir).join(program).exists());
    if there { Ok(()) } else { Err(RamdiskError::Lacking { program: program.into(), why, package }) }
}

fn compressor_package(compress: &str) -> &'static str {
    match compress {
        "xz" => "xz-utils",
        "zstd" => "zstd",
        _ => "gzip",
    }
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    /// A tree with these kernels, the first of which has no modules.
    fn tree(versions: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("boot")).unwrap();
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        for version in versions {
            fs::write(dir.path().join(format!("boot/vmlinuz-{version}")), "").unwrap();
        }
        for version in versions.iter().skip(1) {
            fs::create_dir_all(dir.path().join("lib/modules").join(version)).unwrap();
        }
        dir
    }

    #[test]
    fn the_newest_kernel_with_modules_is_taken() {
        let dir = tree(&["6.1.0-12-amd64", "6.1.0-9-amd64", "6.1.0-10-amd64"]);
        assert_eq!(kernel(dir.path()).unwrap(), "6.1.0-10-amd64");
        assert!(matches!(kernel(tree(&["6.1.0-12-amd64"]).path()), Err(RamdiskError::NoKernel)));
        assert!(matches!(kernel(Path::new("/nowhere")), Err(RamdiskError::NoKernel)));
    }

    #[test]
    fn it_is_made_in_the_tree_and_moved_away() {
        let dir = tree(&[]);
        let file = dir.path().join("initrd.img");
        let make = |host: &Script| make(host, dir.path(), "6.1", "zstd", 7, &file);
        let error = make(&Script::default()).unwrap_err().to_string();
        assert!(
            error.contains("no mkinitramfs") && error.ends_with("add the package initramfs-tools"),
            "{error}"
        );
        fs::write(dir.path().join("usr/bin/mkinitramfs"), "").unwrap();
        let error = make(&Script::default()).unwrap_err().to_string();
        assert!(error.ends_with("add the package zstd"), "{error}");
        fs::write(dir.path().join("usr/bin/zstd"), "").unwrap();
        fs::write(dir.path().join("boot/initrd.img-6.1"), "made").unwrap();
        let line = Cmd::inside(dir.path(), "env").args(["SOURCE_DATE_EPOCH=7", "mkinitramfs", "-c", "zstd"]);
        let line = line.args(["-o", "/boot/initrd.img-6.1", "6.1"]).to_string();
        make(&Script::default().ok(&line, "")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "made");
        assert!(!dir.path().join("boot/initrd.img-6.1").exists());
    }
}
