//! The way back on PostgreSQL, driven through the contract: a swap that can be reverted, writes to
//! the altered table, and the swap back. Rows and definitions are what they must be.

use altergeist_contract::{
    ChangeStream, Chunk, Cutover, Engine, Hold, Journal, Key, Ownership, Position, Record,
    Reversal, Shadow, Stage, Strategy, Swap, TableLock, Target, Watermark,
};
use altergeist_integration::servers::{Flavour, Server};
use altergeist_integration::session::Session;
use altergeist_postgres::Postgres;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// One change, and what happens while it can be undone.
struct Story {
    name: &'static str,
    before: &'static str,
    alter: &'static str,
    reverse_sets: &'static [(&'static str, &'static str)],
    /// Statements on the altered table.
    meanwhile: &'static [&'static str],
    /// The misfits then.
    misfits: &'static [(&'static str, u64)],
    /// Statements after which every row fits again.
    mended: &'static [&'static str],
    /// A query, and its rows at the end.
    rows: (&'static str, &'static [&'static str]),
    /// A statement that drops it before the comparison.
    tidied: &'static str,
}

const WHOLE: Chunk = Chunk { after: Watermark::Start, through: Watermark::End };

struct Run<'a> {
    server: &'a Server,
    story: &'a Story,
    database: String,
}

