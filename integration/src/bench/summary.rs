//! Many runs, as a table of medians and ratios, and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::contender::{Contender, Run};
use super::load::Tick;

/// One run of one contender, and what the application went through, if there was one.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Who.
    pub contender: Contender,
    /// What it took.
    pub run: Run,
    /// Of the writers: p99 before and during, the longest gap around the cut-over, writes a second
    /// during.
    pub load: Option<Felt>,
}

/// What the application felt of a run.
#[derive(Clone, Debug)]
pub struct Felt {
    /// The 99th percentile of the latencies before the run.
    pub before: Duration,
    /// The same while it ran.
    pub during: Duration,
    /// What it felt in each phase of the run.
    pub phases: Vec<FeltPhase>,
    /// The longest time without a completed write in the last seconds of the run and shortly after.
    pub gap: Duration,
    /// Completed writes a second while it ran.
    pub rate: f64,
    /// The same before the run.
    pub rate_before: f64,
    /// When the run began, on the load's clock.
    pub began: Duration,
    /// The course of it, from before the run to after it.
    pub course: Vec<Tick>,
}

/// What the application felt of one phase.
#[derive(Clone, Copy, Debug)]
pub struct FeltPhase {
    /// The 99th percentile of the latencies.
    pub p99: Duration,
    /// Completed writes a second.
    pub rate: f64,
}

/// Least, median and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    min: f64,
    /// The median.
    pub median: f64,
    max: f64,
}

impl Spread {
    /// Of values of which there is at least one.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            _ if sorted.is_empty() => return None,
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Self { min: sorted[0], median, max: sorted[sorted.len() - 1] })
    }
}

/// The table: a line a contender, totals as medians with their spread, and altergeist's time over
/// theirs, round by round.
pub fn table(samples: &[Sample]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "  {:<12}{:>22}{:>16}{:>16}{:>12}{:>10}   p99 ms before → during, gap ms, writes/s",
        "", "total s (min-max)", "ours / theirs", "… unverified", "client s", "MiB"
    );
    for contender in contenders(samples) {
        let of = |measure: fn(&Run) -> f64| {
            Spread::of(runs(samples, contender).map(|sample| measure(&sample.run)))
        };
        let Some(total) = of(|run| run.total.as_secs_f64()) else { continue };
        let cpu = of(|run| run.client_cpu.as_secs_f64()).map_or(0.0, |spread| spread.median);
        let mib = of(|run| run.client_kib as f64 / 1024.0).map_or(0.0, |spread| spread.median);
        let mark = if runs(samples, contender).all(|sample| sample.run.is_finished) {
            ""
        } else {
            "not within "
        };
        let spread = format!("{mark}{:.1} ({:.1}-{:.1})", total.median, total.min, total.max);
        let verified = ratio(samples, contender, |run| run.total.as_secs_f64());
        let bare = ratio(samples, contender, |run| (run.total - run.verifying()).as_secs_f64());
        let _ = writeln!(
            text,
            "  {:<12}{spread:>22}{verified:>16}{bare:>16}{cpu:>12.2}{mib:>10.0}   {}",
            contender.name(),
            felt(samples, contender)
        );
    }
    text
}

fn ratio(samples: &[Sample], against: Contender, measure: fn(&Run) -> f64) -> String {
    let ours = runs(samples, Contender::Altergeist).map(|sample| measure(&sample.run));
    let theirs = runs(samples, against).map(|sample| sample.run.total.as_secs_f64());
    let spread = Spread::of(ours.zip(theirs).map(|(ours, theirs)| ours / theirs));
    spread.map_or_else(String::new, |spread| format!("{:.2}", spread.median))
}

fn felt(samples: &[Sample], contender: Contender) -> String {
    let felt: Vec<&Felt> =
        runs(samples, contender).filter_map(|sample| sample.load.as_ref()).collect();
    let median = |measure: fn(&Felt) -> f64| {
        Spread::of(felt.iter().map(|felt| measure(felt))).map_or(0.0, |spread| spread.median)
    };
    match felt.is_empty() {
        true => String::new(),
        false => format!(
            "{:.0} → {:.0}, {:.0}, {:.0} → {:.0}",
            median(|felt| felt.before.as_secs_f64() * 1e3),
            median(|felt| felt.during.as_secs_f64() * 1e3),
            median(|felt| felt.gap.as_secs_f64() * 1e3),
            median(|felt| felt.rate_before),
            median(|felt| felt.rate)
        ),
    }
}

