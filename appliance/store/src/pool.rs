//! The disks of the pool: members, their states, and which units of each are in use.
//!
//! Invariants: copies of a segment lie on distinct disks; a disk that is not active has no vote and is
//! never written; the generation only grows; a unit is given out only while no segment holds it.

mod choice;
mod held;
mod info;
mod moves;
mod names;
mod segments;
pub mod slow;
pub mod space;
#[cfg(test)]
mod starts;
pub mod stated;
mod units;
pub mod unread;

use stele_format::geometry::DiskGeometry;
use stele_format::label::{Features, StaticLabel, VaultFlags};
use stele_format::record::Scrub;
use stele_format::units::{
    ByteCount, DiskId, Epoch, Generation, LaneId, Opening, PoolId, SegmentId, Sequence, UnitIndex,
    UnixMillis,
};

use crate::engine::DiskSlot;
use crate::limits::{
    RESERVE_RUN_COUNT_MIN, RESERVE_SEGMENT_COUNT_MIN, RESERVE_UNIT_DIVISOR, RESERVE_VAULT_DIVISOR,
};
use crate::plants::{Plant, on};
use crate::recovery::table::quorum;
pub(crate) use info::tells_of_loss;
pub use info::{FirstRead, Flaw, SegmentInfo};
pub use segments::Segments;
use slow::Slowness;
use units::UnitMap;

/// Disks that carry an index area, the first ones.
pub const INDEX_DISK_COUNT: u16 = 2;

/// What the pool thinks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// Takes part: has a vote, is written.
    Active,
    /// Not here.
    Absent,
    /// Here, but missed writes; left alone until it is resynced.
    Stale,
    /// Failed a write or a flush while we ran; not believed any more.
    Expelled,
    /// Here, and being filled with what it lacks; no vote until it has all of it.
    Joining,
    /// All it held was copied to other disks, and it takes nothing more.
    Drained,
}

/// One disk of the pool.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its identity; the label, never a device name.
    pub disk: DiskId,
    /// Its number in the pool, from 0.
    pub ordinal: u16,
    /// Where it is attached, if it is.
    pub slot: Option<DiskSlot>,
    /// Where it is, as operators call it; empty if it is not here.
    pub name: String,
    /// What is printed on its drive, or on the one that was here last; none for a file.
    pub serial: Option<String>,
    /// Its layout, if it is here.
    pub geometry: Option<DiskGeometry>,
    /// Its state.
    pub state: MemberState,
    /// Whether it belongs to the membership in force: what the labels of all its members state.
    pub voter: bool,
    /// The newest label generation it is known to have had.
    pub last_generation: Generation,
    /// Generation of the newest label on it that is no promise, as far as a start needs it.
    pub label: Generation,
    /// Generation of the label that shows how far it came, as far as a start needs it.
    pub reached: Generation,
    /// One past the highest unit in use by its own label when it was opened.
    pub label_units: u32,
    /// Why it is not active, in words for an operator.
    pub reason: Option<&'static str>,
    /// Acknowledged journal frames that it had confirmed, or one that is as suspect as it, and that it did not have at
    /// some start. The labels keep that for as long as it is a disk of the pool.
    pub forgotten_frames: u64,
    /// It was opened, and is not at its place any more.
    pub astray: bool,
    /// It joined since the start and held nothing of this vault before.
    pub came_blank: bool,
    units: UnitMap,
    /// How it was slow.
    pub(crate) slowness: Slowness,
    /// It is being drained: it takes no further segments.
    pub leaving: bool,
}

/// Where one copy of a segment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The disk.
    pub disk: DiskId,
    /// First unit of the extent.
    pub first_unit: UnitIndex,
}

/// Units of one copy that its segment was given and did not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surplus {
    /// Where the copy lies.
    pub place: Place,
    skip: u32,
    count: u32,
}

