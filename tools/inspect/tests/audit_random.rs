//! Random histories: what keeps the rules is lawful, whatever its order; one broken rule in it is found.

mod support;

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stele_format::digest::Digest;
use stele_format::record::{LockMode, VersionRef};
use stele_format::statement::{Act, ReleaseHold, Role, Verb};
use stele_format::units::LogIndex;
use support::people::{Asked, BEGIN, Book, DAY, HOUR, name};

/// Versions that lie there from the beginning, so that lists of a few are not large.
const CROWD: usize = 600;

/// One piece of a lawful history.
#[derive(Clone, Debug)]
enum Step {
    Store {
        mode: LockMode,
        days: u64,
        hold: bool,
    },
    Extend {
        which: usize,
        days: u64,
    },
    Hold {
        which: usize,
    },
    Case {
        which: usize,
    },
    LiftCase {
        which: usize,
    },
    Erase {
        which: usize,
        count: usize,
        early: bool,
    },
    Vetoed {
        which: usize,
    },
    Lapsed {
        which: usize,
    },
    Enrol {
        number: u8,
    },
    Suspend,
    Wait {
        hours: u64,
    },
}

fn mode() -> impl Strategy<Value = LockMode> {
    prop_oneof![
        Just(LockMode::None),
        Just(LockMode::Governance),
        Just(LockMode::Compliance)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..CROWD;
    prop_oneof![
        (mode(), 1_u64..40, any::<bool>()).prop_map(|(mode, days, hold)| Step::Store {
            mode,
            days,
            hold
        }),
        (which(), 1_u64..60).prop_map(|(which, days)| Step::Extend { which, days }),
        which().prop_map(|which| Step::Hold { which }),
        which().prop_map(|which| Step::Case { which }),
        which().prop_map(|which| Step::LiftCase { which }),
        (which(), 1_usize..5, any::<bool>()).prop_map(|(which, count, early)| Step::Erase {
            which,
            count,
            early
        }),
        which().prop_map(|which| Step::Vetoed { which }),
        which().prop_map(|which| Step::Lapsed { which }),
        (0_u8..4).prop_map(|number| Step::Enrol { number }),
        Just(Step::Suspend),
        (1_u64..500).prop_map(|hours| Step::Wait { hours }),
    ]
}

/// What the writer of a history knows of a version, and nothing that the auditor told it.
#[derive(Clone, Copy)]
struct Known {
    version: VersionRef,
    mode: LockMode,
    until: u64,
    hold: bool,
    /// The case that holds it.
    case: Option<u64>,
    gone: bool,
}

struct History {
    book: Book,
    known: Vec<Known>,
    generation: u64,
    cases: u64,
    enrolled: Vec<u8>,
    suspended: bool,
}

impl History {
    fn new() -> Self {
        let mut book = Book::founded();
        let known = book.crowd(CROWD).into_iter().map(|version| Known {
            version,
            mode: LockMode::None,
            until: 0,
            hold: false,
            case: None,
            gone: false,
        });
        Self {
            known: known.collect(),
            book,
            generation: 1,
            cases: 0,
            enrolled: Vec::new(),
            suspended: false,
        }
    }

    fn of(steps: &[Step]) -> Self {
        let mut history = Self::new();
        steps.iter().for_each(|step| history.take(step));
        history
    }

    /// A version that is not destroyed, the next one from `which` on.
    fn living(&self, which: usize) -> usize {
        let count = self.known.len();
        let mut places = (0..count).map(|step| (which + step) % count);
        places.find(|at| !self.known[*at].gone).unwrap_or(0)
    }

    fn free(&self, at: usize, early: bool) -> bool {
        let known = &self.known[at];
        let retained = known.mode != LockMode::None && known.until + DAY > self.book.now;
        let overcome = early && known.mode == LockMode::Governance;
        !known.gone && !known.hold && known.case.is_none() && (!retained || overcome)
    }

    fn list(&self, which: usize, count: usize) -> Vec<usize> {
        let mut list: Vec<usize> = (which..self.known.len())
            .filter(|at| !self.known[*at].gone)
            .take(count)
            .collect();
        if list.is_empty() {
            list.push(self.living(0));
        }
        list
    }

    fn versions(&self, list: &[usize]) -> Vec<VersionRef> {
        list.iter().map(|at| self.known[*at].version).collect()
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Store { mode, days, hold } => self.store(mode, days, hold),
            Step::Extend { which, days } => {
                let at = self.living(which);
                let known = &mut self.known[at];
                known.mode = known.mode.max(LockMode::Governance);
                known.until = known.until.max(self.book.now + days * DAY);
                self.book.retention(&known.version, known.mode, known.until);
            }
            Step::Hold { which } => {
                let at = self.living(which);
                self.known[at].hold = true;
                self.book.hold(&self.known[at].version, true);
            }
            Step::Case { which } => {
                let at = self.living(which);
                self.put_case(at);
            }
            Step::LiftCase { which } => self.lift(which),
            Step::Erase {
                which,
                count,
                early,
            } => self.erase(which, count, early),
            Step::Vetoed { which } => {
                let asked = self.ask(which);
                self.book.answer("axel", Verb::Approve, &asked);
                self.book.answer("udo", Verb::Veto, &asked);
            }
            Step::Lapsed { which } => {
                self.ask(which);
                self.book.wait(80 * HOUR);
            }
            Step::Enrol { number } => self.enrol(number),
            Step::Suspend => self.suspend(),
            Step::Wait { hours } => self.book.wait(hours * HOUR),
        }
        self.book.wait(1);
    }

    fn store(&mut self, mode: LockMode, days: u64, hold: bool) {
        let until = if mode == LockMode::None {
            0
        } else {
            self.book.now + days * DAY
        };
        let version = self.book.stored(mode, until, hold);
        self.known.push(Known {
            version,
            mode,
            until,
            hold,
            case: None,
            gone: false,
        });
    }

    fn ask(&mut self, which: usize) -> Asked {
        let list = self.versions(&self.list(which, 2));
        let act = self.book.erase_act(&list);
        self.book.ask("olga", act)
    }

    fn put_case(&mut self, at: usize) {
        if self.known[at].case.is_some() {
            return;
        }
        // A case put once more on the same list would be the same statement, which counts once.
        self.cases += 1;
        self.known[at].case = Some(self.cases);
        let case = self.cases.to_string();
        self.book.put_case("oleg", &case, &[self.known[at].version]);
    }

    fn lift(&mut self, which: usize) {
        let at = self.living(which);
        let version = self.known[at].version;
        let scope = self.book.list(&[version]);
        let act = Act::ReleaseHold(ReleaseHold {
            case: Digest::of(self.known[at].case.unwrap_or(0).to_string().as_bytes()),
            scope,
            count: 1,
        });
        let asked = self.book.through("fay", &["anna"], act, 7 * DAY);
        self.known[at].case = None;
        if self.known[at].hold {
            self.book.hold(&version, false);
            self.known[at].hold = false;
        }
        self.book.enacted(asked.index);
    }

    fn erase(&mut self, which: usize, count: usize, early: bool) {
        let list = self.list(which, count);
        let mut erase = self.book.erase(&self.versions(&list));
        erase.governance = early;
        let approvers: &[&str] = if early { &["finn", "anke"] } else { &["anke"] };
        let asked = self
            .book
            .through("olga", approvers, Act::Erase(erase), 72 * HOUR);
        let free: Vec<usize> = list
            .into_iter()
            .filter(|at| self.free(*at, early))
            .collect();
        self.book.tombstone(&asked, &self.versions(&free));
        free.iter().for_each(|at| self.known[*at].gone = true);
        self.generation += 1;
        self.book.destroyed(asked.index, self.generation);
    }

    fn enrol(&mut self, number: u8) {
        if self.enrolled.contains(&number) {
            return;
        }
        self.enrolled.push(number);
        let person = format!("new-{number}");
        let key = self.book.public(&person);
        let act = Act::Enrol {
            person: name(&person),
            role: Role::ALL[usize::from(number)],
            key,
        };
        self.book.through("finn", &["axel"], act, 8 * DAY);
    }

    fn suspend(&mut self) {
        let person = name("oleg-2");
        if self.suspended {
            return;
        }
        self.suspended = true;
        let key = self.book.public("oleg-2");
        let enrol = Act::Enrol {
            person: person.clone(),
            role: Role::Operator,
            key,
        };
        self.book.through("fay", &["anna"], enrol, 7 * DAY);
        self.book
            .through("anna", &["fay"], Act::Suspend { person }, 0);
    }
}

