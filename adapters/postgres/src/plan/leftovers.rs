//! What this tool has left on a server for one table, and how to drop it. An object counts as ours
//! if the journal knows it, or if nobody else would use its name.

use crate::change::Change;
use crate::cutover::finish;
use crate::cutover::materialized_views::{self, MaterializedView};
use crate::cutover::replacement_views;
use crate::facts::{Facts, OnlineSteps};
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
use altergeist_contract::{Disposal, Leftover, Result, Stage};

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

impl Inventory {
    /// Whether the table in the shadow's place is the altered one of a change that was undone.
    fn is_reverted(&self) -> bool {
        self.stage == Some(Stage::Reverted)
    }

    /// Whether a table is kept that only the journal's entry proves to be ours.
    fn keeps_a_table(&self) -> bool {
        self.old || self.is_reverted() && self.shadow.is_some()
    }
}

async fn find(session: &Session, change: &Change, source: &LogSource) -> Result<Inventory> {
    let attempted = || format!("look for leftovers of {}", change.names.display);
    let names = &change.names;
    let Entry { record, facts, is_ours } = journal::entry(session, names).await?;
    let old = catalogue::table_id(session, &names.old_schema, &names.table).await?;
    let known_source = facts.as_ref().map(|facts| facts.source);
    let in_old = facts.is_none() && is_ours_by_place(session, &names.old_schema).await?;
    let is_old_ours = old.is_some() && (old == known_source || in_old);
    let shadow = find_shadow(session, names, facts.as_ref()).await?;
    let replacements = match &shadow {
        Some((shadow, _)) => materialized_views::list(session, *shadow).await?,
        None => Vec::new(),
    };
    let slots = source.session(session).await?.query(sql::SLOT, &[&names.slot]).await;
    let publication = session.one(sql::PUBLICATION, &[&names.publication]).await;
    let facts_or_none = facts.as_ref();
    Ok(Inventory {
        shadow,
        replacements: replacements.iter().map(MaterializedView::display).collect(),
        old: is_old_ours,
        unknown_old: old.is_some() && !is_old_ours,
        slot: !slots.doing(attempted)?.is_empty(),
        slot_elsewhere: facts_or_none
            .and_then(|facts| facts.log_place.clone())
            .filter(|_| change.target.stream_from.is_none()),
        orphaned: orphaned::find(session, change).await?,
        publication: publication.doing(attempted)?.get(0),
        identity: facts_or_none.is_some_and(|facts| facts.own_identity.is_some()),
        entry: record.is_some() || facts.is_some(),
        is_ours,
        online_steps: facts
            .and_then(|facts| facts.online_steps)
            .filter(|online_steps| !online_steps.is_done()),
        stage: record.map(|record| record.stage),
    })
}

/// Whether a table in this schema is ours although the journal does not know it. If somebody
/// dropped the journal, a table in a schema of ours with the table's name is left of its change.
async fn is_ours_by_place(session: &Session, schema: &str) -> Result<bool> {
    Ok(matches!(catalogue::schema_state(session, schema).await?, SchemaState::Ours)
        && own_objects::stranger_schema(session, schema).await?.is_none())
}

/// Finds the shadow, also if another session renamed it.
async fn find_shadow(
    session: &Session,
    names: &Names,
    facts: Option<&Facts>,
) -> Result<Option<(u32, String)>> {
    let known = facts.and_then(|facts| facts.shadow.as_ref()).map(|shadow| shadow.oid);
    let Some(known) = known else {
        if facts.is_some() || !is_ours_by_place(session, &names.shadow_schema).await? {
            return Ok(None);
        }
        let found = catalogue::table_id(session, &names.shadow_schema, &names.table).await?;
        return Ok(found.map(|found| (found, names.shadow())));
    };
    let rows = session.query(sql::NAME_IN, &[&known, &names.shadow_schema]).await;
    let rows = rows.doing(format!("look for leftovers of {}", names.display))?;
    Ok(rows.first().map(|row| (known, qualified(&names.shadow_schema, row.get(0)))))
}

