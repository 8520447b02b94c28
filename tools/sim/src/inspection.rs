//! The offline verifier over the images of the simulated disks.
//!
//! It must find nothing on disks that only saw power cuts, and may name no disk that was not hurt.
//! Where bits of a sealed segment are flipped on purpose, it must name disk, segment and frame.

use std::collections::BTreeSet;
use std::time::Duration;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::checkpoint::KeyHistory;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::proof::Receipt;
use stele_format::segment::{FOOTER_MAGIC, SegmentExpectation, SegmentHeader};
use stele_format::units::{ByteOffset, FrameIndex, SegmentId};
use stele_inspect::prove::{Claim, prove};
use stele_inspect::source::{ReadFault, Source};
use stele_inspect::verdict::{Area, Damage, DiskState, Report, Verdict};

use crate::context::Context;
use crate::error::Violation;
use crate::hardware::{Hardware, Taint};
use crate::oracle::receipts::{Receipts, checkpoint_of};

/// What the operating system says of a block that cannot be read.
const EIO: i32 = 5;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A simulated disk as the verifier reads it.
struct Image {
    name: String,
    handle: SimDiskHandle,
    bytes: u64,
}

impl Source for Image {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFault> {
        let end = offset.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(ReadFault::PastEnd);
        }
        if self.handle.is_unreadable(offset, into.len()) {
            return Err(ReadFault::Refused(EIO));
        }
        self.handle.peek_into(offset, into);
        Ok(())
    }
}

fn sources(hardware: &Hardware) -> Vec<Box<dyn Source>> {
    hardware
        .readable()
        .map(|disk| {
            Box::new(Image {
                name: disk.name.to_owned(),
                handle: disk.handle.clone(),
                bytes: disk.handle.told_bytes(),
            }) as Box<dyn Source>
        })
        .collect()
}

fn inspect(hardware: &Hardware, when: &'static str) -> Result<Report, Violation> {
    let sources = sources(hardware);
    stele_inspect::verify(&sources, Duration::ZERO).map_err(|error| Violation::Inspection {
        when,
        what: error.to_string(),
    })
}

/// The auditor must find nothing unlawful in the log on the disks.
///
/// # Errors
/// It does, or cannot read them.
pub fn audit(context: &mut Context, hardware: &Hardware) -> Result<(), Violation> {
    let when = "by the auditor";
    let sources = sources(hardware);
    let audited = stele_inspect::audit::audit(&sources, Duration::ZERO);
    let report = audited.map_err(|error| Violation::Inspection {
        when,
        what: error.to_string(),
    })?;
    context.report.audits += 1;
    let missing = report.records_missing || hardware.was_ever_hurt();
    let unfinished = report.destructions.iter().find(|line| !line.lawful);
    let what = match (
        report.unlawful.first(),
        unfinished,
        report.undecided.first(),
    ) {
        (Some(finding), ..) => format!("unlawful: {finding:?}"),
        (None, Some(line), _) => format!("an unlawful destruction: {line:?}"),
        (None, None, Some(finding)) if !missing => format!("undecided: {finding:?}"),
        _ => return Ok(()),
    };
    Err(Violation::Audit { what })
}

