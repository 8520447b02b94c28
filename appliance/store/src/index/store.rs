//! The index file: redb over encrypted, mirrored pages.
//!
//! Invariants:
//! - one durable redb transaction per commit: rows and [`Triple`] change together or not at all;
//! - every commit records redb's allocator, so that opening after a crash reads a handful of pages
//!   and never walks the file; letting go of redb writes nothing, so every start looks the same;
//! - an error of redb, or a panic inside it, means [`IndexError::Damaged`]: rebuild from the journal.
//!
//! Runs on its own thread in the daemon, beside a thread that reads, and inline in the simulator.

mod reader;
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase, TableDefinition};
use stele_device::area::Area;

use crate::index::backend::Backend;
use crate::index::bundle::{Scan, Scanned};
use crate::index::codec::Malformed;
use crate::index::crypt::INDEX_KEY_BYTES;
use crate::index::limits::{
    CAPACITY_BYTES_PER_ROW_BYTE, EXTRA_BYTES_MAX, MIRROR_PIECE_PAGES, RESYNC_BYTES_MAX,
};
use crate::index::memtable::FrozenRows;
use crate::index::message::{IndexError, IndexReply, IndexRequest, IndexUsage, Verified};
use crate::index::meta::{Extra, Multiset, SnapshotMeta, Triple};
use crate::index::pages::{Found, Pages};
use crate::index::rows::Table;

pub use reader::IndexReader;
use reader::{Shared, View};
use walk::Walk;

type Bytes = &'static [u8];

/// Key 0 holds the triple, the others the pieces of its extra bytes.
const META: TableDefinition<'static, u32, Bytes> = TableDefinition::new("meta");
const META_TRIPLE: u32 = 0;

const fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(match table {
        Table::Buckets => "buckets",
        Table::Names => "names",
        Table::Objects => "objects",
        Table::Versions => "versions",
        Table::Uploads => "uploads",
        Table::UploadNames => "upload names",
        Table::Parts => "parts",
        Table::Chunks => "chunks",
        Table::Configs => "configs",
        Table::Statements => "statements",
        Table::Scopes => "scopes",
        Table::Tombstones => "tombstones",
        Table::Destroyed => "destroyed",
        Table::Enacted => "enacted",
        Table::Cosigned => "cosigned",
        Table::Openings => "openings",
    })
}

/// How to run an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// Memory redb may use for pages.
    pub cache_bytes: usize,
    /// A number no earlier start of this pool has used, such as its epoch. It tells apart what two
    /// mirrors wrote while they did not see each other.
    pub start: u64,
    /// How mirrors that missed writes are made anew.
    pub copying: MirrorCopying,
}

/// How a mirror that missed writes is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorCopying {
    /// Bytes of the largest file that a commit copies whole.
    pub whole_bytes_max: u64,
    /// Pages of a larger one that are copied at once.
    pub piece_pages: u64,
}

impl MirrorCopying {
    /// What suits disks.
    pub const USUAL: Self = Self {
        whole_bytes_max: RESYNC_BYTES_MAX,
        piece_pages: MIRROR_PIECE_PAGES,
    };
}

/// Why there is no index to open; each case means: rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing was ever written.
    Absent,
    /// It is there and cannot be trusted.
    Damaged,
    /// It was written under another key, or it is not an index at all.
    KeyChanged,
}

/// An index that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The index.
    pub store: IndexStore,
    /// What it states; compare it with the journal before trusting a row.
    pub triple: Triple,
}

/// Areas that hold no usable index.
#[derive(Debug)]
pub struct NotOpened {
    /// Why not.
    pub why: Why,
    pages: Arc<Pages>,
    options: IndexOptions,
}

impl NotOpened {
    /// Makes an empty index on the same areas.
    ///
    /// # Errors
    /// [`IndexError::Full`] when the areas are too small, [`IndexError::Damaged`] when they cannot be
    /// written.
    pub fn create(self) -> Result<IndexStore, IndexError> {
        IndexStore::begin(self.pages, self.options)
    }
}

