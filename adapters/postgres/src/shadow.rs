//! Makes the shadow and moves rows into it. Values never leave the server.

use crate::alteration::{self, Altered, Deferred, LeftOut, Wish};
use crate::cascade;
use crate::definition;
use crate::duplicates;
use crate::engine::Postgres;
use crate::error;
use crate::followed;
use crate::guard;
use crate::journal::{self, Facts, ShadowFacts};
use crate::key::{self, Raw};
use crate::log_server;
use crate::making;
use crate::materialized;
use crate::names;
use crate::ours;
use crate::preflight;
use crate::session::{Pool, Session};
use crate::spelling;
use crate::sql;
use altergeist_contract::{Chunk, Comparison, Duplicates, Error, Key, Kind, Refusal, Result, Shadow, Watermark};
use futures_util::future::{try_join, try_join_all};
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// The greatest table, in bytes without its indexes and what is out of line, whose shadow is begun without the index its rows
/// are found by: building it holds up everything else of the run, for a minute or so at this size.
const BARE_BYTES_MAX: i64 = 16 << 30;

impl Shadow for Postgres {
    async fn create(&self) -> Result<()> {
        self.require_hold("make the shadow")?;
        let lease = self.control.take().await?;
        let result = create(&lease, self).await;
        self.set_shadow(Some(lease.settle(result).await?));
        Ok(())
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let shadow = self.shadow().await?;
        let attempted = || format!("find the end of a chunk of {}", self.names.display);
        let layout = &shadow.layout;
        let last = i64::try_from(rows.max(1) - 1).unwrap_or(i64::MAX);
        let bounds = key::values(after);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&last];
        parameters.extend(bounds.iter().map(|value| value as &(dyn ToSql + Sync)));
        let lease = self.workers.take().await?;
        let found = lease.query(&sql::chunk_end(layout, after), &parameters).await;
        let found = lease.settle(found.map_err(|error| error::of(attempted(), &error))).await?;
        let through =
            found.first().map_or(Watermark::End, |row| Watermark::At(key::of_row(row, 0, layout.walk().len())));
        Ok(Chunk { after: after.clone(), through })
    }

    async fn copy(&self, chunk: &Chunk) -> Result<u64> {
        let shadow = self.shadow().await?;
        let values = key::both_values(chunk);
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let lease = self.workers.take().await?;
        let copied = lease.execute(&sql::copy(&shadow.layout, &chunk.after, &chunk.through), &parameters).await;
        let attempted = || format!("copy a chunk of {}", self.names.display);
        lease.settle(copied.map_err(|error| row_error(attempted(), &error, &shadow))).await
    }

    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()> {
        let shadow = self.shadow_to_look_in().await?;
        let lease = self.workers.take().await?;
        let result = refresh_in_transaction(&lease, self, &shadow, keys, through).await;
        lease.settle(result).await
    }

    async fn clear_beyond(&self, through: &Watermark) -> Result<()> {
        let statement = match through {
            Watermark::End => return Ok(()),
            Watermark::Start => sql::empty(&self.shadow().await?.layout),
            Watermark::At(_) => sql::delete_beyond(&self.shadow_to_look_in().await?.layout, through),
        };
        let values = key::values(through);
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let lease = self.workers.take().await?;
        let cleared = lease.execute(&statement, &parameters).await;
        let attempted = || format!("clear the shadow of {} beyond the watermark", self.names.display);
        lease.settle(cleared.map(drop).map_err(|error| error::of(attempted(), &error))).await
    }

    async fn clear(&self) -> Result<()> {
        self.clear_beyond(&Watermark::Start).await
    }

    async fn complete(&self, gently: bool) -> Result<()> {
        let shadow = self.shadow().await?;
        if gently {
            self.shadow_to_look_in().await?;
            for index in &shadow.deferred {
                build_index(self, index, true).await?;
            }
        } else {
            // As many builds run at once as there are sessions to lend.
            let others = try_join_all(shadow.deferred.iter().map(|index| build_index(self, index, false)));
            try_join(self.shadow_to_look_in(), others).await?;
        }
        finish_indexes(self, &shadow).await
    }

    fn compares_beside_builds(&self) -> bool {
        true
    }

    async fn analyze(&self, gently: bool) -> Result<()> {
        let shadow = self.shadow().await?;
        let source = journal_source(self).await?;
        materialized::prepare(self, source, shadow.oid).await?;
        // All the workers may be comparing meanwhile.
        let pool = Pool::new(self.server.clone(), self.run.clone(), sql::vacuum_settings(gently), 1);
        let lease = pool.take().await?;
        let attempted = || format!("analyze the shadow of {}", self.names.display);
        // The visibility map is what index-only scans live on.
        let analyzed = lease.run(&format!("VACUUM (ANALYZE, TRUNCATE off) {}", shadow.layout.shadow)).await;
        lease.settle(analyzed.map_err(|error| error::of(attempted(), &error))).await
    }

    async fn compare(&self, chunk: &Chunk) -> Result<Comparison> {
        let shadow = self.shadow_to_look_in().await?;
        let values = key::both_values(chunk);
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let statement = sql::compare_range(&shadow.layout, &chunk.after, &chunk.through);
        compare(self, &shadow, &statement, &parameters).await
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        let shadow = self.shadow_to_look_in().await?;
        let mut differing = Vec::new();
        check_keys(&self.names.display, &shadow, keys)?;
        for set in key::sets(keys, &shadow.layout) {
            let statement = sql::compare_keys(&shadow.layout, set.places);
            let found = compare(self, &shadow, &statement, &set.parameters()).await?;
            differing.extend(found.differing);
        }
        Ok(differing)
    }

    async fn duplicates(&self) -> Result<Vec<Duplicates>> {
        let shadow = self.shadow().await?;
        let lease = self.control.take().await?;
        let result = duplicate_queries(&lease, self, &shadow).await;
        let queries = lease.settle(result).await?;
        let lease = self.workers.take().await?;
        let result = duplicates::count(&lease, &queries).await;
        lease.settle(result).await
    }
}

