use super::*;
use s3s::dto::TimestampFormat;
use stele_format::units::{UnixMillis, VersionId};

use crate::message::Metadata;

fn info() -> ObjectInfo {
    ObjectInfo {
        version: VersionId::parse_hex("0123456789abcdef0123456789abcdef").expect("an id"),
        versioned: true,
        content_bytes: 10,
        etag: "abc-1".to_owned(),
        modified: UnixMillis::new(1_000_500),
        metadata: Metadata::default(),
        checksums: Vec::new(),
        retention: None,
        hold: None,
        part_sizes: Vec::new(),
        lock_enabled: true,
    }
}

fn tag(text: &str) -> Option<Tags> {
    let condition = Some(text.parse().expect("a condition"));
    Tags::of(condition).expect("ETags")
}

fn at(seconds: &str) -> Option<Timestamp> {
    Some(Timestamp::parse(TimestampFormat::EpochSeconds, seconds).expect("a time"))
}

#[test]
fn conditions_are_decided_in_order() {
    let none = || Wanted {
        if_match: None,
        if_none_match: None,
        if_modified_since: None,
        if_unmodified_since: None,
    };
    let check = |wanted: Wanted, expected: Option<u16>| {
        let status = wanted.check(&info()).err().and_then(|e| e.status_code());
        assert_eq!(status.map(|status| status.as_u16()), expected);
    };
    check(none(), None);
    check(
        Wanted {
            if_match: tag("\"abc-1\""),
            ..none()
        },
        None,
    );
    check(
        Wanted {
            if_match: tag("*"),
            ..none()
        },
        None,
    );
    check(
        Wanted {
            if_match: tag("\"other\""),
            ..none()
        },
        Some(412),
    );
    check(
        Wanted {
            if_none_match: tag("\"abc-1\""),
            ..none()
        },
        Some(304),
    );
    check(
        Wanted {
            if_none_match: tag("*"),
            ..none()
        },
        Some(304),
    );
    check(
        Wanted {
            if_none_match: tag("\"other\""),
            ..none()
        },
        None,
    );
    // The fraction of a second does not count.
    check(
        Wanted {
            if_modified_since: at("1000"),
            ..none()
        },
        Some(304),
    );
    check(
        Wanted {
            if_modified_since: at("999"),
            ..none()
        },
        None,
    );
    check(
        Wanted {
            if_unmodified_since: at("1000"),
            ..none()
        },
        None,
    );
    check(
        Wanted {
            if_unmodified_since: at("999"),
            ..none()
        },
        Some(412),
    );
    // A matching tag outweighs the date beside it.
    let both = Wanted {
        if_match: tag("\"abc-1\""),
        if_unmodified_since: at("999"),
        ..none()
    };
    check(both, None);
    let both = Wanted {
        if_none_match: tag("\"other\""),
        if_modified_since: at("1000"),
        ..none()
    };
    check(both, None);
}

#[test]
fn ranges_resolve_against_the_length() {
    let check = |text: &str, total: u64, expected: Option<(u64, u64)>| {
        let range = Range::parse(text).expect("a range");
        assert_eq!(resolve(range, total).ok(), expected, "{text} of {total}");
    };
    check("bytes=0-0", 10, Some((0, 1)));
    check("bytes=0-", 10, Some((0, 10)));
    check("bytes=5-100", 10, Some((5, 5)));
    check("bytes=9-9", 10, Some((9, 1)));
    check("bytes=10-", 10, None);
    check("bytes=-3", 10, Some((7, 3)));
    check("bytes=-30", 10, Some((0, 10)));
    check("bytes=-0", 10, None);
    check("bytes=0-0", 0, None);
    check("bytes=-1", 0, None);
    assert_eq!(content_range((7, 3), 10).as_deref(), Some("bytes 7-9/10"));
    assert_eq!(content_range((0, 0), 0), None);
}
