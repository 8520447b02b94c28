//! Uploads and downloads among slow workers, full disks and clients that give up.

use stele_format::frame::FrameHeader;
use stele_format::limits::INLINE_BODY_BYTES_MAX;
use stele_store::limits::STREAM_COUNT_MAX;
use stele_store::request::{
    Answer, Command, Conditions, DamagePlace, LockWish, Metadata, NamedPart, Purpose, RangeWish,
    Refusal, StreamId,
};

use crate::support::steps::{CHUNK, assert_at_rest, commit, object, open_get, put_data, turns};
use crate::support::{Rig, Running, content, name, piece};

#[test]
fn a_commit_that_overtakes_the_sealing_of_its_only_chunk_is_answered_without_more_traffic() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let object_name = name("b", "k");
    let bytes = content(3, 200 << 10);
    let stream = vault.open_put(&object_name, object()).unwrap();
    vault.busy = Some(Vec::new());
    vault
        .ask(Command::PutData {
            stream,
            piece: piece(&bytes),
        })
        .unwrap();
    let waiting = vault.send(commit(stream));
    turns(&mut vault);
    assert!(!vault.replies.contains_key(&waiting), "nothing is sealed");
    vault.work();
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
    assert!(vault.get(&object_name, None, None).unwrap() == bytes);
    vault.stop();
}

#[test]
fn content_that_is_all_at_hand_is_stored_like_what_comes_in_pieces() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let inline = INLINE_BODY_BYTES_MAX as usize;
    for bytes in [0, 1, inline, inline + 1, CHUNK] {
        let key = name("b", &bytes.to_string());
        let bytes = content(bytes, bytes);
        let at_once = vault.put_whole(&key, object(), &bytes, Conditions::default());
        let stream = vault.open_put(&key, object()).unwrap();
        vault.feed(stream, &bytes).unwrap();
        for stored in [at_once, vault.commit(stream)] {
            let read = vault.get(&key, stored.unwrap().version, None).unwrap();
            assert!(read == bytes, "{} bytes", bytes.len());
        }
        assert_at_rest(&mut vault);
    }
    vault.stop();
}

#[test]
fn a_part_that_is_all_at_hand_is_one_of_its_upload() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = name("b", "k");
    let create = Command::CreateUpload {
        name: key.clone(),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        announced: None,
    };
    let Answer::Upload(upload) = vault.ask(create).unwrap() else {
        panic!("no upload")
    };
    let part = |number| Purpose::Part { upload, number };
    let bytes = content(5, 5000);
    let empty = vault.put_whole(&key, part(2), &[], Conditions::default());
    assert!(empty.is_ok(), "{empty:?}");
    assert_at_rest(&mut vault);
    let stored = vault.put_whole(&key, part(1), &bytes, Conditions::default());
    let named = NamedPart {
        number: 1,
        etag: stored.unwrap().etag,
        checksums: Vec::new(),
    };
    let complete = Command::CompleteUpload {
        name: key.clone(),
        upload,
        parts: vec![named],
        checksums: Vec::new(),
        conditions: Conditions::default(),
    };
    let answer = vault.ask(complete);
    assert!(matches!(answer, Ok(Answer::Stored(_))), "{answer:?}");
    assert!(vault.get(&key, None, None).unwrap() == bytes);
    // Now there is none any more.
    let late = vault.put_whole(&key, part(2), &bytes, Conditions::default());
    assert_eq!(late.map(|_| ()), Err(Refusal::NoSuchUpload));
    assert_at_rest(&mut vault);
    vault.stop();
}

#[test]
fn content_that_is_all_at_hand_is_refused_as_a_whole() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = name("b", "k");
    vault.put(&key, b"first");
    let absent = Conditions {
        if_none_match: Some("*".to_owned()),
        ..Conditions::default()
    };
    let anyhow = Conditions::default();
    let too_long = CHUNK + 1;
    let mut check = |key, bytes: usize, conditions, expected| {
        let bytes = content(1, bytes);
        let stored = vault.put_whole(&key, object(), &bytes, conditions);
        assert_eq!(stored.map(|_| ()), Err(expected));
        assert_at_rest(&mut vault);
    };
    check(name("none", "k"), 5, anyhow.clone(), Refusal::NoSuchBucket);
    check(key.clone(), 5, absent, Refusal::Precondition);
    check(key.clone(), too_long, anyhow, Refusal::NoSuchStream);
    assert_eq!(vault.get(&key, None, None).unwrap(), b"first");
    vault.stop();
}

