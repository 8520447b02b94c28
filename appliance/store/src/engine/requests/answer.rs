//! What a request is told once its records are applied.

use super::Engine;
use crate::engine::commands::After;
use crate::request::{Answer, RequestId, Stored};
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
                log_index: record.log_index,
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
            Some(After::Tombstoned(tombstoned)) => Answer::Tombstoned(tombstoned),
            Some(After::Upload) => Answer::Upload(stele_format::units::UploadId::from(version)),
        };
        self.finish(id, Ok(answer));
    }
}
