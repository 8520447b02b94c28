use super::*;
use crate::message::ChecksumKind;
use std::collections::VecDeque;

/// A body that arrives in prepared pieces and may break.
struct Prepared(VecDeque<Result<Bytes, ()>>);

impl Pieces for Prepared {
    fn poll_piece(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn source(pieces: &[&'static [u8]]) -> Source {
    Source::new(Prepared(
        pieces
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece)))
            .collect(),
    ))
}

fn broken(piece: &'static [u8]) -> Source {
    Source::new(Prepared([Ok(Bytes::from_static(piece)), Err(())].into()))
}

async fn read(
    source: Source,
    coding: Coding,
    promised: &Promised,
) -> Result<(Vec<u8>, Verified), BodyFault> {
    let mut reader = BodyReader::new(&source, coding, promised)?;
    let mut content = Vec::new();
    loop {
        match reader.next().await? {
            Content::Piece(piece) => content.extend_from_slice(&piece),
            Content::End(verified) => return Ok((content, verified)),
        }
    }
}

#[tokio::test]
async fn a_plain_body_must_be_exactly_as_long_as_announced() {
    let cases: [(u64, Result<&[u8], BodyFault>); 4] = [
        (6, Ok(b"abcdef")),
        (5, Err(BodyFault::Incomplete)),
        (7, Err(BodyFault::Incomplete)),
        (0, Err(BodyFault::Incomplete)),
    ];
    for (content_bytes, expected) in cases {
        let body = source(&[b"abc", b"", b"def"]);
        let read = read(body, Coding::Plain { content_bytes }, &Promised::default()).await;
        assert_eq!(
            read.map(|(content, _)| content),
            expected.map(<[u8]>::to_vec)
        );
    }
}

#[tokio::test]
async fn a_broken_connection_is_no_end() {
    let promised = Promised::default();
    let read = read(
        broken(b"abc"),
        Coding::Plain { content_bytes: 3 },
        &promised,
    )
    .await;
    assert_eq!(read, Err(BodyFault::Incomplete));
}

#[tokio::test]
async fn a_chunked_body_is_proved_by_its_trailer() {
    let promised = Promised {
        trailers: vec![ChecksumKind::Crc32],
        ..Promised::default()
    };
    let coding = || {
        Coding::Chunked(Box::new(Decoder::new(
            9,
            false,
            Some(vec![ChecksumKind::Crc32]),
        )))
    };
    let good = source(&[
        b"9\r\n12345",
        b"6789\r",
        b"\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n",
    ]);
    let (content, verified) = read(good, coding(), &promised).await.expect("right");
    assert_eq!(content, b"123456789");
    assert_eq!(verified.checksums.len(), 1);
    let wrong = source(&[b"9\r\n12345678X\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"]);
    let fault = BodyFault::Digest(DigestFault::Checksum(ChecksumKind::Crc32));
    assert_eq!(read(wrong, coding(), &promised).await, Err(fault));
}

#[tokio::test]
async fn a_body_is_read_once_only() {
    let body = source(&[b"abc"]);
    let coding = || Coding::Plain { content_bytes: 3 };
    assert!(
        read(body.clone(), coding(), &Promised::default())
            .await
            .is_ok()
    );
    let again = read(body, coding(), &Promised::default()).await;
    assert_eq!(again, Err(BodyFault::Taken));
}

#[tokio::test]
async fn collecting_has_a_limit_and_checks_digests() {
    let promised = Promised::default();
    let collect = async |pieces: &[&'static [u8]], bytes_max: usize, promised: &Promised| {
        let mut body = source(pieces).collect(bytes_max).await;
        let read = body.read(usize::MAX).await;
        read.and_then(|_whole| body.verified(promised))
    };
    let whole = collect(&[b"abc", b"def", b"ghi"], 9, &promised).await;
    assert_eq!(&whole.expect("fits")[..], b"abcdefghi");
    for pieces in [&[&b"abcdef"[..]][..], &[b"abc", b"def"]] {
        let fault = collect(pieces, 5, &promised).await;
        assert_eq!(fault, Err(BodyFault::TooLarge { bytes_max: 5 }));
    }
    let promised = Promised {
        md5: Some([0; 16]),
        ..Promised::default()
    };
    let fault = collect(&[b"abc"], 5, &promised).await;
    assert_eq!(fault, Err(BodyFault::Digest(DigestFault::Md5)));
}

#[tokio::test]
async fn collecting_stops_where_more_would_be_held() {
    let mut body = source(&[b"abc", b"def", b"ghi"]).collect(9).await;
    assert_eq!(body.read(3).await, Ok(false));
    assert_eq!(&body.bytes[..], b"abcdef");
    assert_eq!(body.read(usize::MAX).await, Ok(true));
    assert_eq!(
        &body.verified(&Promised::default()).expect("whole")[..],
        b"abcdefghi"
    );
    let mut short = source(&[b"abc"]).collect(9).await;
    assert_eq!(short.read(3).await, Ok(true), "no more than that is held");
}

#[tokio::test]
async fn draining_leaves_a_waiting_client_alone() {
    let body = source(&[b"abc"]);
    body.drain(true, 100).await;
    assert!(!body.0.lock().await.started);
    body.drain(false, 100).await;
    assert!(body.0.lock().await.ended);
}

/// A body whose pieces of one length come one by one, each after a pause.
struct Dripping {
    left: u32,
    bytes: usize,
    pause: Duration,
    next: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Pieces for Dripping {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let pause = self.pause;
        let next = self
            .next
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        std::task::ready!(std::future::Future::poll(next.as_mut(), cx));
        self.next = None;
        self.left -= 1;
        Poll::Ready(Some(Ok(Bytes::from(vec![0; self.bytes]))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_cut_off_and_a_slow_one_is_not() {
    let check = async |bytes: usize, pause_s: u64, expected: Option<BodyFault>| {
        let left = 100;
        let body = Source::new(Dripping {
            left,
            bytes,
            pause: Duration::from_secs(pause_s),
            next: None,
        });
        let content_bytes = u64::from(left) * u64::try_from(bytes).expect("short");
        let coding = Coding::Plain { content_bytes };
        let read = read(body, coding, &Promised::default()).await;
        assert_eq!(read.err(), expected, "{bytes} bytes every {pause_s} s");
    };
    check(1, 1, Some(BodyFault::Stalled)).await;
    check(1000, 1, Some(BodyFault::Stalled)).await;
    check(1024, 1, None).await;
    check(30_000, 29, None).await;
    check(1 << 20, 61, Some(BodyFault::Stalled)).await;
}
