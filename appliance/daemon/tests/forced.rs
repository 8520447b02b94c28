//! A vault that lost too many disks is opened with what is left, as two people signed it: over the command line, with
//! disk files and keys that real `ssh-keygen` made.

mod common;

use std::path::PathBuf;

use common::people::People;
use common::s3::Client;
use common::{DISK, Place, Server, refuse, succeed, text};
use nix::sys::signal::Signal;
use stele_format::checkpoint::{Certificate, LogKey};

/// Enough versions that one of them is no large list.
const VERSION_COUNT: usize = 120;

/// A vault with people and one object, stopped in order.
fn place() -> (Place, Client) {
    let place = Place::new();
    let vault = text(&place.vault);
    succeed(&["create", vault, "--disk-bytes", DISK, "--simulated-clock"]);
    let server = Server::start(&place);
    People::with_keys(&place).found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    client.put("/backups/kept", b"of use");
    stop(server);
    (place, client)
}

fn stop(server: Server) {
    assert!(server.end(Signal::SIGTERM).success());
}

fn disk(place: &Place, number: u16) -> PathBuf {
    place.file(&format!("disk{number}.disk"))
}

fn away(place: &Place, number: u16) -> PathBuf {
    place.beside(&format!("lost{number}"))
}

fn lose(place: &Place, number: u16) {
    std::fs::rename(disk(place, number), away(place, number)).expect("moved");
}

fn find(place: &Place, number: u16) {
    std::fs::rename(away(place, number), disk(place, number)).expect("moved");
}

/// Files of a forced opening, in their order.
struct Order {
    request: PathBuf,
    approval: PathBuf,
}

impl Order {
    fn files(place: &Place, name: &str) -> Order {
        Order {
            request: place.beside(&format!("{name}-request")),
            approval: place.beside(&format!("{name}-approval")),
        }
    }

    /// Drafted and signed by an officer and an approver for what is here.
    fn signed(place: &Place, name: &str) -> Order {
        let order = Order::files(place, name);
        let people = People::with_keys_of(place);
        let (request, approval) = (text(&order.request), text(&order.approval));
        let ask = ["force-open", "request", "--reason", "a flood", request];
        people.does("odin", &ask);
        people.does("anna", &["force-open", "approve", request, approval]);
        order
    }

    fn args(&self) -> [&str; 3] {
        ["--force-open", text(&self.request), text(&self.approval)]
    }

    /// Why it opens nothing.
    fn refused(&self, place: &Place) -> String {
        let vault = text(&place.vault);
        let serve = ["serve", "--vault", vault, "--listen", "127.0.0.1:0"];
        refuse(&[&serve[..], &self.args()].concat())
    }
}

