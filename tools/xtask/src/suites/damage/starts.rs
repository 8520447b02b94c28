//! Starts that must be refused, and vaults that run full: one clear sentence, nothing broken.

use super::media::{disk_files, fingerprint};
use crate::command::{Finished, Run};
use crate::failure::{Failure, Outcome, ensure};
use crate::rng::Rng;
use crate::server::Server;
use crate::suite::Ledger;
use crate::workspace::{Programs, Scratch};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUCKET: &str = "small-bucket";
/// A refusal must come, and not hang.
const REFUSAL_MAX: Duration = Duration::from_secs(30);
/// Lines of a refusal that still is one sentence with a hint.
const REFUSAL_LINES_MAX: usize = 4;
/// Smallest vault that is asked for; grown until `create` accepts it.
const SMALL_DISK_BYTES: u64 = 128 << 20;

/// Runs the cases.
pub fn cases(programs: &Programs, scratch: &Scratch, ledger: &mut Ledger) {
    let yard = Starts { programs, scratch };
    ledger.case(
        "a full vault refuses with 503, reads, and starts again",
        || yard.full(),
    );
    ledger.case("a second start on a served vault is refused", || {
        yard.second()
    });
    ledger.case("a busy port is refused", || yard.busy_port());
    ledger.case("a foreign directory is refused and left alone", || {
        yard.foreign()
    });
    ledger.case(
        "a file instead of a directory is refused and left alone",
        || yard.file(),
    );
    ledger.case(
        "a vault without its key file is refused and left alone",
        || yard.no_key(),
    );
    ledger.case(
        "a vault without its disks is refused and left alone",
        || yard.no_disks(),
    );
    ledger.case(
        "create killed half-way: served or refused, never half",
        || yard.half(),
    );
    ledger.case("create on an existing vault is refused", || {
        yard.create_again()
    });
}

struct Starts<'a> {
    programs: &'a Programs,
    scratch: &'a Scratch,
}

