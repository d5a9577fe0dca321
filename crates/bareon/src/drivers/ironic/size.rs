//! Sizes as people write them, and how they share the room of a disk or a volume group.
//!
//! All becomes whole MiB (in a volume group whole extents), since partitions begin at whole MiB. What is asked for in
//! numbers is rounded up, so that nothing is smaller than asked; percentages are rounded down, so that 50 % twice
//! always fits; `remaining` is what is left.

use crate::objects::{Bytes, Mib};

/// No disk is larger.
const LARGEST: u64 = 1 << 63;

/// A percentage in millionths of a percent.
const MILLIONTHS: u64 = 1_000_000;

/// How a size is written.
pub const HOW: &str = "write a number with a unit, such as `20 GiB`, `500 MB`, `25 %` or `2048 s` (sectors), a number \
                       without one for MiB, or `remaining`";

/// The units by powers of 1000 and 1024.
const UNITS: [&str; 9] = ["", "K", "M", "G", "T", "P", "E", "Z", "Y"];

/// A size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Fixed(Bytes),
    /// So many sectors of the disk.
    Sectors(u64),
    /// So many millionths of a percent of the room.
    Percent(u64),
    /// All that the others leave.
    Remaining,
}

/// Why sizes do not share a room; the numbers are places in their list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// This one depends on the room, and the room is not known.
    NoRoomKnown(usize),
    /// This one comes to nothing.
    Nothing(usize),
    /// Nothing is left for this one, as the others take so much.
    NothingLeft(usize, Mib),
    /// They take so much, which is more than there is.
    TooMuch(Mib),
}

impl Size {
    /// Reads a text; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("remaining") {
            return Ok(Self::Remaining);
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim_start());
        let number = Decimal::parse(number).ok_or("this does not begin with a number")?;
        match unit {
            "" => number.times(1 << 20).map(Self::Fixed),
            "%" => number.percent().map(Self::Percent),
            "s" | "S" => number.whole().map(Self::Sectors).ok_or("there are no parts of sectors"),
            unit => number.times(bytes_of(unit).ok_or("this unit is not known")?).map(Self::Fixed),
        }
    }

    /// A number without a unit.
    pub fn mib(number: u64) -> Result<Self, &'static str> {
        Decimal { digits: number.into(), places: 0 }.times(1 << 20).map(Self::Fixed)
    }

    /// The size where it depends on no room; `sector` is the disk's.
    pub fn bytes(self, sector: Bytes) -> Option<Bytes> {
        match self {
            Self::Fixed(bytes) => Some(bytes),
            Self::Sectors(count) => Some(Bytes(count.saturating_mul(sector.0))),
            Self::Percent(_) | Self::Remaining => None,
        }
    }
}

/// The bytes of a unit such as `KB` or `KiB`, in whatever case.
fn bytes_of(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_uppercase();
    let (prefix, base) = match unit.strip_suffix("IB") {
        Some(prefix) if !prefix.is_empty() => (prefix, 1024_u128),
        _ => (unit.strip_suffix('B')?, 1000),
    };
    let power = UNITS.iter().position(|known| *known == prefix)?;
    base.checked_pow(u32::try_from(power).ok()?)
}

/// A number as it was written: `digits` with the last `places` of them behind the point.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        /// More digits are no size.
        const LONGEST: usize = 24;
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{part}");
        let sound = !whole.is_empty() && digits.len() <= LONGEST && !part.contains('.');
        let places = u32::try_from(part.len()).ok()?;
        sound.then(|| Some(Self { digits: digits.parse().ok()?, places }))?
    }

    /// So many times `unit`, rounded up.
    fn times(self, unit: u128) -> Result<Bytes, &'static str> {
        const TOO_LARGE: &str = "this is larger than any disk";
        let all = self.digits.checked_mul(unit).ok_or(TOO_LARGE)?;
        let bytes = all.div_ceil(10_u128.pow(self.places));
        u64::try_from(bytes).ok().filter(|bytes| *bytes <= LARGEST).map(Bytes).ok_or(TOO_LARGE)
    }

    fn whole(self) -> Option<u64> {
        let sound = self.digits.is_multiple_of(10_u128.pow(self.places));
        let whole = u64::try_from(self.digits / 10_u128.pow(self.places)).ok();
        whole.filter(|count| sound && *count <= LARGEST / 512)
    }

    fn percent(self) -> Result<u64, &'static str> {
        let millionths = self.digits.checked_mul(MILLIONTHS.into()).map(|all| all / 10_u128.pow(self.places));
        let all = 100 * MILLIONTHS;
        let sound = millionths.and_then(|millionths| u64::try_from(millionths).ok());
        sound.filter(|share| *share <= all).ok_or("this is more than all of it")
    }
}

/// Shares `room` among `sizes`, each a multiple of `unit`, which `room` is one of as well.
pub fn share(sizes: &[Size], room: Option<Mib>, unit: Mib, sector: Bytes) -> Result<Vec<Mib>, Misfit> {
    let mut shares = Vec::new();
    for (i, size) in sizes.iter().enumerate() {
        let share = match *size {
            Size::Percent(millionths) => part(room.ok_or(Misfit::NoRoomKnown(i))?, millionths, unit),
            Size::Remaining => Mib(0),
            fixed => up(fixed.bytes(sector).unwrap_or_default(), unit),
        };
        if share.0 == 0 && *size != Size::Remaining {
            return Err(Misfit::Nothing(i));
        }
        shares.push(share);
    }
    let taken = shares.iter().fold(0_u64, |sum, share| sum.saturating_add(share.0));
    if let Some(i) = sizes.iter().position(|size| *size == Size::Remaining) {
        let left = room.ok_or(Misfit::NoRoomKnown(i))?.0.saturating_sub(taken);
        if left < unit.0 {
            return Err(Misfit::NothingLeft(i, Mib(taken)));
        }
        shares[i] = Mib(left);
    }
    match room {
        Some(room) if taken > room.0 => Err(Misfit::TooMuch(Mib(taken))),
        _ => Ok(shares),
    }
}

