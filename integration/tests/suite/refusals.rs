//! What cannot be done safely is refused, by name, and the table is as it was.

use std::collections::BTreeSet;

use altergeist_integration::altergeist_process::{
    Ended, command, inventory, left_behind, must_stay, run, start, structure, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{COLUMNS, Table, differences};

every_server!(
    clauses_that_the_server_refuses_are_refused_with_its_own_words,
    a_table_that_is_not_there_is_refused_by_name,
    a_table_without_a_usable_key_is_refused,
    a_new_unique_index_over_duplicates_is_refused_by_name,
    duplicates_that_appear_while_copying_stop_the_run,
    values_that_do_not_fit_any_more_stop_the_run,
    a_second_start_names_the_holder_and_does_nothing,
    foreign_keys_are_refused_by_name,
);

/// A server with a table and a copy of its rows, and what else is there.
struct Before {
    server: Server,
    url: String,
    structure: BTreeSet<String>,
    inventory: BTreeSet<String>,
}

/// A table of 2,000 rows, changed by `more`, before anything is done to it.
fn before(flavour: Flavour, more: &[&str]) -> Option<Before> {
    let server = Server::start(flavour, &[])?;
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 2_000).unwrap();
    for sql in more {
        server.execute(DATABASE, sql).unwrap();
    }
    server.execute(DATABASE, "CREATE TABLE kept AS SELECT * FROM orders").unwrap();
    let (structure, inventory) = (structure(&server, "orders"), inventory(&server));
    Some(Before { server, url, structure, inventory })
}

impl Before {
    fn run(&self, alter: &str) -> Ended {
        run(&self.url, "orders", alter, &["--chunk-rows", "100"])
    }

    /// The table is what it was, and `cleanup` leaves nothing of ours.
    fn must_be_untouched(&self) {
        assert_eq!(structure(&self.server, "orders"), self.structure);
        assert_eq!(differences(&self.url, "kept", "orders", &COLUMNS).unwrap(), 0);
        command(&["cleanup", "--url", &self.url, "--table", "orders"]).must_be(0);
        assert_eq!(left_behind(&self.inventory, &inventory(&self.server)), Vec::<String>::new());
        assert_eq!(structure(&self.server, "orders"), self.structure);
        assert_eq!(differences(&self.url, "kept", "orders", &COLUMNS).unwrap(), 0);
    }
}

fn clauses_that_the_server_refuses_are_refused_with_its_own_words(flavour: Flavour) {
    let Some(before) = before(flavour, &[]) else {
        return;
    };
    let there = inventory(&before.server);
    for (alter, words) in [
        ("ADD COLUMN k int", "k"),
        ("DROP COLUMN nowhere", "nowhere"),
        ("ADD COLUMN x no_such_type", "no_such_type"),
        ("this is no clause", "syntax"),
    ] {
        let refused = before.server.execute(DATABASE, &format!("ALTER TABLE orders {alter}"));
        let theirs = refused.expect_err("the server refuses it too").message;
        before.run(alter).must_be(3).must_say(&[words, &theirs[..theirs.len().min(25)]]);
    }
    assert_eq!(left_behind(&there, &inventory(&before.server)), Vec::<String>::new());
    before.must_be_untouched();
}

fn a_table_that_is_not_there_is_refused_by_name(flavour: Flavour) {
    let Some(before) = before(flavour, &[]) else {
        return;
    };
    run(&before.url, "nowhere", widening(flavour), &[]).must_be(3).must_say(&["nowhere"]);
    before.must_be_untouched();
}

fn a_table_without_a_usable_key_is_refused(flavour: Flavour) {
    let drop =
        if flavour.is_postgres() { "DROP CONSTRAINT orders_pkey" } else { "DROP PRIMARY KEY" };
    let Some(before) = before(flavour, &[&format!("ALTER TABLE orders {drop}")]) else {
        return;
    };
    // There is still a unique index, but over a column that may be NULL.
    before.run(widening(flavour)).must_be(3).must_say(&["orders", "key"]);
    before.must_be_untouched();
}

