//! How long a change will take: arithmetic over what the engine measured. It does no I/O.

use altergeist_contract::{Blocks, Estimate, InPlaceEstimate, Measured, Plan, Span};
use std::time::Duration;

/// How many times as fast as the sample the whole copy may be, at best and usually: the sample is
/// one session, and the copy has several.
const COPY_FASTER: (f64, f64) = (3.0, 1.3);
/// How many times slower, at worst: other parts of the table may have to come from the disk, and
/// the run yields to the application.
const COPY_SLOWER: f64 = 2.0;
/// The rate for a table without a sample, in rows per second.
const ROWS_PER_SECOND_UNKNOWN: u64 = 20_000;
/// How many bytes of indexes a server builds in a second: at best, usually, at worst.
const INDEX_BYTES_PER_SECOND: (f64, f64, f64) = (150e6, 50e6, 15e6);
/// The verification as a part of the copy: it reads both tables and writes nothing.
const VERIFICATION: (f64, f64, f64) = (0.2, 0.5, 1.0);
/// Seconds for all that does not depend on the size: the log, the shadow, catching up, statistics.
const ALWAYS_SECONDS: (f64, f64, f64) = (0.5, 2.0, 10.0);
/// The server's own way is one session that copies without chunks.
const IN_PLACE_FASTER: (f64, f64) = (4.0, 1.5);

/// A time that is only about known, before it is rounded.
#[derive(Clone, Copy, Default)]
struct Seconds(f64, f64, f64);

impl Seconds {
    fn plus(self, other: Seconds) -> Seconds {
        Seconds(self.0 + other.0, self.1 + other.1, self.2 + other.2)
    }

    fn times(self, factors: (f64, f64, f64)) -> Seconds {
        Seconds(self.0 * factors.0, self.1 * factors.1, self.2 * factors.2)
    }

    /// The low end is rounded down and the others up, so that nothing is promised.
    fn span(self) -> Span {
        Span {
            low_seconds: self.0.floor() as u64,
            likely_seconds: self.1.ceil() as u64,
            high_seconds: self.2.ceil() as u64,
        }
    }
}

/// Returns the estimate for a change by a copy.
pub fn estimate(plan: &Plan, measured: &Measured, lock_timeout: Duration) -> Estimate {
    let sample = measured.sample;
    let pace = match sample.rows {
        0 => ROWS_PER_SECOND_UNKNOWN,
        rows => (rows as f64 / sample.time.as_secs_f64().max(0.001)) as u64,
    };
    let one = plan.rows_estimated as f64 / pace.max(1) as f64;
    let copy = Seconds(one / COPY_FASTER.0, one / COPY_FASTER.1, one * COPY_SLOWER);
    let (fast, usual, slow) = INDEX_BYTES_PER_SECOND;
    let bytes = measured.index_bytes as f64;
    let indexes = Seconds(bytes / fast, bytes / usual, bytes / slow);
    let verification = copy.times(VERIFICATION);
    let always = Seconds(ALWAYS_SECONDS.0, ALWAYS_SECONDS.1, ALWAYS_SECONDS.2);
    let total = copy.plus(indexes).plus(verification).plus(always).span();
    let in_place = measured.in_place.clone().map(|way| InPlaceEstimate {
        way,
        time: Seconds(one / IN_PLACE_FASTER.0, one / IN_PLACE_FASTER.1, one).plus(indexes).span(),
        is_chosen: false,
    });
    let of_others = measured.log_bytes_per_second.unwrap_or(0).saturating_mul(total.likely_seconds);
    Estimate {
        sample_rows: sample.rows,
        sample_ms: sample.time.as_millis() as u64,
        rows_per_second: pace,
        copy: copy.span(),
        indexes: indexes.span(),
        verification: verification.span(),
        total,
        log_bytes: (measured.row_bytes + measured.index_bytes).saturating_add(of_others),
        longest_wait_ms: longest_wait_of_copy(lock_timeout),
        in_place,
    }
}

/// Returns the estimate for a change that the server makes in an instant, once it has its lock.
pub fn of_native(lock_timeout: Duration) -> Estimate {
    let instant = Span { low_seconds: 0, likely_seconds: 1, high_seconds: 2 };
    let total = Span { high_seconds: 2 + lock_timeout.as_secs(), ..instant };
    let longest_wait_ms = millis(lock_timeout) + 1000;
    Estimate { total, longest_wait_ms, ..Estimate::default() }
}

