//! Versions that go by the lifecycle rules of their bucket: a bucket is looked through once for each day of the
//! vault's clock and once for new rules, and each version that is due goes by a question of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_format::units::BucketId;
use stele_store::policy::lifecycle::takes_versions;
use stele_store::policy::{LifecycleRule, Refusal as Policy};
use stele_store::request::{Answer, BucketInfo, Command, Expiring, ObjectName, Refusal, Walked};

use crate::error::{Error, Outcome};

/// What came of a look.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Versions that were hidden or released.
    pub count: u64,
    /// Versions that are due and locked or held.
    pub locked: u64,
    /// Why the rest of some bucket waits for the next look.
    pub waits: Option<Refusal>,
}

/// When a bucket was last looked through to its end, and by which rules.
struct Looked {
    day: u64,
    rules: Arc<Vec<LifecycleRule>>,
}

/// Which buckets were looked through.
#[derive(Default)]
pub(super) struct Versions {
    looked: BTreeMap<BucketId, Looked>,
}

impl Versions {
    /// Has all versions go that are due, until it is `over`. What is refused waits for the next look.
    ///
    /// # Errors
    /// The engine gives no answer.
    pub(super) fn expire(
        &mut self,
        ask: &mut impl FnMut(&mut dyn FnMut() -> Command) -> Outcome<Answer>,
        over: &impl Fn() -> bool,
    ) -> Outcome<Gone> {
        let Answer::Buckets(buckets) = ask(&mut || Command::ListBuckets)? else {
            return Err(Error::NoAnswer);
        };
        self.looked
            .retain(|id, _| buckets.iter().any(|bucket| bucket.id == *id));
        let mut gone = Gone::default();
        let acts = |rule: &LifecycleRule| !rule.disabled && takes_versions(rule);
        for bucket in buckets {
            if over() {
                break;
            }
            if !bucket.lifecycle.iter().any(acts) {
                continue;
            }
            match self.look(&bucket, ask, over, &mut gone) {
                Err(Error::Refused(refusal)) => gone.waits = Some(refusal),
                other => other?,
            }
        }
        Ok(gone)
    }

    fn look(
        &mut self,
        bucket: &BucketInfo,
        ask: &mut impl FnMut(&mut dyn FnMut() -> Command) -> Outcome<Answer>,
        over: &impl Fn() -> bool,
        gone: &mut Gone,
    ) -> Outcome<()> {
        let rules = &bucket.lifecycle;
        let known = self.looked.get(&bucket.id);
        let done = known.filter(|known| known.rules == *rules);
        let done = done.map(|known| known.day);
        let (mut after, mut first): (Option<Walked>, Option<u64>) = (None, None);
        loop {
            if over() {
                return Ok(());
            }
            let answer = ask(&mut || Command::ListExpiring {
                bucket: bucket.name.clone(),
                after: after.clone(),
                done,
            })?;
            let Answer::Expiring {
                due,
                locked,
                day,
                next,
            } = answer
            else {
                return Err(Error::NoAnswer);
            };
            gone.locked += locked;
            let day = *first.get_or_insert(day);
            for one in due {
                if over() {
                    return Ok(());
                }
                take(&bucket.name, &one, ask, gone)?;
            }
            after = next;
            if after.is_none() {
                let rules = Arc::clone(rules);
                self.looked.insert(bucket.id, Looked { day, rules });
                return Ok(());
            }
        }
    }
}

