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

/// A document, without what tells nothing.
fn plain(text: &str) -> String {
    let text = text.replace(".000Z", "Z");
    let from = text.find("<Rule>").unwrap_or_default();
    let to = text.rfind("</Rule>").map_or(text.len(), |at| at + 7);
    text[from..to].to_owned()
}

/// Clients compare what they get with what they gave, rule by rule and element by element.
#[tokio::test]
async fn rules_come_back_as_they_were_given_in_their_order() {
    let world = World::start().await;
    world.bucket("locked").await;
    let on = "<Status>Enabled</Status>";
    let days = "<Expiration><Days>30</Days></Expiration>";
    let older = "<NoncurrentVersionExpiration><NewerNoncurrentVersions>3</NewerNoncurrentVersions>\
                 <NoncurrentDays>90</NoncurrentDays></NoncurrentVersionExpiration>";
    let (over, below) = (
        "<ObjectSizeGreaterThan>0</ObjectSizeGreaterThan>",
        "<ObjectSizeLessThan>7</ObjectSizeLessThan>",
    );
    let prefix = "<Prefix>wal/</Prefix>";
    // In the order in which elements are written: action, filter, id, the other actions, status.
    let given = [
        format!("{days}<Filter>{prefix}</Filter><ID>a</ID>{on}"),
        format!("{ABORT}<Filter>{prefix}</Filter><ID>b</ID>{on}"),
        format!("{days}<Filter></Filter><ID>c</ID><Status>Disabled</Status>"),
        format!("{days}<ID>d</ID>{prefix}{on}"),
        format!("{days}<Filter>{over}</Filter><ID>e</ID>{on}"),
        format!("{days}<Filter>{below}</Filter><ID>f</ID>{on}"),
        format!("{days}<Filter><And>{over}{below}</And></Filter><ID>g</ID>{on}"),
        format!("{days}<Filter><And>{over}{below}{prefix}</And></Filter><ID>h</ID>{on}"),
        format!("{days}<Filter><And>{prefix}</And></Filter><ID>i</ID>{on}"),
        format!("{ABORT}{days}<Filter>{prefix}</Filter><ID>j</ID>{older}{on}"),
        format!(
            "<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration><Filter></Filter><ID>k</ID>{on}"
        ),
        format!(
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>\
             <Filter></Filter><ID>l</ID>{on}"
        ),
    ];
    let xml = document(&given.map(|inside| rule(&inside)).concat());
    let kept = world.call(call("PUT").document(&xml)).await.expect(200);
    let reply = world.call(call("GET")).await.expect(200);
    assert_eq!(
        plain(&reply.text()).replace("<Filter/>", "<Filter></Filter>"),
        plain(&xml)
    );
    // Newer clients wait for this to be what they set.
    for reply in [&kept, &reply] {
        let size = reply.header("x-amz-transition-default-minimum-object-size");
        assert_eq!(size, Some("all_storage_classes_128K"));
    }
    world.call(call("DELETE")).await.expect(204);
    let reply = world.call(call("GET")).await;
    reply.refused(404, "NoSuchLifecycleConfiguration");
    // Without an ID, and with an expiration that says nothing beside another action.
    let none =
        "<Expiration><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker></Expiration>";
    let xml = document(&rule(&format!("<Filter></Filter>{on}{none}{ABORT}")));
    world.call(call("PUT").document(&xml)).await.expect(200);
    let reply = world.call(call("GET")).await.expect(200);
    assert_eq!(
        (reply.all("ID"), reply.all("Expiration")),
        (vec!["rule-1".to_owned()], vec![])
    );
}

/// Rules of earlier builds: a document that no client reads would hide all of them.
#[tokio::test]
async fn rules_are_shown_whatever_is_in_them() {
    let world = World::start().await;
    world.bucket("locked").await;
    let filter = "<Filter><Prefix>p</Prefix></Filter>";
    let xml = document(&rule(&format!("{ABORT}{filter}<Status>Enabled</Status>")));
    for form in [
        filter,
        "<Prefix>p</Prefix>",
        "<Filter><And><Prefix>p</Prefix></And></Filter>",
    ] {
        let xml = xml.replace(filter, form);
        world.call(call("PUT").document(&xml)).await.expect(200);
        world.engine.with(|state| {
            let bucket = state.buckets.get_mut("locked").expect("the bucket");
            for rule in &mut bucket.lifecycle {
                rule.id = "a\u{1b}[2J\r\u{0}\u{ffff}<&>".to_owned();
                rule.prefix = "b\u{1}\r\n\t\u{fffe}\u{1f600}".to_owned();
            }
        });
        let text = world.call(call("GET")).await.expect(200).text();
        let id = "<ID>a\u{fffd}[2J&#13;\u{fffd}\u{fffd}&lt;&amp;&gt;</ID>";
        let prefix = "<Prefix>b\u{fffd}&#13;\n\t\u{fffd}\u{1f600}</Prefix>";
        assert!(text.contains(id), "{text:?}");
        assert!(text.contains(prefix), "{text:?}");
    }
}

