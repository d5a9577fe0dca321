//! The JSON Schema of the formats, for editors and for those who write documents by hand.
//!
//! These types describe a document; they are not what it is read into: the reader walks the
//! document itself so as to report all mistakes at once. Tests hold both against real documents.

#![expect(dead_code, reason = "the types are there for the schema that is derived from them")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

/// Provisioning data of one machine.
#[derive(JsonSchema)]
struct Nailgun {
    /// Names the operating system and so the templates of the config drive, such as `ubuntu_1404_x86_64`.
    profile: String,
    /// The machine's name with its domain.
    hostname: String,
    /// The name servers, a text (often with quotes inside) or a list.
    name_servers: Option<Value>,
    /// The domains that names are looked up in, a text or a list.
    name_servers_search: Option<Value>,
    /// The network interfaces by name.
    interfaces: BTreeMap<String, Interface>,
    /// Parameters of the ramdisk's kernel that are of use here.
    kernel_options: KernelOptions,
    /// The settings of the machine.
    ks_meta: KsMeta<NailgunData>,
}

/// `nailgun_simple`.
#[derive(JsonSchema)]
struct Simple {
    /// Names the operating system and so the templates of the config drive, such as `ubuntu_1404_x86_64`.
    profile: String,
    /// The machine's name with its domain.
    hostname: String,
    /// The name servers, a text (often with quotes inside) or a list.
    name_servers: Option<Value>,
    /// The domains that names are looked up in, a text or a list.
    name_servers_search: Option<Value>,
    /// The network interfaces by name.
    interfaces: BTreeMap<String, Interface>,
    /// Parameters of the ramdisk's kernel that are of use here.
    kernel_options: KernelOptions,
    /// The settings of the machine.
    ks_meta: KsMeta<SimpleData>,
    /// What lies on the disks, taken as given.
    partitioning: Value,
}

/// A document of 2016: `nailgun` cut down to disks and images.
#[derive(JsonSchema)]
pub struct Ironic {
    /// Names the operating system, such as `centos_65_x86_64`; it may be empty.
    profile: String,
    /// The settings of the machine.
    ks_meta: IronicMeta,
}

/// A network interface.
#[derive(JsonSchema)]
struct Interface {
    /// Its hardware address; the one that `netcfg/choose_interface` names is the admin interface.
    mac_address: Option<String>,
    /// Its IP address; the admin interface needs one.
    ip_address: Option<String>,
    /// Its netmask; the admin interface needs one.
    netmask: Option<String>,
}

/// Parameters of the ramdisk's kernel.
#[derive(JsonSchema)]
struct KernelOptions {
    /// The hardware address of the admin interface.
    #[schemars(rename = "netcfg/choose_interface")]
    choose_interface: String,
    /// The names that interfaces are to have: `mac_nic,mac_nic,…`.
    udevrules: String,
}

/// The settings of the machine.
#[derive(JsonSchema)]
#[schemars(rename = "KsMeta_{D}")]
struct KsMeta<D> {
    /// A public key that may log in; it may be empty.
    auth_key: Option<String>,
    /// Public keys that may log in.
    #[schemars(default)]
    authorized_keys: Option<Vec<String>>,
    /// The address of the master node.
    master_ip: Option<String>,
    /// The default gateway.
    gw: Option<String>,
    /// The time zone; `America/Los_Angeles` where it is not given.
    timezone: Option<String>,
    /// Package repositories, for the templates.
    repo_setup: Option<RepoSetup>,
    /// The Puppet master.
    puppet_master: Option<Value>,
    /// Whether Puppet is set up: 0 or 1.
    puppet_enable: Option<Value>,
    /// MCollective's pre-shared key.
    mco_pskey: Option<Value>,
    /// MCollective's virtual host.
    mco_vhost: Option<Value>,
    /// The host of MCollective's broker.
    mco_host: Option<Value>,
    /// MCollective's user.
    mco_user: Option<Value>,
    /// MCollective's password.
    mco_password: Option<Value>,
    /// MCollective's connector: `rabbitmq` or `stomp`.
    mco_connector: Option<Value>,
    /// Whether MCollective is set up: 0 or 1; with 1 all keys but the connector are needed.
    mco_enable: Option<Value>,
    /// File names of templates by kind: `boothook`, `cloud_config`, `meta_data`.
    cloud_init_templates: Option<BTreeMap<String, String>>,
    /// Whether a CentOS 6 may boot kernels that are not its own 2.6; any value that counts as yes.
    kernel_lt: Option<Value>,
    /// The images by the mount point of their file system; `/` is needed.
    image_data: BTreeMap<String, ImageData>,
    /// The disks and the kernel's parameters.
    pm_data: D,
}

/// The settings of the machine.
#[derive(JsonSchema)]
struct IronicMeta {
    /// Whether a CentOS 6 may boot kernels that are not its own 2.6; any value that counts as yes.
    kernel_lt: Option<Value>,
    /// The images by the mount point of their file system; `/` is needed.
    image_data: BTreeMap<String, ImageData>,
    /// The disks and the kernel's parameters.
    pm_data: NailgunData,
}

/// The repositories.
#[derive(JsonSchema)]
struct RepoSetup {
    /// The repositories: `name`, `type`, `uri`, `suite`, `section`, `priority`.
    repos: Option<Vec<Value>>,
}

