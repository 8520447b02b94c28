//! Signs in tests as clients do.

use stele_gateway::claim::{Canonical, Mandate};
use stele_gateway::message::{Claim, LockWish, ObjectName, Purpose, Request};
use stele_gateway::{Clients as Secrets, Domains};
use zeroize::Zeroizing;

/// The canonical request of a client that signs these headers, in the order of their names.
pub fn canonical(method: &str, target: &str, headers: &[(&str, &str)]) -> Canonical {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let all = [&[("host", "localhost")], headers].concat();
    let line = |(name, value): &(&str, &str)| format!("{name}:{value}\n");
    let lines: String = all.iter().map(line).collect();
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let text = format!("{method}\n{path}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD");
    Canonical::new(text.into_bytes(), None)
}

/// The mandate of a client that signed this.
pub fn mandate(request: Canonical) -> Mandate {
    let date = "20261126T000000Z";
    let claim = Claim::signed("A", "secret", date, "us-east-1", request);
    let secrets = Secrets::new();
    secrets.insert("A", Zeroizing::new("secret".to_owned()));
    let now = stele_format::units::UnixMillis::new(1_795_651_200_000);
    let verified = secrets.verify(&claim, &Domains::default(), now);
    verified.expect("signed").mandate
}

/// What a client signs that wants just this.
pub fn wanting(request: &Request) -> Canonical {
    let plain = |method: &str, target: String| canonical(method, &target, &[]);
    let at = |name: &ObjectName, what: &str| format!("/{}/{}?{what}", name.bucket, name.key);
    let version = |version: &Option<stele_format::units::VersionId>| match version {
        Some(version) => format!("versionId={version}"),
        None => String::new(),
    };
    let bypassing = |method: &str, target: String, bypass: bool| {
        let header = [("x-amz-bypass-governance-retention", "true")];
        canonical(
            method,
            &target,
            header.get(usize::from(!bypass)..).unwrap_or_default(),
        )
    };
    match request {
        Request::ListBuckets => plain("GET", "/".to_owned()),
        Request::CreateBucket { name, lock } => {
            let header = [("x-amz-bucket-object-lock-enabled", "true")];
            let headers = header.get(usize::from(!lock)..).unwrap_or_default();
            canonical("PUT", &format!("/{name}"), headers)
        }
        Request::HeadBucket { name } => plain("HEAD", format!("/{name}")),
        Request::DeleteBucket { name } => plain("DELETE", format!("/{name}")),
        Request::SetDefaultRetention { bucket, .. } => {
            plain("PUT", format!("/{bucket}?object-lock="))
        }
        Request::SetLifecycle { bucket, rules } => {
            let method = if rules.is_empty() { "DELETE" } else { "PUT" };
            plain(method, format!("/{bucket}?lifecycle="))
        }
        Request::Put { name, purpose, .. } | Request::OpenPut { name, purpose, .. } => {
            match purpose {
                Purpose::Object { lock, .. } => {
                    assert_eq!(*lock, LockWish::default(), "no test signs a lock");
                    plain("PUT", at(name, ""))
                }
                Purpose::Part { upload, number } => plain(
                    "PUT",
                    at(name, &format!("partNumber={number}&uploadId={upload}")),
                ),
            }
        }
        Request::OpenGet {
            name,
            version: which,
            ..
        } => plain("GET", at(name, &version(which))),
        Request::Head {
            name,
            version: which,
        } => plain("HEAD", at(name, &version(which))),
        Request::Delete {
            name,
            version: which,
            bypass,
        } => bypassing("DELETE", at(name, &version(which)), *bypass),
        Request::List(wish) => plain("GET", format!("/{}?prefix={}", wish.bucket, wish.prefix)),
        Request::ListVersions(wish) => plain(
            "GET",
            format!("/{}?prefix={}&versions=", wish.bucket, wish.prefix),
        ),
        Request::ListUploads(wish) => plain(
            "GET",
            format!("/{}?prefix={}&uploads=", wish.bucket, wish.prefix),
        ),
        Request::SetRetention {
            name,
            version: which,
            bypass,
            ..
        } => {
            let what = format!("retention=&{}", version(which));
            bypassing("PUT", at(name, &what), *bypass)
        }
        Request::SetHold {
            name,
            version: which,
            ..
        } => plain("PUT", at(name, &format!("legal-hold=&{}", version(which)))),
        Request::SetTags {
            name,
            version: which,
            ..
        } => plain("PUT", at(name, &format!("tagging=&{}", version(which)))),
        Request::Capacity => {
            let key = stele_gateway::limits::VAULT_KEYS_PREFIX;
            plain("GET", format!("/bucket/{key}capacity.xml"))
        }
        Request::CreateUpload { name, .. } => plain("POST", at(name, "uploads=")),
        Request::HeadUpload { name, upload } | Request::ListParts { name, upload, .. } => {
            plain("GET", at(name, &format!("uploadId={upload}")))
        }
        Request::CompleteUpload { name, upload, .. } => {
            plain("POST", at(name, &format!("uploadId={upload}")))
        }
        Request::AbortUpload { name, upload } => {
            plain("DELETE", at(name, &format!("uploadId={upload}")))
        }
        Request::SignIn { .. }
        | Request::VerifyChunks { .. }
        | Request::PutData { .. }
        | Request::CommitPut { .. }
        | Request::AbortPut { .. }
        | Request::NextData { .. }
        | Request::CloseGet { .. } => unreachable!("it is asked where another one was"),
    }
}
