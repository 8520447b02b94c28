//! A key provider whose keys only one TPM 2.0 opens, and only while a counter inside it stands where they
//! were made for.
//!
//! Each sealed form has a random key of its own. That key lies in a TPM object whose policy asks for the
//! values of chosen platform registers (PCRs; none by default) and then for `counter == v`. The counter is
//! an NV index of the owner hierarchy with a secret of its own; incrementing it shuts every older object
//! for ever, wherever copies of it are. Deleting the index does not help: a TPM starts a new counter above
//! every one it ever had. The object's parent is the storage key that every TPM derives from its owner
//! seed, so a form is worthless to any other TPM and after the TPM was cleared.
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 4 | `SKA1` |
//! | 4 | 8 | v, the value of the counter it is for, little-endian |
//! | 12 | 4 | bit n: register n of the SHA-256 bank, 0 to 23, little-endian |
//! | 16 | 32 | SHA-256 over the values of these registers; zeroes if there are none |
//! | 48 | 32 | `unique` of the TPM object's public area, which is otherwise known |
//! | 80 | 2 | p, the length of the TPM object's private area, little-endian |
//! | 82 | p | the private area, as the TPM gave it |
//! | 82+p | | the form without an anchor under the object's key; its context begins with all before it |
//!
//! Secrets cross the bus encrypted, and answers that matter are authenticated: all sessions are salted
//! with ECDH to the storage key, whose name was noted when the vault was created. Nothing is kept in the
//! TPM between two operations but the counter.
//!
//! * `wire`: bytes. `message`: commands and answers. `session`: salted sessions. `template`: what objects
//!   look like, their names and policies. `link`: the commands. `form`: the table above.
//! * `note`: what a vault has to keep beside its disks to find its counter again. `provider`: the rest.

mod form;
mod link;
mod message;
mod note;
mod provider;
mod session;
mod template;
#[cfg(test)]
mod tests;
mod wire;

pub use note::{Note, PcrSet};
pub use provider::TpmKeys;

/// Moves whole commands to a TPM and whole answers back.
pub trait Transact {
    /// Sends one command and waits for its answer.
    ///
    /// # Errors
    /// What the way to the TPM reports; then nobody knows whether the command was carried out.
    fn transact(&mut self, command: &[u8]) -> std::io::Result<Vec<u8>>;
}

/// A way to a TPM that can be taken again and again.
pub trait Connect: Send {
    /// Opens it. Commands of one opening are not mixed with those of others.
    ///
    /// # Errors
    /// When the TPM cannot be reached.
    fn connect(&self) -> std::io::Result<Box<dyn Transact + '_>>;

    /// Whether somebody else clears up what a broken connection left in the TPM, as the kernel does.
    fn clears_up(&self) -> bool;
}

/// Why the TPM did not do what was asked. Says nothing of keys.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// The TPM cannot be reached.
    #[error("the TPM cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    /// The answer is not one to this command.
    #[error("the answer to {command} is malformed")]
    Malformed {
        /// The command.
        command: CommandCode,
    },
    /// The answer was not made by the TPM we talk to, or changed on its way.
    #[error("the answer to {command} is not authentic")]
    Forged {
        /// The command.
        command: CommandCode,
    },
    /// The TPM refused.
    #[error("the TPM refused {command} with code {code:#05x}")]
    Refused {
        /// The command.
        command: CommandCode,
        /// Its response code.
        code: u32,
    },
    /// The owner of the TPM has set a password.
    #[error("the owner hierarchy of the TPM has a password, which cannot be given")]
    OwnerPassword,
    /// Another TPM, or one that was cleared since.
    #[error("not the TPM that the vault was created with, or it was cleared since")]
    AnotherTpm,
    /// The counter of the vault is gone or is another.
    #[error("the vault's counter is not in the TPM: it was deleted, or this is another TPM")]
    NoCounter,
    /// Every place tried for a counter is taken.
    #[error("no free place for a counter in the TPM")]
    NoPlace,
    /// The kernel gave no random bytes.
    #[error("no random bytes")]
    Entropy,
}

/// The commands that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CommandCode {
    /// `TPM2_NV_UndefineSpace`.
    NvUndefineSpace = 0x122,
    /// `TPM2_NV_DefineSpace`.
    NvDefineSpace = 0x12a,
    /// `TPM2_CreatePrimary`.
    CreatePrimary = 0x131,
    /// `TPM2_NV_Increment`.
    NvIncrement = 0x134,
    /// `TPM2_Startup`.
    Startup = 0x144,
    /// `TPM2_PolicyNV`.
    PolicyNv = 0x149,
    /// `TPM2_NV_Read`.
    NvRead = 0x14e,
    /// `TPM2_Create`.
    Create = 0x153,
    /// `TPM2_Load`.
    Load = 0x157,
    /// `TPM2_Unseal`.
    Unseal = 0x15e,
    /// `TPM2_FlushContext`.
    FlushContext = 0x165,
    /// `TPM2_StartAuthSession`.
    StartAuthSession = 0x176,
    /// `TPM2_GetCapability`.
    GetCapability = 0x17a,
    /// `TPM2_PCR_Read`.
    PcrRead = 0x17e,
    /// `TPM2_PolicyPCR`.
    PolicyPcr = 0x17f,
}

impl CommandCode {
    pub(crate) fn value(self) -> u32 {
        self as u32
    }
}

impl std::fmt::Display for CommandCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

pub(crate) type TpmResult<T> = Result<T, TpmError>;
