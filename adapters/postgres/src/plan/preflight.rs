//! Finds out what would happen: tries the clauses on an empty clone in a transaction that is rolled
//! back, looks for what could not be carried, and asks the data what the shadow would refuse.

use crate::plan::data;
use crate::plan::leftovers;
use crate::plan::look;
use crate::plan::native;
use crate::plan::online_steps;
use crate::plan::steps;
use crate::server::pooler;
use crate::state::Postgres;
use altergeist_contract::{Leftover, OnlineSteps, Plan, Preflight, Result};

impl Preflight for Postgres {
    #[allow(clippy::misnamed_getters)] // The contract's word for the qualified name.
    fn table(&self) -> &str {
        &self.names.display
    }

    async fn plan(&self) -> Result<Plan> {
        if let Some(refusal) =
            pooler::require_sessions(&self.server, self.target.workers, self.open_sessions())
                .await?
        {
            return Ok(steps::refused_at_once(self, refusal));
        }
        let lease = self.control.take().await?;
        let result = look::look(&lease, self).await;
        let view = lease.settle(result).await?;
        let lease = self.workers.take().await?;
        let result = data::check_data(&lease, self, &view).await;
        let data = lease.settle(result).await?;
        Ok(steps::write_plan(self, view, data))
    }

    async fn alter_natively(&self, _: &str) -> Result<()> {
        let lease = self.control.take().await?;
        let result = native::alter_natively(&lease, self).await;
        lease.settle(result).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let lease = self.control.take().await?;
        let result = leftovers::list(&lease, self).await;
        lease.settle(result).await
    }

    async fn cleanup(&self, old_too: bool) -> Result<()> {
        self.require_hold("clean up")?;
        self.stop_pulse();
        self.set_shadow(None);
        let lease = self.control.take().await?;
        let result = leftovers::clear(&lease, self, old_too).await;
        lease.settle(result).await
    }
}

impl OnlineSteps for Postgres {
    async fn alter_online(&self) -> Result<()> {
        self.require_hold("alter the table")?;
        let lease = self.control.take().await?;
        let result = online_steps::carry_out(&lease, self).await;
        lease.settle(result).await
    }
}
