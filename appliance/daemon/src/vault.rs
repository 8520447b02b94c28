//! A vault's directory: what lies in it, and in which state it can be found.
//!
//! | file | what it is |
//! |---|---|
//! | `vault.json` | makes the directory a vault: where its disks are |
//! | `vault.creating` | the same file while the vault is being created; its renaming completes it |
//! | `vault.key` | the key file, 0600; whoever has it and the disks has the data |
//! | `vault.tpm` | in its place where a TPM holds the key: where in the TPM, 0600; needed to open the vault |
//! | `vault.lock` | locked by the process that serves, with its number inside |
//! | `disk1.disk` ... | the disks, sparse files |
//! | `client.env` | for clients, rewritten at each start |
//! | `ca.pem`, `ca-bundle.pem` | for clients, rewritten at each start and when a certificate is installed |
//! | `control.sock` | the control socket of the serving process, 0600 |
//!
//! Invariants: exactly one of `vault.json` and `vault.creating` exists in a directory that is ours;
//! only the holder of the lock changes anything but the clients' own copies; serving never makes,
//! formats or removes a disk.

pub mod blank;
pub mod config;
pub mod create;
pub mod disks;
pub mod lock;

use std::path::{Path, PathBuf};

use crate::error::{Error, Outcome, at};
use crate::keys::{KeySource, Keys};
use config::Config;
use lock::Lock;

/// The file that makes a directory a vault.
const CONFIG_FILE: &str = "vault.json";
/// Its name while the vault is being created.
const CREATING_FILE: &str = "vault.creating";

/// The directory of a vault, as an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

/// What a directory is.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// There is none, or it is empty.
    Vacant,
    /// A vault.
    Vault(Config),
    /// A vault whose creation did not end, or goes on now.
    HalfWritten {
        /// Disks outside the directory that belong to it, as far as known.
        disks: Vec<PathBuf>,
    },
    /// Something else.
    Foreign,
}

impl Directory {
    /// Names a directory, which need not exist.
    ///
    /// # Errors
    /// When the path holds control characters: `client.env` could not say it in one line.
    pub fn new(path: &Path) -> Outcome<Directory> {
        let absolute = resolve(path);
        if absolute
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .any(u8::is_ascii_control)
        {
            return Err(Error::DirectoryName);
        }
        Ok(Directory { path: absolute })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key file.
    pub fn key_file(&self) -> PathBuf {
        self.path.join("vault.key")
    }

    /// The file that says where in a TPM the key is.
    fn tpm_file(&self) -> PathBuf {
        self.path.join("vault.tpm")
    }

    /// The vault's keys, held by this.
    pub fn keys(&self, source: KeySource) -> Keys {
        let file = match source {
            KeySource::File => self.key_file(),
            KeySource::Tpm(_) => self.tpm_file(),
        };
        Keys { source, file }
    }

    /// The lock file.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("vault.lock")
    }

    /// The control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// What clients are told, as shell variables.
    pub fn client_env(&self) -> PathBuf {
        self.path.join("client.env")
    }

    /// Our own certificate authority.
    pub fn ca_file(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    /// Our own certificate authority and those of the system.
    pub fn ca_bundle_file(&self) -> PathBuf {
        self.path.join("ca-bundle.pem")
    }

    /// The file that makes the directory a vault.
    pub fn config_file(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    /// The same while the vault is being created.
    pub fn creating_file(&self) -> PathBuf {
        self.path.join(CREATING_FILE)
    }

    /// Looks at the directory without changing anything.
    ///
    /// # Errors
    /// When it is no directory, cannot be read, or its configuration is damaged.
    pub fn state(&self) -> Outcome<State> {
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(State::Vacant);
            }
            Err(error) => return Err(at(&self.path)(error)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(Error::NotADirectory {
                    dir: self.path.clone(),
                });
            }
            Ok(_) => {}
        }
        if let Some(config) = Config::read(&self.config_file())? {
            return Ok(State::Vault(config));
        }
        if self.creating_file().exists() {
            // Its text may have been cut short; then only the directory is known to be ours.
            let config = Config::read(&self.creating_file()).ok().flatten();
            let disks = config
                .map(|config| config.disks_outside())
                .unwrap_or_default();
            return Ok(State::HalfWritten { disks });
        }
        let entries = std::fs::read_dir(&self.path).map_err(at(&self.path))?;
        let entries: Vec<_> = entries
            .take(2)
            .collect::<Result<_, _>>()
            .map_err(at(&self.path))?;
        Ok(match entries.as_slice() {
            [] => State::Vacant,
            // Creation begins with the lock.
            [only] if only.path() == self.lock_file() => State::HalfWritten { disks: Vec::new() },
            _ => State::Foreign,
        })
    }

