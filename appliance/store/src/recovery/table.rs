//! What the evidence found at one place of the journal means: a decision table.
//!
//! A frame with sequence `s` was acknowledged only if it was flushed on `quorum` of `copies` disks. At
//! recovery every copy's place for `s` is read and put into one of the classes of [`Place`]. A corrupt
//! place is never a "no": it may be the committed one. A place votes "never flushed here" only when
//! it is blank, or when it is torn: some of its 512-byte sectors were never written, which a completed
//! flush excludes. (A flushed frame in which rot blanks a whole sector looks torn; losing it takes a
//! second fault on another copy in the same frame. This two-fault ambiguity is accepted and documented.)
//!
//! | case | some copy valid | proven durable | "no" votes | verdict |
//! |---|---|---|---|---|
//! | A present | yes | any | any | adopt, acknowledged or not; repair the other copies |
//! | B damaged | no | yes | any | acknowledged and unreadable here: name it, write nothing |
//! | C end | no | no | `> copies - quorum` | never acknowledged: the lane ends here |
//! | D unknown | no | no | fewer | cannot tell: write nothing, ask for the missing disk |

use crate::plants::{Plant, on};

/// What one copy of the journal shows where the next frame should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A frame that verifies in every respect.
    Valid,
    /// Nothing was ever written: zero to the end of the largest possible write.
    Blank,
    /// A write began and did not complete: some sectors hold data, some were never written.
    Torn,
    /// Neither blank nor torn nor valid.
    Rotten,
    /// The disk answers with an error.
    Unreadable,
    /// The disk is not here, or has no vote.
    Absent,
}

impl Place {
    /// Every class, for exhaustive tests.
    pub const ALL: [Place; 6] = [
        Place::Valid,
        Place::Blank,
        Place::Torn,
        Place::Rotten,
        Place::Unreadable,
        Place::Absent,
    ];

    /// Whether this place proves that the frame was not flushed on its disk.
    #[must_use]
    pub fn votes_no(self) -> bool {
        matches!(self, Place::Blank | Place::Torn)
    }
}

/// What to do about one sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Case A.
    Adopt,
    /// Case B.
    Damaged,
    /// Case C.
    End,
    /// Case D.
    CannotTell,
}

/// How many flushed copies an acknowledgement needs when a segment has `copies` copies.
#[must_use]
pub fn quorum(copies: usize) -> usize {
    copies.min(2)
}

/// Whether so many copies say that they never flushed the frame that it was not acknowledged, or one of them had
/// confirmed a flush that it did not keep. A copy may lag behind the acknowledgement where others are enough, so one
/// alone says nothing then.
#[must_use]
pub fn is_denied(places: &[Place]) -> bool {
    let copies = places.len();
    let noes = places.iter().filter(|place| place.votes_no()).count();
    noes + quorum(copies) > copies
}

/// The table. `places` has one entry per copy of the segment; `proven` says whether any evidence
/// (a later frame's `committed_through`, a label's watermark, a seal) proves the frame durable.
#[must_use]
pub fn decide(places: &[Place], proven: bool) -> Verdict {
    let valid = places.contains(&Place::Valid);
    match (valid, proven, is_denied(places)) {
        (false, ..) if on(Plant::DamageTakenForEnd) => Verdict::End,
        (true, _, _) => Verdict::Adopt,
        (false, true, _) => Verdict::Damaged,
        (false, false, true) => Verdict::End,
        (false, false, false) => Verdict::CannotTell,
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Verdict, decide, quorum};

    fn all_places(copies: usize) -> Vec<Vec<Place>> {
        (0..copies).fold(vec![Vec::new()], |rows, _| {
            rows.iter()
                .flat_map(|row| {
                    Place::ALL.iter().map(move |place| {
                        let mut next = row.clone();
                        next.push(*place);
                        next
                    })
                })
                .collect()
        })
    }

    /// Every combination of up to four copies: the verdict never drops a frame that could have been
    /// acknowledged, given that a voting place is truthful, and never refuses without need.
    #[test]
    fn every_combination_is_decided_safely() {
        for copies in 1..=4_usize {
            for places in all_places(copies) {
                for proven in [false, true] {
                    check(&places, proven);
                }
            }
        }
    }

    fn check(places: &[Place], proven: bool) {
        let verdict = decide(places, proven);
        // The most disks that can have flushed the frame: all that do not prove the contrary.
        let flushed_at_most = places.iter().filter(|place| !place.votes_no()).count();
        let may_be_acknowledged = proven || flushed_at_most >= quorum(places.len());
        let found = places.contains(&Place::Valid);
        let expected = match (found, may_be_acknowledged, proven) {
            (true, _, _) => Verdict::Adopt,
            (false, true, true) => Verdict::Damaged,
            (false, true, false) => Verdict::CannotTell,
            (false, false, _) => Verdict::End,
        };
        assert_eq!(verdict, expected, "{places:?} proven={proven}");
    }

    #[test]
    fn one_disk_fault_never_stops_a_three_copy_journal_at_its_end() {
        for bad in [Place::Rotten, Place::Unreadable, Place::Absent] {
            for other in [Place::Blank, Place::Torn] {
                assert_eq!(decide(&[bad, other, Place::Blank], false), Verdict::End);
            }
        }
    }

    #[test]
    fn a_rotten_place_beside_a_missing_disk_is_never_taken_for_the_end() {
        assert_eq!(
            decide(&[Place::Rotten, Place::Absent, Place::Blank], false),
            Verdict::CannotTell
        );
    }
}