/// The log on the disks must prove what receipts say that clients were given.
///
/// # Errors
/// It does not.
pub fn check_receipts(
    context: &mut Context,
    hardware: &Hardware,
    receipts: &Receipts,
) -> Result<(), Violation> {
    let broken = |what: String| Violation::Receipt { what };
    let kept: Vec<&str> = receipts.kept().collect();
    let Some(receipt) = context.rng.pick(&kept) else {
        return Ok(());
    };
    let verified = Receipt::verify(receipt, receipts.key());
    let header = verified.map_err(|error| broken(error.to_string()))?.header;
    let note = checkpoint_of(receipt).ok_or_else(|| broken("it has no checkpoint".to_owned()))?;
    let claim = Claim::Inclusion {
        record: header.log_index.get(),
        version: Some(header.version),
        size: None,
    };
    let keys = KeyHistory::from(receipts.key());
    let proven = prove(
        &sources(hardware),
        Duration::ZERO,
        claim,
        Some((&note, &keys)),
    );
    match proven {
        Ok(proof) if proof == **receipt => {
            context.report.receipts += 1;
            Ok(())
        }
        Ok(_) => Err(broken(
            "the disks prove the record in another way".to_owned(),
        )),
        // What was hurt may lack records of its own.
        Err(refusal) if refusal.is_damage() && hardware.was_ever_hurt() => Ok(()),
        Err(refusal) => Err(broken(refusal.to_string())),
    }
}

/// The verifier must not call disks clean from which acknowledged bytes could not be read just now, unless it
/// names some that take no part.
///
/// # Errors
/// It does.
pub fn check_refusals(
    context: &mut Context,
    hardware: &Hardware,
    refused: u64,
) -> Result<(), Violation> {
    let report = inspect(hardware, "after refused reads")?;
    context.report.inspections += 1;
    // What lies on disks that take no part is not lost; the report names them.
    let takes_no_part = |state| matches!(state, DiskState::Stale | DiskState::Missing);
    let named = report.disks.iter().any(|disk| takes_no_part(disk.state));
    match report.verdict {
        Verdict::Clean if named => Ok(()),
        Verdict::Clean => Err(Violation::FalseVerdict { refused }),
        Verdict::Damage | Verdict::CannotJudge => Ok(()),
    }
}

/// Inspects what the disks hold now; `stopped` says whether a vault that takes writes was stopped in order.
///
/// # Errors
/// Damage on a disk that was not hurt, or no judgement at all.
pub fn check(
    context: &mut Context,
    hardware: &Hardware,
    when: &'static str,
    stopped: bool,
) -> Result<(), Violation> {
    let report = inspect(hardware, when)?;
    context.report.inspections += 1;
    let hurt: Vec<(String, Taint)> = hardware
        .readable()
        .filter(|disk| disk.taint.any())
        .map(|disk| (disk.name.to_owned(), disk.taint))
        .collect();
    let name = |damage: &Damage| {
        report
            .disks
            .get(damage.disk)
            .map_or("none", |disk| disk.file.as_str())
    };
    let is_hurt = |damage: &Damage| {
        let there = |taint: &Taint| match damage.area {
            Area::Segment => taint.segments,
            Area::Label | Area::KeyState | Area::Index => taint.roots,
        };
        hurt.iter()
            .any(|(hurt, taint)| hurt == name(damage) && there(taint))
    };
    for damage in report.damage.iter().filter(|damage| !is_hurt(damage)) {
        // One copy of a frame may lag. Where a hurt disk lacks the frame too, nobody can tell which
        // of the two did.
        let beside = report.damage.iter().any(|other| {
            is_hurt(other)
                && other.segment == damage.segment
                && (other.frame.is_none() || other.frame == damage.frame)
        });
        // A disk that is away or blank lacks it in any case.
        let beside = beside || !hardware.all_present();
        let may_lag = damage.area == Area::Segment && !stopped && beside && damage.good_copy;
        let is_beyond = is_lacked_by_two(damage, report.damage.iter().filter(|d| is_hurt(d)));
        // A header that a cut tore, while the disk that has it whole is away.
        let may_be_begun = damage.what.starts_with("segment header") && !hardware.all_present();
        let may_lag = may_lag || (may_be_begun && !stopped);
        // A label write that a cut tore is known by its whole copies, which a hurt disk may have had.
        let may_be_torn = damage.area == Area::Label && hardware.was_ever_hurt();
        // A write that a cut tore, where some chunk is gone from the disks that were hurt: it may be that one.
        let is_frame = damage.area == Area::Segment && damage.frame.is_some() && !damage.good_copy;
        let may_be_lost =
            is_frame && is_lacked_there(damage, &report, &is_hurt) && lacks_chunks(&report);
        // A disk that was too slow gets no seal of the data segment it left; where the other that had one was hurt none has.
        let says_lost = |damage: &Damage| damage.what.starts_with("seal: lost");
        let of_it = report
            .damage
            .iter()
            .filter(|other| says_lost(other) && other.segment == damage.segment && !is_hurt(other));
        let may_be_left = says_lost(damage)
            && hardware.was_ever_hurt()
            && of_it.count() == 1
            && damage
                .segment
                .is_some_and(|segment| hardware.is_of_data(segment));
        // Nor can anybody tell a write that a cut tore where no other copy is left to judge it by.
        let may_lack = hardware.may_lack_content() && (is_frame || says_missing(damage));
        if may_lag || is_beyond || may_be_torn || may_be_lost || may_be_left || may_lack {
            continue;
        }
        let what = format!(
            "damage on {}, which was not hurt: {} {:?} frame {:?}: {}",
            name(damage),
            damage.area.word(),
            damage.segment.map(SegmentId::get),
            damage.frame.map(FrameIndex::get),
            damage.what
        );
        return Err(Violation::Inspection { when, what });
    }
    let unjudged = report.disks.iter().find(|disk| {
        let roots = |(name, taint): &(String, Taint)| *name == disk.file && taint.roots;
        disk.state == DiskState::Unjudged && !hurt.iter().any(roots)
    });
    if let Some(disk) = unjudged {
        let what = format!("{} cannot be judged: {}", disk.file, disk.notes.join("; "));
        return Err(Violation::Inspection { when, what });
    }
    Ok(())
}

