//! The tables that a DDL statement in the log names. Pure.

use crate::schema::lexer::Token;
use crate::server::names::TableName;

/// Describes a statement that gives another table a foreign key to the source. The swap would not
/// know that key.
pub(crate) fn child_of(
    tokens: &[Token],
    verb: &str,
    named: &[(String, String)],
    source: &TableName,
) -> Option<String> {
    let is_source = |(schema, name): &(String, String)| {
        is_one(schema, &source.schema) && is_one(name, &source.name)
    };
    let refers = matches!(verb, "CREATE" | "ALTER") && tokens.iter().any(|it| it.is("REFERENCES"));
    let (child, others) = named.split_first().filter(|_| refers)?;
    (!is_source(child) && others.iter().any(is_source)).then(|| {
        format!(
            "another session gave {}.{} a foreign key to {} ({verb} … REFERENCES …), and the plan \
             of this run does not know it",
            child.0,
            child.1,
            source.plain()
        )
    })
}

/// Names are compared without case. On servers that distinguish cases, that only finds too many.
pub(crate) fn is_one(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Returns the tables that a DDL statement may change, rather too many than too few: all names
/// after a word that tables follow.
pub(crate) fn names(tokens: &[Token], verb: &str, schema: &str) -> Vec<(String, String)> {
    let rest = &tokens[1..];
    // The server makes views and programs of tables without changing them.
    let is_program = [
        "VIEW",
        "PROCEDURE",
        "FUNCTION",
        "EVENT",
        "USER",
        "ROLE",
        "DATABASE",
        "SCHEMA",
        "SERVER",
        "TABLESPACE",
    ];
    let object = rest.iter().find(|token| {
        !["OR", "REPLACE", "IF", "NOT", "EXISTS", "ONLINE", "IGNORE", "TEMPORARY"]
            .contains(&&*token.keyword())
    });
    if verb != "RENAME" && object.is_some_and(|token| is_program.contains(&&*token.keyword())) {
        // The log has one DROP for each table of a dropped schema.
        return match (verb, rest.iter().rev().find_map(Token::name)) {
            ("DROP", Some(dropped))
                if object.is_some_and(|token| token.is("DATABASE") || token.is("SCHEMA")) =>
            {
                vec![(dropped.into(), "*".into())]
            }
            _ => Vec::new(),
        };
    }
    let lists = matches!(verb, "DROP" | "RENAME" | "OPTIMIZE" | "REPAIR");
    let copies = verb == "CREATE" && object.is_some_and(|token| token.is("TABLE"));
    let mut found = Vec::new();
    let mut place = 0;
    while place < rest.len() {
        let introduces = match &*rest[place].keyword() {
            "TABLE" | "TABLES" | "REFERENCES" => true,
            "ON" | "TO" | "AS" => !copies,
            "TRUNCATE" => true,
            _ => lists && rest[place].is_sign(','),
        };
        place += 1;
        if introduces && let Some(name) = name_at(rest, place, schema) {
            found.push(name);
        }
    }
    if verb == "TRUNCATE"
        && let Some(name) = name_at(rest, 0, schema)
    {
        found.push(name);
    }
    found
}

fn name_at(tokens: &[Token], mut place: usize, schema: &str) -> Option<(String, String)> {
    while tokens
        .get(place)
        .is_some_and(|token| ["IF", "NOT", "EXISTS", "ONLY"].contains(&&*token.keyword()))
    {
        place += 1;
    }
    let first = tokens.get(place)?.name()?;
    let second = tokens
        .get(place + 1)
        .filter(|token| token.is_sign('.'))
        .and(tokens.get(place + 2))
        .and_then(Token::name);
    Some(match second {
        Some(second) => (first.to_owned(), second.to_owned()),
        None => (schema.to_owned(), first.to_owned()),
    })
}
