//! The record tree against the vectors that Certificate Transparency implementations share.

use proptest::prelude::{prop_assert_eq, proptest};
use stele_format::tree::{Frontier, TreeHash, empty_root, leaf_hash, node_hash};

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

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// The definition of RFC 6962, 2.1, word for word.
fn naive_root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

#[test]
fn roots_are_the_known_ones() {
    let mut frontier = Frontier::new();
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(frontier.root().to_string(), *root, "size {size}");
        if let Some(leaf) = LEAVES.get(size) {
            frontier.push(leaf_hash(leaf));
        }
    }
}

#[test]
fn a_frontier_has_one_node_per_set_bit() {
    let node = TreeHash([1; 32]);
    for size in 0..64_u64 {
        for count in 0..8 {
            let fits = u32::try_from(count).unwrap() == size.count_ones();
            let frontier = Frontier::from_parts(size, vec![node; count]);
            assert_eq!(frontier.is_some(), fits, "{size} leaves, {count} nodes");
        }
    }
    let beyond = (1_u64 << 60) + 1;
    assert_eq!(Frontier::from_parts(beyond, vec![node; 2]), None);
}

proptest! {
    #[test]
    fn the_frontier_gives_the_root_of_the_definition(count in 0..200_usize, more in 0..50_usize) {
        let leaf = |i: usize| leaf_hash(&i.to_le_bytes());
        let leaves: Vec<_> = (0..count + more).map(leaf).collect();
        let mut frontier = Frontier::new();
        leaves.iter().take(count).for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!(frontier.root(), naive_root(&leaves[..count]));
        let mut resumed = Frontier::decode(&frontier.encode()).unwrap();
        prop_assert_eq!(&resumed, &frontier);
        leaves.iter().skip(count).for_each(|leaf| resumed.push(*leaf));
        prop_assert_eq!(resumed.root(), naive_root(&leaves));
    }
}
