//! The old table follows the altered one after the swap, and comes back as it was, on MySQL and
//! MariaDB. The engine is driven by hand, one step after the other.

use std::collections::HashSet;
use std::time::Duration;

use altergeist_contract::{
    ChangeStream, Chunk, Cutover, Engine, Hold, Key, Kind, Misfits, Ownership, Position, Preflight,
    Reversal, Severity, Shadow, Strategy, Swap, TableLock, Target, Watermark,
};
use altergeist_integration::servers::{Flavour, Server};
use altergeist_integration::session::Session;
use altergeist_mysql::MySql;

const WHOLE: Chunk = Chunk { after: Watermark::Start, through: Watermark::End };

/// One change that is made and undone.
struct Undo<'a> {
    server: &'a Server,
    table: &'a str,
    alter: &'a str,
    reverse_sets: &'a [(&'a str, &'a str)],
}

impl Undo<'_> {
    /// Connects as a process does that has the command line of the run.
    async fn engine(&self) -> MySql {
        let sets = self.reverse_sets.iter();
        self.connect(Target {
            alter: self.alter.into(),
            reversible: true,
            reverse_sets: sets.map(|(column, set)| ((*column).into(), (*set).into())).collect(),
            ..Target::default()
        })
        .await
    }

    /// Connects as `revert` does on another host.
    async fn stranger(&self) -> MySql {
        self.connect(Target::default()).await
    }

    async fn connect(&self, target: Target) -> MySql {
        let target = Target {
            url: self.server.url("app"),
            table: self.table.into(),
            strategy: Strategy::Copy,
            workers: 2,
            lock_timeout: Duration::from_secs(5),
            ..target
        };
        MySql::connect(&target).await.expect("the engine can connect")
    }

    fn write(&self, statements: &[&str]) {
        for statement in statements {
            let done = self.server.execute("app", statement);
            done.unwrap_or_else(|failure| panic!("{statement}: {failure}"));
        }
    }

    fn rows(&self, query: &str) -> Vec<String> {
        let rows = self.server.query("app", query);
        let rows = rows.unwrap_or_else(|failure| panic!("{query}: {failure}"));
        let cell = |cell: &Option<String>| cell.clone().unwrap_or("NULL".into());
        rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect()
    }

    /// The definitions of these tables and of all triggers, without counters.
    fn definitions(&self, tables: &[&str]) -> String {
        let mut all = String::new();
        for table in tables {
            let shown = self.rows(&format!("SHOW CREATE TABLE {table}")).join("\n");
            for line in shown.lines() {
                let counter = line.split(' ').find(|word| word.starts_with("AUTO_INCREMENT="));
                all += &line.replace(counter.unwrap_or("\0"), "");
                all += "\n";
            }
        }
        let triggers = "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT, ACTION_ORDER \
                        FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'app' ORDER BY 1";
        all + &self.rows(triggers).join("\n")
    }

    /// Copies the table and swaps it. Returns the engine and the position of the cut-over.
    async fn swapped(&self) -> (MySql, Position) {
        let engine = self.engine().await;
        assert_eq!(engine.hold().await.expect("the run lock is free"), Hold::Taken);
        let plan = engine.plan().await.expect("the change can be planned");
        assert!(!plan.is_refused(), "{:?}", plan.findings);
        let position = engine.open_log().await.expect("the log can be opened");
        engine.create().await.expect("the shadow can be made");
        let mut stream = engine.follow(&position).await.expect("the log can be followed");
        engine.copy(&WHOLE).await.expect("the table can be copied");
        engine.complete(false).await.expect("indexes can be built");
        let position = swap(&engine, &mut stream).await;
        engine.settle().await.expect("the swap can be completed");
        (engine, position)
    }
}

/// Swaps source and shadow, whichever they are. Returns the position that was noted under the lock.
async fn swap(engine: &MySql, stream: &mut <MySql as Engine>::Stream) -> Position {
    let mut lock = engine.lock(Duration::from_secs(5)).await.expect("the lock can be had");
    let mark = lock.mark().await.expect("a mark can be put");
    let (keys, position) = until(stream, mark).await;
    lock.refresh(&keys).await.expect("the last keys can be refreshed");
    lock.check_stream().await.expect("the log is complete");
    match lock.swap().await {
        Swap::Done => position,
        other => panic!("{other:?}"),
    }
}

