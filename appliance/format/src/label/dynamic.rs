//! The changing part of a label: generation, epoch, membership, journal watermark.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::{DYNAMIC_MAGIC, LabelCopy, LabelError, LabelPlace, check_place};
use crate::codec::{
    DecodeError, EncodeError, FORMAT_VERSION, Fault, Unverified, is_blank, media_struct,
    read_block, refuse, require, seal_block,
};
use crate::digest::Digest;
use crate::geometry::DiskGeometry;
use crate::limits::{BLOCK, CUTOFFS_MAX, LABEL_RING_BLOCKS, LABEL_RING_FIRST, MEMBERS_MAX};
use crate::units::{
    ByteOffset, DiskId, Epoch, Generation, Opening, PoolId, SegmentId, Sequence, UnitCount,
};

/// Standing of a disk in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// Votes and is written.
    Active,
    /// Not there.
    Absent,
    /// Failed a flush or lied about one.
    Expelled,
    /// Came back with an older generation.
    Stale,
    /// Everything on it was copied to other disks; it may be pulled out.
    Drained,
}

impl MemberState {
    /// The number on media.
    #[must_use]
    pub const fn get(self) -> u8 {
        match self {
            Self::Active => 1,
            Self::Absent => 2,
            Self::Expelled => 3,
            Self::Stale => 4,
            Self::Drained => 5,
        }
    }

    /// The state with this number.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Active),
            2 => Some(Self::Absent),
            3 => Some(Self::Expelled),
            4 => Some(Self::Stale),
            5 => Some(Self::Drained),
            _ => None,
        }
    }
}

/// Why a label was written: the steps of a start, and what comes after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelPhase {
    /// A change while the vault runs, or the last step of a start.
    #[default]
    Running,
    /// First step of a start: only claims a generation, so that every later start that shares a disk with
    /// this one goes on above it. It states no membership. A running writer that leaps ahead does so, too.
    Promise,
    /// Second step of a start: the membership it will have. Nothing is acknowledged before the third.
    Begin,
}

impl LabelPhase {
    /// The number on media.
    #[must_use]
    pub const fn get(self) -> u32 {
        match self {
            Self::Running => 0,
            Self::Promise => 1,
            Self::Begin => 2,
        }
    }

    /// The phase with this number.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Running),
            1 => Some(Self::Promise),
            2 => Some(Self::Begin),
            _ => None,
        }
    }
}

/// A disk of the pool as a label knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelMember {
    /// Disk.
    pub disk: DiskId,
    /// Standing.
    pub state: MemberState,
    /// Belongs to the membership in force when this was written. A label that changes the membership
    /// names the one before it here; the next generation, once all members have that label, the new one.
    pub voter: bool,
    /// Acknowledged journal frames that it must have confirmed and did not have at a start; it stays so as long as it is
    /// a disk of the pool.
    pub forgotten_frames: u32,
    /// Newest generation known to be on that disk.
    pub last_generation: Generation,
}

/// Where the journal of an epoch ends; later frames of that epoch are ghosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochCutoff {
    /// Epoch that ended.
    pub epoch: Epoch,
    /// Its last frame.
    pub last_sequence: Sequence,
    /// Digest of that frame's header.
    pub last_header: Digest,
}

/// What changes: generation, epoch, membership, how far the journal is known to be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicLabel {
    /// Pool.
    pub pool: PoolId,
    /// Disk this block is on.
    pub disk: DiskId,
    /// Number of this write; only grows.
    pub generation: Generation,
    /// The newest generation that came in force, as far as the writer knew: every disk that it called
    /// active had it. Lower than `generation`.
    pub in_force: Generation,
    /// Epoch of the start that wrote this.
    pub epoch: Epoch,
    /// Newest journal frame known durable on the quorum when this was written.
    pub watermark: Sequence,
    /// Segment ids below this one are used.
    pub next_segment: SegmentId,
    /// Units of this disk below this one may have been written.
    pub units_high_water: UnitCount,
    /// The writer stopped in order.
    pub clean_stop: bool,
    /// Why it was written.
    pub phase: LabelPhase,
    /// Newest open journal segment, or none.
    pub journal_segment: SegmentId,
    /// Disks of the pool, at most `MEMBERS_MAX`.
    pub members: Vec<LabelMember>,
    /// Newest cut-offs, oldest first, at most `CUTOFFS_MAX`.
    pub cutoffs: Vec<EpochCutoff>,
}

