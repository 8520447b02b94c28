//! Multipart uploads: begin, parts, complete, abort, list parts.

use std::collections::BTreeMap;

use stele_format::manifest::{LockWishes, Manifest, ManifestKind};
use stele_format::record::{Body, ClientTag, Part as PartBody, RecordType};
use stele_format::units::{ByteCount, UploadId};

use super::object::{Upload, check_metadata, check_wish, commit};
use super::{After, Facts, Outcome};
use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::engine::view::{Need, Stop, View};
use crate::fact;
use crate::index::list::PartLister;
use crate::index::rows::{PartRow, Table, TableRow, UploadRow};
use crate::index::{Fact, Scan, keys};
use crate::keys::counter::KeyClass;
use crate::limits::{
    MANIFEST_ENTRY_COUNT_MAX, PART_BYTES_MIN, PART_REPLACED_COUNT_MAX, SCAN_ROW_COUNT,
};
use crate::policy::{BucketKind, is_given_up};
use crate::read::Content;
use crate::request::{
    Answer, Checksum, Conditions, ListedPart, LockWish, Metadata, NamedPart, ObjectName, Refusal,
    Stored,
};

/// Begins an upload.
pub(crate) fn create(
    facts: &Facts<'_>,
    name: &ObjectName,
    metadata: &Metadata,
    lock: LockWish,
    announced: Option<(u8, bool)>,
) -> Result<Outcome, Stop> {
    let (bucket, row) = facts.bucket(&name.bucket)?;
    check_metadata(metadata)?;
    check_wish(facts, row, &name.key, lock)?;
    let manifest = Manifest {
        kind: ManifestKind::Upload,
        name: name.key.clone(),
        lock_wishes: Some(LockWishes {
            mode: fact::lock_mode(lock.retention),
            until: lock
                .retention
                .map(|retention| retention.until)
                .unwrap_or_default(),
            hold: lock.hold == Some(true),
        }),
        announced: announced.and_then(fact::announced),
        ..fact::manifest_of_metadata(metadata, &[])
    };
    let draft = Draft {
        origin: Origin::Request {
            id: facts.id,
            last: true,
        },
        kind: RecordType::Upload,
        bucket,
        object: stele_format::units::ObjectId::default(),
        version: VersionSlot::Fresh,
        retention: lock.retention,
        hold: lock.hold == Some(true),
        body: Body::Upload,
        sealed: Sealed::Leaf(Box::new(manifest), KeyClass::PendingPart),
        inline: None,
        client: ClientTag::NONE,
    };
    Ok(Outcome::Write(vec![draft], After::Upload))
}

/// Whether a part may take the place of the one with its number, if there is one: that one's leaf is remembered.
pub(crate) fn may_replace(
    view: &View<'_>,
    row: &UploadRow,
    upload: UploadId,
    number: u16,
) -> Result<(), Stop> {
    let replaced = view.row::<PartRow>(keys::part(upload, number))?;
    if replaced.is_some() && row.replaced.count() >= PART_REPLACED_COUNT_MAX {
        return Err(Stop::Refuse(Refusal::PartsReplaced {
            count_max: PART_REPLACED_COUNT_MAX,
        }));
    }
    Ok(())
}

/// What a finished part brings.
pub(crate) struct Part<'a> {
    pub(crate) name: &'a ObjectName,
    pub(crate) upload: UploadId,
    pub(crate) number: u16,
    pub(crate) content_bytes: u64,
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) checksums: &'a [Checksum],
    pub(crate) content: &'a Content,
}

/// The record of a part; a part that got its answer survives a crash.
pub(crate) fn part(facts: &Facts<'_>, view: &View<'_>, part: &Part<'_>) -> Result<Outcome, Stop> {
    let (bucket, row) = facts.bucket(&part.name.bucket)?;
    let upload = view.upload(bucket, &part.name.key, part.upload)?;
    let etag = match part.md5 {
        Some(md5) => md5.iter().map(|byte| format!("{byte:02x}")).collect(),
        None => facts.opaque_etag(1),
    };
    let manifest = Manifest {
        kind: ManifestKind::Part,
        content_bytes: ByteCount::new(part.content_bytes),
        etag: etag.clone(),
        entries: part.content.entries.clone(),
        part_number: Some(part.number),
        md5: part.md5,
        ..fact::manifest_of_metadata(&Metadata::default(), part.checksums)
    };
    may_replace(view, &upload, part.upload, part.number)?;
    let draft = Draft {
        origin: Origin::Request {
            id: facts.id,
            last: true,
        },
        kind: RecordType::Part,
        bucket,
        object: upload.object.unwrap_or_default(),
        version: VersionSlot::Upload(part.upload),
        retention: None,
        hold: false,
        body: Body::Part(PartBody {
            number: part.number,
            placement: part.content.placement(),
            entries: part.content.cited.clone(),
        }),
        sealed: Sealed::Leaf(Box::new(manifest), KeyClass::PendingPart),
        inline: None,
        client: ClientTag::NONE,
    };
    let versioned = row.kind != crate::policy::BucketKind::Plain;
    let checksums = part.checksums.to_vec();
    Ok(Outcome::Write(
        vec![draft],
        After::Stored {
            versioned,
            part: true,
            etag,
            checksums,
        },
    ))
}

