//! Clients as tenants of a served vault: made, bounded and revoked at the console, judged at every request.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::s3::{Client, checksum};
use common::{Place, Server, refuse, stele, succeed, text};
use nix::sys::signal::Signal;

/// Runs `stele client VERB --vault DIR ...`, which must succeed.
fn client(place: &Place, verb: &str, more: &[&str]) -> String {
    let mut args = vec!["client", verb, "--vault", text(&place.vault)];
    args.extend(more);
    succeed(&args)
}

fn client_refused(place: &Place, verb: &str, more: &[&str]) -> String {
    let mut args = vec!["client", verb, "--vault", text(&place.vault)];
    args.extend(more);
    refuse(&args)
}

fn add(place: &Place, server: &Server, more: &[&str]) -> Client {
    Client::with(place, server, &client(place, "add", more))
}

fn listed(place: &Place) -> Vec<serde_json::Value> {
    let json = client(place, "list", &["--json"]);
    serde_json::from_str(&json).expect("a list")
}

fn shown(place: &Place, id: &str) -> serde_json::Value {
    let mut all = listed(place).into_iter();
    all.find(|client| client["key_id"] == id).expect("listed")
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn done(status: u16) -> (u16, String) {
    (status, String::new())
}

#[test]
fn two_tenants_see_nothing_of_each_other() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let (north, south) = (
        add(&place, &server, &["--name", "north"]),
        add(&place, &server, &["--name", "south"]),
    );
    let first = Client::of(&place, &server);
    first.put("/own", b"");
    north.put("/north", b"");
    north.put("/north/k", b"of north");
    let denied = refused(403, "AccessDenied");
    for stranger in [&south, &first] {
        for (method, path) in [
            ("GET", "/north/k"),
            ("HEAD", "/north/k"),
            ("HEAD", "/north"),
            ("GET", "/north"),
            ("PUT", "/north/k"),
            ("DELETE", "/north/k"),
            ("DELETE", "/north"),
        ] {
            let (status, code) = stranger.answer(method, path, b"");
            assert_eq!(status, 403, "{method} {path}");
            assert!(
                method == "HEAD" || code == "AccessDenied",
                "{method} {path}: {code}"
            );
        }
        let taken = refused(409, "BucketAlreadyExists");
        assert_eq!(stranger.answer("PUT", "/north", b""), taken);
    }
    let own = refused(409, "BucketAlreadyOwnedByYou");
    assert_eq!(north.answer("PUT", "/north", b""), own);
    let buckets = |client: &Client| {
        let (_, body) = client.call("GET", "/", b"").expect("answered");
        let text = String::from_utf8(body).expect("text");
        let names = text.split("<Name>").skip(1);
        names
            .map(|rest| rest.split('<').next().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(buckets(&first), ["own"]);
    assert_eq!(buckets(&north), ["north"]);
    assert!(buckets(&south).is_empty());
    // A second key of the same tenant sees what the first does; a list lets a stranger in, and only there.
    let sister = add(
        &place,
        &server,
        &["--name", "north 2", "--same-owner-as", north.id()],
    );
    assert_eq!(sister.get("/north/k"), b"of north");
    client(&place, "limit", &[south.id(), "--bucket", "north/in/"]);
    assert_eq!(south.answer("GET", "/north/k", b""), denied);
    south.put("/north/in/k", b"of south");
    assert_eq!(north.get("/north/in/k"), b"of south");
    assert_eq!(south.answer("PUT", "/south", b""), denied);
    client(&place, "limit", &[south.id(), "--bucket", "any"]);
    south.put("/south", b"");
    // What counts, counts for the owner of the bucket. All of it survives a kill.
    let check = || {
        let usage = |id: &str| {
            let client = shown(&place, id);
            (
                client["used_bytes"].as_u64(),
                client["used_versions"].as_u64(),
            )
        };
        assert_eq!(usage(north.id()), (Some(16), Some(2)));
        assert_eq!(usage(sister.id()), (Some(16), Some(2)));
        assert_eq!(usage(south.id()), (Some(0), Some(0)));
    };
    check();
    server.kill();
    let server = Server::start(&place);
    check();
    let again = Client::of(&place, &server);
    assert_eq!(again.answer("GET", "/north/k", b""), denied);
    let log = server.said();
    for name in ["north", "south"] {
        assert!(!log.contains(name), "{log}");
    }
}

#[test]
fn every_right_that_is_missing_refuses_exactly_its_operations() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let whole = add(
        &place,
        &server,
        &["--name", "n", "--rights", "put,get,list,delete,release"],
    );
    whole.put("/bkt", b"");
    whole.put("/bkt/k", b"content");
    let rights = ["put", "get", "list", "delete", "release"];
    let operations = [
        ("put", "PUT", "/bkt/k2"),
        ("put", "POST", "/bkt/m?uploads="),
        ("put", "PUT", "/other"),
        ("put", "DELETE", "/bkt/k?tagging="),
        ("get", "GET", "/bkt/k"),
        ("get", "HEAD", "/bkt/k"),
        ("list", "GET", "/bkt"),
        ("list", "GET", "/bkt?versions="),
        ("list", "GET", "/bkt?uploads="),
        ("list", "GET", "/"),
        ("", "HEAD", "/bkt"),
        // What is not there is deleted for everybody who may delete anything.
        (
            "",
            "DELETE",
            "/bkt/k?versionId=00000000000000000000000000000000",
        ),
        ("delete", "DELETE", "/bkt/gone"),
        ("delete", "DELETE", "/bkt"),
    ];
    for missing in rights {
        let left: Vec<&str> = rights
            .into_iter()
            .filter(|right| *right != missing)
            .collect();
        client(&place, "limit", &[whole.id(), "--rights", &left.join(",")]);
        for (right, method, path) in operations {
            let (status, code) = whole.answer(method, path, b"");
            assert_eq!(
                status == 403,
                right == missing,
                "{method} {path} without {missing}: {code}"
            );
        }
    }
    for special in ["governance-bypass", "hold-off", "lock-admin"] {
        let said = client_refused(&place, "limit", &[whole.id(), "--rights", special]);
        assert!(said.contains("two people must sign"), "{said}");
        let said = client_refused(&place, "add", &["--name", "x", "--rights", special]);
        assert!(said.contains("two people must sign"), "{said}");
    }
}

/// A client that may store nothing more still deletes what is there, one by one and many at once, and no key twice.
fn prunes_at_its_quota(place: &Place, bounded: &Client) {
    bounded.put("/bkt/p1", b"");
    bounded.put("/bkt/p2", b"");
    client(place, "limit", &[bounded.id(), "--quota-versions", "5"]);
    let full = refused(403, "QuotaExceeded");
    assert_eq!(bounded.answer("PUT", "/bkt/p3", b""), full);
    assert_eq!(bounded.answer("DELETE", "/bkt/p1", b""), done(204));
    assert_eq!(bounded.answer("DELETE", "/bkt/p1", b""), full);
    let both = "<Delete><Object><Key>p1</Key></Object><Object><Key>p2</Key></Object></Delete>";
    let sum = checksum(both.as_bytes());
    let headers = [("x-amz-checksum-sha256", sum.as_str())];
    let said = bounded.request("POST", "/bkt?delete=", &headers, both.as_bytes());
    let said = said.text();
    let (deleted, errors): (Vec<_>, Vec<_>) = said
        .split("<Key>")
        .skip(1)
        .partition(|one| one.contains("</Deleted>"));
    assert!(
        deleted.len() == 1 && deleted[0].starts_with("p2<"),
        "{said}"
    );
    assert!(errors.len() == 1 && errors[0].starts_with("p1<"), "{said}");
    assert!(said.contains("<Code>QuotaExceeded</Code>"), "{said}");
    client(place, "limit", &[bounded.id(), "--quota-versions", "none"]);
}

#[test]
fn quotas_and_rates_are_refused_with_their_codes() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let bounded = add(&place, &server, &["--name", "n", "--quota-bytes", "100KiB"]);
    bounded.put("/bkt", b"");
    bounded.put("/bkt/k", &[1; 60_000]);
    let full = refused(403, "QuotaExceeded");
    assert_eq!(bounded.answer("PUT", "/bkt/k", &[1; 50_000]), full);
    bounded.put("/bkt/k", &[1; 42_400]);
    assert_eq!(bounded.answer("PUT", "/bkt/k", &[1; 1]), full);
    // A delete marker has no bytes; reading goes on.
    assert_eq!(bounded.answer("DELETE", "/bkt/k", b""), done(204));
    client(
        &place,
        "limit",
        &[
            bounded.id(),
            "--quota-bytes",
            "none",
            "--quota-versions",
            "3",
        ],
    );
    assert_eq!(bounded.answer("PUT", "/bkt/k", b"more"), full);
    assert_eq!(bounded.answer("DELETE", "/bkt/k", b""), full);
    client(&place, "limit", &[bounded.id(), "--quota-versions", "none"]);
    prunes_at_its_quota(&place, &bounded);
    bounded.put("/bkt/k", b"more");
    assert_eq!(bounded.get("/bkt/k"), b"more");
    let usage = shown(&place, bounded.id());
    assert_eq!(usage["used_bytes"], 60_000 + 42_400 + 4);
    assert_eq!(usage["used_versions"], 8);
    client(&place, "limit", &[bounded.id(), "--writes-per-minute", "2"]);
    bounded.put("/bkt/1", b"");
    bounded.put("/bkt/2", b"");
    assert_eq!(
        bounded.answer("PUT", "/bkt/3", b""),
        refused(503, "SlowDown")
    );
    assert_eq!(bounded.get("/bkt/k"), b"more");
}

