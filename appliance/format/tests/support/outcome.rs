//! Reads a golden file as its name says and reports the exact outcome.

use std::fmt::Debug;

use stele_format::codec::{DecodeError, is_blank};
use stele_format::frame::{FrameError, FrameExpectation, FrameHeader, SegmentWalk};
use stele_format::keystate::{KeyStateError, KeyStateHeader};
use stele_format::label::{
    DynamicLabel, LabelCopy, LabelCopyBytes, LabelError, LabelPlace, StaticLabel, WipeMark,
    read_best,
};
use stele_format::manifest::{BucketBody, ConfigBody, Manifest, decode_entry_list};
use stele_format::record::{
    Body, LogWalk, RecordError, RecordHeader, RecordReader, RecordType, decode_chunk_list,
};
use stele_format::segment::{
    FIRST_FRAME_OFFSET, Footer, SegmentError, SegmentExpectation, SegmentHeader, SegmentSeal,
};
use stele_format::tree::Frontier;
use stele_format::units::{ByteOffset, LaneId};

use super::{
    DISK, KEY_STATE_PLACE, POOL, SEGMENT, data_seal, dynamic_label, geometry, segment_header,
    wipe_mark,
};

/// What is wrong, in one line: structure, field, offset and fault, or the variant.
pub type Outcome = Result<(), String>;

fn line(error: DecodeError) -> String {
    let DecodeError {
        noun,
        field,
        offset,
        what,
    } = error;
    format!("{noun}.{field}@{offset} {what:?}")
}

fn debug(error: impl Debug) -> String {
    format!("{error:?}")
}

fn label_line(error: LabelError) -> String {
    match error {
        LabelError::Decode(error) => line(error),
        other => debug(other),
    }
}

fn key_state_line(error: KeyStateError) -> String {
    match error {
        KeyStateError::Decode(error) => line(error),
        other => debug(other),
    }
}

fn segment_line(error: SegmentError) -> String {
    match error {
        SegmentError::Decode(error) => line(error),
        other => debug(other),
    }
}

fn frame_line(error: FrameError) -> String {
    match error {
        FrameError::Decode(error) => line(error),
        other => debug(other),
    }
}

fn record_line(error: RecordError) -> String {
    match error {
        RecordError::Decode { at, error } => format!("record {at}: {}", line(error)),
        other => debug(other),
    }
}

/// Reads `bytes` as the named target, at the place the samples put it.
pub fn outcome(target: &str, bytes: &[u8]) -> Outcome {
    match target {
        "static-label" => {
            let place = LabelPlace {
                copy: LabelCopy::B,
                block: 1,
                offset: static_offset(),
            };
            let label = StaticLabel::decode(bytes).map_err(line)?;
            label.verify(place).map(drop).map_err(label_line)
        }
        "dynamic-label" => {
            let label = DynamicLabel::decode(bytes).map_err(line)?;
            let place = dynamic_label(63).place(&geometry(), LabelCopy::C);
            label
                .verify(POOL, DISK, place)
                .map(drop)
                .map_err(label_line)
        }
        "wipe-mark" => {
            let mark = WipeMark::decode(bytes).map_err(line)?;
            let place = wipe_mark().place(LabelCopy::D);
            mark.verify(place).map(drop).map_err(label_line)
        }
        "label-copy" => {
            let mut bytes = bytes.to_vec();
            bytes.resize(256 * 1024, 0);
            let copy = LabelCopyBytes {
                copy: LabelCopy::A,
                offset: ByteOffset::ZERO,
                bytes: &bytes,
            };
            match read_best(&[copy]).map_err(label_line)?.bad.first() {
                None => Ok(()),
                Some(bad) => Err(format!(
                    "block {}: {}",
                    bad.place.block,
                    label_line(bad.error)
                )),
            }
        }
        "key-state" => key_state(bytes),
        "segment-header" => {
            let expect = SegmentExpectation {
                lane: Some(LaneId::JOURNAL),
                disk: Some(DISK),
                ..SegmentExpectation::new(POOL, SEGMENT)
            };
            let header = SegmentHeader::decode(bytes).map_err(line)?;
            header.verify(expect).map(drop).map_err(segment_line)
        }
        "footer" => {
            let footer = Footer::decode(bytes).map_err(line)?;
            let seal = SegmentSeal::decode(&data_seal().1).unwrap();
            footer.verify(seal.claims()).map(drop).map_err(segment_line)
        }
        "seal" => {
            let seal = SegmentSeal::decode(bytes).map_err(line)?;
            let header = segment_header(LaneId::new(1));
            seal.verify(&header, ByteOffset::new(60 * 1024))
                .map(drop)
                .map_err(segment_line)
        }
        "frame" => frame(bytes),
        "segment" => segment(bytes),
        "record-header" => RecordHeader::decode(bytes).map(drop).map_err(line),
        "body" => {
            let (number, clear) = bytes.split_first_chunk().unwrap();
            let record_type = RecordType::new(u16::from_le_bytes(*number)).unwrap();
            Body::decode(record_type, clear).map(drop).map_err(line)
        }
        "chunk-list" => decode_chunk_list(bytes).map(drop).map_err(line),
        "manifest" => Manifest::decode(bytes).map(drop).map_err(line),
        "entry-list" => decode_entry_list(bytes).map(drop).map_err(line),
        "bucket" => BucketBody::decode(bytes).map(drop).map_err(line),
        "config" => ConfigBody::decode(bytes).map(drop).map_err(line),
        "frontier" => Frontier::decode(bytes).map(drop).map_err(line),
        other => panic!("no reader for {other}"),
    }
}

