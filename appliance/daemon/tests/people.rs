//! People of a served vault: founded, asked, approved, executed, over the real control socket and with keys that
//! real `ssh-keygen` made.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::people::People;
use common::s3::Client;
use common::{DISK, Place, Server, succeed, text};
use nix::sys::signal::Signal;
use stele_format::checkpoint::{Certificate, LogKey};

const MARGIN: &str = "3d";

/// A vault for tests of long waits.
fn place() -> Place {
    let place = Place::new();
    let vault = text(&place.vault);
    succeed(&["create", vault, "--disk-bytes", DISK, "--simulated-clock"]);
    place
}

/// A version that a client stored and then hid, with its id.
fn hidden(client: &Client, key: &str) -> String {
    client.put(key, b"of no use any more");
    let (bucket, name) = key.trim_start_matches('/').split_once('/').expect("a key");
    assert_eq!(client.answer("DELETE", key, b"").0, 204);
    let (_, listing) = client
        .call("GET", &format!("/{bucket}?versions="), b"")
        .expect("answered");
    let listing = String::from_utf8(listing).expect("text");
    let versions = listing.split("<Version>").skip(1);
    let of_key = |part: &&str| part.contains(&format!("<Key>{name}</Key>"));
    let version = versions.into_iter().find(of_key).expect("listed");
    let id = version.split_once("<VersionId>").expect("an id").1;
    id.split_once("</VersionId>").expect("an id").0.to_owned()
}

fn gone(client: &Client, key: &str, id: &str) -> bool {
    let path = format!("{key}?versionId={id}");
    client.answer("GET", &path, b"").0 == 404
}

/// Drafts, approves and waits for the destruction of one version; gives the request's number.
fn approved(people: &People<'_>, id: &str) -> String {
    let words = ["erase", "draft", "--bucket", "backups", "--version-id", id];
    let said = people.does("olga", &words);
    assert!(said.contains("destroy 1 versions with 18 bytes"), "{said}");
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.does("axel", &["approve", "sign", &number]);
    people.advance("7d");
    people.advance("1s");
    number
}

#[test]
fn what_two_people_signed_is_destroyed_and_its_neighbours_stay() {
    let place = place();
    let server = Server::start(&place);
    let vault = text(&place.vault);
    let said = succeed(&["status", "--vault", vault]);
    assert!(
        said.contains("nothing can be freed before people are founded"),
        "{said}"
    );
    let people = People::with_keys(&place);
    people.found();
    let said = succeed(&["status", "--vault", vault]);
    assert!(said.contains("2 approvers"), "{said}");
    assert!(said.contains("sign with plain key files"), "{said}");
    assert!(said.contains("clock    simulated"), "{said}");
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    let id = hidden(&client, "/backups/old");
    client.put("/backups/kept", b"of use");
    people.advance(MARGIN);
    let number = approved(&people, &id);
    let said = people.does("olga", &["approve", "execute", &number]);
    assert!(said.contains("1 versions were destroyed"), "{said}");
    assert!(said.contains("their keys are cut"), "{said}");
    let check = |client: &Client| {
        assert!(gone(client, "/backups/old", &id));
        assert_eq!(client.get("/backups/kept"), b"of use");
    };
    check(&client);
    // The index was made anew for that, and nothing was wrong with it.
    let alarms = place.status()["alarms"].to_string();
    assert!(!alarms.contains("made anew"), "{alarms}");
    server.kill();
    let server = Server::start(&place);
    check(&client.at(&server));
    assert_eq!(people.state(&number), "executed");
    let certificate = succeed(&["certificate", "--vault", vault, &number]);
    for part in [
        "1 versions with 18 bytes",
        "asked by      operator olga",
        "approved by   approver anna",
        "approved by   approver axel",
        "executed by   olga",
        "old copies of it",
        "simulated",
        "this version writes no tapes",
        "root ",
    ] {
        assert!(certificate.contains(part), "{part}: {certificate}");
    }
    let key = place.status()["log"]["key"].as_str().map(LogKey::parse);
    let key = key.expect("said").expect("a key");
    let signed = succeed(&["certificate", "--vault", vault, "--sign", &number]);
    let certificate = Certificate::verify(&signed, &key).expect("the log's key signed it");
    for part in [
        "destroyed     1 versions",
        "cryptographic erase (CE, NIST SP 800-88r2)",
        "verified by   the vault at ",
        "medium        disk 1, id ",
        "copy remains  wherever somebody kept one",
        "executed by   olga",
    ] {
        assert!(certificate.text().contains(part), "{part}: {signed}");
    }
    let forged = signed.replace("destroyed     1", "destroyed     2");
    assert!(Certificate::verify(&forged, &key).is_err());
}

