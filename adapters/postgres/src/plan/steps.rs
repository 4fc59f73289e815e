//! Writes the plan: the statements, their locks, and what an operator must know.

use crate::change::Change;
use crate::cutover::materialized_views::MaterializedView;
use crate::plan::survey::Survey;
use crate::schema::altered::Altered;
use crate::schema::definition::Line;
use crate::sql;
use altergeist_contract::{Code, Finding, Plan, Refusal, Step, Strategy, Verdict};

/// Returns the plan of a change that is refused before the inspection.
pub(crate) fn refused_at_once(change: &Change, refusal: Refusal) -> Plan {
    Plan {
        table: change.names.display.clone(),
        alter: change.alter.given.clone(),
        server: change.version.major(),
        findings: vec![refusal.into()],
        ..Plan::default()
    }
}

/// The definition as text. Another definition is another text.
fn definition_text(lines: &[Line]) -> String {
    let line = |line: &Line| format!("{} {}\n", line.object, line.definition);
    lines.iter().map(line).collect()
}

pub(crate) fn write_plan(change: &Change, survey: Survey, data: Vec<Refusal>) -> Plan {
    let strategy = change.target.strategy;
    let verdict = match () {
        () if survey.is_native => Verdict::Native(statements(change).join("; ")),
        () if survey.online_steps.is_some() => Verdict::Online,
        () => Verdict::Copy,
    };
    let (is_native, is_copy) = (matches!(verdict, Verdict::Native(_)), verdict == Verdict::Copy);
    let mut refusals = survey.refusals;
    if strategy == Strategy::Native && is_copy {
        refusals.push(Refusal::new(
            format!("the clauses for {}", change.names.display),
            "the server would rewrite or scan the table under its lock",
            "let it be done by a copy",
        ));
    }
    if is_copy {
        refusals.extend(survey.obstacles);
        refusals.extend(survey.native_only);
    }
    refusals.extend(survey.bound);
    refusals
        .extend(survey.altered.as_ref().into_iter().flat_map(|altered| altered.refusals.clone()));
    refusals.extend(data);
    let layout =
        survey.altered.as_ref().and_then(|altered| altered.layout.as_ref()).filter(|_| is_copy);
    let mut notes = survey.notes;
    if is_copy {
        notes.extend(notes_on_copy(survey.altered.as_ref()));
        notes.extend(survey.notes_on_copy);
        notes.extend(repack(change));
        notes.extend(survey.materialized.iter().filter_map(MaterializedView::note));
    }
    let notes = notes.into_iter().map(|note| Finding::note(Code::Other, note));
    let altered = survey.altered.as_ref();
    let definition_before = altered.map(|it| definition_text(&it.source_lines)).unwrap_or_default();
    let definition_after = altered.map(|it| definition_text(&it.lines)).unwrap_or_default();
    let steps = match &survey.online_steps {
        Some(online_steps) if !is_copy && !is_native => {
            online_steps.steps(change.target.lock_timeout)
        }
        _ if is_native => native_steps(change),
        _ => copy_steps(
            change,
            survey.altered.as_ref(),
            &survey.dependents,
            &survey.locked_relations,
        ),
    };
    Plan {
        table: change.names.display.clone(),
        alter: change.alter.given.clone(),
        key: layout.map(crate::schema::columns::Layout::key_description).unwrap_or_default(),
        rows_estimated: survey.rows.unsigned_abs(),
        bytes_estimated: if is_copy { survey.bytes.unsigned_abs() } else { 0 },
        steps,
        verdict,
        findings: refusals.into_iter().map(Finding::from).chain(notes).collect(),
        server: change.version.major(),
        definition_before,
        definition_after,
    }
}

fn notes_on_copy(altered: Option<&Altered>) -> Vec<String> {
    let mut notes = vec![
        "prepared statements that read every column (SELECT *) may fail once after the swap, as \
         after any ALTER TABLE"
            .to_owned(),
    ];
    let Some(altered) = altered else { return notes };
    for (column, value) in &altered.changes.added {
        if value.is_none() {
            notes.push(format!(
                "column {column} gets a value of its own in every row, and a new one whenever the \
                 row is refreshed"
            ));
        }
    }
    let uses_expression = altered
        .layout
        .iter()
        .flat_map(|layout| &layout.columns)
        .any(|column| column.value.ends_with(')'));
    if uses_expression {
        notes.push(
            "the expressions behind USING must give the same whenever they are computed, \
                    or the comparison will stop the change"
                .to_owned(),
        );
    }
    notes
}

