//! A fixed number of buffers, used again and again: what bounds the memory, and what holds a fast stage back.
//!
//! A buffer begins at a page, as direct I/O wants it, and goes home when the last one who holds it lets go.

use std::ops::{Deref, DerefMut};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{shared::TICK, watch::Watch};

/// The alignment of a buffer and of its size, in bytes.
pub const ALIGN: usize = 4096;

/// Zeroed memory that begins at a page.
#[derive(Debug)]
pub struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    size: usize,
}

impl Aligned {
    /// `size` bytes.
    pub fn new(size: usize) -> Self {
        let bytes = vec![0; size + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { bytes, start, size }
    }

    /// No bytes, and no memory.
    const fn none() -> Self {
        Self { bytes: Vec::new(), start: 0, size: 0 }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.size]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.size]
    }
}

/// Buffers that nobody uses now.
#[derive(Debug)]
pub struct Pool {
    idle: Receiver<Aligned>,
    home: Sender<Aligned>,
}

impl Pool {
    /// `count` buffers of `size` bytes, which [`ALIGN`] divides.
    pub fn new(count: usize, size: usize) -> Self {
        let (home, idle) = bounded(count);
        for _ in 0..count {
            // There is room for all of them, so this cannot fail.
            let _ = home.send(Aligned::new(size));
        }
        Self { idle, home }
    }

    /// Waits for a buffer; `None` when all is to stop.
    pub fn take(&self, watch: &impl Watch) -> Option<Buffer> {
        loop {
            if watch.stopped() {
                return None;
            }
            if let Ok(bytes) = self.idle.recv_timeout(TICK) {
                return Some(Buffer { bytes, filled: 0, home: self.home.clone() });
            }
        }
    }
}

/// A buffer with data from its beginning.
#[derive(Debug)]
pub struct Buffer {
    bytes: Aligned,
    filled: usize,
    home: Sender<Aligned>,
}

impl Buffer {
    /// The part without data.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// So many more bytes are data now.
    pub fn grow(&mut self, by: usize) {
        self.filled = (self.filled + by).min(self.bytes.len());
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Without a pool there is no home; then the memory is simply freed.
        let _ = self.home.try_send(std::mem::replace(&mut self.bytes, Aligned::none()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;

    #[test]
    fn buffers_are_aligned_and_come_back() {
        let (shared, _notices) = Shared::new();
        let pool = Pool::new(2, ALIGN);
        for _ in 0..5 {
            let mut first = pool.take(&*shared).unwrap();
            let second = pool.take(&*shared).unwrap();
            first.space()[..3].copy_from_slice(b"abc");
            first.grow(3);
            assert_eq!(&*first, b"abc");
            assert!(second.is_empty());
            assert_eq!(first.as_ptr().align_offset(ALIGN), 0);
            assert_eq!(pool.idle.len(), 0);
        }
        assert_eq!(pool.idle.len(), 2);
    }

    #[test]
    fn who_waits_for_a_buffer_is_released_by_a_stop() {
        let (shared, _notices) = Shared::new();
        let pool = Pool::new(1, ALIGN);
        let _held = pool.take(&*shared).unwrap();
        shared.stop();
        assert!(pool.take(&*shared).is_none());
    }
}