async fn until(
    stream: &mut <MySql as Engine>::Stream,
    mark: altergeist_contract::Marker,
) -> (Vec<Key>, Position) {
    let mut keys = HashSet::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        let changes = next.expect("a mark passes").expect("the log can be read");
        keys.extend(changes.keys);
        if changes.marker >= mark {
            let mut keys: Vec<Key> = keys.into_iter().collect();
            keys.sort_by_key(|key| key.columns().concat());
            return (keys, changes.position);
        }
    }
}

/// Refreshes what has changed, as the core does.
async fn follow_up(engine: &MySql, stream: &mut <MySql as Engine>::Stream) {
    let mark = engine.mark().await.expect("a mark can be put");
    let (keys, _) = until(stream, mark).await;
    match engine.refresh(&keys, &Watermark::End).await {
        Ok(()) => {}
        Err(error) if matches!(error.kind, Kind::Fatal | Kind::Stale { .. }) => {
            engine.refresh_each(&keys).await.expect("rows that fit can be refreshed");
        }
        Err(error) => panic!("{error}"),
    }
    engine.check_stream().await.expect("the log is complete");
}

/// Ends misfits that fit meanwhile, and proves both tables equal but for the others.
async fn prove(engine: &MySql) -> Vec<Misfits> {
    let blocked = engine.blocked_misfits(100).await.expect("misfits can be listed");
    engine.refresh_each(&blocked).await.expect("rows that fit can be refreshed");
    let found = engine.compare(&WHOLE).await.expect("the tables can be compared");
    assert_eq!(found.differing.len(), 0, "rows differ");
    engine.misfits().await.expect("misfits can be counted")
}

fn misfit(object: &str, rows: u64) -> Misfits {
    Misfits { object: object.into(), rows }
}

fn on(flavour: Flavour, test: impl AsyncFnOnce(&Server)) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    tokio::runtime::Runtime::new().expect("threads can be had").block_on(test(&server));
}

