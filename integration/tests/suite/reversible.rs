//! A change that can be undone after the swap, as its user sees it.

use altergeist_integration::altergeist_process::{
    Running, command, inventory, left_behind, must_become, old_table, run, start, structure,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

every_server!(
    a_change_is_undone_and_every_row_written_since_stays,
    a_killed_reversible_run_is_undone_continued_or_finished,
);

const ROWS: u32 = 300;

fn clauses(flavour: Flavour) -> &'static str {
    match flavour.is_postgres() {
        true => {
            "DROP COLUMN note, ALTER COLUMN amount TYPE bigint, RENAME COLUMN name TO full_name, \
             ADD COLUMN extra int DEFAULT 7"
        }
        false => {
            "DROP COLUMN note, MODIFY amount bigint, RENAME COLUMN name TO full_name, \
             ADD COLUMN extra int DEFAULT 7"
        }
    }
}

/// The clauses are several statements on PostgreSQL, where a rename stands alone.
fn change(flavour: Flavour) -> &'static str {
    match flavour.is_postgres() {
        true => "DROP COLUMN note, ALTER COLUMN amount TYPE bigint, ADD COLUMN extra int DEFAULT 7",
        false => clauses(flavour),
    }
}

fn name_column(flavour: Flavour) -> &'static str {
    if flavour.is_postgres() { "name" } else { "full_name" }
}

fn table_of_people(server: &Server) {
    let numbers: Vec<String> =
        (1..=ROWS).map(|n| format!("({n}, 'mail{n}', {n}, 'note {n}', 'name {n}')")).collect();
    for statement in [
        "CREATE TABLE people (id int PRIMARY KEY, mail varchar(40) NOT NULL UNIQUE, amount int, \
         note varchar(40) DEFAULT 'none', name varchar(40))"
            .to_owned(),
        format!("INSERT INTO people VALUES {}", numbers.join(", ")),
    ] {
        server.execute(DATABASE, &statement).expect("the table can be made");
    }
}

