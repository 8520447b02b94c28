//! What a vault held at one moment must stay readable, whatever a client deletes afterwards.

use super::Bench;
use crate::failure::{Failure, Outcome, ensure};
use crate::s3::{Client, Response, element, elements, sha256_hex};

/// Pages of one listing; more is a listing that does not end.
const PAGES_MAX: usize = 200;

/// One version, and what it holds.
struct Version {
    key: String,
    id: String,
    digest: String,
}

/// All versions of a bucket as of one moment.
pub struct Held {
    bucket: String,
    versions: Vec<Version>,
    latest: Vec<(String, String)>,
}

impl Held {
    /// Reads every version that is listed now.
    pub fn now(bench: &Bench, bucket: &str) -> Outcome<Held> {
        let mut client = bench.server.client();
        let listed = Listed::of(&mut client, bucket)?;
        ensure(!listed.versions.is_empty(), || {
            format!("{bucket} holds nothing")
        })?;
        let mut versions = Vec::new();
        for (key, id) in listed.versions {
            let digest = sha256_hex(&read(&mut client, bucket, &key, &id)?.body);
            versions.push(Version { key, id, digest });
        }
        Ok(Held {
            bucket: bucket.to_owned(),
            versions,
            latest: listed.latest,
        })
    }

    /// Every one of them can still be read and has its bytes, although at least `hidden` of them
    /// that were the newest of their name are so no longer; and none can be deleted by its version.
    pub fn survived(&self, bench: &Bench, hidden: usize) -> Outcome {
        let mut client = bench.server.client();
        let bucket = &self.bucket;
        for Version { key, id, digest } in &self.versions {
            let answer = read(&mut client, bucket, key, id)?;
            ensure(sha256_hex(&answer.body) == *digest, || {
                format!("{key} {id} has other bytes now")
            })?;
        }
        let now = Listed::of(&mut client, bucket)?;
        let still = |one: &&(String, String)| now.latest.contains(one);
        let gone = self.latest.len() - self.latest.iter().filter(still).count();
        ensure(gone >= hidden, || {
            format!("the client has hidden only {gone} of {}", self.latest.len())
        })?;
        let one = self.versions.first().expect("never empty");
        let answer = client.delete(bucket, &one.key, Some(&one.id))?;
        let refused = answer.status == 403 && answer.text().contains("AccessDenied");
        ensure(refused, || {
            format!("deleting a locked version: {}", answer.summary())
        })
    }
}

/// A bucket's versions by name and id.
#[derive(Default)]
struct Listed {
    versions: Vec<(String, String)>,
    latest: Vec<(String, String)>,
}

impl Listed {
    fn of(client: &mut Client, bucket: &str) -> Outcome<Listed> {
        let mut listed = Listed::default();
        let (mut key, mut id) = (String::new(), String::new());
        for _ in 0..PAGES_MAX {
            let mut query = vec![("versions", "")];
            if !key.is_empty() {
                query.extend([
                    ("key-marker", key.as_str()),
                    ("version-id-marker", id.as_str()),
                ]);
            }
            let answer = client.ask(bucket, &query)?;
            answer.expect(200)?;
            let text = answer.text();
            listed.take(&text)?;
            if element(&text, "IsTruncated").as_deref() != Some("true") {
                return Ok(listed);
            }
            let next = |name| element(&text, name).ok_or_else(|| Failure::new("no next page"));
            (key, id) = (next("NextKeyMarker")?, next("NextVersionIdMarker")?);
        }
        Err(Failure::new(format!("the listing of {bucket} never ends")))
    }

    fn take(&mut self, text: &str) -> Outcome {
        for entry in elements(text, "Version") {
            let named = element(&entry, "Key").zip(element(&entry, "VersionId"));
            let named = named.ok_or_else(|| Failure::new("an entry without name"))?;
            if element(&entry, "IsLatest").as_deref() == Some("true") {
                self.latest.push(named.clone());
            }
            self.versions.push(named);
        }
        Ok(())
    }
}

fn read(client: &mut Client, bucket: &str, key: &str, id: &str) -> Outcome<Response> {
    let answer = client.get(bucket, key, Some(id))?;
    answer
        .expect(200)
        .map_err(|f| f.within(&format!("{key} {id}")))?;
    Ok(answer)
}
