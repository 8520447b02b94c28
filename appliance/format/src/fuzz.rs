//! One function per decoder that must hold for any bytes: it never panics, and what it accepts
//! encodes to the same bytes.
//!
//! Digests would stop nearly every mutated input at the door, so each function tries the bytes as
//! they are and again with their digests made right. Golden files feed the mutator: a file belongs
//! to the target its name starts with.

use crate::digest::Digest;
use crate::frame::FrameHeader;
use crate::keystate::{KeyStateExpectation, KeyStateHeader};
use crate::label::{DynamicLabel, LabelCopy, LabelCopyBytes, StaticLabel, WipeMark, read_best};
use crate::limits::{BLOCK, BLOCK_DIGEST_OFFSET, LABEL_COPY_BYTES};
use crate::manifest::{BucketBody, ConfigBody, Manifest, decode_entry_list, encode_entry_list};
use crate::record::{
    Body, RecordHeader, RecordReader, RecordType, decode_chunk_list, encode_chunk_list,
};
use crate::segment::{Footer, SegmentHeader, SegmentSeal};
use crate::tree::Frontier;
use crate::units::ByteOffset;

/// A property of one decoder, stated over any bytes.
pub type Target = fn(&[u8]);

/// Every decoder, by the prefix of its golden files.
pub const TARGETS: &[(&str, Target)] = &[
    ("static-label", static_label),
    ("dynamic-label", dynamic_label),
    ("wipe-mark", wipe_mark),
    ("label-copy", label_copy),
    ("key-state", key_state),
    ("segment-header", segment_header),
    ("footer", footer),
    ("seal", seal),
    ("frame", frame),
    ("record-header", record_header),
    ("body", body),
    ("chunk-list", chunk_list),
    ("manifest", manifest),
    ("entry-list", entry_list),
    ("bucket", bucket),
    ("config", config),
    ("frontier", frontier),
];

