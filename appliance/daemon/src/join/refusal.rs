//! Why a disk does not join or leave: one sentence that names the disk, its number, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use stele_device::disk::DiskError;
use stele_format::label::LabelError;
use stele_format::units::PoolId;
use stele_store::engine::{DiskRefusal, DrainRefusal};
use stele_store::policy::wiping;
use stele_store::wipe::WipeError;

use crate::error::Error;

/// A disk that does not join.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}{} does not become {}: {why}", named(path.as_deref()), serial_words(serial.as_deref()), becoming(disk.as_ref())
)]
pub struct NotJoined {
    /// The disk; none when the vault knows no place for it.
    pub path: Option<PathBuf>,
    /// What is printed on the drive that is there.
    pub serial: Option<String>,
    /// What it was to become; none for a further disk.
    pub disk: Option<Told>,
    /// Why not.
    pub why: Unfit,
}

fn named(path: Option<&Path>) -> String {
    path.map_or_else(|| "nothing".to_owned(), |path| path.display().to_string())
}

fn becoming(disk: Option<&Told>) -> String {
    disk.map_or_else(|| "a further disk".to_owned(), Told::to_string)
}

/// Which drive it is, as its label says.
pub fn serial_words(serial: Option<&str>) -> String {
    serial.map_or_else(String::new, |serial| format!(" (serial {serial})"))
}

/// A disk of the vault as an operator is told of it: its number, and what is printed on the drive that is it, or was last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its number, from 1.
    pub number: u16,
    /// None for a file, or where it never was known.
    pub serial: Option<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = serial_words(self.serial.as_deref());
        write!(f, "disk {}{serial}", self.number)
    }
}

/// A wipe that goes on, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request {request}, {done} of {bytes} bytes are blank")]
pub struct UnderWay {
    /// The request that two people signed.
    pub request: u64,
    /// Bytes that are blank by now.
    pub done: u64,
    /// Bytes that are to be.
    pub bytes: u64,
}

/// Why a disk is not fit, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Nothing is there, and nothing is to be made.
    #[error("no such disk; plug it in there, or put a blank one in its place: {replace}")]
    Missing {
        /// The command.
        replace: String,
    },
    /// A device that is not there.
    #[error("no such device; plug it in or name another one")]
    NoDevice,
    /// A file was to be made where no directory is.
    #[error("its directory does not exist; make it or name another path")]
    NoDirectory,
    /// A directory.
    #[error("it is a directory; name a block device, or a file to be made")]
    Directory,
    /// Neither a file nor a block device.
    #[error("it is neither a file nor a block device; name another path")]
    NotADisk,
    /// Somebody else writes it.
    #[error("another process uses it; end that process or name another disk")]
    InUse,
    /// The kernel says no.
    #[error(
        "it cannot be opened for reading and writing ({source}); mend that or name another disk"
    )]
    Unopenable {
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It fails already.
    #[error("it cannot be read ({0}); name another disk")]
    Unreadable(DiskError),
    /// It fails when it is labelled.
    #[error("its label cannot be written ({0}); name another disk")]
    Unwritable(DiskError),
    /// Something is on it.
    #[error(
        "it is not blank (data at byte {offset}); nothing was written to it, name a blank disk"
    )]
    NotBlank {
        /// Where the first data is.
        offset: u64,
    },
    /// A disk that comes back holds nothing.
    #[error("it is blank and holds nothing of that disk; to use it all the same, run: {replace}")]
    Blank {
        /// The command.
        replace: String,
    },
    /// It is a disk of the vault.
    #[error("it is {0} of this vault; nothing was written to it, name a blank disk")]
    Taken(Told),
    /// It is the very disk.
    #[error("it is that disk already; to fill it with what it lacks, run: {resync}")]
    Itself {
        /// The command.
        resync: String,
    },
    /// Another disk should be there.
    #[error(
        "it is the place of {disk}; name another path, or replace disk {} with it", disk.number
    )]
    PlaceOf {
        /// Which.
        disk: Told,
    },
    /// A disk of another vault.
    #[error("it belongs to another vault (pool {0}); nothing was written to it, name a blank disk")]
    Foreign(PoolId),
    /// A label of this vault with an identity that no disk of it has.
    #[error("it is a disk of this vault that nothing is known of; blank it or name another disk")]
    Unknown,
    /// It cannot hold what it must.
    #[error("it has {bytes} bytes and at least {bytes_min} are needed; name a larger disk")]
    TooSmall {
        /// What it has.
        bytes: u64,
        /// What it must have.
        bytes_min: u64,
    },
    /// There is no such number.
    #[error("the vault has no disk of that number; to see its disks, run: {list}")]
    NoSuchDisk {
        /// The command.
        list: String,
    },
    /// The old disk works.
    #[error(
        "{disk} takes part in the vault and lacks nothing; to exchange it, stop the vault, \
         take the disk out, and start the vault first"
    )]
    Healthy {
        /// Which.
        disk: Told,
    },
    /// The old disk works, and another one does not.
    #[error(
        "{disk} takes part in the vault and lacks nothing; what takes no part is {lost}: leave {disk} in, and run: {command}"
    )]
    Mistaken {
        /// The one that was named.
        disk: Told,
        /// Those that take no part.
        lost: String,
        /// The command for the first of them.
        command: String,
    },
    /// The old disk works, and without it the vault would take no writes, and then no disk either.
    #[error(
        "{disk} takes part in the vault, which takes no writes without it; to exchange it, first add a further disk: \
         {add}"
    )]
    Needed {
        /// Which.
        disk: Told,
        /// The command.
        add: String,
    },
    /// One at a time.
    #[error("{disk} is being filled; run this again when it is ok in: {status}")]
    Filling {
        /// Which.
        disk: Told,
        /// The command.
        status: String,
    },
    /// The number of disks cannot grow.
    #[error("this vault takes no further disks; create one of three disks or more")]
    CountFixed,
    /// There are as many as can be.
    #[error("a vault has at most {disks_max} disks; put a larger one in the place of one of them")]
    CountMax {
        /// How many.
        disks_max: u16,
    },
    /// Any other reason of the engine.
    #[error("{0}")]
    Engine(DiskRefusal),
    /// Nothing is left of what it was, soon.
    #[error("it is being wiped ({0}); run this again when that is done")]
    Wiped(UnderWay),
    /// The old handle of the disk does not come free.
    #[error("it is still busy with what it was asked to do; run this again later")]
    Busy,
    /// The note could not be taken.
    #[error("the vault's list of disks cannot be written ({0}); nothing was written to the disk")]
    Config(Box<Error>),
    /// The engine is gone.
    #[error("the vault is stopping; run this again when it is served")]
    Stopping,
}

