//! Listings: objects, versions, open uploads.
//!
//! With `encoding-type=url` names are percent-encoded. Without it they stand in XML as they are; if
//! a page holds a name that XML 1.0 cannot carry (control characters), the whole page is
//! percent-encoded all the same and says so in `EncodingType`, so that one odd name neither makes
//! the answer malformed nor blocks the listing. A carriage return is written as a reference, which
//! XML can carry, so that pages are written by [`document::write`].

use std::io::Write;

use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ETag, EncodingType, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, MultipartUpload,
    Object, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass, Owner, StorageClass,
};
use s3s::xml::{SerResult, Serialize, SerializeContent, Serializer};
use s3s::{S3Request, S3Response, S3Result};
use stele_format::units::{UploadId, VersionId};

use crate::bucket::{entries, initiator, owner};
use crate::document;
use crate::error::{invalid_argument, wrong_answer};
use crate::limits::KEY_BYTES_MAX;
use crate::message::{
    Answer, BucketKind, ListWish, ListedObject, ListedUpload, ListedVersion, Page, Request,
};
use crate::object::metadata::STORAGE_CLASS;
use crate::service::{Service, length};
use crate::text::{base64, base64_decode, percent_encode, timestamp, xml_safe_escaped};

/// Of all documents of S3.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// What `null` stands for in the listings of plain buckets.
const NULL_VERSION: &str = "null";

/// Whether this page's names are percent-encoded.
#[derive(Clone, Copy)]
struct Encoding(bool);

impl Encoding {
    fn new<'n>(
        wish: Option<&EncodingType>,
        names: impl IntoIterator<Item = &'n str>,
    ) -> S3Result<Self> {
        match wish.map(EncodingType::as_str) {
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(_) => Err(invalid_argument("encoding-type must be url")),
            None => Ok(Self(!names.into_iter().all(xml_safe_escaped))),
        }
    }

    fn name(self, name: String) -> Option<String> {
        Some(if self.0 { percent_encode(&name) } else { name })
    }

    fn names(self, name: Option<String>) -> Option<String> {
        name.and_then(|name| self.name(name))
    }

    fn prefixes(self, prefixes: Vec<String>) -> Option<Vec<CommonPrefix>> {
        let prefixes = prefixes.into_iter();
        Some(
            prefixes
                .map(|prefix| CommonPrefix {
                    prefix: self.name(prefix),
                })
                .collect(),
        )
    }

    fn said(self) -> Option<EncodingType> {
        self.0.then(|| EncodingType::from_static(EncodingType::URL))
    }
}

/// All names of a page and of the wish it answers.
fn names<'n, Row>(
    page: &'n Page<Row>,
    key: impl Fn(&'n Row) -> &'n str + 'n,
    wish: &'n ListWish,
) -> impl Iterator<Item = &'n str> {
    let keys = page.rows.iter().map(key);
    let echoed = [
        wish.delimiter.as_deref(),
        wish.after.as_deref(),
        Some(wish.prefix.as_str()),
    ];
    keys.chain(page.common_prefixes.iter().map(String::as_str))
        .chain(page.next.iter().map(|(next, _)| next.as_str()))
        .chain(echoed.into_iter().flatten())
}

fn wish(
    bucket: &str,
    prefix: Option<&String>,
    delimiter: Option<&String>,
    after: Option<&String>,
    most: Option<i32>,
) -> S3Result<ListWish> {
    let long = |text: Option<&String>| text.is_some_and(|text| text.len() > KEY_BYTES_MAX);
    if long(prefix) || long(delimiter) || long(after) {
        return Err(invalid_argument(
            "a prefix, delimiter or marker is longer than any key",
        ));
    }
    Ok(ListWish {
        bucket: bucket.to_owned(),
        prefix: prefix.cloned().unwrap_or_default(),
        delimiter: delimiter.filter(|text| !text.is_empty()).cloned(),
        after: after.filter(|text| !text.is_empty()).cloned(),
        after_version: None,
        entries_max: entries(most)?,
    })
}

