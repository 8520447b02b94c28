//! What a gateway's question must look like, whoever runs the gateway.
//!
//! The honest gateway has checked all of this and more before it asks. Rules about keys, metadata,
//! retention and rights stand in the store; here stands what only bounds the work of an answer.

use stele_gateway::limits::{
    KEY_BYTES_MAX, LIFECYCLE_ID_BYTES_MAX, LIFECYCLE_PREFIX_BYTES_MAX, LIFECYCLE_RULE_COUNT_MAX,
    LIST_ENTRIES_MAX, PART_NUMBER_MAX, TAGS_MAX, UPLOAD_WHOLE_BYTES, VAULT_KEYS_PREFIX,
};
use stele_gateway::message::{
    Checksum, Conditions, LifecycleRule, ListWish, Metadata, ObjectName, Purpose, Refusal, Request,
};
use stele_store::limits::METADATA_BYTES_MAX;

/// Algorithms of checksums.
const CHECKSUM_COUNT_MAX: usize = 5;
/// Bytes of the longest of them, SHA-256.
const CHECKSUM_BYTES_MAX: usize = 32;

/// What the store counts for each pair of metadata, at least.
const PAIR_BYTES: usize = 8;

/// Refuses what no honest gateway asks.
///
/// # Errors
/// `VaultKey` for a change of a key of the vault itself, `NoSuchBucket` for what can be no bucket's name, `Part` and
/// `PartOrder` for numbers of parts, `TooLarge` and `MetadataTooLarge` for what is longer than anything that is stored,
/// `Checksum` for what can be none, `Busy` for a listing that is too long, `NotAllowed` for lifecycle rules that are.
pub fn verify(request: &Request) -> Result<(), Refusal> {
    if let Some(name) = changed(request) {
        short(&[Some(&name.bucket), Some(&name.key)])?;
        if name.key.starts_with(VAULT_KEYS_PREFIX) {
            return Err(Refusal::VaultKey);
        }
    }
    match request {
        Request::CreateBucket { name, .. } if !is_bucket_name(name) => Err(Refusal::NoSuchBucket),
        Request::CommitPut {
            checksums,
            conditions,
            ..
        } => digests(checksums, conditions),
        Request::Put {
            purpose,
            content,
            checksums,
            conditions,
            ..
        } => {
            digests(checksums, conditions)?;
            if content.0.len() > UPLOAD_WHOLE_BYTES {
                return Err(Refusal::TooLarge {
                    bytes_max: UPLOAD_WHOLE_BYTES as u64,
                });
            }
            becoming(purpose)
        }
        Request::List(wish) | Request::ListVersions(wish) | Request::ListUploads(wish) => {
            list(wish)
        }
        Request::ListParts { parts_max, .. } if *parts_max > LIST_ENTRIES_MAX => Err(Refusal::Busy),
        Request::OpenPut { purpose, .. } => becoming(purpose),
        Request::CreateUpload { metadata, .. } => fits(metadata),
        Request::CompleteUpload {
            parts,
            checksums,
            conditions,
            ..
        } => {
            digests(checksums, conditions)?;
            if parts.len() > usize::from(PART_NUMBER_MAX) {
                return Err(Refusal::PartOrder);
            }
            parts.iter().try_for_each(|named| {
                short(&[Some(&named.etag)])?;
                checksums_of(&named.checksums)?;
                part(named.number)
            })
        }
        Request::SetTags { tags, .. } => {
            few(tags)?;
            tags.iter()
                .try_for_each(|(key, value)| short(&[Some(key), Some(value)]))
        }
        Request::SetLifecycle { rules, .. } => lifecycle(rules),
        _ => Ok(()),
    }
}

/// The name that a question changes something about, if it changes anything.
fn changed(request: &Request) -> Option<&ObjectName> {
    match request {
        Request::OpenPut { name, .. }
        | Request::Put { name, .. }
        | Request::Delete { name, .. }
        | Request::SetRetention { name, .. }
        | Request::SetHold { name, .. }
        | Request::SetTags { name, .. }
        | Request::CreateUpload { name, .. }
        | Request::CompleteUpload { name, .. }
        | Request::AbortUpload { name, .. } => Some(name),
        _ => None,
    }
}

fn becoming(purpose: &Purpose) -> Result<(), Refusal> {
    match purpose {
        Purpose::Part { number, .. } => part(*number),
        Purpose::Object { metadata, .. } => fits(metadata),
    }
}

