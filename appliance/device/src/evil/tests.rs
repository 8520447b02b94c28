use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fate::{Fate, Mood, fate};
use super::{Cut, EvilArea, EvilDisk, Flushes, Mains, OfDisk, Plan, PlanError};
use crate::area::Area;
use crate::buffer::{Buffer, BufferMut};
use crate::conformance::{self, EXAM_DISK_BYTES};
use crate::disk::{BlockingDisk, Disk, DiskError, Op, OpId, no_waker};
use crate::limits::{BLOCK_BYTES, SECTOR_BYTES};
use crate::linux::open::OpenMode;
use crate::sim::rng::SimRng;

const BYTES: u64 = 1 << 20;

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        cut: Cut::Asked,
        flushes: Flushes::Honest,
        pace: None,
        slow: None,
        fail: None,
    }
}

/// Mains whose cut does not end the test.
fn mains(plan: Plan) -> Mains {
    Mains::new(plan, || {})
}

fn disk(mains: &Mains, path: &Path) -> EvilDisk {
    let mode = if path.exists() {
        OpenMode::Write
    } else {
        OpenMode::Create { bytes: BYTES }
    };
    EvilDisk::open(mains, path, mode, no_waker()).expect("open")
}

fn filled(bytes: usize, value: u8) -> Buffer {
    let mut buffer = BufferMut::zeroed(bytes);
    buffer.fill(value);
    buffer.freeze()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.disk");
    (directory, path)
}

/// What is on the medium, by the first byte of each sector.
fn sectors(path: &Path, bytes: usize) -> Vec<u8> {
    let content = std::fs::read(path).expect("read");
    let sectors = content[..bytes].chunks_exact(SECTOR_BYTES);
    sectors
        .map(|sector| {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "half a sector"
            );
            sector[0]
        })
        .collect()
}

#[test]
fn an_evil_disk_passes_the_exam() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut count = 0;
    conformance::disk(|| {
        count += 1;
        let path = directory.path().join(format!("{count}.disk"));
        let mode = OpenMode::Create {
            bytes: EXAM_DISK_BYTES,
        };
        let mains = mains(plan(count));
        Box::new(EvilDisk::open(&mains, &path, mode, no_waker()).expect("create"))
    });
}

#[test]
fn an_area_of_an_evil_disk_passes_the_exam_and_shares_its_cache() {
    let (_directory, path) = place();
    let mains = mains(plan(1));
    let mode = OpenMode::Create { bytes: 8 << 20 };
    let mut disk = EvilDisk::open(&mains, &path, mode, no_waker()).expect("create");
    conformance::area(&EvilArea::open(&mains, &path, 1 << 20, 2 << 20).expect("area"));
    let area = EvilArea::open(&mains, &path, 4 << 20, 1 << 20).expect("area");
    area.write(4096, &[7; 4096]).expect("write");
    let block = disk.read_at((4 << 20) + 4096, 4096).expect("read");
    assert!(
        block.iter().all(|byte| *byte == 7),
        "an unflushed write shows"
    );
    assert!(EvilArea::open(&mains, &path, 0, 9 << 20).is_err());
}

#[test]
fn flushed_bytes_survive_every_cut_and_of_the_others_any_sectors() {
    let (mut old, mut new, mut mixed) = (0, 0, 0);
    for seed in 0..150 {
        let (_directory, path) = place();
        let mains = mains(plan(seed));
        let mut disk = disk(&mains, &path);
        disk.write_durable_at(0, filled(32 << 10, 1))
            .expect("write");
        disk.write_at(32 << 10, filled(4096, 2)).expect("write");
        disk.flush().expect("flush");
        disk.write_at(0, filled(16 << 10, 3)).expect("write");
        disk.write_at(64 << 10, filled(4096, 4)).expect("write");
        mains.cut();
        let found = sectors(&path, 128 << 10);
        assert!(found[32..64].iter().all(|byte| *byte == 1), "seed {seed}");
        assert!(found[64..72].iter().all(|byte| *byte == 2), "seed {seed}");
        match found[..32].iter().filter(|byte| **byte == 3).count() {
            0 => old += 1,
            32 => new += 1,
            _ => mixed += 1,
        }
        assert!(found[..32].iter().all(|byte| [1, 3].contains(byte)));
    }
    assert!(old > 10 && new > 10 && mixed > 10, "{old} {new} {mixed}");
}

