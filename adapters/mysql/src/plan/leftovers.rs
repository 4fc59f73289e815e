//! Finds what a change has left on the server, and how to remove it.

use crate::change::Change;
use crate::cutover::ownership::find_owner;
use crate::cutover::way_back::is_misfits;
use crate::journal::read_entry;
use crate::plan::taken_names::is_sentry;
use crate::schema::identity::identify_table;
use crate::schema::lookup::table_exists;
use crate::server::names::TableName;
use crate::server::own_objects::{is_our_shadow, is_plain};
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Disposal, Leftover, Ownership, Result, Stage};
use std::sync::Arc;

/// A leftover, and the statement that removes it.
pub(crate) struct LeftoverObject {
    pub shown: Leftover,
    pub drop: String,
}

pub(crate) async fn find_leftovers(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
) -> Result<Vec<LeftoverObject>> {
    let entry = read_entry(change, session).await?;
    let stage = entry.record.as_ref().map(|record| record.stage);
    let mut found = Vec::new();
    let table = |name: &TableName, what: &str, reason: &str, disposal| LeftoverObject {
        shown: Leftover {
            object: format!("{what} {}", name.plain()),
            reason: reason.into(),
            disposal,
        },
        drop: sql::ddl::drop_table(&change.source, name),
    };
    let shadow_is_ours = is_our_shadow(change, session, &entry.facts).await?;
    let old_is_ours = is_old_ours(change, pool, session, &entry).await?;
    if shadow_is_ours {
        let (what, reason, disposal) = match stage {
            Some(Stage::Copying | Stage::CuttingOver) => (
                "shadow table",
                "a change is under way or was interrupted; the same command continues it",
                Disposal::Dropped,
            ),
            Some(Stage::Reverted) => (
                "altered table",
                "the table as it was before the change was undone",
                Disposal::DroppedWithOld,
            ),
            _ => ("shadow table", "a change began and did not finish", Disposal::Dropped),
        };
        found.push(table(&change.names.shadow, what, reason, disposal));
    }
    for clone in change.clones() {
        if is_plain(change, session, clone).await?
            && session.row(&sql::catalogue::has_rows(clone)).await.is_ok_and(|row| row.is_none())
        {
            let reason = "clauses were tried on it";
            found.push(table(clone, "empty clone", reason, Disposal::Dropped));
        }
    }
    if is_misfits(change, session).await? {
        let reason = "it lists rows that the old table cannot hold";
        found.push(table(&change.names.misfits, "table", reason, Disposal::Dropped));
    }
    for name in [&change.names.sentry, &change.names.used_sentry] {
        if table_exists(session, name).await? && is_sentry(session, name).await? {
            let reason = "a cut-over was under way";
            found.push(table(name, "sentry table", reason, Disposal::Dropped));
        }
    }
    if old_is_ours {
        found.push(table(
            &change.names.old,
            "old table",
            "the table as it was before the change: the way back",
            Disposal::DroppedWithOld,
        ));
    }
    // After a revert the altered table is what is kept.
    let has_kept = old_is_ours || shadow_is_ours && stage == Some(Stage::Reverted);
    found.extend(journal_leftovers(change, session, entry.exists, stage, has_kept).await?);
    let names = [(&change.names.shadow, shadow_is_ours), (&change.names.old, old_is_ours)];
    for (name, is_ours) in names {
        if !is_ours && table_exists(session, name).await? {
            found.push(table(name, "table", &unclaimed(name), Disposal::Unclaimed));
        }
    }
    Ok(found)
}

pub(crate) async fn is_old_ours(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
    entry: &crate::facts::Entry,
) -> Result<bool> {
    let Some(made) = &entry.facts.source else { return Ok(false) };
    if !table_exists(session, &change.names.old).await? {
        return Ok(false);
    }
    let was_swapped =
        entry.facts.done.is_some() || find_owner(change, pool).await? == Ownership::Shadow;
    let back = entry.facts.back.as_ref().and_then(|back| back.shadow.as_ref());
    let now = identify_table(change, session, &change.names.old).await?;
    Ok(was_swapped && (now == *made || back == Some(&now)))
}

pub(crate) async fn journal_leftovers(
    change: &Change,
    session: &mut Session,
    has_entry: bool,
    stage: Option<Stage>,
    has_kept: bool,
) -> Result<Vec<LeftoverObject>> {
    let mut found = Vec::new();
    let row = |of: &TableName, what: &str, reason: &str, disposal| LeftoverObject {
        shown: Leftover {
            object: format!("{what} in {}", of.plain()),
            reason: reason.into(),
            disposal,
        },
        drop: sql::journal::delete_entry(of, &change.source.name),
    };
    if has_entry || table_exists(session, &change.names.beat).await? {
        let beat =
            session.row(&sql::journal::last_beat(&change.names.beat, &change.source.name)).await;
        if beat.is_ok_and(|beat| beat.is_some()) {
            let reason = "a change used it";
            found.push(row(&change.names.beat, "heartbeat", reason, Disposal::Dropped));
        }
    }
    if has_entry {
        let reason = if matches!(stage, Some(Stage::Done | Stage::Backfilled)) {
            "says that the change is done"
        } else {
            "says how far the change has come"
        };
        // It proves that the table which is kept is ours.
        let disposal = if has_kept { Disposal::DroppedWithOld } else { Disposal::Dropped };
        found.push(row(&change.names.journal, "journal entry", reason, disposal));
    }
    Ok(found)
}

/// What to say of a table that has a name of ours without proof that we made it.
fn unclaimed(name: &TableName) -> String {
    format!(
        "it has a name that this tool uses, and the journal does not list it. If nobody else made \
         it, a change left it whose journal is lost: DROP TABLE {}",
        sql::table(name)
    )
}
