//! A signed request that takes something back is served once, whoever sends it again later.

use stele_gateway::message::{FilterForm, LifecycleRule, Period};

use super::*;

/// Everything that takes something back, of one version.
const BACK: [fn(VersionId) -> Request; 5] = [
    |version| Request::Delete {
        name: object("locked"),
        version: Some(version),
        bypass: false,
    },
    |version| Request::SetHold {
        name: object("locked"),
        version: Some(version),
        on: false,
    },
    |version| Request::SetRetention {
        name: object("locked"),
        version: Some(version),
        retention: None,
        bypass: true,
    },
    |_| Request::SetDefaultRetention {
        bucket: "locked".to_owned(),
        default: Some((LockMode::Governance, Period::Days(1))),
    },
    |_| Request::SetLifecycle {
        bucket: "locked".to_owned(),
        rules: vec![LifecycleRule {
            id: "rule".to_owned(),
            form: FilterForm::Whole,
            prefix: String::new(),
            bytes_min: 0,
            bytes_below: 0,
            disabled: false,
            upload_days: Some(1),
            current: None,
            noncurrent: None,
        }],
    },
];

/// What anybody may see done again.
const ORDINARY: [fn(VersionId) -> Request; 4] = [
    |_| Request::ListBuckets,
    |_| put("locked"),
    |version| Request::SetHold {
        name: object("locked"),
        version: Some(version),
        on: true,
    },
    |_| Request::Delete {
        name: object("locked"),
        version: None,
        bypass: false,
    },
];

/// Whether it is refused because it was served before.
async fn is_refused(evil: &mut Evil, claim: &Claim, request: Request) -> bool {
    let session = evil.sign_in(claim.clone()).await.expect("still good");
    is_refused_in(evil, session, request).await
}

async fn is_refused_in(evil: &mut Evil, session: SessionId, request: Request) -> bool {
    let (result, _) = evil.ask(session, request, None).await;
    matches!(result, Err(Refusal::NotAllowed(why)) if why.contains("served before"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_something_back_is_done_again_by_nobody() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    let version = evil.store(&vault, "locked").await;
    let sign = |evil: &Evil, request: &fn(VersionId) -> Request| {
        evil.signed_for(SECRET, now(), wanting(&request(version)))
    };
    let mut sent = Vec::new();
    for request in BACK.iter().chain(&ORDINARY) {
        let claim = sign(&evil, request);
        let session = evil.sign_in(claim.clone()).await.expect("signed");
        assert!(!is_refused_in(&mut evil, session, request(version)).await);
        // The answer was lost, and the client asks again at once.
        assert!(!is_refused(&mut evil, &claim, request(version)).await);
        sent.push((session, claim));
    }
    tokio::time::sleep(Duration::from_millis(AGAIN_MS + 100)).await;
    // Neither where it was sent to before, nor at a gateway that was started since.
    let mut other = vault.gateway();
    for (request, (session, claim)) in BACK.iter().zip(&sent) {
        let said = format!("{:?}", request(version));
        assert!(
            is_refused(&mut evil, claim, request(version)).await,
            "{said}"
        );
        assert!(
            is_refused(&mut other, claim, request(version)).await,
            "{said}"
        );
        // One request may take back much, and takes its time.
        assert!(
            !is_refused_in(&mut evil, *session, request(version)).await,
            "{said}"
        );
        let anew = sign(&evil, request);
        assert!(
            !is_refused(&mut evil, &anew, request(version)).await,
            "{said}"
        );
    }
    for (request, (_, claim)) in ORDINARY.iter().zip(&sent[BACK.len()..]) {
        let said = format!("{:?}", request(version));
        assert!(
            !is_refused(&mut evil, claim, request(version)).await,
            "{said}"
        );
    }
    drop(other.socket);
    other.porter.await.expect("without a panic");
    stop(vault, evil).await;
}

/// The keys that are deleted stand in a body that nobody has seen when the signature is verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_versions_of_one_request_are_deleted_once() {
    let vault = Vault::start().await;
    let mut evil = vault.gateway();
    let version = evil.store(&vault, "locked").await;
    let many = super::super::signer::canonical("POST", "/locked?delete=", &[]);
    let claim = evil.signed_for(SECRET, now(), many);
    let delete = |version| Request::Delete {
        name: object("locked"),
        version,
        bypass: false,
    };
    assert!(!is_refused(&mut evil, &claim, delete(Some(version))).await);
    tokio::time::sleep(Duration::from_millis(AGAIN_MS + 100)).await;
    assert!(is_refused(&mut evil, &claim, delete(Some(version))).await);
    // A marker destroys and shows nothing.
    assert!(!is_refused(&mut evil, &claim, delete(None)).await);
    stop(vault, evil).await;
}
