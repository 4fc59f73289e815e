//! Statements of the way back: they keep the old table current, and note the rows that it cannot
//! hold. Here the altered table is the source, and the old one is the shadow.

use crate::schema::columns::{Back, Column, KeptColumn, KeyColumn, Layout, Return};
use crate::sql::quote::{literal, qualified, quoted};
use crate::sql::rows::{alias_keys, among, list, same, shadow_keys};

/// The old rows of a refresh, while they are deleted and not written again.
const GONE: &str = "altergeist_gone";

/// Whether there was an old row.
const HERE: &str = "altergeist_here";

/// The old values that a refresh needs, under names of ours: the user's expressions name columns of
/// the altered table without saying so.
struct OldValues<'a>(Vec<&'a str>);

impl OldValues<'_> {
    fn of<'a>(layout: &'a Layout, back: &'a Back) -> OldValues<'a> {
        let keys = layout.keys.iter().map(|key| key.shadow.as_str());
        let is_cast = |column: &&Column| matches!(column.returns, Some(Return::As(_)));
        let cast = layout.columns.iter().filter(is_cast).map(|column| column.name.as_str());
        let kept = back.kept.iter().map(|column| column.name.as_str());
        OldValues(keys.chain(cast).chain(kept).collect())
    }

    /// The list that returns them.
    fn list(&self) -> String {
        list(
            self.0
                .iter()
                .enumerate()
                .map(|(number, name)| format!("t.{} AS altergeist_was_{number}", quoted(name))),
        )
    }

    /// The old value of a column.
    fn of_column(&self, name: &str) -> String {
        let number = self.0.iter().position(|known| *known == name);
        format!("{GONE}.altergeist_was_{}", number.expect("the column is one of them"))
    }
}

/// The name of the table of misfits.
pub(crate) fn misfits_table(schema: &str, tag: &str) -> String {
    qualified(schema, &format!("altergeist_misfits_{tag}"))
}

/// Creates the table of misfits, with the key of the altered table.
pub(crate) fn create_misfits(misfits: &str, keys: &[KeyColumn]) -> String {
    let column = |(number, key): (usize, &KeyColumn)| {
        let collation = match key.collation.as_str() {
            "" => String::new(),
            collation => format!(" COLLATE {collation}"),
        };
        format!("key_{number} {}{collation}", key.type_name)
    };
    let columns = list(keys.iter().enumerate().map(column));
    let key = list((0..keys.len()).map(|number| format!("key_{number}")));
    format!(
        "CREATE TABLE {misfits} ({columns}, object text NOT NULL, is_blocked boolean NOT NULL,
            tried timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY ({key}))"
    )
}

/// Drops it.
pub(crate) fn drop_misfits(misfits: &str) -> String {
    format!("DROP TABLE IF EXISTS {misfits}")
}

/// Drops an index of ours on the old table.
pub(crate) fn drop_index_if_there(schema: &str, index: &str) -> String {
    format!("DROP INDEX IF EXISTS {}", qualified(schema, index))
}

/// Makes the old table's rows of the given keys what the altered table's are. One statement, so
/// that rows may exchange unique values: it deletes all of them before it writes the first. The
/// condition on the count ensures that. Columns that only the old table has keep their values.
pub(crate) fn return_keys(layout: &Layout, back: &Back) -> String {
    let old_values = OldValues::of(layout, back);
    let names = layout.columns.iter().map(|column| quoted(&column.name));
    let names = list(names.chain(back.kept.iter().map(|column| quoted(&column.name))));
    let values = layout.columns.iter().map(|column| returned(layout, column, &old_values));
    let stays = |column: &KeptColumn| {
        let was = old_values.of_column(&column.name);
        format!("CASE WHEN {GONE}.{HERE} THEN {was} ELSE {}\n END", column.value)
    };
    let values = list(values.chain(back.kept.iter().map(stays)));
    let equal = layout.operator("=");
    let same_key = layout.keys.iter().zip(alias_keys(layout));
    let same_key: Vec<String> = same_key
        .map(|(key, own)| format!("{} {equal} {own}", old_values.of_column(&key.shadow)))
        .collect();
    format!(
        "WITH {GONE} AS (
            DELETE FROM {shadow} AS t WHERE {old} RETURNING true AS {HERE}, {was})
        INSERT INTO {into} ({names}) OVERRIDING SYSTEM VALUE
        SELECT {values} FROM ONLY {source} AS {alias} LEFT JOIN {GONE} ON {same_key}
        WHERE {new} AND (SELECT count(*) FROM {GONE}) >= 0",
        shadow = layout.shadow_rows(),
        was = old_values.list(),
        into = layout.shadow,
        old = among(&shadow_keys(layout), layout, 1),
        source = layout.source,
        alias = layout.alias,
        same_key = same_key.join(" AND "),
        new = among(&alias_keys(layout), layout, 1),
    )
}

