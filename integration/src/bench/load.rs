//! An application that writes at a fixed rate whatever the server does (open loop): a write's latency counts from the
//! moment it was due, so that waiting in line is not left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::session::{Failure, Session};

/// How many connections write.
pub const CONNECTIONS: u32 = 8;

/// A write that ended: when, and how long after it was due. Times are on the load's clock.
#[derive(Clone, Copy, Debug)]
struct Write {
    at: Duration,
    latency: Duration,
}

/// Connections that write to the table of the bench until they are stopped.
pub struct Load {
    runtime: tokio::runtime::Runtime,
    began: Instant,
    stop: Arc<AtomicBool>,
    writers: Vec<tokio::task::JoinHandle<Result<Vec<Write>, Failure>>>,
}

impl Load {
    /// Begins to write, `per_second` writes over all connections, to rows up to `rows`.
    ///
    /// # Panics
    /// When the system has no thread for it.
    pub fn start(url: &str, rows: u64, per_second: u32) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
        let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let writers = (0..CONNECTIONS).map(|number| {
            let period = Duration::from_secs(1) * CONNECTIONS / per_second;
            runtime.spawn(write(
                url.to_owned(),
                rows,
                began + period * number / CONNECTIONS,
                period,
                began,
                stop.clone(),
            ))
        });
        let writers = writers.collect();
        Self { runtime, began, stop, writers }
    }

    /// The load's clock.
    pub fn clock(&self) -> Duration {
        self.began.elapsed()
    }

    /// Stops writing.
    ///
    /// # Errors
    /// The first error a writer met: a load that does not write measures nothing.
    pub fn stop(self) -> Result<Written, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for writer in self.writers {
            let writes = self.runtime.block_on(writer).map_err(|error| error.to_string())?;
            written.extend(writes.map_err(|failure| format!("a write failed: {failure}"))?);
        }
        written.sort_unstable_by_key(|write| write.at);
        Ok(Written(written))
    }
}

async fn write(
    url: String,
    rows: u64,
    first: Instant,
    period: Duration,
    began: Instant,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Write>, Failure> {
    let mut session = Session::connect(&url).await?;
    let mut rng = SmallRng::seed_from_u64(first.duration_since(began).as_micros() as u64);
    let (mut due, mut written) = (first, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due.into()).await;
        let statement = statement(&mut rng, rows, session.is_postgres());
        session.execute(&statement).await?;
        written.push(Write { at: began.elapsed(), latency: due.elapsed() });
        due += period;
    }
    Ok(written)
}

/// 40 % change an indexed column, 30 % another, 15 % delete, 15 % insert what may have been deleted.
fn statement(rng: &mut SmallRng, rows: u64, is_postgres: bool) -> String {
    let (id, value) = (rng.random_range(1..=rows), rng.random_range(0..1_000_000));
    match rng.random_range(0..100) {
        0..40 => format!("UPDATE bench SET k = {value} WHERE id = {id}"),
        40..70 => format!("UPDATE bench SET c = 'changed {value}' WHERE id = {id}"),
        70..85 => format!("DELETE FROM bench WHERE id = {id}"),
        _ => {
            let ignore = if is_postgres { ("", " ON CONFLICT DO NOTHING") } else { ("IGNORE ", "") };
            format!("INSERT {}INTO bench VALUES ({id}, {value}, 'new', 'pad {value}'){}", ignore.0, ignore.1)
        }
    }
}

/// What was written, in the order of completion.
pub struct Written(Vec<Write>);

impl Written {
    /// The latency that `percent` of the writes completed in `from..to` did not exceed; 0 if there were none.
    pub fn percentile(&self, percent: f64, from: Duration, to: Duration) -> Duration {
        let mut latencies: Vec<Duration> = self.between(from, to).map(|write| write.latency).collect();
        latencies.sort_unstable();
        let rank = (latencies.len() as f64 * percent / 100.0).ceil() as usize;
        latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The longest time in `from..to` in which no write of any connection completed.
    pub fn gap(&self, from: Duration, to: Duration) -> Duration {
        let inner = self.between(from, to).map(|write| write.at);
        let times: Vec<Duration> = std::iter::once(from).chain(inner).chain([to]).collect();
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default()
    }

    /// How many writes completed in a second, in `from..to`.
    pub fn rate(&self, from: Duration, to: Duration) -> f64 {
        self.between(from, to).count() as f64 / (to.saturating_sub(from)).as_secs_f64().max(0.001)
    }

    fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Write> {
        self.0.iter().filter(move |write| (from..to).contains(&write.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(at_ms: &[u64]) -> Written {
        let write = |ms: &u64| Write { at: Duration::from_millis(*ms), latency: Duration::from_millis(*ms / 10) };
        Written(at_ms.iter().map(write).collect())
    }

    #[test]
    fn the_gap_counts_the_time_before_the_first_and_after_the_last_write() {
        let written = written(&[10, 20, 100]);
        assert_eq!(written.gap(Duration::ZERO, Duration::from_millis(110)), Duration::from_millis(80));
        assert_eq!(written.gap(Duration::ZERO, Duration::from_millis(900)), Duration::from_millis(800));
    }

    #[test]
    fn a_percentile_is_a_latency_that_was_seen() {
        let written = written(&[10, 20, 30, 40]);
        assert_eq!(written.percentile(50.0, Duration::ZERO, Duration::from_secs(1)), Duration::from_millis(2));
        assert_eq!(written.percentile(99.0, Duration::ZERO, Duration::from_secs(1)), Duration::from_millis(4));
        assert_eq!(written.percentile(99.0, Duration::from_secs(1), Duration::from_secs(2)), Duration::ZERO);
    }
}
