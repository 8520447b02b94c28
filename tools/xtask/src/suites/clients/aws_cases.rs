//! aws-cli: buckets, large and small objects, versions, listings.

use super::aws::{api, attempt, column, command, field, get, put, refused, text};
use super::{Bench, Case, file_digest, make_file};
use crate::failure::{Outcome, ensure};

const BUCKET: &str = "first-bucket";
const LARGE_BYTES: u64 = 1 << 30;

/// The checks in order.
pub const CASES: [Case; 15] = [
    ("aws: mb", make_bucket),
    ("aws: 1 GiB multipart up and down", large),
    ("aws: an empty object", empty),
    ("aws: versions of one name", versions),
    ("aws: head-object tells size, type and metadata", head),
    ("aws: ranges", ranges),
    ("aws: list v2 with prefix and delimiter", list_v2),
    ("aws: list v1 and v2 page by page", pages),
    (
        "aws: delete hides, removing the marker brings back",
        undelete,
    ),
    ("aws: delete-objects", delete_objects),
    ("aws: s3api multipart, list and abort", multipart),
    (
        "aws: a part list that does not fit is refused",
        bad_complete,
    ),
    (
        "aws: wrong Content-MD5 is refused and leaves nothing",
        bad_digest,
    ),
    (
        "aws: wrong secret and unknown key id are refused",
        bad_credentials,
    ),
    ("aws: what is not there is said so", absent),
];

fn make_bucket(bench: &Bench) -> Outcome {
    text(bench, &["s3", "mb", &format!("s3://{BUCKET}")])?;
    api(bench, &["head-bucket", "--bucket", BUCKET])?;
    let listed = api(bench, &["list-buckets"])?;
    let names = column(&listed, "Buckets", "Name");
    ensure(names.contains(&BUCKET.to_owned()), || {
        format!("not listed: {listed}")
    })?;
    let location = api(bench, &["get-bucket-location", "--bucket", BUCKET])?;
    ensure(location["LocationConstraint"].is_null(), || {
        format!("location {location}")
    })?;
    let versioning = api(bench, &["get-bucket-versioning", "--bucket", BUCKET])?;
    ensure(field(&versioning, "Status")? == "Enabled", || {
        format!("{versioning}")
    })
}

fn large(bench: &Bench) -> Outcome {
    let (up, down) = (
        bench.scratch.join("large"),
        bench.scratch.join("large.back"),
    );
    let sent = make_file(&up, LARGE_BYTES, 4711)?;
    let url = format!("s3://{BUCKET}/dir/large");
    text(
        bench,
        &["s3", "cp", "--no-progress", &up.to_string_lossy(), &url],
    )?;
    std::fs::remove_file(&up)?;
    text(
        bench,
        &["s3", "cp", "--no-progress", &url, &down.to_string_lossy()],
    )?;
    let same = file_digest(&down)? == sent;
    std::fs::remove_file(&down)?;
    ensure(same, || {
        "the bytes that came back are not the ones that went up".to_owned()
    })?;
    let head = api(
        bench,
        &["head-object", "--bucket", BUCKET, "--key", "dir/large"],
    )?;
    ensure(
        field(&head, "ContentLength")? == LARGE_BYTES.to_string(),
        || format!("{head}"),
    )?;
    let etag = field(&head, "ETag")?;
    ensure(etag.ends_with("-128\""), || {
        format!("no ETag of 128 parts: {etag}")
    })
}

fn empty(bench: &Bench) -> Outcome {
    put(bench, BUCKET, "empty", b"")?;
    let got = get(bench, BUCKET, "empty", None)?;
    ensure(got.is_empty(), || format!("{} bytes came back", got.len()))
}

