//! Queries of the catalogue, and counts in the source.

use crate::server::names::TableName;
use crate::server::version::{Flavour, Version};
use crate::sql::quote::{as_bytes, quote, sign, string, table};

/// Whether the server's own rules refuse zero dates.
pub(crate) const REFUSES_ZERO_DATES: &str = "SELECT FIND_IN_SET('NO_ZERO_DATE', @@global.sql_mode) \
                                             > 0 OR FIND_IN_SET('NO_ZERO_IN_DATE', \
                                             @@global.sql_mode) > 0";

/// How many partitions a table has. Each subpartition counts.
pub(crate) fn count_partitions(name: &TableName) -> String {
    format!(
        "SELECT COUNT(*) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = {} AND TABLE_NAME \
         = {}",
        string(&name.schema),
        string(&name.name)
    )
}

/// Views whose text names a table. Both servers write the schema out.
pub(crate) fn views_over(name: &TableName) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS WHERE LOCATE({}, \
         VIEW_DEFINITION) > 0 ORDER BY 1, 2",
        string(&table(name))
    )
}

/// The names of all CHECK constraints of a schema.
pub(crate) fn check_names(schema: &str) -> String {
    format!(
        "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA \
         = {}",
        string(schema)
    )
}

pub(crate) fn find_table(name: &TableName) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE \
         TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

