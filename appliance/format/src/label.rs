//! A disk's root: four copies, each with a static block (twice) and a ring of dynamic blocks.
//!
//! Invariants: static blocks are written once, when the disk joins; a dynamic block of generation
//! `g` lies in ring slot `g % 60` of every copy, so the newest 60 generations coexist and a torn
//! write costs one of them at most; copies differ only in what they say about their own place.

mod best;
mod dynamic;
mod wipe;

use thiserror::Error;
use zerocopy::FromZeros;
use zerocopy::little_endian::{U16, U32, U64};

pub use self::best::{BadBlock, LabelCopyBytes, LabelReading, read_best};
pub use self::dynamic::{DynamicLabel, EpochCutoff, LabelMember, LabelPhase, MemberState};
pub(crate) use self::wipe::seal_mark;
pub use self::wipe::{WIPE_COPIES, WIPE_MAGIC, WipeMark};
use crate::codec::{
    DecodeError, FORMAT_VERSION, Unverified, is_blank, media_struct, read_block, refuse, require,
    seal_block,
};
use crate::geometry::DiskGeometry;
use crate::limits::{BLOCK, BLOCK_BYTES, LABEL_COPY_BYTES, LABEL_RING_FIRST};
use crate::units::{ByteCount, ByteOffset, DiskId, Generation, PoolId, UnitCount, UnixMillis};

/// First bytes of a static label block.
pub const STATIC_MAGIC: [u8; 8] = *b"STELELBL";
/// First bytes of a dynamic label block.
pub const DYNAMIC_MAGIC: [u8; 8] = *b"STELEDYN";

/// One of the four copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelCopy {
    /// At the start of the disk.
    A,
    /// Right after A.
    B,
    /// 512 KiB before the end.
    C,
    /// 256 KiB before the end.
    D,
}

impl LabelCopy {
    /// All copies.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];
    /// Written and flushed first.
    pub const FIRST_PAIR: [Self; 2] = [Self::A, Self::C];
    /// Written after the first pair is durable.
    pub const SECOND_PAIR: [Self; 2] = [Self::B, Self::D];

    /// The number on media.
    #[must_use]
    pub const fn get(self) -> u16 {
        match self {
            Self::A => 0,
            Self::B => 1,
            Self::C => 2,
            Self::D => 3,
        }
    }

    /// The copy with this number.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::A),
            1 => Some(Self::B),
            2 => Some(Self::C),
            3 => Some(Self::D),
            _ => None,
        }
    }

    /// Where the copy starts on a disk of this size.
    #[must_use]
    pub const fn offset(self, disk_bytes: ByteCount) -> ByteOffset {
        let copy = LABEL_COPY_BYTES as u64;
        let end = disk_bytes.get() / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        ByteOffset::new(match self {
            Self::A => 0,
            Self::B => copy,
            Self::C => end.saturating_sub(2 * copy),
            Self::D => end.saturating_sub(copy),
        })
    }
}

/// Where a label block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelPlace {
    /// Copy.
    pub copy: LabelCopy,
    /// Block within the copy.
    pub block: u16,
    /// Byte offset of the block on the disk.
    pub offset: ByteOffset,
}

/// Feature bits of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// A reader may ignore unknown ones.
    pub compat: u64,
    /// With an unknown one the pool may only be read.
    pub ro_compat: u64,
    /// With an unknown one the pool must not be opened.
    pub incompat: u64,
}

/// Incompatible feature: the format may still change.
pub const INCOMPAT_DRAFT: u64 = 1;

impl Default for Features {
    fn default() -> Self {
        Self {
            compat: 0,
            ro_compat: 0,
            incompat: INCOMPAT_DRAFT,
        }
    }
}

impl Features {
    /// True when this reader knows every incompatible feature and the format is the draft it knows.
    #[must_use]
    pub const fn may_open(&self) -> bool {
        self.incompat == INCOMPAT_DRAFT
    }

    /// True when this writer knows every feature it must respect.
    #[must_use]
    pub const fn may_write(&self) -> bool {
        self.may_open() && self.ro_compat == 0
    }
}

/// What kind of vault this is; told on every screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VaultFlags(u32);

