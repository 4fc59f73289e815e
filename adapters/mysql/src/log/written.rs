//! Finds the tables that a statement in the log has written, as far as its text shows. Pure.
//!
//! The log may hold a statement as text instead of rows. Such a statement may have changed the
//! source. It did not if three things hold. Its text shows all tables that it writes. It calls
//! nothing that could write. And the server says that none of these tables reaches the source by
//! triggers, views or foreign keys ([`crate::log::indirect_writes`] asks). If the text is not
//! certain, the answer is None and the run ends.

use crate::schema::lexer::{Token, tokens};
use crate::server::names::TableName;

/// Words that may be before a parenthesis, and the server's own functions that write nothing. The
/// server prefers its own functions to stored ones of the same name. So a listed name is never a
/// stored function.
const KNOWN: &str = " ABS ACOS ADDDATE ADDTIME ALL AND ANY AS ASCII ASIN ATAN ATAN2 AVG BETWEEN \
                     BIN BINARY BIT_AND BIT_COUNT BIT_LENGTH BIT_OR BIT_XOR BY CASE CAST CEIL \
                     CEILING CHAR CHARACTER_LENGTH CHAR_LENGTH COALESCE CONCAT CONCAT_WS \
                     CONNECTION_ID CONV CONVERT CONVERT_TZ COS COT COUNT CRC32 CURDATE \
                     CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURTIME DATABASE \
                     DATE DATEDIFF DATETIME DATE_ADD DATE_FORMAT DATE_SUB DAY DAYNAME DAYOFMONTH \
                     DAYOFWEEK DAYOFYEAR DECIMAL DEFAULT DEGREES DENSE_RANK DISTINCT DIV ELSE ELT \
                     EXISTS EXP EXTRACT FIELD FIND_IN_SET FIRST_VALUE FLOAT FLOOR FORMAT FROM \
                     FROM_DAYS FROM_UNIXTIME GREATEST GROUP_CONCAT HAVING HEX HOUR IF IFNULL IN \
                     INDEX INET6_ATON INET6_NTOA INET_ATON INET_NTOA INSERT INSTR INTERVAL ISNULL \
                     JOIN JSON_ARRAY JSON_CONTAINS JSON_EXTRACT JSON_INSERT JSON_LENGTH \
                     JSON_MERGE_PATCH JSON_OBJECT JSON_QUOTE JSON_REMOVE JSON_REPLACE JSON_SET \
                     JSON_UNQUOTE JSON_VALID JSON_VALUE KEY LAG LAST_DAY LAST_INSERT_ID LAST_VALUE \
                     LCASE LEAD LEAST LEFT LENGTH LIKE LIMIT LN LOCALTIME LOCALTIMESTAMP LOCATE \
                     LOG LOG10 LOG2 LOWER LPAD LTRIM MAKEDATE MAKETIME MAX MD5 MICROSECOND MID MIN \
                     MINUTE MOD MONTH MONTHNAME NOT NOW NTH_VALUE NTILE NULLIF OCT OCTET_LENGTH ON \
                     OR ORD OVER PARTITION PERCENT_RANK PERIOD_ADD PERIOD_DIFF PI POSITION POW \
                     POWER QUARTER QUOTE RADIANS RAND RANDOM_BYTES RANK REGEXP REGEXP_INSTR \
                     REGEXP_LIKE REGEXP_REPLACE REGEXP_SUBSTR REPEAT REPLACE REVERSE RIGHT RLIKE \
                     ROUND ROW ROW_NUMBER RPAD RTRIM SECOND SEC_TO_TIME SELECT SESSION_USER SET \
                     SHA SHA1 SHA2 SIGN SIGNED SIN SOUNDEX SPACE SQRT STD STDDEV STRCMP \
                     STR_TO_DATE SUBDATE SUBSTR SUBSTRING SUBSTRING_INDEX SUBTIME SUM SYSDATE \
                     SYSTEM_USER TAN THEN TIME TIMEDIFF TIMESTAMP TIMESTAMPADD TIMESTAMPDIFF \
                     TIME_FORMAT TIME_TO_SEC TO_BASE64 TO_DAYS TO_SECONDS TRIM TRUNCATE UCASE \
                     UNHEX UNION UNIX_TIMESTAMP UNSIGNED UPPER USER USING UTC_DATE UTC_TIME \
                     UTC_TIMESTAMP UUID UUID_SHORT VALUES VALUE VARIANCE VERSION WEEK WEEKDAY \
                     WEEKOFYEAR WHEN WHERE XOR YEAR YEARWEEK FROM_BASE64 EXCEPT INTERSECT \
                     BIN_TO_UUID UUID_TO_BIN ";

