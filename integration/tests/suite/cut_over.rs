//! The cut-over on MySQL and MariaDB: who stands in its way, and a swap that is not answered.

use std::thread;
use std::time::Duration;

use altergeist_integration::altergeist_process::{
    inventory, left_behind, old_table, run, start, structure, widening,
};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::statement_fault::{StatementFault, Then};
use altergeist_integration::workload::Table;

#[test]
fn mysql_sessions_in_the_way_are_named_and_ended_only_when_that_is_asked_for() {
    blockers(Flavour::MySql97);
}

#[test]
fn mariadb_sessions_in_the_way_are_named_and_not_ended_where_the_holder_is_unknown() {
    blockers(Flavour::MariaDb1011);
}

fn blockers(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    if flavour == Flavour::MariaDb1011 {
        let kill = ["--strategy", "copy", "--kill-blockers"];
        run(&url, "orders", widening(flavour), &kill).must_be(3).must_say(&["metadata_lock_info"]);
    }
    block_on(async {
        let mut reader = Session::connect(&url).await.unwrap();
        reader.execute("BEGIN").await.unwrap();
        reader.rows("SELECT COUNT(*) FROM orders").await.unwrap();
        let id = reader.value("SELECT CONNECTION_ID()").await.unwrap().unwrap();
        let connection = format!("connection {id} (root@");

        let ask = |more: &'static [&'static str]| {
            let url = url.clone();
            thread::spawn(move || run(&url, "orders", widening(flavour), more)).join().unwrap()
        };
        let patient =
            ask(&["--strategy", "copy", "--lock-attempts", "1", "--lock-timeout", "500ms"]);
        patient.must_be(7).must_say(&[&connection]);
        reader.rows("SELECT 1").await.expect("nobody asked for its end");

        if flavour == Flavour::MariaDb1011 {
            return;
        }
        let ended = ask(&["--strategy", "copy", "--kill-blockers"]);
        ended.must_be(0).must_say(&[&connection, "ended"]);
        reader.rows("SELECT 1").await.expect_err("it stood in the way");
    });
}

#[test]
fn mysql_a_swap_without_an_answer_is_asked_about() {
    no_answer(Flavour::MySql97);
}

#[test]
fn mariadb_a_swap_without_an_answer_is_asked_about() {
    no_answer(Flavour::MariaDb1011);
}

/// The connection is cut right after the RENAME was sent.
fn no_answer(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let direct = server.url(DATABASE);
    Table::load(&direct, "orders", 500).unwrap();
    let (before, was) = (inventory(&server), structure(&server, "orders"));

    let fault = StatementFault::start(server.port(), &["RENAME TABLE"], 1, Then::CloseBehind);
    let running = start(
        &url(flavour, fault.port(), DATABASE),
        "orders",
        widening(flavour),
        &["--strategy", "copy"],
    );
    let ended = running.wait().must_be(0);
    assert!(fault.wait(Duration::ZERO).is_some(), "no RENAME was sent:\n{}", ended.output);
    assert_ne!(structure(&server, "orders"), was, "{}", ended.output);

    run(&direct, "orders", widening(flavour), &["--strategy", "copy"])
        .must_be(0)
        .must_say(&["already"]);
    assert_eq!(
        left_behind(&before, &inventory(&server)),
        old_table(flavour, "orders"),
        "{}",
        ended.output
    );
}