/// A failure inside redb, its cause left out: pages hold names.
struct Failure;

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(_: E) -> Self {
        Failure
    }
}

/// Runs redb, whose errors and panics both mean that the file is not to be trusted.
fn guarded<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Failure)) | Err(_) => Err(IndexError::Damaged),
    }
}

/// An open file.
struct File {
    database: Database,
}

impl File {
    fn open(pages: &Arc<Pages>, cache_bytes: usize) -> Result<Self, Failure> {
        let database = Builder::new()
            .set_cache_size(cache_bytes)
            // Commits make a walk over the file needless; one that is needed costs as much as a
            // rebuild and would trust more.
            .set_repair_callback(redb::RepairSession::abort)
            .create_with_backend(Backend::new(Arc::clone(pages)))?;
        Ok(Self { database })
    }

    fn read_triple(&self) -> Result<Triple, Failure> {
        let view = self.database.begin_read()?;
        let table = view.open_table(META)?;
        let stored = table.get(META_TRIPLE)?.ok_or(Failure)?;
        let (mut triple, extra_bytes) =
            Triple::decode(stored.value()).map_err(|Malformed| Failure)?;
        for piece in table.range(META_TRIPLE + 1..)? {
            triple.meta.extra.0.push(piece?.1.value().into());
        }
        let whole = triple.meta.extra.bytes() == extra_bytes;
        if whole { Ok(triple) } else { Err(Failure) }
    }

    /// Writes rows and triple in one durable transaction. `last` is what the file states.
    fn commit(
        &self,
        rows: &FrozenRows,
        meta: &SnapshotMeta,
        last: &Triple,
        mut walk: Option<&mut Walk>,
    ) -> Result<Triple, Failure> {
        let mut set = Multiset::of(last);
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        for table in Table::ALL {
            let mut stored = transaction.open_table(definition(table))?;
            for (key, value) in rows.changes(table) {
                let old = match value {
                    Some(value) => stored.insert(key, value)?,
                    None => stored.remove(key)?,
                };
                let old = old.as_ref().map(redb::AccessGuard::value);
                set.replace(table, key, old, value);
                if let Some(walk) = &mut walk {
                    walk.replace(table, key, old, value);
                }
            }
        }
        let triple = Triple {
            meta: meta.clone(),
            rows: set.rows,
            multiset: set.hash(),
            row_bytes: set.row_bytes,
        };
        write_triple(&transaction, &triple, &last.meta.extra)?;
        transaction.commit()?;
        Ok(triple)
    }
}

/// Of the extra bytes, what was not stored last is written.
fn write_triple(
    transaction: &redb::WriteTransaction,
    triple: &Triple,
    stored: &Extra,
) -> Result<(), Failure> {
    let mut table = transaction.open_table(META)?;
    table.insert(META_TRIPLE, triple.encode().as_slice())?;
    let mut number = META_TRIPLE;
    for (at, piece) in triple.meta.extra.0.iter().enumerate() {
        number += 1;
        if !stored.has(at, piece) {
            table.insert(number, &piece[..])?;
        }
    }
    table.retain_in(number + 1.., |_, _| false)?;
    Ok(())
}

/// The index file.
pub struct IndexStore {
    file: Option<File>,
    /// The rows as the last commit left them; gone before the file is.
    shared: Shared,
    pages: Arc<Pages>,
    options: IndexOptions,
    triple: Triple,
    generation: u64,
    /// All rows being read again.
    walk: Option<Walk>,
}

impl std::fmt::Debug for IndexStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexStore")
            .field("triple", &self.triple)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Drop for IndexStore {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        self.let_go(&mut shared.write());
    }
}