#[test]
fn wrong_roles_early_vetoed_edited_and_used_statements_are_refused() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    let id = hidden(&client, "/backups/old");
    let draft = ["erase", "draft", "--bucket", "backups", "--version-id", &id];
    let said = people.refused("olga", &draft);
    assert!(said.contains("cannot be destroyed"), "{said}");
    assert!(!said.contains(" ms "), "{said}");
    people.advance(MARGIN);
    let said = people.refused("vera", &draft);
    assert!(said.contains("auditor vera may not do this"), "{said}");
    people.does("olga", &draft);
    let number = people.newest();
    let said = people.refused("odin", &["approve", "sign", &number]);
    assert!(said.contains("officer odin may not approve"), "{said}");
    let said = people.refused("olga", &["approve", "execute", &number]);
    assert!(said.contains("requested"), "{said}");
    people.does("anna", &["approve", "sign", &number]);
    let said = people.refused("anna", &["approve", "sign", &number]);
    assert!(said.contains("used before"), "{said}");
    people.does("axel", &["approve", "sign", &number]);
    let said = people.refused("olga", &["approve", "execute", &number]);
    assert!(said.contains("may be executed from 2"), "{said}");
    people.does("vera", &["approve", "veto", &number]);
    people.advance("7d");
    people.advance("1s");
    let said = people.refused("olga", &["approve", "execute", &number]);
    assert!(said.contains("vetoed"), "{said}");
    assert!(!gone(&client, "/backups/old", &id));
    // A text that was changed after it was signed.
    let file = place.beside("text");
    let more = ["--out", text(&file)];
    people.does("olga", &[&draft[..], &more].concat());
    let signature = people.sign("olga", &file);
    let changed = std::fs::read_to_string(&file).expect("read");
    let changed = changed.replace("governance no", "governance yes");
    std::fs::write(&file, changed).expect("written");
    let bring = ["approve", "import", text(&file), text(&signature)];
    let said = people.refused("olga", &bring);
    assert!(said.contains("signature"), "{said}");
    drop(server);
}

#[test]
fn who_changes_something_answers_for_it_with_a_signature_and_is_in_the_log() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    let vault = text(&place.vault);
    let add = ["client", "add", "--name", "till", "--vault", vault];
    succeed(&add);
    people.found();
    let said = common::refuse(&add);
    assert!(said.contains("say who with --as NAME --key FILE"), "{said}");
    let before = place.status()["log"]["records"].as_u64().expect("known");
    people.does("olga", &["client", "add", "--name", "till"]);
    let after = place.status()["log"]["records"].as_u64().expect("known");
    assert!(
        after >= before + 2,
        "the session and the register: {before} {after}"
    );
    let said = people.refused("vera", &["client", "add", "--name", "till"]);
    assert!(said.contains("auditor vera may not do this"), "{said}");
    succeed(&["client", "list", "--vault", vault]);
    // Somebody else's name under one's own key, again and again.
    people.make_key("mallory");
    let mallory = people.key("mallory");
    let forged = [
        "client",
        "add",
        "--name",
        "till",
        "--vault",
        vault,
        "--as",
        "olga",
        "--key",
        text(&mallory),
    ];
    for _ in 0..5 {
        let said = common::refuse(&forged);
        assert!(said.contains("nobody answers for this"), "{said}");
    }
    let said = common::refuse(&forged);
    assert!(said.contains("may answer again at"), "{said}");
    let alarms = place.status()["alarms"].to_string();
    assert!(alarms.contains("answered wrongly 5 times"), "{alarms}");
    people.does("olga", &["client", "add", "--name", "till"]);
    assert!(server.said().contains("olga"), "{}", server.said());
}

/// Asks without waiting for the answer, as a program that dies does.
fn ask_and_leave(place: &Place, ask: &serde_json::Value) -> UnixStream {
    let mut stream = UnixStream::connect(place.file("control.sock")).expect("connected");
    let question = serde_json::json!({"protocol": 1, "ask": ask});
    writeln!(stream, "{question}").expect("asked");
    stream
}

