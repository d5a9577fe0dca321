//! A plan's id: what was looked at is what is done.
//!
//! A hash over all that a run would do, over the disks that it would write by who they are (serial number, WWN, size),
//! not by what they are called today, and over what it would destroy there. `apply --plan-id` makes the plan again and
//! runs it only if its id is still the same: not after the input, an image's metadata, the program or a disk changed,
//! and not if somebody put something onto one of them meanwhile.

use std::fmt::Write as _;

use super::{Action, MakeConfigDrive, Plan};
use crate::digest;

/// How many hexadecimal digits an id has: 64 bits tell plans apart, and can be read out over a telephone.
const DIGITS: usize = 16;

impl Plan {
    /// The id of what this plan does.
    pub fn id(&self) -> String {
        let mut text = format!("{} {:?}\n", env!("CARGO_PKG_VERSION"), self.firmware);
        // Writing to a `String` cannot fail.
        for (disk, identity) in &self.disks {
            let _ = writeln!(text, "{disk} {identity:?}");
        }
        for step in &self.steps {
            let _ = writeln!(text, "{} {:?} {:?}", step.stage, step.action, step.commands());
            // What may hold secrets is not in the text for people, and counts all the same.
            if let Action::MakeConfigDrive(MakeConfigDrive { rendered, .. }) = &step.action {
                let files = (&rendered.user_data, &rendered.meta_data, &rendered.network_config);
                let _ = writeln!(text, "{files:?}");
            }
        }
        for content in &self.destroys {
            let _ = writeln!(text, "destroys {content:?}");
        }
        digest::sha256(text)[..DIGITS].to_owned()
    }
}