impl VaultFlags {
    /// The keys lie in a file: an evaluation vault.
    pub const EVALUATION: Self = Self(1);
    /// The clock is simulated.
    pub const SIMULATED_CLOCK: Self = Self(2);
    /// The pool has one disk only.
    pub const SINGLE_DISK: Self = Self(4);

    /// Flags from their bits; `None` when an unknown bit is set.
    #[must_use]
    pub const fn new(bits: u32) -> Option<Self> {
        if bits & !7 == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The bits.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// True when all of `flags` are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// What never changes about a disk of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticLabel {
    /// Pool.
    pub pool: PoolId,
    /// Disk.
    pub disk: DiskId,
    /// Place of the disk in the pool when it joined, from 0.
    pub disk_ordinal: u16,
    /// Disks of the pool when it was made.
    pub disk_count: u16,
    /// Where things lie.
    pub geometry: DiskGeometry,
    /// Feature bits.
    pub features: Features,
    /// When the pool was made.
    pub created_ms: UnixMillis,
    /// Kind of vault.
    pub flags: VaultFlags,
}

media_struct! {
    RawStatic as "StaticLabel", 4096, {
        magic: [u8; 8],
        version: U16,
        copy: U16,
        block: U16,
        reserved_a: [u8; 2],
        own_offset: U64,
        pool: [u8; 16],
        disk: [u8; 16],
        disk_ordinal: U16,
        disk_count: U16,
        flags: U32,
        disk_bytes: U64,
        unit_bytes: U32,
        segment_units: U32,
        keystate_bytes: U32,
        unit_count: U32,
        index_offset: U64,
        index_bytes: U64,
        extents_offset: U64,
        features_compat: U64,
        features_ro_compat: U64,
        features_incompat: U64,
        created_ms: U64,
        reserved_b: [u8; 3920],
        digest: [u8; 32],
    }
}

impl StaticLabel {
    /// The block for one place: `block` is 0 or 1.
    #[must_use]
    pub fn encode(&self, copy: LabelCopy, block: u16) -> [u8; BLOCK] {
        let geometry = &self.geometry;
        let mut raw = RawStatic::new_zeroed();
        raw.magic = STATIC_MAGIC;
        raw.version = FORMAT_VERSION.into();
        raw.copy = copy.get().into();
        raw.block = block.into();
        raw.own_offset = geometry.label_block_offset(copy, block).get().into();
        raw.pool = self.pool.to_bytes();
        raw.disk = self.disk.to_bytes();
        raw.disk_ordinal = self.disk_ordinal.into();
        raw.disk_count = self.disk_count.into();
        raw.flags = self.flags.get().into();
        raw.disk_bytes = geometry.disk_bytes.get().into();
        raw.unit_bytes = geometry.unit_bytes.into();
        raw.segment_units = geometry.segment_units.get().into();
        raw.keystate_bytes = geometry.keystate_bytes.into();
        raw.unit_count = geometry.unit_count().get().into();
        raw.index_offset = geometry.index_offset().get().into();
        raw.index_bytes = geometry.index_bytes.get().into();
        raw.extents_offset = geometry.extents_offset().get().into();
        raw.features_compat = self.features.compat.into();
        raw.features_ro_compat = self.features.ro_compat.into();
        raw.features_incompat = self.features.incompat.into();
        raw.created_ms = self.created_ms.get().into();
        seal_block(&raw)
    }

