//! GetObject, HeadObject and the smaller questions about one version.

use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LAST_MODIFIED,
};
use s3s::dto::{
    ChecksumMode, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    ObjectLockLegalHoldStatus, ObjectLockMode, Range, StreamingBlob, Timestamp,
};
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use stele_format::units::VersionId;

use crate::error::{custom, invalid_request, mode_text, wrong_answer};
use crate::lock::hold_status;
use crate::message::{Answer, ObjectInfo, ObjectName, RangeWish, Refusal, Request, StreamId};
use crate::multipart::part_number;
use crate::object::download::{Download, Taker, close};
use crate::object::etags::Tags;
use crate::object::overrides::Overrides;
use crate::object::put::Sums;
use crate::service::{Caller, Service, length, name, plain};
use crate::sosapi::{self, Document};
use crate::text::{http_date, http_date_text, timestamp};

const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Puts what GET and HEAD share into the output type of one of them.
macro_rules! fill {
    ($shown:ident, $output:ident) => {
        $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: $shown.cache_control,
            checksum_crc32: $shown.sums.crc32,
            checksum_crc32c: $shown.sums.crc32c,
            checksum_crc64nvme: $shown.sums.crc64nvme,
            checksum_sha1: $shown.sums.sha1,
            checksum_sha256: $shown.sums.sha256,
            checksum_type: $shown.sums.kind,
            content_disposition: $shown.content_disposition,
            content_encoding: $shown.content_encoding,
            content_language: $shown.content_language,
            content_length: $shown.content_length,
            content_range: $shown.content_range,
            content_type: $shown.content_type,
            e_tag: $shown.e_tag,
            last_modified: $shown.last_modified,
            metadata: $shown.metadata,
            object_lock_legal_hold_status: $shown.object_lock_legal_hold_status,
            object_lock_mode: $shown.object_lock_mode,
            object_lock_retain_until_date: $shown.object_lock_retain_until_date,
            version_id: $shown.version_id,
            ..$output::default()
        }
    };
}

/// What a request wants the answer to say, of either input type.
macro_rules! overrides {
    ($input:ident) => {
        Overrides {
            cache_control: $input.response_cache_control.take(),
            content_disposition: $input.response_content_disposition.take(),
            content_encoding: $input.response_content_encoding.take(),
            content_language: $input.response_content_language.take(),
            content_type: $input.response_content_type.take(),
            expires: $input.response_expires.take(),
        }
        .check()?
    };
}

/// A document of the vault itself as the output type of GET or HEAD.
macro_rules! own_document {
    ($document:ident, $output:ident) => {
        $output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from($document.content.len()).ok(),
            content_range: $document.content_range,
            content_type: Some(sosapi::CONTENT_TYPE.to_owned()),
            e_tag: Some($document.etag),
            last_modified: Some($document.modified),
            ..$output::default()
        }
    };
}

/// The conditions of a read.
pub(super) struct Wanted {
    pub(super) if_match: Option<Tags>,
    pub(super) if_none_match: Option<Tags>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// 412: a condition did not hold.
pub(super) fn unmet() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::PreconditionFailed,
        "at least one of the preconditions you specified did not hold",
    )
}

impl Wanted {
    /// Decides in the order of RFC 9110.
    pub(super) fn check(&self, info: &ObjectInfo) -> S3Result<()> {
        let tag = ETag::Strong(info.etag.clone());
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !wanted.match_strongly(&tag) => return Err(unmet()),
            (None, Some(since)) if modified_after(info, since) => return Err(unmet()),
            _ => {}
        }
        let unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(known), _) => known.match_weakly(&tag),
            (None, Some(since)) => !modified_after(info, since),
            (None, None) => false,
        };
        match unchanged {
            true => Err(not_modified(info)),
            false => Ok(()),
        }
    }
}

/// HTTP dates have whole seconds.
fn modified_after(info: &ObjectInfo, since: &Timestamp) -> bool {
    let seconds = |at: Timestamp| time::OffsetDateTime::from(at).unix_timestamp();
    seconds(timestamp(info.modified)) > seconds(since.clone())
}

