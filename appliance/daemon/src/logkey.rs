//! The key that signs checkpoints of the log: one configuration record, made at creation, or at the
//! first start of a vault that has none.
//!
//! A stored key that cannot be read is not replaced: two keys for one log would be two logs to everybody
//! outside. The vault then serves without checkpoints and says so.

use std::sync::Arc;

use stele_format::checkpoint::Certificate;
use stele_format::units::PoolId;
use stele_store::receipts::LogSigner;
use zeroize::Zeroizing;

use crate::error::{Error, Outcome};
use crate::supervisor::Link;

/// The name of the configuration record.
const RECORD: &str = "log/key";

/// Makes a key and stores it durably.
///
/// # Errors
/// What the engine or the system's randomness refuses.
pub fn make(link: &Link) -> Outcome<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|_| Error::Entropy)?;
    link.put_config(RECORD, &*seed)?;
    Ok(seed)
}

/// Signs a certificate with the vault's key; none in a vault without one that can be used.
///
/// # Errors
/// What the engine refuses.
pub fn certify(link: &Link, pool: PoolId, certificate: &Certificate) -> Outcome<Option<String>> {
    let value = link.get_config(RECORD)?.map(Zeroizing::new);
    let seed = value.and_then(|value| <[u8; 32]>::try_from(value.as_slice()).ok());
    let signer = seed
        .map(Zeroizing::new)
        .and_then(|seed| LogSigner::new(pool, &seed).ok());
    Ok(signer.and_then(|signer| signer.certify(certificate)))
}

/// Lets the engine sign with the vault's key. Nothing here keeps a vault from being served.
///
/// # Errors
/// `NoAnswer` when the engine's thread has died.
pub fn load(link: &Link, pool: PoolId) -> Outcome<()> {
    let seed = match link
        .get_config(RECORD)
        .map(|value| value.map(Zeroizing::new))
    {
        Ok(None) => make(link),
        Ok(Some(value)) => match <[u8; 32]>::try_from(value.as_slice()) {
            Ok(seed) => Ok(Zeroizing::new(seed)),
            Err(_) => Err(Error::Record { name: RECORD }),
        },
        Err(error) => Err(error),
    };
    let signer = match seed {
        Ok(seed) => LogSigner::new(pool, &seed),
        Err(error @ (Error::Refused(_) | Error::Record { .. })) => {
            tracing::warn!(%error, "the log's key cannot be used; there are no checkpoints and no receipts");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    match signer {
        Ok(signer) => link.sign_with(Arc::new(signer)),
        Err(error) => {
            tracing::warn!(%error, "the log's key cannot be used; there are no checkpoints and no receipts");
            Ok(())
        }
    }
}
