//! A key provider whose key comes from a seed. It protects nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use crate::keyprovider::{KeyError, KeyProvider, Master, ProviderKind, SALT_BYTES};

/// The key of a seed, with salts counted up instead of drawn.
#[derive(Debug)]
pub struct SimKeys {
    seed: u64,
    next_salt: AtomicU64,
}

impl SimKeys {
    /// The provider of this seed. Two made from the same seed open each other's messages, and
    /// seal the same sequence of messages to the same bytes.
    #[must_use]
    pub fn new(seed: u64) -> SimKeys {
        SimKeys {
            seed,
            next_salt: AtomicU64::new(0),
        }
    }

    fn master(&self) -> Master {
        let derive = blake3::derive_key("stele-device simulated key v1", &self.seed.to_le_bytes());
        Master(Zeroizing::new(derive))
    }
}

impl KeyProvider for SimKeys {
    fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let count = self.next_salt.fetch_add(1, Ordering::Relaxed);
        let mut salt = [0; SALT_BYTES];
        salt[..8].copy_from_slice(&count.to_le_bytes());
        // The salt also depends on the message, so that a restarted provider repeats a salt only
        // for a message it has sealed before.
        let mut hasher = blake3::Hasher::new_keyed(&salt);
        hasher.update(context).update(plaintext);
        self.master()
            .seal(hasher.finalize().as_bytes(), context, plaintext)
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.master().open(context, sealed)
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Sim
    }
}
