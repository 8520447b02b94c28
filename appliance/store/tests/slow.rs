//! A disk that hangs: readers and writers go on with the others, and it is put out only when it does
//! not come back.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use support::{Rig, Running, content, name};

/// Inline, one chunk, several chunks.
const SIZES: [usize; 3] = [1000, 300_000, 3_000_000];

fn put_all(vault: &mut Running, round: usize) {
    for (number, bytes) in SIZES.into_iter().enumerate() {
        let seed = 10 * round + number;
        vault.put(&name("b", &format!("k{seed}")), &content(seed, bytes));
    }
}

fn check_all(vault: &mut Running, rounds: usize) {
    for round in 0..rounds {
        for (number, bytes) in SIZES.into_iter().enumerate() {
            let seed = 10 * round + number;
            let got = vault
                .get(&name("b", &format!("k{seed}")), None, None)
                .unwrap();
            assert!(got == content(seed, bytes), "object {seed}");
        }
    }
}

/// The pool in one word.
fn state(vault: &Running) -> &'static str {
    vault.engine.status().state.word()
}

#[test]
fn reads_go_to_another_copy_when_a_disk_hangs() {
    for hung in 0..3 {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        put_all(&mut vault, 0);
        let handle = rig.handles[hung].clone().unwrap();
        handle.hang(true);
        (0..3).for_each(|_| check_all(&mut vault, 1));
        handle.hang(false);
        check_all(&mut vault, 1);
        assert_eq!(state(&vault), "ok", "a short hang costs nobody a place");
        vault.stop();
    }
}

#[test]
fn writes_go_on_without_a_disk_that_hangs_and_it_keeps_its_place_if_it_comes_back() {
    for (hung, missing) in [(0, 1), (1, 2), (2, 0), (2, 1)] {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        put_all(&mut vault, 0);
        let handle = rig.handles[hung].clone().unwrap();
        handle.hang(true);
        put_all(&mut vault, 1);
        assert_eq!(state(&vault), "ok");
        handle.hang(false);
        put_all(&mut vault, 2);
        check_all(&mut vault, 3);
        vault.until("the disk catches up", |engine| engine.is_idle());
        vault.stop();
        // Whatever the disk that hung lacks, another one still has.
        rig.handles[missing] = None;
        check_all(&mut rig.start(), 3);
    }
}

#[test]
fn a_disk_that_never_answers_again_is_put_out() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    rig.handles[1].as_ref().unwrap().hang(true);
    put_all(&mut vault, 0);
    vault.until("it is put out", |engine| {
        engine.status().state.word() == "degraded"
    });
    put_all(&mut vault, 1);
    check_all(&mut vault, 2);
}
