//! Disks taken away and bytes flipped: everything acknowledged stays right, or is refused by name
//! when more is damaged than the copies cover; never wrong bytes.
//!
//! One vault is filled and stopped cleanly; every case works on a copy of it.

mod media;
mod starts;

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::load::{Book, Load, Scope, Verified, fill, verify_all};
use crate::rng::Rng;
use crate::server::Server;
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Scratch, Workspace};
use media::{Area, disk_files};
use serde_json::Value;
use std::path::{Path, PathBuf};

const BUCKET: &str = "damage-bucket";
const BOOKS: u64 = 4;
/// Operations per book while filling.
const FILL_STEPS: u64 = 120;
const FILL_BYTES: u64 = 96 << 20;
/// Flipped bytes per case.
const FLIPS: u64 = 12;

/// The filled vault and what it promised.
struct Yard<'a> {
    programs: &'a Programs,
    scratch: &'a Scratch,
    base: PathBuf,
    books: Vec<Book>,
    rng: Rng,
    count: u32,
}

/// Runs the suite; the seed chooses contents and places.
pub fn run(workspace: &Workspace, programs: &Programs, seed: u64) -> Closed {
    let mut ledger = Ledger::open("damage", workspace.ci);
    println!("seed {seed}");
    match workspace.scratch("damage") {
        Ok(scratch) => everything(programs, &scratch, seed, &mut ledger),
        Err(failure) => {
            ledger.case("scratch directory", || Err(failure));
        }
    }
    ledger.close()
}

fn everything(programs: &Programs, scratch: &Scratch, seed: u64, ledger: &mut Ledger) {
    let base = scratch.join("base");
    let books = (0..BOOKS)
        .map(|index| Book::new(&format!("d{index}/")))
        .collect();
    let rng = Rng::new(seed);
    let mut yard = Yard {
        programs,
        scratch,
        base,
        books,
        rng,
        count: 0,
    };
    if !ledger.case("fill a vault and stop it", || yard.fill()) {
        return;
    }
    let disks = match disk_files(&yard.base) {
        Ok(disks) => disks.len(),
        Err(_) => 0,
    };
    ledger.case("an evaluation vault has three disks", || {
        ensure(disks == 3, || format!("{disks} files *.disk"))
    });
    ledger.case("an untouched copy is clean and right", || yard.untouched());
    for disk in 0..disks {
        ledger.case(&format!("disk {disk} gone: all reads right"), || {
            yard.gone(disk)
        });
        for area in [Area::Segment, Area::Label, Area::KeyState, Area::Index] {
            let name = format!("disk {disk}, {} flipped: right, and named", area.word());
            ledger.case(&name, || yard.flipped(disk, area));
        }
        ledger.case(&format!("disk {disk} all noise: all reads right"), || {
            yard.noise(disk)
        });
        let stale = format!("disk {disk} stale: shown and left alone");
        ledger.case(&stale, || yard.stale(disk));
    }
    for gone in 0..disks {
        for flipped in (0..disks).filter(|disk| *disk != gone) {
            let name = format!("disk {gone} gone, disk {flipped} flipped: right or refused");
            ledger.case(&name, || yard.both(gone, flipped));
        }
    }
    starts::cases(programs, scratch, ledger);
}

