//! The way back on PostgreSQL, driven through the contract: a swap that can be reverted, writes to
//! the altered table, and the swap back. Rows and definitions are what they must be.

use altergeist_contract::{
    ChangeStream, Chunk, Cutover, Engine, Hold, Journal, Key, Ownership, Position, Preflight,
    Record, Reversal, Shadow, Stage, Strategy, Swap, TableLock, Target, Watermark,
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
            poll_log: self.story.name == "renamed",
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
        let plan = engine.plan().await.expect("the change can be planned");
        assert!(!plan.is_refused(), "{}: {:?}", self.story.name, plan.findings);
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
    alter: "ADD COLUMN extra int NOT NULL DEFAULT 7, DROP COLUMN gone, \
            ALTER COLUMN amount TYPE bigint, ALTER COLUMN exact TYPE numeric, \
            ALTER COLUMN day TYPE date, ALTER COLUMN note TYPE text",
    reverse_sets: &[],
    meanwhile: &[
        "BEGIN; UPDATE t SET u = -u WHERE id < 3; UPDATE t SET u = id % 2 + 1 WHERE id < 3; COMMIT",
        "UPDATE t SET was = 'changed', extra = 1 WHERE id = 3",
        "DELETE FROM t WHERE id = 4",
        "INSERT INTO t (id, u, amount, exact, day, was, note) \
            VALUES (10, 10, 10, 1.5, '2021-02-03', 'x', 'y')",
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

const HUNG: &str = "CREATE TABLE parent (id int PRIMARY KEY);
    INSERT INTO parent SELECT generate_series(1, 9);
    CREATE TABLE t (id serial PRIMARY KEY, p int REFERENCES parent (id), a int NOT NULL CHECK (a < 1000),
        q int REFERENCES parent (id), note text DEFAULT 'n');
    CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t (id) ON DELETE CASCADE);
    INSERT INTO t (p, a, q) SELECT n, n, n FROM generate_series(1, 9) n;
    INSERT INTO child VALUES (1, 1), (2, 2);
    CREATE INDEX t_a ON t (a DESC);
    CREATE STATISTICS t_stats ON p, a FROM t;
    CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY, what text);
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.log (what) VALUES (TG_OP); RETURN NULL; END $$;
    CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION noted();
    CREATE TRIGGER of_a AFTER UPDATE OF a ON t FOR EACH ROW WHEN (OLD.a <> NEW.a) EXECUTE FUNCTION noted();
    CREATE VIEW v AS SELECT id, a, note FROM t WHERE a > 0;
    CREATE MATERIALIZED VIEW m AS SELECT a, count(*) AS n FROM t GROUP BY a;
    CREATE UNIQUE INDEX m_a ON m (a);
    ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY positive ON t USING (a > 0);
    CREATE RULE kept AS ON DELETE TO t WHERE OLD.id = 9 DO INSTEAD NOTHING;
    CREATE PUBLICATION pub FOR TABLE t (id, a);
    GRANT SELECT ON t TO PUBLIC;
    COMMENT ON TABLE t IS 'kept'; COMMENT ON COLUMN t.q IS 'gone for a while'";

const HUNG_ROWS: &str = "SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM child),
    (SELECT string_agg(id || ':' || a || ':' || coalesce(q::text, '-'), ' ' ORDER BY id) FROM t),
    (SELECT count(*) FROM v), (SELECT count(*) FROM m), nextval('t_id_seq')";

const DROPPED: Story = Story {
    name: "dropped",
    before: HUNG,
    alter: "DROP COLUMN q, ADD COLUMN x int, DROP CONSTRAINT t_a_check, \
            ADD CONSTRAINT t_x FOREIGN KEY (x) REFERENCES parent (id), \
            ADD CONSTRAINT t_checked CHECK (x > 0)",
    reverse_sets: &[],
    meanwhile: &[
        "INSERT INTO t (p, a, x) VALUES (1, 10, 2)",
        "UPDATE t SET a = 20 WHERE id = 1",
        "DELETE FROM t WHERE id = 2",
        "INSERT INTO child VALUES (100, 10)",
        "UPDATE t SET a = 2000 WHERE id = 3",
    ],
    misfits: &[("check t_a_check", 1)],
    mended: &["UPDATE t SET a = 30 WHERE id = 3"],
    rows: (HUNG_ROWS, &["8 2 1:20:1 3:30:3 4:4:4 5:5:5 6:6:6 7:7:7 8:8:8 9:9:9 10:10:- 9 9 11"]),
    tidied: "",
};

