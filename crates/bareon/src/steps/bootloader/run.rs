//! The step itself: the commands that a plan shows, and the run.

use std::{fs::File, path::Path};

use bareon_host::{Cmd, CommandError, Output, Runner, Tool, blkid, grub, mount};

use super::{
    Boot, BootError, BootReport, EspFiles, Family, Mount, bls, defaults, early,
    efi::{self, Loader, Source},
    esp_sync, family,
    found::Found,
    fstab, grub_cfg,
    inroot::Root,
    leftovers, legacy, lvm_conf, mdadm_conf, nvram, settle,
    target::{BOUND, Target},
    udev_rules,
};
use crate::hardware::usage::Kernel;

/// Has the installed system label all files at its next boot: new ones, ours and those of the programs
/// that ran in the chroot, have got no label, as no policy is loaded here.
const RELABEL: &str = "/.autorelabel";

/// What a run starts, in its order, as far as it is known before the image is there: its settings of GRUB are taken to be
/// plain ones, its family is taken to be `family`, its distribution `debian` (`fedora` for the RPM family), the file systems
/// those of the layout, and udev to have named the devices.
pub fn commands(boot: &Boot, family: Family) -> Vec<Cmd> {
    let root = boot.target.as_path();
    let within = |inside: &str| {
        inside
            .split('/')
            .filter(|part| !part.is_empty())
            .fold(root.to_path_buf(), |path, part| path.join(part))
    };
    let mut cmds = vec![blkid::probe_all(boot.devices())];
    cmds.extend(boot.plain_mounts().map(|m| mount::mount(&m.device, &within(&m.mount), &m.fs_type)));
    cmds.extend(BOUND.map(|dir| mount::bind(dir, &within(dir))));
    if early::is_never_ready(boot) {
        cmds.push(match family {
            Family::Debian => early::update_initramfs(root),
            Family::Rpm => early::dracut(root, boot),
        });
    }
    if boot.firmware.bios() {
        cmds.extend(
            boot.disks.iter().map(|disk| grub::install_bios(root, family.names().install, &disk.disk)),
        );
    }
    let id = if family == Family::Debian { "debian" } else { "fedora" };
    let mut loaders = Vec::new();
    for (disk, esp) in boot.esps() {
        cmds.push(mount::mount(&esp.device, &within(fstab::ESP), "vfat"));
        // What is on the first is copied to the others.
        if family == Family::Debian && loaders.is_empty() {
            let install = family.names().install;
            cmds.push(grub::install_efi(root, install, fstab::ESP, Some(id)));
            cmds.push(grub::install_efi(root, install, fstab::ESP, None));
        }
        cmds.push(mount::umount(&within(fstab::ESP)));
        let file = format!("\\EFI\\{id}\\grubx64.efi");
        loaders.push(Loader {
            disk: disk.into(),
            esp: esp.clone(),
            partuuid: None,
            file,
            files: EspFiles::default(),
        });
    }
    cmds.push(grub::mkconfig(root, family.names().mkconfig, &family.grub_cfg()));
    if boot.efivars && !loaders.is_empty() {
        cmds.extend(nvram::commands(id, &loaders));
    }
    let mounted: Vec<_> = boot.plain_mounts().map(|m| within(&m.mount)).chain(BOUND.map(within)).collect();
    cmds.push(mount::umount_all(mounted.iter().rev()));
    cmds
}

/// Mounts the installed system, configures it, installs its boot loader and unmounts it again.
///
/// # Errors
/// What [`BootError`] says. The target is unmounted then, too.
pub fn run(host: &dyn Runner, boot: &Boot, kernel: &Kernel) -> Result<BootReport, BootError> {
    Ok(run_then(host, boot, kernel, |_, _| ())?.0)
}

