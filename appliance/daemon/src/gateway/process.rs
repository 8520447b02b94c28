//! Starts the gateway's process, and starts it again when it ends without having been asked to.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::sockopt::socket_acceptconn;
use stele_device::linux::shared::SharedMemory;
use stele_gateway::limits::{DRAIN_MS, SLAB_BYTES};
use stele_gateway::listen;
use stele_gateway::tls::Tls;
use stele_gateway::wire::{Confined, Down, Setup};
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::handover;
use super::porter::{Porter, Tools};
use super::said::{Listening, Rate};
use crate::error::{Error, Outcome};
use crate::limits::{
    DOOR_LOOK_MS, DOWNLOAD_SLAB_COUNT, GATEWAY_END_MS_MAX, GATEWAY_PAUSE_MS, GATEWAY_PAUSE_MS_MAX,
    GATEWAY_START_MS_MAX, UPLOAD_SLAB_COUNT,
};
use crate::watch::Watch;

/// How the gateway's process is, for the status.
#[derive(Debug, Clone, Copy, Default)]
pub struct GatewayState {
    /// The process, while it runs.
    pub process: Option<u32>,
    /// How far files and new connections are closed to it.
    pub confined: Option<Confined>,
    /// Most bytes of memory of its own, if that is bounded.
    pub memory_bytes_max: Option<u64>,
    /// How often it was started again.
    pub restarts: u32,
}

/// Looks at the state from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct GatewayView(Arc<Mutex<GatewayState>>);

