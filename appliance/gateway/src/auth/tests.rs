use super::*;
use hyper::header::{HeaderName, HeaderValue};

const HEADER: &str = "AWS4-HMAC-SHA256 Credential=KEY/20261123/us-east-1/s3/aws4_request, \
                      SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
                      Signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    };
    pairs.iter().map(pair).collect()
}

fn query(text: &str) -> Vec<(String, String)> {
    crate::text::query_pairs(text).expect("a query")
}

fn code(headers: &HeaderMap, text: &str) -> String {
    match Signed::of(headers, &query(text)) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().as_str().to_owned(),
    }
}

#[test]
fn a_signed_header_request_is_understood() {
    let headers = headers(&[
        ("authorization", HEADER),
        ("host", "localhost"),
        ("x-amz-date", "20261123T000000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ]);
    let signed = Signed::of(&headers, &[]).expect("well formed");
    assert_eq!(signed.day, "20261123");
    assert_eq!(signed.region, "us-east-1");
    assert_eq!(signed.date, "20261123T000000Z");
    assert_eq!(signed.signature, [0x0f; 32]);
    assert_eq!(signed.key_id, "KEY");
    assert!(!signed.is_presigned());
}

#[test]
fn other_ways_of_signing_are_refused() {
    let check = |authorization: &str, expected: &str| {
        let headers = headers(&[("authorization", authorization), ("host", "h")]);
        assert_eq!(code(&headers, ""), expected, "{authorization}");
    };
    check("AWS KEY:c2lnbmF0dXJl", "InvalidRequest");
    check("Bearer token", "InvalidRequest");
    check(
        &HEADER.replace("HMAC-SHA256", "ECDSA-P256-SHA256"),
        "InvalidRequest",
    );
    check(&HEADER.replace("SHA256 ", "SHA256X "), "InvalidRequest");
    check(
        &HEADER.replace("/s3/", "/sts/"),
        "AuthorizationHeaderMalformed",
    );
    check(
        &HEADER.replace("Signature=", "Other="),
        "AuthorizationHeaderMalformed",
    );
    check(
        &HEADER.replace("Signature=0f", "Signature=0"),
        "AuthorizationHeaderMalformed",
    );
    let twice = format!("{HEADER}, SignedHeaders=host");
    check(&twice, "AuthorizationHeaderMalformed");
    check(
        &format!("{HEADER}, Extra=1"),
        "AuthorizationHeaderMalformed",
    );

    let none = HeaderMap::new();
    assert_eq!(code(&none, ""), "AccessDenied");
    assert_eq!(
        code(&none, "AWSAccessKeyId=K&Signature=S&Expires=1"),
        "InvalidRequest"
    );
    let both = headers(&[("authorization", HEADER)]);
    assert_eq!(code(&both, "X-Amz-Signature=0"), "InvalidArgument");
}

#[test]
fn an_unsigned_amz_header_is_refused() {
    let mut headers = headers(&[
        ("authorization", HEADER),
        ("x-amz-date", "20261123T000000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ]);
    assert_eq!(code(&headers, ""), "ok");
    headers.insert(
        "x-amz-bypass-governance-retention",
        HeaderValue::from_static("true"),
    );
    assert_eq!(code(&headers, ""), "AccessDenied");
    headers.remove("x-amz-bypass-governance-retention");
    let unsigned_host = HEADER.replace("host;", "");
    headers.insert(
        "authorization",
        HeaderValue::from_str(&unsigned_host).expect("a value"),
    );
    assert_eq!(code(&headers, ""), "AccessDenied");
}

const PRESIGNED: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=KEY%2F20261123%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20261123T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-\
                      Signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

#[test]
fn a_presigned_url_is_understood_and_bounded() {
    let none = HeaderMap::new();
    let check = |text: &str, expected: &str| assert_eq!(code(&none, text), expected, "{text}");
    check(PRESIGNED, "ok");
    check(&PRESIGNED.replace("=60", "=604800"), "ok");
    check(
        &PRESIGNED.replace("=60", "=604801"),
        "AuthorizationQueryParametersError",
    );
    check(
        &PRESIGNED.replace("=60", "=0"),
        "AuthorizationQueryParametersError",
    );
    check(
        &PRESIGNED.replace("=60", "=x"),
        "AuthorizationQueryParametersError",
    );
    check(
        &PRESIGNED.replace("HMAC-SHA256", "ECDSA-P256-SHA256"),
        "InvalidRequest",
    );
    check(
        &format!("{PRESIGNED}&X-Amz-Expires=9"),
        "AuthorizationQueryParametersError",
    );
    check(
        &PRESIGNED.replace(
            "&X-Amz-Signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            "",
        ),
        "AuthorizationQueryParametersError",
    );
    check(
        &PRESIGNED.replace("=host", "=host%3Ba%0Ab"),
        "AuthorizationQueryParametersError",
    );
    let extra = headers(&[("x-amz-acl", "private")]);
    assert_eq!(code(&extra, PRESIGNED), "AccessDenied");
}

#[test]
fn a_header_that_is_signed_twice_is_refused() {
    let names = "host;x-amz-content-sha256;x-amz-date";
    for (signed, expected) in [
        (names.to_owned(), "ok"),
        (format!("{names};host"), "InvalidRequest"),
        (format!("a;a;{names}"), "InvalidRequest"),
        (format!("a;{names};b"), "ok"),
    ] {
        let headers = headers(&[
            ("authorization", &HEADER.replace(names, &signed)),
            ("host", "localhost"),
            ("x-amz-date", "20261123T000000Z"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ]);
        assert_eq!(code(&headers, ""), expected, "{signed}");
    }
}