/// `bytes` in whole `unit`s, rounded up.
fn up(bytes: Bytes, unit: Mib) -> Mib {
    Mib(bytes.0.div_ceil(unit.bytes().0).saturating_mul(unit.0))
}

/// A part of `room` in whole `unit`s, rounded down.
fn part(room: Mib, millionths: u64, unit: Mib) -> Mib {
    let part = u128::from(room.0) * u128::from(millionths) / u128::from(100 * MILLIONTHS);
    // A part of a number that fits does.
    Mib(u64::try_from(part).unwrap_or(room.0) / unit.0 * unit.0)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, want) in [
            ("10", Size::Fixed(Bytes(10 << 20))),
            ("10MiB", Size::Fixed(Bytes(10 << 20))),
            (" 1.5 GiB ", Size::Fixed(Bytes(3 << 29))),
            ("20 GB", Size::Fixed(Bytes(20_000_000_000))),
            ("1 kB", Size::Fixed(Bytes(1000))),
            ("0.5 B", Size::Fixed(Bytes(1))),
            ("4096 B", Size::Fixed(Bytes(4096))),
            ("0.000001 YB", Size::Fixed(Bytes(1_000_000_000_000_000_000))),
            ("2048 s", Size::Sectors(2048)),
            ("25%", Size::Percent(25_000_000)),
            ("33.333333 %", Size::Percent(33_333_333)),
            ("remaining", Size::Remaining),
        ] {
            assert_eq!(Size::parse(text), Ok(want), "{text}");
        }
        for text in [
            "", "-5", "GiB", "5 G", "5 iB", "1.2.3", "1,5 GiB", "1 YiB", "99 EB", "0.5 s", "101 %", "1e3",
            "٣",
        ] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
        assert_eq!(Size::mib(5), Ok(Size::Fixed(Bytes(5 << 20))));
        assert!(Size::mib(u64::MAX).is_err());
    }

    #[test]
    fn what_is_asked_for_is_rounded_up_and_a_share_down() {
        let shared = |sizes: &[&str], room, unit| {
            let sizes: Vec<_> = sizes.iter().map(|size| Size::parse(size).unwrap()).collect();
            share(&sizes, room, Mib(unit), Bytes(4096))
                .map(|shares| shares.iter().map(|share| share.0).collect())
        };
        let room = Some(Mib(1001));
        assert_eq!(shared(&["50%", "50%"], room, 1), Ok(vec![500, 500]));
        assert_eq!(shared(&["1 B", "remaining", "512 s"], room, 1), Ok(vec![1, 998, 2]));
        assert_eq!(shared(&["9 MiB", "10 %", "remaining"], Some(Mib(1000)), 4), Ok(vec![12, 100, 888]));
        assert_eq!(shared(&["1000"], None, 1), Ok(vec![1000]));
        assert_eq!(shared(&["1000", "1%"], None, 1), Err(Misfit::NoRoomKnown(1)));
        assert_eq!(shared(&["1000", "remaining"], None, 1), Err(Misfit::NoRoomKnown(1)));
        assert_eq!(shared(&["0"], room, 1), Err(Misfit::Nothing(0)));
        assert_eq!(shared(&["1", "0.01%"], room, 1), Err(Misfit::Nothing(1)));
        assert_eq!(shared(&["1001", "remaining"], room, 1), Err(Misfit::NothingLeft(1, Mib(1001))));
        assert_eq!(shared(&["1002"], room, 1), Err(Misfit::TooMuch(Mib(1002))));
    }

    fn size() -> impl Strategy<Value = Size> {
        prop_oneof![
            (1..40_000_000_000_u64).prop_map(|bytes| Size::Fixed(Bytes(bytes))),
            (1..80_000_000_u64).prop_map(Size::Sectors),
            (1..60_000_000_u64).prop_map(Size::Percent),
        ]
    }

    proptest! {
        #[test]
        fn shares_fit_the_room_and_remaining_fills_it(
            mut sizes in proptest::collection::vec(size(), 0..6),
            remaining in proptest::option::of(0..6_usize),
            units in 1..100_000_u64,
            unit in select(vec![1_u64, 4]),
            sector in select(vec![512_u64, 4096]),
        ) {
            if let Some(at) = remaining {
                sizes.insert(at.min(sizes.len()), Size::Remaining);
            }
            let (room, unit, sector) = (Mib(units * unit), Mib(unit), Bytes(sector));
            if let Ok(shares) = share(&sizes, Some(room), unit, sector) {
                let sum: u64 = shares.iter().map(|share| share.0).sum();
                prop_assert!(sum <= room.0);
                prop_assert!(remaining.is_none() || sum == room.0);
                for (share, size) in shares.iter().zip(&sizes) {
                    prop_assert!(share.0 > 0 && share.0.is_multiple_of(unit.0));
                    if let Some(asked) = size.bytes(sector) {
                        prop_assert!(share.bytes() >= asked && share.bytes().0 - asked.0 < unit.bytes().0);
                    }
                }
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9]{0,30}[.]?[0-9]{0,30} ?[a-zA-Z%]{0,3}|.*") {
            let _ = Size::parse(&text);
        }
    }
}
