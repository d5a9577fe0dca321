//! The bill of materials as `CycloneDX` 1.5, JSON (<https://cyclonedx.org/docs/1.5/json/>).

use serde_json::{Value, json};

use super::{Contents, Facts, Licensed, OsRelease, time, version};
use crate::digest;

/// The text of the document.
pub fn document(facts: &Facts<'_>, contents: &Contents<'_>) -> String {
    let os = &contents.os;
    let components: Vec<_> = contents.packages.iter().map(|licensed| component(licensed, os)).collect();
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": "",
        "version": 1,
        "metadata": {
            "timestamp": time(facts.epoch),
            "tools": { "components": [
                { "type": "application", "name": "bareon-build-image", "version": version() },
            ] },
            "component": {
                "type": "operating-system",
                "bom-ref": "operating-system",
                "name": os.known_name(),
                "version": os.full_version(),
                "description": contents.name,
            },
        },
        "components": components,
    });
    document["serialNumber"] = format!("urn:uuid:{}", digest::uuid_of(&document.to_string())).into();
    format!("{document:#}\n")
}

fn component(licensed: &Licensed, os: &OsRelease) -> Value {
    let package = &licensed.package;
    let purl = package.purl(os);
    let mut value = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": [
            { "name": "bareon:source", "value": format!("{} {}", package.source, package.source_version) },
        ],
    });
    if let Some(maintainer) = &package.maintainer {
        value["publisher"] = maintainer.as_str().into();
    }
    if let Some(summary) = &package.summary {
        value["description"] = summary.as_str().into();
    }
    if let Some(licences) = &licensed.licences {
        value["licenses"] = json!([{ "expression": licences }]);
    }
    value
}
