//! One chunk out of its piece of the container.

use std::io::{self, Read};

use flate2::read::GzDecoder;

use crate::Container;

/// Fills `raw` with what `piece` holds, which must be neither less nor more.
///
/// # Errors
/// When it is not, or is damaged.
pub fn unpack(container: Container, piece: &[u8], raw: &mut [u8]) -> io::Result<()> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    match container {
        Container::Gzip => {
            let mut member = GzDecoder::new(piece);
            member.read_exact(raw)?;
            // The checksum is looked at when the end is read.
            if member.read(&mut [0])? > 0 {
                return Err(wrong("the chunk is larger than the index says"));
            }
        }
        Container::Zstd => {
            if zstd::bulk::decompress_to_buffer(piece, raw)? != raw.len() {
                return Err(wrong("the chunk is smaller than the index says"));
            }
        }
        _ if piece.len() == raw.len() => raw.copy_from_slice(piece),
        _ => return Err(wrong("the chunk is not as long as the index says")),
    }
    Ok(())
}
