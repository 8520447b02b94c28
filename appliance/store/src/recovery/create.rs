//! A new vault on blank disks.
//!
//! The static labels are written last: until then no disk of it counts as part of a vault, so an
//! interrupted creation is recognised as such.

use stele_device::buffer::BufferMut;
use stele_device::disk::{BlockingDisk, Disk, DiskError};
use stele_format::digest::Digest;
use stele_format::geometry::{DiskGeometry, GeometryError};
use stele_format::label::{Features, LabelCopy, StaticLabel, VaultFlags};
use stele_format::units::{
    ByteCount, DiskId, Epoch, Generation, Opening, PoolId, SegmentId, Sequence, UnitCount,
};

use super::begin::{self, Beginning, Leading};
use super::{Disks, StartContext};
use crate::engine::{DiskSlot, Now, World};
use crate::fact::genesis_body;
use crate::keys::copies::{KeyDisk, SaveError};
use crate::keys::state::KeyState;
use crate::pool::space::Freed;
use crate::pool::{Member, MemberState, Pool};
use crate::sequence::LogHead;

/// What a vault is made of. Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct CreateParams {
    /// Bytes of an allocation unit; 4 MiB but in simulations.
    pub unit_bytes: u32,
    /// Units of a full segment.
    pub segment_units: u32,
    /// Bytes of one key-state copy.
    pub keystate_bytes: u32,
    /// Bytes of the index area on the first two disks.
    pub index_bytes: u64,
    /// The clock can be set by command; said in the genesis record.
    pub simulated_clock: bool,
}

