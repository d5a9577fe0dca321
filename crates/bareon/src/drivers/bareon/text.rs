//! Texts of the document that mean more than their words: sizes, sums, modes, keys.
//!
//! Each `format` of the schema is a rule here, which says of a text what is wrong with it and what to write.

use bareon_image::check_uri;

use crate::{hardware::Comparison, objects::Bytes};

/// What `size` takes.
pub const SIZE: &str = "^(remaining|[0-9]+(\\.[0-9]+)? ?(%|B|[KMGTP]i?B))$";
/// What `start` takes.
pub const START: &str = "^[0-9]+(\\.[0-9]+)? ?(B|[KMGTP]i?B)$";
/// What the `size` of a disk takes.
pub const SIZE_TEST: &str = "^ *(<=|>=|==|<|>|=)? *[0-9]+(\\.[0-9]+)? ?(B|[KMGTP]i?B)$";
/// What the `type` of a partition takes.
pub const PARTITION_TYPE: &str = "^(linux|efi|bios_boot|swap|raid|lvm|prep|msdata|\
     [0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$";
/// What a SHA-512 sum looks like.
pub const SHA512: &str = "^[0-9A-Fa-f]{128}$";
/// What a SHA-256 or BLAKE3 sum looks like.
pub const SHA256: &str = "^[0-9A-Fa-f]{64}$";
/// What a SHA-1 sum looks like.
pub const SHA1: &str = "^[0-9A-Fa-f]{40}$";
/// What an MD5 sum looks like.
pub const MD5: &str = "^[0-9A-Fa-f]{32}$";
/// What the mode of a file looks like.
pub const MODE: &str = "^0?[0-7]{3,4}$";
/// What crypt(3) keeps of a password.
pub const HASHED_PASSWORD: &str = "^\\$[^$]+\\$.+$";

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What.
    pub problem: String,
    /// What to do.
    pub remedy: &'static str,
}

fn wrong(problem: impl Into<String>, remedy: &'static str) -> Wrong {
    Wrong { problem: problem.into(), remedy }
}

/// How large something is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// In bytes.
    Fixed(Bytes),
    /// In thousandths of a percent of the disk or group.
    Share(u64),
    /// What the others leave.
    Remaining,
}

/// The types of partitions by name, with parted's names of the flags that stand for them; nothing for the usual one.
pub const TYPES: [(&str, Option<&str>); 8] = [
    ("linux", None),
    ("efi", Some("esp")),
    ("bios_boot", Some("bios_grub")),
    ("swap", Some("swap")),
    ("raid", Some("raid")),
    ("lvm", Some("lvm")),
    ("prep", Some("prep")),
    ("msdata", Some("msftdata")),
];

const WRITE_SIZE: &str = "write a number with its unit, such as 20GiB or 500GB, or `50%`, or `remaining`";
const WRITE_BYTES: &str = "write a number with its unit, such as 20GiB or 500GB";

/// Reads a size.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Result<Size, Wrong> {
    let text = text.trim();
    if text == "remaining" {
        return Ok(Size::Remaining);
    }
    let Some(percent) = text.strip_suffix('%') else {
        return match bytes(text) {
            Ok(Bytes(0)) => Err(wrong("nothing can be made of this size", WRITE_SIZE)),
            Ok(bytes) => Ok(Size::Fixed(bytes)),
            Err(error) => Err(Wrong { remedy: WRITE_SIZE, ..error }),
        };
    };
    match decimal(percent.trim_end(), 1000) {
        Some(thousandths @ 1..=100_000) => Ok(Size::Share(thousandths)),
        Some(_) => Err(wrong("a share lies above 0% and is 100% at most", WRITE_SIZE)),
        None => Err(wrong("this is no share", WRITE_SIZE)),
    }
}

