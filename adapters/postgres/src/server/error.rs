//! Sorts the server's errors by what the core does about them. Keeps row values out of their words.

use altergeist_contract::{Code, Error, Kind};
use std::time::Duration;
use tokio_postgres::error::DbError;

/// What a server code means. There is one table; a code that is not in it is fatal.
enum Meaning {
    /// A retry may work.
    Again(&'static str),
    /// The wait for a lock timed out.
    LockTimeout,
    /// A timeout or a person cancelled the statement.
    Cancelled,
    /// A row of another key stands in a unique index or exclusion constraint.
    InTheWay,
    /// A row does not fit the shadow.
    Value(&'static str),
    /// The session ended, or the server shuts down.
    Gone(&'static str),
    /// The server's disk is full.
    Full,
    /// The message names objects of the catalogue, never a value.
    Plain,
    /// Unknown, or the message may hold values.
    Unspeakable,
}

fn meaning(code: &str) -> Meaning {
    match code {
        "40001" => Meaning::Again("the server could not serialise it with other work"),
        "40P01" => Meaning::Again("the server ended a deadlock"),
        "55P03" => Meaning::LockTimeout,
        "57014" => Meaning::Cancelled,
        "23505" | "23P01" => Meaning::InTheWay,
        "23502" => Meaning::Value("a row holds NULL where it may not"),
        "23514" => Meaning::Value("a row violates a check"),
        "22001" => Meaning::Value("a value is too long for its new type"),
        "22003" | "22008" => Meaning::Value("a value is out of the range of its new type"),
        "22P02" | "22007" => Meaning::Value("a value cannot be read as its new type"),
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => {
            Meaning::Gone("the server ended the session")
        }
        "53300" => Meaning::Gone("the server has no free connection"),
        "53100" => Meaning::Full,
        "55006" | "55000" | "53200" | "53400" | "58P01" => Meaning::Plain,
        _ => match code.get(..2) {
            Some("08") => Meaning::Gone("the connection broke"),
            Some("22") => Meaning::Value("a value cannot be converted"),
            Some("0A" | "25" | "28" | "2B" | "3D" | "3F" | "42") => Meaning::Plain,
            _ => Meaning::Unspeakable,
        },
    }
}

/// An error of a statement that drops something of ours. Names what depends on it.
pub(crate) fn of_drop(attempted: impl Into<String>, error: &tokio_postgres::Error) -> Error {
    let mut answer = of_clauses(attempted, error);
    let dependents = error
        .as_db_error()
        .filter(|server| server.code().code() == "2BP01")
        .and_then(DbError::detail);
    if let Some(dependents) = dependents {
        let named = dependents.lines().collect::<Vec<_>>().join(", ");
        answer.reason = format!(
            "other objects need it: {named}. Drop them, or let them read the new table. Then \
             clean up again"
        );
    }
    answer
}

/// An error of a statement on the shadow's rows, or of any statement that locks nothing of the
/// user's.
pub(crate) fn of(attempted: impl Into<String>, error: &tokio_postgres::Error) -> Error {
    let Some(server) = error.as_db_error() else { return lost(attempted, error) };
    match meaning(server.code().code()) {
        Meaning::Again(why) => Error::new(Kind::Transient, attempted, why),
        Meaning::LockTimeout => {
            Error::new(Kind::Transient, attempted, "a lock did not come within its time")
        }
        Meaning::InTheWay => in_the_way(attempted, server),
        Meaning::Value(why) => Error::fatal(attempted, format!("{why}{}", place(server))),
        Meaning::Gone(why) => Error::new(Kind::Disconnected, attempted, why),
        Meaning::Full => Error::fatal(attempted, full(server)),
        Meaning::Plain => Error::fatal(attempted, words(server)),
        Meaning::Cancelled => Error::new(
            Kind::Transient,
            attempted,
            "it exceeded its time limit, or another session cancelled it",
        ),
        Meaning::Unspeakable => Error::fatal(attempted, code_only(server)),
    }
}

/// An error of a statement that waited for a lock on the source: nothing happened.
pub(crate) fn of_lock(attempted: impl Into<String>, error: &tokio_postgres::Error) -> Error {
    if is_timeout(error) {
        return Error::new(Kind::Busy, attempted, "the lock did not come within its time");
    }
    if has_code(error, &["40P01"]) {
        return Error::new(
            Kind::Busy,
            attempted,
            "other sessions wait for this run while it waits for them",
        );
    }
    of(attempted, error)
}

/// An error of the user's clauses on an empty table. There was no row, so the server's own words
/// hold no value.
pub(crate) fn of_clauses(attempted: impl Into<String>, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(server) if !is_passing(error) && !has_code(error, &["53100"]) => {
            Error::refused(attempted, words(server))
        }
        _ => of_lock(attempted, error),
    }
}

/// An error of a statement that changes the real table. As for clauses, but it has rows.
pub(crate) fn of_native(attempted: impl Into<String>, error: &tokio_postgres::Error) -> Error {
    let speaks_of_values = error.code().is_some_and(|code| {
        matches!(meaning(code.code()), Meaning::Value(_) | Meaning::InTheWay | Meaning::Unspeakable)
    });
    if speaks_of_values {
        let answer = of(attempted, error);
        return Error::refused(answer.attempted, answer.reason);
    }
    of_clauses(attempted, error)
}

/// An error of a statement that updates rows in place. It names the constraint, or the columns that
/// the update sets, and no value.
pub(crate) fn of_update(
    attempted: impl Into<String>,
    error: &tokio_postgres::Error,
    columns: &str,
) -> Error {
    let Some(server) = error.as_db_error() else { return lost(attempted, error) };
    let why = match server.code().code() {
        "23503" => "a row would break a foreign key",
        "23505" | "23P01" => "another row has the same values",
        "P0001" => "a trigger refuses a row",
        code if matches!(meaning(code), Meaning::Value(_)) && server.constraint().is_none() => {
            let answer = of(attempted, error);
            let reason = format!("{}; the backfill sets {columns}", answer.reason);
            return Error::fatal(answer.attempted, reason);
        }
        _ => return of(attempted, error),
    };
    Error::fatal(attempted, format!("{why}{}", place(server)))
}

/// Whether the server rejects a row's value.
pub(crate) fn is_of_value(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(meaning(code.code()), Meaning::Value(_)))
}

/// Returns the object that a row does not fit, for people, and whether another row is in the way.
/// Without an object, the server did not name it. None if the error is not about a row.
pub(crate) fn of_misfit(error: &tokio_postgres::Error) -> Option<(Option<String>, bool)> {
    let server = error.as_db_error()?;
    let constraint = |kind: &str| server.constraint().map(|name| format!("{kind} {name}"));
    match meaning(server.code().code()) {
        Meaning::InTheWay => Some((constraint("unique index"), true)),
        Meaning::Value(_) => {
            let column = server.column().map(|column| format!("column {column}"));
            Some((column.or_else(|| constraint("check")), false))
        }
        _ => None,
    }
}

/// Whether the server cannot leave out rows in each other's way: a unique constraint is checked
/// later.
pub(crate) fn is_checked_later(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["55000"])
}

