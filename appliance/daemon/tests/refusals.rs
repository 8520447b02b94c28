//! Every start that is refused says why in one sentence, ends with code 1 and changes nothing.

mod common;

use std::net::TcpListener;
use std::path::Path;

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

/// A sparse file.
fn sparse(path: &Path, bytes: u64) {
    std::fs::File::create(path)
        .and_then(|file| file.set_len(bytes))
        .expect("made");
}

/// What must not change of a file that is refused. (Its blocks may: the file system gives them out
/// some time after a write.)
fn state_of(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.len(), data.modified().ok()?))
}

#[test]
fn a_disk_that_is_not_fit_is_named_with_its_number_and_left_as_it_is() {
    let place = Place::with_vault();
    let foreign = Place::with_vault();
    assert!(Server::start(&place).end(Signal::SIGTERM).success());
    let copied = std::process::Command::new("cp")
        .arg("--sparse=always")
        .args([place.file("disk1.disk"), place.beside("copy")])
        .status();
    assert!(copied.expect("cp runs").success());
    std::fs::remove_file(place.file("disk2.disk")).expect("removed");
    let server = Server::start(&place);
    let config = std::fs::read(place.file("vault.json")).expect("read");
    sparse(&place.beside("small"), 64 << 20);
    sparse(&place.beside("empty"), 0);
    sparse(&place.beside("used"), 1 << 30);
    let used = std::fs::OpenOptions::new()
        .write(true)
        .open(place.beside("used"));
    used.and_then(|file| std::os::unix::fs::FileExt::write_all_at(&file, b"x", 70_000))
        .expect("written");
    std::fs::create_dir(place.beside("dir")).expect("made");
    std::fs::hard_link(place.file("disk1.disk"), place.beside("hard")).expect("linked");
    std::os::unix::fs::symlink(place.file("disk3.disk"), place.beside("soft")).expect("linked");
    let check = |path: &Path, more: &[&str], why: &[&str]| {
        for (verb, subject) in [("replace", "disk 2"), ("add", "a further disk")] {
            let before = state_of(path);
            let number: &[&str] = if verb == "replace" { &["2"] } else { &[] };
            let vault = ["disk", verb, "--vault", text(&place.vault)];
            let said = refuse(&[&vault, number, &[text(path)], more].concat());
            let begins = format!("{} does not become {subject}: ", path.display());
            assert!(said.starts_with(&begins), "{said}");
            for part in why {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert_eq!(state_of(path), before, "{said}");
            let now = std::fs::read(place.file("vault.json")).expect("read");
            assert_eq!(now, config, "{said}");
        }
    };
    let named = "name a blank disk";
    check(
        &place.beside("used"),
        &[],
        &["not blank (data at byte 70000)", named],
    );
    check(
        &place.file("disk1.disk"),
        &[],
        &["it is disk 1 of this vault", named],
    );
    check(
        &place.beside("hard"),
        &[],
        &["it is disk 1 of this vault", named],
    );
    check(
        &place.beside("soft"),
        &[],
        &["it is disk 3 of this vault", named],
    );
    check(
        &place.beside("copy"),
        &[],
        &["it is disk 1 of this vault", named],
    );
    check(
        &foreign.file("disk2.disk"),
        &[],
        &["belongs to another vault", named],
    );
    check(
        &place.beside("small"),
        &[],
        &["it has 67108864 bytes and at least", "name a larger"],
    );
    check(
        &place.beside("empty"),
        &[],
        &["it has 0 bytes and at least", "name a larger"],
    );
    let new = place.beside("new");
    check(
        &new,
        &["--disk-bytes", "64MiB"],
        &["at least", "name a larger"],
    );
    check(
        &place.beside("no/such"),
        &[],
        &["its directory does not exist; make it"],
    );
    check(
        &place.beside("dir"),
        &[],
        &["it is a directory; name a block device"],
    );
    check(
        Path::new("/dev/null"),
        &[],
        &["neither a file nor a block device"],
    );
    check(
        Path::new("/dev/no-such-disk"),
        &[],
        &["no such device; plug it in"],
    );
    assert!(server.end(Signal::SIGTERM).success());
}

/// Of two disks neither can be taken out first: the vault would take no writes, and no other disk.
#[test]
fn a_vault_of_two_disks_is_told_to_add_one_before_one_is_exchanged() {
    let place = Place::new();
    let vault = text(&place.vault);
    let (one, two) = (place.beside("one"), place.beside("two"));
    let disks = ["--disk", text(&one), "--disk", text(&two)];
    let size = ["--disk-bytes", "1GiB"];
    succeed(&[&["create", vault][..], &disks, &size].concat());
    let server = Server::start(&place);
    let new = place.beside("new");
    let said = refuse(&["disk", "replace", "--vault", vault, "1", text(&new)]);
    for part in ["takes no writes without it", "stele disk add --vault"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!new.exists());
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn disks_that_need_nothing_or_are_unknown_are_refused_with_what_to_run() {
    let place = Place::with_vault();
    assert!(Server::start(&place).end(Signal::SIGTERM).success());
    std::fs::remove_file(place.file("disk2.disk")).expect("removed");
    let server = Server::start(&place);
    let vault = text(&place.vault);
    let path = place.beside("new");
    let check = |verb: &str, more: &[&str], why: &[&str]| {
        let said = refuse(&[&["disk", verb, "--vault", vault], more].concat());
        for part in why {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!path.exists(), "{said}");
    };
    let new = text(&path);
    check(
        "replace",
        &["1", new],
        &[
            "disk 1: disk 1 takes part",
            "what takes no part is disk 2: leave disk 1 in, and run: stele disk replace",
        ],
    );
    check(
        "replace",
        &["9", new],
        &["disk 9: the vault has no disk", "stele disk list"],
    );
    check(
        "resync",
        &["1"],
        &["disk1.disk does not become disk 1: disk 1 takes part"],
    );
    check(
        "resync",
        &["9"],
        &["the vault has no disk of that number", "stele disk list"],
    );
    let replace = "stele disk replace --vault";
    check(
        "resync",
        &["2"],
        &[
            "disk2.disk does not become disk 2: no such disk",
            replace,
            " 2 PATH",
        ],
    );
    check(
        "drain",
        &["1"],
        &[
            "disk 1 (",
            "disk1.disk) cannot be drained",
            replace,
            " 1 PATH",
        ],
    );
    check(
        "drain",
        &["2"],
        &["disk 2 (", "takes no part in the vault", "stele status"],
    );
    check(
        "drain",
        &["3"],
        &["disk 3 (", "first do what is told by: stele status"],
    );
    check(
        "drain",
        &["9"],
        &[
            "disk 9 cannot be drained",
            "no disk of that number",
            "stele disk list",
        ],
    );
    sparse(&place.file("disk2.disk"), 1 << 30);
    check(
        "resync",
        &["2"],
        &["it is blank", replace, " 2 /", "disk2.disk"],
    );
    let before = state_of(&place.file("disk2.disk"));
    check("resync", &["2"], &["it is blank", replace]);
    assert_eq!(state_of(&place.file("disk2.disk")), before);
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn disks_of_a_vault_that_nothing_serves_are_left_alone() {
    let place = Place::with_vault();
    let before = place.fingerprint();
    let vault = text(&place.vault);
    let path = place.beside("new");
    for rest in [
        &["list"][..],
        &["replace", "2", text(&path)],
        &["resync", "2"],
        &["drain", "3"],
        &["add", text(&path)],
    ] {
        let (verb, more) = rest.split_first().expect("a verb");
        let why = refuse(&[&["disk", verb, "--vault", vault], more].concat());
        let serve =
            format!("nothing serves this vault; serve it first with: stele serve --vault {vault}");
        assert!(why.ends_with(&serve), "{why}");
    }
    assert!(!path.exists());
    assert_eq!(place.fingerprint(), before);
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
    check(&["disk", "--vault", "v"]);
    check(&["disk", "replace", "--vault", "v", "2"]);
    check(&["disk", "replace", "--vault", "v", "0", "d"]);
    check(&["disk", "add", "2"]);
    check(&["people", "found", "--vault", "v", "--person", "a:b"]);
    check(&["people", "found", "--vault", "v", "--policy", "approvals"]);
    assert!(succeed(&["--version"]).starts_with("stele "));
}

#[test]
fn a_refusal_that_cannot_be_written_is_one_all_the_same() {
    let place = Place::new();
    let out = std::fs::File::create("/dev/full").expect("opened");
    let mut verb = common::stele(&["status", "--vault", text(&place.vault)]);
    let status = verb.stderr(out).status().expect("it runs");
    assert_eq!(status.code(), Some(1));
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
