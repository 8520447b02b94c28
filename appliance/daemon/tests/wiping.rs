//! A disk that the vault let go of is wiped by two people with the verbs of `stele`, and used again; no other one
//! is.

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::people::People;
use common::s3::Client;
use common::{DISK, Place, Server, succeed, text};
use nix::sys::signal::Signal;
use serde_json::Value;

/// A vault of four disks with people, of which the last was drained.
fn drained(place: &Place) -> (Server, PathBuf) {
    let vault = text(&place.vault);
    let disks: Vec<PathBuf> = (1..=4)
        .map(|number| place.beside(&format!("disk{number}.disk")))
        .collect();
    let mut args = vec!["create", vault, "--disk-bytes", DISK, "--simulated-clock"];
    for disk in &disks {
        args.extend(["--disk", text(disk)]);
    }
    succeed(&args);
    let server = Server::start(place);
    let people = People::with_keys(place);
    people.found();
    let client = Client::of(place, &server);
    client.put("/data", b"");
    client.put("/data/k", b"of use");
    people.does("olga", &["disk", "drain", "4"]);
    place.wait_for("disk 4 may be pulled out", |status| {
        is_let_go(place, status)
    });
    (server, disks[3].clone())
}

fn is_let_go(place: &Place, status: &Value) -> bool {
    let health = status["disks"][3]["health"].as_str().unwrap_or_default();
    let noted = place.config().get("draining").is_none();
    noted && health.contains("may be pulled out")
}

/// Asked for, approved, rested and executed; the request's number.
fn leave(people: &People<'_>, disk: &Path) -> String {
    let said = people.does("odin", &["disk", "reinitialise", text(disk)]);
    assert!(said.contains("wipe disk"), "{said}");
    let number = people.newest();
    let run = ["disk", "reinitialise", "--request", &number, text(disk)];
    let said = people.refused("olga", &run);
    assert!(said.contains("nothing was written to it"), "{said}");
    people.does("anna", &["approve", "sign", &number]);
    people.advance("72h");
    people.advance("1s");
    let said = people.does("odin", &["approve", "execute", &number]);
    let next = format!("stele disk reinitialise --request {number} PATH");
    assert!(said.contains(&next), "{said}");
    assert_eq!(people.state(&number), "executing");
    number
}

fn is_blank(disk: &Path) -> bool {
    let file = std::fs::File::open(disk).expect("opened");
    let bytes = file.metadata().expect("there").len();
    let mut buffer = vec![1; 1 << 20];
    [0, 1 << 20, 32 << 20, 63 << 20, bytes - (1 << 20)]
        .into_iter()
        .all(|offset| {
            file.read_exact_at(&mut buffer, offset).expect("read");
            buffer.iter().all(|byte| *byte == 0)
        })
}

#[test]
fn a_drained_disk_is_wiped_by_two_people_and_takes_part_again_as_a_new_one() {
    let place = Place::new();
    let (server, disk) = drained(&place);
    let people = People::with_keys_of(&place);
    let second = place.beside("second");
    let anew = ["create", text(&second), "--disk", text(&disk)];
    let said = common::refuse(&anew);
    assert!(said.contains("not blank"), "{said}");
    let number = leave(&people, &disk);
    let run = ["disk", "reinitialise", "--request", &number, text(&disk)];
    let said = people.refused("vera", &run);
    assert!(said.contains("auditor vera may not do this"), "{said}");
    let said = people.does("olga", &run);
    assert!(said.contains("is blank"), "{said}");
    assert!(is_blank(&disk));
    assert_eq!(people.state(&number), "executed");
    let said = people.refused("olga", &run);
    assert!(said.contains("no label"), "{said}");
    people.does("olga", &["disk", "replace", "4", text(&disk)]);
    place.wait_for("every disk takes part", |status| {
        status["state"] == "ok" && status["disks"][3]["health"] == "ok"
    });
    assert_eq!(Client::of(&place, &server).get("/data/k"), b"of use");
    // Blank for whoever else might want it.
    people.does("olga", &["disk", "drain", "4"]);
    place.wait_for("disk 4 may be pulled out", |status| {
        is_let_go(&place, status)
    });
    let number = leave(&people, &disk);
    let run = ["disk", "reinitialise", "--request", &number, text(&disk)];
    people.does("olga", &run);
    succeed(&anew);
}

