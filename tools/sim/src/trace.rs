//! The running digest of a run: every event, every action, every answer, every choice that counts.
//!
//! Two runs of one seed must give the same digest; where they do not, something in the engine or
//! here depends on more than the seed.

use std::fmt;

use stele_device::disk::{Done, Op};
use stele_store::engine::{Action, Event};
use stele_store::index::{IndexReply, IndexRequest, Query};
use stele_store::job::{Job, JobDone};

use crate::rng::mix;

/// The digest so far.
pub struct Trace {
    hasher: blake3::Hasher,
    /// What was not hashed yet: much at once is several times faster than little by little.
    gathered: Vec<u8>,
}

/// Bytes gathered before they are hashed.
const GATHERED_BYTES: usize = 64 << 10;

/// Lets `write!` feed the digest.
struct Feed<'a>(&'a mut Vec<u8>);

impl fmt::Write for Feed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hasher: blake3::Hasher::new_derive_key("stele-sim 2026 trace v2"),
            gathered: Vec::with_capacity(2 * GATHERED_BYTES),
        }
    }
}

impl Trace {
    /// Takes in something that can be shown. A separator keeps neighbours apart.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        let fed = fmt::Write::write_fmt(&mut Feed(&mut self.gathered), what);
        fed.expect("a digest takes everything");
        self.gathered.push(b'\n');
        self.hash_much();
    }

    /// Takes in numbers.
    pub fn numbers(&mut self, tag: u8, numbers: &[u64]) {
        self.gathered.push(tag);
        for number in numbers {
            self.gathered.extend_from_slice(&number.to_le_bytes());
        }
        self.hash_much();
    }

    fn hash_much(&mut self) {
        if self.gathered.len() >= GATHERED_BYTES {
            self.hasher.update(&self.gathered);
            self.gathered.clear();
        }
    }

    /// Takes in bytes, by a fold of them: most of a run is content, and the digest is to compare
    /// runs, not to withstand anybody.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.numbers(b'b', &[bytes.len() as u64, fold(bytes)]);
    }

    /// Takes in what is about to happen to the engine.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Request(request) => self.note(format_args!("ask {request:?}")),
            Event::Disk { slot, done } => self.done(u64::from(slot.0), done),
            Event::Job(done) => self.job_done(done),
            Event::Index(reply) => self.index_reply(reply),
            Event::Astray { slot, alone } => {
                self.numbers(b'v', &[u64::from(slot.0), u64::from(*alone)]);
            }
            Event::Back { slot } => self.numbers(b'h', &[u64::from(slot.0)]),
            Event::Tick => self.numbers(b't', &[]),
            Event::Stop => self.numbers(b's', &[]),
        }
    }

    /// Takes in what the engine wants done.
    pub fn action(&mut self, action: &Action) {
        match action {
            Action::Disk { slot, id, op } => self.op(u64::from(slot.0), id.0, op),
            Action::Job(job) => self.job(job),
            Action::Index(request) => self.index_request(request),
            Action::Reply { id, result } => self.note(format_args!("answer {} {result:?}", id.0)),
        }
    }

    fn done(&mut self, slot: u64, done: &Done) {
        match &done.result {
            Ok(Some(bytes)) => {
                self.numbers(b'r', &[slot, done.id.0]);
                self.bytes(bytes);
            }
            Ok(None) => self.numbers(b'd', &[slot, done.id.0]),
            Err(error) => self.note(format_args!("fault {slot} {} {error:?}", done.id.0)),
        }
    }

    fn op(&mut self, slot: u64, id: u64, op: &Op) {
        match op {
            Op::Read { offset, bytes } => {
                self.numbers(b'R', &[slot, id, *offset, *bytes as u64]);
            }
            Op::Write { offset, data } => {
                self.numbers(b'W', &[slot, id, *offset]);
                self.bytes(data);
            }
            Op::WriteDurable { offset, data } => {
                self.numbers(b'D', &[slot, id, *offset]);
                self.bytes(data);
            }
            Op::Flush => self.numbers(b'F', &[slot, id]),
            Op::Discard { offset, bytes } => self.numbers(b'X', &[slot, id, *offset, *bytes]),
        }
    }

    fn job(&mut self, job: &Job) {
        match job {
            Job::Seal {
                id,
                buffer,
                plain_len,
                ..
            } => {
                self.numbers(b'S', &[id.0, *plain_len as u64]);
                self.bytes(buffer);
            }
            Job::Open {
                id,
                digest,
                stored_len,
                plain_len,
                ..
            } => {
                self.numbers(b'O', &[id.0, *stored_len as u64, *plain_len as u64]);
                self.bytes(&digest.0);
            }
            Job::Judge(job) => self.numbers(b'J', &[job.id.0]),
        }
    }

    fn job_done(&mut self, done: &JobDone) {
        match done {
            JobDone::Sealed {
                id,
                stored_len,
                digest,
                ..
            } => {
                self.numbers(b'e', &[id.0, *stored_len as u64]);
                self.bytes(&digest.0);
            }
            JobDone::Opened { id, verified, .. } => {
                self.numbers(b'o', &[id.0, u64::from(*verified)]);
            }
            JobDone::Judged { id, good, .. } => {
                let right = good.iter().filter(|good| **good).count();
                self.numbers(b'j', &[id.0, right as u64, good.len() as u64]);
            }
        }
    }

    fn index_request(&mut self, request: &IndexRequest) {
        match request {
            IndexRequest::Query(Query { id, gets, scans }) => {
                self.numbers(b'Q', &[id.0, gets.len() as u64, scans.len() as u64]);
                for (table, key) in gets {
                    self.note(format_args!("{table:?}"));
                    self.bytes(key);
                }
                for scan in scans {
                    self.note(format_args!("{:?} {}", scan.table, scan.limit));
                    self.bytes(&scan.from);
                    self.bytes(scan.end.as_deref().unwrap_or_default());
                }
            }
            IndexRequest::Commit { rows, meta } => {
                self.note(format_args!("commit {rows:?} {meta:?}"));
                self.bytes(&meta.extra.whole());
            }
            IndexRequest::Verify { .. }
            | IndexRequest::Mirror(_)
            | IndexRequest::CopyMirror
            | IndexRequest::Forget(_) => self.note(format_args!("{request:?}")),
        }
    }

    fn index_reply(&mut self, reply: &IndexReply) {
        match reply {
            IndexReply::Answer { id, bundle } => self.note(format_args!("{} {bundle:?}", id.0)),
            IndexReply::Committed { triple, usage } => {
                self.numbers(b'c', &[triple.rows, triple.row_bytes]);
                self.bytes(&triple.multiset);
                self.note(format_args!("{usage:?}"));
            }
            IndexReply::Verified(result) => self.note(format_args!("{result:?}")),
            IndexReply::Mirrored { usage } => self.note(format_args!("{usage:?}")),
            IndexReply::Forgotten => self.note(format_args!("forgotten")),
            IndexReply::Failed { query, error } => {
                self.note(format_args!("index {query:?} {error:?}"));
            }
        }
    }

    /// The digest of everything so far.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.gathered);
        *hasher.finalize().as_bytes()
    }
}

