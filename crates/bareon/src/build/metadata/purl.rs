//! Package URLs (<https://github.com/package-url/purl-spec>, type `deb`): the names by which scanners look packages up.

use std::fmt::Write as _;

use super::{OsRelease, Package};

impl Package {
    /// Its package URL, in the system `os`. Scanners know faults by the source package, so that is told where it has
    /// another name or version.
    pub fn purl(&self, os: &OsRelease) -> String {
        let (id, name, version) = (encoded(&os.id), encoded(&self.name), encoded(&self.version));
        let mut purl = format!("pkg:deb/{id}/{name}@{version}?arch={}", encoded(&self.architecture));
        let release = os.version_id.as_ref().or(os.codename.as_ref());
        if let Some(release) = release {
            // Writing into a string cannot fail.
            let _ = write!(purl, "&distro={id}-{}", encoded(release));
        }
        if self.source_version != self.version {
            let _ = write!(purl, "&upstream={}%40{}", encoded(&self.source), encoded(&self.source_version));
        } else if self.source != self.name {
            let _ = write!(purl, "&upstream={}", encoded(&self.source));
        }
        purl
    }
}

/// A part of a URL, with all but letters, digits, `.-_~` and the colon in hex.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_the_names_that_scanners_know() {
        let os = OsRelease { id: "debian".into(), version_id: Some("12".into()), ..OsRelease::default() };
        let mut package = Package {
            name: "libstdc++6".into(),
            architecture: "amd64".into(),
            version: "1:12.2.0-14+deb12u1".into(),
            source: "gcc-12".into(),
            source_version: "1:12.2.0-14+deb12u1".into(),
            maintainer: None,
            homepage: None,
            summary: None,
        };
        let want = "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12";
        assert_eq!(package.purl(&os), format!("{want}&upstream=gcc-12"));
        package.source_version = "12.2.0-14".into();
        assert_eq!(package.purl(&os), format!("{want}&upstream=gcc-12%4012.2.0-14"));
        package.source = package.name.clone();
        package.source_version = package.version.clone();
        assert_eq!(package.purl(&os), want);
        assert!(package.purl(&OsRelease { version_id: None, ..os }).ends_with("?arch=amd64"));
    }
}