fn shown_entries(wish: &ListWish) -> Option<i32> {
    i32::try_from(wish.entries_max).ok()
}

fn object(row: ListedObject, encoding: Encoding, owner: Option<&Owner>) -> S3Result<Object> {
    Ok(Object {
        e_tag: Some(ETag::Strong(row.etag)),
        key: encoding.name(row.key),
        last_modified: Some(timestamp(row.modified)),
        owner: owner.cloned(),
        size: Some(length(row.content_bytes)?),
        storage_class: Some(ObjectStorageClass::from_static(STORAGE_CLASS)),
        ..Object::default()
    })
}

pub(crate) async fn objects(
    service: &Service,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let (prefix, delimiter) = (input.prefix.as_ref(), input.delimiter.as_ref());
    let wish = wish(
        &input.bucket,
        prefix,
        delimiter,
        input.marker.as_ref(),
        input.max_keys,
    )?;
    let Answer::Listing(page) = caller.ask(Request::List(wish.clone())).await? else {
        return Err(wrong_answer());
    };
    let encoding = Encoding::new(
        input.encoding_type.as_ref(),
        names(&page, |row| &row.key, &wish),
    )?;
    let shown = owner(&caller.bucket(&input.bucket).await?.owner);
    let contents = page
        .rows
        .into_iter()
        .map(|row| object(row, encoding, Some(&shown)));
    written(&ListObjectsOutput {
        name: Some(input.bucket),
        prefix: encoding.name(wish.prefix.clone()),
        marker: encoding.name(wish.after.clone().unwrap_or_default()),
        max_keys: shown_entries(&wish),
        is_truncated: Some(page.next.is_some()),
        contents: Some(contents.collect::<S3Result<_>>()?),
        common_prefixes: encoding.prefixes(page.common_prefixes),
        delimiter: encoding.names(wish.delimiter),
        next_marker: encoding.names(page.next.map(|(next, _)| next)),
        encoding_type: encoding.said(),
        request_charged: None,
    })
}

/// Continuation tokens say where to go on; they are opaque to clients.
fn token(next: &str) -> String {
    base64(next.as_bytes())
}

fn parse_token(token: &str) -> S3Result<String> {
    let bytes = base64_decode(token).and_then(|bytes| String::from_utf8(bytes).ok());
    // An empty one would begin anew, and where the client wanted it to.
    let next = bytes.filter(|next| !next.is_empty());
    next.ok_or_else(|| invalid_argument("the continuation token provided is incorrect"))
}

pub(crate) async fn objects_v2(
    service: &Service,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let (after, start_after) = match &input.continuation_token {
        // It says itself where it goes on.
        Some(token) => (Some(parse_token(token)?), None),
        None => (input.start_after.clone(), input.start_after),
    };
    let (prefix, delimiter) = (input.prefix.as_ref(), input.delimiter.as_ref());
    let wish = wish(
        &input.bucket,
        prefix,
        delimiter,
        after.as_ref(),
        input.max_keys,
    )?;
    let Answer::Listing(page) = caller.ask(Request::List(wish.clone())).await? else {
        return Err(wrong_answer());
    };
    let echoed = start_after.as_deref();
    let encoding = Encoding::new(
        input.encoding_type.as_ref(),
        names(&page, |row| &row.key, &wish).chain(echoed),
    )?;
    let shown = match input.fetch_owner {
        Some(true) => Some(owner(&caller.bucket(&input.bucket).await?.owner)),
        _ => None,
    };
    let count = i32::try_from(page.rows.len() + page.common_prefixes.len()).ok();
    let next = page.next.as_ref().map(|(next, _)| token(next));
    let contents = page
        .rows
        .into_iter()
        .map(|row| object(row, encoding, shown.as_ref()));
    written(&ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: encoding.name(wish.prefix.clone()),
        max_keys: shown_entries(&wish),
        key_count: count,
        continuation_token: input.continuation_token,
        is_truncated: Some(next.is_some()),
        next_continuation_token: next,
        contents: Some(contents.collect::<S3Result<_>>()?),
        common_prefixes: encoding.prefixes(page.common_prefixes),
        delimiter: encoding.names(wish.delimiter),
        encoding_type: encoding.said(),
        start_after: encoding.names(start_after),
        request_charged: None,
    })
}

