//! The backfill: the contract's calls, each with the parts it needs.

use crate::backfill::{self, RowKey};
use crate::engine::Postgres;
use crate::journal;
use altergeist_contract::{
    Backfill, Chunk, Record, Result, RowOrder, RowUpdate, Trial, UpdatePace, Updated, Watermark,
};

impl Postgres {
    async fn row_key(&self) -> Result<&RowKey> {
        let find = async || {
            let lease = self.sessions.control.take().await?;
            let found = RowKey::find(&lease, &self.change).await;
            lease.settle(found).await
        };
        self.row_key.get_or_try_init(find).await
    }
}

impl Backfill for Postgres {
    async fn row_order(&self) -> Result<RowOrder> {
        Ok(self.row_key().await?.order.clone())
    }

    async fn try_update(&self, update: &RowUpdate) -> Result<Trial> {
        let key = self.row_key().await?;
        let lease = self.sessions.workers.take().await?;
        let tried = backfill::try_update(&lease, &self.change.names, key, update).await;
        lease.settle(tried).await
    }

    async fn begin_backfill(&self) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let made = journal::ensure_tables(&lease).await;
        lease.settle(made).await?;
        self.heartbeat.start_alone();
        Ok(())
    }

    async fn next_range(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let key = self.row_key().await?;
        let lease = self.sessions.workers.take().await?;
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let found = backfill::range_end(&lease, &self.change.names, key, after, rows).await;
        let through = lease.settle(found).await?;
        Ok(Chunk { after: after.clone(), through })
    }

    async fn count_matching(&self, update: &RowUpdate, range: &Chunk) -> Result<u64> {
        let key = self.row_key().await?;
        let lease = self.sessions.workers.take().await?;
        let counted =
            backfill::count_matching(&lease, &self.change.names, key, update, range).await;
        lease.settle(counted).await
    }

    async fn update_range(
        &self,
        update: &RowUpdate,
        range: &Chunk,
        pace: UpdatePace,
        record: &dyn Fn(&Updated) -> Record,
    ) -> Result<Updated> {
        self.sessions.require_hold("update rows in place")?;
        let key = self.row_key().await?;
        let lease = self.sessions.workers.take().await?;
        let names = &self.change.names;
        let done = backfill::update_range(&lease, names, key, (update, range), pace, record).await;
        lease.settle(done).await
    }
}
