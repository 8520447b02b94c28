//! aws-cli: what Object Lock promises, and what a delete does here.
//!
//! In a bucket made with the lock header the client sets locks per object; what carries none is
//! unlocked, and deleting such a version releases it: it is gone from S3.

use super::aws::{api, column, field, get, put, refused};
use super::{Bench, Case};
use crate::failure::{Outcome, ensure};
use crate::time::{extended, unix_seconds};
use serde_json::json;

const BUCKET: &str = "locked-bucket";
const DEFAULT_BUCKET: &str = "default-bucket";
const DAY: u64 = 86_400;

/// The checks in order.
pub const CASES: [Case; 16] = [
    (
        "lock: a bucket for locks is versioned and stays so",
        locked_bucket,
    ),
    ("lock: retention is set, read and extended", extend),
    ("lock: shortening or clearing retention is refused", shorten),
    ("lock: bypass does not shorten COMPLIANCE", bypass),
    (
        "lock: a version under retention cannot be deleted (403)",
        delete_locked,
    ),
    (
        "lock: delete hides a locked object, undelete brings it back",
        hide_locked,
    ),
    ("lock: a legal hold refuses the delete", hold),
    (
        "lock: taking a hold off is refused without the right",
        hold_off,
    ),
    ("lock: lock headers on put-object", headers),
    (
        "lock: GOVERNANCE is not deleted without the right",
        governance,
    ),
    ("lock: multipart objects are locked too", multipart),
    (
        "lock: an unlocked version is released (204) and leaves the lists",
        release,
    ),
    ("lock: delete-objects answers per version", delete_objects),
    (
        "lock: default retention is set, read and applied",
        configuration,
    ),
    ("lock: malformed locks are refused", malformed),
    (
        "lock: lifecycle rules come back as they were put",
        lifecycle,
    ),
];

fn future(days: u64) -> String {
    extended(unix_seconds() + days * DAY)
}

fn retention(mode: &str, until: &str) -> String {
    format!("Mode={mode},RetainUntilDate={until}")
}

fn on<'a>(call: &'a str, key: &'a str) -> Vec<&'a str> {
    vec![call, "--bucket", BUCKET, "--key", key]
}

