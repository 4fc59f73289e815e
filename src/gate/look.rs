//! Looks at the gates, each as often as it costs.

use crate::control::Settings;
use crate::control::settings::Approval;
use crate::gate::{Gate, GateState, POSTPONED};
use altergeist_contract::Engine;
use jiff::Zoned;
use std::time::Duration;
use tokio::time::Instant;

/// How long the answer of a question or a command counts.
const COUNTS_FOR: Duration = Duration::from_secs(10);

/// The gates of a run, and what was last seen of them.
pub struct Gates<'a> {
    gates: &'a [Gate],
    seen: Vec<Option<(Instant, Option<String>)>>,
}

impl<'a> Gates<'a> {
    /// Nothing is known of these gates yet.
    pub fn new(gates: &'a [Gate]) -> Gates<'a> {
        Gates { gates, seen: vec![None; gates.len()] }
    }

    /// Looks at every gate. `postponed` is the operator's own. The settings say which of them count
    /// as open by order, and who has approved the plan of this fingerprint.
    pub async fn look<E: Engine>(
        &mut self,
        engine: &E,
        postponed: Option<&str>,
        settings: &Settings,
        fingerprint: &str,
    ) -> Vec<GateState> {
        let mut states = vec![GateState {
            name: POSTPONED.into(),
            open: postponed.is_none(),
            reason: postponed.map(str::to_owned),
        }];
        for (gate, seen) in self.gates.iter().zip(&mut self.seen) {
            let is_overruled = settings.overruled.iter().any(|name| name == gate.name());
            let reason = match is_overruled {
                true => Some("overruled by order of the operator".into()),
                false if matches!(gate, Gate::Approval) => {
                    not_approved(engine.table(), settings.approval.as_ref(), fingerprint)
                }
                false => closed(gate, seen, engine).await,
            };
            let open = is_overruled || reason.is_none();
            states.push(GateState { name: gate.name().to_owned(), open, reason });
        }
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

async fn closed<E: Engine>(
    gate: &Gate,
    seen: &mut Option<(Instant, Option<String>)>,
    engine: &E,
) -> Option<String> {
    if let Gate::Window(window) = gate {
        return window.closed_at(&Zoned::now());
    }
    if let Some((when, reason)) = seen
        && when.elapsed() < COUNTS_FOR
    {
        return reason.clone();
    }
    let reason = match gate {
        Gate::Window(_) | Gate::Approval => None,
        Gate::Check(check) => check.fails(engine).await,
        Gate::Backup(backup) => backup.is_missing(engine).await,
    };
    *seen = Some((Instant::now(), reason.clone()));
    reason
}
