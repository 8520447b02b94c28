//! What a vault may still destroy after records in the middle of its log were given up: nothing that was stored before.

use stele_format::frame::FrameHeader;
use stele_format::record::{Body, LostSpan, RecordHeader, RecordReader, Trim, encode_record};
use stele_format::statement::{Act, Cut, Verb};
use stele_format::units::{Month, Opening, Sequence};
use stele_store::policy::Kept;
use stele_store::policy::approval::StatementRefusal;
use stele_store::recovery::ForcedRefusal;
use stele_store::request::Refusal;

use crate::forced_holes::{Stored, reads, stop, without};
use crate::forcing::{force, look, order};
use crate::support::locks::lose_index;
use crate::support::steps::turns;
use crate::support::{Rig, name, resealed};
use crate::world::{DAY_MS, founded, list, put, request, ripe, say, work_off};

#[test]
fn nothing_that_was_stored_before_is_destroyed() {
    let Stored {
        mut rig, versions, ..
    } = without(2);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    let new = put(&mut vault, &name("b", "new"), 9, 300, 1);
    vault.sleep(30 * DAY_MS);
    for (version, doubted) in [(versions[0], true), (versions[5], true), (new, false)] {
        let erase = list(&mut vault, &[version], Cut::Leaves, false);
        let asked = request(&mut vault, Act::Erase(erase), "oona");
        if doubted {
            let refused = Refusal::ScopeKept {
                record: version.ordinal(),
                why: Kept::Doubted,
            };
            assert_eq!(asked, Err(refused));
        } else {
            asked.unwrap();
        }
    }
    stop(&mut rig, vault);
    // As the log says it, not only the engine that was there.
    rig.options.new_index = true;
    let mut vault = rig.start();
    let erase = list(&mut vault, &[versions[0]], Cut::Leaves, false);
    let asked = request(&mut vault, Act::Erase(erase), "oona");
    assert!(matches!(
        asked,
        Err(Refusal::ScopeKept {
            why: Kept::Doubted,
            ..
        })
    ));
}

/// Versions whose record is lost have keys of that month, and are on no list.
#[test]
fn keys_are_not_cut_by_month() {
    let Stored { mut rig, .. } = without(2);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    let new = put(&mut vault, &name("b", "new"), 9, 300, 1);
    vault.sleep(40 * DAY_MS);
    let month = Month::new(700).unwrap();
    let erase = list(&mut vault, &[new], Cut::Month(month), false);
    let asked = request(&mut vault, Act::Erase(erase), "oona");
    assert_eq!(asked, Err(Refusal::from(StatementRefusal::MonthDoubted)));
}

/// A destruction looks for segments that nothing cites, and content of a lost record is cited by none.
#[test]
fn content_of_lost_records_keeps_its_segments() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let lost = put(&mut vault, &name("b", "lost"), 1, 1_500_000, 1);
    turns(&mut vault);
    put(&mut vault, &name("b", "n0"), 0, 2_000, 1);
    turns(&mut vault);
    vault.pass(1_000);
    stop(&mut rig, vault);
    let all = rig.frames_of(true);
    let frame = all.iter().find(|frame| {
        let records = rig.records_in(frame);
        records.iter().any(|(header, _)| header.version == lost)
    });
    rig.rot_everywhere(frame.unwrap(), 600);
    lose_index(&rig);
    let order = order(&mut rig);
    let mut vault = force(&mut rig, &order).unwrap();
    // Several segments of data, so that the newest is another one.
    let new: Vec<_> = (0..3)
        .map(|number| {
            put(
                &mut vault,
                &name("b", &format!("new{number}")),
                9,
                1_500_000,
                1,
            )
        })
        .collect();
    vault.sleep(8 * DAY_MS);
    let erase = list(&mut vault, &new, Cut::Leaves, false);
    let destroyed = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, destroyed, "oona").unwrap();
    assert_eq!(work_off(&mut vault, destroyed), Ok((3, 0)));
    stop(&mut rig, vault);
    let mut vault = rig.start();
    reads(&mut vault, 0).unwrap();
    stop(&mut rig, vault);
    let of_lost = segments_before(&rig);
    assert!(!of_lost.is_empty());
    let given_up: Vec<u64> = rig
        .records()
        .into_iter()
        .filter_map(|body| match body {
            Body::Trim(Trim::Begun { segments, .. }) => Some(segments),
            _ => None,
        })
        .flatten()
        .map(|segment| segment.get())
        .collect();
    assert!(!given_up.is_empty(), "something was given up");
    assert!(
        of_lost.iter().all(|one| !given_up.contains(one)),
        "{of_lost:?} {given_up:?}"
    );
}

