//! The step itself: the commands that a plan shows, and the run.

use std::path::Path;

use bareon_host::{Cmd, Runner, Tool, blkid, grub, mount};

use super::{
    Boot, BootError, BootReport, Esp, Family, Mount, bls, defaults,
    efi::{self, Loader, Source},
    family, fstab, grub_cfg,
    inroot::Root,
    nvram,
    target::{BOUND, Target},
    udev_rules,
};

/// What a run starts, in its order, as far as it is known before the image is there: its family is
/// taken to be `family`, its distribution `debian` (`fedora` for the RPM family), the file systems
/// those of the layout, and udev to have named the devices.
pub fn commands(boot: &Boot, family: Family) -> Vec<Cmd> {
    let root = boot.target.as_path();
    let within = |inside: &str| root.join(inside.trim_start_matches('/'));
    let mut cmds: Vec<_> = boot.devices().map(blkid::probe).collect();
    cmds.extend(boot.plain_mounts().map(|m| mount::mount(&m.device, &within(&m.mount), &m.fs_type)));
    cmds.extend(BOUND.map(|dir| mount::bind(dir, &within(dir))));
    cmds.push(ask(root));
    if boot.firmware.bios() {
        cmds.extend(
            boot.disks.iter().map(|disk| grub::install_bios(root, family.names().install, &disk.disk)),
        );
    }
    let id = if family == Family::Debian { "debian" } else { "fedora" };
    let mut loaders = Vec::new();
    for (disk, esp) in boot.esps() {
        cmds.push(mount::mount(&esp.device, &within(fstab::ESP), "vfat"));
        if family == Family::Debian {
            let install = family.names().install;
            cmds.push(grub::install_efi(root, install, fstab::ESP, Some(id)));
            cmds.push(grub::install_efi(root, install, fstab::ESP, None));
        }
        cmds.push(mount::umount(&within(fstab::ESP)));
        let file = format!("\\EFI\\{id}\\grubx64.efi");
        loaders.push(Loader { disk: disk.into(), esp: esp.clone(), partuuid: None, file });
    }
    cmds.push(grub::mkconfig(root, family.names().mkconfig, &family.grub_cfg()));
    if boot.efivars && !loaders.is_empty() {
        cmds.extend(nvram::commands(id, &loaders));
    }
    cmds.extend(BOUND.iter().rev().map(|dir| mount::umount(&within(dir))));
    let mounts: Vec<_> = boot.plain_mounts().collect();
    cmds.extend(mounts.iter().rev().map(|m| mount::umount(&within(&m.mount))));
    cmds
}

/// Mounts the installed system, configures it, installs its boot loader and unmounts it again.
///
/// # Errors
/// What [`BootError`] says. The target is unmounted then, too.
pub fn run(host: &dyn Runner, boot: &Boot) -> Result<BootReport, BootError> {
    refuse(boot)?;
    let found = Found::probe(host, boot)?;
    let mut target = Target::new(host, &boot.target)?;
    for mount in boot.plain_mounts() {
        let entry = found.entry(&mount.device)?;
        target.mount(&mount.device, &mount.mount, &entry.fs_type)?;
    }
    target.bind()?;
    let mut report = configure(host, boot, &found, &mut target)?;
    install(host, boot, &found, &mut target, &mut report)?;
    target.close()?;
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    Ok(report)
}

/// Refuses what could not work, before anything is mounted.
fn refuse(boot: &Boot) -> Result<(), BootError> {
    if boot.grub_version == 1 {
        return Err(BootError::Version(1));
    }
    if boot.mounts.first().is_none_or(|mount| mount.mount != "/") {
        return Err(BootError::NoRoot);
    }
    if boot.disks.is_empty() {
        return Err(BootError::NoDisk);
    }
    if boot.firmware.uefi() && boot.esps().next().is_none() {
        return Err(BootError::NoEsp);
    }
    Ok(())
}

impl Boot {
    /// The disks that have an EFI system partition to fill.
    fn esps(&self) -> impl Iterator<Item = (&str, &Esp)> {
        let disks = self.disks.iter().filter(|_| self.firmware.uefi());
        disks.filter_map(|disk| Some((disk.disk.as_str(), disk.esp.as_ref()?)))
    }

