//! Changes that other sessions make to the source during the run. The shadow follows right before
//! the lock, if it can: privileges, comments, settings, owner, plain indexes and statistics. If it
//! cannot, the next check ends the run.

use crate::change::Change;
use crate::facts::{Facts, ShadowFacts};
use crate::journal;
use crate::schema::alteration;
use crate::schema::altered::{Altered, CloneRequest, FinalSteps};
use crate::schema::catalogue;
use crate::schema::columns::Layout;
use crate::schema::definition::{self, Line};
use crate::schema::expression;
use crate::schema::requested;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::shadow::known::KnownShadow;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Error, Result};

/// The steps of [`sql::RECREATE_OBJECTS`] that may run again: storage, statistics targets, options,
/// index statistics, CLUSTER, comments, dependence on extensions.
const REPEATABLE_STEPS: [i32; 9] = [2, 3, 4, 8, 9, 11, 12, 14, 15];

/// The steps that create indexes, and statistics.
const INDEXES: i32 = 5;

const STATISTICS: i32 = 16;

/// Returns the objects that differ and that the shadow cannot follow.
pub(crate) fn unfollowable(before: &[Line], now: &[Line]) -> Vec<String> {
    let must_stay = |lines: &[Line]| -> Vec<Line> { lines.iter().filter_map(must_stay).collect() };
    definition::differences(&must_stay(before), &must_stay(now))
}

/// Returns the part of a line that must not change. None if all of it may.
fn must_stay(line: &Line) -> Option<Line> {
    if line.object == "table" {
        let (kind, rest) = line.definition.split_once(" owner ").unwrap_or((&line.definition, ""));
        let method = rest.split_once(" method ").map_or("", |(_, method)| method);
        let method = method.split_once(" options").map_or(method, |(method, _)| method);
        return Some(Line { definition: format!("{kind} {method}"), ..line.clone() });
    }
    (!can_follow(line)).then(|| line.clone())
}

/// Whether the shadow can follow a change of this.
fn can_follow(line: &Line) -> bool {
    line.object == "privileges"
        || ["settings of column ", "index ", "statistics "]
            .iter()
            .any(|kind| line.object.starts_with(kind))
}

/// Returns an index's definition without what can be set later.
fn fixed_part(line: &Line) -> &str {
    line.definition.split_once(" clustered ").map_or(line.definition.as_str(), |(fixed, _)| fixed)
}

/// Makes the shadow follow the changes of the source since the last time.
///
/// # Errors
/// `Fatal` if the shadow cannot have it, naming it.
pub(crate) async fn follow(session: &Session, change: &Change, known: &KnownShadow) -> Result<()> {
    let names = &change.names;
    let facts = journal::facts(session, names).await?;
    let Some(shadow) = facts.shadow.clone() else { return Ok(()) };
    let now = definition::describe(session, facts.source).await?;
    let changed = definition::differences(&facts.source_lines, &now);
    if changed.is_empty() {
        return Ok(());
    }
    let lost = unfollowable(&facts.source_lines, &now);
    if !lost.is_empty() || names.is_turned {
        return Err(ended(names, if lost.is_empty() { &changed } else { &lost }));
    }
    let attempted = || format!("apply others' changes of {} to its shadow", names.display);
    session.run(sql::BEGIN).await.doing(attempted)?;
    let schema = change.trial_schema();
    definition::make_schema(session, &schema, facts.source).await?;
    let altered = wanted(session, change, facts.source, &schema).await?;
    let layout = altered.layout.clone().map(|layout| Layout {
        shadow: shadow.layout.shadow.clone(),
        shadow_schema: shadow.layout.shadow_schema.clone(),
        ..layout
    });
    if !altered.refusals.is_empty() || layout.as_ref() != Some(&shadow.layout) {
        return Err(ended(names, &changed));
    }
    apply_changes(session, names, &shadow, &altered).await?;
    let left =
        differing(&shadow, &altered.lines, &definition::describe(session, shadow.oid).await?);
    if !left.is_empty() {
        return Err(ended(names, &left));
    }
    session.run(&sql::drop_schema_and_content(&schema)).await.doing(attempted)?;
    let final_steps =
        FinalSteps { structure: altered.final_steps.structure, ..shadow.final_steps.clone() };
    // All deferred indexes exist by now. An index that was dropped since must not be built again.
    let shadow = ShadowFacts {
        lines: altered.lines,
        final_steps,
        deferred: Vec::new(),
        lookup: None,
        ..shadow
    };
    let facts = Facts { source_lines: altered.source_lines, shadow: Some(shadow.clone()), ..facts };
    journal::save_facts(session, names, &facts).await?;
    session.run(sql::COMMIT).await.doing(attempted)?;
    tracing::info!(
        "{}: others changed {}; the shadow has followed",
        names.display,
        changed.join(", ")
    );
    known.set(Some(shadow));
    Ok(())
}

