//! Records that no disk has any more in the middle of the log: two people give them up, and the log goes on behind them.

use stele_device::sim::disk::SimDiskHandle;
use stele_format::frame::FrameHeader;
use stele_format::limits::LOST_SPANS_MAX;
use stele_format::record::{Body, RecordHeader};
use stele_format::statement::{Act, RecordSpan};
use stele_format::tree::Frontier;
use stele_format::units::{LogIndex, Opening, VersionId};
use stele_store::recovery::{ForcedRefusal, OpenError, Outlook};
use stele_store::request::{Command, Refusal};

use crate::forcing::{force, look, order, order_for, order_of};
use crate::support::locks::lose_index;
use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{founded, put, view};

/// Objects of a vault, each in a frame of its own.
pub const COUNT: usize = 6;

/// People and objects `n0` to `n5` on three disks, `n2` with tags that came later; everything as it was, the frame of
/// each object, and its version.
pub struct Stored {
    pub rig: Rig,
    pub log: Vec<(RecordHeader, Body)>,
    pub frames: Vec<FrameHeader>,
    pub versions: Vec<VersionId>,
}

pub fn stored() -> Stored {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let mut versions = Vec::new();
    for number in 0..COUNT {
        let object = name("b", &format!("n{number}"));
        versions.push(put(&mut vault, &object, number, 2_000, 1));
        turns(&mut vault);
    }
    let tags = Command::SetTags {
        name: name("b", "n2"),
        version: None,
        tags: vec![("a".to_owned(), "b".to_owned())],
    };
    vault.ask(tags).unwrap();
    // Long enough for the record that repeats the tree.
    vault.pass(1_000);
    stop(&mut rig, vault);
    let frames = rig.frames_of(true);
    let log = rig.log();
    let of = |version: &VersionId| {
        let has = |frame: &&FrameHeader| {
            let records = rig.records_in(frame);
            records.iter().any(|(header, _)| header.version == *version)
        };
        *frames.iter().find(has).unwrap()
    };
    let frames = versions.iter().map(of).collect();
    Stored {
        rig,
        log,
        frames,
        versions,
    }
}

/// A clean stop; the next start is not before it.
pub fn stop(rig: &mut Rig, mut vault: Running) {
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
}

/// The frame of an object is lost, and so is the index, which knew of it.
pub fn without(number: usize) -> Stored {
    let stored = stored();
    stored.rig.rot_everywhere(&stored.frames[number], 600);
    lose_index(&stored.rig);
    stored
}

pub fn reads(vault: &mut Running, number: usize) -> Result<(), Refusal> {
    reads_of(vault, number, 2_000)
}

fn reads_of(vault: &mut Running, number: usize, bytes: usize) -> Result<(), Refusal> {
    let read = vault.get(&name("b", &format!("n{number}")), None, None)?;
    assert_eq!(read, content(number, bytes), "{number}");
    Ok(())
}

/// All of them but `n2` are there, and a vault that takes writes says so of that one.
fn all_but_the_third(vault: &mut Running) {
    assert_eq!(vault.engine.status().read_only, None);
    for number in 0..COUNT {
        let expected = match number {
            2 => Err(Refusal::NoSuchKey { marker: None }),
            _ => Ok(()),
        };
        assert_eq!(reads(vault, number), expected, "{number}");
    }
}

/// The same log, by its tree, as before anything was lost.
fn is_the_same_log(outlook: &Outlook, log: &[(RecordHeader, Body)]) {
    let size = outlook.head.size;
    let mut tree = Frontier::default();
    let before = log
        .iter()
        .filter(|(header, _)| header.log_index.get() < size);
    before.for_each(|(header, _)| tree.push(header.leaf_hash()));
    assert_eq!((size, outlook.head.root), (tree.size(), tree.root()));
}

pub fn spans(first: u64, last: u64) -> Vec<RecordSpan> {
    vec![RecordSpan {
        first: LogIndex::new(first),
        last: LogIndex::new(last),
    }]
}

