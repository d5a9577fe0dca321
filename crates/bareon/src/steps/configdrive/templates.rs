//! Templates: where they are looked for, and what they see.
//!
//! A site's folder comes first, with all the names that the scheme gives; ours, which are built
//! in, are for what it does not have. So a site that brings one general template has its own way
//! also where we have one for its distribution.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    ConfigDriveError,
    jinja::{self, Fault},
};
use crate::{digest, objects::ConfigDriveScheme};

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// Our own templates.
        const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../../cloud-init-templates/", $name)))),+];
    };
}

built_in![
    "boothook.jinja2",
    "cloud_config.jinja2",
    "cloud_config_centos.jinja2",
    "cloud_config_debian.jinja2",
    "cloud_config_ubuntu.jinja2",
    "meta_data.jinja2",
];

/// What templates see: the scheme's data, and `instance_id`.
pub fn context(scheme: &ConfigDriveScheme) -> Map<String, Value> {
    let mut data = scheme.template_data.clone();
    data.entry("instance_id").or_insert_with(|| instance_id(scheme).into());
    data
}

/// The name under which cloud-init knows this installation: a UUID that is the same for the same
/// host name and admin interface, so that a second run makes the same drive.
pub fn instance_id(scheme: &ConfigDriveScheme) -> String {
    let common = scheme.template_data.get("common");
    let value = |key| common.and_then(|common| common.get(key)).and_then(Value::as_str).unwrap_or_default();
    id_of(&["hostname", "fqdn", "admin_mac"].map(value))
}

/// A UUID made of these texts, whatever the case of their letters.
pub fn id_of(texts: &[&str]) -> String {
    let mut hash = Sha256::new_with_prefix("bareon instance-id");
    for value in texts {
        hash.update([0]);
        hash.update(value.to_ascii_lowercase());
    }
    digest::uuid(&hash.finalize())
}

/// Renders the first of the templates `names` that exists; without names, the general one.
pub fn render(
    kind: &'static str,
    names: &[String],
    dir: &Path,
    data: &Map<String, Value>,
) -> Result<String, ConfigDriveError> {
    let general = [format!("{kind}.jinja2")];
    let names = if names.is_empty() { &general } else { names };
    if let Some(name) = names.iter().find(|name| inside(dir, name).is_none()) {
        return Err(ConfigDriveError::Outside { kind, name: name.clone() });
    }
    let name = choose(names, dir).ok_or_else(|| ConfigDriveError::NoTemplate {
        kind,
        tried: names.to_vec(),
        dir: dir.to_path_buf(),
    })?;
    // Read beforehand, as a loader has no way to say why a file cannot be read.
    read(dir, name)?;
    let folder = dir.to_path_buf();
    let load = move |name: &str| read(&folder, name).ok().flatten();
    jinja::render(name, load, data).map_err(|fault| place(dir, fault))
}

fn choose<'a>(names: &'a [String], dir: &Path) -> Option<&'a str> {
    let there = |name: &&String| inside(dir, name).is_some_and(|file| file.is_file());
    let ours = |name: &&String| built_in(name).is_some();
    names.iter().find(there).or_else(|| names.iter().find(ours)).map(String::as_str)
}

fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The text of a template, a site's or ours.
fn read(dir: &Path, name: &str) -> Result<Option<String>, ConfigDriveError> {
    let Some(file) = inside(dir, name) else { return Ok(None) };
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(built_in(name).map(str::to_owned))
        }
        Err(source) => Err(ConfigDriveError::Io { doing: "reading the template", path: file, source }),
    }
}

/// The file `name` in `dir`; nothing where the name leads out of it.
fn inside(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut parts = Path::new(name).components().peekable();
    parts.peek()?;
    parts.all(|part| matches!(part, Component::Normal(_))).then(|| dir.join(name))
}

