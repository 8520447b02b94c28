//! Between the gateway's words and the engine's: every question down, every answer up.
//!
//! Nothing is decided here and no content is copied: a slab becomes a piece and a piece a slab by
//! moving the buffer. Rights do not cross; the engine thread looks them up. Both run in the engine's
//! process: what crosses to the gateway's is copied before and after.

mod answer;
mod lifecycle;
mod refusal;
mod request;

pub use answer::to_gateway as answer_to_gateway;
pub use refusal::to_gateway as refusal_to_gateway;
pub use request::to_store as command;

use stele_gateway::message as gateway;
use stele_store::policy;
use stele_store::request as store;

fn mode_down(mode: gateway::LockMode) -> policy::Mode {
    match mode {
        gateway::LockMode::Governance => policy::Mode::Governance,
        gateway::LockMode::Compliance => policy::Mode::Compliance,
    }
}

fn mode_up(mode: policy::Mode) -> gateway::LockMode {
    match mode {
        policy::Mode::Governance => gateway::LockMode::Governance,
        policy::Mode::Compliance => gateway::LockMode::Compliance,
    }
}

fn retention_down(retention: gateway::Retention) -> policy::Retention {
    policy::Retention {
        mode: mode_down(retention.mode),
        until: retention.until,
    }
}

fn retention_up(retention: policy::Retention) -> gateway::Retention {
    gateway::Retention {
        mode: mode_up(retention.mode),
        until: retention.until,
    }
}

fn default_down(
    (mode, period): (gateway::LockMode, gateway::Period),
) -> (policy::Mode, policy::Period) {
    let period = match period {
        gateway::Period::Days(days) => policy::Period::Days(days),
        gateway::Period::Years(years) => policy::Period::Years(years),
    };
    (mode_down(mode), period)
}

fn default_up(
    (mode, period): (policy::Mode, policy::Period),
) -> (gateway::LockMode, gateway::Period) {
    let period = match period {
        policy::Period::Days(days) => gateway::Period::Days(days),
        policy::Period::Years(years) => gateway::Period::Years(years),
    };
    (mode_up(mode), period)
}

/// The numbers of checksum algorithms, as the manifest format has them.
const CHECKSUM_NUMBERS: [(gateway::ChecksumKind, u8); 5] = [
    (gateway::ChecksumKind::Crc32, 1),
    (gateway::ChecksumKind::Crc32c, 2),
    (gateway::ChecksumKind::Sha1, 3),
    (gateway::ChecksumKind::Sha256, 4),
    (gateway::ChecksumKind::Crc64Nvme, 5),
];

fn checksum_number(kind: gateway::ChecksumKind) -> u8 {
    match kind {
        gateway::ChecksumKind::Crc32 => 1,
        gateway::ChecksumKind::Crc32c => 2,
        gateway::ChecksumKind::Sha1 => 3,
        gateway::ChecksumKind::Sha256 => 4,
        gateway::ChecksumKind::Crc64Nvme => 5,
    }
}

/// None for an algorithm that this version cannot name.
fn checksum_kind(number: u8) -> Option<gateway::ChecksumKind> {
    let mut known = CHECKSUM_NUMBERS.iter();
    known
        .find(|(_, known)| *known == number)
        .map(|(kind, _)| *kind)
}

fn checksum_down(checksum: gateway::Checksum) -> store::Checksum {
    store::Checksum {
        algorithm: checksum_number(checksum.kind),
        composite: checksum.composite,
        value: checksum.value,
    }
}

/// None for an algorithm that a later version of this program kept and this one cannot name.
fn checksum_up(checksum: store::Checksum) -> Option<gateway::Checksum> {
    Some(gateway::Checksum {
        kind: checksum_kind(checksum.algorithm)?,
        composite: checksum.composite,
        value: checksum.value,
    })
}

fn checksums_down(checksums: Vec<gateway::Checksum>) -> Vec<store::Checksum> {
    checksums.into_iter().map(checksum_down).collect()
}

fn checksums_up(checksums: Vec<store::Checksum>) -> Vec<gateway::Checksum> {
    checksums.into_iter().filter_map(checksum_up).collect()
}

fn metadata_down(metadata: gateway::Metadata) -> store::Metadata {
    let gateway::Metadata {
        headers,
        user,
        tags,
        storage_class,
    } = metadata;
    store::Metadata {
        headers,
        user,
        tags,
        storage_class,
    }
}

fn metadata_up(metadata: store::Metadata) -> gateway::Metadata {
    let store::Metadata {
        headers,
        user,
        tags,
        storage_class,
    } = metadata;
    gateway::Metadata {
        headers,
        user,
        tags,
        storage_class,
    }
}

/// Keys come from the gateway as UTF-8 and go back as what they were. A byte string that is not
/// UTF-8 could only have been written by another program; it is shown with replacement characters.
fn key_up(key: Vec<u8>) -> String {
    String::from_utf8(key)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
