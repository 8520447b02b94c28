//! Records in the middle of the log that people gave up: the reader steps over them, whatever disks show there.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::time::Duration;

use stele_format::digest::Digest;
use stele_format::frame::FrameHeader;
use stele_format::record::{Body, ForcedOpen, LostSpan, StatementBody, Trim};
use stele_format::statement::{
    Act, Answer, Head, Kind, Name, Nonce, Origin, Request, Statement, Verb,
};
use stele_format::units::{ByteOffset, Epoch, LaneId, LogIndex, Opening, SegmentId, Sequence};
use stele_inspect::prove::{self, Claim};
use stele_inspect::report::{json, text};
use stele_inspect::verdict::{GivenUpRecords, Report, Verdict};
use support::check::{Where, blank, check, frame, segment};
use support::{Draft, Open, POOL, Vault, disk_id, noise};

/// A journal frame that was written.
#[derive(Clone)]
struct Written {
    header: FrameHeader,
    /// Its first record, and the chain digest before that.
    record: LogIndex,
    previous: Digest,
    /// Where it lies on its disks, and where what follows it begins.
    from: usize,
    to: usize,
}

/// What a request says of the log before it.
#[derive(Clone, Copy, Default)]
struct Asked {
    /// It names no span.
    silent: bool,
    /// It shows a log with other records.
    other_head: bool,
}

/// A journal that is forced open.
#[derive(Clone)]
struct Journal {
    vault: Vault,
    open: Open,
    frames: Vec<Written>,
    openings: u32,
}

impl Journal {
    /// Frames 0 to 5, of which 4 repeats the tree.
    fn begun(disks: usize) -> Self {
        let mut vault = Vault::blank(disks);
        let all: Vec<usize> = (0..disks).collect();
        let open = vault.open(LaneId::JOURNAL, &all, None);
        let first = vec![
            vault.genesis(),
            vault.epoch_start(Vec::new()),
            vault.alloc(1, LaneId::JOURNAL, 0, &all),
        ];
        let mut journal = Self {
            vault,
            open,
            frames: Vec::new(),
            openings: 0,
        };
        journal.write(first);
        (0..3).for_each(|_| journal.commit());
        journal.mark();
        journal.commit();
        journal
    }

    /// Frames 0 to 6 in segment 1, which is sealed; 7 to 11 in segment 2. Frames 4 and 9 repeat the tree.
    fn new(disks: usize) -> Self {
        let mut journal = Self::begun(disks);
        let all = journal.open.disks.clone();
        let next = journal.vault.alloc_next(LaneId::JOURNAL, &all);
        journal.write(vec![next]);
        let seal = journal.vault.seal(&journal.open);
        let before = journal.open.clone();
        journal.keep();
        journal.open = journal.vault.open(LaneId::JOURNAL, &all, Some(&before));
        let note = journal.vault.seal_note(&seal);
        journal.write(vec![note]);
        journal.commit();
        journal.mark();
        (0..2).for_each(|_| journal.commit());
        journal
    }

    /// The journal goes on in the next segment, as after a start.
    fn turn(&mut self) {
        self.keep();
        let before = self.open.clone();
        self.open = self
            .vault
            .open(LaneId::JOURNAL, &before.disks, Some(&before));
        self.mark();
        self.commit();
    }

    fn keep(&mut self) {
        let open = self.open.clone();
        self.vault.segments.insert(open.id().get(), open);
    }

    fn write(&mut self, drafts: Vec<Draft>) {
        let (record, previous) = (self.vault.log.next_index(), self.vault.log.head());
        self.vault.records(&mut self.open, drafts);
        let at = self.open.frames.len() - 1;
        self.frames.push(Written {
            header: self.open.frames[at],
            record,
            previous,
            from: self.open.frame_at(at),
            to: self.open.end_at(),
        });
    }

    fn commit(&mut self) {
        let seed = self.frames.len() as u64;
        let draft = self.vault.inline_commit(0, &noise(300, seed));
        self.write(vec![draft]);
    }