fn versions(bench: &Bench) -> Outcome {
    let old = put(bench, BUCKET, "twice", b"the old content")?;
    let new = put(bench, BUCKET, "twice", b"the new content")?;
    let listed = api(
        bench,
        &[
            "list-object-versions",
            "--bucket",
            BUCKET,
            "--prefix",
            "twice",
        ],
    )?;
    let ids = column(&listed, "Versions", "VersionId");
    ensure(ids == [new.clone(), old.clone()], || {
        format!("not newest first: {listed}")
    })?;
    let latest = column(&listed, "Versions", "IsLatest");
    ensure(latest == ["true", "false"], || format!("{listed}"))?;
    ensure(
        get(bench, BUCKET, "twice", Some(&old))? == b"the old content",
        || "old".to_owned(),
    )?;
    ensure(
        get(bench, BUCKET, "twice", Some(&new))? == b"the new content",
        || "new".to_owned(),
    )?;
    ensure(
        get(bench, BUCKET, "twice", None)? == b"the new content",
        || "current".to_owned(),
    )
}

fn head(bench: &Bench) -> Outcome {
    let file = bench.scratch.join("body");
    std::fs::write(&file, b"0123456789")?;
    let file = file.to_string_lossy();
    let put = [
        "put-object",
        "--bucket",
        BUCKET,
        "--key",
        "described",
        "--body",
        &file,
    ];
    let described = [
        "--content-type",
        "text/x-example",
        "--metadata",
        "colour=blue,size=7",
    ];
    api(bench, &[&put[..], &described[..]].concat())?;
    let head = api(
        bench,
        &["head-object", "--bucket", BUCKET, "--key", "described"],
    )?;
    ensure(field(&head, "ContentLength")? == "10", || format!("{head}"))?;
    ensure(field(&head, "ContentType")? == "text/x-example", || {
        format!("{head}")
    })?;
    ensure(field(&head, "Metadata.colour")? == "blue", || {
        format!("{head}")
    })?;
    ensure(field(&head, "Metadata.size")? == "7", || format!("{head}"))
}

fn ranges(bench: &Bench) -> Outcome {
    let file = bench.scratch.join("part");
    let path = file.to_string_lossy();
    for (range, want) in [
        ("bytes=2-4", "234"),
        ("bytes=7-", "789"),
        ("bytes=-2", "89"),
    ] {
        let of = [
            "get-object",
            "--bucket",
            BUCKET,
            "--key",
            "described",
            "--range",
            range,
        ];
        api(bench, &[&of[..], &[&path]].concat())?;
        let got = std::fs::read_to_string(&file)?;
        ensure(got == want, || format!("{range} gave '{got}'"))?;
    }
    let of = [
        "get-object",
        "--bucket",
        BUCKET,
        "--key",
        "described",
        "--range",
        "bytes=99-",
    ];
    refused(bench, "InvalidRange", &[&of[..], &[&path]].concat())
}

fn list_v2(bench: &Bench) -> Outcome {
    for key in ["tree/a", "tree/b/1", "tree/b/2", "tree/c"] {
        put(bench, BUCKET, key, key.as_bytes())?;
    }
    let of = [
        "list-objects-v2",
        "--bucket",
        BUCKET,
        "--prefix",
        "tree/",
        "--delimiter",
        "/",
    ];
    let listed = api(bench, &of)?;
    ensure(
        column(&listed, "Contents", "Key") == ["tree/a", "tree/c"],
        || format!("{listed}"),
    )?;
    ensure(
        column(&listed, "CommonPrefixes", "Prefix") == ["tree/b/"],
        || format!("{listed}"),
    )?;
    ensure(column(&listed, "Contents", "Size") == ["6", "6"], || {
        format!("{listed}")
    })
}

