use super::*;

/// Whether a document passes, whatever stands before and behind it.
fn check_all(documents: &[&str], expected: Result<(), &str>) {
    for document in documents {
        for (before, behind) in [("", ""), ("<?xml version=\"1.0\"?>\r\n<!-- -->\n", "\n")] {
            let document = format!("{before}{document}{behind}");
            let found = check(document.as_bytes()).map_err(|fault| fault.to_string());
            match expected {
                Ok(()) => assert_eq!(found, Ok(()), "{document}"),
                Err(why) => assert!(found.is_err_and(|f| f.contains(why)), "{document}"),
            }
        }
    }
}

#[test]
fn what_s3_has_passes() {
    check_all(
        &[
            "<Retention/>",
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\r\n <Mode>COMPLIANCE</Mode>\r\n\
             <RetainUntilDate>2140-02-03T04:05:06Z</RetainUntilDate>\r\n</Retention>",
            "<LegalHold><Status>ON</Status></LegalHold>",
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
             <Mode>COMPLIANCE</Mode><Days> 3650\n</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
            "<Tagging><TagSet><Tag><Key>k</Key><Value/></Tag></TagSet></Tagging>",
            "<Delete><Quiet>true</Quiet><Object><Key>a&amp;&#13;</Key><VersionId>v</VersionId><ETag>e</ETag>\
             <LastModifiedTime>Thu, 01 Jan 1970 00:00:00 GMT</LastModifiedTime><Size>7</Size></Object></Delete>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;e&#34;</ETag>\
             <ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>",
            "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint><Location>\
             <Name>n</Name><Type>t</Type></Location><Bucket><Type>t</Type><DataRedundancy>d</DataRedundancy>\
             </Bucket><Tags/></CreateBucketConfiguration>",
            "<VersioningConfiguration><MfaDelete>Disabled</MfaDelete><Status>Enabled</Status></VersioningConfiguration>",
            "<LifecycleConfiguration><Rule><ID>a</ID><Prefix>p</Prefix><Status>Enabled</Status><Transition>\
             <Days>1</Days><StorageClass>GLACIER</StorageClass></Transition><NoncurrentVersionTransition>\
             <NoncurrentDays>1</NoncurrentDays></NoncurrentVersionTransition></Rule><Rule><Filter><And>\
             <ObjectSizeLessThan>-6</ObjectSizeLessThan><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>\
             <NoncurrentVersionExpiration><NewerNoncurrentVersions>3</NewerNoncurrentVersions>\
             </NoncurrentVersionExpiration></Rule></LifecycleConfiguration>",
            // What is no document, or one of which nothing is done.
            "",
            "{\"Statement\": \"1 < 2 & 3\"}",
            "<WebsiteConfiguration><Anything>&x;</Nothing>",
        ],
        Ok(()),
    );
}

