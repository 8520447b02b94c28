//! What is known of a whole object when its parts are put together: its length and its checksum.
//!
//! Invariant: no checksum is kept that was not computed from those of the parts, which were verified
//! or computed when the parts came; a client's own value must equal it.

use std::collections::BTreeMap;

use s3s::dto::ChecksumType;
use s3s::{S3Error, S3ErrorCode, S3Result};
use stele_format::units::UploadId;

use crate::combine;
use crate::digest::decode;
use crate::error::{checksum_text, invalid_request};
use crate::limits::LIST_ENTRIES_MAX;
use crate::message::{Checksum, ChecksumKind, ListedPart, NamedPart, ObjectName, Refusal};
use crate::multipart::stored_parts;
use crate::service::Caller;

/// A checksum of the object that the completing client gives.
pub(crate) struct WishedValue {
    kind: ChecksumKind,
    value: Vec<u8>,
    /// The number of parts behind its dash, if it has one.
    parts: Option<usize>,
}

/// Reads the checksums of the object that a client gives. A composite one ends in a dash and the
/// number of parts.
pub(crate) fn wished_values(
    given: [(ChecksumKind, Option<String>); 5],
) -> S3Result<Vec<WishedValue>> {
    let mut values = Vec::new();
    for (kind, text) in given {
        let Some(text) = text else { continue };
        let malformed = || {
            let name = checksum_text(kind);
            invalid_request(format!("the {name} of the object is not valid"))
        };
        let (value, parts) = match text.split_once('-') {
            Some((value, parts)) => (value, Some(parts.parse().map_err(|_| malformed())?)),
            None => (text.as_str(), None),
        };
        values.push(WishedValue {
            kind,
            value: decode(kind, value).ok_or_else(malformed)?,
            parts,
        });
    }
    Ok(values)
}

/// Whether a client asks for a COMPOSITE checksum.
pub(crate) fn wished_type(wanted: Option<&ChecksumType>) -> S3Result<Option<bool>> {
    match wanted.map(ChecksumType::as_str) {
        None => Ok(None),
        Some(ChecksumType::COMPOSITE) => Ok(Some(true)),
        Some(ChecksumType::FULL_OBJECT) => Ok(Some(false)),
        Some(_) => Err(invalid_request(
            "x-amz-checksum-type must be COMPOSITE or FULL_OBJECT",
        )),
    }
}

/// What a completing client says of the whole object, beside what its upload announced.
pub(crate) struct Wishes {
    /// What the upload announced.
    pub(crate) announced: Option<(ChecksumKind, bool)>,
    /// Checksums of the whole.
    pub(crate) values: Vec<WishedValue>,
    /// The type of them.
    pub(crate) composite: Option<bool>,
    /// `x-amz-mp-object-size`: the client's own idea of how long the object will be.
    pub(crate) bytes: Option<i64>,
}

impl Wishes {
    /// Computes what is to be kept, and holds what the client says against it.
    pub(crate) async fn settle(
        &self,
        caller: &Caller,
        name: &ObjectName,
        upload: UploadId,
        named: &[NamedPart],
    ) -> S3Result<Vec<Checksum>> {
        if self.announced.is_none() && self.values.is_empty() && self.bytes.is_none() {
            return Ok(Vec::new());
        }
        let rows = all_parts(caller, name, upload).await?;
        let mut parts = Vec::with_capacity(named.len());
        for part in named {
            let number = part.number;
            let row = rows.get(&number).filter(|row| row.etag == part.etag);
            parts.push(row.ok_or(Refusal::Part { number })?);
        }
        self.check_length(&parts)?;
        self.checksums(&parts)
    }

    /// Holds what the client says against an object that was completed before.
    pub(crate) fn check_stored(&self, kept: &[Checksum]) -> S3Result<()> {
        let differs = |wish: &&WishedValue| {
            let mut kept = kept.iter();
            kept.any(|one| one.kind == wish.kind && one.value != wish.value)
        };
        match self.values.iter().find(differs) {
            Some(wish) => Err(bad_digest(wish.kind)),
            None => Ok(()),
        }
    }

    fn check_length(&self, parts: &[&ListedPart]) -> S3Result<()> {
        let total = parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part.content_bytes));
        match self.bytes {
            Some(expected) if u64::try_from(expected) != Ok(total) => {
                Err(invalid_request(format!(
                    "the provided x-amz-mp-object-size does not match what was uploaded ({total} bytes)"
                )))
            }
            _ => Ok(()),
        }
    }

    fn checksums(&self, parts: &[&ListedPart]) -> S3Result<Vec<Checksum>> {
        let mut kept = Vec::new();
        if let Some((kind, composite)) = self.announced {
            if self.composite.is_some_and(|wanted| wanted != composite) {
                return Err(invalid_request(
                    "the x-amz-checksum-type is not the one that the upload began with",
                ));
            }
            // Parts of an upload begun by an older version may lack it; then nothing is kept.
            kept.extend(whole(kind, composite, parts));
        }
        for wish in &self.values {
            let composite = match self.announced {
                Some((kind, _)) if kind != wish.kind => {
                    return Err(invalid_request(format!(
                        "the upload began with another checksum algorithm than {}",
                        checksum_text(wish.kind)
                    )));
                }
                Some((_, composite)) => composite,
                None => wish.parts.is_some() || self.composite == Some(true),
            };
            let computed = whole(wish.kind, composite, parts).ok_or_else(|| {
                invalid_request(format!(
                    "the {} of the object cannot be verified: its parts were uploaded without",
                    checksum_text(wish.kind)
                ))
            })?;
            let counted = wish.parts.is_none_or(|count| count == parts.len());
            if computed.value != wish.value || !counted {
                return Err(bad_digest(wish.kind));
            }
            kept.push(computed);
        }
        kept.sort_by_key(|checksum| checksum.kind);
        kept.dedup();
        Ok(kept)
    }
}

fn bad_digest(kind: ChecksumKind) -> S3Error {
    S3Error::with_message(
        S3ErrorCode::BadDigest,
        format!(
            "the {} you specified does not match what was computed",
            checksum_text(kind)
        ),
    )
}

/// The checksum of the whole; none if a part has none of this kind, or the kind has none of this type.
fn whole(kind: ChecksumKind, composite: bool, parts: &[&ListedPart]) -> Option<Checksum> {
    let of_part = |part: &&ListedPart| {
        let mut checksums = part.checksums.iter();
        checksums
            .find(|checksum| checksum.kind == kind)
            .map(|checksum| checksum.value.clone())
    };
    let values: Vec<Vec<u8>> = parts.iter().map(of_part).collect::<Option<_>>()?;
    let value = if composite {
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        combine::composite(kind, &values)
    } else {
        let sized: Vec<(&[u8], u64)> = values
            .iter()
            .zip(parts)
            .map(|(value, part)| (value.as_slice(), part.content_bytes))
            .collect();
        combine::full(kind, &sized)?
    };
    Some(Checksum {
        kind,
        composite,
        value,
    })
}

async fn all_parts(
    caller: &Caller,
    name: &ObjectName,
    upload: UploadId,
) -> S3Result<BTreeMap<u16, ListedPart>> {
    let mut parts = BTreeMap::new();
    let mut after = 0;
    loop {
        let (rows, more) = stored_parts(caller, name, upload, after, LIST_ENTRIES_MAX).await?;
        after = rows.last().map_or(after, |row| row.number);
        let last = rows.is_empty() || !more;
        parts.extend(rows.into_iter().map(|row| (row.number, row)));
        if last {
            return Ok(parts);
        }
    }
}
