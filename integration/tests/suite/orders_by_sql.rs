//! Orders given by plain SQL, and what is left of a run in the history: the tables beside the
//! journal.

use altergeist_integration::altergeist_process::{
    command, must_become, must_stay, start, structure, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::statement_fault::{StatementFault, Then};
use altergeist_integration::workload::Table;
use std::time::Duration;

every_server!(
    a_run_is_steered_and_approved_by_sql_alone,
    an_order_outlives_the_process_it_was_given_to,
    an_order_is_answered_once_whenever_its_process_dies,
    an_order_is_answered_once_whenever_its_process_dies_a_hundred_times,
);

fn orders(flavour: Flavour) -> &'static str {
    if flavour.is_postgres() { "altergeist.orders" } else { "_altergeist_orders" }
}

fn history(flavour: Flavour) -> &'static str {
    if flavour.is_postgres() { "altergeist.history" } else { "_altergeist_history" }
}

/// The first cell of the answer.
fn cell(server: &Server, sql: &str) -> Option<String> {
    let rows = server.query(DATABASE, sql).expect("the server answers");
    rows.into_iter().flatten().next().flatten()
}

/// The run, by the newest row of its history.
fn run_of(server: &Server) -> String {
    let sql = format!("SELECT run_id FROM {} ORDER BY id DESC LIMIT 1", history(server.flavour()));
    cell(server, &sql).expect("the history has a row")
}

/// Gives an order as `mysql -e` or `psql -c` does; returns its outcome and answer.
fn order(server: &Server, run: &str, word: &str) -> (String, String) {
    let orders = orders(server.flavour());
    let give = format!("INSERT INTO {orders} (run_id, word) VALUES ('{run}', '{word}')");
    server.execute(DATABASE, &give).expect("the order can be given");
    let last = format!("FROM {orders} WHERE word = '{word}' ORDER BY id DESC LIMIT 1");
    must_become("the order is answered", || {
        cell(server, &format!("SELECT outcome {last}")).is_some()
    });
    let [outcome, answer] = ["outcome", "answer"]
        .map(|column| cell(server, &format!("SELECT {column} {last}")).unwrap_or_default());
    (outcome, answer)
}

/// A user who may give orders and nothing else.
fn create_approver(server: &Server) -> String {
    let statements: &[&str] = match server.flavour().is_postgres() {
        true => &[
            "CREATE ROLE ann LOGIN",
            "GRANT USAGE ON SCHEMA altergeist TO ann",
            "GRANT SELECT ON altergeist.orders, altergeist.history TO ann",
            "GRANT INSERT (run_id, word, expires_at) ON altergeist.orders TO ann",
        ],
        false => &[
            "CREATE USER ann@'%'",
            "GRANT SELECT ON _altergeist_orders TO ann@'%'",
            "GRANT SELECT ON _altergeist_history TO ann@'%'",
            "GRANT SELECT ON orders TO ann@'%'",
            "GRANT INSERT (run_id, word, expires_at) ON _altergeist_orders TO ann@'%'",
        ],
    };
    for statement in statements {
        server.execute(DATABASE, statement).expect("the user can be created");
    }
    let owner = if server.flavour().is_postgres() { "postgres@" } else { "root@" };
    server.url(DATABASE).replacen(owner, "ann@", 1)
}

fn a_run_is_steered_and_approved_by_sql_alone(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let was = structure(&server, "orders");
    let mut running = start(&url, "orders", widening(flavour), &["--approve"]);
    let plan = running.wait_until(|status| status["phase"] == "waiting")["fingerprint"]
        .as_str()
        .expect("the plan has a fingerprint")
        .to_owned();
    must_become("the history knows that it waits", || {
        let sql = format!("SELECT phase FROM {} ORDER BY id DESC LIMIT 1", history(flavour));
        cell(&server, &sql).as_deref() == Some("waiting")
    });
    let run = run_of(&server);
    assert_eq!(running.status()["run_id"], run.as_str());

    assert_eq!(order(&server, &run, "workers=2").0, "done");
    assert_eq!(running.ask("workers=?").trim(), "2");
    let (outcome, why) = order(&server, &run, "frobnicate");
    assert!(outcome == "refused" && why.contains("frobnicate"), "{outcome}: {why}");
    let approve = format!("approve {plan}");
    let (outcome, why) = order(&server, &run, &approve);
    assert!(outcome == "refused" && why.contains("cannot approve"), "{outcome}: {why}");
    let for_another = format!(
        "INSERT INTO {} (run_id, word) VALUES ('another-run', 'cut-over')",
        orders(flavour)
    );
    server.execute(DATABASE, &for_another).unwrap();
    let expired = match flavour.is_postgres() {
        true => "now() - interval '1 minute'",
        false => "NOW() - INTERVAL 1 MINUTE",
    };
    let late = format!(
        "INSERT INTO {} (run_id, word, expires_at) VALUES ('{run}', 'panic', {expired})",
        orders(flavour)
    );
    server.execute(DATABASE, &late).unwrap();
    must_stay("nobody has approved it", || running.status()["phase"] == "waiting");
    assert_eq!(structure(&server, "orders"), was);

    let ann = create_approver(&server);
    let wrong = ["ctl", "--url", &ann, "--table", "orders", "approve", "f00d"];
    command(&wrong).must_be(1).must_say(&[&plan]);
    let right = ["ctl", "--url", &ann, "--table", "orders", "approve", &plan];
    command(&right).must_be(0).must_say(&["approved by ann"]);
    running.wait().must_be(0);
    assert_ne!(structure(&server, "orders"), was);
    let sql = format!("SELECT phase FROM {} ORDER BY id DESC LIMIT 1", history(flavour));
    assert_eq!(cell(&server, &sql).as_deref(), Some("done"));
    let untaken = format!("SELECT count(*) FROM {} WHERE taken_at IS NULL", orders(flavour));
    assert_eq!(cell(&server, &untaken).as_deref(), Some("2"), "the late one and another run's");
}

