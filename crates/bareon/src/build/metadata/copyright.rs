//! What a package is given away under: its copyright file, where that is for programs
//! (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>).

use std::path::Path;

use super::{licence::Terms, tree_file};

/// The terms of a package as an SPDX expression; nothing where its copyright file is missing or only for people.
pub fn licences(tree: &Path, package: &str) -> Option<String> {
    let file = format!("usr/share/doc/{package}/copyright");
    match tree_file::read(tree, &file) {
        Ok(text) => parse(&text?).map(|terms| terms.to_string()),
        Err(error) => {
            tracing::debug!("no licence is told of {package}: {}", crate::chain::chain(&error));
            None
        }
    }
}

/// All terms that a copyright file has for files.
fn parse(text: &str) -> Option<Terms> {
    let text = text.replace('\r', "");
    let mut paragraphs = Vec::new();
    let mut current = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            paragraphs.push(std::mem::take(&mut current));
        } else {
            current.push(line);
        }
    }
    paragraphs.push(current);
    paragraphs.retain(|lines| !lines.is_empty());
    let format = field(paragraphs.first()?, "Format")?;
    if !["copyright-format/1", "/dep5", "/deps/dep5", "DEP-5"].iter().any(|known| format.contains(known)) {
        return None;
    }
    // A paragraph without `Files` is the header, or the text of a licence that others name.
    let for_files = paragraphs.iter().filter(|lines| field(lines, "Files").is_some());
    let terms: Vec<_> = for_files.filter_map(|lines| Terms::read(field(lines, "License")?)).collect();
    if terms.is_empty() {
        return Terms::read(field(&paragraphs[0], "License")?);
    }
    Terms::all(terms)
}

/// The first line of a field.
fn field<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    let value = lines.iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        parse(text).map(|terms| terms.to_string())
    }

    #[test]
    fn the_terms_of_all_files_are_told_together() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
                    Upstream-Name: thing\nLicense: GPL-2+\n\n\
                    Files: *\nCopyright: 2020 A\nLicense: GPL-2+\n This program is free software\n .\n or not\n\n\
                    Files: lib/*\nCopyright: 2021 B\nLicense: Expat or Apache-2.0\n\n  \n\
                    Files: debian/*\r\nCopyright: 2021 B\r\nLicense: GPL-2+\r\n\r\n\
                    License: Expat\n Permission is hereby granted\n";
        assert_eq!(told(text).unwrap(), "GPL-2.0-or-later AND (Apache-2.0 OR MIT)");
    }

    #[test]
    fn what_is_for_people_is_not_guessed_at() {
        assert_eq!(told(""), None);
        assert_eq!(told("This package was debianized by A.\n\nLicense: GPL\n"), None);
        assert_eq!(told("Format: https://example.com/other\n\nFiles: *\nLicense: Expat\n"), None);
        let header = "Format: http://dep.debian.net/deps/dep5/\nLicense: ISC\n\nFiles: *\nCopyright: A\n";
        assert_eq!(told(header).unwrap(), "ISC");
    }
}