impl GatewayView {
    /// As it is now.
    pub fn now(&self) -> GatewayState {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, GatewayState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a gateway is given.
pub struct Charge {
    /// Where it listens. A gateway after the first gets one of its own.
    pub listener: TcpListener,
    /// How TLS is spoken, now and from any change on.
    pub tls: watch::Receiver<Arc<Tls>>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// The region buckets are said to be in.
    pub region: String,
    /// Names under which the vault is reached.
    pub domains: Vec<String>,
    /// What its porter works with.
    pub tools: Tools,
}

/// The thread that keeps a gateway's process running.
pub struct Warden {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    view: GatewayView,
    thread: JoinHandle<()>,
}

impl Warden {
    /// Starts the process and waits until it serves.
    ///
    /// # Errors
    /// `GatewayEnded` or `GatewayLate` when it does not.
    pub fn start(charge: Charge, watch: &Watch) -> Outcome<Warden> {
        let memory = SharedMemory::create(SLAB_BYTES, UPLOAD_SLAB_COUNT + DOWNLOAD_SLAB_COUNT);
        let memory = memory.map_err(|errno| Error::Thread(errno.into()))?;
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let (ready, readiness) = mpsc::sync_channel(1);
        let view = GatewayView::default();
        let Charge {
            listener,
            tls,
            http2,
            region,
            domains,
            tools,
        } = charge;
        let work = Work {
            address: listener.local_addr().map_err(Error::Thread)?,
            tls,
            http2,
            region,
            domains,
            tools,
            memory: Arc::new(memory),
            stop: stopped,
            view: view.clone(),
            said: Rate::default(),
        };
        let guard = watch.guard("gateway");
        let run = move || {
            let _guard = guard;
            work.run(listener, &ready);
            // Nobody waits for an end he did not ask for.
            end.send(()).ok();
        };
        let thread = std::thread::Builder::new().name("gateway".to_owned());
        let thread = thread.spawn(run).map_err(Error::Thread)?;
        let served = readiness.recv_timeout(Duration::from_millis(GATEWAY_START_MS_MAX));
        let warden = Warden {
            stop,
            ended,
            view,
            thread,
        };
        match served {
            Ok(Ok(())) => Ok(warden),
            Ok(Err(error)) => Err(error),
            Err(_late) => Err(Error::GatewayLate),
        }
    }

    /// Shows how the process is.
    pub fn view(&self) -> GatewayView {
        self.view.clone()
    }

    /// Asks it to stop and waits until running requests have finished, within limits.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // The thread ends the process if it does not end by itself.
        self.ended.await.ok();
        drop(self.thread);
    }
}

type Readiness = mpsc::SyncSender<Outcome<()>>;

struct Work {
    address: SocketAddr,
    tls: watch::Receiver<Arc<Tls>>,
    http2: bool,
    region: String,
    domains: Vec<String>,
    tools: Tools,
    memory: Arc<SharedMemory>,
    stop: watch::Receiver<bool>,
    view: GatewayView,
    said: Rate,
}

impl Work {
    fn run(self, listener: TcpListener, ready: &Readiness) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                ready.try_send(Err(Error::Thread(error))).ok();
                return;
            }
        };
        let mut pause_ms = GATEWAY_PAUSE_MS;
        let mut fresh = Some(listener);
        loop {
            let listener = fresh.take().map_or_else(|| listen(self.address), Ok);
            let served = match listener {
                Ok(listener) => runtime.block_on(self.life(&listener, ready)),
                Err(error) => Err(error.into()),
            };
            let mut state = self.view.lock();
            (state.process, state.confined) = (None, None);
            if self.is_stopping() {
                return;
            }
            state.restarts = state.restarts.saturating_add(1);
            drop(state);
            // What was handed over was shared: a gateway in wrong hands may have closed it for good, or put anything
            // in front of it. Those who come meanwhile wait in the new one.
            fresh = listen(self.address).ok();
            match served {
                Ok(true) => pause_ms = GATEWAY_PAUSE_MS,
                Ok(false) => pause_ms = (pause_ms * 2).min(GATEWAY_PAUSE_MS_MAX),
                Err(error) => {
                    tracing::error!(%error, "the gateway cannot be started");
                    pause_ms = (pause_ms * 2).min(GATEWAY_PAUSE_MS_MAX);
                    // Only the first start is waited for.
                    ready.try_send(Err(error)).ok();
                }
            }
            let mut stop = self.stop.clone();
            let pause = Duration::from_millis(pause_ms);
            runtime.block_on(async { timeout(pause, stop.changed()).await.is_ok() });
            if self.is_stopping() {
                return;
            }
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// One process from start to end. Says whether it ever served.
    async fn life(&self, listener: &TcpListener, ready: &Readiness) -> Outcome<bool> {
        let (socket, mut child, listening) = self.spawn(listener)?;
        let id = child.id();
        self.view.lock().process = Some(id);
        let mut porter = Porter::new(socket, Arc::clone(&self.memory), self.tools.clone());
        let mut served = false;
        let mut tls = self.tls.clone();
        let setup = self.setup(&tls.borrow_and_update());
        porter.show(tls);
        let end = match porter.tell(&Down::Setup(setup)) {
            Ok(()) => {
                let conversation = porter.run(self.stop.clone(), |(confined, memory_bytes_max)| {
                    served = true;
                    let mut state = self.view.lock();
                    state.confined = Some(confined);
                    state.memory_bytes_max = memory_bytes_max;
                    drop(state);
                    ready.try_send(Ok(())).ok();
                });
                Some(self.bounded(listener, conversation).await)
            }
            Err(fault) => Some(fault.to_string()),
        };
        porter.give_up().await;
        // Our end of the connection closes with it: a process that still runs sees that and ends.
        drop(porter);
        let how = end_of(&mut child);
        // Its last words come before that it is gone.
        listening.end();
        // The next process sees nothing of what clients of this one sent and got.
        self.memory
            .forget()
            .map_err(|errno| Error::Thread(errno.into()))?;
        if !self.is_stopping() {
            let end = end.unwrap_or_default();
            tracing::error!(process = id, %how, %end, "the gateway's process has ended; it is started again");
        }
        if !served {
            ready.try_send(Err(Error::GatewayEnded { how })).ok();
        }
        Ok(served)
    }

    /// Bounds a conversation from the moment it is asked to stop, or shuts the door on everybody.
    async fn bounded(
        &self,
        listener: &TcpListener,
        conversation: impl Future<Output = super::porter::End>,
    ) -> String {
        let mut stop = self.stop.clone();
        let late = async {
            // An error means that the warden is gone, which is a stop too.
            stop.wait_for(|stop| *stop).await.ok();
            let most = Duration::from_millis(DRAIN_MS + GATEWAY_END_MS_MAX);
            tokio::time::sleep(most).await;
        };
        tokio::select! {
            end = conversation => end.to_string(),
            () = late => "it did not stop in time".to_owned(),
            () = shut(listener) => {
                "it closed the port for everybody, which no gateway does; it may be in wrong hands".to_owned()
            }
        }
    }

    fn spawn(&self, listener: &TcpListener) -> Outcome<(UnixStream, Child, Listening)> {
        let (ours, theirs) = StdStream::pair().map_err(Error::Thread)?;
        ours.set_nonblocking(true).map_err(Error::Thread)?;
        // The log is this process's alone.
        let (said, listening) = Listening::start(self.said.clone()).map_err(Error::Thread)?;
        // This very program, even if its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("stele")
            .arg("gateway")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(said)
            .process_group(0);
        let child = command.spawn().map_err(Error::Thread)?;
        // With it goes our copy of the pipe's end.
        drop(command);
        let files = [listener.as_fd(), self.memory.file()];
        handover::send(&ours, files).map_err(Error::Thread)?;
        let ours = UnixStream::from_std(ours).map_err(Error::Thread)?;
        Ok((ours, child, listening))
    }

    fn setup(&self, tls: &Tls) -> Setup {
        let count = |slabs: usize| u32::try_from(slabs).unwrap_or(u32::MAX);
        Setup {
            tls: Tls::clone(tls),
            http2: self.http2,
            region: self.region.clone(),
            domains: self.domains.clone(),
            upload_slabs: count(UPLOAD_SLAB_COUNT),
            download_slabs: count(DOWNLOAD_SLAB_COUNT),
        }
    }
}