fn with<'a>(mut call: Vec<&'a str>, more: &[&'a str]) -> Vec<&'a str> {
    call.extend_from_slice(more);
    call
}

fn set_retention(bench: &Bench, key: &str, mode: &str, until: &str) -> Outcome {
    let retention = retention(mode, until);
    api(
        bench,
        &with(
            on("put-object-retention", key),
            &["--retention", &retention],
        ),
    )
    .map(drop)
}

/// The date as the server tells it, in seconds precision.
fn retained_until(bench: &Bench, key: &str) -> Outcome<String> {
    let answer = api(bench, &on("get-object-retention", key))?;
    field(&answer, "Retention.RetainUntilDate").map(|text| text.chars().take(19).collect())
}

fn current(bench: &Bench, key: &str) -> Outcome<String> {
    field(&api(bench, &on("head-object", key))?, "VersionId")
}

fn locked_bucket(bench: &Bench) -> Outcome {
    let lock = "--object-lock-enabled-for-bucket";
    api(bench, &["create-bucket", "--bucket", BUCKET, lock])?;
    let versioning = api(bench, &["get-bucket-versioning", "--bucket", BUCKET])?;
    ensure(field(&versioning, "Status")? == "Enabled", || {
        format!("{versioning}")
    })?;
    let off = ["--versioning-configuration", "Status=Suspended"];
    let suspend = ["put-bucket-versioning", "--bucket", BUCKET];
    refused(
        bench,
        "InvalidBucketState",
        &[&suspend[..], &off[..]].concat(),
    )
}

fn extend(bench: &Bench) -> Outcome {
    put(bench, BUCKET, "kept", b"kept for long")?;
    refused(
        bench,
        "NoSuchObjectLockConfiguration",
        &on("get-object-retention", "kept"),
    )?;
    let (near, far) = (future(2), future(400));
    set_retention(bench, "kept", "COMPLIANCE", &near)?;
    let got = retained_until(bench, "kept")?;
    ensure(near.starts_with(&got), || format!("set {near}, read {got}"))?;
    set_retention(bench, "kept", "COMPLIANCE", &far)?;
    let got = retained_until(bench, "kept")?;
    ensure(far.starts_with(&got), || format!("set {far}, read {got}"))?;
    let head = api(bench, &on("head-object", "kept"))?;
    ensure(field(&head, "ObjectLockMode")? == "COMPLIANCE", || {
        format!("{head}")
    })?;
    let said = field(&head, "ObjectLockRetainUntilDate")?;
    ensure(said.starts_with(&got), || format!("{head}"))
}

fn shorten(bench: &Bench) -> Outcome {
    let before = retained_until(bench, "kept")?;
    let shorter = retention("COMPLIANCE", &future(3));
    let call = with(
        on("put-object-retention", "kept"),
        &["--retention", &shorter],
    );
    refused(bench, "AccessDenied", &call)?;
    let weaker = retention("GOVERNANCE", &future(900));
    let call = with(
        on("put-object-retention", "kept"),
        &["--retention", &weaker],
    );
    refused(bench, "AccessDenied", &call)?;
    let after = retained_until(bench, "kept")?;
    ensure(before == after, || format!("was {before}, is {after}"))
}

fn bypass(bench: &Bench) -> Outcome {
    let before = retained_until(bench, "kept")?;
    let shorter = retention("COMPLIANCE", &future(3));
    let force = ["--retention", &shorter, "--bypass-governance-retention"];
    refused(
        bench,
        "AccessDenied",
        &with(on("put-object-retention", "kept"), &force),
    )?;
    let version = current(bench, "kept")?;
    let force = ["--version-id", &version, "--bypass-governance-retention"];
    refused(
        bench,
        "AccessDenied",
        &with(on("delete-object", "kept"), &force),
    )?;
    let after = retained_until(bench, "kept")?;
    ensure(before == after, || format!("was {before}, is {after}"))
}

fn delete_locked(bench: &Bench) -> Outcome {
    let version = current(bench, "kept")?;
    let call = with(on("delete-object", "kept"), &["--version-id", &version]);
    refused(bench, "AccessDenied", &call)?;
    let got = get(bench, BUCKET, "kept", Some(&version))?;
    ensure(got == b"kept for long", || {
        "the refused delete changed the object".to_owned()
    })
}

fn hide_locked(bench: &Bench) -> Outcome {
    let version = current(bench, "kept")?;
    let marker = field(&api(bench, &on("delete-object", "kept"))?, "VersionId")?;
    refused(bench, "404", &on("head-object", "kept"))?;
    let got = get(bench, BUCKET, "kept", Some(&version))?;
    ensure(got == b"kept for long", || {
        "hidden, but not readable by version".to_owned()
    })?;
    api(
        bench,
        &with(on("delete-object", "kept"), &["--version-id", &marker]),
    )?;
    let after = current(bench, "kept")?;
    ensure(after == version, || {
        format!("{version} was current, now it is {after}")
    })
}

fn hold(bench: &Bench) -> Outcome {
    let version = put(bench, BUCKET, "held", b"evidence")?;
    refused(
        bench,
        "NoSuchObjectLockConfiguration",
        &on("get-object-legal-hold", "held"),
    )?;
    let on_hold = ["--legal-hold", "Status=ON"];
    api(bench, &with(on("put-object-legal-hold", "held"), &on_hold))?;
    let answer = api(bench, &on("get-object-legal-hold", "held"))?;
    ensure(field(&answer, "LegalHold.Status")? == "ON", || {
        format!("{answer}")
    })?;
    let delete = with(on("delete-object", "held"), &["--version-id", &version]);
    refused(bench, "AccessDenied", &delete)?;
    let got = get(bench, BUCKET, "held", Some(&version))?;
    ensure(got == b"evidence", || "the held object changed".to_owned())
}

fn hold_off(bench: &Bench) -> Outcome {
    let off = ["--legal-hold", "Status=OFF"];
    refused(
        bench,
        "AccessDenied",
        &with(on("put-object-legal-hold", "held"), &off),
    )?;
    let answer = api(bench, &on("get-object-legal-hold", "held"))?;
    ensure(field(&answer, "LegalHold.Status")? == "ON", || {
        format!("{answer}")
    })
}

fn put_locked(bench: &Bench, key: &str, mode: &str, days: u64) -> Outcome<String> {
    let file = bench.scratch.join("body");
    std::fs::write(&file, b"locked from birth")?;
    let (file, until) = (file.to_string_lossy().into_owned(), future(days));
    let lock = [
        "--object-lock-mode",
        mode,
        "--object-lock-retain-until-date",
        &until,
    ];
    let call = with(on("put-object", key), &["--body", &file]);
    field(&api(bench, &with(call, &lock))?, "VersionId")
}

fn headers(bench: &Bench) -> Outcome {
    let version = put_locked(bench, "born-locked", "COMPLIANCE", 5)?;
    let delete = with(
        on("delete-object", "born-locked"),
        &["--version-id", &version],
    );
    refused(bench, "AccessDenied", &delete)?;
    let file = bench.scratch.join("body").to_string_lossy().into_owned();
    let call = with(on("put-object", "born-held"), &["--body", &file]);
    let held = with(call, &["--object-lock-legal-hold-status", "ON"]);
    let version = field(&api(bench, &held)?, "VersionId")?;
    let delete = with(
        on("delete-object", "born-held"),
        &["--version-id", &version],
    );
    refused(bench, "AccessDenied", &delete)
}

fn governance(bench: &Bench) -> Outcome {
    let version = put_locked(bench, "governed", "GOVERNANCE", 5)?;
    let delete = with(on("delete-object", "governed"), &["--version-id", &version]);
    refused(bench, "AccessDenied", &delete)?;
    refused(
        bench,
        "AccessDenied",
        &with(delete, &["--bypass-governance-retention"]),
    )
}

fn multipart(bench: &Bench) -> Outcome {
    let until = future(5);
    let lock = [
        "--object-lock-mode",
        "COMPLIANCE",
        "--object-lock-retain-until-date",
        &until,
    ];
    let upload = api(
        bench,
        &with(on("create-multipart-upload", "in-parts"), &lock),
    )?;
    let id = field(&upload, "UploadId")?;
    let file = bench.scratch.join("body");
    std::fs::write(&file, vec![3; 300_000])?;
    let path = file.to_string_lossy();
    let part = ["--upload-id", &id, "--part-number", "1", "--body", &path];
    let etag = field(
        &api(bench, &with(on("upload-part", "in-parts"), &part))?,
        "ETag",
    )?;
    let parts = serde_json::json!({"Parts": [{"PartNumber": 1, "ETag": etag}]}).to_string();
    let complete = ["--upload-id", &id, "--multipart-upload", &parts];
    let answer = api(
        bench,
        &with(on("complete-multipart-upload", "in-parts"), &complete),
    )?;
    let version = field(&answer, "VersionId")?;
    // As after an answer that was lost.
    let again = api(
        bench,
        &with(on("complete-multipart-upload", "in-parts"), &complete),
    )?;
    ensure(again == answer, || {
        format!("completed again: {again}, before: {answer}")
    })?;
    let delete = with(on("delete-object", "in-parts"), &["--version-id", &version]);
    refused(bench, "AccessDenied", &delete)?;
    let got = get(bench, BUCKET, "in-parts", Some(&version))?;
    ensure(got == vec![3; 300_000], || {
        "the parts do not make the object".to_owned()
    })
}

fn release(bench: &Bench) -> Outcome {
    let old = put(bench, BUCKET, "free", b"first")?;
    let new = put(bench, BUCKET, "free", b"second")?;
    api(
        bench,
        &with(on("delete-object", "free"), &["--version-id", &new]),
    )?;
    let got = get(bench, BUCKET, "free", None)?;
    ensure(got == b"first", || {
        "the version before did not become current".to_owned()
    })?;
    let path = bench.scratch.join("got").to_string_lossy().into_owned();
    let gone = with(on("get-object", "free"), &["--version-id", &new, &path]);
    refused(bench, "NoSuchVersion", &gone)?;
    let of = [
        "list-object-versions",
        "--bucket",
        BUCKET,
        "--prefix",
        "free",
    ];
    let listed = api(bench, &of)?;
    ensure(
        column(&listed, "Versions", "VersionId") == [old.clone()],
        || format!("{listed}"),
    )?;
    api(
        bench,
        &with(on("delete-object", "free"), &["--version-id", &old]),
    )?;
    let listed = api(bench, &of)?;
    ensure(column(&listed, "Versions", "VersionId").is_empty(), || {
        format!("{listed}")
    })?;
    refused(bench, "404", &on("head-object", "free"))
}

fn delete_objects(bench: &Bench) -> Outcome {
    let locked = current(bench, "kept")?;
    let free = put(bench, BUCKET, "also-free", b"x")?;
    let list = serde_json::json!({"Objects": [
        {"Key": "kept", "VersionId": locked},
        {"Key": "also-free", "VersionId": free},
    ]});
    let list = list.to_string();
    let answer = api(
        bench,
        &["delete-objects", "--bucket", BUCKET, "--delete", &list],
    )?;
    ensure(column(&answer, "Deleted", "Key") == ["also-free"], || {
        format!("{answer}")
    })?;
    ensure(column(&answer, "Errors", "Key") == ["kept"], || {
        format!("{answer}")
    })?;
    ensure(
        column(&answer, "Errors", "Code") == ["AccessDenied"],
        || format!("{answer}"),
    )
}

fn configuration(bench: &Bench) -> Outcome {
    let lock = "--object-lock-enabled-for-bucket";
    api(bench, &["create-bucket", "--bucket", DEFAULT_BUCKET, lock])?;
    let rule = r#"{"ObjectLockEnabled":"Enabled",
        "Rule":{"DefaultRetention":{"Mode":"COMPLIANCE","Days":3}}}"#;
    let put_call = ["put-object-lock-configuration", "--bucket", DEFAULT_BUCKET];
    api(
        bench,
        &[&put_call[..], &["--object-lock-configuration", rule]].concat(),
    )?;
    let get_call = ["get-object-lock-configuration", "--bucket", DEFAULT_BUCKET];
    let answer = api(bench, &get_call)?;
    let default = "ObjectLockConfiguration.Rule.DefaultRetention";
    ensure(
        field(&answer, &format!("{default}.Mode"))? == "COMPLIANCE",
        || format!("{answer}"),
    )?;
    ensure(field(&answer, &format!("{default}.Days"))? == "3", || {
        format!("{answer}")
    })?;
    let version = put(bench, DEFAULT_BUCKET, "by-default", b"locked by the bucket")?;
    let head = [
        "head-object",
        "--bucket",
        DEFAULT_BUCKET,
        "--key",
        "by-default",
    ];
    let head = api(bench, &head)?;
    ensure(field(&head, "ObjectLockMode")? == "COMPLIANCE", || {
        format!("{head}")
    })?;
    let delete = [
        "delete-object",
        "--bucket",
        DEFAULT_BUCKET,
        "--key",
        "by-default",
    ];
    refused(
        bench,
        "AccessDenied",
        &[&delete[..], &["--version-id", &version]].concat(),
    )
}

