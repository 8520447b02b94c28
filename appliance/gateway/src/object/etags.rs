//! ETags that the conditions of requests name: one, several, or `*` for any.

use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Error, S3Result};

use crate::error::invalid_argument;

/// What no ETag of the vault is: they are strong and have no quotes.
const NO_ETAG: &str = "W/\"\"";

/// The ETags of one condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    Any,
    These(Vec<ETag>),
}

impl Tags {
    pub(crate) fn of(condition: Option<ETagCondition>) -> S3Result<Option<Self>> {
        match condition {
            None => Ok(None),
            Some(ETagCondition::Any) => Ok(Some(Self::Any)),
            Some(ETagCondition::ETag(tag)) => Ok(Some(Self::These(listed(tag)?))),
        }
    }

    /// Whether a strong ETag is among them, compared as `If-Match` does.
    pub(crate) fn match_strongly(&self, tag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|wanted| wanted.strong_cmp(tag)),
        }
    }

    /// Whether an ETag is among them, compared as `If-None-Match` does.
    pub(crate) fn match_weakly(&self, tag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|known| known.weak_cmp(tag)),
        }
    }

    /// As the `If-Match` of a write, for which the engine compares one value.
    pub(crate) fn into_match(self) -> S3Result<String> {
        match self {
            Self::Any => Ok("*".to_owned()),
            Self::These(tags) => {
                let strong = tags.into_iter().filter_map(ETag::into_strong);
                Ok(only(strong)?.unwrap_or_else(|| NO_ETAG.to_owned()))
            }
        }
    }

    /// As the `If-None-Match` of a write.
    pub(crate) fn into_none_match(self) -> S3Result<String> {
        match self {
            Self::Any => Ok("*".to_owned()),
            Self::These(tags) => {
                let values = tags.into_iter().map(ETag::into_value);
                only(values)?.ok_or_else(malformed)
            }
        }
    }
}

fn only(values: impl Iterator<Item = String>) -> S3Result<Option<String>> {
    let mut values: Vec<_> = values.collect();
    values.dedup();
    match values.len() {
        0 | 1 => Ok(values.pop()),
        _ => Err(invalid_argument(
            "If-Match and If-None-Match of a write name one ETag or *",
        )),
    }
}

fn malformed() -> S3Error {
    invalid_argument("a condition must list ETags or be *")
}

/// The S3 library takes a list for one ETag with quotes inside.
fn listed(tag: ETag) -> S3Result<Vec<ETag>> {
    if !tag.value().contains('"') {
        return Ok(vec![tag]);
    }
    let mark = match tag {
        ETag::Strong(_) => "",
        ETag::Weak(_) => "W/",
    };
    let text = format!("{mark}\"{}\"", tag.value());
    let mut rest = text.as_str();
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (value, after) = quoted
            .strip_prefix('"')
            .and_then(|quoted| quoted.split_once('"'))
            .ok_or_else(malformed)?;
        tags.push(match is_weak {
            true => ETag::Weak(value.to_owned()),
            false => ETag::Strong(value.to_owned()),
        });
        let blanks = [' ', '\t'];
        let after = after.trim_start_matches(blanks);
        if !after.is_empty() && !after.starts_with(',') {
            return Err(malformed());
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(header: &str) -> S3Result<Tags> {
        let condition = ETagCondition::parse_http_header(header.as_bytes());
        let condition = condition.map_err(|_| malformed())?;
        Ok(Tags::of(Some(condition))?.expect("a condition"))
    }

    #[test]
    fn a_condition_lists_any_number_of_etags() {
        let tag = ETag::Strong("b".to_owned());
        for (header, strongly, weakly) in [
            ("*", true, true),
            ("b", true, true),
            ("\"b\"", true, true),
            ("W/\"b\"", false, true),
            ("\"a\"", false, false),
            ("\"a\", \"b\"", true, true),
            ("\"b\",\"a\"", true, true),
            ("W/\"a\" , \"b\"", true, true),
            ("\"a\",,W/\"b\",\"c\"", false, true),
            ("\"a\", \"c\"", false, false),
        ] {
            let tags = tags(header).expect(header);
            let found = (tags.match_strongly(&tag), tags.match_weakly(&tag));
            assert_eq!(found, (strongly, weakly), "{header}");
        }
        for header in [
            "\"a\" \"b\"",
            "\"a\", b, \"c\"",
            "\"a\", *, \"b\"",
            "\"a\"b\"",
        ] {
            assert!(tags(header).is_err(), "{header}");
        }
    }

    #[test]
    fn a_write_depends_on_one_etag() {
        for (header, matching, none_matching) in [
            ("*", Some("*"), Some("*")),
            ("\"a\"", Some("a"), Some("a")),
            ("\"a\", \"a\"", Some("a"), Some("a")),
            ("W/\"a\"", Some(NO_ETAG), Some("a")),
            ("W/\"a\", \"b\"", Some("b"), None),
            ("\"a\", \"b\"", None, None),
        ] {
            let found = tags(header).and_then(Tags::into_match).ok();
            assert_eq!(found.as_deref(), matching, "{header}");
            let found = tags(header).and_then(Tags::into_none_match).ok();
            assert_eq!(found.as_deref(), none_matching, "{header}");
        }
    }
}
