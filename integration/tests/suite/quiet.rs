//! A table that nobody writes to is copied without reading the log. What is written unseen all the
//! same is found by the proof.

use altergeist_integration::altergeist_process::{Ended, start};
use altergeist_integration::every_postgres;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

const ALTER: &str = "ALTER COLUMN a TYPE bigint";
/// The copy takes longer than the server may be late in counting.
const SLOWLY: [&str; 6] = ["--workers", "1", "--chunk-rows", "20", "--nice", "5"];

/// Copies a table, and does something to it when the copy has begun. Gives what the tool said, and
/// whether it passed over the log.
fn copied(flavour: Flavour, meanwhile: Option<&str>) -> Option<(Ended, bool)> {
    let server = Server::start(flavour, &[])?;
    let execute = |statement: &str| server.execute(DATABASE, statement).unwrap();
    execute("CREATE TABLE t (id int PRIMARY KEY, a int)");
    execute("INSERT INTO t SELECT i, i % 7 FROM generate_series(1, 5000) i");
    let mut running = start(&server.url(DATABASE), "t", ALTER, &SLOWLY);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(200));
    if let Some(statement) = meanwhile {
        execute(statement);
    }
    execute("CREATE TABLE expected AS SELECT * FROM t");
    let ended = running.wait().must_be(0);
    let differing = "SELECT count(*)::text FROM ((TABLE t EXCEPT TABLE expected) UNION ALL (TABLE \
                     expected EXCEPT TABLE t)) d";
    assert_eq!(
        server.query(DATABASE, differing).unwrap()[0][0].as_deref(),
        Some("0"),
        "{}",
        ended.output
    );
    let record = server.query(DATABASE, "SELECT record FROM altergeist.journal").unwrap()[0][0]
        .clone()
        .unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let passed = record["passed_log"].as_bool().unwrap();
    Some((ended, passed))
}

fn a_quiet_table_is_copied_without_reading_the_log(flavour: Flavour) {
    let Some((ended, passed)) = copied(flavour, None) else { return };
    assert!(passed, "{}", ended.output);
}

fn the_log_is_read_from_its_beginning_when_the_first_write_is_counted(flavour: Flavour) {
    let Some((ended, passed)) = copied(flavour, Some("UPDATE t SET a = 100 WHERE id IN (3, 4900)"))
    else {
        return;
    };
    assert!(!passed, "{}", ended.output);
}

/// A session that has its writes not counted shows nobody that the table is not quiet.
fn what_is_written_uncounted_has_the_table_copied_again(flavour: Flavour) {
    let uncounted = "SET track_counts = off; UPDATE t SET a = 100 WHERE id = 3; DELETE FROM t \
                     WHERE id = 4; UPDATE t SET id = 20000 WHERE id = 5; INSERT INTO t VALUES (-1, \
                     1)";
    let Some((ended, passed)) = copied(flavour, Some(uncounted)) else { return };
    let ended = ended.must_say(&["copies the table again"]);
    assert!(!passed, "{}", ended.output);
}

fn a_table_emptied_uncounted_is_copied_again(flavour: Flavour) {
    let uncounted = "SET track_counts = off; TRUNCATE t; INSERT INTO t SELECT i, 8 FROM \
                     generate_series(1, 5000) i";
    let Some((ended, passed)) = copied(flavour, Some(uncounted)) else { return };
    let ended = ended.must_say(&["copies the table again"]);
    assert!(!passed, "{}", ended.output);
}

every_postgres!(
    a_quiet_table_is_copied_without_reading_the_log,
    the_log_is_read_from_its_beginning_when_the_first_write_is_counted,
    what_is_written_uncounted_has_the_table_copied_again,
    a_table_emptied_uncounted_is_copied_again,
);
