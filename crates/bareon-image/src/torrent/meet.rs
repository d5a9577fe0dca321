//! Peers that met before either of them had a piece.
//!
//! librqbit tells a peer of a new piece only if that peer has told it of a piece before. Machines that begin at the same
//! time, as those of a rack do, meet with nothing, and would never hear of each other's pieces for as long as they stay
//! connected. Who has a piece when a connection is made does tell of it. So with the first one here, all connections are
//! made once more.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use librqbit::{ManagedTorrent, PeerConnectionOptions, Session};
use tokio::time::sleep;

/// How often it is looked for the first piece.
const LOOKED: Duration = Duration::from_millis(100);

/// How long nobody is talked to between the old connections and the new ones. All peers have to see the end of the old
/// ones first: what is said in the local network is said once, and whoever takes us for connected does not listen. Nor
/// would we, as librqbit stops to listen when the last part of what it paused has ended.
const APART: Duration = Duration::from_secs(1);

/// How the connections are held: clients say something every two minutes at least (BEP 3), and a seeder that has no turn
/// for us has nothing else to say.
pub fn connections() -> PeerConnectionOptions {
    PeerConnectionOptions {
        read_write_timeout: Some(Duration::from_secs(130)),
        keep_alive_interval: Some(Duration::from_mins(1)),
        ..PeerConnectionOptions::default()
    }
}

/// Makes all connections anew as soon as there is a piece. What was given to others until then is added to `given`, as
/// librqbit counts from nothing again.
pub async fn again(session: Arc<Session>, torrent: Arc<ManagedTorrent>, given: Arc<AtomicU64>) {
    loop {
        let stats = torrent.stats();
        if stats.finished || stats.error.is_some() {
            return;
        }
        // Whoever is alone with us is who gave it.
        let peers = stats.live.map_or(0, |live| live.snapshot.peer_stats.live);
        if stats.progress_bytes > 0 && peers > 1 {
            given.fetch_add(stats.uploaded_bytes, Ordering::Relaxed);
            break;
        }
        sleep(LOOKED).await;
    }
    let met = async {
        session.pause(&torrent).await?;
        sleep(APART).await;
        forget_halves(&session, &torrent).await?;
        session.unpause(&torrent).await
    };
    if let Err(error) = met.await {
        tracing::warn!("the connections to other machines were not made anew: {error:#}");
    }
}

/// Has all pieces fetched anew that are not whole. One whose sum was being computed when librqbit paused is not whole to
/// it, but does not lack any part either: it would never be there. What was not wanted, and is wanted again, begins anew.
async fn forget_halves(session: &Arc<Session>, torrent: &Arc<ManagedTorrent>) -> anyhow::Result<()> {
    session.update_only_files(torrent, &HashSet::new()).await?;
    session.update_only_files(torrent, &HashSet::from([0])).await
}
