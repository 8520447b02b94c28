//! Replacing a file so that every reader sees the old content or the new, also after a power cut.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::{Error, Outcome, at};
use crate::vault::sync_directory;

/// Writes `content` beside `path`, makes it durable, and renames it into place.
///
/// # Errors
/// What the kernel reports; the old file is then untouched.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Outcome<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(at(path)(std::io::ErrorKind::InvalidInput.into()));
    };
    let mut temporary_name = name.to_owned();
    temporary_name.push(".new");
    let temporary = parent.join(temporary_name);
    let written = write(&temporary, content, mode)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(at(path)));
    if let Err(error) = written {
        // A left-over does no harm: the next attempt removes it.
        drop(std::fs::remove_file(&temporary));
        return Err(error);
    }
    sync_directory(parent)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    // Whatever is there: it may be a link to what is not ours to write, or open to others. Only a new file is written.
    drop(std::fs::remove_file(path));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(at(path))?;
    // Exactly these, whatever the umask.
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_permissions() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("f");
        let left_over = temp.path().join("f.new");
        std::fs::write(&left_over, "longer than the new content").expect("written");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&left_over, open).expect("changed");
        for content in ["first", "second, longer", "3"] {
            replace(&path, content.as_bytes(), 0o600).expect("replaced");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), content);
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            assert!(!left_over.exists());
        }
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let temp = tempfile::tempdir().expect("a directory");
        let (path, elsewhere) = (temp.path().join("f"), temp.path().join("elsewhere"));
        std::fs::write(&elsewhere, "of somebody else").expect("written");
        for link in ["f.new", "f"] {
            std::os::unix::fs::symlink(&elsewhere, temp.path().join(link)).expect("linked");
            replace(&path, b"new", 0o600).expect("replaced");
            let kept = std::fs::read_to_string(&elsewhere).expect("read");
            assert_eq!(kept, "of somebody else", "{link}");
            let data = std::fs::symlink_metadata(&path).expect("there");
            assert!(data.is_file(), "{link}");
            std::fs::remove_file(&path).expect("removed");
        }
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("f");
        std::fs::write(&path, "old").expect("written");
        std::fs::create_dir(temp.path().join("f.new")).expect("made");
        assert!(replace(&path, b"new", 0o600).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "old");
    }
}
