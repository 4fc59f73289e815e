//! The shadow: the contract's calls, each with the parts it needs.

use crate::cutover::replacement_views;
use crate::engine::Postgres;
use crate::journal;
use crate::key::values;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::shadow::{compare, create, duplicates, indexes, rows};
use crate::sql;
use altergeist_contract::{Chunk, Comparison, Duplicates, Key, Result, Shadow, Watermark};
use futures_util::future::{try_join, try_join_all};

impl Shadow for Postgres {
    async fn create(&self) -> Result<()> {
        self.sessions.require_hold("make the shadow")?;
        let lease = self.sessions.control.take().await?;
        let result = create::create(&lease, &self.change, &self.log).await;
        self.shadow.set(Some(lease.settle(result).await?));
        Ok(())
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let shadow = self.shadow.facts().await?;
        let (workers, names) = (&self.sessions.workers, &self.change.names);
        rows::next_chunk(workers, names, &shadow.layout, after, rows).await
    }

    async fn copy(&self, chunk: &Chunk) -> Result<u64> {
        let shadow = self.shadow.facts().await?;
        rows::copy(&self.sessions.workers, &self.change.names, &shadow, chunk).await
    }

    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()> {
        let shadow = self.shadow.with_lookup().await?;
        let lease = self.sessions.workers.take().await?;
        let names = &self.change.names;
        let result = rows::refresh_in_transaction(&lease, names, &shadow, keys, through).await;
        lease.settle(result).await
    }

    async fn clear_beyond(&self, through: &Watermark) -> Result<()> {
        let statement = match through {
            Watermark::End => return Ok(()),
            Watermark::Start => sql::empty(&self.shadow.facts().await?.layout),
            Watermark::At(_) => {
                sql::delete_beyond(&self.shadow.with_lookup().await?.layout, through)
            }
        };
        let (workers, names) = (&self.sessions.workers, &self.change.names);
        rows::clear_beyond(workers, names, &statement, through).await
    }

    async fn clear(&self) -> Result<()> {
        self.clear_beyond(&Watermark::Start).await
    }

    async fn complete(&self, gently: bool) -> Result<()> {
        let shadow = self.shadow.facts().await?;
        let (workers, names) = (&self.sessions.workers, &self.change.names);
        if gently {
            self.shadow.with_lookup().await?;
            for index in &shadow.deferred {
                indexes::build(workers, names, index, true).await?;
            }
        } else {
            // As many builds run at once as there are worker sessions.
            let others = try_join_all(
                shadow.deferred.iter().map(|index| indexes::build(workers, names, index, false)),
            );
            try_join(self.shadow.with_lookup(), others).await?;
        }
        indexes::finish_indexes(workers, names, &shadow).await
    }

    fn compares_beside_builds(&self) -> bool {
        true
    }

    async fn analyze(&self, gently: bool) -> Result<()> {
        let shadow = self.shadow.facts().await?;
        let lease = self.sessions.control.take().await?;
        let facts = journal::facts(&lease, &self.change.names).await;
        let source = lease.settle(facts).await?.source;
        replacement_views::prepare(&self.sessions, &self.change, source, shadow.oid).await?;
        // All the workers may be comparing meanwhile, so this takes a session of its own.
        let (server, run) = (self.sessions.server.clone(), self.sessions.run.clone());
        let lease = SessionPool::new(server, run, sql::vacuum_settings(gently), 1).take().await?;
        let attempted = || format!("analyze the shadow of {}", self.change.names.display);
        // Index-only scans need the visibility map.
        let analyzed = lease.run(&sql::vacuum(&shadow.layout.shadow)).await;
        lease.settle(analyzed.doing(attempted)).await
    }

    async fn compare(&self, chunk: &Chunk) -> Result<Comparison> {
        let shadow = self.shadow.with_lookup().await?;
        let values = values::both_values(chunk);
        let statement = sql::compare_range(&shadow.layout, &chunk.after, &chunk.through);
        let (workers, names) = (&self.sessions.workers, &self.change.names);
        let counted = sql::counted(&shadow.layout);
        let asked = (&*statement, &*counted);
        compare::compare(workers, names, &shadow, asked, &values::parameters(&values)).await
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        let shadow = self.shadow.with_lookup().await?;
        let (workers, names) = (&self.sessions.workers, &self.change.names);
        let mut differing = Vec::new();
        rows::check_keys(&names.display, &shadow, keys)?;
        for set in values::sets(keys, &shadow.layout) {
            let statement = sql::compare_keys(&shadow.layout, set.places);
            let found =
                compare::compare(workers, names, &shadow, (&statement, &[]), &set.parameters())
                    .await?;
            differing.extend(found.differing);
        }
        Ok(differing)
    }

    async fn duplicates(&self) -> Result<Vec<Duplicates>> {
        let shadow = self.shadow.facts().await?;
        let lease = self.sessions.control.take().await?;
        let result = compare::duplicate_queries(&lease, &self.change.names, &shadow).await;
        let queries = lease.settle(result).await?;
        let lease = self.sessions.workers.take().await?;
        let result = duplicates::count(&lease, &queries).await;
        lease.settle(result).await
    }
}
