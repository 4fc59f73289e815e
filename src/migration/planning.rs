//! The plan with its estimate, and the choice between a copy and the server's own way.

use crate::control::Wishes;
use crate::migration::free_disk;
use crate::pace::estimate;
use crate::pace::own_signals::free_bytes;
use altergeist_contract::{
    Blocks, Code, Cost, Engine, Estimate, Finding, Look, Plan, Result, Severity, Step, Verdict,
};
use std::time::{Duration, Instant};

/// A table with fewer rows and fewer bytes is not measured: whatever is done to it is done at once.
const TINY_ROWS: u64 = 1000;
const TINY_BYTES: u64 = 1 << 20;

/// Plans the change, and notes what the plan itself took. `look` says how much of the rows it
/// reads, and `free_disk` what tells the free bytes of the server's disk.
pub async fn plan_with_cost<E: Engine>(
    engine: &E,
    wishes: Wishes,
    look: Look,
    free_disk: Option<&str>,
) -> Result<Plan> {
    let begun = Instant::now();
    let mut plan = plan(engine, wishes).await?;
    if let Some(question) = free_disk {
        free_disk::judge(&mut plan, free_bytes(engine, question).await);
    }
    plan.cost = Some(Cost {
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        question_limit_seconds: look.question_limit().map(|limit| limit.as_secs()),
    });
    Ok(plan)
}

/// Plans the change and estimates its duration. With `max_downtime` the server's own way is chosen
/// if it surely blocks no longer.
pub async fn plan<E: Engine>(engine: &E, wishes: Wishes) -> Result<Plan> {
    let mut plan = engine.plan().await?;
    if plan.is_refused() {
        return Ok(plan);
    }
    if plan.verdict != Verdict::Copy {
        plan.estimate = matches!(plan.verdict, Verdict::Native(_))
            .then(|| estimate::of_native(wishes.lock_timeout));
        return Ok(plan);
    }
    let is_tiny = plan.rows_estimated < TINY_ROWS && plan.bytes_estimated < TINY_BYTES;
    let measured = match is_tiny && wishes.max_downtime.is_none() {
        true => Default::default(),
        // An estimate is never a reason to fail. What is wrong with the server shows in the run.
        false => engine.measure(&plan).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the duration is a guess: a sample could not be copied");
            Default::default()
        }),
    };
    let mut estimate = estimate::estimate(&plan, &measured, wishes.lock_timeout);
    if let Some(max_downtime) = wishes.max_downtime
        && estimate::prefer_in_place(&mut estimate, max_downtime, wishes.lock_timeout)
    {
        make_native(&mut plan, &estimate, max_downtime);
    }
    plan.estimate = Some(estimate);
    if let Some(time) = wishes.reversible.filter(|_| plan.verdict == Verdict::Copy) {
        plan.steps.extend(steps_of_the_way_back(time));
    }
    Ok(plan)
}

/// What is done after the swap of a reversible change.
fn steps_of_the_way_back(time: Duration) -> [Step; 2] {
    [
        Step {
            statement: format!(
                "for {}, for each row that changes: the same change of the old table's row, which \
                 keeps the values that only the old table has",
                humantime::format_duration(time)
            ),
            lock: "none".into(),
        },
        Step {
            statement: "only on `altergeist revert`: the same lock, and the swap the other way \
                        round"
                .into(),
            lock: "exclusive, as for the swap".into(),
        },
    ]
}

/// Makes the plan that of the server's own statement.
fn make_native(plan: &mut Plan, estimate: &Estimate, max_downtime: Duration) {
    let Some(in_place) = &estimate.in_place else { return };
    let most = format!("{max_downtime:?}");
    let (what, lock) = match in_place.way.blocks {
        Blocks::Nothing => {
            ("blocks neither reads nor writes", "at its begin and end, for an instant")
        }
        Blocks::Writes => ("blocks every write", "against all writes until it ends"),
        Blocks::ReadsAndWrites => {
            ("blocks every read and every write", "against all reads and writes until it ends")
        }
    };
    plan.findings.retain(|finding| !is_about_the_copy(finding));
    let time = in_place.time;
    plan.findings.push(Finding::note(
        Code::Method,
        format!(
            "the server makes the change by itself, because --max-downtime allows {most}: it \
             {what} for about {} s, {} s at most; then the run stops it, and copies the table",
            time.likely_seconds, time.high_seconds
        ),
    ));
    plan.key.clear();
    plan.steps = vec![Step {
        statement: in_place.way.statement.clone(),
        lock: format!("{lock}, {most} at most; the run waits for it no longer than --lock-timeout"),
    }];
    plan.verdict = Verdict::Native(in_place.way.statement.clone());
}

/// Whether a note says what only a copy needs or leaves.
fn is_about_the_copy(finding: &Finding) -> bool {
    let is_of_copy =
        matches!(finding.code, Code::DiskSpace | Code::LogVolume | Code::Method | Code::Left);
    is_of_copy && finding.severity == Severity::Note
}
