//! The ways into PostgreSQL: every form of URL its own clients take, and what is said of one that
//! cannot be read or used.

use altergeist_integration::altergeist_process::{Ended, command, run};
use altergeist_integration::servers::{DATABASE, Flavour, Server};

fn plan(url: &str) -> Ended {
    command(&["plan", "--url", url, "--table", "t", "--alter", "ALTER COLUMN n TYPE bigint"])
}

#[test]
fn every_form_of_url_that_the_servers_own_clients_take_is_a_way_in() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else { return };
    let tables = "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1); CREATE SCHEMA other;
                  CREATE TABLE other.only_here (id int PRIMARY KEY, n int); CREATE ROLE me LOGIN PASSWORD 'secret'";
    server.execute(DATABASE, tables).unwrap();
    let port = server.port();
    let address = format!("postgres://postgres@127.0.0.1:{port}/{DATABASE}");
    let folder = server.socket_dir().display().to_string();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [
        format!("{address}?application_name=mine&connect_timeout=5&keepalives=1"),
        format!("{address}?target_session_attrs=read-write&options=-c%20geqo%3Doff"),
        format!(
            "postgresql://postgres@127.0.0.1:{closed},127.0.0.1:{port}/{DATABASE}\
             ?target_session_attrs=primary"
        ),
        format!("host=127.0.0.1 port={port} user=postgres dbname='{DATABASE}' connect_timeout=3"),
        format!("host={folder} port={port} user=postgres dbname={DATABASE}"),
        format!("postgres://postgres@/{DATABASE}?host={folder}&port={port}"),
    ] {
        plan(&url).must_be(0);
    }
    run(
        &format!("host=127.0.0.1,127.0.0.1 port={closed},{port} user=postgres dbname={DATABASE}"),
        "t",
        "ALTER COLUMN n TYPE bigint",
        &["--strategy", "copy"],
    )
    .must_be(0);
    // What the options set is the session's own, as a role's settings are.
    let alter = ["--alter", "ALTER COLUMN n TYPE bigint"];
    let with_path = format!("{address}?options=-c%20search_path%3Dother");
    command(&[&["plan", "--url", &with_path, "--table", "only_here"], &alter[..]].concat())
        .must_be(0);
    command(&[&["plan", "--url", &address, "--table", "only_here"], &alter[..]].concat())
        .must_be(3);

    plan(&format!("{address}?target_session_attrs=standby"))
        .must_be(1)
        .must_say(&["target_session_attrs"]);
    for unreadable in [
        "postgres://postgres@127.0.0.1/db?nonsense=1",
        "postgres://postgres@127.0.0.1:port/db",
        "host=127.0.0.1 nonsense=1",
        "postgres://u@h/db?target_session_attrs=best",
        "postgres://u@h/db?service=no-such-service",
        "nothing at all",
    ] {
        plan(unreadable).must_be(2);
    }
    plan(&format!("postgres://postgres@127.0.0.1:{port}/no_such_database"))
        .must_be(1)
        .must_say(&["no_such_database"]);
    plan(&format!("postgres://nobody@127.0.0.1:{port}/{DATABASE}"))
        .must_be(1)
        .must_say(&["nobody"]);
}

#[test]
fn a_key_of_bytes_in_a_database_without_an_encoding_is_followed() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else { return };
    let make =
        "CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    server.execute("postgres", make).unwrap();
    let bytes = "convert_from('\\xff'::bytea, 'SQL_ASCII')";
    let table = format!(
        "CREATE TABLE t (k text PRIMARY KEY, n int); INSERT INTO t SELECT {bytes} || i, i FROM \
         generate_series(1, 200) i"
    );
    server.execute("raw", &table).unwrap();
    for more in [&["--strategy", "copy"][..], &["--strategy", "copy", "--capture", "poll"]] {
        let kind = if more.len() == 2 { "bigint" } else { "numeric" };
        let mut change = altergeist_integration::altergeist_process::start(
            &server.url("raw"),
            "t",
            &format!("ALTER COLUMN n TYPE {kind}"),
            &[more, &["--postpone-cut-over"]].concat(),
        );
        change.wait_until(|status| status["phase"] == "waiting");
        server.execute("raw", "UPDATE t SET n = n + 1 WHERE n % 10 = 5").unwrap();
        server.execute("raw", &format!("INSERT INTO t SELECT {bytes} || 'new{kind}', 1")).unwrap();
        change.ask("cut-over");
        change.wait().must_be(0);
        command(&["cleanup", "--url", &server.url("raw"), "--table", "t", "--drop-old"]).must_be(0);
    }
}

#[test]
fn a_role_that_is_set_for_the_session_and_may_not_end_its_sessions_is_refused() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else { return };
    let roles = format!(
        "CREATE ROLE owners; CREATE ROLE me LOGIN REPLICATION IN ROLE owners; ALTER ROLE me SET role = 'owners';
         GRANT CREATE ON DATABASE {DATABASE} TO owners; GRANT CREATE ON SCHEMA public TO owners;
         CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1); ALTER TABLE t OWNER TO owners"
    );
    server.execute(DATABASE, &roles).unwrap();
    let url = format!("postgres://me@127.0.0.1:{}/{DATABASE}", server.port());
    let copy = ["--strategy", "copy"];
    run(&url, "t", "ALTER COLUMN n TYPE bigint", &copy)
        .must_be(3)
        .must_say(&["setting role", "ALTER ROLE me RESET role"]);
    server.execute(DATABASE, "ALTER ROLE me RESET role").unwrap();
    run(&url, "t", "ALTER COLUMN n TYPE bigint", &copy).must_be(0);
}