fn asked(place: &Place, ask: &serde_json::Value) -> serde_json::Value {
    let mut line = String::new();
    let stream = ask_and_leave(place, ask);
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("answered");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn a_destruction_that_kills_cut_short_is_carried_on_to_the_end() {
    // More than one piece of a list, so that kills fall between pieces too.
    const COUNT: usize = 260;
    let place = place();
    let mut server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    for number in 0..COUNT {
        client.put(&format!("/backups/{number}"), b"of no use any more");
        let hidden = client.answer("DELETE", &format!("/backups/{number}"), b"");
        assert_eq!(hidden.0, 204);
    }
    client.put("/backups/kept", b"of use");
    people.advance("40d");
    let vault = text(&place.vault);
    let json = succeed(&["expiry", "report", "--vault", vault, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["expired"] == COUNT)
        .expect("one");
    let month = row["month"].as_str().expect("a month");
    people.does("olga", &["expiry", "draft", "--month", month]);
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.does("axel", &["approve", "sign", &number]);
    people.advance("7d");
    people.advance("1s");
    let export = ["approve", "export", &number, "--verb", "execute"];
    let execution = people.does("olga", &export);
    let file = place.beside("execution");
    std::fs::write(&file, &execution).expect("written");
    let signature = std::fs::read_to_string(people.sign("olga", &file)).expect("read");
    // Recorded, and nothing is carried out yet.
    let state = serde_json::json!({"desk": {"state":
        {"text": execution, "signatures": [signature], "note": null}}});
    let reply = asked(&place, &state);
    assert_eq!(reply["desk"]["stated"]["carry_out"], true, "{reply}");
    assert_eq!(people.state(&number), "executing");
    let carry = serde_json::json!({"desk": {"carry-out":
        {"record": number.parse::<u64>().expect("a number")}}});
    for delay_ms in [0, 3, 10, 30, 100, 300] {
        let _left = ask_and_leave(&place, &carry);
        std::thread::sleep(Duration::from_millis(delay_ms));
        server.kill();
        server = Server::start(&place);
    }
    while people.state(&number) != "executed" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let client = client.at(&server);
    assert_eq!(client.get("/backups/kept"), b"of use");
    let certificate = succeed(&["certificate", "--vault", vault, &number]);
    assert!(
        certificate.contains(&format!("destroyed     {COUNT} versions")),
        "{certificate}"
    );
    let again = asked(&place, &state).to_string();
    assert!(again.contains("used before"), "{again}");
    let said = people.does("olga", &["approve", "execute", &number]);
    assert!(said.contains("nothing is left to do"), "{said}");
}

#[test]
fn what_nobody_approves_or_executes_in_time_is_over() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    let id = hidden(&client, "/backups/old");
    people.advance(MARGIN);
    let draft = ["erase", "draft", "--bucket", "backups", "--version-id", &id];
    people.does("olga", &draft);
    let late = people.newest();
    people.advance("73h");
    let said = people.refused("anna", &["approve", "sign", &late]);
    assert!(said.contains("could be approved until 2"), "{said}");
    people.does("olga", &draft);
    let number = people.newest();
    assert_ne!(number, late);
    people.does("anna", &["approve", "sign", &number]);
    people.does("axel", &["approve", "sign", &number]);
    let waits = succeed(&["status", "--vault", text(&place.vault)]);
    assert!(
        waits.contains(&format!("request {number} (erase) rests until")),
        "{waits}"
    );
    people.advance("11d");
    let said = people.refused("olga", &["approve", "execute", &number]);
    assert!(said.contains("could be executed until 2"), "{said}");
    assert!(!gone(&client, "/backups/old", &id));
}

/// Compliance time stands still while the vault is off.
#[test]
fn a_vault_that_was_off_asks_for_the_hours_that_are_missing_and_is_not_set_beyond_the_machine() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    assert!(server.end(Signal::SIGTERM).success());
    std::thread::sleep(Duration::from_secs(1));
    let _server = Server::start(&place);
    let said = people.does("odin", &["clock", "correct"]);
    let act = "set compliance time forward to the machine's clock, by 1 hour at most";
    assert!(said.contains(act), "{said}");
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.advance("7d");
    // This clock is simulated, and ahead of the machine's by now.
    let said = people.refused("odin", &["approve", "execute", &number]);
    assert!(said.contains("can only be set forward"), "{said}");
    let said = people.refused("odin", &["clock", "correct"]);
    assert!(said.contains("nothing is to be corrected"), "{said}");
}

