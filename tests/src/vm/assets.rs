//! What a virtual machine is made of: ramdisk, image, program, templates. Made once, kept between runs.
//!
//! The script `tests/vm/make` has `bareon-build-image` make the large parts, and knows when they are stale.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::process::{self, Result};

/// Programs that must be there, with the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 8] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mksquashfs", "squashfs-tools"),
    ("mkfs.ext4", "e2fsprogs"),
    ("cpio", "cpio"),
    ("setpriv", "util-linux"),
    ("ssh", "openssh-client"),
    ("tar", "tar"),
];

/// OVMF's code, shared by all machines.
pub const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
/// OVMF's empty NVRAM; every machine has a copy of its own.
pub const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// Paths of what a machine is made of.
#[derive(Debug)]
pub struct Assets {
    /// The ramdisk's kernel.
    pub kernel: PathBuf,
    /// The folder with the ramdisk: `vmlinuz`, `initrd.img`, `root.squashfs`, and `whole.img`, both in one.
    pub ramdisk: PathBuf,
    /// The folder with `root.img.gz` and `root.yaml`, and with `boot.img.gz`, too, in `split`.
    pub image: PathBuf,
    /// The release build of `bareon-provision`.
    pub program: PathBuf,
    /// A tar of `cloud-init-templates/`.
    pub templates: Vec<u8>,
}

/// Why no virtual machine can be run here; `None` when all is there.
pub fn lacking() -> Option<String> {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !process::exists(program))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        return Some(format!("not installed: {} (contrib/install-deps)", missing.join(" ")));
    }
    if !Path::new(OVMF_CODE).exists() {
        return Some("not installed: ovmf (contrib/install-deps)".into());
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status.lines().any(|line| line.split_whitespace().take(3).eq(["Uid:", "0", "0"]));
    (!root).then(|| "making a ramdisk and an image needs root".into())
}

/// Everything, made or built where it is not there yet; the first caller waits for it, the others for the first.
///
/// The programs are built anew by cargo where their sources changed; `BAREON_PROVISION` names one to use as it is.
///
/// # Errors
/// When something cannot be made; the same error for every caller.
pub fn assets() -> Result<&'static Assets> {
    static ASSETS: OnceLock<std::result::Result<Assets, String>> = OnceLock::new();
    ASSETS.get_or_init(|| make().map_err(|e| e.to_string())).as_ref().map_err(|e| e.clone().into())
}

fn make() -> Result<Assets> {
    if let Some(reason) = lacking() {
        return Err(reason.into());
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the tests lie in no workspace")?;
    let program = program(top)?;
    let ramdisk = made(top, "ramdisk", &program)?;
    let image = made(top, "image", &program)?;
    let templates =
        process::command("tar").arg("-C").arg(top).args(["-cf", "-", "cloud-init-templates"]).output()?;
    if !templates.status.success() {
        return Err("cannot read cloud-init-templates".into());
    }
    Ok(Assets { kernel: ramdisk.join("vmlinuz"), ramdisk, image, program, templates: templates.stdout })
}

/// The folder with `what`; the builder is the one beside `program`, unless `BAREON_BUILD_IMAGE` names another.
fn made(top: &Path, what: &str, program: &Path) -> Result<PathBuf> {
    let builder = env::var_os("BAREON_BUILD_IMAGE")
        .map_or_else(|| program.with_file_name("bareon-build-image"), PathBuf::from);
    let mut make = process::command(&top.join("tests/vm/make").to_string_lossy());
    let printed = process::output(make.arg(what).env("BAREON_BUILD_IMAGE", builder))?;
    Ok(PathBuf::from(printed.trim()))
}

fn program(top: &Path) -> Result<PathBuf> {
    if let Some(path) = env::var_os("BAREON_PROVISION") {
        return Ok(path.into());
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let build =
        ["build", "--release", "--quiet", "--package", "bareon-provision", "--package", "bareon-build-image"];
    process::output(process::command(&cargo).args(build).current_dir(top))?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| top.join("target"), |dir| top.join(dir));
    Ok(target.join("release/bareon-provision"))
}
