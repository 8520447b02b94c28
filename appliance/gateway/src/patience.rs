//! Answers that take long. A copy of gigabytes may last minutes, and a client that hears nothing for one gives up and
//! asks for another. As S3 has it, 200 is sent then, white space in front of the document while the work goes on, and
//! the document says how it ended: an `Error` if it failed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use s3s::{Body, S3Error, S3ErrorCode, StdError};
use tokio::task::JoinHandle;
use tokio::time::{Interval, interval_at, timeout};

use crate::front::error_response;

/// How a document begins, in front of the white space.
const PROLOG: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// Work that goes on whether or not the client takes what was sent, and ends when nobody waits for it.
struct Work(JoinHandle<Response<Body>>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The answer, or if it is not there after `silence` one that begins and goes on with white space as often.
pub(crate) async fn unhurried(
    answering: impl Future<Output = Response<Body>> + Send + 'static,
    silence: Duration,
) -> Response<Body> {
    let mut work = Work(tokio::spawn(answering));
    match timeout(silence, &mut work.0).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panicked)) => error_response(S3Error::new(S3ErrorCode::InternalError)),
        Err(_elapsed) => begun(work, silence),
    }
}

fn begun(work: Work, silence: Duration) -> Response<Body> {
    let pauses = interval_at(tokio::time::Instant::now() + silence, silence);
    let slow = Slow {
        stage: Stage::Prolog,
        work,
        pauses,
    };
    let mut response = Response::new(Body::http_body_unsync(slow));
    *response.status_mut() = StatusCode::OK;
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, xml);
    response
}

/// What is sent next.
enum Stage {
    Prolog,
    Space,
    End,
}

/// A document whose end is still worked on. If it is dropped, so is the work.
struct Slow {
    stage: Stage,
    work: Work,
    pauses: Interval,
}

impl HttpBody for Slow {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let data = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        match self.stage {
            Stage::Prolog => {
                self.stage = Stage::Space;
                data(Bytes::from_static(PROLOG.as_bytes()))
            }
            Stage::Space => match Pin::new(&mut self.work.0).poll(context) {
                Poll::Ready(answered) => {
                    self.stage = Stage::End;
                    let document = answered.map_err(StdError::from);
                    let document = document.and_then(|response| rest(&response));
                    Poll::Ready(Some(document.map(Frame::data)))
                }
                Poll::Pending => {
                    ready!(self.pauses.poll_tick(context));
                    data(Bytes::from_static(b"\n"))
                }
            },
            Stage::End => Poll::Ready(None),
        }
    }
}

/// The document of an answer without its prolog, which was sent.
fn rest(response: &Response<Body>) -> Result<Bytes, StdError> {
    let whole = response.body().bytes().filter(|bytes| !bytes.is_empty());
    let whole = whole.ok_or("an answer that was begun has no document")?;
    match whole.starts_with(PROLOG.as_bytes()) {
        true => Ok(whole.slice(PROLOG.len()..)),
        false => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::time::Duration;

    use hyper::Response;
    use hyper::body::Body as _;
    use hyper::header::HeaderValue;
    use s3s::{Body, StdError};
    use tokio::time::sleep;

    use super::unhurried;

    const SILENCE: Duration = Duration::from_secs(20);

    async fn answer(seconds: u64, text: &'static str) -> Response<Body> {
        let answering = async move {
            sleep(Duration::from_secs(seconds)).await;
            let mut response = Response::new(Body::from(text.to_owned()));
            let value = HeaderValue::from_static("v");
            response.headers_mut().insert("x-amz-version-id", value);
            response
        };
        unhurried(answering, SILENCE).await
    }

    async fn collect(response: Response<Body>) -> Result<String, StdError> {
        let mut body = response.into_body();
        let mut text = String::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let data = frame?.into_data().expect("data");
            text.push_str(std::str::from_utf8(&data)?);
        }
        Ok(text)
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_begins_and_sends_white_space_until_the_document_is_there() {
        let document = r#"<?xml version="1.0" encoding="UTF-8"?><Done/>"#;
        let check = async |seconds, text, headers, expected: &str| {
            let response = answer(seconds, text).await;
            let has = response.headers().contains_key("x-amz-version-id");
            assert_eq!(has, headers, "{seconds}");
            let text = collect(response).await.expect("a body");
            assert_eq!(text, expected, "{seconds}");
        };
        check(19, document, true, document).await;
        let begun = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        check(30, document, false, &format!("{begun}<Done/>")).await;
        check(70, document, false, &format!("{begun}\n\n<Done/>")).await;
        check(30, "<Error/>", false, &format!("{begun}<Error/>")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_document_is_not_ended_as_if_it_had() {
        let response = answer(30, "").await;
        assert!(collect(response).await.is_err());
    }
}
