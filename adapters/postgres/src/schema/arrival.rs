//! Reads what the clauses made of a clone: which column became which, how values get there, and
//! what the copy can leave out at first.

use crate::key::candidates::Candidate;
use crate::key::types;
use crate::schema::altered::{Deferred, HELPER, LeftOut, News, Risk, Wish};
use crate::schema::clause::Using;
use crate::schema::columns::{Column, KeyColumn, Layout, Sameness};
use crate::schema::definition::Attribute;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Refusal, Result};
use std::collections::BTreeSet;

/// Names that two objects would have after the swap.
pub(crate) async fn name_clashes(
    session: &Session,
    wish: &Wish<'_>,
    clone: u32,
) -> Result<Vec<Refusal>> {
    let failed = |error: tokio_postgres::Error| error::of("look for names taken twice", &error);
    let has_own_sequences = wish.making.is_some();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&wish.source, &clone, &wish.names.old_schema, &has_own_sequences];
    let mut clashes = session.query(sql::NAME_CLASHES, &parameters).await.map_err(failed)?;
    if wish.making.is_some() {
        clashes.extend(
            session.query(sql::PARTITION_CLASHES, &[&wish.source, &clone]).await.map_err(failed)?,
        );
    }
    Ok(clashes.iter().map(|row| name_taken(row.get(0))).collect())
}

pub(crate) async fn still_plain(
    session: &Session,
    wish: &Wish<'_>,
    schema: &str,
    clone: u32,
) -> Result<Option<Refusal>> {
    let row =
        session.one(sql::STILL_PLAIN, &[&clone, &schema, &wish.names.table, &wish.source]).await;
    let row = row.map_err(|error| error::of("read the altered clone", &error))?;
    let why = match (row.get(0), row.get(1), row.get(2)) {
        (false, ..) => {
            "they give the table another name or schema, by which the swap could not find it"
        }
        (_, false, _) => "they make it something other than a plain, logged table",
        (.., false) => "a partition must have the columns of the table it belongs to",
        _ => return Ok(None),
    };
    Ok(Some(Refusal {
        object: format!("the clauses for {}", wish.names.display),
        reason: why.to_owned(),
        remedy: "leave that part out, and do it in a statement of its own".to_owned(),
    }))
}

/// Which column of the shadow is which of the source, and how its values get there.
pub(crate) fn layout(
    wish: &Wish<'_>,
    key: &Candidate,
    before: &[Attribute],
    after: &[Attribute],
    schema: &str,
) -> Result<Layout, Refusal> {
    let alias = quote::quoted(&wish.names.table);
    let mut columns = Vec::new();
    for (old, new) in survivors(before, after).filter(|(_, new)| !new.generated) {
        let using = using_of(wish, old);
        let value = using.map(|using| format!("({}\n)", using.expression));
        columns.push(Column {
            name: new.name.clone(),
            source: old.name.clone(),
            type_name: new.type_name.clone(),
            changed: value.is_some() || old.stored_shape() != new.stored_shape(),
            sameness: types::sameness(new.stored_type()),
            value: value.unwrap_or_else(|| format!("{alias}.{}", quote::quoted(&old.name))),
        });
    }
    let is_stray =
        |using: &&Using| !survivors(before, after).any(|(old, _)| old.name == using.column);
    if let Some(stray) = wish.clauses.using.iter().find(is_stray) {
        return Err(error::refuse(
            format!("USING for column {}", stray.column),
            "no such column could be found in the table",
            "write the column's name as the table has it",
        ));
    }
    let mut keys = Vec::new();
    for (number, column) in key.columns.iter().enumerate() {
        let followed = followed(wish, column, before, after);
        if followed.is_none() {
            columns.push(held(column, number, &alias));
        }
        keys.push(
            followed
                .unwrap_or_else(|| KeyColumn { shadow: helper_column(number), ..column.clone() }),
        );
    }
    let mut order = Vec::new();
    for column in wish.order {
        let changed = || {
            error::refuse(
                format!("order by column {}", column.source),
                "the altered table does not have it as it is, so its rows could not be found by it",
                "make it two changes, or leave the order out",
            )
        };
        order.push(followed(wish, column, before, after).ok_or_else(changed)?);
    }
    Ok(Layout {
        source: wish.names.source(),
        shadow: quote::qualified(schema, &wish.names.table),
        shadow_schema: quote::quoted(schema),
        alias,
        key_index: key.name.clone(),
        keys,
        order,
        is_partitioned: false,
        columns,
        helper_index: None,
    })
}

