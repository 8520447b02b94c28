//! Disks are lost, come back, are replaced and added while the vault serves, with the verbs of `stele`
//! and what `stele status` says alone; nothing that was acknowledged is lost.

mod common;

use std::path::Path;

use common::disks::{
    LARGE, assert_reads_only, check_large, check_rounds, disk_verb, filled, filled_of, is_ok,
    put_large, put_round, read_or_refused, run_next, told, wait_until_ok,
};
use common::s3::Client;
use common::{Place, Server, refuse, run, succeed, text};
use nix::sys::signal::Signal;
use serde_json::Value;

fn has_both_mirrors(status: &Value) -> bool {
    status["index"]["mirrors"] == serde_json::json!(["active", "active"])
}

#[test]
fn a_lost_disk_is_replaced_by_the_printed_command_and_then_another_may_be_lost() {
    for lost in ["disk1.disk", "disk3.disk"] {
        let place = filled();
        std::fs::remove_file(place.file(lost)).expect("removed");
        let server = Server::start(&place);
        let client = Client::of(&place, &server);
        let status = place.status();
        assert_eq!(status["state"], "degraded");
        let epoch = status["log"]["epoch"].clone();
        let fresh = place.beside("fresh.disk");
        put_round(&client, 1);
        run_next(&status, "stele disk replace", &fresh);
        put_round(&client, 2);
        let status = wait_until_ok(&place);
        assert_eq!(status["log"]["epoch"], epoch, "the engine started again");
        assert_eq!(status["next"], serde_json::json!([]));
        let files: Vec<&str> = status["disks"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|disk| disk["file"].as_str())
            .collect();
        assert!(files.contains(&text(&fresh)), "{files:?}");
        place.wait_for("the fill is struck out", |_| {
            place.config().get("filling").is_none()
        });
        place.wait_for("the index is on two disks", has_both_mirrors);
        check_rounds(&client, 3);
        assert!(server.end(Signal::SIGTERM).success());
        let server = Server::start(&place);
        assert!(is_ok(&place.status()), "{}", place.status());
        place.wait_for("the index is on two disks", has_both_mirrors);
        assert!(server.end(Signal::SIGTERM).success());
        std::fs::remove_file(place.file("disk2.disk")).expect("removed");
        let server = Server::start(&place);
        check_rounds(&Client::of(&place, &server), 3);
        assert!(server.end(Signal::SIGTERM).success());
    }
}

/// Replaces disk 2 and kills the server once something has been filled. Beside clients a fill is slow.
fn kill_while_filling(place: &Place, server: Server, fresh: &Path) {
    let client = Client::of(place, &server);
    client.get("/data/k0");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Until the server is gone.
            while client.call("GET", "/data/k0", b"").is_some() {}
        });
        disk_verb(place, "replace", &["2", text(fresh)]);
        place.wait_for("something is filled", |status| {
            let fill = &status["disks"][1]["fill"];
            fill["done_bytes"].as_u64().is_some_and(|bytes| bytes > 0) || is_ok(status)
        });
        server.kill();
    });
    let filling = place.config()["filling"].clone();
    assert_eq!(filling[0]["number"], 2, "killed too late: {filling}");
}

