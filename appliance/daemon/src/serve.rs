//! Serving a vault, from the first look at its directory to the clean stop.
//!
//! Order: look, lock, port, key, disks, engine, certificate, listener, control socket, `client.env`,
//! banner, serve. Up to the engine nothing is changed, so every refusal before it leaves the vault
//! as it was; after it, every way out stops the engine in order.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use stele_device::buffer::Pool;
use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_device::linux::disk::{OpenMode, Wishes};
use stele_gateway::claim::Clients as Secrets;
use stele_gateway::limits::{DOMAINS, SLAB_BYTES};
use stele_gateway::{Domains, GatewayError, SlabPool};
use stele_store::recovery::{DiskReport, DiskVerdict, Force, ForcedOrder, OpenError};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::advice::Commands;
use crate::banner::{self, Facts};
use crate::bays::{Bay, Bays};
use crate::bell::Bell;
use crate::certificate::{self, Identity};
use crate::client_env::{self, ClientFiles, REGION as REGION_DEFAULT};
use crate::clients::Published;
use crate::clients::registrar::Registrar;
use crate::clients::{self, Clients};
use crate::control::clients::{ClientAsk, ClientReply, RuleAsk, RuleReply};
use crate::control::desk::{DeskAsk, DeskReply};
use crate::control::protocol::{Ask, Challenge, Draining, Join, Joined, Session, Status};
use crate::control::socket::{Answerer, ControlSocket};
use crate::control::tls::{TlsAsk, TlsStatus};
use crate::control::wipe::{WipeAsk, WipeReply};
use crate::desk::Desk;
use crate::desk::access::{Needs, needs};
use crate::desk::guard::Guard;
use crate::error::{Error, Outcome};
use crate::gateway::door::Door;
use crate::gateway::porter::Tools;
use crate::gateway::process::{self, Warden};
use crate::gateway::spent::Spent;
use crate::join::keeper::{Charge, Keeper, Orders};
use crate::keys::KeySource;
use crate::lifecycle::Collector;
use crate::limits::{
    DEATH_MS_MAX, PORT_ATTEMPT_COUNT_MAX, PORT_ATTEMPT_PAUSE_MS, READ_SLAB_COUNT, SLAB_COUNT,
    VERB_END_MS_MAX,
};
use crate::live::{Place, live_status};
use crate::logkey;
use crate::lookout::Lookout;
use crate::opener::Opener;
use crate::supervisor::{Link, Machine};
use crate::tls;
use crate::vault::config::Config;
use crate::vault::create::{Options, create};
use crate::vault::disks::{Slot, open_kept};
use crate::vault::lock::Lock;
use crate::vault::{Directory, State};

/// How a vault is reached.
#[derive(Debug, Clone, Copy)]
pub struct Reached<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names under which it is reached beside the usual ones.
    pub domains: &'a [String],
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

/// What a start may be told beside where it listens.
#[derive(Debug, Default)]
pub struct Wish {
    /// Memory for pages of the index, if it is not the usual amount.
    pub index_cache_bytes: Option<u64>,
    /// A forced opening as two people signed it.
    pub force: Option<ForcedOrder>,
}

