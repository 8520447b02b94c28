//! A gateway in wrong hands, against the real engine: it says whatever it likes on a real connection.

use std::sync::Arc;
use std::time::Duration;

use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_device::linux::disk::{OpenMode, Wishes};
use stele_device::linux::shared::SharedMemory;
use stele_format::units::{UnixMillis, VersionId};
use stele_gateway::claim::{Canonical, Clients as Secrets};
use stele_gateway::limits::{DOMAINS, SLAB_BYTES, SLAB_FRONT_BYTES, SLAB_PLAIN_BYTES_MAX};
use stele_gateway::message::{
    Answer, Claim, Conditions, ListWish, LockMode, LockWish, Metadata, ObjectName, Purpose,
    Refusal, Request, Retention, Right, SessionId, StreamId,
};
use stele_gateway::wire::{Content, Down, Frames, Piece, Up, encode};
use stele_gateway::{Domains, SlabPool};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::door::Door;
use super::porter::{End, Porter, Tools};
use super::signer::wanting;
use super::spent::Spent;
use crate::bays::Bays;
use crate::bell::Bell;
use crate::clients::{self, Clients, Published};
use crate::opener::Opener;
use crate::supervisor::Machine;
use crate::vault::Directory;
use crate::vault::create::{Options, create};
use crate::vault::disks::open_kept;

mod pages;
mod receipts;
mod replays;
mod signed;
mod whole;

use whole::whole;

const SECRET: &str = "the secret of A";
/// The key id of a second client.
const OTHER: &str = "STELEOTHER";
const PIECES: usize = 4;
const CONTENT: &[u8] = b"a prescription";
const DAY_MS: u64 = 86_400_000;
/// How long the same signature is served again.
const AGAIN_MS: u64 = 2_000;

/// A served engine without a gateway.
struct Vault {
    machine: Machine,
    tools: Tools,
    key_id: String,
    memory: Arc<SharedMemory>,
    _dir: TempDir,
}

/// The gateway's end of a conversation.
struct Evil {
    socket: UnixStream,
    frames: Frames,
    last: u64,
    porter: tokio::task::JoinHandle<End>,
    key_id: String,
    _stop: watch::Sender<bool>,
}

impl Vault {
    async fn start() -> Vault {
        // Recovery and the first questions block.
        let made = tokio::task::spawn_blocking(Vault::make).await;
        made.expect("no panic")
    }

    fn make() -> Vault {
        let dir = TempDir::new().expect("a directory");
        let directory = Directory::new(&dir.path().join("vault")).expect("a path");
        let options = Options {
            disk_bytes: Some(1 << 30),
            ..Options::default()
        };
        drop(create(&directory, &options).expect("made"));
        let config = directory.existing().expect("a vault");
        let bell = Bell::default();
        let slabs = SlabPool::new(8);
        let wishes = Wishes {
            write_pools: vec![slabs.buffers()],
            ..Wishes::default()
        };
        let waker = bell.disk_waker();
        let slots = open_kept(&config, directory.path(), OpenMode::Write, &wishes, &waker);
        let slots = slots.expect("disks");
        let opener = Opener {
            keys: directory.keys(config.key_source()),
            bays: Bays::new(&slots),
            client_buckets: config.client_buckets(),
            serials: config.serials(),
            index_cache_bytes: None,
        };
        let machine = Machine::start(slots, opener, None, &bell).expect("an engine");
        // The one key that the vault was made with, under a secret of this test.
        let value = machine.link().get_config(clients::RECORD);
        let value = value.expect("an engine").expect("a register");
        let register = Clients::decode(&value).expect("well formed");
        machine.link().set_clients(register.clone()).expect("known");
        let key_id = register.iter().next().expect("one").id.clone();
        let secrets = Secrets::new();
        secrets.insert(key_id.clone(), Zeroizing::new(SECRET.to_owned()));
        let tools = Tools {
            slabs,
            door: Door {
                secrets,
                register: Published::new(register),
                domains: Domains::new(DOMAINS.map(str::to_owned)),
                spent: Spent::with_moment(AGAIN_MS),
            },
            questions: machine.questions(),
        };
        Vault {
            machine,
            tools,
            key_id,
            memory: Arc::new(SharedMemory::create(SLAB_BYTES, PIECES).expect("memory")),
            _dir: dir,
        }
    }