pub(crate) async fn versions(
    service: &Service,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let key_marker = input.key_marker.filter(|marker| !marker.is_empty());
    let version_marker = input.version_id_marker.filter(|marker| !marker.is_empty());
    if version_marker.is_some() && key_marker.is_none() {
        return Err(invalid_argument(
            "a version-id marker cannot be specified without a key marker",
        ));
    }
    let is_id = |marker: &String| VersionId::parse_hex(marker).is_some() || marker == NULL_VERSION;
    if !version_marker.as_ref().is_none_or(is_id) {
        // To leave out what it may mean would look as if nothing more followed.
        return Err(invalid_argument("invalid version id marker specified"));
    }
    let (prefix, delimiter) = (input.prefix.as_ref(), input.delimiter.as_ref());
    let mut wish = wish(
        &input.bucket,
        prefix,
        delimiter,
        key_marker.as_ref(),
        input.max_keys,
    )?;
    // The objects of a plain bucket have one version each, so nothing follows `null`.
    wish.after_version = version_marker
        .clone()
        .filter(|marker| marker != NULL_VERSION);
    let bucket = caller.bucket(&input.bucket).await?;
    let (shows_null, shown) = (bucket.kind == BucketKind::Plain, owner(&bucket.owner));
    let Answer::VersionListing(page) = caller.ask(Request::ListVersions(wish.clone())).await?
    else {
        return Err(wrong_answer());
    };
    let encoding = Encoding::new(
        input.encoding_type.as_ref(),
        names(&page, |row| &row.key, &wish),
    )?;
    let (next_key, next_version) = page.next.clone().unzip();
    let truncated = page.next.is_some();
    let common_prefixes = encoding.prefixes(page.common_prefixes);
    let rows = page.rows.into_iter().map(|row| match row.marker {
        true => Ok(Entry::Marker(marker(row, encoding, &shown))),
        false => version(row, encoding, (shows_null, &shown)).map(Entry::Version),
    });
    let rows = rows.collect::<S3Result<_>>()?;
    let about = ListObjectVersionsOutput {
        common_prefixes,
        delete_markers: None,
        delimiter: encoding.names(wish.delimiter),
        encoding_type: encoding.said(),
        is_truncated: Some(truncated),
        key_marker: encoding.name(key_marker.unwrap_or_default()),
        max_keys: i32::try_from(wish.entries_max).ok(),
        name: Some(input.bucket),
        next_key_marker: encoding.names(next_key),
        next_version_id_marker: next_version.flatten(),
        prefix: encoding.name(wish.prefix),
        request_charged: None,
        version_id_marker: Some(version_marker.unwrap_or_default()),
        versions: None,
    };
    written(&Versions { about, rows })
}

/// A page, written by the vault itself.
fn written<Output: Default>(page: &impl Serialize) -> S3Result<S3Response<Output>> {
    let written = document::write(page)?;
    let mut response = S3Response::new(Output::default());
    response.extensions.insert(written);
    Ok(response)
}

/// A page of versions and markers in one order, as S3 has it and clients rely on. The S3 library would write all
/// markers before all versions.
struct Versions {
    about: ListObjectVersionsOutput,
    rows: Vec<Entry>,
}

enum Entry {
    Marker(DeleteMarkerEntry),
    Version(ObjectVersion),
}

