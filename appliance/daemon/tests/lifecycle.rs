//! Versions that go by the lifecycle rules of their bucket, in a served vault whose clock is set forward.

mod common;

use std::time::Duration;

use common::locks::order;
use common::s3::Client;
use common::{DISK, Place, Server, succeed, text};

const DAY_MS: u64 = 86_400_000;

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
    let until = common::locks::stamp(common::locks::wall_ms() + 90 * DAY_MS);
    let retained = [
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-retain-until-date", until.as_str()),
    ];
    let put = client.request("PUT", "/bak/wal", &retained, b"1");
    assert_eq!(put.status, 200, "{}", put.text());
    for (key, content) in [("wal", "2"), ("wal", "3"), ("junk", "4"), ("full", "5")] {
        client.put(&format!("/bak/{key}"), content.as_bytes());
    }
    let rule = |id: &str, prefix: &str, action: &str| {
        format!(
            "<Rule><ID>{id}</ID><Filter><Prefix>{prefix}</Prefix></Filter><Status>Enabled</Status>{action}</Rule>"
        )
    };
    let rules = [
        rule("junk", "junk", "<Expiration><Days>2</Days></Expiration>"),
        rule(
            "wal",
            "wal",
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
        ),
    ];
    let document = format!(
        "<LifecycleConfiguration>{}</LifecycleConfiguration>",
        rules.concat()
    );
    let reply = order(&client, "PUT", "/bak?lifecycle=", &document, false);
    assert_eq!(reply.status, 200, "{}", reply.text());
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
