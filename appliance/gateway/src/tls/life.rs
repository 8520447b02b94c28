//! From when until when a certificate is valid: the one field of X.509 that the TLS library does not tell.
//!
//! Source: RFC 5280, sections 4.1 and 4.1.2.5.

use time::{Date, Month, PrimitiveDateTime, Time};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// Version, explicitly tagged.
const VERSION: u8 = 0xa0;

/// The first and the last second of its life, since 1970.
pub(super) fn of(certificate: &[u8]) -> Option<(i64, i64)> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (mut fields, _) = take(certificate, SEQUENCE)?;
    if let Some((_, rest)) = take(fields, VERSION) {
        fields = rest;
    }
    // Serial number, algorithm of the signature, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = take(fields, tag)?;
    }
    let (life, _) = take(fields, SEQUENCE)?;
    let (first, rest) = second(life)?;
    let (last, _) = second(rest)?;
    Some((first, last))
}

/// The content of a DER element with this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (found == tag).then_some((content, rest))
}

fn second(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, rest) = match take(bytes, UTC_TIME) {
        // Two digits of year: from 50 on they mean the last century.
        Some((text, rest)) => {
            let text = std::str::from_utf8(text).ok()?;
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            (format!("{century}{text}"), rest)
        }
        None => {
            let (text, rest) = take(bytes, GENERALIZED_TIME)?;
            (std::str::from_utf8(text).ok()?.to_owned(), rest)
        }
    };
    Some((seconds(&digits)?, rest))
}

/// Seconds since 1970 of `YYYYMMDDHHMMSSZ`.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let small = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u8>().ok();
    let month = Month::try_from(small(4..6)?).ok()?;
    let day = Date::from_calendar_date(digits.get(..4)?.parse().ok()?, month, small(6..8)?).ok()?;
    let time = Time::from_hms(small(8..10)?, small(10..12)?, small(12..14)?).ok()?;
    Some(
        PrimitiveDateTime::new(day, time)
            .assume_utc()
            .unix_timestamp(),
    )
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(first: (i32, u8, u8), last: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(first.0, first.1, first.2);
        params.not_after = date_time_ymd(last.0, last.1, last.2);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn a_life_is_read_in_both_forms_of_time() {
        for (first, last, expected) in [
            ((1999, 12, 31), (2049, 1, 1), (946_598_400, 2_493_072_000)),
            ((2026, 1, 1), (2050, 1, 1), (1_767_225_600, 2_524_608_000)),
            ((2050, 1, 1), (2500, 1, 1), (2_524_608_000, 16_725_225_600)),
        ] {
            assert_eq!(of(&certificate(first, last)), Some(expected));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_life() {
        let whole = certificate((2026, 1, 1), (2027, 1, 1));
        for end in 0..whole.len() {
            // However it is cut, nothing is read that is not there.
            let cut = whole.get(..end).expect("shorter");
            assert_eq!(of(cut), None, "{end}");
        }
        for text in [
            "20260101000000",
            "20261301000000Z",
            "2026010100000Z",
            "+0260101000000Z",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
