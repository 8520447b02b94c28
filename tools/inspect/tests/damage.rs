//! Whole vault images with damage: the verdict and the exact place.

mod support;

use stele_format::label::LabelCopy;
use stele_format::limits::LABEL_RING_FIRST;
use stele_format::record::{Body, EntryKind, Marker};
use stele_format::tree::Frontier;
use stele_format::units::{Epoch, KeyClass, KeyIndex, KeyIndexParts, Month};
use stele_inspect::verdict::{Area, DiskState, Verdict};
use support::check::{Where, blank, check, frame, places, segment};
use support::{Draft, Open, disk_id, entry, geometry, noise, on_lane, sample};

#[test]
fn a_clean_vault_is_clean_and_counted() {
    for disks in 1..=4 {
        let vault = sample(disks);
        let report = check("clean", &vault, &[]);
        assert!(
            report
                .disks
                .iter()
                .all(|disk| disk.state == DiskState::Clean)
        );
        assert!(
            report.disks.iter().all(|disk| disk.notes.is_empty()),
            "{report:#?}"
        );
        assert!(report.notes.is_empty(), "{report:#?}");
        let totals = &report.totals;
        assert_eq!((totals.segments, totals.frames, totals.chunks), (4, 13, 5));
        assert_eq!(totals.records, vault.log.next_index().get());
        assert_eq!(totals.log_size, vault.log.next_index().get());
        assert_eq!(
            totals.log_root,
            Some(vault.log.frontier().root().to_string())
        );
        assert_eq!(totals.pool, Some(support::POOL.to_string()));
        assert_eq!(totals.generation, 2);
    }
}

#[test]
fn one_flipped_byte_is_found_in_its_place() {
    let vault = sample(3);
    let at =
        |copy, block| usize::try_from(geometry().label_block_offset(copy, block).get()).unwrap();
    let label = |disk| (disk, Area::Label, None, None);
    let journal = &vault.segments[&1];
    let data = &vault.segments[&2];
    let open = &vault.segments[&3];
    let open_data = &vault.segments[&4];
    let seal_of = |open: &Open| open.start() + (support::UNIT as usize) - 4096;
    let table: Vec<(&str, usize, usize, Where)> = vec![
        ("static label A", 0, at(LabelCopy::A, 0) + 70, label(0)),
        (
            "spare static label B",
            1,
            at(LabelCopy::B, 1) + 4090,
            label(1),
        ),
        (
            "newest ring block D",
            2,
            at(LabelCopy::D, LABEL_RING_FIRST + 2) + 80,
            label(2),
        ),
        (
            "older ring block A",
            2,
            at(LabelCopy::A, LABEL_RING_FIRST + 1) + 80,
            label(2),
        ),
        ("unused ring block C", 1, at(LabelCopy::C, 40) + 9, label(1)),
        (
            "reserved label block",
            0,
            at(LabelCopy::C, 63) + 9,
            label(0),
        ),
        ("reserve behind label B", 0, 600 * 1024, label(0)),
        ("segment header", 1, journal.start() + 30, segment(1, 1)),
        ("segment header magic", 1, journal.start(), segment(1, 1)),
        (
            "segment header of data",
            0,
            data.start() + 4095,
            segment(0, 2),
        ),
        (
            "first frame header",
            2,
            journal.frame_at(0) + 90,
            frame(2, 1, 0),
        ),
        ("middle frame magic", 2, journal.frame_at(1), frame(2, 1, 1)),
        (
            "frame payload",
            0,
            journal.frame_at(2) + 3000,
            frame(0, 1, 2),
        ),
        (
            "frame padding",
            0,
            journal.frame_at(3) + 4095,
            frame(0, 1, 3),
        ),
        ("footer", 1, journal.end_at() + 100, segment(1, 1)),
        (
            "gap before the seal",
            1,
            journal.end_at() + 9000,
            segment(1, 1),
        ),
        ("seal block", 1, seal_of(journal) + 44, segment(1, 1)),
        ("seal block of data", 1, seal_of(data), segment(1, 2)),
        (
            "data frame header",
            0,
            data.frame_at(1) + 20,
            frame(0, 2, 1),
        ),
        (
            "data frame payload",
            1,
            data.frame_at(2) + 8000,
            frame(1, 2, 2),
        ),
        (
            "open journal, middle",
            1,
            open.frame_at(1) + 300,
            frame(1, 3, 1),
        ),
        (
            "open journal, last header",
            1,
            open.frame_at(3) + 50,
            frame(1, 3, 3),
        ),
        (
            "open journal, last payload",
            2,
            open.frame_at(3) + 300,
            frame(2, 3, 3),
        ),
        (
            "open data, cited",
            0,
            open_data.frame_at(0) + 5000,
            frame(0, 4, 0),
        ),
        (
            "open data, cited list at the end",
            1,
            open_data.frame_at(1) + 260,
            frame(1, 4, 1),
        ),
    ];
    for (name, disk, offset, expected) in table {
        let mut damaged = vault.clone();
        damaged.flip(disk, offset);
        let report = check(name, &damaged, &[expected]);
        assert_eq!(report.disks[disk].state, DiskState::Damaged, "{name}");
        let located = &report.damage[0];
        let has_copy = located.frame.is_some();
        assert!(
            !has_copy || located.good_copy,
            "{name}: another disk holds a good copy"
        );
    }
}

