//! What the server, the database, a role or the environment sets changes nothing: each session of
//! ours sets what it depends on.

use altergeist_integration::altergeist_process::{command, run};
use altergeist_integration::servers::{DATABASE, Flavour, Server};

/// Settings that change what the server prints, reads or does, each with a value nobody would like;
/// from which version on.
const HOSTILE: &[(&str, &str, u32)] = &[
    ("allow_in_place_tablespaces", "on", 15),
    ("array_nulls", "off", 15),
    ("backslash_quote", "off", 15),
    ("bytea_output", "escape", 15),
    ("check_function_bodies", "on", 15),
    ("client_min_messages", "debug1", 15),
    ("createrole_self_grant", "set, inherit", 16),
    ("datestyle", "SQL, DMY", 15),
    ("default_toast_compression", "lz4", 99),
    ("default_transaction_deferrable", "on", 15),
    ("default_transaction_isolation", "serializable", 15),
    ("default_transaction_read_only", "on", 15),
    ("enable_hashjoin", "off", 15),
    ("enable_indexscan", "off", 15),
    ("enable_seqscan", "off", 15),
    ("escape_string_warning", "on", 15),
    ("extra_float_digits", "-15", 15),
    ("idle_in_transaction_session_timeout", "200ms", 15),
    ("idle_session_timeout", "200ms", 15),
    ("intervalstyle", "sql_standard", 15),
    ("jit_above_cost", "0", 15),
    ("lc_monetary", "C", 15),
    ("lock_timeout", "1ms", 15),
    ("plan_cache_mode", "force_generic_plan", 15),
    ("quote_all_identifiers", "on", 15),
    ("row_security", "off", 15),
    ("search_path", "hidden, public, pg_catalog", 15),
    ("session_replication_role", "replica", 15),
    ("standard_conforming_strings", "off", 15),
    ("statement_timeout", "100ms", 15),
    ("synchronous_commit", "off", 15),
    ("timezone", "Asia/Kathmandu", 15),
    ("transaction_timeout", "100ms", 17),
    ("transform_null_equals", "on", 15),
    ("xmloption", "document", 15),
];

const TABLES: &str = r#"
    CREATE SCHEMA hidden;
    CREATE FUNCTION hidden.boom(varchar, varchar) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$planted$$; END';
    CREATE OPERATOR hidden.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = hidden.boom);
    CREATE TABLE p (id int PRIMARY KEY);
    INSERT INTO p VALUES (1), (2);
    CREATE TABLE t (
        k varchar(20), at timestamptz, "Select" float8, arr text[] DEFAULT '{NULL,a}', b bytea DEFAULT '\x005c27',
        i interval DEFAULT '1 year -2 days 03:04:05.6', d date DEFAULT '2026-02-01', v text DEFAULT 'x\y''z',
        z timestamptz DEFAULT '2026-03-29 01:30:00.123456+02', f float8 DEFAULT 0.1, p int REFERENCES p, n int NOT NULL,
        CHECK (v <> 'a\b' OR v IS NULL), PRIMARY KEY (k, at));
    INSERT INTO t (k, at, "Select", p, n)
    SELECT 'k' || i, timestamptz '2026-03-29 00:30+00' + i * interval '7 minutes', 1.0 / i, 1 + i % 2, i FROM generate_series(1, 150) i;
    CREATE INDEX ti ON t (lower(v)) WHERE arr <> '{NULL}' AND "Select" > 0.1;
    CREATE VIEW w AS SELECT k, "Select" FROM t WHERE arr <> '{NULL,x}' AND d <> '2026-02-03';
    CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW."Select" > 3 AND NEW.v <> 'q\') EXECUTE FUNCTION tf();
    CREATE POLICY po ON t USING (f > 0 AND i <> '2 years -1 day');
    COMMENT ON COLUMN t."Select" IS 'it''s a \ ';"#;

const ROWS: &str =
    "SELECT md5(string_agg(x::text, '/' ORDER BY k COLLATE \"C\", at)) FROM public.t x";

/// The definitions and rows, as sessions without any such setting see them.
fn look(server: &Server) -> (String, Option<String>) {
    let dump = server.dump(DATABASE, &["ag_*", "altergeist"]);
    let rows = server.query(DATABASE, ROWS).unwrap();
    (dump.replace("n bigint", "n integer"), rows[0][0].clone())
}

fn no_setting_changes_what_comes_of_a_change(flavour: Flavour, one_by_one: bool) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, TABLES).unwrap();
    let url = server.url(DATABASE);
    let before = look(&server);
    let known: Vec<_> = HOSTILE.iter().filter(|(_, _, since)| *since <= flavour.major()).collect();
    let groups: Vec<Vec<_>> =
        if one_by_one { known.into_iter().map(|one| vec![one]).collect() } else { vec![known] };
    for (number, group) in groups.iter().enumerate() {
        let set = |(name, value, _): &&&(&str, &str, u32)| {
            let value =
                if *name == "search_path" { (*value).to_owned() } else { format!("'{value}'") };
            format!("ALTER DATABASE {DATABASE} SET {name} = {value};")
        };
        server.execute("postgres", &group.iter().map(|one| set(&one)).collect::<String>()).unwrap();
        let kind = if number % 2 == 0 { "bigint" } else { "integer" };
        let ended =
            run(&url, "public.t", &format!("ALTER COLUMN n TYPE {kind}"), &["--strategy", "copy"]);
        assert_eq!(ended.code, Some(0), "{group:?}: {}", ended.output);
        let cleaned = command(&["cleanup", "--url", &url, "--table", "public.t", "--drop-old"]);
        assert_eq!(cleaned.code, Some(0), "{group:?}: {}", cleaned.output);
        server.execute("postgres", &format!("ALTER DATABASE {DATABASE} RESET ALL")).unwrap();
        assert_eq!(look(&server), before, "{group:?}");
    }
}

#[test]
fn postgres15_no_setting_changes_what_comes_of_a_change() {
    no_setting_changes_what_comes_of_a_change(Flavour::Postgres15, false);
}

#[test]
fn postgres18_no_setting_changes_what_comes_of_a_change() {
    no_setting_changes_what_comes_of_a_change(Flavour::Postgres18, true);
}
