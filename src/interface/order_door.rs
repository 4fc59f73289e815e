//! The door that any SQL client has to a run: the tables of orders and history beside the journal.

use crate::interface::socket;
use altergeist::contract::{Engine, Error, GivenOrder, Moment, OrderAnswer, Result, Target};
use altergeist::control::approval;
use altergeist::control::setting::Setting;
use altergeist::{Door, Giver, Listeners, Order, Phase, Settings, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the run looks for orders.
const LOOK: Duration = Duration::from_secs(1);

/// How often the run writes its history, beyond each new phase.
const HISTORY: Duration = Duration::from_secs(10);

/// How long the door waits before it connects again.
const AGAIN: Duration = Duration::from_secs(5);

/// How long the run waits at its end for the last row of its history.
const LAST_ROW: Duration = Duration::from_secs(2);

/// The door of one run. Nothing of the run depends on it.
pub struct OrderDoor<E> {
    settings: Arc<watch::Sender<Settings>>,
    status: watch::Sender<Status>,
    listeners: Listeners,
    engine: Option<E>,
    /// The phase of the last row of the history, and when it was written.
    noted: Option<(Phase, Instant)>,
}

impl<E: Engine> OrderDoor<E> {
    /// A door that nobody has opened yet.
    pub fn new(
        settings: Arc<watch::Sender<Settings>>,
        status: watch::Sender<Status>,
        listeners: Listeners,
    ) -> OrderDoor<E> {
        OrderDoor { settings, status, listeners, engine: None, noted: None }
    }

    /// Takes orders and writes the history, over a connection of its own, for as long as it is
    /// polled.
    pub async fn serve(&mut self, target: &Target) {
        let has_run = |status: &Status| !status.run_id.is_empty();
        if self.status.subscribe().wait_for(has_run).await.is_err() {
            std::future::pending().await
        }
        loop {
            let Err(error) = self.serve_once(target).await;
            self.engine = None;
            let is_news = self.status.borrow().orders_by_sql_refused.is_none();
            if is_news {
                tracing::warn!(%error, "the run takes no orders by SQL, and writes no history");
            }
            self.refused(Some(error.to_string()));
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Shows why no orders are taken.
    fn refused(&self, reason: Option<String>) {
        self.status.send_if_modified(|status| {
            let is_news = status.orders_by_sql_refused != reason;
            status.orders_by_sql_refused = reason;
            is_news
        });
    }

    async fn serve_once(&mut self, target: &Target) -> Result<std::convert::Infallible, Error> {
        let engine = self.engine.insert(E::connect(target).await?);
        engine.make_order_tables().await?;
        let account = engine.account().await?;
        self.status.send_modify(|status| status.orders_by_sql_refused = None);
        let mut news = self.status.subscribe();
        let mut begins = true;
        loop {
            let status = self.status.borrow().clone();
            for order in engine.take_orders(&status.run_id, begins).await? {
                let answer = carry_out(&order, &account, &self.settings, &status);
                if !answer.is_done {
                    tracing::info!(given_by = order.given_by, "an order by SQL was refused");
                }
                let given_by = order.given_by.clone();
                engine.answer_order(order.id, &answer).await?;
                let Some(order) = Order::parse(&order.word).ok().filter(|_| answer.is_done) else {
                    continue;
                };
                let giver = Giver::new(given_by, Door::Sql);
                socket::tell(&self.listeners, &order, &giver, &status);
                if matches!(order, Order::Panic(_)) {
                    self.settings.send_modify(|settings| settings.panic = true);
                }
            }
            begins = false;
            let is_due = self
                .noted
                .is_none_or(|(phase, when)| phase != status.phase || when.elapsed() >= HISTORY);
            if is_due {
                engine.note_moment(&moment(&status)).await?;
                self.noted = Some((status.phase, Instant::now()));
            }
            let other_phase = news.wait_for(|now| now.phase != status.phase);
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, other_phase).await {
                // The run is over.
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Writes the last row of the history, if that takes no time.
    pub async fn close(self, last: Phase) {
        let Some(engine) = &self.engine else { return };
        let moment = Moment { phase: last.to_string(), ..moment(&self.status.borrow()) };
        // The history is a help, and no part of the change.
        let _ = tokio::time::timeout(LAST_ROW, engine.note_moment(&moment)).await;
    }
}

/// Carries out an order of this table.
fn carry_out(
    order: &GivenOrder,
    account: &str,
    settings: &watch::Sender<Settings>,
    status: &Status,
) -> OrderAnswer {
    let answered = match Order::parse(&order.word) {
        Ok(parsed)
            if reaches_out(&parsed) && !approval::is_same_user(&order.given_by, account) =>
        {
            Err("the run would read files, run SQL or open addresses with its own rights; only the \
                 account that runs the change orders that"
                .to_owned())
        }
        Ok(Order::Approve(fingerprint)) => {
            approval::approve(&fingerprint, &order.given_by, account, settings, status)
        }
        _ => match socket::answer(&order.word, settings, status) {
            (Some(_), answer) => Ok(answer),
            (None, answer) => Err(answer),
        },
    };
    let (is_done, answer) = match answered {
        Ok(answer) => (true, answer),
        Err(reason) => (false, reason),
    };
    OrderAnswer { is_done, answer: answer.trim_end().to_owned() }
}

/// Whether the order has the run use its own rights outside of the change.
pub fn reaches_out(order: &Order) -> bool {
    const SETTINGS: [&str; 6] = [
        "throttle-query",
        "throttle-http",
        "throttle-file",
        "postpone-file",
        "replica",
        "replication-lag-query",
    ];
    let (Order::Set(name, _) | Order::Get(name)) = order else { return false };
    Setting::named(name).is_some_and(|setting| SETTINGS.contains(&setting.names[0]))
}

fn moment(status: &Status) -> Moment {
    Moment {
        run: status.run_id.clone(),
        table: status.table.clone(),
        phase: status.phase.to_string(),
        percent: status.percent,
        rows_copied: status.rows_copied,
        rows_verified: status.rows_verified,
        rows_estimated: status.rows_estimated,
        rows_per_second: status.rows_per_second,
        pending_keys: status.pending_keys,
        eta_seconds: status.eta_seconds,
        replica_lag_seconds: status.replica_lag_seconds,
        reason: status.throttle_reason.clone().or_else(|| status.waiting_for.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(word: &str, given_by: &str) -> (OrderAnswer, Settings) {
        let settings = watch::Sender::new(Settings::default());
        let status =
            Status { table: "shop.orders".into(), fingerprint: "f00d".into(), ..Status::default() };
        let order = GivenOrder { id: 1, word: word.into(), given_by: given_by.into() };
        let answer = carry_out(&order, "deploy@10.0.0.1", &settings, &status);
        (answer, settings.borrow().clone())
    }

    #[test]
    fn an_order_by_sql_does_what_it_does_at_the_socket() {
        let (answer, settings) = said("throttle", "ann@localhost");
        assert!(answer.is_done && settings.throttle);
        for word in ["throttle-query=SELECT evil()", "throttle-file=/etc/passwd"] {
            let (answer, settings) = said(word, "ann@localhost");
            assert!(!answer.is_done && settings == Settings::default(), "{word}");
            assert!(said(word, "deploy@localhost").0.is_done, "{word}");
        }
        let (answer, _) = said("workers=0", "ann@localhost");
        assert!(!answer.is_done && answer.answer.contains("workers"), "{answer:?}");
    }

    #[test]
    fn only_another_account_approves_this_very_plan() {
        let (answer, settings) = said("approve f00d", "ann@localhost");
        assert!(answer.is_done, "{answer:?}");
        assert_eq!(settings.approval.map(|it| it.by), Some("ann@localhost".into()));
        for (word, by) in [("approve f00d", "deploy@10.0.0.9"), ("approve beef", "ann@localhost")] {
            let (answer, settings) = said(word, by);
            assert!(!answer.is_done && settings.approval.is_none(), "{word} by {by}: {answer:?}");
        }
    }
}
