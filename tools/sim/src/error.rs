//! What a run can find wrong, and what stops it.

use stele_format::units::{UploadId, VersionId};

/// A promise that was broken. Says where; names of the simulation are no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An acknowledged version cannot be found any more.
    #[error("LOST: acknowledged version {version} of {place} is gone")]
    Lost {
        /// Bucket and key.
        place: String,
        /// The version.
        version: VersionId,
    },
    /// A version that had been released is shown again.
    #[error("released version {version} of {place} is back")]
    Returned {
        /// Bucket and key.
        place: String,
        /// The version.
        version: VersionId,
    },
    /// An upload or part is shown that was never begun, or is over.
    #[error("{what} of {place} is not open, and is shown")]
    NotOpen {
        /// Bucket and key.
        place: String,
        /// What it is.
        what: String,
    },
    /// A version or marker that nobody asked for, or that is shown half.
    #[error("{what} of {place} was never asked for")]
    Unexpected {
        /// Bucket and key.
        place: String,
        /// What it is.
        what: String,
    },
    /// Bytes differ.
    #[error("WRONG BYTES: version {version} of {place} differs at byte {offset}")]
    Bytes {
        /// Bucket and key.
        place: String,
        /// The version.
        version: VersionId,
        /// First wrong byte.
        offset: u64,
    },
    /// Something said about a version is not what was said before.
    #[error("version {version} of {place}: {what} was {believed}, now {found}")]
    Attribute {
        /// Bucket and key.
        place: String,
        /// The version.
        version: VersionId,
        /// Which attribute.
        what: &'static str,
        /// As acknowledged.
        believed: String,
        /// As found.
        found: String,
    },
    /// A lock became weaker, or gave way when it must not.
    #[error("LOCK BROKEN: {deed}: {why}")]
    Lock {
        /// What was done.
        deed: String,
        /// Why it must not have been.
        why: &'static str,
    },
    /// A receipt proves nothing, or not what was stored, or is of another log than the disks hold.
    #[error("RECEIPT: {what}")]
    Receipt {
        /// What is wrong with it.
        what: String,
    },
    /// Units are free that something holds, or held by nothing.
    #[error(
        "unit {unit} of disk {number} is marked as used: {marked}; what lies there says otherwise"
    )]
    Units {
        /// The disk's number, from 1.
        number: u16,
        /// The unit.
        unit: u32,
        /// What the engine takes it for.
        marked: bool,
    },
    /// An upload that was acknowledged is gone.
    #[error("LOST: upload {upload} of {place} is gone")]
    UploadLost {
        /// Bucket and key.
        place: String,
        /// The upload.
        upload: UploadId,
    },
    /// An acknowledged part is gone or another.
    #[error("LOST: part {number} of upload {upload} is gone or another: {found}")]
    PartLost {
        /// The upload.
        upload: UploadId,
        /// The part.
        number: u16,
        /// What stands there.
        found: String,
    },
    /// A bucket is gone, changed or came from nowhere.
    #[error("bucket {bucket}: {what}")]
    Bucket {
        /// Its name.
        bucket: String,
        /// What is wrong.
        what: String,
    },
    /// A listing contradicts what was acknowledged.
    #[error("listing of {bucket}: {what}")]
    Listing {
        /// The bucket.
        bucket: String,
        /// What is wrong.
        what: String,
    },
    /// A configuration value is not what was acknowledged.
    #[error("configuration value {name} is not what was acknowledged")]
    Config {
        /// Its name.
        name: String,
    },
    /// An answer that the rules exclude.
    #[error("{deed}: expected {expected}, got {got}")]
    Answer {
        /// The question.
        deed: String,
        /// What would have been right.
        expected: String,
        /// The answer.
        got: String,
    },
    /// Nothing happens any more although questions are open.
    #[error("stuck: {waiting} questions are not answered ({what})")]
    Stuck {
        /// How many.
        waiting: usize,
        /// One of them.
        what: String,
    },
    /// The pool does not open although at most one disk is at fault.
    #[error("the pool does not open: {error}")]
    Open {
        /// What was said.
        error: String,
    },
    /// A disk takes part that must have missed what others acknowledged.
    #[error("disk {disk} missed writes and takes part all the same")]
    Believed {
        /// Its name.
        disk: String,
    },
    /// A start beside a disk of another pool is not refused for that disk.
    #[error("beside {foreign}, a disk of another pool, a start says: {got}")]
    ForeignTaken {
        /// Its name.
        foreign: String,
        /// What came of it.
        got: String,
    },
    /// Something was written to a disk that belongs to another pool.
    #[error("a disk of another pool was written")]
    ForeignWritten,
    /// The vault takes writes with too few of the disks that the last label in force names.
    #[error("writes are taken with {present} of {active} disks that the last label in force names")]
    Minority {
        /// Of these, how many are here.
        present: usize,
        /// Disks that take part by that label.
        active: usize,
    },
    /// The verifier calls disks clean from which acknowledged bytes cannot be read.
    #[error("the verifier finds nothing wrong while {refused} reads are refused")]
    FalseVerdict {
        /// Reads and questions refused for damage.
        refused: u64,
    },
    /// The vault knows of no loss while acknowledged bytes cannot be read.
    #[error("the vault says that nothing is lost while {refused} reads are refused for damage")]
    Untold {
        /// Reads and questions refused for damage.
        refused: u64,
    },
    /// A pool cannot be made on blank disks.
    #[error("the pool cannot be made: {error}")]
    Create {
        /// What was said.
        error: String,
    },
    /// The inspection contradicts what was done to the disks.
    #[error("inspection {when}: {what}")]
    Inspection {
        /// At which point.
        when: &'static str,
        /// What is wrong.
        what: String,
    },
    /// Something was done that people did not approve, or that a lock forbids.
    #[error("UNLAWFUL: {deed}: {why}")]
    Unlawful {
        /// What was done.
        deed: String,
        /// Why it must not have been.
        why: &'static str,
    },
    /// What is said of people, requests or all versions is not what was acknowledged.
    #[error("people: {what}")]
    People {
        /// What is wrong.
        what: String,
    },
    /// Keys of destroyed versions are where a record says that they are gone.
    #[error("NOT DESTROYED: {disk}: {what}")]
    Survives {
        /// The disk.
        disk: String,
        /// What is on it.
        what: String,
    },
    /// A destruction that was carried out to its last list entry does not end.
    #[error("request {request} was carried out and is not complete after a start: {what}")]
    Unfinished {
        /// The request's record.
        request: u64,
        /// What the vault says of it.
        what: String,
    },
    /// The auditor calls the log unlawful.
    #[error("audit: {what}")]
    Audit {
        /// What it found.
        what: String,
    },
    /// Index and journal contradict each other.
    #[error("the index contradicts the journal: {what}")]
    Index {
        /// What the engine said.
        what: String,
    },
    /// A disk is said not to have kept what it had confirmed, and power cuts were all that befell any of them.
    #[error("disk {number}, which was never hurt, is said not to have kept what it had confirmed")]
    Accused {
        /// Its number, from 1.
        number: u16,
    },
    /// Compliance time ran ahead of true time or back.
    #[error("compliance time is {compliance_ms}, after {before_ms}, at true time {true_ms}")]
    Clock {
        /// Now.
        compliance_ms: u64,
        /// The last one told.
        before_ms: u64,
        /// True time.
        true_ms: u64,
    },
    /// The engine panicked.
    #[error("panic: {message}")]
    Panic {
        /// Message and place.
        message: String,
    },
}

impl Violation {
    /// Whether something is missing or older than it was: that, and nothing else, can come of what no disk gives.
    #[must_use]
    pub fn is_lack(&self) -> bool {
        !matches!(self, Violation::Unexpected { .. } | Violation::Bytes { .. })
    }
}

/// Why the machine stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The power is off.
    PowerCut,
    /// Nothing more can be asked of this process; the next start helps.
    Restart,
    /// A promise was broken.
    Violation(Box<Violation>),
}

impl From<Violation> for Halt {
    fn from(violation: Violation) -> Self {
        Halt::Violation(Box::new(violation))
    }
}

/// What becomes of anything that runs on the machine.
pub type Run<T> = Result<T, Halt>;