    /// What is mounted for the whole step: the EFI system partitions are mounted in their turn.
    fn plain_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| !self.esps().any(|(_, esp)| esp.device == mount.device))
    }

    /// All devices, each once.
    fn devices(&self) -> impl Iterator<Item = &str> {
        let esps = self.esps().map(|(_, esp)| esp.device.as_str());
        self.plain_mounts()
            .map(|mount| mount.device.as_str())
            .chain(esps)
            .chain(self.swaps.iter().map(String::as_str))
    }
}

/// What lies on the devices.
struct Found(Vec<(String, fstab::Entry, Option<String>)>);

impl Found {
    fn probe(host: &dyn Runner, boot: &Boot) -> Result<Self, BootError> {
        let mut found = Vec::new();
        for device in boot.devices() {
            let mount = boot.mount_point(device);
            let probed = blkid::parse_probe(&host.run(&blkid::probe(device))?.stdout);
            let place = || mount.clone().unwrap_or_else(|| "swap".into());
            let fs_type = probed
                .fs_type
                .ok_or_else(|| BootError::NoFileSystem { device: device.into(), mount: place() })?;
            let uuid = probed.uuid.ok_or_else(|| BootError::NoUuid { device: device.into() })?;
            found.push((device.to_owned(), fstab::Entry { uuid, mount, fs_type }, probed.partuuid));
        }
        Ok(Self(found))
    }

    fn entry(&self, device: &str) -> Result<&fstab::Entry, BootError> {
        let found = self.0.iter().find(|(name, ..)| name == device);
        found.map(|(_, entry, _)| entry).ok_or_else(|| BootError::NoUuid { device: device.into() })
    }

    fn partuuid(&self, device: &str) -> Option<String> {
        let found = self.0.iter().find(|(name, ..)| name == device);
        found.and_then(|(_, _, partuuid)| partuuid.as_ref()).map(|guid| guid.to_lowercase())
    }

    /// The lines of fstab: of several EFI system partitions, the first one only.
    fn fstab(&self) -> String {
        let mut entries: Vec<fstab::Entry> = Vec::new();
        for (_, entry, _) in &self.0 {
            if entry.mount.is_none() || !entries.iter().any(|other| other.mount == entry.mount) {
                entries.push(entry.clone());
            }
        }
        fstab::fstab(&entries)
    }
}

impl Boot {
    /// Where the installed system mounts `device`; nowhere for swap.
    fn mount_point(&self, device: &str) -> Option<String> {
        let mount = self.mounts.iter().find(|mount| mount.device == device).map(|mount| mount.mount.clone());
        mount.or_else(|| self.esps().any(|(_, esp)| esp.device == device).then(|| fstab::ESP.to_owned()))
    }
}

fn ask(root: &Path) -> Cmd {
    Cmd::inside(root, "sh").args(["-c", defaults::ASK])
}

/// Looks at the image and writes its configuration.
fn configure(
    host: &dyn Runner,
    boot: &Boot,
    found: &Found,
    target: &mut Target<'_>,
) -> Result<BootReport, BootError> {
    let root = target.root().clone();
    let family = family::detect(&root)?;
    let kernels = family::kernels(&root)?;
    if boot.firmware.bios() {
        family::check_bios(&root, family)?;
    }
    let fstab = found.fstab();
    root.write("/etc/fstab", &fstab)?;
    if boot.fix_udev_net_rules && !boot.udev_rules.is_empty() {
        let rules = udev_rules::rules(&boot.udev_rules)?;
        root.write(boot.udev_rules_dir.join(udev_rules::FILE), rules)?;
    }
    write_defaults(host, boot, family, &root)?;
    let device = &boot.mounts[0].device;
    let entry = found.entry(device)?;
    target.name_by_uuid(device, &entry.uuid)?;
    let mut warnings = layout_warnings(boot, found);
    let twins = host.run(&blkid::with_tag("UUID", &entry.uuid))?.stdout;
    let twins: Vec<_> = twins.lines().filter(|twin| *twin != device).collect();
    if !twins.is_empty() && !same_devices(device, &twins) {
        warnings.push(format!(
            "the root file system's UUID {} is also found on {}: the machine may boot that one",
            entry.uuid,
            twins.join(", ")
        ));
    }
    Ok(BootReport { family, kernels, installed: Vec::new(), fstab, nvram: Vec::new(), warnings })
}

/// Whether all of `others` are further names of `device`.
fn same_devices(device: &str, others: &[&str]) -> bool {
    let node = std::fs::canonicalize(device).ok();
    node.is_some() && others.iter().all(|other| std::fs::canonicalize(other).ok() == node)
}

