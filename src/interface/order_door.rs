//! The door that any SQL client has to a run: the tables of orders and history beside the journal.

use crate::interface::recorder::Entry;
use crate::interface::socket;
use altergeist::contract::{Engine, Error, GivenOrder, Moment, OrderAnswer, Result, Target};
use altergeist::control::approval;
use altergeist::control::setting::Setting;
use altergeist::{Control, Door, Giver, Listeners, Order, Phase, Settings, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// How often the run looks for orders.
const LOOK: Duration = Duration::from_secs(1);

/// How often the run writes its history, beyond each new phase.
const HISTORY: Duration = Duration::from_secs(10);

/// How long the door waits before it connects again.
const AGAIN: Duration = Duration::from_secs(5);

/// How long the run waits at its end for the last row of its history.
const LAST_ROW: Duration = Duration::from_secs(2);

/// What the doors of a run share with it.
pub struct Steered {
    /// What may change.
    pub settings: Arc<watch::Sender<Settings>>,
    /// What watchers see.
    pub status: watch::Sender<Status>,
    /// Who hears of it.
    pub listeners: Listeners,
    /// What the other doors have carried out.
    pub entries: mpsc::Receiver<Entry>,
}

/// The door of one run. The run waits for its first look only.
pub struct OrderDoor<E> {
    settings: Arc<watch::Sender<Settings>>,
    status: watch::Sender<Status>,
    listeners: Listeners,
    entries: mpsc::Receiver<Entry>,
    engine: Option<E>,
    /// The phase of the last row of the history, and when it was written.
    noted: Option<(Phase, Instant)>,
}

impl<E: Engine> OrderDoor<E> {
    /// A door that nobody has opened yet, and the run's side of its controls.
    pub fn new(steered: Steered) -> (OrderDoor<E>, Control) {
        let Steered { settings, status, listeners, entries } = steered;
        settings.send_modify(|settings| settings.awaits_orders = true);
        let control = Control::new(settings.subscribe(), status.clone());
        let control = control.with_listeners(listeners.clone());
        let door = OrderDoor { settings, status, listeners, entries, engine: None, noted: None };
        (door, control)
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
            self.orders_are_known();
            self.turn_away(&error.to_string()).await;
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

    /// Lets the run swap.
    fn orders_are_known(&self) {
        self.settings.send_if_modified(|settings| std::mem::take(&mut settings.awaits_orders));
    }

    /// Tells the other doors, for a while, why nothing is noted.
    async fn turn_away(&mut self, reason: &str) {
        let until = Instant::now() + AGAIN;
        while let Ok(Some(entry)) = timeout_at(until, self.entries.recv()).await {
            let _ = entry.noted.send(Err(reason.to_owned()));
        }
        tokio::time::sleep_until(until).await;
    }

    async fn serve_once(&mut self, target: &Target) -> Result<std::convert::Infallible, Error> {
        self.engine = Some(E::connect(target).await?);
        let engine = self.engine.as_ref().expect("it was just connected");
        engine.make_order_tables().await?;
        let account = engine.account().await?;
        self.status.send_modify(|status| status.orders_by_sql_refused = None);
        let mut news = self.status.subscribe();
        let mut begins = true;
        loop {
            let status = self.status.borrow().clone();
            let orders = engine.take_orders(&status.run_id, begins).await?;
            for order in to_obey(orders) {
                self.obey(engine, order, &account, &status).await?;
            }
            self.orders_are_known();
            begins = false;
            let is_due = self
                .noted
                .is_none_or(|(phase, when)| phase != status.phase || when.elapsed() >= HISTORY);
            if is_due {
                engine.note_moment(&moment(&status)).await?;
                self.noted = Some((status.phase, Instant::now()));
            }
            let other_phase = news.wait_for(|now| now.phase != status.phase);
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                // If the run is over, nothing is left to do.
                changed = other_phase => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                Some(entry) = self.entries.recv() => note(engine, &status.run_id, entry).await?,
            }
        }
    }

    /// Carries out an order, answers it, and tells of it.
    async fn obey(
        &self,
        engine: &E,
        order: GivenOrder,
        account: &str,
        status: &Status,
    ) -> Result<(), Error> {
        let answer = carry_out(&order, account, &self.settings, status);
        if !answer.is_done {
            tracing::info!(given_by = order.given_by, "an order by SQL was refused");
        }
        engine.answer_order(order.id, &answer).await?;
        let Some(parsed) = Order::parse(&order.word).ok().filter(|_| answer.is_done) else {
            return Ok(());
        };
        // It was told when it was answered first.
        if !order.is_answered || order.is_standing {
            let giver = Giver::new(order.given_by, Door::Sql);
            socket::tell(&self.listeners, &parsed, &giver, status);
        }
        if matches!(parsed, Order::Panic(_)) {
            self.settings.send_modify(|settings| settings.panic = true);
        }
        Ok(())
    }

    /// Writes the last row of the history, if that takes no time.
    pub async fn close(self, last: Phase) {
        let Some(engine) = &self.engine else { return };
        let moment = Moment { phase: last.to_string(), ..moment(&self.status.borrow()) };
        // The history is a help, and no part of the change.
        let _ = tokio::time::timeout(LAST_ROW, engine.note_moment(&moment)).await;
    }
}

/// Notes what another door has carried out.
async fn note<E: Engine>(engine: &E, run: &str, entry: Entry) -> Result<(), Error> {
    let noted = engine.note_order(run, &entry.order).await;
    let said = noted.as_ref().copied().map_err(ToString::to_string);
    // Who asked may have given up.
    let _ = entry.noted.send(said);
    noted
}

/// Leaves out what an earlier process has carried out and what no longer counts: a swap that was
/// ordered is ordered once, and so is one that was postponed and ordered later.
fn to_obey(orders: Vec<GivenOrder>) -> Vec<GivenOrder> {
    let is_over = |order: &GivenOrder| order.is_answered && !order.is_standing;
    let of_swap = |order: &GivenOrder| {
        let parsed = Order::parse(&order.word).ok()?;
        match parsed {
            Order::Postpone => Some(true),
            Order::CutOver(_) | Order::Force(_) => Some(false),
            _ => None,
        }
    };
    let last = orders.iter().rev().filter(|order| is_over(order)).find(|it| of_swap(it).is_some());
    let last = last.map(|order| order.id);
    let counts = |order: &GivenOrder| {
        !is_over(order)
            || match of_swap(order) {
                Some(postpones) => postpones && Some(order.id) == last,
                None => true,
            }
    };
    orders.into_iter().filter(counts).collect()
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

    fn given(id: u64, word: &str, given_by: &str, is_answered: bool) -> GivenOrder {
        let (word, given_by) = (word.into(), given_by.into());
        GivenOrder { id, word, given_by, is_answered, is_standing: false }
    }

    #[test]
    fn a_process_that_begins_obeys_what_still_counts_of_earlier_orders() {
        let left = |orders: &[(&str, bool)]| -> Vec<String> {
            let orders = (1..).zip(orders).map(|(id, (word, done))| given(id, word, "ann", *done));
            to_obey(orders.collect()).into_iter().map(|order| order.word).collect()
        };
        assert_eq!(left(&[("cut-over", true), ("postpone", true)]), ["postpone"]);
        assert_eq!(left(&[("postpone", true), ("cut-over", true)]), Vec::<String>::new());
        assert_eq!(left(&[("postpone", true), ("cut-over", false)]), ["postpone", "cut-over"]);
        assert_eq!(left(&[("approve f00d", true), ("force", true)]), ["approve f00d"]);
        assert_eq!(left(&[("postpone", true), ("workers=2", false)]), ["postpone", "workers=2"]);
    }

    fn said(word: &str, given_by: &str) -> (OrderAnswer, Settings) {
        let settings = watch::Sender::new(Settings::default());
        let status =
            Status { table: "shop.orders".into(), fingerprint: "f00d".into(), ..Status::default() };
        let order = given(1, word, given_by, false);
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
