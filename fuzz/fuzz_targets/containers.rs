//! `containers`: any bytes as an image: found by their beginning, and unpacked.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bareon_image::fuzz::containers(bytes));