fn pages(bench: &Bench) -> Outcome {
    let directory = bench.scratch.join("many");
    std::fs::create_dir_all(&directory)?;
    let names: Vec<String> = (0..25).map(|index| format!("{index:03}")).collect();
    for name in &names {
        std::fs::write(directory.join(name), name)?;
    }
    let url = format!("s3://{BUCKET}/many/");
    text(
        bench,
        &[
            "s3",
            "sync",
            "--no-progress",
            &directory.to_string_lossy(),
            &url,
        ],
    )?;
    let want: Vec<String> = names.iter().map(|name| format!("many/{name}")).collect();
    for call in ["list-objects", "list-objects-v2"] {
        let of = [
            call,
            "--bucket",
            BUCKET,
            "--prefix",
            "many/",
            "--page-size",
            "7",
        ];
        let keys = column(&api(bench, &of)?, "Contents", "Key");
        ensure(keys == want, || {
            format!("{call} in pages of 7 gave {keys:?}")
        })?;
    }
    let of = [
        "list-object-versions",
        "--bucket",
        BUCKET,
        "--prefix",
        "many/",
        "--page-size",
        "7",
    ];
    let keys = column(&api(bench, &of)?, "Versions", "Key");
    ensure(keys == want, || {
        format!("versions in pages of 7 gave {keys:?}")
    })
}

fn undelete(bench: &Bench) -> Outcome {
    put(bench, BUCKET, "comes-back", b"still here")?;
    let gone = api(
        bench,
        &["delete-object", "--bucket", BUCKET, "--key", "comes-back"],
    )?;
    ensure(field(&gone, "DeleteMarker")? == "true", || {
        format!("{gone}")
    })?;
    let marker = field(&gone, "VersionId")?;
    refused(
        bench,
        "404",
        &["head-object", "--bucket", BUCKET, "--key", "comes-back"],
    )?;
    let of = [
        "list-objects-v2",
        "--bucket",
        BUCKET,
        "--prefix",
        "comes-back",
    ];
    let listed = api(bench, &of)?;
    ensure(column(&listed, "Contents", "Key").is_empty(), || {
        format!("listed: {listed}")
    })?;
    let of = [
        "list-object-versions",
        "--bucket",
        BUCKET,
        "--prefix",
        "comes-back",
    ];
    let listed = api(bench, &of)?;
    let markers = column(&listed, "DeleteMarkers", "VersionId");
    ensure(markers == [marker.clone()], || {
        format!("no marker in {listed}")
    })?;
    let of = [
        "delete-object",
        "--bucket",
        BUCKET,
        "--key",
        "comes-back",
        "--version-id",
        &marker,
    ];
    api(bench, &of)?;
    let got = get(bench, BUCKET, "comes-back", None)?;
    ensure(got == b"still here", || {
        "the object did not come back whole".to_owned()
    })
}

fn delete_objects(bench: &Bench) -> Outcome {
    let delete = r#"{"Objects":[{"Key":"many/000"},{"Key":"many/001"},{"Key":"never-was"}]}"#;
    let answer = api(
        bench,
        &["delete-objects", "--bucket", BUCKET, "--delete", delete],
    )?;
    let deleted = column(&answer, "Deleted", "Key");
    ensure(deleted.len() == 3, || format!("{answer}"))?;
    let of = ["list-objects-v2", "--bucket", BUCKET, "--prefix", "many/"];
    let left = column(&api(bench, &of)?, "Contents", "Key");
    ensure(left.len() == 23 && left[0] == "many/002", || {
        format!("left: {left:?}")
    })
}

fn multipart(bench: &Bench) -> Outcome {
    let of = [
        "create-multipart-upload",
        "--bucket",
        BUCKET,
        "--key",
        "never-finished",
    ];
    let id = field(&api(bench, &of)?, "UploadId")?;
    let file = bench.scratch.join("body");
    std::fs::write(&file, vec![7; 100_000])?;
    let path = file.to_string_lossy();
    let upload = [
        "--bucket",
        BUCKET,
        "--key",
        "never-finished",
        "--upload-id",
        &id,
    ];
    let part = ["upload-part", "--part-number", "1", "--body", &path];
    api(bench, &[&part[..], &upload[..]].concat())?;
    let parts = api(bench, &[&["list-parts"][..], &upload[..]].concat())?;
    ensure(column(&parts, "Parts", "Size") == ["100000"], || {
        format!("{parts}")
    })?;
    let open = api(bench, &["list-multipart-uploads", "--bucket", BUCKET])?;
    ensure(column(&open, "Uploads", "UploadId") == [id.clone()], || {
        format!("{open}")
    })?;
    refused(
        bench,
        "404",
        &["head-object", "--bucket", BUCKET, "--key", "never-finished"],
    )?;
    api(
        bench,
        &[&["abort-multipart-upload"][..], &upload[..]].concat(),
    )?;
    refused(
        bench,
        "NoSuchUpload",
        &[&["list-parts"][..], &upload[..]].concat(),
    )
}

