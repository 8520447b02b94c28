//! What a confined process can still do, tried out in processes of their own.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use nix::sys::signal::Signal;
use stele_device::linux::sandbox::{Enforced, close_calls, close_files};

/// Tells the test program which act to try as the confined process.
const ACT: &str = "STELE_TEST_CONFINED_ACT";
/// Exit code of an act that was allowed.
const DONE: i32 = 0;
/// Exit code of an act that the files' rules refused.
const REFUSED: i32 = 3;
/// Exit code where the kernel has no such rules.
const UNKNOWN: i32 = 4;
/// Why files and listeners cannot be tried without the filter.
const NO_LANDLOCK: &str =
    "the kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, `landlock` in lsm=), Linux 5.13 has";

fn confined(act: &str) -> ExitStatus {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command
        .args(["--exact", "a_confined_process", "--nocapture"])
        .env(ACT, act);
    command.output().expect("it runs").status
}

/// Only does something in the processes that `confined` starts.
#[test]
fn a_confined_process() {
    let Ok(act) = std::env::var(ACT) else {
        return;
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let enforced = close_files().expect("files are closed");
    if let Some(act) = act.strip_prefix("files only: ") {
        let code = code(perform(act, &listener));
        std::process::exit(match enforced {
            Enforced::Not => UNKNOWN,
            Enforced::Fully | Enforced::Partly => code,
        });
    }
    close_calls().expect("calls are closed");
    std::process::exit(code(perform(&act, &listener)));
}

fn code(done: Result<(), ErrorKind>) -> i32 {
    match done {
        Ok(()) => DONE,
        Err(ErrorKind::PermissionDenied) => REFUSED,
        Err(_) => 1,
    }
}

fn perform(act: &str, listener: &TcpListener) -> Result<(), ErrorKind> {
    let done: std::io::Result<()> = match act {
        "write" => std::io::stderr().write_all(b"still here\n"),
        "name" => listener.local_addr().map(drop),
        "read a file" => std::fs::read("/proc/self/status").map(drop),
        "make a file" => std::fs::write(std::env::temp_dir().join("confined"), b"x"),
        "listen" => TcpListener::bind(("127.0.0.1", 0)).map(drop),
        "run a program" => Command::new("/bin/true").status().map(drop),
        "start a thread" => std::thread::Builder::new().spawn(|| ()).map(drop),
        "abort" => std::process::abort(),
        _ => Ok(()),
    };
    done.map_err(|error| error.kind())
}

#[test]
fn what_serves_open_sockets_is_allowed() {
    for act in ["write", "name"] {
        assert_eq!(confined(act).code(), Some(DONE), "{act}");
    }
}

#[test]
fn a_fault_ends_the_process_as_usual() {
    let status = confined("abort");
    let signal = status.signal();
    assert_eq!(signal, Some(Signal::SIGABRT as i32), "{status}");
}

#[test]
fn every_other_system_call_ends_the_process() {
    for act in ["listen", "run a program", "start a thread"] {
        let status = confined(act);
        let signal = status.signal();
        assert_eq!(signal, Some(Signal::SIGSYS as i32), "{act}: {status}");
    }
}

#[test]
fn files_cannot_be_opened() {
    for act in ["read a file", "make a file"] {
        let status = confined(act);
        assert_eq!(status.code(), Some(REFUSED), "{act}: {status}");
    }
}

#[test]
fn files_and_listeners_are_refused_without_the_filter_too() {
    for act in ["read a file", "make a file", "listen", "run a program"] {
        let status = confined(&format!("files only: {act}"));
        if status.code() == Some(UNKNOWN) {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
            assert!(!ci, "cannot be skipped where CI=true: {NO_LANDLOCK}");
            // Past what the test harness holds back of tests that pass.
            let skipped = format!("skipped: {NO_LANDLOCK}\n");
            std::io::stderr()
                .write_all(skipped.as_bytes())
                .expect("said");
            return;
        }
        assert_eq!(status.code(), Some(REFUSED), "{act}: {status}");
    }
}