media_struct! {
    RawMember as "LabelMember", 32, {
        disk: [u8; 16],
        state: u8,
        voter: u8,
        reserved: [u8; 2],
        forgotten_frames: U32,
        last_generation: U64,
    }
}

media_struct! {
    RawCutoff as "EpochCutoff", 48, {
        epoch: U32,
        reserved: [u8; 4],
        last_sequence: U64,
        last_header: [u8; 32],
    }
}

media_struct! {
    RawDynamic as "DynamicLabel", 4096, {
        magic: [u8; 8],
        version: U16,
        copy: U16,
        slot: U16,
        reserved_a: [u8; 2],
        own_offset: U64,
        pool: [u8; 16],
        disk: [u8; 16],
        generation: U64,
        watermark: U64,
        next_segment: U64,
        journal_segment: U64,
        epoch: U32,
        units_high_water: U32,
        flags: U32,
        member_count: U16,
        cutoff_count: U16,
        members: [RawMember; MEMBERS_MAX],
        cutoffs: [RawCutoff; CUTOFFS_MAX],
        in_force: U64,
        reserved_b: [u8; 1392],
        digest: [u8; 32],
    }
}

pub(super) const STRUCTURES: [crate::codec::Structure; 3] = [
    RawDynamic::STRUCTURE,
    RawMember::STRUCTURE,
    RawCutoff::STRUCTURE,
];

const FLAG_CLEAN_STOP: u32 = 1;
/// Where the phase lies among the flags, and its bits there.
const PHASE_SHIFT: u32 = 1;
const PHASE_MASK: u32 = 3;

impl DynamicLabel {
    /// How often the vault was forced open when this was written, as far as any acknowledged frame shows.
    #[must_use]
    pub const fn opening(&self) -> Opening {
        self.watermark.opening()
    }

    /// Whether a start began with half of its voters or fewer: a forced opening, by which nobody is bound before its last
    /// labels.
    #[must_use]
    pub fn begins_with_few(&self) -> bool {
        let voters = || self.members.iter().filter(|member| member.voter);
        let active = voters().filter(|member| member.state == MemberState::Active);
        self.phase == LabelPhase::Begin && 2 * active.count() <= voters().count()
    }

    /// Ring slot of a generation.
    #[must_use]
    pub fn slot(generation: Generation) -> u16 {
        u16::try_from(generation.get() % u64::from(LABEL_RING_BLOCKS)).unwrap_or(0)
    }

    /// Block within a copy where this label goes.
    #[must_use]
    pub fn block(&self) -> u16 {
        LABEL_RING_FIRST + Self::slot(self.generation)
    }

    /// Where this label goes in a copy.
    #[must_use]
    pub fn place(&self, geometry: &DiskGeometry, copy: LabelCopy) -> LabelPlace {
        let block = self.block();
        LabelPlace {
            copy,
            block,
            offset: geometry.label_block_offset(copy, block),
        }
    }

    /// The block for one copy.
    ///
    /// # Errors
    /// When there are more members or cut-offs than a label holds.
    pub fn encode(
        &self,
        geometry: &DiskGeometry,
        copy: LabelCopy,
    ) -> Result<[u8; BLOCK], EncodeError> {
        self.encode_at(copy, self.place(geometry, copy).offset)
    }

