//! The JSON Schema of both formats, for editors and for those who write documents by hand.
//!
//! As in [`nailgun::schema`] these types describe a document; they are not what it is read into.

#![expect(dead_code, reason = "the types are there for the schema that is derived from them")]

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::drivers::nailgun::schema as nailgun;

/// A document of 2017: images, and the disks that they go to.
#[derive(JsonSchema)]
struct Document {
    /// The images, one of them for `/`.
    #[schemars(length(min = 1))]
    images: Vec<Source>,
    /// The layout: disks and volume groups.
    #[schemars(length(min = 1))]
    partitions: Vec<Space>,
    /// What becomes of what lies on the disks; `verify` where it is not given.
    #[schemars(with = "Policy", default)]
    partitions_policy: Option<Policy>,
    /// What else is told to the installed system.
    #[schemars(with = "DeployData", default)]
    deploy_data: Option<DeployData>,
    /// Names the operating system, such as `centos_65_x86_64`; the image's metadata says it better.
    profile: Option<Value>,
}

/// What becomes of what lies on the disks.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Policy {
    /// The listed disks are laid out anew. All that lies on them is lost, whatever `keep_data` says.
    Clean,
    /// The layout must be there as it is described. Only file systems with `keep_data` false are made anew, and those
    /// that an image is written to.
    Verify,
    /// As `verify` where something is to be kept, else as `clean`.
    NailgunLegacy,
}

/// What else is told to the installed system.
#[derive(JsonSchema)]
struct DeployData {
    /// Parameters of its kernel.
    #[schemars(with = "String", default)]
    kernel_params: Option<String>,
}

/// An image of a file system.
#[derive(JsonSchema)]
struct Source {
    /// Its name, by which volumes call it.
    name: String,
    /// Where it is fetched from: http, https, tftp, oci or file.
    image_pull_url: String,
    /// The mount point whose volume it is written to; `/` where it is not given. One image is for `/`: one system is
    /// installed, not several.
    #[schemars(with = "String", default)]
    target: Option<String>,
    /// Whether it is booted: the one for `/` always is.
    boot: Option<YesNo>,
    /// How it is packed; as the first bytes of the file tell where it is not given.
    #[schemars(with = "nailgun::Container", default)]
    container: Option<nailgun::Container>,
    /// Its name in the image store; not used.
    image_name: Option<Value>,
    /// Its UUID in the image store; not used.
    image_uuid: Option<Value>,
}

/// A disk or a volume group.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase")]
enum Space {
    /// A disk. It gets a GPT with 24 MiB for GRUB on BIOS machines and 200 MiB for UEFI, then its volumes in their
    /// order, and the boot loader. Without volumes it is left alone.
    Disk {
        /// Which disk it is.
        id: DiskId,
        /// How much of it is used, from its beginning on, in numbers; all of it where nothing is given.
        #[schemars(with = "Size", default)]
        size: Option<Size>,
        /// What lies on it.
        volumes: Vec<Volume>,
    },
    /// A volume group of LVM, made of the `pv` volumes that name it.
    Vg {
        /// Its name.
        id: String,
        /// Its logical volumes.
        volumes: Vec<Logical>,
    },
}

/// Which disk it is; just one of the machine must be it. `bareon-provision hardware` shows what to write.
#[derive(JsonSchema)]
struct DiskId {
    /// By what it is found.
    #[schemars(rename = "type")]
    kind: DiskIdKind,
    /// The name, the path or the address.
    value: String,
}

/// By what a disk is found.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum DiskIdKind {
    /// By the kernel's name, such as `sda`, or by a link, such as `disk/by-id/…`. The kernel's names may move.
    Name,
    /// By where it is plugged in: a link such as `disk/by-path/pci-0000:00:1f.2-ata-1`.
    Path,
    /// By its SCSI address `host:channel:target:lun`, such as `1:0:0:0`.
    Scsi,
}

