//! `cargo xtask fuzz`: seeded mutations of golden media against every registered decoder, and of samples against
//! everything else that reads what comes from outside.
//!
//! Needs no nightly compiler: a target is a plain function that must return on any input. A
//! failing case is told by target, seed and number, which make it again, and its input is kept.

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::rng::Rng;
use crate::suite::Ledger;
use crate::workspace::Workspace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;
use stele_format::fuzz::{TARGETS, target_of};

/// Longest input; larger golden files give a window of this size.
const INPUT_BYTES_MAX: usize = 256 << 10;
const MUTATIONS_MAX: u64 = 8;
/// A target's own files are taken this much more often than all others together.
const OWN_WEIGHT: usize = 6;

/// Numbers at which decoders go wrong.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX - 1,
    u64::MAX,
];

/// Runs every decoder of media, or the named one, each as a case of the suite.
fn cases(workspace: &Workspace, ledger: &mut Ledger, count: u64, seed: u64, only: Option<&str>) {
    let golden = match golden(&workspace.root.join("appliance/format/tests/golden")) {
        Ok(golden) => golden,
        Err(failure) => {
            ledger.case("fuzz: golden media", || Err(failure));
            return;
        }
    };
    let crashes = workspace.target.join("fuzz");
    let wanted = TARGETS
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == *name));
    for (name, target) in wanted {
        ledger.case(&format!("fuzz: {name}, {count} cases, seed {seed}"), || {
            drive(name, target, &corpus(&golden, name)?, count, seed, &crashes)
        });
    }
}

/// The target that opens whole vaults on forged journals and labels.
const REPLAY: &str = "replay";
/// For so many inputs of a decoder one vault is opened.
const DECODED_PER_REPLAY: u64 = 100;

/// Opens forged vaults, unless another target is named.
fn replay(workspace: &Workspace, ledger: &mut Ledger, decoded: u64, seed: u64, only: Option<&str>) {
    if only.is_some_and(|only| only != REPLAY) {
        return;
    }
    let count = decoded.div_ceil(DECODED_PER_REPLAY);
    ledger.case(
        &format!("fuzz: {REPLAY}, {count} vaults, seed {seed}"),
        || {
            let example = [
                "run",
                "--quiet",
                "--release",
                "-p",
                "stele-store",
                "--example",
                "replay_fuzz",
            ];
            let run = workspace.cargo(&example);
            run.args(["--".to_owned(), count.to_string(), seed.to_string()])
                .stream()
        },
    );
}

/// Programs that run targets in a process of their own, whose memory is bounded, and their targets.
const PROGRAMS: [(Program, &[&str]); 4] = [
    (Program::Gateway, &["http", "sigv4", "chunked", "xml"]),
    (
        Program::Texts,
        &[
            "checkpoint",
            "receipt",
            "certificate",
            "key",
            "statement",
            "sshsig",
        ],
    ),
    (Program::Witness, &["consistency"]),
    (
        Program::Daemon,
        &[
            "link",
            "control",
            "control-reply",
            "vault-json",
            "clients",
            "pem",
        ],
    ),
];

/// A program that runs targets.
#[derive(Debug, Clone, Copy)]
enum Program {
    /// What the gateway reads of strangers.
    Gateway,
    /// Texts and signatures that people hand over.
    Texts,
    /// What a witness is brought.
    Witness,
    /// What the engine's process reads: a test of it, since a program's own code is in no library.
    Daemon,
}

impl Program {
    /// The program with words for it.
    fn command(self, workspace: &Workspace, words: &[&str]) -> Outcome<Run> {
        match self {
            // With the whole workspace, so that the S3 library is not compiled once more with other features.
            Self::Gateway => {
                let example = "gateway_fuzz";
                let build = ["build", "--release", "--workspace", "--example", example];
                workspace.cargo(&build).stream()?;
                let program = workspace.target.join("release/examples").join(example);
                Ok(Run::new(program).args(words))
            }
            Self::Texts => Ok(example(workspace, "stele-format", "text_fuzz", words)),
            Self::Witness => Ok(example(workspace, "stele-witness", "witness_fuzz", words)),
            Self::Daemon => {
                let test = ["test", "--quiet", "--release", "--workspace", "--bin"];
                let one = [
                    "stele",
                    "--",
                    "--exact",
                    "fuzz::readers_hold",
                    "--nocapture",
                ];
                let run = workspace.cargo(&test).args(one);
                Ok(run.env("STELE_FUZZ", words.join(" ")))
            }
        }
    }

    fn run(self, workspace: &Workspace, words: &[&str]) -> Outcome {
        let run = self.command(workspace, words)?;
        match self {
            Self::Gateway | Self::Texts | Self::Witness => run.stream(),
            Self::Daemon => {
                let finished = run.deadline(DEADLINE).finish()?;
                // In full: the number of a case that failed stands before all its bytes.
                println!("{}\n{}", finished.stdout.trim(), finished.stderr.trim());
                finished.expect_success()?;
                ran_one(&finished.stdout)
            }
        }
    }

