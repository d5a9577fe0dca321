//! The JSON Schema of the formats, for editors and for those who write documents by hand.
//!
//! These types describe a document; they are not what it is read into: the reader walks the
//! document itself so as to report all mistakes at once. Tests hold both against real documents.

#![expect(dead_code, reason = "the types are there for the schema that is derived from them")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

/// An operating system, and the images that it is packed into.
#[derive(JsonSchema)]
struct Images {
    #[schemars(flatten)]
    system: System,
    /// The whole tree as a tar archive, too.
    tar_image: Option<TarImage>,
    /// A disk with a table, a boot loader for BIOS and UEFI, and the whole tree, too.
    disk_image: Option<DiskImage>,
    /// A torrent beside each of these files.
    torrent: Option<Torrent>,
}

/// How torrents are made.
#[derive(JsonSchema)]
struct Torrent {
    /// Where peers tell of themselves: `http://`, `https://` or `udp://`. Without one, they are found in their own network
    /// only.
    trackers: Option<Vec<String>>,
    /// Folders on servers, by http or https, that the files will be uploaded to, for clients that fetch from there, too.
    mirrors: Option<Vec<String>>,
    /// The size of a piece in bytes: a power of two from 262144 to 16777216; by the size of the file where not given.
    piece_size: Option<u32>,
}

/// An operating system, and the ramdisk that it is packed into.
#[derive(JsonSchema)]
struct Ramdisk {
    #[schemars(flatten)]
    system: System,
    /// What only a ramdisk has.
    bootstrap: Bootstrap,
}

/// An operating system.
#[derive(JsonSchema)]
struct System {
    /// The code name of a suite of Debian or Ubuntu, such as `bookworm` or `jammy`.
    codename: String,
    /// Where the result is written: a folder for images; for a ramdisk an archive, or a folder by `bootstrap.container`.
    output: String,
    /// The repositories; the system is bootstrapped from the first.
    repos: Vec<Repo>,
    /// The images by the mount point of their file system; `/` is needed.
    image_data: BTreeMap<String, Image>,
    /// The packages that are installed; a server's, or a ramdisk's, where not given.
    #[schemars(with = "Vec<String>", default)]
    packages: Option<Vec<String>>,
    /// Proxies that packages are fetched through.
    proxies: Option<Proxies>,
    #[schemars(flatten)]
    custom: Custom,
}

/// A repository.
#[derive(JsonSchema)]
struct Repo {
    /// What it is called in messages.
    name: String,
    /// Where it lies: http, https, file, copy.
    uri: String,
    /// The suite, or the folder of a flat repository with a `/` at its end.
    suite: String,
    /// The components, separated by blanks; empty for a flat repository.
    section: String,
    /// The priority of its packages (`apt_preferences(5)`); `null` for apt's own.
    priority: Option<Priority>,
    /// Packages are taken without a look at signatures.
    trusted: Option<bool>,
    /// The key that signs it: a keyring on the build host, or the key itself, armoured. The keyrings of the suite where
    /// not given.
    #[schemars(extend("examples" = ["/usr/share/keyrings/example.gpg"]))]
    signed_by: Option<String>,
}

/// A priority.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Priority {
    /// A number.
    Number(i32),
    /// A number as some callers write it.
    Text(#[schemars(regex(pattern = r"^-?[0-9]+$"))] String),
}

/// An image.
#[derive(JsonSchema)]
struct Image {
    /// Where nodes will fetch it from; its last part is the name of the file in `output`.
    uri: String,
    /// The file system.
    format: Format,
    /// How it is packed.
    container: Container,
}

/// A tar archive.
#[derive(JsonSchema)]
struct TarImage {
    /// Where nodes will fetch it from; its last part is the name of the file in `output`.
    uri: String,
    /// How it is packed; as its name says where not given.
    container: Option<Container>,
}

/// A disk.
#[derive(JsonSchema)]
struct DiskImage {
    /// Where nodes will fetch it from; its last part is the name of the file in `output`.
    uri: String,
    /// How it is packed; as its name says where not given.
    container: Option<Container>,
    /// The file system of its root; ext4 where not given.
    format: Option<Format>,
    /// The kernel's parameters.
    kernel_params: Option<String>,
}

