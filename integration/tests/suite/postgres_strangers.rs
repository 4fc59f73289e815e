//! On PostgreSQL whoever may make a schema can make one under a name of this tool's first. Nothing
//! that is there is used before it is known to be ours. And what is ours is found, when somebody
//! has dropped the journal.

use std::thread;

use altergeist_integration::altergeist_process::{command, run, start};
use altergeist_integration::every_postgres;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

every_postgres!(
    what_bears_our_names_and_is_not_ours_is_refused_by_name,
    a_superuser_takes_away_what_an_owner_has_begun_and_runs_nothing_of_it,
    a_dropped_journal_leaves_nothing_that_cannot_be_cleaned_up,
    runs_that_begin_at_once_make_their_schemas_once,
);

const JOURNAL: &str = include_str!("../../../adapters/postgres/src/sql/journal.sql");
const MARKED: &str = "'made by altergeist; see altergeist.journal before touching it'";
const ALTER: &str = "ALTER COLUMN n TYPE bigint";
const COPY: &[&str] = &["--strategy", "copy"];
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL);
                     INSERT INTO t SELECT n, n FROM generate_series(1, 300) n";

fn fresh(server: &Server) {
    server.execute("postgres", &format!("DROP DATABASE {DATABASE} WITH (FORCE)")).unwrap();
    server.execute("postgres", &format!("CREATE DATABASE {DATABASE}")).unwrap();
    server.execute(DATABASE, TABLE).unwrap();
}

fn what_bears_our_names_and_is_not_ours_is_refused_by_name(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, "CREATE ROLE evil").unwrap();
    let code = "CREATE FUNCTION altergeist.f() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN ALTER ROLE evil SUPERUSER; RETURN NEW; END';
                CREATE FUNCTION altergeist.g() RETURNS text LANGUAGE plpgsql AS
                'BEGIN ALTER ROLE evil SUPERUSER; RETURN NULL; END';";
    let planted = |what: &str| format!("CREATE SCHEMA altergeist; {JOURNAL}; {code} {what}");
    let schema = |name: &str, more: &str| {
        format!("CREATE SCHEMA {name}; COMMENT ON SCHEMA {name} IS {MARKED}; {more}")
    };
    let plants = [
        (planted(""), "belongs to role evil"),
        (
            planted(
                "CREATE TRIGGER x BEFORE INSERT ON altergeist.journal FOR EACH ROW EXECUTE \
                 FUNCTION altergeist.f()",
            ),
            "trigger x",
        ),
        (
            planted(
                "CREATE TRIGGER x AFTER UPDATE ON altergeist.heartbeat EXECUTE FUNCTION \
                 altergeist.f()",
            ),
            "trigger x",
        ),
        (
            planted(
                "CREATE RULE x AS ON INSERT TO altergeist.journal DO ALSO SELECT altergeist.g()",
            ),
            "rule x",
        ),
        (
            planted("CREATE POLICY x ON altergeist.journal USING (altergeist.g() IS NULL)"),
            "policy x",
        ),
        (planted("ALTER TABLE altergeist.journal ADD x text DEFAULT altergeist.g()"), "column x"),
        (
            planted("ALTER TABLE altergeist.heartbeat ADD CHECK (altergeist.g() IS NULL)"),
            "constraint",
        ),
        (planted("CREATE TABLE altergeist.x () INHERITS (altergeist.journal)"), "inherits"),
        (
            planted(
                "ALTER TABLE altergeist.journal RENAME TO j; CREATE VIEW altergeist.journal AS \
                 SELECT j.*, altergeist.g() FROM altergeist.j",
            ),
            "not an ordinary table",
        ),
        (schema("ag_shadow_public", ""), "schema ag_shadow_public: it belongs to role evil"),
        (
            schema("ag_old_public", "CREATE TABLE ag_old_public.t ()"),
            "schema ag_old_public: it belongs to role evil",
        ),
    ];
    for (plant, word) in &plants {
        fresh(&server);
        server
            .execute(
                DATABASE,
                &format!("GRANT CREATE ON DATABASE {DATABASE} TO evil; SET ROLE evil; {plant}"),
            )
            .unwrap();
        let url = server.url(DATABASE);
        run(&url, "t", ALTER, COPY).must_be(3).must_say(&[word]);
        command(&["plan", "--url", &url, "--table", "t", "--alter", ALTER, "--strategy", "copy"])
            .must_be(3)
            .must_say(&[word]);
        let is_super = server
            .query(DATABASE, "SELECT rolsuper::text FROM pg_roles WHERE rolname = 'evil'")
            .unwrap();
        assert_eq!(is_super[0][0].as_deref(), Some("false"), "{plant}");
    }
    // What others may write they may write statements into.
    fresh(&server);
    let url = server.url(DATABASE);
    run(&url, "t", ALTER, COPY).must_be(0);
    command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
    server.execute(DATABASE, "GRANT UPDATE ON altergeist.journal TO evil").unwrap();
    let narrow = "ALTER COLUMN n TYPE numeric";
    run(&url, "t", narrow, COPY)
        .must_be(3)
        .must_say(&["evil may write it", "REVOKE ALL ON altergeist.journal FROM evil"]);
    server.execute(DATABASE, "REVOKE ALL ON altergeist.journal FROM evil").unwrap();
    run(&url, "t", narrow, COPY).must_be(0);
}

