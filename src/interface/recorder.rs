//! Notes the orders of the other doors in the table beside the journal, before they are answered.

use altergeist::Giver;
use altergeist::contract::{NotedOrder, OrderAnswer};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Orders that wait until they are noted.
const QUEUE: usize = 64;

/// The longest wait of an order for its row. The order is in force by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most characters of an order in the table.
const WORD_MAX: usize = 1000;

/// An order that waits for its row.
pub struct Entry {
    /// The order.
    pub order: NotedOrder,
    /// Hears of the row, or why there is none.
    pub noted: oneshot::Sender<Result<(), String>>,
}

/// Where the doors hand in what they have carried out. The default notes nothing.
#[derive(Clone, Default)]
pub struct Recorder(Option<mpsc::Sender<Entry>>);

impl Recorder {
    /// A recorder, and where its entries come out.
    pub fn new() -> (Recorder, mpsc::Receiver<Entry>) {
        let (sender, entries) = mpsc::channel(QUEUE);
        (Recorder(Some(sender)), entries)
    }

    /// Notes an order, and waits for its row if the run `has_journal` already.
    ///
    /// # Errors
    /// Why it is not known whether the table has it.
    pub async fn note(
        &self,
        word: String,
        giver: &Giver,
        answer: OrderAnswer,
        has_journal: bool,
    ) -> Result<(), String> {
        let Some(sender) = &self.0 else { return Ok(()) };
        let word = word.chars().take(WORD_MAX).collect();
        let order = NotedOrder { word, given_by: giver.in_the_journal(), answer };
        let (noted, answered) = oneshot::channel();
        sender
            .try_send(Entry { order, noted })
            .map_err(|_| "too many orders wait for the journal, or the run has ended".to_owned())?;
        if !has_journal {
            return Ok(());
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(noted)) => noted,
            Ok(Err(_)) => Err("the run has ended".into()),
            Err(_) => Err(format!("the server did not answer within {} s", PATIENCE.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::Door;

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_its_row_and_not_for_ever() {
        let giver = Giver::new("ann", Door::Console);
        let answer = || OrderAnswer { is_done: true, answer: "postponed".into() };
        let nobody = Recorder::default();
        assert_eq!(nobody.note("postpone".into(), &giver, answer(), true).await, Ok(()));
        let (recorder, mut entries) = Recorder::new();
        let noting = recorder.note("x".repeat(5000), &giver, answer(), true);
        let writing = async {
            let entry = entries.recv().await.expect("an order comes");
            let _ = entry.noted.send(Ok(()));
            entry.order
        };
        let (noted, order) = tokio::join!(noting, writing);
        assert_eq!((noted, order.word.len()), (Ok(()), WORD_MAX));
        assert_eq!(order.given_by, "ann@console");
        assert_eq!(recorder.note("postpone".into(), &giver, answer(), false).await, Ok(()));
        let late = recorder.note("postpone".into(), &giver, answer(), true).await;
        assert!(late.is_err_and(|reason| reason.contains("did not answer")));
        drop(entries);
        assert!(recorder.note("postpone".into(), &giver, answer(), true).await.is_err());
    }
}
