//! Files, read with a bound and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Refusal;
use crate::limits::FILE_BYTES_MAX;

/// The text of a file.
///
/// # Errors
/// [`Refusal::File`] and [`Refusal::Long`].
pub fn read(path: &Path) -> Result<String, Refusal> {
    let mut text = String::new();
    let file = File::open(path).map_err(Refusal::file(path))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(Refusal::file(path))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Refusal::Long(path.to_owned()));
    }
    Ok(text)
}

/// Makes a file that must not exist, for its owner alone, durably.
///
/// # Errors
/// [`Refusal::File`].
pub fn create(path: &Path, text: &str) -> Result<(), Refusal> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(Refusal::file(path))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(Refusal::file(path))?;
    sync_parent(path)
}

/// Replaces a file: after a crash it is the old one or the new one, and when this returns the new one for good.
///
/// # Errors
/// [`Refusal::File`].
pub fn replace(path: &Path, text: &str) -> Result<(), Refusal> {
    let fresh = path.with_extension("new");
    // What a crash left here never counted.
    let mut file = File::create(&fresh).map_err(Refusal::file(&fresh))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(Refusal::file(&fresh))?;
    fs::rename(&fresh, path).map_err(Refusal::file(path))?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<(), Refusal> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(Refusal::file(parent))
}
