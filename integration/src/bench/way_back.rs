//! What it costs to keep the old table current after the swap, beside what it costs to keep the new
//! one current before it: the same load, the same run.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::load::Load;
use super::setup::Setup;
use super::steered::Steered;

/// How long each part is looked at.
const WATCHED: Duration = Duration::from_secs(15);

/// What the application felt and the client used in one part.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The 99th percentile of the writes' latencies, in milliseconds.
    pub p99_ms: f64,
    /// Completed writes a second.
    pub rate: f64,
    /// Processor time of the client, in percent of one processor.
    pub client_percent: f64,
}

/// The parts of one round.
#[derive(Clone, Copy, Debug)]
pub struct WayBack {
    /// Before the run.
    pub before: Part,
    /// The new table is kept current, and waits for the order to swap.
    pub forward: Part,
    /// The old table is kept current after the swap.
    pub back: Part,
}

/// Measures one round with this many writes a second, and puts the old table back at its end.
///
/// # Errors
/// What went wrong.
pub fn measure(setup: &Setup, database: &str, writes: u32) -> Result<WayBack, String> {
    let load = Load::start(setup, database, Some(writes), false);
    sleep(Duration::from_secs(1));
    let watch = |run: Option<&Steered>| {
        let cpu = || run.map_or(Duration::ZERO, Steered::cpu);
        let (from, used) = (load.clock(), cpu());
        sleep(WATCHED);
        (from, load.clock(), cpu().saturating_sub(used))
    };
    let before = watch(None);
    let flags = ["--postpone-cut-over", "--reversible", "1h"];
    let mut run = Steered::start(setup, database, &flags)?;
    run.wait_for(|status| status["phase"] == "waiting")?;
    let forward = watch(Some(&run));
    run.ask("cut-over")?;
    run.wait_for(|status| status["phase"] == "reversible")?;
    let back = watch(Some(&run));
    run.ask("revert")?;
    run.end(10)?;
    let written = load.stop()?;
    let part = |(from, to, cpu): (Duration, Duration, Duration)| Part {
        p99_ms: written.percentile(99.0, from, to).as_secs_f64() * 1e3,
        rate: written.rate(from, to),
        client_percent: 100.0 * cpu.as_secs_f64() / (to - from).as_secs_f64(),
    };
    Ok(WayBack { before: part(before), forward: part(forward), back: part(back) })
}

impl WayBack {
    /// A line for the terminal.
    pub fn line(&self) -> String {
        let part = |name, part: &Part| {
            format!(
                "{name}: p99 {:.0} ms, {:.0} writes/s, client {:.1} %",
                part.p99_ms, part.rate, part.client_percent
            )
        };
        let parts = [("before", &self.before), ("forward", &self.forward), ("back", &self.back)];
        parts.map(|(name, of)| part(name, of)).join("; ")
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let part = |part: &Part| {
            json!({
                "p99_ms": part.p99_ms,
                "writes_per_second": part.rate,
                "client_percent": part.client_percent,
            })
        };
        json!({
            "before": part(&self.before),
            "forward": part(&self.forward),
            "back": part(&self.back),
        })
    }
}