#[test]
fn writes_behind_a_lost_one_may_survive() {
    let swapped = (0..100).filter(|seed| {
        let (_directory, path) = place();
        let mains = mains(plan(*seed));
        let mut disk = disk(&mains, &path);
        disk.write_at(0, filled(4096, 1)).expect("write");
        disk.write_at(4096, filled(4096, 2)).expect("write");
        mains.cut();
        let found = sectors(&path, 8192);
        found[0] == 0 && found[8] == 2
    });
    assert!(swapped.count() > 5);
}

#[test]
fn a_disk_that_ignores_flushes_loses_what_it_called_durable() {
    let lost = (0..50).filter(|seed| {
        let (_directory, path) = place();
        let mains = mains(Plan {
            flushes: Flushes::Ignored,
            ..plan(*seed)
        });
        let mut disk = disk(&mains, &path);
        disk.write_durable_at(0, filled(4096, 1)).expect("write");
        mains.cut();
        sectors(&path, 4096) != [1; 8]
    });
    assert!(lost.count() > 20);
}

#[test]
fn a_flush_covers_what_was_handed_out_before_it_and_by_chance_the_rest() {
    let lost = (0..100).filter(|seed| {
        let (_directory, path) = place();
        let mains = mains(plan(*seed));
        let mut disk = disk(&mains, &path);
        let data = filled(4096, 1);
        disk.submit(OpId(1), Op::Write { offset: 0, data });
        disk.submit(OpId(2), Op::Flush);
        let mut done = Vec::new();
        while disk.in_flight() > 0 {
            disk.wait(&mut done);
        }
        assert!(done.iter().all(|done| done.result.is_ok()));
        mains.cut();
        sectors(&path, 4096) != [1; 8]
    });
    let lost = lost.count();
    assert!((5..95).contains(&lost), "{lost}");
}

#[test]
fn a_flush_of_the_disk_does_not_cover_an_area_nor_the_reverse() {
    let lost = |by_area: bool| {
        let losses = (0..60).filter(|seed| {
            let (_directory, path) = place();
            let mains = mains(plan(*seed));
            let mut disk = disk(&mains, &path);
            let area = EvilArea::open(&mains, &path, 0, 8192).expect("area");
            area.write(0, &[1; 4096]).expect("write");
            disk.write_at(8192, filled(4096, 2)).expect("write");
            if by_area { area.flush() } else { disk.flush() }.expect("flush");
            mains.cut();
            let found = sectors(&path, 16 << 10);
            let (mut of_area, mut of_disk) = (found[..8] != [1; 8], found[16..24] != [2; 8]);
            if by_area {
                std::mem::swap(&mut of_area, &mut of_disk);
            }
            assert!(!of_disk, "seed {seed}: a flush that covers nothing");
            of_area
        });
        losses.count()
    };
    assert!(lost(true) > 10);
    assert!(lost(false) > 10);
}

#[test]
fn what_a_closed_handle_left_is_covered_by_the_next_flush() {
    for seed in 0..40 {
        let (_directory, path) = place();
        let mains = mains(plan(seed));
        let mut first = disk(&mains, &path);
        first.write_at(0, filled(4096, 1)).expect("write");
        drop(first);
        let mut second = disk(&mains, &path);
        let kept = second.read_at(0, 4096).expect("read");
        assert!(kept.iter().all(|byte| *byte == 1));
        second.flush().expect("flush");
        mains.cut();
        assert_eq!(sectors(&path, 4096), [1; 8], "seed {seed}");
    }
}

#[test]
fn an_older_write_never_comes_after_a_flushed_newer_one() {
    for seed in 0..100 {
        let (_directory, path) = place();
        let mains = mains(plan(seed));
        let mut disk = disk(&mains, &path);
        let area = EvilArea::open(&mains, &path, 0, 16 << 10).expect("area");
        area.write(0, &[1; 16 << 10]).expect("write");
        disk.write_durable_at(4096, filled(4096, 2)).expect("write");
        mains.cut();
        assert_eq!(sectors(&path, 16 << 10)[8..16], [2; 8], "seed {seed}");
    }
}

