//! Downloads: pieces of a version, one after the other, until one cannot be had.

use std::collections::VecDeque;

use stele_device::buffer::BufferMut;
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::manifest::ManifestEntry;

use super::Engine;
use super::damage::{Lost, Told};
use super::reads::ReadFor;
use crate::index::rows::RecordLocation;
use crate::keys::chunk::ChunkKey;
use crate::policy::Asker;
use crate::read::{Download, Piecework};
use crate::request::{Answer, ObjectInfo, Piece, Refusal, RequestId, StreamId};

/// A download in progress.
pub(crate) struct GetStream {
    /// Who opened it.
    pub(super) asker: Asker,
    download: Download,
    /// A list chunk is being opened; requests wait behind it.
    expanding: bool,
    waiting: VecDeque<RequestId>,
    /// Why a piece could not be had. The stream ends there: what came next would hide the gap.
    refused: Option<Refusal>,
    pub(super) touched_ms: u64,
}

impl Engine {
    /// Opens a download.
    pub(super) fn open_get(
        &mut self,
        asker: Asker,
        download: Download,
        info: Box<ObjectInfo>,
    ) -> Answer {
        let range = download.range;
        let stream = StreamId(self.number());
        let get = GetStream {
            asker,
            download,
            expanding: false,
            waiting: VecDeque::new(),
            refused: None,
            touched_ms: self.now.monotonic_ms,
        };
        self.gets.insert(stream, get);
        Answer::Opened {
            stream,
            info,
            range,
        }
    }

    /// Forgets a download; what waits on it is refused.
    pub(super) fn close_get(&mut self, stream: StreamId) {
        let Some(get) = self.gets.remove(&stream) else {
            return;
        };
        let reading = self
            .reads
            .extract_if(.., |_, read| read.stream() == Some(stream));
        let asked: Vec<RequestId> = reading
            .filter_map(|(_, read)| read.request())
            .chain(get.waiting)
            .collect();
        for id in asked {
            self.io.reply(id, Err(Refusal::NoSuchStream));
        }
    }

    /// The next piece of a download.
    pub(super) fn next_data(&mut self, id: RequestId, stream: StreamId) {
        let now = self.now.monotonic_ms;
        let Some(get) = self.gets.get_mut(&stream) else {
            let why = self.refused.why(stream, now);
            return self.io.reply(id, Err(why));
        };
        get.touched_ms = now;
        if let Some(refusal) = get.refused.clone() {
            return self.io.reply(id, Err(refusal));
        }
        if get.expanding {
            return get.waiting.push_back(id);
        }
        let location = get.download.location;
        match get.download.next() {
            Piecework::End => self.io.reply(id, Ok(Answer::End)),
            Piecework::Damaged => {
                self.name_damage(Told::Piece(id, stream), Lost::record(&location));
            }
            Piecework::Inline {
                entry,
                sealed,
                skip,
                take,
            } => match self.open_inline(&entry, &sealed, skip, take) {
                Some(piece) => self.io.reply(id, Ok(Answer::Data(piece))),
                None => self.name_damage(Told::Piece(id, stream), Lost::record(&location)),
            },
            Piecework::Chunk { entry, skip, take } => {
                let purpose = ReadFor::Chunk {
                    request: id,
                    stream,
                    entry,
                    skip,
                    take,
                };
                self.locate_chunk(purpose);
            }
            Piecework::List { entry } => {
                get.expanding = true;
                get.waiting.push_back(id);
                self.locate_chunk(ReadFor::List { stream, entry });
            }
        }
    }

    /// A piece of a download cannot be had, and so nothing after it.
    pub(super) fn break_off(&mut self, stream: StreamId, asked: &[RequestId], refusal: &Refusal) {
        if let Some(get) = self.gets.get_mut(&stream) {
            get.refused.get_or_insert_with(|| refusal.clone());
        }
        for id in asked {
            self.io.reply(*id, Err(refusal.clone()));
        }
    }

    /// The record whose manifest a download follows.
    pub(super) fn record_of(&self, stream: StreamId) -> Option<RecordLocation> {
        self.gets.get(&stream).map(|get| get.download.location)
    }

    fn open_inline(
        &self,
        entry: &ManifestEntry,
        sealed: &[u8],
        skip: usize,
        take: usize,
    ) -> Option<Piece> {
        let header = FRAME_HEADER_BYTES as usize;
        let block = BLOCK_BYTES as usize;
        let mut buffer = BufferMut::zeroed((header + sealed.len()).next_multiple_of(block));
        buffer[header..header + sealed.len()].copy_from_slice(sealed);
        let key = ChunkKey::copy_of(entry.key.expose());
        let plain = usize::try_from(entry.plain_bytes.get()).ok()?;
        let text = &mut buffer[header..header + sealed.len()];
        crate::keys::chunk::open_chunk(&*self.world.aead, &key, text, plain).ok()?;
        Some(Piece {
            buffer,
            start: header + skip,
            len: take,
        })
    }

    /// A list chunk was opened: its entries are next.
    pub(super) fn expanded(&mut self, stream: StreamId, entries: Vec<ManifestEntry>) {
        let Some(get) = self.gets.get_mut(&stream) else {
            return;
        };
        get.expanding = false;
        get.download.expand(entries);
        for id in std::mem::take(&mut get.waiting) {
            self.next_data(id, stream);
        }
    }

    /// A list chunk cannot be had.
    pub(super) fn not_expanded(&mut self, stream: StreamId, refusal: &Refusal) {
        let Some(get) = self.gets.get_mut(&stream) else {
            return;
        };
        get.expanding = false;
        let waiting = Vec::from(std::mem::take(&mut get.waiting));
        self.break_off(stream, &waiting, refusal);
    }
}
