//! What people do next, by the book and by chance.

use stele_format::digest::Digest;
use stele_format::statement::{Answer, Kind, Name, Verb};
use stele_format::units::LogIndex;

use super::draft::Draft;
use super::{Doing, Office, Saying};
use crate::context::Context;
use crate::limits::DAY_MS;
use crate::oracle::Oracle;
use crate::oracle::book::{Book, Entry, LONG_REST_MS, Official, Piece, SHORT_REST_MS, WAIT_MS};
use crate::people::{PEOPLE, name};

/// Requests that wait for something at a time.
const OPEN_COUNT_MAX: usize = 3;
/// What is tried although it must be refused, permille.
const ATTACKS: u64 = 120;

fn first_open(pieces: &[Piece]) -> Option<u32> {
    let at = pieces.iter().position(|piece| *piece != Piece::Done)?;
    u32::try_from(at).ok()
}

/// Requests that were neither ended nor executed, and whose time is not over.
fn open_requests(book: &Book, now_ms: u64) -> Vec<(LogIndex, &Entry)> {
    let requests = book.requests.iter();
    let open = requests.filter(|(_, entry)| {
        let until = match entry.approved {
            None => entry.requested.0 + WAIT_MS,
            Some(approved) => approved.0 + rest_of(entry) + WAIT_MS,
        };
        entry.vetoed.is_none() && entry.executed.is_none() && now_ms < until
    });
    open.map(|(request, entry)| (*request, entry)).collect()
}

fn rest_of(entry: &Entry) -> u64 {
    match entry.large {
        Some(false) if entry.is_erase() => SHORT_REST_MS,
        _ => LONG_REST_MS,
    }
}

impl Office {
    /// Puts the next move on the agenda.
    pub(super) fn plan(&mut self, context: &mut Context, oracle: &Oracle) {
        let book = &oracle.book;
        if self.view.is_none() {
            self.agenda.push_back(Doing::Ask(Box::new(Official::Look)));
            return;
        }
        if !book.founded {
            return self.found(context);
        }
        if context.rng.permille(ATTACKS) {
            return self.attack(context, oracle);
        }
        if context.rng.permille(800) && self.carry_out(context, book) {
            return;
        }
        let open = open_requests(book, context.compliance_ms());
        if !open.is_empty()
            && (open.len() >= OPEN_COUNT_MAX || context.rng.permille(850))
            && let Some((request, entry)) = context.rng.pick(&open).copied()
        {
            return self.advance(context, request, entry);
        }
        self.begin_something(context, book);
    }

    fn found(&mut self, context: &mut Context) {
        let Some(staff) = &self.staff else { return };
        let mut signers: Vec<Name> = PEOPLE.iter().map(|(who, _)| name(who)).collect();
        if context.rng.permille(200) {
            signers.remove(context.rng.index(signers.len()));
        }
        let kind = staff.founding();
        self.push(kind, signers);
    }

    fn push(&mut self, kind: Kind, signers: Vec<Name>) {
        self.agenda.push_back(Doing::Say(Box::new(Saying {
            kind,
            signers,
            forged: false,
            flaw: None,
        })));
    }

    fn answer(&mut self, verb: Verb, request: LogIndex, digest: Digest, by: &str) {
        let answer = Answer {
            verb,
            request,
            digest,
            by: name(by),
        };
        self.push(Kind::Answer(answer), vec![name(by)]);
    }

    /// Goes on with what was executed, or with a hold that is not on everything yet.
    fn carry_out(&mut self, context: &mut Context, book: &Book) -> bool {
        let mut moves: Vec<Doing> = Vec::new();
        for (request, entry) in &book.requests {
            let Some(ordinal) = first_open(&entry.pieces) else {
                continue;
            };
            if entry.executed.is_none() || entry.done {
                continue;
            }
            if entry.is_of_month() && !self.rehomed.contains(request) && context.rng.permille(400) {
                moves.push(Doing::Rehome(*request, None));
            } else if entry.is_erase() {
                moves.push(Doing::Ask(Box::new(Official::Tombstone(*request, ordinal))));
            } else {
                // What a client held again goes with its piece once more.
                let ordinal = match context.rng.permille(800) {
                    true => ordinal,
                    false => 0,
                };
                moves.push(Doing::Ask(Box::new(Official::Lift(*request, ordinal))));
            }
        }
        for case in book.cases.iter().filter(|case| !case.released) {
            if let Some(ordinal) = first_open(&case.pieces) {
                moves.push(Doing::Ask(Box::new(Official::Place(
                    case.statement,
                    ordinal,
                ))));
            }
        }
        match context.rng.pick(&moves).cloned() {
            Some(next) => {
                self.agenda.push_back(next);
                true
            }
            None => false,
        }
    }

