//! Random bytes that are the same for the same seed.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::entropy::Entropy;

/// ChaCha20 from a seed.
pub struct SimEntropy(ChaCha20Rng);

impl SimEntropy {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> SimEntropy {
        SimEntropy(ChaCha20Rng::seed_from_u64(seed))
    }
}

impl Entropy for SimEntropy {
    fn fill(&mut self, into: &mut [u8]) {
        self.0.fill_bytes(into);
    }
}

impl std::fmt::Debug for SimEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimEntropy")
    }
}

#[cfg(test)]
mod tests {
    use super::SimEntropy;
    use crate::conformance;
    use crate::entropy::Entropy;

    #[test]
    fn the_simulated_source_passes_the_exam() {
        conformance::entropy(&mut SimEntropy::new(1));
    }

    #[test]
    fn the_seed_decides_the_bytes() {
        let draw = |seed| {
            let mut bytes = [0; 32];
            SimEntropy::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
