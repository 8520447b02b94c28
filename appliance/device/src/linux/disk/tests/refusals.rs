//! What a disk does when the kernel does less than was asked for, or nothing.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;

use nix::libc;

use super::{backends, cached, create, over, paths};
use crate::buffer::{BufferMut, Pool};
use crate::disk::{BlockingDisk, Disk, DiskError, Op, OpId, OpKind, no_waker};
use crate::linux::disk::{FileDisk, OpenMode, Wishes};

#[test]
fn a_disk_opened_for_reading_refuses_writes() {
    let (_directory, mut path) = paths();
    let path = path();
    let mut writer = create(&path, 1 << 20, &Wishes::default());
    writer
        .write_at(0, BufferMut::padded(b"seen").freeze())
        .expect("write");
    for wishes in backends() {
        let reader = FileDisk::open_as(&path, OpenMode::ReadOnly, &wishes, no_waker());
        let mut reader = reader.expect("open");
        assert!(reader.read_at(0, 4096).expect("read").starts_with(b"seen"));
        let error = reader.write_at(0, BufferMut::zeroed(4096).freeze());
        assert_eq!(error, Err(io(libc::EBADF, OpKind::Write)));
        assert!(writer.read_at(0, 4096).expect("read").starts_with(b"seen"));
    }
}

fn io(errno: i32, op: OpKind) -> DiskError {
    DiskError::Io { errno, op }
}

#[test]
fn a_disk_that_shrank_gives_errors_and_no_bytes() {
    let (_directory, mut path) = paths();
    for mut wishes in backends() {
        let pool = Pool::new(64 << 10, 1);
        wishes.read_pool = Some(pool.clone());
        for direct in [true, false] {
            let path = path();
            let mut disk = create(&path, 1 << 20, &wishes);
            if !direct {
                disk = over(cached(&path), 1 << 20, &wishes);
            }
            let shrunk = OpenOptions::new().write(true).open(&path).expect("open");
            shrunk.set_len(6000).expect("shrink");
            let expected = io(libc::EIO, OpKind::Read);
            for (offset, bytes) in [(4096, 4096), (8192, 4096), (0, 8192), (0, 64 << 10)] {
                let error = disk.read_at(offset, bytes).err();
                assert_eq!(error, Some(expected), "{bytes} at {offset}");
            }
            assert!(disk.read_at(0, 4096).is_ok());
            assert_eq!(pool.in_use(), 0);
        }
    }
}

/// `/dev/null` takes writes and refuses to sync.
#[test]
fn after_a_failed_flush_no_write_and_no_flush_is_believed() {
    for wishes in backends() {
        let mut disk = over(cached(Path::new("/dev/null")), 1 << 20, &wishes);
        let data = || BufferMut::zeroed(4096).freeze();
        assert_eq!(disk.write_at(0, data()), Ok(()));
        let failure = Err(io(libc::EINVAL, OpKind::Flush));
        assert_eq!(disk.flush(), failure);
        assert_eq!(disk.flush(), failure);
        assert_eq!(disk.write_at(0, data()), failure);
        assert_eq!(disk.write_durable_at(0, data()), failure);
        assert_eq!(disk.discard_at(0, 4096), failure);
        // More than fit into a ring at once.
        for number in 0..50 {
            let (offset, data) = (0, data());
            disk.submit(OpId(number), Op::Write { offset, data });
        }
        let mut done = Vec::new();
        while disk.in_flight() > 0 {
            disk.wait(&mut done);
        }
        assert_eq!(done.len(), 50);
        assert!(
            done.iter()
                .all(|done| done.result.as_ref().err() == failure.as_ref().err())
        );
        // Nothing comes from there, but reads are still tried.
        let read = disk.read_at(0, 4096).err();
        assert_eq!(read, Some(io(libc::EIO, OpKind::Read)));
    }
}

#[test]
fn a_full_device_is_full() {
    for wishes in backends() {
        let mut disk = over(cached(Path::new("/dev/full")), 1 << 20, &wishes);
        let data = BufferMut::zeroed(8192).freeze();
        assert_eq!(disk.write_at(0, data.clone()), Err(DiskError::Full));
        assert_eq!(disk.write_durable_at(0, data), Err(DiskError::Full));
    }
}

/// Where and as what the test below runs once more, in another process.
const DIRECTORY: &str = "STELE_TEST_DIRECTORY";
const ERROR: &str = "STELE_TEST_ERROR";

#[test]
fn a_write_that_fits_in_part_is_an_error() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let expected = match std::env::var(ERROR).expect("an error").as_str() {
            "full" => DiskError::Full,
            _ => io(libc::EFBIG, OpKind::Write),
        };
        return short_write(Path::new(&directory), expected);
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    // Who may not write much may not make a long file either.
    for number in 0..2 {
        let file = cached(&directory.path().join(format!("{number}.disk")));
        file.set_len(1 << 20).expect("length");
    }
    let cases: [(&[&str], &str, &str); 2] = [
        // In units of 512 or 1024 bytes.
        (&["sh"], "trap '' XFSZ && ulimit -f 256", "too long"),
        (
            &["unshare", "--mount", "sh"],
            "mount -t tmpfs -o size=256k none \"$1\"",
            "full",
        ),
    ];
    for (shell, line, error) in cases {
        if !run_behind(shell, line, error, directory.path()) {
            println!("SKIPPED: `{line}` is denied");
        }
    }
}

/// Runs the test above once more, behind a line of shell that gets the directory as `$1`. False
/// when the line itself fails.
fn run_behind(shell: &[&str], line: &str, error: &str, directory: &Path) -> bool {
    let module = module_path!().split_once("::").expect("a crate").1;
    let test = format!("{module}::a_write_that_fits_in_part_is_an_error");
    let script = format!("{{ {line}; }} || exit 77; shift; exec \"$@\"");
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", &script, "sh"]);
    command.arg(directory);
    command.arg(std::env::current_exe().expect("this program"));
    command.args([&test, "--exact", "--nocapture"]);
    command.env(DIRECTORY, directory).env(ERROR, error);
    let Ok(output) = command.output() else {
        return false;
    };
    let text =
        [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned());
    let text = text.concat();
    if !text.contains("running 1 test") {
        return false;
    }
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    true
}

/// Writes something of which only the first part fits.
fn short_write(directory: &Path, expected: DiskError) {
    for (number, wishes) in backends().into_iter().enumerate() {
        let path = directory.join(format!("{number}.disk"));
        let mode = if path.exists() {
            OpenMode::Write
        } else {
            OpenMode::Create { bytes: 1 << 20 }
        };
        let mut disk = FileDisk::open_as(&path, mode, &wishes, no_waker()).expect("open");
        let mut data = BufferMut::zeroed(512 << 10);
        data.fill(7);
        assert_eq!(disk.write_at(0, data.freeze()), Err(expected));
        let start = disk.read_at(0, 64 << 10).expect("read");
        assert!(start.iter().all(|byte| *byte == 7), "the part that fits");
        drop(disk);
        // The next one needs the room.
        std::fs::remove_file(&path).expect("remove");
    }
}
