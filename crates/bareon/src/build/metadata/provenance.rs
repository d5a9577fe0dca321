//! Where the images come from: an in-toto statement (<https://in-toto.io/Statement/v1>) with SLSA's predicate
//! (<https://slsa.dev/spec/v1.0/provenance>).
//!
//! It names the input document by its sum alone and addresses without what is secret in them: it is for everybody.

use bareon_image::shown;
use serde_json::{Value, json};

use super::{Contents, Facts, version};

/// What kind of build this is: how its parameters are to be read.
const BUILD_TYPE: &str = "urn:bareon:build-image:1";

/// The text of the statement.
pub fn document(facts: &Facts<'_>, contents: &Contents<'_>) -> String {
    let subjects = facts.images.iter().map(|image| {
        let name = image.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        json!({ "name": name, "digest": { "sha256": image.packed.container_sha256 } })
    });
    let tools = facts.tools.iter().map(|tool| (tool.name.clone(), Value::from(tool.version.as_str())));
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "input": { "digest": { "sha256": facts.input_sha256 } },
                    "codename": facts.scheme.codename,
                    "packages": facts.scheme.packages,
                },
                "internalParameters": {
                    "sourceDateEpoch": facts.epoch,
                    "tools": tools.collect::<serde_json::Map<_, _>>(),
                },
                "resolvedDependencies": dependencies(facts),
            },
            "runDetails": {
                "builder": {
                    "id": "urn:bareon:bareon-build-image",
                    "version": { "bareon-build-image": version() },
                },
                "byproducts": [
                    { "name": "packages", "annotations": { "count": contents.packages.len() } },
                ],
            },
        },
    });
    format!("{statement:#}\n")
}

/// The repositories, with the sums of their Release files: these have the sums of all packages.
fn dependencies(facts: &Facts<'_>) -> Vec<Value> {
    let mut releases = facts.releases.iter();
    let told = |repo: &crate::objects::build::Repo| {
        // By their order: two repositories may have the same name.
        let release = releases.next().filter(|release| !release.sha256.is_empty());
        let mut value = json!({
            "name": repo.name,
            "uri": shown(&repo.uri),
            "annotations": { "suite": repo.suite, "section": repo.section, "signatureChecked": !repo.trusted },
        });
        if let Some(release) = release {
            value["digest"] = json!({ "sha256": release.sha256 });
        }
        value
    };
    facts.scheme.repos.iter().map(told).collect()
}
