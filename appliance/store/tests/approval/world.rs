//! A vault's people with their keys, and a log that holds nothing but their statements.

use std::sync::OnceLock;

use stele_format::Digest;
use stele_format::sshsig::PublicKey;
use stele_format::statement::{
    Act, Answer, ClientKey, Cut, Erase, Found, FoundKey, GrantRights, Head, Hold, Kind, Name,
    Nonce, Origin, ReleaseHold, Request, Review, Role, Second, SpecialRights, Statement, Verb,
};
use stele_format::tree::TreeHash;
use stele_format::units::{LogIndex, PoolId, UnixMillis};
use stele_store::policy::approval::{
    Accepted, Applied, Approvals, Recorded, RecordedStatement, StatementRefusal, VaultFacts,
    verified,
};
use stele_store::policy::limits::{DAY_MS, HOUR_MS};

use crate::authenticator::{SoftKey, UP, UV, Wish};

pub const START: u64 = 1_800_000_000_000;
pub const SCOPE: Digest = Digest([5; 32]);

/// The people every test begins with: two of each role that acts.
pub const FOUNDERS: [(&str, Role, u64); 9] = [
    ("oona", Role::Operator, 1),
    ("otis", Role::Operator, 2),
    ("anna", Role::Approver, 3),
    ("arno", Role::Approver, 4),
    ("axel", Role::Approver, 5),
    ("fred", Role::Officer, 6),
    ("fran", Role::Officer, 7),
    ("carl", Role::Custodian, 8),
    ("uwe", Role::Auditor, 9),
];

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn public(key: &SoftKey) -> PublicKey {
    PublicKey::from_blob(&key.blob("ssh:")).unwrap()
}

pub fn origin() -> Origin {
    Origin::of(PoolId::new([3; 16]))
}

pub fn second(ms: u64) -> Second {
    Second::of(UnixMillis::new(ms)).unwrap()
}

/// The fold, a clock and the next record.
#[derive(Clone)]
pub struct World {
    pub fold: Approvals,
    pub now: u64,
    /// By so much the wall clock is ahead.
    pub wall_ahead: u64,
    pub next: u64,
    pub facts: VaultFacts,
    pub log: Vec<RecordedStatement>,
    nonce: u64,
    counter: u32,
}

pub type Outcome<T = Applied> = Result<T, StatementRefusal>;

impl World {
    /// A vault without people.
    pub fn empty() -> World {
        World {
            fold: Approvals::new(origin(), true),
            now: START,
            wall_ahead: 30 * DAY_MS,
            next: 10,
            facts: VaultFacts {
                versions: 100_000,
                scope_count: Some(10),
            },
            log: Vec::new(),
            nonce: 0,
            counter: 0,
        }
    }

    /// A vault with the founders.
    pub fn founded() -> World {
        static FOUNDED: OnceLock<World> = OnceLock::new();
        FOUNDED.get_or_init(World::found).clone()
    }

    fn found() -> World {
        let mut world = World::empty();
        let kind = Kind::Found(founding(&FOUNDERS));
        let keys: Vec<SoftKey> = FOUNDERS
            .iter()
            .map(|(.., seed)| SoftKey::new(*seed))
            .collect();
        let keys: Vec<&SoftKey> = keys.iter().collect();
        world.state(kind, &keys).unwrap();
        world.after_hours(24 * 100);
        world
    }

    pub fn after_hours(&mut self, hours: u64) {
        self.now += hours * HOUR_MS;
    }

    pub fn after_days(&mut self, days: u64) {
        self.now += days * DAY_MS;
    }

    pub fn time(&self) -> UnixMillis {
        UnixMillis::new(self.now)
    }

    fn at(&self) -> Recorded {
        Recorded {
            log_index: LogIndex::new(self.next),
            compliance: self.time(),
            wall: UnixMillis::new(self.now + self.wall_ahead),
        }
    }

