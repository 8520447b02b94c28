//! The key provider over a TPM, against swtpm.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stele_device::conformance;
use stele_device::keyprovider::tpm::{Connect, Note, PcrSet, TpmError, TpmKeys, Transact};
use stele_device::keyprovider::{AnchorKind, KeyError, KeyProvider, ProviderKind};
use stele_device::linux::tpm::TpmAddress;

const PROGRAM: &str = "/usr/bin/swtpm";

/// An emulated TPM whose memory lies in a directory of its own.
struct Tpm {
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Tpm {
    /// None, with a printed reason, where there is no emulator; on a CI machine that is a failure.
    fn start() -> Option<Tpm> {
        if !Path::new(PROGRAM).is_file() {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
            assert!(
                !ci,
                "swtpm is missing: apt-get install --no-install-recommends swtpm"
            );
            println!("skipped: swtpm is missing; apt-get install --no-install-recommends swtpm");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let mut tpm = Tpm {
            directory,
            process: None,
        };
        tpm.power_on();
        Some(tpm)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn address(&self) -> Box<TpmAddress> {
        Box::new(TpmAddress::Unix(self.socket()))
    }

    fn power_on(&mut self) {
        let state = self.directory.path().join("state");
        std::fs::create_dir_all(&state).expect("a directory");
        let child = Command::new(PROGRAM)
            .arg("socket")
            .arg("--tpm2")
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", self.socket().display()))
            .args(["--flags", "not-need-init"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("swtpm starts");
        self.process = Some(child);
        // The socket appears when it listens. A process that ended will never listen.
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let ended = self.process.as_mut().map(Child::try_wait);
            assert!(
                matches!(ended, Some(Ok(None))),
                "swtpm ended at once: {ended:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As when the power fails: nothing is told and nothing is waited for.
    fn power_off(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
        drop(std::fs::remove_file(self.socket()));
    }

    fn power_cut(&mut self) {
        self.power_off();
        self.power_on();
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

fn no_pcrs() -> PcrSet {
    PcrSet::default()
}

/// The same keys again, as after a restart: from the text of the note.
fn again(tpm: &Tpm, keys: &TpmKeys) -> TpmKeys {
    let note = Note::decode(&keys.note().encode()).expect("a note");
    TpmKeys::new(tpm.address(), note)
}

#[test]
fn keys_in_a_tpm_pass_the_exam() {
    let Some(tpm) = Tpm::start() else { return };
    let create = || TpmKeys::create(tpm.address(), no_pcrs()).expect("create");
    let one = create();
    assert_eq!(one.kind(), ProviderKind::Tpm);
    assert_eq!(one.anchor().expect("anchor").kind, AnchorKind::Tpm);
    conformance::key_provider(&one, &again(&tpm, &one), &create());
}
