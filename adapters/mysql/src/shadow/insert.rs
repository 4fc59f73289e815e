//! Writes rows into the shadow: one INSERT … SELECT, its warnings, and the keys that fit into it.

use crate::schema::column_mapping::ColumnMapping;
use crate::server::doing::Doing;
use crate::server::error::{Failure, TRUNCATED, TRUNCATED_VALUE, is_harmless_warning};
use crate::server::session::{Done, Session, number, text};
use crate::sql;
use altergeist_contract::{Error, Key, Result};

/// Most keys in one statement.
const MOST_KEYS: usize = 1000;
/// Most bytes of keys in one statement, well below the smallest packet size of servers.
const MOST_KEY_BYTES: usize = 512 * 1024;

/// Runs an INSERT … SELECT. In strict modes the server only warns of some lost values, such as the
/// last digits of a number. They count as errors unless rounding is allowed.
pub(crate) async fn insert(
    session: &mut Session,
    mapping: &ColumnMapping,
    statement: &str,
    attempted: &str,
) -> Result<u64> {
    let done = session.execute(statement).await.doing(attempted)?;
    check_warnings(session, mapping, done, attempted).await?;
    Ok(done.rows)
}

/// Checks what the server warned of.
///
/// # Errors
/// `Fatal` for a lost value.
pub(crate) async fn check_warnings(
    session: &mut Session,
    mapping: &ColumnMapping,
    done: Done,
    attempted: &str,
) -> Result<()> {
    if done.warnings == 0 {
        return Ok(());
    }
    let warnings = session.rows(sql::session::WARNINGS).await.doing(attempted)?;
    for row in &warnings {
        let code = number(&row[1]).unwrap_or_default() as u16;
        let is_rounded = mapping.rounds
            && text(&row[0]) == "Note"
            && matches!(code, TRUNCATED | TRUNCATED_VALUE);
        if !is_harmless_warning(code) && !is_rounded {
            let said = Failure::Server { code, message: text(&row[2]) }.of_rows(attempted);
            return Err(Error::fatal(attempted, format!("the server warns: {}", said.reason)));
        }
    }
    Ok(())
}

/// Splits keys into parts that fit into a statement.
pub(crate) fn parts(keys: &[Key]) -> Vec<&[Key]> {
    let mut parts = Vec::new();
    let mut rest = keys;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(MOST_KEYS).take_while(|key| {
            bytes += key.size();
            bytes <= MOST_KEY_BYTES
        });
        let (part, tail) = rest.split_at(fits.count().max(1));
        parts.push(part);
        rest = tail;
    }
    parts
}
