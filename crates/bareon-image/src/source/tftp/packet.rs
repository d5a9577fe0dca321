//! The packets of TFTP (RFC 1350) with options (RFC 2347, 2348, 2349, 7440), read and written. No socket here.

/// The most bytes of data in a block that an Ethernet frame holds with IPv4 or IPv6: nothing is cut into fragments.
pub const BLOCK: u16 = 1428;

/// The size of a block where nothing was agreed upon.
pub const PLAIN_BLOCK: u16 = 512;

/// How many blocks are sent at a time before they are acknowledged: the kernel's buffer for a socket holds them.
pub const WINDOW: u16 = 32;

/// The least size of a block that may be agreed upon (RFC 2348).
const LEAST_BLOCK: u16 = 8;

/// The number of the error that an option was not agreed upon.
pub const OPTION_REFUSED: u16 = 8;

/// The number of the error that a packet came from somebody else.
pub const UNKNOWN_TID: u16 = 5;

/// A packet that a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A block of the file.
    Data {
        /// Its number; it goes on at 0 after 65535.
        block: u16,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// An end.
    Error {
        /// Which.
        code: u16,
        /// In words.
        said: String,
    },
    /// The options that the server agrees to, and what it says of each.
    Agreed(Vec<(String, String)>),
}

impl<'a> Packet<'a> {
    /// What a datagram says; nothing for what no server sends.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (kind, rest) = datagram.split_first_chunk()?;
        match u16::from_be_bytes(*kind) {
            3 => {
                let (block, bytes) = rest.split_first_chunk()?;
                Some(Self::Data { block: u16::from_be_bytes(*block), bytes })
            }
            5 => {
                let (code, said) = rest.split_first_chunk()?;
                // The zero at its end is forgotten by some servers.
                let said = said.split(|byte| *byte == 0).next().unwrap_or_default();
                let said =
                    String::from_utf8_lossy(said).chars().filter(|c| !c.is_control()).take(120).collect();
                Some(Self::Error { code: u16::from_be_bytes(*code), said })
            }
            6 => options(rest).map(Self::Agreed),
            _ => None,
        }
    }
}

/// Pairs of texts that each end by a zero.
fn options(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let Some(bytes) = bytes.strip_suffix(&[0]) else { return bytes.is_empty().then(Vec::new) };
    let texts: Option<Vec<_>> =
        bytes.split(|byte| *byte == 0).map(|text| str::from_utf8(text).ok()).collect();
    let texts = texts?;
    if texts.len() % 2 != 0 {
        return None;
    }
    Some(texts.chunks_exact(2).map(|pair| (pair[0].to_ascii_lowercase(), pair[1].to_owned())).collect())
}

/// Asks for the file at `path`, with options or without.
pub fn request(path: &str, with_options: bool) -> Vec<u8> {
    let mut packet = vec![0, 1];
    let mut text = |text: &str| {
        packet.extend_from_slice(text.as_bytes());
        packet.push(0);
    };
    text(path);
    text("octet");
    if with_options {
        let (block, window) = (BLOCK.to_string(), WINDOW.to_string());
        for part in ["blksize", &block, "windowsize", &window, "tsize", "0"] {
            text(part);
        }
    }
    packet
}

/// All blocks up to this one have come.
pub fn acknowledge(block: u16) -> [u8; 4] {
    let [high, low] = block.to_be_bytes();
    [0, 4, high, low]
}

/// It is over.
pub fn error(code: u16, said: &str) -> Vec<u8> {
    let mut packet = vec![0, 5];
    packet.extend_from_slice(&code.to_be_bytes());
    packet.extend_from_slice(said.as_bytes());
    packet.push(0);
    packet
}

/// What holds for a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The bytes of each block but the last.
    pub block: u16,
    /// After how many blocks they are acknowledged.
    pub window: u16,
    /// The size of the file, where told.
    pub size: Option<u64>,
}

impl Terms {
    /// Those of a server that knows no options.
    pub const PLAIN: Self = Self { block: PLAIN_BLOCK, window: 1, size: None };

    /// Those that a server agrees to; what it does not mention is as without options.
    ///
    /// # Errors
    /// When it says more than it was asked for.
    pub fn of(agreed: &[(String, String)]) -> Result<Self, String> {
        let mut terms = Self::PLAIN;
        for (name, value) in agreed {
            let wrong = || format!("{name}={value}").chars().filter(|c| !c.is_control()).take(80).collect();
            let number: u64 = value.parse().map_err(|_| wrong())?;
            let within = |least: u16, most: u16| {
                u16::try_from(number).ok().filter(|n| (least..=most).contains(n)).ok_or_else(wrong)
            };
            match name.as_str() {
                "blksize" => terms.block = within(LEAST_BLOCK, BLOCK)?,
                "windowsize" => terms.window = within(1, WINDOW)?,
                "tsize" => terms.size = Some(number),
                _ => return Err(wrong()),
            }
        }
        Ok(terms)
    }
}

/// Which block is awaited, and how its number is written: most servers go on at 0 after 65535, some at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// How many blocks have come in order.
    come: u64,
    /// Whether 1 comes after 65535.
    from_one: bool,
    single: bool,
}

/// What a block is, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The awaited one.
    Next,
    /// One that has come before.
    Before,
    /// One behind a gap.
    Ahead,
}

impl Counter {
    /// None has come. In windows it cannot be told whether 1 comes after 65535, or whether 0 was lost.
    pub fn new(window: u16) -> Self {
        Self { come: 0, from_one: false, single: window == 1 }
    }

    /// The number of the last block that came in order; 0 before the first.
    pub fn last(&self) -> u16 {
        self.number(self.come)
    }

