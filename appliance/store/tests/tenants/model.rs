//! What owners store, against a model, whatever happens to the vault in between.

use std::collections::BTreeMap;

use stele_format::geometry::DiskGeometry;
use stele_format::units::{ByteCount, UnitCount, UploadId, VersionId};
use stele_store::policy::{Client, Usage};
use stele_store::request::{Answer, Command, Conditions, NamedPart};

use crate::support::{DISK_BYTES, PARAMS, Rig, Running, name};
use crate::{become_client, client, done, make, owner, put, put_part, quota, upload};

/// Numbers from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// ETags by part number.
type Parts = BTreeMap<u16, String>;

/// A version or marker of a key.
struct Row {
    version: VersionId,
    marker: bool,
    released: bool,
}

/// What each owner must be said to store.
#[derive(Default)]
struct Model {
    usage: BTreeMap<&'static str, Usage>,
    uploads: BTreeMap<&'static str, Vec<(UploadId, Parts)>>,
    /// By bucket and key, the oldest first.
    rows: BTreeMap<(&'static str, String), Vec<Row>>,
    /// Markers that came where the quota was used up.
    over: u64,
}

const OWNERS: [&str; 2] = ["a", "c"];
const BYTES_MAX: u64 = 3_000_000;
const VERSIONS_MAX: u64 = 24;

impl Model {
    fn add(&mut self, owner: &'static str, bytes: u64, versions: u64) {
        let usage = self.usage.entry(owner).or_default();
        *usage = usage.plus(Usage { bytes, versions });
    }

    /// Whether so much more still fits.
    fn fits(&self, owner: &str, bytes: u64, versions: u64) -> bool {
        let used = self.usage.get(owner).copied().unwrap_or_default();
        (bytes == 0 || used.bytes + bytes <= BYTES_MAX)
            && (versions == 0 || used.versions + versions <= VERSIONS_MAX)
    }

    /// Whether a key shows an object that no marker ever hid.
    fn was_never_hidden(&self, who: &'static str, key: &str) -> bool {
        let rows = self.rows.get(&(who, key.to_owned()));
        let rows = rows.map(Vec::as_slice).unwrap_or_default();
        let current = rows.iter().rfind(|row| !row.released);
        current.is_some_and(|row| !row.marker) && rows.last().is_some_and(|row| !row.marker)
    }

    fn add_row(&mut self, who: &'static str, key: &str, version: VersionId, marker: bool) {
        let rows = self.rows.entry((who, key.to_owned())).or_default();
        rows.push(Row {
            version,
            marker,
            released: false,
        });
    }

    fn step(&mut self, vault: &mut Running, chance: &mut Chance) {
        let who = OWNERS[usize::from(chance.below(2) == 1)];
        let limits = quota(who, Some(BYTES_MAX), Some(VERSIONS_MAX));
        let asker = Client {
            quotas: limits,
            ..client(who)
        };
        become_client(vault, asker);
        let key = format!("k{}", chance.below(4));
        let bytes = [0, 1, 5_000, 140_000][usize::try_from(chance.below(4)).unwrap()];
        match chance.below(9) {
            0..=2 => {
                let stored = put(vault, &name(who, &key), bytes);
                let bytes = bytes as u64;
                assert_eq!(stored.is_ok(), self.fits(who, bytes, 1), "{stored:?}");
                if let Ok(version) = stored {
                    self.add_row(who, &key, version, false);
                    self.add(who, bytes, 1);
                }
            }
            3 | 4 => self.hide(vault, who, &key),
            5 => {
                let id = upload(vault, &name(who, "m"));
                self.uploads
                    .entry(who)
                    .or_default()
                    .push((id, BTreeMap::new()));
            }
            6 => self.part(
                vault,
                who,
                bytes,
                u16::try_from(chance.below(2) + 1).unwrap(),
            ),
            7 => self.end(vault, who, chance.below(2) == 0),
            _ => self.release(vault, who, &key),
        }
    }

    /// A marker, which is refused only where it would hide nothing, or hide it again.
    fn hide(&mut self, vault: &mut Running, who: &'static str, key: &str) {
        let command = Command::Delete {
            name: name(who, key),
            version: None,
            bypass: false,
        };
        let fits = self.fits(who, 0, 1);
        let may = fits || self.was_never_hidden(who, key);
        let answer = vault.ask(command);
        assert_eq!(answer.is_ok(), may, "{answer:?}");
        if let Ok(Answer::Deleted { version, .. }) = answer {
            self.add_row(who, key, version.unwrap(), true);
            self.add(who, 0, 1);
            self.over += u64::from(!fits);
        }
    }

