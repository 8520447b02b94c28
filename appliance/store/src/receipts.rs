//! Signed checkpoints of the log, one for each frame, and receipts for what its records stored.
//!
//! **Invariant:** only a log that is durable is handed out signed. A frame that a crash undoes leaves
//! no checkpoint behind, so there are never two of different roots for one size.
//!
//! The key that signs is the one that the log names: the newest KeyChange in it, or the first key where there is none.
//! It changes with the frame that makes such a record durable, whose checkpoint alone is signed by both.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use stele_format::checkpoint::{
    Certificate, Checkpoint, CheckpointError, LogKey, Origin, UnverifiedCheckpoint,
};
use stele_format::digest::Digest;
use stele_format::limits::RECORD_HEADER_BYTES;
use stele_format::proof::Receipt;
use stele_format::record::{Body, KeyChange};
use stele_format::statement::LogPublic;
use stele_format::tree::proof::Proofs;
use stele_format::tree::{Frontier, TreeHash};
use stele_format::units::{LogIndex, Opening, PoolId};

use crate::limits::{LINKED_NAMES_MAX, RECEIPT_BYTES_MAX, REMEMBERED_ROOTS_MAX};
use crate::sequence::{LogHead, Sequenced};

/// A record's header as the log has it.
pub(crate) type HeaderBytes = [u8; RECORD_HEADER_BYTES as usize];

/// The private half of a log's key.
#[derive(Clone)]
pub struct LogSigner {
    pair: Arc<Ed25519KeyPair>,
    key: LogKey,
}

impl LogSigner {
    /// The signer of this pool's log with the key made of this seed.
    ///
    /// # Errors
    /// When no key can be made of it.
    pub fn new(pool: PoolId, seed: &[u8; 32]) -> Result<Self, CheckpointError> {
        let refused = CheckpointError::Key;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| refused)?;
        let key = LogKey::new(Origin::of(pool), &public)?;
        let pair = Arc::new(pair);
        Ok(Self { pair, key })
    }

    /// The same key for the log after this many forced openings.
    #[must_use]
    pub fn after(&self, opening: Opening) -> Self {
        let pair = Arc::clone(&self.pair);
        let key = self.key.after(opening);
        Self { pair, key }
    }

    /// The public half.
    #[must_use]
    pub const fn key(&self) -> &LogKey {
        &self.key
    }

    /// The signed checkpoint of the log with this frontier. Whoever hands it out must know that this log is
    /// durable. None only if the signature were not 64 bytes.
    #[must_use]
    pub fn checkpoint(&self, frontier: &Frontier) -> Option<String> {
        let checkpoint = Checkpoint {
            origin: self.key.origin(),
            size: frontier.size(),
            root: frontier.root(),
        };
        let signature = self.signature(&checkpoint.to_string())?;
        Some(checkpoint.note(&self.key, &signature))
    }

    fn signature(&self, text: &str) -> Option<[u8; 64]> {
        self.pair.sign(text.as_bytes()).as_ref().try_into().ok()
    }

    /// The signed note over a certificate; none for another log's, or if the signature were not 64 bytes.
    #[must_use]
    pub fn certify(&self, certificate: &Certificate) -> Option<String> {
        if certificate.origin() != self.key.origin() {
            return None;
        }
        let signature = self.pair.sign(certificate.text().as_bytes());
        let signature = signature.as_ref().try_into().ok()?;
        Some(certificate.note(&self.key, signature))
    }

    fn sign(&self, log: &LogHead) -> Option<Signed> {
        Some(Signed {
            size: log.frontier.size(),
            root: log.frontier.root(),
            chain: log.previous,
            text: self.checkpoint(&log.frontier)?.into(),
        })
    }

    /// The first checkpoint of a key, which the one before signs too.
    fn sign_first(&self, before: &LogSigner, log: &LogHead) -> Option<Signed> {
        let checkpoint = Checkpoint {
            origin: self.key.origin(),
            size: log.frontier.size(),
            root: log.frontier.root(),
        };
        let text = checkpoint.to_string();
        let (old, new) = (before.signature(&text)?, self.signature(&text)?);
        let note = checkpoint.note_of(&[(&before.key, &old), (&self.key, &new)]);
        Some(Signed {
            size: checkpoint.size,
            root: checkpoint.root,
            chain: log.previous,
            text: note.into(),
        })
    }

    fn public(&self) -> LogPublic {
        LogPublic(*self.key.public())
    }
}

