//! The boot loader's configuration: `grub.cfg` of GRUB 2, entry files beside it, `grub.conf` of GRUB legacy.
//!
//! It is read for what it makes a machine look for: the file system with the kernel (`search --fs-uuid`), the kernel
//! and its initramfs, and the root file system that the kernel is told (`root=`). GRUB names files from the root of
//! the file system that holds `/boot`.

use std::path::Path;

use super::{
    Check, Finding, Seen,
    devices::{Device, Spec},
};
use crate::steps::bootloader::{Family, bls, family, inroot::Root};

/// Where GRUB legacy has its configuration.
const LEGACY: [&str; 2] = ["/boot/grub/grub.conf", "/boot/grub/menu.lst"];

/// A kernel that the boot loader starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// The configuration that says so.
    pub file: String,
    /// The kernel, as GRUB names it.
    pub kernel: String,
    /// Its command line.
    pub arguments: String,
    /// Its initramfs, as GRUB names them.
    pub initrds: Vec<String>,
    /// The UUID of the file system that the two are looked for on, where one is named.
    pub search: Option<String>,
}

/// A configuration as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Config {
    kernels: Vec<Kernel>,
    /// All UUIDs that are searched for.
    searches: Vec<String>,
}

/// Looks at all that is named in the configuration.
pub fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let Some(file) = main_file(seen.root) else {
        let remedy = "install the boot loader again: run `bareon-provision bootloader`";
        return vec![Finding::error(Check::GrubCfg, "/boot", "there is no configuration of GRUB", remedy)];
    };
    let mut found = Vec::new();
    let config = parse(&file, &text(seen.root, &file));
    for uuid in &config.searches {
        found.extend(searched(seen, &file, uuid));
    }
    let kernels = kernels(seen.root);
    if kernels.is_empty() {
        let remedy = "look for what grub-mkconfig says in the log of the boot loader's stage";
        found.push(Finding::error(Check::GrubCfg, &*file, "it starts no kernel", remedy));
    }
    for kernel in &kernels {
        found.extend(files(seen, kernel));
        found.extend(root_of(seen, kernel));
    }
    found.extend(modules(seen, &file));
    let mut once: Vec<Finding> = Vec::new();
    for finding in found {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    once
}

/// The configuration that GRUB reads first.
pub fn main_file(root: &Root) -> Option<String> {
    let two = [Family::Debian, Family::Rpm].map(Family::grub_cfg);
    two.into_iter().chain(LEGACY.map(ToOwned::to_owned)).find(|file| root.has(file))
}

/// The kernels that are started, those of the configuration first, then those of entry files, the newest first.
pub fn kernels(root: &Root) -> Vec<Kernel> {
    let mut kernels =
        main_file(root).map(|file| parse(&file, &text(root, &file)).kernels).unwrap_or_default();
    let mut entries: Vec<_> = root
        .names(bls::DIR)
        .into_iter()
        .filter(|name| Path::new(name).extension().is_some_and(|ext| ext == "conf"))
        .collect();
    entries.sort_by(|a, b| family::by_version(b, a));
    for name in entries {
        let file = format!("{}/{name}", bls::DIR);
        kernels.extend(parse(&file, &text(root, &file)).kernels);
    }
    kernels
}

fn text(root: &Root, file: &str) -> String {
    root.read(file).ok().flatten().unwrap_or_default()
}

/// Reads a configuration. `linux` and `initrd` are words of GRUB 2 and of entry files, `kernel` one of GRUB legacy.
fn parse(file: &str, text: &str) -> Config {
    let mut config = Config::default();
    let mut search = None;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        let Some((first, rest)) = words.split_first() else { continue };
        match *first {
            "search" if rest.contains(&"--fs-uuid") || rest.contains(&"-u") => {
                search = rest.last().map(ToString::to_string);
                config.searches.extend(search.clone().filter(|uuid| !config.searches.contains(uuid)));
            }
            "linux" | "linuxefi" | "linux16" | "kernel" => {
                let Some((kernel, arguments)) = rest.split_first() else { continue };
                config.kernels.push(Kernel {
                    file: file.into(),
                    kernel: (*kernel).into(),
                    arguments: arguments.join(" "),
                    initrds: Vec::new(),
                    search: search.clone(),
                });
            }
            "initrd" | "initrdefi" | "initrd16" => {
                if let Some(last) = config.kernels.last_mut() {
                    last.initrds = rest.iter().map(ToString::to_string).collect();
                }
            }
            "options" => {
                if let Some(last) = config.kernels.last_mut() {
                    last.arguments = rest.join(" ");
                }
            }
            _ => {}
        }
    }
    // Others that are started, such as a memory test, have neither.
    config.kernels.retain(|kernel| !kernel.initrds.is_empty() || kernel.arguments.contains("root="));
    config
}