/// Pairs of one column before and after the clauses.
fn survivors<'a>(
    before: &'a [Attribute],
    after: &'a [Attribute],
) -> impl Iterator<Item = (&'a Attribute, &'a Attribute)> {
    after.iter().filter_map(|new| Some((before.iter().find(|old| old.number == new.number)?, new)))
}

/// The columns, by their names in the source, whose values may become others.
pub(crate) async fn revalued(
    session: &Session,
    wish: &Wish<'_>,
    before: &[Attribute],
    after: &[Attribute],
) -> Result<Vec<String>> {
    let mut revalued = Vec::new();
    for (old, new) in survivors(before, after) {
        if !keeps_values(session, wish, old, new).await? {
            revalued.push(old.name.clone());
        }
    }
    Ok(revalued)
}

/// Whether every value stays equal to what it was, to those a foreign key compares it with.
async fn keeps_values(
    session: &Session,
    wish: &Wish<'_>,
    old: &Attribute,
    new: &Attribute,
) -> Result<bool> {
    if new.generated {
        return Ok(old.default == new.default);
    }
    let (from, to) = (old.stored_type(), new.stored_type());
    let Some(using) = using_of(wish, old) else {
        return Ok(old.stored_shape() == new.stored_shape() || types::keeps_values(from, to));
    };
    if !types::keeps_values(from, to) {
        return Ok(false);
    }
    let column = format!("{}.{}", quote::quoted(&wish.names.table), quote::quoted(&old.name));
    let computed = reading(session, wish, &using.expression).await?;
    if computed == reading(session, wish, &column).await? {
        return Ok(true);
    }
    // Unlike the server's own, a cast that is written out cuts off what is too long.
    let cast = format!("CAST({column} AS {})", new.type_name);
    Ok(!types::may_cut(from, to) && computed == reading(session, wish, &cast).await?)
}

/// What the server reads an expression over the source's columns as, in its own words.
async fn reading(session: &Session, wish: &Wish<'_>, expression: &str) -> Result<Vec<String>> {
    let failed =
        |error: tokio_postgres::Error| error::of_clauses("read what is behind USING", &error);
    let (source, alias) = (wish.names.source(), quote::quoted(&wish.names.table));
    session.run(&sql::use_search_path(wish.search_path)).await.map_err(failed)?;
    let plan = session
        .query(&sql::explain_value(&source, &alias, expression), &[])
        .await
        .map_err(failed)?;
    session.run(&sql::use_own_language()).await.map_err(failed)?;
    let lines = plan.iter().map(|row| row.get::<_, String>(0));
    Ok(lines.filter(|line| line.trim_start().starts_with("Output:")).collect())
}

fn using_of<'a>(wish: &Wish<'a>, column: &Attribute) -> Option<&'a Using> {
    wish.clauses.using.iter().find(|using| using.column == column.name)
}

/// The name of a column of ours that holds what the clauses take away from the key.
fn helper_column(number: usize) -> String {
    format!("{HELPER}_{}", number + 1)
}

/// Whether a column of the shadow is one of ours.
pub(crate) fn is_helper(name: &str) -> bool {
    name.starts_with(HELPER)
}

/// A column of ours, until the swap, for a column of the key that the altered table does not have
/// as it was.
fn held(key: &KeyColumn, number: usize, alias: &str) -> Column {
    Column {
        name: helper_column(number),
        source: key.source.clone(),
        type_name: key.type_name.clone(),
        value: format!("{alias}.{}", quote::quoted(&key.source)),
        changed: false,
        sameness: Sameness::Image,
    }
}

