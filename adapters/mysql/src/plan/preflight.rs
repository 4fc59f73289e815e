//! Finds out what would happen: asks the server and the catalogue, and tries the clauses on an
//! empty clone.

use crate::plan::leftovers::Found;
use crate::plan::other_engine;
use crate::plan::others_flags::refuse_others_flags;
use crate::plan::refusal::refusal;
use crate::plan::steps::TableFacts;
use crate::plan::trial::Trial;
use crate::server::pool::Slot;
use crate::server::session::{Session, execute_within, number, text};
use crate::server::settings;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Disposal, Error, Kind, Leftover, Plan, Preflight, Refusal, Result};
use std::sync::atomic::Ordering;

impl Preflight for MySql {
    fn table(&self) -> &str {
        &self.title
    }

    async fn plan(&self) -> Result<Plan> {
        let mut session = self.crew.reader().await?;
        let facts = self.table_facts(&mut session).await?;
        let mut refusals = self.refuse_table(&facts);
        refusals.extend(self.refuse_privileges(&mut session).await?);
        refusals.extend(refuse_others_flags(&self.target));
        refusals.extend(self.refuse_replica(&mut session).await?);
        refusals.extend(self.refuse_others_objects(&mut session).await?);
        refusals.extend(self.change.clauses.as_ref().err().cloned());
        let mut trial = Trial::default();
        if let (Ok(clauses), true) = (&self.change.clauses, refusals.is_empty()) {
            trial = self.try_clauses(&mut session, clauses).await?;
            refusals.append(&mut trial.refusals);
        }
        if trial.native.is_none() {
            refusals.extend(self.refuse_copy(&mut session).await?);
            trial.notes.extend(self.replica_notes().await?);
            trial.notes.extend(self.unlogged_note(&mut session).await);
        }
        trial.notes.extend(self.replica_target_note(&mut session).await?);
        Ok(self.compose(facts, trial, refusals))
    }

    async fn alter_natively(&self, statement: &str) -> Result<()> {
        let attempted = || self.doing("alter");
        let within = self.crew.lock_timeout;
        let mut lease = self.crew.lease(Slot::Control).await?;
        let signed = format!("{}{statement}", sql::sign(&self.source));
        let modes = settings::modes_of_clauses(&self.server.modes, self.target.allow_zero_dates);
        lease
            .session()
            .execute(&modes)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let outcome = execute_within(lease.session(), &self.crew.access, &signed, within).await;
        if lease.session().is_alive() {
            let modes = settings::our_modes(&self.server.modes);
            lease
                .session()
                .execute(&modes)
                .await
                .map_err(|failure| failure.of_catalogue(attempted()))?;
        }
        lease.keep();
        match outcome {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.code(), Some(1205 | 1317 | 1213)) => {
                let mut error = failure.of_lock(attempted());
                error.reason += &self.who_is_in_the_way(&self.source).await;
                Err(error)
            }
            Err(failure) => {
                let error = failure.of_clauses(attempted());
                self.is_native_refused.store(error.kind == Kind::Refused, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut session = self.crew.reader().await?;
        let found = self.find_leftovers(&mut session).await?;
        Ok(found.into_iter().map(|found| found.shown).collect())
    }

    async fn cleanup(&self, old_too: bool) -> Result<()> {
        self.beats.end();
        let mut session = self.crew.reader().await?;
        self.rescue_triggers(&self.entry(&mut session).await?.facts).await?;
        let found = self.find_leftovers(&mut session).await?;
        let is_with_old = |found: &Found| found.shown.disposal == Disposal::DroppedWithOld;
        if old_too && found.iter().any(is_with_old) {
            self.check_nothing_needs_old(&mut session).await?;
        }
        let mut lease = self.crew.lease(Slot::Control).await?;
        for found in found {
            let is_dropped = match found.shown.disposal {
                Disposal::Dropped => true,
                Disposal::DroppedWithOld => old_too,
                Disposal::Unclaimed => false,
            };
            if is_dropped {
                let attempted = format!("drop {}", found.shown.object);
                lease
                    .session()
                    .execute(&found.drop)
                    .await
                    .map_err(|failure| failure.of_catalogue(attempted))?;
            }
        }
        lease.keep();
        *self.shape.lock().expect("not poisoned") = None;
        Ok(())
    }
}

impl MySql {
    pub(crate) async fn table_facts(&self, session: &mut Session) -> Result<TableFacts> {
        let attempted = || self.doing("look at");
        let row = session
            .row(&sql::catalogue::table_facts(&self.source))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let row = row.ok_or_else(|| {
            Error::refused(
                attempted(),
                "it was dropped or renamed; `altergeist cleanup` drops what its change has left",
            )
        })?;
        let made = session
            .row(&sql::catalogue::show_create(&self.source))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        Ok(TableFacts {
            kind: text(&row[0]),
            engine: text(&row[1]),
            rows: number(&row[2]).unwrap_or_default(),
            bytes: number(&row[3]).unwrap_or_default(),
            definition: made.and_then(|row| row.get(1).map(text)).unwrap_or_default(),
        })
    }

    /// What no way of changing the table could help.
    fn refuse_table(&self, facts: &TableFacts) -> Vec<Refusal> {
        let table = format!("table {}", self.title);
        let mut refusals = Vec::new();
        if ["mysql", "information_schema", "performance_schema", "sys"]
            .contains(&&*self.source.schema.to_lowercase())
        {
            refusals.push(refusal(&table, "it is the server's own", "leave it alone"));
        }
        if self.source.name.to_lowercase().starts_with("_altergeist") {
            refusals.push(refusal(&table, "it is this tool's own", "leave it alone"));
        }
        if facts.kind != "BASE TABLE" {
            refusals.push(refusal(
                &table,
                format!("it is a {}, not a plain table", facts.kind.to_lowercase()),
                "change it by hand",
            ));
        } else if facts.engine != "InnoDB" {
            refusals.push(other_engine::refusal(&self.source, &facts.engine));
        }
        refusals
    }

    /// What stands in the way of a copy, but not of a native change.
    async fn refuse_copy(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let mut refusals = self.refuse_privileges_to_copy(session).await?;
        refusals.extend(self.refuse_log(session).await?);
        refusals.extend(self.refuse_stream_from().await?);
        refusals.extend(self.refuse_names(session).await?);
        refusals.extend(self.refuse_killing(session).await);
        Ok(refusals)
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::trial::keeps_its_rows;
    use std::collections::BTreeSet;

    fn parts(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        pairs.iter().map(|(table, index)| ((*table).to_owned(), (*index).to_owned())).collect()
    }

    #[test]
    fn rows_are_kept_if_no_table_and_no_index_is_made_anew() {
        let before = parts(&[("1", "7"), ("1", "8")]);
        assert!(keeps_its_rows(&before, &before));
        assert!(keeps_its_rows(&before, &parts(&[("1", "7")])));
        assert!(keeps_its_rows(&before, &parts(&[("1", "7"), ("1", "8"), ("2", "9")])));
        assert!(!keeps_its_rows(&before, &parts(&[("1", "7"), ("1", "9")])));
        assert!(!keeps_its_rows(&before, &parts(&[("2", "9"), ("2", "10")])));
    }
}
