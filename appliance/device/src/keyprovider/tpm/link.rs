//! The commands, for the time of one operation: a storage key and a session that are flushed at its end.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::message::{Auth, Command, Handle};
use super::note::PcrSet;
use super::session::{Hide, Kind, Session};
use super::template::{self, COUNTER_BYTES, PCR_BYTES, StorageKey};
use super::wire::{Malformed, Reader, Writer};
use super::{CommandCode, Connect, TpmError, TpmResult, Transact};
use crate::limits::{TPM_HANDLES_MAX, TPM_PRIVATE_BYTES_MAX};

const OWNER: u32 = 0x4000_0001;
/// The TPM was started already.
const STARTED: u32 = 0x100;
/// A place for a counter is taken.
const TAKEN: u32 = 0x14c;
/// A comparison of a policy does not hold.
const POLICY: u32 = 0x126;
const CAPABILITY_HANDLES: u32 = 1;
/// First handles of loaded sessions and of loaded objects.
const VOLATILE: [u32; 2] = [0x0200_0000, 0x8000_0000];

/// A code about a handle, session or parameter, without the number of it.
fn kind_of(code: u32) -> u32 {
    if code & 0x80 == 0 { code } else { code & 0xbf }
}

/// Whether a TPM says that the object it was given is not of its making.
pub(super) fn is_foreign_object(code: u32) -> bool {
    // Integrity, size, value, hash, type, attributes, key, scheme, insufficient, unknown point.
    let parameter = [
        0x9f, 0x95, 0x84, 0x83, 0x8a, 0x82, 0x9c, 0x92, 0x9a, 0xa7, 0x98,
    ];
    parameter.contains(&kind_of(code))
}

/// Whether it says that a handle or its secret is not what it was.
fn is_about_handle(code: u32) -> bool {
    // Handle, authorisation failed, bad authorisation; counter never written.
    [0x8b, 0x8e, 0xa2, 0x14a].contains(&kind_of(code))
}

/// What a TPM made of a secret that it is to keep shut.
pub(super) struct Sealed {
    pub(super) private: Vec<u8>,
    pub(super) unique: [u8; 32],
}

/// How unsealing ended, where the TPM worked as it should.
pub(super) enum Unsealed {
    Opened(Zeroizing<[u8; 32]>),
    /// The platform registers are not those it was sealed for.
    OtherPlatform,
    /// The counter is not where it was sealed for.
    OtherValue,
}

/// The policy of a sealed key, in the terms of its steps.
pub(super) struct Conditions<'a> {
    pub(super) index: u32,
    pub(super) value: u64,
    pub(super) pcrs: PcrSet,
    pub(super) pcr_digest: &'a [u8; 32],
}

impl Conditions<'_> {
    pub(super) fn policy(&self) -> [u8; 32] {
        template::policy(self.index, self.value, self.pcrs, self.pcr_digest)
    }
}

/// A TPM at work.
pub(super) struct Link<'a> {
    tpm: Box<dyn Transact + 'a>,
    parent: StorageKey,
    session: Session,
}

impl<'a> Link<'a> {
    /// Begins an operation. If a name is given, the storage key must have it.
    pub(super) fn open(connect: &'a dyn Connect, parent_name: Option<&[u8]>) -> TpmResult<Self> {
        let mut tpm = connect.connect()?;
        start_up(&mut *tpm)?;
        if !connect.clears_up() {
            flush_all(&mut *tpm)?;
        }
        let parent = create_primary(&mut *tpm)?;
        let known = parent_name.is_none_or(|name| name == parent.handle.name);
        let session = if known {
            Session::start(&mut *tpm, &parent, Kind::Hmac)
        } else {
            Err(TpmError::AnotherTpm)
        };
        match session {
            Ok(session) => Ok(Link {
                tpm,
                parent,
                session,
            }),
            Err(error) => {
                flush(&mut *tpm, parent.handle.value);
                Err(error)
            }
        }
    }

    pub(super) fn parent_name(&self) -> &[u8] {
        &self.parent.handle.name
    }

    /// Runs a command that our session authorises.
    fn run(&mut self, command: Command<'_>, secret: &[u8], hide: Hide) -> TpmResult<Vec<u8>> {
        let auth = Auth::Session {
            session: &mut self.session,
            secret,
            hide,
        };
        let answer = command.run(&mut *self.tpm, auth)?;
        Ok(answer.parameters.to_vec())
    }

