//! Everything that can be done to a vault, in any order, against a small model: no version's protection gets weaker
//! except by a right that was granted, what is locked stays readable, and what may go does go.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "locks_model/acts.rs"]
mod acts;
#[path = "../../format/tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the keys")]
mod authenticator;
#[path = "locks_model/going.rs"]
mod going;
#[path = "locks_model/model.rs"]
mod model;
#[path = "destruction/world.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of it")]
mod people;
mod support;

use acts::{Act, act};
use model::World;
use proptest::collection::vec;
use proptest::prelude::{Strategy, proptest};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Goes through a course of acts, and looks at everything after each of them.
fn go_through(acts: &[(Act, u8)]) -> World {
    let mut world = World::new();
    for (act, rights) in acts {
        world.act(act, *rights);
        world.check();
    }
    world.restart();
    world.check();
    world
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 128,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn no_protection_gets_weaker_whatever_is_done(acts in vec(act(), 1..50)) {
        go_through(&acts);
    }
}

/// Without this the courses above could be such that nothing ever goes, and nothing is ever kept from going.
#[test]
fn by_every_way_out_some_go_and_some_are_kept() {
    let mut runner = TestRunner::deterministic();
    let mut seen = [0; 9];
    for _ in 0..64 {
        let acts = vec(act(), 60).new_tree(&mut runner).unwrap().current();
        let counts = go_through(&acts).seen.counts();
        seen.iter_mut()
            .zip(counts)
            .for_each(|(all, one)| *all += one);
    }
    assert!(seen.iter().all(|count| *count > 1), "{seen:?}");
}
