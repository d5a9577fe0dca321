//! What each partition is: flags and type GUID settled into one answer, and refused where they differ.

use serde_json::Value;

use super::{Mistake, Origins};
use crate::objects::PartitionScheme;

/// Tells the EFI system partitions from the others, and notes where a flag and a GUID contradict.
pub(super) fn settle(scheme: &mut PartitionScheme, origins: &Origins) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (i, parted) in scheme.parteds.iter_mut().enumerate() {
        let label = parted.label;
        for (j, partition) in parted.partitions.iter_mut().enumerate() {
            if let (Some(flag), Some(guid)) = (partition.contradiction(label), &partition.guid) {
                let path = origins.of(&format!("/partition_scheme/parteds/{i}/partitions/{j}/guid"));
                let problem = format!("this type contradicts the flag `{flag}` of {}", partition.name);
                let remedy = "remove the one that is wrong";
                mistakes.push(Mistake::new(path, Some(&Value::from(guid.as_str())), problem, remedy));
            }
            partition.esp = partition.is_esp(label);
        }
    }
    mistakes
}
