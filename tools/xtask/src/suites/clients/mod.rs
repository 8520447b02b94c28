//! Unmodified clients against the real server, as a customer runs them.
//!
//! Every backup client goes through the same exam: back up, change, back up again, let the client
//! expire what it no longer wants, restore into an empty place and compare; and all that the client
//! deleted can still be read by its version.
//!
//! Each check is one named case. Later cases of a client build on earlier ones, so that one
//! failure may bring others; the first one is the one to read.

mod aws;
mod aws_cases;
mod aws_sync;
mod barman;
mod boto3;
mod copy_cases;
mod duplicity;
mod held;
mod lock_cases;
mod names;
mod pgbackrest;
mod postgres;
mod printed;
mod raw;
mod rclone;
mod rclone_exam;
mod restic;
mod s3cmd;
mod trees;

use crate::command::Run;
use crate::docs;
use crate::failure::{Failure, Outcome, ensure};
use crate::install::{self, Tool, Wheel};
use crate::server::Server;
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Scratch, Workspace};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

pub use trees::{change_tree, file_digest, make_file, make_tree, same_tree};

const CLIENT_DEADLINE: Duration = Duration::from_secs(600);

/// A running vault and a place for the clients' files.
pub struct Bench<'a> {
    /// The server under test.
    pub server: Server,
    /// This suite's directory.
    pub scratch: &'a Scratch,
    /// Where programs from PyPI are.
    pub tools: &'a Path,
}

impl Bench<'_> {
    /// A client with an environment of its own: nothing of this machine's configuration, only the
    /// named variables of `client.env`.
    pub fn client(&self, program: impl AsRef<OsStr>, variables: &[&str]) -> Outcome<Run> {
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
        Ok(Run::new(program)
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

/// The checks of one client.
struct Family {
    name: &'static str,
    tools: &'static [Tool],
    wheels: &'static [Wheel],
    cases: &'static [Case],
}

impl Family {
    const fn debian(name: &'static str, tools: &'static [Tool], cases: &'static [Case]) -> Family {
        let wheels = &[];
        Family {
            name,
            tools,
            wheels,
            cases,
        }
    }

    const fn pypi(name: &'static str, wheels: &'static [Wheel], cases: &'static [Case]) -> Family {
        let tools = &[];
        Family {
            name,
            tools,
            wheels,
            cases,
        }
    }

    fn require(&self, bench: &Bench) -> Outcome {
        install::require(self.tools)?;
        let mut wheels = self.wheels.iter();
        wheels.try_for_each(|wheel| wheel.require(bench.tools))
    }
}

const PRINTED: [Tool; 3] = [install::AWS, install::RESTIC, install::RCLONE];

const FAMILIES: [Family; 16] = [
    Family::debian("raw", &[install::OPENSSL], &raw::CASES),
    Family::debian("aws", &[install::AWS], &aws_cases::CASES),
    Family::debian("copy", &[install::AWS], &copy_cases::CASES),
    Family::debian("names", &[install::AWS], &names::CASES),
    Family::debian("locks", &[install::AWS], &lock_cases::CASES),
    Family::debian("aws-sync", &[install::AWS], &aws_sync::DEBIAN),
    Family::pypi("aws-now", &[Wheel::AWS], &aws_sync::PYPI),
    Family::pypi("boto3", &[Wheel::BOTO3], &boto3::CASES),
    Family::debian("restic", &[install::RESTIC], &restic::CASES),
    Family::debian("rclone", &[install::RCLONE], &rclone::CASES),
    Family::debian("rclone-exam", &[install::RCLONE], &rclone_exam::DEBIAN),
    Family::pypi("rclone-now", &[Wheel::RCLONE], &rclone_exam::PYPI),
    Family::debian("s3cmd", &[install::S3CMD], &s3cmd::CASES),
    Family::debian("duplicity", &duplicity::TOOLS, &duplicity::CASES),
    Family::debian("pgbackrest", &pgbackrest::TOOLS, &pgbackrest::CASES),
    Family::debian("barman", &barman::TOOLS, &barman::CASES),
];
/// Last, because it reads what the start printed.
const LAST: Family = Family::debian("printed", &PRINTED, &printed::CASES);

/// The pages of docs/clients, executed.
const DOCS: &str = "docs";

/// The clients that can be chosen.
pub fn names() -> Vec<&'static str> {
    FAMILIES
        .iter()
        .chain([&LAST])
        .map(|family| family.name)
        .chain([DOCS])
        .collect()
}

/// Runs the suite, or only the families with these names.
pub fn run(workspace: &Workspace, programs: &Programs, only: &[String]) -> Closed {
    let mut ledger = Ledger::open("clients", workspace.ci);
    if let Err(failure) = everything(workspace, programs, only, &mut ledger) {
        ledger.case("clients", || Err(failure));
    }
    ledger.close()
}

fn everything(
    workspace: &Workspace,
    programs: &Programs,
    only: &[String],
    ledger: &mut Ledger,
) -> Outcome {
    let scratch = workspace.scratch("clients")?;
    let server = Server::start(&programs.stele, &scratch.join("vault"))?;
    let mut bench = Bench {
        server,
        scratch: &scratch,
        tools: &workspace.tools,
    };
    ledger.case("client.env: a shell can source it", || sourceable(&bench));
    let wanted = |family: &&Family| only.is_empty() || only.iter().any(|name| name == family.name);
    for family in FAMILIES.iter().chain([&LAST]).filter(wanted) {
        match family.require(&bench) {
            Ok(()) => {
                for (name, check) in family.cases {
                    ledger.case(name, || check(&bench));
                }
            }
            Err(reason) => family
                .cases
                .iter()
                .for_each(|(name, _)| ledger.skip(name, &reason)),
        }
    }
    if only.is_empty() || only.iter().any(|name| name == DOCS) {
        docs::cases(workspace, &bench.server, &scratch, &[], ledger);
        docs::today(workspace, &programs.stele, &[], ledger);
        docs::ceremonies(workspace, &programs.stele, &[], ledger);
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
