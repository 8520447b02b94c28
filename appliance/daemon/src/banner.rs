//! What a start prints for the person at the terminal: what this is, what it cannot do, how it is,
//! and lines to paste that work with the clients Debian ships.
//!
//! It goes to standard output; a closed one is no reason to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use stele_store::recovery::OpenReport;

use crate::client_env::quote;
use crate::control::protocol::Status;
use crate::keys::KeySource;
use crate::status::{disk_row, next_lines, people_lines, state_line};
use crate::vault::Directory;

/// What there is to say about a start.
pub struct Facts<'a> {
    /// The vault.
    pub directory: &'a Directory,
    /// The URL clients use.
    pub endpoint: &'a str,
    /// Where it listens.
    pub address: SocketAddr,
    /// What holds its key.
    pub source: &'a KeySource,
    /// How it is.
    pub status: &'a Status,
    /// How long the start took.
    pub took: Duration,
    /// What recovery did.
    pub report: &'a OpenReport,
}

/// Says that a vault was made.
pub fn created(directory: &Directory, source: &KeySource) {
    let dir = word(directory.path());
    let keys = directory.keys(source.clone());
    let key = keys.file.display();
    let about = match keys.source {
        KeySource::File => format!(
            "Its key lies beside the data, in {key}: without that file the backups cannot be read,\n\
             and whoever copies it with the disks can read them.\n"
        ),
        KeySource::Tpm(_) => format!(
            "Its key is held by the TPM of {source} (anchor: tpm) and found there through {key}:\n\
             without that file, or without that TPM, the backups cannot be read.\n"
        ),
    };
    print(&format!(
        "Created an evaluation vault in {}.\n{about}\
         Serve it with: stele serve --vault {dir}\n\n",
        directory.path().display(),
    ));
}

/// Says that a vault is being served.
pub fn serving(facts: &Facts<'_>) {
    print(&text(facts));
}

fn text(facts: &Facts<'_>) -> String {
    let mut text = heading(facts);
    text.push_str(&warnings(facts));
    text.push_str(&examples(facts.directory));
    text
}

fn heading(facts: &Facts<'_>) -> String {
    let status = facts.status;
    let mut text = format!(
        "Stele {}: an immutable backup vault, for evaluation only.\n\n  \
         address  {} (listening on {})\n  vault    {}\n  pool     {}\n",
        status.version,
        facts.endpoint,
        facts.address,
        facts.directory.path().display(),
        state_line(status),
    );
    for disk in &status.disks {
        text.push_str(&format!("  {}", disk_row(disk)));
    }
    for line in next_lines(status).lines() {
        text.push_str(&format!("  {line}\n"));
    }
    let seconds = facts.took.as_secs_f64();
    let (records, repaired) = (facts.report.records, facts.report.repaired_frames);
    text.push_str(&format!(
        "  start    {seconds:.2} s, {records} records replayed"
    ));
    if repaired > 0 {
        text.push_str(&format!(", {repaired} frames completed from other copies"));
    }
    if facts.report.index_rebuilt {
        text.push_str(", index rebuilt from the journal");
    }
    text.push_str("\n\n");
    text
}

fn keys_warning(facts: &Facts<'_>) -> String {
    let directory = facts.directory;
    match facts.source {
        KeySource::File => format!(
            "The keys lie beside the data, in {}. Whoever copies this directory\n\
             can read every backup, and an old copy of the key file can undo a destruction.\n\n",
            directory.key_file().display()
        ),
        KeySource::Tpm(_) => format!(
            "The keys are held by the TPM of {} (anchor: tpm). Whoever copies this directory can read\n\
             nothing without it; whoever has this machine can. Keep {}:\n\
             without it nothing opens.\n\n",
            facts.source,
            directory.keys(facts.source.clone()).file.display()
        ),
    }
}

fn warnings(facts: &Facts<'_>) -> String {
    let mut text = keys_warning(facts);
    if facts.status.simulated_clock {
        text.push_str(
            "This vault has a simulated clock: it is for tests, its retention dates prove nothing.\n\n",
        );
    }
    if facts.status.disks.len() == 1 {
        text.push_str("This vault has one disk: nothing survives the loss of it.\n\n");
    }
    let people = facts.status.people.as_ref();
    let founded = people.is_some_and(|people| !people.active.is_empty());
    if let Some(people) = people.filter(|_| founded) {
        text.push_str(&people_lines(people));
        text.push('\n');
    }
    if founded {
        text.push_str("Clients free nothing; what has expired goes when two people sign for it:\n");
    } else {
        text.push_str("Nothing can be freed before people are founded (stele people found):\n");
    }
    text.push_str(
        "\
         \x20 restic forget --prune, rclone sync  work; what they delete is hidden, its space stays used\n\
         \x20 rclone purge                        fails on versions under retention; the data is safe\n\
         \x20 aws s3 rb --force                   fails with BucketNotEmpty; the data is safe\n\n",
    );
    text
}

