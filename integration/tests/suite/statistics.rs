//! Statistics that somebody asked for are there after the swap, and are those of the new rows.

use altergeist_integration::altergeist_process::run;
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

every_server!(histograms_and_persistent_statistics_are_carried,);

fn histograms_and_persistent_statistics_are_carried(flavour: Flavour) {
    if flavour.is_postgres() {
        return;
    }
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let execute = |sql: &str| server.query(DATABASE, sql).map(|_| ()).unwrap();
    execute("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, c INT, KEY ka (a))");
    execute("INSERT INTO t VALUES (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3)");
    let (kept, wanted) = if flavour == Flavour::MySql97 {
        execute("ANALYZE TABLE t UPDATE HISTOGRAM ON a WITH 16 BUCKETS");
        execute("ANALYZE TABLE t UPDATE HISTOGRAM ON b, c WITH 32 BUCKETS AUTO UPDATE");
        let kept = "SELECT GROUP_CONCAT(CONCAT(COLUMN_NAME, \
                    HISTOGRAM->>'$.\"number-of-buckets-specified\"', \
                    HISTOGRAM->>'$.\"auto-update\"') ORDER BY 1) FROM \
                    information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = DATABASE() AND \
                    TABLE_NAME = 't'";
        (kept, "a16false,renamed32true")
    } else {
        execute("ANALYZE TABLE t PERSISTENT FOR COLUMNS (a, b, c) INDEXES (ka, PRIMARY)");
        let kept = "SELECT CONCAT((SELECT GROUP_CONCAT(column_name ORDER BY 1) FROM \
                    mysql.column_stats WHERE db_name = DATABASE() AND table_name = 't'), ';', \
                    (SELECT GROUP_CONCAT(DISTINCT index_name ORDER BY 1) FROM mysql.index_stats \
                    WHERE db_name = DATABASE() AND table_name = 't'))";
        (kept, "a,renamed;PRIMARY,ka")
    };
    let alter = "RENAME COLUMN b TO renamed, DROP COLUMN c, ADD d INT";
    run(&server.url(DATABASE), "t", alter, &["--strategy", "copy"]).must_be(0);
    assert_eq!(server.query(DATABASE, kept).unwrap(), [[Some(wanted.to_owned())]]);
}
