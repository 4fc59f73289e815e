//! Replacements of the materialized views. The run creates them over the shadow and fills them
//! before the swap. The swap puts them in place.

use crate::change::Change;
use crate::cutover::materialized_views::{self, MaterializedView};
use crate::plan::cascade;
use crate::plan::rehearsal::{self, Adapted};
use crate::schema::catalogue::{self, SchemaState};
use crate::schema::definition;
use crate::schema::expression;
use crate::schema::retarget::{Move, retarget};
use crate::server::doing::Doing;
use crate::server::names::{self, Names};
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::{self, quoted};
use crate::state::Sessions;
use altergeist_contract::{Code, Error, Finding, Result};

/// Creates the replacements, empty, over the table of the same name in `schema`, in a schema of
/// their own. It runs inside the session's transaction. Returns refusals for those that differ.
pub(crate) async fn create(
    session: &Session,
    names: &Names,
    source: u32,
    schema: &str,
    views: &[MaterializedView],
    adapted: &Adapted,
) -> Result<Vec<Finding>> {
    let mut refusals = Vec::new();
    if views.is_empty() {
        return Ok(refusals);
    }
    let home = home(names);
    definition::make_schema(session, &home, source).await?;
    let own =
        Move { schema: quoted(&names.schema), name: quoted(&names.table), to: quoted(schema) };
    let mut moves = vec![own];
    for view in views {
        refusals.extend(create_one(session, names, (view, views), source, &moves, adapted).await?);
        moves.push(Move {
            schema: quoted(&view.schema),
            name: quoted(&view.name),
            to: quoted(&home),
        });
    }
    Ok(refusals)
}

/// Creates the replacement of one view. Returns why it is not the same.
async fn create_one(
    session: &Session,
    names: &Names,
    (view, views): (&MaterializedView, &[MaterializedView]),
    source: u32,
    moves: &[Move],
    adapted: &Adapted,
) -> Result<Option<Finding>> {
    let attempted = || format!("create the materialized views over {} again", names.display);
    let home = home(names);
    definition::open_to_owner(session, &home, view.oid).await?;
    let own = quote::qualified(&home, &view.name);
    let query: String =
        session.one(sql::VIEW_QUERY, &[&view.oid]).await.trying_clauses(attempted)?.get(0);
    let query = retarget(&adapted.query(&query), moves);
    let query = expression::reread(query.trim_end().trim_end_matches(';'));
    let create = sql::create_materialized_view(&own, &view.storage, &query);
    session.run(&create).await.trying_clauses(attempted)?;
    definition::recreate_objects(session, view.oid, &own, &home).await?;
    let replacement: u32 =
        session.one(sql::TABLE_ID, &[&home, &view.name]).await.trying_clauses(attempted)?.get(0);
    definition::carry_privileges(session, view.oid, replacement, &own)
        .await
        .trying_clauses(attempted)?;
    let replaced: Vec<u32> = views.iter().map(|view| view.oid).chain([source]).collect();
    let strays: bool = session
        .one(sql::READS_ANY, &[&replacement, &replaced])
        .await
        .trying_clauses(attempted)?
        .get(0);
    let unlike = definition::differences(
        &definition::describe(session, view.oid).await?,
        &definition::describe(session, replacement).await?,
    );
    let reason = match (strays, unlike.is_empty()) {
        (true, _) => "its query names the table in an ambiguous way".to_owned(),
        (false, false) => {
            format!("the server cannot create it again exactly as it is: {}", unlike.join(", "))
        }
        (false, true) => return Ok(None),
    };
    let object = format!("materialized view {}", view.display());
    Ok(Some(Finding::error(Code::Dependent, object, reason, "drop it until the change is done")))
}

/// Moves the replacements to the schemas where they wait for the swap.
async fn move_to_waiting(
    session: &Session,
    names: &Names,
    views: &[MaterializedView],
) -> Result<()> {
    let attempted = || format!("create the materialized views over {} again", names.display);
    let home = home(names);
    for view in views {
        let waiting = view.waiting_schema();
        if matches!(catalogue::schema_state(session, &waiting).await?, SchemaState::Missing) {
            definition::make_schema(session, &waiting, view.oid).await?;
        }
        definition::open_to_owner(session, &waiting, view.oid).await?;
        session
            .run(&move_view(session, &home, &view.name, &waiting).await?)
            .await
            .trying_clauses(attempted)?;
    }
    session.run(&sql::drop_schema(&home)).await.trying_clauses(attempted)
}

/// Returns the schema where replacements are created, and where the old views go.
fn home(names: &Names) -> String {
    format!("ag_views_{}", names::tag(&names.display))
}

/// Creates the replacements again and fills them. They read the shadow, and nobody reads them.
pub(crate) async fn prepare(
    sessions: &Sessions,
    change: &Change,
    source: u32,
    shadow: u32,
) -> Result<()> {
    let lease = sessions.control.take().await?;
    let result = recreate(&lease, change, source, shadow).await;
    let views = lease.settle(result).await?;
    for view in views.iter().filter(|view| view.has_rows) {
        let lease = sessions.workers.take().await?;
        let fill = sql::fill_materialized_view(&view.replacement());
        let filled = lease.run(&fill).await;
        let attempted = || format!("fill the materialized view {} again", view.display());
        lease.settle(filled.doing(attempted)).await?;
    }
    Ok(())
}

