//! The statements that make and change the shadow.

use crate::key::index::LOOKUP;
use crate::schema::columns::Shape;
use crate::server::names::TableName;
use crate::server::version::Version;
use crate::sql::quote::{quote, sign, string, table};

pub(crate) fn create_like(source: &TableName, copy: &TableName) -> String {
    format!("{}CREATE TABLE {} LIKE {}", sign(source), table(copy), table(source))
}

/// The user's clauses go in as they are.
pub(crate) fn alter(source: &TableName, altered: &TableName, clauses: &str) -> String {
    format!("{}ALTER TABLE {} {clauses}", sign(source), table(altered))
}

/// What the server does by itself. The means come first, because a clause on partitions has nothing
/// behind it.
pub(crate) fn alter_by(means: &str, altered: &TableName, clauses: &str) -> String {
    format!("ALTER TABLE {} {means}{clauses}", table(altered))
}

pub(crate) fn drop_indexes(source: &TableName, altered: &TableName, names: &[&str]) -> String {
    let drops: Vec<String> = names.iter().map(|name| format!("DROP KEY {}", quote(name))).collect();
    format!("{}ALTER TABLE {} {}", sign(source), table(altered), drops.join(", "))
}

/// The index of ours that finds rows of the shadow by the key; `kind` is how unique it is.
pub(crate) fn add_lookup(shape: &Shape, altered: &TableName, kind: &str) -> String {
    let part = |(name, prefix): (&str, Option<u64>)| match prefix {
        None => quote(name),
        Some(length) => format!("{}({length})", quote(name)),
    };
    let columns: Vec<String> = shape.key.shadow_parts().into_iter().map(part).collect();
    format!(
        "{}ALTER TABLE {} ADD {kind} {} ({})",
        sign(&shape.source),
        table(altered),
        quote(LOOKUP),
        columns.join(", ")
    )
}

/// Columns of ours for the former key's values, see `kept`.
pub(crate) fn add_kept(shape: &Shape, altered: &TableName) -> String {
    let added = shape.kept.iter().map(|pair| {
        let column = &pair.shadow;
        let charset = match column.charset.is_empty() {
            true => String::new(),
            false => format!(" CHARACTER SET {} COLLATE {}", column.charset, column.collation),
        };
        format!(
            "ADD COLUMN {} {}{charset} NULL DEFAULT NULL INVISIBLE",
            quote(&column.name),
            column.column_type
        )
    });
    format!(
        "{}ALTER TABLE {} {}",
        sign(&shape.source),
        table(altered),
        added.collect::<Vec<_>>().join(", ")
    )
}

/// Drops such columns at once, or not at all.
pub(crate) fn drop_kept(source: &TableName, altered: &TableName, names: &[&str]) -> String {
    let drops: Vec<String> =
        names.iter().map(|name| format!("DROP COLUMN {}", quote(name))).collect();
    format!(
        "{}ALTER TABLE {} {}, ALGORITHM=INSTANT",
        sign(source),
        table(altered),
        drops.join(", ")
    )
}

/// Builds an index in the place of another, while everybody reads and writes.
pub(crate) fn exchange_index(
    source: &TableName,
    altered: &TableName,
    gone: &str,
    definition: &str,
) -> String {
    format!(
        "{}ALTER TABLE {} DROP KEY {}, ADD {definition}, ALGORITHM=INPLACE, LOCK=NONE",
        sign(source),
        table(altered),
        quote(gone)
    )
}

/// Definitions as the server tells them; refused if it would copy the table for them.
pub(crate) fn add_indexes(
    source: &TableName,
    altered: &TableName,
    definitions: &[String],
) -> String {
    let adds: Vec<String> =
        definitions.iter().map(|definition| format!("ADD {definition}")).collect();
    format!("{}ALTER TABLE {} {}, ALGORITHM=INPLACE", sign(source), table(altered), adds.join(", "))
}

