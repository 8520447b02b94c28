//! Listings worked out the slow way, from the whole model.

use std::collections::BTreeSet;

use stele_format::units::{UploadId, VersionId};
use stele_store::request::{ListWish, Page, ReleasedVersion};

use super::model::{Bucket, Version};

/// A page as it must be.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected<Row> {
    /// Rows.
    pub rows: Vec<Row>,
    /// Rolled-up prefixes.
    pub prefixes: Vec<Vec<u8>>,
    /// Whether more follows.
    pub more: bool,
}

/// The common prefix a key is rolled up into.
fn rolled(wish: &ListWish, key: &[u8]) -> Option<Vec<u8>> {
    let delimiter = wish
        .delimiter
        .as_deref()
        .filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(wish.prefix.as_slice())?;
    let at = rest
        .windows(delimiter.len())
        .position(|window| window == delimiter)?;
    Some(key[..wish.prefix.len() + at + delimiter.len()].to_vec())
}

/// Cuts one page out of all entries in order. `after` says whether an entry comes after the marker.
fn page<Row>(
    wish: &ListWish,
    entries: impl Iterator<Item = (Vec<u8>, Row)>,
    after: impl Fn(&[u8], &Row) -> bool,
) -> Expected<Row> {
    let mut expected = Expected {
        rows: Vec::new(),
        prefixes: Vec::new(),
        more: false,
    };
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    let marker = wish.after.as_deref();
    for (key, row) in entries {
        if !key.starts_with(&wish.prefix) {
            continue;
        }
        let prefix = rolled(wish, &key);
        let passed = match &prefix {
            // A marker inside a rolled-up prefix has passed all of it.
            Some(prefix) => {
                marker.is_some_and(|marker| marker.starts_with(prefix) || key.as_slice() <= marker)
            }
            None => !after(&key, &row),
        };
        if passed || prefix.as_ref().is_some_and(|prefix| seen.contains(prefix)) {
            continue;
        }
        if expected.rows.len() + expected.prefixes.len() >= wish.entries_max as usize {
            expected.more = true;
            return expected;
        }
        match prefix {
            Some(prefix) => {
                seen.insert(prefix.clone());
                expected.prefixes.push(prefix);
            }
            None => expected.rows.push(row),
        }
    }
    expected
}

/// Current objects.
#[must_use]
pub fn objects<'a>(bucket: &'a Bucket, wish: &ListWish) -> Expected<(&'a [u8], &'a Version)> {
    let entries = bucket
        .keys
        .iter()
        .filter_map(|(name, key)| Some((name.clone(), (name.as_slice(), key.current()?))));
    page(wish, entries, |key, _| {
        wish.after.as_deref().is_none_or(|marker| key > marker)
    })
}

/// Versions and markers, newest first, each with whether it is the newest.
#[must_use]
pub fn versions<'a>(
    bucket: &'a Bucket,
    wish: &ListWish,
) -> Expected<(&'a [u8], &'a Version, bool)> {
    let entries = bucket.keys.iter().flat_map(|(name, key)| {
        let newest = key.versions.last().map(|version| version.id);
        key.versions.iter().rev().map(move |version| {
            (
                name.clone(),
                (name.as_slice(), version, Some(version.id) == newest),
            )
        })
    });
    let marker = wish.after_version.as_deref().and_then(VersionId::parse_hex);
    page(wish, entries, |key, (_, version, _)| {
        match (wish.after.as_deref(), marker) {
            (None, _) => true,
            (Some(after), Some(marker)) if key == after => version.id.ordinal() < marker.ordinal(),
            (Some(after), _) => key > after,
        }
    })
}

