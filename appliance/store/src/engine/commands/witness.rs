//! What witnesses say: judged and recorded, and the time by which destruction is judged.

use stele_format::checkpoint::UnverifiedCheckpoint;
use stele_format::record::{Body, RecordType};

use super::{After, Facts, Outcome};
use crate::draft::{Draft, Origin};
use crate::engine::view::Stop;
use crate::policy::EffectiveTime;
use crate::policy::witness::WitnessRefusal;
use crate::receipts::{Receipts, Told};
use crate::request::Refusal;

/// Records a checkpoint of this log that a witness has cosigned since it was heard last.
pub(crate) fn cosign(facts: &Facts<'_>, receipts: &Receipts, text: &str) -> Result<Outcome, Stop> {
    let note = check(facts, receipts, text).map_err(Refusal::from)?;
    let body = Body::Cosigned(note.text().to_owned());
    let mut draft = Draft::of_engine(RecordType::Cosigned, body);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    Ok(Outcome::Write(vec![draft], After::Recorded))
}

fn check(
    facts: &Facts<'_>,
    receipts: &Receipts,
    text: &str,
) -> Result<UnverifiedCheckpoint, WitnessRefusal> {
    let note = UnverifiedCheckpoint::parse(text)?;
    let signer = receipts.signer().ok_or(WitnessRefusal::NoKey)?;
    // The key signs what is durable alone and never two roots of one size, so that its signature says that this
    // log had this root; what is remembered is compared all the same.
    let checkpoint = note.verify(signer.key())?;
    let (size, records) = (checkpoint.size, facts.next.get());
    if size > records {
        return Err(WitnessRefusal::Longer { size, records });
    }
    if receipts.told(&checkpoint) == Told::Other {
        return Err(WitnessRefusal::Forked { size });
    }
    let witnesses = facts.approvals.people().witnesses();
    witnesses.after(&note, facts.compliance, facts.wall)?;
    Ok(note)
}

/// The times by which destruction is judged: retention and holds know nothing of witnesses.
pub(crate) fn destruction_time(facts: &Facts<'_>) -> Result<EffectiveTime, Refusal> {
    if facts.time.wall_alarm {
        return Err(Refusal::ClockSuspends);
    }
    let witnesses = facts.approvals.people().witnesses();
    let newest = witnesses
        .time(facts.compliance, facts.simulated)
        .map_err(Refusal::WitnessSilent)?;
    let mut time = facts.time;
    time.release = newest.map_or(time.release, |newest| time.release.min(newest));
    Ok(time)
}
