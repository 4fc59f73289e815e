//! One connection with a known session state. The driver hands a cancelled statement's answer to
//! the next statement. So a session whose future was dropped halfway is never used again.

use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::reachability::{FRESH, Reachability};
use crate::server::settings;
use crate::server::version::Version;
use crate::sql;
use altergeist_contract::{Error, Kind, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::time::{Duration, Instant};

/// One row, as the text protocol gives it.
pub(crate) type Cells = Vec<Option<Vec<u8>>>;

/// What a statement did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub rows: u64,
    pub warnings: u16,
}

/// A connection; see the module.
pub(crate) struct Session {
    conn: Option<Conn>,
    /// The server's number for it, for KILL.
    pub id: u64,
    reachability: Reachability,
    used_at: Instant,
}

impl Session {
    /// Connects, and sets nothing.
    pub(crate) async fn bare(access: &Access) -> Result<Session> {
        let conn = access.open().await?;
        Ok(Session {
            id: u64::from(conn.id()),
            conn: Some(conn),
            reachability: access.reachability.clone(),
            used_at: Instant::now(),
        })
    }

    /// Connects, and sets the state that our statements rely on.
    pub(crate) async fn open(
        access: &Access,
        version: Version,
        lock_timeout: Duration,
    ) -> Result<Session> {
        let mut session = Session::bare(access).await?;
        session.set_up(access, version, lock_timeout).await?;
        Ok(session)
    }

    /// Sets that state.
    pub(crate) async fn set_up(
        &mut self,
        access: &Access,
        version: Version,
        lock_timeout: Duration,
    ) -> Result<()> {
        let attempted = || format!("set up a session on {}", access.address);
        let modes = self.text(sql::session::GLOBAL_MODES).await.doing_in_catalogue(attempted)?;
        for statement in settings::session(version, &modes, lock_timeout) {
            self.execute(&statement).await.doing_in_catalogue(attempted)?;
        }
        hear_all(self, &attempted()).await
    }

    /// Whether it can take another statement.
    pub(crate) fn is_alive(&self) -> bool {
        self.conn.is_some()
    }

    /// Whether the server has surely kept it: it ends idle sessions.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_alive() && self.used_at.elapsed() < FRESH
    }

    /// The rows of a query.
    pub(crate) async fn rows(
        &mut self,
        statement: &str,
    ) -> std::result::Result<Vec<Cells>, Failure> {
        let mut conn = self.take()?;
        let outcome = tokio::select! {
            outcome = conn.query::<mysql_async::Row, _>(statement) => outcome,
            () = self.reachability.lost() => return Err(out_of_reach()),
        };
        let rows = self.give_back(conn, outcome)?;
        Ok(rows.into_iter().map(cells).collect())
    }

    /// The rows of a query with the names of their columns. For statements whose columns have
    /// another order in each version.
    pub(crate) async fn named_rows(
        &mut self,
        statement: &str,
    ) -> std::result::Result<Vec<Vec<(String, String)>>, Failure> {
        let mut conn = self.take()?;
        let outcome = tokio::select! {
            outcome = conn.query::<mysql_async::Row, _>(statement) => outcome,
            () = self.reachability.lost() => return Err(out_of_reach()),
        };
        let named = |row: mysql_async::Row| {
            let names: Vec<String> =
                row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
            names.into_iter().zip(cells(row).iter().map(text)).collect()
        };
        Ok(self.give_back(conn, outcome)?.into_iter().map(named).collect())
    }

    /// How the server describes the first column of a query.
    pub(crate) async fn described(
        &mut self,
        statement: &str,
    ) -> std::result::Result<Option<mysql_async::Column>, Failure> {
        let mut conn = self.take()?;
        let outcome = tokio::select! {
            outcome = first_column(&mut conn, statement) => outcome,
            () = self.reachability.lost() => return Err(out_of_reach()),
        };
        self.give_back(conn, outcome)
    }

    /// The first row of a query, and how many warnings the server gave.
    pub(crate) async fn row_with_warnings(
        &mut self,
        statement: &str,
    ) -> std::result::Result<(Cells, u16), Failure> {
        let mut conn = self.take()?;
        let outcome = tokio::select! {
            outcome = conn.query::<mysql_async::Row, _>(statement) => outcome,
            () = self.reachability.lost() => return Err(out_of_reach()),
        };
        let warnings = conn.get_warnings();
        let rows = self.give_back(conn, outcome)?;
        Ok((rows.into_iter().next().map(cells).unwrap_or_default(), warnings))
    }

    /// The first row of a query.
    pub(crate) async fn row(
        &mut self,
        statement: &str,
    ) -> std::result::Result<Option<Cells>, Failure> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// The first cell of the first row, as text; empty if there is none.
    pub(crate) async fn text(&mut self, statement: &str) -> std::result::Result<String, Failure> {
        let row = self.row(statement).await?.unwrap_or_default();
        Ok(row.first().map(text).unwrap_or_default())
    }

    /// Runs a statement that gives no rows.
    pub(crate) async fn execute(&mut self, statement: &str) -> std::result::Result<Done, Failure> {
        let mut conn = self.take()?;
        let outcome = tokio::select! {
            outcome = conn.query_drop(statement) => outcome,
            () = self.reachability.lost() => return Err(out_of_reach()),
        };
        let done = Done { rows: conn.affected_rows(), warnings: conn.get_warnings() };
        self.give_back(conn, outcome)?;
        Ok(done)
    }

    /// Runs a statement that gives no rows, in the session's present character set.
    pub(crate) async fn execute_bytes(
        &mut self,
        statement: Vec<u8>,
    ) -> std::result::Result<(), Failure> {
        let mut conn = self.take()?;
        let outcome = tokio::select! {
            outcome = conn.query_drop(statement) => outcome,
            () = self.reachability.lost() => return Err(out_of_reach()),
        };
        self.give_back(conn, outcome)
    }

    /// The connection itself, for the log.
    pub(crate) fn into_conn(mut self) -> std::result::Result<Conn, Failure> {
        self.take()
    }

    pub(crate) fn take(&mut self) -> std::result::Result<Conn, Failure> {
        self.conn.take().ok_or_else(|| Failure::Lost("the connection was lost before".into()))
    }

    fn give_back<T>(
        &mut self,
        conn: Conn,
        outcome: mysql_async::Result<T>,
    ) -> std::result::Result<T, Failure> {
        self.used_at = Instant::now();
        let outcome = outcome.map_err(Failure::from_driver);
        if !outcome.as_ref().is_err_and(Failure::ends_session) {
            self.conn = Some(conn);
        }
        outcome
    }
}

