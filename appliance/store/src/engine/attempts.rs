//! What was tried and refused, gathered for the log; and clients that delete as if in a hurry.
//!
//! Whoever tries decides how often, so what is written is bounded by time and not by tries: attempts are counted
//! by kind, asker and bucket in a table of a fixed size, and all of it goes into one record, at once for a kind
//! that was not seen for an hour, else a minute after the first. What was counted and not yet written is lost with
//! the power; a clean stop writes it. These records take nothing of the reserve.

use std::collections::BTreeMap;

use stele_format::digest::Digest;
use stele_format::record::{Attempt, Attempted, Body, ClientTag, RecordType, VersionRef};
use stele_format::statement::{Kind, Statement};
use stele_format::units::{BucketId, UnixMillis};

use super::requests::Pending;
use super::view::{Gathered, View};
use super::{Engine, StopState};
use crate::draft::Draft;
use crate::limits::{
    ATTEMPT_COUNT_MAX, ATTEMPT_GATHER_MS, ATTEMPT_KIND_FRESH_MS, DELETE_RATE_MAX,
    DELETE_RATE_SLOT_MS, DELETE_RATE_SLOTS, METER_COUNT_MAX,
};
use crate::policy::approval::{Approvals, verified};
use crate::policy::lifecycle::takes_versions;
use crate::policy::{Asker, Refusal as No};
use crate::request::{Command, ObjectName, Refusal, RequestId};

/// What was tried and why it was refused, in the words of the log.
type Words = (&'static str, &'static str);

/// What was not written yet, and what the rates of deletes are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts {
    gathered: Vec<Attempt>,
    /// When each kind was last written at once.
    told: BTreeMap<&'static str, UnixMillis>,
    /// A kind that was not seen for long is among what is gathered.
    urgent: bool,
    deletes: BTreeMap<String, DeleteMeter>,
}

impl Attempts {
    /// Counts attempts.
    fn note(&mut self, by: Attempted, (what, why): Words, count: u64, now: UnixMillis) {
        let last = self.told.get(what);
        let fresh =
            last.is_none_or(|last| now.get() - last.get().min(now.get()) >= ATTEMPT_KIND_FRESH_MS);
        if fresh {
            self.told.insert(what, now);
            self.urgent = true;
        }
        let known = |one: &Attempt| one.what == what && one.why == why && is_same(&one.by, &by);
        let known = self.gathered.iter().position(known);
        let full = self.gathered.len() >= ATTEMPT_COUNT_MAX;
        let more = |one: &Attempt| one.what == what && one.by == Attempted::More;
        let at = match known {
            None if full => self.gathered.iter().position(more),
            known => known,
        };
        if let Some(attempt) = at.and_then(|at| self.gathered.get_mut(at)) {
            attempt.count += count;
            attempt.last_ms = attempt.last_ms.max(now);
            return;
        }
        // Beyond the limit there is one entry for each kind.
        let (by, why) = if full {
            (Attempted::More, "more")
        } else {
            (by, why)
        };
        self.gathered.push(Attempt {
            by,
            what: what.to_owned(),
            why: why.to_owned(),
            count,
            first_ms: now,
            last_ms: now,
        });
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        let oldest = self.gathered.first().map(|attempt| attempt.first_ms.get());
        oldest.is_some_and(|oldest| {
            self.urgent || now.get().saturating_sub(oldest) >= ATTEMPT_GATHER_MS
        })
    }

    fn take(&mut self) -> Vec<Attempt> {
        self.urgent = false;
        std::mem::take(&mut self.gathered)
    }

    /// Counts a delete of a client; says how many there were within an hour, if that is to be told.
    fn deleted(&mut self, key_id: &str, now: UnixMillis) -> Option<u64> {
        if self.deletes.len() >= METER_COUNT_MAX && !self.deletes.contains_key(key_id) {
            let idle = self.deletes.iter().min_by_key(|(_, meter)| meter.slot);
            if let Some(idle) = idle.map(|(key_id, _)| key_id.clone()) {
                self.deletes.remove(&idle);
            }
        }
        let meter = self.deletes.entry(key_id.to_owned()).or_default();
        meter.count(now)
    }
}

/// Whether two attempts are counted together: what they were about first is not compared.
fn is_same(one: &Attempted, other: &Attempted) -> bool {
    use Attempted::{Client, Statement};
    match (one, other) {
        (
            Client { client, bucket, .. },
            Client {
                client: client_b,
                bucket: bucket_b,
                ..
            },
        ) => client == client_b && bucket == bucket_b,
        (
            Statement {
                person,
                fingerprint,
                ..
            },
            Statement {
                person: person_b,
                fingerprint: key_b,
                ..
            },
        ) => person == person_b && fingerprint == key_b,
        (one, other) => one == other,
    }
}