/// Reads a number of bytes.
///
/// # Errors
/// When it has no unit, or is none.
pub fn bytes(text: &str) -> Result<Bytes, Wrong> {
    const UNITS: [(&str, u64); 11] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("PiB", 1 << 50),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
        ("B", 1),
    ];
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    if unit.is_empty() && !number.is_empty() {
        return Err(wrong("this size has no unit", WRITE_BYTES));
    }
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (Some((_, factor)), false) = (known, number.is_empty()) else {
        let problem = match unit {
            "K" | "M" | "G" | "T" | "P" => format!("`{unit}` may be {unit}iB or {unit}B"),
            _ => "this is no size".into(),
        };
        return Err(wrong(problem, WRITE_BYTES));
    };
    decimal(number, *factor)
        .map(Bytes)
        .ok_or_else(|| wrong("this is no size that a disk can have", WRITE_BYTES))
}

/// A decimal number times `factor`, cut to a whole number; nothing where it is none, or larger than any disk.
fn decimal(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits =
        |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let all = whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction.parse().ok()?)?;
    let product = all.checked_mul(u128::from(factor))? / scale;
    u64::try_from(product).ok().filter(|bytes| *bytes <= 1 << 62)
}

/// Reads what the size of a disk is compared with.
///
/// # Errors
/// When it is no size.
pub fn size_test(text: &str) -> Result<(Comparison, Bytes), Wrong> {
    let (comparison, size) = Comparison::split(text);
    let remedy = "write a size, with <, <=, >= or > before it, such as `>= 500GB`";
    bytes(size).map(|size| (comparison, size)).map_err(|error| Wrong { remedy, ..error })
}

/// Looks whether `text` follows the rule `format`; names that are no rule of ours allow everything.
///
/// # Errors
/// When it does not.
pub fn check(format: &str, text: &str) -> Result<(), Wrong> {
    let hex = |digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let all = |good: fn(char) -> bool| !text.is_empty() && text.chars().all(good);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-/".contains(c);
    let (good, problem, remedy) = match format {
        "size" => return size(text).map(|_| ()),
        "start" => return bytes(text).map(|_| ()),
        "size-test" => return size_test(text).map(|_| ()),
        "address" => {
            let remedy = "write http://…, https://…, tftp://…, oci://…, file:///… or an absolute path";
            return check_uri(text).map_err(|error| wrong(error.to_string(), remedy));
        }
        "partition-type" => (
            TYPES.iter().any(|(name, _)| *name == text) || is_guid(text),
            "this is no type of a partition",
            "write linux, efi, bios_boot, swap, raid, lvm, prep, msdata, or a type GUID",
        ),
        "sha256" => (hex(64), "this is no SHA-256 sum", "write its 64 hexadecimal digits"),
        "sha512" => (hex(128), "this is no SHA-512 sum", "write its 128 hexadecimal digits"),
        "blake3" => (hex(64), "this is no BLAKE3 sum", "write its 64 hexadecimal digits"),
        "sha1" => (hex(40), "this is no SHA-1 sum", "write its 40 hexadecimal digits"),
        "md5" => (hex(32), "this is no MD5 sum", "write its 32 hexadecimal digits"),
        "mode" => (
            (3..=5).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b)),
            "this is no mode",
            "write octal digits in quotes, such as \"0644\"",
        ),
        "path" => (
            text.starts_with('/') && !text.contains(char::is_control),
            "this is no absolute path",
            "write it from / on",
        ),
        "host-name" => (is_host_name(text), "this is no host name", "write letters, digits, dots and dashes"),
        "time-zone" => {
            (all(plain), "this is no time zone", "write it as in /usr/share/zoneinfo: Europe/Berlin")
        }
        "user-name" => (
            all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
                && !text.starts_with(|c: char| c.is_ascii_digit() || c == '-'),
            "this is no login name",
            "write lower-case letters, digits, `-` and `_`",
        ),
        "ssh-key" => (
            is_ssh_key(text),
            "this is no public key",
            "write the line of an `id_….pub`: `ssh-ed25519 AAAA… name`",
        ),
        "hashed-password" => (
            text.starts_with('$') && text.split('$').filter(|part| !part.is_empty()).count() >= 2,
            "this is no hashed password",
            "write what `openssl passwd -6` prints",
        ),
        _ => return Ok(()),
    };
    if good { Ok(()) } else { Err(wrong(problem, remedy)) }
}

