//! How TLS is spoken: the certificate the vault made, or one that people installed; TLS 1.2 and certificates
//! of clients, where people want them. Changes are durable before they count, and need no restart.

use std::sync::{Arc, Mutex, PoisonError};

use pem::{EncodeConfig, LineEnding, Pem};
use serde::{Deserialize, Serialize};
use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_gateway::tls::{Oldest, Tls, certificates, expires_ms, private_key};
use tokio::sync::watch;
use zeroize::{Zeroize, Zeroizing};

use crate::certificate::Identity;
use crate::client_env;
use crate::control::tls::{TlsAsk, TlsStatus};
use crate::error::{Error, Outcome};
use crate::supervisor::Link;
use crate::vault::Directory;

/// The name of the configuration record. It is under the box key, as the key in it must be.
pub const RECORD: &str = "tls/settings";

/// What people changed.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    installed: Option<Installed>,
    client_ca_pem: Option<String>,
    tls12: bool,
    /// What people changed cannot be read, and they have not decided anew.
    #[serde(skip)]
    unread: bool,
}

/// A certificate that people installed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Installed {
    chain_pem: String,
    key_der: Vec<u8>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.key_der.zeroize();
    }
}

/// The certificates of a PEM text and nothing else: the file it came from may hold the key too.
///
/// # Errors
/// When there is none or it cannot be read.
pub fn certificates_pem(text: &str) -> Outcome<String> {
    let found = certificates(text.as_bytes())?.into_iter();
    let pems: Vec<Pem> = found.map(|der| Pem::new("CERTIFICATE", der)).collect();
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    Ok(pem::encode_many_config(&pems, config))
}

impl Settings {
    /// Reads the value of the configuration record; without one nothing was changed.
    ///
    /// # Errors
    /// When it is not what this program writes.
    pub fn decode(value: Option<&[u8]>) -> Outcome<Settings> {
        let Some(value) = value else {
            return Ok(Settings::default());
        };
        let damaged = |_| Error::Record { name: RECORD };
        let mut settings: Settings = serde_json::from_slice(value).map_err(damaged)?;
        // Earlier versions kept the whole file.
        if let Some(installed) = &mut settings.installed {
            let chain_pem = certificates_pem(&installed.chain_pem)?;
            std::mem::replace(&mut installed.chain_pem, chain_pem).zeroize();
        }
        Ok(settings)
    }

    /// Where what people changed cannot be read. They may have required certificates of clients, so no client is let in
    /// before they decide.
    pub fn unread() -> Settings {
        Settings {
            unread: true,
            ..Settings::default()
        }
    }

    fn encode(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        let value = serde_json::to_vec(self).map_err(|_| Error::Record { name: RECORD })?;
        Ok(Zeroizing::new(value))
    }

    /// What clients must trust, PEM: the vault's own authority, and the chain that people installed.
    fn authorities_pem(&self, own: &Identity) -> String {
        let installed = self.installed.as_ref();
        let chain_pem = installed.map_or("", |installed| &installed.chain_pem);
        [own.ca_pem.trim_end(), chain_pem].join("\n")
    }

    /// Settings and the certificate of the vault as the gateway is told.
    fn tls(&self, own: &Identity) -> Outcome<Tls> {
        let mut tls = match &self.installed {
            Some(installed) => {
                let chain = certificates(installed.chain_pem.as_bytes())?;
                Tls::new(chain, &installed.key_der)
            }
            None => Tls::new(vec![own.certificate_der.clone()], &own.private_key_der()),
        };
        if let Some(pem) = &self.client_ca_pem {
            tls.client_authorities_der = certificates(pem.as_bytes())?;
        }
        if self.unread {
            // Its key was never kept: nobody has a certificate for clients by it, or will.
            tls.client_authorities_der = certificates(own.ca_pem.as_bytes())?;
        }
        if self.tls12 {
            tls.oldest = Oldest::Tls12;
        }
        tls.check()?;
        Ok(tls)
    }

