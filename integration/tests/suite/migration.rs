//! The whole of a change: the table is altered, the application has noticed nothing, and every
//! row is what it must be.

use std::collections::BTreeSet;
use std::time::Duration;

use altergeist_integration::altergeist_process::{
    command, inventory, left_behind, old_name, old_table, run, structure, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{COLUMNS, Mix, Table, Writers, differences};

every_server!(
    a_table_is_altered_under_every_kind_of_write,
    a_finished_change_is_found_done_and_the_next_one_begins,
    an_empty_table_and_a_single_row_are_altered_too,
    a_unique_value_that_wanders_all_the_time_is_never_lost,
);

fn a_table_is_altered_under_every_kind_of_write(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 50_000).unwrap();
    let (was, there) = (structure(&server, "orders"), inventory(&server));

    let writers = Writers::start(&url, &table, 200, 4, 1, &Mix::everything());
    writers.wait_for(200, Duration::from_secs(30));
    let ended = run(&url, "orders", widening(flavour), &["--chunk-rows", "1000"]);
    writers.wait_for(200, Duration::from_secs(30));
    let report = writers.stop();

    let ended = ended.must_be(0);
    let first_error = report.errors().first().map(ToString::to_string);
    assert_eq!(
        first_error, None,
        "the application got an error; altergeist said:\n{}",
        ended.output
    );
    assert_eq!(report.broken_connections(), 0);
    report.prove(&url).unwrap();
    assert_eq!(structure(&server, "orders"), widened(&was, flavour));
    assert_eq!(left_behind(&there, &inventory(&server)), old_table(flavour, "orders"));
}

/// `was`, but with a wider `k` and the column `note`.
fn widened(was: &BTreeSet<String>, flavour: Flavour) -> BTreeSet<String> {
    let (narrow, wide, note) = match flavour.is_postgres() {
        true => ("column k integer NO", "column k bigint NO", "column note text NO"),
        false => ("column k int NO", "column k bigint NO", "column note varchar NO"),
    };
    let mut wanted: BTreeSet<String> = was.iter().filter(|line| *line != narrow).cloned().collect();
    wanted.extend([wide.to_owned(), note.to_owned()]);
    wanted
}

fn a_finished_change_is_found_done_and_the_next_one_begins(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 2_000).unwrap();
    run(&url, "orders", widening(flavour), &[]).must_be(0);
    let (done, there) = (structure(&server, "orders"), inventory(&server));
    assert_eq!(differences(&url, &old_name(flavour, "orders"), "orders", &COLUMNS).unwrap(), 0);

    run(&url, "orders", widening(flavour), &[]).must_be(0).must_say(&["already"]);
    assert_eq!(structure(&server, "orders"), done);
    assert_eq!(inventory(&server), there);

    // The old table is in the way of the next copy, also of one that the server could do itself.
    let next = "ADD COLUMN later int";
    run(&url, "orders", next, &["--strategy", "copy"]).must_be(3).must_say(&["earlier change"]);
    assert_eq!(inventory(&server), there);
    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
    run(&url, "orders", next, &["--strategy", "copy"]).must_be(0);
}

fn an_empty_table_and_a_single_row_are_altered_too(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    for (name, rows) in [("nothing", 0), ("single", 1)] {
        Table::load(&url, name, rows).unwrap();
        let was = structure(&server, name);
        run(&url, name, widening(flavour), &[]).must_be(0);
        assert_eq!(structure(&server, name), widened(&was, flavour), "{name}");
        let count = server.query(DATABASE, &format!("SELECT count(*) FROM {name}")).unwrap();
        assert_eq!(count, [[Some(rows.to_string())]], "{name}");
    }
}

fn a_unique_value_that_wanders_all_the_time_is_never_lost(flavour: Flavour) {
    use altergeist_integration::workload::Kind::{
        ChangeKey, MoveUnique, MoveUniqueInTwo, SwapUnique,
    };
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 3_000).unwrap();
    let mix = Mix::of(&[SwapUnique, MoveUnique, MoveUniqueInTwo, ChangeKey]);
    let writers = Writers::start(&url, &table, 300, 4, 7, &mix);
    writers.wait_for(100, Duration::from_secs(30));
    let ended = run(&url, "orders", widening(flavour), &["--chunk-rows", "20"]);
    let report = writers.stop();
    let ended = ended.must_be(0);
    let first_error = report.errors().first().map(ToString::to_string);
    assert_eq!(
        first_error, None,
        "the application got an error; altergeist said:\n{}",
        ended.output
    );
    report.prove(&url).unwrap();
}
