//! `ctl --url … --table …`: gives an order by the table of orders and waits for its answer.

use crate::cli::engines::Task;
use altergeist::contract::{Engine, Error, OrderAnswer, Target};
use altergeist::{Failure, Order};
use std::time::Duration;
use tokio::time::Instant;

/// How often the answer is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// An order on its way.
pub struct OrderTask {
    /// The order's words.
    pub word: String,
    /// How long to wait for the answer.
    pub timeout: Duration,
    /// Whether a run that is resumed obeys it again.
    pub is_standing: bool,
}

impl Task for OrderTask {
    type Outcome = Result<OrderAnswer, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let engine = E::connect(target).await?;
        let attempted = || format!("give an order to the run of {}", engine.table());
        let run = engine.last_run().await?.ok_or_else(|| {
            Error::refused(attempted(), "no run of this table has ever taken orders by SQL")
        })?;
        // An approval is a fact about the plan: it outlives the process that heard of it.
        let stands = self.is_standing || matches!(Order::parse(&self.word), Ok(Order::Approve(_)));
        let id = engine.give_order(&run, &self.word, stands).await?;
        let until = Instant::now() + self.timeout;
        while Instant::now() < until {
            if let Some(answer) = engine.order_answer(id).await? {
                return Ok(answer);
            }
            tokio::time::sleep(LOOK).await;
        }
        let kept = match stands {
            true => "it stands, and a run that is resumed obeys it",
            false => "it expires in ten minutes",
        };
        let reason = format!(
            "order {id} to run {run} was not answered within {}: no process works on it now; \
             {kept}",
            humantime::format_duration(self.timeout)
        );
        Err(Error::refused(attempted(), reason).into())
    }
}
