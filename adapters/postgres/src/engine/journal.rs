//! The journal: the contract's calls, each with the parts it needs.

use crate::engine::Postgres;
use crate::journal;
use altergeist_contract::{Journal, Record, Result};

impl Journal for Postgres {
    async fn load(&self) -> Result<Option<Record>> {
        let lease = self.sessions.control.take().await?;
        let result = journal::load(&lease, &self.change.names).await;
        lease.settle(result).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let result = journal::save(&lease, &self.change.names, record).await;
        lease.settle(result).await
    }
}
