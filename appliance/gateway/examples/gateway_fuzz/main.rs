//! Mutates samples of what strangers send and gives them to everything in the gateway that reads such bytes.
//!
//! `cargo run --release -p stele-gateway --example gateway_fuzz -- TARGET CASES SEED`; a case that fails is
//! printed with its number, and `TARGET CASES SEED FIRST` begins there. The memory of the process must stay
//! below [`RESIDENT_BYTES_MAX`] from beginning to end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use stele_gateway::fuzz::{TARGETS, Target};

/// Most memory the process may ever have had.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;
/// Longest input.
const INPUT_BYTES_MAX: usize = 64 << 10;
const MUTATIONS_MAX: usize = 8;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise| {
        words
            .get(at)
            .and_then(|word| word.parse().ok())
            .unwrap_or(otherwise)
    };
    let (cases, seed, first): (u64, u64, u64) = (number(1, 10_000), number(2, 1), number(3, 0));
    let name = words.first().map(String::as_str).unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("no such target; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    for case in first..first.saturating_add(cases) {
        let input = mutated(target, &mut Chance::new(seed, case));
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            eprintln!(
                "case {case} of seed {seed} failed: {}",
                input.escape_ascii()
            );
            return ExitCode::FAILURE;
        }
    }
    match resident_bytes() {
        Some(bytes) if bytes < RESIDENT_BYTES_MAX => {
            let mib = bytes >> 20;
            println!(
                "{name}: {cases} cases, none failed, at most {mib} MiB of memory; seed {seed}"
            );
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("{name}: {other:?} bytes of memory; the most is {RESIDENT_BYTES_MAX}");
            ExitCode::FAILURE
        }
    }
}

/// The most memory this process ever had, as the kernel counts it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The input of a case: the same for the same seed and number.
fn mutated(target: &Target, chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.one_of(target.samples).to_vec();
    for _ in 0..chance.below(MUTATIONS_MAX + 1) {
        mutate(&mut input, target, chance);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, target: &Target, chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    match chance.below(8) {
        0 => input.truncate(at),
        1 => {
            let noise = [chance.byte(), chance.byte(), chance.byte()];
            input.splice(at..at, noise);
        }
        2 => {
            let end = (at + chance.below(32)).min(input.len());
            input.drain(at..end);
        }
        3 => {
            // Again and again, as floods and bombs are made.
            let end = (at + 1 + chance.below(200)).min(input.len());
            let piece = input[at..end].repeat(1 + chance.below(64));
            input.splice(at..at, piece);
            input.truncate(INPUT_BYTES_MAX);
        }
        4 => {
            let other = chance.one_of(target.samples);
            let from = chance.below(other.len());
            let piece: Vec<u8> = other.iter().skip(from).take(64).copied().collect();
            input.splice(at..at, piece);
        }
        5 | 6 => {
            let word = chance.one_of(target.words).to_vec();
            input.splice(at..at, word);
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
}

/// Numbers drawn from a seed and the number of a case (SplitMix64: Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    fn new(seed: u64, case: u64) -> Self {
        Self(seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below a limit; 0 where there is none.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one_of<'a>(&mut self, list: &[&'a [u8]]) -> &'a [u8] {
        list.get(self.below(list.len()))
            .copied()
            .unwrap_or_default()
    }
}
