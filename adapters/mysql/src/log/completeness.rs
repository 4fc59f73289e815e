//! Proves that the log has every change (law 9). Marks that arrive prove nothing about rows. Writes
//! with `sql_log_bin = 0`, or behind a replica's filter, leave no trace in the log, and the
//! heartbeats go on.
//!
//! InnoDB remembers when the last change of a table was committed, by any session, logged or not
//! (information_schema.TABLES.UPDATE_TIME). Rollbacks, reads with FOR UPDATE and statements that
//! change nothing do not set it. So if it is later than the last change in the log, a change was
//! missed. The run compares both once a second. It also compares them under the lock after the last
//! mark, when nobody can write any more.
//!
//! There is no false alarm. The stream has read everything that was committed before the time was
//! read, and it reads a change only after its commit. One thing stays unseen: a change that is
//! missed within a second of one that is logged, because the server reports whole seconds. MySQL's
//! counts show that one; see [`crate::log::unlogged`].

use crate::log::unlogged::{Counted, Unlogged};
use crate::server::doing::Doing;
use crate::server::heartbeat::Heartbeat;
use crate::server::names::TableName;
use crate::server::pool::SessionPool;
use crate::server::session::{Cells, Session, number, text};
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Error, Kind, Marker, Result};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;

/// Pause between two reads of the time of the last change.
const PERIOD: Duration = Duration::from_secs(1);
/// The server drops the fractions of a second.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Checks the log of one source.
pub(crate) struct CompletenessCheck {
    pool: Arc<SessionPool>,
    source: TableName,
    session: AsyncMutex<Option<Session>>,
    state: Mutex<State>,
    /// What MySQL counts.
    unlogged: Unlogged,
}

#[derive(Default)]
struct State {
    /// The last change when the stream began to read the log, if the server knew one. None while no
    /// stream reads the log.
    first: Option<Option<u64>>,
    /// When the stream read the last change, and the last mark it has passed.
    logged: Option<Instant>,
    passed: Option<Marker>,
    /// The last time that was read, and the mark after which it can be judged.
    seen: Option<(Seen, Marker)>,
    read_at: Option<Instant>,
}

/// The time of the last change, as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    /// In seconds of the server's clock; None if the server does not know.
    last: Option<u64>,
    /// The change was committed no earlier than this, on our own clock.
    earliest: Option<Instant>,
}

impl CompletenessCheck {
    pub(crate) fn new(pool: Arc<SessionPool>, source: TableName) -> CompletenessCheck {
        CompletenessCheck {
            pool,
            source,
            session: AsyncMutex::default(),
            state: Mutex::default(),
            unlogged: Unlogged::default(),
        }
    }

    /// The stream is about to read the log. The later proof sees what was changed before.
    pub(crate) async fn begin(&self) -> Result<()> {
        let first = self.look().await?.last;
        self.unlogged.begin(self.count().await?, self.is_log_off().await?);
        *self.state.lock().expect("not poisoned") =
            State { first: Some(first), ..State::default() };
        Ok(())
    }

    /// Notes what the stream has read: whether there were changes, the rows in all, and the mark it
    /// passed.
    pub(crate) fn record(&self, has_changes: bool, rows: u64, passed: Marker) {
        self.unlogged.record(rows);
        let mut state = self.state.lock().expect("not poisoned");
        state.passed = state.passed.max(Some(passed));
        if has_changes {
            state.logged = Some(Instant::now());
        }
    }

    /// Judges an earlier look once the stream has passed its mark. Looks again once a second.
    ///
    /// # Errors
    ///
    /// `Missed` if a change is not in the log.
    pub(crate) async fn check(&self, heartbeat: &Heartbeat) -> Result<()> {
        {
            let mut state = self.state.lock().expect("not poisoned");
            if state.first.is_none() {
                return Ok(());
            }
            match state.seen {
                Some((seen, mark)) if state.passed >= Some(mark) => {
                    state.seen = None;
                    self.judge(&state, seen)?;
                }
                Some(_) => return Ok(()),
                None => {}
            }
            if state.read_at.is_some_and(|at| at.elapsed() < PERIOD) {
                return Ok(());
            }
        }
        let seen = self.look().await?;
        let logged = self.unlogged.logged();
        self.unlogged.note(self.count().await?, logged);
        let mut state = self.state.lock().expect("not poisoned");
        state.read_at = Some(Instant::now());
        state.seen = Some((seen, heartbeat.mark()));
        Ok(())
    }

