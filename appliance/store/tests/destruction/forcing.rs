//! What people sign for a forced opening, and the start that it is given to.

use stele_format::digest::Digest;
use stele_format::record::StatementBody;
use stele_format::statement::{Act, Answer as Said, Kind, Nonce, Origin, Request, Statement, Verb};
use stele_format::units::LogIndex;
use stele_store::recovery::{Force, ForcedOrder, ForcedRefusal, OpenError, Outlook};
use stele_store::request::{LockWish, Metadata, Purpose, Refusal};

use crate::support::{Rig, Running, name};
use crate::world::{key_of, person, view};

pub fn signed(origin: Origin, kind: Kind, by: &str) -> StatementBody {
    let text = Statement::new(origin, kind).unwrap().to_text();
    StatementBody {
        signatures: vec![key_of(by).sign(&text)],
        text,
    }
}

/// What people would sign for this outlook.
pub fn order_for(origin: Origin, outlook: &Outlook) -> ForcedOrder {
    let act = Act::ForceOpen {
        opening: outlook.opening,
        lost: outlook.known_lost,
        missing: outlook.missing(),
        disks: outlook.disks.clone(),
    };
    order_of(origin, act, outlook, ("sara", "anna"))
}

pub fn order_of(
    origin: Origin,
    act: Act,
    outlook: &Outlook,
    (officer, approver): (&str, &str),
) -> ForcedOrder {
    let kind = Kind::Request(Request {
        act,
        head: outlook.head,
        nonce: Nonce([7; 16]),
        reason: Digest::of(b"why"),
        by: person(officer),
    });
    let request = signed(origin, kind, officer);
    let digest = Digest::of(request.text.as_bytes());
    let kind = Kind::Answer(Said {
        verb: Verb::Approve,
        request: LogIndex::new(outlook.head.size),
        digest,
        by: person(approver),
    });
    ForcedOrder {
        request,
        note: Some(b"why".to_vec()),
        approval: signed(origin, kind, approver),
    }
}

/// Looks at the vault: its origin, and what could be forced.
pub fn look(rig: &mut Rig) -> (Origin, Result<Outlook, ForcedRefusal>) {
    rig.options.force = Some(Force::Look);
    let mut vault = rig.start();
    rig.options.force = None;
    let origin = view(&mut vault).origin;
    let refused = vault.ask_put();
    assert!(matches!(refused, Err(Refusal::ReadOnly(_))), "{refused:?}");
    (origin, vault.report.outlook.clone().unwrap())
}

pub fn order(rig: &mut Rig) -> ForcedOrder {
    let (origin, outlook) = look(rig);
    order_for(origin, &outlook.unwrap())
}

pub fn force(rig: &mut Rig, order: &ForcedOrder) -> Result<Running, OpenError> {
    rig.options.force = Some(Force::Open(Box::new(order.clone())));
    let started = rig.try_start();
    rig.options.force = None;
    started
}

impl Running {
    /// Tries to begin storing something.
    pub fn ask_put(&mut self) -> Result<(), Refusal> {
        let purpose = Purpose::Object {
            metadata: Metadata::default(),
            lock: LockWish::default(),
        };
        self.open_put(&name("b", "further"), purpose).map(drop)
    }
}
