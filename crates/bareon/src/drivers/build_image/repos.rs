//! Repositories.

use std::path::PathBuf;

use super::{Told, given, is_plain_absolute};
use crate::{
    drivers::place::Place,
    objects::build::{Repo, SignedBy},
};

/// How a repository may be reached.
const SCHEMES: [&str; 4] = ["http", "https", "file", "copy"];

const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The repositories of `repos`.
pub(super) fn read(root: &Place<'_>, told: &mut Told) -> Option<Vec<Repo>> {
    let remedy = "write a list of repositories; the first is what the system is bootstrapped from";
    let list = root.need("repos", remedy, &mut told.mistakes)?;
    let items = list.items(remedy, &mut told.mistakes)?;
    if items.is_empty() {
        told.defer(&list, "there is no repository", remedy);
    }
    let repos: Vec<_> = items.iter().map(|place| repo(place, told)).collect();
    if let (Some(place), Some(Some(first))) = (items.first(), repos.first())
        && (first.section.trim().is_empty() || first.suite.ends_with('/'))
    {
        let remedy = "put a repository with suites first, a mirror of Debian or Ubuntu";
        told.defer(place, "the first repository is flat, and no system is bootstrapped from one", remedy);
    }
    repos.into_iter().collect()
}

fn repo(place: &Place<'_>, told: &mut Told) -> Option<Repo> {
    place.object("write an object with name, uri, suite, section and priority", &mut told.mistakes)?;
    let name = place.need_text("name", "write what it is called in messages", &mut told.mistakes);
    let uri = place.need_text(
        "uri",
        "write where it lies, such as http://deb.debian.org/debian",
        &mut told.mistakes,
    );
    let suite = place.need_text("suite", "write the suite, such as bookworm", &mut told.mistakes);
    let remedy = "write the components, such as main; \"\" for a flat repository";
    let section = place.need_text("section", remedy, &mut told.mistakes);
    let priority = priority(place, told);
    let trusted = trusted(place, told);
    let signed_by = signed_by(place, told);
    let (name, uri, suite, section) = (name?, uri?, suite?, section?);
    for (key, words) in [("uri", uri), ("suite", suite), ("section", section)] {
        fits_a_line(place, key, words, told);
    }
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    if let Some(found) = place.get("uri")
        && !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme.as_str()))
    {
        told.defer(
            &found,
            "this cannot be reached",
            "write a URI that begins with http, https, file or copy",
        );
    }
    if let (true, Some(key)) = (trusted, &signed_by) {
        let key = match key {
            SignedBy::File(path) => path.display().to_string(),
            SignedBy::Armored(_) => "a key".to_owned(),
        };
        let problem = format!("signatures are not looked at, and {key} is to sign them");
        place.wrong(problem, "leave `trusted` out, or `signed_by`", &mut told.mistakes);
    }
    Some(Repo {
        name: name.into(),
        uri: uri.into(),
        suite: suite.into(),
        section: section.into(),
        priority,
        trusted,
        signed_by,
    })
}

/// Refuses what would be read as something else in a line of apt's sources.
fn fits_a_line(place: &Place<'_>, key: &str, text: &str, told: &mut Told) {
    let blanks = key == "section";
    let odd = |c: char| c.is_control() || "[]\"#".contains(c) || c.is_whitespace() && !(blanks && c == ' ');
    let Some(found) = place.get(key) else { return };
    if text.contains(odd) || text.is_empty() && key != "section" {
        told.defer(
            &found,
            format!("this is no `{key}` that apt reads"),
            "write it as in a line of sources.list",
        );
    }
}

/// The priority: `null` for apt's own, a number, or a text that is one.
fn priority(repo: &Place<'_>, told: &mut Told) -> Option<i32> {
    let place = given(repo, "priority")?;
    let number = place.value.as_i64().or_else(|| place.value.as_str()?.trim().parse().ok());
    let number = number.and_then(|number| i32::try_from(number).ok()).filter(|number| *number != 0);
    if number.is_none() {
        let remedy = "write a whole number other than 0, such as 1001 or -1, or null";
        told.defer(&place, "this is no priority of apt's", remedy);
    }
    number
}

fn trusted(repo: &Place<'_>, told: &mut Told) -> bool {
    let Some(place) = given(repo, "trusted") else { return false };
    if !place.value.is_boolean() {
        place.wrong("`trusted` is not true or false", "write true or false", &mut told.mistakes);
    }
    place.value == true
}

/// The key: a file, or the key itself, armoured.
fn signed_by(repo: &Place<'_>, told: &mut Told) -> Option<SignedBy> {
    let place = given(repo, "signed_by").or_else(|| given(repo, "signed-by"))?;
    let remedy = "write the path of a keyring, or the key itself, armoured";
    let text = place.text(remedy, &mut told.mistakes)?.trim();
    if text.starts_with(ARMOR) {
        return Some(SignedBy::Armored(format!("{text}\n")));
    }
    let path = PathBuf::from(text);
    if !is_plain_absolute(&path) {
        place.wrong("this is no absolute path and no key", remedy, &mut told.mistakes);
        return None;
    }
    Some(SignedBy::File(path))
}