#[test]
fn the_log_goes_on_behind_a_hole_that_two_people_give_up() {
    let Stored {
        mut rig,
        log,
        versions,
        ..
    } = without(2);
    let mut vault = rig.start();
    assert!(matches!(reads(&mut vault, 2), Err(Refusal::MayBeLost(_))));
    drop(vault);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    let lost = versions[2].ordinal().get();
    assert_eq!(outlook.missing(), spans(lost, lost));
    is_the_same_log(&outlook, &log);
    // What is given up is named exactly.
    for missing in [Vec::new(), spans(lost, lost + 1), spans(lost - 1, lost - 1)] {
        let act = Act::ForceOpen {
            opening: outlook.opening,
            lost: outlook.known_lost,
            missing,
            disks: outlook.disks.clone(),
        };
        let order = order_of(origin, act, &outlook, ("sara", "anna"));
        match force(&mut rig, &order) {
            Err(OpenError::NotForced(ForcedRefusal::OtherMissing)) => {}
            other => panic!("unexpected {:?}", other.err()),
        }
    }
    let order = order_for(origin, &outlook);
    let mut vault = force(&mut rig, &order).unwrap();
    all_but_the_third(&mut vault);
    let [opened] = &view(&mut vault).openings[..] else {
        panic!("opened once")
    };
    assert_eq!(opened.opening, Opening::new(1));
    let again = put(&mut vault, &name("b", "n2"), 12, 300, 1);
    assert!(again.ordinal() > opened.record);
    stop(&mut rig, vault);
    // Tree and chain go on: the next start believes what this one left.
    let mut vault = rig.start();
    let read = vault.get(&name("b", "n2"), None, None);
    assert_eq!(read, Ok(content(12, 300)));
    vault.stop();
}

#[test]
fn what_was_given_up_stays_out_whatever_disks_show_later() {
    let Stored {
        mut rig, frames, ..
    } = without(2);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    all_but_the_third(&mut vault);
    stop(&mut rig, vault);
    for new_index in [false, true] {
        rig.options.new_index = new_index;
        let mut vault = rig.start();
        all_but_the_third(&mut vault);
        stop(&mut rig, vault);
    }
    // The bytes are back, and the index is made of the whole journal.
    rig.rot_everywhere(&frames[2], 600);
    let mut vault = rig.start();
    all_but_the_third(&mut vault);
    vault.stop();
}

/// Of several places each is named.
#[test]
fn several_holes_are_given_up_at_once() {
    let Stored {
        mut rig,
        log,
        frames,
        versions,
    } = stored();
    for number in [1, 2, 4] {
        rig.rot_everywhere(&frames[number], 600);
    }
    lose_index(&rig);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    let record = |number: usize| versions[number].ordinal().get();
    let missing = [1, 2, 4].map(|number| spans(record(number), record(number))[0]);
    assert_eq!(outlook.missing(), missing);
    is_the_same_log(&outlook, &log);
    let mut vault = force(&mut rig, &order_for(origin, &outlook)).unwrap();
    for number in [0, 3, 5] {
        reads(&mut vault, number).unwrap();
    }
    let gone = Err(Refusal::NoSuchKey { marker: None });
    for number in [1, 2, 4] {
        assert_eq!(reads(&mut vault, number), gone, "{number}");
    }
    stop(&mut rig, vault);
    // More is lost later, and given up like it.
    rig.rot_everywhere(&frames[5], 600);
    lose_index(&rig);
    let vault = rig.start();
    assert!(vault.engine.status().read_only.is_some());
    drop(vault);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    assert_eq!(outlook.missing(), spans(record(5), record(5)));
    let mut vault = force(&mut rig, &order_for(origin, &outlook)).unwrap();
    let people = view(&mut vault);
    let openings = people.openings.iter().map(|one| one.opening.get());
    assert_eq!(openings.collect::<Vec<_>>(), [1, 2]);
    reads(&mut vault, 3).unwrap();
    assert_eq!(reads(&mut vault, 5), gone);
}

/// What the index knows is not given up, though the journal lacks it.
#[test]
fn a_vault_whose_index_knows_what_the_journal_lacks_is_not_forced() {
    let Stored {
        mut rig, frames, ..
    } = stored();
    rig.rot_everywhere(&frames[2], 600);
    let (origin, outlook) = look(&mut rig);
    assert_eq!(outlook.err(), Some(ForcedRefusal::NotNeeded));
    let mut vault = rig.start();
    assert_eq!(vault.engine.status().read_only, None);
    reads(&mut vault, 3).unwrap();
    vault.stop();
    // An order for what a look without the index would show does not change that.
    let mut bare = stored();
    bare.rig.rot_everywhere(&bare.frames[2], 600);
    lose_index(&bare.rig);
    let (_, outlook) = look(&mut bare.rig);
    let order = order_for(origin, &outlook.unwrap());
    match force(&mut rig, &order) {
        Err(OpenError::NotForced(ForcedRefusal::NotNeeded)) => {}
        other => panic!("unexpected {:?}", other.err()),
    }
}

