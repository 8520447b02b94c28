//! The kernel's random number generator.

use crate::entropy::Entropy;

/// Bytes from `getrandom(2)`.
#[derive(Debug)]
pub struct OsEntropy(());

/// The kernel gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel gives no random bytes")]
pub struct EntropyError;

impl OsEntropy {
    /// Opens the source and proves that it answers.
    ///
    /// # Errors
    /// When the kernel refuses, as an old one or a strict sandbox may.
    pub fn open() -> Result<OsEntropy, EntropyError> {
        let mut probe = [0_u8; 16];
        getrandom::fill(&mut probe).map_err(|_| EntropyError)?;
        Ok(OsEntropy(()))
    }
}

impl Entropy for OsEntropy {
    fn fill(&mut self, into: &mut [u8]) {
        // Going on with predictable keys would be worse than stopping.
        getrandom::fill(into).expect("answered at open, and never fails after that on Linux");
    }
}

#[cfg(test)]
mod tests {
    use super::OsEntropy;
    use crate::conformance;

    #[test]
    fn the_kernel_passes_the_exam() {
        conformance::entropy(&mut OsEntropy::open().expect("kernel"));
    }
}
