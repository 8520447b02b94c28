//! What people stated, and what may be destroyed by it: written a second time, independently of the vault's
//! own folds, and far simpler: nobody joins or leaves.
//!
//! Invariants: a version is destroyed only by a list that was approved, rested and executed, and only if no
//! lock was on it; what is not destroyed stays as it was.

mod apply;
mod compare;
mod judge;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stele_format::digest::Digest;
use stele_format::record::{Scope, VersionRef, scope_digest};
use stele_format::statement::{Act, Cut, Name, Role, Statement};
use stele_format::units::{DiskId, Generation, KeyIndex, LogIndex, VersionId};
use stele_store::request::{CensusRow, Effect, PeopleView};

use crate::oracle::model::Holds;

pub use judge::Objection;

/// How long a request waits for approvals, and then for its execution, milliseconds.
pub const WAIT_MS: u64 = 72 * 3_600_000;
/// How long a short list rests, milliseconds.
pub const SHORT_REST_MS: u64 = 72 * 3_600_000;
/// How long everything else rests, milliseconds.
pub const LONG_REST_MS: u64 = 7 * 24 * 3_600_000;

/// A question of people, or of the vault's own on their behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Official {
    /// Somebody states something.
    State(Said),
    /// A piece of a list is recorded.
    Scope(Scope),
    /// How everything stands.
    Look,
    /// A page of all versions.
    Count,
    /// A piece of a hold's list is put under hold.
    Place(LogIndex, u32),
    /// A piece of a release is lifted.
    Lift(LogIndex, u32),
    /// What stays in a month gets later leaves.
    Rehome(LogIndex),
    /// A piece of a list is destroyed.
    Tombstone(LogIndex, u32),
}

impl Official {
    /// Whether it changes something when it succeeds.
    #[must_use]
    pub fn changes(&self) -> bool {
        !matches!(self, Official::Look | Official::Count)
    }
}

/// A statement as it was brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it says.
    pub statement: Statement,
    /// Whose keys signed it.
    pub signers: Vec<Name>,
    /// What is wrong with it beyond what the statement itself shows.
    pub flaw: Option<&'static str>,
}

/// A list of versions, piece by piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Its pieces, as far as they were recorded.
    pub pieces: Vec<Option<Vec<VersionRef>>>,
    /// Pieces that may have been recorded when the machine died, by ordinal.
    pub unsure: BTreeMap<u32, Vec<VersionRef>>,
}

impl List {
    /// Whether some piece may have been recorded although nobody heard.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        !self.unsure.is_empty()
    }

    /// A statement about it counted, so all of it was recorded: what nobody heard of too.
    fn was_whole(&mut self, digest: &Digest) {
        let mut told = self.clone();
        for (ordinal, entries) in &self.unsure {
            let at = usize::try_from(*ordinal).unwrap_or(usize::MAX);
            if let Some(piece) = told.pieces.get_mut(at) {
                piece.get_or_insert_with(|| entries.clone());
            }
        }
        if told.whole(digest).is_some() {
            told.unsure.clear();
            *self = told;
        }
    }

    /// Everything in it, if all pieces are here and are what the digest says.
    #[must_use]
    pub fn whole(&self, digest: &Digest) -> Option<Vec<VersionRef>> {
        let pieces: Option<Vec<_>> = self.pieces.iter().cloned().collect();
        let entries: Vec<VersionRef> = pieces?.into_iter().flatten().collect();
        (!entries.is_empty() && scope_digest(&entries) == *digest).then_some(entries)
    }
}

/// Between these moments, milliseconds of compliance time.
pub type Span = (u64, u64);

/// Whether a piece of a list was worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// No.
    Open,
    /// A crash left that open, and nothing shows it.
    Maybe,
    /// Yes.
    Done,
}

/// Keys are gone, and a record says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutting {
    /// From this generation of the key state on.
    pub generation: Generation,
    /// On these disks.
    pub disks: Vec<DiskId>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Digest of its text.
    pub digest: Digest,
    /// What for.
    pub act: Act,
    /// Who asked.
    pub by: Name,
    /// When.
    pub requested: Span,
    /// Whether its list is large; none where that depends on how many versions there were.
    pub large: Option<bool>,
    /// Who approved, in order.
    pub approvals: Vec<Name>,
    /// When the last needed approval came.
    pub approved: Option<Span>,
    /// Who vetoed it.
    pub vetoed: Option<Name>,
    /// Who executed it.
    pub executed: Option<Name>,
    /// Pieces of its list.
    pub pieces: Vec<Piece>,
    /// Every effect of it was seen.
    pub done: bool,
    /// Its keys.
    pub cut: Option<Cutting>,
}

impl Entry {
    /// Its list.
    #[must_use]
    pub fn scope(&self) -> Digest {
        match &self.act {
            Act::Erase(erase) => erase.scope,
            Act::ReleaseHold(release) => release.scope,
            _ => Digest::default(),
        }
    }

    /// Whether it destroys.
    #[must_use]
    pub fn is_erase(&self) -> bool {
        matches!(self.act, Act::Erase(_))
    }

    /// Whether it ends GOVERNANCE early.
    #[must_use]
    pub fn is_early(&self) -> bool {
        matches!(&self.act, Act::Erase(erase) if erase.governance)
    }

