//! What an option's value may be, and how it is read from text.
//!
//! Flags, environment and configuration file all hold text; one reading for the three keeps their
//! spellings alike. Booleans are spelt as oslo.config spells them.

use std::{net::Ipv6Addr, num::NonZeroU16, path::PathBuf, time::Duration};

use bareon_image::TorrentOptions;

use crate::{drivers::bareon::text, objects::Bytes};

/// What kind of value an option takes; what is shown where a value is wrong, and in the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A whole number that is not negative.
    Int,
    /// A number of seconds, fractions allowed.
    Seconds,
    /// A number of seconds above 0.
    Timeout,
    /// A number of bytes with its unit.
    Size,
    /// A number of bytes in a second, with its unit.
    Rate,
    /// A number, fractions allowed.
    Ratio,
    /// Any text.
    Text,
    /// The path of a file or directory.
    Path,
    /// Texts with commas or blanks between them.
    List,
    /// Hosts with their ports, with commas or blanks between them.
    Endpoints,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What is allowed, as the end of an error message.
    pub fn allowed(self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Int => "a whole number, not negative".into(),
            Self::Seconds => "a number of seconds, such as 10 or 2.5".into(),
            Self::Timeout => "a number of seconds above 0, such as 10 or 2.5".into(),
            Self::Ratio => "a number such as 1 or 1.5".into(),
            Self::Size => "a number of bytes with its unit, such as 256MiB or 1GB".into(),
            Self::Rate => {
                let least = Bytes(TorrentOptions::BLOCK);
                format!("a number of bytes with its unit, {least} at least, such as 512KiB or 10MB")
            }
            Self::Text => "a text".into(),
            Self::Path => "a path".into(),
            Self::List => "texts, separated by commas".into(),
            Self::Endpoints => "hosts with their ports, separated by commas, such as 10.20.0.2:6881".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// The word that stands for the value in usage and manual.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int | Self::Ratio => "N",
            Self::Seconds | Self::Timeout => "SECONDS",
            Self::Size | Self::Rate => "SIZE",
            Self::Text => "TEXT",
            Self::Path => "PATH",
            Self::List | Self::Endpoints => "LIST",
            Self::Choice(_) => "WORD",
        }
    }
}

/// A type that an option's value can have.
pub trait Setting: Default {
    /// What the table says of options of this type.
    const KIND: Kind;

    /// Reads a value; nothing where the text is none of this type.
    fn read(text: &str) -> Option<Self>;
}

impl Setting for bool {
    const KIND: Kind = Kind::Bool;

    fn read(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }
}

impl Setting for u64 {
    const KIND: Kind = Kind::Int;

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for Duration {
    const KIND: Kind = Kind::Seconds;

    fn read(text: &str) -> Option<Self> {
        Self::try_from_secs_f64(text.parse().ok()?).ok()
    }
}

/// How many times something is had, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ratio(pub u64);

impl Setting for Ratio {
    const KIND: Kind = Kind::Ratio;

    fn read(text: &str) -> Option<Self> {
        // What is allowed is what is for seconds: finite, and not negative.
        u64::try_from(Duration::read(text)?.as_millis() / 10).ok().map(Self)
    }
}

/// How long something is waited for; 0 would be over before it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeout(pub Duration);

impl Setting for Timeout {
    const KIND: Kind = Kind::Timeout;

    fn read(text: &str) -> Option<Self> {
        Duration::read(text).filter(|time| !time.is_zero()).map(Self)
    }
}

impl Setting for Bytes {
    const KIND: Kind = Kind::Size;

    fn read(text: &str) -> Option<Self> {
        text::bytes(text).ok().filter(|bytes| bytes.0 > 0)
    }
}

/// How many bytes others are given in a second; with less room than for one block, they would be given nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate(pub u64);

impl Setting for Rate {
    const KIND: Kind = Kind::Rate;

    fn read(text: &str) -> Option<Self> {
        Bytes::read(text).map(|bytes| Self(bytes.0)).filter(|rate| rate.0 >= TorrentOptions::BLOCK)
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Path;

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }
}

/// Several texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List(pub Vec<String>);

impl Setting for List {
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Option<Self> {
        let words = text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty());
        Some(Self(words.map(str::to_owned).collect()))
    }
}

/// Hosts, each with its port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints(pub Vec<String>);

impl Setting for Endpoints {
    const KIND: Kind = Kind::Endpoints;

    fn read(text: &str) -> Option<Self> {
        let List(words) = List::read(text)?;
        words.iter().all(|word| is_endpoint(word)).then_some(Self(words))
    }
}

/// Whether it is a host name or an address with a port; one of IPv6 stands in brackets.
fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '/']),
    };
    host_fits && port.parse::<NonZeroU16>().is_ok()
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
    }
}

/// Declares an enum whose variants are the words that an option takes.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub enum $name { $( $(#[$vdoc])* $variant, )* }

        impl Setting for $name {
            const KIND: Kind = Kind::Choice(&[$($word),*]);

            fn read(text: &str) -> Option<Self> {
                match text {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }
    };
}

choice! {
    /// For which firmware the boot loader is installed.
    Firmware {
        /// For the one that booted this system.
        #[default]
        Auto = "auto",
        /// BIOS only.
        Bios = "bios",
        /// UEFI only.
        Uefi = "uefi",
        /// Both, so that the disk boots anywhere.
        Both = "both",
    }
}