    /// Fails unless the program has the targets that are named here, and no other.
    fn has(self, workspace: &Workspace, named: &[&str]) -> Outcome {
        let run = self.command(workspace, &[NAMES])?;
        let said = run.deadline(DEADLINE).succeed()?;
        if matches!(self, Self::Daemon) {
            ran_one(&said)?;
        }
        same_targets(named, &said)
    }
}

/// Of a run whose output is read before it is shown; with what must be compiled for it.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// Has a program say which targets it has: a line each, that begins with [`NAME_MARK`].
const NAMES: &str = "names";
const NAME_MARK: &str = "target ";

/// A test runner is content with a test that is not there.
fn ran_one(said: &str) -> Outcome {
    ensure(said.contains("test result: ok. 1 passed;"), || {
        format!("not one test ran: {said}")
    })
}

fn same_targets(named: &[&str], said: &str) -> Outcome {
    let mut there: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix(NAME_MARK))
        .collect();
    let mut named = named.to_vec();
    named.sort_unstable();
    there.sort_unstable();
    ensure(named == there, || {
        format!("PROGRAMS names {named:?}, and the program has {there:?}")
    })
}

fn example(workspace: &Workspace, package: &str, name: &str, words: &[&str]) -> Run {
    let run = ["run", "--quiet", "--release", "-p", package, "--example"];
    let run = workspace.cargo(&run).args([name, "--"]);
    run.args(words)
}

/// Runs the targets of all programs, or the named one.
fn programs(workspace: &Workspace, ledger: &mut Ledger, count: u64, seed: u64, only: Option<&str>) {
    for (program, targets) in PROGRAMS {
        if only.is_none() {
            let name = format!("fuzz: {program:?} has no target that is not run");
            ledger.case(&name, || program.has(workspace, targets));
        }
        for name in targets {
            if only.is_some_and(|only| only != *name) {
                continue;
            }
            ledger.case(&format!("fuzz: {name}, {count} cases, seed {seed}"), || {
                let (count, seed) = (count.to_string(), seed.to_string());
                program.run(workspace, &[name, &count, &seed])
            });
        }
    }
}

/// Runs every target, or the named one.
pub fn run(workspace: &Workspace, ledger: &mut Ledger, count: u64, seed: u64, only: Option<&str>) {
    cases(workspace, ledger, count, seed, only);
    replay(workspace, ledger, count, seed, only);
    programs(workspace, ledger, count, seed, only);
}

/// The names that can be chosen.
pub fn names() -> Vec<&'static str> {
    let decoders = TARGETS.iter().map(|(name, _)| *name);
    let others = PROGRAMS.iter().flat_map(|(_, targets)| targets.iter());
    decoders.chain([REPLAY]).chain(others.copied()).collect()
}

/// A golden file: its name and content.
type Golden = (String, Vec<u8>);

/// All golden media below a directory.
fn golden(directory: &Path) -> Outcome<Vec<Golden>> {
    let mut files = Vec::new();
    collect(directory, &mut files)?;
    ensure(!files.is_empty(), || {
        format!("{} holds no files", directory.display())
    })?;
    Ok(files)
}

fn collect(directory: &Path, out: &mut Vec<Golden>) -> Outcome {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Failure::path("cannot read", directory, &error))?;
    let mut paths = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, out)?;
        } else {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            out.push((name, std::fs::read(&path)?));
        }
    }
    Ok(())
}

/// What one target starts from: its own files, each several times, and a few of the others.
fn corpus(golden: &[Golden], target: &str) -> Outcome<Vec<Vec<u8>>> {
    let is_own = |name: &str| target_of(name).is_some_and(|(owner, _)| owner == target);
    let (own, other): (Vec<&Golden>, Vec<&Golden>) =
        golden.iter().partition(|(name, _)| is_own(name));
    ensure(!own.is_empty(), || {
        format!("no golden file starts with {target}")
    })?;
    let weight = 1 + OWN_WEIGHT * other.len() / own.len();
    let own = own.iter().cycle().take(own.len() * weight);
    let mut files: Vec<Vec<u8>> = own.chain(&other).map(|(_, bytes)| bytes.clone()).collect();
    // Nothing at all is an input too.
    files.push(Vec::new());
    Ok(files)
}

/// One target through all its cases.
fn drive(
    name: &str,
    target: impl Fn(&[u8]),
    corpus: &[Vec<u8>],
    count: u64,
    seed: u64,
    crashes: &Path,
) -> Outcome {
    let hook = std::panic::take_hook();
    // The first panic ends the target and is told once, below.
    std::panic::set_hook(Box::new(|_| {}));
    let failed = (0..count).find_map(|case| {
        let input = mutated(corpus, seed, case);
        let panic = catch_unwind(AssertUnwindSafe(|| target(&input))).err()?;
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Some((case, input, said.unwrap_or_default()))
    });
    std::panic::set_hook(hook);
    let Some((case, input, said)) = failed else {
        return Ok(());
    };
    std::fs::create_dir_all(crashes)?;
    let file = crashes.join(format!("{name}-{seed}-{case}"));
    std::fs::write(&file, &input)?;
    let bytes = input.len();
    Err(Failure::new(format!(
        "case {case} of seed {seed} panicked: {said}; its {bytes} bytes are in {}",
        file.display()
    )))
}

