//! Maps the source's columns to the shadow's: which column became which, and how values get there.

use crate::key::candidates::Candidate;
use crate::key::types;
use crate::schema::altered::{CloneRequest, ColumnChanges, Conversion, ConversionRisk};
use crate::schema::clause::Using;
use crate::schema::columns::{Column, Counted, KeyColumn, Layout, Sameness};
use crate::schema::definition::Attribute;
use crate::schema::lookup_index::helper_column;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result};

/// Maps the shadow's columns to the source's, with their values.
pub(crate) fn layout(
    request: &CloneRequest<'_>,
    key: &Candidate,
    before: &[Attribute],
    after: &[Attribute],
    schema: &str,
) -> Result<Layout, Finding> {
    let alias = quote::quoted(&request.names.table);
    let mut columns = Vec::new();
    for (old, new) in survivors(before, after).filter(|(_, new)| !new.generated) {
        let value = expression_of(request, old, new).map(|text| format!("({text}\n)"));
        columns.push(Column {
            name: new.name.clone(),
            source: old.name.clone(),
            type_name: new.type_name.clone(),
            changed: value.is_some() || old.stored_shape() != new.stored_shape(),
            sameness: types::sameness(new.stored_type()),
            returns: None,
            counted: counted(old, new, value.is_some(), &alias),
            value: value.unwrap_or_else(|| format!("{alias}.{}", quote::quoted(&old.name))),
        });
    }
    let added = without(after, before).filter(|new| !new.generated);
    columns.extend(added.filter_map(|new| set_alone(request, new)));
    refuse_stray_using(request, before, after)?;
    let mut keys = Vec::new();
    for (number, column) in key.columns.iter().enumerate() {
        let followed = followed(request, column, before, after);
        if followed.is_none() {
            columns.push(held(column, number, &alias));
        }
        keys.push(
            followed
                .unwrap_or_else(|| KeyColumn { shadow: helper_column(number), ..column.clone() }),
        );
    }
    let mut order = Vec::new();
    for column in request.order {
        let changed = || {
            Finding::error(
                Code::Option,
                format!("order by column {}", column.source),
                "the altered table changes it, so the run cannot find rows by it",
                "make two changes, or leave the order out",
            )
        };
        order.push(followed(request, column, before, after).ok_or_else(changed)?);
    }
    Ok(Layout {
        source: request.names.source(),
        shadow: quote::qualified(schema, &request.names.table),
        shadow_schema: quote::quoted(schema),
        alias,
        key_index: key.name.clone(),
        keys,
        order,
        is_partitioned: false,
        columns,
        helper_index: None,
        back: None,
    })
}

/// Refuses a USING of a column that the table does not have.
fn refuse_stray_using(
    request: &CloneRequest<'_>,
    before: &[Attribute],
    after: &[Attribute],
) -> Result<(), Finding> {
    let is_stray =
        |using: &&Using| !survivors(before, after).any(|(old, _)| old.name == using.column);
    let Some(stray) = request.clauses.using.iter().find(is_stray) else { return Ok(()) };
    Err(Finding::error(
        Code::ClauseRejected,
        format!("USING for column {}", stray.column),
        "the table has no such column",
        "write the column's name as the table has it",
    ))
}

/// Yields each surviving column, before and after the clauses.
fn survivors<'a>(
    before: &'a [Attribute],
    after: &'a [Attribute],
) -> impl Iterator<Item = (&'a Attribute, &'a Attribute)> {
    after.iter().filter_map(|new| Some((before.iter().find(|old| old.number == new.number)?, new)))
}

/// Returns the columns whose values may change, by their names in the source.
pub(crate) async fn revalued(
    session: &Session,
    request: &CloneRequest<'_>,
    before: &[Attribute],
    after: &[Attribute],
) -> Result<Vec<String>> {
    let mut revalued = Vec::new();
    for (old, new) in survivors(before, after) {
        if !keeps_values(session, request, old, new).await? {
            revalued.push(old.name.clone());
        }
    }
    Ok(revalued)
}

/// Whether every value still equals the values that a foreign key compares it with.
async fn keeps_values(
    session: &Session,
    request: &CloneRequest<'_>,
    old: &Attribute,
    new: &Attribute,
) -> Result<bool> {
    if new.generated {
        return Ok(old.default == new.default);
    }
    if set_of(request, new).is_some() {
        return Ok(false);
    }
    let (from, to) = (old.stored_type(), new.stored_type());
    let Some(expression) = expression_of(request, old, new) else {
        return Ok(old.stored_shape() == new.stored_shape() || types::keeps_values(from, to));
    };
    if !types::keeps_values(from, to) {
        return Ok(false);
    }
    let column = format!("{}.{}", quote::quoted(&request.names.table), quote::quoted(&old.name));
    let computed = reading(session, request, expression).await?;
    if computed == reading(session, request, &column).await? {
        return Ok(true);
    }
    // An explicit cast truncates a long value. The server's implicit cast does not.
    let cast = format!("CAST({column} AS {})", new.type_name);
    Ok(!types::may_cut(from, to) && computed == reading(session, request, &cast).await?)
}

