//! Torrent files (BEP 3): made for an image, the same bytes for the same image.
//!
//! It is one file in pieces, of which there are SHA-1 sums; trackers (BEP 12) and mirrors that have the file itself
//! (BEP 19) are told beside. No date and no name of a program stands in it, so that nothing differs from one time to the
//! next.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha1::{Digest, Sha1};

/// How many pieces there may be before they are made larger: a torrent file of 2000 has 40 KB.
const PIECES: u64 = 2000;

/// The smallest and the largest size of a piece in bytes that is chosen, and that may be asked for.
pub const PIECE_SIZES: std::ops::RangeInclusive<u32> = 1 << 18..=1 << 24;

/// What a torrent file tells beside the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Torrent {
    /// The name of the file.
    pub name: String,
    /// Where peers tell of themselves; they are asked in this order.
    pub trackers: Vec<String>,
    /// Where the file itself can be had by HTTP.
    pub mirrors: Vec<String>,
    /// The size of a piece in bytes, a power of two; nothing for one by the size of the image.
    pub piece_size: Option<u32>,
}

impl Torrent {
    /// The torrent file of the image at `path`.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn of(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let piece = self.piece_size.unwrap_or_else(|| piece_size(length));
        let mut pieces = Vec::new();
        let mut buffer = vec![0; usize::try_from(piece).unwrap_or(usize::MAX)];
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact(&mut buffer[..part])?;
            pieces.extend_from_slice(&Sha1::digest(&buffer[..part]));
            left -= part as u64;
        }
        Ok(self.text(length, piece, &pieces))
    }

    /// All keys in the order of their bytes, as the format demands.
    fn text(&self, length: u64, piece: u32, pieces: &[u8]) -> Vec<u8> {
        let mut text = b"d".to_vec();
        if let Some(first) = self.trackers.first() {
            string(&mut text, b"announce");
            string(&mut text, first.as_bytes());
            string(&mut text, b"announce-list");
            text.push(b'l');
            for tracker in &self.trackers {
                text.push(b'l');
                string(&mut text, tracker.as_bytes());
                text.push(b'e');
            }
            text.push(b'e');
        }
        string(&mut text, b"info");
        text.push(b'd');
        string(&mut text, b"length");
        text.extend_from_slice(format!("i{length}e").as_bytes());
        string(&mut text, b"name");
        string(&mut text, self.name.as_bytes());
        string(&mut text, b"piece length");
        text.extend_from_slice(format!("i{piece}e").as_bytes());
        string(&mut text, b"pieces");
        string(&mut text, pieces);
        text.push(b'e');
        if !self.mirrors.is_empty() {
            string(&mut text, b"url-list");
            text.push(b'l');
            for mirror in &self.mirrors {
                string(&mut text, mirror.as_bytes());
            }
            text.push(b'e');
        }
        text.push(b'e');
        text
    }
}

fn string(text: &mut Vec<u8>, bytes: &[u8]) {
    text.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    text.extend_from_slice(bytes);
}

fn piece_size(length: u64) -> u32 {
    let wanted = u32::try_from((length / PIECES).next_power_of_two()).unwrap_or(*PIECE_SIZES.end());
    wanted.clamp(*PIECE_SIZES.start(), *PIECE_SIZES.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_with_the_image() {
        for (length, piece) in
            [(0, 1 << 18), (500 << 20, 1 << 18), (1 << 30, 1 << 20), (8 << 30, 1 << 23), (1 << 50, 1 << 24)]
        {
            assert_eq!(piece_size(length), piece, "{length}");
        }
    }

    #[test]
    fn a_torrent_file_has_its_keys_in_order_and_a_sum_for_each_piece() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; (1 << 18) + 5]).unwrap();
        let torrent = Torrent {
            name: "root.img.gz".into(),
            trackers: vec!["http://a/announce".into(), "udp://b:1".into()],
            mirrors: vec!["http://c/root.img.gz".into()],
            piece_size: None,
        };
        let made = torrent.of(file.path()).unwrap();
        let text = String::from_utf8_lossy(&made);
        assert!(text.starts_with(
            "d8:announce17:http://a/announce13:announce-listll17:http://a/announceel9:udp://b:1ee4:infod6:lengthi262149e\
             4:name11:root.img.gz12:piece lengthi262144e6:pieces40:"
        ));
        assert!(text.ends_with("e8:url-listl20:http://c/root.img.gzee"), "{text}");
        let sums = made.windows(20).filter(|bytes| **bytes == Sha1::digest([7; 5])[..]).count();
        assert_eq!(sums, 1);
    }
}
