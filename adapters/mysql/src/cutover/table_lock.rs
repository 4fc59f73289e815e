//! The lock on the source: what the run does under it, and how it ends.

use crate::cutover::best_effort::best_effort;
use crate::cutover::foreign_key_swap::{Altered, ForeignKeySwap};
use crate::cutover::relation_sessions::{AlterSessions, LockedRelations};
use crate::cutover::triggers::Triggers;
use crate::log::cascades::Locking;
use crate::log::completeness::CompletenessCheck;
use crate::log::shadow_writes::ShadowWrites;
use crate::log::source::Filters;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::definition_diff::is_made_alike;
use crate::schema::misfits::bounds;
use crate::schema::table::definition_of;
use crate::server::doing::Doing;
use crate::server::error::{Failure, START_AGAIN};
use crate::server::heartbeat::Heartbeat;
use crate::server::names::Names;
use crate::server::own_objects::oddity;
use crate::server::pool::{Lease, SessionPool, Slot};
use crate::server::session::{Session, execute_within, number};
use crate::server::version::Flavour;
use crate::shadow::rows::refresh_within;
use crate::shadow::way_back::make_temporary;
use crate::sql;
use altergeist_contract::{Error, Key, Kind, Marker, Result, Swap, TableLock, Watermark};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The locked source. Only our sessions can reach the shadow.
pub struct MySqlLock {
    pub(crate) pool: Arc<SessionPool>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) mapping: Arc<ColumnMapping>,
    pub(crate) names: Names,
    pub(crate) holder: Lease,
    /// The tables at the other ends of foreign keys (MariaDB).
    pub(crate) relations: LockedRelations,
    pub(crate) undecided: Arc<AtomicUsize>,
    /// The foreign keys that the swap carries.
    pub(crate) key_swap: Option<ForeignKeySwap>,
    pub(crate) triggers: Triggers,
    /// The source's definition that the shadow has followed; empty if it is not known.
    pub(crate) source_text: String,
    pub(crate) completeness: Arc<CompletenessCheck>,
    pub(crate) shadow_writes: Arc<ShadowWrites>,
    /// Rows of the shadow that were written under this lock, after the last mark.
    pub(crate) rows_written: u64,
    /// The settings that a replica's log depends on, if the log is a replica's.
    pub(crate) filters: Filters,
    /// Longest wait for any lock.
    pub(crate) within: Duration,
    pub(crate) _locking: Locking,
}

impl TableLock for MySqlLock {
    async fn mark(&mut self) -> Result<Marker> {
        // All writers of the source have committed, or we would not have the lock. So their changes
        // are in the log before the next heartbeat.
        Ok(self.heartbeat.mark())
    }

    async fn refresh(&mut self, keys: &[Key]) -> Result<()> {
        let attempted = format!("refresh rows of {} under the lock", self.mapping.source.plain());
        let writing = self.shadow_writes.begin();
        let outcome = match self.pool.version.flavour {
            Flavour::MySql => {
                refresh_and_commit(self.holder.session(), &self.mapping, keys, &attempted).await
            }
            Flavour::MariaDb => {
                let mut worker = self.pool.worker().await?;
                worker.session().execute(sql::session::BEGIN).await.doing(&attempted)?;
                let outcome =
                    refresh_and_commit(worker.session(), &self.mapping, keys, &attempted).await;
                worker.keep();
                outcome
            }
        };
        self.rows_written += writing.end(outcome)?;
        Ok(())
    }

    async fn clear(&mut self) -> Result<()> {
        let attempted =
            format!("clear the shadow of {} under the lock", self.mapping.source.plain());
        let statement = sql::rows::delete_beyond(&self.mapping, &Watermark::Start, u64::MAX)?;
        let writing = self.shadow_writes.begin();
        let outcome = match self.pool.version.flavour {
            Flavour::MySql => self.holder.session().execute(&statement).await,
            Flavour::MariaDb => {
                let mut worker = self.pool.worker().await?;
                let outcome = worker.session().execute(&statement).await;
                worker.keep();
                outcome
            }
        };
        let outcome = outcome.map(|done| done.rows).doing(&attempted);
        self.rows_written += writing.end(outcome)?;
        Ok(())
    }

    async fn check_stream(&mut self) -> Result<()> {
        self.completeness.check_under_lock().await?;
        self.shadow_writes.check_under_lock(self.rows_written, &self.names.shadow.plain())?;
        self.filters.check().await
    }

    async fn swap(mut self) -> Swap {
        if let Err(error) = self.check_unchanged().await {
            return self.refuse(error).await;
        }
        match self.pool.version.flavour {
            Flavour::MySql => self.swap_under_lock().await,
            Flavour::MariaDb => self.swap_by_queued_rename().await,
        }
    }

    async fn release(mut self) -> Result<()> {
        let unlocked = self.unlock().await;
        self.relations.unlock().await;
        unlocked.doing(format!("unlock {}", self.mapping.source.plain()))
    }
}

async fn refresh_and_commit(
    session: &mut Session,
    mapping: &ColumnMapping,
    keys: &[Key],
    attempted: &str,
) -> Result<u64> {
    make_temporary(session, mapping, attempted).await?;
    let outcome = refresh_within(session, mapping, keys, &Watermark::End, attempted).await;
    match session.execute(sql::session::end(&outcome)).await {
        Err(failure) if outcome.is_ok() => Err(failure.of_rows(attempted)),
        _ => outcome,
    }
}

