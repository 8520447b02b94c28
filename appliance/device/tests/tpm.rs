//! The key provider over a TPM, against swtpm.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stele_device::conformance;
use stele_device::keyprovider::tpm::{Connect, Note, PcrSet, TpmError, TpmKeys, Transact};
use stele_device::keyprovider::{AnchorKind, KeyError, KeyProvider, ProviderKind};
use stele_device::linux::tpm::TpmAddress;

const PROGRAM: &str = "/usr/bin/swtpm";
/// Looks for its socket before it counts as never there.
const LOOK_COUNT_MAX: usize = 20_000;

/// An emulated TPM whose memory lies in a directory of its own.
struct Tpm {
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Tpm {
    /// None, with a printed reason, where there is no emulator; on a CI machine that is a failure.
    fn start() -> Option<Tpm> {
        if !Path::new(PROGRAM).is_file() {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
            assert!(
                !ci,
                "swtpm is missing: apt-get install --no-install-recommends swtpm"
            );
            println!("skipped: swtpm is missing; apt-get install --no-install-recommends swtpm");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let mut tpm = Tpm {
            directory,
            process: None,
        };
        tpm.power_on();
        Some(tpm)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn address(&self) -> Box<TpmAddress> {
        Box::new(TpmAddress::Unix(self.socket()))
    }

    fn power_on(&mut self) {
        let state = self.directory.path().join("state");
        std::fs::create_dir_all(&state).expect("a directory");
        let child = Command::new(PROGRAM)
            .arg("socket")
            .arg("--tpm2")
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", self.socket().display()))
            .args(["--flags", "not-need-init"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("swtpm starts");
        self.process = Some(child);
        // The socket appears when it listens. A process that ended will never listen.
        for _ in 0..LOOK_COUNT_MAX {
            if std::os::unix::net::UnixStream::connect(self.socket()).is_ok() {
                return;
            }
            let ended = self.process.as_mut().map(Child::try_wait);
            assert!(matches!(ended, Some(Ok(None))), "swtpm ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("swtpm never listens");
    }

    /// As when the power fails: nothing is told and nothing is waited for.
    fn power_off(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
        drop(std::fs::remove_file(self.socket()));
    }

    fn power_cut(&mut self) {
        self.power_off();
        self.power_on();
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

fn no_pcrs() -> PcrSet {
    PcrSet::default()
}

/// The same keys again, as after a restart: from the text of the note.
fn again(tpm: &Tpm, keys: &TpmKeys) -> TpmKeys {
    let note = Note::decode(&keys.note().encode()).expect("a note");
    TpmKeys::new(tpm.address(), note)
}

#[test]
fn keys_in_a_tpm_pass_the_exam() {
    let Some(tpm) = Tpm::start() else { return };
    let create = || TpmKeys::create(tpm.address(), no_pcrs()).expect("create");
    let one = create();
    assert_eq!(one.kind(), ProviderKind::Tpm);
    assert_eq!(one.anchor().expect("anchor").kind, AnchorKind::Tpm);
    conformance::key_provider(&one, &again(&tpm, &one), &create());
}

/// What goes over a bus, and where it breaks.
#[derive(Default)]
struct BusState {
    tape: Vec<u8>,
    commands: usize,
    /// Number of the command at which it breaks, and whether the TPM still gets it.
    breaks: Option<(usize, bool)>,
    /// Number of the answer in which a bit is turned, and which byte of it.
    turned: Option<(usize, usize)>,
}

/// A way to a TPM that others listen on.
#[derive(Clone)]
struct Bus {
    address: TpmAddress,
    state: Arc<Mutex<BusState>>,
}

impl Bus {
    fn of(tpm: &Tpm) -> Bus {
        Bus {
            address: TpmAddress::Unix(tpm.socket()),
            state: Arc::default(),
        }
    }

    /// With a new state; the commands so far are told.
    fn reset(&self, breaks: Option<(usize, bool)>, turned: Option<(usize, usize)>) -> BusState {
        let new = BusState {
            breaks,
            turned,
            ..BusState::default()
        };
        std::mem::replace(&mut self.state.lock().expect("alone"), new)
    }
}

impl Connect for Bus {
    fn connect(&self) -> std::io::Result<Box<dyn Transact + '_>> {
        let inner = self.address.connect()?;
        Ok(Box::new(OnBus { inner, bus: self }))
    }

    fn clears_up(&self) -> bool {
        false
    }
}

struct OnBus<'a> {
    inner: Box<dyn Transact + 'a>,
    bus: &'a Bus,
}

impl Transact for OnBus<'_> {
    fn transact(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut state = self.bus.state.lock().expect("alone");
        let number = state.commands;
        state.commands += 1;
        let broken = state.breaks.filter(|(at, _)| *at <= number);
        let lost = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        if broken.is_some_and(|(at, arrives)| !arrives || at < number) {
            return Err(lost());
        }
        state.tape.extend_from_slice(command);
        let mut answer = self.inner.transact(command)?;
        state.tape.extend_from_slice(&answer);
        if broken.is_some() {
            return Err(lost());
        }
        if let Some((_, byte)) = state.turned.filter(|(at, _)| *at == number)
            && let Some(byte) = answer.get_mut(byte)
        {
            *byte ^= 1;
        }
        Ok(answer)
    }
}

fn opens(keys: &TpmKeys, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
    keys.open(b"context", sealed).map(|plain| plain.to_vec())
}

#[test]
fn every_older_state_stays_shut_through_power_cuts() {
    let Some(mut tpm) = Tpm::start() else { return };
    let keys = TpmKeys::create(tpm.address(), no_pcrs()).expect("create");
    let mut old = Vec::new();
    let mut last = keys.check().expect("counter");
    for generation in 0..4_u8 {
        let now = keys.seal(b"context", &[generation]).expect("seal");
        tpm.power_cut();
        let next = again(&tpm, &keys).seal_next(b"context", &[generation + 1]);
        let next = next.expect("seal next");
        tpm.power_cut();
        assert_eq!(opens(&keys, &now), Ok(vec![generation]));
        assert_eq!(opens(&keys, &next), Err(KeyError::NotYet));
        let after = again(&tpm, &keys).advance(&next).expect("advance");
        tpm.power_cut();
        assert_eq!(after.value, last + 1);
        assert_eq!(keys.check().expect("counter"), after.value);
        last = after.value;
        assert_eq!(opens(&keys, &next), Ok(vec![generation + 1]));
        old.push(now);
        for sealed in &old {
            assert_eq!(opens(&keys, sealed), Err(KeyError::Superseded));
            assert_eq!(keys.advance(sealed), Err(KeyError::Superseded));
        }
        old.push(next);
        let latest = old.len() - 1;
        for sealed in &old[..latest] {
            assert_eq!(
                opens(&again(&tpm, &keys), sealed),
                Err(KeyError::Superseded)
            );
        }
    }
}

/// At every command of an advance the way to the TPM breaks, before or after the TPM got the command, with
/// and without a power cut of the TPM.
#[test]
fn an_advance_that_breaks_anywhere_leaves_exactly_one_state_and_can_be_repeated() {
    let Some(mut tpm) = Tpm::start() else { return };
    let bus = Bus::of(&tpm);
    let keys = TpmKeys::create(Box::new(bus.clone()), no_pcrs()).expect("create");
    let next = keys.seal_next(b"context", b"new").expect("seal next");
    bus.reset(None, None);
    keys.advance(&next).expect("advance");
    let commands = bus.reset(None, None).commands;
    assert!(commands > 8, "{commands}");
    let mut moved = 0;
    for at in 0..commands {
        for (arrives, power_cut) in [(false, false), (true, false), (false, true), (true, true)] {
            let before = keys.check().expect("counter");
            let old = keys.seal(b"context", b"old").expect("seal");
            let next = keys.seal_next(b"context", b"new").expect("seal next");
            bus.reset(Some((at, arrives)), None);
            let outcome = keys.advance(&next);
            bus.reset(None, None);
            if power_cut {
                tpm.power_cut();
            }
            let value = keys.check().expect("counter");
            let (old_opens, next_opens) = (opens(&keys, &old), opens(&keys, &next));
            assert_eq!(old_opens.is_ok(), value == before, "{at} {arrives}");
            assert_eq!(next_opens.is_ok(), value == before + 1, "{at} {arrives}");
            assert!(outcome.is_err() || next_opens.is_ok(), "{at} {arrives}");
            moved += u64::from(next_opens.is_ok());
            let after = keys.advance(&next).expect("repeated");
            assert_eq!(after.value, before + 1);
            assert_eq!(opens(&keys, &old), Err(KeyError::Superseded));
            assert_eq!(opens(&keys, &next), Ok(b"new".to_vec()));
        }
    }
    assert!(moved > 0, "no break after the counter moved was met");
}

#[test]
fn who_listens_on_the_bus_learns_neither_key_nor_secret() {
    let Some(tpm) = Tpm::start() else { return };
    let bus = Bus::of(&tpm);
    let keys = TpmKeys::create(Box::new(bus.clone()), no_pcrs()).expect("create");
    let sealed = keys.seal(b"context", b"some secret").expect("seal");
    opens(&keys, &sealed).expect("open");
    let tape = bus.reset(None, None).tape;
    let text = keys.note().encode();
    let auth = text.lines().find_map(|line| line.strip_prefix("auth "));
    let auth = unhex(auth.expect("a line"));
    assert!(!tape.windows(16).any(|part| part == &auth[..16]), "secret");
    // The key of the message is nowhere on the tape: no 32 bytes of it open the message.
    let message = sealed
        .windows(4)
        .position(|part| part == b"SKP1")
        .expect("a message");
    let commitment = &sealed[message + 36..message + 68];
    for key in tape.windows(32) {
        let mut hasher = blake3::Hasher::new_derive_key("stele-device key provider v1");
        hasher
            .update(key)
            .update(&sealed[message + 4..message + 36]);
        let mut stream = [0; 76];
        hasher.finalize_xof().fill(&mut stream);
        assert_ne!(&stream[44..], commitment, "the key crossed the bus");
    }
}

#[test]
fn an_answer_changed_on_the_bus_is_noticed() {
    let Some(tpm) = Tpm::start() else { return };
    let bus = Bus::of(&tpm);
    let keys = TpmKeys::create(Box::new(bus.clone()), no_pcrs()).expect("create");
    let sealed = keys.seal(b"context", b"some secret").expect("seal");
    bus.reset(None, None);
    let value = keys.check().expect("counter");
    let commands = bus.reset(None, None).commands;
    let mut refused = 0;
    for number in 0..commands {
        for byte in 0..80 {
            bus.reset(None, Some((number, byte)));
            match keys.check() {
                Ok(read) => assert_eq!(read, value, "answer {number}, byte {byte}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 200, "{refused}");
    for (number, byte) in (0..20).flat_map(|number| [(number, 14), (number, 20), (number, 30)]) {
        bus.reset(None, Some((number, byte)));
        if let Ok(plain) = opens(&keys, &sealed) {
            assert_eq!(plain, b"some secret", "answer {number}, byte {byte}");
        }
    }
    bus.reset(None, None);
    assert_eq!(opens(&keys, &sealed), Ok(b"some secret".to_vec()));
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hex")
        })
        .collect()
}

/// A command as a program without any of our code would send it, authorised by a password.
fn raw(tpm: &Tpm, code: u32, handles: &[u32], password: &[u8], parameters: &[u8]) -> u32 {
    let mut body: Vec<u8> = handles
        .iter()
        .flat_map(|handle| handle.to_be_bytes())
        .collect();
    let password_bytes = u16::try_from(password.len()).expect("short");
    body.extend_from_slice(&(9 + u32::from(password_bytes)).to_be_bytes());
    body.extend_from_slice(&0x4000_0009_u32.to_be_bytes());
    body.extend_from_slice(&[0, 0, 1]);
    body.extend_from_slice(&password_bytes.to_be_bytes());
    body.extend_from_slice(password);
    body.extend_from_slice(parameters);
    let length = u32::try_from(10 + body.len()).expect("short");
    let head = [&[0x80, 2], &length.to_be_bytes()[..], &code.to_be_bytes()].concat();
    let address = tpm.address();
    let mut connection = address.connect().expect("connected");
    let answer = connection
        .transact(&[head, body].concat())
        .expect("answered");
    u32::from_be_bytes(answer[6..10].try_into().expect("four bytes"))
}

const PCR_EXTEND: u32 = 0x182;
const CLEAR: u32 = 0x126;
const NV_DEFINE_SPACE: u32 = 0x12a;
const NV_INCREMENT: u32 = 0x134;
const HIERARCHY_CHANGE_AUTH: u32 = 0x129;
const OWNER: u32 = 0x4000_0001;
const LOCKOUT: u32 = 0x4000_000a;

fn extend(tpm: &Tpm, register: u32) {
    let digest = [&[0, 0, 0, 1, 0, 0x0b][..], &[7; 32]].concat();
    assert_eq!(raw(tpm, PCR_EXTEND, &[register], &[], &digest), 0);
}

#[test]
fn another_machine_state_is_told_apart_from_an_old_one() {
    let Some(mut tpm) = Tpm::start() else { return };
    // More registers than a TPM gives at a time.
    let pcrs: PcrSet = "0,1,2,3,4,5,6,7,8,11,14".parse().expect("registers");
    let keys = TpmKeys::create(tpm.address(), pcrs).expect("create");
    extend(&tpm, 11);
    let sealed = keys.seal(b"context", b"state").expect("seal");
    let next = keys.seal_next(b"context", b"next").expect("seal next");
    assert_eq!(opens(&keys, &sealed), Ok(b"state".to_vec()));
    extend(&tpm, 9);
    assert_eq!(opens(&keys, &sealed), Ok(b"state".to_vec()));
    extend(&tpm, 11);
    assert_eq!(opens(&keys, &sealed), Err(KeyError::OtherPlatform));
    assert_eq!(opens(&keys, &next), Err(KeyError::NotYet));
    tpm.power_cut();
    keys.check().expect("started");
    assert_eq!(opens(&keys, &sealed), Err(KeyError::OtherPlatform));
    extend(&tpm, 11);
    assert_eq!(opens(&keys, &sealed), Ok(b"state".to_vec()));
    keys.advance(&next).expect("advance");
    extend(&tpm, 11);
    assert_eq!(opens(&keys, &sealed), Err(KeyError::Superseded));
    assert_eq!(opens(&keys, &next), Err(KeyError::OtherPlatform));
}

#[test]
fn another_tpm_and_a_cleared_one_open_nothing() {
    let (Some(tpm), Some(other)) = (Tpm::start(), Tpm::start()) else {
        return;
    };
    let keys = TpmKeys::create(tpm.address(), no_pcrs()).expect("create");
    let sealed = keys.seal(b"context", b"state").expect("seal");
    let note = Note::decode(&keys.note().encode()).expect("a note");
    let elsewhere = TpmKeys::new(other.address(), note);
    assert!(matches!(elsewhere.check(), Err(TpmError::AnotherTpm)));
    assert_eq!(opens(&elsewhere, &sealed), Err(KeyError::WrongKey));
    assert_eq!(raw(&tpm, CLEAR, &[LOCKOUT], &[], &[]), 0);
    assert!(matches!(keys.check(), Err(TpmError::AnotherTpm)));
    assert_eq!(opens(&keys, &sealed), Err(KeyError::WrongKey));
}

/// The owner of the TPM deletes the counter and makes one at the same place with the same secret.
#[test]
fn a_counter_made_anew_at_the_same_place_revives_nothing() {
    let Some(tpm) = Tpm::start() else { return };
    let keys = TpmKeys::create(tpm.address(), no_pcrs()).expect("create");
    let mut all = vec![keys.seal(b"context", b"state").expect("seal")];
    for _ in 0..3 {
        let next = keys.seal_next(b"context", b"state").expect("seal next");
        keys.advance(&next).expect("advance");
        all.push(next);
    }
    let last = keys.check().expect("counter");
    again(&tpm, &keys).undo().expect("deleted");
    assert!(matches!(keys.check(), Err(TpmError::NoCounter)));
    assert_eq!(opens(&keys, &all[3]), Err(KeyError::WrongKey));
    let text = keys.note().encode();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        unhex(line.expect("a line").trim())
    };
    let (index, auth) = (field("index"), field("auth"));
    let public = [&index[..], &[0, 0x0b, 2, 4, 0, 0x14, 0, 0, 0, 8]].concat();
    let parameters = [&[0, 32][..], &auth, &[0, 14], &public].concat();
    assert_eq!(raw(&tpm, NV_DEFINE_SPACE, &[OWNER], &[], &parameters), 0);
    let handle = u32::from_be_bytes(index.try_into().expect("four bytes"));
    assert_eq!(raw(&tpm, NV_INCREMENT, &[handle, handle], &auth, &[]), 0);
    assert!(keys.check().expect("counter") > last);
    for sealed in &all {
        assert_eq!(opens(&keys, sealed), Err(KeyError::Superseded));
    }
}

#[test]
fn a_tpm_whose_owner_has_a_password_is_told_apart() {
    let Some(tpm) = Tpm::start() else { return };
    let keys = TpmKeys::create(tpm.address(), no_pcrs()).expect("create");
    let password = [&[0, 4][..], b"pass"].concat();
    let owner = [OWNER];
    assert_eq!(raw(&tpm, HIERARCHY_CHANGE_AUTH, &owner, &[], &password), 0);
    assert!(matches!(keys.check(), Err(TpmError::OwnerPassword)));
    assert_eq!(keys.seal(b"context", b"x"), Err(KeyError::Unavailable));
}

/// How many NV indexes the TPM holds.
fn counters(tpm: &Tpm) -> u32 {
    let ask = [
        0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7a, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 64,
    ];
    let address = tpm.address();
    let mut connection = address.connect().expect("connected");
    let answer = connection.transact(&ask).expect("answered");
    u32::from_be_bytes(answer[15..19].try_into().expect("four bytes"))
}

#[test]
fn a_creation_that_fails_leaves_no_counter() {
    let Some(tpm) = Tpm::start() else { return };
    let bus = Bus::of(&tpm);
    let create = || TpmKeys::create(Box::new(bus.clone()), no_pcrs());
    create().expect("create").undo().expect("deleted");
    bus.reset(None, None);
    let keys = create().expect("create");
    let commands = bus.reset(None, None).commands;
    assert_eq!(counters(&tpm), 1);
    let mut failed = 0;
    for number in 0..commands {
        bus.reset(None, Some((number, 30)));
        let made = create();
        bus.reset(None, None);
        match made {
            Ok(made) => made.undo().expect("deleted"),
            Err(_) => failed += 1,
        }
        assert_eq!(counters(&tpm), 1, "answer {number}");
    }
    assert!(failed > 2, "{failed}");
    keys.check()
        .expect("the other vault's counter is untouched");
}

#[test]
fn two_vaults_in_one_tpm_do_not_disturb_each_other() {
    let Some(tpm) = Tpm::start() else { return };
    let create = || TpmKeys::create(tpm.address(), no_pcrs()).expect("create");
    let (one, two) = (create(), create());
    let sealed = one.seal(b"context", b"state").expect("seal");
    let next = two.seal_next(b"context", b"state").expect("seal next");
    two.advance(&next).expect("advance");
    assert_eq!(opens(&one, &sealed), Ok(b"state".to_vec()));
    two.undo().expect("deleted");
    assert_eq!(opens(&one, &sealed), Ok(b"state".to_vec()));
}
