//! What may be destroyed, and everything else by its name.

mod support;

use stele_format::digest::Digest;
use stele_format::label::VaultFlags;
use stele_format::record::{
    Body, LockMode, RecordHeader, ReleaseReason, Scope, Tombstone, VersionRef, scope_digest,
};
use stele_format::statement::{Act, Cut, ReleaseHold, Verb};
use stele_format::units::{LaneId, LogIndex, Month, ObjectId, UnixMillis, UploadId, VersionId};
use support::people::{Asked, BEGIN, Book, DAY, HOUR, about};

/// Versions enough that a few are no large list.
const CROWD: usize = 400;

fn vault() -> (Book, Vec<VersionRef>) {
    let mut book = Book::founded();
    let versions = book.crowd(CROWD);
    (book, versions)
}

/// The usual way of a small list, up to its execution.
fn approved(book: &mut Book, list: &[VersionRef]) -> Asked {
    let act = book.erase_act(list);
    book.through("olga", &["anna"], act, 73 * HOUR)
}

#[test]
fn an_approved_destruction_is_listed_as_lawful() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..3]);
    let stone = book.tombstone(&asked, &versions[..3]);
    book.destroyed(asked.index, 7);
    let report = book.lawful();
    let [line] = report.destructions.as_slice() else {
        panic!("{report:#?}")
    };
    assert!(line.lawful && line.complete);
    assert_eq!(
        (line.request, line.versions, line.listed),
        (asked.index.get(), 3, 3)
    );
    assert_eq!(line.tombstones, [stone.get()]);
    assert_eq!(line.destroyed.as_ref().unwrap().key_state, 7);
    assert_eq!(report.retention.destroyed, 3);
    let [request] = report.requests.as_slice() else {
        panic!("{report:#?}")
    };
    assert_eq!(
        (request.state, request.asked.by.as_str()),
        ("executed", "olga")
    );
    assert_eq!(request.approved[0].by, "anna");
    assert_eq!(
        request.executed.as_ref().unwrap().at,
        "2026-09-01T12:40:00Z"
    );
}

#[test]
fn a_tombstone_without_a_request_is_unlawful() {
    let (mut book, versions) = vault();
    let nothing = Asked {
        index: LogIndex::new(5),
        digest: Digest::ZERO,
    };
    let stone = book.tombstone(&nothing, &versions[..1]);
    book.breaks("tombstone-without-request", stone);
}

#[test]
fn a_tombstone_of_another_kind_of_request_is_unlawful() {
    let (mut book, versions) = vault();
    let scope = book.list(&versions[..1]);
    let act = Act::ReleaseHold(ReleaseHold {
        case: Digest::of(b"case"),
        scope,
        count: 1,
    });
    let asked = book.through("fay", &["anna"], act, 8 * DAY);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-without-request", stone);
}

#[test]
fn a_tombstone_that_nobody_approved_is_unlawful() {
    let (mut book, versions) = vault();
    let act = book.erase_act(&versions[..1]);
    let asked = book.ask("olga", act);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-unapproved", stone);
}

#[test]
fn a_tombstone_before_the_execution_is_unlawful() {
    let (mut book, versions) = vault();
    let act = book.erase_act(&versions[..1]);
    let asked = book.ask("olga", act);
    book.answer("anna", Verb::Approve, &asked);
    book.wait(80 * HOUR);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-early", stone);
}

#[test]
fn a_tombstone_of_a_vetoed_request_is_unlawful() {
    let (mut book, versions) = vault();
    let act = book.erase_act(&versions[..1]);
    let asked = book.ask("olga", act);
    book.answer("anna", Verb::Approve, &asked);
    book.answer("udo", Verb::Veto, &asked);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-over", stone);
}

#[test]
fn a_version_that_is_not_on_the_list_is_named() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..2]);
    let stone = book.tombstone(&asked, &versions[1..3]);
    let report = book.report();
    let [line] = report.unlawful.as_slice() else {
        panic!("{:#?}", report.unlawful)
    };
    assert_eq!(
        (line.name, line.index),
        ("tombstone-off-scope", stone.get())
    );
    let named = versions[2].version.ordinal();
    assert!(
        line.what.contains(&format!("version {named} ")),
        "{}",
        line.what
    );
    assert!(!report.destructions[0].lawful);
}

#[test]
fn compliance_retention_outlives_every_approval() {
    let (mut book, mut versions) = vault();
    versions.push(book.locked(LockMode::Compliance, 30 * DAY));
    let asked = approved(&mut book, &versions[CROWD..]);
    let stone = book.tombstone(&asked, &versions[CROWD..]);
    book.breaks("tombstone-compliance", stone);
}

