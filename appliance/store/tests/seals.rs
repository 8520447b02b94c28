//! The end of a sealed segment, which only a disk had that is gone, or which rotted: it is made anew from the frames, as
//! it was, and of a segment with a hole it is not.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_format::frame::FrameHeader;
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::Body;
use stele_format::segment::{SEAL_MAGIC, SegmentSeal};
use stele_store::engine::Engine;
use stele_store::status::Alarm;
use support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

const HOUR_MS: u64 = 3_600_000;
const BLOCK: u64 = BLOCK_BYTES as u64;
/// One frame of the data lane each.
const BYTES: usize = 300_000;
const OBJECTS: usize = 8;
const SECTOR: usize = 512;

/// What may become of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Never,
    Torn,
    Rotten,
}

/// A segment that was sealed.
struct Sealed {
    frames: Vec<FrameHeader>,
    seal: SegmentSeal,
    /// Disks, and where it begins there.
    copies: Vec<(usize, u64)>,
    /// Footer, what follows it, and seal.
    end: Vec<u8>,
}

impl Sealed {
    /// The segment of these frames, the first of it before them.
    fn of(rig: &Rig, frames: Vec<FrameHeader>) -> Self {
        let places = rig.places_of(&frames[0]);
        let copies: Vec<(usize, u64)> = places
            .iter()
            .map(|(disk, at)| (*disk, at - BLOCK))
            .collect();
        let (disk, base) = copies[0];
        let handle = rig.handles[disk].as_ref().unwrap();
        let unit = u64::from(PARAMS.unit_bytes);
        let units = 1..=u64::from(PARAMS.segment_units);
        let block = |units: u64| handle.peek(base + units * unit - BLOCK, 4096);
        let block = units
            .map(block)
            .find(|block| block.starts_with(&SEAL_MAGIC));
        let seal = SegmentSeal::decode(&block.unwrap()).unwrap();
        let seal = seal.claims().clone();
        let mut sealed = Self {
            frames,
            seal,
            copies,
            end: Vec::new(),
        };
        sealed.end = sealed.end_on(rig, disk);
        sealed
    }

    fn base(&self, disk: usize) -> u64 {
        let mut copies = self.copies.iter();
        copies.find(|(other, _)| *other == disk).unwrap().1
    }

    fn end_on(&self, rig: &Rig, disk: usize) -> Vec<u8> {
        let from = self.seal.footer_offset.get();
        let bytes = self.seal.bytes().get() - from;
        let handle = rig.handles[disk].as_ref().unwrap();
        handle.peek(self.base(disk) + from, usize::try_from(bytes).unwrap())
    }

    fn harm(&self, rig: &Rig, disk: usize, footer: Option<Harm>, seal: Option<Harm>) {
        let handle = rig.handles[disk].as_ref().unwrap();
        for (offset, harm) in [
            (self.seal.footer_offset, footer),
            (self.seal.own_offset(), seal),
        ] {
            let at = self.base(disk) + offset.get();
            match harm {
                None => {}
                Some(Harm::Never) => handle.tamper(at, &[0; 4096]),
                Some(Harm::Torn) => handle.tamper(at, &[0; SECTOR]),
                Some(Harm::Rotten) => handle.rot(at + 100, 1),
            }
        }
    }

    /// What is told when frames and the end are lost.
    fn names(&self, frames: &[usize]) -> Vec<(u64, Option<u32>)> {
        let frames = frames.iter().map(|at| self.frames[*at].frame_index.get());
        let names = std::iter::once(None).chain(frames.map(Some));
        names
            .map(|frame| (self.seal.segment.get(), frame))
            .collect()
    }
}

/// A stopped vault with a segment of the data lane that was sealed.
fn stopped(disks: usize) -> (Rig, Sealed) {
    let mut rig = Rig::create(disks);
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..OBJECTS {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, BYTES));
    }
    vault.stop();
    let frames = rig.frames_of(false);
    assert_eq!(frames.len(), OBJECTS);
    let stated =
        |body: &Body| matches!(body, Body::Seal(note) if note.segment == frames[0].segment);
    assert!(rig.records().iter().any(stated));
    let sealed = Sealed::of(&rig, frames);
    assert_eq!(sealed.copies.len(), 2);
    (rig, sealed)
}

/// The same, where this became of the end on the only disk that is left of both.
fn bereft(footer: Option<Harm>, seal: Option<Harm>) -> (Rig, Sealed, usize) {
    deprived(stopped(3), footer, seal)
}

