//! The heartbeat: a number in a small table of ours. A session of its own raises it several times a
//! second.
//!
//! Heartbeats prove law 1. Both servers make transactions visible in the order of their log: MySQL
//! with `binlog_order_commits`, which `plan` requires; MariaDB always. A heartbeat is *proven* once
//! its COMMIT has returned. Then everything before it in the log is visible, whatever delayed those
//! commits: a replica's acknowledgement, a slow disk. A mark is the next heartbeat that is sent
//! after the core asks for one.
//!
//! Prepared transactions are different. Their rows are in the log where they were prepared, and
//! neither server promises that their end becomes visible in the log's order. So the heartbeat
//! watches their names too, until XA RECOVER does not list them any more.

use crate::log::xa_name::spell_xid;
use crate::server::doing::Doing;
use crate::server::names::{Names, TableName};
use crate::server::pool::{Lease, SessionPool, Slot};
use crate::server::session::{Cells, Session, number, text};
use crate::sql;
use altergeist_contract::{CommitLatency, Error, Heartbeats, Kind, Marker, Result};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Time between two heartbeats when nobody asks for a mark.
const PERIOD: Duration = Duration::from_millis(100);
/// A commit that takes longer is reported, again and again.
const SLOW_COMMIT: Duration = Duration::from_secs(5);
/// How long the heartbeat tries to connect again.
const RECONNECT_FOR: Duration = Duration::from_secs(20);

/// The heartbeat of a run; see the module.
pub(crate) struct Heartbeat {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    pool: Arc<SessionPool>,
    source: TableName,
    table: TableName,
    state: Mutex<State>,
    nudge: Notify,
    known: watch::Sender<Known>,
}

#[derive(Default)]
struct State {
    /// The last beat that may have been sent.
    sent: u64,
    beats: Heartbeats,
    /// When the beat was sent whose commit has not returned yet.
    under_way: Option<Instant>,
    /// Prepared transactions that have ended in the log, and may not yet be visible.
    watched: HashSet<String>,
}

/// What others wait for.
#[derive(Clone, Default)]
struct Known {
    proven: u64,
    /// How often the list of prepared transactions was read.
    looked: u64,
    stopped: Option<String>,
}

impl Heartbeat {
    pub(crate) fn new(pool: Arc<SessionPool>, source: TableName, names: &Names) -> Heartbeat {
        let (known, _) = watch::channel(Known {
            stopped: Some("they were not begun".into()),
            ..Known::default()
        });
        let shared = Shared {
            pool,
            source,
            table: names.beat.clone(),
            state: Mutex::default(),
            nudge: Notify::new(),
            known,
        };
        Heartbeat { shared: Arc::new(shared), task: Mutex::default() }
    }

    /// Starts the heartbeat unless it runs, and waits for its first number.
    pub(crate) async fn begin(&self) -> Result<()> {
        let running = self
            .task
            .lock()
            .expect("not poisoned")
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        if !running {
            let (lease, last) = self.shared.connect().await?;
            self.shared.know(last);
            let shared = self.shared.clone();
            *self.task.lock().expect("not poisoned") =
                Some(tokio::spawn(async move { shared.run(lease, last).await }));
        }
        Ok(())
    }

    /// Returns whether the beats continue after a saved position. If another session dropped or
    /// emptied their table, the numbers begin again. Then every mark up to the saved one would
    /// count as passed (law 1).
    pub(crate) fn go_on_from(&self, saved: u64) -> bool {
        self.shared.state.lock().expect("not poisoned").sent >= saved
    }

    /// Stops the heartbeat.
    pub(crate) fn end(&self) {
        if let Some(task) = self.task.lock().expect("not poisoned").take() {
            task.abort();
        }
        self.shared.known.send_modify(|known| known.stopped = Some("they were ended".into()));
    }

    /// Returns the next beat, and has it sent at once.
    pub(crate) fn mark(&self) -> Marker {
        let number = self.shared.state.lock().expect("not poisoned").sent + 1;
        self.shared.nudge.notify_one();
        Marker(number)
    }

