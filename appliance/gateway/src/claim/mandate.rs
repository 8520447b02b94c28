//! What a client wants, read from the bytes that it signed, and which questions serve that.
//!
//! Invariant: a mandate comes into being only where a signature was verified, and only from what it covers. A
//! header that is not among the signed ones is not there.
//!
//! What is read here is read as the rest of the gateway and its S3 library read it, with their own code, so that an
//! honest gateway never asks what is refused here.

use std::borrow::Cow;
use std::fmt;

use s3s::dto::{CopySource, ObjectLockLegalHoldStatus, ObjectLockMode, Timestamp, TimestampFormat};
use s3s::path::{S3Path, parse_path_style};
use stele_format::units::{UploadId, VersionId};

use super::canonical::Form;
use crate::auth::hoisted;
use crate::guard::host::Domains;
use crate::limits::KEY_BYTES_MAX;
use crate::lock;
use crate::message::{Answer, BucketKind, LockWish, ObjectName, Request};
use crate::text::percent_decode;

mod rules;

/// What one signed request may ask. It names objects, which is PHI: `Debug` does not print it.
pub struct Mandate {
    method: Method,
    place: S3Path,
    query: Query,
    source: Option<Source>,
    /// The lock of what is stored; none where it is no lock at all.
    lock: Option<LockWish>,
    bucket_lock: bool,
    bypass: bool,
    /// The version that the engine named last: what is current is asked for by its id the second time.
    told: Option<VersionId>,
    /// Whether something was stored.
    stored: bool,
    /// Buckets of those it touches that the engine called plain, where `null` names what is current.
    plain: Vec<String>,
    /// What it was verified by.
    signature: [u8; 32],
    /// How long that was still good then.
    good_ms: u64,
}

impl fmt::Debug for Mandate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mandate(..)")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
    /// One that no operation of the vault has.
    Other,
}

/// A part of a bucket or an object that a query names, as far as a rule speaks of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sub {
    Acl,
    Delete,
    LegalHold,
    Lifecycle,
    ObjectLock,
    Retention,
    Tagging,
    Uploads,
    Versions,
    Other,
}

/// A version as a client names it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Version {
    /// Not at all.
    #[default]
    Current,
    /// `null`, what buckets without versions show.
    Null,
    Id(VersionId),
    /// By a word that is no id.
    Malformed,
}

struct Query {
    subs: Vec<Sub>,
    version: Version,
    /// Given, and an upload's id.
    upload: Option<Option<UploadId>>,
    /// Given, and a number.
    part: Option<Option<u16>>,
    /// None where no name is that long.
    prefix: Option<String>,
    delimiter: Option<String>,
    /// Of a presigned URL.
    expires_s: Option<u64>,
}

/// What is copied.
struct Source {
    name: ObjectName,
    version: Version,
    /// The canonical form of a header folds blanks: a name with some in plain is known but for how many each time.
    folded: bool,
}

/// The signed headers that rules speak of.
#[derive(Default)]
struct Headers<'a> {
    host: Cow<'a, str>,
    source: Option<Cow<'a, str>>,
    mode: Option<Cow<'a, str>>,
    until: Option<Cow<'a, str>>,
    hold: Option<Cow<'a, str>>,
    bucket_lock: bool,
    bypass: bool,
}

impl Mandate {
    /// Reads a form whose signature was verified; none for what no honest gateway would have had verified.
    pub(in crate::claim) fn of(form: Form<'_>, domains: &Domains) -> Option<Self> {
        let (query, rest) = split_line(form.rest)?;
        let mut headers = Headers::default();
        headers.read(rest)?;
        let query = Query::read(std::str::from_utf8(query).ok()?, &mut headers)?;
        let path = std::str::from_utf8(form.path).ok()?;
        let path = percent_decode(&domains.path_style(&headers.host, path))?;
        Some(Self {
            method: Method::of(form.method),
            place: parse_path_style(&path).ok()?,
            query,
            source: headers.source(),
            lock: headers.lock(),
            bucket_lock: headers.bucket_lock,
            bypass: headers.bypass,
            told: None,
            stored: false,
            plain: Vec::new(),
            signature: [0; 32],
            good_ms: 0,
        })
    }

