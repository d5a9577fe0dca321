//! `ironic`: what bareon's Ironic driver sends, in the formats of 2016 and of 2017.
//!
//! A document with the key `partitions` (or `images` alone) is of 2017, the format that people also write by hand: sizes with units,
//! `remaining`, disks by name, path or SCSI address, a policy for what lies on the disks. Any other is of 2016
//! ([`v2016`]). Neither makes a config drive.
//!
//! document → [`document`] (sizes as written) → [`layout`] (sizes shared out on the disks of the machine) → objects
//!
//! The partition scheme is that of `nailgun`: the same table, boot partitions, mirrors by mount point.

mod document;
mod images;
mod layout;
mod schema;
mod size;
#[cfg(test)]
mod tests;
mod v2016;

use serde_json::Value;

use super::{
    DataDriver, Deployment, DriverError, Facts, Mistakes, Registered,
    nailgun::{self, Identity, document::Base, finish},
    place::Place,
};
use crate::hardware::matching::Asked;
use document::{Document, Policy};
use images::Images;

/// The driver.
#[derive(Debug)]
pub struct Ironic;

inventory::submit! { Registered(&Ironic) }

impl DataDriver for Ironic {
    fn name(&self) -> &'static str {
        "ironic"
    }

    fn about(&self) -> &'static str {
        "what bareon's Ironic driver of 2016 and 2017 sends: disks and images, no config drive"
    }

    fn schema(&self) -> Result<Value, DriverError> {
        Ok(schema::ironic())
    }

    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
        if is_of_2017(document) { read(document, facts) } else { v2016::read(document, facts) }
    }

    fn disks(&self, document: &Value, _facts: &Facts<'_>) -> Result<Vec<Asked>, Mistakes> {
        if !is_of_2017(document) {
            return nailgun::disks(document);
        }
        let mut mistakes = Mistakes::default();
        let read = Document::read(&Place::root(document), &mut mistakes);
        if mistakes.is_empty() {
            Ok(read.disks.into_iter().map(|disk| disk.asked).collect())
        } else {
            Err(mistakes)
        }
    }
}

fn is_of_2017(document: &Value) -> bool {
    let has = |key: &str| document.get(key).is_some();
    has("partitions") || (has("images") && !has("ks_meta"))
}

/// Reads a document of 2017.
fn read(document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
    let mut mistakes = Mistakes::default();
    let root = Place::root(document);
    let policy = Policy::read(&root, &mut mistakes);
    let mut images = Images::read(&root, &mut mistakes);
    let kernel_params = kernel_params(&root, &mut mistakes);
    let layout =
        layout::build(Document::read(&root, &mut mistakes), &mut images, policy, facts, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let profile = document.get("profile").and_then(Value::as_str).unwrap_or_default().to_owned();
    let base = Base { profile, kernel_params, kernel_lt: false, images: images.sources };
    let mut deployment = finish(&base, layout, Identity::default(), facts);
    deployment.origins.at("/grub", "/deploy_data/kernel_params");
    deployment.skip_partitioning = match policy {
        Policy::Clean => false,
        Policy::Verify => true,
        Policy::NailgunLegacy => deployment.skip_partitioning,
    };
    Ok(deployment)
}

fn kernel_params(root: &Place<'_>, mistakes: &mut Mistakes) -> String {
    const REMEDY: &str = "write an object with `kernel_params`, or leave it out";
    let Some(data) = root.get("deploy_data") else { return String::new() };
    data.object(REMEDY, mistakes);
    let remedy = "write the parameters as on the kernel's command line";
    data.may_text("kernel_params", remedy, mistakes).unwrap_or_default().to_owned()
}
