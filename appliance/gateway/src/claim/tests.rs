use super::*;
use crate::limits::CANONICAL_BYTES_MAX;

const NOW_MS: u64 = 1_369_353_600_000;

/// What a client signs: a reading of the list of buckets, with more in its query.
fn canonical(path: &str, query: &str) -> Canonical {
    let text = format!("GET\n{path}\n{query}\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    Canonical::new(text.into_bytes(), None)
}

/// A claim signed with `secret`.
fn claim(secret: &str, date: &str, expires_s: Option<u64>) -> Claim {
    let query = expires_s.map(|expires_s| format!("X-Amz-Expires={expires_s}"));
    let request = canonical("/", &query.unwrap_or_default());
    let mut claim = Claim::signed("CLIENT1", secret, date, "eu", request);
    claim.day = date.get(..8).unwrap_or("20130524").to_owned();
    sign(&mut claim, secret);
    claim
}

fn sign(claim: &mut Claim, secret: &str) {
    let key = SigningKey::derive(secret, &claim.day, &claim.region).hmac();
    let form = claim.request.forms().last().expect("a form");
    let tag = hmac::sign(&key, claim.text(&form.digest()).as_bytes());
    claim.signature.copy_from_slice(tag.as_ref());
}

fn verify(claim: &Claim, secret: &str) -> Result<(), Refusal> {
    let now = UnixMillis::new(NOW_MS);
    claim.verify(secret, &Domains::default(), now).map(drop)
}

#[test]
fn requests_are_fresh_for_a_quarter_of_an_hour_and_urls_for_as_long_as_they_say() {
    let check = |date: &str, expires_s, expected: Result<(), Refusal>| {
        let verified = verify(&claim("secret", date, expires_s), "secret");
        assert_eq!(verified, expected, "{date} {expires_s:?}");
    };
    check("20130524T000000Z", None, Ok(()));
    check("20130523T234500Z", None, Ok(()));
    check("20130523T234459Z", None, Err(Refusal::Skewed));
    check("20130524T001500Z", None, Ok(()));
    check("20130524T001501Z", None, Err(Refusal::Skewed));
    check("20130523T234459Z", Some(901), Ok(()));
    check("20130523T234459Z", Some(900), Err(Refusal::Expired));
    check("20130524T001501Z", Some(60), Err(Refusal::NotYet));
    check("20130517T000000Z", Some(604_800), Ok(()));
    // No URL is good for longer than seven days, whatever it says.
    check("20130516T235959Z", Some(u64::MAX), Err(Refusal::Expired));
    for malformed in [
        "",
        "20130524T000000",
        "20130524 000000Z",
        "20130532T000000Z",
        "+0130524T000000Z",
    ] {
        check(malformed, None, Err(Refusal::Skewed));
    }
}

#[test]
fn a_signature_holds_for_its_secret_request_and_scope_only() {
    let good = claim("secret", "20130524T000000Z", None);
    assert_eq!(verify(&good, "secret"), Ok(()));
    let check = |claim: Claim, secret: &str| {
        assert_eq!(verify(&claim, secret), Err(Refusal::Signature));
    };
    check(good.clone(), "other");
    check(
        Claim {
            request: canonical("/b", ""),
            ..good.clone()
        },
        "secret",
    );
    check(
        Claim {
            region: "us".to_owned(),
            ..good.clone()
        },
        "secret",
    );
    check(
        Claim {
            date: "20130524T000001Z".to_owned(),
            ..good.clone()
        },
        "secret",
    );
    check(
        Claim {
            day: "20130525".to_owned(),
            ..good
        },
        "secret",
    );
}

/// Whoever could say how long a signature is good would make a header's as good as a presigned URL's.
#[test]
fn a_signature_is_good_for_as_long_as_it_says_itself() {
    let mut old = claim("secret", "20130523T234459Z", Some(901));
    assert_eq!(verify(&old, "secret"), Ok(()));
    for said in ["", "X-Amz-Expires=604800"] {
        old.request = canonical("/", said);
        assert_eq!(verify(&old, "secret"), Err(Refusal::Signature), "{said}");
    }
}

#[test]
fn a_path_is_signed_as_it_is_encoded_or_as_it_was_sent() {
    let text = |path: &str| format!("GET\n{path}\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    let with = |signed: &str, encoded: &str, raw: Option<&str>| {
        let mut claim = claim("secret", "20130524T000000Z", None);
        claim.request = Canonical::new(text(signed).into_bytes(), None);
        sign(&mut claim, "secret");
        let raw = raw.map(str::to_owned);
        claim.request = Canonical::new(text(encoded).into_bytes(), raw);
        verify(&claim, "secret")
    };
    assert_eq!(
        with("/bucket/a%28", "/bucket/a%28", Some("/bucket/a(")),
        Ok(())
    );
    assert_eq!(
        with("/bucket/a(", "/bucket/a%28", Some("/bucket/a(")),
        Ok(())
    );
    let forged = Err(Refusal::Signature);
    assert_eq!(with("/bucket/a(", "/bucket/a%28", None), forged);
    assert_eq!(
        with("/bucket/a(", "/bucket/a%28", Some("/bucket/c(")),
        forged
    );
    // The same bytes, cut elsewhere, have no second meaning.
    let sent = "/bucket/k\n\nhost:h";
    let rest = format!("GET\n/x\n{}", "\nhost\nUNSIGNED-PAYLOAD");
    let mut cut = claim("secret", "20130524T000000Z", None);
    cut.request = Canonical::new(text("/bucket/k").into_bytes(), None);
    sign(&mut cut, "secret");
    cut.request = Canonical::new(rest.into_bytes(), Some(sent.to_owned()));
    assert_eq!(verify(&cut, "secret"), forged);
}

#[test]
fn what_is_too_long_was_signed_by_nobody() {
    let mut claim = claim("secret", "20130524T000000Z", None);
    for (bytes, expected) in [
        (CANONICAL_BYTES_MAX, Ok(())),
        (CANONICAL_BYTES_MAX + 1, Err(Refusal::Signature)),
    ] {
        let rest = "/\n\nhost:h\nx-long:\n\nhost;x-long\nUNSIGNED-PAYLOAD";
        let padding = "a".repeat(bytes - "GET\n".len() - rest.len());
        let rest = rest.replace("x-long:", &format!("x-long:{padding}"));
        let text = format!("GET\n{rest}");
        assert_eq!(text.len(), bytes);
        let digest = Form::of(text.as_bytes()).expect("lines").digest();
        let key = SigningKey::derive("secret", &claim.day, &claim.region).hmac();
        let tag = hmac::sign(&key, claim.text(&digest).as_bytes());
        claim.signature.copy_from_slice(tag.as_ref());
        claim.request = Canonical::new(text.into_bytes(), None);
        assert_eq!(verify(&claim, "secret"), expected, "{bytes}");
    }
}

#[test]
fn a_scope_of_another_day_is_refused_even_if_signed() {
    let mut claim = claim("secret", "20130524T000000Z", None);
    claim.day = "20130525".to_owned();
    sign(&mut claim, "secret");
    assert_eq!(verify(&claim, "secret"), Err(Refusal::Skewed));
}

#[test]
fn nothing_prints_a_key() {
    let key = SigningKey::derive("secret", "20130524", "eu");
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
    assert_eq!(format!("{:?}", Clients::new()), "Clients(..)");
}

#[test]
fn nothing_prints_what_was_signed() {
    let mut claim = claim("secret", "20130524T000000Z", None);
    claim.request = canonical("/bucket/patient", "prefix=patient");
    sign(&mut claim, "secret");
    let domains = Domains::default();
    let verified = claim.verify("secret", &domains, UnixMillis::new(NOW_MS));
    let printed = format!("{claim:?} {:?}", verified.expect("signed"));
    assert!(!printed.contains("patient"), "{printed}");
}

#[test]
fn clients_change_while_shared() {
    let now = UnixMillis::new(NOW_MS);
    let (clients, claim) = (Clients::new(), claim("secret", "20130524T000000Z", None));
    let other = clients.clone();
    let check = |expected: Option<Refusal>| {
        let verified = clients.verify(&claim, &Domains::default(), now);
        assert_eq!(verified.err(), expected);
    };
    check(Some(Refusal::UnknownKey));
    other.insert("CLIENT1", Zeroizing::new("secret".to_owned()));
    check(None);
    other.insert("CLIENT1", Zeroizing::new("changed".to_owned()));
    check(Some(Refusal::Signature));
    other.replace([("CLIENT2".to_owned(), Zeroizing::new("secret".to_owned()))]);
    check(Some(Refusal::UnknownKey));
    other.replace([("CLIENT1".to_owned(), Zeroizing::new("secret".to_owned()))]);
    check(None);
    other.remove("CLIENT1");
    check(Some(Refusal::UnknownKey));
}
