//! The plan: the contract's calls, each with the parts it needs.

use crate::engine::Postgres;
use crate::plan::data;
use crate::plan::inspect;
use crate::plan::leftovers;
use crate::plan::measure;
use crate::plan::native;
use crate::plan::online_steps;
use crate::plan::steps;
use crate::server::pooler;
use crate::server::session::locked;
use altergeist_contract::{
    Leftover, Measure, Measured, OnlineSteps, Plan, Preflight, RestorePoint, Result,
};

impl Preflight for Postgres {
    #[allow(clippy::misnamed_getters)] // The contract's word for the qualified name.
    fn table(&self) -> &str {
        &self.change.names.display
    }

    async fn plan(&self) -> Result<Plan> {
        let server = &self.sessions.server;
        if let Some(refusal) =
            pooler::require_sessions(server, self.change.target.workers, self.sessions.open_count())
                .await?
        {
            return Ok(steps::refused_at_once(&self.change, refusal));
        }
        let lease = self.sessions.control.take().await?;
        let result = inspect::inspect(&lease, &self.change, &self.log).await;
        let survey = lease.settle(result).await?;
        let lease = self.sessions.workers.take().await?;
        let result = data::check_data(&lease, &self.change, &survey).await;
        let data = lease.settle(result).await?;
        *locked(&self.planned_steps) = survey.online_steps.clone();
        Ok(steps::write_plan(&self.change, survey, data))
    }

    async fn alter_natively(&self, _: &str) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let result = native::alter_natively(&lease, &self.change).await;
        lease.settle(result).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let lease = self.sessions.control.take().await?;
        let result = leftovers::list(&lease, &self.change, &self.log).await;
        lease.settle(result).await
    }

    async fn cleanup(&self, old_too: bool) -> Result<()> {
        self.sessions.require_hold("clean up")?;
        self.heartbeat.stop();
        self.shadow.set(None);
        let lease = self.sessions.control.take().await?;
        let result = leftovers::clear(&lease, &self.change, &self.log, old_too).await;
        lease.settle(result).await
    }
}

impl OnlineSteps for Postgres {
    async fn alter_online(&self) -> Result<()> {
        self.sessions.require_hold("alter the table")?;
        let lease = self.sessions.control.take().await?;
        let planned = locked(&self.planned_steps).take();
        let result = online_steps::carry_out(&lease, &self.change, planned).await;
        lease.settle(result).await
    }

    async fn interrupt_online(&self) -> Result<()> {
        let lease = self.sessions.workers.take().await?;
        let result = online_steps::interrupt(&lease, &self.change).await;
        lease.settle(result).await
    }
}

impl Measure for Postgres {
    async fn measure(&self, plan: &Plan) -> Result<Measured> {
        let lease = self.sessions.control.take().await?;
        let result = measure::measure(&lease, &self.change, plan).await;
        lease.settle(result).await
    }

    async fn restore_point(&self, name: &str) -> Result<RestorePoint> {
        let lease = self.sessions.control.take().await?;
        let result = measure::restore_point(&lease, name).await;
        lease.settle(result).await
    }
}
