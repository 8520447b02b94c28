//! What a client signed: the part of Signature Version 4 that is verified on the engine's side.
//!
//! The gateway holds no secret and hands the canonical request on; the engine's side, which has the secrets, hashes
//! it, verifies the signature, and its time by its own clock, and reads out of it what was signed. A gateway in wrong
//! hands can thus speak only for clients that sign requests to it, only while those are fresh, and only of what they
//! say ([`mandate`]).
//!
//! Sources: the AWS documentation, "Authenticating Requests: Using the Authorization Header" and
//! "Using Query Parameters" (AWS Signature Version 4).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use stele_format::units::UnixMillis;
use time::{Date, Month, PrimitiveDateTime, Time};
use zeroize::{Zeroize, Zeroizing};

use crate::guard::host::Domains;
use crate::limits::{CLOCK_SKEW_S_MAX, PRESIGNED_S_MAX};
use crate::message::Request;
use crate::refusal::Refusal;
use crate::text::hex;

mod canonical;
pub mod mandate;

pub use canonical::Canonical;
pub(crate) use canonical::Form;
pub use mandate::Mandate;

/// The one algorithm.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A signature, whose it claims to be, and what it covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Access key id.
    pub key_id: String,
    /// Day of the credential scope, `YYYYMMDD`.
    pub day: String,
    /// Region of the credential scope; any is accepted.
    pub region: String,
    /// When it was signed, `YYYYMMDDTHHMMSSZ`.
    pub date: String,
    /// The canonical request.
    pub request: Canonical,
    /// The signature.
    pub signature: [u8; 32],
}

/// What a verified signature gives.
#[derive(Debug)]
pub struct Verified {
    /// The key it was made with.
    pub key: SigningKey,
    /// What it is for.
    pub mandate: Mandate,
}

/// A client's key for one day and region. It verifies the signatures of chunks, and could make
/// signatures of that day, so that it never leaves the process that has the secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey([u8; 32]);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl SigningKey {
    /// Derives the key of a day and region from a client's secret.
    #[must_use]
    pub fn derive(secret: &str, day: &str, region: &str) -> Self {
        let first = Zeroizing::new(format!("AWS4{secret}"));
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
        let mut last = Self([0; 32]);
        for part in [day, region, "s3", "aws4_request"] {
            let tag = hmac::sign(&key, part.as_bytes());
            last.0.copy_from_slice(tag.as_ref());
            key = hmac::Key::new(hmac::HMAC_SHA256, &last.0);
        }
        last
    }

    /// The key as the hash wants it.
    pub(crate) fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl Claim {
    /// Signs a request as a client does. `date` is `YYYYMMDDTHHMMSSZ`; what is too short for a day has
    /// none.
    #[must_use]
    pub fn signed(
        key_id: &str,
        secret: &str,
        date: &str,
        region: &str,
        request: Canonical,
    ) -> Claim {
        let mut claim = Claim {
            key_id: key_id.to_owned(),
            day: date.get(..8).unwrap_or_default().to_owned(),
            region: region.to_owned(),
            date: date.to_owned(),
            request,
            signature: [0; 32],
        };
        let key = SigningKey::derive(secret, &claim.day, region).hmac();
        // As who sends it signs it: in the last form there is.
        let digest = claim.request.forms().last().map(|form| form.digest());
        if let Some(digest) = digest {
            let tag = hmac::sign(&key, claim.text(&digest).as_bytes());
            claim.signature.copy_from_slice(tag.as_ref());
        }
        claim
    }

    /// Verifies the signature under a client's secret, and reads what it is for. `domains` are the names under which
    /// the vault is reached.
    ///
    /// # Errors
    /// `Signature`, `NotSigned`, `Skewed`, `NotYet` or `Expired`; the signature is looked at first, so that only the
    /// client learns the rest.
    pub fn verify(
        &self,
        secret: &str,
        domains: &Domains,
        now: UnixMillis,
    ) -> Result<Verified, Refusal> {
        let key = SigningKey::derive(secret, &self.day, &self.region);
        let hmac = key.hmac();
        let is_signed = |form: &Form<'_>| {
            let tag = hmac::sign(&hmac, self.text(&form.digest()).as_bytes());
            verify_slices_are_equal(tag.as_ref(), &self.signature).is_ok()
        };
        let signed = self.request.forms().find(is_signed);
        let signed = signed.ok_or(Refusal::Signature)?;
        let mandate = Mandate::of(signed, domains).ok_or(Refusal::NotSigned)?;
        let good_ms = self.check_time(mandate.expires_s(), now)?;
        let mandate = mandate.proved(self.signature, good_ms);
        Ok(Verified { key, mandate })
    }

    /// Whether a question would serve what this says that its client wants, were its signature right; none if that
    /// cannot be read. For tests with any bytes: nothing can be asked with the answer.
    pub(crate) fn would_admit(&self, domains: &Domains, question: &Request) -> Option<bool> {
        let mandates = self.request.forms().map(|form| Mandate::of(form, domains));
        mandates.fold(None, |any: Option<bool>, mandate| {
            let admits = mandate?.admits(question);
            Some(any.unwrap_or(false) | admits)
        })
    }

    /// What was signed.
    fn text(&self, request_digest: &[u8; 32]) -> String {
        format!(
            "{ALGORITHM}\n{}\n{}/{}/s3/aws4_request\n{}",
            self.date,
            self.day,
            self.region,
            hex(request_digest)
        )
    }

    /// How long it is still good. `expires_s` is how long a presigned URL is from when it was signed; a signed header
    /// says nothing.
    fn check_time(&self, expires_s: Option<u64>, now: UnixMillis) -> Result<u64, Refusal> {
        let skew_s = i64::from(CLOCK_SKEW_S_MAX);
        let signed_s = unix_seconds(&self.date).ok_or(Refusal::Skewed)?;
        let now_s = i64::try_from(now.get() / 1000).map_err(|_| Refusal::Skewed)?;
        // A scope of another day would make the key good for longer than the day it names.
        let same_day = self.date.starts_with(&self.day) && self.day.len() == 8;
        if !same_day {
            return Err(Refusal::Skewed);
        }
        let is_early = signed_s > now_s + skew_s;
        let good_s = match expires_s {
            None if is_early => return Err(Refusal::Skewed),
            Some(_) if is_early => return Err(Refusal::NotYet),
            None => skew_s,
            Some(expires_s) => i64::try_from(expires_s.min(PRESIGNED_S_MAX)).unwrap_or(0),
        };
        // The last second counts.
        match u64::try_from(signed_s + good_s - now_s) {
            Ok(left_s) => Ok((left_s + 1) * 1_000),
            Err(_past) if expires_s.is_some() => Err(Refusal::Expired),
            Err(_past) => Err(Refusal::Skewed),
        }
    }
}