impl Serialize for Versions {
    fn serialize<W: Write>(&self, to: &mut Serializer<W>) -> SerResult {
        to.element_with_ns("ListVersionsResult", NAMESPACE, |to| {
            self.about.serialize_content(to)?;
            self.rows.iter().try_for_each(|row| match row {
                Entry::Marker(marker) => to.content("DeleteMarker", marker),
                Entry::Version(version) => to.content("Version", version),
            })
        })
    }
}

fn marker(row: ListedVersion, encoding: Encoding, owner: &Owner) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(row.current),
        key: encoding.name(row.key),
        last_modified: Some(timestamp(row.modified)),
        owner: Some(owner.clone()),
        version_id: Some(row.version.to_string()),
    }
}

fn version(
    row: ListedVersion,
    encoding: Encoding,
    (shows_null, owner): (bool, &Owner),
) -> S3Result<ObjectVersion> {
    let version = match shows_null {
        true => NULL_VERSION.to_owned(),
        false => row.version.to_string(),
    };
    Ok(ObjectVersion {
        e_tag: Some(ETag::Strong(row.etag)),
        is_latest: Some(row.current),
        key: encoding.name(row.key),
        last_modified: Some(timestamp(row.modified)),
        owner: Some(owner.clone()),
        size: Some(length(row.content_bytes)?),
        storage_class: Some(ObjectVersionStorageClass::from_static(STORAGE_CLASS)),
        version_id: Some(version),
        ..ObjectVersion::default()
    })
}

pub(crate) async fn uploads(
    service: &Service,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let key_marker = input.key_marker.filter(|marker| !marker.is_empty());
    let (prefix, delimiter) = (input.prefix.as_ref(), input.delimiter.as_ref());
    let mut wish = wish(
        &input.bucket,
        prefix,
        delimiter,
        key_marker.as_ref(),
        input.max_uploads,
    )?;
    // Without a key marker S3 ignores the other one.
    let upload_marker = input.upload_id_marker.filter(|_| key_marker.is_some());
    wish.after_version = upload_marker.clone().filter(|marker| !marker.is_empty());
    let marker = wish.after_version.as_deref();
    if marker.is_some_and(|marker| UploadId::parse_hex(marker).is_none()) {
        return Err(invalid_argument("invalid upload id marker specified"));
    }
    let Answer::Uploads(page) = caller.ask(Request::ListUploads(wish.clone())).await? else {
        return Err(wrong_answer());
    };
    let encoding = Encoding::new(
        input.encoding_type.as_ref(),
        names(&page, |row| &row.key, &wish),
    )?;
    let (next_key, next_upload) = page.next.clone().unzip();
    let shown = owner(&caller.bucket(&input.bucket).await?.owner);
    let uploads = page
        .rows
        .into_iter()
        .map(|row| upload(row, encoding, &shown));
    written(&ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        delimiter: encoding.names(wish.delimiter),
        encoding_type: encoding.said(),
        is_truncated: Some(next_key.is_some()),
        key_marker: encoding.name(key_marker.unwrap_or_default()),
        max_uploads: i32::try_from(wish.entries_max).ok(),
        next_key_marker: encoding.names(next_key),
        next_upload_id_marker: next_upload.flatten(),
        prefix: encoding.name(wish.prefix),
        request_charged: None,
        upload_id_marker: Some(upload_marker.unwrap_or_default()),
        uploads: Some(uploads.collect()),
        common_prefixes: encoding.prefixes(page.common_prefixes),
    })
}

fn upload(row: ListedUpload, encoding: Encoding, owner: &Owner) -> MultipartUpload {
    MultipartUpload {
        initiated: Some(timestamp(row.started)),
        key: encoding.name(row.key),
        initiator: Some(initiator(owner)),
        owner: Some(owner.clone()),
        storage_class: Some(StorageClass::from_static(STORAGE_CLASS)),
        upload_id: Some(row.upload.to_string()),
        ..MultipartUpload::default()
    }
}
