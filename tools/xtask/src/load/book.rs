//! What one worker was promised.

use crate::rng::Rng;
use crate::s3::Part;
use std::collections::BTreeMap;

/// Object bytes, told by how to make them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(Vec<(u64, usize)>);

impl Body {
    /// One run of `bytes` pseudo-random bytes.
    pub fn new(seed: u64, bytes: usize) -> Body {
        Body(vec![(seed, bytes)])
    }

    /// The bytes of several bodies behind each other.
    pub fn joined<'a>(bodies: impl Iterator<Item = &'a Body>) -> Body {
        Body(bodies.flat_map(|body| body.0.iter().copied()).collect())
    }

    /// Their number.
    pub fn length(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; self.length()];
        let mut rest = out.as_mut_slice();
        for &(seed, bytes) in &self.0 {
            let (here, behind) = rest.split_at_mut(bytes);
            Rng::new(seed).fill(here);
            rest = behind;
        }
        out
    }
}

/// One acknowledged version of a name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Version id as the server gave it.
    pub version: String,
    /// What it holds; None is a delete marker.
    pub body: Option<Body>,
    /// A client deleted it by its id: it must not be seen again.
    pub released: bool,
    /// The round it was made in.
    pub round: u64,
}

/// A multipart upload that was started and not yet completed.
#[derive(Clone)]
pub struct OpenUpload {
    /// Name of the object it will make.
    pub key: String,
    /// Upload id.
    pub id: String,
    /// Acknowledged parts and their bytes.
    pub parts: Vec<(Part, Body)>,
}

/// The operation that got no answer.
pub enum Doubt {
    /// A new version of these bytes.
    Put {
        /// Name.
        key: String,
        /// Bytes.
        body: Body,
    },
    /// A delete marker.
    Delete {
        /// Name.
        key: String,
    },
    /// A version deleted by id.
    Release {
        /// Name.
        key: String,
        /// Version id.
        version: String,
    },
    /// An upload completed; it stays open when that did not happen.
    Complete(OpenUpload),
    /// Something that shows in no listing of versions.
    Nothing,
}

/// The acknowledgements of one worker. Workers have names of their own, so that the order of the
/// versions of one name is known.
#[derive(Default)]
pub struct Book {
    /// Prefix of all its names.
    pub prefix: String,
    /// All versions of each name, oldest first.
    pub names: BTreeMap<String, Vec<Entry>>,
    /// Uploads that may be completed later, also after a crash.
    pub uploads: Vec<OpenUpload>,
    /// At most one, since a worker does one thing at a time.
    pub doubt: Option<Doubt>,
    /// The current round.
    pub round: u64,
}

impl Book {
    /// An empty book for names under this prefix.
    pub fn new(prefix: &str) -> Book {
        Book {
            prefix: prefix.to_owned(),
            ..Book::default()
        }
    }

    /// Records a new version; None is a delete marker.
    pub fn add(&mut self, key: &str, version: &str, body: Option<Body>) {
        let (version, round) = (version.to_owned(), self.round);
        let entry = Entry {
            version,
            body,
            released: false,
            round,
        };
        self.names.entry(key.to_owned()).or_default().push(entry);
    }

    /// Records that a version was deleted by its id.
    pub fn release(&mut self, key: &str, version: &str) {
        let round = self.round;
        let entries = self.names.get_mut(key).into_iter().flatten();
        for entry in entries.filter(|entry| entry.version == version) {
            entry.released = true;
            entry.round = round;
        }
    }

    /// Versions of a name that must be listed, newest first: id, and whether it is a marker.
    pub fn listed(&self, key: &str) -> Vec<(String, bool)> {
        let entries = self.names.get(key).into_iter().flatten().rev();
        let live = entries.filter(|entry| !entry.released);
        live.map(|entry| (entry.version.clone(), entry.body.is_none()))
            .collect()
    }

    /// Number of acknowledged versions, markers included.
    pub fn count(&self) -> usize {
        self.names.values().map(Vec::len).sum()
    }

    /// A random version that is still there.
    pub fn pick(&self, rng: &mut Rng) -> Option<(String, Entry)> {
        let keys: Vec<&String> = self.names.keys().collect();
        if keys.is_empty() {
            return None;
        }
        let key = keys[rng.index(keys.len())];
        let live: Vec<&Entry> = self.names[key]
            .iter()
            .filter(|entry| !entry.released)
            .collect();
        match live.len() {
            0 => None,
            count => Some((key.clone(), live[rng.index(count)].clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_bodies_are_the_bytes_behind_each_other() {
        let (a, b) = (Body::new(1, 13), Body::new(2, 5));
        let both = Body::joined([&a, &b].into_iter());
        assert_eq!(both.length(), 18);
        assert_eq!(both.bytes(), [a.bytes(), b.bytes()].concat());
    }

    #[test]
    fn released_versions_are_not_expected_in_lists() {
        let mut book = Book::new("w/");
        book.add("w/a", "1", Some(Body::new(1, 1)));
        book.add("w/a", "2", None);
        book.add("w/a", "3", Some(Body::new(2, 1)));
        book.release("w/a", "3");
        assert_eq!(
            book.listed("w/a"),
            [("2".to_owned(), true), ("1".to_owned(), false)]
        );
    }
}