#[test]
fn a_fill_that_a_crash_cut_short_is_finished_by_the_next_start() {
    let place = filled();
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    put_large(&client, LARGE);
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::remove_file(place.file("disk2.disk")).expect("removed");
    let server = Server::start(&place);
    kill_while_filling(&place, server, &place.beside("fresh.disk"));
    // Once more while the start goes on with it, or just after.
    Server::start(&place).kill();
    let server = Server::start(&place);
    wait_until_ok(&place);
    place.wait_for("the fill is struck out", |_| {
        place.config().get("filling").is_none()
    });
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::remove_file(place.file("disk1.disk")).expect("removed");
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    check_rounds(&client, 1);
    check_large(&client, LARGE);
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn a_replacement_that_was_noted_and_not_labelled_is_gone_on_with() {
    let place = filled();
    std::fs::remove_file(place.file("disk2.disk")).expect("removed");
    // As a crash leaves it between the note and the label.
    std::fs::File::create(place.file("fresh.disk"))
        .and_then(|file| file.set_len(1 << 30))
        .expect("made");
    let mut config = place.config();
    config["disks"][1] = "fresh.disk".into();
    config["filling"] = serde_json::json!([{"number": 2, "disk": "fresh.disk"}]);
    std::fs::write(place.file("vault.json"), config.to_string()).expect("written");
    let server = Server::start(&place);
    wait_until_ok(&place);
    // Also when it stops before anybody has looked again.
    assert!(server.end(Signal::SIGTERM).success());
    assert!(place.config().get("filling").is_none());
}

#[test]
fn a_disk_that_comes_back_is_filled_with_what_it_missed() {
    for plugged_in_again_while_served in [false, true] {
        let place = filled();
        let away = place.beside("away.disk");
        std::fs::rename(place.file("disk3.disk"), &away).expect("moved");
        let server = Server::start(&place);
        put_round(&Client::of(&place, &server), 1);
        let (server, status) = if plugged_in_again_while_served {
            let status = place.status();
            std::fs::rename(&away, place.file("disk3.disk")).expect("moved back");
            (server, status)
        } else {
            assert!(server.end(Signal::SIGTERM).success());
            std::fs::rename(&away, place.file("disk3.disk")).expect("moved back");
            let server = Server::start(&place);
            let status = place.status();
            assert_eq!(status["disks"][2]["health"], "stale");
            (server, status)
        };
        run_next(&status, "stele disk resync", Path::new(""));
        wait_until_ok(&place);
        put_round(&Client::of(&place, &server), 2);
        assert!(server.end(Signal::SIGTERM).success());
        std::fs::remove_file(place.file("disk1.disk")).expect("removed");
        let server = Server::start(&place);
        check_rounds(&Client::of(&place, &server), 3);
        assert!(server.end(Signal::SIGTERM).success());
    }
}

#[test]
fn a_disk_that_comes_back_at_another_place_is_known_by_its_label() {
    let place = filled();
    let away = place.beside("away.disk");
    std::fs::rename(place.file("disk1.disk"), &away).expect("moved");
    let server = Server::start(&place);
    put_round(&Client::of(&place, &server), 1);
    let status = place.status();
    let id = status["disks"][0]["id"].clone();
    run_next(&status, "stele disk replace", &away);
    let status = wait_until_ok(&place);
    assert_eq!(status["disks"][0]["file"], text(&away));
    assert_eq!(status["disks"][0]["id"], id);
    check_rounds(&Client::of(&place, &server), 2);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    assert!(is_ok(&place.status()), "{}", place.status());
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn a_blank_disk_at_the_place_of_a_lost_one_is_taken_there() {
    let place = filled();
    let path = place.file("disk2.disk");
    std::fs::File::create(&path)
        .and_then(|file| file.set_len(1 << 30))
        .expect("made anew");
    let server = Server::start(&place);
    let status = place.status();
    assert_eq!(status["disks"][1]["state"], "unreadable");
    run_next(&status, "stele disk replace", Path::new("unused"));
    wait_until_ok(&place);
    check_rounds(&Client::of(&place, &server), 1);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    assert!(is_ok(&place.status()));
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn a_vault_takes_further_disks_and_knows_them_again() {
    let place = filled();
    let server = Server::start(&place);
    for number in [4, 5] {
        let said = disk_verb(
            &place,
            "add",
            &[text(&place.beside(&format!("{number}.disk")))],
        );
        assert!(said.starts_with(&format!("disk {number} is ")), "{said}");
        let status = wait_until_ok(&place);
        assert_eq!(status["disks"].as_array().map(Vec::len), Some(number));
    }
    put_round(&Client::of(&place, &server), 1);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    assert!(is_ok(&place.status()), "{}", place.status());
    check_rounds(&Client::of(&place, &server), 2);
    let listed = disk_verb(&place, "list", &["--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let numbers: Vec<u64> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|disk| disk["number"].as_u64())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let listed = disk_verb(&place, "list", &[]);
    assert!(
        listed.contains("disk 5   ") && listed.contains("5.disk: ok, "),
        "{listed}"
    );
    assert!(server.end(Signal::SIGTERM).success());
    // One after the other: two at once may take the last record's quorum away.
    std::fs::remove_file(place.beside("4.disk")).expect("removed");
    let server = Server::start(&place);
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::remove_file(place.beside("5.disk")).expect("removed");
    let server = Server::start(&place);
    let other = place.beside("5.disk");
    let vault = text(&place.vault);
    let why = refuse(&["disk", "replace", "--vault", vault, "4", text(&other)]);
    assert!(
        why.contains("does not become disk 4: it is the place of disk 5"),
        "{why}"
    );
    assert!(!other.exists());
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn a_replaced_disk_is_let_go_of() {
    let place = filled();
    let away = place.beside("away.disk");
    std::fs::rename(place.file("disk3.disk"), &away).expect("moved");
    let server = Server::start(&place);
    put_round(&Client::of(&place, &server), 1);
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::rename(&away, place.file("disk3.disk")).expect("moved back");
    let server = Server::start(&place);
    assert_eq!(place.status()["disks"][2]["health"], "stale");
    disk_verb(&place, "replace", &["3", text(&place.beside("fresh.disk"))]);
    wait_until_ok(&place);
    // Nobody holds the old one any more.
    let old = std::fs::File::open(place.file("disk3.disk")).expect("there");
    old.try_lock().expect("free");
    drop(old);
    let again = run(&["disk", "replace", "--vault", text(&place.vault), "3", "x"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("lacks nothing"), "{said}");
    assert!(server.end(Signal::SIGTERM).success());
}

/// The refused drain names the command that makes it possible; run as printed.
fn add_as_printed(place: &Place, path: &Path) {
    let vault = text(&place.vault);
    let why = refuse(&["disk", "drain", "--vault", vault, "3"]);
    let (_, command) = why.split_once("add one first: ").expect("a command");
    let words = command.replace("PATH", text(path));
    let words: Vec<&str> = words.split(' ').collect();
    assert_eq!(words[0], "stele");
    succeed(&words[1..]);
    wait_until_ok(place);
}

/// Drains disk 3, and kills the server once something has been moved. Beside clients that is slow.
fn kill_while_draining(place: &Place, server: Server) {
    let client = Client::of(place, &server);
    client.get("/data/k0");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Until the server is gone.
            while client.call("GET", "/data/k0", b"").is_some() {}
        });
        let said = disk_verb(place, "drain", &["3"]);
        let command = said.lines().nth(1).expect("a command").trim();
        assert_eq!(
            command,
            format!("stele status --vault {}", text(&place.vault))
        );
        let status = place.wait_for("something is moved", |status| {
            let moved = &status["disks"][2]["fill"]["done_bytes"];
            moved.as_u64().is_some_and(|bytes| bytes > 0)
        });
        let disk = &status["disks"][2];
        assert_eq!(disk["state"], "draining");
        let health = disk["health"].as_str().expect("words");
        assert!(
            health.starts_with("draining ") && health.contains(" of "),
            "{health}"
        );
        assert!(disk["fill"]["remaining_ms"].is_u64(), "{disk}");
        server.kill();
    });
    assert_eq!(place.config()["draining"], 3, "killed too late");
}

fn is_drained(status: &Value) -> bool {
    let disk = &status["disks"][2];
    let health = disk["health"].as_str().unwrap_or_default();
    disk["state"] == "drained" && health.contains("it may be pulled out")
}

#[test]
fn a_disk_is_drained_across_a_crash_and_nothing_is_lost_with_it() {
    // What moved keeps its old places, too: room for both, and for all the starts.
    let place = filled_of("1280MiB");
    let server = Server::start(&place);
    add_as_printed(&place, &place.beside("4.disk"));
    let client = Client::of(&place, &server);
    put_large(&client, 12);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    kill_while_draining(&place, server);
    let server = Server::start(&place);
    let status = place.wait_for("it is drained", is_drained);
    assert_eq!(status["state"], "ok", "{status}");
    place.wait_for("the drain is struck out", |_| {
        place.config().get("draining").is_none()
    });
    let listed = disk_verb(&place, "list", &[]);
    assert!(listed.contains("disk3.disk: drained: all"), "{listed}");
    let again = run(&["disk", "drain", "--vault", text(&place.vault), "3"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("was done already"), "{said}");
    // Pulled out while the vault serves.
    std::fs::rename(place.file("disk3.disk"), place.beside("pulled")).expect("moved");
    put_round(&Client::of(&place, &server), 1);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    let status = place.status();
    assert_eq!(
        (&status["state"], &status["next"]),
        (&"ok".into(), &serde_json::json!([]))
    );
    assert_eq!(
        status["disks"][2]["health"],
        "drained, and not used any more"
    );
    assert!(server.end(Signal::SIGTERM).success());
    // And one more may be lost.
    std::fs::remove_file(place.file("disk2.disk")).expect("removed");
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    put_round(&client, 2);
    check_rounds(&client, 3);
    check_large(&client, 12);
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn another_disk_takes_the_place_of_a_drained_one_by_the_printed_command() {
    let place = filled();
    let server = Server::start(&place);
    add_as_printed(&place, &place.beside("4.disk"));
    disk_verb(&place, "drain", &["3"]);
    let status = place.wait_for("it is drained", is_drained);
    let fresh = place.beside("fresh.disk");
    run_next(&status, "stele disk replace", &fresh);
    let status = wait_until_ok(&place);
    assert_eq!(status["disks"][2]["file"], text(&fresh));
    put_round(&Client::of(&place, &server), 1);
    // Drained again, with nothing on the way of a stop.
    disk_verb(&place, "drain", &["3"]);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    place.wait_for("it is drained", is_drained);
    check_rounds(&Client::of(&place, &server), 2);
    assert!(server.end(Signal::SIGTERM).success());
}

/// An alarm of the status with these words in it.
fn alarm_with(status: &Value, words: &[&str]) -> bool {
    let alarms = status["alarms"].as_array().expect("a list").iter();
    let mut alarms = alarms.filter_map(Value::as_str);
    alarms.any(|alarm| words.iter().all(|word| alarm.contains(word)))
}

#[test]
fn a_disk_that_is_removed_from_an_idle_vault_is_told_of_and_replaced() {
    let place = filled();
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    std::fs::remove_file(place.file("disk2.disk")).expect("removed");
    let status = place.wait_for("it is missed", |status| status["state"] == "degraded");
    let disk = &status["disks"][1];
    assert_eq!(disk["state"], "expelled");
    assert_eq!(disk["health"], "failed: it is no longer at its place");
    let words = ["disk 2 ", "disk2.disk", "it is no longer at its place"];
    assert!(alarm_with(&status, &words), "{status}");
    put_round(&client, 1);
    run_next(&status, "stele disk replace", &place.file("disk2.disk"));
    wait_until_ok(&place);
    check_rounds(&client, 2);
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::remove_file(place.file("disk1.disk")).expect("removed");
    let server = Server::start(&place);
    check_rounds(&Client::of(&place, &server), 2);
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn disks_that_are_moved_together_stay_in_use_and_are_told_of() {
    let place = filled();
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    let disks = ["disk1.disk", "disk2.disk", "disk3.disk"];
    for disk in disks {
        std::fs::rename(place.file(disk), place.beside(disk)).expect("moved");
    }
    let status = place.wait_for("they are missed", |status| {
        disks
            .iter()
            .all(|disk| alarm_with(status, &[disk, "before the vault is stopped"]))
    });
    assert_eq!(status["state"], "ok", "{status}");
    for disk in status["disks"].as_array().expect("disks") {
        assert_eq!(disk["state"], "active", "{status}");
        assert_eq!(disk["health"], "not at its place", "{status}");
    }
    put_round(&client, 1);
    for disk in disks {
        std::fs::rename(place.beside(disk), place.file(disk)).expect("moved back");
    }
    wait_until_ok(&place);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    check_rounds(&Client::of(&place, &server), 2);
    assert!(is_ok(&place.status()), "{}", place.status());
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn a_second_disk_that_goes_while_one_is_filled_is_named_and_nothing_is_lost_when_it_is_back() {
    let place = filled();
    let server = Server::start(&place);
    put_large(&Client::of(&place, &server), LARGE);
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::remove_file(place.file("disk2.disk")).expect("removed");
    let server = Server::start(&place);
    kill_while_filling(&place, server, &place.beside("fresh.disk"));
    let away = place.beside("away.disk");
    std::fs::rename(place.file("disk3.disk"), &away).expect("moved");
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    let lack = "1 of 2 needed disks take writes";
    assert_reads_only(&place, &client, lack, &[3]);
    assert!(read_or_refused(&client) > 0);
    // As the line says.
    std::fs::rename(&away, place.file("disk3.disk")).expect("moved back");
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    wait_until_ok(&place);
    assert_eq!(told(&place), ("ok".to_owned(), Vec::new()));
    let client = Client::of(&place, &server);
    check_rounds(&client, 1);
    check_large(&client, LARGE);
    put_round(&client, 1);
    assert!(server.end(Signal::SIGTERM).success());
    // What was filled is good alone.
    std::fs::remove_file(place.file("disk3.disk")).expect("removed");
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    check_rounds(&client, 2);
    check_large(&client, LARGE);
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn two_disks_that_go_at_once_are_both_named_while_it_serves_and_at_the_next_start() {
    let place = filled();
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    put_large(&client, LARGE);
    let disks = ["disk2.disk", "disk3.disk"];
    for disk in disks {
        std::fs::rename(place.file(disk), place.beside(disk)).expect("moved");
    }
    place.wait_for("both are missed", |status| {
        let disks = status["disks"].as_array().expect("disks").iter();
        disks
            .filter(|disk| disk["health"] == "not at its place")
            .count()
            == 2
    });
    let vault = text(&place.vault);
    let steps = [2, 3].map(|number| {
        format!(
            "have disk {number} back at {vault}/disk{number}.disk before the vault is stopped, and look again: \
             stele disk list --vault {vault}"
        )
    });
    let (pool, next) = told(&place);
    assert_eq!(
        pool,
        "ok: disk 2 is not at its place; disk 3 is not at its place"
    );
    assert_eq!(next, steps);
    put_round(&client, 1);
    check_rounds(&client, 2);
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    let lack = "are damaged or missing on every present disk";
    assert_reads_only(&place, &client, lack, &[2, 3]);
    assert!(read_or_refused(&client) > 0);
    assert!(server.end(Signal::SIGTERM).success());
    for disk in disks {
        std::fs::rename(place.beside(disk), place.file(disk)).expect("moved back");
    }
    let server = Server::start(&place);
    wait_until_ok(&place);
    let client = Client::of(&place, &server);
    check_rounds(&client, 2);
    check_large(&client, LARGE);
    assert!(server.end(Signal::SIGTERM).success());
}
