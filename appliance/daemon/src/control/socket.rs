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

use super::clients::{ClientAsk, ClientReply, RuleAsk, RuleReply};
use super::desk::{DeskAsk, DeskReply};
use super::protocol::{
    Ask, Challenge, Draining, Join, Joined, PROTOCOL, Question, Reply, Session, Status,
};
use super::tls::{TlsAsk, TlsStatus};
use super::wipe::{WipeAsk, WipeReply};
use crate::desk::guard::NotAllowed;
use crate::error::{Error, Outcome};
use crate::limits::{
    CONTROL_CONNECTION_COUNT_MAX, CONTROL_JOIN_MS_MAX, CONTROL_MS_MAX, CONTROL_REPLY_BYTES_MAX,
    CONTROL_REQUEST_BYTES_MAX, SOCKET_PATH_BYTES_MAX,
};
use crate::signer;

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

    /// Lets a disk join.
    fn join(&self, join: Join) -> impl Future<Output = Outcome<Joined>> + Send;

    /// Begins to move everything off a disk.
    fn drain(&self, number: u16) -> impl Future<Output = Outcome<Draining>> + Send;

    /// Looks at a disk that is to be wiped, or wipes it.
    fn wipe(&self, ask: WipeAsk) -> impl Future<Output = Outcome<WipeReply>> + Send;

    /// Shows or changes clients.
    fn client(&self, ask: ClientAsk) -> impl Future<Output = Outcome<ClientReply>> + Send;

    /// Shows or changes default retention by prefix.
    fn rule(&self, ask: RuleAsk) -> impl Future<Output = Outcome<RuleReply>> + Send;

    /// Shows or changes how TLS is spoken.
    fn tls(&self, ask: TlsAsk) -> impl Future<Output = Outcome<TlsStatus>> + Send;

    /// A challenge for a session.
    fn challenge(&self) -> impl Future<Output = Outcome<Challenge>> + Send;

    /// Whether a question may be acted on; whoever answers for it is in the log then.
    fn allow(
        &self,
        ask: &Ask,
        session: Option<Session>,
    ) -> impl Future<Output = Outcome<()>> + Send;

    /// About people and what they ask for.
    fn desk(&self, ask: DeskAsk) -> impl Future<Output = Outcome<DeskReply>> + Send;
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
                        // A client that is too slow or goes away loses its answer, nothing else.
                        drop(converse(stream, answerer).await);
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
    let moment = Duration::from_millis(CONTROL_MS_MAX);
    let reply = if user == owner || user == 0 {
        let mut line = String::new();
        let (read, _) = stream.split();
        let mut limited = tokio::io::BufReader::new(read.take(CONTROL_REQUEST_BYTES_MAX));
        timeout(moment, limited.read_line(&mut line)).await??;
        match question(&line) {
            Ok((ask, session)) => {
                let limit = limit(&ask);
                within(limit, answer(ask, session, &*answerer)).await
            }
            Err(refused) => refused,
        }
    } else {
        Reply::Refused("only the user who runs the vault may ask".to_owned())
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    timeout(moment, stream.write_all(&text)).await??;
    stream.shutdown().await
}

fn question(line: &str) -> Result<(Ask, Option<Session>), Reply> {
    let Ok(question) = serde_json::from_str::<Question>(line) else {
        return Err(Reply::Refused(
            "the question cannot be understood".to_owned(),
        ));
    };
    if question.protocol != PROTOCOL {
        let asked = question.protocol;
        let text = format!("protocol {asked} was asked for; this is protocol {PROTOCOL}");
        return Err(Reply::Refused(text));
    }
    Ok((question.ask, question.session))
}

