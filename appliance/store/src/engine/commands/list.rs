//! Listings: the index's listers, driven over the rows at hand.

use stele_format::units::{BucketId, UploadId, VersionId};

use super::{Facts, Outcome};
use crate::engine::view::{Need, Stop, View};
use crate::index::MergedScan;
use crate::index::Scan;
use crate::index::list::{
    ListWish as IndexWish, ListedName, ListedUpload as IndexUpload, ListedVersion as IndexVersion,
    ObjectLister, Page as IndexPage, UploadLister, VersionLister, VersionMarker,
};
use crate::index::rows::RowError;
use crate::limits::LIST_STEP_COUNT;
use crate::request::{
    Answer, ListWish, ListedObject, ListedUpload, ListedVersion, Page, ReleasedVersion,
};

/// What is listed of a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Current objects.
    Objects,
    /// Versions and markers.
    Versions,
    /// Versions and markers that were released.
    Released,
    /// Open uploads.
    Uploads,
}

/// A listing on its way.
pub(crate) enum Lister {
    Objects(ObjectLister),
    Versions(VersionLister),
    Released(VersionLister),
    Uploads(UploadLister),
}

impl Lister {
    fn new(kind: Kind, bucket: BucketId, wish: &ListWish) -> Lister {
        let after = wish.after_version.as_deref();
        let version = after.and_then(VersionId::parse_hex);
        let wish = &index_wish(wish);
        match kind {
            Kind::Objects => Lister::Objects(ObjectLister::new(bucket, wish)),
            Kind::Versions => Lister::Versions(VersionLister::new(bucket, wish, version)),
            Kind::Released => {
                Lister::Released(VersionLister::new(bucket, wish, version).of_released())
            }
            Kind::Uploads => {
                let upload = after.and_then(UploadId::parse_hex);
                Lister::Uploads(UploadLister::new(bucket, wish, upload))
            }
        }
    }

    fn next(&self) -> Vec<Scan> {
        match self {
            Lister::Objects(lister) => lister.next(),
            Lister::Versions(lister) | Lister::Released(lister) => lister.next(),
            Lister::Uploads(lister) => lister.next(),
        }
    }

    fn feed(&mut self, answers: Vec<MergedScan>) -> Result<(), RowError> {
        match self {
            Lister::Objects(lister) => lister.feed(answers),
            Lister::Versions(lister) | Lister::Released(lister) => lister.feed(answers),
            Lister::Uploads(lister) => lister.feed(answers),
        }
    }

    fn finish(self) -> Answer {
        match self {
            Lister::Objects(lister) => Answer::Listing(objects(lister.finish())),
            Lister::Versions(lister) => {
                Answer::VersionListing(page_of(lister.finish(), |row| Some(version(row))))
            }
            Lister::Released(lister) => Answer::ReleasedListing(page_of(lister.finish(), released)),
            Lister::Uploads(lister) => {
                Answer::Uploads(page_of(lister.finish(), |row| Some(upload(row))))
            }
        }
    }
}

/// A page of a bucket.
pub(crate) fn page(
    facts: &Facts<'_>,
    view: &View<'_>,
    kind: Kind,
    wish: &ListWish,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&wish.bucket)?;
    let lister = drive(view, bucket, || Lister::new(kind, bucket, wish))?;
    Ok(Outcome::Answer(lister.finish()))
}

/// A page of the versions of a bucket, as the index has them.
pub(crate) fn versions(
    view: &View<'_>,
    bucket: BucketId,
    wish: &ListWish,
) -> Result<IndexPage<IndexVersion, VersionMarker>, Stop> {
    match drive(view, bucket, || Lister::new(Kind::Versions, bucket, wish))? {
        Lister::Versions(lister) => Ok(lister.finish()),
        _ => unreachable!("a request lists what it began to list"),
    }
}

/// The newest versions of a key that S3 shows, with whether each is the current one. Nothing of the key changes
/// meanwhile: whoever asks holds it.
pub(crate) fn newest(
    view: &View<'_>,
    bucket: BucketId,
    key: &[u8],
    count: u32,
) -> Result<Vec<(VersionId, bool)>, Stop> {
    let wish = ListWish {
        prefix: key.to_vec(),
        entries_max: count,
        ..ListWish::default()
    };
    let lister = drive(view, bucket, || Lister::new(Kind::Versions, bucket, &wish))?;
    let rows = match &lister {
        Lister::Versions(lister) => lister.rows(),
        _ => &[],
    };
    // Keys that only begin with it come behind it.
    let of_key = rows.iter().take(count as usize);
    let of_key = of_key.take_while(|row| row.name == key);
    let newest = of_key.map(|row| (row.row.version, row.latest)).collect();
    view.gathered.lister.replace(Some((bucket, lister)));
    Ok(newest)
}

