//! Locks both tables for the swap, in one transaction.

use crate::change::Change;
use crate::cutover::blockers;
use crate::cutover::locked_relations::{self, LockedRelation};
use crate::cutover::materialized_views::{self, MaterializedView};
use crate::cutover::replacement_views;
use crate::cutover::swap::Swapper;
use crate::facts::{Facts, ShadowFacts};
use crate::journal;
use crate::log::completeness;
use crate::plan::cascade::{self, Cascade};
use crate::plan::oids;
use crate::plan::rehearsal::{self, Adapted};
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::pool::{Lease, SessionPool};
use crate::server::session::{Session, locked};
use crate::shadow::concurrent_ddl;
use crate::shadow::known::KnownShadow;
use crate::shadow::rows;
use crate::sql;
use crate::state::{Marks, Sessions};
use altergeist_contract::{Error, Finding, Key, Kind, Marker, Result, Swap, TableLock, Watermark};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much longer than the lock timeout we wait for the server to report the timeout.
const GRACE: Duration = Duration::from_secs(2);

/// Both tables, locked against readers and writers.
pub struct CutoverLock {
    lease: Lease,
    marks: Arc<Marks>,
    table: String,
    shadow: Arc<ShadowFacts>,
    swapper: Swapper,
}

/// What the run finds out before it asks for the lock.
struct Prepared {
    facts: Facts,
    locked_relations: Vec<LockedRelation>,
    /// The materialized views that the swap replaces with the table.
    views: Vec<MaterializedView>,
    /// What CASCADE drops.
    cascade: Cascade,
    /// How the swap creates the dependents.
    adapted: Adapted,
    /// The parents of new foreign keys.
    parents: Vec<String>,
    are_views_ready: bool,
    /// Whether this role may shorten the server's own wait for a deadlock.
    may_hurry: bool,
    /// The longest wait for all the locks together.
    budget: Duration,
}

/// Locks both tables. Looks first at everything that the swap will need.
pub(crate) async fn lock(
    sessions: &Sessions,
    change: &Change,
    known: &KnownShadow,
    marks: &Arc<Marks>,
    within: Duration,
) -> Result<CutoverLock> {
    let (names, control) = (&change.names, &sessions.control);
    let lease = control.take().await?;
    let followed = concurrent_ddl::follow(&lease, change, known).await;
    lease.settle(followed).await?;
    let shadow = known.facts().await?;
    let lease = control.take().await?;
    let result = prepare(&lease, change, within).await;
    let prepared = lease.settle(result).await?;
    if !prepared.are_views_ready {
        replacement_views::prepare(sessions, change, prepared.facts.source, shadow.oid).await?;
    }
    let pool = SessionPool::new(
        sessions.server.clone(),
        sessions.run.clone(),
        sql::cutover_settings(within),
        1,
    );
    let lease = pool.take().await?;
    *locked(&sessions.cutover_pid) = Some(lease.pid);
    let swapper = Swapper {
        names: names.clone(),
        facts: prepared.facts.clone(),
        locked_relations: prepared.locked_relations.clone(),
        views: prepared.views.clone(),
        cascade: prepared.cascade.clone(),
        adapted: prepared.adapted.clone(),
        identities: identities_on(control, names, &prepared, &shadow).await?,
        foreign_keys: change.target.foreign_keys,
        version: change.version,
        is_reversible: change.target.reversible && !names.is_turned,
        reverse_sets: change.target.reverse_sets.clone(),
    };
    prepare_statements(&lease, names, &shadow).await?;
    swapper.rehearse(&lease, &shadow).await?;
    take_lock(&lease, sessions, change, &prepared, within).await?;
    if !journal::is_whole(&lease, &shadow).await? {
        let attempted = format!("lock {} for the cut-over", names.display);
        let reason = "the server has crashed and emptied the unlogged shadow";
        return Err(Error::new(Kind::Disconnected, attempted, reason));
    }
    let table = names.display.clone();
    Ok(CutoverLock { lease, marks: marks.clone(), table, shadow, swapper })
}

