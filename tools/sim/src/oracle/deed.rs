//! What was asked of the vault, in the oracle's words.

use std::fmt;

use stele_format::units::{UploadId, VersionId};
use stele_store::policy::{Mode, Period, Retention};
use stele_store::request::{Checksum, Conditions, ListWish, LockWish, RangeWish, Refusal};

use super::book::Official;
use super::model::Place;
use super::upkeep::Upkeep;
use crate::content::Content;
use crate::who::Who;

/// A question whose answer the oracle judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A new bucket.
    CreateBucket {
        /// Its name.
        name: String,
        /// With the lock header.
        lock: bool,
    },
    /// A bucket goes.
    DeleteBucket {
        /// Its name.
        name: String,
    },
    /// Default retention.
    SetDefault {
        /// The bucket.
        bucket: String,
        /// The new default.
        default: Option<(Mode, Period)>,
    },
    /// An upload stream begins.
    OpenPut {
        /// Where.
        at: Place,
        /// For a part of this upload.
        upload: Option<UploadId>,
        /// The lock wished for.
        lock: LockWish,
    },
    /// A new version.
    Put {
        /// Where.
        at: Place,
        /// Its bytes.
        content: Content,
        /// The lock wished for.
        lock: LockWish,
        /// Conditions.
        conditions: Conditions,
        /// Checksums to keep.
        checksums: Vec<Checksum>,
        /// The MD5 given.
        md5: Option<[u8; 16]>,
        /// In one question.
        at_once: bool,
    },
    /// S3 DELETE.
    Delete {
        /// Where.
        at: Place,
        /// Of this version.
        version: Option<VersionId>,
        /// With the bypass header.
        bypass: bool,
    },
    /// Retention.
    SetRetention {
        /// Where.
        at: Place,
        /// Of this version.
        version: Option<VersionId>,
        /// The new one.
        wanted: Option<Retention>,
        /// With the bypass header.
        bypass: bool,
    },
    /// Legal hold.
    SetHold {
        /// Where.
        at: Place,
        /// Of this version.
        version: Option<VersionId>,
        /// ON or OFF.
        on: bool,
    },
    /// A multipart upload begins.
    CreateUpload {
        /// Where.
        at: Place,
        /// Number in its metadata.
        number: u64,
        /// The lock wished for.
        lock: LockWish,
    },
    /// A part.
    Part {
        /// Where.
        at: Place,
        /// Of this upload.
        upload: UploadId,
        /// Part number.
        number: u16,
        /// Its bytes.
        content: Content,
        /// Checksums to keep.
        checksums: Vec<Checksum>,
        /// The MD5 given.
        md5: Option<[u8; 16]>,
    },
    /// Parts become a version.
    Complete {
        /// Where.
        at: Place,
        /// The upload.
        upload: UploadId,
        /// Parts and their ETags.
        parts: Vec<(u16, String)>,
        /// Conditions.
        conditions: Conditions,
    },
    /// A multipart upload is given up.
    AbortUpload {
        /// Where.
        at: Place,
        /// The upload.
        upload: UploadId,
    },
    /// A configuration value.
    PutConfig {
        /// Its name.
        name: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// HEAD.
    Head {
        /// Where.
        at: Place,
        /// Of this version.
        version: Option<VersionId>,
    },
    /// A download begins.
    OpenGet {
        /// Where.
        at: Place,
        /// Of this version.
        version: Option<VersionId>,
        /// Of these bytes.
        range: Option<RangeWish>,
    },
    /// A page of objects.
    List(ListWish),
    /// A page of versions.
    ListVersions(ListWish),
    /// A page of uploads.
    ListUploads(ListWish),
    /// A page of parts.
    ListParts {
        /// Where.
        at: Place,
        /// The upload.
        upload: UploadId,
        /// After this number.
        after: u16,
        /// At most so many.
        parts_max: u32,
    },
    /// All buckets.
    ListBuckets,
    /// One bucket.
    HeadBucket {
        /// Its name.
        name: String,
    },
    /// A configuration value.
    GetConfig {
        /// Its name.
        name: String,
    },
    /// Rules of buckets, what goes by them, and the like.
    Upkeep(Upkeep),
    /// Something that people ask, or the vault for them.
    Official(Box<Official>),
}

