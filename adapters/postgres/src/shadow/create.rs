//! Creates the shadow, in one transaction.

use crate::change::Change;
use crate::cutover::replacement_views;
use crate::facts::{Facts, ShadowFacts};
use crate::journal;
use crate::log::source::{self, LogSource};
use crate::plan::cascade;
use crate::schema::alteration;
use crate::schema::altered::{Altered, CloneRequest, DeferredIndex, LeftOut};
use crate::schema::catalogue;
use crate::schema::definition;
use crate::schema::expression;
use crate::schema::lookup_index;
use crate::schema::requested;
use crate::schema::user_definition;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::session::Session;
use crate::shadow::concurrent_ddl;
use crate::shadow::guard;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Error, Finding, Result};

/// The largest table, in bytes of its rows, for a shadow without the index that finds its rows.
/// Nothing else of the run goes on while that index is built, for about a minute at this size.
const BARE_BYTES_MAX: i64 = 16 << 30;

/// Creates the shadow, alters it, and notes the facts about it, in one transaction.
pub(crate) async fn create(
    session: &Session,
    change: &Change,
    log: &LogSource,
) -> Result<ShadowFacts> {
    let names = &change.names;
    let attempted = || format!("make the shadow of {}", names.display);
    journal::ensure_tables(session).await?;
    own_objects::ensure_schema(
        session,
        &names.shadow_schema,
        catalogue::source(session, names).await?,
    )
    .await?;
    session.run(sql::BEGIN).await.trying_clauses(attempted)?;
    own_objects::keep_schemas(session, &attempted()).await?;
    let known = journal::entry(session, names).await?.facts;
    let source = catalogue::source(session, names).await?;
    make_room(session, names, known.as_ref(), source).await?;
    let altered = alter(session, change, source, attempted()).await?;
    check_source(attempted(), known.as_ref(), source, &altered)?;
    let mut shadow = strip(session, change, source, &altered).await?;
    shadow.survivors = survivors(session, change, source, &shadow).await?;
    let parts = user_definition::partitions(session, shadow.oid).await?;
    shadow.is_guarded = guard::set(session, names, shadow.oid, &parts).await?;
    if shadow.is_unlogged {
        journal::make_as_ours(session, sql::NOTE_WHOLE).await.trying_clauses(attempted)?;
        session.execute(sql::ADD_WHOLE, &[&shadow.oid]).await.trying_clauses(attempted)?;
    }
    let facts = Facts {
        system: source::system(session).await?,
        log_place: log.place(),
        source,
        source_lines: altered.source_lines,
        stream_conditions: known.as_ref().and_then(|known| known.stream_conditions.clone()),
        own_identity: known.and_then(|known| known.own_identity),
        shadow: Some(shadow.clone()),
        done: None,
        online_steps: None,
        reverse: None,
    };
    journal::save_facts(session, names, &facts).await?;
    session.run(sql::COMMIT).await.trying_clauses(attempted)?;
    Ok(shadow)
}

/// Builds the altered table in the shadow's schema.
async fn alter(
    session: &Session,
    change: &Change,
    source: u32,
    attempted: String,
) -> Result<Altered> {
    let refused = |refusal| refused(attempted.clone(), &[refusal]);
    let clauses = requested::clauses(session, change, source).await?.map_err(refused)?;
    let (key, _) = catalogue::key(session, source).await?;
    let key = key.map_err(|why| Error::refused(attempted.clone(), why))?;
    let requested = requested::order_and_table(session, &change.target, source).await?;
    let (order, user_table) = requested.map_err(refused)?;
    let request = CloneRequest {
        order: &order,
        user_table: user_table.as_ref(),
        ..requested::clone_request(change, source, Some(&key), &clauses)
    };
    let mut altered =
        alteration::alter_clone(session, &request, &change.names.shadow_schema).await?;
    altered.final_steps.cascade =
        cascade::find(session, source, &clauses.cascades).await?.objects();
    match altered.refusals.is_empty() {
        true => Ok(altered),
        false => Err(self::refused(attempted, &altered.refusals)),
    }
}

