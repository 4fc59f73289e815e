//! Writes the plan: the statements, their locks, and what an operator must know.

use crate::cutover::materialized_views::Materialized;
use crate::plan::view::View;
use crate::schema::altered::Altered;
use crate::server::error::refuse;
use crate::server::session::locked;
use crate::state::Postgres;
use altergeist_contract::{Plan, Refusal, Step, Strategy, Verdict};

/// The plan of a change that cannot even be looked at.
pub(crate) fn refused_at_once(engine: &Postgres, refusal: Refusal) -> Plan {
    Plan {
        table: engine.names.display.clone(),
        alter: engine.change.given.clone(),
        key: String::new(),
        rows_estimated: 0,
        bytes_estimated: 0,
        steps: Vec::new(),
        verdict: Verdict::Copy,
        refusals: vec![refusal],
        notes: Vec::new(),
    }
}

pub(crate) fn write_plan(engine: &Postgres, view: View, data: Vec<Refusal>) -> Plan {
    let strategy = engine.target.strategy;
    let verdict = match () {
        () if view.is_native && strategy != Strategy::Copy => {
            Verdict::Native(statements(engine).join("; "))
        }
        () if view.recipe.is_some() => Verdict::Online,
        () => Verdict::Copy,
    };
    let (is_native, is_copy) = (matches!(verdict, Verdict::Native(_)), verdict == Verdict::Copy);
    let mut refusals = view.refusals;
    if strategy == Strategy::Native && is_copy {
        refusals.push(refuse(
            format!("the clauses for {}", engine.names.display),
            "the server would rewrite or scan the table under its lock",
            "let it be done by a copy",
        ));
    }
    if is_copy {
        refusals.extend(view.obstacles);
        refusals.extend(view.native_only);
    }
    refusals.extend(view.bound);
    refusals.extend(view.altered.as_ref().into_iter().flat_map(|altered| altered.refusals.clone()));
    refusals.extend(data);
    let layout =
        view.altered.as_ref().and_then(|altered| altered.layout.as_ref()).filter(|_| is_copy);
    let mut notes = view.notes;
    if is_copy {
        notes.extend(notes_on_copy(view.altered.as_ref()));
        notes.extend(view.notes_on_copy);
        notes.extend(repack(engine));
        notes.extend(view.materialized.iter().filter_map(Materialized::note));
    }
    let steps = match &view.recipe {
        Some(recipe) if !is_copy && !is_native => recipe.steps(engine.target.lock_timeout),
        _ if is_native => native_steps(engine),
        _ => copy_steps(engine, view.altered.as_ref(), &view.hanging, &view.neighbours),
    };
    *locked(&engine.recipe) = view.recipe;
    Plan {
        table: engine.names.display.clone(),
        alter: engine.change.given.clone(),
        key: layout.map(crate::schema::columns::Layout::key_description).unwrap_or_default(),
        rows_estimated: view.rows.unsigned_abs(),
        bytes_estimated: if is_copy { view.bytes.unsigned_abs() } else { 0 },
        steps,
        verdict,
        refusals,
        notes,
    }
}

fn notes_on_copy(altered: Option<&Altered>) -> Vec<String> {
    let mut notes = vec![
        "prepared statements that read every column (SELECT *) may fail once after the swap, as \
         after any ALTER TABLE"
            .to_owned(),
    ];
    let Some(altered) = altered else { return notes };
    for (column, value) in &altered.news.added {
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

/// A newer server can do a plain rebuild by itself.
fn repack(engine: &Postgres) -> Option<String> {
    let is_plain = engine.change.is_empty() && engine.target.create.is_none();
    let source = engine.names.source();
    (is_plain && engine.version.has_repack()).then(|| {
        format!(
            "this server can rebuild the table by itself while it is written to: REPACK \
                 (CONCURRENTLY) {source}"
        )
    })
}

/// The clauses as statements on the table.
pub(crate) fn statements(engine: &Postgres) -> Vec<String> {
    let table = engine.names.source();
    // What is given to the server is what was given to us, whatever foreign keys there are.
    let given = engine.change.native(&engine.names);
    given.iter().map(|clauses| format!("ALTER TABLE {table} {clauses}")).collect()
}

fn native_steps(engine: &Postgres) -> Vec<Step> {
    let lock = format!(
        "ACCESS EXCLUSIVE at most, for an instant, after a wait of at most {:?}",
        engine.target.lock_timeout
    );
    statements(engine).iter().map(|statement| step(statement, &lock)).collect()
}

fn copy_steps(
    engine: &Postgres,
    altered: Option<&Altered>,
    hanging: &[String],
    neighbours: &[String],
) -> Vec<Step> {
    let names = &engine.names;
    let wait = format!("after a wait of at most {:?}", engine.target.lock_timeout);
    let arrival = altered.map(|altered| altered.arrival.clone()).unwrap_or_default();
    let mut steps = vec![
        step(
            &format!(
                "CREATE PUBLICATION {} FOR TABLE {} (key columns)",
                names.publication, names.display
            ),
            &format!("SHARE UPDATE EXCLUSIVE for an instant, {wait}: reads and writes go on"),
        ),
        step(&format!("create the replication slot {}", names.slot), "none"),
        step(&how_made(engine), "none"),
        step(
            &format!(
                "INSERT INTO {} SELECT … FROM {}, chunk by chunk",
                names.shadow(),
                names.display
            ),
            "ACCESS SHARE for each statement: what any SELECT takes",
        ),
        step(
            "refresh rows that change meanwhile, as the log names them",
            "ACCESS SHARE for each statement",
        ),
        step("CREATE INDEX on the shadow, for the indexes left out while copying", "none"),
        step("VACUUM (ANALYZE) of the shadow", "none"),
        step("compare both tables", "ACCESS SHARE for each statement"),
    ];
    let also = |names: &[String]| match names {
        [] => String::new(),
        names => format!(", and on {}", names.join(", ")),
    };
    steps.push(step(
        &format!(
            "ALTER TABLE {} SET SCHEMA {}; ALTER TABLE {} SET SCHEMA {}",
            names.display,
            names.old_schema,
            names.shadow(),
            names.schema
        ),
        &format!(
            "ACCESS EXCLUSIVE{} while the last changes are brought over, {wait}; tried again if \
             it does not come",
            also(neighbours)
        ),
    ));
    if !hanging.is_empty() {
        let made = format!(
            "in the same transaction, made on the new table as they were: {}",
            hanging.join(", ")
        );
        steps.push(step(&made, "the same"));
    }
    let in_the_swap = arrival.renames.iter().chain(&arrival.clauses);
    steps.extend(in_the_swap.map(|statement| step(statement, "within the same transaction")));
    let scan = "SHARE UPDATE EXCLUSIVE while the rows are read: reads and writes go on";
    steps.extend(arrival.validations.iter().map(|statement| step(statement, scan)));
    if hanging.iter().any(|object| object.starts_with("foreign key ")) {
        steps.push(step(
            "VALIDATE CONSTRAINT for the foreign keys that were valid",
            "SHARE UPDATE EXCLUSIVE and ROW SHARE: reads and writes go on",
        ));
    }
    steps
}

/// How the shadow comes about.
fn how_made(engine: &Postgres) -> String {
    let shadow = engine.names.shadow();
    match &engine.target.create {
        Some(_) => format!("the statements of the file, which make {shadow}"),
        None => format!(
            "CREATE TABLE {shadow} like the table; ALTER TABLE {shadow} {}",
            engine.change.given
        ),
    }
}

fn step(statement: &str, lock: &str) -> Step {
    Step { statement: statement.to_owned(), lock: lock.to_owned() }
}