/// Serves a vault until a signal asks to stop; makes a default evaluation vault where there is
/// nothing.
///
/// # Errors
/// Why it cannot be served, or that it ended by a fault.
pub fn serve(dir: &Path, reached: Reached<'_>, wish: Wish) -> Outcome<()> {
    let listen = reached.listen;
    let started = Instant::now();
    let directory = Directory::new(dir)?;
    if wish.force.is_some() {
        // Nobody signed for a new vault.
        directory.existing()?;
    }
    let mut lock = take(&directory, listen)?;
    // Looked at again: before the lock was ours, somebody else may have changed it.
    let config = directory.existing()?;
    // The keys and everybody's secrets are in memory from here on. A machine that does not allow it still serves.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).ok();
    // Refused early where they are missing; they are opened again with the pool.
    let keys = directory.keys(config.key_source());
    keys.open()?;
    let runtime = Runtime::new().map_err(Error::Thread)?;
    let signals = Signals::catch()?;
    let bell = Bell::default();
    let slabs = SlabPool::new(SLAB_COUNT);
    let wishes = Wishes {
        write_pools: vec![slabs.buffers()],
        read_pool: Some(Pool::new(SLAB_BYTES, READ_SLAB_COUNT)),
        ..Wishes::default()
    };
    let slots = open_kept(
        &config,
        directory.path(),
        OpenMode::Write,
        &wishes,
        &bell.disk_waker(),
    )?;
    require_any(&slots)?;
    let bays = Bays::new(&slots);
    let place = Place::new(&directory, bays.clone(), keys.source.clone());
    lock.sign()?;
    let opener = Opener {
        keys,
        bays: bays.clone(),
        client_buckets: config.client_buckets(),
        serials: config.serials(),
        index_cache_bytes: wish.index_cache_bytes,
    };
    let force = wish.force.map(|order| Force::Open(Box::new(order)));
    let machine = Machine::start(slots, opener, force, &bell);
    let mut machine = machine.map_err(|error| last_resort(error, &directory))?;
    let config = remember_serials(&directory, config, &bays, &machine.report().disks);
    let charge = Charge {
        link: machine.link(),
        bell,
        directory: directory.clone(),
        config,
        bays,
    };
    let served = Collector::start(machine.link(), machine.watch()).and_then(|collector| {
        let lookout = Lookout::start(machine.link(), place.bays().clone(), machine.watch());
        let served = lookout.and_then(|lookout| {
            let keeper = Keeper::start(charge, machine.watch())?;
            let orders = keeper.orders();
            let served = face(
                &machine,
                &directory,
                reached,
                place,
                (orders, slabs),
                started,
                &runtime,
            )
            .and_then(|face| runtime.block_on(face.run(&mut machine, signals)));
            // Connections and their tasks end before the threads they talk to, and what they began does not go on and on.
            machine.ending();
            runtime.shutdown_timeout(Duration::from_millis(VERB_END_MS_MAX));
            drop(lookout);
            keeper.stop();
            served
        });
        collector.stop();
        served
    });
    let stopped = machine.stop();
    served.and(stopped)
}

/// Keeps the serial numbers of the drives, so that one that is missing later can be named by what is printed on it. A
/// vault whose configuration cannot be written is served all the same.
fn remember_serials(
    directory: &Directory,
    config: Config,
    bays: &Bays,
    disks: &[DiskReport],
) -> Config {
    let ours = |bay: &Bay| {
        let of_bay = |disk: &&DiskReport| disk.slot.is_some() && disk.slot == bay.slot;
        let disk = disks.iter().find(of_bay);
        disk.is_some_and(|disk| matches!(disk.verdict, DiskVerdict::Active | DiskVerdict::Stale))
    };
    let bays = bays.now();
    let here = bays.iter().enumerate().filter(|(_, bay)| ours(bay));
    let with = config.with_serials(here.filter_map(|(at, bay)| Some((at, bay.serial.clone()?))));
    if with == config {
        return config;
    }
    match with.replace(&directory.config_file()) {
        Ok(()) => with,
        Err(error) => {
            tracing::warn!("serial numbers of disks are not remembered: {error}");
            config
        }
    }
}

/// Locks an existing vault or makes a new one, with the port free at that moment.
fn take(directory: &Directory, listen: SocketAddr) -> Outcome<Lock> {
    match directory.state()? {
        State::Vault(_) => {
            let lock = Lock::take(&directory.lock_file())?;
            require_free(listen)?;
            Ok(lock)
        }
        State::Vacant => {
            require_free(listen)?;
            let lock = create(directory, &Options::default())?;
            banner::created(directory, &KeySource::File);
            Ok(lock)
        }
        State::Foreign => Err(directory.foreign()),
        State::HalfWritten { disks } => Err(directory.half_written(disks)),
    }
}

/// Refuses a port in use before anything is changed. It is taken again later; should somebody be
/// faster, that refusal comes later too and is as clear. The gateway of a process that was killed may
/// hold it for another moment.
fn require_free(listen: SocketAddr) -> Outcome<()> {
    for _ in 1..PORT_ATTEMPT_COUNT_MAX {
        match take_port(listen) {
            Err(Error::PortBusy { .. }) => {
                std::thread::sleep(Duration::from_millis(PORT_ATTEMPT_PAUSE_MS));
            }
            free => return free.map(drop),
        }
    }
    take_port(listen).map(drop)
}

fn take_port(address: SocketAddr) -> Outcome<TcpListener> {
    stele_gateway::listen(address).map_err(|error| match error {
        GatewayError::PortBusy { address } => Error::PortBusy { address },
        GatewayError::Listen { address, source } => Error::Listen { address, source },
        other => Error::Gateway(other),
    })
}

/// A log that ends too early names what two people can do about it.
fn last_resort(error: Error, directory: &Directory) -> Error {
    match error {
        Error::Open(short @ OpenError::LogShort { .. }) => Error::OpenShort {
            short,
            look: Commands::new(directory.path()).look(),
        },
        other => other,
    }
}

