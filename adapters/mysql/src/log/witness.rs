//! A witness beside the log (law 9): marks that arrive prove nothing about rows. Who writes with
//! `sql_log_bin = 0`, or behind a replica's filter, leaves no trace in the log that is read, and
//! the heartbeats go on.
//!
//! InnoDB remembers when the last change of a table was committed, whoever made it and whether it
//! was logged (information_schema.TABLES.UPDATE_TIME). Rollbacks, reads with FOR UPDATE and
//! statements that change nothing leave it alone. So whenever it is later than the last change the
//! log told of, a change was not told. Both are compared once a second, and under the lock after
//! the last mark has passed, where nobody can write any more.
//!
//! No false alarm: everything committed before the time was read has been heard when it is judged,
//! and a change is heard after its commit. What it does not see: a change that is missed within a
//! second of one that is heard, for the server tells whole seconds. MySQL's counts see that one;
//! see [`crate::log::unlogged`].

use crate::log::unlogged::{Counted, Unlogged};
use crate::server::heartbeat::Beats;
use crate::server::names::TableName;
use crate::server::pool::Crew;
use crate::server::session::{Cells, Session, number, text};
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Error, Kind, Marker, Result};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;

/// How often the time of the last change is read.
const PERIOD: Duration = Duration::from_secs(1);
/// The server cuts off the fractions of a second.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The witness of one source.
pub(crate) struct Witness {
    crew: Arc<Crew>,
    source: TableName,
    session: AsyncMutex<Option<Session>>,
    state: Mutex<State>,
    /// What MySQL counts beside.
    unlogged: Unlogged,
}

#[derive(Default)]
struct State {
    /// The last change when the log began to be read, if the server knew one; None while nobody
    /// reads the log.
    first: Option<Option<u64>>,
    /// When the log told of a change for the last time, and the last mark it has passed.
    heard: Option<Instant>,
    passed: Option<Marker>,
    /// What was read and can be judged when the mark has passed.
    seen: Option<(Seen, Marker)>,
    read_at: Option<Instant>,
}

/// The time of the last change, as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    /// In seconds of the server's clock; None if the server does not know.
    last: Option<u64>,
    /// It was committed no earlier than this, on our own clock.
    earliest: Option<Instant>,
}

impl Witness {
    pub(crate) fn new(crew: Arc<Crew>, source: TableName) -> Witness {
        Witness {
            crew,
            source,
            session: AsyncMutex::default(),
            state: Mutex::default(),
            unlogged: Unlogged::default(),
        }
    }

    /// The log is about to be read: what was changed before, the proof that follows will see.
    pub(crate) async fn begin(&self) -> Result<()> {
        let first = self.look().await?.last;
        self.unlogged.begin(self.count().await?, self.is_log_off().await?);
        *self.state.lock().expect("not poisoned") =
            State { first: Some(first), ..State::default() };
        Ok(())
    }

    /// The log has told of changes, or of none, up to a mark, and of so many rows in all.
    pub(crate) fn hear(&self, has_changes: bool, rows: u64, passed: Marker) {
        self.unlogged.hear(rows);
        let mut state = self.state.lock().expect("not poisoned");
        state.passed = state.passed.max(Some(passed));
        if has_changes {
            state.heard = Some(Instant::now());
        }
    }

    /// Judges what was read a while ago, once the log has passed it; reads again once a second.
    ///
    /// # Errors
    /// `Missed` if a change was not heard.
    pub(crate) async fn ask(&self, beats: &Beats) -> Result<()> {
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
        let heard = self.unlogged.heard();
        self.unlogged.note(self.count().await?, heard);
        let mut state = self.state.lock().expect("not poisoned");
        state.read_at = Some(Instant::now());
        state.seen = Some((seen, beats.mark()));
        Ok(())
    }

    /// The same at once: the log has passed a mark behind everything that was ever written.
    ///
    /// # Errors
    /// `Missed` if a change was not heard.
    pub(crate) async fn ask_under_lock(&self) -> Result<()> {
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
        if agrees(state.first.flatten(), state.heard, seen) {
            return Ok(());
        }
        let reason = "the server counts a change of the table that is not in the log: a session \
                      writes with sql_log_bin = 0, or the log is filtered";
        Err(self.missed(reason))
    }

    fn missed(&self, reason: impl Into<String>) -> Error {
        Error::new(Kind::Missed, format!("follow the log for {}", self.source.plain()), reason)
    }

    /// What MySQL counts; None where it does not, or this role may not read it.
    pub(crate) async fn count(&self) -> Result<Option<Counted>> {
        let row = self.ask_beside(&sql::catalogue::rows_changed(&self.source)).await?;
        Ok(row.as_ref().and_then(Counted::read))
    }

    async fn is_log_off(&self) -> Result<bool> {
        Ok(self.ask_beside(sql::catalogue::IS_LOG_OFF).await?.is_some())
    }

    /// A row of what only MySQL can tell, and only to some roles.
    async fn ask_beside(&self, statement: &str) -> Result<Option<Cells>> {
        if self.crew.version.flavour != Flavour::MySql {
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
        let row = row.map_err(|failure| failure.of_catalogue(attempted()))?.unwrap_or_default();
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
            Session::open(&self.crew.access, self.crew.version, Duration::from_secs(1)).await?;
        // The time is told in the session's time zone, in which hours may come twice.
        session
            .execute(sql::session::IN_UTC)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        Ok(session)
    }
}

/// Whether the last change, if there was any since the first look, may be one that was heard.
fn agrees(first: Option<u64>, heard: Option<Instant>, seen: Seen) -> bool {
    let Some(earliest) = seen.earliest.filter(|_| seen.last != first) else { return true };
    heard.is_some_and(|heard| earliest <= heard + TOLERANCE)
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
        let heard = |ago: u64| Some(now - Duration::from_secs(ago));
        assert!(agrees(Some(990), None, at(10)), "nothing since the first look");
        assert!(
            agrees(None, None, Seen { last: None, earliest: None }),
            "the server does not know"
        );
        assert!(agrees(Some(1), heard(10), at(10)));
        assert!(agrees(Some(1), heard(3), at(10)), "it is heard after its commit");
        assert!(agrees(Some(1), heard(11), at(10)), "seconds are cut off");
        assert!(!agrees(Some(1), heard(12), at(10)));
        assert!(!agrees(Some(1), None, at(10)));
        assert!(!agrees(None, None, at(10)));
    }
}
