//! The keys that sign the log, one after the other: each is named by people and signed for by the one before.

use stele_format::checkpoint::{KeyFrom, LogKey};
use stele_format::record::{KeyChange, RecordHeader};
use stele_format::statement::{Act, LogPublic};
use stele_format::units::LogIndex;

use super::Auditor;
use super::finding::Breach;
use super::requests::State;

impl Auditor {
    /// Another key signs from this record on.
    pub(super) fn take_log_key(&mut self, header: &RecordHeader, change: &KeyChange) {
        match self.check_log_key(header.log_index, change) {
            Ok(keys) => self.log_keys = keys,
            Err(breach) => self.breach(header.log_index, breach),
        }
    }

    fn check_log_key(
        &mut self,
        index: LogIndex,
        change: &KeyChange,
    ) -> Result<Vec<KeyFrom>, Breach> {
        let asked = Act::LogKey {
            key: LogPublic(change.new),
        };
        let request = self.requests.get_mut(&change.request);
        let request = request.filter(|request| {
            request.state == State::Executed && !request.enacted && request.act == asked
        });
        request
            .ok_or(Breach::LogKeyUnapproved(change.request))?
            .enacted = true;
        let changed = change.verify(self.origin());
        let (old, new) = changed.map_err(|_| Breach::LogKeySignature)?;
        let mut keys = self.log_keys.clone();
        match keys.last() {
            // The log does not say which key it had first: this record is the first to name it.
            None => keys.push(KeyFrom { key: old, from: 0 }),
            Some(last) if last.key != old => return Err(Breach::LogKeyStranger),
            Some(_) => {}
        }
        let again = |one: &KeyFrom| same(&one.key, &new);
        if keys.iter().any(again) {
            return Err(Breach::LogKeyAgain);
        }
        let from = index.get() + 1;
        keys.push(KeyFrom { key: new, from });
        Ok(keys)
    }

    /// A key is asked for once, whatever became of the request.
    pub(super) fn check_log_key_request(&self, act: &Act) -> Result<(), Breach> {
        let is_key = matches!(act, Act::LogKey { .. });
        if is_key && self.requests.values().any(|one| one.act == *act) {
            return Err(Breach::LogKeyAgain);
        }
        Ok(())
    }
}

fn same(one: &LogKey, other: &LogKey) -> bool {
    one.public() == other.public()
}
