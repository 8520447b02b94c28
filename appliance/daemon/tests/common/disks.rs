//! Vaults whose disks are lost and come back: what they hold, and what is said of them.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::s3::Client;
use super::{DISK, Place, Server, succeed, text};

/// Bodies in the journal frame, of one chunk, and of several.
const SIZES: [usize; 4] = [10, 100_000, 1_000_000, 5_000_000];

pub fn content(seed: usize, bytes: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at.wrapping_mul(31) >> 3).wrapping_add(seed * 7) % 251);
    (0..bytes).map(|at| byte(at).expect("below 251")).collect()
}

/// Stores the objects of one round.
pub fn put_round(client: &Client, round: usize) {
    for (number, bytes) in SIZES.into_iter().enumerate() {
        let seed = 10 * round + number;
        client.put(&format!("/data/k{seed}"), &content(seed, bytes));
    }
}

/// Reads the objects of so many rounds.
pub fn check_rounds(client: &Client, rounds: usize) {
    for round in 0..rounds {
        for (number, bytes) in SIZES.into_iter().enumerate() {
            let seed = 10 * round + number;
            let got = client.get(&format!("/data/k{seed}"));
            assert!(got == content(seed, bytes), "object {seed}");
        }
    }
}

/// Content that takes a while to fill a disk with.
pub const LARGE: usize = 24;

pub fn put_large(client: &Client, count: usize) {
    for number in 0..count {
        client.put(&format!("/data/large{number}"), &content(number, 4 << 20));
    }
}

pub fn check_large(client: &Client, count: usize) {
    for number in 0..count {
        let got = client.get(&format!("/data/large{number}"));
        assert!(got == content(number, 4 << 20), "object {number}");
    }
}

/// A vault that holds one round, stopped.
pub fn filled() -> Place {
    filled_of(DISK)
}

pub fn filled_of(disk_bytes: &str) -> Place {
    let place = Place::with_disks_of(disk_bytes);
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    client.put("/data", b"");
    put_round(&client, 0);
    assert!(server.end(Signal::SIGTERM).success());
    place
}

pub fn disk_verb(place: &Place, verb: &str, more: &[&str]) -> String {
    let vault = text(&place.vault);
    succeed(&[&["disk", verb, "--vault", vault], more].concat())
}

/// The command the status asks for that begins so, run as printed, with a path in the place of `PATH`.
pub fn run_next(status: &Value, begins: &str, path: &Path) {
    let steps = status["next"].as_array().expect("a list");
    let commands: Vec<&str> = steps
        .iter()
        .filter_map(|step| step["command"].as_str())
        .collect();
    let command = commands
        .iter()
        .find(|command| command.starts_with(begins))
        .unwrap_or_else(|| panic!("{begins} is not among {commands:?}"));
    let words = command.replace("PATH", text(path));
    let words: Vec<&str> = words.split(' ').collect();
    assert_eq!(words[0], "stele");
    succeed(&words[1..]);
}

pub fn is_ok(status: &Value) -> bool {
    let all = |disk: &Value| disk["health"] == "ok";
    status["state"] == "ok" && status["disks"].as_array().expect("a list").iter().all(all)
}

/// Waits until every disk takes part, and what is on those that came back is known.
pub fn wait_until_ok(place: &Place) -> Value {
    place.wait_for("every disk takes part", |status| {
        let reasons = status["reasons"].as_array();
        is_ok(status) && reasons.is_none_or(Vec::is_empty)
    })
}

/// What an operator reads: the line of the pool, and what is to be done next.
pub fn told(place: &Place) -> (String, Vec<String>) {
    let said = succeed(&["status", "--vault", text(&place.vault)]);
    let of = |word: &str| -> Vec<String> {
        let lines = said.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|line| line.trim_start().to_owned()).collect()
    };
    (of("pool ").concat(), of("next "))
}

/// How a disk is named that has no serial number.
pub fn by_id(status: &Value, number: usize) -> String {
    let id = status["disks"][number - 1]["id"].as_str();
    format!("disk {number} ({})", id.expect("an identity"))
}

/// Every object is read as it was stored, or refused with what is wrong; how many are read.
pub fn read_or_refused(client: &Client) -> usize {
    let small = SIZES.into_iter().enumerate();
    let small = small.map(|(seed, bytes)| (format!("/data/k{seed}"), content(seed, bytes)));
    let large = (0..LARGE).map(|seed| (format!("/data/large{seed}"), content(seed, 4 << 20)));
    let mut read = 0;
    for (path, stored) in small.chain(large) {
        let reply = client.request("GET", &path, &[], b"");
        match reply.status {
            200 if reply.body == stored => read += 1,
            // It broke off where a piece was on no disk.
            200 => assert!(
                reply.body.len() < stored.len() && stored.starts_with(&reply.body),
                "{path} has other bytes"
            ),
            _ => {
                let text = reply.text();
                assert!(text.contains("on any present disk"), "{path}: {text}");
            }
        }
    }
    read
}

/// Nothing is written, and why is told to operator and client.
pub fn assert_reads_only(place: &Place, client: &Client, lack: &str, missing: &[usize]) {
    let status = place.status();
    let wanted: Vec<String> = missing
        .iter()
        .map(|number| by_id(&status, *number))
        .collect();
    let why = format!("; plug in {}", wanted.join(", "));
    let vault = text(&place.vault);
    let steps = missing.iter().map(|number| {
        format!(
            "plug disk {number} in again at {vault}/disk{number}.disk, stop the vault, and start it: \
             stele serve --vault {vault}"
        )
    });
    let (pool, mut next) = told(place);
    let begins = pool.starts_with("readonly: the vault is read-only: ");
    assert!(
        begins && pool.contains(lack) && pool.ends_with(&why),
        "{pool}"
    );
    let last = next.pop().expect("a last resort");
    assert!(last.starts_with("nobody can force it open"), "{last}");
    assert_eq!(next, steps.collect::<Vec<_>>());
    let late = client.request("PUT", "/data/late", &[], b"late");
    assert_eq!(late.outcome(), (503, "ServiceUnavailable".to_owned()));
    assert!(late.text().contains(&why), "{}", late.text());
}