fn deprived(
    (mut rig, sealed): (Rig, Sealed),
    footer: Option<Harm>,
    seal: Option<Harm>,
) -> (Rig, Sealed, usize) {
    let [(gone, _), (left, _)] = sealed.copies[..] else {
        panic!("two copies")
    };
    rig.handles[gone] = None;
    sealed.harm(&rig, left, footer, seal);
    (rig, sealed, left)
}

/// Everything is read again.
fn pass(vault: &mut Running) {
    vault.sleep(8 * 24 * HOUR_MS);
    vault.until("a pass over everything", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.oldest_unverified_ms < HOUR_MS
    });
}

/// What is lost, by segment and frame.
fn lost(engine: &Engine) -> Vec<(u64, Option<u32>)> {
    let lost = engine.status().heal.counts.lost;
    let mut lost: Vec<_> = lost
        .iter()
        .map(|lost| (lost.segment.get(), lost.frame))
        .collect();
    lost.sort_unstable();
    lost
}

/// Numbers of the disks that are said not to have given what they held.
fn accused(engine: &Engine) -> Vec<u16> {
    let alarms = engine.status().alarms;
    let told = alarms.iter().filter_map(|alarm| match alarm {
        Alarm::Repaired { number, .. } => Some(*number),
        _ => None,
    });
    told.collect()
}

fn check_all(vault: &mut Running) {
    for seed in 0..OBJECTS {
        let got = vault.get(&name("b", &format!("k{seed}")), None, None);
        assert!(got.unwrap() == content(seed, BYTES), "object {seed}");
    }
}

/// Whether a start says of the segment that it was left open.
fn is_given_up(rig: &Rig, sealed: &Sealed) -> bool {
    let segment = sealed.seal.segment;
    rig.records().into_iter().any(|body| match body {
        Body::Epoch(epoch) => epoch.abandoned.iter().any(|tail| tail.segment == segment),
        _ => false,
    })
}

#[test]
fn an_end_that_only_a_lost_disk_had_is_made_anew_as_it_was() {
    let harms = [
        None,
        Some(Harm::Never),
        Some(Harm::Torn),
        Some(Harm::Rotten),
    ];
    for footer in harms {
        for seal in harms {
            let what = format!("footer {footer:?}, seal {seal:?}");
            let (mut rig, sealed) = stopped(3);
            // It was read to its end: no power cut kept anything from it.
            let mut vault = rig.start();
            pass(&mut vault);
            vault.stop();
            let (mut rig, sealed, left) = deprived((rig, sealed), footer, seal);
            let is_harmed = footer.or(seal).is_some();
            assert_eq!(sealed.end_on(&rig, left) != sealed.end, is_harmed, "{what}");
            let mut vault = rig.start();
            pass(&mut vault);
            assert_eq!(lost(&vault.engine), [], "{what}");
            assert!(sealed.end_on(&rig, left) == sealed.end, "{what}");
            check_all(&mut vault);
            // It may never have had what it lacks, but had what changed.
            let rotten = [footer, seal].contains(&Some(Harm::Rotten));
            // Before a seal there was a footer.
            let lacking = footer.is_some() && seal.is_none();
            let number = u16::try_from(left).unwrap() + 1;
            let expected: &[u16] = if rotten || lacking { &[number] } else { &[] };
            assert_eq!(accused(&vault.engine), expected, "{what}");
            vault.stop();
            assert!(sealed.end_on(&rig, left) == sealed.end, "{what}");
        }
    }
}

/// The disk in the place of the lost one is given the end, too.
#[test]
fn a_new_disk_in_the_place_of_the_lost_one_is_given_the_end_that_was_made_anew() {
    let (mut rig, sealed, left) = bereft(Some(Harm::Never), Some(Harm::Never));
    let gone = sealed.copies[0].0;
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 31);
    let number = u16::try_from(gone).unwrap() + 1;
    vault.attach(Some(number), &fresh).unwrap();
    rig.handles[gone] = Some(fresh);
    vault.until("it takes part", |engine| {
        engine.status().state.word() == "ok"
    });
    for disk in [gone, left] {
        assert!(sealed.end_on(&rig, disk) == sealed.end);
    }
    assert_eq!(lost(&vault.engine), []);
    vault.stop();
}

