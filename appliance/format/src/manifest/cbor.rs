//! Documents to CBOR and back.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{
    BucketBody, BucketKind, BucketRule, Checksum, ChecksumAlgorithm, ChecksumType, ChunkKey,
    ConfigBody, CurrentExpiry, FilterForm, LifecycleRule, LockWishes, Manifest, ManifestEntry,
    ManifestKind, NoncurrentExpiry,
};
use crate::cbor::{MapWriter, Reader, Writer, encode_value};
use crate::codec::{DecodeError, Fault};
use crate::limits::{
    BUCKET_RULES_MAX, DOCUMENT_BYTES_MAX, KEY_BYTES_MAX, LIFECYCLE_RULES_MAX, PART_NUMBER_MAX,
    RULE_ID_BYTES_MAX,
};
use crate::record::{EntryKind, LockMode};
use crate::units::{ByteCount, UnixMillis};

const LIST_MAX: usize = 1 << 16;
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Bytes of an encoded manifest entry, at most.
const ENTRY_BYTES: usize = 96;

macro_rules! numbered {
    ($name:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $name {
            /// The number on media.
            #[must_use]
            pub const fn get(self) -> u8 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }

            /// The variant with this number.
            #[must_use]
            pub const fn new(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

numbered!(ManifestKind { Object = 0, DeleteMarker = 1, Upload = 2, Part = 3, List = 4, Tags = 5 });
numbered!(ChecksumAlgorithm { Crc32 = 1, Crc32c = 2, Sha1 = 3, Sha256 = 4, Crc64Nvme = 5 });
numbered!(ChecksumType { FullObject = 0, Composite = 1 });
numbered!(BucketKind { DefaultLocked = 0, ClientLocked = 1, Plain = 2 });
numbered!(FilterForm {
    Prefix = 0, Whole = 1, FilterPrefix = 2, FilterSize = 3, AndPrefix = 4, AndSizes = 5
});

type Pairs = [(String, String)];

fn pairs_bytes(pairs: &Pairs) -> usize {
    pairs
        .iter()
        .map(|(key, value)| key.len() + value.len() + 16)
        .sum()
}

fn write_pairs(w: &mut Writer<'_>, pairs: &Pairs) {
    w.list(pairs, |w, (key, value)| {
        w.array(2).text(key).text(value);
    });
}

fn read_pairs(
    r: &mut Reader<'_>,
    field: &'static str,
) -> Result<Vec<(String, String)>, DecodeError> {
    let pairs = r.list(field, LIST_MAX, |r| {
        r.tuple(field, 2)?;
        let key = r.text(field, TEXT_BYTES_MAX)?.to_owned();
        Ok((key, r.text(field, TEXT_BYTES_MAX)?.to_owned()))
    })?;
    filled(r, field, pairs)
}

/// An optional list is absent when empty.
fn filled<T>(r: &Reader<'_>, field: &'static str, list: Vec<T>) -> Result<Vec<T>, DecodeError> {
    if list.is_empty() {
        r.refuse(field, Fault::Count)
    } else {
        Ok(list)
    }
}

/// Deterministic CBOR sorts keys by their encoding: shorter first, then bytewise.
fn write_headers(w: &mut Writer<'_>, headers: &BTreeMap<String, String>) {
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
    w.map(sorted.len());
    sorted.into_iter().for_each(|(key, value)| {
        w.text(key).text(value);
    });
}

fn read_headers(r: &mut Reader<'_>) -> Result<BTreeMap<String, String>, DecodeError> {
    let field = "content_headers";
    let count = r.open_map(field)?;
    let mut headers = BTreeMap::new();
    for _ in 0..count {
        let key = r.text(field, TEXT_BYTES_MAX)?.to_owned();
        headers.insert(key, r.text(field, TEXT_BYTES_MAX)?.to_owned());
    }
    if headers.is_empty() {
        r.refuse(field, Fault::Count)
    } else {
        Ok(headers)
    }
}

fn write_entry(w: &mut Writer<'_>, entry: &ManifestEntry) {
    w.array(6)
        .uint(entry.kind.get())
        .bytes(entry.digest.as_bytes())
        .uint(entry.stored_bytes)
        .uint(entry.plain_bytes)
        .bytes(entry.key.expose())
        .uint(entry.count);
}

fn read_entry(r: &mut Reader<'_>) -> Result<ManifestEntry, DecodeError> {
    r.tuple("entry", 6)?;
    let sealed = |number| EntryKind::new(number).filter(|kind| *kind != EntryKind::ClearList);
    let entry = ManifestEntry {
        kind: r.variant("entry kind", sealed)?,
        digest: r.digest("entry digest")?,
        stored_bytes: r.small("entry length")?,
        plain_bytes: ByteCount::new(r.uint("entry plain length")?),
        key: ChunkKey::new(r.fixed("entry key")?),
        count: r.small("entry count")?,
    };
    let one = entry.kind == EntryKind::Chunk;
    if entry.count == 0 || (one && entry.count != 1) {
        return r.refuse("entry count", Fault::Value);
    }
    Ok(entry)
}

fn read_checksum(r: &mut Reader<'_>) -> Result<Checksum, DecodeError> {
    r.tuple("checksum", 3)?;
    let algorithm = r.variant("checksum algorithm", ChecksumAlgorithm::new)?;
    let coverage = r.variant("checksum type", ChecksumType::new)?;
    let value = r.bytes("checksum value", algorithm.bytes())?.to_vec();
    if value.len() == algorithm.bytes() {
        Ok(Checksum {
            algorithm,
            coverage,
            value,
        })
    } else {
        r.refuse("checksum value", Fault::Count)
    }
}

fn read_wishes(r: &mut Reader<'_>) -> Result<LockWishes, DecodeError> {
    let mut map = r.map()?;
    let wishes = LockWishes {
        mode: map.required(1, |r| r.variant("lock mode", LockMode::new))?,
        until: UnixMillis::new(map.required(2, |r| r.uint("lock until"))?),
        hold: map.required(3, |r| r.flag("lock hold"))?,
    };
    map.finish()?;
    Ok(wishes)
}

fn write_wishes(w: &mut Writer<'_>, wishes: LockWishes) {
    w.map(3);
    w.uint(1_u8).uint(wishes.mode.get());
    w.uint(2_u8).uint(wishes.until);
    w.uint(3_u8).uint(u8::from(wishes.hold));
}

fn open<'b>(noun: &'static str, bytes: &'b [u8]) -> Result<Reader<'b>, DecodeError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(DecodeError::new(noun, "cbor", 0, Fault::Limit));
    }
    Reader::open(noun, bytes)
}

/// The last check of every document: what was read encodes to the same bytes.
fn canonical<T>(
    noun: &'static str,
    value: T,
    encoded: &[u8],
    bytes: &[u8],
) -> Result<T, DecodeError> {
    if encoded == bytes {
        Ok(value)
    } else {
        Err(DecodeError::new(noun, "cbor", 0, Fault::NotCanonical))
    }
}

/// Plaintext of a sealed list chunk.
#[must_use]
pub fn encode_entry_list(entries: &[ManifestEntry]) -> Zeroizing<Vec<u8>> {
    let capacity = entries.len() * ENTRY_BYTES + 16;
    let out = Zeroizing::new(encode_value(capacity, |w| w.list(entries, write_entry)));
    debug_assert!(
        out.len() <= capacity,
        "a copy of a key was left behind by growing"
    );
    out
}

/// Reads what `encode_entry_list` wrote.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_entry_list(bytes: &[u8]) -> Result<Vec<ManifestEntry>, DecodeError> {
    let entries = open("EntryList", bytes)?.list("entries", LIST_MAX, read_entry)?;
    let encoded = encode_entry_list(&entries);
    canonical("EntryList", entries, &encoded, bytes)
}

fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

impl Manifest {
    const NOUN: &str = "Manifest";

    /// More than the encoding can take, so that no copy of a key is left behind by growing.
    fn capacity(&self) -> usize {
        512 + self.name.len()
            + self.etag.len()
            + self.storage_class.len()
            + self
                .content_headers
                .iter()
                .map(|(k, v)| k.len() + v.len() + 16)
                .sum::<usize>()
            + pairs_bytes(&self.user_metadata)
            + pairs_bytes(&self.tags)
            + self.checksums.len() * 48
            + self.entries.len() * ENTRY_BYTES
            + self.part_sizes.len() * 9
    }

    /// The plaintext that gets sealed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let capacity = self.capacity();
        let mut map = MapWriter::new(capacity);
        map.key(1).uint(self.kind.get());
        map.optional(2, some(&self.name), |w, name| {
            w.bytes(name);
        });
        map.key(3).uint(self.content_bytes);
        map.optional(4, some(self.etag.as_bytes()), |w, _| {
            w.text(&self.etag);
        });
        let headers = (!self.content_headers.is_empty()).then_some(&self.content_headers);
        map.optional(5, headers, write_headers);
        map.optional(6, some(&self.user_metadata), write_pairs);
        map.optional(7, some(&self.checksums), |w, checksums| {
            w.list(checksums, |w, sum| {
                w.array(3)
                    .uint(sum.algorithm.get())
                    .uint(sum.coverage.get())
                    .bytes(&sum.value);
            });
        });
        map.optional(8, some(&self.tags), write_pairs);
        map.optional(9, some(&self.entries), |w, entries| {
            w.list(entries, write_entry)
        });
        map.optional(10, self.lock_wishes, write_wishes);
        map.optional(11, some(&self.part_sizes), |w, sizes| {
            w.list(sizes, |w, size| {
                w.uint(*size);
            });
        });
        map.optional(12, some(self.storage_class.as_bytes()), |w, _| {
            w.text(&self.storage_class);
        });
        map.optional(13, self.part_number, |w, number| {
            w.uint(number);
        });
        map.optional(14, self.md5, |w, md5| {
            w.bytes(&md5);
        });
        map.optional(15, self.announced, |w, (algorithm, coverage)| {
            w.array(2).uint(algorithm.get()).uint(coverage.get());
        });
        map.finish_secret(capacity)
    }

    /// Reads the opened plaintext.
    ///
    /// # Errors
    /// What is wrong with the bytes; they were authentic, so a writer was wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open(Self::NOUN, bytes)?;
        let mut map = reader.map()?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let value = Self {
            kind: map.required(1, |r| r.variant("kind", ManifestKind::new))?,
            name: map
                .optional(2, |r| r.bytes("name", KEY_BYTES_MAX))?
                .unwrap_or_default()
                .to_vec(),
            content_bytes: ByteCount::new(map.required(3, |r| r.uint("content_bytes"))?),
            etag: text(map.optional(4, |r| r.text("etag", TEXT_BYTES_MAX))?),
            content_headers: map.optional(5, read_headers)?.unwrap_or_default(),
            user_metadata: map
                .optional(6, |r| read_pairs(r, "user_metadata"))?
                .unwrap_or_default(),
            checksums: map
                .optional(7, |r| r.list("checksums", LIST_MAX, read_checksum))?
                .unwrap_or_default(),
            tags: map
                .optional(8, |r| read_pairs(r, "tags"))?
                .unwrap_or_default(),
            entries: map
                .optional(9, |r| r.list("entries", LIST_MAX, read_entry))?
                .unwrap_or_default(),
            lock_wishes: map.optional(10, read_wishes)?,
            part_sizes: map
                .optional(11, |r| {
                    r.list("part_sizes", usize::from(PART_NUMBER_MAX), |r| {
                        r.uint("part size").map(ByteCount::new)
                    })
                })?
                .unwrap_or_default(),
            storage_class: text(map.optional(12, |r| r.text("storage_class", TEXT_BYTES_MAX))?),
            part_number: map.optional(13, read_part_number)?,
            md5: map.optional(14, |r| r.fixed("md5"))?,
            announced: map.optional(15, read_announced)?,
        };
        map.finish()?;
        let encoded = value.encode();
        canonical(Self::NOUN, value, &encoded, bytes)
    }
}

