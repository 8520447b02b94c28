//! Randomness for keys, salts and identifiers.

/// A source of random bytes.
pub trait Entropy: Send {
    /// Fills the whole slice.
    fn fill(&mut self, into: &mut [u8]);
}
