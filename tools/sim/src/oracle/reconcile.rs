//! After a crash: what of the unknown happened, and whether all of the known is still there.
//!
//! Each change of unknown outcome either shows in the survey as a whole and becomes part of the
//! model, or does not show at all and is forgotten. Then the survey must equal the model.

use std::collections::BTreeSet;

use stele_format::units::VersionId;
use stele_store::request::{ListWish, ObjectInfo, Page};

use super::answer::lock_agrees;
use super::deed::{Asked, Deed};
use super::model::{Belief, Bucket, Key, Model, Place, Version};
use super::reads::is_weaker;
use super::rules::{self, Times};
use super::survey::{BucketSurvey, Seen, Survey};
use super::upkeep::Upkeep;
use super::{Oracle, number_of};
use crate::content::{Body, Content};
use crate::context::Context;
use crate::error::Violation;
use crate::who::Who;

mod buckets;
mod uploads;

/// Under which circumstances a survey was taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances {
    /// The vault takes no writes, and says why.
    pub read_only: bool,
    /// Some disk may have forgotten what it acknowledged: beyond the budget nothing can tell then.
    pub forgetful: bool,
    /// Nothing is lost, only away: what is not shown shows again.
    pub comes_back: bool,
}

/// Changes of unknown outcome; those that are seen to have happened are taken out.
struct Open {
    left: Vec<Asked>,
    happened: u64,
    now_ms: u64,
    wall_ms: u64,
    /// Every default that versions may have got by what was under way.
    defaults: buckets::Defaults,
}

impl Open {
    fn take(&mut self, fits: impl Fn(&Deed) -> bool) -> Option<Asked> {
        let place = self.left.iter().position(|asked| fits(&asked.deed))?;
        self.happened += 1;
        Some(self.left.remove(place))
    }

    fn times(&self, asked: &Asked) -> Times {
        Times {
            since_ms: asked.since_ms,
            until_ms: self.now_ms,
            wall_ms: self.wall_ms,
        }
    }
}

impl Oracle {
    /// Names of configuration values that are known or may have been set.
    #[must_use]
    pub fn config_names(&self) -> BTreeSet<String> {
        let unknown = self.unknown.iter().filter_map(|asked| match &asked.deed {
            Deed::PutConfig { name, .. } => Some(name.clone()),
            _ => None,
        });
        self.model.configs.keys().cloned().chain(unknown).collect()
    }

    /// Settles every unknown outcome by a survey, and compares all of it with what is known.
    ///
    /// # Errors
    /// Something acknowledged is gone or changed, or something shows that was never asked for.
    pub fn reconcile(
        &mut self,
        context: &mut Context,
        survey: &Survey,
        circumstances: Circumstances,
    ) -> Result<(), Violation> {
        let left = std::mem::take(&mut self.unknown);
        let mut open = Open {
            left,
            happened: 0,
            now_ms: context.true_ms(),
            wall_ms: context.wall_peak_ms(),
            defaults: buckets::Defaults::default(),
        };
        if self.blurred {
            self.model = self.rebuilt(survey);
            return Ok(());
        }
        let Circumstances {
            read_only,
            forgetful,
            comes_back,
        } = circumstances;
        let undecided = read_only || survey.refused > 0;
        let before = undecided.then(|| (self.model.clone(), self.book.clone(), open.left.clone()));
        match self.settle(&mut open, survey) {
            Err(_) if self.may_lack() && comes_back && before.is_some() => {}
            Err(violation)
                if self.may_lack() && (forgetful || undecided && violation.is_lack()) =>
            {
                // What is missing is told, or cannot be: from here on bytes alone are compared.
                context.report.blurred += 1;
                self.blurred = true;
                self.model = self.rebuilt(survey);
                return Ok(());
            }
            settled => settled?,
        }
        // A start that may not write has decided nothing: what it does not see may lie on a disk that is away,
        // and show when that is back; what it shows that was never acknowledged may lie on too few disks, and
        // be gone when others are here. Nor is anything decided where the vault did not show all.
        match before {
            Some((model, book, unknown)) => {
                (self.model, self.book, self.unknown) = (model, book, unknown);
            }
            None => context.report.happened += open.happened,
        }
        Ok(())
    }