/// A key's column, followed through the clauses; None if its values would not be found again.
fn followed(
    wish: &Wish<'_>,
    key: &KeyColumn,
    before: &[Attribute],
    after: &[Attribute],
) -> Option<KeyColumn> {
    let (old, new) = survivors(before, after).find(|(old, _)| old.name == key.source)?;
    let is_kept = using_of(wish, old).is_none()
        && !new.generated
        && old.collation == new.collation
        && types::keeps_order(old.stored_type(), new.stored_type());
    is_kept.then(|| KeyColumn { shadow: new.name.clone(), ..key.clone() })
}

/// The shadow's rows are looked up by the source's key all the time. Where the altered table has no
/// columns or no index for that, it gets ours until the swap.
pub(crate) async fn find_by_key(
    session: &Session,
    mut layout: Layout,
    clone: u32,
) -> Result<Layout> {
    let failed = |error: tokio_postgres::Error| {
        error::of_clauses("give the shadow a key to find rows by", &error)
    };
    for key in layout.keys.iter().filter(|key| is_helper(&key.shadow)) {
        let collation = if key.collation.is_empty() {
            String::new()
        } else {
            format!(" COLLATE {}", key.collation)
        };
        let (shadow, name) = (&layout.shadow, quote::quoted(&key.shadow));
        let add =
            format!("ALTER TABLE {shadow} ADD COLUMN {name} {}{collation} NOT NULL", key.type_name);
        session.run(&add).await.map_err(failed)?;
    }
    if lookup_index(&indexes(session, clone).await?, &layout).is_some() {
        return Ok(layout);
    }
    let columns: Vec<String> = layout.keys.iter().map(|key| quote::quoted(&key.shadow)).collect();
    // A partitioned table has no unique index over columns that do not say the partition.
    let unique = if layout.is_partitioned { "" } else { "UNIQUE " };
    let create =
        format!("CREATE {unique}INDEX {HELPER} ON {} ({})", layout.shadow, columns.join(", "));
    session.run(&create).await.map_err(failed)?;
    layout.helper_index = Some(HELPER.to_owned());
    Ok(layout)
}

/// The statement that takes our own columns and index away from the shadow again; None if it has
/// none.
pub(crate) fn drop_helpers(layout: &Layout) -> Option<String> {
    let helpers = layout.keys.iter().filter(|key| is_helper(&key.shadow));
    let columns: Vec<String> =
        helpers.map(|key| format!("DROP COLUMN {}", quote::quoted(&key.shadow))).collect();
    if !columns.is_empty() {
        return Some(format!("ALTER TABLE {} {}", layout.shadow, columns.join(", ")));
    }
    layout
        .helper_index
        .as_ref()
        .map(|index| format!("DROP INDEX {}.{}", layout.shadow_schema, quote::quoted(index)))
}

/// An index of the clone: its leading columns if it can find rows, whether it may wait, and the
/// statement that drops it if it may be left out.
struct CloneIndex {
    leading: Option<Vec<String>>,
    is_unique: bool,
    can_wait: bool,
    drop: Option<String>,
    deferred: Deferred,
}

impl CloneIndex {
    /// Whether it keeps out a second row of the same key at once, and nothing else.
    fn is_of_key(&self, layout: &Layout) -> bool {
        self.is_unique
            && self.leading.as_ref().is_some_and(|columns| columns.len() == layout.keys.len())
    }
}

async fn indexes(session: &Session, clone: u32) -> Result<Vec<CloneIndex>> {
    let rows = session.query(sql::DEFERRABLE_INDEXES, &[&clone]).await;
    let rows = rows.map_err(|error| error::of("read the shadow's indexes", &error))?;
    let index = |row: &tokio_postgres::Row| CloneIndex {
        leading: row.get(1),
        is_unique: row.get(6),
        can_wait: row.get(2),
        drop: row.get(7),
        deferred: Deferred {
            name: row.get(0),
            create: row.get(3),
            tablespace: row.get(4),
            constraint: row.get(8),
            finish: row.get(5),
        },
    };
    Ok(rows.iter().map(index).collect())
}

