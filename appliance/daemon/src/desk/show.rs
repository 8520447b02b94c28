//! People, requests, holds and grants in the words of the control socket.

use stele_format::statement::{Act, Cut, Role};
use stele_store::policy::approval::{PersonView, RequestState, RequestView};
use stele_store::policy::people::{Policies, Standing};
use stele_store::policy::witness::Witness;
use stele_store::policy::words::utc;
use stele_store::request::{OpeningView, PeopleView};

use super::draft::hex;
use super::{Desk, NotStated};
use crate::control::desk::{
    DeskReply, GrantStatus, HoldStatus, KeyStatus, PeopleStatus, PersonStatus, RequestShown,
    RequestStatus, WitnessStatus,
};
use crate::control::protocol::{OpeningStatus, PeopleSummary};
use crate::error::Outcome;
use crate::status::size;

impl Desk {
    pub(super) fn show_people(&self) -> Outcome<DeskReply> {
        Ok(DeskReply::People(Box::new(self.people_status()?)))
    }

    pub(super) fn show_request(&self, number: u64) -> Outcome<DeskReply> {
        let view = self.people()?;
        let mut requests = view.requests.iter();
        let found = requests.find(|one| one.request.get() == number);
        let found = found.ok_or(NotStated::NoRequest(number))?;
        Ok(DeskReply::Request(Box::new(RequestShown {
            request: request_status(self, found)?,
            reason: self.reason(found)?,
        })))
    }

    /// People, requests, holds and grants.
    ///
    /// # Errors
    /// The engine gives none.
    pub fn people_status(&self) -> Outcome<PeopleStatus> {
        let view = self.people()?;
        let mut holds = Vec::new();
        for case in &view.cases {
            holds.push(HoldStatus {
                record: case.statement.get(),
                case: self.case_name(case.case)?,
                digest: case.case.to_string(),
                count: case.count,
                by: case.by.to_string(),
                at: utc(case.at),
                released: case.released.is_some(),
            });
        }
        let mut requests = Vec::new();
        for request in &view.requests {
            requests.push(request_status(self, request)?);
        }
        Ok(PeopleStatus {
            founded: !view.persons.is_empty(),
            plain_keys: view.policies.plain_keys,
            log: view.origin.to_string(),
            log_records: view.log_records,
            log_root: hex(&view.log_root.0),
            now: utc(view.now),
            release_time: utc(view.time.release),
            erasure_suspended: view.time.wall_alarm,
            witness_silent: view.witness_time.is_err(),
            witnesses: view.witnesses.iter().map(witness).collect(),
            people: view.persons.iter().map(person).collect(),
            policies: policies(&view.policies),
            requests,
            holds,
            grants: grants(&view),
        })
    }
}

impl Desk {
    /// The people and what they must do next, in short.
    ///
    /// # Errors
    /// The engine gives none.
    pub fn summary(&self) -> Outcome<PeopleSummary> {
        let view = self.people()?;
        let active = Role::ALL.into_iter().map(|role| {
            let of_role = view
                .persons
                .iter()
                .filter(|person| person.role == role && person.standing == Standing::Active);
            (role.name().to_owned(), of_role.map(|_| 1).sum())
        });
        Ok(PeopleSummary {
            active: active.filter(|(_, count)| *count > 0).collect(),
            plain_keys: view.policies.plain_keys,
            erasure_suspended: view.time.wall_alarm,
            witness_silent: view.witness_time.is_err(),
            waiting: view.requests.iter().filter_map(waiting).collect(),
            openings: view.openings.iter().map(opening).collect(),
            frees_from: view.frees_from.filter(|from| *from > view.now).map(utc),
        })
    }
}

fn opening(opening: &OpeningView) -> OpeningStatus {
    OpeningStatus {
        number: opening.opening.get(),
        record: opening.record.get(),
        at: utc(opening.at),
        left: opening.left.iter().map(ToString::to_string).collect(),
        has_lost: opening.has_lost,
        missing: opening.missing,
    }
}

/// What a request waits for, and until when.
fn waiting(request: &RequestView) -> Option<String> {
    let (number, act) = (request.request, request.act.name());
    let what = match (request.state, request.execute_from, request.execute_before) {
        (RequestState::Requested, ..) => {
            let missing: Vec<String> = request.missing.iter().map(missing).collect();
            let until = utc(request.approve_before);
            format!("needs {} before {until}", missing.join(" and "))
        }
        (RequestState::Cooling, Some(from), _) => {
            format!("rests until {} and can be vetoed", utc(from))
        }
        (RequestState::Executable, _, Some(before)) => {
            format!("can be executed before {}", utc(before))
        }
        (RequestState::Executing, ..) => "is being carried out".to_owned(),
        _ => return None,
    };
    Some(format!("request {number} ({act}) {what}"))
}

fn grants(view: &PeopleView) -> Vec<GrantStatus> {
    let grants = view.grants.iter();
    grants
        .map(|grant| GrantStatus {
            client: grant.client.to_string(),
            rights: [
                ("governance-bypass", grant.rights.governance_bypass),
                ("hold-off", grant.rights.hold_off),
                ("lock-admin", grant.rights.lock_admin),
            ]
            .into_iter()
            .filter(|(_, has)| *has)
            .map(|(name, _)| name.to_owned())
            .collect(),
            until: utc(grant.until),
            request: grant.request.get(),
        })
        .collect()
}

