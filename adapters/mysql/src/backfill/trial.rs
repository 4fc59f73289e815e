//! Tries a backfill on the server before any row is changed for good.

use crate::backfill::Work;
use crate::plan::replica_target::refuse_replica;
use crate::schema::lexer::{self, Token};
use crate::schema::table::is_same;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Chunk, Error, Result, Severity, Trial, Watermark};

/// Rows at the beginning of the table among which the trial looks for matching ones.
const TRIAL_ROWS: u64 = 20_000;
/// How many of them it changes.
const TRIAL_KEYS: usize = 100;

impl Work<'_> {
    /// Tries the update on no row and on a few, in a transaction that is rolled back.
    pub(crate) async fn try_update(&self) -> Result<Trial> {
        self.refuse_key_columns()?;
        self.check_brackets()?;
        let mut session = self.pool.reader().await?;
        let refusals = refuse_replica(self.change, self.pool, &mut session).await?;
        if let Some(found) = refusals.iter().find(|found| found.severity == Severity::Error) {
            let reason = format!("{found}; {}", found.remedy);
            return Err(Error::refused(self.change.doing("backfill"), reason));
        }
        self.prepare(&mut session).await?;
        let begun = session.execute(sql::session::BEGIN).await;
        begun.doing_in_catalogue(|| self.attempted())?;
        let tried = self.try_within(&mut session).await;
        if session.is_alive() {
            let ended = session.execute(sql::session::ROLLBACK).await;
            ended.doing_in_catalogue(|| self.attempted())?;
        }
        let (rows, still_matching) = tried?;
        Ok(Trial { rows_estimated: self.key.rows_estimated, rows, still_matching })
    }

    async fn try_within(&self, session: &mut Session) -> Result<(u64, u64)> {
        let attempted =
            || format!("read --set and --where of the backfill of {}", self.change.title);
        let rows = self.rows();
        session.execute(&rows.update_none()).await.trying_clauses(attempted)?;
        let through = self.range_end(session, &Watermark::Start, TRIAL_ROWS).await?;
        let range = Chunk { after: Watermark::Start, through };
        let tried = self.try_some(session, &range).await;
        match tried {
            // The rows are locked: nothing is known then.
            Err(error) if error.kind.is_passing() => Ok((0, 0)),
            Err(error) => Err(Error::refused(error.attempted, error.reason)),
            counts => counts,
        }
    }

    async fn try_some(&self, session: &mut Session, range: &Chunk) -> Result<(u64, u64)> {
        let rows = self.rows();
        let keys = self.keys(session, &rows.lock_keys(range, TRIAL_KEYS)?).await?;
        if keys.is_empty() {
            return Ok((0, 0));
        }
        let failed = |failure| self.failed(failure);
        session.execute(&rows.update_keys(&keys)?).await.map_err(failed)?;
        let existing = session.text(&rows.count_existing(&keys)?).await.map_err(failed)?;
        if existing != keys.len().to_string() {
            let reason = format!(
                "a trigger of the table changes the key {}, whose order the backfill follows",
                self.key.key.describe()
            );
            return Err(Error::refused(self.attempted(), reason));
        }
        let still = session.text(&rows.count_keys(&keys)?).await.map_err(failed)?;
        Ok((keys.len() as u64, still.parse().unwrap_or_default()))
    }

    /// A changed key would move a row to another place in the order of the ranges.
    fn refuse_key_columns(&self) -> Result<()> {
        let attempted = || self.change.doing("backfill");
        for (column, _) in &self.update.assignments {
            let tokens = lexer::tokens(column, self.change.server.has_ansi_quotes);
            let tokens = tokens.unwrap_or_default();
            let [token] = &tokens[..] else {
                let reason =
                    format!("--set {column} = … does not begin with the name of one column");
                return Err(Error::refused(attempted(), reason));
            };
            let name = token.name().unwrap_or_default();
            if self.key.key.columns.iter().any(|key| is_same(&key.name, name)) {
                let reason = format!(
                    "column {name} belongs to the key {}, whose order the backfill follows. A \
                     backfill cannot change it",
                    self.key.key.describe()
                );
                return Err(Error::refused(attempted(), reason));
            }
        }
        Ok(())
    }

    /// A text that closes a bracket of ours would change other rows than those of the range.
    fn check_brackets(&self) -> Result<()> {
        let expressions = self.update.assignments.iter().map(|(_, expression)| expression);
        for text in expressions.chain(&self.update.condition) {
            let attempted = || format!("read {text:?}");
            let tokens = lexer::tokens(text, self.change.server.has_ansi_quotes);
            let tokens = tokens.map_err(|reason| Error::refused(attempted(), reason))?;
            if !is_whole(&tokens) {
                let reason = "its brackets do not match, or it holds more than one statement";
                return Err(Error::refused(attempted(), reason));
            }
        }
        Ok(())
    }
}

/// Whether every bracket is closed after it was opened, and nothing ends a statement.
fn is_whole(tokens: &[Token]) -> bool {
    let mut open = 0_u32;
    for token in tokens {
        match token {
            Token::Sign('(') => open += 1,
            Token::Sign(')') if open == 0 => return false,
            Token::Sign(')') => open -= 1,
            Token::Sign(';') => return false,
            _ => {}
        }
    }
    open == 0 && !tokens.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> bool {
        is_whole(&lexer::tokens(text, false).expect("it can be read"))
    }

    #[test]
    fn a_text_that_closes_a_bracket_of_ours_is_no_condition() {
        for text in ["a = 1", "(a = 1) OR (b = ')')", "n + 1 -- ;)\n", "f(a, (b))", "a = ';'"] {
            assert!(whole(text), "{text}");
        }
        for text in ["a = 1) OR (b = 2", "a = 1; DELETE FROM t", "(a", "a)", ""] {
            assert!(!whole(text), "{text}");
        }
    }
}
