//! Inclusion and consistency proofs: the vectors that Certificate Transparency implementations share,
//! the definition of RFC 6962 word for word, and every way to spoil one.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use stele_format::TreeHash;
use stele_format::tree::proof::{ProofError, Proofs, verify_consistency, verify_inclusion};
use stele_format::tree::{Frontier, leaf_hash, node_hash};

const LEAVES: [&[u8]; 8] = [
    b"",
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[
        0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e,
        0x6f,
    ],
];

fn shared() -> Proofs {
    Proofs::of_log(LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect())
}

fn hex(hashes: &[TreeHash]) -> Vec<String> {
    hashes.iter().map(TreeHash::to_string).collect()
}

#[test]
fn proofs_are_the_shared_vectors() {
    let proofs = shared();
    let inclusion = |index, size| hex(&proofs.inclusion(index, size).expect("valid"));
    assert_eq!(inclusion(0, 1), [""; 0]);
    assert_eq!(
        inclusion(0, 8),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        inclusion(5, 8),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        inclusion(2, 3),
        ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
    );
    let consistency = |older, newer| hex(&proofs.consistency(older, newer).expect("valid"));
    assert_eq!(consistency(1, 1), [""; 0]);
    assert_eq!(
        consistency(1, 8),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        consistency(6, 8),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

fn leaves(count: u64) -> Vec<TreeHash> {
    (0..count)
        .map(|index| leaf_hash(&index.to_le_bytes()))
        .collect()
}

/// The definition of RFC 6962, 2.1, word for word.
fn naive_root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => stele_format::tree::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962, 2.1.1, word for word.
fn naive_path(index: usize, leaves: &[TreeHash]) -> Vec<TreeHash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, other) = if index < split {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - split, right), naive_root(left))
    };
    path.push(other);
    path
}

/// SUBPROOF of RFC 6962, 2.1.2, word for word.
fn naive_subproof(older: usize, leaves: &[TreeHash], whole: bool) -> Vec<TreeHash> {
    if older == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, other) = if older <= split {
        (naive_subproof(older, left, whole), naive_root(right))
    } else {
        (
            naive_subproof(older - split, right, false),
            naive_root(left),
        )
    };
    path.push(other);
    path
}

#[test]
fn every_proof_of_every_small_log_is_the_definition_and_verifies() {
    let all = leaves(33);
    let proofs = Proofs::of_log(all.clone());
    for size in 1..=all.len() {
        let (log, root) = (&all[..size], naive_root(&all[..size]));
        assert_eq!(proofs.root(size as u64), Some(root));
        for index in 0..size {
            let path = proofs.inclusion(index as u64, size as u64).expect("valid");
            assert_eq!(path, naive_path(index, log), "{index} of {size}");
            let verified = verify_inclusion(&log[index], index as u64, size as u64, &path, &root);
            assert_eq!(verified, Ok(()), "{index} of {size}");
        }
        for older in 1..=size {
            let path = proofs
                .consistency(older as u64, size as u64)
                .expect("valid");
            assert_eq!(path, naive_subproof(older, log, true), "{older} of {size}");
            let old = (older as u64, &naive_root(&all[..older]));
            assert_eq!(verify_consistency(old, (size as u64, &root), &path), Ok(()));
        }
    }
}

/// Every proof with one hash less, one more or one bit changed, or for a neighbour's place.
#[test]
fn no_spoiled_proof_of_any_small_log_verifies() {
    let all = leaves(19);
    let proofs = Proofs::of_log(all.clone());
    for size in 1..=all.len() as u64 {
        let root = proofs.root(size).expect("valid");
        for index in 0..size {
            let path = proofs.inclusion(index, size).expect("valid");
            let leaf = &all[usize::try_from(index).expect("valid")];
            for spoiled in spoiled(&path) {
                assert!(verify_inclusion(leaf, index, size, &spoiled, &root).is_err());
            }
            for other in (0..=size).filter(|other| *other != index) {
                assert!(verify_inclusion(leaf, other, size, &path, &root).is_err());
            }
        }
        for older in 1..=size {
            let path = proofs.consistency(older, size).expect("valid");
            let old = proofs.root(older).expect("valid");
            for spoiled in spoiled(&path) {
                assert!(verify_consistency((older, &old), (size, &root), &spoiled).is_err());
            }
            let other = leaf_hash(b"another log");
            assert!(verify_consistency((older, &other), (size, &root), &path).is_err());
            assert!(verify_consistency((older, &old), (size, &other), &path).is_err());
        }
    }
}