/// Lists the leftovers.
pub(crate) async fn list(
    session: &Session,
    change: &Change,
    source: &LogSource,
) -> Result<Vec<Leftover>> {
    let found = find(session, change, source).await?;
    let mut list = list_of_run(&change.names, &found);
    list.extend(list_of_old_table(&change.names, &found));
    list.extend(found.orphaned.iter().map(|orphan| {
        let kind = if orphan.is_slot { "replication slot" } else { "publication" };
        let why = "left by a change that the journal does not know any more; nobody needs it";
        leftover(format!("{kind} {}", orphan.name), why, Disposal::Dropped)
    }));
    Ok(list)
}

fn leftover(object: String, reason: &str, disposal: Disposal) -> Leftover {
    Leftover { object, reason: reason.to_owned(), disposal }
}

/// Why the objects of the run are there.
fn need(found: &Inventory) -> &'static str {
    match found.stage {
        Some(Stage::Done | Stage::Backfilled) => "left by a finished change; not needed",
        Some(Stage::Reverted) => "left by a change that was reverted; not needed",
        Some(Stage::Reversible | Stage::Reverting) => "needed to revert the change",
        Some(_) => "needed to go on with the change that was begun",
        None => "left by a change that hardly began; not needed",
    }
}

/// Lists what only the run needs.
fn list_of_run(names: &Names, found: &Inventory) -> Vec<Leftover> {
    let needed = need(found);
    let mut list = Vec::new();
    let mut add = |object: String, reason: &str| {
        list.push(leftover(object, reason, Disposal::Dropped));
    };
    if found.online_steps.is_some() {
        add(
            format!("constraints and indexes begun on {}", names.display),
            "left by a change in steps that is not finished; the same command goes on with it",
        );
    }
    if let Some((_, shadow)) = &found.shadow
        && !found.is_reverted()
    {
        add(format!("shadow table {shadow}"), needed);
    }
    for replacement in &found.replacements {
        add(format!("materialized view {replacement}"), needed);
    }
    if found.slot {
        add(format!("replication slot {}", names.slot), needed);
    }
    if let Some(place) = &found.slot_elsewhere {
        add(format!("replication slot {} on {place}", names.slot), needed);
    }
    if found.publication {
        add(format!("publication {}", names.publication), needed);
    }
    if found.identity {
        add(format!("replica identity of {}", names.display), "set until the change is done");
    }
    list
}

/// Lists the old table and the journal's entry, which proves that it is ours.
fn list_of_old_table(names: &Names, found: &Inventory) -> Vec<Leftover> {
    let mut list = Vec::new();
    if found.old {
        list.push(leftover(
            format!("old table {}", names.old()),
            "the table before the change: the way back",
            Disposal::DroppedWithOld,
        ));
    }
    if let Some((_, altered)) = found.shadow.as_ref().filter(|_| found.is_reverted()) {
        list.push(leftover(
            format!("altered table {altered}"),
            "the table as it was before the change was undone",
            Disposal::DroppedWithOld,
        ));
    }
    if found.entry {
        list.push(leftover(
            format!("journal entry of {} in altergeist.journal", names.display),
            match found.stage {
                Some(Stage::Done | Stage::Backfilled) => "tells that the change is done",
                _ => need(found),
            },
            if found.keeps_a_table() { Disposal::DroppedWithOld } else { Disposal::Dropped },
        ));
    }
    if found.unknown_old {
        list.push(leftover(
            format!("table {}", names.old()),
            "it has the name of an old table, and the journal does not know it; if nobody needs \
             it, drop it",
            Disposal::Unclaimed,
        ));
    }
    list
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
    Box::pin(finish::drop_way_back(session, names)).await?;
    for orphan in &found.orphaned {
        orphan.drop(session).await?;
    }
    if let Some(online_steps) = &found.online_steps {
        if !found.is_ours {
            own_objects::require(session, &format!("undo what was begun on {}", names.display))
                .await?;
        }
        online_steps::undo(session, names, online_steps).await?;
    }
    if found.is_reverted() && !old_too {
        return Ok(());
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
