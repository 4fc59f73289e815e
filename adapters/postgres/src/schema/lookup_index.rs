//! The index that finds rows of the shadow by the source's key, and the indexes that the copy
//! leaves out at first.

use crate::schema::altered::{DeferredIndex, HELPER, LeftOut};
use crate::schema::columns::Layout;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::Result;
use std::collections::BTreeSet;

/// Returns the name of our column for a key column that the clauses take away.
pub(crate) fn helper_column(number: usize) -> String {
    format!("{HELPER}_{}", number + 1)
}

/// Whether a column of the shadow is one of ours.
pub(crate) fn is_helper(name: &str) -> bool {
    name.starts_with(HELPER)
}

/// Makes the shadow's rows searchable by the source's key. If the altered table lacks columns or an
/// index for that, it gets ours until the swap.
pub(crate) async fn find_by_key(
    session: &Session,
    mut layout: Layout,
    clone: u32,
) -> Result<Layout> {
    let attempted = "give the shadow a key to find rows by";
    for key in layout.keys.iter().filter(|key| is_helper(&key.shadow)) {
        let add =
            sql::add_helper_column(&layout.shadow, &key.shadow, &key.type_name, &key.collation);
        session.run(&add).await.trying_clauses(attempted)?;
    }
    if lookup_index(&indexes(session, clone).await?, &layout).is_some() {
        return Ok(layout);
    }
    let columns: Vec<String> = layout.keys.iter().map(|key| quote::quoted(&key.shadow)).collect();
    // A partitioned table cannot have a unique index without its partition columns.
    let create = sql::create_helper_index(&layout.shadow, HELPER, !layout.is_partitioned, &columns);
    session.run(&create).await.trying_clauses(attempted)?;
    layout.helper_index = Some(HELPER.to_owned());
    Ok(layout)
}

/// Returns the statement that drops our own columns and index from the shadow.
pub(crate) fn drop_helpers(layout: &Layout) -> Option<String> {
    let mut helpers = layout.keys.iter().filter(|key| is_helper(&key.shadow)).peekable();
    if helpers.peek().is_some() {
        return Some(sql::drop_columns(&layout.shadow, helpers.map(|key| key.shadow.as_str())));
    }
    let index = layout.helper_index.as_ref()?;
    Some(sql::drop_in("INDEX", &layout.shadow_schema, &quote::quoted(index)))
}

/// An index of the clone: its leading columns if it can find rows, whether it can be built later,
/// and the statement that drops it if it can be left out.
struct CloneIndex {
    leading: Option<Vec<String>>,
    is_unique: bool,
    can_wait: bool,
    drop: Option<String>,
    deferred: DeferredIndex,
}

impl CloneIndex {
    /// Whether it rejects a second row of the same key at once, and nothing else.
    fn is_of_key(&self, layout: &Layout) -> bool {
        self.is_unique
            && self.leading.as_ref().is_some_and(|columns| columns.len() == layout.keys.len())
    }
}

async fn indexes(session: &Session, clone: u32) -> Result<Vec<CloneIndex>> {
    let rows = session.query(sql::DEFERRABLE_INDEXES, &[&clone]).await;
    let rows = rows.doing("read the shadow's indexes")?;
    let index = |row: &tokio_postgres::Row| CloneIndex {
        leading: row.get(1),
        is_unique: row.get(6),
        can_wait: row.get(2),
        drop: row.get(7),
        deferred: DeferredIndex {
            name: row.get(0),
            create: row.get(3),
            tablespace: row.get(4),
            constraint: row.get(8),
            finish: row.get(5),
        },
    };
    Ok(rows.iter().map(index).collect())
}

/// Whether a table has an index that finds rows by the layout's key.
pub(crate) async fn is_searchable(session: &Session, table: u32, layout: &Layout) -> Result<bool> {
    Ok(lookup_index(&indexes(session, table).await?, layout).is_some())
}

/// Returns the index that finds the shadow's rows. An index that must exist anyway comes first. If
/// a key has several spellings, two of them may be refreshed at once, so the index must reject the
/// second row. If rows can move along the scan, a chunk must not copy a row that the shadow still
/// holds elsewhere.
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

/// Returns the indexes that the copy can do without. A chunk brings each key once. So while no row
/// is refreshed, an index on unchanged key values rejects nothing. Other unique indexes may have
/// to.
pub(crate) async fn left_out(session: &Session, layout: &Layout, clone: u32) -> Result<LeftOut> {
    // A partitioned table's index consists of its partitions' indexes, and stays.
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