    /// Seconds for which a presigned URL is good; none for a signed header.
    pub(super) fn expires_s(&self) -> Option<u64> {
        self.query.expires_s
    }

    /// Notes what it was verified by, and how long that is good from now on.
    pub(super) fn proved(mut self, signature: [u8; 32], good_ms: u64) -> Self {
        (self.signature, self.good_ms) = (signature, good_ms);
        self
    }

    /// The signature it was verified by.
    #[must_use]
    pub fn signature(&self) -> &[u8; 32] {
        &self.signature
    }

    /// How long that signature was still good when it was verified.
    #[must_use]
    pub fn good_ms(&self) -> u64 {
        self.good_ms
    }

    /// Notes what the engine answered to a question of this mandate.
    pub fn learn(&mut self, answer: &Answer) {
        match answer {
            Answer::Object(info) | Answer::Opened { info, .. } => self.told = Some(info.version),
            Answer::Stored(stored) => {
                self.told = stored.version.or(self.told);
                self.stored = true;
            }
            Answer::Bucket(info)
                if info.kind == BucketKind::Plain
                    && self.touches(&info.name)
                    && !self.plain.contains(&info.name) =>
            {
                self.plain.push(info.name.clone());
            }
            _ => {}
        }
    }

    /// Whether a question is how what was stored looks, which the answer to a copy says, however long that took.
    #[must_use]
    pub fn asks_what_was_stored(&self, request: &Request) -> bool {
        self.stored && matches!(request, Request::Head { .. } | Request::ListParts { .. })
    }
}