#[test]
fn worm_07_a_disk_that_takes_part_or_is_of_another_vault_is_refused_before_anybody_signs() {
    let place = Place::new();
    let (server, gone) = drained(&place);
    let people = People::with_keys_of(&place);
    let other = Place::with_vault();
    for (disk, why) in [
        (place.beside("disk1.disk"), "it is disk 1 of this vault"),
        (other.file("disk1.disk"), "it belongs to another vault"),
        (place.beside("nothing"), "no such"),
    ] {
        let said = people.refused("odin", &["disk", "reinitialise", text(&disk)]);
        assert!(said.contains(why), "{said}");
    }
    let blank = place.beside("blank");
    let file = std::fs::File::create(&blank).expect("created");
    file.set_len(1 << 30).expect("sized");
    let said = people.refused("odin", &["disk", "reinitialise", text(&blank)]);
    assert!(said.contains("no label"), "{said}");
    // Leave for one disk is none for another.
    let number = leave(&people, &gone);
    for (disk, why) in [
        (place.beside("disk1.disk"), "it is disk 1 of this vault"),
        (other.file("disk1.disk"), "about another disk"),
    ] {
        let before = ends(&disk);
        let run = ["disk", "reinitialise", "--request", &number, text(&disk)];
        let said = people.refused("olga", &run);
        assert!(said.contains(why), "{said}");
        if disk.starts_with(&other.vault) {
            assert!(before == ends(&disk), "nothing was written to it");
        }
    }
    drop(server);
    other_serves(&other);
}

/// What is at both ends of a disk.
fn ends(disk: &Path) -> Vec<u8> {
    let file = std::fs::File::open(disk).expect("opened");
    let bytes = file.metadata().expect("there").len();
    let mut buffer = vec![0; 2 << 20];
    let (front, back) = buffer.split_at_mut(1 << 20);
    file.read_exact_at(front, 0).expect("read");
    file.read_exact_at(back, bytes - (1 << 20)).expect("read");
    buffer
}

fn other_serves(other: &Place) {
    let server = Server::start(other);
    assert_eq!(other.status()["state"], "ok");
    drop(server);
}

#[test]
fn a_wipe_that_kills_and_stops_cut_short_is_finished_by_the_same_command() {
    let place = Place::new();
    let (mut server, disk) = drained(&place);
    let people = People::with_keys_of(&place);
    let number = leave(&people, &disk);
    let vault = text(&place.vault).to_owned();
    let key = people.key("olga");
    let run = [
        "disk",
        "reinitialise",
        "--request",
        &number,
        text(&disk),
        "--vault",
        &vault,
        "--as",
        "olga",
        "--key",
        text(&key),
    ];
    for (delay_ms, killed) in [
        (30, true),
        (40, false),
        (60, true),
        (80, false),
        (90, true),
        (120, true),
        (200, true),
    ] {
        let mut child = common::stele(&run).spawn().expect("the binary runs");
        std::thread::sleep(Duration::from_millis(delay_ms));
        match killed {
            true => server.kill(),
            false => assert!(server.end(Signal::SIGTERM).success()),
        }
        child.wait().expect("waited");
        server = Server::start(&place);
        let status = place.status();
        assert_eq!(status["state"], "ok", "{status}");
        assert_eq!(status["disks"][3]["state"], "drained", "{status}");
    }
    // Whatever the kills left of it.
    if !is_blank(&disk) {
        common::run(&run);
    }
    assert!(is_blank(&disk));
    assert_eq!(people.state(&number), "executed");
    drop(server);
}
