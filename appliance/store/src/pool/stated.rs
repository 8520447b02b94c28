//! What the journal states of seals: enough to know one again that has to be made anew.

use stele_format::digest::Digest;
use stele_format::record::SealNote;
use stele_format::tree::Frontier;
use stele_format::units::UnixMillis;

use super::Pool;

/// The seal of a segment, as the record states it that says that it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// The seal block's digest.
    pub digest: Digest,
    /// The log as the block repeats it; none on data lanes.
    pub log: Option<Box<Frontier>>,
}

impl Pool {
    /// A record of this time says that a segment was sealed. What was sealed once stays so.
    pub(crate) fn note_seal(&mut self, note: &SealNote, at: UnixMillis) {
        self.trim_known(note.segment, note.units_kept.get(), None, at);
        if let Some(info) = self.segments.get_mut(&note.segment) {
            info.stated = Some(Stated {
                digest: note.seal,
                log: note.log.clone().map(Box::new),
            });
        }
    }
}
