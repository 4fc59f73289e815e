//! Statements that copy, refresh and compare rows.

use crate::schema::columns::{Column, Counted, Layout, Return, Sameness};
use crate::sql::counts::{Counts, counted};
use crate::sql::quote::quoted;
use altergeist_contract::Watermark;

/// Copies the rows of a range. `OVERRIDING SYSTEM VALUE` keeps the numbers of identity columns.
pub(crate) fn copy(layout: &Layout, after: &Watermark, through: &Watermark) -> String {
    let bounds = bounds(&alias_scan_columns(layout), layout, after, through, 1);
    format!("{} WHERE {bounds}", insert_select(layout))
}

/// Copies those of the given keys that exist, up to a watermark.
pub(crate) fn insert_keys(layout: &Layout, through: &Watermark, places: usize) -> String {
    let first =
        if layout.has_arrays() { layout.keys.len() } else { layout.keys.len() * places } + 1;
    let bounds = bounds(&alias_scan_columns(layout), layout, &Watermark::Start, through, first);
    format!(
        "{} WHERE {} AND {bounds}",
        insert_select(layout),
        among(&alias_keys(layout), layout, places)
    )
}

/// Begins a refresh. One snapshot for all its statements: a unique value that moves from one of the
/// rows to another meanwhile is then seen with both or with neither.
pub(crate) const BEGIN_REFRESH: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

/// Deletes the shadow's rows of the given keys.
pub(crate) fn delete_keys(layout: &Layout, places: usize) -> String {
    format!(
        "DELETE FROM {} AS t WHERE {}",
        layout.shadow_rows(),
        among(&shadow_keys(layout), layout, places)
    )
}

/// Deletes the shadow's rows beyond a watermark.
pub(crate) fn delete_beyond(layout: &Layout, after: &Watermark) -> String {
    let bounds = bounds(&shadow_scan_columns(layout), layout, after, &Watermark::End, 1);
    format!("DELETE FROM {} AS t WHERE {bounds}", layout.shadow_rows())
}

/// Empties the shadow.
pub(crate) fn empty(layout: &Layout) -> String {
    let misfits = layout.back.as_ref().map(|back| format!(", ONLY {}", back.misfits));
    format!("TRUNCATE {}{}", layout.shadow_rows(), misfits.unwrap_or_default())
}

/// The last key of the next so many rows of the source.
pub(crate) fn chunk_end(layout: &Layout, after: &Watermark) -> String {
    let keys = alias_scan_columns(layout);
    let list = keys.join(", ");
    let bounds = bounds(&keys, layout, after, &Watermark::End, 2);
    format!(
        "SELECT {list} FROM ONLY {} AS {} WHERE {bounds} ORDER BY {list} OFFSET $1 LIMIT 1",
        layout.source, layout.alias
    )
}

/// Compares the rows of a range in one snapshot.
pub(crate) fn compare_range(layout: &Layout, after: &Watermark, through: &Watermark) -> String {
    compare(
        layout,
        &bounds(&alias_scan_columns(layout), layout, after, through, 1),
        &bounds(&shadow_scan_columns(layout), layout, after, through, 1),
        &counted(layout),
    )
}

/// Compares the rows of the given keys in one snapshot.
pub(crate) fn compare_keys(layout: &Layout, places: usize) -> String {
    compare(
        layout,
        &among(&alias_keys(layout), layout, places),
        &among(&shadow_keys(layout), layout, places),
        &[],
    )
}

/// The most differing keys one comparison names.
pub(crate) const DIFFERENCES: usize = 5000;

