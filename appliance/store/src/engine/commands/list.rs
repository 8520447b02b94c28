//! Listings: the index's listers, driven over the rows at hand.

use stele_format::units::{UploadId, VersionId};

use super::{Facts, Outcome};
use crate::engine::view::{Stop, View};
use crate::index::MergedScan;
use crate::index::Scan;
use crate::index::list::{ListWish as IndexWish, ObjectLister, UploadLister, VersionLister};
use crate::index::rows::RowError;
use crate::request::{
    Answer, ListWish, ListedObject, ListedUpload, ListedVersion, Page, ReleasedVersion,
};

/// Feeds a lister until it wants nothing more.
fn drive<L>(
    view: &View<'_>,
    lister: &mut L,
    next: impl Fn(&L) -> Vec<Scan>,
    feed: impl Fn(&mut L, Vec<MergedScan>) -> Result<(), RowError>,
) -> Result<(), Stop> {
    loop {
        let scans = next(lister);
        if scans.is_empty() {
            return Ok(());
        }
        let mut answers = Vec::with_capacity(scans.len());
        let mut needs = Vec::new();
        for scan in &scans {
            match view.scan(scan) {
                Ok(merged) => answers.push(merged),
                Err(Stop::Need(more)) => needs.extend(more),
                Err(other) => return Err(other),
            }
        }
        if !needs.is_empty() {
            return Err(Stop::Need(needs));
        }
        feed(lister, answers)?;
    }
}

fn index_wish(wish: &ListWish) -> IndexWish {
    IndexWish {
        prefix: wish.prefix.clone(),
        delimiter: wish.delimiter.clone().unwrap_or_default(),
        after: wish.after.clone(),
        entries_max: wish.entries_max as usize,
    }
}

/// Current objects.
pub(crate) fn objects(
    facts: &Facts<'_>,
    view: &View<'_>,
    wish: &ListWish,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&wish.bucket)?;
    let mut lister = ObjectLister::new(bucket, &index_wish(wish));
    drive(view, &mut lister, ObjectLister::next, ObjectLister::feed)?;
    let page = lister.finish();
    let rows = page.rows.into_iter().map(|row| ListedObject {
        key: row.name,
        etag: row.current.etag,
        content_bytes: row.current.content_bytes.get(),
        modified: row.current.modified,
    });
    Ok(Outcome::Answer(Answer::Listing(Page {
        rows: rows.collect(),
        common_prefixes: page.common_prefixes,
        next: page.next.map(|after| (after, None)),
    })))
}

/// Versions and markers.
pub(crate) fn versions(
    facts: &Facts<'_>,
    view: &View<'_>,
    wish: &ListWish,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&wish.bucket)?;
    let after = wish.after_version.as_deref().and_then(VersionId::parse_hex);
    let mut lister = VersionLister::new(bucket, &index_wish(wish), after);
    drive(view, &mut lister, VersionLister::next, VersionLister::feed)?;
    let page = lister.finish();
    let rows = page.rows.into_iter().map(|listed| ListedVersion {
        key: listed.name,
        version: listed.row.version,
        marker: listed.row.marker,
        current: listed.latest,
        etag: listed.row.etag,
        content_bytes: listed.row.content_bytes.get(),
        modified: listed.row.modified,
    });
    Ok(Outcome::Answer(Answer::VersionListing(Page {
        rows: rows.collect(),
        common_prefixes: page.common_prefixes,
        next: page
            .next
            .map(|(name, version)| (name, version.map(|id| id.to_string()))),
    })))
}

/// Versions and markers that were released.
pub(crate) fn released(
    facts: &Facts<'_>,
    view: &View<'_>,
    wish: &ListWish,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&wish.bucket)?;
    let after = wish.after_version.as_deref().and_then(VersionId::parse_hex);
    let mut lister = VersionLister::new(bucket, &index_wish(wish), after).of_released();
    drive(view, &mut lister, VersionLister::next, VersionLister::feed)?;
    let page = lister.finish();
    let rows = page.rows.into_iter().filter_map(|listed| {
        Some(ReleasedVersion {
            released: listed.row.released?.at,
            key: listed.name,
            version: listed.row.version,
            marker: listed.row.marker,
            content_bytes: listed.row.content_bytes.get(),
            modified: listed.row.modified,
            retention: listed.row.retention,
            hold: listed.row.hold == Some(true),
        })
    });
    Ok(Outcome::Answer(Answer::ReleasedListing(Page {
        rows: rows.collect(),
        common_prefixes: page.common_prefixes,
        next: page
            .next
            .map(|(name, version)| (name, version.map(|id| id.to_string()))),
    })))
}

/// Open uploads.
pub(crate) fn uploads(
    facts: &Facts<'_>,
    view: &View<'_>,
    wish: &ListWish,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&wish.bucket)?;
    let after = wish.after_version.as_deref().and_then(UploadId::parse_hex);
    let mut lister = UploadLister::new(bucket, &index_wish(wish), after);
    drive(view, &mut lister, UploadLister::next, UploadLister::feed)?;
    let page = lister.finish();
    let rows = page.rows.into_iter().map(|row| ListedUpload {
        key: row.name,
        upload: row.upload,
        started: row.started,
    });
    Ok(Outcome::Answer(Answer::Uploads(Page {
        rows: rows.collect(),
        common_prefixes: page.common_prefixes,
        next: page
            .next
            .map(|(name, upload)| (name, upload.map(|id| id.to_string()))),
    })))
}