/// Waits until a listener takes no connections any more.
async fn shut(listener: &TcpListener) {
    // What cannot be asked is not known to be shut.
    while socket_acceptconn(listener).unwrap_or(true) {
        tokio::time::sleep(Duration::from_millis(DOOR_LOOK_MS)).await;
    }
}

/// Ends a process whose conversation is over, and says how it ended.
fn end_of(child: &mut Child) -> String {
    for _ in 0..GATEWAY_END_MS_MAX / 10 {
        match child.try_wait() {
            Ok(Some(status)) => return described(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return error.to_string(),
        }
    }
    // It may have ended this very moment.
    child.kill().ok();
    match child.wait() {
        Ok(status) => format!("killed: it did not end by itself ({status})"),
        Err(error) => error.to_string(),
    }
}

fn described(status: std::process::ExitStatus) -> String {
    match status.signal() {
        Some(signal) if signal == nix::libc::SIGSYS => {
            "it tried a system call that it has given up, and was killed".to_owned()
        }
        _ => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rustix::net::{Shutdown, shutdown};

    use super::*;

    #[tokio::test]
    async fn a_port_that_a_gateway_closed_for_good_is_noticed_and_taken_anew() {
        let ours = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = ours.local_addr().expect("known");
        let moment = Duration::from_millis(2 * DOOR_LOOK_MS);
        assert!(timeout(moment, shut(&ours)).await.is_err(), "it is open");
        let theirs = ours.try_clone().expect("handed over");
        shutdown(&theirs, Shutdown::Both).expect("shut");
        drop(theirs);
        assert!(timeout(moment, shut(&ours)).await.is_ok(), "it is shut");
        assert!(TcpStream::connect(address).is_err());
        drop(ours);
        let _fresh = listen(address).expect("the same port");
        TcpStream::connect(address).expect("connected");
    }
}