#[test]
fn without_another_copy_damage_is_still_found_where_something_proves_it() {
    let vault = sample(1);
    let (journal, data) = (&vault.segments[&1], &vault.segments[&2]);
    let (open, open_data) = (&vault.segments[&3], &vault.segments[&4]);
    let table: Vec<(&str, usize, Vec<Where>)> = vec![
        (
            "sealed payload",
            journal.frame_at(1) + 700,
            vec![frame(0, 1, 1)],
        ),
        (
            "sealed header",
            journal.frame_at(2) + 10,
            vec![frame(0, 1, 2)],
        ),
        ("segment header", journal.start() + 10, vec![segment(0, 1)]),
        (
            "seal",
            journal.start() + support::UNIT as usize - 4000,
            vec![segment(0, 1)],
        ),
        ("sealed data", data.frame_at(2) + 700, vec![frame(0, 2, 2)]),
        ("data header", data.frame_at(0) + 17, vec![frame(0, 2, 0)]),
        (
            "acknowledged, in the open segment",
            open.frame_at(2) + 400,
            vec![frame(0, 3, 2)],
        ),
        (
            "cited chunk, header gone",
            open_data.frame_at(0) + 40,
            vec![frame(0, 4, 0)],
        ),
        (
            "cited list at the end",
            open_data.frame_at(1) + 40,
            vec![frame(0, 4, 1)],
        ),
        (
            "last frame, which a quorum of one may have had",
            open.frame_at(3) + 300,
            vec![frame(0, 3, 3)],
        ),
    ];
    for (name, offset, expected) in table {
        let mut damaged = vault.clone();
        damaged.flip(0, offset);
        check(name, &damaged, &expected);
    }
}

#[test]
fn key_state_copies_may_die_as_long_as_one_lives() {
    let mut vault = sample(3);
    let start = |copy| usize::try_from(geometry().keystate_offset(copy).unwrap().get()).unwrap();
    let mut killed = 0;
    for disk in 0..3 {
        for copy in 0..2 {
            vault.flip(disk, start(copy) + if copy == 0 { 20 } else { 4096 + 33 });
            killed += 1;
            if killed < 6 {
                let report = check("some copies live", &vault, &[]);
                assert!(report.disks[disk].notes[0].contains("key-state copy"));
            }
        }
    }
    let all: Vec<Where> = (0..3)
        .map(|disk| (disk, Area::KeyState, None, None))
        .collect();
    check("no copy lives", &vault, &all);
}

#[test]
fn a_missing_disk_is_a_note_and_hides_no_damage() {
    let mut vault = sample(3);
    for missing in 0..3 {
        let present: Vec<usize> = (0..3).filter(|disk| *disk != missing).collect();
        let report = vault.verify_disks(&present);
        assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
        assert_eq!(report.disks[2].state, DiskState::Missing);
        assert!(report.disks[2].file.contains(&disk_id(missing).to_string()));
    }
    vault.flip(0, vault.segments[&2].frame_at(1) + 500);
    let report = vault.verify_disks(&[0, 2]);
    assert_eq!(places(&report), [frame(0, 2, 1)], "{report:#?}");
    assert!(!report.damage[0].good_copy);
}

