//! The engine: one process's work on one table of one server.

use crate::cutover::foreign_keys::foreign_keys;
use crate::journal::Altering;
use crate::log::cascades::Cascades;
use crate::log::elsewhere::Elsewhere;
use crate::log::position::{Bookmark, Place};
use crate::log::source::LogServer;
use crate::log::statement;
use crate::log::stream::{self, Beside, MySqlStream};
use crate::log::tally::Tally;
use crate::log::transactions::{BEGIN_ANEW, Follower};
use crate::log::witness::Witness;
use crate::schema::clauses::{self, Asked, Clauses};
use crate::schema::columns::{self, Shape, Zone};
use crate::schema::lexer::{Token, tokens};
use crate::schema::table::Table;
use crate::server::connect::Access;
use crate::server::heartbeat::{Beats, prepared};
use crate::server::names::{Names, TableName};
use crate::server::one_server;
use crate::server::pool::Crew;
use crate::server::reachability;
use crate::server::replicas::Replica;
use crate::server::session::{Session, text};
use crate::server::version::{Flavour, Version};
use crate::shadow::followed::Followed;
use crate::sql;
use altergeist_contract::{Engine, Error, Hold, Kind, Marker, Position, Result, Target};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;

/// How long transactions that are prepared when the log is opened are waited for.
const PREPARED_END: Duration = Duration::from_secs(30);
/// How many positions are tried for one before which nothing is prepared.
const PLACES_TRIED: u32 = 3;

/// MySQL or MariaDB: the server tells which.
pub struct MySql {
    pub(crate) target: Target,
    /// What the target's clauses were before the means, and the foreign keys they drop, were taken out of them.
    pub(crate) asked: Asked,
    /// Foreign keys of the source that the clauses drop.
    pub(crate) dropped_keys: Vec<String>,
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

/// What is known of the server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub version: Version,
    /// What it calls itself, for positions.
    pub identity: String,
    pub has_gtids: bool,
    /// Its own sql_mode.
    pub modes: String,
    pub has_ansi_quotes: bool,
    /// Whether its time zone has the same distance from UTC all the year, so that no hour comes twice.
    pub is_zone_fixed: bool,
}

impl Engine for MySql {
    type Stream = MySqlStream;

    async fn connect(target: &Target) -> Result<MySql> {
        let access = Access::read(&target.url)?;
        let mut session = Session::bare(&access).await?;
        one_server::check(&access, &mut session).await?;
        let server = Server::ask(&mut session).await?;
        let timeout = target.lock_timeout.max(Duration::from_millis(1));
        session.set_up(&access, server.version, timeout).await?;
        let source = find(&mut session, &table_asked(target, access.schema.as_deref())?).await?;
        let names = Names::of(&source);
        let mut target = target.clone();
        let asked = clauses::asked(&target.alter, server.has_ansi_quotes, &source.schema, &source.name)?;
        let keys = foreign_keys(&mut session, &source)
            .await
            .map_err(|failure| failure.of_catalogue(format!("look for foreign keys of {}", source.plain())))?;
        let own: Vec<String> = keys.into_iter().filter(|key| key.child == source).map(|key| key.name).collect();
        let (kept, dropped_keys) = clauses::without_dropped_keys(&asked.clauses, server.has_ansi_quotes, &own);
        target.alter = kept;
        let log = LogServer::find(&target, &access, &server).await?;
        let crew = Crew::new(access, server.version, timeout, source.clone(), names.lock.clone(), target.workers);
        let crew = Arc::new(crew);
        let cascades = Cascades::new(crew.clone());
        Ok(MySql {
            target,
            asked,
            dropped_keys,
            title: source.plain(),
            beats: Arc::new(Beats::new(crew.clone(), source.clone(), &names)),
            witness: Arc::new(Witness::new(crew.clone(), source.clone())),
            tally: Arc::default(),
            settings_read: Mutex::default(),
            cascades: cascades.clone(),
            crew,
            server,
            log,
            source,
            names,
            shape: cascades.shape,
            expected: Mutex::default(),
            has_journal: AtomicBool::default(),
            is_native_refused: AtomicBool::default(),
            undecided: Arc::default(),
            settled: Mutex::default(),
            replicas: AsyncMutex::default(),
            watch: AsyncMutex::default(),
            builder: AtomicU64::default(),
        })
    }

