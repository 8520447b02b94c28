use proptest::prelude::*;

use super::*;
use crate::limits::LINK_BACKLOG_BYTES_MAX;
use crate::message::{Conditions, Envelope, StreamId};
use crate::slab::Slabs;

fn ask(number: u64) -> Up {
    Up::Ask {
        number,
        session: SessionId(7),
        request: Request::CommitPut {
            stream: StreamId(1),
            md5: Some([3; 16]),
            checksums: Vec::new(),
            conditions: Conditions::default(),
        },
        piece: Some(Piece {
            number: 1,
            bytes: 2,
        }),
    }
}

#[test]
fn frames_come_out_as_they_went_in_however_they_arrive() {
    let mut bytes = Vec::new();
    for number in 0..3 {
        encode(&ask(number), &mut bytes).expect("short");
    }
    for step in [1, 2, 7, bytes.len()] {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for part in bytes.chunks(step) {
            frames.push(part);
            while let Some(frame) = frames.take::<Up>().expect("well formed") {
                seen.push(format!("{frame:?}"));
            }
        }
        let sent: Vec<_> = (0..3).map(|number| format!("{:?}", ask(number))).collect();
        assert_eq!(seen, sent, "in parts of {step}");
    }
}

#[test]
fn a_frame_that_is_too_long_is_not_sent_and_not_believed() {
    let long = Up::Ask {
        number: 1,
        session: SessionId::NONE,
        request: Request::HeadBucket {
            name: "x".repeat(LINK_FRAME_BYTES_MAX),
        },
        piece: None,
    };
    let mut out = b"before".to_vec();
    assert_eq!(encode(&long, &mut out), Err(WireFault::TooLong));
    assert_eq!(out, b"before");
    let mut frames = Frames::default();
    frames.push(&u32::MAX.to_le_bytes());
    assert_eq!(frames.take::<Up>().err(), Some(WireFault::TooLong));
}

#[test]
fn a_frame_with_something_behind_it_is_malformed() {
    let mut bytes = Vec::new();
    encode(&ask(1), &mut bytes).expect("short");
    bytes.push(0);
    let length = u32::try_from(bytes.len() - LENGTH_BYTES).expect("short");
    bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    let mut frames = Frames::default();
    frames.push(&bytes);
    assert_eq!(frames.take::<Up>().err(), Some(WireFault::Malformed));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut frames = Frames::default();
        let length = u32::try_from(bytes.len()).expect("short").to_le_bytes();
        frames.push(&length);
        frames.push(&bytes);
        // Whatever it says is fine, as long as it says it.
        let _any = frames.take::<Up>();
        let mut raw = Frames::default();
        raw.push(&bytes);
        while let Ok(Some(_)) = raw.take::<Down>() {}
    }
}

#[tokio::test]
async fn askers_wait_while_the_engine_reads_nothing() {
    let (ours, _theirs) = tokio::net::UnixStream::pair().expect("a pair");
    let wire = gateway::Wire::new(ours, Slabs::new(1, 1));
    let question_bytes = 64 * 1024;
    let post = || {
        wire.post(Envelope {
            session: SessionId::NONE,
            request: Request::HeadBucket {
                name: "x".repeat(question_bytes),
            },
            slab: None,
            answer: tokio::sync::oneshot::channel().0,
        })
    };
    // What the socket takes by itself is far less than this.
    let most = 64 * LINK_BACKLOG_BYTES_MAX / question_bytes;
    for _ in 0..most {
        tokio::select! {
            biased;
            posted = post() => posted.expect("there is an engine"),
            () = std::future::ready(()) => return,
        }
    }
    panic!("nobody ever waited");
}
