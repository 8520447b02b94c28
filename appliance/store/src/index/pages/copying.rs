//! A mirror that missed writes is made anew, piece by piece, while the others are used.
//!
//! Invariants: from before its first page is overwritten until its last one is flushed the mirror has no header, so that
//! a start finds either all of the file on it or nothing; what is written meanwhile goes to it too where it was copied
//! already.

use crate::index::crypt::{Page, PageCipher, TAG_BLANK};
use crate::index::limits::{HEADER_PAGES, PAGE_BYTES, WRITE_RUN_PAGES_MAX};
use crate::index::message::MirrorState;
use crate::index::mirror::{Geometry, Mirror, TAG_UNKNOWN};

use super::{PAGE, Pages, PagesError, State};

/// How far a mirror is copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copying {
    target: usize,
    /// The next page of the file.
    next: u64,
}

impl Pages {
    /// Copies the file to mirrors that are stale and takes them in again.
    ///
    /// # Errors
    /// [`PagesError::NoMirror`], [`PagesError::Closed`]. A target that fails stays out and is no
    /// error.
    pub fn resync(&self) -> Result<(), PagesError> {
        self.sync()?;
        while self.resync_some(u64::MAX)? {}
        Ok(())
    }

    /// Copies at most so many pages more; whether it did: false where no mirror is stale, or none is whole.
    ///
    /// # Errors
    /// As of [`Pages::resync`].
    pub fn resync_some(&self, pages: u64) -> Result<bool, PagesError> {
        let mut state = self.open_state()?;
        if !state.copy_some(&self.cipher, pages) {
            return Ok(false);
        }
        let copied = state.copying.is_none();
        drop(state);
        if copied {
            self.sync()?;
        }
        Ok(true)
    }
}

impl State {
    /// Goes on with a copy, or begins one; false where no mirror is stale.
    fn copy_some(&mut self, cipher: &PageCipher, pages: u64) -> bool {
        if !self.mirrors.iter().any(Mirror::is_active) {
            return false;
        }
        let stale = |one: &Mirror| one.state() == MirrorState::Stale;
        let Some(mut copying) = self.copying.take().or_else(|| {
            let target = self.mirrors.iter().position(stale)?;
            Some(Copying { target, next: 1 })
        }) else {
            return false;
        };
        let file_pages = self.header.file_bytes / PAGE;
        let end = file_pages.min(copying.next.saturating_add(pages));
        let begun = match copying.next {
            1 => self.forget_header(copying.target),
            _ => Some(()),
        };
        let done = begun.and_then(|()| {
            let mut run = Vec::new();
            for page in copying.next..end {
                self.copy_page(cipher, (copying.target, page), &mut run)?;
            }
            let target = self.mirrors.get_mut(copying.target)?;
            target.write_pages(&run).ok()?;
            target.write_tags(cipher).ok()?;
            target.flush().ok()
        });
        copying.next = copying.next.max(end);
        let ends = copying.next >= file_pages;
        match done {
            Some(()) if !ends => self.copying = Some(copying),
            // What could not be read may have been the end of the disk it was read from.
            Some(()) if self.on_active(|mirror| mirror.flush()).is_err() => {}
            Some(()) => self.set_state(copying.target, MirrorState::Active),
            None => self.set_state(copying.target, MirrorState::Failed),
        }
        self.note_mirror_count();
        true
    }

    fn set_state(&mut self, target: usize, state: MirrorState) {
        if let Some(mirror) = self.mirrors.get_mut(target) {
            mirror.set_state(state);
        }
    }

    fn forget_header(&mut self, target: usize) -> Option<()> {
        let mirror = self.mirrors.get_mut(target)?;
        for place in 0..HEADER_PAGES {
            mirror.write_raw(place, &[0; PAGE_BYTES]).ok()?;
        }
        mirror.flush().ok()
    }

    /// Takes a page into the run that is written next, and writes that where it is long.
    fn copy_page(
        &mut self,
        cipher: &PageCipher,
        (target, page): (usize, u64),
        run: &mut Vec<(u64, Box<Page>)>,
    ) -> Option<()> {
        let content = self.fetch(cipher, page);
        let mirror = self.mirrors.get_mut(target)?;
        let (group, at) = Geometry::group_of(page);
        if at == 0 {
            if mirror.is_tag_heavy() {
                mirror.write_tags(cipher).ok()?;
            }
            mirror.begin_group(group);
        }
        let ciphertext = match content {
            Ok(Some(ciphertext)) => ciphertext,
            Ok(None) => return Some(()),
            // A page no commit uses may be torn since a power cut. If one does, it is as bad here as there.
            Err(_) => {
                mirror.set_tag(cipher, page, TAG_UNKNOWN);
                return Some(());
            }
        };
        mirror.set_tag(cipher, page, cipher.tag(&ciphertext));
        run.push((Geometry::place(page), ciphertext));
        if run.len() >= WRITE_RUN_PAGES_MAX {
            mirror.write_pages(run).ok()?;
            run.clear();
        }
        Some(())
    }

    /// Pages that are written while a mirror is copied: what was copied already is written there too.
    pub(super) fn write_copied(
        &mut self,
        cipher: &PageCipher,
        sealed: &[(u64, Box<Page>)],
        tags: &[(u64, u64)],
    ) {
        let Some(Copying { target, next }) = self.copying else {
            return;
        };
        let written = tags
            .iter()
            .zip(sealed)
            .try_for_each(|((page, tag), piece)| {
                if *page >= next {
                    return Some(());
                }
                let mirror = self.mirrors.get_mut(target)?;
                mirror.set_tag(cipher, *page, *tag);
                let (place, content) = piece;
                mirror.write_raw(*place, content.as_slice()).ok()
            });
        if written.is_none() {
            self.copying = None;
            self.set_state(target, MirrorState::Failed);
        }
    }

    /// The file ends at this page from now on: those behind it were never written where it grows again.
    pub(super) fn copy_ends_at(&mut self, cipher: &PageCipher, pages: u64) {
        let Some(copying) = &mut self.copying else {
            return;
        };
        let Some(mirror) = self.mirrors.get_mut(copying.target) else {
            return;
        };
        for page in pages.max(1)..copying.next {
            mirror.set_tag(cipher, page, TAG_BLANK);
        }
        copying.next = copying.next.min(pages.max(1));
    }
}
