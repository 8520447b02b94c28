//! A disk that this vault let go of is made blank, so that it can be used again.
//!
//! Order, each step durable before the next: marks in place of two label blocks, from which moment the disk has
//! no label; all else of the labels, key states, index area and what lies before and behind the units becomes
//! zeros; the units are discarded, or become zeros where the disk cannot do that; all but the inside of the
//! units is read back; the log says that it is done; the marks go. What a cut leaves is a disk with its label, one
//! with a mark that the same request finishes, or a blank one. So does a wipe that is told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stele_device::buffer::BufferMut;
use stele_device::disk::{BlockingDisk, Disk, DiskError};
use stele_format::geometry::DiskGeometry;
use stele_format::label::{LabelCopy, LabelError, LabelReading, WIPE_COPIES, WipeMark};
use stele_format::limits::BLOCK_BYTES;
use stele_format::units::{LogIndex, UnitIndex};

use crate::limits::{BLANK_HEAD_BYTES, BLANK_TAIL_BYTES, DISCARD_STEP_BYTES, WIPE_STEP_BYTES};
use crate::policy::approval::Approved;
use crate::policy::wiping::FoundDisk;
use crate::recovery::find_label;

/// What is on a disk that is to be wiped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A label.
    Labelled(Box<LabelReading>),
    /// Somebody began to wipe it.
    Begun(WipeMark),
}

impl Found {
    /// What the label says, or the mark of the label that was there.
    #[must_use]
    pub fn disk(&self) -> FoundDisk {
        match self {
            Found::Labelled(reading) => FoundDisk::of(reading),
            Found::Begun(mark) => FoundDisk {
                pool: mark.pool,
                disk: mark.disk,
                label: mark.label,
                generation: stele_format::units::Generation::ZERO,
            },
        }
    }

    fn geometry(&self) -> DiskGeometry {
        match self {
            Found::Labelled(reading) => reading.fixed.geometry,
            Found::Begun(mark) => mark.geometry,
        }
    }
}

/// Looks what a disk is.
///
/// # Errors
/// It has no label that can be read, and no mark.
pub fn look(disk: &mut dyn Disk) -> Result<Found, LabelError> {
    match find_label(disk) {
        Ok(reading) => Ok(Found::Labelled(Box::new(reading))),
        Err(LabelError::Wiping(mark)) => Ok(Found::Begun(mark)),
        Err(error) => Err(error),
    }
}

/// Leave to wipe one disk. Made by the engine alone, out of what people approved; used up by it.
#[derive(Debug, PartialEq, Eq)]
pub struct WipeOrder {
    mark: WipeMark,
    /// None where the log says already that it is done, and only the marks are left.
    approved: Option<Approved>,
}

impl WipeOrder {
    pub(crate) fn new(found: &Found, request: LogIndex, approved: Option<Approved>) -> Self {
        let disk = found.disk();
        let mark = WipeMark {
            pool: disk.pool,
            disk: disk.disk,
            request,
            label: disk.label,
            geometry: found.geometry(),
        };
        WipeOrder { mark, approved }
    }
}

/// How far a wipe is, and the way to end it early. Clones speak of the same wipe.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Pace {
    /// Bytes that are blank by now, and how many are to be.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        (self.0.done.load(Ordering::Relaxed), bytes)
    }

    /// Has the wipe end before its next piece.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to end.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    fn begin(&self, bytes: u64) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    fn done(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn go_on(&self) -> Result<(), WipeError> {
        match self.is_ended() {
            true => Err(WipeError::Ended),
            false => Ok(()),
        }
    }
}

/// Why a disk was not wiped to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WipeError {
    /// It is not the disk that was looked at.
    #[error("it is not the disk it was a moment ago")]
    Changed,
    /// Its labels are where they would be on a disk of another size.
    #[error("it has {bytes} bytes, and its label speaks of {labelled}")]
    Size {
        /// What it has.
        bytes: u64,
        /// What the label says.
        labelled: u64,
    },
    /// It was told to end.
    #[error("it was told to end before all of it was blank")]
    Ended,
    /// It fails.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What was written did not come back.
    #[error("zeros were written at byte {offset} and flushed, and it gives back something else")]
    NotBlank {
        /// Where.
        offset: u64,
    },
}

/// A disk of which nothing is left but the marks.
#[derive(Debug, PartialEq, Eq)]
pub struct Wiped {
    mark: WipeMark,
    recorded: bool,
}

/// What the engine writes down of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WipeDone {
    pub(crate) mark: WipeMark,
}

/// Wipes a disk, up to its marks.
///
/// # Errors
/// It is not the disk of the order, it fails, or the wipe was told to end. From the first mark on it has no label any
/// more.
pub fn wipe(disk: &mut dyn Disk, order: WipeOrder, pace: &Pace) -> Result<Wiped, WipeError> {
    let WipeOrder { mark, approved } = order;
    require_same(disk, &mark)?;
    pace.go_on()?;
    for copy in WIPE_COPIES {
        let block = BufferMut::padded(&mark.encode(copy)).freeze();
        disk.write_durable_at(mark.place(copy).offset.get(), block)?;
    }
    let Spans { ends, units } = spans(&mark);
    let all = ends.iter().chain([&units]);
    pace.begin(all.map(|span| span.to.saturating_sub(span.from)).sum());
    for span in &ends {
        clear(disk, *span, pace)?;
    }
    discard(disk, units, pace)?;
    disk.flush()?;
    for span in ends.into_iter().chain(beginnings(&mark, units)) {
        read_back(disk, span, pace)?;
    }
    Ok(Wiped {
        mark,
        recorded: approved.is_none(),
    })
}

