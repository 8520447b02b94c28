use super::*;
use crate::control::clients::{Bound, ClientWish};
use crate::limits::{CLIENT_COUNT_MAX, CLIENT_NAME_CHARS_MAX, CLIENT_RECORD_BYTES_MAX};
use stele_store::policy::{Grant, Grants, Rate, Rights};

const NOW: UnixMillis = UnixMillis::new(1_000);

fn decode(text: &str) -> Clients {
    Clients::decode(text.as_bytes()).expect("decoded")
}

#[test]
fn rights_are_those_of_the_record_and_nobody_elses() {
    let granted = [Right::HoldOff, Right::LockAdmin, Right::HoldOff];
    let clients = Clients::with_one(&granted).expect("made");
    let again = Clients::decode(&clients.encode().expect("encoded")).expect("decoded");
    assert_eq!(again.record, clients.record);
    let id = again.iter().next().expect("one").id.clone();
    assert_eq!(id.len(), 20);
    let expected = Rights::default()
        .with(Right::HoldOff)
        .with(Right::LockAdmin);
    assert_eq!(again.asker(&id, NOW).special(), expected);
    for unknown in ["STELEUNKNOWN", ""] {
        assert!(matches!(again.asker(unknown, NOW), Asker::Nobody));
    }
}

/// As the first version of this program wrote it.
#[test]
fn a_record_of_the_first_version_reads_as_it_did() {
    let clients = decode(r#"{"clients":[{"id":"A","rights":["hold-off"]}]}"#);
    let asker = clients.asker("A", UnixMillis::new(u64::MAX));
    let client = asker.client().expect("a client");
    assert_eq!(client.grants, Grants::all());
    assert_eq!(client.owner, OwnerId::default());
    assert_eq!(client.special, Rights::default().with(Right::HoldOff));
    assert!(client.scopes.is_empty() && client.quotas.is_empty());
    assert_eq!(client.rate, Rate::default());
    let anywhere = "203.0.113.9".parse().expect("an address");
    assert_eq!(clients.admit("A", anywhere, NOW), Ok(()));
}

#[test]
fn damaged_records_are_refused() {
    let check = |text: &str| assert!(Clients::decode(text.as_bytes()).is_err(), "{text}");
    check("");
    check("{}");
    check(r#"{"clients":[]}"#);
    check(r#"{"clients":[{"id":"A","rights":["root"]}]}"#);
    check(r#"{"clients":[{"id":"A"}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[],"more":1}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[]},{"id":"A","rights":[]}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[],"grants":["root"]}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[],"owner":"A B"}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[],"buckets":["/x"]}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[],"networks":["x"]}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[]}],"tenants":[{"owner":"X"}]}"#);
    check(r#"{"clients":[{"id":"A","rights":[]}],"tenants":[{"owner":"x"},{"owner":"x"}]}"#);
}

#[test]
fn a_key_is_admitted_while_it_is_good_and_from_where_it_may_come() {
    let clients = decode(
        r#"{"clients":[
        {"id":"A","rights":[]},
        {"id":"N","rights":[],"networks":["10.0.0.0/8","fd00::/8"]},
        {"id":"E","rights":[],"expires_ms":1000},
        {"id":"R","rights":[],"revoked_ms":5}]}"#,
    );
    for (key, source, wall, expected) in [
        ("A", "203.0.113.9", 0, Ok(())),
        ("N", "10.1.1.1", 0, Ok(())),
        ("N", "fd12::1", 0, Ok(())),
        ("N", "::ffff:10.1.1.1", 0, Ok(())),
        ("N", "203.0.113.9", 0, Err(NotAdmitted::Network)),
        ("E", "10.1.1.1", 999, Ok(())),
        ("E", "10.1.1.1", 1_000, Err(NotAdmitted::Expired)),
        ("R", "10.1.1.1", 0, Err(NotAdmitted::Revoked)),
        ("B", "10.1.1.1", 0, Err(NotAdmitted::Unknown)),
        ("", "10.1.1.1", 0, Err(NotAdmitted::Unknown)),
    ] {
        let source = source.parse().expect("an address");
        let admitted = clients.admit(key, source, UnixMillis::new(wall));
        assert_eq!(admitted, expected, "{key} from {source} at {wall}");
        // Where it comes from is not asked behind the door.
        let known = matches!(clients.asker(key, UnixMillis::new(wall)), Asker::Client(_));
        let good = matches!(expected, Ok(()) | Err(NotAdmitted::Network));
        assert_eq!(known, good, "{key} at {wall}");
    }
}

#[test]
fn a_whole_entry_reaches_the_engine() {
    let clients = decode(
        r#"{"clients":[{"id":"A","rights":[],"grants":["put","list"],"name":"north","owner":"o1",
        "buckets":["b","c/in/"],"writes_per_minute":5,"bytes_per_second":6}],
        "tenants":[{"owner":"o1","quota_bytes":7,"quota_versions":8}]}"#,
    );
    let asker = clients.asker("A", NOW);
    let client = asker.client().expect("a client");
    assert_eq!(
        client.grants,
        [Grant::Put, Grant::List].into_iter().collect()
    );
    let scopes: Vec<String> = client.scopes.iter().map(|scope| scope.text()).collect();
    assert_eq!(scopes, ["b", "c/in/"]);
    let rate = Rate {
        writes_per_minute: Some(5),
        bytes_per_second: Some(6),
    };
    assert_eq!(client.rate, rate);
    let quota = Quota {
        bytes_max: Some(7),
        versions_max: Some(8),
    };
    assert_eq!(client.quotas.get(&client.owner), Some(&quota));
    assert_eq!(clients.quota("o1"), quota);
    assert!(
        !format!("{clients:?}").contains("north"),
        "names are nothing for logs"
    );
}