/// A question under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What was asked.
    pub deed: Deed,
    /// By whom.
    pub who: Who,
    /// Compliance time when it was asked: decided not before.
    pub since_ms: u64,
    /// Configuration values that were replaced since; an answer may still be one of them.
    pub overtaken: Vec<Option<Vec<u8>>>,
    /// Whether what it would bring back was being destroyed when it was asked.
    pub too_late: bool,
}

impl Deed {
    /// Whether it changes something when it succeeds.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Deed::Official(official) => return official.changes(),
            Deed::Upkeep(upkeep) => return upkeep.changes(),
            _ => {}
        }
        !matches!(
            self,
            Deed::OpenPut { .. }
                | Deed::Head { .. }
                | Deed::OpenGet { .. }
                | Deed::List(_)
                | Deed::ListVersions(_)
                | Deed::ListUploads(_)
                | Deed::ListParts { .. }
                | Deed::ListBuckets
                | Deed::HeadBucket { .. }
                | Deed::GetConfig { .. }
        )
    }

    /// The place it is about, if it is about one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Deed::OpenPut { at, .. }
            | Deed::Put { at, .. }
            | Deed::Delete { at, .. }
            | Deed::SetRetention { at, .. }
            | Deed::SetHold { at, .. }
            | Deed::CreateUpload { at, .. }
            | Deed::Part { at, .. }
            | Deed::Complete { at, .. }
            | Deed::AbortUpload { at, .. }
            | Deed::Head { at, .. }
            | Deed::OpenGet { at, .. }
            | Deed::ListParts { at, .. } => Some(at),
            Deed::Upkeep(upkeep) => upkeep.place(),
            _ => None,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Put {
                at,
                content,
                lock,
                conditions,
                md5,
                ..
            } => write!(
                f,
                "PUT {at} number {} of {} bytes, {lock:?}, {conditions:?}, md5 {}",
                content.number,
                content.bytes,
                md5.is_some()
            ),
            Deed::Delete {
                at, version: None, ..
            } => write!(f, "DELETE {at}"),
            Deed::Delete {
                at,
                version: Some(version),
                bypass,
            } => {
                write!(f, "DELETE {at} version {version}, bypass {bypass}")
            }
            Deed::List(wish) => list(f, "objects", wish),
            Deed::ListVersions(wish) => list(f, "versions", wish),
            Deed::ListUploads(wish) => list(f, "uploads", wish),
            Deed::Official(official) => official.fmt(f),
            other => match other.place() {
                Some(at) => write!(f, "{at}: {other:?}"),
                None => write!(f, "{other:?}"),
            },
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, wish: &ListWish) -> fmt::Result {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    write!(
        f,
        "LIST {what} of {}, prefix {:?}, delimiter {:?}, after {:?} {:?}, at most {}",
        wish.bucket,
        text(&wish.prefix),
        wish.delimiter.as_deref().map(text),
        wish.after.as_deref().map(text),
        wish.after_version,
        wish.entries_max
    )
}

