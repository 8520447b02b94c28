//! Multipart uploads: create, parts, complete, abort, list.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, ListPartsInput, ListPartsOutput,
    Part, StorageClass, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use stele_format::units::UploadId;

use crate::bucket::{entries, initiator, owner};
use crate::complete::{Wishes, wished_type, wished_values};
use crate::digest::{Promised, decode, parse_kind};
use crate::error::{checksum_text, invalid_argument, invalid_request, malformed_xml, wrong_answer};
use crate::limits::PART_NUMBER_MAX;
use crate::lock;
use crate::message::{
    Answer, Checksum, ChecksumKind, Conditions, ListedPart, NamedPart, ObjectName, Purpose,
    Refusal, Request,
};
use crate::object::metadata::{STORAGE_CLASS, collect};
use crate::object::put::{Sums, conditions};
use crate::object::upload::store;
use crate::refused::Feature;
use crate::service::{Caller, Service, context, length, name, plain, with_receipt};
use crate::text::{timestamp, xml_text};

pub(crate) fn upload_id(text: &str) -> S3Result<UploadId> {
    UploadId::parse_hex(text).ok_or_else(|| Refusal::NoSuchUpload.into())
}

pub(crate) fn part_number(number: i32) -> S3Result<u16> {
    let number = u16::try_from(number)
        .ok()
        .filter(|n| (1..=PART_NUMBER_MAX).contains(n));
    number.ok_or_else(|| {
        invalid_argument("part number must be an integer between 1 and 10000, inclusive")
    })
}

pub(crate) async fn create(
    service: &Service,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let caller = service.caller(&request)?;
    let context = context(&request)?;
    let input = request.input;
    let lock = lock::wish(
        input.object_lock_mode.as_ref(),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref(),
    )?;
    let taken = &context.described.taken;
    let metadata = collect(&request.headers, taken, input.tagging.as_deref())?;
    let checksum = announced_checksum(
        input.checksum_algorithm.as_ref(),
        input.checksum_type.as_ref(),
    )?;
    let name = name(&input.bucket, &input.key);
    let wish = Request::CreateUpload {
        name,
        metadata,
        lock,
        checksum,
    };
    let Answer::Upload(upload) = caller.ask(wish).await? else {
        return Err(wrong_answer());
    };
    plain(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: checksum.map(|(kind, _)| algorithm(kind)),
        checksum_type: checksum.map(|(_, composite)| checksum_type(composite)),
        key: xml_text(input.key),
        server_side_encryption: input.server_side_encryption,
        upload_id: Some(upload.to_string()),
        ..CreateMultipartUploadOutput::default()
    })
}

fn algorithm(kind: ChecksumKind) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(checksum_text(kind))
}

fn checksum_type(composite: bool) -> ChecksumType {
    ChecksumType::from_static(match composite {
        true => ChecksumType::COMPOSITE,
        false => ChecksumType::FULL_OBJECT,
    })
}

/// What an open upload announced.
pub(crate) async fn announced(
    caller: &Caller,
    name: &ObjectName,
    upload: UploadId,
) -> S3Result<Option<(ChecksumKind, bool)>> {
    let name = name.clone();
    match caller.ask(Request::HeadUpload { name, upload }).await? {
        Answer::UploadInfo(announced) => Ok(announced),
        _ => Err(wrong_answer()),
    }
}

/// The parts of an upload that announced an algorithm have checksums of that one.
fn check_kinds(announced: ChecksumKind, promised: &Promised) -> S3Result<()> {
    let given = promised.checksums.iter().map(|checksum| checksum.kind);
    let mut given = given.chain(promised.trailers.iter().copied());
    match given.find(|kind| *kind != announced) {
        None => Ok(()),
        Some(other) => Err(mismatch(announced, other)),
    }
}

fn mismatch(announced: ChecksumKind, other: ChecksumKind) -> S3Error {
    invalid_request(format!(
        "checksum type mismatch occurred, expected checksum type: {}, actual checksum type: {}",
        checksum_text(announced),
        checksum_text(other)
    ))
}