impl Yard<'_> {
    fn fill(&mut self) -> Outcome {
        let server = Server::start(&self.programs.stele, &self.base)?;
        let mut client = server.client();
        client.create_bucket(BUCKET, true)?.expect(200)?;
        let load = Load::new(BUCKET, FILL_BYTES);
        for book in &mut self.books {
            fill(&load, book, &mut client, &mut self.rng, FILL_STEPS)?;
        }
        let found = verify_all(&server.endpoint, BUCKET, &mut self.books, Scope::All, false)?;
        println!("        {} versions", found.right);
        server.stop()
    }

    /// A copy of the vault for one case.
    fn copy(&mut self) -> Outcome<Copy> {
        self.count += 1;
        let vault = self.scratch.join(&format!("copy-{}", self.count));
        media::copy_tree(&self.base, &vault)?;
        let disks = disk_files(&vault)?;
        Ok(Copy { vault, disks })
    }

    /// Starts a copy, reads everything, stops it.
    fn read_all(&mut self, copy: &Copy, refusals: bool) -> Outcome<Verified> {
        let server = Server::start(&self.programs.stele, &copy.vault)?;
        let found = verify_all(
            &server.endpoint,
            BUCKET,
            &mut self.books,
            Scope::All,
            refusals,
        )
        .map_err(|failure| failure.and(&server.said()))?;
        server.stop()?;
        Ok(found)
    }

    fn untouched(&mut self) -> Outcome {
        let copy = self.copy()?;
        self.inspect(&copy)?.expect(0)?;
        self.read_all(&copy, false)?;
        self.inspect(&copy)?.expect(0)
    }

    fn gone(&mut self, disk: usize) -> Outcome {
        let copy = self.copy()?;
        std::fs::remove_file(&copy.disks[disk])?;
        self.read_all(&copy, false)?;
        self.inspect(&copy)?.expect(0)
    }

    fn flipped(&mut self, disk: usize, area: Area) -> Outcome {
        let copy = self.copy()?;
        let file = &copy.disks[disk];
        let geometry = media::geometry(file)?;
        let blocks = media::used_blocks(file, &geometry, area)?;
        if blocks.is_empty() && area == Area::Index {
            // Not every disk carries an index.
            return Ok(());
        }
        ensure(!blocks.is_empty(), || {
            format!("nothing in use in {}", area.word())
        })?;
        let changed = media::flip(file, &blocks, FLIPS, &mut self.rng)?;
        let report = self.inspect(&copy)?;
        match area {
            Area::Segment | Area::Label => {
                report.expect(1)?;
                report.only_names(file, area)?;
            }
            Area::KeyState => {
                // The other disks carry the same key state: a dead copy is a note.
                report.expect(0)?;
                report.notes_on(file, "key-state copy")?;
            }
            // Its content is encrypted and can be rebuilt, so the verifier does not judge it.
            Area::Index => report.expect(0)?,
        }
        if area == Area::Segment {
            let clean = &disk_files(&self.base)?[disk];
            for offset in changed {
                report.names_place(media::owner(clean, offset)?, offset)?;
            }
        }
        self.read_all(&copy, false).map(drop)
    }

    fn noise(&mut self, disk: usize) -> Outcome {
        let copy = self.copy()?;
        let file = &copy.disks[disk];
        let geometry = media::geometry(file)?;
        for area in [Area::Segment, Area::Label, Area::KeyState, Area::Index] {
            let blocks = media::used_blocks(file, &geometry, area)?;
            media::scramble(file, &blocks, &mut self.rng)?;
        }
        let code = self.inspect(&copy)?.code;
        ensure(code == Some(1) || code == Some(2), || {
            format!("the verifier ended with {code:?}")
        })?;
        self.read_all(&copy, false).map(drop)
    }

    fn stale(&mut self, disk: usize) -> Outcome {
        let copy = self.copy()?;
        let (file, aside) = (&copy.disks[disk], self.scratch.join("aside.disk"));
        std::fs::rename(file, &aside)?;
        let server = Server::start(&self.programs.stele, &copy.vault)?;
        let mut client = server.client();
        for index in 0..20 {
            let key = format!("while-away-{index}");
            client
                .put(BUCKET, &key, key.as_bytes(), None)?
                .expect(200)?;
        }
        server.stop()?;
        std::fs::rename(&aside, file)?;
        let before = digest(file)?;
        let server = Server::start(&self.programs.stele, &copy.vault)?;
        status_says_stale(&self.programs.stele, &copy.vault, file)?;
        verify_all(&server.endpoint, BUCKET, &mut self.books, Scope::All, false)?;
        let mut client = server.client();
        for index in 0..20 {
            let key = format!("while-away-{index}");
            let answer = client.get(BUCKET, &key, None)?;
            ensure(answer.body == key.as_bytes(), || {
                format!("{key}: {}", answer.summary())
            })?;
        }
        client.put(BUCKET, "after", b"after", None)?.expect(200)?;
        server.stop()?;
        status_says_stale(&self.programs.stele, &copy.vault, file)?;
        ensure(digest(file)? == before, || {
            "the stale disk was written".to_owned()
        })?;
        let report = self.inspect(&copy)?;
        report.expect(0)?;
        report.says_state(file, "stale")
    }

    fn both(&mut self, gone: usize, flipped: usize) -> Outcome {
        let copy = self.copy()?;
        let file = &copy.disks[flipped];
        let geometry = media::geometry(file)?;
        let mut changed = Vec::new();
        for area in [Area::Segment, Area::Label, Area::KeyState, Area::Index] {
            let blocks = media::used_blocks(file, &geometry, area)?;
            if !blocks.is_empty() {
                changed.extend(media::flip(file, &blocks, FLIPS / 3, &mut self.rng)?);
            }
        }
        std::fs::remove_file(&copy.disks[gone])?;
        let report = self.inspect(&copy)?;
        report.expect(1)?;
        let mut found = self.read_all(&copy, true)?;
        if found.refused > found.right {
            // The last index mirror is the flipped one: a start makes the index anew.
            println!("        before a restart: {found}");
            found = self.read_all(&copy, true)?;
        }
        println!("        {found}");
        ensure(found.right > found.refused, || {
            "nearly everything was refused".to_owned()
        })?;
        // With all disks as they were, everything is right again.
        for disk in [gone, flipped] {
            std::fs::remove_file(&copy.disks[disk]).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
        drop(copy);
        let whole = self.copy()?;
        self.read_all(&whole, false).map(drop)
    }

    fn inspect(&self, copy: &Copy) -> Outcome<Report> {
        inspect(&self.programs.inspect, &copy.vault)
    }
}

