//! One worker: a random walk of S3 operations, remembered in its book.

use super::book::{Body, Book, Doubt, OpenUpload};
use crate::failure::{Failure, Outcome, ensure};
use crate::rng::Rng;
use crate::s3::{Client, Part, Response, Trouble};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Names per worker; few, so that versions of one name pile up.
const NAMES: u64 = 40;
const PUT_BYTES_MAX: u64 = 3 << 20;
const SMALL_BYTES_MAX: u64 = 4096;
/// The smallest part that may be followed by another one.
const PART_BYTES_MIN: usize = 5 << 20;

/// Bytes that all workers of a round may still send; afterwards they send only small objects.
pub struct Budget(AtomicU64);

impl Budget {
    /// This many bytes.
    pub fn new(bytes: u64) -> Budget {
        Budget(AtomicU64::new(bytes))
    }

    fn spend(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let spend = |left: u64| Some(left.saturating_sub(bytes));
        // The closure always returns a value, so the update cannot be refused.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    }

    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// What the workers of a round share.
pub struct Load<'a> {
    /// Bucket, made for client locks.
    pub bucket: &'a str,
    /// Limit of what is sent.
    pub budget: Budget,
    /// Set before the server is killed: from here on lost connections are expected.
    pub killed: AtomicBool,
    /// Set to let the workers end.
    pub stop: AtomicBool,
}

/// How much a worker did.
#[derive(Default, Clone, Copy)]
pub struct Done {
    /// Operations answered with success.
    pub acknowledged: u64,
    /// Operations refused with 503.
    pub refused: u64,
    /// Operations that a dying server answered with an error: whether they happened must be looked up.
    pub unanswered: u64,
}

/// How one operation ended.
enum End {
    Acknowledged,
    Refused,
    Skipped,
}

/// An operation's error: no answer at all, or an answer that must not be.
enum Broken {
    Lost(Trouble),
    /// An error of a server that was killed: its door outlives its engine by some moments.
    Unknown,
    Wrong(Failure),
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Broken {
        Broken::Lost(trouble)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken::Wrong(failure)
    }
}

type Step = Result<End, Broken>;

impl Load<'_> {
    /// A load on a bucket, limited to this many bytes.
    pub fn new(bucket: &str, bytes: u64) -> Load<'_> {
        let (killed, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        Load {
            bucket,
            budget: Budget::new(bytes),
            killed,
            stop,
        }
    }

    /// Works until it is stopped or the killed server is gone. Fails on an answer that must not
    /// be, and when the connection is lost although nobody killed the server.
    pub fn work(&self, book: &mut Book, mut client: Client, mut rng: Rng) -> Outcome<Done> {
        let mut done = Done::default();
        while !self.stop.load(Ordering::Relaxed) {
            match self.step(book, &mut client, &mut rng) {
                Ok(End::Acknowledged) => done.acknowledged += 1,
                Ok(End::Refused) => done.refused += 1,
                Ok(End::Skipped) => {}
                Err(Broken::Unknown) => {
                    done.unanswered += 1;
                    return Ok(done);
                }
                Err(Broken::Lost(_)) if self.killed.load(Ordering::SeqCst) => return Ok(done),
                Err(Broken::Lost(trouble)) => {
                    return Err(Failure::new(format!("the server hung up: {trouble}")));
                }
                Err(Broken::Wrong(failure)) => return Err(failure),
            }
        }
        Ok(done)
    }

    fn step(&self, book: &mut Book, client: &mut Client, rng: &mut Rng) -> Step {
        match rng.below(100) {
            0..=64 => self.put(book, client, rng),
            65..=74 => self.read(book, client, rng),
            75..=82 => self.delete(book, client, rng),
            83..=89 => self.release(book, client, rng),
            90..=94 => self.upload(book, client, rng),
            _ => self.complete(book, client, rng),
        }
    }

    /// The answer, unless it is an error of a server that was killed and is gone: that says nothing about what its
    /// engine has done, so the doubt stays.
    fn alive(
        &self,
        client: &mut Client,
        ask: impl FnOnce(&mut Client) -> Result<Response, Trouble>,
    ) -> Result<Response, Broken> {
        let answer = ask(client)?;
        let wish = [("versions", ""), ("max-keys", "1")];
        self.believe(answer, || {
            let again = client.ask(self.bucket, &wish);
            again.is_ok_and(|again| again.status < 500)
        })
    }