impl IndexStore {
    /// Makes an empty index on one or two areas, whatever they held; further ones stay unused.
    ///
    /// # Errors
    /// As [`NotOpened::create`].
    pub fn create(
        areas: Vec<Box<dyn Area>>,
        key: &[u8; INDEX_KEY_BYTES],
        options: IndexOptions,
    ) -> Result<Self, IndexError> {
        let (pages, _) = Pages::look(areas, key, options.start);
        Self::begin(Arc::new(pages), options)
    }

    /// Opens the index on one or two areas.
    ///
    /// # Errors
    /// [`NotOpened`] says why it must be rebuilt.
    pub fn open(
        areas: Vec<Box<dyn Area>>,
        key: &[u8; INDEX_KEY_BYTES],
        options: IndexOptions,
    ) -> Result<Opened, NotOpened> {
        let (pages, found) = Pages::look(areas, key, options.start);
        let pages = Arc::new(pages);
        let why = match found {
            Found::Blank => Some(Why::Absent),
            Found::Foreign => Some(Why::KeyChanged),
            // Made, but cut off before redb wrote anything.
            Found::File if pages.file_bytes().is_ok_and(|bytes| bytes == 0) => Some(Why::Absent),
            Found::File => None,
        };
        if let Some(why) = why {
            return Err(NotOpened {
                why,
                pages,
                options,
            });
        }
        let triple = Triple::default();
        let mut store = Self {
            file: None,
            shared: Shared::default(),
            pages,
            options,
            triple,
            generation: 0,
            walk: None,
        };
        let shared = store.shared.clone();
        let reopened = store.reopen_file(&mut shared.write());
        match reopened {
            Ok(()) => Ok(Opened {
                triple: store.triple.clone(),
                store,
            }),
            Err(_) => Err(NotOpened {
                why: Why::Damaged,
                pages: Arc::clone(&store.pages),
                options,
            }),
        }
    }

    /// Empties the index, on the mirrors that did not fail.
    ///
    /// # Errors
    /// As [`NotOpened::create`].
    pub fn recreate(self) -> Result<Self, IndexError> {
        let (pages, options) = (Arc::clone(&self.pages), self.options);
        // Letting go closes the pages, which the new store opens again.
        drop(self);
        Self::begin(pages, options)
    }

    fn begin(pages: Arc<Pages>, options: IndexOptions) -> Result<Self, IndexError> {
        pages.begin();
        let triple = Triple::default();
        let mut store = Self {
            file: None,
            shared: Shared::default(),
            pages,
            options,
            triple,
            generation: 0,
            walk: None,
        };
        let shared = store.shared.clone();
        match store.make_file(&mut shared.write()) {
            Ok(()) => Ok(store),
            Err(_) if store.pages.was_full() => Err(IndexError::Full),
            Err(error) => Err(error),
        }
    }

    /// An empty file, and a view of it.
    fn make_file(&mut self, seen: &mut Option<View>) -> Result<(), IndexError> {
        let (file, view) = guarded(|| {
            let file = File::open(&self.pages, self.options.cache_bytes)?;
            let rows = FrozenRows::default();
            file.commit(&rows, &SnapshotMeta::default(), &Triple::default(), None)?;
            let view = View::of(&file.database, self.generation)?;
            Ok((file, view))
        })?;
        self.file = Some(file);
        *seen = Some(view);
        Ok(())
    }

    /// What the last commit states.
    #[must_use]
    pub const fn triple(&self) -> &Triple {
        &self.triple
    }

    /// Commits since the file was opened.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Room and health.
    #[must_use]
    pub fn usage(&self) -> IndexUsage {
        IndexUsage {
            row_bytes: self.triple.row_bytes,
            file_bytes: self.pages.file_bytes().unwrap_or(0),
            capacity_bytes: self.pages.capacity_bytes(),
            mirrors: self.pages.mirror_states(),
            repaired_pages: self.pages.repaired_pages(),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.shared.look(|view| view.get(table, key))
    }

    /// Rows of a range.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub fn scan(&self, scan: &Scan) -> Result<Scanned, IndexError> {
        self.shared.look(|view| view.scan(scan))
    }

