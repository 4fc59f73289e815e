//! Writes the plan: the statements, their locks, and what an operator must know.

use crate::change::Change;
use crate::cutover::materialized_views::MaterializedView;
use crate::plan::survey::Survey;
use crate::schema::altered::Altered;
use crate::schema::columns::Layout;
use crate::schema::definition::Line;
use crate::sql;
use altergeist_contract::{Code, Finding, Plan, Step, Strategy, Verdict};

/// Returns the plan of a change that is refused before the inspection.
pub(crate) fn refused_at_once(change: &Change, refusal: Finding) -> Plan {
    Plan {
        table: change.names.display.clone(),
        alter: change.alter.given.clone(),
        server: change.version.major(),
        findings: vec![refusal],
        ..Plan::default()
    }
}

/// The definition as text. Another definition is another text.
fn definition_text(lines: &[Line]) -> String {
    let line = |line: &Line| format!("{} {}\n", line.object, line.definition);
    lines.iter().map(line).collect()
}

pub(crate) fn write_plan(change: &Change, survey: Survey, data: Vec<Finding>) -> Plan {
    let verdict = match () {
        () if survey.is_native => Verdict::Native(statements(change).join("; ")),
        () if survey.online_steps.is_some() => Verdict::Online,
        () => Verdict::Copy,
    };
    let is_copy = verdict == Verdict::Copy;
    let altered = survey.altered.as_ref();
    let layout = altered.and_then(|altered| altered.layout.as_ref()).filter(|_| is_copy);
    let steps = match (&verdict, &survey.online_steps) {
        (Verdict::Native(_), _) => native_steps(change),
        (Verdict::Online, Some(online_steps)) => online_steps.steps(change.target.lock_timeout),
        _ => copy_steps(change, altered, &survey.dependents, &survey.locked_relations),
    };
    Plan {
        terms: change.target.terms(),
        table: change.names.display.clone(),
        alter: change.alter.given.clone(),
        key: layout.map(Layout::key_description).unwrap_or_default(),
        rows_estimated: survey.rows.unsigned_abs(),
        bytes_estimated: if is_copy { survey.bytes.unsigned_abs() } else { 0 },
        steps,
        verdict,
        server: change.version.major(),
        definition_before: altered.map(|it| definition_text(&it.source_lines)).unwrap_or_default(),
        definition_after: altered.map(|it| definition_text(&it.lines)).unwrap_or_default(),
        findings: findings(change, survey, data, is_copy),
        cost: None,
        estimate: None,
    }
}

fn findings(change: &Change, survey: Survey, data: Vec<Finding>, is_copy: bool) -> Vec<Finding> {
    let mut findings = survey.refusals;
    if change.target.strategy == Strategy::Native && is_copy {
        findings.push(Finding::error(
            Code::NotNative,
            format!("the clauses for {}", change.names.display),
            "the server would rewrite or scan the table under its lock",
            "leave --strategy native out: a copy then does it",
        ));
    }
    if is_copy {
        findings.extend(survey.obstacles);
        findings.extend(survey.native_only);
    }
    findings.extend(survey.bound);
    let altered = survey.altered.as_ref();
    findings.extend(altered.into_iter().flat_map(|altered| altered.refusals.clone()));
    findings.extend(data);
    findings.extend(survey.notes);
    if is_copy {
        findings.extend(notes_on_copy(altered));
        findings.extend(survey.notes_on_copy);
        findings.extend(repack(change));
        findings.extend(survey.materialized.iter().filter_map(MaterializedView::note));
    }
    findings
}

fn notes_on_copy(altered: Option<&Altered>) -> Vec<Finding> {
    let mut notes = vec![Finding::note(
        Code::Method,
        "prepared statements that read every column (SELECT *) may fail once after the swap, as \
         after any ALTER TABLE",
    )];
    let Some(altered) = altered else { return notes };
    let made_up = altered.changes.added.iter().filter(|(_, value)| value.is_none());
    notes.extend(made_up.map(|(column, _)| {
        let message =
            "it gets another value in every row, and a new one whenever a row is refreshed";
        Finding::note(Code::VolatileExpression, message).about(format!("column {column}"))
    }));
    let columns = altered.layout.iter().flat_map(|layout| &layout.columns);
    let computed: Vec<&str> =
        columns.filter(|column| column.value.ends_with(')')).map(|column| &*column.name).collect();
    if !computed.is_empty() {
        let message = "they must always give the same value for the same row, or the comparison \
                       stops the change";
        let object = format!("the expressions for {}", computed.join(", "));
        notes.push(Finding::note(Code::VolatileExpression, message).about(object));
    }
    notes
}

/// Returns a note if the server can do a plain rebuild itself.
fn repack(change: &Change) -> Option<Finding> {
    let is_plain = change.alter.is_empty() && change.target.create.is_none();
    (is_plain && change.version.has_repack()).then(|| {
        let message = format!(
            "the server can rebuild the table itself while it is written to: {}. It cannot be \
             throttled, paused or resumed, it proves nothing, and transactions with an older \
             snapshot see an empty table",
            sql::repack(&change.names.source())
        );
        Finding::note(Code::Alternative, message)
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
            "ACCESS EXCLUSIVE{} while the last changes are applied, {wait}; retried if the run \
             does not get it",
            also(locked_relations)
        ),
    ));
    if !dependents.is_empty() {
        let made = format!(
            "in the same transaction, create on the new table as they were: {}",
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
        Some(_) => format!("the statements of the file, which create {shadow}"),
        None => sql::shown_shadow(&shadow, &change.alter.given),
    }
}

fn step(statement: &str, lock: &str) -> Step {
    Step { statement: statement.to_owned(), lock: lock.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::alter_request::AlterRequest;
    use crate::server::names::Names;
    use crate::server::version::Version;
    use altergeist_contract::Target;

    #[test]
    fn a_plain_rebuild_can_be_left_to_a_server_that_has_repack() {
        let change = |version: i32, alter: &str| Change {
            target: Target::default(),
            alter: AlterRequest::read(alter),
            sets: Ok(Vec::new()),
            database: "d".to_owned(),
            names: Names::new("d", "s", "t"),
            version: Version::accept(version).unwrap(),
            search_path: String::new(),
            incarnation: String::new(),
        };
        let note = repack(&change(190_000, "")).unwrap();
        assert!(note.message.contains("REPACK (CONCURRENTLY) s.t"), "{}", note.message);
        assert!(repack(&change(180_000, "")).is_none());
        assert!(repack(&change(190_000, "ADD x int")).is_none());
    }
}