    /// Reads a block.
    ///
    /// # Errors
    /// What is wrong with the bytes; `Fault::Feature` when a newer writer made the pool.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self, LabelPlace>, DecodeError> {
        let raw: RawStatic = read_block(&RawStatic::STRUCTURE, &STATIC_MAGIC, bytes)?;
        let features = Features {
            compat: raw.features_compat.get(),
            ro_compat: raw.features_ro_compat.get(),
            incompat: raw.features_incompat.get(),
        };
        // First, so that a newer pool is refused by name and not by a detail of its layout.
        require!(features.may_open(), RawStatic.features_incompat, Feature);
        require!(is_blank(&raw.reserved_a), RawStatic.reserved_a, Reserved);
        require!(is_blank(&raw.reserved_b), RawStatic.reserved_b, Reserved);
        let Some(copy) = LabelCopy::new(raw.copy.get()) else {
            refuse!(RawStatic.copy, Value)
        };
        require!(raw.block.get() < LABEL_RING_FIRST, RawStatic.block, Value);
        let Some(flags) = VaultFlags::new(raw.flags.get()) else {
            refuse!(RawStatic.flags, Value)
        };
        let geometry = DiskGeometry {
            disk_bytes: ByteCount::new(raw.disk_bytes.get()),
            index_bytes: ByteCount::new(raw.index_bytes.get()),
            keystate_bytes: raw.keystate_bytes.get(),
            unit_bytes: raw.unit_bytes.get(),
            segment_units: UnitCount::new(raw.segment_units.get()),
        };
        require!(geometry.check().is_ok(), RawStatic.disk_bytes, Value);
        let extents = geometry.extents_offset().get();
        require!(
            raw.unit_count.get() == geometry.unit_count().get(),
            RawStatic.unit_count,
            Value
        );
        let index_offset = geometry.index_offset().get();
        require!(
            raw.index_offset.get() == index_offset,
            RawStatic.index_offset,
            Value
        );
        require!(
            raw.extents_offset.get() == extents,
            RawStatic.extents_offset,
            Value
        );
        let value = Self {
            pool: PoolId::new(raw.pool),
            disk: DiskId::new(raw.disk),
            disk_ordinal: raw.disk_ordinal.get(),
            disk_count: raw.disk_count.get(),
            geometry,
            features,
            created_ms: UnixMillis::new(raw.created_ms.get()),
            flags,
        };
        require!(!value.pool.is_zero(), RawStatic.pool, Value);
        require!(!value.disk.is_zero(), RawStatic.disk, Value);
        let offset = ByteOffset::new(raw.own_offset.get());
        let place = LabelPlace {
            copy,
            block: raw.block.get(),
            offset,
        };
        let right = geometry.label_block_offset(copy, place.block);
        require!(offset == right, RawStatic.own_offset, Value);
        Ok(Unverified { value, place })
    }
}

impl Unverified<StaticLabel, LabelPlace> {
    /// Accepts the label when it lies where it says.
    ///
    /// # Errors
    /// `Misplaced` when the block belongs elsewhere.
    pub fn verify(self, place: LabelPlace) -> Result<StaticLabel, LabelError> {
        check_place(self.place, place)?;
        Ok(self.value)
    }
}

fn check_place(claimed: LabelPlace, read_from: LabelPlace) -> Result<(), LabelError> {
    if claimed == read_from {
        return Ok(());
    }
    Err(LabelError::Misplaced {
        claimed: claimed.offset,
        read_from: read_from.offset,
    })
}

/// Every structure of labels, for the layout test.
pub(crate) const STRUCTURES: [crate::codec::Structure; 5] = [
    RawStatic::STRUCTURE,
    dynamic::STRUCTURES[0],
    dynamic::STRUCTURES[1],
    dynamic::STRUCTURES[2],
    wipe::STRUCTURE,
];

/// Why a label cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// The bytes are no label.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A valid block of another place.
    #[error("a label block of offset {claimed} was read from offset {read_from}")]
    Misplaced {
        /// Where it belongs.
        claimed: ByteOffset,
        /// Where it was.
        read_from: ByteOffset,
    },
    /// A valid block of another disk or pool.
    #[error("a label block of disk {disk} of pool {pool}")]
    Foreign {
        /// Pool it belongs to.
        pool: PoolId,
        /// Disk it belongs to.
        disk: DiskId,
    },
    /// Somebody began to wipe the disk, as people asked for.
    #[error("disk {} is being wiped, as request {} asks for", .0.disk, .0.request)]
    Wiping(WipeMark),
    /// Every label block is blank: not a disk of a pool.
    #[error("no label")]
    Unlabelled,
    /// No static label block is valid, and not all are blank.
    #[error("no static label block is intact")]
    NoStatic,
    /// Two valid static label blocks differ.
    #[error("static label blocks contradict each other")]
    StaticConflict,
    /// Two valid dynamic label blocks of one generation differ.
    #[error("label blocks of generation {0} contradict each other")]
    DynamicConflict(Generation),
}
