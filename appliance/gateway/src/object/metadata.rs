//! What is stored beside the content: headers, user metadata, tags. Everything here is derived from
//! what the client sent and never logged.

use hyper::header::{EXPIRES, HeaderMap, HeaderName, HeaderValue};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::error::invalid_argument;
use crate::limits::USER_METADATA_BYTES_MAX;
use crate::message::Metadata;
use crate::object::tagging;

/// Headers that are kept and given back with the content.
const KEPT: [&str; 5] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
];

/// Those of them that may have several lines, which mean a list.
const LISTS: [&str; 3] = ["cache-control", "content-encoding", "content-language"];

/// The only storage class there is.
pub(crate) const STORAGE_CLASS: &str = "STANDARD";

/// Beginning of the headers of user metadata.
const USER: &str = "x-amz-meta-";

/// What is stored of a head as it was written.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// User metadata, by name.
    pub user: Vec<(String, String)>,
    /// `Expires`.
    pub expires: Option<HeaderValue>,
}

/// Takes out of a head what the S3 library would change or refuse: user metadata, and an `Expires` that is no date.
pub(crate) fn take(headers: &mut HeaderMap) -> Taken {
    Taken {
        user: take_user(headers),
        expires: headers.remove(EXPIRES),
    }
}

/// One line of each list. The S3 library refuses several.
pub(crate) fn join_lines(headers: &mut HeaderMap) {
    for name in LISTS {
        let lines: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if lines.len() < 2 {
            continue;
        }
        if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b", "[..])) {
            headers.insert(name, joined);
        }
    }
}

/// The S3 library would decode words of RFC 2047 in user metadata, lose what stands between them and refuse what is
/// none; it only encodes what is not ASCII when it is given back.
fn take_user(headers: &mut HeaderMap) -> Vec<(String, String)> {
    let is_user = |name: &&HeaderName| name.as_str().starts_with(USER);
    let mut names: Vec<_> = headers.keys().filter(is_user).cloned().collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    let mut take = |name: HeaderName| {
        let value = text(headers.remove(&name)?.as_bytes());
        let name = name.as_str().strip_prefix(USER)?;
        (!name.is_empty()).then(|| (name.to_owned(), value))
    };
    names.into_iter().filter_map(&mut take).collect()
}

/// UTF-8, or Latin-1 as which HTTP was once written.
fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

/// Collects the metadata of an upload.
pub(crate) fn collect(
    headers: &HeaderMap,
    taken: &Taken,
    tags: Option<&str>,
) -> S3Result<Metadata> {
    let user = &taken.user;
    let bytes: usize = user.iter().map(|(n, v)| n.len() + v.len()).sum();
    if bytes > USER_METADATA_BYTES_MAX {
        return Err(S3Error::with_message(
            S3ErrorCode::MetadataTooLarge,
            format!("your metadata headers exceed {USER_METADATA_BYTES_MAX} bytes"),
        ));
    }
    Ok(Metadata {
        headers: kept(headers, taken.expires.as_ref())?,
        user: user.clone(),
        tags: tags.map_or(Ok(Vec::new()), tagging::parse)?,
        storage_class: STORAGE_CLASS.to_owned(),
    })
}

fn kept(headers: &HeaderMap, expires: Option<&HeaderValue>) -> S3Result<Vec<(String, String)>> {
    let mut kept = Vec::new();
    let given = KEPT.map(|name| (name, headers.get(name)));
    for (name, value) in given.into_iter().chain([("expires", expires)]) {
        let Some(value) = value else {
            continue;
        };
        let value = value
            .to_str()
            .map_err(|_| invalid_argument(format!("the header {name} is not plain text")))?;
        let value = match name {
            "content-encoding" => without_aws_chunked(value),
            _ => value.to_owned(),
        };
        if !value.is_empty() {
            kept.push((name.to_owned(), value));
        }
    }
    Ok(kept)
}

/// `aws-chunked` describes the transfer, not the content.
fn without_aws_chunked(value: &str) -> String {
    let others = value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    others
        .filter(|word| !word.eq_ignore_ascii_case("aws-chunked"))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_chunked_is_not_stored_as_an_encoding() {
        let check = |value, expected| assert_eq!(without_aws_chunked(value), expected, "{value}");
        check("aws-chunked", "");
        check("aws-chunked,gzip", "gzip");
        check("gzip, AWS-Chunked , br", "gzip,br");
        check("gzip", "gzip");
    }

    #[test]
    fn too_much_user_metadata_is_refused() {
        let user = |bytes| Taken {
            user: vec![("k".to_owned(), "v".repeat(bytes))],
            expires: None,
        };
        assert!(collect(&HeaderMap::new(), &user(USER_METADATA_BYTES_MAX - 1), None).is_ok());
        assert!(collect(&HeaderMap::new(), &user(USER_METADATA_BYTES_MAX), None).is_err());
    }

    #[test]
    fn user_metadata_is_taken_out_as_utf_8_or_latin_1() {
        let values: [(&str, &[u8]); 5] = [
            ("x-amz-meta-utf", b"Z\xc3\xbcrich"),
            ("x-amz-meta-latin", b"Z\xfcrich"),
            ("x-amz-meta-ascii", b"=?UTF-8?B?no?="),
            ("x-amz-meta-", b"nameless"),
            ("x-amz-acl", b"private"),
        ];
        let header = |(name, value): (&str, &[u8])| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_bytes(value).expect("a value"))
        };
        let mut headers: HeaderMap = values.into_iter().map(header).collect();
        let expected = [
            ("ascii", "=?UTF-8?B?no?="),
            ("latin", "Z\u{fc}rich"),
            ("utf", "Z\u{fc}rich"),
        ];
        let taken = take_user(&mut headers);
        assert!(
            taken
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .eq(expected)
        );
        assert!(headers.keys().eq(["x-amz-acl"]));
    }
}
