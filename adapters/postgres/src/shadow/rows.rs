//! Makes the shadow and moves rows into it. Values never leave the server.

use crate::cutover::twins;
use crate::facts::ShadowFacts;
use crate::journal;
use crate::key::values;
use crate::server::error;
use crate::server::pool::Pool;
use crate::server::session::Session;
use crate::shadow::compare;
use crate::shadow::create;
use crate::shadow::duplicates;
use crate::shadow::indexes;
use crate::shadow::row_error;
use crate::sql;
use crate::state::Postgres;
use altergeist_contract::{Chunk, Comparison, Duplicates, Error, Key, Result, Shadow, Watermark};
use futures_util::future::{try_join, try_join_all};
use std::sync::Arc;
use tokio_postgres::types::ToSql;

impl Shadow for Postgres {
    async fn create(&self) -> Result<()> {
        self.require_hold("make the shadow")?;
        let lease = self.control.take().await?;
        let result = create::create(&lease, self).await;
        self.set_shadow(Some(lease.settle(result).await?));
        Ok(())
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let shadow = self.shadow().await?;
        let attempted = || format!("find the end of a chunk of {}", self.names.display);
        let layout = &shadow.layout;
        let last = i64::try_from(rows.max(1) - 1).unwrap_or(i64::MAX);
        let bounds = values::values(after);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&last];
        parameters.extend(bounds.iter().map(|value| value as &(dyn ToSql + Sync)));
        let lease = self.workers.take().await?;
        let found = lease.query(&sql::chunk_end(layout, after), &parameters).await;
        let found = lease.settle(found.map_err(|error| error::of(attempted(), &error))).await?;
        let through = found.first().map_or(Watermark::End, |row| {
            Watermark::At(values::of_row(row, 0, layout.walk().len()))
        });
        Ok(Chunk { after: after.clone(), through })
    }

    async fn copy(&self, chunk: &Chunk) -> Result<u64> {
        let shadow = self.shadow().await?;
        let values = values::both_values(chunk);
        let parameters: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let lease = self.workers.take().await?;
        let copied = lease
            .execute(&sql::copy(&shadow.layout, &chunk.after, &chunk.through), &parameters)
            .await;
        let attempted = || format!("copy a chunk of {}", self.names.display);
        lease
            .settle(copied.map_err(|error| row_error::row_error(attempted(), &error, &shadow)))
            .await
    }

    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()> {
        let shadow = self.shadow_to_look_in().await?;
        let lease = self.workers.take().await?;
        let result = refresh_in_transaction(&lease, self, &shadow, keys, through).await;
        lease.settle(result).await
    }

    async fn clear_beyond(&self, through: &Watermark) -> Result<()> {
        let statement = match through {
            Watermark::End => return Ok(()),
            Watermark::Start => sql::empty(&self.shadow().await?.layout),
            Watermark::At(_) => {
                sql::delete_beyond(&self.shadow_to_look_in().await?.layout, through)
            }
        };
        let values = values::values(through);
        let parameters: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let lease = self.workers.take().await?;
        let cleared = lease.execute(&statement, &parameters).await;
        let attempted =
            || format!("clear the shadow of {} beyond the watermark", self.names.display);
        lease.settle(cleared.map(drop).map_err(|error| error::of(attempted(), &error))).await
    }

    async fn clear(&self) -> Result<()> {
        self.clear_beyond(&Watermark::Start).await
    }

    async fn complete(&self, gently: bool) -> Result<()> {
        let shadow = self.shadow().await?;
        if gently {
            self.shadow_to_look_in().await?;
            for index in &shadow.deferred {
                indexes::build_index(self, index, true).await?;
            }
        } else {
            // As many builds run at once as there are sessions to lend.
            let others = try_join_all(
                shadow.deferred.iter().map(|index| indexes::build_index(self, index, false)),
            );
            try_join(self.shadow_to_look_in(), others).await?;
        }
        indexes::finish_indexes(self, &shadow).await
    }

    fn compares_beside_builds(&self) -> bool {
        true
    }

    async fn analyze(&self, gently: bool) -> Result<()> {
        let shadow = self.shadow().await?;
        let source = journal_source(self).await?;
        twins::prepare(self, source, shadow.oid).await?;
        // All the workers may be comparing meanwhile.
        let pool =
            Pool::new(self.server.clone(), self.run.clone(), sql::vacuum_settings(gently), 1);
        let lease = pool.take().await?;
        let attempted = || format!("analyze the shadow of {}", self.names.display);
        // The visibility map is what index-only scans live on.
        let analyzed =
            lease.run(&format!("VACUUM (ANALYZE, TRUNCATE off) {}", shadow.layout.shadow)).await;
        lease.settle(analyzed.map_err(|error| error::of(attempted(), &error))).await
    }

    async fn compare(&self, chunk: &Chunk) -> Result<Comparison> {
        let shadow = self.shadow_to_look_in().await?;
        let values = values::both_values(chunk);
        let parameters: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let statement = sql::compare_range(&shadow.layout, &chunk.after, &chunk.through);
        compare::compare(self, &shadow, &statement, &parameters).await
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        let shadow = self.shadow_to_look_in().await?;
        let mut differing = Vec::new();
        check_keys(&self.names.display, &shadow, keys)?;
        for set in values::sets(keys, &shadow.layout) {
            let statement = sql::compare_keys(&shadow.layout, set.places);
            let found = compare::compare(self, &shadow, &statement, &set.parameters()).await?;
            differing.extend(found.differing);
        }
        Ok(differing)
    }

    async fn duplicates(&self) -> Result<Vec<Duplicates>> {
        let shadow = self.shadow().await?;
        let lease = self.control.take().await?;
        let result = compare::duplicate_queries(&lease, self, &shadow).await;
        let queries = lease.settle(result).await?;
        let lease = self.workers.take().await?;
        let result = duplicates::count(&lease, &queries).await;
        lease.settle(result).await
    }
}