/// Type, engine, rows, bytes, the counter's next value, comment and creation options of a table.
pub(crate) fn table_facts(name: &TableName) -> String {
    format!(
        "SELECT TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH, AUTO_INCREMENT, \
         TABLE_COMMENT, CREATE_OPTIONS FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND \
         TABLE_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

/// Bytes of a table's rows, and of its indexes.
pub(crate) fn sizes(name: &TableName) -> String {
    format!(
        "SELECT DATA_LENGTH, INDEX_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} \
         AND TABLE_NAME = {}",
        string(&name.schema),
        string(&name.name)
    )
}

pub(crate) fn columns(name: &TableName) -> String {
    format!(
        "SELECT COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, \
         COLLATION_NAME, IS_NULLABLE, COLUMN_DEFAULT, GENERATION_EXPRESSION, EXTRA FROM \
         information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY \
         ORDINAL_POSITION",
        string(&name.schema),
        string(&name.name)
    )
}

pub(crate) fn index_parts(version: Version, name: &TableName) -> String {
    let visible = match version.flavour {
        Flavour::MySql => "IS_VISIBLE",
        Flavour::MariaDb => "IF(IGNORED = 'NO', 'YES', 'NO')",
    };
    format!(
        "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, COLLATION, SUB_PART, INDEX_TYPE, {visible} \
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY \
         INDEX_NAME, SEQ_IN_INDEX",
        string(&name.schema),
        string(&name.name)
    )
}

/// Only this shows the bytes of literals in other character sets; see `literals`.
pub(crate) const RESULTS_AS_THEY_ARE: &str = "SET SESSION character_set_results = NULL";

pub(crate) const RESULTS_IN_UTF8: &str = "SET SESSION character_set_results = utf8mb4";

pub(crate) fn show_create(name: &TableName) -> String {
    format!("SHOW CREATE TABLE {}", table(name))
}

/// Foreign keys of the table and to it, column by column: child, name, column, parent, its column,
/// and the actions for deletes and changes of the parent's row.
pub(crate) fn foreign_key_columns(name: &TableName) -> String {
    let (schema, table) = (string(&name.schema), string(&name.name));
    format!(
        "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, \
         k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, \
         r.DELETE_RULE, r.UPDATE_RULE FROM information_schema.KEY_COLUMN_USAGE k JOIN \
         information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA \
         AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME WHERE \
         k.REFERENCED_TABLE_NAME IS NOT NULL AND ((k.TABLE_SCHEMA = {schema} AND k.TABLE_NAME = \
         {table}) OR (k.REFERENCED_TABLE_SCHEMA = {schema} AND k.REFERENCED_TABLE_NAME = {table})) \
         ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION"
    )
}

/// The tables of others that this user may see: schema and name.
pub(crate) const VISIBLE_TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM \
                                         information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
                                         AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', \
                                         'performance_schema', 'sys')";

/// How many foreign keys refer to a table, also from tables that this user cannot see.
pub(crate) fn count_keys_to(version: Version, name: &TableName) -> String {
    let view = match version.flavour {
        Flavour::MySql => "INNODB_FOREIGN",
        Flavour::MariaDb => "INNODB_SYS_FOREIGN",
    };
    let path = as_bytes(&format!("{}/{}", name.schema, name.name));
    format!(
        "SELECT COUNT(*) FROM information_schema.{view} WHERE CAST(REF_NAME AS BINARY) = {path}"
    )
}

/// Whether a row of a table refers to no row of another.
/// Counts rows of a child whose parent is missing, up to a limit.
pub(crate) fn count_orphans(
    (source, child): (&TableName, &TableName),
    columns: &[String],
    (parent, parent_columns): (&TableName, &[String]),
    limit: u64,
) -> String {
    let orphans = has_orphans(source, child, columns, parent, parent_columns);
    let orphans = orphans.strip_suffix(" LIMIT 1").unwrap_or(&orphans);
    format!("SELECT COUNT(*) FROM ({orphans} LIMIT {limit}) orphans")
}

pub(crate) fn has_orphans(
    source: &TableName,
    child: &TableName,
    columns: &[String],
    parent: &TableName,
    parent_columns: &[String],
) -> String {
    let pairs =
        || columns.iter().zip(parent_columns).map(|(column, key)| (quote(column), quote(key)));
    let joined: Vec<String> =
        pairs().map(|(column, key)| format!("p.{key} = c.{column}")).collect();
    let present: Vec<String> =
        pairs().map(|(column, _)| format!("c.{column} IS NOT NULL")).collect();
    format!(
        "{}SELECT 1 FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {}) LIMIT 1",
        sign(source),
        table(child),
        present.join(" AND "),
        table(parent),
        joined.join(" AND ")
    )
}

/// Whether the storage engine runs foreign keys' actions itself, unlogged (MySQL 9.6 and later).
pub(crate) const NATIVE_FOREIGN_KEYS: &str = "SELECT @@global.innodb_native_foreign_keys";

/// How many rows of a table were changed or tried, by any session, and how many statements have set
/// `sql_log_bin` (MySQL).
pub(crate) fn rows_changed(table: &TableName) -> String {
    format!(
        "{}SELECT (SELECT COUNT_INSERT + COUNT_UPDATE + COUNT_DELETE FROM \
         performance_schema.table_io_waits_summary_by_table WHERE OBJECT_TYPE = 'TABLE' AND \
         OBJECT_SCHEMA = {} AND OBJECT_NAME = {}), (SELECT COALESCE(SUM(COUNT_STAR), 0) FROM \
         performance_schema.events_statements_summary_by_digest WHERE DIGEST_TEXT LIKE \
         '%sql_log_bin%')",
        sign(table),
        string(&table.schema),
        string(&table.name)
    )
}

/// Whether a user's session has switched the log off for itself (MySQL).
pub(crate) const IS_LOG_OFF: &str = "SELECT 1 FROM performance_schema.variables_by_thread v JOIN \
                                     performance_schema.threads t USING (THREAD_ID) WHERE \
                                     v.VARIABLE_NAME = 'sql_log_bin' AND v.VARIABLE_VALUE = 'OFF' \
                                     AND t.TYPE = 'FOREGROUND' LIMIT 1";

/// How many constraints a table has besides its primary key, plus the foreign keys that refer to
/// it.
pub(crate) fn count_constraints(table: &TableName) -> String {
    let (schema, name) = (string(&table.schema), string(&table.name));
    format!(
        "SELECT (SELECT COUNT(*) FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = \
         {schema} AND TABLE_NAME = {name} AND CONSTRAINT_TYPE <> 'PRIMARY KEY') + (SELECT COUNT(*) \
         FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = {schema} \
         AND REFERENCED_TABLE_NAME = {name})"
    )
}

/// Children and parents of all foreign keys that change the child's rows with the parent's.
pub(crate) const ACTING_KEYS: &str = "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, \
                                      UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME FROM \
                                      information_schema.REFERENTIAL_CONSTRAINTS WHERE DELETE_RULE \
                                      NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN \
                                      ('RESTRICT', 'NO ACTION')";

/// The InnoDB numbers of a table, or of its partitions. InnoDB spells names with special letters in
/// another way. Names are compared as bytes, because the view's own collation ignores case.
pub(crate) fn innodb_ids(version: Version, name: &TableName) -> String {
    let path = format!("{}/{}", name.schema, name.name);
    let view = match version.flavour {
        Flavour::MySql => "INNODB_TABLES",
        Flavour::MariaDb => "INNODB_SYS_TABLES",
    };
    let [whole, part, old_part] =
        [path.clone(), format!("{path}#p#"), format!("{path}#P#")].map(|path| as_bytes(&path));
    format!(
        "SELECT TABLE_ID FROM information_schema.{view} WHERE CAST(NAME AS BINARY) = {whole} OR \
         LEFT(CAST(NAME AS BINARY), {length}) IN ({part}, {old_part}) ORDER BY TABLE_ID",
        length = path.len() + 3
    )
}

/// The InnoDB numbers of a table, or of its partitions, each with those of its indexes. MySQL does
/// not show those of partitions.
pub(crate) fn innodb_parts(version: Version, name: &TableName) -> String {
    let (tables, indexes) = match version.flavour {
        Flavour::MySql => ("INNODB_TABLES", "INNODB_INDEXES"),
        Flavour::MariaDb => ("INNODB_SYS_TABLES", "INNODB_SYS_INDEXES"),
    };
    let path = format!("{}/{}", name.schema, name.name);
    let [whole, part, old_part] =
        [path.clone(), format!("{path}#p#"), format!("{path}#P#")].map(|path| as_bytes(&path));
    format!(
        "SELECT t.TABLE_ID, i.INDEX_ID FROM information_schema.{tables} t LEFT JOIN \
         information_schema.{indexes} i ON i.TABLE_ID = t.TABLE_ID WHERE CAST(t.NAME AS BINARY) = \
         {whole} OR LEFT(CAST(t.NAME AS BINARY), {length}) IN ({part}, {old_part})",
        length = path.len() + 3
    )
}

/// How often the table was changed instantly since its last rebuild. The server limits that.
pub(crate) fn row_versions(name: &TableName) -> String {
    let path = as_bytes(&format!("{}/{}", name.schema, name.name));
    format!(
        "SELECT TOTAL_ROW_VERSIONS FROM information_schema.INNODB_TABLES WHERE CAST(NAME AS \
         BINARY) = {path}"
    )
}

pub(crate) fn has_rows(name: &TableName) -> String {
    format!("SELECT 1 FROM {} LIMIT 1", table(name))
}

/// How many rows were seen, up to a limit, and how many of them have a value in a column.
pub(crate) fn count_values(source: &TableName, column: &str, limit: u64) -> String {
    let column = quote(column);
    format!(
        "{}SELECT COUNT(*), COUNT({column}) FROM (SELECT {column} FROM {}{}) seen",
        sign(source),
        table(source),
        up_to(limit)
    )
}

/// A limit of rows; none where all of them count, because the server would store them first.
fn up_to(limit: u64) -> String {
    if limit > u64::from(u32::MAX) { String::new() } else { format!(" LIMIT {limit}") }
}

/// How many rows of a view were seen, up to a limit, and how many of them violate a CHECK
/// constraint.
pub(crate) fn count_violations(
    source: &TableName,
    rows: &str,
    expression: &str,
    limit: u64,
) -> String {
    format!(
        "{}SELECT COUNT(*), COALESCE(SUM(NOT ({expression})), 0) FROM ({rows}{}) seen",
        sign(source),
        up_to(limit)
    )
}

/// The disk of the server's data, and its free bytes (MariaDB's plugin DISKS).
pub(crate) const FREE_DISK: &str = "SELECT Path, Available * 1024 FROM information_schema.DISKS \
                                    WHERE LEFT(@@datadir, CHAR_LENGTH(Path)) = Path ORDER BY \
                                    CHAR_LENGTH(Path) DESC LIMIT 1";

/// How many values the source has more than once over these expressions. NULLs do not count.
pub(crate) fn duplicates(source: &TableName, rows: &str, expressions: &[String]) -> String {
    let present: Vec<String> =
        expressions.iter().map(|expression| format!("{expression} IS NOT NULL")).collect();
    format!(
        "{}SELECT COUNT(*) FROM (SELECT 1 FROM {rows} WHERE {} GROUP BY {} HAVING COUNT(*) > 1) h",
        sign(source),
        present.join(" AND "),
        expressions.join(", ")
    )
}

/// The source's rows, as these values.
pub(crate) fn rows_as(rows: &str, values: &[String]) -> String {
    format!("SELECT {} FROM {rows}", values.join(", "))
}

/// A view `v` with one more column, computed from the others.
pub(crate) fn with_column(view: &str, expression: &str, name: &str) -> String {
    format!("SELECT v.*, ({expression}) AS {} FROM ({view}) v", quote(name))
}

/// How many values a view has more than once over these terms. NULLs do not count.
pub(crate) fn duplicates_in(source: &TableName, view: &str, terms: &[String]) -> String {
    let present: Vec<String> = terms.iter().map(|term| format!("{term} IS NOT NULL")).collect();
    format!(
        "{}SELECT COUNT(*) FROM (SELECT 1 FROM ({view}) v WHERE {} GROUP BY {} HAVING COUNT(*) > \
         1) held",
        sign(source),
        present.join(" AND "),
        terms.join(", ")
    )
}