/// No object has more tags.
fn few(tags: &[(String, String)]) -> Result<(), Refusal> {
    match tags.len() <= TAGS_MAX {
        true => Ok(()),
        false => Err(Refusal::MetadataTooLarge {
            bytes_max: METADATA_BYTES_MAX,
        }),
    }
}

fn lifecycle(rules: &[LifecycleRule]) -> Result<(), Refusal> {
    let fits = |rule: &LifecycleRule| {
        rule.id.len() <= LIFECYCLE_ID_BYTES_MAX && rule.prefix.len() <= LIFECYCLE_PREFIX_BYTES_MAX
    };
    match rules.len() <= LIFECYCLE_RULE_COUNT_MAX && rules.iter().all(fits) {
        true => Ok(()),
        false => Err(Refusal::NotAllowed(
            "no bucket has so many lifecycle rules, or ones that long".to_owned(),
        )),
    }
}

/// Metadata that a record holds; the store counts it exactly.
fn fits(metadata: &Metadata) -> Result<(), Refusal> {
    few(&metadata.tags)?;
    let pairs = metadata.headers.iter().chain(&metadata.user);
    let pairs = pairs.chain(&metadata.tags);
    let bytes: usize = pairs
        .map(|(name, value)| name.len() + value.len() + PAIR_BYTES)
        .sum();
    match bytes + metadata.storage_class.len() <= METADATA_BYTES_MAX as usize {
        true => Ok(()),
        false => Err(Refusal::MetadataTooLarge {
            bytes_max: METADATA_BYTES_MAX,
        }),
    }
}

fn part(number: u16) -> Result<(), Refusal> {
    match number {
        1..=PART_NUMBER_MAX => Ok(()),
        _ => Err(Refusal::Part { number }),
    }
}

/// One of each algorithm, none longer than the longest.
fn checksums_of(checksums: &[Checksum]) -> Result<(), Refusal> {
    let fits = |checksum: &Checksum| checksum.value.len() <= CHECKSUM_BYTES_MAX;
    match checksums.len() <= CHECKSUM_COUNT_MAX && checksums.iter().all(fits) {
        true => Ok(()),
        false => Err(Refusal::Checksum),
    }
}

fn digests(checksums: &[Checksum], conditions: &Conditions) -> Result<(), Refusal> {
    checksums_of(checksums)?;
    short(&[
        conditions.if_match.as_ref(),
        conditions.if_none_match.as_ref(),
    ])
}

/// Nothing a client names is longer than a key.
fn short(texts: &[Option<&String>]) -> Result<(), Refusal> {
    let fits = |text: &&String| text.len() <= KEY_BYTES_MAX;
    match texts.iter().flatten().all(fits) {
        true => Ok(()),
        false => Err(Refusal::TooLarge {
            bytes_max: KEY_BYTES_MAX as u64,
        }),
    }
}

fn list(wish: &ListWish) -> Result<(), Refusal> {
    short(&[
        Some(&wish.prefix),
        wish.delimiter.as_ref(),
        wish.after.as_ref(),
        wish.after_version.as_ref(),
    ])?;
    match wish.entries_max {
        0..=LIST_ENTRIES_MAX => Ok(()),
        _ => Err(Refusal::Busy),
    }
}