#[test]
fn retention_that_is_over_for_a_day_protects_nothing_and_the_earlier_clock_counts() {
    for (behind, lawful) in [(0, true), (1, false), (2 * HOUR, false), (40 * HOUR, true)] {
        let (mut book, _) = vault();
        let until = book.now + 50 * HOUR;
        let version = book.stored(LockMode::Compliance, until, false);
        let act = book.erase_act(&[version]);
        let asked = book.through("olga", &["anna"], act, 73 * HOUR);
        book.wall_behind = behind;
        assert_eq!(book.now, until + DAY);
        let stone = book.tombstone(&asked, &[version]);
        if lawful {
            book.lawful();
        } else {
            book.breaks("tombstone-compliance", stone);
        }
    }
}

#[test]
fn governance_retention_ends_early_only_if_people_signed_for_that() {
    for said in [false, true] {
        let (mut book, _) = vault();
        let version = book.locked(LockMode::Governance, 30 * DAY);
        let mut erase = book.erase(&[version]);
        erase.governance = said;
        let approvers: &[&str] = if said { &["anna", "fay"] } else { &["anna"] };
        let asked = book.through("olga", approvers, Act::Erase(erase), 73 * HOUR);
        let stone = book.tombstone(&asked, &[version]);
        if said {
            book.lawful();
        } else {
            book.breaks("tombstone-governance", stone);
        }
    }
}

#[test]
fn early_deletion_without_an_officer_is_not_approved() {
    let (mut book, _) = vault();
    let version = book.locked(LockMode::Governance, 30 * DAY);
    let mut erase = book.erase(&[version]);
    erase.governance = true;
    let asked = book.ask("olga", Act::Erase(erase));
    book.answer("anna", Verb::Approve, &asked);
    book.wait(73 * HOUR);
    let execute = book.answer("olga", Verb::Execute, &asked);
    book.breaks("execute-unapproved", execute);
}

#[test]
fn a_hold_of_its_own_and_a_hold_of_a_case_both_protect() {
    for case in [false, true] {
        let (mut book, versions) = vault();
        let asked = approved(&mut book, &versions[..2]);
        if case {
            book.put_case("olga", "case 7", &versions[1..2]);
        } else {
            book.hold(&versions[1], true);
        }
        let stone = book.tombstone(&asked, &versions[..2]);
        book.breaks("tombstone-hold", stone);
    }
}

#[test]
fn what_got_locked_since_may_be_left_out() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..2]);
    book.hold(&versions[1], true);
    book.tombstone(&asked, &versions[..1]);
    let report = book.lawful();
    assert_eq!(
        (report.holds.versions, report.destructions[0].versions),
        (1, 1)
    );
}

#[test]
fn nothing_is_destroyed_twice() {
    let (mut book, versions) = vault();
    let first = approved(&mut book, &versions[..2]);
    book.tombstone(&first, &versions[..2]);
    let again = approved(&mut book, &versions[1..3]);
    let stone = book.tombstone(&again, &versions[1..3]);
    book.breaks("tombstone-twice", stone);
}

#[test]
fn a_version_with_made_up_ids_is_a_stranger() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    let ordinal = versions[0].version.ordinal();
    let made_up = [
        VersionRef {
            object: ObjectId::new([0x0c; 16]),
            ..versions[0]
        },
        VersionRef {
            version: VersionId::new(ordinal, [8; 8]),
            ..versions[0]
        },
    ];
    let stone = book.tombstone_as(Tombstone {
        request: asked.index,
        ordinal: 0,
        last: false,
        month: None,
        entries: made_up[..1].to_vec(),
    });
    let next = book.tombstone_as(Tombstone {
        request: asked.index,
        ordinal: 1,
        last: true,
        month: None,
        entries: made_up[1..].to_vec(),
    });
    let name = "tombstone-stranger";
    assert_eq!(book.unlawful(), [(name, stone.get()), (name, next.get())]);
}

#[test]
fn pieces_follow_each_other_and_nothing_follows_the_last() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..3]);
    let piece = |ordinal: u32, last: bool, version: usize| Tombstone {
        request: asked.index,
        ordinal,
        last,
        month: None,
        entries: vec![versions[version]],
    };
    book.tombstone_as(piece(0, false, 0));
    let skipped = book.tombstone_as(piece(2, true, 1));
    let after = book.tombstone_as(piece(2, false, 2));
    assert_eq!(
        book.unlawful(),
        [
            ("tombstone-piece", skipped.get()),
            ("tombstone-over", after.get())
        ]
    );
}