#[test]
fn an_end_that_rotted_on_every_copy_is_made_anew() {
    let (mut rig, sealed) = stopped(3);
    for (disk, _) in &sealed.copies {
        sealed.harm(&rig, *disk, Some(Harm::Rotten), Some(Harm::Rotten));
    }
    let mut vault = rig.start();
    pass(&mut vault);
    assert_eq!(lost(&vault.engine), []);
    for (disk, _) in &sealed.copies {
        assert!(sealed.end_on(&rig, *disk) == sealed.end);
    }
}

/// Its last frames may be what is missing, or one in the middle; header or content.
#[test]
fn of_a_segment_with_a_hole_no_end_is_made_and_it_is_named() {
    for (frame, skip) in [(3, 0), (3, 4_096), (OBJECTS - 1, 0), (OBJECTS - 1, 4_096)] {
        for never in [false, true] {
            let what = format!("frame {frame}, byte {skip}, never written {never}");
            let (mut rig, sealed, left) = bereft(Some(Harm::Never), Some(Harm::Never));
            let (hit, handle) = (&sealed.frames[frame], rig.handles[left].clone().unwrap());
            let [(_, at)] = rig.copies_of(hit)[..] else {
                panic!("one copy")
            };
            let before = handle.peek(at, hit.total_bytes as usize);
            match never {
                true => handle.tamper(at + skip, &[0; SECTOR]),
                false => handle.rot(at + skip + 7, 1),
            }
            let mut vault = rig.start();
            pass(&mut vault);
            assert_eq!(lost(&vault.engine), sealed.names(&[frame]), "{what}");
            assert_eq!(vault.engine.status().state.word(), "suspect", "{what}");
            let end = sealed.end_on(&rig, left);
            assert!(end.iter().all(|byte| *byte == 0), "{what}");
            // Were the frame found again, there would be an end again.
            handle.tamper(at, &before);
            pass(&mut vault);
            assert_eq!(lost(&vault.engine), [], "{what}");
            assert!(sealed.end_on(&rig, left) == sealed.end, "{what}");
        }
    }
}

/// What no header says of a segment cannot be compared.
#[test]
fn without_its_header_a_segment_gets_no_end() {
    let (mut rig, sealed, left) = bereft(Some(Harm::Never), Some(Harm::Never));
    let mut vault = rig.start();
    rig.handles[left]
        .as_ref()
        .unwrap()
        .rot(sealed.base(left) + 60, 1);
    pass(&mut vault);
    let name = (sealed.seal.segment.get(), None);
    assert_eq!(lost(&vault.engine), [name, name]);
    assert!(sealed.end_on(&rig, left).iter().all(|byte| *byte == 0));
}

/// Whatever stands where the seal belongs, if it verifies it is not written over.
#[test]
fn nothing_that_verifies_is_written_over() {
    let (mut rig, sealed, left) = bereft(Some(Harm::Never), Some(Harm::Never));
    let handle = rig.handles[left].clone().unwrap();
    let header = handle.peek(sealed.base(left), 4096);
    let at = sealed.base(left) + sealed.seal.own_offset().get();
    handle.tamper(at, &header);
    let mut vault = rig.start();
    pass(&mut vault);
    assert_eq!(lost(&vault.engine), sealed.names(&[]));
    assert!(handle.peek(at, 4096) == header);
}

/// The index made anew knows the segment by its record and its frames alone.
#[test]
fn a_start_that_makes_the_index_anew_leaves_a_segment_sealed() {
    for crash in [false, true] {
        let (mut rig, sealed, left) = bereft(Some(Harm::Never), Some(Harm::Never));
        rig.options.new_index = true;
        let mut vault = rig.start();
        rig.options.new_index = false;
        check_all(&mut vault);
        if crash {
            drop(vault);
            rig.crash();
            vault = rig.start();
        }
        pass(&mut vault);
        assert_eq!(lost(&vault.engine), []);
        assert!(sealed.end_on(&rig, left) == sealed.end);
        check_all(&mut vault);
        vault.stop();
        assert!(!is_given_up(&rig, &sealed));
    }
}

