//! Lists the statements that will run, and what each of them locks.

use crate::change::Change;
use crate::plan::trial::Trial;
use crate::schema::check_names;
use crate::schema::columns::Shape;
use crate::schema::table::outline;
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Code, Finding, Plan, Refusal, Step, Verdict};

/// What the catalogue says of the source as a whole.
pub(crate) struct TableFacts {
    pub kind: String,
    pub engine: String,
    pub rows: u64,
    pub bytes: u64,
    pub definition: String,
}

pub(crate) fn compose_plan(
    change: &Change,
    facts: TableFacts,
    trial: Trial,
    refusals: Vec<Refusal>,
) -> Plan {
    let mut notes = Vec::new();
    let mut plan = Plan {
        table: change.title.clone(),
        alter: change.request.given.clone(),
        verdict: Verdict::Copy,
        server: change.server.version.major(),
        definition_before: outline(&facts.definition, &change.source.name, &[]).join("\n"),
        definition_after: trial.definition,
        findings: refusals.into_iter().map(Finding::from).collect(),
        key: trial.shape.as_ref().map(|shape| shape.key.describe()).unwrap_or_default(),
        rows_estimated: facts.rows,
        bytes_estimated: facts.bytes,
        steps: trial
            .shape
            .as_ref()
            .map(|shape| copy_steps(change, shape, &trial))
            .unwrap_or_default(),
    };
    if let Some(statement) = trial.native {
        let lock = "exclusive, for an instant; the wait ends after --lock-timeout";
        plan.steps = vec![Step { statement: statement.clone(), lock: lock.into() }];
        plan.bytes_estimated = 0;
        plan.verdict = Verdict::Native(statement);
    } else {
        notes.push(format!("the old table stays as {}", change.names.old.plain()));
        notes.push("the binary log grows by about the table's size".to_owned());
        notes.extend(renamed_checks(change, &facts.definition));
    }
    notes.extend(trial.notes);
    if !change.request.means.is_empty() {
        let means = change.request.means.join(", ");
        notes.push(format!(
            "the run leaves {means} out of the clauses: it chooses the method itself"
        ));
    }
    plan.findings.extend(notes.into_iter().map(|note| Finding::note(Code::Other, note)));
    plan
}

/// Names the constraints whose names the old table keeps. The new table cannot have these names
/// yet.
pub(crate) fn renamed_checks(change: &Change, definition: &str) -> Option<String> {
    if change.server.version.flavour == Flavour::MariaDb {
        return None;
    }
    let given: Vec<String> = check_names::checks(definition)
        .into_iter()
        .map(|check| check.name)
        .filter(|name| check_names::is_given(name, &change.source.name))
        .collect();
    (!given.is_empty()).then(|| {
        format!(
            "the old table keeps the names of its CHECK constraints, and names are unique in a \
             schema. In the new table {} end in _ag. The next change removes this ending, once \
             the old table is dropped",
            given.join(", ")
        )
    })
}

pub(crate) fn copy_steps(change: &Change, shape: &Shape, trial: &Trial) -> Vec<Step> {
    let step = |statement: String, lock: &str| Step {
        statement: statement.replace(&sql::sign(&change.source), ""),
        lock: lock.into(),
    };
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
    let index = sql::quote(&shape.key.index);
    steps.push(step(
        format!(
            "INSERT INTO {} … SELECT … FROM {} FORCE INDEX ({index}) WHERE …, chunk by chunk",
            sql::table(&change.names.shadow),
            sql::table(&change.source)
        ),
        "none",
    ));
    steps.push(step(
        "for each row that changes meanwhile: DELETE it from the shadow, INSERT it as it is in \
         the source"
            .to_owned(),
        "none",
    ));
    if !trial.deferred.is_empty() {
        let lock = "none. Replicas replay this as one statement and lag meanwhile (--keep-indexes \
                    creates the indexes before the copy)";
        steps.push(step(
            sql::ddl::add_indexes(&change.source, &change.names.shadow, &trial.deferred),
            lock,
        ));
    }
    for index in &trial.full_text {
        let add = sql::ddl::add_indexes(
            &change.source,
            &change.names.shadow,
            std::slice::from_ref(index),
        );
        steps.push(step(add, "none. Refreshes of the shadow wait meanwhile"));
    }
    steps.push(step(sql::ddl::analyze(&change.source, &change.names.shadow), "none"));
    let (lock, rename, what) = match change.server.version.flavour {
        Flavour::MySql => {
            let rename =
                sql::cutover::rename_both(&change.source, &change.names.old, &change.names.shadow);
            (
                sql::cutover::lock_both(&change.source, &change.names.shadow),
                rename,
                "exclusive, until the last changes are in the shadow; the wait ends after \
                 --lock-timeout",
            )
        }
        Flavour::MariaDb => {
            let names = &change.names;
            let rename = sql::cutover::rename_both_on(
                &change.source,
                &names.old,
                &names.shadow,
                &names.sentry,
                &names.used_sentry,
            );
            (
                sql::cutover::lock_against_writes(&change.source),
                rename,
                "against writes, until the last changes are in the shadow; the wait ends after \
                 --lock-timeout",
            )
        }
    };
    steps.push(step(lock, what));
    steps.push(step(rename, "exclusive, for an instant"));
    steps
}
