//! What was tried and refused, summed up over the whole log.

use std::collections::BTreeMap;

use serde::Serialize;
use stele_format::record::{Attempt, Attempted, RecordHeader};
use stele_format::units::{LogIndex, UnixMillis};

use super::Auditor;
use super::finding::second;
use crate::limits::FINDING_COUNT_MAX;

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    what: String,
    why: String,
    client: Option<String>,
    bucket: Option<String>,
    person: Option<String>,
    fingerprint: Option<String>,
}

#[derive(Debug, Clone)]
struct Sum {
    count: u64,
    first: UnixMillis,
    last: UnixMillis,
    index: LogIndex,
    version: Option<LogIndex>,
    text: Option<String>,
}

/// Sums of attempts.
#[derive(Debug, Default)]
pub struct Tries {
    sums: BTreeMap<Key, Sum>,
    left_out: u64,
}

/// Attempts of one kind by one asker.
#[derive(Debug, Serialize)]
pub struct RefusedLine {
    /// What was tried.
    pub what: String,
    /// Why it was refused.
    pub why: String,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: String,
    /// The last time.
    pub last: String,
    /// The first record that tells.
    pub index: u64,
    /// The access key of the client; none if it was a statement, or more askers than a record names.
    pub client: Option<String>,
    /// The bucket.
    pub bucket: Option<String>,
    /// The record of the version that was tried first.
    pub version: Option<u64>,
    /// Whom the statement names.
    pub person: Option<String>,
    /// The key that signed it.
    pub key: Option<String>,
    /// BLAKE3 of the text that was brought first.
    pub text: Option<String>,
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn key_of(attempt: &Attempt) -> Key {
    let mut key = Key {
        what: attempt.what.clone(),
        why: attempt.why.clone(),
        client: None,
        bucket: None,
        person: None,
        fingerprint: None,
    };
    match &attempt.by {
        Attempted::Client { client, bucket, .. } => {
            key.client = some(&client.text());
            key.bucket = (!bucket.is_zero()).then(|| bucket.to_string());
        }
        Attempted::Statement {
            person,
            fingerprint,
            ..
        } => {
            key.person = some(person);
            key.fingerprint = some(fingerprint);
        }
        Attempted::More | Attempted::Deletes { .. } => {}
    }
    key
}

impl Tries {
    fn take(&mut self, index: LogIndex, attempt: &Attempt) {
        let key = key_of(attempt);
        if self.sums.len() >= FINDING_COUNT_MAX && !self.sums.contains_key(&key) {
            self.left_out = self.left_out.saturating_add(attempt.count);
            return;
        }
        let sum = self
            .sums
            .entry(key)
            .or_insert_with(|| first(index, attempt));
        sum.count = sum.count.saturating_add(attempt.count);
        sum.first = sum.first.min(attempt.first_ms);
        sum.last = sum.last.max(attempt.last_ms);
    }

    /// Attempts that are counted and not listed.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// As they are reported.
    pub(super) fn lines(&self) -> Vec<RefusedLine> {
        let line = |(key, sum): (&Key, &Sum)| RefusedLine {
            what: key.what.clone(),
            why: key.why.clone(),
            count: sum.count,
            first: second(sum.first).to_string(),
            last: second(sum.last).to_string(),
            index: sum.index.get(),
            client: key.client.clone(),
            bucket: key.bucket.clone(),
            version: sum.version.map(LogIndex::get),
            person: key.person.clone(),
            key: key.fingerprint.clone(),
            text: sum.text.clone(),
        };
        self.sums.iter().map(line).collect()
    }
}

fn first(index: LogIndex, attempt: &Attempt) -> Sum {
    let (mut version, mut text) = (None, None);
    match &attempt.by {
        Attempted::Client { first, .. } if !first.version.is_zero() => {
            version = Some(first.version.ordinal());
        }
        Attempted::Statement { first, .. } => text = Some(first.to_string()),
        _ => {}
    }
    Sum {
        count: 0,
        first: attempt.first_ms,
        last: attempt.last_ms,
        index,
        version,
        text,
    }
}

impl Auditor {
    pub(super) fn take_refused(&mut self, header: &RecordHeader, attempts: &[Attempt]) {
        for attempt in attempts {
            if let Attempted::Deletes { client } = &attempt.by {
                let what = format!(
                    "client key {client} deleted {} times within an hour; nothing is destroyed by it",
                    attempt.count
                );
                self.alarm(header.log_index, "delete-rate", what);
            } else {
                self.tries.take(header.log_index, attempt);
            }
        }
    }
}