    pub fn wish(&mut self) -> Wish<'static> {
        self.counter += 1;
        Wish {
            counter: self.counter,
            flags: UP | UV,
            ..Wish::default()
        }
    }

    pub fn nonce(&mut self) -> Nonce<16> {
        self.nonce += 1;
        Nonce(u128::from(self.nonce).to_be_bytes())
    }

    /// Signs, judges and, if it counts, records. Judging and taking in must agree, and a refusal must change
    /// nothing.
    pub fn state(&mut self, kind: Kind, keys: &[&SoftKey]) -> Outcome {
        let text = Statement::new(origin(), kind).unwrap().to_text();
        let wish = self.wish();
        let signatures = keys
            .iter()
            .map(|key| key.sign_as(text.as_bytes(), &wish))
            .collect();
        self.submit(text, signatures)
    }

    pub fn submit(&mut self, text: String, signatures: Vec<Vec<u8>>) -> Outcome {
        let before = self.fold.clone();
        let recorded = RecordedStatement {
            at: self.at(),
            facts: self.facts,
            text,
            signatures,
        };
        let judged = verified(&recorded.text, &recorded.signatures).and_then(|(statement, by)| {
            self.fold
                .judge(&statement, &by, recorded.at, recorded.facts)
        });
        let applied = self.fold.apply(&recorded);
        match (&judged, &applied) {
            (Ok(accepted), Ok(applied)) => {
                assert_eq!(*accepted, applied.accepted);
                self.next += 1;
                self.log.push(recorded);
            }
            (Err(a), Err(b)) => {
                assert_eq!(a, b);
                assert_eq!(self.fold, before, "a refusal changes nothing");
            }
            _ => panic!("judged {judged:?}, applied {applied:?}"),
        }
        applied
    }

    /// A request by somebody: its record and digest.
    pub fn request(&mut self, by: (&str, u64), act: Act) -> Outcome<(LogIndex, Digest)> {
        let request = Request {
            act,
            head: Head {
                size: self.next,
                root: TreeHash([1; 32]),
            },
            nonce: self.nonce(),
            reason: Digest([9; 32]),
            by: name(by.0),
        };
        let kind = Kind::Request(request);
        let digest = Statement::new(origin(), kind.clone()).unwrap().digest();
        let index = LogIndex::new(self.next);
        self.state(kind, &[&SoftKey::new(by.1)])?;
        Ok((index, digest))
    }

    pub fn answer(
        &mut self,
        verb: Verb,
        by: (&str, u64),
        request: (LogIndex, Digest),
    ) -> Outcome<Accepted> {
        let kind = Kind::Answer(Answer {
            verb,
            request: request.0,
            digest: request.1,
            by: name(by.0),
        });
        Ok(self.state(kind, &[&SoftKey::new(by.1)])?.accepted)
    }

    pub fn approve(&mut self, by: (&str, u64), request: (LogIndex, Digest)) -> Outcome<Accepted> {
        self.answer(Verb::Approve, by, request)
    }

    pub fn veto(&mut self, by: (&str, u64), request: (LogIndex, Digest)) -> Outcome<Accepted> {
        self.answer(Verb::Veto, by, request)
    }

    pub fn execute(&mut self, by: (&str, u64), request: (LogIndex, Digest)) -> Outcome<Accepted> {
        self.answer(Verb::Execute, by, request)
    }

    /// An act about people, all the way.
    pub fn carry_out(&mut self, act: Act, officer: (&str, u64), approver: (&str, u64)) -> Outcome {
        let request = self.request(officer, act)?;
        let accepted = self.approve(approver, request)?;
        if let Accepted::Approved(_) = accepted {
            self.after_days(7);
            self.execute(officer, request)?;
        }
        Ok(Applied {
            accepted,
            alarms: Vec::new(),
            died: Vec::new(),
            suspended: Vec::new(),
        })
    }

    pub fn hold(&mut self, by: (&str, u64)) -> Outcome<Accepted> {
        let kind = Kind::Hold(Hold {
            case: Digest([0xca; 32]),
            scope: SCOPE,
            count: 10,
            nonce: self.nonce(),
            by: name(by.0),
        });
        Ok(self.state(kind, &[&SoftKey::new(by.1)])?.accepted)
    }

    pub fn review(&mut self, by: (&str, u64)) -> Outcome {
        let kind = Kind::Review(Review {
            head: Head {
                size: self.next,
                root: TreeHash([1; 32]),
            },
            nonce: self.nonce(),
            by: name(by.0),
        });
        self.state(kind, &[&SoftKey::new(by.1)])
    }

    /// Everything again from the log alone.
    pub fn replayed(&self) -> Approvals {
        let mut fold = Approvals::new(origin(), true);
        for recorded in &self.log {
            fold.apply(recorded).unwrap();
        }
        fold
    }
}

pub fn founding(people: &[(&str, Role, u64)]) -> Found {
    Found {
        keys: people
            .iter()
            .map(|(who, role, seed)| FoundKey {
                person: name(who),
                role: *role,
                key: public(&SoftKey::new(*seed)),
            })
            .collect(),
        policies: Vec::new(),
    }
}

pub fn erase_of(count: u64, governance: bool) -> Act {
    Act::Erase(Erase {
        scope: SCOPE,
        count,
        bytes: 1 << 30,
        cut: Cut::Leaves,
        governance,
        oldest: second(START - DAY_MS),
        newest: second(START),
        latest_retention: None,
    })
}

pub fn erase() -> Act {
    erase_of(10, false)
}

pub fn enrol(who: &str, role: Role, seed: u64) -> Act {
    Act::Enrol {
        person: name(who),
        role,
        key: public(&SoftKey::new(seed)),
    }
}

pub fn suspend(who: &str) -> Act {
    Act::Suspend { person: name(who) }
}

pub fn release_hold() -> Act {
    Act::ReleaseHold(ReleaseHold {
        case: Digest([4; 32]),
        scope: SCOPE,
        count: 10,
    })
}

pub fn grant(until: u64) -> Act {
    Act::Grant(GrantRights {
        client: ClientKey::new("STELE1").unwrap(),
        rights: SpecialRights {
            hold_off: true,
            governance_bypass: false,
            lock_admin: false,
        },
        until: second(until),
    })
}