fn place(dir: &Path, Fault { template, line, what }: Fault) -> ConfigDriveError {
    let file = match inside(dir, &template) {
        Some(file) if file.is_file() => file.display().to_string(),
        _ => format!("{template} (built in)"),
    };
    let place = match line {
        Some(line) => format!("{file}:{line}"),
        None => file,
    };
    ConfigDriveError::Template { place, what }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn data() -> Map<String, Value> {
        json!({"common": {"hostname": "n"}, "password": "marionette"}).as_object().unwrap().clone()
    }

    #[test]
    fn a_sites_template_comes_before_ours_whatever_its_place_in_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let list = names(&["cloud_config_debian.jinja2", "cloud_config.jinja2"]);
        let ours = render("cloud_config", &list, dir.path(), &data()).unwrap();
        assert!(ours.starts_with("#cloud-config\nhostname: \"n\"\n"), "{ours}");
        fs::write(dir.path().join("cloud_config.jinja2"), "site {{ common.hostname }}").unwrap();
        assert_eq!(render("cloud_config", &list, dir.path(), &data()).unwrap(), "site n");
        fs::write(dir.path().join("cloud_config_debian.jinja2"), "{% include 'part.txt' %}").unwrap();
        fs::write(dir.path().join("part.txt"), "included").unwrap();
        assert_eq!(render("cloud_config", &list, dir.path(), &data()).unwrap(), "included");
    }

    #[test]
    fn all_of_our_templates_are_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cloud-init-templates");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(files, known);
    }

    #[test]
    fn without_names_the_general_template_is_taken() {
        let text = render("boothook", &[], Path::new("/nonexistent"), &data()).unwrap();
        assert!(text.starts_with("#cloud-boothook\n"), "{text}");
    }

    #[test]
    fn the_folder_may_be_absent() {
        let text = render("boothook", &names(&["boothook.jinja2"]), Path::new("/nonexistent"), &data());
        assert!(text.unwrap().starts_with("#cloud-boothook\n#!/bin/sh\n"));
    }

    #[test]
    fn names_stay_inside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["../x.jinja2", "/etc/passwd", "a/../../x", "", "./x/.."] {
            let list = names(&[name, "boothook.jinja2"]);
            let error = render("boothook", &list, dir.path(), &data()).unwrap_err();
            assert!(matches!(error, ConfigDriveError::Outside { .. }), "{name}: {error}");
        }
        fs::write(dir.path().join("t"), "{% include '../../../../etc/hostname' ignore missing %}-").unwrap();
        assert_eq!(render("boothook", &names(&["t"]), dir.path(), &data()).unwrap(), "-");
    }

    #[test]
    fn a_mistake_is_reported_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("boothook.jinja2");
        fs::write(&file, "a\n{{ password % 1 }}\n").unwrap();
        let error = render("boothook", &names(&["boothook.jinja2"]), dir.path(), &data()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("{}:2: ", file.display())), "{text}");
        assert!(text.contains("write x|format(y)"), "{text}");
        let none = render("boothook", &names(&["a", "b"]), dir.path(), &data()).unwrap_err().to_string();
        assert!(none.contains("none of a, b is in"), "{none}");
    }

    #[test]
    fn the_instance_id_depends_on_the_node_alone() {
        let scheme = |hostname: &str, mac: &str, gw: &str| ConfigDriveScheme {
            template_data: json!({"common": {"hostname": hostname, "admin_mac": mac, "gw": gw}})
                .as_object()
                .unwrap()
                .clone(),
            ..ConfigDriveScheme::default()
        };
        let id = instance_id(&scheme("n", "AA:00", "1"));
        assert_eq!(id, instance_id(&scheme("n", "aa:00", "2")));
        assert_ne!(id, instance_id(&scheme("m", "aa:00", "1")));
        assert_ne!(id, instance_id(&scheme("n", "ab:00", "1")));
        assert_eq!((id.len(), &id[14..15]), (36, "8"));
    }
}
