//! Two tables compared as a source and its shadow are, on a session of its own. Nothing is written.

use crate::engine::{Postgres, find_table};
use crate::key::candidates::Candidate;
use crate::key::types;
use crate::key::values;
use crate::schema::catalogue;
use crate::schema::columns::{Column, Layout};
use crate::schema::definition::{self, Attribute};
use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{
    Chunk, Comparison, Error, Key, Pairs, RangeComparison, Result, TablePair, Target, Watermark,
};
use tokio_postgres::types::ToSql;

/// Two tables; see the module.
pub struct PostgresPair {
    session: Session,
    layout: Layout,
    names: [String; 2],
}

/// One of the two.
struct Table {
    name: String,
    quoted: String,
    is_partitioned: bool,
    attributes: Vec<Attribute>,
    keys: Vec<Candidate>,
}

impl Pairs for Postgres {
    type Pair = PostgresPair;

    async fn pair(target: &Target, other: &str) -> Result<PostgresPair> {
        let server = Server::reach(&target.url, &target.passwords).await?;
        let session = server.open("altergeist", &sql::worker_settings()).await?;
        let about = session.one(sql::SERVER, &[]).await;
        let path: String = about.doing(format!("look around on {}", server.name()))?.get(2);
        let one = Table::read(&session, &target.table, &path).await?;
        let other = Table::read(&session, other, &path).await?;
        let names = [one.name.clone(), other.name.clone()];
        let refused = |reason: String| {
            Error::refused(format!("compare {} with {}", names[0], names[1]), reason)
        };
        // Only the second one's partitions are read.
        let (one, other) = if one.is_partitioned { (other, one) } else { (one, other) };
        let layout = layout(&one, &other).map_err(refused)?;
        let names = [one.name, other.name];
        Ok(PostgresPair { session, layout, names })
    }
}

impl Table {
    async fn read(session: &Session, given: &str, path: &str) -> Result<Table> {
        let (schema, table) = find_table(session, given, path).await?;
        let name = format!("{schema}.{table}");
        let attempted = || format!("look at {name}");
        let missing = || Error::refused(attempted(), "there is no such table any more");
        let oid = catalogue::table_id(session, &schema, &table).await?.ok_or_else(missing)?;
        let row = session.one(sql::PARTS_OF_TABLE, &[&oid]).await.doing(attempted)?;
        let (is_partitioned, has_children): (bool, bool) = (row.get(0), row.get(1));
        if has_children && !is_partitioned {
            return Err(Error::refused(attempted(), "other tables inherit from it"));
        }
        let keys = session.query(sql::KEYS, &[&oid, &true]).await.doing(attempted)?;
        Ok(Table {
            quoted: quote::qualified(&schema, &table),
            is_partitioned,
            attributes: definition::attributes(session, oid).await?,
            keys: keys.iter().map(Candidate::of_row).collect(),
            name,
        })
    }
}

/// How the rows of both belong together, or why they do not.
fn layout(one: &Table, other: &Table) -> std::result::Result<Layout, String> {
    if one.name == other.name {
        return Err("both are the same table".into());
    }
    if one.is_partitioned {
        return Err("both are partitioned. Compare their partitions one by one".into());
    }
    let only = [(one, other), (other, one)].map(|(table, other)| {
        let is_alone = |name: &&str| other.attributes.iter().all(|column| column.name != *name);
        let names = table.attributes.iter().map(|column| column.name.as_str());
        let names: Vec<&str> = names.filter(is_alone).collect();
        (!names.is_empty())
            .then(|| format!("only {} has the columns {}", table.name, names.join(", ")))
    });
    let only: Vec<String> = only.into_iter().flatten().collect();
    if !only.is_empty() {
        return Err(only.join("; "));
    }
    let key = common_key(one, other)?;
    let column = |new: &Attribute| {
        let old = one.attributes.iter().find(|old| old.name == new.name)?;
        Some(Column {
            counted: None,
            name: new.name.clone(),
            source: old.name.clone(),
            type_name: new.type_name.clone(),
            value: format!("s.{}", quote::quoted(&old.name)),
            changed: old.stored_shape() != new.stored_shape(),
            sameness: types::sameness(new.stored_type()),
            returns: None,
        })
    };
    Ok(Layout {
        source: one.quoted.clone(),
        shadow: other.quoted.clone(),
        shadow_schema: String::new(),
        alias: "s".into(),
        key_index: key.name.clone(),
        keys: key.columns.clone(),
        order: Vec::new(),
        is_partitioned: other.is_partitioned,
        columns: other.attributes.iter().filter_map(column).collect(),
        helper_index: None,
        back: None,
    })
}

