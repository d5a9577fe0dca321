//! Suites: the operating systems behind their code names, and what these are usually made of.
//!
//! The lists are for machines with disks, booted by BIOS or UEFI, and hold what provisioning asks of an image: a kernel,
//! GRUB for both firmwares, cloud-init, and the tools of each file system that a layout may have.

use serde_json::{Value, json};

use crate::objects::OperatingSystem;

/// Who makes a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Debian,
    Ubuntu,
}

/// Debian's suites with their major versions. Those that move have none.
const DEBIAN: [(&str, u64); 16] = [
    ("wheezy", 7),
    ("jessie", 8),
    ("stretch", 9),
    ("buster", 10),
    ("bullseye", 11),
    ("bookworm", 12),
    ("trixie", 13),
    ("forky", 14),
    ("duke", 15),
    ("oldoldstable", MOVES),
    ("oldstable", MOVES),
    ("stable", MOVES),
    ("testing", MOVES),
    ("sid", MOVES),
    ("unstable", MOVES),
    ("rc-buggy", MOVES),
];

const MOVES: u64 = u64::MAX;

/// Ubuntu's suites with their versions: year and month.
const UBUNTU: [(&str, u64, u64); 28] = [
    ("precise", 12, 4),
    ("quantal", 12, 10),
    ("raring", 13, 4),
    ("saucy", 13, 10),
    ("trusty", 14, 4),
    ("utopic", 14, 10),
    ("vivid", 15, 4),
    ("wily", 15, 10),
    ("xenial", 16, 4),
    ("yakkety", 16, 10),
    ("zesty", 17, 4),
    ("artful", 17, 10),
    ("bionic", 18, 4),
    ("cosmic", 18, 10),
    ("disco", 19, 4),
    ("eoan", 19, 10),
    ("focal", 20, 4),
    ("groovy", 20, 10),
    ("hirsute", 21, 4),
    ("impish", 21, 10),
    ("jammy", 22, 4),
    ("kinetic", 22, 10),
    ("lunar", 23, 4),
    ("mantic", 23, 10),
    ("noble", 24, 4),
    ("oracular", 24, 10),
    ("plucky", 25, 4),
    ("questing", 25, 10),
];

/// What is known of a suite: whose it is, and its version.
fn known(codename: &str) -> Option<(Family, u64, u64)> {
    let debian =
        DEBIAN.iter().find(|(name, _)| *name == codename).map(|(_, major)| (Family::Debian, *major, 0));
    let ubuntu = UBUNTU.iter().find(|(name, ..)| *name == codename);
    debian.or(ubuntu.map(|(_, major, minor)| (Family::Ubuntu, *major, *minor)))
}

/// The operating system by its code name.
pub(super) fn operating_system(codename: &str) -> OperatingSystem {
    let unknown = || json!("unknown");
    let number = |number: u64| if number == MOVES { unknown() } else { Value::from(number) };
    match known(codename) {
        Some((Family::Debian, major, _)) => {
            OperatingSystem { name: "Debian".into(), major: number(major), minor: unknown() }
        }
        Some((Family::Ubuntu, major, minor)) => {
            OperatingSystem { name: "Ubuntu".into(), major: number(major), minor: number(minor) }
        }
        None => OperatingSystem { name: "OperatingSystem".into(), major: unknown(), minor: unknown() },
    }
}

/// What a server is made of; nothing for a suite of which that is not known.
pub(super) fn server(codename: &str) -> Option<Vec<&'static str>> {
    if codename == "trusty" {
        return Some(TRUSTY.to_vec());
    }
    let (family, major, minor) = known(codename)?;
    let mut packages = system(family, major, minor)?;
    packages.extend(SERVER);
    packages.extend(FILE_SYSTEMS);
    // cloud-init hands the network to it, and it starts networkd, which Debian leaves off.
    let netplan = match family {
        Family::Debian => major >= 11,
        Family::Ubuntu => true,
    };
    packages.extend(netplan.then_some("netplan.io"));
    Some(sorted(packages))
}