impl MySqlLock {
    /// Proves, right before the swap, that no session changed the tables in a way that the shadow
    /// does not have.
    async fn check_unchanged(&mut self) -> Result<()> {
        let (source, shadow) = (&self.mapping.source, &self.mapping.shadow);
        let attempted = || format!("swap {} and its shadow", source.plain());
        let changed = |reason: &str| Err(Error::new(Kind::Busy, attempted(), reason));
        if self.undecided.load(Ordering::SeqCst) > 0 {
            return changed("prepared transactions (XA) that changed it have not ended");
        }
        let session = self.holder.session();
        if !self.triggers.are_as_read(session, source).await.locking(attempted)? {
            return changed("its triggers were changed just now");
        }
        let text = definition_of(session, source).await.locking(attempted)?;
        if !self.source_text.is_empty() && !is_made_alike(&self.source_text, &text) {
            return changed("another session changed it just now");
        }
        let odd = oddity(session, source, &self.names.clone, shadow, None).await;
        match odd.locking(attempted)? {
            None => Ok(()),
            Some(odd) => {
                let reason = format!("{}: {odd}; {START_AGAIN}", shadow.plain());
                Err(Error::fatal(attempted(), reason))
            }
        }
    }

    pub(crate) fn error(&self, kind: Kind, reason: impl Into<String>) -> Error {
        Error::new(kind, format!("swap {} and its shadow", self.mapping.source.plain()), reason)
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        failure.of_lock(format!("swap {} and its shadow", self.mapping.source.plain()))
    }

    pub(crate) async fn unlock(&mut self) -> std::result::Result<(), Failure> {
        self.holder.session().execute(sql::cutover::UNLOCK).await.map(|_| ())
    }

    /// Releases the lock and reports why there was no swap. No statement was sent that could swap.
    /// If the lock cannot be released, its connection is gone, and the lock with it.
    pub(crate) async fn refuse(mut self, mut error: Error) -> Swap {
        if let Err(failure) = self.unbind().await {
            error = also_bound(error, failure);
        }
        best_effort(self.unlock().await);
        self.relations.unlock().await;
        Swap::Refused(error)
    }

    /// Adds the source's foreign keys to the shadow. Both tables are locked and hold the same rows.
    pub(crate) async fn bind(&mut self) -> Result<()> {
        let Some(key_swap) = self.key_swap.clone() else { return Ok(()) };
        let outcome = match self.pool.version.flavour {
            Flavour::MySql => bind(self.holder.session(), &self.pool, &key_swap, self.within).await,
            Flavour::MariaDb => {
                let mut control = self.pool.lease(Slot::Control).await?;
                let outcome = match key_swap.missing_keys(control.session()).await {
                    Ok(statements) => self.alter_each(control.session(), statements).await,
                    Err(failure) => Err(failure),
                };
                control.keep();
                outcome
            }
        };
        outcome.map_err(|failure| self.failed(failure))
    }

    /// Alters the shadow, and each child by the session that locks it (MariaDB).
    pub(crate) async fn alter_each(
        &mut self,
        control: &mut Session,
        statements: Vec<Altered>,
    ) -> std::result::Result<(), Failure> {
        let mut relation_sessions = AlterSessions { control, relations: Some(&mut self.relations) };
        for Altered { table, statement } in statements {
            relation_sessions.alter(&table, &statement).await?;
        }
        Ok(())
    }

    /// Undoes what [`MySqlLock::bind`] did.
    pub(crate) async fn unbind(&mut self) -> std::result::Result<(), Failure> {
        let Some(key_swap) = self.key_swap.clone() else { return Ok(()) };
        if self.pool.version.flavour == Flavour::MySql {
            return key_swap.remove_temporary(self.holder.session()).await;
        }
        let lease = self.pool.lease(Slot::Control).await;
        let mut control = lease.map_err(|error| Failure::Lost(error.to_string()))?;
        let outcome = match key_swap.temporary_keys(control.session()).await {
            Ok(statements) => self.alter_each(control.session(), statements).await,
            Err(failure) => Err(failure),
        };
        control.keep();
        outcome
    }
}

async fn bind(
    session: &mut Session,
    pool: &SessionPool,
    key_swap: &ForeignKeySwap,
    within: Duration,
) -> std::result::Result<(), Failure> {
    for Altered { statement, .. } in key_swap.missing_keys(session).await? {
        execute_within(session, &pool.access, &statement, within).await?;
    }
    Ok(())
}

fn also_bound(mut error: Error, failure: Failure) -> Error {
    let reason = failure.of_catalogue("").reason;
    error.reason += &format!(
        "; temporary foreign keys to the shadow could not be dropped ({reason}): run the same \
         command again"
    );
    error
}

/// Returns whether the shadow can give this number. An old table with a smaller type may not: then
/// it gives the numbers that it has left.
fn fits_counter(mapping: &ColumnMapping, number: u64) -> bool {
    let mut pairs = mapping.columns.iter().map(|pair| &pair.shadow);
    let counter = pairs.find(|column| column.extra.contains("AUTO_INCREMENT"));
    let greatest = counter.and_then(bounds).map(|(_, greatest)| greatest);
    greatest.is_none_or(|greatest| i128::from(number) <= greatest)
}

/// Carries the next AUTO_INCREMENT number over, so that the numbers of deleted last rows are not
/// used again.
pub(crate) async fn carry_row_number(
    session: &mut Session,
    mapping: &ColumnMapping,
) -> std::result::Result<(), Failure> {
    if mapping.sets_row_number {
        return Ok(());
    }
    let mut next = [0; 2];
    for (next, table) in next.iter_mut().zip([&mapping.source, &mapping.shadow]) {
        let row = session.row(&sql::cutover::next_row_number(&mapping.source, table)).await?;
        *next = row.and_then(|row| number(&row[0])).unwrap_or_default();
    }
    let [source, shadow] = next;
    if shadow > 0 && source > shadow && fits_counter(mapping, source) {
        session
            .execute(&sql::cutover::set_next_row_number(&mapping.source, &mapping.shadow, source))
            .await?;
    }
    Ok(())
}
