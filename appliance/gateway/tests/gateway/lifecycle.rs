//! Lifecycle configurations: what is kept comes back, and what cannot be kept is refused as a whole.

use crate::client::Call;
use crate::world::World;

fn call(method: &str) -> Call {
    Call::bucket(method, "locked").query("lifecycle", "")
}

fn document(rules: &str) -> String {
    format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
}

fn rule(inside: &str) -> String {
    format!("<Rule>{inside}</Rule>")
}

const ABORT: &str = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation>\
                     </AbortIncompleteMultipartUpload>";

#[tokio::test]
async fn rules_for_unfinished_uploads_are_kept_as_they_were_given() {
    let world = World::start().await;
    world.bucket("locked").await;
    let new = format!(
        "<ID>wal</ID><Filter><Prefix>wal/</Prefix></Filter><Status>Enabled</Status>{ABORT}"
    );
    // As clients wrote it before there were filters, and without an ID.
    let old = format!("<Prefix></Prefix><Status>Disabled</Status>{ABORT}");
    let xml = document(&[rule(&new), rule(&old)].concat());
    world.call(call("PUT").document(&xml)).await.expect(200);
    let reply = world.call(call("GET")).await.expect(200);
    for (element, values) in [
        ("ID", ["wal", "rule-1"]),
        ("Prefix", ["wal/", ""]),
        ("Status", ["Enabled", "Disabled"]),
        ("DaysAfterInitiation", ["3", "3"]),
    ] {
        assert_eq!(reply.all(element), values, "{element}: {}", reply.text());
    }
    world.call(call("DELETE")).await.expect(204);
    let reply = world.call(call("GET")).await;
    reply.refused(404, "NoSuchLifecycleConfiguration");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_kept_whole_changes_nothing() {
    let world = World::start().await;
    world.bucket("locked").await;
    let good =
        format!("<ID>a</ID><Filter><Prefix>a</Prefix></Filter><Status>Enabled</Status>{ABORT}");
    let xml = document(&rule(&good));
    world.call(call("PUT").document(&xml)).await.expect(200);
    let days = |days: &str| {
        good.replace(
            "<DaysAfterInitiation>3",
            &format!("<DaysAfterInitiation>{days}"),
        )
    };
    let with = |action: &str| {
        format!("<ID>b</ID><Filter></Filter><Status>Enabled</Status>{ABORT}{action}")
    };
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    for (rules, status, code) in [
        (
            rule(&with("<Expiration><Days>1</Days></Expiration>")),
            501,
            "NotImplemented",
        ),
        (
            rule(&with(
                "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
            )),
            501,
            "NotImplemented",
        ),
        (
            rule(&with(
                "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>",
            )),
            501,
            "NotImplemented",
        ),
        (
            rule(&with("<SomethingNew>1</SomethingNew>")),
            400,
            "MalformedXML",
        ),
        (rule(&good.replace(ABORT, "")), 400, "MalformedXML"),
        (rule(&good.replace("Enabled", "On")), 400, "MalformedXML"),
        (rule(&days("0")), 400, "InvalidArgument"),
        (rule(&days("36501")), 400, "InvalidArgument"),
        (rule(&good).repeat(2), 400, "InvalidArgument"),
        (
            rule(&good.replace("<Prefix>a</Prefix>", tag)),
            400,
            "InvalidArgument",
        ),
        (
            rule(&good.replace("<ID>a</ID>", "<Prefix>b</Prefix>")),
            400,
            "MalformedXML",
        ),
        (
            rule(&good.replace("<ID>a</ID>", "")).repeat(33),
            400,
            "InvalidArgument",
        ),
        (String::new(), 400, "MalformedXML"),
    ] {
        let reply = world.call(call("PUT").document(&document(&rules))).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{rules}: {}",
            reply.text()
        );
        let kept = world.call(call("GET")).await.expect(200);
        assert_eq!(kept.all("ID"), ["a"], "{rules}");
    }
}