/// Joins both tables both ways, and compares the stored bytes of every column, NULLs included,
/// whatever its type's own idea of equality: by that where it comes to the same, which is quicker,
/// and else by `*<>`. The source's value is first made what the shadow stores. Gives the key of
/// each row that differs, and NULL for all the others together, each with the number of the
/// source's rows it stands for, and with the counts of the columns whose values change.
fn compare(
    layout: &Layout,
    source_rows: &str,
    shadow_rows: &str,
    counted: &[(usize, &Column, &Counted)],
) -> String {
    let numbered = |letter: char, columns: Vec<String>| {
        let named = columns
            .iter()
            .enumerate()
            .map(|(number, column)| format!("{column} AS {letter}{number}"));
        named.collect::<Vec<_>>().join(", ")
    };
    let in_source = numbered('k', alias_keys(layout));
    let in_shadow = numbered('k', shadow_keys(layout));
    // On the way back both values have the source's type: an old value always fits that.
    let converted = compared(layout, |column| match &column.returns {
        None => format!("CAST(({}\n) AS {})", column.value, column.type_name),
        Some(_) => format!("{}.{}", layout.alias, quoted(&column.source)),
    });
    let stored = compared(layout, |column| match &column.returns {
        Some(Return::As(type_name)) => format!("CAST(t.{} AS {type_name})", quoted(&column.name)),
        _ => format!("t.{}", quoted(&column.name)),
    });
    let source_rows = format!("{source_rows}{}", fitting(layout, &alias_keys(layout)));
    let shadow_rows = format!("{shadow_rows}{}", fitting(layout, &shadow_keys(layout)));
    let equal = if layout.keeps_key() { layout.operator("=") } else { "=".to_owned() };
    let same_key: Vec<String> =
        (0..layout.keys.len()).map(|number| format!("s.k{number} {equal} t.k{number}")).collect();
    let same_key = same_key.join(" AND ");
    let key = list(layout.keys.iter().enumerate().map(|(number, key)| {
        format!(
            "CASE WHEN s.here THEN s.k{number} ELSE CAST(t.k{number} AS {}) END AS k{number}",
            key.type_name
        )
    }));
    let differing =
        list((0..layout.keys.len()).map(|number| format!("CASE WHEN differs THEN k{number} END")));
    let places = list((0..layout.keys.len()).map(|number| (number + 2).to_string()));
    let counts = Counts::of(counted);
    // Without the OFFSET the server would compare the rows anew for each column of the key.
    format!(
        "SELECT count(*) FILTER (WHERE in_source), {differing}{sums}
        FROM (SELECT {key}, coalesce(s.here, false) AS in_source,
                     s.here IS NULL OR t.here IS NULL OR {unequal} AS differs{both}
              FROM (SELECT true AS here, {in_source}, {converted}{before}
                    FROM ONLY {source} AS {alias} WHERE {source_rows}) AS s
              FULL JOIN (SELECT true AS here, {in_shadow}, {stored}{after}
                         FROM {shadow} AS t WHERE {shadow_rows}) AS t
              ON {same_key}
              OFFSET 0) AS pairs
        GROUP BY {places} ORDER BY 2 NULLS FIRST LIMIT {limit}",
        sums = counts.sums,
        both = counts.both,
        before = counts.before,
        after = counts.after,
        unequal = unequal(layout),
        source = layout.source,
        alias = layout.alias,
        shadow = layout.shadow_rows(),
        limit = DIFFERENCES + 2,
    )
}

/// The columns of one side, `c0`, `c1`…, and those that must be compared as they are stored
/// together as `image`: a comparison of rows that are spelled out would be taken apart.
fn compared(layout: &Layout, value: impl Fn(&Column) -> String) -> String {
    let plain = plain(layout).map(|(number, column)| format!("{} AS c{number}", value(column)));
    list(plain.chain([format!("ROW({}) AS image", list(images(layout).map(&value)))]))
}

/// The columns that can be compared.
fn comparable(layout: &Layout) -> impl Iterator<Item = &Column> {
    layout.columns.iter().filter(|column| column.returns != Some(Return::Computed))
}

/// The columns that are the same bytes when they are equal.
fn plain(layout: &Layout) -> impl Iterator<Item = (usize, &Column)> {
    comparable(layout).enumerate().filter(|(_, column)| column.sameness != Sameness::Image)
}

/// The others.
fn images(layout: &Layout) -> impl Iterator<Item = &Column> {
    comparable(layout).filter(|column| column.sameness == Sameness::Image)
}