    /// The block for one copy whose ring block lies at this offset of the disk.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encode_at(
        &self,
        copy: LabelCopy,
        own_offset: ByteOffset,
    ) -> Result<[u8; BLOCK], EncodeError> {
        let too_many = |field| EncodeError::new(RawDynamic::STRUCTURE.name, field, Fault::Limit);
        let mut raw = RawDynamic::new_zeroed();
        if self.members.len() > raw.members.len() {
            return Err(too_many("members"));
        }
        if self.cutoffs.len() > raw.cutoffs.len() {
            return Err(too_many("cutoffs"));
        }
        raw.magic = DYNAMIC_MAGIC;
        raw.version = FORMAT_VERSION.into();
        raw.copy = copy.get().into();
        raw.slot = Self::slot(self.generation).into();
        raw.own_offset = own_offset.get().into();
        raw.pool = self.pool.to_bytes();
        raw.disk = self.disk.to_bytes();
        raw.generation = self.generation.get().into();
        raw.in_force = self.in_force.get().into();
        raw.watermark = self.watermark.get().into();
        raw.next_segment = self.next_segment.get().into();
        raw.journal_segment = self.journal_segment.get().into();
        raw.epoch = self.epoch.get().into();
        raw.units_high_water = self.units_high_water.get().into();
        let clean = if self.clean_stop { FLAG_CLEAN_STOP } else { 0 };
        raw.flags = (clean | self.phase.get() << PHASE_SHIFT).into();
        raw.member_count = u16::try_from(self.members.len()).unwrap_or(0).into();
        raw.cutoff_count = u16::try_from(self.cutoffs.len()).unwrap_or(0).into();
        for (to, from) in raw.members.iter_mut().zip(&self.members) {
            to.disk = from.disk.to_bytes();
            to.state = from.state.get();
            to.voter = from.voter.into();
            to.forgotten_frames = from.forgotten_frames.into();
            to.last_generation = from.last_generation.get().into();
        }
        for (to, from) in raw.cutoffs.iter_mut().zip(&self.cutoffs) {
            to.epoch = from.epoch.get().into();
            to.last_sequence = from.last_sequence.get().into();
            to.last_header = from.last_header.0;
        }
        Ok(seal_block(&raw))
    }

    /// Reads a block.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self, LabelPlace>, DecodeError> {
        let raw: RawDynamic = read_block(&RawDynamic::STRUCTURE, &DYNAMIC_MAGIC, bytes)?;
        require!(is_blank(&raw.reserved_a), RawDynamic.reserved_a, Reserved);
        require!(is_blank(&raw.reserved_b), RawDynamic.reserved_b, Reserved);
        let Some(copy) = LabelCopy::new(raw.copy.get()) else {
            refuse!(RawDynamic.copy, Value)
        };
        let generation = Generation::new(raw.generation.get());
        require!(
            raw.slot.get() == Self::slot(generation),
            RawDynamic.slot,
            Value
        );
        let in_force = Generation::new(raw.in_force.get());
        require!(
            in_force < generation || in_force.is_zero(),
            RawDynamic.in_force,
            Value
        );
        require!(
            raw.flags.get() & !(FLAG_CLEAN_STOP | PHASE_MASK << PHASE_SHIFT) == 0,
            RawDynamic.flags,
            Value
        );
        let Some(phase) = LabelPhase::new(raw.flags.get() >> PHASE_SHIFT & PHASE_MASK) else {
            refuse!(RawDynamic.flags, Value)
        };
        let value = Self {
            pool: PoolId::new(raw.pool),
            disk: DiskId::new(raw.disk),
            generation,
            in_force,
            epoch: Epoch::new(raw.epoch.get()),
            watermark: Sequence::new(raw.watermark.get()),
            next_segment: SegmentId::new(raw.next_segment.get()),
            units_high_water: UnitCount::new(raw.units_high_water.get()),
            clean_stop: raw.flags.get() & FLAG_CLEAN_STOP != 0,
            phase,
            journal_segment: SegmentId::new(raw.journal_segment.get()),
            members: decode_members(&raw)?,
            cutoffs: decode_cutoffs(&raw)?,
        };
        require!(value.epoch.in_range(), RawDynamic.epoch, Limit);
        require!(value.generation.in_range(), RawDynamic.generation, Limit);
        require!(value.watermark.in_range(), RawDynamic.watermark, Limit);
        require!(
            value.next_segment.in_range(),
            RawDynamic.next_segment,
            Limit
        );
        require!(
            value.journal_segment.in_range(),
            RawDynamic.journal_segment,
            Limit
        );
        require!(!value.pool.is_zero(), RawDynamic.pool, Value);
        require!(!value.disk.is_zero(), RawDynamic.disk, Value);
        let offset = ByteOffset::new(raw.own_offset.get());
        let place = LabelPlace {
            copy,
            block: value.block(),
            offset,
        };
        Ok(Unverified { value, place })
    }
}