/// The input of a case: the same for the same corpus, seed and number.
fn mutated(corpus: &[Vec<u8>], seed: u64, case: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let source = &corpus[rng.index(corpus.len())];
    let mut input = window(source, &mut rng);
    for _ in 0..rng.below(MUTATIONS_MAX + 1) {
        mutate(&mut input, corpus, &mut rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

/// Whole when short, else a window that starts at a block, where structures start.
fn window(source: &[u8], rng: &mut Rng) -> Vec<u8> {
    let blocks = source.len() / 4096;
    let start = if rng.percent(60) || blocks == 0 {
        0
    } else {
        rng.index(blocks) * 4096
    };
    let length = if rng.percent(50) {
        4096
    } else {
        INPUT_BYTES_MAX
    };
    source[start..].iter().copied().take(length).collect()
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.index(input.len().max(1));
    match rng.below(8) {
        0 => input.truncate(at),
        1 => input.extend(std::iter::repeat_n(0, at.min(4096))),
        2 => {
            let bytes = rng.below(17);
            let noise = rng.bytes(usize::try_from(bytes).unwrap_or(0));
            input.splice(at..at, noise);
        }
        3 => {
            let end = (at + rng.index(64)).min(input.len());
            input.drain(at.min(end)..end);
        }
        4 => {
            let other = &corpus[rng.index(corpus.len())];
            let from = rng.index(other.len().max(1));
            let piece: Vec<u8> = other.iter().skip(from).take(512).copied().collect();
            overwrite(input, at, &piece);
        }
        5 => {
            let width = [1, 2, 4, 8][rng.index(4)];
            let number = EDGES[rng.index(EDGES.len())].to_le_bytes();
            overwrite(input, at, &number[..width]);
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, piece: &[u8]) {
    for (byte, new) in input.iter_mut().skip(at).zip(piece) {
        *byte = *new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<Vec<u8>> {
        vec![b"STELE golden".repeat(50), Vec::new(), vec![0; 10_000]]
    }

    #[test]
    fn a_case_can_be_made_again() {
        let corpus = example();
        for case in 0..200 {
            assert_eq!(mutated(&corpus, 5, case), mutated(&corpus, 5, case));
        }
        let differ = (0..200).filter(|c| mutated(&corpus, 5, *c) != mutated(&corpus, 6, *c));
        assert!(differ.count() > 100);
    }

    #[test]
    fn every_target_has_golden_files_and_starts_mostly_from_them() {
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where");
        let root = Path::new(&package).join("../../appliance/format/tests/golden");
        let golden = golden(&root).unwrap();
        for (name, _) in TARGETS {
            let files = corpus(&golden, name).unwrap();
            let own = |bytes: &&Vec<u8>| {
                let owner = golden.iter().find(|(_, known)| known == *bytes);
                owner.is_some_and(|(file, _)| target_of(file).is_some_and(|(t, _)| t == *name))
            };
            let count = files.iter().filter(own).count();
            assert!(
                count * 2 > files.len(),
                "{name}: {count} of {}",
                files.len()
            );
        }
    }

    #[test]
    fn a_test_that_is_not_there_is_no_run() {
        let said = |passed: u32| {
            format!(
                "running {passed} tests\n\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 81 filtered out\n"
            )
        };
        assert!(ran_one(&said(1)).is_ok());
        for passed in [0, 2, 11] {
            assert!(ran_one(&said(passed)).is_err(), "{passed}");
        }
        assert!(ran_one("").is_err());
    }

    #[test]
    fn a_program_has_just_the_targets_that_are_named() {
        let said = "\nrunning 1 test\ntarget two\ntarget one\n.\n";
        assert!(same_targets(&["one", "two"], said).is_ok());
        for named in [&["one"][..], &["one", "two", "three"], &[]] {
            assert!(same_targets(named, said).is_err(), "{named:?}");
        }
        assert!(same_targets(&["one"], "").is_err());
    }

    /// The driver must be able to fail: a target with a planted fault is found.
    #[test]
    fn the_canary_dies() {
        let directory = std::env::temp_dir().join(format!("stele-canary-{}", std::process::id()));
        let canary = |input: &[u8]| {
            let planted = input.starts_with(b"STELE") && input.get(7).is_some_and(|b| *b > 200);
            assert!(!planted, "planted");
        };
        let found = drive("canary", canary, &example(), 50_000, 1, &directory);
        let text = found
            .expect_err("the planted fault was not found")
            .to_string();
        assert!(text.contains("planted"), "{text}");
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(drive("calm", |_: &[u8]| {}, &example(), 1000, 1, &directory).is_ok());
    }
}
