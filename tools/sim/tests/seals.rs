//! The end of a segment that went with a lost disk, as the verifier sees the disks that are left.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "shared/image.rs"]
mod image;
#[path = "../../../appliance/store/tests/support/mod.rs"]
mod support;

use std::time::Duration;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::segment::{FOOTER_MAGIC, SEAL_MAGIC, SegmentSeal};
use stele_inspect::verdict::{Report, Verdict};
use stele_inspect::verify;

use crate::image::images;
use crate::support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

const HOUR_MS: u64 = 3_600_000;
const OBJECTS: usize = 8;
const BYTES: usize = 300_000;

/// A vault of which one disk is gone for good that alone had the end of a data segment.
fn bereft() -> (Rig, usize) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..OBJECTS {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, BYTES));
    }
    vault.stop();
    let first = rig.frames_of(false)[0];
    let [(gone, _), (left, at)] = rig.copies_of(&first)[..] else {
        panic!("two copies")
    };
    let handle = rig.handles[left].clone().unwrap();
    let unit = usize::try_from(PARAMS.unit_bytes).unwrap();
    let bytes = handle.peek(at - 4096, unit * PARAMS.segment_units as usize);
    let blocks = bytes.chunks(4096).zip((at - 4096..).step_by(4096));
    let is_end = |block: &[u8]| {
        let seal = SegmentSeal::decode(block);
        let of_it = seal.is_ok_and(|seal| seal.claims().segment == first.segment);
        block.starts_with(&FOOTER_MAGIC) || block.starts_with(&SEAL_MAGIC) && of_it
    };
    let end: Vec<u64> = blocks
        .filter(|(block, _)| is_end(block))
        .map(|(_, at)| at)
        .collect();
    assert_eq!(end.len(), 2);
    for at in end {
        handle.tamper(at, &[0; 4096]);
    }
    rig.handles[gone] = None;
    (rig, gone)
}

/// Everything is read again.
fn pass(vault: &mut Running) {
    vault.sleep(8 * 24 * HOUR_MS);
    vault.until("a pass over everything", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.oldest_unverified_ms < HOUR_MS
    });
}

fn inspected(rig: &Rig) -> Report {
    verify(&images(rig), Duration::ZERO).unwrap()
}

fn says_lost(report: &Report) -> bool {
    let lost = |what: &String| what.starts_with("seal: lost");
    report.damage.iter().any(|damage| lost(&damage.what))
}

#[test]
fn the_verifier_finds_nothing_once_an_end_was_made_anew() {
    for replaced in [false, true] {
        let (mut rig, gone) = bereft();
        assert!(says_lost(&inspected(&rig)));
        let mut vault = rig.start();
        if replaced {
            let fresh = SimDiskHandle::new(DISK_BYTES, 31);
            let number = u16::try_from(gone).unwrap() + 1;
            vault.attach(Some(number), &fresh).unwrap();
            rig.handles[gone] = Some(fresh);
            vault.until("it takes part", |engine| {
                engine.status().state.word() == "ok"
            });
        }
        pass(&mut vault);
        vault.stop();
        let report = inspected(&rig);
        assert_eq!(report.verdict, Verdict::Clean, "{:#?}", report.damage);
    }
}

#[test]
fn the_verifier_says_that_an_end_is_lost_whose_segment_has_a_hole() {
    let (mut rig, _) = bereft();
    let frame = rig.frames_of(false)[3];
    rig.rot_everywhere(&frame, 4_096);
    let mut vault = rig.start();
    pass(&mut vault);
    vault.stop();
    let report = inspected(&rig);
    assert_eq!(report.verdict, Verdict::Damage);
    assert!(says_lost(&report), "{:#?}", report.damage);
    let named = report
        .damage
        .iter()
        .any(|damage| damage.frame == Some(frame.frame_index));
    assert!(named, "{:#?}", report.damage);
}
