//! K2: what ten years do to the key state. The full number of records is measured by `engine_bench keys`; how many
//! there are between those that are deleted early or held changes little.

#[path = "../examples/engine_bench/decade.rs"]
mod decade;

use decade::{Outcome, Plan, run};
use stele_format::units::{Epoch, KeyClass, Month};
use stele_store::keys::counter::KeyCounter;
use stele_store::keys::secret::Secret32;
use stele_store::keys::tree::KeyTree;

/// A hundredth of the records, and all that leaves its mark on the tree.
const DECADE: Plan = Plan {
    months: 120,
    records: 10_000,
    early: 10,
    held: 10,
    longest_only: false,
    rehome: true,
};
/// Half of the goal: the whole number of records makes paths longer by a few seeds.
const BYTES_MAX: usize = 1 << 19;

fn check(outcome: &Outcome) {
    assert_eq!(outcome.months_cut, 120);
    assert!(outcome.held_derive, "a held record lost its key");
    assert!(outcome.early_gone, "a deleted record kept its key");
}

#[test]
fn k2_ten_years_of_keys_stay_below_a_mebibyte() {
    for longest_only in [false, true] {
        let outcome = run(Plan {
            longest_only,
            ..DECADE
        });
        check(&outcome);
        assert!(outcome.leaves_cut > 500, "{outcome:?}");
        assert!(outcome.peak_bytes < BYTES_MAX, "{outcome:?}");
        assert!(longest_only || outcome.rehomed > 5_000, "{outcome:?}");
    }
}

#[test]
fn k2_what_is_held_costs_nothing_once_it_has_a_later_key() {
    let none_early = Plan { early: 0, ..DECADE };
    let later = run(none_early);
    check(&later);
    // A tree from which months are cut in order has two dozen seeds at most.
    assert!(later.peak_bytes < 41 * 24, "{later:?}");
    let around = run(Plan {
        rehome: false,
        ..none_early
    });
    check(&around);
    assert!(around.peak_bytes > 35_000, "{around:?}");
}

/// A hundred holes in a hundred months, so that no two of them share anything but the way to their month.
#[test]
fn k2_a_hundred_single_deletions_cost_at_most_two_hundred_kilobytes() {
    let mut tree = KeyTree::new(&Secret32::copy_of(&[7; 32]));
    let mut counter = KeyCounter::new(Epoch::new(1));
    for number in 0..100 {
        let month = Month::new(700 + number).expect("a month");
        let leaf = counter.next(month, KeyClass::Object).expect("an index");
        assert!(tree.cut_leaf(leaf));
    }
    // 48 seeds below each month, and those beside the months.
    let seeds = tree.seed_count();
    assert!((4_800..4_824).contains(&seeds), "{seeds}");
    assert!(tree.encoded_len() < 200_000, "{}", tree.encoded_len());
}