/// A copy of the vault; removed with its handle, since many are made.
struct Copy {
    vault: PathBuf,
    disks: Vec<PathBuf>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.vault) {
            eprintln!("cannot remove {}: {error}", self.vault.display());
        }
    }
}

fn digest(file: &Path) -> Outcome<Vec<u8>> {
    let geometry = media::geometry(file)?;
    let mut hasher = blake3::Hasher::new();
    let reader = std::fs::File::open(file)?;
    for area in [Area::Segment, Area::Label, Area::KeyState, Area::Index] {
        for block in media::used_blocks(file, &geometry, area)? {
            let mut bytes = vec![0; 4096];
            std::os::unix::fs::FileExt::read_exact_at(&reader, &mut bytes, block)?;
            hasher.update(&block.to_le_bytes());
            hasher.update(&bytes);
        }
    }
    Ok(hasher.finalize().as_bytes().to_vec())
}

fn name_of(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn status_says_stale(stele: &Path, vault: &Path, disk: &Path) -> Outcome {
    let text = Run::new(stele)
        .arg("status")
        .arg("--vault")
        .arg(vault)
        .succeed()?;
    let name = name_of(disk);
    let shown = text
        .lines()
        .any(|line| line.contains(&name) && line.contains("stale"));
    ensure(shown, || {
        format!("status does not call {name} stale:\n{text}")
    })?;
    let json = Run::new(stele)
        .args(["status", "--json", "--vault"])
        .arg(vault)
        .succeed()?;
    let json: Value = serde_json::from_str(&json)?;
    ensure(json.to_string().contains("stale"), || {
        format!("status --json: {json}")
    })
}

/// What the offline verifier said.
struct Report {
    code: Option<i32>,
    json: Value,
}

fn inspect(program: &Path, vault: &Path) -> Outcome<Report> {
    let finished = Run::new(program)
        .args(["verify", "--json"])
        .arg(vault)
        .finish()?;
    let json = serde_json::from_str(finished.stdout.trim())
        .map_err(|_| finished.unexpected("one line of JSON"))?;
    Ok(Report {
        code: finished.status.code(),
        json,
    })
}

impl Report {
    fn expect(&self, code: i32) -> Outcome {
        let agrees = self.json["verdict"] == code;
        ensure(self.code == Some(code) && agrees, || {
            format!(
                "expected verdict {code}, got {:?}: {}",
                self.code, self.json
            )
        })
    }

    fn damages(&self) -> Vec<&Value> {
        self.json["damage"]
            .as_array()
            .into_iter()
            .flatten()
            .collect()
    }

    /// Nothing but this area of this disk is called damaged, and it is.
    fn only_names(&self, disk: &Path, area: Area) -> Outcome {
        let name = name_of(disk);
        let right = |damage: &&Value| {
            let file = damage["disk"].as_str().unwrap_or_default();
            damage["area"] == area.word() && name_of(Path::new(file)) == name
        };
        let damages = self.damages();
        ensure(!damages.is_empty() && damages.iter().all(right), || {
            format!(
                "expected only {} of {name} to be named: {}",
                area.word(),
                self.json
            )
        })
    }

    /// The segment, and the frame when the place lies in one, is named.
    fn names_place(&self, owner: Option<(u64, Option<u64>)>, offset: u64) -> Outcome {
        let Some((segment, frame)) = owner else {
            return Err(Failure::new(format!("byte {offset} belongs to no segment")));
        };
        let named = self.damages().iter().any(|damage| {
            damage["segment"] == segment && frame.is_none_or(|frame| damage["frame"] == frame)
        });
        ensure(named, || {
            format!(
                "byte {offset}, segment {segment}, frame {frame:?} not named: {}",
                self.json
            )
        })
    }

    /// A note on this disk, and on no other, speaks of this.
    fn notes_on(&self, disk: &Path, text: &str) -> Outcome {
        let name = name_of(disk);
        let disks = self.json["disks"].as_array().cloned().unwrap_or_default();
        let right = disks.iter().all(|entry| {
            let file = entry["file"].as_str().unwrap_or_default();
            let noted = entry["notes"].to_string().contains(text);
            noted == (name_of(Path::new(file)) == name)
        });
        ensure(right, || {
            format!("no note on {name} alone of its {text}: {}", self.json)
        })
    }

    fn says_state(&self, disk: &Path, state: &str) -> Outcome {
        let name = name_of(disk);
        let disks = self.json["disks"].as_array().cloned().unwrap_or_default();
        let said = disks.iter().any(|entry| {
            let file = entry["file"].as_str().unwrap_or_default();
            name_of(Path::new(file)) == name && entry["state"] == state
        });
        ensure(said, || {
            format!("{name} is not called {state}: {}", self.json)
        })
    }
}