/// The first table's key that the second has too, over columns of the same types. The primary key
/// goes first.
fn common_key<'a>(one: &'a Table, other: &Table) -> std::result::Result<&'a Candidate, String> {
    let fits = |key: &&Candidate| key.unfit.is_none() && !key.is_deferrable;
    let mut keys: Vec<&Candidate> = one.keys.iter().filter(fits).collect();
    keys.sort_by_key(|key| !key.is_primary);
    let columns = |key: &Candidate| {
        let columns = key.columns.iter();
        columns
            .map(|column| (column.source.clone(), column.type_oid, column.collation.clone()))
            .collect::<Vec<_>>()
    };
    let is_common =
        |key: &&&Candidate| other.keys.iter().filter(fits).any(|own| columns(own) == columns(key));
    let found = keys.iter().find(is_common).copied();
    found.ok_or_else(|| {
        let names = |key: &&Candidate| {
            let names: Vec<&str> = key.columns.iter().map(|it| it.source.as_str()).collect();
            format!("({})", names.join(", "))
        };
        let keys: Vec<String> = keys.iter().map(names).collect();
        match keys.is_empty() {
            true => format!("{} has no unique index over columns that are NOT NULL", one.name),
            false => format!(
                "they have no common key: {} needs a unique index over {}, with the same types, \
                 NOT NULL",
                other.name,
                keys.join(" or ")
            ),
        }
    })
}

impl PostgresPair {
    async fn compared(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<RangeComparison> {
        let attempted = || format!("compare {} with {}", self.names[0], self.names[1]);
        let rows = self.session.query(statement, parameters).await.doing(attempted)?;
        let mut found = Comparison::default();
        for row in &rows {
            found.rows += row.get::<_, i64>(0).unsigned_abs();
            if row.get::<_, Option<values::Raw<'_>>>(1).is_some() {
                found.differing.push(values::of_row(row, 1, self.layout.keys.len()));
            }
        }
        let is_cut = found.differing.len() > sql::DIFFERENCES;
        Ok(RangeComparison { found, is_cut })
    }
}

impl TablePair for PostgresPair {
    fn tables(&self) -> [&str; 2] {
        [&self.names[0], &self.names[1]]
    }

    fn key(&self) -> String {
        let names = self.layout.keys.iter().map(|key| key.source.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let last = i64::try_from(rows.max(1) - 1).unwrap_or(i64::MAX);
        let bounds = values::values(after);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&last];
        parameters.extend(values::parameters(&bounds));
        let statement = sql::chunk_end(&self.layout, after);
        let found = self.session.query(&statement, &parameters).await;
        let found = found.doing(format!("find the end of a range of {}", self.names[0]))?;
        let through = found.first().map_or(Watermark::End, |row| {
            Watermark::At(values::of_row(row, 0, self.layout.keys.len()))
        });
        Ok(Chunk { after: after.clone(), through })
    }

    async fn compare(&self, chunk: &Chunk) -> Result<RangeComparison> {
        let values = values::both_values(chunk);
        let statement = sql::compare_range(&self.layout, &chunk.after, &chunk.through);
        self.compared(&statement, &values::parameters(&values)).await
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        let mut differing = Vec::new();
        for set in values::sets(keys, &self.layout) {
            let statement = sql::compare_keys(&self.layout, set.places);
            differing.extend(self.compared(&statement, &set.parameters()).await?.found.differing);
        }
        Ok(differing)
    }
}
