//! What the vault must hold and show, and what clients do to it.

use std::collections::BTreeMap;

use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{Mode, Retention, Rights};
use stele_store::request::{
    Answer, Command, Conditions, ListWish, LockWish, Metadata, NamedPart, ObjectName, Purpose,
    Refusal,
};

use crate::acts::{Act, Rule, Wish};
use crate::going::Asked;
use crate::people::{census, founded};
use crate::support::{Rig, Running, content, name};

pub const START: u64 = 1_700_000_000_000;
pub const HOUR: u64 = 3_600_000;
const BYTES: usize = 200;

/// A version or marker that is in the vault.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub key: u8,
    pub marker: bool,
    /// Gone from S3.
    pub released: bool,
    /// When it was stored, and when its hold went, in hours from the start.
    pub stored: u64,
    pub unheld: Option<u64>,
    pub retention: Option<Retention>,
    pub hold: Option<bool>,
    seed: usize,
    tags: Vec<(String, String)>,
}

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub deleted: u32,
    pub refused: u32,
    pub hidden: u32,
    pub expired: u32,
    /// Due by a rule, and locked.
    pub spared: u32,
    pub destroyed: u32,
    /// On a list that was executed, and protected.
    pub kept: u32,
    /// On such a list, and held while it rested.
    pub rested: u32,
    /// Governance that ended early, by people.
    pub early: u32,
}

impl Seen {
    pub const fn counts(&self) -> [u32; 9] {
        [
            self.deleted,
            self.refused,
            self.hidden,
            self.expired,
            self.spared,
            self.destroyed,
            self.kept,
            self.rested,
            self.early,
        ]
    }
}

pub struct World {
    rig: Rig,
    vault: Option<Running>,
    /// Hours since the start.
    pub hours: u64,
    /// The oldest first.
    pub rows: BTreeMap<VersionId, Row>,
    pub rules: Vec<Rule>,
    pub asked: Option<Asked>,
    pub seen: Seen,
    next: usize,
}

pub fn object(key: u8) -> ObjectName {
    name("b", &format!("k{key}"))
}

impl World {
    pub fn new() -> Self {
        let (rig, mut vault) = founded(3);
        vault.bucket("b", true);
        Self {
            rig,
            vault: Some(vault),
            hours: 0,
            rows: BTreeMap::new(),
            rules: Vec::new(),
            asked: None,
            seen: Seen::default(),
            next: 0,
        }
    }

    pub fn vault(&mut self) -> &mut Running {
        self.vault.as_mut().unwrap()
    }

    pub fn now(&self) -> u64 {
        START + self.hours * HOUR
    }

    fn retention(&self, (compliance, ahead): (bool, i16)) -> Retention {
        let until = self
            .now()
            .saturating_add_signed(i64::from(ahead) * 3_600_000);
        Retention {
            mode: if compliance {
                Mode::Compliance
            } else {
                Mode::Governance
            },
            until: UnixMillis::new(until + HOUR / 2),
        }
    }

    fn holds(&self, retention: Option<Retention>) -> Option<Retention> {
        retention.filter(|retention| retention.until.get() > self.now())
    }

    /// Whether a lock keeps it from going, but for special rights.
    pub fn is_locked(&self, row: &Row) -> bool {
        row.hold == Some(true) || self.holds(row.retention).is_some()
    }

    /// One of those that are so.
    pub fn pick(&self, at: u8, so: impl Fn(&VersionId, &Row) -> bool) -> Option<(VersionId, Row)> {
        let all = self.rows.iter().filter(|(version, row)| so(version, row));
        let all: Vec<_> = all.collect();
        let at = usize::from(at).checked_rem(all.len())?;
        let (version, row) = all[at];
        Some((*version, row.clone()))
    }

    fn pick_version(&self, at: u8) -> Option<(VersionId, Row)> {
        self.pick(at, |_, row| !row.marker && !row.released)
    }

    fn row(&mut self, version: VersionId) -> &mut Row {
        self.rows.get_mut(&version).unwrap()
    }

    /// What S3 shows of a key, the newest first.
    pub fn shown(&self, key: u8) -> Vec<(VersionId, Row)> {
        let rows = self.rows.iter().rev();
        rows.filter(|(_, row)| row.key == key && !row.released)
            .map(|(version, row)| (*version, row.clone()))
            .collect()
    }

    pub fn add_marker(&mut self, key: u8, version: VersionId) {
        let row = Row {
            key,
            marker: true,
            stored: self.hours,
            ..Row::default()
        };
        assert!(self.rows.insert(version, row).is_none());
    }

