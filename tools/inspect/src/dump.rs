//! What the disks hold, laid open for a person: labels, key-state headers, segments, frames and
//! record headers. Never plaintext, as there are no keys here; and nothing is judged.

mod text;

use std::time::Duration;

use serde::Serialize;
use stele_format::label::DynamicLabel;
use stele_format::record::{RecordHeader, RecordReader};
use stele_format::units::SegmentId;

pub use self::text::text;
use crate::compare::{Reference, SegmentFacts, examine};
use crate::journal::read_frame_bytes;
use crate::keystate::{KeyCopy, read_copies};
use crate::pool::{self, Pool, PoolDisk, PoolError, member_word};
use crate::source::Source;
use crate::survey::Survey;
use crate::verdict::{DiskState, Ledger, Verdict};

/// What to print beyond the overview.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Only this segment, with its frames.
    pub segment: Option<u64>,
    /// Frames and record headers of journal segments.
    pub records: bool,
}

/// Everything printed.
#[derive(Debug, Default, Serialize)]
pub struct Dump {
    /// The pool.
    pub pool: Option<String>,
    /// Disks that could be read.
    pub disks: Vec<DumpDisk>,
    /// What could not be read, and why.
    pub unreadable: Vec<String>,
    /// Segments in order.
    pub segments: Vec<DumpSegment>,
}

/// One disk.
#[derive(Debug, Serialize)]
pub struct DumpDisk {
    /// File or device.
    pub file: String,
    /// Its id.
    pub id: String,
    /// Its place in the pool, from 0.
    pub ordinal: u16,
    /// Disks of the pool when it was made.
    pub disk_count: u16,
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Bytes of a unit.
    pub unit_bytes: u32,
    /// Units of the disk.
    pub unit_count: u32,
    /// Where unit 0 lies.
    pub extents_offset: u64,
    /// Bytes of the index area.
    pub index_bytes: u64,
    /// Incompatible feature bits.
    pub incompat: u64,
    /// Its newest dynamic label.
    pub label: Option<DumpLabel>,
    /// Generations found in its rings.
    pub generations: usize,
    /// Label blocks that are neither blank nor right.
    pub label_faults: Vec<String>,
    /// Its key-state copies.
    pub key_state: Vec<String>,
}

