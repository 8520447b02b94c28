//! Why the engine says no. Every refusal says what and why, and nothing of names or content.

use std::fmt;

use stele_format::units::{LogIndex, UnixMillis, VersionId};

use crate::policy::approval::StatementRefusal;
use crate::policy::witness::{Silent, WitnessRefusal};
use crate::policy::words::utc;
use crate::policy::{Kept, Right};

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// No such object or hidden by a marker.
    #[error("no such key")]
    NoSuchKey {
        /// The marker that hides it.
        marker: Option<VersionId>,
    },
    /// No such version.
    #[error("no such version")]
    NoSuchVersion,
    /// It is not here, and the vault lacks records of its log: nobody knows whether it was acknowledged.
    #[error("there is no such thing in what the vault can read, but it may be lost: {0}")]
    MayBeLost(ReadOnlyReason),
    /// The version is a delete marker.
    #[error("the version is a delete marker")]
    IsMarker {
        /// The marker.
        version: VersionId,
        /// When it was stored.
        modified: UnixMillis,
    },
    /// Not a version whose release could be undone.
    #[error("the version is not released")]
    NotReleased,
    /// The one version of a key in a plain bucket is another one.
    #[error(
        "the key has another version, and its bucket shows one of a key; delete that one first"
    )]
    KeyTaken,
    /// It is going for good.
    #[error("request {request} is destroying the version")]
    BeingDestroyed {
        /// Which.
        request: LogIndex,
    },
    /// No such upload.
    #[error("no such upload")]
    NoSuchUpload,
    /// The bucket is there.
    #[error("the bucket exists already")]
    BucketExists,
    /// The bucket is there and belongs to somebody else.
    #[error("the bucket exists already and belongs to another client")]
    BucketTaken,
    /// It shows versions, markers or uploads.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// Too many buckets.
    #[error("there are as many buckets as there may be ({buckets_max})")]
    TooManyBuckets {
        /// Limit.
        buckets_max: u32,
    },
    /// An owner made too many, over all time.
    #[error(
        "one owner makes {buckets_max} buckets at most, and those deleted count: use one that is there, or have one made at the vault for this key"
    )]
    TooManyBucketsMade {
        /// Limit.
        buckets_max: u32,
    },
    /// A policy said no.
    #[error(transparent)]
    Policy(#[from] crate::policy::Refusal),
    /// Range outside the content.
    #[error("the range lies outside the {content_bytes} bytes")]
    Range {
        /// Length.
        content_bytes: u64,
    },
    /// A condition failed.
    #[error("a condition on the current version did not hold")]
    Precondition,
    /// A part is missing or differs.
    #[error("part {number} is missing or differs from what was uploaded")]
    Part {
        /// Number.
        number: u16,
    },
    /// Parts not ascending.
    #[error("the parts are not in ascending order")]
    PartOrder,
    /// A part under 5 MiB that is not the last.
    #[error("part {number} is smaller than 5 MiB")]
    PartTooSmall {
        /// Number.
        number: u16,
    },
    /// Parts of one upload sent again too often.
    #[error(
        "{count_max} parts of this upload were sent again after they were stored; complete or abort it"
    )]
    PartsReplaced {
        /// Limit.
        count_max: u64,
    },
    /// Too large.
    #[error("the content is larger than {bytes_max} bytes")]
    TooLarge {
        /// Limit.
        bytes_max: u64,
    },
    /// A repeated checksum differs.
    #[error("a checksum differs from what was stored")]
    Checksum,
    /// Metadata too large.
    #[error("the metadata is larger than {bytes_max} bytes")]
    MetadataTooLarge {
        /// Limit.
        bytes_max: u32,
    },
    /// Too much at once.
    #[error("too many requests are being served; try again")]
    Busy,
    /// Full.
    #[error("the vault is full: no space for new data")]
    Full,
    /// Read-only.
    #[error("the vault is read-only: {0}")]
    ReadOnly(ReadOnlyReason),
    /// The vault is being started again, as when its index is made anew.
    #[error("the vault is being started again; try again")]
    Rebuilding,
    /// Nothing is written any more, and this was being written.
    #[error(
        "the vault stopped taking writes while this was being written: whether it was done shows when it takes them again"
    )]
    Undecided,
    /// No verified copy on any present disk.
    #[error("stored bytes could not be verified on any present disk (segment {segment}, {place})")]
    Damaged {
        /// Segment.
        segment: u64,
        /// Where in it.
        place: DamagePlace,
    },
    /// A statement does not count.
    #[error(transparent)]
    Statement(Box<StatementRefusal>),
    /// A version on the list cannot be destroyed by the request.
    #[error("the version that record {record} made cannot be destroyed: {why}")]
    ScopeKept {
        /// The record that made it.
        record: LogIndex,
        /// Why.
        why: Kept,
    },
    /// A request says something else of its list than the list shows.
    #[error("count, bytes or dates in the request are not those of its list; draft it again")]
    ScopeDiffers,
    /// No such hold, or it was released.
    #[error("no hold of this number is in force")]
    NoCase,
    /// A list of versions is not there as a whole, or is not one.
    #[error("the list of versions is not recorded as a whole, or its entries are not in order")]
    BadScope,
    /// Only a vault that was made with a simulated clock can have it set.
    #[error(
        "this vault's clock is not simulated: nothing sets it; only a vault created with a simulated clock, which \
         says so for ever, can be set forward"
    )]
    ClockNotSimulated,
    /// Too far at once.
    #[error("a simulated clock is set forward by at most fifty years at once")]
    ClockTooFar,
    /// The clocks do not agree.
    #[error(
        "the wall clock stands more than a day from compliance time, so nothing is destroyed; set the wall clock, or \
         let two people correct compliance time"
    )]
    ClockSuspends,
    /// What witnesses cosigned is not taken.
    #[error("{0}")]
    Witness(Box<WitnessRefusal>),
    /// No witness was heard for too long.
    #[error(
        "no witness was heard for 30 days{}, so nothing is destroyed; bring a checkpoint that one has cosigned, or let \
         two people remove it", last_heard(.0)
    )]
    WitnessSilent(Silent),
    /// Only the witnesses have not seen the end of what keeps a version.
    #[error(
        "by the newest time of a witness, {}, something on the list is still kept; bring a checkpoint that one has \
         cosigned since", utc(*.heard)
    )]
    WitnessBehind {
        /// The newest time.
        heard: stele_format::units::UnixMillis,
    },
    /// Pieces of a list are worked off in order.
    #[error("piece {ordinal} of the list comes first")]
    OutOfOrder {
        /// The piece that is missing.
        ordinal: u32,
    },
    /// A month is cut as a whole only when it is over.
    #[error("the month is not over by both clocks; it can be cut when it is")]
    MonthNotOver,
    /// A month is cut as a whole only when nothing that stays has a key of it.
    #[error(
        "versions that stay have keys of the month; give them later ones first, which a whole pass does"
    )]
    MonthLives,
    /// So many single keys cannot be cut.
    #[error(
        "cutting so many single keys would outgrow the key state; let the month they belong to end and destroy it as \
         a whole, or ask for fewer"
    )]
    KeyStateFull,
    /// Stream not open or used out of order.
    #[error("no such stream")]
    NoSuchStream,
    /// Stopping.
    #[error("the vault is stopping")]
    Stopping,
}

