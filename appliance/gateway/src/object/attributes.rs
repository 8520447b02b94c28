//! GetObjectAttributes: what HEAD tells, picked by name.

use hyper::Response;
use s3s::dto::{
    Checksum, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};
use s3s::{Body, S3Request, S3Response, S3Result};

use crate::bucket::entries;
use crate::error::invalid_argument;
use crate::object::metadata::STORAGE_CLASS;
use crate::object::put::Sums;
use crate::service::{Service, length, name};
use crate::text::timestamp;

const KNOWN: [&str; 5] = [
    ObjectAttributes::CHECKSUM,
    ObjectAttributes::ETAG,
    ObjectAttributes::OBJECT_PARTS,
    ObjectAttributes::OBJECT_SIZE,
    ObjectAttributes::STORAGE_CLASS,
];

pub(crate) async fn get(
    service: &Service,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let wanted: Vec<&str> = input
        .object_attributes
        .iter()
        .flat_map(|words| words.as_str().split(','))
        .map(str::trim)
        .collect();
    if wanted.is_empty() || !wanted.iter().all(|word| KNOWN.contains(word)) {
        return Err(invalid_argument(
            "x-amz-object-attributes must name some of ETag, Checksum, ObjectParts, StorageClass and ObjectSize",
        ));
    }
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let info = caller
        .head(name(&input.bucket, &input.key), version)
        .await?;
    let wants = |word| wanted.contains(&word);
    let sums = wants(ObjectAttributes::CHECKSUM).then(|| Sums::of(&info.checksums, info.parts()));
    let wished = wants(ObjectAttributes::OBJECT_PARTS) && !info.part_sizes.is_empty();
    let asked = (input.max_parts, input.part_number_marker);
    let parts = wished.then(|| page(&info.part_sizes, asked)).transpose()?;
    let size = wants(ObjectAttributes::OBJECT_SIZE).then(|| length(info.content_bytes));
    let class = StorageClass::from_static(STORAGE_CLASS);
    let mut response = S3Response::new(GetObjectAttributesOutput {
        checksum: sums
            .filter(|sums| sums.kind.is_some())
            .map(|sums| Checksum {
                checksum_crc32: sums.crc32,
                checksum_crc32c: sums.crc32c,
                checksum_crc64nvme: sums.crc64nvme,
                checksum_sha1: sums.sha1,
                checksum_sha256: sums.sha256,
                checksum_type: sums.kind,
            }),
        e_tag: wants(ObjectAttributes::ETAG).then(|| ETag::Strong(info.etag.clone())),
        last_modified: Some(timestamp(info.modified)),
        object_parts: parts,
        object_size: size.transpose()?,
        storage_class: wants(ObjectAttributes::STORAGE_CLASS).then_some(class),
        version_id: info.versioned.then(|| info.version.to_string()),
        ..GetObjectAttributesOutput::default()
    });
    response.extensions.insert(BareETag);
    Ok(response)
}

/// A page of the parts of an object, by the numbers that `partNumber` of GET knows them by: checksums of single parts are
/// not kept.
fn page(
    sizes: &[u64],
    (max_parts, marker): (Option<i32>, Option<i32>),
) -> S3Result<GetObjectAttributesParts> {
    let most = entries(max_parts)?;
    let after = u16::try_from(marker.unwrap_or(0))
        .map_err(|_| invalid_argument("x-amz-part-number-marker must be a part number"))?;
    let rest = sizes.get(usize::from(after)..).unwrap_or_default();
    let shown = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    let number = |at: usize| i32::try_from(at).ok();
    let part = |(at, bytes): (usize, &u64)| {
        Ok(ObjectPart {
            part_number: number(usize::from(after) + at + 1),
            size: Some(length(*bytes)?),
            ..ObjectPart::default()
        })
    };
    let rows = rest.iter().take(shown).enumerate().map(part);
    let last = match shown {
        0 => 0,
        shown => usize::from(after) + shown,
    };
    Ok(GetObjectAttributesParts {
        is_truncated: Some(shown > 0 && shown < rest.len()),
        max_parts: i32::try_from(most).ok(),
        next_part_number_marker: number(last),
        part_number_marker: Some(i32::from(after)),
        parts: Some(rows.collect::<S3Result<_>>()?),
        total_parts_count: number(sizes.len()),
    })
}

/// Marks an answer whose ETag is to have no quotes: S3 writes it so in this operation alone, and the S3 library
/// as in all others.
#[derive(Debug, Clone, Copy)]
struct BareETag;

/// Takes the quotes away where they are not to be.
pub(crate) fn unquote(response: &mut Response<Body>) {
    if response.extensions().get::<BareETag>().is_none() {
        return;
    }
    let bytes = response.body().bytes();
    let text = bytes
        .as_deref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    let Some(text) = text else {
        return;
    };
    let bare = text
        .replace("<ETag>\"", "<ETag>")
        .replace("\"</ETag>", "</ETag>");
    *response.body_mut() = Body::from(bare);
}
