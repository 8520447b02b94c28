//! PutObject.

use s3s::dto::{
    ChecksumType, ETag, ETagCondition, PutObjectInput, PutObjectOutput, ServerSideEncryption,
};
use s3s::{S3Request, S3Response, S3Result};

use crate::lock;
use crate::message::{Checksum, ChecksumKind, Conditions, Purpose, Stored};
use crate::object::etags::Tags;
use crate::object::metadata::collect;
use crate::object::upload::store;
use crate::service::{Service, context, name, with_receipt};
use crate::text::base64;

pub(crate) async fn put(
    service: &Service,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let caller = service.caller(&request)?;
    let context = context(&request)?;
    let input = request.input;
    let lock = lock::wish(
        input.object_lock_mode.as_ref(),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref(),
    )?;
    let metadata = collect(
        &request.headers,
        &context.described.taken,
        input.tagging.as_deref(),
    )?;
    let conditions = conditions(input.if_match, input.if_none_match)?;
    let what = (
        name(&input.bucket, &input.key),
        Purpose::Object { metadata, lock },
        conditions,
    );
    let mut stored = store(service, &caller, &context, None, what).await?;
    let receipt = stored.receipt.take();
    with_receipt(output(stored, input.server_side_encryption), receipt)
}

/// Conditions of a write.
pub(crate) fn conditions(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> S3Result<Conditions> {
    let if_match = Tags::of(if_match)?.map(Tags::into_match);
    let if_none_match = Tags::of(if_none_match)?.map(Tags::into_none_match);
    Ok(Conditions {
        if_match: if_match.transpose()?,
        if_none_match: if_none_match.transpose()?,
    })
}

fn output(stored: Stored, encryption: Option<ServerSideEncryption>) -> PutObjectOutput {
    let sums = Sums::of(&stored.checksums, None);
    let version = stored.version.filter(|_| stored.versioned);
    PutObjectOutput {
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        checksum_type: sums.kind,
        e_tag: Some(ETag::Strong(stored.etag)),
        server_side_encryption: encryption,
        version_id: version.map(|version| version.to_string()),
        ..PutObjectOutput::default()
    }
}

/// Checksums as S3's types want them.
#[derive(Default)]
pub(crate) struct Sums {
    pub crc32: Option<String>,
    pub crc32c: Option<String>,
    pub crc64nvme: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    pub kind: Option<ChecksumType>,
}

impl Sums {
    /// Composite values carry the number of parts behind a dash.
    pub(crate) fn of(checksums: &[Checksum], parts: Option<u32>) -> Self {
        let mut sums = Self::default();
        for checksum in checksums {
            let mut text = base64(&checksum.value);
            let mut kind = ChecksumType::FULL_OBJECT;
            if checksum.composite {
                kind = ChecksumType::COMPOSITE;
                text = parts.map_or(text.clone(), |parts| format!("{text}-{parts}"));
            }
            sums.kind = Some(ChecksumType::from_static(kind));
            let place = match checksum.kind {
                ChecksumKind::Crc32 => &mut sums.crc32,
                ChecksumKind::Crc32c => &mut sums.crc32c,
                ChecksumKind::Crc64Nvme => &mut sums.crc64nvme,
                ChecksumKind::Sha1 => &mut sums.sha1,
                ChecksumKind::Sha256 => &mut sums.sha256,
            };
            *place = Some(text);
        }
        sums
    }
}
