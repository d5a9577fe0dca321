//! `nailgun`: the format that Fuel's Nailgun sends, and the default.
//!
//! The document is the whole of a machine's provisioning data; its layout of the disks
//! (`ks_meta.pm_data.ks_spaces`) names disks, their volumes and volume groups with sizes in MiB.
//! `nailgun_simple` and `ironic` share most of it and are built from the parts here.
//!
//! Reading has two halves. First the document alone: all its mistakes are collected. Only a sound
//! document is worth asking for the image's metadata, from which the operating system follows.

mod ceph;
pub mod configdrive;
pub mod document;
pub mod keep;
pub mod layout;
pub mod metadata;
pub mod schema;
pub mod spaces;
pub mod system;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{
    DataDriver, Deployment, DriverError, Facts, Host, Mistake, Mistakes, Registered, place::Place, types,
};
use crate::{
    hardware::Asked,
    objects::{ConfigDriveScheme, PartitionScheme},
};
use document::Base;
use layout::{Boot, ConfigDrivePlace, Layout, Options};
use metadata::Metadata;
use spaces::Spaces;

/// The driver.
#[derive(Debug)]
pub struct Nailgun;

inventory::submit! { Registered(&Nailgun) }

impl DataDriver for Nailgun {
    fn name(&self) -> &'static str {
        "nailgun"
    }

    fn about(&self) -> &'static str {
        "the provisioning data that Fuel's Nailgun sends; the default"
    }

    fn schema(&self) -> Result<Value, DriverError> {
        Ok(schema::nailgun())
    }

    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
        let mut mistakes = Mistakes::default();
        let root = Place::root(document);
        let base = document::base(&root, &mut mistakes);
        let identity = identity(&root, &mut mistakes);
        let layout = layout_of(&root, base.as_ref(), facts, Boot::Once, &mut mistakes);
        match base {
            Some(base) if mistakes.is_empty() => Ok(finish(&base, layout, identity, facts)),
            _ => Err(mistakes),
        }
    }

    fn disks(&self, document: &Value, _facts: &Facts<'_>) -> Result<Vec<Asked>, Mistakes> {
        disks(document)
    }
}

/// The disks of `ks_spaces`.
///
/// # Errors
/// When there is no such list, or a mistake in it leaves no disk.
pub fn disks(document: &Value) -> Result<Vec<Asked>, Mistakes> {
    let mut mistakes = Mistakes::default();
    let remedy = "write the layout of the disks, as `bareon-provision schema` tells";
    let pm_data = Place::root(document)
        .need_object("ks_meta", remedy, &mut mistakes)
        .and_then(|ks_meta| ks_meta.need_object("pm_data", remedy, &mut mistakes));
    let place = pm_data.and_then(|pm_data| pm_data.need("ks_spaces", remedy, &mut mistakes));
    let spaces = place.map(|place| Spaces::read(&place, &mut mistakes)).unwrap_or_default();
    let disks = layout::disks(&spaces);
    if disks.is_empty() && !mistakes.is_empty() { Err(mistakes) } else { Ok(disks) }
}

/// Who the machine is, and what it is told by its config drive.
#[derive(Debug, Default)]
pub struct Identity {
    /// Its names.
    pub host: Host,
    /// Its config drive.
    pub configdrive: Option<ConfigDriveScheme>,
    /// Mistakes that a run refuses.
    pub deferred: Vec<Mistake>,
}

/// Reads who the machine is and what its config drive is made of.
pub fn identity(root: &Place<'_>, mistakes: &mut Mistakes) -> Identity {
    let mut deferred = Vec::new();
    if !root.value.is_object() {
        return Identity::default();
    }
    let host = configdrive::host(root, mistakes, &mut deferred);
    let ks_meta = root.get("ks_meta").filter(|ks_meta| ks_meta.value.is_object());
    let configdrive = ks_meta.map(|ks_meta| configdrive::scheme(root, &ks_meta, &host, mistakes));
    Identity { host, configdrive, deferred }
}

