//! Lines of a statement: a name, one space, a value, LF.

use core::fmt::{Display, Write};

use super::StatementError;
use super::words::Word;

/// Takes lines from the front of a text.
pub(super) struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The next line has this name: its value.
    pub(super) fn value(&mut self, name: &'static str) -> Result<&'a str, StatementError> {
        let (line, rest) = self
            .rest
            .split_once('\n')
            .ok_or(StatementError::Missing(name))?;
        let value = line
            .strip_prefix(name)
            .and_then(|value| value.strip_prefix(' '))
            .ok_or(StatementError::Missing(name))?;
        self.rest = rest;
        Ok(value)
    }

    /// The next line has this name and a value of this type.
    pub(super) fn word<T: Word>(&mut self, name: &'static str) -> Result<T, StatementError> {
        T::read(self.value(name)?).ok_or(StatementError::Value(name))
    }

    /// Whether the next line has this name.
    pub(super) fn is_next(&self, name: &str) -> bool {
        self.rest
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    }

    /// All next lines of this name. The text has a limit, so there are not many.
    pub(super) fn words<T: Word>(&mut self, name: &'static str) -> Result<Vec<T>, StatementError> {
        let mut found = Vec::new();
        while self.is_next(name) {
            found.push(self.word(name)?);
        }
        Ok(found)
    }

    pub(super) const fn end(&self) -> Result<(), StatementError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(StatementError::Trailing)
        }
    }
}

/// Appends a line.
pub(super) fn put(out: &mut String, name: &str, value: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name} {value}");
}