    fn believe(&self, answer: Response, lives: impl FnOnce() -> bool) -> Result<Response, Broken> {
        let killed = self.killed.load(Ordering::SeqCst);
        match answer.status {
            500..600 if killed && !lives() => Err(Broken::Unknown),
            _ => Ok(answer),
        }
    }

    /// That an answer says whether a change was made: one of 500 does not, where something happens to the server.
    fn decided(&self, answer: &Response) -> Result<(), Broken> {
        match answer.status {
            500 if self.killed.load(Ordering::SeqCst) => Err(Broken::Unknown),
            _ => Ok(()),
        }
    }

    fn size(&self, rng: &mut Rng) -> usize {
        let max = match rng.below(100) {
            _ if self.budget.is_spent() => SMALL_BYTES_MAX,
            0..=4 => 1,
            5..=44 => SMALL_BYTES_MAX,
            45..=74 => 160 << 10,
            75..=94 => 1 << 20,
            _ => PUT_BYTES_MAX + 1,
        };
        usize::try_from(rng.below(max)).unwrap_or(0)
    }

    fn put(&self, book: &mut Book, client: &mut Client, rng: &mut Rng) -> Step {
        let key = name(book, rng);
        let body = Body::new(rng.next(), self.size(rng));
        self.budget.spend(body.length());
        let doubt = Doubt::Put {
            key: key.clone(),
            body: body.clone(),
        };
        book.doubt = Some(doubt);
        let answer = self.alive(client, |client| {
            client.put(self.bucket, &key, &body.bytes(), None)
        })?;
        self.decided(&answer)?;
        book.doubt = None;
        acknowledged(&answer, 200, || {
            book.add(&key, &version(&answer)?, Some(body));
            Ok(())
        })
    }

    fn read(&self, book: &mut Book, client: &mut Client, rng: &mut Rng) -> Step {
        let Some((key, entry)) = book.pick(rng) else {
            return Ok(End::Skipped);
        };
        let Some(body) = entry.body else {
            return Ok(End::Skipped);
        };
        let answer = self.alive(client, |client| {
            client.get(self.bucket, &key, Some(&entry.version))
        })?;
        acknowledged(&answer, 200, || {
            let same = answer.body == body.bytes();
            ensure(same, || {
                format!("{key} {} came back with other bytes", entry.version)
            })
        })
    }

    fn delete(&self, book: &mut Book, client: &mut Client, rng: &mut Rng) -> Step {
        let key = name(book, rng);
        book.doubt = Some(Doubt::Delete { key: key.clone() });
        let answer = self.alive(client, |client| client.delete(self.bucket, &key, None))?;
        self.decided(&answer)?;
        book.doubt = None;
        acknowledged(&answer, 204, || {
            book.add(&key, &version(&answer)?, None);
            Ok(())
        })
    }

    fn release(&self, book: &mut Book, client: &mut Client, rng: &mut Rng) -> Step {
        let Some((key, entry)) = book.pick(rng) else {
            return Ok(End::Skipped);
        };
        let version = entry.version;
        book.doubt = Some(Doubt::Release {
            key: key.clone(),
            version: version.clone(),
        });
        let answer = self.alive(client, |client| {
            client.delete(self.bucket, &key, Some(&version))
        })?;
        self.decided(&answer)?;
        book.doubt = None;
        acknowledged(&answer, 204, || {
            book.release(&key, &version);
            Ok(())
        })
    }