#[test]
fn a_cited_chunk_that_no_disk_holds_is_damage_of_its_record() {
    let mut vault = sample(3);
    let mut journal = vault.segments[&3].clone();
    let never = entry(EntryKind::Chunk, &noise(8000, 1234));
    let commit = vault.commit(0, on_lane(), &[never]);
    vault.records(&mut journal, vec![commit]);
    check("never written", &vault, &[frame(0, 3, 4)]);
    let report = vault.verify_disks(&[0, 2]);
    assert_eq!(report.verdict, Verdict::Clean, "a missing disk may hold it");
    assert!(report.notes[0].contains("1 cited chunks"), "{report:#?}");

    let mut wrong = sample(3);
    let mut journal = wrong.segments[&3].clone();
    let mut short = entry(EntryKind::Chunk, &noise(9000, 40));
    short.stored_bytes -= 1;
    let commit = wrong.commit(0, on_lane(), &[short]);
    wrong.records(&mut journal, vec![commit]);
    check("wrong length", &wrong, &[frame(0, 3, 4)]);
}

#[test]
fn both_copies_of_a_chunk_damaged_is_located_twice() {
    let mut vault = sample(3);
    let at = vault.segments[&2].frame_at(1) + 600;
    vault.flip(0, at);
    vault.flip(1, at + 77);
    let report = check("both", &vault, &[frame(0, 2, 1), frame(1, 2, 1)]);
    assert!(report.damage.iter().all(|damage| !damage.good_copy));
    assert!(report.notes[0].contains("1 cited chunks are on no present disk"));
}

#[test]
fn lost_journal_frames_break_the_log_only_until_a_marker_repeats_the_tree() {
    let mut vault = sample(3);
    let journal = vault.segments[&1].clone();
    for disk in 0..3 {
        vault.flip(disk, journal.frame_at(2) + 600);
    }
    let lost: Vec<Where> = (0..3).map(|disk| frame(disk, 1, 2)).collect();
    let report = check("lost on all disks", &vault, &lost);
    assert_eq!(
        report.totals.log_root,
        Some(vault.log.frontier().root().to_string())
    );
    assert_eq!(report.totals.log_size, vault.log.next_index().get());
    assert_eq!(report.totals.records, vault.log.next_index().get() - 1);
}

#[test]
fn a_log_that_contradicts_itself_is_damage_on_every_copy() {
    let everywhere = |segment, number| {
        (0..3)
            .map(|disk| frame(disk, segment, number))
            .collect::<Vec<Where>>()
    };
    let mut vault = sample(3);
    let mut journal = vault.segments[&3].clone();
    let mut tree = vault.log.frontier().clone();
    let size = tree.size();
    tree = Frontier::from_parts(size, tree.nodes().iter().rev().copied().collect()).unwrap();
    vault.records(
        &mut journal,
        vec![Draft::of(Body::Marker(Marker { log: tree }))],
    );
    check("another root", &vault, &everywhere(3, 4));

    let mut forked = sample(3);
    let mut journal = forked.segments[&3].clone();
    let earlier = sample(3).log;
    let draft = forked.inline_commit(0, &noise(50, 1));
    forked.records(&mut journal, vec![draft]);
    forked.log = earlier;
    let draft = forked.inline_commit(0, &noise(50, 2));
    forked.records(&mut journal, vec![draft]);
    check("a record twice", &forked, &everywhere(3, 5));

    let mut rules = sample(3);
    let mut journal = rules.segments[&3].clone();
    let draft = rules.inline_commit(5, &noise(50, 1));
    rules.records(&mut journal, vec![draft]);
    check("a version id of another record", &rules, &everywhere(3, 4));
}

#[test]
fn a_frame_that_does_not_continue_the_chain_is_damage() {
    let mut vault = sample(3);
    let mut forged = vault.segments[&3].clone();
    forged.frames[3].payload_digest = forged.frames[0].payload_digest;
    let draft = vault.inline_commit(0, &noise(60, 4));
    vault.records(&mut forged, vec![draft]);
    let all: Vec<Where> = (0..3).map(|disk| frame(disk, 3, 4)).collect();
    check("forged predecessor", &vault, &all);
}

