//! Who may ask what at the control socket once a vault has people: the whole table, without a default.

use stele_format::statement::Role;

use crate::control::clients::{ClientAsk, RuleAsk};
use crate::control::desk::{ActWish, DeskAsk};
use crate::control::protocol::Ask;

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
        Ask::Desk(ask) => match ask {
            // Texts alone are nothing before they are signed; what is signed speaks for itself; and what was
            // executed may be carried on by anybody.
            DeskAsk::People
            | DeskAsk::Found { .. }
            | DeskAsk::Answer { .. }
            | DeskAsk::Review { .. }
            | DeskAsk::Expiry { .. }
            | DeskAsk::State { .. }
            | DeskAsk::CarryOut { .. }
            | DeskAsk::Certificate { .. } => Needs::Nothing,
            DeskAsk::Request { act, .. } => match act {
                ActWish::Lines(_)
                | ActWish::LowerDefault { .. }
                | ActWish::ClockCorrect
                | ActWish::ReleaseHold { .. } => Needs::Nothing,
                // Their lists are recorded.
                ActWish::Expiry { .. } | ActWish::Erase { .. } => Needs::One(STAFF),
            },
            DeskAsk::Hold { .. } => Needs::One(HOLDERS),
            DeskAsk::Advance { .. } => Needs::One(OFFICERS),
        },
    }
}

/// What of a question may be kept in the log beside the signature over it. Questions carry no secrets; what one
/// makes, such as a client's, is in its answer alone.
pub fn note(ask: &Ask, bytes_max: usize) -> Vec<u8> {
    let mut text = serde_json::to_vec(ask).expect("plain fields always serialize");
    if text.len() > bytes_max {
        let words = "a question too long to keep; its digest is in the statement";
        text = words.as_bytes().to_vec();
    }
    text
}
