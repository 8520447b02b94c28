//! Where things are: the checkout, the build cache, the programs under test, scratch space.

use crate::command::Run;
use crate::failure::{Failure, Outcome};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The checkout and how this run treats it.
pub struct Workspace {
    /// Root of the checkout.
    pub root: PathBuf,
    /// Build output of everything this tool builds.
    pub target: PathBuf,
    /// Programs that came from PyPI, by version.
    pub tools: PathBuf,
    /// True on a CI machine: skips are failures.
    pub ci: bool,
    /// Keep scratch directories for a look afterwards.
    pub keep: bool,
}

impl Workspace {
    /// Finds the checkout this process belongs to.
    pub fn find(keep: bool) -> Outcome<Workspace> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(directory) => PathBuf::from(directory),
            None => std::env::current_dir()?,
        };
        let root = start
            .ancestors()
            .find(|directory| directory.join("rust-toolchain.toml").is_file())
            .ok_or_else(|| Failure::new("not inside a checkout of this project"))?
            .to_path_buf();
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
        Ok(Workspace {
            root,
            target: target_directory()?,
            tools: cache_directory("tools")?,
            ci,
            keep,
        })
    }

    /// A cargo command in the checkout with the shared build cache.
    pub fn cargo(&self, args: &[&str]) -> Run {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let run = Run::new(cargo)
            .directory(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            // A build may be shared by checkouts: snapshots are those of this one.
            .env("INSTA_WORKSPACE_ROOT", &self.root)
            .args(args);
        // Left over from the `cargo run` that started this process; they describe this package.
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            .fold(run, |run, name| run.env_remove(&name))
    }

    /// Builds the release programs (nothing to do when they are fresh).
    pub fn build(&self) -> Outcome<Programs> {
        self.cargo(&["build", "--release", "--workspace", "--bins"])
            .stream()?;
        let at = |name: &str| {
            let path = self.target.join("release").join(name);
            match path.is_file() {
                true => Ok(path),
                false => Err(Failure::new(format!(
                    "the build left no {}",
                    path.display()
                ))),
            }
        };
        Ok(Programs {
            stele: at("stele")?,
            inspect: at("stele-inspect")?,
            witness: at("stele-witness")?,
            sim: at("stele-sim")?,
        })
    }

    /// Builds the server on evil disks and puts it into this directory; the plain one takes its usual
    /// place again afterwards.
    pub fn build_evil(&self, into: &Path) -> Outcome<PathBuf> {
        let arguments = ["build", "--release", "--workspace", "--bins"];
        self.cargo(&arguments)
            .args(["--features", "stele-daemon/evil-disk"])
            .stream()?;
        let from = self.target.join("release").join("stele");
        let to = into.join("stele-on-evil-disks");
        std::fs::copy(&from, &to).map_err(|e| Failure::path("cannot copy", &from, &e))?;
        self.build()?;
        Ok(to)
    }

    /// A fresh directory that disappears with its handle.
    pub fn scratch(&self, name: &str) -> Outcome<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("stele-{name}-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|e| Failure::path("cannot create", &path, &e))?;
        Ok(Scratch {
            path,
            keep: self.keep,
        })
    }
}

/// The release programs.
pub struct Programs {
    /// The vault itself.
    pub stele: PathBuf,
    /// The offline verifier.
    pub inspect: PathBuf,
    /// The witness.
    pub witness: PathBuf,
    /// The simulator.
    pub sim: PathBuf,
}

fn target_directory() -> Outcome<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(chosen) => Ok(std::path::absolute(chosen)?),
        None => cache_directory("target"),
    }
}

/// A directory of ours outside every checkout.
fn cache_directory(name: &str) -> Outcome<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    match cache.filter(|path| path.is_absolute()).or_else(home) {
        Some(cache) => Ok(cache.join("stele").join(name)),
        None => Err(Failure::new(
            "set HOME or XDG_CACHE_HOME: there is no place for a cache",
        )),
    }
}

/// A directory of this run's own.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it for a look afterwards.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// A path inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            println!("kept {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}
