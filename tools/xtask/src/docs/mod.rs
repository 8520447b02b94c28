//! `cargo xtask docs`: the pages for people who set up backup clients, executed as written.
//!
//! A page runs as one shell in a fresh directory in which `vault` is a served evaluation vault, with
//! nothing of this machine's configuration. It fails with the first command that ends otherwise, or
//! says something else, than the page promises. Pages of programs that change a lot are executed with
//! Debian's and, on a vault of their own, with those of today.

mod page;
mod today;

use crate::command::{Run, quote};
use crate::failure::{Failure, Outcome, ensure};
use crate::install::{self, Tool};
use crate::server::Server;
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Scratch, Workspace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use page::Block;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;
use today::Today;

const DIRECTORY: &str = "docs/clients";
const CEREMONIES_DIRECTORY: &str = "docs/ceremonies";
const DEADLINE: Duration = Duration::from_secs(300);

/// A page and what it needs.
pub struct Page {
    /// File name without `.md`.
    pub name: &'static str,
    tools: &'static [Tool],
    /// It changes between users, as root does.
    as_root: bool,
    /// Where it lies.
    folder: &'static str,
    /// What it is executed with a second time.
    today: Option<Today>,
}

const fn page(name: &'static str, tools: &'static [Tool]) -> Page {
    let as_root = false;
    Page {
        name,
        tools,
        as_root,
        folder: DIRECTORY,
        today: None,
    }
}

const fn twice(name: &'static str, tools: &'static [Tool], today: Today) -> Page {
    Page {
        name,
        tools,
        as_root: false,
        folder: DIRECTORY,
        today: Some(today),
    }
}

const fn root_page(name: &'static str, tools: &'static [Tool]) -> Page {
    let as_root = true;
    Page {
        name,
        tools,
        as_root,
        folder: DIRECTORY,
        today: None,
    }
}

/// All pages.
pub const PAGES: [Page; 9] = [
    page("README", &[install::AWS]),
    twice("aws-cli", &[install::AWS], Today::AWS),
    twice("boto3", &[install::BOTO3], Today::BOTO3),
    page("restic", &[install::RESTIC]),
    twice("rclone", &[install::RCLONE], Today::RCLONE),
    page("s3cmd", &[install::S3CMD]),
    page("duplicity", &[install::DUPLICITY, install::BOTO3]),
    root_page(
        "pgbackrest",
        &[install::POSTGRES, install::PGBACKREST, install::AWS],
    ),
    root_page(
        "barman-cloud",
        &[install::POSTGRES, install::BARMAN, install::BOTO3],
    ),
];

/// A page about people, executed on a fresh vault of its own with a simulated clock.
const fn ceremony(name: &'static str, tools: &'static [Tool]) -> Page {
    Page {
        name,
        tools,
        as_root: false,
        folder: CEREMONIES_DIRECTORY,
        today: None,
    }
}

/// All pages about people.
pub const CEREMONIES: [Page; 13] = [
    ceremony("genesis", &[]),
    ceremony("expiry", &[install::AWS]),
    ceremony("early-deletion", &[install::AWS]),
    ceremony("hold", &[install::AWS]),
    ceremony("lock-out", &[]),
    ceremony("people-change", &[]),
    ceremony("audit", &[]),
    ceremony("disk", &[]),
    ceremony("forced-opening", &[install::AWS]),
    ceremony("witness", &[]),
    ceremony("special-right", &[install::AWS]),
    ceremony("disk-failed", &[install::AWS]),
    ceremony("disk-added", &[install::AWS]),
];