fn policies(policies: &Policies) -> Vec<(String, String)> {
    let plain = if policies.plain_keys { "yes" } else { "no" };
    let mut all = vec![("plain-keys".to_owned(), plain.to_owned())];
    let numbers = [
        ("operators-min", policies.operators_min),
        ("approvers-min", policies.approvers_min),
        ("officers-min", policies.officers_min),
        ("erase-approvals", policies.erase_approvals),
        ("erase-cooling-hours", policies.erase_cooling_hours),
        ("people-cooling-hours", policies.people_cooling_hours),
    ];
    all.extend(numbers.map(|(name, value)| (name.to_owned(), value.to_string())));
    all
}

fn standing(standing: Standing) -> String {
    match standing {
        Standing::Active => "active",
        Standing::Suspended => "suspended",
        Standing::Removed => "removed",
    }
    .to_owned()
}

fn person(person: &PersonView) -> PersonStatus {
    PersonStatus {
        name: person.name.to_string(),
        role: person.role.name().to_owned(),
        standing: standing(person.standing),
        keys: person
            .keys
            .iter()
            .map(|key| KeyStatus {
                fingerprint: key.fingerprint.clone(),
                standing: standing(key.standing),
                last_used: utc(key.last_used),
                quarantined_until: key.quarantined_until.map(utc),
            })
            .collect(),
    }
}

fn witness(witness: &Witness) -> WitnessStatus {
    WitnessStatus {
        name: witness.name.to_string(),
        key: witness.key.to_string(),
        removed: witness.removed,
        heard: witness.heard.map(|heard| utc(heard.stated)),
    }
}

fn request_status(desk: &Desk, request: &RequestView) -> Outcome<RequestStatus> {
    let approved = request.approved_by.iter().zip(&request.approved_when);
    Ok(RequestStatus {
        request: request.request.get(),
        digest: request.digest.to_string(),
        act: request.act.name().to_owned(),
        words: act_words(desk, &request.act)?,
        state: request.state.name().to_owned(),
        large: request.large,
        requested_by: format!("{} {}", request.requested_by.1, request.requested_by.0),
        requested_at: utc(request.requested_at),
        approved: approved
            .map(|((name, role), at)| (format!("{role} {name}"), utc(*at)))
            .collect(),
        missing: request.missing.iter().map(missing).collect(),
        approve_before: utc(request.approve_before),
        execute_from: request.execute_from.map(utc),
        execute_before: request.execute_before.map(utc),
        executed: request
            .executed_by
            .as_ref()
            .map(|(name, at)| (name.to_string(), utc(*at))),
        ended_by: request.ended_by.as_ref().map(ToString::to_string),
    })
}

fn missing((role, count): &(Role, u64)) -> String {
    format!("{count} {role}{}", if *count == 1 { "" } else { "s" })
}

/// An act in words.
pub(super) fn act_words(desk: &Desk, act: &Act) -> Outcome<String> {
    Ok(match act {
        Act::Erase(erase) => {
            let (count, bytes) = (erase.count, size(erase.bytes));
            let how = match erase.cut {
                Cut::Month(month) => format!("all keys of {month} are cut"),
                Cut::Leaves => "their keys are cut one by one".to_owned(),
            };
            let early = match erase.governance {
                true => "; GOVERNANCE retention ends early by it",
                false => "",
            };
            let (oldest, newest) = (erase.oldest, erase.newest);
            format!(
                "destroy {count} versions with {bytes}, stored from {oldest} to {newest}; {how}{early}"
            )
        }
        Act::ReleaseHold(release) => {
            let case = desk.case_name(release.case)?;
            let case = case.unwrap_or_else(|| release.case.to_string());
            format!(
                "lift the legal hold of {} versions for case {case}",
                release.count
            )
        }
        Act::Grant(grant) => format!(
            "give client {} the rights {} until {}",
            grant.client, grant.rights, grant.until
        ),
        Act::LowerDefault { bucket, default } => {
            let buckets = desk.buckets()?;
            let name = buckets.into_iter().find(|one| one.id == *bucket);
            let name = name.map_or_else(|| bucket.to_string(), |one| one.name);
            format!("set the default retention of bucket {name} to {default}")
        }
        Act::Enrol { person, role, key } => {
            format!("enrol {person} as {role} with key {}", key.fingerprint())
        }
        Act::AddKey { person, key } => format!("give {person} the key {}", key.fingerprint()),
        Act::RemoveKey { person, key } => {
            format!("take the key {} from {person}", key.fingerprint())
        }
        Act::Suspend { person } => format!("suspend {person}"),
        Act::Remove { person } => format!("remove {person} for ever"),
        Act::Resume { person } => format!("let {person} act again"),
        Act::Policy { name, value } => format!("set the policy {name} to {value}"),
        Act::Witness { name, key } => format!("let the witness {name} cosign, with key {key}"),
        Act::RemoveWitness { name } => format!("remove the witness {name} for ever"),
        Act::LogKey { key } => format!("sign the log with the key {key} from then on"),
        Act::Clock { by_hours } => {
            let hours = if *by_hours == 1 { "hour" } else { "hours" };
            format!(
                "set compliance time forward to the machine's clock, by {by_hours} {hours} at most"
            )
        }
        Act::ForceOpen {
            opening,
            lost,
            missing,
            disks,
        } => {
            let count = disks.len();
            let disks = if count == 1 { "disk" } else { "disks" };
            let within: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let within = match within.is_empty() {
                true => String::new(),
                false => format!(
                    ", and in the middle of the log records {}",
                    within.join(", ")
                ),
            };
            format!(
                "force the vault open, number {opening}, with {count} {disks} alone, giving up {lost} records at its end \
                 that are known lost{within}"
            )
        }
        Act::Reinitialise { disk, label } => {
            format!("wipe disk {disk}, whose label has the digest {label}")
        }
        Act::Later(_) => format!("{}, which this version does not do", act.name()),
    })
}