/// 304, with what a cache brings up to date (RFC 9110, 15.4.5).
fn not_modified(info: &ObjectInfo) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::NotModified, "not modified");
    let kept = |wanted: HeaderName| {
        let mut kept = info.metadata.headers.iter();
        let found = kept.find(|(name, _)| *name == wanted.as_str());
        found.map(|(_, value)| (wanted, value.clone()))
    };
    let said = [
        Some((ETAG, format!("\"{}\"", info.etag))),
        Some((LAST_MODIFIED, http_date_text(info.modified))),
        kept(CACHE_CONTROL),
        kept(EXPIRES),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in said.into_iter().flatten() {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    error.set_headers(headers);
    error
}

fn range_wish(range: Range) -> RangeWish {
    match range {
        Range::Int { first, last } => RangeWish::From { first, last },
        Range::Suffix { length } => RangeWish::Suffix(length),
    }
}

pub(crate) fn content_range((first, bytes): (u64, u64), of: u64) -> Option<String> {
    let last = (first + bytes).checked_sub(1)?;
    Some(format!("bytes {first}-{last}/{of}"))
}

/// First byte and number of bytes of a part. An object that did not come by multipart is its own only
/// part.
fn part_of(info: &ObjectInfo, number: u16) -> S3Result<(u64, u64)> {
    let before = usize::from(number) - 1;
    let sizes = match info.part_sizes.as_slice() {
        [] => &[info.content_bytes],
        sizes => sizes,
    };
    let first = sizes.iter().take(before).sum();
    match sizes.get(before) {
        // Of a part without bytes there is nothing that a range could name.
        Some(bytes) if *bytes > 0 || info.content_bytes == 0 => Ok((first, *bytes)),
        _ => Err(custom(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidPartNumber",
            "the requested partnumber is not satisfiable",
        )),
    }
}

/// The part a request names; not together with a range.
fn wanted_part(part: Option<i32>, ranged: bool) -> S3Result<Option<u16>> {
    let number = part.map(part_number).transpose()?;
    if number.is_some() && ranged {
        return Err(invalid_request(
            "cannot specify both Range header and partNumber query parameter",
        ));
    }
    Ok(number)
}

/// Where a part lies in a version, and which version that is: what is read later is the same one.
struct Part {
    version: VersionId,
    first: u64,
    bytes: u64,
    of: Option<u32>,
}

impl Part {
    async fn find(
        caller: &Caller,
        (name, version): (&ObjectName, Option<VersionId>),
        wanted: &Wanted,
        number: u16,
    ) -> S3Result<Self> {
        let info = caller.head(name.clone(), version).await?;
        wanted.check(&info)?;
        let (first, bytes) = part_of(&info, number)?;
        Ok(Self {
            version: info.version,
            first,
            bytes,
            of: info.parts(),
        })
    }

    /// As a range; none where it has no bytes.
    fn range(&self) -> Option<RangeWish> {
        let last = (self.first + self.bytes).checked_sub(1)?;
        (self.bytes > 0).then_some(RangeWish::From {
            first: self.first,
            last: Some(last),
        })
    }
}

/// How many parts there are, which is only told to who asks for one.
fn tell_parts(headers: &mut HeaderMap, parts: Option<u32>) {
    if let Some(parts) = parts {
        headers.insert("x-amz-mp-parts-count", HeaderValue::from(parts));
    }
}

/// An open download: the stream, the version, and the first byte and number of bytes that follow.
type Opened = (StreamId, Box<ObjectInfo>, (u64, u64));

async fn open(
    caller: &Caller,
    name: ObjectName,
    version: Option<VersionId>,
    range: Option<RangeWish>,
) -> S3Result<Opened> {
    let open = Request::OpenGet {
        name,
        version,
        range,
    };
    match caller.ask(open).await? {
        Answer::Opened {
            stream,
            info,
            range,
        } => Ok((stream, info, range)),
        _ => Err(wrong_answer()),
    }
}

/// A range that a client wants of a version, if it is the one that it has a part of already.
struct Partial {
    range: RangeWish,
    only_of: Option<HeaderValue>,
}

/// Opens a part of a version that satisfies the conditions, or all of it where `If-Range` names another; and says
/// which. What the conditions say comes before what the range says, as RFC 9110 has it (13.2.2, 14.2).
async fn open_partial(
    caller: &Caller,
    (name, version): (ObjectName, Option<VersionId>),
    wanted: &Wanted,
    partial: Partial,
) -> S3Result<(Opened, bool)> {
    let Partial { range, only_of } = partial;
    let is_other = |info: &ObjectInfo| only_of.as_ref().is_some_and(|tag| !is_of(tag, info));
    let opened = open(caller, name.clone(), version, Some(range)).await;
    let (info, refused) = match opened {
        Ok((stream, info, bytes)) => {
            if !is_other(&info) && wanted.check(&info).is_ok() {
                return Ok(((stream, info, bytes), true));
            }
            close(caller.clone(), stream);
            (*info, None)
        }
        Err(error) if *error.code() == S3ErrorCode::InvalidRange => {
            (caller.head(name.clone(), version).await?, Some(error))
        }
        Err(error) => return Err(error),
    };
    wanted.check(&info)?;
    match refused {
        Some(error) if !is_other(&info) => Err(error),
        _ => Ok((open(caller, name, Some(info.version), None).await?, false)),
    }
}

/// Opens a version that satisfies the conditions.
async fn open_whole(
    caller: &Caller,
    name: ObjectName,
    version: Option<VersionId>,
    wanted: &Wanted,
) -> S3Result<Opened> {
    let opened = open(caller, name, version, None).await?;
    if let Err(error) = wanted.check(&opened.1) {
        close(caller.clone(), opened.0);
        return Err(error);
    }
    Ok(opened)
}

/// Whether an `If-Range` names this very content: its ETag, or a date at which it was there already.
fn is_of(wanted: &HeaderValue, info: &ObjectInfo) -> bool {
    let text = wanted.to_str().unwrap_or_default().trim();
    if let Some(tag) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        return tag == info.etag;
    }
    http_date(text).is_some_and(|since| !modified_after(info, &since.into()))
}

