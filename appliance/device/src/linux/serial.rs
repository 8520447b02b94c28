//! What sysfs tells of the drive behind a block device: its serial number, as it is printed on its label, and whether
//! it writes through its cache.
//!
//! Linux shows it in sysfs, at a place that depends on the driver: `serial` (virtio), `device/serial` (NVMe, MMC),
//! `device/vpd_pg80` (SCSI and SATA: the Unit Serial Number page of SPC-4, 7.8.16), else at least `device/wwid`.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes of a serial that is shown.
const SERIAL_BYTES_MAX: usize = 64;
/// Bytes before the serial in the page.
const PAGE_HEADER_BYTES: usize = 4;

/// The serial of the drive; none for a file, or where the kernel does not tell.
pub(crate) fn serial_of(file: &File) -> Option<String> {
    serial_by(&file.metadata().ok()?)
}

/// The serial of the drive that a path leads to, which is not opened for that.
#[must_use]
pub fn serial_of_path(path: &Path) -> Option<String> {
    serial_by(&std::fs::metadata(path).ok()?)
}

/// Whether the kernel must flush a cache of the drive for what was written to last; false for a file, or where the
/// kernel does not tell. A drive that keeps its cache without power says it has none.
///
/// Source: Linux, Documentation/block/writeback_cache_control.rst.
pub(crate) fn has_write_cache(file: &File) -> bool {
    let directory = file.metadata().ok().and_then(|of| directory_of(&of));
    directory.is_some_and(|base| has_write_cache_at(&base))
}

fn has_write_cache_at(base: &Path) -> bool {
    [base.to_owned(), base.join("..")].iter().any(|of| {
        std::fs::read(of.join("queue/write_cache"))
            .is_ok_and(|said| said.trim_ascii() == b"write back")
    })
}

fn serial_by(metadata: &Metadata) -> Option<String> {
    serial_at(&directory_of(metadata)?)
}

fn directory_of(metadata: &Metadata) -> Option<PathBuf> {
    if !metadata.file_type().is_block_device() {
        return None;
    }
    let device = metadata.rdev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    Some(PathBuf::from(format!("/sys/dev/block/{major}:{minor}")))
}

/// The serial that a device's directory in sysfs tells. A partition has none of its own; its parent has.
fn serial_at(base: &Path) -> Option<String> {
    [base.to_owned(), base.join("..")].iter().find_map(|of| {
        let plain = |name: &str| shown(&std::fs::read(of.join(name)).ok()?);
        let page = || {
            let page = std::fs::read(of.join("device/vpd_pg80")).ok()?;
            shown(page.get(PAGE_HEADER_BYTES..)?)
        };
        plain("serial")
            .or_else(|| plain("device/serial"))
            .or_else(page)
            .or_else(|| plain("device/wwid"))
    })
}

/// What can be shown in one line: drives have given all sorts of bytes.
fn shown(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let fine = !text.is_empty()
        && text.len() <= SERIAL_BYTES_MAX
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    fine.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{has_write_cache_at, serial_at, shown};

    #[test]
    fn a_cache_is_one_that_is_written_back() {
        let sysfs = tempfile::tempdir().expect("a directory");
        let partition = sysfs.path().join("part1");
        std::fs::create_dir_all(sysfs.path().join("queue")).expect("made");
        std::fs::create_dir_all(&partition).expect("made");
        assert!(!has_write_cache_at(&partition));
        for (said, expected) in [
            ("write back\n", true),
            ("write through\n", false),
            ("", false),
        ] {
            std::fs::write(sysfs.path().join("queue/write_cache"), said).expect("written");
            assert_eq!(has_write_cache_at(sysfs.path()), expected, "{said}");
            assert_eq!(has_write_cache_at(&partition), expected, "{said}");
        }
    }

    #[test]
    fn each_driver_has_its_place_and_a_partition_is_of_its_drive() {
        let sysfs = tempfile::tempdir().expect("a directory");
        let disk = sysfs.path().join("disk");
        let partition = disk.join("part1");
        std::fs::create_dir_all(disk.join("device")).expect("made");
        std::fs::create_dir_all(&partition).expect("made");
        let check = |expected: Option<&str>| {
            let expected = expected.map(str::to_owned);
            assert_eq!(serial_at(&disk), expected);
            assert_eq!(serial_at(&partition), expected);
        };
        check(None);
        // From the last to be asked to the first.
        for (name, bytes, expected) in [
            (
                "device/wwid",
                &b"naa.5000c500a1b2c3d4\n"[..],
                "naa.5000c500a1b2c3d4",
            ),
            (
                "device/vpd_pg80",
                b"\x00\x80\x00\x0c    ZA1B2C3D",
                "ZA1B2C3D",
            ),
            ("device/serial", b"S4EWNX0R  \n", "S4EWNX0R"),
            ("serial", b"disk-7\0\0", "disk-7"),
        ] {
            std::fs::write(disk.join(name), bytes).expect("written");
            check(Some(expected));
        }
    }

    #[test]
    fn what_is_no_text_of_one_line_is_not_shown() {
        for bytes in [
            &b""[..],
            b"  \n",
            b"a\nb",
            b"\xff\xfe",
            b"a\x1b[31m",
            &[b'a'; 65],
        ] {
            assert_eq!(shown(bytes), None, "{bytes:?}");
        }
        assert_eq!(shown(&[b'a'; 64]).map(|text| text.len()), Some(64));
    }
}
