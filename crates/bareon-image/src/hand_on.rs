//! What becomes of unpacked data: they are handed on to all who want them, in buffers that end at a page.

use std::{io, sync::Arc};

use crate::{
    ImageError,
    digest::Takers,
    pool::{ALIGN, Buffer, Pool},
    shared::Shared,
};

/// Why unpacking ended before the end of the data.
#[derive(Debug)]
pub enum Halt {
    /// All is to stop, and why is with the others.
    Told,
    /// The data cannot be read or unpacked past this byte of the file.
    At(u64, io::Error),
    /// Something else.
    Failed(ImageError),
}

/// Who gets the data.
pub struct HandOn<'a> {
    uri: &'a str,
    size: Option<u64>,
    takers: &'a Takers<Arc<Buffer>>,
    total: u64,
    /// A buffer that is not full yet, where the data so far do not end at a page.
    partial: Option<Buffer>,
}

impl<'a> HandOn<'a> {
    /// Of `uri`, whose data are of this `size` where that is known.
    pub fn to(takers: &'a Takers<Arc<Buffer>>, uri: &'a str, size: Option<u64>) -> Self {
        Self { uri, size, takers, total: 0, partial: None }
    }

    /// The buffer that is not full yet, if there is one.
    pub fn partial(&mut self) -> Option<Buffer> {
        self.partial.take()
    }

    /// Hands on a buffer; more data than there are to be are not.
    ///
    /// # Errors
    /// When there are more than there are to be, or all is to stop.
    pub fn give(&mut self, buffer: Buffer) -> Result<(), Halt> {
        self.total += buffer.len() as u64;
        if let Some(expected) = self.size.filter(|expected| self.total > *expected) {
            let (uri, found) = (self.uri.to_owned(), self.total);
            return Err(Halt::Failed(ImageError::Size { uri, expected, found, exact: false }));
        }
        if buffer.is_empty() || self.takers.give(&Arc::new(buffer)) { Ok(()) } else { Err(Halt::Told) }
    }

    /// Hands on what a buffer has, in such pieces that each ends at a page; what is left is kept.
    ///
    /// # Errors
    /// When there are more data than there are to be, or all is to stop.
    pub fn aligned(&mut self, buffer: Buffer, pool: &Pool, shared: &Shared) -> Result<(), Halt> {
        if self.partial.is_none() && buffer.len().is_multiple_of(ALIGN) {
            return self.give(buffer);
        }
        let mut rest = &*buffer;
        while !rest.is_empty() {
            let mut partial = match self.partial.take() {
                Some(partial) => partial,
                None => pool.take(shared).ok_or(Halt::Told)?,
            };
            let space = partial.space();
            let more = rest.len().min(space.len());
            space[..more].copy_from_slice(&rest[..more]);
            partial.grow(more);
            rest = &rest[more..];
            if partial.space().is_empty() { self.give(partial)? } else { self.partial = Some(partial) }
        }
        Ok(())
    }
}