/// A size: whole MiB, or a text with a number and a unit (`%`, `s` for sectors, `B`, `KB` to `YB` for powers of 1000,
/// `KiB` to `YiB` for powers of 1024; no unit: MiB), or `remaining` for all that the others leave, once on a disk or in
/// a group. Percentages are of what volumes can have: the disk's size less what its table, the two partitions for
/// booting (225 MiB) and the table's mirror at the end take; the group's size in extents of 4 MiB. All become whole MiB
/// (whole extents): percentages are rounded down, others up.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Size {
    /// MiB.
    Mib(#[schemars(range(min = 1))] u64),
    /// With a unit, or `remaining`.
    Text(
        #[schemars(regex(
            pattern = r"^\s*([0-9]+(\.[0-9]+)?\s*(%|[sS]|([kKmMgGtTpPeEzZyY][iI]?)?[bB])?|[rR][eE][mM][aA][iI][nN][iI][nN][gG])\s*$"
        ))]
        String,
    ),
}

/// A volume of a disk.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase")]
enum Volume {
    /// A partition.
    Partition(Mountable),
    /// A member of the mirror for its mount point.
    Raid(Mountable),
    /// A physical volume of LVM.
    Pv {
        /// Its size.
        size: Size,
        /// The volume group that it belongs to.
        vg: String,
        /// The space for LVM's metadata, at least 10 MiB; 64 MiB where it is not given.
        #[schemars(with = "Size", default)]
        lvm_meta_size: Option<Size>,
        /// With the policy `nailgun_legacy`: the whole group stays.
        keep_data: Option<YesNo>,
    },
    /// Space that the author accounts for booting; nothing is made of it, as each disk has partitions for that.
    Boot {
        /// Not used.
        size: Option<Value>,
    },
    /// Space that the author accounts for LVM's metadata; nothing is made of it.
    #[schemars(rename = "lvm_meta_pool")]
    MetaPool {
        /// Not used.
        size: Option<Value>,
    },
}

/// A logical volume.
#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase")]
enum Logical {
    /// A logical volume.
    Lv {
        /// Its name.
        name: String,
        /// Where it lies in the installed system.
        #[schemars(flatten)]
        mountable: Mountable,
    },
}

/// A volume that may have a file system.
#[derive(JsonSchema)]
struct Mountable {
    /// Its size.
    size: Size,
    /// Where it is mounted; `swap` for swap space; `none`, or no such key: no file system.
    #[schemars(with = "String", default)]
    mount: Option<String>,
    /// The file system; `xfs` where it is not given. What an image brings stays as it is.
    #[schemars(with = "String", default)]
    file_system: Option<String>,
    /// The label of the file system.
    disk_label: Option<Value>,
    /// The GPT type GUID of a partition.
    partition_guid: Option<Value>,
    /// Whether what lies there stays, with the policies `verify` and `nailgun_legacy`. True where it is not given,
    /// unless an image is written there.
    keep_data: Option<YesNo>,
    /// The names of the images that use it; all where nothing is given. Without the image for `/` it is not entered
    /// in fstab.
    #[schemars(with = "Vec<String>", default)]
    images: Option<Vec<String>>,
    /// Its options in fstab, separated by commas.
    #[schemars(with = "String", default)]
    fstab_options: Option<String>,
    /// Whether it is entered in fstab; true where it is not given.
    fstab_enabled: Option<YesNo>,
}

/// Yes or no: a boolean, or 1 and 0.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum YesNo {
    /// The plain way.
    Plain(bool),
    /// As older callers write it.
    Number(#[schemars(range(min = 0, max = 1))] u8),
    /// As if it were not given.
    Nothing(()),
}

/// The schema of both formats: `partitions`, or `images` alone, makes a document one of 2017.
pub fn ironic() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let meta_schema = settings.meta_schema.clone();
    let mut generator = settings.into_generator();
    let (new, old) = (generator.subschema_for::<Document>(), generator.subschema_for::<nailgun::Ironic>());
    json!({
        "$schema": meta_schema,
        "title": "The input of the data driver ironic",
        "if": {"anyOf": [{"required": ["partitions"]}, {"required": ["images"], "not": {"required": ["ks_meta"]}}]},
        "then": new,
        "else": old,
        "$defs": generator.take_definitions(true),
    })
}
