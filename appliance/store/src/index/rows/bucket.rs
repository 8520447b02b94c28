//! The row of a bucket.

use std::fmt;

use stele_format::units::UnixMillis;

use super::{Table, TableRow, read_bool, read_mode};
use crate::index::codec::{Malformed, Reader, Writer};
use crate::policy::{BucketKind, Mode, OwnerId, Period, PrefixRule, UploadRule};

/// A bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketRow {
    /// Its name.
    pub name: String,
    /// What it promises.
    pub kind: BucketKind,
    /// Default retention of new versions.
    pub default: Option<(Mode, Period)>,
    /// When it was made.
    pub created: UnixMillis,
    /// Whose it is.
    pub owner: OwnerId,
    /// Default retention of new versions by prefix of their keys, in the order of the prefixes.
    pub rules: Vec<PrefixRule>,
    /// When unfinished uploads are given up, in the order in which the rules were set.
    pub uploads: Vec<UploadRule>,
    /// Most days of retention that a client may set.
    pub max_days: Option<u32>,
    /// Whether it is gone from S3. The row stays, since its released versions do.
    pub deleted: bool,
}

impl fmt::Debug for BucketRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketRow")
            .field("kind", &self.kind)
            .field("default", &self.default)
            .field("created", &self.created)
            .field("deleted", &self.deleted)
            .finish_non_exhaustive()
    }
}

impl TableRow for BucketRow {
    const TABLE: Table = Table::Buckets;

    fn write(&self, out: &mut Writer) {
        out.bytes(self.name.as_bytes()).u8(self.kind.code());
        match self.default {
            None => out.u8(0),
            Some((mode, Period::Days(days))) => out.u8(1).u8(mode.code()).u32(days),
            Some((mode, Period::Years(years))) => out.u8(2).u8(mode.code()).u32(years),
        };
        out.u64(self.created.get())
            .bytes(self.owner.as_str().as_bytes())
            .u8(u8::from(self.deleted))
            .u32(self.max_days.unwrap_or_default());
        out.u16(u16::try_from(self.rules.len()).expect("a bucket has a handful of rules"));
        for rule in &self.rules {
            out.bytes(&rule.prefix).u32(rule.days);
        }
        out.u16(u16::try_from(self.uploads.len()).expect("a bucket has a handful of rules"));
        for rule in &self.uploads {
            out.bytes(rule.id.as_bytes()).bytes(&rule.prefix);
            out.u32(rule.days).u8(u8::from(rule.disabled));
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: from.text()?,
            kind: BucketKind::from_code(from.u8()?).ok_or(Malformed)?,
            default: match from.u8()? {
                0 => None,
                1 => Some((read_mode(from)?, Period::Days(from.u32()?))),
                2 => Some((read_mode(from)?, Period::Years(from.u32()?))),
                _ => return Err(Malformed),
            },
            created: UnixMillis::new(from.u64()?),
            owner: OwnerId::of_record(&from.text()?),
            deleted: read_bool(from)?,
            max_days: Some(from.u32()?).filter(|days| *days != 0),
            rules: {
                let count = from.u16()?;
                (0..count)
                    .map(|_| {
                        Ok(PrefixRule {
                            prefix: from.bytes()?.to_vec(),
                            days: from.u32()?,
                        })
                    })
                    .collect::<Result<_, Malformed>>()?
            },
            uploads: {
                let count = from.u16()?;
                (0..count)
                    .map(|_| {
                        Ok(UploadRule {
                            id: from.text()?,
                            prefix: from.bytes()?.to_vec(),
                            days: from.u32()?,
                            disabled: read_bool(from)?,
                        })
                    })
                    .collect::<Result<_, Malformed>>()?
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_rows_come_back() {
        let rule = |prefix: &str, days| PrefixRule {
            prefix: prefix.into(),
            days,
        };
        let defaults = [
            None,
            Some((Mode::Compliance, Period::Days(30))),
            Some((Mode::Governance, Period::Years(7))),
        ];
        let kinds = [
            BucketKind::DefaultLocked,
            BucketKind::ClientLocked,
            BucketKind::Plain,
        ];
        let upload = |id: &str, disabled| UploadRule {
            id: id.into(),
            prefix: b"wal/".to_vec(),
            days: 3,
            disabled,
        };
        let uploads = [vec![], vec![upload("a", false), upload("b", true)]];
        let rules = [vec![], vec![rule("locks/", 1), rule("tmp", 36_500)]];
        for (default, kind) in defaults.into_iter().zip(kinds) {
            for (rules, uploads, owner, deleted) in [
                (&rules[0], &uploads[1], "", false),
                (&rules[1], &uploads[0], "a1", true),
                (&rules[1], &uploads[1], "", false),
            ] {
                let row = BucketRow {
                    name: "backup".into(),
                    kind,
                    default,
                    created: UnixMillis::new(5),
                    owner: OwnerId::new(owner).expect("an owner"),
                    rules: rules.clone(),
                    uploads: uploads.clone(),
                    max_days: deleted.then_some(7),
                    deleted,
                };
                assert_eq!(BucketRow::decode(&row.encode()), Ok(row));
            }
        }
    }
}
