//! Signatures of security keys and plain keys: what is accepted, and everything near it that is not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

#[path = "shared/authenticator.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod authenticator;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use authenticator::{SoftKey, UP, UV, Wish};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use stele_format::sshsig::{
    KeyType, PublicKey, STATEMENT_NAMESPACE, Signature, SignatureError, Verified,
};

const TEXT: &[u8] = b"stele-statement v1\n";

fn check(blob: &[u8]) -> Result<Verified, SignatureError> {
    Signature::decode(blob)?.verify(TEXT, STATEMENT_NAMESPACE)
}

#[test]
fn a_security_key_and_a_plain_key_verify_with_both_hashes() {
    for hash in ["sha512", "sha256"] {
        let wish = Wish {
            hash,
            counter: 77,
            ..Wish::default()
        };
        let verified = check(&SoftKey::new(1).sign_as(TEXT, &wish)).unwrap();
        assert!(verified.user_present() && verified.user_verified());
        assert_eq!(verified.counter(), Some(77));
        assert_eq!(verified.key().point(), &SoftKey::new(1).point());
        assert_eq!(verified.key().key_type(), KeyType::SecurityKey);
        assert_eq!(
            verified.message(),
            stele_format::Digest::of(TEXT),
            "it names what it is for"
        );
        let plain = check(&SoftKey::plain(1).sign_as(TEXT, &wish)).unwrap();
        assert_eq!(plain.key().key_type(), KeyType::Plain);
        assert!(!plain.user_present() && !plain.user_verified());
        assert_eq!(plain.counter(), None);
    }
}

/// O4: a signature tells apart whether the key was touched and whether it knew by whom.
#[test]
fn o4_touch_and_verification_are_told_apart() {
    for (flags, present, verified) in [
        (0, false, false),
        (UP, true, false),
        (UV, false, true),
        (UP | UV, true, true),
    ] {
        let wish = Wish {
            flags,
            ..Wish::default()
        };
        let signature = check(&SoftKey::new(1).sign_as(TEXT, &wish)).unwrap();
        assert_eq!(signature.user_present(), present, "{flags}");
        assert_eq!(signature.user_verified(), verified, "{flags}");
    }
}

