//! What a gateway in wrong hands gets receipts for: what its client had stored, and nothing else. It has no key, so
//! all it can do to a receipt is to withhold it or to spoil it.

use std::sync::Arc;

use stele_format::checkpoint::LogKey;
use stele_format::proof::Receipt;
use stele_format::record::{ClientTag, RecordType};
use stele_format::units::UploadId;
use stele_gateway::message::{NamedPart, Stored};
use stele_store::receipts::LogSigner;

use super::{
    Answer, CONTENT, Conditions, Content, Evil, LockWish, Metadata, OTHER, Purpose, Refusal,
    Request, StreamId, Vault, commit, object, put, stop,
};

const SEED: [u8; 32] = [9; 32];

impl Vault {
    /// The log is signed from now on; the key that verifies it.
    async fn sign(&self) -> LogKey {
        let link = self.machine.link();
        let signed = tokio::task::spawn_blocking(move || {
            let pool = link.status_now().expect("an engine").pool;
            let signer = Arc::new(LogSigner::new(pool, &SEED).expect("a key"));
            link.sign_with(vec![Arc::clone(&signer)]).expect("taken");
            *signer.key()
        });
        signed.await.expect("no panic")
    }
}

impl Evil {
    /// What came of a question that stored something.
    async fn stored(&mut self, request: Request) -> Stored {
        let said = format!("{request:?}");
        match self.asks(request).await.1 {
            Ok(Answer::Stored(stored)) => stored,
            other => panic!("{said}: {other:?}"),
        }
    }
}

fn content_of(bucket: &str, content: &[u8], if_match: Option<&str>) -> Request {
    let Request::OpenPut { purpose, .. } = put(bucket) else {
        unreachable!("it is one")
    };
    Request::Put {
        name: object(bucket),
        purpose,
        content: Content(content.to_vec()),
        md5: None,
        checksums: Vec::new(),
        conditions: Conditions {
            if_match: if_match.map(str::to_owned),
            if_none_match: None,
        },
    }
}