async fn answer(ask: Ask, session: Option<Session>, answerer: &impl Answerer) -> Reply {
    match answerer.allow(&ask, session).await {
        Ok(()) => {}
        Err(Error::NotAllowed(NotAllowed::Unsigned)) => {
            let challenge = answerer.challenge().await.map(Reply::Challenge);
            return challenge.unwrap_or_else(|error| Reply::Refused(error.to_string()));
        }
        Err(error) => return Reply::Refused(error.to_string()),
    }
    let reply = match ask {
        Ask::Challenge => answerer.challenge().await.map(Reply::Challenge),
        Ask::Desk(ask) => answerer.desk(ask).await.map(Reply::Desk),
        Ask::Status => {
            let status = answerer.status().await;
            status.map(|status| Reply::Status(Box::new(status)))
        }
        Ask::Join(join) => answerer.join(join).await.map(Reply::Joined),
        Ask::Drain(number) => answerer.drain(number).await.map(Reply::Draining),
        Ask::Wipe(ask) => answerer.wipe(ask).await.map(Reply::Wipe),
        Ask::Client(ask) => answerer.client(ask).await.map(Reply::Client),
        Ask::Rule(ask) => answerer.rule(ask).await.map(Reply::Rules),
        Ask::Tls(ask) => answerer.tls(ask).await.map(Reply::Tls),
    };
    reply.unwrap_or_else(|error| Reply::Refused(error.to_string()))
}

/// What is asked may wait for a rebuild of the index, and is not taken back.
async fn within(limit: Duration, answer: impl Future<Output = Reply>) -> Reply {
    let answered = timeout(limit, answer).await;
    answered.unwrap_or_else(|_elapsed| {
        Reply::Refused(format!(
            "the server is busy and gave no answer within {} s: what was asked may be done, or be done later, or not; see what it \
             is doing with `stele status`, look whether it is done, then ask again",
            limit.as_secs()
        ))
    })
}

/// Time an answer may take.
fn limit(ask: &Ask) -> Duration {
    Duration::from_millis(match ask {
        Ask::Status | Ask::Challenge | Ask::Client(_) | Ask::Rule(_) | Ask::Tls(_) => {
            CONTROL_MS_MAX
        }
        // Every version is looked at, or destroyed.
        Ask::Join(_) | Ask::Drain(_) | Ask::Wipe(_) | Ask::Desk(_) => CONTROL_JOIN_MS_MAX,
    })
}

