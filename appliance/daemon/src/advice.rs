//! Commands for an operator to paste, and which of them a vault asks for.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use stele_store::engine::FILE_SYSTEM_FULL;

use crate::client_env::quote;
use crate::control::protocol::{DiskStatus, NextStep};

/// Writes commands about one vault.
#[derive(Debug, Clone, Copy)]
pub struct Commands<'a> {
    vault: &'a Path,
    /// What says who asks, where the vault has people and one of them must.
    who: &'static str,
}

impl<'a> Commands<'a> {
    /// Commands about the vault in this directory.
    pub fn new(vault: &'a Path) -> Commands<'a> {
        Commands { vault, who: "" }
    }

    /// The same where the vault has people, if it has: whoever changes its disks says who they are. The words in
    /// capitals stand for that.
    pub fn asked_by_people(self, founded: bool) -> Commands<'a> {
        let who = if founded { " --as NAME --key FILE" } else { "" };
        Commands { who, ..self }
    }

    /// Serves it.
    pub fn serve(&self) -> String {
        format!("stele serve --vault {}", word(self.vault))
    }

    /// Shows how it is.
    pub fn status(&self) -> String {
        format!("stele status --vault {}", word(self.vault))
    }

    /// Revokes an access key.
    pub fn revoke(&self, key_id: &str) -> String {
        let vault = word(self.vault);
        format!("stele client revoke {key_id} --vault {vault}{}", self.who)
    }

    /// Shows what two people could force open.
    pub fn look(&self) -> String {
        format!("stele force-open look --vault {}", word(self.vault))
    }

    /// Asks two people to force it open; words in capitals stand for what whoever asks knows.
    pub fn ask_force(&self) -> String {
        format!(
            "stele force-open request --vault {} --as NAME --reason WORDS OUT",
            word(self.vault)
        )
    }

    /// Agrees to such a request.
    pub fn approve_force(&self, request: &Path) -> String {
        let (vault, request) = (word(self.vault), word(request));
        format!("stele force-open approve --vault {vault} --as NAME {request} OUT")
    }

    /// Forces it open as two people signed it.
    pub fn force(&self, request: &Path, approval: &Path) -> String {
        let (request, approval) = (word(request), word(approval));
        format!("{} --force-open {request} {approval}", self.serve())
    }

    /// What to do about a vault that is only read because disks are missing, after all else.
    pub fn last_resort(&self) -> NextStep {
        NextStep {
            disk: None,
            what: "only if what is missing is lost for good, stop the vault and see what two people can open without it"
                .to_owned(),
            command: self.look(),
        }
    }

    /// What to do about a vault that can only be read, whatever people sign.
    pub fn make_another(&self) -> NextStep {
        NextStep {
            disk: None,
            what: "nobody can force it open: unless a disk turns up that has what is missing, keep it to read from, and \
                   make another vault for what comes and what is needed of this one"
                .to_owned(),
            command: "stele create DIRECTORY".to_owned(),
        }
    }

    /// What gives a full vault room at once.
    pub fn more_room(&self) -> NextStep {
        NextStep {
            disk: None,
            what: "there is no room for new data: a further disk has some".to_owned(),
            command: self.add(),
        }
    }

    /// What else gives a full vault room, and the only thing that gives its index some.
    pub fn what_is_over(&self) -> NextStep {
        NextStep {
            disk: None,
            what: "what is over can be destroyed by two people; to see what that is, run"
                .to_owned(),
            command: format!("stele expiry report --vault {}", word(self.vault)),
        }
    }

    /// What to do about a vault that was so full at its start that nothing can be written to it any more.
    pub fn keep_to_read(&self) -> NextStep {
        NextStep {
            disk: None,
            what: "it is too full to take a disk or to destroy anything: keep it to read from, and make another vault for \
                   what comes"
                .to_owned(),
            command: "stele create DIRECTORY".to_owned(),
        }
    }

    /// What to do where nobody knows whether clients must show certificates.
    pub fn decide_client_ca(&self) -> NextStep {
        let vault = word(self.vault);
        NextStep {
            disk: None,
            what: "if clients must show certificates, say by which authorities; else off in the place of FILE; then install \
                   the certificate again, if there was one"
                .to_owned(),
            command: format!("stele tls client-ca --vault {vault} FILE{}", self.who),
        }
    }

