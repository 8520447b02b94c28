//! Unmodified Debian clients against the real server, as a customer runs them.
//!
//! Each check is one named case. Later cases of a client build on earlier ones, so that one
//! failure may bring others; the first one is the one to read.

mod aws;
mod aws_cases;
mod copy_cases;
mod lock_cases;
mod names;
mod printed;
mod raw;
mod rclone;
mod restic;

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install::{self, Tool};
use crate::rng::Rng;
use crate::server::Server;
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Scratch, Workspace};
use aws_lc_rs::digest::{Context, SHA256};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

const CLIENT_DEADLINE: Duration = Duration::from_secs(600);

/// A running vault and a place for the clients' files.
pub struct Bench<'a> {
    /// The server under test.
    pub server: Server,
    /// This suite's directory.
    pub scratch: &'a Scratch,
}

impl Bench<'_> {
    /// A client with an environment of its own: nothing of this machine's configuration, only the
    /// named variables of `client.env`.
    pub fn client(&self, tool: &Tool, variables: &[&str]) -> Outcome<Run> {
        let home = self.scratch.join("home");
        std::fs::create_dir_all(&home)?;
        let mut environment: Vec<(String, OsString)> = vec![
            ("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("LANG".to_owned(), "C.UTF-8".into()),
            ("HOME".to_owned(), home.into()),
        ];
        for name in variables {
            environment.push(((*name).to_owned(), self.variable(name)?.into()));
        }
        Ok(Run::new(tool.program)
            .only_env(&environment)
            .directory(self.scratch.path())
            .deadline(CLIENT_DEADLINE)
            .secrets(&self.server.secrets()))
    }

    /// A variable of `client.env`.
    pub fn variable(&self, name: &str) -> Outcome<&str> {
        let missing = || Failure::new(format!("client.env lacks {name}"));
        self.server
            .variables
            .get(name)
            .map(String::as_str)
            .ok_or_else(missing)
    }
}

/// A check: its name and what it does.
pub type Case = (&'static str, fn(&Bench) -> Outcome);

/// Runs the suite.
pub fn run(workspace: &Workspace, programs: &Programs) -> Closed {
    let mut ledger = Ledger::open("clients", workspace.ci);
    if let Err(failure) = everything(workspace, programs, &mut ledger) {
        ledger.case("clients", || Err(failure));
    }
    ledger.close()
}

fn everything(workspace: &Workspace, programs: &Programs, ledger: &mut Ledger) -> Outcome {
    let scratch = workspace.scratch("clients")?;
    let server = Server::start(&programs.stele, &scratch.join("vault"))?;
    let mut bench = Bench {
        server,
        scratch: &scratch,
    };
    ledger.case("client.env: a shell can source it", || sourceable(&bench));
    let families: [(&[Tool], &[Case]); 8] = [
        (&[install::OPENSSL], &raw::CASES),
        (&[install::AWS], &aws_cases::CASES),
        (&[install::AWS], &copy_cases::CASES),
        (&[install::AWS], &names::CASES),
        (&[install::AWS], &lock_cases::CASES),
        (&[install::RESTIC], &restic::CASES),
        (&[install::RCLONE], &rclone::CASES),
        (
            &[install::AWS, install::RESTIC, install::RCLONE],
            &printed::CASES,
        ),
    ];
    for (tools, cases) in families {
        match install::require(tools) {
            Ok(()) => {
                for (name, check) in cases {
                    ledger.case(name, || check(&bench));
                }
            }
            Err(reason) => cases
                .iter()
                .for_each(|(name, _)| ledger.skip(name, &reason)),
        }
    }
    ledger.case("the server is still the one that was started", || {
        bench.server.expect_alive()
    });
    ledger.case("SIGTERM stops the server cleanly", || bench.server.stop());
    ledger.case("stele-inspect finds nothing wrong", || {
        let run = Run::new(&programs.inspect)
            .arg("verify")
            .arg(scratch.join("vault"));
        run.succeed().map(drop)
    });
    Ok(())
}

/// What a shell makes of the file is what this tool read from it.
fn sourceable(bench: &Bench) -> Outcome {
    let script = "set -eu; . ./vault/client.env; printf '%s\\n' \"$AWS_ACCESS_KEY_ID\" \
                  \"$AWS_CA_BUNDLE\" \"$AWS_ENDPOINT_URL\" \"$AWS_DEFAULT_REGION\" \
                  \"$SSL_CERT_FILE\" \"$RCLONE_CA_CERT\"";
    let said = Run::new("/bin/sh")
        .args(["-c", script])
        .directory(bench.scratch.path())
        .succeed()?;
    let names = [
        "AWS_ACCESS_KEY_ID",
        "AWS_CA_BUNDLE",
        "AWS_ENDPOINT_URL",
        "AWS_DEFAULT_REGION",
        "SSL_CERT_FILE",
        "RCLONE_CA_CERT",
    ];
    for (name, got) in names.into_iter().zip(said.lines()) {
        let want = bench.variable(name)?;
        ensure(got == want, || {
            format!("{name}: a shell reads '{got}', the file says '{want}'")
        })?;
    }
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "RCLONE_CA_CERT"] {
        let path = Path::new(bench.variable(name)?);
        ensure(path.is_absolute() && path.is_file(), || {
            format!("{name} names no file")
        })?;
    }
    ensure(bench.variable("AWS_DEFAULT_REGION")? == "us-east-1", || {
        "odd region".to_owned()
    })
}

/// Writes a file of pseudo-random bytes; returns its SHA-256.
pub fn make_file(path: &Path, bytes: u64, seed: u64) -> Outcome<Vec<u8>> {
    let mut file = std::fs::File::create(path)?;
    let (mut rng, mut context) = (Rng::new(seed), Context::new(&SHA256));
    let mut buffer = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let count = usize::try_from(left.min(1 << 20)).unwrap_or(1 << 20);
        rng.fill(&mut buffer[..count]);
        context.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
        left -= u64::try_from(count).unwrap_or(left);
    }
    Ok(context.finish().as_ref().to_vec())
}

/// The SHA-256 of a file.
pub fn file_digest(path: &Path) -> Outcome<Vec<u8>> {
    let mut file = std::fs::File::open(path).map_err(|e| Failure::path("cannot open", path, &e))?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(context.finish().as_ref().to_vec()),
            count => context.update(&buffer[..count]),
        }
    }
}

/// Fails unless both trees hold the same files with the same bytes.
pub fn same_tree(left: &Path, right: &Path) -> Outcome {
    let run = Run::new("/usr/bin/diff").arg("-r").arg(left).arg(right);
    run.succeed().map(drop)
}

/// A directory of files of many sizes, the same for the same seed.
pub fn make_tree(path: &Path, seed: u64, files: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    for index in 0..files {
        let directory = path.join(format!("dir {}", index % 5));
        std::fs::create_dir_all(&directory)?;
        let bytes = match index % 4 {
            0 => rng.below(200),
            1 => rng.below(20_000),
            2 => rng.below(200_000),
            _ => rng.below(2_000_000),
        };
        make_file(
            &directory.join(format!("datei-{index} ä.bin")),
            bytes,
            rng.next(),
        )?;
    }
    Ok(())
}