/// Returns the tables that a statement has written, for the schema it ran in. None if the text does
/// not show that.
pub(crate) fn tables_written(statement: &str, schema: &str) -> Option<Vec<TableName>> {
    let written = read(statement, schema)?;
    // The session that wrote it may read backslashes in another way. Only a result that is the same
    // both ways is certain.
    let same = !statement.contains('\\') || read(&statement.replace('\\', "/"), schema)? == written;
    same.then_some(written)
}

fn read(statement: &str, schema: &str) -> Option<Vec<TableName>> {
    let tokens = tokens(statement, false).ok()?;
    let verb = tokens.first()?.keyword();
    let place = match &*verb {
        "INSERT" | "REPLACE" => {
            after(&tokens, 1, &["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"])
        }
        "DELETE" => after_from(&tokens)?,
        "UPDATE" => after(&tokens, 1, &["LOW_PRIORITY", "IGNORE"]),
        "LOAD" => after_into_table(&tokens)?,
        _ => return None,
    };
    let (first, next) = name_at(&tokens, place, schema)?;
    let mut written = vec![first];
    match &*verb {
        "DELETE"
            if !is_single(
                &tokens,
                next,
                &["WHERE", "ORDER", "LIMIT", "RETURNING", "PARTITION"],
            ) =>
        {
            return None;
        }
        "UPDATE" => written.extend(joined(&tokens, next, schema)?),
        _ => {}
    }
    calls_only_known(&tokens, place, next).then_some(written)
}

/// Returns the place behind words that may be here.
fn after(tokens: &[Token], mut place: usize, words: &[&str]) -> usize {
    while tokens.get(place).is_some_and(|token| words.contains(&&*token.keyword())) {
        place += 1;
    }
    place
}

fn after_from(tokens: &[Token]) -> Option<usize> {
    let place = after(tokens, 1, &["LOW_PRIORITY", "QUICK", "IGNORE"]);
    tokens.get(place)?.is("FROM").then_some(place + 1)
}

fn after_into_table(tokens: &[Token]) -> Option<usize> {
    let place = tokens.windows(2).position(|pair| pair[0].is("INTO") && pair[1].is("TABLE"))?;
    Some(place + 2)
}

/// Returns a table's name, and the place behind it.
fn name_at(tokens: &[Token], place: usize, schema: &str) -> Option<(TableName, usize)> {
    let first = tokens.get(place)?.name()?;
    if !tokens.get(place + 1).is_some_and(|token| token.is_sign('.')) {
        return (!schema.is_empty()).then(|| (TableName::new(schema, first), place + 1));
    }
    Some((TableName::new(first, tokens.get(place + 2)?.name()?), place + 3))
}

/// Returns whether a DELETE has one table: its name, perhaps an alias, and then one of these words,
/// or nothing.
fn is_single(tokens: &[Token], next: usize, words: &[&str]) -> bool {
    let ends =
        |place: usize| tokens.get(place).is_none_or(|token| words.contains(&&*token.keyword()));
    let alias = next + usize::from(tokens.get(next).is_some_and(|token| token.is("AS")));
    ends(next) || (tokens.get(alias).is_some_and(|token| token.name().is_some()) && ends(alias + 1))
}

