//! Why nothing is drafted or brought to the engine.

use stele_format::sshsig::SignatureError;
use stele_format::statement::StatementError;

/// What is wrong, for the person at the console.
#[derive(Debug, thiserror::Error)]
pub enum NotStated {
    /// The text is none.
    #[error("the text is no statement: {0}")]
    Text(StatementError),
    /// A signature is none.
    #[error(
        "a signature cannot be read: {0}; sign the file with `ssh-keygen -Y sign -n stele-statement-v1`"
    )]
    Signature(SignatureError),
    /// A signature of another text, or by another key.
    #[error("a signature does not count: {0}")]
    Mismatch(SignatureError),
    /// No statement can be made of this.
    #[error("this makes no statement: {0}")]
    Draft(StatementError),
    /// The kernel gave no random bytes.
    #[error("the kernel gives no random bytes")]
    Entropy,
    /// No such answer.
    #[error("a request is answered by approve, veto or execute")]
    Verb,
    /// No such request.
    #[error("there is no request {0}; `stele approve list` shows all")]
    NoRequest(u64),
    /// A request waits for its execution.
    #[error("request {request} is {state}: nothing is carried out before it is executed")]
    NotExecuted {
        /// Which.
        request: u64,
        /// What it is.
        state: &'static str,
    },
    /// No hold of this name.
    #[error("no hold is in force for this case; `stele hold list` shows all")]
    NoCase,
    /// Nothing to put on a list.
    #[error("nothing can go on the list: {0}")]
    Nothing(String),
    /// More than a list may have.
    #[error(
        "a list has {max} versions at most, and these are {count}: say fewer, by prefix or version, and make several \
         lists"
    )]
    TooMany {
        /// How many.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// A version that is not there.
    #[error("version {0} is not in the bucket")]
    NoVersion(String),
    /// Every version of a bucket would be brought back.
    #[error("say which releases are to be undone: of a key, of a prefix, or since when")]
    EveryRelease,
    /// No such released version.
    #[error("version {0} is not among the released ones; `stele release list` shows them")]
    NotReleased(String),
    /// They were looked for as long as one question may take.
    #[error(
        "the bucket holds too many versions to look for these in one go: say the key with --object"
    )]
    ManyReleased,
    /// A version that is not to be destroyed.
    #[error("version {version} cannot be destroyed: {why}")]
    Kept {
        /// Which.
        version: String,
        /// Why.
        why: stele_store::policy::Kept,
    },
    /// Not a tier.
    #[error("not a tier: operational[=30d to 90d], dea, hipaa or compliance[=1y to 7y]")]
    Tier,
    /// Not a name that S3 knows.
    #[error(
        "not a name of a bucket: 3 to 63 of a-z, 0-9, dot and hyphen, a letter or digit at both ends"
    )]
    BucketName,
    /// A law asks for all keys.
    #[error(
        "a rule of the bucket keeps less than the tier {0}, which is then not what it says; such rules are for \
         buckets of the tier operational"
    )]
    RuleBelowTier(&'static str),
    /// The bucket has more than that.
    #[error(
        "the bucket's default is more than that, or none of a tier's mode; two people lower it: \
         stele bucket lower-default --vault DIR BUCKET {0}"
    )]
    LowerTier(String),
    /// Not a month.
    #[error("not a month: YYYY-MM")]
    Month,
    /// The note is not the one of the request.
    #[error("the note beside the text is not the one it was drafted with; draft the request again")]
    Note,
    /// The log's key signs nothing.
    #[error("the certificate cannot be signed: the log's key cannot be used")]
    Unsigned,
    /// Not a destruction.
    #[error("request {0} destroys nothing; there is no certificate of it")]
    NoCertificate(u64),
    /// It is not complete.
    #[error("request {request} is {state}: a certificate is given when its keys are cut")]
    NotDestroyed {
        /// Which.
        request: u64,
        /// What it is.
        state: &'static str,
    },
    /// The clocks agree already.
    #[error("the wall clock is not ahead of compliance time; nothing is to be corrected")]
    ClockAgrees,
}