pub(crate) fn add_index_by_copy(
    source: &TableName,
    altered: &TableName,
    definition: &str,
) -> String {
    format!("{}ALTER TABLE {} ADD {definition}", sign(source), table(altered))
}

/// Room for sorting while indexes are built: an eighth of the buffer pool, up to 256 MiB; and one
/// thread if it shall be gently. MariaDB has none of that for a session, and builds with one thread
/// anyway.
pub(crate) fn build_settings(version: Version, gently: bool) -> Vec<&'static str> {
    let mut settings = Vec::new();
    if version.is_mysql_since((8, 0, 27)) {
        settings.push(
            "SET SESSION innodb_ddl_buffer_size = LEAST(268435456, \
                       @@innodb_buffer_pool_size DIV 8)",
        );
        if gently {
            settings.push("SET SESSION innodb_ddl_threads = 1, innodb_parallel_read_threads = 1");
        }
    }
    settings
}

pub(crate) fn drop_table(source: &TableName, dropped: &TableName) -> String {
    format!("{}DROP TABLE IF EXISTS {}", sign(source), table(dropped))
}

pub(crate) fn truncate(source: &TableName, emptied: &TableName) -> String {
    format!("{}TRUNCATE TABLE {}", sign(source), table(emptied))
}

pub(crate) fn analyze(source: &TableName, analyzed: &TableName) -> String {
    format!("{}ANALYZE TABLE {}", sign(source), table(analyzed))
}

/// MySQL's histograms of a table: the column, how many buckets were asked for, and whether ANALYZE
/// TABLE renews it.
pub(crate) fn histograms(name: &TableName) -> String {
    format!(
        "SELECT COLUMN_NAME, HISTOGRAM->>'$.\"number-of-buckets-specified\"', \
         HISTOGRAM->>'$.\"auto-update\"' FROM information_schema.COLUMN_STATISTICS WHERE \
         SCHEMA_NAME = {} AND TABLE_NAME = {} ORDER BY COLUMN_NAME",
        string(&name.schema),
        string(&name.name)
    )
}

/// What MariaDB keeps persistent statistics of: columns, or indexes.
pub(crate) fn persistent_statistics(name: &TableName, of: &str) -> String {
    format!(
        "SELECT DISTINCT {of}_name FROM mysql.{of}_stats WHERE db_name = {} AND table_name = {} \
         ORDER BY 1",
        string(&name.schema),
        string(&name.name)
    )
}

/// How the server carries out an ALTER TABLE, said before the clauses. An empty text leaves it to
/// the server.
pub(crate) const INSTANT: &str = "ALGORITHM=INSTANT, ";

pub(crate) const IN_PLACE: &str = "ALGORITHM=INPLACE, LOCK=NONE, ";

pub(crate) const BY_COPY: &str = "ALGORITHM=COPY, ";

/// Clauses that the server must carry out without a copy of the table.
pub(crate) fn alter_in_place(
    source: &TableName,
    altered: &TableName,
    clauses: &[String],
) -> String {
    alter(source, altered, &format!("{}, ALGORITHM=INPLACE", clauses.join(", ")))
}

pub(crate) fn add(definition: &str) -> String {
    format!("ADD {definition}")
}

pub(crate) fn drop_foreign_key(name: &str) -> String {
    format!("DROP FOREIGN KEY {}", quote(name))
}

/// Renews a histogram of MySQL's; the server keeps it up to date by itself if it did so before.
pub(crate) fn histogram(column: &str, buckets: &str, is_automatic: bool) -> String {
    let update = if is_automatic { " AUTO UPDATE" } else { "" };
    format!("UPDATE HISTOGRAM ON {} WITH {buckets} BUCKETS{update}", quote(column))
}

/// Collects persistent statistics of MariaDB's, for these columns and indexes.
pub(crate) fn persistent(columns: &[String], indexes: &[String]) -> String {
    let list =
        |names: &[String]| names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    format!("PERSISTENT FOR COLUMNS ({}) INDEXES ({})", list(columns), list(indexes))
}
