//! One process's work on one table of one server: what it knows, and what everything asks of it.

use crate::facts::Altering;
use crate::log::cascades::Cascades;
use crate::log::source::LogServer;
use crate::log::tally::Tally;
use crate::log::witness::Witness;
use crate::schema::change::Change;
use crate::schema::clauses::Clauses;
use crate::schema::columns::{self, Shape};
use crate::schema::table::Table;
use crate::server::about::{Replica, Server};
use crate::server::error::START_AGAIN;
use crate::server::heartbeat::Beats;
use crate::server::names::{Names, TableName};
use crate::server::pool::Crew;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Refusal, Result, Target};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::Mutex as AsyncMutex;

/// MySQL or MariaDB: the server tells which.
pub struct MySql {
    pub(crate) target: Target,
    pub(crate) change: Change,
    pub(crate) server: Server,
    /// Where the log is read.
    pub(crate) log: LogServer,
    pub(crate) source: TableName,
    /// The table, for people.
    pub(crate) title: String,
    pub(crate) names: Names,
    pub(crate) crew: Arc<Crew>,
    pub(crate) beats: Arc<Beats>,
    /// Tells of changes that the log does not tell of.
    pub(crate) witness: Arc<Witness>,
    /// Tells of rows that others write into the shadow.
    pub(crate) tally: Arc<Tally>,
    /// When the settings of the server whose log is read were looked at.
    pub(crate) settings_read: Mutex<Option<Instant>>,
    pub(crate) shape: Arc<Mutex<Option<Arc<Shape>>>>,
    /// Foreign keys' actions that the log does not tell.
    pub(crate) cascades: Cascades,
    /// What the last plan that needs no copy makes of the table.
    pub(crate) expected: Mutex<Option<Altering>>,
    pub(crate) has_journal: AtomicBool,
    /// The table itself has refused what its empty clone took.
    pub(crate) is_native_refused: AtomicBool,
    /// Prepared transactions on the source that the stream has seen and that have not ended.
    pub(crate) undecided: Arc<AtomicUsize>,
    /// Transactions that were prepared when the log was opened, and have ended since.
    pub(crate) settled: Mutex<HashSet<String>>,
    /// The replicas that count, once they were looked for.
    pub(crate) replicas: AsyncMutex<Option<Vec<Replica>>>,
    /// Asks how heavily the server is used, once it was asked to.
    pub(crate) watch: AsyncMutex<Option<Session>>,
    /// The connection that builds indexes, by the server's number; 0 while none does.
    pub(crate) builder: AtomicU64,
}

impl MySql {
    /// What is attempted, with the table's name.
    pub(crate) fn doing(&self, what: &str) -> String {
        format!("{what} {}", self.title)
    }

    pub(crate) fn clauses(&self) -> Result<&Clauses> {
        let unread = |refusal: &Refusal| Error::refused("read the clauses", &*refusal.reason);
        self.change.clauses.as_ref().map_err(unread)
    }

    /// A table's columns and indexes; an error if there is no such table.
    pub(crate) async fn look(&self, session: &mut Session, name: &TableName) -> Result<Table> {
        let attempted = || format!("look at {}", name.plain());
        let found = Table::read(session, self.server.version, name)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        found.ok_or_else(|| match *name == self.source || *name == self.names.shadow {
            true => Error::fatal(attempted(), format!("it was dropped or renamed; {START_AGAIN}")),
            false => Error::fatal(attempted(), "there is no such table"),
        })
    }

    pub(crate) async fn exists(&self, session: &mut Session, name: &TableName) -> Result<bool> {
        let found = session
            .row(&sql::catalogue::find_table(name))
            .await
            .map_err(|failure| failure.of_catalogue(format!("look for {}", name.plain())))?;
        Ok(found.is_some())
    }

    /// How the shadow's columns stem from the source's. The same for the whole run.
    pub(crate) async fn shape(&self) -> Result<Arc<Shape>> {
        if let Some(shape) = &*self.shape.lock().expect("not poisoned") {
            return Ok(shape.clone());
        }
        let has_parents = !self.parents_to_follow().await?.is_empty();
        let mut session = self.crew.reader().await?;
        let mut shape = self.find_shape(&mut session).await?;
        shape.rounds = self.target.allow_rounding;
        shape.own_keys = self.own_keys(&mut session, &shape).await?;
        shape.log_tells_all = shape.own_keys.is_empty() && !has_parents;
        let shape = Arc::new(shape);
        self.crew.in_utc.store(shape.in_utc, Ordering::SeqCst);
        self.crew.checks_parents.store(self.has_early_keys(&mut session).await?, Ordering::SeqCst);
        *self.shape.lock().expect("not poisoned") = Some(shape.clone());
        Ok(shape)
    }

    pub(crate) async fn find_shape(&self, session: &mut Session) -> Result<Shape> {
        let source = self.look(session, &self.source).await?;
        let shadow = self.look(session, &self.names.shadow).await?;
        let (zone, flavour) = (self.server.zone(), self.server.version.flavour);
        let names = (&self.source, &self.names.shadow);
        columns::find(names, &source, &shadow, self.clauses()?, zone, flavour).map_err(|refusals| {
            let reasons: Vec<String> = refusals
                .iter()
                .map(|refusal| format!("{}: {}", refusal.object, refusal.reason))
                .collect();
            Error::refused(self.doing("make the shadow of"), reasons.join("; "))
        })
    }

    /// The key the shadow's rows are found by; before there is a shadow, the source's best.
    pub(crate) async fn key(&self) -> Result<crate::key::index::KeyIndex> {
        let mut session = self.crew.reader().await?;
        if self.exists(&mut session, &self.names.shadow).await? {
            return Ok(self.shape().await?.key.clone());
        }
        let source = self.look(&mut session, &self.source).await?;
        let candidates = crate::key::index::candidates(&source).map_err(|reasons| {
            Error::refused(
                self.doing("follow"),
                format!("it has no usable key: {}", reasons.join("; ")),
            )
        })?;
        let (index, columns) =
            candidates.into_iter().next().expect("there is one, or there was a reason");
        Ok(crate::key::index::KeyIndex { index: index.name, shadow_index: String::new(), columns })
    }
}
