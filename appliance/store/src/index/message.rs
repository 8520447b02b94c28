//! Messages between the engine and the threads of the index.

use std::sync::Arc;

use stele_device::area::Area;

use crate::index::bundle::{Bundle, Scan};
use crate::index::limits::CAPACITY_BYTES_PER_ROW_BYTE;
use crate::index::memtable::FrozenRows;
use crate::index::meta::{SnapshotMeta, Triple};
use crate::index::rows::Table;

/// Ties an answer to its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// A question for rows.
pub struct Query {
    /// Comes back with the answer.
    pub id: QueryId,
    /// Single keys.
    pub gets: Vec<(Table, Vec<u8>)>,
    /// Ranges.
    pub scans: Vec<Scan>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gets, scans) = (self.gets.len(), self.scans.len());
        write!(f, "Query({}, {gets} gets, {scans} scans)", self.id.0)
    }
}

/// What the index is asked to do. Queries may be answered while something else is being done, from before it.
pub enum IndexRequest {
    /// Read rows.
    Query(Query),
    /// Write rows durably: this is the snapshot.
    Commit {
        /// The rows.
        rows: Arc<FrozenRows>,
        /// What the snapshot covers.
        meta: SnapshotMeta,
    },
    /// Read on in the rows, to compare them all with what the file states.
    Verify {
        /// Rows at most.
        rows_max: usize,
    },
    /// Take this area in as a further mirror, in the place of one that is missing or failed.
    Mirror(Box<dyn Area>),
    /// Copy a piece more of the file to a mirror that missed writes.
    CopyMirror,
    /// Free these rows, which takes longer than the engine has time.
    Forget(Arc<FrozenRows>),
}

impl std::fmt::Debug for IndexRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IndexRequest::Query(query) => write!(f, "{query:?}"),
            IndexRequest::Commit { rows, meta } => write!(f, "Commit({rows:?}, {meta:?})"),
            IndexRequest::Verify { rows_max } => write!(f, "Verify({rows_max} rows)"),
            IndexRequest::Mirror(area) => write!(f, "Mirror({} bytes)", area.len()),
            IndexRequest::CopyMirror => f.write_str("CopyMirror"),
            IndexRequest::Forget(rows) => write!(f, "Forget({rows:?})"),
        }
    }
}

/// What it answers: queries in the order asked, and everything else in the order asked.
#[derive(Debug)]
pub enum IndexReply {
    /// The rows asked for.
    Answer {
        /// Of the query.
        id: QueryId,
        /// Rows of one snapshot.
        bundle: Bundle,
    },
    /// The snapshot is durable on every mirror in use.
    Committed {
        /// What the file states now.
        triple: Box<Triple>,
        /// Room and mirrors.
        usage: IndexUsage,
    },
    /// A piece of the rows was read again. After an error, and where the rows are not those stated, nothing
    /// is answered any more.
    Verified(Result<Verified, IndexError>),
    /// The area was looked at, or a piece was copied; the mirrors say whether it was taken in.
    Mirrored {
        /// Room and mirrors.
        usage: IndexUsage,
    },
    /// The rows are freed, unless somebody else has them too.
    Forgotten,
    /// It could not be done.
    Failed {
        /// The query, or none for a commit.
        query: Option<QueryId>,
        /// Why.
        error: IndexError,
    },
}

/// How far the rows were compared with what the file states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// There is more to read.
    Partly,
    /// All were read, and count and hash are as stated.
    AsStated {
        /// Rows that count.
        rows: u64,
    },
    /// All were read, and they are not the rows that commits wrote.
    Otherwise {
        /// Rows that were found.
        found: u64,
        /// Rows there should be.
        stated: u64,
    },
}

/// Why the index file cannot do what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The rows do not fit. Nothing was written, the last snapshot stands, reading goes on.
    #[error("the index area is full")]
    Full,
    /// The file is not to be trusted any more, or no mirror of it can be used: rebuild it.
    #[error("the index file is damaged or no mirror of it can be used")]
    Damaged,
}

/// Where a mirror stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorState {
    /// Holds everything.
    Active,
    /// Missed writes of an earlier run; unused until made anew.
    Stale,
    /// Failed in this run; unused.
    Failed,
}

/// Room and health of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexUsage {
    /// Bytes of keys and values.
    pub row_bytes: u64,
    /// Bytes the file occupies, free pages included.
    pub file_bytes: u64,
    /// Bytes it can grow to.
    pub capacity_bytes: u64,
    /// Each mirror.
    pub mirrors: Vec<MirrorState>,
    /// Pages rewritten from the other mirror because they were rotten or unreadable.
    pub repaired_pages: u64,
}

impl IndexUsage {
    /// Whether it takes no rows of new objects: a commit copies what it changes, and the file grows beyond its rows.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.row_bytes.saturating_mul(CAPACITY_BYTES_PER_ROW_BYTE) > self.capacity_bytes
    }
}