/// Looks for sessions that would block us. If there are any, it does not even queue behind them.
async fn prepare(session: &Session, change: &Change, within: Duration) -> Result<Prepared> {
    let names = &change.names;
    let attempted = || format!("lock {} for the cut-over", names.display);
    let facts = journal::facts(session, names).await?;
    own_objects::ensure_schema(session, &names.old_schema, facts.source).await?;
    let temporary = blockers::temporary(session, facts.source).await?;
    if !temporary.is_empty() {
        let who = blockers::names(&temporary);
        blockers::end(session, change, temporary).await?;
        // The objects of an ended session disappear with it, and the next attempt sees that.
        return Err(Error::new(Kind::Busy, attempted(), format!("in the way: {who}")));
    }
    let cascade = announced_cascade(session, change, &facts).await?;
    let views = cascade.without(materialized_views::list(session, facts.source).await?);
    let locked_relations =
        locked_relations::list(session, &names.display, facts.source, &views, &cascade.relations())
            .await?;
    let are_views_ready = match &facts.shadow {
        Some(shadow) => replacement_views::are_ready(session, &views, shadow.oid).await?,
        None => true,
    };
    let tables: Vec<u32> =
        locked_relations.iter().map(|relation| relation.oid).chain([facts.source]).collect();
    blockers::wait_for_old_snapshots(session, change.target.wait_old_snapshots).await?;
    let in_the_way = blockers::holders(session, &tables, within).await?;
    let left = blockers::end(session, change, in_the_way).await?;
    if !left.is_empty() {
        return Err(Error::new(
            Kind::Busy,
            attempted(),
            format!("in the way: {}", blockers::names(&left)),
        ));
    }
    let row = session.one(sql::DEADLOCKS, &[]).await.doing(attempted)?;
    let deadlock_ms = u64::try_from(row.get::<_, i64>(1)).unwrap_or_default();
    // A session that waits for us checks for a deadlock once, after this time. By then we have
    // every lock, or have given up.
    let budget =
        within.min(Duration::from_millis(deadlock_ms) * 4 / 5).max(Duration::from_millis(10));
    let parents =
        facts.shadow.as_ref().map(|shadow| shadow.final_steps.parents.clone()).unwrap_or_default();
    let adapted = rehearsal::beforehand(session, change, facts.source, &views).await?;
    Ok(Prepared {
        facts,
        locked_relations,
        views,
        cascade,
        adapted,
        parents,
        are_views_ready,
        may_hurry: row.get(0),
        budget,
    })
}

/// Returns what CASCADE drops now, unless the plan did not name it.
async fn announced_cascade(session: &Session, change: &Change, facts: &Facts) -> Result<Cascade> {
    let cascade = cascade::of_change(session, change, facts.source).await?;
    let announced =
        facts.shadow.as_ref().map(|shadow| &*shadow.final_steps.cascade).unwrap_or_default();
    let Some(object) = cascade.unannounced(announced) else { return Ok(cascade) };
    let reason = format!(
        "CASCADE would drop what the plan did not name: {object}; drop it, and run the same \
         command again"
    );
    Err(Error::refused(format!("lock {} for the cut-over", change.names.display), reason))
}

/// Returns the statements that write the new OIDs where other tables keep the old ones.
async fn identities_on(
    control: &Arc<SessionPool>,
    names: &Names,
    prepared: &Prepared,
    shadow: &ShadowFacts,
) -> Result<Vec<String>> {
    let lease = control.take().await?;
    let result = identities(&lease, names, prepared, shadow).await;
    lease.settle(result).await
}

async fn identities(
    session: &Session,
    names: &Names,
    prepared: &Prepared,
    shadow: &ShadowFacts,
) -> Result<Vec<String>> {
    let replacements = replacement_views::pairs(session, &prepared.views, shadow.oid).await?;
    let (mut old, mut new): (Vec<u32>, Vec<u32>) = replacements.into_iter().unzip();
    old.push(prepared.facts.source);
    new.push(shadow.oid);
    let kept = oids::find(session, &old, &new).await?;
    match kept.refusals().into_iter().next() {
        None => Ok(kept.statements()),
        Some(Finding { object, message: reason, remedy, .. }) => {
            let attempted = format!("lock {} for the cut-over", names.display);
            Err(Error::refused(attempted, format!("{object}: {reason}; {remedy}")))
        }
    }
}

/// Prepares the statements of the last refresh. That saves time under the lock.
async fn prepare_statements(session: &Session, names: &Names, shadow: &ShadowFacts) -> Result<()> {
    if let Some(back) = &shadow.layout.back {
        let statement = sql::return_keys(&shadow.layout, back);
        let prepared = session.prepare(&statement).await;
        return prepared.doing(format!("prepare the cut-over of {}", names.display));
    }
    session
        .prepare(&sql::delete_keys(&shadow.layout, 1))
        .await
        .doing(format!("prepare the cut-over of {}", names.display))?;
    session
        .prepare(&sql::insert_keys(&shadow.layout, &Watermark::End, 1))
        .await
        .doing(format!("prepare the cut-over of {}", names.display))
}

