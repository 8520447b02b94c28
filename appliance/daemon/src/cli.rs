//! The command line: verbs and flags, parsed into complete values.

pub mod client;
pub mod expiry;
pub mod force;
pub mod people;
pub mod release;
pub mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use stele_device::keyprovider::tpm::PcrSet;
use stele_store::policy::{BucketKind, Right};

use crate::keys::KeySource;

use client::{BucketVerb, ClientVerb};
use expiry::{ClockVerb, EraseVerb, ExpiryVerb, HoldVerb};
use force::ForceVerb;
use people::{ApproveVerb, CertificateArgs, PeopleVerb, RequestArgs};
use release::ReleaseVerb;
use tls::TlsVerb;

/// Where a vault listens unless told otherwise.
pub const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
/// The vault of `stele` without a verb.
pub const VAULT_DEFAULT: &str = "./vault";

/// An immutable backup vault that speaks S3.
#[derive(Debug, Parser)]
#[command(name = "stele", version)]
pub struct Cli {
    /// What to do; without it, serve ./vault.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Who acts, in a vault that has people.
    #[arg(long = "as", value_name = "NAME", global = true)]
    pub actor: Option<String>,
    /// Their key, for ssh-keygen: a key file, or the public half of a key that an agent or a security key holds.
    #[arg(long = "key", id = "signing_key", value_name = "FILE", global = true)]
    pub signing_key: Option<PathBuf>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create an evaluation vault in a directory.
    Create(CreateArgs),
    /// Serve a vault; creates a default evaluation vault where the directory is missing or empty.
    Serve(ServeArgs),
    /// Say how a vault is, whether or not it is being served.
    Status(StatusArgs),
    /// Print the newest signed checkpoint of the log of a vault that is being served.
    Checkpoint(CheckpointArgs),
    /// See, replace, add and drain the disks of a vault that is being served.
    #[command(subcommand)]
    Disk(DiskVerb),
    /// Add, see, limit and revoke the clients of a vault that is being served.
    #[command(subcommand)]
    Client(ClientVerb),
    /// Make, see and bound buckets of a vault that is being served, and set their default retention.
    #[command(subcommand)]
    Bucket(BucketVerb),
    /// Show and bring back what clients deleted for good in S3, or lifecycle rules released; the vault has it until two
    /// people destroy it.
    #[command(subcommand)]
    Release(ReleaseVerb),
    /// Show and change how TLS is spoken by a vault that is being served.
    #[command(subcommand)]
    Tls(TlsVerb),
    /// Found, see and change the people of a vault that is being served.
    #[command(subcommand)]
    People(PeopleVerb),
    /// Bring, see, approve, veto and execute requests.
    #[command(subcommand)]
    Approve(ApproveVerb),
    /// See what has expired, and draft its destruction.
    #[command(subcommand)]
    Expiry(ExpiryVerb),
    /// Draft the destruction of exact versions.
    #[command(subcommand)]
    Erase(EraseVerb),
    /// Place, see and release legal holds by case.
    #[command(subcommand)]
    Hold(HoldVerb),
    /// See the clocks, set a simulated one forward, or draft a correction.
    #[command(subcommand)]
    Clock(ClockVerb),
    /// Open a vault that lost too many disks for good with those that are left, as two people sign for it.
    #[command(subcommand)]
    ForceOpen(ForceVerb),
    /// Say all that can be said of a destruction, but for names, which went with the keys.
    Certificate(CertificateArgs),
    /// Run the network face of a served vault; started by `serve`, never by hand.
    #[command(hide = true)]
    Gateway,
}

/// What can be done with the disks of a vault that is being served.
#[derive(Debug, Subcommand)]
pub enum DiskVerb {
    /// Show the disks.
    List(StatusArgs),
    /// Put a blank disk in the place of a lost one and fill it.
    Replace(ReplaceArgs),
    /// Fill a disk that came back at its known path with what it missed.
    Resync(NumberArgs),
    /// Take a further blank disk.
    Add(AddArgs),
    /// Move everything off a disk so that it can be taken out.
    Drain(NumberArgs),
    /// Ask for leave to wipe a disk that the vault let go of, or wipe it as an executed request says.
    Reinitialise(WipeArgs),
}

/// `stele disk reinitialise`.
#[derive(Debug, Args)]
pub struct WipeArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The executed request: wipe the disk now, or go on with it.
    #[arg(long = "request", value_name = "NUMBER", conflicts_with_all = ["out", "reason"])]
    pub number: Option<u64>,
    /// The disk.
    pub path: PathBuf,
}