    /// Whether a month is cut as a whole.
    #[must_use]
    pub fn is_of_month(&self) -> bool {
        matches!(&self.act, Act::Erase(erase) if matches!(erase.cut, Cut::Month(_)))
    }

    /// Every piece of its list was worked off for sure.
    #[must_use]
    pub fn is_worked_off(&self) -> bool {
        !self.pieces.is_empty() && self.pieces.iter().all(|piece| *piece == Piece::Done)
    }

    /// How many of this role must approve, where its list is known to be large or not to be.
    fn needs(&self, role: Role) -> usize {
        match role {
            Role::Approver if self.large == Some(false) => 1,
            Role::Approver => 2,
            Role::Officer => usize::from(self.is_early()),
            _ => 0,
        }
    }
}

/// A hold for a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The statement's record.
    pub statement: LogIndex,
    /// The case.
    pub case: Digest,
    /// Its list.
    pub scope: Digest,
    /// Versions in it.
    pub count: u64,
    /// Who placed it.
    pub by: Name,
    /// Pieces put under hold.
    pub pieces: Vec<Piece>,
    /// It was lifted.
    pub released: bool,
}

/// What an office sees of a vault beside what S3 shows.
pub struct OfficeSurvey {
    /// How everything stands.
    pub view: PeopleView,
    /// Every version.
    pub rows: Vec<CensusRow>,
    /// What became of each request to destroy that was executed.
    pub effects: BTreeMap<LogIndex, Effect>,
}

/// Everything people stated.
#[derive(Clone, Default)]
pub struct Book {
    /// Whether this vault is to have people at all.
    pub open: bool,
    /// People were founded.
    pub founded: bool,
    /// Keys as they are shown, by name.
    pub fingerprints: BTreeMap<Name, String>,
    /// Texts that counted.
    pub texts: BTreeSet<Digest>,
    /// Lists by digest.
    pub lists: BTreeMap<Digest, List>,
    /// Requests.
    pub requests: BTreeMap<LogIndex, Entry>,
    /// Holds.
    pub cases: Vec<Case>,
    /// Versions as last counted after a start.
    pub rows: BTreeMap<VersionId, CensusRow>,
    /// Every leaf each of them had.
    pub leaves: BTreeMap<VersionId, BTreeSet<KeyIndex>>,
    /// What is destroyed, and by which request.
    pub destroyed: BTreeMap<VersionId, LogIndex>,
}

impl Book {
    /// Whether nobody stated anything that lists could be about.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        !self.open || !self.founded
    }

    /// A list, if all of it was recorded.
    #[must_use]
    pub fn list(&self, digest: &Digest) -> Option<Vec<VersionRef>> {
        self.lists.get(digest)?.whole(digest)
    }

    fn piece(&self, digest: &Digest, ordinal: u32) -> Option<&Vec<VersionRef>> {
        let list = self.lists.get(digest)?;
        list.pieces.get(usize::try_from(ordinal).ok()?)?.as_ref()
    }

    /// Versions that cases hold which are not released, but for those that `except` names.
    fn held(&self, except: impl Fn(&Case) -> bool) -> BTreeSet<VersionId> {
        let cases = self.cases.iter().filter(|case| !case.released);
        let cases = cases.filter(|case| !except(case));
        let lists = cases.filter_map(|case| self.list(&case.scope));
        lists.flatten().map(|entry| entry.version).collect()
    }

    /// Whether a version is on a list that was executed and is not worked off.
    #[must_use]
    pub fn destroys(&self, version: VersionId) -> Holds {
        let executed = self.requests.values().filter(|entry| {
            let listed = |list: Vec<VersionRef>| list.iter().any(|one| one.version == version);
            entry.is_erase()
                && entry.executed.is_some()
                && self.list(&entry.scope()).is_some_and(listed)
        });
        let mut found = Holds::No;
        for entry in executed {
            match !entry.done && entry.pieces.contains(&Piece::Open) {
                true => return Holds::Yes,
                false => found = Holds::Maybe,
            }
        }
        found
    }

    /// A release was taken back: what locks the version now is what S3 shows.
    pub fn unreleased(&mut self, version: VersionId) {
        if let Some(row) = self.rows.get_mut(&version) {
            row.released = false;
        }
    }

    /// Every leaf of what is destroyed by requests whose keys are gone, with what a record says of them.
    pub fn cut_leaves(&self) -> impl Iterator<Item = (&Cutting, KeyIndex)> {
        let gone = self.destroyed.iter();
        gone.filter_map(|(version, request)| {
            let cut = self.requests.get(request)?.cut.as_ref()?;
            Some((cut, self.leaves.get(version)?))
        })
        .flat_map(|(cut, leaves)| leaves.iter().map(move |leaf| (cut, *leaf)))
    }
}

impl fmt::Display for Official {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Official::State(said) => {
                let text = said.statement.to_text();
                let lines: Vec<&str> = text.lines().skip(2).collect();
                let flaw = said.flaw.unwrap_or("nothing");
                write!(f, "STATE {}; wrong with it: {flaw}", lines.join("; "))
            }
            Official::Scope(scope) => write!(
                f,
                "SCOPE {} piece {} of {}, {} versions",
                scope.digest,
                scope.ordinal,
                scope.pieces,
                scope.entries.len()
            ),
            other => write!(f, "{other:?}"),
        }
    }
}