/// The target a golden file belongs to.
#[must_use]
pub fn target_of(file_name: &str) -> Option<(&'static str, Target)> {
    let belongs = |name: &str| {
        file_name
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    TARGETS
        .iter()
        .copied()
        .filter(|(name, _)| belongs(name))
        .max_by_key(|(name, _)| name.len())
}

/// Makes the digest of a 4 KiB root structure right.
pub fn refit_block(bytes: &mut [u8]) {
    if let Some(block) = bytes.first_chunk_mut::<BLOCK>() {
        let (content, digest) = block.split_at_mut(BLOCK_DIGEST_OFFSET);
        digest.copy_from_slice(Digest::of(content).as_bytes());
    }
}

/// Makes the digest of the mark of a disk that is being wiped right.
pub fn refit_wipe_mark(bytes: &mut [u8]) {
    if let Some(block) = bytes.first_chunk_mut::<BLOCK>() {
        crate::label::seal_mark(block);
    }
}

/// Makes the header digest of a frame right.
pub fn refit_frame_header(bytes: &mut [u8]) {
    if let Some((content, rest)) = bytes.split_at_mut_checked(192)
        && let Some(digest) = rest.first_chunk_mut::<32>()
    {
        *digest = Digest::of(content).0;
    }
}

/// Makes the payload digest of a frame right, then its header digest.
pub fn refit_frame(bytes: &mut [u8]) {
    let length = bytes
        .get(76..80)
        .and_then(|field| <[u8; 4]>::try_from(field).ok());
    let length = length.map_or(0, |field| crate::codec::length(u32::from_le_bytes(field)));
    let end = length.saturating_add(256);
    let digest = bytes.get(256..end).map(Digest::of);
    if let (Some(digest), Some(field)) = (digest, bytes.get_mut(128..160)) {
        field.copy_from_slice(digest.as_bytes());
    }
    refit_frame_header(bytes);
}

/// Makes the digest of a footer right, wherever its count puts it.
pub fn refit_footer(bytes: &mut [u8]) {
    let count = bytes
        .get(12..16)
        .and_then(|field| <[u8; 4]>::try_from(field).ok());
    let count = count.map_or(0, |field| crate::codec::length(u32::from_le_bytes(field)));
    let end = Footer::bytes_for(count).saturating_sub(32);
    let digest = bytes.get(..end).map(Digest::of);
    if let (Some(digest), Some(field)) = (digest, bytes.get_mut(end..end.saturating_add(32))) {
        field.copy_from_slice(digest.as_bytes());
    }
}

fn with_refit(bytes: &[u8], refit: fn(&mut [u8]), property: impl Fn(&[u8])) {
    property(bytes);
    let mut whole = bytes.to_vec();
    refit(&mut whole);
    property(&whole);
}

fn static_label(bytes: &[u8]) {
    with_refit(bytes, refit_block, |bytes| {
        if let Ok(label) = StaticLabel::decode(bytes) {
            let place = *label.claimed_place();
            let printed = label.claims().encode(place.copy, place.block);
            assert!(printed == bytes, "static label: print differs from parse");
            assert!(
                label.verify(place).is_ok(),
                "static label: refused at its own place"
            );
        }
    });
}

fn dynamic_label(bytes: &[u8]) {
    with_refit(bytes, refit_block, |bytes| {
        if let Ok(label) = DynamicLabel::decode(bytes) {
            let place = *label.claimed_place();
            let printed = label.claims().encode_at(place.copy, place.offset);
            assert!(
                printed.is_ok_and(|print| print == bytes),
                "dynamic label: print differs"
            );
            let (pool, disk) = (label.claims().pool, label.claims().disk);
            assert!(
                label.verify(pool, disk, place).is_ok(),
                "dynamic label: refused at home"
            );
        }
    });
}

fn wipe_mark(bytes: &[u8]) {
    with_refit(bytes, refit_wipe_mark, |bytes| {
        if let Ok(mark) = WipeMark::decode(bytes) {
            let place = *mark.claimed_place();
            let printed = mark.claims().encode(place.copy);
            assert!(printed == bytes, "wipe mark: print differs from parse");
            assert!(mark.verify(place).is_ok(), "wipe mark: refused at home");
        }
    });
}

/// The bytes stand for the start of copy A; the rest of it is blank.
fn label_copy(bytes: &[u8]) {
    let mut whole = bytes.to_vec();
    whole.resize(crate::codec::length(LABEL_COPY_BYTES), 0);
    let copy = LabelCopyBytes {
        copy: LabelCopy::A,
        offset: ByteOffset::ZERO,
        bytes: &whole,
    };
    if let Ok(reading) = read_best(&[copy]) {
        let label = reading.fixed.encode(LabelCopy::A, 0);
        assert!(
            StaticLabel::decode(&label).is_ok(),
            "label copy: picked an unreadable label"
        );
    }
}

fn key_state(bytes: &[u8]) {
    with_refit(bytes, refit_block, |bytes| {
        let Some((block, rest)) = bytes.split_at_checked(BLOCK) else {
            return;
        };
        let Ok(header) = KeyStateHeader::decode(block) else {
            return;
        };
        let header = header.claims();
        let place = KeyStateExpectation {
            pool: header.pool,
            disk: header.disk,
            copy: header.copy,
        };
        if let Ok(body) = header.check_body(rest) {
            let printed = KeyStateHeader::encode(place, header.generation, body);
            let same = printed.is_ok_and(|print| bytes.starts_with(&print));
            assert!(same, "key state: print differs from parse");
        }
    });
}

fn segment_header(bytes: &[u8]) {
    with_refit(bytes, refit_block, |bytes| {
        if let Ok(header) = SegmentHeader::decode(bytes) {
            assert!(
                header.claims().encode() == bytes,
                "segment header: print differs"
            );
        }
    });
}

fn footer(bytes: &[u8]) {
    with_refit(bytes, refit_footer, |bytes| {
        if let Ok(footer) = Footer::decode(bytes) {
            let printed = footer.claims().encode();
            assert!(
                printed.is_ok_and(|(print, _)| print == bytes),
                "footer: print differs"
            );
        }
    });
}

fn seal(bytes: &[u8]) {
    with_refit(bytes, refit_block, |bytes| {
        if let Ok(seal) = SegmentSeal::decode(bytes) {
            assert!(
                seal.claims().encode() == bytes,
                "seal: print differs from parse"
            );
        }
    });
}

fn frame(bytes: &[u8]) {
    with_refit(bytes, refit_frame, |bytes| {
        let Some(head) = bytes.get(..256) else { return };
        let Ok(header) = FrameHeader::decode(head) else {
            return;
        };
        let header = header.claims();
        assert!(header.encode() == head, "frame: print differs from parse");
        let Ok(payload) = header.check_payload(bytes) else {
            return;
        };
        let mut whole = Vec::new();
        header.write_frame(payload, &mut whole);
        assert!(bytes.starts_with(&whole), "frame: print differs from parse");
        if header.lane.is_journal() {
            records(payload, header.record_count);
        } else if header.list {
            chunk_list(payload);
        }
    });
}

fn records(payload: &[u8], count: u16) {
    for record in RecordReader::new(payload, count) {
        let Ok(view) = record else { break };
        let offset = view.offset();
        let claims = *view.claims();
        let end = offset.saturating_add(claims.total_bytes());
        let stored = payload.get(offset..end).unwrap_or_default();
        if let Ok(record) = view.verify() {
            let printed = [&claims.encode(), record.clear, record.attachments].concat();
            assert!(printed == stored, "record: print differs from parse");
        }
    }
}

fn record_header(bytes: &[u8]) {
    if let Ok(header) = RecordHeader::decode(bytes) {
        assert!(
            header.claims().encode() == bytes,
            "record header: print differs from parse"
        );
    }
}

/// The first two bytes stand for the record type in the header.
fn body(bytes: &[u8]) {
    let Some((number, clear)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let Some(record_type) = RecordType::new(u16::from_le_bytes(*number)) else {
        return;
    };
    if let Ok((body, table)) = Body::decode(record_type, clear) {
        let known = !matches!(body, Body::Later(_));
        assert!(
            !known || body.encode(&table) == clear,
            "body: print differs from parse"
        );
        assert!(
            body.record_type() == record_type,
            "body: type differs from the header's"
        );
    }
}

fn chunk_list(bytes: &[u8]) {
    if let Ok(entries) = decode_chunk_list(bytes) {
        assert!(
            encode_chunk_list(&entries) == bytes,
            "chunk list: print differs from parse"
        );
    }
}

fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert!(
            *manifest.encode() == bytes,
            "manifest: print differs from parse"
        );
    }
}