/// As [`run`]; `look` sees what was installed before it is unmounted: the installed system's files, and what is in the
/// EFI system partitions.
///
/// # Errors
/// As of [`run`].
pub fn run_then<T>(
    host: &dyn Runner,
    boot: &Boot,
    kernel: &Kernel,
    look: impl FnOnce(&Root, &[EspFiles]) -> T,
) -> Result<(BootReport, T), BootError> {
    refuse(boot)?;
    let arrays = boot.storage.uuids(host, kernel)?;
    let found = Found::probe(host, boot)?;
    let mut target = Target::new(host, &boot.target)?;
    for mount in boot.plain_mounts() {
        let entry = found.entry(&mount.device)?;
        target.mount(&mount.device, &mount.mount, &entry.fs_type)?;
    }
    target.bind()?;
    let parameters = early::parameters(boot, target.root(), &arrays);
    let kernel_params = [std::slice::from_ref(&boot.kernel_params), &*parameters].concat().join(" ");
    let boot = &Boot { kernel_params: kernel_params.trim().to_owned(), ..boot.clone() };
    let mut report = configure(host, boot, &found, &mut target)?;
    let needs = early::Needs::new(boot, &arrays, found.uuids(), &found.early_types(), kernel);
    report.warnings.extend(configure_storage(boot, target.root(), report.family, &arrays)?);
    let esps = install(host, boot, (&found, &needs), &mut target, &mut report)?;
    let seen = look(target.root(), &esps);
    target.close()?;
    Ok((report, seen))
}

/// Refuses what could not work, before anything is mounted.
fn refuse(boot: &Boot) -> Result<(), BootError> {
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
    let legacy = legacy::chosen(boot, &root)?;
    let family = if legacy { legacy::family_of(&root) } else { family::detect(&root)? };
    let kernels = kernels(boot, &root)?;
    if boot.firmware.bios() && !legacy {
        family::check_bios(&root, family, &boot.storage)?;
    }
    family::check_storage(&root, &boot.storage)?;
    let mut warnings = Vec::new();
    let fstab = found.fstab();
    root.write("/etc/fstab", &fstab)?;
    if boot.fix_udev_net_rules && !boot.udev_rules.is_empty() {
        warnings = udev_rules::check_interfaces(&boot.udev_rules)?;
        root.write(boot.udev_rules_dir.join(udev_rules::FILE), udev_rules::rules(&boot.udev_rules))?;
    }
    let device = &boot.mounts[0].device;
    let entry = found.entry(device)?;
    // For grub-mkconfig.
    if !legacy {
        write_defaults(host, boot, family, &root)?;
        target.name_by_uuid(device, &entry.uuid)?;
    }
    warnings.extend(layout_warnings(boot, found));
    Ok(BootReport { family, kernels, installed: Vec::new(), fstab, nvram: Vec::new(), warnings })
}

/// Writes what names arrays, volume groups and devices; what is to be told.
fn configure_storage(
    boot: &Boot,
    root: &Root,
    family: Family,
    arrays: &[(String, String)],
) -> Result<Vec<String>, BootError> {
    mdadm_conf::write(root, family, arrays)?;
    settle::write(root, &boot.storage)?;
    let told = [lvm_conf::write(root, &boot.storage.foreign)?, leftovers::clear(root)?];
    Ok(told.into_iter().flatten().collect())
}

/// The image's kernels; where there are none, `/boot` may be a volume of its own that hides them.
fn kernels(boot: &Boot, root: &Root) -> Result<Vec<String>, BootError> {
    family::kernels(root).map_err(|error| match (error, boot.own_boot()) {
        (BootError::NoKernel, Some(Mount { device, image: false, .. })) => {
            BootError::EmptyBoot { device: device.clone() }
        }
        (error, _) => error,
    })
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

fn is_cfg(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ext| ext == "cfg")
}

