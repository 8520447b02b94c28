//! Documents that S3 does not have: they are refused as a whole, and nothing comes of them.

use crate::client::Call;
use crate::world::World;

fn lock(inside: &str) -> String {
    format!("<ObjectLockConfiguration>{inside}</ObjectLockConfiguration>")
}

fn default_retention(period: &str) -> String {
    format!("<DefaultRetention><Mode>COMPLIANCE</Mode>{period}</DefaultRetention>")
}

#[tokio::test]
async fn no_lock_comes_out_shorter_than_asked_for_or_not_at_all() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = |xml: &str| {
        let call = Call::bucket("PUT", "locked").query("object-lock", "");
        call.document(xml)
    };
    let rule = |period: &str| lock(&format!("<Rule>{}</Rule>", default_retention(period)));
    let good = rule("<Days>7</Days>");
    world.call(put(&good)).await.expect(200);
    for xml in [
        rule("<Days>3,650</Days>"),
        rule("<Days>1e3</Days>"),
        rule("<Days>10.5</Days>"),
        rule("<Days>10 years</Days>"),
        rule("<Years>1.5</Years>"),
        rule("<Years>1O</Years>"),
        lock(&default_retention("<Days>3650</Days>")),
        lock("<Rules></Rules>"),
        lock("<Rule></Rule>"),
        lock("Enabled"),
        lock("<ObjectLockEnabled>Enabled</ObjectLockEnabled><rule></rule>"),
    ] {
        let reply = world.call(put(&xml)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "MalformedXML"),
            "{xml}"
        );
        let get = Call::bucket("GET", "locked").query("object-lock", "");
        let kept = world.call(get).await.expect(200).one("Days");
        assert_eq!(kept, "7", "{xml}");
    }
    // As people and programs write it.
    for xml in [
        rule("<Days>3650\n</Days>").replace("><", ">\r\n  <"),
        good.replace(
            "<ObjectLockConfiguration>",
            "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        ),
    ] {
        world.call(put(&xml)).await.expect(200);
    }
}

#[tokio::test]
async fn what_says_nothing_of_what_it_is_for_changes_nothing() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"content").await;
    let begun = Call::object("POST", "locked", "key").query("uploads", "");
    let upload = world.call(begun).await.expect(200).one("UploadId");
    let object = |method: &str, what: &str| Call::object(method, "locked", "key").query(what, "");
    let until = "<RetainUntilDate>2140-01-01T00:00:00Z</RetainUntilDate>";
    let retention = format!("<Retention><Mode>GOVERNANCE</Mode>{until}</Retention>");
    world
        .call(object("PUT", "retention").document(&retention))
        .await
        .expect(200);
    let tagged = |inside: &str| format!("<Tagging>{inside}</Tagging>");
    let tag = "<Tag><Key>a</Key><Value>1</Value></Tag>";
    let set = object("PUT", "tagging").document(&tagged(&format!("<TagSet>{tag}</TagSet>")));
    world.call(set).await.expect(200);
    let bypass = |call: Call| call.header("x-amz-bypass-governance-retention", "true");
    let complete = Call::object("POST", "locked", "key").query("uploadId", &upload);
    let part = "<Part><PartNumber>1.5</PartNumber><ETag>x</ETag></Part>";
    for call in [
        // Each was read as one that takes the retention away.
        bypass(object("PUT", "retention")).document("<Retention>GOVERNANCE</Retention>"),
        bypass(object("PUT", "retention")).document("<Retention><Days>9</Days></Retention>"),
        object("PUT", "legal-hold").document("<LegalHold><Status>ON</Status><x/></LegalHold>"),
        object("PUT", "tagging").document(&tagged(&format!("<TagSet></TagSet>{tag}"))),
        object("PUT", "tagging").document(&tagged("<TagSet><tag></tag></TagSet>")),
        complete.body(format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>")),
        Call::bucket("POST", "locked")
            .query("delete", "")
            .document("<Delete><Object><Key>key</Key></Object><Versions>all</Versions></Delete>"),
        Call::bucket("PUT", "locked").query("versioning", "").document(
            "<VersioningConfiguration><Status>Enabled</Status><State/></VersioningConfiguration>",
        ),
        Call::bucket("PUT", "other").body(
            "<CreateBucketConfiguration><ObjectLock>true</ObjectLock></CreateBucketConfiguration>",
        ),
    ] {
        let what = format!("{} {:?}", call.method, String::from_utf8_lossy(&call.body));
        let reply = world.call(call).await;
        let refused = (reply.status, reply.code());
        assert_eq!(refused, (400, "MalformedXML".to_owned()), "{what}");
    }
    let kept = world.call(object("GET", "retention")).await.expect(200);
    assert_eq!(kept.one("Mode"), "GOVERNANCE");
    let tags = world.call(object("GET", "tagging")).await.expect(200);
    assert_eq!(tags.all("Tag").len(), 1);
    world
        .call(Call::object("GET", "locked", "key"))
        .await
        .expect(200);
    world.call(Call::bucket("HEAD", "other")).await.expect(404);
}

#[tokio::test]
async fn a_bucket_is_not_made_without_the_tags_it_is_to_have() {
    let world = World::start().await;
    let create = |inside: &str| {
        let xml = format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>");
        Call::bucket("PUT", "bucket").body(xml)
    };
    let tag = "<Tag><Key>a</Key><Value>1</Value></Tag>";
    let region = "<LocationConstraint>eu-west-1</LocationConstraint>";
    let reply = world
        .call(create(&format!("{region}<Tags>{tag}</Tags>")))
        .await;
    reply.refused(501, "NotImplemented");
    assert!(
        reply.one("Message").contains("have no tags"),
        "{}",
        reply.text()
    );
    world.call(Call::bucket("HEAD", "bucket")).await.expect(404);
    world
        .call(create(&format!("{region}<Tags/>")))
        .await
        .expect(200);
}

#[tokio::test]
async fn keys_that_xml_writes_as_references_are_deleted_like_others() {
    let world = World::start().await;
    world.bucket("locked").await;
    let keys = [
        "a\rb",
        "\u{1f600}",
        "\u{10000}\u{ffffd}",
        "a\r\nb&",
        "plain",
    ];
    for key in keys {
        world.put("locked", key, b"x").await;
    }
    let reference = |character: char| match character {
        'a'..='z' => character.to_string(),
        other => format!("&#x{:X};", u32::from(other)),
    };
    let object = |key: &&str| {
        let key: String = key.chars().map(reference).collect();
        format!("<Object><Key>{key}</Key></Object>")
    };
    let objects: String = keys.iter().map(object).collect();
    let post = |xml: &str| {
        let call = Call::bucket("POST", "locked").query("delete", "");
        call.document(xml)
    };
    let reply = world
        .call(post(&format!("<Delete>{objects}</Delete>")))
        .await;
    let reply = reply.expect(200);
    let text = reply.text();
    // What a reader of XML takes for a line feed would be another key.
    assert!(!text.contains('\r'), "{text}");
    assert_eq!(reply.header("content-type"), Some("application/xml"));
    let told: Vec<_> = reply
        .all("Key")
        .iter()
        .map(|key| key.replace("&#13;", "\r"))
        .collect();
    assert_eq!(told, keys);
    for key in keys {
        let get = world.call(Call::object("GET", "locked", key)).await;
        get.refused(404, "NoSuchKey");
    }
    // Not written as a reference it is a line feed to XML, and the key another one.
    let raw = "<Delete><Object><Key>a\rb</Key></Object></Delete>";
    world.call(post(raw)).await.refused(400, "MalformedXML");
}