/// Executes the pages about people with these names, or all.
pub fn ceremonies(workspace: &Workspace, stele: &Path, only: &[String], ledger: &mut Ledger) {
    ledger.case("docs: every ceremony is known here", || {
        known(&workspace.root, CEREMONIES_DIRECTORY, &CEREMONIES)
    });
    let wanted = |page: &&Page| only.is_empty() || only.iter().any(|name| name == page.name);
    for page in CEREMONIES.iter().filter(wanted) {
        let name = format!("docs: {}.md works as written", page.name);
        ledger.case(&name, || {
            let scratch = workspace.scratch(&format!("ceremony-{}", page.name))?;
            let vault = scratch.join("vault");
            Run::new(stele)
                .args(["create", "--simulated-clock", "--disk-bytes", "1GiB"])
                .args([&vault])
                .succeed()?;
            let server = Server::start(stele, &vault)?;
            let path = search_path(None, stele.parent());
            let executed = page.execute(workspace, &server, &scratch, path);
            executed.and(server.stop())
        });
    }
}

/// Executes the pages with these names, or all.
pub fn run(workspace: &Workspace, programs: &Programs, only: &[String]) -> Closed {
    let mut ledger = Ledger::open("docs", workspace.ci);
    let mut everything = || {
        let scratch = workspace.scratch("docs")?;
        let server = Server::start(&programs.stele, &scratch.join("vault"))?;
        cases(workspace, &server, &scratch, only, &mut ledger);
        today(workspace, &programs.stele, only, &mut ledger);
        ceremonies(workspace, &programs.stele, only, &mut ledger);
        server.stop()
    };
    if let Err(failure) = everything() {
        ledger.case("docs", || Err(failure));
    }
    ledger.close()
}

/// Executes the pages against a server whose vault lies in this directory.
pub fn cases(
    workspace: &Workspace,
    server: &Server,
    scratch: &Scratch,
    only: &[String],
    ledger: &mut Ledger,
) {
    ledger.case("docs: every page is known here", || {
        known(&workspace.root, DIRECTORY, &PAGES)
    });
    let wanted = |page: &&Page| only.is_empty() || only.iter().any(|name| name == page.name);
    for page in PAGES.iter().filter(wanted) {
        let name = format!("docs: {}.md works as written", page.name);
        match page.require() {
            Err(reason) => ledger.skip(&name, &reason),
            Ok(()) => {
                ledger.case(&name, || {
                    page.execute(workspace, server, scratch, search_path(None, None))
                });
            }
        }
    }
}

/// Executes the pages with these names, or all, that have a program of today.
pub fn today(workspace: &Workspace, stele: &Path, only: &[String], ledger: &mut Ledger) {
    let wanted = |page: &&Page| only.is_empty() || only.iter().any(|name| name == page.name);
    for page in PAGES.iter().filter(wanted) {
        let Some(today) = &page.today else {
            continue;
        };
        let name = format!("docs: {}.md works as written with today's, too", page.name);
        let ready = page
            .require()
            .and_then(|()| today.require(&workspace.tools));
        if let Err(reason) = ready {
            ledger.skip(&name, &reason);
            continue;
        }
        ledger.case(&name, || {
            today.is_named_in(&page.text(workspace)?)?;
            let scratch = workspace.scratch(&format!("docs-today-{}", page.name))?;
            let first = today.folder(&workspace.tools, scratch.path())?;
            let server = Server::start(stele, &scratch.join("vault"))?;
            let path = search_path(Some(&first), None);
            let executed = page.execute(workspace, &server, &scratch, path);
            executed.and(server.stop())
        });
    }
}

fn known(root: &Path, folder: &str, pages: &[Page]) -> Outcome {
    let entries = std::fs::read_dir(root.join(folder))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known = pages.iter().any(|page| format!("{}.md", page.name) == name);
        ensure(known, || format!("{folder}/{name} would never be executed"))?;
    }
    Ok(())
}

impl Page {
    fn require(&self) -> Outcome {
        install::require(self.tools)?;
        ensure(!self.as_root || nix::unistd::geteuid().is_root(), || {
            "its commands are for root".to_owned()
        })
    }

    fn text(&self, workspace: &Workspace) -> Outcome<String> {
        let folder = workspace.root.join(self.folder);
        let file = folder.join(format!("{}.md", self.name));
        std::fs::read_to_string(&file).map_err(|e| Failure::path("cannot read", &file, &e))
    }

