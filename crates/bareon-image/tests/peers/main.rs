//! Images fetched from servers that others wrote: nginx, tftpd-hpa, atftpd, docker-registry. Each test starts its own
//! on a free port of this machine, and ends it.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

#[path = "../common/mod.rs"]
mod common;
mod nginx;
mod process;
mod registry;
mod support;
mod tftp;
