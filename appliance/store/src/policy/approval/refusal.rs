//! Why a statement does not count.

use stele_format::sshsig::SignatureError;
use stele_format::statement::{Name, Role, StatementError};
use stele_format::units::{LogIndex, Opening, UnixMillis};

use crate::policy::limits::WITNESS_COUNT_MAX;
use crate::policy::words::utc;

/// Why a statement does not count: what, why and, where there is a date, until when. Carries names of
/// people and no names of objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementRefusal {
    /// The text is none.
    #[error("the text is no statement: {0}")]
    Text(#[from] StatementError),
    /// A signature is none, or of something else.
    #[error("a signature does not count: {0}")]
    Signature(#[from] SignatureError),
    /// A signature was verified over another text.
    #[error("a signature is of another text")]
    OtherText,
    /// The statement names another log.
    #[error("the statement is for another vault's log")]
    OtherLog,
    /// The same text was recorded before.
    #[error("the statement was used before; draft a new one")]
    Used,
    /// The vault does not have the private half of the key that its log is to get.
    #[error("the vault did not make that key for its log; draft the request at the vault")]
    LogKeyUnknown,
    /// Another request asked for the same key of the log.
    #[error("another request asked for that key of the log; draft a new one")]
    LogKeyAsked,
    /// Not the answer to this challenge, or too late.
    #[error("this does not answer the challenge that was given, or comes too late")]
    NoSession,
    /// Nobody was founded.
    #[error("the vault has no people yet; a founding comes first")]
    NotFounded,
    /// The vault has people already.
    #[error("the vault has people already; they change by requests")]
    Founded,
    /// One person signs, with one key.
    #[error("the statement must be signed once, by one key of the person it names")]
    OneSigner,
    /// A founding lacks the signature of somebody it names, or has one of somebody else.
    #[error("a founding is signed by everybody it names, and nobody else; {0} did not sign")]
    FoundingUnsigned(Name),
    /// A founding is signed by a key that it does not name.
    #[error("a founding is signed by a key that it does not name")]
    FoundingStranger,
    /// No such person.
    #[error("{0} is not a person of this vault")]
    Unknown(Name),
    /// The key that signed is none of the person's.
    #[error("the key that signed is none of {0}'s")]
    ForeignKey(Name),
    /// The person or the key is suspended or was removed.
    #[error("{0}, or the key that signed, is suspended or was removed")]
    Inactive(Name),
    /// The security key was not touched, or did not ask who touches it.
    #[error("the security key must be touched and must verify who touches it (PIN or finger)")]
    NotVerified,
    /// A key that is a file.
    #[error("only security keys count in this vault")]
    PlainKey,
    /// The role may not do this.
    #[error("{role} {person} may not {what} this")]
    WrongRole {
        /// Who.
        person: Name,
        /// As what.
        role: Role,
        /// What was tried: `request`, `approve`, `veto`, `execute`, `state`.
        what: &'static str,
    },
    /// Enough of this role have approved.
    #[error("no further approval by an {0} is needed")]
    NotNeeded(Role),
    /// Requester and approver are one person.
    #[error("{0} signed this request before; somebody else must approve")]
    SamePerson(Name),
    /// One of the two brought the other in.
    #[error("{one} took part in enrolling {other}, so they cannot approve together")]
    Enrolled {
        /// Who signed for the other.
        one: Name,
        /// Who was enrolled.
        other: Name,
    },
    /// The key is too new for destruction.
    #[error("the key was enrolled too recently to approve or execute this until {}", utc(*.until))]
    Quarantined {
        /// Until when.
        until: UnixMillis,
    },
    /// No such request.
    #[error("record {0} is no request")]
    NoRequest(LogIndex),
    /// The answer cites another text than the request's.
    #[error("the answer is to another text than that of request {0}")]
    DigestDiffers(LogIndex),
    /// The request is not waiting for this.
    #[error("request {request} is {phase}, so it cannot be answered like this")]
    WrongPhase {
        /// Which.
        request: LogIndex,
        /// What it is.
        phase: &'static str,
    },
    /// The request waits for approvals no more.
    #[error("request {request} could be approved until {} and no longer", utc(*.until))]
    ApprovalLate {
        /// Which.
        request: LogIndex,
        /// When it ended.
        until: UnixMillis,
    },
    /// It is too early.
    #[error("request {request} may be executed from {} on", utc(*.from))]
    Cooling {
        /// Which.
        request: LogIndex,
        /// When it may be executed.
        from: UnixMillis,
    },
    /// It is too late.
    #[error("request {request} could be executed until {} and no longer", utc(*.until))]
    ExecutionLate {
        /// Which.
        request: LogIndex,
        /// When it ended.
        until: UnixMillis,
    },
    /// Too much is open.
    #[error("{max} requests wait already")]
    TooManyRequests {
        /// The limit.
        max: usize,
    },
    /// The act belongs to a later version.
    #[error("`{0}` is not in this version")]
    NotInThisVersion(&'static str),
    /// The vault is open.
    #[error(
        "a forced opening is not asked for in a vault that is served: `stele force-open` drafts it for one that is not"
    )]
    NoForcedOpening,
    /// It was signed for another state of the log.
    #[error(
        "the forced opening was signed for another state of the log than the one that is here; draft a new one"
    )]
    ForcedHead,
    /// Its number was used.
    #[error(
        "the vault was forced open {used} times; forced opening {opening} was, or counts for nothing now"
    )]
    ForcedNumber {
        /// What the request names.
        opening: Opening,
        /// The highest number that was used.
        used: Opening,
    },
    /// It is approved with nothing between, and that is all.
    #[error(
        "a forced opening is approved right behind its request, and neither vetoed nor executed"
    )]
    ForcedAlone,
    /// Keys are not cut by month in a log that lost records.
    #[error(
        "records in the middle of the log are lost, and versions of them are on no list: ask for `cut leaves`, which cuts \
         the keys of the list alone"
    )]
    MonthDoubted,
    /// Nothing frees soon after a forced opening.
    #[error("the vault was forced open: nothing is destroyed, lifted or lowered before {}", utc(*.until))]
    AfterForcedOpening {
        /// From when on it may.
        until: UnixMillis,
    },
    /// It was drafted for a log longer than ours.
    #[error("the statement names a log of {size} records, and this one has fewer")]
    HeadAhead {
        /// What it names.
        size: u64,
    },
    /// The list of versions was not recorded.
    #[error("no list of versions with this digest was recorded")]
    ScopeUnknown,
    /// The statement counts differently than its list.
    #[error("the list of versions has {recorded} entries, the statement says {stated}")]
    ScopeCount {
        /// Entries that were recorded.
        recorded: u64,
        /// What the statement says.
        stated: u64,
    },
    /// A retention still runs.
    #[error("a retention in the list runs until {}", utc(*.until))]
    RetentionRuns {
        /// Until when.
        until: UnixMillis,
    },
    /// A time that must lie ahead and not too far, does not.
    #[error("the end of the rights must lie ahead, at most {max_days} days")]
    GrantTime {
        /// The limit.
        max_days: u64,
    },
    /// Compliance time goes forward only, and not beyond the wall clock.
    #[error(
        "compliance time can only be set forward, by no more hours than the wall clock is ahead of it"
    )]
    ClockTime,
    /// A second one would make up for the same hours once more.
    #[error("another request to correct compliance time is open; execute or veto that one first")]
    ClockAsked,
    /// The name was used before.
    #[error("{0} is, or was, a person of this vault")]
    NameTaken(Name),
    /// The key was used before.
    #[error("the key is, or was, one of this vault")]
    KeyTaken,
    /// The person has as many keys as a person may have.
    #[error("{0} has as many keys as a person may have")]
    KeysFull(Name),
    /// Nothing about the person can be undone.
    #[error("{0} is not suspended, and none of their keys is")]
    NotSuspended(Name),
    /// Too few would be left.
    #[error("at least {min} active {role}s must be left")]
    BelowMinimum {
        /// Of which role.
        role: Role,
        /// How many.
        min: u64,
    },
    /// The vault has as many persons as it may have.
    #[error("the vault knows {max} persons, which is the limit")]
    TooManyPersons {
        /// The limit.
        max: usize,
    },
    /// A witness that cannot be added.
    #[error(
        "the name or the key is, or was, that of a witness of this vault, or there are {} witnesses already",
        WITNESS_COUNT_MAX
    )]
    Witness,
    /// No such witness.
    #[error("there is no such witness")]
    NoWitness,
    /// No such policy, or not with this value.
    #[error("there is no such policy, or it cannot have this value here")]
    Policy,
}

