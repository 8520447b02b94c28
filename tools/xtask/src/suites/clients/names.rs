//! aws-cli: object names that file systems and parsers stumble over.

use super::aws::{api, attempt, column, get, put};
use super::{Bench, Case};
use crate::failure::{Outcome, ensure};

const BUCKET: &str = "odd-names";

/// The checks in order.
pub const CASES: [Case; 3] = [
    ("names: odd names keep their bytes", odd_names),
    ("names: 1,024 bytes fit, one more is refused", longest),
    ("names: a name that is no UTF-8 is refused", not_utf8),
];

fn odd_names(bench: &Bench) -> Outcome {
    api(bench, &["create-bucket", "--bucket", BUCKET])?;
    let names = [
        "../../etc/passwd",
        "a/../b",
        "..",
        "a//b",
        "/leading",
        "trailing/",
        "control \u{1}\u{7f} bytes",
        "line\nbreak\ttab",
        "space and +plus%20percent",
        "?query=&amp;<xml>\"quoted\"'",
        "Grüße aus Österreich/ß",
        "日本語/😀",
        "back\\slash",
        "*~!()[]{}|^`$#@:;,",
    ];
    for name in names {
        let context = format!("{name:?}");
        put(bench, BUCKET, name, name.as_bytes()).map_err(|f| f.within(&context))?;
    }
    for name in names {
        let context = format!("{name:?}");
        let got = get(bench, BUCKET, name, None).map_err(|f| f.within(&context))?;
        ensure(got == name.as_bytes(), || {
            format!("{context}: another object came back")
        })?;
    }
    let listed = api(bench, &["list-objects-v2", "--bucket", BUCKET])?;
    let mut keys = column(&listed, "Contents", "Key");
    let mut want: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    want.sort();
    ensure(keys == want, || {
        keys.retain(|key| !want.contains(key));
        format!("listed wrongly or in the wrong order; unknown: {keys:?}")
    })
}

fn longest(bench: &Bench) -> Outcome {
    let longest = "n".repeat(1024);
    put(bench, BUCKET, &longest, b"long")?;
    let wide = "ä".repeat(512);
    put(bench, BUCKET, &wide, b"wide")?;
    ensure(get(bench, BUCKET, &longest, None)? == b"long", || {
        "1,024 bytes".to_owned()
    })?;
    ensure(get(bench, BUCKET, &wide, None)? == b"wide", || {
        "512 letters".to_owned()
    })?;
    let file = bench.scratch.join("body").to_string_lossy().into_owned();
    let too_long = "n".repeat(1025);
    let call = [
        "put-object",
        "--bucket",
        BUCKET,
        "--key",
        &too_long,
        "--body",
        &file,
    ];
    attempt(bench, &call)?.expect_refusal("(KeyTooLong")
}

/// aws-cli itself sends no such name, so this one goes by the built-in client.
fn not_utf8(bench: &Bench) -> Outcome {
    let answer = bench
        .server
        .client()
        .put_raw_name(BUCKET, b"broken \xff\xfe name", b"x")?;
    ensure((400..500).contains(&answer.status), || {
        format!("answered {}", answer.summary())
    })?;
    let again = get(bench, BUCKET, "..", None)?;
    ensure(again == b"..", || {
        "the server did not survive it".to_owned()
    })
}
