//! The swap.
//!
//! MySQL renames tables under LOCK TABLES: one session locks both tables, drains, and renames.
//!
//! MariaDB does not (error 1192). There one session, the holder, locks the source against writes;
//! everybody may still read it, and any session of ours may refresh the shadow from it. Then a
//! second session, the renamer, sends the RENAME, which waits for the source behind the holder. A
//! lock that is waited for exclusively goes before every writer that waits, so when the holder lets
//! go, the RENAME is next, and no write comes between the drain and the swap. Three things make
//! that safe:
//!
//! - The RENAME begins with a table that does not exist, the go-ahead. If the holder dies at any
//!   moment before the go-ahead is made, the RENAME fails and everything is as it was.
//! - The go-ahead is made only when the renamer is proven to wait for the source itself. The server
//!   takes the locks of a RENAME in the order of names. The go-ahead's name sorts behind the
//!   source's, so the renamer has not asked for it yet, and it can be made. If the shadow's name
//!   sorts before the source's, the renamer must already hold the shadow exclusively, which a look
//!   at the shadow that is not answered proves; if it sorts behind, the source is the first table
//!   the renamer has to wait for.
//! - From the go-ahead on, whoever dies, the renamer is next in line: a completed swap.
//!
//! Tables at the other ends of foreign keys are locked too; see
//! [`crate::cutover::locked_relations`].
//!
//! The RENAME also waits for transactions that have read the source, and holds up everybody
//! meanwhile. So the holder first makes sure that there are none, and a renamer that waits for one
//! that began since is ended in time.

use crate::cutover::best_effort::best_effort;
use crate::cutover::foreign_keys::{Altered, Bonds};
use crate::cutover::hands::{Hands, Neighbours, NotLocked};
use crate::cutover::triggers::Triggers;
use crate::facts::Made;
use crate::log::cascades::Locking;
use crate::log::source::Filters;
use crate::log::tally::Tally;
use crate::log::witness::Witness;
use crate::schema::columns::Shape;
use crate::schema::table::definition_of;
use crate::server::error::{Failure, START_AGAIN};
use crate::server::heartbeat::Beats;
use crate::server::names::{Names, TableName};
use crate::server::own_objects::oddity;
use crate::server::pool::{Crew, Lease, Slot};
use crate::server::session::{Session, execute_within, number};
use crate::server::version::Flavour;
use crate::shadow::followed::is_made_alike;
use crate::shadow::rows::refresh_within;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{
    Cutover, Error, Key, Kind, Marker, Ownership, Result, Swap, TableLock, Watermark,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A lock that is free is had within this.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// How soon it is looked again for a moment at which nobody is in the middle of something.
const GAP_LOOK: Duration = Duration::from_millis(2);

/// The source locked, with the shadow out of everybody's reach but ours.
pub struct MySqlLock {
    pub(crate) crew: Arc<Crew>,
    pub(crate) beats: Arc<Beats>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) names: Names,
    pub(crate) holder: Lease,
    /// The tables at the other ends of foreign keys (MariaDB).
    pub(crate) neighbours: Neighbours,
    pub(crate) undecided: Arc<AtomicUsize>,
    /// The foreign keys the swap carries.
    pub(crate) bonds: Option<Bonds>,
    pub(crate) triggers: Triggers,
    /// The source in the server's words, as the shadow has followed it; empty if that is not known.
    pub(crate) source_text: String,
    pub(crate) witness: Arc<Witness>,
    pub(crate) tally: Arc<Tally>,
    /// Rows of the shadow that were written under this lock, behind the last mark.
    pub(crate) rows_written: u64,
    /// What the log that is read depends on, where it is a replica's.
    pub(crate) filters: Filters,
    /// How long anything may be waited for.
    pub(crate) within: Duration,
    pub(crate) _locking: Locking,
}

impl Cutover for MySql {
    type Lock = MySqlLock;

