//! Who may sign, replayed from what was stated.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::sshsig::{KeyType, PublicKey};
use stele_format::statement::{Act, Found, Name, Role};
use stele_format::units::UnixMillis;

use super::finding::Breach;
use crate::limits::{APPROVERS_MIN, OFFICERS_MIN, OPERATORS_MIN, QUARANTINE_MS, UNUSED_KEY_MS};

/// Whether a person or key may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Active,
    /// Not before somebody resumes them.
    Suspended,
    /// Never again.
    Removed,
}

impl Standing {
    /// The word of reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }
}

/// A key of a person.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key.
    pub key: PublicKey,
    /// Whether it may sign.
    pub standing: Standing,
    /// When it was enrolled; none for the keys of the founding.
    pub enrolled: Option<UnixMillis>,
    /// Last signature, or enrolment.
    pub used: UnixMillis,
    /// Count in its last signature.
    pub counter: u32,
}

impl Key {
    /// The end of its quarantine, if it is in it.
    #[must_use]
    pub fn quarantine(&self, now: UnixMillis) -> Option<UnixMillis> {
        let end = self.enrolled?.checked_add(QUARANTINE_MS)?;
        (now < end).then_some(end)
    }
}

/// A person.
#[derive(Debug, Clone)]
pub struct Person {
    /// What they do.
    pub role: Role,
    /// Whether they may do it.
    pub standing: Standing,
    /// Who asked for their enrolment or that of one of their keys, or approved it.
    pub enrolled_by: BTreeSet<Name>,
    /// Their keys, removed ones too.
    pub keys: Vec<Key>,
}

impl Person {
    fn key_mut(&mut self, key: &PublicKey) -> Option<&mut Key> {
        self.keys.iter_mut().find(|own| own.key == *key)
    }

    /// One of their keys, in use or not.
    #[must_use]
    pub fn key(&self, key: &PublicKey) -> Option<&Key> {
        self.keys.iter().find(|own| own.key == *key)
    }

    fn can_sign(&self) -> bool {
        let mut keys = self.keys.iter();
        self.standing == Standing::Active && keys.any(|key| key.standing == Standing::Active)
    }

    fn held(&self) -> usize {
        let held = |key: &&Key| key.standing != Standing::Removed;
        self.keys.iter().filter(held).count()
    }
}

/// Everybody there is or was.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// By name.
    pub all: BTreeMap<Name, Person>,
    /// Keys in files may be used.
    pub plain_keys: bool,
}

/// How many of a role a vault must keep.
const fn minimum(role: Role) -> usize {
    match role {
        Role::Officer => OFFICERS_MIN,
        Role::Approver => APPROVERS_MIN,
        Role::Operator => OPERATORS_MIN,
        Role::Custodian | Role::Auditor => 0,
    }
}

impl People {
    /// The people of a founding; whether it is signed is looked at elsewhere.
    ///
    /// # Errors
    /// Too few people, or keys in files in a vault that has no place for them.
    pub fn found(found: &Found, evaluation: bool, now: UnixMillis) -> Result<Self, Breach> {
        let says = |name: &str| {
            let mut policies = found.policies.iter();
            policies.any(|(own, value)| own.as_str() == name && value.as_str() == "yes")
        };
        let mut people = Self {
            plain_keys: evaluation && says("plain-keys"),
            ..Self::default()
        };
        for entry in &found.keys {
            people.check_type(&entry.key)?;
            let person = people.all.entry(entry.person.clone()).or_insert(Person {
                role: entry.role,
                standing: Standing::Active,
                enrolled_by: BTreeSet::new(),
                keys: Vec::new(),
            });
            person.keys.push(Key {
                key: entry.key,
                standing: Standing::Active,
                enrolled: None,
                used: now,
                counter: 0,
            });
        }
        if people.lacking().is_some() {
            return Err(Breach::FoundSmall);
        }
        Ok(people)
    }

    fn check_type(&self, key: &PublicKey) -> Result<(), Breach> {
        if key.key_type() == KeyType::SecurityKey || self.plain_keys {
            Ok(())
        } else {
            Err(Breach::PlainKey)
        }
    }

    /// A role with fewer people who can sign than there must be.
    #[must_use]
    pub fn lacking(&self) -> Option<Role> {
        let count = |role| {
            let people = self.all.values();
            people
                .filter(|person| person.role == role && person.can_sign())
                .count()
        };
        Role::ALL
            .into_iter()
            .find(|role| count(*role) < minimum(*role))
    }

    /// A person who may act.
    ///
    /// # Errors
    /// There is none of that name, or they are suspended or removed.
    pub fn active(&self, name: &Name) -> Result<&Person, Breach> {
        let person = self
            .all
            .get(name)
            .ok_or_else(|| Breach::Person(name.clone()))?;
        if person.standing == Standing::Active {
            Ok(person)
        } else {
            Err(Breach::Inactive(name.clone()))
        }
    }

    /// A key of a person, both of whom may act.
    ///
    /// # Errors
    /// One of them may not.
    pub fn active_key(&self, name: &Name, key: &PublicKey) -> Result<(&Person, &Key), Breach> {
        let person = self.active(name)?;
        let own = person
            .key(key)
            .ok_or_else(|| Breach::Signer(name.clone()))?;
        if own.standing == Standing::Active {
            Ok((person, own))
        } else {
            Err(Breach::Key(name.clone()))
        }
    }