/// Without a single disk there is nothing to ask the engine.
///
/// # Errors
/// None of them can be opened.
pub fn require_any(slots: &[Slot]) -> Outcome<()> {
    if slots.iter().any(|slot| slot.disk.is_ok()) {
        return Ok(());
    }
    let faults = slots.iter().filter_map(|slot| {
        slot.disk
            .as_ref()
            .err()
            .map(|why| format!("{} ({why})", slot.path.display()))
    });
    Err(Error::NoDisks {
        disks: faults.collect::<Vec<_>>().join(", "),
    })
}

/// Everything that faces outward, ready to serve.
struct Face {
    warden: Warden,
    control: ControlSocket,
    answerer: Arc<Live>,
}

fn face(
    machine: &Machine,
    directory: &Directory,
    reached: Reached<'_>,
    place: Place,
    (orders, slabs): (Orders, SlabPool),
    started: Instant,
    runtime: &Runtime,
) -> Outcome<Face> {
    let Reached {
        listen, domains, ..
    } = reached;
    let link = machine.link();
    let wall_ms = SystemClock.wall_ms();
    let clients = load_clients(&link)?;
    let identity = load_identity(&link, wall_ms)?;
    logkey::load(&link, link.status_now()?.pool)?;
    let settings = load_settings(&link)?;
    let tls = tls::Keeper::new(link.clone(), directory.clone(), identity, settings)?;
    let tls = Arc::new(tls);
    // The key that the vault was made with, while it is good: other clients have files of their own.
    let first = clients
        .iter()
        .find(|entry| entry.owner.is_empty() && !entry.is_revoked());
    let first = first.map(|entry| entry.id.clone()).unwrap_or_default();
    let secrets = clients
        .iter()
        .filter(|entry| !entry.is_revoked())
        .map(|client| Ok((client.id.clone(), link.secret(&client.id)?)))
        .collect::<Outcome<HashMap<String, Zeroizing<String>>>>()?;
    let keys = Secrets::new();
    keys.replace(secrets.clone());
    let names = [&DOMAINS.map(str::to_owned), domains].concat();
    let door = Door {
        secrets: keys.clone(),
        register: Published::new(clients.clone()),
        domains: Domains::new(names.clone()),
        spent: Spent::default(),
    };
    let listener = take_port(listen)?;
    let address = listener.local_addr().map_err(|source| Error::Listen {
        address: listen,
        source,
    })?;
    let endpoint = client_env::endpoint(address, domains, &tls.told().borrow());
    let files = ClientFiles {
        key_id: &first,
        secret: secrets
            .get(&first)
            .map(|secret| secret.as_str())
            .unwrap_or_default(),
        endpoint: &endpoint,
    };
    let control = {
        let _context = runtime.enter();
        ControlSocket::bind(&directory.control_socket())?
    };
    let warden = start_gateway(
        machine,
        (listener, names, reached.http2),
        &tls,
        door.clone(),
        slabs,
    )?;
    // Whoever sees the new file finds everything else in its place.
    write_files(&tls, &files, directory);
    let place = place.listening(endpoint.clone(), warden.view());
    let desk = Arc::new(Desk::new(link.clone()));
    let mut status = live_status(&link.status_now()?, &place);
    status.people = desk.summary().ok();
    let facts = Facts {
        source: place.keys(),
        directory,
        endpoint: &endpoint,
        address,
        status: &status,
        took: started.elapsed(),
        report: machine.report(),
    };
    banner::serving(&facts);
    Ok(Face {
        warden,
        control,
        answerer: Arc::new(Live {
            registrar: Arc::new(Registrar::new(
                link.clone(),
                (keys, door.register),
                endpoint,
                clients,
            )),
            tls,
            desk: resumed(desk),
            guard: Arc::default(),
            link,
            place,
            orders,
        }),
    })
}

/// Brings the files for clients up to date. A vault whose directory has no room for them is served all the
/// same: each start takes room on the disks for good, and who has the files already needs no others.
fn write_files(tls: &tls::Keeper, files: &ClientFiles<'_>, directory: &Directory) {
    let tell = |error: Error| {
        tracing::warn!(
            "a file for clients is not brought up to date, so it may say what is so no more: {error}; make room or let the \
             directory be written, and serve the vault again"
        );
    };
    tls.write_authorities().unwrap_or_else(tell);
    files.write(directory).unwrap_or_else(tell);
}

/// Goes on with what was executed before, on a thread that ends with it or with the process.
fn resumed(desk: Arc<Desk>) -> Arc<Desk> {
    let worker = Arc::clone(&desk);
    let started = std::thread::Builder::new()
        .name("desk".to_owned())
        .spawn(move || worker.resume());
    if let Err(error) = started {
        tracing::warn!(%error, "what was executed before is carried on by hand only");
    }
    desk
}