#[test]
fn a_key_ends_at_its_date_or_when_it_is_revoked_even_in_the_middle_of_an_upload() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let guest = add(
        &place,
        &server,
        &["--name", "guest", "--expires", "2999-12-31"],
    );
    guest.put("/bkt", b"");
    client(&place, "limit", &[guest.id(), "--expires", "2020-02-29"]);
    assert_eq!(
        guest.answer("PUT", "/bkt/k", b"late"),
        refused(403, "AccessDenied")
    );
    assert_eq!(shown(&place, guest.id())["state"], "expired");
    client(&place, "limit", &[guest.id(), "--expires", "none"]);
    guest.put("/bkt/k", b"good again");
    let revoke = || drop(client(&place, "revoke", &[guest.id()]));
    let piece = vec![7; 2 << 20];
    let answer = guest.answer_slowly("PUT", "/bkt/long", &[&piece, &piece], &mut |at| {
        if at == 1 {
            revoke();
        }
    });
    assert_eq!(answer, refused(403, "AccessDenied"));
    let unknown = refused(403, "InvalidAccessKeyId");
    assert_eq!(guest.answer("GET", "/bkt/k", b""), unknown);
    assert_eq!(shown(&place, guest.id())["state"], "revoked");
    let said = client_refused(&place, "limit", &[guest.id(), "--name", "x"]);
    assert!(said.contains("stays so"), "{said}");
    // Nothing of the upload is there, and the key stays revoked after a kill.
    server.kill();
    let server = Server::start(&place);
    assert_eq!(shown(&place, guest.id())["used_versions"], 1);
    let sister = add(&place, &server, &["--name", "again"]);
    sister.put("/ckt", b"");
    assert_eq!(guest.at(&server).answer("GET", "/bkt/k", b""), unknown);
}

