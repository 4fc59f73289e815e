//! The one table from server codes to kinds of errors, and the words that may be shown.

use altergeist_contract::{Error, Kind};

/// Why a statement failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server answered with an error.
    Server {
        code: u16,
        /// The server's words. They may hold users' values. So they are shown only where the code
        /// or the kind of statement rules that out.
        message: String,
    },
    /// The connection is gone, or the answer could not be read.
    Lost(String),
}

pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// A row whose parent is missing.
pub(crate) const NO_PARENT: u16 = 1452;

pub(crate) const INTERRUPTED: u16 = 1317;

/// The table has changed since the snapshot.
pub(crate) const TABLE_CHANGED: u16 = 1412;

/// A number or a time lost digits. The server says it as a note.
pub(crate) const TRUNCATED: u16 = 1265;

pub(crate) const TRUNCATED_VALUE: u16 = 1292;

pub(crate) const NO_SUCH_TABLE: u16 = 1146;

pub(crate) const NO_SUCH_THREAD: u16 = 1094;

/// The server cannot do it without copying the table.
pub(crate) const NO_INPLACE: u16 = 1846;

pub(crate) const READING_LOG_FAILED: u16 = 1236;

/// The server makes one index of full texts at a time (MySQL), unless it copies the table.
pub(crate) const ONE_FULL_TEXT: u16 = 1795;

/// A unique index lacks a column of the partitioning.
pub(crate) const NOT_OVER_PARTITIONS: u16 = 1503;

/// Only SUPER may create triggers while the binary log is on.
pub(crate) const TRIGGER_NEEDS_SUPER: u16 = 1419;

pub(crate) const NEEDS_PRIVILEGE: u16 = 1227;

pub(crate) const TABLE_DENIED: u16 = 1142;

pub(crate) const ROUTINE_DENIED: u16 = 1370;

/// Returns whether a warning says nothing about the rows: deprecations, and the note that
/// statements could be unsafe in a log that is not ours.
pub(crate) fn is_harmless_warning(code: u16) -> bool {
    matches!(code, 1287 | 1592 | 1681 | 3719 | 3778 | 4166)
}

/// InnoDB takes only growing document numbers into a table with a FULLTEXT index.
const INVALID_DOCUMENT: u16 = 182;

const OUT_OF_RANGE: u16 = 1264;

const EXPRESSION_OUT_OF_RANGE: u16 = 1690;

const TABLE_FULL: u16 = 1114;

const DISK_FULL: u16 = 1021;

const TEMPORARY_FILE_FULL: u16 = 1878;

