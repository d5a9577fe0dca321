//! Partition schemes for the `nailgun_simple` driver, put together a disk, an array, a group at a time.

use serde_json::{Value, json};

/// A partition scheme.
#[derive(Debug, Clone, Default)]
pub struct Scheme {
    parteds: Vec<Value>,
    mds: Vec<Value>,
    pvs: Vec<Value>,
    vgs: Vec<Value>,
    lvs: Vec<Value>,
    fss: Vec<Value>,
}

/// A partition of a size in MiB, back to back with the one before it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    mib: u64,
    kind: &'static str,
    flag: Option<&'static str>,
    config_drive: bool,
}

impl Part {
    /// One that only has a size.
    pub const fn new(mib: u64) -> Self {
        Self { mib, kind: "primary", flag: None, config_drive: false }
    }

    /// One with a flag of parted's.
    pub const fn flag(mib: u64, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..Self::new(mib) }
    }

    /// The extended one of a master boot record; the logical ones that follow lie in it.
    pub const fn extended(mib: u64) -> Self {
        Self { kind: "extended", ..Self::new(mib) }
    }

    /// A logical one of a master boot record.
    pub const fn logical(mib: u64) -> Self {
        Self { kind: "logical", ..Self::new(mib) }
    }

    /// The one for the config drive.
    pub const fn config_drive() -> Self {
        Self { config_drive: true, ..Self::new(20) }
    }
}

/// What lies before everything else on a disk that is booted from: GRUB's for a BIOS, the ESP.
pub const BOOT: [Part; 2] = [Part::flag(8, "bios_grub"), Part::flag(64, "esp")];

impl Scheme {
    /// Adds a disk with a GUID partition table, and answers the nodes of its partitions.
    pub fn disk(&mut self, node: &str, parts: &[Part]) -> Vec<String> {
        self.parted(node, "gpt", parts)
    }

    /// Adds a disk with a master boot record, and answers the nodes of its partitions; the logical ones are 5, 6, …
    pub fn dos_disk(&mut self, node: &str, parts: &[Part]) -> Vec<String> {
        self.parted(node, "msdos", parts)
    }

    fn parted(&mut self, node: &str, label: &str, parts: &[Part]) -> Vec<String> {
        let separator = if node.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        let (mut begin, mut primary, mut logical) = (1, 0, 4);
        let (mut names, mut partitions) = (Vec::new(), Vec::new());
        for part in parts {
            let counter = if part.kind == "logical" { &mut logical } else { &mut primary };
            *counter += 1;
            // What describes a logical partition lies before it.
            begin += u64::from(part.kind == "logical");
            let name = format!("{node}{separator}{counter}");
            partitions.push(json!({
                "name": name, "count": *counter, "device": node, "begin": begin, "end": begin + part.mib,
                "partition_type": part.kind, "flags": part.flag.iter().collect::<Vec<_>>(),
                "configdrive": part.config_drive,
            }));
            if part.kind != "extended" {
                begin += part.mib;
            }
            names.push(name);
        }
        self.parteds.push(
            json!({"name": node, "label": label, "partitions": partitions, "install_bootloader": true}),
        );
        names
    }

    /// Adds an array and answers its node.
    pub fn md(
        &mut self,
        node: &str,
        level: &str,
        metadata: &str,
        devices: &[&str],
        spares: &[&str],
    ) -> String {
        self.mds.push(json!({
            "name": node, "level": level, "metadata": metadata, "devices": devices, "spares": spares,
        }));
        node.into()
    }

    /// Adds a group of physical volumes.
    pub fn group(&mut self, name: &str, pvs: &[&str]) {
        self.pvs.extend(pvs.iter().map(|pv| json!({"name": pv, "metadatasize": 4, "metadatacopies": 2})));
        self.vgs.push(json!({"name": name, "pvnames": pvs}));
    }

    /// Adds a logical volume of a size in MiB and answers its node.
    pub fn volume(&mut self, group: &str, name: &str, mib: u64) -> String {
        self.lvs.push(json!({"name": name, "vgname": group, "size": mib}));
        format!("/dev/mapper/{}-{}", group.replace('-', "--"), name.replace('-', "--"))
    }

    /// Adds a file system.
    pub fn fs(&mut self, device: &str, mount: &str, kind: &str, label: &str) {
        self.fss.push(json!({"device": device, "mount": mount, "fs_type": kind, "fs_label": label}));
    }

    /// The scheme as documents and plans have it.
    pub fn value(&self) -> Value {
        json!({
            "parteds": self.parteds, "mds": self.mds, "pvs": self.pvs, "vgs": self.vgs, "lvs": self.lvs,
            "fss": self.fss,
        })
    }
}