impl StatementRefusal {
    /// The reason in one word, as the log has it; words do not change.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Signature(_) => "signature",
            Self::OtherText => "other-text",
            Self::OtherLog => "other-log",
            Self::Used => "used",
            Self::NoSession => "no-session",
            Self::NotFounded => "not-founded",
            Self::Founded => "founded",
            Self::OneSigner => "one-signer",
            Self::FoundingUnsigned(_) => "founding-unsigned",
            Self::FoundingStranger => "founding-stranger",
            Self::Unknown(_) => "unknown",
            Self::ForeignKey(_) => "foreign-key",
            Self::Inactive(_) => "inactive",
            Self::NotVerified => "not-verified",
            Self::PlainKey => "plain-key",
            Self::WrongRole { .. } => "wrong-role",
            Self::NotNeeded(_) => "not-needed",
            Self::SamePerson(_) => "same-person",
            Self::Enrolled { .. } => "enrolled",
            Self::Quarantined { .. } => "quarantined",
            Self::NoRequest(_) => "no-request",
            Self::DigestDiffers(_) => "digest-differs",
            Self::WrongPhase { .. } => "wrong-phase",
            Self::ApprovalLate { .. } => "approval-late",
            Self::Cooling { .. } => "cooling",
            Self::ExecutionLate { .. } => "execution-late",
            Self::TooManyRequests { .. } => "too-many-requests",
            Self::NotInThisVersion(_) => "not-in-this-version",
            Self::HeadAhead { .. } => "head-ahead",
            Self::ScopeUnknown => "list-unknown",
            Self::ScopeCount { .. } => "list-count",
            Self::RetentionRuns { .. } => "retention-runs",
            Self::GrantTime { .. } => "grant-time",
            Self::ClockTime => "clock-time",
            Self::ClockAsked => "clock-asked",
            Self::NameTaken(_) => "name-taken",
            Self::KeyTaken => "key-taken",
            Self::KeysFull(_) => "keys-full",
            Self::NotSuspended(_) => "not-suspended",
            Self::BelowMinimum { .. } => "below-minimum",
            Self::TooManyPersons { .. } => "too-many-persons",
            Self::Policy => "policy",
            Self::NoForcedOpening => "no-forced-opening",
            Self::ForcedHead => "forced-head",
            Self::ForcedNumber { .. } => "forced-number",
            Self::ForcedAlone => "forced-alone",
            Self::MonthDoubted => "month-doubted",
            Self::AfterForcedOpening { .. } => "after-forced-opening",
            Self::Witness => "witness",
            Self::LogKeyUnknown => "log-key-unknown",
            Self::LogKeyAsked => "log-key-asked",
            Self::NoWitness => "no-witness",
        }
    }
}
