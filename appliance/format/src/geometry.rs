//! Where things lie on a disk.
//!
//! Invariants: areas are block-aligned, in order, and do not overlap; everything follows from five
//! numbers that the static label carries.

use thiserror::Error;

use crate::label::LabelCopy;
use crate::limits::{
    BLOCK_BYTES, KEYSTATE_COPIES, KEYSTATE_COPY_BYTES, KEYSTATE_COPY_BYTES_MIN, LABEL_AREA_BYTES,
    LABEL_BLOCKS, LABEL_COPY_BYTES, UNIT_BYTES, UNIT_BYTES_MIN,
};
use crate::units::{ByteCount, ByteOffset, UnitCount, UnitIndex};

/// The numbers from which every place on a disk follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DiskGeometry {
    /// Usable size of the disk, whole blocks.
    pub disk_bytes: ByteCount,
    /// Size of the index area; 0 when the disk has none.
    pub index_bytes: ByteCount,
    /// Size of each of the two key-state copies.
    pub keystate_bytes: u32,
    /// Size of an allocation unit: a power of two.
    pub unit_bytes: u32,
    /// Units of a full segment.
    pub segment_units: UnitCount,
}

/// Why a disk cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GeometryError {
    /// A size that is not a multiple of the block or unit size.
    #[error("{what} of {bytes} bytes is not a whole number of blocks or units")]
    Misaligned {
        /// Which size.
        what: &'static str,
        /// Its value.
        bytes: u64,
    },
    /// A unit or key-state size outside what the format allows.
    #[error("{what} of {bytes} bytes is not allowed")]
    NotAllowed {
        /// Which size.
        what: &'static str,
        /// Its value.
        bytes: u64,
    },
    /// The disk has no room for a single segment.
    #[error("a disk of {disk_bytes} bytes is too small: at least {need_bytes} bytes are needed")]
    TooSmall {
        /// Size of the disk.
        disk_bytes: u64,
        /// Size needed for one segment.
        need_bytes: u64,
    },
    /// The disk has more units than the format can number.
    #[error("a disk of {disk_bytes} bytes is too large for its unit size")]
    TooLarge {
        /// Size of the disk.
        disk_bytes: u64,
    },
}

const fn align_up(bytes: u64, to: u64) -> Option<u64> {
    match bytes.checked_add(to - 1) {
        Some(sum) => Some(sum / to * to),
        None => None,
    }
}

impl DiskGeometry {
    /// Lays out a product disk: 4 MiB units, 16 MiB key-state copies. `disk_bytes` is rounded down
    /// to whole blocks.
    ///
    /// # Errors
    /// When a size is not aligned or the disk cannot hold one segment.
    pub fn plan(
        disk_bytes: ByteCount,
        index_bytes: ByteCount,
        segment_bytes: ByteCount,
    ) -> Result<Self, GeometryError> {
        let misaligned = |what, bytes| Err(GeometryError::Misaligned { what, bytes });
        if !segment_bytes.get().is_multiple_of(u64::from(UNIT_BYTES)) {
            return misaligned("segment", segment_bytes.get());
        }
        let Ok(units) = u32::try_from(segment_bytes.get() / u64::from(UNIT_BYTES)) else {
            return misaligned("segment", segment_bytes.get());
        };
        let block = u64::from(BLOCK_BYTES);
        let geometry = Self {
            disk_bytes: ByteCount::new(disk_bytes.get() / block * block),
            index_bytes,
            keystate_bytes: KEYSTATE_COPY_BYTES,
            unit_bytes: UNIT_BYTES,
            segment_units: UnitCount::new(units),
        };
        geometry.check()?;
        Ok(geometry)
    }

    /// Checks the five numbers; every other function relies on it.
    ///
    /// # Errors
    /// When a size is not aligned, not allowed, or the disk cannot hold one segment.
    pub fn check(&self) -> Result<(), GeometryError> {
        let block = u64::from(BLOCK_BYTES);
        let sizes = [
            ("disk", self.disk_bytes.get()),
            ("index area", self.index_bytes.get()),
            ("key-state copy", u64::from(self.keystate_bytes)),
        ];
        for (what, bytes) in sizes {
            if !bytes.is_multiple_of(block) {
                return Err(GeometryError::Misaligned { what, bytes });
            }
        }
        let not_allowed = |what, bytes: u32| {
            Err(GeometryError::NotAllowed {
                what,
                bytes: u64::from(bytes),
            })
        };
        if self.unit_bytes < UNIT_BYTES_MIN
            || self.unit_bytes > UNIT_BYTES
            || !self.unit_bytes.is_power_of_two()
        {
            return not_allowed("unit", self.unit_bytes);
        }
        if self.keystate_bytes < KEYSTATE_COPY_BYTES_MIN
            || self.keystate_bytes > KEYSTATE_COPY_BYTES
        {
            return not_allowed("key-state copy", self.keystate_bytes);
        }
        let segment = u32::try_from(self.segment_bytes().get()).unwrap_or(0);
        if segment == 0 {
            return not_allowed("segment", self.segment_units.get());
        }
        self.check_room()
    }