/// What the ramdisk is made of that machines are provisioned in.
pub(super) fn ramdisk(codename: &str) -> Option<Vec<&'static str>> {
    if codename == "trusty" {
        return Some(TRUSTY.to_vec());
    }
    let (family, major, minor) = known(codename)?;
    let mut packages = system(family, major, minor)?;
    packages.extend(RAMDISK);
    packages.extend(FILE_SYSTEMS);
    // Names are resolved without a daemon, and nothing lives long enough to care for the time.
    packages.retain(|name| !["systemd-resolved", "systemd-timesyncd"].contains(name));
    Some(sorted(packages))
}

fn sorted(mut packages: Vec<&'static str>) -> Vec<&'static str> {
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// A system with kernel, network and ssh. Suites before systemd have none.
fn system(family: Family, major: u64, minor: u64) -> Option<Vec<&'static str>> {
    let version = (major, minor);
    let (oldest, kernel, timesyncd, resolved) = match family {
        Family::Debian => ((9, 0), "linux-image-amd64", (11, 0), (12, 0)),
        Family::Ubuntu => ((18, 4), "linux-image-generic", (20, 4), (23, 10)),
    };
    if version < oldest {
        return None;
    }
    let mut packages = SYSTEM.to_vec();
    packages.push(kernel);
    // Before, these were a part of systemd itself.
    packages.extend((version >= timesyncd).then_some("systemd-timesyncd"));
    packages.extend((version >= resolved).then_some("systemd-resolved"));
    Some(packages)
}

const SYSTEM: [&str; 16] = [
    "ca-certificates",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "netbase",
    "openssh-server",
    "passwd",
    "procps",
    "sudo",
    "systemd-sysv",
    "udev",
    "vim-tiny",
    "zstd",
];

const FILE_SYSTEMS: [&str; 7] =
    ["btrfs-progs", "dosfstools", "e2fsprogs", "efibootmgr", "lvm2", "mdadm", "xfsprogs"];

const SERVER: [&str; 6] =
    ["cloud-init", "grub-efi-amd64-bin", "grub-pc-bin", "grub2-common", "python3-cffi-backend", "tzdata"];

/// What provisioning runs, and what the ramdisk's own files need (`contrib/ramdisk`): busybox and live-boot in its initramfs,
/// curl to fetch the input.
const RAMDISK: [&str; 12] = [
    "busybox",
    "curl",
    "ethtool",
    "fdisk",
    "kpartx",
    "live-boot",
    "mount",
    "nvme-cli",
    "pciutils",
    "util-linux",
    "xorriso",
    "xz-utils",
];

/// What the original installed, on the one suite that it knew.
const TRUSTY: [&str; 42] = [
    "acl",
    "anacron",
    "bash-completion",
    "bridge-utils",
    "bsdmainutils",
    "build-essential",
    "cloud-init",
    "curl",
    "daemonize",
    "debconf-utils",
    "gdisk",
    "grub-pc",
    "i40e-dkms",
    "linux-firmware",
    "linux-firmware-nonfree",
    "linux-headers-generic-lts-trusty",
    "linux-image-generic-lts-trusty",
    "lvm2",
    "mcollective",
    "mdadm",
    "nailgun-agent",
    "nailgun-mcagents",
    "network-checker",
    "ntp",
    "openssh-client",
    "openssh-server",
    "puppet",
    "python-amqp",
    "ruby-augeas",
    "ruby-ipaddress",
    "ruby-json",
    "ruby-netaddr",
    "ruby-openstack",
    "ruby-shadow",
    "ruby-stomp",
    "telnet",
    "ubuntu-minimal",
    "ubuntu-standard",
    "uuid-runtime",
    "vim",
    "virt-what",
    "vlan",
];
