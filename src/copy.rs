//! The copy turn: fills the shadow by some chunks side by side, and moves the watermark when all have ended.

use crate::chunk_size::ChunkSize;
use crate::desk::Desk;
use crate::listen::Listener;
use crate::refresh::{refuse_duplicates, wait_out};
use altergeist_contract::{Chunk, Engine, Error, Kind, Record, Result, Shadow, Watermark};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// How often in a row a turn may fail for a passing reason before it is taken for more than that.
const FAILURES_MAX: u32 = 30;

/// What a copied chunk cost.
struct Copied {
    rows: u64,
    took: Duration,
}

/// Copies the next chunks. The watermark moves to the end of the last chunk before which none failed; what lies
/// beyond it is cleared again, so that the next turn meets no row of its own.
pub async fn copy_turn<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    size: &mut ChunkSize,
    record: &mut Record,
) -> Result<()> {
    let orders = desk.orders();
    let rows = size.rows(orders.chunk_rows);
    for failures in 1..=FAILURES_MAX {
        engine.still_held().await?;
        let chunks = listener.during(next_chunks(engine, &record.watermark, rows, orders.workers)).await??;
        let copies = join_all(chunks.iter().map(|chunk| copy_chunk(engine, chunk)));
        let results = listener.during(copies).await?;
        let failure = advance(record, &chunks, results, |took| size.learn(took, orders.chunk_time));
        let Some(error) = failure else { return Ok(()) };
        if error.kind == Kind::Transient {
            desk.tell(|status| status.last_error = Some(error.to_string()));
        }
        listener.during(engine.clear_beyond(&record.watermark)).await??;
        wait_out(engine, listener, &record.watermark, error).await?;
        if failures % (FAILURES_MAX / 5) == 0 {
            refuse_duplicates(engine).await?;
        }
    }
    Err(Error::fatal(
        format!("copy the next chunk of {}", engine.table()),
        format!("it failed {FAILURES_MAX} times in a row for reasons that should have passed"),
    ))
}

/// The ranges of one turn, each beginning where the one before ends.
pub async fn next_chunks<E: Shadow>(engine: &E, after: &Watermark, rows: u64, count: usize) -> Result<Vec<Chunk>> {
    let mut chunks: Vec<Chunk> = Vec::new();
    while chunks.len() < count.max(1) {
        let after = chunks.last().map_or(after, |chunk| &chunk.through);
        if *after == Watermark::End {
            break;
        }
        let chunk = engine.next_chunk(after, rows).await?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

async fn copy_chunk<E: Engine>(engine: &E, chunk: &Chunk) -> Result<Copied> {
    let begun = Instant::now();
    let rows = engine.copy(chunk).await?;
    Ok(Copied { rows, took: begun.elapsed() })
}

/// Moves the watermark over the chunks that arrived, in order, up to the first that did not; gives the gravest failure.
fn advance(
    record: &mut Record,
    chunks: &[Chunk],
    results: Vec<Result<Copied>>,
    mut learn: impl FnMut(Duration),
) -> Option<Error> {
    let mut failure: Option<Error> = None;
    for (chunk, result) in chunks.iter().zip(results) {
        match result {
            Err(error) => {
                failure = Some(match failure {
                    None => error,
                    Some(earlier) => earlier.graver(error),
                });
            }
            Ok(copied) if failure.is_none() => {
                record.rows_copied += copied.rows;
                record.watermark = chunk.through.clone();
                if copied.rows > 0 && chunk.through != Watermark::End {
                    learn(copied.took);
                }
            }
            Ok(_) => {}
        }
    }
    failure
}
