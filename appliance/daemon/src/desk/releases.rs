//! Versions that clients released: shown, and brought back to S3.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::statement::Act;
use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::BucketKind;
use stele_store::policy::approval::RequestState;
use stele_store::policy::words::utc;
use stele_store::request::{Answer, Command, ListWish, ObjectName, Page, Refusal, ReleasedVersion};

use super::{Desk, NotStated};
use crate::control::desk::{DeskReply, Released, ReleasedList, ReleasedStatus, Unreleased};
use crate::error::{Error, Outcome};
use crate::limits::{LIST_PAGE_COUNT, RELEASED_BYTES_MAX, UNDO_COUNT_MAX};

/// Versions that are to be brought back, and how many are left as they are, by why.
type Chosen = (Vec<ReleasedVersion>, BTreeMap<String, u64>);

impl Desk {
    pub(super) fn show_released(&self, which: &Released) -> Outcome<DeskReply> {
        let (rows, more) = self.released(which, RELEASED_BYTES_MAX)?;
        let versions = rows.iter().map(status).collect();
        Ok(DeskReply::Released(ReleasedList { versions, more }))
    }

    /// Takes releases back one by one; what cannot be is told and stays.
    pub(super) fn undo_releases(&self, which: &Released) -> Outcome<DeskReply> {
        let every = which.key.is_none() && which.prefix.is_none() && which.since_ms.is_none();
        if every && which.versions.is_empty() {
            return Err(NotStated::EveryRelease.into());
        }
        let plain = self.kind(&which.bucket)? == BucketKind::Plain;
        let (rows, _) = self.released(which, usize::MAX)?;
        let (chosen, mut left) = match which.versions.as_slice() {
            [] => choose(rows, which.since_ms.map(UnixMillis::new), plain),
            wanted => (exactly(rows, wanted)?, BTreeMap::new()),
        };
        let mut versions = 0;
        for row in chosen.iter().take(UNDO_COUNT_MAX) {
            match self.undo_release(&which.bucket, row)? {
                None => versions += 1,
                Some(why) => *left.entry(why.to_string()).or_default() += 1,
            }
        }
        let mut words: Vec<String> = left
            .into_iter()
            .map(|(why, count)| format!("{count} left released: {why}"))
            .collect();
        if let Some(more) = chosen.len().checked_sub(UNDO_COUNT_MAX + 1) {
            let more = more + 1;
            words.push(format!("{more} are left for another time: ask again"));
        }
        if versions > 0 {
            words.extend(self.open_erasures()?);
        }
        Ok(DeskReply::Unreleased(Unreleased { versions, words }))
    }

    /// Why a release was not taken back, where that is about the version.
    fn undo_release(&self, bucket: &str, row: &ReleasedVersion) -> Outcome<Option<Refusal>> {
        let done = self.patiently(|| Command::Unrelease {
            name: ObjectName {
                bucket: bucket.to_owned(),
                key: row.key.clone(),
            },
            version: row.version,
        });
        match done {
            Ok(_) => Ok(None),
            Err(Error::NotDone(
                why @ (Refusal::NoSuchVersion
                | Refusal::NotReleased
                | Refusal::KeyTaken
                | Refusal::BeingDestroyed { .. }),
            )) => Ok(Some(why)),
            Err(error) => Err(error),
        }
    }

    fn kind(&self, bucket: &str) -> Outcome<BucketKind> {
        let name = bucket.to_owned();
        match self.ask(|| Command::HeadBucket { name: name.clone() })? {
            Answer::Bucket(info) => Ok(info.kind),
            _ => Err(Error::NoAnswer),
        }
    }