fn take(
    bucket: &str,
    one: &Expiring,
    ask: &mut impl FnMut(&mut dyn FnMut() -> Command) -> Outcome<Answer>,
    gone: &mut Gone,
) -> Outcome<()> {
    let asked = ask(&mut || Command::Expire {
        name: ObjectName {
            bucket: bucket.to_owned(),
            key: one.key.clone(),
        },
        version: one.version,
        next: one.next,
    });
    match asked {
        Ok(_) => gone.count += 1,
        // It was locked since.
        Err(Error::Refused(Refusal::Policy(Policy::Locked { .. } | Policy::Held))) => {
            gone.locked += 1;
        }
        // A client was faster, or the rule went.
        Err(Error::Refused(Refusal::Policy(Policy::NotDue))) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use stele_format::units::{UnixMillis, VersionId};
    use stele_store::policy::{BucketKind, CurrentExpiry, FilterForm, OwnerId};

    use super::*;

    fn bucket(name: &str, disabled: bool, prefix: &str) -> BucketInfo {
        let rule = LifecycleRule {
            id: "r".to_owned(),
            form: FilterForm::Prefix,
            prefix: prefix.as_bytes().to_vec(),
            bytes_min: 0,
            bytes_below: 0,
            disabled,
            upload_days: None,
            current: Some(CurrentExpiry::Days(1)),
            noncurrent: None,
        };
        BucketInfo {
            id: BucketId::new([name.as_bytes()[0]; 16]),
            name: name.to_owned(),
            kind: BucketKind::ClientLocked,
            created: UnixMillis::ZERO,
            default: None,
            rules: Arc::default(),
            lifecycle: Arc::new(vec![rule]),
            max_days: None,
            owner: OwnerId::default(),
        }
    }

    fn walked(key: u8) -> Walked {
        Walked {
            key: vec![key],
            version: VersionId::from_bytes([key; 16]),
            stored: UnixMillis::ZERO,
            noncurrent: 0,
            lone: false,
        }
    }

    fn due(keys: &[u8]) -> Vec<Expiring> {
        let one = |key: &u8| Expiring {
            key: vec![*key],
            version: VersionId::from_bytes([*key; 16]),
            next: None,
        };
        keys.iter().map(one).collect()
    }

    /// A vault on a day with two buckets of two pages each and one whose rule does not count; it notes what it
    /// listed and took.
    struct Vault {
        day: u64,
        prefix: &'static str,
        full: bool,
        listed: Vec<(String, u8)>,
        taken: Vec<u8>,
    }

    impl Vault {
        fn new() -> Self {
            Self {
                day: 7,
                prefix: "",
                full: false,
                listed: Vec::new(),
                taken: Vec::new(),
            }
        }

        fn answer(&mut self, command: Command) -> Outcome<Answer> {
            match command {
                Command::ListBuckets => Ok(Answer::Buckets(vec![
                    bucket("a", false, self.prefix),
                    bucket("b", false, ""),
                    bucket("off", true, ""),
                ])),
                Command::ListExpiring {
                    bucket,
                    after,
                    done,
                } => {
                    let day = self.day;
                    if done == Some(day) {
                        let (due, locked, next) = (Vec::new(), 0, None);
                        return Ok(Answer::Expiring {
                            due,
                            locked,
                            day,
                            next,
                        });
                    }
                    let page = after.map_or(1, |after| after.key[0] + 1);
                    self.listed.push((bucket, page));
                    let (due, locked, next) = match page {
                        1 => (due(&[1, 2]), 5, Some(walked(1))),
                        _ => (due(&[3, 4]), 0, None),
                    };
                    Ok(Answer::Expiring {
                        due,
                        locked,
                        day,
                        next,
                    })
                }
                Command::Expire { name, .. } => match name.key[0] {
                    _ if self.full && name.bucket == "a" => Err(Error::Refused(Refusal::Full)),
                    1 => Err(Error::Refused(Refusal::Policy(Policy::Held))),
                    3 => Err(Error::Refused(Refusal::Policy(Policy::NotDue))),
                    key => {
                        self.taken.push(key);
                        Ok(Answer::Done)
                    }
                },
                other => panic!("unexpected {other:?}"),
            }
        }

        fn look(&mut self, versions: &mut Versions, over: &impl Fn() -> bool) -> Gone {
            self.listed.clear();
            self.taken.clear();
            let ask = &mut |command: &mut dyn FnMut() -> Command| self.answer(command());
            versions.expire(ask, over).expect("answers")
        }
    }

    #[test]
    fn a_bucket_is_looked_through_once_a_day_and_for_new_rules() {
        let (mut versions, mut vault) = (Versions::default(), Vault::new());
        let (a, b) = ([("a", 1), ("a", 2)], [("b", 1), ("b", 2)]);
        for (name, day, prefix, expected) in [
            ("first", 7, "", [a, b].concat()),
            ("the same day", 7, "", vec![]),
            ("the next", 8, "", [a, b].concat()),
            ("other rules of one", 8, "p", a.to_vec()),
            ("the same rules", 8, "p", vec![]),
        ] {
            (vault.day, vault.prefix) = (day, prefix);
            let gone = vault.look(&mut versions, &|| false);
            let listed: Vec<(&str, u8)> = vault
                .listed
                .iter()
                .map(|(bucket, page)| (bucket.as_str(), *page))
                .collect();
            assert_eq!(listed, expected, "{name}");
            let buckets = listed.len() as u64 / 2;
            // Two of each went, one was held since, and five were locked.
            assert_eq!(
                (gone.count, gone.locked),
                (2 * buckets, 6 * buckets),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_refused_waits_and_other_buckets_do_not() {
        let (mut versions, mut vault) = (Versions::default(), Vault::new());
        vault.full = true;
        let gone = vault.look(&mut versions, &|| false);
        assert!(matches!(gone.waits, Some(Refusal::Full)));
        assert_eq!(vault.taken, [2, 4]);
        vault.full = false;
        let gone = vault.look(&mut versions, &|| false);
        assert_eq!(vault.listed.len(), 2, "the other was looked through");
        assert_eq!(gone.count, 2);
    }

    /// However often it is asked: a stop ends all buckets and pages, and what was cut off begins again.
    #[test]
    fn a_look_that_is_over_ends_at_once_and_begins_again() {
        for looks in 0..12 {
            let (mut versions, mut vault) = (Versions::default(), Vault::new());
            let asked = Cell::new(0);
            let over = || {
                asked.set(asked.get() + 1);
                asked.get() > looks
            };
            vault.look(&mut versions, &over);
            assert!(asked.get() <= looks + 2, "it went on after {looks}");
            // What was not looked through to its end is looked through again.
            let looked = versions.looked.len();
            vault.look(&mut versions, &|| false);
            assert_eq!(vault.listed.len(), 2 * (2 - looked), "{looks}");
        }
    }
}