impl std::fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogSigner({})", self.key)
    }
}

#[derive(Debug, Clone)]
struct Signed {
    size: u64,
    root: TreeHash,
    /// Chain digest of the last record: two logs of one size are told apart by it.
    chain: Digest,
    text: Arc<str>,
}

/// The records of one frame that is durable, for receipts.
struct Group {
    before: Frontier,
    records: Vec<(HeaderBytes, TreeHash)>,
    proofs: OnceCell<Proofs>,
}

/// What the engine signs, and its newest frame.
#[derive(Default)]
pub(crate) struct Receipts {
    signer: Option<Arc<LogSigner>>,
    /// Every key at hand, the first one of the log first.
    known: Vec<Arc<LogSigner>>,
    /// How often the vault was forced open, which is in the name of its log.
    opening: Opening,
    /// A record that changes the key is on its way.
    changing: bool,
    /// Of the frame in flight: handed out once it is durable, forgotten otherwise.
    ahead: Option<Signed>,
    latest: Option<Signed>,
    /// Sizes and roots of the newest checkpoints handed out, oldest first.
    roots: VecDeque<(u64, TreeHash)>,
    /// The first checkpoint of the key that signs now, signed by the one before too; until the next start.
    first: Option<Arc<str>>,
    group: Option<Group>,
}

/// What is remembered of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It was handed out.
    Same,
    /// One of this size and another root was.
    Other,
    /// Nothing of this size.
    Unknown,
}

impl Receipts {
    /// Signs from now on, beginning with this log, which is durable; none for a vault that is only read. Of these
    /// keys that one signs which the log names, or the first where it names none; under the log's name after so many
    /// forced openings.
    pub(crate) fn sign_with(
        &mut self,
        known: Vec<Arc<LogSigner>>,
        opening: Opening,
        named: Option<LogPublic>,
        durable: Option<&LogHead>,
    ) {
        let renamed = known.iter().map(|one| Arc::new(one.after(opening)));
        self.known = renamed.collect();
        self.opening = opening;
        self.signer = match named {
            None => self.known.first().cloned(),
            Some(key) => self.find(key),
        };
        let signer = self.signer.as_ref();
        self.latest = signer.and_then(|signer| signer.sign(durable?));
        self.remember();
        self.ahead = None;
    }

    /// Learns a key that people may give the log.
    pub(crate) fn learn(&mut self, signer: &LogSigner) {
        if !self.knows(signer.public()) {
            self.known.push(Arc::new(signer.after(self.opening)));
        }
    }

    /// Every key at hand.
    pub(crate) fn known(&self) -> &[Arc<LogSigner>] {
        &self.known
    }

