//! Names and listings a random run asks for.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use stele_store::index::list::ListWish;

/// A short name of few letters, so that names share beginnings.
pub fn a_name() -> impl Strategy<Value = Vec<u8>> {
    vec(
        prop_oneof![Just(b'a'), Just(b'b'), Just(b'/'), Just(0), Just(0xFF)],
        1..5,
    )
}

/// A listing with every kind of limit.
pub fn a_wish() -> impl Strategy<Value = ListWish> {
    let part = vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'/')], 0..3);
    let delimiter = prop_oneof![
        Just(Vec::new()),
        Just(b"/".to_vec()),
        Just(b"b".to_vec()),
        Just(b"a/".to_vec())
    ];
    let after = prop_oneof![Just(None), a_name().prop_map(Some)];
    (part, delimiter, after, 0..5_usize).prop_map(|(prefix, delimiter, after, entries_max)| {
        ListWish {
            prefix,
            delimiter,
            after,
            entries_max,
        }
    })
}