    fn mark(&mut self) {
        let marker = self.vault.marker();
        self.write(vec![marker]);
    }

    /// From this frame on, without that one.
    fn span(&self, first: usize, next: usize) -> LostSpan {
        let (first, next) = (&self.frames[first], &self.frames[next]);
        LostSpan {
            first: first.header.sequence,
            next: next.header.sequence,
            chain: next.header.previous_header,
            first_record: first.record,
            next_record: next.record,
            previous: next.previous,
            segment: next.header.segment,
            offset: next.header.segment_offset,
        }
    }

    fn spans(&self, holes: &[(usize, usize)]) -> Vec<LostSpan> {
        let spans = holes.iter().map(|(first, next)| self.span(*first, *next));
        spans.collect()
    }

    fn request(&self, opening: Opening, lost: &[LostSpan], asked: Asked) -> Kind {
        let tree = self.vault.log.frontier();
        let named = lost.iter().filter(|_| !asked.silent);
        let act = Act::ForceOpen {
            opening,
            lost: 0,
            missing: named.map(LostSpan::records).collect(),
            disks: vec![disk_id(0)],
        };
        Kind::Request(Request {
            act,
            head: Head {
                size: tree.size() - u64::from(asked.other_head),
                root: tree.root(),
            },
            nonce: Nonce([1; 16]),
            reason: Digest::of(b"why"),
            by: Name::new("fay").unwrap(),
        })
    }

    /// The records with which an opening begins.
    fn leading(&self, lost: Vec<LostSpan>, asked: Asked) -> Vec<Draft> {
        let opening = Opening::new(self.openings);
        let request = self.vault.log.next_index();
        let origin = Origin::of(POOL).after(Opening::new(self.openings - 1));
        let text = |kind| Statement::new(origin, kind).unwrap().to_text();
        let asks = text(self.request(opening, &lost, asked));
        let answer = Answer {
            verb: Verb::Approve,
            request,
            digest: Digest::of(asks.as_bytes()),
            by: Name::new("anna").unwrap(),
        };
        let stated = |text| {
            let signatures = vec![vec![7; 80]];
            Draft::of(Body::Statement(StatementBody { text, signatures }))
        };
        let last = self.frames.last().unwrap().header.sequence;
        let forced = ForcedOpen {
            request,
            opening,
            last,
            durable: last,
            left: Vec::new(),
            lost,
        };
        vec![
            stated(asks),
            stated(text(Kind::Answer(answer))),
            Draft::of(Body::ForcedOpen(forced)),
            self.vault.epoch_start(Vec::new()),
        ]
    }

    /// The vault is forced open, and goes on in another segment.
    fn force_as(&mut self, lost: Vec<LostSpan>, asked: Asked) {
        self.keep();
        let before = self.open.clone();
        self.openings += 1;
        self.vault.epoch = Epoch::new(self.vault.epoch.get() + 1024);
        let alloc = self.vault.alloc_next(LaneId::JOURNAL, &before.disks);
        self.open = self
            .vault
            .open(LaneId::JOURNAL, &before.disks, Some(&before));
        self.open.header.first_sequence = Sequence::first_of(Opening::new(self.openings));
        let header = self.open.header.encode();
        self.vault.write(&self.open, 0, &header);
        let mut leading = self.leading(lost, asked);
        leading.push(alloc);
        self.write(leading);
        self.keep();
    }

    /// The same, and it is completed.
    fn force(&mut self, holes: &[(usize, usize)]) {
        self.force_as(self.spans(holes), Asked::default());
        self.mark();
        self.complete();
    }

    fn complete(&mut self) {
        self.keep();
        let (id, last) = (self.open.id(), self.vault.committed);
        self.vault.label(|label| {
            label.journal_segment = id;
            label.watermark = Sequence::new(last);
        });
    }

