//! Power cuts of this process, in builds for tests: the variable `STELE_EVIL` holds a plan such as
//! `seed=7,writes=1200`, and SIGUSR1 cuts the power at once. See `stele_device::evil`.
//!
//! What lies beside the disks, such as the configuration, is in plain files and loses nothing.

use std::sync::OnceLock;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use stele_device::evil::{Mains, Plan};

use crate::error::{Error, Outcome};

/// Names the plan.
const VARIABLE: &str = "STELE_EVIL";

static MAINS: OnceLock<Mains> = OnceLock::new();

/// The supply of this process's disks; none where no plan was given.
pub fn mains() -> Option<&'static Mains> {
    MAINS.get()
}

/// Reads the plan and says what it means. Comes before any other thread is started, so that all of
/// them leave the signal to the one that waits for it.
///
/// # Errors
/// That there is a plan and it means nothing, or that the kernel gives no thread.
pub fn begin() -> Outcome<()> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        tracing::warn!("this build is for tests; {VARIABLE} is not set, so its disks are ordinary");
        return Ok(());
    };
    let plan: Plan = text.to_string_lossy().parse().map_err(Error::EvilPlan)?;
    tracing::warn!(
        "EVIL DISKS ({plan}): what is not flushed will be lost, torn or swapped when the power is \
         cut. Never keep anything here."
    );
    let mains = Mains::new(plan, || {
        // It cannot be caught. The disks are held still until it has come.
        let _ = kill(Pid::this(), Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    });
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    let refused = |errno: nix::errno::Errno| Error::Thread(errno.into());
    signals.thread_block().map_err(refused)?;
    let switch = mains.clone();
    let wait = move || {
        if signals.wait().is_ok() {
            switch.cut();
        }
    };
    let thread = std::thread::Builder::new().name("evil-switch".to_owned());
    thread.spawn(wait).map_err(Error::Thread)?;
    MAINS.get_or_init(|| mains);
    Ok(())
}
