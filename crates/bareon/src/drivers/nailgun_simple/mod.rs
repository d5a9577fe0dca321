//! `nailgun_simple`: `nailgun` with the partition scheme written out in `partitioning`.
//!
//! The scheme is taken as given. The original checked no type in it, so a plan shows odd values as
//! they stand; a run refuses them, as no tool could be told what they mean.

mod sections;

use serde_json::Value;

use super::{
    DataDriver, Deployment, DriverError, Facts, Mistake, Mistakes, Origins, Registered,
    nailgun::{Identity, Targeted, document, finish, identity, layout::Layout, schema, targets},
    place::{Place, truthy},
};

/// The driver.
#[derive(Debug)]
pub struct NailgunSimple;

inventory::submit! { Registered(&NailgunSimple) }

impl DataDriver for NailgunSimple {
    fn name(&self) -> &'static str {
        "nailgun_simple"
    }

    fn about(&self) -> &'static str {
        "nailgun with the partition scheme written out in `partitioning`"
    }

    fn schema(&self) -> Result<Value, DriverError> {
        Ok(schema::nailgun_simple(sections::schema()))
    }

    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
        let mut mistakes = Mistakes::default();
        let root = Place::root(document);
        let base = document::base(&root, &mut mistakes);
        let identity =
            if root.value.is_object() { identity(&root, &mut mistakes) } else { Identity::default() };
        let remedy = "write an object with `parteds`, `mds`, `pvs`, `vgs`, `lvs` and `fss`";
        let before = mistakes.0.len();
        let partitioning = root.need_object("partitioning", remedy, &mut mistakes);
        let read = partitioning.map(|place| sections::read(&place, &mut mistakes)).unwrap_or_default();
        let mut images = Vec::new();
        if let (Some(base), true) = (&base, mistakes.0.len() == before) {
            images = targets(base, &|mount| target(&read.shown, mount), &mut mistakes);
        }
        let Some(base) = base.filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
        let mut origins = Origins::default();
        origins.under("/partition_scheme", "/partitioning");
        let mut deferred = read.deferred;
        deferred.extend(lost(&read.shown));
        let layout = Layout { scheme: read.scheme, deferred, origins, ..Layout::default() };
        let mut deployment = finish(&base, Targeted { layout, targets: images }, identity, facts);
        deployment.skip_partitioning = keeps(&read.shown);
        deployment.shown_scheme = Some(read.shown);
        Ok(deployment)
    }
}

/// The device of the first file system that is mounted at `mount`.
fn target(scheme: &Value, mount: &str) -> Option<String> {
    let fss = scheme.get("fss")?.as_array()?;
    let fs = fss.iter().find(|fs| fs.get("mount").and_then(Value::as_str) == Some(mount))?;
    fs.get("device")?.as_str().map(str::to_owned)
}

/// Whether something is to be kept, so that no disk is partitioned anew. The original asks partitions, file
/// systems, logical volumes and groups.
fn keeps(scheme: &Value) -> bool {
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let partitions = list(scheme, "parteds").into_iter().flat_map(|parted| list(&parted, "partitions"));
    let others = ["fss", "lvs", "vgs"].into_iter().flat_map(|key| list(scheme, key));
    partitions.chain(others).any(|element| element.get("keep_data").is_some_and(truthy))
}

/// The arrays and physical volumes that are to be kept: in this format only what lies on top of them can be.
fn lost(scheme: &Value) -> Vec<Mistake> {
    let mut lost = Vec::new();
    for section in ["mds", "pvs"] {
        let elements = scheme.get(section).and_then(Value::as_array).into_iter().flatten();
        for (i, element) in elements.enumerate() {
            let Some(keep) = element.get("keep_data").filter(|keep| truthy(keep)) else { continue };
            let problem = "this does not keep the disks below from being laid out anew";
            let remedy = "set keep_data of what lies on it: its file system, logical volumes or volume group";
            let path = format!("/partitioning/{section}/{i}/keep_data");
            lost.push(Mistake::new(path, Some(keep), problem, remedy));
        }
    }
    lost
}
