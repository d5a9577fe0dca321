//! Real builds by `bareon-build-image`: of a small Debian, from Debian's mirror and from repositories made here.
//!
//! They need root, debootstrap or mmdebstrap, and the mirror. Packages are kept in `$BAREON_CACHE/packages` between
//! runs.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by it, and runs tools itself"
)]

mod bench;
mod cache;
mod faults;
mod full;
mod repository;
mod rootless;
mod same;
mod vanished;