fn decode_members(raw: &RawDynamic) -> Result<Vec<LabelMember>, DecodeError> {
    let count = usize::from(raw.member_count.get());
    require!(count <= MEMBERS_MAX, RawDynamic.member_count, Limit);
    let (used, unused) = raw
        .members
        .split_at_checked(count)
        .unwrap_or((&raw.members, &[]));
    let mut members: Vec<LabelMember> = Vec::with_capacity(count);
    for entry in used {
        let disk = DiskId::new(entry.disk);
        let Some(state) = MemberState::new(entry.state) else {
            refuse!(RawDynamic.members, Value);
        };
        require!(is_blank(&entry.reserved), RawDynamic.members, Reserved);
        require!(entry.voter <= 1, RawDynamic.members, Value);
        let twice = members.iter().any(|member| member.disk == disk);
        require!(!twice && !disk.is_zero(), RawDynamic.members, Value);
        let last_generation = Generation::new(entry.last_generation.get());
        require!(last_generation.in_range(), RawDynamic.members, Limit);
        members.push(LabelMember {
            disk,
            state,
            voter: entry.voter == 1,
            forgotten_frames: entry.forgotten_frames.get(),
            last_generation,
        });
    }
    require!(is_blank(unused.as_bytes()), RawDynamic.members, Reserved);
    Ok(members)
}

fn decode_cutoffs(raw: &RawDynamic) -> Result<Vec<EpochCutoff>, DecodeError> {
    let count = usize::from(raw.cutoff_count.get());
    require!(count <= CUTOFFS_MAX, RawDynamic.cutoff_count, Limit);
    let (used, unused) = raw
        .cutoffs
        .split_at_checked(count)
        .unwrap_or((&raw.cutoffs, &[]));
    let mut cutoffs: Vec<EpochCutoff> = Vec::with_capacity(count);
    for entry in used {
        let epoch = Epoch::new(entry.epoch.get());
        let after_last = cutoffs.last().is_none_or(|last| last.epoch < epoch);
        require!(after_last && epoch.in_range(), RawDynamic.cutoffs, Value);
        let last_sequence = Sequence::new(entry.last_sequence.get());
        require!(last_sequence.in_range(), RawDynamic.cutoffs, Limit);
        require!(is_blank(&entry.reserved), RawDynamic.cutoffs, Reserved);
        let last_sequence = Sequence::new(entry.last_sequence.get());
        cutoffs.push(EpochCutoff {
            epoch,
            last_sequence,
            last_header: Digest(entry.last_header),
        });
    }
    require!(is_blank(unused.as_bytes()), RawDynamic.cutoffs, Reserved);
    Ok(cutoffs)
}

impl Unverified<DynamicLabel, LabelPlace> {
    /// Accepts the label when it lies where it says and belongs to this disk.
    ///
    /// # Errors
    /// `Misplaced` or `Foreign`.
    pub fn verify(
        self,
        pool: PoolId,
        disk: DiskId,
        place: LabelPlace,
    ) -> Result<DynamicLabel, LabelError> {
        if self.value.pool != pool || self.value.disk != disk {
            return Err(LabelError::Foreign {
                pool: self.value.pool,
                disk: self.value.disk,
            });
        }
        check_place(self.place, place)?;
        Ok(self.value)
    }
}
