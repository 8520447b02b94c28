//! Versions that go by the lifecycle rules of their bucket, in a served vault whose clock is set forward.

mod common;

use std::time::{Duration, Instant};

use common::locks::{
    LOCKS, Wish, done, is_gone, listed, order, refused, stamp, store, tells, wall_ms, wish,
};
use common::s3::Client;
use common::{DISK, Place, Server, succeed, text};

const DAY_MS: u64 = 86_400_000;
/// A look is ten seconds after a start.
const PATIENCE: Duration = Duration::from_secs(120);

/// What S3 lists of the bucket: key and kind of each version, the newest of a key first.
fn shown(client: &Client) -> Vec<String> {
    let said = String::from_utf8(client.get("/bak?versions=")).expect("text");
    let mut rows = Vec::new();
    for (element, kind) in [("<Version>", "version"), ("<DeleteMarker>", "marker")] {
        for part in said.split(element).skip(1) {
            let key = common::locks::between(part, "Key")[0];
            rows.push(format!("{key} {kind}"));
        }
    }
    rows.sort();
    rows
}

fn wait_for(client: &Client, expected: &[&str]) {
    while shown(client) != expected {
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn rule(id: &str, prefix: &str, action: &str) -> String {
    format!(
        "<Rule><ID>{id}</ID><Filter><Prefix>{prefix}</Prefix></Filter><Status>Enabled</Status>{action}</Rule>"
    )
}

fn set(client: &Client, rules: &[String]) {
    let document = format!(
        "<LifecycleConfiguration>{}</LifecycleConfiguration>",
        rules.concat()
    );
    let reply = order(client, "PUT", "/bak?lifecycle=", &document, false);
    assert_eq!(reply.outcome(), done(200));
}

#[test]
fn versions_go_by_the_rules_of_their_bucket_and_locked_ones_stay() {
    let place = Place::new();
    let vault = text(&place.vault);
    let kind = ["--client-buckets", "client-locked", "--simulated-clock"];
    succeed(&[&["create", vault, "--disk-bytes", DISK][..], &kind].concat());
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    let lock = [("x-amz-bucket-object-lock-enabled", "true")];
    assert_eq!(client.request("PUT", "/bak", &lock, b"").status, 200);
    let until = stamp(wall_ms() + 90 * DAY_MS);
    let retained = [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-retain-until-date", until.as_str()),
    ];
    let put = client.request("PUT", "/bak/wal", &retained, b"1");
    assert_eq!(put.status, 200, "{}", put.text());
    for (key, content) in [("wal", "2"), ("wal", "3"), ("junk", "4"), ("full", "5")] {
        client.put(&format!("/bak/{key}"), content.as_bytes());
    }
    let rules = [
        rule("junk", "junk", "<Expiration><Days>2</Days></Expiration>"),
        rule(
            "wal",
            "wal",
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
        ),
    ];
    set(&client, &rules);
    succeed(&["clock", "advance", "--vault", vault, "4d"]);
    // The next look is soon after a start.
    server.kill();
    let server = Server::start(&place);
    let client = client.at(&server);
    let expected = [
        "full version",
        "junk marker",
        "junk version",
        "wal version",
        "wal version",
    ];
    wait_for(&client, &expected);
    assert_eq!(client.answer("GET", "/bak/junk", b"").0, 404);
    assert_eq!(client.get("/bak/wal"), b"3");
    // What a rule took is among what clients deleted, and comes back like it.
    let list = ["release", "list", "--vault", vault, "--bucket", "bak"];
    let said = succeed(&list);
    assert!(said.contains("1 bytes, stored 2"), "{said}");
    let undo = ["release", "undo", "--vault", vault, "--bucket", "bak"];
    let said = succeed(&[&undo[..], &["--prefix", "wal"]].concat());
    assert_eq!(said, "1 versions are back\n");
    wait_for(&client, &[&expected[..], &["wal version"]].concat());
    // The operator sees the rules, and takes them away.
    let buckets = succeed(&["bucket", "list", "--vault", vault]);
    assert!(
        buckets.contains("2 lifecycle rules have versions go"),
        "{buckets}"
    );
    let verb = ["bucket", "lifecycle", "--vault", vault, "bak"];
    let said = succeed(&verb);
    assert_eq!(
        said,
        "junk: versions under junk are hidden 2 d after they are stored\n\
         wal: versions under wal that are not current are released 1 d after the next one is stored\n"
    );
    let said = succeed(&[&verb[..], &["--remove"]].concat());
    assert_eq!(said, "no lifecycle rules\n");
    let reply = client.request("GET", "/bak?lifecycle=", &[], b"");
    assert_eq!(
        reply.outcome(),
        (404, "NoSuchLifecycleConfiguration".to_owned())
    );
    // No name of what went is said anywhere else.
    let log = server.said();
    assert!(!log.contains("wal") && !log.contains("junk"), "{log}");
}

/// A version that rules are for, and its lock.
struct Aging {
    path: String,
    id: String,
    wish: Wish,
}

/// What rules did: of these versions those are gone for which this says so, and the others have content and lock.
fn check(client: &Client, versions: &[Aging], gone: &dyn Fn(&Wish) -> bool, what: &str) {
    let goes: Vec<&String> = versions
        .iter()
        .filter(|version| gone(&version.wish))
        .map(|version| &version.id)
        .collect();
    let started = Instant::now();
    while listed(client, "bak")
        .iter()
        .any(|row| goes.contains(&&row.2))
    {
        let listed = listed(client, "bak");
        assert!(started.elapsed() < PATIENCE, "{what}: {listed:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    for version in versions {
        let (path, id) = (&version.path, &version.id);
        match gone(&version.wish) {
            true => is_gone(client, path, id, what),
            false => tells(client, path, id, version.wish, b"content", what),
        }
    }
}

#[test]
fn lock_14_rules_take_what_is_not_locked_and_no_lock_away() {
    let place = Place::new();
    let vault = text(&place.vault);
    let kind = ["--client-buckets", "client-locked", "--simulated-clock"];
    let rights = ["--client-rights", "governance-bypass,hold-off"];
    succeed(&[&["create", vault, "--disk-bytes", DISK][..], &kind, &rights].concat());
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    client.put("/bak", b"");
    // Some locks end soon, some late.
    let now_ms = wall_ms() / 1_000 * 1_000;
    let (soon_ms, late_ms) = (now_ms + 3 * DAY_MS, now_ms + 90 * DAY_MS);
    let early = [LOCKS[1], LOCKS[4]].map(|lock| (lock, soon_ms, "-soon"));
    let locks = LOCKS.map(|lock| (lock, late_ms, "")).into_iter();
    let (mut old, mut current) = (Vec::new(), Vec::new());
    for (lock, until_ms, name) in locks.chain(early) {
        let wish = wish(lock, until_ms);
        for (prefix, versions) in [("old", &mut old), ("cur", &mut current)] {
            let path = format!("/bak/{prefix}/{}{name}", lock.0);
            let id = store(&client, &path, wish, b"content");
            versions.push(Aging { path, id, wish });
        }
        client.put(&format!("/bak/old/{}{name}", lock.0), b"next");
    }
    let noncurrent = "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>";
    let rules = [
        rule("1", "cur/", "<Expiration><Days>2</Days></Expiration>"),
        rule("2", "", noncurrent),
    ];
    set(&client, &rules);
    // Current versions are hidden, whatever their lock, and stay; of the others those go that nothing keeps.
    let server = look_after(&place, server, "4d");
    let client = client.at(&server);
    let day_4 = now_ms + 4 * DAY_MS;
    check(&client, &old, &|wish| over(wish, day_4), "noncurrent");
    check(&client, &current, &|_| false, "current");
    for version in &current {
        let hidden = client.request("GET", &version.path, &[], b"");
        assert_eq!(hidden.outcome(), refused(404, "NoSuchKey"));
    }
    for version in &old {
        assert_eq!(client.get(&version.path), b"next", "{}", version.path);
    }
    // What the markers hide is not current any more.
    let server = look_after(&place, server, "2d");
    let client = client.at(&server);
    check(&client, &old, &|wish| over(wish, day_4), "later");
    check(&client, &current, &|wish| over(wish, day_4), "hidden");
    // When retention is over, what is held does not go, until it is not.
    let server = look_after(&place, server, "90d");
    let client = client.at(&server);
    for versions in [&old, &current] {
        check(&client, versions, &|wish| over(wish, u64::MAX), "held");
    }
    for version in old.iter_mut().chain(&mut current) {
        if version.wish.hold.take().is_some() {
            let path = format!("{}?legal-hold=&versionId={}", version.path, version.id);
            let document = "<LegalHold><Status>OFF</Status></LegalHold>";
            let reply = order(&client, "PUT", &path, document, false);
            assert_eq!(reply.outcome(), done(200));
        }
    }
    let server = look_after(&place, server, "1d");
    let client = client.at(&server);
    for versions in [&old, &current] {
        check(&client, versions, &|_| true, "free");
    }
    for version in &old {
        assert_eq!(client.get(&version.path), b"next", "{}", version.path);
    }
}

/// Whether nothing keeps a version at this time.
fn over(wish: &Wish, now_ms: u64) -> bool {
    let ended = wish.retention.is_none_or(|it| it.until_ms < now_ms);
    ended && wish.hold != Some(true)
}

/// The vault after so many days and its next look.
fn look_after(place: &Place, server: Server, days: &str) -> Server {
    succeed(&["clock", "advance", "--vault", text(&place.vault), days]);
    server.kill();
    Server::start(place)
}
