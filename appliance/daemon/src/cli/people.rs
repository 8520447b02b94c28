//! `stele people`, `stele approve` and `stele certificate`: flags, parsed into what is asked of the serving process.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::StatusArgs;

/// Where a draft goes.
#[derive(Debug, Args)]
pub struct DraftArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// Write the text to this new file, and the note to the same name with .note, to be signed elsewhere; without
    /// it the text is signed at once with --key.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A request that is drafted.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// Where it goes.
    #[command(flatten)]
    pub draft: DraftArgs,
    /// Why, in words; kept sealed, a salted digest of it is in the text.
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub reason: String,
}

/// What can be done with the people of a vault that is being served.
#[derive(Debug, Subcommand)]
pub enum PeopleVerb {
    /// Name the first people: print the text that each of them signs, or bring it with their signatures.
    Found(FoundArgs),
    /// Show people, their keys, and the policies.
    List(StatusArgs),
    /// Ask for a new person.
    Enrol(EnrolArgs),
    /// Ask for one more key of a person.
    AddKey(KeyArgs),
    /// Ask to take a key from a person.
    RemoveKey(KeyArgs),
    /// Ask to suspend a person; it takes effect with the approval.
    Suspend(NameArgs),
    /// Ask to let a suspended person act again.
    Resume(NameArgs),
    /// Ask to remove a person for ever; it takes effect with the approval.
    Remove(NameArgs),
    /// Ask for another value of a policy.
    Policy(PolicyArgs),
    /// Ask for a witness, which cosigns checkpoints: nothing is destroyed where all are silent.
    Witness(WitnessArgs),
    /// Ask to remove a witness for ever.
    RemoveWitness(NameArgs),
    /// Ask for another key of the log; the vault makes it, and two officers and an approver agree.
    LogKey(RequestArgs),
    /// Review who has access: keys that signed nothing for 90 days are suspended.
    Review(DraftArgs),
}

/// `stele people found`.
#[derive(Debug, Args)]
pub struct FoundArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// A person as NAME:ROLE:KEYFILE.pub, with the role operator, approver, officer, custodian or auditor; repeated
    /// for everybody, and for second keys.
    #[arg(long = "person", value_name = "NAME:ROLE:FILE")]
    pub people: Vec<String>,
    /// A policy as NAME=VALUE, where it is to have another value than the built-in one.
    #[arg(long = "policy", value_name = "NAME=VALUE")]
    pub policies: Vec<String>,
    /// Let keys that are plain files count; for evaluation vaults alone, and said for ever.
    #[arg(long)]
    pub plain_keys: bool,
    /// Write the text to this new file [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Bring the signed text in this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["people", "policies", "plain_keys", "out"])]
    pub submit: Option<PathBuf>,
    /// A signature over the text, as `ssh-keygen -Y sign` wrote it; repeated.
    #[arg(long = "signature", value_name = "FILE", requires = "submit")]
    pub signatures: Vec<PathBuf>,
}

/// `stele people enrol`.
#[derive(Debug, Args)]
pub struct EnrolArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Their name: a-z, 0-9, dot and hyphen.
    pub name: String,
    /// operator, approver, officer, custodian or auditor.
    pub role: String,
    /// Their public key's file.
    pub key_file: PathBuf,
}

/// `stele people add-key` and `remove-key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Whose.
    pub name: String,
    /// The public key's file.
    pub key_file: PathBuf,
}

/// `stele people suspend`, `resume` and `remove`.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Who.
    pub name: String,
}

/// `stele people policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The policy, as `stele people list` shows it.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// `stele people witness`.
#[derive(Debug, Args)]
pub struct WitnessArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// What people call it.
    pub name: String,
    /// Its key, as `stele-witness key` prints it.
    pub witness_key: String,
}

/// What can be done with requests.
#[derive(Debug, Subcommand)]
pub enum ApproveVerb {
    /// Bring a drafted request: sign it with --key, or bring its signature.
    Request(BringArgs),
    /// Show what waits for whom, and what is over.
    List(StatusArgs),
    /// Show a request.
    Show(ShowArgs),
    /// Approve a request.
    Sign(AnswerArgs),
    /// Veto a request; it is over then.
    Veto(AnswerArgs),
    /// Execute a request that is approved and has rested, to the end.
    Execute(AnswerArgs),
    /// Print the text that answers a request, to be signed elsewhere.
    Export(ExportArgs),
    /// Bring a text with a signature made elsewhere.
    Import(ImportArgs),
}

/// `stele approve request`.
#[derive(Debug, Args)]
pub struct BringArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The drafted text; its note is looked for beside it.
    pub file: PathBuf,
    /// The signature over it, where --key does not sign it now.
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
}

/// `stele approve show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The request, as `stele approve list` shows it.
    pub number: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `stele certificate`.
///
/// Names of destroyed objects are in no certificate: they were encrypted under the same keys, and went with them. Who
/// wants them on paper lists the versions over S3 before the request is executed, and keeps what is then a secret.
#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// What is shown.
    #[command(flatten)]
    pub show: ShowArgs,
    /// As a note that the log's key signs: `stele-inspect certificate` verifies it, and so do tools for C2SP signed
    /// notes with the key that `stele checkpoint --key` prints.
    #[arg(long)]
    pub sign: bool,
}

/// `stele approve sign`, `veto` and `execute`.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The request, as `stele approve list` shows it.
    pub number: u64,
    /// The signature over what `stele approve export` prints, where --key does not sign it now.
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
}

/// `stele approve export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The request, as `stele approve list` shows it.
    pub number: u64,
    /// What the text says: approve, veto or execute.
    #[arg(long, value_name = "WORD", default_value = "approve")]
    pub verb: String,
}

/// `stele approve import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The text; a note is looked for beside it.
    pub file: PathBuf,
    /// The signature over it.
    pub signature: PathBuf,
}