fn write_defaults(host: &dyn Runner, boot: &Boot, family: Family, root: &Root) -> Result<(), BootError> {
    let text = root.read(defaults::FILE)?.unwrap_or_default();
    let own = defaults::without_block(&text);
    root.remove(defaults::LAST.as_ref())?;
    if own != text {
        root.write(defaults::FILE, &own)?;
    }
    let mut texts = vec![own.clone()];
    for name in root.names(defaults::DIR).iter().filter(|name| is_cfg(name)) {
        texts.extend(root.read(Path::new(defaults::DIR).join(name))?);
    }
    let image = match defaults::Own::read(&texts) {
        Some(image) => image,
        None => defaults::Own::parse(&host.run(&ask(root.path()))?.stdout),
    };
    let settings = defaults::settings(&boot.kernel_params, boot.grub_timeout, &image);
    root.write(defaults::FILE, defaults::with_block(&own, &settings))?;
    if family == Family::Debian && texts.len() > 1 {
        root.write(defaults::LAST, defaults::with_block("", &settings))?;
    }
    Ok(())
}

/// Installs the boot loader and its configuration.
fn install(
    host: &dyn Runner,
    boot: &Boot,
    (found, needs): (&Found, &early::Needs),
    target: &mut Target<'_>,
    report: &mut BootReport,
) -> Result<Vec<EspFiles>, BootError> {
    let root = target.root().clone();
    let family = report.family;
    let uuid = &found.entry(&boot.mounts[0].device)?.uuid;
    if legacy::chosen(boot, &root)? {
        let (installed, warnings) = legacy::install(host, boot, found, &root, &Kernel::default())?;
        report.installed = installed;
        report.warnings.extend(warnings);
        relabel(boot, &root, report)?;
        return Ok(Vec::new());
    }
    // Found out before anything is installed: half a boot loader is worse than none.
    let source = if boot.firmware.uefi() {
        let dir = family.names().dir;
        let place = match boot.own_boot() {
            Some(mount) => (found.entry(&mount.device)?.uuid.as_str(), dir.trim_start_matches("/boot")),
            None => (uuid.as_str(), dir),
        };
        Some(Source::find(&root, family, &boot.storage, place)?)
    } else {
        None
    };
    report.warnings.extend(early::prepare(host, boot, &root, &report.kernels, needs)?);
    if boot.firmware.bios() {
        for disk in &boot.disks {
            let cmd = grub::install_bios(root.path(), family.names().install, &disk.disk);
            flushed(&disk.disk, || host.run(&cmd))?;
            report.installed.push(disk.disk.clone());
        }
    }
    let mut loaders = Vec::new();
    if let Some(source) = &source {
        let mut files = Vec::new();
        for (disk, esp) in boot.esps() {
            let partuuid = found.partuuid(&esp.device);
            loaders.push(efi::install(host, target, source, &mut files, disk, (esp, partuuid))?);
            report.installed.push(esp.device.clone());
        }
        let uuids =
            loaders.iter().map(|loader| found.entry(&loader.esp.device).map(|entry| entry.uuid.as_str()));
        report.warnings.extend(esp_sync::write(&root, &uuids.collect::<Result<Vec<_>, _>>()?, source.id())?);
    }
    let entries = bls::rewrite(&root, uuid, &boot.kernel_params, boot.own_boot().is_some())?;
    let file = family.grub_cfg();
    host.run(&grub::mkconfig(root.path(), family.names().mkconfig, &file))?;
    let text = root.read(&file)?.unwrap_or_default();
    grub_cfg::check(&file, &text, (uuid, &boot.mounts[0].device), entries)?;
    relabel(boot, &root, report)?;
    if let Some(source) = &source {
        enter_nvram(host, boot, source.id(), &loaders, report);
    }
    Ok(loaders.into_iter().map(|loader| loader.files).collect())
}

/// Has an image with `SELinux` label its files.
fn relabel(boot: &Boot, root: &Root, report: &mut BootReport) -> Result<(), BootError> {
    let off = boot.kernel_params.split_whitespace().any(|word| word == "selinux=0");
    if report.family == Family::Rpm && !off && family::uses_selinux(root)? {
        root.write(RELABEL, "")?;
        let what = "the installed system labels its files for SELinux at its first boot, and restarts once";
        report.warnings.push(what.into());
    }
    Ok(())
}

