//! O3: the state machine against a small model of it, written from the rules alone, and the log replayed.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stele_format::Digest;
use stele_format::statement::{Role, Verb};
use stele_format::units::LogIndex;
use stele_store::policy::approval::{RequestState, StatementRefusal};

use crate::world::{FOUNDERS, World, erase_of, suspend};

#[derive(Debug, Clone, Copy)]
enum Step {
    Request {
        by: usize,
        count: u64,
        governance: bool,
    },
    Answer {
        verb: Verb,
        by: usize,
        to: usize,
    },
    Suspend {
        by: usize,
        with: usize,
        who: usize,
    },
    Wait {
        hours: u64,
    },
    Replay {
        of: usize,
    },
    Edit {
        of: usize,
        at: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let person = || 0..FOUNDERS.len();
    let verb = prop_oneof![
        6 => Just(Verb::Approve),
        4 => Just(Verb::Execute),
        1 => Just(Verb::Veto),
    ];
    let step = prop_oneof![
        3 => (0..4usize, prop_oneof![Just(10), Just(1001)], any::<bool>())
            .prop_map(|(by, count, governance)| Step::Request { by, count, governance }),
        9 => (verb, person(), 0..4usize).prop_map(|(verb, by, to)| Step::Answer { verb, by, to }),
        1 => (person(), person(), person())
            .prop_map(|(by, with, who)| Step::Suspend { by, with, who }),
        4 => prop_oneof![1..60u64, 60..80u64, 160..175u64].prop_map(|hours| Step::Wait { hours }),
        1 => (0..20usize).prop_map(|of| Step::Replay { of }),
        1 => (0..20usize, 0..600usize).prop_map(|(of, at)| Step::Edit { of, at }),
    ];
    vec(step, 1..60)
}

const HOUR: u64 = 3_600_000;

struct Modelled {
    record: (LogIndex, Digest),
    requested: u64,
    approvers: u64,
    officers: u64,
    rest: u64,
    support: Vec<usize>,
    approved: Option<u64>,
    over: bool,
}

/// Who is suspended, and the requests.
#[derive(Default)]
struct Model {
    suspended: Vec<usize>,
    requests: Vec<Modelled>,
}

impl Model {
    fn role(&self, who: usize) -> Option<Role> {
        (!self.suspended.contains(&who)).then(|| FOUNDERS[who].1)
    }

    fn left(&self, role: Role) -> usize {
        (0..FOUNDERS.len())
            .filter(|who| self.role(*who) == Some(role))
            .count()
    }

    fn answer(&mut self, verb: Verb, by: usize, to: usize, now: u64) -> bool {
        let role = self.role(by);
        let Some(request) = self.requests.get_mut(to) else {
            return false;
        };
        let waiting = now < request.requested + 72 * HOUR;
        let from = request.approved.map(|at| at + request.rest * HOUR);
        let open = match from {
            None => waiting,
            Some(from) => now < from + 72 * HOUR,
        };
        if request.over || !open {
            return false;
        }
        let count = |support: &[usize], role| {
            let of = |who: &&usize| FOUNDERS[**who].1 == role;
            u64::try_from(support[1..].iter().filter(of).count()).unwrap()
        };
        match (verb, role) {
            (Verb::Veto, Some(Role::Officer | Role::Approver | Role::Auditor)) => {
                request.over = true;
                true
            }
            (Verb::Approve, Some(role @ (Role::Officer | Role::Approver))) => {
                let need = if role == Role::Officer {
                    request.officers
                } else {
                    request.approvers
                };
                if from.is_some()
                    || count(&request.support, role) >= need
                    || request.support.contains(&by)
                {
                    return false;
                }
                request.support.push(by);
                let full = count(&request.support, Role::Officer) == request.officers
                    && count(&request.support, Role::Approver) == request.approvers;
                request.approved = full.then_some(now);
                true
            }
            (Verb::Execute, Some(Role::Operator | Role::Approver)) => {
                let due = from.is_some_and(|from| now >= from);
                request.over |= due;
                due
            }
            (Verb::Execute, Some(Role::Officer)) if request.officers > 0 => {
                let due = from.is_some_and(|from| now >= from);
                request.over |= due;
                due
            }
            _ => false,
        }
    }

