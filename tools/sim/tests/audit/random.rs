//! A life of a vault in which people try whatever comes: what the vault lets them do the auditor calls lawful, and both
//! read the same people, requests, holds and destructions out of one log.

use std::cell::Cell;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use stele_format::digest::Digest;
use stele_format::sshsig::PublicKey;
use stele_format::statement::{Act, Cut, Kind, ReleaseHold, Role, Verb};
use stele_format::units::{LogIndex, UnixMillis, VersionId};
use stele_inspect::verdict::Verdict;
use stele_inspect::verify;
use stele_store::policy::approval::{Accepted, RequestState};
use stele_store::policy::{Mode, Retention};
use stele_store::request::{Answer, Command, PeopleView, Refusal};

use crate::image::images;
use crate::support::steps::turns;
use crate::support::{Rig, Running, name};
use crate::world::{
    DAY_MS, FOUNDERS, LATER, census, founded, key_of, list, person, put_as, request, say, state,
    view, work_off,
};
use crate::{audited, destroyed, grant_for, hold_of, lower_default, same, session_of};

const HOUR_MS: u64 = DAY_MS / 24;
/// Lives, each of its own vault.
const LIVES: u32 = 128;

/// Somebody, by number; the last may not be enrolled.
type Who = usize;

#[derive(Debug, Clone, Copy)]
enum Ask {
    Erase {
        which: usize,
        count: usize,
        early: bool,
    },
    Month {
        which: usize,
        count: usize,
    },
    Release {
        which: usize,
    },
    Suspend(Who),
    Resume(Who),
    Remove(Who),
    Enrol(Role),
    Policy(u64),
    Grant {
        days: u64,
    },
    Default,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Store {
        mode: Option<Mode>,
        days: u64,
    },
    Lock {
        which: usize,
        mode: Option<Mode>,
        days: u64,
    },
    Hold {
        which: usize,
        on: bool,
    },
    Case {
        by: Who,
        which: usize,
        count: usize,
        case: u8,
    },
    Ask {
        by: Who,
        ask: Ask,
    },
    Answer {
        verb: Verb,
        by: Who,
        to: usize,
    },
    /// From the request to its end, as the rules may want it or not.
    Through {
        ask: Ask,
        officer: bool,
        both: bool,
        hours: u64,
    },
    Work {
        to: usize,
    },
    Session {
        by: Who,
    },
    Wait {
        hours: u64,
    },
    Restart {
        clean: bool,
    },
}

