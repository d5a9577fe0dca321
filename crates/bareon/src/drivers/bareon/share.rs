//! Sharing out the room of a disk or a volume group: fixed sizes, shares of the whole, and what remains.
//!
//! Counted in units: MiB on a disk, extents in a group. Nothing is ever made a little smaller to fit.

use super::text::Size;
use crate::objects::Bytes;

/// A thousandth of a percent, of which this many are the whole.
const WHOLE: u128 = 100_000;

/// Why the room cannot be shared out so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// So many units more are asked for than there are.
    Over(u64),
    /// Nothing is left for what takes the remainder.
    NothingLeft,
}

/// How many units a size has where there are `room` of them: at least what was asked for, and of a share at most that.
/// Nothing for the remainder.
pub fn units(size: Size, room: u64, unit: Bytes) -> Option<u64> {
    match size {
        Size::Fixed(bytes) => Some(bytes.0.div_ceil(unit.0)),
        Size::Share(thousandths) => {
            u64::try_from(u128::from(room) * u128::from(thousandths) / WHOLE).ok().map(|share| share.max(1))
        }
        Size::Remaining => None,
    }
}

/// What of `room` units each size gets; at most one of them takes what remains.
///
/// # Errors
/// When they do not fit.
pub fn share(room: u64, sizes: &[Size], unit: Bytes) -> Result<Vec<u64>, Unfit> {
    let parts: Vec<_> = sizes.iter().map(|size| units(*size, room, unit)).collect();
    let taken: u64 = parts.iter().flatten().fold(0, |sum: u64, part| sum.saturating_add(*part));
    let Some(left) = room.checked_sub(taken) else { return Err(Unfit::Over(taken - room)) };
    if left == 0 && parts.contains(&None) {
        return Err(Unfit::NothingLeft);
    }
    Ok(parts.into_iter().map(|part| part.unwrap_or(left)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: Bytes = Bytes(1 << 20);

    #[test]
    fn room_is_shared_out() {
        let fixed = |bytes| Size::Fixed(Bytes(bytes));
        for (room, sizes, parts) in [
            (100, &[fixed(1), fixed(10 << 20)][..], Ok(vec![1, 10])),
            (100, &[fixed(10 << 20), Size::Remaining, Size::Share(50_000)], Ok(vec![10, 40, 50])),
            (101, &[Size::Share(50_000), Size::Share(50_000)], Ok(vec![50, 50])),
            (3, &[Size::Share(33_333); 3], Ok(vec![1, 1, 1])),
            (100, &[Size::Remaining], Ok(vec![100])),
            (100, &[Size::Share(100_000), Size::Remaining], Err(Unfit::NothingLeft)),
            (100, &[fixed(60 << 20), fixed(41 << 20)], Err(Unfit::Over(1))),
            (0, &[], Ok(vec![])),
            (0, &[Size::Remaining], Err(Unfit::NothingLeft)),
            (1, &[fixed(u64::MAX), fixed(u64::MAX)], Err(Unfit::Over((2 << 44) - 1))),
        ] {
            assert_eq!(share(room, sizes, MIB), parts, "{room} {sizes:?}");
        }
    }

    fn a_size() -> impl Strategy<Value = Size> {
        prop_oneof![
            (1_u64..1 << 40).prop_map(|bytes| Size::Fixed(Bytes(bytes))),
            (1_u64..=100_000).prop_map(Size::Share),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_given_twice_and_the_remainder_fills_the_room(
            room in 0_u64..1 << 24,
            mut sizes in prop::collection::vec(a_size(), 0..6),
            remaining in prop::option::of(0_usize..6),
        ) {
            if let Some(at) = remaining {
                sizes.insert(at.min(sizes.len()), Size::Remaining);
            }
            if let Ok(parts) = share(room, &sizes, MIB) {
                prop_assert_eq!(parts.len(), sizes.len());
                prop_assert!(parts.iter().all(|part| *part > 0));
                let sum: u64 = parts.iter().sum();
                prop_assert!(sum <= room);
                prop_assert!(remaining.is_none() || sum == room);
                for (part, size) in parts.iter().zip(&sizes) {
                    if let Size::Fixed(bytes) = size {
                        prop_assert!(part * MIB.0 >= bytes.0);
                    }
                }
            }
        }
    }
}
