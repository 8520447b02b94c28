//! Answers to questions that change nothing, compared with the model.

use stele_format::units::VersionId;
use stele_store::policy::Retention;
use stele_store::request::{
    Answer, BucketInfo, Checksum, ListWish, ListedObject, ListedPart, ListedUpload, ListedVersion,
    ObjectInfo, Page,
};

use super::deed::{Asked, Deed};
use super::model::{Belief, Bucket, Place, Version};
use super::rules::Times;
use super::{Oracle, listing, number_of, rules, tenants};
use crate::error::Violation;
use crate::who::Who;

impl Oracle {
    pub(super) fn compare(
        &mut self,
        asked: &Asked,
        answer: &Answer,
        times: Times,
    ) -> Result<(), Violation> {
        match (&asked.deed, answer) {
            (Deed::OpenPut { .. }, Answer::Stream(_)) => Ok(()),
            (Deed::Head { at, version }, Answer::Object(info)) => {
                self.right_version(at, *version, info)?;
                self.learn(at, info)
            }
            (
                Deed::OpenGet { at, version, range },
                Answer::Opened {
                    info, range: got, ..
                },
            ) => {
                self.right_version(at, *version, info)?;
                if rules::bytes_of(*range, info.content_bytes) != Some(*got) {
                    return Err(Self::strange(asked, answer));
                }
                self.learn(at, info)
            }
            (Deed::List(wish), Answer::Listing(page)) => self.compare_objects(wish, page),
            (Deed::ListVersions(wish), Answer::VersionListing(page)) => {
                self.compare_versions(wish, page)
            }
            (Deed::ListUploads(wish), Answer::Uploads(page)) => {
                self.compare_upload_rows(wish, page)
            }
            (
                Deed::ListParts {
                    at,
                    upload,
                    after,
                    parts_max,
                },
                Answer::Parts(rows, more),
            ) => self.parts(at, *upload, (*after, *parts_max), rows, *more),
            (Deed::ListBuckets, Answer::Buckets(rows)) => self.compare_buckets(rows, asked.who),
            (Deed::HeadBucket { name }, Answer::Bucket(info)) => {
                let Some(bucket) = self.model.buckets.get(name) else {
                    return Ok(());
                };
                self.bucket(bucket, info)
            }
            (Deed::GetConfig { name }, Answer::Config(value)) => {
                if self.model.configs.get(name) == value.as_ref() || asked.overtaken.contains(value)
                {
                    return Ok(());
                }
                Err(Violation::Config { name: name.clone() })
            }
            (Deed::Upkeep(_), answer) => self.compare_upkeep(asked, answer, times),
            _ => Err(Self::strange(asked, answer)),
        }
    }

    fn right_version(
        &self,
        at: &Place,
        version: Option<VersionId>,
        info: &ObjectInfo,
    ) -> Result<(), Violation> {
        match rules::find(&self.model, at, version) {
            Ok((_, found)) if found.id == info.version => Ok(()),
            Ok((_, found)) => Err(attribute(
                at,
                found,
                "current version",
                &found.id,
                &info.version,
            )),
            Err(_) => Ok(()),
        }
    }

    /// Compares what is said of a version with what is known, and learns the rest.
    pub(super) fn learn(&mut self, at: &Place, info: &ObjectInfo) -> Result<(), Violation> {
        let Some(bucket) = self.model.buckets.get_mut(&at.bucket) else {
            return Ok(());
        };
        let versioned = bucket.versioned();
        let Some(key) = bucket.keys.get_mut(&at.key) else {
            return Ok(());
        };
        let object = *key.object.get_or_insert(info.object);
        let Some(version) = key.version_mut(info.version) else {
            return Ok(());
        };
        if object != info.object {
            return Err(attribute(at, version, "object id", &object, &info.object));
        }
        compare_info(at, version, info, versioned)?;
        if !version.retention.agrees(info.retention) {
            return Err(attribute(
                at,
                version,
                "retention",
                &Shown(&version.retention),
                &Shown(&info.retention),
            ));
        }
        if version.hold != (info.hold == Some(true)) {
            return Err(attribute(
                at,
                version,
                "hold",
                &version.hold,
                &Shown(&info.hold),
            ));
        }
        let tags = &info.metadata.tags;
        if version.tags.as_ref().is_some_and(|known| known != tags) {
            return Err(attribute(
                at,
                version,
                "tags",
                &Shown(&version.tags),
                &Shown(tags),
            ));
        }
        version.tags = Some(tags.clone());
        version.retention = Belief::Exact(info.retention);
        version.modified = Some(info.modified);
        Ok(())
    }

