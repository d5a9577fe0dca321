//! In which order the pieces of a torrent are asked for: by chance, within a window.
//!
//! librqbit asks for the first piece that is missing. Machines that begin at the same time would then all ask the seeder
//! for the same pieces, and have nothing that another one lacks: each piece would leave the seeder once for each machine,
//! as by HTTP. What its readers wait for, however, goes first. So there are scouts: readers of one byte each of the
//! pieces, in an order of this machine's own.
//!
//! Who writes the image where it belongs can take any piece: the window is all of it. Who unpacks it needs the beginning
//! first: the window moves on, and is wide enough for all to have different parts of it.

use std::{
    collections::VecDeque,
    io::{self, SeekFrom},
    sync::{Arc, Mutex, PoisonError},
};

use librqbit::ManagedTorrent;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::swarm::{READERS, Swarm};

/// How many pieces a moving window has.
const WINDOW: usize = 128;

/// Which pieces are asked for before others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Any.
    Any,
    /// Those of the beginning.
    Forward,
}

/// Sends scouts through all pieces of a torrent. They end when all of it is there.
pub fn scatter(swarm: &Swarm, order: Order) {
    let torrent = swarm.torrent();
    let size = torrent.with_metadata(|metadata| u64::from(metadata.lengths().default_piece_length()));
    let Ok(size) = size.inspect_err(|error| tracing::debug!("the order stays as it is: {error}")) else {
        return;
    };
    let mut starts: Vec<u64> = (0..swarm.length().div_ceil(size)).map(|piece| piece * size).collect();
    shuffle(&mut starts, order);
    let starts = Arc::new(Mutex::new(VecDeque::from(starts)));
    for _ in 0..READERS {
        let (torrent, starts) = (Arc::clone(torrent), Arc::clone(&starts));
        swarm.start(async move {
            if let Err(error) = scout(torrent, &starts).await {
                tracing::debug!("a scout ended early: {error}");
            }
        });
    }
}

fn shuffle(pieces: &mut [u64], order: Order) {
    let window = if order == Order::Any { pieces.len() } else { WINDOW };
    for window in pieces.chunks_mut(window.max(1)) {
        fastrand::shuffle(window);
    }
}

/// Waits for one piece after the other of those that no other scout took.
async fn scout(torrent: Arc<ManagedTorrent>, starts: &Mutex<VecDeque<u64>>) -> io::Result<()> {
    let mut stream = torrent.stream(0).await.map_err(io::Error::other)?;
    loop {
        let next = starts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(start) = next else { return Ok(()) };
        stream.seek(SeekFrom::Start(start)).await?;
        stream.read_u8().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_shuffled_within_the_window_and_none_is_lost() {
        let pieces: Vec<u64> = (0..5 * WINDOW as u64 + 7).collect();
        let (mut any, mut forward) = (pieces.clone(), pieces.clone());
        shuffle(&mut any, Order::Any);
        shuffle(&mut forward, Order::Forward);
        assert!(any != pieces && forward != pieces);
        let far = |(at, piece): (usize, &u64)| at.abs_diff(usize::try_from(*piece).unwrap());
        assert!(any.iter().enumerate().map(far).max() > Some(WINDOW));
        assert!(forward.iter().enumerate().map(far).max() < Some(WINDOW));
        any.sort_unstable();
        forward.sort_unstable();
        assert!(any == pieces && forward == pieces);
        shuffle(&mut [], Order::Any);
    }
}