fn mode() -> impl Strategy<Value = Option<Mode>> {
    prop_oneof![
        Just(None),
        Just(Some(Mode::Governance)),
        Just(Some(Mode::Compliance))
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let who = || 0..=FOUNDERS.len();
    let which = || 0..20usize;
    prop_oneof![
        6 => (which(), 1..5usize, any::<bool>())
            .prop_map(|(which, count, early)| Ask::Erase { which, count, early }),
        2 => (which(), 1..5usize).prop_map(|(which, count)| Ask::Month { which, count }),
        2 => which().prop_map(|which| Ask::Release { which }),
        1 => who().prop_map(Ask::Suspend),
        1 => who().prop_map(Ask::Resume),
        1 => who().prop_map(Ask::Remove),
        1 => (0..Role::ALL.len()).prop_map(|role| Ask::Enrol(Role::ALL[role])),
        1 => (70..100u64).prop_map(Ask::Policy),
        1 => (1..100u64).prop_map(|days| Ask::Grant { days }),
        1 => Just(Ask::Default),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..=FOUNDERS.len();
    let which = || 0..20usize;
    let hours = || prop_oneof![1..60u64, 71..74u64, 160..175u64];
    let verb = prop_oneof![
        4 => Just(Verb::Approve),
        3 => Just(Verb::Execute),
        1 => Just(Verb::Veto),
    ];
    prop_oneof![
        4 => (mode(), 1..20u64).prop_map(|(mode, days)| Step::Store { mode, days }),
        1 => (which(), mode(), 1..20u64)
            .prop_map(|(which, mode, days)| Step::Lock { which, mode, days }),
        1 => (which(), any::<bool>()).prop_map(|(which, on)| Step::Hold { which, on }),
        2 => (who(), which(), 1..4usize, 0..3u8)
            .prop_map(|(by, which, count, case)| Step::Case { by, which, count, case }),
        3 => (who(), ask()).prop_map(|(by, ask)| Step::Ask { by, ask }),
        6 => (verb, who(), 0..4usize).prop_map(|(verb, by, to)| Step::Answer { verb, by, to }),
        6 => (ask(), any::<bool>(), weighted(0.8), prop_oneof![1 => hours(), 3 => Just(170)])
            .prop_map(|(ask, officer, both, hours)| Step::Through { ask, officer, both, hours }),
        1 => (0..4usize).prop_map(|to| Step::Work { to }),
        1 => who().prop_map(|by| Step::Session { by }),
        3 => hours().prop_map(|hours| Step::Wait { hours }),
        1 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
    ]
}

fn named(who: Who) -> &'static str {
    FOUNDERS.get(who).map_or(LATER.0, |(name, ..)| name)
}

/// One vault, and what was done with it.
struct Life {
    rig: Rig,
    vault: Option<Running>,
    stored: usize,
    /// Placed holds: case and list.
    placed: Vec<(Digest, Digest, u64)>,
}

impl Life {
    fn new() -> Self {
        let (rig, mut vault) = founded(3);
        vault.bucket("b", true);
        let mut life = Self {
            rig,
            vault: Some(vault),
            stored: 0,
            placed: Vec::new(),
        };
        life.store(None, 0);
        life.store(Some(Mode::Compliance), 1);
        life.store(Some(Mode::Governance), 900);
        life
    }

    fn vault(&mut self) -> &mut Running {
        self.vault.as_mut().unwrap()
    }

    fn view(&mut self) -> PeopleView {
        view(self.vault())
    }

    /// Some that are not destroyed.
    fn living(&mut self, which: usize, count: usize) -> Vec<VersionId> {
        let mut rows = census(self.vault());
        rows.sort_by_key(|row| row.version.ordinal());
        let from = which % rows.len().max(1);
        let some = rows[from..].iter().take(count);
        some.map(|row| row.version).collect()
    }

    /// What the vault says to a step matters to the auditor alone.
    fn take(&mut self, step: Step) {
        match step {
            Step::Store { mode, days } => self.store(mode, days),
            Step::Lock { which, mode, days } => self.lock(which, mode, days),
            Step::Hold { which, on } => {
                if let Some((name, version)) = self.one(which) {
                    let version = Some(version);
                    let _ = self.vault().ask(Command::SetHold { name, version, on });
                }
            }
            Step::Case {
                by,
                which,
                count,
                case,
            } => self.case(by, which, count, case),
            Step::Ask { by, ask } => {
                let _ = self.ask(by, ask);
            }
            Step::Answer { verb, by, to } => {
                if let Some(request) = self.newest(to) {
                    let said = say(self.vault(), verb, request, named(by));
                    self.after(request, said);
                }
            }
            Step::Through {
                ask,
                officer,
                both,
                hours,
            } => self.through(ask, officer, both, hours),
            Step::Work { to } => {
                if let Some(request) = self.newest(to) {
                    self.carry_out(request);
                }
            }
            Step::Session { by } => self.session(by),
            Step::Wait { hours } => self.vault().sleep(hours * HOUR_MS),
            Step::Restart { clean } => self.restart(clean),
        }
    }

    fn store(&mut self, mode: Option<Mode>, days: u64) {
        self.stored += 1;
        let (seed, key) = (self.stored, format!("o{}", self.stored));
        let lock = mode.map(|mode| (mode, days));
        put_as(self.vault(), &name("b", &key), seed, 100, lock);
    }

    /// One by its name, which is that of its number.
    fn one(&mut self, which: usize) -> Option<(stele_store::request::ObjectName, VersionId)> {
        let key = 1 + which % self.stored.max(1);
        let name = name("b", &format!("o{key}"));
        let head = Command::Head {
            name: name.clone(),
            version: None,
        };
        match self.vault().ask(head) {
            Ok(Answer::Object(found)) => Some((name, found.version)),
            _ => None,
        }
    }

    fn lock(&mut self, which: usize, mode: Option<Mode>, days: u64) {
        let until = UnixMillis::new(self.view().time.lock.get() + days * DAY_MS);
        let Some((name, version)) = self.one(which) else {
            return;
        };
        let _ = self.vault().ask(Command::SetRetention {
            name,
            version: Some(version),
            retention: mode.map(|mode| Retention { mode, until }),
            bypass: true,
        });
    }

    fn case(&mut self, by: Who, which: usize, count: usize, case: u8) {
        let versions = self.living(which, count);
        if versions.is_empty() {
            return;
        }
        let hold = hold_of(self.vault(), Digest::of(&[case]), &versions, named(by));
        let placed = (hold.case, hold.scope, hold.count);
        if let Ok((statement, Accepted::Held)) = state(self.vault(), Kind::Hold(hold), &[named(by)])
        {
            self.work(|ordinal| Command::PlaceHolds { statement, ordinal });
            self.placed.push(placed);
        }
    }

    fn session(&mut self, by: Who) {
        let kind = session_of(self.vault(), named(by));
        let _ = state(self.vault(), kind, &[named(by)]);
    }

    fn ask(&mut self, by: Who, ask: Ask) -> Option<LogIndex> {
        let act = self.act(ask)?;
        request(self.vault(), act, named(by)).ok()
    }

    fn act(&mut self, ask: Ask) -> Option<Act> {
        let person = |who| person(named(who));
        Some(match ask {
            Ask::Erase {
                which,
                count,
                early,
            } => self.erase(which, count, Cut::Leaves, early)?,
            Ask::Month { which, count } => {
                let first = *self.living(which, count).first()?;
                let rows = census(self.vault());
                let row = rows.iter().find(|row| row.version == first)?;
                let month = row.leaf.parts()?.month;
                self.erase(which, count, Cut::Month(month), false)?
            }
            Ask::Release { which } => {
                let (case, scope, count) = *self.placed.get(which % self.placed.len().max(1))?;
                Act::ReleaseHold(ReleaseHold { case, scope, count })
            }
            Ask::Suspend(who) => Act::Suspend {
                person: person(who),
            },
            Ask::Resume(who) => Act::Resume {
                person: person(who),
            },
            Ask::Remove(who) => Act::Remove {
                person: person(who),
            },
            Ask::Enrol(role) => Act::Enrol {
                person: person(FOUNDERS.len()),
                role,
                key: PublicKey::from_blob(&key_of(LATER.0).blob("ssh:")).unwrap(),
            },
            Ask::Policy(hours) => Act::Policy {
                name: crate::person("erase-cooling-hours"),
                value: crate::person(&hours.to_string()),
            },
            Ask::Grant { days } => grant_for(self.vault(), days),
            Ask::Default => lower_default(self.vault()),
        })
    }

    fn erase(&mut self, which: usize, count: usize, cut: Cut, early: bool) -> Option<Act> {
        let versions = self.living(which, count);
        let any = !versions.is_empty();
        any.then(|| Act::Erase(list(self.vault(), &versions, cut, early)))
    }

    fn newest(&mut self, to: usize) -> Option<LogIndex> {
        let requests = self.view().requests;
        requests.iter().rev().nth(to).map(|one| one.request)
    }

    fn through(&mut self, ask: Ask, officer: bool, both: bool, hours: u64) {
        let erases = matches!(ask, Ask::Erase { .. } | Ask::Month { .. });
        let by = if erases { "oona" } else { "sara" };
        let Some(act) = self.act(ask) else { return };
        let Ok(asked) = request(self.vault(), act, by) else {
            return;
        };
        let approvers = [("anna", true), ("axel", both), ("sven", officer)];
        for (approver, _) in approvers.iter().filter(|(_, says)| *says) {
            let said = say(self.vault(), Verb::Approve, asked, approver);
            self.after(asked, said);
        }
        self.vault().sleep(hours * HOUR_MS);
        for executor in ["oona", "sara"] {
            let said = say(self.vault(), Verb::Execute, asked, executor);
            self.after(asked, said);
        }
    }

    fn after(&mut self, request: LogIndex, said: Result<Accepted, Refusal>) {
        if matches!(said, Ok(Accepted::Executed(_) | Accepted::TookEffect(_))) {
            turns(self.vault());
            self.carry_out(request);
        }
    }

    fn carry_out(&mut self, request: LogIndex) {
        let requests = self.view().requests;
        let Some(one) = requests.iter().find(|one| one.request == request) else {
            return;
        };
        match &one.act {
            Act::Erase(erase) => {
                if let Cut::Month(_) = erase.cut {
                    self.rehome(request);
                }
                let _ = work_off(self.vault(), request);
            }
            Act::ReleaseHold(_) => self.work(|ordinal| Command::ReleaseHolds { request, ordinal }),
            _ => {}
        }
        turns(self.vault());
    }

    fn rehome(&mut self, request: LogIndex) {
        let mut after = None;
        while let Ok(Answer::Rehomed { resume, .. }) =
            self.vault().ask(Command::Rehome { request, after })
        {
            after = resume;
            if after.is_none() {
                return;
            }
        }
    }

    fn work(&mut self, command: impl Fn(u32) -> Command) {
        for ordinal in 0.. {
            match self.vault().ask(command(ordinal)) {
                Ok(Answer::Held { last: false, .. }) => {}
                _ => return,
            }
        }
    }

    fn restart(&mut self, clean: bool) {
        let now = self.view().now;
        let vault = self.vault.take().unwrap();
        if clean {
            vault.stop();
        } else {
            drop(vault);
            self.rig.crash();
        }
        self.rig.clock_ms = now.get();
        let mut vault = self.rig.start();
        turns(&mut vault);
        self.vault = Some(vault);
    }

    /// The vault and the auditor say the same of it all; versions destroyed, and requests that ended without an effect.
    fn agrees(mut self) -> (u64, usize) {
        // Its start is the last record, so that both judge at one moment.
        self.restart(true);
        let view = self.view();
        let erased = view
            .requests
            .iter()
            .filter(|one| matches!(one.act, Act::Erase(_)))
            .map(|one| (one.request.get(), destroyed(self.vault(), one.request)))
            .filter(|(_, versions)| *versions > 0)
            .collect::<Vec<_>>();
        self.vault.take().unwrap().stop();
        let report = audited(&self.rig);
        let wrong = (&report.unlawful, &report.damage, &report.by_right);
        assert_eq!(report.verdict, 0, "{wrong:#?}");
        same::people(&view, &report);
        same::requests(&view, &report);
        same::protection(&view, &report);
        let lines = report.destructions.iter();
        let lines = lines.map(|line| (line.request, line.versions));
        let lines: Vec<(u64, u64)> = lines.filter(|(_, versions)| *versions > 0).collect();
        assert_eq!(lines, erased);
        assert!(report.destructions.iter().all(|line| line.lawful));
        let verified = verify(&images(&self.rig), std::time::Duration::ZERO).unwrap();
        assert_eq!(verified.verdict, Verdict::Clean, "{verified:#?}");
        let ended = [
            RequestState::Vetoed,
            RequestState::Expired,
            RequestState::Dead,
        ];
        let over = view
            .requests
            .iter()
            .filter(|one| ended.contains(&one.state));
        (report.retention.destroyed, over.count())
    }
}

#[test]
fn o9_whatever_people_try_the_vault_and_the_auditor_agree_on_what_came_of_it() {
    let seen = Cell::new((0, 0));
    let config = Config {
        cases: LIVES,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let lives = vec(step(), 1..60);
    let outcome = TestRunner::new(config).run(&lives, |steps| {
        let mut life = Life::new();
        steps.into_iter().for_each(|step| life.take(step));
        let (destroyed, over) = life.agrees();
        let (before, ended) = seen.get();
        seen.set((before + destroyed, ended + over));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let (destroyed, over) = seen.get();
    assert!(destroyed > 0 && over > 0, "{destroyed} {over}");
}