    fn listed<'a>(&'a self, wish: &ListWish) -> Result<&'a Bucket, Violation> {
        self.model
            .buckets
            .get(&wish.bucket)
            .ok_or_else(|| Violation::Listing {
                bucket: wish.bucket.clone(),
                what: "shown although the bucket is gone".to_owned(),
            })
    }

    pub(super) fn compare_objects(
        &self,
        wish: &ListWish,
        page: &Page<ListedObject>,
    ) -> Result<(), Violation> {
        let expected = listing::objects(self.listed(wish)?, wish);
        let believed: Vec<_> = expected
            .rows
            .iter()
            .map(|(key, version)| (*key, version.etag.as_str(), version.body.bytes()))
            .collect();
        let found: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.key.as_slice(), row.etag.as_str(), row.content_bytes))
            .collect();
        same(wish, &believed, &found)?;
        rest(wish, (&expected.prefixes, expected.more), page)
    }

    pub(super) fn compare_versions(
        &self,
        wish: &ListWish,
        page: &Page<ListedVersion>,
    ) -> Result<(), Violation> {
        let expected = listing::versions(self.listed(wish)?, wish);
        let believed: Vec<_> = expected
            .rows
            .iter()
            .map(|(key, v, newest)| {
                (
                    *key,
                    v.id,
                    v.marker,
                    *newest,
                    v.etag.as_str(),
                    v.body.bytes(),
                )
            })
            .collect();
        let found: Vec<_> = page
            .rows
            .iter()
            .map(|row| {
                let etag = if row.marker { "" } else { row.etag.as_str() };
                let key = row.key.as_slice();
                (
                    key,
                    row.version,
                    row.marker,
                    row.current,
                    etag,
                    row.content_bytes,
                )
            })
            .collect();
        same(wish, &believed, &found)?;
        rest(wish, (&expected.prefixes, expected.more), page)
    }

    fn compare_upload_rows(
        &self,
        wish: &ListWish,
        page: &Page<ListedUpload>,
    ) -> Result<(), Violation> {
        let expected = listing::uploads(self.listed(wish)?, wish);
        let found: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.key.as_slice(), row.upload))
            .collect();
        same(wish, &expected.rows, &found)?;
        rest(wish, (&expected.prefixes, expected.more), page)
    }

    fn parts(
        &self,
        at: &Place,
        upload: stele_format::units::UploadId,
        (after, parts_max): (u16, u32),
        rows: &[ListedPart],
        more: bool,
    ) -> Result<(), Violation> {
        let bucket = self.model.buckets.get(&at.bucket);
        let Some(upload) = bucket.and_then(|bucket| bucket.uploads.get(&upload)) else {
            return Ok(());
        };
        let all: Vec<_> = upload
            .parts
            .iter()
            .filter(|(number, _)| **number > after)
            .map(|(number, part)| {
                (
                    *number,
                    part.etag.as_str(),
                    part.content.bytes,
                    sorted(&part.checksums),
                )
            })
            .collect();
        let shown = &all[..all.len().min(parts_max as usize)];
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.number,
                    row.etag.as_str(),
                    row.content_bytes,
                    sorted(&row.checksums),
                )
            })
            .collect();
        if shown == found && more == (shown.len() < all.len()) {
            return Ok(());
        }
        let what = format!("parts of {at}: believed {shown:?}, found {found:?}, more {more}");
        Err(Violation::Listing {
            bucket: at.bucket.clone(),
            what,
        })
    }

    pub(super) fn compare_buckets(&self, rows: &[BucketInfo], who: Who) -> Result<(), Violation> {
        let shown = |(name, bucket): &(&String, &Bucket)| {
            let tenant = who.tenant;
            tenant.is_none_or(|tenant| tenants::sees(tenant, name, &bucket.owner))
        };
        let buckets = || self.model.buckets.iter().filter(shown);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let believed: Vec<&str> = buckets().map(|(name, _)| name.as_str()).collect();
        if names != believed {
            return Err(Violation::Bucket {
                bucket: believed.join(", "),
                what: format!("listed as {}", names.join(", ")),
            });
        }
        for ((_, bucket), row) in buckets().zip(rows) {
            self.bucket(bucket, row)?;
        }
        Ok(())
    }

    fn bucket(&self, bucket: &Bucket, row: &BucketInfo) -> Result<(), Violation> {
        let same = (bucket.id, bucket.kind, bucket.default) == (row.id, row.kind, row.default);
        let same = same && bucket.owner == row.owner.as_str();
        let rules = (&bucket.rules, &bucket.lifecycle, bucket.max_days);
        if same && rules == (&*row.rules, &*row.lifecycle, row.max_days) {
            return Ok(());
        }
        let what = format!(
            "was {} {:?} {rules:?}, now {row:?}",
            bucket.id, bucket.default
        );
        Err(Violation::Bucket {
            bucket: row.name.clone(),
            what,
        })
    }
}

