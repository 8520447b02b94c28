//! After a crash: what of the unknown happened, and whether all of the known is still there.
//!
//! Each change of unknown outcome either shows in the survey as a whole and becomes part of the
//! model, or does not show at all and is forgotten. Then the survey must equal the model.

use std::collections::BTreeSet;

use stele_format::units::VersionId;
use stele_store::request::{ListWish, ObjectInfo, Page};

use super::answer::lock_agrees;
use super::deed::{Asked, Deed};
use super::model::{Belief, Bucket, Model, Part, Place, Version};
use super::reads::is_weaker;
use super::rules::{self, Times};
use super::survey::{BucketSurvey, Seen, Survey};
use super::{Oracle, number_of};
use crate::content::{Body, Content};
use crate::context::Context;
use crate::error::Violation;

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
            Err(_) if self.may_lack() && (undecided || forgetful) => {
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

    fn settle_buckets(&mut self, open: &mut Open, survey: &Survey) {
        for seen in &survey.buckets {
            let info = &seen.info;
            if !self.model.buckets.contains_key(&info.name) {
                let made = |deed: &Deed| matches!(deed, Deed::CreateBucket { name, .. } if *name == info.name);
                if open.take(made).is_some() {
                    self.model
                        .buckets
                        .insert(info.name.clone(), fresh_bucket(info));
                }
            }
            let Some(bucket) = self.model.buckets.get_mut(&info.name) else {
                continue;
            };
            if bucket.default != info.default {
                let set = |deed: &Deed| {
                    matches!(deed, Deed::SetDefault { bucket, default }
                        if *bucket == info.name && *default == info.default)
                };
                if open.take(set).is_some() {
                    bucket.default = info.default;
                }
            }
        }
        let shown = |name: &String| survey.buckets.iter().any(|seen| seen.info.name == *name);
        self.model.buckets.retain(|name, bucket| {
            let gone = |deed: &Deed| matches!(deed, Deed::DeleteBucket { name: n } if n == name);
            shown(name) || !bucket.is_empty() || open.take(gone).is_none()
        });
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
                key.version(version.row.version).is_some()
                    || key.released.contains(&version.row.version)
            });
            if !known {
                self.adopt(open, &at, version)?;
                replaced.insert(at.key);
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
            } => seen.row.marker && place == at,
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
        if !lock_agrees(belief, found) {
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
                    } => *place == at && *id == version.id,
                    Deed::Delete {
                        at: place,
                        version: None,
                        ..
                    } => *place == at && !bucket.versioned(),
                    _ => false,
                });
                if let Some(asked) = &deleted {
                    let verdict = rules::judge(&self.model, asked, open.times(asked));
                    if let Some(why) = verdict.must.first() {
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
        if let Some(known) = self
            .model
            .key_mut(at)
            .and_then(|key| key.version_mut(info.version))
        {
            *known = version;
        }
        Ok(())
    }

    fn settle_uploads(&mut self, open: &mut Open, seen: &BucketSurvey) -> Result<(), Violation> {
        let name = &seen.info.name;
        for (row, parts) in &seen.uploads {
            let at = Place {
                bucket: name.clone(),
                key: row.key.clone(),
            };
            let bucket = self.model.buckets.get(name);
            if !bucket.is_some_and(|bucket| bucket.uploads.contains_key(&row.upload)) {
                let began = |deed: &Deed| matches!(deed, Deed::CreateUpload { at: place, .. } if *place == at);
                let Some(Asked {
                    deed: Deed::CreateUpload { number, lock, .. },
                    ..
                }) = open.take(began)
                else {
                    let what = format!("upload {}", row.upload);
                    return Err(Violation::Unexpected {
                        place: at.to_string(),
                        what,
                    });
                };
                // Changes of one name go one after the other: of several, it was the first.
                self.upload(&at, row.upload, Some(number), lock);
            }
            for part in parts {
                self.settle_part(open, name, row.upload, part);
            }
        }
        self.settle_aborts(open, seen)
    }

    fn settle_part(
        &mut self,
        open: &mut Open,
        bucket: &str,
        upload: stele_format::units::UploadId,
        row: &stele_store::request::ListedPart,
    ) {
        let bucket = self.model.buckets.get_mut(bucket);
        let Some(known) = bucket.and_then(|bucket| bucket.uploads.get_mut(&upload)) else {
            return;
        };
        if known
            .parts
            .get(&row.number)
            .is_some_and(|part| part.etag == row.etag)
        {
            return;
        }
        let stored = open.take(|deed| {
            matches!(deed, Deed::Part { upload: id, number, content, checksums, .. }
                if *id == upload && *number == row.number && content.bytes == row.content_bytes
                    && *checksums == row.checksums)
        });
        if let Some(Asked {
            deed: Deed::Part {
                content, checksums, ..
            },
            ..
        }) = stored
        {
            let etag = row.etag.clone();
            known.parts.insert(
                row.number,
                Part {
                    content,
                    etag,
                    checksums,
                },
            );
        }
    }

    fn settle_aborts(&mut self, open: &mut Open, seen: &BucketSurvey) -> Result<(), Violation> {
        let Some(bucket) = self.model.buckets.get_mut(&seen.info.name) else {
            return Ok(());
        };
        let mut lost = None;
        bucket.uploads.retain(|id, upload| {
            let shown = seen.uploads.iter().any(|(row, _)| row.upload == *id);
            let aborted =
                |deed: &Deed| matches!(deed, Deed::AbortUpload { upload, .. } if upload == id);
            if shown || lost.is_some() {
                return true;
            }
            if open.take(aborted).is_none() {
                let key = upload.key.clone();
                lost = Some((
                    Place {
                        bucket: seen.info.name.clone(),
                        key,
                    },
                    *id,
                ));
            }
            false
        });
        match lost {
            None => Ok(()),
            Some((at, upload)) => Err(Violation::UploadLost {
                place: at.to_string(),
                upload,
            }),
        }
    }

    /// With everything settled, survey and model must be the same.
    fn compare_survey(&mut self, survey: &Survey) -> Result<(), Violation> {
        let rows: Vec<_> = survey
            .buckets
            .iter()
            .map(|seen| seen.info.clone())
            .collect();
        self.compare_buckets(&rows)?;
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
                .is_some_and(|key| key.released.contains(&version.row.version));
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

    fn compare_uploads(&self, wish: &ListWish, seen: &BucketSurvey) -> Result<(), Violation> {
        let Some(bucket) = self.model.buckets.get(&wish.bucket) else {
            return Ok(());
        };
        for (row, parts) in &seen.uploads {
            let Some(known) = bucket.uploads.get(&row.upload) else {
                continue;
            };
            for (number, part) in &known.parts {
                let shown = parts.iter().find(|shown| shown.number == *number);
                let same = shown.is_some_and(|shown| {
                    shown.etag == part.etag && shown.content_bytes == part.content.bytes
                });
                if !same {
                    return Err(Violation::PartLost {
                        upload: row.upload,
                        number: *number,
                        found: format!("{shown:?}"),
                    });
                }
            }
            if let Some(extra) = parts
                .iter()
                .find(|part| !known.parts.contains_key(&part.number))
            {
                return Err(Violation::Unexpected {
                    place: wish.bucket.clone(),
                    what: format!("part {} of upload {}", extra.number, row.upload),
                });
            }
        }
        Ok(())
    }

    /// Outside the fault budget: believes what is shown, with the bodies of what is known.
    fn rebuilt(&self, survey: &Survey) -> Model {
        let mut model = Model::default();
        for seen in &survey.buckets {
            let mut bucket = fresh_bucket(&seen.info);
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
                    parts: None,
                    upload: None,
                });
            }
            model.buckets.insert(seen.info.name.clone(), bucket);
        }
        model
    }
}

fn fresh_bucket(info: &stele_store::request::BucketInfo) -> Bucket {
    Bucket {
        id: info.id,
        kind: info.kind,
        default: info.default,
        keys: std::collections::BTreeMap::new(),
        uploads: std::collections::BTreeMap::new(),
    }
}

fn whole<Row>(rows: Vec<Row>) -> Page<Row> {
    Page {
        rows,
        common_prefixes: Vec::new(),
        next: None,
    }
}
