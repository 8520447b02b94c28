//! What a witness knows: for each log its key, and the newest note it cosigned.
//!
//! `DIR/<pool>.log` holds the key's line, a line `time <seconds>`, an empty line and that note; before the first
//! cosignature the key's line and `nothing seen`. `DIR/<pool>.evidence-<n>/` holds what contradicted it. `DIR/lock` is held while
//! anything is decided.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use stele_format::checkpoint::{Checkpoint, LogKey, Origin, UnverifiedCheckpoint};

use crate::error::Refusal;
use crate::files;
use crate::limits::EVIDENCE_COUNT_MAX;

const NOTHING_SEEN: &str = "nothing seen\n";

/// The newest note that was cosigned, and when.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The note, with this witness's line.
    pub note: UnverifiedCheckpoint,
    /// What the log's key signed in it.
    pub checkpoint: Checkpoint,
    /// The time that was stated, in seconds since 1970.
    pub seconds: u64,
}

/// A log that is known.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its key.
    pub key: LogKey,
    /// What was seen of it.
    pub seen: Option<Seen>,
}

/// The state directory, with its lock.
#[derive(Debug)]
pub struct State {
    directory: PathBuf,
    /// Held until the state is dropped.
    _lock: File,
}

impl State {
    /// The state in a directory, which is made where there is none.
    ///
    /// # Errors
    /// [`Refusal::File`].
    pub fn open(directory: &Path) -> Result<Self, Refusal> {
        fs::create_dir_all(directory).map_err(Refusal::file(directory))?;
        let path = directory.join("lock");
        let lock = File::create(&path).map_err(Refusal::file(&path))?;
        lock.lock().map_err(Refusal::file(&path))?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    fn path(&self, origin: Origin) -> PathBuf {
        // After a forced opening it is another log: what was seen of the one before stays.
        let name = match origin.opening() {
            opening if opening.is_zero() => format!("{}.log", origin.pool()),
            opening => format!("{}-{opening}.log", origin.pool()),
        };
        self.directory.join(name)
    }

    /// What is known of a log.
    ///
    /// # Errors
    /// It is not known, or what is known cannot be read.
    pub fn log(&self, origin: Origin) -> Result<Log, Refusal> {
        let path = self.path(origin);
        if !path.exists() {
            return Err(Refusal::Unknown(origin));
        }
        let text = files::read(&path)?;
        let log = parse(&text).filter(|log| log.key.origin() == origin);
        log.ok_or(Refusal::State(path))
    }

    /// Makes a log known with its key.
    ///
    /// # Errors
    /// It is known with another one.
    pub fn trust(&self, key: &LogKey) -> Result<(), Refusal> {
        match self.log(key.origin()) {
            Ok(log) if log.key == *key => Ok(()),
            Ok(_) => Err(Refusal::OtherKey(key.origin())),
            Err(Refusal::Unknown(_)) => {
                files::replace(&self.path(key.origin()), &format!("{key}\n{NOTHING_SEEN}"))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Remembers a note that is about to be given out.
    ///
    /// # Errors
    /// [`Refusal::File`]: then it must not be given out.
    pub fn remember(
        &self,
        key: &LogKey,
        note: &UnverifiedCheckpoint,
        seconds: u64,
    ) -> Result<(), Refusal> {
        let text = format!("{key}\ntime {seconds}\n\n{}", note.text());
        files::replace(&self.path(key.origin()), &text)
    }

    /// Keeps two notes that contradict each other, and the proof that was brought; where. The same evidence is kept
    /// once.
    ///
    /// # Errors
    /// [`Refusal::File`].
    pub fn keep(
        &self,
        seen: &Seen,
        offered: &UnverifiedCheckpoint,
        proof: Option<&str>,
    ) -> Result<PathBuf, Refusal> {
        let pool = seen.checkpoint.origin.pool();
        let mut place = PathBuf::new();
        for number in 1..=EVIDENCE_COUNT_MAX {
            place = self.directory.join(format!("{pool}.evidence-{number}"));
            let path = place.join("offered");
            if !path.exists() {
                fs::create_dir_all(&place).map_err(Refusal::file(&place))?;
                files::replace(&place.join("seen"), seen.note.text())?;
                if let Some(proof) = proof {
                    files::replace(&place.join("proof"), proof)?;
                }
                // Last, so that evidence of which this is there is whole.
                files::replace(&path, offered.text())?;
                return Ok(place);
            }
            if files::read(&path)? == offered.text() {
                return Ok(place);
            }
        }
        Ok(place)
    }
}

fn parse(text: &str) -> Option<Log> {
    let (key, rest) = text.split_once('\n')?;
    let key = LogKey::parse(key).ok()?;
    // A file that was cut short is not one of a log of which nothing was seen.
    if rest == NOTHING_SEEN {
        return Some(Log { key, seen: None });
    }
    let (time, note) = rest.split_once("\n\n")?;
    let seconds = time.strip_prefix("time ")?.parse().ok()?;
    let note = UnverifiedCheckpoint::parse(note).ok()?;
    let checkpoint = note.verify(&key).ok()?;
    let seen = Seen {
        note,
        checkpoint,
        seconds,
    };
    Some(Log {
        key,
        seen: Some(seen),
    })
}