/// The table the shadow is made for.
async fn journal_source(engine: &Postgres) -> Result<u32> {
    let lease = engine.control.take().await?;
    let facts = journal::facts(&lease, engine).await;
    Ok(lease.settle(facts).await?.source)
}

/// One transaction makes the shadow, alters it, and writes down what must be known of it.
async fn create(session: &Session, engine: &Postgres) -> Result<ShadowFacts> {
    let attempted = || format!("make the shadow of {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
    journal::ensure_tables(session).await?;
    ours::ensure_schema(session, &engine.names.shadow_schema, preflight::source(session, &engine.names).await?).await?;
    session.run("BEGIN").await.map_err(failed)?;
    ours::keep_schemas(session, &attempted()).await?;
    let known = journal::entry(session, engine).await?.facts;
    let source = preflight::source(session, &engine.names).await?;
    make_room(session, engine, known.as_ref(), source).await?;
    let clauses =
        preflight::clauses(session, engine, source).await?.map_err(|refusal| refused(attempted(), &[refusal]))?;
    let (key, _) = preflight::key(session, source).await?;
    let key = key.map_err(|why| Error::refused(attempted(), why))?;
    let wishes = preflight::copy_wishes(session, engine, source).await?;
    let (order, making) = wishes.map_err(|refusal| refused(attempted(), &[refusal]))?;
    let wish = Wish { order: &order, making: making.as_ref(), ..engine.wish(source, Some(&key), &clauses) };
    let mut altered = alteration::alter_clone(session, &wish, &engine.names.shadow_schema).await?;
    altered.arrival.cascade = cascade::find(session, source, &clauses.cascades).await?.objects();
    if !altered.refusals.is_empty() {
        return Err(refused(attempted(), &altered.refusals));
    }
    check_source(attempted(), known.as_ref(), source, &altered)?;
    let mut shadow = strip(session, engine, source, &altered).await?;
    shadow.survivors = survivors(session, engine, source, &shadow).await?;
    let parts = making::partitions(session, shadow.oid).await?;
    shadow.is_guarded = guard::set(session, &engine.names, shadow.oid, &parts).await?;
    if shadow.is_unlogged {
        journal::make_as_ours(session, sql::NOTE_WHOLE).await.map_err(failed)?;
        session.execute(sql::ADD_WHOLE, &[&shadow.oid]).await.map_err(failed)?;
    }
    let facts = Facts {
        system: log_server::system(session).await?,
        log_place: engine.log_place(),
        source,
        source_lines: altered.source_lines,
        witness: known.as_ref().and_then(|known| known.witness.clone()),
        own_identity: known.and_then(|known| known.own_identity),
        shadow: Some(shadow.clone()),
        done: None,
        recipe: None,
    };
    journal::save_facts(session, engine, &facts).await?;
    session.run("COMMIT").await.map_err(failed)?;
    Ok(shadow)
}

/// Makes the schema and drops what an earlier attempt left in it. Only what the journal knows is ours.
async fn make_room(session: &Session, engine: &Postgres, known: Option<&Facts>, source: u32) -> Result<()> {
    let names = &engine.names;
    let attempted = || format!("make room for the shadow of {}", names.display);
    let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
    ours::require_schema(session, &names.shadow_schema, &attempted()).await?;
    match preflight::schema_state(session, &names.shadow_schema).await? {
        preflight::SchemaState::Missing => return definition::make_schema(session, &names.shadow_schema, source).await,
        preflight::SchemaState::Foreign => {
            return Err(Error::refused(
                attempted(),
                format!("the schema {} was made by somebody else", names.shadow_schema),
            ));
        }
        preflight::SchemaState::Ours => definition::open_to_owner(session, &names.shadow_schema, source).await?,
    }
    let Some(found) = journal::table_id(session, &names.shadow_schema, &names.table).await? else { return Ok(()) };
    if known.and_then(|facts| facts.shadow.as_ref()).is_none_or(|shadow| shadow.oid != found) {
        return Err(Error::refused(attempted(), format!("{} is not known to the journal", names.shadow())));
    }
    materialized::drop_twins(session, found).await?;
    session.run(&format!("DROP TABLE {}", names.shadow())).await.map_err(failed)
}

/// The source must be what it was when the log was opened.
fn check_source(attempted: String, known: Option<&Facts>, source: u32, altered: &Altered) -> Result<()> {
    let Some(known) = known.filter(|known| known.source == source) else { return Ok(()) };
    let changed = followed::out_of_reach(&known.source_lines, &altered.source_lines);
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::refused(attempted, format!("the table was changed by somebody else meanwhile: {}", changed.join(", "))))
}