fn read_announced(r: &mut Reader<'_>) -> Result<(ChecksumAlgorithm, ChecksumType), DecodeError> {
    r.tuple("announced checksum", 2)?;
    let algorithm = r.variant("announced algorithm", ChecksumAlgorithm::new)?;
    Ok((algorithm, r.variant("announced type", ChecksumType::new)?))
}

fn read_part_number(r: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let number = r.small("part number")?;
    if (1..=PART_NUMBER_MAX).contains(&number) {
        Ok(number)
    } else {
        r.refuse("part number", Fault::Value)
    }
}

/// Each prefix once, in their order.
fn read_rules(r: &mut Reader<'_>) -> Result<Vec<BucketRule>, DecodeError> {
    let rules = r.list("rules", BUCKET_RULES_MAX, |r| {
        r.tuple("rule", 2)?;
        let prefix = r.bytes("rule prefix", KEY_BYTES_MAX)?.to_vec();
        let days = r.small("rule days")?;
        if days == 0 {
            return r.refuse("rule days", Fault::Value);
        }
        Ok(BucketRule { prefix, days })
    })?;
    if rules
        .iter()
        .zip(rules.iter().skip(1))
        .any(|(one, next)| one.prefix >= next.prefix)
    {
        return r.refuse("rules", Fault::KeyOrder);
    }
    filled(r, "rules", rules)
}

