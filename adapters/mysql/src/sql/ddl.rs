//! The statements that create and change the shadow.

use crate::key::index::LOOKUP;
use crate::schema::column_mapping::ColumnMapping;
use crate::server::names::TableName;
use crate::server::version::Version;
use crate::sql::quote::{quote, sign, string, table};

pub(crate) fn create_like(source: &TableName, copy: &TableName) -> String {
    format!("{}CREATE TABLE {} LIKE {}", sign(source), table(copy), table(source))
}

/// Runs clauses of the user, unchanged.
pub(crate) fn alter(source: &TableName, altered: &TableName, clauses: &str) -> String {
    format!("{}ALTER TABLE {} {clauses}", sign(source), table(altered))
}

/// Lets the server make the change. `means` comes first, because nothing may follow a clause about
/// partitions.
pub(crate) fn alter_by(means: &str, altered: &TableName, clauses: &str) -> String {
    format!("ALTER TABLE {} {means}{clauses}", table(altered))
}

pub(crate) fn drop_indexes(source: &TableName, altered: &TableName, names: &[&str]) -> String {
    let drops: Vec<String> = names.iter().map(|name| format!("DROP KEY {}", quote(name))).collect();
    format!("{}ALTER TABLE {} {}", sign(source), table(altered), drops.join(", "))
}

/// Adds our index that finds rows of the shadow by the key. `kind` says whether it is unique.
pub(crate) fn add_lookup(mapping: &ColumnMapping, altered: &TableName, kind: &str) -> String {
    let part = |(name, prefix): (&str, Option<u64>)| match prefix {
        None => quote(name),
        Some(length) => format!("{}({length})", quote(name)),
    };
    let columns: Vec<String> = mapping.key.shadow_parts().into_iter().map(part).collect();
    format!(
        "{}ALTER TABLE {} ADD {kind} {} ({})",
        sign(&mapping.source),
        table(altered),
        quote(LOOKUP),
        columns.join(", ")
    )
}

/// Adds our columns for the former key's values; see `kept`.
pub(crate) fn add_kept(mapping: &ColumnMapping, altered: &TableName) -> String {
    let added = mapping.kept.iter().map(|pair| {
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
        sign(&mapping.source),
        table(altered),
        added.collect::<Vec<_>>().join(", ")
    )
}

/// Drops such columns instantly, or fails.
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

/// Builds an index in the place of another, while all sessions read and write.
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

/// Adds indexes, as the server prints them. It fails if the server would copy the table for them.
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

/// Sorting space for builds of indexes: an eighth of the buffer pool, up to 256 MiB; and one thread
/// if the build must be gentle. MariaDB has no such settings for a session, and builds with one
/// thread anyway.
pub(crate) fn build_settings(version: Version, gently: bool) -> Vec<&'static str> {
    let mut settings = Vec::new();
    if version.is_mysql_since((8, 0, 27)) {
        settings.push(
            "SET SESSION innodb_ddl_buffer_size = LEAST(268435456, @@innodb_buffer_pool_size DIV \
             8)",
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

/// MySQL's histograms of a table: the column, the number of buckets, and whether ANALYZE TABLE
/// renews it.
pub(crate) fn histograms(name: &TableName) -> String {
    format!(
        "SELECT COLUMN_NAME, HISTOGRAM->>'$.\"number-of-buckets-specified\"', \
         HISTOGRAM->>'$.\"auto-update\"' FROM information_schema.COLUMN_STATISTICS WHERE \
         SCHEMA_NAME = {} AND TABLE_NAME = {} ORDER BY COLUMN_NAME",
        string(&name.schema),
        string(&name.name)
    )
}

/// The columns, or the indexes, that MariaDB keeps persistent statistics of.
pub(crate) fn persistent_statistics(name: &TableName, of: &str) -> String {
    format!(
        "SELECT DISTINCT {of}_name FROM mysql.{of}_stats WHERE db_name = {} AND table_name = {} \
         ORDER BY 1",
        string(&name.schema),
        string(&name.name)
    )
}

/// How the server makes an ALTER TABLE; it comes before the clauses.
pub(crate) const INSTANT: &str = "ALGORITHM=INSTANT, ";

pub(crate) const IN_PLACE: &str = "ALGORITHM=INPLACE, LOCK=NONE, ";

/// What the server may lock while it alters a table by any algorithm.
pub(crate) const LOCK_NOTHING: &str = "LOCK=NONE, ";

pub(crate) const LOCK_WRITES: &str = "LOCK=SHARED, ";

pub(crate) const ANY_LOCK: &str = "";

pub(crate) const BY_COPY: &str = "ALGORITHM=COPY, ";

/// MariaDB's own online ALTER, for messages.
pub(crate) fn online_by_copy(altered: &TableName, clauses: &str) -> String {
    format!("ALTER TABLE {} {clauses}, ALGORITHM=COPY, LOCK=NONE", table(altered))
}

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

/// Renews a histogram (MySQL). If `is_automatic`, the server keeps it up to date.
pub(crate) fn histogram(column: &str, buckets: &str, is_automatic: bool) -> String {
    let update = if is_automatic { " AUTO UPDATE" } else { "" };
    format!("UPDATE HISTOGRAM ON {} WITH {buckets} BUCKETS{update}", quote(column))
}

/// Collects persistent statistics for these columns and indexes (MariaDB).
pub(crate) fn persistent(columns: &[String], indexes: &[String]) -> String {
    let list =
        |names: &[String]| names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    format!("PERSISTENT FOR COLUMNS ({}) INDEXES ({})", list(columns), list(indexes))
}

/// The beginning of an ALTER TABLE, for messages.
pub(crate) fn alter_table(name: &TableName) -> String {
    format!("ALTER TABLE {}", table(name))
}
