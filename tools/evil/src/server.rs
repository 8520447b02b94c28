//! One NBD connection to an evil disk: the handshake, then one request after the other.

use std::io::{self, Read, Write};

use stele_device::disk::DiskError;
use stele_device::evil::{Cache, Owner};
use stele_device::limits::BLOCK_BYTES;

use crate::protocol::{
    DISCONNECT, EINVAL, EIO, EXPORT_FLAGS, FLUSH, FUA, HANDSHAKE_FLAGS, INFO_BLOCK_SIZE,
    INFO_EXPORT, NO_ZEROES, OPT_ABORT, OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPTION_BYTES_MAX,
    OPTION_MAGIC, OPTION_REPLY_MAGIC, READ, REP_ACK, REP_INFO, REP_UNSUPPORTED, REPLY_MAGIC,
    REQUEST_MAGIC, SERVER_MAGIC, TRANSFER_BYTES_MAX, TRIM, WRITE, nonsense, take, take_u32,
    take_u64,
};

/// Serves one client until it leaves.
///
/// # Errors
/// That the connection broke or the client talks nonsense.
pub fn serve(mut stream: impl Read + Write, cache: &Cache) -> io::Result<()> {
    if !handshake(&mut stream, cache.len())? {
        return Ok(());
    }
    let owner = cache.owner();
    let served = requests(&mut stream, cache, owner);
    cache.close(owner);
    served
}

/// True when the client goes on to requests.
fn handshake(stream: &mut (impl Read + Write), bytes: u64) -> io::Result<bool> {
    stream.write_all(&SERVER_MAGIC.to_be_bytes())?;
    stream.write_all(&OPTION_MAGIC.to_be_bytes())?;
    stream.write_all(&HANDSHAKE_FLAGS.to_be_bytes())?;
    let client_flags = take_u32(stream)?;
    loop {
        if take_u64(stream)? != OPTION_MAGIC {
            return Err(nonsense("no option"));
        }
        let (option, length) = (take_u32(stream)?, take_u32(stream)?);
        if length > OPTION_BYTES_MAX {
            return Err(nonsense("a long option"));
        }
        io::copy(&mut stream.take(u64::from(length)), &mut io::sink())?;
        match option {
            OPT_EXPORT_NAME => {
                stream.write_all(&bytes.to_be_bytes())?;
                stream.write_all(&EXPORT_FLAGS.to_be_bytes())?;
                if client_flags & NO_ZEROES == 0 {
                    stream.write_all(&[0; 124])?;
                }
                return Ok(true);
            }
            OPT_ABORT => {
                reply(stream, option, REP_ACK, &[])?;
                return Ok(false);
            }
            OPT_INFO | OPT_GO => {
                inform(stream, option, bytes)?;
                if option == OPT_GO {
                    return Ok(true);
                }
            }
            _ => reply(stream, option, REP_UNSUPPORTED, &[])?,
        }
    }
}

fn inform(stream: &mut impl Write, option: u32, bytes: u64) -> io::Result<()> {
    let mut export = INFO_EXPORT.to_be_bytes().to_vec();
    export.extend(bytes.to_be_bytes());
    export.extend(EXPORT_FLAGS.to_be_bytes());
    reply(stream, option, REP_INFO, &export)?;
    let block = u32::try_from(BLOCK_BYTES).map_err(|_| nonsense("block"))?;
    let mut sizes = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
    for size in [block, block, TRANSFER_BYTES_MAX] {
        sizes.extend(size.to_be_bytes());
    }
    reply(stream, option, REP_INFO, &sizes)?;
    reply(stream, option, REP_ACK, &[])
}

fn reply(stream: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).map_err(|_| nonsense("a long reply"))?;
    stream.write_all(&OPTION_REPLY_MAGIC.to_be_bytes())?;
    for number in [option, kind, length] {
        stream.write_all(&number.to_be_bytes())?;
    }
    stream.write_all(data)
}

fn requests(stream: &mut (impl Read + Write), cache: &Cache, owner: Owner) -> io::Result<()> {
    loop {
        if take_u32(stream)? != REQUEST_MAGIC {
            return Err(nonsense("no request"));
        }
        let flags = u16::from_be_bytes(take(stream)?);
        let kind = u16::from_be_bytes(take(stream)?);
        let (cookie, offset, length) = (take_u64(stream)?, take_u64(stream)?, take_u32(stream)?);
        if kind == DISCONNECT {
            return Ok(());
        }
        let transfers = matches!(kind, READ | WRITE);
        if transfers && length > TRANSFER_BYTES_MAX {
            return Err(nonsense("a long transfer"));
        }
        let mut data = Vec::new();
        if transfers {
            data.resize(
                usize::try_from(length).map_err(|_| nonsense("a length"))?,
                0,
            );
        }
        if kind == WRITE {
            stream.read_exact(&mut data)?;
        }
        let durable = flags & FUA != 0;
        let answer = match kind {
            READ => cache.read(offset, &mut data).map(|()| None),
            WRITE => cache.write(owner, offset, &data).map(Some),
            TRIM => cache.discard(owner, offset, u64::from(length)).map(Some),
            FLUSH => cache.flush(owner, cache.moment(), &[]).map(|()| None),
            _ => Err(DiskError::Misaligned),
        };
        let answer = answer.and_then(|write| {
            if let (true, Some(id)) = (durable, write) {
                cache.flush(owner, cache.moment(), &[id])?;
            }
            Ok(write)
        });
        let error = match answer {
            Ok(write) => {
                // The client hears of it only after this, so no flush of its can come earlier.
                cache.handed_out(write);
                0
            }
            Err(DiskError::Misaligned | DiskError::OutOfRange) => EINVAL,
            Err(_) => EIO,
        };
        let mut head = REPLY_MAGIC.to_be_bytes().to_vec();
        head.extend(error.to_be_bytes());
        head.extend(cookie.to_be_bytes());
        stream.write_all(&head)?;
        if kind == READ && error == 0 {
            stream.write_all(&data)?;
        }
    }
}
