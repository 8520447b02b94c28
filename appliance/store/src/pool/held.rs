//! Which units segments hold, by disk: for many questions at once, each of which would look at every segment.

use std::collections::BTreeMap;

use stele_format::units::DiskId;

use super::{Place, Pool};

/// Where segments lay when it was made.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<DiskId, Vec<Stretch>>);

/// Units of one segment on one disk.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: u32,
    /// One past the last of this one and of all that begin before it: some may lie over each other.
    end: u32,
}

impl Held {
    /// What all segments of a pool hold.
    pub(super) fn by(pool: &Pool) -> Self {
        let segments = pool.segments.values();
        Self::of(segments.flat_map(|info| info.all_places().map(|place| (*place, info.units))))
    }

    fn of(places: impl Iterator<Item = (Place, u32)>) -> Self {
        let mut held = Self::default();
        for (place, units) in places {
            let first = place.first_unit.get();
            let end = first.saturating_add(units);
            let of_disk = held.0.entry(place.disk).or_default();
            of_disk.push(Stretch { first, end });
        }
        for stretches in held.0.values_mut() {
            stretches.sort_unstable_by_key(|stretch| stretch.first);
            let mut end = 0;
            for stretch in stretches {
                end = end.max(stretch.end);
                stretch.end = end;
            }
        }
        held
    }

    /// Whether any of these units is held.
    pub(super) fn meets(&self, place: &Place, units: u32) -> bool {
        let first = place.first_unit.get();
        let Some(stretches) = self.0.get(&place.disk) else {
            return false;
        };
        let before = stretches.partition_point(|one| one.first < first.saturating_add(units));
        let last = before.checked_sub(1).and_then(|at| stretches.get(at));
        last.is_some_and(|last| last.end > first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use stele_format::units::UnitIndex;

    use super::*;
    use crate::pool::space::overlap;

    fn place((disk, first, units): (bool, u8, u8)) -> (Place, u32) {
        let place = Place {
            disk: DiskId::new([u8::from(disk); 16]),
            first_unit: UnitIndex::new(u32::from(first)),
        };
        (place, u32::from(units))
    }

    proptest! {
        #[test]
        fn it_says_what_a_look_at_every_segment_says(
            held in proptest::collection::vec((any::<bool>(), any::<u8>(), 1u8..20), 0..30),
            asked in (any::<bool>(), any::<u8>(), 1u8..20),
        ) {
            let (at, units) = place(asked);
            let one_by_one = held.iter().any(|one| {
                let (other, others) = place(*one);
                overlap(&at, units, &other, others)
            });
            let held = Held::of(held.into_iter().map(place));
            prop_assert_eq!(held.meets(&at, units), one_by_one);
        }
    }
}