impl Starts<'_> {
    fn create(&self, name: &str) -> Outcome<PathBuf> {
        let vault = self.scratch.join(name);
        Run::new(&self.programs.stele)
            .arg("create")
            .arg(&vault)
            .succeed()?;
        Ok(vault)
    }

    fn serve(&self, vault: &Path, listen: &str) -> Outcome<Finished> {
        Run::new(&self.programs.stele)
            .args(["serve", "--listen", listen, "--vault"])
            .arg(vault)
            .deadline(REFUSAL_MAX)
            .finish()
    }

    fn small_vault(&self) -> Outcome<PathBuf> {
        let vault = self.scratch.join("small");
        let mut bytes = SMALL_DISK_BYTES;
        loop {
            let made = Run::new(&self.programs.stele)
                .arg("create")
                .arg(&vault)
                .args(["--disk-bytes", &bytes.to_string()])
                .finish()?;
            if made.status.success() {
                return Ok(vault);
            }
            refusal(&made)?;
            ensure(bytes < 4 << 30, || {
                "no size up to 4 GiB is accepted".to_owned()
            })?;
            bytes *= 2;
        }
    }

    fn full(&self) -> Outcome {
        let vault = self.small_vault()?;
        let mut server = Server::start(&self.programs.stele, &vault)?;
        let mut client = server.client();
        client.create_bucket(BUCKET, true)?.expect(200)?;
        let mut stored = 0_u64;
        let mut refusals = 0;
        for index in 0..4096_u64 {
            let body = Rng::new(index).bytes(if index % 3 == 0 { 3 << 20 } else { 100 << 10 });
            let answer = client.put(BUCKET, &format!("{index:05}"), &body, None)?;
            match answer.status {
                200 if refusals == 0 => stored = index + 1,
                200 => {}
                503 => refusals += 1,
                _ => return Err(Failure::new(answer.summary())),
            }
            if refusals >= 5 {
                break;
            }
        }
        println!("        {stored} objects stored before the first refusal");
        ensure(refusals >= 5 && stored > 3, || {
            format!("{stored} stored, {refusals} refused")
        })?;
        server.expect_alive()?;
        let read = |server: &Server| -> Outcome {
            let mut client = server.client();
            for index in 0..stored {
                let body = Rng::new(index).bytes(if index % 3 == 0 { 3 << 20 } else { 100 << 10 });
                let answer = client.get(BUCKET, &format!("{index:05}"), None)?;
                ensure(answer.status == 200 && answer.body == body, || {
                    format!("object {index}: {}", answer.summary())
                })?;
            }
            Ok(())
        };
        read(&server)?;
        server.kill()?;
        let server = Server::start(&self.programs.stele, &vault)
            .map_err(|failure| failure.within("start of the full vault after a kill"))?;
        read(&server)?;
        server.stop()?;
        let server = Server::start(&self.programs.stele, &vault)
            .map_err(|failure| failure.within("start of the full vault after a stop"))?;
        read(&server)?;
        server.stop()?;
        Run::new(&self.programs.inspect)
            .arg("verify")
            .arg(&vault)
            .succeed()
            .map(drop)
    }

    fn second(&self) -> Outcome {
        let vault = self.create("twice")?;
        let mut server = Server::start(&self.programs.stele, &vault)?;
        let before = std::fs::read(vault.join("client.env"))?;
        refusal(&self.serve(&vault, "127.0.0.1:0")?)?;
        server.expect_alive()?;
        let after = std::fs::read(vault.join("client.env"))?;
        ensure(before == after, || {
            "the second start replaced client.env".to_owned()
        })?;
        server.client().create_bucket(BUCKET, false)?.expect(200)?;
        server.stop()
    }

    fn busy_port(&self) -> Outcome {
        let vault = self.create("busy")?;
        let taken = TcpListener::bind("127.0.0.1:0")?;
        let port = taken.local_addr()?.port();
        let said = self.serve(&vault, &format!("127.0.0.1:{port}"))?;
        refusal(&said)?;
        let named = format!("{}{}", said.stdout, said.stderr).contains(&port.to_string());
        ensure(named, || {
            said.unexpected("the port to be named").to_string()
        })?;
        drop(taken);
        Server::start(&self.programs.stele, &vault)?.stop()
    }

    /// Serving must be refused, and change nothing.
    fn left_alone(&self, vault: &Path) -> Outcome {
        let before = fingerprint(vault)?;
        refusal(&self.serve(vault, "127.0.0.1:0")?)?;
        let after = fingerprint(vault)?;
        ensure(before == after, || {
            format!("the directory was {before:#?}, it is {after:#?}")
        })
    }

    fn foreign(&self) -> Outcome {
        let directory = self.scratch.join("foreign");
        std::fs::create_dir_all(directory.join("photos"))?;
        std::fs::write(directory.join("notes.txt"), "somebody else's")?;
        self.left_alone(&directory)?;
        let made = Run::new(&self.programs.stele)
            .arg("create")
            .arg(&directory)
            .finish()?;
        refusal(&made)?;
        let names = fingerprint(&directory)?.len();
        ensure(names == 2, || {
            "create left something in a foreign directory".to_owned()
        })
    }

    fn file(&self) -> Outcome {
        let file = self.scratch.join("a-file");
        std::fs::write(&file, "not a directory")?;
        refusal(&self.serve(&file, "127.0.0.1:0")?)?;
        let text = std::fs::read_to_string(&file)?;
        ensure(text == "not a directory", || {
            "the file was changed".to_owned()
        })
    }

    fn no_key(&self) -> Outcome {
        let vault = self.create("keyless")?;
        for entry in std::fs::read_dir(&vault)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "disk") && path.is_file() {
                std::fs::remove_file(path)?;
            }
        }
        self.left_alone(&vault)
    }

    fn no_disks(&self) -> Outcome {
        let vault = self.create("diskless")?;
        for disk in disk_files(&vault)? {
            std::fs::remove_file(disk)?;
        }
        self.left_alone(&vault)
    }

    /// Kills `create` ever later. What it leaves is either refused and left alone, or a vault.
    fn half(&self) -> Outcome {
        let (mut refused, mut served) = (0, 0);
        for step in 0..12_u64 {
            let vault = self.scratch.join(&format!("half-{step}"));
            let mut command = Run::new(&self.programs.stele)
                .arg("create")
                .arg(&vault)
                .into_command();
            let mut child = command.spawn()?;
            std::thread::sleep(Duration::from_millis(step * step * 5));
            child.kill()?;
            child.wait()?;
            if !vault.exists() || fingerprint(&vault)?.is_empty() {
                continue;
            }
            let before = fingerprint(&vault)?;
            match Server::start(&self.programs.stele, &vault) {
                Ok(server) => {
                    server.client().create_bucket(BUCKET, false)?.expect(200)?;
                    server.stop()?;
                    served += 1;
                }
                Err(_) => {
                    let after = fingerprint(&vault)?;
                    ensure(before == after, || {
                        format!("was {before:#?}, is {after:#?}")
                    })?;
                    self.left_alone(&vault)?;
                    refused += 1;
                }
            }
        }
        println!("        {refused} refused, {served} served");
        Ok(())
    }

    fn create_again(&self) -> Outcome {
        let vault = self.create("again")?;
        let before = fingerprint(&vault)?;
        refusal(
            &Run::new(&self.programs.stele)
                .arg("create")
                .arg(&vault)
                .finish()?,
        )?;
        ensure(before == fingerprint(&vault)?, || {
            "the vault was changed".to_owned()
        })
    }
}

/// A refusal: ended by itself, with a failure code, and says so in a few lines without a panic.
fn refusal(finished: &Finished) -> Outcome {
    let by_itself = finished
        .status
        .code()
        .is_some_and(|code| code != 0 && code != 101);
    let lines = finished.stderr.trim().lines().count();
    let short = (1..=REFUSAL_LINES_MAX).contains(&lines);
    let calm = !finished.stderr.contains("panicked");
    ensure(by_itself && short && calm, || {
        finished
            .unexpected("a refusal in one clear sentence")
            .to_string()
    })
}
