//! The runbook that a rehearsal writes, in Markdown: what was measured, the commands, the
//! checklists. Nothing here does I/O.

use crate::interface::durations::{millis, span, time};
use crate::interface::numbers::{grouped, size};
use altergeist::contract::{Plan, Severity};
use altergeist::gate::fingerprint;
use altergeist::{Rehearsal, Rehearsed, Status};
use std::fmt::Write;

/// What a line of a checklist says if nothing in the rehearsal proves it.
const NO_EVIDENCE: &str = "no evidence";

/// The deadline leaves this many times the measured duration.
const DEADLINE_TIMES: u64 = 2;
/// And never less than this.
const DEADLINE_SECONDS_MIN: u64 = 300;

/// The largest values seen while the rehearsal ran, and its counts.
#[derive(Clone, Debug, Default)]
pub struct Peaks {
    /// Rows copied.
    pub rows_copied: u64,
    /// Rows compared by the verification.
    pub rows_verified: u64,
    /// Changed keys refreshed.
    pub keys_refreshed: u64,
    /// The greatest lag of a replica.
    pub replica_lag_seconds: Option<f64>,
    /// The slowest small commit.
    pub commit_latency_ms: Option<f64>,
    /// The most log that the server retained for the rehearsal.
    pub log_kept_bytes: Option<u64>,
    /// Throttled at some time, and why.
    pub throttled: Option<String>,
}

impl Peaks {
    /// Takes what is greater than before.
    pub fn note(&mut self, now: &Status) {
        let more = |was: Option<f64>, is: Option<f64>| was.into_iter().chain(is).reduce(f64::max);
        self.rows_copied = self.rows_copied.max(now.rows_copied);
        self.rows_verified = self.rows_verified.max(now.rows_verified);
        self.keys_refreshed = self.keys_refreshed.max(now.keys_refreshed);
        self.replica_lag_seconds = more(self.replica_lag_seconds, now.replica_lag_seconds);
        self.commit_latency_ms = more(self.commit_latency_ms, now.commit_latency_ms);
        self.log_kept_bytes = self.log_kept_bytes.max(now.log_kept_bytes);
        if now.throttle_reason.is_some() {
            self.throttled.clone_from(&now.throttle_reason);
        }
    }
}

/// Who is asked, and with which flags.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The URL without its password.
    pub url: String,
    /// The table as it was given.
    pub table: String,
    /// The flags of `run`, quoted for a shell, beyond URL and table.
    pub flags: String,
    /// When the rehearsal ended, for people.
    pub at: String,
}

/// Writes the runbook.
pub fn render(rehearsal: &Rehearsal, peaks: &Peaks, command: &Command) -> String {
    let plan = &rehearsal.plan;
    let mut text = format!("# Runbook: {}\n\n", plan.table);
    let change = if plan.alter.is_empty() { "(plain rebuild)" } else { &plan.alter };
    let _ = writeln!(text, "```sql\n{change}\n```\n");
    let _ = writeln!(
        text,
        "Rehearsed on {} at {}. Plan `{}`. Nothing was swapped.\n",
        plan.server,
        command.at,
        fingerprint(plan)
    );
    text += &measured(rehearsal, peaks);
    text += &commands(rehearsal, command);
    text += &before(rehearsal, peaks, command);
    text += &after(rehearsal.measured.as_ref(), peaks);
    text
}

