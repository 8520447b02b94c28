//! Opens vaults whose journal was forged: every start must end with a vault or with an error, and what
//! is asked of the vault must be answered.
//!
//! Media carry no secret that a reader could tell a forger by: digests can be made right again, and only
//! what is sealed cannot be forged. So records are changed and all digests after them made right, or bytes
//! are changed and nothing is; pages of the index, which are encrypted, rot or are put back to what they were.
//! Two vaults are the ground: one replays what came after its snapshot, the other has lost its index and
//! replays everything.
//!
//! `cargo run --release -p stele-store --example replay_fuzz -- CASES SEED`; a case that panics is printed
//! with its number, and `CASES SEED FIRST` begins there.
#![expect(clippy::unwrap_used, reason = "the ground is made as it is wanted")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod chance;
mod forge;
mod index;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::fault::Loss;
use stele_format::label::{DynamicLabel, LabelCopy};
use stele_store::recovery::read_label;
use stele_store::request::{Command, ListWish, LockWish, Metadata, Purpose};

use chance::Chance;
use forge::Journal;
use index::IndexPages;
use support::{Rig, Running, content, name};

/// A vault that was made, as its disks were left.
struct Ground {
    rig: Rig,
    disks: Vec<SimSnapshot>,
    journal: Journal,
    index: IndexPages,
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut number = |otherwise| numbers.next().and_then(Result::ok).unwrap_or(otherwise);
    let (cases, seed, first) = (number(10_000), number(1), number(0));
    let mut grounds = [ground(false), ground(true)];
    let mut opened = 0_u64;
    for case in first..first.saturating_add(cases) {
        let mut chance = Chance::new(seed, case);
        let ground = &mut grounds[chance.below(2)];
        let run = || one_case(ground, &mut chance);
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(true) => opened += 1,
            Ok(false) => {}
            Err(_) => {
                eprintln!("case {case} of seed {seed} panicked");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{cases} forged vaults, {opened} of them opened, none panicked; seed {seed}");
    ExitCode::SUCCESS
}

/// A vault that has used every kind of record, after a power cut.
fn ground(without_index: bool) -> Ground {
    let mut rig = Rig::create(3);
    rig.start().stop();
    let mut vault = rig.start();
    for bucket in ["b", "locked"] {
        vault.bucket(bucket, bucket == "locked");
    }
    // Each stop leaves an index of its own.
    vault.stop();
    let mut index = IndexPages::of(&rig);
    let mut vault = rig.start();
    for (number, bytes) in [(0, 0), (1, 5_000), (2, 200_000), (3, 70)] {
        vault.put(
            &name("b", &format!("n{}", number % 3)),
            &content(number, bytes),
        );
    }
    vault.stop();
    index.now(&rig);
    let mut vault = rig.start();
    multipart(&mut vault);
    let gone = Command::Delete {
        name: name("b", "n1"),
        version: None,
        bypass: false,
    };
    vault.ask(gone).unwrap();
    let hold = Command::SetHold {
        name: name("locked", "upload"),
        version: None,
        on: true,
    };
    // Not every state of an object takes it; the record is what is wanted.
    drop(vault.ask(hold));
    drop(vault);
    rig.handles
        .iter()
        .flatten()
        .for_each(|disk| disk.crash(Loss::Nothing));
    if without_index {
        for handle in rig.handles.iter().flatten() {
            let label = read_label(&mut handle.open()).unwrap();
            let (at, bytes) = (
                label.fixed.geometry.index_offset(),
                label.fixed.geometry.index_bytes,
            );
            let blank = vec![0; usize::try_from(bytes.get()).unwrap()];
            handle.tamper(at.get(), &blank);
        }
    }
    let journal = Journal::of(&rig);
    let disks = rig.handles.iter().flatten();
    let disks = disks.map(SimDiskHandle::snapshot).collect();
    Ground {
        rig,
        disks,
        journal,
        index,
    }
}

fn multipart(vault: &mut Running) {
    let command = Command::CreateUpload {
        name: name("locked", "upload"),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        announced: None,
    };
    let stele_store::request::Answer::Upload(upload) = vault.ask(command).unwrap() else {
        panic!("no upload")
    };
    for number in 1..=2 {
        let purpose = Purpose::Part { upload, number };
        let stream = vault.open_put(&name("locked", "upload"), purpose).unwrap();
        vault.feed(stream, &content(number.into(), 3_000)).unwrap();
        vault.commit(stream).unwrap();
    }
}

/// Forges, opens, asks. Whether it could be opened.
fn one_case(ground: &mut Ground, chance: &mut Chance) -> bool {
    let handles: Vec<SimDiskHandle> = ground.rig.handles.iter().flatten().cloned().collect();
    for (handle, disk) in handles.iter().zip(&ground.disks) {
        handle.restore(disk);
    }
    match chance.below(10) {
        0 => damage(ground, &handles, chance),
        1 => forge_labels(&handles, chance),
        2 | 3 => ground.index.spoil(&handles, chance),
        _ => ground.journal.forge(&handles, chance),
    }
    let Ok(mut vault) = ground.rig.try_start() else {
        return false;
    };
    let wish = || ListWish {
        bucket: "b".to_owned(),
        entries_max: 100,
        ..ListWish::default()
    };
    drop(vault.ask(Command::List(wish())));
    drop(vault.ask(Command::ListVersions(wish())));
    for number in 0..3 {
        drop(vault.get(&name("b", &format!("n{number}")), None, None));
    }
    let more = Command::CreateBucket {
        name: "more".to_owned(),
        lock: false,
    };
    drop(vault.ask(more));
    true
}

/// Bytes of the journal's frames rot, here and there, on any copies.
fn damage(ground: &Ground, handles: &[SimDiskHandle], chance: &mut Chance) {
    for _ in 0..=chance.below(6) {
        let (disk, at, bytes) = ground.journal.any_place(chance);
        let at = at + chance.below(bytes) as u64;
        handles[disk].tamper(at, &chance.bytes(16));
    }
}

/// Labels that say something else, on one disk or on all alike.
fn forge_labels(handles: &[SimDiskHandle], chance: &mut Chance) {
    let (field, number, everywhere) = (chance.below(9), chance.number(), chance.coin());
    let only = chance.below(handles.len());
    for (at, handle) in handles.iter().enumerate() {
        if !everywhere && at != only {
            continue;
        }
        let reading = read_label(&mut handle.open()).unwrap();
        let mut label = reading.dynamic.unwrap();
        change_label(&mut label, field, number);
        let geometry = reading.fixed.geometry;
        for copy in LabelCopy::ALL {
            if let Ok(bytes) = label.encode(&geometry, copy) {
                handle.tamper(label.place(&geometry, copy).offset.get(), &bytes);
            }
        }
    }
}

fn change_label(label: &mut DynamicLabel, field: usize, number: u64) {
    use stele_format::units::{Epoch, Generation, SegmentId, Sequence, UnitCount};
    let small = u32::try_from(number & 0xf_ffff).unwrap_or(0);
    match field {
        0 => label.generation = Generation::new(number),
        1 => label.in_force = Generation::new(number),
        2 => label.epoch = Epoch::new(small),
        3 => label.watermark = Sequence::new(number),
        4 => label.next_segment = SegmentId::new(number),
        5 => label.units_high_water = UnitCount::new(small),
        6 => label.journal_segment = SegmentId::new(number),
        7 => label
            .members
            .truncate(usize::try_from(number % 4).unwrap_or(0)),
        _ => {
            for (at, member) in label.members.iter_mut().enumerate() {
                member.voter = number >> at & 1 == 1;
                member.last_generation = Generation::new(number);
            }
        }
    }
}