    /// Settles every unknown outcome and compares the survey with what is known then.
    fn settle(&mut self, open: &mut Open, survey: &Survey) -> Result<(), Violation> {
        self.settle_people(open, survey)?;
        self.settle_buckets(open, survey);
        for seen in &survey.buckets {
            self.settle_versions(open, seen)?;
            self.settle_uploads(open, seen)?;
        }
        for (name, value) in &survey.configs {
            let set = |deed: &Deed| matches!(deed, Deed::PutConfig { name: n, value: v } if n == name && Some(v) == value.as_ref());
            if self.model.configs.get(name) != value.as_ref()
                && let (Some(_), Some(value)) = (open.take(set), value)
            {
                self.model.configs.insert(name.clone(), value.clone());
            }
        }
        self.compare_survey(survey)?;
        match &survey.office {
            Some(seen) => self.book.compare_all(&self.model, seen),
            None => Ok(()),
        }
    }

    fn settle_people(&mut self, open: &mut Open, survey: &Survey) -> Result<(), Violation> {
        let Some(seen) = &survey.office else {
            return Ok(());
        };
        let asked: Vec<Asked> = open.left.clone();
        // What a client asked at the same time may have come first.
        let disturbed = |model: &Model, version: VersionId| {
            asked.iter().filter_map(|one| one.deed.place()).any(|at| {
                let key = model.key(at);
                key.is_some_and(|key| key.version(version).is_some())
            })
        };
        for one in &asked {
            if let Deed::Official(official) = &one.deed {
                let times = open.times(one);
                let happened =
                    self.book
                        .settle(&mut self.model, official, seen, times, &disturbed)?;
                open.happened += u64::from(happened);
            }
        }
        Ok(())
    }

    fn settle_versions(&mut self, open: &mut Open, seen: &BucketSurvey) -> Result<(), Violation> {
        let name = &seen.info.name;
        let mut replaced: BTreeSet<Vec<u8>> = BTreeSet::new();
        for version in &seen.versions {
            let at = Place {
                bucket: name.clone(),
                key: version.row.key.clone(),
            };
            let known = self.model.key(&at).is_some_and(|key| {
                key.version(version.row.version).is_some() || key.is_gone(version.row.version)
            });
            if !known {
                self.adopt(open, &at, version)?;
                replaced.insert(at.key);
            } else if let Some(key) = self.model.key_mut(&at) {
                settle_unrelease(open, &at, key, version.row.version);
            }
        }
        let shown: BTreeSet<VersionId> = seen.versions.iter().map(|v| v.row.version).collect();
        self.settle_releases(open, name, &shown, &replaced)?;
        for version in &seen.versions {
            let at = Place {
                bucket: name.clone(),
                key: version.row.key.clone(),
            };
            if let Some(info) = &version.info {
                self.settle_lock(open, &at, info)?;
            }
        }
        Ok(())
    }

    /// A version nobody acknowledged: it must be one of those asked for when the machine died.
    fn adopt(&mut self, open: &mut Open, at: &Place, seen: &Seen) -> Result<(), Violation> {
        let id = seen.row.version;
        let unexpected = |what: String| Violation::Unexpected {
            place: at.to_string(),
            what,
        };
        let number = seen.info.as_ref().and_then(number_of);
        let uploads = self
            .model
            .buckets
            .get(&at.bucket)
            .map(|bucket| &bucket.uploads);
        let made = open.take(|deed| match deed {
            Deed::Delete {
                at: place,
                version: None,
                ..
            }
            | Deed::Upkeep(Upkeep::Expire {
                at: place,
                next: None,
                ..
            }) => seen.row.marker && place == at,
            Deed::Put {
                at: place, content, ..
            } => !seen.row.marker && place == at && number == Some(content.number),
            Deed::Complete {
                at: place, upload, ..
            } => {
                let known = uploads.and_then(|uploads| uploads.get(upload));
                let same =
                    known.is_some_and(|known| known.number.is_none_or(|n| Some(n) == number));
                !seen.row.marker && place == at && same
            }
            _ => false,
        });
        let asked = made.ok_or_else(|| unexpected(format!("version {id}, number {number:?}")))?;
        let version = self.version_of(open, at, seen, &asked)?;
        let bucket = self.model.buckets.get_mut(&at.bucket);
        let bucket = bucket.ok_or_else(|| unexpected(format!("version {id} without a bucket")))?;
        if let Deed::Complete { upload, .. } = &asked.deed {
            bucket.uploads.remove(upload);
        }
        let key = bucket.keys.entry(at.key.clone()).or_default();
        key.versions.push(version);
        key.versions.sort_by_key(|version| version.id.ordinal());
        Ok(())
    }

