//! The operating system of a tree, from its `os-release(5)`.

use std::path::Path;

use serde_json::{Value, json};

use super::{MetadataError, tree_file};

/// What a tree says of its operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `ID`, such as `debian`; `linux` where it says none.
    pub id: String,
    /// `NAME`, such as `Debian GNU/Linux`.
    pub name: String,
    /// `VERSION_ID`, such as `12` or `24.04`; rolling suites have none.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`, such as `bookworm`.
    pub codename: Option<String>,
    /// The point release that Debian tells in a file of its own, such as `12.8`.
    pub debian_version: Option<String>,
}

impl OsRelease {
    /// Reads it from the tree.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn of(tree: &Path) -> Result<Self, MetadataError> {
        let text = match tree_file::read(tree, "etc/os-release")? {
            Some(text) => Some(text),
            None => tree_file::read(tree, "usr/lib/os-release")?,
        };
        let mut os = Self::parse(&text.unwrap_or_default());
        if os.id == "debian" {
            let version = tree_file::read(tree, "etc/debian_version")?;
            os.debian_version = version.map(|version| version.trim().to_owned());
        }
        Ok(os)
    }

    /// Reads the text of `os-release`.
    fn parse(text: &str) -> Self {
        let mut os = Self { id: "linux".into(), name: "Linux".into(), ..Self::default() };
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let value = unquoted(value);
            match key {
                "ID" => os.id = value,
                "NAME" => os.name = value,
                "VERSION_ID" => os.version_id = Some(value),
                "VERSION_CODENAME" => os.codename = Some(value),
                _ => {}
            }
        }
        os
    }

    /// The name by which callers know the system: `Ubuntu`, `Debian`, else its own.
    pub fn known_name(&self) -> String {
        match self.id.as_str() {
            "ubuntu" => "Ubuntu".into(),
            "debian" => "Debian".into(),
            _ => self.name.clone(),
        }
    }

    /// The major version as a number, or `unknown`.
    pub fn major(&self) -> Value {
        self.part(0)
    }

    /// The minor version as a number, 0 where it has none; or `unknown` where the major version is.
    pub fn minor(&self) -> Value {
        if self.major().is_number() && !self.full_version().contains('.') { json!(0) } else { self.part(1) }
    }

    /// The version with its point release; empty where there is none.
    pub fn full_version(&self) -> &str {
        let id = self.version_id.as_deref().unwrap_or_default();
        let point = self.debian_version.as_deref().filter(|version| {
            !id.is_empty() && version.strip_prefix(id).is_some_and(|rest| rest.starts_with('.'))
        });
        point.unwrap_or(id)
    }

    fn part(&self, i: usize) -> Value {
        let part = self.full_version().split('.').nth(i).and_then(|part| part.parse::<u64>().ok());
        part.map_or_else(|| json!("unknown"), Value::from)
    }
}

/// A value without the quotes that a shell would take off.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.replace("\\\"", "\"").replace("\\$", "$").replace("\\`", "`").replace("\\\\", "\\");
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_told_as_callers_know_them() {
        for (text, point, name, major, minor, full) in [
            (
                "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"",
                "12.8",
                "Debian",
                json!(12),
                json!(8),
                "12.8",
            ),
            ("ID=debian\nVERSION_ID=\"12\"", "trixie/sid", "Debian", json!(12), json!(0), "12"),
            ("ID=debian", "forky/sid", "Debian", json!("unknown"), json!("unknown"), ""),
            ("NAME='Ubuntu'\nID=ubuntu\nVERSION_ID=\"14.04\"", "", "Ubuntu", json!(14), json!(4), "14.04"),
            ("ID=x\nNAME=\"A \\\"B\\\"\"\nVERSION_ID=7", "", "A \"B\"", json!(7), json!(0), "7"),
            ("", "", "Linux", json!("unknown"), json!("unknown"), ""),
        ] {
            let mut os = OsRelease::parse(text);
            os.debian_version = Some(point.into()).filter(|_| os.id == "debian");
            assert_eq!((os.known_name().as_str(), os.full_version()), (name, full), "{text}");
            assert_eq!((os.major(), os.minor()), (major, minor), "{text}");
        }
    }
}