/// On the way back, leaves out the rows that do not fit the old table.
fn fitting(layout: &Layout, keys: &[String]) -> String {
    let Some(back) = &layout.back else { return String::new() };
    let equal = layout.operator("=");
    let same: Vec<String> = (keys.iter().enumerate())
        .map(|(number, key)| format!("m.key_{number} {equal} {key}"))
        .collect();
    format!(" AND NOT EXISTS (SELECT FROM {} AS m WHERE {})", back.misfits, same.join(" AND "))
}

/// Whether what [`compared`] gives of `s` and `t` differs, by the server's own operators: the
/// search path is the user's.
fn unequal(layout: &Layout) -> String {
    let mut terms: Vec<String> = plain(layout)
        .map(|(number, column)| {
            let (s, t) = (format!("s.c{number}"), format!("t.c{number}"));
            format!("NOT {}", same(column.sameness, &s, &t))
        })
        .collect();
    if images(layout).next().is_some() {
        terms.push("s.image OPERATOR(pg_catalog.*<>) t.image".to_owned());
    }
    terms.join(" OR ")
}

/// Whether two values of one type are the same.
pub(super) fn same(sameness: Sameness, one: &str, other: &str) -> String {
    let collation = match sameness {
        Sameness::Image => {
            // Two bare rows would be compared column by column, with an operator of their types.
            return format!(
                "(CAST(ROW({one}) AS record) OPERATOR(pg_catalog.*=) CAST(ROW({other}) AS record))"
            );
        }
        Sameness::EqualText => " COLLATE \"C\"",
        Sameness::Equal => "",
    };
    format!(
        "coalesce({one}{collation} OPERATOR(pg_catalog.=) {other}, {one} IS NULL AND {other} IS \
         NULL)"
    )
}

fn insert_select(layout: &Layout) -> String {
    let names = list(layout.columns.iter().map(|column| quoted(&column.name)));
    let values = list(layout.columns.iter().map(|column| format!("{}\n", column.value)));
    format!(
        "INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM ONLY {} AS {}",
        layout.shadow, layout.source, layout.alias
    )
}

/// A condition on a range of keys, its parameters numbered from `first`: those of the lower bound,
/// then the upper's. Said so that the server can guess how few rows lie in it, or it would rather
/// read the whole table for every chunk: of several columns it looks at the first alone. So columns
/// in which both ends agree are equal, and the first in which they do not is bounded by itself.
pub(crate) fn bounds(
    keys: &[String],
    layout: &Layout,
    after: &Watermark,
    through: &Watermark,
    first: usize,
) -> String {
    let (walk, columns) = (layout.scan_columns(), keys.len());
    let place = |at: usize| format!("${}::{}", first + at, walk[at % columns].type_name);
    let agreed = agreed(after, through).min(columns - 1);
    let equal = layout.operator("=");
    let mut conditions: Vec<String> = (0..agreed)
        .map(|at| {
            format!("{0} {equal} {1} AND {0} {equal} {2}", keys[at], place(at), place(columns + at))
        })
        .collect();
    let mut of_bound = 0;
    for (mark, comparison, alone) in [(after, ">", ">="), (through, "<=", "<=")] {
        if matches!(mark, Watermark::At(_)) {
            let (comparison, alone) = (layout.operator(comparison), layout.operator(alone));
            let values: Vec<String> = (agreed..columns).map(|at| place(of_bound + at)).collect();
            conditions.push(format!(
                "({}) {comparison} ({})",
                keys[agreed..].join(", "),
                values.join(", ")
            ));
            if values.len() > 1 {
                conditions.push(format!("{} {alone} {}", keys[agreed], values[0]));
            }
            of_bound += columns;
        }
    }
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
}

/// In how many of their first columns two marks are the same.
fn agreed(after: &Watermark, through: &Watermark) -> usize {
    match (after, through) {
        (Watermark::At(after), Watermark::At(through)) => after
            .columns()
            .iter()
            .zip(through.columns())
            .take_while(|(one, other)| **one == *other)
            .count(),
        _ => 0,
    }
}

