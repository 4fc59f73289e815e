//! A replica that falls behind holds up the copy, and nothing else; one that catches up lets it go
//! on.

use altergeist_integration::altergeist_process;
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::Table;

fn reason(status: &serde_json::Value) -> &str {
    status["throttle_reason"].as_str().unwrap_or_default()
}

fn a_replica_behind_throttles_and_is_named_until_it_has_caught_up(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 20_000).expect("the table can be filled");
    let replica = primary.start_replica();
    replica.pause_replay();
    let more = ["--replica", &replica.url(DATABASE), "--max-lag", "1s", "--chunk-rows", "500"];
    let mut run = altergeist_process::start(
        &primary.url(DATABASE),
        "orders",
        altergeist_process::widening(flavour),
        &more,
    );
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert!(reason(&throttled).contains(&replica.port().to_string()), "{}", reason(&throttled));
    replica.resume_replay();
    run.wait().must_be(0);
}

fn a_replica_that_does_not_answer_counts_as_behind(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 2_000).expect("the table can be filled");
    let mut replica = primary.start_replica();
    let url = replica.url(DATABASE);
    replica.stop();
    let mut run = altergeist_process::start(
        &primary.url(DATABASE),
        "orders",
        altergeist_process::widening(flavour),
        &["--replica", &url],
    );
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert_eq!(throttled["rows_copied"], 0);
    run.ask("panic");
    run.wait().must_be(5);
}

fn plan(flavour: Flavour, url: &str) -> altergeist_process::Ended {
    let alter = altergeist_process::widening(flavour);
    altergeist_process::command(&[
        "plan",
        "--url",
        url,
        "--table",
        "orders",
        "--strategy",
        "copy",
        "--alter",
        alter,
    ])
}

/// MySQL and MariaDB; what PostgreSQL's standbys do is in `postgres_log`.
fn a_replica_nobody_names_is_found(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 20_000).expect("the table can be filled");
    let replica = primary.start_replica();
    replica.pause_replay();
    let port = replica.port().to_string();
    plan(flavour, &primary.url(DATABASE))
        .must_be(0)
        .must_say(&[&port, "was found: its lag counts"]);
    let more = ["--max-lag", "1s", "--chunk-rows", "500"];
    let mut run = altergeist_process::start(
        &primary.url(DATABASE),
        "orders",
        altergeist_process::widening(flavour),
        &more,
    );
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert!(reason(&throttled).contains(&port), "{}", reason(&throttled));
    replica.resume_replay();
    run.wait().must_be(0);
}

fn a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 500).expect("the table can be filled");
    // On the primary alone.
    let statements = [
        "SET SESSION sql_log_bin = 0",
        "CREATE USER osc@'%'",
        "GRANT ALL PRIVILEGES ON *.* TO osc@'%'",
    ];
    block_on(async {
        let mut root = Session::connect(&primary.url(DATABASE)).await.expect("the server answers");
        for statement in statements {
            root.execute(statement).await.expect("root may");
        }
    });
    let replica = primary.start_replica();
    let url = primary.url(DATABASE).replace("root@", "osc@");
    let port = format!(":{}", replica.port());
    plan(flavour, &url).must_be(0).must_say(&[&port, "does not let us in"]);
    let ended = altergeist_process::run(
        &url,
        "orders",
        altergeist_process::widening(flavour),
        &["--strategy", "copy"],
    );
    ended.must_be(0).must_say(&[&port, "its lag does not count"]);
}

#[test]
fn mysql_a_replica_nobody_names_is_found() {
    a_replica_nobody_names_is_found(Flavour::MySql97);
}

#[test]
fn mariadb_a_replica_nobody_names_is_found() {
    a_replica_nobody_names_is_found(Flavour::MariaDb1011);
}

#[test]
fn mysql_a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run() {
    a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run(Flavour::MySql97);
}

#[test]
fn mariadb_a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run() {
    a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run(Flavour::MariaDb1011);
}

every_server!(
    a_replica_behind_throttles_and_is_named_until_it_has_caught_up,
    a_replica_that_does_not_answer_counts_as_behind,
);
