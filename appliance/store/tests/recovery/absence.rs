//! What a vault says of what it does not have, when it may have had it.

use stele_format::frame::FrameHeader;
use stele_store::request::{Command, ReadOnlyReason, Refusal};

use crate::journal::{newest_first, with_object};
use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};

/// A vault with objects `n0` to `n4`, each in a frame of its own, after a power cut; with the frame of `n2`.
fn with_objects() -> (Rig, FrameHeader) {
    let mut rig = Rig::create(3);
    rig.start().stop();
    let mut vault = rig.start();
    vault.bucket("b", false);
    for number in 0..5 {
        vault.put(&name("b", &format!("n{number}")), &content(number, 2_000));
        turns(&mut vault);
    }
    let tags = Command::SetTags {
        name: name("b", "n2"),
        version: None,
        tags: vec![("a".to_owned(), "b".to_owned())],
    };
    vault.ask(tags).unwrap();
    drop(vault);
    rig.crash();
    let frames = rig.frames_of(true);
    let newest = frames.iter().map(|frame| frame.segment).max();
    let mut last: Vec<&FrameHeader> = frames
        .iter()
        .filter(|frame| Some(frame.segment) == newest && frame.payload_bytes > 2_000)
        .collect();
    last.sort_by_key(|frame| frame.sequence);
    let third = *last[last.len() - 3];
    (rig, third)
}

fn get(vault: &mut Running, key: &str) -> Result<usize, Refusal> {
    let read = vault.get(&name("b", key), None, None)?;
    Ok(read.len())
}

fn head(vault: &mut Running, bucket: &str) -> Result<(), Refusal> {
    let command = Command::HeadBucket {
        name: bucket.to_owned(),
    };
    vault.ask(command).map(drop)
}

#[test]
fn nothing_is_said_to_be_absent_by_a_vault_that_lacks_records() {
    let (mut rig, third) = with_objects();
    // Behind the damage the log goes on.
    rig.rot_everywhere(&third, 600);
    let mut vault = rig.start();
    let why = vault.engine.status().read_only.unwrap();
    assert!(
        matches!(why, ReadOnlyReason::JournalDamaged { hole: true, .. }),
        "{why}"
    );
    assert!(why.to_string().contains("no disk of the vault is away"));
    for (key, expected) in [
        ("n0", Ok(2_000)),
        ("n1", Ok(2_000)),
        ("n2", Err(Refusal::MayBeLost(why.clone()))),
        ("n3", Ok(2_000)),
        ("n4", Ok(2_000)),
        ("never", Err(Refusal::MayBeLost(why.clone()))),
    ] {
        assert_eq!(get(&mut vault, key), expected, "{key}");
    }
    let lost = Refusal::MayBeLost(why);
    assert_eq!(head(&mut vault, "other"), Err(lost.clone()));
    assert_eq!(head(&mut vault, "b"), Ok(()));
    let delete = Command::DeleteBucket {
        name: "other".to_owned(),
    };
    assert_eq!(vault.ask(delete).map(drop), Err(lost));
}

/// A record allocated the newest segment, its header and first frame are lost, and later frames can be read.
#[test]
fn a_segment_whose_beginning_is_damaged_is_a_hole() {
    for skip in [20, 600] {
        let mut rig = with_object(3, true);
        let (first, places) = newest_first(&rig);
        for (disk, at) in places {
            rig.handles[disk]
                .as_ref()
                .unwrap()
                .rot(at - 4096 + 20, 0xff);
        }
        rig.rot_everywhere(&first, skip);
        let vault = rig.start();
        let why = vault.engine.status().read_only;
        assert!(
            matches!(why, Some(ReadOnlyReason::JournalDamaged { hole: true, .. })),
            "byte {skip}: {why:?}"
        );
    }
}

#[test]
fn one_disk_of_three_may_lack_what_the_others_have() {
    let (mut rig, _) = with_objects();
    let away = [rig.handles[1].take(), rig.handles[2].take()];
    let mut vault = rig.start();
    let why = vault.engine.status().read_only.unwrap();
    assert!(
        matches!(
            why,
            ReadOnlyReason::TooFewDisks { .. } | ReadOnlyReason::JournalDamaged { hole: false, .. }
        ),
        "{why}"
    );
    assert_eq!(get(&mut vault, "n0"), Ok(2_000));
    assert_eq!(get(&mut vault, "never"), Err(Refusal::MayBeLost(why)));
    drop(vault);
    // With enough of them what is absent is absent.
    let [second, _] = away;
    rig.handles[1] = second;
    let mut vault = rig.start();
    assert_eq!(
        get(&mut vault, "never"),
        Err(Refusal::NoSuchKey { marker: None })
    );
}
