//! The server with the log: the table's server, or a standby of it (`--stream-from`), which then
//! has the slot.
//!
//! Law 1 is about the primary. A standby decodes the primary's own log, and transactions have the
//! same numbers on both. So the stream holds a change back until the primary's snapshot sees it, as
//! if the primary had sent it. A promoted standby writes a log of its own, and the run stops.

use crate::log::wire::Replication;
use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::server::version::Version;
use crate::sql;
use altergeist_contract::{Code, Error, Finding, Kind, Result};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for a standby to replay what the primary has just written.
const LONGEST_LAG: Duration = Duration::from_secs(60);

/// Longest wait for a standby to find a position to decode from. By itself the primary offers one
/// every 15 s.
const LONGEST_SEARCH: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(100);

/// A session on the server that holds the slot.
pub(crate) enum LogSession<'a> {
    /// The server the table is on.
    Primary(&'a Session),
    /// A standby of it.
    Standby(Box<Session>),
}

impl std::ops::Deref for LogSession<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self {
            LogSession::Primary(session) => session,
            LogSession::Standby(session) => session,
        }
    }
}

/// Returns the standby that the user named, unless it is the table's own server.
pub(crate) async fn standby(url: Option<&String>, primary: &Server) -> Result<Option<Arc<Server>>> {
    let Some(url) = url else { return Ok(None) };
    let standby = Server::reach(url, &primary.passwords).await?;
    Ok(Some(standby).filter(|standby| standby.name() != primary.name()).map(Arc::new))
}

/// Where the log is read, and since when.
pub(crate) struct LogSource {
    /// The server the table is on.
    pub(crate) primary: Arc<Server>,
    /// The standby whose log is read, if it is not the primary's.
    pub(crate) standby: Option<Arc<Server>>,
    /// How our sessions present themselves.
    pub(crate) application: String,
    pub(crate) lock_timeout: Duration,
    /// When this process began to read the log.
    pub(crate) following_since: Mutex<Option<Instant>>,
    /// When the last check found the change stream whole.
    pub(crate) stream_was_good: Mutex<Option<Instant>>,
}

impl LogSource {
    /// Returns a session on the server that holds the slot. `own` is a session on the table's
    /// server.
    pub(crate) async fn session<'a>(&self, own: &'a Session) -> Result<LogSession<'a>> {
        let Some(standby) = &self.standby else { return Ok(LogSession::Primary(own)) };
        let session =
            standby.open(&self.application, &sql::control_settings(self.lock_timeout)).await?;
        Ok(LogSession::Standby(Box::new(session)))
    }

    /// Names the standby that has the slot, for people and the journal.
    pub(crate) fn place(&self) -> Option<String> {
        self.standby.as_ref().map(|standby| standby.name())
    }

    /// Returns the server with the log.
    pub(crate) fn server(&self) -> &Server {
        self.standby.as_ref().unwrap_or(&self.primary)
    }
}

/// Returns why the standby's log is not usable. Empty if there is no standby.
pub(crate) async fn refusals(session: &Session, source: &LogSource) -> Result<Vec<Finding>> {
    let Some(place) = source.place() else { return Ok(Vec::new()) };
    let log = source.session(session).await?;
    let mut refusals = Vec::new();
    let mut demand = |is_met: bool, reason: &str, remedy: &str| {
        if !is_met {
            refusals.push(Finding::error(
                Code::LogSource,
                format!("server {place}"),
                reason,
                remedy,
            ));
        }
        is_met
    };
    let row = log.one(sql::STANDBY, &[]).await.doing(format!("look around on {place}"))?;
    let is_same = system(session).await? == row.get::<_, String>(2);
    let is_ours =
        demand(
            is_same,
            "it is not a replica of the table's server",
            "name one of its physical standbys",
        ) && demand(row.get(1), "it is not a replica any more", "leave it out, or name a standby")
            && demand(
                Version::accept(row.get(0))?.decodes_on_standby(),
                "before PostgreSQL 16 a standby does not decode its log",
                "leave it out. The log is then read from the primary",
            );
    if is_ours {
        demand(
            row.get(3),
            "hot_standby_feedback is off: the primary would remove catalogue rows that the slot \
             needs",
            "set hot_standby_feedback = on there, and give it a physical slot on the primary",
        );
    }
    Ok(refusals)
}

