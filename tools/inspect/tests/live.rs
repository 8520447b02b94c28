//! Beside a running vault: whatever was written between two reads, nothing of it is damage.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stele_format::record::EntryKind;
use stele_format::units::LaneId;
use stele_inspect::source::{ReadFault, Source};
use stele_inspect::verdict::Verdict;
use support::{DATA, Vault, entry, noise, on_lane, sample};

/// A unit near the end of a disk.
const FAR_UNIT: u32 = 32;

/// What a vault wrote, in order, on top of what was there.
struct Film {
    base: Vec<Vec<u8>>,
    writes: Vec<(usize, usize, Vec<u8>)>,
    reads: AtomicUsize,
    /// Reads before the first write happens, and between writes.
    start: usize,
    step: usize,
}

/// One disk of it: every read of any disk lets time pass.
struct FilmDisk {
    film: Arc<Film>,
    name: String,
    disk: usize,
}

impl Source for FilmDisk {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        self.film.base[self.disk].len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFault> {
        let film = &self.film;
        let reads = film.reads.fetch_add(1, Ordering::Relaxed);
        let done = reads.saturating_sub(film.start) / film.step;
        let from = usize::try_from(offset).map_err(|_| ReadFault::PastEnd)?;
        let to = from + into.len();
        into.copy_from_slice(
            film.base[self.disk]
                .get(from..to)
                .ok_or(ReadFault::PastEnd)?,
        );
        for (disk, at, bytes) in film.writes.iter().take(done) {
            let (first, last) = ((*at).max(from), (at + bytes.len()).min(to));
            if *disk == self.disk && first < last {
                into[first - from..last - from].copy_from_slice(&bytes[first - at..last - at]);
            }
        }
        Ok(())
    }
}

/// A vault at work: chunks, commits, small objects, a segment switch in both lanes, labels.
fn work(vault: &mut Vault) {
    let (mut journal, mut data) = (vault.segments[&3].clone(), vault.segments[&4].clone());
    for round in 0..6_u64 {
        let chunk = noise(12_000, 500 + round);
        vault.frame(&mut data, &chunk, 0, false);
        let commit = vault.commit(0, on_lane(), &[entry(EntryKind::Chunk, &chunk)]);
        let inline = vault.inline_commit(1, &noise(3000, 600 + round));
        vault.records(&mut journal, vec![commit, inline]);
        if round == 2 {
            let alloc = vault.alloc_next(LaneId::JOURNAL, &[0, 1, 2]);
            vault.records(&mut journal, vec![alloc]);
            let seal = vault.seal(&journal);
            journal = vault.open(LaneId::JOURNAL, &[0, 1, 2], Some(&journal));
            let note = vault.seal_note(&seal);
            vault.records(&mut journal, vec![note]);
            vault.label(|_| {});
        }
        if round == 4 {
            let seal = vault.seal(&data);
            let note = vault.seal_note(&seal);
            let alloc = vault.alloc_next(DATA, &[0, 1]);
            vault.records(&mut journal, vec![note, alloc]);
            data = vault.open(DATA, &[0, 1], Some(&data));
        }
    }
    let marker = vault.marker();
    vault.records(&mut journal, vec![marker]);
}

/// Two journal segments, one full before the next is begun at a unit far behind.
fn hurry(vault: &mut Vault) {
    let mut journal = vault.segments[&3].clone();
    for unit in [16, FAR_UNIT] {
        vault.next_unit = unit;
        let alloc = vault.alloc_next(LaneId::JOURNAL, &[0]);
        vault.records(&mut journal, vec![alloc]);
        let seal = vault.seal(&journal);
        journal = vault.open(LaneId::JOURNAL, &[0], Some(&journal));
        let note = vault.seal_note(&seal);
        vault.records(&mut journal, vec![note]);
    }
    let marker = vault.marker();
    vault.records(&mut journal, vec![marker]);
}

fn film(start: usize, step: usize) -> Arc<Film> {
    film_of(sample(3), work, start, step)
}

fn film_of(mut vault: Vault, work: fn(&mut Vault), start: usize, step: usize) -> Arc<Film> {
    let base = vault.images.clone();
    vault.writes = Some(Vec::new());
    work(&mut vault);
    assert_eq!(
        vault.verify().verdict,
        Verdict::Clean,
        "{:#?}",
        vault.verify()
    );
    let writes = vault.writes.take().unwrap();
    Arc::new(Film {
        base,
        writes,
        reads: AtomicUsize::new(0),
        start,
        step,
    })
}

#[test]
fn a_running_vault_is_never_called_damaged() {
    let total = {
        let film = film(usize::MAX, 1);
        watch(&film);
        film.reads.load(Ordering::Relaxed)
    };
    let first = film(0, 1);
    for step in [1, 2, 3, 7] {
        for start in (0..total).step_by(4 + step) {
            let again = Arc::new(Film {
                base: first.base.clone(),
                writes: first.writes.clone(),
                reads: AtomicUsize::new(0),
                start,
                step,
            });
            watch(&again);
        }
    }
}

#[test]
fn a_segment_that_was_begun_where_all_was_looked_at_is_not_missing() {
    let total = {
        let film = film_of(sample(1), hurry, usize::MAX, 1);
        watch(&film);
        film.reads.load(Ordering::Relaxed)
    };
    for start in 0..total {
        watch(&film_of(sample(1), hurry, start, 1));
    }
}

fn watch(film: &Arc<Film>) {
    let disk = |disk: usize| {
        let name = format!("{disk}.disk");
        Box::new(FilmDisk {
            film: Arc::clone(film),
            name,
            disk,
        }) as Box<dyn Source>
    };
    let sources: Vec<Box<dyn Source>> = (0..film.base.len()).map(disk).collect();
    let report = stele_inspect::verify(&sources, Duration::ZERO).unwrap();
    let (start, step) = (film.start, film.step);
    assert_eq!(
        report.verdict,
        Verdict::Clean,
        "start {start} step {step}: {report:#?}"
    );
}