/// Deletes of one client in the last hour, by slots of it.
#[derive(Debug, Clone, Default)]
struct DeleteMeter {
    slots: [u64; DELETE_RATE_SLOTS],
    /// The newest slot, counted from 1970.
    slot: u64,
    told: Option<UnixMillis>,
}

impl DeleteMeter {
    fn count(&mut self, now: UnixMillis) -> Option<u64> {
        let slots = DELETE_RATE_SLOTS as u64;
        let slot = now.get() / DELETE_RATE_SLOT_MS;
        for passed in 0..slot.saturating_sub(self.slot).min(slots) {
            self.slots[place(slot - passed)] = 0;
        }
        self.slot = self.slot.max(slot);
        self.slots[place(self.slot)] += 1;
        let sum = self.slots.iter().sum();
        let hour = slots * DELETE_RATE_SLOT_MS;
        let told = self
            .told
            .is_some_and(|told| now.get().saturating_sub(told.get()) < hour);
        if sum <= DELETE_RATE_MAX || told {
            return None;
        }
        self.told = Some(now);
        Some(sum)
    }
}

fn place(slot: u64) -> usize {
    usize::try_from(slot % DELETE_RATE_SLOTS as u64).unwrap_or(0)
}

impl Engine {
    /// Refuses a question that was taken in, and counts it if it is one for the log.
    pub(super) fn refuse(&mut self, id: RequestId, refusal: Refusal) {
        if let Some(Pending {
            asker,
            command,
            gathered,
            ..
        }) = self.pending.get(&id).map(Box::as_ref)
        {
            let noted = self.attempt(asker, command, &refusal, Some(gathered));
            self.gather(noted);
        }
        self.finish(id, Err(refusal));
    }

    /// The same of a question that was refused before anything was looked up.
    pub(super) fn note_refusal_of(&mut self, asker: &Asker, command: &Command, refusal: &Refusal) {
        let noted = self.attempt(asker, command, refusal, None);
        self.gather(noted);
    }

    fn gather(&mut self, noted: Option<(Attempted, Words)>) {
        if let Some((by, words)) = noted {
            self.attempts.note(by, words, 1, self.clock.latest());
        }
    }

    fn attempt(
        &self,
        asker: &Asker,
        command: &Command,
        refusal: &Refusal,
        gathered: Option<&Gathered>,
    ) -> Option<(Attempted, Words)> {
        if let Command::State {
            text, signatures, ..
        } = command
        {
            let why = statement_word(refusal)?;
            let approvals = &self.desk.approvals;
            let (by, what) = brought(approvals, text, signatures);
            return Some((by, (what, why)));
        }
        let Refusal::Policy(no) = refusal else {
            return None;
        };
        let words = client_words(command, no)?;
        let client = asker.client()?;
        let name = bucket_of(command)?;
        let bucket = self.bucket_named(name);
        let first = gathered.and_then(|gathered| self.subject(command, bucket?, gathered));
        let by = Attempted::Client {
            client: ClientTag::new(&client.key_id).unwrap_or_default(),
            bucket: bucket.unwrap_or_default(),
            first: first.unwrap_or_default(),
        };
        Some((by, words))
    }

    /// The version a refused question was about, by what was looked up to refuse it.
    fn subject(
        &self,
        command: &Command,
        bucket: BucketId,
        gathered: &Gathered,
    ) -> Option<VersionRef> {
        let (name, version) = version_of(command)?;
        let view = View::new(&self.memtable, gathered);
        let row = view.name(bucket, &name.key).ok()??;
        let current = row.current.map(|current| current.version);
        Some(VersionRef {
            object: row.object,
            version: version.or(current)?,
        })
    }

    /// What a client did is durable: deletes are counted, and rules by which versions go are told of.
    pub(super) fn note_act(&mut self, id: RequestId) {
        let Some(pending) = self.pending.get(&id) else {
            return;
        };
        let now = self.clock.latest();
        let key_id = match (pending.asker.client(), &pending.command) {
            (Some(client), Command::Delete { .. }) => client.key_id.clone(),
            (Some(client), Command::SetLifecycle { rules, .. })
                if rules.iter().any(takes_versions) =>
            {
                self.alarms.lifecycle_set(&client.key_id, now);
                return;
            }
            _ => return,
        };
        let Some(count) = self.attempts.deleted(&key_id, now) else {
            return;
        };
        self.alarms.delete_rate(&key_id, count, now);
        let client = ClientTag::new(&key_id).unwrap_or_default();
        let by = Attempted::Deletes { client };
        self.attempts.note(by, ("deletes", "rate"), count, now);
    }

