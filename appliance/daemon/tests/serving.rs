//! A vault is created, served, stopped, killed and served again.

mod common;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use common::{Place, Server, run, succeed, text, unsigned_get};
use nix::sys::signal::Signal;

fn mode(place: &Place, name: &str) -> u32 {
    std::fs::metadata(place.file(name))
        .expect(name)
        .permissions()
        .mode()
        & 0o777
}

#[test]
fn a_new_vault_is_private_and_sparse() {
    let place = Place::new();
    let said = succeed(&["create", text(&place.vault)]);
    assert!(said.contains("evaluation"), "{said}");
    assert_eq!(
        std::fs::metadata(&place.vault)
            .expect("there")
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    for name in ["vault.json", "vault.key", "vault.lock"] {
        assert_eq!(mode(&place, name), 0o600, "{name}");
    }
    for number in 1..=3 {
        let name = format!("disk{number}.disk");
        let data = std::fs::metadata(place.file(&name)).expect("there");
        assert_eq!(data.len(), 16 << 30);
        assert!(data.blocks() * 512 < 1 << 30, "{name} is not sparse");
        assert_eq!(mode(&place, &name), 0o600);
    }
    assert!(!place.file("vault.creating").exists());
    let status = place.status();
    assert_eq!(status["serving"], false);
    assert_eq!(status["state"], "stopped");
    assert_eq!(status["evaluation"], true);
    assert_eq!(status["disks"].as_array().map(Vec::len), Some(3));
    let text = succeed(&["status", "--vault", text(&place.vault)]);
    assert!(text.contains("nothing serves this vault"), "{text}");
}

#[test]
fn a_served_vault_tells_clients_everything_and_stops_in_order() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    for name in ["client.env", "ca.pem", "ca-bundle.pem", "control.sock"] {
        assert_eq!(mode(&place, name), 0o600, "{name}");
    }
    assert!(
        std::fs::metadata(place.file("control.sock"))
            .expect("there")
            .file_type()
            .is_socket()
    );
    let env = &server.env;
    assert_eq!(env["AWS_DEFAULT_REGION"], "us-east-1");
    assert_eq!(env["AWS_CA_BUNDLE"], text(&place.file("ca.pem")));
    assert_eq!(env["RCLONE_CA_CERT"], text(&place.file("ca.pem")));
    assert_eq!(env["SSL_CERT_FILE"], text(&place.file("ca-bundle.pem")));
    assert_eq!(env["AWS_ACCESS_KEY_ID"].len(), 20);
    assert!(env["AWS_SECRET_ACCESS_KEY"].len() >= 40);
    let ca = std::fs::read_to_string(place.file("ca.pem")).expect("read");
    for name in ["localhost", "127.0.0.1", "::1"] {
        let reply = unsigned_get(&ca, server.address(), name).expect("answered");
        assert!(reply.starts_with("HTTP/1.1 403"), "{name}: {reply}");
    }
    assert!(unsigned_get(&ca, server.address(), "example.org").is_err());
    let status = place.status();
    assert_eq!(status["serving"], true);
    assert_eq!(status["state"], "ok");
    assert_eq!(status["process"], server.id());
    assert_eq!(status["endpoint"], env["AWS_ENDPOINT_URL"].as_str());
    for disk in status["disks"].as_array().expect("a list") {
        assert_eq!(disk["state"], "active");
    }
    let said = server.said();
    for part in [
        "evaluation only",
        text(&place.file("vault.key")),
        "Nothing can be freed before people are founded",
        "restic --cacert",
        "env -u AWS_CA_BUNDLE rclone",
        "--endpoint-url \"$AWS_ENDPOINT_URL\"",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
    assert!(
        !said.contains(&env["AWS_SECRET_ACCESS_KEY"]),
        "the secret was printed"
    );
    assert!(server.end(Signal::SIGTERM).success());
    assert!(!place.file("control.sock").exists());
    assert_eq!(place.status()["serving"], false);
}

#[test]
fn keys_and_certificate_survive_a_restart_and_a_crash() {
    let place = Place::with_vault();
    let first = Server::start(&place);
    let ca = std::fs::read_to_string(place.file("ca.pem")).expect("read");
    let env = first.env.clone();
    let same = |server: &Server| {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert_eq!(server.env[name], env[name]);
        }
        let now = std::fs::read_to_string(place.file("ca.pem")).expect("read");
        assert_eq!(now, ca);
        unsigned_get(&ca, server.address(), "localhost").expect("answered");
    };
    assert!(first.end(Signal::SIGINT).success());
    let second = Server::start(&place);
    same(&second);
    second.kill();
    let reasons = place.status()["reasons"].to_string();
    assert!(reasons.contains("did not stop in order"), "{reasons}");
    let third = Server::start(&place);
    same(&third);
    assert_eq!(place.status()["state"], "ok");
    assert!(third.end(Signal::SIGTERM).success());
}