fn bad_complete(bench: &Bench) -> Outcome {
    let of = [
        "create-multipart-upload",
        "--bucket",
        BUCKET,
        "--key",
        "bad-parts",
    ];
    let id = field(&api(bench, &of)?, "UploadId")?;
    let upload = ["--bucket", BUCKET, "--key", "bad-parts", "--upload-id", &id];
    let parts = r#"{"Parts":[{"PartNumber":1,"ETag":"00000000000000000000000000000000"}]}"#;
    let complete = ["complete-multipart-upload", "--multipart-upload", parts];
    refused(bench, "InvalidPart", &[&complete[..], &upload[..]].concat())?;
    api(
        bench,
        &[&["abort-multipart-upload"][..], &upload[..]].concat(),
    )
    .map(drop)
}

fn bad_digest(bench: &Bench) -> Outcome {
    let file = bench.scratch.join("body");
    std::fs::write(&file, b"this is not what the digest says")?;
    let path = file.to_string_lossy();
    let of = [
        "put-object",
        "--bucket",
        BUCKET,
        "--key",
        "bad-digest",
        "--body",
        &path,
    ];
    let md5 = ["--content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="];
    refused(bench, "BadDigest", &[&of[..], &md5[..]].concat())?;
    refused(
        bench,
        "404",
        &["head-object", "--bucket", BUCKET, "--key", "bad-digest"],
    )
}

fn bad_credentials(bench: &Bench) -> Outcome {
    let call = ["s3api", "list-objects-v2", "--bucket", BUCKET];
    let wrong = command(bench, &call)?
        .env("AWS_SECRET_ACCESS_KEY", "0".repeat(40))
        .finish()?;
    wrong.expect_refusal("SignatureDoesNotMatch")?;
    let unknown = command(bench, &call)?
        .env("AWS_ACCESS_KEY_ID", "NOBODYKNOWSTHISKEY0")
        .finish()?;
    unknown.expect_refusal("InvalidAccessKeyId")?;
    let anonymous = command(bench, &call)?.arg("--no-sign-request").finish()?;
    anonymous.expect_refusal("AccessDenied")
}

fn absent(bench: &Bench) -> Outcome {
    let path = bench.scratch.join("got").to_string_lossy().into_owned();
    let key = [
        "get-object",
        "--bucket",
        BUCKET,
        "--key",
        "never-was",
        &path,
    ];
    refused(bench, "NoSuchKey", &key)?;
    refused(
        bench,
        "NoSuchBucket",
        &["list-objects-v2", "--bucket", "never-was"],
    )?;
    refused(
        bench,
        "BucketNotEmpty",
        &["delete-bucket", "--bucket", BUCKET],
    )?;
    let again = attempt(bench, &["create-bucket", "--bucket", BUCKET])?;
    let known = again.expect_refusal("(BucketAlreadyOwnedByYou)");
    // In us-east-1 S3 itself answers 200 when the owner creates a bucket again.
    known.or_else(|_| again.expect_success())?;
    api(bench, &["create-bucket", "--bucket", "short-lived"])?;
    api(bench, &["delete-bucket", "--bucket", "short-lived"])?;
    refused(bench, "404", &["head-bucket", "--bucket", "short-lived"])
}
