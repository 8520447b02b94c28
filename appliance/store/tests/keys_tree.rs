//! The key tree against fixed vectors and a model that remembers every cut.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stele_format::units::{Epoch, KeyClass, KeyIndex, KeyIndexParts, Month};
use stele_store::keys::secret::Secret32;
use stele_store::keys::tree::{KeyTree, Prefix, TreeDamaged};

const LAST: u64 = (1 << 60) - 1;

fn root() -> Secret32 {
    Secret32::copy_of(&std::array::from_fn(|at| u8::try_from(at).expect("small")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn leaf_hex(tree: &KeyTree, index: u64) -> Option<String> {
    tree.leaf(KeyIndex::new(index))
        .map(|leaf| hex(leaf.expose()))
}

/// The same tree written another way: no cache, no kept subtrees, straight from the root.
fn derived_from_root(index: u64) -> String {
    let seed = (0..60).rev().fold(*root().expose(), |seed, bit| {
        let mut both = [0; 64];
        let mut hasher = blake3::Hasher::new_keyed(&seed);
        hasher
            .update(b"stele 2026 key tree children")
            .finalize_xof()
            .fill(&mut both);
        let side = if index >> bit & 1 == 0 {
            &both[..32]
        } else {
            &both[32..]
        };
        side.try_into().expect("half of 64 bytes")
    });
    hex(&seed)
}

fn index(month: u16, class: KeyClass, counter: u32) -> KeyIndex {
    let month = Month::new(month).expect("in range");
    KeyIndex::compose(KeyIndexParts {
        month,
        class,
        epoch: Epoch::new(1),
        counter,
    })
    .expect("in range")
}

/// Computed by an independent BLAKE3 in another language.
#[test]
fn leaves_equal_the_frozen_vectors() {
    let vectors = [
        (
            0,
            "7881f30e343ff7eaa5833c653a53cbf71eaa5ea6ddb16b505fa3216c41d1f980",
        ),
        (
            1,
            "97fa84c881b03fc744e6645b143501d02cfc61224da0a3be9fd9add0e3404aa9",
        ),
        (
            LAST,
            "e6994c165fd54c370f552c79e8e714a57daedb822a68de4cde369b5869791d30",
        ),
        (
            0x0052_0000_0100_0000,
            "04096c4c32a74080c083ba8115417f21659131f99f31fb3912e963561beec205",
        ),
        (
            0x0123_4567_89ab_cdef,
            "e65c6908b1c3bba65fa8f4dcc0754018527ae9694e6d7711eb1941a6a837dd21",
        ),
    ];
    let tree = KeyTree::new(&root());
    for (index, key) in vectors {
        assert_eq!(leaf_hex(&tree, index).as_deref(), Some(key), "{index:x}");
        assert_eq!(derived_from_root(index), key, "{index:x}");
    }
}

#[test]
fn an_index_of_more_than_60_bits_has_no_key_and_no_prefix() {
    let mut tree = KeyTree::new(&root());
    let beyond = KeyIndex::new(LAST + 1);
    assert!(tree.leaf(beyond).is_none());
    assert!(!tree.has_leaf(beyond));
    assert!(!tree.cut_leaf(beyond));
    assert_eq!(Prefix::leaf(beyond), None);
    assert_eq!(Prefix::around(KeyIndex::new(0), 61), None);
}

#[test]
fn a_cut_leaf_is_gone_and_its_neighbours_stay() {
    let mut tree = KeyTree::new(&root());
    let before = leaf_hex(&tree, 6);
    assert!(tree.cut_leaf(KeyIndex::new(7)));
    assert_eq!(leaf_hex(&tree, 7), None);
    assert_eq!(leaf_hex(&tree, 6), before);
    assert_eq!(tree.seed_count(), 60);
    assert!(!tree.cut_leaf(KeyIndex::new(7)), "nothing left to cut");
}

#[test]
fn cutting_a_month_takes_every_class_and_epoch_of_it_and_nothing_else() {
    let mut tree = KeyTree::new(&root());
    let month = Month::new(83).expect("in range");
    tree.cut_leaf(index(83, KeyClass::Object, 9));
    assert!(tree.cut_prefix(Prefix::month(month)));
    for class in [KeyClass::Object, KeyClass::PendingPart] {
        assert!(!tree.has_leaf(index(83, class, 10)));
        assert!(tree.has_leaf(index(82, class, 10)));
        assert!(tree.has_leaf(index(84, class, 10)));
    }
    assert_eq!(
        tree.seed_count(),
        12,
        "the scar of the single cut went with its month"
    );
}

#[test]
fn cutting_a_class_leaves_the_other_classes_of_the_month() {
    let mut tree = KeyTree::new(&root());
    let month = Month::new(83).expect("in range");
    assert!(tree.cut_prefix(Prefix::class(month, KeyClass::PendingPart)));
    assert!(!tree.has_leaf(index(83, KeyClass::PendingPart, 0)));
    assert!(tree.has_leaf(index(83, KeyClass::Object, 0)));
}

#[test]
fn cutting_months_in_order_keeps_the_state_small() {
    let mut tree = KeyTree::new(&root());
    for number in 0..4096 {
        assert!(tree.cut_prefix(Prefix::month(Month::new(number).expect("in range"))));
        assert!(tree.seed_count() <= 12);
    }
    assert_eq!(tree.seed_count(), 0);
    assert!(!tree.has_leaf(KeyIndex::new(LAST)));
}

#[test]
fn cutting_everything_leaves_nothing() {
    let mut tree = KeyTree::new(&root());
    tree.cut_leaf(KeyIndex::new(1 << 40));
    assert!(tree.cut_prefix(Prefix::ALL));
    assert_eq!(tree.seed_count(), 0);
    assert!(tree.encode().is_empty());
    assert!(!tree.cut_prefix(Prefix::ALL));
}

#[test]
fn interleaved_runs_of_indexes_get_the_keys_of_a_straight_walk() {
    let tree = KeyTree::new(&root());
    for step in 0..300 {
        let run = match step % 5 {
            0 | 3 => index(83, KeyClass::Object, step),
            1 => index(90, KeyClass::PendingPart, step),
            2 => index(12, KeyClass::Object, step),
            _ => index(500, KeyClass::Object, 1_000_000 - step),
        };
        assert_eq!(
            leaf_hex(&tree, run.get()),
            Some(derived_from_root(run.get()))
        );
    }
}

#[test]
fn bytes_that_are_no_tree_are_refused() {
    let mut tree = KeyTree::new(&root());
    tree.cut_leaf(KeyIndex::new(5));
    let good = tree.encode().to_vec();
    assert!(KeyTree::decode(&good).is_ok());
    assert!(
        KeyTree::decode(&[]).is_ok(),
        "a tree whose every leaf was cut"
    );
    let node = 41;
    let swapped = [&good[node..2 * node], &good[..node], &good[2 * node..]].concat();
    let doubled = [&good[..node], &good[..]].concat();
    let overlapping = [&KeyTree::new(&root()).encode()[..], &good[node..]].concat();
    let mut misplaced = good.clone();
    misplaced[8] -= 1;
    let mut deep = good.clone();
    deep[8] = 61;
    let mut beyond = good.clone();
    beyond[7] = 0x10;
    let cases = [
        swapped,
        doubled,
        overlapping,
        misplaced,
        deep,
        beyond,
        good[1..].to_vec(),
    ];
    for (number, bytes) in cases.iter().enumerate() {
        assert_eq!(
            KeyTree::decode(bytes).err(),
            Some(TreeDamaged),
            "case {number}"
        );
    }
}

#[test]
fn debug_shows_no_seed() {
    let tree = KeyTree::new(&root());
    assert_eq!(format!("{tree:?}"), "KeyTree(1 seeds)");
    let leaf = tree.leaf(KeyIndex::new(1)).expect("whole tree");
    assert_eq!(format!("{leaf:?}"), "LeafKey(Secret(32 bytes))");
}

/// Indexes that often share long prefixes, with the ends of the range among them.
fn indexes() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..16u64,
        (LAST - 15)..=LAST,
        (0..4u64, 0..8u64).prop_map(|(month, low)| month << 48 | low),
        any::<u64>().prop_map(|bits| bits & LAST),
    ]
}

#[derive(Debug, Clone)]
enum Act {
    CutLeaf(u64),
    CutPrefix(u64, u8),
    Reload,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => indexes().prop_map(Act::CutLeaf),
        3 => (indexes(), 10..=60u8).prop_map(|(index, depth)| Act::CutPrefix(index, depth)),
        1 => (indexes(), 0..10u8).prop_map(|(index, depth)| Act::CutPrefix(index, depth)),
        2 => proptest::strategy::Just(Act::Reload),
    ]
}