/// Each id once, in the order in which they were set.
fn read_lifecycle(r: &mut Reader<'_>) -> Result<Vec<LifecycleRule>, DecodeError> {
    let mut rules: Vec<LifecycleRule> = Vec::new();
    r.list("lifecycle", LIFECYCLE_RULES_MAX, |r| {
        r.tuple("lifecycle rule", 11)?;
        let rule = LifecycleRule {
            id: r.text("rule id", RULE_ID_BYTES_MAX)?.to_owned(),
            form: r.variant("rule form", FilterForm::new)?,
            prefix: r.bytes("rule prefix", KEY_BYTES_MAX)?.to_vec(),
            bytes_min: r.uint("rule bytes_min")?,
            bytes_below: r.uint("rule bytes_below")?,
            disabled: r.flag("rule disabled")?,
            upload_days: Some(r.small("rule upload days")?).filter(|days| *days != 0),
            current: read_current_expiry(r)?,
            noncurrent: read_noncurrent_expiry(r)?,
        };
        if !rule.is_whole() {
            return r.refuse("lifecycle rule", Fault::Value);
        }
        if rules.iter().any(|before| before.id == rule.id) {
            return r.refuse("rule id", Fault::Value);
        }
        rules.push(rule);
        Ok(())
    })?;
    filled(r, "lifecycle", rules)
}

/// Kind and value.
fn read_current_expiry(r: &mut Reader<'_>) -> Result<Option<CurrentExpiry>, DecodeError> {
    const FIELD: &str = "current expiry";
    let kind = r.small::<u8>("current expiry kind")?;
    let value = r.uint(FIELD)?;
    match (kind, value) {
        (0, 0) => Ok(None),
        (1, days @ 1..) => match u32::try_from(days) {
            Ok(days) => Ok(Some(CurrentExpiry::Days(days))),
            Err(_) => r.refuse(FIELD, Fault::Value),
        },
        (2, at @ 1..) => Ok(Some(CurrentExpiry::From(UnixMillis::new(at)))),
        (3, 0) => Ok(Some(CurrentExpiry::LoneMarker)),
        _ => r.refuse(FIELD, Fault::Value),
    }
}

/// Days, 0 for none, and how many stay.
fn read_noncurrent_expiry(r: &mut Reader<'_>) -> Result<Option<NoncurrentExpiry>, DecodeError> {
    let days = r.small("noncurrent days")?;
    let kept = r.small("noncurrent kept")?;
    match (days, kept) {
        (0, 0) => Ok(None),
        (0, _) => r.refuse("noncurrent days", Fault::Value),
        _ => Ok(Some(NoncurrentExpiry { days, kept })),
    }
}

