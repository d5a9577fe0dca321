//! Debian's short names of licences as SPDX expressions.
//!
//! Debian's are those of its format for copyright files, `copyright-format/1.0`, and what maintainers make up beside
//! them. What SPDX has no id for becomes a `LicenseRef-` with the maintainer's word: nothing is guessed.

use std::{collections::BTreeSet, fmt, mem::discriminant};

/// Terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Terms {
    /// These alone, as an id with its exception.
    One(String),
    /// One of these, as one likes.
    Any(BTreeSet<Terms>),
    /// All of these.
    All(BTreeSet<Terms>),
}

impl Terms {
    /// Reads the first line of a `License` field; nothing where it is empty.
    pub fn read(short: &str) -> Option<Self> {
        // The comma binds less than the words: `A or B, and C`.
        let short = short.replace(" and/or ", " or ");
        joined(&short, ", and ", Self::All, |part| {
            joined(part, ", or ", Self::Any, |part| {
                joined(part, " or ", Self::Any, |part| joined(part, " and ", Self::All, one))
            })
        })
    }

    /// All of these; nothing where there are none.
    pub fn all(terms: impl IntoIterator<Item = Self>) -> Option<Self> {
        gathered(terms.into_iter().collect(), Self::All)
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (terms, word) = match self {
            Self::One(id) => return f.write_str(id),
            Self::Any(terms) => (terms, " OR "),
            Self::All(terms) => (terms, " AND "),
        };
        for (i, term) in terms.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { word })?;
            match term {
                Self::One(id) => f.write_str(id)?,
                several => write!(f, "({several})")?,
            }
        }
        Ok(())
    }
}

fn joined(
    text: &str,
    word: &str,
    join: fn(BTreeSet<Terms>) -> Terms,
    part: impl Fn(&str) -> Option<Terms>,
) -> Option<Terms> {
    gathered(text.split(word).filter_map(part).collect(), join)
}

/// Several things are joined, those that are joined alike put into one; a single one stays what it is.
fn gathered(terms: BTreeSet<Terms>, join: fn(BTreeSet<Terms>) -> Terms) -> Option<Terms> {
    let kind = discriminant(&join(BTreeSet::new()));
    let mut flat = BTreeSet::new();
    for term in terms {
        let alike = discriminant(&term) == kind;
        match term {
            Terms::Any(inner) | Terms::All(inner) if alike => flat.extend(inner),
            other => {
                flat.insert(other);
            }
        }
    }
    if flat.len() > 1 { Some(join(flat)) } else { flat.pop_first() }
}

/// A single licence, with its exception.
fn one(text: &str) -> Option<Terms> {
    let text = text.trim().trim_matches(',').trim();
    if text.is_empty() {
        return None;
    }
    let lower = text.to_ascii_lowercase().replace("-with-", " with ");
    let id = match lower.split_once(" with ") {
        Some((licence, exception)) => match (known(licence), known_exception(exception)) {
            (Some(licence), Some(exception)) => Some(format!("{licence} WITH {exception}")),
            _ => None,
        },
        None => known(&lower),
    };
    Some(Terms::One(id.unwrap_or_else(|| reference(text))))
}

/// A licence that SPDX has no id for.
fn reference(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let id: String = text.replace('+', "-or-later").chars().map(plain).collect();
    format!("LicenseRef-{}", id.trim_matches('-'))
}

/// SPDX's id of a licence, of which the name is in lower case.
fn known(name: &str) -> Option<String> {
    if let Some(id) = gnu(name) {
        return Some(id);
    }
    let id = ALIASES.iter().find(|(debian, _)| *debian == name).map(|(_, id)| *id);
    let id = id.or_else(|| IDS.iter().find(|id| id.eq_ignore_ascii_case(name)).copied());
    id.map(str::to_owned)
}

/// The licences of GNU: `gpl-2+` is version 2.0 or a later one, `gpl-2` only that. Without a version it may be any.
fn gnu(name: &str) -> Option<String> {
    let (family, versions): (&str, &[&str]) = match name.split_once('-').map_or(name, |(family, _)| family) {
        "gpl" => ("GPL", &["1.0", "2.0", "3.0"]),
        "lgpl" => ("LGPL", &["2.0", "2.1", "3.0"]),
        "agpl" => ("AGPL", &["1.0", "3.0"]),
        "gfdl" => ("GFDL", &["1.1", "1.2", "1.3"]),
        _ => return None,
    };
    let rest = name[family.len()..].trim_start_matches('-');
    // No invariant sections, which makes it a free licence.
    let (rest, middle) = match rest.strip_prefix("niv").or_else(|| rest.strip_suffix("-no-invariants")) {
        Some(rest) if family == "GFDL" => (rest.trim_start_matches('-'), "-no-invariants"),
        _ => (rest, ""),
    };
    if rest.is_empty() {
        let first = versions[0];
        return Some(format!("{family}-{first}{middle}-or-later"));
    }
    let later = ["+", "-or-later"].iter().find_map(|end| rest.strip_suffix(end));
    let version = later.or_else(|| rest.strip_suffix("-only")).unwrap_or(rest);
    let version =
        versions.iter().find(|known| **known == version || known.strip_suffix(".0") == Some(version))?;
    Some(format!("{family}-{version}{middle}-{}", if later.is_some() { "or-later" } else { "only" }))
}

