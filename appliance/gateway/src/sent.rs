//! Answers on their way: how much of each its client has not taken yet.
//!
//! The HTTP library takes what comes next of an answer as soon as it is there. Over HTTP/2 it keeps that for as long as
//! the client leaves the window shut, and the client may answer pings all the while. So an answer is not over with its
//! body, but when its last byte has left, and a connection on which one does not get on is cut off.
//!
//! Invariant: what an answer holds it holds until its last piece is gone, and no longer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use s3s::{Body, StdError};
use tokio::time::{Instant, sleep_until};

use crate::idle::Running;
use crate::limits::ANSWER_WINDOW_BYTES_MIN;
use crate::memory::Kept;

/// The answers of one connection. Clones speak of the same ones.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Vec<Weak<Answer>>>>);

/// One answer, until its last piece is gone.
struct Answer {
    progress: Mutex<Progress>,
    _running: Running,
    _kept: Option<Kept>,
}

/// How an answer gets on.
struct Progress {
    /// Bytes that the HTTP library has and the client has not taken.
    untaken: usize,
    /// Bytes that left since then.
    taken: usize,
    since: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            untaken: 0,
            taken: 0,
            since: Instant::now(),
        }
    }

    fn give(&mut self, bytes: usize) {
        if self.untaken == 0 {
            self.restart();
        }
        self.untaken = self.untaken.saturating_add(bytes);
    }

    fn take(&mut self, bytes: usize) {
        self.untaken = self.untaken.saturating_sub(bytes);
        self.taken = self.taken.saturating_add(bytes);
        if self.taken >= ANSWER_WINDOW_BYTES_MIN {
            self.restart();
        }
    }

    fn restart(&mut self) {
        (self.taken, self.since) = (0, Instant::now());
    }

    /// By when more of it must have been taken; none while there is nothing to take.
    fn due(&self, window: Duration) -> Option<Instant> {
        (self.untaken > 0).then(|| self.since + window)
    }
}

impl Answer {
    fn progress<R>(&self, look: impl FnOnce(&mut Progress) -> R) -> R {
        look(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Answers {
    /// The same response, its body watched.
    pub(crate) fn sent(&self, mut response: Response<Body>, running: Running) -> Response<Sent> {
        let answer = Arc::new(Answer {
            progress: Mutex::new(Progress::new()),
            _running: running,
            _kept: response.extensions_mut().remove(),
        });
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| answer.strong_count() > 0);
        answers.push(Arc::downgrade(&answer));
        response.map(|body| Sent { body, answer })
    }

    /// Ends when too little of an answer was taken for so long.
    pub(crate) async fn stalled(&self, window: Duration) {
        loop {
            let now = Instant::now();
            // What is given from now on is due later.
            let due = self.due(window).unwrap_or(now + window);
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    /// When the first of them is.
    fn due(&self, window: Duration) -> Option<Instant> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |answer: &Weak<Answer>| {
            let answer = answer.upgrade()?;
            answer.progress(|progress| progress.due(window))
        };
        answers.iter().filter_map(due).min()
    }
}

/// An answer's body, watched.
pub(crate) struct Sent {
    body: Body,
    answer: Arc<Answer>,
}

impl HttpBody for Sent {
    type Data = Piece;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, StdError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let piece = |bytes| Piece::new(bytes, Arc::clone(&self.answer));
        polled.map_ok(|frame| frame.map_data(piece))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

/// Bytes of an answer that the HTTP library has.
pub(crate) struct Piece {
    bytes: Bytes,
    answer: Arc<Answer>,
}

impl Piece {
    fn new(bytes: Bytes, answer: Arc<Answer>) -> Self {
        answer.progress(|progress| progress.give(bytes.len()));
        Self { bytes, answer }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.answer.progress(|progress| progress.take(bytes));
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let left = self.bytes.len();
        self.answer.progress(|progress| progress.take(left));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use crate::idle::Activity;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(300);

    async fn next(body: &mut Sent) -> Option<Piece> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        frame.expect("content").into_data().ok()
    }

    /// An answer of so many bytes, and its only piece.
    async fn given(answers: &Answers, activity: &Activity, bytes: usize) -> Piece {
        let response = Response::new(Body::from(vec![7; bytes]));
        let mut body = answers.sent(response, activity.begin()).into_body();
        next(&mut body).await.expect("a piece")
    }

    /// How long until the connection is cut off.
    async fn cut(answers: &Answers) -> Duration {
        let began = Instant::now();
        answers.stalled(WINDOW).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_cut_off_though_others_are_taken() {
        let (answers, activity) = (Answers::default(), Activity::new());
        let mut taken = given(&answers, &activity, 100 * ANSWER_WINDOW_BYTES_MIN).await;
        let _untaken = given(&answers, &activity, 1).await;
        let taking = async {
            loop {
                taken.advance(ANSWER_WINDOW_BYTES_MIN);
                tokio::time::sleep(WINDOW / 10).await;
            }
        };
        tokio::select! {
            () = taking => {}
            cut = cut(&answers) => assert!(cut < WINDOW * 2, "{cut:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_at_a_time_is_not_cut_off_and_whoever_takes_less_is() {
        for (bytes, expected) in [
            (ANSWER_WINDOW_BYTES_MIN, 8),
            (ANSWER_WINDOW_BYTES_MIN / 2, 1),
        ] {
            let (answers, activity) = (Answers::default(), Activity::new());
            let mut piece = given(&answers, &activity, 8 * bytes + 1).await;
            let taking = tokio::spawn(async move {
                for _ in 0..8 {
                    tokio::time::sleep(WINDOW - Duration::from_millis(1)).await;
                    piece.advance(bytes);
                }
                tokio::time::sleep(WINDOW * 2).await;
                drop(piece);
            });
            let windows = cut(&answers).await.as_secs() / WINDOW.as_secs();
            assert!(
                windows >= expected && windows <= expected + 1,
                "{windows} of {bytes}"
            );
            taking.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_nothing_to_take_waits_for_as_long_as_it_likes_and_ends_with_its_last_piece() {
        let (answers, activity) = (Answers::default(), Activity::new());
        let response = Response::new(Body::from(vec![7; 9]));
        let mut body = answers.sent(response, activity.begin()).into_body();
        let waits = tokio::time::timeout(WINDOW * 10, answers.stalled(WINDOW)).await;
        assert!(waits.is_err(), "nothing was given yet");
        let piece = next(&mut body).await.expect("a piece");
        assert!(next(&mut body).await.is_none());
        drop(body);
        let quiet = tokio::time::timeout(WINDOW, activity.quiet(WINDOW / 2)).await;
        assert!(quiet.is_err(), "the answer still runs");
        drop(piece);
        activity.quiet(WINDOW / 2).await;
        assert!(answers.due(WINDOW).is_none());
    }
}