/// A disk that is not drained.
#[derive(Debug, thiserror::Error)]
#[error("disk {}{} cannot be drained: {why}", disk.number, in_brackets(file.as_deref(), disk))]
pub struct NotDrained {
    /// Which.
    pub disk: Told,
    /// Where it is.
    pub file: Option<String>,
    /// Why not.
    pub why: Undrained,
}

fn in_brackets(file: Option<&str>, disk: &Told) -> String {
    let serial = disk
        .serial
        .as_ref()
        .map(|serial| format!("serial {serial}"));
    let words: Vec<String> = file.map(str::to_owned).into_iter().chain(serial).collect();
    match words.is_empty() {
        true => String::new(),
        false => format!(" ({})", words.join(", ")),
    }
}

/// Why a disk cannot be drained, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Undrained {
    /// There is no such number.
    #[error("the vault has no disk of that number; to see its disks, run: {list}")]
    NoSuchDisk {
        /// The command.
        list: String,
    },
    /// It takes no part.
    #[error("it takes no part in the vault; what it needs is told by: {status}")]
    NotActive {
        /// The command.
        status: String,
    },
    /// It is empty.
    #[error("that was done already; to see the disks, run: {list}")]
    Already {
        /// The command.
        list: String,
    },
    /// One at a time.
    #[error("{disk} is being filled or drained; run this again when that is done by: {status}")]
    Busy {
        /// Which.
        disk: Told,
        /// The command.
        status: String,
    },
    /// Copies are missing already.
    #[error("{disk} takes no part; first do what is told by: {status}")]
    OtherMissing {
        /// Which.
        disk: Told,
        /// The command.
        status: String,
    },
    /// There is no other.
    #[error("it is the only disk of the vault")]
    Only,
    /// Those that remain could not hold every copy.
    #[error(
        "the journal has a copy on each of three disks, and the vault has {disks} disks; add one \
         first: {add}"
    )]
    TooFew {
        /// Disks there are.
        disks: u16,
        /// The command.
        add: String,
    },
    /// It carries the index.
    #[error(
        "the first two disks carry the index, which cannot move; to exchange it, stop the vault, take \
         the disk out, start the vault, and run: {replace}"
    )]
    Index {
        /// The command.
        replace: String,
    },
    /// The others are too full.
    #[error(
        "the other disks lack room for what it holds ({missing_bytes} bytes); add one first: {add}"
    )]
    NoRoom {
        /// How much is missing.
        missing_bytes: u64,
        /// The command.
        add: String,
    },
    /// Any other reason of the engine.
    #[error("{0}")]
    Engine(DrainRefusal),
    /// The note could not be taken.
    #[error("the vault's list of disks cannot be written ({0}); nothing was moved")]
    Config(Box<Error>),
    /// The engine is gone.
    #[error("the vault is stopping; run this again when it is served")]
    Stopping,
}