/// What a completing client names.
pub(crate) struct Completion<'a> {
    pub(crate) name: &'a ObjectName,
    pub(crate) upload: UploadId,
    pub(crate) parts: &'a [NamedPart],
    pub(crate) checksums: &'a [Checksum],
    /// Whether anything new may be written.
    pub(crate) may_write: &'a Result<(), Refusal>,
}

/// Makes the object out of its parts, in one record.
pub(crate) fn complete(
    facts: &Facts<'_>,
    view: &View<'_>,
    completion: &Completion<'_>,
    conditions: &Conditions,
    spilled: Option<&Content>,
) -> Result<Outcome, Stop> {
    let Completion {
        name,
        upload,
        parts: named,
        checksums,
        may_write,
    } = *completion;
    let (bucket, _) = facts.bucket(&name.bucket)?;
    let row = match view.upload(bucket, &name.key, upload) {
        Err(Stop::Refuse(Refusal::NoSuchUpload)) => return completed(facts, view, completion),
        row => row?,
    };
    // Lists that lie on the disks already have had their room.
    if spilled.is_none() {
        may_write.clone()?;
    }
    view.foresee(&Fact::UploadAborted { upload })?;
    let parts = view.parts(upload)?;
    let chosen = choose(&parts, named)?;
    let (metadata, lock) = opened_upload(facts, view, &row)?;
    let gathered;
    let content = match spilled {
        Some(content) => content,
        None => {
            gathered = gather(facts, view, &chosen)?;
            if gathered.entries.len() > MANIFEST_ENTRY_COUNT_MAX {
                return Err(Stop::Need(vec![Need::Lists(gathered)]));
            }
            &gathered
        }
    };
    let upload_of = Upload {
        name,
        metadata: &metadata,
        lock,
        content_bytes: chosen
            .iter()
            .map(|(_, part)| part.content_bytes.get())
            .sum(),
        md5: None,
        checksums,
        conditions,
        content,
        parts: chosen
            .iter()
            .map(|(_, part)| part.content_bytes.get())
            .collect(),
    };
    commit(facts, view, &upload_of, Some(upload))
}

/// An upload that was completed already, as S3 has it: whoever missed the answer asks again and is told of the
/// version it became, as long as that is the current one. Its parts are gone, so only their number is compared.
fn completed(
    facts: &Facts<'_>,
    view: &View<'_>,
    completion: &Completion<'_>,
) -> Result<Outcome, Stop> {
    let (bucket, bucket_row) = facts.bucket(&completion.name.bucket)?;
    let name = view.name(bucket, &completion.name.key)?;
    let current = name.and_then(|name| Some((name.object, name.current?)));
    let (object, current) = current.ok_or(Refusal::NoSuchUpload)?;
    let row = view.version(object, current.version)?;
    let named = u32::try_from(completion.parts.len()).ok();
    let row = row.filter(|row| Some(row.parts) == named);
    let row = row.ok_or(Refusal::NoSuchUpload)?;
    let at = row.manifest_location();
    let (record, sealed) = (view.record(&row.location), view.record(&at));
    view.settle()?;
    let record = record.ok_or(Stop::Damaged(row.location))?;
    if !matches!(record.body, Body::Complete(_, of) if of == completion.upload) {
        return Err(Refusal::NoSuchUpload.into());
    }
    let manifest = sealed.and_then(|record| fact::open_manifest(&record, facts.keys, facts.pool));
    let manifest = manifest.ok_or(Stop::Damaged(at))?;
    let log_index = row.version.ordinal();
    Ok(Outcome::Answer(Answer::Stored(Stored {
        version: Some(row.version),
        versioned: bucket_row.kind != BucketKind::Plain,
        etag: row.etag,
        checksums: fact::checksums_of(&manifest),
        log_index,
        receipt: facts.receipts.receipt(log_index),
    })))
}

/// The stored parts a client names, each checked against what it says of it.
fn choose<'a>(
    parts: &'a BTreeMap<u16, PartRow>,
    named: &[NamedPart],
) -> Result<Vec<(u16, &'a PartRow)>, Refusal> {
    if named
        .windows(2)
        .any(|pair| pair[0].number >= pair[1].number)
    {
        return Err(Refusal::PartOrder);
    }
    let mut chosen = Vec::with_capacity(named.len());
    for (place, part) in named.iter().enumerate() {
        let number = part.number;
        let row = parts.get(&number).filter(|row| row.etag == part.etag);
        let row = row.ok_or(Refusal::Part { number })?;
        let differs = |wanted: &Checksum| {
            row.checksums
                .iter()
                .find(|(algorithm, _)| *algorithm == wanted.algorithm)
                .is_none_or(|(_, value)| *value != wanted.value)
        };
        if part.checksums.iter().any(differs) {
            return Err(Refusal::Part { number });
        }
        if place + 1 < named.len() && row.content_bytes.get() < PART_BYTES_MIN {
            return Err(Refusal::PartTooSmall { number });
        }
        chosen.push((number, row));
    }
    if chosen.is_empty() {
        Err(Refusal::Part { number: 1 })
    } else {
        Ok(chosen)
    }
}

