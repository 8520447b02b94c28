//! Other people's servers as child processes on the loopback interface.
//!
//! They end with their handle, and also when this process is killed.

use crate::command::{quote, wait};
use crate::failure::{Failure, Outcome};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that takes longer to accept has failed.
const START_MAX: Duration = Duration::from_secs(90);
/// A server that takes longer to end is killed.
const STOP_MAX: Duration = Duration::from_secs(20);

/// The processes of one server, in the order in which they were started.
#[derive(Default)]
pub struct Daemons(Vec<(Child, PathBuf)>);

impl Daemons {
    /// Starts a program; what it prints goes into a file.
    pub fn start(&mut self, command: &[&str], home: &Path, name: &str) -> Outcome {
        let log = home.join(format!("{name}.out"));
        let output = File::create(&log)?;
        let child = Command::new("/usr/bin/setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", home)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start {name}: {error}")))?;
        self.0.push((child, log));
        Ok(())
    }

    /// Waits until a port accepts; fails when one of the processes ends before.
    pub fn accepts(&mut self, port: u16) -> Outcome {
        let end = Instant::now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            self.alive()?;
            if Instant::now() >= end {
                let said = self.said();
                return Err(Failure::new(format!("port {port} never accepted\n{said}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Fails when a process has ended.
    pub fn alive(&mut self) -> Outcome {
        for (child, log) in &mut self.0 {
            if let Some(status) = child.try_wait()? {
                let said = quote(&std::fs::read_to_string(&*log).unwrap_or_default());
                return Err(Failure::new(format!(
                    "a server ended with {status}\n{said}"
                )));
            }
        }
        Ok(())
    }

    /// Their process ids.
    pub fn ids(&self) -> Vec<u32> {
        self.0.iter().map(|(child, _)| child.id()).collect()
    }

    fn said(&self) -> String {
        let each = self.0.iter().map(|(_, log)| {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            quote(&text)
        });
        each.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for (child, _) in self.0.iter_mut().rev() {
            if let Ok(pid) = i32::try_from(child.id()) {
                // It may have ended by itself; then the next line says so at once.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            let _ = wait(child, STOP_MAX);
        }
    }
}

/// So many ports of the loopback interface that are free now.
pub fn free_ports<const N: usize>() -> Outcome<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
