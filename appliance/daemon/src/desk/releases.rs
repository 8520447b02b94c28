//! Versions that clients released: shown, and brought back to S3.
//!
//! There may be millions of them, so they are gone through page by page and for a bounded time; whoever asks goes on
//! where it ended.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stele_format::statement::Act;
use stele_format::units::{LogIndex, UnixMillis, VersionId};
use stele_store::policy::BucketKind;
use stele_store::policy::approval::RequestState;
use stele_store::policy::words::utc;
use stele_store::request::{Answer, Command, ListWish, ObjectName, Page, Refusal, ReleasedVersion};

use super::{Desk, NotStated};
use crate::control::desk::{
    DeskReply, ReleasedAt, ReleasedList, ReleasedStatus, Unreleased, WhichReleased,
};
use crate::error::{Error, Outcome};
use crate::limits::{LIST_PAGE_COUNT, RELEASED_BYTES_MAX, RELEASED_MS_MAX};

/// Whether whoever goes through released versions wants more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Further {
    Wanted,
    Done,
}

impl Desk {
    pub(super) fn show_released(&self, which: &WhichReleased) -> Outcome<DeskReply> {
        let (mut versions, mut bytes) = (Vec::new(), 0);
        let next = self.each_released(which, |row| {
            bytes += shown_bytes(row);
            if bytes > RELEASED_BYTES_MAX {
                return Ok(Further::Done);
            }
            versions.push(status(row));
            Ok(Further::Wanted)
        })?;
        let more = next.is_some() || bytes > RELEASED_BYTES_MAX;
        Ok(DeskReply::Released(ReleasedList { versions, more }))
    }

    /// Takes releases back one by one; what cannot be is told and stays.
    pub(super) fn undo_releases(&self, which: &WhichReleased) -> Outcome<DeskReply> {
        let every = which.key.is_none() && which.prefix.is_none() && which.since_ms.is_none();
        if every && which.versions.is_empty() {
            return Err(NotStated::EveryRelease.into());
        }
        let mut undone = Unreleased::default();
        let gone_through = match which.versions.as_slice() {
            [] => self.undo_many(which, &mut undone),
            wanted => self.undo_exactly(which, wanted, &mut undone).map(|()| None),
        };
        match gone_through {
            Ok(next) => undone.next = next,
            Err(error) if undone.versions == 0 => return Err(error),
            // What is back is back, and people must hear of it.
            Err(error) => undone.fault = Some(error.to_string()),
        }
        if undone.versions > 0 {
            undone.words = self.open_erasures().unwrap_or_else(|error| {
                vec![format!(
                    "whether open requests destroy them could not be asked: {error}"
                )]
            });
        }
        Ok(DeskReply::Unreleased(Box::new(undone)))
    }

    fn undo_many(
        &self,
        which: &WhichReleased,
        undone: &mut Unreleased,
    ) -> Outcome<Option<ReleasedAt>> {
        let plain = self.kind(&which.bucket)? == BucketKind::Plain;
        let mut choice = Choice::new(which.since_ms.map(UnixMillis::new), plain);
        let next = self.each_released(which, |row| {
            match choice.of(row) {
                Ok(later) => self.undo_release(&which.bucket, row, later, undone)?,
                Err(why) => leave(undone, why),
            }
            Ok(Further::Wanted)
        })?;
        // A key of which one version is shown is gone through as a whole.
        let whole = |at: ReleasedAt| match choice.chosen.as_ref() == Some(&at.key) {
            true => ReleasedAt {
                version: None,
                ..at
            },
            false => at,
        };
        Ok(next.map(whole))
    }

    /// Exactly these, markers too; all must be there.
    fn undo_exactly(
        &self,
        which: &WhichReleased,
        wanted: &[String],
        undone: &mut Unreleased,
    ) -> Outcome<()> {
        let mut ids = BTreeSet::new();
        for text in wanted {
            let id = VersionId::parse_hex(text);
            ids.insert(id.ok_or_else(|| NotStated::NotReleased(text.clone()))?);
        }
        let mut found = Vec::new();
        let begin = WhichReleased {
            after: just_before(which, &ids),
            ..which.clone()
        };
        let next = self.each_released(&begin, |row| {
            if ids.remove(&row.version) {
                found.push(row.clone());
            }
            Ok(match ids.is_empty() {
                true => Further::Done,
                false => Further::Wanted,
            })
        })?;
        match ids.first() {
            Some(_) if next.is_some() => return Err(NotStated::ManyReleased.into()),
            Some(lost) => return Err(NotStated::NotReleased(lost.to_string()).into()),
            None => {}
        }
        for row in &found {
            self.undo_release(&which.bucket, row, false, undone)?;
        }
        Ok(())
    }