/// `stele disk replace`.
#[derive(Debug, Args)]
pub struct ReplaceArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// Number of the lost disk, as `stele disk list` shows it.
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub number: u16,
    /// The blank disk; where nothing is, a file is made.
    pub path: PathBuf,
    /// Size of the file that is made, in bytes or with KiB, MiB, GiB, TiB [default: as the others].
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    pub disk_bytes: Option<u64>,
}

/// `stele disk add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The blank disk; where nothing is, a file is made.
    pub path: PathBuf,
    /// Size of the file that is made, in bytes or with KiB, MiB, GiB, TiB [default: as the others].
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    pub disk_bytes: Option<u64>,
}

/// `stele disk resync` and `stele disk drain`.
#[derive(Debug, Args)]
pub struct NumberArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// Number of the disk, as `stele disk list` shows it.
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub number: u16,
}

/// `stele create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The vault's directory; must not exist or be empty.
    pub dir: PathBuf,
    /// Use this blank disk, or create this file, instead of three files in the directory; may be
    /// repeated.
    #[arg(long = "disk", value_name = "PATH")]
    pub disks: Vec<PathBuf>,
    /// Size of each new disk file, in bytes or with KiB, MiB, GiB, TiB [default: 16GiB].
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    pub disk_bytes: Option<u64>,
    /// Mark the vault as one for tests, whose clock may be set; it says so for ever.
    #[arg(long)]
    pub simulated_clock: bool,
    /// Kind of the buckets that clients create without asking for Object Lock: default-locked,
    /// client-locked or plain.
    #[arg(long, value_name = "KIND", default_value = "default-locked", value_parser = parse_kind)]
    pub client_buckets: BucketKind,
    /// Special rights of the client key: any of governance-bypass, hold-off, lock-admin, with
    /// commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_right)]
    pub client_rights: Vec<Right>,
    /// What holds the vault's key: file, or a TPM as tpm:/dev/tpmrm0, tpm:unix:/PATH or
    /// tpm:tcp:127.0.0.1:PORT.
    #[arg(long, value_name = "PROVIDER", default_value = "file")]
    pub key_provider: KeySource,
    /// With a TPM: open only while these platform registers are as now, as numbers with commas.
    #[arg(long, value_name = "LIST", default_value = "none")]
    pub tpm_pcrs: PcrSet,
}

/// `stele serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// Memory for pages of the index; more makes large vaults faster.
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    pub index_cache_bytes: Option<u64>,
    /// Address and port to listen on; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value_t = LISTEN_DEFAULT)]
    pub listen: SocketAddr,
    /// A further name under which the vault is reached, beside localhost and s3.localhost: a bucket may stand in
    /// front of it. May be repeated. Its certificate is put in with `stele tls install`.
    #[arg(long = "domain", value_name = "NAME", value_parser = parse_domain)]
    pub domains: Vec<String>,
    /// Speak HTTP/2, too, with clients that offer it. No backup program needs it, and one client can then have the
    /// gateway's process hold far more.
    #[arg(long)]
    pub http2: bool,
    /// Open the vault with the disks that are left, as two people signed it: the texts of `stele force-open`, each with
    /// its signature beside it. Only for the first start after they signed.
    #[arg(long, num_args = 2, value_names = ["REQUEST", "APPROVAL"])]
    pub force_open: Option<Vec<PathBuf>>,
}

/// `stele status` and `stele disk list`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `stele checkpoint`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct CheckpointArgs {
    /// To bring one back instead.
    #[command(subcommand)]
    pub verb: Option<CheckpointVerb>,
    /// The vault's directory.
    #[arg(long, value_name = "DIR", required = true)]
    pub vault: Option<PathBuf>,
    /// Print the checkpoint that the last change of the log's key made, signed by both keys; until the next start.
    #[arg(long, conflicts_with = "signing_key")]
    pub first: bool,
    /// Print the keys that verify checkpoints and receipts instead: behind `@` from how many records on one counts.
    // Nobody signs here: it takes the place of the key that all other verbs sign with, and no value.
    #[arg(
        long = "key",
        id = "signing_key",
        num_args = 0,
        default_missing_value = "log"
    )]
    pub key: Option<PathBuf>,
}

/// What can be done with checkpoints beside printing them.
#[derive(Debug, Subcommand)]
pub enum CheckpointVerb {
    /// Bring a checkpoint that a witness has cosigned.
    Cosign(CosignArgs),
}

