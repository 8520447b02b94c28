use stele_gateway::{Clients as Secrets, Domains};

use super::*;
use crate::clients::{Clients, Published};
use crate::gateway::spent::Spent;

/// A porter whose gateway reads nothing, and a question that it answers by itself.
fn porter() -> (Porter, UnixStream, Frames) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let (questions, _engine) = mpsc::channel(1);
    let tools = Tools {
        slabs: SlabPool::new(1),
        door: Door {
            secrets: Secrets::new(),
            register: Published::new(Clients::default()),
            domains: Domains::default(),
            spent: Spent::default(),
        },
        questions,
    };
    let memory = SharedMemory::create(1 << 20, 1).expect("memory");
    let ask = Up::Ask {
        number: 1,
        session: SessionId::NONE,
        request: Request::ListBuckets,
        piece: None,
    };
    let mut bytes = Vec::new();
    encode(&ask, &mut bytes).expect("short");
    let mut frames = Frames::default();
    frames.push(&bytes);
    (Porter::new(ours, Arc::new(memory), tools), theirs, frames)
}

#[tokio::test]
async fn while_the_gateway_reads_nothing_no_question_is_taken() {
    let (mut porter, _gateway, mut frames) = porter();
    porter.out = vec![0; LINK_OUT_BYTES_MAX];
    porter.take(&mut frames).await.expect("in order");
    assert_eq!(porter.out.len(), LINK_OUT_BYTES_MAX);
    porter.sent = 1;
    porter.take(&mut frames).await.expect("in order");
    assert!(porter.out.len() > LINK_OUT_BYTES_MAX, "it is answered");
}

#[tokio::test]
async fn while_too_much_is_asked_no_question_is_taken() {
    let (mut porter, _gateway, mut frames) = porter();
    for number in 1..=ASKED_COUNT_MAX as u64 {
        let asked = Asked {
            number,
            session: SessionId::NONE,
            piece: None,
            client: "A".into(),
            page_of: None,
        };
        porter.asked.insert(number, asked);
    }
    porter.take(&mut frames).await.expect("in order");
    assert!(porter.out.is_empty());
    porter.asked.remove(&1);
    porter.take(&mut frames).await.expect("in order");
    assert!(!porter.out.is_empty(), "it is answered");
}

#[tokio::test]
async fn what_the_gateway_has_taken_is_not_kept_however_little_it_leaves_unread() {
    use std::io::Read;
    let (mut porter, gateway, _) = porter();
    let gateway = gateway.into_std().expect("a socket");
    let more = LINK_SENT_BYTES_MAX / 4;
    let mut taken = vec![0; more];
    // What is never taken until the end.
    porter.out = vec![0; more];
    for _ in 0..40 {
        porter.out.extend(std::iter::repeat_n(0, more));
        let mut left = more;
        while left > 0 {
            porter.push().expect("sent");
            match (&gateway).read(&mut taken[..left]) {
                Ok(bytes) => left -= bytes,
                Err(_empty) => porter.stream.writable().await.expect("writable"),
            }
        }
        assert!(porter.backlog() > 0, "something is always left unread");
    }
    let kept = porter.out.len();
    assert!(kept <= 2 * LINK_SENT_BYTES_MAX, "{kept} bytes are kept");
}