    /// With the programs that this PATH finds.
    fn execute(
        &self,
        workspace: &Workspace,
        server: &Server,
        scratch: &Scratch,
        path: OsString,
    ) -> Outcome {
        let text = self.text(workspace)?;
        for tool in self.tools {
            ensure(text.contains(tool.package), || {
                format!("the page does not say to install {}", tool.package)
            })?;
        }
        let blocks = page::blocks(&text)?;
        ensure(!blocks.is_empty(), || "nothing to execute".to_owned())?;
        let directory = scratch.join(&format!("page-{}", self.name));
        std::fs::create_dir_all(&directory)?;
        for open in [scratch.path(), &directory] {
            std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o711))?;
        }
        symlink(scratch.join("vault"), directory.join("vault"))?;
        let outputs = scratch.join(&format!("outputs-{}", self.name));
        std::fs::create_dir_all(&outputs)?;
        let finished = shell(&directory, &outputs, path)
            .args(["-c", &page::script(&blocks, &outputs)])
            .secrets(&server.secrets())
            .finish();
        end_databases(&directory)?;
        let finished = finished?;
        let said = |number: usize| {
            let text = std::fs::read(outputs.join(format!("out.{number}"))).unwrap_or_default();
            hide(server, &String::from_utf8_lossy(&text))
        };
        if !finished.status.success() {
            return Err(stuck(&blocks, &outputs, said)
                .and(&quote(&format!("{}{}", finished.stdout, finished.stderr))));
        }
        compare(&blocks, said)
    }
}

/// A page that stopped half-way may have left a PostgreSQL behind, which then runs in its directory.
fn end_databases(directory: &Path) -> Outcome {
    let folders = std::fs::read_dir(directory)?.filter_map(Result::ok);
    let clusters = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok());
    for cluster in clusters.flatten().filter_map(Result::ok) {
        let file = cluster.path().join("postmaster.pid");
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        let pid: Option<i32> = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        let Some(pid) = pid else { continue };
        let runs_here = std::fs::read_link(format!("/proc/{pid}/cwd"));
        if runs_here.is_ok_and(|at| at == cluster.path()) {
            // It may have ended since, and then there is nothing to do.
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
    }
    Ok(())
}

fn hide(server: &Server, text: &str) -> String {
    let secrets = server.secrets();
    secrets.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret, "<secret>")
    })
}

/// The folders of the system, with one before and one behind them.
fn search_path(first: Option<&Path>, last: Option<&Path>) -> OsString {
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Path::new);
    let folders = first.into_iter().chain(system).chain(last);
    let folders: Vec<&OsStr> = folders.map(Path::as_os_str).collect();
    folders.join(OsStr::new(":"))
}

fn shell(directory: &Path, outputs: &Path, path: OsString) -> Run {
    let home: OsString = outputs.into();
    let environment = [
        ("PATH".to_owned(), path),
        ("LANG".to_owned(), "C.UTF-8".into()),
        ("HOME".to_owned(), home),
    ];
    Run::new("/bin/sh")
        .only_env(&environment)
        .directory(directory)
        .deadline(DEADLINE)
}

/// At which block a page ended too early, and what that one printed.
fn stuck(blocks: &[Block], outputs: &Path, said: impl Fn(usize) -> String) -> Failure {
    let step = std::fs::read_to_string(outputs.join("step")).unwrap_or_default();
    let step: usize = step.trim().parse().unwrap_or(0);
    let Some(block) = blocks.get(step) else {
        return Failure::new("the page could not be started");
    };
    let how = if block.refused {
        "was not refused"
    } else {
        "failed"
    };
    let line = block.line;
    Failure::new(format!("line {line}: what begins there {how}")).and(&quote(&said(step)))
}

fn compare(blocks: &[Block], said: impl Fn(usize) -> String) -> Outcome {
    for (number, block) in blocks.iter().enumerate() {
        let Some(expected) = &block.expected else {
            continue;
        };
        let text = said(number);
        ensure(page::matches(expected, &text), || {
            let line = block.line;
            let promised = quote(expected);
            let text = quote(&text);
            format!("line {line}: the page promises\n{promised}\n       and it says\n{text}")
        })?;
    }
    Ok(())
}