fn malformed(bench: &Bench) -> Outcome {
    let past = retention("COMPLIANCE", "2020-01-01T00:00:00Z");
    let call = with(on("put-object-retention", "kept"), &["--retention", &past]);
    let answer = super::aws::attempt(bench, &call)?;
    // Whether an earlier date is called wrong or forbidden, it must not be taken.
    answer.expect_refusal("(InvalidArgument)").or_else(|_| {
        answer
            .expect_refusal("(InvalidRequest)")
            .or_else(|_| answer.expect_refusal("(AccessDenied)"))
    })?;
    let put_call = ["put-object-lock-configuration", "--bucket", BUCKET];
    for (rule, code) in [
        (
            r#"{"Mode":"COMPLIANCE","Days":1,"Years":1}"#,
            "MalformedXML",
        ),
        (r#"{"Mode":"compliance","Days":1}"#, "MalformedXML"),
        (r#"{"Mode":"COMPLIANCE"}"#, "MalformedXML"),
        (
            r#"{"Mode":"COMPLIANCE","Days":0}"#,
            "InvalidRetentionPeriod",
        ),
    ] {
        let rule =
            format!(r#"{{"ObjectLockEnabled":"Enabled","Rule":{{"DefaultRetention":{rule}}}}}"#);
        let call = [&put_call[..], &["--object-lock-configuration", &rule]].concat();
        refused(bench, code, &call)?;
    }
    Ok(())
}

/// Rules of every form, as tools for infrastructure compare them: in their order, and element by element.
fn lifecycle(bench: &Bench) -> Outcome {
    let rules = json!([
        {"ID": "whole", "Filter": {}, "Status": "Enabled",
         "NoncurrentVersionExpiration": {"NoncurrentDays": 90, "NewerNoncurrentVersions": 3}},
        {"ID": "old form", "Prefix": "wal/", "Status": "Disabled", "Expiration": {"Days": 30}},
        {"ID": "uploads", "Filter": {"Prefix": "wal/"}, "Status": "Enabled",
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
         "Expiration": {"ExpiredObjectDeleteMarker": true}},
        {"ID": "sized", "Status": "Enabled", "Expiration": {"Days": 365},
         "Filter": {"And": {"Prefix": "tmp/", "ObjectSizeGreaterThan": 0, "ObjectSizeLessThan": 9}}},
    ]);
    let put = ["put-bucket-lifecycle-configuration", "--bucket", BUCKET];
    let given = json!({"Rules": rules}).to_string();
    let configuration = ["--lifecycle-configuration", &given];
    api(bench, &[&put[..], &configuration].concat())?;
    let get = ["get-bucket-lifecycle-configuration", "--bucket", BUCKET];
    let kept = api(bench, &get)?;
    ensure(kept.get("Rules") == Some(&rules), || format!("{kept}"))?;
    let moving = json!({"Rules": [{"ID": "m", "Filter": {}, "Status": "Enabled",
        "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}]})
    .to_string();
    let configuration = ["--lifecycle-configuration", &moving];
    refused(
        bench,
        "NotImplemented",
        &[&put[..], &configuration].concat(),
    )?;
    api(bench, &["delete-bucket-lifecycle", "--bucket", BUCKET])?;
    refused(bench, "NoSuchLifecycleConfiguration", &get)
}
