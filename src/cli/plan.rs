//! `plan`: judges one change, or the statements of a file, and prints what it found.

use crate::cli::commands::{ask, failed};
use crate::cli::engines::Task;
use crate::cli::migration_file::{Kind, Sql, Statement, same_name, statements};
use crate::cli::plan_args::PlanArgs;
use crate::interface::log::say_error;
use crate::interface::output::print;
use crate::interface::plan::baseline::Baseline;
use crate::interface::plan::{Judged, Place, render};
use altergeist::contract::{Code, Engine, Finding, Plan, Target};
use altergeist::{Failure, Wishes};
use std::collections::BTreeSet;
use std::path::Path;

/// From this many rows on, one statement that changes all of them is worth a warning.
const MANY_ROWS: u64 = 10_000;

/// Shows what would happen. Exit code 0, or 3 if it found something that counts.
pub async fn plan(args: &PlanArgs) -> u8 {
    if let Err(reason) = args.check() {
        return usage(&reason);
    }
    let baseline = match args.baseline.as_deref().map(read_baseline).transpose() {
        Ok(baseline) => baseline.unwrap_or_default(),
        Err(reason) => return usage(&reason),
    };
    let judged = match &args.file {
        None => plan_of(args).await.map(|plan| vec![of_command_line(plan)]),
        Some(file) => match read_statements(&args.target(), file) {
            Ok(statements) => judge_file(args, file, statements).await,
            Err(reason) => return usage(&reason),
        },
    };
    let mut judged = match judged {
        Err(failure) => return failed(&failure),
        Ok(judged) => judged,
    };
    if let Some(path) = &args.write_baseline
        && let Err(error) = std::fs::write(path, Baseline::of(&judged).write())
    {
        return usage(&format!("{} cannot be written: {error}", path.display()));
    }
    for one in &mut judged {
        baseline.apply(one);
    }
    let printed = print(&render(args.format(), &judged));
    let counts = |one: &Judged| one.worst().is_some_and(|worst| worst >= args.fail_on.severity());
    if args.write_baseline.is_none() && judged.iter().any(counts) { 3 } else { printed }
}

/// Plans one change, without printing anything.
pub async fn plan_of(args: &PlanArgs) -> Result<Plan, Failure> {
    ask(&args.target(), task(args)).await
}

fn usage(reason: &str) -> u8 {
    say_error(&format!("altergeist: {reason}"));
    2
}

fn of_command_line(plan: Plan) -> Judged {
    Judged { plan, place: None, known: Vec::new() }
}

fn read_baseline(path: &Path) -> Result<Baseline, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| Baseline::read(&text))
        .map_err(|reason| format!("the baseline {} cannot be read: {reason}", path.display()))
}

fn read_statements(target: &Target, file: &Path) -> Result<Vec<Statement>, String> {
    let is_mysql = target.url.starts_with("mysql") || target.url.starts_with("mariadb");
    let sql = if is_mysql { Sql::MySql } else { Sql::Postgres };
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    text.and_then(|text| statements(sql, &text))
        .map_err(|reason| format!("{} cannot be read: {reason}", file.display()))
}

/// Judges each statement against the tables as they are now.
async fn judge_file(
    args: &PlanArgs,
    file: &Path,
    statements: Vec<Statement>,
) -> Result<Vec<Judged>, Failure> {
    let mut judged = Vec::new();
    let (mut created, mut altered) = (BTreeSet::new(), BTreeSet::new());
    for statement in statements {
        let plan = match statement.kind {
            Kind::Create { table } => {
                created.insert(same_name(&table));
                continue;
            }
            Kind::Alter { ref table, .. }
            | Kind::CreateIndex { ref table, .. }
            | Kind::Removes { ref table, .. }
            | Kind::Rows { ref table, .. }
                if created.contains(&same_name(table)) =>
            {
                continue;
            }
            Kind::Removes { verb, table } => removed(verb, table),
            Kind::Alter { table, clauses } => {
                let target = Target { table: table.clone(), alter: clauses, ..args.target() };
                let mut plan = judge_alter(&target, task(args)).await?;
                if !altered.insert(same_name(&table)) {
                    plan.findings.push(judged_alone());
                }
                plan
            }
            Kind::CreateIndex { table, unique, concurrently } => {
                judge_index(args, table, unique, concurrently).await?
            }
            Kind::Rows { verb, table, has_condition } => {
                judge_rows(args, verb, table, has_condition).await?
            }
            Kind::Other(words) => not_judged(&words),
        };
        let place = Place { file: file.display().to_string(), line: statement.line };
        judged.push(Judged { plan, place: Some(place), known: Vec::new() });
    }
    Ok(judged)
}

