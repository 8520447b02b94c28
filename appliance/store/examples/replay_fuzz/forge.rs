//! The journal of a vault, taken apart and put together again with something changed.

use stele_device::sim::disk::SimDiskHandle;
use stele_format::digest::Digest;
use stele_format::frame::FrameHeader;
use stele_format::record::{Body, RecordHeader, RecordReader, encode_record};
use stele_format::units::{
    BucketId, ByteOffset, Epoch, FrameIndex, KeyIndex, LogIndex, ObjectId, SegmentId, Sequence,
    UnixMillis, VersionId,
};

use super::chance::Chance;
use super::support::Rig;

/// A record as it can be written again.
#[derive(Clone)]
struct Parts {
    header: RecordHeader,
    body: Body,
    clear: Vec<u8>,
    attachments: Vec<Vec<u8>>,
}

struct Frame {
    header: FrameHeader,
    records: Vec<Parts>,
    /// Disk, and byte on it.
    places: Vec<(usize, u64)>,
}

/// Every frame of the journal.
pub struct Journal {
    frames: Vec<Frame>,
}

impl Journal {
    pub fn of(rig: &Rig) -> Self {
        let frames = rig.frames_of(true).into_iter().map(|header| {
            let places = rig.copies_of(&header);
            let (disk, at) = places[0];
            let handle = rig.handles[disk].as_ref().expect("a disk that holds it");
            let payload = handle.peek(at + 256, header.payload_bytes as usize);
            let records = RecordReader::new(&payload, header.record_count)
                .map(|view| {
                    let record = view.expect("a record").verify().expect("a good one");
                    let table = 0..record.attachment_table().len();
                    Parts {
                        header: record.header,
                        body: record.body().clone(),
                        clear: record.clear.to_vec(),
                        attachments: table
                            .filter_map(|number| record.attachment(number).map(<[u8]>::to_vec))
                            .collect(),
                    }
                })
                .collect();
            Frame {
                header,
                records,
                places,
            }
        });
        Self {
            frames: frames.collect(),
        }
    }

    /// Where some copy of some frame lies: disk, byte, length.
    pub fn any_place(&self, chance: &mut Chance) -> (usize, u64, usize) {
        let frame = &self.frames[chance.below(self.frames.len())];
        let (disk, at) = frame.places[chance.below(frame.places.len())];
        (disk, at, frame.header.total_bytes as usize)
    }

    /// Changes one frame and makes everything behind it in its segment right again, on all copies or on
    /// one.
    pub fn forge(&self, handles: &[SimDiskHandle], chance: &mut Chance) {
        let at = chance.below(self.frames.len());
        let segment = self.frames[at].header.segment;
        let behind = self.frames[at..].iter();
        let behind = behind.take_while(|frame| frame.header.segment == segment);
        let only = (chance.below(4) == 0).then(|| chance.below(3));
        let mut offset = self.frames[at].header.segment_offset;
        let mut frame_chain = self.frames[at].header.previous_header;
        let mut record_chain = self.frames[at]
            .records
            .first()
            .map(|r| r.header.previous_header);
        for (number, frame) in behind.enumerate() {
            let mut records = frame.records.clone();
            let mut header = frame.header;
            if number == 0 {
                change(&mut records, &mut header, chance);
            }
            let payload = together(&mut records, &mut record_chain);
            header.segment_offset = offset;
            header.previous_header = frame_chain;
            header.payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            header.payload_digest = Digest::of(&payload);
            header.total_bytes = FrameHeader::total_bytes_for(header.payload_bytes).unwrap_or(4096);
            if number == 0 && chance.below(16) == 0 {
                header.total_bytes = u32::try_from(chance.number() & 0xffff_ffff).unwrap_or(0);
            }
            let mut bytes = header.encode().to_vec();
            bytes.extend_from_slice(&payload);
            bytes.resize(bytes.len().next_multiple_of(4096), 0);
            let from = self.frames[at].header.segment_offset.get();
            for (disk, start) in &self.frames[at].places {
                if only.is_none_or(|only| only == *disk) {
                    handles[*disk].tamper(start + (offset.get() - from), &bytes);
                }
            }
            offset = ByteOffset::new(offset.get() + bytes.len() as u64);
            frame_chain = header.digest();
        }
    }
}

