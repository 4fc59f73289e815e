//! The engine value, and the parts it is made of. Each part owns the state that one room needs.
//! Functions take the parts they use; only the trait impls in `engine.rs` know the whole.

use crate::backfill::BackfillState;
use crate::change::Change;
use crate::facts::{NativeChange, WayBack};
use crate::log::cascades::Cascades;
use crate::log::completeness::CompletenessCheck;
use crate::log::shadow_writes::ShadowWrites;
use crate::log::source::LogServer;
use crate::schema::column_mapping::ColumnMapping;
use crate::server::about::{Replica, Server};
use crate::server::connect::Access;
use crate::server::heartbeat::Heartbeat;
use crate::server::names::{Names, TableName};
use crate::server::one_server;
use crate::server::order_table::OrderSession;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use altergeist_contract::{Key, NamedReplica, Result, Target};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;

/// MySQL or MariaDB. The server says which.
pub struct MySql {
    pub(crate) change: Change,
    pub(crate) pool: Arc<SessionPool>,
    pub(crate) log: LogState,
    pub(crate) shadow: ShadowState,
    pub(crate) native: NativeState,
    pub(crate) journal: JournalTables,
    /// The session that takes and gives orders by SQL.
    pub(crate) orders: OrderSession,
    pub(crate) gauge: GaugeState,
    pub(crate) backfill: BackfillState,
}

/// What following the log needs.
pub(crate) struct LogState {
    /// The server that the log is read from.
    pub server: LogServer,
    pub heartbeat: Arc<Heartbeat>,
    /// Finds changes that are not in the log.
    pub completeness: Arc<CompletenessCheck>,
    /// When the settings of the log's server were read last.
    pub settings_read: Mutex<Option<Instant>>,
    /// How many prepared transactions on the source the stream has seen that have not ended.
    pub undecided: Arc<AtomicUsize>,
    /// Transactions that were prepared when the log was opened, and have ended since.
    pub settled: Mutex<HashSet<String>>,
}

/// What filling the shadow and keeping it current needs.
pub(crate) struct ShadowState {
    /// How the shadow's columns come from the source's; None until that is known.
    pub mapping: Arc<Mutex<Option<Arc<ColumnMapping>>>>,
    /// Follows the actions of foreign keys that are not in the log.
    pub cascades: Cascades,
    /// Finds rows that other sessions write into the shadow.
    pub shadow_writes: Arc<ShadowWrites>,
    /// Held by the one refresh by documents that may run, and while FULLTEXT indexes are built.
    pub document_turn: AsyncMutex<()>,
    /// Keys whose rows could not be updated in place, and how often that was tried.
    pub conflicts: Mutex<HashMap<Key, u32>>,
    /// The server's number of the connection that builds indexes; 0 while none does.
    pub builder: AtomicU64,
}

/// What a native change needs.
#[derive(Default)]
pub(crate) struct NativeState {
    /// The table before and after the change that the last plan found to need no copy.
    pub expected: Mutex<Option<NativeChange>>,
    /// Whether the table itself refused what its empty clone took.
    pub is_refused: AtomicBool,
    /// The server's own statement that rewrites or scans the table, if the last plan found one.
    pub in_place: Mutex<Option<String>>,
}

/// Whether the journal's tables are known to exist.
#[derive(Default)]
pub(crate) struct JournalTables {
    pub exist: AtomicBool,
}

/// What measuring load and lag needs.
#[derive(Default)]
pub(crate) struct GaugeState {
    /// The replicas whose lag counts; None until the run has looked for them.
    pub replicas: AsyncMutex<Option<WatchedNow>>,
    /// The session that reads load metrics; None until it is needed.
    pub watch: AsyncMutex<Option<Session>>,
}

/// The replicas whose lag counts now.
pub(crate) struct WatchedNow {
    /// Those that the operator has named.
    pub named: Vec<NamedReplica>,
    pub replicas: Vec<Replica>,
}

impl NativeState {
    /// How long this statement may take, if it is one that rewrites or scans the table. Any other
    /// ends in an instant, once it has its lock.
    pub(crate) fn most_for(&self, statement: &str, most: Option<Duration>) -> Option<Duration> {
        let in_place = self.in_place.lock().expect("not poisoned");
        most.filter(|_| in_place.as_deref() == Some(statement))
    }
}

impl MySql {
    /// Connects to the server and finds the table.
    pub(crate) async fn open(target: &Target) -> Result<MySql> {
        let access = Access::read(&target.url, &target.passwords)?;
        let mut session = Session::bare(&access).await?;
        one_server::check(&access, &mut session).await?;
        let server = Server::ask(&mut session).await?;
        let version = server.version;
        let timeout = target.lock_timeout.max(Duration::from_millis(1));
        session.set_up(&access, version, timeout).await?;
        let change = Change::read(&mut session, target, access.schema.as_deref(), server).await?;
        let log = LogServer::find(target, &access, &change.server).await?;
        let (source, names) = (&change.source, &change.names);
        let pool = SessionPool::new(
            access,
            version,
            timeout,
            source.clone(),
            names.lock.clone(),
            target.workers,
        );
        let pool = Arc::new(pool);
        Ok(MySql {
            log: LogState::new(log, &pool, source, names),
            shadow: ShadowState::new(&pool),
            native: NativeState::default(),
            journal: JournalTables::default(),
            orders: OrderSession::default(),
            gauge: GaugeState::default(),
            backfill: BackfillState::default(),
            pool,
            change,
        })
    }
}

impl MySql {
    /// Returns the same engine with source and shadow exchanged, and with nothing remembered of
    /// either.
    pub(crate) fn turned(self, way_back: WayBack) -> MySql {
        let change = self.change.turned(way_back);
        let (pool, source) = (self.pool, &change.source);
        let log = LogState {
            completeness: Arc::new(CompletenessCheck::new(pool.clone(), source.clone())),
            settings_read: Mutex::default(),
            undecided: Arc::default(),
            settled: Mutex::default(),
            ..self.log
        };
        MySql { log, shadow: ShadowState::new(&pool), pool, change, ..self }
    }
}

impl LogState {
    fn new(
        server: LogServer,
        pool: &Arc<SessionPool>,
        source: &TableName,
        names: &Names,
    ) -> LogState {
        LogState {
            server,
            heartbeat: Arc::new(Heartbeat::new(pool.clone(), source.clone(), names)),
            completeness: Arc::new(CompletenessCheck::new(pool.clone(), source.clone())),
            settings_read: Mutex::default(),
            undecided: Arc::default(),
            settled: Mutex::default(),
        }
    }
}

impl ShadowState {
    fn new(pool: &Arc<SessionPool>) -> ShadowState {
        let cascades = Cascades::new(pool.clone());
        ShadowState {
            mapping: cascades.mapping.clone(),
            cascades,
            shadow_writes: Arc::default(),
            document_turn: AsyncMutex::default(),
            conflicts: Mutex::default(),
            builder: AtomicU64::default(),
        }
    }
}
