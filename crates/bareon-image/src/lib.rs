//! Image streams: bytes are fetched, unpacked, hashed and written to a device, all at once.
//!
//! ```text
//! source ──▶ container ──┬──▶ target, or several
//! (fetch)    (unpack)    └──▶ sums: sha256, and those that are expected
//! ```
//!
//! [`write()`] does the whole of it, [`fetch`] gets a small file. This crate knows no word of bareon: it is told a
//! URI, a container, a target and what is known of the data. A transport is one file in `source`, a packing one
//! file in `container`.
//!
//! Two promises are kept here. *Memory*: buffers come from two pools of fixed size (see [`ceiling`]), whatever
//! the size of the image. *Nothing half done mounts*: the first MiB of the target is zero from the first write
//! on, and gets its content last, after length and digests were found right and everything else was flushed.
//!
//! Until the source is open and its first bytes look like what was announced, the target is not touched.

mod chunks;
mod container;
mod digest;
mod error;
mod feed;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hand_on;
pub mod index;
mod metainfo;
pub mod pack;
mod pipeline;
mod pool;
mod progress;
mod request;
mod shared;
mod source;
mod spread;
mod standing;
mod target;
#[cfg(feature = "torrent")]
mod torrent;
mod unpack;
mod watch;
mod writer;
mod zeros;

pub use container::Container;
pub use digest::{Algorithm, Sums};
pub use error::{ImageError, WriteError};
pub use metainfo::{PIECE_SIZES, Torrent};
pub use pipeline::{ceiling, fetch, write, write_devices, write_to};
pub use progress::{Progress, Silent};
pub use request::{
    HttpOptions, Options, ProxyUse, Reimage, Request, TargetState, TorrentOptions, Verify, Written,
};
pub use source::{check_uri, client::build as http_client, demands_digest, holds_digest, shown};
pub use standing::compare;
pub use target::{Device, HEAD, LOOKED_AT, Medium, Misfit, Spare, Target};

/// 2^20 bytes.
const MIB: u64 = 1 << 20;