/// Why no vault was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// None, or more than a pool takes.
    #[error("a vault takes 1 to {disks_max} disks")]
    DiskCount {
        /// The limit.
        disks_max: usize,
    },
    /// A disk cannot hold a vault.
    #[error("disk {disk} cannot hold a vault: {fault}")]
    Geometry {
        /// Its name.
        disk: String,
        /// Why.
        fault: GeometryError,
    },
    /// A disk carries a label already.
    #[error("disk {disk} carries a vault's label already; it was left as it is")]
    InUse {
        /// Its name.
        disk: String,
    },
    /// A disk failed.
    #[error("disk {disk} failed: {error}")]
    Disk {
        /// Its name.
        disk: String,
        /// How.
        error: DiskError,
    },
    /// The key state could not be saved.
    #[error("the key state could not be saved: {0}")]
    KeyState(#[from] SaveError),
    /// The key provider failed.
    #[error("the key state could not be sealed: {0}")]
    Keys(#[from] stele_device::keyprovider::KeyError),
    /// Fewer disks took the first frame than the quorum needs.
    #[error("too few disks took the first record")]
    NoQuorum,
}

/// Makes a vault. Disks must be blank; what they hold is lost.
///
/// # Errors
/// [`CreateError`]; the disks are then not part of any vault.
pub fn create(
    disks: Vec<Box<dyn Disk>>,
    params: &CreateParams,
    world: &mut World,
    now: Now,
) -> Result<PoolId, CreateError> {
    let now = now.told();
    let disks_max = stele_format::limits::MEMBERS_MAX;
    if disks.is_empty() || disks.len() > disks_max {
        return Err(CreateError::DiskCount { disks_max });
    }
    let mut pool_id = [0; 16];
    world.entropy.fill(&mut pool_id);
    let mut disks = Disks(disks.into_iter().map(Some).collect());
    let mut pool = plan(&mut disks, params, PoolId::new(pool_id), world)?;
    pool.created = now.wall;
    let keys = KeyState::fresh(&mut *world.entropy);
    save_keys(&pool, &mut disks, &keys, world)?;
    let genesis = genesis_body(
        pool.members.iter().map(|member| member.disk).collect(),
        params.unit_bytes,
        params.segment_units,
        flags(params, pool.members.len()),
        now.wall,
    );
    let mut opening = StartContext {
        pool: &mut pool,
        disks: &mut disks,
        keys: &keys,
        world,
        compliance: now.wall,
        wall: now.wall,
    };
    let beginning = Beginning {
        previous_epoch: Epoch::ZERO,
        epoch: Epoch::new(1),
        last_sequence: Sequence::NONE,
        next_sequence: Sequence::FIRST,
        previous_segment: SegmentId::NONE,
        previous_chain: Digest::ZERO,
        abandoned: Vec::new(),
        named: None,
        passed: Vec::new(),
        counts: Generation::ZERO,
        leading: vec![Leading {
            body: genesis,
            note: None,
        }],
        exactly: None,
    };
    begin::begin(&mut opening, &beginning, &LogHead::default(), &[])
        .ok_or(CreateError::NoQuorum)?;
    if pool.active().count() != pool.members.len() {
        return Err(CreateError::NoQuorum);
    }
    write_static(&pool, &mut disks, params, now)?;
    Ok(pool.id)
}

fn flags(params: &CreateParams, disks: usize) -> VaultFlags {
    let mut flags = VaultFlags::EVALUATION;
    if params.simulated_clock {
        flags = flags.with(VaultFlags::SIMULATED_CLOCK);
    }
    if disks == 1 {
        flags = flags.with(VaultFlags::SINGLE_DISK);
    }
    flags
}

fn plan(
    disks: &mut Disks,
    params: &CreateParams,
    id: PoolId,
    world: &mut World,
) -> Result<Pool, CreateError> {
    let mut members = Vec::new();
    let count = disks.0.len();
    for (number, disk) in disks.0.iter_mut().enumerate() {
        let Some(disk) = disk else { continue };
        let name = disk.identity().name.clone();
        if super::labels::read_label(&mut **disk).is_some() {
            return Err(CreateError::InUse { disk: name });
        }
        let geometry = DiskGeometry {
            disk_bytes: ByteCount::new(disk.identity().bytes),
            index_bytes: ByteCount::new(if number < 2 { params.index_bytes } else { 0 }),
            keystate_bytes: params.keystate_bytes,
            unit_bytes: params.unit_bytes,
            segment_units: UnitCount::new(params.segment_units),
        };
        geometry.check().map_err(|fault| CreateError::Geometry {
            disk: name.clone(),
            fault,
        })?;
        let mut disk_id = [0; 16];
        world.entropy.fill(&mut disk_id);
        let ordinal = u16::try_from(number).unwrap_or(u16::MAX);
        let mut member = Member::new(DiskId::new(disk_id), ordinal, Some(geometry));
        member.slot = Some(DiskSlot(ordinal));
        member.name = name;
        member.state = MemberState::Active;
        member.voter = true;
        members.push(member);
    }
    Ok(Pool {
        id,
        members,
        generation: Generation::ZERO,
        in_force: Generation::ZERO,
        opening: Opening::ZERO,
        unit_bytes: params.unit_bytes,
        segment_units: params.segment_units,
        flags: flags(params, count).get(),
        created: stele_format::units::UnixMillis::ZERO,
        segments: crate::pool::Segments::default(),
        freed: Freed::default(),
        doubted: None,
        unread: crate::pool::unread::Unread::default(),
        next_segment: SegmentId::new(1),
        now_ms: 0,
    })
}

fn save_keys(
    pool: &Pool,
    disks: &mut Disks,
    keys: &KeyState,
    world: &World,
) -> Result<(), CreateError> {
    let mut given = Vec::new();
    for (disk, member) in disks.0.iter_mut().zip(&pool.members) {
        if let (Some(disk), Some(geometry)) = (disk, &member.geometry) {
            given.push(KeyDisk::new(&mut **disk, member.disk, geometry));
        }
    }
    for saved in keys.save(&*world.keys, pool.id, given)? {
        saved.result?;
    }
    Ok(())
}

/// Static labels, in two halves like all labels, with a flush between.
fn write_static(
    pool: &Pool,
    disks: &mut Disks,
    params: &CreateParams,
    now: Now,
) -> Result<(), CreateError> {
    let count = u16::try_from(pool.members.len()).unwrap_or(u16::MAX);
    for member in &pool.members {
        let (Some(slot), Some(geometry)) = (member.slot, member.geometry) else {
            continue;
        };
        let label = StaticLabel {
            pool: pool.id,
            disk: member.disk,
            disk_ordinal: member.ordinal,
            disk_count: count,
            geometry,
            features: Features::default(),
            created_ms: now.wall,
            flags: flags(params, pool.members.len()),
        };
        let Some(disk) = disks.get(slot) else {
            continue;
        };
        write_static_label(disk, &label).map_err(|error| CreateError::Disk {
            disk: member.name.clone(),
            error,
        })?;
    }
    Ok(())
}

/// Writes the static label of one disk, in two halves like all labels, with a flush between.
///
/// # Errors
/// The first failed write or flush.
pub fn write_static_label(disk: &mut dyn Disk, label: &StaticLabel) -> Result<(), DiskError> {
    for half in [[LabelCopy::A, LabelCopy::C], [LabelCopy::B, LabelCopy::D]] {
        for copy in half {
            for block in 0..2 {
                let offset = label.geometry.label_block_offset(copy, block).get();
                let bytes = label.encode(copy, block);
                disk.write_at(offset, BufferMut::padded(&bytes).freeze())?;
            }
        }
        disk.flush()?;
    }
    Ok(())
}
