//! The index of a served vault rots on both disks that carry it: the vault makes it anew by itself.

mod common;

use std::os::unix::fs::FileExt;

use common::s3::Client;
use common::{Place, Server};
use nix::sys::signal::Signal;
use stele_format::label::{LabelCopy, StaticLabel};
use stele_format::limits::BLOCK_BYTES;

const OBJECTS: usize = 1_500;
const BLOCK: usize = BLOCK_BYTES as usize;
/// Blocks at the start of the area that say where the file is; they are read at a start only.
const HEADER_BLOCKS: u64 = 16;

fn key(number: usize) -> String {
    format!(
        "/bucket/a-rather-long-prefix-so-that-rows-fill-pages/{}/{number:05}",
        "x".repeat(200)
    )
}

fn body(number: usize) -> Vec<u8> {
    format!("prescription {number}").into_bytes()
}

/// Turns a byte over in every block that was written of the index of one disk.
fn rot_index(place: &Place, disk: &str) {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(place.file(disk))
        .expect("a disk");
    let mut block = [0; BLOCK];
    file.read_exact_at(&mut block, 0).expect("read");
    let label = StaticLabel::decode(&block).expect("a label");
    assert_eq!(label.claimed_place().copy, LabelCopy::A);
    let geometry = label.claims().geometry;
    let first = geometry.index_offset().get();
    let mut rotten = 0;
    for number in HEADER_BLOCKS..geometry.index_bytes.get() / u64::from(BLOCK_BYTES) {
        let at = first + number * u64::from(BLOCK_BYTES);
        file.read_exact_at(&mut block, at).expect("read");
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(&[!block[100]], at + 100)
                .expect("written");
            rotten += 1;
        }
    }
    assert!(rotten > 50, "{rotten} blocks of {disk}");
    file.sync_all().expect("flushed");
}

#[test]
fn an_index_that_rots_everywhere_is_made_anew_while_the_vault_is_served() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    client.put("/bucket", b"");
    for number in 0..OBJECTS {
        client.put(&key(number), &body(number));
    }
    assert!(server.end(Signal::SIGTERM).success());
    // It starts from the index, and keeps little of it in memory.
    let server = Server::start_with(&place, &["--index-cache-bytes", "64KiB"]);
    let client = Client::of(&place, &server);
    rot_index(&place, "disk1.disk");
    rot_index(&place, "disk2.disk");
    let refused =
        (0..OBJECTS)
            .step_by(10)
            .any(|number| match client.call("GET", &key(number), b"") {
                Some((200, read)) => {
                    assert_eq!(read, body(number));
                    false
                }
                Some((503, _)) => true,
                other => panic!("{other:?}"),
            });
    assert!(refused, "no page of the index was read");
    let status = place.wait_for("a vault that serves", |status| {
        let alarms = status["alarms"].to_string();
        status["state"] == "ok" && alarms.contains("made anew")
    });
    assert_eq!(status["index"]["mirrors"].as_array().map(Vec::len), Some(2));
    client.put(&key(OBJECTS), &body(OBJECTS));
    for number in 0..=OBJECTS {
        assert_eq!(client.get(&key(number)), body(number));
    }
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    assert_eq!(client.get(&key(7)), body(7));
}
