//! The key state: everything secret that changes, in one sealed piece.
//!
//! Holds the key tree and the fixed secrets of the vault. Its bytes are deterministic CBOR, a map
//! with integer keys: 1 generation, 2 key tree, 3 box key, 4 index key, 5 access root, 6 epoch, and, once the
//! vault has started, 7 the head of its log: array of size, root, compliance time. With an anchor, disks that are all
//! put back to an earlier time are told by it: the state that opens knows of more records than they have.
//!
//! Invariants: the generation grows with every change that is saved; bytes that were decoded encode
//! to the same bytes. Fails on bytes that are not exactly a key state, and when the provider fails.

use minicbor::decode::Error as CborError;
use minicbor::{Decoder, Encoder};
use stele_device::entropy::Entropy;
use stele_device::keyprovider::{KeyError, KeyProvider};
use stele_format::tree::TreeHash;
use stele_format::units::{Epoch, Generation, Opening, PoolId, UnixMillis};
use zeroize::Zeroizing;

use super::derive;
use super::secret::{Secret, Secret32, Secret64};
use super::tree::KeyTree;

/// Upper bound of what the encoding adds to the key tree: the fixed secrets (128 bytes), numbers
/// the head of the log and CBOR heads.
const ENCODING_BYTES_MAX: usize = 320;
/// Fields of the map without the head.
const FIELDS: u64 = 6;

/// All changing secrets of a vault.
#[derive(Debug)]
pub struct KeyState {
    /// Grows with every saved change; the highest one on any disk counts.
    pub generation: Generation,
    /// Keys of object versions and pending parts.
    pub tree: KeyTree,
    /// Seals CONFIG and BUCKET records.
    pub box_key: Secret32,
    /// Two AES-256 keys of the index area.
    pub index_key: Secret64,
    /// Client secrets derive from it.
    pub access_root: Secret32,
    /// The newest epoch this state knows of.
    pub epoch: Epoch,
    /// What the log had at least, durably, when this was written; none before the first start.
    pub head: Option<Head>,
}

/// Where the log stood at a moment, and when that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Records.
    pub size: u64,
    /// Root of the tree over them.
    pub root: TreeHash,
    /// Compliance time, which never falls behind it.
    pub compliance: UnixMillis,
    /// How often the vault was forced open: after one more the log is another one, and this head says nothing of it.
    pub opening: Opening,
}

/// Why bytes are no key state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no key state as this program writes it")]
pub struct StateDamaged;

/// A key state sealed by the provider, ready for the disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedState {
    /// Generation of what is sealed.
    pub generation: Generation,
    /// What the provider gave.
    pub body: Vec<u8>,
}

impl KeyState {
    /// New secrets for a new vault, of generation 1.
    pub fn fresh(entropy: &mut dyn Entropy) -> Self {
        Self {
            generation: Generation::new(1),
            tree: KeyTree::new(&Secret32::random(entropy)),
            box_key: Secret32::random(entropy),
            index_key: Secret64::random(entropy),
            access_root: Secret32::random(entropy),
            epoch: Epoch::new(0),
            head: None,
        }
    }

    /// The secret of the client key `key_id` in its `generation`: 40 letters and digits.
    #[must_use]
    pub fn client_secret(&self, key_id: &str, generation: u32) -> Zeroizing<String> {
        derive::client_secret(&self.access_root, key_id, generation)
    }