    /// Waits until everything in the log before this beat is visible. Cancel-safe.
    pub(crate) async fn proven(&self, beat: Marker) -> Result<()> {
        self.wait(|known| known.proven >= beat.0).await
    }

    /// Waits until the ends of these prepared transactions, which the log has passed, are visible.
    /// Cancel-safe.
    pub(crate) async fn visible(&self, xids: &[String]) -> Result<()> {
        self.shared.state.lock().expect("not poisoned").watched.extend(xids.iter().cloned());
        self.shared.nudge.notify_one();
        let looked = self.shared.known.borrow().looked;
        let shared = &self.shared;
        self.wait(|known| {
            known.looked > looked
                && !xids
                    .iter()
                    .any(|xid| shared.state.lock().expect("not poisoned").watched.contains(xid))
        })
        .await
    }

    async fn wait(&self, mut is_enough: impl FnMut(&Known) -> bool) -> Result<()> {
        let mut known = self.shared.known.subscribe();
        let seen = known
            .wait_for(|known| known.stopped.is_some() || is_enough(known))
            .await
            .expect("the sender lives in self");
        match &seen.stopped {
            Some(reason) if !is_enough(&seen) => {
                let attempted =
                    format!("keep the heartbeats of {} going", self.shared.source.plain());
                Err(Error::new(Kind::Disconnected, attempted, reason.clone()))
            }
            _ => Ok(()),
        }
    }

    /// How long commits take now. One that has not returned counts with its time so far.
    pub(crate) fn commit_latency(&self) -> Option<CommitLatency> {
        let state = self.shared.state.lock().expect("not poisoned");
        let waited = state.under_way.map(|sent| sent.elapsed());
        state.beats.commit_latency(waited)
    }