    /// The next step of a request.
    fn advance(&mut self, context: &mut Context, request: LogIndex, entry: &Entry) {
        let draw = context.rng.below(100);
        let digest = entry.digest;
        let some = |context: &mut Context, of: &[&'static str]| {
            context.rng.pick(of).copied().unwrap_or("anna")
        };
        if draw < 5 {
            let by = some(context, &["anna", "axel", "sara", "sven", "ada", "oona"]);
            return self.answer(Verb::Veto, request, digest, by);
        }
        // Somebody holds what is on its way to be destroyed.
        if draw < 12 && entry.is_erase() {
            let by = some(context, &["oona", "anna", "sara"]);
            return self.hold_list(context, entry, by);
        }
        let Some(approved) = entry.approved else {
            let missing = |who: &&&str| !entry.approvals.contains(&name(who));
            let officers: &[&str] = if entry.is_early() { &["sara"] } else { &[] };
            let wanted = ["anna", "axel"];
            let left: Vec<&str> = wanted
                .iter()
                .chain(officers)
                .filter(missing)
                .copied()
                .collect();
            return match context.rng.pick(&left).copied() {
                Some(by) => self.answer(Verb::Approve, request, digest, by),
                None => self.agenda.push_back(Doing::Ask(Box::new(Official::Look))),
            };
        };
        let from_ms = approved.1 + rest_of(entry);
        let now_ms = context.compliance_ms();
        if now_ms < from_ms {
            self.rest_ms = Some(from_ms - now_ms + context.rng.magnitude(3_600_000));
        } else if draw < 15 {
            self.rest_ms = Some(WAIT_MS);
        } else {
            let by = match entry.is_erase() {
                true => some(context, &["oona", "otto", "anna"]),
                false => some(context, &["sara", "sven", "axel"]),
            };
            // Held at the last moment, so that the hold is still to be put on the versions.
            if draw < 30 && entry.is_erase() {
                self.hold_list(context, entry, "sara");
            }
            self.answer(Verb::Execute, request, digest, by);
        }
    }

    fn begin_something(&mut self, context: &mut Context, book: &Book) {
        let lists = |office: &mut Self, draft| {
            let doing = [
                Doing::Ask(Box::new(Official::Look)),
                Doing::Count(None),
                Doing::Draft(draft),
            ];
            office.agenda.extend(doing);
        };
        match context.rng.below(100) {
            0..=59 => lists(self, Draft::Erase),
            60..=71 => lists(self, Draft::Hold),
            72..=84 => {
                let running = book.cases.iter().filter(|case| !case.released);
                let running: Vec<_> = running.collect();
                if let Some(case) = context.rng.pick(&running) {
                    self.ask_release(context, case);
                }
            }
            85..=92 => self.rest_ms = Some(context.rng.between(1, 20) * DAY_MS),
            _ => self.agenda.push_back(Doing::Ask(Box::new(Official::Look))),
        }
    }

    /// Something that must be refused, most of the time.
    fn attack(&mut self, context: &mut Context, oracle: &Oracle) {
        let book = &oracle.book;
        let all: Vec<(LogIndex, &Entry)> = book.requests.iter().map(|(at, e)| (*at, e)).collect();
        let Some((request, entry)) = context.rng.pick(&all).copied() else {
            return self.begin_something(context, book);
        };
        let who: Vec<&str> = PEOPLE.iter().map(|(who, _)| *who).collect();
        let by = context.rng.pick(&who).copied().unwrap_or("anna");
        let ripe = |entry: &&(LogIndex, &Entry)| {
            let entry = entry.1;
            let from = entry.approved.map(|approved| approved.1 + rest_of(entry));
            let over = entry.vetoed.is_some() && from.is_some();
            over && from
                .is_some_and(|from| (from..from + WAIT_MS).contains(&context.compliance_ms()))
        };
        if let Some((request, entry)) = all.iter().find(ripe).copied() {
            let by = if entry.is_erase() { "oona" } else { "sara" };
            return self.answer(Verb::Execute, request, entry.digest, by);
        }
        match context.rng.below(8) {
            0 => match context.rng.pick(&self.old).cloned() {
                Some(said) => self
                    .agenda
                    .push_back(Doing::Ask(Box::new(Official::State(said)))),
                None => self.answer(Verb::Execute, request, entry.digest, by),
            },
            1 | 2 => self.answer(Verb::Execute, request, entry.digest, by),
            3 => self.answer(Verb::Approve, request, entry.digest, by),
            4 => {
                let other = Digest::of(&entry.digest.0);
                self.answer(Verb::Approve, request, other, "anna");
            }
            5 => {
                let ordinal = u32::try_from(context.rng.below(3)).unwrap_or(0);
                self.agenda
                    .push_back(Doing::Ask(Box::new(Official::Tombstone(request, ordinal))));
            }
            6 => self.agenda.push_back(Doing::Rehome(request, None)),
            _ => {
                // Somebody signs in the name of somebody else.
                let answer = Answer {
                    verb: Verb::Execute,
                    request,
                    digest: entry.digest,
                    by: name("oona"),
                };
                self.push(Kind::Answer(answer), vec![name("anna")]);
            }
        }
    }
}