impl Failure {
    pub(crate) fn from_driver(error: mysql_async::Error) -> Failure {
        match error {
            mysql_async::Error::Server(error) => {
                Failure::Server { code: error.code, message: error.message }
            }
            mysql_async::Error::Io(error) => Failure::Lost(error.to_string()),
            // Other driver errors may quote packets, so only their kind is told.
            mysql_async::Error::Driver(mysql_async::DriverError::ConnectionClosed) => {
                Failure::Lost("the connection is closed".into())
            }
            _ => Failure::Lost("the server's answer could not be understood".into()),
        }
    }

    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Failure::Server { code, .. } => Some(*code),
            Failure::Lost(_) => None,
        }
    }

    /// Whether the statement waited for a lock and did not get it.
    pub(crate) fn is_lock_wait(&self) -> bool {
        matches!(self.code(), Some(LOCK_WAIT_TIMEOUT | INTERRUPTED))
    }

    /// Whether the statement took longer than its time limit.
    pub(crate) fn is_too_late(&self) -> bool {
        matches!(self.code(), Some(1969 | 3024))
    }

    /// Whether a lock was not acquired: the wait was too long, or would have been a deadlock.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(LOCK_WAIT_TIMEOUT | INTERRUPTED | 1213))
    }

    /// Whether a default or a value is no date that the sql_mode allows.
    pub(crate) fn is_about_dates(&self) -> bool {
        matches!(self.code(), Some(1067 | TRUNCATED_VALUE))
    }

    /// Whether a number does not fit this column.
    pub(crate) fn is_out_of_range(&self, column: &str) -> bool {
        let Failure::Server { code: OUT_OF_RANGE | EXPRESSION_OUT_OF_RANGE, message } = self else {
            return false;
        };
        column_named(message) == Some(column)
    }

    /// What a row does not fit, if that is why a statement that writes rows failed; and whether
    /// another row is in the way.
    pub(crate) fn misfit(&self) -> Option<(String, bool)> {
        let Failure::Server { code, message } = self else { return None };
        let named = |kind: &str, name: Option<&str>| match name {
            Some(name) => Some((format!("{kind} {name}"), false)),
            None => Some((format!("a {kind}"), false)),
        };
        match *code {
            1062 | 1586 | 1022 | 1859 => {
                Some((format!("unique index {}", index_named(message)), true))
            }
            1048
            | 1264..=1265
            | 1300
            | 1364..=1366
            | 1292
            | 1406
            | 1411
            | 1416
            | 1441
            | 1690
            | 1977
            | 3140..=3141
            | 3752
            | 3854
            | 4038 => named("column", column_named(message)),
            3819 | 4025 => named("CHECK constraint", constraint_named(message)),
            1526 | 1748 => Some(("the partitions".to_owned(), false)),
            _ => None,
        }
    }

    /// Whether the connection cannot be used any more.
    pub(crate) fn ends_session(&self) -> bool {
        match self {
            Failure::Server { code, .. } => kind(*code) == Kind::Disconnected,
            Failure::Lost(_) => true,
        }
    }

    /// The error of a statement that moves or reads rows. It shows none of the server's words that
    /// may hold a value.
    pub(crate) fn of_rows(self, attempted: impl Into<String>) -> Error {
        match self {
            Failure::Server { code, message } => {
                Error::new(kind_of(code, &message), attempted, reason(code, &message))
            }
            Failure::Lost(reason) => Error::new(Kind::Disconnected, attempted, reason),
        }
    }

    /// The error of a statement that updates rows in place. A row that refuses it stays so.
    /// It names the column or the constraint, and no value.
    pub(crate) fn of_update(self, attempted: impl Into<String>) -> Error {
        let Failure::Server { code, message } = &self else { return self.of_rows(attempted) };
        let why = match *code {
            1062 | 1586 | 1022 | 1859 => {
                let index = index_named(message);
                return Error::fatal(
                    attempted,
                    format!("another row has the same value in unique index {index}"),
                );
            }
            1451 | NO_PARENT | 1216 | 1217 => "a row would break a foreign key",
            3819 | 4025 => "a row violates a CHECK constraint",
            _ => return self.of_rows(attempted),
        };
        let name = constraint_named(message).map(|name| format!(" {name}")).unwrap_or_default();
        Error::fatal(attempted, format!("{why}{name} (error {code})"))
    }

    /// The error of a statement that waits for a lock on the source.
    pub(crate) fn of_lock(self, attempted: impl Into<String>) -> Error {
        match self {
            Failure::Server { code: LOCK_WAIT_TIMEOUT | INTERRUPTED | 1213, .. } => {
                Error::new(Kind::Busy, attempted, "the lock was not acquired in time")
            }
            other => other.of_rows(attempted),
        }
    }

    /// The error of the user's own clauses on an empty table. There are no rows, so the server's
    /// words hold no value.
    pub(crate) fn of_clauses(self, attempted: impl Into<String>) -> Error {
        match self {
            Failure::Server { code, message } if kind(code) == Kind::Fatal => {
                Error::refused(attempted, format!("the server says: {message} (error {code})"))
            }
            other => other.of_rows(attempted),
        }
    }

    /// The error of a statement on the catalogue or on our own tables.
    pub(crate) fn of_catalogue(self, attempted: impl Into<String>) -> Error {
        match self {
            Failure::Server { code, message } => {
                Error::new(kind(code), attempted, said(code, &message))
            }
            lost => lost.of_rows(attempted),
        }
    }
}

/// Whether the server does not accept the user's password.
pub(crate) fn is_login_refused(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(answer) if matches!(answer.code, 1045 | 1698))
}

