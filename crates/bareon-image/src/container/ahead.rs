//! A reader whose next bytes can be looked at before it is decided what becomes of them.

use std::io::{self, BufRead, Read};

/// See the module.
#[derive(Debug)]
pub struct Ahead<R> {
    from: R,
    /// Bytes that were read and are not taken; those before `at` are.
    kept: Vec<u8>,
    at: usize,
    taken: u64,
}

impl<R: BufRead> Ahead<R> {
    /// Looks ahead in what `from` gives.
    pub const fn new(from: R) -> Self {
        Self { from, kept: Vec::new(), at: 0, taken: 0 }
    }

    /// How many bytes were taken.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// The next `count` bytes, or all that are left if there are fewer.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.kept.len() - self.at < count {
            let found = self.from.fill_buf()?;
            if found.is_empty() {
                break;
            }
            let missing = count - (self.kept.len() - self.at);
            let more = found.len().min(missing);
            self.kept.drain(..self.at);
            self.at = 0;
            self.kept.extend_from_slice(&found[..more]);
            self.from.consume(more);
        }
        let kept = &self.kept[self.at..];
        Ok(&kept[..kept.len().min(count)])
    }

    /// Takes `count` bytes, and puts them behind those of `piece`.
    ///
    /// # Errors
    /// When they cannot be read; of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when there are fewer.
    pub fn take_into(&mut self, piece: &mut Vec<u8>, count: usize) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let found = self.fill_buf()?;
            if found.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let more = found.len().min(left);
            piece.extend_from_slice(&found[..more]);
            self.consume(more);
            left -= more;
        }
        Ok(())
    }

    /// Takes `count` bytes and forgets them.
    ///
    /// # Errors
    /// As [`take_into`](Self::take_into).
    pub fn skip(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let found = self.fill_buf()?.len();
            if found == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let more = usize::try_from(left).unwrap_or(usize::MAX).min(found);
            self.consume(more);
            left -= more as u64;
        }
        Ok(())
    }

    /// Puts back the bytes that were taken last.
    pub fn give_back(&mut self, bytes: &[u8]) {
        self.kept.splice(..self.at, bytes.iter().copied());
        self.at = 0;
        self.taken -= bytes.len() as u64;
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.kept.len() { Ok(&self.kept[self.at..]) } else { self.from.fill_buf() }
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount as u64;
        if self.at < self.kept.len() {
            self.at += amount;
            if self.at == self.kept.len() {
                // What was put back may have been large, and is over now.
                (self.kept, self.at) = (Vec::new(), 0);
            }
        } else {
            self.from.consume(amount);
        }
    }
}

impl<R: BufRead> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let found = self.fill_buf()?;
        let read = found.len().min(buffer.len());
        buffer[..read].copy_from_slice(&found[..read]);
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn nothing_is_lost_or_read_twice() {
        let data: Vec<u8> = (0..=255).collect();
        for capacity in [1, 3, 300] {
            let mut ahead = Ahead::new(BufReader::with_capacity(capacity, &*data));
            assert_eq!(ahead.peek(10).unwrap(), &data[..10]);
            assert_eq!(ahead.peek(4).unwrap(), &data[..4]);
            let mut piece = Vec::new();
            ahead.take_into(&mut piece, 20).unwrap();
            assert_eq!((&*piece, ahead.taken()), (&data[..20], 20));
            assert_eq!(ahead.peek(7).unwrap(), &data[20..27]);
            ahead.give_back(&piece[15..]);
            assert_eq!(ahead.peek(3).unwrap(), &data[15..18]);
            assert_eq!(ahead.taken(), 15);
            ahead.skip(30).unwrap();
            let mut rest = Vec::new();
            ahead.read_to_end(&mut rest).unwrap();
            assert_eq!((&*rest, ahead.taken()), (&data[45..], 256));
            assert!(ahead.peek(1).unwrap().is_empty());
            assert_eq!(ahead.skip(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
