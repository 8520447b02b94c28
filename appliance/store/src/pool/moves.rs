//! Where copies of closed segments move to, and what they leave behind.

use stele_format::units::{DiskId, SegmentId, UnitIndex};

use super::{Member, Place, Pool};

impl Pool {
    /// A place belongs to a segment from here on, though no copy counts there yet.
    pub(crate) fn set_aside(&mut self, segment: SegmentId, place: Place) {
        let Some(info) = self.segments.get_mut(&segment) else {
            return;
        };
        if !info.all_places().any(|known| *known == place) {
            info.aside.push(place);
            let units = info.units;
            self.hold(&[place], units);
        }
    }

    /// A copy counts at its new place, and not any more on the disk that it left.
    pub(crate) fn relocate(&mut self, segment: SegmentId, from: DiskId, to: Place) {
        self.set_aside(segment, to);
        let Some(info) = self.segments.get_mut(&segment) else {
            return;
        };
        // Copies lie on distinct disks.
        if info.places.iter().any(|place| place.disk == to.disk) {
            return;
        }
        let leaves = |place: &&mut Place| place.disk == from;
        if let Some(place) = info.places.iter_mut().find(leaves) {
            let old = std::mem::replace(place, to);
            info.aside.retain(|aside| *aside != to);
            info.aside.push(old);
        }
    }

    /// A place for one more copy of a closed segment: on an active disk that has none, and where a
    /// copy was to go before, if there is such a place. Nothing is taken yet.
    #[must_use]
    pub fn place_beside(&self, segment: SegmentId) -> Option<Place> {
        let info = self.segments.get(&segment)?;
        let on = |places: &[Place], disk: DiskId| places.iter().any(|place| place.disk == disk);
        let mut candidates: Vec<&Member> = self
            .active()
            .filter(|member| !member.leaving && !on(&info.places, member.disk))
            .collect();
        candidates.sort_by_key(|m| {
            let slow = m.slowness.is_slow(self.now_ms);
            let free = std::cmp::Reverse(m.units.free);
            (m.is_forgetful(), slow, free, m.ordinal)
        });
        let known = |m: &&Member| info.aside.iter().find(|place| place.disk == m.disk);
        if let Some(place) = candidates.iter().find_map(known) {
            return Some(*place);
        }
        candidates.into_iter().find_map(|member| {
            let roomy = self.spare_units(member) >= info.units;
            let first_unit = UnitIndex::new(member.units.find(info.units).filter(|_| roomy)?);
            Some(Place {
                disk: member.disk,
                first_unit,
            })
        })
    }
}
