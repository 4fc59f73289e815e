//! Settings of the server that would change what it prints, reads or finds: every session of ours
//! sets what it depends on.

use altergeist_integration::altergeist_process::{command, run};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

every_server!(hostile_settings_change_nothing,);

const BOTH: [&str; 20] = [
    "sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES'",
    "sql_mode = \
     'PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION,REAL_AS_FLOAT'",
    "sql_mode = 'NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
    "sql_mode = 'ANSI'",
    "sql_mode = 'TRADITIONAL,ALLOW_INVALID_DATES'",
    "sql_mode = ''",
    "sql_quote_show_create = 0",
    "sql_safe_updates = 1",
    "sql_select_limit = 1",
    "sql_auto_is_null = 1",
    "completion_type = 'RELEASE'",
    "autocommit = 0",
    "max_error_count = 0",
    "foreign_key_checks = 0",
    "unique_checks = 0",
    "lc_messages = 'de_DE'",
    "group_concat_max_len = 4",
    "div_precision_increment = 0",
    "wait_timeout = 5",
    "innodb_lock_wait_timeout = 1",
];
const MYSQL: [&str; 10] = [
    "transaction_isolation = 'SERIALIZABLE'",
    "show_gipk_in_create_table_and_information_schema = OFF",
    "sql_generate_invisible_primary_key = ON",
    "sql_require_primary_key = ON",
    "transaction_read_only = 1",
    "max_execution_time = 1",
    "default_storage_engine = 'MyISAM'",
    "innodb_strict_mode = OFF",
    "binlog_rows_query_log_events = ON",
    "explicit_defaults_for_timestamp = OFF",
];
const MARIADB: [&str; 9] = [
    "tx_isolation = 'SERIALIZABLE'",
    "sql_mode = 'ORACLE'",
    "sql_mode = 'EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL'",
    "tx_read_only = 1",
    "alter_algorithm = 'COPY'",
    "default_storage_engine = 'Aria'",
    "idle_transaction_timeout = 1",
    "check_constraint_checks = 0",
    "max_statement_time = 0.5",
];

fn hostile_settings_change_nothing(flavour: Flavour) {
    if flavour.is_postgres() {
        return;
    }
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let only: &[&str] = if flavour == Flavour::MySql97 { &MYSQL } else { &MARIADB };
    let defaults = |name: &str| {
        server.query(DATABASE, &format!("SELECT @@global.{name}")).unwrap()[0][0].clone().unwrap()
    };
    server.execute(DATABASE, "CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB").unwrap();
    server.execute(DATABASE, "INSERT INTO p VALUES (1), (2)").unwrap();
    for setting in BOTH.iter().chain(only) {
        let name = setting.split(' ').next().expect("a setting has a name");
        let was = defaults(name);
        for table in ["t", "twin"] {
            let create = format!(
                "CREATE TABLE {table} (a INT NOT NULL, `select` CHAR(9) NOT NULL DEFAULT 'it''s', \
                 pid INT, d DATETIME(3), g INT AS (a + 1) STORED, PRIMARY KEY (a, `select`), KEY \
                 (pid), CONSTRAINT {table}_pos CHECK (a > -9 AND `select` <> 'no'), CONSTRAINT \
                 {table}_p FOREIGN KEY (pid) REFERENCES p (id)) ENGINE=InnoDB COMMENT 'it''s \
                 \"quoted\"'"
            );
            server.execute(DATABASE, &create).unwrap();
            let rows = format!(
                "INSERT INTO {table} (a, `select`, pid, d) VALUES (0, 'x', 1, NULL), (1, 'y', 2, \
                 '2024-01-02 03:04:05.678'), (2, '', NULL, NULL)"
            );
            server.execute(DATABASE, &rows).unwrap();
        }
        server.execute(DATABASE, &format!("SET GLOBAL {setting}")).unwrap();
        let alter = "MODIFY d DATETIME, ADD note VARCHAR(9) NOT NULL DEFAULT 'a'";
        let ended = run(&url, "t", alter, &["--strategy", "copy"]);
        let back = if was.parse::<f64>().is_ok() { was } else { format!("'{was}'") };
        server.execute(DATABASE, &format!("SET GLOBAL {name} = {back}")).unwrap();
        assert_eq!(ended.code, Some(0), "{setting}: {}", ended.output);
        server.execute(DATABASE, &format!("ALTER TABLE twin {alter}")).unwrap();
        let same = "SELECT COUNT(*) FROM t JOIN twin USING (a, `select`) WHERE t.pid <=> twin.pid \
                    AND t.d <=> twin.d AND t.g = twin.g AND t.note = twin.note";
        if !setting.contains("ROUND_FRACTIONAL") {
            assert_eq!(
                server.query(DATABASE, same).unwrap(),
                [[Some("3".to_owned())]],
                "{setting}"
            );
        }
        let keys = "SELECT COUNT(*) FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA \
                    = DATABASE() AND TABLE_NAME = 't'";
        assert_eq!(server.query(DATABASE, keys).unwrap(), [[Some("3".to_owned())]], "{setting}");
        command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
        server.execute(DATABASE, "DROP TABLE t, twin").unwrap();
    }
}
