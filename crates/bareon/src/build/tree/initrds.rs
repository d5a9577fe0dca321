//! The initrds of a tree's kernels, each made once.
//!
//! A kernel's package has one made while it is configured, and initramfs-tools makes it again when all packages are there:
//! that costs as long as unpacking them. So packages are installed with [`NOT_YET`] in their environment, and the hooks
//! that heed it are run afterwards. A hook that does not heed it made its initrd by then, which is left as it is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, CommandError, Runner};

use super::{last_of_both, told};

/// What the hooks of a kernel take as: no initrd is wanted. Its name and value.
pub const NOT_YET: (&str, &str) = ("INITRD", "No");

/// The folder of hooks that a kernel's package runs with its version and file.
const HOOKS: &str = "/etc/kernel/postinst.d";

/// The hooks that make initrds, and heed [`NOT_YET`].
const MAKERS: [&str; 2] = ["initramfs-tools", "dracut"];

/// An initrd that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("making the initrd of Linux {version}{}", told(.said))]
pub struct InitrdError {
    /// The version of the kernel.
    pub version: String,
    /// The last lines of what was said of it.
    pub said: Vec<String>,
    /// How it ended.
    #[source]
    source: Box<CommandError>,
}

/// Makes what is missing: an initrd for each kernel that has its modules in the tree, and none yet.
///
/// # Errors
/// With the first that cannot be made.
pub fn make(host: &dyn Runner, tree: &Path, epoch: u64) -> Result<(), InitrdError> {
    let hooks: Vec<_> = MAKERS
        .iter()
        .map(|name| Path::new(HOOKS).join(name))
        .filter(|hook| tree.join(hook.strip_prefix("/").unwrap_or(hook)).exists())
        .collect();
    for version in kernels(tree) {
        for hook in &hooks {
            if !tree.join(format!("boot/initrd.img-{version}")).exists() {
                tracing::info!("making the initrd of Linux {version}");
                run(host, tree, hook, &version, epoch)?;
            }
        }
    }
    Ok(())
}

fn run(host: &dyn Runner, tree: &Path, hook: &Path, version: &str, epoch: u64) -> Result<(), InitrdError> {
    let kernel = format!("/boot/vmlinuz-{version}");
    let cmd = Cmd::inside(tree, &hook.to_string_lossy())
        .env_inside("SOURCE_DATE_EPOCH", &epoch.to_string())
        .args([version, &kernel]);
    host.run(&cmd).map(drop).map_err(|source| {
        let said = source.outputs().map(|(out, err)| last_of_both(out, err)).unwrap_or_default();
        InitrdError { version: version.into(), said, source: source.into() }
    })
}

/// The versions of the kernels that have their modules in the tree, in order.
pub fn kernels(tree: &Path) -> Vec<String> {
    let version = |file: PathBuf| {
        let version = file.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        tree.join("lib/modules").join(&version).is_dir().then_some(version)
    };
    let entries = fs::read_dir(tree.join("boot")).into_iter().flatten().flatten();
    let mut versions: Vec<_> = entries.filter_map(|entry| version(entry.path())).collect();
    versions.sort();
    versions
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    #[test]
    fn each_kernel_without_an_initrd_gets_one_by_the_hook_that_was_held_back() {
        let tmp = tempfile::tempdir().unwrap();
        let tree = tmp.path();
        for dir in ["boot", "lib/modules/6.1", "lib/modules/6.2", "etc/kernel/postinst.d"] {
            fs::create_dir_all(tree.join(dir)).unwrap();
        }
        for file in ["vmlinuz-6.1", "vmlinuz-6.2", "vmlinuz-5.9", "initrd.img-6.2"] {
            fs::write(tree.join("boot").join(file), "").unwrap();
        }
        make(&Script::default(), tree, 7).unwrap();
        fs::write(tree.join("etc/kernel/postinst.d/initramfs-tools"), "").unwrap();
        let line = Cmd::inside(tree, "/etc/kernel/postinst.d/initramfs-tools")
            .env_inside("SOURCE_DATE_EPOCH", "7")
            .args(["6.1", "/boot/vmlinuz-6.1"])
            .to_string();
        make(&Script::default().ok(&line, ""), tree, 7).unwrap();
    }
}