    /// What to do about a certificate in its last days or after them.
    pub fn new_certificate(&self, installed: bool) -> NextStep {
        let vault = word(self.vault);
        let (what, command) = match installed {
            true => (
                "install a certificate that is good for longer",
                format!(
                    "stele tls install --vault {vault} CERTIFICATE KEY{}",
                    self.who
                ),
            ),
            false => (
                "stop the vault and start it, which makes another certificate by a new authority; then give clients the \
                 new ca.pem, or they refuse the vault",
                self.serve(),
            ),
        };
        NextStep {
            disk: None,
            what: what.to_owned(),
            command,
        }
    }

    /// Shows its disks.
    pub fn list(&self) -> String {
        format!("stele disk list --vault {}", word(self.vault))
    }

    /// Fills a disk at its known path.
    pub fn resync(&self, number: u16) -> String {
        let (vault, who) = (word(self.vault), self.who);
        format!("stele disk resync --vault {vault} {number}{who}")
    }

    /// Takes a further disk; the word PATH stands for it.
    pub fn add(&self) -> String {
        format!(
            "stele disk add --vault {} PATH{}",
            word(self.vault),
            self.who
        )
    }

    /// Puts another disk in the place of one; without a path, the word PATH stands for it.
    pub fn replace(&self, number: u16, path: Option<&Path>) -> String {
        let path = path.map_or_else(|| "PATH".to_owned(), word);
        let (vault, who) = (word(self.vault), self.who);
        format!("stele disk replace --vault {vault} {number} {path}{who}")
    }

    /// What to do about the disks of a vault that is served, most urgent first. A vault that is
    /// read-only takes no disk before it was started again with the missing ones.
    pub fn next(&self, disks: &[DiskStatus], read_only: bool) -> Vec<NextStep> {
        let some_wanted = disks.iter().any(|disk| disk.wanted);
        // With one disk less it takes no writes, and then no disk either.
        let few = disks.iter().filter(|disk| disk.state == "active").count() == 2;
        let counts = |disk: &&DiskStatus| disk.wanted || !(read_only && some_wanted);
        let numbered = disks.iter().filter(counts);
        let numbered = numbered.filter_map(|disk| Some((disk.number?, disk)));
        // A disk that is used must be back before the next start; one that takes no part has time.
        let (used, others): (Vec<_>, Vec<_>) = numbered.partition(|(_, disk)| disk.astray);
        used.into_iter()
            .chain(others)
            .flat_map(|(number, disk)| match is_suspect(disk) && !read_only {
                true => vec![self.about_suspect(number, disk, few)],
                false => self.about(number, disk, read_only),
            })
            .collect()
    }

    fn about_suspect(&self, number: u16, disk: &DiskStatus, few: bool) -> NextStep {
        let serial = serial_words(disk);
        let mut why = disk.suspect.clone();
        if disk.forgotten_frames > 0 {
            let lies = "it did not keep what it had confirmed, as one does whose write cache survives no power cut";
            why.push(lies.to_owned());
        }
        let (then, command) = match few {
            true => (
                "the vault takes no writes without it: add a further disk first",
                self.add(),
            ),
            false => (
                "if all others are ok, pull it out, put a blank disk in its place, and run",
                self.replace(number, None),
            ),
        };
        NextStep {
            disk: Some(number),
            what: format!(
                "disk {number}{serial} at {} is a suspect: {}; {then}",
                disk.file,
                why.join(", and ")
            ),
            command,
        }
    }

    fn about(&self, number: u16, disk: &DiskStatus, read_only: bool) -> Vec<NextStep> {
        let step = |what: String, command: String| NextStep {
            disk: Some(number),
            what,
            command,
        };
        let file = &disk.file;
        let serial = serial_words(disk);
        match disk.state.as_str() {
            _ if disk.astray => vec![step(
                format!(
                    "have disk {number}{serial} back at {file} before the vault is stopped, and look again"
                ),
                self.list(),
            )],
            "unreadable" if read_only => vec![step(
                format!(
                    "what is at {file}{serial} is not disk {number}: plug disk {number} in there instead, stop the vault, and start it"
                ),
                self.serve(),
            )],
            "absent" if read_only => vec![step(
                format!(
                    "plug disk {number}{serial} in again at {file}, stop the vault, and start it"
                ),
                self.serve(),
            )],
            "expelled" if read_only => vec![step(back_in(number, disk), self.serve())],
            "absent" => vec![
                step(
                    format!("plug disk {number}{serial} in again at {file} and run"),
                    self.resync(number),
                ),
                step(
                    format!("or put a blank disk in the place of disk {number}{serial}"),
                    self.replace(number, None),
                ),
            ],
            "unreadable" => vec![
                step(
                    format!(
                        "what is at {file}{serial} is not disk {number}; if it is blank, make it so"
                    ),
                    self.replace(number, Some(Path::new(file))),
                ),
                step(
                    format!("or put another blank disk in the place of disk {number}"),
                    self.replace(number, None),
                ),
            ],
            "left-behind" if !read_only => vec![step(
                format!("put a blank disk in the place of disk {number}"),
                self.replace(number, None),
            )],
            "stale" if !read_only => vec![step(
                format!("fill disk {number}{serial} with what it missed"),
                self.resync(number),
            )],
            "expelled" if !read_only => vec![
                step(
                    format!("put a blank disk in the place of disk {number}{serial} at {file}"),
                    self.replace(number, None),
                ),
                step(
                    format!("or, if only its cable or room was at fault, fill disk {number} again"),
                    self.resync(number),
                ),
            ],
            "drained" if !read_only && disk.free_bytes.is_some() => vec![step(
                format!(
                    "disk {number}{serial} may be pulled out at {file}; if another one is to take its place, run"
                ),
                self.replace(number, None),
            )],
            _ => Vec::new(),
        }
    }
}

