//! Everything a client can do, in any order, against a small model: no version's protection gets weaker
//! except by a right that was granted, and what is locked stays readable.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{Mode, Retention, Rights};
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, NamedPart, ObjectName, Purpose, Refusal,
};
use support::{Rig, Running, content, name};

const START: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;
const BYTES: usize = 200;

/// A wished lock: mode and hours from the start (half past, so that clocks a second apart agree), hold.
type Wish = (Option<(bool, u8)>, Option<bool>);

#[derive(Debug, Clone)]
enum Act {
    Put {
        key: u8,
        lock: Wish,
    },
    Multipart {
        key: u8,
        lock: Wish,
    },
    /// What the gateway does for a copy: the content of a version as a new one, with a lock of its own.
    Copy {
        at: u8,
        key: u8,
        lock: Wish,
    },
    Marker {
        key: u8,
    },
    Delete {
        at: u8,
        bypass: bool,
    },
    DeleteMany {
        bypass: bool,
    },
    Retain {
        at: u8,
        to: Option<(bool, u8)>,
        bypass: bool,
    },
    Hold {
        at: u8,
        on: bool,
    },
    Tag {
        at: u8,
        value: u8,
    },
    DropBucket,
    Sleep {
        hours: u8,
    },
    Restart,
}

fn wish() -> impl Strategy<Value = Wish> {
    (
        option::of((any::<bool>(), 1..40_u8)),
        option::of(any::<bool>()),
    )
}

fn act() -> impl Strategy<Value = (Act, u8)> {
    let act = prop_oneof![
        3 => (0..2_u8, wish()).prop_map(|(key, lock)| Act::Put { key, lock }),
        2 => (0..2_u8, wish()).prop_map(|(key, lock)| Act::Multipart { key, lock }),
        1 => (any::<u8>(), 0..2_u8, wish()).prop_map(|(at, key, lock)| Act::Copy { at, key, lock }),
        1 => (0..2_u8).prop_map(|key| Act::Marker { key }),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(at, bypass)| Act::Delete { at, bypass }),
        1 => any::<bool>().prop_map(|bypass| Act::DeleteMany { bypass }),
        4 => (any::<u8>(), option::of((any::<bool>(), 0..60_u8)), any::<bool>())
            .prop_map(|(at, to, bypass)| Act::Retain { at, to, bypass }),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(at, on)| Act::Hold { at, on }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(at, value)| Act::Tag { at, value }),
        1 => (0..1_u8).prop_map(|_| Act::DropBucket),
        2 => (1..8_u8).prop_map(|hours| Act::Sleep { hours }),
        1 => (0..1_u8).prop_map(|_| Act::Restart),
    ];
    (act, 0..4_u8)
}

#[derive(Debug, Clone)]
struct Kept {
    name: ObjectName,
    seed: usize,
    retention: Option<Retention>,
    hold: Option<bool>,
    tags: Vec<(String, String)>,
}

fn retention((compliance, hours): (bool, u8)) -> Retention {
    Retention {
        mode: if compliance {
            Mode::Compliance
        } else {
            Mode::Governance
        },
        until: UnixMillis::new(START + u64::from(hours) * HOUR + HOUR / 2),
    }
}

struct World {
    rig: Rig,
    vault: Option<Running>,
    /// Hours since the start.
    hours: u64,
    versions: BTreeMap<VersionId, Kept>,
    next: usize,
}

impl World {
    fn new() -> Self {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", true);
        Self {
            rig,
            vault: Some(vault),
            hours: 0,
            versions: BTreeMap::new(),
            next: 0,
        }
    }

    fn vault(&mut self) -> &mut Running {
        self.vault.as_mut().unwrap()
    }

    fn holds(&self, retention: Option<Retention>) -> Option<Retention> {
        retention.filter(|r| r.until.get() > START + self.hours * HOUR)
    }

    fn pick(&self, at: u8) -> Option<(VersionId, Kept)> {
        let at = usize::from(at).checked_rem(self.versions.len())?;
        let (version, kept) = self.versions.iter().nth(at)?;
        Some((*version, kept.clone()))
    }

