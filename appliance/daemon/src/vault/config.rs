//! `vault.json`: which disks belong to the vault, which of them are being filled or drained, and which
//! kind of bucket clients get.
//!
//! Clients, their rights and certificates lie in the vault's own log: a lost or edited file can hide
//! disks and change what new buckets are, but it touches nothing stored and grants no right.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stele_format::limits::MEMBERS_MAX;
use stele_store::policy::BucketKind;

use crate::error::{Error, Outcome, at};
use crate::files;
use crate::keys::KeySource;
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// The only form there is so far.
const VERSION: u32 = 1;

/// The content of `vault.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    version: u32,
    disks: Vec<String>,
    /// Disks that do not hold yet what they should; filling them goes on at each start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filling: Vec<Filling>,
    /// Number, from 1, of the disk that everything is moved off; that goes on at each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draining: Option<u16>,
    /// Disks that were drained: they keep their places in the list and are not opened any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drained: Vec<String>,
    /// Serial numbers of the drives, by disk, as they were when each was last there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    serials: BTreeMap<String, String>,
    client_buckets: String,
    /// What holds the vault's key, if it is not the key file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_provider: Option<String>,
}

/// A disk that is being filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filling {
    /// Its number in the vault, from 1.
    number: u16,
    /// One of the disks.
    disk: String,
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
            filling: Vec::new(),
            draining: None,
            drained: Vec::new(),
            serials: BTreeMap::new(),
            client_buckets: client_buckets.name().to_owned(),
            key_provider: None,
        })
    }

    /// The same with its key held by this.
    #[must_use]
    pub fn with_key_source(self, source: &KeySource) -> Config {
        let key_provider = Some(source).filter(|source| **source != KeySource::File);
        Config {
            key_provider: key_provider.map(KeySource::to_string),
            ..self
        }
    }

    /// What holds the vault's key.
    pub fn key_source(&self) -> KeySource {
        let source = self.key_provider.as_ref().map(|text| text.parse());
        // `with_key_source` and `read` let only known ones in.
        source.and_then(Result::ok).unwrap_or_default()
    }

    /// The disks in the order of their creation, relative ones resolved against `dir`.
    pub fn disks(&self, dir: &Path) -> Vec<PathBuf> {
        self.disks.iter().map(|name| dir.join(name)).collect()
    }

    /// The serial number of the drive at place `at`, as it was when one was last there.
    pub fn serial(&self, at: usize) -> Option<&String> {
        self.serials.get(self.disks.get(at)?)
    }

    /// Those of all places, by the number of the disk that is there, from 1, where nobody moved it.
    pub fn serials(&self) -> BTreeMap<u16, String> {
        let places = (0..self.disks.len()).zip(1..);
        places
            .filter_map(|(at, number)| Some((number, self.serial(at)?.clone())))
            .collect()
    }

    /// The same with the serial numbers of the drives that are there, by place.
    #[must_use]
    pub fn with_serials(&self, here: impl Iterator<Item = (usize, String)>) -> Config {
        let mut config = self.clone();
        for (at, serial) in here {
            if let Some(name) = self.disks.get(at) {
                config.serials.insert(name.clone(), serial);
            }
        }
        config
    }

    /// The disks that do not lie in the vault's directory.
    pub fn disks_outside(&self) -> Vec<PathBuf> {
        self.disks
            .iter()
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .collect()
    }

    /// The disks that are being filled, by number, resolved as by `disks`.
    pub fn filling(&self, dir: &Path) -> Vec<(u16, PathBuf)> {
        let entry = |filling: &Filling| (filling.number, dir.join(&filling.disk));
        self.filling.iter().map(entry).collect()
    }

    /// The same with a disk put at place `at`, or behind the others, that is to be filled as disk
    /// `number`.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_filling(&self, at: Option<usize>, disk: &Path, number: u16) -> Outcome<Config> {
        let mut disks: Vec<PathBuf> = self.disks.iter().map(PathBuf::from).collect();
        match at.and_then(|at| disks.get_mut(at)) {
            Some(place) => disk.clone_into(place),
            None => disks.push(disk.to_owned()),
        }
        let mut config = Config::new(&disks, self.client_buckets())?;
        config.key_provider.clone_from(&self.key_provider);
        // What is at the place now is another drive.
        let stays = |(name, _): &(&String, &String)| {
            config.disks.contains(name) && Some(name.as_str()) != disk.to_str()
        };
        let serials = self.serials.iter().filter(stays);
        config.serials = serials
            .map(|(name, serial)| (name.clone(), serial.clone()))
            .collect();
        config.filling.clone_from(&self.filling);
        config.draining = self.draining.filter(|draining| *draining != number);
        let kept =
            |filling: &Filling| filling.number != number && config.disks.contains(&filling.disk);
        config.filling.retain(kept);
        let disk = disk.to_str().ok_or_else(|| Error::DiskPath {
            path: disk.to_owned(),
        })?;
        let named = |drained: &&String| *drained != disk && config.disks.contains(drained);
        config.drained = self.drained.iter().filter(named).cloned().collect();
        config.filling.push(Filling {
            number,
            disk: disk.to_owned(),
        });
        Ok(config)
    }

    /// The same with disk `number` filled.
    pub fn filled(&self, number: u16) -> Config {
        let mut config = self.clone();
        config.filling.retain(|filling| filling.number != number);
        config
    }

    /// The disk that everything is moved off, by number.
    pub fn draining(&self) -> Option<u16> {
        self.draining
    }

    /// The same with nothing more to be moved: the disk at place `at`, if there is one, is drained.
    #[must_use]
    pub fn with_drained(&self, at: Option<usize>) -> Config {
        let mut config = self.with_draining(None);
        if let Some(disk) = at.and_then(|at| self.disks.get(at)) {
            config.drained.push(disk.clone());
        }
        config
    }

    /// Whether the vault has let go of the disk at place `at`.
    pub fn is_drained(&self, at: usize) -> bool {
        let disk = self.disks.get(at);
        disk.is_some_and(|disk| self.drained.contains(disk))
    }

    /// The same with everything to be moved off this disk, or off none.
    #[must_use]
    pub fn with_draining(&self, draining: Option<u16>) -> Config {
        Config {
            draining,
            ..self.clone()
        }
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
        read.map_err(|error| Error::Config {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        Self::parse(&text, path).map(Some)
    }

    /// Reads the text of a configuration, which lies at this path.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn parse(text: &str, path: &Path) -> Outcome<Config> {
        let damaged = |what: String| Error::Config {
            path: path.to_owned(),
            what,
        };
        let config: Config =
            serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if config.version != VERSION {
            return Err(damaged(format!("version {} is unknown", config.version)));
        }
        if config.disks.is_empty() || config.disks.len() > MEMBERS_MAX {
            return Err(damaged(format!("it lists {} disks", config.disks.len())));
        }
        if let Some(other) = config
            .filling
            .iter()
            .find(|filling| !config.disks.contains(&filling.disk))
        {
            return Err(damaged(format!(
                "it fills {}, which is none of its disks",
                other.disk
            )));
        }
        if BucketKind::from_name(&config.client_buckets).is_none() {
            return Err(damaged("the kind of client buckets is unknown".to_owned()));
        }
        if let Some(text) = &config.key_provider {
            text.parse::<KeySource>()
                .map_err(|error| damaged(format!("its key provider is {error}")))?;
        }
        Ok(config)
    }

    /// Writes a new file, durably; its name is made durable by the caller.
    ///
    /// # Errors
    /// When anything exists there, or it cannot be written.
    pub fn write_new(&self, path: &Path) -> Outcome<()> {
        let text = self.text(path)?;
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

    /// Puts this in the place of an existing file: every reader sees the old or the new, also after a
    /// power cut.
    ///
    /// # Errors
    /// What the kernel reports; the old file is then untouched.
    pub fn replace(&self, path: &Path) -> Outcome<()> {
        files::replace(path, self.text(path)?.as_bytes(), 0o600)
    }

    /// The text of the file at this path.
    ///
    /// # Errors
    /// Never in practice; the fields are plain.
    pub fn text(&self, path: &Path) -> Outcome<String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| Error::Config {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        text.push('\n');
        Ok(text)
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
    fn disks_that_are_filled_are_noted_until_they_are() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("vault.json");
        let names = ["a", "b", "c"].map(PathBuf::from);
        let config = Config::new(&names, BucketKind::Plain).expect("valid");
        config.write_new(&path).expect("written");
        let dir = Path::new("/v");
        let check = |config: &Config, disks: &[&str], filling: &[(u16, &str)]| {
            config.replace(&path).expect("replaced");
            let read = Config::read(&path).expect("read").expect("there");
            assert_eq!(&read, config);
            let at = |name: &&str| dir.join(name);
            let expected: Vec<PathBuf> = disks.iter().map(at).collect();
            assert_eq!(read.disks(dir), expected);
            let expected: Vec<(u16, PathBuf)> = filling
                .iter()
                .map(|(number, name)| (*number, at(name)))
                .collect();
            assert_eq!(read.filling(dir), expected);
        };
        let with = |config: &Config, at, name: &str, number| {
            config.with_filling(at, Path::new(name), number)
        };
        let replaced = with(&config, Some(1), "/new", 2).expect("valid");
        check(&replaced, &["a", "/new", "c"], &[(2, "/new")]);
        let again = with(&replaced, Some(1), "newer", 2).expect("valid");
        check(&again, &["a", "newer", "c"], &[(2, "newer")]);
        let added = with(&again, None, "d", 4).expect("valid");
        let both: &[(u16, &str)] = &[(2, "newer"), (4, "d")];
        check(&added, &["a", "newer", "c", "d"], both);
        check(&added.filled(2), &["a", "newer", "c", "d"], &[(4, "d")]);
        check(&added.filled(2).filled(4), &["a", "newer", "c", "d"], &[]);
        let leaves = added.with_draining(Some(3));
        check(&leaves, &["a", "newer", "c", "d"], both);
        let replaced = |number| {
            with(&leaves, Some(0), "x", number)
                .expect("valid")
                .draining()
        };
        assert_eq!((replaced(1), replaced(3)), (Some(3), None));
        let left = leaves.with_drained(Some(2));
        check(&left, &["a", "newer", "c", "d"], both);
        assert_eq!((left.draining(), left.is_drained(2)), (None, true));
        assert!(!left.is_drained(1) && !leaves.with_drained(None).is_drained(2));
        let again = |name| with(&left, Some(2), name, 3).expect("valid");
        assert!(!again("c").is_drained(2) && !again("e").is_drained(2));
        let twice = with(&config, Some(1), "c", 2);
        assert!(matches!(twice, Err(Error::DiskTwice { .. })));
    }

    #[test]
    fn a_drive_is_known_by_its_serial_until_another_takes_its_place() {
        let names = ["a", "b"].map(PathBuf::from);
        let config = Config::new(&names, BucketKind::Plain).expect("two disks");
        let here = [(0, "one".to_owned()), (1, "two".to_owned())];
        let config = config.with_serials(here.into_iter());
        // What is not there now keeps its number.
        let config = config.with_serials(std::iter::once((0, "uno".to_owned())));
        let known = |config: &Config| [0, 1, 2].map(|at| config.serial(at).cloned());
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(known(&config), [said("uno"), said("two"), None]);
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("vault.json");
        config.write_new(&path).expect("written");
        assert_eq!(Config::read(&path).expect("read"), Some(config.clone()));
        for (disk, expected) in [("b", [said("uno"), None]), ("c", [said("uno"), None])] {
            let replaced = config.with_filling(Some(1), Path::new(disk), 2);
            let replaced = known(&replaced.expect("named"));
            assert_eq!(replaced[..2], expected, "{disk}");
        }
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
