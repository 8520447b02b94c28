//! What can be said of a destruction, as a text that names no object.

use stele_format::checkpoint::{Certificate, Origin};
use stele_format::label::VaultFlags;
use stele_format::statement::{Act, Cut, Erase};
use stele_format::units::{DiskId, LogIndex};
use stele_store::policy::approval::{RequestState, RequestView};
use stele_store::policy::words::utc;
use stele_store::request::{Effect, PeopleView};
use stele_store::status::Status;

use super::draft::hex;
use super::{Desk, NotStated};
use crate::client::shown;
use crate::error::Outcome;

impl Desk {
    pub(super) fn certificate(&self, number: u64, sign: bool) -> Outcome<String> {
        let index = LogIndex::new(number);
        let view = self.people()?;
        let found = view.requests.iter().find(|one| one.request == index);
        let request = found.ok_or(NotStated::NoRequest(number))?;
        let Act::Erase(erase) = &request.act else {
            return Err(NotStated::NoCertificate(number).into());
        };
        let effect = self.effect(index)?;
        if request.state != RequestState::Executed || effect.keys_cut.is_none() {
            return Err(NotStated::NotDestroyed {
                request: number,
                state: request.state.name(),
            }
            .into());
        }
        let status = self.link.status_now()?;
        if sign {
            let body = body(&view, request, erase, &effect, &status);
            return self.signed(&body, view.origin);
        }
        let body = body(&view, request, erase, &effect, &status);
        Ok(format!(
            "Certificate of destruction\n\n{body}signature     none: this text is a report, see --sign; the log is \
             the proof\n\nEvery line above can be checked against the log up to that record, on disks of the vault.\n"
        ))
    }

    /// The same as a note that the log's key signs.
    fn signed(&self, body: &str, origin: Origin) -> Outcome<String> {
        let mut lines = vec!["Certificate of destruction".to_owned()];
        lines.extend(body.lines().map(str::to_owned));
        lines.push(
            "Every line above can be checked against the log, on disks of the vault.".to_owned(),
        );
        let certificate = Certificate::new(origin, &lines);
        let certificate = certificate.ok_or(NotStated::Unsigned)?;
        let note = crate::logkey::certify(&self.link, origin.pool(), &certificate)?;
        Ok(note.ok_or(NotStated::Unsigned)?)
    }
}

/// What is certified, in lines.
fn body(
    view: &PeopleView,
    request: &RequestView,
    erase: &Erase,
    effect: &Effect,
    status: &Status,
) -> String {
    let mut text = format!(
        "vault         {}\nissued        {} by the vault's compliance clock, at log size {}, root {}\nrequest       \
         record {}, digest {}\n",
        view.origin,
        utc(view.now),
        view.log_records,
        hex(&view.log_root.0),
        request.request,
        request.digest
    );
    text.push_str(&what(erase, effect));
    text.push_str(&who(request));
    text.push_str(&how(erase, effect, status));
    text.push_str(&limits(view, effect, status));
    text
}

fn what(erase: &Erase, effect: &Effect) -> String {
    let mut text = format!(
        "asked for     {} versions with {} bytes, stored from {} to {}\ndestroyed     {} versions\n",
        erase.count, erase.bytes, erase.oldest, erase.newest, effect.destroyed
    );
    let kept = erase.count.saturating_sub(effect.destroyed);
    if kept > 0 {
        text.push_str(&format!(
            "kept          {kept} versions of the list: held, locked again or gone before it was carried out\n"
        ));
    }
    match erase.latest_retention {
        Some(latest) => text.push_str(&format!(
            "retention     the latest of the list ended at {latest}"
        )),
        None => text.push_str("retention     none of the list ever had one"),
    }
    if erase.governance {
        text.push_str("; GOVERNANCE retention was ended early by this request");
    }
    text.push('\n');
    text
}

fn who(request: &RequestView) -> String {
    let (name, role) = &request.requested_by;
    let mut text = format!(
        "asked by      {role} {name} at {}\n",
        utc(request.requested_at)
    );
    for ((name, role), at) in request.approved_by.iter().zip(&request.approved_when) {
        text.push_str(&format!("approved by   {role} {name} at {}\n", utc(*at)));
    }
    if let Some((name, at)) = &request.executed_by {
        text.push_str(&format!("executed by   {name} at {}\n", utc(*at)));
    }
    text
}

fn how(erase: &Erase, effect: &Effect, status: &Status) -> String {
    let cut = match erase.cut {
        Cut::Month(month) => format!("the whole of month {month} was cut from the key tree"),
        Cut::Leaves => "the leaf of each version was cut from the key tree".to_owned(),
    };
    let mut text = format!(
        "method        cryptographic erase (CE, NIST SP 800-88r2): AES-256-GCM under keys that only the vault's\n              \
         key tree gave; {cut},\n              so that no key of what was destroyed can be made again\n"
    );
    if let Some((record, at)) = effect.keys_cut {
        let generation = effect.generation.map_or(0, |generation| generation.get());
        text.push_str(&format!(
            "keys cut      at {} (record {record}), key state of generation {generation}\n",
            utc(at)
        ));
    }
    let by = match effect.keys_cut {
        Some((_, at)) => format!("the vault at {}", utc(at)),
        None => "the vault".to_owned(),
    };
    text.push_str(&format!(
        "verified by   {by}: it read both copies of that key state back from each medium named next\n"
    ));
    for disk in &effect.disks {
        text.push_str(&format!("medium        {}\n", disk_words(*disk, status)));
    }
    for disk in &effect.absent {
        text.push_str(&format!(
            "copy remains  {}: it was away; an older key state may be on it until it is filled again\n",
            disk_words(*disk, status)
        ));
    }
    text
}

/// A disk by number, id, and where it is now: its file, or the serial of a device.
fn disk_words(disk: DiskId, status: &Status) -> String {
    let known = status.disks.iter().find(|one| one.disk == disk);
    match known {
        Some(known) if known.name.is_empty() => format!("disk {}, id {disk}", known.number),
        Some(known) => {
            let name = shown(&known.name);
            format!("disk {}, id {disk}, now {name}", known.number)
        }
        None => format!("id {disk}, no disk of the vault now"),
    }
}

fn limits(view: &PeopleView, effect: &Effect, status: &Status) -> String {
    let flags = VaultFlags::new(status.flags).unwrap_or_default();
    let mut text = match effect.anchor {
        Some(anchor) => format!("anchor        {anchor}: older key states are refused\n"),
        None => "copy remains  wherever somebody kept one: the vault's key lies in a key file without an anchor;\n              \
                 old copies of it, together with an old copy of a disk, can undo this\n"
            .to_owned(),
    };
    text.push_str("tapes         none: this version writes no tapes, so there is no copy on any\n");
    if flags.contains(VaultFlags::EVALUATION) {
        text.push_str("vault is      for evaluation: its keys lie beside the data\n");
    }
    if flags.contains(VaultFlags::SIMULATED_CLOCK) {
        text.push_str("clock         simulated: a vault for tests, its dates prove nothing\n");
    }
    if view.policies.plain_keys {
        text.push_str(
            "people's keys plain files: whoever copied one could sign in that person's name\n",
        );
    }
    text.push_str(
        "names         of what was destroyed went with its keys; nothing can print them any more\n",
    );
    text
}
