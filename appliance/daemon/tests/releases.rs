//! What a client deleted by version id is shown at the console and brought back, by staff alone.

mod common;

use std::time::Duration;

use common::people::People;
use common::s3::Client;
use common::{DISK, Place, Server, refuse, run, succeed, text};

/// A key that must be in no log.
const KEY: &str = "patient-4711";

/// A vault whose buckets are of a kind, and whose clock is simulated.
fn place(buckets: &str) -> Place {
    let place = Place::new();
    let vault = text(&place.vault);
    let kind = ["--client-buckets", buckets, "--simulated-clock"];
    succeed(&[&["create", vault, "--disk-bytes", DISK][..], &kind].concat());
    place
}

fn json(said: &str) -> Vec<serde_json::Value> {
    let value: serde_json::Value = serde_json::from_str(said).expect("JSON");
    value["versions"].as_array().expect("rows").clone()
}

/// Ids of the versions that S3 lists, the newest first.
fn versions(client: &Client) -> Vec<String> {
    let said = String::from_utf8(client.get("/bak?versions=")).expect("text");
    let parts = said.split("<VersionId>").skip(1);
    let id = |part: &str| part.split_once('<').expect("an end").0.to_owned();
    parts.map(id).collect()
}

#[test]
fn a_released_version_is_brought_back_by_staff_who_sign_for_it() {
    let place = place("default-locked");
    let server = Server::start(&place);
    let vault = text(&place.vault);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    let path = format!("/bak/{KEY}");
    client.put("/bak", b"");
    client.put(&path, b"one");
    client.put(&path, b"two");
    people.advance("3d");
    let before = versions(&client);
    assert_eq!(before.len(), 2);
    for id in &before {
        let deleted = client.answer("DELETE", &format!("{path}?versionId={id}"), b"");
        assert_eq!(deleted.0, 204, "{deleted:?}");
    }
    assert_eq!(client.answer("GET", &path, b"").0, 404);
    assert_eq!(versions(&client), [""; 0]);
    let list = ["release", "list", "--bucket", "bak"];
    let undo = ["release", "undo", "--bucket", "bak"];
    for verb in [&list[..], &[&undo[..], &["--prefix", ""]].concat()] {
        let said = people.refused("anna", verb);
        assert!(said.contains("approver anna may not do this"), "{said}");
        let said = refuse(&[verb, &["--vault", vault]].concat());
        assert!(said.contains("--as NAME --key FILE"), "{said}");
    }
    let said = people.does("olga", &list);
    assert!(said.contains("3 bytes, stored 2"), "{said}");
    assert!(said.contains("COMPLIANCE until 2"), "{said}");
    let rows = json(&people.does("olga", &[&list[..], &["--json"]].concat()));
    let listed: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["version"].as_str())
        .collect();
    assert_eq!(
        (listed, &rows[0]["key"]),
        (before.iter().map(String::as_str).collect(), &KEY.into())
    );
    let one = [&undo[..], &["--object", KEY, "--version-id", &before[1]]].concat();
    assert_eq!(people.does("olga", &one), "1 versions are back\n");
    assert_eq!(client.get(&path), b"one");
    let said = people.refused("olga", &one);
    assert!(said.contains("is not among the released ones"), "{said}");
    let said = people.does("odin", &[&undo[..], &["--prefix", "patient-"]].concat());
    assert_eq!(said, "1 versions are back\n");
    assert_eq!(versions(&client), before);
    assert_eq!(client.get(&path), b"two");
    assert_eq!(people.does("olga", &list), "");
    assert!(!server.said().contains(KEY), "{}", server.said());
    server.kill();
    let server = Server::start(&place);
    assert_eq!(client.at(&server).get(&path), b"two");
}

#[test]
fn a_plain_bucket_is_put_back_to_what_it_was_at_a_time() {
    let place = place("plain");
    let server = Server::start(&place);
    let vault = text(&place.vault);
    let client = Client::of(&place, &server);
    client.put("/bak", b"");
    client.put("/bak/k", b"good");
    // Times are said in whole seconds.
    std::thread::sleep(Duration::from_millis(1_100));
    client.put("/bak/k", b"evil");
    let list = [
        "release", "list", "--vault", vault, "--bucket", "bak", "--json",
    ];
    let rows = json(&succeed(&list));
    let since = rows[0]["released"].as_str().expect("a time");
    let verb = ["release", "undo", "--vault", vault, "--bucket", "bak"];
    let undo = [&verb[..], &["--since", since]].concat();
    let said = succeed(&undo);
    assert!(said.starts_with("0 versions are back\n"), "{said}");
    assert!(
        said.contains("1 left released: the key has another version"),
        "{said}"
    );
    assert_eq!(client.get("/bak/k"), b"evil");
    assert_eq!(client.answer("DELETE", "/bak/k", b"").0, 204);
    let said = succeed(&undo);
    assert!(said.starts_with("1 versions are back\n"), "{said}");
    assert!(
        said.contains("1 left released: it was stored after"),
        "{said}"
    );
    assert_eq!(client.get("/bak/k"), b"good");
    // Everything at once takes words that say so.
    assert_eq!(run(&verb).status.code(), Some(2));
}