impl Method {
    fn of(word: &[u8]) -> Self {
        match word {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"PUT" => Self::Put,
            b"POST" => Self::Post,
            b"DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

impl Sub {
    /// What a parameter names; none if it only says how.
    fn of(name: &str) -> Option<Self> {
        const HOW: [&str; 17] = [
            "bucket-region",
            "continuation-token",
            "delimiter",
            "encoding-type",
            "fetch-owner",
            "id",
            "key-marker",
            "list-type",
            "marker",
            "max-buckets",
            "max-keys",
            "max-parts",
            "max-uploads",
            "part-number-marker",
            "start-after",
            "upload-id-marker",
            "version-id-marker",
        ];
        let begins = |with: &str| {
            name.get(..with.len())
                .is_some_and(|front| front.eq_ignore_ascii_case(with))
        };
        Some(match name {
            "acl" => Self::Acl,
            "delete" => Self::Delete,
            "legal-hold" => Self::LegalHold,
            "lifecycle" => Self::Lifecycle,
            "object-lock" => Self::ObjectLock,
            "retention" => Self::Retention,
            "tagging" => Self::Tagging,
            "uploads" => Self::Uploads,
            "versions" => Self::Versions,
            name if HOW.contains(&name) || begins("x-") || begins("response-") => return None,
            _ => Self::Other,
        })
    }
}

impl Version {
    fn of(text: &str) -> Self {
        match text {
            "null" => Self::Null,
            text => VersionId::parse_hex(text).map_or(Self::Malformed, Self::Id),
        }
    }
}

impl Query {
    /// Reads a canonical query. What is a header in it, as presigned URLs have it, is taken for one.
    fn read(text: &str, headers: &mut Headers<'_>) -> Option<Self> {
        // Sessions are many, and what each keeps is short.
        let short = |text: String| (text.len() <= KEY_BYTES_MAX).then(|| text.as_str().into());
        let mut query = Self {
            subs: Vec::new(),
            version: Version::Current,
            upload: None,
            part: None,
            prefix: Some(String::new()),
            delimiter: Some(String::new()),
            expires_s: None,
        };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            let value = || percent_decode(value);
            match name {
                "versionId" => query.version = Version::of(&value()?),
                "uploadId" => query.upload = Some(UploadId::parse_hex(&value()?)),
                "partNumber" => query.part = Some(value()?.parse().ok()),
                "prefix" => query.prefix = short(value()?),
                "delimiter" => query.delimiter = short(value()?),
                "X-Amz-Expires" => query.expires_s = Some(value()?.parse().ok()?),
                name if hoisted::is_header(name) => {
                    headers.take(&name.to_ascii_lowercase(), Cow::Owned(value()?))?;
                }
                name => {
                    let sub = Sub::of(name).filter(|sub| !query.subs.contains(sub));
                    query.subs.extend(sub);
                }
            }
        }
        Some(query)
    }
}

impl<'a> Headers<'a> {
    /// Reads everything behind the query: a line for each signed header, their names, and what covers the body.
    fn read(&mut self, text: &'a [u8]) -> Option<()> {
        let (text, _payload) = rsplit_line(text)?;
        let (lines, names) = rsplit_line(text)?;
        let mut lines = lines.strip_suffix(b"\n")?.split(|byte| *byte == b'\n');
        for name in names.split(|byte| *byte == b';') {
            let value = lines.next()?.strip_prefix(name)?.strip_prefix(b":")?;
            self.take(
                std::str::from_utf8(name).ok()?,
                String::from_utf8_lossy(value),
            )?;
        }
        lines.next().is_none().then_some(())
    }

    /// Notes a header. One that was signed and not sent stands there with nothing behind it, and wishes nothing; one that
    /// was sent empty is refused before it comes here.
    fn take(&mut self, name: &str, value: Cow<'a, str>) -> Option<()> {
        let is_true = |value: &str| matches!(value, "true" | "True");
        match name {
            "host" => self.host = value,
            _ if value.is_empty() => {}
            "x-amz-copy-source" => self.source = Some(value),
            "x-amz-object-lock-mode" => self.mode = Some(value),
            "x-amz-object-lock-retain-until-date" => self.until = Some(value),
            "x-amz-object-lock-legal-hold" => self.hold = Some(value),
            "x-amz-bucket-object-lock-enabled" => self.bucket_lock = is_true(&value),
            "x-amz-bypass-governance-retention" => self.bypass = is_true(&value),
            _ => {}
        }
        Some(())
    }

    fn source(&self) -> Option<Source> {
        let text = self.source.as_ref()?;
        // What a query had is a text of its own, and nobody folds it.
        let is_header = matches!(text, Cow::Borrowed(_));
        Source::read(text, is_header && text.contains(' '))
    }

    fn lock(&self) -> Option<LockWish> {
        let mode = self.mode.as_deref().map(str::to_owned);
        let hold = self.hold.as_deref().map(str::to_owned);
        let until = self.until.as_deref();
        let until = until.map(|text| Timestamp::parse(TimestampFormat::DateTime, text));
        lock::wish(
            mode.map(ObjectLockMode::from).as_ref(),
            until.transpose().ok()?.as_ref(),
            hold.map(ObjectLockLegalHoldStatus::from).as_ref(),
        )
        .ok()
    }
}

impl Source {
    fn read(text: &str, folded: bool) -> Option<Self> {
        let CopySource::Bucket {
            bucket,
            key,
            version_id,
        } = CopySource::parse(text).ok()?
        else {
            return None;
        };
        Some(Self {
            name: ObjectName {
                bucket: bucket.into(),
                key: key.into(),
            },
            version: version_id.as_deref().map_or(Version::Current, Version::of),
            folded,
        })
    }
}

/// The first line and what follows it.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'\n')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What precedes the last line, and that one.
fn rsplit_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|byte| *byte == b'\n')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests;