    /// Nothing is left of these frames on some disks, nor of what closes a segment behind them.
    fn lose_on(&mut self, disks: &[usize], (first, next): (usize, usize)) {
        for lost in first..next {
            let Written {
                header, from, to, ..
            } = self.frames[lost].clone();
            let segment = header.segment.get();
            let open = &self.vault.segments[&segment];
            let is_last = open.end_at() == to && segment == 1;
            let end = if is_last {
                open.start() + 4 * 65536
            } else {
                to
            };
            for disk in disks {
                blank(&mut self.vault, *disk, from, end - from);
            }
        }
    }

    fn lose(&mut self, hole: (usize, usize)) {
        let all: Vec<usize> = (0..self.vault.images.len()).collect();
        self.lose_on(&all, hole);
    }

    fn root(&self) -> Option<String> {
        Some(self.vault.log.frontier().root().to_string())
    }

    fn records(&self, opening: u32, (first, next): (usize, usize)) -> GivenUpRecords {
        GivenUpRecords {
            opening,
            first: self.frames[first].record.get(),
            last: self.frames[next].record.get() - 1,
        }
    }

    /// It is read as one log to its end, without these records.
    #[track_caller]
    fn check_read(&self, what: &str, report: &Report, given_up: &[GivenUpRecords]) {
        let totals = &report.totals;
        let size = self.vault.log.frontier().size();
        let without: u64 = given_up.iter().map(|one| one.last - one.first + 1).sum();
        assert_eq!(totals.given_up, given_up, "{what}: {report:#?}");
        assert_eq!(
            (totals.log_size, &totals.log_root),
            (size, &self.root()),
            "{what}"
        );
        assert_eq!(totals.records, size - without, "{what}");
    }
}

type Holes = &'static [(usize, usize)];

/// Openings, each with the number of the hole of it that is stepped over.
type Stepped = &'static [(u32, usize)];

/// What somebody changes in a span.
type Forgery = &'static dyn Fn(&mut LostSpan);

/// In the middle of a segment, over the end of one, of a whole one's beginning, and several.
const CASES: [(&str, Holes); 5] = [
    ("in the middle", &[(2, 4)]),
    ("over the end of a segment", &[(5, 8)]),
    ("the end of a segment", &[(5, 7)]),
    ("the beginning of a segment", &[(7, 8)]),
    ("two", &[(1, 3), (6, 9)]),
];

#[test]
fn what_was_given_up_is_stepped_over_and_the_tree_is_that_of_the_whole_log() {
    for disks in [1, 3] {
        for (what, holes) in CASES {
            let mut journal = Journal::new(disks);
            journal.force(holes);
            holes.iter().for_each(|hole| journal.lose(*hole));
            let report = check(what, &journal.vault, &[]);
            let missed = |note: &String| note.contains("ALLOC");
            assert!(!report.notes.iter().any(missed), "{what}: {report:#?}");
            let given_up: Vec<_> = holes.iter().map(|hole| journal.records(1, *hole)).collect();
            journal.check_read(what, &report, &given_up);
            let GivenUpRecords { first, last, .. } = given_up[0];
            let records = match first == last {
                true => format!("record {first} was"),
                false => format!("records {first} to {last} were"),
            };
            let line = format!("\n{records} on no disk when the vault was forced open");
            assert!(text(&report).contains(&line), "{what}: {}", text(&report));
            let field =
                format!("\"given_up\":[{{\"opening\":1,\"first\":{first},\"last\":{last}}}");
            assert!(json(&report).contains(&field), "{what}: {}", json(&report));
        }
    }
}

#[test]
fn bytes_that_are_back_change_nothing() {
    for (what, holes) in CASES {
        let mut whole = Journal::new(3);
        whole.force(holes);
        let mut gone = whole.clone();
        holes.iter().for_each(|hole| gone.lose(*hole));
        let mut some = whole.clone();
        holes.iter().for_each(|hole| some.lose_on(&[0, 2], *hole));
        let expected = gone.vault.verify().totals;
        for journal in [whole, some] {
            let report = check(what, &journal.vault, &[]);
            let totals = &report.totals;
            assert_eq!(totals.given_up, expected.given_up, "{what}");
            assert_eq!(totals.records, expected.records, "{what}");
            assert_eq!(totals.log_root, expected.log_root, "{what}");
        }
    }
}