    /// The settings after a change, and whether its certificate must be in its life.
    fn changed(&self, ask: TlsAsk) -> Outcome<(Settings, bool)> {
        let mut then = self.clone();
        if self.unread && !matches!(ask, TlsAsk::Show | TlsAsk::ClientCa { .. }) {
            return Err(Error::TlsUndecided);
        }
        match ask {
            TlsAsk::Show => Ok((then, false)),
            TlsAsk::Install { chain_pem, key_pem } => {
                let chain_pem = certificates_pem(&chain_pem)?;
                let key_der = private_key(key_pem.0.as_bytes())?.to_vec();
                then.installed = Some(Installed { chain_pem, key_der });
                Ok((then, true))
            }
            TlsAsk::ClientCa { pem } => {
                (then.client_ca_pem, then.unread) = (pem, false);
                Ok((then, false))
            }
            TlsAsk::Oldest { tls12 } => {
                then.tls12 = tls12;
                Ok((then, false))
            }
        }
    }

    fn status(&self, tls: &Tls) -> TlsStatus {
        let minimum = match tls.oldest {
            Oldest::Tls12 => "1.2",
            Oldest::Tls13 => "1.3",
        };
        TlsStatus {
            minimum: minimum.to_owned(),
            installed: self.installed.is_some(),
            expires_ms: tls.chain_der.first().and_then(|leaf| expires_ms(leaf)),
            client_authorities: tls.client_authorities_der.len(),
        }
    }
}

/// Who changes how TLS is spoken.
pub struct Keeper {
    link: Link,
    directory: Directory,
    own: Identity,
    /// Whoever changes them holds them until the gateway is told.
    settings: Mutex<Settings>,
    told: watch::Sender<Arc<Tls>>,
}

impl Keeper {
    /// Over what was changed before.
    ///
    /// # Errors
    /// When TLS cannot be spoken so.
    pub fn new(
        link: Link,
        directory: Directory,
        own: Identity,
        settings: Settings,
    ) -> Outcome<Keeper> {
        let tls = settings.tls(&own)?;
        Ok(Keeper {
            link,
            directory,
            own,
            settings: Mutex::new(settings),
            told: watch::Sender::new(Arc::new(tls)),
        })
    }

    /// How it is spoken, now and from any change on.
    pub fn told(&self) -> watch::Receiver<Arc<Tls>> {
        self.told.subscribe()
    }