#[test]
fn two_people_open_a_vault_of_which_one_disk_is_left_and_it_gets_its_disks_back() {
    let (place, client) = place();
    let vault = text(&place.vault);
    lose(&place, 2);
    lose(&place, 3);
    // Read-only, with what to do.
    let server = Server::start(&place);
    let client = client.at(&server);
    assert_eq!(client.get("/backups/kept"), b"of use");
    assert_ne!(client.answer("PUT", "/backups/more", b"no").0, 200);
    let next = place.status()["next"].as_array().expect("steps").clone();
    let commands: Vec<&str> = next
        .iter()
        .filter_map(|step| step["command"].as_str())
        .collect();
    let look = format!("stele force-open look --vault {vault}");
    assert_eq!(commands.last(), Some(&look.as_str()), "{commands:?}");
    assert!(commands.len() == 3, "plug in first: {commands:?}");
    let said = refuse(&["force-open", "look", "--vault", vault]);
    let id = server.id();
    assert!(
        said.contains(&format!("already served by process {id}")),
        "{said}"
    );
    stop(server);
    // Looking changes nothing that counts: it can be done again, and tells the same.
    let seen = succeed(&["force-open", "look", "--vault", vault]);
    for part in [
        "opening  number 1\n",
        "here     disk 1, ",
        "left     disk 2, ",
        "left     disk 3, ",
    ] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    assert_eq!(seen, succeed(&["force-open", "look", "--vault", vault]));
    let order = Order::signed(&place, "first");
    let server = Server::start_with(&place, &order.args());
    let client = client.at(&server);
    assert_eq!(client.get("/backups/kept"), b"of use");
    let banner = server.said();
    assert!(banner.contains("(number 1, record "), "{banner}");
    assert!(banner.contains("without 2 disks"), "{banner}");
    assert!(
        banner.contains("nothing is destroyed and no special right counts before"),
        "{banner}"
    );
    // One disk alone takes no content.
    assert_ne!(client.answer("PUT", "/backups/after", b"too early").0, 200);
    assert!(
        banner.contains("nothing is stored on one disk alone"),
        "{banner}"
    );
    let people = People::with_keys_of(&place);
    let requests = people.requests();
    let forced = requests.iter().find(|one| one["act"] == "force-open");
    let forced = forced.expect("recorded");
    assert_eq!(forced["state"], "executed", "{forced}");
    let number = forced["request"].to_string();
    let shown = succeed(&["approve", "show", "--vault", vault, &number]);
    assert!(shown.contains("a flood"), "{shown}");
    // What was left behind does not come back, and blank disks take its place.
    for number in [2, 3] {
        let (word, old) = (number.to_string(), away(&place, number));
        let said = people.refused("olga", &["disk", "replace", &word, text(&old)]);
        assert!(said.contains("never takes part again"), "{said}");
        let status = place.status();
        let steps = status["next"].as_array().expect("steps").iter();
        let of_it: Vec<String> = steps
            .filter(|step| step["disk"] == number)
            .map(|step| step["command"].to_string())
            .collect();
        assert!(
            of_it.len() == 1 && of_it[0].contains("disk replace"),
            "{of_it:?}"
        );
        people.does(
            "olga",
            &["disk", "replace", &word, text(&disk(&place, number))],
        );
        place.wait_for("the disk takes part", |status| {
            status["disks"][usize::from(number) - 1]["state"] == "active"
        });
    }
    assert_eq!(place.status()["state"], "ok");
    client.put("/backups/after", b"the flood");
    // From then on it is a vault like any other: also without the disk that had saved it.
    stop(server);
    lose(&place, 1);
    let server = Server::start(&place);
    let client = client.at(&server);
    assert_eq!(client.get("/backups/kept"), b"of use");
    assert_eq!(client.get("/backups/after"), b"the flood");
    client.put("/backups/again", b"writes");
    drop(server);
}

#[test]
fn for_seven_days_after_a_forced_opening_nothing_is_destroyed() {
    let (place, client) = place();
    let people = People::with_keys_of(&place);
    let server = Server::start(&place);
    let client = client.at(&server);
    for number in 0..VERSION_COUNT {
        client.put(&format!("/backups/{number}"), b"of no use any more");
    }
    assert_eq!(client.answer("DELETE", "/backups/7", b"").0, 204);
    people.advance("3d");
    stop(server);
    lose(&place, 2);
    lose(&place, 3);
    let order = Order::signed(&place, "first");
    let server = Server::start_with(&place, &order.args());
    let draft = ["erase", "draft", "--bucket", "backups", "--version-id"];
    let client = client.at(&server);
    let (_, listing) = client
        .call("GET", "/backups?versions=", b"")
        .expect("answered");
    let listing = String::from_utf8(listing).expect("text");
    let version = listing
        .split("<Version>")
        .find(|part| part.contains("<Key>7</Key>"))
        .expect("listed");
    let id = version.split_once("<VersionId>").expect("an id").1;
    let id = id.split_once("</VersionId>").expect("an id").0;
    people.does("olga", &[&draft[..], &[id]].concat());
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.advance("73h");
    assert_eq!(people.state(&number), "executable");
    let said = people.refused("olga", &["approve", "execute", &number]);
    assert!(said.contains("forced open"), "{said}");
    let frees = place.status()["people"]["frees_from"].clone();
    assert!(frees.is_string(), "{frees}");
    people.advance("96h");
    assert!(place.status()["people"]["frees_from"].is_null());
    // Then it is destroyed, for which the engine is started again: not with the order, which would end the process.
    people.does("olga", &[&draft[..], &[id]].concat());
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.advance("73h");
    let said = people.does("olga", &["approve", "execute", &number]);
    assert!(said.contains("their keys are cut"), "{said}");
    let key = place.status()["log"]["key"].as_str().map(LogKey::parse);
    let key = key.expect("said").expect("a key");
    assert_eq!(key.origin().opening().get(), 1);
    let vault = text(&place.vault);
    let signed = succeed(&["certificate", "--vault", vault, "--sign", &number]);
    let certificate =
        Certificate::verify(&signed, &key).expect("by the log's key, under its new name");
    assert!(
        certificate.text().contains("destroyed     1 versions"),
        "{signed}"
    );
    drop(server);
}

