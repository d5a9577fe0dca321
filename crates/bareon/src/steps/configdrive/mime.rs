//! user-data as a MIME multipart message, which is how cloud-init takes several parts.
//!
//! Written by hand, as it is a few lines: the boundary is made of the content, so that the same
//! input gives the same bytes, and a part is base64 where its text would not survive as it is.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The longest line that a message may have as it is, in bytes (RFC 5322, 2.1.1).
const LONGEST_LINE: usize = 998;

/// One part of the message.
pub struct Part<'a> {
    /// The subtype of `text/`, as cloud-init knows it.
    pub kind: &'a str,
    /// Its file name, which cloud-init's log shows.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
}

/// The message of `parts`.
pub fn multipart(parts: &[Part]) -> String {
    let boundary = boundary(parts);
    let mut message = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n");
    for part in parts {
        let (encoding, body) = encoded(part.text);
        // Writing to a string does not fail.
        let _ = write!(
            message,
            "\n--{boundary}\n\
             Content-Type: text/{}; charset=\"utf-8\"\n\
             MIME-Version: 1.0\n\
             Content-Transfer-Encoding: {encoding}\n\
             Content-Disposition: attachment; filename=\"{}\"\n\
             \n{body}",
            part.kind, part.name
        );
    }
    let _ = write!(message, "\n--{boundary}--\n");
    message
}

/// A boundary that is in no text: no text holds a hash of itself.
fn boundary(parts: &[Part]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.kind);
        hash.update(part.text);
    }
    let hex = hash.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("==={hex}===")
}

/// The text for the message, and how it is encoded.
fn encoded(text: &str) -> (&'static str, String) {
    let plain = |c: char| c == '\n' || c == '\t' || (' '..='~').contains(&c);
    let fits = text.lines().all(|line| line.len() <= LONGEST_LINE);
    if fits && text.chars().all(plain) {
        return ("7bit", text.to_owned());
    }
    let encoded = BASE64_STANDARD.encode(text);
    let mut body = String::with_capacity(encoded.len() + encoded.len() / 76 + 1);
    for (place, c) in encoded.chars().enumerate() {
        if place > 0 && place % 76 == 0 {
            body.push('\n');
        }
        body.push(c);
    }
    body.push('\n');
    ("base64", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> String {
        multipart(&[Part { kind: "cloud-config", name: "c.yaml", text }])
    }

    #[test]
    fn plain_text_stays_readable() {
        let message = one("#cloud-config\nhostname: n\n");
        let (head, rest) = message.split_once("\n\n--===").unwrap();
        assert!(head.starts_with("Content-Type: multipart/mixed; boundary=\"==="), "{head}");
        let (boundary, part) = rest.split_once("===\n").unwrap();
        assert_eq!(
            part,
            format!(
                "Content-Type: text/cloud-config; charset=\"utf-8\"\n\
                 MIME-Version: 1.0\n\
                 Content-Transfer-Encoding: 7bit\n\
                 Content-Disposition: attachment; filename=\"c.yaml\"\n\
                 \n\
                 #cloud-config\nhostname: n\n\
                 \n--==={boundary}===--\n"
            )
        );
    }

    #[test]
    fn text_that_would_not_survive_is_base64() {
        for text in ["nöde", "a\r\nb", "\0", &"x".repeat(999)] {
            let message = one(text);
            assert!(message.contains("\nContent-Transfer-Encoding: base64\n"), "{text}");
            let body = message.split("\n\n").nth(2).unwrap();
            assert!(body.lines().all(|line| line.len() <= 76), "{body}");
            let decoded = BASE64_STANDARD.decode(body.replace('\n', "")).unwrap();
            assert_eq!(decoded, text.as_bytes());
        }
        assert!(one(&"x".repeat(998)).contains("7bit"));
    }

    #[test]
    fn the_boundary_follows_the_content() {
        assert_eq!(one("a"), one("a"));
        assert_ne!(one("a").lines().next(), one("b").lines().next());
        // The text of a message within a message does not end it.
        let inner = one("a");
        let boundary = inner.lines().next().unwrap().split('"').nth(1).unwrap();
        assert!(!one(&inner).lines().next().unwrap().contains(boundary));
    }
}
