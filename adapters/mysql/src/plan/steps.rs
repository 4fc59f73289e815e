//! Lists the statements that will run, and what each of them locks.

use crate::change::Change;
use crate::plan::trial::Trial;
use crate::schema::check_names;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::table::outline;
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Code, Finding, Plan, Step, Verdict};

/// What the catalogue says of the source as a whole.
pub(crate) struct TableFacts {
    pub kind: String,
    pub engine: String,
    pub rows: u64,
    pub bytes: u64,
    pub definition: String,
}

/// Composes the plan. `found` is what was found beside the trial.
pub(crate) fn compose_plan(
    change: &Change,
    facts: TableFacts,
    mut trial: Trial,
    found: Vec<Finding>,
) -> Plan {
    let steps = match (&trial.native, &trial.mapping) {
        (Some(statement), _) => {
            let lock = "exclusive, for an instant; the wait ends after --lock-timeout";
            vec![Step { statement: statement.clone(), lock: lock.into() }]
        }
        (None, Some(mapping)) => copy_steps(change, mapping, &trial),
        (None, None) => Vec::new(),
    };
    let mut findings = found;
    findings.append(&mut trial.findings);
    if trial.native.is_none() {
        let old = format!("the old table stays as {}", change.names.old.plain());
        findings.push(Finding::note(Code::Left, old));
        findings.extend(renamed_checks(change, &facts.definition));
    }
    findings.extend(left_out(change));
    Plan {
        terms: change.target.terms(),
        table: change.title.clone(),
        alter: change.request.given.clone(),
        bytes_estimated: if trial.native.is_some() { 0 } else { facts.bytes },
        verdict: trial.native.map_or(Verdict::Copy, Verdict::Native),
        server: change.server.version.major(),
        definition_before: outline(&facts.definition, &change.source.name, &[]).join("\n"),
        definition_after: trial.definition,
        findings,
        key: trial.mapping.as_ref().map(|mapping| mapping.key.describe()).unwrap_or_default(),
        rows_estimated: facts.rows,
        steps,
        cost: None,
        estimate: None,
    }
}

/// Names the clauses that say how, not what.
fn left_out(change: &Change) -> Option<Finding> {
    let means = change.request.means.join(", ");
    (!means.is_empty()).then(|| {
        let note =
            format!("the run leaves {means} out of the clauses: it chooses the method itself");
        Finding::note(Code::ClauseLeftOut, note)
    })
}

/// Names the constraints whose names the old table keeps. The new table cannot have these names
/// yet.
fn renamed_checks(change: &Change, definition: &str) -> Option<Finding> {
    if change.server.version.flavour == Flavour::MariaDb {
        return None;
    }
    let given: Vec<String> = check_names::checks(definition)
        .into_iter()
        .map(|check| check.name)
        .filter(|name| check_names::is_given(name, &change.source.name))
        .collect();
    (!given.is_empty()).then(|| {
        let note = format!(
            "the old table keeps the names of its CHECK constraints, and names are unique in a \
             schema. In the new table {} end in _ag. The next change removes this ending, once the \
             old table is dropped",
            given.join(", ")
        );
        Finding::note(Code::Left, note).count(given.len() as u64)
    })
}

fn step(change: &Change, statement: impl Into<String>, lock: &str) -> Step {
    let statement = statement.into().replace(&sql::sign(&change.source), "");
    Step { statement, lock: lock.into() }
}

fn copy_steps(change: &Change, mapping: &ColumnMapping, trial: &Trial) -> Vec<Step> {
    let mut steps = steps_of_copy(change, mapping);
    steps.extend(steps_of_builds(change, trial));
    steps.extend(steps_of_swap(change));
    steps
}

fn steps_of_copy(change: &Change, mapping: &ColumnMapping) -> Vec<Step> {
    let step = |statement: String, lock: &str| step(change, statement, lock);
    let instant = "shared, for an instant, as any query";
    let alter = &*change.request.effective;
    let mut steps = vec![
        step(sql::journal::create_journal(&change.names.journal), "none"),
        step(sql::journal::create_beat(&change.names.beat), "none"),
        step(sql::order_table::create_orders(&change.names.orders), "none"),
        step(sql::order_table::create_history(&change.names.history), "none"),
        step(sql::ddl::create_like(&change.source, &change.names.shadow), instant),
    ];
    if !alter.is_empty() {
        steps.push(step(sql::ddl::alter(&change.source, &change.names.shadow, alter), "none"));
    }
    let index = sql::quote(&mapping.key.index);
    let (shadow, source) = (sql::table(&change.names.shadow), sql::table(&change.source));
    let copy = format!(
        "INSERT INTO {shadow} … SELECT … FROM {source} FORCE INDEX ({index}) WHERE …, chunk by \
         chunk"
    );
    let refresh = "for each row that changes meanwhile: DELETE it from the shadow, INSERT it as it \
                   is in the source";
    steps.push(step(copy, "none"));
    steps.push(step(refresh.to_owned(), "none"));
    steps
}

fn steps_of_builds(change: &Change, trial: &Trial) -> Vec<Step> {
    let mut steps = Vec::new();
    let add =
        |indexes: &[String]| sql::ddl::add_indexes(&change.source, &change.names.shadow, indexes);
    if !trial.deferred.is_empty() {
        let lock = "none. Replicas replay this as one statement and lag meanwhile (--keep-indexes \
                    creates the indexes before the copy)";
        steps.push(step(change, add(&trial.deferred), lock));
    }
    for index in &trial.full_text {
        let lock = "none. Refreshes of the shadow wait meanwhile";
        steps.push(step(change, add(std::slice::from_ref(index)), lock));
    }
    let analyze = sql::ddl::analyze(&change.source, &change.names.shadow);
    steps.push(step(change, analyze, "none"));
    steps
}

fn steps_of_swap(change: &Change) -> [Step; 2] {
    let (source, names) = (&change.source, &change.names);
    let (lock, rename, what) = match change.server.version.flavour {
        Flavour::MySql => (
            sql::cutover::lock_both(source, &names.shadow),
            sql::cutover::rename_both(source, &names.old, &names.shadow),
            "exclusive, until the last changes are in the shadow; the wait ends after \
             --lock-timeout",
        ),
        Flavour::MariaDb => (
            sql::cutover::lock_against_writes(source),
            sql::cutover::rename_both_on(
                source,
                &names.old,
                &names.shadow,
                &names.sentry,
                &names.used_sentry,
            ),
            "against writes, until the last changes are in the shadow; the wait ends after \
             --lock-timeout",
        ),
    };
    [step(change, lock, what), step(change, rename, "exclusive, for an instant")]
}