#[test]
fn an_order_opens_only_what_it_was_signed_for_and_only_once() {
    let (place, client) = place();
    let vault = text(&place.vault);
    let said = refuse(&["force-open", "look", "--vault", vault]);
    assert!(
        said.contains("opens with the disks that are here"),
        "{said}"
    );
    lose(&place, 2);
    lose(&place, 3);
    let order = Order::signed(&place, "first");
    // Other disks.
    find(&place, 2);
    lose(&place, 1);
    let said = order.refused(&place);
    assert!(said.contains("names other disks"), "{said}");
    // Enough disks.
    find(&place, 1);
    let said = order.refused(&place);
    assert!(
        said.contains("opens with the disks that are here"),
        "{said}"
    );
    // Another log, since the vault was served in between.
    stop(Server::start(&place));
    lose(&place, 2);
    let said = order.refused(&place);
    assert!(said.contains("signed for a log of"), "{said}");
    assert!(!said.contains("cannot be opened"), "{said}");
    // The right one, once.
    let order = Order::signed(&place, "second");
    let server = Server::start_with(&place, &order.args());
    assert_eq!(client.at(&server).get("/backups/kept"), b"of use");
    server.kill();
    let said = order.refused(&place);
    assert!(
        said.contains("opens with the disks that are here"),
        "{said}"
    );
    let server = Server::start(&place);
    assert_eq!(client.at(&server).get("/backups/kept"), b"of use");
    drop(server);
}

#[test]
fn only_an_officer_asks_and_only_an_approver_agrees_to_what_is_here() {
    let (place, _client) = place();
    let people = People::with_keys_of(&place);
    lose(&place, 2);
    lose(&place, 3);
    let files = Order::files(&place, "first");
    let (request, approval) = (text(&files.request), text(&files.approval));
    let ask = ["force-open", "request", request];
    let agree = ["force-open", "approve", request, approval];
    let said = people.refused("anna", &ask);
    assert!(said.contains("anna is no officer"), "{said}");
    assert!(!files.request.exists());
    people.does("odin", &ask);
    let said = people.refused("odin", &agree);
    assert!(said.contains("odin is no approver"), "{said}");
    // Somebody else's signature under the officer's name.
    let signature = place.beside("first-request.sig");
    let right = std::fs::read(&signature).expect("read");
    std::fs::copy(people.sign("oona", &files.request), &signature).expect("copied");
    let said = people.refused("anna", &agree);
    assert!(
        said.contains("not signed with a key of the officer"),
        "{said}"
    );
    assert!(!files.approval.exists());
    std::fs::write(&signature, right).expect("written");
    people.does("anna", &agree);
    // The approver signs nothing else than what is here, and the vault takes no other approval.
    let olga = people.sign("olga", &files.approval);
    std::fs::copy(olga, place.beside("first-approval.sig")).expect("copied");
    let said = files.refused(&place);
    assert!(said.contains("does not count"), "{said}");
    let nowhere = place.beside("nowhere");
    let serve = ["serve", "--vault", text(&nowhere)];
    let said = refuse(&[&serve[..], &files.args()].concat());
    assert!(said.contains("there is no vault"), "{said}");
    assert!(!nowhere.exists());
}
