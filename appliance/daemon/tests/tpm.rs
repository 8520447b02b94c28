//! Vaults whose key a TPM holds, against swtpm.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{DISK, Place, Server, refuse, succeed, text};
use nix::sys::signal::Signal;

const PROGRAM: &str = "/usr/bin/swtpm";
/// Looks for its socket before it counts as never there.
const LOOK_COUNT_MAX: usize = 20_000;

/// An emulated TPM; its memory outlives a restart.
struct Tpm {
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Tpm {
    /// None, with a printed reason, where there is no emulator; on a CI machine that is a failure.
    fn start() -> Option<Tpm> {
        if !Path::new(PROGRAM).is_file() {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
            let what = "swtpm is missing: apt-get install --no-install-recommends swtpm";
            assert!(!ci, "{what}");
            println!("skipped: {what}");
            return None;
        }
        let mut tpm = Tpm {
            directory: tempfile::tempdir().expect("a directory"),
            process: None,
        };
        tpm.power_on();
        Some(tpm)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn provider(&self) -> String {
        format!("tpm:unix:{}", self.socket().display())
    }

    fn power_on(&mut self) {
        let child = Command::new(PROGRAM)
            .args(["socket", "--tpm2", "--flags", "not-need-init"])
            .arg("--tpmstate")
            .arg(format!("dir={}", self.directory.path().display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", self.socket().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(child.expect("swtpm starts"));
        for _ in 0..LOOK_COUNT_MAX {
            if std::os::unix::net::UnixStream::connect(self.socket()).is_ok() {
                return;
            }
            let ended = self.process.as_mut().map(Child::try_wait);
            assert!(matches!(ended, Some(Ok(None))), "swtpm ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("swtpm never listens");
    }

    fn power_off(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
        drop(std::fs::remove_file(self.socket()));
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

fn create(place: &Place, provider: &str) -> String {
    let dir = text(&place.vault);
    let args = [
        "create",
        dir,
        "--disk-bytes",
        DISK,
        "--key-provider",
        provider,
    ];
    succeed(&args)
}

#[test]
fn a_vault_with_a_tpm_is_served_with_it_and_not_without() {
    let Some(mut tpm) = Tpm::start() else { return };
    let place = Place::new();
    let said = create(&place, &tpm.provider());
    assert!(said.contains("anchor: tpm"), "{said}");
    assert!(!place.file("vault.key").exists());
    assert_eq!(place.config()["key_provider"], tpm.provider().as_str());
    let check = |serving: bool| {
        let status = place.status();
        assert_eq!(status["serving"], serving);
        assert_eq!(status["keys"]["provider"], "tpm");
        assert_eq!(status["keys"]["anchor"], "tpm");
        let said = succeed(&["status", "--vault", text(&place.vault)]);
        assert!(said.contains("keys     in a tpm; anchor: tpm\n"), "{said}");
        assert!(!said.contains("in a file"), "{said}");
    };
    check(false);
    let server = Server::start(&place);
    check(true);
    assert!(server.end(Signal::SIGTERM).success());

    tpm.power_off();
    let why = place.serve_refused();
    assert!(why.contains("the TPM cannot be reached"), "{why}");
    tpm.power_on();
    let server = Server::start(&place);
    assert!(server.end(Signal::SIGTERM).success());

    let note = place.file("vault.tpm");
    let kept = place.beside("kept");
    std::fs::rename(&note, &kept).expect("moved");
    let why = place.serve_refused();
    assert!(why.contains("no such key file"), "{why}");
    std::fs::rename(&kept, &note).expect("moved");
    if let Some(other) = Tpm::start() {
        let config = std::fs::read_to_string(place.file("vault.json")).expect("read");
        let elsewhere = config.replace(&tpm.provider(), &other.provider());
        std::fs::write(place.file("vault.json"), elsewhere).expect("written");
        let why = place.serve_refused();
        assert!(why.contains("not the TPM"), "{why}");
    }
}

#[test]
fn a_creation_that_fails_leaves_nothing_and_bad_providers_are_named() {
    let Some(tpm) = Tpm::start() else { return };
    let place = Place::new();
    let dir = text(&place.vault);
    let gone = format!("{}x", tpm.provider());
    let why = refuse(&["create", dir, "--disk-bytes", DISK, "--key-provider", &gone]);
    assert!(why.contains("the TPM cannot be reached"), "{why}");
    assert!(!place.vault.exists());
    let output = common::run(&["create", dir, "--key-provider", "tpm:tcp:192.0.2.1:5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!place.vault.exists());
}

#[test]
fn a_vault_with_a_key_file_says_that_it_has_no_anchor() {
    let place = Place::with_vault();
    let status = place.status();
    assert_eq!(status["keys"]["provider"], "key file");
    assert_eq!(status["keys"]["anchor"], "none");
    assert!(place.config().get("key_provider").is_none());
    let said = succeed(&["status", "--vault", text(&place.vault)]);
    let line = "keys     in a file beside the data: an evaluation vault\n";
    assert!(said.contains(line), "{said}");
}