/// A UUID that is searched for has to be that of a file system of the layout.
fn searched(seen: &Seen<'_>, file: &str, uuid: &str) -> Option<Finding> {
    if !seen.devices.find(Spec::Uuid(uuid)).is_empty() {
        return None;
    }
    let elsewhere = seen.devices.iter().find(|device| device.uuid().eq_ignore_ascii_case(uuid));
    let problem = match elsewhere {
        Some(device) => {
            format!(
                "it searches for the file system {uuid}, which is on {} only, no disk of the layout",
                device.node()
            )
        }
        None => format!("it searches for the file system {uuid}, which is on no disk of this machine"),
    };
    Some(Finding::error(Check::GrubCfg, file, problem, rewrite(seen)))
}

/// What writes the configuration anew.
fn rewrite(seen: &Seen<'_>) -> String {
    let own = seen.boot_device().map(Device::uuid).unwrap_or_default();
    let own = if own.is_empty() { String::new() } else { format!(" (/boot is on {own})") };
    format!("run `bareon-provision bootloader`, which writes it anew{own}")
}

/// The kernel and its initramfs have to be on the file system that they are looked for on.
fn files(seen: &Seen<'_>, kernel: &Kernel) -> Vec<Finding> {
    let mut found = Vec::new();
    let own_boot = seen.boot.mounts.iter().any(|mount| mount.mount == "/boot");
    for file in kernel.initrds.iter().chain([&kernel.kernel]) {
        // A variable is GRUB's to resolve.
        let file = file.strip_prefix("($root)").unwrap_or(file);
        if file.contains('$')
            || file.starts_with('(')
            || places(file, own_boot).iter().any(|at| seen.root.has(at))
        {
            continue;
        }
        let problem = format!("it names {file}, which is not there");
        let remedy = "put the file into the image, or remove the entry; then write both again";
        found.push(Finding::error(Check::GrubCfg, &*kernel.file, problem, remedy));
    }
    let holds = seen.boot_device();
    if let (Some(search), Some(device)) = (&kernel.search, holds)
        && !device.uuid().is_empty()
        && !device.uuid().eq_ignore_ascii_case(search)
    {
        let problem =
            format!("it looks for {} on the file system {search}, but /boot is on another", kernel.kernel);
        found.push(Finding::error(Check::GrubCfg, &*kernel.file, problem, rewrite(seen)));
    }
    found
}

/// Where a file of GRUB's may lie in the installed system. Before `/boot` there may be the name of a btrfs subvolume.
fn places(file: &str, own_boot: bool) -> Vec<String> {
    if own_boot {
        return vec![format!("/boot/{}", file.trim_start_matches('/'))];
    }
    let below = file.find("/boot/").map(|at| file[at..].to_owned());
    below.into_iter().chain([file.to_owned()]).collect()
}

/// The kernel has to be told the root file system, by a name that is its own.
fn root_of(seen: &Seen<'_>, kernel: &Kernel) -> Option<Finding> {
    let error = |problem: String| Some(Finding::error(Check::GrubCfg, &*kernel.file, problem, rewrite(seen)));
    let name = &kernel.kernel;
    let Some(root) = kernel.arguments.split_whitespace().find_map(|word| word.strip_prefix("root=")) else {
        // The options of all entries may stand in GRUB's environment.
        let elsewhere = kernel.arguments.contains('$');
        return if elsewhere { None } else { error(format!("{name} is told no root file system (root=)")) };
    };
    let spec = Spec::read(root)?;
    if let Spec::Kernel(node) = spec {
        return error(format!("{name} is told root={node}: that is the name which the ramdisk gave to it"));
    }
    let own = seen.mounted("/")?;
    match seen.devices.find(spec).as_slice() {
        [] => error(format!("{name} is told root={root}, which is on no disk of the layout")),
        found if found.contains(&own) => None,
        [other, ..] => {
            error(format!("{name} is told root={root}, which is {} and not {}", other.node(), own.node()))
        }
    }
}