#[test]
fn statements_of_another_vault_are_refused() {
    let (one, other) = (place(), place());
    let (_a, _b) = (Server::start(&one), Server::start(&other));
    let people = People::with_keys(&one);
    people.found();
    // The founding of the first vault, brought to the second.
    let file = one.beside("founding");
    let vault = text(&other.vault);
    let mut args = vec!["people", "found", "--vault", vault, "--submit", text(&file)];
    let signature = people.sign("olga", &file);
    args.extend(["--signature", text(&signature)]);
    let said = common::refuse(&args);
    assert!(said.contains("another vault's log"), "{said}");
}

#[test]
fn holds_by_case_stay_until_people_release_them() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    let id = hidden(&client, "/backups/old");
    people.advance(MARGIN);
    let case = ["--case", "Doe against Roe"];
    let said = people.does(
        "olga",
        &[&["hold", "place", "--bucket", "backups"][..], &case].concat(),
    );
    assert!(said.contains("were put under legal hold"), "{said}");
    let draft = ["erase", "draft", "--bucket", "backups", "--version-id", &id];
    let said = people.refused("olga", &draft);
    assert!(said.contains("a legal hold is on"), "{said}");
    let said = succeed(&["hold", "list", "--vault", text(&place.vault)]);
    assert!(
        said.contains("Doe against Roe") && said.contains("in force"),
        "{said}"
    );
    people.does("odin", &[&["hold", "release"][..], &case].concat());
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.tries("axel", &["approve", "sign", &number]);
    people.advance("7d");
    people.advance("1s");
    let said = people.does("odin", &["approve", "execute", &number]);
    assert!(said.contains("hold of"), "{said}");
    people.does("olga", &draft);
}

/// The statement is durable and the vault dies before anybody has the list worked off.
#[test]
fn a_hold_that_a_kill_cut_short_is_put_on_its_list_by_the_next_start() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    client.put("/backups/kept", b"of use");
    let file = place.beside("hold");
    let words = ["hold", "place", "--bucket", "backups", "--case", "Doe"];
    people.does("olga", &[&words[..], &["--out", text(&file)]].concat());
    let statement = std::fs::read_to_string(&file).expect("read");
    let signature = std::fs::read_to_string(people.sign("olga", &file)).expect("read");
    let state = serde_json::json!({"desk": {"state":
        {"text": statement, "signatures": [signature], "note": null}}});
    let reply = asked(&place, &state);
    assert_eq!(reply["desk"]["stated"]["carry_out"], true, "{reply}");
    let held = |client: &Client| {
        let (_, said) = client
            .call("GET", "/backups/kept?legal-hold=", b"")
            .expect("answered");
        String::from_utf8(said)
            .expect("text")
            .contains("<Status>ON</Status>")
    };
    assert!(!held(&client));
    server.kill();
    let server = Server::start(&place);
    let client = client.at(&server);
    while !held(&client) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(server.said().contains("carried on"), "{}", server.said());
    server.kill();
    // It is done, and no later start takes it up again.
    let server = Server::start(&place);
    assert!(held(&client.at(&server)));
    assert!(!server.said().contains("carried on"), "{}", server.said());
}

#[test]
fn a_month_that_is_over_is_cut_as_a_whole_and_what_stays_can_be_read() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    client.put("/backups", b"");
    let id = hidden(&client, "/backups/old");
    client.put("/backups/kept", b"of use");
    people.advance("40d");
    let vault = text(&place.vault);
    let json = succeed(&["expiry", "report", "--vault", vault, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["expired"] == 1).expect("one");
    let month = row["month"].as_str().expect("a month").to_owned();
    let said = people.does("olga", &["expiry", "draft", "--month", &month]);
    assert!(
        said.contains(&format!("all keys of {month} are cut")),
        "{said}"
    );
    assert!(said.contains("current version of its name"), "{said}");
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.does("axel", &["approve", "sign", &number]);
    people.advance("7d");
    people.advance("1s");
    people.does("olga", &["approve", "execute", &number]);
    assert!(gone(&client, "/backups/old", &id));
    assert_eq!(client.get("/backups/kept"), b"of use");
    drop(server);
}