/// Whether the server rejects the statement itself, whatever the values are. Its words name types
/// and objects only.
pub(crate) fn is_of_statement(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("42"))
}

/// The code of a finding about a value that the server rejects.
pub(crate) fn code_of_value(error: &tokio_postgres::Error) -> Code {
    match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("22001") => Code::ValueTooLong,
        Some("22003" | "22008") => Code::ValueOutOfRange,
        Some("23502") => Code::NullValues,
        Some("23514") => Code::CheckViolated,
        _ => Code::ValueInvalid,
    }
}

/// Whether a wait ended by `lock_timeout` or `statement_timeout`.
pub(crate) fn is_timeout(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        matches!(meaning(code.code()), Meaning::LockTimeout | Meaning::Cancelled)
    })
}

/// Whether the error says nothing about the statement itself, only about this moment.
pub(crate) fn is_passing(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        matches!(
            meaning(code.code()),
            Meaning::Again(_) | Meaning::LockTimeout | Meaning::Cancelled | Meaning::Gone(_)
        )
    })
}

/// Whether the server found no table of a name, or no schema.
pub(crate) fn is_missing_table(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["42P01", "3F000"])
}

/// Whether a constraint or its table is gone, or a constraint of that name exists already.
pub(crate) fn is_constraint_changed(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["42704", "42P01", "42710"])
}