/// Returns what the clauses make of the table now.
async fn wanted(session: &Session, change: &Change, source: u32, schema: &str) -> Result<Altered> {
    let refused =
        |reason: String| Error::fatal(format!("look again at {}", change.names.display), reason);
    let clauses =
        requested::clauses(session, change, source).await?.map_err(|why| refused(why.message))?;
    let (key, _) = catalogue::key(session, source).await?;
    let key = key.map_err(refused)?;
    let requested = requested::order_and_table(session, &change.target, source).await?;
    let (order, user_table) = requested.map_err(|why| refused(why.message))?;
    let request = CloneRequest {
        order: &order,
        user_table: user_table.as_ref(),
        ..requested::clone_request(change, source, Some(&key), &clauses)
    };
    alteration::alter_clone(session, &request, schema).await
}

/// Drops what the shadow has too much, and creates what the clone has.
async fn apply_changes(
    session: &Session,
    names: &Names,
    shadow: &ShadowFacts,
    altered: &Altered,
) -> Result<()> {
    let attempted = || format!("apply others' changes of {} to its shadow", names.display);
    let clone = altered.clone;
    let table = names.shadow();
    let have = definition::describe(session, shadow.oid).await?;
    let mut script = remade(shadow, &names.shadow_schema, &altered.lines, &have);
    let removals =
        session.query(sql::REMOVE_SETTINGS, &[&shadow.oid, &table]).await.doing(attempted)?;
    script.extend(removals.iter().map(|row| row.get::<_, String>(0)));
    session.run(&script.join(";\n")).await.doing(attempted)?;
    let have = definition::describe(session, shadow.oid).await?;
    let is_missing = |kind: &str, statement: &str, head: &str| {
        let lines = altered.lines.iter().filter(|line| line.object.starts_with(kind));
        lines.filter(|line| !have.iter().any(|other| other.object == line.object)).any(|line| {
            statement.contains(&head.replace('@', line.object.trim_start_matches(kind)))
        })
    };
    let schema = quote::quoted(&names.shadow_schema);
    let rows = session
        .query(sql::RECREATE_OBJECTS, &[&clone, &table, &names.shadow_schema])
        .await
        .doing(attempted)?;
    let steps = rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, i32>(1)));
    let mut script: Vec<String> = steps
        .filter(|(statement, step)| match *step {
            INDEXES => is_missing("index ", statement, "INDEX @ ON "),
            STATISTICS => is_missing("statistics ", statement, &sql::statistics_head(&schema, "@")),
            step => REPEATABLE_STEPS.contains(&step),
        })
        .map(|(statement, _)| statement)
        .collect();
    script.push(sql::USE_SESSIONS_TABLESPACE.to_owned());
    let options = session.query(sql::OPTIONS, &[&clone, &table]).await.doing(attempted)?;
    script.extend(options.iter().map(|row| row.get::<_, String>(0)));
    definition::open_to_owner(session, &names.shadow_schema, clone).await?;
    session.run(&expression::reread(&script.join(";\n"))).await.doing(attempted)?;
    definition::carry_privileges(session, clone, shadow.oid, &table).await.doing(attempted)
}