fn unique_over_k(flavour: Flavour) -> &'static str {
    match flavour.is_postgres() {
        true => "ALTER COLUMN k TYPE bigint, ADD CONSTRAINT k_once UNIQUE (k)",
        false => "MODIFY COLUMN k bigint NOT NULL, ADD UNIQUE KEY k_once (k)",
    }
}

fn a_new_unique_index_over_duplicates_is_refused_by_name(flavour: Flavour) {
    let duplicates = "UPDATE orders SET k = 5 WHERE id IN (50, 15000, 20000)";
    let Some(before) = before(flavour, &[duplicates]) else {
        return;
    };
    let ended = before.run(unique_over_k(flavour)).must_say(&["k_once"]);
    assert!(!ended.output.contains("Duplicate entry"), "a row's value is in:\n{}", ended.output);
    ended.must_be(3);
    before.must_be_untouched();
}

fn duplicates_that_appear_while_copying_stop_the_run(flavour: Flavour) {
    let Some(before) = before(flavour, &["UPDATE orders SET k = id"]) else {
        return;
    };
    let mut running = start(
        &before.url,
        "orders",
        unique_over_k(flavour),
        &["--chunk-rows", "10", "--workers", "1", "--postpone-cut-over"],
    );
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(100));
    for table in ["orders", "kept"] {
        before
            .server
            .execute(DATABASE, &format!("UPDATE {table} SET k = 20000 WHERE id = 10"))
            .unwrap();
    }
    // A run that waits for the order to swap still follows what is written.
    let ended = running.wait();
    ended.must_be(1).must_say(&["k_once"]);
    before.must_be_untouched();
}

fn values_that_do_not_fit_any_more_stop_the_run(flavour: Flavour) {
    let alter = match flavour.is_postgres() {
        true => "ALTER COLUMN pad TYPE varchar(10)",
        false => "MODIFY COLUMN pad varchar(10) NOT NULL",
    };
    let Some(before) = before(flavour, &["UPDATE orders SET pad = 'short' WHERE id < 15000"])
    else {
        return;
    };
    // The plan counts them.
    let ended = before.run(alter).must_be(3).must_say(&["orders"]);
    assert!(!ended.output.contains("pppp"), "a row's value is in:\n{}", ended.output);
    before.must_be_untouched();
}

fn a_second_start_names_the_holder_and_does_nothing(flavour: Flavour) {
    let Some(before) = before(flavour, &[]) else {
        return;
    };
    let mut first = start(&before.url, "orders", widening(flavour), &["--postpone-cut-over"]);
    first.wait_until(|status| status["phase"] == "waiting");
    let user = if flavour.is_postgres() { "postgres@" } else { "root@" };
    before.run(widening(flavour)).must_be(6).must_say(&["orders", user]);
    command(&["cleanup", "--url", &before.url, "--table", "orders"]).must_be(6);
    must_stay("the first run goes on", || first.is_running());
    first.kill();
    before.must_be_untouched();
}

fn foreign_keys_are_refused_by_name(flavour: Flavour) {
    let engine = if flavour.is_postgres() { "" } else { "ENGINE=InnoDB" };
    let child = format!(
        "CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint, \
         CONSTRAINT items_order_fk FOREIGN KEY (order_id) REFERENCES orders (id)) {engine}"
    );
    let Some(before) = before(flavour, &[&child]) else {
        return;
    };
    let refuse = |table: &str, alter: &str| {
        run(&before.url, table, alter, &["--strategy", "copy", "--foreign-keys", "refuse"])
    };
    refuse("orders", widening(flavour)).must_be(3).must_say(&["items_order_fk"]);
    let ended = refuse("items", "ALTER COLUMN order_id SET DEFAULT 1, ADD COLUMN x int");
    ended.must_be(3).must_say(&["items_order_fk"]);
    before.must_be_untouched();
}
