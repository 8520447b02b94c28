//! CopyObject and UploadPartCopy.
//!
//! A copy is read and written again: it gets keys and a lock of its own, and nothing that is erased
//! later is shared with it. The source's retention is not copied, as S3 has it.

use hyper::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::{
    ChecksumAlgorithm, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult,
    CopySource, ETag, ETagCondition, MetadataDirective, TaggingDirective, UploadPartCopyInput,
    UploadPartCopyOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use stele_format::units::{UnixMillis, VersionId};

use crate::digest::{Digests, parse_kind};
use crate::error::{invalid_argument, invalid_request, not_implemented, wrong_answer};
use crate::limits::COPY_BYTES_MAX;
use crate::lock;
use crate::message::{
    Answer, ChecksumKind, Conditions, Metadata, ObjectInfo, ObjectName, Purpose, RangeWish,
    Refusal, Request, Stored,
};
use crate::multipart::{announced, listed, part_number, upload_id};
use crate::object::download::{Download, Taker};
use crate::object::etags::Tags;
use crate::object::get::{Wanted, unmet};
use crate::object::metadata::collect;
use crate::object::put::{Sums, conditions};
use crate::object::tagging;
use crate::object::upload::Upload;
use crate::service::{Caller, Service, context, name, plain, with_receipt};
use crate::text::timestamp;

/// What is copied, open for reading.
struct Source {
    info: ObjectInfo,
    /// How many bytes come.
    bytes: u64,
    content: Download,
}

impl Source {
    async fn open(
        (service, caller): (&Service, &Caller),
        source: CopySource,
        wanted: &Wanted,
        range: Option<(u64, u64)>,
    ) -> S3Result<(ObjectName, Self)> {
        let (bucket, key, version) = address(source)?;
        let version = caller.version(&bucket, version.as_deref()).await?;
        let from = name(&bucket, &key);
        let open = Request::OpenGet {
            name: from.clone(),
            version,
            range: range.map(|(first, last)| RangeWish::From {
                first,
                last: Some(last),
            }),
        };
        let opened = match caller.ask(open).await {
            Err(Refusal::IsMarker { .. }) => {
                return Err(invalid_request(
                    "the source of a copy request may not specifically refer to a delete marker by version id",
                ));
            }
            Err(refusal @ Refusal::Range { .. }) => {
                // That it is another one by now comes before what it has no bytes for.
                let info = caller.head(from, version).await?;
                wanted.check(&info).map_err(|_unchanged| unmet())?;
                return Err(refusal.into());
            }
            opened => opened?,
        };
        let Answer::Opened {
            stream,
            info,
            range: (first, bytes),
        } = opened
        else {
            return Err(wrong_answer());
        };
        // From here on the stream is closed when this is dropped.
        let taker = Taker::Copy;
        let content = Download::start(caller.clone(), &service.slabs, (stream, bytes), taker);
        wanted.check(&info).map_err(|_unchanged| unmet())?;
        if range.is_some_and(|(_, last)| first + bytes != last + 1) {
            return Err(invalid_argument(format!(
                "the range is not valid for the source, which has {} bytes",
                info.content_bytes
            )));
        }
        if bytes > COPY_BYTES_MAX {
            return Err(invalid_request(format!(
                "the specified copy source is larger than the maximum allowable size for a copy source: \
                 {COPY_BYTES_MAX}"
            )));
        }
        let info = *info;
        Ok((
            from,
            Self {
                info,
                bytes,
                content,
            },
        ))
    }

    /// Writes all of it as what `purpose` says.
    async fn store(
        mut self,
        service: &Service,
        caller: &Caller,
        mut digests: Digests,
        (name, purpose, conditions): (ObjectName, Purpose, Conditions),
    ) -> S3Result<Stored> {
        let mut upload = Upload::open(caller, name, purpose, self.bytes).await?;
        while let Some(piece) = self.content.next().await? {
            digests.update(&piece);
            upload.append(&service.slabs, piece).await?;
        }
        let computed = digests.computed();
        upload
            .commit(&service.slabs, computed.md5, computed.checksums, conditions)
            .await
    }

    /// Shown where the source has versions.
    fn version(&self) -> Option<String> {
        self.info.versioned.then(|| self.info.version.to_string())
    }
}

fn address(source: CopySource) -> S3Result<(String, String, Option<String>)> {
    match source {
        CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => Ok((bucket.into(), key.into(), version_id.map(Into::into))),
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => Err(not_implemented(
            "copies from access points are not implemented",
        )),
    }
}

pub(crate) async fn object(
    service: &Service,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let caller = service.caller(&request)?;
    let context = context(&request)?;
    let input = request.input;
    let lock = lock::wish(
        input.object_lock_mode.as_ref(),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref(),
    )?;
    let conditions = conditions(
        condition(&request.headers, &IF_MATCH)?,
        condition(&request.headers, &IF_NONE_MATCH)?,
    )?;
    let wanted = Wanted {
        if_match: Tags::of(input.copy_source_if_match)?,
        if_none_match: Tags::of(input.copy_source_if_none_match)?,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let algorithm = algorithm(input.checksum_algorithm.as_ref())?;
    let replaces = replaces(
        input.metadata_directive.as_ref(),
        input.tagging_directive.as_ref(),
        input.tagging.is_some(),
    )?;
    let given = collect(&request.headers, &context.described.taken, None)?;
    let tags = input
        .tagging
        .as_deref()
        .map_or(Ok(Vec::new()), tagging::parse)?;
    let old_version = matches!(
        &input.copy_source,
        CopySource::Bucket {
            version_id: Some(_),
            ..
        }
    );

    let (from, source) = Source::open((service, &caller), input.copy_source, &wanted, None).await?;
    let to = name(&input.bucket, &input.key);
    let attributes = input.storage_class.is_some() || input.server_side_encryption.is_some();
    let changes = replaces.metadata || replaces.tags || algorithm.is_some() || old_version;
    if from == to && !changes && !attributes {
        return Err(invalid_request(
            "this copy request is illegal because it is trying to copy an object to itself without changing \
             the object's metadata, storage class, website redirect location or encryption attributes",
        ));
    }
    let digests = digests_of(&source.info, algorithm);
    let metadata = merged(&source.info.metadata, given, tags, replaces);
    let version = source.version();
    let what = (to.clone(), Purpose::Object { metadata, lock }, conditions);
    let stored = source.store(service, &caller, digests, what).await?;
    let modified = modified(&caller, &to, stored.version).await;
    let sums = Sums::of(&stored.checksums, None);
    let output = CopyObjectOutput {
        copy_object_result: Some(CopyObjectResult {
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_sha1: sums.sha1,
            checksum_sha256: sums.sha256,
            checksum_type: sums.kind,
            e_tag: Some(ETag::Strong(stored.etag)),
            last_modified: modified.map(timestamp),
        }),
        copy_source_version_id: version,
        server_side_encryption: input.server_side_encryption,
        version_id: stored
            .version
            .filter(|_| stored.versioned)
            .map(|version| version.to_string()),
        ..CopyObjectOutput::default()
    };
    with_receipt(output, stored.receipt)
}

/// When the copy was stored. None where that is not to be had: the copy is there, and an error would say that it is not.
async fn modified(
    caller: &Caller,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Option<UnixMillis> {
    let info = caller.head(name.clone(), version).await;
    Some(info.ok()?.modified)
}

fn condition(
    headers: &HeaderMap,
    name: &hyper::header::HeaderName,
) -> S3Result<Option<ETagCondition>> {
    let parse = |value: &hyper::header::HeaderValue| {
        ETagCondition::parse_http_header(value.as_bytes())
            .map_err(|_malformed| invalid_argument(format!("{name} must be an ETag or *")))
    };
    headers.get(name).map(parse).transpose()
}

fn algorithm(wanted: Option<&ChecksumAlgorithm>) -> S3Result<Option<ChecksumKind>> {
    let known = |wanted: &ChecksumAlgorithm| {
        parse_kind(wanted.as_str())
            .ok_or_else(|| invalid_request("the checksum algorithm is not supported"))
    };
    wanted.map(known).transpose()
}

/// What of the source is not taken over.
#[derive(Debug, Clone, Copy)]
struct Replaces {
    metadata: bool,
    tags: bool,
}

fn replaces(
    metadata: Option<&MetadataDirective>,
    tagging: Option<&TaggingDirective>,
    has_tags: bool,
) -> S3Result<Replaces> {
    let replaces = |word: Option<&str>, header: &str| match word {
        None | Some(MetadataDirective::COPY) => Ok(false),
        Some(MetadataDirective::REPLACE) => Ok(true),
        Some(_) => Err(invalid_argument(format!(
            "{header} must be COPY or REPLACE"
        ))),
    };
    let metadata = replaces(
        metadata.map(MetadataDirective::as_str),
        "x-amz-metadata-directive",
    )?;
    let tags = replaces(
        tagging.map(TaggingDirective::as_str),
        "x-amz-tagging-directive",
    )?;
    if has_tags && !tags {
        return Err(invalid_argument(
            "x-amz-tagging needs x-amz-tagging-directive: REPLACE",
        ));
    }
    Ok(Replaces { metadata, tags })
}

fn merged(
    source: &Metadata,
    given: Metadata,
    tags: Vec<(String, String)>,
    replaces: Replaces,
) -> Metadata {
    let base = if replaces.metadata {
        given
    } else {
        source.clone()
    };
    Metadata {
        tags: if replaces.tags {
            tags
        } else {
            source.tags.clone()
        },
        ..base
    }
}

/// The checksum asked for, else the algorithm of the source's; an MD5 where the source's ETag is one,
/// so that a copy keeps the ETag by which clients compare.
fn digests_of(source: &ObjectInfo, wanted: Option<ChecksumKind>) -> Digests {
    let md5 = source.etag.len() == 32 && source.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    let kind = wanted.or_else(|| source.checksums.first().map(|checksum| checksum.kind));
    Digests::to_compute(md5, kind)
}

pub(crate) async fn part(
    service: &Service,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let number = part_number(input.part_number)?;
    let upload = upload_id(&input.upload_id)?;
    let wanted = Wanted {
        if_match: Tags::of(input.copy_source_if_match)?,
        if_none_match: Tags::of(input.copy_source_if_none_match)?,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let range = input.copy_source_range.as_deref().map(range).transpose()?;
    let (_, source) = Source::open((service, &caller), input.copy_source, &wanted, range).await?;
    let to = name(&input.bucket, &input.key);
    let announced = announced(&caller, &to, upload).await?;
    let digests = digests_of(&source.info, announced.map(|(kind, _)| kind));
    let version = source.version();
    let what = (
        to.clone(),
        Purpose::Part { upload, number },
        Conditions::default(),
    );
    let stored = source.store(service, &caller, digests, what).await?;
    // The part is there whether or not it can be said since when.
    let row = listed(&caller, &to, upload, number).await.ok();
    let sums = Sums::of(&stored.checksums, None);
    plain(UploadPartCopyOutput {
        copy_part_result: Some(CopyPartResult {
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_sha1: sums.sha1,
            checksum_sha256: sums.sha256,
            e_tag: Some(ETag::Strong(stored.etag)),
            last_modified: row.map(|row| timestamp(row.modified)),
        }),
        copy_source_version_id: version,
        ..UploadPartCopyOutput::default()
    })
}

/// `bytes=first-last`, both there and both included.
fn range(text: &str) -> S3Result<(u64, u64)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let parse = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last): (u64, u64) = (number(first)?, number(last)?);
        (first <= last && last < u64::MAX).then_some((first, last))
    };
    parse().ok_or_else(|| {
        S3Error::with_message(
            S3ErrorCode::InvalidArgument,
            "x-amz-copy-source-range must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_range_names_its_first_and_last_byte() {
        for (text, expected) in [
            ("bytes=0-0", Some((0, 0))),
            ("bytes=5-9", Some((5, 9))),
            ("bytes=9-5", None),
            ("bytes=5-", None),
            ("bytes=-5", None),
            ("bytes=+1-5", None),
            ("bytes=0-18446744073709551615", None),
            ("0-5", None),
            ("", None),
        ] {
            assert_eq!(range(text).ok(), expected, "{text}");
        }
    }
}