    fn store(&mut self, key: u8, (until, hold): Wish, parts: bool, seed: usize) {
        let retention = until.map(|until| self.retention(until));
        let fine = retention == self.holds(retention);
        let wish = LockWish { retention, hold };
        let stored = if parts {
            multipart(self.vault(), &object(key), wish, seed)
        } else {
            put(self.vault(), &object(key), wish, seed)
        };
        assert_eq!(stored.is_ok(), fine, "{wish:?}");
        if let Ok(version) = stored {
            let row = Row {
                key,
                stored: self.hours,
                seed,
                retention,
                // OFF given with an upload is as if nothing was said.
                hold: hold.filter(|on| *on),
                ..Row::default()
            };
            self.rows.insert(version, row);
        }
    }

    fn delete(&mut self, version: VersionId, bypass: bool, rights: Rights) {
        let row = self.rows[&version].clone();
        let retention = self.holds(row.retention);
        let bypassed = bypass && rights.governance_bypass;
        let free = retention.is_none_or(|one| one.mode == Mode::Governance && bypassed);
        let may = free && row.hold != Some(true);
        let command = Command::Delete {
            name: object(row.key),
            version: Some(version),
            bypass,
        };
        let result = self.vault().ask(command);
        assert_eq!(result.is_ok(), may, "{row:?} {bypass}");
        if may {
            self.row(version).released = true;
            self.seen.deleted += 1;
        } else {
            self.seen.refused += 1;
        }
    }

    fn delete_all(&mut self, all: &[(VersionId, Row)], bypass: bool, rights: Rights) {
        for (version, _) in all {
            self.delete(*version, bypass, rights);
        }
    }

    fn retain(&mut self, at: u8, to: Option<(bool, i16)>, bypass: bool, rights: Rights) {
        let Some((version, row)) = self.pick_version(at) else {
            return;
        };
        let wanted = to.map(|to| self.retention(to));
        let dated = wanted == self.holds(wanted);
        let extends = |holding: Retention| {
            wanted.is_some_and(|w| w.mode == holding.mode && w.until >= holding.until)
        };
        let allowed = match self.holds(row.retention) {
            None => true,
            Some(holding) => {
                let bypassed = bypass && rights.governance_bypass;
                extends(holding) || (holding.mode == Mode::Governance && bypassed)
            }
        };
        let command = Command::SetRetention {
            name: object(row.key),
            version: Some(version),
            retention: wanted,
            bypass,
        };
        let result = self.vault().ask(command);
        assert_eq!(result.is_ok(), dated && allowed, "{row:?} {wanted:?}");
        if result.is_ok() {
            self.row(version).retention = wanted;
        }
    }

    fn hold(&mut self, at: u8, listed: bool, on: bool, rights: Rights) {
        let asked = self.asked.as_ref().filter(|_| listed);
        let list: Vec<_> = asked.map(|asked| asked.list.clone()).unwrap_or_default();
        let of_list = |version: &VersionId| list.is_empty() || list.contains(version);
        let picked = self.pick(at, |version, row| {
            !row.marker && !row.released && of_list(version)
        });
        let Some((version, row)) = picked else {
            return;
        };
        let was_on = row.hold == Some(true);
        let may = on || !was_on || rights.hold_off;
        let command = Command::SetHold {
            name: object(row.key),
            version: Some(version),
            on,
        };
        assert_eq!(self.vault().ask(command).is_ok(), may, "{row:?} {on}");
        if may {
            let hours = self.hours;
            let row = self.row(version);
            row.hold = Some(on);
            if was_on && !on {
                row.unheld = Some(hours);
            }
        }
    }

    fn hold_awhile(&mut self, at: u8, rights: Rights) {
        self.hold(at, true, true, rights);
        self.sleep(1);
        self.hold(at, true, false, rights);
    }

    fn tag(&mut self, at: u8, value: u8) {
        let Some((version, row)) = self.pick_version(at) else {
            return;
        };
        let tags = vec![("t".to_owned(), value.to_string())];
        let command = Command::SetTags {
            name: object(row.key),
            version: Some(version),
            tags: tags.clone(),
        };
        self.vault().ask(command).unwrap();
        self.row(version).tags = tags;
    }

    fn hide(&mut self, key: u8) {
        let command = Command::Delete {
            name: object(key),
            version: None,
            bypass: false,
        };
        match self.vault().ask(command).unwrap() {
            Answer::Deleted { version, .. } => self.add_marker(key, version.unwrap()),
            other => panic!("unexpected {other:?}"),
        }
    }

