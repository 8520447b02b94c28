//! Signed checkpoints of the log, one for each frame, and receipts for what its records stored.
//!
//! **Invariant:** only a log that is durable is handed out signed. A frame that a crash undoes leaves
//! no checkpoint behind, so there are never two of different roots for one size.

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
use stele_format::tree::proof::Proofs;
use stele_format::tree::{Frontier, TreeHash, leaf_hash};
use stele_format::units::{LogIndex, PoolId};

use crate::limits::{RECEIPT_BYTES_MAX, REMEMBERED_ROOTS_MAX};
use crate::sequence::{LogHead, Sequenced};

/// A record's header as the log has it.
pub(crate) type HeaderBytes = [u8; RECORD_HEADER_BYTES as usize];

/// The private half of a log's key.
pub struct LogSigner {
    pair: Ed25519KeyPair,
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
        Ok(Self { pair, key })
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
        let signature = self.pair.sign(checkpoint.to_string().as_bytes());
        let signature = signature.as_ref().try_into().ok()?;
        Some(checkpoint.note(&self.key, signature))
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
    headers: Vec<HeaderBytes>,
    proofs: OnceCell<Proofs>,
}

/// What the engine signs, and its newest frame.
#[derive(Default)]
pub(crate) struct Receipts {
    signer: Option<Arc<LogSigner>>,
    /// Of the frame in flight: handed out once it is durable, forgotten otherwise.
    ahead: Option<Signed>,
    latest: Option<Signed>,
    /// Sizes and roots of the newest checkpoints handed out, oldest first.
    roots: VecDeque<(u64, TreeHash)>,
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
    /// Signs from now on, beginning with this log, which is durable; none for a vault that is only read.
    pub(crate) fn sign_with(&mut self, signer: Arc<LogSigner>, durable: Option<&LogHead>) {
        self.latest = durable.and_then(|log| signer.sign(log));
        self.remember();
        self.ahead = None;
        self.signer = Some(signer);
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

    /// The newest checkpoint.
    pub(crate) fn latest(&self) -> Option<Arc<str>> {
        self.latest.as_ref().map(|signed| Arc::clone(&signed.text))
    }

    /// Signs the log that a frame in flight makes, while the disks are at work.
    pub(crate) fn sign_ahead(&mut self, flying: &LogHead) {
        let done = self
            .ahead
            .as_ref()
            .is_some_and(|ahead| ahead.chain == flying.previous);
        if let Some(signer) = self.signer.as_ref().filter(|_| !done) {
            self.ahead = signer.sign(flying);
        }
    }

    /// A frame is durable: the log was `before` and is `after`.
    pub(crate) fn durable(&mut self, before: Frontier, after: &LogHead, records: &[Sequenced]) {
        let Some(signer) = &self.signer else {
            return;
        };
        let ahead = self.ahead.take();
        let ahead = ahead.filter(|ahead| ahead.chain == after.previous);
        self.latest = ahead.or_else(|| signer.sign(after));
        self.remember();
        self.group = Some(Group {
            before,
            headers: records.iter().map(|record| record.header).collect(),
            proofs: OnceCell::new(),
        });
    }

    /// The receipt of a record of the newest frame. None where none can be made, which delays and fails
    /// nothing.
    pub(crate) fn receipt(&self, index: LogIndex) -> Option<String> {
        let (group, signed) = (self.group.as_ref()?, self.latest.as_ref()?);
        let place = index.get().checked_sub(group.before.size())?;
        let header = group.headers.get(usize::try_from(place).ok()?)?;
        let proofs = group.proofs.get_or_init(|| {
            let leaves: Vec<TreeHash> = group.headers.iter().map(|h| leaf_hash(h)).collect();
            Proofs::after(&group.before, leaves)
        });
        let path = proofs.inclusion(index.get(), signed.size).ok()?;
        let checkpoint = UnverifiedCheckpoint::parse(&signed.text).ok()?;
        let text = Receipt::text(header, index.get(), path, checkpoint);
        (text.len() <= RECEIPT_BYTES_MAX).then_some(text)
    }
}
