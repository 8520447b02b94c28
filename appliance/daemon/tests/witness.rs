//! A witness of a served vault: agreed on, heard, silent, and removed, over the real control socket.

mod common;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use common::people::People;
use common::s3::Client;
use common::{DISK, Place, Server, refuse, succeed, text};
use stele_format::checkpoint::{UnverifiedCheckpoint, WitnessKey};

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("a key")
}

fn key() -> WitnessKey {
    let public = pair().public_key().as_ref().try_into().expect("32 bytes");
    WitnessKey::new("witness.example/w1", &public).expect("a witness")
}

/// The witness sees the vault's newest checkpoint at this second; the file with what it says.
fn cosigned(place: &Place, seconds: u64) -> std::path::PathBuf {
    let said = succeed(&["checkpoint", "--vault", text(&place.vault)]);
    let note = UnverifiedCheckpoint::parse(&said).expect("a checkpoint");
    let signed = note.claims().cosigned_text(seconds);
    let signature = pair().sign(signed.as_bytes());
    let signature = signature.as_ref().try_into().expect("64 bytes");
    let note = note
        .with_cosignature(&key(), seconds, signature)
        .expect("cosigned");
    let file = place.beside("cosigned");
    std::fs::write(&file, note.text()).expect("written");
    file
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

fn agree(people: &People<'_>, words: &[&str]) {
    people.does("odin", words);
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.advance("169h");
    people.does("odin", &["approve", "execute", &number]);
}

/// Asked for, approved and rested.
fn ripe(people: &People<'_>, client: &Client, name: &str) -> String {
    let path = format!("/backups/{name}");
    client.put(&path, b"of no use any more");
    assert_eq!(client.answer("DELETE", &path, b"").0, 204);
    let listing = client.call("GET", &format!("/backups?prefix={name}&versions="), b"");
    let listing = String::from_utf8(listing.expect("answered").1).expect("text");
    let version = listing.split_once("<Version>").expect("a version").1;
    let id = version.split_once("<VersionId>").expect("an id").1;
    let id = id.split_once("</VersionId>").expect("an id").0;
    people.advance("3d");
    let draft = ["erase", "draft", "--bucket", "backups", "--version-id", id];
    people.does("olga", &draft);
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.does("axel", &["approve", "sign", &number]);
    people.advance("169h");
    number
}

#[test]
fn c7_a_served_vault_destroys_nothing_while_its_witness_is_silent() {
    let place = Place::new();
    let vault = text(&place.vault);
    succeed(&["create", vault, "--disk-bytes", DISK, "--simulated-clock"]);
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    let key = key().to_string();
    let add = ["people", "witness", "branch", &key, "--reason", "far away"];
    agree(&people, &add);
    let said = succeed(&["people", "list", "--vault", vault]);
    assert!(said.contains("witness branch: never heard"), "{said}");
    assert!(said.contains(&key), "{said}");
    let number = ripe(&people, &client, "old");
    let said = people.refused("olga", &["approve", "execute", &number]);
    assert!(said.contains("no witness was heard for 30 days"), "{said}");
    let said = succeed(&["status", "--vault", vault]);
    assert!(said.contains("no witness was heard for 30 days"), "{said}");
    // What is no cosignature of it is refused in words.
    let bare = place.beside("bare");
    std::fs::write(&bare, succeed(&["checkpoint", "--vault", vault])).expect("written");
    let said = refuse(&["checkpoint", "cosign", "--vault", vault, text(&bare)]);
    assert!(said.contains("no witness of this vault"), "{said}");
    // Anybody may bring what is one: it is signed by itself.
    let then = now();
    let file = cosigned(&place, then);
    let bring = ["checkpoint", "cosign", "--vault", vault, text(&file)];
    let said = succeed(&bring);
    assert!(said.contains("what the witness said is recorded"), "{said}");
    let said = refuse(&bring);
    assert!(said.contains("says nothing later"), "{said}");
    let said = succeed(&["status", "--vault", vault]);
    assert!(!said.contains("no witness was heard"), "{said}");
    let said = people.does("olga", &["approve", "execute", &number]);
    assert!(said.contains("1 versions were destroyed"), "{said}");
    // It is remembered over a kill.
    server.kill();
    let server = Server::start(&place);
    let said = succeed(&["people", "list", "--vault", vault]);
    assert!(said.contains("witness branch: last heard "), "{said}");
    let client = client.at(&server);
    people.advance("31d");
    let number = ripe(&people, &client, "more");
    let said = people.refused("olga", &["approve", "execute", &number]);
    assert!(said.contains("the last at 2"), "{said}");
    agree(
        &people,
        &[
            "people",
            "remove-witness",
            "branch",
            "--reason",
            "it closed",
        ],
    );
    let said = people.does("olga", &["approve", "execute", &number]);
    assert!(said.contains("1 versions were destroyed"), "{said}");
}
