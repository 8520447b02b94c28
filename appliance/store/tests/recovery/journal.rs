//! Damage where the journal begins, goes on and ends.

use stele_device::sim::disk::SimDiskHandle;
use stele_format::frame::FrameHeader;
use stele_format::label::{DynamicLabel, LabelCopy};
use stele_format::units::{Epoch, Generation};
use stele_store::recovery::{OpenError, read_label};
use stele_store::request::{Command, Refusal};

use crate::quorum::cut_starts;
use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};

const BLOCK: u64 = 4096;

/// The first frame of the newest journal segment, and where it lies on each disk.
pub(crate) fn newest_first(rig: &Rig) -> (FrameHeader, Vec<(usize, u64)>) {
    let frames = rig.frames_of(true);
    let newest = frames.iter().map(|frame| frame.segment).max().unwrap();
    let first = *frames.iter().find(|frame| frame.segment == newest).unwrap();
    let places = rig.places_of(&first);
    (first, places)
}

fn is_read_only(vault: &mut Running) -> bool {
    let command = Command::CreateBucket {
        name: "other".to_owned(),
        lock: false,
    };
    matches!(vault.ask(command), Err(Refusal::ReadOnly(_)))
}

/// A vault with an object, after a power cut. With `switched` its journal has moved to a segment that
/// a record before allocated.
pub(crate) fn with_object(disks: usize, switched: bool) -> Rig {
    let mut rig = Rig::create(disks);
    // The first start takes a snapshot; what comes after it is replayed.
    rig.start().stop();
    let mut vault = rig.start();
    vault.bucket("b", false);
    let first = newest_first(&rig).0.segment;
    let mut number = 0;
    while switched && newest_first(&rig).0.segment == first {
        for _ in 0..200 {
            vault.put(&name("b", &format!("n{number}")), &content(number, 2_000));
            number += 1;
        }
        assert!(number < 5_000, "the journal moves on");
    }
    vault.put(&name("b", "k"), &content(1, 10_000));
    turns(&mut vault);
    drop(vault);
    rig.crash();
    rig
}

fn read_back(vault: &mut Running) {
    let read = vault.get(&name("b", "k"), None, None);
    assert!(
        read.as_ref().is_ok_and(|read| *read == content(1, 10_000)),
        "{:?}; {:?}",
        read.map(|read| read.len()),
        vault.engine.status()
    );
}

#[test]
fn a_segment_whose_header_is_lost_everywhere_is_found_by_its_frames_and_gets_it_back() {
    for (disks, switched) in [(1, false), (1, true), (3, false), (3, true)] {
        let mut rig = with_object(disks, switched);
        let (_, places) = newest_first(&rig);
        let header_at = |(disk, at): &(usize, u64)| {
            let handle: &SimDiskHandle = rig.handles[*disk].as_ref().unwrap();
            (handle.clone(), at - BLOCK)
        };
        let headers: Vec<_> = places.iter().map(header_at).collect();
        let was = headers[0].0.peek(headers[0].1, 4096);
        for (handle, at) in &headers {
            handle.rot(at + 20, 0xff);
        }
        let mut vault = rig.start();
        read_back(&mut vault);
        assert!(!is_read_only(&mut vault), "{disks} disks, {switched}");
        for (handle, at) in &headers {
            assert!(handle.peek(*at, 4096) == was, "the header is back");
        }
    }
}

#[test]
fn a_header_that_a_cut_left_half_written_before_a_whole_frame_is_written_again() {
    for switched in [false, true] {
        let mut rig = with_object(3, switched);
        let (_, places) = newest_first(&rig);
        let (disk, at) = places[1];
        let handle = rig.handles[disk].clone().unwrap();
        let was = handle.peek(at - BLOCK, 4096);
        handle.tamper(at - BLOCK, &[0; 512]);
        rig.start().stop();
        assert!(handle.peek(at - BLOCK, 4096) == was, "{switched}");
    }
}

#[test]
fn a_segment_that_nothing_on_the_disks_shows_any_more_is_missed() {
    for (disks, switched) in [(1, false), (1, true), (2, false), (3, true)] {
        let mut rig = with_object(disks, switched);
        let (first, places) = newest_first(&rig);
        for (disk, at) in places {
            let handle = rig.handles[disk].as_ref().unwrap();
            handle.rot(at - BLOCK + 20, 0xff);
        }
        let frames = rig.frames_of(true).into_iter();
        for frame in frames.filter(|frame| frame.segment == first.segment) {
            rig.rot_everywhere(&frame, 20);
        }
        let mut vault = rig.start();
        assert!(is_read_only(&mut vault), "{disks} disks, {switched}");
    }
}

