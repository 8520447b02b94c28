//! The lock that keeps a second process away from a vault.
//!
//! The kernel holds it (`flock`) and drops it with the process, so a crash leaves no stale lock.
//! The number in the file only serves messages; it is written once nothing can be refused any more,
//! so that a refused start changes nothing at all.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::error::{Error, Outcome, at};
use crate::limits::{LOCK_ATTEMPT_COUNT_MAX, LOCK_ATTEMPT_PAUSE_MS};

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its process number, if it could be read.
    pub number: Option<u32>,
}

impl Lock {
    /// Takes the lock, making its file if there is none.
    ///
    /// # Errors
    /// `AlreadyServed` for the directory of the file when another process holds it, or what the
    /// kernel reports.
    pub fn take(path: &Path) -> Outcome<Lock> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(at(path))?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let dir = path.parent().unwrap_or(path).to_owned();
                return Err(Error::AlreadyServed {
                    dir,
                    process: number_in(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(at(path)(error)),
        }
        Ok(Lock {
            file,
            path: path.to_owned(),
        })
    }

    /// Leaves our number for others to read.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn sign(&mut self) -> Outcome<()> {
        let text = format!("{}\n", std::process::id());
        let file = &mut self.file;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(at(&self.path))
    }

    /// Who holds the lock now; none when nobody does. Changes nothing.
    pub fn holder(path: &Path) -> Option<Holder> {
        let mut file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(Holder {
                number: number_in(&mut file),
            }),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// Tries for a moment: whoever asks for the holder holds the lock himself for an instant.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_ATTEMPT_COUNT_MAX {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(LOCK_ATTEMPT_PAUSE_MS));
            }
            result => return result,
        }
    }
    file.try_lock()
}

fn number_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    // Left by a process that is gone, the number would only mislead.
    let alive = |number: &u32| {
        i32::try_from(*number).is_ok_and(|number| {
            !matches!(
                kill(Pid::from_raw(number), None),
                Err(nix::errno::Errno::ESRCH)
            )
        })
    };
    text.trim().parse().ok().filter(alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_a_dropped_one_is_free() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("vault.lock");
        assert_eq!(Lock::holder(&path), None);
        let mut lock = Lock::take(&path).expect("free");
        assert_eq!(Lock::holder(&path), Some(Holder { number: None }));
        lock.sign().expect("written");
        let ours = Some(std::process::id());
        assert_eq!(Lock::holder(&path), Some(Holder { number: ours }));
        let Err(Error::AlreadyServed { process, .. }) = Lock::take(&path) else {
            panic!("taken twice");
        };
        assert_eq!(process, ours);
        drop(lock);
        assert_eq!(Lock::holder(&path), None);
        std::fs::write(&path, "99999999999\nleft by a longer number").expect("written");
        let mut again = Lock::take(&path).expect("free again");
        assert_eq!(Lock::holder(&path), Some(Holder { number: None }));
        again.sign().expect("written");
        assert_eq!(Lock::holder(&path), Some(Holder { number: ours }));
    }
}