    /// The lock an upload asks for, and whether it may.
    fn wished(&self, (until, hold): Wish) -> (LockWish, bool) {
        let retention = until.map(retention);
        let fine = retention == self.holds(retention);
        (LockWish { retention, hold }, fine)
    }

    fn store(&mut self, key: u8, lock: Wish, parts: bool, seed: usize) {
        let (wish, fine) = self.wished(lock);
        let name = name("b", &format!("k{key}"));
        let stored = if parts {
            multipart(self.vault(), &name, wish, seed)
        } else {
            put(self.vault(), &name, wish, seed)
        };
        assert_eq!(stored.is_ok(), fine, "{lock:?}");
        if let Ok(version) = stored {
            let kept = Kept {
                name,
                seed,
                retention: wish.retention,
                // OFF given with an upload is as if nothing was said.
                hold: wish.hold.filter(|on| *on),
                tags: Vec::new(),
            };
            self.versions.insert(version, kept);
        }
    }

    fn delete(&mut self, version: VersionId, bypass: bool, rights: Rights) {
        let kept = self.versions[&version].clone();
        let retention = self.holds(kept.retention);
        let free = match retention {
            None => true,
            Some(retention) => {
                retention.mode == Mode::Governance && bypass && rights.governance_bypass
            }
        };
        let may = free && kept.hold != Some(true);
        let command = Command::Delete {
            name: kept.name,
            version: Some(version),
            bypass,
        };
        let result = self.vault().ask(command);
        assert_eq!(
            result.is_ok(),
            may,
            "{retention:?} {:?} {bypass}",
            kept.hold
        );
        if may {
            self.versions.remove(&version);
        }
    }

    fn retain(&mut self, at: u8, to: Option<(bool, u8)>, bypass: bool, rights: Rights) {
        let Some((version, kept)) = self.pick(at) else {
            return;
        };
        let wanted = to.map(retention);
        let dated = wanted == self.holds(wanted);
        let extends = |holding: Retention| {
            wanted.is_some_and(|w| w.mode == holding.mode && w.until >= holding.until)
        };
        let allowed = match self.holds(kept.retention) {
            None => true,
            Some(holding) => {
                let bypassed = bypass && rights.governance_bypass;
                extends(holding) || (holding.mode == Mode::Governance && bypassed)
            }
        };
        let command = Command::SetRetention {
            name: kept.name,
            version: Some(version),
            retention: wanted,
            bypass,
        };
        let result = self.vault().ask(command);
        assert_eq!(
            result.is_ok(),
            dated && allowed,
            "{:?} {wanted:?}",
            kept.retention
        );
        if result.is_ok() {
            self.versions.get_mut(&version).unwrap().retention = wanted;
        }
    }

    fn hold(&mut self, at: u8, on: bool, rights: Rights) {
        let Some((version, kept)) = self.pick(at) else {
            return;
        };
        let may = on || kept.hold != Some(true) || rights.hold_off;
        let command = Command::SetHold {
            name: kept.name,
            version: Some(version),
            on,
        };
        assert_eq!(
            self.vault().ask(command).is_ok(),
            may,
            "{:?} {on}",
            kept.hold
        );
        if may {
            self.versions.get_mut(&version).unwrap().hold = Some(on);
        }
    }

    fn tag(&mut self, at: u8, value: u8) {
        let Some((version, kept)) = self.pick(at) else {
            return;
        };
        let tags = vec![("t".to_owned(), value.to_string())];
        let command = Command::SetTags {
            name: kept.name,
            version: Some(version),
            tags: tags.clone(),
        };
        self.vault().ask(command).unwrap();
        self.versions.get_mut(&version).unwrap().tags = tags;
    }

    fn restart(&mut self) {
        self.vault.take().unwrap().stop();
        // Time went on for both clocks while it ran; it does not while it is off.
        self.rig.clock_ms = START + self.hours * HOUR;
        self.vault = Some(self.rig.start());
    }

