//! Sessions: whoever asks for a change answers a challenge with a signature over the very question, which is
//! recorded before the question is acted on.
//!
//! Invariants: a challenge is answered once and not after five minutes; a signature is good for one question of
//! one vault; a key that answers wrongly five times waits, and twice as long after each further time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use stele_format::digest::Digest;
use stele_format::sshsig::{KeyType, Signature, Verified};
use stele_format::statement::{Kind, Nonce, Role, Session as Said, Statement};
use stele_format::units::UnixMillis;
use stele_store::limits::NOTE_BYTES_MAX;
use stele_store::policy::approval::{Accepted, verified};
use stele_store::policy::people::Standing;
use stele_store::policy::words::utc;
use stele_store::request::{Answer, Command, PeopleView, Refusal};

use super::access::{Needs, needs, note};
use super::draft::{hex, random};
use super::facts::wall;
use crate::control::protocol::{Ask, Challenge, Session};
use crate::error::{Error, Outcome};
use crate::limits::{
    CHALLENGE_COUNT_MAX, CHALLENGE_MS_MAX, WRONG_ALARM_COUNT, WRONG_FREE_COUNT,
    WRONG_KEY_COUNT_MAX, WRONG_WAIT_MS_MAX,
};
use crate::supervisor::Link;

/// Why a question is not acted on.
#[derive(Debug, thiserror::Error)]
pub enum NotAllowed {
    /// Nobody answers for it yet.
    #[error(
        "this vault has people, and one of them must answer for this: say who with --as NAME --key FILE"
    )]
    Unsigned,
    /// The text is no session, or of another question.
    #[error("the signature is over another question than this one")]
    OtherQuestion,
    /// The challenge is unknown, used or old.
    #[error("the challenge was used before or is older than five minutes; ask again")]
    NoChallenge,
    /// The role may not.
    #[error("{role} {person} may not do this; it takes {allowed}")]
    Role {
        /// Who.
        person: String,
        /// As what.
        role: Role,
        /// Who may.
        allowed: String,
    },
    /// Too many wrong answers.
    #[error("this key answered wrongly {wrong} times; it may answer again at {until}")]
    LockedOut {
        /// How often.
        wrong: u32,
        /// Until when.
        until: String,
    },
    /// The engine did not accept it.
    #[error("nobody answers for this: {0}")]
    Refused(Refusal),
}

/// Wrong answers of a key.
#[derive(Debug, Clone, Copy, Default)]
struct Wrong {
    count: u32,
    wait_until: Option<Instant>,
    last_wall: UnixMillis,
}

/// Open challenges and wrong answers. Both are forgotten by a restart.
#[derive(Default)]
pub struct Guard {
    open: Mutex<VecDeque<([u8; 32], Instant)>>,
    wrong: Mutex<HashMap<String, Wrong>>,
}

impl Guard {
    /// A fresh challenge.
    ///
    /// # Errors
    /// The kernel gives no random bytes, or the engine no answer.
    pub fn challenge(&self, view: &PeopleView) -> Outcome<Challenge> {
        let nonce = random::<32>()?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= CHALLENGE_COUNT_MAX {
            open.pop_front();
        }
        open.push_back((nonce, Instant::now()));
        Ok(Challenge {
            log: view.origin.to_string(),
            nonce: hex(&nonce),
            at: utc(wall()),
        })
    }

