//! Running other programs: captured output, a deadline, a chosen environment.
//!
//! A program that outlives its deadline is killed and the case fails; nothing here waits for
//! ever. Output that goes into a failure is stripped of the run's secrets first.

use crate::failure::{Failure, Outcome};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest tail of a program's output that a failure quotes, in characters.
const QUOTE_CHARS_MAX: usize = 3000;
/// Deadline of a run that sets none.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(5);

/// One program run, being put together.
pub struct Run {
    command: Command,
    shown: String,
    deadline: Duration,
    secrets: Vec<String>,
}

/// What a finished program left.
pub struct Finished {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output, lossily as text.
    pub stdout: String,
    /// Standard error, lossily as text.
    pub stderr: String,
    shown: String,
}

impl Run {
    /// A run of `program` with this process's environment.
    pub fn new(program: impl AsRef<OsStr>) -> Run {
        let shown = program.as_ref().to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Run {
            command,
            shown,
            deadline: DEADLINE_DEFAULT,
            secrets: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Run {
        args.into_iter().fold(self, |run, arg| run.arg(arg))
    }

    /// Starts from an empty environment with only these variables.
    #[must_use]
    pub fn only_env(mut self, variables: &[(String, OsString)]) -> Run {
        self.command.env_clear();
        for (name, value) in variables {
            self.command.env(name, value);
        }
        self
    }

    /// Sets one variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// Removes one variable.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Run {
        self.command.env_remove(name);
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Run {
        self.command.current_dir(directory);
        self
    }

    /// Kills the program after this long.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Run {
        self.deadline = deadline;
        self
    }

    /// Texts that must not be quoted in a failure.
    #[must_use]
    pub fn secrets(mut self, secrets: &[String]) -> Run {
        self.secrets.extend_from_slice(secrets);
        self
    }

    /// Runs to the end, whatever the exit status.
    pub fn finish(self) -> Outcome<Finished> {
        let Run {
            mut command,
            shown,
            deadline,
            secrets,
        } = self;
        let hide = |text: String| {
            secrets
                .iter()
                .filter(|s| !s.is_empty())
                .fold(text, |t, s| t.replace(s, "<secret>"))
        };
        let mut child = command
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start `{shown}`: {error}")))?;
        let stdout = child.stdout.take().map(drain);
        let stderr = child.stderr.take().map(drain);
        let status = wait(&mut child, deadline)?;
        let stdout = hide(stdout.map_or_else(String::new, collect));
        let stderr = hide(stderr.map_or_else(String::new, collect));
        let shown = hide(shown);
        let finished = |status| Finished {
            status,
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            shown: shown.clone(),
        };
        match status {
            Some(status) => Ok(finished(status)),
            None => {
                let seconds = deadline.as_secs();
                let said = quote(&format!("{stdout}\n{stderr}"));
                Err(Failure::new(format!(
                    "`{shown}` was still running after {seconds} s\n{said}"
                )))
            }
        }
    }

    /// Runs to the end and fails unless the exit status is 0; returns the standard output.
    pub fn succeed(self) -> Outcome<String> {
        let finished = self.finish()?;
        finished.expect_success()?;
        Ok(finished.stdout)
    }

    /// Runs with this terminal as output (long builds); fails unless the exit status is 0.
    pub fn stream(self) -> Outcome {
        let Run {
            mut command, shown, ..
        } = self;
        let status = command
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit())
            .status()
            .map_err(|error| Failure::new(format!("cannot start `{shown}`: {error}")))?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::new(format!("`{shown}` ended with {status}"))),
        }
    }

    /// The command itself, for callers that read its output line by line.
    pub fn into_command(self) -> Command {
        self.command
    }
}

impl Finished {
    /// Fails, quoting the output, unless the exit status is 0.
    pub fn expect_success(&self) -> Outcome {
        if self.status.success() {
            Ok(())
        } else {
            Err(self.unexpected("success"))
        }
    }

    /// Fails, quoting the output, unless the program failed and its output holds the text.
    pub fn expect_refusal(&self, text: &str) -> Outcome {
        let said = format!("{}{}", self.stdout, self.stderr);
        match !self.status.success() && said.contains(text) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("a refusal that says '{text}'"))),
        }
    }

    /// A failure that quotes what the program said.
    pub fn unexpected(&self, wanted: &str) -> Failure {
        let said = quote(&format!(
            "{}\n{}",
            self.stdout.trim_end(),
            self.stderr.trim_end()
        ));
        let Finished { shown, status, .. } = self;
        Failure::new(format!(
            "expected {wanted}, `{shown}` ended with {status}\n{said}"
        ))
    }
}

/// The last part of a long output, each line indented.
pub fn quote(text: &str) -> String {
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(QUOTE_CHARS_MAX);
    let tail: String = text.chars().skip(skip).collect();
    tail.lines()
        .map(|line| format!("          | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Waits for the child; None when the deadline passed and it had to be killed.
pub fn wait(child: &mut Child, deadline: Duration) -> Outcome<Option<ExitStatus>> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut out = Vec::new();
        // A pipe that breaks has said all it will say.
        let _ = pipe.read_to_end(&mut out);
        out
    })
}

fn collect(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_code_are_captured() {
        let done = Run::new("sh")
            .args(["-c", "echo out; echo err >&2; exit 3"])
            .finish()
            .unwrap();
        assert_eq!(
            (done.stdout.as_str(), done.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert_eq!(done.status.code(), Some(3));
        assert!(done.expect_refusal("err").is_ok());
        assert!(done.expect_success().is_err());
    }

    #[test]
    fn a_run_past_its_deadline_is_killed() {
        let run = Run::new("sleep")
            .arg("600")
            .deadline(Duration::from_millis(20));
        assert!(run.finish().is_err());
    }

    #[test]
    fn secrets_do_not_reach_a_failure() {
        let secrets = ["hunter2".to_owned()];
        let done = Run::new("sh")
            .args(["-c", "echo hunter2; exit 1"])
            .secrets(&secrets);
        let text = done.finish().unwrap().unexpected("success").to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
}
