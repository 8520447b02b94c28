//! CBOR: clear bodies, lists, manifests and their like, and every way to leave the encoding.

use stele_format::manifest::{
    ChecksumAlgorithm, ChecksumType, Manifest, ManifestKind, encode_entry_list,
};
use stele_format::record::{Attachment, EntryKind, RecordType, encode_chunk_list};

use super::{Case, as_is, invalid, poked, valid};
use crate::support::{
    bodies, bucket, bucket_with_lifecycle, bucket_with_rules, config, frontier, manifest,
    manifest_entry, stored,
};

pub fn cases() -> Vec<Case> {
    let mut all = valid_bodies();
    all.extend(encodings());
    all.extend(meanings());
    all.extend(lists());
    all.extend(manifests());
    all.extend(small_documents());
    all
}

fn typed(record_type: RecordType, clear: &[u8]) -> Vec<u8> {
    [&record_type.get().to_le_bytes(), clear].concat()
}

fn valid_bodies() -> Vec<Case> {
    let mut cases = Vec::new();
    for (body, attachments) in bodies() {
        let table: Vec<_> = attachments
            .iter()
            .map(|bytes| Attachment::of(bytes))
            .collect();
        let record_type = body.record_type();
        let name = format!("body-{record_type:?}").to_lowercase();
        cases.push(valid(&name, typed(record_type, &body.encode(&table))));
    }
    // A later type: its own keys are not read, but they are in the encoding.
    cases.push(valid(
        "body-later",
        typed(RecordType::Taped, &[0xa2, 1, 0x61, b'x', 2, 0x80]),
    ));
    cases
}

/// Violations of the encoding, shown on LOSS: {1: segment, 2: lane, 3: from, 4: to}.
fn encodings() -> Vec<Case> {
    let case = |name: &str, clear: &[u8], expected: &str| {
        invalid(
            &format!("body-{name}"),
            typed(RecordType::Loss, clear),
            expected,
        )
    };
    vec![
        case("empty", &[], "Body.cbor@0 Short"),
        case("not-a-map", &[0x84, 1, 2, 3, 4], "Body.map@0 Type"),
        case("cut", &[0xa4, 1, 7, 2, 2, 3, 0x10, 4], "Body.cbor@8 Short"),
        case(
            "trailing-byte",
            &[0xa4, 1, 7, 2, 2, 3, 0x10, 4, 0x17, 0],
            "Body.cbor@9 Trailing",
        ),
        case(
            "integer-too-long-8",
            &[0xa4, 1, 0x18, 7, 2, 2, 3, 0, 4, 1],
            "Body.cbor@2 NonMinimal",
        ),
        case(
            "integer-too-long-16",
            &[0xa4, 1, 0x19, 0, 0xff, 2, 2, 3, 0, 4, 1],
            "Body.cbor@2 NonMinimal",
        ),
        case(
            "integer-too-long-32",
            &[0xa4, 1, 0x1a, 0, 0, 0xff, 0xff, 2, 2, 3, 0, 4, 1],
            "Body.cbor@2 NonMinimal",
        ),
        case(
            "integer-too-long-64",
            &[
                0xa4, 1, 0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 2, 2, 3, 0, 4, 1,
            ],
            "Body.cbor@2 NonMinimal",
        ),
        case(
            "length-too-long",
            &[0xb8, 4, 1, 7, 2, 2, 3, 0, 4, 1],
            "Body.cbor@0 NonMinimal",
        ),
        case(
            "key-too-long",
            &[0xa4, 0x18, 1, 7, 2, 2, 3, 0, 4, 1],
            "Body.cbor@1 NonMinimal",
        ),
        case(
            "indefinite-map",
            &[0xbf, 1, 7, 2, 2, 3, 0, 4, 1, 0xff],
            "Body.cbor@0 Indefinite",
        ),
        case(
            "indefinite-array",
            &[0xa1, 1, 0x9f, 0xff],
            "Body.cbor@2 Indefinite",
        ),
        case(
            "indefinite-bytes",
            &[0xa1, 1, 0x5f, 0x41, 0, 0xff],
            "Body.cbor@2 Indefinite",
        ),
        case(
            "indefinite-text",
            &[0xa1, 1, 0x7f, 0x61, b'a', 0xff],
            "Body.cbor@2 Indefinite",
        ),
        case(
            "keys-out-of-order",
            &[0xa4, 2, 2, 1, 7, 3, 0, 4, 1],
            "Body.cbor@3 KeyOrder",
        ),
        case(
            "key-twice",
            &[0xa4, 1, 7, 1, 7, 3, 0, 4, 1],
            "Body.cbor@3 DuplicateKey",
        ),
        case(
            "negative-integer",
            &[0xa1, 1, 0x20],
            "Body.cbor@2 Unsupported",
        ),
        case("tag", &[0xa1, 1, 0xc0, 0x60], "Body.cbor@2 Unsupported"),
        case("boolean", &[0xa1, 1, 0xf5], "Body.cbor@2 Unsupported"),
        case("null", &[0xa1, 1, 0xf6], "Body.cbor@2 Unsupported"),
        case(
            "float",
            &[0xa1, 1, 0xf9, 0x3c, 0],
            "Body.cbor@2 Unsupported",
        ),
        case("reserved-head", &[0xa1, 1, 0x1c], "Body.cbor@2 Unsupported"),
        case("not-utf8", &[0xa1, 1, 0x61, 0xff], "Body.cbor@2 Utf8"),
        case(
            "length-beyond-end",
            &[0xa1, 1, 0x5a, 0xff, 0xff, 0xff, 0xff],
            "Body.cbor@2 Short",
        ),
        case(
            "array-beyond-end",
            &[0xa1, 1, 0x9a, 0xff, 0xff, 0xff, 0xff],
            "Body.cbor@7 Short",
        ),
        case(
            "nested-too-deeply",
            &[0xa1, 1, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0],
            "Body.cbor@9 Depth",
        ),
    ]
}