fn complete(bucket: &str, upload: UploadId, etag: &str) -> Request {
    Request::CompleteUpload {
        name: object(bucket),
        upload,
        parts: vec![NamedPart {
            number: 1,
            etag: etag.to_owned(),
            checksums: Vec::new(),
        }],
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

fn part(bucket: &str, upload: UploadId) -> Request {
    let Request::Put {
        name,
        content,
        checksums,
        conditions,
        ..
    } = content_of(bucket, CONTENT, None)
    else {
        unreachable!("it is one")
    };
    Request::Put {
        name,
        purpose: Purpose::Part { upload, number: 1 },
        content,
        md5: None,
        checksums,
        conditions,
    }
}

/// Nothing that is not stored has a receipt, and one that is given proves just that version, by its client's key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_gets_receipts_for_nothing_but_what_was_stored_for_its_client() {
    let vault = Vault::start().await;
    let key = vault.sign().await;
    let mut evil = vault.gateway();
    evil.store(&vault, "locked").await;
    let version = evil.stored(content_of("locked", CONTENT, None));
    let version = version.await.version.expect("a version");

    // Whatever else it says: no answer has a receipt.
    let create = Request::CreateUpload {
        name: object("locked"),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        checksum: None,
    };
    let Ok(Answer::Upload(upload)) = evil.asks(create).await.1 else {
        panic!("no upload")
    };
    let stored = evil.stored(part("locked", upload)).await;
    assert_eq!((stored.version, stored.receipt), (None, None), "a part");
    let etag = stored.etag;
    let (session, Ok(Answer::Stream(stream))) = evil.asks(put("locked")).await else {
        panic!("no stream")
    };
    let nothing_stored = [
        content_of("locked", CONTENT, Some("another")),
        content_of("nowhere", CONTENT, None),
        complete("locked", upload, "another"),
        complete("locked", UploadId::from_bytes([1; 16]), &etag),
        Request::AbortPut { stream },
        commit(stream),
        commit(StreamId(u64::MAX)),
        Request::Head {
            name: object("locked"),
            version: Some(version),
        },
        Request::Delete {
            name: object("locked"),
            version: None,
            bypass: false,
        },
    ];
    for request in nothing_stored {
        let said = format!("{request:?}");
        let result = match &request {
            Request::AbortPut { .. } | Request::CommitPut { .. } => {
                evil.ask(session, request, None).await.0
            }
            _ => evil.asks(request).await.1,
        };
        assert!(
            !matches!(result, Ok(Answer::Stored(_))),
            "{said}: {result:?}"
        );
    }
    // What is stored has one, of the version that is there, under the key of the client that signed.
    let tag = ClientTag::new(&vault.key_id).expect("a tag");
    let put = evil.stored(content_of("locked", b"new", None));
    let put = put.await;
    let completed = evil.stored(complete("locked", upload, &etag));
    for (stored, content) in [(put, b"new".as_slice()), (completed.await, CONTENT)] {
        let version = stored.version.expect("a version");
        let receipt = stored.receipt.expect("a receipt");
        let header = Receipt::verify(&receipt, &key).expect("it verifies").header;
        let record = matches!(
            header.record_type,
            RecordType::Commit | RecordType::Complete
        );
        assert!(record, "{:?}", header.record_type);
        assert_eq!((header.version, header.client), (version, tag));
        assert_eq!(evil.content(&vault, version).await, content);
    }
    stop(vault, evil).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_gets_no_receipt_for_what_is_anothers() {
    let vault = Vault::start().await;
    let key = vault.sign().await;
    let mut evil = vault.gateway();
    evil.store(&vault, "locked").await;
    let create = Request::CreateUpload {
        name: object("locked"),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        checksum: None,
    };
    let Ok(Answer::Upload(upload)) = evil.asks(create).await.1 else {
        panic!("no upload")
    };
    let etag = evil.stored(part("locked", upload)).await.etag;
    vault.let_in(OTHER).await;
    evil.key_id = OTHER.to_owned();
    for request in [
        content_of("locked", CONTENT, None),
        part("locked", upload),
        complete("locked", upload, &etag),
    ] {
        let said = format!("{request:?}");
        let (_, result) = evil.asks(request).await;
        assert!(
            matches!(result, Err(Refusal::NotAllowed(_))),
            "{said}: {result:?}"
        );
    }
    // Of what is its own it gets one, and that says whose it is.
    let own = Request::CreateBucket {
        name: "own".to_owned(),
        lock: false,
    };
    evil.asks(own).await.1.expect("a bucket");
    let own = evil.stored(content_of("own", CONTENT, None)).await;
    evil.key_id.clone_from(&vault.key_id);
    let theirs = evil.stored(complete("locked", upload, &etag)).await;
    let header = |stored: &Stored| {
        let receipt = stored.receipt.as_ref().expect("a receipt");
        Receipt::verify(receipt, &key).expect("it verifies").header
    };
    let (own, theirs) = (header(&own), header(&theirs));
    assert_eq!(own.client, ClientTag::new(OTHER).expect("a tag"));
    assert_eq!(theirs.client, ClientTag::new(&vault.key_id).expect("a tag"));
    assert_ne!(own.bucket, theirs.bucket);
    stop(vault, evil).await;
}

/// Of two receipts it makes no third one: lines of the one in the other, lines left out, and single bits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_makes_no_receipt_out_of_others() {
    let vault = Vault::start().await;
    let key = vault.sign().await;
    let mut evil = vault.gateway();
    evil.store(&vault, "locked").await;
    let mut receipts = Vec::new();
    for content in [b"one".as_slice(), b"another"] {
        let stored = evil.stored(content_of("locked", content, None));
        receipts.push(stored.await.receipt.expect("a receipt"));
    }
    let genuine: Vec<Receipt> = receipts
        .iter()
        .map(|receipt| Receipt::verify(receipt, &key).expect("it verifies"))
        .collect();
    let split = |receipt: &str| -> Vec<String> { receipt.split('\n').map(str::to_owned).collect() };
    let (one, other) = (split(&receipts[0]), split(&receipts[1]));
    let mut made: Vec<String> = Vec::new();
    for (at, _) in one.iter().enumerate() {
        let without = [&one[..at], &one[at + 1..]].concat();
        made.push(without.join("\n"));
        for line in &other {
            let mut mixed = one.clone();
            mixed[at].clone_from(line);
            made.push(mixed.join("\n"));
        }
        made.push(
            [&one[..at], &other[at.min(other.len())..]]
                .concat()
                .join("\n"),
        );
    }
    for at in 0..receipts[0].len() {
        let mut bytes = receipts[0].clone().into_bytes();
        bytes[at] ^= 1;
        made.extend(String::from_utf8(bytes).ok());
    }
    for text in made {
        match Receipt::verify(&text, &key) {
            Err(_) => assert!(!receipts.contains(&text), "a genuine one is refused"),
            Ok(receipt) => assert!(genuine.contains(&receipt), "{text}"),
        }
    }
    stop(vault, evil).await;
}
