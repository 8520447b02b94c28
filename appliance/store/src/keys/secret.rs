//! Bytes that must not be seen: no `Debug` of content, no `Clone`, no `==`, overwritten on drop.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use stele_device::entropy::Entropy;
use zeroize::{Zeroize, Zeroizing};

/// A secret of `BYTES` bytes.
pub struct Secret<const BYTES: usize>(Zeroizing<[u8; BYTES]>);

/// A 256-bit secret.
pub type Secret32 = Secret<32>;

/// Two 256-bit secrets, as XTS wants them.
pub type Secret64 = Secret<64>;

impl<const BYTES: usize> Secret<BYTES> {
    /// Takes `bytes`, and overwrites the place they came from.
    pub fn take(bytes: &mut [u8; BYTES]) -> Self {
        let secret = Self(Zeroizing::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// A copy of `bytes`, which the caller keeps in a place that overwrites itself.
    #[must_use]
    pub fn copy_of(bytes: &[u8; BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Fresh from `entropy`.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        let mut secret = Self(Zeroizing::new([0; BYTES]));
        entropy.fill(secret.0.as_mut_slice());
        secret
    }

    /// The bytes, for a cipher or a key derivation.
    #[must_use]
    pub fn expose(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// Whether both are the same, in time that tells nothing of the content.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_slice(), other.0.as_slice()).is_ok()
    }
}

impl<const BYTES: usize> std::fmt::Debug for Secret<BYTES> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({BYTES} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, Secret32};

    #[test]
    fn taking_a_secret_clears_its_source() {
        let mut source = [7; 32];
        let secret = Secret32::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(secret.expose(), &[7; 32]);
    }

    #[test]
    fn debug_shows_the_size_only() {
        assert_eq!(
            format!("{:?}", Secret::copy_of(&[0x41; 64])),
            "Secret(64 bytes)"
        );
    }

    #[test]
    fn comparison_tells_equal_from_different() {
        let one = Secret32::copy_of(&[1; 32]);
        assert!(one.same_as(&Secret32::copy_of(&[1; 32])));
        let mut other = [1; 32];
        other[31] = 2;
        assert!(!one.same_as(&Secret32::copy_of(&other)));
    }
}