/// Columns are dropped, renamed, widened and added, a unique index and a CHECK go. The application
/// writes what fits and what does not.
async fn a_change_is_undone_with_every_row(server: &Server) {
    let undo = Undo {
        server,
        table: "t",
        alter: "DROP COLUMN note, DROP COLUMN place, CHANGE name title VARCHAR(40) CHARACTER SET \
                utf8mb4, MODIFY amount BIGINT NOT NULL, MODIFY at DATETIME(3), ADD COLUMN extra \
                INT, DROP KEY email",
        reverse_sets: &[("place", "CONCAT(amount, '!')")],
    };
    undo.write(&[
        "CREATE TABLE p (id INT PRIMARY KEY)",
        "INSERT INTO p VALUES (1), (2)",
        "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
         name VARCHAR(10) CHARACTER SET latin1, \
         amount INT NOT NULL, note VARCHAR(20) NOT NULL DEFAULT 'none', place VARCHAR(20), \
         email VARCHAR(20), u INT NOT NULL, at DATETIME, \
         twice INT GENERATED ALWAYS AS (u * 2) STORED, p_id INT NOT NULL DEFAULT 1, \
         UNIQUE KEY u (u), UNIQUE KEY email (email), KEY by_name (name), \
         CONSTRAINT to_p FOREIGN KEY (p_id) REFERENCES p (id)) COMMENT 'it''s'",
        "CREATE TABLE c (id INT PRIMARY KEY, t_id INT, CONSTRAINT to_t FOREIGN KEY (t_id) \
         REFERENCES t (id) ON DELETE CASCADE)",
        "CREATE TRIGGER before_t BEFORE UPDATE ON t FOR EACH ROW SET NEW.p_id = 2",
        "INSERT INTO t (id, name, amount, note, place, email, u, at) VALUES \
         (1, 'a', 1, 'one', 'here', 'a@b', 1, '2020-01-01 00:00:01'), \
         (2, 'b', 2, 'two', 'there', 'b@b', 2, NULL), (3, NULL, 3, 'three', NULL, 'c@b', 3, NULL), \
         (4, 'd', 4, 'four', '', 'd@b', 4, NULL), (5, 'e', 5, 'five', '', NULL, 5, NULL)",
        "INSERT INTO c VALUES (1, 1), (2, 2)",
    ]);
    let before = undo.definitions(&["t", "p", "c"]);
    let (engine, position) = undo.swapped().await;
    let engine = engine.turn_around().await.expect("the engine can be turned around");
    let mut stream = engine.follow(&position).await.expect("the altered table can be followed");
    undo.write(&[
        "UPDATE t SET u = -u WHERE id IN (1, 2)",
        "UPDATE t SET u = IF(id = 1, 2, 1), title = 'new' WHERE id IN (1, 2)",
        "DELETE FROM t WHERE id = 3",
        "INSERT INTO t (title, amount, u, extra) VALUES ('f', 6, 6, 7)",
        "UPDATE t SET id = 40 WHERE id = 4",
    ]);
    follow_up(&engine, &mut stream).await;
    assert_eq!(prove(&engine).await, []);
    // Too long, too big, a letter that latin1 lacks, a fraction of a second, the same e-mail twice.
    undo.write(&[
        "UPDATE t SET title = REPEAT('x', 11), u = 11 WHERE id = 1",
        "INSERT INTO t (title, amount, u) VALUES ('g', 3000000000, 8), ('Ω', 1, 9)",
        "UPDATE t SET at = '2020-01-01 00:00:02.5' WHERE id = 2",
        "INSERT INTO t (title, amount, u, email) VALUES ('h', 7, 2, 'b@b'), ('i', 7, 12, 'z@b')",
        "UPDATE t SET email = 'z@b' WHERE id = 5",
    ]);
    follow_up(&engine, &mut stream).await;
    let found = prove(&engine).await;
    let old = "SELECT id, name, u FROM _t_ag_old ORDER BY id";
    assert_eq!(
        undo.rows(old),
        ["1|new|2", "2|new|1", "5|e|5", "6|f|6", "40|d|4", "44|i|12"],
        "{found:?}"
    );
    assert_eq!(
        found,
        [
            misfit("column amount", 1),
            misfit("column at", 1),
            misfit("column name", 2),
            misfit("unique index email", 1),
            misfit("unique index u", 1),
        ]
    );
    undo.write(&[
        "UPDATE t SET title = 'short' WHERE id = 1",
        "DELETE FROM t WHERE amount = 3000000000 OR title = 'Ω'",
        "UPDATE t SET at = '2020-01-01 00:00:02', email = NULL WHERE id = 2",
        "DELETE FROM t WHERE title = 'i'",
    ]);
    follow_up(&engine, &mut stream).await;
    assert_eq!(prove(&engine).await, []);
    // Another host goes on.
    drop((engine, stream));
    let engine = undo.stranger().await;
    assert_eq!(engine.hold().await.expect("the run lock is free"), Hold::Taken);
    let engine = engine.turn_around().await.expect("another process can turn around");
    let mut stream = engine.follow(&position).await.expect("the altered table can be followed");
    undo.write(&[
        "INSERT INTO t (title, amount, u) VALUES ('j', 8, 20)",
        "DELETE FROM t WHERE title = 'j'",
    ]);
    follow_up(&engine, &mut stream).await;
    assert_eq!(prove(&engine).await, []);
    // Rows that exchanged a unique value come together, whichever of them is known.
    undo.write(&[
        "UPDATE t SET u = -1 WHERE id = 5",
        "UPDATE t SET u = 5 WHERE id = 6",
        "UPDATE t SET u = 6 WHERE id = 5",
    ]);
    let mark = engine.mark().await.expect("a mark can be put");
    let (keys, _) = until(&mut stream, mark).await;
    engine.refresh_each(&keys[..1]).await.expect("rows can be refreshed");
    let old = "SELECT id, u FROM _t_ag_old WHERE id IN (5, 6) ORDER BY id";
    assert_eq!(undo.rows(old), ["5|6", "6|5"]);
    assert_eq!(prove(&engine).await, []);
    undo.write(&["UPDATE t SET amount = 50 WHERE id = 5"]);
    swap(&engine, &mut stream).await;
    assert_eq!(engine.ownership().await.expect("it can be asked"), Ownership::Shadow);
    engine.finish().await.expect("the way back can be finished");
    assert_eq!(undo.definitions(&["t", "p", "c"]), before);
    assert_eq!(
        undo.rows(
            "SELECT id, name, amount, note, place, email, u, at, twice, p_id FROM t ORDER BY id"
        ),
        [
            "1|short|1|one|here|a@b|11|2020-01-01 00:00:01|22|2",
            "2|new|2|two|there|NULL|1|2020-01-01 00:00:02|2|2",
            "5|e|50|five||z@b|6|NULL|12|2",
            "6|f|6|none|6!|NULL|5|NULL|10|2",
            "40|d|4|none|4!|d@b|4|NULL|8|2",
            "43|h|7|none|7!|b@b|2|NULL|4|1",
        ]
    );
    assert_eq!(undo.rows("SELECT id, t_id FROM c"), ["1|1", "2|2"]);
    undo.write(&["INSERT INTO t (name, amount, u) VALUES ('k', 1, 100)"]);
    let next: u32 = undo.rows("SELECT id FROM t WHERE u = 100")[0].parse().expect("a number");
    assert!(next > 44, "a number was given again: {next}");
    undo.write(&["DELETE FROM t WHERE id = 1"]);
    assert_eq!(undo.rows("SELECT id FROM c"), ["2"], "the foreign key acts");
    let left = undo.rows("SHOW TABLES LIKE '%misfits'");
    assert!(left.is_empty(), "{left:?}");
}

