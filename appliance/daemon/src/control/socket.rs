//! Both ends of the control socket.
//!
//! The kernel limits the path of a socket to 107 bytes. A longer one is reached through an open
//! descriptor of its directory (`/proc/self/fd/N/control.sock`), so that vaults may lie anywhere.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::protocol::{Ask, PROTOCOL, Question, Reply, Status};
use crate::error::{Error, Outcome};
use crate::limits::{
    CONTROL_CONNECTION_COUNT_MAX, CONTROL_MS_MAX, CONTROL_REPLY_BYTES_MAX,
    CONTROL_REQUEST_BYTES_MAX, SOCKET_PATH_BYTES_MAX,
};

/// A path the kernel takes for a socket, and what keeps it valid.
struct Address {
    path: PathBuf,
    _directory: Option<File>,
}

impl Address {
    fn of(path: &Path) -> std::io::Result<Address> {
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Address {
                path: path.to_owned(),
                _directory: None,
            });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let directory = File::open(parent)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Address {
            path,
            _directory: Some(directory),
        })
    }
}

/// Answers questions.
pub trait Answerer: Send + Sync + 'static {
    /// How the vault is.
    fn status(&self) -> impl Future<Output = Outcome<Status>> + Send;
}

/// The serving end.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Takes the path, replacing a socket that a crashed process left; the caller holds the vault's
    /// lock, so no living process uses it. Must run on the asynchronous runtime.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn bind(path: &Path) -> Outcome<ControlSocket> {
        let failed = |source| Error::Control {
            path: path.to_owned(),
            source,
        };
        if let Ok(metadata) = std::fs::symlink_metadata(path)
            && metadata.file_type().is_socket()
        {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let address = Address::of(path).map_err(failed)?;
        // The process runs with a umask that lets nobody else in from the first moment.
        let listener = UnixListener::bind(&address.path).map_err(failed)?;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).map_err(failed)?;
        Ok(ControlSocket {
            listener,
            path: path.to_owned(),
        })
    }

    /// Serves until the future is dropped.
    pub async fn serve(&self, answerer: Arc<impl Answerer>) {
        let seats = Arc::new(Semaphore::new(CONTROL_CONNECTION_COUNT_MAX));
        loop {
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answerer = Arc::clone(&answerer);
                    tokio::spawn(async move {
                        let _seat = seat;
                        let limit = Duration::from_millis(CONTROL_MS_MAX);
                        // A client that is too slow or goes away loses its answer, nothing else.
                        drop(timeout(limit, converse(stream, answerer)).await);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A left-over socket is replaced by the next start.
        drop(std::fs::remove_file(&self.path));
    }
}

async fn converse(
    mut stream: tokio::net::UnixStream,
    answerer: Arc<impl Answerer>,
) -> std::io::Result<()> {
    let owner = Uid::effective().as_raw();
    let user = stream.peer_cred()?.uid();
    let reply = if user == owner || user == 0 {
        let mut line = String::new();
        let (read, _) = stream.split();
        let mut limited = tokio::io::BufReader::new(read.take(CONTROL_REQUEST_BYTES_MAX));
        limited.read_line(&mut line).await?;
        answer(&line, &*answerer).await
    } else {
        Reply::Refused("only the user who runs the vault may ask".to_owned())
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    stream.shutdown().await
}

async fn answer(line: &str, answerer: &impl Answerer) -> Reply {
    let Ok(question) = serde_json::from_str::<Question>(line) else {
        return Reply::Refused("the question cannot be understood".to_owned());
    };
    if question.protocol != PROTOCOL {
        let asked = question.protocol;
        let text = format!("protocol {asked} was asked for; this is protocol {PROTOCOL}");
        return Reply::Refused(text);
    }
    match question.ask {
        Ask::Status => match answerer.status().await {
            Ok(status) => Reply::Status(Box::new(status)),
            Err(error) => Reply::Refused(error.to_string()),
        },
    }
}

/// Asks the serving process how the vault is; none when nothing listens.
///
/// # Errors
/// A refusal, or an answer that cannot be understood.
pub fn ask_status(path: &Path) -> Outcome<Option<Status>> {
    let failed = |source| Error::Control {
        path: path.to_owned(),
        source,
    };
    let stream = match Address::of(path).and_then(|address| UnixStream::connect(&address.path)) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(failed(error)),
            };
        }
    };
    let question = Question {
        protocol: PROTOCOL,
        ask: Ask::Status,
    };
    let line = exchange(stream, &question).map_err(failed)?;
    match serde_json::from_str(&line).map_err(|_| Error::ControlAnswer)? {
        Reply::Status(status) => Ok(Some(*status)),
        Reply::Refused(why) => Err(Error::ControlRefused(why)),
    }
}