#[test]
fn each_hostile_signature_is_refused_for_its_own_reason() {
    use SignatureError as E;
    let made = |wish: Wish<'_>| SoftKey::new(1).sign_as(TEXT, &wish);
    let wish = Wish::default;
    let good = SoftKey::new(1).sign_as(TEXT, &wish());
    let plain = SoftKey::plain(1).sign_as(TEXT, &wish());
    let mut magic_version = good.clone();
    magic_version[9] = 2;
    // The length of the public key's string, one more than is there for its fields.
    let mut inner_longer = good.clone();
    inner_longer[13] += 1;
    let mut huge = good.clone();
    huge[10..14].copy_from_slice(&u32::MAX.to_be_bytes());
    // A plain key whose signature says it is a security key's: the name is as long.
    let swapped = {
        let sk = SoftKey::new(1);
        let head = plain.len() - 4 - (4 + 11 + 4 + 64);
        let inner = &good[good.len() - (4 + 26 + 4 + 64 + 5)..];
        let mut out = plain[..head].to_vec();
        out.extend_from_slice(&u32::try_from(inner.len()).unwrap().to_be_bytes());
        out.extend_from_slice(inner);
        assert_eq!(sk.point(), SoftKey::plain(1).point());
        out
    };
    let table: Vec<(&str, Vec<u8>, E)> = vec![
        ("empty", vec![], E::Magic),
        (
            "other magic",
            made(Wish {
                magic: b"SSHSIH",
                ..wish()
            }),
            E::Magic,
        ),
        (
            "version 2",
            made(Wish {
                version: 2,
                ..wish()
            }),
            E::Magic,
        ),
        ("version byte", magic_version, E::Magic),
        (
            "other namespace",
            made(Wish {
                namespace: "file",
                signed_namespace: "file",
                ..wish()
            }),
            E::Namespace,
        ),
        (
            "no namespace",
            made(Wish {
                namespace: "",
                signed_namespace: "",
                ..wish()
            }),
            E::Namespace,
        ),
        (
            "namespace moved",
            made(Wish {
                signed_namespace: "file",
                ..wish()
            }),
            E::Mismatch,
        ),
        (
            "reserved",
            made(Wish {
                reserved: b"x",
                ..wish()
            }),
            E::Reserved("reserved"),
        ),
        (
            "sha1",
            made(Wish {
                hash: "sha1",
                ..wish()
            }),
            E::Hash,
        ),
        (
            "upper-case hash",
            made(Wish {
                hash: "SHA512",
                ..wish()
            }),
            E::Hash,
        ),
        (
            "application",
            made(Wish {
                application: "ssh:x",
                ..wish()
            }),
            E::Application,
        ),
        (
            "backup flag",
            made(Wish {
                flags: UP | UV | 8,
                ..wish()
            }),
            E::Reserved("flags"),
        ),
        (
            "extension flag",
            made(Wish {
                flags: UP | UV | 0x80,
                ..wish()
            }),
            E::Reserved("flags"),
        ),
        (
            "trailing",
            [good.clone(), vec![0]].concat(),
            E::Length("signature"),
        ),
        ("inner longer", inner_longer, E::Length("public key")),
        ("huge length", huge, E::Length("public key")),
        ("types differ", swapped, E::TypesDiffer),
        ("too long", vec![0; 1025], E::TooLong { max: 1024 }),
        (
            "another key",
            {
                let other = SoftKey::new(2).sign_as(TEXT, &wish());
                let tail = good.len() - 69;
                [&other[..tail], &good[tail..]].concat()
            },
            E::Mismatch,
        ),
    ];
    for (name, blob, expected) in table {
        assert_eq!(check(&blob), Err(expected), "{name}");
    }
    let of_other = Signature::decode(&good)
        .unwrap()
        .verify(b"stele-statement v1", STATEMENT_NAMESPACE);
    assert_eq!(of_other, Err(E::Mismatch));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    for key in [SoftKey::new(1), SoftKey::plain(1)] {
        let good = key.sign_as(TEXT, &Wish::default());
        check(&good).unwrap();
        for end in 0..good.len() {
            assert!(check(&good[..end]).is_err(), "cut at {end}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&bad).is_err(), "bit {bit}");
        }
    }
}

/// S + L verifies under the same equation; one text by one key must have one signature.
#[test]
fn a_signature_has_no_second_spelling() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let good = SoftKey::plain(3).sign_as(TEXT, &Wish::default());
    let mut bad = good.clone();
    let scalar = bad.len() - 32;
    let mut carry = 0;
    for (byte, order) in bad[scalar..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "S + L still fits");
    assert_eq!(check(&bad), Err(SignatureError::Mismatch));
    let mut zero = good.clone();
    zero[scalar - 32..].fill(0);
    assert_eq!(check(&zero), Err(SignatureError::Mismatch));
    // R of small order, S = 0.
    zero[scalar - 32] = 1;
    assert_eq!(check(&zero), Err(SignatureError::Mismatch));
}

#[test]
fn points_that_anybody_can_sign_for_are_no_keys() {
    let mut identity = [0; 32];
    identity[0] = 1;
    // y = 0: order 4. y = p + 1: the identity spelled in another way. y = 2: no point.
    let mut beyond = [0xff; 32];
    beyond[0] = 0xee;
    beyond[31] = 0x7f;
    let mut no_point = [0; 32];
    no_point[0] = 2;
    for point in [identity, [0; 32], beyond, no_point] {
        for key_type in [KeyType::SecurityKey, KeyType::Plain] {
            assert_eq!(
                PublicKey::new(key_type, point),
                Err(SignatureError::WeakKey),
                "{point:?}"
            );
        }
    }
}

#[test]
fn lines_of_keys_have_one_form_and_perhaps_a_comment() {
    let key = PublicKey::from_blob(&SoftKey::new(9).blob("ssh:")).unwrap();
    let text = key.to_string();
    assert_eq!(PublicKey::from_text(&text), Ok(key));
    assert_eq!(
        PublicKey::from_line(&format!("{text} alice at work\n")),
        Ok(key)
    );
    assert_eq!(PublicKey::from_line(&format!("{text}\r\n")), Ok(key));
    for bad in [
        format!("{text} alice"),
        format!("{text}\n"),
        format!(" {text}"),
        text.replace(' ', "  "),
        text.replace("sk-ssh-ed25519@openssh.com", "ssh-ed25519"),
        text.replace("sk-ssh-ed25519@openssh.com", "ssh-rsa"),
        format!("{text}="),
        text[..text.len() - 1].to_owned(),
        String::new(),
    ] {
        assert!(PublicKey::from_text(&bad).is_err(), "{bad}");
    }
    assert!(PublicKey::from_line(&format!("{text}\n{text}\n")).is_err());
    assert!(PublicKey::from_line(&format!("{text} {}", "x".repeat(1024))).is_err());
    assert!(PublicKey::from_blob(&SoftKey::new(9).blob("web:")).is_err());
}

