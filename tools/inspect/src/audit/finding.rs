//! What an audit finds, each with a name of its own.
//!
//! A breach is something no vault that keeps its rules writes into its log. Its name is part of the JSON
//! report and does not change; its text is for people.

use stele_format::checkpoint::CheckpointError;
use stele_format::sshsig::SignatureError;
use stele_format::statement::{Name, Role, Second, StatementError};
use stele_format::units::{LogIndex, Opening, UnixMillis};
use thiserror::Error;

use crate::limits::FINDING_COUNT_MAX;

macro_rules! breaches {
    ($($(#[$doc:meta])* $variant:ident $(($($field:ty),+))? = $name:literal, $text:literal;)*) => {
        /// What breaks a rule.
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        pub enum Breach {
            $($(#[$doc])* #[error($text)] $variant $(($($field),+))?,)*
        }

        impl Breach {
            /// Every name there is.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name in reports.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }
        }
    };
}

breaches! {
    /// No statement at all.
    Text(StatementError) = "statement-text", "the text is no statement: {0}";
    /// A statement for another vault.
    OtherLog = "statement-other-log", "the statement was made for another vault's log";
    /// The same text again.
    Twice(LogIndex) = "statement-twice", "the same statement already stands in record {0}; each counts once";
    /// A session of another time.
    Session = "session-time", "somebody answers for a change at another time than the wall clock shows";
    /// Not exactly one signature.
    SignatureCount(usize) = "signature-count", "the statement carries {0} signatures where exactly one must stand";
    /// A signature that is none, or of another text.
    Signature(SignatureError) = "signature-invalid", "a signature does not verify: {0}";
    /// A key the person does not have.
    Signer(Name) = "signature-stranger", "the signature is by no key of {0}";
    /// The security key was not touched, or did not ask who touches it.
    Touch = "signature-without-person", "the security key did not confirm that its owner was there (touch and PIN)";
    /// A key in a file where security keys are demanded.
    PlainKey = "plain-key", "a key kept in a file is used or enrolled, and this vault demands security keys";
    /// The statement shows a log this is not.
    Head = "head-unknown", "what was signed shows a state of the log that this log never had";
    /// Nobody of that name.
    Person(Name) = "person-unknown", "there is no person named {0}";
    /// The person may do nothing.
    Inactive(Name) = "person-inactive", "{0} is suspended or removed";
    /// The key may do nothing.
    Key(Name) = "key-inactive", "the key of {0} that signed is suspended or removed";
    /// People before there are any.
    Unfounded = "not-founded", "a statement stands before the founding";
    /// A second founding.
    FoundTwice = "found-twice", "the vault has people already and is founded again";
    /// Too few people.
    FoundSmall = "found-too-small", "the founding names too few people: two officers, two approvers and an operator are needed";
    /// A person did not sign.
    FoundUnsigned(Name) = "found-unsigned", "{0} did not sign the founding";
    /// Nobody may ask for that in this version.
    Later = "act-unknown", "the request is for an act that has no meaning in this version";
    /// A person of that role may not ask for it.
    Requester(Role) = "requester-role", "a person in the role of {0} may not ask for this";
    /// No whole list of that digest.
    ScopeUnknown = "scope-unknown", "no complete list of versions with this digest stands before it";
    /// The list names what does not exist.
    ScopeStranger(u64) = "scope-stranger", "the list names {0} versions that the log does not have";
    /// The number people signed is not that of the list.
    ScopeCount(u64) = "scope-count", "the list has {0} versions, which is not the number that was signed";
    /// The name is in use, or was.
    PersonKnown(Name) = "person-known", "there is or was a person named {0}";
    /// The key is somebody's, or was another's.
    KeyKnown = "key-known", "the key is in use, or was another person's";
    /// Both keys are taken.
    KeysFull(Name) = "keys-full", "{0} has as many keys as a person may have";
    /// More people than there may be.
    PeopleFull = "people-full", "there are as many people as a vault may have, the removed counted";
    /// Not one of the person's keys.
    KeyMissing(Name) = "key-missing", "{0} has no such key";
    /// Nothing to resume.
    NotSuspended(Name) = "not-suspended", "{0} is not suspended, and no key of theirs is";
    /// No such policy, or not that value.
    Policy = "policy-value", "there is no such policy, or it cannot have that value";
    /// A witness of that name or key.
    WitnessKnown = "witness-known", "a witness has or had that name or key, or there are as many as there may be";
    /// No witness of that name.
    WitnessUnknown(Name) = "witness-unknown", "there is no witness named {0}";
    /// Nobody would be left.
    Minimum(Role) = "minimum-set", "fewer people in the role of {0} would be left than a vault must have";
    /// Too many at a time.
    TooManyRequests = "requests-too-many", "as many requests are open as may be at a time";
    /// A list under retention, and nothing said of early deletion.
    RequestRetained(Second) = "request-retained", "the last retention of the list ends at {0}, and the request says nothing of early deletion";
    /// A right that ends too late, or has ended.
    GrantTime = "grant-time", "the right would end in the past, or more than 366 days from now";
    /// A time the clock cannot be set to.
    ClockTime = "clock-time", "the wall clock is not ahead of compliance time, or not by so many hours";
    /// Two at a time.
    ClockAgain = "clock-again", "another request to correct compliance time is open";
    /// No request in that record.
    RequestUnknown(LogIndex) = "request-unknown", "record {0} is no request that counts";
    /// Another text than the request's.
    RequestDigest(LogIndex) = "request-digest", "what was signed is not the text of the request in record {0}";
    /// Vetoed, executed, dead or too old.
    RequestOver(LogIndex, &'static str) = "request-over", "the request in record {0} is {1}";
    /// After its 72 hours.
    ApprovalLate(Second) = "approval-late", "the approval came after {0}, when the request had lapsed";
    /// A person of that role may not approve it.
    ApproverRole(Role) = "approver-role", "a person in the role of {0} may not approve this";
    /// Who asks does not approve.
    ApproverPerson(Name) = "approver-is-requester", "{0} asked for it or approved it already, and may not approve it too";
    /// All of that role are there.
    ApprovalSpare(Role) = "approval-not-needed", "it has every approval it needs by a person in the role of {0}";
    /// Two people of one role.
    ApproverSameRole(Role) = "approver-same-role", "the one who asked is {0} as well";
    /// One key twice.
    ApproverKey = "approver-same-key", "the same key signed twice for one request";
    /// One brought the other in.
    Enrolment(Name, Name) = "enrolled-by-the-other", "{0} brought in {1}, and the two may not decide together";
    /// A key that is too new.
    Quarantine(Name, Second) = "key-quarantine", "the key of {0} is too new to decide about destruction before {1}";
    /// A person of that role may not stop it.
    VetoRole(Role) = "veto-role", "a person in the role of {0} may not veto";
    /// Not enough approvals.
    ExecuteUnapproved(LogIndex) = "execute-unapproved", "the request in record {0} lacks approvals that it needs";
    /// Before the cooling-off is over.
    ExecuteEarly(Second) = "execute-early", "it was executed before {0}, within the cooling-off";
    /// After its 72 hours.
    ExecuteLate(Second) = "execute-late", "it was executed after {0}, when the approval had lapsed";
    /// A person of that role may not start it.
    ExecuteRole(Role) = "execute-role", "a person in the role of {0} may not execute";
    /// Who asked or approved may not any more.
    ExecuteDead(Name) = "execute-dead", "{0} signed for it and was suspended, removed or lost the key since; the request was dead";
    /// A person of that role may not put holds.
    HoldRole(Role) = "hold-role", "a person in the role of {0} may not put a legal hold";
    /// A person of that role may not review.
    ReviewRole(Role) = "review-role", "a person in the role of {0} may not sign the access review";
    /// A piece of a list that does not continue it.
    ListPiece = "list-piece", "a piece of a list does not continue the pieces before it";
    /// Another list than its digest says.
    ListDigest = "list-digest", "a list does not have the digest it is recorded under";
    /// Destruction nobody asked for.
    TombstoneRequest(LogIndex) = "tombstone-without-request", "versions are destroyed, and record {0} is no request for it that counts";
    /// Destruction nobody approved.
    TombstoneUnapproved(LogIndex) = "tombstone-unapproved", "versions are destroyed under request {0}, which was not approved";
    /// Destruction before somebody started it in time.
    TombstoneEarly(LogIndex) = "tombstone-early", "versions are destroyed under request {0} before it was executed";
    /// Destruction under a request that ended otherwise.
    TombstoneOver(LogIndex, &'static str) = "tombstone-over", "versions are destroyed under request {0}, which is {1}";
    /// A piece that does not continue.
    TombstonePiece(LogIndex) = "tombstone-piece", "a tombstone of request {0} does not continue the pieces before it";
    /// Not on the list.
    TombstoneScope(LogIndex) = "tombstone-off-scope", "version {0} is destroyed and not on the approved list";
    /// Nothing to destroy.
    TombstoneTwice(LogIndex) = "tombstone-twice", "version {0} is destroyed a second time";
    /// Nothing of that id.
    TombstoneStranger = "tombstone-stranger", "a version is destroyed that the log does not have";
    /// The retention nobody can overcome.
    TombstoneCompliance(LogIndex, Second) = "tombstone-compliance", "version {0} is destroyed under COMPLIANCE retention until {1}, which was not over for a day";
    /// The retention that a special approval overcomes.
    TombstoneGovernance(LogIndex, Second) = "tombstone-governance", "version {0} is destroyed under GOVERNANCE retention until {1}, which was not over for a day, and the request says nothing of early deletion";
    /// Under legal hold.
    TombstoneHold(LogIndex) = "tombstone-hold", "version {0} is destroyed under legal hold";
    /// Before records that are lost.
    TombstoneDoubted(LogIndex) = "tombstone-doubted", "version {0} is destroyed, which lies before records that the log lost: one of them may have held it or kept it longer";
    /// The keys of a month, where records are lost.
    MonthDoubted = "month-doubted", "all keys of a month are destroyed in a vault whose log lost records: versions that it does not name may have had some of them";
    /// In the shadow of a hold that was just lifted.
    TombstoneRest(LogIndex, Second) = "tombstone-rest", "version {0} is destroyed before {1}, until when the request rests anew since a hold of the version went";
    /// No witness.
    TombstoneWitness = "tombstone-witness", "versions are destroyed, and no witness was heard in the 30 days before";
    /// Another month than people signed.
    TombstoneMonth = "tombstone-month", "the keys of a whole month are cut, and that is not what was approved";
    /// The key of a version that is on no tombstone.
    MonthKeys(LogIndex) = "month-cuts-living", "the keys of a whole month are cut, and version {0}, whose key is among them, is on no tombstone";
    /// Space of what lives is given up.
    TrimLiving(LogIndex) = "trim-living", "segments are given up in which the content of record {0} may lie, and nothing destroyed that";
    /// The journal, or the newest segment; or wiped though nobody gave them up.
    TrimStranger = "trim-stranger", "segments are given up that are the journal's or the newest, or wiped and were not given up before";
    /// Nothing was to be destroyed.
    DestroyedNothing(LogIndex) = "destroyed-nothing", "keys are stated destroyed for request {0}, which has no tombstone";
    /// Tombstones were not complete.
    DestroyedUnfinished(LogIndex) = "destroyed-unfinished", "keys are stated destroyed for request {0} before its last tombstone";
    /// An older key state.
    DestroyedBack = "key-state-back", "the key state is an older one than an earlier destruction states";
    /// Something is stated done that nobody executed, or that was done.
    Enacted(LogIndex) = "enacted-without-leave", "what record {0} asks for is stated done, and it is no executed request that waits for that";
    /// No note that verifies.
    CosignedNote(CheckpointError) = "cosigned-invalid", "what witnesses are said to have cosigned does not verify: {0}";
    /// A note of another vault.
    CosignedOtherLog = "cosigned-other-log", "what witnesses cosigned is a checkpoint of another vault's log";
    /// A log this is not.
    CosignedHead = "cosigned-head", "what witnesses cosigned shows a state of the log that this log never had";
    /// Nothing of a witness of this vault, or nothing new.
    CosignedNothing = "cosigned-nothing", "no witness of this vault says anything in it that it had not said before";
    /// A time that lies ahead.
    CosignedAhead(Name, Second) = "cosigned-ahead", "{0} cosigned at {1}, more than a day ahead of the wall clock";
    /// Another key of the log that nobody executed a request for.
    LogKeyUnapproved(LogIndex) = "log-key-unapproved", "the log gets another key, and record {0} is no executed request for it that waits for that";
    /// The key before did not sign for the one after it.
    LogKeySignature = "log-key-signature", "the log gets another key, and the signature of the one before does not verify";
    /// A key that was not the one in force signed.
    LogKeyStranger = "log-key-stranger", "the log gets another key by one that was not in force";
    /// A key that was asked for or used before.
    LogKeyAgain = "log-key-again", "a key is to sign the log that was asked for, or signed it, before";
    /// A forced opening that nobody asked for and approved right before.
    ForcedUnapproved(LogIndex) = "forced-unapproved", "the vault was forced open, and record {0} is no request for that which was approved right before";
    /// A request for one that nothing follows as it must.
    ForcedAlone = "forced-alone", "a forced opening was asked for, and its approval and its record do not follow, or it was answered otherwise";
    /// A number that was used.
    ForcedNumber(Opening) = "forced-number", "forced opening {0} was used before, or is not the one that was asked for";
    /// For another log.
    ForcedHead = "forced-head", "a forced opening was asked for with another log than the one before it";
    /// Not at the beginning of an epoch far ahead.
    ForcedEpoch = "forced-epoch", "a forced opening begins no epoch, or one that disks it left behind may have used";
    /// With other disks.
    ForcedMembers = "forced-members", "the vault was forced open with other disks than those that two people named";
    /// Giving up other records.
    ForcedMissing = "forced-missing", "the vault was forced open without other records of the log than those that two people named";
    /// Too soon after one.
    ForcedRest(Second) = "forced-rest", "the vault was forced open, and nothing that was protected may be freed before {0}";
    /// A record about nothing.
    VersionUnknown = "version-unknown", "the record is about a version that the log does not have";
    /// A record about something gone.
    VersionDestroyed(LogIndex) = "version-destroyed", "the record changes version {0}, which is destroyed";
    /// Two versions in one place.
    VersionId = "version-id", "a version has an id that belongs to another record";
    /// An unexpired COMPLIANCE retention ends earlier.
    Shortened(LogIndex, Second) = "retention-shortened", "the COMPLIANCE retention of version {0} until {1} was shortened";
    /// An unexpired COMPLIANCE retention becomes another.
    Lowered(LogIndex, Second) = "mode-lowered", "the COMPLIANCE mode of version {0}, in force until {1}, was lowered";
    /// An unexpired GOVERNANCE retention becomes less.
    Governance(LogIndex, Second) = "governance-lowered", "the GOVERNANCE retention of version {0} until {1} was shortened or lifted, and nobody has a right to that";
    /// A hold goes.
    HoldLifted(LogIndex) = "hold-lifted", "the legal hold of version {0} was lifted, and nobody has a right to that";
    /// A locked version leaves the view of clients.
    Released(LogIndex) = "locked-released", "version {0} left S3 by a client or a lifecycle rule while it was locked";
    /// Time.
    ClockBack(Second) = "clock-back", "the compliance clock went back behind {0}, which it had reached";
    /// Time.
    ClockUnapproved = "clock-unapproved", "compliance time was set forward, and nobody approved it";
    /// Time.
    ClockBeyond(u64) = "clock-beyond", "compliance time was set forward by more than the {0} hours that were approved, or beyond the wall clock";
    /// Time.
    ClockSimulated = "clock-simulated", "compliance time was set as in a vault with a simulated clock, which this is not";
    /// Time.
    ClockBefore = "clock-before", "a clock record states another time before it than the log has";
}

/// A breach and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record.
    pub index: LogIndex,
    /// What is wrong with it.
    pub breach: Breach,
}

/// Something to look at that breaks no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The record.
    pub index: LogIndex,
    /// Its name in reports.
    pub name: &'static str,
    /// For people.
    pub what: String,
}

/// A list with a limit; what exceeds it is counted.
#[derive(Debug, Clone)]
pub struct Capped<T> {
    /// The first of them.
    pub items: Vec<T>,
    /// How many more.
    pub left_out: u64,
}

impl<T> Default for Capped<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            left_out: 0,
        }
    }
}

impl<T> Capped<T> {
    /// Adds one.
    pub fn push(&mut self, item: T) {
        if self.items.len() < FINDING_COUNT_MAX {
            self.items.push(item);
        } else {
            self.left_out += 1;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many there are, listed or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.items.len() as u64 + self.left_out
    }
}

/// The second a time lies in, as people read it; times beyond the year 9999 are shown as its last second.
#[must_use]
pub fn second(time: UnixMillis) -> Second {
    Second::of(time).unwrap_or_else(last_second)
}

fn last_second() -> Second {
    let end = stele_format::limits::STATEMENT_SECONDS_END - 1;
    Second::new(end).unwrap_or_else(|| Second::of(UnixMillis::ZERO).expect("1970 is a second"))
}
