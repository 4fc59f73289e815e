//! Measures what the duration of a change depends on: a sample copy into a clone, in a transaction
//! that is rolled back, and the server's sizes.

use crate::change::Change;
use crate::key::candidates::Candidate;
use crate::key::values;
use crate::log::identity;
use crate::plan::steps;
use crate::schema::alteration;
use crate::schema::altered::CloneRequest;
use crate::schema::catalogue;
use crate::schema::columns::Layout;
use crate::schema::definition;
use crate::schema::lookup_index;
use crate::schema::requested;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::estimate::SAMPLE_STATEMENT;
use altergeist_contract::{
    Blocks, Chunk, InPlace, Measured, Plan, RestorePoint, Result, Sample, Strategy, Watermark,
};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio_postgres::types::ToSql;

pub(crate) async fn measure(session: &Session, change: &Change, plan: &Plan) -> Result<Measured> {
    let attempted = || format!("copy a sample of {}", change.names.display);
    let source = catalogue::source(session, &change.names).await?;
    let sizes = session.one(sql::SIZES, &[&source]).await.doing(attempted)?;
    let size = |at: usize| sizes.get::<_, i64>(at).unsigned_abs();
    let mut measured = Measured {
        row_bytes: size(0),
        index_bytes: size(1),
        log_bytes_per_second: sizes.get::<_, Option<i64>>(2).map(i64::unsigned_abs),
        in_place: in_place(change),
        ..Measured::default()
    };
    session.run(sql::BEGIN).await.doing(attempted)?;
    let sampled = sample(session, change, source, plan).await;
    session.run(sql::ROLLBACK).await.doing(attempted)?;
    measured.sample = sampled?;
    Ok(measured)
}

/// Returns the server's own way: under its lock, nobody reads or writes the table.
fn in_place(change: &Change) -> Option<InPlace> {
    let statement = steps::statements(change).join("; ");
    let is_asked = change.target.strategy == Strategy::Auto && !change.asks_for_a_copy();
    (is_asked && !statement.is_empty())
        .then_some(InPlace { statement, blocks: Blocks::ReadsAndWrites })
}

/// Copies the first rows, as the run would.
async fn sample(session: &Session, change: &Change, source: u32, plan: &Plan) -> Result<Sample> {
    let mut sample = Sample::default();
    let Some(layout) = altered_clone(session, change, source).await? else { return Ok(sample) };
    session.run(&sql::time_limit(SAMPLE_STATEMENT)).await.doing("copy a sample")?;
    let mut after = Watermark::Start;
    while let Some(rows) = sample.next_rows(plan.rows_estimated) {
        let Ok(through) = end_of_chunk(session, &layout, &after, rows).await else { break };
        let chunk = Chunk { after, through };
        let statement = sql::copy(&layout, &chunk.after, &chunk.through);
        let (values, begun) = (values::both_values(&chunk), Instant::now());
        // A value that does not fit, or a row in the way, ends the sample. The run will name it.
        match session.execute(&statement, &values::parameters(&values)).await {
            Ok(copied) => sample.add(copied, begun.elapsed()),
            Err(_) => break,
        }
        after = chunk.through;
        if after == Watermark::End {
            break;
        }
    }
    Ok(sample)
}

async fn end_of_chunk(
    session: &Session,
    layout: &Layout,
    after: &Watermark,
    rows: u64,
) -> Result<Watermark> {
    let last = i64::try_from(rows.max(1) - 1).unwrap_or(i64::MAX);
    let bounds = values::values(after);
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&last];
    parameters.extend(bounds.iter().map(|value| value as &(dyn ToSql + Sync)));
    let found = session.query(&sql::chunk_end(layout, after), &parameters).await;
    let found = found.doing("find the end of a sample")?;
    Ok(found.first().map_or(Watermark::End, |row| {
        Watermark::At(values::of_row(row, 0, layout.scan_columns().len()))
    }))
}

/// Makes the altered clone without the indexes that the copy leaves out. None if rows cannot be
/// copied into it.
async fn altered_clone(session: &Session, change: &Change, source: u32) -> Result<Option<Layout>> {
    let attempted = || format!("try the clauses on a clone of {}", change.names.display);
    let schema = change.trial_schema();
    definition::make_schema(session, &schema, source).await?;
    let Some(key) = key(session, change, source).await? else { return Ok(None) };
    let Ok(clauses) = requested::clauses(session, change, source).await? else { return Ok(None) };
    let requested = requested::order_and_table(session, &change.target, source).await?;
    let Ok((order, user_table)) = requested else { return Ok(None) };
    let request = CloneRequest {
        order: &order,
        user_table: user_table.as_ref(),
        ..requested::clone_request(change, source, Some(&key), &clauses)
    };
    let altered = alteration::alter_clone(session, &request, &schema).await?;
    let Some(layout) = altered.layout.clone().filter(|_| altered.refusals.is_empty()) else {
        return Ok(None);
    };
    let left_out = match change.target.keep_indexes {
        true => Default::default(),
        false => lookup_index::left_out(session, &layout, altered.clone).await?,
    };
    let drop = |name: &str| sql::drop_in("INDEX", &layout.shadow_schema, &quote::quoted(name));
    let mut script: Vec<String> = left_out.deferred.iter().map(|index| drop(&index.name)).collect();
    script.extend(left_out.lookup.map(|(_, drop)| drop));
    if !script.is_empty() {
        session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
    }
    Ok(Some(layout))
}

async fn key(session: &Session, change: &Change, source: u32) -> Result<Option<Candidate>> {
    if let Ok(key) = catalogue::key(session, source).await?.0 {
        return Ok(Some(key));
    }
    let temporary = identity::temporary_identity(session, change, source).await?;
    Ok(temporary.map(|temporary| temporary.key))
}

/// Returns the end of the log, and marks it where the user may do that. Point-in-time recovery
/// takes both: `recovery_target_lsn`, `recovery_target_name`.
pub(crate) async fn restore_point(session: &Session, name: &str) -> Result<RestorePoint> {
    let attempted = "note the point to restore to";
    let now = session.one(sql::RESTORE_POINT, &[]).await.doing(attempted)?;
    let (position, may_mark): (String, bool) = (now.get(0), now.get(1));
    // It is never a reason to fail: the position is enough.
    let is_marked = may_mark && session.query(sql::MARK_RESTORE_POINT, &[&name]).await.is_ok();
    let at_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    Ok(RestorePoint { position, name: is_marked.then(|| name.to_owned()), at_seconds })
}
