//! A canonical request on its way to whoever verifies its signature.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::limits::CANONICAL_BYTES_MAX;
use crate::wire::Content;

/// The canonical request of Signature Version 4 as a client may have signed it. It names what the client wants, which
/// is PHI: `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canonical {
    text: Content,
    raw_path: Option<String>,
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canonical(..)")
    }
}

/// One form of it: some clients sign the path as they send it, others as S3 encodes it.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(super) method: &'a [u8],
    pub(super) path: &'a [u8],
    /// Everything behind the path.
    pub(super) rest: &'a [u8],
}

impl Canonical {
    /// The text, and the path as it came where that is another one.
    #[must_use]
    pub fn new(text: Vec<u8>, raw_path: Option<String>) -> Self {
        Self {
            text: Content(text),
            raw_path,
        }
    }

    /// What may have been signed. There is nothing in what no honest gateway says.
    pub(crate) fn forms(&self) -> impl Iterator<Item = Form<'_>> {
        let raw = self.raw_path.as_deref().unwrap_or_default();
        let fits = self.text.0.len().saturating_add(raw.len()) <= CANONICAL_BYTES_MAX;
        let encoded = fits.then(|| Form::of(&self.text.0)).flatten();
        // A path of several lines would have another meaning than the same text read again.
        let raw = self.raw_path.as_ref().filter(|path| !path.contains('\n'));
        let raw = encoded.zip(raw).map(|(form, path)| Form {
            path: path.as_bytes(),
            ..form
        });
        encoded.into_iter().chain(raw)
    }
}

impl<'a> Form<'a> {
    pub(super) fn of(text: &'a [u8]) -> Option<Self> {
        let mut lines = text.splitn(3, |byte| *byte == b'\n');
        Some(Self {
            method: lines.next()?,
            path: lines.next()?,
            rest: lines.next()?,
        })
    }

    /// Its SHA-256.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        for piece in [self.method, b"\n", self.path, b"\n", self.rest] {
            hash.update(piece);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        digest
    }
}