/// Whether `text` is a GUID.
pub fn is_guid(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_ssh_key(text: &str) -> bool {
    let kinds = ["ssh-", "ecdsa-", "sk-"];
    let mut words = text.split_whitespace();
    let kind = words.find(|word| kinds.iter().any(|kind| word.starts_with(kind)));
    kind.is_some() && words.next().is_some_and(|key| key.starts_with("AAAA")) && !text.contains('\n')
}

/// Whether LVM takes `name` for a group or a volume: lvm(8), "Valid names".
pub fn is_lvm_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    !name.is_empty()
        && name.len() <= 127
        && name.chars().all(good)
        && !name.starts_with('-')
        && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("20GiB", Size::Fixed(Bytes(20 << 30))),
            ("1.5 TiB", Size::Fixed(Bytes(3 << 39))),
            ("500GB", Size::Fixed(Bytes(500_000_000_000))),
            ("512B", Size::Fixed(Bytes(512))),
            (" 0.5KB ", Size::Fixed(Bytes(500))),
            ("50%", Size::Share(50_000)),
            ("33.333 %", Size::Share(33_333)),
            ("remaining", Size::Remaining),
        ] {
            assert_eq!(super::size(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "20",
            "20G",
            "GiB",
            "20 gib",
            "-1GiB",
            "1.GiB",
            ".5GiB",
            "1e3GiB",
            "0GiB",
            "0%",
            "100.1%",
            "%",
            "rest",
            "1.1.1GiB",
            "99999999PiB",
            "99999999999999999999GiB",
            "١GiB",
        ] {
            assert!(super::size(text).is_err(), "{text}");
        }
        assert_eq!(super::size("20G").unwrap_err().problem, "`G` may be GiB or GB");
    }

    #[test]
    fn rules_say_what_they_take() {
        let sum = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865";
        for (format, good, bad) in [
            ("size-test", &["500GB", ">= 500GB", "<1.5TiB"][..], &[">= 500", "about 5GB", ""][..]),
            ("start", &["1MiB"], &["50%", "remaining", "1"]),
            ("address", &["http://h/i.gz", "/srv/i"], &["i.gz", "ftp://h/i", ""]),
            ("partition-type", &["efi", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"], &["esp", "0FC63DAF", ""]),
            ("sha256", &[sum], &["abc", ""]),
            ("md5", &[&sum[..32]], &[sum]),
            ("sha1", &[&sum[..40]], &[sum]),
            ("blake3", &[sum], &["abc"]),
            ("sha512", &[&sum.repeat(2)], &[sum]),
            ("mode", &["0644", "644", "4755"], &["rw", "0999", "7", ""]),
            ("path", &["/etc/x"], &["etc/x", "", "/a\nb"]),
            ("host-name", &["node-1.example.com", "n"], &["", "node_1", "-a", "a..b", "a b"]),
            ("time-zone", &["UTC", "Etc/GMT+1"], &["", "here and now"]),
            ("user-name", &["root", "_x-1"], &["", "Root", "1a", "-a", "a b"]),
            (
                "ssh-key",
                &["ssh-ed25519 AAAAC3Nz me@desk", "no-pty ssh-rsa AAAAB3Nz"],
                &["", "~/.ssh/id.pub", "ssh-rsa", "ssh-rsa x", "ssh-rsa AAAA\nssh-rsa AAAA"],
            ),
            ("hashed-password", &["$6$salt$hash", "$y$j9T$a$b"], &["", "secret", "$6", "$$"]),
            ("something else", &["", "x"], &[]),
        ] {
            for text in good {
                assert_eq!(check(format, text), Ok(()), "{format} {text:?}");
            }
            for text in bad {
                assert!(check(format, text).is_err(), "{format} {text:?}");
            }
        }
    }

    #[test]
    fn lvm_takes_plain_names() {
        assert!(["os", "a.b+c_d-1"].iter().all(|name| is_lvm_name(name)));
        assert!(["", "-a", ".", "..", "a b", "a/b", "ä"].iter().all(|name| !is_lvm_name(name)));
    }
}