fn spoiled(path: &[TreeHash]) -> Vec<Vec<TreeHash>> {
    let mut all = vec![[path, &[leaf_hash(b"more")]].concat()];
    if let Some((_, shorter)) = path.split_last() {
        all.push(shorter.to_vec());
    }
    for place in 0..path.len() {
        let mut changed = path.to_vec();
        changed[place].0[place % 32] ^= 1;
        all.push(changed);
    }
    all
}

/// The three ways to rewrite a log after a checkpoint: without a record, with two swapped, with one twice.
#[test]
fn a_log_with_records_removed_swapped_or_doubled_is_no_continuation() {
    let all = leaves(23);
    let honest = Proofs::of_log(all.clone());
    let (size, root) = (23, honest.root(23).expect("valid"));
    for place in 0..all.len() - 1 {
        let mut removed = all.clone();
        removed.remove(place);
        let mut swapped = all.clone();
        swapped.swap(place, place + 1);
        let mut doubled = all.clone();
        doubled.insert(place, all[place]);
        for mut rewritten in [removed, swapped, doubled] {
            rewritten.extend(leaves(3));
            let forged = Proofs::of_log(rewritten);
            let newer = forged.size();
            let path = forged.consistency(size, newer).expect("valid");
            let refused = verify_consistency(
                (size, &root),
                (newer, &forged.root(newer).expect("valid")),
                &path,
            );
            assert_eq!(refused, Err(ProofError::Root { size }), "{place}");
        }
    }
}

#[test]
fn what_no_log_has_is_refused() {
    let proofs = shared();
    assert!(proofs.inclusion(8, 8).is_err() && proofs.inclusion(0, 9).is_err());
    assert!(proofs.consistency(0, 8).is_err() && proofs.consistency(8, 9).is_err());
    assert!(proofs.consistency(5, 4).is_err());
    let leaf = leaf_hash(b"");
    assert!(verify_inclusion(&leaf, 0, 0, &[], &leaf).is_err());
    assert!(verify_consistency((0, &leaf), (1, &leaf), &[]).is_err());
    assert_eq!(
        Proofs::of_log(Vec::new()).root(0),
        Some(stele_format::tree::empty_root())
    );
}

proptest! {
    #[test]
    fn a_frontier_and_the_records_behind_it_prove_as_the_whole_log_does(
        before in 0_u64..300,
        more in 1_u64..70,
    ) {
        let all = leaves(before + more);
        let whole = Proofs::of_log(all.clone());
        let mut frontier = Frontier::new();
        let (early, late) = all.split_at(usize::try_from(before).expect("valid"));
        early.iter().for_each(|leaf| frontier.push(*leaf));
        let tail = Proofs::after(&frontier, late.to_vec());
        for size in before + 1..=before + more {
            prop_assert_eq!(tail.root(size), whole.root(size));
            for index in before..size {
                prop_assert_eq!(tail.inclusion(index, size), whole.inclusion(index, size));
            }
        }
        if before > 0 {
            prop_assert!(tail.inclusion(before - 1, before + more).is_err());
        }
    }

    #[test]
    fn no_input_makes_a_verifier_panic(
        index in any::<u64>(),
        size in any::<u64>(),
        count in 0_usize..70,
    ) {
        let path = vec![leaf_hash(b"x"); count];
        let root = leaf_hash(b"root");
        prop_assert!(verify_inclusion(&root, index, size, &path, &root).is_err() || size == 1);
        let _ = verify_consistency((index, &root), (size, &root), &path);
    }
}
