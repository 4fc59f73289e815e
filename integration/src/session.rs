//! One connection to a server of either family, speaking text: SQL in, strings out.
//!
//! It is no driver and no model of one. Tests and writers need to say the same thing to four
//! servers and to learn which code the server answered with; that is all there is.

use std::fmt;

use mysql_async::prelude::Queryable;
use tokio_postgres::SimpleQueryMessage;

/// A row as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// A connection. Dropping a statement half-way through spoils it: throw it away then.
pub enum Session {
    /// A PostgreSQL server.
    Postgres(tokio_postgres::Client),
    /// A MySQL or MariaDB server.
    MySql(Box<mysql_async::Conn>),
}

/// What a server, or the network, answered instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The SQLSTATE (PostgreSQL) or the error number (MySQL, MariaDB); empty when the connection
    /// itself failed.
    pub code: String,
    /// The server's words.
    pub message: String,
}

impl Failure {
    /// Whether the connection is gone, so that nobody knows what became of the statement.
    pub fn is_lost_connection(&self) -> bool {
        // 57P01-57P03: the server is going down or coming up; 1053, 1927: likewise.
        matches!(self.code.as_str(), "" | "57P01" | "57P02" | "57P03" | "1053" | "1927" | "3169")
    }

    /// Whether the server picked this transaction to break a deadlock.
    pub fn is_deadlock(&self) -> bool {
        matches!(self.code.as_str(), "40P01" | "1213")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.as_str() {
            "" => write!(f, "{}", self.message),
            code => write!(f, "{code}: {}", self.message),
        }
    }
}

impl std::error::Error for Failure {}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // Who was in the way of whom is said in the detail only.
            Some(db) if db.code().code() == "40P01" => Self {
                code: "40P01".into(),
                message: format!("{}: {}", db.message(), db.detail().unwrap_or_default()),
            },
            Some(db) => Self { code: db.code().code().into(), message: db.message().into() },
            None => Self { code: String::new(), message: error.to_string() },
        }
    }
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(e) => Self { code: e.code.to_string(), message: e.message },
            other => Self { code: String::new(), message: other.to_string() },
        }
    }
}

impl Session {
    /// Connects to `mysql://…` or `postgres://…`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect(url: &str) -> Result<Self, Failure> {
        if url.starts_with("postgres") {
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            Ok(Self::Postgres(client))
        } else {
            let opts = mysql_async::Opts::from_url(url)
                .map_err(|e| Failure { code: String::new(), message: e.to_string() })?;
            let opts = mysql_async::OptsBuilder::from_opts(opts)
                .prefer_socket(Some(false))
                .client_found_rows(true);
            Ok(Self::MySql(Box::new(mysql_async::Conn::new(opts).await?)))
        }
    }

    /// Runs one or several statements and returns the rows of the last one that had any.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Postgres(client) => {
                let mut rows = Vec::new();
                for message in client.simple_query(sql).await? {
                    match message {
                        SimpleQueryMessage::RowDescription(_) => rows.clear(),
                        SimpleQueryMessage::Row(row) => {
                            rows.push(
                                (0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect(),
                            );
                        }
                        _ => {}
                    }
                }
                Ok(rows)
            }
            Self::MySql(conn) => {
                let mut result = conn.query_iter(sql).await?;
                let mut rows = Vec::new();
                while !result.is_empty() {
                    let set: Vec<mysql_async::Row> = result.collect().await?;
                    rows = set.into_iter().map(text_of).collect();
                }
                result.drop_result().await?;
                Ok(rows)
            }
        }
    }

    /// Runs statements; says how many rows the last one changed.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn execute(&mut self, sql: &str) -> Result<u64, Failure> {
        match self {
            Self::Postgres(client) => {
                let mut changed = 0;
                for message in client.simple_query(sql).await? {
                    if let SimpleQueryMessage::CommandComplete(rows) = message {
                        changed = rows;
                    }
                }
                Ok(changed)
            }
            Self::MySql(conn) => {
                conn.query_drop(sql).await?;
                Ok(conn.affected_rows())
            }
        }
    }

    /// The single value of a query, as text; `None` for NULL or no row.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn value(&mut self, sql: &str) -> Result<Option<String>, Failure> {
        Ok(self
            .rows(sql)
            .await?
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
            .flatten())
    }

    /// Whether this is a PostgreSQL server.
    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

fn text_of(row: mysql_async::Row) -> Row {
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            mysql_async::Value::NULL => None,
            mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true)),
        })
        .collect()
}

/// Runs a future to its end on a thread of its own, so that it can be called from a test that is
/// async itself as well as from one that is not.
///
/// # Panics
/// When the future does.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime can always be built")
                    .block_on(future)
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
