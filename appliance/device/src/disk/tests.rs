use super::{DiskError, Op, OpId, OpKind};
use crate::buffer::BufferMut;
use crate::disk::{BlockingDisk, Disk};
use crate::sim::disk::SimDiskHandle;

#[test]
fn operations_are_checked_before_anything_happens() {
    let check = |op: Op| op.check(8192);
    let data = BufferMut::zeroed(4096).freeze();
    assert_eq!(
        check(Op::Read {
            offset: 4096,
            bytes: 4096
        }),
        Ok(())
    );
    assert_eq!(
        check(Op::Read {
            offset: 4096,
            bytes: 8192
        }),
        Err(DiskError::OutOfRange)
    );
    assert_eq!(
        check(Op::Read {
            offset: 4096,
            bytes: 4097
        }),
        Err(DiskError::Misaligned)
    );
    assert_eq!(
        check(Op::Read {
            offset: 0,
            bytes: usize::MAX
        }),
        Err(DiskError::Misaligned)
    );
    assert_eq!(
        check(Op::Write {
            offset: 4095,
            data: data.clone()
        }),
        Err(DiskError::Misaligned)
    );
    assert_eq!(
        check(Op::WriteDurable { offset: 8192, data }),
        Err(DiskError::OutOfRange)
    );
    assert_eq!(
        check(Op::Discard {
            offset: 0,
            bytes: 8192
        }),
        Ok(())
    );
    let wraps = Op::Discard {
        offset: u64::MAX - 4095,
        bytes: 4096,
    };
    assert_eq!(check(wraps), Err(DiskError::OutOfRange));
    assert_eq!(check(Op::Flush), Ok(()));
}

#[test]
fn errors_read_well() {
    let error = DiskError::Io {
        errno: nix::libc::EIO,
        op: OpKind::Read,
    };
    assert_eq!(error.to_string(), "read failed: I/O error");
    assert_eq!(
        DiskError::Misaligned.to_string(),
        "access is not aligned to 4096 bytes"
    );
}

#[test]
fn operations_do_not_show_their_content() {
    let op = Op::Write {
        offset: 0,
        data: BufferMut::padded(b"secret").freeze(),
    };
    assert_eq!(
        format!("{op:?}"),
        "Write { offset: 0, data: Buffer(4096 bytes) }"
    );
}

#[test]
#[should_panic(expected = "a blocking call beside 1 others")]
fn a_blocking_call_beside_others_is_a_programming_error() {
    let mut disk = SimDiskHandle::new(8192, 1).open();
    disk.submit(OpId(1), Op::Flush);
    disk.flush().expect("never gets here");
}
