//! Reading the log while something else is done. The only concurrency of the core: one task, which reads what the
//! stream delivers whenever it would otherwise wait.

use crate::migration::keyset::{KeySet, Pending};
use crate::pace::chunk_size::ChunkSize;
use crate::pace::skip_unchanged::SkipUnchanged;
use crate::pace::stream_lag::StreamLag;
use altergeist_contract::{ChangeStream, Changes, Engine, Marker, Position, Result};
use std::pin::pin;
use std::time::Duration;

/// Pending keys, as they are counted, take no more than this, and about twice as much in fact; beyond it the log is left
/// unread until some were refreshed.
const PENDING_BYTES_MAX: usize = 24 << 20;

/// The stream, and what it has delivered.
pub struct Listener<S> {
    /// None until it listens.
    stream: Option<S>,
    /// Keys delivered and not refreshed.
    pub keys: KeySet,
    delivered: Position,
    refreshed: Position,
    marker: Marker,
    heard: u64,
    /// How long marks were on their way.
    pub lag: StreamLag,
    /// How many keys are refreshed in one transaction, by the time that takes.
    pub batch: ChunkSize,
    /// Whether rows that are the same already are not refreshed.
    pub sparing: SkipUnchanged,
}

impl<S: ChangeStream> Listener<S> {
    /// Will listen from a position on, before which everything is refreshed.
    pub fn new(from: Position) -> Listener<S> {
        Listener {
            stream: None,
            keys: KeySet::default(),
            delivered: from.clone(),
            refreshed: from,
            marker: Marker::NONE,
            heard: 0,
            lag: StreamLag::default(),
            batch: ChunkSize::default(),
            sparing: SkipUnchanged::default(),
        }
    }

    /// Listens from now on, if it does not yet.
    pub async fn listen<E: Engine<Stream = S>>(&mut self, engine: &E) -> Result<()> {
        if self.stream.is_none() {
            self.stream = Some(engine.follow(&self.delivered).await?);
        }
        Ok(())
    }

    /// Whether it listens.
    pub fn is_listening(&self) -> bool {
        self.stream.is_some()
    }

    /// Will listen from another position on; it does not listen yet.
    pub fn begin_at(&mut self, from: Position) {
        assert!(!self.is_listening(), "what was heard cannot be passed over");
        self.delivered = from.clone();
        self.refreshed = from;
    }

    /// Does some work, and listens meanwhile. The work is never dropped half done: if the stream fails, that is
    /// reported once the work has ended.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
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

    /// Listens until a mark of ours has passed, or too much is pending to go on; says whether the mark has passed.
    /// Cancel-safe.
    pub async fn until(&mut self, marker: Marker) -> Result<bool> {
        while self.marker < marker && !self.is_full() {
            let Some(stream) = &mut self.stream else { break };
            let changes = stream.next().await?;
            self.absorb(changes);
        }
        Ok(self.marker >= marker)
    }

    /// The greatest mark of ours passed so far.
    pub fn passed(&self) -> Marker {
        self.marker
    }

    /// Lets time pass, listening.
    pub async fn pause(&mut self, time: Duration) -> Result<()> {
        self.during(tokio::time::sleep(time)).await
    }

    /// Everything pending, with the place in the log up to which it speaks.
    pub fn take(&mut self) -> (Pending, Position) {
        (self.keys.take(), self.delivered.clone())
    }

    /// Everything before this position has been refreshed.
    pub fn settle(&mut self, position: Position) {
        self.refreshed = position;
    }

    /// Everything before this position is in the shadow: it may be saved (law 6).
    pub fn refreshed(&self) -> &Position {
        &self.refreshed
    }

    /// How far the log was read.
    pub fn delivered(&self) -> &Position {
        &self.delivered
    }

    /// How many changed keys the log has told of, each as often as it changed.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Lets the server forget what lies before a position that is saved.
    pub async fn forget(&mut self, saved: &Position) -> Result<()> {
        match &mut self.stream {
            Some(stream) => stream.forget(saved).await,
            None => Ok(()),
        }
    }

    fn absorb(&mut self, changes: Changes) {
        self.delivered = changes.position.clone();
        self.marker = self.marker.max(changes.marker);
        self.heard += changes.keys.len() as u64;
        self.keys.absorb(changes);
    }

    /// Whether too much is pending to listen on.
    pub fn is_full(&self) -> bool {
        self.keys.bytes() > PENDING_BYTES_MAX
    }
}
