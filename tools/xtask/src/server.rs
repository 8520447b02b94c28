//! The real `stele` as a child process: start, find out its address, stop, kill.
//!
//! A server is always ended with its handle; only its own process id is ever signalled.

use crate::command::{Run, quote, wait};
use crate::failure::{Failure, Outcome, ensure};
use crate::s3::{Client, Endpoint};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A start that takes longer than this has failed.
const START_MAX: Duration = Duration::from_secs(120);
/// A clean stop that takes longer than this has failed.
const STOP_MAX: Duration = Duration::from_secs(60);
/// A verifier that takes longer than this has failed.
pub const INSPECT_MAX: Duration = Duration::from_secs(900);

/// A running server.
pub struct Server {
    child: Child,
    log: PathBuf,
    /// From start to the first accepted connection.
    pub start_time: Duration,
    /// What `client.env` says.
    pub variables: BTreeMap<String, String>,
    /// The same for the built-in client.
    pub endpoint: Arc<Endpoint>,
}

impl Server {
    /// Starts `stele serve` on a vault directory with a port the system chooses, and waits until
    /// it accepts connections.
    pub fn start(stele: &Path, vault: &Path) -> Outcome<Server> {
        Server::launch(stele, vault, &Wish::default()).map_err(|stillborn| stillborn.failure)
    }

    /// Starts one whose index keeps so many bytes of pages in memory.
    pub fn start_with_cache(stele: &Path, vault: &Path, cache_bytes: u64) -> Outcome<Server> {
        let wish = Wish {
            index_cache_bytes: Some(cache_bytes),
            ..Wish::default()
        };
        Server::launch(stele, vault, &wish).map_err(|stillborn| stillborn.failure)
    }

    /// Starts a build with evil disks under a plan for its power, and expects it to come up.
    pub fn start_with(stele: &Path, vault: &Path, plan: &str) -> Outcome<Server> {
        Server::launch(stele, vault, &Wish::evil(plan)).map_err(|stillborn| stillborn.failure)
    }

    /// The same, but the plan may cut the power before it accepts: then there is none.
    pub fn start_or_cut(stele: &Path, vault: &Path, plan: &str) -> Outcome<Option<Server>> {
        match Server::launch(stele, vault, &Wish::evil(plan)) {
            Ok(server) => Ok(Some(server)),
            Err(stillborn) if stillborn.status.is_some_and(cut) => Ok(None),
            Err(stillborn) => Err(stillborn.failure),
        }
    }

    fn launch(stele: &Path, vault: &Path, wish: &Wish<'_>) -> Result<Server, Stillborn> {
        let log = vault.with_extension("log");
        let env_file = vault.join("client.env");
        let before = inode(&env_file);
        let started = Instant::now();
        let mut child = spawn(stele, vault, &log, wish)?;
        let up = wait_for(&mut child, &log, &env_file, before, started).and_then(|variables| {
            let endpoint = Arc::new(Endpoint::from_variables(&variables)?);
            Ok((variables, endpoint))
        });
        let (variables, endpoint) = match up {
            Ok(up) => up,
            Err(failure) => {
                let status = child.try_wait().ok().flatten();
                let _ = child.kill();
                let _ = child.wait();
                return Err(Stillborn { failure, status });
            }
        };
        let start_time = started.elapsed();
        Ok(Server {
            child,
            log,
            start_time,
            variables,
            endpoint,
        })
    }

    /// A new client of this server.
    pub fn client(&self) -> Client {
        Client::new(&self.endpoint)
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process id of its gateway, where there is one at this moment: the only program it starts.
    pub fn gateway(&self) -> Outcome<Option<u32>> {
        // Any thread of a process may be the one that started another.
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // Threads end meanwhile.
            let file = thread?.path().join("children");
            let children = std::fs::read_to_string(file).unwrap_or_default();
            if let Some(child) = children.split_whitespace().next() {
                return Ok(child.parse().ok());
            }
        }
        Ok(None)
    }

    /// What a failure may not quote.
    pub fn secrets(&self) -> Vec<String> {
        self.variables
            .get("AWS_SECRET_ACCESS_KEY")
            .cloned()
            .into_iter()
            .collect()
    }

    /// SIGKILL, as a power cut for the process.
    pub fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks evil disks to cut the power now.
    pub fn cut(&self) -> Outcome {
        let pid = i32::try_from(self.child.id()).map_err(|_| Failure::new("odd process id"))?;
        kill(Pid::from_raw(pid), Signal::SIGUSR1)
            .map_err(|error| Failure::new(format!("cannot signal the server: {error}")))
    }

