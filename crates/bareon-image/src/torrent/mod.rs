//! Images by `BitTorrent`: every machine that is installed gives to the others what it has already.
//!
//! A packed image is streamed in order ([`Stream`]) while all that came of it is kept and given away; see [`keep`] for
//! where. A raw one goes straight onto its device, in any
//! order ([`write`]). All of this is behind the cargo feature `torrent`.

mod certificates;
mod direct;
mod keep;
mod meet;
mod order;
mod shelf;
mod store;
mod stream;
mod swarm;

pub use direct::write;
pub use stream::Stream;