/// Debian's awscli knows no AWS_ENDPOINT_URL, and its rclone stops when AWS_CA_BUNDLE is set.
fn examples(directory: &Directory) -> String {
    let env = word(&directory.client_env());
    format!(
        "To try it, paste into another shell:\n\n\
         \x20 set -a; . {env}; set +a\n\n\
         \x20 aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 mb s3://backups\n\
         \x20 aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 cp /usr/lib/os-release s3://backups/\n\
         \x20 aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 ls s3://backups\n\n\
         \x20 export RESTIC_PASSWORD=evaluation RESTIC_REPOSITORY=\"s3:$AWS_ENDPOINT_URL/restic\"\n\
         \x20 restic --cacert \"$AWS_CA_BUNDLE\" init\n\
         \x20 restic --cacert \"$AWS_CA_BUNDLE\" backup /usr/lib/os-release\n\
         \x20 restic --cacert \"$AWS_CA_BUNDLE\" snapshots\n\n\
         \x20 env -u AWS_CA_BUNDLE rclone --s3-provider Other --s3-env-auth \
         --s3-endpoint \"$AWS_ENDPOINT_URL\" copy /usr/lib/os-release :s3:rclone\n\
         \x20 env -u AWS_CA_BUNDLE rclone --s3-provider Other --s3-env-auth \
         --s3-endpoint \"$AWS_ENDPOINT_URL\" ls :s3:rclone\n\n\
         Stop with Ctrl-C or SIGTERM.\n"
    )
}

fn word(path: &Path) -> String {
    String::from_utf8_lossy(&quote(path.as_os_str().as_bytes())).into_owned()
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{DiskStatus, NextStep, OpeningStatus, PeopleSummary};
    use crate::status::health;

    fn disk(file: &str, state: &str, note: Option<&str>) -> DiskStatus {
        DiskStatus {
            number: Some(1),
            file: file.to_owned(),
            id: None,
            state: state.to_owned(),
            health: health(state, note, None),
            fill: None,
            notes: note.map(str::to_owned).into_iter().collect(),
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

    fn status(disks: Vec<DiskStatus>, simulated_clock: bool) -> Status {
        Status {
            serving: true,
            process: Some(1),
            version: "0".to_owned(),
            endpoint: None,
            directory: "/v".to_owned(),
            state: "degraded".to_owned(),
            reasons: vec!["1 of 2 disks do not take part".to_owned()],
            pool: None,
            evaluation: true,
            keys: None,
            simulated_clock,
            disks,
            alarms: Vec::new(),
            log: None,
            gateway: None,
            tls: None,
            buckets: None,
            tiers: Vec::new(),
            index: None,
            counters: None,
            healing: None,
            next: vec![NextStep {
                disk: Some(2),
                what: "fill disk 2 with what it missed".to_owned(),
                command: "stele disk resync --vault /v 2".to_owned(),
            }],
            forecast: None,
            clock: None,
            people: None,
        }
    }

    fn said(directory: &Directory, status: &Status, index_rebuilt: bool) -> String {
        let report = OpenReport {
            disks: Vec::new(),
            frames: 0,
            records: 7,
            repaired_frames: 3,
            index_rebuilt,
            walked_segments: 0,
            unexplained_versions: 0,
            outlook: None,
        };
        let address = SocketAddr::from(([0, 0, 0, 0], 9000));
        let took = Duration::from_millis(1234);
        text(&Facts {
            directory,
            source: &KeySource::File,
            endpoint: "https://localhost:9000",
            address,
            status,
            took,
            report: &report,
        })
    }

    #[test]
    fn a_start_says_what_this_is_and_how_it_stands() {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::new(&temp.path().join("it's here")).expect("named");
        let disks = vec![
            disk("/a", "active", None),
            disk("/b", "stale", Some("missed writes")),
        ];
        let text = said(&directory, &status(disks, false), true);
        for part in [
            "for evaluation only",
            "https://localhost:9000 (listening on 0.0.0.0:9000)",
            "degraded: 1 of 2 disks do not take part",
            "/b: stale; missed writes",
            "  next     fill disk 2 with what it missed: stele disk resync --vault /v 2\n",
            "1.23 s, 7 records replayed, 3 frames completed from other copies, index rebuilt",
            "The keys lie beside the data",
            "Nothing can be freed before people are founded (stele people found)",
            r"it'\''s here/client.env'; set +a",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("simulated"), "{text}");
        assert!(!text.contains("one disk"), "{text}");
    }

    #[test]
    fn people_and_what_waits_for_them_are_shown() {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::new(&temp.path().join("v")).expect("named");
        let mut status = status(Vec::new(), false);
        status.people = Some(PeopleSummary {
            active: vec![("operator".to_owned(), 1), ("approver".to_owned(), 2)],
            plain_keys: true,
            erasure_suspended: true,
            witness_silent: true,
            waiting: vec!["request 7 (erase) needs 1 approver before then".to_owned()],
            openings: vec![OpeningStatus {
                number: 1,
                record: 40,
                at: "some day".to_owned(),
                left: vec!["ab".to_owned(), "cd".to_owned()],
                has_lost: true,
                missing: 3,
            }],
            frees_from: Some("a week later".to_owned()),
        });
        let text = said(&directory, &status, false);
        for part in [
            "people   1 operator, 2 approvers\n",
            "people   sign with plain key files",
            "nothing is destroyed now: the clocks",
            "nothing is destroyed now: no witness",
            "waits    request 7 (erase) needs 1 approver before then\n",
            "forced   open at some day (number 1, record 40) without 2 disks; records are lost\n",
            "forced   3 records in the middle of the log were given up: nothing that was stored before record 40",
            "forced   nothing is destroyed and no special right counts before a week later\n",
            "what has expired goes when two people sign for it",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("Nothing can be freed"), "{text}");
    }

    #[test]
    fn single_disks_and_simulated_clocks_are_warned_of() {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::new(temp.path()).expect("named");
        let text = said(
            &directory,
            &status(vec![disk("/a", "active", None)], true),
            false,
        );
        assert!(text.contains("has one disk"), "{text}");
        assert!(text.contains("simulated clock"), "{text}");
        assert!(!text.contains("rebuilt"), "{text}");
    }
}
