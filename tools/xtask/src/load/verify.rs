//! Does the server still keep what it acknowledged?

use super::book::{Book, Doubt, Entry};
use crate::failure::{Failure, Outcome, ensure};
use crate::rng::Rng;
use crate::s3::{Client, Endpoint, Response, Trouble, element, elements};
use std::sync::Arc;

/// Which versions are read.
#[derive(Clone, Copy)]
pub enum Scope {
    /// All of them.
    All,
    /// Those of the current round, and of the older ones this many in a hundred.
    Recent {
        /// Percentage of the older versions.
        older_percent: u64,
    },
}

/// What a check found; everything else was a failure.
#[derive(Default, Clone)]
pub struct Verified {
    /// Versions that came back identical, and deletions that still hold.
    pub right: u64,
    /// Versions that were refused (only where that is allowed).
    pub refused: u64,
    /// How one of them was refused.
    pub refusal: Option<String>,
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} right, {} refused", self.right, self.refused)?;
        match &self.refusal {
            Some(refusal) => write!(f, ", one with: {refusal}"),
            None => Ok(()),
        }
    }
}

/// A check of one book.
struct Check<'a> {
    book: &'a Book,
    client: Client,
    bucket: &'a str,
    refusals: bool,
    found: Verified,
}

/// Settles every doubt and checks every book, each in a thread of its own. With `refusals` a
/// version may be refused by a 5xx or by an answer that breaks off; other bytes than the acknowledged ones are never allowed.
pub fn verify_all(
    endpoint: &Arc<Endpoint>,
    bucket: &str,
    books: &mut [Book],
    scope: Scope,
    refusals: bool,
) -> Outcome<Verified> {
    let one = |index: u64, book: &mut Book| -> Outcome<Verified> {
        let mut client = Client::new(endpoint);
        settle(book, &mut client, bucket)?;
        let rng = Rng::new(book.round ^ (index << 40));
        let found = Verified::default();
        Check {
            book,
            client,
            bucket,
            refusals,
            found,
        }
        .run(scope, rng)
    };
    let results = std::thread::scope(|threads| {
        let start = |(index, book)| threads.spawn(move || one(index, book));
        let handles: Vec<_> = (0..).zip(books.iter_mut()).map(start).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, Outcome<Verified>>| {
            handle
                .join()
                .unwrap_or_else(|_| Err(Failure::new("a checking thread panicked")))
        };
        handles
            .into_iter()
            .map(join)
            .collect::<Outcome<Vec<Verified>>>()
    })?;
    Ok(results
        .into_iter()
        .fold(Verified::default(), |sum, one| Verified {
            right: sum.right + one.right,
            refused: sum.refused + one.refused,
            refusal: sum.refusal.or(one.refusal),
        }))
}