#[test]
fn what_s3_has_not_is_named_and_refused() {
    check_all(
        &[
            "<ObjectLockConfiguration><DefaultRetention><Days>1</Days></DefaultRetention></ObjectLockConfiguration>",
            "<ObjectLockConfiguration><rule></rule></ObjectLockConfiguration>",
            "<ObjectLockConfiguration><s3:Rule/></ObjectLockConfiguration>",
            "<Retention><Status>ON</Status></Retention>",
            "<Retention><Mode><b/>COMPLIANCE</Mode></Retention>",
            "<LegalHold><Mode>ON</Mode></LegalHold>",
            "<Tagging><Tag><Key>k</Key></Tag></Tagging>",
            "<Tagging><TagSet><Tags/></TagSet></Tagging>",
            "<Delete><Objects/></Delete>",
            "<CompleteMultipartUpload><Parts/></CompleteMultipartUpload>",
            "<CreateBucketConfiguration><Lock/></CreateBucketConfiguration>",
            "<VersioningConfiguration><State>Enabled</State></VersioningConfiguration>",
            "<LifecycleConfiguration><Rule><Days>1</Days></Rule></LifecycleConfiguration>",
        ],
        Err("does not belong"),
    );
    check_all(
        &[
            "<Retention>COMPLIANCE</Retention>",
            "<ObjectLockConfiguration>Enabled<Rule/></ObjectLockConfiguration>",
        ],
        Err("only elements"),
    );
    check_all(
        &["<Retention>&#32;</Retention>", "<Tagging>&x;</Tagging>"],
        Err("reference"),
    );
    check_all(
        &["<Delete><Object><Key>a\rb</Key></Object></Delete>"],
        Err("carriage return"),
    );
    check_all(
        &[
            "<Retention>",
            "<Retention><Mode></Retention>",
            "<Retention></retention>",
            "<Retention><![CDATA[x]]></Retention>",
        ],
        Err("well-formed"),
    );
    check_all(
        &[
            "<CreateBucketConfiguration><Tags><Tag><Key>k</Key></Tag></Tags></CreateBucketConfiguration>",
        ],
        Err("no tags"),
    );
}

#[test]
fn a_number_is_digits_and_nothing_else() {
    let numbers = [
        ("Days", "ObjectLockConfiguration><Rule><DefaultRetention"),
        ("Years", "ObjectLockConfiguration><Rule><DefaultRetention"),
        (
            "NoncurrentDays",
            "LifecycleConfiguration><Rule><NoncurrentVersionExpiration",
        ),
        ("Days", "LifecycleConfiguration><Rule><Expiration"),
        (
            "DaysAfterInitiation",
            "LifecycleConfiguration><Rule><AbortIncompleteMultipartUpload",
        ),
        ("ObjectSizeLessThan", "LifecycleConfiguration><Rule><Filter"),
        ("PartNumber", "CompleteMultipartUpload><Part"),
        ("Size", "Delete><Object"),
    ];
    for (name, around) in numbers {
        let document = |text: &str| {
            let ends = around.rsplit("><").map(|name| format!("</{name}>"));
            format!(
                "<{around}><{name}>{text}</{name}>{}",
                ends.collect::<String>()
            )
        };
        check_all(
            &[&document("3650"), &document(" 3650 "), &document("-1")],
            Ok(()),
        );
        for text in [
            "3,650", "1.5", "1e3", "", "-", "+5", "3 650", "0x10", "P10D", "\u{663}", "--1",
        ] {
            check_all(&[&document(text)], Err("is a number"));
        }
        check_all(&[&document("3&#54;")], Err("reference"));
        // Nothing between digits is read by nobody.
        check_all(&[&document("36<!-- -->50")], Ok(()));
        check_all(&[&document("36<!-- ,-->,50")], Err("is a number"));
    }
}

#[test]
fn references_to_characters_that_the_library_refuses_are_resolved() {
    for (document, expected) in [
        ("a", "a"),
        ("&#x1F600;", "\u{1f600}"),
        ("&#128512;&#x10000;&#xFFFFD;", "\u{1f600}\u{10000}\u{ffffd}"),
        ("x&#x01f600;y", "x\u{1f600}y"),
        // Those it knows, and those that are none, are as they were.
        ("&#13;&#x20AC;&#x100000;", "&#13;&#x20AC;&#x100000;"),
        ("&#x1F600 &#x1F600", "&#x1F600 &#x1F600"),
        ("&#x+1F600;&#1F600;&#;&#x;&", "&#x+1F600;&#1F600;&#;&#x;&"),
        ("&amp;#x1F600;", "&amp;#x1F600;"),
        ("&#99999999999999999999;", "&#99999999999999999999;"),
    ] {
        let found = resolved(Bytes::from_static(document.as_bytes()));
        assert_eq!(found.trim_ascii_end(), expected.as_bytes(), "{document}");
        assert_eq!(found.len(), document.len(), "{document}");
    }
}
