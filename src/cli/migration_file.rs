//! Takes a file of SQL apart: which statements change which tables, and where they stand.

use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// A statement, and what is to be judged about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The line it begins on, from 1.
    pub line: u64,
    /// What it does.
    pub kind: Kind,
}

/// What a statement does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `ALTER TABLE table clauses`, or an index as the clause that makes it.
    Alter {
        /// The table.
        table: String,
        /// What follows its name.
        clauses: String,
    },
    /// `CREATE INDEX` where it is no clause of ALTER TABLE: PostgreSQL.
    CreateIndex {
        /// The table.
        table: String,
        /// The columns of a unique index, in their parentheses.
        unique: Option<String>,
        /// Whether writers go on meanwhile.
        concurrently: bool,
    },
    /// `UPDATE table …`, `DELETE FROM table …`.
    Rows {
        /// UPDATE or DELETE.
        verb: &'static str,
        /// The table.
        table: String,
        /// Whether it has a WHERE.
        has_condition: bool,
    },
    /// A statement that takes rows or a table away: DROP TABLE, TRUNCATE.
    Removes {
        /// What it is, in capitals.
        verb: &'static str,
        /// The table.
        table: String,
    },
    /// `CREATE TABLE table`, or another name of one: what follows about it in this file cannot be
    /// judged, and need not be.
    Create {
        /// The table.
        table: String,
    },
    /// Anything else; its first words.
    Other(String),
}

/// Whose SQL a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sql {
    /// MySQL's and MariaDB's.
    MySql,
    /// PostgreSQL's.
    Postgres,
}

/// Takes a file apart.
///
/// # Errors
/// Says in which line something does not end, such as a string.
pub fn statements(sql: Sql, text: &str) -> Result<Vec<Statement>, String> {
    let dialect: &dyn Dialect = match sql {
        Sql::MySql => &MySqlDialect {},
        Sql::Postgres => &PostgreSqlDialect {},
    };
    let text = &prepared(sql, text);
    let tokens = Tokenizer::new(dialect, text)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| format!("line {}: {}", error.location.line, error.message))?;
    let words: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|it| !matches!(it.token, Token::Whitespace(_))).collect();
    let mut found = Vec::new();
    for statement in words.split(|it| it.token == Token::SemiColon) {
        if let Some(first) = statement.first() {
            let kind = kind(sql, text, statement);
            found.push(Statement { line: first.span.start.line, kind });
        }
    }
    Ok(found)
}

