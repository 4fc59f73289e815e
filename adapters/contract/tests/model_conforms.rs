//! The model passes the suite every engine passes: what the simulation proves, it proves of a
//! lawful engine.
#![allow(async_fn_in_trait)]

use altergeist_contract::conformance::{Laboratory, Row, Write, conforms};
use altergeist_contract::model::{Habits, Model, Row as ModelRow, Rows, Server};
use std::cell::RefCell;
use std::collections::BTreeSet;

struct InMemory(RefCell<Server>);

impl InMemory {
    fn server(&self) -> Server {
        self.0.borrow().clone()
    }
}

fn quiet() -> Habits {
    Habits { rows: 0, write_chance: 0.0, fault_chance: 0.0, ..Habits::default() }
}

fn rows(rows: &Rows) -> BTreeSet<Row> {
    rows.iter().map(|(id, row)| (*id, row.unique, row.value)).collect()
}

impl Laboratory for InMemory {
    type Engine = Model;

    async fn fresh(&self, rows: u32) {
        let server = Server::new(7, quiet());
        server.calm_down();
        let filled: Vec<_> = (1..=rows).map(|n| (n, ModelRow { unique: n, value: n })).collect();
        server.commit(&filled, &[]);
        server.show_all();
        *self.0.borrow_mut() = server;
    }

    async fn engine(&self) -> Model {
        self.server().process()
    }

    async fn write(&self, writes: &[Write]) {
        let server = self.server();
        let table = server.table();
        let mut put = Vec::new();
        let mut remove = Vec::new();
        for write in writes {
            match *write {
                Write::Put((id, unique, value)) => put.push((id, ModelRow { unique, value })),
                Write::Remove(id) => remove.push(id),
                Write::Move(from, to) => {
                    remove.push(from);
                    put.push((to, table[&from]));
                }
            }
        }
        server.commit(&put, &remove);
        server.show_all();
    }

    async fn table(&self) -> BTreeSet<Row> {
        rows(&self.server().table())
    }

    async fn shadow(&self) -> Option<BTreeSet<Row>> {
        self.server().shadow().as_ref().map(rows)
    }

    async fn reader(&self) -> Option<Box<dyn std::any::Any>> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn the_model_obeys_every_law() {
    conforms(&InMemory(RefCell::new(Server::new(7, quiet())))).await;
}
