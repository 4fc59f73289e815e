//! The least a role must have on PostgreSQL: to own the table, to read the log, and to make schemas
//! and publications.

use altergeist_integration::altergeist_process::{command, run};
use altergeist_integration::servers::{DATABASE, Flavour, Server};

const SCHEMA: &str = "
    CREATE ROLE owner LOGIN;
    CREATE ROLE reader;
    CREATE SCHEMA shop AUTHORIZATION owner;
    GRANT USAGE ON SCHEMA shop TO reader;
    SET ROLE owner;
    CREATE TABLE shop.customers (id int PRIMARY KEY);
    INSERT INTO shop.customers SELECT generate_series(1, 20);
    CREATE TABLE shop.orders (
        id serial PRIMARY KEY,
        customer int NOT NULL REFERENCES shop.customers,
        k int NOT NULL
    );
    CREATE TABLE shop.items (id int PRIMARY KEY, order_id int REFERENCES shop.orders);
    CREATE VIEW shop.seen AS SELECT id, customer FROM shop.orders;
    GRANT SELECT ON shop.orders, shop.seen TO reader;
    INSERT INTO shop.orders (customer, k) SELECT 1 + n % 20, n FROM generate_series(1, 800) n;
    INSERT INTO shop.items SELECT n, n FROM generate_series(1, 800) n;
    RESET ROLE;";

fn owner_url(server: &Server) -> String {
    server.url(DATABASE).replace("postgres://postgres@", "postgres://owner@")
}

fn an_owner_who_may_read_the_log_and_make_schemas_is_enough(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, SCHEMA).unwrap();
    let url = owner_url(&server);
    let alter = "ALTER COLUMN k TYPE bigint";
    // What is missing is all said at once.
    let refused = |words: &[&str]| {
        command(&["plan", "--url", &url, "--table", "shop.orders", "--alter", alter])
            .must_be(3)
            .must_say(words);
        run(&url, "shop.orders", alter, &[]).must_be(3).must_say(words);
    };
    refused(&["GRANT CREATE ON DATABASE", "ALTER ROLE", "REPLICATION"]);
    server.execute(DATABASE, &format!("GRANT CREATE ON DATABASE {DATABASE} TO owner")).unwrap();
    refused(&["ALTER ROLE", "REPLICATION"]);
    server.execute(DATABASE, "ALTER ROLE owner REPLICATION").unwrap();

    let before = server.dump(DATABASE, &["ag_*", "altergeist"]);
    run(&url, "shop.orders", alter, &[]).must_be(0);
    let after = server.dump(DATABASE, &["ag_*", "altergeist"]);
    assert_eq!(after, before.replace("k integer NOT NULL", "k bigint NOT NULL"));
    command(&["cleanup", "--url", &url, "--table", "shop.orders", "--drop-old"]).must_be(0);

    // What is somebody else's and hangs on the table is named before anything happens.
    let others = "CREATE ROLE other; GRANT USAGE, CREATE ON SCHEMA shop TO other; GRANT SELECT ON shop.orders TO other;
                  SET ROLE other; CREATE VIEW shop.of_other AS SELECT id FROM shop.orders; RESET ROLE";
    server.execute(DATABASE, others).unwrap();
    run(&url, "shop.orders", "ALTER COLUMN k TYPE numeric", &[])
        .must_be(3)
        .must_say(&["shop.of_other"]);
}

#[test]
fn postgres15_an_owner_who_may_read_the_log_and_make_schemas_is_enough() {
    an_owner_who_may_read_the_log_and_make_schemas_is_enough(Flavour::Postgres15);
}

#[test]
fn postgres18_an_owner_who_may_read_the_log_and_make_schemas_is_enough() {
    an_owner_who_may_read_the_log_and_make_schemas_is_enough(Flavour::Postgres18);
}

/// The role that docs/privileges.md makes: a member of the owner, REPLICATION, CREATE on the
/// database, and nothing else.
/// An owner's own rights can be revoked; and a superuser runs what the owner has written.
#[test]
fn postgres18_rights_that_an_owner_lacks_and_functions_of_others_are_named() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else {
        return;
    };
    let say = |sql: &str| server.execute(DATABASE, sql).unwrap();
    say("CREATE ROLE owner LOGIN REPLICATION");
    say(&format!("GRANT CREATE ON DATABASE {DATABASE} TO owner"));
    say("GRANT CREATE ON SCHEMA public TO owner");
    say("CREATE TABLE t (id int PRIMARY KEY, n int)");
    say("CREATE FUNCTION fine(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'");
    say("ALTER TABLE t ADD CONSTRAINT c CHECK (fine(n))");
    say("ALTER TABLE t OWNER TO owner; ALTER FUNCTION fine(int) OWNER TO owner");
    let plan = |url: &str| {
        let alter = ["--table", "t", "--strategy", "copy", "--alter", "ADD x int"];
        command(&[&["plan", "--url", url], &alter[..]].concat())
    };
    let owner = owner_url(&server);
    plan(&owner).must_be(0);
    plan(&server.url(DATABASE)).must_be(0).must_say(&["constraint c", "fine(integer) of owner"]);
    say("REVOKE SELECT ON t FROM owner");
    plan(&owner).must_be(3).must_say(&["GRANT ALL ON public.t TO owner"]);
    say("GRANT SELECT ON t TO owner; REVOKE UPDATE, DELETE, TRUNCATE ON t FROM owner");
    plan(&owner).must_be(3).must_say(&["GRANT ALL ON public.t TO owner"]);
    say("GRANT DELETE ON t TO owner");
    plan(&owner).must_be(0);
}

fn the_documented_role_can_do_everything(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, SCHEMA).unwrap();
    let role = "CREATE ROLE changer LOGIN REPLICATION IN ROLE owner; GRANT CREATE ON DATABASE ";
    server.execute(DATABASE, &format!("{role}{DATABASE} TO changer")).unwrap();
    let url = server.url(DATABASE).replace("postgres://postgres@", "postgres://changer@");
    let alter = "ALTER COLUMN k TYPE bigint";
    let of_table = ["--url", &url, "--table", "shop.orders"];
    let with = |words: &[&str]| command(&[words, &of_table].concat());
    with(&["plan", "--alter", alter]).must_be(0);
    let before = server.dump(DATABASE, &["ag_*", "altergeist"]);
    run(&url, "shop.orders", alter, &[]).must_be(0);
    let after = server.dump(DATABASE, &["ag_*", "altergeist"]);
    assert_eq!(after, before.replace("k integer NOT NULL", "k bigint NOT NULL"));
    with(&["status"]).must_be(0).must_say(&["done"]);
    // What still reads the old table is named.
    server
        .execute(DATABASE, "CREATE VIEW public.kept AS SELECT id FROM ag_old_shop.orders")
        .unwrap();
    with(&["cleanup", "--drop-old"]).must_be(3).must_say(&["kept", "clean up again"]);
    server.execute(DATABASE, "DROP VIEW public.kept").unwrap();
    with(&["cleanup", "--drop-old"]).must_be(0);
    let left = "SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^ag_'
        UNION ALL SELECT slot_name::text FROM pg_replication_slots UNION ALL SELECT pubname::text FROM pg_publication";
    assert!(server.query(DATABASE, left).unwrap().is_empty());
}

#[test]
fn postgres15_the_documented_role_can_do_everything() {
    the_documented_role_can_do_everything(Flavour::Postgres15);
}

#[test]
fn postgres18_the_documented_role_can_do_everything() {
    the_documented_role_can_do_everything(Flavour::Postgres18);
}