    /// Whether the process ends by a power cut within this time. Fails when it ended otherwise.
    pub fn was_cut(&mut self, patience: Duration) -> Outcome<bool> {
        let end = Instant::now() + patience;
        loop {
            match self.child.try_wait()? {
                Some(status) if cut(status) => return Ok(true),
                Some(status) => {
                    let text = format!("the server ended with {status}\n{}", self.said());
                    return Err(Failure::new(text));
                }
                None if Instant::now() >= end => return Ok(false),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// SIGTERM; fails unless the server then ends by itself with exit code 0.
    pub fn stop(mut self) -> Outcome {
        let pid = i32::try_from(self.child.id()).map_err(|_| Failure::new("odd process id"))?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)
            .map_err(|error| Failure::new(format!("cannot signal the server: {error}")))?;
        let status = wait(&mut self.child, STOP_MAX)?;
        let clean = status.as_ref().is_some_and(ExitStatus::success);
        ensure(clean, || {
            let how = status.map_or("did not stop on SIGTERM".to_owned(), |s| s.to_string());
            format!("the server did not stop cleanly: {how}\n{}", self.said())
        })
    }

    /// The tail of what the server printed.
    pub fn said(&self) -> String {
        said(&self.log)
    }

    /// Everything the server printed.
    pub fn output(&self) -> Outcome<String> {
        std::fs::read_to_string(&self.log).map_err(|e| Failure::path("cannot read", &self.log, &e))
    }

    /// Fails when the server has ended by itself.
    pub fn expect_alive(&mut self) -> Outcome {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Failure::new(format!(
                "the server ended with {status}\n{}",
                self.said()
            ))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` and `kill` there is nothing left to end, and both calls do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that never accepted.
struct Stillborn {
    failure: Failure,
    /// How it ended, if it did by itself.
    status: Option<ExitStatus>,
}

impl From<Failure> for Stillborn {
    fn from(failure: Failure) -> Stillborn {
        let status = None;
        Stillborn { failure, status }
    }
}

/// Whether a process ended as a power cut ends it.
fn cut(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGKILL as i32)
}

/// The offline verifier must find every disk clean.
pub fn verify_disks(inspect: &Path, vault: &Path) -> Outcome {
    let run = Run::new(inspect)
        .arg("verify")
        .arg(vault)
        .deadline(INSPECT_MAX);
    run.succeed().map(drop)
}

fn said(log: &Path) -> String {
    quote(&std::fs::read_to_string(log).unwrap_or_default())
}

fn inode(path: &Path) -> Option<(u64, i64, i64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.ino(), data.mtime(), data.mtime_nsec()))
}

/// How a server is to be started.
#[derive(Default)]
struct Wish<'a> {
    /// A plan for the power of evil disks.
    plan: Option<&'a str>,
    index_cache_bytes: Option<u64>,
}

impl<'a> Wish<'a> {
    fn evil(plan: &'a str) -> Self {
        Self {
            plan: Some(plan),
            ..Self::default()
        }
    }
}

fn spawn(stele: &Path, vault: &Path, log: &Path, wish: &Wish<'_>) -> Outcome<Child> {
    let output = File::create(log).map_err(|e| Failure::path("cannot create", log, &e))?;
    Command::new(stele)
        .envs(wish.plan.map(|plan| ("STELE_EVIL", plan)))
        .args(["serve", "--listen", "127.0.0.1:0", "--vault"])
        .arg(vault)
        .args(
            wish.index_cache_bytes
                .map(|bytes| format!("--index-cache-bytes={bytes}")),
        )
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .map_err(|error| Failure::path("cannot start", stele, &error))
}

/// `client.env` is replaced before the listener accepts, so a changed file names the new address.
fn wait_for(
    child: &mut Child,
    log: &Path,
    env_file: &Path,
    before: Option<(u64, i64, i64)>,
    started: Instant,
) -> Outcome<BTreeMap<String, String>> {
    loop {
        if let Some(status) = child.try_wait()? {
            let text = format!("the server ended at start with {status}\n{}", said(log));
            return Err(Failure::new(text));
        }
        if inode(env_file).is_some_and(|now| Some(now) != before) {
            let variables = read_env(env_file)?;
            let port = variables
                .get("AWS_ENDPOINT_URL")
                .and_then(|url| url.rsplit(':').next())
                .and_then(|port| port.parse::<u16>().ok())
                .ok_or_else(|| Failure::new("client.env names no port"))?;
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(variables);
            }
        }
        if started.elapsed() > START_MAX {
            let seconds = START_MAX.as_secs();
            let text = format!(
                "the server did not accept within {seconds} s\n{}",
                said(log)
            );
            return Err(Failure::new(text));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Reads `NAME=value` lines, quoted as a POSIX shell allows.
pub fn read_env(path: &Path) -> Outcome<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::path("cannot read", path, &e))?;
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    ensure(mode == 0o600, || {
        format!("client.env has mode {mode:o}, not 600")
    })?;
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| Failure::new("client.env holds a line without '='"))?;
            let value = value.trim_matches('\'').trim_matches('"');
            Ok((
                name.trim_start_matches("export ").to_owned(),
                value.to_owned(),
            ))
        })
        .collect()
}