#[test]
fn a_copy_that_is_gone_is_one_damage() {
    let mut vault = sample(3);
    let data = vault.segments[&2].clone();
    blank(&mut vault, 1, data.start(), 65_536);
    check("copy gone", &vault, &[segment(1, 2)]);
}

#[test]
fn a_shortened_disk_is_damage_where_bytes_are_gone() {
    let mut vault = sample(3);
    let cut = geometry().label_block_offset(LabelCopy::C, 0).get();
    vault.images[1].truncate(usize::try_from(cut).unwrap());
    let report = vault.verify();
    assert_eq!(report.verdict, Verdict::Damage);
    assert!(
        report
            .damage
            .iter()
            .all(|d| (d.disk, d.area) == (1, Area::Label)),
        "{report:#?}"
    );
    assert!(
        report
            .damage
            .iter()
            .any(|d| d.what.contains("524288 bytes before"))
    );

    let inside = vault.segments[&2].frame_at(2) + 100;
    vault.images[1].truncate(inside);
    let report = vault.verify();
    assert!(places(&report).contains(&frame(1, 2, 2)), "{report:#?}");
    assert!(
        report.damage.iter().all(|damage| damage.disk == 1),
        "{report:#?}"
    );
}

#[test]
fn a_disk_of_noise_behind_its_first_label_is_damaged_and_nothing_panics() {
    let vault = sample(3);
    for seed in 0..4 {
        for from in [
            4096,
            1 << 20,
            vault.segments[&1].start(),
            vault.segments[&1].frame_at(1),
        ] {
            let mut ruined = vault.clone();
            let rest = ruined.images[1].len() - from;
            ruined.images[1][from..].copy_from_slice(&noise(rest, seed));
            let report = ruined.verify();
            assert_eq!(report.verdict, Verdict::Damage);
            assert!(
                report.damage.iter().all(|damage| damage.disk == 1),
                "{report:#?}"
            );
            assert_eq!(report.totals.log_size, vault.log.next_index().get());
        }
    }
}

#[test]
fn no_flipped_byte_of_a_sealed_segment_goes_unnoticed_and_nothing_panics() {
    let vault = sample(2);
    let mut state = 0x1234_5678_9abc_def1_u64;
    for _ in 0..150 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let open = &vault.segments[&(1 + state % 2)];
        let offset = usize::try_from((state >> 20) % u64::from(support::UNIT)).unwrap();
        let disk = usize::try_from((state >> 50) % 2).unwrap();
        let mut damaged = vault.clone();
        damaged.flip(disk, open.start() + offset);
        let report = damaged.verify();
        assert_eq!(
            report.damage.len(),
            1,
            "offset {offset} of segment {}",
            open.id()
        );
        assert_eq!(report.damage[0].disk, disk);
        assert_eq!(report.damage[0].segment, Some(open.id()));
        let inside = |f: &&stele_format::frame::FrameHeader| {
            let begin = usize::try_from(f.segment_offset.get()).unwrap();
            (begin..begin + f.total_bytes as usize).contains(&offset)
        };
        let hit = open
            .frames
            .iter()
            .find(inside)
            .map(|frame| frame.frame_index);
        assert_eq!(
            report.damage[0].frame,
            hit,
            "offset {offset} of segment {}",
            open.id()
        );
    }
}

#[test]
fn tags_are_sealed_under_the_key_of_a_version() {
    for (sealed_for, expected) in [
        (Some(KeyClass::Object), vec![]),
        (Some(KeyClass::PendingPart), vec![frame(0, 3, 4)]),
        (None, vec![frame(0, 3, 4)]),
    ] {
        let mut vault = sample(1);
        let mut journal = vault.segments[&3].clone();
        let key = |class| {
            KeyIndex::compose(KeyIndexParts {
                month: Month::new(650).expect("a month"),
                class,
                epoch: Epoch::new(1),
                counter: 1,
            })
        };
        let mut tags = Draft::of(Body::Tags);
        tags.attachments = vec![vec![0xaa; 72]];
        tags.header.class = sealed_for.unwrap_or_default();
        tags.header.key_index = sealed_for.and_then(key).unwrap_or_default();
        vault.records(&mut journal, vec![tags]);
        check("tags", &vault, &expected);
    }
}