choice! {
    /// Where the installed system goes in the boot order that UEFI keeps.
    EfiBootOrder {
        /// The order stays as it is.
        #[default]
        Keep = "keep",
        /// Before all others.
        First = "first",
        /// After all others.
        Last = "last",
    }
}

choice! {
    /// What errors of the audit of what was installed do to the run.
    AuditBoot {
        /// They fail it.
        #[default]
        Fail = "fail",
        /// They are told.
        Warn = "warn",
        /// Nothing is audited.
        Off = "off",
    }
}

choice! {
    /// Whether what stands on a target is looked at before it is written over.
    Reimage {
        /// No.
        #[default]
        Full = "full",
        /// Yes, where the image has a chunk index.
        Differential = "differential",
    }
}

choice! {
    /// How it is made sure that an image stands on its target.
    Verify {
        /// Its sums are those of the bytes that were written and flushed.
        #[default]
        Stream = "stream",
        /// Besides, it is read back from the medium.
        Readback = "readback",
    }
}

choice! {
    /// What makes the base of a system.
    Bootstrapper {
        /// debootstrap.
        #[default]
        Debootstrap = "debootstrap",
        /// mmdebstrap.
        Mmdebstrap = "mmdebstrap",
    }
}

choice! {
    /// Where the tree of a system is built.
    BuildIn {
        /// In memory if that is large enough, else on the disk.
        #[default]
        Auto = "auto",
        /// In memory.
        Memory = "memory",
        /// On the disk.
        Disk = "disk",
    }
}

choice! {
    /// How a record is written to the log.
    LogFormat {
        /// One line of text.
        #[default]
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_spelt_as_oslo_spells_them() {
        for text in ["true", "True", "yes", "ON", "1"] {
            assert_eq!(bool::read(text), Some(true), "{text}");
        }
        for text in ["false", "no", "Off", "0"] {
            assert_eq!(bool::read(text), Some(false), "{text}");
        }
        assert_eq!(bool::read("perhaps"), None);
    }

    #[test]
    fn seconds_take_fractions_and_nothing_negative_or_endless() {
        assert_eq!(Duration::read("2.5"), Some(Duration::from_millis(2500)));
        for text in ["-1", "nan", "inf", "1e99", "2s", ""] {
            assert_eq!(Duration::read(text), None, "{text}");
        }
        assert_eq!(Duration::read("0"), Some(Duration::ZERO));
    }

    #[test]
    fn a_rate_has_room_for_a_block() {
        assert_eq!(Rate::read("16KiB"), Some(Rate(16 << 10)));
        // As it is shown where less was given.
        let least = Bytes(TorrentOptions::BLOCK).to_string();
        assert_eq!(Rate::read(&least), Some(Rate(TorrentOptions::BLOCK)));
        assert!(Rate::KIND.allowed().contains(&format!(", {least} at least, ")));
        for text in ["16KB", "0B", "16384", ""] {
            assert_eq!(Rate::read(text), None, "{text}");
        }
    }

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        let read = |text: &str| Endpoints::read(text).map(|endpoints| endpoints.0);
        assert_eq!(read(""), Some(Vec::new()));
        let three = ["10.20.0.2:6881", "dht.example.com:1", "[fd00::2]:65535"];
        assert_eq!(read(&three.join(", ")), Some(three.map(str::to_owned).to_vec()));
        for text in ["10.20.0.2", ":1", "a:", "a:0", "a:65536", "fd00::2:1", "[a]:1", "udp://a:1", "a:1,b"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_timeout_is_above_zero() {
        assert_eq!(Timeout::read("0.5"), Some(Timeout(Duration::from_millis(500))));
        for text in ["0", "0.0", "-0", "1e-12", "-1", ""] {
            assert_eq!(Timeout::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_has_a_unit_and_is_above_zero() {
        assert_eq!(Bytes::read("256MiB"), Some(Bytes(256 << 20)));
        for text in ["0B", "256", "MiB", ""] {
            assert_eq!(Bytes::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_ratio_is_kept_in_hundredths() {
        assert_eq!(Ratio::read("1.5"), Some(Ratio(150)));
        assert_eq!(Ratio::read("0"), Some(Ratio(0)));
        for text in ["-1", "inf", "nan", "much", ""] {
            assert_eq!(Ratio::read(text), None, "{text}");
        }
    }

    #[test]
    fn an_empty_optional_value_is_no_value() {
        assert_eq!(Option::<PathBuf>::read(""), Some(None));
        assert_eq!(PathBuf::read(""), None);
    }

    #[test]
    fn a_list_is_separated_by_commas_and_blanks() {
        assert_eq!(List::read(" a, b c,,"), Some(List(vec!["a".into(), "b".into(), "c".into()])));
        assert_eq!(List::read(""), Some(List::default()));
    }

    #[test]
    fn a_choice_takes_its_words_and_names_them() {
        assert_eq!(Firmware::read("uefi"), Some(Firmware::Uefi));
        assert_eq!(Firmware::read("UEFI"), None);
        assert_eq!(Firmware::KIND.allowed(), "one of auto, bios, uefi, both");
    }
}