/// S3's rules of which algorithm can be which type, and the defaults.
fn announced_checksum(
    algorithm: Option<&ChecksumAlgorithm>,
    wanted: Option<&ChecksumType>,
) -> S3Result<Option<(ChecksumKind, bool)>> {
    let Some(algorithm) = algorithm else {
        return match wanted {
            Some(_) => Err(invalid_request(
                "x-amz-checksum-type can only be used with x-amz-checksum-algorithm",
            )),
            None => Ok(None),
        };
    };
    let kind = parse_kind(algorithm.as_str())
        .ok_or_else(|| invalid_request("the checksum algorithm is not supported"))?;
    let composite = match wanted.map(ChecksumType::as_str) {
        None => kind != ChecksumKind::Crc64Nvme,
        Some(ChecksumType::COMPOSITE) => true,
        Some(ChecksumType::FULL_OBJECT) => false,
        Some(_) => {
            return Err(invalid_request(
                "x-amz-checksum-type must be COMPOSITE or FULL_OBJECT",
            ));
        }
    };
    let possible = match kind {
        ChecksumKind::Crc32 | ChecksumKind::Crc32c => true,
        ChecksumKind::Crc64Nvme => !composite,
        ChecksumKind::Sha1 | ChecksumKind::Sha256 => composite,
    };
    match possible {
        true => Ok(Some((kind, composite))),
        false => Err(invalid_request(
            "this checksum algorithm cannot be used with this checksum type",
        )),
    }
}

pub(crate) async fn part(
    service: &Service,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let caller = service.caller(&request)?;
    let context = context(&request)?;
    let input = request.input;
    let number = part_number(input.part_number)?;
    let name = name(&input.bucket, &input.key);
    let upload = upload_id(&input.upload_id)?;
    let kept = announced(&caller, &name, upload).await?;
    let kept = kept.map(|(kind, _)| kind);
    if let Some(kind) = kept {
        check_kinds(kind, &context.described.promised)?;
    }
    let what = (
        name,
        Purpose::Part { upload, number },
        Conditions::default(),
    );
    let stored = store(service, &caller, &context, kept, what).await?;
    let sums = Sums::of(&stored.checksums, None);
    plain(UploadPartOutput {
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        e_tag: Some(ETag::Strong(stored.etag)),
        ..UploadPartOutput::default()
    })
}

pub(crate) async fn complete(
    service: &Service,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let caller = service.caller(&request)?;
    let address = context(&request)?.described.address.clone();
    let input = request.input;
    let upload = upload_id(&input.upload_id)?;
    let named = input
        .multipart_upload
        .and_then(|upload| upload.parts)
        .unwrap_or_default();
    if named.is_empty() || named.len() > usize::from(PART_NUMBER_MAX) {
        return Err(malformed_xml("between 1 and 10000 parts must be named"));
    }
    let parts = named
        .into_iter()
        .map(named_part)
        .collect::<S3Result<Vec<_>>>()?;
    if parts
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.number >= b.number))
    {
        return Err(Refusal::PartOrder.into());
    }
    let name = name(&input.bucket, &input.key);
    let mut wishes = Wishes {
        announced: None,
        values: wished_values([
            (ChecksumKind::Crc32, input.checksum_crc32),
            (ChecksumKind::Crc32c, input.checksum_crc32c),
            (ChecksumKind::Sha1, input.checksum_sha1),
            (ChecksumKind::Sha256, input.checksum_sha256),
            (ChecksumKind::Crc64Nvme, input.checksum_crc64nvme),
        ])?,
        composite: wished_type(input.checksum_type.as_ref())?,
        bytes: input.mpu_object_size,
    };
    let checksums = match computed(&mut wishes, &caller, &name, upload, &parts).await {
        // The vault knows whether it was completed before, and the answer was lost.
        Err(error) if *error.code() == S3ErrorCode::NoSuchUpload => None,
        checksums => Some(checksums?),
    };
    let was_open = checksums.is_some();
    let count = u32::try_from(parts.len()).ok();
    let conditions = conditions(input.if_match, input.if_none_match)?;
    let wish = Request::CompleteUpload {
        name,
        upload,
        parts,
        checksums: checksums.unwrap_or_default(),
        conditions,
    };
    let Answer::Stored(stored) = caller.ask(wish).await? else {
        return Err(wrong_answer());
    };
    if !was_open {
        wishes.check_stored(&stored.checksums)?;
    }
    let sums = Sums::of(&stored.checksums, count);
    let version = stored.version.filter(|_| stored.versioned);
    let output = CompleteMultipartUploadOutput {
        location: Some(address),
        bucket: Some(input.bucket),
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        checksum_type: sums.kind,
        e_tag: Some(ETag::Strong(stored.etag)),
        key: xml_text(input.key),
        version_id: version.map(|version| version.to_string()),
        ..CompleteMultipartUploadOutput::default()
    };
    with_receipt(output, stored.receipt)
}

