//! The key state: its bytes, and what is left of it on disks that fail or lose power.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use stele_device::disk::{BlockingDisk, Disk, DiskError};
use stele_device::keyprovider::{KeyError, KeyProvider};
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::entropy::SimEntropy;
use stele_device::sim::fault::Loss;
use stele_device::sim::keyprovider::{SimCounter, SimKeys};
use stele_format::geometry::DiskGeometry;
use stele_format::units::{ByteCount, DiskId, Epoch, Generation, KeyIndex, PoolId, UnitCount};
use stele_store::keys::copies::{CopyState, KeyDisk, LoadError, Loaded, SaveError, load};
use stele_store::keys::secret::{Secret32, Secret64};
use stele_store::keys::state::{KeyState, SealedState, StateDamaged};
use stele_store::keys::tree::KeyTree;

const POOL: PoolId = PoolId::from_bytes([7; 16]);
const COPY_BYTES: u32 = 64 << 10;

fn geometry() -> DiskGeometry {
    let geometry = DiskGeometry {
        disk_bytes: ByteCount::new(4 << 20),
        index_bytes: ByteCount::new(0),
        keystate_bytes: COPY_BYTES,
        unit_bytes: 64 << 10,
        segment_units: UnitCount::new(4),
    };
    geometry.check().expect("a possible disk");
    geometry
}

fn copy_offset(copy: u16) -> u64 {
    geometry()
        .keystate_offset(copy)
        .expect("there are two")
        .get()
}

fn disk_id(number: usize) -> DiskId {
    DiskId::from_bytes([u8::try_from(number).expect("few disks"); 16])
}

fn counting<const BYTES: usize>(first: u8) -> [u8; BYTES] {
    std::array::from_fn(|at| first + u8::try_from(at).expect("small"))
}

fn state() -> KeyState {
    KeyState {
        generation: Generation::new(5),
        tree: KeyTree::new(&Secret32::copy_of(&counting(0))),
        box_key: Secret32::copy_of(&counting(32)),
        index_key: Secret64::copy_of(&counting(64)),
        access_root: Secret32::copy_of(&counting(0)),
        epoch: Epoch::new(300),
        head: None,
    }
}

/// The same state one generation later, with one leaf cut.
fn next(state: &KeyState) -> KeyState {
    let mut next = KeyState::decode(&state.encode()).expect("own encoding");
    next.generation = state.generation.next().expect("small");
    next.tree.cut_leaf(KeyIndex::new(next.generation.get()));
    next
}

/// Disks with the hardware kept apart, so that power cuts can be played.
struct Rig {
    handles: Vec<SimDiskHandle>,
    keys: SimKeys,
}

impl Rig {
    fn new(disks: usize, seed: u64) -> Self {
        let bytes = geometry().disk_bytes.get();
        let handles = (0..disks)
            .map(|at| SimDiskHandle::new(bytes, seed + at as u64))
            .collect();
        Self {
            handles,
            keys: SimKeys::new(1),
        }
    }

    fn with_saved(disks: usize, seed: u64, state: &KeyState) -> Self {
        let rig = Self::new(disks, seed);
        assert!(rig.save(state).iter().all(Result::is_ok));
        rig
    }

    fn save(&self, state: &KeyState) -> Vec<Result<(), SaveError>> {
        let geometry = geometry();
        let mut disks: Vec<_> = self.handles.iter().map(SimDiskHandle::open).collect();
        let slots = disks.iter_mut().enumerate();
        let slots = slots.map(|(at, disk)| KeyDisk::new(disk, disk_id(at), &geometry));
        let results = state
            .save(&self.keys, POOL, slots)
            .expect("the provider works");
        results.into_iter().map(|saved| saved.result).collect()
    }

    fn load_with(&self, keys: &SimKeys) -> Result<Loaded, LoadError> {
        let geometry = geometry();
        let mut disks: Vec<_> = self.handles.iter().map(SimDiskHandle::open).collect();
        let slots = disks.iter_mut().enumerate();
        let slots = slots.map(|(at, disk)| KeyDisk::new(disk, disk_id(at), &geometry));
        load(keys, POOL, slots)
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        self.load_with(&self.keys)
    }