    /// Starts an upload and sends its parts; it stays open for now.
    fn upload(&self, book: &mut Book, client: &mut Client, rng: &mut Rng) -> Step {
        let key = name(book, rng);
        book.doubt = Some(Doubt::Nothing);
        let id = match client.upload(self.bucket, &key)? {
            Ok(id) => id,
            Err(answer) => {
                let answer = self.alive(client, |_| Ok(answer))?;
                self.decided(&answer)?;
                return acknowledged(&answer, 200, || Ok(()));
            }
        };
        book.uploads.push(OpenUpload {
            key: key.clone(),
            id: id.clone(),
            parts: Vec::new(),
        });
        let two = rng.percent(30) && !self.budget.is_spent();
        let sizes = if two {
            vec![PART_BYTES_MIN, self.size(rng)]
        } else {
            vec![self.size(rng)]
        };
        for (number, bytes) in (1..).zip(sizes) {
            let body = Body::new(rng.next(), bytes);
            self.budget.spend(bytes);
            let answer = self.alive(client, |client| {
                client.part(self.bucket, &key, (&id, number), &body.bytes())
            })?;
            self.decided(&answer)?;
            acknowledged(&answer, 200, || {
                let missing = || Failure::new("a part was answered without ETag");
                let etag = answer.header("etag").ok_or_else(missing)?.to_owned();
                let open = book.uploads.last_mut().expect("pushed above");
                open.parts.push((Part { number, etag }, body));
                Ok(())
            })?;
        }
        book.doubt = None;
        Ok(End::Acknowledged)
    }

    fn complete(&self, book: &mut Book, client: &mut Client, rng: &mut Rng) -> Step {
        if book.uploads.is_empty() {
            return Ok(End::Skipped);
        }
        let open = book.uploads.swap_remove(rng.index(book.uploads.len()));
        if open.parts.is_empty() {
            return Ok(End::Skipped);
        }
        let parts: Vec<Part> = open.parts.iter().map(|(part, _)| part.clone()).collect();
        book.doubt = Some(Doubt::Complete(open.clone()));
        let answer = self.alive(client, |client| {
            client.complete(self.bucket, &open.key, &open.id, &parts)
        })?;
        self.decided(&answer)?;
        book.doubt = None;
        let body = Body::joined(open.parts.iter().map(|(_, body)| body));
        acknowledged(&answer, 200, || {
            // A 200 whose body is an error document is S3's way of failing late.
            ensure(!answer.text().contains("<Error>"), || answer.summary())?;
            book.add(&open.key, &version(&answer)?, Some(body));
            Ok(())
        })
    }
}

/// Works through `steps` operations of which none may be lost or refused.
pub fn fill(
    load: &Load,
    book: &mut Book,
    client: &mut Client,
    rng: &mut Rng,
    steps: u64,
) -> Outcome {
    for _ in 0..steps {
        match load.step(book, client, rng) {
            Ok(End::Refused) => return Err(Failure::new("refused with 503 while filling")),
            Ok(_) => {}
            Err(Broken::Lost(trouble)) => return Err(trouble.into()),
            Err(Broken::Unknown) => return Err(Failure::new("killed while filling")),
            Err(Broken::Wrong(failure)) => return Err(failure),
        }
    }
    Ok(())
}

fn name(book: &Book, rng: &mut Rng) -> String {
    format!("{}{:03}", book.prefix, rng.below(NAMES))
}

fn version(answer: &Response) -> Outcome<String> {
    let missing = || Failure::new("acknowledged without x-amz-version-id");
    answer
        .header("x-amz-version-id")
        .map(str::to_owned)
        .ok_or_else(missing)
}

fn acknowledged(answer: &Response, status: u16, record: impl FnOnce() -> Outcome) -> Step {
    match answer.status {
        503 => Ok(End::Refused),
        code if code == status => {
            record()?;
            Ok(End::Acknowledged)
        }
        _ => Err(Broken::Wrong(Failure::new(format!(
            "expected {status}, got {}",
            answer.summary()
        )))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_killed_server_says_nothing_about_what_was_done() {
        let answer = |status| Response {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let load = Load::new("bucket", 0);
        let gone = |status| load.believe(answer(status), || false);
        assert!(matches!(gone(503), Ok(a) if a.status == 503));
        load.killed.store(true, Ordering::SeqCst);
        for status in [500, 503] {
            assert!(matches!(gone(status), Err(Broken::Unknown)), "{status}");
            // One that is to be killed and lives still is taken at its word.
            let lives = load.believe(answer(status), || true);
            assert!(matches!(lives, Ok(a) if a.status == status));
        }
        for status in [204, 404] {
            assert!(gone(status).is_ok(), "{status}");
        }
    }
}