/// Creates the schema and drops the shadow of an earlier attempt. It drops only what the journal
/// knows.
async fn make_room(
    session: &Session,
    names: &Names,
    known: Option<&Facts>,
    source: u32,
) -> Result<()> {
    let attempted = || format!("make room for the shadow of {}", names.display);
    own_objects::require_schema(session, &names.shadow_schema, &attempted()).await?;
    match catalogue::schema_state(session, &names.shadow_schema).await? {
        catalogue::SchemaState::Missing => {
            return definition::make_schema(session, &names.shadow_schema, source).await;
        }
        catalogue::SchemaState::Foreign => {
            return Err(Error::refused(
                attempted(),
                format!("the schema {} was created by another user", names.shadow_schema),
            ));
        }
        catalogue::SchemaState::Ours => {
            definition::open_to_owner(session, &names.shadow_schema, source).await?
        }
    }
    let Some(found) = catalogue::table_id(session, &names.shadow_schema, &names.table).await?
    else {
        return Ok(());
    };
    if known.and_then(|facts| facts.shadow.as_ref()).is_none_or(|shadow| shadow.oid != found) {
        return Err(Error::refused(
            attempted(),
            format!("{} is not known to the journal", names.shadow()),
        ));
    }
    replacement_views::drop_all(session, found).await?;
    session.run(&sql::drop_table(&names.shadow())).await.trying_clauses(attempted)
}

/// Checks that the source has not changed since the log was opened.
fn check_source(
    attempted: String,
    known: Option<&Facts>,
    source: u32,
    altered: &Altered,
) -> Result<()> {
    let Some(known) = known.filter(|known| known.source == source) else { return Ok(()) };
    let changed = concurrent_ddl::unfollowable(&known.source_lines, &altered.source_lines);
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        attempted,
        format!("the table was changed by another session meanwhile: {}", changed.join(", ")),
    ))
}

/// Drops what can wait, and adds the proof that a partition's rows are within its bound. Returns
/// the facts about the shadow.
async fn strip(
    session: &Session,
    change: &Change,
    source: u32,
    altered: &Altered,
) -> Result<ShadowFacts> {
    let attempted = "drop what can wait until rows are copied";
    let layout = altered
        .layout
        .clone()
        .ok_or_else(|| Error::fatal("make the shadow", "the clauses left no way to follow rows"))?;
    let oid = altered.clone;
    let late_rows =
        session.query(sql::LATE_CONSTRAINTS, &[&oid]).await.trying_clauses(attempted)?;
    let mut late: Vec<String> = lookup_index::drop_helpers(&layout).into_iter().collect();
    let mut script = Vec::new();
    for row in &late_rows {
        script.push(row.get::<_, String>(0));
        late.push(expression::reread(row.get(1)));
        late.extend(row.get::<_, Option<String>>(2));
    }
    let left_out = match change.target.keep_indexes {
        true => LeftOut::default(),
        false => lookup_index::left_out(session, &layout, oid).await?,
    };
    let schema = layout.shadow_schema.clone();
    let drop = |index: &DeferredIndex| sql::drop_in("INDEX", &schema, &quote::quoted(&index.name));
    script.extend(left_out.deferred.iter().map(drop));
    let size: i64 = session.one(sql::HEAP_SIZE, &[&source]).await.trying_clauses(attempted)?.get(0);
    let lookup = left_out.lookup.filter(|_| size <= BARE_BYTES_MAX);
    script.extend(lookup.iter().map(|(_, drop)| drop.clone()));
    let bound: Option<String> =
        session.one(sql::PARTITION_BOUND, &[&source]).await.trying_clauses(attempted)?.get(0);
    script.extend(bound.map(|bound| sql::add_bound(&layout.shadow, &bound)));
    if !script.is_empty() {
        session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
    }
    Ok(ShadowFacts {
        oid,
        lines: altered.lines.clone(),
        is_unlogged: session.one(sql::IS_UNLOGGED, &[&oid]).await.trying_clauses(attempted)?.get(0),
        layout,
        deferred: left_out.deferred,
        lookup: lookup.map(|(index, _)| index),
        late,
        final_steps: altered.final_steps.clone(),
        survivors: Vec::new(),
        is_guarded: false,
        finish: Vec::new(),
        originals: None,
    })
}

/// Returns the source's columns that the shadow has too, with both names. A clone's columns have
/// the numbers of the source's columns in order, whatever their names. For the user's own table
/// only the layout knows them.
async fn survivors(
    session: &Session,
    change: &Change,
    source: u32,
    shadow: &ShadowFacts,
) -> Result<Vec<(String, String)>> {
    if change.target.create.is_some() {
        let filled =
            shadow.layout.columns.iter().map(|column| (column.source.clone(), column.name.clone()));
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

fn refused(attempted: String, refusals: &[Finding]) -> Error {
    let reasons: Vec<String> =
        refusals.iter().map(|refusal| format!("{}: {}", refusal.object, refusal.message)).collect();
    Error::refused(attempted, reasons.join("; "))
}
