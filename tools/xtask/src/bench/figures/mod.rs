//! `cargo xtask bench --figures`: what the engine has to reach, each beside what the same machine does
//! without it, in tables and plots.
//!
//! Every part is a process of its own, one of the examples `disk_bench` and `engine_bench`; within a
//! part contestants take turns in each round. All values are kept beside the plots, so that a part
//! measured again leaves the others as they are.

mod goals;
mod plots;
mod report;
pub mod samples;
pub mod svg;

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install;
use crate::workspace::Workspace;
use samples::Samples;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where plots and values are kept.
const DIRECTORY: &str = "docs/figures";
const SAMPLES: &str = "samples.tsv";
const DEADLINE: Duration = Duration::from_secs(3 * 3600);
/// Takes many minutes: only on request.
const LONG: &str = "objects, long";

/// The parts, in the order in which they run.
pub const PARTS: [&str; 7] = [
    "disk", "commits", "scrub", "rebuild", "starts", "objects", LONG,
];

/// What to measure.
#[derive(Clone, Default)]
pub struct Wishes {
    /// Interleaved runs of every measurement.
    pub rounds: u32,
    /// Only these parts.
    pub parts: Vec<String>,
    /// The part that takes many minutes, too.
    pub long: bool,
    /// Just enough to see that everything works; nothing is written down.
    pub smoke: bool,
    /// Put tables and plots into docs.
    pub write: bool,
}

/// Measures, prints, and writes if wished.
pub fn run(workspace: &Workspace, wishes: &Wishes) -> Outcome {
    if let Err(reason) = install::require(&[install::FIO]) {
        println!("without fio: {reason}");
    }
    let programs = Programs::build(workspace)?;
    let unknown = |part: &&String| !PARTS.contains(&part.as_str());
    if let Some(part) = wishes.parts.iter().find(unknown) {
        let known = PARTS.join("', '");
        return Err(Failure::new(format!(
            "there is no part '{part}', only '{known}'"
        )));
    }
    let mut samples = Samples::default();
    for part in PARTS.into_iter().filter(|part| wishes.wants(part)) {
        let begun = Instant::now();
        let output = programs
            .run(workspace, part, wishes)
            .map_err(|failure| failure.within(part))?;
        samples.take(part, &output)?;
        ensure(samples.0.iter().any(|series| series.part == part), || {
            format!("{part} has measured nothing")
        })?;
        samples.add(part, report::LOAD, "", load());
        println!("{part}: {:.0} s", begun.elapsed().as_secs_f64());
    }
    if wishes.smoke {
        let plots = plots::all(&samples).len();
        println!(
            "{plots} plots and {} bytes of tables",
            report::markdown(&samples).len()
        );
        return Ok(());
    }
    let samples = samples.over(recorded(&workspace.root)?, &PARTS);
    let text = report::markdown(&samples);
    println!("{text}");
    if wishes.write {
        write(&workspace.root, &samples)?;
        super::table::write(workspace, "figures", &text)?;
    }
    Ok(())
}

/// Just enough to see that every part still works.
pub fn smoke(workspace: &Workspace) -> Outcome {
    let wishes = Wishes {
        smoke: true,
        ..Wishes::default()
    };
    run(workspace, &wishes)
}

impl Wishes {
    fn wants(&self, part: &str) -> bool {
        match self.parts.is_empty() {
            true => part != LONG || self.long,
            false => self.parts.iter().any(|wanted| wanted == part),
        }
    }
}

/// Tables and plots of what is recorded, without measuring anything.
pub fn again(workspace: &Workspace) -> Outcome {
    let samples = recorded(&workspace.root)?;
    write(&workspace.root, &samples)?;
    super::table::write(workspace, "figures", &report::markdown(&samples))
}

fn recorded(root: &Path) -> Outcome<Samples> {
    match std::fs::read_to_string(root.join(DIRECTORY).join(SAMPLES)) {
        Ok(text) => Samples::decode(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Samples::default()),
        Err(error) => Err(error.into()),
    }
}

fn write(root: &Path, samples: &Samples) -> Outcome {
    let directory = root.join(DIRECTORY);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(SAMPLES), samples.encode())?;
    for (name, svg) in plots::all(samples) {
        std::fs::write(directory.join(name), svg)?;
    }
    println!("wrote {}", directory.display());
    Ok(())
}

/// The examples that measure.
struct Programs {
    disk: PathBuf,
    engine: PathBuf,
}

impl Programs {
    fn build(workspace: &Workspace) -> Outcome<Programs> {
        let build = |package: &str, example: &str| {
            let arguments = ["build", "--release", "--quiet", "--package", package];
            let build = workspace.cargo(&arguments).args(["--example", example]);
            build.stream()?;
            let path = workspace.target.join("release/examples").join(example);
            Ok::<PathBuf, Failure>(path)
        };
        Ok(Programs {
            disk: build("stele-device", "disk_bench")?,
            engine: build("stele-store", "engine_bench")?,
        })
    }

    fn run(&self, workspace: &Workspace, part: &str, wishes: &Wishes) -> Outcome<String> {
        let scratch = workspace.scratch("figures")?;
        let rounds = if wishes.smoke { 1 } else { wishes.rounds };
        let rounds = rounds.to_string();
        let run = match part {
            "disk" => {
                let run = Run::new(&self.disk).arg(scratch.path());
                run.args([&rounds, "samples"])
            }
            LONG => {
                let run = Run::new(&self.engine).arg(scratch.path());
                run.args(["objects", &rounds, "long"])
            }
            part => {
                let run = Run::new(&self.engine).arg(scratch.path());
                let run = run.args([part, &rounds]);
                if wishes.smoke { run.arg("smoke") } else { run }
            }
        };
        run.deadline(DEADLINE).succeed()
    }
}

fn load() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse().ok());
    load.unwrap_or(f64::NAN)
}
