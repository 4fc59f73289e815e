//! Two tables compared as a source and its shadow are, on a session of its own. Nothing is written.

use crate::change::Change;
use crate::schema::clauses::Clauses;
use crate::schema::column_mapping::{self, ColumnMapping};
use crate::schema::convert;
use crate::schema::lookup::read_table;
use crate::schema::pair::Pair;
use crate::schema::table::{Table, is_same};
use crate::server::about::Server;
use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::session::{Session, number};
use crate::shadow::compare::{MOST_DIFFERENCES, in_snapshot, keys_of};
use crate::shadow::insert::parts;
use crate::sql;
use crate::sql::compare::Compared;
use crate::state::MySql;
use altergeist_contract::{
    Chunk, Comparison, Error, Key, Pairs, RangeComparison, Result, TablePair, Target, Watermark,
};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// Two tables; see the module.
pub struct MySqlPair {
    session: AsyncMutex<Session>,
    mapping: ColumnMapping,
    names: [String; 2],
}

impl Pairs for MySql {
    type Pair = MySqlPair;

    async fn pair(target: &Target, other: &str) -> Result<MySqlPair> {
        let access = Access::read(&target.url, &target.passwords)?;
        let mut session = Session::bare(&access).await?;
        let server = Server::ask(&mut session).await?;
        let (version, zone) = (server.version, server.zone());
        session.set_up(&access, version, Duration::from_secs(1)).await?;
        let schema = access.schema.as_deref();
        let one = Change::read(&mut session, target, schema, server.clone()).await?;
        let other = Target { table: other.to_owned(), ..target.clone() };
        let two = Change::read(&mut session, &other, schema, server).await?;
        let attempted = format!("compare {} with {}", one.title, two.title);
        if one.source == two.source {
            return Err(Error::refused(attempted, "both are the same table"));
        }
        let tables = (
            read_table(&one, &mut session, &one.source).await?,
            read_table(&two, &mut session, &two.source).await?,
        );
        let refused = |reason: String| Error::refused(attempted.clone(), reason);
        same_columns((&one.title, &tables.0), (&two.title, &tables.1)).map_err(refused)?;
        let names = (&one.source, &two.source);
        let clauses = Clauses::default();
        let mapping =
            column_mapping::find(names, &tables.0, &tables.1, &clauses, zone, version.flavour);
        let mapping = mapping.map_err(|refusals| {
            let reasons = refusals.iter().map(|it| format!("{}: {}", it.object, it.message));
            refused(reasons.collect::<Vec<_>>().join("; "))
        })?;
        let mapping = with_generated(mapping, &tables.0, &tables.1).map_err(refused)?;
        require_common_key(&mapping, [&one.title, &two.title]).map_err(refused)?;
        if mapping.in_utc {
            session.execute(sql::session::IN_UTC).await.doing_in_catalogue(&*attempted)?;
        }
        let names = [one.title, two.title];
        Ok(MySqlPair { session: AsyncMutex::new(session), mapping, names })
    }
}

impl TablePair for MySqlPair {
    fn tables(&self) -> [&str; 2] {
        [&self.names[0], &self.names[1]]
    }