/// Whether an object is gone, or this role may not change it.
pub(crate) fn is_gone_or_forbidden(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["42704", "42501"])
}

/// Whether this role may not do it.
pub(crate) fn is_forbidden(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["42501"])
}

/// Whether another session changed the same catalogue row, or the server cannot decode its log.
/// The server has one code for both.
pub(crate) fn is_internal(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["XX000"])
}

/// Whether another session reads a slot, or the slot is gone.
pub(crate) fn is_slot_in_use_or_gone(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["55006", "42704"])
}

/// Whether other objects depend on what a statement drops.
pub(crate) fn has_dependents(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["2BP01"])
}

/// Whether a row breaks a foreign key.
pub(crate) fn breaks_foreign_key(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["23503"])
}

/// Whether a value cannot be converted.
pub(crate) fn is_conversion(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("22"))
}

/// Whether the proof that the journal bears no code failed: it casts a name to a number.
pub(crate) fn bears_code(error: &tokio_postgres::Error) -> bool {
    has_code(error, &["22P02"])
}

/// Whether the server does not accept the password. For LDAP, PAM and tokens it gives the code that
/// also stands for an unknown role.
pub(crate) fn is_password_refused(code: &str) -> bool {
    matches!(code, "28P01" | "28000")
}

/// Whether the server answers and does not let this role or database in.
pub(crate) fn is_login_refused(code: &str) -> bool {
    code.starts_with("28") || code == "3D000"
}

/// Whether the server refuses this kind of connection: a pooler does not know it, `pg_hba.conf`
/// does not list it, or no walsender is free.
pub(crate) fn is_streaming_refused(code: &str) -> bool {
    matches!(code, "08P01" | "28000" | "53300" | "0A000")
}

/// The kind of a walsender's error. If the slot is in use or the server shuts down, a retry may
/// help.
pub(crate) fn walsender_kind(code: &str) -> Kind {
    match code {
        "55006" | "57P01" | "57P02" | "57P03" | "57014" | "53300" => Kind::Disconnected,
        _ if code.starts_with("08") => Kind::Disconnected,
        _ if code.starts_with("28") || code == "42501" => Kind::Refused,
        _ => Kind::Fatal,
    }
}

fn has_code(error: &tokio_postgres::Error, codes: &[&str]) -> bool {
    error.code().is_some_and(|found| codes.contains(&found.code()))
}

/// A connection that ended, or never began.
pub(crate) fn lost(attempted: impl Into<String>, error: &dyn std::error::Error) -> Error {
    let mut reason = error.to_string();
    if let Some(source) = error.source() {
        reason = format!("{reason}: {source}");
    }
    Error::new(Kind::Disconnected, attempted, reason)
}

/// The server did not answer within our time.
pub(crate) fn silent(attempted: impl Into<String>, waited: Duration) -> Error {
    Error::new(
        Kind::Disconnected,
        attempted,
        format!("the server did not answer within {waited:?}"),
    )
}

fn in_the_way(attempted: impl Into<String>, server: &DbError) -> Error {
    let index = server.constraint().unwrap_or("an index the server did not name").to_owned();
    let reason = format!("a row of another key is in the way in {index}");
    Error::new(Kind::Stale { index }, attempted, reason)
}

/// The place of the error, by the names of objects only.
fn place(server: &DbError) -> String {
    match (server.column(), server.constraint()) {
        (Some(column), _) => format!(" (column {column})"),
        (None, Some(constraint)) => format!(" (constraint {constraint})"),
        (None, None) => String::new(),
    }
}

/// The words for a full disk. What the run leaves behind makes the server retain log, too.
fn full(server: &DbError) -> String {
    format!(
        "the server's disk is full: {}. Free some space; then the same command continues from \
         here. Until then the shadow uses space, and the server retains log for the replication \
         slot. `altergeist cleanup` frees both, and the copy starts again",
        server.message()
    )
}

fn words(server: &DbError) -> String {
    match server.hint() {
        Some(hint) => format!("{} (hint: {hint})", server.message()),
        None => server.message().to_owned(),
    }
}

fn code_only(server: &DbError) -> String {
    format!("the server answered with code {}", server.code().code())
}