/// A disk that is not wiped.
#[derive(Debug, thiserror::Error)]
#[error("{}{} is not wiped: {why}", path.display(), serial_words(serial.as_deref()))]
pub struct NotWiped {
    /// The disk.
    pub path: PathBuf,
    /// What is printed on the drive that is there.
    pub serial: Option<String>,
    /// Why not.
    pub why: Box<Unwiped>,
}

/// Why a disk is not wiped, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unwiped {
    /// It cannot be opened.
    #[error("{0}")]
    Unfit(Box<Unfit>),
    /// It is a disk of the vault.
    #[error("it is {0} of this vault; only a disk that the vault let go of is wiped")]
    Taken(Told),
    /// It has no label that can be read.
    #[error("{0}: nobody knows what disk it is; a blank one can be used as it is")]
    Label(LabelError),
    /// It is half wiped.
    #[error("request {request} is wiping it already; go on with: --request {request}")]
    Begun {
        /// The request.
        request: u64,
    },
    /// The rules, which no number of people overcomes, or the request.
    #[error("{0}; nothing was written to it")]
    Kept(#[from] wiping::NotWiped),
    /// The disk fails.
    #[error("{0}; if it says so again, it is not fit to be used")]
    Failed(#[from] WipeError),
    /// One at a time.
    #[error("{} is being wiped ({far}); run this again when that is done", path.display())]
    Other {
        /// The other disk.
        path: PathBuf,
        /// How far it is.
        far: UnderWay,
    },
    /// The vault stops before it is done.
    #[error(
        "the vault is stopping, and it is half wiped ({0}); when the vault is served again, go on with: \
         --request {request}", request = .0.request
    )]
    Interrupted(UnderWay),
    /// The log does not say yet that it is done.
    #[error("it is wiped, and the log does not say so yet; run this again")]
    NotNoted,
    /// The engine is gone.
    #[error("the vault is stopping; run this again when it is served")]
    Stopping,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u16, serial: Option<&str>) -> Told {
        let serial = serial.map(str::to_owned);
        Told { number, serial }
    }

    fn not_joined(disk: Option<Told>, why: Unfit) -> String {
        let (path, serial) = (Some(PathBuf::from("/dev/sdq")), Some("NEW7".to_owned()));
        let refused = NotJoined {
            path,
            serial,
            disk,
            why,
        };
        refused.to_string()
    }

    #[test]
    fn refusals_name_both_drives_and_what_to_do_in_one_line() {
        let two = || Some(told(2, Some("OLD2")));
        let pool = PoolId::new([0xab; 16]);
        for (why, said) in [
            (
                Unfit::Mistaken {
                    disk: told(2, Some("OLD2")),
                    lost: told(3, Some("LOST3")).to_string(),
                    command: "stele disk replace 3 /dev/sdq".to_owned(),
                },
                "disk 2 (serial OLD2) takes part in the vault and lacks nothing; what takes no part is disk 3 (serial LOST3): \
                 leave disk 2 (serial OLD2) in, and run: stele disk replace 3 /dev/sdq",
            ),
            (
                Unfit::TooSmall {
                    bytes: 5,
                    bytes_min: 7,
                },
                "it has 5 bytes and at least 7 are needed; name a larger disk",
            ),
            (
                Unfit::Foreign(pool),
                "it belongs to another vault (pool abababababababababababababababab); nothing was written to it, name a blank disk",
            ),
            (
                Unfit::Taken(told(1, Some("NEW7"))),
                "it is disk 1 (serial NEW7) of this vault; nothing was written to it, name a blank disk",
            ),
            (
                Unfit::PlaceOf {
                    disk: told(4, Some("FOUR")),
                },
                "it is the place of disk 4 (serial FOUR); name another path, or replace disk 4 with it",
            ),
            (
                Unfit::Filling {
                    disk: told(3, Some("LOST3")),
                    status: "stele status".to_owned(),
                },
                "disk 3 (serial LOST3) is being filled; run this again when it is ok in: stele status",
            ),
        ] {
            let begins = "/dev/sdq (serial NEW7) does not become disk 2 (serial OLD2): ";
            assert_eq!(not_joined(two(), why), format!("{begins}{said}"));
        }
        assert_eq!(
            not_joined(None, Unfit::NotADisk),
            "/dev/sdq (serial NEW7) does not become a further disk: it is neither a file nor a block device; name another path"
        );
    }

    #[test]
    fn a_file_has_no_serial_and_is_named_by_its_path() {
        let refused = NotDrained {
            disk: told(2, None),
            file: Some("/v/disk2.disk".to_owned()),
            why: Undrained::Only,
        };
        assert_eq!(
            refused.to_string(),
            "disk 2 (/v/disk2.disk) cannot be drained: it is the only disk of the vault"
        );
        let refused = NotDrained {
            disk: told(2, Some("S")),
            ..refused
        };
        assert!(
            refused
                .to_string()
                .starts_with("disk 2 (/v/disk2.disk, serial S) cannot")
        );
    }
}
