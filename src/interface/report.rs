//! The texts that are printed, for people and for scripts. Nothing here does I/O.

use crate::interface::durations::{moment, span, time};
use crate::interface::numbers::{grouped, size};
use crate::interface::{report_later, report_reversible};
use altergeist::contract::{Disposal, Leftover, Record, RestorePoint, Span, Stage};
use altergeist::{Outcome, Phase, Status};
use serde::Serialize;
use std::fmt::Write;

/// From this lag of the log reader on, the one-line status mentions it.
const WORTH_SAYING_SECONDS: f64 = 3.0;

/// Anything, as one line of JSON.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own types can be written as JSON")
}

/// The present moment, in UTC.
pub fn now() -> String {
    moment(jiff::Timestamp::now().as_second().unsigned_abs())
}

/// How a run succeeded, and what it leaves for later.
pub fn outcome(outcome: Outcome, status: &Status) -> String {
    match outcome {
        Outcome::Reverted { .. } => success(outcome, status),
        _ => success(outcome, status) + &report_later::sentence(&status.later_statements),
    }
}

fn success(outcome: Outcome, status: &Status) -> String {
    let table = &status.table;
    let before = ". Point to restore to, from before the swap: ";
    let point = restore_point(status.restore_point.as_ref(), before, "");
    match outcome {
        Outcome::AlreadyDone { by, at_seconds } => format!(
            "{table}: already done at {} by {by}; nothing to do (--again does it once more)",
            moment(at_seconds)
        ),
        Outcome::AlreadyReverted { by, at_seconds } => {
            report_reversible::already_reverted(table, &by, at_seconds)
        }
        Outcome::Reverted { rows_discarded } => report_reversible::reverted(table, rows_discarded),
        Outcome::Altered => format!("{table}: done natively; nothing was copied"),
        Outcome::Finished => {
            format!("{table}: done. An earlier run had swapped the tables; this one did the rest")
                + &point
        }
        Outcome::Swapped => {
            format!(
                "{table}: done. {} rows copied, {} proven equal, {} changed keys refreshed. Locked \
             for {:.0} ms (drain {:.0} ms, refresh {:.0} ms, swap {:.0} ms). The old table is \
             kept; `altergeist cleanup --drop-old` drops it",
                grouped(status.rows_copied),
                grouped(status.rows_verified),
                grouped(status.keys_refreshed),
                status.lock_held_ms.unwrap_or_default(),
                status.lock_drain_ms.unwrap_or_default(),
                status.lock_refresh_ms.unwrap_or_default(),
                status.lock_swap_ms.unwrap_or_default(),
            ) + &point
        }
    }
}

/// The point before the swap, for people; nothing if none is known.
fn restore_point(point: Option<&RestorePoint>, before: &str, after: &str) -> String {
    point.map_or_else(String::new, |point| {
        let name = point.name.as_ref().map(|name| format!(", named '{name}'")).unwrap_or_default();
        format!("{before}{}{name}, at {}{after}", point.position, moment(point.at_seconds))
    })
}

/// How long the run took so far, against what the plan expected.
fn expected(took_seconds: u64, expected: Option<Span>) -> String {
    expected.map_or_else(String::new, |expected| {
        format!("time       {} of {}\n", time(took_seconds), span(expected))
    })
}

