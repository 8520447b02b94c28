//! What a request is told, once its records are applied or before, and its end.

use super::{Engine, Pending};
use crate::engine::commands::After;
use crate::request::{Answer, Command, Refusal, RequestId, Stored};
use crate::sequence::Sequenced;

impl Engine {
    pub(super) fn answer(&mut self, id: RequestId, record: &Sequenced) {
        let after = self
            .pending
            .get_mut(&id)
            .and_then(|pending| pending.after.take());
        let made = self.pending.get(&id).and_then(|pending| pending.made);
        let version = made.map_or(record.version, |(version, _)| version);
        let answer = match after {
            None | Some(After::Done) => Answer::Done,
            Some(After::Bucket(info)) => Answer::Bucket(info),
            Some(After::Stored {
                versioned,
                part,
                etag,
                checksums,
            }) => Answer::Stored(Stored {
                version: (!part).then_some(version),
                versioned,
                etag,
                checksums,
                log_index: made.map_or(record.log_index, |(_, index)| index),
                receipt: made.and_then(|(_, index)| self.receipts.receipt(index)),
            }),
            Some(After::Marker { versioned, .. }) => Answer::Deleted {
                marker: true,
                version: Some(version),
                versioned,
            },
            Some(After::Deleted {
                marker,
                version,
                versioned,
            }) => Answer::Deleted {
                marker,
                version,
                versioned,
            },
            Some(After::Tagged { version, versioned }) => Answer::Tagged { version, versioned },
            Some(After::Stated(_)) => Answer::Recorded(record.log_index),
            Some(After::Held { versions, last }) => Answer::Held { versions, last },
            Some(After::Recorded) => Answer::Recorded(record.log_index),
            Some(After::Rehomed { versions, resume }) => Answer::Rehomed { versions, resume },
            Some(After::Tombstoned {
                tombstoned,
                reserved,
            }) => {
                self.desk.leaves_due = self.desk.leaves_due.saturating_add(reserved);
                Answer::Tombstoned(tombstoned)
            }
            Some(After::Upload) => Answer::Upload(stele_format::units::UploadId::from(version)),
        };
        self.finish(id, Ok(answer));
    }

    /// Forgets a request that waits for nothing, without an answer.
    pub(in crate::engine) fn end(&mut self, id: RequestId) -> Option<Box<Pending>> {
        self.settle_request(id);
        self.parked.remove(&id);
        self.pending.remove(&id)
    }

    /// Answers and forgets a request, and lets those behind it go on.
    pub(in crate::engine) fn finish(&mut self, id: RequestId, result: Result<Answer, Refusal>) {
        let Some(pending) = self.end(id) else {
            return;
        };
        self.desk.note(&pending.command, &result);
        if let Command::CommitPut { stream, .. } = &pending.command {
            self.forget_put(*stream);
        }
        self.forget_spill(id);
        if pending.outstanding > 0 {
            self.forget_fetches(id);
        }
        let result = result.map_err(|refusal| self.doubt(refusal));
        self.io.reply(id, result);
        self.ready.extend(self.admission.release(id));
    }
}
