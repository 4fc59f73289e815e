//! The laws on every real server: the same suite that the model passes.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

use altergeist_contract::conformance::{Laboratory, Row, Write, conforms};
use altergeist_contract::{Engine, Strategy, Target};
use altergeist_integration::servers::{Flavour, Server};
use altergeist_integration::session::Session;
use altergeist_mysql::MySql;
use altergeist_postgres::Postgres;

/// A real server with one table at a time; each test gets a table of its own name.
struct Real<E> {
    server: Server,
    tables: Cell<u32>,
    engine: PhantomData<E>,
}

impl<E: Engine> Real<E> {
    fn name(&self) -> String {
        format!("conformance{}", self.tables.get())
    }

    async fn session(&self) -> Session {
        Session::connect(&self.server.url("app")).await.expect("the server is up")
    }

    async fn execute(&self, statements: &[String]) {
        let mut session = self.session().await;
        for statement in statements {
            session
                .execute(statement)
                .await
                .unwrap_or_else(|failure| panic!("{statement}: {failure}"));
        }
    }

    async fn rows(&self, table: &str) -> Option<BTreeSet<Row>> {
        let rows =
            self.session().await.rows(&format!("SELECT id, u, v FROM {table}")).await.ok()?;
        let number =
            |value: &Option<String>| value.as_deref().expect("not null").parse().expect("a number");
        Some(rows.iter().map(|row| (number(&row[0]), number(&row[1]), number(&row[2]))).collect())
    }

    /// What an earlier test has left, a replication slot for instance, would stand in the next
    /// one's way.
    async fn clean_up(&self) {
        let engine = self.engine().await;
        engine.hold().await.expect("nobody holds the table of a test that has ended");
        engine.cleanup(true).await.expect("what a test has left can be dropped");
        drop(engine);
        self.execute(&[format!("DROP TABLE {}", self.name())]).await;
    }

    fn upsert(&self, (id, u, v): Row) -> String {
        let insert = format!("INSERT INTO {} (id, u, v) VALUES ({id}, {u}, {v})", self.name());
        match self.server.flavour().is_postgres() {
            true => format!("{insert} ON CONFLICT (id) DO UPDATE SET u = {u}, v = {v}"),
            false => format!("{insert} ON DUPLICATE KEY UPDATE u = {u}, v = {v}"),
        }
    }
}

impl<E: Engine> Laboratory for Real<E> {
    type Engine = E;

    async fn fresh(&self, rows: u32) {
        if self.tables.get() > 0 {
            self.clean_up().await;
        }
        self.tables.set(self.tables.get() + 1);
        let table = self.name();
        let values: Vec<String> = (1..=rows).map(|n| format!("({n}, {n}, {n})")).collect();
        self.execute(&[
            format!(
                "CREATE TABLE {table} (id int PRIMARY KEY, u int NOT NULL UNIQUE, v int NOT NULL)"
            ),
            format!("INSERT INTO {table} (id, u, v) VALUES {}", values.join(", ")),
        ])
        .await;
    }

    async fn engine(&self) -> E {
        let target = Target {
            url: self.server.url("app"),
            table: self.name(),
            alter: "ADD COLUMN extra int".into(),
            strategy: Strategy::Copy,
            workers: 2,
            lock_timeout: Duration::from_secs(5),
            ..Target::default()
        };
        E::connect(&target).await.expect("the engine can connect")
    }

    /// Unique values are parked first, so that rows can exchange theirs in one transaction.
    async fn write(&self, writes: &[Write]) {
        let table = self.name();
        let mut statements = vec!["BEGIN".to_owned()];
        for write in writes {
            match write {
                Write::Remove(id) => {
                    statements.push(format!("DELETE FROM {table} WHERE id = {id}"))
                }
                Write::Move(from, to) => {
                    statements.push(format!("UPDATE {table} SET id = {to} WHERE id = {from}"))
                }
                Write::Put((id, _, _)) => {
                    statements.push(format!("UPDATE {table} SET u = -{id} WHERE id = {id}"))
                }
            }
        }
        statements.extend(writes.iter().filter_map(|write| match write {
            Write::Put(row) => Some(self.upsert(*row)),
            _ => None,
        }));
        statements.push("COMMIT".into());
        self.execute(&statements).await;
    }

    async fn table(&self) -> BTreeSet<Row> {
        self.rows(&self.name()).await.expect("the table can be read")
    }

    async fn shadow(&self) -> Option<BTreeSet<Row>> {
        match self.server.flavour().is_postgres() {
            true => self.rows(&format!("ag_shadow_public.{}", self.name())).await,
            false => self.rows(&format!("_{}_ag_shadow", self.name())).await,
        }
    }

    async fn reader(&self) -> Option<Box<dyn Any>> {
        let mut session = self.session().await;
        for statement in ["BEGIN".to_owned(), format!("SELECT * FROM {}", self.name())] {
            session.execute(&statement).await.expect("the table can be read");
        }
        Some(Box::new(session))
    }
}

/// As much stack as a program's main thread has, on which the binary runs.
const STACK_BYTES: usize = 8 << 20;

fn conforms_on<E: Engine>(flavour: Flavour, settings: &[(&str, &str)]) {
    let conforming = || {
        let Some(server) = Server::start(flavour, settings) else { return };
        let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
        let real = Real::<E> { server, tables: Cell::new(0), engine: PhantomData };
        runtime.block_on(conforms(&real));
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, conforming).expect("a thread can be had");
        thread.join().expect("every law holds");
    });
}

#[test]
fn postgresql_15_obeys_every_law() {
    conforms_on::<Postgres>(Flavour::Postgres15, &[]);
}

#[test]
fn postgresql_18_obeys_every_law() {
    conforms_on::<Postgres>(Flavour::Postgres18, &[]);
}

#[test]
fn mysql_9_7_obeys_every_law() {
    conforms_on::<MySql>(Flavour::MySql97, &[]);
}

#[test]
fn mysql_9_7_obeys_every_law_by_file_and_position() {
    conforms_on::<MySql>(
        Flavour::MySql97,
        &[("gtid-mode", "OFF"), ("enforce-gtid-consistency", "OFF")],
    );
}

#[test]
fn mysql_9_7_obeys_every_law_with_minimal_row_images() {
    conforms_on::<MySql>(Flavour::MySql97, &[("binlog-row-image", "MINIMAL")]);
}

#[test]
fn mariadb_10_11_obeys_every_law() {
    conforms_on::<MySql>(Flavour::MariaDb1011, &[]);
}
