//! What must hold for any text and any signature that somebody hands over: a reader does not panic, what it accepts
//! prints to the same bytes, and what it verifies is what was signed here, whatever was changed on the way.

use stele_format::checkpoint::{
    Certificate, KeyFrom, KeyHistory, LogKey, Origin, UnverifiedCheckpoint, WitnessKey,
};
use stele_format::proof::{LogProof, Receipt};
use stele_format::sshsig::{PublicKey, STATEMENT_NAMESPACE, Signature};
use stele_format::statement::Statement;

use super::drive::Reader;
use super::samples;

/// All of them.
pub fn all() -> Vec<Reader> {
    vec![
        Reader {
            name: "checkpoint",
            run: checkpoint,
            samples: bytes(samples::checkpoints()),
            words: &[
                b"\n",
                b"\n\n",
                b"\xe2\x80\x94 ",
                b"stele/",
                b"/1",
                b"1152921504606846976",
                b"+",
                b"=",
                b" ",
                b"AAAA",
                b"\r\n",
                b"\0",
                b"\xe2\x80\x94 witness.example/w1 3q2+78r+utre\n",
                b"00000000000000000000000000000000",
            ],
        },
        Reader {
            name: "receipt",
            run: receipt,
            samples: bytes(samples::receipts()),
            words: &[
                b"\n",
                b"\n\n",
                b"extra ",
                b"index ",
                b"c2sp.org/tlog-proof@v1\n",
                b"4611686018427387904",
                b"=",
                b"AAAA",
                b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
                b"\xe2\x80\x94 ",
            ],
        },
        Reader {
            name: "certificate",
            run: certificate,
            samples: bytes(samples::certificates()),
            words: &[
                b"\n",
                b"\n\n",
                b"stele-certificate v1\n",
                b"log stele/",
                b"/2",
                b"\xe2\x80\x94 ",
                b"\x1b[2J",
                b"AAAA",
                b"\xc2\x85",
            ],
        },
        Reader {
            name: "key",
            run: key,
            samples: bytes(samples::keys()),
            words: &[
                b"+",
                b"@",
                b"@1",
                b"@18446744073709551615",
                b"\n",
                b"stele/",
                b"ssh-ed25519 ",
                b"sk-ssh-ed25519@openssh.com ",
                b"AAAA",
                b"=",
                b" ",
                b"\r\n",
                b"#",
                b"ssh:",
            ],
        },
        Reader {
            name: "statement",
            run: statement,
            samples: bytes(samples::statements()),
            words: &[
                b"\n",
                b" ",
                b"stele-statement v1\n",
                b"kind ",
                b"log stele/",
                b"act ",
                b"nonce ",
                b"head ",
                b"reason ",
                b"by ",
                b"person ",
                b"missing ",
                b"disk ",
                b"policy ",
                b"9999-12-31T23:59:59Z",
                b"1970-01-01T00:00:00Z",
                b"2026-02-30T00:00:00Z",
                b"4611686018427387904",
                b"none",
                b"compliance ",
                b"\x1b",
                b"\r",
                b"\xe2\x80\xae",
                b"..",
            ],
        },
        Reader {
            name: "sshsig",
            run: sshsig,
            samples: samples::signatures(),
            words: &[
                b"SSHSIG",
                b"-----BEGIN SSH SIGNATURE-----\n",
                b"-----END SSH SIGNATURE-----\n",
                b"\0\0\0\x00",
                b"\xff\xff\xff\xff",
                b"\0\0\0\x40",
                b"sk-ssh-ed25519@openssh.com",
                b"ssh-ed25519",
                b"sha256",
                b"sha512",
                b"stele-statement-v1",
                b"ssh:",
                b"\n",
                b"=",
            ],
        },
    ]
}

fn bytes(texts: Vec<String>) -> Vec<Vec<u8>> {
    texts.into_iter().map(String::into_bytes).collect()
}

/// Files are read as UTF-8; what is none is refused before a reader sees it.
fn text(input: &[u8]) -> Option<&str> {
    str::from_utf8(input).ok()
}