/// What lies behind the last whole frame is a frame, since all before a seal was flushed.
#[test]
fn a_last_frame_that_is_torn_is_named_also_where_the_index_is_made_anew() {
    let (mut rig, sealed, left) = bereft(Some(Harm::Never), Some(Harm::Never));
    let [(_, at)] = rig.copies_of(&sealed.frames[OBJECTS - 1])[..] else {
        panic!("one copy")
    };
    let handle = rig.handles[left].clone().unwrap();
    handle.tamper(at + 4_096, &[0; SECTOR]);
    rig.options.new_index = true;
    let mut vault = rig.start();
    pass(&mut vault);
    assert_eq!(lost(&vault.engine), sealed.names(&[OBJECTS - 1]));
}

/// A segment of which both copies were away is read by the start that has one, whatever the index knew of its units.
#[test]
fn an_end_is_made_anew_of_a_segment_that_was_away() {
    let (mut rig, sealed) = stopped(6);
    let handles: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    for (disk, _) in &sealed.copies {
        sealed.harm(&rig, *disk, Some(Harm::Never), Some(Harm::Never));
        rig.handles[*disk] = None;
    }
    rig.options.new_index = true;
    let mut vault = rig.start();
    rig.options.new_index = false;
    let back = sealed.copies[0].0;
    let number = u16::try_from(back).unwrap() + 1;
    vault.attach(Some(number), &handles[back]).unwrap();
    vault.until("it takes part", |engine| {
        engine.status().heal.fill.is_none()
    });
    vault.stop();
    rig.handles[back] = Some(handles[back].clone());
    let mut vault = rig.start();
    check_all(&mut vault);
    pass(&mut vault);
    assert_eq!(lost(&vault.engine), []);
    assert!(sealed.end_on(&rig, back) == sealed.end);
    vault.stop();
    assert!(!is_given_up(&rig, &sealed));
}

/// Turns until a seal is written again, in a vault that is due to read everything.
fn turns_to_seal(vault: &mut Running) -> usize {
    let before = vault.seals;
    (1..10_000)
        .find(|_| {
            vault.turn();
            vault.seals > before
        })
        .expect("a seal is written")
}

#[test]
fn a_crash_at_any_step_of_making_an_end_anew_costs_nothing() {
    let begun = || {
        let (mut rig, sealed, left) = bereft(Some(Harm::Never), Some(Harm::Never));
        let mut vault = rig.start();
        vault.sleep(13 * HOUR_MS);
        (rig, sealed, left, vault)
    };
    let turns = turns_to_seal(&mut begun().3);
    for (loss, new_index) in [
        (Loss::Nothing, false),
        (Loss::All, false),
        (Loss::Seeded, false),
        (Loss::Seeded, true),
    ] {
        for crash_at in turns - 1..turns + 3 {
            let (mut rig, sealed, left, mut vault) = begun();
            (0..crash_at).for_each(|_| vault.turn());
            drop(vault);
            let handles = rig.handles.iter().flatten();
            handles.for_each(|handle| handle.crash(loss));
            let what = format!("{loss:?} at turn {crash_at} of {turns}, new index {new_index}");
            rig.options.new_index = new_index;
            let mut vault = rig.start();
            check_all(&mut vault);
            pass(&mut vault);
            assert_eq!(lost(&vault.engine), [], "{what}");
            assert!(sealed.end_on(&rig, left) == sealed.end, "{what}");
            check_all(&mut vault);
        }
    }
}

/// A segment of the journal repeats the log in its seal.
#[test]
fn the_end_of_a_segment_of_the_journal_is_made_anew() {
    for new_index in [false, true] {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        // More than a segment of the journal.
        for seed in 0..60 {
            vault.put(&name("b", &format!("k{seed}")), &content(seed, 100_000));
        }
        vault.stop();
        let frames = rig.frames_of(true);
        let stated = rig.records().into_iter().find_map(|body| match body {
            Body::Seal(note) if note.lane.is_journal() => Some(note.segment),
            _ => None,
        });
        let of_it = frames.iter().filter(|frame| Some(frame.segment) == stated);
        let sealed = Sealed::of(&rig, of_it.copied().collect());
        assert!(sealed.seal.log.is_some());
        for (disk, _) in &sealed.copies {
            sealed.harm(&rig, *disk, Some(Harm::Never), Some(Harm::Never));
        }
        rig.options.new_index = new_index;
        let mut vault = rig.start();
        pass(&mut vault);
        assert_eq!(lost(&vault.engine), [], "new index {new_index}");
        for (disk, _) in &sealed.copies {
            assert!(
                sealed.end_on(&rig, *disk) == sealed.end,
                "new index {new_index}"
            );
        }
    }
}
