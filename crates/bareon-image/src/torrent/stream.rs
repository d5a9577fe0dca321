//! A torrent as a stream from its beginning to its end: what is read next is fetched first, all the rest meanwhile.

use std::{
    io::{self, SeekFrom},
    sync::Arc,
};

use librqbit::ManagedTorrent;
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    sync::mpsc::{Receiver, Sender, channel},
};

use super::{
    keep,
    order::{self, Order},
    swarm::{Swarm, failed},
};
use crate::{ImageError, Options, source::Source, watch::Watch};

/// How much is read at a time, in bytes.
const PIECE: usize = 256 << 10;

/// How many of these wait to be taken.
const AHEAD: usize = 4;

/// See the module.
pub struct Stream {
    uri: String,
    swarm: Swarm,
    watch: Arc<dyn Watch>,
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// What was taken, and how much of it was handed out.
    current: (Vec<u8>, usize),
    left: u64,
}

impl Stream {
    /// Joins those who share the torrent `uri`, to read it from byte `from` on.
    ///
    /// # Errors
    /// When there is no such torrent, nobody is there to give it, or there is no room to keep it in.
    pub fn open(uri: &str, from: u64, options: &Options, watch: Arc<dyn Watch>) -> Result<Self, ImageError> {
        let shown = crate::shown(uri);
        let (kept, told) = (options.clone(), shown.clone());
        let choose = Box::new(move |length| keep::place(&told, length, &kept));
        let swarm = Swarm::join(uri, options, &watch, choose)?;
        let (sender, pieces) = channel(AHEAD);
        order::scatter(&swarm, Order::Forward);
        swarm.start(pump(Arc::clone(swarm.torrent()), from, sender));
        let left = swarm.length().saturating_sub(from);
        let mut stream = Self { uri: shown, swarm, watch, pieces, current: (Vec::new(), 0), left };
        // Whether there is anybody who gives something is seen at the first piece.
        if left > 0 {
            stream.next()?;
        }
        Ok(stream)
    }

    fn next(&mut self) -> Result<(), ImageError> {
        let broken = |source: io::Error| failed(&self.uri, "it cannot be read", Some(source.into()));
        let piece = self.swarm.wait(&*self.watch, self.pieces.recv())?;
        let piece = piece.ok_or(io::ErrorKind::UnexpectedEof.into()).flatten().map_err(broken)?;
        self.current = (piece, 0);
        Ok(())
    }
}

impl Source for Stream {
    fn length(&self) -> Option<u64> {
        Some(self.swarm.length())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        if self.left == 0 {
            return Ok(0);
        }
        if self.current.1 == self.current.0.len() {
            self.next()?;
        }
        let (piece, at) = &mut self.current;
        let length = (piece.len() - *at).min(buffer.len());
        buffer[..length].copy_from_slice(&piece[*at..*at + length]);
        *at += length;
        self.left = self.left.saturating_sub(length as u64);
        Ok(length)
    }

    fn giving(&mut self) -> bool {
        self.swarm.giving()
    }
}

/// Reads the torrent from byte `from` to its end, and sends what it reads.
async fn pump(torrent: Arc<ManagedTorrent>, from: u64, sender: Sender<io::Result<Vec<u8>>>) {
    let mut stream = match torrent.stream(0).await {
        Ok(stream) => stream,
        Err(error) => {
            let _ = sender.send(Err(io::Error::other(error))).await;
            return;
        }
    };
    if let Err(error) = stream.seek(SeekFrom::Start(from)).await {
        let _ = sender.send(Err(error)).await;
        return;
    }
    loop {
        let mut piece = vec![0; PIECE];
        let read = stream.read(&mut piece).await.map(|length| {
            piece.truncate(length);
            piece
        });
        if matches!(&read, Ok(piece) if piece.is_empty()) {
            return;
        }
        let failed = read.is_err();
        if sender.send(read).await.is_err() || failed {
            return;
        }
    }
}
