//! Tiers of retention of a served vault: chosen by name, shown by name, and lowered by two people alone.

mod common;

use common::people::People;
use common::s3::Client;
use common::{DISK, Place, Server, refuse, succeed, text};

/// A vault for tests of long waits.
fn place() -> Place {
    let place = Place::new();
    let vault = text(&place.vault);
    succeed(&["create", vault, "--disk-bytes", DISK, "--simulated-clock"]);
    place
}

/// Days of COMPLIANCE that S3 says are the default of a bucket.
fn days(client: &Client, bucket: &str) -> String {
    let (_, said) = client
        .call("GET", &format!("/{bucket}?object-lock="), b"")
        .expect("answered");
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains("<Mode>COMPLIANCE</Mode>"), "{said}");
    let (_, rest) = said.split_once("<Days>").expect("days");
    rest.split_once("</Days>").expect("days").0.to_owned()
}

#[test]
fn a_bucket_is_made_raised_and_shown_by_the_name_of_its_tier() {
    let place = place();
    let server = Server::start(&place);
    let vault = text(&place.vault);
    let client = Client::of(&place, &server);
    let make = ["bucket", "create", "--vault", vault, "scripts", "--tier"];
    let said = refuse(&[&make[..], &["forever"]].concat());
    assert!(said.contains("not a tier"), "{said}");
    let said = succeed(&[&make[..], &["operational=30d"]].concat());
    assert_eq!(said, "scripts: operational (COMPLIANCE, 30 d)\n");
    assert_eq!(days(&client, "scripts"), "30");
    let tier = ["bucket", "tier", "--vault", vault, "scripts"];
    let said = succeed(&[&tier[..], &["dea"]].concat());
    assert_eq!(said, "scripts: dea (COMPLIANCE, 731 d)\n");
    assert_eq!(days(&client, "scripts"), "731");
    client.put("/audits", b"");
    succeed(&["bucket", "tier", "--vault", vault, "audits", "hipaa"]);
    client.put("/plain", b"");
    let said = succeed(&["bucket", "list", "--vault", vault]);
    assert_eq!(
        said,
        "audits: hipaa (COMPLIANCE, 2192 d)\nplain: no tier (COMPLIANCE, 1 d)\n\
         scripts: dea (COMPLIANCE, 731 d)\n"
    );
    let said = succeed(&["status", "--vault", vault]);
    assert!(
        said.contains("buckets  3, 1 in tier dea, 1 in tier hipaa"),
        "{said}"
    );
    let said = refuse(&[&tier[..], &["operational"]].concat());
    assert!(said.contains("stele bucket lower-default"), "{said}");
    assert_eq!(days(&client, "scripts"), "731");
}

#[test]
fn a_bucket_is_made_with_rules_and_not_at_all_where_one_is_wrong() {
    let place = place();
    let _server = Server::start(&place);
    let vault = text(&place.vault);
    let make = ["bucket", "create", "--vault", vault, "restic", "--tier"];
    for rule in ["locks/=0", "=1"] {
        let said = refuse(&[&make[..], &["operational=30d", "--rule", rule]].concat());
        assert!(said.contains("a rule has a prefix"), "{rule}: {said}");
    }
    assert_eq!(succeed(&["bucket", "list", "--vault", vault]), "");
    let rules = ["operational=30d", "--rule", "locks/=1", "--rule", "a=b/=40"];
    let said = succeed(&[&make[..], &rules].concat());
    assert_eq!(
        said,
        "restic: operational (COMPLIANCE, 30 d, 2 prefixes with another)\n"
    );
    let said = succeed(&["bucket", "rule", "list", "--vault", vault, "restic"]);
    assert_eq!(
        said,
        "default retention COMPLIANCE, 30 d\n40 d for new keys under a=b/\n1 d for new keys under locks/\n"
    );
    let said = refuse(&[&make[..], &["dea"]].concat());
    assert!(said.contains("bucket exists"), "{said}");
    let twice = ["operational", "--rule", "locks/=40", "--rule", "locks/=1"];
    let make = ["bucket", "create", "--vault", vault, "other", "--tier"];
    let said = refuse(&[&make[..], &twice].concat());
    assert!(said.contains("two rules for one prefix"), "{said}");
    let make = ["bucket", "create", "--vault", vault, "Foo_Bar", "--tier"];
    let said = refuse(&[&make[..], &["dea"]].concat());
    assert!(said.contains("not a name of a bucket"), "{said}");
}

