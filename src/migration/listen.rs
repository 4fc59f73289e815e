//! Reads the log while something else runs. This is the only concurrency of the core: one task
//! reads the stream whenever it would otherwise wait.

use crate::migration::keyset::{KeySet, Pending};
use crate::pace::chunk_size::ChunkSize;
use crate::pace::skip_unchanged::SkipUnchanged;
use crate::pace::stream_lag::StreamLag;
use altergeist_contract::{ChangeStream, Changes, Engine, Marker, Position, Result};
use std::pin::pin;
use std::time::Duration;

/// Upper limit of the pending keys, as they are counted; in memory they take about twice as much.
/// Above it the log stays unread until some keys are refreshed.
const PENDING_BYTES_MAX: usize = 24 << 20;

/// The change stream and the keys it has delivered.
pub struct Listener<S> {
    /// None until the run reads the log.
    stream: Option<S>,
    /// Keys delivered and not refreshed yet.
    pub keys: KeySet,
    delivered: Position,
    refreshed: Position,
    marker: Marker,
    received: u64,
    /// How long the last marks took to arrive.
    pub lag: StreamLag,
    /// Keys per refresh transaction, sized by the time it takes.
    pub batch: ChunkSize,
    /// Whether the refresh skips rows that are equal already.
    pub skip_unchanged: SkipUnchanged,
}

impl<S: ChangeStream> Listener<S> {
    /// Returns a listener that will read from this position. Everything before it is refreshed.
    pub fn new(from: Position) -> Listener<S> {
        Listener {
            stream: None,
            keys: KeySet::default(),
            delivered: from.clone(),
            refreshed: from,
            marker: Marker::NONE,
            received: 0,
            lag: StreamLag::default(),
            batch: ChunkSize::default(),
            skip_unchanged: SkipUnchanged::default(),
        }
    }

    /// Starts reading the log, if it has not started yet.
    pub async fn listen<E: Engine<Stream = S>>(&mut self, engine: &E) -> Result<()> {
        if self.stream.is_none() {
            self.stream = Some(engine.follow(&self.delivered).await?);
        }
        Ok(())
    }

    /// Whether the log is being read.
    pub fn is_listening(&self) -> bool {
        self.stream.is_some()
    }

    /// Moves the start to another position. The log must not be read yet.
    pub fn begin_at(&mut self, from: Position) {
        assert!(!self.is_listening(), "what was heard cannot be passed over");
        self.delivered = from.clone();
        self.refreshed = from;
    }

    /// Runs some work and reads the log meanwhile. The work always runs to its end: a stream error
    /// is reported after it.
    pub async fn run_while_streaming<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            let is_full = self.is_full();
            let Some(stream) = &mut self.stream else { return Ok(work.await) };
            let delivery = tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                delivery = stream.next(), if !is_full => delivery,
            };
            match delivery {
                Ok(changes) => self.absorb(changes),
                Err(error) => {
                    work.await;
                    return Err(error);
                }
            }
        }
    }

    /// Reads the log until a mark of ours has passed, or until too much is pending. Returns whether
    /// the mark has passed. Cancel-safe.
    pub async fn stream_until(&mut self, marker: Marker) -> Result<bool> {
        while self.marker < marker && !self.is_full() {
            let Some(stream) = &mut self.stream else { break };
            let changes = stream.next().await?;
            self.absorb(changes);
        }
        Ok(self.marker >= marker)
    }

    /// Returns the greatest mark of ours that has passed.
    pub fn passed(&self) -> Marker {
        self.marker
    }

    /// Sleeps, and reads the log meanwhile.
    pub async fn pause(&mut self, time: Duration) -> Result<()> {
        self.run_while_streaming(tokio::time::sleep(time)).await
    }

    /// Returns all pending keys, with the position up to which they were delivered.
    pub fn drain(&mut self) -> (Pending, Position) {
        (self.keys.take(), self.delivered.clone())
    }

    /// Records that everything before this position is refreshed.
    pub fn confirm(&mut self, position: Position) {
        self.refreshed = position;
    }

    /// Returns the position before which everything is in the shadow. It may be saved (law 6).
    pub fn refreshed(&self) -> &Position {
        &self.refreshed
    }

    /// Returns how far the log was read.
    pub fn delivered(&self) -> &Position {
        &self.delivered
    }

    /// Returns how many changed keys the log has delivered; a key counts each time.
    pub fn keys_received(&self) -> u64 {
        self.received
    }

    /// Lets the server discard the log before a saved position.
    pub async fn forget(&mut self, saved: &Position) -> Result<()> {
        match &mut self.stream {
            Some(stream) => stream.forget(saved).await,
            None => Ok(()),
        }
    }

    fn absorb(&mut self, changes: Changes) {
        self.delivered = changes.position.clone();
        self.marker = self.marker.max(changes.marker);
        self.received += changes.keys.len() as u64;
        self.keys.absorb(changes);
    }

    /// Whether too much is pending to read on.
    pub fn is_full(&self) -> bool {
        self.keys.bytes() > PENDING_BYTES_MAX
    }
}
