//! The TCP connection under TLS: a read buffer that is as large as the traffic deserves, and a bound on
//! how slowly a client may take what is sent.
//!
//! Thousands of connections that do nothing must cost next to nothing, while an upload is read in large
//! pieces, so the buffer starts small, doubles while it is filled at once, and shrinks when it is not.
//! A client that does not take a download holds memory that others wait for, so a connection on which
//! too little leaves for too long is cut off.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{
    SOCKET_BUFFER_BYTES, SOCKET_BUFFER_BYTES_MIN, WRITE_WINDOW_BYTES_MIN, WRITE_WINDOW_MS,
};

/// A connection with these two habits over another stream.
pub(crate) struct Paced<S> {
    stream: S,
    read: Growing,
    write: Window,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            read: Growing::default(),
            write: Window::default(),
        }
    }
}

/// Bytes that were read and not yet taken.
#[derive(Default)]
struct Growing {
    bytes: Vec<u8>,
    taken: usize,
    filled: usize,
    /// Size of the next buffer; 0 before the first.
    next: usize,
}

impl Growing {
    fn left(&self) -> &[u8] {
        self.bytes.get(self.taken..self.filled).unwrap_or_default()
    }

    fn poll_fill(
        &mut self,
        stream: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.next.max(SOCKET_BUFFER_BYTES_MIN);
        if self.bytes.len() != size {
            self.bytes = vec![0; size];
        }
        (self.taken, self.filled) = (0, 0);
        let mut buffer = ReadBuf::new(&mut self.bytes);
        let polled = stream.poll_read(cx, &mut buffer);
        self.filled = buffer.filled().len();
        match &polled {
            Poll::Pending => {
                // Nothing comes at the moment: whoever waits, waits with little.
                self.bytes = Vec::new();
                self.next = 0;
            }
            Poll::Ready(_) if self.filled == size => {
                self.next = (size * 2).min(SOCKET_BUFFER_BYTES);
            }
            Poll::Ready(_) => self.next = size,
        }
        polled
    }
}

/// How much left within the time since the socket last took everything at once.
#[derive(Default)]
struct Window {
    over: Option<Pin<Box<Sleep>>>,
    bytes: usize,
}

impl Window {
    /// Notes the outcome of a write.
    fn note(&mut self, polled: &Poll<io::Result<usize>>, cx: &mut Context<'_>) -> io::Result<()> {
        match polled {
            Poll::Ready(Ok(bytes)) => self.bytes = self.bytes.saturating_add(*bytes),
            Poll::Ready(Err(_)) => return Ok(()),
            Poll::Pending => {
                let window = Duration::from_millis(WRITE_WINDOW_MS);
                let over = self
                    .over
                    .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + window)));
                if over.as_mut().poll(cx).is_ready() {
                    return self.turn(over_again(window), cx);
                }
                return Ok(());
            }
        }
        if self.bytes >= WRITE_WINDOW_BYTES_MIN {
            self.bytes = 0;
            self.over = None;
        }
        Ok(())
    }

    /// The window is over: enough must have left in it.
    fn turn(&mut self, next: Pin<Box<Sleep>>, cx: &mut Context<'_>) -> io::Result<()> {
        if self.bytes < WRITE_WINDOW_BYTES_MIN {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.bytes = 0;
        let over = self.over.insert(next);
        // Registers for the wake-up; a window that just began is not over.
        let _pending = over.as_mut().poll(cx);
        Ok(())
    }
}

fn over_again(window: Duration) -> Pin<Box<Sleep>> {
    Box::pin(sleep_until(Instant::now() + window))
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.left().is_empty() {
            ready!(this.read.poll_fill(Pin::new(&mut this.stream), cx))?;
        }
        let left = this.read.left();
        let taken = left.len().min(into.remaining());
        into.put_slice(&left[..taken]);
        this.read.taken += taken;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.write.note(&polled, cx)?;
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.write.note(&polled, cx)?;
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_buffer_grows_with_the_traffic_and_goes_when_there_is_none() {
        let (mut far, near) = duplex(4 * SOCKET_BUFFER_BYTES);
        let mut paced = Paced::new(near);
        let sent: Vec<u8> = (0..3 * SOCKET_BUFFER_BYTES)
            .map(|at| u8::try_from(at % 251).unwrap_or(0))
            .collect();
        far.write_all(&sent).await.expect("sent");
        let mut seen = vec![0; sent.len()];
        paced.read_exact(&mut seen).await.expect("read");
        assert!(seen == sent);
        assert_eq!(paced.read.bytes.len(), SOCKET_BUFFER_BYTES);
        let mut byte = [0];
        let waiting = tokio::time::timeout(Duration::ZERO, paced.read(&mut byte)).await;
        assert!(waiting.is_err());
        assert_eq!(paced.read.bytes.len(), 0);
        far.write_all(b"x").await.expect("sent");
        paced.read_exact(&mut byte).await.expect("read");
        assert_eq!(
            (byte, paced.read.bytes.len()),
            (*b"x", SOCKET_BUFFER_BYTES_MIN)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_cut_off_and_whoever_takes_slowly_is_not() {
        let (far, near) = duplex(1024);
        let mut paced = Paced::new(near);
        let cut = paced.write_all(&vec![0; 4096]).await;
        assert_eq!(
            cut.map_err(|error| error.kind()),
            Err(io::ErrorKind::TimedOut)
        );
        drop(far);

        let (mut far, near) = duplex(1024);
        let mut paced = Paced::new(near);
        let bytes = 8 * WRITE_WINDOW_BYTES_MIN;
        let reader = tokio::spawn(async move {
            let mut taken = 0;
            let mut part = vec![0; WRITE_WINDOW_BYTES_MIN];
            while taken < bytes {
                tokio::time::sleep(Duration::from_millis(WRITE_WINDOW_MS / 2)).await;
                far.read_exact(&mut part).await.expect("read");
                taken += part.len();
            }
        });
        paced
            .write_all(&vec![0; bytes])
            .await
            .expect("slow is fine");
        reader.await.expect("all taken");
    }
}
