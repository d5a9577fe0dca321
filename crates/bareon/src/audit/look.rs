//! How the audit gets to see the installed system: as the boot loader's stage has it mounted, or by itself.

use bareon_host::{CommandError, Runner, Tool, blkid, efibootmgr, mount};

use super::{Check, Finding, Scope, Seen, devices::Devices, findings, initramfs, running::Running};
use crate::{
    hardware::usage::Kernel,
    steps::{
        bootloader::{Boot, BootError, EspFiles, fstab, inroot::Root},
        mounted::{MountError, Mounted},
    },
};

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A command failed.
    #[error("looking whether the installed system would boot")]
    Command(#[from] CommandError),
    /// A file of the installed system cannot be read.
    #[error("looking whether the installed system would boot")]
    Boot(#[from] BootError),
    /// Something cannot be mounted or unmounted.
    #[error("looking whether the installed system would boot")]
    Mount(#[from] MountError),
}

/// Audits what was installed, while it is mounted at `root`.
///
/// # Errors
/// When a command fails that is to look.
pub fn after(
    host: &dyn Runner,
    boot: &Boot,
    scope: &Scope,
    root: &Root,
    esps: &[EspFiles],
) -> Result<Vec<Finding>, CommandError> {
    let kernel = Kernel::default();
    let devices = devices(host, scope, &kernel)?;
    let running = running(host, boot, &kernel);
    Ok(findings(&Seen { boot, scope, root, esps, devices: &devices, running: &running }))
}

/// The commands of [`after`], as a plan shows them.
pub fn commands(boot: &Boot) -> Vec<bareon_host::Cmd> {
    let entries = asks_firmware(boot).then(efibootmgr::list);
    [blkid::all()].into_iter().chain(entries).collect()
}

/// Audits what lies on the disks: it is mounted read-only below the target's directory, and unmounted again.
///
/// # Errors
/// When it cannot be looked at; that nothing is there to be looked at is a finding.
pub fn alone(host: &dyn Runner, boot: &Boot, scope: &Scope) -> Result<Vec<Finding>, AuditError> {
    let kernel = Kernel::default();
    let devices = devices(host, scope, &kernel)?;
    let running = running(host, boot, &kernel);
    let root = Root::new(&boot.target);
    let mut mounted = Mounted::below(host, &boot.target)?;
    let mut found = Vec::new();
    for one in boot.plain_mounts() {
        if let Some(finding) = mount(&mut mounted, &root, &devices, &one.device, &one.mount)? {
            found.push(finding);
            if one.mount == "/" {
                mounted.close()?;
                return Ok(found);
            }
        }
    }
    let mut esps = Vec::new();
    for (_, esp) in boot.esps() {
        if let Some(finding) = mount(&mut mounted, &root, &devices, &esp.device, fstab::ESP)? {
            found.push(finding);
            continue;
        }
        esps.push(EspFiles::read(&root, fstab::ESP, &esp.device)?);
        mounted.unmount_last()?;
    }
    found.extend(findings(&Seen {
        boot,
        scope,
        root: &root,
        esps: &esps,
        devices: &devices,
        running: &running,
    }));
    found.extend(initramfs::check(host, boot, &root, &devices, &kernel));
    mounted.close()?;
    found.sort_by_key(|finding| finding.severity);
    Ok(found)
}

fn devices(host: &dyn Runner, scope: &Scope, kernel: &Kernel) -> Result<Devices, CommandError> {
    let answer = host.run(&blkid::all())?;
    Ok(Devices::new(blkid::parse_all(&answer.stdout), &scope.disks, kernel))
}

/// Whether the firmware has entries that can be read.
fn asks_firmware(boot: &Boot) -> bool {
    boot.efivars && boot.firmware.uefi()
}

/// The firmware's entries are asked for where they can be; without them the machine boots all the same.
fn running(host: &dyn Runner, boot: &Boot, kernel: &Kernel) -> Running {
    let asked = asks_firmware(boot) && host.has(Tool::Efibootmgr);
    let nvram = asked.then(|| host.run(&efibootmgr::list())).and_then(|answer| match answer {
        Ok(answer) => Some(efibootmgr::parse(&answer.stdout)),
        Err(error) => {
            tracing::warn!("the firmware's boot entries stay unknown: {error}");
            None
        }
    });
    Running::read(kernel, nvram)
}

/// Mounts `device` at `inside` without writing to it; what is wrong with it where that cannot be.
fn mount(
    mounted: &mut Mounted<'_>,
    root: &Root,
    devices: &Devices,
    device: &str,
    inside: &str,
) -> Result<Option<Finding>, AuditError> {
    let tell =
        |problem: String, remedy: &str| Ok(Some(Finding::error(Check::Fstab, device, problem, remedy)));
    let kind = devices.at(device).and_then(|found| found.tagged.fs_type.as_deref());
    let Some(kind) = kind else {
        return tell(
            format!("{inside} is to be on it, and it is not there, or holds no file system"),
            "start its array (mdadm --assemble --scan) or group (vgchange -ay) if it has one, then look again; else provision the machine",
        );
    };
    let dir = root.resolve(inside)?;
    if !dir.is_dir() {
        return tell(format!("its mount point {inside} is not there"), "make the directory in the image");
    }
    match mounted.run(&dir, &mount::mount_read_only(device, &dir, kind)) {
        Ok(()) => Ok(None),
        Err(MountError::Command(error @ CommandError::Failed { .. })) => tell(
            format!("{inside} cannot be mounted: {error}"),
            "see the kernel's log (dmesg) for the reason",
        ),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;
    use crate::audit::{
        Unbootable,
        tests::{Bench, ROOT},
    };

    #[test]
    fn a_machine_without_its_root_file_system_is_told_with_what_may_bring_it() {
        let bench = Bench::new();
        let mut boot = bench.boot.clone();
        boot.target = bench.root.path().join("target");
        let host = Script::default().ok("blkid -c /dev/null -o export", "DEVNAME=/dev/vda9\nTYPE=ext4\n");
        let found = alone(&host, &boot, &bench.scope).unwrap();
        assert_eq!(found.len(), 1);
        assert!(
            found[0].to_string().starts_with("/dev/vda2: / is to be on it, and it is not there"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_looked_at_is_mounted_read_only_and_unmounted() {
        let bench = Bench::new();
        let mut boot = bench.boot.clone();
        boot.target = bench.root.path().join("target");
        let target = boot.target.display();
        let all =
            format!("DEVNAME=/dev/vda2\nTYPE=ext4\nUUID={ROOT}\n\nDEVNAME=/dev/vda3\nTYPE=xfs\nUUID=5afe\n");
        std::fs::create_dir_all(boot.target.join("srv")).unwrap();
        let host = Script::default()
            .ok("blkid -c /dev/null -o export", &all)
            .ok(&format!("mount -t ext4 -o ro,noload /dev/vda2 {target}"), "")
            .fails(
                &format!("mount -t xfs -o ro,norecovery /dev/vda3 {target}/srv"),
                32,
                "mount: bad superblock",
            )
            .ok(&format!("umount {target}"), "");
        let found = alone(&host, &boot, &bench.scope).unwrap();
        assert!(found.iter().any(|one| one.to_string().contains("/srv cannot be mounted")), "{found:?}");
        let failed = Unbootable::unless_clean(&found).unwrap_err().to_string();
        assert!(failed.contains("would not boot as it is ("), "{failed}");
    }
}
