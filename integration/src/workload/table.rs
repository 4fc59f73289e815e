//! The table of the workload: how it is made on the server, and what every loaded row is.

use std::collections::HashMap;

use crate::session::{Failure, Session, block_on};

/// The columns of the table; writers and row check name them, so a column more does not disturb.
pub const COLUMNS: [&str; 5] = ["id", "k", "u", "c", "pad"];

/// Loaded keys are this far apart, so that the application can insert between them.
pub(super) const STEP: i64 = 10;

/// Keys at the end of the table: one such range for every writer.
pub(super) const TAIL: i64 = 1_000_000_000;

/// A table made by [`Table::load`]: `id` is its key, `u` is unique and may be NULL, `k` and `pad`
/// have an index each.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name, as SQL would have it.
    pub name: String,
    /// How many rows it was loaded with.
    pub rows: u64,
}

impl Table {
    /// Creates and fills `name`, all on the server.
    ///
    /// # Errors
    /// What the server answered.
    pub fn load(url: &str, name: &str, rows: u64) -> Result<Self, Failure> {
        let table = Self { name: name.to_owned(), rows };
        block_on(async {
            let mut session = Session::connect(url).await?;
            session.execute(&table.creation()).await?;
            for block in 0..rows.div_ceil(100_000) {
                session.execute(&table.insertion(session.is_postgres(), block * 100_000)).await?;
            }
            for sql in table.indexes(session.is_postgres()) {
                session.execute(&sql).await?;
            }
            Ok(table)
        })
    }

    fn creation(&self) -> String {
        let name = &self.name;
        format!(
            "CREATE TABLE {name} (id bigint NOT NULL PRIMARY KEY, k int NOT NULL, u bigint, \
             c varchar(120) NOT NULL, pad varchar(60) NOT NULL)"
        )
    }

    /// Up to 100,000 rows after the first `skip`.
    fn insertion(&self, postgres: bool, skip: u64) -> String {
        let name = &self.name;
        let last = (skip + 100_000).min(self.rows);
        let numbers = match postgres {
            true => format!(
                "SELECT n * {STEP} AS id FROM generate_series({}::bigint, {last}) AS n",
                skip + 1
            ),
            false => format!(
                "WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 999) \
                 SELECT ({skip} + a.n * 1000 + b.n + 1) * {STEP} AS id FROM d a, d b \
                 WHERE a.n < 100 AND {skip} + a.n * 1000 + b.n + 1 <= {last}"
            ),
        };
        let [k, u, c, pad] = loaded_values();
        format!(
            "INSERT INTO {name} (id, k, u, c, pad) SELECT id, {k}, {u}, {c}, {pad} FROM \
             ({numbers}) AS loaded ORDER BY id"
        )
    }

    fn indexes(&self, postgres: bool) -> Vec<String> {
        let name = &self.name;
        let plain = name.rsplit('.').next().unwrap_or(name);
        if postgres {
            vec![
                format!("CREATE UNIQUE INDEX {plain}_u ON {name} (u)"),
                format!("CREATE INDEX {plain}_k ON {name} (k)"),
                format!("CREATE INDEX {plain}_pad ON {name} (pad)"),
                format!("ANALYZE {name}"),
            ]
        } else {
            vec![
                format!(
                    "ALTER TABLE {name} ADD UNIQUE {plain}_u (u), ADD KEY {plain}_k (k), ADD KEY \
                     {plain}_pad (pad)"
                ),
                format!("ANALYZE TABLE {name}"),
            ]
        }
    }

    /// The row that `id` was loaded as, if it was.
    pub(super) fn loaded(&self, id: i64) -> Option<Row> {
        let was_loaded = id % STEP == 0 && (1..=self.rows as i64).contains(&(id / STEP));
        was_loaded.then(|| Row {
            k: id * 7919 % 1_000_003,
            u: Some(id),
            c: format!("{id:c>100}"),
            pad: format!("{id:p>50}"),
        })
    }
}

/// The values of a loaded row in SQL, in the order `k u c pad`; [`Table::loaded`] in Rust.
pub(super) fn loaded_values() -> [&'static str; 4] {
    [
        "id * 7919 % 1000003",
        "id",
        "lpad(CAST(id AS char(20)), 100, 'c')",
        "lpad(CAST(id AS char(20)), 50, 'p')",
    ]
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) k: i64,
    pub(super) u: Option<i64>,
    pub(super) c: String,
    pub(super) pad: String,
}

pub(super) async fn rows_where(
    session: &mut Session,
    table: &str,
    condition: &str,
) -> Result<HashMap<i64, Row>, Failure> {
    let rows =
        session.rows(&format!("SELECT id, k, u, c, pad FROM {table} WHERE {condition}")).await?;
    Ok(rows.into_iter().map(parse).collect())
}

fn parse(row: Vec<Option<String>>) -> (i64, Row) {
    let mut values = row.into_iter();
    let mut next = || values.next().flatten();
    let number = |text: String| text.parse::<i64>().expect("the column is a number");
    let id = next().map(number).expect("the key is not NULL");
    let k = next().map(number).expect("k is not NULL");
    let u = next().map(number);
    let c = next().expect("c is not NULL");
    let pad = next().expect("pad is not NULL");
    (id, Row { k, u, c, pad })
}

pub(super) fn list(ids: impl IntoIterator<Item = i64>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}
