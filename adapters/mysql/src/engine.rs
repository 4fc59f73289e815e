//! The engine: one process's work on one table of one server.

use crate::log::cascades::Cascades;
use crate::log::elsewhere::Elsewhere;
use crate::log::position::{Bookmark, Place};
use crate::log::source::LogServer;
use crate::log::statement;
use crate::log::stream::{self, Beside, MySqlStream};
use crate::log::transactions::Follower;
use crate::log::witness::Witness;
use crate::schema::change::Change;
use crate::schema::foreign_key::foreign_keys;
use crate::schema::lexer::{Token, tokens};
use crate::server::about::Server;
use crate::server::connect::Access;
use crate::server::error::START_AGAIN;
use crate::server::heartbeat::{Beats, prepared};
use crate::server::names::{Names, TableName};
use crate::server::one_server;
use crate::server::pool::Crew;
use crate::server::run_lock::watch_over;
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::shadow::followed::Followed;
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{
    Engine, Error, Hold, Kind, Marker, OnlineSteps, Position, Result, RetainedLog, SkippableLog,
    Target,
};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;

/// How long transactions that are prepared when the log is opened are waited for.
const PREPARED_END: Duration = Duration::from_secs(30);

/// How many positions are tried for one before which nothing is prepared.
const PLACES_TRIED: u32 = 3;

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
        let keys = foreign_keys(&mut session, &source).await.map_err(|failure| {
            failure.of_catalogue(format!("look for foreign keys of {}", source.plain()))
        })?;
        let own: Vec<String> =
            keys.into_iter().filter(|key| key.child == source).map(|key| key.name).collect();
        let change = Change::read(target, server.has_ansi_quotes, &source, &own)?;
        let log = LogServer::find(target, &access, &server).await?;
        let crew = Crew::new(
            access,
            server.version,
            timeout,
            source.clone(),
            names.lock.clone(),
            target.workers,
        );
        let crew = Arc::new(crew);
        let cascades = Cascades::new(crew.clone());
        Ok(MySql {
            target: target.clone(),
            change,
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
            watch_over(&self.crew);
            return Ok(Hold::Taken);
        };
        let mut reader = self.crew.reader().await?;
        let record = self.entry(&mut reader).await?.record;
        let run = record
            .map(|record| format!(", and the journal says {}", record.holder))
            .unwrap_or_default();
        Ok(Hold::HeldBy(format!("{session} holds the run lock of {}{run}", self.title)))
    }

    async fn holder(&self) -> Result<Option<String>> {
        self.crew.holder().await
    }

    async fn still_held(&self) -> Result<()> {
        self.crew.still_held().await
    }

    /// Why every transaction before the position is visible to reads begun after this returns, and
    /// every later one is in the stream:
    ///
    /// - A transaction's rows are written to the log when it commits. One that is running now will
    ///   be logged behind the position, and be delivered.
    /// - One that is logged before the position may not be visible yet. A heartbeat sent after the
    ///   position was read lies behind it; once that is proven, everything before it is visible
    ///   ([`Beats`]).
    /// - One that is only prepared has its rows in the log already, perhaps before the position,
    ///   and becomes visible when it ends. Those are waited for, and a later position is taken;
    ///   where there always are some, the stream may meet the ends of those that were waited for.
    ///   One that was being prepared at that very moment, and is not listed yet, is met by the
    ///   stream when it ends: an end whose beginning was not seen stops the run.
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
            proof.await.map_err(|_| {
                Error::new(Kind::Busy, attempted(), "the server holds up commits")
            })??;
            let before = prepared(&mut session).await?;
            self.wait_for_prepared(&mut session, &before, until).await?;
            if before.is_empty() || places == PLACES_TRIED {
                *self.settled.lock().expect("not poisoned") = before;
                break (place, beat);
            }
            places += 1;
        };
        self.wait_for_arrival(beat).await?;
        Ok(Bookmark { server: self.log.server.identity.clone(), place, beat: Some(beat.0) }
            .to_position())
    }

    async fn follow(&self, from: &Position) -> Result<MySqlStream> {
        let bookmark = Bookmark::read(from)?;
        self.make_journal().await?;
        self.check_stream_from().await?;
        self.check_origin(&bookmark).await?;
        self.beats.begin().await?;
        if !self.beats.go_on_from(bookmark.beat.unwrap_or_default()) {
            let reason = format!("another session changed its heartbeats; {START_AGAIN}");
            return Err(Error::fatal(self.doing("go on in the log for"), reason));
        }
        let key = self.key().await?;
        let names = (self.source.clone(), &self.names);
        let mut follower =
            Follower::new(names, key, self.parents_to_follow().await?, bookmark.clone());
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
        stream::follow(session, reader_id, follower, &bookmark, self.undecided.clone(), beside)
            .await
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

impl OnlineSteps for MySql {}

impl SkippableLog for MySql {}

impl RetainedLog for MySql {}

impl MySql {
    /// Waits until none of these is prepared any more.
    async fn wait_for_prepared(
        &self,
        session: &mut Session,
        before: &HashSet<String>,
        until: Instant,
    ) -> Result<()> {
        loop {
            let left: Vec<String> =
                prepared(session).await?.intersection(before).cloned().collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                let left: Vec<String> = left.iter().map(|xid| statement::quoted_xid(xid)).collect();
                let reason = format!(
                    "transactions prepared by XA have not ended within {} s, and what they \
                     changed cannot be known before: {}; end each by XA COMMIT or XA ROLLBACK",
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
        let row = session
            .row(query)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?
            .unwrap_or_default();
        let said = match (form, &row[..]) {
            ("file", [file, offset, ..]) => format!("{}:{}", text(file), text(offset)),
            (_, [set]) => text(set),
            _ => String::new(),
        };
        Place::parse(form, &said).ok_or_else(|| {
            Error::fatal(attempted(), "the server does not tell; is its binary log on?")
        })
    }

    /// Whether the position is of this server, and of its present log.
    async fn check_origin(&self, bookmark: &Bookmark) -> Result<()> {
        let attempted = || self.doing("go on in the log for");
        let server = &self.log.server.identity;
        if bookmark.server != *server {
            let reason = format!(
                "the position is of the log of server {}, and this is server {server}; \
                 {START_AGAIN}",
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
                        "the server has not executed all of the position's transactions: its log \
                         was reset; {START_AGAIN}"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// The table as asked for: `schema.table`, `table`, either part in backticks.
fn table_asked(target: &Target, schema: Option<&str>) -> Result<TableName> {
    let attempted = || format!("find table {}", target.table);
    let parts = if target.table.contains('`') {
        let tokens =
            tokens(&target.table, false).map_err(|reason| Error::refused(attempted(), reason))?;
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
    let row = session
        .row(&sql::catalogue::find_table(asked))
        .await
        .map_err(|failure| failure.of_catalogue(attempted()))?;
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
