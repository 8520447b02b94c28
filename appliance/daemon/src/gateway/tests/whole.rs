//! Content that a gateway in wrong hands brings with its question.

use stele_gateway::limits::{
    SLAB_FRONT_BYTES, SLAB_PLAIN_BYTES_MAX, UPLOAD_WHOLE_BYTES, UPLOAD_WHOLE_COUNT_MAX,
};
use stele_gateway::message::{Answer, Conditions, Refusal, Request, SessionId};
use stele_gateway::wire::{Content, Piece, Up};

use super::super::signer::wanting;
use super::{PIECES, Vault, put, stop};

/// Short content in one question.
pub fn whole(content: &[u8]) -> Request {
    let Request::OpenPut { name, purpose, .. } = put("locked") else {
        unreachable!("it is one")
    };
    Request::Put {
        name,
        purpose,
        content: Content(content.to_vec()),
        md5: None,
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_brings_at_once_is_stored_under_a_signature_alone() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    evil.store(&vault, "locked").await;
    evil.refused(SessionId::NONE, whole(b"x"), Refusal::NoSession)
        .await;
    let long = vec![0; UPLOAD_WHOLE_BYTES + 1];
    let bytes_max = UPLOAD_WHOLE_BYTES as u64;
    evil.denied(whole(&long), Refusal::TooLarge { bytes_max })
        .await;
    for content in [b"at once".as_slice(), &[7; UPLOAD_WHOLE_BYTES], b""] {
        let (_, result) = evil.asks(whole(content)).await;
        let Ok(Answer::Stored(stored)) = result else {
            panic!("{result:?}")
        };
        let version = stored.version.expect("a version");
        if !content.is_empty() {
            assert!(evil.content(&vault, version).await == content);
        }
    }
    let memory = &vault.memory;
    memory
        .copy_in(0, SLAB_FRONT_BYTES, b"in a slab")
        .expect("inside");
    let in_memory = Piece {
        number: 0,
        bytes: 9,
    };
    let session = evil.enter_for(wanting(&whole(b""))).await;
    let (result, _) = evil.ask(session, whole(b"not this"), Some(in_memory)).await;
    let Ok(Answer::Stored(stored)) = result else {
        panic!("{result:?}")
    };
    let version = stored.version.expect("a version");
    assert_eq!(evil.content(&vault, version).await, b"in a slab");
    for (number, bytes) in [(PIECES, 1), (0, SLAB_PLAIN_BYTES_MAX + 1)] {
        let piece = Piece {
            number: u32::try_from(number).expect("fits"),
            bytes: u32::try_from(bytes).expect("fits"),
        };
        let (stored, _) = evil.ask(session, whole(b""), Some(piece)).await;
        assert_eq!(stored.err(), Some(Refusal::NoSuchStream), "{piece:?}");
    }
    stop(vault, evil).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_has_no_more_content_wait_for_memory_than_the_honest_one() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    evil.store(&vault, "locked").await;
    let session = evil.enter_for(wanting(&whole(b"content"))).await;
    let slabs: Vec<_> = std::iter::from_fn(|| vault.tools.slabs.try_take()).collect();
    for number in 0..=UPLOAD_WHOLE_COUNT_MAX as u64 {
        let ask = Up::Ask {
            number,
            session,
            request: whole(b"content"),
            piece: None,
        };
        evil.send(&ask).await;
    }
    let last = Up::Ask {
        number: u64::MAX,
        session,
        request: Request::HeadBucket {
            name: "locked".to_owned(),
        },
        piece: None,
    };
    evil.send(&last).await;
    let (number, result, _) = evil.reply().await;
    assert_eq!(number, UPLOAD_WHOLE_COUNT_MAX as u64);
    assert_eq!(result.err(), Some(Refusal::Busy));
    assert_eq!(evil.reply().await.0, u64::MAX, "nothing else is answered");
    drop(slabs);
    for _ in 0..UPLOAD_WHOLE_COUNT_MAX {
        let (number, result, _) = evil.reply().await;
        assert!(
            matches!(result, Ok(Answer::Stored(_))),
            "{number}: {result:?}"
        );
    }
    stop(vault, evil).await;
}