/// Foreign keys are added and dropped, and the key moves to another place. Other sessions give the
/// altered table an index and a trigger.
async fn what_hangs_on_the_table_comes_back(server: &Server) {
    let undo = Undo {
        server,
        table: "k",
        alter: "DROP FOREIGN KEY k_ibfk_1, DROP KEY p_id, ADD CONSTRAINT k_q FOREIGN KEY (q_id) \
                REFERENCES q (id), MODIFY id BIGINT NOT NULL FIRST, DROP CHECK positive",
        reverse_sets: &[],
    };
    let undo = match server.flavour() {
        Flavour::MariaDb1011 => Undo {
            alter: "DROP FOREIGN KEY k_ibfk_1, DROP KEY p_id, ADD CONSTRAINT k_q FOREIGN KEY \
                    (q_id) REFERENCES q (id), MODIFY id BIGINT NOT NULL FIRST, DROP CONSTRAINT \
                    positive",
            ..undo
        },
        _ => undo,
    };
    undo.write(&[
        "CREATE TABLE q (id INT PRIMARY KEY)",
        "INSERT INTO q VALUES (1), (2)",
        "CREATE TABLE k (body TEXT, q_id INT, p_id INT, id INT NOT NULL, v INT, PRIMARY KEY (id), \
         FULLTEXT KEY words (body), FOREIGN KEY (p_id) REFERENCES q (id), \
         CONSTRAINT positive CHECK (v > 0))",
        "INSERT INTO k VALUES ('a b', 1, 1, 1, 1), ('c', 2, 2, 2, 2)",
    ]);
    let before = undo.definitions(&["k", "q"]);
    let (engine, position) = undo.swapped().await;
    let engine = engine.turn_around().await.expect("the engine can be turned around");
    let mut stream = engine.follow(&position).await.expect("the altered table can be followed");
    undo.write(&[
        "INSERT INTO k (id, body, q_id, p_id, v) VALUES (3, 'lorem', 1, 77, 3), (4, 'x', 1, 1, -4)",
        "UPDATE k SET id = 5000000000 WHERE id = 2",
        "CREATE INDEX late ON k (v)",
        "CREATE TRIGGER after_k AFTER INSERT ON k FOR EACH ROW SET @k = 1",
    ]);
    follow_up(&engine, &mut stream).await;
    let expected = [misfit("CHECK constraint positive", 1), misfit("column id", 1)];
    assert_eq!(prove(&engine).await, expected);
    undo.write(&["UPDATE k SET v = 4 WHERE id = 4", "UPDATE k SET id = 2 WHERE id = 5000000000"]);
    follow_up(&engine, &mut stream).await;
    assert_eq!(prove(&engine).await, []);
    let orphaned = engine.lock(Duration::from_secs(5)).await;
    let error = orphaned.err().expect("a row has no parent under the key that comes back");
    assert!(error.kind == Kind::Refused && error.attempted.contains("k_ibfk_1"), "{error}");
    undo.write(&["UPDATE k SET p_id = 2 WHERE id = 3"]);
    follow_up(&engine, &mut stream).await;
    swap(&engine, &mut stream).await;
    engine.finish().await.expect("the way back can be finished");
    let after = undo.definitions(&["k", "q"]);
    let added = ["  KEY `late` (`v`),\n", "after_k|k|SET @k = 1|1"];
    assert!(added.iter().all(|added| after.contains(added)), "{after}");
    let after = added.iter().fold(after, |after, added| after.replace(added, ""));
    let before = before.replace("before_t|t|SET NEW.p_id = 2|1", "");
    assert_eq!(after.replace("\nbefore_t|t|SET NEW.p_id = 2|1", "").trim(), before.trim());
    let words = "SELECT id FROM k WHERE MATCH (body) AGAINST ('lorem')";
    assert_eq!(undo.rows(words), ["3"]);
    assert_eq!(
        undo.rows("SELECT id, q_id, p_id, v FROM k ORDER BY id"),
        ["1|1|1|1", "2|2|2|2", "3|1|2|3", "4|1|1|4"]
    );
}