#[test]
fn the_last_key_that_puts_may_go_and_client_env_names_none() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let first = Client::of(&place, &server);
    first.put("/bkt", b"");
    let said = client(&place, "revoke", &[first.id()]);
    assert!(said.contains("no key that is left may put"), "{said}");
    assert_eq!(
        first.answer("GET", "/bkt", b""),
        refused(403, "InvalidAccessKeyId")
    );
    assert!(server.end(Signal::SIGTERM).success());
    let server = Server::start(&place);
    assert!(!server.env.contains_key("AWS_ACCESS_KEY_ID"));
    let said = client_refused(
        &place,
        "add",
        &["--name", "n", "--same-owner-as", first.id()],
    );
    assert!(said.contains("was revoked"), "{said}");
    add(&place, &server, &["--name", "n"]).put("/ckt", b"");
}

#[test]
fn what_cannot_be_written_out_is_no_success_and_a_lost_secret_names_the_key_to_revoke() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let full = |args: &[&str]| {
        let out = std::fs::File::create("/dev/full").expect("opened");
        let output = stele(args).stdout(out).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        said
    };
    let vault = text(&place.vault);
    let said = full(&["client", "add", "--vault", vault, "--name", "till"]);
    let clients = listed(&place);
    let lost = clients.iter().find(|client| client["name"] == "till");
    let key = lost.expect("made")["key_id"].as_str().expect("a key");
    let command = format!("stele client revoke {key} --vault {vault}");
    assert!(said.contains(&command), "{said}");
    client(&place, "revoke", &[key]);
    let said = full(&["status", "--vault", vault]);
    assert!(said.contains("could not be written"), "{said}");
    drop(server);
}