fn execute(server: &Server, statements: &[&str]) {
    for statement in statements {
        server.execute(DATABASE, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

fn rows(server: &Server, columns: &str) -> Vec<Vec<Option<String>>> {
    server
        .query(DATABASE, &format!("SELECT {columns} FROM people ORDER BY id"))
        .expect("the table can be read")
}

fn become_reversible(running: &mut Running) {
    running.wait_until(|status| status["phase"] == "reversible");
}

fn misfits(running: &mut Running) -> u64 {
    let status = running.status();
    let found = status["not_revertible"].as_array().expect("a list");
    found.iter().map(|found| found["rows"].as_u64().expect("a number")).sum()
}

fn revert(url: &str, more: &[&str]) -> altergeist_integration::altergeist_process::Ended {
    let words = ["revert", "--url", url, "--table", "people", "--progress", "plain"];
    command(&[&words, more].concat())
}

fn a_change_is_undone_and_every_row_written_since_stays(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    table_of_people(&server);
    let was = structure(&server, "people");
    let before = rows(&server, "id, note");
    let mut running = start(&url, "people", change(flavour), &["--reversible", "30m"]);
    become_reversible(&mut running);
    execute(
        &server,
        &[
            // Two rows exchange a unique value, in one transaction of one statement each.
            "UPDATE people SET mail = 'between' WHERE id = 1",
            "UPDATE people SET mail = 'mail1' WHERE id = 2",
            "UPDATE people SET mail = 'mail2' WHERE id = 1",
            "DELETE FROM people WHERE id = 3",
            "UPDATE people SET amount = 4000 WHERE id = 4",
            "UPDATE people SET id = 1005 WHERE id = 5",
            "INSERT INTO people (id, mail, amount) VALUES (2000, 'new', 1)",
            "INSERT INTO people (id, mail, amount) VALUES (2001, 'great', 5000000000)",
            "UPDATE people SET amount = 5000000000 WHERE id = 6",
        ],
    );
    must_become("two rows cannot go back", || misfits(&mut running) == 2);
    revert(&url, &[]).must_be(3).must_say(&["cannot hold rows", "2 (2: column amount)"]);
    running.wait_until(|status| status["phase"] == "reversible");
    execute(
        &server,
        &["DELETE FROM people WHERE id = 2001", "UPDATE people SET amount = 6 WHERE id = 6"],
    );
    must_become("all rows can go back", || misfits(&mut running) == 0);
    let name = name_column(flavour);
    let now = rows(&server, &format!("id, mail, amount, {name}"));
    revert(&url, &[]).must_be(0).must_say(&["reverted", "every row that was written since"]);
    running.wait().must_be(10).must_say(&["reverted"]);
    assert_eq!(rows(&server, "id, mail, amount, name"), now);
    for row in rows(&server, "id, note") {
        let id = row[0].clone();
        let known = before.iter().find(|known| known[0] == id);
        match id.as_deref() {
            Some("2000") => assert_eq!(row[1].as_deref(), Some("none"), "a new row's default"),
            Some("1005") => {}
            _ => assert_eq!(Some(&row), known, "what only the old table has is kept"),
        }
    }
    assert_eq!(structure(&server, "people"), was);
    // The change can be made again, and this time for good.
    revert(&url, &[]).must_be(0).must_say(&["already reverted at", "nothing was done"]);
    run(&url, "people", change(flavour), &[]).must_be(0).must_say(&["done."]);
    assert_eq!(rows(&server, &format!("id, mail, amount, {name}")), now);
    revert(&url, &[]).must_be(3).must_say(&["without --reversible"]);
}

fn a_killed_reversible_run_is_undone_continued_or_finished(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    table_of_people(&server);
    let begin = || start(&url, "people", change(flavour), &["--reversible", "30m"]);
    let mut running = begin();
    become_reversible(&mut running);
    running.kill();
    execute(&server, &["UPDATE people SET amount = 70 WHERE id = 7"]);
    // The same command goes on, and so does the command to revert, after another kill.
    let mut running = begin();
    become_reversible(&mut running);
    execute(&server, &["UPDATE people SET amount = 80 WHERE id = 8"]);
    running.kill();
    execute(&server, &["DELETE FROM people WHERE id = 9"]);
    let name = name_column(flavour);
    let now = rows(&server, &format!("id, mail, amount, {name}"));
    revert(&url, &[]).must_be(0).must_say(&["reverted"]);
    assert_eq!(rows(&server, "id, mail, amount, name"), now);
    cleaned_in_each_state(&server, &url, begin);
    // The operator ends the phase; and rows that do not fit are given up by order only.
    let mut running = begin();
    become_reversible(&mut running);
    execute(&server, &["UPDATE people SET amount = 5000000000 WHERE id = 10"]);
    must_become("one row cannot go back", || misfits(&mut running) == 1);
    running.kill();
    revert(&url, &[]).must_be(3).must_say(&["cannot hold rows", "1 (1: column amount)"]);
    revert(&url, &["--discard-unrevertible"]).must_be(0).must_say(&["last changes of 1 row that"]);
    let amount = "SELECT amount FROM people WHERE id = 10";
    let found = server.query(DATABASE, amount).expect("the row is there");
    assert_eq!(found, [[Some("10".to_owned())]], "its last version that fitted");
    let mut running = begin();
    become_reversible(&mut running);
    running.ask("finish");
    running.wait().must_be(0).must_say(&["done"]);
    run(&url, "people", change(flavour), &[]).must_be(0).must_say(&["already done"]);
}

/// A cleanup after the revert, beside a living run, and after one that died.
fn cleaned_in_each_state(server: &Server, url: &str, begin: impl Fn() -> Running) {
    let cleanup =
        |more: &[&str]| command(&[&["cleanup", "--url", url, "--table", "people"], more].concat());
    cleanup(&[]).must_be(0).must_say(&["kept    altered table", "kept    journal entry"]);
    revert(url, &[]).must_be(0).must_say(&["already reverted"]);
    cleanup(&["--drop-old"]).must_be(0).must_say(&["dropped altered table"]);
    revert(url, &[]).must_be(3).must_say(&["knows no change of this table"]);
    let there = inventory(server);

    let mut running = begin();
    become_reversible(&mut running);
    cleanup(&[]).must_be(6).must_say(&["another run holds"]);
    cleanup(&["--list"]).must_be(0).must_say(&["found   way back of", "kept    old table"]);
    become_reversible(&mut running);
    running.kill();
    let amount = "SELECT amount FROM people WHERE id = 12";
    execute(server, &["UPDATE people SET amount = 12000 WHERE id = 12"]);
    cleanup(&[]).must_be(0).must_say(&["dropped way back of", "kept    old table"]);
    assert_eq!(left_behind(&there, &inventory(server)), old_table(server.flavour(), "people"));
    revert(url, &[]).must_be(3).must_say(&["the change is done"]);
    begin().wait().must_be(0).must_say(&["already done"]);
    cleanup(&["--drop-old"]).must_be(0).must_say(&["dropped old table"]);
    assert_eq!(left_behind(&there, &inventory(server)), Vec::<String>::new());
    let found = server.query(DATABASE, amount).expect("the row is there");
    assert_eq!(found, [[Some("12000".to_owned())]]);
    // The table as it was before the change: the next part makes the change once more.
    let back = match server.flavour().is_postgres() {
        true => {
            "ALTER TABLE people ADD note varchar(40) DEFAULT 'none', DROP extra, ALTER amount \
                 TYPE int"
        }
        false => {
            "ALTER TABLE people ADD note varchar(40) DEFAULT 'none', DROP extra, MODIFY \
                  amount int, RENAME COLUMN full_name TO name"
        }
    };
    execute(server, &[back]);
}