/// Violations of what a type says.
fn meanings() -> Vec<Case> {
    use RecordType::{Commit, DeleteMarker, Hold, Loss, Marker, Part, Refused, Release, Trim};
    let case = |name: &str, record_type, clear: &[u8], expected: &str| {
        invalid(&format!("body-{name}"), typed(record_type, clear), expected)
    };
    let digest = [&[0x58, 0x20][..], &[0x5a; 32]].concat();
    let manifest = [&[0, 0x81, 0x82][..], &digest, &[0x18, 72]].concat();
    let with_manifest = |head: u8, rest: &[u8]| [&[head][..], &manifest, rest].concat();
    let root = [&[0x58, 0x20][..], &[0; 32]].concat();
    vec![
        case(
            "key-missing",
            Loss,
            &[0xa3, 1, 7, 2, 2, 3, 0],
            "Body.key@7 MissingKey",
        ),
        case(
            "key-unknown",
            Loss,
            &[0xa5, 1, 7, 2, 2, 3, 0, 4, 1, 5, 0],
            "Body.key@10 UnknownKey",
        ),
        case(
            "key-of-another-type",
            Hold,
            &[0xa1, 1, 7],
            "Body.key@2 UnknownKey",
        ),
        case(
            "value-of-wrong-type",
            Loss,
            &[0xa1, 1, 0x60],
            "Body.segment@2 Type",
        ),
        case(
            "lane-above-16-bits",
            Loss,
            &[0xa2, 1, 7, 2, 0x1a, 0, 1, 0, 0],
            "Body.lane@4 Limit",
        ),
        case("reason-4", Release, &[0xa1, 1, 4], "Body.reason@3 Value"),
        case(
            "attachments-empty",
            Hold,
            &[0xa1, 0, 0x80],
            "Body.attachments@3 Count",
        ),
        case(
            "attachment-not-allowed",
            Hold,
            &with_manifest(0xa1, &[]),
            "Body.attachments@0 Count",
        ),
        case(
            "attachment-missing",
            DeleteMarker,
            &[0xa0],
            "Body.attachments@0 Count",
        ),
        case(
            "commit-without-manifest",
            Commit,
            &[0xa3, 1, 0, 2, 0, 3, 0x80],
            "Body.attachments@0 Count",
        ),
        case(
            "manifest-not-first",
            Commit,
            &with_manifest(0xa4, &[1, 1, 2, 0, 3, 0x80]),
            "Body.manifest@42 Value",
        ),
        case(
            "inline-chunk-missing",
            Commit,
            &with_manifest(
                0xa4,
                &[&[1, 0, 2, 0, 3, 0x81, 0x83, 0][..], &digest, &[0x18, 72]].concat(),
            ),
            "Body.entries@0 Count",
        ),
        case(
            "data-lane-without-chunks",
            Commit,
            &with_manifest(0xa5, &[1, 0, 2, 1, 3, 0x80, 5, 0x82, 3, 4]),
            "Body.attachments@0 Count",
        ),
        case(
            "span-missing",
            Commit,
            &with_manifest(0xa4, &[1, 0, 2, 1, 3, 0x80]),
            "Body.key@46 MissingKey",
        ),
        case(
            "span-the-wrong-way-round",
            Commit,
            &with_manifest(0xa5, &[1, 0, 2, 1, 3, 0x80, 5, 0x82, 4, 3]),
            "Body.span@50 Value",
        ),
        case(
            "trim-of-segments-not-in-order",
            Trim,
            &[0xa2, 1, 0, 2, 0x82, 4, 3],
            "Body.segments@7 Value",
        ),
        case(
            "trim-done-on-no-disk",
            Trim,
            &[0xa2, 1, 1, 2, 0x81, 3],
            "Body.key@6 MissingKey",
        ),
        case(
            "part-number-0",
            Part,
            &with_manifest(0xa4, &[1, 0, 2, 0, 3, 0x80]),
            "Body.part number@42 Value",
        ),
        case(
            "marker-of-unknown-tree",
            Marker,
            &[&[0xa3, 1, 0, 2][..], &root, &[3, 0x80]].concat(),
            "Body.log_root@40 Value",
        ),
        case(
            "marker-root-is-not-the-nodes",
            Marker,
            &[&[0xa3, 1, 1, 2][..], &root, &[3, 0x81], &digest].concat(),
            "Body.log_root@74 Digest",
        ),
        case(
            "marker-nodes-do-not-fit-size",
            Marker,
            &[&[0xa3, 1, 3, 2][..], &root, &[3, 0x81], &root].concat(),
            "Body.frontier@74 Count",
        ),
        case(
            "refused-none",
            Refused,
            &[0xa1, 1, 0x80],
            "Body.attempts@3 Count",
        ),
        case(
            "refused-never",
            Refused,
            &[0xa1, 1, 0x81, 0x86, 0, 0x61, b'w', 0x61, b'y', 0, 1, 1],
            "Body.attempt@12 Value",
        ),
        case(
            "refused-last-before-first",
            Refused,
            &[0xa1, 1, 0x81, 0x86, 0, 0x61, b'w', 0x61, b'y', 1, 2, 1],
            "Body.attempt@12 Value",
        ),
        case(
            "refused-word-of-capitals",
            Refused,
            &[0xa1, 1, 0x81, 0x86, 0, 0x61, b'W', 0x61, b'y', 1, 1, 1],
            "Body.what@7 Value",
        ),
        case(
            "refused-who-4",
            Refused,
            &[0xa1, 1, 0x81, 0x86, 4, 0x61, b'w', 0x61, b'y', 1, 1, 1],
            "Body.who@12 Value",
        ),
        case(
            "refused-more-of-a-client",
            Refused,
            &[
                0xa1, 1, 0x81, 0x87, 0, 0x61, b'w', 0x61, b'y', 1, 1, 1, 0x61, b'K',
            ],
            "Body.attempt@12 Count",
        ),
    ]
}

