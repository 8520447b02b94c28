//! The kernel's random number generator.

use zeroize::{Zeroize, Zeroizing};

use crate::entropy::Entropy;
use crate::limits::ENTROPY_AHEAD_BYTES;

/// Bytes from `getrandom(2)`. A few are fetched ahead, since most callers want sixteen at a time and a
/// call costs more than they do; those handed out are wiped at once.
pub struct OsEntropy {
    ahead: Zeroizing<[u8; ENTROPY_AHEAD_BYTES]>,
    used: usize,
}

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
        Ok(OsEntropy {
            ahead: Zeroizing::new([0; ENTROPY_AHEAD_BYTES]),
            used: ENTROPY_AHEAD_BYTES,
        })
    }
}

impl Entropy for OsEntropy {
    fn fill(&mut self, into: &mut [u8]) {
        if into.len() > ENTROPY_AHEAD_BYTES {
            return fetch(into);
        }
        if into.len() > ENTROPY_AHEAD_BYTES - self.used {
            fetch(self.ahead.as_mut_slice());
            self.used = 0;
        }
        let taken = &mut self.ahead[self.used..self.used + into.len()];
        into.copy_from_slice(taken);
        taken.zeroize();
        self.used += into.len();
    }
}

fn fetch(into: &mut [u8]) {
    // Going on with predictable keys would be worse than stopping.
    getrandom::fill(into).expect("answered at open, and never fails after that on Linux");
}

impl std::fmt::Debug for OsEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OsEntropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Entropy, OsEntropy};
    use crate::conformance;
    use crate::limits::ENTROPY_AHEAD_BYTES;

    #[test]
    fn the_kernel_passes_the_exam() {
        conformance::entropy(&mut OsEntropy::open().expect("kernel"));
    }

    #[test]
    fn no_byte_is_handed_out_twice_or_kept() {
        let mut entropy = OsEntropy::open().expect("kernel");
        let mut seen = BTreeSet::new();
        for _ in 0..3 * ENTROPY_AHEAD_BYTES / 24 {
            let mut id = [0; 24];
            entropy.fill(&mut id);
            assert!(id != [0; 24] && seen.insert(id));
            let handed_out = &entropy.ahead[..entropy.used];
            assert!(handed_out.iter().all(|byte| *byte == 0));
        }
        let mut long = [0; 2 * ENTROPY_AHEAD_BYTES];
        entropy.fill(&mut long);
        assert!(
            long.as_chunks::<24>()
                .0
                .iter()
                .all(|part| seen.insert(*part))
        );
    }
}
