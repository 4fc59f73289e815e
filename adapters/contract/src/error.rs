//! What can go wrong, sorted by what the core does about it.

use std::fmt;

/// What an engine answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the core does about an error. One table per engine derives it from server codes, never from
/// text. An unknown code is `Fatal`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing happened, and a retry may work: a deadlock, a lock wait that timed out.
    Transient,
    /// A row of another key is in the way in this unique index of the shadow (law 4).
    Stale {
        /// The unique index, or constraint, as the server names it.
        index: String,
    },
    /// A lock on the source did not come in time.
    Busy,
    /// The connection is gone, or what it held. Nobody knows whether the statement took effect.
    Disconnected,
    /// The log left out changes of the source's rows, or may have: another session changed its
    /// publication, or a filter or setting that it depends on. The copy proves nothing any more,
    /// and the run starts again.
    Missed,
    /// The input cannot be read: a URL, or a file that it names.
    Usage,
    /// The change cannot be done as asked. The server and its tables are as they were.
    Refused,
    /// Anything else: the run stops, the source is untouched.
    Fatal,
}

impl Kind {
    /// Whether nothing happened, and a retry on the same connection may work.
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

/// An error: its kind, the attempt and its object, and the reason. It holds no row value.
#[derive(Debug)]
pub struct Error {
    /// What the core does about it.
    pub kind: Kind,
    /// What was attempted, with the object's name: "copy a chunk of shop.orders".
    pub attempted: String,
    /// What went wrong, and what to do next. Never a row's value, a key or a password. Servers put
    /// values into their messages, so an engine passes on only those that cannot hold one.
    pub reason: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, attempted: impl Into<String>, reason: impl Into<String>) -> Error {
        Error { kind, attempted: attempted.into(), reason: reason.into() }
    }

    /// Of the errors of two parallel statements, the one that decides what to do next. If a
    /// connection was lost, its statement may still be running. So it must not hide behind an error
    /// that passes.
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
