//! What can go wrong with a config drive.

use std::{io, path::PathBuf};

use bareon_host::CommandError;

use crate::objects::Bytes;

/// A config drive that cannot be made, or be used.
///
/// No message shows what a template was given: there are passwords in it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigDriveError {
    /// None of the names is a template.
    #[error(
        "no template for {kind}: none of {} is in {} or built in; put one there or set nc_template_path",
        .tried.join(", "), .dir.display()
    )]
    NoTemplate {
        /// `boothook`, `cloud_config` or `meta_data`.
        kind: &'static str,
        /// The names that were tried.
        tried: Vec<String>,
        /// Where.
        dir: PathBuf,
    },
    /// A name that leads out of the folder of templates.
    #[error(
        "the template name {name:?} of {kind} leads out of the template folder; give a name inside of it"
    )]
    Outside {
        /// `boothook`, `cloud_config` or `meta_data`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A template with a mistake, or one that does not fit its data.
    #[error("{place}: {what}")]
    Template {
        /// `file:line`.
        place: String,
        /// What is wrong there, and what to do where that is known.
        what: String,
    },
    /// The network data of the input is none.
    #[error("the config drive's {key} is {value}: {remedy}")]
    Data {
        /// The key in the template data, such as `common/admin_ip`.
        key: &'static str,
        /// Its value, as JSON.
        value: String,
        /// What it should be.
        remedy: &'static str,
    },
    /// A file could not be read or written.
    #[error("{doing} {}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The image could not be made.
    #[error("making the config drive's image")]
    Command(#[from] CommandError),
    /// There is no config drive where one is to be used as it is.
    #[error(
        "there is no config drive {}; put one there or set prepare_configdrive=true",
        .path.display()
    )]
    Absent {
        /// Where it should be.
        path: PathBuf,
    },
    /// It does not fit into its partition.
    #[error(
        "the config drive {} has {size}, its partition {max}; make the templates or the data smaller",
        .path.display()
    )]
    TooLarge {
        /// The image.
        path: PathBuf,
        /// Its size.
        size: Bytes,
        /// The partition's size.
        max: Bytes,
    },
    /// Nothing that cloud-init reads can be mounted from a disk with such sectors.
    #[error("no config drive can be mounted from a disk with sectors of {} bytes; lay it on another disk", .sector.0)]
    Sectors {
        /// The disk's logical sectors.
        sector: Bytes,
    },
    /// It has smaller blocks than the disk's sectors.
    #[error(
        "the config drive {} is {format}, which cannot be mounted from a disk with sectors of {} bytes; make one with \
         `mkfs.vfat -S {} -n cidata`, or set prepare_configdrive=true", .path.display(), .sector.0, .sector.0
    )]
    OtherSectors {
        /// The image.
        path: PathBuf,
        /// What it is.
        format: &'static str,
        /// The disk's logical sectors.
        sector: Bytes,
    },
}
