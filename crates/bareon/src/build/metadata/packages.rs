//! The packages of a tree, from dpkg's status file (`dpkg(1)`, `deb-control(5)`).

use std::path::Path;

use super::{MetadataError, tree_file};

/// Where dpkg keeps it.
const STATUS: &str = "var/lib/dpkg/status";

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its architecture, `all` among them.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// The source package that it was built from.
    pub source: String,
    /// The version of that.
    pub source_version: String,
    /// Who looks after it, name and address.
    pub maintainer: Option<String>,
    /// Where its authors are at home.
    pub homepage: Option<String>,
    /// What it is, in one line.
    pub summary: Option<String>,
}

/// The packages that are installed in a tree, by name and architecture; none where dpkg never ran.
///
/// # Errors
/// When the status file is there and cannot be read.
pub fn installed(tree: &Path) -> Result<Vec<Package>, MetadataError> {
    Ok(tree_file::read(tree, STATUS)?.map(|text| parse(&text)).unwrap_or_default())
}

/// Reads a status file.
fn parse(text: &str) -> Vec<Package> {
    let mut packages: Vec<_> = text.split("\n\n").filter_map(package).collect();
    packages.sort();
    packages
}

/// Reads a stanza; nothing where the package is not installed.
fn package(stanza: &str) -> Option<Package> {
    let field = |name: &str| {
        let value = stanza.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    // Such as `install ok installed`; what is half of it has failed, and only its configuration may be there.
    let status = field("Status")?;
    let state = status.split_whitespace().next_back()?;
    if !["installed", "triggers-pending", "triggers-awaited"].contains(&state) {
        return None;
    }
    let (name, version) = (field("Package")?, field("Version")?);
    let source = field("Source").unwrap_or_else(|| name.clone());
    // A version is told only where it is another.
    let (source, source_version) = match source.split_once(" (") {
        Some((source, rest)) => (source.to_owned(), rest.trim_end_matches(')').to_owned()),
        None => (source, version.clone()),
    };
    Some(Package {
        architecture: field("Architecture").unwrap_or_else(|| "all".into()),
        maintainer: field("Maintainer"),
        homepage: field("Homepage"),
        summary: field("Description"),
        name,
        version,
        source,
        source_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As dpkg 1.21 wrote it, shortened.
    const RECORDED: &str = "\
Package: libc6
Status: install ok installed
Priority: optional
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.36-9+deb12u9
Conffiles:
 /etc/ld.so.conf.d/x86_64-linux-gnu.conf d4e7a7b88a71b5ffd9e2644e71a0cfab
Description: GNU C Library: Shared libraries
 Contains the standard libraries that are used by nearly all programs on
 the system. Version: none of this is a field.
Homepage: https://www.gnu.org/software/libc/libc.html

Package: gone
Status: deinstall ok config-files
Version: 1

Package: half
Status: install ok half-configured
Version: 1

Package: base-files
Status: hold ok installed
Architecture: amd64
Version: 12.4+deb12u8

Package: bsdutils
Status: install ok installed
Architecture: amd64
Source: util-linux (2.38.1-5+deb12u3)
Version: 1:2.38.1-5+deb12u3
Description:
";

    #[test]
    fn what_is_installed_is_told_by_name() {
        let packages = parse(RECORDED);
        let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["base-files", "bsdutils", "libc6"]);
        assert_eq!(packages[1].source, "util-linux");
        assert_eq!(packages[1].source_version, "2.38.1-5+deb12u3");
        assert_eq!((packages[1].version.as_str(), &packages[1].summary), ("1:2.38.1-5+deb12u3", &None));
        let libc = &packages[2];
        assert_eq!((libc.source.as_str(), libc.source_version.as_str()), ("glibc", "2.36-9+deb12u9"));
        assert_eq!(libc.summary.as_deref(), Some("GNU C Library: Shared libraries"));
        assert_eq!(libc.homepage.as_deref(), Some("https://www.gnu.org/software/libc/libc.html"));
        assert!(parse("").is_empty() && parse("garbage\n\n\n").is_empty());
    }
}
