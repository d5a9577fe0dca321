//! What a tree is given beside its packages.

use std::path::PathBuf;

use super::{Told, given, is_plain_absolute};
use crate::{
    drivers::{Mistake, place::Place},
    objects::build::{Customization, RootPassword},
};

/// Reads what stands at `place` over what is there already. An empty value gives nothing, as callers send them.
pub(super) fn read(place: &Place<'_>, custom: &mut Customization, told: &mut Told) {
    if let Some(password) = password(place, told) {
        custom.root_password = password;
    }
    if let Some(file) = file(place, "root_ssh_authorized_file", told) {
        custom.root_ssh_authorized_file = Some(file);
    }
    if let Some(file) = file(place, "post_script_file", told) {
        custom.post_script_file = Some(file);
    }
    files(place, "extra_files", &mut custom.extra_files, told);
    files(place, "certs", &mut custom.certs, told);
    custom.debconf.extend(debconf(place, told));
}

/// The password of root: its hash comes before itself.
fn password(place: &Place<'_>, told: &mut Told) -> Option<RootPassword> {
    let mut text = |key: &str, remedy: &str| {
        let found = given(place, key)?;
        let text = found.text(remedy, &mut told.mistakes)?;
        Some((found, text)).filter(|(_, text)| !text.is_empty())
    };
    let hashed = text("hashed_root_password", HASH);
    let plain = text("root_password", "write the password of root, or leave it out to lock the account");
    if let Some((found, hash)) = hashed {
        if hash.contains(|c: char| c == ':' || c.is_control() || c.is_whitespace()) || !hash.starts_with('$')
        {
            told.defer(&found, "this is no hash of a password", HASH);
        }
        return Some(RootPassword::Hashed(hash.into()));
    }
    let (found, plain) = plain?;
    if plain.contains(char::is_control) {
        told.defer(&found, "a password has no line breaks and the like", "write one without");
    }
    Some(RootPassword::Plain(plain.into()))
}

const HASH: &str = "write what `openssl passwd -6` prints, or leave it out to lock the account";

/// A file of the build host.
fn file(place: &Place<'_>, key: &str, told: &mut Told) -> Option<PathBuf> {
    let found = given(place, key).filter(|found| found.value != "")?;
    let path = path(&found, told)?;
    told.origins.at(format!("/custom/{key}"), found.path);
    Some(path)
}

/// Adds files or folders of the build host to `list`.
fn files(place: &Place<'_>, key: &str, list: &mut Vec<PathBuf>, told: &mut Told) {
    let Some(found) = given(place, key).filter(|found| found.value != "") else { return };
    let items = if found.value.is_string() {
        vec![found]
    } else {
        let items = found.items("write a list of absolute paths on this machine", &mut told.mistakes);
        items.into_iter().flatten().collect()
    };
    for item in items {
        if let Some(path) = path(&item, told) {
            // In the tree all of them lie in one folder.
            if key == "certs" && list.iter().any(|other| other.file_stem() == path.file_stem()) {
                told.defer(&item, "another certificate has this name", "give each a file name of its own");
            }
            told.origins.at(format!("/custom/{key}/{}", list.len()), item.path);
            list.push(path);
        }
    }
}

fn path(place: &Place<'_>, told: &mut Told) -> Option<PathBuf> {
    let remedy = "write an absolute path on this machine";
    let path = PathBuf::from(place.text(remedy, &mut told.mistakes)?);
    if !is_plain_absolute(&path) {
        told.defer(place, "this is no absolute path", remedy);
        return None;
    }
    Some(path)
}

/// Answers to debconf's questions: a list of lines, or a text of them.
fn debconf(place: &Place<'_>, told: &mut Told) -> Vec<String> {
    let Some(found) = given(place, "debconf") else { return Vec::new() };
    let mut answers = Vec::new();
    if let Some(text) = found.value.as_str() {
        for line in text.lines() {
            answers.extend(answer(&found, line, told));
        }
        return answers;
    }
    for item in found.items(DEBCONF, &mut told.mistakes).into_iter().flatten() {
        if let Some(line) = item.text(DEBCONF, &mut told.mistakes) {
            answers.extend(answer(&item, line, told));
        }
    }
    answers
}

const DEBCONF: &str = "write lines such as `tzdata tzdata/Areas select Europe`, in a list or a text";

/// A line with an answer: package, question, type and value. It may hold a password, so no mistake shows it.
fn answer(place: &Place<'_>, line: &str, told: &mut Told) -> Option<String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    if line.split_whitespace().count() < 3 || line.contains('\n') {
        let problem = "this is no answer: package, question, type and value, in one line";
        told.mistakes.push(Mistake::new(place.path.clone(), None, problem, DEBCONF));
        return None;
    }
    Some(line.to_owned())
}