/// A running change, for people.
pub fn status(status: &Status) -> String {
    let mut text = format!("{}\n", line(status));
    let _ = writeln!(text, "table      {}", status.table);
    let _ = writeln!(text, "change     {}", status.alter);
    if !status.run_id.is_empty() {
        let _ = writeln!(text, "run        {}, plan {}", status.run_id, status.fingerprint);
    }
    let names =
        [("owner", &status.owner), ("decider", &status.decider), ("ticket", &status.ticket)];
    for (what, name) in names {
        if let Some(name) = name {
            let _ = writeln!(text, "{what:<10} {name}");
        }
    }
    let _ = writeln!(text, "position   {}", status.stream_position);
    let _ = writeln!(text, "chunk      {} rows, {} at once", status.chunk_rows, status.workers);
    if let Some(behind) = status.log_behind_seconds {
        let _ = writeln!(text, "log        reader is {behind:.1} s behind the writers");
    }
    if let Some(lag) = status.replica_lag_seconds {
        let _ = writeln!(text, "lag        {lag:.1} s");
    }
    if let Some(bytes) = status.log_kept_bytes {
        let _ = writeln!(text, "retained   {} of log", size(bytes));
    }
    text += &expected(status.earlier_seconds + status.elapsed_seconds, status.expected);
    for gate in &status.gates {
        let state = if gate.open { "open" } else { "closed" };
        let reason = gate.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let _ = writeln!(text, "gate       {} is {state}{reason}", gate.name);
    }
    for signal in &status.signals {
        let observed = signal.observed.as_deref().unwrap_or("unknown");
        let (name, limit, at) = (&signal.signal, &signal.limit, &signal.read_at);
        let _ = writeln!(text, "signal     {name} {observed}, limit {limit}, read at {at}");
    }
    text += &report_reversible::lines(status);
    text += &report_later::lines(&status.later_statements);
    if let Some(reason) = &status.orders_by_sql_refused {
        let _ = writeln!(text, "orders     by SQL are not taken: {reason}");
    }
    if let Some(error) = &status.last_error {
        let _ = writeln!(text, "last error {error}");
    }
    text
}

/// A running change in one line.
pub fn line(status: &Status) -> String {
    let mut text = status.phase.to_string();
    match status.phase {
        Phase::Copying | Phase::Verifying => {
            let done = if status.phase == Phase::Copying {
                status.rows_copied
            } else {
                status.rows_verified
            };
            let _ = write!(
                text,
                " {:.1} %, {} of about {} rows",
                status.percent,
                grouped(done),
                grouped(status.rows_estimated)
            );
            let _ = write!(text, ", {} rows/s", grouped(status.rows_per_second));
            if let Some(seconds) = status.eta_seconds {
                let _ = write!(text, ", {} left", duration(seconds));
            }
        }
        Phase::Backfilling => {
            let _ = write!(
                text,
                " {:.1} %, {} rows changed of about {} in the table",
                status.percent,
                grouped(status.rows_copied),
                grouped(status.rows_estimated)
            );
            if let Some(seconds) = status.eta_seconds {
                let _ = write!(text, ", {} left", duration(seconds));
            }
        }
        Phase::Indexing => {
            if status.percent > 0.0 {
                let _ = write!(text, " {:.1} %", status.percent);
            }
            if status.rows_verified > 0 {
                let _ = write!(text, ", {} rows verified meanwhile", grouped(status.rows_verified));
            }
        }
        Phase::Waiting => {
            if let Some(reason) = &status.waiting_for {
                let _ = write!(text, " for {reason}");
            }
        }
        Phase::CuttingOver => {
            let _ = write!(text, ", attempt {}", status.lock_attempts);
            if let Some(at) = &status.next_attempt_at {
                let _ = write!(text, ", the next at {at}");
            }
        }
        _ => {}
    }
    text += &report_reversible::part_of_line(status);
    if status.pending_keys > 0 {
        let _ = write!(text, ", {} pending keys", grouped(status.pending_keys));
    }
    if let Some(behind) = status.log_behind_seconds.filter(|behind| *behind >= WORTH_SAYING_SECONDS)
    {
        let _ = write!(text, ", log reader {behind:.0} s behind");
    }
    if let Some(reason) = &status.throttle_reason {
        let _ = write!(text, ", throttled: {reason}");
    }
    text
}

