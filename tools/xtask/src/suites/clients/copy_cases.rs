//! aws-cli: copies inside the vault, attributes, parts by their number.

use super::aws::{api, field, get, put, refused, text};
use super::{Bench, Case, file_digest, make_file};
use crate::failure::{Outcome, ensure};

const BUCKET: &str = "copy-bucket";
const LARGE_BYTES: u64 = 40 << 20;

/// The checks in order.
pub const CASES: [Case; 6] = [
    ("aws: cp within the vault keeps metadata", small),
    ("aws: cp onto itself with a class or encryption", itself),
    ("aws: copy-object replaces what it is told to", replace),
    ("aws: a large cp within the vault, by parts", large),
    ("aws: get-object-attributes", attributes),
    ("aws: get-object by part number", part),
];

fn url(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

fn small(bench: &Bench) -> Outcome {
    text(bench, &["s3", "mb", &format!("s3://{BUCKET}")])?;
    let file = bench.scratch.join("body");
    std::fs::write(&file, b"small")?;
    let path = file.to_string_lossy();
    let of = [
        "put-object",
        "--bucket",
        BUCKET,
        "--key",
        "a small one",
        "--body",
        &path,
        "--metadata",
        "color=blue",
        "--content-type",
        "text/x-small",
        "--tagging",
        "case=4711",
    ];
    api(bench, &of)?;
    text(bench, &["s3", "cp", &url("a small one"), &url("its copy")])?;
    ensure(get(bench, BUCKET, "its copy", None)? == b"small", || {
        "other bytes came back".to_owned()
    })?;
    let head = api(
        bench,
        &["head-object", "--bucket", BUCKET, "--key", "its copy"],
    )?;
    let kept =
        field(&head, "Metadata.color")? == "blue" && field(&head, "ContentType")? == "text/x-small";
    ensure(kept, || format!("{head}"))?;
    let tags = api(
        bench,
        &[
            "get-object-tagging",
            "--bucket",
            BUCKET,
            "--key",
            "its copy",
        ],
    )?;
    ensure(field(&tags, "TagSet.0.Value")? == "4711", || {
        format!("{tags}")
    })
}

/// How clients have an object written anew.
fn itself(bench: &Bench) -> Outcome {
    let object = url("a small one");
    for (option, value) in [("--storage-class", "STANDARD"), ("--sse", "AES256")] {
        text(bench, &["s3", "cp", &object, &object, option, value])?;
    }
    ensure(get(bench, BUCKET, "a small one", None)? == b"small", || {
        "other bytes came back".to_owned()
    })
}

fn replace(bench: &Bench) -> Outcome {
    let source = format!("{BUCKET}/a small one");
    let of = |key| {
        [
            "copy-object",
            "--bucket",
            BUCKET,
            "--key",
            key,
            "--copy-source",
            &source,
        ]
    };
    let replacing = ["--metadata-directive", "REPLACE", "--metadata", "color=red"];
    let copied = api(bench, &[&of("red")[..], &replacing].concat())?;
    field(&copied, "CopyObjectResult.ETag")?;
    field(&copied, "VersionId")?;
    let head = api(bench, &["head-object", "--bucket", BUCKET, "--key", "red"])?;
    ensure(field(&head, "Metadata.color")? == "red", || {
        format!("{head}")
    })?;
    refused(bench, "InvalidRequest", &of("a small one"))?;
    let unlike = [
        "--copy-source-if-match",
        "\"00000000000000000000000000000000\"",
    ];
    refused(
        bench,
        "PreconditionFailed",
        &[&of("never")[..], &unlike].concat(),
    )
}

fn large(bench: &Bench) -> Outcome {
    let (up, down) = (
        bench.scratch.join("copied"),
        bench.scratch.join("copied.back"),
    );
    let sent = make_file(&up, LARGE_BYTES, 4712)?;
    let (from, to) = (url("large"), url("large copy"));
    let quiet = ["s3", "cp", "--no-progress"];
    text(
        bench,
        &[&quiet[..], &[&up.to_string_lossy(), from.as_str()]].concat(),
    )?;
    text(bench, &[&quiet[..], &[from.as_str(), to.as_str()]].concat())?;
    text(
        bench,
        &[&quiet[..], &[to.as_str(), &down.to_string_lossy()]].concat(),
    )?;
    ensure(file_digest(&down)? == sent, || {
        "the bytes that came back are not the ones that went up".to_owned()
    })
}

fn attributes(bench: &Bench) -> Outcome {
    let of = |key| {
        [
            "get-object-attributes",
            "--bucket",
            BUCKET,
            "--key",
            key,
            "--object-attributes",
            "ETag",
            "ObjectSize",
            "ObjectParts",
            "StorageClass",
        ]
    };
    let told = api(bench, &of("large copy"))?;
    let right = field(&told, "ObjectSize")? == LARGE_BYTES.to_string()
        && field(&told, "ObjectParts.TotalPartsCount")? == "5"
        && field(&told, "StorageClass")? == "STANDARD";
    ensure(right, || format!("{told}"))
}

fn part(bench: &Bench) -> Outcome {
    let down = bench.scratch.join("part");
    let path = down.to_string_lossy();
    let of = ["get-object", "--bucket", BUCKET, "--key", "large copy"];
    let asked = ["--part-number", "5", &path];
    let told = api(bench, &[&of[..], &asked].concat())?;
    let bytes = std::fs::metadata(&down)?.len();
    let right = bytes == 8 << 20 && field(&told, "PartsCount")? == "5";
    ensure(right, || format!("{bytes} bytes: {told}"))?;
    put(bench, BUCKET, "one", b"whole")?;
    let of = ["get-object", "--bucket", BUCKET, "--key", "one"];
    let asked = ["--part-number", "2", &path];
    refused(bench, "InvalidPartNumber", &[&of[..], &asked].concat())
}
