//! GPTs that came with an image: every call of `sgdisk(8)` is in this file.
//!
//! One call does what sfdisk needs two for, and makes up the GUID itself, so that the line is the same each time.

use crate::{Cmd, Tool, cmd::SHORT};

/// Moves the second header and table of the GPT on `disk` to the disk's end, so that they are found where firmware looks
/// for them, lets partitions reach up to there, and gives the disk a new GUID. Partitions keep theirs, as systems are
/// booted by them.
pub fn settle_in(disk: &str) -> Cmd {
    Tool::Sgdisk.cmd().time_limit(SHORT).args(["--move-second-header", "--disk-guid=R", disk])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_mends_the_table_of_an_image() {
        assert_eq!(settle_in("/dev/sda").to_string(), "sgdisk --move-second-header --disk-guid=R /dev/sda");
    }
}
