//! Lifecycle rules, from the gateway's words to the engine's and back.

use stele_gateway::message as gateway;
use stele_store::policy::{CurrentExpiry, FilterForm, LifecycleRule, NoncurrentExpiry};

use super::key_up;

pub(super) fn down(rule: gateway::LifecycleRule) -> LifecycleRule {
    LifecycleRule {
        id: rule.id,
        form: match rule.form {
            gateway::FilterForm::Prefix => FilterForm::Prefix,
            gateway::FilterForm::Whole => FilterForm::Whole,
            gateway::FilterForm::FilterPrefix => FilterForm::FilterPrefix,
            gateway::FilterForm::FilterSize => FilterForm::FilterSize,
            gateway::FilterForm::AndPrefix => FilterForm::AndPrefix,
            gateway::FilterForm::AndSizes => FilterForm::AndSizes,
        },
        prefix: rule.prefix.into_bytes(),
        bytes_min: rule.bytes_min,
        bytes_below: rule.bytes_below,
        disabled: rule.disabled,
        upload_days: rule.upload_days,
        current: rule.current.map(|wish| match wish {
            gateway::CurrentExpiry::Days(days) => CurrentExpiry::Days(days),
            gateway::CurrentExpiry::From(at) => CurrentExpiry::From(at),
            gateway::CurrentExpiry::LoneMarker => CurrentExpiry::LoneMarker,
        }),
        noncurrent: rule.noncurrent.map(|wish| NoncurrentExpiry {
            days: wish.days,
            kept: wish.kept,
        }),
    }
}

pub(super) fn up(rule: &LifecycleRule) -> gateway::LifecycleRule {
    gateway::LifecycleRule {
        id: rule.id.clone(),
        form: match rule.form {
            FilterForm::Prefix => gateway::FilterForm::Prefix,
            FilterForm::Whole => gateway::FilterForm::Whole,
            FilterForm::FilterPrefix => gateway::FilterForm::FilterPrefix,
            FilterForm::FilterSize => gateway::FilterForm::FilterSize,
            FilterForm::AndPrefix => gateway::FilterForm::AndPrefix,
            FilterForm::AndSizes => gateway::FilterForm::AndSizes,
        },
        prefix: key_up(rule.prefix.clone()),
        bytes_min: rule.bytes_min,
        bytes_below: rule.bytes_below,
        disabled: rule.disabled,
        upload_days: rule.upload_days,
        current: rule.current.map(|wish| match wish {
            CurrentExpiry::Days(days) => gateway::CurrentExpiry::Days(days),
            CurrentExpiry::From(at) => gateway::CurrentExpiry::From(at),
            CurrentExpiry::LoneMarker => gateway::CurrentExpiry::LoneMarker,
        }),
        noncurrent: rule.noncurrent.map(|wish| gateway::NoncurrentExpiry {
            days: wish.days,
            kept: wish.kept,
        }),
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::UnixMillis;

    use super::*;

    #[test]
    fn every_rule_comes_back_as_it_went_down() {
        let forms = [
            gateway::FilterForm::Prefix,
            gateway::FilterForm::Whole,
            gateway::FilterForm::FilterPrefix,
            gateway::FilterForm::FilterSize,
            gateway::FilterForm::AndPrefix,
            gateway::FilterForm::AndSizes,
        ];
        let wishes = [
            None,
            Some(gateway::CurrentExpiry::Days(3)),
            Some(gateway::CurrentExpiry::From(UnixMillis::new(9))),
            Some(gateway::CurrentExpiry::LoneMarker),
        ];
        for (at, (form, current)) in forms
            .into_iter()
            .zip(wishes.into_iter().cycle())
            .enumerate()
        {
            let odd = at % 2 == 1;
            let rule = gateway::LifecycleRule {
                id: format!("rule {at}"),
                form,
                prefix: "wal/".to_owned(),
                bytes_min: 4,
                bytes_below: 7,
                disabled: odd,
                upload_days: odd.then_some(5),
                current,
                noncurrent: odd.then_some(gateway::NoncurrentExpiry { days: 1, kept: 2 }),
            };
            assert_eq!(up(&down(rule.clone())), rule);
        }
    }
}