/// A vault with one of its three disks away: the quorum's last completion is the last event.
fn on_two_disks(rig: &mut Rig) -> Running {
    rig.handles[2] = None;
    rig.start()
}

#[test]
fn chunks_are_written_in_the_step_that_makes_their_segment_durable() {
    let mut rig = Rig::create(3);
    let mut vault = on_two_disks(&mut rig);
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.feed(stream, &content(3, 200 << 10)).unwrap();
    let waiting = vault.send(commit(stream));
    for _ in 0..20 {
        vault.complete();
    }
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
}

#[test]
fn a_request_that_waited_for_a_snapshot_goes_on_in_the_step_that_takes_it_over() {
    let mut rig = Rig::create(3);
    rig.options.snapshot_rows = 1;
    let mut vault = on_two_disks(&mut rig);
    let bucket = |name: &str| Command::SetDefaultRetention {
        bucket: name.to_owned(),
        default: None,
    };
    vault.rights.lock_admin = true;
    for name in ["a", "b", "c"] {
        vault.bucket(name, true);
    }
    let sent = ["a", "b"].map(|name| vault.send(bucket(name)));
    // The first record's row is being committed while the second is on its way to the disks.
    while !vault.replies.contains_key(&sent[0]) {
        vault.complete();
    }
    let last = vault.send(bucket("c"));
    assert!(!vault.replies.contains_key(&sent[1]), "still being written");
    for _ in 0..20 {
        vault.complete();
    }
    let answer = vault.replies.remove(&last);
    assert!(matches!(answer, Some(Ok(Answer::Done))), "{answer:?}");
}

#[test]
fn a_download_never_goes_on_after_a_piece_that_could_not_be_read() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(3, 3 << 20));
    let chunks = rig.frames_of(false);
    rig.rot_everywhere(&chunks[1], 5000);
    let Ok(Answer::Opened { stream, .. }) = vault.ask(open_get()) else {
        panic!("not opened")
    };
    let next = |vault: &mut Running| vault.ask(Command::NextData { stream });
    assert!(matches!(next(&mut vault), Ok(Answer::Data(_))));
    let refused = next(&mut vault).unwrap_err();
    assert!(matches!(refused, Refusal::Damaged { .. }), "{refused:?}");
    for _ in 0..3 {
        assert_eq!(next(&mut vault).unwrap_err(), refused);
    }
    vault.ask(Command::CloseGet { stream }).unwrap();
    assert_eq!(next(&mut vault).unwrap_err(), Refusal::NoSuchStream);
}

#[test]
fn an_upload_that_finds_the_vault_full_hears_so_until_it_is_aborted() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    let refused = (0..200)
        .find_map(|seed| {
            let answer = vault.ask(put_data(stream, seed, CHUNK)).err();
            vault.turn();
            answer
        })
        .expect("a full vault");
    assert_eq!(refused, Refusal::Full);
    let again = vault.ask(put_data(stream, 0, CHUNK)).unwrap_err();
    assert_eq!(again, Refusal::Full);
    let committed = vault.ask(commit(stream)).unwrap_err();
    assert_eq!(committed, Refusal::Full);
    // The answer to its commit is the last an upload hears.
    let late = vault.ask(put_data(stream, 0, CHUNK)).unwrap_err();
    assert_eq!(late, Refusal::NoSuchStream);
}

#[test]
fn an_upload_whose_disks_went_away_hears_so_until_it_is_aborted() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let [waiting, between] = ["waits", "between"].map(|key| {
        let stream = vault.open_put(&name("b", key), object()).unwrap();
        vault.ask(put_data(stream, 1, CHUNK)).unwrap();
        stream
    });
    turns(&mut vault);
    vault.ask(put_data(waiting, 2, CHUNK)).unwrap();
    for handle in rig.handles.iter().flatten().take(2) {
        handle.vanish();
    }
    vault.ask(put_data(waiting, 3, CHUNK)).unwrap();
    turns(&mut vault);
    for stream in [waiting, between] {
        for _ in 0..2 {
            let refused = vault.ask(put_data(stream, 4, CHUNK)).unwrap_err();
            assert!(matches!(refused, Refusal::ReadOnly(_)), "{refused:?}");
        }
        vault.ask(Command::AbortPut { stream }).unwrap();
        let late = vault.ask(put_data(stream, 5, CHUNK)).unwrap_err();
        assert_eq!(late, Refusal::NoSuchStream);
    }
}