#[test]
fn nothing_happens_after_the_cut() {
    let (_directory, path) = place();
    let ends = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ends);
    let mains = Mains::new(plan(3), move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let mut disk = disk(&mains, &path);
    let area = EvilArea::open(&mains, &path, 0, 8192).expect("area");
    mains.cut();
    let before = std::fs::read(&path).expect("read");
    let data = || filled(4096, 9);
    assert_eq!(disk.write_at(0, data()), Err(DiskError::PowerLost));
    assert_eq!(disk.write_durable_at(0, data()), Err(DiskError::PowerLost));
    assert_eq!(disk.flush(), Err(DiskError::PowerLost));
    assert_eq!(disk.read_at(0, 4096).err(), Some(DiskError::PowerLost));
    assert_eq!(area.write(0, &[9; 4096]), Err(DiskError::PowerLost));
    assert_eq!(area.flush(), Err(DiskError::PowerLost));
    mains.cut();
    drop((disk, area));
    assert_eq!(ends.load(Ordering::SeqCst), 1, "cut once");
    assert!(std::fs::read(&path).expect("read") == before);
}

#[test]
fn the_power_goes_at_the_write_or_flush_that_was_planned() {
    for (cut, writes, flushes) in [
        (Cut::AtWrite(3), 2, 2),
        (Cut::AtFlush(2), 2, 1),
        (Cut::Asked, 5, 5),
    ] {
        let (_directory, path) = place();
        let mains = mains(Plan { cut, ..plan(1) });
        let mut disk = disk(&mains, &path);
        let (mut written, mut flushed) = (0, 0);
        for number in 0..5 {
            let write = disk.write_at(number * 4096, filled(4096, 1));
            written += u64::from(write.is_ok() && mains.is_on());
            flushed += u64::from(disk.flush().is_ok());
        }
        assert_eq!((written, flushed), (writes, flushes), "{cut:?}");
    }
}

#[test]
fn tears_lie_between_sectors_and_inside_the_write() {
    let mut rng = SimRng::new(1);
    let mut partly = 0;
    for _ in 0..2000 {
        let Fate::Torn(pieces) = fate(Mood::Chooses, 16 << 10, &mut rng) else {
            continue;
        };
        partly += 1;
        let mut end = 0;
        for piece in pieces {
            assert!(piece.start >= end && piece.end > piece.start && piece.end <= 16 << 10);
            assert!(piece.start % SECTOR_BYTES == 0 && piece.end % SECTOR_BYTES == 0);
            end = piece.end;
        }
    }
    assert!(partly > 400);
}

#[test]
fn a_disk_fails_after_so_many_writes_and_another_does_not() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let fail = Some(OfDisk { disk: 2, number: 3 });
    let mains = mains(Plan { fail, ..plan(1) });
    let taken = |name: &str| {
        let mut disk = disk(&mains, &directory.path().join(name));
        let mut writes = (0..5).map(|_| disk.write_durable_at(0, filled(BLOCK_BYTES, 1)));
        writes.position(|done| done.is_err())
    };
    assert_eq!(taken("first"), None);
    assert_eq!(taken("second"), Some(3));
}

#[test]
fn a_plan_is_a_line_of_text() {
    for text in [
        "seed=7",
        "seed=7,writes=12",
        "seed=1,flushes=3,flush=ignored",
        "seed=1,slow=3:150,fail=2:4000",
        "seed=1,pace=2000",
    ] {
        assert_eq!(text.parse::<Plan>().expect("a plan").to_string(), text);
    }
    assert_eq!("writes=3".parse::<Plan>(), Err(PlanError::NoSeed));
    for text in [
        "",
        "seed",
        "seed=x",
        "seed=1,now=1",
        "seed=1,flush=never",
        "seed=1,pace=x",
        "seed=1,slow=3",
        "seed=1,slow=0:1",
        "seed=1,fail=x:1",
    ] {
        let refused = text.parse::<Plan>();
        assert!(matches!(refused, Err(PlanError::Unknown(_))), "{text}");
    }
}
