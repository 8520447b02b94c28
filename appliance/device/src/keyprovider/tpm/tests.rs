//! A TPM that answers what it likes: nothing panics, nothing is believed.

use std::sync::Mutex;

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, proptest};

use super::wire::Writer;
use super::{Connect, Note, PcrSet, TpmKeys, Transact};
use crate::keyprovider::{KeyError, KeyProvider};

/// Answers in turn with these codes and bodies, under a header that is right or not.
struct Hostile(Mutex<std::vec::IntoIter<Said>>);

#[derive(Debug, Clone)]
struct Said {
    tag: u16,
    code: u32,
    lie: u32,
    body: Vec<u8>,
}

impl Connect for Hostile {
    fn connect(&self) -> std::io::Result<Box<dyn Transact + '_>> {
        Ok(Box::new(HostileLink(self)))
    }

    fn clears_up(&self) -> bool {
        false
    }
}

struct HostileLink<'a>(&'a Hostile);

impl Transact for HostileLink<'_> {
    fn transact(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>> {
        // CreatePrimary is answered with a point that is on the curve, to be asked more.
        let head = u32::from_be_bytes(command[6..10].try_into().expect("a command has a header"));
        let said = self.0.0.lock().expect("alone").next();
        let said = said.ok_or(std::io::ErrorKind::BrokenPipe)?;
        let body = if head == 0x131 && said.lie == 0 {
            primary()
        } else {
            said.body
        };
        let length = u32::try_from(10 + body.len()).expect("short") + said.lie;
        let answer = Writer::new().u16(said.tag).u32(length).u32(said.code);
        Ok([answer.as_slice(), &body].concat())
    }
}

/// The generator of P-256 as a storage key, as an answer to a command with a password.
fn primary() -> Vec<u8> {
    let template = super::template::StorageKey::template();
    let bytes = template.as_slice();
    let x = hex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
    let y = hex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
    let public = Writer::new()
        .bytes(&bytes[..bytes.len() - 4])
        .sized(&x)
        .sized(&y);
    let parameters = Writer::new().sized(public.as_slice());
    let count = u32::try_from(parameters.as_slice().len()).expect("short");
    let answer = Writer::new()
        .u32(0x8000_0000)
        .u32(count)
        .bytes(parameters.as_slice());
    let answer = answer.sized(&[]).u8(1).sized(&[]);
    answer.as_slice().to_vec()
}

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    pairs.map(|pair| byte(pair).expect("hex")).collect()
}

fn said() -> impl Strategy<Value = Said> {
    let body = prop::collection::vec(any::<u8>(), 0..100);
    // Mostly what gets further: success, the right length, the tag that was asked for.
    let mostly = |right: u32| {
        (0..8_u8, any::<u32>()).prop_map(move |(dice, other)| if dice == 0 { other } else { right })
    };
    let busy = [0x908, 0x90a, 0x920, 0x922];
    let code = mostly(0).prop_map(move |code| if busy.contains(&code) { 0x101 } else { code });
    (
        any::<bool>(),
        code,
        mostly(0).prop_map(|lie| lie % 5000),
        body,
    )
        .prop_map(|(tag, code, lie, body)| Said {
            tag: if tag { 0x8001 } else { 0x8002 },
            code,
            lie,
            body,
        })
}

fn session_start() -> Said {
    let answer = Writer::new().u32(0x0200_0000).sized(&[6; 32]);
    Said {
        tag: 0x8001,
        code: 0,
        lie: 0,
        body: answer.as_slice().to_vec(),
    }
}

fn plain(body: &[u8]) -> Said {
    Said {
        tag: 0x8001,
        code: 0,
        lie: 0,
        body: body.to_vec(),
    }
}

/// As far as a session, and then what it likes.
fn begun(rest: Vec<Said>) -> Vec<Said> {
    let no_handles = [0, 0, 0, 0, 1, 0, 0, 0, 0];
    let primary = Said {
        tag: 0x8002,
        ..plain(&[])
    };
    let start = [
        plain(&[]),
        plain(&no_handles),
        plain(&no_handles),
        primary,
        session_start(),
    ];
    start.into_iter().chain(rest).collect()
}

fn hostile(says: Vec<Said>) -> Box<Hostile> {
    Box::new(Hostile(Mutex::new(says.into_iter())))
}

/// A note that knows the hostile TPM's storage key.
fn note() -> Note {
    let public = &primary()[10..primary().len() - 5];
    let mut note = Note::example(PcrSet::default());
    note.parent
        .copy_from_slice(&super::template::name_of(public));
    note
}

#[test]
fn the_hostile_tpm_gets_as_far_as_a_session() {
    let keys = TpmKeys::new(hostile(begun(Vec::new())), note());
    let error = keys.check().expect_err("nothing more is said");
    assert!(matches!(error, super::TpmError::Io(_)), "{error}");
}

#[test]
fn a_success_without_proof_is_not_believed() {
    let value = Writer::new().sized(&7_u64.to_be_bytes());
    let count = u32::try_from(value.as_slice().len()).expect("short");
    let body = Writer::new().u32(count).bytes(value.as_slice());
    let body = body.sized(&[1; 32]).u8(1).sized(&[2; 32]);
    let answer = Said {
        tag: 0x8002,
        ..plain(body.as_slice())
    };
    let keys = TpmKeys::new(hostile(begun(vec![answer])), note());
    let error = keys.check().expect_err("not authentic");
    assert!(matches!(error, super::TpmError::Forged { .. }), "{error}");
}

proptest! {
    #[test]
    fn a_hostile_tpm_makes_nothing_panic_and_opens_nothing(
        says in prop::collection::vec(said(), 0..12), far: bool
    ) {
        let says = if far { begun(says) } else { says };
        let keys = || TpmKeys::new(hostile(says.clone()), note());
        prop_assert!(keys().check().is_err());
        prop_assert!(keys().anchor().is_err());
        prop_assert!(keys().seal(b"", b"text").is_err());
        prop_assert!(keys().seal_next(b"", b"text").is_err());
        let header = super::form::Header {
            value: 7,
            pcrs: PcrSet::default(),
            pcr_digest: [0; 32],
            unique: [1; 32],
            private: vec![2; 100],
        };
        let sealed = header.encode();
        prop_assert!(keys().open(b"", &sealed).is_err());
        prop_assert!(keys().advance(&sealed).is_err());
        prop_assert!(TpmKeys::create(hostile(says.clone()), PcrSet::default()).is_err());
    }
}

#[test]
fn a_tpm_that_is_gone_is_unavailable() {
    let keys = TpmKeys::new(hostile(Vec::new()), note());
    assert_eq!(keys.anchor(), Err(KeyError::Unavailable));
    assert_eq!(keys.seal(b"", b"x"), Err(KeyError::Unavailable));
}