#[test]
fn a_vault_whose_files_for_clients_cannot_be_written_is_served_and_says_so() {
    let place = Place::with_vault();
    // In the way of whoever writes the file anew.
    std::fs::create_dir_all(place.file("ca.pem.new/in")).expect("made");
    let server = Server::start(&place);
    let said = server.said();
    assert!(said.contains("a file for clients is not brought"), "{said}");
    assert!(said.contains("ca.pem"), "{said}");
    assert_eq!(place.status()["state"], "ok");
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn serve_creates_where_there_is_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    assert_eq!(
        std::fs::metadata(place.file("disk3.disk"))
            .expect("there")
            .len(),
        16 << 30
    );
    assert!(server.end(Signal::SIGTERM).success());
    let empty = Place::new();
    std::fs::create_dir(&empty.vault).expect("made");
    assert!(Server::start(&empty).end(Signal::SIGTERM).success());
}

#[test]
fn without_a_verb_the_vault_lies_in_the_working_directory() {
    let place = Place::new();
    // The default port may be in use on the machine of the test; then that is the refusal.
    let parent = place.beside("");
    let mut child = common::stele(&[])
        .current_dir(&parent)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    let env_file = place.file("client.env");
    let ended = loop {
        if let Some(status) = child.try_wait().expect("waited") {
            break Some(status);
        }
        if env_file.exists() {
            break None;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    match ended {
        Some(status) => {
            let output = child.wait_with_output().expect("waited");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(
                said.contains("127.0.0.1:8443: the port is in use"),
                "{said}"
            );
        }
        None => {
            let env = std::fs::read_to_string(&env_file).expect("read");
            assert!(
                env.contains("AWS_ENDPOINT_URL=https://localhost:8443\n"),
                "{env}"
            );
            child.kill().expect("killed");
            child.wait().expect("waited");
        }
    }
}

#[test]
fn a_vault_with_one_disk_missing_is_served_and_says_so() {
    let place = Place::with_vault();
    assert!(Server::start(&place).end(Signal::SIGTERM).success());
    let away = place.beside("away.disk");
    std::fs::rename(place.file("disk2.disk"), &away).expect("moved");
    let server = Server::start(&place);
    let status = place.status();
    assert_eq!(status["state"], "degraded");
    assert_eq!(status["disks"][1]["state"], "absent");
    let said = server.said();
    assert!(said.contains("disk2.disk: missing; no such disk"), "{said}");
    assert!(said.contains("stele disk replace --vault"), "{said}");
    assert!(server.end(Signal::SIGTERM).success());
    std::fs::rename(&away, place.file("disk2.disk")).expect("moved back");
    let server = Server::start(&place);
    assert_eq!(place.status()["disks"][1]["state"], "stale");
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn a_vault_may_lie_deeper_than_a_socket_path_reaches() {
    let mut place = Place::new();
    for _ in 0..3 {
        place.vault.push("d".repeat(60));
    }
    std::fs::create_dir_all(place.vault.parent().expect("has one")).expect("made");
    succeed(&["create", text(&place.vault), "--disk-bytes", common::DISK]);
    let server = Server::start(&place);
    assert_eq!(place.status()["serving"], true);
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn named_disks_are_used_and_found_again() {
    let place = Place::new();
    let disks = ["a.disk", "b.disk"].map(|name| place.beside(name));
    std::fs::File::create(&disks[0])
        .and_then(|file| file.set_len(1 << 30))
        .expect("made");
    let args = [
        "--disk",
        text(&disks[0]),
        "--disk",
        text(&disks[1]),
        "--disk-bytes",
        "1GiB",
    ];
    succeed(&[&["create", text(&place.vault)], &args[..]].concat());
    let server = Server::start(&place);
    let status = place.status();
    for (number, disk) in disks.iter().enumerate() {
        assert_eq!(status["disks"][number]["file"], text(disk));
        assert_eq!(status["disks"][number]["state"], "active");
    }
    assert!(server.end(Signal::SIGTERM).success());
    let other = Place::new();
    let taken = run(&["create", text(&other.vault), "--disk", text(&disks[0])]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("not blank"));
}

#[test]
fn one_disk_and_a_simulated_clock_are_said_for_ever() {
    let place = Place::new();
    let disk = place.beside("only.disk");
    let args = [
        "--disk",
        text(&disk),
        "--disk-bytes",
        "1GiB",
        "--simulated-clock",
    ];
    succeed(&[&["create", text(&place.vault)], &args[..]].concat());
    assert_eq!(place.status()["simulated_clock"], true);
    let server = Server::start(&place);
    assert_eq!(place.status()["simulated_clock"], true);
    let said = server.said();
    assert!(said.contains("simulated clock"), "{said}");
    assert!(said.contains("one disk"), "{said}");
    assert!(server.end(Signal::SIGTERM).success());
}