/// Nothing behind the hole repeats the tree: the log is not known there, and could not be signed.
#[test]
fn a_hole_behind_which_nothing_repeats_the_tree_is_not_given_up() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions = [0, 1].map(|number| {
        let object = name("b", &format!("n{number}"));
        put(&mut vault, &object, number, 2_000, 1)
    });
    drop(vault);
    rig.crash();
    let frames = rig.frames_of(true);
    let has = |frame: &&FrameHeader| {
        let records = rig.records_in(frame);
        records
            .iter()
            .any(|(header, _)| header.version == versions[0])
    };
    let frame = *frames.iter().find(has).unwrap();
    rig.rot_everywhere(&frame, 600);
    let (_, outlook) = look(&mut rig);
    assert_eq!(outlook.err(), Some(ForcedRefusal::Hole));
}

/// The last frames of a segment are lost, and the first one of the next.
#[test]
fn a_hole_over_the_end_of_a_segment_is_given_up() {
    let Stored {
        mut rig, frames, ..
    } = stored();
    let mut vault = rig.start();
    put(&mut vault, &name("b", "n6"), 6, 2_000, 1);
    vault.pass(1_000);
    stop(&mut rig, vault);
    let log = rig.log();
    let all = rig.frames_of(true);
    let first = all.iter().find(|frame| frame.segment > frames[5].segment);
    let first = *first.unwrap();
    let lost: Vec<FrameHeader> = all
        .iter()
        .filter(|frame| frame.sequence >= frames[5].sequence && frame.sequence <= first.sequence)
        .copied()
        .collect();
    assert!(lost.len() > 2);
    for frame in &lost {
        rig.rot_everywhere(frame, 600);
    }
    lose_index(&rig);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    let [span] = outlook.lost[..] else {
        panic!("{:?}", outlook.lost)
    };
    assert_eq!(span.first, lost[0].sequence);
    assert_eq!(span.next.get(), first.sequence.get() + 1);
    is_the_same_log(&outlook, &log);
    let mut vault = force(&mut rig, &order_for(origin, &outlook)).unwrap();
    for anew in [false, true] {
        for number in [0, 1, 2, 3, 4, 6] {
            reads(&mut vault, number).unwrap();
        }
        let gone = Err(Refusal::NoSuchKey { marker: None });
        assert_eq!(reads(&mut vault, 5), gone);
        stop(&mut rig, vault);
        rig.options.new_index = anew;
        vault = rig.start();
        assert_eq!(vault.engine.status().read_only, None);
    }
    // More goes at the end of the segment: reading goes on in the next, which begins with what was given up.
    stop(&mut rig, vault);
    rig.options.new_index = false;
    let last: Vec<&FrameHeader> = all
        .iter()
        .filter(|frame| frames[4].sequence <= frame.sequence && frame.sequence < lost[0].sequence)
        .collect();
    for frame in &last {
        rig.rot_everywhere(frame, 600);
    }
    lose_index(&rig);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    let [wider] = outlook.lost[..] else {
        panic!("{:?}", outlook.lost)
    };
    assert_eq!((wider.first, wider.next), (last[0].sequence, span.next));
    let mut vault = force(&mut rig, &order_for(origin, &outlook)).unwrap();
    for number in [0, 1, 2, 3, 6] {
        reads(&mut vault, number).unwrap();
    }
}

/// What lies before and behind records that were given up is lost later, and given up with them: of the spans that are
/// stated then one contains the other.
#[test]
fn what_is_lost_around_a_hole_is_given_up_with_it() {
    let Stored {
        mut rig,
        frames,
        versions,
        ..
    } = without(2);
    let first = order(&mut rig);
    let vault = force(&mut rig, &first).unwrap();
    stop(&mut rig, vault);
    let all = rig.frames_of(true);
    let (from, to) = (frames[1].sequence, frames[3].sequence);
    let around = all
        .iter()
        .filter(|frame| from <= frame.sequence && frame.sequence <= to && **frame != frames[2]);
    let around: Vec<&FrameHeader> = around.collect();
    for frame in &around {
        rig.rot_everywhere(frame, 300);
    }
    lose_index(&rig);
    let (origin, outlook) = look(&mut rig);
    let outlook = outlook.unwrap();
    let record = |number: usize| versions[number].ordinal().get();
    assert_eq!(outlook.missing(), spans(record(1), record(3)));
    let mut vault = force(&mut rig, &order_for(origin, &outlook)).unwrap();
    let gone = Err(Refusal::NoSuchKey { marker: None });
    let all_but_three = |vault: &mut Running| {
        assert_eq!(vault.engine.status().read_only, None);
        for number in [0, 4, 5] {
            reads(vault, number).unwrap();
        }
        for number in [1, 2, 3] {
            assert_eq!(reads(vault, number), gone, "{number}");
        }
    };
    all_but_three(&mut vault);
    stop(&mut rig, vault);
    rig.options.new_index = true;
    // Some of the bytes come back, then all of them.
    for number in 0..=around.len() {
        match number.checked_sub(1) {
            None => rig.rot_everywhere(&frames[2], 600),
            Some(number) => rig.rot_everywhere(around[number], 300),
        }
        let mut vault = rig.start();
        all_but_three(&mut vault);
        stop(&mut rig, vault);
    }
}