    async fn lock(&self, within: Duration) -> Result<MySqlLock> {
        let attempted = || self.doing("lock");
        let shape = self.shape().await?;
        self.beats.begin().await?;
        self.withdraw_bonds().await?;
        let source_text = self.follow_others(&shape).await?;
        let bonds = self.note_bonds(&shape).await?;
        let further = bonds.as_ref().map(Bonds::further_locks).unwrap_or_default();
        let mut bound = vec![self.source.clone()];
        bound.extend(bonds.as_ref().map(Bonds::children).unwrap_or_default());
        let triggers = self.prepare_triggers().await?;
        let locking = self.cascades.begin_lock().await;
        let mut neighbours = match self.server.version.flavour {
            Flavour::MySql => Neighbours::default(),
            Flavour::MariaDb => self.neighbours(bonds.as_ref(), within).await?,
        };
        let mut holder = self.crew.lease(Slot::Lock).await?;
        let locks = match self.server.version.flavour {
            Flavour::MySql => {
                vec![sql::cutover::lock_both(&self.source, &self.names.shadow) + &further]
            }
            Flavour::MariaDb => {
                vec![
                    sql::cutover::lock_against_all(&self.source),
                    sql::cutover::lock_against_writes(&self.source),
                ]
            }
        };
        let until = Instant::now() + within;
        let session = holder.session();
        let mut prepare = vec![sql::session::lock_waits(within), sql::session::idle_limit(within)];
        if self.server.version.flavour == Flavour::MySql {
            // Under LOCK TABLES a transaction can only be had this way; BEGIN would let go of the
            // tables.
            prepare.push("SET SESSION autocommit = 0".to_owned());
        }
        for statement in &prepare {
            session
                .execute(statement)
                .await
                .map_err(|failure| failure.of_catalogue(attempted()))?;
        }
        self.lock_parents(&mut neighbours, until).await?;
        let own: Vec<u64> = neighbours.ids().chain([session.id]).collect();
        let had = usize::from(self.wait_for_a_gap(session, until - within * 3 / 4).await);
        for lock in &locks[had..] {
            let Err(NotLocked { failure, ended }) =
                self.wait_for_lock(session, lock, &bound, &own, until).await?
            else {
                continue;
            };
            let mut error = failure.of_lock(attempted());
            drop(holder);
            neighbours.unlock().await;
            if error.kind == Kind::Busy {
                error.reason += &ended;
                error.reason += &self.who_is_in_the_way(&self.source).await;
            }
            return Err(error);
        }
        if let Err(error) = self.lock_children(&mut neighbours, until).await {
            drop(holder);
            return Err(error);
        }
        Ok(MySqlLock {
            crew: self.crew.clone(),
            beats: self.beats.clone(),
            shape,
            names: self.names.clone(),
            holder,
            neighbours,
            undecided: self.undecided.clone(),
            bonds,
            triggers,
            source_text,
            witness: self.witness.clone(),
            tally: self.tally.clone(),
            rows_written: 0,
            filters: self.filters(),
            within,
            _locking: locking,
        })
    }

    async fn ownership(&self) -> Result<Ownership> {
        let owner = self.owner().await?;
        if owner == Ownership::Source {
            self.withdraw_bonds().await?;
        }
        Ok(owner)
    }

    async fn finish(&self) -> Result<()> {
        self.complete_triggers().await?;
        self.settle_bonds().await?;
        self.beats.end();
        *self.shape.lock().expect("not poisoned") = None;
        let mut lease = self.crew.lease(Slot::Control).await?;
        let attempted = || self.doing("clean up after the swap of");
        for name in [&self.names.go, &self.names.went] {
            if self.exists(lease.session(), name).await?
                && self.is_go_ahead(lease.session(), name).await?
            {
                let drop = sql::ddl::drop_table(&self.source, name);
                lease
                    .session()
                    .execute(&drop)
                    .await
                    .map_err(|failure| failure.of_catalogue(attempted()))?;
            }
        }
        if self.exists(lease.session(), &self.names.beat).await? {
            let delete = sql::journal::delete_entry(&self.names.beat, &self.source.name);
            lease
                .session()
                .execute(&delete)
                .await
                .map_err(|failure| failure.of_catalogue(attempted()))?;
        }
        lease.keep();
        self.drop_lookup().await
    }
}

