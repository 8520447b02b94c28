//! The audit of whole disks: what is read from them, what damage does to it, and the program itself.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use stele_format::label::VaultFlags;
use stele_format::record::LockMode;
use stele_inspect::audit::audit;
use stele_inspect::audit::finding::Breach;
use stele_inspect::audit::report::AuditReport;
use stele_inspect::audit::text::text;
use support::people::{Book, DAY, HOUR, STAFF};
use support::{Vault, check};

/// A vault with a lawful destruction of two of 300 versions; with `unlawful` also one that nobody approved.
fn book(unlawful: bool) -> Book {
    let mut book = Book::keeping(VaultFlags::SINGLE_DISK);
    book.found(&STAFF, &[]);
    let versions = book.crowd(300);
    book.locked(LockMode::Compliance, 400 * DAY);
    book.put_case("olga", "case 7", &versions[9..11]);
    let act = book.erase_act(&versions[..2]);
    let asked = book.through("olga", &["anna"], act, 73 * HOUR);
    book.tombstone(&asked, &versions[..2]);
    book.destroyed(asked.index, 7);
    if unlawful {
        let act = book.erase_act(&versions[4..6]);
        let asked = book.ask("olga", act);
        book.tombstone(&asked, &versions[4..6]);
    }
    book
}

fn of(vault: &Vault) -> AuditReport {
    audit(&vault.sources(), Duration::ZERO).unwrap()
}

#[test]
fn what_is_read_from_disks_is_what_was_written() {
    for unlawful in [false, true] {
        let book = book(unlawful);
        let vault = book.write(3);
        check::check("written", &vault, &[]);
        let expected = book.report();
        let found = of(&vault);
        assert_eq!(found.verdict, u8::from(unlawful));
        assert_eq!(found.log_size, vault.log.next_index().get());
        assert_eq!(
            found.log_root,
            Some(vault.log.frontier().root().to_string())
        );
        let judged = |report: &AuditReport| {
            let mut value = serde_json::to_value(report).unwrap();
            for key in ["disks", "notes", "pool", "log_size", "log_root"] {
                value.as_object_mut().unwrap().remove(key);
            }
            value
        };
        assert_eq!(judged(&found), judged(&expected));
    }
}

#[test]
fn a_damaged_copy_changes_the_verdict_and_not_the_judgement() {
    let mut vault = book(false).write(3);
    let at = vault.segments.values().next().unwrap().frame_at(0);
    vault.flip(1, at + 300);
    let found = of(&vault);
    assert_eq!(
        (found.verdict, found.unlawful.len(), found.records_missing),
        (1, 0, false)
    );
    assert_eq!(found.damage.len(), 1);
    assert_eq!(found.destructions.len(), 1);
}

#[test]
fn behind_a_frame_that_is_lost_everywhere_things_are_undecided() {
    let mut vault = book(true).write(1);
    let units = stele_format::units::UnitIndex::new(0);
    let start = support::geometry().unit_offset(units).unwrap().get();
    // The second frame of the first segment.
    let first = usize::try_from(start).unwrap() + 4096;
    let length = u32::from_le_bytes(vault.images[0][first + 72..first + 76].try_into().unwrap());
    vault.flip(0, first + length as usize + 1000);
    let found = of(&vault);
    assert_eq!(found.verdict, 1);
    assert!(found.records_missing && !found.damage.is_empty());
    assert!(found.unlawful.is_empty(), "{:#?}", found.unlawful);
    assert!(
        found
            .undecided
            .iter()
            .any(|line| line.name == "tombstone-unapproved")
    );
}

#[test]
fn without_the_disks_that_hold_the_log_nothing_is_judged() {
    let mut book = book(false);
    book.locked(LockMode::None, 0);
    let mut vault = book.write(1);
    for image in &mut vault.images {
        image.fill(0);
    }
    let found = of(&vault);
    assert_eq!(found.verdict, 2);
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stele-inspect"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stored(vault: &Vault, directory: &Path) {
    for (number, image) in vault.images.iter().enumerate() {
        fs::write(directory.join(format!("{number}.disk")), image).unwrap();
    }
}

#[test]
fn h4_the_program_verifies_a_vault_after_a_destruction_with_no_key_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    stored(&book(false).write(3), directory.path());
    let path = directory.path().to_str().unwrap();
    let audited = run(&["audit", path]);
    let text = String::from_utf8(audited.stdout).unwrap();
    assert!(text.contains("Destructions"), "{text}");
    let verified = run(&["verify", path]);
    assert_eq!(verified.status.code(), Some(0));
}

#[test]
fn the_program_says_it_by_exit_status_text_and_json() {
    for unlawful in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        stored(&book(unlawful).write(2), directory.path());
        let path = directory.path().to_str().unwrap();
        let text = run(&["audit", path]);
        let code = i32::from(unlawful);
        assert_eq!(text.status.code(), Some(code));
        let text = String::from_utf8(text.stdout).unwrap();
        let last = text.lines().last().unwrap();
        let said = if unlawful {
            "verdict 1: 1 things in this log are UNLAWFUL"
        } else {
            "verdict 0: everything in this log is lawful"
        };
        assert_eq!(last, said);
        assert_eq!(
            text.contains("tombstone-unapproved in record"),
            unlawful,
            "{text}"
        );
        for line in [
            "olga (operator): active",
            "under legal hold",
            "no anchor",
            "2 of 2 versions",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let json = run(&["audit", path, "--json"]);
        assert_eq!(json.status.code(), Some(code));
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["verdict"], code);
        assert_eq!(json["holds"]["versions"], 2);
        assert_eq!(json["destructions"][0]["lawful"], true);
        assert_eq!(
            json["unlawful"].as_array().unwrap().len(),
            usize::from(unlawful)
        );
    }
}

#[test]
fn the_page_lists_every_key_of_the_json_and_every_name() {
    let report = book(false).report();
    let value = serde_json::to_value(&report).unwrap();
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    let page = include_str!("../../../docs/audit.md");
    let names = Breach::NAMES.iter().map(|name| (*name).to_owned());
    for word in keys.into_iter().cloned().chain(names) {
        let listed = page.contains(&format!("`{word}`"));
        assert!(listed, "{word} is not in docs/audit.md");
    }
}

#[test]
fn the_text_does_not_call_everything_lawful_where_it_rests_on_rights_of_clients() {
    let mut book = Book::blank(VaultFlags::EVALUATION);
    let held = book.stored(LockMode::None, 0, true);
    book.hold(&held, false);
    let text = text(&book.lawful());
    let last = text.lines().last();
    let said = "verdict 0: nothing in this log is unlawful; 1 things in it rest on special rights of client keys";
    assert_eq!(last, Some(said));
}

#[test]
fn wrong_use_is_neither_lawful_nor_unlawful() {
    for arguments in [
        &["audit"][..],
        &["audit", "/nonexistent.disk"],
        &["audit", "/nonexistent.disk", "--json"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
