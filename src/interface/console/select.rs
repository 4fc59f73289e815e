//! SELECT: the console's own tables by name, constants, and PostgreSQL's catalogue, which is empty
//! here. It is no SQL: a statement is recognised or refused.

use crate::interface::console::cell::Cell;
use crate::interface::console::driver;
use crate::interface::console::lexer::Token;
use crate::interface::console::refusal::Refusal;
use crate::interface::console::statement::{Constant, Statement};
use crate::interface::console::view::View;

/// The most columns of a SELECT.
const COLUMNS_MAX: usize = 200;

/// Reads a SELECT, a WITH or a TABLE.
///
/// # Errors
/// That it is none that the console understands.
pub fn parse(tokens: &[Token]) -> Result<Statement, Refusal> {
    if let Some(view) = own_table(tokens) {
        return Ok(Statement::Show(view));
    }
    let is_of_catalogue = |token: &Token| match token {
        Token::Word(name) | Token::Name(name) => {
            name == "pg_catalog" || name == "information_schema" || is_catalogue(name)
        }
        _ => false,
    };
    let main = main_select(tokens);
    let items = items(main);
    if items.len() > COLUMNS_MAX {
        return Err(Refusal::limit(format!("a SELECT has at most {COLUMNS_MAX} columns")));
    }
    let is_select = matches!(tokens.first(), Some(Token::Word(word)) if word == "select");
    let constants = items.iter().map(|item| Some((name(item), constant(item)?)));
    if let Some(constants) = constants.collect::<Option<Vec<_>>>()
        && is_select
        && !constants.is_empty()
        && !has_table(main)
    {
        return Ok(Statement::Constants(constants));
    }
    if let Some(answer) = expected_of_catalogue(tokens) {
        return Ok(Statement::Constants(vec![answer]));
    }
    if tokens.iter().any(is_of_catalogue) && !items.is_empty() {
        return Ok(Statement::Catalogue(items.iter().map(|item| name(item)).collect()));
    }
    Err(Refusal::unsupported("the console runs no SQL of the server")
        .hint("SHOW HELP lists what it understands"))
}

/// What a driver of Java asks the catalogue for, and takes no silence for an answer: the keywords
/// of SQL, and the length of a name.
fn expected_of_catalogue(tokens: &[Token]) -> Option<(String, Constant)> {
    let has_word = |name: &str| tokens.iter().any(|it| matches!(it, Token::Word(it) if it == name));
    let has_text = |text: &str| tokens.iter().any(|it| matches!(it, Token::Text(it) if it == text));
    if has_word("pg_get_keywords") {
        return Some(("string_agg".into(), Constant::Value(Cell::Text(String::new()))));
    }
    let asks_for_name = has_word("pg_type") && has_word("typname") && has_text("name");
    let is_of_one = tokens.iter().filter(|it| matches!(it, Token::Word(it) if it == "typlen"));
    (asks_for_name && is_of_one.count() == 1)
        .then(|| ("typlen".into(), Constant::Value(Cell::Int(64))))
}

/// Whether a name is PostgreSQL's own. Functions of the session have names of their own here.
fn is_catalogue(name: &str) -> bool {
    name.starts_with("pg_") || name == "timescaledb"
}

/// `SELECT * FROM progress`, with or without the schema and a limit.
fn own_table(tokens: &[Token]) -> Option<View> {
    let rest = match tokens {
        [Token::Word(table), rest @ ..] if table == "table" => rest,
        [Token::Word(select), Token::Symbol('*'), Token::Word(from), rest @ ..]
            if select == "select" && from == "from" =>
        {
            rest
        }
        _ => return None,
    };
    let text = |token: &Token| match token {
        Token::Word(name) | Token::Name(name) => Some(name.to_lowercase()),
        _ => None,
    };
    let (name, rest) = match rest {
        [schema, Token::Symbol('.'), table, rest @ ..]
            if text(schema).is_some_and(|name| name == "altergeist" || name == "public") =>
        {
            (text(table)?, rest)
        }
        [table, rest @ ..] => (text(table)?, rest),
        [] => return None,
    };
    // All rows are within any limit that a client would set, or it takes the first.
    let is_plain = match rest {
        [] => true,
        [Token::Word(limit), Token::Number(_)] => limit == "limit",
        _ => false,
    };
    View::named(&name).filter(|_| is_plain)
}

