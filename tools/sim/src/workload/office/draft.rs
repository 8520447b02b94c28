//! Lists of versions, and what is stated about them.

use stele_format::digest::Digest;
use stele_format::record::{Scope, VersionRef, scope_digest};
use stele_format::statement::{
    Act, Cut, Erase, Head, Hold, Kind, Name, Nonce, ReleaseHold, Request, Second,
};
use stele_format::units::Month;
use stele_store::policy::may_destroy;
use stele_store::request::CensusRow;

use super::{Doing, Office, Saying};
use crate::context::Context;
use crate::limits::DAY_MS;
use crate::oracle::Oracle;
use crate::oracle::book::{Case, Entry, Official};
use crate::people::name;

/// Versions of one list, at most.
const LIST_COUNT_MAX: u64 = 10;

/// What a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    /// To be destroyed.
    Erase,
    /// To be held.
    Hold,
}

/// What is wrong with a request, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// It says other numbers than its list has.
    Bytes,
    Count,
    /// Somebody asks who may not.
    Role,
    /// Somebody signs for somebody else.
    Signer,
    /// The signature is over another text.
    Forged,
    /// A piece of the list was never recorded.
    Piece,
    /// The list is another one than its digest says.
    List,
    /// Something on the list is locked.
    Locked,
}

const WRONGS: [Wrong; 8] = [
    Wrong::Bytes,
    Wrong::Count,
    Wrong::Role,
    Wrong::Signer,
    Wrong::Forged,
    Wrong::Piece,
    Wrong::List,
    Wrong::Locked,
];

impl Office {
    /// Draws up a list of what was counted, and puts on the agenda what follows.
    pub(super) fn draw_up(&mut self, context: &mut Context, oracle: &Oracle, draft: Draft) {
        let wrong = match context.rng.permille(200) {
            true => context.rng.pick(&WRONGS).copied().unwrap_or(Wrong::Bytes),
            false => Wrong::Nothing,
        };
        match draft {
            Draft::Erase => self.draw_up_erase(context, oracle, wrong),
            Draft::Hold => {
                let wrong = match wrong {
                    Wrong::Piece | Wrong::List | Wrong::Count | Wrong::Forged => wrong,
                    _ => Wrong::Nothing,
                };
                let chosen = choose(context, self.rows.clone());
                if !chosen.is_empty() {
                    self.hold(context, &chosen, wrong);
                }
            }
        }
    }

    fn draw_up_erase(&mut self, context: &mut Context, oracle: &Oracle, wrong: Wrong) {
        let Some(time) = self.time else { return };
        let early = context.rng.permille(250);
        let mut free: Vec<CensusRow> = self.rows.clone();
        free.retain(|row| {
            let known = oracle.book.destroyed.contains_key(&row.version);
            !known && may_destroy(&row.lock, early, time).is_ok()
        });
        if free.is_empty() {
            self.rest_ms = Some(context.rng.between(1, 6) * DAY_MS);
            return;
        }
        let month = context.rng.pick(&free).and_then(|row| row.leaf.parts());
        let month = month.map(|parts| parts.month);
        let is_over = |month: &Month| Month::of(time.release).is_some_and(|now| *month < now);
        if !month.as_ref().is_none_or(is_over) && context.rng.permille(300) {
            // A month is cut once it is over.
            self.rest_ms = Some(context.rng.between(4, 31) * DAY_MS);
            return;
        }
        let month = month.filter(is_over);
        let (mut chosen, cut) = match month.filter(|_| context.rng.permille(850)) {
            Some(month) => {
                free.retain(|row| row.leaf.parts().is_some_and(|parts| parts.month == month));
                // Mostly something that could go stays, and is to be given another leaf.
                if free.len() > 1 && context.rng.permille(700) {
                    let listed = context.rng.between(1, free.len() as u64 / 2);
                    free.truncate(usize::try_from(listed).unwrap_or(1));
                }
                (choose(context, free), Cut::Month(month))
            }
            None => (choose(context, free), Cut::Leaves),
        };
        if wrong == Wrong::Locked {
            let mut locked = self.rows.clone();
            locked.retain(|row| may_destroy(&row.lock, early, time).is_err());
            chosen.extend(context.rng.pick(&locked).cloned());
            chosen.sort_by_key(|row| row.version.ordinal());
        }
        let scope = self.scopes(context, &chosen, wrong);
        let Some(erase) = erase_of(&chosen, scope, cut, early) else {
            return;
        };
        let erase = Erase {
            bytes: erase.bytes + u64::from(wrong == Wrong::Bytes),
            count: erase.count + u64::from(wrong == Wrong::Count),
            ..erase
        };
        let by = match wrong {
            Wrong::Role => "anna",
            _ => *context.rng.pick(&["oona", "otto"]).unwrap_or(&"oona"),
        };
        self.request(context, Act::Erase(erase), by, wrong);
    }

    /// Asks for the release of a case.
    pub(super) fn ask_release(&mut self, context: &mut Context, case: &Case) {
        let release = ReleaseHold {
            case: case.case,
            scope: case.scope,
            count: case.count,
        };
        let (wrong, by) = match context.rng.below(8) {
            0 => (Wrong::Role, "oona"),
            1 => (Wrong::Signer, "sara"),
            2 | 3 => (Wrong::Nothing, "sven"),
            _ => (Wrong::Nothing, "sara"),
        };
        self.agenda.push_back(Doing::Ask(Box::new(Official::Look)));
        self.request(context, Act::ReleaseHold(release), by, wrong);
    }