    /// Its deterministic bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let tree = self.tree.encode();
        // Room for everything at once: growing would leave copies of secrets in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(tree.len() + ENCODING_BYTES_MAX));
        let mut encoder = Encoder::new(&mut *bytes);
        let fields = FIELDS + u64::from(self.head.is_some());
        let written = encoder.map(fields).and_then(|e| {
            e.u8(1)?.u64(self.generation.get())?;
            e.u8(2)?.bytes(&tree)?;
            e.u8(3)?.bytes(self.box_key.expose())?;
            e.u8(4)?.bytes(self.index_key.expose())?;
            e.u8(5)?.bytes(self.access_root.expose())?;
            e.u8(6)?.u32(self.epoch.get())?;
            if let Some(head) = &self.head {
                let forced = !head.opening.is_zero();
                e.u8(7)?.array(3 + u64::from(forced))?.u64(head.size)?;
                e.bytes(head.root.as_bytes())?.u64(head.compliance.get())?;
                if forced {
                    e.u32(head.opening.get())?;
                }
            }
            Ok(e)
        });
        written.expect("writing to memory cannot fail");
        bytes
    }

    /// Reads what [`KeyState::encode`] wrote.
    ///
    /// # Errors
    /// [`StateDamaged`] for anything else, also for another encoding of the same content.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateDamaged> {
        let mut decoder = Decoder::new(bytes);
        let state = Self::decode_map(&mut decoder).map_err(|_| StateDamaged)?;
        if *state.encode() == bytes {
            Ok(state)
        } else {
            Err(StateDamaged)
        }
    }

    fn decode_map(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let has_head = match d.map()? {
            Some(FIELDS) => false,
            Some(fields) if fields == FIELDS + 1 => true,
            _ => return Err(CborError::message("fields")),
        };
        Ok(Self {
            generation: Generation::new(field(d, 1)?.u64()?),
            tree: KeyTree::decode(field(d, 2)?.bytes()?).map_err(CborError::custom)?,
            box_key: secret(field(d, 3)?)?,
            index_key: secret(field(d, 4)?)?,
            access_root: secret(field(d, 5)?)?,
            epoch: Epoch::new(field(d, 6)?.u32()?),
            head: has_head.then(|| head(field(d, 7)?)).transpose()?,
        })
    }

    /// Seals it for the disks of `pool`.
    ///
    /// # Errors
    /// What the provider reports.
    pub fn seal(&self, provider: &dyn KeyProvider, pool: PoolId) -> Result<SealedState, KeyError> {
        let body = provider.seal(&context(pool, self.generation), &self.encode())?;
        Ok(SealedState {
            generation: self.generation,
            body,
        })
    }

    /// Seals it for the disks of `pool`, for the value that the provider's anchor has after it advanced.
    ///
    /// # Errors
    /// What the provider reports.
    pub fn seal_next(
        &self,
        provider: &dyn KeyProvider,
        pool: PoolId,
    ) -> Result<SealedState, KeyError> {
        let body = provider.seal_next(&context(pool, self.generation), &self.encode())?;
        Ok(SealedState {
            generation: self.generation,
            body,
        })
    }
}

impl SealedState {
    /// Opens it; none if it opens but holds something else than its generation of a key state.
    ///
    /// # Errors
    /// What the provider reports, a wrong key above all.
    pub fn open(
        &self,
        provider: &dyn KeyProvider,
        pool: PoolId,
    ) -> Result<Option<KeyState>, KeyError> {
        let bytes = provider.open(&context(pool, self.generation), &self.body)?;
        let state = KeyState::decode(&bytes).ok();
        Ok(state.filter(|state| state.generation == self.generation))
    }
}

/// What the provider ties the sealed bytes to: pool (16), generation (8, little-endian).
fn context(pool: PoolId, generation: Generation) -> [u8; 24] {
    let mut context = [0; 24];
    context[..16].copy_from_slice(pool.as_bytes());
    context[16..].copy_from_slice(&generation.get().to_le_bytes());
    context
}

fn field<'d, 'b>(d: &'d mut Decoder<'b>, key: u8) -> Result<&'d mut Decoder<'b>, CborError> {
    if d.u8()? == key {
        Ok(d)
    } else {
        Err(CborError::message("field order"))
    }
}

fn head(d: &mut Decoder<'_>) -> Result<Head, CborError> {
    let forced = match d.array()? {
        Some(3) => false,
        Some(4) => true,
        _ => return Err(CborError::message("head")),
    };
    let size = d.u64()?;
    let root = <[u8; 32]>::try_from(d.bytes()?).map_err(|_| CborError::message("root length"))?;
    Ok(Head {
        size,
        root: TreeHash(root),
        compliance: UnixMillis::new(d.u64()?),
        opening: match forced {
            false => Opening::ZERO,
            true => Opening::new(d.u32()?),
        },
    })
}

fn secret<const BYTES: usize>(d: &mut Decoder<'_>) -> Result<Secret<BYTES>, CborError> {
    let bytes = <&[u8; BYTES]>::try_from(d.bytes()?);
    bytes
        .map(Secret::copy_of)
        .map_err(|_| CborError::message("secret length"))
}