/// Returns a note if the server can do a plain rebuild itself.
fn repack(change: &Change) -> Option<String> {
    let is_plain = change.alter.is_empty() && change.target.create.is_none();
    let source = change.names.source();
    (is_plain && change.version.has_repack()).then(|| {
        format!(
            "this server can rebuild the table by itself while it is written to: REPACK \
                 (CONCURRENTLY) {source}"
        )
    })
}

/// Returns the clauses as statements on the table.
pub(crate) fn statements(change: &Change) -> Vec<String> {
    let table = change.names.source();
    // The server gets the clauses as the user gave them, whatever foreign keys there are.
    let given = change.alter.native(&change.names);
    given.iter().map(|clauses| sql::alter_table(&table, clauses)).collect()
}

fn native_steps(change: &Change) -> Vec<Step> {
    let lock = format!(
        "ACCESS EXCLUSIVE at most, for an instant, after a wait of at most {:?}",
        change.target.lock_timeout
    );
    statements(change).iter().map(|statement| step(statement, &lock)).collect()
}

fn copy_steps(
    change: &Change,
    altered: Option<&Altered>,
    dependents: &[String],
    locked_relations: &[String],
) -> Vec<Step> {
    let names = &change.names;
    let wait = format!("after a wait of at most {:?}", change.target.lock_timeout);
    let final_steps = altered.map(|altered| altered.final_steps.clone()).unwrap_or_default();
    let mut steps = vec![
        step(
            &sql::shown_publication(&names.publication, &names.display),
            &format!("SHARE UPDATE EXCLUSIVE for an instant, {wait}: reads and writes go on"),
        ),
        step(&format!("create the replication slot {}", names.slot), "none"),
        step(&how_made(change), "none"),
        step(&sql::shown_copy(names), "ACCESS SHARE for each statement: what any SELECT takes"),
        step(
            "refresh rows that change meanwhile, as the log names them",
            "ACCESS SHARE for each statement",
        ),
        step(sql::SHOWN_INDEXES, "none"),
        step(sql::SHOWN_VACUUM, "none"),
        step("compare both tables", "ACCESS SHARE for each statement"),
    ];
    let also = |names: &[String]| match names {
        [] => String::new(),
        names => format!(", and on {}", names.join(", ")),
    };
    steps.push(step(
        &sql::shown_swap(names),
        &format!(
            "ACCESS EXCLUSIVE{} while the last changes are brought over, {wait}; tried again if \
             it does not come",
            also(locked_relations)
        ),
    ));
    if !dependents.is_empty() {
        let made = format!(
            "in the same transaction, made on the new table as they were: {}",
            dependents.join(", ")
        );
        steps.push(step(&made, "the same"));
    }
    let in_the_swap = final_steps.renames.iter().chain(&final_steps.clauses);
    steps.extend(in_the_swap.map(|statement| step(statement, "within the same transaction")));
    let scan = "SHARE UPDATE EXCLUSIVE while the rows are read: reads and writes go on";
    steps.extend(final_steps.validations.iter().map(|statement| step(statement, scan)));
    if dependents.iter().any(|object| object.starts_with("foreign key ")) {
        steps.push(step(
            sql::SHOWN_VALIDATION,
            "SHARE UPDATE EXCLUSIVE and ROW SHARE: reads and writes go on",
        ));
    }
    steps
}

/// Returns how the plan shows the creation of the shadow.
fn how_made(change: &Change) -> String {
    let shadow = change.names.shadow();
    match &change.target.create {
        Some(_) => format!("the statements of the file, which make {shadow}"),
        None => sql::shown_shadow(&shadow, &change.alter.given),
    }
}

fn step(statement: &str, lock: &str) -> Step {
    Step { statement: statement.to_owned(), lock: lock.to_owned() }
}
