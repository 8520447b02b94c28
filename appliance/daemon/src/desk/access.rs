//! Who may ask what at the control socket once a vault has people: the whole table, without a default.

use stele_format::statement::Role;

use crate::control::clients::{ClientAsk, RuleAsk};
use crate::control::desk::{ActWish, DeskAsk};
use crate::control::protocol::Ask;
use crate::control::tls::TlsAsk;
use crate::control::wipe::WipeAsk;

/// What a question needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: whoever may speak at the socket may ask it, because it changes nothing, or because what it
    /// brings is signed by itself.
    Nothing,
    /// A person of one of these roles who answers for this very question.
    One(&'static [Role]),
}

/// Runs jobs, or keeps people, policy and clock.
const STAFF: &[Role] = &[Role::Operator, Role::Officer];
/// May put versions under legal hold.
const HOLDERS: &[Role] = &[Role::Operator, Role::Officer, Role::Approver];
/// Keeps people, policy and clock.
const OFFICERS: &[Role] = &[Role::Officer];

/// What a question needs.
pub const fn needs(ask: &Ask) -> Needs {
    match ask {
        Ask::Status | Ask::Challenge => Needs::Nothing,
        Ask::Join(_) | Ask::Drain(_) => Needs::One(STAFF),
        Ask::Wipe(ask) => match ask {
            WipeAsk::Look { .. } => Needs::Nothing,
            // Two people gave leave; this is whoever has the disk in hand.
            WipeAsk::Wipe { .. } => Needs::One(STAFF),
        },
        Ask::Client(ask) => match ask {
            ClientAsk::List => Needs::Nothing,
            ClientAsk::Add { .. } | ClientAsk::Limit { .. } | ClientAsk::Revoke { .. } => {
                Needs::One(STAFF)
            }
        },
        Ask::Rule(RuleAsk { change, .. }) => match change {
            None => Needs::Nothing,
            Some(_) => Needs::One(STAFF),
        },
        Ask::Tls(ask) => match ask {
            TlsAsk::Show => Needs::Nothing,
            TlsAsk::Install { .. } | TlsAsk::ClientCa { .. } | TlsAsk::Oldest { .. } => {
                Needs::One(STAFF)
            }
        },
        Ask::Desk(ask) => match ask {
            // Texts alone are nothing before they are signed; what is signed speaks for itself; and what was
            // executed may be carried on by anybody.
            DeskAsk::People
            | DeskAsk::Found { .. }
            | DeskAsk::Show { .. }
            | DeskAsk::Answer { .. }
            | DeskAsk::Review { .. }
            | DeskAsk::Expiry { .. }
            | DeskAsk::Buckets
            | DeskAsk::Lifecycle { remove: false, .. }
            | DeskAsk::State { .. }
            | DeskAsk::Cosign { .. }
            | DeskAsk::CarryOut { .. }
            | DeskAsk::Certificate { .. } => Needs::Nothing,
            DeskAsk::Request { act, .. } => match act {
                ActWish::Lines(_)
                | ActWish::LowerDefault { .. }
                | ActWish::ClockCorrect
                | ActWish::ReleaseHold { .. } => Needs::Nothing,
                // A key is made and kept.
                ActWish::LogKey => Needs::One(OFFICERS),
                // Their lists are recorded.
                ActWish::Expiry { .. } | ActWish::Erase { .. } => Needs::One(STAFF),
            },
            DeskAsk::Create { .. }
            | DeskAsk::Tier { .. }
            | DeskAsk::Bound { .. }
            | DeskAsk::Lifecycle { remove: true, .. }
            // Shows keys of objects, which nothing else at the socket does.
            | DeskAsk::Released { .. }
            | DeskAsk::Unrelease { .. } => Needs::One(STAFF),
            DeskAsk::Hold { .. } => Needs::One(HOLDERS),
            DeskAsk::Advance { .. } => Needs::One(OFFICERS),
        },
    }
}