    fn key(&self) -> String {
        let names = self.mapping.key.columns.iter().map(|column| column.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let attempted = || format!("find the end of a range of {}", self.names[0]);
        let statement = sql::rows::range_end(&self.mapping, after, rows)?;
        let found = self.session.lock().await.rows(&statement).await.doing(attempted)?;
        let through = match found.first() {
            None => Watermark::End,
            Some(row) => Watermark::At(
                (self.mapping.key.of_query(row))
                    .ok_or_else(|| Error::fatal(attempted(), "its key cannot be read"))?,
            ),
        };
        Ok(Chunk { after: after.clone(), through })
    }

    async fn compare(&self, chunk: &Chunk) -> Result<RangeComparison> {
        let (mapping, limit) = (&self.mapping, MOST_DIFFERENCES + 1);
        let statements = [
            sql::compare::count_rows(mapping, chunk)?,
            sql::compare::count_in_shadow(mapping, chunk)?,
            sql::compare::missing_or_different(mapping, &Compared::Range(chunk), limit)?,
            sql::compare::surplus(mapping, &Compared::Range(chunk), limit)?,
        ];
        let attempted = format!("compare a range of {} with {}", self.names[0], self.names[1]);
        let mut session = self.session.lock().await;
        let answers = in_snapshot(&mut session, &statements, |_| false).await.doing(&attempted)?;
        let count = |nth: usize| {
            answers.get(nth).and_then(|rows| rows.first()).and_then(|row| number(&row[0]))
        };
        let (rows, others) = (count(0).unwrap_or_default(), count(1));
        let is_cut = answers[2..].iter().any(|rows| rows.len() as u64 >= limit);
        let differing = keys_of(mapping, &answers[2..], &attempted)?;
        if differing.is_empty() && others.is_some_and(|others| others != rows) {
            let reason = format!("{} has a key of {} twice", self.names[1], self.names[0]);
            return Err(Error::refused(attempted, reason));
        }
        Ok(RangeComparison { found: Comparison { rows, differing, columns: Vec::new() }, is_cut })
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        let mut statements = Vec::new();
        for part in parts(keys) {
            let (mapping, keys) = (&self.mapping, Compared::Keys(part));
            let limit = MOST_DIFFERENCES + 1;
            statements.push(sql::compare::missing_or_different(mapping, &keys, limit)?);
            statements.push(sql::compare::surplus(mapping, &keys, limit)?);
        }
        let attempted = format!("compare rows of {} with {}", self.names[0], self.names[1]);
        let mut session = self.session.lock().await;
        let answers = in_snapshot(&mut session, &statements, |_| false).await.doing(&attempted)?;
        keys_of(&self.mapping, &answers, &attempted)
    }
}

/// Names the columns that only one of the tables has.
fn same_columns(one: (&str, &Table), other: (&str, &Table)) -> std::result::Result<(), String> {
    let only = |(name, table): (&str, &Table), other: &Table| {
        let is_alone = |name: &&str| other.column(name).is_none();
        let names = table.columns.iter().map(|column| column.name.as_str());
        let names: Vec<&str> = names.filter(is_alone).collect();
        (!names.is_empty()).then(|| format!("only {name} has the columns {}", names.join(", ")))
    };
    let found = [only(one, other.1), only(other, one.1)];
    let found: Vec<String> = found.into_iter().flatten().collect();
    if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
}

/// Adds the generated columns. A copy never writes them, but they may differ.
fn with_generated(
    mut mapping: ColumnMapping,
    one: &Table,
    other: &Table,
) -> std::result::Result<ColumnMapping, String> {
    for column in other.columns.iter().filter(|column| column.generated) {
        let source = one.columns.iter().find(|source| is_same(&source.name, &column.name));
        let Some(source) = source else { continue };
        let pair =
            Pair { source: source.clone(), shadow: column.clone(), by_text: false, formula: None };
        if convert::equal(&pair, "s.", "d.").is_none() {
            return Err(format!("their columns {} cannot be compared", column.name));
        }
        mapping.columns.push(pair);
    }
    Ok(mapping)
}

fn require_common_key(
    mapping: &ColumnMapping,
    names: [&str; 2],
) -> std::result::Result<(), String> {
    let key = &mapping.key;
    let is_common =
        !key.needs_lookup() && mapping.kept.is_empty() && !key.is_mapped() && !key.has_prefix();
    let columns: Vec<&str> = key.columns.iter().map(|column| column.name.as_str()).collect();
    is_common.then_some(()).ok_or_else(|| {
        format!(
            "they have no common key: {} needs a unique index over the columns {} of {}, with the \
             same types",
            names[1],
            columns.join(", "),
            names[0]
        )
    })
}
