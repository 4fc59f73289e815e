//! Applies the user's clauses to an empty clone of the source and reads the outcome: which column
//! became which, how values get there, what can wait until the rows are copied, and what is
//! impossible.

use crate::schema::altered::{Altered, CloneRequest, ColumnChanges, UnvalidatedKey};
use crate::schema::clone_checks;
use crate::schema::column_mapping;
use crate::schema::definition::{self, Attribute};
use crate::schema::foreign_key_clauses::{self, Keys};
use crate::schema::identity_names;
use crate::schema::lookup_index;
use crate::schema::set_columns;
use crate::schema::set_refusals;
use crate::schema::user_definition;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::{Notice, Session};
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result};
use std::collections::BTreeSet;

/// Builds the clone in a schema, alters it, and reads the outcome, inside the session's
/// transaction. Without clauses the clone is a plain copy.
pub(crate) async fn alter_clone(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
) -> Result<Altered> {
    if let Some(user_table) = request.user_table {
        return user_definition::make(session, request, user_table, schema).await;
    }
    let clone =
        definition::build(session, request.names, request.version, request.source, schema).await?;
    let source_lines = definition::describe(session, request.source).await?;
    let unlike =
        definition::differences(&source_lines, &definition::describe(session, clone).await?);
    let mut altered = alter_built(session, request, clone, schema).await?;
    altered.source_lines = source_lines;
    altered.refusals.splice(0..0, unlike.into_iter().map(not_carried));
    Ok(altered)
}

/// Alters a clone that exists in a schema, and reads the outcome.
pub(crate) async fn alter_built(
    session: &Session,
    request: &CloneRequest<'_>,
    clone: u32,
    schema: &str,
) -> Result<Altered> {
    let before = definition::attributes(session, clone).await?;
    let Keys { final_steps, unvalidated, refusals: key_refusals } =
        foreign_key_clauses::try_keys(session, request, schema).await?;
    let (is_catalogue_only, outcome) = apply(session, request, clone, schema).await?;
    let mut altered = Altered {
        clone,
        source_lines: Vec::new(),
        lines: Vec::new(),
        final_steps,
        sets: Vec::new(),
        layout: None,
        changes: ColumnChanges::default(),
        refusals: key_refusals,
        is_catalogue_only,
        touches_columns: false,
        touched: Vec::new(),
        revalued: Vec::new(),
        demanded: Vec::new(),
    };
    match outcome {
        Err(words) => altered.refusals.push(foreign_key_clauses::not_accepted(request, words)),
        Ok(()) => {
            altered.final_steps.kept_serials =
                identity_names::rename_beside_serials(session, request.source, clone).await?;
            foreign_key_clauses::try_late(session, request, schema, &mut altered).await?;
            read_outcome(session, request, &before, schema, &mut altered).await?;
            altered.final_steps.unvalidated.extend(unvalidated);
        }
    }
    Ok(altered)
}

/// Applies the clauses. Returns whether the change is for the catalogue only, and the server's
/// words if it refuses them.
async fn apply(
    session: &Session,
    request: &CloneRequest<'_>,
    clone: u32,
    schema: &str,
) -> Result<(bool, Result<(), String>)> {
    if request.clauses.native.is_empty() {
        return Ok((false, Ok(())));
    }
    let attempted = || format!("try the clauses on a clone of {}", request.names.display);
    let before = storage(session, clone).await.trying_clauses(attempted)?;
    let table = quote::qualified(schema, &request.names.table);
    session.run(&sql::use_search_path(request.search_path)).await.trying_clauses(attempted)?;
    session.run(sql::BEGIN_CLAUSES).await.trying_clauses(attempted)?;
    session.take_notices();
    let mut outcome = Ok(0);
    for statement in &request.clauses.statements {
        outcome = session.execute(&sql::alter_table(&table, statement), &[]).await;
        if outcome.is_err() {
            break;
        }
    }
    let notices = session.take_notices();
    if let Err(error) = outcome {
        let answer = error::of_clauses(attempted(), &error);
        if answer.kind != altergeist_contract::Kind::Refused {
            return Err(answer);
        }
        session.run(&sql::roll_back_clauses()).await.trying_clauses(attempted)?;
        return Ok((false, Err(answer.reason)));
    }
    session.run(&sql::end_clauses()).await.trying_clauses(attempted)?;
    for constraint in &request.clauses.validated {
        // A constraint that the clone lacks is a foreign key, which the swap carries.
        let validate = sql::validate_constraint(&table, constraint);
        session.run(&sql::savepoint("validation")).await.trying_clauses(attempted)?;
        let outcome = session.run(&validate).await;
        let end = match outcome {
            Ok(()) => sql::release("validation"),
            Err(_) => sql::roll_back_to("validation"),
        };
        session.run(&end).await.trying_clauses(attempted)?;
    }
    let after = storage(session, clone).await.trying_clauses(attempted)?;
    Ok((after.is_subset(&before) && !notices.iter().any(is_heavy), Ok(())))
}

