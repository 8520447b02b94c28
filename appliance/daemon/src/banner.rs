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

use crate::client_env::{ClientFiles, quote};
use crate::control::protocol::Status;
use crate::status::{disk_line, state_line};
use crate::vault::Directory;

/// What there is to say about a start.
pub struct Facts<'a> {
    /// The vault.
    pub directory: &'a Directory,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is.
    pub status: &'a Status,
    /// How long the start took.
    pub took: Duration,
    /// What recovery did.
    pub report: &'a OpenReport,
}

/// Says that a vault was made.
pub fn created(directory: &Directory) {
    let dir = word(directory.path());
    let key = directory.key_file().display().to_string();
    print(&format!(
        "Created an evaluation vault in {}.\n\
         Its key lies beside the data, in {key}: without that file the backups cannot be read,\n\
         and whoever copies it with the disks can read them.\n\
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
        ClientFiles::endpoint(facts.address.port()),
        facts.address,
        facts.directory.path().display(),
        state_line(status),
    );
    for disk in &status.disks {
        text.push_str(&format!("  disk     {}\n", disk_line(disk)));
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

fn warnings(facts: &Facts<'_>) -> String {
    let key = facts.directory.key_file().display().to_string();
    let mut text = format!(
        "The keys lie beside the data, in {key}. Whoever copies this directory\n\
         can read every backup, and an old copy of the key file can undo a destruction.\n\n"
    );
    if facts.status.simulated_clock {
        text.push_str(
            "This vault has a simulated clock: its retention dates can be made to pass.\n\n",
        );
    }
    if facts.status.disks.len() == 1 {
        text.push_str("This vault has one disk: nothing survives the loss of it.\n\n");
    }
    text.push_str(
        "Nothing can be freed before two operators are enrolled, which this version cannot do:\n\
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
         \x20 aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 cp /etc/os-release s3://backups/\n\
         \x20 aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 ls s3://backups\n\n\
         \x20 export RESTIC_PASSWORD=evaluation RESTIC_REPOSITORY=\"s3:$AWS_ENDPOINT_URL/restic\"\n\
         \x20 restic --cacert \"$AWS_CA_BUNDLE\" init\n\
         \x20 restic --cacert \"$AWS_CA_BUNDLE\" backup /etc/os-release\n\
         \x20 restic --cacert \"$AWS_CA_BUNDLE\" snapshots\n\n\
         \x20 env -u AWS_CA_BUNDLE rclone --s3-provider Other --s3-env-auth \
         --s3-endpoint \"$AWS_ENDPOINT_URL\" copy /etc/os-release :s3:rclone\n\
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
