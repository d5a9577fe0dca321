//! A plan for programs.

use serde_json::{Map, Value, json};

use super::Plan;

impl Plan {
    /// The plan as JSON: the objects as the driver made them, then steps, what they destroy, and refusals.
    pub fn to_json(&self) -> Value {
        let deployment = &self.deployment;
        let scheme = deployment.shown_scheme.clone().unwrap_or_else(|| json!(deployment.partition_scheme));
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|step| {
                let mut shown = Map::new();
                shown.insert("stage".into(), json!(step.stage));
                shown.insert("what".into(), json!(step.what));
                shown.insert("commands".into(), json!(step.commands()));
                if let Some(line) = step.by_hand() {
                    shown.insert("by_hand".into(), json!(line));
                }
                Value::Object(shown)
            })
            .collect();
        json!({
            "partition_scheme": scheme,
            "skip_partitioning": deployment.skip_partitioning,
            "image_scheme": deployment.image_scheme,
            "grub": deployment.grub,
            "operating_system": deployment.operating_system,
            "configdrive": deployment.configdrive,
            "matches": deployment.matches,
            "firmware": self.firmware,
            "plan_id": self.id(),
            "disks": self.disks,
            "steps": steps,
            "destroys": self.destroys,
            "refusals": self.refusals,
        })
    }
}
