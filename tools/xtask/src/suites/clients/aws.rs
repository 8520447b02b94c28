//! How Debian's aws-cli 2.9 is called: it knows no `AWS_ENDPOINT_URL`, so the endpoint is an
//! argument.

use super::Bench;
use crate::command::{Finished, Run};
use crate::failure::{Failure, Outcome};
use crate::install;
use serde_json::Value;

/// What it reads of `client.env`.
pub const VARIABLES: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
];

/// An aws-cli call with these arguments.
pub fn command(bench: &Bench, arguments: &[&str]) -> Outcome<Run> {
    Ok(bench
        .client(install::AWS.program, &VARIABLES)?
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "")
        .args(["--endpoint-url", bench.variable("AWS_ENDPOINT_URL")?])
        .args(["--output", "json"])
        .args(arguments))
}

/// A call that must succeed; its output.
pub fn text(bench: &Bench, arguments: &[&str]) -> Outcome<String> {
    command(bench, arguments)?.succeed()
}

/// An `s3api` call that must succeed; its answer (`Null` when there is none).
pub fn api(bench: &Bench, arguments: &[&str]) -> Outcome<Value> {
    let text = command(bench, &["s3api"])?.args(arguments).succeed()?;
    match text.trim() {
        "" => Ok(Value::Null),
        json => Ok(serde_json::from_str(json)?),
    }
}

/// An `s3api` call that must be refused with this S3 error code.
pub fn refused(bench: &Bench, code: &str, arguments: &[&str]) -> Outcome {
    attempt(bench, arguments)?.expect_refusal(&format!("({code})"))
}

/// An `s3api` call, however it ends.
pub fn attempt(bench: &Bench, arguments: &[&str]) -> Outcome<Finished> {
    command(bench, &["s3api"])?.args(arguments).finish()
}

/// A member of an answer as text.
pub fn field(value: &Value, name: &str) -> Outcome<String> {
    let found = name
        .split('.')
        .try_fold(value, |value, name| match name.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(name),
        });
    match found {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) if !other.is_null() => Ok(other.to_string()),
        _ => Err(Failure::new(format!("the answer has no {name}: {value}"))),
    }
}

/// The texts of one member of every entry of a list; an absent list is empty.
pub fn column(value: &Value, list: &str, name: &str) -> Vec<String> {
    let rows = value
        .get(list)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    rows.iter()
        .filter_map(|row| field(row, name).ok())
        .collect()
}

/// Stores a small body; returns the version id.
pub fn put(bench: &Bench, bucket: &str, key: &str, body: &[u8]) -> Outcome<String> {
    let file = bench.scratch.join("body");
    std::fs::write(&file, body)?;
    let file = file.to_string_lossy();
    let answer = api(
        bench,
        &[
            "put-object",
            "--bucket",
            bucket,
            "--key",
            key,
            "--body",
            &file,
        ],
    )?;
    field(&answer, "VersionId")
}

/// Reads an object (or a version) whole.
pub fn get(bench: &Bench, bucket: &str, key: &str, version: Option<&str>) -> Outcome<Vec<u8>> {
    let file = bench.scratch.join("got");
    let path = file.to_string_lossy();
    let mut arguments = vec!["get-object", "--bucket", bucket, "--key", key];
    if let Some(version) = version {
        arguments.extend(["--version-id", version]);
    }
    arguments.push(&path);
    api(bench, &arguments)?;
    Ok(std::fs::read(&file)?)
}
