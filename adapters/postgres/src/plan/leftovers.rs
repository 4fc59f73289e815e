//! What this tool has left on a server for one table, and how to drop it. An object counts as ours
//! if the journal knows it, or if nobody else would use its name.

use crate::change::Change;
use crate::cutover::materialized_views::{self, MaterializedView};
use crate::cutover::replacement_views;
use crate::facts::OnlineSteps;
use crate::journal::{self, Entry};
use crate::log::orphaned::{self, OrphanedObject};
use crate::log::slot;
use crate::log::source::LogSource;
use crate::plan::online_steps;
use crate::schema::catalogue::{self, SchemaState};
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::own_objects::{self, JournalLock};
use crate::server::session::Session;
use crate::shadow::guard;
use crate::sql;
use crate::sql::quote::qualified;
use altergeist_contract::{Disposal, Error, Leftover, Result, Stage};

/// The leftovers that exist.
struct Inventory {
    shadow: Option<(u32, String)>,
    /// The materialized views that wait for the swap.
    replacements: Vec<String>,
    old: bool,
    /// Whether a table bears the old table's name that is not known to be ours.
    unknown_old: bool,
    slot: bool,
    /// The standby that has the slot, if the user did not name it.
    slot_elsewhere: Option<String>,
    orphaned: Vec<OrphanedObject>,
    publication: bool,
    /// Whether the source has a replica identity for the time of the run.
    identity: bool,
    entry: bool,
    /// Whether no other user can have written the entry.
    is_ours: bool,
    online_steps: Option<OnlineSteps>,
    stage: Option<Stage>,
}

async fn find(session: &Session, change: &Change, source: &LogSource) -> Result<Inventory> {
    let attempted = || format!("look for leftovers of {}", change.names.display);
    let names = &change.names;
    let Entry { record, facts, is_ours } = journal::entry(session, names).await?;
    let old = catalogue::table_id(session, &names.old_schema, &names.table).await?;
    let known_shadow =
        facts.as_ref().and_then(|facts| facts.shadow.as_ref()).map(|shadow| shadow.oid);
    let known_source = facts.as_ref().map(|facts| facts.source);
    // Where somebody has dropped the journal, what lies in a schema of ours under the table's name
    // is what is left of its change.
    let is_forgotten = facts.is_none();
    let is_ours_by_place = async |schema: &str| {
        let is_marked =
            matches!(catalogue::schema_state(session, schema).await?, SchemaState::Ours);
        Ok::<_, Error>(
            is_forgotten
                && is_marked
                && own_objects::stranger_schema(session, schema).await?.is_none(),
        )
    };
    let in_old = is_ours_by_place(&names.old_schema).await?;
    let shadow = match known_shadow {
        None if is_ours_by_place(&names.shadow_schema).await? => {
            let found = catalogue::table_id(session, &names.shadow_schema, &names.table).await?;
            found.map(|found| (found, names.shadow()))
        }
        None => None,
        // Another session may have renamed it.
        Some(known) => {
            let rows = session
                .query(sql::NAME_IN, &[&known, &names.shadow_schema])
                .await
                .doing(attempted)?;
            rows.first().map(|row| (known, qualified(&names.shadow_schema, row.get(0))))
        }
    };
    let is_old_ours = old.is_some() && (old == known_source || in_old);
    let replacements = match &shadow {
        Some((shadow, _)) => materialized_views::list(session, *shadow).await?,
        None => Vec::new(),
    };
    Ok(Inventory {
        shadow,
        replacements: replacements.iter().map(MaterializedView::display).collect(),
        old: is_old_ours,
        unknown_old: old.is_some() && !is_old_ours,
        slot: !source
            .session(session)
            .await?
            .query(sql::SLOT, &[&names.slot])
            .await
            .doing(attempted)?
            .is_empty(),
        slot_elsewhere: facts
            .as_ref()
            .and_then(|facts| facts.log_place.clone())
            .filter(|_| change.target.stream_from.is_none()),
        orphaned: orphaned::find(session, change).await?,
        publication: session
            .one(sql::PUBLICATION, &[&names.publication])
            .await
            .doing(attempted)?
            .get(0),
        identity: facts.as_ref().is_some_and(|facts| facts.own_identity.is_some()),
        entry: record.is_some() || facts.is_some(),
        is_ours,
        online_steps: facts
            .as_ref()
            .and_then(|facts| facts.online_steps.clone())
            .filter(|online_steps| !online_steps.is_done()),
        stage: record.map(|record| record.stage),
    })
}

