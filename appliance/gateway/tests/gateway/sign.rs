//! Signature Version 4, from the client's side.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use time::OffsetDateTime;

/// Whose requests these are.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// What a request is signed for.
#[derive(Clone)]
pub struct Scope {
    /// `YYYYMMDDTHHMMSSZ`.
    pub date: String,
    pub region: String,
}

impl Scope {
    /// Now, shifted by some seconds.
    pub fn shifted(seconds: i64) -> Self {
        let at = OffsetDateTime::from(std::time::SystemTime::now()).unix_timestamp() + seconds;
        let at = OffsetDateTime::from_unix_timestamp(at).expect("in range");
        let date = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        );
        Self {
            date,
            region: "us-east-1".to_owned(),
        }
    }

    /// The date as a `Date` header says it.
    pub fn http_date(&self) -> String {
        let number = |range: std::ops::Range<usize>| self.date[range].parse().expect("digits");
        let month = time::Month::try_from(number(4..6)).expect("a month");
        let year = self.date[..4].parse().expect("a year");
        let day = time::Date::from_calendar_date(year, month, number(6..8)).expect("a day");
        format!(
            "{:.3}, {} {:.3} {} {}:{}:{} GMT",
            day.weekday().to_string(),
            &self.date[6..8],
            month.to_string(),
            &self.date[..4],
            &self.date[9..11],
            &self.date[11..13],
            &self.date[13..15]
        )
    }

    pub fn day(&self) -> &str {
        &self.date[..8]
    }

    pub fn text(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.day(), self.region)
    }

    /// Signs a text with the key derived for this scope.
    pub fn sign(&self, secret: &str, text: &str) -> String {
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.day(), &self.region, "s3", "aws4_request", text] {
            let signer = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&signer, part.as_bytes()).as_ref().to_vec();
        }
        hex(&key)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String");
        text
    })
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Percent-encodes as SigV4 wants it.
pub fn encode(text: &str, keep_slash: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if keep_slash => out.push('/'),
            _ => write!(out, "%{byte:02X}").expect("a String"),
        }
        out
    })
}

/// The canonical form of a query.
pub fn canonical_query(query: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = query
        .iter()
        .map(|(n, v)| (encode(n, false), encode(v, false)))
        .collect();
    pairs.sort();
    pairs
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect::<Vec<_>>()
        .join("&")
}

/// Headers by name, each with its values in the order of its lines.
fn merged(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut sorted = headers.to_vec();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut merged: Vec<(String, String)> = Vec::new();
    for (name, value) in sorted {
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match merged.last_mut() {
            Some((last, values)) if *last == name => {
                values.push(',');
                values.push_str(&value);
            }
            _ => merged.push((name, value)),
        }
    }
    merged
}

/// The string to sign of a request with these (lower-case) headers.
pub fn string_to_sign(
    scope: &Scope,
    (method, path, query): (&str, &str, &[(String, String)]),
    headers: &[(String, String)],
    payload: &str,
) -> (String, String) {
    let headers = merged(headers);
    let names = headers
        .iter()
        .map(|(n, _)| n.as_str())
        .collect::<Vec<_>>()
        .join(";");
    let lines: String = headers.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
    let query = canonical_query(query);
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
    let hashed = sha256_hex(canonical.as_bytes());
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{}\n{hashed}",
        scope.date,
        scope.text()
    );
    (text, names)
}