#[test]
fn a_segment_begun_on_disks_that_are_not_here_is_missed() {
    let mut rig = with_object(5, true);
    let (_, places) = newest_first(&rig);
    let holders: Vec<usize> = places.iter().map(|(disk, _)| *disk).collect();
    assert_eq!(holders.len(), 3);
    // One of the three never got it, and the others are gone.
    let (lacks, at) = *places
        .iter()
        .find(|(disk, _)| *disk <= 1)
        .unwrap_or(&places[0]);
    let handle = rig.handles[lacks].as_ref().unwrap();
    let rest = usize::try_from(PARAMS_SEGMENT_BYTES).unwrap();
    handle.tamper(at - BLOCK, &vec![0; rest]);
    for gone in holders.iter().filter(|disk| **disk != lacks) {
        rig.handles[*gone] = None;
    }
    let mut vault = rig.start();
    assert!(is_read_only(&mut vault));
}

const PARAMS_SEGMENT_BYTES: u64 = 16 * (256 << 10);

#[test]
fn a_journal_without_a_beginning_is_no_empty_journal() {
    let mut rig = Rig::create(1);
    let (_, places) = newest_first(&rig);
    let handle = rig.handles[0].as_ref().unwrap();
    for (_, at) in places {
        handle.rot(at - BLOCK + 20, 0xff);
        handle.rot(at + 300, 0xff);
    }
    let error = rig.try_start().map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::NoJournal { .. }), "{error}");
}

#[test]
fn a_bad_block_behind_the_end_of_the_journal_does_not_hide_it() {
    let mut rig = with_object(1, false);
    let (_, places) = newest_first(&rig);
    let (disk, at) = places[0];
    let bad = at + (512 << 10);
    rig.handles[disk]
        .as_ref()
        .unwrap()
        .fail_reads(bad..bad + 512);
    let mut vault = rig.start();
    read_back(&mut vault);
    assert!(!is_read_only(&mut vault));
}

#[test]
fn a_stray_header_is_no_further_copy() {
    let mut rig = with_object(3, false);
    let (_, places) = newest_first(&rig);
    let (_, at) = *places.iter().find(|(disk, _)| *disk == 0).unwrap();
    // A write that went to a wrong place of the first disk; and the last disk is away.
    let first = rig.handles[0].as_ref().unwrap();
    let header = first.peek(at - BLOCK, 4096);
    first.tamper(at - BLOCK + PARAMS_SEGMENT_BYTES, &header);
    rig.handles[2] = None;
    let mut vault = rig.start();
    read_back(&mut vault);
    assert!(!is_read_only(&mut vault));
}

#[test]
fn segments_of_an_epoch_that_no_label_knows_yet_make_no_disk_stale() {
    let mut rig = with_object(3, false);
    // As after a key counter ran full: segments are of a later epoch than all labels.
    for handle in rig.handles.iter().flatten() {
        let mut disk = handle.open();
        let reading = read_label(&mut disk).unwrap();
        let label = reading.dynamic.unwrap();
        let earlier = DynamicLabel {
            epoch: Epoch::new(label.epoch.get() - 1),
            generation: Generation::new(label.generation.get() + 1),
            ..label
        };
        let geometry = reading.fixed.geometry;
        for copy in LabelCopy::ALL {
            let offset = earlier.place(&geometry, copy).offset.get();
            handle.tamper(offset, &earlier.encode(&geometry, copy).unwrap());
        }
    }
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let then: Vec<_> = all.iter().map(SimDiskHandle::snapshot).collect();
    // A start was cut before, in its promises or in the labels it begins with.
    for cut_before in [0, 3, 9, 18, 21, 24, 27, 33] {
        all.iter()
            .zip(&then)
            .for_each(|(disk, was)| disk.restore(was));
        assert!(cut_starts(&mut rig, &all, &[0, 1, 2], &[cut_before]));
        let mut vault = rig.start();
        assert_eq!(vault.engine.status().state.word(), "ok", "{cut_before}");
        read_back(&mut vault);
        assert!(!is_read_only(&mut vault));
        drop(vault);
        rig.crash();
    }
}

#[test]
fn a_damaged_label_block_is_written_again_at_a_start() {
    let mut rig = with_object(3, false);
    let handle = rig.handles[1].clone().unwrap();
    let reading = read_label(&mut handle.open()).unwrap();
    let label = reading.dynamic.unwrap();
    let at = label
        .place(&reading.fixed.geometry, LabelCopy::D)
        .offset
        .get();
    handle.rot(at + 700, 0xff);
    let damaged = |handle: &SimDiskHandle| read_label(&mut handle.open()).unwrap().bad.len();
    assert_eq!(damaged(&handle), 1);
    rig.start().stop();
    assert_eq!(damaged(&handle), 0);
}
