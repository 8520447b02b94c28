//! `vault.json`: which disks belong to the vault, and which kind of bucket clients get.
//!
//! Clients, their rights and certificates lie in the vault's own log: a lost or edited file can hide
//! disks and change what new buckets are, but it touches nothing stored and grants no right.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stele_format::limits::MEMBERS_MAX;
use stele_store::policy::BucketKind;

use crate::error::{Error, Outcome, at};
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// The only form there is so far.
const VERSION: u32 = 1;

/// The content of `vault.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    version: u32,
    disks: Vec<String>,
    client_buckets: String,
}

impl Config {
    /// A configuration of these disks (absolute paths, or names inside the directory) and of the kind
    /// of buckets that clients make without asking for Object Lock.
    ///
    /// # Errors
    /// When there are too many, one twice, or a path is not UTF-8.
    pub fn new(disks: &[PathBuf], client_buckets: BucketKind) -> Outcome<Config> {
        if disks.len() > MEMBERS_MAX {
            return Err(Error::DiskCount {
                disks_max: MEMBERS_MAX,
            });
        }
        let mut names = Vec::with_capacity(disks.len());
        for path in disks {
            let name = path
                .to_str()
                .ok_or_else(|| Error::DiskPath { path: path.clone() })?;
            if names.iter().any(|earlier| earlier == name) {
                return Err(Error::DiskTwice { path: path.clone() });
            }
            names.push(name.to_owned());
        }
        Ok(Config {
            version: VERSION,
            disks: names,
            client_buckets: client_buckets.name().to_owned(),
        })
    }

    /// The disks in the order of their creation, relative ones resolved against `dir`.
    pub fn disks(&self, dir: &Path) -> Vec<PathBuf> {
        self.disks.iter().map(|name| dir.join(name)).collect()
    }

    /// The disks that do not lie in the vault's directory.
    pub fn disks_outside(&self) -> Vec<PathBuf> {
        self.disks
            .iter()
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .collect()
    }

    /// The kind of buckets that clients make without asking for Object Lock.
    pub fn client_buckets(&self) -> BucketKind {
        // `new` and `read` let only known names in.
        BucketKind::from_name(&self.client_buckets).unwrap_or(BucketKind::DefaultLocked)
    }

    /// Reads a configuration; none if there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn read(path: &Path) -> Outcome<Option<Config>> {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(path)(error)),
        };
        let mut text = String::new();
        let read = file.take(CONFIG_FILE_BYTES_MAX).read_to_string(&mut text);
        let damaged = |what: String| Error::Config {
            path: path.to_owned(),
            what,
        };
        read.map_err(|error| damaged(error.to_string()))?;
        let config: Config =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if config.version != VERSION {
            return Err(damaged(format!("version {} is unknown", config.version)));
        }
        if config.disks.is_empty() || config.disks.len() > MEMBERS_MAX {
            return Err(damaged(format!("it lists {} disks", config.disks.len())));
        }
        if BucketKind::from_name(&config.client_buckets).is_none() {
            return Err(damaged("the kind of client buckets is unknown".to_owned()));
        }
        Ok(Some(config))
    }

    /// Writes a new file, durably; its name is made durable by the caller.
    ///
    /// # Errors
    /// When anything exists there, or it cannot be written.
    pub fn write_new(&self, path: &Path) -> Outcome<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| Error::Config {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        text.push('\n');
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(at(path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(at(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("vault.json");
        let disks = [
            PathBuf::from("disk1.disk"),
            PathBuf::from("/dev/disk/by-id/a b"),
        ];
        let config = Config::new(&disks, BucketKind::Plain).expect("valid");
        config.write_new(&path).expect("written");
        assert_eq!(Config::read(&path).expect("read"), Some(config.clone()));
        assert_eq!(config.client_buckets(), BucketKind::Plain);
        let resolved = config.disks(Path::new("/v"));
        assert_eq!(resolved, [PathBuf::from("/v/disk1.disk"), disks[1].clone()]);
        assert_eq!(config.disks_outside(), [disks[1].clone()]);
        assert!(
            config.write_new(&path).is_err(),
            "an existing file was overwritten"
        );
    }

    #[test]
    fn impossible_lists_are_refused() {
        let same = [PathBuf::from("/d"), PathBuf::from("/d")];
        assert!(matches!(
            Config::new(&same, BucketKind::Plain),
            Err(Error::DiskTwice { .. })
        ));
        let many: Vec<PathBuf> = (0..=MEMBERS_MAX)
            .map(|n| PathBuf::from(format!("/d{n}")))
            .collect();
        assert!(matches!(
            Config::new(&many, BucketKind::Plain),
            Err(Error::DiskCount { .. })
        ));
    }
}
