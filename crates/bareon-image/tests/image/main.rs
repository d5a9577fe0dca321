//! Images written for real: from files and from servers that misbehave, onto files and loop devices.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod chunks;
#[path = "../common/mod.rs"]
mod common;
mod containers;
mod data;
mod device;
mod hostile;
mod http;
mod mirrors;
mod oci;
mod pack;
mod server;
mod support;
mod system;
mod tftp;
#[cfg(feature = "torrent")]
mod torrent;
