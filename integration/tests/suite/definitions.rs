//! Definitions that the server spells otherwise after every ALTER: texts of other character sets
//! inside expressions.

use altergeist_integration::altergeist_process::run;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

/// What a CHECK, a generated column and an index over an expression say, byte by byte.
const SAID: &str = "SELECT CONCAT_WS('|', (SELECT GROUP_CONCAT(HEX(c.CHECK_CLAUSE) ORDER BY \
                    c.CHECK_CLAUSE) FROM information_schema.TABLE_CONSTRAINTS t JOIN \
                    information_schema.CHECK_CONSTRAINTS c ON c.CONSTRAINT_SCHEMA = \
                    t.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME WHERE \
                    t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = n.name), (SELECT \
                    GROUP_CONCAT(HEX(GENERATION_EXPRESSION) ORDER BY ORDINAL_POSITION) FROM \
                    information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = \
                    n.name), (SELECT GROUP_CONCAT(CONCAT(INDEX_NAME, HEX(COALESCE(EXPRESSION, \
                    ''))) ORDER BY INDEX_NAME) FROM information_schema.STATISTICS WHERE \
                    TABLE_SCHEMA = DATABASE() AND TABLE_NAME = n.name))";

#[test]
fn mysql_literals_of_other_charsets_are_carried_to_the_byte() {
    let Some(server) = Server::start(Flavour::MySql97, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let said = |table: &str| {
        server.query(DATABASE, &format!("{SAID} FROM (SELECT '{table}' name) n")).unwrap()
    };
    for (charset, letter) in
        [("latin1", "é"), ("gbk", "誠"), ("utf16", "é"), ("utf8mb3", "é"), ("utf8mb4", "é")]
    {
        for table in ["t", "twin"] {
            let create = format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, b VARCHAR(60), g VARCHAR(70) AS \
                 (CONCAT(b, '{letter}')), KEY (b), KEY f ((CONCAT(b, '{letter}'))), CONSTRAINT \
                 {table}_known CHECK (b <> '{letter}')) CHARSET {charset}"
            );
            server.execute(DATABASE, &create).unwrap();
            server
                .execute(
                    DATABASE,
                    &format!("INSERT INTO {table} (id, b) VALUES (1, 'a'), (2, 'it''s')"),
                )
                .unwrap();
        }
        let alter = format!(
            "ADD COLUMN status VARCHAR(20) NOT NULL DEFAULT 'new', ADD CONSTRAINT CHECK (status \
             IN ('new', '{letter}', 'it''s'))"
        );
        run(&url, "t", &alter, &["--strategy", "copy"]).must_be(0);
        server.execute(DATABASE, &format!("ALTER TABLE twin {alter}, ALGORITHM=COPY")).unwrap();
        // Only another ALTER makes the server spell the new CHECK in the table's character set.
        for table in ["t", "twin"] {
            server.execute(DATABASE, &format!("ALTER TABLE {table} COMMENT 'settled'")).unwrap();
        }
        assert_eq!(said("t"), said("twin"), "{charset}");
        let refused =
            server.execute(DATABASE, &format!("INSERT INTO t (id, b) VALUES (3, '{letter}')"));
        assert_eq!(refused.unwrap_err().code, "3819", "{charset}");
        server
            .execute(DATABASE, &format!("INSERT INTO t (id, status) VALUES (3, '{letter}')"))
            .unwrap();
        server.execute(DATABASE, "DROP TABLE t, twin, _t_ag_old").unwrap();
    }
}