/// Returns how the server reads an expression over the source's columns.
async fn reading(
    session: &Session,
    request: &CloneRequest<'_>,
    expression: &str,
) -> Result<Vec<String>> {
    let attempted = "read what is behind USING";
    let (source, alias) = (request.names.source(), quote::quoted(&request.names.table));
    session.run(&sql::use_search_path(request.search_path)).await.trying_clauses(attempted)?;
    let plan = session
        .query(&sql::explain_value(&source, &alias, expression), &[])
        .await
        .trying_clauses(attempted)?;
    session.run(&sql::use_own_language()).await.trying_clauses(attempted)?;
    let lines = plan.iter().map(|row| row.get::<_, String>(0));
    Ok(lines.filter(|line| line.trim_start().starts_with("Output:")).collect())
}

/// Returns the expression that computes a surviving column: that of --set, or of USING.
fn expression_of<'a>(
    request: &CloneRequest<'a>,
    old: &Attribute,
    new: &Attribute,
) -> Option<&'a str> {
    let using = request.clauses.using.iter().find(|using| using.column == old.name);
    set_of(request, new).or(using.map(|using| &*using.expression))
}

/// Returns the expression of --set for a column of the altered table.
fn set_of<'a>(request: &CloneRequest<'a>, new: &Attribute) -> Option<&'a str> {
    let set = request.sets.iter().find(|set| set.name == new.name);
    set.map(|set| &*set.expression)
}

/// Returns an added column that --set computes.
fn set_alone(request: &CloneRequest<'_>, new: &Attribute) -> Option<Column> {
    let expression = set_of(request, new)?;
    Some(Column {
        name: new.name.clone(),
        source: String::new(),
        type_name: new.type_name.clone(),
        changed: true,
        sameness: types::sameness(new.stored_type()),
        value: format!("({expression}\n)"),
        returns: None,
        counted: Some(Counted {
            may_be_empty: types::may_be_empty(new.stored_type().0),
            distinct: true,
            ..Counted::default()
        }),
    })
}

/// Returns a column of ours for a key column that the altered table lacks. It goes in the swap.
fn held(key: &KeyColumn, number: usize, alias: &str) -> Column {
    Column {
        name: helper_column(number),
        source: key.source.clone(),
        type_name: key.type_name.clone(),
        value: format!("{alias}.{}", quote::quoted(&key.source)),
        changed: false,
        sameness: Sameness::Image,
        returns: None,
        counted: None,
    }
}

/// Returns what to count of a surviving column; None if its values stay.
fn counted(old: &Attribute, new: &Attribute, is_computed: bool, alias: &str) -> Option<Counted> {
    if !is_computed && old.stored_shape() == new.stored_shape() {
        return None;
    }
    let keeps_values = !is_computed && types::keeps_order(old.stored_type(), new.stored_type());
    Some(Counted {
        before: Some(format!("{alias}.{}", quote::quoted(&old.name))),
        may_be_empty_before: types::may_be_empty(old.stored_type().0),
        distinct: !keeps_values,
        ends: is_computed
            && old.stored_shape() == new.stored_shape()
            && types::has_ends(new.stored_type().0),
        may_be_empty: types::may_be_empty(new.stored_type().0),
    })
}

/// Returns a key column after the clauses. None if its values could not be found again.
fn followed(
    request: &CloneRequest<'_>,
    key: &KeyColumn,
    before: &[Attribute],
    after: &[Attribute],
) -> Option<KeyColumn> {
    let (old, new) = survivors(before, after).find(|(old, _)| old.name == key.source)?;
    let is_kept = expression_of(request, old, new).is_none()
        && !new.generated
        && old.collation == new.collation
        && types::keeps_order(old.stored_type(), new.stored_type());
    is_kept.then(|| KeyColumn { shadow: new.name.clone(), ..key.clone() })
}