/// Gives renamed columns their old names back. The dependents are created with these, and in the
/// swap the server writes the new names into them. A new column that has an old name steps aside
/// until then.
async fn hold_names_back(
    session: &Session,
    request: &CloneRequest<'_>,
    before: &[Attribute],
    schema: &str,
    altered: &mut Altered,
) -> Result<()> {
    let after = definition::attributes(session, altered.clone).await?;
    let old_name = |new: &Attribute| {
        before.iter().find(|old| old.number == new.number).map(|old| old.name.clone())
    };
    let kept: BTreeSet<String> = after.iter().filter_map(old_name).collect();
    let held = |new: &Attribute| match old_name(new) {
        Some(old) => old,
        None if kept.contains(&new.name) => format!("altergeist_new_{}", new.number),
        None => new.name.clone(),
    };
    let renamed: Vec<(i16, String, String)> =
        after.iter().map(|new| (new.number, held(new), new.name.clone())).collect();
    let renamed: Vec<_> = renamed.into_iter().filter(|(_, held, new)| held != new).collect();
    if renamed.is_empty() {
        return Ok(());
    }
    let unvalidated = &mut altered.final_steps.unvalidated;
    for column in unvalidated.iter_mut().flat_map(UnvalidatedKey::own_columns) {
        if let Some((_, held, _)) = renamed.iter().find(|(.., new)| new == column) {
            column.clone_from(held);
        }
    }
    let between = |number: i16| format!("altergeist_between_{number}");
    let clone = quote::qualified(schema, &request.names.table);
    let away =
        renamed.iter().map(|(number, _, new)| sql::rename_column(&clone, new, &between(*number)));
    let back =
        renamed.iter().map(|(number, held, _)| sql::rename_column(&clone, &between(*number), held));
    session
        .run(&away.chain(back).collect::<Vec<_>>().join(";\n"))
        .await
        .trying_clauses("hold back the new names of columns")?;
    let table = request.names.source();
    let away =
        renamed.iter().map(|(number, held, _)| sql::rename_column(&table, held, &between(*number)));
    let there =
        renamed.iter().map(|(number, _, new)| sql::rename_column(&table, &between(*number), new));
    altered.final_steps.renames = away.chain(there).collect();
    altered.final_steps.structure = Some(definition::structure(&altered.lines));
    altered.lines = definition::describe(session, altered.clone).await?;
    Ok(())
}

/// Returns the files of a table and its indexes, and how often the table was read. They stay equal
/// if the server rewrites, builds and scans nothing. Dropped indexes do not count.
async fn storage(
    session: &Session,
    table: u32,
) -> std::result::Result<BTreeSet<(u32, Option<u32>, i64)>, tokio_postgres::Error> {
    let rows = session.query(sql::STORAGE, &[&table]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Whether the server reported that it rewrites, scans or builds. The routine's name is the same in
/// every language.
fn is_heavy(notice: &Notice) -> bool {
    matches!(
        notice.routine.as_str(),
        "ATRewriteTable" | "index_build" | "validateForeignKeyConstraint"
    ) || notice.message.starts_with("rewriting table")
        || notice.message.starts_with("verifying table")
}

async fn read_outcome(
    session: &Session,
    request: &CloneRequest<'_>,
    before: &[Attribute],
    schema: &str,
    altered: &mut Altered,
) -> Result<()> {
    altered.lines = definition::describe(session, altered.clone).await?;
    let named = definition::attributes(session, altered.clone).await?;
    hold_names_back(session, request, before, schema, altered).await?;
    altered
        .refusals
        .extend(clone_checks::not_plain(session, request, schema, altered.clone).await?);
    let after = definition::attributes(session, altered.clone).await?;
    let sets = set_columns::as_held(request.sets, &named, &after);
    let request = &CloneRequest { sets: &sets, ..*request };
    altered.sets = sets.clone();
    altered.refusals.extend(set_refusals::refusals(request, before, &after));
    altered.changes = column_mapping::changes(request, before, &after);
    let is_same = |old: &Attribute| {
        let new = after.iter().find(|new| new.number == old.number);
        new.is_some_and(|new| new.stored_shape() == old.stored_shape())
    };
    altered.touched =
        before.iter().filter(|old| !is_same(old)).map(|old| old.name.clone()).collect();
    altered.touches_columns = !altered.touched.is_empty();
    altered.revalued = column_mapping::revalued(session, request, before, &after).await?;
    altered.demanded =
        after.iter().filter(|new| new.not_null).map(|new| new.name.clone()).collect();
    match request
        .key
        .map(|key| column_mapping::layout(request, key, before, &after, schema))
        .transpose()
    {
        Err(refusal) => altered.refusals.push(refusal),
        // Without a key the caller has already refused.
        Ok(None) => {}
        Ok(Some(layout)) => {
            altered.layout = Some(lookup_index::find_by_key(session, layout, altered.clone).await?);
        }
    }
    altered.refusals.extend(clone_checks::name_clashes(session, request, altered.clone).await?);
    Ok(())
}

fn not_carried(object: String) -> Finding {
    Finding::error(
        Code::Dependent,
        object,
        "a copy of the table cannot have it exactly as it is",
        "change it or drop it before this change",
    )
}
