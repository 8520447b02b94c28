//! C1 to C8: whatever the clocks do, nothing goes earlier, and the log says what they did; C7 is in
//! `witnesses.rs`.

use stele_format::record::Body;
use stele_format::record::ClockEventKind::{self, Corrected, WallLeft, WallReturned};
use stele_format::statement::{Act, Cut, Hold, Kind, Verb};
use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{Mode, Retention};
use stele_store::request::{Command, LockWish, Refusal};
use stele_store::status::Alarm;

use crate::support::locks::{
    ALL_RIGHTS, DAY, HOUR, START, check_content, delete, head, is_locked, lock, lose_index,
    multipart, retain, set_default, vault,
};
use crate::support::steps::turns;
use crate::support::{Rig, Running, name};
use crate::world::{
    founded, list, person, put, put_as, rehome, request, ripe, say, state, tombstone, view,
    work_off,
};

const YEAR: u64 = 365 * DAY;
/// Both clocks on their own, far and near, to either side.
const WALLS: [u64; 7] = [
    START + 20 * YEAR,
    START - 20 * YEAR,
    1,
    // As far as the kernel's clock goes.
    START + 230 * YEAR,
    START + 23 * HOUR,
    START - 23 * HOUR,
    START + 40 * DAY,
];

/// A version that nothing frees for ten days, and until when.
fn ten_days(vault: &mut Running) -> (VersionId, UnixMillis) {
    let until = UnixMillis::new(view(vault).now.get() + 10 * DAY);
    let wish = lock(
        Some(Retention {
            mode: Mode::Compliance,
            until,
        }),
        None,
    );
    let version = crate::support::locks::put(vault, &name("b", "k"), wish, 7);
    (version, until)
}

/// Tries to delete with every right; whether that was refused for the lock.
fn stays(vault: &mut Running, version: VersionId) -> bool {
    vault.rights = ALL_RIGHTS;
    let done = delete(vault, &name("b", "k"), Some(version), true);
    let refused = done.is_err();
    assert!(!refused || is_locked(done.clone()), "{done:?}");
    refused
}

/// Compliance time at which the version goes, with an attempt every six hours.
fn goes_at(vault: &mut Running, version: VersionId) -> UnixMillis {
    for _ in 0..60 {
        let now = view(vault).now;
        if !stays(vault, version) {
            return now;
        }
        turns(vault);
        vault.sleep(6 * HOUR);
    }
    panic!("never")
}

#[test]
fn c1_no_wall_clock_frees_anything_early_or_keeps_it_for_long() {
    for wall in WALLS {
        for restart in [false, true] {
            let (mut rig, mut vault) = vault();
            let (version, until) = ten_days(&mut vault);
            if restart {
                vault.stop();
                rig.clock_ms = wall;
                vault = rig.start();
            } else {
                vault.set_wall(wall);
            }
            let gone = goes_at(&mut vault, version).get();
            let late = gone.checked_sub(until.get());
            let late = late.unwrap_or_else(|| panic!("early with the wall at {wall}: {gone}"));
            assert!(late <= DAY + 6 * HOUR, "{late} with the wall at {wall}");
        }
    }
}

#[test]
fn c1_a_monotonic_clock_that_stands_still_frees_nothing() {
    let (_rig, mut vault) = vault();
    let (version, _) = ten_days(&mut vault);
    let before = view(&mut vault).now.get();
    for days in 1..60 {
        vault.set_wall(START + days * DAY);
        assert!(stays(&mut vault, version), "day {days}");
    }
    assert!(view(&mut vault).now.get() - before < HOUR);
}

#[test]
fn c2_compliance_time_in_the_log_never_decreases_whatever_ends_a_run() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    for round in 0..12_u64 {
        vault.sleep(5 * HOUR);
        let recorded = view(&mut vault).now;
        let seed = usize::try_from(round).unwrap();
        crate::support::locks::put(&mut vault, &object, LockWish::default(), seed);
        if round % 3 == 0 {
            drop(vault);
            rig.crash();
        } else {
            vault.stop();
        }
        if round % 3 == 1 {
            lose_index(&rig);
        }
        if round == 11 {
            rig.handles[2] = None;
        }
        // A machine that starts with other clocks every time.
        rig.clock_ms = START - round * 100 * DAY;
        rig.monotonic_ms = 1 + round % 2 * 1_000_000_000;
        vault = rig.start();
        let now = view(&mut vault).now;
        assert!(now >= recorded, "round {round}: {now:?} < {recorded:?}");
    }
    vault.stop();
    let log = rig.log();
    assert!(log.len() > 40);
    for pair in log.windows(2) {
        let (before, after) = (pair[0].0.compliance_ms, pair[1].0.compliance_ms);
        assert!(before <= after, "{:?}", pair[1].0.log_index);
    }
}

#[test]
fn c3_weeks_off_do_not_count_and_retention_ends_later() {
    let (mut rig, mut vault) = vault();
    let (version, until) = ten_days(&mut vault);
    vault.sleep(2 * DAY);
    let before = view(&mut vault).now.get();
    vault.stop();
    rig.clock_ms = START + 23 * DAY;
    rig.monotonic_ms = 1;
    let mut vault = rig.start();
    let now = view(&mut vault);
    assert!(now.now.get() - before < HOUR && now.time.wall_alarm);
    assert!(stays(&mut vault, version));
    assert!(goes_at(&mut vault, version) >= until);
}

