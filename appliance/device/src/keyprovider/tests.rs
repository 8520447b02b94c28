use super::{KeyError, KeyProvider, Master, SEALED_OVERHEAD_BYTES};
use crate::conformance;
use crate::limits::SEAL_BYTES_MAX;
use crate::sim::keyprovider::SimKeys;
use zeroize::Zeroizing;

#[test]
fn the_simulated_provider_passes_the_exam() {
    conformance::key_provider(&SimKeys::new(1), &SimKeys::new(1), &SimKeys::new(2));
}

#[test]
fn the_simulated_provider_repeats_itself() {
    let run = || SimKeys::new(4).seal(b"context", b"message");
    assert_eq!(run(), run());
}

/// The sealed form is on media; it must not change without a new magic.
#[test]
fn the_sealed_form_is_frozen() {
    let master = Master(Zeroizing::new([1; 32]));
    let sealed = master
        .seal(&[2; 32], b"context", b"plaintext")
        .expect("seal");
    assert_eq!(sealed.len(), SEALED_OVERHEAD_BYTES + 9);
    assert_eq!(&sealed[..36], [b"SKP1".as_slice(), &[2; 32]].concat());
    let digest = blake3::hash(&sealed).to_hex();
    assert_eq!(
        digest.as_str(),
        "5427c9a5da61e4f44ba029dcb4fba9025307f4357c36afade76cc34a91f1524d"
    );
}

#[test]
fn a_message_beyond_the_limit_is_refused() {
    let long = vec![0; SEAL_BYTES_MAX + 1];
    assert_eq!(SimKeys::new(1).seal(b"", &long), Err(KeyError::TooLong));
}
