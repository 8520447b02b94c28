//! Exact lists of versions, put together from their pieces.

use std::collections::HashMap;

use stele_format::digest::Digest;
use stele_format::record::Scope;
use stele_format::units::LogIndex;

use super::finding::Breach;
use super::versions::{At, Versions};

/// A list that is complete.
#[derive(Debug, Default)]
pub struct List {
    /// Its versions, ascending.
    pub members: Vec<At>,
    /// Entries that name no version of the log.
    pub strangers: u64,
}

impl List {
    /// Entries.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.members.len() as u64 + self.strangers
    }

    /// Whether a version is on it.
    #[must_use]
    pub fn has(&self, at: At) -> bool {
        self.members.binary_search(&at).is_ok()
    }
}

/// A list of which pieces are missing.
#[derive(Default)]
struct Open {
    list: List,
    hasher: blake3::Hasher,
    pieces: u32,
    next: u32,
    last: Option<LogIndex>,
}

/// All lists of the log.
#[derive(Default)]
pub struct Lists {
    open: HashMap<Digest, Open>,
    whole: HashMap<Digest, List>,
}

impl Lists {
    /// The list of that digest, once it is complete.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<&List> {
        self.whole.get(digest)
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// The piece does not continue its list, or the list is another one.
    pub fn take(&mut self, piece: &Scope, versions: &Versions) -> Result<(), Breach> {
        if self.whole.contains_key(&piece.digest) {
            // Recorded again by somebody who drafts the same list; nothing in it can differ and matter.
            return Ok(());
        }
        if piece.ordinal == 0 {
            let fresh = Open {
                pieces: piece.pieces,
                ..Open::default()
            };
            self.open.insert(piece.digest, fresh);
        }
        let open = self.open.get_mut(&piece.digest).ok_or(Breach::ListPiece)?;
        let first = piece.entries.first().map(|entry| entry.version.ordinal());
        let ascends = open.last.is_none() || open.last < first;
        if open.next != piece.ordinal || open.pieces != piece.pieces || !ascends {
            self.open.remove(&piece.digest);
            return Err(Breach::ListPiece);
        }
        for entry in &piece.entries {
            open.hasher.update(&entry.encode());
            match versions.find(entry) {
                Some(at) => open.list.members.push(at),
                None => open.list.strangers += 1,
            }
        }
        open.last = piece.entries.last().map(|entry| entry.version.ordinal());
        open.next += 1;
        if open.next < open.pieces {
            return Ok(());
        }
        let Some(open) = self.open.remove(&piece.digest) else {
            return Ok(());
        };
        if open.hasher.finalize().as_bytes() != piece.digest.as_bytes() {
            return Err(Breach::ListDigest);
        }
        self.whole.insert(piece.digest, open.list);
        Ok(())
    }
}