    /// Uses a challenge up.
    fn take(&self, nonce: &Nonce<32>) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = Duration::from_millis(CHALLENGE_MS_MAX);
        open.retain(|(_, since)| since.elapsed() <= limit);
        let place = open.iter().position(|(known, _)| *known == nonce.0);
        place.and_then(|place| open.remove(place)).is_some()
    }

    /// Lets a question pass, once somebody who may ask it answered for it; their answer is in the log then.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn check(
        &self,
        ask: &Ask,
        session: Option<&Session>,
        view: &PeopleView,
        link: &Link,
    ) -> Outcome<()> {
        let Needs::One(roles) = needs(ask) else {
            return Ok(());
        };
        if view.persons.is_empty() {
            return Ok(());
        }
        let session = session.ok_or(NotAllowed::Unsigned)?;
        let signature = Signature::from_armour(&session.signature);
        let key = signature
            .as_ref()
            .map_or("unreadable".to_owned(), |signature| {
                signature.key().fingerprint()
            });
        self.check_wait(&key)?;
        let judged = self.judge(ask, session, roles, view).and_then(|said| {
            let signature = signature.map_err(|_| NotAllowed::OtherQuestion)?;
            record(ask, session, &said, signature.encode(), (view, link))
        });
        match &judged {
            Ok(()) => self.forgive(&key),
            Err(Error::NotAllowed(NotAllowed::Role { .. } | NotAllowed::NoChallenge)) => {}
            Err(Error::NotAllowed(_)) => self.count(key),
            Err(_) => {}
        }
        judged
    }

    fn judge(
        &self,
        ask: &Ask,
        session: &Session,
        roles: &[Role],
        view: &PeopleView,
    ) -> Outcome<Said> {
        let statement = Statement::parse(&session.text).ok();
        let said = statement.and_then(|statement| match statement.kind() {
            Kind::Session(said) => Some(said.clone()),
            _ => None,
        });
        let said = said.ok_or(NotAllowed::OtherQuestion)?;
        if said.ask != digest(ask) {
            return Err(NotAllowed::OtherQuestion.into());
        }
        if !self.take(&said.nonce) {
            return Err(NotAllowed::NoChallenge.into());
        }
        let person = view.persons.iter().find(|person| person.name == said.by);
        match person {
            Some(person) if !roles.contains(&person.role) => Err(NotAllowed::Role {
                person: person.name.to_string(),
                role: person.role,
                allowed: allowed(roles),
            }
            .into()),
            // Who is unknown or suspended is for the engine to say.
            _ => Ok(said),
        }
    }

    fn check_wait(&self, key: &str) -> Outcome<()> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = wrong.get(place(&wrong, key)) else {
            return Ok(());
        };
        match found
            .wait_until
            .and_then(|until| until.checked_duration_since(Instant::now()))
        {
            Some(left) if !left.is_zero() => {
                let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                let until = wall().get().saturating_add(ms).saturating_add(999);
                Err(NotAllowed::LockedOut {
                    wrong: found.count,
                    until: utc(UnixMillis::new(until)),
                }
                .into())
            }
            _ => Ok(()),
        }
    }

    fn count(&self, key: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(&wrong, &key).to_owned();
        let entry = wrong.entry(place).or_default();
        entry.count = entry.count.saturating_add(1);
        entry.last_wall = wall();
        entry.wait_until =
            wait_ms(entry.count).map(|ms| Instant::now() + Duration::from_millis(ms));
        if entry.count == WRONG_ALARM_COUNT {
            tracing::warn!(
                key,
                "a key answered wrongly again and again at the control socket"
            );
        }
    }

    fn forgive(&self, key: &str) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.remove(key);
    }

    /// What an operator should know, as sentences.
    pub fn alarms(&self) -> Vec<String> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alarms: Vec<String> = wrong
            .iter()
            .filter(|(_, wrong)| wrong.count >= WRONG_ALARM_COUNT)
            .map(|(key, wrong)| {
                let (count, at) = (wrong.count, utc(wrong.last_wall));
                format!("the key {key} answered wrongly {count} times with `stele` at the vault, last at {at}")
            })
            .collect();
        alarms.sort_unstable();
        alarms
    }
}

/// Under which name the wrong answers of a key are counted.
fn place<'a>(wrong: &HashMap<String, Wrong>, key: &'a str) -> &'a str {
    if wrong.contains_key(key) || wrong.len() < WRONG_KEY_COUNT_MAX {
        key
    } else {
        "others"
    }
}

/// How long a key waits after so many wrong answers.
fn wait_ms(count: u32) -> Option<u64> {
    let beyond = count.checked_sub(WRONG_FREE_COUNT)?;
    let seconds = 1_u64.checked_shl(beyond).unwrap_or(u64::MAX);
    Some(seconds.saturating_mul(1_000).min(WRONG_WAIT_MS_MAX))
}

fn allowed(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    format!("an {}", names.join(" or an "))
}

