//! Where in the input an object stands, so that what is found wrong with it later is told there.
//!
//! A check after the driver knows objects only; people know their document. A driver notes for each
//! object the place that it came from.

use std::collections::BTreeMap;

/// The places of the input by JSON pointers into the objects, as a plan shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// One place, whatever part of the object is meant.
    At(String),
    /// Parts of the object have the same keys in the input.
    Under(String),
}

impl Origins {
    /// Notes that `object`, with all within, comes from `input`.
    pub fn at(&mut self, object: impl Into<String>, input: impl Into<String>) {
        self.0.insert(object.into(), Place::At(input.into()));
    }

    /// Notes that `object` comes from `input`, where what is within has the same keys.
    pub fn under(&mut self, object: impl Into<String>, input: impl Into<String>) {
        self.0.insert(object.into(), Place::Under(input.into()));
    }

    /// The place in the input of what stands at `pointer` in the objects; `pointer` itself where no driver
    /// noted one.
    pub fn of(&self, pointer: &str) -> String {
        let mut object = pointer;
        loop {
            match self.0.get(object) {
                Some(Place::At(input)) => return input.clone(),
                Some(Place::Under(input)) => return format!("{input}{}", &pointer[object.len()..]),
                None => {}
            }
            match object.rsplit_once('/') {
                Some((parent, _)) => object = parent,
                None => return pointer.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_counts() {
        let mut origins = Origins::default();
        origins.at("/parteds/0", "/disks/3");
        origins.at("/parteds/0/partitions/1/end", "/disks/3/volumes/0/size");
        origins.under("/fss", "/partitioning/fss");
        for (pointer, place) in [
            ("/parteds/0/label", "/disks/3"),
            ("/parteds/0/partitions/1/end", "/disks/3/volumes/0/size"),
            ("/parteds/0/partitions/1/guid", "/disks/3"),
            ("/fss/2/mount", "/partitioning/fss/2/mount"),
            ("/parteds/1/label", "/parteds/1/label"),
            ("", ""),
        ] {
            assert_eq!(origins.of(pointer), place);
        }
    }
}
