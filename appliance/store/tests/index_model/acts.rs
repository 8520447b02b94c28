//! What a random run does to an index.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::wishes::a_name;

/// What a random run does; numbers choose among what exists.
#[derive(Debug, Clone)]
pub enum Act {
    Add {
        bucket: u8,
        name: Vec<u8>,
        marker: bool,
    },
    Release(u8),
    Unrelease(u8),
    Retain(u8),
    Hold(u8, bool),
    Tags(u8),
    Rehome(u8),
    Destroy(Vec<u8>),
    Open {
        bucket: u8,
        name: Vec<u8>,
    },
    Part {
        upload: u8,
        number: u16,
    },
    Complete(u8),
    Abort(u8),
    Repeat,
    Freeze,
    Commit,
}

/// One of them.
pub fn an_act() -> impl Strategy<Value = Act> {
    let bucket = 0..2_u8;
    prop_oneof![
        6 => (bucket.clone(), a_name(), any::<bool>())
            .prop_map(|(bucket, name, marker)| Act::Add { bucket, name, marker }),
        4 => any::<u8>().prop_map(Act::Release),
        3 => any::<u8>().prop_map(Act::Unrelease),
        1 => any::<u8>().prop_map(Act::Retain),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(at, on)| Act::Hold(at, on)),
        1 => any::<u8>().prop_map(Act::Tags),
        1 => any::<u8>().prop_map(Act::Rehome),
        1 => vec(any::<u8>(), 1..4).prop_map(Act::Destroy),
        3 => (bucket, a_name()).prop_map(|(bucket, name)| Act::Open { bucket, name }),
        3 => (any::<u8>(), 1..6_u16).prop_map(|(upload, number)| Act::Part { upload, number }),
        1 => any::<u8>().prop_map(Act::Complete),
        1 => any::<u8>().prop_map(Act::Abort),
        1 => Just(Act::Repeat),
        1 => Just(Act::Freeze),
        1 => Just(Act::Commit),
    ]
}
