//! The server against a client that knows nothing of it: QEMU's.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const QEMU_IO: &str = "/usr/bin/qemu-io";
const QEMU_IMG: &str = "/usr/bin/qemu-img";
const BYTES: u64 = 1 << 20;
/// Bytes of one write of these tests.
const PIECE: usize = 64 << 10;

/// Whether QEMU's tools are missing, with a printed reason; on a CI machine that is a failure.
fn is_skipped() -> bool {
    if [QEMU_IO, QEMU_IMG]
        .iter()
        .all(|program| Path::new(program).is_file())
    {
        return false;
    }
    let what = "qemu-io is missing: apt-get install --no-install-recommends qemu-utils";
    let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(!ci, "{what}");
    println!("skipped: {what}");
    true
}

/// A directory with the file of a disk.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        let bench = Bench(tempfile::tempdir().expect("a directory"));
        let disk = std::fs::File::create(bench.file()).expect("a file");
        disk.set_len(BYTES).expect("room");
        bench
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    /// A server of the disk, once it listens.
    fn serve(&self, plan: &str) -> Server {
        let socket = self.0.path().join("socket");
        // One that was cut left it behind.
        let _ = std::fs::remove_file(&socket);
        let mut process = Command::new(env!("CARGO_BIN_EXE_stele-evil"))
            .arg("--socket")
            .arg(&socket)
            .arg("--file")
            .arg(self.file())
            .args(["--plan", plan])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let said = process.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).expect("a line");
        assert!(line.starts_with("EVIL DISK"), "{line}");
        Server { process, socket }
    }

    /// Whether a piece of the file, by its number, has this byte everywhere.
    fn holds(&self, piece: usize, byte: u8) -> bool {
        let bytes = std::fs::read(self.file()).expect("the file");
        let piece = &bytes[piece * PIECE..(piece + 1) * PIECE];
        piece.iter().all(|found| *found == byte)
    }
}

struct Server {
    process: Child,
    socket: PathBuf,
}

impl Server {
    fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket.display())
    }

    /// Runs these commands one after the other on one connection.
    fn qemu_io(&self, commands: &[&str]) -> Output {
        let mut qemu = Command::new(QEMU_IO);
        // As it is by itself, every write would be durable.
        qemu.args(["-f", "raw", "-t", "writeback"]);
        for command in commands {
            qemu.args(["-c", command]);
        }
        qemu.arg(self.uri("")).output().expect("qemu-io runs")
    }

    /// The cut that was planned has come.
    fn wait_for_cut(mut self) {
        use std::os::unix::process::ExitStatusExt;
        let ended = self.process.wait().expect("the server ends");
        assert_eq!(ended.signal(), Some(9), "{ended}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been cut already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn assert_fine(output: &Output) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let fine = output.status.success() && !out.contains("failed") && err.is_empty();
    assert!(fine, "{}\n{out}\n{err}", output.status);
}

#[test]
fn qemu_learns_the_size_with_and_without_the_name_of_an_export() {
    if is_skipped() {
        return;
    }
    let bench = Bench::new();
    let server = bench.serve("seed=1");
    for export in ["", "disk"] {
        let mut info = Command::new(QEMU_IMG);
        let info = info.args(["info", "-f", "raw", "--output=json"]);
        let output = info
            .arg(server.uri(export))
            .output()
            .expect("qemu-img runs");
        assert_fine(&output);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains(&format!("\"virtual-size\": {BYTES}")),
            "{said}"
        );
    }
}

#[test]
fn qemu_reads_what_it_wrote_and_finds_it_on_another_connection_and_in_the_file() {
    if is_skipped() {
        return;
    }
    let bench = Bench::new();
    let server = bench.serve("seed=1");
    let write = ["write -P 0xa1 0 64k", "write -P 0xb2 64k 64k", "flush"];
    assert_fine(&server.qemu_io(&write));
    let read = [
        "read -P 0xa1 0 64k",
        "read -P 0xb2 64k 64k",
        "read -P 0 128k 64k",
        "discard 0 64k",
        "read -P 0 0 64k",
        "write -f -P 0xc3 0 4k",
        "read -P 0xc3 0 4k",
    ];
    assert_fine(&server.qemu_io(&read));
    assert!(bench.holds(1, 0xb2));
    // The check itself sees what is wrong.
    let wrong = server.qemu_io(&["read -P 0xa1 64k 64k"]);
    assert!(!wrong.status.success(), "{wrong:?}");
}

/// Has QEMU write a piece, flush it and write another one; the power goes at a third. Whether each of the two is there.
fn cut(plan: &str) -> (bool, bool) {
    let bench = Bench::new();
    let server = bench.serve(&format!("{plan},writes=3"));
    let output = server.qemu_io(&[
        "write -P 0xa1 0 64k",
        "flush",
        "write -P 0xb2 64k 64k",
        "write -P 0xc3 128k 64k",
    ]);
    assert!(!output.status.success(), "{plan}: {output:?}");
    server.wait_for_cut();
    let server = bench.serve("seed=1");
    let flushed = server.qemu_io(&["read -P 0xa1 0 64k"]).status.success();
    assert_eq!(flushed, bench.holds(0, 0xa1));
    (flushed, bench.holds(1, 0xb2))
}

#[test]
fn what_qemu_flushed_survives_every_cut_and_what_it_did_not_flush_does_not_always() {
    if is_skipped() {
        return;
    }
    let cuts: Vec<(bool, bool)> = (0..12).map(|seed| cut(&format!("seed={seed}"))).collect();
    assert!(cuts.iter().all(|(flushed, _)| *flushed), "{cuts:?}");
    assert!(cuts.iter().any(|(_, written)| !written), "{cuts:?}");
}

#[test]
fn a_server_that_lies_about_flushes_is_seen_to() {
    if is_skipped() {
        return;
    }
    let mut cuts = (0..12).map(|seed| cut(&format!("seed={seed},flush=ignored")));
    assert!(cuts.any(|(flushed, _)| !flushed));
}
