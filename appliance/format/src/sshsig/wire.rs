//! The strings of RFC 4251 and strict base64.
//!
//! Invariant: nothing is read beyond the input, and what is left over is refused by [`Wire::end`].

use base64_simd::STANDARD;

use super::SignatureError;

/// A cursor over SSH wire bytes.
pub(super) struct Wire<'a> {
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(
        &mut self,
        what: &'static str,
        count: usize,
    ) -> Result<&'a [u8], SignatureError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(SignatureError::Length(what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, SignatureError> {
        let (&first, rest) = self
            .rest
            .split_first()
            .ok_or(SignatureError::Length(what))?;
        self.rest = rest;
        Ok(first)
    }

    pub(super) fn uint32(&mut self, what: &'static str) -> Result<u32, SignatureError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(SignatureError::Length(what))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    pub(super) fn string(&mut self, what: &'static str) -> Result<&'a [u8], SignatureError> {
        let count = self.uint32(what)?;
        let count = usize::try_from(count).map_err(|_| SignatureError::Length(what))?;
        self.take(what, count)
    }

    pub(super) const fn end(&self, what: &'static str) -> Result<(), SignatureError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(SignatureError::Length(what))
        }
    }
}

/// Appends a string. Ours are all far shorter than its length field can say.
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode_to_string(bytes)
}

/// Standard base64 with padding; any other spelling of the same bytes is refused.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode_to_vec(text.as_bytes()).ok()?;
    (to_base64(&bytes) == text).then_some(bytes)
}