/// Returns the changes of columns: new demands, new values, conversions.
pub(crate) fn changes(
    request: &CloneRequest<'_>,
    before: &[Attribute],
    after: &[Attribute],
) -> ColumnChanges {
    let alias = quote::quoted(&request.names.table);
    let mut changes = ColumnChanges {
        dropped: without(before, after).cloned().collect(),
        created: without(after, before)
            .filter(|new| !new.generated && set_of(request, new).is_none())
            .map(|new| (new.name.clone(), new.type_name.clone()))
            .collect(),
        conversions: conversions(request, before, after),
        ..ColumnChanges::default()
    };
    for new in without(after, before) {
        let Some(expression) = set_of(request, new) else {
            changes.add(new);
            continue;
        };
        changes.risks.extend(ConversionRisk::of(new, expression, false));
        if new.not_null {
            changes.not_null.push((new.name.clone(), expression.to_owned()));
        }
    }
    for (old, new) in survivors(before, after) {
        let value = expression_of(request, old, new).map(str::to_owned);
        let is_computed = value.is_some();
        let value = value.unwrap_or_else(|| format!("{alias}.{}", quote::quoted(&old.name)));
        // A value that does not change fits, and needs no check.
        if !new.generated && (is_computed || old.type_name != new.type_name) {
            let is_safe = !is_computed && types::keeps_order(old.stored_type(), new.stored_type());
            changes.risks.extend(ConversionRisk::of(new, &value, is_safe));
        }
        if new.generated {
            changes
                .generated
                .extend(new.default.clone().map(|expression| (new.name.clone(), expression)));
        } else if new.not_null && (is_computed || !old.not_null) {
            changes.not_null.push((new.name.clone(), value));
        }
    }
    changes
}

/// Yields the columns of one table that another lacks.
fn without<'a>(
    one: &'a [Attribute],
    other: &'a [Attribute],
) -> impl Iterator<Item = &'a Attribute> {
    one.iter().filter(|column| !other.iter().any(|known| known.number == column.number))
}

fn conversions(
    request: &CloneRequest<'_>,
    before: &[Attribute],
    after: &[Attribute],
) -> Vec<Conversion> {
    let alias = quote::quoted(&request.names.table);
    let is_converted = |(old, new): &(&Attribute, &Attribute)| {
        !new.generated && (old.type_oid, old.modifier) != (new.type_oid, new.modifier)
    };
    let conversion = |(old, new): (&Attribute, &Attribute)| Conversion {
        source: old.name.clone(),
        name: new.name.clone(),
        from: old.type_name.clone(),
        to: new.type_name.clone(),
        from_type: old.stored_type(),
        to_type: new.stored_type(),
        value: format!("{alias}.{}", quote::quoted(&old.name)),
        is_computed: expression_of(request, old, new)
            .is_some_and(|expression| !is_plain_cast(expression, &old.name)),
        is_safe: types::keeps_order(old.stored_type(), new.stored_type()),
    };
    survivors(before, after).filter(is_converted).map(conversion).collect()
}

/// Whether an expression is `column`, `column::type` or `CAST(column AS type)`, and no more.
pub(crate) fn is_plain_cast(expression: &str, column: &str) -> bool {
    let expression = bare(expression);
    let cast = || {
        let (word, rest) = expression.split_at_checked(4)?;
        let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
        let at = inner.to_ascii_lowercase().rfind(" as ")?;
        word.eq_ignore_ascii_case("cast").then(|| (&inner[..at], &inner[at + 4..]))
    };
    let (value, to) = expression.split_once("::").or_else(cast).unwrap_or((expression, ""));
    let value = bare(value);
    let is_type = |letter: char| letter.is_alphanumeric() || "_.\" (),[]".contains(letter);
    (value == quote::quoted(column) || value.to_lowercase() == column) && to.chars().all(is_type)
}

/// An expression without parentheses around the whole of it.
fn bare(expression: &str) -> &str {
    let expression = expression.trim();
    let inner = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let closes_last = |inner: &&str| {
        let mut depth = 0_i32;
        inner.chars().all(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            depth >= 0
        })
    };
    inner.filter(closes_last).map_or(expression, bare)
}

/// Finds the shadow's own columns again, from the journal's layout.
pub(crate) fn added_columns(layout: &Layout, after: &[Attribute]) -> ColumnChanges {
    let mut changes = ColumnChanges::default();
    for new in
        after.iter().filter(|new| !layout.columns.iter().any(|filled| filled.name == new.name))
    {
        changes.add(new);
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_of_the_column_alone_is_plain() {
        assert!(is_plain_cast("v::int", "v"));
        assert!(is_plain_cast(" (V)::numeric(10, 2) ", "v"));
        assert!(is_plain_cast("\"A b\"::text", "A b"));
        assert!(is_plain_cast("((v)::numeric(10, 2))", "v"));
        assert!(is_plain_cast("CAST ( v AS numeric(10, 2) )", "v"));
        assert!(is_plain_cast("(v)", "v"));
        for other in [
            "v::int + 1",
            "upper(v)::x",
            "w::int",
            "v::text::int",
            "cast(v as int) + (1)",
            "(v)::int + (1)",
            "cast(upper(v) as text)",
            "1",
        ] {
            assert!(!is_plain_cast(other, "v"), "{other}");
        }
    }
}
