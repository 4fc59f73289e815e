//! Finds duplicates that a unique index of the altered table would refuse. Some indexes are over
//! more than the source's columns: generated columns, added columns, expressions. For those the
//! query computes the source's rows as the altered table would hold them.

use crate::change::Change;
use crate::key::index::LOOKUP;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::convert;
use crate::schema::lexer::{Token, spanned};
use crate::schema::lookup::read_table;
use crate::schema::table::{Column, Index, Part, Table, definition_of, is_same};
use crate::server::doing::Doing;
use crate::server::limited;
use crate::server::names::TableName;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::server::version::Flavour;
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::duplicates;
use crate::sql;
use crate::sql::quote;
use crate::sql::quote::string;
use crate::state::ShadowState;
use altergeist_contract::{Duplicates, Error, Result};
use std::sync::Arc;

/// A table, and its definition by the server.
pub(crate) struct Defined<'a> {
    pub table: &'a Table,
    pub definition: &'a str,
}

/// Counts the values that the index must hold once and would hold more often. Returns None if the
/// source's own index prevents them, or if SQL cannot express it.
pub(crate) fn duplicates(
    mapping: &ColumnMapping,
    flavour: Flavour,
    source: &Defined,
    altered: &Defined,
    index: &Index,
) -> Option<String> {
    if is_kept(mapping, source, altered, index) {
        return None;
    }
    let view = altered_rows(mapping, flavour, altered)?;
    let given = key_parts(altered.definition, &index.name)?;
    let terms: Vec<String> = index
        .parts
        .iter()
        .zip(given)
        .map(|(part, given)| term(altered.table, part, given))
        .collect::<Option<_>>()?;
    Some(sql::catalogue::duplicates_in(&mapping.source, &view, &terms))
}

/// Returns a view of the source's rows as the altered table would hold them. None if SQL cannot
/// express it.
pub(crate) fn altered_rows(
    mapping: &ColumnMapping,
    flavour: Flavour,
    altered: &Defined,
) -> Option<String> {
    let values = held(mapping, flavour, altered.table);
    let mut view = sql::catalogue::rows_as(&sql::rows::source_as(mapping, "s"), &values);
    for column in altered.table.columns.iter().filter(|column| column.generated) {
        let expression = generated_as(altered.definition, &column.name)?;
        view = sql::catalogue::with_column(&view, &expression, &column.name);
    }
    Some(view)
}

