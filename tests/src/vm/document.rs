//! Input documents for the machines of the tests, in the formats of the drivers `nailgun` and `nailgun_simple`.

use serde_json::{Value, json};

use super::{
    machine::{Disk, MAC},
    scheme::Scheme,
};

/// The host name that documents give to a machine.
pub const HOSTNAME: &str = "node-1.domain.tld";
/// The address that documents give to a machine's network interface, with its prefix.
pub const ADDRESS: &str = "10.0.2.15/24";
/// A kernel parameter of every document, looked for on the running machine.
pub const KERNEL_PARAMETER: &str = "rootdelay=7";

/// A volume with a file system; `mount` may be `none` or `swap`. The size is in MiB.
pub fn partition(mount: &str, file_system: &str, size: u64, label: &str) -> Value {
    json!({
        "type": "partition", "mount": mount, "file_system": file_system, "size": size,
        "name": label, "disk_label": label,
    })
}

/// The volume for `/boot`, of a size in MiB, as the original's callers send it.
pub fn boot(size: u64) -> Value {
    json!({"type": "raid", "mount": "/boot", "file_system": "ext2", "size": size, "name": "Boot"})
}

/// A member of the mirror for `mount`, of a size in MiB: one such volume on each of its disks.
pub fn mirror(mount: &str, file_system: &str, size: u64, label: &str) -> Value {
    json!({
        "type": "raid", "mount": mount, "file_system": file_system, "size": size, "name": label, "disk_label": label,
    })
}

/// A physical volume of `group`, of a size in MiB, 24 MiB of which are metadata.
pub fn physical(group: &str, size: u64) -> Value {
    json!({"type": "pv", "vg": group, "size": size, "lvm_meta_size": 24})
}

/// An entry of the layout: a volume group with these volumes.
pub fn group(name: &str, volumes: &[Value]) -> Value {
    json!({"type": "vg", "id": name, "label": name, "min_size": 0, "_allocate_size": "all", "volumes": volumes})
}

/// A logical volume with a file system, of a size in MiB.
pub fn logical(name: &str, mount: &str, file_system: &str, size: u64) -> Value {
    json!({"type": "lv", "name": name, "mount": mount, "file_system": file_system, "size": size})
}

/// A document of `nailgun_simple` with this scheme, and the rest as [`document`] has it.
pub fn simple(scheme: &Scheme, images: &[(&str, String)], key: &str) -> Value {
    let mut document = document(&[], images, key);
    document["partitioning"] = scheme.value();
    document
}

/// Adds `words` to the kernel parameters of a document.
#[must_use]
pub fn with_kernel_parameter(mut document: Value, words: &str) -> Value {
    let parameters = &mut document["ks_meta"]["pm_data"]["kernel_params"];
    *parameters = format!("{} {words}", parameters.as_str().unwrap_or_default()).into();
    document
}

/// An entry of the layout: `disk` with these volumes, beside the two that only account for space.
pub fn disk(disk: &Disk, mut volumes: Vec<Value>) -> Value {
    volumes.insert(0, json!({"type": "boot", "size": 300}));
    volumes.push(json!({"type": "lvm_meta_pool", "size": 0}));
    json!({
        "type": "disk", "id": disk.link(), "name": disk.serial, "extra": [disk.link()],
        "size": disk.size_mib, "free_space": disk.size_mib, "volumes": volumes,
    })
}

/// A whole document. `images` are pairs of a mount point and a URI; `key` may log in by ssh.
pub fn document(layout: &[Value], images: &[(&str, String)], key: &str) -> Value {
    let image_data: serde_json::Map<String, Value> = images
        .iter()
        .map(|(mount, uri)| {
            let format = if *mount == "/boot" { "ext2" } else { "ext4" };
            ((*mount).to_owned(), json!({"uri": uri, "format": format, "container": "gzip"}))
        })
        .collect();
    json!({
        "profile": "debian_12_x86_64",
        "name": "node-1",
        "hostname": HOSTNAME,
        "name_servers": "\"10.0.2.3\"",
        "name_servers_search": "\"domain.tld\"",
        "interfaces": {
            "eth0": {
                "mac_address": MAC, "ip_address": "10.0.2.15", "netmask": "255.255.255.0",
                "dns_name": HOSTNAME, "static": "0",
            },
        },
        "interfaces_extra": {"eth0": {"onboot": "yes", "peerdns": "no"}},
        "kernel_options": {"netcfg/choose_interface": MAC, "udevrules": format!("{MAC}_eth0")},
        "ks_meta": {
            "image_data": image_data,
            "auth_key": key,
            "authorized_keys": [],
            "gw": "10.0.2.2",
            "master_ip": "10.0.2.2",
            "timezone": "Etc/UTC",
            "puppet_enable": 0, "puppet_master": "domain.tld",
            "mco_enable": 0, "mco_vhost": "mcollective", "mco_pskey": "unset", "mco_user": "mcollective",
            "mco_password": "marionette", "mco_connector": "rabbitmq", "mco_host": "10.0.2.2",
            "repo_setup": {"repos": []},
            "pm_data": {
                "kernel_params": format!("console=ttyS0,115200 loglevel=4 {KERNEL_PARAMETER} {}", super::machine::FAST),
                "ks_spaces": layout,
            },
        },
    })
}
