//! What runs inside the gateway's process: take over what was handed, give up everything else, serve.

use std::net::TcpListener;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Barrier};

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use stele_device::linux::sandbox::{Enforced, close_calls, close_files};
use stele_device::linux::shared::adopt;
use stele_gateway::limits::{LINK_READ_BYTES, SLAB_BYTES};
use stele_gateway::wire::gateway::Wire;
use stele_gateway::wire::{Confined, Down, Frames, Setup};
use stele_gateway::{EngineLink, Gateway, GatewayConfig, SlabPool, Slabs};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::handover;
use crate::error::{Error, Outcome};
use crate::limits::{FILE_COUNT_MAX, GATEWAY_DATA_BYTES_MAX, GATEWAY_OOM_SCORE};

/// Serves until the engine's process says stop or is gone.
///
/// # Errors
/// Why it cannot serve: `NotHandedOver` when it was not started by `stele serve`.
pub fn run() -> Outcome<()> {
    close_inherited();
    // The engine's process may be killed: nobody else would end this one then, or free the port.
    // The signal comes with the end of the thread that started us, which may be the last one and have closed
    // its socket before: what was under way can still be answered, by an engine that is gone.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(not_confined)?;
    prctl::set_name(c"stele-gateway").map_err(not_confined)?;
    let memory_bytes_max = bound_memory();
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let socket = StdStream::from(stdin.map_err(Error::NotHandedOver)?);
    let [listener, memory] = handover::receive(&socket).map_err(Error::NotHandedOver)?;
    let mut frames = Frames::default();
    let setup = setup(&socket, &mut frames)?;
    // A socket each, and a few more; fewer where the system allows no more.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(not_confined)?;
    let wanted = FILE_COUNT_MAX.min(most);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).map_err(not_confined)?;
    stele_gateway::prepare()?;
    let enforced = close_files().map_err(Error::Sandbox)?;
    let runtime = runtime()?;
    let confined = (enforced, memory_bytes_max);
    let served = runtime.block_on(serve((socket, listener, memory), setup, frames, confined));
    // Tasks of broken connections may still wait for an engine that is gone.
    runtime.shutdown_background();
    served
}

/// Closes what whoever started the vault left open, behind standard input, output and error: those who started the
/// engine's process may have had anything open. Comes before this process opens anything itself.
fn close_inherited() {
    // A machine without that directory shows it when the rest is set up.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<RawFd>().ok()
    };
    let open: Vec<RawFd> = open.filter_map(number).collect();
    for number in open.into_iter().filter(|number| *number > 2) {
        // One of them was the directory's.
        nix::unistd::close(number).ok();
    }
}

/// Bounds the memory of this process and lets it be the first to go where the machine has none left: it can
/// be started again within a moment, the engine's process only with a recovery. Before anything of a stranger
/// is read, and for good: the calls that could undo it are given up later. Says the bound, if there is one.
fn bound_memory() -> Option<u64> {
    // A machine that does not allow either still serves; the status says so.
    let score = std::fs::write("/proc/self/oom_score_adj", GATEWAY_OOM_SCORE);
    let (_, most) = getrlimit(Resource::RLIMIT_DATA).ok()?;
    let wanted = GATEWAY_DATA_BYTES_MAX.min(most);
    let bound = setrlimit(Resource::RLIMIT_DATA, wanted, wanted);
    (score.is_ok() && bound.is_ok()).then_some(wanted)
}

/// A runtime whose threads all run, so that none needs a system call that only starting threads need.
fn runtime() -> Outcome<Runtime> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let started = Arc::new(Barrier::new(threads + 1));
    let start = Arc::clone(&started);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .on_thread_start(move || {
            start.wait();
        })
        .enable_all()
        .build()
        .map_err(Error::Thread)?;
    started.wait();
    Ok(runtime)
}

fn not_confined(errno: nix::Error) -> Error {
    Error::NotHandedOver(errno.into())
}

/// The first frame.
fn setup(socket: &StdStream, frames: &mut Frames) -> Outcome<Setup> {
    use std::io::Read;
    let mut bytes = Zeroizing::new(vec![0; LINK_READ_BYTES]);
    loop {
        match frames.take::<Down>() {
            Ok(Some(Down::Setup(setup))) => return Ok(setup),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => {
                return Err(Error::NotHandedOver(std::io::ErrorKind::InvalidData.into()));
            }
        }
        let mut socket = socket;
        match socket.read(&mut bytes).map_err(Error::NotHandedOver)? {
            0 => {
                let end = std::io::ErrorKind::UnexpectedEof;
                return Err(Error::NotHandedOver(end.into()));
            }
            count => frames.push(&bytes[..count]),
        }
    }
}

async fn serve(
    (socket, listener, memory): (StdStream, OwnedFd, OwnedFd),
    mut setup: Setup,
    frames: Frames,
    (enforced, memory_bytes_max): (Enforced, Option<u64>),
) -> Outcome<()> {
    // Whoever asks the engine's process to stop may ask the whole group: running requests finish.
    let _terminate = signal(SignalKind::terminate()).map_err(Error::Thread)?;
    let _interrupt = signal(SignalKind::interrupt()).map_err(Error::Thread)?;
    let slabs = slabs(&memory, &setup)?;
    socket.set_nonblocking(true).map_err(Error::NotHandedOver)?;
    let socket = UnixStream::from_std(socket).map_err(Error::NotHandedOver)?;
    let wire = Wire::new(socket, slabs.clone());
    let mut config = GatewayConfig::new(std::mem::take(&mut setup.tls), slabs);
    config.http2 = setup.http2;
    config.region = std::mem::take(&mut setup.region);
    config.domains = std::mem::take(&mut setup.domains);
    let link = EngineLink::wired(wire.clone());
    let gateway = Gateway::over(TcpListener::from(listener), config, link)?;
    let shown = gateway.shown();
    close_calls().map_err(Error::Sandbox)?;
    let files = match enforced {
        Enforced::Fully => Confined::Fully,
        Enforced::Partly => Confined::Partly,
        Enforced::Not => Confined::Not,
    };
    let ready = wire.ready(files, memory_bytes_max);
    ready.await.map_err(|_gone| Error::NoAnswer)?;
    let stop = wire.clone();
    tokio::select! {
        served = gateway.serve(async move { stop.stop_asked().await }) => Ok(served?),
        _end = wire.run(frames, &shown) => Err(Error::NoAnswer),
    }
}

fn slabs(memory: &OwnedFd, setup: &Setup) -> Outcome<Slabs> {
    let count = |slabs: u32| usize::try_from(slabs).unwrap_or(0);
    let counts = [count(setup.upload_slabs), count(setup.download_slabs)];
    let pools = adopt(memory.as_fd(), SLAB_BYTES, &counts).map_err(not_confined)?;
    let pools: [_; 2] = pools
        .try_into()
        .map_err(|_pools| not_confined(nix::Error::EINVAL))?;
    let [uploads, downloads] = pools.map(SlabPool::over);
    Ok(Slabs::over(uploads, downloads))
}