impl Run<'_> {
    async fn execute(&self, statement: &str) {
        let mut session =
            Session::connect(&self.server.url(&self.database)).await.expect("it is up");
        let done = session.execute(statement).await;
        done.unwrap_or_else(|failure| panic!("{}: {statement}: {failure}", self.story.name));
    }

    async fn rows(&self, query: &str) -> Vec<String> {
        let mut session =
            Session::connect(&self.server.url(&self.database)).await.expect("it is up");
        let rows = session.rows(query).await.unwrap_or_else(|failure| panic!("{query}: {failure}"));
        let text = |row: &Vec<Option<String>>| {
            let values = row.iter().map(|value| value.clone().unwrap_or_else(|| "NULL".into()));
            values.collect::<Vec<_>>().join(" ")
        };
        rows.iter().map(text).collect()
    }

    fn dump(&self) -> String {
        self.server.dump(&self.database, &["altergeist", "ag_*"])
    }

    /// Connects another process's engine. One that undoes the change knows only the table.
    async fn engine(&self, alter: &str) -> Postgres {
        let target = Target {
            url: self.server.url(&self.database),
            table: "t".into(),
            alter: alter.into(),
            strategy: Strategy::Copy,
            workers: 2,
            lock_timeout: Duration::from_secs(5),
            reversible: !alter.is_empty(),
            reverse_sets: (self.story.reverse_sets.iter().filter(|_| !alter.is_empty()))
                .map(|(column, value)| ((*column).into(), (*value).into()))
                .collect(),
            ..Target::default()
        };
        let engine = Postgres::connect(&target).await.expect("the engine can connect");
        let deadline = Instant::now() + Duration::from_secs(10);
        while engine.hold().await.expect("the lock can be asked for") != Hold::Taken {
            assert!(Instant::now() < deadline, "a dead process holds the table");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        engine
    }

    /// The first swap. Returns the engine, and the position under its lock.
    async fn swapped(&self) -> (Postgres, Position) {
        let engine = self.engine(self.story.alter).await;
        engine.save(&record(Stage::Preparing)).await.expect("the record can be saved");
        let from = engine.open_log().await.expect("the log can be opened");
        engine.create().await.unwrap_or_else(|error| panic!("{}: {error}", self.story.name));
        engine.save(&record(Stage::Copying)).await.expect("the record can be saved");
        let mut stream = engine.follow(&from).await.expect("the log can be followed");
        engine.copy(&WHOLE).await.expect("the rows can be copied");
        engine.complete(false).await.expect("the indexes can be built");
        let position = self.cut_over(&engine, &mut stream).await;
        assert_eq!(engine.ownership().await.expect("it is known"), Ownership::Shadow);
        engine.settle().await.expect("the table can be settled");
        (engine, position)
    }

    /// Locks, drains and swaps. Returns the position under the lock.
    async fn cut_over(&self, engine: &Postgres, stream: &mut impl ChangeStream) -> Position {
        let locked = engine.lock(Duration::from_secs(5)).await;
        let mut lock = locked.unwrap_or_else(|error| panic!("{}: {error}", self.story.name));
        let mark = lock.mark().await.expect("a mark can be put");
        let (mut keys, mut at) = (Vec::new(), None);
        while at.as_ref().is_none_or(|(marker, _)| *marker < mark) {
            let changes = next(stream).await;
            keys.extend(changes.keys);
            at = Some((changes.marker, changes.position));
        }
        lock.refresh(&keys).await.expect("the last rows can be refreshed");
        lock.check_stream().await.unwrap_or_else(|error| panic!("{}: {error}", self.story.name));
        match lock.swap().await {
            Swap::Done => at.expect("the mark has passed").1,
            other => panic!("{}: {other:?}", self.story.name),
        }
    }

    /// Refreshes what changed until now.
    async fn catch_up(
        &self,
        engine: &Postgres,
        stream: &mut impl ChangeStream,
    ) -> BTreeSet<String> {
        let mark = engine.mark().await.expect("a mark can be put");
        let (mut keys, mut marker) = (Vec::<Key>::new(), None);
        while marker.is_none_or(|marker| marker < mark) {
            let changes = next(stream).await;
            if changes.emptied {
                engine.clear().await.expect("the old table can be emptied");
                keys.clear();
            }
            for key in changes.keys {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            marker = Some(changes.marker);
        }
        if engine.refresh(&keys, &Watermark::End).await.is_err() {
            engine.refresh_each(&keys).await.expect("rows that fit can be refreshed");
        }
        let blocked = engine.blocked_misfits(100).await.expect("misfits can be listed");
        engine.refresh_each(&blocked).await.expect("misfits can be tried again");
        let found = engine.compare(&WHOLE).await;
        let found = found.unwrap_or_else(|error| panic!("{}: {error}", self.story.name));
        assert_eq!(found.differing.len(), 0, "{}: rows differ", self.story.name);
        engine.check_stream().await.unwrap_or_else(|error| panic!("{}: {error}", self.story.name));
        let misfits = engine.misfits().await.expect("misfits can be counted");
        misfits.iter().map(|it| format!("{} {}", it.object, it.rows)).collect()
    }

    async fn told(&self) {
        println!("{} on {}", self.story.name, self.server.flavour().name());
        self.execute(self.story.before).await;
        let before = self.dump();
        let (engine, position) = self.swapped().await;
        let engine = engine.turn_around().await.expect("the engine can turn around");
        let mut stream = engine.follow(&position).await.expect("the log goes on");
        for statement in self.story.meanwhile {
            self.execute(statement).await;
        }
        let expected: BTreeSet<String> =
            self.story.misfits.iter().map(|(object, rows)| format!("{object} {rows}")).collect();
        assert_eq!(self.catch_up(&engine, &mut stream).await, expected, "{}", self.story.name);
        // Another process, on another host perhaps, goes on from the cut-over's position.
        drop(stream);
        drop(engine);
        let engine = self.engine("").await.turn_around().await.expect("anybody can turn around");
        let mut stream = engine.follow(&position).await.expect("the log is still there");
        assert_eq!(self.catch_up(&engine, &mut stream).await, expected, "{}", self.story.name);
        for statement in self.story.mended {
            self.execute(statement).await;
        }
        if !self.story.mended.is_empty() {
            let left = self.catch_up(&engine, &mut stream).await;
            assert_eq!(left, BTreeSet::new(), "{}", self.story.name);
        }
        assert_eq!(engine.ownership().await.expect("it is known"), Ownership::Source);
        self.cut_over(&engine, &mut stream).await;
        assert_eq!(engine.ownership().await.expect("it is known"), Ownership::Shadow);
        engine.finish().await.expect("the way back can be finished");
        engine.finish().await.expect("it can be finished again");
        if !self.story.tidied.is_empty() {
            self.execute(self.story.tidied).await;
        }
        assert_eq!(self.dump(), before, "{}", self.story.name);
        let (query, rows) = self.story.rows;
        assert_eq!(self.rows(query).await, rows, "{}", self.story.name);
        let logs = "SELECT pubname FROM pg_publication WHERE pubname LIKE 'altergeist%'
            UNION ALL SELECT slot_name FROM pg_replication_slots WHERE database = current_database()";
        assert_eq!(self.rows(logs).await, [""; 0], "{}", self.story.name);
    }
}

async fn next(stream: &mut impl ChangeStream) -> altergeist_contract::Changes {
    let soon = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
    soon.expect("the stream passes a mark soon").expect("the log can be read")
}

fn record(stage: Stage) -> Record {
    serde_json::from_value(serde_json::json!({
        "run": "reversal", "alter": "", "stage": stage, "watermark": "End", "position": null,
        "rows_copied": 0, "rows_estimated": 0, "started_at_seconds": 1, "updated_at_seconds": 1,
        "holder": "a test",
    }))
    .expect("the record can be written")
}

const COLUMNS: Story = Story {
    name: "columns",
    before: "CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL UNIQUE, amount int, exact numeric(8, 2),
            day timestamp, was text, gone text DEFAULT 'new', note varchar(20));
        INSERT INTO t SELECT n, n, n, n, '2020-01-01 12:34:56', 'w' || n, 'g' || n, 'n' FROM generate_series(1, 9) n",
    alter: "ADD COLUMN extra int NOT NULL DEFAULT 7, DROP COLUMN gone, ALTER COLUMN amount TYPE bigint, \
            ALTER COLUMN exact TYPE numeric, ALTER COLUMN day TYPE date, ALTER COLUMN note TYPE text",
    reverse_sets: &[],
    meanwhile: &[
        "BEGIN; UPDATE t SET u = -u WHERE id < 3; UPDATE t SET u = id % 2 + 1 WHERE id < 3; COMMIT",
        "UPDATE t SET was = 'changed', extra = 1 WHERE id = 3",
        "DELETE FROM t WHERE id = 4",
        "INSERT INTO t (id, u, amount, exact, day, was, note) VALUES (10, 10, 10, 1.5, '2021-02-03', 'x', 'y')",
        "UPDATE t SET amount = 5000000000 WHERE id = 5",
        "UPDATE t SET exact = 0.125 WHERE id = 6",
        "UPDATE t SET note = repeat('z', 21), was = 'too long' WHERE id = 7",
        "UPDATE t SET id = 80 WHERE id = 8",
        "UPDATE t SET day = '2022-02-02' WHERE id = 9",
        "INSERT INTO t (id, u, amount) VALUES (11, 11, 5000000000)",
    ],
    misfits: &[("column amount or exact or day or note", 4)],
    mended: &[
        "UPDATE t SET amount = 6 WHERE id = 5",
        "UPDATE t SET exact = 0.5 WHERE id = 6",
        "UPDATE t SET note = 'short' WHERE id = 7",
        "DELETE FROM t WHERE id = 11",
    ],
    rows: (
        "SELECT * FROM t ORDER BY id",
        &[
            "1 2 1 1.00 2020-01-01 12:34:56 w1 g1 n",
            "2 1 2 2.00 2020-01-01 12:34:56 w2 g2 n",
            "3 3 3 3.00 2020-01-01 12:34:56 changed g3 n",
            "5 5 6 5.00 2020-01-01 12:34:56 w5 g5 n",
            "6 6 6 0.50 2020-01-01 12:34:56 w6 g6 n",
            "7 7 7 7.00 2020-01-01 12:34:56 too long g7 short",
            "9 9 9 9.00 2022-02-02 00:00:00 w9 g9 n",
            "10 10 10 1.50 2021-02-03 00:00:00 x new y",
            "80 8 8 8.00 2020-01-01 00:00:00 w8 new n",
        ],
    ),
    tidied: "",
};

fn undone_on(flavour: Flavour, stories: &[Story]) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    for story in stories {
        let database = format!("r_{}", story.name);
        server.execute("app", &format!("CREATE DATABASE {database}")).expect("it can be made");
        runtime.block_on(Run { server: &server, story, database }.told());
    }
}

#[test]
fn a_swap_on_postgresql_15_can_be_undone_and_nothing_is_lost() {
    undone_on(Flavour::Postgres15, &[COLUMNS]);
}

#[test]
fn a_swap_on_postgresql_18_can_be_undone_and_nothing_is_lost() {
    undone_on(Flavour::Postgres18, &[COLUMNS]);
}