    /// A second client with an owner of its own, under the same secret.
    async fn let_in(&self, key_id: &str) {
        self.let_in_all(&[(key_id, "other")]).await;
    }

    /// Further clients of these owners, under the same secret.
    async fn let_in_all(&self, others: &[(&str, &str)]) {
        let others = others.iter().map(|(key_id, owner)| {
            format!(r#",{{"id":"{key_id}","rights":[],"owner":"{owner}"}}"#)
        });
        let (first, rest) = (&self.key_id, others.collect::<String>());
        let text = format!(r#"{{"clients":[{{"id":"{first}","rights":[]}}{rest}]}}"#);
        let register = Clients::decode(text.as_bytes()).expect("well formed");
        self.tools.door.register.replace(register.clone());
        let link = self.machine.link();
        let told = tokio::task::spawn_blocking(move || link.set_clients(register)).await;
        told.expect("no panic").expect("known");
        for entry in self.tools.door.register.now().iter() {
            let secret = Zeroizing::new(SECRET.to_owned());
            self.tools.door.secrets.insert(entry.id.clone(), secret);
        }
    }

    fn gateway(&self) -> Evil {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut porter = Porter::new(ours, Arc::clone(&self.memory), self.tools.clone());
        let (stop, stopped) = watch::channel(false);
        let porter = tokio::spawn(async move {
            let end = porter.run(stopped, |_| ()).await;
            porter.give_up().await;
            end
        });
        Evil {
            socket: theirs,
            frames: Frames::default(),
            last: 0,
            porter,
            key_id: self.key_id.clone(),
            _stop: stop,
        }
    }
}

/// The time as a request states it.
fn date_text(at: UnixMillis) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(
        i64::try_from(at.get() / 1000).expect("in range"),
    );
    let at = at.expect("in range");
    let (day, time) = (at.date(), at.time());
    let (hour, minute, second) = time.as_hms();
    format!(
        "{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z",
        day.year(),
        u8::from(day.month()),
        day.day()
    )
}

fn now() -> UnixMillis {
    UnixMillis::new(SystemClock.wall_ms())
}

fn object(bucket: &str) -> ObjectName {
    ObjectName {
        bucket: bucket.to_owned(),
        key: "key".to_owned(),
    }
}

fn put(bucket: &str) -> Request {
    Request::OpenPut {
        name: object(bucket),
        purpose: Purpose::Object {
            metadata: Metadata {
                storage_class: "STANDARD".to_owned(),
                ..Metadata::default()
            },
            lock: LockWish::default(),
        },
        content_bytes: None,
    }
}

fn commit(stream: StreamId) -> Request {
    Request::CommitPut {
        stream,
        md5: None,
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

impl Evil {
    /// What the client signs that wants to know which buckets there are.
    fn signed(&self, secret: &str, at: UnixMillis) -> Claim {
        self.signed_for(secret, at, wanting(&Request::ListBuckets))
    }

    fn signed_for(&self, secret: &str, at: UnixMillis, request: Canonical) -> Claim {
        let date = date_text(at);
        Claim::signed(&self.key_id, secret, &date, "us-east-1", request)
    }

    /// A session of a client that signed this now.
    async fn enter_for(&mut self, request: Canonical) -> SessionId {
        let claim = self.signed_for(SECRET, now(), request);
        self.sign_in(claim).await.expect("signed")
    }

    /// Asks what the client signed, and nothing else; the session is that one's.
    async fn asks(&mut self, request: Request) -> (SessionId, Result<Answer, Refusal>) {
        let session = self.enter_for(wanting(&request)).await;
        (session, self.ask(session, request, None).await.0)
    }

    /// What is refused though a client signed it.
    async fn denied(&mut self, request: Request, expected: Refusal) {
        let session = self.enter_for(wanting(&request)).await;
        self.refused(session, request, expected).await;
    }

    async fn send(&mut self, frame: &Up) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes).expect("short");
        self.socket.write_all(&bytes).await.expect("sent");
    }

    async fn reply(&mut self) -> (u64, Result<Answer, Refusal>, u32) {
        let mut bytes = vec![0; 4096];
        loop {
            if let Some(frame) = self.frames.take::<Down>().expect("well formed") {
                let Down::Reply {
                    number,
                    result,
                    bytes,
                } = frame
                else {
                    panic!("only answers are expected")
                };
                return (number, result, bytes);
            }
            let read = self.socket.read(&mut bytes).await.expect("a reply");
            assert!(read > 0, "the conversation has ended");
            self.frames.push(&bytes[..read]);
        }
    }

    async fn ask(
        &mut self,
        session: SessionId,
        request: Request,
        piece: Option<Piece>,
    ) -> (Result<Answer, Refusal>, u32) {
        self.last += 1;
        let number = self.last;
        self.send(&Up::Ask {
            number,
            session,
            request,
            piece,
        })
        .await;
        let (answered, result, bytes) = self.reply().await;
        assert_eq!(answered, number);
        (result, bytes)
    }

    async fn enter(&mut self, secret: &str, at: UnixMillis) -> Result<SessionId, Refusal> {
        self.sign_in(self.signed(secret, at)).await
    }

    async fn sign_in(&mut self, claim: Claim) -> Result<SessionId, Refusal> {
        let request = Request::SignIn {
            claim,
            source: std::net::Ipv4Addr::LOCALHOST.into(),
            signs_chunks: false,
            finished: Vec::new(),
        };
        match self.ask(SessionId::NONE, request, None).await.0? {
            Answer::SignedIn { session, .. } => Ok(session),
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&mut self, session: SessionId, request: Request, expected: Refusal) {
        let said = format!("{request:?}");
        let (result, _) = self.ask(session, request, None).await;
        assert_eq!(result.err(), Some(expected), "{said}");
    }

    /// Stores the content in a new default-locked bucket and returns its version.
    async fn store(&mut self, vault: &Vault, bucket: &str) -> VersionId {
        let create = Request::CreateBucket {
            name: bucket.to_owned(),
            lock: false,
        };
        self.asks(create).await.1.expect("a bucket");
        let (session, Ok(Answer::Stream(stream))) = self.asks(put(bucket)).await else {
            panic!("no stream")
        };
        vault
            .memory
            .copy_in(0, SLAB_FRONT_BYTES, CONTENT)
            .expect("inside");
        let piece = Piece {
            number: 0,
            bytes: u32::try_from(CONTENT.len()).expect("short"),
        };
        let data = Request::PutData { stream };
        self.ask(session, data, Some(piece)).await.0.expect("taken");
        match self.ask(session, commit(stream), None).await.0 {
            Ok(Answer::Stored(stored)) => stored.version.expect("a version"),
            other => panic!("{other:?}"),
        }
    }

    /// The content of a version.
    async fn content(&mut self, vault: &Vault, version: VersionId) -> Vec<u8> {
        let open = Request::OpenGet {
            name: object("locked"),
            version: Some(version),
            range: None,
        };
        let (session, Ok(Answer::Opened { stream, .. })) = self.asks(open).await else {
            panic!("not opened")
        };
        let piece = Piece {
            number: 1,
            bytes: 0,
        };
        let next = Request::NextData { stream };
        let (data, bytes) = self.ask(session, next, Some(piece)).await;
        assert!(matches!(data, Ok(Answer::Data)), "{data:?}");
        let mut content = vec![0; usize::try_from(bytes).expect("short")];
        vault
            .memory
            .copy_out(1, SLAB_FRONT_BYTES, &mut content)
            .expect("inside");
        self.ask(session, Request::CloseGet { stream }, None)
            .await
            .0
            .expect("closed");
        content
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_for_nobody_who_did_not_sign() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    for session in [SessionId::NONE, SessionId(1), SessionId(u64::MAX)] {
        evil.refused(session, Request::ListBuckets, Refusal::NoSession)
            .await;
        evil.refused(session, put("locked"), Refusal::NoSession)
            .await;
        evil.refused(session, commit(StreamId(1)), Refusal::NoSession)
            .await;
    }
    let forged = evil.enter("guessed", now()).await;
    assert_eq!(forged, Err(Refusal::Signature));
    let hour_ago = UnixMillis::new(now().get() - 3_600_000);
    let replayed = evil.enter(SECRET, hour_ago).await;
    assert_eq!(replayed, Err(Refusal::Skewed));
    let stranger = Claim {
        key_id: "B".to_owned(),
        ..evil.signed(SECRET, now())
    };
    assert_eq!(evil.sign_in(stranger).await, Err(Refusal::UnknownKey));
    let session = evil.enter(SECRET, now()).await.expect("signed");
    let (buckets, _) = evil.ask(session, Request::ListBuckets, None).await;
    assert!(matches!(buckets, Ok(Answer::Buckets(buckets)) if buckets.is_empty()));
    stop(vault, evil).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_destroys_and_shortens_nothing() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    let version = evil.store(&vault, "locked").await;
    let name = || object("locked");
    for bypass in [false, true] {
        let delete = Request::Delete {
            name: name(),
            version: Some(version),
            bypass,
        };
        let (_, deleted) = evil.asks(delete).await;
        assert!(
            matches!(deleted, Err(Refusal::Locked { .. })),
            "{deleted:?}"
        );
        let soon = UnixMillis::new(now().get() + 60_000);
        for retention in [
            None,
            Some(Retention {
                mode: LockMode::Compliance,
                until: soon,
            }),
            Some(Retention {
                mode: LockMode::Governance,
                until: UnixMillis::new(now().get() + 9 * DAY_MS),
            }),
        ] {
            let shorten = Request::SetRetention {
                name: name(),
                version: Some(version),
                retention,
                bypass,
            };
            evil.denied(shorten, Refusal::Weaker).await;
        }
    }
    let hold = |on| Request::SetHold {
        name: name(),
        version: Some(version),
        on,
    };
    evil.asks(hold(true)).await.1.expect("held");
    evil.denied(hold(false), Refusal::NeedsRight(Right::HoldOff))
        .await;
    let lower = Request::SetDefaultRetention {
        bucket: "locked".to_owned(),
        default: None,
    };
    evil.denied(lower, Refusal::NeedsRight(Right::LockAdmin))
        .await;
    let bucket = Request::DeleteBucket {
        name: "locked".to_owned(),
    };
    evil.denied(bucket, Refusal::BucketNotEmpty).await;
    assert_eq!(evil.content(&vault, version).await, CONTENT);
    stop(vault, evil).await;
}

/// It has the second client's requests alone, and asks in that one's name for what is the first one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_reads_nothing_that_its_client_may_not() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    let version = evil.store(&vault, "locked").await;
    vault.let_in(OTHER).await;
    evil.key_id = OTHER.to_owned();
    let (other, buckets) = evil.asks(Request::ListBuckets).await;
    assert!(matches!(buckets, Ok(Answer::Buckets(buckets)) if buckets.is_empty()));
    let wish = || ListWish {
        bucket: "locked".to_owned(),
        entries_max: 10,
        ..ListWish::default()
    };
    for request in [
        Request::OpenGet {
            name: object("locked"),
            version: Some(version),
            range: None,
        },
        Request::Head {
            name: object("locked"),
            version: None,
        },
        Request::List(wish()),
        Request::ListVersions(wish()),
        Request::HeadBucket {
            name: "locked".to_owned(),
        },
        Request::Delete {
            name: object("locked"),
            version: None,
            bypass: false,
        },
        put("locked"),
    ] {
        let said = format!("{request:?}");
        let (_, result) = evil.asks(request).await;
        assert!(
            matches!(result, Err(Refusal::NotAllowed(_))),
            "{said}: {result:?}"
        );
    }
    // A stream of the first one is none of its.
    let open = Request::OpenGet {
        name: object("locked"),
        version: Some(version),
        range: None,
    };
    evil.key_id.clone_from(&vault.key_id);
    let (_, Ok(Answer::Opened { stream, .. })) = evil.asks(open).await else {
        panic!("not opened")
    };
    evil.refused(other, Request::NextData { stream }, Refusal::NoSuchStream)
        .await;
    assert_eq!(evil.content(&vault, version).await, CONTENT);
    stop(vault, evil).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_uses_no_stream_and_no_memory_of_others() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    let version = evil.store(&vault, "locked").await;
    let other = evil.enter(SECRET, now()).await.expect("signed");
    let (session, Ok(Answer::Stream(stream))) = evil.asks(put("locked")).await else {
        panic!("no stream")
    };
    evil.refused(other, commit(stream), Refusal::NoSuchStream)
        .await;
    evil.refused(other, Request::AbortPut { stream }, Refusal::NoSuchStream)
        .await;
    let data = || Request::PutData { stream };
    let pieces = [
        (PIECES, 1),
        (usize::try_from(u32::MAX).expect("fits"), 1),
        (0, SLAB_PLAIN_BYTES_MAX + 1),
        (0, usize::try_from(u32::MAX).expect("fits")),
    ];
    for (number, bytes) in pieces {
        let piece = Piece {
            number: u32::try_from(number).expect("fits"),
            bytes: u32::try_from(bytes).expect("fits"),
        };
        let (taken, _) = evil.ask(session, data(), Some(piece)).await;
        assert_eq!(taken.err(), Some(Refusal::NoSuchStream), "{piece:?}");
    }
    evil.refused(session, data(), Refusal::NoSuchStream).await;
    let open = Request::OpenGet {
        name: object("locked"),
        version: None,
        range: None,
    };
    let (session, Ok(Answer::Opened { stream, .. })) = evil.asks(open).await else {
        panic!("not opened")
    };
    let next = || Request::NextData { stream };
    evil.refused(session, next(), Refusal::NoSuchStream).await;
    let outside = Piece {
        number: u32::MAX,
        bytes: 0,
    };
    let (data, _) = evil.ask(session, next(), Some(outside)).await;
    assert_eq!(data.err(), Some(Refusal::NoSuchStream));
    assert_eq!(evil.content(&vault, version).await, CONTENT);
    stop(vault, evil).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_its_conversation_and_nothing_else() {
    let vault = Vault::start().await;
    let mut good = vault.gateway();
    let version = good.store(&vault, "locked").await;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..200 {
        let mut evil = vault.gateway();
        // A stream that is left open, whatever comes.
        let (session, opened) = evil.asks(put("locked")).await;
        opened.expect("open");
        let mut bytes = Vec::new();
        for _ in 0..4 {
            let frame = Up::Ask {
                number: 1,
                session,
                request: put("locked"),
                piece: Some(Piece {
                    number: 0,
                    bytes: 1,
                }),
            };
            encode(&frame, &mut bytes).expect("short");
        }
        for _ in 0..=round % 7 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = usize::try_from(random >> 33).expect("fits") % bytes.len();
            bytes[at] ^= u8::try_from(random >> 25 & 0xff).expect("fits") | 1;
        }
        // The porter may hang up in the middle of it.
        evil.socket.write_all(&bytes).await.ok();
        evil.socket.shutdown().await.ok();
        let ended = tokio::time::timeout(Duration::from_secs(60), &mut evil.porter).await;
        ended.expect("it ends").expect("without a panic");
    }
    assert_eq!(good.content(&vault, version).await, CONTENT);
    stop(vault, good).await;
}

/// The engine is as alive as before and stops in order.
async fn stop(vault: Vault, evil: Evil) {
    drop(evil.socket);
    let end = evil.porter.await.expect("without a panic");
    assert!(matches!(end, End::Closed), "{end}");
    let Vault { machine, tools, .. } = vault;
    drop(tools);
    let stopped = tokio::task::spawn_blocking(|| machine.stop()).await;
    stopped.expect("no panic").expect("in order");
}