/// What was cut, as ranges of indexes.
fn cut_by(acts: &[Act]) -> Vec<(u64, u64)> {
    let range = |index: u64, depth: u8| {
        let below = (1 << (60 - depth)) - 1;
        (index & !below, index | below)
    };
    acts.iter()
        .filter_map(|act| match act {
            Act::CutLeaf(index) => Some((*index, *index)),
            Act::CutPrefix(index, depth) => Some(range(*index, *depth)),
            Act::Reload => None,
        })
        .collect()
}

proptest! {
    #[test]
    fn a_leaf_derives_if_and_only_if_no_cut_covered_it(
        acts in vec(acts(), 1..12),
        probes in vec(indexes(), 1..12),
    ) {
        let mut tree = KeyTree::new(&root());
        for (done, act) in acts.iter().enumerate() {
            match act {
                Act::CutLeaf(index) => {
                    let was_there = tree.has_leaf(KeyIndex::new(*index));
                    prop_assert_eq!(tree.cut_leaf(KeyIndex::new(*index)), was_there);
                }
                Act::CutPrefix(index, depth) => {
                    let prefix = Prefix::around(KeyIndex::new(*index), *depth).expect("fits");
                    tree.cut_prefix(prefix);
                    prop_assert!(!tree.cut_prefix(prefix));
                }
                Act::Reload => tree = KeyTree::decode(&tree.encode()).expect("own encoding"),
            }
            let cut = cut_by(&acts[..=done]);
            for probe in &probes {
                let gone = cut.iter().any(|(first, last)| (first..=last).contains(&probe));
                let specified = (!gone).then(|| derived_from_root(*probe));
                prop_assert_eq!(tree.has_leaf(KeyIndex::new(*probe)), !gone);
                prop_assert_eq!(leaf_hex(&tree, *probe), specified);
            }
        }
    }

    #[test]
    fn encoding_reads_back_and_keeps_no_cut_seed(acts in vec(acts(), 1..20)) {
        let mut tree = KeyTree::new(&root());
        for (first, last) in cut_by(&acts) {
            let depth = u8::try_from((last - first + 1).leading_zeros()).expect("small") - 3;
            tree.cut_prefix(Prefix::around(KeyIndex::new(first), depth).expect("fits"));
        }
        let bytes = tree.encode();
        prop_assert_eq!(bytes.len(), tree.encoded_len());
        prop_assert_eq!(bytes.len(), 41 * tree.seed_count());
        let again = KeyTree::decode(&bytes).expect("own encoding");
        prop_assert_eq!(&again.encode()[..], &bytes[..]);
        for entry in bytes.chunks(41) {
            let first = u64::from_le_bytes(entry[..8].try_into().expect("8 bytes"));
            let last = first | ((1 << (60 - u32::from(entry[8]))) - 1);
            let overlaps = cut_by(&acts).iter().any(|cut| cut.0 <= last && first <= cut.1);
            prop_assert!(!overlaps, "a seed above a cut leaf was kept");
        }
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(tree) = KeyTree::decode(&bytes) {
            prop_assert_eq!(&tree.encode()[..], &bytes[..]);
        }
    }
}