/// The table the shadow is made for.
async fn journal_source(engine: &Postgres) -> Result<u32> {
    let lease = engine.control.take().await?;
    let facts = journal::facts(&lease, engine).await;
    Ok(lease.settle(facts).await?.source)
}

async fn refresh_in_transaction(
    session: &Session,
    engine: &Postgres,
    shadow: &ShadowFacts,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let attempted = || format!("refresh rows of {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| row_error::row_error(attempted(), &error, shadow);
    session.run(sql::BEGIN_REFRESH).await.map_err(failed)?;
    refresh(session, &engine.names.display, shadow, keys, through).await?;
    session.run("COMMIT").await.map_err(failed)
}

/// Deletes all the keys' rows, then inserts those that exist up to the watermark. In the session's
/// transaction.
pub(crate) async fn refresh(
    session: &Session,
    table: &str,
    shadow: &ShadowFacts,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let attempted = || format!("refresh rows of {table}");
    let failed = |error: tokio_postgres::Error| row_error::row_error(attempted(), &error, shadow);
    check_keys(table, shadow, keys)?;
    let sets = values::sets(keys, &shadow.layout);
    for set in &sets {
        let delete = sql::delete_keys(&shadow.layout, set.places);
        session.execute(&delete, &set.parameters()).await.map_err(failed)?;
    }
    if *through == Watermark::Start {
        return Ok(());
    }
    let bound = values::values(through);
    for set in &sets {
        let insert = sql::insert_keys(&shadow.layout, through, set.places);
        let mut parameters = set.parameters();
        parameters.extend(bound.iter().map(|value| value as &(dyn ToSql + Sync)));
        session.execute(&insert, &parameters).await.map_err(failed)?;
    }
    Ok(())
}

fn check_keys(table: &str, shadow: &ShadowFacts, keys: &[Key]) -> Result<()> {
    if keys.iter().all(|key| values::fits(&shadow.layout, key)) {
        return Ok(());
    }
    Err(Error::fatal(
        format!("refresh rows of {table}"),
        "a key has another number of columns than the table's",
    ))
}

impl Postgres {
    /// What is known of the shadow, which has the index its rows are found by when this returns.
    async fn shadow_to_look_in(&self) -> Result<Arc<ShadowFacts>> {
        let shadow = self.shadow().await?;
        if let Some(index) = &shadow.lookup {
            self.has_lookup().get_or_try_init(|| indexes::build_index(self, index, false)).await?;
        }
        Ok(shadow)
    }
}
