//! What scripts rely on: runs in the background, turns on a server, and comparisons of two tables.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use altergeist_integration::altergeist_process::{binary, command, widening};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::Table;

every_server!(
    a_detached_run_is_waited_for_and_has_the_turn_on_its_server,
    two_tables_are_compared_exactly,
);

/// The binary with folders of its own for sockets and logs.
fn altergeist(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(words).env("XDG_RUNTIME_DIR", folder).env("XDG_STATE_HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn must_be(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (results, words) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{results}\nstderr:\n{words}");
    (results, words)
}

fn a_detached_run_is_waited_for_and_has_the_turn_on_its_server(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "one", 500).unwrap();
    Table::load(&url, "two", 500).unwrap();
    Table::load(&url, "three", 500).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let say = |words: &[&str]| altergeist(folder.path(), words).output().unwrap();
    let alter = widening(flavour);
    let change = |table: &'static str| ["--url", &url, "--table", table, "--alter", alter];
    let table = |name: &'static str| ["--url", &url, "--table", name];

    let run = [&["run", "--detach", "--one-per-server", "--postpone-cut-over"], &change("one")[..]];
    let (name, words) = must_be(&say(&run.concat()), 0);
    assert_eq!(name.lines().count(), 1, "only the run's name: {name}");
    assert!(words.contains("altergeist wait --url") && words.contains(".log"), "{words}");
    let wait = [&["wait"], &table("one")[..]].concat();
    let (_, words) = must_be(&say(&[&wait[..], &["--timeout", "1s"]].concat()), 6);
    assert!(words.contains("another run holds"), "{words}");

    let other = [&["run", "--one-per-server"], &change("two")[..]].concat();
    let (_, words) = must_be(&say(&other), 6);
    assert!(words.contains("the turn on the server"), "{words}");
    let queued = [&other[..], &["--wait-turn", "60s"]].concat();
    let queued = altergeist(folder.path(), &queued).spawn().unwrap();
    must_be(&say(&["ctl", "cut-over"]), 0);
    let (results, _) = must_be(&say(&wait), 0);
    assert_eq!(results, "", "results are for machines");
    must_be(&queued.wait_with_output().unwrap(), 0);

    // The exit code of a run that ended long ago.
    let rebuild = ["--alter", "", "--strategy", "copy", "--postpone-cut-over", "--deadline", "2s"];
    let run = [&["run", "--detach"], &table("three")[..], &rebuild].concat();
    must_be(&say(&run), 0);
    must_be(&say(&[&["wait"], &table("three")[..]].concat()), 5);
}

fn two_tables_are_compared_exactly(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let rows = match flavour.is_postgres() {
        true => "generate_series(1, 3000) AS s(i)",
        false => {
            "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 3000) \
                  SELECT i FROM s) AS s"
        }
    };
    if !flavour.is_postgres() {
        // The sequence is longer than the servers' default.
        let depth = if flavour == Flavour::MySql97 {
            "cte_max_recursion_depth"
        } else {
            "max_recursive_iterations"
        };
        server.execute("", &format!("SET GLOBAL {depth} = 5000")).unwrap();
    }
    let columns = "(region int NOT NULL, id int NOT NULL, word varchar(40), PRIMARY KEY (region, \
                   id))";
    for sql in [
        format!("CREATE TABLE a {columns}"),
        format!("INSERT INTO a SELECT i % 7, i, concat('hush', i) FROM {rows}"),
        format!("CREATE TABLE b {columns}"),
        "INSERT INTO b SELECT * FROM a".into(),
        "CREATE TABLE wider (region int, id int PRIMARY KEY, word varchar(40), more int)".into(),
        "CREATE TABLE keyless (region int, id int, word varchar(40))".into(),
    ] {
        server.execute(DATABASE, &sql).unwrap_or_else(|failure| panic!("{sql}: {failure}"));
    }
    let verify = |one, other, more: &[&str]| {
        let words = ["verify", "--url", &url, "--table", one, "--with", other];
        command(&[&words[..], more].concat())
    };
    verify("a", "b", &[]).must_be(0).must_say(&["equal", "3,000 rows", "region, id"]);
    for sql in [
        // As the server compares texts, or pads them, these might be the same.
        "UPDATE b SET word = concat(upper(word), '') WHERE id = 10",
        "UPDATE b SET word = concat(word, ' ') WHERE id = 20",
        "UPDATE b SET word = NULL WHERE id = 30",
        "UPDATE a SET word = '' WHERE id = 30",
        "DELETE FROM b WHERE id = 2000",
        "INSERT INTO b VALUES (3, 9000, 'hush')",
    ] {
        server.execute(DATABASE, sql).unwrap();
    }
    let ended = verify("a", "b", &[]).must_be(4).must_say(&["differ in 5 rows", "rows "]);
    assert!(!ended.output.contains("hush"), "{}", ended.output);
    let ended = verify("b", "a", &["--json"]).must_be(4);
    let found: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!((&found["differing"], &found["equal"]), (&5.into(), &false.into()), "{found}");
    verify("a", "wider", &[]).must_be(3).must_say(&["wider has the columns more"]);
    verify("a", "keyless", &[]).must_be(3).must_say(&["no common key", "region, id"]);
    verify("a", "nowhere", &[]).must_be(3).must_say(&["nowhere"]);
    verify("a", "a", &[]).must_be(3).must_say(&["same table"]);
}
