//! The real binary as a child process, and what the tests ask about it.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod disks;
pub mod locks;
pub mod people;
pub mod s3;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Size of test disks: small enough to look at, large enough for a vault.
pub const DISK: &str = "1GiB";
/// Looks at the status before what is waited for counts as never happening.
const LOOK_COUNT_MAX: usize = 20_000;
/// A start or stop that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary with arguments.
pub fn stele(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stele"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a verb to its end.
pub fn run(args: &[&str]) -> Output {
    stele(args).output().expect("the binary runs")
}

/// Runs a verb that must succeed, and gives its standard output.
pub fn succeed(args: &[&str]) -> String {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a verb that must be refused with exit code 1 and one sentence, and gives the sentence.
pub fn refuse(args: &[&str]) -> String {
    let output = run(args);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    let sentences: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("stele: "))
        .collect();
    assert_eq!(sentences.len(), 1, "{args:?}: {said}");
    sentences[0].to_owned()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// A place for a vault.
pub struct Place {
    _temp: tempfile::TempDir,
    /// The vault's directory, not made yet.
    pub vault: PathBuf,
}

impl Place {
    /// An empty place.
    pub fn new() -> Place {
        let temp = tempfile::tempdir().expect("a directory");
        let vault = temp.path().canonicalize().expect("exists").join("vault");
        Place { _temp: temp, vault }
    }

    /// A place with a vault of three small disks.
    pub fn with_vault() -> Place {
        Self::with_disks_of(DISK)
    }

    /// The same with disks of this size.
    pub fn with_disks_of(disk_bytes: &str) -> Place {
        let place = Place::new();
        succeed(&["create", text(&place.vault), "--disk-bytes", disk_bytes]);
        place
    }

    /// A file of the vault.
    pub fn file(&self, name: &str) -> PathBuf {
        self.vault.join(name)
    }

    /// The vault's directory beside which more may lie.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.vault.parent().expect("has one").join(name)
    }

    /// `stele status --json` as a value.
    pub fn status(&self) -> serde_json::Value {
        let json = succeed(&["status", "--vault", text(&self.vault), "--json"]);
        serde_json::from_str(&json).expect("JSON")
    }

    /// Looks at the status again and again until this holds, and gives it.
    pub fn wait_for(
        &self,
        what: &str,
        holds: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        for _ in 0..LOOK_COUNT_MAX {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("never: {what}; {}", self.status());
    }

    /// `vault.json` as a value.
    pub fn config(&self) -> serde_json::Value {
        let text = std::fs::read_to_string(self.file("vault.json")).expect("read");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Why `stele serve` refuses.
    pub fn serve_refused(&self) -> String {
        refuse(&[
            "serve",
            "--vault",
            text(&self.vault),
            "--listen",
            "127.0.0.1:0",
        ])
    }

    /// Names, sizes, permissions and change times: equal before and after what changes nothing.
    pub fn fingerprint(&self) -> BTreeMap<PathBuf, (u64, u32, std::time::SystemTime)> {
        let entries = std::fs::read_dir(&self.vault).expect("a directory");
        entries
            .map(|entry| {
                let entry = entry.expect("readable");
                let data = entry.metadata().expect("there");
                let changed = data.modified().expect("known");
                (
                    entry.path(),
                    (data.len(), data.permissions().mode(), changed),
                )
            })
            .collect()
    }
}

/// A serving process; killed when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    /// What `client.env` says.
    pub env: BTreeMap<String, String>,
}

impl Server {
    /// Starts `stele serve` on a port of the system's choice and waits until it accepts.
    pub fn start(place: &Place) -> Server {
        Server::start_at(place, "127.0.0.1:0")
    }

    /// As [`Server::start`], with further arguments.
    pub fn start_with(place: &Place, more: &[&str]) -> Server {
        Server::spawn(place, "127.0.0.1:0", more)
    }

    /// Starts `stele serve` and waits until it accepts.
    pub fn start_at(place: &Place, listen: &str) -> Server {
        Server::spawn(place, listen, &[])
    }

    fn spawn(place: &Place, listen: &str, more: &[&str]) -> Server {
        let log = place.beside("log");
        let file = std::fs::File::create(&log).expect("created");
        let env_file = place.file("client.env");
        drop(std::fs::remove_file(&env_file));
        let mut child = stele(&["serve", "--vault", text(&place.vault), "--listen", listen])
            .args(more)
            .stdout(file.try_clone().expect("cloned"))
            .stderr(file)
            .spawn()
            .expect("the binary runs");
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("waited") {
                panic!("ended with {status}:\n{}", read(&log));
            }
            if env_file.exists() {
                let env = read_env(&env_file);
                if TcpStream::connect(address_of(&env)).is_ok() {
                    return Server { child, log, env };
                }
            }
            if started.elapsed() > PATIENCE {
                drop(child.kill());
                panic!("did not start:\n{}", read(&log));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        address_of(&self.env)
    }

    /// What it printed so far.
    pub fn said(&self) -> String {
        read(&self.log)
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited");
    }

    /// A signal, and the exit code it leads to.
    pub fn end(mut self, signal: Signal) -> ExitStatus {
        let id = i32::try_from(self.child.id()).expect("a process number");
        kill(Pid::from_raw(id), signal).expect("signalled");
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "did not stop:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `kill` and `end` there is nothing left to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A request without a signature over TLS, trusting only the vault's own authority.
pub fn unsigned_get(ca_pem: &str, address: SocketAddr, name: &str) -> std::io::Result<String> {
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let reply = exchange(ca_pem, address, name, &[request])?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// Sends bytes over TLS and reads until the other end closes.
pub fn exchange(
    ca_pem: &str,
    address: SocketAddr,
    name: &str,
    parts: &[&[u8]],
) -> std::io::Result<Vec<u8>> {
    exchange_slowly(ca_pem, address, name, parts, &mut |_| {})
}

/// As [`exchange`], with something done before each part. A server that answers before it has everything
/// is heard too.
pub fn exchange_slowly(
    ca_pem: &str,
    address: SocketAddr,
    name: &str,
    parts: &[&[u8]],
    before: &mut dyn FnMut(usize),
) -> std::io::Result<Vec<u8>> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM");
    roots.add(ca).expect("a certificate");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection =
        rustls::ClientConnection::new(std::sync::Arc::new(config), name).expect("a client");
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(address)?);
    for (at, part) in parts.iter().enumerate() {
        before(at);
        let written = stream.write_all(part).and_then(|()| stream.flush());
        match written {
            Err(error) if at == 0 => return Err(error),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        Ok(_) | Err(_) => Ok(reply),
    }
}

/// `client.env` as a shell sees it.
fn read_env(path: &Path) -> BTreeMap<String, String> {
    let script = r#"set -a; . "$1"; exec env"#;
    let output = Command::new("sh")
        .args(["-eu", "-c", script, "sh"])
        .arg(path)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn address_of(env: &BTreeMap<String, String>) -> SocketAddr {
    let url = env.get("AWS_ENDPOINT_URL").expect("an endpoint");
    // Whatever its name, tests listen on loopback.
    let port = url.rsplit(':').next().expect("a port").parse();
    SocketAddr::from(([127, 0, 0, 1], port.expect("a port")))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