/// While rows are refreshed the application goes on exchanging their unique values with others. The
/// rows go back as they were at one moment, and none is in another's way.
async fn rows_of_one_moment_go_back_together(server: &Server) {
    let alter = "ADD COLUMN w INT, DROP COLUMN note, MODIFY v BIGINT";
    let undo = Undo { server, table: "m", alter, reverse_sets: &[] };
    undo.write(&[
        "CREATE TABLE m (id INT PRIMARY KEY, u INT NOT NULL UNIQUE, v INT, x INT DEFAULT (u + 1), \
         twice INT GENERATED ALWAYS AS (u * 2) STORED, hidden INT DEFAULT 5 INVISIBLE, note INT, \
         kind ENUM('a', 'b') NOT NULL DEFAULT 'b', at TIMESTAMP NOT NULL DEFAULT \
         CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)",
        "INSERT INTO m (id, u, v, note) VALUES (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3), (4, 4, 4, \
         4)",
    ]);
    let (engine, position) = undo.swapped().await;
    let engine = engine.turn_around().await.expect("the engine can be turned around");
    let mut stream = engine.follow(&position).await.expect("the altered table can be followed");
    undo.write(&[
        "UPDATE m SET u = -u WHERE id IN (1, 2)",
        "UPDATE m SET u = IF(id = 1, 2, 1) WHERE id IN (1, 2)",
    ]);
    let mark = engine.mark().await.expect("a mark can be put");
    let (keys, _) = until(&mut stream, mark).await;
    let mut other = Session::connect(&server.url("app")).await.expect("a session can be had");
    other.execute("BEGIN").await.expect("it can begin");
    other.rows("SELECT * FROM _m_ag_old WHERE id = 1 FOR UPDATE").await.expect("a row is locked");
    let exchange = async {
        let waiting = "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = \
                       'LOCK WAIT'";
        for _ in 0..200 {
            if undo.rows(waiting) != ["0"] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        undo.write(&["UPDATE m SET u = -3 WHERE id = 3", "UPDATE m SET u = 3 WHERE id = 1"]);
        other.execute("ROLLBACK").await.expect("the row is free again");
    };
    let (refreshed, ()) = tokio::join!(engine.refresh_each(&keys), exchange);
    refreshed.expect("the rows can be refreshed");
    assert_eq!(engine.misfits().await.expect("misfits can be counted"), []);
    assert_eq!(undo.rows("SELECT id, u FROM _m_ag_old ORDER BY id"), ["1|2", "2|1", "3|3", "4|4"]);
    follow_up(&engine, &mut stream).await;
    assert_eq!(prove(&engine).await, []);
    assert_eq!(undo.rows("SELECT id, u FROM _m_ag_old ORDER BY id"), ["1|3", "2|1", "3|-3", "4|4"]);
    engine.finish().await.expect("the change can be finished");
}

/// The time ends: the change stays, and nothing of the way back is left.
async fn a_way_back_that_is_not_taken_leaves_nothing(server: &Server) {
    let undo = Undo { server, table: "e", alter: "ADD COLUMN w INT", reverse_sets: &[] };
    undo.write(&[
        "CREATE TABLE e (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 3",
        "INSERT INTO e VALUES (1, 1), (2, 2)",
        "CREATE TRIGGER before_e BEFORE INSERT ON e FOR EACH ROW SET NEW.v = 9",
    ]);
    let (engine, position) = undo.swapped().await;
    let after = undo.definitions(&["e"]);
    let engine = engine.turn_around().await.expect("the engine can be turned around");
    let mut stream = engine.follow(&position).await.expect("the altered table can be followed");
    undo.write(&["INSERT INTO e VALUES (3, 3, 3)"]);
    follow_up(&engine, &mut stream).await;
    let lock = engine.lock(Duration::from_secs(5)).await.expect("the lock can be had");
    lock.release().await.expect("the lock can be released");
    drop((engine, stream));
    let engine = undo.engine().await;
    assert_eq!(engine.hold().await.expect("the run lock is free"), Hold::Taken);
    engine.finish().await.expect("the change can be finished");
    assert_eq!(undo.definitions(&["e"]), after);
    assert_eq!(undo.rows("SELECT * FROM _e_ag_old ORDER BY id"), ["1|1", "2|2", "3|9"]);
    assert_eq!(undo.rows("SHOW TABLES LIKE '%e_ag_%'"), ["_e_ag_old"]);
    assert!(undo.rows("SELECT * FROM _altergeist_beat WHERE source = 'e'").is_empty());
}

/// What the plan refuses, by name.
async fn what_cannot_be_undone_is_refused(server: &Server) {
    let refused = async |table, alter, sets: &[(&str, &str)]| {
        let undo = Undo { server, table, alter, reverse_sets: sets };
        let plan = undo.engine().await.plan().await.expect("the change can be planned");
        let errors = plan.findings.iter().filter(|it| it.severity == Severity::Error);
        errors.map(|it| format!("{} {}", it.code.name(), it.object)).collect::<Vec<_>>()
    };
    let undo = Undo { server, table: "r", alter: "", reverse_sets: &[] };
    undo.write(&["CREATE TABLE r (id INT PRIMARY KEY, a INT NOT NULL UNIQUE, g POINT NOT NULL)"]);
    let none: &[(&str, &str)] = &[];
    let text = "MODIFY id VARCHAR(20) NOT NULL, DROP KEY a";
    assert_eq!(refused("r", text, none).await, ["not-revertible key PRIMARY (id)"]);
    assert_eq!(refused("r", "DROP g", none).await, ["not-revertible column g"]);
    assert_eq!(refused("r", "DROP g", &[("g", "POINT(id, a)")]).await, [""; 0]);
    for wrong in [("a", "1"), ("g", "nothing(1)")] {
        let found = refused("r", "DROP g", &[wrong]).await;
        assert!(found.contains(&format!("not-revertible --reverse-set {}", wrong.0)), "{found:?}");
    }
    undo.write(&["CREATE TABLE rc (id INT PRIMARY KEY, r_id INT, CONSTRAINT acts FOREIGN KEY \
                  (r_id) REFERENCES r (id) ON DELETE CASCADE)"]);
    let expected: &[&str] = match server.flavour() {
        Flavour::MariaDb1011 => &["not-revertible foreign key acts (app.rc to app.r)"],
        _ => &[],
    };
    assert_eq!(refused("rc", "ADD COLUMN w INT", none).await, expected);
}

async fn all(server: &Server) {
    a_change_is_undone_with_every_row(server).await;
    what_hangs_on_the_table_comes_back(server).await;
    rows_of_one_moment_go_back_together(server).await;
    a_way_back_that_is_not_taken_leaves_nothing(server).await;
    what_cannot_be_undone_is_refused(server).await;
}

#[test]
fn a_change_is_undone_on_mysql() {
    on(Flavour::MySql97, all);
}

#[test]
fn a_change_is_undone_on_mariadb() {
    on(Flavour::MariaDb1011, all);
}
