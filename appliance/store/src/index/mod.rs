//! The index: who owns which name, which version is current, where its record lies.
//!
//! Two layers. The *memtable* holds every row changed since the last durable commit; below it lies a
//! redb file on the index areas of the pool's disks, encrypted and mirrored ([`store`]). A durable
//! commit of that file is the snapshot: rows, their count, their multiset hash and the journal
//! position to replay from change in one transaction.
//!
//! Invariants:
//! - the index is a fold over the journal: [`apply::apply`] is its only mutator, live and in replay;
//! - it is never trusted: a file that is absent, damaged, ahead of the journal or under another key
//!   is rebuilt, and nothing but time is lost;
//! - all its rows are read again on a schedule and compared with what it states; where they differ it is
//!   rebuilt;
//! - names reach a disk only inside encrypted pages, and `Debug` of no type here prints one.
//!
//! What may fail: every read and write of the file ([`IndexError`]); decoding of a row
//! ([`rows::RowError`]); facts that do not follow from the rows ([`apply::ApplyError`]).

pub mod apply;
pub mod backend;
pub mod bundle;
pub mod codec;
pub mod crypt;
pub mod fact;
mod header;
pub mod keys;
pub mod limits;
pub mod list;
pub mod memtable;
pub mod message;
pub mod meta;
pub mod mirror;
pub mod pages;
pub mod rows;
pub mod store;

pub use apply::{ApplyError, Rows, RowsError, apply};
pub use bundle::{Bundle, MergedScan, Row, Scan, Scanned};
pub use fact::Fact;
pub use memtable::{DirectRows, FrozenRows, LiveRows, Memtable};
pub use message::{
    IndexError, IndexReply, IndexRequest, IndexUsage, MirrorState, Query, QueryId, Verified,
};
pub use meta::{Extra, SnapshotMeta, Triple};
pub use rows::Table;
pub use store::{IndexOptions, IndexReader, IndexStore, MirrorCopying, NotOpened, Opened, Why};