/// Metadata and lock wishes as the upload began with them.
fn opened_upload(
    facts: &Facts<'_>,
    view: &View<'_>,
    row: &UploadRow,
) -> Result<(Metadata, LockWish), Stop> {
    let record = view.record(&row.location);
    view.settle()?;
    let manifest = record
        .and_then(|record| fact::open_manifest(&record, facts.keys, facts.pool))
        .ok_or(Stop::Damaged(row.location))?;
    let lock = LockWish {
        retention: row.retention,
        hold: row.hold,
    };
    Ok((fact::metadata_of(&manifest), lock))
}

/// All chunk entries of the chosen parts, in order.
fn gather(facts: &Facts<'_>, view: &View<'_>, chosen: &[(u16, &PartRow)]) -> Result<Content, Stop> {
    let records: Vec<_> = chosen
        .iter()
        .map(|(_, part)| (view.record(&part.location), part.location))
        .collect();
    view.settle()?;
    let mut content = Content::default();
    for (record, location) in records {
        let record = record.ok_or(Stop::Damaged(location))?;
        let manifest =
            fact::open_manifest(&record, facts.keys, facts.pool).ok_or(Stop::Damaged(location))?;
        content.append(Content::of_record(&manifest, record));
    }
    Ok(content)
}

/// Gives an upload up.
pub(crate) fn abort(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    upload: UploadId,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&name.bucket)?;
    view.upload(bucket, &name.key, upload)?;
    view.foresee(&Fact::UploadAborted { upload })?;
    let mut draft = Draft::of_engine(RecordType::Abort, Body::Abort);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    draft.bucket = bucket;
    draft.version = VersionSlot::Upload(upload);
    Ok(Outcome::Write(vec![draft], After::Done))
}

/// Uploads that are old enough to be given up. Each is given up by a question of its own, which holds
/// its name: whoever completes it first wins.
pub(crate) fn list_old(
    facts: &Facts<'_>,
    view: &View<'_>,
    after: Option<UploadId>,
) -> Result<Outcome, Stop> {
    let mut scan = Scan::prefix(Table::Uploads, Vec::new(), SCAN_ROW_COUNT);
    if let Some(after) = after {
        // The first key behind it: no key is longer.
        scan.from = [keys::upload(after), vec![0]].concat();
    }
    let page = view.scan(&scan)?;
    let mut uploads = Vec::new();
    for (key, value) in &page.rows {
        let (Some(upload), row) = (keys::upload_of(key), UploadRow::decode(value)?) else {
            continue;
        };
        let Some(bucket) = facts.buckets.get(&row.bucket).filter(|row| !row.deleted) else {
            continue;
        };
        let given_up = is_given_up(&bucket.lifecycle, &row.name, row.began, facts.asked);
        if given_up && !row.is_closed() {
            let name = ObjectName {
                bucket: bucket.name.clone(),
                key: row.name,
            };
            uploads.push((name, upload));
        }
    }
    let last = page.rows.last().and_then(|(key, _)| keys::upload_of(key));
    let next = page.resume.and(last);
    Ok(Outcome::Answer(Answer::OldUploads { uploads, next }))
}

/// What an open upload announced.
pub(crate) fn head(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    upload: UploadId,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&name.bucket)?;
    let row = view.upload(bucket, &name.key, upload)?;
    Ok(Outcome::Answer(Answer::UploadInfo(row.announced)))
}

/// Parts of an open upload.
pub(crate) fn list_parts(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    upload: UploadId,
    after: u16,
    parts_max: u32,
) -> Result<Outcome, Stop> {
    let (bucket, _) = facts.bucket(&name.bucket)?;
    view.upload(bucket, &name.key, upload)?;
    let mut lister = PartLister::new(upload, after, parts_max as usize);
    loop {
        let scans = lister.next();
        if scans.is_empty() {
            break;
        }
        let answers = scans.iter().map(|scan| view.scan(scan));
        lister.feed(answers.collect::<Result<_, _>>()?)?;
    }
    let page = lister.finish();
    let listed = page.rows.into_iter().map(|(number, row)| ListedPart {
        number,
        etag: row.etag,
        content_bytes: row.content_bytes.get(),
        modified: row.modified,
        checksums: row
            .checksums
            .into_iter()
            .map(|(algorithm, value)| Checksum {
                algorithm,
                composite: false,
                value,
            })
            .collect(),
    });
    Ok(Outcome::Answer(Answer::Parts(
        listed.collect(),
        page.next.is_some(),
    )))
}