#[test]
fn two_adds_at_once_are_two_keys_and_a_kill_in_between_leaves_a_whole_register() {
    let place = Place::with_vault();
    let mut known: Vec<String> = Vec::new();
    for round in 0..3 {
        let server = Server::start(&place);
        let stop = Arc::new(AtomicBool::new(false));
        let adders: Vec<_> = (0..3)
            .map(|adder| {
                let (vault, stop) = (place.vault.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let mut made = Vec::new();
                    while !stop.load(Ordering::Relaxed) && made.len() < 20 {
                        let name = format!("client {adder}");
                        let args = ["client", "add", "--vault", text(&vault), "--name", &name];
                        let output = common::run(&args);
                        if !output.status.success() {
                            break;
                        }
                        let said = String::from_utf8(output.stdout).expect("text");
                        let id = said
                            .lines()
                            .find_map(|l| l.strip_prefix("AWS_ACCESS_KEY_ID="));
                        made.push(id.expect("an id").to_owned());
                    }
                    made
                })
            })
            .collect();
        place.wait_for("some are there", |_| listed(&place).len() > known.len() + 4);
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for adder in adders {
            known.extend(adder.join().expect("ended"));
        }
        let server = Server::start(&place);
        let now = listed(&place);
        let ids: Vec<&str> = now.iter().filter_map(|c| c["key_id"].as_str()).collect();
        for id in &known {
            assert!(
                ids.contains(&id.as_str()),
                "round {round}: {id} was answered and is gone"
            );
        }
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len());
        assert!(server.end(Signal::SIGTERM).success());
    }
}

#[test]
fn rules_shorten_what_prefixes_get_by_default() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let first = Client::of(&place, &server);
    first.put("/bkt", b"");
    let vault = text(&place.vault);
    let rule = |verb: &str, more: &[&str]| {
        let mut args = vec!["bucket", "rule", verb, "--vault", vault, "bkt"];
        args.extend(more);
        succeed(&args)
    };
    assert_eq!(rule("list", &[]), "default retention COMPLIANCE, 1 d\n");
    let said = rule("add", &["keep/", "--days", "30"]);
    assert!(said.contains("30 d for new keys under keep/"), "{said}");
    first.put("/bkt/keep/k", b"x");
    first.put("/bkt/k", b"x");
    let until = |path: &str| {
        let (status, body) = first
            .call("GET", &format!("{path}?retention="), b"")
            .expect("answered");
        let body = String::from_utf8(body).expect("text");
        assert_eq!(status, 200, "{body}");
        let (_, rest) = body.split_once("<RetainUntilDate>").expect("a date");
        rest[..10].to_owned()
    };
    assert!(until("/bkt/keep/k") > until("/bkt/k"));
    let json: serde_json::Value = serde_json::from_str(&rule("list", &["--json"])).expect("JSON");
    assert_eq!(json["rules"][0]["days"], 30);
    rule("remove", &["keep/"]);
    let refusal = refuse(&["bucket", "rule", "remove", "--vault", vault, "bkt", "keep/"]);
    assert!(refusal.contains("no rule"), "{refusal}");
    let refusal = refuse(&["bucket", "rule", "list", "--vault", vault, "none"]);
    assert!(refusal.contains("no such bucket"), "{refusal}");
    let status = place.status();
    assert_eq!(status["forecast"]["enough_history"], false);
    assert!(status["forecast"]["first_expiry_ms"].as_u64().is_some());
    assert!(server.end(Signal::SIGTERM).success());
    let refusal = refuse(&["client", "list", "--vault", vault]);
    assert!(refusal.contains("nothing serves this vault"), "{refusal}");
}

/// Of two disks one is lost: nothing can be written, and a key must be stopped all the same.
#[test]
fn a_key_is_stopped_even_where_nothing_can_be_written() {
    let place = Place::new();
    let disks = [place.beside("one.disk"), place.beside("two.disk")];
    let vault = text(&place.vault);
    succeed(&[
        "create",
        vault,
        "--disk-bytes",
        common::DISK,
        "--disk",
        text(&disks[0]),
        "--disk",
        text(&disks[1]),
    ]);
    let server = Server::start(&place);
    let guest = add(&place, &server, &["--name", "guest"]);
    guest.put("/bkt", b"");
    guest.put("/bkt/k", b"content");
    assert!(server.end(Signal::SIGTERM).success());
    let away = place.beside("away");
    std::fs::rename(&disks[1], &away).expect("moved");
    let server = Server::start(&place);
    let guest = guest.at(&server);
    assert_eq!(place.status()["state"], "readonly");
    assert_eq!(guest.get("/bkt/k"), b"content");
    let said = client_refused(&place, "add", &["--name", "late"]);
    assert!(said.contains("read-only"), "{said}");
    let said = client_refused(&place, "revoke", &[guest.id()]);
    assert!(said.contains("until the next start only"), "{said}");
    let unknown = refused(403, "InvalidAccessKeyId");
    assert_eq!(guest.answer("GET", "/bkt/k", b""), unknown);
    // Once it can be written down, it is for ever.
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::rename(&away, &disks[1]).expect("moved");
    let server = Server::start(&place);
    let guest = guest.at(&server);
    assert_eq!(guest.get("/bkt/k"), b"content");
    client(&place, "revoke", &[guest.id()]);
    assert_eq!(guest.answer("GET", "/bkt/k", b""), unknown);
}
