//! The model's tables of orders and history.

use crate::model::Model;
use crate::order_table::outlives_its_process;
use crate::{GivenOrder, Moment, NotedOrder, OrderAnswer, OrderTable, Result};

/// An order in the model's table.
#[derive(Clone, Debug)]
pub(crate) struct OrderRow {
    run: String,
    word: String,
    given_by: String,
    is_standing: bool,
    is_taken: bool,
    answer: Option<OrderAnswer>,
}

impl OrderTable for Model {
    async fn make_order_tables(&self) -> Result<()> {
        self.statement("make the tables of orders", |_| Ok(())).await
    }

    async fn account(&self) -> Result<String> {
        Ok("model".to_owned())
    }

    async fn take_orders(&self, run: &str, begins: bool) -> Result<Vec<GivenOrder>> {
        let run = run.to_owned();
        self.statement("take orders", move |world| {
            let mut taken = Vec::new();
            for (id, order) in (1..).zip(&mut world.orders).filter(|(_, it)| it.run == run) {
                let is_anew = match &order.answer {
                    None => true,
                    Some(answer) => {
                        order.is_standing || answer.is_done && outlives_its_process(&order.word)
                    }
                };
                if !order.is_taken || (begins && is_anew) {
                    order.is_taken = true;
                    taken.push(GivenOrder {
                        id,
                        word: order.word.clone(),
                        given_by: order.given_by.clone(),
                        is_answered: order.answer.is_some(),
                        is_standing: order.is_standing,
                    });
                }
            }
            Ok(taken)
        })
        .await
    }

    async fn answer_order(&self, id: u64, answer: &OrderAnswer) -> Result<()> {
        let answer = answer.clone();
        self.statement("answer an order", move |world| {
            if let Some(order) = place(id).and_then(|place| world.orders.get_mut(place)) {
                order.answer.get_or_insert(answer);
            }
            Ok(())
        })
        .await
    }

    async fn note_order(&self, run: &str, order: &NotedOrder) -> Result<()> {
        let (run, order) = (run.to_owned(), order.clone());
        self.statement("note an order", move |world| {
            let NotedOrder { word, given_by, answer } = order;
            let answer = Some(answer);
            let (is_standing, is_taken) = (false, true);
            world.orders.push(OrderRow { run, word, given_by, is_standing, is_taken, answer });
            Ok(())
        })
        .await
    }

    async fn give_order(&self, run: &str, word: &str, is_standing: bool) -> Result<u64> {
        let (run, word) = (run.to_owned(), word.to_owned());
        self.statement("give an order", move |world| {
            let given_by = "model".to_owned();
            let (is_taken, answer) = (false, None);
            world.orders.push(OrderRow { run, word, given_by, is_standing, is_taken, answer });
            Ok(world.orders.len() as u64)
        })
        .await
    }

    async fn last_run(&self) -> Result<Option<String>> {
        self.statement("look for the last run", |world| Ok(world.last_run.clone())).await
    }

    async fn order_answer(&self, id: u64) -> Result<Option<OrderAnswer>> {
        self.statement("look for an answer", move |world| {
            let order = place(id).and_then(|place| world.orders.get(place));
            Ok(order.and_then(|order| order.answer.clone()))
        })
        .await
    }

    async fn note_moment(&self, moment: &Moment) -> Result<()> {
        let run = moment.run.clone();
        self.statement("write the history", move |world| {
            world.last_run = Some(run);
            Ok(())
        })
        .await
    }
}

fn place(id: u64) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok()
}