fn checkpoint(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let Ok(note) = UnverifiedCheckpoint::parse(text) else {
        return;
    };
    assert!(note.text() == text, "another text than was read");
    assert!(
        text.starts_with(&format!("{}\n", note.claims())),
        "another text than was signed"
    );
    let genuine = samples::signed();
    for key in [samples::log_key(), samples::later_key()] {
        if let Ok(checkpoint) = note.verify(&key) {
            assert!(genuine.contains(&checkpoint), "nobody signed {checkpoint}");
        }
        if let Ok(checkpoint) = note.verify_linked(&key) {
            assert!(genuine.contains(&checkpoint), "nobody signed {checkpoint}");
        }
    }
    let cosigned = note.cosigned(&samples::witness_key());
    if let Ok(Some(time)) = cosigned {
        assert!(genuine.contains(note.claims()), "no witness saw that");
        assert!(time.get() == samples::COSIGNED_S * 1_000, "another time");
    }
}

fn receipt(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(proof) = LogProof::parse(text) {
        assert!(proof.to_string() == text, "print differs from parse");
    }
    if let Ok(receipt) = Receipt::verify(text, &samples::log_key()) {
        let known = samples::recorded();
        assert!(known.contains(&receipt.header), "nobody recorded that");
        let signed = samples::signed();
        assert!(signed.contains(&receipt.checkpoint), "nobody signed that");
    }
}

fn certificate(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(certificate) = Certificate::verify(text, &samples::log_key()) {
        let genuine = samples::certified();
        assert!(
            genuine.contains(&certificate.text().to_owned()),
            "nobody signed that"
        );
        assert!(text.starts_with(certificate.text()), "another text");
    }
}

/// Keys of every kind, one a line, as they are read from files and lines of commands.
fn key(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let mut history = Vec::new();
    for line in text.lines() {
        if let Ok(key) = LogKey::parse(line) {
            assert!(key.to_string() == line, "log key: print differs");
        }
        if let Ok(from) = KeyFrom::parse(line) {
            assert!(from.to_string() == line, "log key: print differs");
            history.push(from);
        }
        if let Ok(key) = WitnessKey::parse(line) {
            assert!(key.to_string() == line, "witness key: print differs");
        }
        if let Some(origin) = Origin::parse(line) {
            assert!(origin.to_string() == line, "origin: print differs");
        }
        if let Ok(key) = PublicKey::from_text(line) {
            assert!(key.to_string() == line, "public key: print differs");
            assert!(
                PublicKey::from_blob(&key.to_blob()) == Ok(key),
                "public key: another one in bytes"
            );
        }
    }
    if let Ok(key) = PublicKey::from_line(text) {
        assert!(
            text.starts_with(&key.to_string()),
            "public key: print differs"
        );
    }
    if let Ok(history) = KeyHistory::new(history) {
        let note = samples::checkpoints().remove(0);
        let note = UnverifiedCheckpoint::parse(&note).unwrap();
        if let Ok(checkpoint) = history.verify(&note) {
            assert!(samples::signed().contains(&checkpoint), "nobody signed it");
        }
    }
}

fn statement(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let Ok(statement) = Statement::parse(text) else {
        return;
    };
    assert!(statement.to_text() == text, "print differs from parse");
    let again = Statement::new(statement.origin(), statement.kind().clone());
    assert!(again.as_ref() == Ok(&statement), "it cannot be said");
    let plain = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
    assert!(text.bytes().all(plain), "a terminal would obey it");
}

/// With armour, and without.
fn sshsig(input: &[u8]) {
    if let Ok(signature) = Signature::decode(input) {
        assert!(signature.encode() == input, "print differs from parse");
        genuine(&signature);
    }
    let Some(text) = text(input) else { return };
    if let Ok(signature) = Signature::from_armour(text) {
        assert!(signature.to_armour() == text, "print differs from parse");
        genuine(&signature);
    }
}

fn genuine(signature: &Signature) {
    if let Ok(verified) = signature.verify(samples::SIGNED, STATEMENT_NAMESPACE) {
        let blob = signature.encode();
        assert!(samples::signatures().contains(&blob), "nobody signed that");
        assert!(verified.key() == signature.key(), "another key");
    }
}
