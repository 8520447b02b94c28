//! Open files handed to another process over a Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Files of one handover: the listening socket and the shared memory.
const FILES: usize = 2;

/// Hands over copies of both files.
///
/// # Errors
/// What the kernel says.
pub fn send(socket: impl AsFd, files: [BorrowedFd<'_>; FILES]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(
        socket,
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Takes both files over.
///
/// # Errors
/// What the kernel says, or `InvalidData` when something else arrives.
pub fn receive(socket: impl AsFd) -> io::Result<[OwnedFd; FILES]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            files.extend(more);
        }
    }
    files
        .try_into()
        .map_err(|_files| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn files_arrive_in_order_and_nothing_else_is_taken_for_them() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let (mut first, first_end) = UnixStream::pair().expect("a pair");
        let (mut second, second_end) = UnixStream::pair().expect("a pair");
        send(&here, [first_end.as_fd(), second_end.as_fd()]).expect("sent");
        let [one, two] = receive(&there).expect("received");
        let mut seen = [0];
        UnixStream::from(one).write_all(b"1").expect("written");
        first.read_exact(&mut seen).expect("read");
        assert_eq!(&seen, b"1");
        UnixStream::from(two).write_all(b"2").expect("written");
        second.read_exact(&mut seen).expect("read");
        assert_eq!(&seen, b"2");
        (&here).write_all(b"x").expect("written");
        assert!(receive(&there).is_err());
    }
}