/// What is wrong with a page of what is released, if anything.
#[must_use]
pub fn compare_released(
    bucket: &Bucket,
    wish: &ListWish,
    found: &Page<ReleasedVersion>,
    with_cases: bool,
) -> Option<String> {
    let entries = bucket.keys.iter().flat_map(|(name, key)| {
        let mut released: Vec<&Version> = key.released.values().collect();
        released.sort_by_key(|version| std::cmp::Reverse(version.id.ordinal()));
        released
            .into_iter()
            .map(move |version| (name.clone(), (name.as_slice(), version)))
    });
    let marker = wish.after_version.as_deref().and_then(VersionId::parse_hex);
    let expected = page(wish, entries, |key, (_, version)| {
        match (wish.after.as_deref(), marker) {
            (None, _) => true,
            (Some(after), Some(marker)) if key == after => version.id.ordinal() < marker.ordinal(),
            (Some(after), _) => key > after,
        }
    });
    let (believed, shown) = (expected.rows.len(), found.rows.len());
    if believed != shown {
        return Some(format!(
            "{believed} released versions expected, {shown} found"
        ));
    }
    for ((key, version), row) in expected.rows.iter().zip(&found.rows) {
        let same =
            (*key, version.id, version.marker) == (row.key.as_slice(), row.version, row.marker);
        // A case holds what is released, too.
        let same = same && (with_cases || version.hold == row.hold);
        let bytes = version.body.bytes() == row.content_bytes;
        if !same || !bytes || !version.retention.agrees(row.retention) {
            return Some(format!("released version {version:?} expected"));
        }
    }
    let rest = (&expected.prefixes, expected.more);
    let told = (&found.common_prefixes, found.next.is_some());
    (rest != told).then(|| format!("{rest:?} expected beside what is released, {told:?} found"))
}

/// A key to sort by, and the upload under it.
type Keyed<'a> = (Vec<u8>, (&'a [u8], UploadId));

/// Open uploads by key, then by id.
#[must_use]
pub fn uploads<'a>(bucket: &'a Bucket, wish: &ListWish) -> Expected<(&'a [u8], UploadId)> {
    let mut entries: Vec<Keyed<'a>> = bucket
        .uploads
        .iter()
        .map(|(id, upload)| (upload.key.clone(), (upload.key.as_slice(), *id)))
        .collect();
    entries.sort();
    let marker = wish.after_version.as_deref().and_then(UploadId::parse_hex);
    page(wish, entries.into_iter(), |key, (_, id)| {
        match (wish.after.as_deref(), marker) {
            (None, _) => true,
            (Some(after), Some(marker)) if key == after => *id > marker,
            (Some(after), _) => key > after,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Expected, page};
    use stele_store::request::ListWish;

    fn list(keys: &[&str], wish: &ListWish) -> (Vec<String>, Vec<String>, bool) {
        let entries = keys
            .iter()
            .map(|key| (key.as_bytes().to_vec(), (*key).to_owned()));
        let after =
            |key: &[u8], _: &String| wish.after.as_deref().is_none_or(|marker| key > marker);
        let Expected {
            rows,
            prefixes,
            more,
        } = page(wish, entries, after);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (rows, prefixes.into_iter().map(text).collect(), more)
    }

    fn wish(prefix: &str, delimiter: &str, after: &str, entries_max: u32) -> ListWish {
        let some = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        ListWish {
            prefix: prefix.as_bytes().to_vec(),
            delimiter: some(delimiter),
            after: some(after),
            entries_max,
            ..ListWish::default()
        }
    }

    #[test]
    fn pages_are_those_of_s3() {
        let keys = ["a", "b/1", "b/2", "b/c/3", "d"];
        let strings = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        for (wish, rows, prefixes, more) in [
            (wish("", "", "", 9), &keys[..], &[][..], false),
            (wish("", "/", "", 9), &["a", "d"], &["b/"], false),
            (wish("b/", "/", "", 9), &["b/1", "b/2"], &["b/c/"], false),
            (wish("", "/", "", 2), &["a"], &["b/"], true),
            (wish("", "/", "b/", 9), &["d"], &[], false),
            (wish("", "/", "b/1", 9), &["d"], &[], false),
            (wish("", "", "b/2", 1), &["b/c/3"], &[], true),
            (wish("x", "/", "", 9), &[], &[], false),
        ] {
            assert_eq!(
                list(&keys, &wish),
                (strings(rows), strings(prefixes), more),
                "{wish:?}"
            );
        }
    }
}