/// Seconds since 1970 of `YYYYMMDDTHHMMSSZ`.
fn unix_seconds(date: &str) -> Option<i64> {
    let number = |range| -> Option<u16> {
        let digits: &str = date.get(range)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let small = |range| number(range).and_then(|number| u8::try_from(number).ok());
    let marks = (date.get(8..9)?, date.get(15..)?);
    if marks != ("T", "Z") {
        return None;
    }
    let month = Month::try_from(small(4..6)?).ok()?;
    let day = Date::from_calendar_date(number(0..4)?.into(), month, small(6..8)?).ok()?;
    let time = Time::from_hms(small(9..11)?, small(11..13)?, small(13..15)?).ok()?;
    Some(
        PrimitiveDateTime::new(day, time)
            .assume_utc()
            .unix_timestamp(),
    )
}

/// The secrets of the clients that may speak to the vault, by access key id. Clones share the set,
/// which may change at any time.
#[derive(Clone, Default)]
pub struct Clients(Arc<RwLock<HashMap<String, Zeroizing<String>>>>);

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients(..)")
    }
}

impl Clients {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a client or gives it another secret.
    pub fn insert(&self, key_id: impl Into<String>, secret: Zeroizing<String>) {
        self.write(|clients| {
            clients.insert(key_id.into(), secret);
        });
    }

    /// Removes a client; its next request is refused.
    pub fn remove(&self, key_id: &str) {
        self.write(|clients| {
            clients.remove(key_id);
        });
    }

    /// Puts another set in the place of this one.
    pub fn replace(&self, clients: impl IntoIterator<Item = (String, Zeroizing<String>)>) {
        let new: HashMap<_, _> = clients.into_iter().collect();
        self.write(|clients| *clients = new);
    }

    /// Verifies a claim.
    ///
    /// # Errors
    /// `UnknownKey`, or as [`Claim::verify`].
    pub fn verify(
        &self,
        claim: &Claim,
        domains: &Domains,
        now: UnixMillis,
    ) -> Result<Verified, Refusal> {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let secret = clients.get(&claim.key_id).ok_or(Refusal::UnknownKey)?;
        claim.verify(secret, domains, now)
    }

    fn write(&self, change: impl FnOnce(&mut HashMap<String, Zeroizing<String>>)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests;
