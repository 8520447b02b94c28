//! What strangers would find who took the gateway's process of a served vault: the certificate's key, and no other.
//!
//! The test opens the key state as the vault does, so that it knows what to look for, and reads the memory of both
//! processes. What the engine's process must have, and the key that the gateway must have, show that the search finds.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use common::s3::Client;
use common::{Place, Server, succeed, text};
use stele_device::disk::{BlockingDisk, Disk, no_waker};
use stele_device::linux::disk::{FileDisk, OpenMode};
use stele_device::linux::keyfile::KeyFile;
use stele_format::checkpoint::LogKey;
use stele_format::label::{LabelCopy, LabelCopyBytes, read_best};
use stele_format::limits::LABEL_COPY_BYTES;
use stele_format::units::ByteCount;
use stele_store::keys::copies::{KeyDisk, load};
use stele_store::keys::state::KeyState;

/// What the gateway was told comes within a moment.
const PATIENCE: Duration = Duration::from_secs(60);
const PIECE: usize = 1 << 20;

/// Secrets by what they are.
type Secrets = BTreeMap<String, Vec<u8>>;

/// The key state of a vault that nothing serves.
fn key_state(place: &Place) -> KeyState {
    let path = place.file("disk1.disk");
    let mut disk = FileDisk::open(&path, OpenMode::ReadOnly, no_waker()).expect("opened");
    let bytes = ByteCount::new(disk.identity().bytes);
    let label_bytes = usize::try_from(LABEL_COPY_BYTES).expect("few");
    let read: Vec<_> = LabelCopy::ALL
        .into_iter()
        .map(|copy| {
            let offset = copy.offset(bytes);
            let block = disk.read_at(offset.get(), label_bytes).expect("read");
            (copy, offset, block)
        })
        .collect();
    let copies = read.iter().map(|(copy, offset, block)| LabelCopyBytes {
        copy: *copy,
        offset: *offset,
        bytes: block,
    });
    let label = read_best(&copies.collect::<Vec<_>>())
        .expect("a label")
        .fixed;
    let keys = KeyFile::open(&place.file("vault.key")).expect("a key file");
    let disk = KeyDisk::new(&mut disk, label.disk, &label.geometry);
    load(&keys, label.pool, [disk]).expect("a key state").state
}

/// The key of the key file, which it holds in hex.
fn outermost(place: &Place) -> [Vec<u8>; 2] {
    let file = std::fs::read_to_string(place.file("vault.key")).expect("read");
    let digits = &file.lines().nth(1).expect("two lines")[..64];
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    let bytes = (0..64).step_by(2).map(byte).collect();
    [bytes, digits.as_bytes().to_vec()]
}

/// What signs for a client on this day, from its secret on.
fn of_client(name: &str, secret: &str, secrets: &mut Secrets) {
    secrets.insert(name.to_owned(), secret.as_bytes().to_vec());
    let now = time::OffsetDateTime::now_utc();
    let day = format!(
        "{:04}{:02}{:02}",
        now.year(),
        u8::from(now.month()),
        now.day()
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for step in [day.as_str(), "us-east-1", "s3", "aws4_request"] {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&signing, step.as_bytes()).as_ref().to_vec();
        secrets.insert(format!("{name}, its key for {step}"), key.clone());
    }
}

/// The readable memory of a process, piece by piece, the end of each once more before the next.
fn memory_of(process: u32, mut see: impl FnMut(&[u8])) -> std::io::Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut seen = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        // What the kernel lends is not read this way.
        if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let hex = |digits| u64::from_str_radix(digits, 16).expect("an address");
        let (mut at, end) = (hex(start), hex(end));
        let mut piece: Vec<u8> = Vec::new();
        while at < end {
            let kept = piece.len().min(128);
            piece.drain(..piece.len() - kept);
            let wanted = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            piece.resize(kept + wanted, 0);
            // Memory that was given back meanwhile holds nothing any more.
            let Ok(read) = memory.read_at(&mut piece[kept..], at) else {
                break;
            };
            if read == 0 {
                break;
            }
            piece.truncate(kept + read);
            see(&piece);
            at += u64::try_from(read).expect("fits");
            seen += read;
        }
    }
    match seen {
        0 => Err(std::io::ErrorKind::PermissionDenied.into()),
        _ => Ok(()),
    }
}

fn holds(memory: &[u8], secret: &[u8]) -> bool {
    let first = secret[0];
    let mut from = 0;
    while let Some(at) = memory[from..].iter().position(|byte| *byte == first) {
        from += at;
        if memory[from..].starts_with(secret) {
            return true;
        }
        from += 1;
    }
    false
}

/// Which of these a process holds.
fn found(process: u32, secrets: &Secrets) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    memory_of(process, |piece| {
        for (name, secret) in secrets {
            if !found.contains(name) && holds(piece, secret) {
                found.push(name.clone());
            }
        }
    })?;
    found.sort();
    Ok(found)
}

/// The seed that signs the log, from the memory of the engine's process: its public half, which the vault tells,
/// stands behind it there.
fn log_seed(engine: u32, public: &[u8; 32]) -> Option<Vec<u8>> {
    let mut seed = None;
    let scan = memory_of(engine, |piece| {
        for at in 32..piece.len().saturating_sub(31) {
            if piece[at] == public[0] && piece[at..at + 32] == public[..] {
                let before = &piece[at - 32..at];
                let pair = Ed25519KeyPair::from_seed_unchecked(before).expect("a seed");
                if pair.public_key().as_ref() == public {
                    seed = Some(before.to_vec());
                }
            }
        }
    });
    scan.ok().and(seed)
}