#[test]
fn armour_has_one_form() {
    let signature = Signature::decode(&SoftKey::new(4).sign_as(TEXT, &Wish::default())).unwrap();
    let armour = signature.to_armour();
    assert_eq!(Signature::from_armour(&armour).unwrap(), signature);
    for bad in [
        armour.replace('\n', "\r\n"),
        armour.trim_end().to_owned(),
        format!("{armour}\n"),
        format!("\n{armour}"),
        armour.replacen("U1NI", "U1N I", 1),
        armour.replace("SSH SIGNATURE", "PGP SIGNATURE"),
        "-----BEGIN SSH SIGNATURE-----\n".repeat(3),
        "x".repeat(3000),
    ] {
        assert!(Signature::from_armour(&bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(blob in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(signature) = Signature::decode(&blob) {
            prop_assert_eq!(signature.encode(), blob);
        }
    }

    #[test]
    fn a_changed_signature_is_refused_or_the_same(
        at in 0usize..260, byte in any::<u8>(), seed in any::<u64>(),
    ) {
        let good = SoftKey::new(seed).sign_as(TEXT, &Wish::default());
        let mut other = good.clone();
        let at = at % other.len();
        other[at] = byte;
        prop_assert!(other == good || check(&other).is_err());
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in ".{0,200}") {
        let _ = Signature::from_armour(&text);
        let _ = PublicKey::from_line(&text);
    }
}

/// The keygen of OpenSSH, or why these tests have nothing to say here.
fn keygen() -> Option<Command> {
    let found = Command::new("ssh-keygen")
        .arg("-?")
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        assert!(!ci, "ssh-keygen is not installed");
        println!("skipped: ssh-keygen is not installed");
        return None;
    }
    Some(Command::new("ssh-keygen"))
}

fn run(command: &mut Command, input: &Path) -> bool {
    let input = fs::File::open(input).unwrap();
    let output = command
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    output.unwrap().success()
}

#[test]
fn what_openssh_signs_verifies_here() {
    let Some(mut make) = keygen() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text"), TEXT).unwrap();
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f"])
        .arg(at("key"));
    assert!(run(&mut make, &at("text")));
    let key = PublicKey::from_line(&fs::read_to_string(at("key.pub")).unwrap()).unwrap();
    for hash in ["sha512", "sha256"] {
        let _ = fs::remove_file(at("text.sig"));
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-Y", "sign", "-n", STATEMENT_NAMESPACE]);
        sign.arg("-O")
            .arg(format!("hashalg={hash}"))
            .arg("-f")
            .arg(at("key"))
            .arg(at("text"));
        assert!(run(&mut sign, &at("text")));
        let armour = fs::read_to_string(at("text.sig")).unwrap();
        let signature = Signature::from_armour(&armour).unwrap();
        assert_eq!(
            signature.verify(TEXT, STATEMENT_NAMESPACE).unwrap().key(),
            key
        );
        assert!(
            signature
                .verify(b"another text", STATEMENT_NAMESPACE)
                .is_err()
        );
    }
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(at("key.pub"))
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(listed.split(' ').nth(1), Some(key.fingerprint().as_str()));
}

/// The other direction: OpenSSH takes our software authenticator for a security key, so what is tested with
/// it here is what real ones do.
#[test]
fn openssh_accepts_the_software_authenticator() {
    if keygen().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let key = SoftKey::new(11);
    let blob = key.sign_as(TEXT, &Wish::default());
    let public = PublicKey::from_blob(&key.blob("ssh:")).unwrap();
    let signature = Signature::decode(&blob).unwrap();
    fs::write(at("allowed"), format!("alice {public}\n")).unwrap();
    fs::write(at("sig"), signature.to_armour()).unwrap();
    fs::write(at("text"), TEXT).unwrap();
    fs::write(at("other"), b"another text").unwrap();
    let verify = || {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-n", STATEMENT_NAMESPACE, "-I", "alice"]);
        command
            .arg("-f")
            .arg(at("allowed"))
            .arg("-s")
            .arg(at("sig"));
        command
    };
    assert!(run(&mut verify(), &at("text")));
    assert!(!run(&mut verify(), &at("other")));
}
