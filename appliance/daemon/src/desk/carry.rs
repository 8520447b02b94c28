//! What an executed request or a recorded hold does, piece by piece to the end. Every piece may be asked for
//! again: what is done is done once.

use std::collections::BTreeMap;
use std::time::Duration;

use stele_format::statement::{Act, Cut};
use stele_format::units::LogIndex;
use stele_store::policy::approval::RequestState;
use stele_store::request::{Answer, Command, Effect, Refusal};

use super::report::kept_words;
use super::{Desk, NotStated};
use crate::control::desk::CarriedOut;
use crate::error::{Error, Outcome};
use crate::limits::{BUSY_PAUSE_MS, CUT_LOOK_PAUSE_MS, FORCE_LOOK_COUNT_MAX};

impl Desk {
    /// Carries out what a record allows, to the end.
    pub(super) fn carry_out(&self, record: u64) -> Outcome<CarriedOut> {
        let _alone = self.alone();
        let view = self.people()?;
        let index = LogIndex::new(record);
        if view.cases.iter().any(|case| case.statement == index) {
            return self.place_holds(index);
        }
        let found = view.requests.into_iter().find(|one| one.request == index);
        let request = found.ok_or(NotStated::NoRequest(record))?;
        match (request.state, &request.act) {
            // The engine does these by itself, and may have done so before it is asked.
            (RequestState::Executing | RequestState::Executed, Act::LogKey { .. }) => {
                self.log_key(index)
            }
            (
                RequestState::Executing | RequestState::Executed,
                Act::Grant(_) | Act::LowerDefault { .. } | Act::Clock { .. },
            ) => self.enacted(index),
            // What is about people alone took effect with its execution.
            (RequestState::Executed, _) => Ok(CarriedOut {
                complete: true,
                ..CarriedOut::default()
            }),
            (RequestState::Executing, Act::Erase(erase)) => {
                let month = matches!(erase.cut, Cut::Month(_));
                self.destroy(index, month)
            }
            (RequestState::Executing, Act::ReleaseHold(_)) => self.release_holds(index),
            (RequestState::Executing, Act::Reinitialise { disk, .. }) => Ok(CarriedOut {
                complete: false,
                versions: 0,
                words: vec![format!(
                    "plug in what was disk {disk} and run: stele disk reinitialise --request {index} PATH"
                )],
            }),
            (RequestState::Executing, _) => self.enacted(index),
            (state, _) => Err(NotStated::NotExecuted {
                request: record,
                state: state.name(),
            }
            .into()),
        }
    }

    /// Asks until the engine has room for it, and again where it was started again meanwhile: a piece that was done is
    /// not done twice.
    pub(super) fn patiently(&self, mut command: impl FnMut() -> Command) -> Outcome<Answer> {
        loop {
            match self.ask(&mut command) {
                Err(Error::NotDone(Refusal::Busy | Refusal::Undecided)) => {
                    std::thread::sleep(Duration::from_millis(BUSY_PAUSE_MS));
                }
                answer => return answer,
            }
        }
    }

    fn destroy(&self, request: LogIndex, month: bool) -> Outcome<CarriedOut> {
        let mut words = Vec::new();
        if month {
            let moved = self.rehome(request)?;
            if moved > 0 {
                words.push(format!(
                    "{moved} versions of the month stay, under keys of a later month"
                ));
            }
        }
        let mut destroyed = 0;
        let mut kept: BTreeMap<String, u64> = BTreeMap::new();
        for ordinal in 0.. {
            let mut answer = self.patiently(|| Command::Tombstone { request, ordinal });
            // What was kept of the list stays in the month as well.
            if matches!(answer, Err(Error::NotDone(Refusal::MonthLives))) {
                self.rehome(request)?;
                answer = self.patiently(|| Command::Tombstone { request, ordinal });
            }
            let answer = answer?;
            let Answer::Tombstoned(piece) = answer else {
                return Err(Error::NoAnswer);
            };
            destroyed += u64::from(piece.destroyed);
            for (_, why) in piece.kept {
                *kept.entry(kept_words(why)).or_default() += 1;
            }
            if piece.last {
                break;
            }
        }
        words.push(format!("{destroyed} versions were destroyed"));
        let stays = kept.into_iter();
        words.extend(stays.map(|(why, count)| format!("{count} versions are kept: {why}")));
        let effect = self.wait_for(request, |effect| effect.keys_cut.is_some())?;
        words.push(match effect.as_ref().and_then(|effect| effect.keys_cut) {
            Some((index, _)) => format!("their keys are cut (record {index})"),
            None => "their keys are not cut yet; the next start cuts them".to_owned(),
        });
        Ok(CarriedOut {
            complete: effect.is_some(),
            versions: destroyed,
            words,
        })
    }

