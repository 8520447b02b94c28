//! Encryption and checking of one index page.
//!
//! AES-256-XTS (IEEE 1619, whole blocks only) hides the content of a page; its tweak is the page's
//! place, so equal pages differ. XTS works on 16-byte blocks that do not depend on each other, so a
//! page torn between two writes is a mixture of old and new plaintext, which is what redb expects of
//! a disk. XTS itself notices nothing: a keyed 64-bit tag of the ciphertext tells rot from content.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

use crate::index::limits::PAGE_BYTES;

/// A page in memory.
pub type Page = [u8; PAGE_BYTES];

/// Bytes of an index key: two AES-256 keys.
pub const INDEX_KEY_BYTES: usize = 64;

/// AES blocks of a page.
const PAGE_BLOCKS: usize = PAGE_BYTES / 16;

/// What a carry out of the highest bit adds, by the polynomial x^128 + x^7 + x^2 + x + 1.
const REDUCTION: u128 = 0x87;

const TAG_CONTEXT: &str = "stele 2026 index page tag v1";

/// The tag of a page that was never written.
pub const TAG_BLANK: u64 = 0;

/// The keys of one index.
pub struct PageCipher {
    blocks: Aes256,
    tweaks: Aes256,
    tag_key: Zeroizing<[u8; 32]>,
}

impl PageCipher {
    /// From the index key, whose halves must be independent.
    #[must_use]
    pub fn new(key: &[u8; INDEX_KEY_BYTES]) -> Self {
        let (halves, _) = key.as_chunks::<32>();
        let cipher = |half: &[u8; 32]| Aes256::new(&Array(*half));
        Self {
            blocks: cipher(&halves[0]),
            tweaks: cipher(&halves[1]),
            tag_key: Zeroizing::new(blake3::derive_key(TAG_CONTEXT, key)),
        }
    }

    /// Encrypts in place the page that belongs at `place`, and returns its tag.
    pub fn seal(&self, place: u64, page: &mut Page) -> u64 {
        let masks = self.masks(place);
        apply(&masks, page);
        self.blocks
            .encrypt_blocks(Array::slice_as_chunks_mut(page).0);
        apply(&masks, page);
        self.tag(page)
    }

    /// Decrypts in place.
    pub fn open(&self, place: u64, page: &mut Page) {
        let masks = self.masks(place);
        apply(&masks, page);
        self.blocks
            .decrypt_blocks(Array::slice_as_chunks_mut(page).0);
        apply(&masks, page);
    }

    /// The mask of each block: the encrypted place, doubled from block to block in GF(2^128).
    fn masks(&self, place: u64) -> [u128; PAGE_BLOCKS] {
        let mut first = Array(u128::from(place).to_le_bytes());
        self.tweaks.encrypt_block(&mut first);
        let mut mask = u128::from_le_bytes(first.0);
        std::array::from_fn(|_| {
            let this = mask;
            mask = (mask << 1) ^ ((mask >> 127) * REDUCTION);
            this
        })
    }

    /// The tag of a ciphertext; never [`TAG_BLANK`]. Ciphertexts differ from place to place, so a
    /// page that strayed to another place has the wrong tag there.
    #[must_use]
    pub fn tag(&self, ciphertext: &Page) -> u64 {
        // One call over whole chunks: hashed piecemeal this costs several times as much.
        let digest: [u8; 32] = blake3::keyed_hash(&self.tag_key, ciphertext).into();
        let (words, _) = digest.as_chunks::<8>();
        u64::from_le_bytes(words[0]).max(TAG_BLANK + 1)
    }

    /// A digest only the key's holder can make.
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        blake3::keyed_hash(&self.tag_key, bytes).into()
    }
}

fn apply(masks: &[u128; PAGE_BLOCKS], page: &mut Page) {
    for (block, mask) in page.as_chunks_mut::<16>().0.iter_mut().zip(masks) {
        *block = (u128::from_le_bytes(*block) ^ mask).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> [u8; INDEX_KEY_BYTES] {
        std::array::from_fn(|at| at.to_le_bytes()[0])
    }

    #[test]
    fn a_page_opens_only_at_its_place() {
        let cipher = PageCipher::new(&key());
        let plain = [0x5A; PAGE_BYTES];
        let mut page = plain;
        let tag = cipher.seal(9, &mut page);
        assert_ne!(page, plain);
        assert_eq!(cipher.tag(&page), tag);
        let mut moved = page;
        cipher.open(9, &mut page);
        assert_eq!(page, plain);
        cipher.open(10, &mut moved);
        assert_ne!(moved, plain);
    }

    #[test]
    fn equal_pages_have_nothing_in_common_on_disk() {
        let cipher = PageCipher::new(&key());
        let (mut one, mut two) = ([0; PAGE_BYTES], [0; PAGE_BYTES]);
        cipher.seal(1, &mut one);
        cipher.seal(2, &mut two);
        let (one, two) = (one.as_chunks::<16>().0, two.as_chunks::<16>().0);
        assert!(one.iter().zip(two).all(|(one, two)| one != two));
    }

    #[test]
    fn pages_are_what_another_implementation_makes() {
        let key = key();
        let (halves, _) = key.as_chunks::<32>();
        let cipher = |half: &[u8; 32]| Aes256::new(&Array(*half));
        let other = xts_mode::Xts128::new(cipher(&halves[0]), cipher(&halves[1]));
        let ours = PageCipher::new(&key);
        for place in [0, 1, 2, 513, u64::MAX] {
            let plain: Page = std::array::from_fn(|at| (at * 7).to_le_bytes()[0]);
            let (mut one, mut two) = (plain, plain);
            ours.seal(place, &mut one);
            let tweak = xts_mode::get_tweak_default(u128::from(place));
            other.encrypt_sector(&mut two, tweak);
            assert_eq!(one, two);
            ours.open(place, &mut one);
            assert_eq!(one, plain);
        }
    }

    /// IEEE 1619 vector 10: AES-256-XTS, the first block of its sector.
    #[test]
    fn the_standard_vector_holds() {
        let mut key = [0; INDEX_KEY_BYTES];
        let one = [
            0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71,
            0x35, 0x26, 0x62, 0x49, 0x77, 0x57, 0x24, 0x70, 0x93, 0x69, 0x99, 0x59, 0x57, 0x49,
            0x66, 0x96, 0x76, 0x27,
        ];
        let two = [
            0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83,
            0x27, 0x95, 0x02, 0x88, 0x41, 0x97, 0x16, 0x93, 0x99, 0x37, 0x51, 0x05, 0x82, 0x09,
            0x74, 0x94, 0x45, 0x92,
        ];
        key[..32].copy_from_slice(&one);
        key[32..].copy_from_slice(&two);
        let mut page: Page = std::array::from_fn(|at| at.to_le_bytes()[0]);
        PageCipher::new(&key).seal(0xFF, &mut page);
        let first = [
            0x1C, 0x3B, 0x3A, 0x10, 0x2F, 0x77, 0x03, 0x86, 0xE4, 0x83, 0x6C, 0x99, 0xE3, 0x70,
            0xCF, 0x9B,
        ];
        assert_eq!(page[..16], first);
    }
}