fn judged_alone() -> Finding {
    let said = "an earlier statement of this file changes the same table; this one is judged as if \
                it came first";
    Finding::note(Code::NotJudged, said)
}

fn not_judged(words: &str) -> Plan {
    let said = "this kind of statement is not judged";
    Plan {
        alter: format!("{words} …"),
        findings: vec![Finding::note(Code::NotJudged, said)],
        ..Plan::default()
    }
}

/// A change that cannot even be planned is a finding about its statement, unless the server is out
/// of reach: then no other statement can be judged either.
async fn judge_alter(target: &Target, task: PlanTask) -> Result<Plan, Failure> {
    use altergeist::contract::Kind as ErrorKind;
    match ask(target, task).await {
        Err(Failure::Error(error)) if error.kind == ErrorKind::Refused => Ok(Plan {
            table: target.table.clone(),
            alter: target.alter.clone(),
            findings: vec![Finding::error(
                Code::TableKind,
                format!("table {}", target.table),
                error.reason,
                "correct the statement, or the table's name",
            )],
            ..Plan::default()
        }),
        planned => planned,
    }
}

/// The table as it is: a plan without clauses, of which only the facts are used.
async fn facts(args: &PlanArgs, table: String) -> Result<Plan, Failure> {
    let target = Target { table, alter: String::new(), ..args.target() };
    let plan = judge_alter(&target, PlanTask::default()).await?;
    Ok(Plan {
        table: plan.table,
        rows_estimated: plan.rows_estimated,
        server: plan.server,
        ..Plan::default()
    })
}

/// An index that is no clause. What a unique one would find is what the constraint would find.
async fn judge_index(
    args: &PlanArgs,
    table: String,
    unique: Option<String>,
    concurrently: bool,
) -> Result<Plan, Failure> {
    let mut plan = facts(args, table.clone()).await?;
    plan.alter = "CREATE INDEX".into();
    if !concurrently {
        plan.findings.push(Finding::warning(
            Code::BlockingIndex,
            format!("table {}", plan.table),
            "CREATE INDEX blocks every write until the index is built",
            "write CREATE INDEX CONCURRENTLY, outside a transaction",
        ));
    }
    if let Some(columns) = unique {
        let target = Target { table, alter: format!("ADD UNIQUE {columns}"), ..args.target() };
        let found = judge_alter(&target, PlanTask::default()).await?.findings;
        plan.findings.extend(found.into_iter().filter(|it| it.code == Code::UniqueDuplicates));
    }
    Ok(plan)
}

/// A statement that takes a table's rows away: nothing of it can be undone.
fn removed(verb: &str, table: String) -> Plan {
    let finding = Finding::warning(
        Code::DropsData,
        format!("table {table}"),
        format!("{verb} takes every row away, and nothing brings them back"),
        "rename the table first, and drop it when nobody has missed it",
    );
    Plan { table, alter: verb.to_owned(), findings: vec![finding], ..Plan::default() }
}

async fn judge_rows(
    args: &PlanArgs,
    verb: &str,
    table: String,
    has_condition: bool,
) -> Result<Plan, Failure> {
    let mut plan = facts(args, table).await?;
    plan.alter = verb.to_owned();
    if plan.rows_estimated < MANY_ROWS {
        return Ok(plan);
    }
    let rows = plan.rows_estimated;
    let (object, remedy) = (format!("table {}", plan.table), "do it in batches by key ranges");
    let said = match has_condition {
        false => format!("one {verb} changes about {rows} rows in one transaction"),
        true => format!("one {verb} looks at a table of about {rows} rows in one transaction"),
    };
    plan.findings.push(match has_condition {
        false => Finding::warning(Code::UnbatchedRows, object, said, remedy).count(rows),
        true => Finding::note(Code::UnbatchedRows, said).about(object).count(rows),
    });
    Ok(plan)
}

/// Plans.
#[derive(Default)]
struct PlanTask {
    /// Without them the duration is not measured.
    wishes: Option<Wishes>,
    free_disk: Option<String>,
}

/// The whole of what the command asks for.
fn task(args: &PlanArgs) -> PlanTask {
    PlanTask { wishes: Some(args.wishes()), free_disk: args.free_disk.clone() }
}

impl Task for PlanTask {
    type Outcome = Result<Plan, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let engine = E::connect(target).await?;
        let free_disk = self.free_disk.as_deref();
        Ok(match self.wishes {
            Some(wishes) => {
                altergeist::plan_with_cost(&engine, wishes, target.look, free_disk).await?
            }
            None => engine.plan().await?,
        })
    }
}