impl MySql {
    /// Waits for a lock of ours on these tables. Ends whoever is in the way, where the user has
    /// asked for that.
    pub(crate) async fn wait_for_lock(
        &self,
        session: &mut Session,
        lock: &str,
        tables: &[TableName],
        own: &[u64],
        until: Instant,
    ) -> Result<std::result::Result<(), NotLocked>> {
        let rest = || until.saturating_duration_since(Instant::now()).max(SHORTEST_WAIT);
        let first = if self.target.kill_blockers { rest() / 2 } else { rest() };
        let mut outcome = execute_within(session, &self.crew.access, lock, first).await;
        let mut ended = String::new();
        if self.target.kill_blockers && outcome.as_ref().is_err_and(Failure::is_lock_wait) {
            ended = self.end_blockers(tables, own).await?;
            outcome = execute_within(session, &self.crew.access, lock, rest()).await;
        }
        Ok(outcome.map(drop).map_err(|failure| NotLocked { failure, ended }))
    }

    /// Waits until no transaction is seen that has read the table and may be about to write it.
    /// While a lock is waited for, the servers break the knot with such a one by ending *its*
    /// statement (error 1213), as they do for any ALTER; so the wait begins when there is none, or
    /// when there always is one. What cannot be seen is not waited for. Tells whether the source is
    /// locked already.
    async fn wait_for_a_gap(&self, session: &mut Session, until: Instant) -> bool {
        while Instant::now() < until {
            match self.server.version.flavour {
                Flavour::MySql => match session.row(&sql::cutover::find_reader(&self.source)).await
                {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return false,
                },
                Flavour::MariaDb => {
                    match session.execute(&sql::cutover::lock_at_once(&self.source)).await {
                        Ok(_) => return true,
                        Err(failure) if failure.is_lock_wait() => {}
                        Err(_) => return false,
                    }
                }
            }
            tokio::time::sleep(GAP_LOOK).await;
        }
        false
    }

    /// Who answers to the table's name; see [`Cutover::ownership`].
    pub(crate) async fn owner(&self) -> Result<Ownership> {
        self.crew.bury().await?;
        let mut session = self.crew.reader().await?;
        let facts = self.entry(&mut session).await?.facts;
        let has_source = self.exists(&mut session, &self.source).await?;
        let has_shadow = self.exists(&mut session, &self.names.shadow).await?;
        let has_old = self.exists(&mut session, &self.names.old).await?;
        let found = format!(
            "{} {}, {} {}, {} {}",
            self.title,
            presence(has_source),
            self.names.shadow.plain(),
            presence(has_shadow),
            self.names.old.plain(),
            presence(has_old)
        );
        let is = |made: &Option<Made>, now: &Option<Made>| match (made, now) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(made), Some(now)) => made.is_same(now),
        };
        let source =
            if has_source { Some(self.made(&mut session, &self.source).await?) } else { None };
        let shadow = if has_shadow {
            Some(self.made(&mut session, &self.names.shadow).await?)
        } else {
            None
        };
        // A swap leaves an old table, and no shadow under its own name. Without the two nothing was
        // swapped, whatever has become of the source or the shadow since.
        let is_kept = facts.shadow.is_some() && is(&facts.shadow, &shadow);
        let is_source =
            || facts.source.is_some() && is(&facts.source, &source) && !is(&facts.shadow, &source);
        Ok(match (has_shadow, has_old) {
            (true, false) if is_kept || is(&facts.source, &source) => Ownership::Source,
            (false, false) if !has_source || is_source() => Ownership::Source,
            (false, true) if is(&facts.shadow, &source) => Ownership::Shadow,
            _ => Ownership::Unclear(format!(
                "{found}; and the table with this name is not the expected one, or is unknown"
            )),
        })
    }
}

fn presence(is_there: bool) -> &'static str {
    if is_there { "exists" } else { "does not exist" }
}

impl TableLock for MySqlLock {
    async fn mark(&mut self) -> Result<Marker> {
        // Whoever wrote the source has committed, or the lock could not be had: what they wrote
        // lies before the next beat.
        Ok(self.beats.mark())
    }