/// A rule that is broken, and what it is called.
#[derive(Clone, Copy, Debug)]
enum Breaking {
    NoRequest,
    NoApproval,
    TooEarly,
    OffScope,
    Compliance,
    Held,
    Case,
    Shortened,
    Lowered,
    Lifted,
    OwnApproval,
    Touch,
    Forged,
    KeysOfNothing,
}

const BREAKINGS: [(Breaking, &str); 14] = [
    (Breaking::NoRequest, "tombstone-without-request"),
    (Breaking::NoApproval, "tombstone-unapproved"),
    (Breaking::TooEarly, "execute-early"),
    (Breaking::OffScope, "tombstone-off-scope"),
    (Breaking::Compliance, "tombstone-compliance"),
    (Breaking::Held, "tombstone-hold"),
    (Breaking::Case, "tombstone-hold"),
    (Breaking::Shortened, "retention-shortened"),
    (Breaking::Lowered, "mode-lowered"),
    (Breaking::Lifted, "hold-lifted"),
    (Breaking::OwnApproval, "approver-is-requester"),
    (Breaking::Touch, "signature-without-person"),
    (Breaking::Forged, "signature-invalid"),
    (Breaking::KeysOfNothing, "destroyed-nothing"),
];

impl History {
    /// Breaks one rule with versions of its own, so that what follows stays lawful.
    fn break_rule(&mut self, breaking: Breaking) -> LogIndex {
        let until = self.book.now + 90 * DAY;
        let locked = self.book.stored(LockMode::Compliance, until, false);
        let book = &mut self.book;
        let plain = [book.version(), book.version()];
        match breaking {
            Breaking::NoRequest => book.tombstone(&NOTHING, &plain[..1]),
            Breaking::NoApproval => {
                let act = book.erase_act(&plain[..1]);
                let asked = book.ask("olga", act);
                book.tombstone(&asked, &plain[..1])
            }
            Breaking::TooEarly => {
                let act = book.erase_act(&plain[..1]);
                let asked = book.ask("olga", act);
                book.answer("anke", Verb::Approve, &asked);
                book.wait(72 * HOUR - 1);
                book.answer("olga", Verb::Execute, &asked)
            }
            Breaking::OffScope => self.destroy_other(&plain[..1], &plain[1..]),
            Breaking::Compliance => self.destroy_other(&[locked], &[locked]),
            Breaking::Held => {
                book.hold(&plain[0], true);
                self.destroy_other(&plain[..1], &plain[..1])
            }
            Breaking::Case => {
                book.put_case("olga", "another case", &plain[..1]);
                self.destroy_other(&plain[..1], &plain[..1])
            }
            Breaking::Shortened => book.retention(&locked, LockMode::Compliance, until - 1),
            Breaking::Lowered => book.retention(&locked, LockMode::Governance, until),
            Breaking::Lifted => {
                book.hold(&plain[0], true);
                book.hold(&plain[0], false)
            }
            Breaking::OwnApproval => {
                let act = book.erase_act(&plain[..1]);
                let asked = book.ask("olga", act);
                book.answer("olga", Verb::Approve, &asked)
            }
            Breaking::Touch => {
                book.token("olga").flags = 1;
                let act = book.erase_act(&plain[..1]);
                let asked = book.ask("olga", act);
                book.token("olga").flags = 5;
                asked.index
            }
            Breaking::Forged => {
                let act = book.erase_act(&plain[..1]);
                let text = book.text(stele_format::statement::Kind::Request(
                    book.request("olga", act),
                ));
                let mut signature = book.token("olga").sign(&text);
                let at = signature.len() - 20;
                signature[at] ^= 1;
                book.statement(text, vec![signature])
            }
            Breaking::KeysOfNothing => book.destroyed(NOTHING.index, self.generation),
        }
    }

