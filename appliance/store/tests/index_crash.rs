//! Power cuts at every step of the index file: whatever is lost or torn, the file opens as one of
//! the last two commits or says that it must be rebuilt, and the latter only before it was whole.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

use stele_device::area::Area;
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_device::sim::power::Power;
use stele_format::units::LogIndex;
use stele_store::index::message::MirrorState;
use stele_store::index::{
    Extra, IndexError, IndexOptions, IndexStore, Memtable, MirrorCopying, NotOpened, SnapshotMeta,
    Table,
};

const KEY: [u8; 64] = [0x17; 64];
const AREA_BYTES: u64 = 552 << 10;
/// As many tables as let the run end where the area does.
const TABLES_USED: usize = 9;
const AREA_AT: u64 = 64 << 10;

/// Rows each commit writes: few, many (the file grows), few again.
const COMMIT_ROWS: [u32; 5] = [3, 160, 5, 220, 4];

struct Machine {
    power: Power,
    disks: Vec<SimDiskHandle>,
}

impl Machine {
    fn new(disks: u64) -> Self {
        let power = Power::new();
        let bytes = AREA_AT + AREA_BYTES;
        let disk = |at| SimDiskHandle::with(&format!("disk {at}"), bytes, at, &power);
        Self {
            disks: (0..disks).map(disk).collect(),
            power,
        }
    }

    fn areas(&self) -> Vec<Box<dyn Area>> {
        let area = |disk: &SimDiskHandle| -> Box<dyn Area> {
            Box::new(disk.area(AREA_AT, AREA_BYTES).unwrap())
        };
        self.disks.iter().map(area).collect()
    }

    fn crash(&self, loss: Loss) {
        self.disks.iter().for_each(|disk| disk.crash(loss));
        self.power.restore();
    }

    fn open(&self, start: u64) -> Result<IndexStore, NotOpened> {
        IndexStore::open(self.areas(), &KEY, options(start)).map(|opened| opened.store)
    }
}

fn options(start: u64) -> IndexOptions {
    IndexOptions {
        cache_bytes: 256 << 10,
        start,
        copying: MirrorCopying::USUAL,
    }
}

/// The rows of a commit: some new, some replaced, some deleted.
fn rows_of(commit: usize) -> Vec<(Table, Vec<u8>, Option<Vec<u8>>)> {
    let mut rows = Vec::new();
    for row in 0..COMMIT_ROWS[commit] {
        let key = blake3::hash(&[row.to_le_bytes(), (row % 7).to_le_bytes()].concat());
        let value = vec![u8::try_from(commit).unwrap(); 100];
        let table = Table::ALL[usize::try_from(row).unwrap() % TABLES_USED];
        let deleted = commit > 0 && row % 5 == 4;
        rows.push((
            table,
            key.as_bytes()[..20].to_vec(),
            (!deleted).then_some(value),
        ));
    }
    rows
}

fn commit(store: &mut IndexStore, number: usize) -> Result<(), IndexError> {
    let mut memtable = Memtable::new();
    for (table, key, value) in rows_of(number) {
        memtable.set(table, key, value);
    }
    let rows = memtable.freeze().unwrap();
    let next = LogIndex::new(u64::try_from(number).unwrap() + 1);
    let piece = vec![u8::try_from(number).unwrap(); 40_000 * (number % 2)];
    let extra = Extra(vec![[7; 100].into(), piece.into()]);
    store.commit(
        &rows,
        &SnapshotMeta {
            next,
            extra,
            ..SnapshotMeta::default()
        },
    )
}

/// Creates and commits until something fails. Returns whether the file was ready and how many
/// commits were confirmed.
fn run(machine: &Machine, start: u64) -> (bool, usize) {
    let Ok(mut store) = IndexStore::create(machine.areas(), &KEY, options(start)) else {
        return (false, 0);
    };
    let confirmed = (0..COMMIT_ROWS.len())
        .take_while(|at| commit(&mut store, *at).is_ok())
        .count();
    (true, confirmed)
}

/// The file holds exactly what the first `commits` commits wrote.
fn check_content(store: &IndexStore, commits: usize) {
    assert_eq!(&store.verify().unwrap(), store.triple());
    assert_eq!(
        store.triple().meta.next.get(),
        u64::try_from(commits).unwrap()
    );
    let mut expected = std::collections::BTreeMap::new();
    for (table, key, value) in (0..commits).flat_map(rows_of) {
        expected.insert((table, key), value);
    }
    for ((table, key), value) in expected {
        assert_eq!(store.get(table, &key).unwrap(), value);
    }
}