/// Where damage lies in a segment, as `stele-inspect` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagePlace {
    /// In this frame.
    Frame(u32),
    /// At this byte, where no copy shows which frame it is.
    Byte(u64),
}

impl fmt::Display for DamagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamagePlace::Frame(frame) => write!(f, "frame {frame}"),
            DamagePlace::Byte(offset) => write!(f, "at byte {offset}"),
        }
    }
}

/// Why the pool takes no writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadOnlyReason {
    /// Fewer disks than the quorum needs.
    #[error(
        "{present} of {needed} needed disks take writes; {}",
        wish(missing, idle)
    )]
    TooFewDisks {
        /// Disks that take writes.
        present: u16,
        /// Disks needed.
        needed: u16,
        /// Names of the missing ones.
        missing: String,
        /// Those that are here and do not take part, with what each lacks; empty for none.
        idle: String,
    },
    /// Committed journal bytes are unreadable on every present disk.
    #[error(
        "journal bytes of segment {segment} from byte {offset} are damaged or missing on every present disk{}; {}",
        behind(*hole),
        wish(missing, idle)
    )]
    JournalDamaged {
        /// Segment.
        segment: u64,
        /// Offset.
        offset: u64,
        /// Whether records behind them were read.
        hole: bool,
        /// Names of missing disks.
        missing: String,
        /// Those that are here and do not take part, with what each lacks; empty for none.
        idle: String,
    },
    /// No unit is left for the segment a new epoch needs.
    #[error(
        "the disks are full: no room is left for a further journal segment; all that is stored can be read"
    )]
    Full,
    /// The disks state numbers next to the highest that the format has.
    #[error("the vault has used up the numbers of its format; all that is stored can be read")]
    NumbersUsedUp,
    /// A feature of the format this program may only read.
    #[error("the pool uses a newer format feature; this program may only read it")]
    NewerFormat,
    /// One disk is left of several.
    #[error(
        "one disk is left of the vault: nothing is stored on it alone; give it others (`stele disk replace`): {missing}"
    )]
    Alone {
        /// Names of the missing ones.
        missing: String,
    },
    /// Somebody wanted to look only.
    #[error("the vault was opened to be looked at")]
    LookedAt,
}

impl Refusal {
    /// Whether it says that something does not exist.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Refusal::NoSuchBucket
                | Refusal::NoSuchKey { .. }
                | Refusal::NoSuchVersion
                | Refusal::NoSuchUpload
        )
    }
}

/// What would help where disks are lacking.
fn wish(missing: &str, idle: &str) -> String {
    match (missing, idle) {
        ("none", "") => "no disk of the vault is away that would help".to_owned(),
        ("none", idle) => format!("none is missing, but {idle}"),
        _ => format!("plug in {missing}"),
    }
}

fn behind(hole: bool) -> &'static str {
    if hole {
        ", and records behind them can be read"
    } else {
        ""
    }
}

fn last_heard(silent: &Silent) -> String {
    silent.heard.map_or_else(String::new, |heard| {
        format!(" (the last at {})", utc(heard))
    })
}

impl From<WitnessRefusal> for Refusal {
    fn from(refusal: WitnessRefusal) -> Self {
        Refusal::Witness(Box::new(refusal))
    }
}

impl From<StatementRefusal> for Refusal {
    fn from(refusal: StatementRefusal) -> Self {
        Refusal::Statement(Box::new(refusal))
    }
}

impl From<Right> for Refusal {
    fn from(right: Right) -> Self {
        Refusal::Policy(crate::policy::Refusal::NeedsRight(right))
    }
}
