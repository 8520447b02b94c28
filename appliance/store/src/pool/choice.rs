//! Which disks take a new segment.
//!
//! One that did not keep what it had confirmed is *forgetful*, and what it confirms counts for nothing: it takes a segment
//! only where the others are too few, so that each acknowledgement rests on disks that never lied as long as two of them
//! take part.

use stele_format::record::Forgetful;
use stele_format::units::UnitIndex;

use super::{Member, MemberState, Place, Pool};
use crate::engine::DiskSlot;

impl Member {
    /// Whether it once did not have what it had confirmed.
    #[must_use]
    pub fn is_forgetful(&self) -> bool {
        self.forgotten_frames > 0
    }

    /// How many frames it forgot, as far as media count them.
    pub(crate) fn forgotten_frames_stated(&self) -> u32 {
        u32::try_from(self.forgotten_frames).unwrap_or(u32::MAX)
    }
}

impl Pool {
    /// The disks that did not keep what they had confirmed, ascending.
    pub(crate) fn forgetful(&self) -> Vec<Forgetful> {
        let members = self.members.iter();
        let mut forgetful: Vec<Forgetful> = members
            .filter(|member| member.is_forgetful())
            .map(|member| Forgetful {
                disk: member.disk,
                frames: member.forgotten_frames_stated(),
            })
            .collect();
        forgetful.sort_unstable_by_key(|of| of.disk);
        forgetful
    }

    /// Picks places for a new segment: on the active disks with the most free units, at most `copies` of them and at
    /// least the quorum, and on those that are forgetful only up to the quorum. Nothing is taken yet.
    #[must_use]
    pub fn choose(&self, copies: usize) -> Option<Vec<Place>> {
        self.choose_without(copies, &[])
    }

    /// As [`Pool::choose`], but not on these disks.
    #[must_use]
    pub fn choose_without(&self, copies: usize, without: &[DiskSlot]) -> Option<Vec<Place>> {
        let left = |member: &&Member| {
            !member.leaving && !member.slot.is_some_and(|slot| without.contains(&slot))
        };
        let mut candidates: Vec<&Member> = self.active().filter(left).collect();
        candidates.sort_by_key(|m| {
            let slow = m.slowness.is_slow(self.now_ms);
            let free = std::cmp::Reverse(m.units.free);
            (m.is_forgetful(), slow, free, m.ordinal)
        });
        let needed = self.needed().min(copies);
        let believed = candidates.iter().any(|member| !member.is_forgetful());
        let mut places: Vec<Place> = Vec::new();
        for member in candidates {
            // Beside one that can be believed; where there is none, more of them are better.
            let enough = match member.is_forgetful() && believed {
                true => needed,
                false => copies,
            };
            if places.len() >= enough {
                break;
            }
            if let Some(unit) = member.units.find(self.segment_units) {
                places.push(Place {
                    disk: member.disk,
                    first_unit: UnitIndex::new(unit),
                });
            }
        }
        if places.len() < needed {
            return None;
        }
        if self.is_alone() && copies > 1 {
            places.extend(self.place_owed());
        }
        Some(places)
    }

    /// As [`Pool::choose_without`], of disks that are only slow: not if a forgetful one would take the place of one.
    #[must_use]
    pub fn choose_beside(&self, copies: usize, slow: &[DiskSlot]) -> Option<Vec<Place>> {
        let places = self.choose_without(copies, slow)?;
        let forgetful = |places: &[Place]| {
            let mut members = places.iter().filter_map(|place| self.member(place.disk));
            members.any(Member::is_forgetful)
        };
        let worse = forgetful(&places) && !self.choose(copies).is_some_and(|all| forgetful(&all));
        (!worse).then_some(places)
    }

    /// Where the second copy belongs that a disk which is left alone cannot give a segment: on a lost disk, so that
    /// whatever takes its place is given that copy with all others. Better on one that nothing fills yet.
    fn place_owed(&self) -> Option<Place> {
        let lost =
            |member: &&Member| !matches!(member.state, MemberState::Active | MemberState::Drained);
        let by_turn = |member: &&Member| (member.state == MemberState::Joining, member.ordinal);
        let owed = self.members.iter().filter(lost).min_by_key(by_turn)?;
        let first_unit = match owed.geometry {
            Some(_) => owed.units.find(self.segment_units)?,
            // Nobody knows how large its successor is: it must have room for this, too.
            None => {
                let ends = self.extents_on(owed.disk).into_iter();
                let ends = ends.map(|(first, units)| first + units);
                ends.max().unwrap_or(0)
            }
        };
        Some(Place {
            disk: owed.disk,
            first_unit: UnitIndex::new(first_unit),
        })
    }
}