    /// Notes a signature. True when the key counts fewer of them than before.
    pub fn used(
        &mut self,
        name: &Name,
        key: &PublicKey,
        now: UnixMillis,
        count: Option<u32>,
    ) -> bool {
        let person = self.all.get_mut(name);
        let Some(own) = person.and_then(|person| person.key_mut(key)) else {
            return false;
        };
        own.used = now;
        let count = count.unwrap_or(0);
        let back = count != 0 && count <= own.counter;
        own.counter = own.counter.max(count);
        back
    }

    /// Whether one of two people brought the other in.
    #[must_use]
    pub fn are_tied(&self, first: &Name, second: &Name) -> Option<(Name, Name)> {
        let brought = |by: &Name, whom: &Name| {
            let person = self.all.get(whom);
            person.is_some_and(|person| person.enrolled_by.contains(by))
        };
        if brought(first, second) {
            return Some((first.clone(), second.clone()));
        }
        brought(second, first).then(|| (second.clone(), first.clone()))
    }

    /// A key is free for a person: nobody else ever had it, and the person does not have it now.
    fn check_free(&self, name: &Name, key: &PublicKey) -> Result<(), Breach> {
        self.check_type(key)?;
        let taken = self.all.iter().any(|(own, person)| {
            let held = person.key(key);
            held.is_some_and(|held| own != name || held.standing != Standing::Removed)
        });
        if taken { Err(Breach::KeyKnown) } else { Ok(()) }
    }

    fn there(&self, name: &Name) -> Result<&Person, Breach> {
        let person = self
            .all
            .get(name)
            .ok_or_else(|| Breach::Person(name.clone()))?;
        if person.standing == Standing::Removed {
            return Err(Breach::Inactive(name.clone()));
        }
        Ok(person)
    }

    /// Does what an act about people says; other acts change nothing here.
    ///
    /// # Errors
    /// It cannot be done; nothing is changed then.
    pub fn change(
        &mut self,
        act: &Act,
        by: &BTreeSet<Name>,
        now: UnixMillis,
    ) -> Result<(), Breach> {
        let mut next = self.clone();
        next.apply(act, by, now)?;
        let reduces = matches!(
            act,
            Act::RemoveKey { .. } | Act::Suspend { .. } | Act::Remove { .. }
        );
        if reduces && let Some(role) = next.lacking() {
            return Err(Breach::Minimum(role));
        }
        *self = next;
        Ok(())
    }

    fn apply(&mut self, act: &Act, by: &BTreeSet<Name>, now: UnixMillis) -> Result<(), Breach> {
        let fresh = |key: &PublicKey| Key {
            key: *key,
            standing: Standing::Active,
            enrolled: Some(now),
            used: now,
            counter: 0,
        };
        match act {
            Act::Enrol { person, role, key } => {
                if self.all.contains_key(person) {
                    return Err(Breach::PersonKnown(person.clone()));
                }
                self.check_free(person, key)?;
                let enrolled = Person {
                    role: *role,
                    standing: Standing::Active,
                    enrolled_by: by.clone(),
                    keys: vec![fresh(key)],
                };
                self.all.insert(person.clone(), enrolled);
            }
            Act::AddKey { person, key } => {
                self.check_free(person, key)?;
                if self.there(person)?.held() >= stele_format::limits::PERSON_KEYS_MAX {
                    return Err(Breach::KeysFull(person.clone()));
                }
                if let Some(own) = self.all.get_mut(person) {
                    own.keys.retain(|known| known.key != *key);
                    own.keys.push(fresh(key));
                    own.enrolled_by.extend(by.iter().cloned());
                }
            }
            Act::RemoveKey { person, key } => {
                self.there(person)?;
                let own = self.all.get_mut(person).and_then(|own| own.key_mut(key));
                let own = own.filter(|own| own.standing != Standing::Removed);
                own.ok_or_else(|| Breach::KeyMissing(person.clone()))?
                    .standing = Standing::Removed;
            }
            Act::Suspend { person } => self.stand(person, Standing::Suspended)?,
            Act::Remove { person } => self.stand(person, Standing::Removed)?,
            Act::Resume { person } => self.stand(person, Standing::Active)?,
            _ => {}
        }
        Ok(())
    }

    fn stand(&mut self, name: &Name, standing: Standing) -> Result<(), Breach> {
        self.there(name)?;
        if let Some(person) = self.all.get_mut(name) {
            person.standing = standing;
            if standing == Standing::Active {
                let suspended = person.keys.iter_mut();
                let suspended = suspended.filter(|key| key.standing == Standing::Suspended);
                suspended.for_each(|key| key.standing = Standing::Active);
            }
        }
        Ok(())
    }

    /// An access review: keys unused for long are suspended, except where too few people would be left.
    /// Returns whose key was.
    pub fn review(&mut self, now: UnixMillis) -> Vec<Name> {
        let mut suspended = Vec::new();
        let names: Vec<Name> = self.all.keys().cloned().collect();
        for name in names {
            let keys = self.all.get(&name).map_or(0, |person| person.keys.len());
            for place in 0..keys {
                let mut next = self.clone();
                let person = next.all.get_mut(&name);
                let Some(key) = person.and_then(|person| person.keys.get_mut(place)) else {
                    continue;
                };
                let unused = now.get().saturating_sub(key.used.get()) >= UNUSED_KEY_MS;
                if !unused || key.standing != Standing::Active {
                    continue;
                }
                key.standing = Standing::Suspended;
                if next.lacking().is_none() {
                    suspended.push(name.clone());
                    *self = next;
                }
            }
        }
        suspended
    }
}