/// The pool.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its id.
    pub id: PoolId,
    /// Its disks by ordinal.
    pub members: Vec<Member>,
    /// Newest label generation written, or seen on any disk.
    pub generation: Generation,
    /// Newest label generation known to be on every disk that it calls active.
    pub in_force: Generation,
    /// How often the vault was forced open.
    pub opening: Opening,
    /// Bytes per unit.
    pub unit_bytes: u32,
    /// Units of a full segment.
    pub segment_units: u32,
    /// Flags of the static label.
    pub flags: u32,
    /// When the pool was made.
    pub created: UnixMillis,
    /// Every segment known.
    pub segments: Segments,
    /// Segments that were given up and hold their units still.
    pub freed: space::Freed,
    /// The first segment after the last forced opening that gave up records in the middle of the log, or the highest number
    /// there is while that is being opened. Some of those records may say where copies lie, so units count as in use that
    /// were before it, whatever is known of them.
    pub doubted: Option<SegmentId>,
    /// Segments whose content the index lacks since they were away.
    pub unread: unread::Unread,
    /// The next segment id never used.
    pub next_segment: SegmentId,
    /// The monotonic clock of the present step.
    pub now_ms: u64,
}

impl Member {
    /// A member whose geometry is known when its disk is here.
    #[must_use]
    pub fn new(disk: DiskId, ordinal: u16, geometry: Option<DiskGeometry>) -> Self {
        let units = geometry
            .as_ref()
            .map_or_else(UnitMap::default, |g| UnitMap::new(g.unit_count().get()));
        Self {
            disk,
            ordinal,
            slot: None,
            name: String::new(),
            serial: None,
            geometry,
            state: MemberState::Absent,
            voter: false,
            last_generation: Generation::ZERO,
            label: Generation::ZERO,
            reached: Generation::ZERO,
            label_units: 0,
            reason: None,
            forgotten_frames: 0,
            astray: false,
            came_blank: false,
            units,
            slowness: Slowness::default(),
            leaving: false,
        }
    }

    /// Whether it is written.
    #[must_use]
    pub fn is_used(&self) -> bool {
        matches!(self.state, MemberState::Active | MemberState::Joining)
    }

    /// Units not in use.
    #[must_use]
    pub fn free_units(&self) -> u32 {
        self.units.free
    }

    /// Units in all.
    #[must_use]
    pub fn unit_count(&self) -> u32 {
        u32::try_from(self.units.used.len()).unwrap_or(u32::MAX)
    }

    /// One past the highest unit that was ever in use, as far as is known: a start looks no further.
    #[must_use]
    pub fn units_high_water(&self) -> u32 {
        self.units.top.max(self.label_units.min(self.unit_count()))
    }

    fn is_active(&self) -> bool {
        self.state == MemberState::Active
    }
}

