//! The engine: one process's work on one table of one PostgreSQL server. Only this room knows all
//! the parts. Every other function takes the parts it needs.

mod backfill;
mod cutover;
mod gauge;
mod inquiry;
mod journal;
mod order_table;
mod preflight;
mod shadow;

use crate::backfill::RowKey;
use crate::change::Change;
use crate::facts::OnlineSteps;
use crate::log::completeness;
use crate::log::follow;
use crate::log::slot;
use crate::log::source::{self, LogSource};
use crate::log::stream::LogStream;
use crate::schema::alter_request::AlterRequest;
use crate::schema::held_columns;
use crate::schema::set_columns;
use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::own_objects::{self, JournalLock};
use crate::server::pool::SessionPool;
use crate::server::replicas::Replicas;
use crate::server::run_lock::RunLock;
use crate::server::session::Session;
use crate::server::version::Version;
use crate::shadow::known::KnownShadow;
use crate::sql;
use crate::state::{HeartbeatSwitch, Marks, Sessions};
use altergeist_contract::{
    Engine, Error, Finding, Hold, Kind, Marker, Position, Result, Target, UnloggedChanges,
};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The shortest lock wait that makes sense on a real network.
const SHORTEST_LOCK_TIMEOUT: Duration = Duration::from_millis(10);

/// One table on one PostgreSQL server.
pub struct Postgres {
    pub(crate) change: Change,
    pub(crate) sessions: Sessions,
    pub(crate) log: LogSource,
    pub(crate) shadow: KnownShadow,
    pub(crate) marks: Arc<Marks>,
    pub(crate) heartbeat: HeartbeatSwitch,
    pub(crate) replicas: Replicas,
    /// The online steps of the last plan.
    pub(crate) planned_steps: Mutex<Option<OnlineSteps>>,
    /// The key that a backfill follows, once it is known.
    pub(crate) row_key: tokio::sync::OnceCell<RowKey>,
}

impl Engine for Postgres {
    type Stream = LogStream;

    async fn connect(target: &Target) -> Result<Postgres> {
        let mut target = target.clone();
        target.lock_timeout = target.lock_timeout.max(SHORTEST_LOCK_TIMEOUT);
        let server = Arc::new(Server::reach(&target.url, &target.passwords).await?);
        let probe = server.open("altergeist", &sql::probe_settings()).await?;
        let about =
            probe.one(sql::SERVER, &[]).await.doing(format!("look around on {}", server.name()))?;
        let version = Version::accept(about.get(0))?;
        if about.get(3) {
            return Err(Error::refused(
                format!("work on {}", server.name()),
                "it is a replica; give the primary's URL",
            ));
        }
        let (schema, table) = find_table(&probe, &target.table, about.get(2)).await?;
        let database: String = about.get(1);
        let standby = source::standby(target.stream_from.as_ref(), &server).await?;
        let names = Names::new(&database, &schema, &table);
        let (clauses, sets) =
            match held_columns::without_drops(&target.alter, &target.holds, &names) {
                Ok(clauses) if clauses.is_empty() && target.leaves_nothing() => {
                    (clauses, Err(Finding::nothing_left()))
                }
                Ok(clauses) => (clauses, set_columns::read(&target.sets)),
                Err(refusal) => (target.alter.clone(), Err(refusal)),
            };
        let change = Change {
            alter: AlterRequest::read(&clauses),
            sets,
            target,
            names,
            database,
            version,
            search_path: about.get(2),
            incarnation: incarnation(),
        };
        Ok(assemble(change, server, standby))
    }

    async fn hold(&self) -> Result<Hold> {
        let hold = self.sessions.run.take().await?;
        if hold == Hold::Taken {
            // Older sessions are not behind the fence.
            self.sessions.control.refresh();
            self.sessions.workers.refresh();
        }
        Ok(hold)
    }

    async fn holder(&self) -> Result<Option<String>> {
        let lease = self.sessions.control.take().await?;
        let who = self.sessions.run.holder(&lease).await;
        lease.settle(who).await
    }

    async fn still_held(&self) -> Result<()> {
        self.sessions.run.verify().await
    }

    async fn open_log(&self) -> Result<Position> {
        slot::open(&self.sessions, &self.change, &self.log, &self.heartbeat).await
    }

    async fn follow(&self, from: &Position) -> Result<LogStream> {
        follow::follow(&self.sessions, &self.change, &self.log, &self.heartbeat, from).await
    }

    async fn check_stream(&self) -> Result<()> {
        completeness::check(&self.sessions.control, &self.change.names, &self.log).await
    }