    /// Answers queries on another thread, also while a commit is being written.
    #[must_use]
    pub fn reader(&self) -> IndexReader {
        IndexReader::new(self.shared.clone())
    }

    /// Does what is asked.
    pub fn execute(&mut self, request: IndexRequest) -> IndexReply {
        match request {
            IndexRequest::Query(query) => self.shared.answer(&query).unwrap_or_else(|error| {
                self.give_up();
                IndexReply::Failed {
                    query: Some(query.id),
                    error,
                }
            }),
            IndexRequest::Commit { rows, meta } => match self.commit(&rows, &meta) {
                Ok(()) => IndexReply::Committed {
                    triple: Box::new(self.triple.clone()),
                    usage: self.usage(),
                },
                Err(error) => IndexReply::Failed { query: None, error },
            },
            IndexRequest::Verify { rows_max } => {
                let result = self.verify_on(rows_max);
                if matches!(result, Err(_) | Ok(Verified::Otherwise { .. })) {
                    self.give_up();
                }
                IndexReply::Verified(result)
            }
            IndexRequest::Mirror(area) => {
                if self.pages.add_mirror(area) {
                    self.take_mirrors_in();
                }
                IndexReply::Mirrored {
                    usage: self.usage(),
                }
            }
            IndexRequest::CopyMirror => {
                // A failure shows in the mirrors, or in the commit that follows.
                let _ = self.pages.resync_some(self.options.copying.piece_pages);
                IndexReply::Mirrored {
                    usage: self.usage(),
                }
            }
            IndexRequest::Forget(rows) => {
                drop(rows);
                IndexReply::Forgotten
            }
        }
    }

    /// Writes rows durably, together with what they cover.
    ///
    /// # Errors
    /// [`IndexError::Full`]: nothing was written and the store goes on; [`IndexError::Damaged`]: the
    /// store answers nothing any more.
    pub fn commit(&mut self, rows: &FrozenRows, meta: &SnapshotMeta) -> Result<(), IndexError> {
        if meta.extra.bytes() > EXTRA_BYTES_MAX {
            return Err(IndexError::Full);
        }
        self.take_mirrors_in();
        let shared = self.shared.clone();
        let mut alone = self.is_tight().then(|| shared.write());
        if let Some(seen) = &mut alone {
            **seen = None;
        }
        let result = self.try_commit(rows, meta);
        let mut seen = alone.unwrap_or_else(|| shared.write());
        let (triple, view) = match result {
            Ok(done) => done,
            Err(_) => self.commit_again(&mut seen, rows, meta)?,
        };
        *seen = Some(view);
        self.triple = triple;
        self.generation += 1;
        Ok(())
    }

    /// Whether readers must wait for a commit: the view they look at keeps the pages that it replaces.
    fn is_tight(&self) -> bool {
        let half_full = self
            .triple
            .row_bytes
            .saturating_mul(2 * CAPACITY_BYTES_PER_ROW_BYTE);
        half_full > self.pages.capacity_bytes()
    }

    /// Once more after a failure, if more room can be had, and without readers: redb doubles its file, and near the
    /// end of the area that is too much, so it is given the whole rest once.
    fn commit_again(
        &mut self,
        seen: &mut Option<View>,
        rows: &FrozenRows,
        meta: &SnapshotMeta,
    ) -> Result<(Triple, View), IndexError> {
        if !self.pages.was_full() {
            self.let_go(seen);
            return Err(IndexError::Damaged);
        }
        self.extend_file(seen)?;
        *seen = None;
        let result = self.free_pages().and_then(|()| self.try_commit(rows, meta));
        match result {
            Ok(done) => Ok(done),
            Err(_) if self.pages.was_full() => {
                self.let_go(seen);
                self.reopen_file(seen)?;
                Err(IndexError::Full)
            }
            Err(error) => {
                self.let_go(seen);
                Err(error)
            }
        }
    }