    /// Released versions by key, then newest first, and whether there are more than fit.
    fn released(
        &self,
        which: &Released,
        bytes_max: usize,
    ) -> Outcome<(Vec<ReleasedVersion>, bool)> {
        let prefix = which.key.as_ref().or(which.prefix.as_ref());
        let mut wish = ListWish {
            bucket: which.bucket.clone(),
            prefix: prefix
                .map(|text| text.as_bytes().to_vec())
                .unwrap_or_default(),
            entries_max: LIST_PAGE_COUNT,
            ..ListWish::default()
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        loop {
            let page: Page<_> = match self.ask(|| Command::ListReleased(wish.clone()))? {
                Answer::ReleasedListing(page) => page,
                _ => return Err(Error::NoAnswer),
            };
            for row in page.rows.into_iter().filter(|row| is_meant(which, row)) {
                bytes += shown_bytes(&row);
                if bytes > bytes_max {
                    return Ok((found, true));
                }
                found.push(row);
            }
            let Some((key, version)) = page.next else {
                return Ok((found, false));
            };
            wish.after = Some(key);
            wish.after_version = version;
        }
    }

    /// What people should know who think that a version is safe now.
    fn open_erasures(&self) -> Outcome<Vec<String>> {
        let open = |state| {
            use RequestState::{Cooling, Executable, Requested};
            matches!(state, Requested | Cooling | Executable)
        };
        let requests = self.people()?.requests.into_iter();
        let erasing = requests.filter(|one| open(one.state) && matches!(one.act, Act::Erase(_)));
        let words = erasing.map(|one| {
            format!(
                "request {} destroys what is on its list, released or not: veto it if it was drafted before",
                one.request
            )
        });
        Ok(words.collect())
    }
}

fn is_meant(which: &Released, row: &ReleasedVersion) -> bool {
    let of_key = which.key.as_ref();
    of_key.is_none_or(|key| row.key == key.as_bytes())
        && which
            .since_ms
            .is_none_or(|since| row.released.get() >= since)
}

/// What a row takes in a reply at most: each byte of a key may be escaped.
fn shown_bytes(row: &ReleasedVersion) -> usize {
    6 * row.key.len() + 512
}

/// Exactly these, markers too; all must be there.
fn exactly(rows: Vec<ReleasedVersion>, wanted: &[String]) -> Outcome<Vec<ReleasedVersion>> {
    let mut ids = BTreeSet::new();
    for text in wanted {
        let id = VersionId::parse_hex(text);
        ids.insert(id.ok_or_else(|| NotStated::NotReleased(text.clone()))?);
    }
    let rows: Vec<ReleasedVersion> = rows
        .into_iter()
        .filter(|row| ids.contains(&row.version))
        .collect();
    for row in &rows {
        ids.remove(&row.version);
    }
    match ids.first() {
        Some(lost) => Err(NotStated::NotReleased(lost.to_string()).into()),
        None => Ok(rows),
    }
}

/// What of many rows, by key and newest first, is to be brought back. A delete marker never is, since it would hide
/// what comes back with it. A plain bucket shows one version of a key: what was there at the time that is said, or the
/// newest one.
fn choose(rows: Vec<ReleasedVersion>, since: Option<UnixMillis>, plain: bool) -> Chosen {
    let (mut chosen, mut left) = (Vec::<ReleasedVersion>::new(), BTreeMap::new());
    let mut leave = |why: &str| *left.entry(why.to_owned()).or_default() += 1;
    for row in rows {
        let later = since.is_some_and(|since| row.modified >= since);
        if row.marker {
            leave("a delete marker is brought back by its version id alone");
        } else if plain && later {
            leave("it was stored after that time, in a bucket that shows one version of a key");
        } else if plain && chosen.last().is_some_and(|last| last.key == row.key) {
            leave("its bucket shows one version of a key, and that is a newer one");
        } else {
            chosen.push(row);
        }
    }
    (chosen, left)
}

fn status(row: &ReleasedVersion) -> ReleasedStatus {
    ReleasedStatus {
        key: String::from_utf8_lossy(&row.key).into_owned(),
        version: row.version.to_string(),
        marker: row.marker,
        bytes: row.content_bytes,
        stored: utc(row.modified),
        released: utc(row.released),
        retention: row
            .retention
            .map(|retention| format!("{} until {}", retention.mode, utc(retention.until))),
        hold: row.hold,
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::LogIndex;

    use super::*;

    fn row(key: &str, number: u64, released: u64) -> ReleasedVersion {
        ReleasedVersion {
            key: key.as_bytes().to_vec(),
            version: VersionId::new(LogIndex::new(number), [0; 8]),
            marker: false,
            content_bytes: 1,
            modified: UnixMillis::new(number),
            released: UnixMillis::new(released),
            retention: None,
            hold: false,
        }
    }

    fn numbers(rows: &[ReleasedVersion]) -> Vec<u64> {
        rows.iter().map(|row| row.modified.get()).collect()
    }

    #[test]
    fn many_come_back_without_markers_and_one_of_a_key_where_a_bucket_shows_one() {
        let marker = ReleasedVersion {
            marker: true,
            ..row("a", 5, 90)
        };
        // Overwritten at 40 and 60, and what an attacker stored then was deleted.
        let rows = || {
            vec![
                marker.clone(),
                row("a", 60, 70),
                row("a", 40, 60),
                row("a", 10, 40),
                row("b", 20, 50),
            ]
        };
        let at = |ms| Some(UnixMillis::new(ms));
        for (since, plain, expected, left) in [
            (None, false, &[60, 40, 10, 20][..], 1),
            (at(30), false, &[60, 40, 10, 20], 1),
            (None, true, &[60, 20], 3),
            (at(30), true, &[10, 20], 3),
            (at(50), true, &[40, 20], 3),
        ] {
            let (chosen, why) = choose(rows(), since, plain);
            assert_eq!(numbers(&chosen), expected, "{since:?} {plain}");
            assert_eq!(why.values().sum::<u64>(), left, "{since:?} {plain}");
        }
    }

    #[test]
    fn exactly_the_versions_that_are_said_come_back_or_none() {
        let rows = || vec![row("a", 2, 9), row("a", 1, 9)];
        let id = |number| row("a", number, 9).version.to_string();
        assert_eq!(numbers(&exactly(rows(), &[id(1)]).expect("there")), [1]);
        for wrong in [id(3), "none".to_owned()] {
            assert!(exactly(rows(), &[id(1), wrong]).is_err());
        }
    }
}