fn month_cut(book: &mut Book, list: &[VersionRef], month: Month) -> Asked {
    let mut erase = book.erase(list);
    erase.cut = Cut::Month(month);
    book.through("olga", &["anna", "axel"], Act::Erase(erase), 8 * DAY)
}

fn with_month(asked: &Asked, month: Option<Month>, versions: &[VersionRef]) -> Tombstone {
    Tombstone {
        request: asked.index,
        ordinal: 0,
        last: true,
        month,
        entries: versions.to_vec(),
    }
}

#[test]
fn a_month_goes_only_with_every_version_whose_key_is_in_it() {
    let month = Month::of(UnixMillis::new(BEGIN)).unwrap();
    for left_out in [0, 1] {
        let (mut book, versions) = vault();
        let listed = &versions[left_out..];
        let asked = month_cut(&mut book, listed, month);
        let stone = book.tombstone_as(with_month(&asked, Some(month), listed));
        if left_out == 0 {
            assert_eq!(
                book.lawful().destructions[0].method,
                format!("month {month}")
            );
        } else {
            book.breaks("month-cuts-living", stone);
        }
    }
}

#[test]
fn a_version_sealed_again_under_another_month_survives_its_old_one() {
    let month = Month::of(UnixMillis::new(BEGIN)).unwrap();
    let (mut book, versions) = vault();
    let asked = month_cut(&mut book, &versions[1..], month);
    let other = book.locked(LockMode::Governance, 100 * DAY);
    let key_index = book.kept_key(&other);
    let header = RecordHeader {
        key_index,
        ..about(&versions[0])
    };
    book.record_with(header, Body::Rehome, vec![vec![0xbb; 72]]);
    book.tombstone_as(with_month(&asked, Some(month), &versions[1..]));
    book.lawful();
}

#[test]
fn another_month_than_was_signed_is_unlawful() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    let month = Month::new(3).unwrap();
    let stone = book.tombstone_as(with_month(&asked, Some(month), &versions[..1]));
    book.breaks("tombstone-month", stone);
}

#[test]
fn keys_are_stated_gone_only_for_what_was_destroyed() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..2]);
    let nothing = book.destroyed(asked.index, 1);
    let mut first = with_month(&asked, None, &versions[..1]);
    first.last = false;
    book.tombstone_as(first);
    let early = book.destroyed(asked.index, 2);
    let mut second = with_month(&asked, None, &versions[1..2]);
    second.ordinal = 1;
    book.tombstone_as(second);
    book.destroyed(asked.index, 3);
    let back = book.destroyed(asked.index, 2);
    assert_eq!(
        book.unlawful(),
        [
            ("destroyed-nothing", nothing.get()),
            ("destroyed-unfinished", early.get()),
            ("key-state-back", back.get()),
        ]
    );
}

#[test]
fn the_list_is_whole_true_and_of_the_size_that_was_signed() {
    let (mut book, versions) = vault();
    let mut erase = book.erase(&versions[..2]);
    erase.scope = scope_digest(&versions[..3]);
    let unknown = book.ask("olga", Act::Erase(erase.clone()));
    erase.scope = scope_digest(&versions[..2]);
    erase.count = 3;
    let count = book.ask("olga", Act::Erase(erase));
    let stranger = VersionRef {
        object: ObjectId::new([0x0c; 16]),
        ..versions[0]
    };
    let act = book.erase_act(&[stranger]);
    let strange = book.ask("olga", act);
    assert_eq!(
        book.unlawful(),
        [
            ("scope-unknown", unknown.index.get()),
            ("scope-count", count.index.get()),
            ("scope-stranger", strange.index.get()),
        ]
    );
}

#[test]
fn pieces_of_a_list_fit_together_and_their_digest() {
    let (mut book, versions) = vault();
    let pieces_of = |pieces, digest, ordinal, entries: &[VersionRef]| {
        Body::Scope(Scope {
            digest,
            ordinal,
            pieces,
            entries: entries.to_vec(),
        })
    };
    let piece = |digest, ordinal, entries: &[VersionRef]| pieces_of(2, digest, ordinal, entries);
    let good = scope_digest(&versions[..4]);
    let plain = RecordHeader::default();
    let orphan = book.record(plain, piece(good, 1, &versions[2..4]));
    book.record(plain, piece(good, 0, &versions[..2]));
    let descends = book.record(plain, piece(good, 1, &versions[..2]));
    book.record(plain, piece(good, 0, &versions[..2]));
    book.record(plain, piece(good, 1, &versions[2..4]));
    let long = scope_digest(&versions[..6]);
    book.record(plain, pieces_of(3, long, 0, &versions[..2]));
    let skips = book.record(plain, pieces_of(3, long, 2, &versions[4..6]));
    let wrong = Digest::of(b"another list");
    book.record(plain, piece(wrong, 0, &versions[..2]));
    let digest = book.record(plain, piece(wrong, 1, &versions[2..4]));
    assert_eq!(
        book.unlawful(),
        [
            ("list-piece", orphan.get()),
            ("list-piece", descends.get()),
            ("list-piece", skips.get()),
            ("list-digest", digest.get()),
        ]
    );
}

