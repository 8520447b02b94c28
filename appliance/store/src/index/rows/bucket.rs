//! The row of a bucket.

use std::fmt;

use stele_format::units::UnixMillis;

use super::{Table, TableRow, read_bool, read_mode};
use crate::index::codec::{Malformed, Reader, Writer};
use crate::policy::{
    BucketKind, CurrentExpiry, FilterForm, LifecycleRule, Mode, NoncurrentExpiry, OwnerId, Period,
    PrefixRule,
};

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
    /// Its lifecycle rules, in the order in which they were set.
    pub lifecycle: Vec<LifecycleRule>,
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
        out.u16(u16::try_from(self.lifecycle.len()).expect("a bucket has a handful of rules"));
        for rule in &self.lifecycle {
            write_rule(rule, out);
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
            lifecycle: {
                let count = from.u16()?;
                (0..count)
                    .map(|_| read_rule(from))
                    .collect::<Result<_, Malformed>>()?
            },
        })
    }
}

fn write_rule(rule: &LifecycleRule, out: &mut Writer) {
    out.bytes(rule.id.as_bytes()).u8(rule.form.get());
    out.bytes(&rule.prefix).u8(u8::from(rule.disabled));
    out.u64(rule.bytes_min).u64(rule.bytes_below);
    out.u32(rule.upload_days.unwrap_or_default());
    let (kind, value) = match rule.current {
        None => (0, 0),
        Some(CurrentExpiry::Days(days)) => (1, u64::from(days)),
        Some(CurrentExpiry::From(at)) => (2, at.get()),
        Some(CurrentExpiry::LoneMarker) => (3, 0),
    };
    let (days, kept) = rule
        .noncurrent
        .map_or((0, 0), |rule| (rule.days, rule.kept));
    out.u8(kind).u64(value).u32(days).u32(kept);
}

fn read_rule(from: &mut Reader<'_>) -> Result<LifecycleRule, Malformed> {
    Ok(LifecycleRule {
        id: from.text()?,
        form: FilterForm::new(from.u8()?).ok_or(Malformed)?,
        prefix: from.bytes()?.to_vec(),
        disabled: read_bool(from)?,
        bytes_min: from.u64()?,
        bytes_below: from.u64()?,
        upload_days: Some(from.u32()?).filter(|days| *days != 0),
        current: match (from.u8()?, from.u64()?) {
            (0, 0) => None,
            (1, days) => Some(CurrentExpiry::Days(
                u32::try_from(days).map_err(|_| Malformed)?,
            )),
            (2, at) => Some(CurrentExpiry::From(UnixMillis::new(at))),
            (3, 0) => Some(CurrentExpiry::LoneMarker),
            _ => return Err(Malformed),
        },
        noncurrent: match (from.u32()?, from.u32()?) {
            (0, 0) => None,
            (days, kept) => Some(NoncurrentExpiry { days, kept }),
        },
    })
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
        let lifecycle =
            |current: Option<CurrentExpiry>, noncurrent: Option<(u32, u32)>| LifecycleRule {
                id: "e".into(),
                form: FilterForm::AndPrefix,
                prefix: b"wal/".to_vec(),
                disabled: noncurrent.is_none(),
                bytes_min: 3,
                bytes_below: 5,
                upload_days: current.is_none().then_some(4),
                current,
                noncurrent: noncurrent.map(|(days, kept)| NoncurrentExpiry { days, kept }),
            };
        let from = CurrentExpiry::From(UnixMillis::new(7));
        let uploads = [
            vec![],
            vec![
                lifecycle(None, Some((1, 0))),
                lifecycle(Some(CurrentExpiry::Days(9)), None),
                lifecycle(Some(from), Some((2, 3))),
                lifecycle(Some(CurrentExpiry::LoneMarker), None),
                lifecycle(None, None),
            ],
        ];
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
                    lifecycle: uploads.clone(),
                    max_days: deleted.then_some(7),
                    deleted,
                };
                assert_eq!(BucketRow::decode(&row.encode()), Ok(row));
            }
        }
    }
}
