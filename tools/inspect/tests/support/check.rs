//! What a test expects of a report: verdict and exact places.

use stele_format::units::{FrameIndex, SegmentId};
use stele_inspect::verdict::{Area, Report, Verdict};

use super::Vault;

pub type Where = (usize, Area, Option<u64>, Option<u32>);

pub fn places(report: &Report) -> Vec<Where> {
    let place = |d: &stele_inspect::verdict::Damage| {
        (
            d.disk,
            d.area,
            d.segment.map(SegmentId::get),
            d.frame.map(FrameIndex::get),
        )
    };
    report.damage.iter().map(place).collect()
}

pub fn frame(disk: usize, segment: u64, frame: u32) -> Where {
    (disk, Area::Segment, Some(segment), Some(frame))
}

pub fn segment(disk: usize, segment: u64) -> Where {
    (disk, Area::Segment, Some(segment), None)
}

#[track_caller]
pub fn check(name: &str, vault: &Vault, expected: &[Where]) -> Report {
    let report = vault.verify();
    assert_eq!(places(&report), expected, "{name}: {report:#?}");
    let verdict = if expected.is_empty() {
        Verdict::Clean
    } else {
        Verdict::Damage
    };
    assert_eq!(report.verdict, verdict, "{name}");
    report
}

pub fn blank(vault: &mut Vault, disk: usize, from: usize, bytes: usize) {
    vault.images[disk][from..from + bytes].fill(0);
}
