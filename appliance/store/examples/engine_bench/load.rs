//! Clients that put objects, each one at a time, asking again as soon as they have their answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stele_device::buffer::BufferMut;
use stele_format::limits::FRAME_HEADER_BYTES;
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, ObjectName, Piece, Purpose, RequestId,
    StreamId, Whole,
};

use crate::Outcome;
use crate::vault::{SLAB_BYTES, Vault};

const HEADER: usize = FRAME_HEADER_BYTES as usize;
/// Content of up to so many bytes comes with its question, as from the gateway.
const WHOLE_BYTES_MAX: usize = 16 << 10;

/// What is put: so many objects of so many bytes by so many clients.
pub struct Puts<'a> {
    pub bucket: &'a str,
    /// Keys are this and a number of ten digits.
    pub prefix: &'a str,
    pub first: u64,
    pub count: u64,
    pub bytes: usize,
    pub clients: u64,
}

/// How it went.
pub struct Went {
    pub elapsed: Duration,
    /// From the first question of an object to its durable answer.
    pub times: Vec<Duration>,
}

impl Went {
    pub fn per_second(&self) -> f64 {
        crate::float(self.times.len() as u64) / self.elapsed.as_secs_f64()
    }
}

/// What a client waits for.
#[derive(Clone, Copy)]
pub enum Wait {
    Stream,
    Taken(StreamId),
    Stored,
}

impl Puts<'_> {
    /// Puts everything.
    pub fn run(&self, vault: &mut Vault) -> Outcome<Went> {
        let mut waiting: BTreeMap<RequestId, (Wait, Instant)> = BTreeMap::new();
        let mut times = Vec::new();
        let (mut next, end) = (self.first, self.first + self.count);
        let started = Instant::now();
        while next < end && next < self.first + self.clients {
            let (command, wait) = self.begin(next, vault);
            waiting.insert(vault.send(command), (wait, Instant::now()));
            next += 1;
        }
        while !waiting.is_empty() {
            let (id, result) = vault.reply();
            let (wait, begun) = waiting.remove(&id).ok_or("an answer to no question")?;
            let (command, wait, begun) = match (wait, result?) {
                (Wait::Stream, Answer::Stream(stream)) => {
                    let piece = self.piece(vault);
                    let data = Command::PutData { stream, piece };
                    (data, Wait::Taken(stream), begun)
                }
                (Wait::Taken(stream), Answer::Done) => (commit(stream), Wait::Stored, begun),
                (Wait::Stored, Answer::Stored(_)) => {
                    times.push(begun.elapsed());
                    if next == end {
                        continue;
                    }
                    next += 1;
                    let (command, wait) = self.begin(next - 1, vault);
                    (command, wait, Instant::now())
                }
                (_, other) => return Err(format!("unexpected {other:?}").into()),
            };
            waiting.insert(vault.send(command), (wait, begun));
        }
        Ok(Went {
            elapsed: started.elapsed(),
            times,
        })
    }

    /// The question that begins an object, and what its answer is. Short content comes with it, as it does from the
    /// gateway.
    pub fn begin(&self, number: u64, vault: &mut Vault) -> (Command, Wait) {
        let name = self.name(number);
        let purpose = Purpose::Object {
            metadata: Metadata::default(),
            lock: LockWish::default(),
        };
        if self.bytes > WHOLE_BYTES_MAX {
            let content_bytes = Some(self.bytes as u64);
            let open = Command::OpenPut {
                name,
                purpose,
                content_bytes,
            };
            return (open, Wait::Stream);
        }
        let whole = Whole {
            piece: (self.bytes > 0).then(|| self.piece(vault)),
            md5: None,
            checksums: Vec::new(),
            conditions: Conditions::default(),
        };
        let put = Command::Put {
            name,
            purpose,
            whole: Box::new(whole),
        };
        (put, Wait::Stored)
    }

    /// The object of this number.
    pub fn name(&self, number: u64) -> ObjectName {
        ObjectName {
            bucket: self.bucket.to_owned(),
            key: format!("{}{number:010}", self.prefix).into_bytes(),
        }
    }

    fn piece(&self, vault: &mut Vault) -> Piece {
        let taken = vault.slabs.try_take();
        let mut buffer = taken.unwrap_or_else(|| BufferMut::zeroed(SLAB_BYTES));
        buffer[HEADER..HEADER + self.bytes].fill(0x5a);
        Piece {
            buffer,
            start: HEADER,
            len: self.bytes,
        }
    }
}

fn commit(stream: StreamId) -> Command {
    Command::CommitPut {
        stream,
        md5: None,
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

/// Makes a bucket.
pub fn bucket(vault: &mut Vault, name: &str) -> Outcome<()> {
    vault.ask(Command::CreateBucket {
        name: name.to_owned(),
        lock: false,
    })?;
    Ok(())
}