fn entry_list(bytes: &[u8]) {
    if let Ok(entries) = decode_entry_list(bytes) {
        assert!(
            *encode_entry_list(&entries) == bytes,
            "entry list: print differs from parse"
        );
    }
}

fn bucket(bytes: &[u8]) {
    if let Ok(bucket) = BucketBody::decode(bytes) {
        assert!(
            *bucket.encode() == bytes,
            "bucket: print differs from parse"
        );
    }
}

fn config(bytes: &[u8]) {
    if let Ok(config) = ConfigBody::decode(bytes) {
        assert!(
            *config.encode() == bytes,
            "config: print differs from parse"
        );
    }
}

fn frontier(bytes: &[u8]) {
    if let Ok(frontier) = Frontier::decode(bytes) {
        assert!(
            frontier.encode() == bytes,
            "frontier: print differs from parse"
        );
        let mut next = frontier;
        next.push(next.root());
    }
}

/// A stream of numbers that a seed determines (SplitMix64).
#[derive(Clone, Debug)]
pub struct Mutator(u64);

/// Values that sit at the edges of lengths, counts and heads.
const EDGES: [u8; 12] = [
    0x00, 0x01, 0x17, 0x18, 0x1b, 0x1f, 0x5f, 0x7f, 0x80, 0x9f, 0xbf, 0xff,
];

impl Mutator {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        let value = self.next().checked_rem(bound).unwrap_or(0);
        usize::try_from(value).unwrap_or(0)
    }

    /// A mutated copy of one of the inputs; empty when there are none.
    #[must_use]
    pub fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let chosen = self.below(corpus.len());
        let mut bytes = corpus.get(chosen).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            self.step(&mut bytes, corpus);
        }
        bytes
    }

    /// Small structures at the front matter more than bulk behind them.
    fn position(&mut self, len: usize) -> usize {
        let bound = if self.below(2) == 0 {
            len.min(320)
        } else {
            len
        };
        self.below(bound)
    }

    fn step(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.position(bytes.len());
        let (edge, bit) = (self.below(EDGES.len()), self.below(8));
        let edge = EDGES.get(edge).copied().unwrap_or(0);
        match self.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            1 | 2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = edge;
                }
            }
            3 => bytes.truncate(at),
            4 => bytes.insert(at, edge),
            5 if at < bytes.len() => {
                bytes.remove(at);
            }
            _ => {
                let other = self.below(corpus.len());
                let other = corpus.get(other).map(Vec::as_slice).unwrap_or_default();
                let from = self.below(other.len());
                let end = from.saturating_add(1 + self.below(16)).min(other.len());
                let piece = other.get(from..end).unwrap_or_default();
                for (to, from) in bytes.iter_mut().skip(at).zip(piece) {
                    *to = *from;
                }
            }
        }
    }
}
