//! `torrent`: a torrent beside each image.

use bareon_image::PIECE_SIZES;

use super::{Told, given};
use crate::{drivers::place::Place, objects::build::Torrents};

/// What `torrent` asks for, where it is given.
pub(super) fn read(root: &Place<'_>, told: &mut Told) -> Option<Torrents> {
    let place = given(root, "torrent")?;
    place.object("write an object with trackers, {} for none", &mut told.mistakes)?;
    let trackers = addresses(&place, "trackers", &["http", "https", "udp"], told);
    let mirrors = addresses(&place, "mirrors", &["http", "https"], told).into_iter();
    let mirrors = mirrors.map(|folder| format!("{}/", folder.trim_end_matches('/'))).collect();
    Some(Torrents { trackers, mirrors, piece_size: piece_size(&place, told) })
}

/// The addresses at `key`, each of one of these schemes.
fn addresses(place: &Place<'_>, key: &str, schemes: &[&str], told: &mut Told) -> Vec<String> {
    let remedy = format!("write addresses in a list, each with {}://", schemes.join(":// or "));
    let Some(list) = given(place, key) else { return Vec::new() };
    let found = list.texts(&remedy, &mut told.mistakes).unwrap_or_default();
    let items = list.items(&remedy, &mut crate::drivers::Mistakes::default()).unwrap_or_default();
    for (item, text) in items.iter().zip(&found) {
        let url = url::Url::parse(text).ok();
        if !url.is_some_and(|url| schemes.contains(&url.scheme()) && url.has_host()) {
            told.defer(item, "this is no such address", &*remedy);
        }
    }
    found
}

fn piece_size(place: &Place<'_>, told: &mut Told) -> Option<u32> {
    let remedy = format!("write a power of two from {} to {}", PIECE_SIZES.start(), PIECE_SIZES.end());
    let found = given(place, "piece_size")?;
    let size = u32::try_from(found.integer(&remedy, &mut told.mistakes)?).unwrap_or_default();
    if !size.is_power_of_two() || !PIECE_SIZES.contains(&size) {
        told.defer(&found, "pieces cannot have this size", remedy);
        return None;
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn torrents_are_read_and_what_is_wrong_is_told_with_its_place() {
        let read = |document: &serde_json::Value| {
            let mut told = Told::default();
            let torrents = super::read(&Place::root(document), &mut told);
            (torrents, told.mistakes.to_string() + &told.deferred.to_string())
        };
        assert_eq!(read(&json!({})), (None, String::new()));
        let (torrents, mistakes) = read(&json!({"torrent": {
            "trackers": ["udp://tracker:6969", "http://tracker/announce"],
            "mirrors": ["http://images/a", "https://images/b/"],
            "piece_size": 1_048_576,
        }}));
        let expected = Torrents {
            trackers: vec!["udp://tracker:6969".into(), "http://tracker/announce".into()],
            mirrors: vec!["http://images/a/".into(), "https://images/b/".into()],
            piece_size: Some(1 << 20),
        };
        assert_eq!((torrents, &*mistakes), (Some(expected), ""));
        let (_, mistakes) = read(&json!({"torrent": {
            "trackers": ["tracker:6969"], "mirrors": ["ftp://images"], "piece_size": 1_000_000,
        }}));
        for place in ["/torrent/trackers/0", "/torrent/mirrors/0", "/torrent/piece_size"] {
            assert!(mistakes.contains(place), "{place}: {mistakes}");
        }
    }
}