/// A change for which no process answers, as the journal has it.
pub fn journal(
    table: &str,
    record: Option<&Record>,
    holder: Option<&str>,
    leftovers: &[Leftover],
) -> String {
    let mut text = match record {
        None => format!("{table}: no change is known\n"),
        Some(record) => format!(
            "{table}: {}{}, {} of about {} rows {}\nchange     {}\nstarted by {}\n{}{}{}\
             {}position   {}\n",
            if record.is_rehearsal { "a rehearsal, " } else { "" },
            stage(record.stage),
            grouped(record.rows_copied),
            grouped(record.rows_estimated),
            if is_backfill(record.stage) { "changed" } else { "copied" },
            record.alter,
            record.holder,
            life(record, holder),
            expected(
                record.updated_at_seconds.saturating_sub(record.started_at_seconds),
                record.estimate.as_ref().map(|estimate| estimate.total)
            ),
            restore_point(record.restore_point.as_ref(), "restore to ", "\n"),
            report_reversible::of_journal(record, holder),
            record.position.as_ref().map_or("none yet", |position| &position.0),
        ),
    };
    text += &report_later::lines(&report_later::of_journal(record));
    for leftover in leftovers {
        let _ = writeln!(text, "left       {}: {}", leftover.object, leftover.reason);
    }
    text
}

fn is_reversible(record: &Record) -> bool {
    matches!(record.stage, Stage::Reversible | Stage::Reverting)
}

fn now_seconds() -> u64 {
    jiff::Timestamp::now().as_second().unsigned_abs()
}

fn is_backfill(stage: Stage) -> bool {
    matches!(stage, Stage::Backfilling | Stage::Backfilled)
}

/// Whether a process still works on it.
fn life(record: &Record, holder: Option<&str>) -> String {
    match (record.stage, holder) {
        (_, Some(who)) => format!("held by    {who}\n"),
        (Stage::Done | Stage::Backfilled | Stage::Reverted, None) => String::new(),
        (Stage::Reversible | Stage::Reverting, None) => {
            "held by    nobody: no process works on it. Repeat the command to continue\n".into()
        }
        (_, None) => "held by    nobody: no process works on it. Repeat the command to resume it, \
                      or run `altergeist cleanup` to drop it\n"
            .into(),
    }
}

/// The same, under the names a running change has; and whether any process works on it.
pub fn journal_json(table: &str, record: Option<&Record>, holder: Option<&str>) -> String {
    let Some(record) = record else {
        return json(&serde_json::json!({ "table": table, "phase": null, "alive": false }));
    };
    let phase = match record.stage {
        Stage::Preparing | Stage::Altering => Phase::Planning,
        Stage::Copying => Phase::Copying,
        Stage::CuttingOver => Phase::CuttingOver,
        Stage::Reversible => Phase::Reversible,
        Stage::Reverting => Phase::Reverting,
        Stage::Backfilling => Phase::Backfilling,
        Stage::Backfilled | Stage::Done | Stage::Reverted => Phase::Done,
    };
    let status = Status {
        run_id: record.run.clone(),
        fingerprint: record.fingerprint.clone(),
        table: table.to_owned(),
        alter: record.alter.clone(),
        phase,
        rows_copied: record.rows_copied,
        rows_estimated: record.rows_estimated,
        percent: if phase == Phase::Done {
            100.0
        } else {
            percent(record.rows_copied, record.rows_estimated)
        },
        expected: record.estimate.as_ref().map(|estimate| estimate.total),
        earlier_seconds: record.updated_at_seconds.saturating_sub(record.started_at_seconds),
        restore_point: record.restore_point.clone(),
        later_statements: report_later::of_journal(Some(record)),
        reversible_seconds_left: record
            .reversible
            .as_ref()
            .filter(|_| is_reversible(record))
            .map(|reversible| reversible.until_seconds.saturating_sub(now_seconds())),
        stream_position: record
            .position
            .as_ref()
            .map_or_else(String::new, |position| position.0.clone()),
        ..Status::default()
    };
    let mut said = serde_json::to_value(&status).expect("a status is plain data");
    said["alive"] = holder.is_some().into();
    said["held_by"] = holder.into();
    json(&said)
}

