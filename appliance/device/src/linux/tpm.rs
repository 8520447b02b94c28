//! Ways to a TPM: the kernel's device, or the socket of an emulator on this machine. And the file that
//! keeps what a vault needs to find its counter again.
//!
//! Invariant: an answer is read only as long as its header says and a TPM may make it.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;

use super::keyfile::{KeyFileError, read_private, write_private};
use crate::keyprovider::tpm::{Connect, Note, Transact};
use crate::limits::{TPM_ANSWER_SECONDS_MAX, TPM_MESSAGE_BYTES_MAX};

/// Tag, length and code of an answer, bytes.
const HEADER_BYTES: usize = 10;

/// Where a TPM is reached.
///
/// As text `tpm:/dev/tpmrm0`, `tpm:unix:/path/to/socket` or `tpm:tcp:127.0.0.1:2321`; the latter two are
/// the data channel of an emulator that no other program uses, and TCP must stay on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmAddress {
    /// A character device with the kernel's resource manager.
    Device(PathBuf),
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port of this machine.
    Tcp(SocketAddr),
}

/// A text says no way to a TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not tpm:/dev/NAME, tpm:unix:/PATH or tpm:tcp:127.0.0.1:PORT")]
pub struct NotTpmAddress;

impl std::str::FromStr for TpmAddress {
    type Err = NotTpmAddress;

    fn from_str(text: &str) -> Result<TpmAddress, NotTpmAddress> {
        let rest = text.strip_prefix("tpm:").ok_or(NotTpmAddress)?;
        let absolute = |path: &str| {
            let path = PathBuf::from(path);
            let plain = path.is_absolute() && !text.chars().any(char::is_control);
            plain.then_some(path).ok_or(NotTpmAddress)
        };
        if let Some(path) = rest.strip_prefix("unix:") {
            return absolute(path).map(TpmAddress::Unix);
        }
        if let Some(address) = rest.strip_prefix("tcp:") {
            let address: SocketAddr = address.parse().map_err(|_| NotTpmAddress)?;
            let here = address.ip().is_loopback().then_some(address);
            return here.map(TpmAddress::Tcp).ok_or(NotTpmAddress);
        }
        absolute(rest).map(TpmAddress::Device)
    }
}

impl std::fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TpmAddress::Device(path) => write!(f, "tpm:{}", path.display()),
            TpmAddress::Unix(path) => write!(f, "tpm:unix:{}", path.display()),
            TpmAddress::Tcp(address) => write!(f, "tpm:tcp:{address}"),
        }
    }
}

impl Connect for TpmAddress {
    fn connect(&self) -> std::io::Result<Box<dyn Transact + '_>> {
        Ok(match self {
            TpmAddress::Device(path) => Box::new(Device::open(path)?),
            TpmAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience()))?;
                stream.set_write_timeout(Some(patience()))?;
                Box::new(Stream(stream))
            }
            TpmAddress::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience())?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience()))?;
                stream.set_write_timeout(Some(patience()))?;
                Box::new(Stream(stream))
            }
        })
    }

    fn clears_up(&self) -> bool {
        matches!(self, TpmAddress::Device(_))
    }
}

fn patience() -> Duration {
    Duration::from_secs(TPM_ANSWER_SECONDS_MAX)
}

/// The kernel's device: one write is a command, one read its answer.
struct Device(File);

impl Device {
    fn open(path: &Path) -> std::io::Result<Device> {
        // A pipe in place of the device must not block, and a file must not be written into.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags((OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits())
            .open(path)?;
        if !file.metadata()?.file_type().is_char_device() {
            return Err(Error::new(ErrorKind::InvalidInput, "not a device"));
        }
        drop(file);
        let blocking = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_CLOEXEC.bits())
            .open(path)?;
        Ok(Device(blocking))
    }
}

impl Transact for Device {
    fn transact(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>> {
        let written = self.0.write(command)?;
        if written != command.len() {
            return Err(ErrorKind::WriteZero.into());
        }
        let mut answer = vec![0; TPM_MESSAGE_BYTES_MAX];
        let count = self.0.read(&mut answer)?;
        answer.truncate(count);
        Ok(answer)
    }
}

/// A stream of commands and answers.
struct Stream<S>(S);

impl<S: Read + Write> Transact for Stream<S> {
    fn transact(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut answer = vec![0; HEADER_BYTES];
        self.0.read_exact(&mut answer)?;
        let length = u32::from_be_bytes([answer[2], answer[3], answer[4], answer[5]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(HEADER_BYTES..=TPM_MESSAGE_BYTES_MAX).contains(&length) {
            return Err(ErrorKind::InvalidData.into());
        }
        answer.resize(length, 0);
        self.0.read_exact(&mut answer[HEADER_BYTES..])?;
        Ok(answer)
    }
}

/// Stores a note under `path`, durably, readable by its owner only.
///
/// # Errors
/// When anything exists there already, or it cannot be written.
pub fn store_note(path: &Path, note: &Note) -> Result<(), KeyFileError> {
    write_private(path, &note.encode())
}

/// Reads the note stored under `path`.
///
/// # Errors
/// When it is missing, damaged, or open to others than its owner.
pub fn read_note(path: &Path) -> Result<Note, KeyFileError> {
    let text = read_private(path)?;
    let note = std::str::from_utf8(&text).ok().and_then(Note::decode);
    note.ok_or_else(|| KeyFileError::Damaged {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests;
