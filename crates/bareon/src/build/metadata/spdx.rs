//! The bill of materials as SPDX 2.3, JSON (<https://spdx.github.io/spdx-spec/v2.3/>).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Contents, Facts, Licensed, OsRelease, Package, time, version};
use crate::digest;

/// What stands where nobody says anything.
const NOTHING: &str = "NOASSERTION";

/// The text of the document.
pub fn document(facts: &Facts<'_>, contents: &Contents<'_>) -> String {
    let (os, packages) = (&contents.os, &contents.packages);
    let system = json!({
        "name": os.known_name(),
        "SPDXID": "SPDXRef-OperatingSystem",
        "versionInfo": os.full_version(),
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    });
    let ids: Vec<_> = packages.iter().map(|licensed| id(&licensed.package)).collect();
    let told = packages.iter().zip(&ids).map(|(licensed, id)| package(licensed, id, os));
    let describes = relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-OperatingSystem");
    let contains = ids.iter().map(|id| relation("SPDXRef-OperatingSystem", "CONTAINS", id));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": contents.name,
        "documentNamespace": "",
        "creationInfo": {
            "created": time(facts.epoch),
            "creators": [format!("Tool: bareon-build-image-{}", version())],
        },
        "packages": std::iter::once(system).chain(told).collect::<Vec<_>>(),
        "relationships": std::iter::once(describes).chain(contains).collect::<Vec<_>>(),
    });
    let references = references(packages);
    if !references.is_empty() {
        document["hasExtractedLicensingInfos"] = Value::Array(references);
    }
    // A name that no other document has, and that the same one always has.
    document["documentNamespace"] = format!("urn:uuid:{}", digest::uuid_of(&document.to_string())).into();
    format!("{document:#}\n")
}

fn package(licensed: &Licensed, id: &str, os: &OsRelease) -> Value {
    let package = &licensed.package;
    let mut value = json!({
        "name": package.name,
        "SPDXID": id,
        "versionInfo": package.version,
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "sourceInfo": format!("built from the source package {} {}", package.source, package.source_version),
        "licenseConcluded": NOTHING,
        "licenseDeclared": licensed.licences.as_deref().unwrap_or(NOTHING),
        "copyrightText": NOTHING,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": package.purl(os),
        }],
    });
    if let Some(maintainer) = &package.maintainer {
        value["supplier"] = format!("Organization: {}", address(maintainer)).into();
    }
    if let Some(homepage) = package.homepage.as_ref().filter(|homepage| homepage.contains("://")) {
        value["homepage"] = homepage.as_str().into();
    }
    if let Some(summary) = &package.summary {
        value["summary"] = summary.as_str().into();
    }
    value
}

/// `A <a@b>` as SPDX writes it.
fn address(maintainer: &str) -> String {
    match maintainer.split_once('<') {
        Some((name, mail)) => format!("{} ({})", name.trim().trim_matches('"'), mail.trim_end_matches('>')),
        None => maintainer.to_owned(),
    }
}

/// The id of a package: only letters, digits, dots and dashes are allowed.
fn id(package: &Package) -> String {
    let mut id = String::from("SPDXRef-Package-");
    for c in format!("{}-{}", package.name, package.architecture).chars() {
        match c {
            '+' => id.push_str(".plus"),
            c if c.is_ascii_alphanumeric() || c == '.' => id.push(c),
            _ => id.push('-'),
        }
    }
    id
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// The licences that SPDX does not know, with where their text is.
fn references(packages: &[Licensed]) -> Vec<Value> {
    let expressions = packages.iter().filter_map(|licensed| licensed.licences.as_deref());
    let words = expressions.flat_map(|expression| expression.split([' ', '(', ')']));
    let ids: BTreeSet<_> = words.filter(|word| word.starts_with("LicenseRef-")).collect();
    ids.into_iter()
        .map(|id| {
            json!({
                "licenseId": id,
                "name": id.trim_start_matches("LicenseRef-"),
                "extractedText": "see /usr/share/doc/*/copyright of the packages that name it",
            })
        })
        .collect()
}
