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

/// Every kind of lock: a name for it, whether its mode is COMPLIANCE, and whether it is held.
pub const LOCKS: [(&str, Option<bool>, bool); 6] = [
    ("free", None, false),
    ("governed", Some(false), false),
    ("governed-held", Some(false), true),
    ("held", None, true),
    ("kept", Some(true), false),
    ("kept-held", Some(true), true),
];

/// What is asked for by a kind of lock.
pub fn wish((_, compliance, held): (&str, Option<bool>, bool), until_ms: u64) -> Wish {
    let retention = compliance.map(|compliance| Retention {
        compliance,
        until_ms,
    });
    let hold = held.then_some(true);
    Wish { retention, hold }
}

/// An outcome without a code.
pub fn done(status: u16) -> (u16, String) {
    (status, String::new())
}

/// An outcome with one.
pub fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The version that an answer names.
pub fn version(reply: &Reply) -> String {
    let id = reply.header("x-amz-version-id").expect("a version");
    id.to_owned()
}

/// Stores an object under a lock; its version.
pub fn store(client: &Client, path: &str, wish: Wish, content: &[u8]) -> String {
    let until = wish.retention.map(|retention| stamp(retention.until_ms));
    let headers = headers(wish, until.as_deref());
    let reply = client.request("PUT", path, &headers, content);
    assert_eq!(reply.outcome(), done(200), "{path}");
    version(&reply)
}

/// Every question tells this lock of a version, and its content is there.
pub fn tells(client: &Client, path: &str, id: &str, wish: Wish, content: &[u8], what: &str) {
    let ask = |method: &str, more: &str| {
        let path = format!("{path}?{more}versionId={id}");
        client.request(method, &path, &[], b"")
    };
    let hold = wish.hold.map(|on| if on { "ON" } else { "OFF" });
    for method in ["GET", "HEAD"] {
        let reply = ask(method, "");
        assert_eq!(reply.outcome(), done(200), "{what}, {path}");
        assert_eq!(shown(&reply), wish.retention, "{what}, {path}, {method}");
        let shown = reply.header("x-amz-object-lock-legal-hold");
        assert_eq!(shown, hold, "{what}, {path}, {method}");
        if method == "GET" {
            assert_eq!(reply.body, content, "{what}, {path}");
        }
    }
    let none = refused(404, "NoSuchObjectLockConfiguration");
    let reply = ask("GET", "retention=&");
    match wish.retention {
        None => assert_eq!(reply.outcome(), none, "{what}, {path}"),
        Some(retention) => {
            let said = reply.text();
            assert_eq!(between(&said, "Mode"), [retention.mode()], "{what}, {path}");
            let until = between(&said, "RetainUntilDate").concat();
            assert_eq!(until, stamp(retention.until_ms), "{what}, {path}");
        }
    }
    let reply = ask("GET", "legal-hold=&");
    match hold {
        None => assert_eq!(reply.outcome(), none, "{what}, {path}"),
        Some(hold) => assert_eq!(between(&reply.text(), "Status"), [hold], "{what}, {path}"),
    }
}

/// S3 does not show the version any more.
pub fn is_gone(client: &Client, path: &str, id: &str, what: &str) {
    let path = format!("{path}?versionId={id}");
    let reply = client.request("GET", &path, &[], b"");
    assert_eq!(
        reply.outcome(),
        refused(404, "NoSuchVersion"),
        "{what}, {path}"
    );
    let reply = client.request("HEAD", &path, &[], b"");
    assert_eq!(reply.status, 404, "{what}, {path}");
}

/// What S3 lists of a bucket: key, kind and version id.
pub fn listed(client: &Client, bucket: &str) -> Vec<(String, String, String)> {
    let path = format!("/{bucket}?versions=");
    let said = client.request("GET", &path, &[], b"").text();
    let mut rows = Vec::new();
    for element in ["Version", "DeleteMarker"] {
        for row in between(&said, element) {
            let one = |name: &str| between(row, name).concat();
            rows.push((one("Key"), element.to_owned(), one("VersionId")));
        }
    }
    rows.sort();
    rows
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
