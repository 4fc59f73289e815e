//! The proof sees what the server's own idea of equality does not: values that are equal and not
//! the same.

use std::time::Duration;

use altergeist_contract::{Chunk, Engine, Hold, Strategy, Target, Watermark};
use altergeist_integration::servers::{Flavour, Server};
use altergeist_integration::session::Session;
use altergeist_mysql::MySql;
use altergeist_postgres::Postgres;

/// A column, a value of it, and one that differs from it.
struct Value {
    column_type: &'static str,
    is: &'static str,
    differs: &'static str,
}

const fn value(column_type: &'static str, is: &'static str, differs: &'static str) -> Value {
    Value { column_type, is, differs }
}

const POSTGRES: &[Value] = &[
    value("text", "'a'", "'a '"),
    value("text COLLATE regardless_of_case", "'a'", "'A'"),
    value("varchar(9)", "''", "NULL"),
    value("varchar(9) COLLATE regardless_of_case", "'a'", "'A'"),
    value("char(5)", "'ab'", "'aB'"),
    value("char(5) COLLATE regardless_of_case", "'ab'", "'aB'"),
    value("bpchar", "'a'", "'a '"),
    value("words", "'a'", "'b'"),
    value("amount", "1.0", "1.00"),
    value("float8", "0", "'-0'"),
    value("float4", "0", "'-0'"),
    value("numeric", "1.0", "1.00"),
    value("numeric(9,2)", "1", "NULL"),
    value("numeric[]", "'{1.0}'", "'{1.00}'"),
    value("jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'"),
    value("json", "'{\"a\": 1}'", "'{\"a\":1}'"),
    value("interval", "'1 day'", "'24 hours'"),
    value("timestamptz", "'2000-01-01 00:00:00+00'", "'2000-01-01 00:00:00.000001+00'"),
    value("timetz", "'12:00:00+00'", "'13:00:00+01'"),
    value("date", "NULL", "'2000-01-01'"),
    value("bool", "true", "false"),
    value("bytea", "'\\x00'", "'\\x0000'"),
    value(
        "uuid",
        "'00000000-0000-0000-0000-000000000000'",
        "'00000000-0000-0000-0000-000000000001'",
    ),
    value("mood", "'good'", "'bad'"),
    value("bigint", "1", "2"),
];

const MYSQL: &[Value] = &[
    value("text", "'a'", "'A'"),
    value("varchar(9) CHARACTER SET latin1", "'a'", "'a '"),
    value("varchar(9)", "''", "NULL"),
    value("char(5)", "'ab'", "'aB'"),
    value("varchar(9) CHARACTER SET utf8mb4", "'a'", "'ä'"),
    value("varbinary(9)", "x'00'", "x'0000'"),
    value("decimal(9,2)", "1", "NULL"),
    value("double", "0.1", "0.10000000000000002"),
    // It does not put 1.0 in the place of 1, whatever it is told.
    value("json", "'{\"a\": 1}'", "'{\"a\": \"1\"}'"),
    value("time(6)", "'00:00:00'", "'00:00:00.000001'"),
    value("timestamp(6) NULL", "'2000-01-01 00:00:00'", "'2000-01-01 00:00:00.000001'"),
    value("year", "1999", "2000"),
    value("bit(9)", "1", "2"),
    value("enum('a', 'b')", "'a'", "'b'"),
    value("set('a', 'b')", "''", "'a'"),
    value("bigint", "1", "2"),
];

/// Fills a table with rows that hold these values, and its shadow; then each row of the shadow
/// differs in one column from its own row of the source, and the comparison must name them all.
fn every_difference_is_seen<E: Engine>(
    flavour: Flavour,
    before: &[&str],
    values: &[Value],
    shadow: &str,
) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let execute = |statement: &str| {
        server.execute("app", statement).unwrap_or_else(|failure| panic!("{statement}: {failure}"));
    };
    before.iter().for_each(|statement| execute(statement));
    let columns: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(at, value)| format!("c{at} {}", value.column_type))
        .collect();
    execute(&format!("CREATE TABLE vary (id int PRIMARY KEY, {})", columns.join(", ")));
    let row = values.iter().map(|value| value.is).collect::<Vec<_>>().join(", ");
    for id in 0..values.len() {
        execute(&format!("INSERT INTO vary VALUES ({id}, {row})"));
    }
    let target = Target {
        url: server.url("app"),
        table: "vary".into(),
        alter: "ADD COLUMN extra int".into(),
        strategy: Strategy::Copy,
        workers: 2,
        lock_timeout: Duration::from_secs(5),
        ..Target::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    runtime.block_on(async {
        let engine = E::connect(&target).await.expect("the engine can connect");
        assert_eq!(engine.hold().await.expect("the lock can be asked for"), Hold::Taken);
        engine.plan().await.expect("a plan can be made");
        engine.open_log().await.expect("the log can be opened");
        engine.create().await.expect("the shadow can be made");
        let whole = Chunk { after: Watermark::Start, through: Watermark::End };
        engine.copy(&whole).await.expect("the rows can be copied");
        engine.complete(false).await.expect("the shadow can be completed");
        let before = engine.compare(&whole).await.expect("the tables can be compared");
        assert_eq!((before.rows, before.differing), (values.len() as u64, vec![]));
        let mut unseen = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let change = |to: &str| format!("UPDATE {shadow} SET c{at} = {to} WHERE id = {at}");
            let execute = async |statement: &str| {
                Session::connect(&server.url("app")).await?.execute(statement).await
            };
            execute(&change(value.differs))
                .await
                .unwrap_or_else(|failure| panic!("{}: {failure}", value.column_type));
            let found = engine.compare(&whole).await.expect("the tables can be compared");
            let again =
                engine.compare_keys(&found.differing).await.expect("the rows can be compared");
            if (found.rows, found.differing.len(), again.len()) != (values.len() as u64, 1, 1) {
                unseen.push(value.column_type);
            }
            execute(&change(value.is))
                .await
                .unwrap_or_else(|failure| panic!("{}: {failure}", value.column_type));
        }
        assert!(unseen.is_empty(), "not seen: {unseen:?}");
        assert_eq!(engine.compare(&whole).await.expect("the tables can be compared").differing, []);
    });
}

const TYPES: [&str; 3] = [
    "CREATE DOMAIN words AS text COLLATE regardless_of_case",
    "CREATE DOMAIN amount AS numeric",
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
];

fn every_difference_is_seen_on_postgresql(flavour: Flavour, collation: &str) {
    let collation = format!("CREATE COLLATION regardless_of_case {collation}");
    let before = [&[&*collation], &TYPES[..]].concat();
    every_difference_is_seen::<Postgres>(flavour, &before, POSTGRES, "ag_shadow_public.vary");
}

#[test]
fn values_that_are_equal_and_not_the_same_are_told_apart_on_postgresql_15() {
    let collation = "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    every_difference_is_seen_on_postgresql(Flavour::Postgres15, collation);
}

/// The build at hand has no collations that call different texts equal.
#[test]
fn values_that_are_equal_and_not_the_same_are_told_apart_on_postgresql_18() {
    every_difference_is_seen_on_postgresql(Flavour::Postgres18, "(locale = 'C')");
}

#[test]
fn values_that_are_equal_and_not_the_same_are_told_apart_on_mysql() {
    every_difference_is_seen::<MySql>(Flavour::MySql97, &[], MYSQL, "_vary_ag_shadow");
}

#[test]
fn values_that_are_equal_and_not_the_same_are_told_apart_on_mariadb() {
    every_difference_is_seen::<MySql>(Flavour::MariaDb1011, &[], MYSQL, "_vary_ag_shadow");
}
