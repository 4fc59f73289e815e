//! Looks at the gates, each as often as it costs.

use crate::control::Settings;
use crate::control::settings::Approval;
use crate::gate::columns::verdicts;
use crate::gate::{CheckLimits, Gate, GateState, POSTPONED, WINDOW};
use altergeist_contract::{ColumnCounts, Engine};
use futures_util::stream::{self, StreamExt};
use jiff::Zoned;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long the answer of a question or a command counts while the run waits.
pub const WHILE_WAITING: Duration = Duration::from_secs(10);

/// How long it counts right before the lock.
pub const BEFORE_THE_LOCK: Duration = Duration::from_secs(1);

/// How long an answer may take. The server ends the question then, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many gates are asked at once. Each takes a session, or a process.
const AT_ONCE: usize = 4;

/// The gates of a run, and what was last seen of them.
pub struct Gates<'a> {
    gates: &'a [Gate],
    /// What the verification counted in columns whose values change.
    pub columns: Vec<ColumnCounts>,
    /// The limits that the answers were compared with.
    limits: CheckLimits,
    seen: Vec<Option<(Instant, Option<String>)>>,
}

impl<'a> Gates<'a> {
    /// Nothing is known of these gates yet.
    pub fn new(gates: &'a [Gate]) -> Gates<'a> {
        let (columns, limits) = (Vec::new(), CheckLimits::default());
        Gates { gates, columns, limits, seen: vec![None; gates.len()] }
    }

    /// Looks at every gate; answers older than `counts_for` are asked for again. `postponed` is the
    /// operator's own. The settings say which of them count
    /// as open by order, and who has approved the plan of this fingerprint.
    pub async fn look<E: Engine>(
        &mut self,
        engine: &E,
        counts_for: Duration,
        postponed: Option<&str>,
        settings: &Settings,
        fingerprint: &str,
    ) -> Vec<GateState> {
        if self.limits != settings.check_limits {
            self.limits = settings.check_limits.clone();
            self.seen.fill(None);
        }
        let is_overruled = |name: &str| settings.overruled.iter().any(|known| known == name);
        let mut states = vec![GateState {
            name: POSTPONED.into(),
            open: postponed.is_none(),
            reason: postponed.map(str::to_owned),
        }];
        states.extend(settings.window.as_ref().map(|window| match is_overruled(WINDOW) {
            true => overruled_state(WINDOW),
            false => state(WINDOW, window.closed_at(&Zoned::now())),
        }));
        let columns = verdicts(&self.columns, &settings.tolerance);
        states.extend(columns.into_iter().map(|column| match is_overruled(&column.gate) {
            true if !column.passes => overruled_state(&column.gate),
            _ => GateState { name: column.gate, open: column.passes, reason: Some(column.reason) },
        }));
        let asking = self.gates.iter().zip(&mut self.seen).map(async |(gate, seen)| {
            match is_overruled(gate.name()) {
                true => overruled_state(gate.name()),
                false if matches!(gate, Gate::Approval) => {
                    let approval = settings.approval.as_ref();
                    state(gate.name(), not_approved(engine.table(), approval, fingerprint))
                }
                false => {
                    let limit = settings.check_limits.of(gate.name());
                    state(gate.name(), closed(gate, seen, engine, counts_for, limit).await)
                }
            }
        });
        let asked: Vec<GateState> = stream::iter(asking).buffered(AT_ONCE).collect().await;
        states.extend(asked);
        states
    }
}

fn not_approved(table: &str, approval: Option<&Approval>, fingerprint: &str) -> Option<String> {
    let is_approved = approval.is_some_and(|approval| approval.fingerprint == fingerprint);
    (!is_approved).then(|| {
        format!(
            "nobody has approved the plan {fingerprint}; under another account: altergeist ctl \
             --url URL --table {table} approve {fingerprint}"
        )
    })
}

fn overruled_state(name: &str) -> GateState {
    let reason = Some("overruled by order of the operator".into());
    GateState { name: name.to_owned(), open: true, reason }
}

/// The state of a gate that is closed for this reason, or open.
fn state(name: &str, reason: Option<String>) -> GateState {
    GateState { name: name.to_owned(), open: reason.is_none(), reason }
}

async fn closed<E: Engine>(
    gate: &Gate,
    seen: &mut Option<(Instant, Option<String>)>,
    engine: &E,
    counts_for: Duration,
    limit: Option<&str>,
) -> Option<String> {
    if let Some((when, reason)) = seen
        && when.elapsed() < counts_for
    {
        return reason.clone();
    }
    let asking = async {
        match gate {
            Gate::Approval => None,
            Gate::Check(check) => check.fails(engine, limit).await,
            Gate::Backup(backup) => backup.is_missing(engine).await,
        }
    };
    let late = || Some(format!("unknown (no answer within {} s)", PATIENCE.as_secs()));
    let reason = timeout(PATIENCE, asking).await.unwrap_or_else(|_| late());
    *seen = Some((Instant::now(), reason.clone()));
    reason
}