fn measured(rehearsal: &Rehearsal, peaks: &Peaks) -> String {
    let mut text = String::from("## Measured\n\n");
    let mut say = |what: &str, value: String| {
        let _ = writeln!(text, "- **{what}:** {value}");
    };
    let estimate = rehearsal.plan.estimate.as_ref();
    let Some(measured) = &rehearsal.measured else {
        say("Duration", "nothing to rehearse: the server makes the change by itself".into());
        if let Some(estimate) = estimate {
            say("Expected", span(estimate.total));
            say("Longest wait of a query", millis(estimate.longest_wait_ms));
        }
        return text + "\n";
    };
    let seconds = |time: std::time::Duration| time.as_secs_f64();
    say(
        "Duration",
        format!(
            "{} (copy {:.1} s, indexes {:.1} s, verification {:.1} s)",
            time(measured.total().as_secs().max(1)),
            seconds(measured.copy),
            seconds(measured.indexes),
            seconds(measured.verification)
        ),
    );
    if let Some(estimate) = estimate {
        say("Expected by the plan", span(estimate.total));
        say("Longest wait of a query", format!("{} at most", millis(estimate.longest_wait_ms)));
    }
    let rate = peaks.rows_copied as f64 / seconds(measured.copy).max(0.001);
    say(
        "Rows",
        format!(
            "{} copied, {} per second; {} proven equal; {} changed meanwhile",
            grouped(peaks.rows_copied),
            grouped(rate as u64),
            grouped(peaks.rows_verified),
            grouped(peaks.keys_refreshed)
        ),
    );
    say(
        "Replica lag",
        optional(peaks.replica_lag_seconds.map(|lag| format!("{lag:.1} s at most"))),
    );
    say(
        "Commit latency",
        optional(peaks.commit_latency_ms.map(|latency| format!("{latency:.0} ms at most"))),
    );
    say("Lock", lock(measured).unwrap_or_else(|| format!("{NO_EVIDENCE}; use --with-lock")));
    say("Disk", format!("about {} beside the table", size(rehearsal.plan.bytes_estimated)));
    say("Log retained", optional(peaks.log_kept_bytes.map(|bytes| size(bytes) + " at most")));
    say("Throttled", peaks.throttled.clone().unwrap_or_else(|| "never seen".into()));
    text + "\n"
}

fn optional(value: Option<String>) -> String {
    value.unwrap_or_else(|| NO_EVIDENCE.into())
}

fn lock(measured: &Rehearsed) -> Option<String> {
    Some(match measured.lock.as_ref()? {
        Ok(held) => format!("held for {held:.0} ms, and released"),
        Err(reason) => format!("not had: {reason}"),
    })
}

/// Returns a deadline that leaves enough time, as `--deadline` takes it.
fn deadline(rehearsal: &Rehearsal) -> String {
    let took = rehearsal.measured.as_ref().map_or(0, |measured| measured.total().as_secs());
    let seconds = (took * DEADLINE_TIMES).max(DEADLINE_SECONDS_MIN);
    format!("{}m", seconds.div_ceil(60))
}

fn commands(rehearsal: &Rehearsal, command: &Command) -> String {
    let on = format!("--url '{}' --table '{}'", command.url, command.table);
    let flags = &command.flags;
    let mut text = String::from("## Commands\n\n");
    let mut say = |what: &str, line: String| {
        let _ = writeln!(text, "{what}:\n\n```sh\naltergeist {line}\n```\n");
    };
    say(
        "Run, with the swap at your order",
        format!(
            "run {on} {flags} --postpone-cut-over --deadline {} --owner NAME --decider NAME \
             --ticket TICKET",
            deadline(rehearsal)
        ),
    );
    say("Watch", format!("status {on}"));
    say("Pause, and go on", format!("ctl {on} throttle\naltergeist ctl {on} no-throttle"));
    say("Swap", format!("ctl {on} cut-over"));
    say("Abort: stop, then drop what was made", format!("ctl {on} stop\naltergeist cleanup {on}"));
    match flag_of(flags, "--reversible") {
        Some(time) => {
            let title = format!("Undo after the swap, as long as the run is reversible ({time})");
            say(&title, format!("revert {on}"));
        }
        None => {
            text += "After the swap no command undoes this change. For that, add `--reversible \
                     30m` to `run`.\n\n";
        }
    }
    text
}