/// Returns whether the source has the same index over the same values.
fn is_kept(mapping: &ColumnMapping, source: &Defined, altered: &Defined, index: &Index) -> bool {
    let is_same_line = |line: Option<&str>, other: Option<&str>| line.is_some() && line == other;
    let stays = mapping
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

/// Returns the values of the altered table's columns that are not generated, under their names
/// there.
fn held(mapping: &ColumnMapping, flavour: Flavour, altered: &Table) -> Vec<String> {
    let mut held = Vec::new();
    for column in altered.columns.iter().filter(|column| !column.generated) {
        let pair = mapping.columns.iter().find(|pair| is_same(&pair.shadow.name, &column.name));
        let given = mapping.given.iter().find(|given| is_same(&given.column.name, &column.name));
        let value = match (pair, given) {
            (Some(pair), _) => convert::grouped(pair, "s."),
            (_, Some(given)) => Some(given.value.to_owned()),
            // Every row gets a number of its own.
            _ if column.extra.contains("AUTO_INCREMENT") => None,
            _ => Some(default(column, flavour)),
        };
        // If a value is left out here, the server refuses the query over it.
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

/// Returns a part of the index as an expression over the view. `given` is the part in the server's
/// definition.
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

/// Returns the line of a definition that begins with some words and a quoted name.
fn line_of<'a>(definition: &'a str, name: &str, words: &str) -> Option<&'a str> {
    let begin = format!("  {words}{} ", quote(name));
    let line = definition.lines().find(|line| line.starts_with(&begin))?;
    Some(line.strip_suffix(',').unwrap_or(line))
}

/// Returns the expression of a generated column.
fn generated_as(definition: &str, column: &str) -> Option<String> {
    let line = line_of(definition, column, "")?;
    let parts = enclosed(
        line,
        |before| matches!(before, [.., always, word] if always.is("ALWAYS") && word.is("AS")),
    )?;
    Some(parts.join(", "))
}

/// Returns the parts of a unique index, as the server defines them.
fn key_parts(definition: &str, index: &str) -> Option<Vec<String>> {
    let line = match index {
        "PRIMARY" => definition.lines().find(|line| line.starts_with("  PRIMARY KEY "))?,
        name => line_of(definition, name, "UNIQUE KEY ")?,
    };
    enclosed(line, |before| !before.is_empty())
}

/// Returns the contents of the first parentheses after such tokens, split at the commas.
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

pub(crate) async fn shadow_duplicates(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Result<Vec<Duplicates>> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let mut reader = pool.reader().await?;
    let found = find_duplicates(change, &mut reader, &mapping, &change.names.shadow).await?;
    let counted = found
        .into_iter()
        .filter_map(|found| Some(Duplicates { index: found.index, values: found.values? }));
    Ok(counted.collect())
}

/// The duplicates of a unique index.
pub(crate) struct FoundDuplicates {
    pub index: String,
    /// How many values; None if the plan's time was up.
    pub values: Option<u64>,
}

/// Returns the source's duplicates for the unique indexes of an altered table.
pub(crate) async fn find_duplicates(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    altered: &TableName,
) -> Result<Vec<FoundDuplicates>> {
    let attempted = || change.doing("look for unique indexes of");
    let [source, altered] = [&change.source, altered];
    let source_definition = definition_of(session, source).await.doing_in_catalogue(attempted)?;
    let definition = definition_of(session, altered).await.doing_in_catalogue(attempted)?;
    let source = read_table(change, session, source).await?;
    let altered = read_table(change, session, altered).await?;
    let flavour = change.server.version.flavour;
    let mut found = Vec::new();
    for index in altered.indexes.iter().filter(|index| index.unique && index.name != LOOKUP) {
        let attempted = || change.doing(&format!("look for duplicates over {} in", index.name));
        let has_pair = |part: &Part| {
            mapping.columns.iter().any(|pair| is_same(&pair.shadow.name, &part.column))
        };
        let values = if index.parts.iter().all(has_pair) {
            let Some(expressions) = newly_unique(mapping, &source, index) else { continue };
            let rows = sql::rows::source_as(mapping, "s");
            let statement = sql::catalogue::duplicates(&change.source, &rows, &expressions);
            limited::ask(change, session, &statement).await.doing(attempted)?
        } else {
            let before = Defined { table: &source, definition: &source_definition };
            let after = Defined { table: &altered, definition: &definition };
            let Some(statement) = duplicates::duplicates(mapping, flavour, &before, &after, index)
            else {
                continue;
            };
            match limited::ask(change, session, &statement).await {
                // What the server cannot compute now fails when rows are copied.
                Err(failure) if !failure.ends_session() => continue,
                counted => counted.doing(attempted)?,
            }
        };
        let values: Option<u64> = values
            .map(|values| values.parse())
            .transpose()
            .map_err(|_| Error::fatal(attempted(), "the server does not count them"))?;
        if values != Some(0) {
            found.push(FoundDuplicates { index: index.name.clone(), values });
        }
    }
    Ok(found)
}

/// Returns the expressions over the source's columns that a unique index of the shadow needs to be
/// different. None if the source's own indexes ensure that, or if SQL cannot express it.
fn newly_unique(mapping: &ColumnMapping, source: &Table, index: &Index) -> Option<Vec<String>> {
    let pair =
        |column: &str| mapping.columns.iter().find(|pair| is_same(&pair.shadow.name, column));
    let pairs: Vec<_> = index.parts.iter().map(|part| pair(&part.column)).collect::<Option<_>>()?;
    let is_kept = source.indexes.iter().filter(|old| old.unique).any(|old| {
        old.parts.iter().all(|old| {
            index.parts.iter().zip(&pairs).any(|(part, pair)| {
                is_same(&pair.source.name, &old.column)
                    && pair.source.is_alike(&pair.shadow)
                    && (part.prefix.is_none() || part.prefix == old.prefix)
            })
        })
    });
    if is_kept {
        return None;
    }
    index
        .parts
        .iter()
        .zip(pairs)
        .map(|(part, pair)| {
            let value = convert::grouped(pair, "s.")?;
            Some(match part.prefix {
                Some(length) => format!("LEFT({value}, {length})"),
                None => value,
            })
        })
        .collect()
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