async fn first_column(
    conn: &mut Conn,
    statement: &str,
) -> mysql_async::Result<Option<mysql_async::Column>> {
    let result = conn.query_iter(statement).await?;
    let column = result.columns_ref().first().cloned();
    result.drop_result().await?;
    Ok(column)
}

fn out_of_reach() -> Failure {
    Failure::Lost("the server does not answer any more".into())
}

/// Bounds the wait for a lock; the server itself counts in whole seconds only. When the time is up,
/// it kills the statement from a second connection and waits for its answer.
pub(crate) async fn execute_within(
    session: &mut Session,
    access: &Access,
    statement: &str,
    within: Duration,
) -> std::result::Result<Done, Failure> {
    let id = session.id;
    let work = session.execute(statement);
    tokio::pin!(work);
    if let Ok(outcome) = tokio::time::timeout(within, &mut work).await {
        return outcome;
    }
    let killed = kill_query(access, id);
    let (outcome, _) = tokio::join!(&mut work, killed);
    outcome
}

/// Kills a statement of ours from another connection.
pub(crate) async fn kill_query(access: &Access, id: u64) {
    if let Ok(mut killer) = Session::bare(access).await {
        // If it fails, the server's own timeout ends the statement within the second.
        let _ = killer.execute(&sql::session::kill_query(id)).await;
    }
}

/// Kills a connection of ours on the server. It is no error if it is gone already.
pub(crate) async fn kill(killer: &mut Session, id: u64) -> Result<()> {
    match killer.execute(&sql::session::kill(id)).await {
        Err(failure) if failure.code() != Some(crate::server::error::NO_SUCH_THREAD) => {
            let mut error =
                failure.of_catalogue(format!("end connection {id}, left by an earlier run"));
            if error.kind == Kind::Refused {
                error.reason += "; kill it, or run as the same user";
            }
            Err(error)
        }
        _ => Ok(()),
    }
}

fn cells(row: mysql_async::Row) -> Cells {
    row.unwrap().into_iter().map(bytes).collect()
}

fn bytes(value: mysql_async::Value) -> Option<Vec<u8>> {
    match value {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(bytes),
        // The text protocol gives nothing else; other forms would be a change in the driver.
        other => Some(other.as_sql(true).into_bytes()),
    }
}

/// A cell as text; NULL is empty.
pub(crate) fn text(cell: &Option<Vec<u8>>) -> String {
    cell.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// A cell as a number; NULL, and what is no number, is None.
pub(crate) fn number(cell: &Option<Vec<u8>>) -> Option<u64> {
    text(cell).parse().ok()
}

/// How many warnings the server must keep. Both servers keep as many by default.
pub(crate) const FEWEST: u64 = 64;

/// Has a session keep as many warnings as it can.
///
/// # Errors
/// `Refused`, if the server keeps too few and this user may not change that (MySQL).
pub(crate) async fn hear_all(session: &mut Session, attempted: &str) -> Result<()> {
    let attempted = || attempted.to_owned();
    match session.execute(sql::session::KEEP_WARNINGS).await {
        Ok(_) => return Ok(()),
        Err(failure) if failure.ends_session() => return Err(failure.of_catalogue(attempted())),
        // MySQL lets only an administrator set it.
        Err(_) => {}
    }
    let kept = session.text(sql::session::KEPT_WARNINGS).await.doing_in_catalogue(attempted)?;
    match kept.parse::<u64>() {
        Ok(kept) if kept >= FEWEST => Ok(()),
        _ => {
            let reason = format!(
                "the server keeps only {kept} warnings of a statement (max_error_count), so lost \
                 digits would not be seen; SET GLOBAL max_error_count = 1024, or GRANT \
                 SESSION_VARIABLES_ADMIN ON *.* to this user"
            );
            Err(Error::refused(attempted(), reason))
        }
    }
}