/// The checklist for the time before the change.
fn before(rehearsal: &Rehearsal, peaks: &Peaks, command: &Command) -> String {
    let plan = &rehearsal.plan;
    let measured = rehearsal.measured.as_ref();
    let rehearsed =
        measured.map(|_| format!("{} rows, as many as it has", grouped(peaks.rows_copied)));
    let durations = measured.filter(|measured| matches!(measured.lock, Some(Ok(_))));
    let durations = durations.map(|measured| {
        let lock = lock(measured).unwrap_or_default();
        format!("{}; lock {lock}", time(measured.total().as_secs().max(1)))
    });
    let batched = measured.map(|_| "copied in chunks beside the application's writes".into());
    let lines = [
        ("Rehearsed at production volume?", rehearsed),
        ("Duration and lock duration measured?", durations),
        ("Concurrent or batched?", batched),
        ("Reversible by expand and contract?", reversible(plan, &command.flags)),
        ("Backup and restore point confirmed?", backup(measured)),
        ("Backfill idempotent and single?", backfill(measured)),
        ("Verification queries prepared?", checks(measured)),
        ("Teams notified, approval given?", gate(measured, "approval")),
        ("Rollback procedure and decision-maker set?", flag_of(&command.flags, "--decider")),
    ];
    checklist("Before", &lines, true)
}

/// The checklist for the time after the change. The rehearsal proves little of it.
fn after(measured: Option<&Rehearsed>, peaks: &Peaks) -> String {
    let integrity = measured.map(|_| {
        format!("in the rehearsal: {} rows compared and equal", grouped(peaks.rows_verified))
    });
    let replicas =
        peaks.replica_lag_seconds.map(|lag| format!("in the rehearsal: {lag:.1} s behind at most"));
    let latency = peaks
        .commit_latency_ms
        .map(|latency| format!("in the rehearsal: commits took {latency:.0} ms at most"));
    let lines = [
        ("Progress observed?", None),
        ("Integrity confirmed by queries?", integrity),
        ("Replicas caught up?", replicas),
        ("Error rate and response time normal?", latency),
        ("Result shared and recorded?", None),
        ("Stopped or rolled back as agreed, if anomalous?", None),
        ("Postmortem, if an incident?", None),
    ];
    checklist("After", &lines, false)
}

/// Ticks what the evidence answers, if it can answer that at all.
fn checklist(title: &str, lines: &[(&str, Option<String>)], may_tick: bool) -> String {
    let mut text = format!("## {title}\n\n");
    for (question, evidence) in lines {
        let mark = if may_tick && evidence.is_some() { 'x' } else { ' ' };
        let evidence = evidence.as_deref().unwrap_or(NO_EVIDENCE);
        let _ = writeln!(text, "- [{mark}] {question} {evidence}");
    }
    text + "\n"
}