fn a_superuser_takes_away_what_an_owner_has_begun_and_runs_nothing_of_it(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let own = format!(
        "CREATE ROLE owner LOGIN REPLICATION; GRANT CREATE ON DATABASE {DATABASE} TO owner; {TABLE};
         ALTER TABLE t OWNER TO owner; GRANT CREATE ON SCHEMA public TO owner;
         ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON TABLES TO PUBLIC"
    );
    server.execute(DATABASE, &own).unwrap();
    let url = server.url(DATABASE);
    let owners = url.replace("postgres://postgres@", "postgres://owner@");
    run(&owners, "t", ALTER, COPY).must_be(0);
    command(&["status", "--url", &url, "--table", "t"]).must_be(0).must_say(&["done"]);
    let again = "ALTER COLUMN n TYPE numeric";
    run(&url, "t", again, COPY)
        .must_be(3)
        .must_say(&["it belongs to role owner", "ALTER SCHEMA altergeist OWNER TO postgres"]);
    command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
    let left = server
        .query(DATABASE, "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'ag\\_%'")
        .unwrap();
    assert!(left.is_empty(), "{left:?}");
    run(&owners, "t", again, COPY).must_be(0);
}

fn what_is_left(server: &Server) -> Vec<String> {
    let query =
        "SELECT 'slot' FROM pg_replication_slots UNION ALL SELECT pubname::text FROM pg_publication
                 UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'ag\\_%'";
    let rows = server.query(DATABASE, query).unwrap();
    rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect()
}

fn a_dropped_journal_leaves_nothing_that_cannot_be_cleaned_up(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, TABLE).unwrap();
    let url = server.url(DATABASE);
    let clean_up = || command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
    let postponed = ["--strategy", "copy", "--postpone-cut-over"];
    let drop = "DROP SCHEMA altergeist CASCADE";

    let mut killed = start(&url, "t", ALTER, &postponed);
    killed.wait_until(|status| status["phase"] == "waiting");
    killed.kill();
    server.execute(DATABASE, drop).unwrap();
    clean_up().must_say(&["shadow table", "replication slot", "publication"]);
    assert_eq!(what_is_left(&server), Vec::<String>::new());

    let mut running = start(&url, "t", ALTER, &postponed);
    running.wait_until(|status| status["phase"] == "waiting");
    server.execute(DATABASE, drop).unwrap();
    running.ask("cut-over");
    // What was copied proves nothing without the journal: the run copies again, and ends well.
    running.wait().must_be(0);
    clean_up();
    assert_eq!(what_is_left(&server), Vec::<String>::new());

    run(&url, "t", ALTER, COPY).must_be(0);
    server.execute(DATABASE, drop).unwrap();
    clean_up().must_say(&["old table"]);
    assert_eq!(what_is_left(&server), Vec::<String>::new());
    let rows = server.query(DATABASE, "SELECT count(*)::text FROM t").unwrap();
    assert_eq!(rows[0][0].as_deref(), Some("300"));
}

fn runs_that_begin_at_once_make_their_schemas_once(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    for table in ["a", "b", "c"] {
        server
            .execute(DATABASE, &format!("CREATE TABLE {table} (id int PRIMARY KEY, n int)"))
            .unwrap();
    }
    let url = server.url(DATABASE);
    thread::scope(|scope| {
        for table in ["a", "b", "c"] {
            let url = &url;
            scope.spawn(move || run(url, table, ALTER, COPY).must_be(0));
        }
    });
}
