//! The one table of options.
//!
//! Flags, names of the environment, keys of the configuration file, the [`Settings`], the sample
//! configuration and the manual all come from the table in this file. Adding an option is adding a
//! line to it.

use std::{path::PathBuf, time::Duration};

use super::{
    syslog::Facility,
    value::{
        AuditBoot, Bootstrapper, BuildIn, EfiBootOrder, Endpoints, Firmware, Kind, List, LogFormat, Rate,
        Ratio, Reimage, Setting, Timeout, Verify,
    },
};
use crate::objects::Bytes;

/// What is known of an option.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Its key in the configuration file; with dashes for underscores it is the flag.
    pub name: &'static str,
    /// Its value where nobody gave one; empty is none.
    pub default: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it does, or, where it has no meaning any more, why not.
    pub help: &'static str,
    /// Under which heading it is shown.
    pub group: Group,
    /// Which programs have it.
    pub of: Of,
}

/// Which programs have an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// All.
    All,
    /// `bareon-provision`.
    Provision,
    /// `bareon-build-image`.
    Build,
}

impl Of {
    /// Whether the program `program` has what these have.
    pub fn has(self, program: Self) -> bool {
        self == Self::All || self == program
    }

    /// The program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "bareon",
            Self::Provision => "bareon-provision",
            Self::Build => "bareon-build-image",
        }
    }
}

/// The headings under which options are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What one needs every day.
    Everyday,
    /// Logging and reports.
    Logging,
    /// How images are fetched.
    Transfer,
    /// What a site may tune.
    Advanced,
    /// Accepted because callers give it, without a meaning.
    Unused,
}

impl Group {
    /// The heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Everyday => "Options",
            Self::Logging => "Logging and reports",
            Self::Transfer => "Fetching images",
            Self::Advanced => "Advanced",
            Self::Unused => "Accepted, without effect",
        }
    }
}

impl Opt {
    /// The flag, without its two dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its value where nobody gave one, in a program whose data driver is then `driver`.
    pub fn default_of(&self, driver: &'static str) -> &'static str {
        if self.name == "data_driver" { driver } else { self.default }
    }

    /// A variable that other programs know, too.
    pub fn foreign_variable(&self) -> Option<&'static str> {
        (self.name == "source_date_epoch").then_some("SOURCE_DATE_EPOCH")
    }

    /// The variable of the environment.
    pub fn variable(&self) -> String {
        format!("BAREON_{}", self.name.to_ascii_uppercase())
    }
}

/// The option called `name`, with underscores.
pub fn find(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| opt.name == name)
}

