//! The proof: every difference between source and shadow is explained by the log (law 8). It never repairs; what it
//! looks at again was refreshed because the log said so.

use crate::copy::Ahead;
use crate::desk::Desk;
use crate::listen::Listener;
use crate::pace::{self, Pace, Turn};
use crate::refresh::refresh_turn;
use crate::{Failure, behind, run};
use altergeist_contract::{Chunk, Comparison, Engine, Key, Record, Result, Watermark};
use futures_util::future::{join, join_all};
use std::time::Duration;
use tokio::time::Instant;

/// How often a row that keeps changing is looked at again. Each time its difference was explained by the log.
const LOOKS_MAX: u32 = 20;

/// Compares the whole key space, chunk by chunk, while the table is written to.
///
/// # Errors
/// [`Failure::Unequal`] if one difference is not explained; [`Failure::Behind`].
pub async fn verify<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    let (mut pace, mut ahead) = (Pace::default(), Ahead::default());
    let mut after = Watermark::Start;
    let mut suspects: Vec<Key> = Vec::new();
    let begun = Instant::now();
    let mut verified = 0;
    while after != Watermark::End {
        run::wait_while_throttled(engine, listener, desk, record).await?;
        engine.still_held().await?;
        let orders = desk.orders();
        let (rows, workers) = (pace.rows(&orders), pace.workers(&orders));
        let turn_begun = Instant::now();
        let chunks = listener.during(ahead.take(engine, &after, rows, workers)).await??;
        let comparing = join_all(chunks.iter().map(|chunk| compare_chunk(engine, chunk)));
        let (compared, ()) = listener.during(join(comparing, ahead.look(engine, &chunks, rows, workers))).await?;
        let (mut comparisons, mut full) = (Vec::new(), Vec::new());
        for (chunk, compared) in chunks.iter().zip(compared) {
            let (comparison, took) = compared?;
            if chunk.through != Watermark::End {
                full.push(took);
            }
            comparisons.push(comparison);
        }
        let rows = comparisons.iter().map(|found| found.rows).sum::<u64>();
        verified += rows;
        let turn = Turn { rows, chunk: pace::mean(&full), took: turn_begun.elapsed() };
        let rest = pace.learn_turn(&orders, turn, engine.commit_latency());
        suspects.extend(comparisons.into_iter().flat_map(|found| found.differing));
        after = end_of(&chunks);
        suspects = look_again(engine, listener, desk, suspects).await?;
        run::tell_walk(desk, begun, verified, record.rows_copied.max(record.rows_estimated));
        desk.tell(|status| {
            status.rows_verified = verified;
            status.chunk_rows = pace.rows(&orders);
            status.workers = pace.workers(&orders);
        });
        run::rest_for(listener, desk, rest).await?;
    }
    for _ in 0..LOOKS_MAX {
        if suspects.is_empty() {
            break;
        }
        listener.pause(Duration::from_millis(20)).await?;
        suspects = look_again(engine, listener, desk, suspects).await?;
    }
    Ok(())
}

async fn compare_chunk<E: Engine>(engine: &E, chunk: &Chunk) -> Result<(Comparison, Duration)> {
    let begun = Instant::now();
    Ok((engine.compare(chunk).await?, begun.elapsed()))
}

/// Finds each differing key in the log, refreshes, and compares these keys once more; gives those that differ still, or
/// again, which must be explained in turn before the verification ends.
async fn look_again<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    suspects: Vec<Key>,
) -> Result<Vec<Key>, Failure> {
    if !suspects.is_empty() {
        explain(engine, listener, desk, &suspects).await?;
    }
    refresh_turn(engine, listener, desk, &Watermark::End).await?;
    if suspects.is_empty() {
        return Ok(suspects);
    }
    let differing = listener.during(engine.compare_keys(&suspects)).await??;
    explain(engine, listener, desk, &differing).await?;
    Ok(differing)
}

/// Whatever a comparison saw is in the log before a mark put there afterwards; so by the time the mark has passed, each
/// differing key must have been pending, or what caused it where the server does not log that. If more is pending than fits
/// into memory on the way, it is refreshed: what was explained by then stays explained.
async fn explain<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    differing: &[Key],
) -> Result<(), Failure> {
    let mut unexplained: Vec<&Key> = differing.iter().collect();
    if unexplained.is_empty() {
        return Ok(());
    }
    let mark = behind::put(engine).await?;
    loop {
        let has_passed = behind::reach(engine, listener, desk, mark).await?;
        unexplained.retain(|key| !listener.keys.explains(key));
        let mut left = Vec::new();
        for key in unexplained {
            let causes = listener.during(engine.causes(key)).await??;
            if !causes.iter().any(|cause| listener.keys.explains(cause)) {
                left.push(key);
            }
        }
        unexplained = left;
        match unexplained.len() {
            0 => return Ok(()),
            rows if has_passed => return Err(Failure::Unequal { rows }),
            _ => refresh_turn(engine, listener, desk, &Watermark::End).await?,
        }
    }
}

fn end_of(chunks: &[Chunk]) -> Watermark {
    chunks.last().map_or(Watermark::End, |chunk| chunk.through.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_without_chunks_is_at_its_end() {
        assert_eq!(end_of(&[]), Watermark::End);
    }
}