/// Whether a bucket shows any version or marker. Nothing in it changes meanwhile: whoever asks holds all of it.
pub(crate) fn shows_any(view: &View<'_>, bucket: BucketId) -> Result<bool, Stop> {
    let one = ListWish {
        entries_max: 1,
        ..ListWish::default()
    };
    let lister = drive(view, bucket, || Lister::new(Kind::Versions, bucket, &one))?;
    let shows = matches!(&lister, Lister::Versions(lister) if !lister.rows().is_empty());
    view.gathered.lister.replace(Some((bucket, lister)));
    Ok(shows)
}

/// Feeds a lister until it wants nothing more. Of few steps a page is made from the rows of one moment. With more of
/// them what it was fed is not asked for again when the decision is made anew: a listing may have to read a million
/// names of which none is shown.
fn drive(
    view: &View<'_>,
    bucket: BucketId,
    begin: impl FnOnce() -> Lister,
) -> Result<Lister, Stop> {
    // Of a bucket of that name that is gone by now nothing is shown.
    let known = view.gathered.lister.take();
    let known = known.filter(|(of, _)| *of == bucket);
    let mut goes_on = known.is_some();
    let mut lister = known.map_or_else(begin, |(_, lister)| lister);
    let mut fed = 0;
    loop {
        let scans = lister.next();
        if scans.is_empty() {
            return Ok(lister);
        }
        match answers(view, &scans) {
            Ok(answers) => lister.feed(answers)?,
            Err(missing) => {
                let is_used_up = goes_on && fed > 0;
                view.gathered.is_used_up.set(is_used_up);
                if goes_on {
                    view.gathered.lister.replace(Some((bucket, lister)));
                }
                let wanted = if is_used_up { scans } else { missing };
                return Err(Stop::Need(wanted.into_iter().map(Need::Range).collect()));
            }
        }
        fed += 1;
        goes_on |= fed == LIST_STEP_COUNT;
    }
}

/// The answers to all scans, or those that have none yet.
fn answers(view: &View<'_>, scans: &[Scan]) -> Result<Vec<MergedScan>, Vec<Scan>> {
    let (mut answers, mut missing) = (Vec::with_capacity(scans.len()), Vec::new());
    for scan in scans {
        match view.known(scan) {
            Some(merged) => answers.push(merged),
            None => missing.push(scan.clone()),
        }
    }
    if missing.is_empty() {
        Ok(answers)
    } else {
        Err(missing)
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

/// A page whose rows are asked for by name and, within a name, by an id.
fn page_of<R, S, I: ToString>(
    page: IndexPage<R, (Vec<u8>, Option<I>)>,
    row: impl Fn(R) -> Option<S>,
) -> Page<S> {
    let next = page
        .next
        .map(|(name, id)| (name, id.map(|id| id.to_string())));
    Page {
        rows: page.rows.into_iter().filter_map(row).collect(),
        common_prefixes: page.common_prefixes,
        next,
    }
}

fn objects(page: IndexPage<ListedName, Vec<u8>>) -> Page<ListedObject> {
    let rows = page.rows.into_iter().map(|row| ListedObject {
        key: row.name,
        etag: row.current.etag,
        content_bytes: row.current.content_bytes.get(),
        modified: row.current.modified,
    });
    Page {
        rows: rows.collect(),
        common_prefixes: page.common_prefixes,
        next: page.next.map(|after| (after, None)),
    }
}

fn version(listed: IndexVersion) -> ListedVersion {
    ListedVersion {
        key: listed.name,
        version: listed.row.version,
        marker: listed.row.marker,
        current: listed.latest,
        etag: listed.row.etag,
        content_bytes: listed.row.content_bytes.get(),
        modified: listed.row.modified,
    }
}

fn released(listed: IndexVersion) -> Option<ReleasedVersion> {
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
}

fn upload(row: IndexUpload) -> ListedUpload {
    ListedUpload {
        key: row.name,
        upload: row.upload,
        started: row.started,
    }
}