/// Whether a disk that takes part gave reason to put another one in its place.
fn is_suspect(disk: &DiskStatus) -> bool {
    let reason = !disk.suspect.is_empty() || disk.forgotten_frames > 0;
    reason && disk.state == "active" && !disk.astray
}

/// How a disk that failed while the vault served takes part again, where too few are left.
fn back_in(number: u16, disk: &DiskStatus) -> String {
    let (file, serial) = (&disk.file, serial_words(disk));
    let then = "stop the vault, and start it";
    if disk.notes.iter().any(|note| note == FILE_SYSTEM_FULL) {
        format!("free space on the file system of disk {number} ({file}), {then}")
    } else {
        format!("plug disk {number}{serial} in again at {file}, {then}")
    }
}

/// Which drive it is, as its label says.
fn serial_words(disk: &DiskStatus) -> String {
    let serial = disk.serial.as_ref();
    serial.map_or_else(String::new, |serial| format!(" (serial {serial})"))
}

/// A path as a shell reads it back.
pub fn word(path: &Path) -> String {
    String::from_utf8_lossy(&quote(path.as_os_str().as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(number: Option<u16>, state: &str) -> DiskStatus {
        DiskStatus {
            number,
            file: "/v/a disk".to_owned(),
            id: None,
            state: state.to_owned(),
            health: String::new(),
            fill: None,
            notes: Vec::new(),
            bytes: None,
            free_bytes: None,
            serial: None,
            backend: None,
            slow: None,
            suspect: Vec::new(),
            forgotten_frames: 0,
            astray: false,
            wanted: false,
        }
    }

    #[test]
    fn what_people_must_sign_says_who_asks() {
        let commands = Commands::new(Path::new("/v")).asked_by_people(true);
        let report = "stele expiry report --vault /v";
        assert_eq!(commands.what_is_over().command, report);
        let install = "stele tls install --vault /v CERTIFICATE KEY --as NAME --key FILE";
        assert_eq!(commands.new_certificate(true).command, install);
        let serve = "stele serve --vault /v";
        assert_eq!(commands.new_certificate(false).command, serve);
    }

    #[test]
    fn every_state_of_a_disk_asks_for_its_commands() {
        let check = |state: &str, read_only: bool, expected: &[&str]| {
            let vault = Path::new("/v");
            let steps = Commands::new(vault).next(&[disk(Some(2), state)], read_only);
            let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
            assert_eq!(commands, expected, "{state}");
            assert!(steps.iter().all(|step| step.what.contains("disk 2")));
        };
        let resync = "stele disk resync --vault /v 2";
        let replace = "stele disk replace --vault /v 2 PATH";
        check("active", false, &[]);
        let away = DiskStatus {
            astray: true,
            ..disk(Some(2), "active")
        };
        let steps = Commands::new(Path::new("/v")).next(&[away], false);
        assert_eq!(steps[0].command, "stele disk list --vault /v");
        let suspect = DiskStatus {
            suspect: vec!["it was too slow".to_owned()],
            ..disk(Some(2), "active")
        };
        for (read_only, expected) in [(false, &[replace][..]), (true, &[])] {
            let steps =
                Commands::new(Path::new("/v")).next(std::slice::from_ref(&suspect), read_only);
            let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
            assert_eq!(commands, expected);
        }
        let forgetful = DiskStatus {
            forgotten_frames: 3,
            ..disk(Some(2), "active")
        };
        let add = "stele disk add --vault /v PATH";
        for (others, expected) in [(1, add), (2, replace)] {
            let others = (0..others).map(|_| disk(Some(1), "active"));
            for one in [&suspect, &forgetful] {
                let disks: Vec<_> = others.clone().chain([one.clone()]).collect();
                let steps = Commands::new(Path::new("/v")).next(&disks, false);
                let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
                assert_eq!(commands, [expected]);
            }
        }
        check("joining", false, &[]);
        check("absent", false, &[resync, replace]);
        check("stale", false, &[resync]);
        check("expelled", false, &[replace, resync]);
        check("left-behind", false, &[replace]);
        check("left-behind", true, &[]);
        let here = "stele disk replace --vault /v 2 '/v/a disk'";
        check("unreadable", false, &[here, replace]);
        check("absent", true, &["stele serve --vault /v"]);
        check("unreadable", true, &["stele serve --vault /v"]);
        check("stale", true, &[]);
        check("expelled", true, &["stele serve --vault /v"]);
    }

    #[test]
    fn a_read_only_vault_asks_for_the_disks_that_count_and_says_what_each_needs() {
        let vault = Path::new("/v");
        let full = DiskStatus {
            notes: vec![FILE_SYSTEM_FULL.to_owned()],
            wanted: true,
            ..disk(Some(3), "expelled")
        };
        let gone = DiskStatus {
            wanted: true,
            serial: Some("ZA1B2C3D".to_owned()),
            ..disk(Some(2), "expelled")
        };
        let disks = [disk(Some(1), "expelled"), gone, full];
        let steps = Commands::new(vault).next(&disks, true);
        let said: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(
            said,
            [
                "plug disk 2 (serial ZA1B2C3D) in again at /v/a disk, stop the vault, and start it",
                "free space on the file system of disk 3 (/v/a disk), stop the vault, and start it",
            ]
        );
    }

    #[test]
    fn a_disk_that_is_used_and_was_taken_away_comes_first_and_is_named() {
        let lost = disk(Some(1), "absent");
        let taken = DiskStatus {
            astray: true,
            serial: Some("ZA3".to_owned()),
            ..disk(Some(3), "active")
        };
        let steps = Commands::new(Path::new("/v")).next(&[lost, taken], false);
        let about: Vec<Option<u16>> = steps.iter().map(|step| step.disk).collect();
        assert_eq!(about, [Some(3), Some(1), Some(1)]);
        assert_eq!(
            steps[0].what,
            "have disk 3 (serial ZA3) back at /v/a disk before the vault is stopped, and look again"
        );
        assert_eq!(steps[0].command, "stele disk list --vault /v");
    }

    #[test]
    fn a_drive_is_named_by_what_is_printed_on_it() {
        for (state, said) in [
            (
                "absent",
                [
                    "plug disk 2 (serial ZA1) in again at /v/a disk and run",
                    "or put a blank disk in the place of disk 2 (serial ZA1)",
                ],
            ),
            (
                // The drive that is there is another one.
                "unreadable",
                [
                    "what is at /v/a disk (serial ZA1) is not disk 2; if it is blank, make it so",
                    "or put another blank disk in the place of disk 2",
                ],
            ),
        ] {
            let shown = DiskStatus {
                serial: Some("ZA1".to_owned()),
                ..disk(Some(2), state)
            };
            let steps = Commands::new(Path::new("/v")).next(&[shown], false);
            let words: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
            assert_eq!(words, said);
        }
    }

    #[test]
    fn people_say_who_they_are_where_there_are_any() {
        let vault = Path::new("/v");
        let disks = [disk(Some(2), "absent")];
        for (founded, who) in [(false, ""), (true, " --as NAME --key FILE")] {
            let commands = Commands::new(vault).asked_by_people(founded);
            let steps = commands.next(&disks, false);
            let asked: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
            let resync = format!("stele disk resync --vault /v 2{who}");
            let replace = format!("stele disk replace --vault /v 2 PATH{who}");
            assert_eq!(asked, [resync, replace]);
            assert_eq!(
                commands.add(),
                format!("stele disk add --vault /v PATH{who}")
            );
            assert_eq!(commands.serve(), "stele serve --vault /v");
        }
    }

    #[test]
    fn a_place_of_no_disk_asks_for_nothing() {
        let vault = Path::new("/v");
        let steps = Commands::new(vault).next(&[disk(None, "unreadable")], false);
        assert_eq!(steps, []);
    }
}
