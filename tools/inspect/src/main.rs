//! `stele-inspect`: reads disks, prints what it found, and says so by its exit status.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use stele_format::checkpoint::{Certificate, CheckpointError, KeyHistory, UnverifiedCheckpoint};
use stele_format::proof::from_header_value;
use stele_inspect::cli::{
    AuditArgs, CertificateArgs, Cli, Command, DumpArgs, ProveArgs, ReceiptArgs, VerifyArgs,
};
use stele_inspect::limits::{REREAD_PAUSE_MS, TEXT_FILE_BYTES_MAX};
use stele_inspect::pool::PoolError;
use stele_inspect::prove::{self, Claim};
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
    #[error(transparent)]
    Prove(#[from] prove::Refusal),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the checkpoint is not believed: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("the certificate is not believed: {0}")]
    Certificate(#[source] CheckpointError),
}

impl Refusal {
    fn code(&self) -> u8 {
        match self {
            Self::Prove(refusal) if refusal.is_damage() => Verdict::Damage.code(),
            _ => Verdict::CannotJudge.code(),
        }
    }
}

fn main() -> ExitCode {
    let (json, result) = match Cli::parse().command {
        Command::Verify(args) => (args.json, run_verify(&args)),
        Command::Audit(args) => (args.json, run_audit(&args)),
        Command::Dump(args) => (args.json, run_dump(&args)),
        Command::Prove(args) => (false, run_prove(&args)),
        Command::Receipt(args) => (false, run_receipt(&args)),
        Command::Certificate(args) => (false, run_certificate(&args)),
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
            refusal.code()
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

/// A small text file; what is longer is cut, and then not understood.
fn read_text(path: &PathBuf) -> Result<String, Refusal> {
    let at = |source| Refusal::File {
        path: path.clone(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(at)?;
    file.take(TEXT_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(at)?;
    Ok(text)
}

fn run_prove(args: &ProveArgs) -> Result<(String, u8), Refusal> {
    let claim = match (args.record, args.consistency.as_deref()) {
        (None, Some(&[older, newer])) => Claim::Consistency { older, newer },
        (record, _) => Claim::Inclusion {
            record: args
                .version_id
                .map_or(record.unwrap_or_default(), |version| {
                    version.ordinal().get()
                }),
            version: args.version_id,
            size: args.tree_size,
        },
    };
    let note = args.checkpoint.as_ref().map(read_text).transpose()?;
    let note = note
        .map(|text| UnverifiedCheckpoint::parse(&text))
        .transpose()?;
    let sources = open(&args.paths)?;
    let pause = Duration::from_millis(REREAD_PAUSE_MS);
    let keys = match &args.keys[..] {
        [] => None,
        keys => Some(KeyHistory::new(keys.to_vec())?),
    };
    let text = prove::prove(&sources, pause, claim, note.as_ref().zip(keys.as_ref()))?;
    Ok((text, Verdict::Clean.code()))
}

fn run_receipt(args: &ReceiptArgs) -> Result<(String, u8), Refusal> {
    let text = read_text(&args.file)?;
    let text = from_header_value(text.trim_end()).unwrap_or(text);
    let said = prove::receipt(&text, &KeyHistory::new(args.keys.clone())?)?;
    Ok((said, Verdict::Clean.code()))
}

fn run_certificate(args: &CertificateArgs) -> Result<(String, u8), Refusal> {
    let text = read_text(&args.file)?;
    let mut verified = args
        .keys
        .iter()
        .map(|key| Certificate::verify(&text, &key.key));
    let first = verified.next().unwrap_or(Err(CheckpointError::Unsigned));
    let certificate = verified.fold(first, |found, next| found.or(next));
    let certificate = certificate.map_err(Refusal::Certificate)?;
    // It has no control characters but the ends of its lines.
    let said = format!("the log's key signed this:\n{}", certificate.text());
    Ok((said, Verdict::Clean.code()))
}
