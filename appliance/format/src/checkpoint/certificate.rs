//! Certificates: texts that a log's key signs beside checkpoints, as C2SP `signed-note`s.
//!
//! ```text
//! stele-certificate v1
//! log stele/<32 hex of the pool's id>
//! <lines of text, none of them empty>
//!
//! — stele/<32 hex> <base64 of 4 bytes of the key's id and the Ed25519 signature>
//! ```
//!
//! The first line keeps them apart from checkpoints, whose first line is the log: no signature over the one is ever one
//! over the other.

use super::{CheckpointError, LogKey, Origin, SIGNATURE_MARK, signature, to_base64};
use crate::limits::CERTIFICATE_BYTES_MAX;

/// The first line of every certificate.
const FIRST_LINE: &str = "stele-certificate v1";

/// A text to be signed, of the form that certificates have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    origin: Origin,
    text: String,
}

impl Certificate {
    /// A certificate of what a log says; none if a line is empty or has a control character, or all are too long.
    #[must_use]
    pub fn new(origin: Origin, lines: &[String]) -> Option<Self> {
        let mut text = format!("{FIRST_LINE}\nlog {origin}\n");
        if lines.iter().any(|line| line.contains('\n')) {
            return None;
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        Self::parse(&text).ok()
    }

    /// Reads the text that is signed.
    fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > CERTIFICATE_BYTES_MAX {
            return Err(CheckpointError::Long);
        }
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Note)?;
        let mut lines = lines.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(CheckpointError::Note);
        }
        let origin = lines.next().and_then(|line| line.strip_prefix("log "));
        let origin = origin.and_then(Origin::parse);
        let rest: Vec<&str> = lines.collect();
        let refused = |line: &&str| line.is_empty() || line.contains(char::is_control);
        if rest.is_empty() || rest.iter().any(refused) {
            return Err(CheckpointError::Note);
        }
        Ok(Self {
            origin: origin.ok_or(CheckpointError::Origin)?,
            text: text.to_owned(),
        })
    }

    /// Whose log.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signed note, given the signature of `key` over the text.
    #[must_use]
    pub fn note(&self, key: &LogKey, signature: &[u8; 64]) -> String {
        let signed = [key.id().as_slice(), signature].concat();
        let (text, name) = (&self.text, key.origin());
        format!("{text}\n{SIGNATURE_MARK}{name} {}\n", to_base64(&signed))
    }

    /// Reads a note and believes it only if the log's key signed it, in its one signature line of that key.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(note: &str, key: &LogKey) -> Result<Self, CheckpointError> {
        let refused = CheckpointError::Note;
        let (text, lines) = note.split_once("\n\n").ok_or(refused)?;
        let certificate = Self::parse(&format!("{text}\n"))?;
        if certificate.origin != key.origin() {
            return Err(CheckpointError::OtherLog);
        }
        let lines = lines.strip_suffix('\n').ok_or(refused)?;
        let lines: Option<Vec<_>> = lines.split('\n').map(signature).collect();
        let lines = lines.ok_or(refused)?;
        let (name, id) = (key.origin().to_string(), key.id());
        let mut ours = lines
            .iter()
            .filter(|line| line.name == name && line.key_id == id);
        match (ours.next(), ours.next()) {
            (None, _) => Err(CheckpointError::Unsigned),
            (Some(line), None) => {
                key.verify(certificate.text.as_bytes(), &line.signature)?;
                Ok(certificate)
            }
            (Some(_), Some(_)) => Err(refused),
        }
    }
}
