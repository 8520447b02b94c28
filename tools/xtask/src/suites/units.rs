//! Every unit, integration and documentation test of the workspace, and the smoke forms of fuzzing and
//! of the benchmark.
//!
//! In the release profile, because that build is needed anyway and the largest dependency takes
//! minutes; overflow checks are on there.

use crate::bench::figures;
use crate::command::wait;
use crate::failure::{Failure, Outcome, ensure};
use crate::fuzz;
use crate::install;
use crate::suite::{Closed, Ledger, Tally};
use crate::workspace::Workspace;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(45 * 60);
/// Fuzz cases per target in the smoke form.
const SMOKE_CASES: u64 = 20_000;
const SMOKE_SEED: u64 = 1;

/// Runs the suite.
pub fn run(workspace: &Workspace) -> Closed {
    let mut ledger = Ledger::open("units", workspace.ci);
    // The tests themselves say what they skip, and fail on a CI machine.
    for (what, tool) in [
        ("the key provider over a TPM", install::SWTPM),
        ("the evil disk with a foreign client", install::QEMU_IO),
        ("signatures of OpenSSH", install::SSH_KEYGEN),
    ] {
        if let Err(failure) = install::require(&[tool]) {
            println!("the tests of {what} are skipped: {failure}");
        }
    }
    match cargo_test(workspace) {
        Ok(tally) => {
            if tally.skipped > 0 {
                println!(
                    "skipped {} tests marked #[ignore] or ignored by rustdoc",
                    tally.skipped
                );
            }
            ledger.add(tally);
        }
        Err(failure) => {
            ledger.case("cargo test", || Err(failure));
        }
    }
    fuzz::run(workspace, &mut ledger, SMOKE_CASES, SMOKE_SEED, None);
    ledger.case("figures: every part of the benchmark runs", || {
        figures::smoke(workspace)
    });
    ledger.close()
}

/// Runs `cargo test` and counts; fails when it could not run everything.
fn cargo_test(workspace: &Workspace) -> Outcome<Tally> {
    let arguments = ["test", "--release", "--workspace", "--no-fail-fast"];
    let mut command = workspace.cargo(&arguments).into_command();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| Failure::new("no output pipe"))?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        match summary(&line) {
            Some(part) => {
                tally.passed += part.passed;
                tally.failed += part.failed;
                tally.skipped += part.skipped;
            }
            None if is_noise(&line) => {}
            None => println!("{line}"),
        }
    }
    let status = wait(&mut child, DEADLINE)?.ok_or_else(|| Failure::new("cargo test hung"))?;
    ensure(status.success() || tally.failed > 0, || {
        format!("cargo test ended with {status} although no test failed: it did not build")
    })?;
    Ok(tally)
}

fn is_noise(line: &str) -> bool {
    let passed = line.starts_with("test ") && (line.ends_with(" ok") || line.contains(" ignored"));
    let should_panic = line.starts_with("test ") && line.ends_with("should panic ... ok");
    let count = line.starts_with("running ") && line.contains(" test");
    line.trim().is_empty() || passed || should_panic || count
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
fn summary(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        counts
            .split("; ")
            .find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok())
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runner_summaries_are_read() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered \
                    out; finished in 0.01s";
        assert_eq!(
            summary(line),
            Some(Tally {
                passed: 12,
                failed: 1,
                skipped: 2
            })
        );
        assert_eq!(summary("test a ... ok"), None);
    }

    #[test]
    fn failures_are_not_noise() {
        assert!(is_noise("test a::b ... ok"));
        assert!(is_noise("running 3 tests"));
        assert!(!is_noise("test a::b ... FAILED"));
        assert!(!is_noise("thread 'a' panicked at src/a.rs:1:1:"));
    }
}