/// Takes away what can wait, gives a partition's shadow what proves that its rows are within the bound, and says what must be
/// known of the shadow.
async fn strip(session: &Session, engine: &Postgres, source: u32, altered: &Altered) -> Result<ShadowFacts> {
    let failed =
        |error: tokio_postgres::Error| error::of_clauses("take away what can wait until rows are copied", &error);
    let layout = altered
        .layout
        .clone()
        .ok_or_else(|| Error::fatal("make the shadow", "the clauses left no way to follow rows"))?;
    let oid = altered.clone;
    let late_rows = session.query(sql::LATE_CONSTRAINTS, &[&oid]).await.map_err(failed)?;
    let mut late: Vec<String> = alteration::drop_helpers(&layout).into_iter().collect();
    let mut script = Vec::new();
    for row in &late_rows {
        script.push(row.get::<_, String>(0));
        late.push(spelling::reread(row.get(1)));
        late.extend(row.get::<_, Option<String>>(2));
    }
    let left_out = match engine.target.keep_indexes {
        true => LeftOut::default(),
        false => alteration::left_out(session, &layout, oid).await?,
    };
    let schema = layout.shadow_schema.clone();
    let drop = |index: &Deferred| format!("DROP INDEX {schema}.{}", names::quoted(&index.name));
    script.extend(left_out.deferred.iter().map(drop));
    let size: i64 = session.one(sql::HEAP_SIZE, &[&source]).await.map_err(failed)?.get(0);
    let lookup = left_out.lookup.filter(|_| size <= BARE_BYTES_MAX);
    script.extend(lookup.iter().map(|(_, drop)| drop.clone()));
    let bound: Option<String> = session.one(sql::PARTITION_BOUND, &[&source]).await.map_err(failed)?.get(0);
    script.extend(
        bound.map(|bound| format!("ALTER TABLE {} ADD CONSTRAINT altergeist_bound CHECK ({bound})", layout.shadow)),
    );
    if !script.is_empty() {
        session.run(&script.join(";\n")).await.map_err(failed)?;
    }
    Ok(ShadowFacts {
        oid,
        lines: altered.lines.clone(),
        is_unlogged: session.one(sql::IS_UNLOGGED, &[&oid]).await.map_err(failed)?.get(0),
        layout,
        deferred: left_out.deferred,
        lookup: lookup.map(|(index, _)| index),
        late,
        arrival: altered.arrival.clone(),
        survivors: Vec::new(),
        is_guarded: false,
        finish: Vec::new(),
    })
}