/// An image.
#[derive(JsonSchema)]
struct ImageData {
    /// Where it is fetched from: http, https, tftp, oci or file.
    uri: String,
    /// The file system within, such as `ext4`.
    format: String,
    /// How it is packed.
    container: Container,
}

/// How an image is packed.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Container {
    /// gzip, of one member or more.
    Gzip,
    /// Zstandard, of one frame or more.
    Zstd,
    /// xz, of one stream or more.
    Xz,
    /// bzip2, of one stream or more.
    Bzip2,
    /// lz4, of one frame or more.
    Lz4,
    /// Not at all.
    Raw,
    /// As the first bytes of the file tell.
    Auto,
}

/// The disks and the kernel's parameters.
#[derive(JsonSchema)]
struct NailgunData {
    /// Parameters of the installed system's kernel.
    kernel_params: String,
    /// The layout: disks and volume groups.
    #[schemars(length(min = 1))]
    ks_spaces: Vec<Space>,
}

/// The kernel's parameters.
#[derive(JsonSchema)]
struct SimpleData {
    /// Parameters of the installed system's kernel.
    kernel_params: String,
    /// Not used in this format.
    ks_spaces: Option<Value>,
}

/// A disk or a volume group.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase")]
enum Space {
    /// A disk.
    Disk {
        /// A link below `/dev/` that is compared where `extra` is empty.
        id: String,
        /// The kernel's name, such as `sda`.
        name: String,
        /// Its size in MiB; 0: it is left alone.
        size: i64,
        /// Links below `/dev/`; those in `disk/by-id/` are compared.
        extra: Vec<String>,
        /// Space that is left, in MiB; not used.
        free_space: i64,
        /// What lies on it, in order.
        volumes: Vec<Volume>,
    },
    /// A volume group of LVM.
    Vg {
        /// Its name.
        id: String,
        /// A name for people; not used.
        label: Option<String>,
        /// Not used.
        min_size: Option<i64>,
        /// Not used.
        #[schemars(rename = "_allocate_size")]
        allocate_size: Option<String>,
        /// Its logical volumes.
        volumes: Vec<Logical>,
    },
}

/// A volume of a disk.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "snake_case")]
enum Volume {
    /// A partition.
    Partition(Mountable),
    /// A member of the mirror for its mount point; for `/boot` a plain partition.
    Raid(Mountable),
    /// A physical volume of LVM.
    Pv {
        /// Its size in MiB; 0 or less: it is skipped.
        size: i64,
        /// The volume group.
        vg: String,
        /// Space for LVM's metadata in MiB, at least 10.
        lvm_meta_size: i64,
        /// The group, its logical volumes and their file systems are kept.
        keep_data: Option<Keep>,
    },
    /// Space that is accounted for.
    Boot {
        /// Its size in MiB.
        size: i64,
    },
    /// Space that is accounted for.
    LvmMetaPool {
        /// Its size in MiB.
        size: i64,
    },
}

/// A partition or a member of a mirror.
#[derive(JsonSchema)]
struct Mountable {
    /// Its size in MiB; 0 or less: it is skipped.
    size: i64,
    /// Where it is mounted; `none`, or no such key: no file system.
    #[schemars(with = "String", default)]
    mount: Option<String>,
    /// The file system; `xfs` where it is not given (`ext2` for a `raid` volume at `/boot`).
    #[schemars(with = "String", default)]
    file_system: Option<String>,
    /// A name; `ceph` and `cephjournal` have a meaning.
    #[schemars(with = "String", default)]
    name: Option<String>,
    /// The label of the file system.
    disk_label: Option<Value>,
    /// The GPT type GUID of the partition.
    partition_guid: Option<Value>,
    /// What lies there stays.
    keep_data: Option<Keep>,
}

/// A logical volume.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase")]
enum Logical {
    /// A logical volume.
    Lv {
        /// Its name.
        name: String,
        /// Its size in MiB; 0 or less: it is skipped.
        size: i64,
        /// Where it is mounted; `none`, or no such key: no file system.
        #[schemars(with = "String", default)]
        mount: Option<String>,
        /// The file system; `xfs` where it is not given.
        #[schemars(with = "String", default)]
        file_system: Option<String>,
        /// The label of the file system.
        disk_label: Option<Value>,
    },
}

/// Yes or no: a boolean, or 1 and 0.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Keep {
    /// The plain way.
    Flag(bool),
    /// As older callers write it.
    Number(#[schemars(range(min = 0, max = 1))] u8),
}

/// The schema of `nailgun`.
pub fn nailgun() -> Value {
    root::<Nailgun>("The input of the data driver nailgun")
}

/// The schema of `nailgun_simple`, whose layout has the schema `partitioning`.
pub fn nailgun_simple(partitioning: Value) -> Value {
    let mut schema = root::<Simple>("The input of the data driver nailgun_simple");
    schema["properties"]["partitioning"] = partitioning;
    schema
}

fn root<T: JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    schema["title"] = json!(title);
    schema["properties"]["ks_meta"]["description"] = json!("The settings of the machine.");
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_are_those_that_can_be_unpacked() {
        let schema = schemars::schema_for!(Container).to_value().to_string();
        let auto = bareon_image::Container::AUTO;
        for container in
            bareon_image::Container::ALL.map(bareon_image::Container::name).into_iter().chain([auto])
        {
            assert!(schema.contains(&format!("\"{container}\"")), "{container}: {schema}");
        }
    }
}