    /// The configuration, or a refusal for every other state.
    ///
    /// # Errors
    /// As `state`, and when the directory is not a vault.
    pub fn existing(&self) -> Outcome<Config> {
        let dir = self.path.clone();
        match self.state()? {
            State::Vault(config) => Ok(config),
            State::Vacant => Err(Error::NoVault { dir }),
            State::Foreign => Err(self.foreign()),
            State::HalfWritten { disks } => Err(self.half_written(disks)),
        }
    }

    /// Tells a vault that lost its `vault.json` from what never was one.
    pub fn foreign(&self) -> Error {
        let dir = self.path.clone();
        // The disks need not lie in the directory.
        match self.key_file().exists() || self.tpm_file().exists() {
            true => Error::NoConfig { dir },
            false => Error::Foreign { dir },
        }
    }

    /// Tells a creation that was interrupted from one that goes on.
    pub fn half_written(&self, disks: Vec<PathBuf>) -> Error {
        let dir = self.path.clone();
        match Lock::holder(&self.lock_file()) {
            Some(process) => Error::BeingCreated {
                dir,
                process: process.number,
            },
            None => Error::HalfWritten { dir, disks },
        }
    }

    /// How `vault.json` names a path: those inside the directory relative to it.
    pub fn name_of(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.path).unwrap_or(path).to_owned()
    }

    /// Makes the names in the directory survive a power cut.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn sync(&self) -> Outcome<()> {
        sync_directory(&self.path)
    }
}

/// The absolute path of something that may not exist yet.
pub fn resolve(path: &Path) -> PathBuf {
    if let Ok(path) = std::fs::canonicalize(path) {
        return path;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (
        absolute.parent().map(std::fs::canonicalize),
        absolute.file_name(),
    ) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    }
}

/// The absolute path of a disk as it was named: only links to its directory are followed, since a name
/// like `/dev/disk/by-id/...` stays right where its target does not.
pub fn located(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (
        absolute.parent().map(std::fs::canonicalize),
        absolute.file_name(),
    ) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    }
}