#[test]
fn a_tier_that_a_law_asks_for_has_no_rules_that_keep_less() {
    let place = place();
    let _server = Server::start(&place);
    let vault = text(&place.vault);
    let make = ["bucket", "create", "--vault", vault, "scripts", "--tier"];
    let less = "keeps less than the tier";
    let said = refuse(&[&make[..], &["hipaa", "--rule", "a/=2191"]].concat());
    assert!(said.contains(less), "{said}");
    succeed(&[&make[..], &["operational", "--rule", "locks/=1"]].concat());
    let said = refuse(&["bucket", "tier", "--vault", vault, "scripts", "hipaa"]);
    assert!(said.contains(less), "{said}");
    succeed(&[
        "bucket", "rule", "remove", "--vault", vault, "scripts", "locks/",
    ]);
    let tier = ["bucket", "tier", "--vault", vault, "scripts", "hipaa"];
    let named = "scripts: hipaa (COMPLIANCE, 2192 d)\n";
    assert_eq!(succeed(&tier), named);
    // A vault for evaluation takes such a rule afterwards, and the name of the tier goes with it.
    let days = ["scripts", "a/", "--days", "1"];
    succeed(&[&["bucket", "rule", "add", "--vault", vault][..], &days].concat());
    let said = succeed(&["bucket", "list", "--vault", vault]);
    assert_eq!(
        said,
        "scripts: no tier (COMPLIANCE, 2192 d, 1 prefixes with another)\n"
    );
}

#[test]
fn a_tier_is_lowered_by_two_people_and_set_by_staff() {
    let place = place();
    let server = Server::start(&place);
    let vault = text(&place.vault);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    let make = ["bucket", "create", "scripts", "--tier", "compliance=3y"];
    let said = people.refused("vera", &make);
    assert!(said.contains("auditor vera may not do this"), "{said}");
    people.does("olga", &make);
    assert_eq!(days(&client, "scripts"), "1096");
    people.does("odin", &["bucket", "lower-default", "scripts", "dea"]);
    let number = people.newest();
    people.does("anna", &["approve", "sign", &number]);
    people.advance("7d");
    people.advance("1s");
    people.does("odin", &["approve", "execute", &number]);
    assert_eq!(days(&client, "scripts"), "731");
    let said = succeed(&["bucket", "list", "--vault", vault]);
    assert_eq!(said, "scripts: dea (COMPLIANCE, 731 d)\n");
}

#[test]
fn what_has_expired_is_reported_and_drafted_by_tier_with_what_stays_and_why() {
    let place = place();
    let server = Server::start(&place);
    let vault = text(&place.vault);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    for (bucket, tier) in [("tills", "operational=30d"), ("scripts", "dea")] {
        people.does("olga", &["bucket", "create", bucket, "--tier", tier]);
        for key in ["old", "current"] {
            client.put(&format!("/{bucket}/{key}"), b"twelve bytes");
        }
        let hidden = client.answer("DELETE", &format!("/{bucket}/old"), b"");
        assert_eq!(hidden.0, 204);
    }
    people.advance("40d");
    let said = succeed(&["expiry", "report", "--vault", vault]);
    let (operational, dea) = said.split_once("tier dea:\n").expect("both tiers");
    assert!(operational.contains("tier operational:\n"), "{said}");
    assert!(
        operational.contains(" tills: 1 versions with 12 bytes may go\n"),
        "{said}"
    );
    assert!(
        operational.contains("1 stay: it is the current version"),
        "{said}"
    );
    assert!(
        dea.contains(" scripts: 0 versions with 0 bytes may go\n"),
        "{said}"
    );
    assert!(dea.contains("2 stay: under retention"), "{said}");
    let json = succeed(&["expiry", "report", "--vault", vault, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let mut rows = report["rows"].as_array().expect("rows").iter();
    let row = rows.find(|row| row["expired"] == 1).expect("one");
    assert_eq!(row["tier"], "operational");
    let month = row["month"].as_str().expect("a month");
    let said = people.does("olga", &["expiry", "draft", "--month", month]);
    for part in [
        "listed: 1 versions of tier operational with 12 bytes",
        "left out: 1 versions of tier operational, it is the current version",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_bound_of_retention_is_set_by_staff_and_no_default_passes_it() {
    let place = place();
    let server = Server::start(&place);
    let people = People::with_keys(&place);
    people.found();
    let client = Client::of(&place, &server);
    people.does(
        "olga",
        &["bucket", "create", "tills", "--tier", "operational=30d"],
    );
    let bound = ["bucket", "max-retention", "tills", "--days", "40"];
    let said = people.refused("anna", &bound);
    assert!(said.contains("approver anna may not do this"), "{said}");
    let said = people.does("olga", &bound);
    assert_eq!(
        said,
        "tills: operational (COMPLIANCE, 30 d; clients set at most 40 d)\n"
    );
    let beyond = ["bucket", "tier", "tills", "dea"];
    let said = people.refused("olga", &beyond);
    assert!(said.contains("at most 40 days from now"), "{said}");
    assert_eq!(days(&client, "tills"), "30");
    people.does("olga", &["bucket", "max-retention", "tills"]);
    people.does("olga", &beyond);
    assert_eq!(days(&client, "tills"), "731");
}
