//! The keys that sign checkpoints of the log, each a configuration record: the first made at creation, or at the
//! first start of a vault that has none; further ones when people draft a request for one.
//!
//! Which one signs is what the log says. A stored key that cannot be read is not replaced: two keys for one log
//! would be two logs to everybody outside. The vault then serves without checkpoints and says so.

use std::sync::Arc;

use stele_format::checkpoint::Certificate;
use stele_format::statement::{Act, LogPublic};
use stele_format::units::PoolId;
use stele_store::policy::approval::RequestState;
use stele_store::receipts::LogSigner;
use stele_store::request::{Answer, Command, PeopleView};
use zeroize::Zeroizing;

use crate::error::{Error, Outcome};
use crate::supervisor::Link;

/// The name of the first key's configuration record; those of others go on with `/` and their public half.
const RECORD: &str = "log/key";

type Seed = Zeroizing<[u8; 32]>;

/// Makes the first key and stores it durably.
///
/// # Errors
/// What the engine or the system's randomness refuses.
pub fn make(link: &Link) -> Outcome<Seed> {
    let seed = seed()?;
    link.put_config(RECORD, &*seed)?;
    Ok(seed)
}

/// Signs a certificate with the key that signs the log; none in a vault without one that can be used.
///
/// # Errors
/// What the engine refuses.
pub fn certify(link: &Link, pool: PoolId, certificate: &Certificate) -> Outcome<Option<String>> {
    let signers = all(link, pool)?;
    let Answer::People(view) = link.ask(|| Command::People)? else {
        return Err(Error::NoAnswer);
    };
    let signer = match view.log_keys.last() {
        None => signers.first(),
        Some(named) => signers
            .iter()
            .find(|signer| signer.key().public() == &named.key.0),
    };
    // Keys are kept without the name that the log has after a forced opening.
    let opening = view.origin.opening();
    Ok(signer.and_then(|signer| signer.after(opening).certify(certificate)))
}

/// Makes a key that people may give the log, stores it durably, and lets the engine know it. One that they do not
/// give it stays and does nothing.
///
/// # Errors
/// As [`make`].
pub fn make_next(link: &Link) -> Outcome<LogPublic> {
    let seed = seed()?;
    let signer = signer(link.status_now()?.pool, &seed)?;
    let public = LogPublic(*signer.key().public());
    link.put_config(&record_of(public), &*seed)?;
    link.learn_log_key(signer)?;
    Ok(public)
}

fn seed() -> Outcome<Seed> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|_| Error::Entropy)?;
    Ok(seed)
}

fn record_of(key: LogPublic) -> String {
    format!("{RECORD}/{key}")
}

fn signer(pool: PoolId, seed: &Seed) -> Outcome<Arc<LogSigner>> {
    let signer = LogSigner::new(pool, seed).map_err(|_| Error::Record { name: RECORD })?;
    Ok(Arc::new(signer))
}

/// Lets the engine sign with the vault's keys. Nothing here keeps a vault from being served.
///
/// # Errors
/// `NoAnswer` when the engine's thread has died.
pub fn load(link: &Link, pool: PoolId) -> Outcome<()> {
    match all(link, pool) {
        Ok(signers) => link.sign_with(signers),
        Err(error @ (Error::Refused(_) | Error::Record { .. })) => {
            tracing::warn!(%error, "the log's key cannot be used; there are no checkpoints and no receipts");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Every key that signed the log, the first one first, and those that people ask for.
fn all(link: &Link, pool: PoolId) -> Outcome<Vec<Arc<LogSigner>>> {
    let first = match stored(link, RECORD)? {
        Some(seed) => seed,
        None => make(link)?,
    };
    let mut signers = vec![signer(pool, &first)?];
    let view = match link.ask(|| Command::People)? {
        Answer::People(view) => view,
        _ => return Err(Error::NoAnswer),
    };
    for key in wanted(&view) {
        match stored(link, &record_of(key))? {
            Some(seed) => signers.push(signer(pool, &seed)?),
            None => tracing::warn!(%key, "a key of the log is not kept here"),
        }
    }
    Ok(signers)
}

/// The keys that people gave the log, or still may.
fn wanted(view: &PeopleView) -> Vec<LogPublic> {
    let mut keys: Vec<LogPublic> = view.log_keys.iter().map(|one| one.key).collect();
    for request in &view.requests {
        let may = matches!(
            request.state,
            RequestState::Requested
                | RequestState::Cooling
                | RequestState::Executable
                | RequestState::Executing
        );
        match request.act {
            Act::LogKey { key } if may => keys.push(key),
            _ => {}
        }
    }
    keys
}

fn stored(link: &Link, name: &str) -> Outcome<Option<Seed>> {
    let value = link.get_config(name)?.map(Zeroizing::new);
    let Some(value) = value else {
        return Ok(None);
    };
    let seed = <[u8; 32]>::try_from(value.as_slice());
    let seed = seed.map_err(|_| Error::Record { name: RECORD })?;
    Ok(Some(Zeroizing::new(seed)))
}
