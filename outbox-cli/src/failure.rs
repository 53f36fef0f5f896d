//! The end of a command: its exit code, and the message of a failure.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | fine |
//! | 1 | there is something to look at |
//! | 2 | the command could not do its work |

use std::error::Error;
use std::io;

use outbox_import::ImportError;
use outbox_runtime::{EnqueueError, StoreError, StoreErrorKind};

pub(crate) type Outcome = Result<Verdict, Failure>;

/// How a command ended that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// There is something to look at.
    LookAt,
}

impl Verdict {
    pub(crate) fn look_at(is_to_look_at: bool) -> Self {
        match is_to_look_at {
            true => Self::LookAt,
            false => Self::Fine,
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of the output has seen enough, which is no failure.
    ClosedPipe,
    Message(String),
}

impl Failure {
    /// The exit code of every failure.
    pub(crate) const CODE: u8 = 2;

    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// The text of an error without the operation, which is one of the library's.
    pub(crate) fn text_of(error: &StoreError) -> String {
        let text = error.to_string();
        let prefix = format!("{}: ", error.operation());
        text.strip_prefix(&prefix).unwrap_or(&text).to_owned()
    }

    /// The error of an import with its causes.
    pub(crate) fn of_import(error: &ImportError) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::new(text)
    }

    /// A failed write to `target`.
    pub(crate) fn writing(target: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::new(format!("cannot write to {target}: {error}")),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = Self::text_of(&error);
        Self::new(match error.kind() {
            StoreErrorKind::NotInstalled => {
                format!("{text} (see `outbox migrate status`)")
            }
            // The advice of the library is for applications.
            StoreErrorKind::NotADatabase => {
                let fact = text.split_once(';').map_or(text.as_str(), |(fact, _)| fact);
                format!("{fact}, or one that is encrypted, which this command cannot read")
            }
            _ => text,
        })
    }
}

impl From<EnqueueError> for Failure {
    fn from(error: EnqueueError) -> Self {
        Self::new(error.to_string())
    }
}
