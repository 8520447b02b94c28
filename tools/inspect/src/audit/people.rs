//! Who may sign, replayed from what was stated.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::sshsig::{KeyType, PublicKey};
use stele_format::statement::{Act, Found, Name, Role};
use stele_format::units::UnixMillis;

use super::finding::Breach;
use super::policies::Policies;
use super::witnesses::Witnesses;
use crate::limits::{PERSON_COUNT_MAX, QUARANTINE_MS, UNUSED_KEY_MS};

/// Whether a person or key may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// When it was enrolled or resumed; none for the keys of the founding that never were suspended.
    pub enrolled: Option<UnixMillis>,
    /// Who asked for that or approved it.
    pub enrolled_by: BTreeSet<Name>,
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
    /// Who asked for their enrolment or approved it.
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
    /// What they set.
    pub policies: Policies,
    /// Who watches from outside.
    pub witnesses: Witnesses,
}

impl People {
    /// The people of a founding; whether it is signed is looked at elsewhere.
    ///
    /// # Errors
    /// Too few people, or keys in files in a vault that has no place for them.
    pub fn found(found: &Found, evaluation: bool, now: UnixMillis) -> Result<Self, Breach> {
        let mut people = Self::default();
        for (name, value) in &found.policies {
            people.policies.set(name, value)?;
        }
        if people.policies.plain_keys && !evaluation {
            return Err(Breach::PlainKey);
        }
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
                enrolled_by: BTreeSet::new(),
                used: now,
                counter: 0,
            });
        }
        if people.lacking().is_some() {
            return Err(Breach::FoundSmall);
        }
        people.check_erase_approvals()?;
        Ok(people)
    }

    /// A destruction must not need every approver there is: one of them may be away.
    fn check_erase_approvals(&self) -> Result<(), Breach> {
        if self.policies.erase_approvals < self.signing(Role::Approver) {
            Ok(())
        } else {
            Err(Breach::Policy)
        }
    }

    fn signing(&self, role: Role) -> u64 {
        let people = self.all.values();
        people
            .filter(|person| person.role == role && person.can_sign())
            .count() as u64
    }

    fn check_type(&self, key: &PublicKey) -> Result<(), Breach> {
        if key.key_type() == KeyType::SecurityKey || self.policies.plain_keys {
            Ok(())
        } else {
            Err(Breach::PlainKey)
        }
    }

    /// A role with fewer people who can sign than there must be.
    #[must_use]
    pub fn lacking(&self) -> Option<Role> {
        Role::ALL
            .into_iter()
            .find(|role| self.signing(*role) < self.policies.minimum(*role))
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

    /// Whether one of two people brought the other in, or the key the other signs with.
    #[must_use]
    pub fn are_tied(
        &self,
        first: (&Name, &PublicKey),
        second: (&Name, &PublicKey),
    ) -> Option<(Name, Name)> {
        let brought = |by: &Name, (whom, key): (&Name, &PublicKey)| {
            let person = self.all.get(whom);
            person.is_some_and(|person| {
                let key = person.key(key);
                person.enrolled_by.contains(by)
                    || key.is_some_and(|key| key.enrolled_by.contains(by))
            })
        };
        if brought(first.0, second) {
            return Some((first.0.clone(), second.0.clone()));
        }
        brought(second.0, first).then(|| (second.0.clone(), first.0.clone()))
    }

    /// A point is one private key, whatever type it is written as, and is used once for ever.
    fn check_free(&self, key: &PublicKey) -> Result<(), Breach> {
        self.check_type(key)?;
        let mut known = self.all.values().flat_map(|person| &person.keys);
        if known.any(|known| known.key.point() == key.point()) {
            Err(Breach::KeyKnown)
        } else {
            Ok(())
        }
    }

    fn there(&mut self, name: &Name) -> Result<&mut Person, Breach> {
        let person = self
            .all
            .get_mut(name)
            .ok_or_else(|| Breach::Person(name.clone()))?;
        if person.standing == Standing::Removed {
            return Err(Breach::Inactive(name.clone()));
        }
        Ok(person)
    }

    /// Does what an act about people and policies says; other acts change nothing here.
    ///
    /// # Errors
    /// It cannot be done; nothing is changed then.
    pub fn change(
        &mut self,
        act: &Act,
        by: &BTreeSet<Name>,
        now: UnixMillis,
    ) -> Result<(), Breach> {
        if !is_about_people(act) {
            return Ok(());
        }
        let mut next = self.clone();
        next.apply(act, by, now)?;
        if let Some(role) = next.lacking() {
            return Err(Breach::Minimum(role));
        }
        *self = next;
        Ok(())
    }

    fn apply(&mut self, act: &Act, by: &BTreeSet<Name>, now: UnixMillis) -> Result<(), Breach> {
        match act {
            Act::Enrol { person, role, key } => {
                if self.all.contains_key(person) {
                    return Err(Breach::PersonKnown(person.clone()));
                }
                if self.all.len() >= PERSON_COUNT_MAX {
                    return Err(Breach::PeopleFull);
                }
                self.check_free(key)?;
                let enrolled = Person {
                    role: *role,
                    standing: Standing::Active,
                    enrolled_by: by.clone(),
                    keys: vec![fresh(key, by, now)],
                };
                self.all.insert(person.clone(), enrolled);
            }
            Act::AddKey { person, key } => {
                self.check_free(key)?;
                let own = self.there(person)?;
                if own.held() >= stele_format::limits::PERSON_KEYS_MAX {
                    return Err(Breach::KeysFull(person.clone()));
                }
                own.keys.push(fresh(key, by, now));
            }
            Act::RemoveKey { person, key } => {
                let own = self.there(person)?.key_mut(key);
                let own = own.filter(|own| own.standing != Standing::Removed);
                own.ok_or_else(|| Breach::KeyMissing(person.clone()))?
                    .standing = Standing::Removed;
            }
            Act::Suspend { person } => self.lower(person, Standing::Suspended)?,
            Act::Remove { person } => self.lower(person, Standing::Removed)?,
            Act::Resume { person } => self.resume(person, by, now)?,
            Act::Policy { name, value } => self.set_policy(name, value)?,
            Act::Witness { name, key } => self.witnesses.add(name, key)?,
            Act::RemoveWitness { name } => self.witnesses.remove(name)?,
            _ => {}
        }
        Ok(())
    }

    fn set_policy(&mut self, name: &Name, value: &Name) -> Result<(), Breach> {
        // The founding alone says whether keys in files count.
        if name.as_str() == "plain-keys" {
            return Err(Breach::Policy);
        }
        self.policies.set(name, value)?;
        if name.as_str() == "erase-approvals" {
            self.check_erase_approvals()?;
        }
        Ok(())
    }

    /// Suspends or removes somebody and all keys that are not lower already.
    fn lower(&mut self, name: &Name, standing: Standing) -> Result<(), Breach> {
        let person = self.there(name)?;
        if person.standing == standing {
            return Err(Breach::Inactive(name.clone()));
        }
        person.standing = standing;
        for key in &mut person.keys {
            key.standing = key.standing.max(standing);
        }
        Ok(())
    }

    /// Suspended keys begin anew: they wait again, and whoever brought them back is tied to them.
    fn resume(&mut self, name: &Name, by: &BTreeSet<Name>, now: UnixMillis) -> Result<(), Breach> {
        let person = self.there(name)?;
        let is_suspended = |key: &Key| key.standing == Standing::Suspended;
        if person.standing == Standing::Active && !person.keys.iter().any(is_suspended) {
            return Err(Breach::NotSuspended(name.clone()));
        }
        person.standing = Standing::Active;
        for key in person.keys.iter_mut().filter(|key| is_suspended(key)) {
            key.standing = Standing::Active;
            key.enrolled = Some(now);
            key.used = now;
            key.enrolled_by.extend(by.iter().cloned());
        }
        Ok(())
    }

    /// An access review: keys unused for long are suspended, the longest unused first, except where too few
    /// people would be left. Custodians have nothing to sign. Returns whose keys were.
    pub fn review(&mut self, now: UnixMillis) -> Vec<Name> {
        let mut unused = Vec::new();
        for (name, person) in &self.all {
            let keys = person.keys.iter().filter(|key| {
                person.role != Role::Custodian
                    && key.standing == Standing::Active
                    && now.get().saturating_sub(key.used.get()) >= UNUSED_KEY_MS
            });
            unused.extend(keys.map(|key| (key.used, key.key, name.clone())));
        }
        unused.sort_unstable_by_key(|(used, key, _)| {
            let plain = key.key_type() == KeyType::Plain;
            (*used, plain, *key.point())
        });
        let mut suspended = Vec::new();
        for (_, key, name) in unused {
            let mut next = self.clone();
            let person = next.all.get_mut(&name);
            if let Some(own) = person.and_then(|person| person.key_mut(&key)) {
                own.standing = Standing::Suspended;
            }
            if next.lacking().is_none() {
                suspended.push(name);
                *self = next;
            }
        }
        suspended
    }
}

fn fresh(key: &PublicKey, by: &BTreeSet<Name>, now: UnixMillis) -> Key {
    Key {
        key: *key,
        standing: Standing::Active,
        enrolled: Some(now),
        enrolled_by: by.clone(),
        used: now,
        counter: 0,
    }
}

/// Acts that change people and policies alone, and do so with the statement.
#[must_use]
pub const fn is_about_people(act: &Act) -> bool {
    matches!(
        act,
        Act::Enrol { .. }
            | Act::AddKey { .. }
            | Act::RemoveKey { .. }
            | Act::Suspend { .. }
            | Act::Remove { .. }
            | Act::Resume { .. }
            | Act::Policy { .. }
            | Act::Witness { .. }
            | Act::RemoveWitness { .. }
    )
}
