//! `registry`: any bytes as a registry's manifest, its index, or what it asks for.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bareon_image::fuzz::registry(bytes));
