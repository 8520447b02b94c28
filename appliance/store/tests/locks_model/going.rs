//! How versions go without a client: by lifecycle rules, and by people who sign for it. What must go is worked out here
//! from the model alone, and compared with what went.

use std::collections::BTreeSet;

use stele_format::statement::{Act as Wanted, Cut, Verb};
use stele_format::units::{LogIndex, UnixMillis, VersionId};
use stele_store::policy::{
    CurrentExpiry, FilterForm, LifecycleRule, Mode, NoncurrentExpiry, Refusal as Policy,
};
use stele_store::request::{Answer, Command, Expiring, ObjectName, Refusal};

use crate::acts::{Current, Rule};
use crate::model::{HOUR, Row, START, World, object};
use crate::people::{list, request, say, work_off};

const DAY: u64 = 24 * HOUR;
/// Hours that a list of a vault so small rests.
const REST: u64 = 7 * 24;
/// Hours after that in which it may be executed.
const LATEST: u64 = 3 * 24;

/// A list that people approved.
pub struct Asked {
    request: LogIndex,
    pub list: Vec<VersionId>,
    early: bool,
    /// Hours from the start.
    at: u64,
}

/// What a rule does to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Hide,
    Release,
}

impl Rule {
    fn is_for(&self, key: u8) -> bool {
        self.key.is_none_or(|only| only == key)
    }

    fn written(&self, number: usize) -> LifecycleRule {
        let prefix = self.key.map(|key| object(key).key).unwrap_or_default();
        LifecycleRule {
            id: number.to_string(),
            form: FilterForm::AndPrefix,
            prefix,
            bytes_min: 0,
            bytes_below: 0,
            disabled: false,
            upload_days: None,
            current: self.current.map(|current| match current {
                Current::Days(days) => CurrentExpiry::Days(u32::from(days)),
                Current::From(hours) => CurrentExpiry::From(from(hours)),
                Current::LoneMarker => CurrentExpiry::LoneMarker,
            }),
            noncurrent: self.noncurrent.map(|(days, kept)| NoncurrentExpiry {
                days: u32::from(days),
                kept: u32::from(kept),
            }),
        }
    }
}

fn from(hours: u16) -> UnixMillis {
    UnixMillis::new(START + u64::from(hours) * HOUR + HOUR / 2)
}

impl World {
    pub fn set_rules(&mut self, rules: &[Rule]) {
        let written = rules.iter().enumerate();
        let written = written.map(|(number, rule)| rule.written(number));
        let command = Command::SetLifecycle {
            bucket: "b".to_owned(),
            rules: written.collect(),
        };
        self.vault().ask(command).unwrap();
        self.rules = rules.to_vec();
    }

    /// Whether the midnight after so many days has come.
    fn is_over(&self, stored: u64, days: u8) -> bool {
        let last = START + stored * HOUR + u64::from(days) * DAY;
        self.now() >= (last / DAY + 1) * DAY
    }

    /// What the rules say of the version at a place among those that a key shows, the newest first.
    fn deed(&self, shown: &[(VersionId, Row)], at: usize) -> Option<Deed> {
        let row = &shown[at].1;
        let alone = shown.len() == 1;
        let says = |rule: &Rule| match at.checked_sub(1) {
            None if row.marker && !alone => false,
            None => match rule.current {
                None => false,
                Some(Current::Days(days)) => self.is_over(row.stored, days),
                Some(Current::From(hours)) => self.now() >= from(hours).get(),
                Some(Current::LoneMarker) => row.marker,
            },
            Some(newer) => rule.noncurrent.is_some_and(|(days, kept)| {
                newer >= usize::from(kept) && self.is_over(shown[newer].1.stored, days)
            }),
        };
        let mut rules = self.rules.iter().filter(|rule| rule.is_for(row.key));
        let deed = match at == 0 && !row.marker {
            true => Deed::Hide,
            false => Deed::Release,
        };
        rules.any(says).then_some(deed)
    }