/// A query waits behind the run's request for the lock, and then behind the lock itself.
fn longest_wait_of_copy(lock_timeout: Duration) -> u64 {
    2 * millis(lock_timeout)
}

/// Chooses the server's own way, if it surely blocks no longer than `max_downtime`. The estimate is
/// then that of the statement. Returns whether it did.
pub fn prefer_in_place(
    estimate: &mut Estimate,
    max_downtime: Duration,
    lock_timeout: Duration,
) -> bool {
    let Some(in_place) = &mut estimate.in_place else { return false };
    if Duration::from_secs(in_place.time.high_seconds) > max_downtime {
        return false;
    }
    in_place.is_chosen = true;
    let blocked = match in_place.way.blocks {
        Blocks::Nothing => 1000,
        Blocks::Writes | Blocks::ReadsAndWrites => millis(max_downtime),
    };
    estimate.total = in_place.time;
    estimate.longest_wait_ms = millis(lock_timeout) + blocked;
    true
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist_contract::{InPlace, Sample};

    const LOCK: Duration = Duration::from_secs(1);

    fn plan(rows_estimated: u64) -> Plan {
        Plan { rows_estimated, ..Plan::default() }
    }

    fn measured(blocks: Blocks) -> Measured {
        Measured {
            sample: Sample { rows: 20_000, time: Duration::from_millis(400) },
            row_bytes: 6_000_000_000,
            index_bytes: 3_000_000_000,
            log_bytes_per_second: Some(1_000_000),
            in_place: Some(InPlace { statement: "ALTER TABLE t ADD a int".into(), blocks }),
        }
    }

    #[test]
    fn a_large_table_takes_its_rows_its_indexes_and_its_verification() {
        let estimate = estimate(&plan(60_000_000), &measured(Blocks::Writes), LOCK);
        assert_eq!(estimate.rows_per_second, 50_000);
        let seconds = |span: Span| (span.low_seconds, span.likely_seconds, span.high_seconds);
        assert_eq!(seconds(estimate.copy), (400, 924, 2400));
        assert_eq!(seconds(estimate.indexes), (20, 60, 200));
        assert_eq!(seconds(estimate.verification), (80, 462, 2400));
        assert_eq!(seconds(estimate.total), (500, 1447, 5010));
        assert_eq!(estimate.longest_wait_ms, 2000);
        assert_eq!(estimate.log_bytes, 9_000_000_000 + 1447 * 1_000_000);
        let in_place = estimate.in_place.expect("the server can do it");
        assert_eq!(seconds(in_place.time), (320, 860, 1400));
    }

    #[test]
    fn a_table_without_a_sample_has_a_guess_and_never_a_division_by_nothing() {
        let nothing = Measured::default();
        let small = estimate(&plan(0), &nothing, LOCK);
        assert_eq!((small.total.low_seconds, small.total.high_seconds), (0, 10));
        let instant = Sample { rows: 5, time: Duration::ZERO };
        let quick = estimate(&plan(5), &Measured { sample: instant, ..nothing }, LOCK);
        assert_eq!(quick.rows_per_second, 5000);
    }

    #[test]
    fn only_the_upper_end_decides_for_the_blocking_way() {
        let mut slow = estimate(&plan(60_000_000), &measured(Blocks::Writes), LOCK);
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert!(!prefer_in_place(&mut slow, minutes(20), LOCK), "likely 860 s, but perhaps 1400 s");
        assert!(prefer_in_place(&mut slow, minutes(30), LOCK));
        assert_eq!(slow.total.high_seconds, 1400);
        assert_eq!(slow.longest_wait_ms, 1000 + 1_800_000);
        let mut open = estimate(&plan(60_000_000), &measured(Blocks::Nothing), LOCK);
        assert!(prefer_in_place(&mut open, minutes(30), LOCK));
        assert_eq!(open.longest_wait_ms, 2000);
        assert!(!prefer_in_place(&mut Estimate::default(), minutes(30), LOCK));
    }
}
