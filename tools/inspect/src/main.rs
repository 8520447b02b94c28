//! `stele-inspect`: reads disks, prints what it found, and says so by its exit status.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use stele_inspect::cli::{AuditArgs, Cli, Command, DumpArgs, VerifyArgs};
use stele_inspect::limits::REREAD_PAUSE_MS;
use stele_inspect::pool::PoolError;
use stele_inspect::source::{FileSource, OpenError, Source, disk_paths};
use stele_inspect::verdict::Verdict;
use stele_inspect::{audit, dump, report, verify};
use thiserror::Error;

/// Why nothing can be judged.
#[derive(Debug, Error)]
enum Refusal {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Pool(#[from] PoolError),
}

fn main() -> ExitCode {
    let (json, result) = match Cli::parse().command {
        Command::Verify(args) => (args.json, run_verify(&args)),
        Command::Audit(args) => (args.json, run_audit(&args)),
        Command::Dump(args) => (args.json, run_dump(&args)),
    };
    let code = match result {
        Ok((text, code)) => {
            print(&text);
            code
        }
        Err(refusal) => {
            if json {
                print(&report::json_refusal(&refusal.to_string()));
            } else {
                eprintln!("stele-inspect: {}", report::printable(&refusal.to_string()));
            }
            Verdict::CannotJudge.code()
        }
    };
    ExitCode::from(code)
}

/// A reader that went away needs no more output; the exit status still tells.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn open(paths: &[PathBuf]) -> Result<Vec<Box<dyn Source>>, OpenError> {
    disk_paths(paths)?
        .iter()
        .map(|path| FileSource::open(path).map(|source| Box::new(source) as Box<dyn Source>))
        .collect()
}

fn run_verify(args: &VerifyArgs) -> Result<(String, u8), Refusal> {
    let sources = open(&args.paths)?;
    let found = verify(&sources, Duration::from_millis(REREAD_PAUSE_MS))?;
    let text = if args.json {
        report::json(&found)
    } else {
        report::text(&found)
    };
    Ok((text, found.verdict.code()))
}

fn run_audit(args: &AuditArgs) -> Result<(String, u8), Refusal> {
    let sources = open(&args.paths)?;
    let found = audit::audit(&sources, Duration::from_millis(REREAD_PAUSE_MS))?;
    let text = if args.json {
        found.json()
    } else {
        audit::text::text(&found)
    };
    Ok((text, found.verdict))
}

fn run_dump(args: &DumpArgs) -> Result<(String, u8), Refusal> {
    let sources = open(&args.paths)?;
    let wish = dump::Wish {
        segment: args.segment,
        records: args.records,
    };
    let dumped = dump::dump(&sources, &wish)?;
    let text = if args.json {
        dump::json(&dumped)
    } else {
        dump::text(&dumped)
    };
    Ok((text, dumped.code()))
}