/// A word that depends on every byte and its place.
fn fold(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (lines, rest) = bytes.as_chunks::<64>();
    let mut lanes = [1_u64, 2, 3, 4, 5, 6, 7, 8];
    for line in lines {
        let (words, _) = line.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            let mixed = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
            *lane = mixed ^ (mixed >> 29);
        }
    }
    let last = rest.iter().map(|byte| u64::from(*byte));
    lanes
        .into_iter()
        .chain(last)
        .fold(0, |all, part| mix(all ^ part).wrapping_add(ODD))
}

/// As printed.
#[must_use]
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Trace, fold, hex};

    #[test]
    fn every_byte_and_its_place_count() {
        let bytes: Vec<u8> = (0..200_u8).collect();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(fold(&bytes), fold(&other), "byte {at}");
        }
        let mut swapped = bytes.clone();
        swapped.swap(3, 67);
        assert_ne!(fold(&bytes), fold(&swapped));
    }

    #[test]
    fn order_and_boundaries_count() {
        let digest = |parts: &[&[u8]]| {
            let mut trace = Trace::default();
            parts.iter().for_each(|part| trace.bytes(part));
            hex(&trace.digest())
        };
        assert_eq!(digest(&[b"a", b"b"]), digest(&[b"a", b"b"]));
        assert_ne!(digest(&[b"a", b"b"]), digest(&[b"b", b"a"]));
        assert_ne!(digest(&[b"ab"]), digest(&[b"a", b"b"]));
        assert_eq!(digest(&[]).len(), 64);
    }
}
