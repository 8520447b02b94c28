//! Object Lock on the wire: what is asked for and what answers show.

use time::{Date, Month, OffsetDateTime};

use super::s3::{Client, Reply, checksum};

/// A lock with an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub compliance: bool,
    pub until_ms: u64,
}

impl Retention {
    /// The word of S3.
    pub fn mode(self) -> &'static str {
        match self.compliance {
            true => "COMPLIANCE",
            false => "GOVERNANCE",
        }
    }
}

/// What an upload asks for.
#[derive(Clone, Copy)]
pub struct Wish {
    pub retention: Option<Retention>,
    pub hold: Option<bool>,
}

/// The wall clock.
pub fn wall_ms() -> u64 {
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    u64::try_from(now).expect("after 1970")
}

/// As headers and listings say a time.
pub fn stamp(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).expect("a time");
    let at = OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
    let (hour, minute, second) = at.time().as_hms();
    let milli = ms % 1_000;
    format!(
        "{}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
        at.date()
    )
}

/// The time that a text says.
pub fn parsed(text: &str) -> u64 {
    let number = |from: usize, to: usize| text[from..to].parse::<u16>().expect("digits");
    let small = |from: usize, to: usize| u8::try_from(number(from, to)).expect("two digits");
    let month = Month::try_from(small(5, 7)).expect("a month");
    let date = Date::from_calendar_date(i32::from(number(0, 4)), month, small(8, 10));
    let at = date.expect("a date").with_hms_milli(
        small(11, 13),
        small(14, 16),
        small(17, 19),
        number(20, 23),
    );
    let at = at.expect("a time").assume_utc();
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).expect("after 1970")
}

/// What stands between the tags of an element, each time.
pub fn between<'t>(text: &'t str, element: &str) -> Vec<&'t str> {
    let (start, end) = (format!("<{element}>"), format!("</{element}>"));
    let parts = text.split(start.as_str()).skip(1);
    parts
        .map(|part| part.split_once(end.as_str()).expect("an end").0)
        .collect()
}

/// The retention that an answer shows.
pub fn shown(reply: &Reply) -> Option<Retention> {
    let mode = reply.header("x-amz-object-lock-mode")?;
    let until = reply.header("x-amz-object-lock-retain-until-date")?;
    Some(Retention {
        compliance: mode == "COMPLIANCE",
        until_ms: parsed(until),
    })
}

/// The lock headers of an upload.
pub fn headers(wish: Wish, until: Option<&str>) -> Vec<(&str, &str)> {
    let mut headers = Vec::new();
    if let (Some(retention), Some(until)) = (wish.retention, until) {
        headers.push(("x-amz-object-lock-mode", retention.mode()));
        headers.push(("x-amz-object-lock-retain-until-date", until));
    }
    if let Some(on) = wish.hold {
        let word = if on { "ON" } else { "OFF" };
        headers.push(("x-amz-object-lock-legal-hold", word));
    }
    headers
}

/// An upload in one part; the answer of its completion, or of what was refused before.
pub fn in_parts(client: &Client, path: &str, headers: &[(&str, &str)], content: &[u8]) -> Reply {
    let begun = client.request("POST", &format!("{path}?uploads="), headers, b"");
    if begun.status != 200 {
        return begun;
    }
    let said = begun.text();
    let upload = between(&said, "UploadId").concat();
    let to = format!("{path}?partNumber=1&uploadId={upload}");
    let part = client.request("PUT", &to, &[], content);
    assert_eq!(part.status, 200, "{}", part.text());
    let etag = part.header("etag").expect("an ETag");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let to = format!("{path}?uploadId={upload}");
    client.request("POST", &to, &[], document.as_bytes())
}

/// A request that must carry a digest of its document.
pub fn order(client: &Client, method: &str, path: &str, document: &str, bypass: bool) -> Reply {
    let digest = checksum(document.as_bytes());
    let mut headers = Vec::new();
    if method != "DELETE" {
        headers.push(("x-amz-checksum-sha256", digest.as_str()));
    }
    if bypass {
        headers.push(("x-amz-bypass-governance-retention", "true"));
    }
    client.request(method, path, &headers, document.as_bytes())
}