/// What the core does about a code. Unknown codes are fatal.
fn kind(code: u16) -> Kind {
    match code {
        // A parent that was deleted, and its child with it: the next read does not find the child
        // any more. Deadlock, lock wait, a snapshot that is too old, a table definition that just
        // changed, a statement killed.
        1213 | LOCK_WAIT_TIMEOUT | NO_PARENT | 1020 | TABLE_CHANGED | 3572 | INTERRUPTED | 1969
        | 3024 => Kind::Transient,
        // Shutdown, killed, timed out, too many connections, aborted.
        1040
        | 1053
        | 1077
        | 1078
        | 1079
        | 1080
        | 1152
        | 1153
        | 1158..=1161
        | 1184
        | 1203
        | 1226
        | 1927
        | 2006
        | 2013
        | 3159
        | 3169
        | 4031 => Kind::Disconnected,
        // A document came behind a greater one. Only another copy can hold both.
        INVALID_DOCUMENT => Kind::Missed,
        // Access, unknown schema, read-only server.
        1044 | 1045 | 1049 | 1142 | 1143 | 1227 | 1290 | 1370 | 1698 | 1836 | 1401 => Kind::Refused,
        _ => Kind::Fatal,
    }
}

/// The server's own words, and the remedy if its disk is full.
fn said(code: u16, message: &str) -> String {
    let remedy = match code {
        TABLE_FULL | DISK_FULL | TEMPORARY_FILE_FULL => {
            "; make room on the server and run the same command again, or drop the shadow with \
             `altergeist cleanup`"
        }
        _ => "",
    };
    format!("the server says: {message} (error {code}){remedy}")
}

fn kind_of(code: u16, message: &str) -> Kind {
    match code {
        1062 | 1586 | 1022 | 1859 => Kind::Stale { index: index_named(message) },
        _ => kind(code),
    }
}

/// Codes whose messages name objects, never values.
fn speaks_freely(code: u16) -> bool {
    matches!(
        code,
        1044 | 1045
            | 1049
            | TABLE_FULL
            | DISK_FULL
            | TEMPORARY_FILE_FULL
            | 1142
            | 1143
            | NO_SUCH_TABLE
            | 1227
            | 1290
            | 1364
            | 1370
            | 1401
            | 1836
            | 1054
            | 1176
            | 1267
            | 1030
            | 1034
            | 1118
            | 1197
            | 1206
            | 1305
            | 1356
            | 1442
            | 1449
    )
}

fn reason(code: u16, message: &str) -> String {
    let words = match code {
        1062 | 1586 | 1022 | 1859 => {
            return format!("another row is in the way in unique index {}", index_named(message));
        }
        LOCK_WAIT_TIMEOUT => "a lock was not acquired in time",
        NO_PARENT => "a row refers to a parent that is not there",
        1213 => "a deadlock with another transaction",
        INTERRUPTED => "another session killed the statement",
        INVALID_DOCUMENT => {
            "InnoDB takes a row into a table with a FULLTEXT index only if its FTS_DOC_ID is \
             greater than all before"
        }
        1048 => "a NULL does not fit a column that is NOT NULL",
        OUT_OF_RANGE | EXPRESSION_OUT_OF_RANGE => "a number is out of range",
        1265 | 1366 | 1292 | 1411 => "a value does not fit its new type",
        1406 => "a value is too long",
        1300 | 1977 | 3854 => "a text has characters that its new character set lacks",
        1451 | 1217 => "other rows refer to a row",
        1216 => "a row refers to a parent that is not there",
        1365 => "an expression divides by zero",
        1416 => "a value is not a geometry of the column's type",
        1441 => "a moment is out of range",
        1644 => "a trigger or a routine of the table refused a row",
        3752 => "an index over an expression takes no such value",
        1526 | 1748 => "a row belongs to no partition",
        3140 | 3141 | 4038 => "a text is not JSON",
        3819 | 4025 => "a row violates a CHECK constraint",
        1040 => "the server has too many connections",
        1053 | 1079 | 1080 => "the server is shutting down",
        _ if speaks_freely(code) => return said(code, message),
        _ => {
            return format!(
                "the server refuses it for a reason whose words may hold a row's value (error \
                 {code}; the server's manual says what the number means)"
            );
        }
    };
    match column_named(message).filter(|_| matches!(code, 1048 | 1264..=1265 | 1366 | 1292 | 1406))
    {
        Some(column) => format!("{words}: column {column} (error {code})"),
        None => format!("{words} (error {code})"),
    }
}