/// Everything but the lock.
pub(super) fn compare_info(
    at: &Place,
    version: &Version,
    info: &ObjectInfo,
    versioned: bool,
) -> Result<(), Violation> {
    let number = number_of(info);
    if version.number.is_some() && version.number != number {
        return Err(attribute(
            at,
            version,
            "metadata",
            &Shown(&version.number),
            &Shown(&number),
        ));
    }
    let bytes = version.body.bytes();
    if bytes != info.content_bytes {
        return Err(attribute(
            at,
            version,
            "length",
            &bytes,
            &info.content_bytes,
        ));
    }
    if version.etag != info.etag {
        return Err(attribute(at, version, "etag", &version.etag, &info.etag));
    }
    if sorted(&version.checksums) != sorted(&info.checksums) {
        return Err(attribute(
            at,
            version,
            "checksums",
            &Shown(&version.checksums),
            &Shown(&info.checksums),
        ));
    }
    if version.parts != info.parts() {
        return Err(attribute(
            at,
            version,
            "parts",
            &Shown(&version.parts),
            &Shown(&info.parts()),
        ));
    }
    if version
        .modified
        .is_some_and(|modified| modified != info.modified)
    {
        let believed = Shown(&version.modified);
        return Err(attribute(
            at,
            version,
            "modified",
            &believed,
            &Shown(&info.modified),
        ));
    }
    if (info.versioned, info.lock_enabled) != (versioned, versioned) {
        return Err(attribute(
            at,
            version,
            "versioned",
            &versioned,
            &info.versioned,
        ));
    }
    Ok(())
}

/// Algorithm, composite, value: order does not count.
fn sorted(checksums: &[Checksum]) -> Vec<(u8, bool, &[u8])> {
    let mut sorted: Vec<_> = checksums
        .iter()
        .map(|sum| (sum.algorithm, sum.composite, sum.value.as_slice()))
        .collect();
    sorted.sort_unstable();
    sorted
}

/// Shows anything by its debug form.
pub(super) struct Shown<'a, T>(pub(super) &'a T);

impl<T: std::fmt::Debug> std::fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// An attribute that is not what it was.
pub(super) fn attribute(
    at: &Place,
    version: &Version,
    what: &'static str,
    believed: &dyn std::fmt::Display,
    found: &dyn std::fmt::Display,
) -> Violation {
    Violation::Attribute {
        place: at.to_string(),
        version: version.id,
        what,
        believed: believed.to_string(),
        found: found.to_string(),
    }
}

fn same<Row: PartialEq + std::fmt::Debug>(
    wish: &ListWish,
    believed: &[Row],
    found: &[Row],
) -> Result<(), Violation> {
    if believed == found {
        return Ok(());
    }
    let place = believed.iter().zip(found).position(|(a, b)| a != b);
    let place = place.unwrap_or(believed.len().min(found.len()));
    let what = format!(
        "{} rows expected, {} found; first difference at {place}: expected {:?}, found {:?}",
        believed.len(),
        found.len(),
        believed.get(place),
        found.get(place)
    );
    Err(Violation::Listing {
        bucket: wish.bucket.clone(),
        what,
    })
}

fn rest<Row>(
    wish: &ListWish,
    (prefixes, more): (&[Vec<u8>], bool),
    page: &Page<Row>,
) -> Result<(), Violation> {
    let what = if page.common_prefixes != prefixes {
        format!(
            "{} prefixes expected, {} found",
            prefixes.len(),
            page.common_prefixes.len()
        )
    } else if page.next.is_some() != more {
        format!("more expected {more}, told {}", page.next.is_some())
    } else {
        return Ok(());
    };
    Err(Violation::Listing {
        bucket: wish.bucket.clone(),
        what,
    })
}

/// The stronger of two retentions is never replaced by a weaker one without right.
#[must_use]
pub(super) fn is_weaker(believed: &Belief, found: Option<Retention>) -> bool {
    match (believed.mode(), believed.dates(), found) {
        (Some(_), _, None) => true,
        (Some(mode), Some((least, _)), Some(found)) => {
            found.mode < mode || found.until.get() < least
        }
        _ => false,
    }
}
