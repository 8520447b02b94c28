//! The audit of disks of which two people gave up a piece of the log.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::time::Duration;

use stele_format::digest::Digest;
use stele_format::label::{MemberState, VaultFlags};
use stele_format::record::{
    Body, EpochReason, EpochStart, ForcedOpen, LostSpan, Marker, MemberChange, RecordHeader,
    encode_record,
};
use stele_format::statement::{Act, Verb};
use stele_format::units::{Epoch, Generation, LaneId, LogIndex, Opening, Sequence};
use stele_inspect::audit::audit;
use stele_inspect::audit::report::AuditReport;
use stele_inspect::audit::text::text;
use support::check::blank;
use support::people::{Asked, Book, DAY, STAFF};
use support::{Open, Vault, disk_id};

/// Records in a frame.
const RECORDS: usize = 4;
/// The frames that are lost, from the first on, without the second.
const HOLE: (usize, usize) = (3, 5);

/// Writes what the book has behind its first so many records.
fn write(vault: &mut Vault, open: &mut Open, book: &Book, from: usize) {
    for records in book.kept.as_ref().unwrap()[from..].chunks(RECORDS) {
        let mut payload = Vec::new();
        for (draft, body, attachments) in records {
            let slices: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
            let header = encode_record(*draft, body, &slices, &mut payload).unwrap();
            vault.log.advance(&header).unwrap();
        }
        let count = u16::try_from(records.len()).unwrap();
        vault.frame(open, &payload, count, false);
    }
}

fn span(open: &Open, book: &Book) -> LostSpan {
    let (first, next) = HOLE;
    let headers = book.headers();
    let next_record = &headers[next * RECORDS];
    LostSpan {
        first: open.frames[first].sequence,
        next: open.frames[next].sequence,
        chain: open.frames[next].previous_header,
        first_record: headers[first * RECORDS].log_index,
        next_record: next_record.log_index,
        previous: next_record.previous_header,
        segment: open.id(),
        offset: open.frames[next].segment_offset,
    }
}

/// Two people ask for it, and it is done.
fn force(book: &mut Book, lost: LostSpan, last: Sequence) {
    book.epoch += 1024;
    let opening = Opening::new(1);
    let act = Act::ForceOpen {
        opening,
        lost: 0,
        missing: vec![lost.records()],
        disks: vec![disk_id(0)],
    };
    let request = book.request("fay", act);
    let asked = book.ask_as("fay", request);
    book.answer("anna", Verb::Approve, &asked);
    let forced = ForcedOpen {
        request: asked.index,
        opening,
        last,
        durable: last,
        left: Vec::new(),
        lost: vec![lost],
    };
    let start = EpochStart {
        reason: EpochReason::Start,
        previous: Epoch::new(1),
        abandoned: Vec::new(),
        forgetful: Vec::new(),
    };
    let members = MemberChange {
        generation: Generation::new(1),
        members: vec![(disk_id(0), MemberState::Active)],
    };
    for body in [
        Body::ForcedOpen(forced),
        Body::Epoch(start),
        Body::Member(members),
    ] {
        book.record(RecordHeader::default(), body);
    }
    book.origin = book.origin.after(opening);
}

fn mark(book: &mut Book) {
    let log = book.walk.frontier().clone();
    book.record(RecordHeader::default(), Body::Marker(Marker { log }));
}

/// A vault that was forced open without a piece of its log, and whether a version that was stored behind is destroyed
/// without leave.
fn vault(unlawful: bool) -> (Vault, Book, LostSpan) {
    let mut book = Book::keeping(VaultFlags::SINGLE_DISK);
    book.found(&STAFF, &[]);
    book.crowd(30);
    mark(&mut book);
    book.crowd(3);
    let mut vault = Vault::blank(1);
    let mut open = vault.open(LaneId::JOURNAL, &[0], None);
    write(&mut vault, &mut open, &book, 0);
    let from = book.headers().len();
    let lost = span(&open, &book);
    force(&mut book, lost, open.frames.last().unwrap().sequence);
    mark(&mut book);
    book.wait(8 * DAY);
    let later = book.version();
    if unlawful {
        let index = LogIndex::new(1);
        let digest = Digest::ZERO;
        book.tombstone(&Asked { index, digest }, &[later]);
    }
    vault.epoch = Epoch::new(book.epoch);
    let mut next = vault.open(LaneId::JOURNAL, &[0], Some(&open));
    next.header.first_sequence = Sequence::first_of(Opening::new(1));
    let header = next.header.encode();
    vault.write(&next, 0, &header);
    write(&mut vault, &mut next, &book, from);
    let (id, committed) = (next.id(), vault.committed);
    vault.label(|label| {
        label.journal_segment = id;
        label.watermark = Sequence::new(committed);
    });
    vault.segments.insert(1, open);
    (vault, book, lost)
}

fn report(vault: &Vault) -> AuditReport {
    audit(&vault.sources(), Duration::ZERO).unwrap()
}

#[test]
fn the_log_is_judged_to_its_end_without_what_was_given_up() {
    for unlawful in [false, true] {
        let (mut vault, book, lost) = vault(unlawful);
        let back = report(&vault);
        let open = vault.segments[&1].clone();
        let (from, to) = (open.frame_at(HOLE.0), open.frame_at(HOLE.1));
        blank(&mut vault, 0, from, to - from);
        let found = report(&vault);
        let names: Vec<&str> = found.unlawful.iter().map(|line| line.name).collect();
        let expected: &[&str] = if unlawful {
            &["tombstone-without-request"]
        } else {
            &[]
        };
        assert_eq!(names, expected);
        assert_eq!(found.verdict, u8::from(unlawful), "{}", text(&found));
        assert!(!found.records_missing && found.damage.is_empty());
        let records = lost.records();
        let (first, last) = (records.first.get(), records.last.get());
        assert_eq!(found.openings[0].missing, [(first, last)]);
        let line = format!("records {first} to {last} were on no disk, and were given up");
        assert!(text(&found).contains(&line), "{}", text(&found));
        assert_eq!(
            found.log_root,
            Some(book.walk.frontier().root().to_string())
        );
        // With the bytes back nothing else is said, but of the disk that has them.
        let judged = |report: &AuditReport| {
            let mut value = serde_json::to_value(report).unwrap();
            value.as_object_mut().unwrap().remove("disks");
            value
        };
        assert_eq!(judged(&found), judged(&back));
    }
}
