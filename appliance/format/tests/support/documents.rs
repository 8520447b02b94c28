//! Sealed documents with fixed values.

use stele_format::digest::Digest;
use stele_format::manifest::{
    BucketBody, BucketKind, BucketRule, Checksum, ChecksumAlgorithm, ChecksumType, ChunkKey,
    ConfigBody, CurrentExpiry, FilterForm, LifecycleRule, LockWishes, Manifest, ManifestEntry,
    ManifestKind, NoncurrentExpiry,
};
use stele_format::record::{EntryKind, LockMode};
use stele_format::units::{ByteCount, UnixMillis};

use super::NOW;

pub fn manifest() -> Manifest {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Manifest {
        kind: ManifestKind::Object,
        name: b"backups/2026/full\xff.tar".to_vec(),
        content_bytes: ByteCount::new(3_000_000),
        etag: "00112233445566778899aabbccddeeff-2".to_owned(),
        content_headers: [
            pair("content-type", "application/x-tar"),
            pair("expires", "never"),
            pair("cache-control", "no-store"),
        ]
        .into(),
        user_metadata: vec![pair("zeta", "1"), pair("alpha", "2")],
        checksums: vec![
            Checksum {
                algorithm: ChecksumAlgorithm::Crc64Nvme,
                coverage: ChecksumType::FullObject,
                value: vec![8; 8],
            },
            Checksum {
                algorithm: ChecksumAlgorithm::Sha256,
                coverage: ChecksumType::Composite,
                value: vec![32; 32],
            },
        ],
        tags: vec![pair("site", "rack 2")],
        entries: vec![
            manifest_entry(EntryKind::Chunk),
            manifest_entry(EntryKind::SealedList),
        ],
        lock_wishes: Some(LockWishes {
            mode: LockMode::Governance,
            until: NOW,
            hold: true,
        }),
        part_sizes: vec![ByteCount::new(2_000_000), ByteCount::new(1_000_000)],
        storage_class: "STANDARD".to_owned(),
        part_number: Some(3),
        md5: Some([0x0d; 16]),
        announced: None,
    }
}

pub fn manifest_entry(kind: EntryKind) -> ManifestEntry {
    let list = kind == EntryKind::SealedList;
    ManifestEntry {
        kind,
        digest: Digest([0x81; 32]),
        stored_bytes: 1_044_496,
        plain_bytes: ByteCount::new(if list { 2_000_000 } else { 1_000_000 }),
        key: ChunkKey::new([0x91; 32]),
        count: if list { 2 } else { 1 },
    }
}

pub fn bucket() -> BucketBody {
    BucketBody {
        name: "pharmacy-backups".to_owned(),
        kind: BucketKind::ClientLocked,
        default_mode: LockMode::Compliance,
        default_days: 30,
        default_years: 0,
        created_ms: NOW,
        owner: "stele".to_owned(),
        rules: Vec::new(),
        lifecycle: Vec::new(),
        max_days: 0,
    }
}

pub fn bucket_with_rules() -> BucketBody {
    let rule = |prefix: &str, days| BucketRule {
        prefix: prefix.into(),
        days,
    };
    BucketBody {
        rules: vec![rule("index/", 7), rule("locks/", 1)],
        ..bucket()
    }
}

pub fn bucket_with_lifecycle() -> BucketBody {
    let rule = |id: &str, form, prefix: &str, current, noncurrent| LifecycleRule {
        id: id.to_owned(),
        form,
        prefix: prefix.into(),
        bytes_min: 0,
        bytes_below: 0,
        disabled: false,
        upload_days: None,
        current,
        noncurrent,
    };
    let noncurrent = |days, kept| Some(NoncurrentExpiry { days, kept });
    let days = Some(CurrentExpiry::Days(30));
    let from = UnixMillis::new(1_893_456_000_000);
    let lone = Some(CurrentExpiry::LoneMarker);
    BucketBody {
        lifecycle: vec![
            LifecycleRule {
                upload_days: Some(1),
                ..rule("site", FilterForm::Prefix, "wal/", None, None)
            },
            LifecycleRule {
                bytes_min: 1,
                bytes_below: 1 << 20,
                ..rule("small", FilterForm::AndPrefix, "tmp/", days, None)
            },
            LifecycleRule {
                disabled: true,
                upload_days: Some(30),
                ..rule(
                    "once",
                    FilterForm::Whole,
                    "",
                    Some(CurrentExpiry::From(from)),
                    None,
                )
            },
            LifecycleRule {
                bytes_min: 6,
                ..rule("large", FilterForm::FilterSize, "", days, None)
            },
            LifecycleRule {
                bytes_below: 6,
                ..rule("sizes", FilterForm::AndSizes, "", days, None)
            },
            rule(
                "old",
                FilterForm::FilterPrefix,
                "wal/",
                lone,
                noncurrent(90, 3),
            ),
            rule("all", FilterForm::Whole, "", None, noncurrent(365, 0)),
        ],
        ..bucket_with_rules()
    }
}

pub fn config() -> ConfigBody {
    ConfigBody {
        name: "tls".to_owned(),
        value: b"secret".to_vec().into(),
    }
}