/// A file system.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Format {
    Ext2,
    Ext3,
    Ext4,
    Xfs,
    Btrfs,
}

/// How a file is packed.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Container {
    Raw,
    Gzip,
    Zstd,
    Xz,
}

/// Proxies.
#[derive(JsonSchema)]
struct Proxies {
    /// The proxies' URIs by protocol.
    #[schemars(default)]
    protocols: Option<Protocols>,
    /// Hosts that are reached without.
    #[schemars(default)]
    direct_repo_addr_list: Option<Vec<String>>,
}

/// The proxies' URIs.
#[derive(JsonSchema)]
struct Protocols {
    /// For http.
    http: Option<String>,
    /// For https.
    https: Option<String>,
    /// For ftp.
    ftp: Option<String>,
}

/// What the system is given beside its packages.
#[derive(JsonSchema)]
struct Custom {
    /// The hash of root's password, as `openssl passwd -6` prints it. Without it and `root_password` the account is
    /// locked.
    hashed_root_password: Option<String>,
    /// The password of root; a hash comes before it.
    root_password: Option<String>,
    /// A file on the build host with the ssh keys that may log in as root.
    root_ssh_authorized_file: Option<String>,
    /// Answers to debconf's questions, lines as `debconf-set-selections(1)` reads them.
    debconf: Option<Lines>,
    /// Folders on the build host whose content is laid over the system.
    extra_files: Option<Paths>,
    /// A script on the build host that is run in the system at the end.
    post_script_file: Option<String>,
    /// Certificates of authorities that the system is to trust, files on the build host.
    certs: Option<Paths>,
}

/// Lines.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Lines {
    /// One after the other.
    List(Vec<String>),
    /// In one text.
    Text(String),
}

/// Paths.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Paths {
    /// Several.
    List(Vec<String>),
    /// One.
    One(String),
}

/// What only a ramdisk has.
#[derive(JsonSchema)]
struct Bootstrap {
    /// The id that its importer knows it by; one that follows from the document where not given.
    uuid: Option<String>,
    /// A name for people; the id where not given.
    label: Option<String>,
    /// Kernel parameters that its importer adds.
    extend_kopts: Option<String>,
    /// The form in which it is written.
    container: Option<Form>,
    /// What it consists of.
    modules: Option<Vec<Module>>,
    #[schemars(flatten)]
    custom: Custom,
}

/// The form in which a ramdisk is written.
#[derive(JsonSchema)]
struct Form {
    /// The name of its metadata file; `metadata.yaml` where not given.
    meta_file: Option<String>,
    /// `tar.gz` where not given.
    format: Option<Written>,
}

/// How a ramdisk is written.
#[derive(JsonSchema)]
enum Written {
    /// In an archive.
    #[schemars(rename = "tar.gz")]
    Packed,
    /// In a folder.
    #[schemars(rename = "directory")]
    Folder,
}

/// A file of a ramdisk.
#[derive(JsonSchema)]
struct Module {
    /// Which.
    name: ModuleName,
    /// Where machines will fetch it from; its last part is the name of the file.
    uri: Option<String>,
    /// How it is compressed; `xz` where not given. A kernel comes as it is.
    compress_format: Option<Compression>,
}

/// What a file of a ramdisk is.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum ModuleName {
    Kernel,
    Initrd,
    Rootfs,
}

/// How a file of a ramdisk is compressed.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Compression {
    Xz,
    Gzip,
    Zstd,
}

/// The schema of `nailgun_build_image`.
pub(super) fn nailgun_build_image() -> Value {
    root::<Images>("nailgun_build_image")
}

/// The schema of `bootstrap_build_image`.
pub(super) fn bootstrap_build_image() -> Value {
    root::<Ramdisk>("bootstrap_build_image")
}

fn root<T: JsonSchema>(driver: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    schema["title"] = json!(format!("The input of the data driver {driver}"));
    schema
}
