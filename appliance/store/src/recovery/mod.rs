//! Recovery: from disks as a crash, rot or a pulled plug left them to an engine that may go on.
//!
//! 1 labels: which disks belong together, which take part. 2 key state. 3 index, if it can be trusted.
//! 4 segments: from the snapshot, and by their headers what is newer. 5 replay of the journal, each
//! place judged by the table in [`table`]. 6 data segments. 7 repair, labels, a new epoch in a new
//! segment. Nothing is truncated and nothing is overwritten, except by identical bytes.
//!
//! Where the evidence does not suffice or too few disks are here, the vault opens read-only: all that
//! verifies is served, nothing is written.

mod begin;
mod choice;
mod copies;
mod create;
mod cut;
mod desk;
mod entrance;
mod forced;
mod go_on;
mod head;
mod index_file;
mod labels;
mod lanes;
mod lost;
mod moves;
mod newest;
mod open;
mod openings;
mod overlaps;
mod progress;
mod replay;
mod replayed;
mod scan;
mod silent;
mod space;
pub mod table;
mod work;

use stele_device::disk::{Disk, DiskError};
use stele_format::units::{SegmentId, UnixMillis};

use crate::engine::{DiskSlot, Engine, World};
use crate::index::IndexStore;
use crate::keys::state::KeyState;
use crate::pool::Pool;

pub(crate) use begin::member_body;
pub use choice::{Choice, Membership, choose};
pub use create::{CreateError, CreateParams, create, write_static_label};
pub use cut::Postponed;
pub use forced::{Force, ForcedOrder, ForcedRefusal, Outlook};
pub use labels::{find_label, pool_of_most, read_label};
pub use open::{OpenOptions, open};
pub use progress::Progress;
pub(crate) use space::Idle;

/// The disks by slot; none where a disk is missing.
pub(crate) struct Disks(pub(crate) Vec<Option<Box<dyn Disk>>>);

impl Disks {
    pub(crate) fn get(&mut self, slot: DiskSlot) -> Option<&mut dyn Disk> {
        match self.0.get_mut(usize::from(slot.0)) {
            Some(Some(disk)) => Some(&mut **disk),
            _ => None,
        }
    }
}

/// What the steps of opening share.
pub(crate) struct StartContext<'a> {
    pub(crate) pool: &'a mut Pool,
    pub(crate) disks: &'a mut Disks,
    pub(crate) keys: &'a KeyState,
    pub(crate) world: &'a mut World,
    pub(crate) compliance: UnixMillis,
    pub(crate) wall: UnixMillis,
}

/// What became of a disk at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskVerdict {
    /// Takes part.
    Active,
    /// Named by the pool and not here.
    Missing,
    /// Here, but it missed writes; left alone.
    Stale,
    /// All it held is on other disks; left alone.
    Drained,
    /// No label can be read on it; left alone.
    Unlabelled,
    /// It did not answer, and the vault was opened without it.
    Silent,
}

/// One disk as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskReport {
    /// Where it is attached.
    pub slot: Option<DiskSlot>,
    /// File or serial; empty when it is missing.
    pub name: String,
    /// What became of it.
    pub verdict: DiskVerdict,
}

/// What opening found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Every disk.
    pub disks: Vec<DiskReport>,
    /// Journal frames replayed.
    pub frames: u64,
    /// Records replayed.
    pub records: u64,
    /// Frames written again where a copy lacked them.
    pub repaired_frames: u64,
    /// Whether the index was rebuilt from the journal.
    pub index_rebuilt: bool,
    /// Data segments whose frames were walked.
    pub walked_segments: u64,
    /// Versions whose key is gone though no record says why.
    pub unexplained_versions: u64,
    /// What could be forced, or why nothing, where a start was told to look.
    pub outlook: Option<Result<Outlook, ForcedRefusal>>,
}

/// An open vault.
pub struct Opened {
    /// The engine.
    pub engine: Engine,
    /// The index, to be run on its own thread.
    pub index: IndexStore,
    /// The disks, to execute the engine's actions on.
    pub disks: Vec<Option<Box<dyn Disk>>>,
    /// What was found.
    pub report: OpenReport,
}

/// Why a vault cannot be opened at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No disk carries a label.
    #[error("no disk of the vault carries a readable label")]
    NoLabel,
    /// Creation was interrupted.
    #[error("the vault was never completely created; remove it and create it again")]
    NotFinished,
    /// Two starts were cut short, and what is here does not tell which of them was the last.
    #[error(
        "two starts of the vault that were cut short named different disks, and the disks that are here do not tell \
         which one counts; plug in {missing}"
    )]
    TwoMemberships {
        /// Which to plug in.
        missing: String,
    },
    /// Disks of another pool are among them.
    #[error(
        "disk {disk} belongs to another vault; nothing was written to it: take it out, plug in the disk of this vault \
         that was there{was} or none, and start again"
    )]
    ForeignDisk {
        /// Its name, or theirs, with the serials of drives.
        disk: String,
        /// What is printed on the drive that was there, in brackets, if that is known.
        was: String,
    },
    /// As many are of other pools as of any.
    #[error(
        "the disks {disks} are of different vaults, and none has most of them; nothing was written: plug in the disks \
         of one vault"
    )]
    MixedDisks {
        /// Their names.
        disks: String,
    },
    /// Written by a newer program.
    #[error("disk {disk} uses a format feature this program does not know; use a newer program")]
    NewerFormat {
        /// Its name.
        disk: String,
    },
    /// The key state.
    #[error(transparent)]
    Keys(#[from] crate::keys::copies::LoadError),
    /// No disk that carries the index takes part.
    #[error("no disk that carries the index is here; plug in {missing}")]
    NoIndexDisk {
        /// Which to plug in.
        missing: String,
    },
    /// The index area cannot be used.
    #[error("the index cannot be made: {0}")]
    Index(#[from] crate::index::IndexError),
    /// The first segment of the journal is not on any disk that is here.
    #[error("the beginning of the journal is on no disk that is here; plug in {missing}")]
    NoJournal {
        /// Which to plug in.
        missing: String,
    },
    /// A record in a frame that verifies contradicts the log: written by a faulty program.
    #[error("a record in journal segment {segment} at byte {offset} contradicts the log before it")]
    BrokenRecord {
        /// The segment.
        segment: SegmentId,
        /// Where.
        offset: u64,
    },
    /// The log ends before the head in the key state.
    #[error(
        "the log ends before record {first}: records {first} to {last} were durable and are on no disk that is here; \
         nothing was written. They may be on a disk that is missing ({missing}); disks that were put back to an \
         earlier time do not hold them"
    )]
    LogShort {
        /// The first record that is missing.
        first: u64,
        /// The last one known of.
        last: u64,
        /// Which disks to plug in.
        missing: String,
    },
    /// The log is not the one whose head is in the key state.
    #[error(
        "the log on the disks is another one: its first {size} records are not those that this vault wrote; nothing \
         was written"
    )]
    OtherLog {
        /// Records of the log whose root is known.
        size: u64,
    },
    /// It is not forced open.
    #[error("the vault was not forced open: {0}")]
    NotForced(#[from] ForcedRefusal),
    /// Without disks that do not answer it cannot be opened.
    #[error(
        "the vault cannot be opened without {disks}, which did not answer: {why}; look at power and cables, and start \
         again"
    )]
    NoAnswer {
        /// Their names, with the serials of drives.
        disks: String,
        /// Why not.
        why: Box<OpenError>,
    },
    /// A disk failed.
    #[error("a disk failed while the vault was opened: {0}")]
    Disk(#[from] DiskError),
}