/// Lists the leftovers.
pub(crate) async fn list(
    session: &Session,
    change: &Change,
    source: &LogSource,
) -> Result<Vec<Leftover>> {
    let found = find(session, change, source).await?;
    let names = &change.names;
    let needed = match found.stage {
        Some(Stage::Done) => "left by a finished change; not needed",
        Some(_) => "needed to go on with the change that was begun",
        None => "left by a change that hardly began; not needed",
    };
    let mut list = Vec::new();
    let mut add = |is_there: bool, object: String, reason: &str, disposal: Disposal| {
        if is_there {
            list.push(Leftover { object, reason: reason.to_owned(), disposal });
        }
    };
    let begun = "left by a change in steps that is not finished; the same command goes on with it";
    add(
        found.online_steps.is_some(),
        format!("constraints and indexes begun on {}", names.display),
        begun,
        Disposal::Dropped,
    );
    if let Some((_, shadow)) = &found.shadow {
        add(true, format!("shadow table {shadow}"), needed, Disposal::Dropped);
    }
    for replacement in &found.replacements {
        add(true, format!("materialized view {replacement}"), needed, Disposal::Dropped);
    }
    add(found.slot, format!("replication slot {}", names.slot), needed, Disposal::Dropped);
    if let Some(place) = &found.slot_elsewhere {
        add(true, format!("replication slot {} on {place}", names.slot), needed, Disposal::Dropped);
    }
    add(found.publication, format!("publication {}", names.publication), needed, Disposal::Dropped);
    add(
        found.identity,
        format!("replica identity of {}", names.display),
        "lent for the time of the change",
        Disposal::Dropped,
    );
    add(
        found.old,
        format!("old table {}", names.old()),
        "the table before the change: the way back",
        Disposal::DroppedWithOld,
    );
    let kept =
        if found.stage == Some(Stage::Done) { "tells that the change is done" } else { needed };
    add(
        found.entry,
        format!("journal entry of {} in altergeist.journal", names.display),
        kept,
        // It proves the old table ours.
        if found.old { Disposal::DroppedWithOld } else { Disposal::Dropped },
    );
    if found.unknown_old {
        let reason = "it bears the name of an old table, and the journal does not know it; if \
                      nobody needs it, drop it";
        add(true, format!("table {}", names.old()), reason, Disposal::Unclaimed);
    }
    for orphan in &found.orphaned {
        let kind = if orphan.is_slot { "replication slot" } else { "publication" };
        let why = "left by a change the journal does not know any more; nobody needs it";
        add(true, format!("{kind} {}", orphan.name), why, Disposal::Dropped);
    }
    Ok(list)
}

/// Drops what [`list`] lists. The journal's entry stays while the old table does, because it proves
/// that the table is ours.
pub(crate) async fn clear(
    session: &Session,
    change: &Change,
    source: &LogSource,
    old_too: bool,
) -> Result<()> {
    let names = &change.names;
    let found = find(session, change, source).await?;
    slot::drop_log(session, change, source).await?;
    for orphan in &found.orphaned {
        orphan.drop(session).await?;
    }
    if let Some(online_steps) = &found.online_steps {
        if !found.is_ours {
            own_objects::require(
                session,
                &format!("take back what was begun on {}", names.display),
            )
            .await?;
        }
        online_steps::undo(session, names, online_steps).await?;
    }
    if let Some((shadow, name)) = &found.shadow {
        let replacements = materialized_views::list(session, *shadow).await?;
        replacement_views::drop_all(session, *shadow).await?;
        for replacement in &replacements {
            own_objects::drop_schema_if_empty(session, replacement.schema()).await?;
        }
        drop_table(session, name).await?;
    }
    if matches!(catalogue::schema_state(session, &names.shadow_schema).await?, SchemaState::Ours) {
        drop_guard(session, names).await?;
    }
    own_objects::drop_schema_if_empty(session, &names.shadow_schema).await?;
    if found.old && !old_too {
        return Ok(());
    }
    if found.old {
        drop_table(session, &names.old()).await?;
    }
    own_objects::drop_schema_if_empty(session, &names.old_schema).await?;
    if !found.entry {
        return Ok(());
    }
    let forgotten =
        own_objects::use_journal(session, JournalLock::Write, &sql::forget(&names.display)).await;
    forgotten
        .map(drop)
        .map_err(|error| own_objects::journal_error(format!("forget {}", names.display), &error))
}

/// Drops the guard after the shadow is gone.
async fn drop_guard(session: &Session, names: &Names) -> Result<()> {
    let dropped = session.run(&guard::drop_note(names).join(";\n")).await;
    dropped.trying_clauses(format!("drop the guard of the shadow of {}", names.display))
}

async fn drop_table(session: &Session, table: &str) -> Result<()> {
    let dropped = session.run(&sql::drop_table(table)).await;
    dropped.map_err(|error| error::of_drop(format!("drop {table}"), &error))
}