/// Asks the serving process how the vault is; none when nothing listens.
///
/// # Errors
/// A refusal, or an answer that cannot be understood.
pub fn ask_status(path: &Path) -> Outcome<Option<Status>> {
    match ask(path, Ask::Status)? {
        None => Ok(None),
        Some(Reply::Status(status)) => Ok(Some(*status)),
        Some(Reply::Refused(why)) => Err(Error::ControlRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks the serving process to let a disk join; none when nothing listens.
///
/// # Errors
/// Why it does not, or an answer that cannot be understood.
pub fn ask_join(path: &Path, join: Join) -> Outcome<Option<Joined>> {
    match ask(path, Ask::Join(join))? {
        None => Ok(None),
        Some(Reply::Joined(joined)) => Ok(Some(joined)),
        Some(Reply::Refused(why)) => Err(Error::JoinRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks the serving process to drain a disk; none when nothing listens.
///
/// # Errors
/// Why it does not, or an answer that cannot be understood.
pub fn ask_drain(path: &Path, number: u16) -> Outcome<Option<Draining>> {
    match ask(path, Ask::Drain(number))? {
        None => Ok(None),
        Some(Reply::Draining(draining)) => Ok(Some(draining)),
        Some(Reply::Refused(why)) => Err(Error::JoinRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks the serving process about a disk that is to be wiped; none when nothing listens.
///
/// # Errors
/// Why it is not wiped, or an answer that cannot be understood.
pub fn ask_wipe(path: &Path, question: WipeAsk) -> Outcome<Option<WipeReply>> {
    match ask(path, Ask::Wipe(question))? {
        None => Ok(None),
        Some(Reply::Wipe(reply)) => Ok(Some(reply)),
        Some(Reply::Refused(why)) => Err(Error::JoinRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks the serving process about clients; none when nothing listens.
///
/// # Errors
/// Why it does not, or an answer that cannot be understood.
pub fn ask_client(path: &Path, question: ClientAsk) -> Outcome<Option<ClientReply>> {
    match ask(path, Ask::Client(question))? {
        None => Ok(None),
        Some(Reply::Client(reply)) => Ok(Some(reply)),
        Some(Reply::Refused(why)) => Err(Error::JoinRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks the serving process about default retention by prefix; none when nothing listens.
///
/// # Errors
/// Why it does not, or an answer that cannot be understood.
pub fn ask_rule(path: &Path, question: RuleAsk) -> Outcome<Option<RuleReply>> {
    match ask(path, Ask::Rule(question))? {
        None => Ok(None),
        Some(Reply::Rules(reply)) => Ok(Some(reply)),
        Some(Reply::Refused(why)) => Err(Error::JoinRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks the serving process about TLS; none when nothing listens.
///
/// # Errors
/// Why it does not, or an answer that cannot be understood.
pub fn ask_tls(path: &Path, question: TlsAsk) -> Outcome<Option<TlsStatus>> {
    match ask(path, Ask::Tls(question))? {
        None => Ok(None),
        Some(Reply::Tls(status)) => Ok(Some(status)),
        Some(Reply::Refused(why)) => Err(Error::JoinRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks the serving process about people; none when nothing listens.
///
/// # Errors
/// Why it does not, or an answer that cannot be understood.
pub fn ask_desk(path: &Path, question: DeskAsk) -> Outcome<Option<DeskReply>> {
    match ask(path, Ask::Desk(question))? {
        None => Ok(None),
        Some(Reply::Desk(reply)) => Ok(Some(reply)),
        Some(Reply::Refused(why)) => Err(Error::JoinRefused(why)),
        Some(_) => Err(Error::ControlAnswer),
    }
}

/// Asks, and asks again with the signature of whoever acts, where the server wants one.
fn ask(path: &Path, ask: Ask) -> Outcome<Option<Reply>> {
    let mut question = Question {
        protocol: PROTOCOL,
        ask,
        session: None,
    };
    match ask_once(path, &question)? {
        Some(Reply::Challenge(challenge)) if question.ask != Ask::Challenge => {
            question.session = Some(signer::answer(&question.ask, &challenge)?);
            ask_once(path, &question)
        }
        reply => Ok(reply),
    }
}

fn ask_once(path: &Path, question: &Question) -> Outcome<Option<Reply>> {
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
    let line = exchange(stream, question).map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => Error::ControlCut,
        _ => failed(error),
    })?;
    if !line.ends_with('\n') {
        return Err(Error::ControlCut);
    }
    let reply = serde_json::from_str(&line).map_err(|_| Error::ControlAnswer)?;
    Ok(Some(reply))
}

fn exchange(mut stream: UnixStream, question: &Question) -> std::io::Result<String> {
    // The server itself keeps to the limit of the answer, and then to that of its delivery.
    let moment = Duration::from_millis(CONTROL_MS_MAX);
    stream.set_read_timeout(Some(limit(&question.ask) + moment))?;
    stream.set_write_timeout(Some(moment))?;
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
    use crate::clients::NotChanged;
    use crate::control::clients::{ClientStatus, ClientWish};

    struct Fixed;

    impl Answerer for Fixed {
        async fn status(&self) -> Outcome<Status> {
            Ok(sample())
        }

        async fn join(&self, join: Join) -> Outcome<Joined> {
            match join {
                Join::Resync { number } => Ok(Joined {
                    number,
                    file: "/d".to_owned(),
                }),
                _ => Err(Error::JoinBusy),
            }
        }

        async fn drain(&self, number: u16) -> Outcome<Draining> {
            match number {
                2 => Ok(Draining {
                    number,
                    file: "/d".to_owned(),
                }),
                _ => Err(Error::JoinBusy),
            }
        }

        async fn wipe(&self, _: WipeAsk) -> Outcome<WipeReply> {
            Err(Error::JoinBusy)
        }

        async fn client(&self, ask: ClientAsk) -> Outcome<ClientReply> {
            match ask {
                ClientAsk::List => Ok(ClientReply::List(vec![ClientStatus::default()])),
                _ => Err(NotChanged::NoSuchClient.into()),
            }
        }

        async fn challenge(&self) -> Outcome<Challenge> {
            Err(Error::NoAnswer)
        }

        async fn allow(&self, _ask: &Ask, _session: Option<Session>) -> Outcome<()> {
            Ok(())
        }

        async fn desk(&self, _ask: DeskAsk) -> Outcome<DeskReply> {
            Err(Error::NoAnswer)
        }

        async fn rule(&self, ask: RuleAsk) -> Outcome<RuleReply> {
            match ask.change {
                None => Ok(RuleReply {
                    default: Some(ask.bucket),
                    rules: Vec::new(),
                }),
                Some(_) => Err(Error::NoAnswer),
            }
        }

        async fn tls(&self, _: TlsAsk) -> Outcome<TlsStatus> {
            Err(Error::NoAnswer)
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
            keys: None,
            simulated_clock: false,
            disks: Vec::new(),
            log: None,
            alarms: Vec::new(),
            gateway: None,
            tls: None,
            buckets: None,
            tiers: Vec::new(),
            index: None,
            counters: None,
            healing: None,
            next: Vec::new(),
            forecast: None,
            clock: None,
            people: None,
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
    fn a_disk_that_joins_is_told_from_one_that_does_not() {
        let runtime = runtime();
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("control.sock");
        let resync = Join::Resync { number: 2 };
        assert!(matches!(ask_join(&path, resync.clone()), Ok(None)));
        let socket = {
            let _context = runtime.enter();
            ControlSocket::bind(&path).expect("bound")
        };
        let _task = runtime.spawn(async move { socket.serve(Arc::new(Fixed)).await });
        let joined = ask_join(&path, resync).expect("answered").expect("served");
        assert_eq!(joined.number, 2);
        let draining = ask_drain(&path, 2).expect("answered").expect("served");
        assert_eq!((draining.number, draining.file.as_str()), (2, "/d"));
        assert!(matches!(ask_drain(&path, 3), Err(Error::JoinRefused(_))));
        let add = Join::Add {
            path: "/d".to_owned(),
            bytes: None,
        };
        match ask_join(&path, add) {
            Err(Error::JoinRefused(why)) => assert_eq!(why, Error::JoinBusy.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_that_a_stopping_server_cut_is_in_doubt() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("control.sock");
        let check = |answer: &'static str| {
            let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
            let server = std::thread::spawn(move || {
                let (stream, _) = listener.accept().expect("a question");
                let mut question = String::new();
                let mut stream = BufReader::new(stream);
                stream.read_line(&mut question).expect("asked");
                stream.get_mut().write_all(answer.as_bytes()).expect("sent");
            });
            let answer = ask_status(&path);
            server.join().expect("ended");
            std::fs::remove_file(&path).expect("removed");
            answer
        };
        assert!(matches!(check(""), Err(Error::ControlCut)));
        assert!(matches!(check("{\"status\":"), Err(Error::ControlCut)));
        assert!(matches!(check("none\n"), Err(Error::ControlAnswer)));
    }

    #[tokio::test]
    async fn an_answer_that_is_late_is_no_stop() {
        let late = within(Duration::from_millis(1), std::future::pending()).await;
        match late {
            Reply::Refused(why) => assert!(why.contains("the server is busy"), "{why}"),
            other => panic!("{other:?}"),
        }
        let done = || Reply::Refused("done".to_owned());
        assert_eq!(
            within(Duration::from_secs(1), async { done() }).await,
            done()
        );
    }

    #[test]
    fn clients_and_rules_are_asked_about() {
        let runtime = runtime();
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("control.sock");
        assert!(matches!(ask_client(&path, ClientAsk::List), Ok(None)));
        let socket = {
            let _context = runtime.enter();
            ControlSocket::bind(&path).expect("bound")
        };
        let _task = runtime.spawn(async move { socket.serve(Arc::new(Fixed)).await });
        let listed = ask_client(&path, ClientAsk::List).expect("answered");
        let expected = ClientReply::List(vec![ClientStatus::default()]);
        assert_eq!(listed, Some(expected));
        // The largest question there is.
        let wish = ClientWish {
            buckets: Some(vec![format!("b/{}", "x".repeat(1_024)); 64]),
            ..ClientWish::default()
        };
        let limit = ClientAsk::Limit {
            key_id: "K".to_owned(),
            wish,
        };
        match ask_client(&path, limit) {
            Err(Error::JoinRefused(why)) => {
                assert_eq!(why, NotChanged::NoSuchClient.to_string());
            }
            other => panic!("{other:?}"),
        }
        let rules = RuleAsk {
            bucket: "b".to_owned(),
            change: None,
        };
        let answer = ask_rule(&path, rules).expect("answered").expect("served");
        assert_eq!(answer.default.as_deref(), Some("b"));
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
            other => panic!("{line} was answered: {other:?}"),
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