/// The index a duplicate-key message names at its end: "… for key 'orders.email'", without the
/// table.
fn index_named(message: &str) -> String {
    let name = message.rsplit_once("for key '").and_then(|(_, tail)| tail.strip_suffix('\''));
    match name {
        Some(name) => name.rsplit_once('.').map_or(name, |(_, index)| index).to_owned(),
        None => "the server does not name".to_owned(),
    }
}

/// The column that a message names after the value. Only plain characters of an identifier pass. So
/// a value that imitates the message shows nothing.
fn column_named(message: &str) -> Option<&str> {
    let (_, tail) = message.rsplit_once("olumn ")?;
    let spelled = tail.split_whitespace().next()?.trim_matches(['\'', '`', '"']);
    let name = spelled.rsplit(['.', '`']).next()?;
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (plain && !name.is_empty() && name.len() <= 64).then_some(name)
}

/// The constraint that a message names. These messages hold names only.
fn constraint_named(message: &str) -> Option<&str> {
    let quoted = |begin: &str, end: char| {
        let (_, tail) = message.split_once(begin)?;
        tail.split(end).next()
    };
    let name = quoted("CONSTRAINT `", '`').or_else(|| quoted("onstraint '", '\''))?;
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    (plain && !name.is_empty() && name.len() <= 64).then_some(name)
}

/// The remedy when the run cannot follow the log any more.
pub(crate) const START_AGAIN: &str = "the same command cannot continue: `altergeist cleanup` drops \
                                     the shadow and the rows copied so far; then start again";

/// What keeps statements out of the log.
pub(crate) const STATEMENTS_REMEDY: &str = "let that session SET binlog_format = ROW";

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> Failure {
        Failure::Server { code, message: message.into() }
    }

    #[test]
    fn a_duplicate_names_its_index_and_no_value() {
        let error = server(1062, "Duplicate entry 'a@b.example' for key 'users.email'")
            .of_rows("copy a chunk of shop.users");
        assert_eq!(error.kind, Kind::Stale { index: "email".into() });
        assert!(!error.to_string().contains("example"));
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_column_and_no_value() {
        let error =
            server(1366, "Incorrect integer value: 'secret' for column `s`.`t`.`age` at row 1")
                .of_rows("copy");
        assert!(!error.to_string().contains("secret"), "{error}");
        let error = server(1406, "Data too long for column 'name' at row 3").of_rows("copy");
        assert!(error.to_string().contains("column name"), "{error}");
        assert_eq!(error.kind, Kind::Fatal);
    }

    #[test]
    fn an_update_names_the_constraint_that_a_row_violates() {
        let check = "Check constraint 'positive' is violated.";
        let said = server(3819, check).of_update("update");
        assert!(said.reason.contains("constraint positive") && said.kind == Kind::Fatal, "{said}");
        let check = "CONSTRAINT `positive` failed for `s`.`t`";
        assert!(server(4025, check).of_update("update").reason.contains("positive"));
        let child = "Cannot add or update a child row: a foreign key constraint fails (`s`.`t`, \
                     CONSTRAINT `owner` FOREIGN KEY (`a`) REFERENCES `p` (`id`))";
        let said = server(1452, child).of_update("update");
        assert!(said.reason.contains("foreign key owner") && said.kind == Kind::Fatal, "{said}");
        let double = "Duplicate entry 'secret' for key 't.email'";
        let said = server(1062, double).of_update("update");
        assert!(said.reason.contains("email") && !said.reason.contains("secret"), "{said}");
    }

    #[test]
    fn an_unknown_code_is_fatal_and_tells_nothing_but_itself() {
        let error = server(9999, "the row 'secret' is odd").of_rows("copy");
        assert_eq!(error.kind, Kind::Fatal);
        assert!(error.reason.contains("error 9999; the server's manual"), "{error}");
        assert!(!error.reason.contains("secret"), "{error}");
    }

    #[test]
    fn a_lock_that_cannot_be_had_is_busy_only_where_one_was_asked_for() {
        assert_eq!(server(1205, "").of_lock("lock").kind, Kind::Busy);
        assert_eq!(server(1205, "").of_rows("copy").kind, Kind::Transient);
    }
}