const RENAMED: Story = Story {
    name: "renamed",
    before: HUNG,
    alter: "RENAME COLUMN a TO b",
    reverse_sets: &[],
    meanwhile: &[
        "UPDATE t SET b = 30 WHERE id = 3",
        "CREATE VIEW later AS SELECT id, b FROM t",
        "CREATE TRIGGER later AFTER INSERT ON t FOR EACH ROW WHEN (NEW.b > 5) \
            EXECUTE FUNCTION noted()",
    ],
    misfits: &[],
    mended: &[],
    rows: (HUNG_ROWS, &["2 2 1:1:1 2:2:2 3:30:3 4:4:4 5:5:5 6:6:6 7:7:7 8:8:8 9:9:9 9 9 10"]),
    tidied: "DROP VIEW later; DROP TRIGGER later ON t",
};

/// A serial becomes an identity; the primary key moves to another column.
const NUMBERS: Story = Story {
    name: "numbers",
    before:
        "CREATE TABLE t (id serial PRIMARY KEY, code text NOT NULL UNIQUE, price numeric(8, 2));
        INSERT INTO t (code, price) SELECT 'c' || n, n FROM generate_series(1, 3) n",
    alter: "DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (code), ALTER COLUMN id DROP DEFAULT, \
            ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY, \
            ALTER COLUMN price TYPE int USING (price * 100)::int",
    reverse_sets: &[("price", "price / 100.0")],
    meanwhile: &[
        "INSERT INTO t (code, price) VALUES ('d', 450), ('e', 500)",
        "UPDATE t SET code = 'c9', price = 925 WHERE code = 'c3'",
        "INSERT INTO t (id, code, price) VALUES (4, 'f', 1)",
    ],
    misfits: &[("unique index t_pkey", 1)],
    mended: &["DELETE FROM t WHERE code = 'd'"],
    rows: (
        "SELECT id, code, price, (SELECT nextval('t_id_seq') WHERE id = 5) FROM t ORDER BY id",
        &["1 c1 1.00 NULL", "2 c2 2.00 NULL", "3 c9 9.25 NULL", "4 f 0.01 NULL", "5 e 5.00 6"],
    ),
    tidied: "",
};

/// The new primary key is a column that the old table lacks: another key identifies rows for a
/// while.
const SURROGATE: Story = Story {
    name: "surrogate",
    before: "CREATE TABLE t (code text PRIMARY KEY, n int);
        INSERT INTO t SELECT 'c' || n, n FROM generate_series(1, 3) n",
    alter: "DROP CONSTRAINT t_pkey, ADD UNIQUE (code), \
            ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY, ADD PRIMARY KEY (id)",
    reverse_sets: &[],
    meanwhile: &[
        "INSERT INTO t (code, n) VALUES ('d', 4)",
        "UPDATE t SET code = 'e' WHERE code = 'c1'",
        "DELETE FROM t WHERE code = 'c2'",
    ],
    misfits: &[],
    mended: &[],
    rows: ("SELECT code, n FROM t ORDER BY code", &["c3 3", "d 4", "e 1"]),
    tidied: "",
};

/// A partition of another table, whose bound the server need not prove again.
const PARTITION: Story = Story {
    name: "partition",
    before: "CREATE TABLE whole (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);
        CREATE TABLE t PARTITION OF whole FOR VALUES FROM (0) TO (1000);
        CREATE TABLE other PARTITION OF whole FOR VALUES FROM (1000) TO (2000);
        INSERT INTO whole SELECT n, n FROM generate_series(1, 3) n",
    alter: "ADD CONSTRAINT positive CHECK (a > 0)",
    reverse_sets: &[],
    meanwhile: &["INSERT INTO whole VALUES (4, 4)", "UPDATE whole SET id = 1001 WHERE id = 1"],
    misfits: &[],
    mended: &[],
    rows: (
        "SELECT tableoid::regclass, id FROM whole ORDER BY id",
        &["t 2", "t 3", "t 4", "other 1001"],
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
    undone_on(Flavour::Postgres15, &[COLUMNS, DROPPED, RENAMED, NUMBERS, SURROGATE, PARTITION]);
}

#[test]
fn a_swap_on_postgresql_18_can_be_undone_and_nothing_is_lost() {
    undone_on(Flavour::Postgres18, &[COLUMNS, DROPPED, RENAMED, NUMBERS, SURROGATE, PARTITION]);
}
