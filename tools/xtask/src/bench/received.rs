//! Content taken out of a TLS 1.3 connection with nothing around it: what rustls and the system's sockets cost alone.
//!
//! Records are opened where they were read, and nobody looks at what is in them.

use super::bare::{certificate, panicked};
use super::primitives::{Clock, MESSAGE_BYTES, MESSAGES};
use super::{Sample, primitives::RECEIVED_BYTES};
use crate::failure::{Failure, Outcome};
use crate::s3;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, ClientConnection, ServerConfig, StreamOwned};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// What a record of TLS 1.3 takes at most beside what was read of the next one.
const RECORD_ROOM_BYTES: usize = 32 << 10;

/// Receiving and opening, with reads of 256 KiB; the other end is another thread.
pub fn tls_rate(directory: &Path) -> Outcome<Sample> {
    let bundle = directory.join("received.pem");
    let config = certificate(&bundle)?;
    let trusting = s3::tls(&bundle)?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || send(address, trusting));
    let (socket, _) = listener.accept()?;
    let mut receiver = Receiver::new(config, socket)?;
    // The handshake, and what comes right behind it.
    receiver.take(0)?;
    let mut clock = Clock::default();
    clock.run(|| receiver.take(MESSAGE_BYTES * usize::try_from(MESSAGES).unwrap_or(0)))?;
    drop(receiver);
    sender.join().map_err(|_| panicked())??;
    Ok(clock.sample())
}

/// The other end.
fn send(address: SocketAddr, config: Arc<ClientConfig>) -> Outcome {
    let bad = |error: &dyn std::fmt::Display| Failure::new(format!("no TLS: {error}"));
    let name = ServerName::try_from("localhost").map_err(|error| bad(&error))?;
    let session = ClientConnection::new(config, name).map_err(|error| bad(&error))?;
    let mut stream = StreamOwned::new(session, TcpStream::connect(address)?);
    let message = vec![7; MESSAGE_BYTES];
    (0..MESSAGES).try_for_each(|_| stream.write_all(&message))?;
    // A socket that is closed with something unread takes back what it sent: the session tickets are read first.
    while stream.sock.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

/// The end that is measured.
struct Receiver {
    session: UnbufferedServerConnection,
    socket: TcpStream,
    incoming: Vec<u8>,
    /// Of that, what was read and not yet opened.
    start: usize,
    filled: usize,
    outgoing: Vec<u8>,
    /// Bytes of content so far.
    taken: usize,
}

impl Receiver {
    fn new(config: Arc<ServerConfig>, socket: TcpStream) -> Outcome<Receiver> {
        let session = UnbufferedServerConnection::new(config);
        Ok(Receiver {
            session: session.map_err(|error| Failure::new(format!("no TLS: {error}")))?,
            socket,
            incoming: vec![0; RECEIVED_BYTES + RECORD_ROOM_BYTES],
            start: 0,
            filled: 0,
            outgoing: Vec::new(),
            taken: 0,
        })
    }

    /// Goes on until the handshake is done and so many bytes of content came since the beginning.
    fn take(&mut self, wanted: usize) -> Outcome {
        let broken = |error: &dyn std::fmt::Display| Failure::new(format!("TLS broke: {error}"));
        loop {
            let ready = &mut self.incoming[self.start..self.filled];
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(ready);
            let mut more = false;
            match state.map_err(|error| broken(&error))? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| broken(&error))?;
                        discard += record.discard;
                        self.taken += black_box(record.payload).len();
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = self.outgoing.len();
                    self.outgoing.resize(start + RECORD_ROOM_BYTES, 0);
                    let encoded = data.encode(&mut self.outgoing[start..]);
                    let encoded = encoded.map_err(|error: EncodeError| broken(&error))?;
                    self.outgoing.truncate(start + encoded);
                }
                ConnectionState::TransmitTlsData(data) => {
                    self.socket.write_all(&self.outgoing)?;
                    self.outgoing.clear();
                    data.done();
                }
                ConnectionState::WriteTraffic(_) if self.taken >= wanted => return Ok(()),
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => more = true,
                other => return Err(broken(&format!("{other:?}"))),
            }
            self.start += discard;
            if more {
                self.fill()?;
            }
        }
    }

    /// Reads behind the beginning of a record, at most.
    fn fill(&mut self) -> Outcome {
        self.incoming.copy_within(self.start..self.filled, 0);
        (self.start, self.filled) = (0, self.filled - self.start);
        let end = (self.filled + RECEIVED_BYTES).min(self.incoming.len());
        let read = self.socket.read(&mut self.incoming[self.filled..end])?;
        if read == 0 {
            return Err(Failure::new("the sender left"));
        }
        self.filled += read;
        Ok(())
    }
}