/// S3's rule for names of buckets: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and
/// ending with a letter or digit.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| plain(byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use stele_gateway::message::{ChecksumKind, FilterForm, LockWish};
    use stele_gateway::wire::Content;

    use super::*;

    #[test]
    fn keys_of_the_vault_are_read_and_never_changed() {
        for (key, expected) in [
            ("system.xml", Err(Refusal::VaultKey)),
            ("anything", Err(Refusal::VaultKey)),
        ] {
            let name = || ObjectName {
                bucket: "bucket".to_owned(),
                key: format!("{VAULT_KEYS_PREFIX}{key}"),
            };
            let put = Request::OpenPut {
                name: name(),
                purpose: Purpose::Part {
                    upload: stele_format::units::UploadId::from_bytes([1; 16]),
                    number: 1,
                },
                content_bytes: None,
            };
            assert_eq!(verify(&put), expected);
            assert_eq!(verify(&whole(name(), 1, 0)), expected);
            let delete = Request::Delete {
                name: name(),
                version: None,
                bypass: false,
            };
            assert_eq!(verify(&delete), expected);
            let hold = Request::SetHold {
                name: name(),
                version: None,
                on: true,
            };
            assert_eq!(verify(&hold), expected);
            let head = Request::Head {
                name: name(),
                version: None,
            };
            assert_eq!(verify(&head), Ok(()));
        }
    }

    fn whole(name: ObjectName, number: u16, checksum_bytes: usize) -> Request {
        Request::Put {
            name,
            purpose: Purpose::Part {
                upload: stele_format::units::UploadId::from_bytes([1; 16]),
                number,
            },
            content: Content::default(),
            md5: None,
            checksums: vec![Checksum {
                kind: ChecksumKind::Sha256,
                composite: false,
                value: vec![0; checksum_bytes],
            }],
            conditions: Conditions::default(),
        }
    }

    #[test]
    fn what_no_honest_gateway_asks_is_refused() {
        let check = |request: Request, expected: Result<(), Refusal>| {
            assert_eq!(verify(&request), expected, "{request:?}");
        };
        let bucket = |name: &str| Request::CreateBucket {
            name: name.to_owned(),
            lock: false,
        };
        check(bucket("abc"), Ok(()));
        check(bucket("a.b-c1"), Ok(()));
        for name in [
            "",
            "ab",
            "-abc",
            "abc.",
            "Abc",
            "a/b",
            "a\0bc",
            &"a".repeat(64),
        ] {
            check(bucket(name), Err(Refusal::NoSuchBucket));
        }
        let list = |entries_max| {
            Request::List(ListWish {
                entries_max,
                ..ListWish::default()
            })
        };
        let long = Request::List(ListWish {
            prefix: "x".repeat(KEY_BYTES_MAX + 1),
            ..ListWish::default()
        });
        let bytes_max = KEY_BYTES_MAX as u64;
        check(long, Err(Refusal::TooLarge { bytes_max }));
        check(list(1000), Ok(()));
        check(list(1001), Err(Refusal::Busy));
        check(list(u32::MAX), Err(Refusal::Busy));
        let name = || ObjectName {
            bucket: "bucket".to_owned(),
            key: "key".to_owned(),
        };
        check(whole(name(), 1, 32), Ok(()));
        check(whole(name(), 0, 32), Err(Refusal::Part { number: 0 }));
        check(whole(name(), 1, 33), Err(Refusal::Checksum));
        let long = ObjectName {
            key: "k".repeat(KEY_BYTES_MAX + 1),
            ..name()
        };
        check(whole(long, 1, 32), Err(Refusal::TooLarge { bytes_max }));
        let many = || Metadata {
            user: vec![(String::new(), String::new()); METADATA_BYTES_MAX as usize],
            ..Metadata::default()
        };
        let lock = LockWish::default;
        let open = Request::OpenPut {
            name: name(),
            purpose: Purpose::Object {
                metadata: many(),
                lock: lock(),
            },
            content_bytes: None,
        };
        let bytes_max = METADATA_BYTES_MAX;
        check(open, Err(Refusal::MetadataTooLarge { bytes_max }));
        let create = Request::CreateUpload {
            name: name(),
            metadata: many(),
            lock: lock(),
            checksum: None,
        };
        check(create, Err(Refusal::MetadataTooLarge { bytes_max }));
    }

    #[test]
    fn tags_and_lifecycle_rules_are_as_few_and_short_as_those_of_the_honest_gateway() {
        let tags = |count: usize, bytes: usize| Request::SetTags {
            name: ObjectName {
                bucket: "bucket".to_owned(),
                key: "key".to_owned(),
            },
            version: None,
            tags: vec![("k".to_owned(), "v".repeat(bytes)); count],
        };
        // The longest value in characters of four bytes.
        assert_eq!(verify(&tags(10, 1_024)), Ok(()));
        let refused = |request: &Request| verify(request).expect_err("refused");
        let many = refused(&tags(11, 1));
        assert!(matches!(many, Refusal::MetadataTooLarge { .. }), "{many:?}");
        let long = refused(&tags(1, 1_025));
        assert!(matches!(long, Refusal::TooLarge { .. }), "{long:?}");
        let rules = |count: usize, id: usize, prefix: usize| {
            let rule = LifecycleRule {
                id: "i".repeat(id),
                form: FilterForm::FilterPrefix,
                prefix: "p".repeat(prefix),
                bytes_min: 0,
                bytes_below: 0,
                disabled: false,
                upload_days: Some(1),
                current: None,
                noncurrent: None,
            };
            Request::SetLifecycle {
                bucket: "bucket".to_owned(),
                rules: vec![rule; count],
            }
        };
        assert_eq!(verify(&rules(32, 255, 1_024)), Ok(()));
        for request in [rules(33, 1, 1), rules(1, 256, 1), rules(1, 1, 1_025)] {
            let why = refused(&request);
            assert!(matches!(why, Refusal::NotAllowed(_)), "{why:?}");
        }
    }
}