    async fn refresh(&mut self, keys: &[Key]) -> Result<()> {
        let attempted = format!("refresh rows of {} under the lock", self.shape.source.plain());
        let writing = self.tally.begin();
        let outcome = match self.crew.version.flavour {
            Flavour::MySql => {
                refresh_and_commit(self.holder.session(), &self.shape, keys, &attempted).await
            }
            Flavour::MariaDb => {
                let mut worker = self.crew.worker().await?;
                worker
                    .session()
                    .execute("START TRANSACTION")
                    .await
                    .map_err(|failure| failure.of_rows(&attempted))?;
                let outcome =
                    refresh_and_commit(worker.session(), &self.shape, keys, &attempted).await;
                worker.keep();
                outcome
            }
        };
        self.rows_written += writing.end(outcome)?;
        Ok(())
    }

    async fn clear(&mut self) -> Result<()> {
        let attempted = format!("clear the shadow of {} under the lock", self.shape.source.plain());
        let statement = sql::rows::delete_beyond(&self.shape, &Watermark::Start, u64::MAX)?;
        let writing = self.tally.begin();
        let outcome = match self.crew.version.flavour {
            Flavour::MySql => self.holder.session().execute(&statement).await,
            Flavour::MariaDb => {
                let mut worker = self.crew.worker().await?;
                let outcome = worker.session().execute(&statement).await;
                worker.keep();
                outcome
            }
        };
        let outcome = outcome.map(|done| done.rows).map_err(|failure| failure.of_rows(&attempted));
        self.rows_written += writing.end(outcome)?;
        Ok(())
    }

    async fn check_stream(&mut self) -> Result<()> {
        self.witness.ask_under_lock().await?;
        self.tally.ask_under_lock(self.rows_written, &self.names.shadow.plain())?;
        self.filters.check().await
    }

    async fn swap(mut self) -> Swap {
        if self.undecided.load(Ordering::SeqCst) > 0 {
            let error =
                self.error(Kind::Busy, "prepared transactions (XA) that changed it have not ended");
            return self.refuse(error).await;
        }
        match self.triggers.are_as_read(self.holder.session(), &self.shape.source).await {
            Ok(true) => {}
            Ok(false) => {
                let error = self.error(Kind::Busy, "its triggers were changed just now");
                return self.refuse(error).await;
            }
            Err(failure) => {
                let error = self.failed(failure);
                return self.refuse(error).await;
            }
        }
        match definition_of(self.holder.session(), &self.shape.source).await {
            Ok(text) if self.source_text.is_empty() || is_made_alike(&self.source_text, &text) => {}
            Ok(_) => {
                let error = self.error(Kind::Busy, "another session changed it just now");
                return self.refuse(error).await;
            }
            Err(failure) => {
                let error = self.failed(failure);
                return self.refuse(error).await;
            }
        }
        match oddity(
            self.holder.session(),
            &self.shape.source,
            &self.names.clone,
            &self.shape.shadow,
            None,
        )
        .await
        {
            Ok(None) => {}
            Ok(Some(odd)) => {
                let error = self.error(
                    Kind::Fatal,
                    format!("{}: {odd}; {START_AGAIN}", self.shape.shadow.plain()),
                );
                return self.refuse(error).await;
            }
            Err(failure) => {
                let error = self.failed(failure);
                return self.refuse(error).await;
            }
        }
        match self.crew.version.flavour {
            Flavour::MySql => self.swap_under_lock().await,
            Flavour::MariaDb => self.swap_in_line().await,
        }
    }

    async fn release(mut self) -> Result<()> {
        let unlocked = self.unlock().await;
        self.neighbours.unlock().await;
        unlocked.map_err(|failure| failure.of_rows(format!("unlock {}", self.shape.source.plain())))
    }
}

async fn refresh_and_commit(
    session: &mut Session,
    shape: &Shape,
    keys: &[Key],
    attempted: &str,
) -> Result<u64> {
    let outcome = refresh_within(session, shape, keys, &Watermark::End, attempted).await;
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    match session.execute(end).await {
        Err(failure) if outcome.is_ok() => Err(failure.of_rows(attempted)),
        _ => outcome,
    }
}

