//! A private PostgreSQL for the clients that back up databases.
//!
//! It runs without network, as user `postgres` when this process is root (it refuses to be root),
//! and ends with its handle. No cluster or service of the machine is touched.

use super::Bench;
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::workspace::Scratch;
use nix::unistd::{Gid, Uid, User, chown, geteuid};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const USER: &str = "postgres";
/// The port is only part of the socket's name.
const PORT: &str = "5432";

/// One directory for everything that user owns: clusters, sockets, configuration, logs.
pub struct Postgres<'a> {
    bench: &'a Bench<'a>,
    root: PathBuf,
}

impl<'a> Postgres<'a> {
    /// The directory of this name; made, and given to the user, when it is not there.
    pub fn at(bench: &'a Bench, name: &str) -> Outcome<Postgres<'a>> {
        let root = bench.scratch.join(name);
        let postgres = Postgres { bench, root };
        if !postgres.root.exists() {
            postgres.make(bench.scratch)?;
        }
        Ok(postgres)
    }

    fn make(&self, scratch: &Scratch) -> Outcome {
        // The user has to pass through, not to look around.
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o711))?;
        std::fs::create_dir(&self.root)?;
        give(&self.root)?;
        let bundle = self.path("ca.pem");
        std::fs::copy(self.bench.variable("AWS_CA_BUNDLE")?, &bundle)?;
        std::fs::set_permissions(&bundle, std::fs::Permissions::from_mode(0o444))?;
        Ok(())
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The same as text, for configuration.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Writes a file that only the user can read.
    pub fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.path(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        give(&path)
    }

    /// A program run as the user, with a view of the vault as `client.env` gives it.
    pub fn run(&self, program: impl AsRef<OsStr>) -> Outcome<Run> {
        let variables = [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_DEFAULT_REGION",
        ];
        let run = match geteuid().is_root() {
            false => self.bench.client(&program, &variables)?,
            true => {
                let run = self.bench.client("/usr/bin/setpriv", &variables)?;
                let user = [
                    "--reuid",
                    USER,
                    "--regid",
                    USER,
                    "--clear-groups",
                    "--no-new-privs",
                ];
                run.args(user).arg(&program)
            }
        };
        Ok(run
            .env("HOME", &self.root)
            .env("AWS_CA_BUNDLE", self.path("ca.pem"))
            .env("PGHOST", &self.root)
            .env("PGPORT", PORT)
            .env("PGUSER", USER)
            .directory(&self.root))
    }

    fn program(&self, name: &str) -> Outcome<Run> {
        self.run(Path::new(PROGRAMS).join(name))
    }

    /// Makes a cluster with these settings.
    pub fn initialise(&self, name: &str, settings: &str) -> Outcome {
        self.program("initdb")?
            .args(["--auth", "trust", "--username", USER])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8", "--pgdata"])
            .arg(self.path(name))
            .succeed()?;
        let file = self.path(name).join("postgresql.conf");
        let before = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{before}\n{settings}\n"))?;
        Ok(())
    }

    /// Starts a cluster; it stops with the handle.
    pub fn start(&'a self, name: &str, more: &[&str]) -> Outcome<Cluster<'a>> {
        let settings = [
            "listen_addresses=",
            &format!("unix_socket_directories={}", self.root.display()),
            &format!("port={PORT}"),
        ];
        let settings = settings.iter().chain(more);
        let options = settings.fold(String::new(), |all, one| format!("{all} -c '{one}'"));
        let cluster = Cluster {
            postgres: self,
            data: self.path(name),
        };
        let log = self.path(&format!("{name}.log"));
        self.program("pg_ctl")?
            .args(["start", "--wait", "--pgdata"])
            .arg(&cluster.data)
            .arg("--log")
            .arg(&log)
            .args(["--options", &options])
            .succeed()
            .map_err(|failure| {
                failure.and(&crate::command::quote(
                    &std::fs::read_to_string(&log).unwrap_or_default(),
                ))
            })?;
        Ok(cluster)
    }
}

fn give(path: &Path) -> Outcome {
    if !geteuid().is_root() {
        return Ok(());
    }
    let found = User::from_name(USER).ok().flatten();
    let (uid, gid): (Uid, Gid) = found
        .map(|user| (user.uid, user.gid))
        .ok_or_else(|| Failure::new("there is no user postgres"))?;
    chown(path, Some(uid), Some(gid))
        .map_err(|error| Failure::path("cannot give away", path, &error))
}

/// A running cluster.
pub struct Cluster<'a> {
    postgres: &'a Postgres<'a>,
    data: PathBuf,
}

impl Cluster<'_> {
    /// What a statement answers.
    pub fn sql(&self, statement: &str) -> Outcome<String> {
        let run = self.postgres.program("psql")?;
        let said = run
            .args(["--no-psqlrc", "--set", "ON_ERROR_STOP=1"])
            .args(["-At", "--command", statement, "postgres"])
            .succeed()?;
        Ok(said.trim().to_owned())
    }

    /// Makes a table with rows whose contents depend on a number.
    pub fn fill(&self, table: &str, rows: u32) -> Outcome {
        self.sql(&format!(
            "create table {table} as select g as id, md5(g::text || '{table}') as code, \
             repeat(md5((g * 7)::text), 3) as note from generate_series(1, {rows}) g"
        ))
        .map(drop)
    }

    /// Number and digest of all rows of these tables.
    pub fn rows(&self, tables: &[&str]) -> Outcome<String> {
        let each = |table: &&str| {
            self.sql(&format!(
                "select count(*), md5(string_agg(t::text, ',' order by id)) from {table} t"
            ))
        };
        let all: Outcome<Vec<String>> = tables.iter().map(each).collect();
        Ok(all?.join("\n"))
    }

    /// Ends the current WAL segment and waits until it is archived.
    pub fn archive(&self) -> Outcome {
        let segment = self.sql("select pg_walfile_name(pg_switch_wal())")?;
        for _ in 0..600 {
            let last = self.sql("select last_archived_wal from pg_stat_archiver")?;
            if last >= segment {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let failed = self.sql("select failed_count, last_failed_wal from pg_stat_archiver")?;
        ensure(false, || {
            format!("{segment} is not archived after a minute; failures: {failed}")
        })
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        let stop = || {
            let run = self.postgres.program("pg_ctl")?;
            let run = run.args(["stop", "--wait", "--mode", "fast", "--pgdata"]);
            run.arg(&self.data).succeed()
        };
        if let Err(failure) = stop() {
            eprintln!("cannot stop PostgreSQL: {failure}");
        }
    }
}
