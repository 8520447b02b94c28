//! One step down the key tree, and keyed outputs for other uses.

use blake3::Hasher;
use zeroize::{Zeroize, Zeroizing};

use super::limits::CLIENT_SECRET_CHARS;
use super::secret::Secret32;

/// Hashed under a node's seed to give its two children.
const CHILDREN: &[u8] = b"stele 2026 key tree children";

/// A seed of the tree, overwritten on drop.
pub(super) type Seed = Zeroizing<[u8; 32]>;

/// Both children of a node: the first 64 bytes of BLAKE3 keyed with its seed.
pub(super) fn children(seed: &[u8; 32]) -> Zeroizing<[u8; 64]> {
    let mut both = Zeroizing::new([0; 64]);
    let mut hasher = Hasher::new_keyed(seed);
    let mut output = hasher.update(CHILDREN).finalize_xof();
    output.fill(both.as_mut_slice());
    output.zeroize();
    hasher.zeroize();
    both
}

/// The child of a node on the side of `bit`: false the first, true the second.
pub(super) fn child(seed: &[u8; 32], bit: bool) -> Seed {
    let both = children(seed);
    let (first, second) = both.split_at(32);
    let mut chosen = Zeroizing::new([0; 32]);
    chosen.copy_from_slice(if bit { second } else { first });
    chosen
}

/// The secret of a client key: letters and digits drawn without bias from BLAKE3 in its key
/// derivation mode over root, generation and key id.
pub(super) fn client_secret(root: &Secret32, key_id: &str, generation: u32) -> Zeroizing<String> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut hasher = Hasher::new_derive_key("stele 2026 client secret v1");
    hasher
        .update(root.expose())
        .update(&generation.to_le_bytes())
        .update(key_id.as_bytes());
    let mut output = hasher.finalize_xof();
    let mut secret = Zeroizing::new(String::with_capacity(CLIENT_SECRET_CHARS));
    let mut block = Zeroizing::new([0; 64]);
    while secret.len() < CLIENT_SECRET_CHARS {
        output.fill(block.as_mut_slice());
        let drawn = block
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        let wanted = CLIENT_SECRET_CHARS - secret.len();
        secret.extend(drawn.take(wanted).map(|letter| char::from(*letter)));
    }
    output.zeroize();
    hasher.zeroize();
    secret
}
