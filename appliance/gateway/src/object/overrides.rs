//! Headers of a read that the request itself sets: `response-content-type` and its like. The S3 library
//! sets them on GET and overlooks them on HEAD, and what was stored as `Expires` would win over both.

use hyper::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderValue};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::error::invalid_request;

/// What a request wants the answer to say in place of what was stored.
#[derive(Default)]
pub(super) struct Overrides {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) expires: Option<Timestamp>,
}

impl Overrides {
    /// Refuses what no header can hold: written into one, it would be another header.
    pub(super) fn check(self) -> S3Result<Self> {
        let values = [
            &self.cache_control,
            &self.content_disposition,
            &self.content_encoding,
            &self.content_language,
            &self.content_type,
        ];
        let fits = |value: &String| HeaderValue::from_str(value).is_ok();
        if values.into_iter().flatten().all(fits) {
            Ok(self)
        } else {
            Err(invalid_request(
                "a response-* parameter holds characters that no header can",
            ))
        }
    }

    /// Sets `Expires`, which the answers' types do not have.
    pub(super) fn expires(&self, headers: &mut HeaderMap) {
        let Some(at) = &self.expires else { return };
        let mut text = Vec::new();
        if at.format(TimestampFormat::HttpDate, &mut text).is_ok()
            && let Ok(value) = HeaderValue::from_bytes(&text)
        {
            headers.insert(EXPIRES, value);
        }
    }

    /// Sets what a cache brings up to date, in an answer without content.
    fn cached(&self, headers: &mut HeaderMap) {
        let cache = self.cache_control.as_deref();
        if let Some(Ok(value)) = cache.map(HeaderValue::from_str) {
            headers.insert(CACHE_CONTROL, value);
        }
        self.expires(headers);
    }

    /// The refusal of a read. Where nothing changed, a 304 says what a 200 would have said (RFC 9110, 15.4.5).
    pub(super) fn refusal(&self, mut error: S3Error) -> S3Error {
        if *error.code() == S3ErrorCode::NotModified {
            let mut headers = error.headers().cloned().unwrap_or_default();
            self.cached(&mut headers);
            error.set_headers(headers);
        }
        error
    }
}
