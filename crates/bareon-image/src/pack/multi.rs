//! xz, which has threads of its own: a stream of blocks with an index, as `xz --threads` makes it.

use crossbeam_channel::{Receiver, Sender};
use liblzma::stream::{Action, Check, MtStreamBuilder, Status, Stream};

use super::{
    PackError, Packing, XZ_BLOCK,
    blocks::Block,
    piece::{Piece, Ticket, ready},
};

/// The level: xz's own default. It unpacks with 9 MiB.
const LEVEL: u32 = 6;

/// The most threads: each takes about 130 MiB.
const MOST: usize = 16;

/// How much is handed on at once, in bytes.
const OUT: usize = 1 << 18;

/// Packs all blocks that come. What goes wrong is told through `order`; when nobody listens any more, it ends.
pub fn run(threads: usize, blocks: &Receiver<Block>, order: &Sender<Ticket>) {
    let result = stream(threads).and_then(|mut stream| {
        for block in blocks {
            block.each(|bytes| feed(&mut stream, bytes, Action::Run, order))?;
        }
        feed(&mut stream, &[], Action::Finish, order)
    });
    if let Err(Some(error)) = result {
        let _ = order.send(ready(Err(error)));
    }
}

/// The stream; its error is of the same type as that of [`feed`].
fn stream(threads: usize) -> Result<Stream, Option<PackError>> {
    let threads = u32::try_from(threads.min(MOST)).unwrap_or(1);
    let mut builder = MtStreamBuilder::new();
    builder.threads(threads).preset(LEVEL).block_size(XZ_BLOCK as u64).check(Check::Crc64);
    builder.encoder().map_err(|error| Some(refused(error)))
}

/// Feeds it `input`; an error that is nothing means that nobody listens.
fn feed(
    stream: &mut Stream,
    input: &[u8],
    action: Action,
    order: &Sender<Ticket>,
) -> Result<(), Option<PackError>> {
    let begun = stream.total_in();
    loop {
        let read = usize::try_from(stream.total_in() - begun).map_err(|_| None)?;
        if read == input.len() && matches!(action, Action::Run) {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(OUT);
        let status =
            stream.process_vec(&input[read..], &mut bytes, action).map_err(|error| Some(refused(error)))?;
        if !bytes.is_empty() {
            order.send(ready(Ok(Piece { bytes, block: None }))).map_err(|_| None)?;
        }
        if status == Status::StreamEnd {
            return Ok(());
        }
    }
}

fn refused(error: liblzma::stream::Error) -> PackError {
    PackError::Library { packing: Packing::Xz, why: error.to_string() }
}
