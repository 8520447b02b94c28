//! Disks that say that they have fewer bytes than when they were given to the vault, as behind another controller.

use stele_device::sim::disk::SimDiskHandle;

use crate::support::{DISK_BYTES, Rig, content, name};

/// Where the last labels of a whole disk begin.
const LABELS: u64 = DISK_BYTES - (512 << 10);
/// Content that fills a disk up to there.
const FULL: std::ops::Range<u64> = LABELS - (3 << 20)..LABELS;

fn shown(handle: &SimDiskHandle) -> Vec<u8> {
    handle.peek(FULL.start, 3 << 20)
}

/// Some disks lack so many bytes at a start. What lies where they seem to end is no label of theirs, and nothing is
/// written there; the vault takes writes with the others, and with all of them once they are whole again.
fn check(short: &[usize], lacks: u64, takes_writes: bool) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "n"), &content(1, 2_000));
    vault.stop();
    let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    for (number, disk) in disks.iter().enumerate() {
        disk.tamper(FULL.start, &content(number, 3 << 20));
    }
    let before: Vec<Vec<u8>> = disks.iter().map(shown).collect();
    for number in short {
        disks[*number].shorten(DISK_BYTES - lacks);
    }
    let mut vault = rig.start();
    let status = vault.engine.status();
    let why = status.read_only;
    assert_eq!(why.is_none(), takes_writes, "{short:?} {lacks}: {why:?}");
    // Of the last block alone a start needs nothing.
    for number in short.iter().filter(|_| lacks > 4096) {
        let said = status.disks[*number].reason;
        assert_eq!(said, Some("it has fewer bytes than its label says"));
    }
    let read = vault.get(&name("b", "n"), None, None);
    assert_eq!(read, Ok(content(1, 2_000)), "{short:?} {lacks}");
    drop(vault);
    rig.crash();
    let after: Vec<Vec<u8>> = disks.iter().map(shown).collect();
    assert!(
        before == after,
        "{short:?} {lacks}: content was written over"
    );
    disks.iter().for_each(|disk| disk.shorten(DISK_BYTES));
    let mut vault = rig.start();
    assert_eq!(vault.engine.status().read_only, None, "{short:?} {lacks}");
    let read = vault.get(&name("b", "n"), None, None);
    assert_eq!(read, Ok(content(1, 2_000)), "{short:?} {lacks}");
}

#[test]
fn nothing_is_written_where_a_short_disk_seems_to_end() {
    for (short, lacks, takes_writes) in [
        (&[2][..], 4096, true),
        (&[2], 256 << 10, true),
        (&[2], 512 << 10, true),
        (&[2], 1 << 20, true),
        (&[0], 1 << 20, true),
        (&[1, 2], 1 << 20, false),
        (&[0, 1, 2], 1 << 20, false),
    ] {
        check(short, lacks, takes_writes);
    }
}
