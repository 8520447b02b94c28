//! The mirrored, encrypted file that redb believes to be its own.
//!
//! Invariants:
//! - a sync that returns has flushed every mirror still in use, and a mirror that failed on the way
//!   is recorded as out of use on the others before it returns;
//! - a page read is the page last written, or an error: tags are checked on every read, and the other
//!   mirror is asked before giving up (the page is then rewritten where it was bad). Only a disk that
//!   confirms writes, loses them and has no mirror beside it goes unnoticed until a scrub;
//! - redb's super-header, the only bytes redb overwrites in place, lies in the header page, which
//!   alternates between two places, so that it is always whole.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stele_device::area::Area;
use stele_device::disk::DiskError;

use crate::index::crypt::{INDEX_KEY_BYTES, Page, PageCipher, TAG_BLANK};
use crate::index::header::{Header, look_at_headers};
use crate::index::limits::{MIRRORS_MAX, PAGE_BYTES, PENDING_PAGES_MAX, SUPER_HEADER_BYTES};
use crate::index::message::MirrorState;
use crate::index::mirror::{Geometry, Mirror};

mod copying;

use self::copying::Copying;

const PAGE: u64 = PAGE_BYTES as u64;
/// Epochs a start can begin, as bits.
const EPOCH_BITS_PER_START: u32 = 20;

pub use crate::index::header::Found;

/// Why the file cannot do what redb asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PagesError {
    /// The file would outgrow its half of the area.
    #[error("the index area is full")]
    Full,
    /// No mirror can be used.
    #[error("no mirror of the index can be written or flushed")]
    NoMirror,
    /// A page is bad on every mirror.
    #[error("an index page is bad on every mirror")]
    BadPage,
    /// Let go of; nothing is read or written any more.
    #[error("the index file is closed")]
    Closed,
    /// Outside the file, or not whole pages.
    #[error("access outside the pages of the index file")]
    Misplaced,
}

struct State {
    mirrors: Vec<Mirror>,
    header: Header,
    /// Epochs begun in this run lie above, so that no two runs begin the same one.
    first_epoch: u64,
    /// Whether the header in memory differs from the durable one.
    header_dirty: bool,
    /// Whether anything was written since the last flush, also by an earlier run.
    unflushed: bool,
    /// Plaintext of pages not yet written out.
    pending: BTreeMap<u64, Box<Page>>,
    /// A mirror that is being made anew.
    copying: Option<Copying>,
    repaired_pages: u64,
    full: bool,
    closed: bool,
}

/// The file.
pub struct Pages {
    cipher: PageCipher,
    capacity_pages: u64,
    state: Mutex<State>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("capacity_pages", &self.capacity_pages)
            .finish_non_exhaustive()
    }
}

impl Pages {
    /// Looks at the areas, whose smallest bounds the file; those beyond [`MIRRORS_MAX`] stay unused. With [`Found::File`] the file is as it
    /// was; else [`Pages::begin`] makes an empty one. `start` is a number no earlier start has used.
    #[must_use]
    pub fn look(
        areas: Vec<Box<dyn Area>>,
        key: &[u8; INDEX_KEY_BYTES],
        start: u64,
    ) -> (Self, Found) {
        let cipher = PageCipher::new(key);
        let mut mirrors: Vec<Mirror> = areas
            .into_iter()
            .take(MIRRORS_MAX)
            .map(Mirror::new)
            .collect();
        let half_pages = mirrors.iter().map(Mirror::area_bytes).min().unwrap_or(0) / 2 / PAGE;
        let (header, found) = look_at_headers(&cipher, &mut mirrors);
        let state = State {
            mirrors,
            header,
            first_epoch: start << EPOCH_BITS_PER_START,
            header_dirty: false,
            unflushed: true,
            pending: BTreeMap::new(),
            copying: None,
            repaired_pages: 0,
            full: false,
            closed: false,
        };
        let capacity_pages = Geometry::file_pages(half_pages);
        let pages = Self {
            cipher,
            capacity_pages,
            state: Mutex::new(state),
        };
        pages.lock().note_mirror_count();
        (pages, found)
    }

    /// Forgets the file and starts an empty one on all areas, also those that were stale, but not on
    /// those that failed in this run.
    pub fn begin(&self) {
        let mut state = self.lock();
        for mirror in state
            .mirrors
            .iter_mut()
            .filter(|one| one.state() != MirrorState::Failed)
        {
            mirror.set_state(MirrorState::Active);
        }
        state.pending.clear();
        state.copying = None;
        (state.full, state.closed) = (false, false);
        state.header.file_bytes = 0;
        state.header.super_header = [0; SUPER_HEADER_BYTES];
        state.header.mirrors = 0;
        state.note_mirror_count();
    }

