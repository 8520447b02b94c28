//! The words of Object Lock, as every part of the store uses them.

use stele_format::units::UnixMillis;

use super::client::Grant;
use super::limits::{DAY_MS, DEFAULT_RETENTION_DAYS_MAX, DEFAULT_RETENTION_YEARS_MAX, YEAR_DAYS};

/// How firmly a retention holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Yields to a client that holds the governance-bypass right and asks for it.
    Governance,
    /// Yields to nobody before its date.
    Compliance,
}

impl Mode {
    /// The number media bytes use: 1 governance, 2 compliance (0 means no retention).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Mode::Governance => 1,
            Mode::Compliance => 2,
        }
    }

    /// The mode behind a media byte; none for any other number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Mode> {
        match code {
            1 => Some(Mode::Governance),
            2 => Some(Mode::Compliance),
            _ => None,
        }
    }

    /// The word S3 uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Governance => "GOVERNANCE",
            Mode::Compliance => "COMPLIANCE",
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The retention of a version: it may not go before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retention {
    /// How firmly.
    pub mode: Mode,
    /// The first millisecond at which it no longer holds.
    pub until: UnixMillis,
}

impl Retention {
    /// Whether it still holds at `now`, a time for releasing.
    #[must_use]
    pub fn holds_at(&self, now: UnixMillis) -> bool {
        self.until > now
    }
}

/// A special right of a client key, granted by two people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Shorten or lift GOVERNANCE retention, and release versions under it.
    GovernanceBypass,
    /// Switch a legal hold off.
    HoldOff,
    /// Lower or clear the default retention of a bucket.
    LockAdmin,
}

impl Right {
    /// Its name on command lines and screens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Right::GovernanceBypass => "governance-bypass",
            Right::HoldOff => "hold-off",
            Right::LockAdmin => "lock-admin",
        }
    }

    /// The right of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Right> {
        [Right::GovernanceBypass, Right::HoldOff, Right::LockAdmin]
            .into_iter()
            .find(|right| right.name() == name)
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The special rights a client key has; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// [`Right::GovernanceBypass`].
    pub governance_bypass: bool,
    /// [`Right::HoldOff`].
    pub hold_off: bool,
    /// [`Right::LockAdmin`].
    pub lock_admin: bool,
}

impl Rights {
    /// Whether `right` is among them.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        match right {
            Right::GovernanceBypass => self.governance_bypass,
            Right::HoldOff => self.hold_off,
            Right::LockAdmin => self.lock_admin,
        }
    }

    /// The same rights and `right`.
    #[must_use]
    pub const fn with(mut self, right: Right) -> Rights {
        match right {
            Right::GovernanceBypass => self.governance_bypass = true,
            Right::HoldOff => self.hold_off = true,
            Right::LockAdmin => self.lock_admin = true,
        }
        self
    }
}

/// What a bucket promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketKind {
    /// Every version is locked by the bucket's default unless the client names its own lock.
    DefaultLocked,
    /// The client locks each object; the vault sets a floor.
    ClientLocked,
    /// Looks unversioned and has no Object Lock; what is overwritten or deleted is released.
    Plain,
}

impl BucketKind {
    /// The number media bytes use.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            BucketKind::DefaultLocked => 0,
            BucketKind::ClientLocked => 1,
            BucketKind::Plain => 2,
        }
    }

    /// The kind behind a media byte; none for any other number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<BucketKind> {
        match code {
            0 => Some(BucketKind::DefaultLocked),
            1 => Some(BucketKind::ClientLocked),
            2 => Some(BucketKind::Plain),
            _ => None,
        }
    }

    /// Its name on command lines and screens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BucketKind::DefaultLocked => "default-locked",
            BucketKind::ClientLocked => "client-locked",
            BucketKind::Plain => "plain",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<BucketKind> {
        [
            BucketKind::DefaultLocked,
            BucketKind::ClientLocked,
            BucketKind::Plain,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }

    /// Whether its versions can be locked, which also means that S3 shows them as versions.
    #[must_use]
    pub const fn has_lock(self) -> bool {
        !matches!(self, BucketKind::Plain)
    }
}

/// The length of a default retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// Days of 24 hours.
    Days(u32),
    /// Years of 365 days, as S3 counts them.
    Years(u32),
}

impl Period {
    /// Its length in milliseconds; ends at the largest number instead of wrapping.
    #[must_use]
    pub fn millis(self) -> u64 {
        let days = match self {
            Period::Days(days) => u64::from(days),
            Period::Years(years) => u64::from(years).saturating_mul(YEAR_DAYS),
        };
        days.saturating_mul(DAY_MS)
    }

    /// Refuses an empty period and one beyond the limits of its unit.
    ///
    /// # Errors
    /// [`Refusal::PeriodInvalid`].
    pub const fn check(self) -> Result<(), Refusal> {
        let (count, count_max) = match self {
            Period::Days(days) => (days, DEFAULT_RETENTION_DAYS_MAX),
            Period::Years(years) => (years, DEFAULT_RETENTION_YEARS_MAX),
        };
        if count == 0 || count > count_max {
            Err(Refusal::PeriodInvalid)
        } else {
            Ok(())
        }
    }
}