async fn recreate(
    session: &Session,
    change: &Change,
    source: u32,
    shadow: u32,
) -> Result<Vec<MaterializedView>> {
    let cascade = cascade::of_change(session, change, source).await?;
    let views = cascade.without(materialized_views::list(session, source).await?);
    if views.is_empty() {
        return Ok(views);
    }
    let attempted = || format!("create the materialized views over {} again", change.names.display);
    let adapted = rehearsal::beforehand(session, change, source, &views).await?;
    session.run(sql::BEGIN).await.trying_clauses(attempted)?;
    drop_all(session, shadow).await?;
    let refusals =
        create(session, &change.names, source, &change.names.shadow_schema, &views, &adapted)
            .await?;
    if let Some(refusal) = refusals.first() {
        return Err(Error::refused(
            attempted(),
            format!("{}: {}", refusal.object, refusal.message),
        ));
    }
    move_to_waiting(session, &change.names, &views).await?;
    session.run(sql::COMMIT).await.trying_clauses(attempted)?;
    Ok(views)
}

/// Whether every view has a replacement, with rows if the view has rows.
pub(crate) async fn are_ready(
    session: &Session,
    views: &[MaterializedView],
    shadow: u32,
) -> Result<bool> {
    let replacements = materialized_views::list(session, shadow).await?;
    let has_replacement = |view: &&MaterializedView| {
        replacements.iter().any(|replacement| {
            replacement.display() == view.replacement() && replacement.has_rows == view.has_rows
        })
    };
    Ok(views.iter().filter(has_replacement).count() == views.len())
}

/// Returns each view with its replacement.
pub(crate) async fn pairs(
    session: &Session,
    views: &[MaterializedView],
    shadow: u32,
) -> Result<Vec<(u32, u32)>> {
    let replacements = materialized_views::list(session, shadow).await?;
    let pair = |view: &MaterializedView| {
        let replacement =
            replacements.iter().find(|replacement| replacement.display() == view.replacement())?;
        Some((view.oid, replacement.oid))
    };
    Ok(views.iter().filter_map(pair).collect())
}

/// Drops the views that read the shadow.
pub(crate) async fn drop_all(session: &Session, shadow: u32) -> Result<()> {
    for replacement in materialized_views::list(session, shadow).await?.iter().rev() {
        let dropped = session.run(&sql::drop_materialized_view(&replacement.display())).await;
        dropped.trying_clauses(format!("drop {}", replacement.display()))?;
    }
    Ok(())
}

/// Returns the statements that move the old views away and the replacements into place: those
/// before the dependents are created again, and those after.
pub(crate) async fn swap(
    session: &Session,
    names: &Names,
    views: &[MaterializedView],
) -> Result<(Vec<String>, Vec<String>)> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    if views.is_empty() {
        return Ok((before, after));
    }
    let gone = home(names);
    before.push(sql::create_plain_schema(&gone));
    for view in views {
        before.push(sql::open_schema(&gone, &owner(session, view).await?));
        before.push(move_view(session, &view.schema, &view.name, &gone).await?);
        before.push(move_view(session, &view.waiting_schema(), &view.name, &view.schema).await?);
    }
    for view in views.iter().rev() {
        after.push(sql::drop_materialized_view(&quote::qualified(&gone, &view.name)));
    }
    after.push(sql::drop_schema(&gone));
    Ok((before, after))
}

async fn owner(session: &Session, view: &MaterializedView) -> Result<String> {
    let row = session.one(sql::OWNER, &[&view.oid]).await;
    Ok(row.doing(format!("read the owner of {}", view.display()))?.get(0))
}

/// Returns the definitions, to compare before and after the swap: the present ones, or the adapted
/// ones.
pub(crate) async fn definitions(
    session: &Session,
    views: &[MaterializedView],
    adapted: &Adapted,
) -> Result<Vec<(String, String)>> {
    let mut definitions = Vec::new();
    for view in views {
        let query: String = session
            .one(sql::VIEW_QUERY, &[&view.oid])
            .await
            .doing("read materialized views")?
            .get(0);
        let mut text = adapted.query(&query);
        for line in definition::describe(session, view.oid).await? {
            text.push_str(&format!("\n{}: {}", line.object, line.definition));
        }
        definitions.push((view.display(), text));
    }
    definitions.sort();
    Ok(definitions)
}

/// Drops the schemas where the replacements waited.
pub(crate) async fn leave(session: &Session, table: u32) -> Result<()> {
    for view in materialized_views::list(session, table).await? {
        crate::server::own_objects::drop_schema_if_empty(session, &view.waiting_schema()).await?;
    }
    Ok(())
}

fn move_to(kind: &str, from: &str, name: &str, to: &str) -> String {
    sql::set_schema(kind, &quote::qualified(from, name), to)
}

/// Returns the statements that move a view and its statistics, which would stay behind.
async fn move_view(session: &Session, from: &str, name: &str, to: &str) -> Result<String> {
    let attempted = || format!("read the statistics of {name}");
    let mut script = move_to("MATERIALIZED VIEW", from, name, to);
    let Some(row) =
        session.query(sql::TABLE_ID, &[&from, &name]).await.doing(attempted)?.into_iter().next()
    else {
        return Ok(script);
    };
    for row in session.query(sql::STATISTICS, &[&row.get::<_, u32>(0)]).await.doing(attempted)? {
        let statistics: (String, String) = (row.get(0), row.get(1));
        if statistics.1 == from {
            script.push_str(&format!(";\n{}", move_to("STATISTICS", from, &statistics.0, to)));
        }
    }
    Ok(script)
}
