//! What drivers of PostgreSQL say on their own, before a person says anything. It means nothing to
//! a run, and must not break the connection.

use crate::interface::console::refusal::Refusal;
use crate::interface::console::statement::Statement;

/// The version that clients are told. They choose their statements by it.
pub const SERVER_VERSION: &str = concat!("18.0 (altergeist ", env!("CARGO_PKG_VERSION"), ")");

/// The parameters of a PostgreSQL server that SHOW knows, with their values.
const PARAMETERS: [(&str, &str); 22] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("max_identifier_length", "63"),
    ("search_path", "altergeist"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "180000"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
];

/// Settings of a session that clients may set to anything.
const SESSION: [&str; 20] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "escape_string_warning",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lc_messages",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronize_seqscans",
    "timezone",
    "transaction_timeout",
];

/// Finds a parameter of the server.
pub fn parameter(name: &str) -> Option<&'static str> {
    let name = match name {
        "time zone" => "timezone",
        "transaction isolation level" => "transaction_isolation",
        name => name,
    };
    PARAMETERS.iter().find(|(known, _)| *known == name).map(|(known, _)| *known)
}

/// Returns the value of a parameter.
pub fn value(name: &str) -> &'static str {
    PARAMETERS.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

/// Reads a SET that is no order.
///
/// # Errors
/// That nobody knows the setting.
pub fn set(name: &str, value: &str) -> Result<Statement, Refusal> {
    let is_utf8 = ["utf8", "utf-8", "unicode", "default"];
    if name == "client_encoding" && !is_utf8.contains(&&*value.to_lowercase()) {
        return Err(
            Refusal::value("the console speaks UTF8 only").hint("SET client_encoding = 'UTF8'")
        );
    }
    match SESSION.contains(&name) {
        true => Ok(Statement::Accepted("SET")),
        false => Err(Refusal::unknown(format!("no setting is called {name:?}"))
            .hint("SHOW CONFIG lists the settings")),
    }
}

/// Reads a SET without an equals sign: `SET NAMES 'utf8'`.
///
/// # Errors
/// That it has no value.
pub fn set_in_words(name: &str, rest: &str) -> Result<Statement, Refusal> {
    match name {
        "names" => set("client_encoding", rest.trim_matches(['\'', '"'])),
        "time" | "transaction" | "characteristics" => Ok(Statement::Accepted("SET")),
        _ => Err(Refusal::syntax(format!("SET {name} has no value"))
            .hint(format!("write SET {name} = value"))),
    }
}

/// Reads what changes a session and nothing of a run.
pub fn accepted(words: &[&str]) -> Option<Statement> {
    Some(match words {
        ["begin", ..] | ["start", "transaction", ..] => Statement::Begin,
        ["commit", ..] | ["end", ..] => Statement::End("COMMIT"),
        ["rollback", "to", ..] => Statement::Accepted("ROLLBACK"),
        ["rollback", ..] | ["abort", ..] => Statement::End("ROLLBACK"),
        ["savepoint", ..] => Statement::Accepted("SAVEPOINT"),
        ["release", ..] => Statement::Accepted("RELEASE"),
        ["discard", "all"] => Statement::Accepted("DISCARD ALL"),
        ["discard", _] => Statement::Accepted("DISCARD"),
        ["reset", ..] => Statement::Accepted("RESET"),
        ["close", "all"] => Statement::Accepted("CLOSE CURSOR ALL"),
        ["unlisten", ..] => Statement::Accepted("UNLISTEN"),
        ["listen", ..] => Statement::Accepted("LISTEN"),
        ["deallocate", ..] => Statement::Accepted("DEALLOCATE"),
        _ => return None,
    })
}