fn write_lifecycle_rule(w: &mut Writer, rule: &LifecycleRule) {
    w.array(11).text(&rule.id).uint(rule.form.get());
    w.bytes(&rule.prefix);
    w.uint(rule.bytes_min).uint(rule.bytes_below);
    w.uint(u8::from(rule.disabled));
    w.uint(rule.upload_days.unwrap_or_default());
    let (kind, value) = match rule.current {
        None => (0_u8, 0),
        Some(CurrentExpiry::Days(days)) => (1, u64::from(days)),
        Some(CurrentExpiry::From(at)) => (2, at.get()),
        Some(CurrentExpiry::LoneMarker) => (3, 0),
    };
    w.uint(kind).uint(value);
    let (days, kept) = rule
        .noncurrent
        .map_or((0, 0), |rule| (rule.days, rule.kept));
    w.uint(days).uint(kept);
}

impl BucketBody {
    const NOUN: &str = "BucketBody";

    /// The plaintext that gets sealed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let rules: usize = self.rules.iter().map(|rule| rule.prefix.len() + 16).sum();
        let lifecycle = self.lifecycle.iter();
        let lifecycle: usize = lifecycle
            .map(|rule| rule.id.len() + rule.prefix.len() + 80)
            .sum();
        let capacity = 128 + self.name.len() + self.owner.len() + rules + lifecycle;
        let mut map = MapWriter::new(capacity);
        map.key(1).text(&self.name);
        map.key(2).uint(self.kind.get());
        map.key(3).uint(self.default_mode.get());
        map.key(4).uint(self.default_days);
        map.key(5).uint(self.default_years);
        map.key(6).uint(self.created_ms);
        map.key(7).text(&self.owner);
        map.optional(8, some(&self.rules), |w, rules| {
            w.list(rules, |w, rule| {
                w.array(2).bytes(&rule.prefix).uint(rule.days);
            });
        });
        map.optional(9, some(&self.lifecycle), |w, rules| {
            w.list(rules, write_lifecycle_rule);
        });
        let max_days = (self.max_days != 0).then_some(self.max_days);
        map.optional(10, max_days, |w, days| {
            w.uint(days);
        });
        map.finish_secret(capacity)
    }

    /// Reads the opened plaintext.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open(Self::NOUN, bytes)?;
        let mut map = reader.map()?;
        let value = Self {
            name: map
                .required(1, |r| r.text("name", TEXT_BYTES_MAX))?
                .to_owned(),
            kind: map.required(2, |r| r.variant("kind", BucketKind::new))?,
            default_mode: map.required(3, |r| r.variant("default_mode", LockMode::new))?,
            default_days: map.required(4, |r| r.small("default_days"))?,
            default_years: map.required(5, |r| r.small("default_years"))?,
            created_ms: UnixMillis::new(map.required(6, |r| r.uint("created_ms"))?),
            owner: map
                .required(7, |r| r.text("owner", TEXT_BYTES_MAX))?
                .to_owned(),
            rules: map.optional(8, read_rules)?.unwrap_or_default(),
            lifecycle: map.optional(9, read_lifecycle)?.unwrap_or_default(),
            max_days: map
                .optional(10, |r| {
                    let days = r.small("max_days")?;
                    if days == 0 {
                        return r.refuse("max_days", Fault::Value);
                    }
                    Ok(days)
                })?
                .unwrap_or_default(),
        };
        map.finish()?;
        let encoded = value.encode();
        canonical(Self::NOUN, value, &encoded, bytes)
    }
}

impl ConfigBody {
    const NOUN: &str = "ConfigBody";

    /// The plaintext that gets sealed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let capacity = 64 + self.name.len() + self.value.len();
        let mut map = MapWriter::new(capacity);
        map.key(1).text(&self.name);
        map.key(2).bytes(&self.value);
        map.finish_secret(capacity)
    }

    /// Reads the opened plaintext.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open(Self::NOUN, bytes)?;
        let mut map = reader.map()?;
        let name = map
            .required(1, |r| r.text("name", TEXT_BYTES_MAX))?
            .to_owned();
        let value = map
            .required(2, |r| r.bytes("value", DOCUMENT_BYTES_MAX))?
            .to_vec();
        map.finish()?;
        let value = Self {
            name,
            value: Zeroizing::new(value),
        };
        let encoded = value.encode();
        canonical(Self::NOUN, value, &encoded, bytes)
    }
}