/// A line for each contender that says its phases: how long each lasts, and what the application
/// feels meanwhile.
pub fn phases(samples: &[Sample]) -> String {
    let mut text = String::new();
    for contender in contenders(samples) {
        let mut names: Vec<&str> = Vec::new();
        for phase in runs(samples, contender).flat_map(|sample| &sample.run.phases) {
            if !names.contains(&phase.name.as_str()) {
                names.push(&phase.name);
            }
        }
        if !names.is_empty() {
            let phases: Vec<String> =
                names.iter().map(|name| in_phase(samples, contender, name)).collect();
            let _ = writeln!(text, "  {:<12} {}", contender.name(), phases.join("; "));
        }
    }
    text
}

fn in_phase(samples: &[Sample], contender: Contender, name: &str) -> String {
    let took = runs(samples, contender).map(|sample| {
        let phases = sample.run.phases.iter().filter(|phase| phase.name == name);
        phases.map(|phase| phase.took.as_secs_f64()).sum::<f64>()
    });
    let felt: Vec<&FeltPhase> = runs(samples, contender)
        .filter_map(|sample| Some((sample, sample.load.as_ref()?)))
        .flat_map(|(sample, felt)| sample.run.phases.iter().zip(&felt.phases))
        .filter_map(|(phase, felt)| (phase.name == name).then_some(felt))
        .collect();
    let p99 = Spread::of(felt.iter().map(|felt| felt.p99.as_secs_f64() * 1e3));
    let rate = Spread::of(felt.iter().map(|felt| felt.rate));
    let felt = p99
        .zip(rate)
        .map(|(p99, rate)| format!(", p99 {:.0} ms, {:.0} writes/s", p99.median, rate.median));
    let seconds = Spread::of(took).map_or(0.0, |took| took.median);
    format!("{name} {seconds:.1} s{}", felt.unwrap_or_default())
}

fn runs(samples: &[Sample], contender: Contender) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |sample| sample.contender == contender)
}

fn contenders(samples: &[Sample]) -> Vec<Contender> {
    let mut seen = Vec::new();
    for sample in samples {
        if !seen.contains(&sample.contender) {
            seen.push(sample.contender);
        }
    }
    seen
}

/// Every run, for machines: seconds, milliseconds, KiB.
pub fn json(server: &str, scenario: &str, shape: &str, rows: u64, samples: &[Sample]) -> Value {
    let runs: Vec<Value> = samples
        .iter()
        .map(|sample| {
            let load = sample.load.as_ref();
            json!({
                "contender": sample.contender.name(),
                "total_seconds": sample.run.total.as_secs_f64(),
                "finished": sample.run.is_finished,
                "verifying_seconds": sample.run.verifying().as_secs_f64(),
                "client_cpu_seconds": sample.run.client_cpu.as_secs_f64(),
                "client_peak_kib": sample.run.client_kib,
                "locked_ms": sample.run.locked_ms,
                "p99_before_ms": load.map(|felt| felt.before.as_secs_f64() * 1e3),
                "p99_during_ms": load.map(|felt| felt.during.as_secs_f64() * 1e3),
                "gap_ms": load.map(|felt| felt.gap.as_secs_f64() * 1e3),
                "writes_per_second_before": load.map(|felt| felt.rate_before),
                "writes_per_second": load.map(|felt| felt.rate),
                "phases": phases_json(sample),
            })
        })
        .collect();
    json!({ "server": server, "scenario": scenario, "shape": shape, "rows": rows, "runs": runs })
}

fn phases_json(sample: &Sample) -> Vec<Value> {
    let felt = |number: usize| sample.load.as_ref().and_then(|felt| felt.phases.get(number));
    let phases = sample.run.phases.iter().enumerate().map(|(number, phase)| {
        json!({
            "name": phase.name,
            "seconds": phase.took.as_secs_f64(),
            "p99_ms": felt(number).map(|felt| felt.p99.as_secs_f64() * 1e3),
            "writes_per_second": felt(number).map(|felt| felt.rate),
        })
    });
    phases.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        assert_eq!(
            Spread::of([4.0, 1.0, 2.0, 3.0]),
            Some(Spread { min: 1.0, median: 2.5, max: 4.0 })
        );
        assert_eq!(Spread::of([]), None);
    }
}