#[test]
fn of_a_segment_that_was_given_up_no_copy_is_missed_and_what_is_there_is_not_read() {
    let mut journal = Journal::new(3);
    journal.turn();
    let hole = (7, 12);
    journal.force(&[hole]);
    let open = journal.vault.segments[&2].clone();
    // Nothing at all is left on one disk, no header on another, and all is there on the third.
    blank(&mut journal.vault, 0, open.start(), 4 * 65536);
    journal.vault.flip(1, open.start() + 20);
    let report = check("one copy", &journal.vault, &[]);
    journal.check_read("one copy", &report, &[journal.records(1, hole)]);
}

#[test]
fn the_seal_before_what_was_given_up_is_judged() {
    let mut journal = Journal::new(3);
    journal.force(&[(7, 8)]);
    let at = journal.vault.segments[&1].start() + 65536 - 4096;
    journal.vault.flip(1, at + 100);
    check("a seal", &journal.vault, &[segment(1, 1)]);
}

#[test]
fn other_bytes_in_the_place_of_what_was_given_up_change_nothing() {
    let mut journal = Journal::new(1);
    let mut other = Journal::new(1);
    for journal in [&mut journal, &mut other] {
        journal.force(&[(8, 9)]);
    }
    let open = other.vault.segments[&2].clone();
    let mut again = Open {
        frames: open.frames[..1].to_vec(),
        end: open.frames[1].segment_offset.get(),
        ..open
    };
    other.vault.epoch = Epoch::new(1);
    other.vault.committed = 0;
    other.vault.frame(&mut again, &noise(300, 77), 1, false);
    let Written { from, to, .. } = journal.frames[8].clone();
    let bytes = &other.vault.images[0][from..to];
    assert_ne!(bytes, &journal.vault.images[0][from..to]);
    journal.vault.images[0][from..to].copy_from_slice(bytes);
    let report = check("another frame", &journal.vault, &[]);
    journal.check_read("another frame", &report, &[journal.records(1, (8, 9))]);
}

#[test]
fn until_the_opening_space_may_be_freed_as_a_lost_record_said() {
    let done = || {
        Draft::of(Body::Trim(Trim::Done {
            segments: vec![SegmentId::new(50)],
            disk: disk_id(0),
        }))
    };
    for behind in [false, true] {
        let mut journal = Journal::new(1);
        if !behind {
            journal.write(vec![done()]);
        }
        journal.force(&[(2, 4)]);
        if behind {
            journal.write(vec![done()]);
            journal.complete();
        }
        let places: &[Where] = if behind { &[frame(0, 3, 2)] } else { &[] };
        check("a segment that no record gave up", &journal.vault, places);
    }
}

#[test]
fn of_the_spans_of_two_openings_the_one_that_leads_farthest_is_stepped_over() {
    let cases: [(&str, Holes, Holes, Stepped); 5] = [
        ("containing", &[(2, 4)], &[(1, 4)], &[(2, 0)]),
        ("farther", &[(2, 4)], &[(2, 6)], &[(2, 0)]),
        ("contained", &[(1, 4)], &[(2, 3)], &[(1, 0)]),
        ("right behind", &[(2, 4)], &[(4, 6)], &[(1, 0), (2, 0)]),
        ("apart", &[(2, 3)], &[(7, 9)], &[(1, 0), (2, 0)]),
    ];
    for (what, first, second, stepped) in cases {
        let mut journal = Journal::new(2);
        journal.force(first);
        journal.force(second);
        let given_up: Vec<_> = stepped
            .iter()
            .map(|(opening, hole)| {
                let holes = if *opening == 1 { first } else { second };
                journal.records(*opening, holes[*hole])
            })
            .collect();
        let back = check(what, &journal.vault, &[]);
        journal.check_read(what, &back, &given_up);
        for holes in [first, second] {
            holes.iter().for_each(|hole| journal.lose(*hole));
        }
        let report = check(what, &journal.vault, &[]);
        journal.check_read(what, &report, &given_up);
    }
}