#[test]
fn compliance_is_neither_shortened_nor_lowered_and_what_builds_on_it_is_named_too() {
    let (mut book, _) = vault();
    let until = book.now + 200 * DAY;
    let version = book.stored(LockMode::Compliance, until, false);
    let shortened = book.retention(&version, LockMode::Compliance, until - 1);
    let lowered = book.retention(&version, LockMode::Governance, until + DAY);
    let cleared = book.retention(&version, LockMode::None, 0);
    book.retention(&version, LockMode::Compliance, until + DAY);
    let asked = approved(&mut book, &[version]);
    let stone = book.tombstone(&asked, &[version]);
    assert_eq!(
        book.unlawful(),
        [
            ("retention-shortened", shortened.get()),
            ("mode-lowered", lowered.get()),
            ("mode-lowered", cleared.get()),
            ("tombstone-compliance", stone.get()),
        ]
    );
}

#[test]
fn a_retention_that_is_over_may_become_anything() {
    let (mut book, _) = vault();
    let version = book.locked(LockMode::Compliance, DAY);
    book.wait(DAY);
    book.retention(&version, LockMode::None, 0);
    book.lawful();
}

#[test]
fn neither_clients_nor_rules_release_under_compliance_or_hold() {
    let mut book = Book::blank(VaultFlags::EVALUATION);
    let locked = book.locked(LockMode::Compliance, DAY);
    let held = book.stored(LockMode::Governance, book.now + DAY, true);
    let first = book.release(&locked, ReleaseReason::ClientDelete);
    let second = book.release(&held, ReleaseReason::ClientDelete);
    book.release(&locked, ReleaseReason::Overwritten);
    let third = book.release(&locked, ReleaseReason::Expired);
    let fourth = book.release(&held, ReleaseReason::Expired);
    // What a client with the right to may do, no rule may.
    let governed = book.locked(LockMode::Governance, DAY);
    let fifth = book.release(&governed, ReleaseReason::Expired);
    let unlawful =
        [first, second, third, fourth, fifth].map(|index| ("locked-released", index.get()));
    assert_eq!(book.unlawful(), unlawful);
}

#[test]
fn a_release_is_undone_of_versions_that_are_there() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    book.release(&versions[0], ReleaseReason::ClientDelete);
    book.record(about(&versions[0]), Body::Unrelease);
    let stranger = VersionRef {
        object: ObjectId::new([0x0c; 16]),
        ..versions[1]
    };
    let first = book.record(about(&stranger), Body::Unrelease);
    book.tombstone(&asked, &versions[..1]);
    let second = book.record(about(&versions[0]), Body::Unrelease);
    assert_eq!(
        book.unlawful(),
        [
            ("version-unknown", first.get()),
            ("version-destroyed", second.get())
        ]
    );
}

#[test]
fn people_lift_holds_once_and_only_those_on_the_list() {
    let (mut book, versions) = vault();
    for version in &versions[..2] {
        book.hold(version, true);
    }
    book.put_case("olga", "case 7", &versions[..2]);
    let scope = book.list(&versions[..1]);
    let act = Act::ReleaseHold(ReleaseHold {
        case: Digest::of(b"case 7"),
        scope,
        count: 1,
    });
    book.through("fay", &["anna"], act, 8 * DAY);
    book.hold(&versions[0], false);
    let other = book.hold(&versions[1], false);
    book.hold(&versions[0], true);
    let again = book.hold(&versions[0], false);
    let report = book.report();
    let found: Vec<_> = report
        .unlawful
        .iter()
        .map(|line| (line.name, line.index))
        .collect();
    assert_eq!(
        found,
        [("hold-lifted", other.get()), ("hold-lifted", again.get())]
    );
    assert_eq!((report.holds.versions, report.holds.own), (2, 2));
    // The case holds another list than the one that was released.
    assert_eq!(report.holds.cases[0].versions, 2);
}

