//! Who the people of the vault are, as the statements in the log made them.
//!
//! Invariants: a name and a key are used once for ever; a founding or a change never leaves fewer active
//! people of a role than the policies demand; nothing here decides who may ask for a change, that is
//! [`super::approval`]'s.

mod policies;

use std::collections::BTreeMap;

use stele_format::limits::PERSON_KEYS_MAX;
use stele_format::sshsig::{KeyType, PublicKey, Verified};
use stele_format::statement::{Act, Found, Name, Role};
use stele_format::units::UnixMillis;

pub use self::policies::Policies;
use super::approval::StatementRefusal;
use super::limits::{PERSON_COUNT_MAX, QUARANTINE_MS, UNUSED_MS_MAX};
use super::witness::Witnesses;

/// Whether a person or a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It does.
    Active,
    /// Not until it is resumed.
    Suspended,
    /// Never again.
    Removed,
}

/// A key of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonKey {
    /// The key.
    pub key: PublicKey,
    /// Whether it counts.
    pub standing: Standing,
    /// When it was enrolled or resumed.
    pub since: UnixMillis,
    /// It comes from the founding and was never suspended, so that no quarantine holds for it.
    pub founding: bool,
    /// Who signed for it.
    pub enrolled_by: Vec<Name>,
    /// When it last signed something that was recorded; at first, when it was enrolled.
    pub last_used: UnixMillis,
    /// The highest count it showed.
    pub counter: u32,
}

impl PersonKey {
    /// Until when the key may neither approve nor execute destruction.
    #[must_use]
    pub const fn quarantined_until(&self) -> Option<UnixMillis> {
        if self.founding {
            None
        } else {
            Some(UnixMillis::new(
                self.since.get().saturating_add(QUARANTINE_MS),
            ))
        }
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub name: Name,
    /// As what.
    pub role: Role,
    /// Whether they count.
    pub standing: Standing,
    /// Who signed for them; nobody for those of the founding.
    pub enrolled_by: Vec<Name>,
    /// Their keys, those that were removed included.
    pub keys: Vec<PersonKey>,
}

impl Person {
    /// They count, and so does one of their keys.
    #[must_use]
    pub fn is_active(&self) -> bool {
        let usable = |key: &PersonKey| key.standing == Standing::Active;
        self.standing == Standing::Active && self.keys.iter().any(usable)
    }

    fn key(&self, key: PublicKey) -> Option<&PersonKey> {
        self.keys.iter().find(|entry| entry.key == key)
    }
}

/// A key's count of signatures went back: somebody may have made a copy of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterRegress {
    /// Whose key.
    pub person: Name,
    /// Which key.
    pub key: PublicKey,
    /// The highest count before.
    pub seen: u32,
    /// The count now.
    pub shown: u32,
}

/// The people of the vault and the policies they set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    persons: BTreeMap<Name, Person>,
    policies: Policies,
    pub(super) witnesses: Witnesses,
}

/// Somebody who signed, with what counts about them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signer<'a> {
    pub(super) person: &'a Person,
    pub(super) key: &'a PersonKey,
}