    /// Makes a counter at this place; whether the place was free.
    pub(super) fn define_counter(&mut self, index: u32, secret: &[u8]) -> TpmResult<bool> {
        let public = template::counter_public(index, false);
        let parameters = Writer::new().sized(secret).sized(public.as_slice());
        let owner = Handle::itself(OWNER);
        let handles = [&owner];
        let command = Command::new(CommandCode::NvDefineSpace, &handles, parameters);
        match self.run(command, &[], Hide::Command) {
            Ok(_) => Ok(true),
            Err(TpmError::Refused { code: TAKEN, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes the counter; whether it was ever incremented must be known.
    pub(super) fn undefine_counter(&mut self, index: u32, written: bool) -> TpmResult<()> {
        let (owner, counter) = (Handle::itself(OWNER), template::counter(index, written));
        let handles = [&owner, &counter];
        let command = Command::new(CommandCode::NvUndefineSpace, &handles, Writer::new());
        let done = self.run(command, &[], Hide::Nothing);
        done.map(|_| ()).map_err(no_counter)
    }

    /// Moves the counter one on, durably. `first` is the first time of all.
    pub(super) fn increment(&mut self, index: u32, secret: &[u8], first: bool) -> TpmResult<()> {
        let counter = template::counter(index, !first);
        let handles = [&counter, &counter];
        let command = Command::new(CommandCode::NvIncrement, &handles, Writer::new());
        let done = self.run(command, secret, Hide::Nothing);
        done.map(|_| ()).map_err(no_counter)
    }

    /// Reads the counter.
    pub(super) fn read_counter(&mut self, index: u32, secret: &[u8]) -> TpmResult<u64> {
        let counter = template::counter(index, true);
        let handles = [&counter, &counter];
        let parameters = Writer::new().u16(COUNTER_BYTES).u16(0);
        let command = Command::new(CommandCode::NvRead, &handles, parameters);
        let answer = self.run(command, secret, Hide::Nothing);
        counter_value(&answer.map_err(no_counter)?).map_err(malformed(CommandCode::NvRead))
    }

    /// The digest of these registers, zeroes if there are none.
    pub(super) fn pcr_digest(&mut self, pcrs: PcrSet) -> TpmResult<[u8; 32]> {
        if pcrs.is_empty() {
            return Ok([0; 32]);
        }
        let code = CommandCode::PcrRead;
        let mut digest = Sha256::new();
        let mut left = pcrs;
        // A TPM gives up to eight registers at a time, the lowest ones first.
        while !left.is_empty() {
            let command = Command::new(code, &[], template::selection(left));
            let answer = command.run(&mut *self.tpm, Auth::None)?;
            let (given, values) = pcr_values(&answer.parameters, left).map_err(malformed(code))?;
            values.iter().for_each(|value| digest.update(value));
            left = given;
        }
        Ok(digest.finalize().into())
    }

    /// Lets the TPM keep `secret` shut until the policy is met.
    pub(super) fn seal(&mut self, secret: &[u8; 32], policy: &[u8; 32]) -> TpmResult<Sealed> {
        let code = CommandCode::Create;
        let sensitive = Writer::new().sized(&[]).sized(secret);
        let public = template::sealed_public(policy, &[]);
        let parameters = Writer::new()
            .sized(sensitive.as_slice())
            .sized(public.as_slice())
            .sized(&[])
            .u32(0);
        let parent = self.parent.handle.clone();
        let handles = [&parent];
        let answer = self.run(Command::new(code, &handles, parameters), &[], Hide::Command)?;
        created(&answer, policy).map_err(malformed(code))
    }

    /// Loads what `seal` gave; the TPM refuses what is not of its making.
    pub(super) fn load(&mut self, sealed: &Sealed, policy: &[u8; 32]) -> TpmResult<Handle> {
        let code = CommandCode::Load;
        let public = template::sealed_public(policy, &sealed.unique);
        let parameters = Writer::new()
            .sized(&sealed.private)
            .sized(public.as_slice());
        let parent = self.parent.handle.clone();
        let handles = [&parent];
        let command = Command::new(code, &handles, parameters).giving_handle();
        let auth = Auth::Session {
            session: &mut self.session,
            secret: &[],
            hide: Hide::Nothing,
        };
        let answer = command.run(&mut *self.tpm, auth)?;
        let name = template::name_of(public.as_slice());
        let mut reader = Reader::new(&answer.parameters);
        let same = reader.sized().map(|given| given == name);
        let object = Handle {
            value: answer.handle,
            name,
        };
        match (same, reader.finish()) {
            (Ok(true), Ok(())) => Ok(object),
            _ => {
                self.flush(&object);
                Err(TpmError::Malformed { command: code })
            }
        }
    }

    /// Opens a loaded object, if its policy is met.
    pub(super) fn unseal(
        &mut self,
        object: &Handle,
        conditions: &Conditions<'_>,
        secret: &[u8],
    ) -> TpmResult<Unsealed> {
        let mut policy = Session::start(&mut *self.tpm, &self.parent, Kind::Policy)?;
        let opened = self.unseal_in(&mut policy, object, conditions, secret);
        flush(&mut *self.tpm, policy.handle.value);
        opened
    }

    fn unseal_in(
        &mut self,
        policy: &mut Session,
        object: &Handle,
        conditions: &Conditions<'_>,
        secret: &[u8],
    ) -> TpmResult<Unsealed> {
        if !conditions.pcrs.is_empty() {
            let now = self.pcr_digest(conditions.pcrs)?;
            if now != *conditions.pcr_digest {
                return Ok(Unsealed::OtherPlatform);
            }
            let handles = [&policy.handle];
            let selection = template::selection(conditions.pcrs);
            let parameters = Writer::new().sized(&now).bytes(selection.as_slice());
            let command = Command::new(CommandCode::PolicyPcr, &handles, parameters);
            command.run(&mut *self.tpm, Auth::None)?;
        }
        let counter = template::counter(conditions.index, true);
        let handles = [&counter, &counter, &policy.handle];
        let parameters = template::counter_equals(conditions.value);
        let command = Command::new(CommandCode::PolicyNv, &handles, parameters);
        match self.run(command, secret, Hide::Nothing) {
            Err(TpmError::Refused { code: POLICY, .. }) => return Ok(Unsealed::OtherValue),
            outcome => outcome.map_err(no_counter)?,
        };
        let handles = [object];
        let command = Command::new(CommandCode::Unseal, &handles, Writer::new());
        let auth = Auth::Session {
            session: policy,
            secret: &[],
            hide: Hide::Answer,
        };
        let answer = command.run(&mut *self.tpm, auth)?;
        let key = unsealed(&answer.parameters).map_err(malformed(CommandCode::Unseal))?;
        Ok(Unsealed::Opened(key))
    }

    pub(super) fn flush(&mut self, object: &Handle) {
        flush(&mut *self.tpm, object.value);
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        flush(&mut *self.tpm, self.session.handle.value);
        flush(&mut *self.tpm, self.parent.handle.value);
    }
}

fn malformed(command: CommandCode) -> impl Fn(Malformed) -> TpmError {
    move |_| TpmError::Malformed { command }
}

fn no_counter(error: TpmError) -> TpmError {
    match error {
        TpmError::Refused { code, .. } if is_about_handle(code) => TpmError::NoCounter,
        other => other,
    }
}

fn start_up(tpm: &mut dyn Transact) -> TpmResult<()> {
    let clear = Writer::new().u16(0);
    match Command::new(CommandCode::Startup, &[], clear).run(tpm, Auth::None) {
        Ok(_) | Err(TpmError::Refused { code: STARTED, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What cannot be flushed is gone already, or the TPM is.
fn flush(tpm: &mut dyn Transact, handle: u32) {
    let parameters = Writer::new().u32(handle);
    let command = Command::new(CommandCode::FlushContext, &[], parameters);
    drop(command.run(tpm, Auth::None));
}

/// Clears up after a crash, where nobody else uses the TPM.
fn flush_all(tpm: &mut dyn Transact) -> TpmResult<()> {
    let code = CommandCode::GetCapability;
    for first in VOLATILE {
        let parameters = Writer::new()
            .u32(CAPABILITY_HANDLES)
            .u32(first)
            .u32(TPM_HANDLES_MAX);
        let answer = Command::new(code, &[], parameters).run(tpm, Auth::None)?;
        for handle in handles_of(&answer.parameters).map_err(malformed(code))? {
            flush(tpm, handle);
        }
    }
    Ok(())
}

fn create_primary(tpm: &mut dyn Transact) -> TpmResult<StorageKey> {
    let code = CommandCode::CreatePrimary;
    let sensitive = Writer::new().sized(&[]).sized(&[]);
    let parameters = Writer::new()
        .sized(sensitive.as_slice())
        .sized(StorageKey::template().as_slice())
        .sized(&[])
        .u32(0);
    let owner = Handle::itself(OWNER);
    let handles = [&owner];
    let command = Command::new(code, &handles, parameters).giving_handle();
    let answer = command.run(tpm, Auth::Empty).map_err(|error| match error {
        TpmError::Refused { code, .. } if is_about_handle(code) => TpmError::OwnerPassword,
        other => other,
    })?;
    let public = Reader::new(&answer.parameters).sized();
    let key = public.and_then(|public| StorageKey::read(answer.handle, public));
    key.map_err(|error| {
        flush(tpm, answer.handle);
        malformed(code)(error)
    })
}

fn handles_of(parameters: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut reader = Reader::new(parameters);
    let _more = reader.u8()?;
    if reader.u32()? != CAPABILITY_HANDLES {
        return Err(Malformed);
    }
    let count = reader.u32()?;
    if count > TPM_HANDLES_MAX {
        return Err(Malformed);
    }
    let handles = (0..count).map(|_| reader.u32()).collect();
    reader.finish()?;
    handles
}

fn counter_value(parameters: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(parameters);
    let mut value = Reader::new(reader.sized()?);
    reader.finish()?;
    let number = value.u64()?;
    value.finish()?;
    Ok(number)
}

/// Values of the first of these registers, and the registers that are left.
fn pcr_values(parameters: &[u8], wanted: PcrSet) -> Result<(PcrSet, Vec<&[u8]>), Malformed> {
    let mut reader = Reader::new(parameters);
    let _update = reader.u32()?;
    let given = selected(&mut reader)?;
    let count = reader.u32()?;
    // The lowest of those asked for, at least one of them.
    let left = wanted.bits() & !given;
    let lowest_first =
        given & !wanted.bits() == 0 && (left == 0 || given < left & left.wrapping_neg());
    if given == 0 || count != given.count_ones() || !lowest_first {
        return Err(Malformed);
    }
    let mut values = Vec::new();
    for _ in 0..count {
        let value = reader.sized()?;
        if value.len() != PCR_BYTES {
            return Err(Malformed);
        }
        values.push(value);
    }
    reader.finish()?;
    let left = PcrSet::from_bits(left).ok_or(Malformed)?;
    Ok((left, values))
}

fn selected(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    if (reader.u32()?, reader.u16()?, reader.u8()?) != (1, template::SHA256, 3) {
        return Err(Malformed);
    }
    let bits = reader.take(3)?;
    Ok(u32::from_le_bytes([bits[0], bits[1], bits[2], 0]))
}

fn created(parameters: &[u8], policy: &[u8; 32]) -> Result<Sealed, Malformed> {
    let mut reader = Reader::new(parameters);
    let private = reader.sized()?.to_vec();
    let public = reader.sized()?;
    // Creation data, its digest and ticket: tag, hierarchy, digest. Nothing of it is used.
    reader.sized()?;
    reader.sized()?;
    reader.take(6)?;
    reader.sized()?;
    reader.finish()?;
    let unique = public.last_chunk().ok_or(Malformed)?;
    if template::sealed_public(policy, unique).as_slice() != public {
        return Err(Malformed);
    }
    if private.is_empty() || private.len() > TPM_PRIVATE_BYTES_MAX {
        return Err(Malformed);
    }
    Ok(Sealed {
        private,
        unique: *unique,
    })
}

fn unsealed(parameters: &[u8]) -> Result<Zeroizing<[u8; 32]>, Malformed> {
    let mut reader = Reader::new(parameters);
    let key = reader.sized()?;
    reader.finish()?;
    let mut copy = Zeroizing::new([0; 32]);
    if key.len() != copy.len() {
        return Err(Malformed);
    }
    copy.copy_from_slice(key);
    Ok(copy)
}

#[cfg(test)]
mod tests;
