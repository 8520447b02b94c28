//! Small conversions between what travels in URLs, XML and headers and what the engine speaks.

use std::fmt::Write as _;
use std::time::SystemTime;

use s3s::dto::{Timestamp, TimestampFormat};
use stele_format::units::UnixMillis;
use time::OffsetDateTime;

/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can say.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// Percent-decodes to UTF-8; none if the escapes or the text are malformed.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (high, tail) = tail.split_first()?;
        let (low, tail) = tail.split_first()?;
        out.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

/// Splits a query string into decoded names and values; none if malformed or not UTF-8.
pub(crate) fn query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    let decode = |part: &str| percent_decode(&part.replace('+', " "));
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// Percent-encodes as `encoding-type=url` wants it: everything but unreserved characters and `/`.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    out
}

/// Whether the text survives a trip through an XML 1.0 text node. A carriage return does not: every
/// parser turns it into a newline.
pub(crate) fn xml_safe(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' | '\n' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => c >= ' ',
    })
}

/// Whether the text survives that trip where carriage returns are written as references.
pub(crate) fn xml_safe_escaped(text: &str) -> bool {
    text.split('\r').all(xml_safe)
}

/// The text with U+FFFD for what XML cannot carry where carriage returns are written as references.
pub(crate) fn xml_shown(text: &str) -> String {
    text.replace(
        |c: char| c != '\r' && !xml_safe(c.encode_utf8(&mut [0; 4])),
        "\u{fffd}",
    )
}

/// The text if XML can carry it.
pub(crate) fn xml_text(text: String) -> Option<String> {
    xml_safe(&text).then_some(text)
}

/// Decodes 64 hexadecimal digits.
pub(crate) fn hex32(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut out = [0u8; 32];
    for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(out)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to a String cannot fail");
    }
    out
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Standard base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// Decodes standard base64.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(text.as_bytes()).ok()
}

/// Our time as S3's.
pub(crate) fn timestamp(at: UnixMillis) -> Timestamp {
    let nanos = i128::from(at.get().min(LAST_MILLIS)) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .expect("a time up to the year 9999 is in range");
    Timestamp::from(at)
}

/// S3's time as ours, rounded up to the next millisecond so that no retention gets shorter; none
/// before 1970.
pub(crate) fn millis(at: &Timestamp) -> Option<UnixMillis> {
    let nanos = OffsetDateTime::from(at.clone()).unix_timestamp_nanos();
    let millis = u64::try_from(nanos).ok()?.div_ceil(1_000_000);
    (millis > 0).then(|| UnixMillis::new(millis))
}

/// RFC 3339, UTC, milliseconds: how refusals and logs say an instant.
pub(crate) fn instant_text(at: UnixMillis) -> String {
    let mut text = Vec::new();
    match timestamp(at).format(TimestampFormat::DateTime, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// The form in which HTTP writes dates.
pub(crate) fn http_date_text(at: UnixMillis) -> String {
    httpdate::fmt_http_date(OffsetDateTime::from(timestamp(at)).into())
}

/// A date of HTTP, in any of the three forms of RFC 9110, 5.6.7.
pub(crate) fn http_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// The `YYYYMMDDTHHMMSSZ` that a `Date` header says, which has that form or is a date of HTTP.
pub(crate) fn basic_date(text: &str) -> Option<String> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let basic = text.strip_suffix('Z').and_then(|text| text.split_once('T'));
    if basic.is_some_and(|(day, time)| digits(day) && digits(time)) {
        return Some(text.to_owned());
    }
    let at = OffsetDateTime::from(http_date(text)?);
    let (day, time) = (at.date(), at.time());
    Some(format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        day.year(),
        u8::from(day.month()),
        day.day(),
        time.hour(),
        time.minute(),
        time.second()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding_refuses_bad_escapes_and_bad_utf8() {
        let cases = [
            ("a%20b", Some("a b")),
            ("%E2%82%AC", Some("\u{20ac}")),
            ("%00", Some("\0")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%ff", None),
        ];
        for (text, expected) in cases {
            assert_eq!(percent_decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn percent_encoding_comes_back() {
        let name = "a b+c/\u{1}\r\n\u{20ac}%&<>\"'";
        assert_eq!(percent_decode(&percent_encode(name)).as_deref(), Some(name));
        assert_eq!(percent_encode("a b+c/d"), "a%20b%2Bc/d");
    }

    #[test]
    fn query_pairs_keep_order_and_empty_values() {
        let pairs = query_pairs("uploads&prefix=a+b%2B&x=").expect("well formed");
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(pairs, [("uploads", ""), ("prefix", "a b+"), ("x", "")]);
        assert!(query_pairs("a=%ff").is_none());
    }

    #[test]
    fn xml_safety_names_what_xml_cannot_carry() {
        for text in ["", "a\tb\n", "\u{20ac}\u{1f600}", "<&>"] {
            assert!(xml_safe(text), "{text:?}");
        }
        for text in ["\0", "a\rb", "\u{1b}", "\u{fffe}", "\u{ffff}"] {
            assert!(!xml_safe(text), "{text:?}");
            assert!(xml_safe_escaped(&xml_shown(text)), "{text:?}");
        }
    }

    #[test]
    fn dates_of_requests_are_basic_or_those_of_http() {
        let cases = [
            ("Fri, 24 May 2013 00:00:00 GMT", Some("20130524T000000Z")),
            ("Friday, 24-May-13 00:00:00 GMT", Some("20130524T000000Z")),
            ("Fri May 24 00:00:00 2013", Some("20130524T000000Z")),
            ("20130524T000000Z", Some("20130524T000000Z")),
            ("Fri, 24 May 2013 02:00:00 +0200", None),
            ("2013-05-24T00:00:00Z", None),
            ("Fri, 31 Feb 2013 00:00:00 GMT", None),
            ("1369353600", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(basic_date(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn times_round_up_and_far_dates_work() {
        let parse = |text| Timestamp::parse(TimestampFormat::DateTime, text).expect("a date");
        let check = |text, expected| assert_eq!(millis(&parse(text)), expected, "{text}");
        check("1970-01-01T00:00:01Z", Some(UnixMillis::new(1000)));
        check(
            "1970-01-01T02:00:00.0000001+01:59",
            Some(UnixMillis::new(60_001)),
        );
        check("1969-12-31T23:59:59Z", None);
        assert_eq!(
            instant_text(UnixMillis::new(1000)),
            "1970-01-01T00:00:01.000Z"
        );
        let far = millis(&parse("2140-02-03T04:05:06Z")).expect("after 1970");
        assert_eq!(instant_text(far), "2140-02-03T04:05:06.000Z");
    }
}