/// The default retention of new versions whose key begins with a prefix. Its mode is the bucket's.
#[derive(Clone, PartialEq, Eq)]
pub struct PrefixRule {
    /// What keys begin with.
    pub prefix: Vec<u8>,
    /// Days of 24 hours.
    pub days: u32,
}

/// Names are PHI.
impl std::fmt::Debug for PrefixRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrefixRule(.., {} days)", self.days)
    }
}

/// What a bucket and the vault say about the lock of a new version in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketPolicy {
    /// The bucket's kind.
    pub kind: BucketKind,
    /// Its default retention.
    pub default: Option<(Mode, Period)>,
    /// Shortest retention the vault gives any new version of a bucket with Object Lock; 0 = none.
    pub floor_ms: u64,
}

/// Why policy says no. Carries no names and no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The version is retained.
    #[error("the version is locked by {mode} retention until {} ms since 1970", .until.get())]
    Locked {
        /// Its mode.
        mode: Mode,
        /// Until when.
        until: UnixMillis,
    },
    /// The version is under legal hold, which has no date.
    #[error("the version is under legal hold until somebody with the right switches it off")]
    Held,
    /// The act was asked for as a special one, and the client's key lacks the right to it.
    #[error("the key lacks the right {0}")]
    NeedsRight(Right),
    /// The wished retention is weaker than the one that holds.
    #[error(
        "the {mode} retention until {} ms since 1970 can be extended, not weakened", .until.get()
    )]
    Weaker {
        /// The mode that holds.
        mode: Mode,
        /// Until when it holds.
        until: UnixMillis,
    },
    /// GOVERNANCE becomes COMPLIANCE only by a bypass with the right to it.
    #[error("changing GOVERNANCE to COMPLIANCE needs a governance bypass by a key with that right")]
    GovernanceToComplianceNeedsRight,
    /// The bucket has no Object Lock.
    #[error("the bucket has no object lock")]
    NoLockOnBucket,
    /// The retain-until date is not in the future.
    #[error("the retain-until date lies in the past")]
    DatePast,
    /// The retain-until date lies too far ahead.
    #[error("the retain-until date lies more than 100 years ahead")]
    DateTooFar,
    /// A retention beyond what the bucket allows clients.
    #[error("the bucket allows a retention of at most {days_max} days from now")]
    BeyondBound {
        /// The bound.
        days_max: u32,
    },
    /// A bound below the default, or of no days or more than 36,500.
    #[error("a bound is 1 to 36500 days and not less than the bucket's default retention")]
    BoundInvalid,
    /// A default retention of no length or of more than 36,500 days or 100 years.
    #[error("a default retention is 1 to 36500 days or 1 to 100 years")]
    PeriodInvalid,
    /// A rule without a prefix or with one longer than a key, or of no days or more than 36,500.
    #[error("a rule has a prefix of 1 to 1024 bytes and 1 to 36500 days")]
    RuleInvalid,
    /// Two rules for one prefix.
    #[error("there are two rules for one prefix")]
    RuleTwice,
    /// A lifecycle rule that cannot be kept as it is.
    #[error(
        "a lifecycle rule has an id of its own of 1 to 255 bytes, a prefix of at most 1024 bytes, 1 to 36500 days or a \
         date before the year 10000, at most 100 versions to keep, and sizes that an object can have; uploads and \
         markers have none"
    )]
    LifecycleRuleInvalid,
    /// No lifecycle rule says that the version goes by now.
    #[error("no lifecycle rule of the bucket says that the version goes by now")]
    NotDue,
    /// There is no rule for this prefix.
    #[error("the bucket has no rule for this prefix")]
    NoSuchRule,
    /// More rules than a bucket has.
    #[error("a bucket has at most {max} rules")]
    TooManyRules {
        /// The limit.
        max: usize,
    },
    /// A rule changes a default retention, and the bucket has none.
    #[error("the bucket has no default retention, which a rule could change")]
    RuleNeedsDefault,
    /// Some keys would be kept for a shorter time by default.
    #[error(
        "some keys would get a shorter default retention; rules that keep less are given when a bucket is made, \
         and what two people can lower is the default of a bucket as a whole"
    )]
    RuleLowers,
    /// The key is unknown, revoked or expired.
    #[error("the key is not, or no longer, one of this vault")]
    UnknownClient,
    /// The key lacks an ordinary right.
    #[error("the key was not given the right {0}")]
    NotGranted(Grant),
    /// The bucket is another client's and not on the key's list, or not on that list although it has one.
    #[error("the bucket is not among those the key may touch in this way")]
    ForeignBucket,
    /// The key's list names only some prefixes of the bucket.
    #[error("the key may only touch some prefixes of the bucket, and this is not one of them")]
    OutsidePrefix,
    /// Only the vault itself asks this.
    #[error("no client may ask this")]
    OnlyVault,
    /// The owner of the bucket may store no more bytes.
    #[error("the quota of {max} bytes of the bucket's owner is used up")]
    QuotaBytes {
        /// The quota.
        max: u64,
    },
    /// The owner of the bucket may store no more versions.
    #[error("the quota of {max} versions of the bucket's owner is used up")]
    QuotaVersions {
        /// The quota.
        max: u64,
    },
    /// The key writes faster than it may.
    #[error("the key writes faster than it may; try again later")]
    TooFast,
}