fn lists() -> Vec<Case> {
    let chunks = encode_chunk_list(&[
        stored(EntryKind::Chunk, b"one"),
        stored(EntryKind::Chunk, b"two"),
    ]);
    let entries = encode_entry_list(&[manifest_entry(EntryKind::Chunk)]);
    // Array head, tuple head, kind, digest with a head of two bytes, then the lengths.
    vec![
        valid("chunk-list", chunks.clone()),
        invalid(
            "chunk-list-kind-3",
            poked(&chunks, 2, &[3], as_is),
            "ChunkList.entry kind@3 Value",
        ),
        invalid(
            "chunk-list-empty-chunk",
            poked(&chunks, 37, &[0], as_is),
            "ChunkList.entry length@38 Value",
        ),
        invalid("chunk-list-cut", &chunks[..40], "ChunkList.cbor@40 Short"),
        invalid(
            "chunk-list-short-digest",
            [&[0x81, 0x83, 0, 0x41, 0, 1][..]].concat(),
            "ChunkList.entry digest@5 Count",
        ),
        valid("entry-list", entries.to_vec()),
        invalid(
            "entry-list-clear-list",
            poked(&entries, 2, &[1], as_is),
            "EntryList.entry kind@3 Value",
        ),
        invalid(
            "entry-list-chunk-counts-2",
            poked(&entries, entries.len() - 1, &[2], as_is),
            "EntryList.entry count@82 Value",
        ),
    ]
}

