//! The cut-over: the contract's calls, each with the parts it needs.

use crate::cutover::lock::{self, CutoverLock};
use crate::cutover::{finish, ownership};
use crate::engine::Postgres;
use crate::server::connect::CONNECT_TIMEOUT;
use crate::server::session::locked;
use crate::sql;
use altergeist_contract::{Cutover, Ownership, Result};
use std::time::Duration;

impl Cutover for Postgres {
    type Lock = CutoverLock;

    async fn lock(&self, within: Duration) -> Result<CutoverLock> {
        lock::lock(&self.sessions, &self.change, &self.shadow, &self.marks, within).await
    }

    async fn ownership(&self) -> Result<Ownership> {
        let application = &self.change.names.application;
        let settings = sql::control_settings(CONNECT_TIMEOUT);
        let session = self.sessions.server.open(application, &settings).await?;
        let last = *locked(&self.sessions.cutover_pid);
        if let Some(pid) = last {
            ownership::wait_for_session_end(&session, application, pid).await?;
        }
        ownership::who_answers(&session, &self.change.names).await
    }

    async fn settle(&self) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let result = finish::settle(&lease, &self.change).await;
        lease.settle(result).await
    }

    async fn finish(&self) -> Result<()> {
        self.heartbeat.stop();
        let lease = self.sessions.control.take().await?;
        let result = finish::finish(&lease, &self.change, &self.log).await;
        lease.settle(result).await
    }
}