impl Pool {
    /// Active members.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_active())
    }

    /// The member with this identity.
    #[must_use]
    pub fn member(&self, disk: DiskId) -> Option<&Member> {
        self.members.iter().find(|member| member.disk == disk)
    }

    /// The number of a member, from 1; zero of a disk that is none.
    #[must_use]
    pub fn number_of(&self, disk: DiskId) -> u16 {
        self.member(disk).map_or(0, |member| member.ordinal + 1)
    }

    /// The member attached at this slot.
    #[must_use]
    pub fn member_at(&self, slot: DiskSlot) -> Option<&Member> {
        self.members.iter().find(|member| member.slot == Some(slot))
    }

    /// The member attached at this slot, to change it.
    pub fn member_at_mut(&mut self, slot: DiskSlot) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.slot == Some(slot))
    }

    /// The slot of an active disk.
    #[must_use]
    pub fn active_slot(&self, disk: DiskId) -> Option<DiskSlot> {
        self.member(disk)
            .filter(|member| member.is_active())
            .and_then(|member| member.slot)
    }

    /// Disks that must take a write for it to be acknowledged: two, or one in a pool of one. Only a forced opening
    /// leaves one of several.
    #[must_use]
    pub fn needed(&self) -> usize {
        quorum(self.voters().count().max(1))
    }

    /// Disks a start must have to write: more than half of the membership in force, since any two
    /// such sets of disks share one, which knows what the other set did.
    #[must_use]
    pub fn needed_to_start(&self) -> usize {
        self.needed().max(self.voters().count() / 2 + 1)
    }

    /// Whether a start may write with the disks that take part.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.may_start_without(None)
    }

    /// As [`Pool::may_start`], if one of them were lost.
    #[must_use]
    pub fn may_start_without(&self, lost: Option<DiskSlot>) -> bool {
        let stays =
            |member: &&Member| member.is_active() && (lost.is_none() || member.slot != lost);
        let voting = self.voters().filter(stays).count();
        let active = self.members.iter().filter(stays).count();
        active >= self.needed() && 2 * voting > self.voters().count()
    }

    /// Whether the disks that take part may go on without those just lost: with half of the membership
    /// in force every set that could start without us is too small.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        let voting = self.voters().filter(|member| member.is_active()).count();
        self.active().count() >= self.needed() && 2 * voting >= self.voters().count()
    }

    /// The membership in force.
    fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.voter)
    }

    /// All that take part have the label of this generation, which says so: that is the membership in force
    /// now. True when it was another before.
    pub fn bring_in_force(&mut self, generation: Generation) -> bool {
        let mut changed = false;
        self.in_force = generation;
        for member in &mut self.members {
            changed |= member.voter != member.is_active();
            member.voter = member.is_active();
        }
        changed
    }

    /// Byte offset on its disk of a place, if the disk is attached.
    #[must_use]
    pub fn locate(&self, place: &Place) -> Option<(DiskSlot, u64)> {
        let member = self.member(place.disk)?;
        let geometry = member.geometry.as_ref()?;
        Some((member.slot?, geometry.unit_offset(place.first_unit)?.get()))
    }

    /// As [`Pool::locate`], but only on a disk that takes part.
    #[must_use]
    pub fn locate_active(&self, place: &Place) -> Option<(DiskSlot, u64)> {
        self.locate(place)
            .filter(|_| self.active_slot(place.disk).is_some())
    }

    /// Notes that a segment holds its units on every disk that is here.
    pub fn hold(&mut self, places: &[Place], units: u32) {
        self.mark(places, 0, units, true);
    }

    /// Gives the units of a closed segment beyond the kept ones back.
    pub fn trim(&mut self, segment: SegmentId, units_kept: u32, data_end: u64, at: UnixMillis) {
        for surplus in self.close(segment, units_kept, data_end, at) {
            self.give_back(&surplus);
        }
    }

    /// Notes where a segment ends, at this time of the compliance clock. What it holds beyond is still to be given back.
    #[must_use]
    pub fn close(
        &mut self,
        segment: SegmentId,
        units_kept: u32,
        data_end: u64,
        at: UnixMillis,
    ) -> Vec<Surplus> {
        let Some(info) = self.segments.get_mut(&segment) else {
            return Vec::new();
        };
        let held = info.units;
        info.units = units_kept.min(held);
        info.close(data_end, at);
        let surplus = |place: &Place| Surplus {
            place: *place,
            skip: units_kept,
            count: held.saturating_sub(units_kept),
        };
        info.places.iter().map(surplus).collect()
    }

    /// Units that a closed segment held are free.
    pub fn give_back(&mut self, surplus: &Surplus) {
        let more = u32::from(on(Plant::UnitGivenTwice)).min(surplus.skip);
        let (skip, count) = (surplus.skip - more, surplus.count + more);
        self.mark(&[surplus.place], skip, count, false);
    }

    fn mark(&mut self, places: &[Place], skip: u32, count: u32, used: bool) {
        for place in places {
            if let Some(member) = self.members.iter_mut().find(|m| m.disk == place.disk) {
                member
                    .units
                    .mark(place.first_unit.get() + skip, count, used);
            }
        }
    }

    /// Notes what the journal says of a segment that was closed by this time; units are counted afterwards.
    pub fn trim_known(
        &mut self,
        segment: SegmentId,
        units_kept: u32,
        data_end: Option<u64>,
        at: UnixMillis,
    ) {
        if let Some(info) = self.segments.get_mut(&segment) {
            info.units = units_kept.min(info.units);
            let end = data_end.or(info.data_end).unwrap_or_default();
            info.close(end, at);
        }
    }

    /// Every copy of a segment was read again at this time.
    pub(crate) fn note_scrub(&mut self, scrub: &Scrub, at: UnixMillis) {
        if let Some(info) = self.segments.get_mut(&scrub.segment) {
            info.was_found(scrub, at);
        }
    }

    /// Forgets a segment that was never written, and frees its units.
    pub fn drop_segment(&mut self, segment: SegmentId) {
        if let Some(info) = self.segments.remove(&segment) {
            self.mark(&info.places, 0, info.units, false);
        }
    }

    /// Counts the units in use anew from the segments known. Where two overlap, the earlier one was
    /// closed early and ends where the later begins.
    pub fn count_units(&mut self) {
        let disks: Vec<DiskId> = self.members.iter().map(|member| member.disk).collect();
        disks.into_iter().for_each(|disk| self.count_units_of(disk));
    }

    /// As [`Pool::count_units`], for one disk.
    pub fn count_units_of(&mut self, disk: DiskId) {
        let counted = self.counted_units(disk);
        if let Some(member) = self.members.iter_mut().find(|member| member.disk == disk) {
            member.units = counted;
        }
    }

    /// The units of a disk by what lies there.
    fn counted_units(&self, disk: DiskId) -> UnitMap {
        let extents = self.extents_on(disk);
        let member = self.member(disk);
        let mut counted = UnitMap::new(member.map_or(0, Member::unit_count));
        counted.top = member.map_or(0, |member| member.units.top);
        for (at, (first, units)) in extents.iter().enumerate() {
            let room = extents
                .get(at + 1)
                .map_or(u32::MAX, |(next, _)| next - first);
            counted.mark(*first, (*units).min(room), true);
        }
        counted.mark(0, self.units_in_doubt(disk), true);
        // What follows lies close behind what is there.
        counted.next = counted.end();
        counted
    }

    /// The first unit of a disk that takes part which is free and held by something, or, where what was to be given back
    /// is (as after a start), marked as used and held by nothing: the disk's number, the unit, and whether it is marked.
    /// There is none.
    #[must_use]
    pub fn misplaced_unit(&self, settled: bool) -> Option<(u16, u32, bool)> {
        self.active().find_map(|member| {
            let counted = self.counted_units(member.disk);
            let pairs = member.units.used.iter().zip(&counted.used);
            let is_wrong = |marked: bool, held: bool| marked != held && (settled || held);
            let mut pairs = pairs.map(|(marked, held)| is_wrong(*marked, *held));
            let at = pairs.position(|wrong| wrong)?;
            let marked = member.units.used.get(at).copied()?;
            Some((member.ordinal + 1, u32::try_from(at).ok()?, marked))
        })
    }

    /// One past the last unit of a disk that was in use before the log lost records, as far as that is known.
    pub(crate) fn units_in_doubt(&self, disk: DiskId) -> u32 {
        let Some(doubted) = self.doubted else {
            return 0;
        };
        let later = self.segments.range(doubted..);
        let later = later.filter(|(_, info)| info.is_written());
        let places = later.flat_map(|(_, info)| &info.places);
        let first = places
            .filter(|place| place.disk == disk)
            .map(|place| place.first_unit.get())
            .min();
        let used = self.member(disk).map_or(0, Member::units_high_water);
        first.unwrap_or(used)
    }

    /// First unit and units of every extent on a disk, in order.
    fn extents_on(&self, disk: DiskId) -> Vec<(u32, u32)> {
        let places = self
            .segments
            .values()
            .flat_map(|info| info.all_places().map(move |place| (place, info.units)));
        let freed = self.freed.copies();
        let freed = freed.map(|(_, copy)| (&copy.place, copy.units));
        let mut extents: Vec<(u32, u32)> = places
            .chain(freed)
            .filter(|(place, _)| place.disk == disk)
            .map(|(place, units)| (place.first_unit.get(), units))
            .collect();
        extents.sort_unstable();
        extents
    }

    /// Whether a copy of a segment lies on a disk, or is owed to it.
    #[must_use]
    pub fn lies_on(&self, segment: SegmentId, disk: DiskId) -> bool {
        let places = self.segments.get(&segment).map(|info| &info.places);
        places.is_some_and(|places| places.iter().any(|place| place.disk == disk))
    }

    /// Units a disk must have at least: room for all it holds or held, and for a segment.
    #[must_use]
    pub fn unit_count_needed(&self, disk: DiskId) -> u32 {
        let ends = self
            .extents_on(disk)
            .into_iter()
            .map(|(first, units)| first + units);
        ends.max().unwrap_or(0).max(self.segment_units)
    }

    /// The static label of a disk that joins; its size is that of another disk and is to be set.
    #[must_use]
    pub fn static_label(&self, ordinal: u16, disk: DiskId) -> Option<StaticLabel> {
        let geometries = || self.members.iter().filter_map(|member| member.geometry);
        let with_index = geometries().find(|geometry| geometry.index_bytes.get() > 0);
        let geometry = if ordinal < INDEX_DISK_COUNT {
            with_index.or_else(|| geometries().next())?
        } else {
            DiskGeometry {
                index_bytes: ByteCount::new(0),
                ..geometries().next()?
            }
        };
        Some(StaticLabel {
            pool: self.id,
            disk,
            disk_ordinal: ordinal,
            disk_count: u16::try_from(self.members.len()).unwrap_or(u16::MAX),
            geometry,
            features: Features::default(),
            created_ms: self.created,
            flags: VaultFlags::new(self.flags)?,
        })
    }

    /// Whether one disk is left of several, after a forced opening.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        let stays = |member: &&Member| member.state != MemberState::Drained;
        self.voters().count() == 1 && self.members.iter().filter(stays).count() > 1
    }

    /// Units of a disk that data may ever take.
    #[must_use]
    pub fn units_for_data(&self, member: &Member) -> u32 {
        member
            .unit_count()
            .saturating_sub(self.reserve_units(member))
    }

    /// Units of a disk that data must leave free.
    fn reserve_units(&self, member: &Member) -> u32 {
        let least = RESERVE_SEGMENT_COUNT_MIN * self.segment_units;
        (member.unit_count() / RESERVE_UNIT_DIVISOR).max(least)
    }

    /// Units of a disk that data may take.
    #[must_use]
    pub fn spare_units(&self, member: &Member) -> u32 {
        member.units.free.saturating_sub(self.reserve_units(member))
    }

    /// Whether this is a vault for evaluation.
    #[must_use]
    pub fn is_evaluation(&self) -> bool {
        VaultFlags::new(self.flags).is_some_and(|flags| flags.contains(VaultFlags::EVALUATION))
    }

    /// Whether clients may still add records about data that is there: the rest of the reserve is the
    /// vault's own, so that nobody's markers keep it from changing who may do what.
    #[must_use]
    pub fn has_room_for_records(&self) -> bool {
        let roomy = |member: &&Member| {
            let kept = self.reserve_units(member) / RESERVE_VAULT_DIVISOR;
            member.units.free >= kept + self.segment_units
        };
        self.active().filter(roomy).count() >= self.needed()
    }

    /// Takes a fresh segment id and the chosen places.
    pub fn take(
        &mut self,
        lane: LaneId,
        epoch: Epoch,
        first: Sequence,
        places: &[Place],
        compliance: UnixMillis,
    ) -> SegmentId {
        let segment = self.next_segment;
        self.next_segment = SegmentId::new(segment.get() + 1);
        self.hold(places, self.segment_units);
        for place in places {
            if let Some(member) = self.members.iter_mut().find(|m| m.disk == place.disk) {
                member.units.next = (place.first_unit.get() + self.segment_units) as usize;
            }
        }
        let info = SegmentInfo {
            lane,
            epoch,
            units: self.segment_units,
            first_sequence: first,
            data_end: None,
            stated: None,
            places: places.to_vec(),
            aside: Vec::new(),
            written: compliance,
            verified: UnixMillis::ZERO,
            first_read: None,
            flaw: None,
        };
        self.segments.insert(segment, info);
        segment
    }

    /// Whether the disks that are here, two of them where there are more, have room for the next epochs.
    pub(crate) fn has_room_to_begin(&self) -> bool {
        let runs = 1 + RESERVE_RUN_COUNT_MIN;
        let roomy = |member: &&Member| member.units.has_runs(runs, self.segment_units);
        let (here, with_room) = (self.active().count(), self.active().filter(roomy).count());
        with_room > 0 && with_room >= here.min(2)
    }

    /// How many more starts there is room for on the disks that are here, if nothing else takes any. Each needs a whole
    /// segment for the journal, and keeps a unit of it for good.
    #[must_use]
    pub fn starts_left(&self) -> u32 {
        let left = self
            .active()
            .map(|member| member.units.takes_left(self.segment_units));
        let mut left: Vec<u32> = left.collect();
        left.sort_unstable();
        // Two disks, where there are more than one, or the start is not counted.
        let second = left.len().checked_sub(left.len().min(2));
        second.and_then(|at| left.get(at).copied()).unwrap_or(0)
    }

    /// Whether new data may still take segments: the reserve is for journal, seals and epochs.
    #[must_use]
    pub fn has_room_for_data(&self) -> bool {
        let roomy = |member: &&Member| {
            // Free units that no segment fits into are no reserve: the next epoch needs a whole one.
            let runs = 1 + RESERVE_RUN_COUNT_MIN;
            !member.leaving
                && self.spare_units(member) >= self.segment_units
                && member.units.has_runs(runs, self.segment_units)
        };
        self.active().filter(roomy).count() >= self.needed()
    }
}
