//! Files to back up, the same for the same seed, and whether they came back.

use crate::command::Run;
use crate::failure::{Failure, Outcome};
use crate::rng::Rng;
use aws_lc_rs::digest::{Context, SHA256};
use std::io::{Read, Write};
use std::path::Path;

/// Writes a file of pseudo-random bytes; returns its SHA-256.
pub fn make_file(path: &Path, bytes: u64, seed: u64) -> Outcome<Vec<u8>> {
    let mut file = std::fs::File::create(path)?;
    let (mut rng, mut context) = (Rng::new(seed), Context::new(&SHA256));
    let mut buffer = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let count = usize::try_from(left.min(1 << 20)).unwrap_or(1 << 20);
        rng.fill(&mut buffer[..count]);
        context.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
        left -= u64::try_from(count).unwrap_or(left);
    }
    Ok(context.finish().as_ref().to_vec())
}

/// The SHA-256 of a file.
pub fn file_digest(path: &Path) -> Outcome<Vec<u8>> {
    let mut file = std::fs::File::open(path).map_err(|e| Failure::path("cannot open", path, &e))?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(context.finish().as_ref().to_vec()),
            count => context.update(&buffer[..count]),
        }
    }
}

/// Fails unless both trees hold the same files with the same bytes.
pub fn same_tree(left: &Path, right: &Path) -> Outcome {
    let run = Run::new("/usr/bin/diff").arg("-r").arg(left).arg(right);
    run.succeed().map(drop)
}

/// A directory of files of many sizes, the same for the same seed.
pub fn make_tree(path: &Path, seed: u64, files: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    for index in 0..files {
        let directory = path.join(format!("dir {}", index % 5));
        std::fs::create_dir_all(&directory)?;
        let bytes = match index % 4 {
            0 => rng.below(200),
            1 => rng.below(20_000),
            2 => rng.below(200_000),
            _ => rng.below(2_000_000),
        };
        make_file(
            &directory.join(format!("datei-{index} ä.bin")),
            bytes,
            rng.next(),
        )?;
    }
    Ok(())
}

/// A day later: a directory is gone, a file is new, another one has other bytes.
pub fn change_tree(path: &Path, seed: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    std::fs::remove_dir_all(path.join("dir 2"))?;
    make_file(&path.join("dir 3").join("new file"), 123_456, rng.next())?;
    make_file(&path.join("dir 1").join("grown"), 2_500_000, rng.next())?;
    let changed = path.join("dir 0").join("datei-0 ä.bin");
    make_file(&changed, 77_777, rng.next()).map(drop)
}