macro_rules! options {
    (
        $( $group:ident of $of:ident { $( $name:ident: $type:ty = $default:literal, $help:literal; )* } )*
        [unused] { $( $old:ident: $old_type:ty = $old_default:literal, $why:literal; )* }
    ) => {
        /// All options, in the order in which they are shown.
        pub const OPTIONS: &[Opt] = &[
            $($( Opt {
                name: stringify!($name),
                default: $default,
                kind: <$type as Setting>::KIND,
                help: $help,
                group: Group::$group,
                of: Of::$of,
            }, )*)*
            $( Opt {
                name: stringify!($old),
                default: $old_default,
                kind: <$old_type as Setting>::KIND,
                help: $why,
                group: Group::Unused,
                of: Of::All,
            }, )*
        ];

        /// The values of all options that have a meaning.
        #[derive(Debug, Clone, Default)]
        pub struct Settings {
            $($( #[doc = $help] pub $name: $type, )*)*
        }

        impl Settings {
            /// Makes the settings from `value`, which is asked for each option by name and type.
            pub(super) fn from_values(values: &mut impl Values) -> Self {
                Self { $($( $name: values.value(stringify!($name)), )*)* }
            }
        }
    };
}

/// Something that knows the value of each option.
pub(super) trait Values {
    /// The value of the option called `name`.
    fn value<T: Setting>(&mut self, name: &'static str) -> T;
}

options! {
    Everyday of All {
        data_driver: String = "nailgun", "Format of the input document: the name of a data driver; each program has its own.";
        input_data_file: PathBuf = "/tmp/provision.json", "The input document, YAML or JSON.";
        input_data: Option<String> = "", "The input document itself, in place of a file.";
        debug: bool = "false", "Log everything: each command, its outputs, each MiB written.";
        verbose: bool = "true", "Log what is done, not warnings and errors alone.";
        log_file: Option<PathBuf> = "", "File that the log is appended to, in place of standard error.";
        report: Option<PathBuf> = "", "File that a report of the run is written to, as JSON.";
    }
    Everyday of Provision {
        firmware: Firmware = "auto", "Firmware that the boot loader is installed for; auto: the one that booted this system.";
        audit_boot: AuditBoot = "fail", "Whether a run fails when what it installed would not boot, only warns, or does not look.";
        prepare_configdrive: bool = "true", "Make the config drive; if not, the one at `config_drive_path` is used as it is.";
    }
    Everyday of Build {
        image_build_dir: PathBuf = "/tmp", "Where images are built; a folder is made in it, and removed at the end.";
        bootstrapper: Bootstrapper = "debootstrap", "Program that makes the base of the system.";
        cache_dir: Option<PathBuf> = "", "Where downloaded packages are kept for later builds; empty: nowhere.";
        sign_key: Option<PathBuf> = "", "Secret key of minisign that the metadata of the images are signed with.";
    }
    Logging of All {
        log_dir: Option<PathBuf> = "", "Directory of the log file; without `log_file` it is named after the program.";
        log_format: LogFormat = "text", "How the log is written: lines of text, or one JSON object per line.";
        use_stderr: bool = "false", "Log to standard error beside the log file.";
        use_syslog: bool = "false", "Log to syslog, too.";
        syslog_log_facility: Facility = "LOG_USER", "Facility of the records that go to syslog.";
    }
    Transfer of Provision {
        http_max_retries: u64 = "30", "How often a request is tried again; 0 is for ever.";
        http_request_timeout: Timeout = "10.0", "How long a server may be silent.";
        http_retry_delay: Duration = "2.0", "How long to wait before the first retry; later ones wait longer.";
        ca_file: Option<PathBuf> = "", "Certificate authorities (PEM) trusted for https beside the system's.";
        client_cert: Option<PathBuf> = "", "Certificate (PEM) shown to a server that asks for one; its key may be in it.";
        client_key: Option<PathBuf> = "", "Key (PEM) of `client_cert`, where it is a file of its own.";
        allow_unverified: bool = "false", "Write images also where nothing tells whether they are whole and the right ones: no sum of them is known.";
        verify: Verify = "stream", "How it is made sure that an image stands on its disk: by the sums of what was written and flushed, or by reading it back, too.";
        reimage: Reimage = "full", "Whether what stands on a disk is looked at before an image with a chunk index is written over it: then only what differs is fetched and written.";
        memory_limit: Bytes = "256MiB", "How much memory all images that are written at once may take.";
        download_dir: Option<PathBuf> = "", "Where a qcow2 image is kept until it is unpacked; empty: in memory, as far as `memory_limit` goes.";
        torrent_timeout: Timeout = "30.0", "How long nobody may give anything of a torrent before another address of the image is tried.";
        torrent_seed_seconds: Duration = "0", "How long a written image that came by a torrent is given to others before the run goes on; while it is fetched, what is there already is given in any case.";
        torrent_seed_ratio: Ratio = "0", "How many times its length others are given of a written image at most; 0 for no limit.";
        torrent_upload_limit: Option<Rate> = "", "How many bytes of a torrent others are given in a second at most; empty: no limit.";
        torrent_dht: bool = "false", "Look for peers of a torrent in the DHT, too, which asks machines anywhere in the world.";
        torrent_dht_routers: Endpoints = "", "Who is asked for the way into the DHT, for one of your own; empty: the routers that the world uses.";
        torrent_lsd: bool = "true", "Look for peers of a torrent by multicast in the local network.";
        torrent_spool: Option<PathBuf> = "", "Folder on a disk that packed images of torrents are kept in when `memory_limit` is too small for them; empty: the free end of the target, where the image's size is known.";
        image_keys: List = "", "Public keys of minisign, or files with one, separated by commas: only images are written whose metadata one of them signed.";
    }
    Advanced of Provision {
        drivers_dir: PathBuf = "/usr/lib/bareon/drivers", "Where data drivers are that were installed on their own.";
        nc_template_path: PathBuf = "/usr/share/bareon/cloud-init-templates", "Where the cloud-init templates are.";
        tmp_path: PathBuf = "/tmp", "Where temporary files and mount points are made.";
        config_drive_path: PathBuf = "/tmp/config-drive.img", "The config drive's image.";
        udev_rules_dir: PathBuf = "/etc/udev/rules.d", "Where the installed system keeps its udev rules.";
        fix_udev_net_rules: bool = "true", "Write udev rules that keep the names of the network interfaces.";
        grub_timeout: u64 = "5", "How many seconds GRUB shows its menu.";
        backup_dir: Option<PathBuf> = "/var/lib/bareon/backup", "Where the metadata of disks is saved before they are laid out, for undo; empty: nowhere.";
        skip_md_containers: bool = "true", "Refuse a disk that belongs to firmware RAID; if not, its container is removed.";
        efi_boot_order: EfiBootOrder = "keep", "Where the installed system goes in UEFI's boot order.";
    }
    Advanced of Build {
        fetch_packages_attempts: u64 = "10", "How often the download of packages is tried.";
        build_in: BuildIn = "auto", "Where the tree of the system is built: in memory, on the disk of `image_build_dir`, or in memory if that is large enough.";
        image_build_suffix: String = ".bareon-image", "Ending of the names of folders and files that are not whole yet.";
        source_date_epoch: Option<u64> = "", "Time that images and metadata bear, in seconds since 1970; empty: as the environment has it in `SOURCE_DATE_EPOCH`, else that of the newest Release file.";
    }
    [unused] {
        udev_rules_lib_dir: PathBuf = "/lib/udev/rules.d", "udev is kept off a disk by a lock on it, its rules are left alone";
        udev_rename_substr: String = ".renamedrule", "udev is kept off a disk by a lock on it, its rules are left alone";
        udev_empty_rule: String = "empty_rule", "udev is kept off a disk by a lock on it, its rules are left alone";
        data_chunk_size: u64 = "1048576", "the block size is chosen by the program";
        read_chunk_size: u64 = "1048576", "the block size is chosen by the program";
        execute_retry_delay: Duration = "2.0", "a command is not tried again: what it needs is waited for";
        max_loop_devices_count: u64 = "255", "the kernel is asked for a loop device, where one is needed at all";
        max_allowed_attempts_attach_image: u64 = "10", "the kernel is asked for a loop device, where one is needed at all";
        loop_device_major_number: u64 = "7", "the kernel is asked for a loop device, where one is needed at all";
        sparse_file_size: u64 = "8192", "a file system is made as large as what it holds";
        allow_unsigned_file: String = "allow_unsigned_packages", "the settings of apt for a build are not files of the image";
        force_ipv4_file: String = "force_ipv4", "the settings of apt for a build are not files of the image";
    }
}
