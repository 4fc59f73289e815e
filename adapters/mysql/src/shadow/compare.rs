//! Compares the shadow with the source, each chunk in one snapshot (law 8).

use crate::change::Change;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::pair::Pair;
use crate::server::doing::Doing;
use crate::server::error::{Failure, TABLE_CHANGED};
use crate::server::pool::SessionPool;
use crate::server::session::{Cells, Session, number};
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::insert::parts;
use crate::sql;
use crate::sql::compare::Compared;
use crate::state::{LogState, ShadowState};
use altergeist_contract::{Chunk, ColumnCounts, Comparison, Error, Key, Result, ValueCounts};
use std::collections::HashSet;
use std::sync::Arc;

/// More differences than this end the comparison.
pub(crate) const MOST_DIFFERENCES: u64 = 5_000;

pub(crate) async fn compare_chunk(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    shadow_state: &ShadowState,
    chunk: &Chunk,
) -> Result<Comparison> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    shadow_state.shadow_writes.start(&log_state.heartbeat).await?;
    let attempted = change.doing("compare a chunk of");
    let statements = [
        sql::compare::count_rows(&mapping, chunk)?,
        sql::compare::count_in_shadow(&mapping, chunk)?,
        sql::compare::missing_or_different(
            &mapping,
            &Compared::Range(chunk),
            MOST_DIFFERENCES + 1,
        )?,
        sql::compare::surplus(&mapping, &Compared::Range(chunk), MOST_DIFFERENCES + 1)?,
    ];
    // If the shadow lacks no row of the source and has as many rows, it has no other rows.
    let is_answered = |answers: &[Vec<Cells>]| match answers {
        [in_source, in_shadow, missing] => {
            missing.is_empty() && count(in_source) == count(in_shadow)
        }
        _ => false,
    };
    let mut lease = pool.worker().await?;
    let mut outcome = in_snapshot(lease.session(), &statements, is_answered).await;
    // A build ended between the snapshot and the first read of the shadow. No build follows it.
    if matches!(outcome, Err(Failure::Server { code: TABLE_CHANGED, .. })) {
        outcome = in_snapshot(lease.session(), &statements, is_answered).await;
    }
    lease.keep();
    let answers = outcome.doing(&attempted)?;
    let (rows, held) = (count(&answers[0]).unwrap_or_default(), count(&answers[1]));
    let differing = differing(&mapping, &answers[2..], &attempted)?;
    if differing.is_empty() && held.is_some_and(|held| held != rows) {
        return Err(Error::fatal(attempted, "the shadow holds a row of the source more than once"));
    }
    let columns = match held {
        Some(held) => {
            let differing = differing.len() as u64;
            counts_of(&mapping, (&answers[0], rows), (&answers[1], held), differing)
        }
        None => Vec::new(),
    };
    Ok(Comparison { rows, differing, columns })
}

fn count(answer: &[Cells]) -> Option<u64> {
    answer.first().and_then(|row| number(&row[0]))
}

/// Reads the counts behind the numbers of rows.
fn counts_of(
    mapping: &ColumnMapping,
    (before, rows): (&[Cells], u64),
    (after, held): (&[Cells], u64),
    differing: u64,
) -> Vec<ColumnCounts> {
    let cell = |answer: &[Cells], at: usize| answer.first()?.get(at).and_then(number);
    let values = |answer: &[Cells], at: usize, rows: u64| {
        let (nulls, empties) = (cell(answer, at)?, cell(answer, at + 1)?);
        Some(ValueCounts { rows, nulls, empties, distinct: cell(answer, at + 2) })
    };
    let counts = |(nth, pair): (usize, &Pair)| {
        let at = 1 + nth * sql::counts::COUNTS_OF_COLUMN;
        let ends = cell(before, at + 3).zip(cell(after, at + 3));
        ColumnCounts {
            column: pair.shadow.name.clone(),
            before: values(before, at, rows),
            after: values(after, at, held).unwrap_or_default(),
            ends_moved: ends.map(|(before, after)| u64::from(before != after)),
            differing,
        }
    };
    sql::counts::counted(mapping).into_iter().enumerate().map(counts).collect()
}

pub(crate) async fn compare_keys(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    keys: &[Key],
) -> Result<Vec<Key>> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let attempted = change.doing("compare rows of");
    let mut statements = Vec::new();
    for part in parts(keys) {
        statements.push(sql::compare::missing_or_different(
            &mapping,
            &Compared::Keys(part),
            MOST_DIFFERENCES + 1,
        )?);
        statements.push(sql::compare::surplus(
            &mapping,
            &Compared::Keys(part),
            MOST_DIFFERENCES + 1,
        )?);
    }
    let mut lease = pool.worker().await?;
    let outcome = in_snapshot(lease.session(), &statements, |_| false).await;
    lease.keep();
    differing(&mapping, &outcome.doing(&attempted)?, &attempted)
}

/// Runs these statements in one snapshot, until the answers suffice.
pub(crate) async fn in_snapshot(
    session: &mut Session,
    statements: &[String],
    is_answered: impl Fn(&[Vec<Cells>]) -> bool,
) -> std::result::Result<Vec<Vec<Cells>>, Failure> {
    for open in sql::compare::OPEN_SNAPSHOT {
        session.execute(open).await?;
    }
    let mut answers = Vec::new();
    let mut outcome = Ok(());
    for statement in statements {
        if is_answered(&answers) {
            break;
        }
        match session.rows(statement).await {
            Ok(rows) => answers.push(rows),
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    let closed = session.execute(sql::session::COMMIT).await;
    outcome?;
    closed?;
    Ok(answers)
}

fn differing(mapping: &ColumnMapping, answers: &[Vec<Cells>], attempted: &str) -> Result<Vec<Key>> {
    if answers.iter().map(Vec::len).sum::<usize>() as u64 > MOST_DIFFERENCES {
        return Err(Error::fatal(attempted, format!("more than {MOST_DIFFERENCES} rows differ")));
    }
    keys_of(mapping, answers, attempted)
}

/// The keys in these answers, each once.
pub(crate) fn keys_of(
    mapping: &ColumnMapping,
    answers: &[Vec<Cells>],
    attempted: &str,
) -> Result<Vec<Key>> {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for row in answers.iter().flatten() {
        let key = mapping
            .key
            .of_query(row)
            .ok_or_else(|| Error::fatal(attempted, "a key cannot be read"))?;
        if seen.insert(key.clone()) {
            keys.push(key);
        }
    }
    Ok(keys)
}