/// What a session's signature is over: the question as it is sent.
pub fn digest(ask: &Ask) -> Digest {
    Digest::of(&serde_json::to_vec(ask).expect("plain fields always serialize"))
}

fn record(
    ask: &Ask,
    session: &Session,
    said: &Said,
    signature: Vec<u8>,
    (view, link): (&PeopleView, &Link),
) -> Outcome<()> {
    let kept = note(ask, NOTE_BYTES_MAX);
    let answer = link.ask(|| Command::State {
        text: session.text.clone(),
        signatures: vec![signature.clone()],
        note: Some(kept.clone()),
    });
    match answer {
        Ok(Answer::Stated {
            accepted: Some(Accepted::Acted),
            index,
        }) => {
            tracing::info!(
                person = said.by.as_str(),
                record = index.get(),
                "somebody acts"
            );
            Ok(())
        }
        Ok(_) => Err(Error::NoAnswer),
        Err(Error::Refused(refusal @ Refusal::Statement(_))) => {
            Err(NotAllowed::Refused(refusal).into())
        }
        // A vault that takes no writes is helped by disks alone, and cannot write down who brings them.
        Err(Error::Refused(refusal @ (Refusal::ReadOnly(_) | Refusal::Full)))
            if matches!(ask, Ask::Join(_)) =>
        {
            let signed = verified(&session.text, &[signature]);
            let (_, signatures) = signed.map_err(|why| NotAllowed::Refused(why.into()))?;
            if signatures.iter().any(|one| counts(one, said, view)) {
                tracing::warn!(
                    person = said.by.as_str(),
                    "somebody acts, and the log cannot take it"
                );
                Ok(())
            } else {
                Err(NotAllowed::Refused(refusal).into())
            }
        }
        Err(Error::Refused(refusal)) => Err(Error::NotDone(refusal)),
        Err(error) => Err(error),
    }
}

/// Whether a signature is by an active key of the active person who says it.
fn counts(signature: &Verified, said: &Said, view: &PeopleView) -> bool {
    let key = signature.key();
    let touched = signature.user_present() && signature.user_verified();
    let strong = match key.key_type() {
        KeyType::Plain => view.policies.plain_keys,
        _ => touched,
    };
    let active = view.persons.iter().any(|person| {
        let of_person = person.keys.iter().any(|known| {
            known.standing == Standing::Active && known.fingerprint == key.fingerprint()
        });
        person.name == said.by && person.standing == Standing::Active && of_person
    });
    strong && active
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_answers_cost_nothing_up_to_five_and_then_twice_as_much_each_time() {
        for (count, expected) in [
            (0, None),
            (4, None),
            (5, Some(1_000)),
            (6, Some(2_000)),
            (9, Some(16_000)),
            (17, Some(WRONG_WAIT_MS_MAX)),
            (u32::MAX, Some(WRONG_WAIT_MS_MAX)),
        ] {
            assert_eq!(wait_ms(count), expected, "{count}");
        }
    }

    #[test]
    fn a_challenge_is_good_once_and_the_oldest_goes_first() {
        let guard = Guard::default();
        let push = |byte: u8| {
            let mut open = guard.open.lock().expect("locked");
            open.push_back(([byte; 32], Instant::now()));
        };
        push(1);
        assert!(!guard.take(&Nonce([2; 32])));
        assert!(guard.take(&Nonce([1; 32])));
        assert!(!guard.take(&Nonce([1; 32])), "used");
    }

    #[test]
    fn the_third_wrong_answer_alarms_the_fifth_waits_and_a_right_one_forgives() {
        let guard = Guard::default();
        let key = "SHA256:k";
        for count in 1..=5 {
            assert!(guard.check_wait(key).is_ok(), "{count}");
            guard.count(key.to_owned());
            assert_eq!(guard.alarms().is_empty(), count < 3, "{count}");
        }
        assert!(matches!(
            guard.check_wait(key),
            Err(Error::NotAllowed(NotAllowed::LockedOut { wrong: 5, .. }))
        ));
        assert!(guard.check_wait("SHA256:other").is_ok());
        guard.forgive(key);
        assert!(guard.check_wait(key).is_ok());
        assert!(guard.alarms().is_empty());
    }
}