#[test]
fn a_vault_with_as_many_streams_as_it_takes_still_commits_them() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let streams: Vec<StreamId> = (0..STREAM_COUNT_MAX)
        .map(|_| vault.open_put(&name("b", "k"), object()).unwrap())
        .collect();
    let refused = vault.open_put(&name("b", "k"), object()).unwrap_err();
    assert_eq!(refused, Refusal::Busy);
    vault.ask(put_data(streams[0], 1, 100)).unwrap();
    vault.commit(streams[0]).unwrap();
    assert!(vault.open_put(&name("b", "k"), object()).is_ok());
}

#[test]
fn an_aborted_upload_leaves_nothing_behind_wherever_its_chunks_were() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    assert_at_rest(&mut vault);
    // With a worker; waiting for the first segment; being written; written and not flushed.
    for case in 0..4 {
        let stream = vault.open_put(&name("b", "k"), object()).unwrap();
        vault.busy = (case == 0).then(Vec::new);
        vault.ask(put_data(stream, case, CHUNK)).unwrap();
        if case == 3 {
            turns(&mut vault);
        }
        vault.ask(Command::AbortPut { stream }).unwrap();
        vault.work();
        assert_at_rest(&mut vault);
        let written = rig.frames_of(false).len();
        assert_eq!(written, case.saturating_sub(1), "case {case}");
    }
    vault.put(&name("b", "k"), &content(9, CHUNK));
    assert_eq!(
        vault.get(&name("b", "k"), None, None).unwrap(),
        content(9, CHUNK)
    );
    assert_at_rest(&mut vault);
}

#[test]
fn uploads_refused_for_space_leave_nothing_behind() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let streams = ["k", "l"].map(|key| vault.open_put(&name("b", key), object()).unwrap());
    for seed in 0..70 {
        for stream in streams {
            let _refused = vault.ask(put_data(stream, seed, CHUNK));
        }
        vault.turn();
    }
    for stream in streams {
        assert_eq!(vault.commit(stream), Err(Refusal::Full));
    }
    assert_at_rest(&mut vault);
}

#[test]
fn uploads_refused_for_want_of_disks_leave_nothing_behind() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let [aborted, committed] = ["k", "l"].map(|key| {
        let stream = vault.open_put(&name("b", key), object()).unwrap();
        vault.ask(put_data(stream, 1, CHUNK)).unwrap();
        vault.complete();
        vault.ask(put_data(stream, 2, CHUNK)).unwrap();
        stream
    });
    let waiting = vault.send(commit(committed));
    for handle in rig.handles.iter().flatten().take(2) {
        handle.vanish();
    }
    vault.ask(put_data(aborted, 3, CHUNK)).unwrap();
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(
        matches!(answer, Some(Err(Refusal::ReadOnly(_)))),
        "{answer:?}"
    );
    vault.ask(Command::AbortPut { stream: aborted }).unwrap();
    assert_at_rest(&mut vault);
}

#[test]
fn a_download_closed_in_the_middle_leaves_nothing_behind() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(3, 3 * CHUNK));
    // Read from a disk; opened by a worker.
    for case in 0..2 {
        let Ok(Answer::Opened { stream, .. }) = vault.ask(open_get()) else {
            panic!("not opened")
        };
        vault.busy = Some(Vec::new());
        let asked: Vec<_> = (0..2)
            .map(|_| vault.send(Command::NextData { stream }))
            .collect();
        if case == 1 {
            turns(&mut vault);
        }
        vault.ask(Command::CloseGet { stream }).unwrap();
        for id in asked {
            let answer = vault.replies.remove(&id);
            assert!(
                matches!(answer, Some(Err(Refusal::NoSuchStream))),
                "{answer:?}"
            );
        }
        vault.work();
        assert_at_rest(&mut vault);
    }
}

