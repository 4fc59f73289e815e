//! The way back dies at each statement from its beginning on: the tool, the connection or the
//! server. The same command puts the table back, and no row is lost.

use std::time::Duration;

use altergeist_integration::altergeist_process::{
    Ended, command, inventory, left_behind, start, start_revert,
};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::statement_fault::{StatementFault, Then};
use altergeist_integration::workload::{Mix, Table, Writers};

/// With these words the run notes that it begins to swap back.
const BEGIN: &str = "'reverting'";

/// What dies at a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// The tool, before the statement arrives.
    Tool,
    /// The connection, before the statement arrives.
    Connection,
    /// The connection, before the answer arrives.
    Answer,
    /// The server, once the statement has arrived.
    Server,
}

const DEATHS: [Death; 4] = [Death::Answer, Death::Tool, Death::Server, Death::Connection];

#[test]
fn mysql_whatever_dies_at_any_statement_of_the_swap_back_every_row_is_there() {
    at_each_statement(Flavour::MySql97);
}

#[test]
fn mariadb_whatever_dies_at_any_statement_of_the_swap_back_every_row_is_there() {
    at_each_statement(Flavour::MariaDb1011);
}

fn at_each_statement(flavour: Flavour) {
    let Some(mut server) = Server::start(flavour, &[]) else { return };
    let first = std::env::var("ALTERGEIST_FIRST").ok().and_then(|nth| nth.parse().ok());
    let mut nth = first.unwrap_or(1);
    // Each statement meets another kind of death than its neighbours.
    while die_at(&mut server, nth, DEATHS[nth as usize % 4]) {
        nth += 1;
    }
    println!("{}: {} statements", flavour.name(), nth - 1);
    assert!(nth > 10, "the swap back has more statements than {nth}");
}

/// Whether there were so many statements.
fn die_at(server: &mut Server, nth: u32, death: Death) -> bool {
    let (flavour, direct) = (server.flavour(), server.url(DATABASE));
    let name = &format!("t{nth}");
    let child = &format!("of_{name}");
    let table = Table::load(&direct, name, 200).expect("the table can be made");
    for statement in [
        format!("ALTER TABLE {name} ADD COLUMN note varchar(40) DEFAULT 'none'"),
        format!("CREATE TRIGGER at_{name} BEFORE UPDATE ON {name} FOR EACH ROW SET NEW.note = 'x'"),
        format!("CREATE TABLE {child} (id bigint, FOREIGN KEY (id) REFERENCES {name} (id))"),
    ] {
        server.execute(DATABASE, &statement).expect("the objects can be made");
    }
    let (there, was) = (inventory(server), definitions(server, name, child));
    let running = &mut start(
        &direct,
        name,
        "MODIFY k bigint NOT NULL, ADD COLUMN extra int DEFAULT 7",
        &["--reversible", "30m"],
    );
    running.wait_until(|status| status["phase"] == "reversible");
    let writers = Writers::start(&direct, &table, 60, 2, u64::from(nth), &Mix::everything());
    let _ended = running.ask("panic");
    writers.wait_for(10, Duration::from_secs(60));

    let then = match death {
        Death::Tool => Then::Hold,
        Death::Connection => Then::Close,
        Death::Answer | Death::Server => Then::CloseBehind,
    };
    let fault = StatementFault::from(server.port(), BEGIN, nth, then);
    let mut reverting = start_revert(&url(flavour, fault.port(), DATABASE), name, &[]);
    let mut statement = None;
    while statement.is_none() && reverting.is_running() {
        statement = fault.wait(Duration::from_millis(50));
    }
    if statement.is_some() && death == Death::Server {
        server.kill();
        server.restart();
    }
    let Ended { code, output } = match death {
        Death::Tool if statement.is_some() => reverting.kill(),
        _ => reverting.wait(),
    };
    let again = command(&["revert", "--url", &direct, "--table", name, "--progress", "plain"]);
    writers.wait_for(10, Duration::from_secs(60));
    let report = writers.stop();

    let at = format!(
        "{}, {death:?} at {nth}: {:?}\n{code:?}: {output}\nagain: {}",
        flavour.name(),
        statement.as_deref().map(|words| words.chars().take(200).collect::<String>()),
        again.output
    );
    assert_eq!(again.code, Some(0), "{at}");
    report.prove(&direct).unwrap_or_else(|why| panic!("{why}\n{at}"));
    assert_eq!(definitions(server, name, child), was, "{at}");
    command(&["cleanup", "--url", &direct, "--table", name, "--drop-old"]).must_be(0);
    assert_eq!(left_behind(&there, &inventory(server)), Vec::<String>::new(), "{at}");
    for table in [child, name] {
        server.execute(DATABASE, &format!("DROP TABLE {table}")).expect("it can be dropped");
    }
    statement.is_some()
}

/// Both tables and the trigger, as the server defines them.
fn definitions(server: &Server, name: &str, child: &str) -> Vec<Vec<Option<String>>> {
    let trigger = format!(
        "SELECT EVENT_OBJECT_TABLE, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE \
         TRIGGER_NAME = 'at_{name}'"
    );
    [format!("SHOW CREATE TABLE {name}"), format!("SHOW CREATE TABLE {child}"), trigger]
        .iter()
        .flat_map(|query| server.query(DATABASE, query).expect("the catalogue can be read"))
        .collect()
}
