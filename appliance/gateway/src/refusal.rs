//! Why the engine says no, in the words the gateway translates for clients.

use std::fmt;

use serde::{Deserialize, Serialize};
use stele_format::units::{UnixMillis, VersionId};

use crate::message::LockMode;

/// The special client rights, each granted to a key by people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Right {
    /// Bypass governance retention.
    GovernanceBypass,
    /// Turn legal holds off.
    HoldOff,
    /// Lower or clear a bucket default.
    LockAdmin,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GovernanceBypass => "governance-bypass",
            Self::HoldOff => "hold-off",
            Self::LockAdmin => "lock-admin",
        })
    }
}

/// Why the engine said no. Says what, why and until when, and nothing of names or content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such access key.
    #[error("the access key id you provided does not exist in this vault")]
    UnknownKey,
    /// The signature is not the one this request has under that key.
    #[error(
        "the signature computed for this request does not match the one you provided; check your \
         secret key and signing method"
    )]
    Signature,
    /// The request was signed too long ago, or by a clock that is ahead.
    #[error(
        "the difference between the time of the request and the time of the vault is too large"
    )]
    Skewed,
    /// The presigned URL is of a time that is still to come.
    #[error("the request is not yet valid")]
    NotYet,
    /// The presigned URL was good for a shorter time.
    #[error("the request has expired")]
    Expired,
    /// The question belongs to no verified request, or to one that is over.
    #[error("the request is not signed in")]
    NoSession,
    /// The question is none that the signed request needs: an honest gateway asks no such thing.
    #[error("the vault was asked for something else than what was signed")]
    NotSigned,
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// No such object, or its current version is a delete marker.
    #[error("no such key")]
    NoSuchKey {
        /// The delete marker that hides it.
        #[serde(with = "crate::wire::plain")]
        marker: Option<VersionId>,
    },
    /// No such version.
    #[error("no such version")]
    NoSuchVersion,
    /// The named version is a delete marker, which cannot be read or locked.
    #[error("the version is a delete marker")]
    IsMarker {
        /// The marker.
        #[serde(with = "crate::wire::plain")]
        version: VersionId,
        /// When it was stored.
        #[serde(with = "crate::wire::plain")]
        modified: UnixMillis,
    },
    /// The key belongs to the vault itself: it is read there and never written.
    #[error("keys that begin like this belong to the vault and cannot be written")]
    VaultKey,
    /// No such upload.
    #[error("no such upload")]
    NoSuchUpload,
    /// The bucket is there already and is the caller's.
    #[error("the bucket exists already")]
    BucketExists,
    /// The bucket is there already and is another client's.
    #[error("the bucket exists already and belongs to another client")]
    BucketTaken,
    /// The bucket still shows versions, markers or uploads.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// More buckets than the vault keeps.
    #[error("there are as many buckets as there may be ({buckets_max})")]
    TooManyBuckets {
        /// The limit.
        buckets_max: u32,
    },
    /// More buckets than one owner ever makes.
    #[error(
        "one owner makes {buckets_max} buckets at most, and those deleted count: use one that is there, or have one made at the vault for this key"
    )]
    TooManyBucketsMade {
        /// The limit.
        buckets_max: u32,
    },
    /// Locked by retention.
    #[error("the version is locked by {mode:?} retention until {until:?}")]
    Locked {
        /// Its mode.
        mode: LockMode,
        /// Until when.
        #[serde(with = "crate::wire::plain")]
        until: UnixMillis,
    },
    /// Under legal hold.
    #[error("the version is under legal hold")]
    Held,
    /// The client's key lacks a right.
    #[error("the key lacks the right {0}, which two people grant")]
    NeedsRight(Right),
    /// The client's key may not do this, here, or at all, in the engine's words.
    #[error("{0}")]
    NotAllowed(String),
    /// The owner of the bucket may store no more, in the engine's words.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The client's key writes faster than it may.
    #[error("the key writes faster than it may; try again later")]
    TooFast,
    /// Retention would become weaker.
    #[error("retention can be extended, never shortened")]
    Weaker,
    /// The bucket has no Object Lock.
    #[error("the bucket has no object lock")]
    NoLockOnBucket,
    /// A retain-until date in the past or more than 100 years ahead, or below the vault's floor.
    #[error("the retain-until date is not acceptable: {0}")]
    RetentionDate(RetentionDateFault),
    /// The range lies outside the content.
    #[error("the range lies outside the {content_bytes} bytes")]
    Range {
        /// Stored length.
        content_bytes: u64,
    },
    /// A condition did not hold.
    #[error("a condition on the current version did not hold")]
    Precondition,
    /// A named part is missing or differs.
    #[error("part {number} is missing or differs from what was uploaded")]
    Part {
        /// Its number.
        number: u16,
    },
    /// Parts are not in ascending order.
    #[error("the parts are not in ascending order")]
    PartOrder,
    /// A part other than the last is under 5 MiB.
    #[error("part {number} is smaller than 5 MiB")]
    PartTooSmall {
        /// Its number.
        number: u16,
    },
    /// Parts of one upload were sent again too often.
    #[error(
        "{count_max} parts of this upload were sent again after they were stored; complete or abort it"
    )]
    PartsReplaced {
        /// The limit.
        count_max: u64,
    },
    /// Larger than 5 TiB (an object) or 5 GiB (a single upload).
    #[error("the content is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// A checksum the client repeated differs from the stored one.
    #[error("a checksum differs from what was stored")]
    Checksum,
    /// Metadata larger than the manifest holds.
    #[error("the metadata is larger than {bytes_max} bytes")]
    MetadataTooLarge {
        /// The limit.
        bytes_max: u32,
    },
    /// Too much is going on; try again.
    #[error("too many requests are being served; try again")]
    Busy,
    /// The pool is full.
    #[error("the vault is full: no space for new data; the operator must add capacity")]
    Full,
    /// The pool accepts no writes now.
    #[error("the vault is read-only: {0}")]
    ReadOnly(String),
    /// The vault has no such thing, and lacks records of its log: it may have been acknowledged.
    #[error("there is no such thing in what the vault can read, but it may be lost: {0}")]
    MayBeLost(String),
    /// The vault is being started again, as when its index is made anew.
    #[error("the vault is being started again; try again")]
    Rebuilding,
    /// Stored bytes could not be verified on any present disk.
    #[error(
        "stored bytes of this version could not be verified on any present disk (segment {segment}, {place})"
    )]
    Damaged {
        /// Segment id.
        segment: u64,
        /// Where in it, in the engine's words: mostly the number of a frame.
        place: String,
    },
    /// A stream that is not open, or was used out of order.
    #[error("no such stream")]
    NoSuchStream,
    /// The engine is stopping: nothing was done.
    #[error("the vault is stopping")]
    Stopping,
    /// The engine went away with the question in its hands. It may have carried it out.
    #[error(
        "the vault stopped before it answered; whether this was carried out is not known, what is listed tells"
    )]
    Unanswered,
}

/// What is wrong with a retain-until date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RetentionDateFault {
    /// In the past.
    #[error("it lies in the past")]
    Past,
    /// Too far ahead.
    #[error("it lies more than 100 years ahead")]
    TooFar,
}