    async fn mark(&self) -> Result<Marker> {
        self.marks.put().await
    }
}

impl UnloggedChanges for Postgres {}

fn assemble(change: Change, server: Arc<Server>, standby: Option<Arc<Server>>) -> Postgres {
    let (target, names) = (&change.target, &change.names);
    let run = Arc::new(RunLock::new(server.clone(), names.clone()));
    let settings = sql::control_settings(target.lock_timeout);
    let control = SessionPool::new(server.clone(), run.clone(), settings, 1);
    let workers =
        SessionPool::new(server.clone(), run.clone(), sql::worker_settings(), target.workers);
    Postgres {
        marks: Arc::new(Marks {
            server: server.clone(),
            application: names.application.clone(),
            incarnation: change.incarnation.clone(),
            last: AtomicU64::new(0),
            session: tokio::sync::Mutex::new(None),
        }),
        log: LogSource {
            primary: server.clone(),
            standby,
            application: names.application.clone(),
            lock_timeout: target.lock_timeout,
            following_since: Mutex::new(None),
            stream_was_good: Mutex::new(None),
        },
        heartbeat: HeartbeatSwitch {
            server: server.clone(),
            names: names.clone(),
            incarnation: change.incarnation.clone(),
            running: Mutex::new(None),
        },
        shadow: KnownShadow::new(names.clone(), control.clone(), workers.clone()),
        replicas: Replicas::default(),
        sessions: Sessions { server, run, control, workers, cutover_pid: Mutex::new(None) },
        planned_steps: Mutex::new(None),
        row_key: tokio::sync::OnceCell::new(),
        change,
    }
}

/// Finds the table's schema and name. First it reads the given name as SQL does, then letter by
/// letter.
pub(crate) async fn find_table(
    session: &Session,
    given: &str,
    path: &str,
) -> Result<(String, String)> {
    let attempted = || format!("look up the table {given}");
    let exact = given
        .split('.')
        .map(|part| format!("\"{}\"", part.replace('"', "\"\"")))
        .collect::<Vec<_>>()
        .join(".");
    for name in [given, &exact] {
        let Some(row) = look_up(session, name, path).await else { continue };
        return match row.get::<_, &str>(3) {
            "r" | "p" => Ok((row.get(1), row.get(2))),
            // The table may be gone, and its name in use again. Its change can still be cleaned up.
            kind => match gone_table(session, given).await {
                Some((schema, table, stage)) if stage != "done" => Ok((schema, table)),
                _ => Err(Error::refused(
                    attempted(),
                    format!("it is {}, not a table; name a table", kind_of_relation(kind)),
                )),
            },
        };
    }
    if let Some((schema, table, _)) = gone_table(session, given).await {
        return Ok((schema, table));
    }
    if session.is_closed() {
        return Err(Error::new(Kind::Disconnected, attempted(), "the connection broke"));
    }
    Err(Error::refused(attempted(), "there is no such table, or this role may not see it"))
}

/// Returns what the server's letter for a kind of relation means.
fn kind_of_relation(letter: &str) -> &'static str {
    match letter {
        "v" => "a view",
        "m" => "a materialized view",
        "S" => "a sequence",
        "f" => "a foreign table",
        "i" | "I" => "an index",
        "c" => "a composite type",
        "t" => "the store of a table's long values",
        _ => "something else",
    }
}

async fn look_up(session: &Session, name: &str, path: &str) -> Option<tokio_postgres::Row> {
    session.query(sql::USE_PATH, &[&path]).await.ok()?;
    let number = session.query(sql::NUMBER_OF, &[&name]).await;
    session.run(sql::CLEAR_PATH).await.ok()?;
    let number: Option<u32> = number.ok()?.first()?.get(0);
    session.query(sql::FIND_TABLE, &[&number?]).await.ok()?.into_iter().next()
}

/// Finds a dropped table that the journal still knows, so that its change can be cleaned up.
/// Returns schema, name and stage.
async fn gone_table(session: &Session, given: &str) -> Option<(String, String, String)> {
    own_objects::trust(session, "look into the journal").await.ok()?;
    let rows = own_objects::use_journal(session, JournalLock::Read, &sql::find_in_journal(given))
        .await
        .ok()?;
    let row = rows.iter().find(|row| row.columns().len() == 3)?;
    Some((row.get(0)?.to_owned(), row.get(1)?.to_owned(), row.get(2)?.to_owned()))
}

/// Returns a name that no other process has. The standard library seeds its hashers from the
/// system's randomness.
fn incarnation() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{random:016x}{:08x}", std::process::id())
}
