//! Duplicates that a unique index of the altered table would refuse, where it is over more than
//! columns the source has: generated columns, added columns, expressions. The source's rows are
//! looked at as the altered table would hold them. Pure.

use crate::schema::columns::Shape;
use crate::schema::convert;
use crate::schema::lexer::{Token, spanned};
use crate::schema::table::{Column, Index, Table, is_same};
use crate::server::version::Flavour;
use crate::sql::{self, quote, string};

/// A table, and its definition in the server's words.
pub(crate) struct Defined<'a> {
    pub table: &'a Table,
    pub definition: &'a str,
}

/// Counts the values of the source's rows that the index must hold once and would hold more often.
/// None if the source's own index sees to it, or if it cannot be said in SQL.
pub(crate) fn duplicates(
    shape: &Shape,
    flavour: Flavour,
    source: &Defined,
    altered: &Defined,
    index: &Index,
) -> Option<String> {
    if is_kept(shape, source, altered, index) {
        return None;
    }
    let mut view = format!(
        "SELECT {} FROM {} s",
        held(shape, flavour, altered.table).join(", "),
        sql::table(&shape.source)
    );
    for column in altered.table.columns.iter().filter(|column| column.generated) {
        let expression = generated_as(altered.definition, &column.name)?;
        view = format!("SELECT v.*, ({expression}) AS {} FROM ({view}) v", quote(&column.name));
    }
    let given = key_parts(altered.definition, &index.name)?;
    let terms: Vec<String> = index
        .parts
        .iter()
        .zip(given)
        .map(|(part, given)| term(altered.table, part, given))
        .collect::<Option<_>>()?;
    let present: Vec<String> = terms.iter().map(|term| format!("{term} IS NOT NULL")).collect();
    Some(format!(
        "{}SELECT COUNT(*) FROM (SELECT 1 FROM ({view}) v WHERE {} GROUP BY {} HAVING COUNT(*) > \
         1) held",
        sql::sign(&shape.source),
        present.join(" AND "),
        terms.join(", ")
    ))
}

/// Whether the source has the same index over the same values.
fn is_kept(shape: &Shape, source: &Defined, altered: &Defined, index: &Index) -> bool {
    let is_same_line = |line: Option<&str>, other: Option<&str>| line.is_some() && line == other;
    let stays = shape
        .columns
        .iter()
        .all(|pair| pair.source.name == pair.shadow.name && pair.source.is_alike(&pair.shadow));
    let has_generated = |part: &crate::schema::table::Part| {
        part.column.is_empty()
            || is_same_line(
                line_of(altered.definition, &part.column, ""),
                line_of(source.definition, &part.column, ""),
            )
    };
    let key = |defined: &Defined| {
        line_of(defined.definition, &index.name, "UNIQUE KEY ").map(str::to_owned)
    };
    stays
        && key(altered).is_some()
        && key(altered) == key(source)
        && index.parts.iter().all(has_generated)
}

/// What the altered table's columns that are not generated would hold, under their names there.
fn held(shape: &Shape, flavour: Flavour, altered: &Table) -> Vec<String> {
    let mut held = Vec::new();
    for column in altered.columns.iter().filter(|column| !column.generated) {
        let pair = shape.columns.iter().find(|pair| is_same(&pair.shadow.name, &column.name));
        let given = shape.given.iter().find(|given| is_same(&given.column.name, &column.name));
        let value = match (pair, given) {
            (Some(pair), _) => convert::grouped(pair, "s."),
            (_, Some(given)) => Some(given.value.to_owned()),
            // Every row gets a number of its own.
            _ if column.extra.contains("AUTO_INCREMENT") => None,
            _ => Some(default(column, flavour)),
        };
        // An index over what cannot be said makes the query one that the server refuses.
        held.extend(value.map(|value| format!("{value} AS {}", quote(&column.name))));
    }
    held
}

fn default(column: &Column, flavour: Flavour) -> String {
    match (column.has_default, flavour) {
        (false, _) => "NULL".into(),
        (true, Flavour::MariaDb) => column.default.clone(),
        (true, Flavour::MySql) if column.extra.contains("DEFAULT_GENERATED") => {
            column.default.replace("\\'", "'")
        }
        (true, Flavour::MySql) => string(&column.default),
    }
}

/// A part of the index, said of a row as the altered table would hold it; `given` is the part in
/// the server's words.
fn term(altered: &Table, part: &crate::schema::table::Part, given: String) -> Option<String> {
    if part.column.is_empty() {
        return given.starts_with('(').then_some(given);
    }
    let column = altered.column(&part.column)?;
    let name = format!("v.{}", quote(&column.name));
    let value = match column.generated && !column.collation.is_empty() {
        true => format!("CONVERT({name} USING {}) COLLATE {}", column.charset, column.collation),
        false => name,
    };
    Some(match part.prefix {
        Some(length) => format!("LEFT({value}, {length})"),
        None => value,
    })
}

/// The line of a definition that begins with some words and a quoted name.
fn line_of<'a>(definition: &'a str, name: &str, words: &str) -> Option<&'a str> {
    let begin = format!("  {words}{} ", quote(name));
    let line = definition.lines().find(|line| line.starts_with(&begin))?;
    Some(line.strip_suffix(',').unwrap_or(line))
}

/// The expression of a generated column.
fn generated_as(definition: &str, column: &str) -> Option<String> {
    let line = line_of(definition, column, "")?;
    let parts = enclosed(
        line,
        |before| matches!(before, [.., always, word] if always.is("ALWAYS") && word.is("AS")),
    )?;
    Some(parts.join(", "))
}

/// The parts of a unique index, in the server's words.
fn key_parts(definition: &str, index: &str) -> Option<Vec<String>> {
    let line = match index {
        "PRIMARY" => definition.lines().find(|line| line.starts_with("  PRIMARY KEY "))?,
        name => line_of(definition, name, "UNIQUE KEY ")?,
    };
    enclosed(line, |before| !before.is_empty())
}

/// What the first parentheses hold that come right after such tokens, split at its commas.
fn enclosed(line: &str, is_before: impl Fn(&[Token]) -> bool) -> Option<Vec<String>> {
    let spans = spanned(line, false).ok()?;
    let tokens: Vec<Token> = spans.iter().map(|(token, _)| token.clone()).collect();
    let open = (0..tokens.len())
        .find(|place| tokens[*place].is_sign('(') && is_before(&tokens[..*place]))?;
    let chars: Vec<char> = line.chars().collect();
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, spans[open].1.end);
    for (token, span) in &spans[open..] {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && token.is_sign(',') {
            parts.push(chars[begin..span.start].iter().collect::<String>().trim().to_owned());
            begin = span.end;
        }
        if depth == 0 {
            return Some(parts);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "CREATE TABLE `t` (\n  `id` int NOT NULL,\n  `live` tinyint GENERATED \
                        ALWAYS AS (if((`gone` is null),1,NULL)) VIRTUAL,\n  UNIQUE KEY `one` \
                        (`email`(9),(lower(concat(`a`,_utf8mb4',')))),\n  KEY `k` (`id`)\n) \
                        ENGINE=InnoDB";

    #[test]
    fn expressions_are_read_from_the_definition() {
        assert_eq!(generated_as(MADE, "live").unwrap(), "if((`gone` is null),1,NULL)");
        assert_eq!(
            key_parts(MADE, "one").unwrap(),
            ["`email`(9)", "(lower(concat(`a`,_utf8mb4',')))"]
        );
        assert_eq!(key_parts(MADE, "k"), None);
    }
}