#[test]
fn c4_compliance_time_catches_up_with_nothing_by_itself() {
    let (mut rig, mut vault) = vault();
    turns(&mut vault);
    let before = view(&mut vault).now.get();
    vault.stop();
    rig.clock_ms = START + 400 * DAY;
    let mut vault = rig.start();
    for _ in 0..365 * 2 {
        vault.turn();
        vault.sleep(12 * HOUR);
    }
    let run = view(&mut vault).now.get() - before;
    let year = 365 * DAY;
    assert!((year - HOUR..year + HOUR).contains(&run), "{run}");
}

#[test]
fn c5_dates_of_clients_lie_ahead_and_not_more_than_a_century() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let version = crate::support::locks::put(&mut vault, &object, LockWish::default(), 1);
    let at = |ms: u64| {
        Some(Retention {
            mode: Mode::Compliance,
            until: UnixMillis::new(ms),
        })
    };
    // Also while the wall clock says that it is another time.
    for wall in [START, START + 20 * YEAR, START - 20 * YEAR] {
        vault.set_wall(wall);
        for ms in [0, 1, START - DAY, START + 102 * YEAR, u64::MAX] {
            let refused = retain(&mut vault, &object, Some(version), at(ms), false);
            assert!(refused.is_err(), "{ms} at {wall}");
        }
    }
    let info = head(&mut vault, &object, Some(version)).unwrap();
    assert_eq!(info.retention, None);
    retain(&mut vault, &object, None, at(START + 99 * YEAR), false).unwrap();
}

#[test]
fn c6_a_clock_that_left_suspends_destruction_and_nothing_else() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed = put(&mut vault, &name("b", "doomed"), 1, 100, 1);
    let kept = put(&mut vault, &name("b", "kept"), 2, 300, 1);
    vault.sleep(40 * DAY);
    let rows = crate::world::census(&mut vault);
    let month = rows[0].leaf.parts().unwrap().month;
    let erase = list(&mut vault, &[doomed], Cut::Month(month), false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    vault.wall_jumps(30 * DAY);
    let suspended = |result: Result<(), Refusal>| {
        assert_eq!(result, Err(Refusal::ClockSuspends));
    };
    suspended(tombstone(&mut vault, asked, 0).map(drop));
    let again = Command::Rehome {
        request: asked,
        after: None,
    };
    suspended(vault.ask(again).map(drop));
    // Everything that destroys nothing goes on.
    let object = name("b", "new");
    let version = put_as(&mut vault, &object, 3, 300, None);
    check_content(&mut vault, &object, version, 3);
    check_content(&mut vault, &name("b", "kept"), kept, 2);
    multipart(&mut vault, &object, LockWish::default(), 4);
    vault.bucket("c", true);
    delete(&mut vault, &object, None, false).unwrap();
    set_default(
        &mut vault,
        "b",
        Some((Mode::Governance, stele_store::policy::Period::Days(1))),
    )
    .unwrap();
    let erase = list(&mut vault, &[kept], Cut::Leaves, false);
    let hold = Kind::Hold(Hold {
        nonce: stele_format::statement::Nonce([1; 16]),
        case: stele_format::digest::Digest::of(b"case"),
        scope: erase.scope,
        count: erase.count,
        by: person("anna"),
    });
    state(&mut vault, hold, &["anna"]).unwrap();
    // And when the clock is back, destruction too.
    let now = view(&mut vault).now.get();
    vault.set_wall(now);
    assert_eq!(rehome(&mut vault, asked), 1);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
}

/// The events of the clocks, as the log has them.
fn events(rig: &Rig) -> Vec<ClockEventKind> {
    let events = rig.records().into_iter().filter_map(|body| match body {
        Body::Clock(event) => Some(event.kind),
        _ => None,
    });
    events.collect()
}

#[test]
fn c8_each_event_of_the_clocks_is_in_the_log_and_alarms() {
    let (mut rig, mut vault) = founded(3);
    let now = |vault: &mut Running| view(vault).now.get();
    let far = now(&mut vault) + 20 * YEAR;
    vault.set_wall(far);
    turns(&mut vault);
    let back = now(&mut vault);
    vault.set_wall(back);
    turns(&mut vault);
    vault.set_wall(back - 20 * YEAR);
    turns(&mut vault);
    let back = now(&mut vault);
    vault.set_wall(back);
    turns(&mut vault);
    let told: Vec<bool> = vault
        .engine
        .status()
        .alarms
        .into_iter()
        .filter_map(|alarm| match alarm {
            Alarm::WallClock { left, .. } => Some(left),
            _ => None,
        })
        .collect();
    assert_eq!(told, [true, false, true, false]);
    // The box was off; people set compliance time forward.
    let ahead = now(&mut vault) + 30 * DAY;
    vault.set_wall(ahead);
    turns(&mut vault);
    let act = Act::Clock { by_hours: 29 * 24 };
    let asked = request(&mut vault, act, "sara").unwrap();
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    vault.sleep(7 * DAY);
    say(&mut vault, Verb::Execute, asked, "sara").unwrap();
    turns(&mut vault);
    vault.stop();
    let seen = events(&rig);
    assert_eq!(seen[..4], [WallLeft, WallReturned, WallLeft, WallReturned]);
    assert_eq!(seen.iter().filter(|kind| **kind == Corrected).count(), 1);
    // Also over a start with a clock that is wrong from the beginning.
    rig.clock_ms = 1;
    let mut vault = rig.start();
    turns(&mut vault);
    vault.stop();
    let after = events(&rig);
    assert_eq!(after[seen.len()..], [WallLeft], "{after:?}");
}
