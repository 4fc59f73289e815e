//! The server, and the table every competitor changes: made anew for each run, in a database of its
//! own.

use super::shape::Shape;
use crate::servers::{Flavour, Server};
use crate::session::Failure;

/// Settings of a server that is tuned as a DBA would, and durable.
const MYSQL: &[(&str, &str)] = &[
    ("innodb-flush-log-at-trx-commit", "1"),
    ("sync-binlog", "1"),
    ("innodb-ddl-buffer-size", "256M"),
    ("innodb-redo-log-capacity", "4G"),
];
/// Begun anew while the server runs: as they are when it starts, MySQL 9.7.4 holds up every commit
/// for a tenth of a second again and again as soon as two sessions are busy, whoever they are,
/// which would hide what a competitor does.
const MYSQL_LOG_WRITERS: [&str; 2] =
    ["SET GLOBAL innodb_log_writer_threads = OFF", "SET GLOBAL innodb_log_writer_threads = ON"];
const MARIADB: &[(&str, &str)] = &[
    ("innodb-flush-log-at-trx-commit", "1"),
    ("sync-binlog", "1"),
    ("innodb-log-file-size", "4G"),
];
const POSTGRES: &[(&str, &str)] = &[
    ("max_wal_size", "8GB"),
    ("maintenance_work_mem", "512MB"),
    ("autovacuum", "off"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
];

/// Rows a statement loads at once.
const BLOCK: u64 = 100_000;

/// A server and the size of the table.
pub struct Setup {
    /// The server.
    pub server: Server,
    /// What it is.
    pub flavour: Flavour,
    /// What the table looks like.
    pub shape: Shape,
    /// Rows of the table.
    pub rows: u64,
}

impl Setup {
    /// Starts the server, which keeps so many MiB of its tables in memory by itself; None if it is
    /// not installed.
    pub fn open(flavour: Flavour, shape: Shape, rows: u64, buffer: u32) -> Option<Self> {
        let (settings, buffers) = match flavour {
            Flavour::MySql97 => (MYSQL, "innodb-buffer-pool-size"),
            Flavour::MariaDb1011 => (MARIADB, "innodb-buffer-pool-size"),
            Flavour::Postgres15 | Flavour::Postgres18 => (POSTGRES, "shared_buffers"),
        };
        let size = format!("{buffer}{}", if flavour.is_postgres() { "MB" } else { "M" });
        let server = Server::start(flavour, &[settings, &[(buffers, &size)]].concat())?;
        if flavour == Flavour::MySql97 {
            for statement in MYSQL_LOG_WRITERS {
                server.execute("mysql", statement).ok()?;
            }
        }
        Some(Self { server, flavour, shape, rows: shape.rows(rows) })
    }

    /// Makes the table in a fresh database: a key, an indexed number, 120 and 60 characters, the
    /// latter indexed too.
    ///
    /// # Errors
    /// What the server answered.
    pub fn make(&self, database: &str) -> Result<(), Failure> {
        let (system, is_postgres) =
            if self.flavour.is_postgres() { ("postgres", true) } else { ("mysql", false) };
        self.server.execute(system, &format!("CREATE DATABASE {database}"))?;
        let columns = self.shape.columns(is_postgres);
        let table = format!(
            "CREATE TABLE bench (k int NOT NULL, c char(120) NOT NULL, pad char(60) NOT NULL, \
             {columns})"
        );
        self.server.execute(database, &table)?;
        for skip in (0..self.rows).step_by(BLOCK as usize) {
            let last = (skip + BLOCK).min(self.rows);
            self.server.execute(database, &self.load(is_postgres, skip, last))?;
        }
        let settle: &[&str] = match is_postgres {
            true => &[
                "CREATE INDEX bench_k ON bench (k)",
                "CREATE INDEX bench_pad ON bench (pad)",
                "VACUUM (ANALYZE) bench",
                "CHECKPOINT",
            ],
            false => &[
                "ALTER TABLE bench ADD KEY bench_k (k), ADD KEY bench_pad (pad)",
                "ANALYZE TABLE bench",
            ],
        };
        for statement in settle {
            self.server.execute(database, statement)?;
        }
        Ok(())
    }

    /// Takes the database away, with whatever a competitor left in it.
    ///
    /// # Errors
    /// What the server answered.
    pub fn drop(&self, database: &str) -> Result<(), Failure> {
        let force = if self.flavour.is_postgres() { " WITH (FORCE)" } else { "" };
        let system = if self.flavour.is_postgres() { "postgres" } else { "mysql" };
        self.server.execute(system, &format!("DROP DATABASE {database}{force}")).map(drop)
    }
}

impl Setup {
    fn load(&self, is_postgres: bool, skip: u64, last: u64) -> String {
        let numbers = match is_postgres {
            true => format!("SELECT n FROM generate_series({}::bigint, {last}) AS n", skip + 1),
            false => format!(
                "WITH RECURSIVE d(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM d WHERE i < 999) \
                 SELECT {skip} + a.i * 1000 + b.i + 1 AS n FROM d a, d b WHERE a.i < 100 AND \
                 {skip} + a.i * 1000 + b.i + 1 <= {last}"
            ),
        };
        // As many characters as the columns hold, nearly; MySQL has neither md5 nor sha1 any more.
        let hash = |of: &str| match is_postgres {
            true => {
                format!("concat(md5(concat('{of}', n)), substr(md5(concat(n, '{of}')), 1, 24))")
            }
            false => format!("sha2(concat('{of}', n), 224)"),
        };
        format!(
            "INSERT INTO bench SELECT n * 7919 % 1000003, concat({}, {}), {}, {} FROM ({numbers}) \
             AS numbers ORDER BY n",
            hash("c"),
            hash("d"),
            hash("p"),
            self.shape.values("n", is_postgres)
        )
    }
}