/// `stele checkpoint cosign`.
#[derive(Debug, Args)]
pub struct CosignArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The file with it, as `stele-witness cosign` prints it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Why a size is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number with a known unit.
    #[error("not a size: bytes, or a number with KiB, MiB, GiB or TiB")]
    Syntax,
    /// More than 64 bits.
    #[error("the size is too large")]
    TooLarge,
    /// Disks are made of blocks.
    #[error("a disk's size is a multiple of 4096 bytes")]
    Misaligned,
}

fn parse_bytes(text: &str) -> Result<u64, SizeError> {
    let bytes = parse_size(text)?;
    if !bytes.is_multiple_of(4096) {
        return Err(SizeError::Misaligned);
    }
    Ok(bytes)
}

fn parse_size(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::Syntax);
    }
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(SizeError::Syntax),
    };
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    number.checked_mul(factor).ok_or(SizeError::TooLarge)
}

/// Not one of the words that exist.
#[derive(Debug, thiserror::Error)]
#[error("unknown; there are {0}")]
struct UnknownWord(&'static str);

/// Names of hosts: labels of letters, digits and hyphens with dots between them.
fn parse_domain(text: &str) -> Result<String, NoDomain> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    match text.len() <= 253 && text.split('.').all(label) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(NoDomain),
    }
}

/// Not the name of a host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a host: letters, digits and hyphens, with dots between them")]
struct NoDomain;

fn parse_kind(text: &str) -> Result<BucketKind, UnknownWord> {
    BucketKind::from_name(text).ok_or(UnknownWord("default-locked, client-locked and plain"))
}

fn parse_right(text: &str) -> Result<Right, UnknownWord> {
    Right::from_name(text).ok_or(UnknownWord("governance-bypass, hold-off and lock-admin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_take_binary_suffixes_and_refuse_everything_else() {
        let check = |text: &str, expected: Result<u64, SizeError>| {
            assert_eq!(parse_bytes(text), expected, "{text:?}");
        };
        check("4096", Ok(4096));
        check("4GiB", Ok(4 << 30));
        check("16g", Ok(16 << 30));
        check("512MiB", Ok(512 << 20));
        check("2TiB", Ok(2 << 40));
        check("8KiB", Ok(8192));
        check("4097", Err(SizeError::Misaligned));
        check("", Err(SizeError::Syntax));
        check("GiB", Err(SizeError::Syntax));
        check("-4GiB", Err(SizeError::Syntax));
        check("4 GiB", Err(SizeError::Syntax));
        check("4GB", Err(SizeError::Syntax));
        check("1.5GiB", Err(SizeError::Syntax));
        check("99999999999999999999", Err(SizeError::TooLarge));
        check("18446744073709551615GiB", Err(SizeError::TooLarge));
    }

    #[test]
    fn domains_are_names_of_hosts() {
        assert_eq!(
            parse_domain("Vault.Example-1.com"),
            Ok("vault.example-1.com".to_owned())
        );
        for bad in ["", ".", "a..b", "a b", "a/b", "a:1", ".a", &"a".repeat(64)] {
            assert_eq!(parse_domain(bad), Err(NoDomain), "{bad}");
        }
    }

    #[test]
    fn rights_come_as_a_list() {
        let cli = Cli::try_parse_from([
            "stele",
            "create",
            "v",
            "--client-rights",
            "governance-bypass,hold-off",
            "--client-buckets",
            "plain",
        ])
        .expect("parses");
        let Some(Verb::Create(args)) = cli.verb else {
            panic!("another verb")
        };
        assert_eq!(
            args.client_rights,
            [Right::GovernanceBypass, Right::HoldOff]
        );
        assert_eq!(args.client_buckets, BucketKind::Plain);
        for bad in ["root", "hold-off,", "Hold-Off"] {
            let line = ["stele", "create", "v", "--client-rights", bad];
            assert!(Cli::try_parse_from(line).is_err(), "{bad}");
        }
    }

    #[test]
    fn serve_needs_a_vault_and_listens_on_loopback() {
        let cli = Cli::try_parse_from(["stele", "serve", "--vault", "v"]).expect("parses");
        let Some(Verb::Serve(args)) = cli.verb else {
            panic!("another verb")
        };
        assert_eq!(args.listen.to_string(), "127.0.0.1:8443");
        assert!(Cli::try_parse_from(["stele", "serve"]).is_err());
        assert!(
            Cli::try_parse_from(["stele"])
                .expect("parses")
                .verb
                .is_none()
        );
    }
}
