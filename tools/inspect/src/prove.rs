//! Proofs over the headers on the disks, for whoever holds a checkpoint: that a record is in the log,
//! and that one log is the beginning of another. Nothing is proven of a log that is damaged.

use std::time::Duration;

use stele_format::checkpoint::{CheckpointError, KeyHistory, LogTurn, UnverifiedCheckpoint};
use stele_format::proof::{Receipt, ReceiptError};
use stele_format::record::{Body, RecordHeader};
use stele_format::tree::proof::ProofError;
use stele_format::units::VersionId;
use thiserror::Error;

use crate::headers::{HeaderFault, HeaderWalk, Headers};
use crate::journal::{self, Watch};
use crate::pool::{self, PoolError};
use crate::source::Source;
use crate::survey::Survey;
use crate::verdict::Ledger;

/// What is to be proven.
#[derive(Debug, Clone, Copy)]
pub enum Claim {
    /// That a record is in the log.
    Inclusion {
        /// The record.
        record: u64,
        /// The version it must have made.
        version: Option<VersionId>,
        /// In the log's first so many records; none for all, or those of the checkpoint.
        size: Option<u64>,
    },
    /// That the log's first records are the beginning of more of them.
    Consistency {
        /// The fewer.
        older: u64,
        /// The more.
        newer: u64,
    },
}

/// Why nothing is proven.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The sources are not the disks of one vault.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The sources have no log.
    #[error("no label of a vault is readable, so there is no log")]
    NoLog,
    /// The log cannot be believed.
    #[error(transparent)]
    Headers(#[from] HeaderFault),
    /// There is no such record or size.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The record made another version, or none.
    #[error("record {record} did not make version {version}")]
    OtherVersion {
        /// The record.
        record: u64,
        /// The version.
        version: VersionId,
    },
    /// The checkpoint is not believed.
    #[error("the checkpoint is not believed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of another size than asked for.
    #[error("the checkpoint is of {checkpoint} records, and {asked} were asked for")]
    OtherSize {
        /// In the checkpoint.
        checkpoint: u64,
        /// Asked for.
        asked: u64,
    },
    /// A receipt does not verify.
    #[error("the receipt is not believed: {0}")]
    Receipt(#[from] ReceiptError),
}

impl Refusal {
    /// Whether it is the log that is damaged.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Headers(fault) if !matches!(fault, HeaderFault::GivenUp { .. }))
    }
}

/// The records that change the log's key or its name.
#[derive(Default)]
struct Changes(Vec<(u64, LogTurn)>);

impl Watch for Changes {
    fn record(&mut self, header: &RecordHeader, body: &Body) {
        let turn = match body {
            Body::LogKey(change) => LogTurn::Key(*change),
            Body::ForcedOpen(forced) => LogTurn::Opening(forced.opening),
            _ => return,
        };
        self.0.push((header.log_index.get(), turn));
    }

    /// A log with a gap proves nothing anyway.
    fn gap(&mut self) {}
}

/// Reads the headers of the log of these disks, and how its key changed.
fn walk(
    sources: &[Box<dyn Source>],
    pause: Duration,
    wanted: Option<u64>,
) -> Result<(HeaderWalk, Changes), Refusal> {
    let mut ledger = Ledger::default();
    let pool = pool::open(sources, pause, &mut ledger)?.ok_or(Refusal::NoLog)?;
    let survey = Survey::of(&pool);
    let (walk, mut changes) = (HeaderWalk::wanting(wanted), Changes::default());
    let walk = journal::headers(&pool, &survey, pause, walk, &mut changes);
    Ok((walk, changes))
}

/// Proves a claim over the disks of one vault, as text. With a checkpoint, which must verify, the proof
/// of a record is a receipt; else it has the root, for comparing. Of the log's keys one is enough: those after it
/// are in the log, each signed for by the one before.
///
/// # Errors
/// Why nothing is proven.
pub fn prove(
    sources: &[Box<dyn Source>],
    pause: Duration,
    claim: Claim,
    checkpoint: Option<(&UnverifiedCheckpoint, &KeyHistory)>,
) -> Result<String, Refusal> {
    let wanted = match claim {
        Claim::Inclusion { record, .. } => Some(record),
        Claim::Consistency { .. } => None,
    };
    let (walk, changes) = walk(sources, pause, wanted)?;
    let verified = checkpoint.map(|(note, keys)| keys.clone().followed(&changes.0).verify(note));
    let verified = verified.transpose()?;
    let headers = walk.end(verified.as_ref())?;
    let of_checkpoint = verified.map(|checkpoint| checkpoint.size);
    match claim {
        Claim::Inclusion {
            record,
            version,
            size,
        } => {
            let all = of_checkpoint.unwrap_or(headers.proofs.size());
            let size = size.unwrap_or(all);
            if let Some(checkpoint) = of_checkpoint.filter(|checkpoint| *checkpoint != size) {
                let asked = size;
                return Err(Refusal::OtherSize { checkpoint, asked });
            }
            let made = headers.found.map(|header| header.version);
            if let Some(version) =
                version.filter(|version| made.is_some_and(|made| made != *version))
            {
                return Err(Refusal::OtherVersion { record, version });
            }
            inclusion(&headers, record, size, checkpoint.map(|(note, _)| note))
        }
        Claim::Consistency { older, newer } => {
            let path = headers.proofs.consistency(older, newer)?;
            let mut text = String::new();
            for (word, size) in [("older", older), ("newer", newer)] {
                let root = headers.proofs.root(size).map(|root| root.to_base64());
                text.push_str(&format!("{word} {size} {}\n", root.unwrap_or_default()));
            }
            text.extend(path.iter().map(|hash| format!("{}\n", hash.to_base64())));
            Ok(text)
        }
    }
}

fn inclusion(
    headers: &Headers,
    record: u64,
    size: u64,
    note: Option<&UnverifiedCheckpoint>,
) -> Result<String, Refusal> {
    let path = headers.proofs.inclusion(record, size)?;
    let header = headers.found.ok_or(ProofError::Outside {
        index: record,
        size,
    })?;
    if let Some(note) = note {
        return Ok(Receipt::text(&header.encode(), record, &path, note.text()));
    }
    let root = headers.proofs.root(size).map(|root| root.to_base64());
    let leaf = header.leaf_hash().to_base64();
    let mut text = format!("record {record} {leaf}\n");
    text.push_str(&format!("size {size} {}\n", root.unwrap_or_default()));
    text.extend(path.iter().map(|hash| format!("{}\n", hash.to_base64())));
    Ok(text)
}

/// Verifies a receipt with the log's keys alone, and says what it proves.
///
/// # Errors
/// Why it proves nothing.
pub fn receipt(text: &str, keys: &KeyHistory) -> Result<String, Refusal> {
    let Receipt { header, checkpoint } = Receipt::verify(text, keys)?;
    Ok(format!(
        "record        {} of {} of log {}\n{}",
        header.log_index,
        checkpoint.size,
        checkpoint.origin,
        described(&header)
    ))
}

fn described(header: &RecordHeader) -> String {
    format!(
        "type          {:?}\nstored        {} ms since 1970 by the compliance clock\n\
         retain until  {} ms since 1970, {:?}\nlegal hold    {}\n\
         bucket        {}\nobject        {}\nversion       {}\nbody root     {}\n",
        header.record_type,
        header.compliance_ms,
        header.retain_until_ms,
        header.mode,
        if header.hold { "on" } else { "off" },
        header.bucket,
        header.object,
        header.version,
        header.body_root,
    )
}