/// The same, but leaves out rows for which another row of the old table is in the way.
pub(crate) fn return_free_keys(layout: &Layout, back: &Back) -> String {
    format!("{} ON CONFLICT DO NOTHING", return_keys(layout, back))
}

/// Those of the given keys whose rows the old table lacks. The altered table's alias may be `t`
/// too, so no condition names both.
pub(crate) fn left_out(layout: &Layout) -> String {
    let (old, new) = (shadow_keys(layout), alias_keys(layout));
    let is_in = match layout.operator("=").as_str() {
        "=" => "IN".to_owned(),
        equal => format!("{equal} ANY"),
    };
    format!(
        "SELECT {keys} FROM ONLY {source} AS {alias} WHERE {given} AND NOT (({keys}) {is_in} (
            SELECT {old_keys} FROM {shadow} AS t WHERE {kept}))",
        keys = list(new.iter().cloned()),
        source = layout.source,
        alias = layout.alias,
        given = among(&new, layout, 1),
        old_keys = list(old.iter().cloned()),
        shadow = layout.shadow_rows(),
        kept = among(&old, layout, 1),
    )
}

/// The value that returns to the old table. An old value stays if it still becomes the new one. A
/// value that would not become itself again does not fit: it is then cast to a number from words
/// that name the column.
fn returned(layout: &Layout, column: &Column, old_values: &OldValues<'_>) -> String {
    let Some(Return::As(type_name)) = &column.returns else { return format!("{}\n", column.value) };
    let now = format!("{}.{}", layout.alias, quoted(&column.source));
    let was = old_values.of_column(&column.name);
    let again = |value: &str| same(column.sameness, &format!("CAST({value} AS {type_name})"), &now);
    // The words are no constant: the server would evaluate that before any row.
    let words = format!(
        "{} || left(CAST({now} AS text), 0)",
        literal(&format!("column {} does not fit", column.name))
    );
    format!(
        "CASE WHEN {GONE}.{HERE} AND {stays} THEN {was} WHEN {fits} THEN {value}
            ELSE CAST(CAST(CAST(({words}) AS pg_catalog.int4) AS text) AS {old_type}) END",
        stays = again(&was),
        fits = again(&column.value),
        value = column.value,
        old_type = column.type_name,
    )
}

/// Forgets misfits by their keys.
pub(crate) fn forget_misfits(layout: &Layout, misfits: &str) -> String {
    let keys: Vec<String> =
        (0..layout.keys.len()).map(|number| format!("m.key_{number}")).collect();
    format!("DELETE FROM ONLY {misfits} AS m WHERE {}", among(&keys, layout, 1))
}

/// Notes misfits: arrays of the keys' columns, of objects, and of whether another row is in the
/// way.
pub(crate) fn note_misfits(layout: &Layout, misfits: &str) -> String {
    let columns = list((0..layout.keys.len()).map(|number| format!("key_{number}")));
    let arrays = layout.keys.iter().enumerate();
    let arrays = list(arrays.map(|(at, key)| format!("${}::{}[]", at + 1, key.type_name)));
    let next = layout.keys.len() + 1;
    format!(
        "INSERT INTO {misfits} ({columns}, object, is_blocked)
        SELECT * FROM unnest({arrays}, ${next}::text[], ${}::boolean[])",
        next + 1
    )
}

/// Counts misfits by their objects.
pub(crate) fn count_misfits(misfits: &str) -> String {
    format!("SELECT object, count(*) FROM ONLY {misfits} GROUP BY object ORDER BY object")
}

/// The keys of misfits that another row blocks, those tried the longest ago first.
pub(crate) fn blocked_misfits(layout: &Layout, misfits: &str) -> String {
    let keys = list((0..layout.keys.len()).map(|number| format!("key_{number}")));
    format!("SELECT {keys} FROM ONLY {misfits} WHERE is_blocked ORDER BY tried LIMIT $1")
}

/// Creates an empty table with the columns of another.
pub(crate) fn create_like(table: &str, other: &str) -> String {
    format!("CREATE TABLE {table} (LIKE {other})")
}

/// Proves what stands for the bound of a former partition, so that it can be one again at once.
pub(crate) fn validate_bound(table: &str) -> String {
    format!("ALTER TABLE {table} VALIDATE CONSTRAINT altergeist_bound")
}

/// Publishes this table and no other. Without columns, whole rows.
pub(crate) fn publish_instead(name: &str, table: &str, columns: Option<&[String]>) -> String {
    let columns =
        columns.map(|columns| format!(" ({})", list(columns.iter().map(|column| quoted(column)))));
    format!(
        "ALTER PUBLICATION {} SET TABLE ONLY {table}{}",
        quoted(name),
        columns.unwrap_or_default()
    )
}

/// The next number of an identity column.
pub(crate) fn next_number(sequence: &str) -> String {
    format!("pg_catalog.nextval({}::pg_catalog.regclass)", literal(sequence))
}