#[test]
fn two_requests_lift_the_hold_of_a_version_twice() {
    let (mut book, versions) = vault();
    for case in ["case 7", "case 8"] {
        book.put_case("olga", case, &versions[..1]);
        let scope = book.list(&versions[..1]);
        let act = Act::ReleaseHold(ReleaseHold {
            case: Digest::of(case.as_bytes()),
            scope,
            count: 1,
        });
        book.through("fay", &["anna"], act, 8 * DAY);
    }
    for _ in 0..2 {
        book.hold(&versions[0], true);
        book.hold(&versions[0], false);
    }
    book.hold(&versions[0], true);
    let third = book.hold(&versions[0], false);
    book.breaks("hold-lifted", third);
}

#[test]
fn a_case_that_was_lifted_holds_the_same_list_again() {
    let (mut book, versions) = vault();
    let release = |book: &mut Book| {
        let scope = book.list(&versions[..1]);
        Act::ReleaseHold(ReleaseHold {
            case: Digest::of(b"case 7"),
            scope,
            count: 1,
        })
    };
    book.put_case("olga", "case 7", &versions[..1]);
    let act = release(&mut book);
    let done = book.through("fay", &["anna"], act, 8 * DAY);
    book.enacted(done.index);
    let asked = approved(&mut book, &versions[..1]);
    // The same person, case and list.
    book.put_case("olga", "case 7", &versions[..1]);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-hold", stone);
}

#[test]
fn records_about_versions_that_are_not_there_are_named() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    book.tombstone(&asked, &versions[..1]);
    let gone = book.hold(&versions[0], true);
    let stranger = VersionRef {
        object: ObjectId::new([0x0c; 16]),
        ..versions[1]
    };
    let unknown = book.retention(&stranger, LockMode::Compliance, book.now + DAY);
    assert_eq!(
        book.unlawful(),
        [
            ("version-destroyed", gone.get()),
            ("version-unknown", unknown.get())
        ]
    );
}

#[test]
fn a_version_has_the_number_of_its_own_record() {
    let (mut book, versions) = vault();
    let header = RecordHeader {
        key_index: book.kept_key(&versions[0]),
        ..about(&versions[0])
    };
    let again = book.record_with(header, Body::DeleteMarker, vec![vec![0xaa; 72]]);
    book.breaks("version-id", again);
}

#[test]
fn behind_missing_records_nothing_is_called_unlawful() {
    let (mut book, versions) = vault();
    let early = book.tombstone(
        &Asked {
            index: LogIndex::new(5),
            digest: Digest::ZERO,
        },
        &versions[..1],
    );
    book.auditor.gap();
    let late = book.tombstone(
        &Asked {
            index: LogIndex::new(6),
            digest: Digest::ZERO,
        },
        &versions[1..2],
    );
    let report = book.report();
    assert_eq!(report.verdict, 1);
    assert_eq!(
        (report.unlawful.len(), report.unlawful[0].index),
        (1, early.get())
    );
    assert_eq!(
        (report.undecided.len(), report.undecided[0].index),
        (1, late.get())
    );
}

#[test]
fn segments_are_given_up_when_nothing_in_them_lives() {
    let (mut book, _) = vault();
    let doomed = [book.on_segments(3, 5), book.on_segments(5, 6)];
    let open = UploadId::new(LogIndex::new(9), [1; 8]);
    book.part(open, 1, 8);
    book.part(open, 1, 9);
    let asked = approved(&mut book, &doomed);
    book.tombstone(&asked, &doomed);
    book.given_up(&[3, 4, 5, 6, 7, 8]);
    book.wiped(&[3, 8]);
    book.abort(open);
    book.given_up(&[9]);
    book.lawful();
}

#[test]
fn a_segment_in_which_something_lives_is_not_given_up() {
    let (mut book, _) = vault();
    let versions = [book.on_segments(3, 5), book.on_segments(7, 9)];
    let asked = approved(&mut book, &versions[..1]);
    book.tombstone(&asked, &versions[..1]);
    let trim = book.given_up(&[4, 8]);
    book.breaks("trim-living", trim);
    let (mut book, _) = vault();
    book.part(UploadId::new(LogIndex::new(9), [1; 8]), 1, 9);
    let trim = book.given_up(&[9]);
    book.breaks("trim-living", trim);
}

#[test]
fn nothing_is_wiped_that_was_not_given_up() {
    let (mut book, _) = vault();
    book.given_up(&[4]);
    let trim = book.wiped(&[4, 5]);
    book.breaks("trim-stranger", trim);
    for (lane, segment) in [(LaneId::JOURNAL, 9), (LaneId::new(1), 9)] {
        let (mut book, _) = vault();
        book.allocated(lane, segment);
        let trim = book.given_up(&[4, segment]);
        book.breaks("trim-stranger", trim);
    }
}