/// The columns of the source that the shadow has too, with their names in both. A clone's columns are numbered as the
/// source's stand in order, whatever they are renamed to; in a table of the user's own making only the layout tells.
async fn survivors(
    session: &Session,
    engine: &Postgres,
    source: u32,
    shadow: &ShadowFacts,
) -> Result<Vec<(String, String)>> {
    if engine.target.create.is_some() {
        let filled = shadow.layout.columns.iter().map(|column| (column.source.clone(), column.name.clone()));
        return Ok(filled.collect());
    }
    let now = definition::attributes(session, shadow.oid).await?;
    let before = definition::attributes(session, source).await?;
    let number = |at: usize| i16::try_from(at + 1).unwrap_or(i16::MAX);
    let pairs = before.iter().enumerate().filter_map(|(at, old)| {
        let heir = now.iter().find(|new| new.number == number(at))?;
        Some((old.name.clone(), heir.name.clone()))
    });
    Ok(pairs.collect())
}

fn refused(attempted: String, refusals: &[Refusal]) -> Error {
    let reasons: Vec<String> =
        refusals.iter().map(|refusal| format!("{}: {}", refusal.object, refusal.reason)).collect();
    Error::refused(attempted, reasons.join("; "))
}

async fn refresh_in_transaction(
    session: &Session,
    engine: &Postgres,
    shadow: &ShadowFacts,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let attempted = || format!("refresh rows of {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| row_error(attempted(), &error, shadow);
    session.run(sql::BEGIN_REFRESH).await.map_err(failed)?;
    refresh(session, &engine.names.display, shadow, keys, through).await?;
    session.run("COMMIT").await.map_err(failed)
}

/// Deletes all the keys' rows, then inserts those that exist up to the watermark. In the session's transaction.
pub(crate) async fn refresh(
    session: &Session,
    table: &str,
    shadow: &ShadowFacts,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let attempted = || format!("refresh rows of {table}");
    let failed = |error: tokio_postgres::Error| row_error(attempted(), &error, shadow);
    check_keys(table, shadow, keys)?;
    let sets = key::sets(keys, &shadow.layout);
    for set in &sets {
        let delete = sql::delete_keys(&shadow.layout, set.places);
        session.execute(&delete, &set.parameters()).await.map_err(failed)?;
    }
    if *through == Watermark::Start {
        return Ok(());
    }
    let bound = key::values(through);
    for set in &sets {
        let insert = sql::insert_keys(&shadow.layout, through, set.places);
        let mut parameters = set.parameters();
        parameters.extend(bound.iter().map(|value| value as &(dyn ToSql + Sync)));
        session.execute(&insert, &parameters).await.map_err(failed)?;
    }
    Ok(())
}

/// An error of a statement that writes rows; a value that does not fit is one of the changed columns'.
fn row_error(attempted: String, error: &tokio_postgres::Error, shadow: &ShadowFacts) -> Error {
    let mut answer = error::of(attempted, error);
    let is_value = error.code().is_some_and(|code| code.code().starts_with("22"));
    let changed = shadow.layout.changed_columns();
    if is_value && answer.kind == Kind::Fatal && !changed.is_empty() {
        answer.reason = format!("{} (one of the changed columns: {changed})", answer.reason);
    }
    answer
}

fn check_keys(table: &str, shadow: &ShadowFacts, keys: &[Key]) -> Result<()> {
    if keys.iter().all(|key| key::fits(&shadow.layout, key)) {
        return Ok(());
    }
    Err(Error::fatal(format!("refresh rows of {table}"), "a key has another number of columns than the table's"))
}

async fn build_index(engine: &Postgres, index: &Deferred, gently: bool) -> Result<()> {
    let lease = engine.workers.take().await?;
    let result = build_if_missing(&lease, engine, index, gently).await;
    lease.settle(result).await
}

async fn build_if_missing(session: &Session, engine: &Postgres, index: &Deferred, gently: bool) -> Result<()> {
    let attempted = || format!("build the index {} of the shadow of {}", index.name, engine.names.display);
    if journal::table_id(session, &engine.names.shadow_schema, &index.name).await?.is_some() {
        return Ok(());
    }
    let statements = format!(
        "BEGIN; {own} SET LOCAL default_tablespace = {};{} {}; COMMIT",
        names::literal(&index.tablespace),
        if gently { " SET LOCAL max_parallel_maintenance_workers = 0;" } else { "" },
        spelling::reread(&index.create),
        own = sql::use_own_language(),
    );
    session.run(&statements).await.map_err(|error| error::of(attempted(), &error))
}

impl Postgres {
    /// What is known of the shadow, which has the index its rows are found by when this returns.
    async fn shadow_to_look_in(&self) -> Result<Arc<ShadowFacts>> {
        let shadow = self.shadow().await?;
        if let Some(index) = &shadow.lookup {
            self.has_lookup().get_or_try_init(|| build_index(self, index, false)).await?;
        }
        Ok(shadow)
    }
}

/// Constraints, comments and settings take a lock the builds would wait for each other with, so they come last.
async fn finish_indexes(engine: &Postgres, shadow: &ShadowFacts) -> Result<()> {
    let lease = engine.workers.take().await?;
    let result = finish(&lease, engine, shadow).await;
    lease.settle(result).await
}

async fn finish(session: &Session, engine: &Postgres, shadow: &ShadowFacts) -> Result<()> {
    let failed = |error: tokio_postgres::Error| {
        error::of(format!("finish the indexes of the shadow of {}", engine.names.display), &error)
    };
    let mut statements: Vec<&str> = Vec::new();
    for index in shadow.lookup.iter().chain(&shadow.deferred) {
        if let Some(constraint) = &index.constraint {
            let parameters: [&(dyn ToSql + Sync); 2] = [&engine.names.shadow_schema, &index.name];
            let is_made: bool = session.one(sql::IS_CONSTRAINT, &parameters).await.map_err(failed)?.get(0);
            statements.extend((!is_made).then_some(constraint.as_str()));
        }
        statements.extend(index.finish.iter().map(String::as_str));
    }
    if statements.is_empty() {
        return Ok(());
    }
    let script = format!("BEGIN; {}{};\nCOMMIT", sql::use_own_language(), statements.join(";\n"));
    session.run(&script).await.map_err(failed)
}

async fn compare(
    engine: &Postgres,
    shadow: &ShadowFacts,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Comparison> {
    let attempted = || format!("compare {} with its shadow", engine.names.display);
    let lease = engine.workers.take().await?;
    let rows = lease.query(statement, parameters).await;
    let rows = lease.settle(rows.map_err(|error| row_error(attempted(), &error, shadow))).await?;
    let mut comparison = Comparison { rows: 0, differing: Vec::new() };
    for row in &rows {
        comparison.rows += row.get::<_, i64>(0).unsigned_abs();
        if row.get::<_, Option<Raw<'_>>>(1).is_some() {
            comparison.differing.push(key::of_row(row, 1, shadow.layout.keys.len()));
        }
    }
    if comparison.differing.len() > sql::DIFFERENCES {
        return Err(Error::fatal(attempted(), format!("more than {} rows differ", sql::DIFFERENCES)));
    }
    Ok(comparison)
}

async fn duplicate_queries(
    session: &Session,
    engine: &Postgres,
    shadow: &ShadowFacts,
) -> Result<Vec<duplicates::Count>> {
    let facts = journal::facts(session, engine).await?;
    let after = definition::attributes(session, shadow.oid).await?;
    let news = alteration::added_columns(&shadow.layout, &after);
    duplicates::queries(session, facts.source, shadow.oid, &shadow.layout, &news).await
}
