//! One connection, its prepared statements, and what the server remarks on it.

use crate::server::connect::Server;
use crate::server::error;
use crate::sql;
use altergeist_contract::{Error, Kind, Login, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The most notices that are kept.
const NOTICES: usize = 256;

/// One connection. Statements are prepared once each.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// The server process behind it.
    pub(crate) pid: i32,
    pub(crate) statements: Mutex<HashMap<String, Statement>>,
    pub(crate) notices: Arc<Mutex<Vec<Notice>>>,
}

/// A remark of the server: the routine that made it, and its words.
#[derive(Clone)]
pub(crate) struct Notice {
    pub(crate) routine: String,
    pub(crate) message: String,
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Connects and sends the settings.
    pub(crate) async fn begin(
        config: &Config,
        tls: MakeRustlsConnect,
        settings: &str,
    ) -> std::result::Result<Session, tokio_postgres::Error> {
        let (client, mut connection) = config.connect(tls).await?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = notices.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message {
                    keep(&kept, &notice);
                }
            }
        });
        client.batch_execute(settings).await?;
        let pid = client.query_one(sql::OWN_PID, &[]).await?.get(0);
        Ok(Session { client, pid, statements: Mutex::default(), notices })
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs one or more statements that give nothing back.
    pub(crate) async fn run(
        &self,
        statements: &str,
    ) -> std::result::Result<(), tokio_postgres::Error> {
        self.client.batch_execute(statements).await
    }

    /// Runs statements for the rows of all of them, as text; in one transaction, the session's if
    /// it has one.
    pub(crate) async fn script(
        &self,
        statements: &str,
    ) -> std::result::Result<Vec<tokio_postgres::SimpleQueryMessage>, tokio_postgres::Error> {
        self.client.simple_query(statements).await
    }

    /// Runs exactly one statement, even if the text holds more. Returns how many rows it touched.
    pub(crate) async fn execute(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<u64, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.execute(&prepared, parameters).await
    }

    /// Runs one statement for its rows.
    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.query(&prepared, parameters).await
    }

    /// Runs one statement for its rows, as they come.
    pub(crate) async fn stream(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<tokio_postgres::RowStream, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.query_raw(&prepared, parameters.iter().copied()).await
    }

    /// Runs one statement that always gives one row.
    pub(crate) async fn one(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<Row, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.query_one(&prepared, parameters).await
    }

    /// Prepares statements ahead, so that they cost one round trip when it matters.
    pub(crate) async fn prepare(
        &self,
        statement: &str,
    ) -> std::result::Result<(), tokio_postgres::Error> {
        self.prepared(statement).await.map(drop)
    }

    /// How many columns the answer to a statement has.
    pub(crate) async fn columns(
        &self,
        statement: &str,
    ) -> std::result::Result<usize, tokio_postgres::Error> {
        Ok(self.client.prepare(statement).await?.columns().len())
    }

    /// Takes the remarks since the last call.
    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *locked(&self.notices))
    }

    pub(crate) async fn prepared(
        &self,
        statement: &str,
    ) -> std::result::Result<Statement, tokio_postgres::Error> {
        let known = locked(&self.statements).get(statement).cloned();
        if let Some(prepared) = known {
            return Ok(prepared);
        }
        let prepared = self.client.prepare(statement).await?;
        locked(&self.statements).insert(statement.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Server {
    /// Opens a session and sends its settings.
    pub(crate) async fn open(&self, application: &str, settings: &str) -> Result<Session> {
        let attempted = || format!("connect to {}", self.name());
        let log_in = |password: Option<String>| async move {
            let config = self.driver_config(application, password);
            let opening = Session::begin(&config, self.connector(), settings);
            match tokio::time::timeout(self.patience, opening).await {
                Err(_) => Err(error::silent(attempted(), self.patience)),
                Ok(Err(error)) if is_password_refused(&error) => {
                    Ok(Login::Refused(refused_or_lost(attempted(), &error)))
                }
                Ok(Err(error)) => Err(refused_or_lost(attempted(), &error)),
                Ok(Ok(session)) => Ok(Login::Done(session)),
            }
        };
        self.passwords.log_in(&self.place(), self.password.as_deref(), log_in).await
    }
}

fn is_password_refused(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| error::is_password_refused(code.code()))
}

/// If the server answers and does not let us in, no retry helps.
fn refused_or_lost(attempted: String, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(server) if error::is_login_refused(server.code().code()) => {
            Error::fatal(attempted, server.message())
        }
        Some(_) => {
            let answer = error::of(attempted, error);
            Error::new(Kind::Disconnected, answer.attempted, answer.reason)
        }
        None => error::lost(attempted, error),
    }
}

fn keep(notices: &Mutex<Vec<Notice>>, notice: &tokio_postgres::error::DbError) {
    let mut notices = locked(notices);
    if notices.len() < NOTICES {
        let routine = notice.routine().unwrap_or_default().to_owned();
        notices.push(Notice { routine, message: notice.message().to_owned() });
    }
}

/// A mutex no code panics under.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
