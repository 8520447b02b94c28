//! `stele-evil`: an NBD server on a Unix socket whose disk forgets what was not flushed.
//!
//! One client at a time. SIGUSR1, or the planned write or flush, cuts the power: a seeded part of
//! what was not flushed is lost, torn or swapped, and the process ends by SIGKILL.

#![forbid(unsafe_code)]

mod protocol;
mod server;

use clap::Parser;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use std::error::Error;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use stele_device::evil::{Mains, Plan};

/// An evil disk as an NBD server.
#[derive(Parser)]
struct Arguments {
    /// The socket to listen on; it must not exist.
    #[arg(long)]
    socket: PathBuf,
    /// The file behind the disk; its length is the size.
    #[arg(long)]
    file: PathBuf,
    /// When the power goes, such as seed=7,writes=1200; without a number only by SIGUSR1.
    #[arg(long)]
    plan: Plan,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { socket, file, plan } = Arguments::parse();
    let mains = Mains::new(plan, || {
        // It cannot be caught. The disk is held still until it has come.
        let _ = kill(Pid::this(), Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    });
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    signals.thread_block()?;
    let switch = mains.clone();
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            switch.cut();
        }
    });
    let cache = mains.cache(&file, std::fs::metadata(&file)?.len())?;
    let listener = UnixListener::bind(&socket)?;
    println!(
        "EVIL DISK {} on {} ({plan})",
        file.display(),
        socket.display()
    );
    for stream in listener.incoming() {
        if let Err(error) = server::serve(stream?, &cache) {
            eprintln!("a client left: {error}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
