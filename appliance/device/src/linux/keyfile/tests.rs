use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::{KeyFile, KeyFileError, decode, encode};
use crate::conformance;
use crate::keyprovider::KeyProvider;

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("vault.key");
    (directory, path)
}

#[test]
fn a_key_file_passes_the_exam() {
    let (directory, path) = place();
    let one = KeyFile::create(&path).expect("create");
    let again = KeyFile::open(&path).expect("open");
    let other = KeyFile::create(&directory.path().join("other.key")).expect("create");
    conformance::key_provider(&one, &again, &other);
}

#[test]
fn a_key_file_is_private_and_never_overwritten() {
    let (_directory, path) = place();
    let sealed = KeyFile::create(&path)
        .expect("create")
        .seal(b"", b"x")
        .expect("seal");
    let mode = std::fs::metadata(&path)
        .expect("metadata")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(matches!(
        KeyFile::create(&path),
        Err(KeyFileError::Exists { .. })
    ));
    assert!(
        KeyFile::open(&path)
            .expect("open")
            .open(b"", &sealed)
            .is_ok()
    );
}

#[test]
fn a_key_file_open_to_others_is_refused() {
    let (_directory, path) = place();
    drop(KeyFile::create(&path).expect("create"));
    for mode in [0o640, 0o604, 0o620, 0o610] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        let error = KeyFile::open(&path).expect_err("too open");
        assert!(
            matches!(error, KeyFileError::Permissive { .. }),
            "{mode:o}: {error}"
        );
    }
    std::fs::set_permissions(&path, Permissions::from_mode(0o400)).expect("chmod");
    assert!(KeyFile::open(&path).is_ok());
}

#[test]
fn every_damaged_bit_and_every_cut_is_noticed() {
    let text = encode(&[0xa7; 32]);
    let text = text.as_bytes();
    assert!(decode(text).is_some());
    for position in 0..text.len() {
        for bit in 0..8 {
            let mut damaged = text.to_vec();
            damaged[position] ^= 1 << bit;
            // The other case of a hex digit says the same.
            let harmless = damaged.eq_ignore_ascii_case(text) && position > super::HEADER.len();
            let key = decode(&damaged);
            assert_eq!(key.is_some(), harmless, "bit {bit} of byte {position}");
            assert!(key.is_none_or(|key| *key == [0xa7; 32]));
        }
    }
    for length in 0..text.len() - 1 {
        assert!(decode(&text[..length]).is_none(), "cut at {length}");
    }
    assert!(
        decode(&text[..text.len() - 1]).is_some(),
        "the last newline may be missing"
    );
}

#[test]
fn what_is_no_key_file_is_refused() {
    let (directory, path) = place();
    assert!(matches!(
        KeyFile::open(&path),
        Err(KeyFileError::Missing { .. })
    ));
    for content in [vec![], b"hello\n".to_vec(), vec![0xff; 100_000]] {
        std::fs::write(&path, content).expect("write");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        assert!(matches!(
            KeyFile::open(&path),
            Err(KeyFileError::Damaged { .. })
        ));
    }
    assert!(matches!(
        KeyFile::open(directory.path()),
        Err(KeyFileError::Damaged { .. })
    ));
    let device = directory.path().join("device");
    symlink("/dev/null", &device).expect("symlink");
    assert!(matches!(
        KeyFile::open(&device),
        Err(KeyFileError::Damaged { .. })
    ));
}

#[test]
fn debug_output_shows_no_key() {
    let (_directory, path) = place();
    assert_eq!(
        format!("{:?}", KeyFile::create(&path).expect("create")),
        "KeyFile"
    );
}
