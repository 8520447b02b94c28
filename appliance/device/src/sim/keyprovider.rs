//! A key provider whose key comes from a seed. It protects nothing.
//!
//! With a `SimCounter` it has an anchor and behaves as a TPM does. Its sealed form is then `SKC1`, the
//! counter's value (8 bytes, little-endian), and the form without an anchor, whose context begins with
//! these 12 bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use crate::keyprovider::{
    Anchor, AnchorKind, KeyError, KeyProvider, Master, ProviderKind, SALT_BYTES,
};
use crate::sync::lock;

const ANCHORED_MAGIC: &[u8; 4] = b"SKC1";
const ANCHORED_HEADER_BYTES: usize = 12;

/// The key of a seed, with salts counted up instead of drawn.
#[derive(Debug)]
pub struct SimKeys {
    seed: u64,
    next_salt: AtomicU64,
    counter: Option<SimCounter>,
}

/// What survives a power cut of a simulated anchor; clones are the same counter.
#[derive(Debug, Clone)]
pub struct SimCounter(Arc<Mutex<CounterState>>);

#[derive(Debug)]
struct CounterState {
    value: u64,
    cut: Option<Cut>,
}

/// Where the power fails while the anchor advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before the counter moved.
    Before,
    /// After it moved and before anybody was told.
    After,
}

impl SimCounter {
    /// A counter that stands at `value`.
    #[must_use]
    pub fn new(value: u64) -> SimCounter {
        SimCounter(Arc::new(Mutex::new(CounterState { value, cut: None })))
    }

    /// Where it stands.
    #[must_use]
    pub fn value(&self) -> u64 {
        lock(&self.0).value
    }

    /// Lets the next `advance` that would move the counter end in a power cut.
    pub fn cut_next(&self, cut: Cut) {
        lock(&self.0).cut = Some(cut);
    }

    fn advance_to(&self, wanted: u64) -> Result<u64, KeyError> {
        let mut state = lock(&self.0);
        if wanted < state.value {
            return Err(KeyError::Superseded);
        }
        if wanted > state.value.saturating_add(1) {
            return Err(KeyError::NotYet);
        }
        if wanted == state.value {
            return Ok(wanted);
        }
        let cut = state.cut.take();
        if cut != Some(Cut::Before) {
            state.value = wanted;
        }
        match cut {
            Some(_) => Err(KeyError::Unavailable),
            None => Ok(wanted),
        }
    }
}

impl SimKeys {
    /// The provider of this seed. Two made from the same seed open each other's messages, and
    /// seal the same sequence of messages to the same bytes.
    #[must_use]
    pub fn new(seed: u64) -> SimKeys {
        SimKeys {
            seed,
            next_salt: AtomicU64::new(0),
            counter: None,
        }
    }

    /// The same with an anchor. Providers of one seed and one counter are the same provider, before and
    /// after a power cut.
    #[must_use]
    pub fn anchored(seed: u64, counter: &SimCounter) -> SimKeys {
        SimKeys {
            counter: Some(counter.clone()),
            ..SimKeys::new(seed)
        }
    }

    fn master(&self) -> Master {
        let derive = blake3::derive_key("stele-device simulated key v1", &self.seed.to_le_bytes());
        Master(Zeroizing::new(derive))
    }

    fn seal_plain(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
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

    fn seal_for(&self, value: u64, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let header = [ANCHORED_MAGIC.as_slice(), &value.to_le_bytes()].concat();
        let inner = self.seal_plain(&[&header, context].concat(), plaintext)?;
        Ok([header, inner].concat())
    }
}

/// The header, the value in it, and the form without an anchor.
fn split(sealed: &[u8]) -> Result<(&[u8], u64, &[u8]), KeyError> {
    let split = sealed.split_at_checked(ANCHORED_HEADER_BYTES);
    let (header, inner) = split.ok_or(KeyError::Malformed)?;
    let value = header.strip_prefix(ANCHORED_MAGIC);
    let value = value.and_then(|value| value.try_into().ok().map(u64::from_le_bytes));
    Ok((header, value.ok_or(KeyError::Malformed)?, inner))
}

impl KeyProvider for SimKeys {
    fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.counter {
            Some(counter) => self.seal_for(counter.value(), context, plaintext),
            None => self.seal_plain(context, plaintext),
        }
    }

    fn seal_next(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.counter {
            Some(counter) => self.seal_for(counter.value().saturating_add(1), context, plaintext),
            None => self.seal_plain(context, plaintext),
        }
    }

    fn advance(&self, sealed: &[u8]) -> Result<Anchor, KeyError> {
        let Some(counter) = &self.counter else {
            return self.master().recognise(sealed).map(|()| Anchor::NONE);
        };
        let (_, wanted, inner) = split(sealed)?;
        self.master().recognise(inner)?;
        let value = counter.advance_to(wanted)?;
        let kind = AnchorKind::Sim;
        Ok(Anchor { kind, value })
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let Some(counter) = &self.counter else {
            return self.master().open(context, sealed);
        };
        let (header, value, inner) = split(sealed)?;
        let master = self.master();
        master.recognise(inner)?;
        match value.cmp(&counter.value()) {
            std::cmp::Ordering::Less => Err(KeyError::Superseded),
            std::cmp::Ordering::Greater => Err(KeyError::NotYet),
            std::cmp::Ordering::Equal => master.open(&[header, context].concat(), inner),
        }
    }

    fn anchor(&self) -> Result<Anchor, KeyError> {
        Ok(self
            .counter
            .as_ref()
            .map_or(Anchor::NONE, |counter| Anchor {
                kind: AnchorKind::Sim,
                value: counter.value(),
            }))
    }

    fn is_anchored(&self) -> bool {
        self.counter.is_some()
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Sim
    }
}
