//! Another key for the log, in the words of the one it had.

use crate::cbor::{MapReader, MapWriter};
use crate::checkpoint::{CheckpointError, LogKey, Origin};
use crate::codec::DecodeError;
use crate::units::LogIndex;

/// From the log that has this record on, its checkpoints are signed by another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The request that people executed for it.
    pub request: LogIndex,
    /// The public key that counts no more.
    pub old: [u8; 32],
    /// The public key that counts from here on.
    pub new: [u8; 32],
    /// Signature of the old key over [`KeyChange::text`].
    pub signature: [u8; 64],
}

impl KeyChange {
    /// What the old key signs.
    #[must_use]
    pub fn text(origin: Origin, request: LogIndex, old: &[u8; 32], new: &[u8; 32]) -> String {
        let hex = |key: &[u8; 32]| crate::digest::Digest(*key).to_string();
        format!(
            "stele-log-key v1\nlog {origin}\nrequest {request}\nold {}\nnew {}\n",
            hex(old),
            hex(new)
        )
    }

    /// Both keys, the one before and the one from here on, if the old one signed for the new one.
    ///
    /// # Errors
    /// When one of them is no key, or the signature is not the old one's.
    pub fn verify(&self, origin: Origin) -> Result<(LogKey, LogKey), CheckpointError> {
        let (old, new) = (
            LogKey::new(origin, &self.old)?,
            LogKey::new(origin, &self.new)?,
        );
        let text = Self::text(origin, self.request, &self.old, &self.new);
        old.verify(text.as_bytes(), &self.signature)?;
        Ok((old, new))
    }
}

pub(super) fn write_key_change(map: &mut MapWriter, body: &KeyChange) {
    map.key(1).uint(body.request);
    map.key(2).bytes(&body.old);
    map.key(3).bytes(&body.new);
    map.key(4).bytes(&body.signature);
}

pub(super) fn read_key_change(map: &mut MapReader<'_, '_>) -> Result<KeyChange, DecodeError> {
    Ok(KeyChange {
        request: LogIndex::new(map.required(1, |r| r.uint("request"))?),
        old: map.required(2, |r| r.fixed("old"))?,
        new: map.required(3, |r| r.fixed("new"))?,
        signature: map.required(4, |r| r.fixed("signature"))?,
    })
}
