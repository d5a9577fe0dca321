//! `bareon`: the format for people.
//!
//! A document says which disks of the machine it means, what is to lie on them, which images are written there and
//! what the installed system is told. Its parts have names by which others mean them.
//!
//! document → [`shape`] (keys, kinds, texts) → [`document`] (types) → [`names`] (who means whom) → [`tables`]
//! (disks, partitions) → [`volumes`] (arrays, groups, volumes) → [`contents`] (file systems) → [`images`], [`system`]
//!
//! Every mistake of every part is told at once: a part that is wrong is left out, and the rest is looked at without it.

mod contents;
mod document;
mod images;
mod keep;
mod names;
mod report;
mod shape;
mod share;
mod slots;
mod system;
mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod volumes;

use serde_json::{Value, json};

use super::{DataDriver, Deployment, DriverError, Facts, Host, Mistakes, Registered};
use crate::{
    hardware::Asked,
    objects::{Grub, OperatingSystem},
};
use document::Document;
use names::Names;
use report::Report;

/// The driver.
#[derive(Debug)]
pub struct Bareon;

inventory::submit! { Registered(&Bareon) }

impl DataDriver for Bareon {
    fn name(&self) -> &'static str {
        "bareon"
    }

    fn about(&self) -> &'static str {
        "bareon's own format, for people: disks by what they are, sizes with units, parts by name"
    }

    fn schema(&self) -> Result<Value, DriverError> {
        Ok(document::schema())
    }

    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
        let mut report = Report::new(document);
        let read = typed(document, &mut report);
        let deployment = deployment(&read, facts, &mut report);
        report.end(deployment)
    }

    fn disks(&self, document: &Value, _facts: &Facts<'_>) -> Result<Vec<Asked>, Mistakes> {
        let mut report = Report::new(document);
        let disks = tables::asked(&typed(document, &mut report));
        if disks.is_empty() { report.end(disks) } else { Ok(disks) }
    }
}

/// As much of the document as has its shape.
fn typed(document: &Value, report: &mut Report<'_>) -> Document {
    let sound = shape::sound(document, &document::schema(), report.mistakes());
    serde_json::from_value(sound).unwrap_or_else(|error| {
        // What the shape lets through, the types take; a test reads all sorts of documents.
        report.wrong("", error.to_string(), "write it as `bareon-provision schema` tells");
        Document::default()
    })
}

fn deployment(document: &Document, facts: &Facts<'_>, report: &mut Report<'_>) -> Deployment {
    let names = Names::read(document, report);
    let kept = keep::Kept::read(document, &names, report);
    let boot = tables::boot_disks(document, &names);
    let mut layout = tables::lay_out(document, &names, &kept, &boot, facts, report);
    volumes::make(document, &names, &kept, &mut layout, report);
    contents::make(document, &kept, &mut layout, report);
    let images = images::read(document, &names, &kept, &mut layout, facts, report);
    // Where all disks come as they are, nothing is there to be configured but by what they bring.
    let configured = layout.scheme.parteds.is_empty() || layout.scheme.partitions().next().is_some();
    let configdrive = system::config_drive(document, report);
    if !configured {
        system::nobody_reads(document, report);
    }
    layout.origins.at("/grub", "/kernel_params");
    Deployment {
        partition_scheme: layout.scheme,
        image_scheme: images.scheme,
        grub: Grub {
            version: None,
            kernel_params: words(document.kernel_params.as_deref().unwrap_or_default()),
            ..Grub::default()
        },
        operating_system: OperatingSystem {
            name: "OperatingSystem".into(),
            major: json!("unknown"),
            minor: json!("unknown"),
        },
        configdrive: configured.then_some(configdrive),
        host: Host { hostname: document.hostname.clone(), ..Host::default() },
        // What is preserved stays by itself, the rest of its disk is made anew.
        skip_partitioning: false,
        shown_scheme: None,
        deferred: Vec::new(),
        origins: layout.origins,
        matches: layout.matches,
        image_os: images.os,
        grub_guessed: false,
    }
}

/// A text with one blank between its words.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