/// Data segments from before the opening.
fn segments_before(rig: &Rig) -> Vec<u64> {
    let frames = rig.frames_of(false).into_iter();
    let before = frames.filter(|frame| frame.sequence.opening().is_zero());
    before.map(|frame| frame.segment.get()).collect()
}

/// Frames have digests and no keys: whoever writes to disks states there what they like. The log says what it gave up.
#[test]
fn a_loss_that_only_some_copies_state_is_not_believed() {
    for (on, rows) in [(1, usize::MAX), (2, usize::MAX), (2, 1)] {
        let Stored {
            mut rig, frames, ..
        } = without(2);
        let order = order(&mut rig);
        let vault = force(&mut rig, &order).unwrap();
        stop(&mut rig, vault);
        let claimed = span_of(&rig, &frames[3], &frames[4]);
        let begins = Sequence::first_of(Opening::new(1));
        let mut all = rig.frames_of(true).into_iter();
        let first = all.rfind(|frame| frame.sequence == begins).unwrap();
        let forged = forged(&rig, &first, claimed);
        let copies = rig.copies_of(&first);
        assert_eq!(copies.len(), 3);
        for (disk, at) in copies.into_iter().rev().take(on) {
            rig.handles[disk].as_ref().unwrap().tamper(at, &forged);
        }
        rig.options.new_index = true;
        rig.options.snapshot_rows = rows;
        let mut vault = rig.start();
        let here = vault.engine.status().read_only;
        // Two of three copies have a say in what is looked for; what is made of it, the log decides.
        assert_eq!(here.is_some(), on == 2, "{here:?}");
        if on == 1 {
            reads(&mut vault, 3).unwrap();
            continue;
        }
        drop(vault);
        let (_, outlook) = look(&mut rig);
        assert_eq!(outlook.err(), Some(ForcedRefusal::FalseOpening));
    }
}

/// A loss of one frame, which is there.
fn span_of(rig: &Rig, frame: &FrameHeader, next: &FrameHeader) -> LostSpan {
    let first = |frame| rig.records_in(frame).first().unwrap().0;
    LostSpan {
        first: frame.sequence,
        next: next.sequence,
        chain: next.previous_header,
        first_record: first(frame).log_index,
        next_record: first(next).log_index,
        previous: first(next).previous_header,
        segment: next.segment,
        offset: next.segment_offset,
    }
}

/// The first frame of an opening, with a further loss.
fn forged(rig: &Rig, frame: &FrameHeader, claimed: LostSpan) -> Vec<u8> {
    let (disk, at) = rig.copies_of(frame)[0];
    let handle = rig.handles[disk].as_ref().unwrap();
    let known = handle.peek(at + 256, frame.payload_bytes as usize);
    let (mut payload, mut previous) = (Vec::new(), None);
    for record in RecordReader::new(&known, frame.record_count) {
        let record = record.unwrap().verify().unwrap();
        let mut body = record.body().clone();
        if let Body::ForcedOpen(forced) = &mut body {
            forced.lost.push(claimed);
        }
        let count = record.attachment_table().len();
        let attachments: Vec<&[u8]> = (0..count).filter_map(|n| record.attachment(n)).collect();
        let header = RecordHeader {
            previous_header: previous.unwrap_or(record.header.previous_header),
            ..record.header
        };
        let header = encode_record(header, &body, &attachments, &mut payload).unwrap();
        previous = Some(header.chain_digest());
    }
    let header = resealed(frame, &payload);
    let mut bytes = Vec::new();
    assert_eq!(header.total_bytes, frame.total_bytes);
    header.write_frame(&payload, &mut bytes);
    bytes
}