    /// Refuses all further work, so that letting go of redb writes nothing.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.pending.clear();
    }

    /// Goes on after [`Pages::close`] with what the last sync made durable. Returns whether a file
    /// was found.
    pub fn reopen(&self) -> bool {
        let mut state = self.lock();
        let (header, found) = look_at_headers(&self.cipher, &mut state.mirrors);
        state.header = header;
        state.pending.clear();
        state.copying = None;
        (state.full, state.closed) = (false, found != Found::File);
        (state.unflushed, state.header_dirty) = (true, false);
        state.note_mirror_count();
        found == Found::File
    }

    /// The areas back.
    #[must_use]
    pub fn into_areas(self) -> Vec<Box<dyn Area>> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        state.mirrors.into_iter().map(Mirror::into_area).collect()
    }

    /// Largest size of the file in bytes.
    #[must_use]
    pub const fn capacity_bytes(&self) -> u64 {
        self.capacity_pages * PAGE
    }

    /// States of the mirrors, in the order of their areas.
    #[must_use]
    pub fn mirror_states(&self) -> Vec<MirrorState> {
        self.lock().mirrors.iter().map(Mirror::state).collect()
    }

    /// Whether a mirror missed writes and can be brought up to date.
    #[must_use]
    pub fn has_stale_mirror(&self) -> bool {
        self.mirror_states().contains(&MirrorState::Stale)
    }

    /// Pages rewritten from the other mirror.
    #[must_use]
    pub fn repaired_pages(&self) -> u64 {
        self.lock().repaired_pages
    }

    /// Whether the file was asked to outgrow its area since it was opened.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.lock().full
    }

    /// Size of the file in bytes.
    ///
    /// # Errors
    /// [`PagesError::Closed`].
    pub fn file_bytes(&self) -> Result<u64, PagesError> {
        Ok(self.open_state()?.header.file_bytes)
    }

    /// Changes the size; new pages read as zeros.
    ///
    /// # Errors
    /// [`PagesError::Full`], also [`PagesError::Closed`] and [`PagesError::Misplaced`].
    pub fn set_len(&self, bytes: u64) -> Result<(), PagesError> {
        let mut state = self.open_state()?;
        if !bytes.is_multiple_of(PAGE) {
            return Err(PagesError::Misplaced);
        }
        if bytes > self.capacity_bytes() {
            state.full = true;
            return Err(PagesError::Full);
        }
        let (old, new) = (state.header.file_bytes / PAGE, bytes / PAGE);
        if new == old {
            return Ok(());
        }
        if new > old {
            state.grow(&self.cipher, old.max(1), new)?;
        } else {
            state.pending.split_off(&new);
            state.copy_ends_at(&self.cipher, new);
        }
        state.header.file_bytes = bytes;
        state.header_dirty = true;
        Ok(())
    }

    /// Reads whole pages, or a piece of page 0.
    ///
    /// # Errors
    /// [`PagesError::BadPage`], [`PagesError::Misplaced`], [`PagesError::Closed`].
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), PagesError> {
        let mut state = self.open_state()?;
        state.check_range(offset, into.len())?;
        if offset < PAGE {
            let start = to_usize(offset)?;
            for (at, byte) in into.iter_mut().enumerate() {
                *byte = state
                    .header
                    .super_header
                    .get(start + at)
                    .copied()
                    .unwrap_or(0);
            }
            return Ok(());
        }
        let (chunks, rest) = into.as_chunks_mut::<PAGE_BYTES>();
        if !offset.is_multiple_of(PAGE) || !rest.is_empty() {
            return Err(PagesError::Misplaced);
        }
        for (page, chunk) in (offset / PAGE..).zip(chunks) {
            state.read_page(&self.cipher, page, chunk)?;
        }
        Ok(())
    }

    /// Writes whole pages, or a piece of page 0. Durable after the next sync.
    ///
    /// # Errors
    /// [`PagesError::NoMirror`], [`PagesError::Misplaced`], [`PagesError::Closed`].
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<(), PagesError> {
        let mut state = self.open_state()?;
        state.check_range(offset, from.len())?;
        if offset < PAGE {
            return state.write_super_header(to_usize(offset)?, from);
        }
        let (chunks, rest) = from.as_chunks::<PAGE_BYTES>();
        if !offset.is_multiple_of(PAGE) || !rest.is_empty() {
            return Err(PagesError::Misplaced);
        }
        for (page, chunk) in (offset / PAGE..).zip(chunks) {
            state.pending.insert(page, Box::new(*chunk));
        }
        if state.pending.len() >= PENDING_PAGES_MAX {
            state.drain(&self.cipher)?;
        }
        Ok(())
    }

    /// Makes everything written durable on every mirror in use.
    ///
    /// # Errors
    /// [`PagesError::NoMirror`], [`PagesError::Closed`].
    pub fn sync(&self) -> Result<(), PagesError> {
        let mut state = self.open_state()?;
        if !state.unflushed && !state.header_dirty && state.pending.is_empty() {
            return Ok(());
        }
        state.drain(&self.cipher)?;
        let cipher = &self.cipher;
        state.on_active(|mirror| mirror.write_tags(cipher))?;
        loop {
            if state.header_dirty {
                state.write_header(cipher)?;
            }
            state.on_active(|mirror| mirror.flush())?;
            // A mirror that failed meanwhile has made the header dirty again.
            if !state.header_dirty {
                state.unflushed = false;
                return Ok(());
            }
        }
    }

    /// Adds an area as a mirror that missed everything, in the place of one that is missing or failed;
    /// [`Pages::resync`] takes it in. False when there is no such place or the area is too small.
    pub fn add_mirror(&self, area: Box<dyn Area>) -> bool {
        if Geometry::file_pages(area.len() / 2 / PAGE) < self.capacity_pages {
            return false;
        }
        let mut mirror = Mirror::new(area);
        mirror.set_state(MirrorState::Stale);
        let mut state = self.lock();
        let failed = |one: &&mut Mirror| one.state() == MirrorState::Failed;
        if state.mirrors.len() < MIRRORS_MAX {
            state.mirrors.push(mirror);
        } else if let Some(failed) = state.mirrors.iter_mut().find(failed) {
            *failed = mirror;
        } else {
            return false;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside redb never happens while this lock is held by half-done work of ours.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>, PagesError> {
        let state = self.lock();
        if state.closed {
            Err(PagesError::Closed)
        } else {
            Ok(state)
        }
    }
}

impl State {
    fn check_range(&self, offset: u64, bytes: usize) -> Result<(), PagesError> {
        let end = offset
            .checked_add(to_u64(bytes)?)
            .ok_or(PagesError::Misplaced)?;
        let limit = if offset < PAGE {
            PAGE
        } else {
            self.header.file_bytes
        };
        if end <= limit.min(self.header.file_bytes) {
            Ok(())
        } else {
            Err(PagesError::Misplaced)
        }
    }

    fn write_super_header(&mut self, start: usize, from: &[u8]) -> Result<(), PagesError> {
        let known = self.header.super_header.get_mut(start..start + from.len());
        let known = known.ok_or(PagesError::Misplaced)?;
        if known != from {
            known.copy_from_slice(from);
            self.header_dirty = true;
        }
        Ok(())
    }

    fn read_page(
        &mut self,
        cipher: &PageCipher,
        page: u64,
        into: &mut Page,
    ) -> Result<(), PagesError> {
        if let Some(pending) = self.pending.get(&page) {
            into.copy_from_slice(pending.as_slice());
            return Ok(());
        }
        match self.fetch(cipher, page)? {
            None => into.fill(0),
            Some(ciphertext) => {
                into.copy_from_slice(ciphertext.as_slice());
                cipher.open(Geometry::place(page), into);
            }
        }
        Ok(())
    }

    /// The ciphertext of a page from a mirror that has it right; the others are mended. None when no
    /// mirror has ever seen it written.
    ///
    /// Pages of a commit are the same on all mirrors. Two mirrors that hold different pages, both of
    /// them whole, mean that a disk lost a write it had confirmed, and nothing here says which.
    fn fetch(&mut self, cipher: &PageCipher, page: u64) -> Result<Option<Box<Page>>, PagesError> {
        let mut active: Vec<(usize, u64)> = Vec::with_capacity(MIRRORS_MAX);
        for (at, mirror) in self
            .mirrors
            .iter_mut()
            .enumerate()
            .filter(|(_, one)| one.is_active())
        {
            active.push((at, mirror.tag(cipher, page)));
        }
        if active.is_empty() {
            return Err(PagesError::NoMirror);
        }
        let agreed = active.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let mut good: Option<(u64, Box<Page>)> = None;
        let mut without = Vec::new();
        for (at, tag) in &active {
            let content = self
                .mirrors
                .get_mut(*at)
                .and_then(|one| one.read_page(cipher, page));
            match (content, &good) {
                (Some(_), Some((known, _))) if known != tag => return Err(PagesError::BadPage),
                (Some(_), Some(_)) => {}
                (Some(content), None) => good = Some((*tag, content)),
                (None, _) => without.push(*at),
            }
            if agreed && good.is_some() {
                break;
            }
        }
        let Some((_, ciphertext)) = good else {
            let blank = active.iter().all(|(_, tag)| *tag == TAG_BLANK);
            return if blank {
                Ok(None)
            } else {
                Err(PagesError::BadPage)
            };
        };
        for at in without {
            self.mend(cipher, at, page, &ciphertext)?;
        }
        Ok(Some(ciphertext))
    }

    fn mend(
        &mut self,
        cipher: &PageCipher,
        at: usize,
        page: u64,
        ciphertext: &Page,
    ) -> Result<(), PagesError> {
        let place = Geometry::place(page);
        let Some(mirror) = self.mirrors.get_mut(at) else {
            return Ok(());
        };
        mirror.set_tag(cipher, page, cipher.tag(ciphertext));
        let result = mirror
            .write_raw(place, ciphertext)
            .and_then(|()| mirror.write_tags(cipher));
        if result.is_err() {
            return self.drop_mirror(at);
        }
        self.repaired_pages += 1;
        Ok(())
    }

    fn grow(&mut self, cipher: &PageCipher, old: u64, new: u64) -> Result<(), PagesError> {
        let known_groups = Geometry::groups(old);
        // Pages behind the old end in a group that exists may be left from before a shrink.
        let partial_end = new.min(1 + known_groups * crate::index::limits::GROUP_PAGES);
        for mirror in self.mirrors.iter_mut().filter(|mirror| mirror.is_active()) {
            for page in old..partial_end {
                mirror.set_tag(cipher, page, TAG_BLANK);
            }
        }
        for group in known_groups..Geometry::groups(new) {
            self.on_active(|mirror| {
                mirror.begin_group(group);
                if mirror.is_tag_heavy() {
                    mirror.write_tags(cipher)
                } else {
                    Ok(())
                }
            })?;
        }
        self.unflushed = true;
        Ok(())
    }

    /// Writes the gathered pages out, in the order of their places.
    fn drain(&mut self, cipher: &PageCipher) -> Result<(), PagesError> {
        let pending = std::mem::take(&mut self.pending);
        self.unflushed = true;
        let mut sealed = Vec::with_capacity(pending.len());
        let mut tags = Vec::with_capacity(pending.len());
        for (page, mut content) in pending {
            let place = Geometry::place(page);
            tags.push((page, cipher.seal(place, &mut content)));
            sealed.push((place, content));
        }
        self.write_copied(cipher, &sealed, &tags);
        self.on_active(|mirror| {
            for (page, tag) in &tags {
                mirror.set_tag(cipher, *page, *tag);
            }
            mirror.write_pages(&sealed)?;
            if mirror.is_tag_heavy() {
                mirror.write_tags(cipher)
            } else {
                Ok(())
            }
        })
    }

    fn write_header(&mut self, cipher: &PageCipher) -> Result<(), PagesError> {
        self.header.sequence += 1;
        self.header_dirty = false;
        let place = self.header.place();
        let page = self.header.encode(cipher);
        self.on_active(|mirror| mirror.write_raw(place, page.as_slice()))
    }

    /// Does something on every mirror in use; one that fails is out of use from then on.
    fn on_active(
        &mut self,
        mut act: impl FnMut(&mut Mirror) -> Result<(), DiskError>,
    ) -> Result<(), PagesError> {
        let mut failed = Vec::new();
        for (at, mirror) in self
            .mirrors
            .iter_mut()
            .enumerate()
            .filter(|(_, one)| one.is_active())
        {
            if act(mirror).is_err() {
                failed.push(at);
            }
        }
        failed.into_iter().try_for_each(|at| self.drop_mirror(at))?;
        if self.mirrors.iter().any(Mirror::is_active) {
            Ok(())
        } else {
            Err(PagesError::NoMirror)
        }
    }

    fn drop_mirror(&mut self, at: usize) -> Result<(), PagesError> {
        if let Some(mirror) = self.mirrors.get_mut(at) {
            mirror.set_state(MirrorState::Failed);
        }
        self.note_mirror_count();
        if self.mirrors.iter().any(Mirror::is_active) {
            Ok(())
        } else {
            Err(PagesError::NoMirror)
        }
    }

    /// Starts a new epoch when other mirrors are in use than the header says.
    fn note_mirror_count(&mut self) {
        let active = self
            .mirrors
            .iter()
            .filter(|mirror| mirror.is_active())
            .count();
        for mirror in &self.mirrors {
            mirror.set_only(active == 1 && mirror.is_active());
        }
        let active = u32::try_from(active).expect("at most two mirrors");
        if self.header.mirrors != active {
            self.header.mirrors = active;
            self.header.epoch = self.header.epoch.max(self.first_epoch) + 1;
            self.header_dirty = true;
        }
    }
}

fn to_usize(value: u64) -> Result<usize, PagesError> {
    usize::try_from(value).map_err(|_| PagesError::Misplaced)
}

fn to_u64(value: usize) -> Result<u64, PagesError> {
    u64::try_from(value).map_err(|_| PagesError::Misplaced)
}
