//! The header page of the index file and the choice among those that mirrors hold.
//!
//! Plaintext, then encrypted like all pages: 0 magic, 8 version u16, 10 half u16, 12 mirrors u32,
//! 16 sequence u64, 24 epoch u64, 32 file bytes u64, 512 redb's super-header, 4064 digest.
//!
//! It is written alternately to two places, so that one of them is always whole. The *epoch* changes
//! when the set of mirrors in use does, to a number no other start can choose: a mirror with another
//! one than the newest is stale.

use crate::index::codec::{Malformed, Reader, Writer};
use crate::index::crypt::{Page, PageCipher};
use crate::index::limits::{HEADER_PAGES, PAGE_BYTES, SUPER_HEADER_BYTES};
use crate::index::message::MirrorState;
use crate::index::mirror::Mirror;

const MAGIC: [u8; 8] = *b"STELEIDX";
const VERSION: u16 = 1;
/// The half of the area in use. The other one is for replacing the key.
const HALF: u16 = 0;
const SUPER_HEADER_AT: usize = 512;
const DIGEST_AT: usize = PAGE_BYTES - 32;

/// What the areas hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A file under this key.
    File,
    /// Nothing was ever written.
    Blank,
    /// Something else: another key, or not an index.
    Foreign,
}

/// The decoded header.
#[derive(Clone)]
pub(super) struct Header {
    /// Mirrors in use.
    pub(super) mirrors: u32,
    /// Grows with every write of the header.
    pub(super) sequence: u64,
    /// Names the set of mirrors in use.
    pub(super) epoch: u64,
    /// Length of the file.
    pub(super) file_bytes: u64,
    /// The start of redb's page 0.
    pub(super) super_header: [u8; SUPER_HEADER_BYTES],
}

impl Header {
    /// The page to write at [`Header::place`].
    pub(super) fn encode(&self, cipher: &PageCipher) -> Box<Page> {
        let mut out = Writer::new();
        out.raw(&MAGIC).u16(VERSION).u16(HALF).u32(self.mirrors);
        out.u64(self.sequence).u64(self.epoch).u64(self.file_bytes);
        let fields = out.finish();
        let mut page = Box::new([0; PAGE_BYTES]);
        page[..fields.len()].copy_from_slice(&fields);
        page[SUPER_HEADER_AT..SUPER_HEADER_AT + SUPER_HEADER_BYTES]
            .copy_from_slice(&self.super_header);
        let digest = cipher.digest(&page[..DIGEST_AT]);
        page[DIGEST_AT..].copy_from_slice(&digest);
        cipher.seal(self.place(), &mut page);
        page
    }

    fn decode(cipher: &PageCipher, place: u64, page: &mut Page) -> Result<Self, Malformed> {
        cipher.open(place, page);
        if cipher.digest(&page[..DIGEST_AT]) != page[DIGEST_AT..] {
            return Err(Malformed);
        }
        let mut from = Reader::new(page.as_slice());
        if from.array()? != MAGIC || from.u16()? != VERSION || from.u16()? != HALF {
            return Err(Malformed);
        }
        let mut header = Self {
            mirrors: from.u32()?,
            sequence: from.u64()?,
            epoch: from.u64()?,
            file_bytes: from.u64()?,
            super_header: [0; SUPER_HEADER_BYTES],
        };
        let super_header = &page[SUPER_HEADER_AT..SUPER_HEADER_AT + SUPER_HEADER_BYTES];
        header.super_header.copy_from_slice(super_header);
        if header.place() == place {
            Ok(header)
        } else {
            Err(Malformed)
        }
    }

    /// Headers alternate between their two places.
    pub(super) const fn place(&self) -> u64 {
        self.sequence % HEADER_PAGES
    }
}

/// Finds the newest header and sets the states of the mirrors by it. Mirrors that failed in this run
/// are not believed again.
pub(super) fn look_at_headers(cipher: &PageCipher, mirrors: &mut [Mirror]) -> (Header, Found) {
    let mut newest: Vec<Option<Header>> = Vec::with_capacity(mirrors.len());
    let mut blank = true;
    for mirror in mirrors.iter() {
        let mut best: Option<Header> = None;
        let failed = mirror.state() == MirrorState::Failed;
        for place in (0..HEADER_PAGES).filter(|_| !failed) {
            let Ok(mut page) = mirror.read_raw(place) else {
                continue;
            };
            blank &= page.iter().all(|byte| *byte == 0);
            if let Ok(header) = Header::decode(cipher, place, &mut page)
                && best
                    .as_ref()
                    .is_none_or(|best| best.sequence < header.sequence)
            {
                best = Some(header);
            }
        }
        newest.push(best);
    }
    let leader = newest
        .iter()
        .flatten()
        .max_by_key(|header| (header.epoch, header.sequence));
    let Some(header) = leader else {
        let found = if blank { Found::Blank } else { Found::Foreign };
        let super_header = [0; SUPER_HEADER_BYTES];
        return (
            Header {
                mirrors: 0,
                sequence: 0,
                epoch: 0,
                file_bytes: 0,
                super_header,
            },
            found,
        );
    };
    for (mirror, own) in mirrors.iter_mut().zip(&newest) {
        let follows = own.as_ref().is_some_and(|own| own.epoch == header.epoch);
        if mirror.state() != MirrorState::Failed {
            mirror.set_state(if follows {
                MirrorState::Active
            } else {
                MirrorState::Stale
            });
        }
    }
    (header.clone(), Found::File)
}