/// Cuts the power after each number of steps and looks at what is left.
fn cut_everywhere(disks: u64, losses: impl Iterator<Item = Loss>) {
    let whole = Machine::new(disks);
    assert_eq!(run(&whole, 1), (true, COMMIT_ROWS.len()));
    let usage = whole.open(2).unwrap().usage();
    assert_eq!(
        usage.file_bytes, usage.capacity_bytes,
        "the run should reach the area's end"
    );
    let steps = whole.power.steps();
    assert!(
        steps > 60,
        "the run is too short to tell anything: {steps} steps"
    );
    for loss in losses {
        for cut in 0..steps {
            let machine = Machine::new(disks);
            machine.power.cut_after(cut);
            let (ready, confirmed) = run(&machine, 1);
            machine.crash(loss);
            let mut store = match machine.open(2) {
                Ok(store) => store,
                Err(why) => {
                    assert!(
                        !ready,
                        "step {cut}, {loss:?}: {why:?} after {confirmed} commits"
                    );
                    why.create().unwrap()
                }
            };
            let found = usize::try_from(store.triple().meta.next.get()).unwrap();
            let last = COMMIT_ROWS.len().min(confirmed + 1);
            assert!(
                (confirmed..=last).contains(&found),
                "step {cut}, {loss:?}: {found}"
            );
            check_content(&store, found);
            // It goes on from there, and survives a start without warning.
            (found..COMMIT_ROWS.len()).for_each(|at| commit(&mut store, at).unwrap());
            drop(store);
            machine.crash(Loss::All);
            check_content(&machine.open(3).unwrap(), COMMIT_ROWS.len());
        }
    }
}

#[test]
fn a_power_cut_at_any_step_leaves_one_of_two_commits_on_one_disk() {
    cut_everywhere(
        1,
        [Loss::All, Loss::Nothing]
            .into_iter()
            .chain((0..4).map(Loss::By)),
    );
}

#[test]
fn a_power_cut_at_any_step_leaves_one_of_two_commits_on_two_disks() {
    cut_everywhere(2, [Loss::All, Loss::By(20), Loss::By(21)].into_iter());
}

#[test]
fn a_power_cut_while_opening_changes_nothing() {
    let machine = Machine::new(2);
    assert_eq!(run(&machine, 1), (true, COMMIT_ROWS.len()));
    let images: Vec<_> = machine.disks.iter().map(SimDiskHandle::snapshot).collect();
    let before = machine.power.steps();
    drop(machine.open(2).unwrap());
    let steps = machine.power.steps() - before;
    for cut in 0..=steps {
        for loss in [Loss::All, Loss::Nothing, Loss::By(cut)] {
            machine
                .disks
                .iter()
                .zip(&images)
                .for_each(|(disk, image)| disk.restore(image));
            machine.power.cut_after(cut);
            drop(machine.open(2));
            machine.crash(loss);
            check_content(&machine.open(3).unwrap(), COMMIT_ROWS.len());
        }
    }
}

#[test]
fn a_power_cut_while_a_mirror_catches_up_changes_nothing() {
    let machine = Machine::new(2);
    assert_eq!(run(&machine, 1), (true, COMMIT_ROWS.len()));
    machine.disks[0].vanish();
    let mut store = machine.open(2).unwrap();
    commit(&mut store, 4).unwrap();
    drop(store);
    machine.disks[0].come_back();
    machine.crash(Loss::By(9));
    let images: Vec<_> = machine.disks.iter().map(SimDiskHandle::snapshot).collect();
    let before = machine.power.steps();
    machine.open(3).unwrap().resync().unwrap();
    let steps = machine.power.steps() - before;
    for cut in 0..=steps {
        for loss in [Loss::All, Loss::Nothing, Loss::By(cut)] {
            machine
                .disks
                .iter()
                .zip(&images)
                .for_each(|(disk, image)| disk.restore(image));
            machine.power.cut_after(cut);
            let done = machine
                .open(3)
                .is_ok_and(|mut store| store.resync().is_ok());
            machine.crash(loss);
            let mut store = machine.open(4).unwrap();
            check_content(&store, COMMIT_ROWS.len());
            commit(&mut store, 4).unwrap();
            assert_eq!(store.usage().mirrors, [MirrorState::Active; 2], "{done}");
            drop(store);
            machine.disks[1].vanish();
            check_content(&machine.open(5).unwrap(), COMMIT_ROWS.len());
            machine.disks[1].come_back();
        }
    }
}

#[test]
fn two_runs_write_the_same_bytes() {
    let digests = || {
        let machine = Machine::new(2);
        assert_eq!(run(&machine, 1), (true, COMMIT_ROWS.len()));
        machine
            .disks
            .iter()
            .map(SimDiskHandle::digest)
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(), digests());
}
