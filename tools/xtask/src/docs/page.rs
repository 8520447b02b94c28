//! A page of the documentation as a script: its fenced blocks, in order.
//!
//! ` ```sh ` is executed; ` ```sh refused ` must fail; a ` ```text ` directly behind one of them is
//! what it prints, where `...` stands for anything. Other blocks are only for reading.

use crate::failure::{Failure, Outcome, ensure};
use std::fmt::Write;
use std::path::Path;

/// What is executed at once, and what has to come of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Where its commands begin, counted from 1.
    pub line: usize,
    /// The commands.
    pub commands: String,
    /// They must fail.
    pub refused: bool,
    /// What they print.
    pub expected: Option<String>,
}

/// The executable blocks of a page. Fails on a fence that does not end or means nothing.
pub fn blocks(text: &str) -> Outcome<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = (1..).zip(text.lines());
    // Whether the last fenced block was one to execute.
    let mut speaks = false;
    while let Some((line, fence)) = lines.next() {
        let Some(kind) = fence.strip_prefix("```") else {
            continue;
        };
        let mut body = String::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some((_, inside)) => body = body + inside + "\n",
                None => return Err(Failure::new(format!("line {line}: the fence never ends"))),
            }
        }
        match kind.trim() {
            "sh" | "sh refused" => blocks.push(Block {
                line: line + 1,
                commands: body,
                refused: kind.trim() == "sh refused",
                expected: None,
            }),
            "text" => {
                ensure(speaks, || {
                    format!("line {line}: nothing was executed before this output")
                })?;
                let last = blocks.last_mut();
                last.expect("an executed block came before").expected = Some(body);
            }
            other => ensure(other.starts_with("for reading"), || {
                format!("line {line}: a block of kind '{other}' is neither sh nor text")
            })?,
        }
        speaks = kind.starts_with("sh");
    }
    Ok(blocks)
}

/// The blocks as one shell script that leaves what each printed in `out.N` of this directory and
/// the number of the one it has come to in `step`.
pub fn script(blocks: &[Block], directory: &Path) -> String {
    let mut script = "set -eu\n".to_owned();
    let at = |name: &str| format!("'{}'", directory.join(name).display());
    for (number, block) in blocks.iter().enumerate() {
        let (out, commands) = (at(&format!("out.{number}")), &block.commands);
        // Writing to a String cannot fail.
        let _ = writeln!(script, "echo {number} >{}", at("step"));
        let _ = match block.refused {
            false => writeln!(script, "{{\n{commands}}} >{out} 2>&1"),
            true => writeln!(script, "if (\n{commands}) >{out} 2>&1; then exit 99; fi"),
        };
    }
    script
}

/// Whether a text is as expected, where `...` stands for anything.
pub fn matches(expected: &str, text: &str) -> bool {
    let mut pieces = expected.trim().split("...").map(str::trim);
    let Some(mut rest) = text.trim().strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_with_what_they_print() {
        let page = "# A\n```sh\necho a\necho b\n```\n```text\na\nb\n```\nwords\n```sh refused\nfalse\n```\n";
        let read = blocks(page).unwrap();
        let first = Block {
            line: 3,
            commands: "echo a\necho b\n".to_owned(),
            refused: false,
            expected: Some("a\nb\n".to_owned()),
        };
        assert_eq!(read[0], first);
        assert!(read[1].refused && read[1].expected.is_none());
    }

    #[test]
    fn blocks_that_nobody_runs_are_an_error() {
        assert!(blocks("```bash\nfalse\n```\n").is_err());
        assert!(blocks("```\nfalse\n```\n").is_err());
        assert!(blocks("```text\nout of nothing\n```\n").is_err());
        assert!(blocks("```sh\nnever ends\n").is_err());
        assert!(
            blocks("```for reading\nanything\n```\n")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn dots_stand_for_anything_and_nothing_else_does() {
        assert!(matches("a ... c\n", "a b b c"));
        assert!(matches("...\nend", "start\nmiddle\nend\n"));
        assert!(matches("start\n...", "start\nmore"));
        assert!(matches("same", "same\n"));
        assert!(matches("a ... b ... c", "a 1 b 2 c"));
        assert!(!matches("same", "same but longer"));
        assert!(!matches("a ... c", "a b d"));
        assert!(!matches("a ... b ... c", "a 1 2 c"));
    }
}