    fn version_of(
        &self,
        open: &Open,
        at: &Place,
        seen: &Seen,
        asked: &Asked,
    ) -> Result<Version, Violation> {
        let (body, checksums, lock, parts) = match &asked.deed {
            Deed::Put {
                content,
                checksums,
                lock,
                ..
            } => (Body::of(*content), checksums.clone(), Some(*lock), None),
            Deed::Complete { upload, parts, .. } => {
                let bucket = self.model.buckets.get(&at.bucket);
                let known = bucket.and_then(|bucket| bucket.uploads.get(upload));
                let contents: Vec<Content> = known
                    .map(|known| {
                        let named = parts.iter();
                        named
                            .filter_map(|(n, _)| Some(known.parts.get(n)?.content))
                            .collect()
                    })
                    .unwrap_or_default();
                let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
                (
                    Body(contents),
                    Vec::new(),
                    known.map(|known| known.lock),
                    Some(count),
                )
            }
            _ => (Body::default(), Vec::new(), None, None),
        };
        let info = seen.info.as_ref();
        let found = info.and_then(|info| info.retention);
        let belief = lock.map_or(Belief::Exact(None), |lock| {
            self.first_lock(at, lock, open.times(asked))
        });
        let from_default = lock.is_some_and(|lock| lock.retention.is_none());
        let other = || from_default && open.had_default(at, found, open.times(asked));
        if !lock_agrees(belief, found) && !other() {
            return Err(Violation::Lock {
                deed: asked.deed.to_string(),
                why: "the version that a crash left open has another retention than asked for",
            });
        }
        Ok(Version {
            id: seen.row.version,
            marker: seen.row.marker,
            body,
            number: info.and_then(number_of),
            etag: info.map(|info| info.etag.clone()).unwrap_or_default(),
            checksums,
            retention: Belief::Exact(found),
            hold: lock.is_some_and(|lock| lock.hold == Some(true)),
            modified: info.map(|info| info.modified),
            stored_ms: open.times(asked).between_ms(),
            tags: None,
            parts,
            upload: match &asked.deed {
                Deed::Complete { upload, .. } => Some(*upload),
                _ => None,
            },
        })
    }

    /// Versions that are not shown any more must have been released by something asked for.
    fn settle_releases(
        &mut self,
        open: &mut Open,
        name: &str,
        shown: &BTreeSet<VersionId>,
        replaced: &BTreeSet<Vec<u8>>,
    ) -> Result<(), Violation> {
        let Some(bucket) = self.model.buckets.get(name) else {
            return Ok(());
        };
        let mut released: Vec<(Place, VersionId)> = Vec::new();
        for (key_name, key) in &bucket.keys {
            let at = Place {
                bucket: name.to_owned(),
                key: key_name.clone(),
            };
            for version in key
                .versions
                .iter()
                .filter(|version| !shown.contains(&version.id))
            {
                let overwritten = !bucket.versioned() && replaced.contains(key_name);
                let deleted = open.take(|deed| match deed {
                    Deed::Delete {
                        at: place,
                        version: Some(id),
                        ..
                    }
                    | Deed::Upkeep(Upkeep::Expire {
                        at: place,
                        version: id,
                        ..
                    }) => *place == at && *id == version.id,
                    Deed::Delete {
                        at: place,
                        version: None,
                        ..
                    } => *place == at && !bucket.versioned(),
                    _ => false,
                });
                if let Some(asked) = &deleted {
                    let verdict = rules::judge(&self.model, asked, open.times(asked));
                    // What was under way beside it may have made it due.
                    let mut why = verdict.must.iter();
                    if let Some(why) = why.find(|kind| **kind != "NotDue") {
                        let deed = asked.deed.to_string();
                        return Err(Violation::Lock { deed, why });
                    }
                }
                if overwritten || deleted.is_some() {
                    released.push((at.clone(), version.id));
                } else {
                    let place = at.to_string();
                    return Err(Violation::Lost {
                        place,
                        version: version.id,
                    });
                }
            }
        }
        for (at, version) in released {
            if let Some(key) = self.model.key_mut(&at) {
                key.release(version);
            }
        }
        Ok(())
    }