fn exchange(mut stream: UnixStream, question: &Question) -> std::io::Result<String> {
    let limit = Some(Duration::from_millis(CONTROL_MS_MAX));
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    let mut text = serde_json::to_vec(question)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream.take(CONTROL_REPLY_BYTES_MAX)).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Answerer for Fixed {
        async fn status(&self) -> Outcome<Status> {
            Ok(sample())
        }
    }

    fn sample() -> Status {
        Status {
            serving: true,
            process: Some(7),
            version: "0".to_owned(),
            endpoint: None,
            directory: "/v".to_owned(),
            state: "ok".to_owned(),
            reasons: Vec::new(),
            pool: None,
            evaluation: true,
            simulated_clock: false,
            disks: Vec::new(),
            log: None,
            alarms: Vec::new(),
            buckets: None,
            index: None,
            counters: None,
            clock: None,
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    }

    fn raw_reply(path: &Path, line: &str) -> Reply {
        let mut stream = UnixStream::connect(path).expect("connected");
        stream.write_all(line.as_bytes()).expect("asked");
        let mut text = String::new();
        BufReader::new(stream)
            .read_line(&mut text)
            .expect("answered");
        serde_json::from_str(&text).expect("understood")
    }

    #[test]
    fn the_status_comes_back_also_over_long_paths_and_old_sockets() {
        let runtime = runtime();
        let check = |depth: usize| {
            let temp = tempfile::tempdir().expect("a directory");
            let dir = (0..depth).fold(temp.path().to_owned(), |dir, _| dir.join("d".repeat(50)));
            std::fs::create_dir_all(&dir).expect("made");
            let path = dir.join("control.sock");
            assert_eq!(ask_status(&path).expect("nobody there"), None, "{depth}");
            for _restart in 0..2 {
                let socket = {
                    let _context = runtime.enter();
                    ControlSocket::bind(&path).expect("bound")
                };
                let mode = std::fs::metadata(&path)
                    .expect("there")
                    .permissions()
                    .mode();
                assert_eq!(mode & 0o777, 0o600);
                let task = runtime.spawn(async move {
                    socket.serve(Arc::new(Fixed)).await;
                });
                assert_eq!(
                    ask_status(&path).expect("answered"),
                    Some(sample()),
                    "{depth}"
                );
                task.abort();
                assert!(runtime.block_on(task).expect_err("aborted").is_cancelled());
                assert_eq!(ask_status(&path).expect("nobody there"), None, "{depth}");
                // As a crash would leave it.
                drop(std::os::unix::net::UnixListener::bind(&path));
            }
        };
        check(0);
        check(4);
    }

    #[test]
    fn questions_that_make_no_sense_are_refused_in_words() {
        let runtime = runtime();
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("control.sock");
        let socket = {
            let _context = runtime.enter();
            ControlSocket::bind(&path).expect("bound")
        };
        let _task = runtime.spawn(async move { socket.serve(Arc::new(Fixed)).await });
        let check = |line: &str, part: &str| match raw_reply(&path, line) {
            Reply::Refused(why) => assert!(why.contains(part), "{line}: {why}"),
            Reply::Status(_) => panic!("{line} was answered"),
        };
        check("\n", "cannot be understood");
        check("{\"protocol\":1}\n", "cannot be understood");
        check(
            "{\"protocol\":1,\"ask\":\"shutdown\"}\n",
            "cannot be understood",
        );
        check("{\"protocol\":9,\"ask\":\"status\"}\n", "protocol 9");
    }
}
