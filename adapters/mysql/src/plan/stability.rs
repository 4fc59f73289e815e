//! Computes an expression of `--set` twice over the same rows, at different moments. Whatever it
//! calls, it must give the same values.

use crate::change::Change;
use crate::schema::computed::gave_two_values;
use crate::schema::pair::Pair;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Finding, Result};

/// How many rows are computed.
const ROWS_MAX: u64 = 10_000;

/// Refuses an expression that gives two values for the same row. The rows are those of one
/// snapshot.
pub(crate) async fn check(
    change: &Change,
    session: &mut Session,
    pair: &Pair,
) -> Result<Option<Finding>> {
    let attempted = || change.doing("compute --set twice for");
    let Some(formula) = &pair.formula else { return Ok(None) };
    for open in sql::compare::OPEN_SNAPSHOT {
        session.execute(open).await.doing(attempted)?;
    }
    let digest = sql::computed::digest_of_values(&change.source, &formula.expression, ROWS_MAX);
    let mut digests = Vec::new();
    for clock in sql::computed::CLOCKS {
        // Some servers let nobody set the clock. Two values still show what is random.
        match session.execute(clock).await {
            Err(failure) if failure.ends_session() => return Err(failure.of_rows(attempted())),
            _ => {}
        }
        match session.text(&digest).await {
            Ok(digest) => digests.push(digest),
            Err(failure) if failure.ends_session() => return Err(failure.of_rows(attempted())),
            // The sample has said what fails.
            Err(_) => {}
        }
    }
    for close in [sql::computed::CLOCK_GOES_ON, sql::session::COMMIT] {
        session.execute(close).await.doing(attempted)?;
    }
    let differ = matches!(&digests[..], [first, second] if first != second);
    Ok(differ.then(|| gave_two_values(&pair.shadow.name)))
}
