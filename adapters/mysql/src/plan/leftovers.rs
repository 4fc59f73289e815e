//! What a change has left on the server, and how to get rid of it.

use crate::server::names::TableName;
use crate::server::session::Session;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Disposal, Leftover, Ownership, Result, Stage};

/// A leftover, and how to get rid of it.
pub(crate) struct Found {
    pub shown: Leftover,
    pub drop: String,
}

impl MySql {
    pub(crate) async fn find_leftovers(&self, session: &mut Session) -> Result<Vec<Found>> {
        let entry = self.entry(session).await?;
        let stage = entry.record.as_ref().map(|record| record.stage);
        let mut found = Vec::new();
        let table = |name: &TableName, what: &str, reason: &str, disposal| Found {
            shown: Leftover {
                object: format!("{what} {}", name.plain()),
                reason: reason.into(),
                disposal,
            },
            drop: sql::ddl::drop_table(&self.source, name),
        };
        let shadow_is_ours = self.is_our_shadow(session, &entry.facts).await?;
        let old_is_ours = self.is_old_ours(session, &entry).await?;
        if shadow_is_ours {
            let reason = match stage {
                Some(Stage::Copying | Stage::CuttingOver) => {
                    "a change is under way or was interrupted; the same command goes on with it"
                }
                _ => "a change was begun and not finished",
            };
            found.push(table(&self.names.shadow, "shadow table", reason, Disposal::Dropped));
        }
        for clone in self.clones() {
            if self.is_plain(session, clone).await?
                && session
                    .row(&sql::catalogue::has_rows(clone))
                    .await
                    .is_ok_and(|row| row.is_none())
            {
                found.push(table(
                    clone,
                    "empty clone",
                    "clauses were tried on it",
                    Disposal::Dropped,
                ));
            }
        }
        for name in [&self.names.go, &self.names.went] {
            if self.exists(session, name).await? && self.is_go_ahead(session, name).await? {
                found.push(table(
                    name,
                    "go-ahead table",
                    "a cut-over was under way",
                    Disposal::Dropped,
                ));
            }
        }
        if old_is_ours {
            found.push(table(
                &self.names.old,
                "old table",
                "the table as it was before the change: the way back",
                Disposal::DroppedWithOld,
            ));
        }
        found.extend(self.journal_leftovers(session, entry.exists, stage, old_is_ours).await?);
        for (name, is_ours) in
            [(&self.names.shadow, shadow_is_ours), (&self.names.old, old_is_ours)]
        {
            if !is_ours && self.exists(session, name).await? {
                found.push(table(name, "table", &unclaimed(name), Disposal::Unclaimed));
            }
        }
        Ok(found)
    }

    pub(crate) async fn is_old_ours(
        &self,
        session: &mut Session,
        entry: &crate::facts::Entry,
    ) -> Result<bool> {
        let Some(made) = &entry.facts.source else { return Ok(false) };
        if !self.exists(session, &self.names.old).await? {
            return Ok(false);
        }
        let was_swapped = entry.facts.done.is_some() || self.owner().await? == Ownership::Shadow;
        Ok(was_swapped && self.made(session, &self.names.old).await? == *made)
    }

    pub(crate) async fn journal_leftovers(
        &self,
        session: &mut Session,
        has_entry: bool,
        stage: Option<Stage>,
        has_old: bool,
    ) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let row = |of: &TableName, what: &str, reason: &str, disposal| Found {
            shown: Leftover {
                object: format!("{what} in {}", of.plain()),
                reason: reason.into(),
                disposal,
            },
            drop: sql::journal::delete_entry(of, &self.source.name),
        };
        if has_entry || self.exists(session, &self.names.beat).await? {
            let beat =
                session.row(&sql::journal::last_beat(&self.names.beat, &self.source.name)).await;
            if beat.is_ok_and(|beat| beat.is_some()) {
                found.push(row(
                    &self.names.beat,
                    "heartbeat",
                    "a change was followed by it",
                    Disposal::Dropped,
                ));
            }
        }
        if has_entry {
            let reason = if stage == Some(Stage::Done) {
                "says that the change is done"
            } else {
                "says how far the change has come"
            };
            // It proves the old table ours.
            let disposal = if has_old { Disposal::DroppedWithOld } else { Disposal::Dropped };
            found.push(row(&self.names.journal, "journal entry", reason, disposal));
        }
        Ok(found)
    }
}

/// What to say of a table that bears a name of ours without proof that we made it.
fn unclaimed(name: &TableName) -> String {
    format!(
        "it bears a name this tool uses, and the journal does not know it; if nobody else made it, \
         it is left by a change whose journal was lost: DROP TABLE {}",
        sql::table(name)
    )
}