#[test]
fn damage_that_nobody_gave_up_remains_damage() {
    for (what, lost) in [("behind", 10), ("right before", 1)] {
        for back in [false, true] {
            let mut journal = Journal::new(1);
            journal.force(&[(2, 4)]);
            if !back {
                journal.lose((2, 4));
            }
            journal.lose((lost, lost + 1));
            let place = match lost {
                10 => frame(0, 2, 3),
                _ => frame(0, 1, 1),
            };
            let report = check(what, &journal.vault, &[place]);
            // What was given up is not read behind damage, either.
            let size = journal.vault.log.frontier().size();
            assert_eq!(report.totals.records, size - 3, "{what}, back: {back}");
        }
    }
}

#[test]
fn the_frame_to_go_on_with_may_be_damaged_in_its_turn() {
    let mut journal = Journal::new(1);
    journal.force(&[(2, 4)]);
    journal.lose((2, 7));
    let places = [segment(0, 1), frame(0, 1, 4)];
    let report = check("to the end of the segment", &journal.vault, &places);
    let lost = journal.frames[7].record.get() - journal.frames[2].record.get();
    assert_eq!(report.totals.records, report.totals.log_size - lost);
}

#[test]
fn an_opening_that_was_cut_gives_nothing_up() {
    let mut journal = Journal::new(2);
    journal.complete();
    journal.force_as(journal.spans(&[(2, 4)]), Asked::default());
    let report = journal.vault.verify();
    assert_eq!(report.totals.given_up, []);
    assert_eq!(report.totals.records, journal.frames[12].record.get());
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
}

/// The first frame of the opening, with another list in it, as somebody without the keys of people could write it.
fn forge(journal: &mut Journal, disks: &[usize], forge: Forgery) {
    let mut other = journal.clone();
    let mut spans = journal.spans(&[(2, 4)]);
    spans.iter_mut().for_each(forge);
    other.force_as(
        spans,
        Asked {
            silent: true,
            ..Asked::default()
        },
    );
    journal.force_as(Vec::new(), Asked::default());
    let forged = other.frames.last().unwrap().clone();
    for disk in disks {
        let bytes = &other.vault.images[*disk][forged.from..forged.to];
        journal.vault.images[*disk][forged.from..forged.to].copy_from_slice(bytes);
    }
    journal.complete();
}

fn check_forged(what: &str, forged_on: &[usize], expected: &[Where], stepped: usize) -> Report {
    let mut journal = Journal::new(3);
    forge(&mut journal, forged_on, &|_| {});
    let report = check(what, &journal.vault, expected);
    assert_eq!(report.totals.given_up.len(), stepped, "{what}");
    report
}

#[test]
fn a_first_frame_that_was_forged_on_one_copy_gives_nothing_up() {
    check_forged("nowhere", &[], &[], 0);
    check_forged("on one copy", &[1], &[frame(1, 3, 0)], 0);
}

#[test]
fn what_the_request_does_not_name_is_said_to_be_unconfirmed() {
    let places: Vec<Where> = (0..3).map(|disk| frame(disk, 3, 0)).collect();
    let report = check_forged("everywhere", &[0, 1, 2], &places, 1);
    let what = &report.damage[0].what;
    assert!(what.contains("other records than the request"), "{what}");
}