    async fn hold(&self) -> Result<Hold> {
        let Hold::HeldBy(session) = self.crew.hold().await? else {
            reachability::watch_over(&self.crew);
            return Ok(Hold::Taken);
        };
        let mut reader = self.crew.reader().await?;
        let record = self.entry(&mut reader).await?.record;
        let run = record.map(|record| format!(", and the journal says {}", record.holder)).unwrap_or_default();
        Ok(Hold::HeldBy(format!("{session} holds the run lock of {}{run}", self.title)))
    }

    async fn holder(&self) -> Result<Option<String>> {
        self.crew.holder().await
    }

    async fn still_held(&self) -> Result<()> {
        self.crew.still_held().await
    }

    /// Why every transaction before the position is visible to reads begun after this returns, and every later one is
    /// in the stream:
    ///
    /// - A transaction's rows are written to the log when it commits. One that is running now will be logged behind the
    ///   position, and be delivered.
    /// - One that is logged before the position may not be visible yet. A heartbeat sent after the position was read lies
    ///   behind it; once that is proven, everything before it is visible ([`Beats`]).
    /// - One that is only prepared has its rows in the log already, perhaps before the position, and becomes visible when
    ///   it ends. Those are waited for, and a later position is taken; where there always are some, the stream may
    ///   meet the ends of those that were waited for. One that was being prepared at that very moment, and is not listed yet, is met
    ///   by the stream when it ends: an end whose beginning was not seen stops the run.
    ///
    /// The same holds where the log is a replica's: what is in it was in this server's log before.
    async fn open_log(&self) -> Result<Position> {
        self.make_journal().await?;
        self.beats.begin().await?;
        let attempted = || self.doing("open the log for");
        self.check_stream_from().await?;
        let mut session = self.crew.reader().await?;
        let until = Instant::now() + PREPARED_END;
        let mut places = 1;
        let (place, beat) = loop {
            let (place, beat) = (self.place_now().await?, self.beats.mark());
            let proof = tokio::time::timeout(self.crew.lock_timeout, self.beats.proven(beat));
            proof.await.map_err(|_| Error::new(Kind::Busy, attempted(), "the server holds up commits"))??;
            let before = prepared(&mut session).await?;
            self.wait_for_prepared(&mut session, &before, until).await?;
            if before.is_empty() || places == PLACES_TRIED {
                *self.settled.lock().expect("not poisoned") = before;
                break (place, beat);
            }
            places += 1;
        };
        self.wait_for_arrival(beat).await?;
        Ok(Bookmark { server: self.log.server.identity.clone(), place, beat: Some(beat.0) }.to_position())
    }

    async fn follow(&self, from: &Position) -> Result<MySqlStream> {
        let bookmark = Bookmark::read(from)?;
        self.make_journal().await?;
        self.check_stream_from().await?;
        self.check_origin(&bookmark).await?;
        self.beats.begin().await?;
        if !self.beats.go_on_from(bookmark.beat.unwrap_or_default()) {
            let reason = format!("somebody else has changed its heartbeats; {BEGIN_ANEW}");
            return Err(Error::fatal(self.doing("go on in the log for"), reason));
        }
        let key = self.key().await?;
        let names = (self.source.clone(), &self.names);
        let mut follower = Follower::new(names, key, self.parents_to_follow().await?, bookmark.clone());
        follower.forgive(self.settled.lock().expect("not poisoned").clone());
        self.tally.follow().await;
        follower.count_shadow_by(self.tally.counted_from.clone());
        let session = Session::bare(&self.log.access).await?;
        self.undecided.store(0, Ordering::SeqCst);
        let reader_id = sql::log::reader_id(&self.source);
        let known = self.entry(&mut self.crew.reader().await?).await?.facts.source_text;
        let beside = Beside {
            beats: self.beats.clone(),
            cascades: self.cascades.clone(),
            elsewhere: Elsewhere::new(self.crew.clone(), self.source.clone()),
            followed: Followed::new(self.crew.clone(), self.source.clone(), known),
            witness: self.witness.clone(),
            tally: self.tally.clone(),
            shadow: self.names.shadow.plain(),
        };
        self.witness.begin().await?;
        stream::follow(session, reader_id, follower, &bookmark, self.undecided.clone(), beside).await
    }

