use super::{KeyError, KeyProvider, Master, SEALED_OVERHEAD_BYTES};
use crate::conformance;
use crate::limits::SEAL_BYTES_MAX;
use crate::sim::keyprovider::{Cut, SimCounter, SimKeys};
use zeroize::Zeroizing;

#[test]
fn the_simulated_provider_passes_the_exam() {
    conformance::key_provider(&SimKeys::new(1), &SimKeys::new(1), &SimKeys::new(2));
}

#[test]
fn the_simulated_provider_with_an_anchor_passes_the_exam() {
    let (counter, others) = (SimCounter::new(7), SimCounter::new(900));
    let keys = || SimKeys::anchored(1, &counter);
    conformance::key_provider(&keys(), &keys(), &SimKeys::anchored(2, &others));
}

#[test]
fn a_power_cut_while_the_anchor_advances_leaves_exactly_one_state() {
    for cut in [Cut::Before, Cut::After] {
        let counter = SimCounter::new(1);
        let keys = SimKeys::anchored(1, &counter);
        let old = keys.seal(b"", b"old").expect("seal");
        let next = keys.seal_next(b"", b"new").expect("seal next");
        counter.cut_next(cut);
        assert_eq!(keys.advance(&next), Err(KeyError::Unavailable));
        let keys = SimKeys::anchored(1, &counter);
        let (old_opens, next_opens) = (keys.open(b"", &old), keys.open(b"", &next));
        assert_eq!(old_opens.is_ok(), cut == Cut::Before);
        assert_eq!(next_opens.is_ok(), cut == Cut::After);
        assert_eq!(keys.advance(&next).map(|anchor| anchor.value), Ok(2));
        assert_eq!(keys.open(b"", &old), Err(KeyError::Superseded));
    }
}

#[test]
fn an_anchor_that_was_set_back_refuses_to_jump_forward() {
    let keys = |value| SimKeys::anchored(1, &SimCounter::new(value));
    let next = keys(5).seal_next(b"", b"new").expect("seal next");
    assert_eq!(keys(3).advance(&next), Err(KeyError::NotYet));
    assert_eq!(keys(7).advance(&next), Err(KeyError::Superseded));
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
