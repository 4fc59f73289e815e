//! What can go wrong, sorted by what the core does about it.

use std::fmt;

/// The result of anything asked of an engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the core does about an error. Decided from server codes, in one table per engine, never
/// from text; an unknown code is `Fatal`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing happened, and the same may work if tried again: a deadlock, a lock wait that timed
    /// out.
    Transient,
    /// A row of another key stands in the way in this unique index of the shadow (law 4).
    Stale {
        /// The unique index, or constraint, as the server names it.
        index: String,
    },
    /// A lock on the source could not be had within its time.
    Busy,
    /// The connection is gone, or what it held. Whether the statement took effect is not known.
    Disconnected,
    /// The log has left out changes of the source's rows, or may have: its publication, or a filter
    /// or setting it depends on, was changed. What was copied proves nothing any more, and the run
    /// begins anew.
    Missed,
    /// What was given cannot be read: a URL, a file that is named in it.
    Usage,
    /// The change cannot be done as asked; the server and its tables are as they were.
    Refused,
    /// Anything else: the run stops, the source is untouched.
    Fatal,
}

impl Kind {
    /// Whether the same may work later, on the same connection, and nothing was done.
    pub fn is_passing(&self) -> bool {
        match self {
            Kind::Transient | Kind::Stale { .. } => true,
            Kind::Busy
            | Kind::Disconnected
            | Kind::Missed
            | Kind::Usage
            | Kind::Refused
            | Kind::Fatal => false,
        }
    }
}

/// An error: its kind, what was attempted on which object, and what came of it. Holds no row value.
#[derive(Debug)]
pub struct Error {
    /// What the core does about it.
    pub kind: Kind,
    /// What was attempted, with the object's name: "copy a chunk of shop.orders".
    pub attempted: String,
    /// What went wrong, and where it helps what to do next. Never a row's value, a key or a
    /// password: servers put values into their messages, so an engine passes on only those known to
    /// be free of them.
    pub reason: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, attempted: impl Into<String>, reason: impl Into<String>) -> Error {
        Error { kind, attempted: attempted.into(), reason: reason.into() }
    }

    /// Of two errors of things done side by side, the one that decides what is done next: a
    /// statement whose connection was lost may still be running, so it may not hide behind one that
    /// passes.
    pub fn most_severe(self, other: Error) -> Error {
        if self.kind.is_passing() { other } else { self }
    }

    /// An error that ends the run.
    pub fn fatal(attempted: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(Kind::Fatal, attempted, reason)
    }

    /// A change that cannot be done as asked.
    pub fn refused(attempted: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(Kind::Refused, attempted, reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.attempted, self.reason)
    }
}

impl std::error::Error for Error {}

/// What was attempted: words, or a closure that makes them only if they are needed.
pub trait Attempted {
    /// The words, with the object's name.
    fn words(self) -> String;
}

impl Attempted for &str {
    fn words(self) -> String {
        self.to_owned()
    }
}

impl Attempted for String {
    fn words(self) -> String {
        self
    }
}

impl Attempted for &String {
    fn words(self) -> String {
        self.clone()
    }
}

impl<F: FnOnce() -> W, W: Attempted> Attempted for F {
    fn words(self) -> String {
        self().words()
    }
}