impl Check<'_> {
    fn run(mut self, scope: Scope, mut rng: Rng) -> Outcome<Verified> {
        for (key, entries) in &self.book.names {
            let mut touched = false;
            for entry in entries {
                let recent = entry.round == self.book.round;
                let wanted = match scope {
                    Scope::All => true,
                    Scope::Recent { older_percent } => recent || rng.percent(older_percent),
                };
                touched |= wanted;
                if wanted {
                    self.version(key, entry)?;
                }
            }
            if touched {
                self.listing(key)?;
                self.current(key)?;
            }
        }
        Ok(self.found)
    }

    /// True when the answer is a refusal that is allowed here; counts it.
    fn refused(&mut self, answer: &Response) -> bool {
        let refused = self.refusals && (500..600).contains(&answer.status);
        if refused {
            self.note(&answer.summary());
        }
        refused
    }

    fn note(&mut self, refusal: &str) {
        self.found.refused += 1;
        self.found.refusal.get_or_insert_with(|| refusal.to_owned());
    }

    fn version(&mut self, key: &str, entry: &Entry) -> Outcome {
        let Entry {
            version,
            body,
            released,
            ..
        } = entry;
        let Some(body) = body else { return Ok(()) };
        let answer = match self.client.get(self.bucket, key, Some(version)) {
            // What is found damaged after the header is sent can only be cut off.
            Err(trouble) if self.refusals => {
                self.note(&trouble.to_string());
                return Ok(());
            }
            answer => answer?,
        };
        if self.refused(&answer) {
            return Ok(());
        }
        if *released {
            ensure(answer.status == 404, || {
                format!(
                    "{key} {version} was deleted by its id and answers {}",
                    answer.summary()
                )
            })?;
        } else {
            ensure(answer.status == 200, || {
                format!(
                    "{key} {version} was acknowledged and answers {}",
                    answer.summary()
                )
            })?;
            let same = answer.body == body.bytes();
            ensure(same, || {
                format!("{key} {version} came back with OTHER BYTES")
            })?;
        }
        self.found.right += 1;
        Ok(())
    }

    fn listing(&mut self, key: &str) -> Outcome {
        let pages = pages(&mut self.client, self.bucket, key)?;
        if pages.iter().any(|page| self.refused(page)) {
            return Ok(());
        }
        let (listed, promised) = (
            Listing::read(&pages, key)?,
            Listing::of(self.book.listed(key)),
        );
        if listed == promised {
            return Ok(());
        }
        Err(self.unlike(key, &listed, &promised))
    }

    /// How a listing differs, and what tells a list that was wrong for a moment from a version that is gone.
    fn unlike(&mut self, key: &str, listed: &Listing, promised: &Listing) -> Failure {
        let without = |all: &Listing, others: &Listing| -> Vec<String> {
            let known =
                |id: &&String| !others.versions.contains(id) && !others.markers.contains(id);
            let ids = all.versions.iter().chain(&all.markers);
            ids.filter(known).cloned().collect()
        };
        let (lacking, surplus) = (without(promised, listed), without(listed, promised));
        let mut text = format!(
            "{key}: of {} and {} acknowledged versions and markers {} and {} are listed, without {lacking:?} and with \
             {surplus:?} beside them, {:?} as latest for {:?}",
            promised.versions.len(),
            promised.markers.len(),
            listed.versions.len(),
            listed.markers.len(),
            listed.latest,
            promised.latest,
        );
        for version in lacking.iter().chain(&surplus) {
            let answer = self.client.get(self.bucket, key, Some(version));
            let answer = answer.map_or_else(|trouble| trouble.to_string(), |got| got.summary());
            text.push_str(&format!("; {version} asked for answers {answer}"));
        }
        let again = pages(&mut self.client, self.bucket, key);
        let again = again.ok().and_then(|pages| Listing::read(&pages, key).ok());
        let again = match again {
            Some(again) if again == *listed => "the same",
            Some(again) if again == *promised => "right",
            Some(_) => "another one",
            None => "none",
        };
        text.push_str(&format!("; asked again the list is {again}"));
        Failure::new(text)
    }

    fn current(&mut self, key: &str) -> Outcome {
        let answer = match self.client.get(self.bucket, key, None) {
            Err(_) if self.refusals => return Ok(()),
            answer => answer?,
        };
        if self.refused(&answer) {
            return Ok(());
        }
        let newest = self.book.listed(key).into_iter().next();
        match newest {
            Some((version, false)) => {
                let given = answer.header("x-amz-version-id");
                ensure(
                    answer.status == 200 && given == Some(version.as_str()),
                    || {
                        format!(
                            "{key}: {version} is current, got {given:?} {}",
                            answer.summary()
                        )
                    },
                )
            }
            _ => ensure(answer.status == 404, || {
                format!("{key} is deleted and answers {}", answer.summary())
            }),
        }
    }
}

/// All versions of one name. An answer may name versions and markers in two lists, so their common
/// order shows only in what is latest.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Listing {
    /// Ids of versions with content, newest first.
    versions: Vec<String>,
    /// Ids of delete markers, newest first.
    markers: Vec<String>,
    latest: Option<String>,
}

/// Every page of the versions of names that begin so; the last one is whatever ended it.
fn pages(client: &mut Client, bucket: &str, key: &str) -> Result<Vec<Response>, Trouble> {
    let mut pages = Vec::new();
    let mut after: Option<(String, String)> = None;
    loop {
        let mut query = vec![("versions", ""), ("prefix", key)];
        if let Some((key, version)) = &after {
            query.extend([("key-marker", key.as_str()), ("version-id-marker", version)]);
        }
        let page = client.ask(bucket, &query)?;
        let text = page.text();
        let more = page.status == 200 && element(&text, "IsTruncated").as_deref() == Some("true");
        let next = element(&text, "NextKeyMarker").zip(element(&text, "NextVersionIdMarker"));
        pages.push(page);
        // A page that leads nowhere new is the last one.
        if !more || next.is_none() || next == after {
            return Ok(pages);
        }
        after = next;
    }
}

impl Listing {
    /// From ids and whether they are markers, newest first.
    fn of(known: Vec<(String, bool)>) -> Listing {
        let latest = known.first().map(|(id, _)| id.clone());
        let (markers, versions): (Vec<_>, Vec<_>) = known.into_iter().partition(|(_, m)| *m);
        let ids = |list: Vec<(String, bool)>| list.into_iter().map(|(id, _)| id).collect();
        Listing {
            versions: ids(versions),
            markers: ids(markers),
            latest,
        }
    }

    /// What the server lists under exactly this name, page after page.
    fn read(pages: &[Response], key: &str) -> Outcome<Listing> {
        let mut listing = Listing {
            versions: Vec::new(),
            markers: Vec::new(),
            latest: None,
        };
        for page in pages {
            page.expect(200)?;
            listing.take(&page.text(), key)?;
        }
        let more = pages
            .last()
            .and_then(|page| element(&page.text(), "IsTruncated"));
        ensure(more.as_deref() != Some("true"), || {
            format!("the versions of {key} go on where no page leads")
        })?;
        Ok(listing)
    }