pub(crate) async fn get(
    service: &Service,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let caller = service.caller(&request)?;
    let mut input = request.input;
    if let Some(which) = sosapi::which(&input.key) {
        let document = Document::read(&caller, &input.bucket, which, input.range).await?;
        let body = Body::from(document.content.clone());
        let mut output = own_document!(document, GetObjectOutput);
        output.body = Some(StreamingBlob::from(body));
        return plain(output);
    }
    let overrides = overrides!(input);
    let if_range = request.headers.get(IF_RANGE).cloned();
    let number = wanted_part(input.part_number, input.range.is_some())?;
    let mut version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let wanted = Wanted {
        if_match: Tags::of(input.if_match)?,
        if_none_match: Tags::of(input.if_none_match)?,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let name = name(&input.bucket, &input.key);
    let refusal = |error| overrides.refusal(error);
    let part = match number {
        Some(number) => {
            let found = Part::find(&caller, (&name, version), &wanted, number).await;
            Some(found.map_err(refusal)?)
        }
        None => None,
    };
    let (range, only_of) = match &part {
        Some(part) => {
            version = Some(part.version);
            (part.range(), None)
        }
        None => (input.range.map(range_wish), if_range),
    };
    let opened = match range {
        Some(range) => {
            let partial = Partial { range, only_of };
            open_partial(&caller, (name, version), &wanted, partial).await
        }
        None => {
            let whole = open_whole(&caller, name, version, &wanted).await;
            whole.map(|opened| (opened, false))
        }
    };
    let ((stream, info, range), ranged) = opened.map_err(refusal)?;
    let with_sums = !ranged && wants_sums(input.checksum_mode.as_ref());
    let total = info.content_bytes;
    let mut shown = Shown::of(*info, with_sums, overrides);
    shown.content_length = length(range.1).ok();
    shown.content_range = if ranged {
        content_range(range, total)
    } else {
        None
    };
    let mut headers = std::mem::take(&mut shown.headers);
    tell_parts(&mut headers, part.and_then(|part| part.of));
    let download = Download::start(caller, &service.slabs, (stream, range.1), Taker::Client);
    let download = download.begun().await?;
    let mut output = fill!(shown, GetObjectOutput);
    output.tag_count = shown.tag_count;
    output.body = Some(StreamingBlob::from(Body::http_body_unsync(download)));
    Ok(S3Response::with_headers(output, headers))
}

pub(crate) async fn head(
    service: &Service,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let caller = service.caller(&request)?;
    let mut input = request.input;
    if let Some(which) = sosapi::which(&input.key) {
        let document = Document::read(&caller, &input.bucket, which, input.range).await?;
        return plain(own_document!(document, HeadObjectOutput));
    }
    let overrides = overrides!(input);
    let number = wanted_part(input.part_number, input.range.is_some())?;
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let info = caller
        .head(name(&input.bucket, &input.key), version)
        .await?;
    let wanted = Wanted {
        if_match: Tags::of(input.if_match)?,
        if_none_match: Tags::of(input.if_none_match)?,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    wanted
        .check(&info)
        .map_err(|error| overrides.refusal(error))?;
    let total = info.content_bytes;
    let parts = info.parts().filter(|_| number.is_some());
    let range = match (number, input.range) {
        (Some(number), _) => Some(part_of(&info, number)?),
        (None, range) => range.map(|range| resolve(range, total)).transpose()?,
    };
    let with_sums = range.is_none() && wants_sums(input.checksum_mode.as_ref());
    let mut shown = Shown::of(info, with_sums, overrides);
    if let Some(range) = range {
        shown.content_length = length(range.1).ok();
        shown.content_range = content_range(range, total);
    }
    let mut headers = std::mem::take(&mut shown.headers);
    if let Some(tags) = shown.tag_count {
        headers.insert("x-amz-tagging-count", HeaderValue::from(tags));
    }
    tell_parts(&mut headers, parts);
    Ok(S3Response::with_headers(
        fill!(shown, HeadObjectOutput),
        headers,
    ))
}

/// First byte and number of bytes of a range, as the engine resolves it for GET.
pub(crate) fn resolve(range: Range, content_bytes: u64) -> S3Result<(u64, u64)> {
    match range.check(content_bytes) {
        Ok(bytes) if !bytes.is_empty() => Ok((bytes.start, bytes.end - bytes.start)),
        _ => Err(Refusal::Range { content_bytes }.into()),
    }
}

fn wants_sums(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

/// What GET and HEAD tell of a version alike.
struct Shown {
    headers: HeaderMap,
    sums: Sums,
    cache_control: Option<String>,
    content_disposition: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_type: Option<String>,
    content_length: Option<i64>,
    content_range: Option<String>,
    e_tag: Option<ETag>,
    last_modified: Option<Timestamp>,
    metadata: Option<s3s::dto::Metadata>,
    object_lock_legal_hold_status: Option<ObjectLockLegalHoldStatus>,
    object_lock_mode: Option<ObjectLockMode>,
    object_lock_retain_until_date: Option<Timestamp>,
    tag_count: Option<i32>,
    version_id: Option<String>,
}

impl Shown {
    fn of(info: ObjectInfo, with_sums: bool, overrides: Overrides) -> Self {
        let kept = |name: &str| {
            let mut headers = info.metadata.headers.iter();
            headers
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.clone())
        };
        let mut headers = HeaderMap::new();
        // As the client wrote it, not as a date of ours.
        if let Some(value) = kept("expires").and_then(|v| HeaderValue::try_from(v).ok()) {
            headers.insert(EXPIRES, value);
        }
        overrides.expires(&mut headers);
        let sums = match with_sums {
            true => Sums::of(&info.checksums, info.parts()),
            false => Sums::default(),
        };
        let user = &info.metadata.user;
        let tags = i32::try_from(info.metadata.tags.len())
            .ok()
            .filter(|tags| *tags > 0);
        Self {
            headers,
            sums,
            cache_control: overrides.cache_control.or_else(|| kept("cache-control")),
            content_disposition: overrides
                .content_disposition
                .or_else(|| kept("content-disposition")),
            content_encoding: overrides
                .content_encoding
                .or_else(|| kept("content-encoding")),
            content_language: overrides
                .content_language
                .or_else(|| kept("content-language")),
            content_type: overrides
                .content_type
                .or_else(|| kept("content-type"))
                .or(Some(DEFAULT_CONTENT_TYPE.to_owned())),
            content_length: length(info.content_bytes).ok(),
            content_range: None,
            e_tag: Some(ETag::Strong(info.etag.clone())),
            last_modified: Some(timestamp(info.modified)),
            metadata: (!user.is_empty()).then(|| user.iter().cloned().collect()),
            object_lock_legal_hold_status: info.hold.map(hold_status),
            object_lock_mode: info
                .retention
                .map(|retention| ObjectLockMode::from_static(mode_text(retention.mode))),
            object_lock_retain_until_date: info.retention.map(|r| timestamp(r.until)),
            tag_count: tags,
            version_id: info.versioned.then(|| info.version.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