/// Returns what the user should know about how the log will be read.
pub(crate) async fn notes(
    session: &Session,
    source: &LogSource,
    polls: bool,
) -> Result<Vec<Finding>> {
    let mut notes = Vec::new();
    let may_read = source.session(session).await?.one(sql::MAY_READ_LOG, &[]).await;
    let may_read = may_read.doing("ask whether the log may be read")?;
    // A role that may not read the log at all is refused for that.
    if !polls
        && may_read.get::<_, bool>(0)
        && let Err(why) = Replication::open(source.server(), &source.application).await?
    {
        let message = format!(
            "the log cannot be streamed ({why}): the run polls it by SQL, which costs the server \
             more"
        );
        notes.push(Finding::note(Code::LogSettings, message));
    }
    let row = session.one(sql::AWAITED_STANDBYS, &[]).await;
    let row = row.doing("ask whom the log waits for")?;
    if let Some(slots) = row.get::<_, Option<String>>(0).filter(|slots| !slots.is_empty()) {
        let message = format!(
            "the server sends the log only after the standbys of {slots} received it \
             (synchronized_standby_slots)"
        );
        notes.push(Finding::note(Code::LogSettings, message));
    }
    Ok(notes)
}

/// Refuses a standby with an unusable log. It may have changed since the plan.
pub(crate) async fn check(session: &Session, names: &Names, source: &LogSource) -> Result<()> {
    match refusals(session, source).await?.into_iter().next() {
        None => Ok(()),
        Some(Finding { object, message: reason, remedy, .. }) => Err(Error::refused(
            format!("read the log of {}", names.display),
            format!("{object}: {reason}; {remedy}"),
        )),
    }
}

/// Waits until the standby has replayed what the primary has written. The slot must begin where the
/// publication exists.
pub(crate) async fn wait_for_replay(
    session: &Session,
    log: &Session,
    source: &LogSource,
) -> Result<()> {
    let attempted =
        || format!("wait until {} has replayed what was just written", source.server().name());
    let written: String = session.one(sql::WRITTEN, &[]).await.doing(attempted)?.get(0);
    let deadline = Instant::now() + LONGEST_LAG;
    while !log.one(sql::HAS_REPLAYED, &[&written]).await.doing(attempted)?.get::<_, bool>(0) {
        if Instant::now() > deadline {
            return Err(Error::new(
                Kind::Busy,
                attempted(),
                format!("the standby did not replay it within {LONGEST_LAG:?}"),
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Creates the slot on the standby. The standby waits until the primary notes which transactions
/// run, so this asks the primary to.
pub(crate) async fn make_slot(
    session: &Session,
    log: &Session,
    slot: &str,
) -> Result<Vec<tokio_postgres::Row>> {
    let attempted = || format!("make the replication slot {slot} on the standby");
    // It waits for transactions by their own locks, and blocks nobody.
    log.run(&sql::set_lock_timeout(0)).await.doing(attempted)?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&slot];
    let making = log.query(sql::CREATE_SLOT, &parameters);
    tokio::pin!(making);
    let deadline = Instant::now() + LONGEST_SEARCH;
    loop {
        tokio::select! {
            made = &mut making => return made.doing(attempted),
            () = tokio::time::sleep(PAUSE) => {
                // If the role may not ask, the primary does it by itself after a while.
                let _ = session.query(sql::OFFER_A_START, &[]).await;
            }
        }
        if Instant::now() > deadline {
            let reason =
                format!("the standby found no position to begin at within {LONGEST_SEARCH:?}");
            return Err(Error::new(Kind::Busy, attempted(), reason));
        }
    }
}

/// Returns the server's own identity. A standby has the same, and another server has not.
pub(crate) async fn system(session: &Session) -> Result<String> {
    let row = session.one(sql::SYSTEM, &[]).await.doing("ask the server who it is")?;
    Ok(row.get(0))
}

/// Whether the standby is still one.
pub(crate) async fn is_still_standby(session: &Session) -> Result<bool> {
    let row = session.one(sql::STANDBY, &[]).await.doing("ask the standby what it is")?;
    Ok(row.get(1))
}