    fn check_room(&self) -> Result<(), GeometryError> {
        let disk_bytes = self.disk_bytes.get();
        let need = self
            .extents_start()
            .and_then(|start| start.checked_add(self.segment_bytes().get()))
            .and_then(|end| end.checked_add(2 * u64::from(LABEL_COPY_BYTES)))
            .unwrap_or(u64::MAX);
        if disk_bytes < need {
            return Err(GeometryError::TooSmall {
                disk_bytes,
                need_bytes: need,
            });
        }
        if u32::try_from(self.units_that_fit()).is_err() {
            return Err(GeometryError::TooLarge { disk_bytes });
        }
        Ok(())
    }

    /// Where a label copy starts.
    #[must_use]
    pub const fn label_offset(&self, copy: LabelCopy) -> ByteOffset {
        copy.offset(self.disk_bytes)
    }

    /// Where a block of a label copy lies; blocks past the last count as the last.
    #[must_use]
    pub fn label_block_offset(&self, copy: LabelCopy, block: u16) -> ByteOffset {
        let block = u64::from(block.min(LABEL_BLOCKS - 1));
        ByteOffset::new(self.label_offset(copy).get() + block * u64::from(BLOCK_BYTES))
    }

    /// Where a key-state copy (0 or 1) starts; others do not exist.
    #[must_use]
    pub fn keystate_offset(&self, copy: u16) -> Option<ByteOffset> {
        let offset = LABEL_AREA_BYTES + u64::from(copy) * u64::from(self.keystate_bytes);
        (copy < KEYSTATE_COPIES).then_some(ByteOffset::new(offset))
    }

    /// Where the index area starts, whether or not the disk has one.
    #[must_use]
    pub const fn index_offset(&self) -> ByteOffset {
        let end = LABEL_AREA_BYTES + KEYSTATE_COPIES as u64 * self.keystate_bytes as u64;
        match align_up(end, self.unit_bytes as u64) {
            Some(offset) => ByteOffset::new(offset),
            None => ByteOffset::MAX,
        }
    }

    const fn extents_start(&self) -> Option<u64> {
        match self
            .index_offset()
            .get()
            .checked_add(self.index_bytes.get())
        {
            Some(end) => align_up(end, self.unit_bytes as u64),
            None => None,
        }
    }

    /// Where unit 0 lies.
    #[must_use]
    pub const fn extents_offset(&self) -> ByteOffset {
        match self.extents_start() {
            Some(offset) => ByteOffset::new(offset),
            None => ByteOffset::MAX,
        }
    }

    fn units_that_fit(&self) -> u64 {
        let end = self.label_offset(LabelCopy::C).get();
        end.saturating_sub(self.extents_offset().get()) / u64::from(self.unit_bytes.max(1))
    }

    /// Units of the disk.
    #[must_use]
    pub fn unit_count(&self) -> UnitCount {
        UnitCount::new(u32::try_from(self.units_that_fit()).unwrap_or(u32::MAX))
    }

    /// Where a unit lies; `None` past the last.
    #[must_use]
    pub fn unit_offset(&self, unit: UnitIndex) -> Option<ByteOffset> {
        let offset = u64::from(unit.get()) * u64::from(self.unit_bytes);
        let inside = unit.get() < self.unit_count().get();
        self.extents_offset().checked_add(offset).filter(|_| inside)
    }

    /// Where a run of units lies; `None` when it does not fit the disk.
    #[must_use]
    pub fn extent_offset(&self, first: UnitIndex, units: UnitCount) -> Option<ByteOffset> {
        let end = first.get().checked_add(units.get())?;
        if end > self.unit_count().get() {
            return None;
        }
        self.unit_offset(first)
    }

    /// Size of a full segment.
    #[must_use]
    pub const fn segment_bytes(&self) -> ByteCount {
        ByteCount::new(self.segment_units.get() as u64 * self.unit_bytes as u64)
    }
}