    fn states(&self) -> Vec<CopyState> {
        self.load()
            .expect("loads")
            .copies
            .iter()
            .map(|copy| copy.state)
            .collect()
    }
}

/// The bytes, put together by hand from the CBOR specification.
#[test]
fn the_encoding_equals_the_frozen_bytes() {
    let mut expected = vec![0xa6, 1, 5, 2, 0x58, 41];
    expected.extend([0; 9]);
    expected.extend(counting::<32>(0));
    expected.extend([3, 0x58, 32]);
    expected.extend(counting::<32>(32));
    expected.extend([4, 0x58, 64]);
    expected.extend(counting::<64>(64));
    expected.extend([5, 0x58, 32]);
    expected.extend(counting::<32>(0));
    expected.extend([6, 0x19, 0x01, 0x2c]);
    assert_eq!(state().encode()[..], expected);
    let read = KeyState::decode(&expected).expect("own encoding");
    assert_eq!(read.generation, Generation::new(5));
    assert_eq!(read.epoch, Epoch::new(300));
    assert!(read.index_key.same_as(&state().index_key));
}

#[test]
fn bytes_that_are_no_key_state_are_refused() {
    let good = state().encode().to_vec();
    for end in 0..good.len() {
        assert_eq!(
            KeyState::decode(&good[..end]).err(),
            Some(StateDamaged),
            "cut at {end}"
        );
    }
    let longer_integer = [&good[..2], &[0x18, 5], &good[3..]].concat();
    let one_more_byte = [&good[..], &[0]].concat();
    let mut other_map = good.clone();
    other_map[0] = 0xa7;
    let mut other_key = good.clone();
    other_key[1] = 2;
    let indefinite = [&[0xbf], &good[1..], &[0xff]].concat();
    for bytes in [
        longer_integer,
        one_more_byte,
        other_map,
        other_key,
        indefinite,
    ] {
        assert_eq!(
            KeyState::decode(&bytes).err(),
            Some(StateDamaged),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn fresh_states_of_different_entropy_share_no_secret() {
    let one = KeyState::fresh(&mut SimEntropy::new(1));
    let other = KeyState::fresh(&mut SimEntropy::new(2));
    assert_eq!(one.generation, Generation::new(1));
    assert!(!one.box_key.same_as(&other.box_key));
    assert!(!one.index_key.same_as(&other.index_key));
    assert!(!one.access_root.same_as(&other.access_root));
    assert!(!one.box_key.same_as(&one.access_root));
    let leaf = |state: &KeyState| *state.tree.leaf(KeyIndex::new(9)).expect("whole").expose();
    assert_ne!(leaf(&one), leaf(&other));
}

/// Computed by an independent BLAKE3 in another language.
#[test]
fn client_secrets_equal_the_frozen_vectors() {
    let vectors = [
        ("STELE0001", 1, "b2pSYeKCZjEPbtEKx9RmZXeKXkEaWEz40GNtLExw"),
        ("STELE0001", 2, "I6xRD7jD0dZ3egUYGWDJQ0XbnMPTHw7sh5hn9LS8"),
        ("", 1, "JJXCC2ZErvGe1EEVrTTILIx5jDk3ug3hDPqs8zFo"),
    ];
    for (key_id, generation, secret) in vectors {
        assert_eq!(state().client_secret(key_id, generation).as_str(), secret);
    }
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", state());
    let expected = "KeyState { generation: Generation(5), tree: KeyTree(1 seeds), \
        box_key: Secret(32 bytes), index_key: Secret(64 bytes), \
        access_root: Secret(32 bytes), epoch: Epoch(300), head: None }";
    assert_eq!(shown, expected);
}

#[test]
fn what_is_saved_loads_from_every_copy() {
    let rig = Rig::with_saved(3, 10, &state());
    let loaded = rig.load().expect("loads");
    assert_eq!(loaded.state.encode()[..], state().encode()[..]);
    assert_eq!(rig.states(), [CopyState::Current; 6]);
}

#[test]
fn saved_disks_hold_no_secret_in_the_clear() {
    let rig = Rig::with_saved(1, 10, &state());
    let image = rig.handles[0].peek(0, 4 << 20);
    for secret in [counting::<32>(0), counting(32), counting(64), counting(96)] {
        assert!(!image.windows(8).any(|window| window == &secret[8..16]));
    }
}

#[test]
fn the_newest_generation_wins_whatever_disk_it_is_on() {
    let old = state();
    let new = next(&old);
    let rig = Rig::with_saved(2, 20, &old);
    let stale = Rig {
        handles: vec![rig.handles[0].clone()],
        keys: SimKeys::new(1),
    };
    assert!(stale.save(&new).iter().all(Result::is_ok));
    let loaded = rig.load().expect("loads");
    assert_eq!(loaded.state.generation, new.generation);
    assert!(
        !loaded
            .state
            .tree
            .has_leaf(KeyIndex::new(new.generation.get()))
    );
    let older = CopyState::Older(old.generation);
    assert_eq!(
        rig.states(),
        [CopyState::Current, CopyState::Current, older, older]
    );
}

#[test]
fn a_wrong_key_file_is_told_from_missing_copies() {
    let rig = Rig::with_saved(2, 30, &state());
    let wrong = rig.load_with(&SimKeys::new(2));
    let Err(LoadError::WrongKey { copies }) = wrong else {
        panic!("{wrong:?}")
    };
    let closed = CopyState::Closed(KeyError::WrongKey);
    assert!(copies.iter().all(|copy| copy.state == closed));

    let blank = Rig::new(2, 31).load();
    let Err(LoadError::NoCopy { copies }) = blank else {
        panic!("{blank:?}")
    };
    assert!(copies.iter().all(|copy| copy.state == CopyState::Blank));

    let nothing = Rig::new(0, 32).load();
    assert!(matches!(nothing, Err(LoadError::NoCopy { copies }) if copies.is_empty()));
}

/// Puts one copy on a disk and leaves the other as it is.
fn write_one(rig: &Rig, sealed: &SealedState, copy: u16) {
    for (at, handle) in rig.handles.iter().enumerate() {
        let image = sealed.image(POOL, disk_id(at), &geometry(), copy);
        let (offset, bytes) = image.expect("fits");
        let mut disk = handle.open();
        disk.write_durable_at(offset.get(), bytes).expect("written");
    }
}

fn shut_by(result: &Result<Loaded, LoadError>) -> Option<KeyError> {
    match result {
        Err(LoadError::Shut { error, .. }) => Some(*error),
        _ => None,
    }
}

/// The order in which a vault gives a state up, while somebody keeps disks as they were before.
#[test]
fn disks_older_than_the_anchor_open_nothing() {
    let counter = SimCounter::new(3);
    let keys = || SimKeys::anchored(1, &counter);
    let anchored = |seed| Rig {
        keys: keys(),
        ..Rig::new(2, seed)
    };
    let (kept, rig) = (anchored(40), anchored(41));
    let old = state();
    for rig in [&kept, &rig] {
        assert!(rig.save(&old).iter().all(Result::is_ok));
    }
    let new = next(&old);
    let generation = new.generation;
    let context = [POOL.as_bytes().as_slice(), &generation.get().to_le_bytes()].concat();
    let body = keys().seal_next(&context, &new.encode()).expect("seals");
    let sealed = SealedState { generation, body };

    // The new one in one place of each disk: the old one counts until the anchor advances.
    write_one(&rig, &sealed, 0);
    let waits = CopyState::Closed(KeyError::NotYet);
    let current = CopyState::Current;
    assert_eq!(rig.states(), [waits, current, waits, current]);
    assert_eq!(rig.load().expect("loads").state.generation, old.generation);
    keys().advance(&sealed.body).expect("advances");
    assert_eq!(rig.load().expect("loads").state.generation, generation);
    write_one(&rig, &sealed, 1);
    assert_eq!(rig.states(), [CopyState::Current; 4]);

    let rolled_back = kept.load();
    assert_eq!(
        shut_by(&rolled_back),
        Some(KeyError::Superseded),
        "{rolled_back:?}"
    );
}

#[test]
fn a_state_that_waits_for_the_anchor_is_told_from_missing_copies() {
    let counter = SimCounter::new(3);
    let rig = Rig {
        keys: SimKeys::anchored(1, &counter),
        ..Rig::new(1, 42)
    };
    let ahead = SimKeys::anchored(1, &SimCounter::new(4));
    let sealed = state().seal(&ahead, POOL).expect("seals");
    for copy in 0..2 {
        write_one(&rig, &sealed, copy);
    }
    assert_eq!(shut_by(&rig.load()), Some(KeyError::NotYet));
}

#[test]
fn any_one_whole_copy_is_enough_and_damage_is_named() {
    for survivor in 0..4 {
        let rig = Rig::with_saved(2, 40, &state());
        for at in (0..4).filter(|at| *at != survivor) {
            let handle = &rig.handles[at / 2];
            let offset = copy_offset(u16::from(at % 2 == 1));
            match at {
                0 => handle.rot(offset + 60, 1),
                1 => handle.rot(offset + 4096 + 20, 0x80),
                2 => handle.fail_reads(offset..offset + 4096),
                _ => handle.tamper(offset, &[0; 8192]),
            }
        }
        let states = rig.states();
        for (at, state) in states.iter().enumerate() {
            let named = match state {
                CopyState::Current => at == survivor,
                CopyState::Damaged(_) => at < 2 && at != survivor,
                CopyState::Unreadable(DiskError::Io { .. }) => at == 2,
                CopyState::Blank => at == 3,
                _ => false,
            };
            assert!(named, "survivor {survivor}, place {at}: {state:?}");
        }
    }
}

#[test]
fn copies_of_another_pool_or_disk_are_never_adopted() {
    let rig = Rig::with_saved(2, 50, &state());
    let geometry = geometry();
    let mut disk = rig.handles[0].open();
    let elsewhere = load(
        &rig.keys,
        POOL,
        [KeyDisk::new(&mut disk, disk_id(9), &geometry)],
    );
    assert!(
        matches!(elsewhere, Err(LoadError::NoCopy { .. })),
        "{elsewhere:?}"
    );
    let mut disk = rig.handles[0].open();
    let other_pool = PoolId::from_bytes([8; 16]);
    let other = load(
        &rig.keys,
        other_pool,
        [KeyDisk::new(&mut disk, disk_id(0), &geometry)],
    );
    assert!(matches!(other, Err(LoadError::NoCopy { .. })), "{other:?}");
}

#[test]
fn a_lower_generation_never_overwrites_a_higher_one() {
    let new = next(&state());
    let rig = Rig::with_saved(1, 60, &new);
    let refused = SaveError::Newer {
        on_disk: new.generation,
    };
    assert_eq!(rig.save(&state()), [Err(refused)]);
    assert_eq!(rig.states(), [CopyState::Current; 2]);
    assert_eq!(
        rig.save(&new),
        [Ok(())],
        "the same generation may be saved again"
    );
}

#[test]
fn a_failed_flush_leaves_the_other_copy_alone() {
    let rig = Rig::with_saved(1, 70, &state());
    let before = rig.handles[0].peek(copy_offset(1), 8192);
    rig.handles[0].fail_flush(0);
    let failed = rig.save(&next(&state()));
    assert!(
        matches!(failed[..], [Err(SaveError::Disk { copy: 0, .. })]),
        "{failed:?}"
    );
    assert_eq!(rig.handles[0].peek(copy_offset(1), 8192), before);
    rig.handles[0].crash(Loss::All);
    rig.load().expect("the second copy is whole");
}

#[test]
fn the_broken_copy_is_repaired_before_the_good_one_is_touched() {
    for broken in [0, 1] {
        let rig = Rig::with_saved(1, 80, &state());
        rig.handles[0].rot(copy_offset(broken) + 10, 1);
        rig.handles[0].fail_flush(0);
        let failed = rig.save(&next(&state()));
        let [Err(SaveError::Disk { copy, .. })] = failed[..] else {
            panic!("{failed:?}")
        };
        assert_eq!(copy, broken);
    }
}

#[test]
fn a_write_the_disk_lost_is_noticed_by_reading_back() {
    let rig = Rig::with_saved(1, 90, &state());
    rig.handles[0].lose_write(1);
    assert_eq!(
        rig.save(&next(&state())),
        [Err(SaveError::ReadBack { copy: 1 })]
    );
}

#[test]
fn one_failing_disk_does_not_keep_the_others_from_being_saved() {
    let rig = Rig::with_saved(3, 100, &state());
    rig.handles[1].fail_writes_from(0);
    let results = rig.save(&next(&state()));
    assert!(
        results[0].is_ok() && results[1].is_err() && results[2].is_ok(),
        "{results:?}"
    );
}

#[test]
fn a_state_larger_than_its_area_is_refused_before_anything_is_written() {
    let mut large = state();
    for leaf in 0..60 {
        large.tree.cut_leaf(KeyIndex::new(leaf << 50));
    }
    assert!(large.tree.encoded_len() > 64 << 10);
    let rig = Rig::new(1, 110);
    let refused = rig.save(&large);
    assert!(
        matches!(
            refused[..],
            [Err(SaveError::TooLarge {
                copy_bytes: COPY_BYTES,
                ..
            })]
        ),
        "{refused:?}"
    );
    assert_eq!(rig.handles[0].counters().writes, 0);
}

#[test]
fn a_power_cut_at_any_step_of_an_update_leaves_the_old_or_the_new_state() {
    let old = state();
    let new = next(&old);
    let mut seen = std::collections::BTreeSet::new();
    for (cut, loss) in (0..40).flat_map(|cut| losses().map(move |loss| (cut, loss))) {
        let rig = Rig::with_saved(1, 200 + cut, &old);
        let handle = &rig.handles[0];
        handle.power().cut_after(cut);
        let saved = rig.save(&new)[0].is_ok();
        handle.crash(loss);
        handle.power().restore();
        let generation = rig
            .load()
            .expect("one copy is always whole")
            .state
            .generation;
        assert!(generation == old.generation || generation == new.generation);
        assert!(
            !saved || generation == new.generation,
            "a finished save is durable"
        );
        assert_eq!(rig.save(&new), [Ok(())], "the next start can save again");
        seen.insert((saved, generation));
    }
    let every_end = [
        (false, old.generation),
        (false, new.generation),
        (true, new.generation),
    ];
    assert_eq!(seen, every_end.into());
}

fn losses() -> impl Iterator<Item = Loss> {
    [Loss::All, Loss::Nothing]
        .into_iter()
        .chain((0..6).map(Loss::By))
}

#[test]
fn a_gone_disk_reports_itself() {
    let rig = Rig::with_saved(2, 300, &state());
    rig.handles[0].vanish();
    let states = rig.states();
    assert_eq!(states[0], CopyState::Unreadable(DiskError::Gone));
    assert_eq!(states[2], CopyState::Current);
    assert_eq!(rig.handles[0].open().in_flight(), 0);
}

proptest! {
    #[test]
    fn arbitrary_bytes_decode_to_what_encodes_the_same_or_not_at_all(
        at in 0..200usize,
        bytes in vec(any::<u8>(), 0..8),
    ) {
        let mut encoded = state().encode().to_vec();
        let at = at.min(encoded.len());
        let end = (at + bytes.len()).min(encoded.len());
        encoded.splice(at..end, bytes);
        if let Ok(state) = KeyState::decode(&encoded) {
            prop_assert_eq!(&state.encode()[..], &encoded[..]);
        }
    }
}
