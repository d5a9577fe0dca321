//! The mask of new files (umask(2)) while a tree is made: what is in an image does not hang on how strict the one is who
//! builds it. Files beside the tree, the images above all, keep to his.

use nix::sys::stat::{Mode, umask};

/// New files are for all to read and for their owner to write, until this is dropped.
#[derive(Debug)]
pub struct Umask {
    before: Mode,
}

impl Umask {
    /// As a system has it that is installed by hand.
    pub fn usual() -> Self {
        Self { before: umask(Mode::S_IWGRP | Mode::S_IWOTH) }
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        umask(self.before);
    }
}