/// Makes the names in a directory survive a power cut.
///
/// # Errors
/// What the kernel reports.
pub fn sync_directory(path: &Path) -> Outcome<()> {
    std::fs::File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_files(files: &[(&str, &str)]) -> (tempfile::TempDir, Directory) {
        let temp = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            std::fs::write(temp.path().join(name), text).expect("written");
        }
        let directory = Directory::new(temp.path()).expect("a directory");
        (temp, directory)
    }

    const CONFIG: &str =
        r#"{"version":1,"disks":["disk1.disk","/dev/other"],"client_buckets":"plain"}"#;

    #[test]
    fn every_state_of_a_directory_is_told_apart() {
        let check = |files: &[(&str, &str)], expected: &str| {
            let (_temp, directory) = with_files(files);
            let state = match directory.state() {
                Ok(State::Vacant) => "vacant",
                Ok(State::Vault(_)) => "vault",
                Ok(State::HalfWritten { disks }) if disks.is_empty() => "half",
                Ok(State::HalfWritten { .. }) => "half, disks known",
                Ok(State::Foreign) => "foreign",
                Err(Error::Config { .. }) => "damaged",
                Err(_) => "error",
            };
            assert_eq!(state, expected, "{files:?}");
        };
        check(&[], "vacant");
        check(&[("vault.json", CONFIG)], "vault");
        check(&[("vault.json", CONFIG), ("other", "")], "vault");
        check(&[("vault.creating", CONFIG)], "half, disks known");
        check(
            &[("vault.creating", CONFIG), ("disk1.disk", "x")],
            "half, disks known",
        );
        check(&[("vault.creating", "")], "half");
        check(&[("vault.creating", &CONFIG[..20])], "half");
        check(&[("vault.lock", "")], "half");
        check(&[("vault.lock", ""), ("letter.txt", "hello")], "foreign");
        check(&[("vault.json", "")], "damaged");
        check(&[("vault.json", "{}")], "damaged");
        check(
            &[(
                "vault.json",
                r#"{"version":2,"disks":["a"],"client_buckets":"plain"}"#,
            )],
            "damaged",
        );
        check(
            &[(
                "vault.json",
                r#"{"version":1,"disks":[],"client_buckets":"plain"}"#,
            )],
            "damaged",
        );
        check(
            &[(
                "vault.json",
                r#"{"version":1,"disks":["a"],"client_buckets":"plain","more":1}"#,
            )],
            "damaged",
        );
        check(
            &[(
                "vault.json",
                r#"{"version":1,"disks":["a"],"client_buckets":"x"}"#,
            )],
            "damaged",
        );
        check(
            &[("vault.json", r#"{"version":1,"disks":["a"]}"#)],
            "damaged",
        );
        check(
            &[(
                "vault.json",
                r#"{"version":1,"disks":["a"],"filling":[{"number":1,"disk":"b"}],"client_buckets":"plain"}"#,
            )],
            "damaged",
        );
        check(&[("letter.txt", "hello")], "foreign");
        check(&[(".hidden", "")], "foreign");
        check(&[("disk1.disk", ""), ("vault.key", "")], "foreign");
    }

    #[test]
    fn a_vault_that_lost_its_configuration_is_told_from_what_never_was_one() {
        let told = |files: &[(&str, &str)]| {
            let (_temp, directory) = with_files(files);
            directory.existing().expect_err("no vault").to_string()
        };
        let lost = "vault.json, which says where its disks are, is missing";
        for key in ["vault.key", "vault.tpm"] {
            let said = told(&[("disk1.disk", ""), (key, "")]);
            assert!(said.contains(lost), "{said}");
        }
        let said = told(&[("letter.txt", "hello")]);
        assert!(said.contains("not empty and not a vault"), "{said}");
    }

    #[test]
    fn a_missing_directory_is_vacant_and_a_file_is_refused() {
        let (temp, _directory) = with_files(&[("file", "")]);
        let state = |name: &str| {
            Directory::new(&temp.path().join(name))
                .expect("named")
                .state()
        };
        assert_eq!(state("missing").expect("looked at"), State::Vacant);
        assert!(matches!(state("file"), Err(Error::NotADirectory { .. })));
        assert!(matches!(state("file/below"), Err(Error::File { .. })));
    }

    #[test]
    fn a_path_that_fits_no_line_is_refused() {
        let result = Directory::new(Path::new("/somewhere/two\nlines"));
        assert!(matches!(result, Err(Error::DirectoryName)));
    }

    #[test]
    fn an_interrupted_creation_names_what_to_remove() {
        let (temp, directory) = with_files(&[("vault.creating", CONFIG)]);
        let error = directory.existing().expect_err("half written").to_string();
        let path = temp
            .path()
            .canonicalize()
            .expect("exists")
            .display()
            .to_string();
        assert!(error.starts_with(&path), "{error}");
        assert!(
            error.contains("remove this directory, blank /dev/other"),
            "{error}"
        );
        let mut lock = Lock::take(&directory.lock_file()).expect("taken");
        lock.sign().expect("signed");
        let error = directory.existing().expect_err("half written").to_string();
        assert!(error.contains("being created here by process"), "{error}");
        drop(lock);
    }
}
