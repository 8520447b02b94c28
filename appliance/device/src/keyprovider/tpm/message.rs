//! Commands and answers as whole messages.
//!
//! Invariant: nothing of an answer is used before its header, its length and, where it has one, its
//! authentication were checked, and no part of it may be left over.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::session::{Hide, Session};
use super::wire::{Malformed, Reader, Writer};
use super::{CommandCode, TpmError, TpmResult, Transact};
use crate::limits::{TPM_MESSAGE_BYTES_MAX, TPM_PAUSE_MS, TPM_RETRIES_MAX};

const TAG_PLAIN: u16 = 0x8001;
const TAG_SESSIONS: u16 = 0x8002;
const PASSWORD_SESSION: u32 = 0x4000_0009;
/// Keeps a session for the next command.
pub(super) const CONTINUE: u8 = 1;

/// The TPM is busy or wants to be asked again; nothing was done.
const LATER: [u32; 4] = [0x908, 0x90a, 0x920, 0x922];

/// A handle and the name that stands for it in what is authenticated.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) value: u32,
    pub(super) name: Vec<u8>,
}

impl Handle {
    /// A handle that is its own name: of a hierarchy or a session.
    pub(super) fn itself(value: u32) -> Handle {
        let name = value.to_be_bytes().to_vec();
        Handle { value, name }
    }
}

/// How the first handle of a command is authorised.
pub(super) enum Auth<'a> {
    /// There is nothing to authorise.
    None,
    /// By the empty password.
    Empty,
    /// By a session and the secret of what the handle stands for.
    Session {
        session: &'a mut Session,
        secret: &'a [u8],
        hide: Hide,
    },
}

/// A command in parts.
pub(super) struct Command<'a> {
    pub(super) code: CommandCode,
    pub(super) handles: &'a [&'a Handle],
    pub(super) parameters: Writer,
    /// Whether its answer begins with a handle.
    pub(super) gives_handle: bool,
}

/// What a TPM answered.
pub(super) struct Answer {
    pub(super) handle: u32,
    pub(super) parameters: Zeroizing<Vec<u8>>,
}

impl<'a> Command<'a> {
    pub(super) fn new(
        code: CommandCode,
        handles: &'a [&'a Handle],
        parameters: Writer,
    ) -> Command<'a> {
        Command {
            code,
            handles,
            parameters,
            gives_handle: false,
        }
    }

    pub(super) fn giving_handle(self) -> Command<'a> {
        Command {
            gives_handle: true,
            ..self
        }
    }

    /// Sends it and takes the answer apart.
    pub(super) fn run(mut self, tpm: &mut dyn Transact, mut auth: Auth<'_>) -> TpmResult<Answer> {
        let authorisation = self.authorise(&mut auth)?;
        let message = self.encode(authorisation.as_ref());
        let answer = send(tpm, self.code, message.as_slice())?;
        let parse = |answer| parse(answer, authorisation.is_some(), self.gives_handle);
        let malformed = |_: Malformed| TpmError::Malformed { command: self.code };
        let (handle, parameters, trailer) = parse(&answer).map_err(malformed)?;
        let mut parameters = Zeroizing::new(parameters.to_vec());
        match auth {
            Auth::None => {}
            Auth::Empty => empty_trailer(trailer).map_err(malformed)?,
            Auth::Session {
                session,
                secret,
                hide,
            } => session.check(self.code, secret, hide, &mut parameters, trailer)?,
        }
        Ok(Answer { handle, parameters })
    }

    fn authorise(&mut self, auth: &mut Auth<'_>) -> TpmResult<Option<Writer>> {
        match auth {
            Auth::None => Ok(None),
            Auth::Empty => {
                let password = Writer::new().u32(PASSWORD_SESSION).sized(&[]).u8(CONTINUE);
                Ok(Some(password.sized(&[])))
            }
            Auth::Session {
                session,
                secret,
                hide,
            } => {
                session.new_nonce()?;
                if *hide == Hide::Command {
                    session.hide_first(secret, self.parameters.as_mut_slice());
                }
                let mut digest = Sha256::new();
                digest.update(self.code.value().to_be_bytes());
                for handle in self.handles {
                    digest.update(&handle.name);
                }
                digest.update(self.parameters.as_slice());
                Ok(Some(session.authorise(&digest.finalize(), secret, *hide)))
            }
        }
    }

    fn encode(&self, authorisation: Option<&Writer>) -> Writer {
        let mut body = Writer::new();
        for handle in self.handles {
            body = body.u32(handle.value);
        }
        if let Some(authorisation) = authorisation {
            body = body
                .u32(length(authorisation.as_slice().len()))
                .bytes(authorisation.as_slice());
        }
        body = body.bytes(self.parameters.as_slice());
        let tag = authorisation.map_or(TAG_PLAIN, |_| TAG_SESSIONS);
        Writer::new()
            .u16(tag)
            .u32(length(HEADER_BYTES + body.as_slice().len()))
            .u32(self.code.value())
            .bytes(body.as_slice())
    }
}

/// Tag, length and code.
pub(crate) const HEADER_BYTES: usize = 10;

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("commands are short")
}

/// Sends a message until the TPM does not say "later" any more.
fn send(
    tpm: &mut dyn Transact,
    command: CommandCode,
    message: &[u8],
) -> TpmResult<Zeroizing<Vec<u8>>> {
    let mut tries = 0;
    loop {
        let answer = Zeroizing::new(tpm.transact(message)?);
        let code = response_code(&answer).map_err(|_| TpmError::Malformed { command })?;
        if code == 0 {
            return Ok(answer);
        }
        if !LATER.contains(&code) || tries == TPM_RETRIES_MAX {
            return Err(TpmError::Refused { command, code });
        }
        tries += 1;
        std::thread::sleep(std::time::Duration::from_millis(TPM_PAUSE_MS));
    }
}

fn response_code(answer: &[u8]) -> Result<u32, Malformed> {
    if answer.len() > TPM_MESSAGE_BYTES_MAX {
        return Err(Malformed);
    }
    let mut reader = Reader::new(answer);
    let _tag = reader.u16()?;
    let total = reader.u32()?;
    if usize::try_from(total) != Ok(answer.len()) {
        return Err(Malformed);
    }
    reader.u32()
}

/// Takes a successful answer apart: handle, parameters, authorisation.
pub(super) fn parse(
    answer: &[u8],
    sessions: bool,
    gives_handle: bool,
) -> Result<(u32, &[u8], &[u8]), Malformed> {
    if response_code(answer)? != 0 {
        return Err(Malformed);
    }
    let mut reader = Reader::new(answer);
    let tag = reader.u16()?;
    let expected = if sessions { TAG_SESSIONS } else { TAG_PLAIN };
    if tag != expected {
        return Err(Malformed);
    }
    reader.take(HEADER_BYTES - 2)?;
    let handle = if gives_handle { reader.u32()? } else { 0 };
    if sessions {
        let parameters = reader.sized_32()?;
        Ok((handle, parameters, reader.rest()))
    } else {
        Ok((handle, reader.rest(), &[]))
    }
}

/// The authorisation of an answer to a command with the empty password.
pub(super) fn empty_trailer(trailer: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(trailer);
    let nonce = reader.sized()?;
    let _attributes = reader.u8()?;
    let mac = reader.sized()?;
    reader.finish()?;
    if nonce.is_empty() && mac.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}