/// GRUB for a BIOS loads its modules from beside the configuration.
fn modules(seen: &Seen<'_>, file: &str) -> Option<Finding> {
    let dir = Path::new(file).parent()?;
    let wanted = seen.boot.firmware.bios() && !LEGACY.contains(&file);
    let module = dir.join("i386-pc/normal.mod");
    (wanted && !seen.root.has(&module)).then(|| {
        let problem = "GRUB does not find its modules there";
        Finding::error(Check::GrubCfg, module.display().to_string(), problem, rewrite(seen))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{Bench, ROOT};

    const CFG: &str = "/boot/grub/grub.cfg";

    fn cfg(search: &str, kernel: &str) -> String {
        format!(
            "search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 {search}\n\
             menuentry 'Debian' {{\n\tlinux\t/boot/vmlinuz-6 {kernel}\n\tinitrd\t/boot/initrd.img-6\n}}\n\
             menuentry 'test' {{\n\tlinux16 /boot/memtest86+.bin\n}}\n"
        )
    }

    fn problems(bench: &Bench) -> Vec<String> {
        check(&bench.seen()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_named_has_to_be_there() {
        let good = format!("root=UUID={ROOT} ro");
        for (search, kernel, problem) in [
            (ROOT, &*good, None),
            (ROOT, "root=/dev/mapper/os-root ro", Some("on no disk of the layout")),
            (ROOT, "root=/dev/vda2 ro", Some("the name which the ramdisk gave")),
            (ROOT, "root=UUID=ba-d0 ro", Some("root=UUID=ba-d0, which is on no disk")),
            (ROOT, "root=UUID=5afe ro", Some("which is /dev/vda3 and not /dev/vda2")),
            (ROOT, "root=PARTUUID=p2 ro", None),
            (ROOT, "ro quiet", Some("is told no root file system")),
            ("ba-d0", &*good, Some("file system ba-d0, which is on no disk of this machine")),
            ("f0-e1", &*good, Some("which is on /dev/vdz1 only")),
        ] {
            let bench = Bench::new();
            bench.write(CFG, &cfg(search, kernel));
            let found = problems(&bench);
            match problem {
                None => assert!(found.is_empty(), "{kernel}: {found:?}"),
                Some(problem) => assert!(found[0].contains(problem), "{kernel}: {found:?}"),
            }
        }
    }

    #[test]
    fn kernel_initramfs_and_modules_have_to_be_there() {
        for (file, problem) in [
            ("/boot/vmlinuz-6", "it names /boot/vmlinuz-6"),
            ("/boot/initrd.img-6", "it names /boot/initrd.img-6"),
            ("/boot/grub/i386-pc/normal.mod", "GRUB does not find its modules"),
            (CFG, "there is no configuration of GRUB"),
        ] {
            let bench = Bench::new();
            bench.write(CFG, &cfg(ROOT, &format!("root=UUID={ROOT} ro")));
            bench.root.remove(Path::new(file)).unwrap();
            let found = problems(&bench);
            assert!(found.len() == 1 && found[0].contains(problem), "{found:?}");
        }
        let bench = Bench::new();
        bench.write(CFG, "set timeout=5\n");
        assert!(problems(&bench)[0].contains("it starts no kernel"));
    }

    #[test]
    fn files_are_named_from_the_file_system_that_holds_boot() {
        assert_eq!(places("/vmlinuz", true), ["/boot/vmlinuz"]);
        assert_eq!(places("/@root/boot/vmlinuz", false), ["/boot/vmlinuz", "/@root/boot/vmlinuz"]);
    }

    #[test]
    fn entries_of_their_own_and_grub_legacy_are_read() {
        let bls =
            "title x\nlinux /vmlinuz-5\ninitrd /initramfs-5.img $tuned_initrd\noptions root=UUID=a ro\n";
        let kernel = &parse("e", bls).kernels[0];
        assert_eq!((&*kernel.arguments, kernel.initrds.len()), ("root=UUID=a ro", 2));
        let legacy =
            "default=0\ntitle CentOS\n\troot (hd0,1)\n\tkernel /vmlinuz-2 ro root=UUID=a\n\tinitrd /i\n";
        assert_eq!(parse("e", legacy).kernels[0].initrds, ["/i"]);
    }
}
