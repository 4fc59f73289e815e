//! Puts the shadow in the source's place: one lock, one transaction, and an answer for when no answer came.

use crate::blockers;
use crate::carried::{self, Carried};
use crate::cascade::{self, Cascade};
use crate::connect::CONNECT_TIMEOUT;
use crate::definition;
use crate::engine::{Marks, Postgres};
use crate::error;
use crate::followed;
use crate::guard;
use crate::journal::{self, Facts, ShadowFacts};
use crate::leftovers;
use crate::log;
use crate::making;
use crate::materialized::{self, Materialized};
use crate::names::{Names, literal, qualified, quoted};
use crate::neighbours::{self, Neighbour};
use crate::obstacles;
use crate::oids;
use crate::ours;
use crate::preflight::{self, SchemaState};
use crate::rehearsal::{self, Adapted};
use crate::session::{Lease, Pool, Session, locked};
use crate::shadow;
use crate::sql;
use crate::version::Version;
use crate::witness;
use altergeist_contract::{
    Cutover, Error, ForeignKeys, Key, Kind, Marker, Ownership, Refusal, Result, Swap, TableLock, Watermark,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much longer than the lock timeout we wait for the server to say that it has passed.
const GRACE: Duration = Duration::from_secs(2);

/// How often, and after what pause, what is left after the swap is tried again.
const FINISH_ATTEMPTS: usize = 30;
const FINISH_PAUSE: Duration = Duration::from_secs(1);

/// How long a session that lost us may take to end.
const BURIAL: Duration = Duration::from_secs(20);

/// Both tables, locked against everybody.
pub struct CutoverLock {
    lease: Lease,
    marks: Arc<Marks>,
    table: String,
    shadow: Arc<ShadowFacts>,
    swapper: Swapper,
}

/// What the swap needs to know.
struct Swapper {
    names: Names,
    facts: Facts,
    neighbours: Vec<Neighbour>,
    views: Vec<Materialized>,
    cascade: Cascade,
    adapted: Adapted,
    identities: Vec<String>,
    foreign_keys: ForeignKeys,
    version: Version,
}

/// What was found out before the lock is asked for.
struct Prepared {
    facts: Facts,
    neighbours: Vec<Neighbour>,
    /// The materialized views that are replaced with the table.
    views: Vec<Materialized>,
    /// What CASCADE drops.
    cascade: Cascade,
    /// How what hangs on the table is to be made.
    adapted: Adapted,
    /// The tables new foreign keys will point to.
    parents: Vec<String>,
    are_views_ready: bool,
    /// Whether this role may shorten the server's own wait for a deadlock.
    may_hurry: bool,
    /// How long all the locks together may be waited for.
    budget: Duration,
}

impl Cutover for Postgres {
    type Lock = CutoverLock;

    async fn lock(&self, within: Duration) -> Result<CutoverLock> {
        let lease = self.control.take().await?;
        let followed = followed::follow(&lease, self).await;
        lease.settle(followed).await?;
        let shadow = self.shadow().await?;
        let lease = self.control.take().await?;
        let result = prepare(&lease, self, within).await;
        let prepared = lease.settle(result).await?;
        if !prepared.are_views_ready {
            materialized::prepare(self, prepared.facts.source, shadow.oid).await?;
        }
        let pool = Pool::new(self.server.clone(), self.run.clone(), sql::cutover_settings(within), 1);
        let lease = pool.take().await?;
        *locked(&self.cutover_pid) = Some(lease.pid);
        let swapper = Swapper {
            names: self.names.clone(),
            facts: prepared.facts.clone(),
            neighbours: prepared.neighbours.clone(),
            views: prepared.views.clone(),
            cascade: prepared.cascade.clone(),
            adapted: prepared.adapted.clone(),
            identities: self.identities(&prepared, &shadow).await?,
            foreign_keys: self.target.foreign_keys,
            version: self.version,
        };
        prepare_statements(&lease, self, &shadow).await?;
        swapper.rehearse(&lease, &shadow).await?;
        take_lock(&lease, self, &prepared, within).await?;
        if !journal::is_whole(&lease, &shadow).await? {
            let attempted = format!("lock {} for the cut-over", self.names.display);
            let reason = "the server has crashed and emptied the unlogged shadow";
            return Err(Error::new(Kind::Disconnected, attempted, reason));
        }
        Ok(CutoverLock { lease, marks: self.marks.clone(), table: self.names.display.clone(), shadow, swapper })
    }

    async fn ownership(&self) -> Result<Ownership> {
        let session = self.server.open(&self.names.application, &sql::control_settings(CONNECT_TIMEOUT)).await?;
        let last = *locked(&self.cutover_pid);
        if let Some(pid) = last {
            outlive(&session, self, pid).await?;
        }
        who_answers(&session, self).await
    }

    async fn finish(&self) -> Result<()> {
        self.stop_pulse();
        let lease = self.control.take().await?;
        let result = finish(&lease, self).await;
        lease.settle(result).await
    }
}

/// Looks for those who would keep us waiting, and does not even queue behind them.
async fn prepare(session: &Session, engine: &Postgres, within: Duration) -> Result<Prepared> {
    let attempted = || format!("lock {} for the cut-over", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of(attempted(), &error);
    let facts = journal::facts(session, engine).await?;
    ours::ensure_schema(session, &engine.names.old_schema, facts.source).await?;
    let temporary = blockers::temporary(session, facts.source).await?;
    if !temporary.is_empty() {
        let who = blockers::names(&temporary);
        blockers::end(session, engine, temporary).await?;
        // What ended sessions had is gone when they are: the next attempt sees it.
        return Err(Error::new(Kind::Busy, attempted(), format!("in the way: {who}")));
    }
    let cascade = cascade::of_change(session, engine, facts.source).await?;
    let announced = facts.shadow.as_ref().map(|shadow| &*shadow.arrival.cascade).unwrap_or_default();
    if let Some(object) = cascade.unannounced(announced) {
        let reason =
            format!("CASCADE would drop what the plan did not name: {object}; drop it, and run the same command again");
        return Err(Error::refused(attempted(), reason));
    }
    let views = cascade.without(materialized::list(session, facts.source).await?);
    let neighbours =
        neighbours::list(session, &engine.names.display, facts.source, &views, &cascade.relations()).await?;
    let are_views_ready = match &facts.shadow {
        Some(shadow) => materialized::are_ready(session, &views, shadow.oid).await?,
        None => true,
    };
    let tables: Vec<u32> = neighbours.iter().map(|neighbour| neighbour.oid).chain([facts.source]).collect();
    blockers::wait_for_old_snapshots(session, engine).await?;
    let in_the_way = blockers::holders(session, &tables, within).await?;
    let left = blockers::end(session, engine, in_the_way).await?;
    if !left.is_empty() {
        return Err(Error::new(Kind::Busy, attempted(), format!("in the way: {}", blockers::names(&left))));
    }
    let row = session.one(sql::DEADLOCKS, &[]).await.map_err(failed)?;
    let deadlock_ms = u64::try_from(row.get::<_, i64>(1)).unwrap_or_default();
    // Who waits for us looks for a deadlock after this long, once: by then we have everything, or have given up.
    let budget = within.min(Duration::from_millis(deadlock_ms) * 4 / 5).max(Duration::from_millis(10));
    let parents = facts.shadow.as_ref().map(|shadow| shadow.arrival.parents.clone()).unwrap_or_default();
    let adapted = rehearsal::beforehand(session, engine, facts.source, &views).await?;
    Ok(Prepared { facts, neighbours, views, cascade, adapted, parents, are_views_ready, may_hurry: row.get(0), budget })
}

impl Postgres {
    /// The statements that put the new identities where the old ones are kept as data.
    async fn identities(&self, prepared: &Prepared, shadow: &ShadowFacts) -> Result<Vec<String>> {
        let lease = self.control.take().await?;
        let result = identities(&lease, &self.names, prepared, shadow).await;
        lease.settle(result).await
    }
}

async fn identities(
    session: &Session,
    names: &Names,
    prepared: &Prepared,
    shadow: &ShadowFacts,
) -> Result<Vec<String>> {
    let twins = materialized::twins(session, &prepared.views, shadow.oid).await?;
    let (mut old, mut new): (Vec<u32>, Vec<u32>) = twins.into_iter().unzip();
    old.push(prepared.facts.source);
    new.push(shadow.oid);
    let kept = oids::find(session, &old, &new).await?;
    match kept.refusals().into_iter().next() {
        None => Ok(kept.statements()),
        Some(Refusal { object, reason, remedy }) => {
            let attempted = format!("lock {} for the cut-over", names.display);
            Err(Error::refused(attempted, format!("{object}: {reason}; {remedy}")))
        }
    }
}

/// What of the last refresh is prepared now costs no time under the lock.
async fn prepare_statements(session: &Session, engine: &Postgres, shadow: &ShadowFacts) -> Result<()> {
    let failed =
        |error: tokio_postgres::Error| error::of(format!("prepare the cut-over of {}", engine.names.display), &error);
    session.prepare(&sql::delete_keys(&shadow.layout, 1)).await.map_err(failed)?;
    session.prepare(&sql::insert_keys(&shadow.layout, &Watermark::End, 1)).await.map_err(failed)
}

/// The strongest lock at once, everywhere: a weaker one that is raised later kills others by deadlock.
async fn take_lock(session: &Session, engine: &Postgres, prepared: &Prepared, within: Duration) -> Result<()> {
    let attempted = || format!("lock {} for the cut-over", engine.names.display);
    let budget = prepared.budget;
    let locking = acquire(session, engine, prepared, within);
    tokio::pin!(locking);
    let mut blockers = String::new();
    let outcome = tokio::select! {
        outcome = &mut locking => Ok(outcome),
        named = who_blocks(engine, session.pid, budget) => {
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
            engine.run.end_one(session.pid).await?;
            Err(Error::new(Kind::Busy, attempted(), "the server did not say whether the lock came"))
        }
    }
}

/// One statement after the other, all of them together within the budget.
async fn acquire(
    session: &Session,
    engine: &Postgres,
    prepared: &Prepared,
    within: Duration,
) -> std::result::Result<(), tokio_postgres::Error> {
    let deadline = Instant::now() + prepared.budget;
    let bounded = |statement: &str| {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
        format!("SET LOCAL lock_timeout = {left}; SET LOCAL statement_timeout = {left}; {statement}")
    };
    // The server ends an autovacuum that is in the way, but only after this long.
    let hurry = if prepared.may_hurry { "SET LOCAL deadlock_timeout = '20ms'" } else { "" };
    session.run(&format!("BEGIN; {hurry}")).await?;
    for statement in neighbours::locks(&engine.names, &prepared.neighbours, &prepared.parents) {
        session.run(&bounded(&statement)).await?;
    }
    session.run(&sql::under_lock(within)).await
}

/// Names who stands before us, shortly before we give up; ends them if that was asked for.
async fn who_blocks(engine: &Postgres, pid: i32, within: Duration) -> String {
    tokio::time::sleep(within * 3 / 4).await;
    let Ok(lease) = engine.control.take().await else { return String::new() };
    let named = name_and_end(&lease, engine, pid).await;
    lease.settle(named).await.unwrap_or_default()
}

async fn name_and_end(session: &Session, engine: &Postgres, pid: i32) -> Result<String> {
    let before = blockers::before(session, pid).await?;
    let names = blockers::names(&before);
    blockers::end(session, engine, before).await?;
    Ok(names)
}

impl TableLock for CutoverLock {
    async fn mark(&mut self) -> Result<Marker> {
        self.marks.put().await
    }

    async fn refresh(&mut self, keys: &[Key]) -> Result<()> {
        shadow::refresh(&self.lease, &self.table, &self.shadow, keys, &Watermark::End).await
    }

    async fn clear(&mut self) -> Result<()> {
        let cleared = self.lease.execute(&sql::empty(&self.shadow.layout), &[]).await;
        cleared.map(drop).map_err(|error| error::of(format!("clear the shadow of {}", self.table), &error))
    }

    async fn check_stream(&mut self) -> Result<()> {
        let Swapper { names, facts, .. } = &self.swapper;
        witness::hold_still(&self.lease, names).await?;
        // This session sees its own new version of the publication; any other sees the one it was made of.
        witness::judge(&*self.marks.session().await?, names, facts).await
    }

    async fn swap(self) -> Swap {
        let CutoverLock { lease, shadow, swapper, .. } = self;
        if let Err(error) = swapper.swap(&lease, &shadow).await {
            lease.roll_back().await;
            return Swap::Refused(error);
        }
        let attempted = format!("commit the swap of {}", swapper.names.display);
        match lease.run("COMMIT").await {
            Ok(()) => Swap::Done,
            Err(error) => match error::of(attempted, &error) {
                error if error.kind == Kind::Disconnected => Swap::Unknown(error),
                error => Swap::Refused(error),
            },
        }
    }

    async fn release(self) -> Result<()> {
        let released = self.lease.run("ROLLBACK").await;
        let attempted = format!("release the lock of {}", self.table);
        self.lease.settle(released.map_err(|error| error::of(attempted, &error))).await
    }
}

/// Bodies of functions are checked where they are written, by the search path of that time. What reads the catalogue is
/// planned once, in the rehearsal: to plan it again under the lock would take longer than all the rest.
fn swap_settings() -> String {
    format!("{} SET LOCAL plan_cache_mode = force_generic_plan", sql::use_own_language())
}

impl Swapper {
    /// Reads all that the swap will read, before the lock: its statements are prepared then, and the session knows the
    /// catalogue. What the swap would refuse is refused here, and nobody waits for it.
    async fn rehearse(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let attempted = || format!("prepare the cut-over of {}", self.names.display);
        let failed = |error: tokio_postgres::Error| error::of(attempted(), &error);
        session.run(&format!("BEGIN READ ONLY; {}", swap_settings())).await.map_err(failed)?;
        self.check_source(session, shadow).await?;
        ours::require(session, &attempted()).await?;
        definition::describe(session, shadow.oid).await?;
        carried::read(session, &self.names, self.facts.source, &self.views).await?;
        materialized::definitions(session, &self.views, &self.adapted).await?;
        definition::attributes(session, shadow.oid).await?;
        for table in [self.facts.source, shadow.oid] {
            sequences(session, table).await?;
            statistics(session, table).await?;
        }
        session.run("ROLLBACK").await.map_err(failed)
    }

    /// Everything up to the commit. Whatever was changed by others since the run began ends it here.
    async fn swap(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let attempted = || format!("swap {} with its shadow", self.names.display);
        let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
        session.run(&swap_settings()).await.map_err(failed)?;
        self.check_source(session, shadow).await?;
        let mut script = shadow.late.clone();
        script.push(sql::drop_publication(&self.names.publication));
        if shadow.is_guarded {
            script.extend(guard::drop(&self.names, &making::partitions(session, shadow.oid).await?));
        }
        session.run(&script.join(";\n")).await.map_err(failed)?;
        self.check_shadow(session, shadow).await?;
        self.make_room(session).await?;
        let hanging = carried::read(session, &self.names, self.facts.source, &self.views).await?;
        let Some(made) = self.adapted.of(&hanging) else {
            return Err(Error::new(Kind::Busy, attempted(), "what is connected with it has just changed"));
        };
        let materialized = materialized::definitions(session, &self.views, &self.adapted).await?;
        let wanted = carried::wanted(&made, &shadow.survivors, &shadow.arrival, self.foreign_keys);
        let columns = definition::attributes(session, shadow.oid).await?;
        let columns: Vec<String> = columns.into_iter().map(|column| column.name).collect();
        let (old_names, new_names) = carried::renames(&self.names.source(), &shadow.survivors, &columns);
        let (before, after) = self.sequences(session, shadow).await?;
        let (views_before, views_after) = materialized::swap(session, &self.names, &self.views).await?;
        let mut script = self.cascade.statements();
        let is_there = |carried: &&Carried| !self.cascade.drops(&carried.object);
        script.extend(hanging.iter().filter(is_there).filter_map(|carried| carried.before.clone()));
        script.extend(before);
        script.extend(self.moves(session, shadow).await?);
        script.extend(self.identities.iter().cloned());
        script.extend(views_before);
        script.extend(old_names);
        session.run(&script.join(";\n")).await.map_err(failed)?;
        carried::make(session, &self.names, &wanted).await?;
        carried::check(session, &self.names, shadow.oid, &wanted).await?;
        let new_views = materialized::list(session, shadow.oid).await?;
        if materialized::definitions(session, &new_views, &Adapted::default()).await? != materialized {
            return Err(Error::refused(attempted(), "a materialized view is not what it was"));
        }
        let script: Vec<String> = views_after.into_iter().chain(new_names).chain(after).collect();
        session.run(&script.join(";\n")).await.map_err(failed)?;
        self.arrive(session, shadow).await?;
        if let Some(own) = &self.facts.own_identity {
            let tables = [self.names.source(), self.names.old()];
            let script = tables.map(|table| sql::own_identity(&table, own)).join(";\n");
            session.run(&script).await.map_err(failed)?;
        }
        let lines = definition::describe(session, shadow.oid).await?;
        let finish = wanted.into_iter().filter_map(|carried| carried.finish).filter_map(|proof| {
            let other = shadow.arrival.other_proofs.iter().find(|(known, _)| *known == proof);
            other.map_or(Some(proof), |(_, other)| other.clone())
        });
        let finish = finish.chain(self.views.iter().filter_map(Materialized::refresh)).collect();
        let facts = Facts {
            done: Some(definition::structure(&lines)),
            shadow: Some(ShadowFacts { finish, ..shadow.clone() }),
            own_identity: None,
            ..self.facts.clone()
        };
        self.save_facts(session, &facts).await
    }

    /// The tables, and the statistics, which do not move with them.
    async fn moves(&self, session: &Session, shadow: &ShadowFacts) -> Result<Vec<String>> {
        let names = &self.names;
        let of_source = statistics(session, self.facts.source).await?;
        let of_shadow = statistics(session, shadow.oid).await?;
        let moved = |schema: &str, name: &str, to: &str| {
            format!("ALTER STATISTICS {} SET SCHEMA {}", qualified(schema, name), quoted(to))
        };
        let mut moves: Vec<String> =
            of_source.iter().map(|(name, schema)| moved(schema, name, &names.old_schema)).collect();
        moves.push(format!("ALTER TABLE {} SET SCHEMA {}", names.source(), quoted(&names.old_schema)));
        moves.push(format!("ALTER TABLE {} SET SCHEMA {}", names.shadow(), quoted(&names.schema)));
        if shadow.layout.is_partitioned {
            let partitions = making::partitions(session, shadow.oid).await?;
            moves.extend(partitions.iter().map(|(name, schema)| {
                format!("ALTER TABLE {} SET SCHEMA {}", qualified(schema, name), quoted(&names.schema))
            }));
        }
        moves.extend(of_shadow.iter().map(|(name, schema)| {
            let home = of_source.iter().find(|(was, _)| was == name).map_or(&names.schema, |(_, home)| home);
            moved(schema, name, home)
        }));
        Ok(moves)
    }

    async fn check_source(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let refused = |reason: String| Error::refused(format!("swap {} with its shadow", self.names.display), reason);
        let source = journal::table_id(session, &self.names.schema, &self.names.table).await?;
        let own = journal::table_id(session, &self.names.shadow_schema, &self.names.table).await?;
        if source != Some(self.facts.source) || own != Some(shadow.oid) {
            return Err(refused("the source or the shadow is not the table it was when the run began".to_owned()));
        }
        let now = definition::describe(session, self.facts.source).await?;
        let changed = definition::differences(&self.facts.source_lines, &now);
        if !followed::out_of_reach(&self.facts.source_lines, &now).is_empty() {
            return Err(refused(format!("it was changed by somebody else: {}", changed.join(", "))));
        }
        if !changed.is_empty() {
            let attempted = format!("swap {} with its shadow", self.names.display);
            return Err(Error::new(Kind::Busy, attempted, "what the shadow must follow has just changed"));
        }
        let cascade = self.cascade.again(session, self.facts.source).await?;
        let views = cascade.without(materialized::list(session, self.facts.source).await?);
        if !blockers::temporary(session, self.facts.source).await?.is_empty()
            || cascade != self.cascade
            || views != self.views
            || !materialized::are_ready(session, &views, shadow.oid).await?
            || neighbours::list(session, &self.names.display, self.facts.source, &views, &cascade.relations()).await?
                != self.neighbours
        {
            let attempted = format!("swap {} with its shadow", self.names.display);
            return Err(Error::new(Kind::Busy, attempted, "what is connected with it has just changed"));
        }
        let mut new = obstacles::find(session, &self.names, self.facts.source, &views, self.foreign_keys).await?;
        new.retain(|obstacle| !shadow.arrival.drops(&obstacle.object));
        if !new.is_empty() {
            let names: Vec<String> = new.into_iter().map(|obstacle| obstacle.object).collect();
            return Err(refused(format!("something came to depend on it meanwhile: {}", names.join(", "))));
        }
        Ok(())
    }

    /// The shadow must be, object by object, what the clauses made of the clone.
    async fn check_shadow(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let now = definition::describe(session, shadow.oid).await?;
        let differing = definition::differences(&shadow.lines, &now);
        if differing.is_empty() {
            return Ok(());
        }
        let reason = format!("the shadow is not what it should be: {}", differing.join(", "));
        Err(Error::refused(format!("swap {} with its shadow", self.names.display), reason))
    }

    /// Renames, and the clauses about what was put in place only now.
    async fn arrive(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let attempted = || format!("swap {} with its shadow", self.names.display);
        let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
        let arrival = &shadow.arrival;
        if let Some(wanted) = &arrival.structure {
            session.run(&arrival.renames.join(";\n")).await.map_err(failed)?;
            let now = definition::structure(&definition::describe(session, shadow.oid).await?);
            if now != *wanted {
                return Err(Error::refused(attempted(), "with its columns renamed the table is not what it should be"));
            }
        }
        if arrival.clauses.is_empty() {
            return Ok(());
        }
        let path = sql::use_search_path(&arrival.search_path);
        let script = format!("{path};\n{};\n{}", arrival.clauses.join(";\n"), sql::use_own_language());
        session.run(&script).await.map_err(failed)
    }

    async fn make_room(&self, session: &Session) -> Result<()> {
        let attempted = format!("make room for the old table of {}", self.names.display);
        ours::keep_schemas(session, &attempted).await?;
        ours::require_schema(session, &self.names.old_schema, &attempted).await?;
        match preflight::schema_state(session, &self.names.old_schema).await? {
            SchemaState::Missing => definition::make_schema(session, &self.names.old_schema, self.facts.source).await,
            SchemaState::Ours => definition::open_to_owner(session, &self.names.old_schema, self.facts.source).await,
            SchemaState::Foreign => Err(Error::refused(
                attempted,
                format!("the schema {} was made by somebody else", self.names.old_schema),
            )),
        }
    }

    /// What must be done with sequences before and after the tables move: one that belongs to a column of the source goes
    /// over to the shadow's, unless that has one of its own.
    async fn sequences(&self, session: &Session, shadow: &ShadowFacts) -> Result<(Vec<String>, Vec<String>)> {
        let of_source = sequences(session, self.facts.source).await?;
        let of_shadow = sequences(session, shadow.oid).await?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let has_identity = |column: &str| of_source.iter().any(|(name, _, is_identity)| name == column && *is_identity);
        for (column, sequence, is_identity) in &of_source {
            let Some(heir) = shadow.layout.columns.iter().find(|heir| heir.source == *column) else { continue };
            // Where a serial became an identity its sequence stays with the column, and gives no numbers any more.
            let is_left_over = !is_identity && has_identity(column);
            // One of the shadow's own goes on from where the old one has come to.
            let own = of_shadow.iter().find(|(name, ..)| *name == heir.name && !is_left_over);
            if let Some((_, own, _)) = own {
                before
                    .push(format!("SELECT setval({}::regclass, last_value, is_called) FROM {sequence}", literal(own)));
            } else if !is_identity {
                before.push(format!("ALTER SEQUENCE {sequence} OWNED BY NONE"));
                after.push(format!(
                    "ALTER SEQUENCE {sequence} OWNED BY {}.{}",
                    self.names.source(),
                    quoted(&heir.name)
                ));
                if shadow.is_unlogged && self.version.has_unlogged_sequences() {
                    after.push(format!("ALTER SEQUENCE {sequence} SET UNLOGGED"));
                }
            }
        }
        Ok((before, after))
    }

    async fn save_facts(&self, session: &Session, facts: &Facts) -> Result<()> {
        let attempted = || format!("write the journal of {}", self.names.display);
        let text = serde_json::to_string(facts).map_err(|error| Error::fatal(attempted(), error.to_string()))?;
        let failed = |error: tokio_postgres::Error| ours::journal_error(attempted(), &error);
        // What is looked at here was planned in the rehearsal.
        session.run(sql::LOCK_JOURNAL).await.map_err(failed)?;
        ours::require(session, &attempted()).await?;
        session.run(&sql::save_facts(&self.names.display, &text)).await.map_err(failed)
    }
}

/// The sequences of a table's columns: column, sequence, and whether it is an identity's.
async fn sequences(session: &Session, table: u32) -> Result<Vec<(String, String, bool)>> {
    let rows = session.query(sql::SEQUENCES, &[&table]).await;
    let rows = rows.map_err(|error| error::of("read the sequences", &error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// The extended statistics of a table: name and schema.
async fn statistics(session: &Session, table: u32) -> Result<Vec<(String, String)>> {
    let rows = session.query(sql::STATISTICS, &[&table]).await;
    let rows = rows.map_err(|error| error::of("read the extended statistics", &error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Waits until the session that held the lock has ended, however that ended.
async fn outlive(session: &Session, engine: &Postgres, pid: i32) -> Result<()> {
    let attempted = || format!("wait for the end of the cut-over's session {pid}");
    let failed = |error: tokio_postgres::Error| error::of(attempted(), &error);
    let deadline = Instant::now() + BURIAL;
    loop {
        session.query(sql::END_SESSION, &[&pid, &engine.names.application]).await.map_err(failed)?;
        let alive = session.one(sql::IS_ALIVE, &[&pid, &engine.names.application]).await.map_err(failed)?;
        if !alive.get::<_, bool>(0) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted(), BURIAL));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn who_answers(session: &Session, engine: &Postgres) -> Result<Ownership> {
    // The swap's own transaction notes what came of it. That stays true, whatever becomes of the tables later.
    let Some(facts) = journal::entry(session, engine).await?.facts else {
        return forgotten_owner(session, engine).await;
    };
    Ok(if facts.done.is_some() { Ownership::Shadow } else { Ownership::Source })
}

/// Somebody has dropped the journal. A swap takes the shadow out of its schema, and leaves the old table in another.
async fn forgotten_owner(session: &Session, engine: &Postgres) -> Result<Ownership> {
    let names = &engine.names;
    let shadow = journal::table_id(session, &names.shadow_schema, &names.table).await?;
    let old = journal::table_id(session, &names.old_schema, &names.table).await?;
    if shadow.is_some() || old.is_none() {
        return Ok(Ownership::Source);
    }
    let reason = format!("the journal does not know {} any more, and {} is there", names.display, names.old());
    Ok(Ownership::Unclear(reason))
}

async fn finish(session: &Session, engine: &Postgres) -> Result<()> {
    log::drop_log(session, engine).await?;
    let shadow = journal::facts(session, engine).await?.shadow;
    if let Some(shadow) = shadow {
        for statement in &shadow.arrival.validations {
            check_rows_of_old(session, engine, statement)
                .await?
                .map_err(|broken| error::of_lock(attempted(engine, statement), &broken))?;
        }
        for statement in &shadow.finish {
            // The new table has the rows of the old one, and the swap is done: nothing is mended by a failure.
            match check_rows_of_old(session, engine, statement).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::warn!(
                    "{}: rows break a foreign key, as they did before (they were written while it was not checked); it holds for \
                     new rows. When they are mended: {statement}",
                    engine.names.display
                ),
                Err(error) if error.kind == Kind::Disconnected => return Err(error),
                Err(error) => tracing::warn!(
                    "{}: the tables are swapped, but the server refuses one last statement ({}). When its reason is gone, \
                     give it yourself: {statement}",
                    engine.names.display,
                    error.reason
                ),
            }
        }
        materialized::leave(session, shadow.oid).await?;
    }
    leftovers::drop_schema_if_empty(session, &engine.names.shadow_schema).await
}

fn attempted(engine: &Postgres, statement: &str) -> String {
    format!("finish the altered {}: {statement}", engine.names.display)
}

/// What the server says when rows break a foreign key.
type Checked = std::result::Result<(), tokio_postgres::Error>;

/// Nobody who reads or writes rows waits for this, nor behind it, so it may wait long for a vacuum or the like. Where
/// somebody would, the statement itself says that it will not wait long, and is tried again.
async fn check_rows_of_old(session: &Session, engine: &Postgres, statement: &str) -> Result<Checked> {
    for _ in 1..FINISH_ATTEMPTS {
        match finish_one(session, engine, statement).await {
            Err(error) if error.kind == Kind::Busy => tokio::time::sleep(FINISH_PAUSE).await,
            other => return other,
        }
    }
    finish_one(session, engine, statement).await
}

async fn finish_one(session: &Session, engine: &Postgres, statement: &str) -> Result<Checked> {
    let bounded = format!("SET lock_timeout = '60s'; {statement}; SET lock_timeout = {}", engine.lock_timeout_ms());
    match session.run(&bounded).await {
        // Somebody has dropped it since, or it was added before we could write that down.
        Err(error) if ["42704", "42P01", "42710"].iter().any(|code| error::is_code(&error, code)) => Ok(Ok(())),
        Err(error) if error::is_code(&error, "23503") => Ok(Err(error)),
        other => other.map(Ok).map_err(|error| error::of_lock(attempted(engine, statement), &error)),
    }
}