/// Returns statements that drop the shadow's indexes and statistics that are unwanted, or wanted in
/// another form.
fn remade(shadow: &ShadowFacts, schema: &str, wanted: &[Line], have: &[Line]) -> Vec<String> {
    let is_constraint =
        |name: &str| have.iter().any(|line| line.object == format!("constraint {name}"));
    let drop = |line: &Line| {
        let stays =
            |other: &&Line| other.object == line.object && fixed_part(other) == fixed_part(line);
        if is_ours(shadow, line) || wanted.iter().any(|other| stays(&other)) {
            return None;
        }
        match line.object.split_once(' ') {
            Some(("index", name)) if !is_constraint(name) => {
                Some(sql::drop_in("INDEX", &quote::quoted(schema), name))
            }
            Some(("statistics", name)) => {
                Some(sql::drop_in("STATISTICS", &quote::quoted(schema), name))
            }
            _ => None,
        }
    };
    have.iter().filter_map(drop).collect()
}

/// Whether it is our own index that finds the shadow's rows.
fn is_ours(shadow: &ShadowFacts, line: &Line) -> bool {
    let helper = shadow.layout.helper_index.as_ref();
    helper.is_some_and(|helper| {
        line.object == format!("index {}", quote::quoted(helper))
            || line.object == format!("index {helper}")
    })
}

/// Returns in what the shadow still differs from the wanted definition, as far as it can follow.
fn differing(shadow: &ShadowFacts, wanted: &[Line], have: &[Line]) -> Vec<String> {
    let followed = |lines: &[Line]| -> Vec<Line> {
        let lines = lines.iter().filter(|line| line.object == "table" || can_follow(line));
        lines.filter(|line| !is_ours(shadow, line)).cloned().collect()
    };
    definition::differences(&followed(wanted), &followed(have))
}

/// Returns the error that ends the run, and how to start again.
pub(crate) fn ended(names: &Names, objects: &[String]) -> Error {
    let table = &names.display;
    if names.is_turned {
        let reason = format!(
            "another session changed {} of the altered table, and the old one cannot follow that; \
             undo that change, and try again; or keep the altered table",
            objects.join(", ")
        );
        return Error::refused(format!("keep the old {table} current"), reason);
    }
    let reason = format!(
        "another session changed {} of the table, and the shadow cannot follow that; `altergeist \
         cleanup --table {table}` drops the shadow; then start again",
        objects.join(", ")
    );
    Error::fatal(format!("follow {table}"), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::definition::Line;

    fn line(object: &str, definition: &str) -> Line {
        Line { object: object.into(), definition: definition.into(), structure: true }
    }

    #[test]
    fn rights_settings_and_indexes_are_followed_and_columns_and_constraints_are_not() {
        let before =
            [line("privileges", "a"), line("index i", "x"), line("settings of column c", "1")];
        assert_eq!(unfollowable(&before, &[line("index j", "y")]), Vec::<String>::new());
        let now = [line("column c", "1 int"), line("constraint k", "c"), line("privileges", "b")];
        assert_eq!(unfollowable(&before, &now), ["column c", "constraint k"]);
    }

    #[test]
    fn owner_options_and_comment_are_followed_and_the_kind_of_table_is_not() {
        let table = |text: &str| [line("table", text)];
        let before = table(
            "kind r p owner a method heap tablespace 0 identity d of 0 options toast comment",
        );
        let given = table(
            "kind r p owner b method heap tablespace 0 identity d of 0 options {x=1} toast \
             comment y",
        );
        assert_eq!(unfollowable(&before, &given), Vec::<String>::new());
        let unlogged = table(
            "kind r u owner a method heap tablespace 0 identity d of 0 options toast comment",
        );
        assert_eq!(unfollowable(&before, &unlogged), ["table"]);
        let moved = table(
            "kind r p owner a method heap tablespace 7 identity d of 0 options toast comment",
        );
        assert_eq!(unfollowable(&before, &moved), ["table"]);
    }
}
