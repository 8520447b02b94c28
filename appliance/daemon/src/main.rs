//! The binary `stele`: an immutable backup vault that speaks S3.
//!
//! One verb, one sentence when it fails, and an exit code: 0 done, 1 refused or failed, 2 wrong use.

#![forbid(unsafe_code)]

mod advice;
mod alarms;
mod approve;
mod banner;
mod bays;
mod bell;
mod bridge;
mod bucket;
mod certificate;
mod checkpoint;
mod cli;
mod client;
mod client_env;
mod clients;
mod console;
mod control;
mod desk;
mod disk;
mod engine_thread;
mod error;
#[cfg(feature = "evil-disk")]
mod evil;
mod expiry;
mod files;
mod force;
#[cfg(test)]
mod fuzz;
mod gateway;
mod join;
mod keys;
mod labels;
mod lifecycle;
mod limits;
mod live;
mod logkey;
mod lookout;
mod media;
mod opener;
mod people;
mod release;
mod serve;
mod signer;
mod status;
mod supervisor;
mod tls;
mod tls_verb;
mod vault;
mod watch;
mod wipe;
mod workers;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::stat::{Mode, umask};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use cli::{Cli, CreateArgs, LISTEN_DEFAULT, VAULT_DEFAULT, Verb};
use error::{Error, Outcome};
use vault::Directory;
use vault::create::Options;

fn main() -> ExitCode {
    // Everything a vault leaves on this machine belongs to its owner alone.
    umask(Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    log_to_stderr();
    #[cfg(feature = "evil-disk")]
    if let Err(error) = evil::begin() {
        return refused(&error);
    }
    signer::acts(cli.actor, cli.signing_key);
    match run(cli.verb).and_then(|()| disk::all_said()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refused(&error),
    }
}

fn refused(error: &Error) -> ExitCode {
    // Where nobody can be told, the code is what is left.
    drop(writeln!(std::io::stderr(), "stele: {error}"));
    match error {
        Error::Usage(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn run(verb: Option<Verb>) -> Outcome<()> {
    match verb {
        None => {
            let reached = serve::Reached {
                listen: LISTEN_DEFAULT,
                domains: &[],
                http2: false,
            };
            let wishes = serve::Wish::default();
            serve::serve(&PathBuf::from(VAULT_DEFAULT), reached, wishes)
        }
        Some(Verb::Serve(args)) => {
            let reached = serve::Reached {
                listen: args.listen,
                domains: &args.domains,
                http2: args.http2,
            };
            let wishes = serve::Wish {
                index_cache_bytes: args.index_cache_bytes,
                force: force::ordered(args.force_open.as_deref())?,
            };
            serve::serve(&args.vault, reached, wishes)
        }
        Some(Verb::Status(args)) => status::status(&args.vault, args.json),
        Some(Verb::Checkpoint(args)) => checkpoint::run(&args),
        Some(Verb::Create(args)) => create(args),
        Some(Verb::Disk(verb)) => disk::run(verb),
        Some(Verb::Client(verb)) => client::run(verb),
        Some(Verb::Bucket(verb)) => bucket::run(verb),
        Some(Verb::Release(verb)) => release::run(verb),
        Some(Verb::Tls(verb)) => tls_verb::run(verb),
        Some(Verb::People(verb)) => people::run(verb),
        Some(Verb::Approve(verb)) => approve::run(verb),
        Some(Verb::Expiry(verb)) => expiry::run(verb),
        Some(Verb::Erase(verb)) => expiry::erase(verb),
        Some(Verb::Hold(verb)) => expiry::hold(verb),
        Some(Verb::Clock(verb)) => expiry::clock(verb),
        Some(Verb::ForceOpen(verb)) => force::run(verb),
        Some(Verb::Certificate(args)) => approve::certificate(&args),
        Some(Verb::Gateway) => gateway::child::run(),
    }
}

fn create(args: CreateArgs) -> Outcome<()> {
    let directory = Directory::new(&args.dir)?;
    let options = Options {
        disks: args.disks,
        disk_bytes: args.disk_bytes,
        simulated_clock: args.simulated_clock,
        client_buckets: args.client_buckets,
        client_rights: args.client_rights,
        key_source: args.key_provider,
        tpm_pcrs: args.tpm_pcrs,
    };
    let _lock = vault::create::create(&directory, &options)?;
    banner::created(&directory, &options.key_source);
    Ok(())
}

/// Only what this program says itself is logged: libraries do not know which words are secret.
fn log_to_stderr() {
    let own = Targets::new().with_target("stele", LevelFilter::INFO);
    let format = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // What cannot be written there cannot be complained of there, and is no reason to end.
        .log_internal_errors(false)
        .with_target(false);
    tracing_subscriber::registry().with(format).with(own).init();
}