    async fn check_stream(&self) -> Result<()> {
        self.witness.ask(&self.beats).await?;
        self.tally.ask(|| self.beats.mark());
        self.watch_filters().await
    }

    async fn mark(&self) -> Result<Marker> {
        self.beats.begin().await?;
        Ok(self.beats.mark())
    }
}

impl MySql {
    /// What is attempted, with the table's name.
    pub(crate) fn doing(&self, what: &str) -> String {
        format!("{what} {}", self.title)
    }

    pub(crate) fn clauses(&self) -> Result<Clauses> {
        Clauses::read(&self.target.alter, self.server.has_ansi_quotes, &self.target.renames)
    }

    /// A table's columns and indexes; an error if there is no such table.
    pub(crate) async fn look(&self, session: &mut Session, name: &TableName) -> Result<Table> {
        let attempted = || format!("look at {}", name.plain());
        let found = Table::read(session, self.server.version, name)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        found.ok_or_else(|| match *name == self.source || *name == self.names.shadow {
            true => Error::fatal(attempted(), format!("it was dropped or renamed; {BEGIN_ANEW}")),
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

    async fn find_shape(&self, session: &mut Session) -> Result<Shape> {
        let source = self.look(session, &self.source).await?;
        let shadow = self.look(session, &self.names.shadow).await?;
        let (zone, flavour) = (self.server.zone(), self.server.version.flavour);
        let names = (&self.source, &self.names.shadow);
        columns::find(names, &source, &shadow, &self.clauses()?, zone, flavour).map_err(|refusals| {
            let reasons: Vec<String> =
                refusals.iter().map(|refusal| format!("{}: {}", refusal.object, refusal.reason)).collect();
            Error::refused(self.doing("make the shadow of"), reasons.join("; "))
        })
    }

    /// The key the shadow's rows are found by; before there is a shadow, the source's best.
    async fn key(&self) -> Result<crate::key::index::KeyIndex> {
        let mut session = self.crew.reader().await?;
        if self.exists(&mut session, &self.names.shadow).await? {
            return Ok(self.shape().await?.key.clone());
        }
        let source = self.look(&mut session, &self.source).await?;
        let candidates = crate::key::index::candidates(&source).map_err(|reasons| {
            Error::refused(self.doing("follow"), format!("it has no usable key: {}", reasons.join("; ")))
        })?;
        let (index, columns) = candidates.into_iter().next().expect("there is one, or there was a reason");
        Ok(crate::key::index::KeyIndex { index: index.name, shadow_index: String::new(), columns })
    }

    /// Waits until none of these is prepared any more.
    async fn wait_for_prepared(&self, session: &mut Session, before: &HashSet<String>, until: Instant) -> Result<()> {
        loop {
            let left: Vec<String> = prepared(session).await?.intersection(before).cloned().collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                let left: Vec<String> = left.iter().map(|xid| statement::quoted_xid(xid)).collect();
                let reason = format!(
                    "transactions prepared by XA have not ended within {} s, and what they changed cannot be known before: {}; \
                     end each by XA COMMIT or XA ROLLBACK",
                    PREPARED_END.as_secs(),
                    left.join("; ")
                );
                return Err(Error::new(Kind::Busy, self.doing("open the log for"), reason));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn place_now(&self) -> Result<Place> {
        let attempted = || self.doing("note the log's end for");
        let mut session = Session::bare(&self.log.access).await?;
        let server = &self.log.server;
        let (form, query) = match (server.version.flavour, server.has_gtids) {
            (Flavour::MariaDb, _) => ("domains", sql::log::MARIADB_GTIDS),
            (Flavour::MySql, true) => ("gtid", sql::log::MYSQL_GTIDS),
            (Flavour::MySql, false) => ("file", sql::log::log_status(server.version)),
        };
        let row = session.row(query).await.map_err(|failure| failure.of_catalogue(attempted()))?.unwrap_or_default();
        let said = match (form, &row[..]) {
            ("file", [file, offset, ..]) => format!("{}:{}", text(file), text(offset)),
            (_, [set]) => text(set),
            _ => String::new(),
        };
        Place::parse(form, &said)
            .ok_or_else(|| Error::fatal(attempted(), "the server does not tell; is its binary log on?"))
    }

    /// Whether the position is of this server, and of its present log.
    async fn check_origin(&self, bookmark: &Bookmark) -> Result<()> {
        let attempted = || self.doing("go on in the log for");
        let server = &self.log.server.identity;
        if bookmark.server != *server {
            let reason = format!(
                "the position is of the log of server {}, and this is server {server}; {BEGIN_ANEW}",
                bookmark.server
            );
            return Err(Error::fatal(attempted(), reason));
        }
        if let Place::MySql(set) = &bookmark.place {
            let mut session = Session::bare(&self.log.access).await?;
            let executed = session
                .text(&sql::log::are_gtids_executed(&set.to_string()))
                .await
                .map_err(|failure| failure.of_catalogue(attempted()))?;
            if executed != "1" {
                return Err(Error::fatal(
                    attempted(),
                    format!(
                        "the server has not executed all of the position's transactions: its log was reset; {BEGIN_ANEW}"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Server {
    pub(crate) fn zone(&self) -> Zone {
        match (self.is_zone_fixed, self.version.flavour) {
            (true, _) => Zone::Fixed,
            (false, Flavour::MySql) => Zone::LosesMoments,
            (false, Flavour::MariaDb) => Zone::HidesMoments,
        }
    }

    pub(crate) async fn ask(session: &mut Session) -> Result<Server> {
        let attempted = "ask the server what it is";
        let version = session.text(sql::session::VERSION).await.map_err(|failure| failure.of_catalogue(attempted))?;
        let version = Version::read(&version)?;
        let row = session
            .row(sql::session::settings(version))
            .await
            .map_err(|failure| failure.of_catalogue(attempted))?
            .unwrap_or_default();
        let cell = |place: usize| row.get(place).map(text).unwrap_or_default();
        let modes = cell(2);
        let distances =
            session.text(sql::session::ZONE_DISTANCES).await.map_err(|failure| failure.of_catalogue(attempted))?;
        Ok(Server {
            version,
            identity: cell(0),
            has_gtids: cell(1) == "ON",
            has_ansi_quotes: modes.split(',').any(|mode| mode == "ANSI_QUOTES"),
            modes,
            is_zone_fixed: distances == "1",
        })
    }
}

/// The table as asked for: `schema.table`, `table`, either part in backticks.
fn table_asked(target: &Target, schema: Option<&str>) -> Result<TableName> {
    let attempted = || format!("find table {}", target.table);
    let parts = if target.table.contains('`') {
        let tokens = tokens(&target.table, false).map_err(|reason| Error::refused(attempted(), reason))?;
        tokens.iter().filter_map(Token::name).map(str::to_owned).collect()
    } else {
        target.table.splitn(2, '.').map(str::to_owned).collect::<Vec<_>>()
    };
    match (&parts[..], schema) {
        ([schema, name], _) => Ok(TableName::new(schema, name)),
        ([name], Some(schema)) => Ok(TableName::new(schema, name)),
        _ => Err(Error::refused(attempted(), "name its schema, in the URL or before a dot")),
    }
}

async fn find(session: &mut Session, asked: &TableName) -> Result<TableName> {
    let attempted = || format!("find table {}", asked.plain());
    let row =
        session.row(&sql::catalogue::find_table(asked)).await.map_err(|failure| failure.of_catalogue(attempted()))?;
    match row {
        Some(row) => Ok(TableName::new(&text(&row[0]), &text(&row[1]))),
        // A table that is gone may have left a change behind, which must be cleaned up.
        None if has_entry(session, asked).await => Ok(asked.clone()),
        None => Err(Error::refused(attempted(), "there is none, or it may not be seen")),
    }
}

/// Whether the journal of its schema knows a table.
async fn has_entry(session: &mut Session, asked: &TableName) -> bool {
    let entry = sql::journal::load_entry(&Names::of(asked).journal, &asked.name);
    session.row(&entry).await.is_ok_and(|row| row.is_some())
}