fn manifests() -> Vec<Case> {
    let delete_marker = Manifest {
        kind: ManifestKind::DeleteMarker,
        name: b"gone".to_vec(),
        ..Manifest::default()
    };
    let tags = Manifest {
        kind: ManifestKind::Tags,
        tags: vec![("case".to_owned(), "4711".to_owned())],
        ..Manifest::default()
    };
    let upload = Manifest {
        kind: ManifestKind::Upload,
        announced: Some((ChecksumAlgorithm::Crc32c, ChecksumType::FullObject)),
        ..Manifest::default()
    };
    let case = |name: &str, bytes: &[u8], expected: &str| {
        invalid(&format!("manifest-{name}"), bytes, expected)
    };
    let long_name = [&[0xa3, 1, 0, 2, 0x59, 4, 1][..], &[b'n'; 1025], &[3, 0]].concat();
    vec![
        valid("manifest", manifest().encode().to_vec()),
        valid("manifest-delete-marker", delete_marker.encode().to_vec()),
        valid("manifest-tags", tags.encode().to_vec()),
        valid("manifest-announced", upload.encode().to_vec()),
        case("kind-6", &[0xa2, 1, 6, 3, 0], "Manifest.kind@3 Value"),
        case("no-kind", &[0xa1, 3, 0], "Manifest.key@2 MissingKey"),
        case("name-1025-bytes", &long_name, "Manifest.name@1032 Limit"),
        case(
            "name-empty",
            &[0xa3, 1, 0, 2, 0x40, 3, 0],
            "Manifest.cbor@0 NotCanonical",
        ),
        case(
            "etag-empty",
            &[0xa3, 1, 0, 3, 0, 4, 0x60],
            "Manifest.cbor@0 NotCanonical",
        ),
        case(
            "tags-empty",
            &[0xa3, 1, 0, 3, 0, 8, 0x80],
            "Manifest.tags@7 Count",
        ),
        case(
            "headers-not-sorted",
            &[
                0xa3, 1, 0, 3, 0, 5, 0xa2, 0x62, b'b', b'b', 0x60, 0x61, b'a', 0x60,
            ],
            "Manifest.cbor@11 KeyOrder",
        ),
        case(
            "checksum-of-wrong-length",
            &[0xa3, 1, 0, 3, 0, 7, 0x81, 0x83, 1, 0, 0x43, 1, 2, 3],
            "Manifest.checksum value@14 Count",
        ),
        case(
            "lock-without-hold",
            &[0xa3, 1, 0, 3, 0, 10, 0xa2, 1, 0, 2, 0],
            "Manifest.key@11 MissingKey",
        ),
        case(
            "part-number-10001",
            &[0xa3, 1, 0, 3, 0, 13, 0x19, 0x27, 0x11],
            "Manifest.part number@9 Value",
        ),
        case(
            "announced-type-2",
            &[0xa3, 1, 2, 3, 0, 15, 0x82, 1, 2],
            "Manifest.announced type@9 Value",
        ),
        case(
            "unknown-key",
            &[0xa3, 1, 0, 3, 0, 16, 0],
            "Manifest.key@6 UnknownKey",
        ),
    ]
}

/// A bucket document with these rules under key 8, one byte of prefix each.
fn rules(name: &str, rules: &[(&[u8; 1], u8)], expected: &str) -> Case {
    let fixed = [
        0xa8, 1, 0x61, b'b', 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0x60, 8,
    ];
    let count = 0x80 + u8::try_from(rules.len()).expect("a few");
    let mut bytes = [&fixed[..], &[count]].concat();
    for (prefix, days) in rules {
        bytes.extend([0x82, 0x41, prefix[0], *days]);
    }
    invalid(&format!("bucket-rules-{name}"), bytes, expected)
}