/// Refuses a disk that is not the one the mark is for.
fn require_same(disk: &mut dyn Disk, mark: &WipeMark) -> Result<(), WipeError> {
    let found = look(disk).map_err(|_| WipeError::Changed)?;
    let same = match &found {
        Found::Begun(begun) => begun == mark,
        Found::Labelled(reading) => {
            reading.fixed.pool == mark.pool
                && reading.fixed.disk == mark.disk
                && reading.fixed.geometry == mark.geometry
                && reading.digest() == mark.label
        }
    };
    if !same {
        return Err(WipeError::Changed);
    }
    let (bytes, labelled) = (disk.identity().bytes, mark.geometry.disk_bytes.get());
    if bytes != labelled {
        return Err(WipeError::Size { bytes, labelled });
    }
    Ok(())
}

impl Wiped {
    /// What the engine is told; none if the log says it already.
    #[must_use]
    pub fn to_record(&self) -> Option<WipeDone> {
        (!self.recorded).then_some(WipeDone { mark: self.mark })
    }

    /// Takes the marks away, once the log says that it is done: the disk is blank then.
    ///
    /// # Errors
    /// The disk fails; it keeps a mark, or is blank.
    pub fn unmark(self, disk: &mut dyn Disk) -> Result<(), WipeError> {
        for copy in WIPE_COPIES {
            let offset = self.mark.place(copy).offset.get();
            let zeros = BufferMut::zeroed(BLOCK_BYTES as usize).freeze();
            disk.write_durable_at(offset, zeros)?;
            if let Some(offset) = first_data(disk, Span::new(offset, offset + BLOCK))? {
                return Err(WipeError::NotBlank { offset });
            }
        }
        Ok(())
    }
}

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Bytes from one offset to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u64,
    to: u64,
}

impl Span {
    const fn new(from: u64, to: u64) -> Span {
        Span { from, to }
    }

    fn steps(self, step: usize) -> impl Iterator<Item = (u64, usize)> {
        let starts = (self.from..self.to).step_by(step);
        starts.map(move |at| {
            let left = usize::try_from(self.to - at).unwrap_or(step);
            (at, left.min(step))
        })
    }
}

/// All of a disk but the marks.
struct Spans {
    /// What lies before and behind units; what others look at to see whether a disk is blank is among it.
    ends: Vec<Span>,
    /// The rest.
    units: Span,
}

fn spans(mark: &WipeMark) -> Spans {
    let geometry = &mark.geometry;
    let bytes = geometry.disk_bytes.get();
    let [front, back] = WIPE_COPIES.map(|copy| mark.place(copy).offset.get());
    let head = geometry.extents_offset().get().max(BLANK_HEAD_BYTES);
    let head = head.min(back);
    let labels = LabelCopy::C.offset(geometry.disk_bytes).get();
    let tail = bytes.saturating_sub(BLANK_TAIL_BYTES).min(labels).max(head);
    let ends = vec![
        Span::new(front + BLOCK, head),
        Span::new(tail, back),
        Span::new(back + BLOCK, bytes),
    ];
    Spans {
        ends,
        units: Span::new(head, tail),
    }
}

/// The first block of every unit in a span: what tells a reader that a segment is there.
fn beginnings(mark: &WipeMark, within: Span) -> impl Iterator<Item = Span> {
    let geometry = mark.geometry;
    let units = (0..geometry.unit_count().get()).map(UnitIndex::new);
    let offsets = units.filter_map(move |unit| geometry.unit_offset(unit));
    let offsets = offsets.map(|offset| offset.get());
    let inside = offsets.filter(move |offset| (within.from..within.to).contains(offset));
    inside.map(|offset| Span::new(offset, offset + BLOCK))
}

/// Gives the content of a span up, so that it reads as zeros.
fn discard(disk: &mut dyn Disk, span: Span, pace: &Pace) -> Result<(), WipeError> {
    for (offset, bytes) in span.steps(DISCARD_STEP_BYTES) {
        pace.go_on()?;
        let bytes = bytes as u64;
        match disk.discard_at(offset, bytes) {
            Ok(()) => pace.done(bytes),
            // Not every disk can.
            Err(DiskError::Io { .. }) => clear(disk, Span::new(offset, offset + bytes), pace)?,
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// Writes zeros where there are none, or where nothing can be read.
fn clear(disk: &mut dyn Disk, span: Span, pace: &Pace) -> Result<(), WipeError> {
    for (offset, bytes) in span.steps(WIPE_STEP_BYTES) {
        pace.go_on()?;
        let blank = disk
            .read_at(offset, bytes)
            .is_ok_and(|read| read.iter().all(|byte| *byte == 0));
        if !blank {
            disk.write_at(offset, BufferMut::zeroed(bytes).freeze())?;
        }
        pace.done(bytes as u64);
    }
    Ok(())
}

/// Refuses what is not blank.
fn read_back(disk: &mut dyn Disk, span: Span, pace: &Pace) -> Result<(), WipeError> {
    for (offset, bytes) in span.steps(WIPE_STEP_BYTES) {
        pace.go_on()?;
        if let Some(offset) = first_data(disk, Span::new(offset, offset + bytes as u64))? {
            return Err(WipeError::NotBlank { offset });
        }
    }
    Ok(())
}

fn first_data(disk: &mut dyn Disk, span: Span) -> Result<Option<u64>, DiskError> {
    for (offset, bytes) in span.steps(WIPE_STEP_BYTES) {
        let read = disk.read_at(offset, bytes)?;
        if let Some(at) = read.iter().position(|byte| *byte != 0) {
            return Ok(Some(offset.saturating_add(at as u64)));
        }
    }
    Ok(None)
}