/// The tokens of the outermost SELECT, from its first column on.
fn main_select(tokens: &[Token]) -> &[Token] {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            Token::Word(word) if depth == 0 && word == "select" => {
                let rest = &tokens[at + 1..];
                return match rest {
                    [Token::Word(all), rest @ ..] if all == "distinct" || all == "all" => rest,
                    rest => rest,
                };
            }
            _ => {}
        }
    }
    &[]
}

/// Whether a clause follows the columns.
fn has_table(main: &[Token]) -> bool {
    columns_end(main) < main.len()
}

fn columns_end(main: &[Token]) -> usize {
    const CLAUSES: [&str; 9] =
        ["from", "where", "order", "limit", "group", "union", "having", "for", "offset"];
    let mut depth = 0;
    let end = main.iter().position(|token| {
        match token {
            Token::Symbol('(' | '[') => depth += 1,
            Token::Symbol(')' | ']') => depth -= 1,
            _ => {}
        }
        matches!(token, Token::Word(word) if depth == 0 && CLAUSES.contains(&&**word))
    });
    end.unwrap_or(main.len())
}

/// The columns of a SELECT.
fn items(main: &[Token]) -> Vec<&[Token]> {
    let columns = &main[..columns_end(main)];
    let mut depth = 0;
    let items = columns.split(|token| {
        match token {
            Token::Symbol('(' | '[') => depth += 1,
            Token::Symbol(')' | ']') => depth -= 1,
            _ => {}
        }
        depth == 0 && *token == Token::Symbol(',')
    });
    items.filter(|item| !item.is_empty()).collect()
}

/// The name of a column, as PostgreSQL finds it.
fn name(item: &[Token]) -> String {
    let named = |token: Option<&Token>| match token {
        Some(Token::Word(name) | Token::Name(name)) => Some(name.clone()),
        _ => None,
    };
    let item = without_casts(item);
    let own = match item {
        [.., Token::Word(word), last] if word == "as" => named(Some(last)),
        // A cast, a call or a bare name; then the name before the parenthesis.
        [Token::Word(name) | Token::Name(name), Token::Symbol('('), ..] => Some(name.clone()),
        [.., last @ Token::Name(_)] | [.., last @ Token::Word(_)] => named(Some(last)),
        _ => None,
    };
    own.filter(|name| name != "null").unwrap_or_else(|| "?column?".into())
}

/// An item without `::type` at its end.
fn without_casts(item: &[Token]) -> &[Token] {
    match item {
        [rest @ .., Token::Symbol(':'), Token::Symbol(':'), Token::Word(_)] if !rest.is_empty() => {
            without_casts(rest)
        }
        item => item,
    }
}

fn constant(item: &[Token]) -> Option<Constant> {
    let item = match item {
        [rest @ .., Token::Word(word), Token::Word(_) | Token::Name(_)] if word == "as" => rest,
        item => item,
    };
    // Clients find the major version in this way.
    if let [rest @ .., Token::Symbol('/'), Token::Number(by)] = item {
        let by: i64 = by.parse().ok().filter(|by| *by != 0)?;
        let Constant::Value(value) = constant(rest)? else { return None };
        return match value {
            Cell::Int(number) => Some(Constant::Value(Cell::Int(number / by))),
            Cell::Text(text) => Some(Constant::Value(Cell::Int(text.parse::<i64>().ok()? / by))),
            _ => None,
        };
    }
    match without_casts(item) {
        [Token::Number(number)] => match number.parse() {
            Ok(whole) => Some(Constant::Value(Cell::Int(whole))),
            Err(_) => Some(Constant::Value(Cell::Float(number.parse().ok()?))),
        },
        [Token::Text(text)] => Some(Constant::Value(Cell::Text(text.clone()))),
        [Token::Word(word)] => word_constant(word),
        [Token::Word(schema), Token::Symbol('.'), call @ ..] if schema == "pg_catalog" => {
            constant(call)
        }
        [Token::Word(name), Token::Symbol('('), arguments @ .., Token::Symbol(')')] => {
            call(name, arguments)
        }
        _ => None,
    }
}

fn word_constant(word: &str) -> Option<Constant> {
    Some(match word {
        "null" => Constant::Value(Cell::Null),
        "true" | "false" => Constant::Value(Cell::Bool(word == "true")),
        "current_user" | "session_user" | "user" | "current_role" => Constant::User,
        "current_catalog" => Constant::Value(Cell::Text("altergeist".into())),
        "current_schema" => Constant::Value(Cell::Text("altergeist".into())),
        "current_timestamp" => Constant::Now,
        _ => return None,
    })
}