    fn request(&mut self, context: &mut Context, act: Act, by: &str, wrong: Wrong) {
        let Some(view) = &self.view else { return };
        let kind = Kind::Request(Request {
            act,
            head: Head {
                size: view.log_records,
                root: view.log_root,
            },
            nonce: nonce(context),
            reason: Digest::of(b"salt and reason"),
            by: name(by),
        });
        let flaw = match wrong {
            Wrong::Bytes => Some("its list has other bytes"),
            Wrong::Forged => Some("the signature is over another text"),
            _ => None,
        };
        let signer = match wrong {
            Wrong::Signer => name("sven"),
            _ => name(by),
        };
        self.agenda.push_back(Doing::Say(Box::new(Saying {
            kind,
            signers: vec![signer],
            forged: wrong == Wrong::Forged,
            flaw,
        })));
    }

    fn hold(&mut self, context: &mut Context, chosen: &[CensusRow], wrong: Wrong) {
        let scope = self.scopes(context, chosen, wrong);
        let case = context.rng.below(4);
        let holders: [&str; 4] = ["oona", "anna", "sara", "ada"];
        let by: Name = name(context.rng.pick(&holders).copied().unwrap_or("oona"));
        let kind = Kind::Hold(Hold {
            case: Digest::of(&case.to_le_bytes()),
            scope,
            count: chosen.len() as u64 + u64::from(wrong == Wrong::Count),
            nonce: nonce(context),
            by: by.clone(),
        });
        self.agenda.push_back(Doing::Say(Box::new(Saying {
            kind,
            signers: vec![by],
            forged: wrong == Wrong::Forged,
            flaw: (wrong == Wrong::Forged).then_some("the signature is over another text"),
        })));
    }

    /// Holds the very list of a request, for another case than those of chosen versions.
    pub(super) fn hold_list(&mut self, context: &mut Context, entry: &Entry, by: &str) {
        let Act::Erase(erase) = &entry.act else {
            return;
        };
        let kind = Kind::Hold(Hold {
            case: Digest::of(b"a list"),
            scope: erase.scope,
            count: erase.count,
            nonce: nonce(context),
            by: name(by),
        });
        self.agenda.push_back(Doing::Say(Box::new(Saying {
            kind,
            signers: vec![name(by)],
            forged: false,
            flaw: None,
        })));
    }

    /// Puts the pieces of a list on the agenda; its digest.
    fn scopes(&mut self, context: &mut Context, chosen: &[CensusRow], wrong: Wrong) -> Digest {
        let entries: Vec<VersionRef> = chosen
            .iter()
            .map(|row| VersionRef {
                object: row.object,
                version: row.version,
            })
            .collect();
        let mut digest = scope_digest(&entries);
        if wrong == Wrong::List {
            // Another list under a digest that is not its own.
            digest = Digest::of(&digest.0);
        }
        let size = usize::try_from(context.rng.between(1, 5)).unwrap_or(1);
        let pieces: Vec<&[VersionRef]> = entries.chunks(size).collect();
        let left_out = match wrong {
            Wrong::Piece => Some(context.rng.index(pieces.len())),
            _ => None,
        };
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        for (ordinal, piece) in (0..).zip(&pieces) {
            if left_out.is_some_and(|at| u32::try_from(at) == Ok(ordinal)) {
                continue;
            }
            let scope = Scope {
                digest,
                ordinal,
                pieces: count,
                entries: piece.to_vec(),
            };
            self.agenda
                .push_back(Doing::Ask(Box::new(Official::Scope(scope))));
        }
        digest
    }
}

/// Text that is one of its kind.
fn nonce(context: &mut Context) -> Nonce<16> {
    let (high, low) = (context.rng.next(), context.rng.next());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_le_bytes());
    bytes[8..].copy_from_slice(&low.to_le_bytes());
    Nonce(bytes)
}

/// Some of these, in the order of lists.
fn choose(context: &mut Context, mut rows: Vec<CensusRow>) -> Vec<CensusRow> {
    let count = context.rng.between(3, LIST_COUNT_MAX);
    while rows.len() as u64 > count {
        rows.swap_remove(context.rng.index(rows.len()));
    }
    rows.sort_by_key(|row| row.version.ordinal());
    rows
}

/// What a request says of these versions.
fn erase_of(rows: &[CensusRow], scope: Digest, cut: Cut, governance: bool) -> Option<Erase> {
    let stored = || rows.iter().map(|row| row.stored);
    let ends = rows.iter().filter_map(|row| row.lock.retention);
    let latest = ends.map(|retention| retention.until).max();
    Some(Erase {
        scope,
        count: rows.len() as u64,
        bytes: rows.iter().map(|row| row.content_bytes).sum(),
        cut,
        governance,
        oldest: Second::of(stored().min()?)?,
        newest: Second::of(stored().max()?)?,
        latest_retention: latest.and_then(Second::not_before),
    })
}