    fn destroy_other(&mut self, listed: &[VersionRef], destroyed: &[VersionRef]) -> LogIndex {
        let act = self.book.erase_act(listed);
        let asked = self.book.through("olga", &["anke"], act, 72 * HOUR);
        self.book.tombstone(&asked, destroyed)
    }
}

const NOTHING: Asked = Asked {
    index: LogIndex::ZERO,
    digest: Digest::ZERO,
};

proptest! {
    #[test]
    fn what_keeps_the_rules_is_lawful(steps in proptest::collection::vec(step(), 0..40)) {
        let history = History::of(&steps);
        let gone = history.known.iter().filter(|known| known.gone).count() as u64;
        let held = history.known.iter().filter(|known| !known.gone && (known.hold || known.case.is_some()));
        let (held, now) = (held.count() as u64, history.book.now);
        let retained = history.known.iter().filter(|known| {
            !known.gone && known.mode != LockMode::None && known.until > now
        });
        // The last record may be older than the last wait.
        let retained = retained.count() as u64;
        let mut book = history.book;
        book.version();
        let report = book.report();
        prop_assert!(report.unlawful.is_empty(), "{:#?}", report.unlawful);
        prop_assert!(now >= BEGIN);
        prop_assert_eq!(report.verdict, 0);
        prop_assert_eq!(report.retention.destroyed, gone);
        prop_assert_eq!(report.holds.versions, held);
        prop_assert_eq!(report.retention.retained, retained);
        prop_assert!(report.destructions.iter().all(|line| line.lawful && line.complete));
    }

    #[test]
    fn one_broken_rule_is_found_and_named(
        before in proptest::collection::vec(step(), 0..12),
        after in proptest::collection::vec(step(), 0..12),
        which in 0..BREAKINGS.len(),
    ) {
        let (breaking, rule) = BREAKINGS[which];
        let mut history = History::of(&before);
        let index = history.break_rule(breaking);
        history.book.wait(1);
        after.iter().for_each(|step| history.take(step));
        let report = history.book.report();
        prop_assert_eq!(report.verdict, 1);
        let found: Vec<_> = report.unlawful.iter().map(|line| (line.name, line.index)).collect();
        prop_assert_eq!(found, [(rule, index.get())]);
    }
}
