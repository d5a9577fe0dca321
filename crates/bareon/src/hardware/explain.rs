//! Which disk of the machine each disk of an input is, and why no other: what `explain-disk` answers.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    BlockDevice,
    matching::{Asked, Candidate, DiskMatch, candidates, find_disk},
};

/// A disk of the input, with what was found for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// Where it stands in the input, as a JSON pointer.
    pub input_path: String,
    /// What the input asks for, for people.
    pub wanted: String,
    /// The disk that is taken.
    pub found: Option<DiskMatch>,
    /// Why none is.
    pub problem: Option<String>,
    /// Each disk of the machine, and why it is the one or is not.
    pub candidates: Vec<Candidate>,
}

/// Explains what is found for all that is `asked`.
pub fn explain(asked: &[Asked], devices: &[BlockDevice]) -> Vec<Explanation> {
    let mut explained: Vec<Explanation> = Vec::new();
    for one in asked {
        let (found, problem) = match find_disk(&one.wanted, devices) {
            Ok(found) => (Some(DiskMatch::new(&found, one)), None),
            Err(error) => (None, Some(error.summary().to_owned())),
        };
        let taken = found.as_ref().and_then(|found| {
            let is_it = |earlier: &&Explanation| {
                earlier.found.as_ref().is_some_and(|earlier| earlier.disk == found.disk)
            };
            let first = explained.iter().find(is_it)?;
            Some(format!("this is {}, which {} is already", found.disk, first.input_path))
        });
        explained.push(Explanation {
            input_path: one.input_path.clone(),
            wanted: one.wanted.to_string(),
            found: found.filter(|_| taken.is_none()),
            problem: problem.or(taken),
            candidates: candidates(&one.wanted, devices),
        });
    }
    explained
}

impl fmt::Display for Explanation {
    /// What is asked for, what is taken, then each candidate on a line: `+` before those that match.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} asks for {}", self.input_path, self.wanted)?;
        if let Some(found) = &self.found {
            write!(f, "  taken: {}, matched {}", found.disk, found.by)?;
            for doubt in &found.doubts {
                write!(f, ", {doubt}")?;
            }
        }
        if let Some(problem) = &self.problem {
            write!(f, "  none is taken: {problem}")?;
        }
        for candidate in &self.candidates {
            write!(f, "\n  {} {}", if candidate.matches { '+' } else { '-' }, candidate.device)?;
            for (i, verdict) in candidate.verdicts.iter().enumerate() {
                write!(f, "{} {}", if i == 0 { "" } else { "," }, verdict.says)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hardware::{Criterion, Wanted};

    #[test]
    fn each_disk_is_explained_with_all_candidates() {
        let devices: Vec<BlockDevice> = serde_json::from_value(json!([
            {"device": "/dev/sda", "uspec": {"ID_SERIAL_SHORT": "A", "ID_MODEL": "X"}},
            {"device": "/dev/sdb", "uspec": {"ID_SERIAL_SHORT": "B", "ID_MODEL": "X"}},
        ]))
        .unwrap();
        let asked = |number: usize, criterion: Criterion| Asked {
            input_path: format!("/disks/{number}"),
            wanted: Wanted::All(vec![criterion]),
            size: None,
        };
        let explained = explain(
            &[
                asked(0, Criterion::Serial("A".into())),
                asked(1, Criterion::Name("sda".into())),
                asked(2, Criterion::Model("X".into())),
            ],
            &devices,
        );
        let texts: Vec<_> = explained.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "/disks/0 asks for serial A\n  taken: /dev/sda, matched by serial A\n  \
                 + /dev/sda has the serial A\n  - /dev/sdb has the serial B, not A",
                "/disks/1 asks for name sda\n  none is taken: this is /dev/sda, which /disks/0 is already\n  \
                 + /dev/sda has the name sda\n  - /dev/sdb is not called sda",
                "/disks/2 asks for model X\n  none is taken: several disks of this machine match\n  \
                 + /dev/sda has the model X\n  + /dev/sdb has the model X",
            ]
        );
    }
}
