//! `index`: chunk indexes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bareon_image::fuzz::index(bytes));
