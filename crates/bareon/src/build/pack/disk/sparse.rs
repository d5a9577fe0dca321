//! Copies that leave holes where there is nothing but zeros.

use std::{fs::File, io, os::unix::fs::FileExt};

/// What is looked at as a whole, in bytes.
pub const BLOCK: usize = 4096;

/// What is read at once, in bytes.
const CHUNK: usize = 1 << 20;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Whether `block`, of at most [`BLOCK`] bytes, holds nothing but zeros.
pub fn is_zero(block: &[u8]) -> bool {
    *block == ZEROS[..block.len()]
}

/// Copies all of `from` to the offset `to` of `target`, where there are only zeros yet.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub fn copy(from: &File, target: &File, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let length = from.read_at(&mut buffer, at)?;
        if length == 0 {
            return Ok(());
        }
        // Runs of blocks with data are written at once.
        let mut begin = 0;
        while begin < length {
            let zero = |at: &usize| is_zero(&buffer[*at..(*at + BLOCK).min(length)]);
            let data = (begin..length).step_by(BLOCK).find(|at| !zero(at)).unwrap_or(length);
            let end = (data..length).step_by(BLOCK).find(zero).unwrap_or(length);
            target.write_all_at(&buffer[data..end], to + at + data as u64)?;
            begin = end;
        }
        at += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_are_left_out_and_all_else_is_there() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let length = 5 * CHUNK + 777;
        from.set_len(length as u64).unwrap();
        to.set_len(2 * length as u64).unwrap();
        for at in [0, 5000, 2 * CHUNK - 3, 4 * CHUNK + 100_000, length - 7] {
            from.write_all_at(b"content", at as u64).unwrap();
        }
        copy(&from, &to, 8192).unwrap();
        let (mut read, mut expected) = (vec![0; length], vec![0; length]);
        to.read_exact_at(&mut read, 8192).unwrap();
        from.read_exact_at(&mut expected, 0).unwrap();
        assert!(read == expected);
        assert!(to.metadata().unwrap().blocks() * 512 <= 7 * BLOCK as u64);
    }
}
