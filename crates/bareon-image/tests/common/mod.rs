//! What the tests of several programs need: data, and a sum of them.

use sha2::{Digest, Sha256};

pub const MIB: usize = 1 << 20;

/// Data that do not repeat and hold no zeros at their beginning.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut data = Vec::with_capacity(length + 8);
    while data.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(length);
    data
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

pub fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}
