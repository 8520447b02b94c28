//! The server's certificate: issued by an authority made for it alone, whose key is dropped at once.
//!
//! All of it is one configuration record, so that certificate and key always belong together. It is
//! replaced, with a new authority, when it is about to expire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde::{Deserialize, Serialize};
use stele_format::units::UnixMillis;
use stele_gateway::limits::DOMAINS;
use stele_store::policy::words::utc;
use time::OffsetDateTime;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Outcome};
use crate::limits::{CERTIFICATE_BACKDATE_DAYS, CERTIFICATE_DAYS, CERTIFICATE_RENEW_DAYS, DAY_MS};

/// The name of the configuration record.
pub const RECORD: &str = "tls/identity";

/// What is said of a certificate in its last days, and when it has expired.
pub fn alarm(expires_ms: u64, now_ms: u64) -> Option<String> {
    let at = utc(UnixMillis::new(expires_ms));
    match expires_ms.checked_sub(now_ms).filter(|left| *left > 0) {
        None => Some(format!(
            "the TLS certificate has expired on {at}; clients refuse the vault"
        )),
        Some(left) if left / DAY_MS < CERTIFICATE_RENEW_DAYS => Some(format!(
            "the TLS certificate ends in {} days, on {at}",
            left / DAY_MS
        )),
        Some(_) => None,
    }
}

/// What the server shows to prove who it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The authority's certificate, PEM, for clients.
    pub ca_pem: String,
    /// The server's certificate, DER.
    pub certificate_der: Vec<u8>,
    /// Its private key, PKCS#8 DER.
    key_der: Vec<u8>,
    /// The end of its life, milliseconds since 1970.
    not_after_ms: u64,
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key_der.zeroize();
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("not_after_ms", &self.not_after_ms)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes an authority, lets it issue one certificate for this machine, and forgets its key.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn issue(now_ms: u64) -> Outcome<Identity> {
        let not_after_ms = now_ms.saturating_add(CERTIFICATE_DAYS * DAY_MS);
        let life = (
            instant(now_ms.saturating_sub(CERTIFICATE_BACKDATE_DAYS * DAY_MS))?,
            instant(not_after_ms)?,
        );
        let ca_key = KeyPair::generate()?;
        let ca = authority(life).self_signed(&ca_key)?;
        let issuer = Issuer::new(authority(life), ca_key);
        let key = KeyPair::generate()?;
        let certificate = server(life)?.signed_by(&key, &issuer)?;
        Ok(Identity {
            ca_pem: ca.pem(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
            not_after_ms,
        })
    }

    /// Whether it is time for a new one.
    pub fn expires_soon(&self, now_ms: u64) -> bool {
        self.not_after_ms
            .saturating_sub(CERTIFICATE_RENEW_DAYS * DAY_MS)
            <= now_ms
    }

    /// The private key, PKCS#8 DER.
    pub fn private_key_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key_der.clone())
    }

    /// The value of the configuration record.
    ///
    /// # Errors
    /// Never in practice; the fields are plain.
    pub fn encode(&self) -> Outcome<Vec<u8>> {
        serde_json::to_vec(self).map_err(|_| Error::Record { name: RECORD })
    }

    /// Reads the value of the configuration record.
    ///
    /// # Errors
    /// When it is not what `encode` writes.
    pub fn decode(value: &[u8]) -> Outcome<Identity> {
        serde_json::from_slice(value).map_err(|_| Error::Record { name: RECORD })
    }
}

fn instant(ms: u64) -> Outcome<OffsetDateTime> {
    // X.509 knows four digits of year; a clock beyond them is as good as the last second of 9999.
    const LAST_SECOND: i64 = 253_402_300_799;
    let seconds = i64::try_from(ms / 1_000)
        .unwrap_or(LAST_SECOND)
        .min(LAST_SECOND);
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Record { name: RECORD })
}

type Life = (OffsetDateTime, OffsetDateTime);

fn authority((not_before, not_after): Life) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Stele evaluation vault authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = not_before;
    params.not_after = not_after;
    params
}

fn server((not_before, not_after): Life) -> Outcome<CertificateParams> {
    // A bucket may stand in front of a domain. Many clients believe no wildcard right under a name
    // without a dot, so only the others have one.
    let mut names = DOMAINS.map(str::to_owned).to_vec();
    let dotted = DOMAINS.iter().filter(|domain| domain.contains('.'));
    names.extend(dotted.map(|domain| format!("*.{domain}")));
    let mut params = CertificateParams::new(names)?;
    params
        .subject_alt_names
        .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params
        .subject_alt_names
        .push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    params.distinguished_name = name("Stele evaluation vault");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = not_before;
    params.not_after = not_after;
    Ok(params)
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_790_000_000_000;

    #[test]
    fn an_identity_survives_its_record_and_shows_no_key() {
        let identity = Identity::issue(NOW_MS).expect("issued");
        let value = identity.encode().expect("encoded");
        let again = Identity::decode(&value).expect("decoded");
        assert_eq!(again.certificate_der, identity.certificate_der);
        assert_eq!(again.private_key_der(), identity.private_key_der());
        assert_eq!(again.ca_pem, identity.ca_pem);
        assert!(!format!("{identity:?}").contains("key"));
        assert!(Identity::decode(&value[..value.len() - 1]).is_err());
        assert!(Identity::decode(b"{}").is_err());
    }

    #[test]
    fn two_identities_share_nothing() {
        let first = Identity::issue(NOW_MS).expect("issued");
        let second = Identity::issue(NOW_MS).expect("issued");
        assert_ne!(first.ca_pem, second.ca_pem);
        assert_ne!(first.private_key_der(), second.private_key_der());
    }

    #[test]
    fn it_is_replaced_in_its_last_days_only() {
        let identity = Identity::issue(NOW_MS).expect("issued");
        let check = |days: u64, expected: bool| {
            assert_eq!(
                identity.expires_soon(NOW_MS + days * DAY_MS),
                expected,
                "{days}"
            );
        };
        check(0, false);
        check(CERTIFICATE_DAYS - CERTIFICATE_RENEW_DAYS - 1, false);
        check(CERTIFICATE_DAYS - CERTIFICATE_RENEW_DAYS, true);
        check(CERTIFICATE_DAYS + 1, true);
    }

    #[test]
    fn a_certificate_in_its_last_days_is_told_of_and_one_that_expired_by_its_date() {
        let ends = NOW_MS + 30 * DAY_MS;
        let date = utc(UnixMillis::new(ends));
        assert_eq!(alarm(ends, NOW_MS), None);
        let soon = format!("the TLS certificate ends in 29 days, on {date}");
        assert_eq!(alarm(ends, NOW_MS + 1), Some(soon));
        let over = format!("the TLS certificate has expired on {date}; clients refuse the vault");
        for now in [ends, ends + DAY_MS] {
            assert_eq!(alarm(ends, now), Some(over.clone()));
        }
    }

    #[test]
    fn odd_clocks_still_get_a_certificate() {
        for now in [0, 1, u64::MAX] {
            assert!(Identity::issue(now).is_ok(), "{now}");
        }
    }
}
