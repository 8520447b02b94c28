//! Everything that ends a verb, each as one sentence for the person at the terminal.
//!
//! No message carries a secret, an object name or anything a client sent.

use std::net::SocketAddr;
use std::path::PathBuf;

use stele_device::keyprovider::tpm::TpmError;
use stele_device::linux::disk::OpenError;
use stele_device::linux::keyfile::KeyFileError;
use stele_store::request::Refusal;

use crate::join::refusal::{NotDrained, NotJoined, NotWiped};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A plan for power cuts that is none.
    #[cfg(feature = "evil-disk")]
    #[error(transparent)]
    EvilPlan(stele_device::evil::PlanError),
    /// There is no vault in the directory.
    #[error("{}: there is no vault", dir.display())]
    NoVault {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds something else.
    #[error("{}: not empty and not a vault; it was left as it is", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// A vault whose configuration is gone.
    #[error(
        "{}: a vault's key is here, and vault.json, which says where its disks are, is missing; nothing was changed. Put a \
         copy of vault.json back, or write it anew (docs/operations.md, \"What to copy elsewhere\")",
        dir.display()
    )]
    NoConfig {
        /// The directory.
        dir: PathBuf,
    },
    /// A file stands where the directory should be.
    #[error("{}: not a directory", dir.display())]
    NotADirectory {
        /// The path.
        dir: PathBuf,
    },
    /// Creation ended half way.
    #[error(
        "{}: creating a vault here was interrupted; remove this directory{} and create it again",
        dir.display(), also_blank(disks)
    )]
    HalfWritten {
        /// The directory.
        dir: PathBuf,
        /// Disks outside it that may have been written.
        disks: Vec<PathBuf>,
    },
    /// Another process is creating it.
    #[error("{}: a vault is being created here by {}", dir.display(), holder(*process))]
    BeingCreated {
        /// The directory.
        dir: PathBuf,
        /// The process, if it left its number.
        process: Option<u32>,
    },
    /// A vault was to be created where one is.
    #[error("{}: there is a vault already; it was left as it is", dir.display())]
    VaultExists {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process serves it.
    #[error("{}: already served by {}", dir.display(), holder(*process))]
    AlreadyServed {
        /// The directory.
        dir: PathBuf,
        /// The process, if it left its number.
        process: Option<u32>,
    },
    /// `client.env` and the printed lines could not name the directory.
    #[error("the path of the vault directory holds a line break or another control character")]
    DirectoryName,
    /// The vault's list of disks is unreadable.
    #[error("{}: damaged: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A path that cannot be written into the vault's list of disks.
    #[error("{}: the path of a disk must be UTF-8", path.display())]
    DiskPath {
        /// The disk.
        path: PathBuf,
    },
    /// The same disk twice.
    #[error("{}: named twice", path.display())]
    DiskTwice {
        /// The disk.
        path: PathBuf,
    },
    /// Too many disks.
    #[error("a vault has at most {disks_max} disks")]
    DiskCount {
        /// The limit.
        disks_max: usize,
    },
    /// Too small a disk.
    #[error("{bytes} bytes is too small for a disk; the least is {bytes_min} bytes")]
    DiskSize {
        /// As asked, or as it is.
        bytes: u64,
        /// The limit.
        bytes_min: u64,
    },
    /// Something is on the disk.
    #[error("{}: not blank (data at byte {offset}); it was left as it is", path.display())]
    DiskNotBlank {
        /// The disk.
        path: PathBuf,
        /// Where the first data is.
        offset: u64,
    },
    /// A disk that cannot be opened.
    #[error(transparent)]
    Disk(#[from] OpenError),
    /// None of the vault's disks is there.
    #[error("none of the vault's disks can be opened; plug in {disks}")]
    NoDisks {
        /// Each with its reason.
        disks: String,
    },
    /// A disk that cannot be read while it is looked at.
    #[error("{}: {source}", path.display())]
    DiskRead {
        /// The disk.
        path: PathBuf,
        /// What it reports.
        source: stele_device::disk::DiskError,
    },
    /// The key file cannot be used.
    #[error("the vault's key cannot be used: {0}")]
    KeyFile(#[from] KeyFileError),
    /// The TPM cannot be used.
    #[error("the TPM that holds the vault's key cannot be used: {0}")]
    Tpm(#[from] TpmError),
    /// Somebody listens there already.
    #[error("{address}: the port is in use by another program; nothing was changed")]
    PortBusy {
        /// The address.
        address: SocketAddr,
    },
    /// Any other reason not to listen.
    #[error("{address}: cannot listen: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// TLS cannot be spoken so.
    #[error(transparent)]
    Tls(#[from] stele_gateway::tls::TlsFault),
    /// What people changed about TLS is lost, and they have not decided anew.
    #[error(
        "the settings of TLS cannot be read, and no client is let in; decide first whether clients must show certificates, with \
         `stele tls client-ca` and the file of their authorities, or off"
    )]
    TlsUndecided,
    /// The network face cannot start.
    #[error("the S3 service cannot start: {0}")]
    Gateway(#[from] stele_gateway::GatewayError),
    /// A file of the vault directory.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The engine refused to format the disks.
    #[error("the vault cannot be created: {0}")]
    Create(#[from] stele_store::recovery::CreateError),
    /// The engine refused to open the disks.
    #[error("the vault cannot be opened: {0}")]
    Open(#[from] stele_store::recovery::OpenError),
    /// The log is shorter than it was.
    #[error(
        "the vault cannot be opened: {short}. Only if those disks are lost for good, see what two people can open \
         without them: {look}"
    )]
    OpenShort {
        /// What is missing.
        short: stele_store::recovery::OpenError,
        /// The command.
        look: String,
    },
    /// Nothing is forced open, or nothing is drafted for it.
    #[error(transparent)]
    NotForced(#[from] crate::force::NotForced),
    /// The engine refused a question of the daemon itself.
    #[error("the vault refused its own configuration: {0}")]
    Refused(#[from] Refusal),
    /// The engine gave an answer of the wrong kind, or none.
    #[error("the engine gave no proper answer; this is a fault of the program")]
    NoAnswer,
    /// A configuration record cannot be understood.
    #[error("the vault's configuration record {name} is damaged")]
    Record {
        /// Its name.
        name: &'static str,
    },
    /// Nothing was signed yet, or nothing can be.
    #[error(
        "there is no signed checkpoint: the log's key cannot be used, or the vault is only read"
    )]
    NoCheckpoint,
    /// Only the start in which the log got another key knows what both keys signed.
    #[error(
        "the log's key was not changed since this start of the vault, so there is no checkpoint by two keys; for the newest \
         one, leave --first out"
    )]
    NoFirstCheckpoint,
    /// No certificate could be issued.
    #[error("no certificate could be issued: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The kernel gave no random bytes.
    #[error("the kernel gives no random bytes")]
    Entropy,
    /// A thread ended that must not.
    #[error("the thread {name} ended on a fault of the program; the next start recovers")]
    ThreadDied {
        /// Which.
        name: &'static str,
    },
    /// The gateway's process has what it needs from nobody.
    #[error("`stele gateway` is run by `stele serve`, not by hand: {0}")]
    NotHandedOver(std::io::Error),
    /// The gateway's process cannot give up what it must not have.
    #[error("the gateway refuses to face the network unconfined: {0}")]
    Sandbox(stele_device::linux::sandbox::SandboxError),
    /// The gateway's process ended before it served.
    #[error("the gateway's process ended before it served: {how}")]
    GatewayEnded {
        /// How.
        how: String,
    },
    /// The gateway's process did not serve in time.
    #[error("the gateway's process did not serve in time")]
    GatewayLate,
    /// A thread, a process or the runtime could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The control socket.
    #[error("{}: {source}", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The server on the other end of the control socket said no.
    #[error("the server answers: {0}")]
    ControlRefused(String),
    /// The server does not let a disk join or leave.
    #[error("{0}")]
    JoinRefused(String),
    /// Why a disk does not join.
    #[error(transparent)]
    NotJoined(#[from] Box<NotJoined>),
    /// Why a disk is not wiped.
    #[error(transparent)]
    NotWiped(Box<NotWiped>),
    /// Why a disk is not drained.
    #[error(transparent)]
    NotDrained(Box<NotDrained>),
    /// Too many wait to join or to leave.
    #[error("other disks are waiting to join; run this again later")]
    JoinBusy,
    /// The register of clients does not change.
    #[error(transparent)]
    NotChanged(#[from] crate::clients::NotChanged),
    /// A key is revoked in memory alone.
    #[error(
        "the key is revoked until the next start only, because the vault cannot write it down: {0}; \
         revoke it again once it can"
    )]
    RevokedUntilRestart(Refusal),
    /// The engine refused what the console asked.
    #[error("{0}")]
    NotDone(Refusal),
    /// No text is drafted, or nothing is carried out.
    #[error(transparent)]
    NotStated(#[from] crate::desk::NotStated),
    /// Nobody answers for a question.
    #[error(transparent)]
    NotAllowed(#[from] crate::desk::guard::NotAllowed),
    /// `ssh-keygen` gave no signature.
    #[error("ssh-keygen gave no signature: {0}")]
    NotSigned(String),
    /// A verb did what it was to do and could not say so.
    #[error("what there was to say could not be written: {0}; what was asked is done all the same")]
    Unsaid(std::io::Error),
    /// The secret of a new key reached nobody.
    #[error(
        "the secret of the new key, which is shown only once, could not be written: {source}; nobody has it. Revoke the key \
         with: {revoke}, then add another"
    )]
    SecretUnsaid {
        /// What the kernel said.
        source: std::io::Error,
        /// The command.
        revoke: String,
    },
    /// A verb lacks what it needs.
    #[error("{0}")]
    Usage(&'static str),
    /// A verb needs the serving process.
    #[error("{}: nothing serves this vault; serve it first with: {serve}", dir.display())]
    NotServed {
        /// The directory.
        dir: PathBuf,
        /// The command.
        serve: String,
    },
    /// The server speaks another language.
    #[error("the server's answer cannot be understood; is it of another version?")]
    ControlAnswer,
    /// The server stopped in the middle of its answer.
    #[error(
        "the server stopped before it had answered: what was asked may be done or not; once it serves again, look, then ask again"
    )]
    ControlCut,
}

/// The result of a verb or of a part of one.
pub type Outcome<T> = Result<T, Error>;

fn holder(process: Option<u32>) -> String {
    process.map_or_else(
        || "another process".to_owned(),
        |id| format!("process {id}"),
    )
}

fn also_blank(disks: &[PathBuf]) -> String {
    if disks.is_empty() {
        return String::new();
    }
    let names: Vec<String> = disks
        .iter()
        .map(|disk| disk.display().to_string())
        .collect();
    format!(", blank {}", names.join(", "))
}

impl From<NotWiped> for Error {
    fn from(why: NotWiped) -> Self {
        Self::NotWiped(Box::new(why))
    }
}

impl From<NotDrained> for Error {
    fn from(why: NotDrained) -> Self {
        Self::NotDrained(Box::new(why))
    }
}

/// Attaches the path to what the kernel said.
pub fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}
