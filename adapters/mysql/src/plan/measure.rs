//! Measures what the duration of a change depends on: a sample copy into an empty clone, rolled
//! back, and the server's sizes.

use crate::change::Change;
use crate::facts::NativeChange;
use crate::plan::trial::{added_keys, drop_clone, read_outlines};
use crate::schema::check_names::Renamed;
use crate::schema::column_mapping::{self, ColumnMapping};
use crate::schema::index_definition::secondary;
use crate::schema::lookup::read_table;
use crate::schema::table::definition_of;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, execute_within, number};
use crate::shadow::clone::{alter_copy, make_copy};
use crate::shadow::early_keys::needed_indexes;
use crate::sql;
use crate::sql::ddl::{ANY_LOCK, LOCK_NOTHING, LOCK_WRITES};
use crate::state::NativeState;
use altergeist_contract::estimate::SAMPLE_STATEMENT;
use altergeist_contract::{
    Blocks, Chunk, InPlace, Measured, Plan, Result, Sample, Strategy, Watermark,
};
use std::sync::Arc;
use std::time::Instant;

pub(crate) async fn measure(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
    plan: &Plan,
) -> Result<Measured> {
    let attempted = || change.doing("copy a sample of");
    let mut session = pool.reader().await?;
    drop_clone(change, &mut session).await?;
    let names =
        make_copy(change, &mut session, &change.names.clone).await.trying_clauses(attempted)?;
    let measured = async {
        let before = read_outlines(change, &mut session, &names).await?;
        let blocks = alter_clone(change, &mut session, &names).await?;
        let after = read_outlines(change, &mut session, &names).await?.copy;
        let mut measured = sizes(change, &mut session).await?;
        measured.in_place = in_place(change, &mut session, blocks).await?;
        if measured.in_place.is_some() {
            let expected = NativeChange { before: before.source, after, drops_keys: false };
            *native.expected.lock().expect("not poisoned") = Some(expected);
        }
        if let Some(mapping) = mapping_of_clone(change, &mut session).await? {
            leave_indexes_out(change, pool, &mut session, &mapping).await?;
            measured.sample = sample(change, pool, &mut session, &mapping, plan).await?;
        }
        Ok(measured)
    };
    let measured = measured.await;
    let dropped = drop_clone(change, &mut session).await;
    let measured: Measured = measured?;
    *native.in_place.lock().expect("not poisoned") =
        measured.in_place.as_ref().map(|way| way.statement.clone());
    dropped.map(|()| measured)
}

/// Alters the clone with the weakest lock that the server accepts, and returns what it blocks. None
/// if there are no clauses.
async fn alter_clone(
    change: &Change,
    session: &mut Session,
    names: &[Renamed],
) -> Result<Option<(Blocks, &'static str)>> {
    if change.request.effective.is_empty() {
        return Ok(None);
    }
    let clone = &change.names.clone;
    for (blocks, means) in [(Blocks::Nothing, LOCK_NOTHING), (Blocks::Writes, LOCK_WRITES)] {
        if alter_copy(change, session, clone, names, means).await.is_ok() {
            return Ok(Some((blocks, means)));
        }
    }
    let attempted = || change.doing("try the clauses on an empty clone of");
    alter_copy(change, session, clone, names, ANY_LOCK).await.trying_clauses(attempted)?;
    Ok(Some((Blocks::ReadsAndWrites, ANY_LOCK)))
}

/// Returns the server's own way. A change of foreign keys is none: the clone has none, so nothing
/// was tried.
async fn in_place(
    change: &Change,
    session: &mut Session,
    altered: Option<(Blocks, &'static str)>,
) -> Result<Option<InPlace>> {
    let Some((blocks, means)) = altered else { return Ok(None) };
    if change.target.strategy != Strategy::Auto
        || !change.request.dropped_keys.is_empty()
        || !added_keys(change, session).await?.is_empty()
    {
        return Ok(None);
    }
    let statement = sql::ddl::alter_by(means, &change.source, change.request.given.trim());
    Ok(Some(InPlace { statement, blocks }))
}

async fn sizes(change: &Change, session: &mut Session) -> Result<Measured> {
    let query = sql::catalogue::sizes(&change.source);
    let row = session.row(&query).await.doing_in_catalogue(|| change.doing("look at"))?;
    let [rows, indexes] = [0, 1].map(|at| row.as_ref().and_then(|row| number(&row[at])));
    Ok(Measured {
        row_bytes: rows.unwrap_or_default(),
        index_bytes: indexes.unwrap_or_default(),
        ..Measured::default()
    })
}

async fn mapping_of_clone(change: &Change, session: &mut Session) -> Result<Option<ColumnMapping>> {
    let source = read_table(change, session, &change.source).await?;
    let clone = read_table(change, session, &change.names.clone).await?;
    let names = (&change.source, &change.names.clone);
    let (zone, flavour) = (change.server.zone(), change.server.version.flavour);
    Ok(column_mapping::find(names, &source, &clone, change.clauses()?, zone, flavour).ok())
}

/// Drops the indexes that the copy will leave out, too.
async fn leave_indexes_out(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<()> {
    if change.target.keep_indexes {
        return Ok(());
    }
    let clone = &change.names.clone;
    let kept = needed_indexes(change, pool, session, clone, mapping).await?;
    let attempted = || change.doing("look at the altered clone of");
    let definition = definition_of(session, clone).await.doing_in_catalogue(attempted)?;
    let found = secondary(&definition).into_iter().rev();
    let names: Vec<String> =
        found.take_while(|index| !kept.contains(&index.name)).map(|index| index.name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if !names.is_empty() {
        // If the server refuses, the sample is slower than the copy will be.
        let drop = sql::ddl::drop_indexes(&change.source, clone, &names);
        session.execute(&drop).await.ok();
    }
    Ok(())
}

/// Copies the first rows, as the run would, and rolls that back: the log never sees it.
async fn sample(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
    mapping: &ColumnMapping,
    plan: &Plan,
) -> Result<Sample> {
    let attempted = || change.doing("copy a sample of");
    session.execute(sql::session::BEGIN).await.doing(attempted)?;
    let mut sample = Sample::default();
    let mut after = Watermark::Start;
    while let Some(rows) = sample.next_rows(plan.rows_estimated) {
        let end = session.rows(&sql::rows::range_end(mapping, &after, rows)?).await;
        let end = end.doing(attempted)?;
        let through = match end.first() {
            Some(row) => match mapping.key.of_query(row) {
                Some(key) => Watermark::At(key),
                None => break,
            },
            None => Watermark::End,
        };
        let chunk = Chunk { after, through };
        let statement = sql::rows::copy(mapping, &chunk)?;
        let begun = Instant::now();
        // A value that does not fit, or a row in the way, ends the sample. The run will name it.
        match execute_within(session, &pool.access, &statement, SAMPLE_STATEMENT).await {
            Ok(done) => sample.add(done.rows, begun.elapsed()),
            Err(_) => break,
        }
        after = chunk.through;
        if after == Watermark::End {
            break;
        }
    }
    session.execute(sql::session::ROLLBACK).await.doing(attempted)?;
    Ok(sample)
}
