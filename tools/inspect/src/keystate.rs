//! The key-state areas: two copies per disk, judged by their headers and digests alone.
//!
//! One valid copy of the newest generation anywhere keeps the vault readable, so a dead copy beside
//! it is a note. Only when no copy on any present disk is left is there damage.

use std::thread;
use std::time::Duration;

use stele_format::keystate::{KeyStateExpectation, KeyStateHeader};
use stele_format::limits::KEYSTATE_COPIES;
use stele_format::units::Generation;

use crate::media::BLOCK_LEN;
use crate::pool::{Pool, PoolDisk, Standing};
use crate::source::is_zero;
use crate::verdict::{Area, Damage, Ledger};

/// One copy as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCopy {
    /// Header and body verify.
    Valid(KeyStateHeader),
    /// Never written.
    Blank,
    /// Written, and of no use.
    Dead(String),
}

impl KeyCopy {
    fn generation(&self) -> Option<Generation> {
        match self {
            Self::Valid(header) => Some(header.generation),
            Self::Blank | Self::Dead(_) => None,
        }
    }
}

/// Reads one copy.
#[must_use]
pub fn read_copy(disk: &PoolDisk<'_>, copy: u16) -> KeyCopy {
    let labels = &disk.labels;
    let Some(start) = labels.fixed.geometry.keystate_offset(copy) else {
        return KeyCopy::Blank;
    };
    let mut block = vec![0; BLOCK_LEN];
    if let Err(fault) = disk.source.read_at(start.get(), &mut block) {
        return KeyCopy::Dead(format!("its header {fault}"));
    }
    if is_zero(&block) {
        return KeyCopy::Blank;
    }
    let place = KeyStateExpectation {
        pool: labels.pool(),
        disk: labels.disk(),
        copy,
    };
    let header = match KeyStateHeader::decode(&block) {
        Err(error) => return KeyCopy::Dead(error.to_string()),
        Ok(header) => match header.verify(place) {
            Err(error) => return KeyCopy::Dead(error.to_string()),
            Ok(header) => header,
        },
    };
    if header.total_bytes() > u64::from(labels.fixed.geometry.keystate_bytes) {
        return KeyCopy::Dead("its body is longer than its place".to_owned());
    }
    let mut body = vec![0; header.padded_body_bytes()];
    let body_start = start.get() + BLOCK_LEN as u64;
    if let Err(fault) = disk.source.read_at(body_start, &mut body) {
        return KeyCopy::Dead(format!("its body {fault}"));
    }
    match header.check_body(&body) {
        Ok(_) => KeyCopy::Valid(header),
        Err(error) => KeyCopy::Dead(error.to_string()),
    }
}

/// Reads all copies of a disk; dead ones once more after `pause`, in case they were being written.
#[must_use]
pub fn read_copies(disk: &PoolDisk<'_>, pause: Duration) -> Vec<KeyCopy> {
    let mut copies: Vec<KeyCopy> = (0..KEYSTATE_COPIES)
        .map(|copy| read_copy(disk, copy))
        .collect();
    if copies.iter().any(|copy| matches!(copy, KeyCopy::Dead(_))) {
        thread::sleep(pause);
        copies = (0..KEYSTATE_COPIES)
            .map(|copy| read_copy(disk, copy))
            .collect();
    }
    copies
}

/// Judges the key-state areas of all present disks together.
pub fn judge(pool: &Pool<'_>, pause: Duration, ledger: &mut Ledger) {
    let found: Vec<Vec<KeyCopy>> = pool
        .disks
        .iter()
        .map(|disk| read_copies(disk, pause))
        .collect();
    let newest = found.iter().flatten().filter_map(KeyCopy::generation).max();
    for (disk, copies) in pool.disks.iter().zip(&found) {
        for (number, copy) in copies.iter().enumerate() {
            note_copy(disk, number, copy, newest, ledger);
        }
        if newest.is_none() {
            ledger.damage(Damage {
                disk: disk.entry,
                area: Area::KeyState,
                segment: None,
                frame: None,
                what: "no copy of the key state verifies on any present disk".to_owned(),
                good_copy: false,
            });
        }
    }
}

fn note_copy(
    disk: &PoolDisk<'_>,
    number: usize,
    copy: &KeyCopy,
    newest: Option<Generation>,
    ledger: &mut Ledger,
) {
    match copy {
        KeyCopy::Valid(header) => {
            ledger.totals.bytes_verified += header.total_bytes();
            if Some(header.generation) < newest && disk.standing == Standing::Active {
                let older = header.generation;
                ledger.note(
                    disk.entry,
                    format!("key-state copy {number} is older: {older}"),
                );
            }
        }
        KeyCopy::Blank => ledger.note(disk.entry, format!("key-state copy {number} is blank")),
        KeyCopy::Dead(what) => {
            ledger.note(
                disk.entry,
                format!("key-state copy {number} is dead: {what}"),
            );
        }
    }
}