    fn rehome(&self, request: LogIndex) -> Outcome<u64> {
        let (mut moved, mut after) = (0, None);
        loop {
            let answer = self.patiently(|| Command::Rehome {
                request,
                after: after.clone(),
            })?;
            let Answer::Rehomed { versions, resume } = answer else {
                return Err(Error::NoAnswer);
            };
            moved += u64::from(versions);
            if resume.is_none() {
                return Ok(moved);
            }
            after = resume;
        }
    }

    fn place_holds(&self, statement: LogIndex) -> Outcome<CarriedOut> {
        let place = |ordinal| Command::PlaceHolds { statement, ordinal };
        let versions = self.holds(place)?;
        Ok(CarriedOut {
            complete: true,
            versions,
            words: vec![format!("{versions} versions were put under legal hold")],
        })
    }

    fn release_holds(&self, request: LogIndex) -> Outcome<CarriedOut> {
        let release = |ordinal| Command::ReleaseHolds { request, ordinal };
        let versions = self.holds(release)?;
        Ok(CarriedOut {
            complete: true,
            versions,
            words: vec![format!("the legal hold of {versions} versions was lifted")],
        })
    }

    fn holds(&self, command: impl Fn(u32) -> Command) -> Outcome<u64> {
        let mut changed = 0;
        for ordinal in 0.. {
            let Answer::Held { versions, last } = self.patiently(|| command(ordinal))? else {
                return Err(Error::NoAnswer);
            };
            changed += u64::from(versions);
            if last {
                break;
            }
        }
        Ok(changed)
    }

    fn enacted(&self, request: LogIndex) -> Outcome<CarriedOut> {
        let effect = self.wait_for(request, |effect| effect.enacted.is_some())?;
        Ok(CarriedOut {
            complete: effect.is_some(),
            versions: 0,
            words: vec![match effect {
                Some(_) => "it is in force".to_owned(),
                None => "it is not in force yet; the next start goes on with it".to_owned(),
            }],
        })
    }

    /// The new key, and the first checkpoint that both keys signed: who keeps the old one needs it.
    fn log_key(&self, request: LogIndex) -> Outcome<CarriedOut> {
        let mut done = self.enacted(request)?;
        let first = self.link.status_now()?.first_checkpoint;
        let shown = first.map(|text| format!("both keys signed this; keep it:\n{text}"));
        done.words.extend(shown.filter(|_| done.complete));
        Ok(done)
    }

    pub(super) fn effect(&self, request: LogIndex) -> Outcome<Box<Effect>> {
        match self.ask(|| Command::Effect { request })? {
            Answer::Effect(effect) => Ok(effect),
            _ => Err(Error::NoAnswer),
        }
    }

    /// Looks again and again, with a bound; none if it does not come.
    fn wait_for(
        &self,
        request: LogIndex,
        done: impl Fn(&Effect) -> bool,
    ) -> Outcome<Option<Box<Effect>>> {
        for _ in 0..FORCE_LOOK_COUNT_MAX {
            let effect = self.effect(request)?;
            if done(&effect) {
                return Ok(Some(effect));
            }
            std::thread::sleep(Duration::from_millis(CUT_LOOK_PAUSE_MS));
        }
        Ok(None)
    }
}
