//! The golden files: how each is made and what reading it must say.

mod documents;
mod frames;
mod framing;
mod labels;

use super::outcome::Outcome;

/// A golden file.
pub struct Case {
    /// File name without `.bin`; starts with the target it belongs to.
    pub name: String,
    pub bytes: Vec<u8>,
    pub expected: Outcome,
}

pub fn valid(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    Case {
        name: name.to_owned(),
        bytes: bytes.into(),
        expected: Ok(()),
    }
}

pub fn invalid(name: &str, bytes: impl Into<Vec<u8>>, expected: &str) -> Case {
    Case {
        name: name.to_owned(),
        bytes: bytes.into(),
        expected: Err(expected.to_owned()),
    }
}

/// Every golden file.
pub fn cases() -> Vec<Case> {
    let mut all = labels::cases();
    all.extend(framing::cases());
    all.extend(frames::cases());
    all.extend(documents::cases());
    all
}

/// A copy with some bytes overwritten and then its digests made right.
pub fn poked(bytes: &[u8], at: usize, with: &[u8], refit: fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    refit(&mut bytes);
    bytes
}

/// Leaves digests as they are.
pub fn as_is(_: &mut [u8]) {}