    /// Lets redb use the pages again that earlier commits replaced, which it does when a commit ends: this one
    /// changes nothing.
    fn free_pages(&self) -> Result<(), IndexError> {
        guarded(|| {
            let rows = FrozenRows::default();
            let last = &self.triple;
            self.file()?.commit(&rows, &last.meta, last, None).map(drop)
        })
    }

    /// Brings a mirror that missed writes up to date, if that is quick. Failing to is no reason not to
    /// commit on the other.
    fn take_mirrors_in(&mut self) {
        let quick = self
            .pages
            .file_bytes()
            .is_ok_and(|bytes| bytes <= self.options.copying.whole_bytes_max);
        if quick && self.pages.has_stale_mirror() {
            // A failure shows in the commit that follows.
            let _ = self.pages.resync();
        }
    }

    fn try_commit(
        &mut self,
        rows: &FrozenRows,
        meta: &SnapshotMeta,
    ) -> Result<(Triple, View), IndexError> {
        let mut walk = self.walk.clone();
        let generation = self.generation + 1;
        let file = self.file.as_ref().ok_or(IndexError::Damaged)?;
        let done = guarded(|| {
            let triple = file.commit(rows, meta, &self.triple, walk.as_mut())?;
            Ok((triple, View::of(&file.database, generation)?))
        })?;
        self.walk = walk;
        Ok(done)
    }

    /// Gives redb the rest of the area, and drops what a failed commit left in its memory.
    fn extend_file(&mut self, seen: &mut Option<View>) -> Result<(), IndexError> {
        self.let_go(seen);
        if !self.pages.reopen() {
            return Err(IndexError::Damaged);
        }
        let capacity = self.pages.capacity_bytes();
        let room = self.pages.file_bytes().is_ok_and(|bytes| bytes < capacity);
        if room {
            let grown = self
                .pages
                .set_len(capacity)
                .and_then(|()| self.pages.sync());
            grown.map_err(|_| IndexError::Damaged)?;
        }
        self.reopen_file(seen)
    }

    /// Opens redb on what the last sync made durable.
    fn reopen_file(&mut self, seen: &mut Option<View>) -> Result<(), IndexError> {
        // What was read of the file before says nothing of it now.
        self.walk = None;
        if !self.pages.reopen() {
            return Err(IndexError::Damaged);
        }
        let (file, triple, view) = guarded(|| {
            let file = File::open(&self.pages, self.options.cache_bytes)?;
            let triple = file.read_triple()?;
            let view = View::of(&file.database, self.generation)?;
            Ok((file, triple, view))
        })?;
        self.file = Some(file);
        self.triple = triple;
        *seen = Some(view);
        Ok(())
    }

    /// Copies the file to a mirror that missed writes. Takes as long as writing the file does.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub fn resync(&mut self) -> Result<(), IndexError> {
        self.pages.resync().map_err(|_| IndexError::Damaged)
    }

    /// A page that no mirror can give, or rows that are not those stated: nothing is answered any more, and
    /// what lies on the mirrors states nothing, so that the next start fills the index from the journal,
    /// whether or not it would have come upon it.
    fn give_up(&mut self) {
        if self.file.is_none() {
            return;
        }
        let shared = self.shared.clone();
        let mut seen = shared.write();
        self.let_go(&mut seen);
        self.pages.begin();
        // Where even that fails the next start finds nothing it can open.
        let _ = self.make_file(&mut seen);
        self.let_go(&mut seen);
    }

    fn file(&self) -> Result<&File, Failure> {
        self.file.as_ref().ok_or(Failure)
    }

    /// Drops redb without letting it write: what is durable is what counts.
    fn let_go(&mut self, seen: &mut Option<View>) {
        self.pages.close();
        let (view, file) = (seen.take(), self.file.take());
        // A panic on the way out changes nothing about that.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            drop(view);
            drop(file);
        }));
    }
}
