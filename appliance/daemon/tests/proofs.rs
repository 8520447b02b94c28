//! Checkpoints and receipts of a served vault, checked as an auditor would: with the key alone.

mod common;

use common::people::People;
use common::s3::Client;
use common::{DISK, Place, Server, refuse, succeed, text};
use stele_format::checkpoint::{Checkpoint, KeyFrom, KeyHistory, LogKey, UnverifiedCheckpoint};
use stele_format::proof::Receipt;
use stele_format::record::RecordType;

fn key(place: &Place) -> LogKey {
    let said = succeed(&["checkpoint", "--vault", text(&place.vault), "--key"]);
    LogKey::parse(said.trim_end()).expect("a key")
}

fn checkpoint(place: &Place, key: &LogKey) -> Checkpoint {
    let said = succeed(&["checkpoint", "--vault", text(&place.vault)]);
    let note = UnverifiedCheckpoint::parse(&said).expect("a checkpoint");
    note.verify(key).expect("signed by the vault's key")
}

#[test]
fn what_clients_store_is_answered_with_receipts_under_one_key_for_ever() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let kept = key(&place);
    let before = checkpoint(&place, &kept);
    let client = Client::of(&place, &server);
    client.put("/bucket", b"");
    let receipt = client
        .put_for_receipt("/bucket/key", b"content")
        .expect("a receipt");
    let receipt = Receipt::verify(&receipt, &kept).expect("it verifies");
    assert_eq!(receipt.header.record_type, RecordType::Commit);
    assert!(receipt.checkpoint.size > before.size);
    let after = checkpoint(&place, &kept);
    assert!(after.size >= receipt.checkpoint.size);
    let status = place.status();
    assert_eq!(status["log"]["key"], kept.to_string());
    server.kill();
    let told = refuse(&["checkpoint", "--vault", text(&place.vault)]);
    assert!(told.contains("nothing serves this vault"), "{told}");
    let server = Server::start(&place);
    assert_eq!(key(&place), kept, "the key outlives a crash");
    assert!(checkpoint(&place, &kept).size > after.size);
    let client = Client::of(&place, &server);
    let receipt = client
        .put_for_receipt("/bucket/key", b"again")
        .expect("a receipt");
    assert!(Receipt::verify(&receipt, &kept).is_ok());
    server.kill();
}

/// Two officers, an approver and a week; receipts and checkpoints go over to the new key, for good.
#[test]
fn people_give_the_log_another_key_and_both_count_where_they_should() {
    let place = Place::new();
    let vault = text(&place.vault);
    succeed(&["create", vault, "--disk-bytes", DISK, "--simulated-clock"]);
    let server = Server::start(&place);
    let old = key(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/bucket", b"");
    let before = client
        .put_for_receipt("/bucket/a", b"1")
        .expect("a receipt");
    people.does("odin", &["people", "log-key"]);
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.does("oona", &["approve", "sign", &number]);
    people.advance("7d");
    people.advance("1s");
    let said = people.does("odin", &["approve", "execute", &number]);
    assert!(said.contains("both keys signed this"), "{said}");
    let again = people.does("odin", &["approve", "execute", &number]);
    assert!(again.contains("both keys signed this"), "{again}");
    let keys = |place: &Place| {
        let said = succeed(&["checkpoint", "--vault", text(&place.vault), "--key"]);
        let keys = said
            .lines()
            .map(|line| KeyFrom::parse(line).expect("a key"));
        keys.collect::<Vec<KeyFrom>>()
    };
    let all = keys(&place);
    assert_eq!((all.len(), all[0].key), (2, old));
    let first = succeed(&["checkpoint", "--vault", vault, "--first"]);
    let first = UnverifiedCheckpoint::parse(&first).expect("a checkpoint");
    for one in &all {
        assert!(first.verify(&one.key).is_ok(), "{one}");
    }
    let after = client
        .put_for_receipt("/bucket/b", b"2")
        .expect("a receipt");
    let history = KeyHistory::new(all.clone()).expect("keys");
    for receipt in [&before, &after] {
        assert!(Receipt::verify(receipt, &history).is_ok());
    }
    assert!(Receipt::verify(&after, &old).is_err());
    server.kill();
    let server = Server::start(&place);
    assert_eq!(keys(&place), all);
    let now = checkpoint(&place, &all[1].key);
    assert!(now.size > first.claims().size);
    server.kill();
}