    fn suspend(&mut self, by: usize, with: usize, who: usize) -> bool {
        let pair = (self.role(by), self.role(with));
        let may = matches!(
            pair,
            (Some(Role::Officer), Some(Role::Approver))
                | (Some(Role::Approver), Some(Role::Officer))
        );
        let least = match FOUNDERS[who].1 {
            Role::Operator => 1,
            Role::Approver | Role::Officer => 2,
            Role::Custodian | Role::Auditor => 0,
        };
        let Some(role) = self.role(who).filter(|_| may) else {
            return false;
        };
        if self.left(role) <= least {
            return false;
        }
        self.suspended.push(who);
        for request in &mut self.requests {
            request.over |= request.support.contains(&who);
        }
        true
    }
}

fn person(who: usize) -> (&'static str, u64) {
    (FOUNDERS[who].0, FOUNDERS[who].2)
}

/// One step in both; whether both say the same.
fn take(world: &mut World, model: &mut Model, step: Step) -> (bool, bool) {
    match step {
        Step::Wait { hours } => {
            world.after_hours(hours);
            (true, true)
        }
        Step::Request {
            by,
            count,
            governance,
        } => {
            world.facts.scope_count = Some(count);
            let made = world.request(person(by), erase_of(count, governance));
            let may = model.role(by) == Some(Role::Operator);
            if let Ok(record) = made {
                let large = count > 1000;
                model.requests.push(Modelled {
                    record,
                    requested: world.now,
                    approvers: if large { 2 } else { 1 },
                    officers: u64::from(governance),
                    rest: if large { 168 } else { 72 },
                    support: vec![by],
                    approved: None,
                    over: false,
                });
            }
            (made.is_ok(), may)
        }
        Step::Answer { verb, by, to } => {
            let record = model
                .requests
                .get(to)
                .map_or((LogIndex::new(1), Digest::ZERO), |r| r.record);
            let did = world.answer(verb, person(by), record).is_ok();
            (did, model.answer(verb, by, to, world.now))
        }
        Step::Suspend { by, with, who } => {
            let did = match world.request(person(by), suspend(FOUNDERS[who].0)) {
                Ok(record) => world.approve(person(with), record).is_ok(),
                Err(_) => false,
            };
            (did, model.suspend(by, with, who))
        }
        Step::Replay { of } => {
            let old = world.log[of % world.log.len()].clone();
            let outcome = world.submit(old.text, old.signatures);
            let used = matches!(outcome, Err(StatementRefusal::Used));
            (used, true)
        }
        Step::Edit { of, at } => {
            let old = world.log[of % world.log.len()].clone();
            let mut text = old.text.into_bytes();
            let at = at % text.len();
            text[at] ^= 1;
            let text = String::from_utf8(text).unwrap();
            let outcome = world.submit(text, old.signatures);
            let refused = matches!(
                outcome,
                Err(StatementRefusal::Text(_) | StatementRefusal::Signature(_))
            );
            (refused, true)
        }
    }
}

proptest! {
    #[test]
    fn o3_the_state_machine_does_what_a_model_of_the_rules_does(steps in steps()) {
        let (mut world, mut model) = (World::founded(), Model::default());
        for step in steps {
            let (did, expected) = take(&mut world, &mut model, step);
            prop_assert_eq!(did, expected, "{:?}", step);
        }
        for request in &model.requests {
            let state = world.fold.request(request.record.0, world.time()).unwrap().state;
            let executed = state == RequestState::Executing;
            prop_assert_eq!(world.fold.execute(request.record.0, world.time()).is_ok(), executed);
            prop_assert!(!executed || request.over);
        }
        prop_assert_eq!(world.replayed(), world.fold);
    }

    /// What no two people signed in time is never executed, whatever is tried.
    #[test]
    fn o3_nothing_is_executed_without_two_people(steps in steps()) {
        let (mut world, mut model) = (World::founded(), Model::default());
        for step in steps {
            take(&mut world, &mut model, step);
        }
        for view in world.fold.requests(world.time()) {
            if view.state != RequestState::Executing && view.state != RequestState::Executed {
                continue;
            }
            prop_assert!(!view.approved_by.is_empty());
            prop_assert!(view.missing.is_empty());
            for (name, role) in &view.approved_by {
                prop_assert!(*name != view.requested_by.0);
                prop_assert!(*role != view.requested_by.1);
            }
        }
    }
}