    fn take(&mut self, text: &str, key: &str) -> Outcome {
        for (kind, ids) in [
            ("Version", &mut self.versions),
            ("DeleteMarker", &mut self.markers),
        ] {
            for entry in elements(text, kind) {
                let Some(id) = element(&entry, "VersionId") else {
                    continue;
                };
                if element(&entry, "Key").as_deref() != Some(key) {
                    continue;
                }
                if element(&entry, "IsLatest").as_deref() == Some("true") {
                    let before = self.latest.replace(id.clone());
                    ensure(before.is_none(), || {
                        format!("{key} has two latest versions")
                    })?;
                }
                ids.push(id);
            }
        }
        Ok(())
    }

    /// The one version or marker that is here and not there, when that is the only difference.
    fn one_more_than(&self, before: &Listing) -> Option<(String, bool)> {
        let newest = self.latest.clone()?;
        let without = |ids: &[String]| -> Vec<String> {
            ids.iter().filter(|id| **id != newest).cloned().collect()
        };
        let marker = self.markers.first() == Some(&newest);
        let same = without(&self.versions) == before.versions
            && without(&self.markers) == before.markers
            && before.latest.as_ref() != Some(&newest);
        same.then_some((newest, marker))
    }
}

/// Finds out whether the operation without an answer happened: entirely, or not at all.
fn settle(book: &mut Book, client: &mut Client, bucket: &str) -> Outcome {
    let (key, body) = match &book.doubt {
        None | Some(Doubt::Nothing) => {
            book.doubt = None;
            return Ok(());
        }
        Some(Doubt::Put { key, body }) => (key.clone(), Some(body.clone())),
        Some(Doubt::Delete { key } | Doubt::Release { key, .. }) => (key.clone(), None),
        Some(Doubt::Complete(open)) => {
            let body = super::Body::joined(open.parts.iter().map(|(_, body)| body));
            (open.key.clone(), Some(body))
        }
    };
    // Without an answer the doubt stays.
    let pages = pages(client, bucket, &key)?;
    let Some(doubt) = book.doubt.take() else {
        return Ok(());
    };
    let (listed, before) = (Listing::read(&pages, &key)?, Listing::of(book.listed(&key)));
    let half = |known: &Listing| {
        format!("{key}: one operation was under way; listed {listed:?}, known {known:?}")
    };
    if listed == before {
        if let Doubt::Complete(open) = doubt {
            book.uploads.push(open);
        }
        return Ok(());
    }
    if let Doubt::Release { version, .. } = &doubt {
        book.release(&key, version);
        let after = Listing::of(book.listed(&key));
        return ensure(listed == after, || half(&after));
    }
    match listed.one_more_than(&before) {
        Some((version, marker)) if marker == body.is_none() => book.add(&key, &version, body),
        _ => return Err(Failure::new(half(&before))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(known: &[(&str, bool)]) -> Listing {
        Listing::of(
            known
                .iter()
                .map(|(id, marker)| ((*id).to_owned(), *marker))
                .collect(),
        )
    }

    fn answer(text: &str) -> Response {
        Response {
            status: 200,
            headers: Vec::new(),
            body: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn versions_and_markers_in_two_lists_are_read() {
        let entry = |kind: &str, key: &str, id: &str, latest: bool| {
            format!(
                "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId>\
                 <IsLatest>{latest}</IsLatest></{kind}>"
            )
        };
        let text = [
            entry("DeleteMarker", "a", "3", true),
            entry("Version", "a", "2", false),
            entry("Version", "a", "1", false),
            entry("Version", "ab", "9", true),
        ]
        .concat();
        let whole = listing(&[("3", true), ("2", false), ("1", false)]);
        let read = Listing::read(&[answer(&text)], "a").unwrap();
        assert_eq!(read, whole);
        let more = answer(&format!(
            "<IsTruncated>true</IsTruncated>{}",
            entry("DeleteMarker", "a", "3", true)
        ));
        let rest = answer(
            &[
                entry("Version", "a", "2", false),
                entry("Version", "a", "1", false),
            ]
            .concat(),
        );
        assert!(Listing::read(std::slice::from_ref(&more), "a").is_err());
        assert_eq!(Listing::read(&[more, rest], "a").unwrap(), whole);
    }

    #[test]
    fn only_one_new_latest_entry_is_one_more() {
        let before = listing(&[("2", false), ("1", true)]);
        let more = listing(&[("3", true), ("2", false), ("1", true)]);
        assert_eq!(more.one_more_than(&before), Some(("3".to_owned(), true)));
        assert_eq!(before.one_more_than(&before), None);
        assert_eq!(
            listing(&[("3", false), ("1", true)]).one_more_than(&before),
            None
        );
        assert_eq!(before.one_more_than(&more), None);
    }
}