    fn number(&self, block: u64) -> u16 {
        let number = if self.from_one && block > 0 { (block - 1) % 65535 + 1 } else { block & 0xffff };
        u16::try_from(number).unwrap_or_default()
    }

    /// What the block of this number is, which is counted if it is the awaited one.
    pub fn take(&mut self, number: u16) -> Place {
        if self.single && self.come == 65535 && number == 1 {
            self.from_one = true;
        }
        let ahead = number.wrapping_sub(self.number(self.come + 1));
        if ahead == 0 {
            self.come += 1;
            Place::Next
        } else if ahead < 1 << 15 {
            Place::Ahead
        } else {
            Place::Before
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn packets_are_read_as_the_standards_write_them() {
        let parse = Packet::parse;
        assert_eq!(parse(&[0, 3, 1, 2, 9, 9]), Some(Packet::Data { block: 258, bytes: &[9, 9] }));
        assert_eq!(parse(&[0, 3, 0, 7]), Some(Packet::Data { block: 7, bytes: &[] }));
        let error = |said: &str| Some(Packet::Error { code: 1, said: said.to_owned() });
        assert_eq!(parse(b"\0\x05\0\x01File not\x1b found\0"), error("File not found"));
        assert_eq!(parse(b"\0\x05\0\x01gone"), error("gone"));
        let agreed = vec![("blksize".to_owned(), "1428".to_owned()), ("tsize".to_owned(), "5".to_owned())];
        assert_eq!(parse(b"\0\x06BLKSIZE\x001428\0tsize\x005\0"), Some(Packet::Agreed(agreed)));
        assert_eq!(parse(b"\0\x06"), Some(Packet::Agreed(Vec::new())));
        for none in [
            &b""[..],
            b"\0",
            b"\0\x03\0",
            b"\0\x01a\0octet\0",
            b"\0\x04\0\x01",
            b"\0\x06a\0",
            b"\0\x06a\0b",
            b"\x01\x03\0\0",
        ] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn requests_are_written_as_the_standards_want_them() {
        assert_eq!(request("a/b", false), b"\0\x01a/b\0octet\0");
        assert_eq!(request("x", true), b"\0\x01x\0octet\0blksize\x001428\0windowsize\x0032\0tsize\x000\0");
        assert_eq!(acknowledge(0x0102), [0, 4, 1, 2]);
        assert_eq!(error(5, "no"), b"\0\x05\0\x05no\0");
    }

    #[test]
    fn a_server_may_lower_what_was_asked_for_and_no_more() {
        let terms = |list: &[(&str, &str)]| {
            Terms::of(&list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(terms(&[]).unwrap(), Terms::PLAIN);
        let all = [("blksize", "1024"), ("windowsize", "4"), ("tsize", "99999999999")];
        assert_eq!(terms(&all).unwrap(), Terms { block: 1024, window: 4, size: Some(99_999_999_999) });
        for wrong in [
            ("blksize", "1429"),
            ("blksize", "7"),
            ("blksize", "-1"),
            ("windowsize", "0"),
            ("windowsize", "33"),
            ("windowsize", "65536"),
            ("tsize", "many"),
            ("timeout", "3"),
        ] {
            assert_eq!(terms(&[wrong]).unwrap_err(), format!("{}={}", wrong.0, wrong.1));
        }
    }

    #[test]
    fn numbers_roll_over_to_0_and_where_it_can_be_told_to_1() {
        for (window, first) in [(1, 0), (1, 1), (32, 0)] {
            let mut counter = Counter::new(window);
            for block in 1..=65535 {
                assert_eq!(counter.take(block), Place::Next);
            }
            assert_eq!(counter.take(65535), Place::Before);
            for block in first..=65535 {
                assert_eq!(counter.take(block), Place::Next, "{first} {block}");
                assert_eq!(counter.last(), block);
            }
            assert_eq!(counter.take(first), Place::Next);
        }
        let mut counter = Counter::new(2);
        assert_eq!(counter.take(2), Place::Ahead);
        assert_eq!(counter.take(1), Place::Next);
        assert_eq!(counter.take(1), Place::Before);
        assert_eq!((counter.take(2), counter.last()), (Place::Next, 2));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_or_refused(datagram: Vec<u8>, kind in 0..8_u8) {
            let mut datagram = datagram;
            for bytes in [datagram.clone(), { datagram.splice(0..0, [0, kind]); datagram }] {
                match Packet::parse(&bytes) {
                    Some(Packet::Data { bytes: data, .. }) => prop_assert_eq!(data.len() + 4, bytes.len()),
                    Some(Packet::Error { said, .. }) => prop_assert!(said.chars().count() <= 120),
                    Some(Packet::Agreed(options)) => {
                        if let Ok(terms) = Terms::of(&options) {
                            prop_assert!((LEAST_BLOCK..=BLOCK).contains(&terms.block));
                            prop_assert!((1..=WINDOW).contains(&terms.window));
                        }
                    }
                    None => {}
                }
            }
        }

        #[test]
        fn blocks_in_any_order_are_taken_in_theirs(numbers in proptest::collection::vec(0..6_u16, 0..200), window in 1..3_u16) {
            let (mut counter, mut taken) = (Counter::new(window), 0);
            for number in numbers {
                if counter.take(number) == Place::Next {
                    taken += 1;
                    prop_assert_eq!(number, taken);
                }
                prop_assert_eq!(counter.last(), taken);
            }
        }

        #[test]
        fn options_are_read_back(pairs in proptest::collection::vec(("[a-z]{1,8}", any::<u64>()), 0..5)) {
            let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name, value.to_string())).collect();
            let mut datagram = vec![0, 6];
            for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
                datagram.extend_from_slice(text.as_bytes());
                datagram.push(0);
            }
            prop_assert_eq!(Packet::parse(&datagram), Some(Packet::Agreed(pairs)));
        }
    }
}