    /// A lock that is not the acknowledged one must be one asked for when the machine died.
    fn settle_lock(
        &mut self,
        open: &mut Open,
        at: &Place,
        info: &ObjectInfo,
    ) -> Result<(), Violation> {
        let found = self
            .model
            .key(at)
            .and_then(|key| key.version(info.version))
            .cloned();
        let Some(mut version) = found else {
            return Ok(());
        };
        let means = |place: &Place, id: &Option<VersionId>| {
            place == at && id.is_none_or(|id| id == info.version)
        };
        if !version.retention.agrees(info.retention) {
            let set = open.take(|deed| {
                matches!(deed, Deed::SetRetention { at, version, wanted, .. }
                    if means(at, version) && *wanted == info.retention)
            });
            match set {
                Some(asked) => {
                    let verdict = rules::judge(&self.model, &asked, open.times(&asked));
                    if let Some(why) = verdict.must.first() {
                        return Err(Violation::Lock {
                            deed: asked.deed.to_string(),
                            why,
                        });
                    }
                    version.retention = Belief::Exact(info.retention);
                }
                None if is_weaker(&version.retention, info.retention) => {
                    return Err(Violation::Lock {
                        deed: format!("retention of {at} version {}", info.version),
                        why: "it is weaker than acknowledged",
                    });
                }
                None => {}
            }
        }
        let hold = info.hold == Some(true);
        if version.hold != hold {
            let set = open.take(|deed| {
                matches!(deed, Deed::SetHold { at, version, on } if means(at, version) && *on == hold)
            });
            if set.is_some() {
                version.hold = hold;
            }
        }
        let tags = &info.metadata.tags;
        if version.tags.as_ref().is_some_and(|known| known != tags) {
            let set = open.take(|deed| {
                matches!(deed, Deed::Upkeep(Upkeep::SetTags { at, version, tags: new })
                    if means(at, version) && new == tags)
            });
            if set.is_some() {
                version.tags = Some(tags.clone());
            }
        }
        if let Some(known) = self
            .model
            .key_mut(at)
            .and_then(|key| key.version_mut(info.version))
        {
            *known = version;
        }
        Ok(())
    }

    /// With everything settled, survey and model must be the same.
    fn compare_survey(&mut self, survey: &Survey) -> Result<(), Violation> {
        let rows: Vec<_> = survey
            .buckets
            .iter()
            .map(|seen| seen.info.clone())
            .collect();
        self.compare_buckets(&rows, Who::default())?;
        for seen in &survey.buckets {
            self.compare_bucket(seen)?;
        }
        for (name, value) in &survey.configs {
            if self.model.configs.get(name) != value.as_ref() {
                return Err(Violation::Config { name: name.clone() });
            }
        }
        Ok(())
    }

    fn compare_bucket(&mut self, seen: &BucketSurvey) -> Result<(), Violation> {
        let name = &seen.info.name;
        for version in &seen.versions {
            let at = Place {
                bucket: name.clone(),
                key: version.row.key.clone(),
            };
            let released = self
                .model
                .key(&at)
                .is_some_and(|key| key.is_gone(version.row.version));
            if released {
                let place = at.to_string();
                return Err(Violation::Returned {
                    place,
                    version: version.row.version,
                });
            }
            if let Some(info) = &version.info {
                self.learn(&at, info)?;
            }
        }
        let wish = ListWish {
            bucket: name.clone(),
            entries_max: u32::MAX,
            ..ListWish::default()
        };
        let rows = seen
            .versions
            .iter()
            .map(|version| version.row.clone())
            .collect();
        self.compare_versions(&wish, &whole(rows))?;
        self.compare_objects(&wish, &whole(seen.objects.clone()))?;
        self.compare_uploads(&wish, seen)
    }

    /// Outside the fault budget: believes what is shown, with the bodies of what is known.
    fn rebuilt(&self, survey: &Survey) -> Model {
        let mut model = Model::default();
        for seen in &survey.buckets {
            let mut bucket = Bucket::of(&seen.info);
            for version in seen.versions.iter().rev() {
                let info = version.info.as_ref();
                let number = info.and_then(number_of);
                let body = number.and_then(|number| self.bodies.get(&number)).cloned();
                let key = bucket.keys.entry(version.row.key.clone()).or_default();
                key.versions.push(Version {
                    id: version.row.version,
                    marker: version.row.marker,
                    body: body.unwrap_or_default(),
                    number,
                    etag: version.row.etag.clone(),
                    checksums: Vec::new(),
                    retention: Belief::Exact(info.and_then(|info| info.retention)),
                    hold: info.is_some_and(|info| info.hold == Some(true)),
                    modified: None,
                    stored_ms: (0, u64::MAX),
                    tags: None,
                    parts: None,
                    upload: None,
                });
            }
            model.buckets.insert(seen.info.name.clone(), bucket);
        }
        model
    }
}

/// A release that was taken back when the machine died.
fn settle_unrelease(open: &mut Open, at: &Place, key: &mut Key, id: VersionId) {
    let back = |deed: &Deed| {
        matches!(deed, Deed::Upkeep(Upkeep::Unrelease { at: place, version })
            if place == at && *version == id)
    };
    if key.released.contains_key(&id) && open.take(back).is_some() {
        key.unrelease(id);
    }
}

fn whole<Row>(rows: Vec<Row>) -> Page<Row> {
    Page {
        rows,
        common_prefixes: Vec::new(),
        next: None,
    }
}