/// Where an image's file system is not the layout's: what was found counts.
fn layout_warnings(boot: &Boot, found: &Found) -> Vec<String> {
    let other = |mount: &&Mount| found.entry(&mount.device).is_ok_and(|entry| entry.fs_type != mount.fs_type);
    let tell = |mount: &Mount| {
        let found = found.entry(&mount.device).map_or("", |entry| &entry.fs_type);
        format!("{} holds {found}, the layout says {}: {found} it is", mount.mount, mount.fs_type)
    };
    boot.plain_mounts().filter(other).map(tell).collect()
}

fn write_defaults(host: &dyn Runner, boot: &Boot, family: Family, root: &Root) -> Result<(), BootError> {
    let text = root.read(defaults::FILE)?.unwrap_or_default();
    let own = defaults::without_block(&text);
    root.remove(defaults::LAST.as_ref())?;
    if own != text {
        root.write(defaults::FILE, &own)?;
    }
    let image = defaults::Own::parse(&host.run(&ask(root.path()))?.stdout);
    let settings = defaults::settings(&boot.kernel_params, boot.grub_timeout, &image);
    root.write(defaults::FILE, defaults::with_block(&own, &settings))?;
    if family == Family::Debian
        && root
            .names(defaults::DIR)
            .iter()
            .any(|name| Path::new(name).extension().is_some_and(|ext| ext == "cfg"))
    {
        root.write(defaults::LAST, defaults::with_block("", &settings))?;
    }
    Ok(())
}

/// Installs the boot loader and its configuration.
fn install(
    host: &dyn Runner,
    boot: &Boot,
    found: &Found,
    target: &mut Target<'_>,
    report: &mut BootReport,
) -> Result<(), BootError> {
    let root = target.root().clone();
    let family = report.family;
    let uuid = &found.entry(&boot.mounts[0].device)?.uuid;
    // Found out before anything is installed: half a boot loader is worse than none.
    let source = if boot.firmware.uefi() {
        let dir = family.names().dir;
        let own = boot.mounts.iter().find(|mount| mount.mount == "/boot");
        let place = match own {
            Some(mount) => (found.entry(&mount.device)?.uuid.as_str(), dir.trim_start_matches("/boot")),
            None => (uuid.as_str(), dir),
        };
        Some(Source::find(&root, family, place)?)
    } else {
        None
    };
    if family::hostonly_initramfs(&root) {
        let cmd = Cmd::inside(root.path(), "dracut").args(["--force", "--no-hostonly", "--regenerate-all"]);
        host.run(&cmd)?;
    }
    if boot.firmware.bios() {
        for disk in &boot.disks {
            host.run(&grub::install_bios(root.path(), family.names().install, &disk.disk))?;
            report.installed.push(disk.disk.clone());
        }
    }
    let mut loaders = Vec::new();
    if let Some(source) = &source {
        for (disk, esp) in boot.esps() {
            let partuuid = found.partuuid(&esp.device);
            loaders.push(efi::install(host, target, source, disk, (esp, partuuid))?);
            report.installed.push(esp.device.clone());
        }
    }
    let entries = bls::rewrite(&root, uuid, &boot.kernel_params)?;
    let file = family.grub_cfg();
    host.run(&grub::mkconfig(root.path(), family.names().mkconfig, &file))?;
    let text = root.read(&file)?.unwrap_or_default();
    grub_cfg::check(&file, &text, uuid, entries)?;
    if let Some(source) = &source {
        enter_nvram(host, boot, source.id(), &loaders, report);
    }
    Ok(())
}

/// Enters the boot loaders into NVRAM, or says why not.
fn enter_nvram(host: &dyn Runner, boot: &Boot, id: &str, loaders: &[Loader], report: &mut BootReport) {
    let reason = if !boot.efivars {
        "this system was not booted by UEFI".to_owned()
    } else if !host.has(Tool::Efibootmgr) {
        "efibootmgr is not installed here".to_owned()
    } else {
        match nvram::enter(host, boot.efi_boot_order, id, loaders) {
            Ok(entries) => {
                report.nvram = entries;
                return;
            }
            Err(error) => error.to_string(),
        }
    };
    report.warnings.push(format!(
        "no entry was made in NVRAM ({reason}): the machine boots by the fallback path EFI/BOOT/BOOTX64.EFI"
    ));
}
