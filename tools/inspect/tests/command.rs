//! The program itself: paths, exit status, text and JSON.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use stele_format::label::Features;
use support::{Vault, sample};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stele-inspect"))
        .args(arguments)
        .output()
        .unwrap()
}

fn store(vault: &Vault, directory: &Path) {
    for (number, image) in vault.images.iter().enumerate() {
        fs::write(directory.join(format!("{number}.disk")), image).unwrap();
    }
}

fn stored(vault: &Vault) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    store(vault, directory.path());
    directory
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_vault_directory_is_verified_and_never_written() {
    let vault = sample(3);
    let directory = stored(&vault);
    fs::write(directory.path().join("client.env"), "not a disk").unwrap();
    let output = run(&["verify", text(directory.path()), "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let found = json(&output);
    assert_eq!(found["verdict"], 0);
    assert_eq!(found["damage"], serde_json::json!([]));
    assert_eq!(found["disks"].as_array().unwrap().len(), 3);
    for disk in found["disks"].as_array().unwrap() {
        assert_eq!(disk["state"], "clean");
        assert_eq!(disk["notes"], serde_json::json!([]));
        assert!(disk["file"].as_str().unwrap().ends_with(".disk"));
    }
    for (number, image) in vault.images.iter().enumerate() {
        assert!(fs::read(directory.path().join(format!("{number}.disk"))).unwrap() == *image);
    }
}

#[test]
fn damage_is_named_on_its_own_line_and_in_json() {
    let mut vault = sample(3);
    vault.flip(1, vault.segments[&2].frame_at(2) + 300);
    let directory = stored(&vault);
    let file = directory.path().join("1.disk");
    let output = run(&["verify", text(directory.path()), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found = json(&output);
    assert_eq!(found["verdict"], 1);
    let damage = &found["damage"][0];
    assert_eq!(damage["disk"], text(&file));
    assert_eq!(damage["area"], "segment");
    assert_eq!(
        (&damage["segment"], &damage["frame"]),
        (&2.into(), &2.into())
    );
    assert_eq!(found["disks"][1]["state"], "damaged");

    let output = run(&["verify", text(directory.path())]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let wanted = format!("damage: {}: segment 2 frame 2: ", text(&file));
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with(&wanted))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(
        lines[0].ends_with("another disk holds a good copy"),
        "{said}"
    );
    assert!(said.contains("log size 13, root "), "{said}");
    assert!(said.ends_with("verdict 1: damage in 1 place\n"), "{said}");
}

#[test]
fn disks_may_be_given_one_by_one_and_twice() {
    let directory = stored(&sample(3));
    let at = |name: &str| directory.path().join(name);
    let output = run(&[
        "verify",
        "--json",
        text(&at("0.disk")),
        text(&at("2.disk")),
        text(&at("0.disk")),
    ]);
    assert_eq!(output.status.code(), Some(0));
    let states: Vec<String> = json(&output)["disks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|disk| disk["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["clean", "clean", "missing"]);
}

#[track_caller]
fn refuses(arguments: &[&str], because: &str) {
    let output = run(arguments);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(
        format!("{out}{err}").contains(because),
        "{because:?} not in {out}{err}"
    );
}

#[test]
fn what_cannot_be_judged_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&directory.path().join(name)).to_owned();
    refuses(&["verify"], "PATH");
    refuses(&["verify", &at("nowhere")], "cannot be opened");
    refuses(&["verify", &at("nowhere"), "--json"], "\"verdict\":2");
    refuses(&["verify", text(directory.path())], "no file named *.disk");
    refuses(&["verify", "/dev/null"], "neither a file");
    let table: [(&str, Vec<u8>, &str); 4] = [
        ("empty", Vec::new(), "too small"),
        ("short", vec![7; 70_000], "too small"),
        ("blank", vec![0; 4 << 20], "blank"),
        (
            "garbage",
            support::noise(4 << 20, 9),
            "no label that verifies",
        ),
    ];
    for (name, bytes, because) in table {
        fs::write(at(name), bytes).unwrap();
        refuses(&["verify", &at(name)], because);
        refuses(&["dump", &at(name)], because);
    }
}

#[test]
fn a_foreign_file_among_the_disks_leaves_the_verdict_open() {
    let directory = stored(&sample(3));
    let foreign = directory.path().join("9.disk");
    fs::write(&foreign, vec![0x55; 4 << 20]).unwrap();
    let output = run(&["verify", "--json", text(directory.path())]);
    assert_eq!(output.status.code(), Some(2));
    let disks = json(&output)["disks"].as_array().unwrap().clone();
    assert_eq!(disks[3]["state"], "cannot judge");
    assert_eq!(disks[0]["state"], "clean");
}

#[test]
fn media_of_a_newer_release_is_refused() {
    let mut vault = sample(3);
    let mut label = vault.static_label(1);
    label.features = Features {
        incompat: 3,
        ..Features::default()
    };
    vault.write_static(1, &label);
    let directory = stored(&vault);
    refuses(&["verify", text(directory.path())], "incompatible feature");

    let mut vault = sample(1);
    for at in (0..vault.images[0].len()).step_by(4096) {
        if vault.images[0][at..].starts_with(b"STELELBL") {
            vault.images[0][at + 8] = 2;
        }
    }
    let directory = stored(&vault);
    refuses(&["verify", text(directory.path())], "version unknown");
}

#[test]
fn disks_that_do_not_belong_together_are_refused() {
    let directory = stored(&sample(3));
    let copy = directory.path().join("copy.disk");
    fs::copy(directory.path().join("1.disk"), &copy).unwrap();
    refuses(
        &["verify", text(directory.path())],
        "copies of the same disk",
    );
    let mut other = Vault::blank(1);
    let mut label = other.static_label(0);
    label.pool = stele_format::units::PoolId::from_bytes([9; 16]);
    other.write_static(0, &label);
    fs::write(&copy, &other.images[0]).unwrap();
    refuses(&["verify", text(directory.path())], "different vaults");
}

#[test]
fn dump_shows_what_is_there_and_no_more() {
    let directory = stored(&sample(3));
    let output = run(&[
        "dump",
        text(directory.path()),
        "--segment",
        "3",
        "--records",
    ]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    for wanted in [
        "label generation 2",
        "key-state copy 1: generation 1",
        "segment 3: lane 0",
        "Marker",
    ] {
        assert!(said.contains(wanted), "{wanted:?} not in {said}");
    }
    assert!(!said.contains("segment 2: "));
    let output = run(&["dump", text(directory.path()), "--json"]);
    let dumped = json(&output);
    assert_eq!(dumped["segments"].as_array().unwrap().len(), 4);
    assert_eq!(dumped["segments"][0]["seal"]["frames"], 4);
    assert_eq!(
        dumped["disks"][2]["label"]["members"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}
