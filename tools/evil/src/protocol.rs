//! The numbers of the NBD protocol (fixed newstyle), and big-endian reading.

use std::io::{self, Read};

pub const SERVER_MAGIC: u64 = 0x4e42_444d_4147_4943;
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
pub const REPLY_MAGIC: u32 = 0x6744_6698;

/// Fixed newstyle; no zeros after the export.
pub const HANDSHAKE_FLAGS: u16 = 3;
pub const NO_ZEROES: u32 = 2;
/// Has flags, takes flushes, FUA and trims.
pub const EXPORT_FLAGS: u16 = 1 | 4 | 8 | 32;

pub const OPT_EXPORT_NAME: u32 = 1;
pub const OPT_ABORT: u32 = 2;
pub const OPT_INFO: u32 = 6;
pub const OPT_GO: u32 = 7;
pub const REP_ACK: u32 = 1;
pub const REP_INFO: u32 = 3;
pub const REP_UNSUPPORTED: u32 = 0x8000_0001;
pub const INFO_EXPORT: u16 = 0;
pub const INFO_BLOCK_SIZE: u16 = 3;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISCONNECT: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const FUA: u16 = 1;

pub const EIO: u32 = 5;
pub const EINVAL: u32 = 22;

/// Longest option that is read, bytes.
pub const OPTION_BYTES_MAX: u32 = 4096;
/// Longest read or write, bytes.
pub const TRANSFER_BYTES_MAX: u32 = 32 << 20;

/// So many bytes.
pub fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A number of four bytes.
pub fn take_u32(from: &mut impl Read) -> io::Result<u32> {
    take(from).map(u32::from_be_bytes)
}

/// A number of eight bytes.
pub fn take_u64(from: &mut impl Read) -> io::Result<u64> {
    take(from).map(u64::from_be_bytes)
}

/// The peer does not speak this protocol.
pub fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