/// The journal is read in parts where rows gather: what was stepped over in one is known in the next.
#[test]
fn a_hole_is_stepped_over_also_where_reading_pauses() {
    let Stored {
        mut rig, frames, ..
    } = without(2);
    rig.options.snapshot_rows = 1;
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    all_but_the_third(&mut vault);
    stop(&mut rig, vault);
    rig.rot_everywhere(&frames[2], 600);
    rig.options.new_index = true;
    all_but_the_third(&mut rig.start());
}

/// An index of the time before, put back, knows what people gave up since.
#[test]
fn an_index_from_before_the_opening_is_not_begun_from() {
    let Stored {
        mut rig, frames, ..
    } = stored();
    let areas: Vec<Vec<u8>> = rig.handles[..2]
        .iter()
        .flatten()
        .map(|handle| handle.peek((1 << 20) + (256 << 10), 1 << 20))
        .collect();
    rig.rot_everywhere(&frames[2], 600);
    lose_index(&rig);
    let order = order(&mut rig);
    let vault = force(&mut rig, &order).unwrap();
    stop(&mut rig, vault);
    for (handle, area) in rig.handles.iter().flatten().zip(&areas) {
        handle.tamper((1 << 20) + (256 << 10), area);
    }
    all_but_the_third(&mut rig.start());
}

#[test]
fn so_many_holes_are_given_up_at_once_and_no_more() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let count = 2 * (LOST_SPANS_MAX + 1);
    for number in 0..count {
        put(
            &mut vault,
            &name("b", &format!("n{number}")),
            number,
            300,
            1,
        );
        turns(&mut vault);
    }
    vault.pass(1_000);
    stop(&mut rig, vault);
    let all = rig.frames_of(true);
    let holds = |frame: &&FrameHeader| {
        let records = rig.records_in(frame);
        records
            .iter()
            .any(|(_, body)| matches!(body, Body::Commit(_)))
    };
    let frames: Vec<FrameHeader> = all.iter().filter(holds).copied().collect();
    assert_eq!(frames.len(), count);
    for frame in frames.iter().step_by(2) {
        rig.rot_everywhere(frame, 300);
    }
    lose_index(&rig);
    let (_, outlook) = look(&mut rig);
    let refused = ForcedRefusal::Holes {
        spans: LOST_SPANS_MAX + 1,
        spans_max: LOST_SPANS_MAX,
    };
    assert_eq!(outlook.err(), Some(refused));
    rig.rot_everywhere(&frames[0], 300);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    assert_eq!(vault.engine.status().read_only, None);
    assert_eq!(reads_of(&mut vault, 0, 300), Ok(()));
    assert_eq!(reads_of(&mut vault, 1, 300), Ok(()));
}

/// Power is lost at every step of an opening that gives records up: the vault is as it was, or open.
#[test]
fn an_opening_with_holes_that_is_cut_leaves_the_vault_as_it_was() {
    let Stored {
        mut rig, frames, ..
    } = without(2);
    let order = order(&mut rig);
    let before: Vec<_> = rig
        .handles
        .iter()
        .flatten()
        .map(SimDiskHandle::snapshot)
        .collect();
    let power = rig.handles[0].as_ref().unwrap().power();
    let (mut cut, mut opened) = (0, 0);
    for steps in (0..).step_by(7) {
        for (handle, before) in rig.handles.iter().flatten().zip(&before) {
            handle.restore(before);
        }
        power.cut_after(steps);
        let whole = force(&mut rig, &order).is_ok() && power.is_on();
        rig.crash();
        power.restore();
        if whole {
            break;
        }
        cut += 1;
        let mut vault = rig.start();
        if vault.engine.status().read_only.is_none() {
            opened += 1;
            all_but_the_third(&mut vault);
            continue;
        }
        drop(vault);
        let mut vault = force(&mut rig, &order).unwrap();
        all_but_the_third(&mut vault);
        stop(&mut rig, vault);
        rig.rot_everywhere(&frames[2], 600);
        rig.options.new_index = true;
        all_but_the_third(&mut rig.start());
        rig.options.new_index = false;
    }
    assert!(cut > 10 && opened > 0, "{cut} {opened}");
}
