//! Everything about a database's tables but their rows, as text, and what else is in it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::servers::Server;
use crate::session::{Failure, Session, block_on};

/// A table's name; the schema is PostgreSQL's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) schema: String,
    pub(super) table: String,
}

/// The name that `--table` means by `text`, which may be quoted as a whole.
pub(super) fn name_of(text: &str, postgres: bool) -> Name {
    if let Some(quoted) = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return Name { schema: "public".into(), table: quoted.replace("``", "`") };
    }
    match text.split_once('.') {
        Some((schema, table)) if postgres => Name { schema: schema.into(), table: table.into() },
        _ => Name { schema: "public".into(), table: text.into() },
    }
}

impl Name {
    pub(super) fn quoted(&self, postgres: bool) -> String {
        let double = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        match postgres {
            true => format!("{}.{}", double(&self.schema), double(&self.table)),
            false => format!("`{}`", self.table.replace('`', "``")),
        }
    }

    /// A condition on the columns of a catalogue that hold schema and table.
    pub(super) fn is(&self, schema: &str, table: &str, postgres: bool) -> String {
        let name = self.table.replace('\'', "''");
        match postgres {
            true => {
                format!("{schema} = '{}' AND {table} = '{name}'", self.schema.replace('\'', "''"))
            }
            false => format!("{table} = '{name}'"),
        }
    }
}

/// What is in the database and would be the same in another one that was made alike, one thing a
/// line.
pub(super) fn describe(server: &Server, database: &str) -> Result<Vec<String>, String> {
    match server.flavour().is_postgres() {
        true => dump(server, database),
        false => describe_mysql(server, database).map_err(|failure| failure.to_string()),
    }
}

