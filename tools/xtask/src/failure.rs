//! The one error of this tool: a sentence for the person who reads the run.
//!
//! Nothing here branches on a cause, so a text is all there is. Client output may be part of it;
//! secrets may not (see `command::Run::secrets`).

use std::fmt;
use std::path::Path;

/// Why a task or a test case did not succeed.
#[derive(Debug, Clone)]
pub struct Failure(String);

impl Failure {
    /// A failure with this explanation.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }

    /// A failed operation on a path.
    pub fn path(what: &str, path: &Path, error: &dyn fmt::Display) -> Failure {
        Failure(format!("{what} {}: {error}", path.display()))
    }

    /// The same failure with more to read below it.
    #[must_use]
    pub fn and(self, text: &str) -> Failure {
        Failure(format!("{}\n{text}", self.0))
    }

    /// The same failure, said from further out.
    #[must_use]
    pub fn within(self, context: &str) -> Failure {
        Failure(format!("{context}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure(format!("not the expected JSON: {error}"))
    }
}

/// What every step of this tool returns.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Fails with the text when the condition does not hold.
pub fn ensure(condition: bool, text: impl FnOnce() -> String) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(Failure(text()))
    }
}