/// A layout with the devices that the images go to.
#[derive(Debug, Default)]
pub struct Targeted {
    /// The layout.
    pub layout: Layout,
    /// The device of each image, in their order.
    pub targets: Vec<String>,
}

/// Reads the layout of the disks, makes the partition scheme of it and finds the images' places.
pub fn layout_of(
    root: &Place<'_>,
    base: Option<&Base>,
    facts: &Facts<'_>,
    boot: Boot,
    mistakes: &mut Mistakes,
) -> Targeted {
    let before = mistakes.0.len();
    let pm_data = root.get("ks_meta").and_then(|ks_meta| ks_meta.get("pm_data"));
    let remedy = "write a list with an object for each disk and volume group";
    let Some(place) = pm_data.and_then(|pm_data| pm_data.need("ks_spaces", remedy, mistakes)) else {
        return Targeted::default();
    };
    let spaces = Spaces::read(&place, mistakes);
    let configdrive = ConfigDrivePlace::of(facts.prepare_configdrive, facts.configdrive_exists);
    let options = Options { devices: facts.devices, configdrive, boot };
    let mut layout = layout::build(&spaces, &options, mistakes);
    layout.deferred.extend(keep::lost(&place, &layout.kept));
    let target = |mount: &str| layout.scheme.fs_by_mount(mount).map(|fs| fs.device.clone());
    // In a layout with mistakes something is missing anyway.
    let targets = match base {
        Some(base) if mistakes.0.len() == before => targets(base, &target, mistakes),
        _ => Vec::new(),
    };
    Targeted { layout, targets }
}

/// The device of each image, in their order; an image without one is a mistake.
pub fn targets(base: &Base, target: &dyn Fn(&str) -> Option<String>, mistakes: &mut Mistakes) -> Vec<String> {
    let mut devices = Vec::new();
    for image in &base.images {
        match target(&image.mount) {
            Some(device) => devices.push(device),
            None => mistakes.push(Mistake::new(
                image.path.clone(),
                None,
                format!("this image has no target: nothing of the layout is mounted at {}", image.mount),
                format!("give the layout a file system at {}, or remove the image", image.mount),
            )),
        }
    }
    devices
}

/// Joins a sound document with the metadata of its images.
pub fn finish(base: &Base, targeted: Targeted, identity: Identity, facts: &Facts<'_>) -> Deployment {
    let Targeted { layout, targets } = targeted;
    let Layout { mut scheme, shown, mut deferred, md_by_os, mut origins, matches, .. } = layout;
    for (i, image) in base.images.iter().enumerate() {
        origins.under(format!("/image_scheme/{i}"), &*image.path);
    }
    origins.at("/grub", "/profile");
    deferred.extend(types::settle(&mut scheme, &origins));
    deferred.extend(identity.deferred);
    let metadata = Metadata::fetch(&base.images, facts);
    let known = metadata.os();
    let grub_guessed = known.is_none();
    let operating_system = known.unwrap_or_else(|| system::by_profile(&base.profile));
    if md_by_os && system::is_centos6(&operating_system) {
        scheme.mds.iter_mut().for_each(|md| md.metadata = "0.90".into());
    }
    let images = base.images.iter().zip(targets);
    Deployment {
        image_scheme: images.map(|(source, target)| metadata.image(source, target)).collect(),
        grub: system::grub(base, &operating_system),
        operating_system,
        configdrive: identity.configdrive,
        host: identity.host,
        skip_partitioning: scheme.skip_partitioning(),
        shown_scheme: shown_scheme(&scheme, shown),
        deferred,
        origins,
        matches,
        image_os: metadata.os_name(),
        grub_guessed,
        partition_scheme: scheme,
    }
}

/// The scheme as a plan shows it, where that differs from the typed one.
fn shown_scheme(scheme: &PartitionScheme, shown: Vec<(String, Value)>) -> Option<Value> {
    if shown.is_empty() {
        return None;
    }
    let mut json = serde_json::to_value(scheme).ok()?;
    for (pointer, value) in shown {
        if let Some(place) = json.pointer_mut(&pointer) {
            *place = value;
        }
    }
    Some(json)
}
