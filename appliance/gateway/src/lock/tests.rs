use super::*;
use s3s::dto::TimestampFormat;
use stele_format::units::UnixMillis;

fn date(text: &str) -> Timestamp {
    Timestamp::parse(TimestampFormat::DateTime, text).expect("a date")
}

fn code<T: std::fmt::Debug>(result: S3Result<T>) -> String {
    result.expect_err("refused").code().as_str().to_owned()
}

#[test]
fn lock_headers_come_together_or_not_at_all() {
    let mode = |text: &str| ObjectLockMode::from(text.to_owned());
    let until = date("2100-01-01T00:00:00Z");
    let (none, on) = (None::<&ObjectLockLegalHoldStatus>, hold_status(true));
    assert_eq!(
        wish(None, None, none).expect("nothing"),
        LockWish::default()
    );
    let both = wish(Some(&mode("COMPLIANCE")), Some(&until), Some(&on)).expect("fine");
    let retention = Retention {
        mode: LockMode::Compliance,
        until: UnixMillis::new(4_102_444_800_000),
    };
    assert_eq!(
        both,
        LockWish {
            retention: Some(retention),
            hold: Some(true)
        }
    );
    assert_eq!(
        code(wish(Some(&mode("COMPLIANCE")), None, none)),
        "InvalidArgument"
    );
    assert_eq!(code(wish(None, Some(&until), none)), "InvalidArgument");
    assert_eq!(
        code(wish(Some(&mode("compliance")), Some(&until), none)),
        "InvalidArgument"
    );
    let early = date("1960-01-01T00:00:00Z");
    assert_eq!(
        code(wish(Some(&mode("COMPLIANCE")), Some(&early), none)),
        "InvalidArgument"
    );
    let maybe = ObjectLockLegalHoldStatus::from("maybe".to_owned());
    assert_eq!(code(wish(None, None, Some(&maybe))), "InvalidArgument");
}

#[test]
fn a_retention_document_is_whole_or_empty() {
    let document = |mode: Option<&str>, until: Option<&str>| ObjectLockRetention {
        mode: mode.map(|text| ObjectLockRetentionMode::from(text.to_owned())),
        retain_until_date: until.map(date),
    };
    assert_eq!(
        parse_retention(document(None, None)).expect("a removal"),
        None
    );
    let until = Some("2100-01-01T00:00:00Z");
    let retention = parse_retention(document(Some("GOVERNANCE"), until)).expect("fine");
    assert_eq!(retention.map(|r| r.mode), Some(LockMode::Governance));
    assert_eq!(
        code(parse_retention(document(Some("governance"), until))),
        "MalformedXML"
    );
    assert_eq!(
        code(parse_retention(document(Some("GOVERNANCE"), None))),
        "MalformedXML"
    );
    assert_eq!(code(parse_retention(document(None, until))), "MalformedXML");
}

#[test]
fn default_retention_is_validated() {
    let document = |mode: Option<&str>, days, years| ObjectLockConfiguration {
        object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
        rule: Some(ObjectLockRule {
            default_retention: Some(DefaultRetention {
                days,
                mode: mode.map(|text| ObjectLockRetentionMode::from(text.to_owned())),
                years,
            }),
        }),
    };
    let compliance = Some("COMPLIANCE");
    let good = parse_default(document(compliance, Some(1), None)).expect("fine");
    assert_eq!(good, Some((LockMode::Compliance, Period::Days(1))));
    let good = parse_default(document(Some("GOVERNANCE"), None, Some(100))).expect("fine");
    assert_eq!(good, Some((LockMode::Governance, Period::Years(100))));
    let empty = ObjectLockConfiguration {
        rule: None,
        ..document(None, None, None)
    };
    assert_eq!(parse_default(empty).expect("a removal"), None);

    let check = |mode, days, years, expected: &str| {
        let result = parse_default(document(mode, days, years));
        assert_eq!(code(result), expected, "{mode:?} {days:?} {years:?}");
    };
    check(compliance, Some(1), Some(1), "MalformedXML");
    check(compliance, None, None, "MalformedXML");
    check(Some("compliance"), Some(1), None, "MalformedXML");
    check(None, Some(1), None, "MalformedXML");
    check(compliance, Some(0), None, "InvalidRetentionPeriod");
    check(compliance, Some(36_501), None, "InvalidRetentionPeriod");
    check(compliance, None, Some(-1), "InvalidRetentionPeriod");
    check(compliance, None, Some(101), "InvalidRetentionPeriod");
    let disabled = ObjectLockConfiguration {
        object_lock_enabled: Some(ObjectLockEnabled::from("Disabled".to_owned())),
        ..document(compliance, Some(1), None)
    };
    assert_eq!(code(parse_default(disabled)), "MalformedXML");
}