/// A dynamic label.
#[derive(Debug, Serialize)]
pub struct DumpLabel {
    /// Generation.
    pub generation: u64,
    /// Epoch.
    pub epoch: u32,
    /// Journal frame known durable.
    pub watermark: u64,
    /// Segment ids below are used.
    pub next_segment: u64,
    /// Newest open journal segment.
    pub journal_segment: u64,
    /// Units below may be in use.
    pub units_high_water: u32,
    /// Stopped in order.
    pub clean_stop: bool,
    /// Members: id, state, generation, frames it forgot.
    pub members: Vec<(String, &'static str, u64, u32)>,
    /// Cut-offs: epoch, last sequence, last header digest.
    pub cutoffs: Vec<(u32, u64, String)>,
}

/// One segment.
#[derive(Debug, Serialize)]
pub struct DumpSegment {
    /// Its id.
    pub segment: u64,
    /// Its lane.
    pub lane: Option<u16>,
    /// Epoch that opened it.
    pub epoch: Option<u32>,
    /// Units allocated.
    pub units: Option<u32>,
    /// First sequence.
    pub first_sequence: Option<u64>,
    /// Segment of the lane before it.
    pub previous_segment: Option<u64>,
    /// Copies: file, first unit.
    pub copies: Vec<(String, u32)>,
    /// Frames that verify on any copy.
    pub frame_count: u64,
    /// Its seal: units kept, frames, end of frames, log size and root.
    pub seal: Option<DumpSeal>,
    /// Its frames, when asked for.
    pub frames: Vec<DumpFrame>,
}

/// A seal.
#[derive(Debug, Serialize)]
pub struct DumpSeal {
    /// Units kept.
    pub units: u32,
    /// Frames.
    pub frames: u32,
    /// End of the frames.
    pub data_end: u64,
    /// Log size and root it repeats.
    pub log: Option<(u64, String)>,
    /// Digest of the block.
    pub digest: String,
}

/// One frame.
#[derive(Debug, Serialize)]
pub struct DumpFrame {
    /// Number in the segment.
    pub frame: u32,
    /// Byte offset in the segment.
    pub offset: u64,
    /// Bytes with header and padding.
    pub total_bytes: u32,
    /// Bytes of payload.
    pub payload_bytes: u32,
    /// Sequence in the lane.
    pub sequence: u64,
    /// Epoch.
    pub epoch: u32,
    /// Journal frame known durable when it was built.
    pub committed_through: u64,
    /// Clear chunk list.
    pub list: bool,
    /// Digest of the payload.
    pub payload_digest: String,
    /// Files it verifies on.
    pub holders: Vec<String>,
    /// Record headers, when asked for.
    pub records: Vec<DumpRecord>,
}

/// One record header.
#[derive(Debug, Serialize)]
pub struct DumpRecord {
    /// Number in the log.
    pub log_index: u64,
    /// Type.
    pub record_type: String,
    /// Epoch.
    pub epoch: u32,
    /// Compliance clock.
    pub compliance_ms: u64,
    /// Wall clock.
    pub wall_ms: u64,
    /// Lock mode.
    pub mode: String,
    /// End of retention.
    pub retain_until_ms: u64,
    /// Legal hold.
    pub hold: bool,
    /// Key index.
    pub key_index: String,
    /// Bucket id.
    pub bucket: String,
    /// Object id.
    pub object: String,
    /// Version or upload id.
    pub version: String,
    /// Access key that asked for it; empty for none.
    pub client: String,
    /// Bytes of the clear body.
    pub clear_bytes: u32,
    /// Bytes of the attachments.
    pub attached_bytes: u32,
}

impl Dump {
    /// Exit status: 2 when something given could not be read.
    #[must_use]
    pub fn code(&self) -> u8 {
        let whole = self.unreadable.is_empty() && !self.disks.is_empty();
        if whole {
            Verdict::Clean.code()
        } else {
            Verdict::CannotJudge.code()
        }
    }
}

/// Gathers what was asked for.
///
/// # Errors
/// [`PoolError`] when the sources are not the disks of one vault.
pub fn dump(sources: &[Box<dyn Source>], wish: &Wish) -> Result<Dump, PoolError> {
    let mut ledger = Ledger::default();
    let pool = pool::open(sources, Duration::ZERO, &mut ledger)?;
    let report = ledger.finish();
    let refused = report
        .disks
        .iter()
        .filter(|disk| disk.state == DiskState::Unjudged);
    let unreadable = refused.map(|disk| format!("{}: {}", disk.file, disk.notes.join("; ")));
    let mut dump = Dump {
        unreadable: unreadable.collect(),
        ..Dump::default()
    };
    let Some(pool) = pool else { return Ok(dump) };
    dump.pool = Some(pool.id.to_string());
    dump.disks = pool.disks.iter().map(dump_disk).collect();
    let survey = Survey::of(&pool);
    for segment in survey.segments.keys() {
        if wish
            .segment
            .is_none_or(|wanted| SegmentId::new(wanted) == *segment)
        {
            let facts = examine(&pool, &survey, *segment, Duration::ZERO);
            dump.segments.push(dump_segment(&pool, &facts, wish));
        }
    }
    Ok(dump)
}

/// The dump as one line of JSON, ending in a newline.
#[must_use]
pub fn json(dump: &Dump) -> String {
    let mut out = serde_json::to_string(dump).expect("text, numbers and lists always serialize");
    out.push('\n');
    out
}

fn dump_disk(disk: &PoolDisk<'_>) -> DumpDisk {
    let fixed = &disk.labels.fixed;
    let geometry = &fixed.geometry;
    let faults = disk.labels.faults.iter();
    let key_state = read_copies(disk, Duration::ZERO)
        .into_iter()
        .map(|copy| match copy {
            KeyCopy::Valid(header) => {
                format!(
                    "generation {}, {} bytes",
                    header.generation, header.body_bytes
                )
            }
            KeyCopy::Blank => "blank".to_owned(),
            KeyCopy::Dead(what) => format!("dead: {what}"),
        });
    DumpDisk {
        file: disk.source.name().to_owned(),
        id: disk.labels.disk().to_string(),
        ordinal: fixed.disk_ordinal,
        disk_count: fixed.disk_count,
        disk_bytes: geometry.disk_bytes.get(),
        unit_bytes: geometry.unit_bytes,
        unit_count: geometry.unit_count().get(),
        extents_offset: geometry.extents_offset().get(),
        index_bytes: geometry.index_bytes.get(),
        incompat: fixed.features.incompat,
        label: disk.labels.newest().map(dump_label),
        generations: disk.labels.generations.len(),
        label_faults: faults
            .map(|f| format!("copy {:?} block {}: {}", f.copy, f.block, f.what))
            .collect(),
        key_state: key_state.collect(),
    }
}

fn dump_label(label: &DynamicLabel) -> DumpLabel {
    let members = label.members.iter();
    let cutoffs = label.cutoffs.iter();
    DumpLabel {
        generation: label.generation.get(),
        epoch: label.epoch.get(),
        watermark: label.watermark.get(),
        next_segment: label.next_segment.get(),
        journal_segment: label.journal_segment.get(),
        units_high_water: label.units_high_water.get(),
        clean_stop: label.clean_stop,
        members: members
            .map(|m| {
                (
                    m.disk.to_string(),
                    member_word(m.state),
                    m.last_generation.get(),
                    m.forgotten_frames,
                )
            })
            .collect(),
        cutoffs: cutoffs
            .map(|c| {
                (
                    c.epoch.get(),
                    c.last_sequence.get(),
                    c.last_header.to_string(),
                )
            })
            .collect(),
    }
}

fn dump_segment(pool: &Pool<'_>, facts: &SegmentFacts, wish: &Wish) -> DumpSegment {
    let header = facts.header.as_ref();
    let journal = facts.lane.is_some_and(|lane| lane.is_journal());
    let wants_frames = wish.segment.is_some() || (wish.records && journal);
    let frames = facts.frames.iter().filter(|_| wants_frames);
    DumpSegment {
        segment: facts.segment.get(),
        lane: facts.lane.map(|lane| lane.get()),
        epoch: header.map(|header| header.epoch.get()),
        units: header.map(|header| header.units.get()),
        first_sequence: header.map(|header| header.first_sequence.get()),
        previous_segment: header.map(|header| header.previous_segment.get()),
        copies: facts
            .copies
            .iter()
            .map(|copy| {
                (
                    pool.disks[copy.disk].source.name().to_owned(),
                    copy.unit.get(),
                )
            })
            .collect(),
        frame_count: facts.frame_count,
        seal: facts.seal.as_ref().map(|seal| DumpSeal {
            units: seal.units.get(),
            frames: seal.frame_count,
            data_end: seal.data_end.get(),
            log: seal
                .log
                .as_ref()
                .map(|log| (log.size(), log.root().to_string())),
            digest: seal.digest().to_string(),
        }),
        frames: frames
            .map(|reference| dump_frame(pool, facts, reference, wish.records && journal))
            .collect(),
    }
}

fn dump_frame(
    pool: &Pool<'_>,
    facts: &SegmentFacts,
    reference: &Reference,
    records: bool,
) -> DumpFrame {
    let header = &reference.frame.header;
    let holders = facts.disks_of(reference).into_iter();
    let bytes = if records {
        read_frame_bytes(pool, facts, reference)
    } else {
        None
    };
    let payload = bytes
        .as_deref()
        .and_then(|bytes| header.check_payload(bytes).ok());
    let read = payload.map(|payload| RecordReader::new(payload, header.record_count));
    DumpFrame {
        frame: reference.frame.index,
        offset: reference.frame.offset,
        total_bytes: header.total_bytes,
        payload_bytes: header.payload_bytes,
        sequence: header.sequence.get(),
        epoch: header.epoch.get(),
        committed_through: header.committed_through.get(),
        list: header.list,
        payload_digest: header.payload_digest.to_string(),
        holders: holders
            .map(|disk| pool.disks[disk].source.name().to_owned())
            .collect(),
        records: read
            .into_iter()
            .flatten()
            .filter_map(|view| view.ok().map(|view| dump_record(view.claims())))
            .collect(),
    }
}

fn dump_record(header: &RecordHeader) -> DumpRecord {
    DumpRecord {
        log_index: header.log_index.get(),
        record_type: format!("{:?}", header.record_type),
        epoch: header.epoch.get(),
        compliance_ms: header.compliance_ms.get(),
        wall_ms: header.wall_ms.get(),
        mode: format!("{:?}", header.mode),
        retain_until_ms: header.retain_until_ms.get(),
        hold: header.hold,
        key_index: header.key_index.to_string(),
        bucket: header.bucket.to_string(),
        object: header.object.to_string(),
        version: header.version.to_string(),
        client: header.client.text(),
        clear_bytes: header.clear_bytes,
        attached_bytes: header.attached_bytes,
    }
}