/// What pg_dump says, but for what is ours: the schemas of the old table and of the journal.
fn dump(server: &Server, database: &str) -> Result<Vec<String>, String> {
    let mut command = Command::new(server.flavour().program("pg_dump"));
    command.args([
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "--schema-only",
        "-N",
        "ag_*",
        "-N",
        "altergeist",
        "-p",
    ]);
    command.arg(server.port().to_string()).args(["-d", database]).current_dir("/");
    let output = command.output().map_err(|e| format!("pg_dump: {e}"))?;
    if !output.status.success() {
        return Err(format!("pg_dump: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let invalid = server
        .query(
            database,
            "SELECT 'invalid index ' || indexrelid::regclass FROM pg_index WHERE NOT indisvalid",
        )
        .map_err(|failure| failure.to_string())?;
    // Newer pg_dumps wrap their text into \restrict with a random word.
    // The run's own publication stays while the change can be undone.
    let is_ours = |line: &str| line.contains(" PUBLICATION altergeist_");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--") && !line.starts_with('\\'))
        .filter(|line| !is_ours(line));
    Ok(lines.map(str::to_owned).chain(invalid.into_iter().flatten().flatten()).collect())
}

fn describe_mysql(server: &Server, database: &str) -> Result<Vec<String>, Failure> {
    let url = server.url(database);
    let mysql = server.flavour() == crate::servers::Flavour::MySql97;
    block_on(async {
        let mut session = Session::connect(&url).await?;
        let mut lines = Vec::new();
        for row in session.rows(MYSQL_TABLES).await? {
            let [name, kind] =
                <[_; 2]>::try_from(row).expect("two were asked for").map(Option::unwrap_or_default);
            let what = if kind == "VIEW" { "VIEW" } else { "TABLE" };
            let shown =
                session.rows(&format!("SHOW CREATE {what} `{}`", name.replace('`', "``"))).await?;
            let text = shown
                .into_iter()
                .next()
                .and_then(|row| row.into_iter().nth(1))
                .flatten()
                .unwrap_or_default();
            let text = without_counter(&text).0.replace(&format!("`{database}`"), "`db`");
            lines.extend(text.lines().map(|line| format!("{name}: {line}")));
        }
        let histograms = "SELECT CONCAT('histogram ', table_name, '.', column_name) FROM \
                          information_schema.column_statistics WHERE schema_name = DATABASE() \
                          AND table_name NOT LIKE '\\_%\\_ag\\_%' ORDER BY 1";
        for sql in MYSQL_REST.iter().chain(mysql.then_some(&histograms)) {
            lines.extend(session.rows(sql).await?.into_iter().flatten().flatten());
        }
        Ok(lines.into_iter().map(|line| line.replace(&format!("'{database}'"), "'db'")).collect())
    })
}

const MYSQL_TABLES: &str = "SELECT table_name, table_type FROM information_schema.tables WHERE \
                            table_schema = DATABASE() AND table_name NOT LIKE '\\_%\\_ag\\_old' \
                            AND table_name NOT LIKE '\\_%\\_ag\\_shadow' AND table_name NOT LIKE \
                            '\\_%\\_ag\\_misfits' AND table_name NOT LIKE '%\\_ag\\_went' AND \
                            table_name NOT LIKE '\\_altergeist%' ORDER BY 1";

const MYSQL_REST: [&str; 3] = [
    "SELECT CONCAT_WS(' ', 'trigger', trigger_name, action_timing, event_manipulation, \
     event_object_table, action_order, action_statement, sql_mode, definer, character_set_client, \
     collation_connection, database_collation) FROM information_schema.triggers WHERE \
     trigger_schema = DATABASE() ORDER BY 1",
    "SELECT CONCAT_WS(' ', 'grant', user, host, table_name, table_priv, column_priv) FROM \
     mysql.tables_priv WHERE db = DATABASE() AND table_name NOT LIKE '\\_%\\_ag\\_%' ORDER BY 1",
    "SELECT CONCAT_WS(' ', 'grant', user, host, table_name, column_name, column_priv) FROM \
     mysql.columns_priv WHERE db = DATABASE() AND table_name NOT LIKE '\\_%\\_ag\\_%' ORDER BY 1",
];

/// A CREATE TABLE without the next AUTO_INCREMENT, and that.
fn without_counter(text: &str) -> (String, Option<u64>) {
    let Some((before, rest)) = text.split_once(" AUTO_INCREMENT=") else {
        return (text.to_owned(), None);
    };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (format!("{before}{}", &rest[digits.len()..]), digits.parse().ok())
}

/// The next AUTO_INCREMENT that SHOW CREATE TABLE tells of; MySQL and MariaDB.
pub(super) fn counter(
    server: &Server,
    database: &str,
    table: &Name,
) -> Result<Option<u64>, Failure> {
    let shown = server.query(database, &format!("SHOW CREATE TABLE {}", table.quoted(false)))?;
    let text = shown
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().nth(1))
        .flatten()
        .unwrap_or_default();
    Ok(without_counter(&text).1)
}

/// The lines of either that are not in the other.
pub(super) fn difference(expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let only = |lines: &[String], others: &[String], mark: &str| {
        let lines: Vec<String> = lines
            .iter()
            .filter(|line| !others.contains(line))
            .map(|line| format!("\n  {mark} {line}"))
            .collect();
        lines.concat()
    };
    let (missing, surplus) = (only(expected, found, "-"), only(found, expected, "+"));
    match missing.is_empty() && surplus.is_empty() {
        true => Err(format!("the same lines in another order: {found:#?}")),
        false => Err(format!("{missing}{surplus}")),
    }
}

/// Everything somebody made in the database, as `kind schema.name` or `kind name`.
pub(super) fn inventory(server: &Server, database: &str) -> Result<BTreeSet<String>, Failure> {
    let sql = if server.flavour().is_postgres() { POSTGRES_INVENTORY } else { MYSQL_INVENTORY };
    Ok(server.query(database, sql)?.into_iter().flatten().flatten().collect())
}

const POSTGRES_INVENTORY: &str = "SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ \
                                  '^(pg_|information_schema$)' UNION ALL SELECT 'relation ' || \
                                  relnamespace::regnamespace || '.' || relname FROM pg_class WHERE \
                                  relnamespace::regnamespace::text !~ '^(pg_|information_schema)' \
                                  AND relkind <> 'i' AND relkind <> 'I' UNION ALL SELECT 'function \
                                  ' || pronamespace::regnamespace || '.' || proname FROM pg_proc \
                                  WHERE pronamespace::regnamespace::text !~ \
                                  '^(pg_|information_schema)' UNION ALL SELECT 'slot ' || \
                                  slot_name FROM pg_replication_slots WHERE database = \
                                  current_database() UNION ALL SELECT 'publication ' || pubname \
                                  FROM pg_publication UNION ALL SELECT 'event trigger ' || evtname \
                                  FROM pg_event_trigger UNION ALL SELECT 'trigger ' || \
                                  relnamespace::regnamespace || '.' || tgname FROM pg_trigger JOIN \
                                  pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal";

const MYSQL_INVENTORY: &str = "SELECT CONCAT('relation ', table_name) FROM \
                               information_schema.tables WHERE table_schema = DATABASE() UNION ALL \
                               SELECT CONCAT('trigger ', trigger_name) FROM \
                               information_schema.triggers WHERE trigger_schema = DATABASE() UNION \
                               ALL SELECT CONCAT('routine ', routine_name) FROM \
                               information_schema.routines WHERE routine_schema = DATABASE() UNION \
                               ALL SELECT CONCAT('event ', event_name) FROM \
                               information_schema.events WHERE event_schema = DATABASE()";

/// Whether a thing of the inventory is the journal, which stays.
pub(super) fn is_journal(thing: &str) -> bool {
    let name = thing.split_once(' ').map_or("", |(_, name)| name);
    name == "altergeist" || name.starts_with("altergeist.") || name.starts_with("_altergeist")
}

/// Whether it is what a finished change keeps: the old table and what belongs to it.
pub(super) fn is_old(thing: &str, postgres: bool) -> bool {
    match postgres {
        true => thing.contains(" ag_old_") || thing.contains(" \"ag_old_"),
        false => thing.starts_with("relation _") && thing.ends_with("_ag_old"),
    }
}

/// Whether it is what a change that was put back keeps: the altered table and what belongs to it.
pub(super) fn is_altered(thing: &str, postgres: bool) -> bool {
    match postgres {
        true => thing.contains(" ag_shadow_") || thing.contains(" \"ag_shadow_"),
        false => thing.starts_with("relation _") && thing.ends_with("_ag_shadow"),
    }
}

/// The name of the table that is kept as `kind`, old or shadow, if there is exactly one.
pub(super) fn kept_table(
    server: &Server,
    database: &str,
    kind: &str,
) -> Result<Option<Name>, Failure> {
    let sql = if server.flavour().is_postgres() {
        format!(
            "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname LIKE 'ag\\_{kind}\\_%' AND relkind IN ('r', 'p')"
        )
    } else {
        format!(
            "SELECT '', table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
             AND table_name LIKE '\\_%\\_ag\\_{kind}'"
        )
    };
    let found = server.query(database, &sql)?;
    let mut names = found.into_iter().map(|row| {
        let [schema, table] =
            <[_; 2]>::try_from(row).expect("two were asked for").map(Option::unwrap_or_default);
        Name { schema, table }
    });
    Ok(names.next().filter(|_| names.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_told_apart_from_the_column() {
        let text = "CREATE TABLE `t` (\n `id` int AUTO_INCREMENT\n) ENGINE=InnoDB \
                    AUTO_INCREMENT=42 COMMENT='x'";
        let (rest, counter) = without_counter(text);
        assert_eq!(counter, Some(42));
        assert!(rest.contains("int AUTO_INCREMENT") && rest.ends_with("InnoDB COMMENT='x'"));
    }

    #[test]
    fn another_order_is_a_difference() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(difference(&lines("a b"), &lines("a b")).is_ok());
        assert!(difference(&lines("a b"), &lines("b a")).is_err());
        assert!(difference(&lines("a"), &lines("a b")).unwrap_err().contains("+ b"));
    }

    #[test]
    fn only_what_is_ours_is_the_journal_or_old() {
        assert!(
            is_journal("relation _altergeist")
                && is_journal("schema altergeist")
                && is_journal("relation altergeist.journal")
        );
        assert!(!is_journal("relation altergeists") && !is_journal("slot altergeist_x"));
        assert!(is_old("relation _t_ag_old", false) && !is_old("relation _t_ag_shadow", false));
        assert!(is_old("schema ag_old_public", true) && is_old("relation ag_old_public.t", true));
        assert!(!is_old("relation ag_shadow_public.t", true));
    }
}