/// An object of so many chunks that their list moves to the data lane when it is completed.
fn long_upload(vault: &mut Running) -> Command {
    let create = Command::CreateUpload {
        name: name("b", "k"),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        announced: None,
    };
    let Ok(Answer::Upload(upload)) = vault.ask(create) else {
        panic!("no upload")
    };
    let part = |number: u16| {
        let purpose = Purpose::Part { upload, number };
        let stream = vault.open_put(&name("b", "k"), purpose).unwrap();
        vault.feed(stream, &content(3, 6 * CHUNK)).unwrap();
        NamedPart {
            number,
            etag: vault.commit(stream).unwrap().etag,
            checksums: Vec::new(),
        }
    };
    Command::CompleteUpload {
        name: name("b", "k"),
        upload,
        parts: (1..=11).map(part).collect(),
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

#[test]
fn lists_on_their_way_to_disks_that_go_away_leave_nothing_behind() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let complete = long_upload(&mut vault);
    vault.busy = Some(Vec::new());
    let waiting = vault.send(complete);
    for _ in 0..20 {
        vault.complete();
    }
    assert_eq!(vault.engine.load().lists, 1, "{:?}", vault.engine.load());
    for handle in rig.handles.iter().flatten().take(2) {
        handle.vanish();
    }
    let other = vault.send(Command::CreateBucket {
        name: "c".to_owned(),
        lock: false,
    });
    turns(&mut vault);
    for id in [waiting, other] {
        let answer = vault.replies.remove(&id);
        assert!(
            matches!(answer, Some(Err(Refusal::ReadOnly(_) | Refusal::Undecided))),
            "{answer:?}"
        );
    }
    vault.work();
    assert_at_rest(&mut vault);
}

#[test]
fn lists_that_workers_take_long_to_seal_are_flushed_without_more_traffic() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let complete = long_upload(&mut vault);
    vault.busy = Some(Vec::new());
    let waiting = vault.send(complete);
    turns(&mut vault);
    assert!(!vault.replies.contains_key(&waiting), "nothing is sealed");
    vault.work();
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
    assert_at_rest(&mut vault);
}

fn damage(frame: &FrameHeader) -> Refusal {
    Refusal::Damaged {
        segment: frame.segment.get(),
        place: DamagePlace::Frame(frame.frame_index.get()),
    }
}

#[test]
fn a_damaged_chunk_is_refused_by_the_number_of_its_frame() {
    // Its own header tells the number, or the frame before, or its place behind the segment's header.
    for (number, header) in [(1, true), (1, false), (0, false)] {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        vault.put(&name("b", "k"), &content(3, 3 * CHUNK));
        let frame = rig.frames_of(false)[number];
        rig.rot_everywhere(&frame, 5000);
        if !header {
            rig.rot_everywhere(&frame, 20);
        }
        let refused = vault.get(&name("b", "k"), None, None).err();
        assert_eq!(refused, Some(damage(&frame)), "frame {number}, {header}");
    }
}

#[test]
fn a_damaged_chunk_among_lost_headers_is_refused_by_its_byte() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(3, 3 * CHUNK));
    let frames = rig.frames_of(false);
    rig.rot_everywhere(&frames[2], 5000);
    for frame in &frames[1..3] {
        rig.rot_everywhere(frame, 20);
    }
    let range = Some(RangeWish::Suffix(10));
    let refused = vault.get(&name("b", "k"), None, range).err().unwrap();
    let byte = frames[2].segment_offset.get();
    let place = DamagePlace::Byte(byte);
    let segment = frames[2].segment.get();
    assert_eq!(refused, Refusal::Damaged { segment, place });
    let text = format!("(segment {segment}, at byte {byte})");
    assert!(refused.to_string().contains(&text), "{refused}");
}

#[test]
fn a_damaged_record_is_refused_by_the_number_of_its_frame() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    let before = rig.frames_of(true).len();
    // The first goes alone; the others share the next frame, the last many blocks behind its start.
    let streams = ["first", "large", "last"].map(|key| {
        let stream = vault.open_put(&name("b", key), object()).unwrap();
        vault.ask(put_data(stream, 3, 100 << 10)).unwrap();
        stream
    });
    let sent = streams.map(|stream| vault.send(commit(stream)));
    turns(&mut vault);
    for id in sent {
        assert!(
            vault
                .replies
                .remove(&id)
                .is_some_and(|answer| answer.is_ok())
        );
    }
    let frame = rig.frames_of(true)[before + 1];
    assert_eq!(frame.record_count, 2);
    rig.rot_everywhere(&frame, u64::from(frame.total_bytes) - 8192);
    let head = Command::Head {
        name: name("b", "last"),
        version: None,
    };
    assert_eq!(vault.ask(head).unwrap_err(), damage(&frame));
    assert!(vault.get(&name("b", "large"), None, None).is_ok());
    assert_at_rest(&mut vault);
}