fn call(name: &str, arguments: &[Token]) -> Option<Constant> {
    let text = |text: &str| Some(Constant::Value(Cell::Text(text.into())));
    match (name, arguments) {
        ("version", []) => text(&format!("PostgreSQL {}", driver::SERVER_VERSION)),
        ("current_database" | "current_schema", []) => text("altergeist"),
        ("now", []) => Some(Constant::Now),
        ("pg_backend_pid", []) => Some(Constant::Session),
        ("pg_is_in_recovery", []) => Some(Constant::Value(Cell::Bool(false))),
        ("pg_advisory_unlock_all", []) => text(""),
        ("current_setting", [Token::Text(name), ..]) => Some(Constant::Value(Cell::text(
            driver::parameter(name).map(|name| driver::value(name).to_owned()),
        ))),
        ("set_config", [Token::Text(_), Token::Symbol(','), Token::Text(value), ..]) => text(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::console::lexer::pieces;

    fn read(sql: &str) -> Result<Statement, Refusal> {
        parse(&pieces(sql).expect("it is well formed")[0].tokens)
    }

    #[test]
    fn constants_have_the_names_and_types_of_postgresql() {
        let constants = |sql: &str| match read(sql) {
            Ok(Statement::Constants(constants)) => constants,
            other => panic!("{sql}: {other:?}"),
        };
        let text = |text: &str| Constant::Value(Cell::Text(text.into()));
        assert_eq!(constants("SELECT 1"), [("?column?".into(), Constant::Value(Cell::Int(1)))]);
        assert_eq!(constants("SELECT 'a' AS b"), [("b".into(), text("a"))]);
        assert_eq!(
            constants("select current_schema()"),
            [("current_schema".into(), text("altergeist"))]
        );
        assert_eq!(
            constants("SELECT pg_catalog.set_config('search_path', '', false)")[0].1,
            text("")
        );
        assert_eq!(constants("SELECT current_user, NULL").len(), 2);
        let version = "SELECT current_setting('server_version_num')::int/100 as version";
        let number = Constant::Value(Cell::Int(1800));
        assert_eq!(constants(version), [("version".into(), number)]);
        assert!(matches!(&constants("SELECT version()")[0].1,
            Constant::Value(Cell::Text(version)) if version.starts_with("PostgreSQL 18.0")));
    }

    #[test]
    fn a_driver_of_java_finds_what_it_insists_on() {
        for (sql, name) in [
            (
                "select string_agg(word, ',') from pg_catalog.pg_get_keywords() where word <> ALL \
                 ('{a,abs}'::text[])",
                "string_agg",
            ),
            (
                "SELECT t.typlen FROM pg_catalog.pg_type t, pg_catalog.pg_namespace n WHERE \
                 t.typnamespace=n.oid AND t.typname='name' AND n.nspname='pg_catalog'",
                "typlen",
            ),
        ] {
            let found = read(sql);
            let is_found = matches!(&found, Ok(Statement::Constants(it)) if it[0].0 == name);
            assert!(is_found, "{sql}: {found:?}");
        }
    }

    #[test]
    fn the_catalogue_has_columns_and_no_rows() {
        for (sql, names) in [
            (
                "SELECT n.nspname as \"Schema\", c.relname FROM pg_catalog.pg_class c",
                "Schema,relname",
            ),
            ("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'", "extversion"),
            ("WITH t AS (SELECT 1) SELECT a.x, count(*), b::text FROM pg_type", "x,count,b"),
            ("SELECT CASE WHEN x THEN 1 END, oid::regtype FROM pg_type", "end,oid"),
        ] {
            let expected = names.split(',').map(str::to_owned).collect();
            assert_eq!(read(sql), Ok(Statement::Catalogue(expected)), "{sql}");
        }
        for wrong in ["SELECT", "SELECT 1 FROM shop.orders", "SELECT f(x)", "TABLE t", "WITH x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_of_the_console_can_be_selected_from() {
        for sql in
            ["SELECT * FROM progress", "table Progress", "select * from public.progress limit 1"]
        {
            assert_eq!(read(sql), Ok(Statement::Show(View::Progress)), "{sql}");
        }
        assert!(read("SELECT * FROM progress WHERE percent > 1").is_err());
    }
}
