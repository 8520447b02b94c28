//! Every start that is refused says why in one sentence, ends with code 1 and changes nothing.

mod common;

use std::net::TcpListener;

use common::{Place, Server, refuse, succeed, text};
use nix::sys::signal::Signal;

#[test]
fn a_foreign_directory_is_left_as_it_is() {
    let place = Place::new();
    std::fs::create_dir(&place.vault).expect("made");
    std::fs::write(place.file("letter.txt"), "hello").expect("written");
    let before = place.fingerprint();
    let vault = text(&place.vault);
    for why in [refuse(&["create", vault]), place.serve_refused()] {
        assert!(why.contains("not empty and not a vault"), "{why}");
        assert!(why.starts_with(vault), "{why}");
    }
    assert_eq!(place.fingerprint(), before);
}

#[test]
fn a_half_written_directory_is_named_with_what_to_remove() {
    let place = Place::with_vault();
    std::fs::rename(place.file("vault.json"), place.file("vault.creating")).expect("renamed");
    let before = place.fingerprint();
    let vault = text(&place.vault);
    for why in [
        refuse(&["create", vault]),
        place.serve_refused(),
        refuse(&["status", "--vault", vault]),
    ] {
        assert!(why.contains("interrupted; remove this directory"), "{why}");
    }
    assert_eq!(place.fingerprint(), before);
}

#[test]
fn where_no_vault_is_status_says_so() {
    let place = Place::new();
    let why = refuse(&["status", "--vault", text(&place.vault)]);
    assert!(why.ends_with("there is no vault"), "{why}");
    assert!(!place.vault.exists());
}

#[test]
fn a_vault_is_not_created_over_another() {
    let place = Place::with_vault();
    let before = place.fingerprint();
    let why = refuse(&["create", text(&place.vault), "--disk-bytes", "2GiB"]);
    assert!(why.contains("there is a vault already"), "{why}");
    assert_eq!(place.fingerprint(), before);
}

#[test]
fn a_failed_creation_leaves_nothing() {
    let place = Place::new();
    let vault = text(&place.vault);
    let disk = place.beside("other.disk");
    std::fs::write(&disk, vec![1; 4096]).expect("written");
    let check = |args: &[&str], part: &str| {
        let why = refuse(&[&["create", vault], args].concat());
        assert!(why.contains(part), "{why}");
        assert!(!place.vault.exists(), "{args:?} left a directory");
    };
    check(&["--disk-bytes", "4096"], "too small for a disk");
    check(&["--disk", text(&disk)], "not blank");
    check(
        &["--disk", "/dev/null"],
        "neither a file nor a block device",
    );
    let twice = text(&disk);
    check(&["--disk", twice, "--disk", twice], "named twice");
    let lost = place.beside("no/such/dir/d.disk");
    check(&["--disk", text(&lost)], "no such disk");
    assert_eq!(std::fs::read(&disk).expect("read"), vec![1; 4096]);
}

#[test]
fn a_busy_port_changes_nothing() {
    let busy = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = busy.local_addr().expect("known").to_string();
    let place = Place::with_vault();
    let before = place.fingerprint();
    let vault = text(&place.vault);
    let why = refuse(&["serve", "--vault", vault, "--listen", &address]);
    assert!(why.contains("the port is in use"), "{why}");
    let mut after = place.fingerprint();
    // The lock says who tried last; it holds nothing else.
    let lock = place.file("vault.lock");
    after.remove(&lock);
    assert_eq!(
        after,
        before
            .into_iter()
            .filter(|(path, _)| *path != lock)
            .collect()
    );
    let empty = Place::new();
    refuse(&["serve", "--vault", text(&empty.vault), "--listen", &address]);
    assert!(
        !empty.vault.exists(),
        "a vault was made although the port is busy"
    );
}

#[test]
fn a_second_server_is_told_who_serves() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let why = place.serve_refused();
    assert!(
        why.ends_with(&format!("already served by process {}", server.id())),
        "{why}"
    );
    let same_port = server.address().to_string();
    let why = refuse(&[
        "serve",
        "--vault",
        text(&place.vault),
        "--listen",
        &same_port,
    ]);
    assert!(why.contains("already served"), "{why}");
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn a_missing_open_damaged_or_wrong_key_file_is_told_apart() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with_vault();
    let other = Place::with_vault();
    let key = place.file("vault.key");
    let kept = place.beside("kept.key");
    std::fs::rename(&key, &kept).expect("moved");
    let check = |part: &str| {
        let disks = disk_bytes(&place);
        let why = place.serve_refused();
        assert!(why.contains(part), "{why}");
        assert_eq!(disk_bytes(&place), disks, "{part}: a disk was changed");
    };
    check("no such key file");
    std::fs::copy(other.file("vault.key"), &key).expect("copied");
    check("key");
    std::fs::copy(&kept, &key).expect("copied");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("changed");
    check("open to others");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("changed");
    std::fs::write(&key, "stele key file 1\nnonsense\n").expect("written");
    check("damaged or not a key file");
    std::fs::copy(&kept, &key).expect("copied");
    assert!(Server::start(&place).end(Signal::SIGTERM).success());
}

#[test]
fn a_vault_without_its_disks_names_them_and_makes_no_new_ones() {
    let place = Place::with_vault();
    for number in 1..=3 {
        let name = format!("disk{number}.disk");
        std::fs::rename(place.file(&name), place.beside(&name)).expect("moved");
    }
    let why = place.serve_refused();
    assert!(why.contains("disk1.disk"), "{why}");
    assert!(!place.file("disk1.disk").exists());
    let status = place.status();
    assert_eq!(status["disks"][0]["state"], "absent");
    for number in 1..=3 {
        let name = format!("disk{number}.disk");
        std::fs::rename(place.beside(&name), place.file(&name)).expect("moved back");
    }
    assert!(Server::start(&place).end(Signal::SIGTERM).success());
}

#[test]
fn blank_disks_in_place_of_the_vaults_are_not_formatted() {
    let place = Place::with_vault();
    for number in 1..=3 {
        let path = place.file(&format!("disk{number}.disk"));
        std::fs::remove_file(&path).expect("removed");
        std::fs::File::create(&path)
            .and_then(|f| f.set_len(1 << 30))
            .expect("made");
    }
    place.serve_refused();
    for number in 1..=3 {
        use std::os::unix::fs::MetadataExt;
        let data = std::fs::metadata(place.file(&format!("disk{number}.disk"))).expect("there");
        assert_eq!(data.blocks(), 0, "something was written to disk {number}");
    }
}

#[test]
fn wrong_use_ends_with_code_2() {
    let check = |args: &[&str]| {
        assert_eq!(common::run(args).status.code(), Some(2), "{args:?}");
    };
    check(&["serve"]);
    check(&["create"]);
    check(&["polish", "--vault", "v"]);
    check(&["create", "v", "--client-buckets", "open"]);
    check(&["create", "v", "--client-rights", "root"]);
    check(&["create", "v", "--disk-bytes", "many"]);
    check(&["serve", "--vault", "v", "--listen", "nowhere"]);
    assert!(succeed(&["--version"]).starts_with("stele "));
}

/// Times of the last change of the disks.
fn disk_bytes(place: &Place) -> Vec<std::time::SystemTime> {
    (1..=3)
        .map(|number| {
            let data = std::fs::metadata(place.file(&format!("disk{number}.disk")));
            data.and_then(|data| data.modified()).expect("known")
        })
        .collect()
}
