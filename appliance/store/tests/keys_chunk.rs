//! Sealed chunks: frozen vectors, equality of both providers, and damage.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use sha2::{Digest as _, Sha256};
use stele_store::keys::chunk::{
    AwsLc, BulkAead, ChunkKey, OpenError, Reference, open_chunk, seal_chunk, stored_len,
};

const PROVIDERS: [&dyn BulkAead; 2] = [&AwsLc, &Reference];

fn key(first: u8) -> ChunkKey {
    ChunkKey::copy_of(&std::array::from_fn(|at| {
        first + u8::try_from(at).expect("small")
    }))
}

fn text(bytes: usize) -> Vec<u8> {
    let low = |number: usize| number.to_le_bytes()[0];
    (0..bytes).map(|at| low(at * 7 + at / 256)).collect()
}

/// Seals in a buffer full of old bytes, as pooled buffers are.
fn seal(aead: &dyn BulkAead, key: &ChunkKey, plain: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xee; stored_len(plain.len()) + 100];
    buffer[..plain.len()].copy_from_slice(plain);
    let stored = seal_chunk(aead, key, &mut buffer, plain.len());
    assert!(
        buffer[stored..].iter().all(|byte| *byte == 0xee),
        "wrote past its end"
    );
    buffer.truncate(stored);
    buffer
}

/// Length of the plaintext and SHA-256 of the stored bytes, computed with Python's `cryptography`.
#[test]
fn stored_chunks_equal_the_frozen_vectors() {
    let vectors = [
        (
            1,
            "e6d08c018698f362b8bddfbbbad453102d5781e515a14cb8296fa931262f010f",
        ),
        (
            4_096,
            "b6d5e07d0bb1ba7ee5edd5ea59786388bfed8fc09b8d5058d57b9f82339dc922",
        ),
        (
            5_000,
            "19307c11b456ae88a11fa8144a79164f0c449dc78048c5992198faecc4a4787d",
        ),
        (
            1_044_480,
            "0842ba9376785957c53dd3573b9219c4fb95d02540499ed911053ff509ad26cb",
        ),
    ];
    for (bytes, digest) in vectors {
        for aead in PROVIDERS {
            let mut stored = seal(aead, &key(64), &text(bytes));
            let got: String = Sha256::digest(&stored)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(got, digest, "{} {bytes} bytes", aead.name());
            assert_eq!(open_chunk(aead, &key(64), &mut stored, bytes), Ok(()));
            assert_eq!(stored[..bytes], text(bytes));
        }
    }
}

#[test]
fn stored_lengths_are_whole_blocks_and_a_tag() {
    for (plain, stored) in [
        (1, 4_112),
        (4_096, 4_112),
        (4_097, 8_208),
        (1_044_480, 1_044_480 + 16),
    ] {
        assert_eq!(stored_len(plain), stored);
    }
}

#[test]
fn chunks_that_do_not_verify_leave_zeros() {
    for aead in PROVIDERS {
        let good = seal(aead, &key(0), &text(5_000));
        let mut flipped = good.clone();
        flipped[4_999] ^= 1;
        let mut bad_tag = good.clone();
        *bad_tag.last_mut().expect("not empty") ^= 0x80;
        for (mut stored, key) in [(flipped, key(0)), (bad_tag, key(0)), (good, key(1))] {
            let opened = open_chunk(aead, &key, &mut stored, 5_000);
            assert_eq!(opened, Err(OpenError::Tampered { chunk: 0 }));
            assert!(stored.iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn a_wrong_plaintext_length_is_refused() {
    let stored = seal(&AwsLc, &key(0), &text(5_000));
    for plain in [0, 1, 4_096, 8_193, 1_044_481, usize::MAX] {
        let mut stored = stored.clone();
        let opened = open_chunk(&AwsLc, &key(0), &mut stored, plain);
        assert_eq!(opened, Err(OpenError::Truncated), "{plain}");
    }
}

#[test]
fn padding_that_is_not_zero_is_refused() {
    let mut stored = seal(&AwsLc, &key(0), &text(5_000));
    let opened = open_chunk(&AwsLc, &key(0), &mut stored, 4_998);
    assert_eq!(opened, Err(OpenError::Tampered { chunk: 0 }));
}

#[test]
#[should_panic(expected = "chunk of 0 bytes")]
fn an_empty_chunk_is_never_sealed() {
    seal_chunk(&AwsLc, &key(0), &mut [0; 5_000], 0);
}

#[test]
#[should_panic(expected = "no room")]
fn a_buffer_without_room_for_the_tag_is_never_sealed() {
    seal_chunk(&AwsLc, &key(0), &mut [0; 4_111], 4_096);
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", key(7)), "ChunkKey(Secret(32 bytes))");
}

proptest! {
    #[test]
    fn both_providers_give_the_same_bytes_and_open_each_other(
        bytes in any::<[u8; 32]>(),
        plain in vec(any::<u8>(), 1..9_000),
    ) {
        let key = ChunkKey::copy_of(&bytes);
        let fast = seal(&AwsLc, &key, &plain);
        let slow = seal(&Reference, &key, &plain);
        prop_assert!(fast == slow);
        for aead in PROVIDERS {
            let mut stored = fast.clone();
            prop_assert_eq!(open_chunk(aead, &key, &mut stored, plain.len()), Ok(()));
            prop_assert!(stored[..plain.len()] == plain[..]);
        }
    }
}
