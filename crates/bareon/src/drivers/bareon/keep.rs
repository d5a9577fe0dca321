//! What is preserved, and what has to stay for it.
//!
//! Whoever preserves a volume need not say that its group, and all that this lies on, stays as well. Who says the
//! contrary is told.

use std::collections::BTreeSet;

use super::{
    Document, Report,
    names::{At, Names, holders},
};

/// What stays.
#[derive(Debug, Default)]
pub struct Kept {
    things: BTreeSet<At>,
    groups: BTreeSet<usize>,
    contents: BTreeSet<At>,
}

impl Kept {
    /// Reads what stays.
    pub fn read(document: &Document, names: &Names, report: &mut Report<'_>) -> Self {
        let mut kept = Self::default();
        let holders = holders(document);
        for (at, holder) in &holders {
            let own = holder.preserve();
            let content = holder.filesystem().and_then(|fs| fs.preserve);
            if own == Some(true) || content == Some(true) {
                kept.keep(*at, names);
            }
            if content.or(own) == Some(true) && holder.is_formatted() {
                kept.contents.insert(*at);
            }
        }
        for (i, group) in document.volume_groups.iter().enumerate() {
            if group.preserve == Some(true) {
                kept.keep_group(i, names);
            }
        }
        for (at, holder) in holders {
            if holder.preserve() == Some(false) && kept.is_kept(at) {
                contrary(&at.path(), report);
            }
        }
        for (i, group) in document.volume_groups.iter().enumerate() {
            if group.preserve == Some(false) && kept.is_group_kept(i) {
                contrary(&format!("/volume_groups/{i}"), report);
            }
        }
        kept
    }

    fn keep(&mut self, at: At, names: &Names) {
        self.things.insert(at);
        match at {
            At::Volume(group, _) => self.keep_group(group, names),
            _ => names.below(at).into_iter().for_each(|below| self.keep(below, names)),
        }
    }

    fn keep_group(&mut self, group: usize, names: &Names) {
        self.groups.insert(group);
        names.group(group).iter().for_each(|member| self.keep(*member, names));
    }

    /// Whether this stays: partition, array or volume.
    pub fn is_kept(&self, at: At) -> bool {
        self.things.contains(&at)
    }

    /// Whether this group stays.
    pub fn is_group_kept(&self, group: usize) -> bool {
        self.groups.contains(&group)
    }

    /// Whether the file system that lies there stays.
    pub fn is_content_kept(&self, at: At) -> bool {
        self.contents.contains(&at)
    }
}

fn contrary(path: &str, report: &mut Report<'_>) {
    let problem = "this is to be made anew, and what lies on it is preserved";
    report.wrong(&format!("{path}/preserve"), problem, "leave it out, or preserve nothing on it");
}