fn kind(sql: Sql, text: &str, statement: &[TokenWithSpan]) -> Kind {
    let parsed = match words(statement, 2).as_slice() {
        [alter, table] if alter == "ALTER" && table == "TABLE" => alter_table(text, statement),
        [create, _] if create == "CREATE" => created(sql, text, statement),
        [update, ..] if update == "UPDATE" => rows("UPDATE", text, statement),
        [delete, ..] if delete == "DELETE" => rows("DELETE", text, statement),
        [drop, table] if drop == "DROP" && table == "TABLE" => {
            removes("DROP TABLE", text, &statement[2..])
        }
        [truncate, ..] if truncate == "TRUNCATE" => removes("TRUNCATE", text, &statement[1..]),
        [rename, table] if rename == "RENAME" && table == "TABLE" => {
            position(statement, "TO").and_then(|to| new_name(text, &statement[to + 1..]))
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| Kind::Other(words(statement, 3).join(" ")))
}

/// The text without what is no SQL, line by line in its place: a byte order mark, blocks with
/// another DELIMITER, and the rows that follow COPY. What MySQL alone reads of comments is SQL.
fn prepared(sql: Sql, text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut is_body, mut is_copied) = (false, false);
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (sql, words.as_slice()) {
            (Sql::MySql, [word, delimiter]) if word.eq_ignore_ascii_case("delimiter") => {
                is_body = *delimiter != ";";
                lines.push(String::new());
            }
            (Sql::Postgres, ["\\."]) => {
                is_copied = false;
                lines.push(String::new());
            }
            _ if is_body || is_copied => lines.push(String::new()),
            (Sql::Postgres, ["COPY", .., "stdin;"]) => {
                is_copied = true;
                lines.push(line.to_owned());
            }
            (Sql::MySql, _) if line.contains("/*!") || line.contains("*/") => {
                lines.push(conditional(line));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// A line whose `/*!50000 … */` is read as MySQL reads it.
fn conditional(line: &str) -> String {
    let Some((before, rest)) = line.split_once("/*!") else { return line.to_owned() };
    let Some((inside, after)) = rest.split_once("*/") else { return line.to_owned() };
    let version = inside.chars().take_while(char::is_ascii_digit).count();
    format!("{before}{}{}", &inside[version..], conditional(after))
}

/// A table's name as two spellings of it share it: without quotes, spaces and the schema `public`.
pub fn same_name(name: &str) -> String {
    let plain: String = name.chars().filter(|letter| !" `\"".contains(*letter)).collect();
    let plain = plain.to_lowercase();
    plain.strip_prefix("public.").map_or(plain.clone(), str::to_owned)
}

/// The first words of a statement, in capitals.
fn words(statement: &[TokenWithSpan], many: usize) -> Vec<String> {
    statement.iter().take(many).map(|it| it.token.to_string().to_uppercase()).collect()
}

fn alter_table(text: &str, statement: &[TokenWithSpan]) -> Option<Kind> {
    let mut at = 2;
    at += skipped(&statement[at..], &["IF", "EXISTS"]);
    at += skipped(&statement[at..], &["ONLY"]);
    let (table, length) = name(text, &statement[at..])?;
    let clauses = from(text, &statement[at + length..])?;
    match words(&statement[at + length..], 2).as_slice() {
        [rename, to] if rename == "RENAME" && to == "TO" => {
            new_name(text, &statement[at + length + 2..])
        }
        _ => Some(Kind::Alter { table, clauses }),
    }
}

/// The name that a table gets: nothing is known of it yet.
fn new_name(text: &str, statement: &[TokenWithSpan]) -> Option<Kind> {
    name(text, statement).map(|(table, _)| Kind::Create { table })
}

fn removes(verb: &'static str, text: &str, statement: &[TokenWithSpan]) -> Option<Kind> {
    let mut at = skipped(statement, &["TABLE"]);
    at += skipped(&statement[at..], &["IF", "EXISTS"]);
    at += skipped(&statement[at..], &["ONLY"]);
    name(text, &statement[at..]).map(|(table, _)| Kind::Removes { verb, table })
}

/// The place of a word.
fn position(statement: &[TokenWithSpan], word: &str) -> Option<usize> {
    statement.iter().position(|it| it.token.to_string().eq_ignore_ascii_case(word))
}

fn created(sql: Sql, text: &str, statement: &[TokenWithSpan]) -> Option<Kind> {
    let second = words(statement, 4);
    if let Some(at) = second.iter().position(|word| word == "TABLE") {
        let after = at + 1;
        let skip = skipped(&statement[after..], &["IF", "NOT", "EXISTS"]);
        let (table, _) = name(text, &statement[after + skip..])?;
        return Some(Kind::Create { table });
    }
    let index = second.iter().position(|word| word == "INDEX")?;
    let on = position(statement, "ON")?;
    let only = skipped(&statement[on + 1..], &["ONLY"]);
    let (table, length) = name(text, &statement[on + 1 + only..])?;
    let after = &statement[on + 1 + only + length..];
    let parts = &after[..closing(after)?];
    let is_unique = second.iter().any(|word| word == "UNIQUE");
    match sql {
        Sql::Postgres => {
            let concurrently = position(statement, "CONCURRENTLY").is_some_and(|at| at < on);
            let is_plain = parts.len() == after.len();
            let unique = (is_unique && is_plain).then(|| between(text, parts)).flatten();
            Some(Kind::CreateIndex { table, unique, concurrently })
        }
        Sql::MySql => {
            // What follows the columns says how the index is made; that is this tool's part.
            let modifiers = words(&statement[1..index], index);
            let named = between(text, &statement[index + 1..on])?;
            let parts = between(text, parts)?;
            let clauses = format!("ADD {} INDEX {named} {parts}", modifiers.join(" "));
            Some(Kind::Alter { table, clauses: clauses.replace("ADD  ", "ADD ") })
        }
    }
}

/// How many tokens a list in parentheses takes, from its first.
fn closing(statement: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, it) in statement.iter().enumerate() {
        match it.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && it.token == Token::RParen {
            return Some(place + 1);
        }
    }
    None
}

fn rows(verb: &'static str, text: &str, statement: &[TokenWithSpan]) -> Option<Kind> {
    let mut at = match verb {
        "DELETE" => position(statement, "FROM")? + 1,
        _ => 1,
    };
    for modifier in ["LOW_PRIORITY", "IGNORE", "ONLY"] {
        at += skipped(&statement[at..], &[modifier]);
    }
    let (table, _) = name(text, &statement[at..])?;
    Some(Kind::Rows { verb, table, has_condition: position(statement, "WHERE").is_some() })
}

/// How many tokens these optional words take: all of them, or none.
fn skipped(statement: &[TokenWithSpan], optional: &[&str]) -> usize {
    let given = words(statement, optional.len());
    if given.iter().map(String::as_str).eq(optional.iter().copied()) { optional.len() } else { 0 }
}

/// A name, and how many tokens it takes: `a`, `a.b`, quoted or not.
fn name(text: &str, statement: &[TokenWithSpan]) -> Option<(String, usize)> {
    let is_name = |it: &TokenWithSpan| matches!(it.token, Token::Word(_));
    statement.first().filter(|it| is_name(it))?;
    let is_qualified = statement.get(1).is_some_and(|it| it.token == Token::Period)
        && statement.get(2).is_some_and(is_name);
    let length = if is_qualified { 3 } else { 1 };
    Some((between(text, &statement[..length])?, length))
}

/// The text of these tokens, as it stands in the file.
fn between(text: &str, tokens: &[TokenWithSpan]) -> Option<String> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    let bytes = offset(text, first.span.start)..offset(text, last.span.end);
    text.get(bytes).map(str::to_owned)
}

/// The same, empty for no tokens.
fn from(text: &str, tokens: &[TokenWithSpan]) -> Option<String> {
    if tokens.is_empty() { Some(String::new()) } else { between(text, tokens) }
}

/// Lines and columns are counted from 1, columns in characters.
fn offset(text: &str, at: Location) -> usize {
    let line = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let begin: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &text[begin..];
    begin + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: Sql, text: &str) -> Vec<Kind> {
        let found = statements(sql, text).expect("the file can be read");
        found.into_iter().map(|it| it.kind).collect()
    }

    fn alter(table: &str, clauses: &str) -> Kind {
        Kind::Alter { table: table.into(), clauses: clauses.into() }
    }

    #[test]
    fn clauses_are_taken_as_they_stand() {
        let text = "-- a comment; with a semicolon\nALTER TABLE shop.`or ders`\n  ADD a int \
                    DEFAULT ';' COMMENT 'ä',\n  ADD b int; # more\nalter table t engine=InnoDB";
        assert_eq!(
            kinds(Sql::MySql, text),
            [
                alter("shop.`or ders`", "ADD a int DEFAULT ';' COMMENT 'ä',\n  ADD b int"),
                alter("t", "engine=InnoDB"),
            ]
        );
        let lines: Vec<u64> =
            statements(Sql::MySql, text).expect("read").iter().map(|it| it.line).collect();
        assert_eq!(lines, [2, 5]);
    }

    #[test]
    fn an_index_of_mysql_is_a_clause() {
        let text = "CREATE UNIQUE INDEX `i` ON t (a, b(9)) ALGORITHM=INPLACE LOCK=NONE; CREATE \
                    INDEX j ON t(a)";
        assert_eq!(
            kinds(Sql::MySql, text),
            [alter("t", "ADD UNIQUE INDEX `i` (a, b(9))"), alter("t", "ADD INDEX j (a)"),]
        );
    }

    #[test]
    fn an_index_of_postgresql_is_none() {
        let text = "CREATE INDEX i ON public.t USING btree (a); CREATE UNIQUE INDEX CONCURRENTLY \
                    ON t (a, b);";
        let index = |table: &str, unique: Option<&str>, concurrently| Kind::CreateIndex {
            table: table.into(),
            unique: unique.map(str::to_owned),
            concurrently,
        };
        assert_eq!(
            kinds(Sql::Postgres, text),
            [index("public.t", None, false), index("t", Some("(a, b)"), true)]
        );
    }

    #[test]
    fn what_takes_rows_away_is_known() {
        let removes = |verb, table: &str| Kind::Removes { verb, table: table.into() };
        assert_eq!(
            kinds(Sql::MySql, "DROP TABLE IF EXISTS a; TRUNCATE TABLE b; truncate c"),
            [removes("DROP TABLE", "a"), removes("TRUNCATE", "b"), removes("TRUNCATE", "c")]
        );
    }

    #[test]
    fn what_is_no_sql_is_passed_over_and_lines_keep_their_numbers() {
        let text = "\u{feff}ALTER TABLE a ADD b int;\r\nDELIMITER //\nCREATE TRIGGER t BEFORE \
                    UPDATE ON x FOR EACH ROW BEGIN UPDATE y SET z = 1; END//\nDELIMITER \
                    ;\n/*!50000 ALTER TABLE c DROP COLUMN d */;";
        let found = statements(Sql::MySql, text).expect("the file can be read");
        let kinds_found: Vec<Kind> = found.iter().map(|it| it.kind.clone()).collect();
        assert_eq!(kinds_found, [alter("a", "ADD b int"), alter("c", "DROP COLUMN d")]);
        assert_eq!(found[1].line, 5);
        let dump = "COPY public.t (a) FROM stdin;\nit's\n\\.\nALTER TABLE t ADD b int;";
        assert_eq!(kinds(Sql::Postgres, dump).last(), Some(&alter("t", "ADD b int")));
    }

    #[test]
    fn a_new_name_is_a_new_table() {
        let create = |table: &str| Kind::Create { table: table.into() };
        assert_eq!(
            kinds(Sql::MySql, "RENAME TABLE a TO b; ALTER TABLE c RENAME TO d"),
            [create("b"), create("d")]
        );
        assert_eq!(same_name("`Fresh`"), same_name("fresh"));
        assert_eq!(same_name("public.fresh"), same_name("\"fresh\""));
    }

    #[test]
    fn bodies_and_strings_hide_their_semicolons() {
        let text = "CREATE FUNCTION f() RETURNS int AS $x$ SELECT 1; $x$ LANGUAGE sql;\n\
                    ALTER TABLE ONLY t ADD c text DEFAULT $$;$$;";
        assert_eq!(
            kinds(Sql::Postgres, text),
            [Kind::Other("CREATE FUNCTION F".into()), alter("t", "ADD c text DEFAULT $$;$$")]
        );
    }

    #[test]
    fn statements_about_rows_say_whether_they_are_bounded() {
        let rows = |verb, has_condition| Kind::Rows { verb, table: "t".into(), has_condition };
        assert_eq!(
            kinds(Sql::MySql, "UPDATE t SET a = 1; DELETE FROM t WHERE b"),
            [rows("UPDATE", false), rows("DELETE", true)]
        );
        assert_eq!(
            kinds(Sql::MySql, "UPDATE LOW_PRIORITY IGNORE t SET a = 1; DELETE t FROM t"),
            [rows("UPDATE", false), rows("DELETE", false)]
        );
    }

    #[test]
    fn a_new_table_is_known() {
        let text = "create temporary table if not exists a.b (c int); CREATE TABLE d (e int)";
        let create = |table: &str| Kind::Create { table: table.into() };
        assert_eq!(kinds(Sql::MySql, text), [create("a.b"), create("d")]);
    }

    #[test]
    fn a_string_without_an_end_is_named_by_its_line() {
        let broken = statements(Sql::MySql, "SELECT 1;\nSELECT 'a").expect_err("it has no end");
        assert!(broken.starts_with("line 2: "), "{broken}");
    }
}