/// Whether something is not where it should be: it was on disks that were hurt or replaced, and when those were filled
/// no other had it to give.
fn says_missing(damage: &Damage) -> bool {
    const WORDS: [&str; 3] = ["chunks that no disk holds", "blank", "missing"];
    WORDS.iter().any(|word| damage.what.contains(word))
}

/// Whether a hurt disk lacks the same frame.
fn is_lacked_there(damage: &Damage, report: &Report, is_hurt: &dyn Fn(&Damage) -> bool) -> bool {
    let same = |other: &&Damage| other.segment == damage.segment && other.frame == damage.frame;
    report.damage.iter().filter(same).any(is_hurt)
}

/// Whether a chunk that a record cites is on none of the disks.
fn lacks_chunks(report: &Report) -> bool {
    let said = |note: &String| note.contains("cited chunks are on no present disk");
    report.notes.iter().any(said)
}

/// Whether two hurt disks lack the same frame, which is beyond the budget: then it cannot be written again, nor
/// can anybody tell whether the third copy lagged.
fn is_lacked_by_two<'a>(damage: &Damage, hurt: impl Iterator<Item = &'a Damage>) -> bool {
    let same = hurt.filter(|other| {
        let frame = damage.area == Area::Segment && damage.frame.is_some();
        frame && other.segment == damage.segment && other.frame == damage.frame
    });
    let disks: BTreeSet<usize> = same.map(|other| other.disk).collect();
    disks.len() > 1
}

/// A frame of a sealed segment.
struct Target {
    at: u64,
    bytes: u64,
    segment: SegmentId,
    frame: FrameIndex,
}

