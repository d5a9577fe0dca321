//! `tftp`: any datagrams as a TFTP server's.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bareon_image::fuzz::tftp(bytes));