fn wish(change: impl FnOnce(&mut ClientWish)) -> ClientWish {
    let mut wish = ClientWish {
        name: Some("north".to_owned()),
        ..ClientWish::default()
    };
    change(&mut wish);
    wish
}

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|word| (*word).to_owned()).collect())
}

fn refused<T>(outcome: Outcome<T>) -> Option<NotChanged> {
    match outcome {
        Err(Error::NotChanged(why)) => Some(why),
        _ => None,
    }
}

fn client(clients: &Clients, id: &str) -> Arc<Client> {
    match clients.asker(id, NOW) {
        Asker::Client(client) => client,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_key_has_an_owner_of_its_own_and_may_not_release() {
    let first = Clients::with_one(&[]).expect("made");
    let (second, id) = first.add(&wish(|_| {}), None, 5).expect("added");
    let added = client(&second, &id);
    let expected = [Grant::Put, Grant::Get, Grant::List, Grant::Delete];
    assert_eq!(added.grants, expected.into_iter().collect());
    assert_ne!(added.owner, OwnerId::default());
    assert_eq!(added.special, Rights::default());
    // Another key of the same owner shares the quota, whichever of them it was given with.
    let quota = wish(|w| w.quota_bytes = Some(Bound::At(7)));
    let (third, sister) = second.add(&quota, Some(&id), 5).expect("added");
    assert_eq!(client(&third, &sister).owner, added.owner);
    let of = |clients: &Clients, id: &str| {
        let client = client(clients, id);
        client
            .quotas
            .get(&client.owner)
            .copied()
            .unwrap_or_default()
    };
    assert_eq!(of(&third, &id).bytes_max, Some(7));
    let more = wish(|w| w.quota_versions = Some(Bound::At(9)));
    let third = third.limit(&id, &more).expect("limited");
    assert_eq!(
        of(&third, &sister),
        Quota {
            bytes_max: Some(7),
            versions_max: Some(9)
        }
    );
    let none = wish(|w| {
        w.quota_bytes = Some(Bound::None);
        w.quota_versions = Some(Bound::None);
    });
    let third = third.limit(&sister, &none).expect("limited");
    assert_eq!(of(&third, &id), Quota::default());
    let again = Clients::decode(&third.encode().expect("encoded")).expect("decoded");
    assert_eq!(again.record, third.record);
}

#[test]
fn what_one_person_may_not_give_is_refused_with_the_reason() {
    let clients = Clients::with_one(&[]).expect("made");
    let id = clients.iter().next().expect("one").id.clone();
    let right = |name: &str| wish(|w| w.rights = words(&["put", name]));
    let long = "x".repeat(CLIENT_NAME_CHARS_MAX + 1);
    let bucket = |text: &str| wish(|w| w.buckets = words(&[text]));
    for (wish, expected) in [
        (
            right("governance-bypass"),
            NotChanged::TwoPeople(Right::GovernanceBypass),
        ),
        (right("hold-off"), NotChanged::TwoPeople(Right::HoldOff)),
        (right("lock-admin"), NotChanged::TwoPeople(Right::LockAdmin)),
        (right("root"), NotChanged::NoSuchRight("root".to_owned())),
        (bucket(""), NotChanged::Bucket(String::new())),
        (bucket("/a"), NotChanged::Bucket("/a".to_owned())),
        (wish(|w| w.buckets = words(&["b"; 65])), NotChanged::Buckets),
        (
            wish(|w| w.networks = words(&["10.0.0.1/8"])),
            NotChanged::Network("10.0.0.1/8".to_owned()),
        ),
        (wish(|w| w.name = Some(String::new())), NotChanged::Name),
        (wish(|w| w.name = Some("a\nb".to_owned())), NotChanged::Name),
        (wish(|w| w.name = Some(long.clone())), NotChanged::Name),
        (
            wish(|w| w.writes_per_minute = Some(Bound::At(0))),
            NotChanged::Rate,
        ),
        (
            wish(|w| w.writes_per_minute = Some(Bound::At(1 << 32))),
            NotChanged::Rate,
        ),
        (
            wish(|w| w.bytes_per_second = Some(Bound::At(0))),
            NotChanged::Rate,
        ),
    ] {
        assert_eq!(refused(clients.add(&wish, None, 5)), Some(expected.clone()));
        assert_eq!(refused(clients.limit(&id, &wish)), Some(expected));
    }
    let nameless = ClientWish::default();
    assert_eq!(
        refused(clients.add(&nameless, None, 5)),
        Some(NotChanged::Name)
    );
    assert_eq!(
        refused(clients.limit(&id, &nameless)),
        Some(NotChanged::Nothing)
    );
    let nobody = Some(NotChanged::NoSuchClient);
    assert_eq!(refused(clients.limit("X", &right("put"))), nobody);
    assert_eq!(refused(clients.revoke("X", 5)), nobody);
    assert_eq!(refused(clients.add(&right("put"), Some("X"), 5)), nobody);
}

#[test]
fn a_revoked_key_stays_revoked_and_the_last_that_puts_is_told() {
    let clients = Clients::with_one(&[Right::HoldOff]).expect("made");
    let id = clients.iter().next().expect("one").id.clone();
    let reader = wish(|w| w.rights = words(&["get"]));
    let (clients, _) = clients.add(&reader, None, 5).expect("added");
    assert!(clients.any_can_put());
    let clients = clients.revoke(&id, 7).expect("revoked");
    assert!(!clients.any_can_put());
    assert!(matches!(clients.asker(&id, NOW), Asker::Nobody));
    let revoked = Some(NotChanged::Revoked);
    assert_eq!(refused(clients.revoke(&id, 8)), revoked);
    assert_eq!(refused(clients.limit(&id, &reader)), revoked);
    assert_eq!(refused(clients.add(&reader, Some(&id), 8)), revoked);
    let again = Clients::decode(&clients.encode().expect("encoded")).expect("decoded");
    assert!(matches!(again.asker(&id, NOW), Asker::Nobody));
}

#[test]
fn the_register_is_bounded_in_keys_and_in_bytes() {
    let mut clients = Clients::with_one(&[]).expect("made");
    let first = clients.iter().next().expect("one").id.clone();
    for _ in 1..CLIENT_COUNT_MAX {
        clients = clients.add(&wish(|_| {}), None, 5).expect("added").0;
    }
    assert_eq!(
        refused(clients.add(&wish(|_| {}), None, 5)),
        Some(NotChanged::TooMany)
    );
    // The key that was revoked longest ago makes room.
    let second = clients.iter().nth(1).expect("two").id.clone();
    let clients = clients.revoke(&second, 9).expect("revoked");
    let clients = clients.revoke(&first, 8).expect("revoked");
    let (clients, _) = clients.add(&wish(|_| {}), None, 5).expect("added");
    assert_eq!(clients.iter().count(), CLIENT_COUNT_MAX);
    assert!(clients.iter().all(|entry| entry.id != first));
    assert!(clients.iter().any(|entry| entry.id == second));
    let wide = wish(|w| w.buckets = Some(vec![format!("b/{}", "x".repeat(1_024)); 64]));
    let mut clients = Clients::with_one(&[]).expect("made");
    let refusal = loop {
        match clients.add(&wide, None, 5) {
            Ok((more, _)) => clients = more,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused(Err::<(), _>(refusal)), Some(NotChanged::TooLarge));
    assert!(clients.encode().expect("what was taken fits").len() <= CLIENT_RECORD_BYTES_MAX);
}