/// Flips one bit in a frame of a sealed segment, inspects, and flips it back. The disk must be named,
/// with segment and frame.
///
/// # Errors
/// The verifier did not find it, or named something else.
pub fn find_rot(context: &mut Context, hardware: &Hardware) -> Result<(), Violation> {
    let when = "after one flipped bit";
    let disks: Vec<(String, SimDiskHandle)> = hardware
        .readable()
        .map(|disk| (disk.name.to_owned(), disk.handle.clone()))
        .collect();
    // Nobody misses what a copy left that moved.
    if !hardware.is_whole() || hardware.was_ever_drained() {
        return Ok(());
    }
    let Some((disk, handle)) = context.rng.pick(&disks) else {
        return Ok(());
    };
    let targets = sealed_frames(hardware, handle);
    let Some(target) = context.rng.pick(&targets) else {
        return Ok(());
    };
    let at = target.at + context.rng.below(target.bytes);
    let mask = 1 << context.rng.below(8);
    handle.rot(at, mask);
    let report = inspect(hardware, when);
    handle.rot(at, mask);
    let report = report?;
    context.report.inspections += 1;
    context.report.fault("bit rot the verifier must name");
    let named = report.damage.iter().any(|damage| {
        damage.area == Area::Segment
            && damage.segment == Some(target.segment)
            && damage.frame == Some(target.frame)
            && report
                .disks
                .get(damage.disk)
                .is_some_and(|found| found.file == *disk)
    });
    // With a single copy the flipped record is lost, and what depends on it is named too.
    let torn = |damage: &Damage| damage.area == Area::Label && hardware.was_ever_hurt();
    // What was on replaced disks alone was missing before.
    let lacked = |damage: &Damage| hardware.may_lack_content() && says_missing(damage);
    let others = report.damage.iter();
    let others = others.filter(|damage| !torn(damage) && !lacked(damage));
    let alone = others.count() == 1 || disks.len() == 1;
    if report.verdict == Verdict::Damage && named && alone {
        return Ok(());
    }
    let what = format!(
        "a bit of {disk}, segment {}, frame {} was flipped at byte {at}; verdict {}, {:?}",
        target.segment.get(),
        target.frame.get(),
        report.verdict.code(),
        report.damage
    );
    Err(Violation::Inspection { when, what })
}

/// Every frame of every sealed segment on a disk, by walking units.
fn sealed_frames(hardware: &Hardware, handle: &SimDiskHandle) -> Vec<Target> {
    let geometry = hardware.geometry();
    // Only the first two disks have an index area; elsewhere the units begin earlier.
    let starts = [
        geometry.extents_offset().get(),
        geometry.index_offset().get(),
    ];
    let mut targets = Vec::new();
    for start in starts {
        let unit = u64::from(geometry.unit_bytes);
        let mut at = start;
        while at + unit <= geometry.disk_bytes.get() {
            if let Some(header) = segment_at(handle, at) {
                targets.extend(frames_of(handle, at, &header));
            }
            at += unit;
        }
        if !targets.is_empty() {
            break;
        }
    }
    targets
}

/// The header of the segment that begins there, if one does.
pub fn segment_at(handle: &SimDiskHandle, at: u64) -> Option<SegmentHeader> {
    let block = handle.peek(at, BLOCK_BYTES as usize);
    let header = SegmentHeader::decode(&block).ok()?;
    let expect = SegmentExpectation::new(header.claims().pool, header.claims().segment);
    header.verify(expect).ok()
}

/// The frames up to the footer; none when there is no footer.
fn frames_of(handle: &SimDiskHandle, base: u64, segment: &SegmentHeader) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut offset = BLOCK;
    while offset < segment.bytes().get() {
        let block = handle.peek(base + offset, BLOCK_BYTES as usize);
        if block[..8] == FOOTER_MAGIC {
            return targets;
        }
        let expect = FrameExpectation::at(segment.pool, segment.segment, ByteOffset::new(offset));
        let header = FrameHeader::decode(&block[..FRAME_HEADER_BYTES as usize])
            .ok()
            .and_then(|header| header.verify(expect).ok());
        let Some(header) = header else {
            return Vec::new();
        };
        targets.push(Target {
            at: base + offset,
            bytes: u64::from(header.total_bytes),
            segment: segment.segment,
            frame: header.frame_index,
        });
        offset += u64::from(header.total_bytes);
    }
    Vec::new()
}