    /// Whether the private half of this key is at hand, and another one signs now.
    pub(crate) fn knows(&self, key: LogPublic) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: LogPublic) -> Option<Arc<LogSigner>> {
        self.known.iter().find(|one| one.public() == key).cloned()
    }

    /// The record by which the key that signs gives way to another one; none while one is on its way, and where one
    /// of both keys is not at hand.
    pub(crate) fn change(&mut self, request: LogIndex, key: LogPublic) -> Option<KeyChange> {
        let signer = self.signer.as_ref().filter(|_| !self.changing)?;
        let new = self.find(key)?.public();
        let old = signer.public();
        let origin = signer.key.origin();
        let text = KeyChange::text(origin, request, &old.0, &new.0);
        let signature = signer.signature(&text)?;
        self.changing = true;
        Some(KeyChange {
            request,
            old: old.0,
            new: new.0,
            signature,
        })
    }

    fn remember(&mut self) {
        let Some(latest) = &self.latest else {
            return;
        };
        if self.roots.len() == REMEMBERED_ROOTS_MAX {
            self.roots.pop_front();
        }
        self.roots.push_back((latest.size, latest.root));
    }

    /// What is remembered of a checkpoint of this log.
    pub(crate) fn told(&self, checkpoint: &Checkpoint) -> Told {
        let place = self
            .roots
            .binary_search_by_key(&checkpoint.size, |(size, _)| *size);
        match place.ok().and_then(|place| self.roots.get(place)) {
            None => Told::Unknown,
            Some((_, root)) if *root == checkpoint.root => Told::Same,
            Some(_) => Told::Other,
        }
    }

    /// Takes over what an engine of the same log handed out before.
    pub(crate) fn remember_those_of(&mut self, before: &Self) {
        let first = self.roots.front().map_or(u64::MAX, |(size, _)| *size);
        let older = before.roots.iter().filter(|(size, _)| *size < first);
        let mut roots: VecDeque<_> = older.copied().collect();
        roots.extend(self.roots.iter().copied());
        let more = roots.len().saturating_sub(REMEMBERED_ROOTS_MAX);
        self.roots = roots.split_off(more);
    }

    /// Who signs.
    pub(crate) fn signer(&self) -> Option<&Arc<LogSigner>> {
        self.signer.as_ref()
    }

    /// The newest checkpoint, signed under every name that the log had: whoever knows one of them believes the newest
    /// one. As [`Receipts::latest`] in a log that was never forced open.
    pub(crate) fn linked(&self) -> Option<Arc<str>> {
        let (signer, latest) = (self.signer.as_ref()?, self.latest.as_ref()?);
        if self.opening.is_zero() {
            return self.latest();
        }
        let checkpoint = *UnverifiedCheckpoint::parse(&latest.text).ok()?.claims();
        let text = checkpoint.to_string();
        let signature = signer.signature(&text)?;
        let shown = self.opening.get().min(LINKED_NAMES_MAX);
        let names = self.opening.get() - shown..=self.opening.get();
        let names: Vec<LogKey> = names
            .map(|opening| signer.key.after(Opening::new(opening)))
            .collect();
        let signed: Vec<_> = names.iter().map(|name| (name, &signature)).collect();
        Some(checkpoint.note_of(&signed).into())
    }

    /// The newest checkpoint.
    pub(crate) fn latest(&self) -> Option<Arc<str>> {
        self.latest.as_ref().map(|signed| Arc::clone(&signed.text))
    }

    /// The checkpoint that the last change of the key made.
    pub(crate) fn first(&self) -> Option<Arc<str>> {
        self.first.clone()
    }

    /// Signs the log that a frame in flight makes, while the disks are at work.
    pub(crate) fn sign_ahead(&mut self, flying: &LogHead) {
        let done = self
            .ahead
            .as_ref()
            .is_some_and(|ahead| ahead.chain == flying.previous);
        // Whose turn it is depends on what the frame holds.
        let done = done || self.changing;
        if let Some(signer) = self.signer.as_ref().filter(|_| !done) {
            self.ahead = signer.sign(flying);
        }
    }

    /// A frame is durable: the log was `before` and is `after`.
    pub(crate) fn durable(&mut self, before: Frontier, after: &LogHead, records: &[Sequenced]) {
        let change = records.iter().find_map(|record| match &record.body {
            Body::LogKey(change) => Some(change),
            _ => None,
        });
        let Some(signer) = self.signer.clone() else {
            return;
        };
        let ahead = self.ahead.take();
        self.latest = match change {
            None => {
                let ahead = ahead.filter(|ahead| ahead.chain == after.previous);
                ahead.or_else(|| signer.sign(after))
            }
            Some(change) => {
                self.changing = false;
                self.signer = self.find(LogPublic(change.new));
                let new = self.signer.as_ref();
                let signed = new.and_then(|new| new.sign_first(&signer, after));
                self.first = signed.as_ref().map(|signed| Arc::clone(&signed.text));
                signed
            }
        };
        self.remember();
        self.group = Some(Group {
            before,
            records: records.iter().map(|one| (one.header, one.leaf)).collect(),
            proofs: OnceCell::new(),
        });
    }

    /// The receipt of a record of the newest frame. None where none can be made, which delays and fails
    /// nothing.
    pub(crate) fn receipt(&self, index: LogIndex) -> Option<String> {
        let (group, signed) = (self.group.as_ref()?, self.latest.as_ref()?);
        let place = index.get().checked_sub(group.before.size())?;
        let (header, _) = group.records.get(usize::try_from(place).ok()?)?;
        let proofs = group.proofs.get_or_init(|| {
            let leaves = group.records.iter().map(|(_, leaf)| *leaf).collect();
            Proofs::after(&group.before, leaves)
        });
        let path = proofs.inclusion(index.get(), signed.size).ok()?;
        let text = Receipt::text(header, index.get(), &path, &signed.text);
        (text.len() <= RECEIPT_BYTES_MAX).then_some(text)
    }
}
