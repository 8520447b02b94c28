//! What the vault's fold says, beside what an auditor's does.

use stele_format::statement::Second;
use stele_inspect::audit::report::AuditReport;
use stele_store::policy::approval::RequestState;
use stele_store::policy::people::Standing;
use stele_store::request::PeopleView;

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Suspended => "suspended",
        Standing::Removed => "removed",
    }
}

pub fn people(view: &PeopleView, report: &AuditReport) {
    let vault: Vec<_> = view
        .persons
        .iter()
        .map(|one| {
            let keys = one.keys.iter().map(|key| {
                let until = key.quarantined_until.map(|at| Second::of(at).unwrap());
                let until = until.map(|at| at.to_string());
                (key.fingerprint.clone(), word(key.standing), until)
            });
            let keys: Vec<_> = keys.collect();
            (
                one.name.to_string(),
                one.role.name(),
                word(one.standing),
                keys,
            )
        })
        .collect();
    let auditor: Vec<_> = report
        .people
        .iter()
        .map(|one| {
            let keys = one.keys.iter().map(|key| {
                (
                    key.fingerprint.clone(),
                    key.state,
                    key.quarantine_until.clone(),
                )
            });
            (
                one.name.clone(),
                one.role,
                one.state,
                keys.collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(vault, auditor);
}

pub fn requests(view: &PeopleView, report: &AuditReport) {
    let state = |state: RequestState| match state {
        RequestState::Expired => "lapsed",
        // The statement is what an auditor calls the execution.
        RequestState::Executing => "executed",
        other => other.name(),
    };
    let vault: Vec<_> = view
        .requests
        .iter()
        .map(|one| {
            let by = one.approved_by.iter().map(|(name, _)| name.to_string());
            let asked = one.requested_by.0.to_string();
            let approved: Vec<String> = by.collect();
            (
                one.request.get(),
                one.act.name(),
                state(one.state),
                asked,
                approved,
            )
        })
        .collect();
    let auditor: Vec<_> = report
        .requests
        .iter()
        .map(|one| {
            let approved: Vec<String> = one.approved.iter().map(|voice| voice.by.clone()).collect();
            (
                one.index,
                one.act,
                one.state,
                one.asked.by.clone(),
                approved,
            )
        })
        .collect();
    assert_eq!(vault, auditor);
}

pub fn protection(view: &PeopleView, report: &AuditReport) {
    let cases = view.cases.iter().filter(|case| case.released.is_none());
    let vault: Vec<_> = cases
        .map(|case| (case.case.to_string(), case.scope.to_string(), case.count))
        .collect();
    let cases = report.holds.cases.iter();
    let auditor: Vec<_> = cases
        .map(|case| (case.case.clone(), case.scope.clone(), case.versions))
        .collect();
    assert_eq!(vault, auditor);
    let living = report.retention.versions - report.retention.destroyed;
    assert_eq!(view.versions, living);
    let grants = view.grants.iter().filter(|grant| grant.until > view.now);
    let vault: Vec<_> = grants
        .map(|grant| (grant.request.get(), grant.client.as_str().to_owned()))
        .collect();
    let grants = report.grants.iter();
    let auditor: Vec<_> = grants
        .map(|grant| (grant.request, grant.client.clone()))
        .collect();
    assert_eq!(vault, auditor);
}
