//! Packed pieces, which are taken in the order of the blocks, whoever is ready first.

use crossbeam_channel::{Receiver, bounded};

use super::PackError;

/// Where the next packed piece comes.
pub type Ticket = Receiver<Result<Piece, PackError>>;

/// A packed piece.
#[derive(Debug, Clone, Default)]
pub struct Piece {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the index tells of the block within: whether it is zeros, and its hash. Nothing where a piece is no block.
    pub block: Option<(bool, [u8; 32])>,
}

/// A ticket that is answered already.
pub fn ready(piece: Result<Piece, PackError>) -> Ticket {
    let (sender, ticket) = bounded(1);
    // There is room for one.
    let _ = sender.send(piece);
    ticket
}