/// What `cleanup` found, and what it did with it.
pub fn cleanup(found: &[Leftover], drop_old: bool, list_only: bool) -> String {
    let mut text = String::new();
    for leftover in found {
        let verb = match leftover.disposal {
            Disposal::Unclaimed => "unknown",
            Disposal::DroppedWithOld if !drop_old => "kept   ",
            _ if list_only => "found  ",
            _ => "dropped",
        };
        let _ = writeln!(text, "{verb} {}: {}", leftover.object, leftover.reason);
    }
    if found.is_empty() {
        text.push_str("nothing is left of any change\n");
    }
    text
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Preparing => "preparing",
        Stage::Altering => "in a native ALTER",
        Stage::Copying => "copying or following the log",
        Stage::CuttingOver => "in the cut-over",
        Stage::Reversible => "swapped; the old table is kept current",
        Stage::Reverting => "in the swap back",
        Stage::Reverted => "reverted",
        Stage::Backfilling => "backfilling",
        Stage::Backfilled => "backfilled",
        Stage::Done => "done",
    }
}

fn percent(rows: u64, of_rows: u64) -> f64 {
    if of_rows == 0 { 0.0 } else { (rows as f64 / of_rows as f64 * 100.0).min(100.0) }
}

fn duration(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_copy_says_why_in_its_one_line() {
        let status = Status {
            phase: Phase::Copying,
            rows_copied: 500,
            rows_estimated: 1000,
            percent: 50.0,
            throttle_reason: Some("replica-lag 9.0s > 1.5s (r1:3306)".into()),
            ..Status::default()
        };
        let expected = "copying 50.0 %, 500 of about 1,000 rows, 0 rows/s, throttled: replica-lag \
                        9.0s > 1.5s (r1:3306)";
        assert_eq!(line(&status), expected);
    }

    #[test]
    fn phases_are_named_alike_for_people_and_machines() {
        for phase in [Phase::CatchingUp, Phase::CuttingOver, Phase::Copying, Phase::Done] {
            assert_eq!(json(&phase), format!("\"{phase}\""));
        }
    }

    #[test]
    fn a_dead_run_is_said_to_be_dead() {
        let record = |stage| Record {
            run: "r".into(),
            alter: "ADD a int".into(),
            stage,
            watermark: altergeist::contract::Watermark::Start,
            position: None,
            rows_copied: 0,
            fingerprint: String::new(),
            terms: None,
            passed_log: false,
            postponed: false,
            backfills: altergeist::contract::Backfills::default(),
            rows_estimated: 0,
            started_at_seconds: 0,
            updated_at_seconds: 0,
            holder: "me@here".into(),
            estimate: None,
            later_statements: Vec::new(),
            restore_point: None,
            is_rehearsal: false,
            ended: None,
            reversible: None,
        };
        let said = |stage, holder| journal("t", Some(&record(stage)), holder, &[]);
        assert!(said(Stage::Copying, None).contains("no process works on it"));
        assert!(said(Stage::Copying, Some("me@here")).contains("held by    me@here"));
        assert!(!said(Stage::Done, None).contains("held by"));
        let json = |holder| journal_json("t", Some(&record(Stage::Copying)), holder);
        assert!(json(None).contains("\"alive\":false"));
        assert!(json(Some("me@here")).contains("\"alive\":true"));
    }

    #[test]
    fn an_old_table_is_kept_unless_it_is_asked_for() {
        let old = Leftover {
            object: "old table t".into(),
            reason: "the way back".into(),
            disposal: Disposal::DroppedWithOld,
        };
        assert!(cleanup(std::slice::from_ref(&old), false, false).starts_with("kept"));
        assert!(cleanup(&[old], true, false).starts_with("dropped"));
    }

    #[test]
    fn what_nobody_claims_is_named_and_not_called_dropped() {
        let found = Leftover {
            object: "table _t_ag_shadow".into(),
            reason: "the journal does not know it".into(),
            disposal: Disposal::Unclaimed,
        };
        assert!(cleanup(&[found], true, false).starts_with("unknown table _t_ag_shadow"));
    }
}
