use super::{Stream, TpmAddress, read_note, store_note};
use crate::keyprovider::tpm::{Connect, Note, PcrSet, Transact};
use crate::limits::TPM_MESSAGE_BYTES_MAX;
use crate::linux::keyfile::KeyFileError;
use std::io::{Cursor, Read, Write};

/// What a hostile emulator sends, whatever it is told.
struct Says(Cursor<Vec<u8>>);

impl Read for Says {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Says {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn answer(length: u32, bytes: usize) -> std::io::Result<Vec<u8>> {
    let mut said = vec![0x80, 1];
    said.extend_from_slice(&length.to_be_bytes());
    said.resize(bytes, 0);
    Stream(Says(Cursor::new(said))).transact(b"command")
}

#[test]
fn an_answer_is_as_long_as_it_says_and_never_longer_than_a_tpm_makes_it() {
    assert_eq!(answer(10, 10).expect("short").len(), 10);
    assert_eq!(answer(12, 100).expect("its own part").len(), 12);
    let longest = u32::try_from(TPM_MESSAGE_BYTES_MAX).expect("fits");
    assert!(answer(longest, TPM_MESSAGE_BYTES_MAX).is_ok());
    for (length, bytes) in [
        (9, 100),
        (0, 100),
        (longest + 1, 9000),
        (u32::MAX, 9000),
        (20, 19),
    ] {
        assert!(answer(length, bytes).is_err(), "{length} of {bytes}");
    }
}

#[test]
fn addresses_are_written_in_one_way() {
    for text in [
        "tpm:/dev/tpmrm0",
        "tpm:unix:/run/tpm",
        "tpm:tcp:127.0.0.1:2321",
        "tpm:tcp:[::1]:1",
    ] {
        let address: TpmAddress = text.parse().expect(text);
        assert_eq!(address.to_string(), text);
    }
    for text in [
        "",
        "tpm:",
        "tpm:dev",
        "/dev/tpmrm0",
        "tpm:unix:",
        "tpm:unix:run",
        "tpm:tcp:192.0.2.1:2321",
        "tpm:tcp:localhost:1",
        "tpm:/dev/a\nb",
    ] {
        assert!(text.parse::<TpmAddress>().is_err(), "{text:?}");
    }
}

#[test]
fn a_file_is_no_device_and_is_not_written_into() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    std::fs::write(&path, "content").expect("written");
    assert!(TpmAddress::Device(path.clone()).connect().is_err());
    assert_eq!(std::fs::read(&path).expect("read"), b"content");
    assert!(
        TpmAddress::Device(directory.path().join("none"))
            .connect()
            .is_err()
    );
}

#[test]
fn a_note_is_kept_private_and_read_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("vault.tpm");
    let note = Note::example(PcrSet::from_bits(0x81).expect("registers"));
    store_note(&path, &note).expect("stored");
    assert_eq!(read_note(&path).expect("read"), note);
    assert!(matches!(
        store_note(&path, &note),
        Err(KeyFileError::Exists { .. })
    ));
    let other = directory.path().join("other");
    std::fs::write(&other, "stele tpm key 1\n").expect("written");
    assert!(matches!(
        read_note(&other),
        Err(KeyFileError::Permissive { .. } | KeyFileError::Damaged { .. })
    ));
}