impl MySqlLock {
    pub(crate) fn error(&self, kind: Kind, reason: impl Into<String>) -> Error {
        Error::new(kind, format!("swap {} and its shadow", self.shape.source.plain()), reason)
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        failure.of_lock(format!("swap {} and its shadow", self.shape.source.plain()))
    }

    pub(crate) async fn unlock(&mut self) -> std::result::Result<(), Failure> {
        self.holder.session().execute("UNLOCK TABLES").await.map(|_| ())
    }

    /// Nothing was sent that could swap. A lock that cannot be released is gone with its
    /// connection.
    pub(crate) async fn refuse(mut self, mut error: Error) -> Swap {
        if let Err(failure) = self.withdraw().await {
            error = also_bound(error, failure);
        }
        best_effort(self.unlock().await);
        self.neighbours.unlock().await;
        Swap::Refused(error)
    }

    /// Binds the shadow as the source is bound. The lock stands, and both hold the same.
    pub(crate) async fn bind(&mut self) -> Result<()> {
        let Some(bonds) = self.bonds.clone() else { return Ok(()) };
        let outcome = match self.crew.version.flavour {
            Flavour::MySql => bind(self.holder.session(), &self.crew, &bonds, self.within).await,
            Flavour::MariaDb => {
                let mut control = self.crew.lease(Slot::Control).await?;
                let outcome = match bonds.standing(control.session()).await {
                    Ok(statements) => self.alter_each(control.session(), statements).await,
                    Err(failure) => Err(failure),
                };
                control.keep();
                outcome
            }
        };
        outcome.map_err(|failure| self.failed(failure))
    }

    /// Alters the shadow, and children by the sessions that lock them (MariaDB).
    pub(crate) async fn alter_each(
        &mut self,
        control: &mut Session,
        statements: Vec<Altered>,
    ) -> std::result::Result<(), Failure> {
        let mut hands = Hands { control, neighbours: Some(&mut self.neighbours) };
        for Altered { table, statement } in statements {
            hands.alter(&table, &statement).await?;
        }
        Ok(())
    }

    /// Takes back what [`MySqlLock::bind`] did.
    pub(crate) async fn withdraw(&mut self) -> std::result::Result<(), Failure> {
        let Some(bonds) = self.bonds.clone() else { return Ok(()) };
        if self.crew.version.flavour == Flavour::MySql {
            return bonds.withdraw(self.holder.session()).await;
        }
        let lease = self.crew.lease(Slot::Control).await;
        let mut control = lease.map_err(|error| Failure::Lost(error.to_string()))?;
        let outcome = match bonds.withdrawn(control.session()).await {
            Ok(statements) => self.alter_each(control.session(), statements).await,
            Err(failure) => Err(failure),
        };
        control.keep();
        outcome
    }
}

async fn bind(
    session: &mut Session,
    crew: &Crew,
    bonds: &Bonds,
    within: Duration,
) -> std::result::Result<(), Failure> {
    for Altered { statement, .. } in bonds.standing(session).await? {
        execute_within(session, &crew.access, &statement, within).await?;
    }
    Ok(())
}

fn also_bound(mut error: Error, failure: Failure) -> Error {
    let reason = failure.of_catalogue("").reason;
    error.reason += &format!(
        "; temporary foreign keys to the shadow could not be taken away ({reason}): give the same \
         command again"
    );
    error
}

/// The next row's number, so that numbers of deleted last rows are not given out again.
pub(crate) async fn carry_row_number(
    session: &mut Session,
    shape: &Shape,
) -> std::result::Result<(), Failure> {
    if shape.sets_row_number {
        return Ok(());
    }
    let mut next = [0; 2];
    for (next, table) in next.iter_mut().zip([&shape.source, &shape.shadow]) {
        let row = session.row(&sql::cutover::next_row_number(&shape.source, table)).await?;
        *next = row.and_then(|row| number(&row[0])).unwrap_or_default();
    }
    let [source, shadow] = next;
    if shadow > 0 && source > shadow {
        session
            .execute(&sql::cutover::set_next_row_number(&shape.source, &shape.shadow, source))
            .await?;
    }
    Ok(())
}
