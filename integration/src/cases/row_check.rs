//! What the rows must be: those of the old table, altered by the server itself.
//!
//! Rows are compared as text that no two values share: strings and their like byte by byte in
//! hexadecimal, floats with all their digits. Both sides come from tables of the same definition,
//! and no row is compared by its key alone.

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::Client;

use super::structure::{Name, name_of};
use crate::servers::Server;
use crate::session::{Failure, Session, block_on};

/// Makes the rows of `table` in `reference` those of `source` in `database`; in PostgreSQL those of
/// all other tables, too, so that foreign keys hold.
pub(super) fn fill(
    server: &Server,
    database: &str,
    source: &Name,
    reference: &str,
    table: &Name,
) -> Result<(), Failure> {
    let (here, there) = (server.url(database), server.url(reference));
    block_on(async {
        match Session::connect(&there).await? {
            Session::Postgres(to) => match Session::connect(&here).await? {
                Session::Postgres(from) => fill_postgres(&from, source, &to, table).await,
                Session::MySql(_) => unreachable!("both are on one server"),
            },
            mut session @ Session::MySql(_) => {
                fill_mysql(&mut session, database, source, table).await
            }
        }
    })
}

async fn fill_mysql(
    session: &mut Session,
    database: &str,
    source: &Name,
    table: &Name,
) -> Result<(), Failure> {
    let name = table.quoted(false);
    let triggers = format!(
        "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() \
         AND {}",
        table.is("trigger_schema", "event_object_table", false)
    );
    for trigger in session.rows(&triggers).await?.into_iter().flatten().flatten() {
        session.execute(&format!("DROP TRIGGER `{}`", trigger.replace('`', "``"))).await?;
    }
    let columns = format!(
        "SELECT CONCAT('`', REPLACE(column_name, '`', '``'), '`') FROM information_schema.columns \
         WHERE table_schema = DATABASE() AND {} AND COALESCE(generation_expression, '') = '' ORDER \
         BY ordinal_position",
        table.is("table_schema", "table_name", false)
    );
    let columns: Vec<String> =
        session.rows(&columns).await?.into_iter().flatten().flatten().collect();
    let columns = columns.join(", ");
    let source = source.quoted(false);
    session
        .execute(&format!(
            "SET SESSION foreign_key_checks = 0, sql_mode = \
             'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'; DELETE FROM {name}; INSERT INTO {name} \
             ({columns}) SELECT {columns} FROM `{database}`.{source}"
        ))
        .await?;
    Ok(())
}

/// Whatever a database is set to, values are written down whole, and read as they were written.
const IN_FULL: &str =
    "SET extra_float_digits = 1; SET DateStyle = ISO; SET IntervalStyle = postgres";

async fn fill_postgres(
    from: &Client,
    source: &Name,
    to: &Client,
    table: &Name,
) -> Result<(), Failure> {
    from.batch_execute(IN_FULL).await?;
    to.batch_execute(IN_FULL).await?;
    let tables = to.query(TABLES, &[]).await?;
    let tables: Vec<Name> =
        tables.iter().map(|row| Name { schema: row.get(0), table: row.get(1) }).collect();
    let all: Vec<String> = tables.iter().map(|name| name.quoted(true)).collect();
    to.batch_execute("SET session_replication_role = replica").await?;
    to.batch_execute(PUT_ASIDE).await?;
    to.batch_execute(&format!("TRUNCATE {} CASCADE", all.join(", "))).await?;
    for name in &tables {
        let columns = to.query(COLUMNS, &[&name.quoted(true)]).await?;
        let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
        let origin = if name == table { source } else { name };
        copy(from, to, &origin.quoted(true), &name.quoted(true), &columns.join(", ")).await?;
    }
    to.batch_execute(PUT_BACK).await?;
    Ok(())
}

/// As text: that is how pg_dump carries every value there is from one database to another.
async fn copy(
    from: &Client,
    to: &Client,
    source: &str,
    table: &str,
    columns: &str,
) -> Result<(), Failure> {
    let out =
        from.copy_out(&format!("COPY (SELECT {columns} FROM ONLY {source}) TO STDOUT")).await?;
    let rows: Vec<Bytes> = out.try_collect().await?;
    let into = to.copy_in::<_, Bytes>(&format!("COPY {table} ({columns}) FROM STDIN")).await?;
    let mut into = Box::pin(into);
    for piece in rows {
        into.send(piece).await?;
    }
    into.close().await?;
    Ok(())
}

const TABLES: &str = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = \
                      c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND \
                      n.nspname !~ '^(pg_|information_schema)' AND NOT EXISTS (SELECT FROM \
                      pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND \
                      d.deptype = 'e')";

const COLUMNS: &str = "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = \
                       $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = \
                       '' ORDER BY attnum";