/// The flag that keeps the way back open, and what the plan found that does not come back.
fn reversible(plan: &Plan, flags: &str) -> Option<String> {
    use altergeist::contract::Code;
    let is_loss = |code| {
        matches!(
            code,
            Code::DropsData | Code::ContractTooEarly | Code::NotRevertible | Code::ValueLossy
        )
    };
    let losses: Vec<String> = plan
        .findings
        .iter()
        .filter(|finding| is_loss(finding.code) && finding.severity >= Severity::Note)
        .map(ToString::to_string)
        .collect();
    let way_back = flag_of(flags, "--reversible")
        .map(|flag| format!("`altergeist revert` puts the old table back ({flag})"));
    let losses = (!losses.is_empty()).then(|| format!("not whole: {}", losses.join("; ")));
    let found: Vec<String> = way_back.into_iter().chain(losses).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn backup(measured: Option<&Rehearsed>) -> Option<String> {
    gate(measured, "backup")
        .map(|state| format!("{state}; the run notes the point to restore to before it swaps"))
}

fn backfill(measured: Option<&Rehearsed>) -> Option<String> {
    measured.map(|_| "a copy restores states, and the run lock keeps a second run out".into())
}

/// The operator's own checks, as they were.
fn checks(measured: Option<&Rehearsed>) -> Option<String> {
    let checks: Vec<String> = measured?
        .gates
        .iter()
        .filter(|gate| {
            !matches!(&*gate.name, "postponed" | "replicas" | "window" | "backup" | "approval")
        })
        .map(|gate| match (gate.open, &gate.reason) {
            (true, _) => format!("{} passes", gate.name),
            (false, Some(reason)) => format!("{} fails: {reason}", gate.name),
            (false, None) => format!("{} fails", gate.name),
        })
        .collect();
    (!checks.is_empty()).then(|| checks.join("; "))
}

/// A gate that was open. A closed one is no evidence.
fn gate(measured: Option<&Rehearsed>, name: &str) -> Option<String> {
    let found = measured?.gates.iter().find(|gate| gate.name == name)?;
    found.open.then(|| format!("gate {name} is open"))
}

/// Whether a flag was given.
fn flag_of(flags: &str, flag: &str) -> Option<String> {
    let value = flags.split_once(flag)?.1.trim_start_matches(['=', ' ']);
    Some(format!("{flag} {}", value.split(" --").next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::contract::{Code, Estimate, Finding, Span};
    use altergeist::gate::GateState;
    use std::time::Duration;

    fn rehearsal() -> Rehearsal {
        let total = Span { low_seconds: 60, likely_seconds: 100, high_seconds: 300 };
        let plan = Plan {
            table: "shop.orders".into(),
            alter: "DROP COLUMN note".into(),
            server: "MySQL 9.7".into(),
            bytes_estimated: 9_000_000_000,
            estimate: Some(Estimate { total, longest_wait_ms: 2000, ..Estimate::default() }),
            findings: vec![Finding::warning(Code::DropsData, "column note", "3 values go", "")],
            ..Plan::default()
        };
        let gate = |name: &str, open| GateState { name: name.into(), open, reason: None };
        let measured = Rehearsed {
            copy: Duration::from_secs(400),
            indexes: Duration::from_secs(50),
            verification: Duration::from_secs(150),
            lock: Some(Ok(23.4)),
            gates: vec![gate("postponed", true), gate("backup", true), gate("approval", false)],
        };
        Rehearsal { plan, measured: Some(measured) }
    }

    fn command() -> Command {
        Command {
            url: "mysql://me@db1:3306/shop".into(),
            table: "orders".into(),
            flags: "--alter 'DROP COLUMN note'".into(),
            at: "2026-11-30 18:00:00 UTC".into(),
        }
    }

    #[test]
    fn a_runbook_has_what_was_measured_and_the_commands() {
        let peaks = Peaks { rows_copied: 4_000_000, rows_verified: 4_000_000, ..Peaks::default() };
        let said = render(&rehearsal(), &peaks, &command());
        for line in [
            "- **Duration:** 10 min (copy 400.0 s, indexes 50.0 s, verification 150.0 s)",
            "4,000,000 copied, 10,000 per second",
            "- **Replica lag:** no evidence",
            "- **Lock:** held for 23 ms, and released",
            "altergeist run --url 'mysql://me@db1:3306/shop' --table 'orders' --alter 'DROP COLUMN \
             note' --postpone-cut-over --deadline 20m",
            "altergeist ctl --url 'mysql://me@db1:3306/shop' --table 'orders' cut-over",
        ] {
            assert!(said.contains(line), "{line}\n{said}");
        }
    }

    #[test]
    fn a_line_without_proof_says_so() {
        let said = render(&rehearsal(), &Peaks::default(), &command());
        for line in [
            "- [x] Backup and restore point confirmed? gate backup is open",
            "- [ ] Teams notified, approval given? no evidence",
            "- [ ] Rollback procedure and decision-maker set? no evidence",
            "- [x] Reversible by expand and contract? not whole: column note: 3 values go",
            "- [x] Duration and lock duration measured? 10 min; lock held for 23 ms, and released",
            "- [ ] Verification queries prepared? no evidence",
            "- [ ] Integrity confirmed by queries? in the rehearsal: 0 rows compared and equal",
            "- [ ] Replicas caught up? no evidence",
            "- [ ] Postmortem, if an incident? no evidence",
        ] {
            assert!(said.contains(line), "{line}\n{said}");
        }
    }

    #[test]
    fn a_change_that_needs_no_copy_has_a_runbook_without_measures() {
        let rehearsal = Rehearsal { measured: None, ..rehearsal() };
        let said = render(&rehearsal, &Peaks::default(), &command());
        assert!(said.contains("the server makes the change by itself"), "{said}");
        assert!(said.contains("- [ ] Rehearsed at production volume? no evidence"), "{said}");
    }
}