    /// Takes one release back, or notes why not, where that is about the version.
    fn undo_release(
        &self,
        bucket: &str,
        row: &ReleasedVersion,
        later: bool,
        undone: &mut Unreleased,
    ) -> Outcome<()> {
        let done = self.patiently(|| Command::Unrelease {
            name: ObjectName {
                bucket: bucket.to_owned(),
                key: row.key.clone(),
            },
            version: row.version,
        });
        match done {
            // It was listed as released: it is back, by this question or by one that was cut off.
            Ok(_) | Err(Error::NotDone(Refusal::NotReleased)) => {
                undone.versions += 1;
                undone.later += u64::from(later);
            }
            Err(Error::NotDone(
                why @ (Refusal::NoSuchVersion | Refusal::KeyTaken | Refusal::BeingDestroyed { .. }),
            )) => leave(undone, why.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn kind(&self, bucket: &str) -> Outcome<BucketKind> {
        let name = bucket.to_owned();
        match self.ask(|| Command::HeadBucket { name: name.clone() })? {
            Answer::Bucket(info) => Ok(info.kind),
            _ => Err(Error::NoAnswer),
        }
    }

    /// Goes through released versions by key, then newest first, until nothing more is wanted or the time is over. Says
    /// where to go on, where that was before the end.
    fn each_released(
        &self,
        which: &WhichReleased,
        mut take: impl FnMut(&ReleasedVersion) -> Outcome<Further>,
    ) -> Outcome<Option<ReleasedAt>> {
        let began = Instant::now();
        let is_over = || began.elapsed() > Duration::from_millis(RELEASED_MS_MAX);
        let mut at = which.after.clone();
        loop {
            let page = self.page_of_released(which, at.as_ref())?;
            for row in page.rows {
                if is_behind(which, &row.key) {
                    return Ok(None);
                }
                if is_meant(which, &row) && take(&row)? == Further::Done {
                    return Ok(None);
                }
                at = Some(ReleasedAt {
                    version: Some(row.version.to_string()),
                    key: row.key,
                });
                if is_over() {
                    return Ok(at);
                }
            }
            let Some((key, version)) = page.next else {
                return Ok(None);
            };
            if is_behind(which, &key) {
                return Ok(None);
            }
            at = Some(ReleasedAt { key, version });
            if is_over() {
                return Ok(at);
            }
        }
    }

    fn page_of_released(
        &self,
        which: &WhichReleased,
        at: Option<&ReleasedAt>,
    ) -> Outcome<Page<ReleasedVersion>> {
        let prefix = which.key.as_ref().or(which.prefix.as_ref());
        let wish = ListWish {
            bucket: which.bucket.clone(),
            prefix: prefix
                .map(|text| text.as_bytes().to_vec())
                .unwrap_or_default(),
            entries_max: LIST_PAGE_COUNT,
            after: at.map(|at| at.key.clone()),
            after_version: at.and_then(|at| at.version.clone()),
            ..ListWish::default()
        };
        match self.ask(|| Command::ListReleased(wish.clone()))? {
            Answer::ReleasedListing(page) => Ok(page),
            _ => Err(Error::NoAnswer),
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

fn leave(undone: &mut Unreleased, why: impl Into<String>) {
    *undone.left.entry(why.into()).or_default() += 1;
}

/// Where the newest of these versions comes next, where their key is said: an id has the number of its record.
fn just_before(which: &WhichReleased, ids: &BTreeSet<VersionId>) -> Option<ReleasedAt> {
    let newest = ids.iter().map(|id| id.ordinal().get()).max()?;
    let behind = LogIndex::new(newest.checked_add(1)?);
    Some(ReleasedAt {
        key: which.key.as_ref()?.as_bytes().to_vec(),
        version: Some(VersionId::new(behind, [0; 8]).to_string()),
    })
}

/// Keys come in order: behind the one that is meant there is nothing.
fn is_behind(which: &WhichReleased, key: &[u8]) -> bool {
    which
        .key
        .as_ref()
        .is_some_and(|meant| key > meant.as_bytes())
}

fn is_meant(which: &WhichReleased, row: &ReleasedVersion) -> bool {
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

/// What of many rows, by key and newest first, is to be brought back. A delete marker never is, since it would hide
/// what comes back with it. A plain bucket shows one version of a key: what was there at the time that is said, or the
/// newest one.
struct Choice {
    since: Option<UnixMillis>,
    plain: bool,
    /// The key of the last one that was chosen.
    chosen: Option<Vec<u8>>,
}

impl Choice {
    const fn new(since: Option<UnixMillis>, plain: bool) -> Choice {
        Choice {
            since,
            plain,
            chosen: None,
        }
    }

    /// Whether it was stored after the time that is said; or why it is left released.
    fn of(&mut self, row: &ReleasedVersion) -> Result<bool, &'static str> {
        let later = self.since.is_some_and(|since| row.modified >= since);
        if row.marker {
            return Err("a delete marker is brought back by its version id alone");
        }
        if self.plain && later {
            return Err(
                "it was stored after that time, in a bucket that shows one version of a key",
            );
        }
        if self.plain && self.chosen.as_ref() == Some(&row.key) {
            return Err("its bucket shows one version of a key, and that is a newer one");
        }
        if self.plain {
            self.chosen = Some(row.key.clone());
        }
        Ok(later)
    }
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
            let mut choice = Choice::new(since, plain);
            let (mut chosen, mut refused) = (Vec::new(), 0);
            for row in rows() {
                match choice.of(&row) {
                    Ok(later) => {
                        assert_eq!(later, since.is_some_and(|since| row.modified >= since));
                        chosen.push(row.modified.get());
                    }
                    Err(_) => refused += 1,
                }
            }
            assert_eq!(
                (&chosen[..], refused),
                (expected, left),
                "{since:?} {plain}"
            );
        }
    }
}