fn static_offset() -> ByteOffset {
    geometry().label_block_offset(LabelCopy::B, 1)
}

fn key_state(bytes: &[u8]) -> Outcome {
    let (block, rest) = bytes.split_at(4096.min(bytes.len()));
    let header = KeyStateHeader::decode(block).map_err(line)?;
    let header = header.verify(KEY_STATE_PLACE).map_err(key_state_line)?;
    header.check_body(rest).map(drop).map_err(key_state_line)
}

/// A whole frame, the first of its segment.
fn frame(bytes: &[u8]) -> Outcome {
    let head = bytes.get(..256).unwrap_or(bytes);
    let header = FrameHeader::decode(head).map_err(line)?;
    let lane = header.claims().lane;
    let mut expect = SegmentWalk::new(&segment_header(lane)).expectation();
    if !lane.is_journal() {
        expect = FrameExpectation {
            lane: None,
            ..expect
        };
    }
    let header = header.verify(expect).map_err(frame_line)?;
    let payload = header.check_payload(bytes).map_err(frame_line)?;
    if lane.is_journal() {
        records(payload, header.record_count)
    } else if header.list {
        decode_chunk_list(payload).map(drop).map_err(line)
    } else {
        Ok(())
    }
}

fn records(payload: &[u8], count: u16) -> Outcome {
    let mut log = LogWalk::new();
    for view in RecordReader::new(payload, count) {
        let record = view.and_then(|view| view.verify()).map_err(record_line)?;
        log.advance(&record.header).map_err(record_line)?;
    }
    Ok(())
}

/// A whole sealed segment, read from the front: header, frames, footer, seal, and nothing between.
fn segment(bytes: &[u8]) -> Outcome {
    let header = SegmentHeader::decode(&bytes[..4096]).map_err(line)?;
    let expect = header.claims();
    let expect = SegmentExpectation::new(expect.pool, expect.segment);
    let header = header.verify(expect).map_err(segment_line)?;
    let seal_at = bytes.len() - 4096;
    let seal = SegmentSeal::decode(&bytes[seal_at..]).map_err(line)?;
    let seal_offset = ByteOffset::new(seal_at.try_into().unwrap());
    let seal = seal.verify(&header, seal_offset).map_err(segment_line)?;
    let mut walk = SegmentWalk::new(&header);
    assert_eq!(walk.offset(), FIRST_FRAME_OFFSET);
    while walk.offset() < seal.data_end {
        let at = usize::try_from(walk.offset().get()).unwrap();
        let frame = FrameHeader::decode(&bytes[at..at + 256]).map_err(line)?;
        let frame = frame.verify(walk.expectation()).map_err(frame_line)?;
        let payload = frame.check_payload(&bytes[at..]).map_err(frame_line)?;
        if header.lane.is_journal() {
            records(payload, frame.record_count)?;
        }
        walk.advance(&frame);
    }
    if walk.chain_head() != seal.chain_head || walk.frame_count() != seal.frame_count {
        return Err("seal contradicts frames".to_owned());
    }
    let at = usize::try_from(seal.footer_offset.get()).unwrap();
    let end = at
        + usize::try_from(seal.footer_bytes)
            .unwrap()
            .next_multiple_of(4096);
    let footer = Footer::decode(&bytes[at..end]).map_err(line)?;
    footer.verify(&seal).map_err(segment_line)?;
    let data_end = usize::try_from(seal.data_end.get()).unwrap();
    if is_blank(&bytes[data_end..at]) && is_blank(&bytes[end..seal_at]) {
        Ok(())
    } else {
        Err("gap in use".to_owned())
    }
}