    /// Replaces the files with the authorities that clients must trust.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn write_authorities(&self) -> Outcome<()> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&settings)
    }

    fn write(&self, settings: &Settings) -> Outcome<()> {
        client_env::write_authorities(&self.directory, &settings.authorities_pem(&self.own))
    }

    /// Whether no client is let in, because what people changed cannot be read and they have not decided anew.
    pub fn is_undecided(&self) -> bool {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.unread
    }

    /// How it is spoken, in words.
    pub fn status(&self) -> TlsStatus {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.status(&self.told.borrow())
    }

    /// Does what is asked; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// Why not; nothing was changed then.
    pub fn ask(&self, ask: TlsAsk) -> Outcome<TlsStatus> {
        if ask == TlsAsk::Show {
            return Ok(self.status());
        }
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, new) = settings.changed(ask)?;
        let tls = then.tls(&self.own)?;
        if new {
            tls.check_life(SystemClock.wall_ms())?;
        }
        match self.link.put_config(RECORD, &then.encode()?) {
            // Else nobody could read from a vault that can only be read.
            Err(Error::Refused(refusal)) if settings.unread => {
                tracing::warn!(%refusal, "what was decided about TLS counts until the next start only");
            }
            stored => stored?,
        }
        *settings = then;
        if new && let Err(error) = self.write(&settings) {
            tracing::warn!(%error, "ca.pem and ca-bundle.pem may lack the certificate until the next start");
        }
        let status = settings.status(&tls);
        self.told.send_replace(Arc::new(tls));
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::clients::Secret;

    const NOW_MS: u64 = 1_790_000_000_000;

    /// A chain and its key, PEM.
    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["vault.example".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    fn install(chain_pem: &str, key_pem: &str) -> TlsAsk {
        TlsAsk::Install {
            chain_pem: chain_pem.to_owned(),
            key_pem: Secret(key_pem.to_owned()),
        }
    }

    /// The settings after a change, as a start reads them.
    fn apply(settings: &Settings, own: &Identity, ask: TlsAsk) -> Result<(Settings, Tls), String> {
        let change = || -> Outcome<(Settings, Tls)> {
            let (then, new) = settings.changed(ask)?;
            let again = Settings::decode(Some(&then.encode()?))?;
            let tls = again.tls(own)?;
            if new {
                tls.check_life(NOW_MS)?;
            }
            Ok((again, tls))
        };
        change().map_err(|error| error.to_string())
    }

    #[test]
    fn what_people_change_is_kept_and_shown() {
        let own = Identity::issue(NOW_MS).expect("issued");
        let none = Settings::default();
        let tls = none.tls(&own).expect("made by the vault");
        assert_eq!(tls.chain_der, std::slice::from_ref(&own.certificate_der));
        assert_eq!(none.status(&tls).minimum, "1.3");
        let (chain, key) = pair();
        let (one, tls) = apply(&none, &own, install(&chain, &key)).expect("installed");
        assert_ne!(tls.chain_der, std::slice::from_ref(&own.certificate_der));
        assert!(one.status(&tls).installed);
        let (two, tls) = apply(&one, &own, TlsAsk::Oldest { tls12: true }).expect("1.2");
        assert_eq!(
            (two.status(&tls).minimum.as_str(), tls.oldest),
            ("1.2", Oldest::Tls12)
        );
        let pem = Some(own.ca_pem.clone());
        let (three, tls) = apply(&two, &own, TlsAsk::ClientCa { pem }).expect("an authority");
        let status = three.status(&tls);
        assert_eq!((status.client_authorities, status.installed), (1, true));
        let (four, tls) = apply(&three, &own, TlsAsk::ClientCa { pem: None }).expect("off");
        assert_eq!(four.status(&tls).client_authorities, 0);
        let (_, tls) = apply(&four, &own, TlsAsk::Oldest { tls12: false }).expect("1.3");
        assert_eq!(tls.oldest, Oldest::Tls13);
    }

    #[test]
    fn where_the_settings_cannot_be_read_no_client_is_let_in_before_people_decide() {
        let own = Identity::issue(NOW_MS).expect("issued");
        let unread = Settings::unread();
        let tls = unread.tls(&own).expect("made by the vault");
        assert_eq!(tls.client_authorities_der.len(), 1, "one is required");
        let (chain, key) = pair();
        for ask in [install(&chain, &key), TlsAsk::Oldest { tls12: true }] {
            let why = apply(&unread, &own, ask).map(drop).expect_err("undecided");
            assert!(why.contains("stele tls client-ca"), "{why}");
        }
        let (decided, tls) = apply(&unread, &own, TlsAsk::ClientCa { pem: None }).expect("off");
        assert!(tls.client_authorities_der.is_empty());
        apply(&decided, &own, TlsAsk::Oldest { tls12: true }).expect("decided");
    }

    #[test]
    fn a_key_in_the_file_of_the_certificate_is_kept_out_of_what_clients_get() {
        let own = Identity::issue(NOW_MS).expect("issued");
        let (chain, key) = pair();
        let both = format!("{key}{}", chain.trim_end());
        let (settings, _) =
            apply(&Settings::default(), &own, install(&both, &both)).expect("installed");
        let given = settings.authorities_pem(&own);
        assert!(!given.contains("PRIVATE KEY"), "{given}");
        assert!(given.ends_with("-----END CERTIFICATE-----\n"), "{given}");
        assert_eq!(certificates(given.as_bytes()).expect("readable").len(), 2);
        // As earlier versions wrote it.
        let mut old = settings.clone();
        let installed = old.installed.as_mut().expect("installed");
        installed.chain_pem = both;
        let read = Settings::decode(Some(&old.encode().expect("encoded"))).expect("read");
        assert_eq!(read.authorities_pem(&own), given);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_sentence() {
        let own = Identity::issue(NOW_MS).expect("issued");
        let none = Settings::default();
        let (chain, key) = pair();
        let (_, other_key) = pair();
        let expired = Identity::issue(0).expect("issued in 1970");
        let expired_pem = pem::encode(&Pem::new("CERTIFICATE", expired.certificate_der.clone()));
        let expired_key = rcgen::KeyPair::try_from(expired.private_key_der().as_slice());
        let expired_key = expired_key.expect("a key").serialize_pem();
        for (ask, words) in [
            (install(&chain, &other_key), "does not belong"),
            (install("", &key), "no certificate"),
            (install(&key, &key), "no certificate"),
            (install(&chain, "nothing"), "no private key"),
            (install(&chain, &chain), "no private key"),
            (install(&chain[..chain.len() - 40], &key), "cannot be read"),
            (install(&expired_pem, &expired_key), "has expired"),
            (
                TlsAsk::ClientCa {
                    pem: Some(String::new()),
                },
                "no certificate",
            ),
        ] {
            let why = apply(&none, &own, ask).map(drop).expect_err(words);
            assert!(why.contains(words), "{words}: {why}");
        }
    }
}
