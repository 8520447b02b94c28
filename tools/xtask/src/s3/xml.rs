//! Just enough XML to read S3 answers: the text of elements by name.

/// The text of the first element of this name, entities resolved.
pub fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).into_iter().next()
}

/// The content of every element of this name that holds none of the same name.
pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    let mut found = Vec::new();
    while let Some(start) = rest.find(&open) {
        rest = &rest[start + open.len()..];
        let Some(end) = rest.find(&close) else { break };
        found.push(unescape(&rest[..end]));
        rest = &rest[end + close.len()..];
    }
    found
}

fn unescape(text: &str) -> String {
    if text.contains('<') {
        return text.to_owned();
    }
    text.replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_elements_are_found_and_entities_resolved() {
        let xml = "<A><Key>a&amp;b</Key><B><Key>&quot;c&quot;</Key></B></A>";
        assert_eq!(elements(xml, "Key"), ["a&b", "\"c\""]);
        assert_eq!(
            element(xml, "B").as_deref(),
            Some("<Key>&quot;c&quot;</Key>")
        );
        assert_eq!(element(xml, "None"), None);
    }
}
