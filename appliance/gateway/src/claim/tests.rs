use super::*;

const NOW_MS: u64 = 1_369_353_600_000;

/// A claim over a fixed digest, signed with `secret`.
fn claim(secret: &str, date: &str, expires_s: Option<u64>) -> Claim {
    let mut claim = Claim {
        key_id: "CLIENT1".to_owned(),
        day: date.get(..8).unwrap_or("20130524").to_owned(),
        region: "eu".to_owned(),
        date: date.to_owned(),
        expires_s,
        request_digest: [7; 32],
        raw_path_digest: None,
        signature: [0; 32],
    };
    let key = SigningKey::derive(secret, &claim.day, &claim.region).hmac();
    let tag = hmac::sign(&key, claim.text(&claim.request_digest).as_bytes());
    claim.signature.copy_from_slice(tag.as_ref());
    claim
}

#[test]
fn requests_are_fresh_for_a_quarter_of_an_hour_and_urls_for_as_long_as_they_say() {
    let check = |date: &str, expires_s, expected: Result<(), Refusal>| {
        let verified = claim("secret", date, expires_s).verify("secret", UnixMillis::new(NOW_MS));
        assert_eq!(verified.map(drop), expected, "{date} {expires_s:?}");
    };
    check("20130524T000000Z", None, Ok(()));
    check("20130523T234500Z", None, Ok(()));
    check("20130523T234459Z", None, Err(Refusal::Skewed));
    check("20130524T001500Z", None, Ok(()));
    check("20130524T001501Z", None, Err(Refusal::Skewed));
    check("20130523T234459Z", Some(901), Ok(()));
    check("20130523T234459Z", Some(900), Err(Refusal::Expired));
    check("20130524T001501Z", Some(60), Err(Refusal::Skewed));
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
fn a_signature_holds_for_its_secret_digest_and_scope_only() {
    let now = UnixMillis::new(NOW_MS);
    let good = claim("secret", "20130524T000000Z", None);
    assert!(good.verify("secret", now).is_ok());
    let check = |claim: Claim, secret: &str| {
        assert_eq!(claim.verify(secret, now).err(), Some(Refusal::Signature));
    };
    check(good.clone(), "other");
    check(
        Claim {
            request_digest: [8; 32],
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
            ..good.clone()
        },
        "secret",
    );
    let raw = Claim {
        request_digest: [8; 32],
        raw_path_digest: Some([7; 32]),
        ..good
    };
    assert!(raw.verify("secret", now).is_ok());
}

#[test]
fn a_scope_of_another_day_is_refused_even_if_signed() {
    let mut claim = claim("secret", "20130524T000000Z", None);
    claim.day = "20130525".to_owned();
    let key = SigningKey::derive("secret", &claim.day, &claim.region).hmac();
    let tag = hmac::sign(&key, claim.text(&claim.request_digest).as_bytes());
    claim.signature.copy_from_slice(tag.as_ref());
    let verified = claim.verify("secret", UnixMillis::new(NOW_MS));
    assert_eq!(verified.err(), Some(Refusal::Skewed));
}

#[test]
fn nothing_prints_a_key() {
    let key = SigningKey::derive("secret", "20130524", "eu");
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
    assert_eq!(format!("{:?}", Clients::new()), "Clients(..)");
}

#[test]
fn clients_change_while_shared() {
    let now = UnixMillis::new(NOW_MS);
    let (clients, claim) = (Clients::new(), claim("secret", "20130524T000000Z", None));
    let other = clients.clone();
    let check = |expected: Option<Refusal>| {
        assert_eq!(clients.verify(&claim, now).err(), expected);
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