impl People {
    /// Nobody was founded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.persons.is_empty()
    }

    /// All persons ever, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.persons.values()
    }

    /// The person of this name.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Person> {
        self.persons.get(name)
    }

    /// The policies.
    #[must_use]
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The witnesses they agreed on.
    #[must_use]
    pub const fn witnesses(&self) -> &Witnesses {
        &self.witnesses
    }

    /// Whose key it is, or was.
    #[must_use]
    pub fn owner(&self, key: PublicKey) -> Option<Name> {
        self.persons
            .values()
            .find(|person| person.key(key).is_some())
            .map(|person| person.name.clone())
    }

    fn known(&self, name: &Name) -> Result<&Person, StatementRefusal> {
        self.persons
            .get(name)
            .ok_or_else(|| StatementRefusal::Unknown(name.clone()))
    }

    /// The person and key, if both count now.
    pub(super) fn active(
        &self,
        name: &Name,
        key: PublicKey,
    ) -> Result<Signer<'_>, StatementRefusal> {
        let person = self.known(name)?;
        let key = person
            .key(key)
            .ok_or_else(|| StatementRefusal::ForeignKey(name.clone()))?;
        if person.standing == Standing::Active && key.standing == Standing::Active {
            Ok(Signer { person, key })
        } else {
            Err(StatementRefusal::Inactive(name.clone()))
        }
    }

    /// The person who signed, if the signature counts here.
    pub(super) fn signer(
        &self,
        name: &Name,
        signature: &Verified,
    ) -> Result<Signer<'_>, StatementRefusal> {
        let signer = self.active(name, signature.key())?;
        counts(signature, self.policies.plain_keys)?;
        Ok(signer)
    }

    /// The first people. Every signature was verified over the founding's text.
    pub(super) fn found(
        found: &Found,
        signatures: &[Verified],
        evaluation: bool,
        at: UnixMillis,
    ) -> Result<Self, StatementRefusal> {
        let mut people = Self::default();
        for (name, value) in &found.policies {
            people.policies = people
                .policies
                .with(name, value)
                .ok_or(StatementRefusal::Policy)?;
        }
        if people.policies.plain_keys && !evaluation {
            return Err(StatementRefusal::PlainKey);
        }
        for entry in &found.keys {
            people.check_type(entry.key)?;
            let person = people
                .persons
                .entry(entry.person.clone())
                .or_insert_with(|| new_person(&entry.person, entry.role));
            let mut key = new_key(entry.key, at, Vec::new());
            key.founding = true;
            person.keys.push(key);
        }
        people.check_founding_signatures(found, signatures)?;
        people.check_minimum()?;
        people.check_policies()?;
        Ok(people)
    }

    fn check_founding_signatures(
        &self,
        found: &Found,
        signatures: &[Verified],
    ) -> Result<(), StatementRefusal> {
        for signature in signatures {
            counts(signature, self.policies.plain_keys)?;
            if !found.keys.iter().any(|entry| entry.key == signature.key()) {
                return Err(StatementRefusal::FoundingStranger);
            }
        }
        let signed = |person: &&Person| {
            signatures
                .iter()
                .any(|signature| person.key(signature.key()).is_some())
        };
        match self.persons.values().find(|person| !signed(person)) {
            Some(person) => Err(StatementRefusal::FoundingUnsigned(person.name.clone())),
            None => Ok(()),
        }
    }

    fn check_type(&self, key: PublicKey) -> Result<(), StatementRefusal> {
        if key.key_type() == KeyType::Plain && !self.policies.plain_keys {
            Err(StatementRefusal::PlainKey)
        } else {
            Ok(())
        }
    }

    /// Active people of a role.
    #[must_use]
    pub fn active_count(&self, role: Role) -> u64 {
        self.persons
            .values()
            .filter(|person| person.role == role && person.is_active())
            .map(|_| 1)
            .sum()
    }

    fn check_minimum(&self) -> Result<(), StatementRefusal> {
        let minimums = [
            (Role::Operator, self.policies.operators_min),
            (Role::Approver, self.policies.approvers_min),
            (Role::Officer, self.policies.officers_min),
        ];
        match minimums
            .into_iter()
            .find(|(role, min)| self.active_count(*role) < *min)
        {
            Some((role, min)) => Err(StatementRefusal::BelowMinimum { role, min }),
            None => Ok(()),
        }
    }

    /// A destruction must not need all approvers there are: one of them may be the one who is away.
    fn check_policies(&self) -> Result<(), StatementRefusal> {
        if self.policies.erase_approvals < self.active_count(Role::Approver) {
            Ok(())
        } else {
            Err(StatementRefusal::Policy)
        }
    }

    /// The people after an act about them; the same people for other acts. `signers` asked for it and
    /// approved it, and count as those who enrolled whom it brings in.
    pub(super) fn after(
        &self,
        act: &Act,
        signers: &[Name],
        at: UnixMillis,
    ) -> Result<Self, StatementRefusal> {
        let mut next = self.clone();
        match act {
            Act::Enrol { person, role, key } => next.enrol(person, *role, *key, signers, at)?,
            Act::AddKey { person, key } => next.add_key(person, *key, signers, at)?,
            Act::RemoveKey { person, key } => next.remove_key(person, *key)?,
            Act::Suspend { person } => next.put_standing(person, Standing::Suspended)?,
            Act::Remove { person } => next.put_standing(person, Standing::Removed)?,
            Act::Resume { person } => next.resume(person, signers, at)?,
            Act::Policy { name, value } => {
                // What the founding said about plain keys stays.
                if name.as_str() == "plain-keys" {
                    return Err(StatementRefusal::Policy);
                }
                next.policies = next
                    .policies
                    .with(name, value)
                    .ok_or(StatementRefusal::Policy)?;
                next.check_policies()?;
            }
            Act::Witness { name, key } => {
                let witnesses = next.witnesses.with(name, key, at);
                next.witnesses = witnesses.ok_or(StatementRefusal::Witness)?;
            }
            Act::RemoveWitness { name } => {
                let witnesses = next.witnesses.without(name);
                next.witnesses = witnesses.ok_or(StatementRefusal::NoWitness)?;
            }
            _ => return Ok(next),
        }
        next.check_minimum()?;
        Ok(next)
    }

    fn check_new_key(&self, key: PublicKey) -> Result<(), StatementRefusal> {
        self.check_type(key)?;
        // Two types of one point are one private key, so the point counts and not the type.
        let mut all = self.persons.values().flat_map(|person| &person.keys);
        if all.any(|known| known.key.point() == key.point()) {
            Err(StatementRefusal::KeyTaken)
        } else {
            Ok(())
        }
    }

    fn enrol(
        &mut self,
        name: &Name,
        role: Role,
        key: PublicKey,
        signers: &[Name],
        at: UnixMillis,
    ) -> Result<(), StatementRefusal> {
        if self.persons.contains_key(name) {
            return Err(StatementRefusal::NameTaken(name.clone()));
        }
        if self.persons.len() >= PERSON_COUNT_MAX {
            return Err(StatementRefusal::TooManyPersons {
                max: PERSON_COUNT_MAX,
            });
        }
        self.check_new_key(key)?;
        let mut person = new_person(name, role);
        person.enrolled_by = signers.to_vec();
        person.keys.push(new_key(key, at, signers.to_vec()));
        self.persons.insert(name.clone(), person);
        Ok(())
    }

    fn add_key(
        &mut self,
        name: &Name,
        key: PublicKey,
        signers: &[Name],
        at: UnixMillis,
    ) -> Result<(), StatementRefusal> {
        self.check_new_key(key)?;
        let person = self.present_mut(name)?;
        let kept = |entry: &&PersonKey| entry.standing != Standing::Removed;
        if person.keys.iter().filter(kept).count() >= PERSON_KEYS_MAX {
            return Err(StatementRefusal::KeysFull(name.clone()));
        }
        person.keys.push(new_key(key, at, signers.to_vec()));
        Ok(())
    }

    fn remove_key(&mut self, name: &Name, key: PublicKey) -> Result<(), StatementRefusal> {
        let person = self.present_mut(name)?;
        let entry = person
            .keys
            .iter_mut()
            .find(|entry| entry.key == key && entry.standing != Standing::Removed)
            .ok_or_else(|| StatementRefusal::ForeignKey(name.clone()))?;
        entry.standing = Standing::Removed;
        Ok(())
    }

    fn put_standing(&mut self, name: &Name, standing: Standing) -> Result<(), StatementRefusal> {
        let person = self.present_mut(name)?;
        if person.standing == standing {
            return Err(StatementRefusal::Inactive(name.clone()));
        }
        person.standing = standing;
        // Only what was active changes: a key that a review suspended stays suspended.
        for key in &mut person.keys {
            key.standing = key.standing.max(standing);
        }
        Ok(())
    }

    fn resume(
        &mut self,
        name: &Name,
        signers: &[Name],
        at: UnixMillis,
    ) -> Result<(), StatementRefusal> {
        let person = self.present_mut(name)?;
        let suspended = |key: &PersonKey| key.standing == Standing::Suspended;
        if person.standing == Standing::Active && !person.keys.iter().any(suspended) {
            return Err(StatementRefusal::NotSuspended(name.clone()));
        }
        person.standing = Standing::Active;
        for key in person.keys.iter_mut().filter(|key| suspended(key)) {
            key.standing = Standing::Active;
            key.since = at;
            key.last_used = at;
            key.founding = false;
            key.enrolled_by.extend_from_slice(signers);
            key.enrolled_by.sort_unstable();
            key.enrolled_by.dedup();
        }
        Ok(())
    }

    /// A person who was not removed.
    fn present_mut(&mut self, name: &Name) -> Result<&mut Person, StatementRefusal> {
        match self.persons.get_mut(name) {
            None => Err(StatementRefusal::Unknown(name.clone())),
            Some(person) if person.standing == Standing::Removed => {
                Err(StatementRefusal::Inactive(name.clone()))
            }
            Some(person) => Ok(person),
        }
    }

    /// Suspends keys that went unused for too long, the longest unused first, as far as enough people
    /// stay active. Custodians have nothing to sign, so theirs stay.
    pub(super) fn review(&mut self, at: UnixMillis) -> Vec<PublicKey> {
        let mut unused: Vec<(UnixMillis, PublicKey, Name)> = self
            .persons
            .values()
            .filter(|person| person.role != Role::Custodian)
            .flat_map(|person| person.keys.iter().map(move |key| (key, &person.name)))
            .filter(|(key, _)| {
                key.standing == Standing::Active
                    && at.get().saturating_sub(key.last_used.get()) >= UNUSED_MS_MAX
            })
            .map(|(key, name)| (key.last_used, key.key, name.clone()))
            .collect();
        unused.sort_unstable();
        let mut suspended = Vec::new();
        for (_, key, name) in unused {
            let mut next = self.clone();
            next.change_key(&name, key, |entry| entry.standing = Standing::Suspended);
            if next.check_minimum().is_ok() {
                *self = next;
                suspended.push(key);
            }
        }
        suspended
    }

    /// Notes that a key signed something that was recorded.
    pub(super) fn used(
        &mut self,
        name: &Name,
        signature: &Verified,
        at: UnixMillis,
    ) -> Option<CounterRegress> {
        let mut regress = None;
        // A key that never counts shows 0 for ever.
        let shown = signature.counter().unwrap_or(0);
        self.change_key(name, signature.key(), |entry| {
            entry.last_used = at;
            if shown != 0 && shown <= entry.counter {
                regress = Some(CounterRegress {
                    person: name.clone(),
                    key: entry.key,
                    seen: entry.counter,
                    shown,
                });
            }
            entry.counter = entry.counter.max(shown);
        });
        regress
    }

    fn change_key(&mut self, name: &Name, key: PublicKey, change: impl FnOnce(&mut PersonKey)) {
        let entry = self
            .persons
            .get_mut(name)
            .and_then(|person| person.keys.iter_mut().find(|entry| entry.key == key));
        if let Some(entry) = entry {
            change(entry);
        }
    }
}

/// Whether a verified signature counts: somebody was there, and the key knew who.
fn counts(signature: &Verified, plain_keys: bool) -> Result<(), StatementRefusal> {
    match signature.key().key_type() {
        KeyType::Plain if plain_keys => Ok(()),
        KeyType::Plain => Err(StatementRefusal::PlainKey),
        KeyType::SecurityKey if signature.user_present() && signature.user_verified() => Ok(()),
        KeyType::SecurityKey => Err(StatementRefusal::NotVerified),
    }
}

fn new_person(name: &Name, role: Role) -> Person {
    Person {
        name: name.clone(),
        role,
        standing: Standing::Active,
        enrolled_by: Vec::new(),
        keys: Vec::new(),
    }
}

fn new_key(key: PublicKey, at: UnixMillis, enrolled_by: Vec<Name>) -> PersonKey {
    PersonKey {
        key,
        standing: Standing::Active,
        since: at,
        founding: false,
        enrolled_by,
        last_used: at,
        counter: 0,
    }
}
