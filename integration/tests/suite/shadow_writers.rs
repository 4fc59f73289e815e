//! Only the run writes its shadow. What another session writes there after the proof never gets
//! into the new table: on MySQL and MariaDB the log tells of it, and the table is copied again.

use altergeist_integration::altergeist_process::{Running, command, run, start, widening};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::Table;

const ROWS: u64 = 500;
const JOB: &str = "DELETE FROM _orders_ag_shadow WHERE id <= 70";

fn postponed(url: &str, alter: &str) -> Running {
    let mut running = start(url, "orders", alter, &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    running
}

fn count(server: &Server, table: &str) -> u64 {
    let rows = server.query(DATABASE, &format!("SELECT COUNT(*) FROM {table}")).unwrap();
    rows[0][0].as_deref().unwrap().parse().unwrap()
}

/// Right before the order to swap, so that only the look under the lock can see it, and a while
/// before; and the shadow is emptied.
fn a_row_that_a_job_takes_out_of_the_shadow_is_not_lost(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", ROWS).unwrap();
    let mut running = postponed(&url, widening(flavour));
    server.execute(DATABASE, "UPDATE orders SET k = k + 1").unwrap();
    server.execute(DATABASE, JOB).unwrap();
    running.ask("cut-over");
    running.wait().must_be(0).must_say(&["another session wrote 7 rows", "copies the table again"]);
    assert_eq!(count(&server, "orders"), ROWS);

    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
    let mut running = postponed(&url, "DROP COLUMN note");
    server.execute(DATABASE, JOB).unwrap();
    running.wait_until(|status| {
        status["last_error"].as_str().is_some_and(|error| error.contains("another session"))
    });
    running.wait_until(|status| status["phase"] == "waiting");
    running.ask("cut-over");
    running.wait().must_be(0);
    assert_eq!(count(&server, "orders"), ROWS);

    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
    let running = postponed(&url, widening(flavour));
    server.execute(DATABASE, "TRUNCATE _orders_ag_shadow").unwrap();
    running.wait().must_be(1).must_say(&["_orders_ag_shadow", "TRUNCATE", "altergeist cleanup"]);
    assert_eq!(count(&server, "orders"), ROWS);
}

/// The log that a resumed run reads holds rows that the killed one wrote. They are no alarm.
fn rows_of_a_resumed_run_are_its_own(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", ROWS).unwrap();
    let running = postponed(&url, widening(flavour));
    server.execute(DATABASE, "UPDATE orders SET k = k + 1").unwrap();
    running.kill();
    server.execute(DATABASE, "UPDATE orders SET k = k + 1 WHERE id > 100").unwrap();
    let ended = run(&url, "orders", widening(flavour), &["--strategy", "copy"]).must_be(0);
    assert!(!ended.output.contains("copies the table again"), "it said:\n{}", ended.output);
}

macro_rules! both {
    ($($sentence:ident),* $(,)?) => {
        $(mod $sentence {
            use altergeist_integration::servers::Flavour;

            #[test]
            fn mysql() {
                super::$sentence(Flavour::MySql97);
            }

            #[test]
            fn mariadb() {
                super::$sentence(Flavour::MariaDb1011);
            }
        })*
    };
}

both!(a_row_that_a_job_takes_out_of_the_shadow_is_not_lost, rows_of_a_resumed_run_are_its_own);