/// The kind of a refusal, as the oracle compares and counts them.
#[must_use]
pub fn kind(refusal: &Refusal) -> &'static str {
    use stele_store::policy::Refusal as Policy;
    match refusal {
        Refusal::NoSuchBucket => "NoSuchBucket",
        Refusal::NoSuchKey { .. } => "NoSuchKey",
        Refusal::NoSuchVersion => "NoSuchVersion",
        Refusal::IsMarker { .. } => "IsMarker",
        Refusal::NoSuchUpload => "NoSuchUpload",
        Refusal::BucketExists => "BucketExists",
        Refusal::BucketTaken => "BucketTaken",
        Refusal::BucketNotEmpty => "BucketNotEmpty",
        Refusal::TooManyBuckets { .. } => "TooManyBuckets",
        Refusal::TooManyBucketsMade { .. } => "TooManyBucketsMade",
        Refusal::Policy(Policy::Locked { .. }) => "Locked",
        Refusal::Policy(Policy::Held) => "Held",
        Refusal::Policy(Policy::NeedsRight(_)) => "NeedsRight",
        Refusal::Policy(Policy::Weaker { .. }) => "Weaker",
        Refusal::Policy(Policy::GovernanceToComplianceNeedsRight) => "Hardens",
        Refusal::Policy(Policy::NoLockOnBucket) => "NoLockOnBucket",
        Refusal::Policy(Policy::DatePast) => "DatePast",
        Refusal::Policy(Policy::DateTooFar) => "DateTooFar",
        Refusal::Policy(Policy::PeriodInvalid) => "PeriodInvalid",
        Refusal::Policy(Policy::UnknownClient) => "UnknownClient",
        Refusal::Policy(Policy::NotGranted(_)) => "NotGranted",
        Refusal::Policy(Policy::ForeignBucket) => "ForeignBucket",
        Refusal::Policy(Policy::OutsidePrefix) => "OutsidePrefix",
        Refusal::Policy(Policy::OnlyVault) => "OnlyVault",
        // The simulated clients have no quota and no rate.
        Refusal::Policy(
            Policy::QuotaBytes { .. } | Policy::QuotaVersions { .. } | Policy::TooFast,
        ) => "Quota",
        Refusal::Policy(Policy::RuleInvalid) => "RuleInvalid",
        Refusal::Policy(Policy::LifecycleRuleInvalid) => "LifecycleRuleInvalid",
        Refusal::Policy(Policy::NotDue) => "NotDue",
        Refusal::Policy(Policy::NoSuchRule) => "NoSuchRule",
        Refusal::Policy(Policy::TooManyRules { .. }) => "TooManyRules",
        Refusal::Policy(Policy::RuleNeedsDefault) => "RuleNeedsDefault",
        Refusal::Policy(Policy::RuleLowers) => "RuleLowers",
        Refusal::Policy(Policy::RuleTwice) => "RuleTwice",
        Refusal::Policy(Policy::BoundInvalid) => "BoundInvalid",
        Refusal::Policy(Policy::BeyondBound { .. }) => "BeyondBound",
        Refusal::Range { .. } => "Range",
        Refusal::Precondition => "Precondition",
        Refusal::Part { .. } => "Part",
        Refusal::PartOrder => "PartOrder",
        Refusal::PartTooSmall { .. } => "PartTooSmall",
        Refusal::PartsReplaced { .. } => "PartsReplaced",
        Refusal::TooLarge { .. } => "TooLarge",
        Refusal::Checksum => "Checksum",
        Refusal::MetadataTooLarge { .. } => "MetadataTooLarge",
        Refusal::Busy => "Busy",
        Refusal::Full => "Full",
        Refusal::ReadOnly(_) => "ReadOnly",
        Refusal::MayBeLost(_) => "MayBeLost",
        Refusal::Rebuilding => "Rebuilding",
        Refusal::Undecided => "Undecided",
        Refusal::Damaged { .. } => "Damaged",
        Refusal::NoSuchStream => "NoSuchStream",
        Refusal::Stopping => "Stopping",
        Refusal::Statement(_) => "Statement",
        Refusal::NoCase => "NoCase",
        Refusal::BadScope => "BadScope",
        Refusal::OutOfOrder { .. } => "OutOfOrder",
        Refusal::ScopeKept { .. } => "ScopeKept",
        Refusal::ScopeDiffers => "ScopeDiffers",
        Refusal::ClockNotSimulated => "ClockNotSimulated",
        Refusal::ClockTooFar => "ClockTooFar",
        Refusal::ClockSuspends => "ClockSuspends",
        Refusal::MonthNotOver => "MonthNotOver",
        Refusal::MonthLives => "MonthLives",
        Refusal::Witness(_) => "Witness",
        Refusal::WitnessSilent(_) => "WitnessSilent",
        Refusal::WitnessBehind { .. } => "WitnessBehind",
        Refusal::KeyStateFull => "KeyStateFull",
        Refusal::NotReleased => "NotReleased",
        Refusal::KeyTaken => "KeyTaken",
        Refusal::BeingDestroyed { .. } => "BeingDestroyed",
    }
}