fn known_exception(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches("-exception").trim_end_matches(" exception").replace(' ', "-");
    let id = match name.as_str() {
        "autoconf" | "autoconf-2.0" => "Autoconf-exception-2.0",
        "autoconf-3.0" => "Autoconf-exception-3.0",
        "bison" | "bison-2.2" => "Bison-exception-2.2",
        "classpath" | "classpath-2.0" => "Classpath-exception-2.0",
        "font" | "font-2.0" => "Font-exception-2.0",
        "gcc" | "gcc-3.1" | "gcc-runtime-library" => "GCC-exception-3.1",
        "libtool" => "Libtool-exception",
        "linux-syscall-note" => "Linux-syscall-note",
        "llvm" => "LLVM-exception",
        _ => return None,
    };
    Some(id)
}

/// Debian's names that are not SPDX's but for the case of their letters.
const ALIASES: [(&str, &str); 20] = [
    ("0bsd", "0BSD"),
    ("apache-2", "Apache-2.0"),
    ("apache2", "Apache-2.0"),
    ("artistic-1", "Artistic-1.0"),
    ("artistic-2", "Artistic-2.0"),
    ("boost-1.0", "BSL-1.0"),
    ("bsd-2-clauses", "BSD-2-Clause"),
    ("bsd-3-clauses", "BSD-3-Clause"),
    ("bsd-4-clauses", "BSD-4-Clause"),
    ("cc0", "CC0-1.0"),
    ("cc-by-3", "CC-BY-3.0"),
    ("cc-by-4", "CC-BY-4.0"),
    ("cc-by-sa-3", "CC-BY-SA-3.0"),
    ("cc-by-sa-4", "CC-BY-SA-4.0"),
    ("expat", "MIT"),
    ("mpl-2", "MPL-2.0"),
    ("psf-2", "PSF-2.0"),
    ("python-2", "Python-2.0"),
    ("sil-1.1", "OFL-1.1"),
    ("zope-2.1", "ZPL-2.1"),
];

/// SPDX's ids that Debian's names are, whatever the case of their letters.
const IDS: [&str; 59] = [
    "AFL-2.1",
    "Apache-1.0",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-1.0",
    "Artistic-2.0",
    "Beerware",
    "Bitstream-Vera",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-4-Clause",
    "BSD-4-Clause-UC",
    "BSD-Source-Code",
    "BSL-1.0",
    "bzip2-1.0.6",
    "CC0-1.0",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-2.5",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CDDL-1.0",
    "CPL-1.0",
    "curl",
    "EPL-1.0",
    "EPL-2.0",
    "FSFAP",
    "FSFUL",
    "FSFULLR",
    "FTL",
    "HPND",
    "ICU",
    "IJG",
    "ISC",
    "LPPL-1.3c",
    "MIT",
    "MIT-0",
    "MPL-1.1",
    "MPL-2.0",
    "MS-PL",
    "NCSA",
    "OFL-1.1",
    "OLDAP-2.8",
    "OpenSSL",
    "PostgreSQL",
    "PSF-2.0",
    "Python-2.0",
    "QPL-1.0",
    "Ruby",
    "Sleepycat",
    "TCL",
    "Unicode-DFS-2016",
    "Unlicense",
    "Vim",
    "WTFPL",
    "X11",
    "Zlib",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_become_expressions() {
        for (short, want) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("GPL-3.0+", "GPL-3.0-or-later"),
            ("GPL", "GPL-1.0-or-later"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("LGPL-2.1-only", "LGPL-2.1-only"),
            ("LGPL-2", "LGPL-2.0-only"),
            ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
            ("GFDL-1.2", "GFDL-1.2-only"),
            ("Expat", "MIT"),
            ("BSD-3-clause", "BSD-3-Clause"),
            ("zlib", "Zlib"),
            ("public-domain", "LicenseRef-public-domain"),
            ("GPL-7+", "LicenseRef-GPL-7-or-later"),
            ("GPL-2+ with Autoconf exception", "GPL-2.0-or-later WITH Autoconf-exception-2.0"),
            ("GPL-3+-with-GCC-exception", "GPL-3.0-or-later WITH GCC-exception-3.1"),
            ("GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2-or-later-with-OpenSSL-exception"),
            ("GPL-2+ or Artistic-2.0", "Artistic-2.0 OR GPL-2.0-or-later"),
            ("GPL-2+ or Expat and ISC", "GPL-2.0-or-later OR (ISC AND MIT)"),
            ("GPL-2+ or Expat, and ISC", "ISC AND (GPL-2.0-or-later OR MIT)"),
            ("Expat and/or ISC", "ISC OR MIT"),
            ("MIT or Expat", "MIT"),
            ("Expat and ISC and MIT", "ISC AND MIT"),
        ] {
            let told = Terms::read(short).map(|terms| terms.to_string());
            assert_eq!(told.as_deref(), Some(want), "{short}");
        }
        assert_eq!(Terms::read("  "), None);
    }
}