/// Runs what writes to the disk itself, and flushes it: nobody else tells of what could not be written.
fn flushed(disk: &str, write: impl FnOnce() -> Result<Output, CommandError>) -> Result<(), BootError> {
    const DOING: &str = "flushing what grub-install wrote (look for disk errors by dmesg) to";
    // Open from before, so that it is told of whatever fails meanwhile.
    let node = File::open(disk).map_err(BootError::file(DOING, disk))?;
    write()?;
    node.sync_all().map_err(BootError::file(DOING, disk))
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

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use bareon_host::Script;

    use super::*;
    use crate::steps::bootloader::{BootDisk, BootOrder, Esp, Firmware, InFstab, Storage, Swap};

    const ENV: &str =
        "/usr/bin/env -i LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    /// What an image of Debian would have mounted at `target`; its programs are not run.
    fn debian() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for file in [
            "usr/sbin/grub-install",
            "usr/sbin/grub-mkconfig",
            "usr/lib/grub/i386-pc/moddep.lst",
            "usr/lib/grub/x86_64-efi/moddep.lst",
            "boot/vmlinuz-6.1.0-9-amd64",
            "boot/initrd.img-6.1.0-9-amd64",
            "dev/disk/by-uuid/r-o-o-t",
            "dev/vdx",
            "dev/vdy",
            "var/my log/x",
            "boot/efi/EFI/debian/grubx64.efi",
            "usr/lib/systemd/systemd",
        ] {
            root.write(file, "").unwrap();
        }
        root.write("etc/os-release", "ID=debian\n").unwrap();
        root.write("boot/grub/grub.cfg", "linux /vmlinuz root=UUID=r-o-o-t ro\n").unwrap();
        dir
    }

    /// A machine with two disks.
    pub fn boot(target: &Path, firmware: Firmware) -> Boot {
        // The disks are files, as they are flushed for real.
        let within = |device: &str| format!("{}{device}", target.display());
        let mount = |device: &str, mount: &str, fs_type: &str| Mount {
            device: within(device),
            mount: mount.into(),
            fs_type: fs_type.into(),
            image: mount == "/",
            fstab: InFstab::Usual,
        };
        let disk = |disk: &str| BootDisk {
            disk: within(disk),
            esp: Some(Esp { device: within(&format!("{disk}2")), number: 2 }),
        };
        Boot {
            target: target.into(),
            mounts: vec![mount("/dev/vdx3", "/", "ext4"), mount("/dev/vdx5", "/var/my log", "xfs")],
            swaps: vec![Swap { device: within("/dev/vdx4"), fstab: InFstab::Usual }],
            storage: Storage::default(),
            disks: vec![disk("/dev/vdx"), disk("/dev/vdy")],
            firmware,
            efi_boot_order: BootOrder::Keep,
            efivars: false,
            kernel_params: "quiet".into(),
            grub_version: 2,
            kernels: legacy::Kernels::default(),
            grub_timeout: 5,
            fix_udev_net_rules: true,
            udev_rules: Vec::new(),
            udev_rules_dir: "/etc/udev/rules.d".into(),
        }
    }

    /// A machine that answers `lines`; what of blkid lies on the devices stands in it as well.
    fn answering(lines: &str) -> Script {
        lines.lines().fold(Script::default(), |host, line| {
            let devices = line.strip_prefix("blkid -p -o export ").unwrap_or_default().split_whitespace();
            let answer = devices.fold(String::new(), |answer, device| {
                let found = match device.rsplit('/').next() {
                    Some("vdx2") => "TYPE=vfat\nUUID=E-1\nPART_ENTRY_UUID=AB\n",
                    Some("vdx3") => "TYPE=ext4\nUUID=r-o-o-t\n",
                    Some("vdx4") => "TYPE=swap\nUUID=s-w-a-p\n",
                    Some("vdx5") => "TYPE=xfs\nUUID=v-a-r\n",
                    _ => "TYPE=vfat\nUUID=E-2\n",
                };
                answer + "DEVNAME=" + device + "\n" + found + "\n"
            });
            host.ok(line, &answer)
        })
    }

    /// `text` with the directory, the chroot and the shell's script written out.
    fn expected(target: &Path, text: &str) -> String {
        let target = target.display().to_string();
        text.replace("ASK", &format!("sh -c '{}'", defaults::ASK.replace('\'', r"'\''")))
            .replace("IN ", &format!("chroot TARGET {ENV} "))
            .replace("/dev/vd", "TARGET/dev/vd")
            .replace("TARGET", &target)
    }

    const BOTH: &str = "blkid -p -o export /dev/vdx3 /dev/vdx5 /dev/vdx2 /dev/vdy2 /dev/vdx4\n\
        mount -t ext4 /dev/vdx3 TARGET\n\
        mount -t xfs /dev/vdx5 'TARGET/var/my log'\n\
        mount --bind /dev TARGET/dev\n\
        mount --bind /proc TARGET/proc\n\
        mount --bind /sys TARGET/sys\n\
        mount --bind /run TARGET/run\n\
        IN grub-install --target=i386-pc --recheck /dev/vdx\n\
        IN grub-install --target=i386-pc --recheck /dev/vdy\n\
        mount -t vfat /dev/vdx2 TARGET/boot/efi\n\
        IN grub-install --target=x86_64-efi --efi-directory=/boot/efi --no-nvram --recheck --bootloader-id=debian\n\
        IN grub-install --target=x86_64-efi --efi-directory=/boot/efi --no-nvram --recheck --removable\n\
        umount TARGET/boot/efi\n\
        mount -t vfat /dev/vdy2 TARGET/boot/efi\n\
        umount TARGET/boot/efi\n\
        IN grub-mkconfig -o /boot/grub/grub.cfg\n\
        umount TARGET/run TARGET/sys TARGET/proc TARGET/dev 'TARGET/var/my log' TARGET";

    #[test]
    fn both_boot_loaders_go_onto_each_disk() {
        let dir = debian();
        let host = answering(&expected(dir.path(), BOTH));
        let report = run(&host, &boot(dir.path(), Firmware::Both), &Kernel::default()).unwrap();
        let installed: Vec<_> =
            report.installed.iter().map(|disk| disk.rsplit_once('/').unwrap().1).collect();
        assert_eq!(installed, ["vdx", "vdy", "vdx2", "vdy2"]);
        assert_eq!(report.kernels, ["6.1.0-9-amd64"]);
        assert!(report.warnings[0].contains("this system was not booted by UEFI"), "{:?}", report.warnings);
        let fstab = fs::read_to_string(dir.path().join("etc/fstab")).unwrap();
        assert!(
            fstab.ends_with(
                "UUID=r-o-o-t / ext4 errors=remount-ro 0 1\n\
                 UUID=v-a-r /var/my\\040log xfs defaults 0 0\n\
                 UUID=E-1 /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=60s 0 2\n\
                 UUID=s-w-a-p none swap sw 0 0\n"
            ),
            "{fstab}"
        );
    }

    #[test]
    fn settings_that_only_a_shell_understands_are_asked_for() {
        let dir = debian();
        let root = Root::new(dir.path());
        let boot = boot(dir.path(), Firmware::Bios);
        let console = "GRUB_CMDLINE_LINUX=console=ttyS1";
        root.write(defaults::FILE, format!("if true; then {console}; fi\n")).unwrap();
        let line = expected(dir.path(), "IN ASK");
        let host = Script::default().ok(&line, "console=ttyS1\n\n");
        write_defaults(&host, &boot, Family::Debian, &root).unwrap();
        let written = root.read(defaults::FILE).unwrap().unwrap();
        assert!(written.contains("GRUB_CMDLINE_LINUX='console=ttyS1 quiet'"), "{written}");
        root.write(defaults::FILE, format!("{console}\n")).unwrap();
        write_defaults(&host, &boot, Family::Debian, &root).unwrap();
        assert_eq!(
            root.read(defaults::FILE).unwrap().unwrap(),
            written.replace("if true; then ", "").replace("; fi", "")
        );
    }

    #[test]
    fn a_plan_shows_what_runs() {
        let dir = debian();
        let shown = commands(&boot(dir.path(), Firmware::Both), Family::Debian);
        let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected(dir.path(), BOTH).lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_volume_for_boot_that_hides_the_kernels_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let mut boot = boot(Path::new("/x"), Firmware::Bios);
        assert!(matches!(kernels(&boot, &root), Err(BootError::NoKernel)));
        boot.mounts[1].mount = "/boot".into();
        let error = kernels(&boot, &root).unwrap_err().to_string();
        assert!(error.starts_with("/boot is a file system of its own (/x/dev/vdx5) and no image"), "{error}");
        boot.mounts[1].image = true;
        assert!(matches!(kernels(&boot, &root), Err(BootError::NoKernel)));
    }

    #[test]
    fn several_signatures_on_a_device_are_told_with_what_shows_them() {
        let boot = boot(Path::new("/nowhere"), Firmware::Bios);
        let all = "blkid -p -o export /nowhere/dev/vdx3 /nowhere/dev/vdx5 /nowhere/dev/vdx4";
        let host = Script::default().fails(all, 8, "").fails(
            "blkid -p -o export /nowhere/dev/vdx3",
            8,
            "ambivalent result",
        );
        let error = run(&host, &boot, &Kernel::default()).unwrap_err().to_string();
        assert!(error.contains("`wipefs /nowhere/dev/vdx3`"), "{error}");
    }

    #[test]
    fn a_disk_that_cannot_be_flushed_fails_the_step() {
        let done = || Ok(Output { status: 0, stdout: String::new(), stderr: String::new() });
        // /dev/null cannot be flushed: EINVAL.
        let error = flushed("/dev/null", done).unwrap_err().to_string();
        assert!(error.starts_with("flushing what grub-install wrote"), "{error}");
        flushed("/nowhere", || panic!("it ran without a disk")).unwrap_err();
    }

    #[test]
    fn a_failure_leaves_nothing_mounted() {
        let dir = debian();
        let text = expected(dir.path(), BOTH);
        let until = text.lines().position(|line| line.ends_with("/dev/vdy") && line.contains("--recheck"));
        let until = until.unwrap();
        let mut host = answering(&text.lines().take(until).collect::<Vec<_>>().join("\n"));
        host = host.fails(
            text.lines().nth(until).unwrap(),
            1,
            "grub-install: error: unable to identify a filesystem.",
        );
        for line in text.lines().skip_while(|line| {
            !line.starts_with(
                "umount TARGET/run".replace("TARGET", &dir.path().display().to_string()).as_str(),
            )
        }) {
            host = host.ok(line, "");
        }
        let error =
            run(&host, &boot(dir.path(), Firmware::Both), &Kernel::default()).unwrap_err().to_string();
        assert!(error.contains("unable to identify a filesystem"), "{error}");
    }

    #[test]
    fn what_cannot_boot_is_refused_before_anything_runs() {
        let host = Script::default();
        let refused = |change: fn(&mut Boot)| {
            let mut boot = boot(Path::new("/nowhere"), Firmware::Uefi);
            change(&mut boot);
            run(&host, &boot, &Kernel::default()).unwrap_err()
        };
        assert!(matches!(refused(|boot| boot.mounts.reverse()), BootError::NoRoot));
        assert!(matches!(refused(|boot| boot.disks.clear()), BootError::NoDisk));
        let without = refused(|boot| boot.disks.iter_mut().for_each(|disk| disk.esp = None));
        assert!(matches!(without, BootError::NoEsp));
    }
}