    /// All that is due goes, and nothing else.
    pub fn look(&mut self) {
        let (mut hidden, mut gone, mut spared) = (BTreeSet::new(), BTreeSet::new(), 0);
        for key in 0..2 {
            let shown = self.shown(key);
            for (at, (version, row)) in shown.iter().enumerate() {
                match self.deed(&shown, at) {
                    Some(Deed::Hide) => drop(hidden.insert(key)),
                    Some(Deed::Release) if self.is_locked(row) => spared += 1,
                    Some(Deed::Release) => drop(gone.insert(*version)),
                    None => {}
                }
            }
        }
        let (due, locked) = self.due();
        for one in due {
            let name = ObjectName {
                bucket: "b".to_owned(),
                key: one.key,
            };
            let (version, next) = (one.version, one.next);
            let command = Command::Expire {
                name,
                version,
                next,
            };
            self.vault().ask(command).unwrap();
        }
        assert_eq!(locked, u64::from(spared));
        self.seen.spared += spared;
        self.take_over(&hidden, &gone);
    }

    /// All that may go by now, and how much more would but for its lock.
    fn due(&mut self) -> (Vec<Expiring>, u64) {
        let command = Command::ListExpiring {
            bucket: "b".to_owned(),
            after: None,
            done: None,
        };
        match self.vault().ask(command).unwrap() {
            Answer::Expiring {
                due,
                locked,
                next: None,
                ..
            } => (due, locked),
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Keys got a marker and versions went: these ones, and none that is locked.
    fn take_over(&mut self, hidden: &BTreeSet<u8>, gone: &BTreeSet<VersionId>) {
        let listing = self.listing();
        let is_listed = |version: &VersionId| listing.iter().any(|(_, id, _)| id == version);
        let rows = self.rows.iter().filter(|(_, row)| !row.released);
        let went: BTreeSet<VersionId> = rows
            .map(|(version, _)| *version)
            .filter(|version| !is_listed(version))
            .collect();
        for version in &went {
            let row = &self.rows[version];
            assert!(!self.is_locked(row), "{version} went: {row:?}");
        }
        assert_eq!(went, *gone);
        for version in &went {
            self.rows.get_mut(version).unwrap().released = true;
            self.seen.expired += 1;
        }
        for (key, version, marker) in listing {
            if !self.rows.contains_key(&version) {
                assert!(marker && hidden.contains(&key), "{version}");
                self.add_marker(key, version);
                self.seen.hidden += 1;
            }
        }
        for key in hidden {
            let shown = self.shown(*key);
            assert!(shown[0].1.marker, "k{key} is not hidden");
        }
    }

    /// Whoever names a version, or lies about its place, gets no more than the rules say.
    pub fn expire_one(&mut self, at: u8, claim: bool) {
        let Some((version, row)) = self.pick(at, |_, row| !row.released) else {
            return;
        };
        let shown = self.shown(row.key);
        let at = shown.iter().position(|(id, _)| *id == version).unwrap();
        let next = at.checked_sub(1).filter(|_| !claim);
        let deed = self.deed(&shown, at).filter(|_| !claim || at == 0);
        let command = Command::Expire {
            name: object(row.key),
            version,
            next: next.map(|newer| shown[newer].0),
        };
        let result = self.vault().ask(command).map(drop);
        let (mut hidden, mut gone) = (BTreeSet::new(), BTreeSet::new());
        match deed {
            None => assert_eq!(result, Err(Refusal::Policy(Policy::NotDue))),
            Some(Deed::Release) if self.is_locked(&row) => {
                self.seen.spared += 1;
                let is_locked = |refusal: &Refusal| {
                    matches!(
                        refusal,
                        Refusal::Policy(Policy::Locked { .. } | Policy::Held)
                    )
                };
                assert!(result.as_ref().is_err_and(is_locked), "{result:?}");
            }
            Some(deed) => {
                assert_eq!(result, Ok(()));
                match deed {
                    Deed::Hide => drop(hidden.insert(row.key)),
                    Deed::Release => drop(gone.insert(version)),
                }
            }
        }
        self.take_over(&hidden, &gone);
    }

    pub fn bring_back(&mut self, at: u8) {
        let Some((version, row)) = self.pick(at, |_, row| row.released) else {
            return;
        };
        let name = object(row.key);
        let command = Command::Unrelease { name, version };
        self.vault().ask(command).unwrap();
        self.rows.get_mut(&version).unwrap().released = false;
    }

    /// Two people, or three, sign for the destruction of some of all that there is. Together with one that is locked,
    /// and be it for the shortest time, the rest is not even asked for.
    pub fn ask_for(&mut self, which: u16, locked: bool, early: bool) {
        let all = self.rows.iter().zip((0..16).cycle());
        let chosen = all.filter(|(_, bit)| (which >> bit) & 1 == 1);
        let versions = chosen.map(|((version, _), _)| *version);
        let is_free = |version: &VersionId| self.is_free(&self.rows[version], early);
        let (mut chosen, kept): (Vec<_>, Vec<_>) = versions.partition(is_free);
        let soonest = kept.into_iter().filter(|_| locked).min_by_key(|version| {
            let row = &self.rows[version];
            (row.hold == Some(true), row.retention.map(|one| one.until))
        });
        chosen.extend(soonest);
        if chosen.is_empty() {
            return;
        }
        let may = chosen
            .iter()
            .all(|one| self.is_free(&self.rows[one], early));
        let vault = self.vault();
        let erase = list(vault, &chosen, Cut::Leaves, early);
        let request = request(vault, Wanted::Erase(erase), "oona");
        assert_eq!(request.is_ok(), may, "{request:?}");
        let Ok(request) = request else {
            return;
        };
        let officer = early.then_some("sara");
        for approver in ["anna", "axel"].into_iter().chain(officer) {
            say(vault, Verb::Approve, request, approver).unwrap();
        }
        self.asked = Some(Asked {
            request,
            list: chosen,
            early,
            at: self.hours,
        });
    }

    /// The list is worked off, if it has rested: what is locked by then stays, whatever people signed.
    pub fn execute(&mut self, rested: bool) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let ripe = asked.at + REST;
        if rested && self.hours <= ripe {
            self.sleep(ripe + 1 - self.hours);
        }
        // Where clocks that are a second apart would not agree, an hour more passes.
        while self.is_on_the_edge(&asked) {
            self.sleep(1);
        }
        let (request, by) = (asked.request, "oona");
        let result = say(self.vault(), Verb::Execute, request, by);
        let may = (ripe..ripe + LATEST).contains(&self.hours);
        assert_eq!(result.is_ok(), may, "{result:?}");
        if may {
            self.work_off(&asked);
            // Keys are cut by the next start, which the vault does by itself.
            self.restart();
        } else if self.hours < ripe {
            self.asked = Some(asked);
        }
    }

    fn is_on_the_edge(&self, asked: &Asked) -> bool {
        let rows = asked.list.iter().filter_map(|one| self.rows.get(one));
        let mut edges = rows
            .filter_map(|row| row.unheld)
            .map(|unheld| unheld + REST)
            .chain([asked.at + REST, asked.at + REST + LATEST]);
        edges.any(|edge| edge == self.hours)
    }

    fn work_off(&mut self, asked: &Asked) {
        let all = asked.list.iter();
        let (goes, stays): (Vec<VersionId>, Vec<VersionId>) =
            all.partition(|version| self.may_be_destroyed(version, asked.early));
        let done = work_off(self.vault(), asked.request).unwrap();
        let expected = u32::try_from(goes.len()).unwrap();
        assert_eq!(done, (expected, stays.len()));
        for version in goes {
            let row = self.rows.remove(&version).unwrap();
            let retention = row.retention.filter(|one| one.until.get() > self.now());
            let early = retention.is_some_and(|one| asked.early && one.mode == Mode::Governance);
            assert!(early || !self.is_locked(&row), "{version} went: {row:?}");
            self.seen.destroyed += 1;
            self.seen.early += u32::from(early);
        }
        for row in stays.iter().filter_map(|one| self.rows.get(one)) {
            match self.is_free(row, asked.early) {
                true => self.seen.rested += 1,
                false => self.seen.kept += 1,
            }
        }
    }

    /// Nothing holds it, or held it while the list rested, and its retention has been over for a day.
    fn may_be_destroyed(&self, version: &VersionId, early: bool) -> bool {
        let Some(row) = self.rows.get(version) else {
            return false;
        };
        let rests = row.unheld.is_some_and(|unheld| unheld + REST > self.hours);
        !rests && self.is_free(row, early)
    }

    fn is_free(&self, row: &Row, early: bool) -> bool {
        let is_over = row.retention.is_none_or(|one| {
            let ended = early && one.mode == Mode::Governance;
            ended || one.until.get() + DAY <= self.now()
        });
        row.hold != Some(true) && is_over
    }
}
