//! Rust source with comments and literals blanked out, so that a rule sees only code.
//!
//! Line breaks stay where they are: a place in the result is a place in the file.

/// The code of a source text; comments, strings and character literals become spaces.
pub fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => block_end(&chars, at),
            ('"', _) => string_end(&chars, at + 1),
            ('r', Some('"' | '#')) if starts_token(&chars, at) => raw_end(&chars, at),
            ('\'', _) => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

fn starts_token(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| chars.get(before));
    !before.is_some_and(|&c| (c.is_alphanumeric() && c != 'b' && c != 'c') || c == '_')
}

fn line_end(chars: &[char], at: usize) -> usize {
    (at..chars.len())
        .find(|&i| chars[i] == '\n')
        .unwrap_or(chars.len())
}

fn block_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of `r"..."` or `r#"..."#`; `at` itself when this is a raw identifier.
fn raw_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let closes = |i: usize| {
        chars[i] == '"'
            && chars.len() > i + hashes
            && chars[i + 1..=i + hashes].iter().all(|&c| c == '#')
    };
    (open + 1..chars.len())
        .find(|&i| closes(i))
        .map_or(chars.len(), |i| i + 1 + hashes)
}

/// The end of a character literal; `at` itself when this is a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => (at + 3..chars.len())
            .find(|&i| chars[i] == '\'')
            .map_or(chars.len(), |i| i + 1),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// True when the text holds the word, not merely as a part of a longer one.
pub fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, word: &str, seen: bool) {
        assert_eq!(has_word(&code_only(text), word), seen, "{text}");
    }

    #[test]
    fn words_in_comments_and_literals_are_not_code() {
        check("unsafe { x() }", "unsafe", true);
        check("// unsafe\nfn f() {}", "unsafe", false);
        check("/* a /* unsafe */ b */ fn f() {}", "unsafe", false);
        check("let a = \"\\\" unsafe\";", "unsafe", false);
        check("let a = r#\"\" unsafe\"#;", "unsafe", false);
        check("let a = br\"unsafe\";", "unsafe", false);
        check("#![forbid(unsafe_code)]", "unsafe", false);
    }

    #[test]
    fn code_behind_literals_is_still_seen() {
        check("let a = '\"'; unsafe {}", "unsafe", true);
        check("let a = '\\''; unsafe {}", "unsafe", true);
        check("fn f<'a>(x: &'a u8) { unsafe {} }", "unsafe", true);
        check("let r#type = 1; unsafe {}", "unsafe", true);
        check("let a = r\"\\\"; unsafe {}", "unsafe", true);
    }

    #[test]
    fn lines_stay_lines() {
        let text = "a /* 1\n2 */ b \"x\ny\"\nc";
        assert_eq!(code_only(text).lines().count(), text.lines().count());
    }
}