/// A condition on a set of keys, given as one array for each column, or as so many rows where there
/// are no arrays.
pub(super) fn among(keys: &[String], layout: &Layout, places: usize) -> String {
    if !layout.has_arrays() {
        let row = |place: usize| {
            let columns = layout.keys.iter().enumerate();
            list(columns.map(|(at, key)| {
                format!("${}::{}", place * layout.keys.len() + at + 1, key.type_name)
            }))
        };
        let rows = list((0..places).map(|place| format!("({})", row(place))));
        return match layout.operator("=").as_str() {
            "=" => format!("({}) IN (VALUES {rows})", keys.join(", ")),
            equal => format!("({}) {equal} ANY (VALUES {rows})", keys.join(", ")),
        };
    }
    if let ([column], [key]) = (keys, &layout.keys[..]) {
        return format!("{column} {} ANY ($1::{}[])", layout.operator("="), key.type_name);
    }
    let arrays = list(
        layout.keys.iter().enumerate().map(|(at, key)| format!("${}::{}[]", at + 1, key.type_name)),
    );
    // Of several arrays it is the server's own `unnest` in any case.
    let equal = match layout.operator("=").as_str() {
        "=" => "IN".to_owned(),
        equal => format!("{equal} ANY"),
    };
    format!("({}) {equal} (SELECT * FROM unnest({arrays}))", keys.join(", "))
}

pub(super) fn alias_keys(layout: &Layout) -> Vec<String> {
    layout.keys.iter().map(|key| format!("{}.{}", layout.alias, quoted(&key.source))).collect()
}

fn alias_scan_columns(layout: &Layout) -> Vec<String> {
    layout
        .scan_columns()
        .iter()
        .map(|key| format!("{}.{}", layout.alias, quoted(&key.source)))
        .collect()
}

fn shadow_scan_columns(layout: &Layout) -> Vec<String> {
    layout.scan_columns().iter().map(|key| format!("t.{}", quoted(&key.shadow))).collect()
}

pub(super) fn shadow_keys(layout: &Layout) -> Vec<String> {
    layout.keys.iter().map(|key| format!("t.{}", quoted(&key.shadow))).collect()
}

pub(crate) fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::schema::columns::{KeyColumn, Layout};
    use crate::sql::rows::bounds;
    use altergeist_contract::Key;
    use altergeist_contract::Watermark;

    fn bounded(after: &[&[u8]], through: &[&[u8]]) -> String {
        let column = |name: &str| KeyColumn {
            source: name.into(),
            shadow: name.into(),
            type_name: "int".into(),
            type_oid: 23,
            collation: String::new(),
            has_arrays: true,
            spelled_once: true,
            own_operators: false,
        };
        let names = &["a", "b", "c"][..after.len()];
        let layout = Layout {
            source: String::new(),
            shadow: String::new(),
            shadow_schema: String::new(),
            alias: String::new(),
            key_index: String::new(),
            keys: names.iter().map(|name| column(name)).collect(),
            order: Vec::new(),
            is_partitioned: false,
            columns: Vec::new(),
            helper_index: None,
            back: None,
        };
        let keys: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mark = |columns: &[&[u8]]| Watermark::At(Key::compose(columns.iter().copied()));
        bounds(&keys, &layout, &mark(after), &mark(through), 1)
    }

    #[test]
    fn a_range_says_where_its_ends_agree_and_bounds_the_first_column_in_which_they_do_not() {
        assert_eq!(bounded(&[b"1"], &[b"2"]), "(a) > ($1::int) AND (a) <= ($2::int)");
        assert_eq!(
            bounded(&[b"1", b"1"], &[b"2", b"1"]),
            "(a, b) > ($1::int, $2::int) AND a >= $1::int AND (a, b) <= ($3::int, $4::int) AND a \
             <= $3::int"
        );
        assert_eq!(
            bounded(&[b"1", b"1"], &[b"1", b"2"]),
            "a = $1::int AND a = $3::int AND (b) > ($2::int) AND (b) <= ($4::int)"
        );
        assert_eq!(
            bounded(&[b"1", b"1", b"1"], &[b"1", b"2", b"1"]),
            "a = $1::int AND a = $4::int AND (b, c) > ($2::int, $3::int) AND b >= $2::int \
             AND (b, c) <= ($5::int, $6::int) AND b <= $5::int"
        );
    }
}
