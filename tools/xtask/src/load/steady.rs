//! One kind of request again and again over some connections that stay open.

use crate::failure::{Failure, Outcome, ensure};
use crate::rng::Rng;
use crate::s3::{Client, Endpoint, element, sha256_hex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Stores a new object.
    Put,
    /// Reads one of those that were stored.
    Get,
    /// Lists a page of a thousand names, one after the other.
    List,
}

/// Objects of one size in one bucket of one server.
pub struct Steady {
    endpoint: Arc<Endpoint>,
    bucket: String,
    prefix: String,
    body: Vec<u8>,
    digest: String,
    stored: AtomicU64,
}

/// What one run did.
pub struct Ran {
    /// Answers of success; names, for listings.
    pub count: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of each request.
    pub times: Vec<Duration>,
}

/// When a run ends: whichever comes first.
#[derive(Clone, Copy)]
struct Bounds {
    end: Instant,
    operations: u64,
}

impl Steady {
    /// Nothing is stored yet.
    pub fn new(endpoint: &Arc<Endpoint>, bucket: &str, prefix: &str, bytes: usize) -> Steady {
        let body = Rng::new(9).bytes(bytes);
        let digest = sha256_hex(&body);
        Steady {
            endpoint: Arc::clone(endpoint),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            body,
            digest,
            stored: AtomicU64::new(0),
        }
    }

    /// Runs for so long, or so many requests on each connection, whichever comes first.
    pub fn run(
        &self,
        verb: Verb,
        connections: u64,
        longest: Duration,
        operations: u64,
    ) -> Outcome<Ran> {
        let mut clients: Vec<Client> = (0..connections)
            .map(|_| Client::new(&self.endpoint))
            .collect();
        for client in &mut clients {
            // Connection and TLS handshake are not part of the figure.
            let answer = client.ask(&self.bucket, &[("location", "")])?;
            answer.expect(200)?;
        }
        let started = Instant::now();
        let bounds = Bounds {
            end: started + longest,
            operations,
        };
        let results = std::thread::scope(|threads| {
            let begin = |(seed, client)| {
                threads.spawn(move || self.connection(verb, client, Rng::new(seed), bounds))
            };
            let handles: Vec<_> = (1..).zip(clients).map(begin).collect();
            let panicked = |_| Err(Failure::new("a connection panicked"));
            let join = |handle: std::thread::ScopedJoinHandle<'_, Outcome<Ran>>| {
                handle.join().unwrap_or_else(panicked)
            };
            handles.into_iter().map(join).collect::<Vec<_>>()
        });
        let mut all = Ran {
            count: 0,
            elapsed: started.elapsed(),
            times: Vec::new(),
        };
        for result in results {
            let one = result?;
            all.count += one.count;
            all.times.extend(one.times);
        }
        Ok(all)
    }

    /// Stores objects until there are so many of them.
    pub fn fill(&self, connections: u64, objects: u64, longest: Duration) -> Outcome {
        let missing = objects.saturating_sub(self.stored.load(Ordering::SeqCst));
        self.run(
            Verb::Put,
            connections,
            longest,
            missing.div_ceil(connections),
        )?;
        let stored = self.stored.load(Ordering::SeqCst);
        ensure(stored >= objects, || {
            let seconds = longest.as_secs();
            format!("only {stored} of {objects} objects were stored in {seconds} s")
        })
    }

    fn connection(
        &self,
        verb: Verb,
        mut client: Client,
        mut rng: Rng,
        bounds: Bounds,
    ) -> Outcome<Ran> {
        let (mut times, mut count) = (Vec::new(), 0);
        let started = Instant::now();
        let mut token = None;
        for _ in 0..bounds.operations {
            let one = Instant::now();
            if one >= bounds.end {
                break;
            }
            count += match verb {
                Verb::Put => self.put(&mut client)?,
                Verb::Get => self.get(&mut client, &mut rng)?,
                Verb::List => self.list(&mut client, &mut token)?,
            };
            times.push(one.elapsed());
        }
        Ok(Ran {
            count,
            elapsed: started.elapsed(),
            times,
        })
    }

    fn key(&self, number: u64) -> String {
        format!("{}/{number:08}", self.prefix)
    }

    fn put(&self, client: &mut Client) -> Outcome<u64> {
        let key = self.key(self.stored.fetch_add(1, Ordering::SeqCst));
        let answer = client.put(&self.bucket, &key, &self.body, Some(&self.digest))?;
        answer.expect(200)?;
        Ok(1)
    }

    fn get(&self, client: &mut Client, rng: &mut Rng) -> Outcome<u64> {
        let stored = self.stored.load(Ordering::SeqCst);
        ensure(stored > 0, || "nothing is stored yet".to_owned())?;
        let key = self.key(rng.below(stored));
        let answer = client.get_known(&self.bucket, &key, &self.body)?;
        answer.expect(200)?;
        Ok(1)
    }

    /// The next page; after the last one the first again.
    fn list(&self, client: &mut Client, token: &mut Option<String>) -> Outcome<u64> {
        let prefix = format!("{}/", self.prefix);
        let mut query = vec![
            ("list-type", "2"),
            ("max-keys", "1000"),
            ("prefix", &prefix),
        ];
        if let Some(token) = token {
            query.push(("continuation-token", token));
        }
        let answer = client.ask(&self.bucket, &query)?;
        answer.expect(200)?;
        let text = answer.text();
        *token = element(&text, "NextContinuationToken");
        let names = text.matches("<Key>").count();
        ensure(names > 0, || "an empty page".to_owned())?;
        Ok(u64::try_from(names).unwrap_or(0))
    }
}
