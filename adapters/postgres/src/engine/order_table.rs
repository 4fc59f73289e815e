//! Orders and history: the contract's calls, each with the session it needs.

use crate::engine::Postgres;
use crate::server::order_table;
use altergeist_contract::{GivenOrder, Moment, NotedOrder, OrderAnswer, OrderTable, Result};

impl OrderTable for Postgres {
    async fn make_order_tables(&self) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::make_tables(&lease).await;
        lease.settle(result).await
    }

    async fn account(&self) -> Result<String> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::account(&lease).await;
        lease.settle(result).await
    }

    async fn take_orders(&self, run: &str, begins: bool) -> Result<Vec<GivenOrder>> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::take(&lease, run, begins).await;
        lease.settle(result).await
    }

    async fn answer_order(&self, id: u64, answer: &OrderAnswer) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::answer(&lease, id, answer).await;
        lease.settle(result).await
    }

    async fn note_order(&self, run: &str, order: &NotedOrder) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::note_order(&lease, run, order).await;
        lease.settle(result).await
    }

    async fn give_order(&self, run: &str, word: &str, is_standing: bool) -> Result<u64> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::give(&lease, run, word, is_standing).await;
        lease.settle(result).await
    }

    async fn last_run(&self) -> Result<Option<String>> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::last_run(&lease, &self.change.names.display).await;
        lease.settle(result).await
    }

    async fn order_answer(&self, id: u64) -> Result<Option<OrderAnswer>> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::answer_of(&lease, id).await;
        lease.settle(result).await
    }

    async fn note_moment(&self, moment: &Moment) -> Result<()> {
        let lease = self.sessions.control.take().await?;
        let result = order_table::note(&lease, moment).await;
        lease.settle(result).await
    }
}
