//! An application that writes at a fixed rate whatever the server does (open loop): a write's
//! latency counts from the moment it was due, so that waiting in line is not left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::setup::Setup;
use super::shape::Shape;
use crate::session::{Failure, Session};

/// How many connections write.
pub const CONNECTIONS: u32 = 8;
/// How many rows are hot.
const HOT_ROWS: u64 = 10;

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
    /// Begins to write to the table of `setup`: `per_second` writes over all connections, or as
    /// many as the server takes; half of them to a few rows if some are `hot`.
    ///
    /// # Panics
    /// When the system has no thread for it.
    pub fn start(setup: &Setup, database: &str, per_second: Option<u32>, hot: bool) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
        let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let writers = (0..CONNECTIONS).map(|number| {
            let period = per_second.map(|rate| Duration::from_secs(1) * CONNECTIONS / rate);
            let (rows, shape, stop) = (setup.rows, setup.shape, stop.clone());
            let writer = Writer { number, rows, hot, shape, period, began, stop };
            runtime.spawn(writer.write(setup.server.url(database)))
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

struct Writer {
    number: u32,
    rows: u64,
    /// Whether half of the writes go to a few rows.
    hot: bool,
    shape: Shape,
    /// Between two writes; none to write again as soon as the server has answered.
    period: Option<Duration>,
    began: Instant,
    stop: Arc<AtomicBool>,
}

impl Writer {
    async fn write(self, url: String) -> Result<Vec<Write>, Failure> {
        let mut session = Session::connect(&url).await?;
        let mut rng = SmallRng::seed_from_u64(self.number.into());
        let mut written = Vec::new();
        let mut due = self.began + self.period.unwrap_or_default() * self.number / CONNECTIONS;
        while !self.stop.load(Ordering::Relaxed) {
            match self.period {
                Some(_) => tokio::time::sleep_until(due.into()).await,
                None => due = Instant::now(),
            }
            let statement = self.statement(&mut rng, session.is_postgres());
            session.execute(&statement).await?;
            written.push(Write { at: self.began.elapsed(), latency: due.elapsed() });
            due += self.period.unwrap_or_default();
        }
        Ok(written)
    }

    /// 40 % change an indexed column, 30 % another, 15 % delete, 15 % insert what may have been
    /// deleted.
    fn statement(&self, rng: &mut SmallRng, is_postgres: bool) -> String {
        let rows = if self.hot && rng.random() { HOT_ROWS } else { self.rows };
        let (n, value) = (rng.random_range(1..=rows), rng.random_range(0..1_000_000));
        let row = self.shape.is_row(n, is_postgres);
        match rng.random_range(0..100) {
            0..40 => format!("UPDATE bench SET k = {value} WHERE {row}"),
            40..70 => format!("UPDATE bench SET c = 'changed {value}' WHERE {row}"),
            70..85 => format!("DELETE FROM bench WHERE {row}"),
            _ => {
                let (ignore, nothing) =
                    if is_postgres { ("", " ON CONFLICT DO NOTHING") } else { ("IGNORE ", "") };
                let key = self.shape.values(&n.to_string(), is_postgres);
                format!(
                    "INSERT {ignore}INTO bench VALUES ({value}, 'new', 'pad {value}', \
                     {key}){nothing}"
                )
            }
        }
    }
}

/// A short while of the load.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// When it began, on the load's clock.
    pub at: Duration,
    /// Completed writes a second.
    pub rate: f64,
    /// The 99th percentile of their latencies.
    pub p99: Duration,
}

/// What was written, in the order of completion.
pub struct Written(Vec<Write>);

impl Written {
    /// The latency that `percent` of the writes completed in `from..to` did not exceed; 0 if there
    /// were none.
    pub fn percentile(&self, percent: f64, from: Duration, to: Duration) -> Duration {
        let mut latencies: Vec<Duration> =
            self.between(from, to).map(|write| write.latency).collect();
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

    /// The whole of it, in pieces of this length.
    pub fn course(&self, piece: Duration) -> Vec<Tick> {
        let end = self.0.last().map_or(Duration::ZERO, |write| write.at);
        let begins = (0..).map(|number| piece * number).take_while(|at| *at < end);
        let tick = |at| Tick {
            at,
            rate: self.rate(at, at + piece),
            p99: self.percentile(99.0, at, at + piece),
        };
        begins.map(tick).collect()
    }

    fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Write> {
        let first = self.0.partition_point(|write| write.at < from);
        self.0[first..].iter().take_while(move |write| write.at < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(at_ms: &[u64]) -> Written {
        let write = |ms: &u64| Write {
            at: Duration::from_millis(*ms),
            latency: Duration::from_millis(*ms / 10),
        };
        Written(at_ms.iter().map(write).collect())
    }

    #[test]
    fn the_gap_counts_the_time_before_the_first_and_after_the_last_write() {
        let written = written(&[10, 20, 100]);
        assert_eq!(
            written.gap(Duration::ZERO, Duration::from_millis(110)),
            Duration::from_millis(80)
        );
        assert_eq!(
            written.gap(Duration::ZERO, Duration::from_millis(900)),
            Duration::from_millis(800)
        );
    }

    #[test]
    fn a_percentile_is_a_latency_that_was_seen() {
        let written = written(&[10, 20, 30, 40]);
        assert_eq!(
            written.percentile(50.0, Duration::ZERO, Duration::from_secs(1)),
            Duration::from_millis(2)
        );
        assert_eq!(
            written.percentile(99.0, Duration::ZERO, Duration::from_secs(1)),
            Duration::from_millis(4)
        );
        assert_eq!(
            written.percentile(99.0, Duration::from_secs(1), Duration::from_secs(2)),
            Duration::ZERO
        );
    }
}