#[tokio::test]
async fn the_smallest_size_of_transitions_is_the_one_that_is_shown() {
    const SIZE: &str = "x-amz-transition-default-minimum-object-size";
    let world = World::start().await;
    world.bucket("locked").await;
    let xml = document(&rule(&format!(
        "<Filter></Filter><Status>Enabled</Status>{ABORT}"
    )));
    let put = |size: &str| call("PUT").document(&xml).header(SIZE, size);
    let other = world.call(put("varies_by_storage_class")).await;
    other.refused(501, "NotImplemented");
    let size = "all_storage_classes_128K";
    let reply = world.call(put(size)).await.expect(200);
    assert_eq!(reply.header(SIZE), Some(size));
    let reply = world.call(call("GET")).await.expect(200);
    assert_eq!(reply.header(SIZE), Some(size));
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
    let filtered = |filter: &str| {
        let days = "<Expiration><Days>1</Days></Expiration>";
        format!("<Filter>{filter}</Filter><Status>Enabled</Status>{days}")
    };
    let over = "<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>";
    let sized = |greater: i64, less: i64| {
        filtered(&format!(
            "<And><ObjectSizeGreaterThan>{greater}</ObjectSizeGreaterThan>\
             <ObjectSizeLessThan>{less}</ObjectSizeLessThan></And>"
        ))
    };
    let expiring = |wish: &str| {
        format!("<Filter></Filter><Status>Enabled</Status><Expiration>{wish}</Expiration>")
    };
    let older = |wish: &str| {
        let action = "NoncurrentVersionExpiration";
        format!("<Filter></Filter><Status>Enabled</Status><{action}>{wish}</{action}>")
    };
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    for (rules, status, code) in [
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
        // GET could not give it back.
        (
            rule(&good.replace("<Prefix>a", "<Prefix>a&#13;")),
            400,
            "InvalidArgument",
        ),
        (
            rule(&good.replace("<ID>a", "<ID>a\u{1b}")),
            400,
            "InvalidArgument",
        ),
        (rule(&days("0")), 400, "InvalidArgument"),
        (rule(&days("3,650")), 400, "MalformedXML"),
        (rule(&days("3e3")), 400, "MalformedXML"),
        (rule(&expiring("<Days>1.5</Days>")), 400, "MalformedXML"),
        (
            rule(&older("<NoncurrentDays>90d</NoncurrentDays>")),
            400,
            "MalformedXML",
        ),
        // It would be for the whole bucket, of which it says nothing.
        (
            rule(&good.replace("<Filter><Prefix>a</Prefix></Filter>", "")),
            400,
            "MalformedXML",
        ),
        (rule(&days("36501")), 400, "InvalidArgument"),
        (rule(&good).repeat(2), 400, "InvalidArgument"),
        (
            rule(&good.replace("<Prefix>a</Prefix>", tag)),
            501,
            "NotImplemented",
        ),
        (
            rule(&filtered(&format!("<And><Prefix>a</Prefix>{tag}</And>"))),
            501,
            "NotImplemented",
        ),
        (
            rule(&filtered(&format!("<Prefix>a</Prefix>{over}"))),
            400,
            "MalformedXML",
        ),
        (rule(&sized(5, 6)), 400, "InvalidArgument"),
        (rule(&sized(-1, 6)), 400, "InvalidArgument"),
        (rule(&sized(0, 5_497_558_138_881)), 400, "InvalidArgument"),
        // Neither an unfinished upload nor a marker has a size.
        (
            rule(&format!(
                "<Filter>{over}</Filter><Status>Enabled</Status>{ABORT}"
            )),
            400,
            "InvalidArgument",
        ),
        (
            rule(&format!(
                "<Filter>{over}</Filter><Status>Enabled</Status><Expiration>\
                 <ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
            )),
            400,
            "InvalidArgument",
        ),
        (rule(&expiring("")), 400, "MalformedXML"),
        (rule(&expiring("<Days>0</Days>")), 400, "InvalidArgument"),
        (
            rule(&expiring("<Days>36501</Days>")),
            400,
            "InvalidArgument",
        ),
        (
            rule(&expiring("<Days>1</Days><Date>2030-01-01T00:00:00Z</Date>")),
            400,
            "MalformedXML",
        ),
        (
            rule(&expiring("<Date>2030-01-01T00:00:01Z</Date>")),
            400,
            "InvalidArgument",
        ),
        (
            rule(&expiring(
                "<ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker>",
            )),
            400,
            "MalformedXML",
        ),
        (rule(&older("")), 400, "InvalidArgument"),
        (
            rule(&older("<NoncurrentDays>0</NoncurrentDays>")),
            400,
            "InvalidArgument",
        ),
        (
            rule(&older(
                "<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>0</NewerNoncurrentVersions>",
            )),
            400,
            "InvalidArgument",
        ),
        (
            rule(&older(
                "<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions>",
            )),
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
