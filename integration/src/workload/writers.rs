//! The application: connections that write at a steady rate, whatever happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::kind::{Kind, Mix};
use super::model::{Change, Model};
use super::report::{Completion, Failed, Records, Report};
use super::row_check::RowCheck;
use super::table::{Row, Table, list, rows_where};
use crate::session::{Failure, Session};

/// An application under load, until [`Writers::stop`].
#[derive(Debug)]
pub struct Writers {
    table: Table,
    started: Instant,
    stopping: Arc<AtomicBool>,
    completed: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Writer>>,
}

impl Writers {
    /// Begins `per_second` writes a second over `connections`. The load is open: a write that is
    /// late does not delay those after it, and its lateness counts as its latency.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub fn start(
        url: &str,
        table: &Table,
        per_second: u32,
        connections: u32,
        seed: u64,
        mix: &Mix,
    ) -> Self {
        let started = Instant::now();
        let stopping = Arc::new(AtomicBool::new(false));
        let completed = Arc::new(AtomicU64::new(0));
        let interval = Duration::from_secs(1) * connections / per_second;
        let writers: Vec<Writer> = (0..connections)
            .map(|number| Writer {
                url: url.to_owned(),
                model: Model::of(table, number, connections),
                random: SmallRng::seed_from_u64(seed << 8 | u64::from(number)),
                mix: mix.clone(),
                started,
                stopping: stopping.clone(),
                completed: completed.clone(),
                session: None,
                records: Records::default(),
            })
            .collect();
        let thread = thread::spawn(move || drive(writers, interval));
        Self { table: table.clone(), started, stopping, completed, thread }
    }

    /// The time on the clock that the report's times are of.
    pub fn clock(&self) -> Duration {
        self.started.elapsed()
    }

    /// Writes completed until now.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Waits until `more` writes have completed.
    ///
    /// # Panics
    /// When it takes longer than `limit`.
    pub fn wait_for(&self, more: u64, limit: Duration) {
        let goal = self.completed() + more;
        let deadline = Instant::now() + limit;
        while self.completed() < goal {
            assert!(
                Instant::now() < deadline,
                "the application could not complete {more} writes in {limit:?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the load; every write begun is completed, or its outcome found out.
    ///
    /// # Panics
    /// When a writer did.
    pub fn stop(self) -> Report {
        self.stopping.store(true, Ordering::Relaxed);
        let writers = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut records = Records::default();
        let (mut expected, mut deleted) = (BTreeMap::new(), BTreeSet::new());
        for writer in writers {
            records.append(writer.records);
            expected.extend(writer.model.touched);
            deleted.extend(writer.model.deleted);
        }
        records.completions.sort_unstable_by_key(|completion| completion.at);
        Report { records, row_check: RowCheck { table: self.table, expected, deleted } }
    }
}

fn drive(writers: Vec<Writer>, interval: Duration) -> Vec<Writer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can always be built").block_on(async {
        let tasks: Vec<_> =
            writers.into_iter().map(|writer| tokio::spawn(writer.run(interval))).collect();
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
        }
        done
    })
}

/// One connection of the application, and the part of the table it owns.
#[derive(Debug)]
struct Writer {
    url: String,
    model: Model,
    random: SmallRng,
    mix: Mix,
    started: Instant,
    stopping: Arc<AtomicBool>,
    completed: Arc<AtomicU64>,
    session: Option<Connected>,
    records: Records,
}

struct Connected {
    session: Session,
    number: String,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.number)
    }
}

/// What became of a transaction.
enum Outcome {
    Committed,
    RolledBack(Failure),
    /// The connection broke. This is the number the server knew it by.
    Unknown(String),
}