    /// How long ago the beat after this one was sent; zero if there is none.
    pub(crate) fn age(&self, beat: u64) -> Duration {
        self.shared.state.lock().expect("not poisoned").beats.age_after(beat)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Opens a session and reads the last beat in the table. It is visible, so it is proven.
    pub(crate) async fn connect(&self) -> Result<(Lease, u64)> {
        let mut lease = self.pool.lease(Slot::Heartbeat).await?;
        let attempted = || format!("read the heartbeat of {}", self.source.plain());
        let find = sql::journal::last_beat(&self.table, &self.source.name);
        let mut row = lease.session().row(&find).await.doing_in_catalogue(attempted)?;
        if row.is_none() {
            let next = first_number(self.state.lock().expect("not poisoned").sent, now_millis());
            let first = sql::journal::first_beat(&self.table, &self.source.name, next);
            lease.session().execute(&first).await.doing_in_catalogue(attempted)?;
            row = lease.session().row(&find).await.doing_in_catalogue(attempted)?;
        }
        let last = row
            .and_then(|row| number(&row[0]))
            .ok_or_else(|| Error::fatal(attempted(), "there is none"))?;
        Ok((lease, last))
    }

    fn know(&self, last: u64) {
        let mut state = self.state.lock().expect("not poisoned");
        state.sent = state.sent.max(last);
        self.known.send_modify(|known| {
            known.proven = known.proven.max(last);
            known.stopped = None;
        });
    }

    async fn run(&self, mut lease: Lease, mut last: u64) {
        loop {
            let error = self.beat_on(lease.session(), last).await;
            tracing::warn!(%error, "the heartbeat stopped");
            drop(lease);
            (lease, last) = match self.reconnect(error).await {
                Ok(found) => found,
                Err(error) => {
                    self.known.send_modify(|known| known.stopped = Some(error.reason));
                    return;
                }
            };
            self.know(last);
        }
    }

    async fn reconnect(&self, mut error: Error) -> Result<(Lease, u64)> {
        let begun = Instant::now();
        while error.kind != Kind::Fatal && begun.elapsed() < RECONNECT_FOR {
            match self.connect().await {
                Ok(found) => return Ok(found),
                Err(again) => error = again,
            }
            tokio::time::sleep(PERIOD).await;
        }
        Err(error)
    }

    /// Sends heartbeats until something fails.
    async fn beat_on(&self, session: &mut Session, mut last: u64) -> Error {
        loop {
            // A mark asked for meanwhile has left its permit; otherwise a period passes.
            let _ = tokio::time::timeout(PERIOD, self.nudge.notified()).await;
            match self.beat(session, last + 1).await {
                Ok(()) => last += 1,
                Err(error) if error.kind == Kind::Transient => continue,
                Err(error) => return error,
            }
            if let Err(error) = self.look_at_prepared(session).await {
                return error;
            }
        }
    }

    pub(crate) async fn beat(&self, session: &mut Session, number: u64) -> Result<()> {
        let attempted = || format!("write the heartbeat of {}", self.source.plain());
        self.note_sent(number);
        let statement = sql::journal::next_beat(&self.table, &self.source, number);
        let commit = session.execute(&statement);
        tokio::pin!(commit);
        let done = loop {
            match tokio::time::timeout(SLOW_COMMIT, &mut commit).await {
                Ok(outcome) => {
                    break outcome.doing_in_catalogue(attempted)?;
                }
                Err(_) => {
                    tracing::warn!("the server delays commits; changes wait until they are visible")
                }
            }
        };
        if done.rows != 1 {
            return Err(Error::fatal(attempted(), "another session wrote it"));
        }
        self.note_committed();
        self.known.send_modify(|known| known.proven = number);
        Ok(())
    }

    fn note_committed(&self) {
        let mut state = self.state.lock().expect("not poisoned");
        if let Some(sent) = state.under_way.take() {
            state.beats.note_committed(sent.elapsed());
        }
    }

    fn note_sent(&self, number: u64) {
        let mut state = self.state.lock().expect("not poisoned");
        let now = Instant::now();
        state.under_way = Some(now);
        state.sent = state.sent.max(number);
        state.beats.note_sent(number, now);
    }

    async fn look_at_prepared(&self, session: &mut Session) -> Result<()> {
        if self.state.lock().expect("not poisoned").watched.is_empty() {
            return Ok(());
        }
        let prepared = prepared(session).await?;
        self.state.lock().expect("not poisoned").watched.retain(|xid| prepared.contains(xid));
        self.known.send_modify(|known| known.looked += 1);
        Ok(())
    }
}

/// The number of the first heartbeat in a new row: the time in milliseconds. An earlier row rose by
/// one in each period, which is far longer than a millisecond. So the new number is higher. The
/// earlier ones are still in saved positions, and on replicas that lag.
fn first_number(sent: u64, now_millis: u64) -> u64 {
    sent.max(now_millis) + 1
}

fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The prepared transactions of the server, by name.
pub(crate) async fn prepared(session: &mut Session) -> Result<HashSet<String>> {
    let rows =
        session.rows(sql::log::PREPARED).await.doing_in_catalogue("list prepared transactions")?;
    Ok(rows.iter().filter_map(xid).collect())
}

/// A row of XA RECOVER: format, the lengths of the two parts, and both parts joined.
fn xid(row: &Cells) -> Option<String> {
    let [format, length, _, data] = &row[..] else { return None };
    let (gtrid, bqual) = data.as_deref()?.split_at_checked(number(length)? as usize)?;
    Some(spell_xid(
        text(format).parse().ok()?,
        &crate::sql::quote::hex(gtrid),
        &crate::sql::quote::hex(bqual),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_row_has_a_number_above_all_earlier_ones() {
        let hour_ago = first_number(0, 3_600_000);
        let beaten_every_period = hour_ago + 3_600_000 / PERIOD.as_millis() as u64;
        assert!(first_number(0, 7_200_000) > beaten_every_period);
        assert_eq!(
            first_number(9_000_000, 7_200_000),
            9_000_001,
            "a clock that goes back changes nothing"
        );
    }
}
