//! What is preserved.
//!
//! Who preserves something means what lies on it as well, up to the file system. What it lies on stays by itself: who
//! preserves a volume need not say that its group does. Who says the contrary is told.

use std::collections::BTreeSet;

use super::{
    Document, Report,
    names::{At, Names, holders},
};

/// What stays, with the data on it.
#[derive(Debug, Default)]
pub struct Kept {
    things: BTreeSet<At>,
    groups: BTreeSet<usize>,
}

impl Kept {
    /// Reads what stays.
    pub fn read(document: &Document, names: &Names, report: &mut Report<'_>) -> Self {
        let mut kept = Self::default();
        for (at, holder) in holders(document) {
            let content = holder.filesystem().and_then(|fs| fs.preserve);
            if holder.preserve() == Some(true) || content == Some(true) {
                kept.things.insert(at);
            }
        }
        let groups = document.volume_groups.iter().enumerate();
        kept.groups.extend(groups.filter(|(_, group)| group.preserve == Some(true)).map(|(i, _)| i));
        kept.upwards(document, names);
        kept.contradictions(document, &kept.below(names), report);
        kept
    }

    /// From partitions to arrays, from those to groups, from those to volumes.
    fn upwards(&mut self, document: &Document, names: &Names) {
        for i in 0..document.raids.len() {
            if names.below(At::Raid(i)).iter().any(|member| self.things.contains(member)) {
                self.things.insert(At::Raid(i));
            }
        }
        for (i, group) in document.volume_groups.iter().enumerate() {
            if names.group(i).iter().any(|member| self.things.contains(member)) {
                self.groups.insert(i);
            }
            if self.groups.contains(&i) {
                self.things.extend((0..group.logical_volumes.len()).map(|j| At::Volume(i, j)));
            }
        }
    }

    /// What carries that: arrays, partitions, groups.
    fn below(&self, names: &Names) -> (BTreeSet<At>, BTreeSet<usize>) {
        let (mut things, mut groups) = (BTreeSet::new(), self.groups.clone());
        let mut left: Vec<At> = self.things.iter().copied().collect();
        left.extend(self.groups.iter().flat_map(|group| names.group(*group)));
        while let Some(at) = left.pop() {
            if let At::Volume(group, _) = at {
                groups.insert(group);
            }
            left.extend(names.below(at));
            things.insert(at);
        }
        (things, groups)
    }

    fn contradictions(
        &self,
        document: &Document,
        (things, groups): &(BTreeSet<At>, BTreeSet<usize>),
        report: &mut Report<'_>,
    ) {
        const DATA: &str = "this, or something that it lies on, is preserved with all that lies on it";
        const CARRIES: &str = "this is to be made anew, and something that lies on it is preserved";
        let mut wrong = |path: String, problem| {
            report.wrong(&path, problem, "leave it out, or do not preserve the other");
        };
        for (at, holder) in holders(document) {
            let content = holder.filesystem().and_then(|fs| fs.preserve);
            let data = self.is_kept(at);
            if holder.preserve() == Some(false) && things.contains(&at) {
                wrong(format!("{}/preserve", at.path()), if data { DATA } else { CARRIES });
            }
            if content == Some(false) && data {
                wrong(format!("{}/filesystem/preserve", at.path()), DATA);
            }
        }
        for (i, group) in document.volume_groups.iter().enumerate() {
            if group.preserve == Some(false) && groups.contains(&i) {
                let problem = if self.is_group_kept(i) { DATA } else { CARRIES };
                wrong(format!("/volume_groups/{i}/preserve"), problem);
            }
        }
    }

    /// Whether this stays with its data: partition, array or volume.
    pub fn is_kept(&self, at: At) -> bool {
        self.things.contains(&at)
    }

    /// Whether this group stays with all its volumes.
    pub fn is_group_kept(&self, group: usize) -> bool {
        self.groups.contains(&group)
    }
}