impl Writer {
    async fn run(mut self, interval: Duration) -> Self {
        let mut due = Instant::now();
        while !self.is_stopping() {
            due += interval;
            tokio::time::sleep_until(due.into()).await;
            let kind = self.mix.pick(&mut self.random);
            if self.write(kind).await {
                let completion =
                    Completion { at: self.started.elapsed(), latency: due.elapsed(), kind };
                self.records.completions.push(completion);
                self.completed.fetch_add(1, Ordering::Relaxed);
            }
        }
        self
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// One write of `kind`; whether it completed.
    async fn write(&mut self, kind: Kind) -> bool {
        let first = self.model.plan(kind, &mut self.random);
        if !self.transact(kind, &first).await {
            return false;
        }
        match kind {
            Kind::MoveUniqueInTwo => {
                let second = self.model.take_what_was_given_up(&first, &mut self.random);
                self.transact(kind, &second).await
            }
            _ => true,
        }
    }

    async fn transact(&mut self, kind: Kind, change: &Change) -> bool {
        if !self.connect().await {
            return false;
        }
        match self.attempt(kind, change).await {
            Outcome::Committed => {
                if kind != Kind::Abort {
                    self.model.apply(change);
                }
                true
            }
            Outcome::RolledBack(failure) => {
                self.records.failures.push(Failed { at: self.started.elapsed(), kind, failure });
                false
            }
            Outcome::Unknown(number) => {
                self.records.broken_connections += 1;
                let wanted = if kind == Kind::Abort { change.undone() } else { change.clone() };
                self.find_out(&wanted, &number).await;
                false
            }
        }
    }

    async fn attempt(&mut self, kind: Kind, change: &Change) -> Outcome {
        let mut connected = self.session.take().expect("a session was made before");
        let done = statements(&mut connected.session, &self.model.table.name, kind, change).await;
        let failure = match done {
            Ok(()) => {
                self.session = Some(connected);
                return Outcome::Committed;
            }
            Err(failure) => failure,
        };
        if failure.is_lost_connection() || connected.session.execute("ROLLBACK").await.is_err() {
            return Outcome::Unknown(connected.number);
        }
        self.session = Some(connected);
        Outcome::RolledBack(failure)
    }

    /// Tries until there is a connection, or until it was told to stop and 30 s have passed.
    async fn connect(&mut self) -> bool {
        let mut patience = None;
        while self.session.is_none() {
            if self.is_stopping()
                && *patience.get_or_insert_with(Instant::now) + Duration::from_secs(30)
                    < Instant::now()
            {
                return false;
            }
            match tokio::time::timeout(Duration::from_secs(5), connect(&self.url)).await {
                Ok(Ok(connected)) => self.session = Some(connected),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        true
    }

    /// The connection broke: the rows are as they were before or as they should be, and the
    /// server says which.
    async fn find_out(&mut self, change: &Change, number: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if !self.connect().await {
                break;
            }
            let mut connected = self.session.take().expect("it is connected");
            let Ok(now) =
                rows_after(&mut connected.session, &self.model.table.name, number, change).await
            else {
                continue;
            };
            self.session = Some(connected);
            if now == change.rows(|row| row.after.as_ref()) {
                self.model.apply(change);
            } else if now != change.rows(|row| row.before.as_ref()) {
                self.records.surprises.push(format!(
                    "after a broken connection the rows {:?} are neither what they were nor what \
                     they should be",
                    change.0.iter().map(|row| row.id).collect::<Vec<_>>()
                ));
            }
            return;
        }
        self.records.surprises.push("the outcome of a transaction could not be found out".into());
    }
}

async fn connect(url: &str) -> Result<Connected, Failure> {
    let mut session = Session::connect(url).await?;
    let number = match session.is_postgres() {
        true => "SELECT pg_backend_pid()",
        // What most applications use; it takes no gap locks, so the writers meet no deadlocks.
        false => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT connection_id()",
    };
    let number = session.value(number).await?.unwrap_or_default();
    Ok(Connected { session, number })
}

async fn statements(
    session: &mut Session,
    table: &str,
    kind: Kind,
    change: &Change,
) -> Result<(), Failure> {
    let statements = change.statements(table);
    let alone = statements.len() == 1 && kind != Kind::Abort;
    if !alone {
        session.execute("BEGIN").await?;
    }
    for sql in &statements {
        let rows = session.execute(sql).await?;
        if rows != 1 {
            let message = format!("a row of ours is missing: {rows} rows changed by {sql}");
            return Err(Failure { code: "missing".into(), message });
        }
    }
    if !alone {
        session.execute(if kind == Kind::Abort { "ROLLBACK" } else { "COMMIT" }).await?;
    }
    Ok(())
}

/// The rows of `change`, once the broken connection has no transaction any more.
async fn rows_after(
    session: &mut Session,
    table: &str,
    number: &str,
    change: &Change,
) -> Result<Vec<Option<Row>>, Failure> {
    let is_there = match session.is_postgres() {
        true => format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {number} AND pid <> pg_backend_pid()"
        ),
        false => {
            format!(
                "SELECT count(*) FROM information_schema.processlist WHERE id = {number} AND id \
                 <> connection_id()"
            )
        }
    };
    // Numbers begin anew with a restart of the server, so another connection may have this one.
    let deadline = Instant::now() + Duration::from_secs(5);
    while session.value(&is_there).await?.as_deref() != Some("0") && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ids = list(change.0.iter().map(|row| row.id));
    let found = rows_where(session, table, &format!("id IN ({ids})")).await?;
    Ok(change.0.iter().map(|row| found.get(&row.id).cloned()).collect())
}
