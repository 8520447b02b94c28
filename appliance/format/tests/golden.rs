//! Golden media: small files, one per rule, named by their disease.
//!
//! The files are the specification's test vectors, so each is read from disk and its exact outcome
//! compared; and each must still be what the samples produce. With `STELE_GOLDEN_REGENERATE=1`
//! they are written anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stele_format::fuzz::{self, Mutator};
use support::cases::{Case, cases};
use support::outcome::outcome;

fn folder(valid: bool) -> PathBuf {
    let name = if valid { "valid" } else { "invalid" };
    // At run time: a build may be shared by checkouts.
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/golden")
        .join(name)
}

fn path(case: &Case) -> PathBuf {
    folder(case.expected.is_ok()).join(format!("{}.bin", case.name))
}

fn target(name: &str) -> &'static str {
    if name == "segment" || name.starts_with("segment-sealed") {
        return "segment";
    }
    fuzz::target_of(name)
        .unwrap_or_else(|| panic!("{name} belongs to no target"))
        .0
}

fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    [true, false]
        .into_iter()
        .flat_map(|valid| fs::read_dir(folder(valid)).unwrap())
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn regenerate(cases: &[Case]) {
    for valid in [true, false] {
        let folder = folder(valid);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
    }
    cases
        .iter()
        .for_each(|case| fs::write(path(case), &case.bytes).unwrap());
}

#[test]
fn each_golden_file_has_exactly_its_outcome() {
    let cases = cases();
    if std::env::var_os("STELE_GOLDEN_REGENERATE").is_some_and(|value| value == "1") {
        regenerate(&cases);
    }
    let mut files = files();
    let mut wrong = Vec::new();
    for case in &cases {
        let Some(bytes) = files.remove(&path(case)) else {
            wrong.push(format!("{}: no file", case.name));
            continue;
        };
        if bytes != case.bytes {
            wrong.push(format!(
                "{}: the file is not what the samples produce",
                case.name
            ));
        }
        let found = outcome(target(&case.name), &bytes);
        if found != case.expected {
            wrong.push(format!(
                "{}: {:?}, found {found:?}",
                case.name, case.expected
            ));
        }
    }
    wrong.extend(
        files
            .into_keys()
            .map(|path| format!("{}: no case", path.display())),
    );
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_decoder_has_a_valid_and_an_invalid_file() {
    let cases = cases();
    for (name, _) in fuzz::TARGETS {
        for valid in [true, false] {
            let found = cases
                .iter()
                .any(|case| target(&case.name) == *name && case.expected.is_ok() == valid);
            assert!(found, "{name}: no file with valid = {valid}");
        }
    }
}

#[test]
fn decoders_hold_for_mutated_golden_files() {
    let mut corpora: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for Case { name, bytes, .. } in cases() {
        if let Some((target, run)) = fuzz::target_of(&name).filter(|_| target(&name) != "segment") {
            run(&bytes);
            corpora.entry(target).or_default().push(bytes);
        }
    }
    let mut mutator = Mutator::new(20_260_101);
    for (name, run) in fuzz::TARGETS {
        let corpus = corpora
            .get(name)
            .unwrap_or_else(|| panic!("{name}: no golden files"));
        let rounds = if *name == "label-copy" { 100 } else { 1400 };
        (0..rounds).for_each(|_| run(&mutator.mutate(corpus)));
    }
}