    fn act(&mut self, act: &Act, bits: u8) {
        let rights = Rights {
            governance_bypass: bits & 1 != 0,
            hold_off: bits & 2 != 0,
            lock_admin: false,
        };
        self.vault().rights = rights;
        self.next += 1;
        let seed = self.next;
        match act {
            Act::Put { key, lock } => self.store(*key, *lock, false, seed),
            Act::Multipart { key, lock } => self.store(*key, *lock, true, seed),
            Act::Copy { at, key, lock } => {
                if let Some((_, kept)) = self.pick(*at) {
                    self.store(*key, *lock, false, kept.seed);
                }
            }
            Act::Marker { key } => {
                let command = Command::Delete {
                    name: name("b", &format!("k{key}")),
                    version: None,
                    bypass: false,
                };
                self.vault().ask(command).unwrap();
            }
            Act::Delete { at, bypass } => {
                if let Some((version, _)) = self.pick(*at) {
                    self.delete(version, *bypass, rights);
                }
            }
            Act::DeleteMany { bypass } => {
                let all: Vec<VersionId> = self.versions.keys().copied().collect();
                all.into_iter()
                    .for_each(|version| self.delete(version, *bypass, rights));
            }
            Act::Retain { at, to, bypass } => self.retain(*at, *to, *bypass, rights),
            Act::Hold { at, on } => self.hold(*at, *on, rights),
            Act::Tag { at, value } => self.tag(*at, *value),
            Act::DropBucket if !self.versions.is_empty() => {
                let command = Command::DeleteBucket {
                    name: "b".to_owned(),
                };
                let result = self.vault().ask(command).map(|_| ());
                assert_eq!(result, Err(Refusal::BucketNotEmpty));
            }
            Act::DropBucket => {}
            Act::Sleep { hours } => {
                self.hours += u64::from(*hours);
                self.vault().sleep(u64::from(*hours) * HOUR);
            }
            Act::Restart => self.restart(),
        }
    }

    /// Every version that is not released is whole, and protected as the model says.
    fn check(&mut self) {
        for (version, kept) in self.versions.clone() {
            let command = Command::Head {
                name: kept.name.clone(),
                version: Some(version),
            };
            let Ok(Answer::Object(info)) = self.vault().ask(command) else {
                panic!("{version} is gone")
            };
            assert_eq!(info.retention, kept.retention, "{version}");
            assert_eq!(info.hold, kept.hold, "{version}");
            assert!(info.metadata.tags == kept.tags, "{version}");
            let got = self.vault().get(&kept.name, Some(version), None).unwrap();
            assert!(got == content(kept.seed, BYTES), "{version}");
        }
    }
}

fn put(
    vault: &mut Running,
    name: &ObjectName,
    lock: LockWish,
    seed: usize,
) -> Result<VersionId, Refusal> {
    let purpose = Purpose::Object {
        metadata: Metadata::default(),
        lock,
    };
    let stream = vault.open_put(name, purpose)?;
    vault.feed(stream, &content(seed, BYTES))?;
    Ok(vault.commit(stream)?.version.unwrap())
}

fn multipart(
    vault: &mut Running,
    name: &ObjectName,
    lock: LockWish,
    seed: usize,
) -> Result<VersionId, Refusal> {
    let begin = Command::CreateUpload {
        name: name.clone(),
        metadata: Metadata::default(),
        lock,
        announced: None,
    };
    let Answer::Upload(upload) = vault.ask(begin)? else {
        panic!("no upload")
    };
    let stream = vault.open_put(name, Purpose::Part { upload, number: 1 })?;
    vault.feed(stream, &content(seed, BYTES))?;
    let part = NamedPart {
        number: 1,
        etag: vault.commit(stream)?.etag,
        checksums: Vec::new(),
    };
    let complete = Command::CompleteUpload {
        name: name.clone(),
        upload,
        parts: vec![part],
        checksums: Vec::new(),
        conditions: Conditions::default(),
    };
    match vault.ask(complete)? {
        Answer::Stored(stored) => Ok(stored.version.unwrap()),
        other => panic!("unexpected {other:?}"),
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 32,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn no_protection_gets_weaker_whatever_clients_do(acts in vec(act(), 1..40)) {
        let mut world = World::new();
        for (act, rights) in &acts {
            world.act(act, *rights);
            world.check();
        }
        world.restart();
        world.check();
    }
}