fn start_gateway(
    machine: &Machine,
    (listener, domains, http2): (TcpListener, Vec<String>, bool),
    tls: &tls::Keeper,
    door: Door,
    slabs: SlabPool,
) -> Outcome<Warden> {
    let charge = process::Charge {
        listener,
        tls: tls.told(),
        http2,
        region: REGION_DEFAULT.to_owned(),
        domains,
        tools: Tools {
            slabs,
            door,
            questions: machine.questions(),
        },
    };
    Warden::start(charge, machine.watch())
}

fn load_clients(link: &Link) -> Outcome<Clients> {
    let value = link.get_config(clients::RECORD)?;
    let value = value.ok_or(Error::Record {
        name: clients::RECORD,
    })?;
    let clients = Clients::decode(&value)?;
    link.set_clients(clients.clone())?;
    Ok(clients)
}

/// The stored certificate, or a new one when it is missing, unreadable or about to expire. A new one
/// that cannot be stored serves until the next start.
fn load_identity(link: &Link, wall_ms: u64) -> Outcome<Identity> {
    let stored = match link.get_config(certificate::RECORD) {
        Ok(value) => value,
        Err(Error::Refused(refusal)) => {
            tracing::warn!(%refusal, "the stored certificate cannot be read");
            None
        }
        Err(error) => return Err(error),
    };
    let stored = stored.and_then(|value| Identity::decode(&value).ok());
    if let Some(identity) = stored.filter(|identity| !identity.expires_soon(wall_ms)) {
        return Ok(identity);
    }
    let identity = Identity::issue(wall_ms)?;
    tracing::info!("a new certificate was issued; clients need the new ca.pem");
    match link.put_config(certificate::RECORD, &identity.encode()?) {
        Ok(()) => {}
        Err(Error::Refused(refusal)) => {
            tracing::warn!(%refusal, "the new certificate cannot be stored");
        }
        Err(error) => return Err(error),
    }
    Ok(identity)
}

/// What people changed about TLS.
fn load_settings(link: &Link) -> Outcome<tls::Settings> {
    match link.get_config(tls::RECORD) {
        Ok(value) => tls::Settings::decode(value.as_deref()),
        // Nobody knows whether certificates are required of clients.
        Err(Error::Refused(refusal)) => {
            tracing::error!(%refusal, "{}", Error::TlsUndecided);
            Ok(tls::Settings::unread())
        }
        Err(error) => Err(error),
    }
}

/// SIGTERM and SIGINT, caught from before the engine starts so that none is lost or ends it halfway. The first asks for
/// the end; the second is the end, whatever goes on: a thread of its own looks for them.
struct Signals(watch::Receiver<bool>);

impl Signals {
    fn catch() -> Outcome<Signals> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().map_err(Error::Thread)?;
        let (mut terminate, mut interrupt) = {
            let _context = runtime.enter();
            let catch = |kind| signal(kind).map_err(Error::Thread);
            let terminate = catch(SignalKind::terminate())?;
            (terminate, catch(SignalKind::interrupt())?)
        };
        let (ask, asked) = watch::channel(false);
        let look = async move {
            next(&mut terminate, &mut interrupt).await;
            tracing::info!("asked to stop; asked once more, it stops at once");
            ask.send_replace(true);
            next(&mut terminate, &mut interrupt).await;
            // Leaving at once is as safe as a crash: the next start recovers.
            tracing::warn!("stopping at once");
            std::process::exit(1);
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        let started = thread.spawn(move || runtime.block_on(look));
        started.map_err(Error::Thread)?;
        Ok(Signals(asked))
    }

    /// Waits for the first.
    async fn asked(&mut self) {
        // The thread ends with the process.
        self.0.wait_for(|asked| *asked).await.ok();
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Answers the control socket.
struct Live {
    link: Link,
    place: Place,
    orders: Orders,
    registrar: Arc<Registrar>,
    tls: Arc<tls::Keeper>,
    desk: Arc<Desk>,
    guard: Arc<Guard>,
}

impl Live {
    /// Has the registrar do something, on a thread that may wait.
    async fn registered<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registrar) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let registrar = Arc::clone(&self.registrar);
        apart(move || work(&registrar)).await
    }
}

/// Does something on a thread that may wait.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Error::NoAnswer))
}