/// Returns the other tables of an UPDATE: it may have written each of them. A subquery among them
/// gives None.
fn joined(tokens: &[Token], mut place: usize, schema: &str) -> Option<Vec<TableName>> {
    let mut found = Vec::new();
    loop {
        let token = tokens.get(place)?;
        place += 1;
        match &*token.keyword() {
            "SET" => return Some(found),
            "SELECT" | "VALUES" | "LATERAL" | "WITH" => return None,
            "JOIN" | "STRAIGHT_JOIN" => {}
            _ if token.is_sign(',') => {}
            _ => continue,
        }
        let (name, next) = name_at(tokens, place, schema)?;
        found.push(name);
        place = next;
    }
}

/// Returns whether the statement calls no stored function. The table's own name may be before a
/// parenthesis too.
fn calls_only_known(tokens: &[Token], target: usize, behind_target: usize) -> bool {
    (1..tokens.len()).filter(|place| tokens[*place].is_sign('(')).all(|place| {
        let is_target = place == behind_target && place > target;
        let is_qualified = place > 1 && tokens[place - 2].is_sign('.');
        let known = |word: &str| KNOWN.contains(&format!(" {} ", word.to_uppercase()));
        match &tokens[place - 1] {
            _ if is_target => true,
            Token::Word(word) => !is_qualified && known(word),
            Token::Name(_) | Token::Text(_) => false,
            Token::Sign(_) => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(statement: &str) -> Option<String> {
        let tables = tables_written(statement, "s")?;
        Some(tables.iter().map(TableName::plain).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn one_table_is_told() {
        for (statement, tables) in [
            ("INSERT INTO other VALUES (1)", "s.other"),
            ("insert ignore into `d`.`other` (a, b) values (1, now())", "d.other"),
            (
                "REPLACE INTO percona.checksums (db, tbl) SELECT 'a', COUNT(*), \
                 CRC32(CONCAT_WS('#', `id`)) FROM `a`.`b` FORCE INDEX (`PRIMARY`)",
                "percona.checksums",
            ),
            ("UPDATE LOW_PRIORITY other AS o SET a = 1 WHERE b IN (1, 2)", "s.other"),
            ("DELETE FROM d.other WHERE a = 1", "d.other"),
            ("DELETE QUICK FROM other o WHERE a = 1", "s.other"),
            ("DELETE FROM other", "s.other"),
            ("UPDATE a JOIN d.b ON a.x = b.x, c SET a.y = 1", "s.a d.b s.c"),
            ("LOAD DATA LOCAL INFILE 'x' INTO TABLE `o` FIELDS TERMINATED BY '\\t' (`a`)", ""),
            ("LOAD DATA INFILE 'x' REPLACE INTO TABLE `d`.`o`", "d.o"),
            ("/* x */ INSERT INTO other SET a = 'it\\'s'", ""),
            ("INSERT INTO other SET a = 'a\\\\b'", "s.other"),
        ] {
            assert_eq!(written(statement).unwrap_or_default(), tables, "{statement}");
        }
    }

    #[test]
    fn what_could_write_more_is_not_told() {
        for statement in [
            "INSERT INTO other VALUES (f(1))",
            "INSERT INTO other VALUES (`now`(1))",
            "INSERT INTO other VALUES (d.now(1))",
            "INSERT INTO other (a) SELECT f (b) FROM c",
            "UPDATE other, (SELECT f(1)) x SET a = 1",
            "DELETE a FROM a JOIN b",
            "DELETE FROM a USING a JOIN b",
            "WITH x AS (SELECT 1) DELETE FROM other",
            "UPDATE \"other\" SET a = 1",
            "INSERT INTO other VALUES ('\\', f('))",
            "SELECT f(1)",
            "DO f(1)",
            "CALL p(1)",
            "FROB x",
        ] {
            assert_eq!(written(statement), None, "{statement}");
        }
        assert_eq!(tables_written("INSERT INTO other VALUES (1)", ""), None);
    }
}