    /// Judges at once: the stream has passed a mark behind all writes.
    ///
    /// # Errors
    ///
    /// `Missed` if a change is not in the log.
    pub(crate) async fn check_under_lock(&self) -> Result<()> {
        let seen = self.look().await?;
        self.judge(&self.state.lock().expect("not poisoned"), seen)?;
        match self.unlogged.missing(self.count().await?) {
            0 => Ok(()),
            rows => Err(self.missed(format!(
                "a session set sql_log_bin, and the server counts {rows} more changes of rows \
                 than the log tells of. Let nobody write with sql_log_bin = 0 until the change is \
                 done"
            ))),
        }
    }

    fn judge(&self, state: &State, seen: Seen) -> Result<()> {
        if agrees(state.first.flatten(), state.logged, seen) {
            return Ok(());
        }
        let reason = "the server counts a change of the table that is not in the log: a session \
                      writes with sql_log_bin = 0, or the log is filtered";
        Err(self.missed(reason))
    }

    fn missed(&self, reason: impl Into<String>) -> Error {
        Error::new(Kind::Missed, format!("follow the log for {}", self.source.plain()), reason)
    }

    /// Returns what MySQL counts. None if it does not count, or this role may not read it.
    pub(crate) async fn count(&self) -> Result<Option<Counted>> {
        let row = self.query_if_allowed(&sql::catalogue::rows_changed(&self.source)).await?;
        Ok(row.as_ref().and_then(Counted::read))
    }

    async fn is_log_off(&self) -> Result<bool> {
        Ok(self.query_if_allowed(sql::catalogue::IS_LOG_OFF).await?.is_some())
    }

    /// Returns a row that only MySQL has, and shows only to some roles.
    async fn query_if_allowed(&self, statement: &str) -> Result<Option<Cells>> {
        if self.pool.version.flavour != Flavour::MySql {
            return Ok(None);
        }
        let mut kept = self.session.lock().await;
        let mut session = match kept.take().filter(Session::is_fresh) {
            Some(session) => session,
            None => self.open().await?,
        };
        let row = match session.row(statement).await {
            Err(failure) if failure.ends_session() => {
                return Err(failure
                    .of_catalogue(format!("ask what was changed in {}", self.source.plain())));
            }
            row => row.ok().flatten(),
        };
        *kept = Some(session);
        Ok(row)
    }

    async fn look(&self) -> Result<Seen> {
        let attempted = || format!("ask when {} was changed last", self.source.plain());
        let mut kept = self.session.lock().await;
        let mut session = match kept.take().filter(Session::is_fresh) {
            Some(session) => session,
            None => self.open().await?,
        };
        let begun = Instant::now();
        let row = session.row(&sql::log::last_change(&self.source)).await;
        let row = row.doing_in_catalogue(attempted)?.unwrap_or_default();
        *kept = Some(session);
        let last = row.first().and_then(number);
        let ago = row
            .get(1)
            .map(text)
            .and_then(|seconds| seconds.parse::<f64>().ok())
            .unwrap_or_default();
        let earliest = last.and_then(|_| begun.checked_sub(Duration::from_secs_f64(ago.max(0.0))));
        Ok(Seen { last, earliest })
    }

    pub(crate) async fn open(&self) -> Result<Session> {
        let attempted = || format!("ask when {} was changed last", self.source.plain());
        let mut session =
            Session::open(&self.pool.access, self.pool.version, Duration::from_secs(1)).await?;
        // The server reports the time in the session's time zone, in which hours may come twice.
        session.execute(sql::session::IN_UTC).await.doing_in_catalogue(attempted)?;
        Ok(session)
    }
}

/// Returns whether the last change since the first look can be one that was logged.
fn agrees(first: Option<u64>, logged: Option<Instant>, seen: Seen) -> bool {
    let Some(earliest) = seen.earliest.filter(|_| seen.last != first) else { return true };
    logged.is_some_and(|logged| earliest <= logged + TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_later_than_the_last_one_heard_was_missed() {
        let now = Instant::now() + Duration::from_secs(100);
        let at = |ago: u64| Seen {
            last: Some(1000 - ago),
            earliest: Some(now - Duration::from_secs(ago)),
        };
        let logged = |ago: u64| Some(now - Duration::from_secs(ago));
        assert!(agrees(Some(990), None, at(10)), "nothing since the first look");
        assert!(
            agrees(None, None, Seen { last: None, earliest: None }),
            "the server does not know"
        );
        assert!(agrees(Some(1), logged(10), at(10)));
        assert!(agrees(Some(1), logged(3), at(10)), "it is logged after its commit");
        assert!(agrees(Some(1), logged(11), at(10)), "seconds are cut off");
        assert!(!agrees(Some(1), logged(12), at(10)));
        assert!(!agrees(Some(1), None, at(10)));
        assert!(!agrees(None, None, at(10)));
    }
}
