//! The offline verifier over the images of the simulated disks.
//!
//! It must find nothing on disks that only saw power cuts, and may name no disk that was not hurt.
//! Where bits of a sealed segment are flipped on purpose, it must name disk, segment and frame.

use std::time::Duration;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::segment::{FOOTER_MAGIC, SegmentExpectation, SegmentHeader};
use stele_format::units::{ByteOffset, FrameIndex, SegmentId};
use stele_inspect::source::{ReadFault, Source};
use stele_inspect::verdict::{Area, Damage, DiskState, Report, Verdict};

use crate::context::Context;
use crate::error::Violation;
use crate::hardware::Hardware;

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
        into.copy_from_slice(&self.handle.peek(offset, into.len()));
        Ok(())
    }
}

fn inspect(hardware: &Hardware, when: &'static str) -> Result<Report, Violation> {
    let sources: Vec<Box<dyn Source>> = hardware
        .readable()
        .map(|(number, handle, _)| {
            let name = name_of(number);
            let bytes = hardware.geometry().disk_bytes.get();
            Box::new(Image {
                name,
                handle: handle.clone(),
                bytes,
            }) as Box<dyn Source>
        })
        .collect();
    stele_inspect::verify(&sources, Duration::ZERO).map_err(|error| Violation::Inspection {
        when,
        what: error.to_string(),
    })
}

fn name_of(number: usize) -> String {
    format!("disk-{number}")
}

/// Inspects what the disks hold now; `stopped` says whether the vault was stopped in order.
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
    let hurt: Vec<String> = hardware
        .readable()
        .filter(|(_, _, tainted)| *tainted)
        .map(|(number, ..)| name_of(number))
        .collect();
    let name = |damage: &Damage| {
        report
            .disks
            .get(damage.disk)
            .map_or("none", |disk| disk.file.as_str())
    };
    let is_hurt = |damage: &Damage| hurt.iter().any(|hurt| hurt == name(damage));
    for damage in report.damage.iter().filter(|damage| !is_hurt(damage)) {
        // One copy of a frame may lag. Where a hurt disk lacks the frame too, nobody can tell which
        // of the two did.
        let beside = report.damage.iter().any(|other| {
            is_hurt(other)
                && other.segment == damage.segment
                && (other.frame.is_none() || other.frame == damage.frame)
        });
        let may_lag = damage.area == Area::Segment && !stopped && beside && damage.good_copy;
        // A label write that a cut tore is known by its whole copies, which a hurt disk may have had.
        let may_be_torn = damage.area == Area::Label && !hurt.is_empty();
        if may_lag || may_be_torn {
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
    let unjudged = report
        .disks
        .iter()
        .find(|disk| disk.state == DiskState::Unjudged && !hurt.contains(&disk.file));
    if let Some(disk) = unjudged {
        let what = format!("{} cannot be judged: {}", disk.file, disk.notes.join("; "));
        return Err(Violation::Inspection { when, what });
    }
    Ok(())
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
    let disks: Vec<(usize, SimDiskHandle, bool)> = hardware
        .readable()
        .map(|(number, handle, tainted)| (number, handle.clone(), tainted))
        .collect();
    if disks.iter().any(|(_, _, tainted)| *tainted) || !hardware.all_present() {
        return Ok(());
    }
    let Some((number, handle, _)) = context.rng.pick(&disks) else {
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
                .is_some_and(|disk| disk.file == name_of(*number))
    });
    // With a single copy the flipped record is lost, and what depends on it is named too.
    let alone = report.damage.len() == 1 || disks.len() == 1;
    if report.verdict == Verdict::Damage && named && alone {
        return Ok(());
    }
    let what = format!(
        "a bit of disk {number}, segment {}, frame {} was flipped at byte {at}; verdict {}, {:?}",
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

fn segment_at(handle: &SimDiskHandle, at: u64) -> Option<SegmentHeader> {
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
