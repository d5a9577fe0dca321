//! The header of a qcow2 (the documentation of QEMU, `docs/interop/qcow2.txt`).
//!
//! It is looked at before `qemu-img` sees the file: an image may name other files, which that would open to tell of them.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// What a qcow2 begins with.
const MAGIC: &[u8] = b"QFI\xfb";
/// How long the header is of which all is looked at.
const HEADER: usize = 104;
/// Bits of its features that a reader must know: not closed, damaged, data in another file.
const FEATURES: [(u64, &str); 3] = [
    (1, "it was not closed by whoever wrote it"),
    (2, "it is marked as corrupt"),
    (4, "its data lie in another file"),
];

/// The size of the data of the qcow2 in `file`, or why it will not be unpacked.
///
/// # Errors
/// When it cannot be read.
pub fn look(file: &Path) -> io::Result<Result<u64, String>> {
    let mut header = Vec::new();
    File::open(file)?.take(HEADER as u64).read_to_end(&mut header)?;
    Ok(read(&header))
}

fn read(header: &[u8]) -> Result<u64, String> {
    let word = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_be_bytes(header.get(at..at + 8)?.try_into().ok()?));
    let short = || "it breaks off in its header".to_owned();
    if !header.starts_with(MAGIC) {
        return Err("it does not begin like one".into());
    }
    let version = word(4).ok_or_else(short)?;
    if !(2..=3).contains(&version) {
        return Err(format!("it is of version {version}, and 2 and 3 are known"));
    }
    if long(8).ok_or_else(short)? != 0 {
        return Err("it is only what differs from its backing file".into());
    }
    if word(32).ok_or_else(short)? != 0 {
        return Err("it is encrypted".into());
    }
    let features = if version == 3 { long(72).ok_or_else(short)? } else { 0 };
    if let Some((_, why)) = FEATURES.iter().find(|(bit, _)| features & bit != 0) {
        return Err((*why).into());
    }
    long(24).ok_or_else(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&version.to_be_bytes());
        header[24..32].copy_from_slice(&(64_u64 << 20).to_be_bytes());
        change(&mut header);
        header
    }

    #[test]
    fn an_image_that_does_not_stand_alone_is_told_before_anything_opens_it() {
        for version in [2, 3] {
            assert_eq!(read(&header(version, |_| {})), Ok(64 << 20));
        }
        for (header, word) in [
            (header(3, |header| header[15] = 1), "backing file"),
            (header(2, |header| header[35] = 2), "encrypted"),
            (header(3, |header| header[79] = 1), "not closed"),
            (header(3, |header| header[79] = 2), "corrupt"),
            (header(3, |header| header[79] = 4), "another file"),
            (header(4, |_| {}), "version 4"),
            (header(3, |header| header.truncate(70)), "breaks off"),
            (b"<html>".to_vec(), "does not begin like one"),
        ] {
            let why = read(&header).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
