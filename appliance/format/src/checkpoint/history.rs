//! Which key signs the log at which size.

use core::fmt;

use crate::record::KeyChange;
use crate::units::Opening;

use super::{Checkpoint, CheckpointError, LogKey, Origin, UnverifiedCheckpoint, parse_decimal};

/// What a record of the log does to who signs it, and under which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTurn {
    /// Another key signs.
    Key(KeyChange),
    /// The log goes on under another name, after a forced opening.
    Opening(Opening),
}

/// A key of a log, and from how many records on it counts. `Display` prints what people keep: the key, and for
/// one that came later `@` and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFrom {
    /// The key.
    pub key: LogKey,
    /// The smallest log whose checkpoints it signs; 0 for the first key.
    pub from: u64,
}

impl KeyFrom {
    /// Reads exactly what `Display` prints.
    ///
    /// # Errors
    /// When it is no key of a vault's log, or no number follows the `@`.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let (key, from) = match text.split_once('@') {
            None => (text, 0),
            Some((key, from)) => {
                let from = parse_decimal(from).filter(|from| *from > 0);
                (key, from.ok_or(CheckpointError::Key)?)
            }
        };
        let key = LogKey::parse(key)?;
        Ok(Self { key, from })
    }
}

impl fmt::Display for KeyFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            0 => write!(f, "{}", self.key),
            from => write!(f, "{}@{from}", self.key),
        }
    }
}

/// The keys of one log, one after the other. At every size exactly one of them counts under each name of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHistory(Vec<KeyFrom>);

impl From<&LogKey> for KeyHistory {
    fn from(key: &LogKey) -> Self {
        let key = *key;
        Self(vec![KeyFrom { key, from: 0 }])
    }
}

impl From<&KeyHistory> for KeyHistory {
    fn from(keys: &KeyHistory) -> Self {
        keys.clone()
    }
}

impl KeyHistory {
    /// These keys, in any order.
    ///
    /// # Errors
    /// When there are none, they are of different logs, two begin at one size, or a name comes back.
    pub fn new(mut keys: Vec<KeyFrom>) -> Result<Self, CheckpointError> {
        keys.sort_by_key(|one| one.from);
        let first = keys.first().ok_or(CheckpointError::Key)?.key.origin();
        if keys
            .iter()
            .any(|one| one.key.origin().pool() != first.pool())
        {
            return Err(CheckpointError::OtherLog);
        }
        let opening = |one: &KeyFrom| one.key.origin().opening();
        let mut pairs = keys.iter().zip(keys.iter().skip(1));
        if pairs.any(|(one, next)| one.from == next.from || opening(one) > opening(next)) {
            return Err(CheckpointError::Key);
        }
        Ok(Self(keys))
    }

    /// The same, with the keys that records of the log name after the last of them: each by its record's index, and
    /// signed for by the key before. What others signed for is left out. A forced opening leaves the key as it is and
    /// renames the log.
    #[must_use]
    pub fn followed(mut self, turns: &[(u64, LogTurn)]) -> Self {
        for (record, turn) in turns {
            let Some(last) = self.0.last().copied() else {
                break;
            };
            let origin = last.key.origin();
            let next = match turn {
                LogTurn::Key(change) => {
                    let changed = change.verify(origin).ok();
                    changed.and_then(|(old, new)| (old == last.key).then_some(new))
                }
                LogTurn::Opening(opening) => {
                    (*opening > origin.opening()).then(|| last.key.after(*opening))
                }
            };
            if let Some(key) = next
                && *record >= last.from
            {
                let from = record + 1;
                self.0.push(KeyFrom { key, from });
            }
        }
        self
    }

    /// All of them, the first one first.
    #[must_use]
    pub fn keys(&self) -> &[KeyFrom] {
        &self.0
    }

    /// The key that counts for a log of this name and size; none if it is older than all that are known.
    #[must_use]
    pub fn key_at(&self, origin: Origin, size: u64) -> Option<&LogKey> {
        let mut known = self.of(origin).rev();
        known.find(|one| one.from <= size).map(|one| &one.key)
    }

    fn of(&self, origin: Origin) -> impl DoubleEndedIterator<Item = &KeyFrom> {
        let known = self.0.iter();
        known.filter(move |one| one.key.origin() == origin)
    }

    /// What a checkpoint says, if the key that counts at its size signed it. Of a log that was forced open since all
    /// these keys were known, if the last of them signed that too.
    ///
    /// # Errors
    /// As [`UnverifiedCheckpoint::verify`]; [`CheckpointError::Retired`] if only a key signed it that counts no
    /// more, or not yet.
    pub fn verify(&self, note: &UnverifiedCheckpoint) -> Result<Checkpoint, CheckpointError> {
        let Checkpoint { size, origin, .. } = *note.claims();
        if let Some(last) = self.0.last()
            && self.of(origin).next().is_none()
        {
            return note.verify_linked(&last.key);
        }
        let key = self.key_at(origin, size).ok_or(CheckpointError::Unsigned)?;
        match note.verify(key) {
            Err(CheckpointError::Unsigned)
                if self.0.iter().any(|one| note.verify(&one.key).is_ok()) =>
            {
                Err(CheckpointError::Retired { size })
            }
            verified => verified,
        }
    }
}