impl Answerer for Live {
    async fn status(&self) -> Outcome<Status> {
        let engine = self.link.status().await?;
        let mut status = live_status(&engine, &self.place);
        let tls = self.tls.status();
        let now_ms = SystemClock.wall_ms();
        if let Some(what) = tls.expires_ms.and_then(|ms| certificate::alarm(ms, now_ms)) {
            let commands = self.place.commands(engine.founded);
            status.alarms.push(what);
            status.next.push(commands.new_certificate(tls.installed));
        }
        status.tls = Some(tls);
        if self.tls.is_undecided() {
            status.alarms.push(Error::TlsUndecided.to_string());
            let commands = self.place.commands(engine.founded);
            status.next.push(commands.decide_client_ca());
        }
        status.alarms.extend(self.guard.alarms());
        // While the engine starts again it shows nobody.
        if engine.rebuilding.is_none() {
            let desk = Arc::clone(&self.desk);
            let (people, tiers) = apart(move || Ok((desk.summary()?, desk.tiers()?))).await?;
            status.people = Some(people);
            status.tiers = tiers;
        }
        Ok(status)
    }

    async fn challenge(&self) -> Outcome<Challenge> {
        let (desk, guard) = (Arc::clone(&self.desk), Arc::clone(&self.guard));
        apart(move || guard.challenge(&*desk.people()?)).await
    }

    async fn allow(&self, ask: &Ask, session: Option<Session>) -> Outcome<()> {
        if needs(ask) == Needs::Nothing {
            return Ok(());
        }
        let (desk, guard) = (Arc::clone(&self.desk), Arc::clone(&self.guard));
        let (link, ask) = (self.link.clone(), ask.clone());
        apart(move || guard.check(&ask, session.as_ref(), &*desk.people()?, &link)).await
    }

    async fn desk(&self, ask: DeskAsk) -> Outcome<DeskReply> {
        let desk = Arc::clone(&self.desk);
        apart(move || desk.answer(ask)).await
    }

    async fn join(&self, join: Join) -> Outcome<Joined> {
        self.orders.join(join).await
    }

    async fn drain(&self, number: u16) -> Outcome<Draining> {
        self.orders.drain(number).await
    }

    async fn wipe(&self, ask: WipeAsk) -> Outcome<WipeReply> {
        self.orders.wipe(ask).await
    }

    async fn client(&self, ask: ClientAsk) -> Outcome<ClientReply> {
        self.registered(|registrar| registrar.clients(ask)).await
    }

    async fn rule(&self, ask: RuleAsk) -> Outcome<RuleReply> {
        self.registered(|registrar| registrar.rules(ask)).await
    }

    async fn tls(&self, ask: TlsAsk) -> Outcome<TlsStatus> {
        let tls = Arc::clone(&self.tls);
        let done = tokio::task::spawn_blocking(move || tls.ask(ask)).await;
        done.unwrap_or(Err(Error::NoAnswer))
    }
}

impl Face {
    /// Serves until a signal, then lets running requests finish.
    async fn run(self, machine: &mut Machine, mut signals: Signals) -> Outcome<()> {
        let Face {
            warden,
            control,
            answerer,
        } = self;
        let stopped = async move {
            signals.asked().await;
            tracing::info!("stopping; running requests may finish");
            warden.stop().await;
        };
        tokio::select! {
            () = stopped => Ok(()),
            name = machine.death() => {
                end_soon(name);
                Err(Error::ThreadDied { name })
            }
            () = control.serve(answerer) => Ok(()),
        }
    }
}

/// Ends the process when it has not ended by itself in time: what waits for the thread that died may wait for ever, and
/// a process that neither serves nor ends is not started again. It is as safe as a crash.
fn end_soon(name: &'static str) {
    let end = move || {
        // Twice, for the engine is waited for last and as long.
        std::thread::sleep(Duration::from_millis(2 * DEATH_MS_MAX));
        tracing::error!("{}", Error::ThreadDied { name });
        std::process::exit(1);
    };
    let thread = std::thread::Builder::new().name("end".to_owned());
    // Without it the process ends if nothing waits.
    thread.spawn(end).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_ends_too_early_names_what_to_plug_in_and_the_last_resort() {
        let directory = Directory::new(Path::new("/a vault")).expect("named");
        let short = || OpenError::LogShort {
            first: 7,
            last: 9,
            missing: "disk 2".to_owned(),
        };
        let said = last_resort(short().into(), &directory).to_string();
        let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("{part}: {said}"));
        let look = at("stele force-open look --vault '/a vault'");
        assert!(
            at("records 7 to 9") < at("disk 2") && at("disk 2") < look,
            "{said}"
        );
        let other = last_resort(OpenError::NoLabel.into(), &directory).to_string();
        assert!(!other.contains("force-open"), "{other}");
    }
}
