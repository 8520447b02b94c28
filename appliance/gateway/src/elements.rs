//! How many elements a document has, counted before it is parsed: one of seven bytes becomes hundreds in memory.

use crate::body::BodyFault;
use crate::limits::{
    DELETE_KEYS_MAX, DOCUMENT_ELEMENTS_MAX, ELEMENTS_PER_ITEM_MAX, PART_NUMBER_MAX,
};

/// Of what a document may have how many.
struct Items {
    name: &'static [u8],
    count_max: usize,
    refused: &'static str,
}

const TOO_MANY: &str = "the document has too many elements";

/// By the name of its root, as S3 has them.
fn items(root: &[u8]) -> Option<Items> {
    match root {
        b"CompleteMultipartUpload" => Some(Items {
            name: b"Part",
            count_max: usize::from(PART_NUMBER_MAX),
            refused: "between 1 and 10000 parts must be named",
        }),
        b"Delete" => Some(Items {
            name: b"Object",
            count_max: DELETE_KEYS_MAX,
            refused: "between 1 and 1000 keys must be named",
        }),
        _ => None,
    }
}

/// Refuses a document with more elements than any request needs.
pub(crate) fn check_elements(document: &[u8]) -> Result<(), BodyFault> {
    let mut elements = starts(document);
    let items = elements.next().and_then(items);
    let elements_max = items.as_ref().map_or(DOCUMENT_ELEMENTS_MAX, |items| {
        items.count_max * ELEMENTS_PER_ITEM_MAX
    });
    let mut of_items = 0;
    for (number, name) in elements.enumerate() {
        if number >= elements_max {
            return Err(BodyFault::Malformed(TOO_MANY));
        }
        let Some(items) = items.as_ref().filter(|items| items.name == name) else {
            continue;
        };
        of_items += 1;
        if of_items > items.count_max {
            return Err(BodyFault::Malformed(items.refused));
        }
    }
    Ok(())
}

/// The names of all elements without their prefixes; of what stands in comments too, which nobody needs.
fn starts(document: &[u8]) -> impl Iterator<Item = &[u8]> {
    let tags = document.split(|byte| *byte == b'<').skip(1);
    let elements = tags.filter(|tag| !matches!(tag.first(), None | Some(b'/' | b'!' | b'?')));
    elements.map(|tag| {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
        let name = tag.split(ends).next().unwrap_or_default();
        name.rsplit(|byte| *byte == b':').next().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(root: &str, item: &str, count: usize) -> Result<(), BodyFault> {
        let document = format!(
            "<?xml version=\"1.0\"?><{root}>{}</{root}>",
            item.repeat(count)
        );
        check_elements(document.as_bytes())
    }

    #[test]
    fn as_many_items_as_s3_allows_pass_and_one_more_does_not() {
        let part = "<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag><ChecksumSHA256/></Part>";
        let prefixed = "<s:Object\n a='b'><s:Key>k</s:Key></s:Object>";
        for (root, item, most) in [
            (
                "CompleteMultipartUpload",
                part,
                usize::from(PART_NUMBER_MAX),
            ),
            (
                "CompleteMultipartUpload xmlns=\"a\"",
                "<Part/>",
                usize::from(PART_NUMBER_MAX),
            ),
            (
                "Delete",
                "<Object><Key>k</Key><VersionId>1</VersionId></Object>",
                DELETE_KEYS_MAX,
            ),
            ("s:Delete", prefixed, DELETE_KEYS_MAX),
        ] {
            assert_eq!(checked(root, item, most), Ok(()), "{item}");
            assert!(checked(root, item, most + 1).is_err(), "{item}");
        }
    }

    #[test]
    fn elements_that_are_no_items_are_counted_as_well() {
        let many = DELETE_KEYS_MAX * ELEMENTS_PER_ITEM_MAX;
        assert_eq!(checked("Delete", "<Quiet/>", many), Ok(()));
        assert!(checked("Delete", "<Quiet/>", many + 1).is_err());
        let most = DOCUMENT_ELEMENTS_MAX;
        assert_eq!(checked("LifecycleConfiguration", "<Rule/>", most), Ok(()));
        assert!(checked("LifecycleConfiguration", "<Rule/>", most + 1).is_err());
        assert!(checked("Tagging", "<Tag></Tag>", most + 1).is_err());
    }

    #[test]
    fn whatever_is_no_document_passes_to_whoever_says_what_is_wrong() {
        for text in ["", "<", "a", "<<<", "</a>", "<!-- a -->", "<:>", "< a>"] {
            assert_eq!(check_elements(text.as_bytes()), Ok(()), "{text}");
        }
    }
}
