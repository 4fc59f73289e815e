//! The proof: every difference between source and shadow is explained by the log (law 8). It never repairs; what it
//! looks at again was refreshed because the log said so.

use crate::chunk_size::ChunkSize;
use crate::copy::next_chunks;
use crate::desk::Desk;
use crate::listen::Listener;
use crate::refresh::refresh_turn;
use crate::{Failure, run};
use altergeist_contract::{Chunk, Comparison, Engine, Key, Record, Result, Watermark};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// How often a row that keeps changing is looked at again. Each time its difference was explained by the log.
const LOOKS_MAX: u32 = 20;

/// Compares the whole key space, chunk by chunk, while the table is written to.
///
/// # Errors
/// [`Failure::Unequal`] if one difference is not explained.
pub async fn verify<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    let mut size = ChunkSize::default();
    let mut after = Watermark::Start;
    let mut suspects: Vec<Key> = Vec::new();
    let begun = Instant::now();
    let mut verified = 0;
    while after != Watermark::End {
        run::wait_while_throttled(engine, listener, desk, record).await?;
        engine.still_held().await?;
        let orders = desk.orders();
        let rows = size.rows(orders.chunk_rows);
        let chunks = listener.during(next_chunks(engine, &after, rows, orders.workers)).await??;
        let turn_begun = Instant::now();
        let comparisons = listener.during(join_all(chunks.iter().map(|chunk| engine.compare(chunk)))).await?;
        size.learn(turn_begun.elapsed(), orders.chunk_time);
        let comparisons = comparisons.into_iter().collect::<Result<Vec<Comparison>>>()?;
        verified += comparisons.iter().map(|found| found.rows).sum::<u64>();
        suspects.extend(comparisons.into_iter().flat_map(|found| found.differing));
        after = end_of(&chunks);
        suspects = look_again(engine, listener, desk, suspects).await?;
        run::tell_walk(desk, begun, verified, record.rows_copied.max(record.rows_estimated));
        desk.tell(|status| status.rows_verified = verified);
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

/// Finds each differing key in the log, refreshes, and compares these keys once more; gives those that differ still, or
/// again, which must be explained in turn before the verification ends.
async fn look_again<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    suspects: Vec<Key>,
) -> Result<Vec<Key>, Failure> {
    if !suspects.is_empty() {
        explain(engine, listener, &suspects).await?;
    }
    refresh_turn(engine, listener, desk, &Watermark::End).await?;
    if suspects.is_empty() {
        return Ok(suspects);
    }
    let differing = listener.during(engine.compare_keys(&suspects)).await??;
    explain(engine, listener, &differing).await?;
    Ok(differing)
}

/// Whatever a comparison saw is in the log before a mark put there afterwards; so when the mark has passed, each
/// differing key must be pending: nothing was refreshed since it was compared.
async fn explain<E: Engine>(engine: &E, listener: &mut Listener<E::Stream>, differing: &[Key]) -> Result<(), Failure> {
    if differing.is_empty() {
        return Ok(());
    }
    let mark = engine.mark().await?;
    if !listener.until(mark).await? {
        return Err(altergeist_contract::Error::fatal(
            format!("verify {}", engine.table()),
            "more changes are pending than fit into memory",
        )
        .into());
    }
    let unexplained = differing.iter().filter(|key| !listener.keys.explains(key)).count();
    match unexplained {
        0 => Ok(()),
        rows => Err(Failure::Unequal { rows }),
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
