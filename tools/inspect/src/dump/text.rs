//! A dump as text.

use std::fmt::Write as _;

use super::{Dump, DumpDisk, DumpFrame, DumpLabel, DumpRecord, DumpSegment};
use crate::report::printable;

/// The dump as text, ending in a newline.
#[must_use]
pub fn text(dump: &Dump) -> String {
    let mut out = String::new();
    for line in &dump.unreadable {
        put(&mut out, 0, &printable(line));
    }
    if let Some(pool) = &dump.pool {
        put(&mut out, 0, &format!("pool {pool}"));
    }
    dump.disks.iter().for_each(|disk| put_disk(&mut out, disk));
    dump.segments
        .iter()
        .for_each(|segment| put_segment(&mut out, segment));
    out
}

fn put(out: &mut String, depth: usize, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:1$}{text}", "", 2 * depth);
}

fn put_disk(out: &mut String, disk: &DumpDisk) {
    put(
        out,
        0,
        &format!("disk {} ({})", disk.id, printable(&disk.file)),
    );
    put(
        out,
        1,
        &format!(
            "number {} of {}, {} bytes, {} units of {} bytes from {}, index area {} bytes, \
         incompatible features {:#x}",
            disk.ordinal + 1,
            disk.disk_count,
            disk.disk_bytes,
            disk.unit_count,
            disk.unit_bytes,
            disk.extents_offset,
            disk.index_bytes,
            disk.incompat
        ),
    );
    match &disk.label {
        Some(label) => put_label(out, label, disk.generations),
        None => put(out, 1, "no dynamic label"),
    }
    for fault in &disk.label_faults {
        put(out, 1, &format!("label block: {fault}"));
    }
    for (number, copy) in disk.key_state.iter().enumerate() {
        put(out, 1, &format!("key-state copy {number}: {copy}"));
    }
}

fn put_label(out: &mut String, label: &DumpLabel, generations: usize) {
    put(
        out,
        1,
        &format!(
            "label generation {} (of {generations} found), epoch {}, watermark {}, next segment {}, \
         journal segment {}, units below {} used, {}",
            label.generation,
            label.epoch,
            label.watermark,
            label.next_segment,
            label.journal_segment,
            label.units_high_water,
            if label.clean_stop {
                "stopped in order"
            } else {
                "in use or not stopped in order"
            }
        ),
    );
    for (disk, state, generation, forgotten) in &label.members {
        let mut line = format!("member {disk}: {state}, generation {generation}");
        if *forgotten > 0 {
            line.push_str(&format!(", forgot {forgotten} frames"));
        }
        put(out, 2, &line);
    }
    for (epoch, sequence, header) in &label.cutoffs {
        put(
            out,
            2,
            &format!("epoch {epoch} ends with frame {sequence}, header {header}"),
        );
    }
}

fn optional<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

fn put_segment(out: &mut String, segment: &DumpSegment) {
    put(
        out,
        0,
        &format!(
            "segment {}: lane {}, epoch {}, {} units, first sequence {}, previous segment {}, {} frames",
            segment.segment,
            optional(segment.lane),
            optional(segment.epoch),
            optional(segment.units),
            optional(segment.first_sequence),
            optional(segment.previous_segment),
            segment.frame_count
        ),
    );
    for (file, unit) in &segment.copies {
        put(
            out,
            1,
            &format!("copy at unit {unit} of {}", printable(file)),
        );
    }
    if let Some(seal) = &segment.seal {
        put(
            out,
            1,
            &format!(
                "sealed: {} units, {} frames, data end {}, digest {}",
                seal.units, seal.frames, seal.data_end, seal.digest
            ),
        );
        if let Some((size, root)) = &seal.log {
            put(out, 1, &format!("log size {size}, root {root}"));
        }
    }
    segment
        .frames
        .iter()
        .for_each(|frame| put_frame(out, frame));
}

fn put_frame(out: &mut String, frame: &DumpFrame) {
    put(
        out,
        1,
        &format!(
            "frame {} at {}: {} bytes, payload {}, sequence {}, epoch {}, committed through {}{}, \
         {} copies, {}",
            frame.frame,
            frame.offset,
            frame.total_bytes,
            frame.payload_bytes,
            frame.sequence,
            frame.epoch,
            frame.committed_through,
            if frame.list { ", chunk list" } else { "" },
            frame.holders.len(),
            frame.payload_digest
        ),
    );
    frame
        .records
        .iter()
        .for_each(|record| put_record(out, record));
}

fn put_record(out: &mut String, record: &DumpRecord) {
    put(
        out,
        2,
        &format!(
            "record {} {}: epoch {}, compliance {}, wall {}, lock {} until {}, hold {}, key {}, \
         bucket {}, object {}, version {}, client {}, body {} + {} bytes",
            record.log_index,
            record.record_type,
            record.epoch,
            record.compliance_ms,
            record.wall_ms,
            record.mode,
            record.retain_until_ms,
            record.hold,
            record.key_index,
            record.bucket,
            record.object,
            record.version,
            if record.client.is_empty() {
                "none"
            } else {
                &record.client
            },
            record.clear_bytes,
            record.attached_bytes
        ),
    );
}
