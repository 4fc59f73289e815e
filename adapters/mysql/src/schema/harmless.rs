//! Finds DDL of others that leaves a table's rows and columns as they are. In doubt, the answer is
//! no. What such a statement gives the table, the shadow can get later. Pure.

use crate::schema::lexer::Token;

/// Options of tables that the shadow can get, and the value that means none. They appear in the
/// statements of others and in the server's own definitions.
pub(crate) const OPTIONS: [(&str, &str); 12] = [
    ("COMMENT", "''"),
    ("STATS_PERSISTENT", "DEFAULT"),
    ("STATS_AUTO_RECALC", "DEFAULT"),
    ("STATS_SAMPLE_PAGES", "DEFAULT"),
    ("ROW_FORMAT", "DEFAULT"),
    ("KEY_BLOCK_SIZE", "0"),
    ("AVG_ROW_LENGTH", "0"),
    ("MAX_ROWS", "0"),
    ("MIN_ROWS", "0"),
    ("CHECKSUM", "0"),
    ("DELAY_KEY_WRITE", "0"),
    ("PACK_KEYS", "DEFAULT"),
];
/// Other settings that change no rows. The cut-over carries the counter.
const MEANS: [&str; 3] = ["AUTO_INCREMENT", "ALGORITHM", "LOCK"];
/// Actions on a partition's rows that do not change them.
const ON_PARTITIONS: [&str; 5] = ["ANALYZE", "CHECK", "OPTIMIZE", "REBUILD", "REPAIR"];

/// Returns whether a DDL statement certainly leaves rows, columns, and their order alone.
pub(crate) fn leaves_rows_alone(tokens: &[Token], verb: &str) -> bool {
    match verb {
        "OPTIMIZE" | "REPAIR" => true,
        "CREATE" | "DROP" => {
            let objects = [
                "TABLE", "TRIGGER", "INDEX", "UNIQUE", "FULLTEXT", "SPATIAL", "DATABASE", "SCHEMA",
            ];
            let object = tokens.iter().map(Token::keyword).find(|word| objects.contains(&&**word));
            matches!(object.as_deref(), Some("TRIGGER" | "INDEX" | "FULLTEXT" | "SPATIAL"))
        }
        "ALTER" => {
            clauses(tokens).is_some_and(|clauses| clauses.iter().all(|clause| is_harmless(clause)))
        }
        _ => false,
    }
}

/// Returns the clauses of an ALTER TABLE; None if it cannot be read.
fn clauses(tokens: &[Token]) -> Option<Vec<&[Token]>> {
    let table = tokens.iter().position(|token| token.is("TABLE"))?;
    let mut place = table + 1;
    while ["IF", "EXISTS"].contains(&&*tokens.get(place)?.keyword()) {
        place += 1;
    }
    tokens.get(place)?.name()?;
    place += if tokens.get(place + 1)?.is_sign('.') { 3 } else { 1 };
    match &*tokens.get(place)?.keyword() {
        "WAIT" => place += 2,
        "NOWAIT" => place += 1,
        _ => {}
    }
    let mut depth = 0;
    let is_between = |token: &Token| {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        depth == 0 && token.is_sign(',')
    };
    Some(tokens.get(place..)?.split(is_between).collect())
}

fn is_harmless(clause: &[Token]) -> bool {
    let word = |place: usize| clause.get(place).map(Token::keyword).unwrap_or_default();
    let has_partitions =
        clause.iter().any(|token| token.is("PARTITION") || token.is("PARTITIONING"));
    match (&*word(0), &*word(1)) {
        (verb, "PARTITION") => ON_PARTITIONS.contains(&verb),
        _ if has_partitions => false,
        ("ADD", "INDEX" | "KEY" | "FULLTEXT" | "SPATIAL") => true,
        ("DROP" | "ALTER" | "RENAME", "INDEX" | "KEY") => true,
        ("ENABLE" | "DISABLE", "KEYS") => clause.len() == 2,
        ("FORCE", _) => clause.len() == 1,
        _ => are_options(clause),
    }
}

/// Returns whether a clause has only known options: `COMMENT = 'x' ROW_FORMAT DYNAMIC`, with equals
/// signs or without.
fn are_options(clause: &[Token]) -> bool {
    let mut rest = clause;
    while let [name, tail @ ..] = rest {
        let tail =
            if tail.first().is_some_and(|token| token.is_sign('=')) { &tail[1..] } else { tail };
        let Some((value, tail)) = tail.split_first() else { return false };
        let name = name.keyword();
        let is_known = OPTIONS.iter().any(|(option, _)| *option == name) || MEANS.contains(&&*name);
        if !(is_known || (name == "ENGINE" && value.is("INNODB"))) {
            return false;
        }
        rest = tail;
    }
    !clause.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::lexer::tokens;

    fn is_left_alone(statement: &str) -> bool {
        let tokens = tokens(statement, false).unwrap();
        let verb = tokens[0].keyword();
        leaves_rows_alone(&tokens, &verb)
    }

    #[test]
    fn what_the_shadow_can_be_given_later_leaves_rows_alone() {
        for statement in [
            "OPTIMIZE NO_WRITE_TO_BINLOG TABLE a, t",
            "CREATE INDEX i ON t (a)",
            "CREATE FULLTEXT INDEX i ON t (a)",
            "CREATE DEFINER=`root`@`localhost` TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET \
             NEW.a = 1",
            "DROP INDEX i ON t",
            "ALTER TABLE t COMMENT 'x, y', STATS_PERSISTENT=0 STATS_AUTO_RECALC 1",
            "alter online table if exists s.t wait 5 add key i (a, b), drop index j, rename index \
             k to l",
            "ALTER TABLE t ALTER INDEX i INVISIBLE, ALGORITHM=INPLACE, LOCK=NONE",
            "ALTER TABLE t FORCE",
            "ALTER TABLE t ENGINE=InnoDB, ROW_FORMAT=DYNAMIC, AUTO_INCREMENT = 1000",
            "ALTER TABLE t DISABLE KEYS",
            "ALTER TABLE t REBUILD PARTITION p",
        ] {
            assert!(is_left_alone(statement), "{statement}");
        }
    }

    #[test]
    fn whatever_may_change_rows_or_columns_does_not() {
        for statement in [
            "ALTER TABLE t ADD COLUMN c INT",
            "ALTER TABLE t ADD c INT",
            "ALTER TABLE t COMMENT 'x', MODIFY a BIGINT",
            "ALTER TABLE t ADD UNIQUE KEY (a)",
            "ALTER TABLE t DROP COLUMN a",
            "ALTER TABLE t DROP PRIMARY KEY",
            "ALTER TABLE t ADD INDEX (a) PARTITION BY HASH (a)",
            "ALTER TABLE t TRUNCATE PARTITION p",
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
            "ALTER TABLE t ENGINE=MyISAM",
            "ALTER TABLE t RENAME TO u",
            "ALTER TABLE t RENAME COLUMN a TO b",
            "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4",
            "ALTER TABLE t COMMENT",
            "ALTER TABLE t",
            "CREATE UNIQUE INDEX i ON t (a)",
            "CREATE TABLE c (a INT REFERENCES t (a), INDEX (a))",
            "DROP TABLE t",
            "TRUNCATE t",
            "RENAME TABLE t TO u",
        ] {
            assert!(!is_left_alone(statement), "{statement}");
        }
    }
}