/// Triggers, because some fire for replicas too; constraints that rows already there need not keep,
/// until the rows are there.
const PUT_ASIDE: &str = "CREATE TEMP TABLE put_aside (statement text); DO $$ DECLARE it record; \
                         BEGIN FOR it IN SELECT tgname, tgrelid::regclass AS tab FROM pg_trigger \
                         JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND tgparentid \
                         = 0 AND relkind IN ('r', 'p') LOOP EXECUTE format('ALTER TABLE %s DISABLE \
                         TRIGGER %I', it.tab, it.tgname); END LOOP; FOR it IN SELECT conname, \
                         conrelid::regclass AS tab, pg_get_constraintdef(oid) AS def FROM \
                         pg_constraint WHERE contype = 'c' AND NOT convalidated AND conrelid <> 0 \
                         LOOP INSERT INTO put_aside VALUES (format('ALTER TABLE %s ADD CONSTRAINT \
                         %I %s', it.tab, it.conname, it.def)); EXECUTE format('ALTER TABLE %s DROP \
                         CONSTRAINT %I', it.tab, it.conname); END LOOP; END $$";

const PUT_BACK: &str = "DO $$ DECLARE it record; BEGIN \
     FOR it IN SELECT statement FROM put_aside LOOP EXECUTE it.statement; END LOOP; END $$";

/// Every row of a table, in no order that matters.
pub(super) fn rows(server: &Server, database: &str, table: &Name) -> Result<Vec<String>, Failure> {
    let url = server.url(database);
    block_on(async {
        let mut rows = match Session::connect(&url).await? {
            Session::Postgres(client) => rows_postgres(&client, table).await?,
            mut session @ Session::MySql(_) => rows_mysql(&mut session, table).await?,
        };
        rows.sort_unstable();
        Ok(rows)
    })
}

async fn rows_postgres(client: &Client, table: &Name) -> Result<Vec<String>, Failure> {
    client.batch_execute(IN_FULL).await?;
    let out =
        client.copy_out(&format!("COPY (SELECT * FROM {}) TO STDOUT", table.quoted(true))).await?;
    let pieces: Vec<Bytes> = out.try_collect().await?;
    Ok(String::from_utf8_lossy(&pieces.concat()).lines().map(str::to_owned).collect())
}

async fn rows_mysql(session: &mut Session, table: &Name) -> Result<Vec<String>, Failure> {
    let columns = format!(
        "SELECT CONCAT('`', REPLACE(column_name, '`', '``'), '`'), LOWER(data_type) FROM \
         information_schema.columns WHERE table_schema = DATABASE() AND {} ORDER BY \
         ordinal_position",
        table.is("table_schema", "table_name", false)
    );
    let columns = session.rows(&columns).await?;
    let texts: Vec<String> = columns
        .into_iter()
        .map(|column| {
            let [name, kind] = <[_; 2]>::try_from(column)
                .expect("two were asked for")
                .map(Option::unwrap_or_default);
            format!("COALESCE({}, 'NULL')", mysql_text(&name, &kind))
        })
        .collect();
    let sql = format!("SELECT CONCAT_WS(' ', {}) FROM {}", texts.join(", "), table.quoted(false));
    let rows = session.rows(&sql).await?;
    Ok(rows.into_iter().map(|mut row| row.remove(0).expect("a row fits into a packet")).collect())
}

/// An expression whose text is another for every other value of the type.
fn mysql_text(column: &str, kind: &str) -> String {
    match kind {
        "float" | "double" => format!("CAST({column} AS DOUBLE)"),
        "enum" | "set" => format!("CONCAT({column} + 0, ':', HEX({column}))"),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "date" | "time"
        | "datetime" | "timestamp" | "year" => format!("CAST({column} AS CHAR)"),
        _ => format!("HEX({column})"),
    }
}

/// What is in one and not in the other; both sorted.
pub(super) fn differences(expected: &[String], found: &[String]) -> Result<(), String> {
    let (mut missing, mut surplus) = (Vec::new(), Vec::new());
    let (mut left, mut right) = (expected.iter().peekable(), found.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(one), Some(other)) if one == other => {
                left.next();
                right.next();
            }
            (Some(one), other) if other.is_none_or(|other| one < other) => {
                missing.extend(left.next())
            }
            _ => surplus.extend(right.next()),
        }
    }
    if missing.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    let some = |rows: &[&String]| {
        rows.iter().take(5).map(|row| format!("\n    {row}")).collect::<String>()
    };
    Err(format!(
        "of {} rows {} are missing or other:{}\n  and {} are not expected:{}",
        expected.len(),
        missing.len(),
        some(&missing),
        surplus.len(),
        some(&surplus)
    ))
}

/// How many rows `table` has.
pub(super) fn count(server: &Server, database: &str, table: &str) -> Result<u64, Failure> {
    let postgres = server.flavour().is_postgres();
    let sql = format!("SELECT count(*) FROM {}", name_of(table, postgres).quoted(postgres));
    let rows = server.query(database, &sql)?;
    Ok(rows
        .into_iter()
        .flatten()
        .flatten()
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_one_for_one() {
        let rows = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(differences(&rows("a b b c"), &rows("a b b c")).is_ok());
        assert!(differences(&rows("a b b"), &rows("a b")).unwrap_err().contains("1 are missing"));
        assert!(
            differences(&rows("a b"), &rows("a b b")).unwrap_err().contains("1 are not expected")
        );
        assert!(differences(&rows("a c"), &rows("a d")).unwrap_err().contains("1 are missing"));
        assert!(differences(&rows(""), &rows("")).is_ok());
    }
}
