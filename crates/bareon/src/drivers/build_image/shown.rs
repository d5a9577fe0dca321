//! What a plan shows of a build, in the shape that callers of the original know: values stand there as they were given.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{
    drivers::{nailgun::metadata::base_name, place::Place},
    objects::OperatingSystem,
};

/// The objects of the original, of images in the folder `output` with `metadata` in that file.
pub(super) fn shown(
    root: &Place<'_>,
    os: &OperatingSystem,
    packages: &Value,
    output: &Path,
    metadata: Option<&Path>,
) -> Value {
    let mut fss = Vec::new();
    let mut images = Vec::new();
    let data = root.get("image_data");
    for (i, (mount, image)) in data.iter().flat_map(Place::entries).enumerate() {
        let device = format!("loop:{i}");
        let get = |key: &str| image.value.get(key).cloned().unwrap_or_default();
        let file = output.join(base_name(get("uri").as_str().unwrap_or_default()));
        fss.push(json!({
            "device": device, "mount": mount, "fs_type": get("format"), "fs_options": "", "fs_label": "",
            "keep_data": false,
        }));
        images.push(json!({
            "uri": format!("file://{}", file.display()), "target_device": device, "format": get("format"),
            "container": get("container"), "size": null, "md5": null,
        }));
    }
    json!({
        "partition_scheme": {"parteds": [], "mds": [], "pvs": [], "vgs": [], "lvs": [], "fss": fss},
        "image_scheme": images,
        "operating_system": {
            "name": os.name, "major": os.major, "minor": os.minor, "packages": packages, "repos": repos(root),
            "proxies": proxies(root),
        },
        "metadata_uri": metadata.map(|path| format!("file://{}", path.display())),
    })
}

fn repos(root: &Place<'_>) -> Vec<Value> {
    let repos = root.value.get("repos").and_then(Value::as_array);
    let repo = |repo: &Value| {
        let keys = ["name", "uri", "suite", "section", "priority"];
        let value = |key: &str| (key.to_owned(), repo.get(key).cloned().unwrap_or_default());
        let mut shown: Map<_, _> = keys.into_iter().map(value).collect();
        shown.insert("meta".into(), Value::Null);
        Value::Object(shown)
    };
    repos.into_iter().flatten().map(repo).collect()
}

fn proxies(root: &Place<'_>) -> Value {
    let proxies = root.value.get("proxies");
    let get = |key: &str, or: Value| proxies.and_then(|proxies| proxies.get(key)).cloned().unwrap_or(or);
    json!({
        "proxies": get("protocols", json!({})),
        "direct_repo_addr_list": get("direct_repo_addr_list", json!([])),
    })
}
