//! What is on the disks already and stays.
//!
//! Kept data are only as safe as the layout is true: a file system is made, or an image written, where the layout says,
//! and what is kept must not lie there. So all that is kept is compared with what there is, and one difference forbids
//! the run. What does not show while it is not running (volumes on an array that nobody assembled) is brought up first
//! and compared then, still before anything is written.
//!
//! - `volumes`: arrays, groups and their volumes compared with the layout
//! - `up`: they are assembled and activated; kept file systems are looked at
//! - `group`: volumes of a kept group that are made anew

mod group;
mod up;
mod volumes;

pub use group::{ChangeGroup, Room};
pub use up::{BringUp, KeepError};
pub use volumes::{find_group, volumes};

use crate::objects::Bytes;

/// How far a place or size may be from what the layout says: older tools rounded to cylinders and megabytes.
pub const TOLERANCE: Bytes = Bytes(1 << 20);

/// A kept thing that is not as the layout has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its place in the objects, such as `/partition_scheme/mds/0`.
    pub path: String,
    /// The device or group.
    pub name: String,
    /// What the layout says.
    pub layout: String,
    /// What is there.
    pub found: String,
    /// What to do, where more can be said than to correct the layout.
    pub remedy: Option<String>,
}

impl Difference {
    /// Both sides, for people.
    pub fn problem(&self) -> String {
        let Self { name, layout, found, .. } = self;
        format!("{name} is to be kept, and differs: the layout says {layout}, the disk has {found}")
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        const USUAL: &str = "correct the layout to what `lsblk` shows, or set keep_data to false everywhere (in \
                             ironic's format of 2017, partitions_policy to clean) to lay the disks out anew (their \
                             data are lost)";
        self.remedy.clone().unwrap_or_else(|| USUAL.into())
    }
}
