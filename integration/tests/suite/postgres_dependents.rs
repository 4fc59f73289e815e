//! What hangs on a PostgreSQL table and cannot be carried is found by the plan, and what fails
//! after the swap is only spoken of.

use altergeist_integration::altergeist_process::{command, run};
use altergeist_integration::every_postgres;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};

every_postgres!(
    a_temporary_object_is_named_with_its_session,
    a_view_that_cannot_be_refreshed_is_named_and_the_change_is_done,
    a_table_without_a_key_is_told_the_statement_that_helps,
);

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, n int);
    INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 300) AS i";

fn a_temporary_object_is_named_with_its_session(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, TABLE).unwrap();
    let url = server.url(DATABASE);
    block_on(async {
        let mut session = Session::connect(&url).await.unwrap();
        session.rows("CREATE TEMP VIEW tv AS SELECT id, v FROM t").await.unwrap();
        let alter = "ADD COLUMN w int DEFAULT 1";
        let words = ["plan", "--url", &url, "--table", "t", "--alter", alter, "--strategy", "copy"];
        command(&words).must_be(0).must_say(&["temporary view", ".tv", "--kill-blockers"]);
        let more = ["--strategy", "copy", "--lock-attempts", "2"];
        run(&url, "t", alter, &more).must_be(7).must_say(&["in the way", "temporary view", ".tv"]);
        session.rows("DROP VIEW tv").await.unwrap();
        session.rows("CREATE TEMP TABLE tt (x t)").await.unwrap();
        command(&words).must_be(0).must_say(&["temporary table", ".tt", "--kill-blockers"]);
        run(&url, "t", alter, &more).must_be(7).must_say(&["in the way", "temporary table", ".tt"]);
        session.rows("DROP TABLE tt").await.unwrap();
        run(&url, "t", alter, &more).must_be(0);
    });
}

fn a_view_that_cannot_be_refreshed_is_named_and_the_change_is_done(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, TABLE).unwrap();
    let view = "CREATE SEQUENCE s;
        CREATE FUNCTION tired() RETURNS int LANGUAGE plpgsql AS
            'BEGIN IF nextval(''public.s'') > 600 THEN RAISE ''no more''; END IF; RETURN 1; END';
        CREATE MATERIALIZED VIEW mv AS SELECT id, tired() AS q FROM t;
        CREATE UNIQUE INDEX ON mv (id)";
    server.execute(DATABASE, view).unwrap();
    let url = server.url(DATABASE);
    let change = || run(&url, "t", "ALTER COLUMN n TYPE bigint", &["--strategy", "copy"]);
    change().must_be(0).must_say(&["REFRESH MATERIALIZED VIEW CONCURRENTLY public.mv"]);
    change().must_be(0);
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^ag_shadow_'";
    assert_eq!(server.query(DATABASE, left).unwrap(), [[Some("0".to_owned())]]);
}

fn a_table_without_a_key_is_told_the_statement_that_helps(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let tables = "CREATE TABLE bare (v text); INSERT INTO bare VALUES ('a'), ('a');
        CREATE TABLE nullable (a int UNIQUE, v int); INSERT INTO nullable VALUES (1, 1), (2, 2);
        CREATE TABLE late (a int NOT NULL UNIQUE DEFERRABLE, v int)";
    server.execute(DATABASE, tables).unwrap();
    let url = server.url(DATABASE);
    let change = |table: &str, alter: &str| run(&url, table, alter, &["--strategy", "copy"]);
    let offer = "ALTER TABLE public.bare ADD COLUMN altergeist_id bigint GENERATED ALWAYS AS \
                 IDENTITY PRIMARY KEY";
    change("bare", "ADD COLUMN w int").must_be(3).must_say(&[offer]);
    change("late", "ADD COLUMN w int")
        .must_be(3)
        .must_say(&["CREATE UNIQUE INDEX CONCURRENTLY ON public.late (a)"]);
    let widened = "ALTER COLUMN v TYPE bigint";
    change("nullable", widened).must_be(3).must_say(&["--alter 'ALTER COLUMN a SET NOT NULL'"]);
    run(&url, "nullable", "ALTER COLUMN a SET NOT NULL", &[]).must_be(0);
    change("nullable", widened).must_be(0);
    server.execute(DATABASE, offer).unwrap();
    change("bare", "ADD COLUMN w int").must_be(0);
}
