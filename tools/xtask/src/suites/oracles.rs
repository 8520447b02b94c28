//! Programs that others wrote verify what a vault says of itself: Go's packages for transparency logs
//! read checkpoints, receipts, consistency proofs and, with a verifier of twenty lines, cosignatures.

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install::{GO, GO_MOD, require};
use crate::server::{INSPECT_MAX, Server};
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Scratch, Workspace};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUCKET: &str = "oracle-bucket";
/// Objects stored before the older and before the newer checkpoint.
const OBJECTS: usize = 60;
/// Compiling the oracle and running it takes less.
const GO_MAX: Duration = Duration::from_secs(300);

/// Runs the suite.
pub fn run(workspace: &Workspace, programs: &Programs) -> Closed {
    let mut ledger = Ledger::open("oracles", workspace.ci);
    let name = "Go verifies checkpoints, receipts, consistency and cosignatures";
    match require(&[GO, GO_MOD]) {
        Err(reason) => ledger.skip(name, &reason),
        Ok(()) => match workspace.scratch("oracles") {
            Ok(scratch) => {
                let source = workspace.root.join("tools/xtask/oracles/log/main.go");
                let case = Case {
                    programs,
                    scratch: &scratch,
                    source,
                };
                ledger.case(name, || case.honest());
                ledger.case("Go refuses them once a bit is changed", || case.touched());
            }
            Err(failure) => {
                ledger.case("scratch directory", || Err(failure));
            }
        },
    }
    ledger.close()
}

struct Case<'a> {
    programs: &'a Programs,
    scratch: &'a Scratch,
    source: PathBuf,
}

impl Case<'_> {
    fn facts(&self) -> PathBuf {
        self.scratch.join("facts")
    }

    /// Fills a vault, keeps what it says of its log, and has it verified.
    fn honest(&self) -> Outcome {
        let (vault, facts) = (self.scratch.join("vault"), self.facts());
        std::fs::create_dir_all(&facts)?;
        let server = Server::start(&self.programs.stele, &vault)?;
        server.client().create_bucket(BUCKET, true)?.expect(200)?;
        self.store(&server, "early")?;
        let older = self.keep(&vault, "older", &[])?;
        self.store(&server, "late")?;
        let newer = self.keep(&vault, "newer", &[])?;
        self.keep(&vault, "key", &["--key"])?;
        server.stop()?;
        let sizes = [size(&older)?, size(&newer)?];
        let run = Run::new(&self.programs.inspect)
            .arg("prove")
            .arg(&vault)
            .args(["--consistency", sizes[0], sizes[1]])
            .deadline(INSPECT_MAX);
        std::fs::write(facts.join("consistency"), run.succeed()?)?;
        self.cosign()?;
        let said = self.go()?.succeed()?;
        ensure(said.lines().count() == 2 * OBJECTS + 2, || {
            format!("the oracle verified too little:\n{said}")
        })
    }

    /// A witness sees the older checkpoint.
    fn cosign(&self) -> Outcome {
        let (facts, key) = (self.facts(), self.scratch.join("witness-key"));
        let state = self.scratch.join("witness-state");
        let witness = || Run::new(&self.programs.witness);
        let keygen = witness().args(["keygen", "--name", "witness.example/oracle", "--key"]);
        std::fs::write(facts.join("witness"), keygen.arg(&key).succeed()?)?;
        let log = std::fs::read_to_string(facts.join("key"))?;
        let trust = witness().args(["trust", "--state"]).arg(&state);
        trust.arg(log.trim_end()).succeed()?;
        let cosign = witness().args(["cosign", "--key"]).arg(&key);
        let cosign = cosign.arg("--state").arg(&state).arg(facts.join("older"));
        std::fs::write(facts.join("cosigned"), cosign.succeed()?)?;
        Ok(())
    }

    /// Each file with one character changed is refused.
    fn touched(&self) -> Outcome {
        for (name, from, to) in [
            ("older", "\n", "\n1"),
            ("newer", "stele/", "stela/"),
            ("cosigned", "\n", "\n1"),
            (
                "cosigned",
                "witness.example/oracle ",
                "witness.example/oracle A",
            ),
            ("witness", "+B", "+A"),
            ("early-7.receipt", "index ", "index 1"),
            ("late-7.receipt", "extra AQAG", "extra AQEG"),
        ] {
            let path = self.facts().join(name);
            let text = std::fs::read_to_string(&path)?;
            let changed = text.replacen(from, to, 1);
            ensure(changed != text, || format!("{name} has no {from:?}"))?;
            std::fs::write(&path, changed)?;
            let finished = self.go()?.finish()?;
            std::fs::write(&path, text)?;
            ensure(finished.status.code() == Some(1), || {
                format!("{name} was changed and is believed:\n{}", finished.stdout)
            })?;
        }
        Ok(())
    }

    fn store(&self, server: &Server, prefix: &str) -> Outcome {
        let mut client = server.client();
        for number in 0..OBJECTS {
            let key = format!("{prefix}-{number}");
            let reply = client.put(BUCKET, &key, key.as_bytes(), None)?;
            let receipt = reply.expect(200)?.header("x-stele-receipt");
            let receipt = receipt.ok_or_else(|| Failure::new("an answer without a receipt"))?;
            let text = base64_simd::STANDARD
                .decode_to_vec(receipt)
                .map_err(|_| Failure::new("a receipt that is not base64"))?;
            std::fs::write(self.facts().join(format!("{key}.receipt")), text)?;
        }
        Ok(())
    }

    /// What `stele checkpoint` prints, kept under this name.
    fn keep(&self, vault: &Path, name: &str, more: &[&str]) -> Outcome<String> {
        let run = Run::new(&self.programs.stele)
            .args(["checkpoint", "--vault"])
            .arg(vault)
            .args(more);
        let text = run.succeed()?;
        std::fs::write(self.facts().join(name), &text)?;
        Ok(text)
    }

    fn go(&self) -> Outcome<Run> {
        Ok(Run::new(GO.program)
            .arg("run")
            .arg(&self.source)
            .arg(self.facts())
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("GOPATH", "/usr/share/gocode")
            .env("GOCACHE", self.scratch.join("go-cache"))
            .deadline(GO_MAX))
    }
}

/// The second line of a checkpoint.
fn size(checkpoint: &str) -> Outcome<&str> {
    let line = checkpoint.lines().nth(1);
    line.ok_or_else(|| Failure::new("a checkpoint without a size"))
}
