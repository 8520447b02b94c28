//! Sealed messages: frozen vectors, and every way of damaging one.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use sha2::{Digest as _, Sha256};
use stele_format::units::{BucketId, KeyIndex, ObjectId, PoolId, VersionId};
use stele_store::keys::message::{
    OpenError, SALT_BYTES, SealContext, open_message, plain_len, seal_message, sealed_len,
};
use stele_store::keys::secret::Secret32;

fn counting<const BYTES: usize>(first: u8) -> [u8; BYTES] {
    std::array::from_fn(|at| first + u8::try_from(at).expect("small"))
}

fn key() -> Secret32 {
    Secret32::copy_of(&counting(0))
}

fn salt() -> [u8; SALT_BYTES] {
    counting(100)
}

fn context() -> SealContext {
    SealContext {
        pool: PoolId::from_bytes([1; 16]),
        record_type: 6,
        bucket: BucketId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        version: VersionId::from_bytes([4; 16]),
        key_index: KeyIndex::new(0x0012_3456_789a_bcde),
    }
}

fn text(bytes: usize) -> Vec<u8> {
    let low = |number: usize| number.to_le_bytes()[0];
    (0..bytes).map(|at| low(at * 7 + at / 256)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length of the plaintext and SHA-256 of the sealed message, computed with Python's
/// `cryptography` (AES-GCM) and `hmac` modules from the text of the specification.
#[test]
fn sealed_messages_equal_the_frozen_vectors() {
    let vectors = [
        (
            0,
            "4858d7b6eb3f2deb4c74c88f8e3bce54a3d149f0838a57b23029552de07045b5",
        ),
        (
            1,
            "ff75aa26efa569663cc0f38e688a756fd0f8f9bf19333a3f357e8e421e421cf8",
        ),
        (
            1_000,
            "1a4d3c055ede9ca66bbf11c63210ab5e4d35a1213108a7ce31765fcf0a57dc33",
        ),
        (
            16_383,
            "1d6ca47755ffca6f4c08184358a039ebed5e89130b67f940fc7c8cec7ab6870c",
        ),
        (
            16_384,
            "6de4fe46da268c24d8967eb75cee1dd6d04d6bdbc11f7043cec306b35ab40915",
        ),
        (
            16_385,
            "16f812271b625ae389a04752db119edbdb1e1f17661624cd2cef75107fed67ed",
        ),
        (
            40_000,
            "9d67dcd78ec4f3fa4459e1b759214ab73777d9549ac7e8f89e23b628f6d013d0",
        ),
    ];
    for (bytes, digest) in vectors {
        let sealed = seal_message(&key(), &salt(), &context(), &text(bytes));
        assert_eq!(hex(&Sha256::digest(&sealed)), digest, "{bytes} bytes");
        let opened = open_message(&key(), &context(), &sealed);
        assert_eq!(opened.as_deref(), Ok(&text(bytes)), "{bytes} bytes");
    }
}

#[test]
fn an_empty_message_equals_the_frozen_bytes() {
    let sealed = seal_message(&key(), &salt(), &context(), &[]);
    let expected = "6465666768696a6b6c6d6e6f707172737475767778797a7b\
        87eab0b8318ef5dea4d4d0e6775387698b167f61932b26b262c4f81f8442954d\
        aa62402503bce38d3bdc33441002f896";
    assert_eq!(hex(&sealed), expected);
}

#[test]
fn sealing_allocates_exactly_what_it_fills() {
    for bytes in [0, 1, 16_384, 60_000] {
        let sealed = seal_message(&key(), &salt(), &context(), &text(bytes));
        assert_eq!(sealed.len(), sealed_len(bytes));
        assert_eq!(sealed.capacity(), sealed.len());
    }
}

#[test]
fn lengths_map_both_ways_and_no_other_length_is_taken() {
    let mut valid = vec![false; sealed_len(40_000) + 1];
    for plain in 0..=40_000 {
        assert_eq!(plain_len(sealed_len(plain)), Some(plain));
        valid[sealed_len(plain)] = true;
    }
    for (sealed, valid) in valid.iter().enumerate() {
        assert_eq!(plain_len(sealed).is_some(), *valid, "{sealed}");
    }
}

#[test]
fn a_message_cut_anywhere_does_not_open() {
    let sealed = seal_message(&key(), &salt(), &context(), &text(33_000));
    for end in 0..sealed.len() {
        let opened = open_message(&key(), &context(), &sealed[..end]);
        assert!(
            matches!(
                opened,
                Err(OpenError::Truncated | OpenError::Tampered { .. })
            ),
            "cut at {end}"
        );
    }
    let at_chunk_end = 56 + 16_384 + 16;
    let opened = open_message(&key(), &context(), &sealed[..at_chunk_end]);
    assert_eq!(opened.err(), Some(OpenError::Truncated));
}

#[test]
fn swapped_or_repeated_chunks_do_not_open() {
    let sealed = seal_message(&key(), &salt(), &context(), &text(50_000));
    let chunk = 16_384 + 16;
    let (head, body) = sealed.split_at(56);
    let swapped = [
        head,
        &body[chunk..2 * chunk],
        &body[..chunk],
        &body[2 * chunk..],
    ]
    .concat();
    let repeated = [head, &body[..chunk], body].concat();
    assert_eq!(
        open_message(&key(), &context(), &swapped).err(),
        Some(OpenError::Tampered { chunk: 0 })
    );
    assert_eq!(
        open_message(&key(), &context(), &repeated).err(),
        Some(OpenError::Tampered { chunk: 1 })
    );
}

#[test]
fn another_key_or_any_other_place_is_told_before_decryption() {
    let sealed = seal_message(&key(), &salt(), &context(), b"manifest");
    let wrong_key = Secret32::copy_of(&counting(1));
    let opened = open_message(&wrong_key, &context(), &sealed);
    assert_eq!(opened.err(), Some(OpenError::WrongKey));
    let here = context();
    let elsewhere = [
        SealContext {
            pool: PoolId::from_bytes([9; 16]),
            ..here
        },
        SealContext {
            record_type: 16,
            ..here
        },
        SealContext {
            bucket: BucketId::from_bytes([9; 16]),
            ..here
        },
        SealContext {
            object: ObjectId::from_bytes([9; 16]),
            ..here
        },
        SealContext {
            version: VersionId::from_bytes([9; 16]),
            ..here
        },
        SealContext {
            key_index: KeyIndex::new(1),
            ..here
        },
    ];
    for place in elsewhere {
        let opened = open_message(&key(), &place, &sealed);
        assert_eq!(opened.err(), Some(OpenError::WrongKey), "{place:?}");
    }
}

#[test]
fn the_same_index_with_another_salt_gives_unrelated_bytes() {
    let one = seal_message(&key(), &salt(), &context(), &text(64));
    let other = seal_message(&key(), &counting(7), &context(), &text(64));
    assert_ne!(one[24..56], other[24..56], "commitments");
    assert_ne!(one[56..], other[56..], "ciphertexts");
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(
        plain in vec(any::<u8>(), 0..300),
        at in any::<usize>(),
        bit in 0..8u8,
    ) {
        let mut sealed = seal_message(&key(), &salt(), &context(), &plain);
        let at = at % sealed.len();
        sealed[at] ^= 1u8 << bit;
        let expected = if at < 56 { OpenError::WrongKey } else { OpenError::Tampered { chunk: 0 } };
        prop_assert_eq!(open_message(&key(), &context(), &sealed).err(), Some(expected));
    }

    #[test]
    fn what_is_sealed_opens(
        plain in vec(any::<u8>(), 0..40_000),
        salt in any::<[u8; SALT_BYTES]>(),
    ) {
        let sealed = seal_message(&key(), &salt, &context(), &plain);
        let opened = open_message(&key(), &context(), &sealed);
        prop_assert_eq!(opened.as_deref(), Ok(&plain));
    }

    #[test]
    fn arbitrary_bytes_never_open_and_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(open_message(&key(), &context(), &bytes).is_err());
    }
}