/// An order is answered once, by whichever process lives; a standing one is obeyed again.
fn an_order_outlives_the_process_it_was_given_to(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let more = ["--postpone-cut-over"];
    let mut running = start(&url, "orders", widening(flavour), &more);
    running.wait_until(|status| status["phase"] == "waiting");
    must_become("the run has a history", || {
        command(&["ctl", "--url", &url, "--table", "orders", "sup"]).code == Some(0)
    });
    let run = run_of(&server);
    command(&["ctl", "--url", &url, "--table", "orders", "--standing", "workers=3"]).must_be(0);
    command(&["ctl", "--url", &url, "--table", "orders", "batch-keys=77"]).must_be(0);
    running.kill();
    // One that a process took and did not answer, and one that nobody has taken.
    let orders = orders(flavour);
    for (word, taken) in [("chunk-rows=123", "CURRENT_TIMESTAMP"), ("nice=0.5", "NULL")] {
        let give = format!(
            "INSERT INTO {orders} (run_id, word, taken_at) VALUES ('{run}', '{word}', {taken})"
        );
        server.execute(DATABASE, &give).unwrap();
    }
    let unanswered = ["ctl", "--url", &url, "--table", "orders", "--timeout", "500ms", "sup"];
    command(&unanswered).must_be(1).must_say(&["no process works on it"]);
    let mut running = start(&url, "orders", widening(flavour), &more);
    running.wait_until(|status| status["phase"] != "planning");
    // They are obeyed in their order, and this is the last one.
    must_become("the orders are obeyed", || running.ask("nice=?").trim() == "0.5");
    assert_eq!(running.ask("chunk-rows=?").trim(), "123");
    assert_eq!(running.ask("workers=?").trim(), "3", "it stands");
    assert_eq!(running.ask("batch-keys=?").trim(), "1000", "it was for the process before");
    must_become("every order is answered", || {
        let unanswered = format!("SELECT count(*) FROM {orders} WHERE outcome IS NULL");
        cell(&server, &unanswered).as_deref() == Some("0")
    });
    running.ask("cut-over");
    running.wait().must_be(0);
}

fn an_order_is_answered_once_whenever_its_process_dies(flavour: Flavour) {
    die_before_and_after_the_answer(flavour, 2);
}

fn an_order_is_answered_once_whenever_its_process_dies_a_hundred_times(flavour: Flavour) {
    die_before_and_after_the_answer(flavour, 100);
}

/// The process dies when it has taken an order and sends the answer, which arrives or does not. The
/// next process answers what is not answered, and does not obey what is.
fn die_before_and_after_the_answer(flavour: Flavour, times: u32) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 100).unwrap();
    let (more, orders) = (["--postpone-cut-over"], orders(flavour));
    // What is encrypted has no words for the proxy.
    let plain = if flavour.is_postgres() { "" } else { "?ssl-mode=DISABLED" };
    for round in 0..times {
        // PostgreSQL gets a statement in pieces: only its first one bears the words.
        let arrives = !flavour.is_postgres() && round % 2 == 1;
        let then = if arrives { Then::CloseBehind } else { Then::Hold };
        let proxy = StatementFault::start(server.port(), &["SET outcome"], 1, then);
        let by_proxy =
            url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port())) + plain;
        let mut running = start(&by_proxy, "orders", widening(flavour), &more);
        running.wait_until(|status| status["phase"] == "waiting");
        must_become("the run has a history", || {
            let sql = format!("SELECT count(*) FROM {}", history(flavour));
            server.query(DATABASE, &sql).is_ok_and(|rows| rows[0][0].as_deref() != Some("0"))
        });
        let (run, word) = (run_of(&server), format!("batch-keys={}", 2000 + round));
        let give = format!("INSERT INTO {orders} (run_id, word) VALUES ('{run}', '{word}')");
        server.execute(DATABASE, &give).unwrap();
        assert!(proxy.wait(Duration::from_secs(30)).is_some(), "no answer was on its way");
        running.kill();
        let outcome = format!("SELECT outcome FROM {orders} WHERE word = '{word}'");
        let taken = format!("SELECT taken_at IS NULL FROM {orders} WHERE word = '{word}'");
        if arrives {
            must_become("the answer has arrived", || cell(&server, &outcome).is_some());
        } else {
            assert_eq!(cell(&server, &outcome), None);
        }
        assert!(cell(&server, &taken).is_some_and(|it| it == "0" || it == "f"), "it was taken");
        let mut running = start(&url, "orders", widening(flavour), &more);
        running.wait_until(|status| status["phase"] == "waiting");
        must_become("the order is answered", || cell(&server, &outcome).as_deref() == Some("done"));
        // The orders of a process are looked at together: this one is answered after the first.
        assert_eq!(order(&server, &run, &format!("nice=0.{round}")).0, "done");
        let obeyed = if arrives { 1000 } else { 2000 + round };
        assert_eq!(running.ask("batch-keys=?").trim(), obeyed.to_string(), "round {round}");
        running.kill();
    }
}