/// The checksums of the object of an upload that is open.
async fn computed(
    wishes: &mut Wishes,
    caller: &Caller,
    name: &ObjectName,
    upload: UploadId,
    parts: &[NamedPart],
) -> S3Result<Vec<Checksum>> {
    wishes.announced = announced(caller, name, upload).await?;
    wishes.settle(caller, name, upload, parts).await
}

fn named_part(part: CompletedPart) -> S3Result<NamedPart> {
    let number = part
        .part_number
        .ok_or_else(|| malformed_xml("a PartNumber is missing"))?;
    let etag = part
        .e_tag
        .ok_or_else(|| malformed_xml("an ETag is missing"))?;
    let given = [
        (ChecksumKind::Crc32, part.checksum_crc32),
        (ChecksumKind::Crc32c, part.checksum_crc32c),
        (ChecksumKind::Sha1, part.checksum_sha1),
        (ChecksumKind::Sha256, part.checksum_sha256),
        (ChecksumKind::Crc64Nvme, part.checksum_crc64nvme),
    ];
    let mut checksums = Vec::new();
    for (kind, value) in given {
        let Some(value) = value else { continue };
        let value = decode(kind, &value)
            .ok_or_else(|| invalid_request("the checksum of a part is not valid"))?;
        checksums.push(Checksum {
            kind,
            composite: false,
            value,
        });
    }
    Ok(NamedPart {
        number: part_number(number)?,
        etag: etag.into_value(),
        checksums,
    })
}

pub(crate) async fn stored_parts(
    caller: &Caller,
    name: &ObjectName,
    upload: UploadId,
    after: u16,
    parts_max: u32,
) -> S3Result<(Vec<ListedPart>, bool)> {
    let request = Request::ListParts {
        name: name.clone(),
        upload,
        after,
        parts_max,
    };
    match caller.ask(request).await? {
        Answer::Parts(rows, more) => Ok((rows, more)),
        _ => Err(wrong_answer()),
    }
}

/// One stored part.
pub(crate) async fn listed(
    caller: &Caller,
    name: &ObjectName,
    upload: UploadId,
    number: u16,
) -> S3Result<ListedPart> {
    let (rows, _) = stored_parts(caller, name, upload, number - 1, 1).await?;
    let mut rows = rows.into_iter().filter(|row| row.number == number);
    rows.next().ok_or_else(|| Refusal::NoSuchUpload.into())
}

pub(crate) async fn abort(
    service: &Service,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    if input.if_match_initiated_time.is_some() {
        return Err(Feature::ConditionalDelete.error());
    }
    let name = name(&input.bucket, &input.key);
    caller
        .order(Request::AbortUpload {
            name,
            upload: upload_id(&input.upload_id)?,
        })
        .await?;
    plain(AbortMultipartUploadOutput::default())
}

pub(crate) async fn list_parts(
    service: &Service,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let upload = upload_id(&input.upload_id)?;
    let most = entries(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or(0);
    let after = u16::try_from(after).map_err(|_| {
        S3Error::with_message(
            S3ErrorCode::InvalidArgument,
            "part-number-marker must be a part number",
        )
    })?;
    let name = name(&input.bucket, &input.key);
    let announced = announced(&caller, &name, upload).await?;
    let (rows, more) = stored_parts(&caller, &name, upload, after, most).await?;
    let shown = owner(&caller.bucket(&input.bucket).await?.owner);
    // Also where nothing follows, as in S3.
    let next = rows.last().map_or(0, |row| i32::from(row.number));
    plain(ListPartsOutput {
        bucket: Some(input.bucket),
        is_truncated: Some(more && most > 0),
        key: xml_text(input.key),
        max_parts: i32::try_from(most).ok(),
        initiator: Some(initiator(&shown)),
        next_part_number_marker: Some(next),
        checksum_algorithm: announced.map(|(kind, _)| algorithm(kind)),
        checksum_type: announced.map(|(_, composite)| checksum_type(composite)),
        owner: Some(shown),
        part_number_marker: Some(i32::from(after)),
        parts: Some(rows.into_iter().map(listed_part).collect::<S3Result<_>>()?),
        storage_class: Some(StorageClass::from_static(STORAGE_CLASS)),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    })
}

fn listed_part(row: ListedPart) -> S3Result<Part> {
    let sums = Sums::of(&row.checksums, None);
    Ok(Part {
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        e_tag: Some(ETag::Strong(row.etag)),
        last_modified: Some(timestamp(row.modified)),
        part_number: Some(i32::from(row.number)),
        size: Some(length(row.content_bytes)?),
    })
}
