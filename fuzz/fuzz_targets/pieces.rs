//! `pieces`: members of gzip and frames of zstd, unpacked each on its own, against one stream.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bareon_image::fuzz::pieces(bytes));