    /// The newest of a key goes, version or marker. Releasing frees nothing.
    fn release(&mut self, vault: &mut Running, who: &'static str, key: &str) {
        let rows = self.rows.entry((who, key.to_owned())).or_default();
        let Some(row) = rows.iter_mut().rfind(|row| !row.released) else {
            return;
        };
        let command = Command::Delete {
            name: name(who, key),
            version: Some(row.version),
            bypass: false,
        };
        let released = done(vault, command);
        // What the default of its bucket locks stays.
        assert!(released.is_ok() || !row.marker, "{released:?}");
        row.released = released.is_ok();
    }

    fn part(&mut self, vault: &mut Running, who: &'static str, bytes: usize, number: u16) {
        let Some((id, parts)) = self.uploads.entry(who).or_default().last_mut() else {
            return;
        };
        let etag = put_part(vault, &name(who, "m"), *id, number, bytes);
        let fits = etag
            .as_ref()
            .map(|etag| parts.insert(number, etag.clone()))
            .is_ok();
        assert_eq!(fits, self.fits(who, bytes as u64, 0), "{etag:?}");
        self.add(who, if fits { bytes as u64 } else { 0 }, 0);
    }

    /// Completes an upload with its first part only, or gives it up: its parts lie there anyhow.
    fn end(&mut self, vault: &mut Running, who: &'static str, complete: bool) {
        let Some((upload, parts)) = self.uploads.entry(who).or_default().pop() else {
            return;
        };
        let name = name(who, "m");
        let first = parts.into_iter().next().filter(|_| complete);
        let Some((number, etag)) = first else {
            done(vault, Command::AbortUpload { name, upload }).unwrap();
            return;
        };
        let command = Command::CompleteUpload {
            name,
            upload,
            parts: vec![NamedPart {
                number,
                etag,
                checksums: Vec::new(),
            }],
            checksums: Vec::new(),
            conditions: Conditions::default(),
        };
        let fits = self.fits(who, 0, 1);
        assert_eq!(done(vault, command).is_ok(), fits);
        self.add(who, 0, u64::from(fits));
    }

    fn check(&self, vault: &Running) {
        let status = vault.engine.status();
        for who in OWNERS {
            let expected = self.usage.get(who).copied().unwrap_or_default();
            assert_eq!(status.usage[&owner(who)], expected, "{who}");
            // However it hides and shows again, every marker over the quota has a version of its own.
            assert!(expected.versions <= 2 * VERSIONS_MAX, "{who}");
        }
    }
}

/// The index areas of all disks are overwritten with nothing.
fn lose_index(rig: &Rig) {
    let geometry = DiskGeometry {
        disk_bytes: ByteCount::new(DISK_BYTES),
        index_bytes: ByteCount::new(PARAMS.index_bytes),
        keystate_bytes: PARAMS.keystate_bytes,
        unit_bytes: PARAMS.unit_bytes,
        segment_units: UnitCount::new(PARAMS.segment_units),
    };
    let nothing = vec![0; usize::try_from(PARAMS.index_bytes).unwrap()];
    for handle in rig.handles.iter().flatten() {
        handle.tamper(geometry.index_offset().get(), &nothing);
    }
}

#[test]
fn what_owners_store_is_counted_exactly_over_stops_crashes_snapshots_and_rebuilds() {
    let mut over = 0;
    for seed in 1..=6 {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ seed << 17);
        let mut rig = Rig::create(3);
        // Snapshots come often, so that replay begins in the middle.
        rig.options.snapshot_rows = 20;
        let mut model = Model::default();
        let mut vault = rig.start();
        for who in OWNERS {
            become_client(&mut vault, client(who));
            done(&mut vault, make(who)).unwrap();
        }
        for round in 0..8 {
            for _ in 0..15 {
                model.step(&mut vault, &mut chance);
                model.check(&vault);
            }
            vault.asker = None;
            match round % 4 {
                0 => vault.stop(),
                1 => {
                    drop(vault);
                    rig.crash();
                }
                2 => {
                    vault.stop();
                    lose_index(&rig);
                }
                _ => {
                    drop(vault);
                    rig.crash();
                    lose_index(&rig);
                }
            }
            vault = rig.start();
            assert_eq!(vault.report.index_rebuilt, round % 4 >= 2, "round {round}");
            model.check(&vault);
        }
        assert!(
            model.usage.values().any(|usage| usage.versions > 20),
            "seed {seed} did little"
        );
        over += model.over;
    }
    assert!(over > 0, "nothing was hidden where the quota was used up");
}
