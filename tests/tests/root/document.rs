//! Documents of `nailgun_simple`: partitions back to back from 1 MiB on.

use serde_json::{Value, json};

use crate::disk::Disk;

/// A partition.
#[derive(Debug, Clone, Default)]
pub struct Part {
    mib: u64,
    flags: Vec<&'static str>,
    guid: Option<&'static str>,
    config_drive: bool,
    fs: Option<[&'static str; 4]>,
}

impl Part {
    /// One without a purpose.
    pub fn new(mib: u64) -> Self {
        Self { mib, ..Self::default() }
    }

    /// One with a flag.
    pub fn flag(mib: u64, flag: &'static str) -> Self {
        Self { flags: vec![flag], ..Self::new(mib) }
    }

    /// The config drive's.
    pub fn config_drive() -> Self {
        Self { config_drive: true, ..Self::new(20) }
    }

    /// One with a file system.
    pub fn fs(mib: u64, mount: &'static str, kind: &'static str, label: &'static str) -> Self {
        Self { fs: Some([mount, kind, label, ""]), ..Self::new(mib) }
    }

    /// With options for mkfs.
    pub fn options(mut self, options: &'static str) -> Self {
        if let Some(fs) = &mut self.fs {
            fs[3] = options;
        }
        self
    }

    /// With a type GUID.
    pub fn guid(mut self, guid: &'static str) -> Self {
        self.guid = Some(guid);
        self
    }
}

/// A document around disks and images.
pub fn simple(disks: &[(&Disk, &[Part])], images: &[(&str, Value)]) -> Value {
    let (mut parteds, mut fss) = (Vec::new(), Vec::new());
    for (disk, parts) in disks {
        let mut begin = 1;
        let mut partitions = Vec::new();
        for (number, part) in (1..).zip(*parts) {
            let device = disk.part(number);
            partitions.push(json!({
                "name": device, "count": number, "device": disk.name, "begin": begin, "end": begin + part.mib,
                "partition_type": "primary", "flags": part.flags, "guid": part.guid,
                "configdrive": part.config_drive,
            }));
            begin += part.mib;
            if let Some([mount, kind, label, options]) = part.fs {
                let mount = (!mount.is_empty()).then_some(mount);
                fss.push(json!({
                    "device": device, "mount": mount, "fs_type": kind, "fs_label": label, "fs_options": options,
                }));
            }
        }
        let boots = parts.iter().any(|part| part.flags.contains(&"bios_grub"));
        parteds.push(json!({
            "name": disk.name, "label": "gpt", "install_bootloader": boots, "partitions": partitions,
        }));
    }
    let mut document = around(images);
    document["partitioning"] = json!({"parteds": parteds, "fss": fss});
    document
}

/// A document of `nailgun` around its `ks_spaces`.
pub fn nailgun(spaces: Value, images: &[(&str, Value)]) -> Value {
    let mut document = around(images);
    document["ks_meta"]["pm_data"]["ks_spaces"] = spaces;
    document
}

/// An image of the document.
pub fn image(uri: &str, format: &str, container: &str) -> Value {
    json!({"uri": uri, "format": format, "container": container})
}

fn around(images: &[(&str, Value)]) -> Value {
    let mut data = json!({"/": image("file:///nonexistent/root.img.gz", "ext4", "gzip")});
    for (mount, image) in images {
        data[mount] = image.clone();
    }
    json!({
        "profile": "debian_12_x86_64", "hostname": "node-1.example.com",
        "name_servers": "\"10.0.2.3\"", "name_servers_search": "\"example.com\"",
        "interfaces": {"eth0": {
            "mac_address": "52:54:00:12:34:56", "ip_address": "10.0.2.15", "netmask": "255.255.255.0",
        }},
        "kernel_options": {
            "netcfg/choose_interface": "52:54:00:12:34:56", "udevrules": "52:54:00:12:34:56_eth0",
        },
        "ks_meta": {
            "auth_key": "ssh-ed25519 AAAA operator", "authorized_keys": [], "master_ip": "10.0.2.2",
            "gw": "10.0.2.2", "timezone": "UTC", "repo_setup": {"repos": []},
            "puppet_master": "puppet.example.com", "puppet_enable": 0, "mco_enable": 0,
            "image_data": data, "pm_data": {"kernel_params": "console=ttyS0", "ks_spaces": []},
        },
    })
}