    fn drop_bucket(&mut self) {
        if self.rows.values().all(|row| row.released) {
            return;
        }
        let name = "b".to_owned();
        let result = self.vault().ask(Command::DeleteBucket { name });
        assert_eq!(result.map(|_| ()), Err(Refusal::BucketNotEmpty));
    }

    pub fn sleep(&mut self, hours: u64) {
        self.hours += hours;
        self.vault().sleep(hours * HOUR);
    }

    pub fn restart(&mut self) {
        self.vault.take().unwrap().stop();
        // Time went on for both clocks while it ran; it does not while it is off.
        self.rig.clock_ms = self.now();
        self.vault = Some(self.rig.start());
    }

    pub fn act(&mut self, act: &Act, bits: u8) {
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
                if let Some((_, row)) = self.pick_version(*at) {
                    self.store(*key, *lock, false, row.seed);
                }
            }
            Act::Marker { key } => self.hide(*key),
            Act::Show { at } => {
                let marker = self.pick(*at, |_, row| row.marker && !row.released);
                self.delete_all(marker.as_slice(), false, rights);
            }
            Act::Delete { at, bypass } => {
                let version = self.pick_version(*at);
                self.delete_all(version.as_slice(), *bypass, rights);
            }
            Act::DeleteMany { bypass } => {
                let mut all: Vec<_> = (0..2).flat_map(|key| self.shown(key)).collect();
                all.retain(|(_, row)| !row.marker);
                self.delete_all(&all, *bypass, rights);
            }
            Act::Retain { at, to, bypass } => self.retain(*at, *to, *bypass, rights),
            Act::Hold { at, listed, on } => self.hold(*at, *listed, *on, rights),
            Act::HoldAwhile { at } => self.hold_awhile(*at, rights),
            Act::Tag { at, value } => self.tag(*at, *value),
            Act::DropBucket => self.drop_bucket(),
            Act::Rules(rules) => self.set_rules(rules),
            Act::Look => self.look(),
            Act::Expire { at, claim } => self.expire_one(*at, *claim),
            Act::BringBack { at } => self.bring_back(*at),
            Act::Ask {
                which,
                locked,
                early,
            } => self.ask_for(*which, *locked, *early),
            Act::Execute { rested } => self.execute(*rested),
            Act::Sleep { hours } => self.sleep(u64::from(*hours)),
            Act::Restart => self.restart(),
        }
    }

    /// Everything that S3 shows: key, version, whether it is a marker.
    pub fn listing(&mut self) -> Vec<(u8, VersionId, bool)> {
        let wish = ListWish {
            bucket: "b".to_owned(),
            entries_max: 1_000,
            ..ListWish::default()
        };
        let Answer::VersionListing(page) = self.vault().ask(Command::ListVersions(wish)).unwrap()
        else {
            panic!("no listing")
        };
        let rows = page.rows.iter();
        rows.map(|row| (row.key[1] - b'0', row.version, row.marker))
            .collect()
    }

    /// Nothing is in the vault, and nothing is shown, but what the model has, protected as it says; and every version
    /// that is not released is whole.
    pub fn check(&mut self) {
        let shown = (0..2).flat_map(|key| self.shown(key));
        let shown: Vec<_> = shown
            .map(|(version, row)| (row.key, version, row.marker))
            .collect();
        assert_eq!(self.listing(), shown);
        let mut found = census(self.vault());
        found.sort_by_key(|row| row.version);
        let found: Vec<_> = found
            .iter()
            .map(|row| (row.version, row.released, row.lock.retention, row.lock.hold))
            .collect();
        let rows = self.rows.iter();
        let expected: Vec<_> = rows
            .map(|(version, row)| {
                let held = row.hold == Some(true);
                (*version, row.released, row.retention, held)
            })
            .collect();
        assert_eq!(found, expected);
        for (version, row) in self.rows.clone() {
            if !row.marker && !row.released {
                self.check_version(version, &row);
            }
        }
    }

    fn check_version(&mut self, version: VersionId, row: &Row) {
        let command = Command::Head {
            name: object(row.key),
            version: Some(version),
        };
        let Ok(Answer::Object(info)) = self.vault().ask(command) else {
            panic!("{version} is gone")
        };
        assert_eq!(info.retention, row.retention, "{version}");
        assert_eq!(info.hold, row.hold, "{version}");
        assert!(info.metadata.tags == row.tags, "{version}");
        let got = self.vault().get(&object(row.key), Some(version), None);
        assert!(got.unwrap() == content(row.seed, BYTES), "{version}");
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