/// A payload of these records, each with the digest of the one before.
fn together(records: &mut [Parts], chain: &mut Option<Digest>) -> Vec<u8> {
    let mut payload = Vec::new();
    for record in records {
        if let Some(chain) = chain {
            record.header.previous_header = *chain;
        }
        let attachments: Vec<&[u8]> = record.attachments.iter().map(Vec::as_slice).collect();
        let mut header = record.header;
        match encode_record(header, &record.body, &attachments, &mut payload) {
            Ok(written) => header = written,
            Err(_) => {
                // What no writer would write, a forger does.
                header.clear_bytes = u32::try_from(record.clear.len()).unwrap_or(0);
                header.body_root = Digest::of(&record.clear);
                payload.extend_from_slice(&header.encode());
                payload.extend_from_slice(&record.clear);
                payload.extend(attachments.concat());
            }
        }
        *chain = Some(header.chain_digest());
    }
    payload
}

fn change(records: &mut Vec<Parts>, frame: &mut FrameHeader, chance: &mut Chance) {
    for _ in 0..=chance.below(3) {
        let count = records.len().max(1);
        let at = chance.below(count);
        match chance.below(10) {
            0 => change_frame(frame, chance),
            1 if records.len() > 1 => drop(records.remove(at)),
            2 if !records.is_empty() => records.insert(at, records[at].clone()),
            3 if records.len() > 1 => records.swap(0, at),
            4..=6 => {
                if let Some(record) = records.get_mut(at) {
                    change_header(&mut record.header, chance);
                }
            }
            _ => {
                if let Some(record) = records.get_mut(at) {
                    change_body(record, chance);
                }
            }
        }
    }
    if chance.below(12) != 0 {
        frame.record_count = u16::try_from(records.len()).unwrap_or(u16::MAX);
    }
}

fn change_frame(frame: &mut FrameHeader, chance: &mut Chance) {
    match chance.below(6) {
        0 => frame.sequence = Sequence::new(chance.instead_of(frame.sequence.get())),
        1 => {
            let index = chance.instead_of(frame.frame_index.get().into());
            frame.frame_index = FrameIndex::new(u32::try_from(index & 0xffff_ffff).unwrap_or(0));
        }
        2 => frame.epoch = Epoch::new(u32::try_from(chance.number() & 0xf_ffff).unwrap_or(0)),
        3 => {
            let committed = chance.instead_of(frame.committed_through.get());
            frame.committed_through = Sequence::new(committed);
        }
        4 => frame.compliance_ms = UnixMillis::new(chance.number()),
        _ => frame.segment = SegmentId::new(chance.instead_of(frame.segment.get())),
    }
}

fn change_header(header: &mut RecordHeader, chance: &mut Chance) {
    let id = |chance: &mut Chance| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&chance.number().to_be_bytes());
        id
    };
    match chance.below(10) {
        0 => header.log_index = LogIndex::new(chance.instead_of(header.log_index.get())),
        1 => header.epoch = Epoch::new(u32::try_from(chance.number() & 0xf_ffff).unwrap_or(0)),
        2 => header.compliance_ms = UnixMillis::new(chance.number()),
        3 => header.wall_ms = UnixMillis::new(chance.number()),
        4 => header.retain_until_ms = UnixMillis::new(chance.number()),
        5 => header.key_index = KeyIndex::new(chance.number()),
        6 => header.bucket = BucketId::new(id(chance)),
        7 => header.object = ObjectId::new(id(chance)),
        8 => header.version = VersionId::from_bytes(id(chance)),
        _ => header.hold = !header.hold,
    }
}

/// Changes bytes of the clear body, and takes it as the body where it is one.
fn change_body(record: &mut Parts, chance: &mut Chance) {
    if record.clear.is_empty() {
        return;
    }
    let at = chance.below(record.clear.len());
    match chance.below(3) {
        0 => record.clear[at] ^= 1 << chance.below(8),
        1 => {
            let number = chance.number().to_be_bytes();
            let width = [1, 2, 4, 8][chance.below(4)];
            let rest = record.clear.iter_mut().skip(at);
            rest.zip(&number[8 - width..])
                .for_each(|(to, from)| *to = *from);
        }
        _ => {
            record.clear.truncate(at);
        }
    }
    if let Ok((body, _)) = Body::decode(record.header.record_type, &record.clear) {
        record.body = body;
    }
}