/// What of a question may be kept in the log beside the signature over it: all but a private key. What a
/// question makes, such as a client's secret, is in its answer alone.
pub fn note(ask: &Ask, bytes_max: usize) -> Vec<u8> {
    if let Ask::Tls(TlsAsk::Install { .. }) = ask {
        return b"a certificate and its private key, which is not kept here".to_vec();
    }
    let mut text = serde_json::to_vec(ask).expect("plain fields always serialize");
    if text.len() > bytes_max {
        let words = "a question too long to keep; its digest is in the statement";
        text = words.as_bytes().to_vec();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::clients::{ClientWish, RuleChange};
    use crate::control::desk::{Which, WhichReleased};
    use crate::control::protocol::Join;

    fn which() -> Which {
        Which {
            bucket: "b".to_owned(),
            key: None,
            prefix: None,
            versions: Vec::new(),
        }
    }

    fn request(act: ActWish) -> Ask {
        Ask::Desk(DeskAsk::Request {
            act,
            by: "olga".to_owned(),
            reason: String::new(),
        })
    }

    #[test]
    fn every_role_may_ask_exactly_what_the_table_says() {
        use Role::{Approver, Officer, Operator};
        let word = || "w".to_owned();
        let staff = &[Operator, Officer][..];
        let change = Some(RuleChange {
            prefix: word(),
            days: None,
        });
        let lines = ActWish::Lines(Vec::new());
        let expiry = ActWish::Expiry {
            month: word(),
            noncurrent: Vec::new(),
        };
        let erase = ActWish::Erase {
            which: which(),
            governance: false,
        };
        let hold = DeskAsk::Hold {
            case: word(),
            which: which(),
            by: word(),
        };
        let add = ClientAsk::Add {
            wish: ClientWish::default(),
            same_owner_as: None,
        };
        let revoke = ClientAsk::Revoke { key_id: word() };
        let bound = DeskAsk::Bound {
            bucket: word(),
            days_max: None,
        };
        let lifecycle = |remove| DeskAsk::Lifecycle {
            bucket: word(),
            remove,
        };
        let create = DeskAsk::Create {
            bucket: word(),
            tier: word(),
            rules: Vec::new(),
        };
        let tier = DeskAsk::Tier {
            bucket: word(),
            tier: word(),
        };
        let released = WhichReleased::default;
        let rule = |change| {
            Ask::Rule(RuleAsk {
                bucket: word(),
                change,
            })
        };
        for (ask, expected) in [
            (Ask::Status, &[][..]),
            (Ask::Challenge, &[]),
            (Ask::Join(Join::Resync { number: 1 }), staff),
            (Ask::Drain(1), staff),
            (Ask::Wipe(WipeAsk::Look { path: word() }), &[]),
            (
                Ask::Wipe(WipeAsk::Wipe {
                    request: 1,
                    path: word(),
                }),
                staff,
            ),
            (Ask::Client(ClientAsk::List), &[]),
            (Ask::Client(add), staff),
            (Ask::Client(revoke), staff),
            (rule(None), &[]),
            (rule(change), staff),
            (Ask::Desk(DeskAsk::People), &[]),
            (Ask::Desk(DeskAsk::CarryOut { record: 1 }), &[]),
            (Ask::Desk(DeskAsk::Cosign { note: word() }), &[]),
            (
                Ask::Desk(DeskAsk::Certificate {
                    request: 1,
                    sign: true,
                }),
                &[],
            ),
            (Ask::Desk(DeskAsk::Buckets), &[]),
            (Ask::Desk(create), staff),
            (Ask::Desk(tier), staff),
            (Ask::Desk(bound), staff),
            (Ask::Desk(lifecycle(false)), &[]),
            (Ask::Desk(lifecycle(true)), staff),
            (Ask::Desk(DeskAsk::Released { which: released() }), staff),
            (Ask::Desk(DeskAsk::Unrelease { which: released() }), staff),
            (request(lines), &[]),
            (request(ActWish::LogKey), &[Officer]),
            (request(expiry), staff),
            (request(erase), staff),
            (Ask::Desk(hold), &[Operator, Officer, Approver]),
            (Ask::Desk(DeskAsk::Advance { by_ms: 1 }), &[Officer]),
        ] {
            for role in Role::ALL {
                let may = match needs(&ask) {
                    Needs::Nothing => expected.is_empty(),
                    Needs::One(roles) => roles.contains(&role) == expected.contains(&role),
                };
                assert!(may, "{role} {ask:?}");
            }
        }
    }

    #[test]
    fn a_question_is_kept_as_it_is_asked_unless_it_is_too_long() {
        let ask = request(ActWish::Lines(vec!["act suspend".to_owned()]));
        let kept = String::from_utf8(note(&ask, 16 << 10)).expect("text");
        assert!(kept.contains("act suspend"), "{kept}");
        let short = String::from_utf8(note(&ask, 8)).expect("text");
        assert!(!short.contains("suspend"), "{short}");
    }
}