    /// Writes what was gathered, when it is time and there is room that clients may take.
    pub(super) fn write_attempts(&mut self) {
        if self.attempts.gathered.is_empty() {
            return;
        }
        let stops = self.stop == StopState::Draining;
        let due = stops || self.attempts.is_due(self.clock.latest());
        let may = matches!(self.stop, StopState::Running | StopState::Draining)
            && self.read_only.is_none()
            && !self.index_lost
            && !self.journal.is_full()
            && self.pool.has_room_for_data();
        if !due || !may {
            return;
        }
        let body = Body::Refused(self.attempts.take());
        self.journal
            .push_own(Draft::of_engine(RecordType::Refused, body));
    }
}

/// What a client tried to do to something locked, if it was that.
fn client_words(command: &Command, no: &No) -> Option<Words> {
    let unreached = match no {
        No::NotGranted(_) => Some("not-granted"),
        No::ForeignBucket => Some("foreign-bucket"),
        No::OutsidePrefix => Some("outside-prefix"),
        _ => None,
    };
    match (command, no) {
        (Command::Delete { .. } | Command::SetRetention { .. }, No::NeedsRight(_)) => {
            Some(("bypass-governance", "right-missing"))
        }
        (Command::Delete { version, .. }, No::Locked { .. }) => {
            version.map(|_| ("delete-version", "locked"))
        }
        (Command::Delete { version, .. }, No::Held) => version.map(|_| ("delete-version", "held")),
        (Command::Delete { version, .. }, _) => version
            .and(unreached)
            .map(|unreached| ("delete-version", unreached)),
        (Command::SetRetention { .. }, No::Weaker { .. }) => Some(("shorten-retention", "locked")),
        (Command::SetRetention { bypass: true, .. }, _) => {
            unreached.map(|unreached| ("bypass-governance", unreached))
        }
        (Command::SetHold { on: false, .. }, No::NeedsRight(_)) => {
            Some(("lift-hold", "right-missing"))
        }
        (Command::SetHold { on: false, .. }, _) => {
            unreached.map(|unreached| ("lift-hold", unreached))
        }
        (Command::SetDefaultRetention { .. }, No::NeedsRight(_)) => {
            Some(("lower-default", "right-missing"))
        }
        _ => None,
    }
}

fn bucket_of(command: &Command) -> Option<&str> {
    match command {
        Command::SetDefaultRetention { bucket, .. } => Some(bucket),
        command => version_of(command).map(|(name, _)| name.bucket.as_str()),
    }
}

fn version_of(command: &Command) -> Option<(&ObjectName, Option<stele_format::units::VersionId>)> {
    match command {
        Command::Delete { name, version, .. }
        | Command::SetRetention { name, version, .. }
        | Command::SetHold { name, version, .. } => Some((name, *version)),
        _ => None,
    }
}

/// Why a statement did not count; none where that says nothing of the statement.
fn statement_word(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::Statement(refusal) => Some(refusal.word()),
        Refusal::ScopeKept { .. } => Some("list-kept"),
        Refusal::ScopeDiffers => Some("list-differs"),
        Refusal::BadScope => Some("list-unknown"),
        Refusal::KeyStateFull => Some("key-state-full"),
        Refusal::MonthNotOver => Some("month-not-over"),
        Refusal::ClockSuspends => Some("clock-suspends"),
        _ => None,
    }
}

/// Who brought a statement, as far as it shows, and what it was. A name counts only if a person has it, a key
/// only if it signed: nobody writes words of their own into the log.
fn brought(approvals: &Approvals, text: &str, signatures: &[Vec<u8>]) -> (Attempted, &'static str) {
    let parsed = Statement::parse(text).ok();
    let what = match parsed.as_ref().map(Statement::kind) {
        None => "unreadable",
        Some(Kind::Request(request)) => request.act.name(),
        Some(kind) => kind.name(),
    };
    let person = parsed.as_ref().and_then(Statement::by);
    let person = person.filter(|name| approvals.people().get(name).is_some());
    let first = signatures.get(..1).unwrap_or_default();
    let signed = verified(text, first).ok();
    let signed = signed.and_then(|(_, keys)| keys.first().map(|key| key.key().fingerprint()));
    let by = Attempted::Statement {
        person: person.map(ToString::to_string).unwrap_or_default(),
        fingerprint: signed.unwrap_or_default(),
        first: Digest::of(text.as_bytes()),
    };
    (by, what)
}

#[cfg(test)]
mod tests;
