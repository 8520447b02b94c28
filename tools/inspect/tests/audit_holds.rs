//! Holds that come and go beside what people signed.

mod support;

use stele_format::digest::Digest;
use stele_format::label::VaultFlags;
use stele_format::record::{Body, ClientTag, ReleaseReason, VersionRef};
use stele_format::statement::{
    Act, ClientKey, GrantRights, ReleaseHold, Second, SpecialRights, Verb,
};
use stele_format::units::{LogIndex, UnixMillis, VersionId};
use support::people::{Asked, Book, DAY, HOUR, about};

fn vault() -> (Book, Vec<VersionRef>) {
    let mut book = Book::founded();
    let versions = book.crowd(400);
    (book, versions)
}

fn release_act(book: &mut Book, versions: &[VersionRef]) -> Act {
    Act::ReleaseHold(ReleaseHold {
        case: Digest::of(b"case 7"),
        scope: book.list(versions),
        count: versions.len() as u64,
    })
}

/// Asked for before the hold and executed beside its release.
fn beside(book: &mut Book, versions: &[VersionRef]) -> (Asked, Asked) {
    let act = book.erase_act(versions);
    let erasure = book.ask("olga", act);
    book.put_case("olga", "case 7", versions);
    let act = release_act(book, versions);
    let release = book.ask("fay", act);
    book.wait(70 * HOUR);
    book.answer("anna", Verb::Approve, &release);
    book.answer("axel", Verb::Approve, &erasure);
    // The request to erase may be executed from the third to the sixth day, and is executed then.
    book.wait(6 * DAY - HOUR);
    book.answer("olga", Verb::Execute, &erasure);
    book.wait(DAY + HOUR);
    book.answer("fay", Verb::Execute, &release);
    (erasure, release)
}

#[test]
fn a_case_holds_until_its_release_is_stated_done() {
    let (mut book, versions) = vault();
    let (erasure, _) = beside(&mut book, &versions[..1]);
    let stone = book.tombstone(&erasure, &versions[..1]);
    book.breaks("tombstone-hold", stone);
}

#[test]
fn what_a_case_held_rests_anew_from_the_statement_that_it_is_done() {
    for (wait, lawful) in [(0, false), (72 * HOUR - 1, false), (72 * HOUR, true)] {
        let (mut book, versions) = vault();
        let (erasure, release) = beside(&mut book, &versions[..1]);
        book.enacted(release.index);
        book.wait(wait);
        let stone = book.tombstone(&erasure, &versions[..1]);
        if lawful {
            book.lawful();
        } else {
            book.breaks("tombstone-rest", stone);
        }
    }
}

/// A client with the right to lift holds is only listed, and the list rests anew all the same.
#[test]
fn what_a_client_held_rests_anew_from_the_record_that_lifts_it() {
    for (wait, lawful) in [(HOUR, false), (72 * HOUR, true)] {
        let (mut book, versions) = vault();
        let until = UnixMillis::new(book.now + 60 * DAY);
        let grant = Act::Grant(GrantRights {
            client: ClientKey::new("STELE1").unwrap(),
            rights: SpecialRights {
                hold_off: true,
                governance_bypass: false,
                lock_admin: false,
            },
            until: Second::of(until).unwrap(),
        });
        book.through("fay", &["anna"], grant, 7 * DAY);
        let act = book.erase_act(&versions[..1]);
        let asked = book.through("olga", &["axel"], act, 72 * HOUR);
        book.client = ClientTag::new("STELE1").unwrap();
        book.hold(&versions[0], true);
        book.hold(&versions[0], false);
        book.client = ClientTag::NONE;
        book.wait(wait);
        let stone = book.tombstone(&asked, &versions[..1]);
        if lawful {
            assert_eq!(book.lawful().by_right.len(), 1);
        } else {
            book.breaks("tombstone-rest", stone);
        }
    }
}

#[test]
fn a_hold_is_stated_done_once_and_a_release_gives_no_leave_after_it_is_done() {
    let (mut book, versions) = vault();
    let statement = book.put_case("olga", "case 7", &versions[..1]);
    book.hold(&versions[0], true);
    book.enacted(statement);
    let twice = book.enacted(statement);
    let act = release_act(&mut book, &versions[..1]);
    let release = book.through("fay", &["anna"], act, 7 * DAY);
    // Done without its one record, whose leave ends with it.
    book.enacted(release.index);
    let late = book.hold(&versions[0], false);
    assert_eq!(
        book.unlawful(),
        [
            ("enacted-without-leave", twice.get()),
            ("hold-lifted", late.get())
        ]
    );
}

#[test]
fn a_rule_may_release_a_marker_that_people_hold() {
    let mut book = Book::blank(VaultFlags::EVALUATION);
    let before = book.version();
    let index = before.version.ordinal().get() + 1;
    let marker = VersionRef {
        version: VersionId::new(LogIndex::new(index), [7; 8]),
        ..before
    };
    book.record_with(about(&marker), Body::DeleteMarker, vec![vec![0xaa; 72]]);
    book.hold(&marker, true);
    book.release(&marker, ReleaseReason::Expired);
    book.lawful();
}
