//! Both ciphers and the signature scheme, as this program links them, against the hostile cases of Project
//! Wycheproof. How the providers of chunks and the verifier of statements use them is tested beside those.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use ed25519_dalek::Signature;
use stele_format::sshsig::{KeyType, PublicKey};

fn unhex(text: &str) -> Vec<u8> {
    let digits = if text == "-" { "" } else { text };
    assert!(digits.len().is_multiple_of(2));
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// Number of the case, whether it is valid, and its other fields.
fn cases(file: &str) -> impl Iterator<Item = (&str, bool, Vec<Vec<u8>>)> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let mut words = line.split(' ');
        let (id, result) = (words.next().unwrap(), words.next().unwrap());
        assert!(["valid", "invalid"].contains(&result));
        (id, result == "valid", words.map(unhex).collect())
    })
}

struct Sealed<'a> {
    key: &'a [u8],
    nonce: [u8; 12],
    aad: &'a [u8],
    tag: [u8; 16],
}

trait Provider {
    fn open(&self, sealed: &Sealed<'_>, text: &mut [u8]) -> bool;
    fn seal(&self, sealed: &Sealed<'_>, text: &mut [u8]) -> [u8; 16];
}

struct AwsLc;

impl AwsLc {
    fn key(sealed: &Sealed<'_>) -> (LessSafeKey, aws_lc_rs::aead::Nonce) {
        let key = UnboundKey::new(&AES_256_GCM, sealed.key).unwrap();
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(sealed.nonce);
        (LessSafeKey::new(key), nonce)
    }
}

impl Provider for AwsLc {
    fn open(&self, sealed: &Sealed<'_>, text: &mut [u8]) -> bool {
        let (key, nonce) = Self::key(sealed);
        key.open_in_place_separate_tag(nonce, Aad::from(sealed.aad), &sealed.tag, text)
            .is_ok()
    }

    fn seal(&self, sealed: &Sealed<'_>, text: &mut [u8]) -> [u8; 16] {
        let (key, nonce) = Self::key(sealed);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(sealed.aad), text);
        tag.unwrap().as_ref().try_into().unwrap()
    }
}

struct Reference;

impl Provider for Reference {
    fn open(&self, sealed: &Sealed<'_>, text: &mut [u8]) -> bool {
        let cipher = Aes256Gcm::new_from_slice(sealed.key).unwrap();
        let (nonce, tag) = (Nonce::from(sealed.nonce), Tag::from(sealed.tag));
        cipher
            .decrypt_inout_detached(&nonce, sealed.aad, text.into(), &tag)
            .is_ok()
    }

    fn seal(&self, sealed: &Sealed<'_>, text: &mut [u8]) -> [u8; 16] {
        let cipher = Aes256Gcm::new_from_slice(sealed.key).unwrap();
        let nonce = Nonce::from(sealed.nonce);
        let tag = cipher.encrypt_inout_detached(&nonce, sealed.aad, text.into());
        tag.unwrap().into()
    }
}

#[test]
fn k13_both_providers_pass_wycheproof_aes_256_gcm() {
    let (mut valid, mut invalid) = (0, 0);
    for (id, good, fields) in cases(include_str!("vectors/aes-256-gcm.txt")) {
        let [key, nonce, aad, message, ciphertext, tag] = fields.as_slice() else {
            panic!("case {id}")
        };
        let sealed = Sealed {
            key,
            nonce: nonce.as_slice().try_into().unwrap(),
            aad,
            tag: tag.as_slice().try_into().unwrap(),
        };
        let providers: [(&str, &dyn Provider); 2] = [("aws-lc", &AwsLc), ("aes-gcm", &Reference)];
        for (name, provider) in providers {
            let mut text = ciphertext.clone();
            assert_eq!(provider.open(&sealed, &mut text), good, "{name} {id}");
            if good {
                assert_eq!(text, *message, "{name} {id}");
                assert_eq!(provider.seal(&sealed, &mut text), sealed.tag, "{name} {id}");
                assert_eq!(text, *ciphertext, "{name} {id}");
            }
        }
        *(if good { &mut valid } else { &mut invalid }) += 1;
    }
    assert_eq!((valid, invalid), (39, 27));
}

/// The verifier of statements reads a key by [`PublicKey`] and verifies strictly.
#[test]
fn k13_what_verifies_statements_passes_wycheproof_ed25519() {
    let (mut valid, mut invalid) = (0, 0);
    for (id, good, fields) in cases(include_str!("vectors/ed25519.txt")) {
        let [key, message, signature] = fields.as_slice() else {
            panic!("case {id}")
        };
        let point: [u8; 32] = key.as_slice().try_into().unwrap();
        assert!(PublicKey::new(KeyType::Plain, point).is_ok(), "{id}");
        let verifies = Signature::from_slice(signature).is_ok_and(|signature| {
            let key = ed25519_dalek::VerifyingKey::from_bytes(&point).unwrap();
            key.verify_strict(message, &signature).is_ok()
        });
        assert_eq!(verifies, good, "{id}");
        *(if good { &mut valid } else { &mut invalid }) += 1;
    }
    assert_eq!((valid, invalid), (88, 63));
}
