//! Mutates what readers understand and gives it to them: the part that every program of this kind has in common.
//!
//! A case that fails is printed with its number; the same target, cases and seed with the number behind them begin
//! there. The memory of the process must stay below [`RESIDENT_BYTES_MAX`] from beginning to end.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Most memory the process may ever have had.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;
/// Longest input.
const INPUT_BYTES_MAX: usize = 64 << 10;
const MUTATIONS_MAX: usize = 8;

/// Numbers at which readers go wrong.
const EDGES: [&str; 9] = [
    "0",
    "1",
    "-1",
    "00",
    "65536",
    "4294967296",
    "4611686018427387905",
    "18446744073709551615",
    "18446744073709551616",
];

/// A reader, what it starts from, and words that are put in on the way.
pub struct Reader {
    /// Its name.
    pub name: &'static str,
    /// Reads one input; panics where something does not hold.
    pub run: fn(&[u8]),
    /// Inputs that it understands.
    pub samples: Vec<Vec<u8>>,
    /// Words of its language.
    pub words: &'static [&'static [u8]],
}

/// The word that asks which targets there are.
pub const NAMES: &str = "names";

/// A line for each target, as the word [`NAMES`] has them printed.
pub fn names(readers: &[Reader]) -> String {
    let line = |reader: &Reader| format!("target {}\n", reader.name);
    readers.iter().map(line).collect()
}

/// Runs the target that the words of the command line name: `TARGET CASES SEED [FIRST]`, or names all: `names`.
pub fn main(readers: &[Reader]) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == [NAMES] {
        print!("{}", names(readers));
        return ExitCode::SUCCESS;
    }
    let number = |at: usize, otherwise| {
        words
            .get(at)
            .and_then(|word| word.parse().ok())
            .unwrap_or(otherwise)
    };
    let (cases, seed, first): (u64, u64, u64) = (number(1, 10_000), number(2, 1), number(3, 0));
    let name = words.first().map(String::as_str).unwrap_or_default();
    let Some(reader) = readers.iter().find(|reader| reader.name == name) else {
        let names: Vec<&str> = readers.iter().map(|reader| reader.name).collect();
        eprintln!("no such target; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    match bounded(reader, first..first.saturating_add(cases), seed) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(told) => {
            eprintln!("{told}");
            ExitCode::FAILURE
        }
    }
}

/// Gives a reader so many cases; what failed, in words.
pub fn drive(reader: &Reader, cases: Range<u64>, seed: u64) -> Result<(), String> {
    for case in cases {
        let input = mutated(reader, &mut Chance::new(seed, case));
        if catch_unwind(AssertUnwindSafe(|| (reader.run)(&input))).is_err() {
            let (name, input) = (reader.name, input.escape_ascii());
            return Err(format!(
                "{name}: case {case} of seed {seed} failed: {input}"
            ));
        }
    }
    Ok(())
}

/// The same in a process that does nothing else and must need little memory; what came of it, in words.
pub fn bounded(reader: &Reader, cases: Range<u64>, seed: u64) -> Result<String, String> {
    let (name, count) = (reader.name, cases.end - cases.start);
    drive(reader, cases, seed)?;
    match resident_bytes() {
        Some(bytes) if bytes < RESIDENT_BYTES_MAX => {
            let mib = bytes >> 20;
            Ok(format!(
                "{name}: {count} cases, none failed, at most {mib} MiB of memory; seed {seed}"
            ))
        }
        other => Err(format!(
            "{name}: {other:?} bytes of memory; the most is {RESIDENT_BYTES_MAX}"
        )),
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
fn mutated(reader: &Reader, chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.one_of(&reader.samples).clone();
    for _ in 0..chance.below(MUTATIONS_MAX + 1) {
        mutate(&mut input, reader, chance);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, reader: &Reader, chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    match chance.below(11) {
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
            let other = chance.one_of(&reader.samples);
            let from = chance.below(other.len());
            let piece: Vec<u8> = other.iter().skip(from).take(64).copied().collect();
            input.splice(at..at, piece);
        }
        5 | 6 if !reader.words.is_empty() => {
            let word = chance.one_of(reader.words).to_vec();
            input.splice(at..at, word);
        }
        7 => {
            let other: &Vec<u8> = chance.one_of(&reader.samples);
            lines(input, other, chance);
        }
        8 => number(input, at, chance),
        9 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = *chance.one_of(&[0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff]);
            }
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
}

/// One line goes, comes twice, goes elsewhere, or is one of another sample.
fn lines(input: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let split = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    };
    let mut all = split(input);
    let (at, to) = (chance.below(all.len()), chance.below(all.len() + 1));
    if all.is_empty() {
        return;
    }
    match chance.below(4) {
        0 => drop(all.remove(at)),
        1 => all.insert(to, all[at].clone()),
        2 => {
            let line = all.remove(at);
            all.insert(to.min(all.len()), line);
        }
        _ => all.insert(to, chance.one_of(&split(other)).clone()),
    }
    *input = all.concat();
}

/// The next number in the text is another one.
fn number(input: &mut Vec<u8>, at: usize, chance: &mut Chance) {
    let digits = |from: usize, is: bool| {
        let rest = input.iter().skip(from);
        let until = rest.take_while(|byte| byte.is_ascii_digit() == is).count();
        from + until
    };
    let start = digits(at, false);
    let end = digits(start, true);
    let edge = chance.one_of(&EDGES).bytes();
    input.splice(start..end, edge);
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

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}