/// The index rows of the shadow are found by; one that must stand anyway comes first. Where one key
/// has several spellings, two of them may be refreshed at once, so the index must keep out the
/// second row; and where rows move along the walk, a chunk must not be able to copy a row that the
/// shadow still holds as it was elsewhere.
fn lookup_index<'a>(indexes: &'a [CloneIndex], layout: &Layout) -> Option<&'a CloneIndex> {
    let key: BTreeSet<&str> = layout.keys.iter().map(|key| key.shadow.as_str()).collect();
    let spelled_once = layout.keys.iter().all(|key| key.spelled_once);
    let serves = |index: &&CloneIndex| {
        let columns = index.leading.as_deref().unwrap_or_default();
        let begins = columns.get(..key.len()).unwrap_or_default();
        begins.iter().map(String::as_str).collect::<BTreeSet<_>>() == key
            && ((spelled_once && layout.order.is_empty())
                || (index.is_unique && columns.len() == key.len()))
    };
    let mut serving: Vec<&CloneIndex> = indexes.iter().filter(serves).collect();
    serving.sort_by_key(|index| index.can_wait);
    serving.first().copied()
}

/// The indexes the shadow can be filled without. A chunk brings each key once, so where the key's
/// values stay as they are the index it is found by keeps nothing out while nothing is refreshed;
/// other unique indexes may have to.
pub(crate) async fn left_out(session: &Session, layout: &Layout, clone: u32) -> Result<LeftOut> {
    // The index of a partitioned table is made of those of its partitions, and stays.
    if layout.is_partitioned {
        return Ok(LeftOut::default());
    }
    let indexes = indexes(session, clone).await?;
    let needed = lookup_index(&indexes, layout);
    let is_needed = |index: &CloneIndex| {
        needed.is_some_and(|needed| needed.deferred.name == index.deferred.name)
    };
    let (mut deferred, mut is_alone) = (Vec::new(), layout.order.is_empty() && layout.keeps_key());
    for index in indexes.iter().filter(|index| !is_needed(index)) {
        if index.can_wait {
            deferred.push(index.deferred.clone());
        } else {
            is_alone = false;
        }
    }
    let lookup = needed.filter(|index| is_alone && (index.can_wait || index.is_of_key(layout)));
    let lookup = lookup.and_then(|index| Some((index.deferred.clone(), index.drop.clone()?)));
    Ok(LeftOut { deferred, lookup })
}

/// What the shadow demands beyond the source.
pub(crate) fn news(wish: &Wish<'_>, before: &[Attribute], after: &[Attribute]) -> News {
    let alias = quote::quoted(&wish.names.table);
    let mut news = News::default();
    for new in after.iter().filter(|new| !before.iter().any(|old| old.number == new.number)) {
        news.add(new);
    }
    for (old, new) in survivors(before, after) {
        let value = using_of(wish, old).map(|using| using.expression.clone());
        let is_computed = value.is_some();
        let value = value.unwrap_or_else(|| format!("{alias}.{}", quote::quoted(&old.name)));
        // A value that stays as it is fits, and the table need not be read to know it.
        if !new.generated && (is_computed || old.type_name != new.type_name) {
            let is_safe = !is_computed && types::keeps_order(old.stored_type(), new.stored_type());
            news.risks.extend(Risk::of(new, &value, is_safe));
        }
        if new.generated {
            news.generated
                .extend(new.default.clone().map(|expression| (new.name.clone(), expression)));
        } else if new.not_null && !old.not_null {
            news.not_null.push((new.name.clone(), value));
        }
    }
    news
}

/// The columns no column of the source fills, found again from what was written down of the shadow.
pub(crate) fn added_columns(layout: &Layout, after: &[Attribute]) -> News {
    let mut news = News::default();
    for new in
        after.iter().filter(|new| !layout.columns.iter().any(|filled| filled.name == new.name))
    {
        news.add(new);
    }
    news
}

fn name_taken(object: String) -> Refusal {
    error::refuse(
        object,
        "after the swap two objects would have this name",
        "rename one of them, or choose another name in the clauses",
    )
}
