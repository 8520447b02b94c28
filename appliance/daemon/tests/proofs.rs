//! Checkpoints and receipts of a served vault, checked as an auditor would: with the key alone.

mod common;

use common::s3::Client;
use common::{Place, Server, refuse, succeed, text};
use stele_format::checkpoint::{Checkpoint, LogKey, UnverifiedCheckpoint};
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
