//! Many runs, as a table of medians and ratios, and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::competitor::{Competitor, Run};
use super::load::Tick;

/// One run of one competitor, and what the application went through, if there was one.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Who.
    pub competitor: Competitor,
    /// What it took.
    pub run: Run,
    /// Of the writers: p99 before and during, the longest gap around the cut-over, writes a second
    /// during.
    pub load: Option<Latency>,
}

/// What the application felt of a run.
#[derive(Clone, Debug)]
pub struct Latency {
    /// The 99th percentile of the latencies before the run.
    pub before: Duration,
    /// The same while it ran.
    pub during: Duration,
    /// What it felt in each phase of the run.
    pub phases: Vec<PhaseLatency>,
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
pub struct PhaseLatency {
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

/// The table: a line a competitor, totals as medians with their spread, and altergeist's time over
/// theirs, round by round.
pub fn table(samples: &[Sample]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "  {:<12}{:>22}{:>16}{:>16}{:>12}{:>10}   p99 ms before → during, gap ms, writes/s",
        "", "total s (min-max)", "ours / theirs", "… unverified", "client s", "MiB"
    );
    for competitor in competitors(samples) {
        let of = |measure: fn(&Run) -> f64| {
            Spread::of(runs(samples, competitor).map(|sample| measure(&sample.run)))
        };
        let Some(total) = of(|run| run.total.as_secs_f64()) else { continue };
        let cpu = of(|run| run.client_cpu.as_secs_f64()).map_or(0.0, |spread| spread.median);
        let mib = of(|run| run.client_kib as f64 / 1024.0).map_or(0.0, |spread| spread.median);
        let mark = if runs(samples, competitor).all(|sample| sample.run.is_finished) {
            ""
        } else {
            "not within "
        };
        let spread = format!("{mark}{:.1} ({:.1}-{:.1})", total.median, total.min, total.max);
        let verified = ratio(samples, competitor, |run| run.total.as_secs_f64());
        let bare = ratio(samples, competitor, |run| (run.total - run.verifying()).as_secs_f64());
        let _ = writeln!(
            text,
            "  {:<12}{spread:>22}{verified:>16}{bare:>16}{cpu:>12.2}{mib:>10.0}   {}",
            competitor.name(),
            latency(samples, competitor)
        );
    }
    text
}

fn ratio(samples: &[Sample], against: Competitor, measure: fn(&Run) -> f64) -> String {
    let ours = runs(samples, Competitor::Altergeist).map(|sample| measure(&sample.run));
    let theirs = runs(samples, against).map(|sample| sample.run.total.as_secs_f64());
    let spread = Spread::of(ours.zip(theirs).map(|(ours, theirs)| ours / theirs));
    spread.map_or_else(String::new, |spread| format!("{:.2}", spread.median))
}

fn latency(samples: &[Sample], competitor: Competitor) -> String {
    let latency: Vec<&Latency> =
        runs(samples, competitor).filter_map(|sample| sample.load.as_ref()).collect();
    let median = |measure: fn(&Latency) -> f64| {
        Spread::of(latency.iter().map(|latency| measure(latency)))
            .map_or(0.0, |spread| spread.median)
    };
    match latency.is_empty() {
        true => String::new(),
        false => format!(
            "{:.0} → {:.0}, {:.0}, {:.0} → {:.0}",
            median(|latency| latency.before.as_secs_f64() * 1e3),
            median(|latency| latency.during.as_secs_f64() * 1e3),
            median(|latency| latency.gap.as_secs_f64() * 1e3),
            median(|latency| latency.rate_before),
            median(|latency| latency.rate)
        ),
    }
}

/// A line for each competitor that says its phases: how long each lasts, and what the application
/// feels meanwhile.
pub fn phases(samples: &[Sample]) -> String {
    let mut text = String::new();
    for competitor in competitors(samples) {
        let mut names: Vec<&str> = Vec::new();
        for phase in runs(samples, competitor).flat_map(|sample| &sample.run.phases) {
            if !names.contains(&phase.name.as_str()) {
                names.push(&phase.name);
            }
        }
        if !names.is_empty() {
            let phases: Vec<String> =
                names.iter().map(|name| in_phase(samples, competitor, name)).collect();
            let _ = writeln!(text, "  {:<12} {}", competitor.name(), phases.join("; "));
        }
    }
    text
}

fn in_phase(samples: &[Sample], competitor: Competitor, name: &str) -> String {
    let took = runs(samples, competitor).map(|sample| {
        let phases = sample.run.phases.iter().filter(|phase| phase.name == name);
        phases.map(|phase| phase.took.as_secs_f64()).sum::<f64>()
    });
    let latency: Vec<&PhaseLatency> = runs(samples, competitor)
        .filter_map(|sample| Some((sample, sample.load.as_ref()?)))
        .flat_map(|(sample, latency)| sample.run.phases.iter().zip(&latency.phases))
        .filter_map(|(phase, latency)| (phase.name == name).then_some(latency))
        .collect();
    let p99 = Spread::of(latency.iter().map(|latency| latency.p99.as_secs_f64() * 1e3));
    let rate = Spread::of(latency.iter().map(|latency| latency.rate));
    let latency = p99
        .zip(rate)
        .map(|(p99, rate)| format!(", p99 {:.0} ms, {:.0} writes/s", p99.median, rate.median));
    let seconds = Spread::of(took).map_or(0.0, |took| took.median);
    format!("{name} {seconds:.1} s{}", latency.unwrap_or_default())
}

fn runs(samples: &[Sample], competitor: Competitor) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |sample| sample.competitor == competitor)
}

fn competitors(samples: &[Sample]) -> Vec<Competitor> {
    let mut seen = Vec::new();
    for sample in samples {
        if !seen.contains(&sample.competitor) {
            seen.push(sample.competitor);
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
                "competitor": sample.competitor.name(),
                "total_seconds": sample.run.total.as_secs_f64(),
                "finished": sample.run.is_finished,
                "verifying_seconds": sample.run.verifying().as_secs_f64(),
                "client_cpu_seconds": sample.run.client_cpu.as_secs_f64(),
                "client_peak_kib": sample.run.client_kib,
                "locked_ms": sample.run.locked_ms,
                "p99_before_ms": load.map(|latency| latency.before.as_secs_f64() * 1e3),
                "p99_during_ms": load.map(|latency| latency.during.as_secs_f64() * 1e3),
                "gap_ms": load.map(|latency| latency.gap.as_secs_f64() * 1e3),
                "writes_per_second_before": load.map(|latency| latency.rate_before),
                "writes_per_second": load.map(|latency| latency.rate),
                "phases": phases_json(sample),
            })
        })
        .collect();
    json!({ "server": server, "scenario": scenario, "shape": shape, "rows": rows, "runs": runs })
}

fn phases_json(sample: &Sample) -> Vec<Value> {
    let latency =
        |number: usize| sample.load.as_ref().and_then(|latency| latency.phases.get(number));
    let phases = sample.run.phases.iter().enumerate().map(|(number, phase)| {
        json!({
            "name": phase.name,
            "seconds": phase.took.as_secs_f64(),
            "p99_ms": latency(number).map(|latency| latency.p99.as_secs_f64() * 1e3),
            "writes_per_second": latency(number).map(|latency| latency.rate),
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