/// A bucket document with these lifecycle rules: an id of one byte, then the form, prefix and so on as numbers.
fn lifecycle(name: &str, rules: &[(&[u8; 1], [u8; 10])], expected: &str) -> Case {
    let fixed = [
        0xa8, 1, 0x61, b'b', 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0x60, 9,
    ];
    let count = 0x80 + u8::try_from(rules.len()).expect("a few");
    let mut bytes = [&fixed[..], &[count]].concat();
    for (id, rest) in rules {
        bytes.extend([0x8b, 0x61, id[0]]);
        bytes.extend(rest);
    }
    invalid(&format!("bucket-lifecycle-{name}"), bytes, expected)
}

fn small_documents() -> Vec<Case> {
    let size_only = [&2_u64.to_le_bytes()[..], &[0x5a; 64]].concat();
    vec![
        valid("bucket", bucket().encode().to_vec()),
        invalid(
            "bucket-kind-3",
            &[0xa2, 1, 0x61, b'b', 2, 3][..],
            "BucketBody.kind@6 Value",
        ),
        valid("bucket-rules", bucket_with_rules().encode().to_vec()),
        rules("days-0", &[(b"a", 0)], "BucketBody.rule days@22 Value"),
        rules(
            "not-in-order",
            &[(b"b", 1), (b"a", 1)],
            "BucketBody.rules@26 KeyOrder",
        ),
        rules(
            "twice",
            &[(b"a", 1), (b"a", 2)],
            "BucketBody.rules@26 KeyOrder",
        ),
        rules("empty", &[], "BucketBody.rules@18 Count"),
        valid(
            "bucket-lifecycle",
            bucket_with_lifecycle().encode().to_vec(),
        ),
        lifecycle(
            "of-nothing",
            &[(b"a", [1, 0x40, 0, 0, 0, 0, 0, 0, 0, 0])],
            "BucketBody.lifecycle rule@31 Value",
        ),
        lifecycle(
            "form-6",
            &[(b"a", [6, 0x40, 0, 0, 0, 1, 0, 0, 0, 0])],
            "BucketBody.rule form@22 Value",
        ),
        lifecycle(
            "size-without-form",
            &[(b"a", [2, 0x40, 1, 0, 0, 0, 1, 1, 0, 0])],
            "BucketBody.lifecycle rule@31 Value",
        ),
        lifecycle(
            "form-without-size",
            &[(b"a", [3, 0x40, 0, 0, 0, 0, 1, 1, 0, 0])],
            "BucketBody.lifecycle rule@31 Value",
        ),
        lifecycle(
            "days-0",
            &[(b"a", [1, 0x40, 0, 0, 0, 0, 1, 0, 0, 0])],
            "BucketBody.current expiry@29 Value",
        ),
        lifecycle(
            "kind-4",
            &[(b"a", [1, 0x40, 0, 0, 0, 0, 4, 0, 0, 0])],
            "BucketBody.current expiry@29 Value",
        ),
        lifecycle(
            "lone-marker-with-days",
            &[(b"a", [1, 0x40, 0, 0, 0, 0, 3, 1, 0, 0])],
            "BucketBody.current expiry@29 Value",
        ),
        lifecycle(
            "kept-without-days",
            &[(b"a", [1, 0x40, 0, 0, 0, 0, 1, 1, 0, 2])],
            "BucketBody.noncurrent days@31 Value",
        ),
        lifecycle(
            "twice",
            &[
                (b"a", [1, 0x40, 0, 0, 0, 1, 0, 0, 0, 0]),
                (b"a", [1, 0x40, 0, 0, 0, 0, 0, 0, 1, 0]),
            ],
            "BucketBody.rule id@44 Value",
        ),
        lifecycle("empty", &[], "BucketBody.lifecycle@18 Count"),
        valid("config", config().encode().to_vec()),
        invalid(
            "config-without-value",
            &[0xa1, 1, 0x61, b'n'][..],
            "ConfigBody.key@4 MissingKey",
        ),
        valid("frontier", frontier(13).encode()),
        invalid(
            "frontier-nodes-do-not-fit-size",
            size_only,
            "Frontier.nodes@8 Count",
        ),
        invalid("frontier-short", &[0; 7][..], "Frontier.size@0 Short"),
    ]
}