/// Takes the strongest lock at once, on every relation. To raise a weaker lock later would cause
/// deadlocks.
async fn take_lock(
    session: &Session,
    sessions: &Sessions,
    change: &Change,
    prepared: &Prepared,
    within: Duration,
) -> Result<()> {
    let attempted = || format!("lock {} for the cut-over", change.names.display);
    let budget = prepared.budget;
    let locking = acquire(session, &change.names, prepared, within);
    tokio::pin!(locking);
    let mut blockers = String::new();
    let outcome = tokio::select! {
        outcome = &mut locking => Ok(outcome),
        named = who_blocks(sessions, change, session.pid, budget) => {
            blockers = named;
            tokio::time::timeout(budget + GRACE, locking).await
        }
    };
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let mut answer = error::of_lock(attempted(), &error);
            if answer.kind == Kind::Busy && !blockers.is_empty() {
                answer.reason = format!("in the way for {budget:?}: {blockers}");
            }
            Err(answer)
        }
        Err(_) => {
            sessions.run.end_one(session.pid).await?;
            Err(Error::new(
                Kind::Busy,
                attempted(),
                "the server did not say whether it granted the lock",
            ))
        }
    }
}

/// Runs one statement after the other, all within the budget.
async fn acquire(
    session: &Session,
    names: &Names,
    prepared: &Prepared,
    within: Duration,
) -> std::result::Result<(), tokio_postgres::Error> {
    let deadline = Instant::now() + prepared.budget;
    let bounded = |statement: &str| {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
        sql::within_budget(left, statement)
    };
    session.run(&sql::begin_cutover(prepared.may_hurry)).await?;
    for statement in locked_relations::locks(names, &prepared.locked_relations, &prepared.parents) {
        session.run(&bounded(&statement)).await?;
    }
    session.run(&sql::under_lock(within)).await
}

/// Names the sessions that block us, shortly before we give up. Ends them with --kill-blockers.
async fn who_blocks(sessions: &Sessions, change: &Change, pid: i32, within: Duration) -> String {
    tokio::time::sleep(within * 3 / 4).await;
    let Ok(lease) = sessions.control.take().await else { return String::new() };
    let named = name_and_end(&lease, change, pid).await;
    lease.settle(named).await.unwrap_or_default()
}

async fn name_and_end(session: &Session, change: &Change, pid: i32) -> Result<String> {
    let before = blockers::before(session, pid).await?;
    let names = blockers::names(&before);
    blockers::end(session, change, before).await?;
    Ok(names)
}

impl TableLock for CutoverLock {
    async fn mark(&mut self) -> Result<Marker> {
        self.marks.put().await
    }

    async fn refresh(&mut self, keys: &[Key]) -> Result<()> {
        rows::refresh(&self.lease, &self.table, &self.shadow, keys, &Watermark::End).await
    }

    async fn clear(&mut self) -> Result<()> {
        let cleared = self.lease.execute(&sql::empty(&self.shadow.layout), &[]).await;
        cleared.map(drop).doing(format!("clear the shadow of {}", self.table))
    }

    async fn check_stream(&mut self) -> Result<()> {
        let Swapper { names, facts, .. } = &self.swapper;
        completeness::hold_still(&self.lease, names).await?;
        // This session sees its own new version of the publication. Other sessions see the version
        // before it.
        completeness::judge(&*self.marks.session().await?, names, facts).await
    }

    async fn swap(self) -> Swap {
        let CutoverLock { lease, shadow, swapper, .. } = self;
        // The swap is the longest path of all. On the heap it spares every caller its stack.
        if let Err(error) = Box::pin(swapper.swap(&lease, &shadow)).await {
            lease.roll_back().await;
            return Swap::Refused(error);
        }
        let attempted = format!("commit the swap of {}", swapper.names.display);
        match lease.run(sql::COMMIT).await {
            Ok(()) => Swap::Done,
            Err(error) => match error::of(attempted, &error) {
                error if error.kind == Kind::Disconnected => Swap::Unknown(error),
                error => Swap::Refused(error),
            },
        }
    }

    async fn release(self) -> Result<()> {
        let released = self.lease.run(sql::ROLLBACK).await;
        let attempted = format!("release the lock of {}", self.table);
        self.lease.settle(released.doing(attempted)).await
    }
}