#[test]
fn the_request_must_be_for_the_log_that_is_read() {
    let asked = Asked {
        other_head: true,
        ..Asked::default()
    };
    for (what, hole, asked, expected) in [
        ("right", (2, 4), Asked::default(), None),
        ("other head", (2, 4), asked, Some("is for another log")),
        (
            "no tree",
            (9, 11),
            Asked::default(),
            Some("nothing repeats the tree"),
        ),
    ] {
        let mut journal = Journal::new(1);
        journal.force_as(journal.spans(&[hole]), asked);
        journal.mark();
        journal.complete();
        journal.lose(hole);
        let places: &[Where] = if expected.is_some() {
            &[frame(0, 3, 0)]
        } else {
            &[]
        };
        let report = check(what, &journal.vault, places);
        let said = report.damage.first().map(|damage| damage.what.as_str());
        assert_eq!(said.is_some(), expected.is_some());
        assert!(
            said.is_none_or(|said| said.contains(expected.unwrap())),
            "{what}: {said:?}"
        );
        // From the next record on that repeats it the tree is known, whatever was said.
        assert_eq!(report.totals.log_root, journal.root(), "{what}");
    }
}

#[test]
fn a_seal_block_does_not_repeat_the_tree_and_its_record_does() {
    let mut journal = Journal::begun(1);
    journal.vault.seal(&journal.open);
    journal.force_as(journal.spans(&[(4, 5)]), Asked::default());
    journal.complete();
    let report = check("no record", &journal.vault, &[frame(0, 2, 0)]);
    let what = &report.damage[0].what;
    assert!(what.contains("nothing repeats the tree"), "{what}");
    let mut journal = Journal::new(1);
    journal.force_as(journal.spans(&[(4, 5)]), Asked::default());
    journal.complete();
    check("a record", &journal.vault, &[]);
}

#[test]
fn an_opening_whose_first_frame_is_given_up_gives_nothing_up() {
    let mut journal = Journal::new(1);
    journal.force(&[(2, 4)]);
    journal.force(&[(12, 13)]);
    let report = check("it is back", &journal.vault, &[]);
    journal.check_read("it is back", &report, &[journal.records(2, (12, 13))]);
}

#[test]
fn spans_that_break_the_format_are_not_stepped_over() {
    let forgeries: [(&str, Forgery); 4] = [
        ("between blocks", &|span| {
            span.offset = ByteOffset::new(span.offset.get() + 1)
        }),
        ("in the header", &|span| span.offset = ByteOffset::ZERO),
        ("no such segment", &|span| span.segment = SegmentId::new(77)),
        ("a record that was read", &|span| {
            span.first_record = LogIndex::ZERO;
            span.next_record = LogIndex::new(1);
        }),
    ];
    for (what, forgery) in forgeries {
        let mut journal = Journal::new(1);
        forge(&mut journal, &[0], forgery);
        let report = journal.vault.verify();
        assert_eq!(report.totals.given_up, [], "{what}");
        assert_eq!(report.totals.records, report.totals.log_size, "{what}");
    }
}

#[test]
fn the_frame_to_go_on_with_must_be_the_one_that_was_named() {
    let forgeries: [(&str, Forgery); 4] = [
        ("chain", &|span| span.chain = Digest::ZERO),
        ("offset", &|span| {
            span.offset = ByteOffset::new(span.offset.get() + 4096)
        }),
        ("record", &|span| {
            span.next_record = LogIndex::new(span.next_record.get() + 1)
        }),
        ("previous", &|span| span.previous = Digest::ZERO),
    ];
    for (what, forgery) in forgeries {
        let mut journal = Journal::new(1);
        let mut spans = journal.spans(&[(2, 4)]);
        spans.iter_mut().for_each(forgery);
        journal.force_as(spans, Asked::default());
        journal.complete();
        let report = journal.vault.verify();
        let places = support::check::places(&report);
        assert!(places.contains(&frame(0, 1, 4)), "{what}: {report:#?}");
    }
}

#[test]
fn nothing_is_proven_of_a_log_that_lacks_records() {
    let mut journal = Journal::new(1);
    journal.force(&[(2, 4)]);
    let all = Claim::Inclusion {
        record: 1,
        version: None,
        size: None,
    };
    let refused = prove::prove(&journal.vault.sources(), Duration::ZERO, all, None).unwrap_err();
    let first = journal.frames[2].record;
    assert!(
        refused
            .to_string()
            .contains(&format!("record {first} was given up")),
        "{refused}"
    );
    assert!(!refused.is_damage());
}