/// A certificate that people install; the number that is its key, as big and as little endians write it.
fn install_certificate(place: &Place) -> (Vec<u8>, [Vec<u8>; 2]) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("signed");
    let (chain, secret) = (place.beside("chain.pem"), place.beside("key.pem"));
    std::fs::write(&chain, certificate.pem()).expect("written");
    std::fs::write(&secret, key.serialize_pem()).expect("written");
    let install = ["tls", "install", "--vault", text(&place.vault)];
    succeed(&[&install[..], &[text(&chain), text(&secret)]].concat());
    let der = key.serialize_der();
    // RFC 5915: an octet string of 32 bytes.
    let at = der
        .windows(2)
        .position(|two| two == [4, 32])
        .expect("a key")
        + 2;
    let big = der[at..at + 32].to_vec();
    let little = big.iter().rev().copied().collect();
    (certificate.der().to_vec(), [big, little])
}

/// What the search calls the seed of all keys of content.
const CONTENT: &str = "the seed of content keys";

/// Whether the memory of the vault's processes can be read here; on a CI machine that may, it must be. A process that
/// cannot be dumped is read with `CAP_SYS_PTRACE` alone, which root in a container may lack.
fn can_be_read(process: u32) -> bool {
    let Err(error) = memory_of(process, |_| {}) else {
        return true;
    };
    let why = format!(
        "the memory of the gateway's process cannot be read ({error}): run as root, with CAP_SYS_PTRACE"
    );
    let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(
        !(ci && may_trace()),
        "cannot be skipped where CI=true: {why}"
    );
    println!("skipped: {why}");
    false
}

/// Whether this process has `CAP_SYS_PTRACE`.
fn may_trace() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .expect("capabilities");
    let effective = u64::from_str_radix(effective.trim(), 16).expect("hex");
    effective >> CAP_SYS_PTRACE & 1 == 1
}

#[test]
fn the_gateway_holds_the_certificates_key_and_none_of_the_vaults() {
    let place = Place::with_vault();
    let state = key_state(&place);
    let server = Server::start(&place);
    let status = place.status();
    let gateway = status["gateway"]["process"].as_u64().expect("a process");
    let gateway = u32::try_from(gateway).expect("a process");
    if !can_be_read(gateway) {
        return;
    }
    // Every secret was in use: signatures of two clients in headers and over chunks, content, the log.
    let client = Client::of(&place, &server);
    client.put("/kept", b"");
    client.put("/kept/small", b"content");
    client.put("/kept/large", &vec![7; 3 << 20]);
    assert_eq!(client.get("/kept/small"), b"content");
    let chunks = client.put_in_signed_chunks("/kept/chunks", &[b"content"], false);
    assert_eq!(chunks.0, 200);
    let add = [
        "client",
        "add",
        "--vault",
        text(&place.vault),
        "--name",
        "other",
    ];
    let printed = succeed(&add);
    let other = Client::with(&place, &server, &printed);
    other.put("/others", b"");
    assert!(
        client
            .put_for_receipt("/kept/receipt", b"content")
            .is_some()
    );
    let said = succeed(&["checkpoint", "--vault", text(&place.vault), "--key"]);
    let key = LogKey::parse(said.trim()).expect("a key");

    let mut secrets = Secrets::new();
    let secret = &server.env["AWS_SECRET_ACCESS_KEY"];
    let derived = state.client_secret(client.id(), 1);
    assert_eq!(&*derived, secret, "this key state is the vault's");
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("AWS_SECRET_ACCESS_KEY="));
    of_client("the secret of a client", secret, &mut secrets);
    of_client(
        "the secret of another client",
        line.expect("a secret"),
        &mut secrets,
    );
    secrets.insert(
        "the access root".to_owned(),
        state.access_root.expose().to_vec(),
    );
    secrets.insert("the box key".to_owned(), state.box_key.expose().to_vec());
    secrets.insert(
        "the index key".to_owned(),
        state.index_key.expose().to_vec(),
    );
    // Nothing was cut yet: one seed, from which the keys of all content come.
    let tree = state.tree.encode();
    assert_eq!(state.tree.seed_count(), 1);
    secrets.insert(CONTENT.to_owned(), tree[tree.len() - 32..].to_vec());
    let [bytes, digits] = outermost(&place);
    secrets.insert("the key of the key file".to_owned(), bytes);
    secrets.insert("the key of the key file, in hex".to_owned(), digits);
    let seed = log_seed(server.id(), key.public()).expect("the engine's process signs the log");
    secrets.insert("the log's signing key".to_owned(), seed);
    let of_engine = found(server.id(), &secrets).expect("read");
    let of_the_engine = [
        "the access root",
        "the box key",
        "the log's signing key",
        CONTENT,
    ];
    for name in of_the_engine {
        assert!(of_engine.iter().any(|found| found == name), "{of_engine:?}");
    }

    // The certificate and its key are there, so that this search would find the others.
    let (certificate, numbers) = install_certificate(&place);
    let [big, little] = numbers;
    let own = [
        ("certificate", certificate),
        ("key", big),
        ("key, reversed", little),
    ];
    let own: Secrets = own.map(|(name, bytes)| (name.to_owned(), bytes)).into();
    let started = Instant::now();
    loop {
        let found = found(gateway, &own).expect("read");
        let has = |name: &str| found.iter().any(|found| found.starts_with(name));
        if has("certificate") && has("key") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "only {found:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(
        found(gateway, &secrets).expect("read"),
        Vec::<String>::new()
    );
}
