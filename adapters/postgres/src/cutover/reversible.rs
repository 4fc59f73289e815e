//! What a swap keeps so that it can be reverted. All of it happens in the swap's own transaction:
//! the old table loses what would fire there, the log covers the altered table from then on, and
//! the journal gets the facts of the way back.

use crate::cutover::dependents;
use crate::cutover::locked_relations::LockedRelation;
use crate::cutover::materialized_views::{self, MaterializedView};
use crate::facts::{Dependent, Originals, ReverseFacts, ShadowFacts};
use crate::log::completeness;
use crate::schema::altered::{DeferredIndex, FinalSteps};
use crate::schema::columns::Layout;
use crate::schema::definition::{self, Attribute};
use crate::schema::lookup_index;
use crate::schema::return_key;
use crate::schema::reverse_mapping::Tables;
use crate::server::doing::Doing;
use crate::server::names::{self, Names};
use crate::server::session::Session;
use crate::server::version::Version;
use crate::shadow::guard;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Error, Result};

/// A swap that can be reverted, as far as it has come.
pub(crate) struct Reversible<'a> {
    /// The names of the change.
    pub(crate) names: &'a Names,
    pub(crate) version: Version,
    /// The old table.
    pub(crate) source: u32,
    pub(crate) shadow: &'a ShadowFacts,
    pub(crate) locked_relations: &'a [LockedRelation],
    pub(crate) reverse_sets: &'a [(String, String)],
    /// The altered table's columns, with the names that they had in the shadow.
    pub(crate) held: &'a [Attribute],
    /// The old table's dependents, before the swap.
    pub(crate) dependents: &'a [Dependent],
    /// The materialized views and their queries, before the swap.
    pub(crate) queries: Vec<(String, String)>,
}

/// Returns the queries of materialized views, by their names.
pub(crate) async fn queries(
    session: &Session,
    views: &[MaterializedView],
) -> Result<Vec<(String, String)>> {
    let mut queries = Vec::new();
    for view in views {
        let query = session.one(sql::VIEW_QUERY, &[&view.oid]).await;
        queries.push((view.display(), query.doing("read materialized views")?.get(0)));
    }
    Ok(queries)
}

impl Reversible<'_> {
    /// Prepares the way back. The altered table has the name.
    pub(crate) async fn prepare(&self, session: &Session) -> Result<ReverseFacts> {
        let attempted = || format!("prepare the way back of {}", self.names.display);
        let ahead = self.names.turned();
        let new = definition::attributes(session, self.shadow.oid).await?;
        let old = definition::attributes(session, self.source).await?;
        let tables = Tables {
            forward: &self.shadow.layout,
            old: &old,
            new: &new,
            pairs: self.pairs(&old),
            numbers: self.numbers(session).await?,
            reverse_sets: self.reverse_sets,
        };
        let key = return_key::choose(session, self.shadow.oid, &tables).await?;
        let key = key.ok_or_else(|| Error::refused(attempted(), return_key::NONE))?;
        let misfits = sql::misfits_table(&ahead.shadow_schema, &names::tag(&ahead.display));
        let mut layout = tables.layout(&ahead, &key.index, key.columns.clone(), misfits.clone());
        let columns: Vec<String> = key.columns.iter().map(|key| key.source.clone()).collect();
        let columns =
            Some(columns).filter(|_| self.version.has_column_lists() && !key.has_whole_rows);
        let mut script: Vec<String> = Vec::new();
        if key.own_identity.is_some() {
            script.push(sql::use_identity(&self.names.source(), &key.index));
        }
        let publication = &self.names.publication;
        script.push(sql::publish_instead(publication, &self.names.source(), columns.as_deref()));
        script.push(sql::drop_misfits(&misfits));
        script.push(sql::create_misfits(&misfits, &key.columns));
        session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
        let is_guarded = guard::set(session, &ahead, self.source, &[]).await?;
        let lookup = lookup(session, self.source, &mut layout).await?;
        let originals = self.originals(session).await?;
        let shadow = ShadowFacts {
            oid: self.source,
            lines: definition::describe(session, self.source).await?,
            is_unlogged: false,
            late: lookup_index::drop_helpers(&layout).into_iter().collect(),
            survivors: tables
                .both()
                .map(|(old, new)| (new.name.clone(), old.name.clone()))
                .collect(),
            layout,
            deferred: Vec::new(),
            lookup,
            final_steps: FinalSteps { parents: self.parents(&originals), ..FinalSteps::default() },
            is_guarded,
            finish: Vec::new(),
            originals: Some(originals),
        };
        Ok(ReverseFacts {
            source: self.shadow.oid,
            // With the replica identity that it has for a while.
            source_lines: definition::describe(session, self.shadow.oid).await?,
            stream_conditions: Some(
                completeness::take(session, self.names, self.shadow.oid).await?,
            ),
            own_identity: key.own_identity,
            shadow: Some(shadow),
            done: None,
        })
    }

    /// Returns the numbers of the columns that both tables have, the old one's first.
    fn pairs(&self, old: &[Attribute]) -> Vec<(i16, i16)> {
        let number = |columns: &[Attribute], name: &str| {
            columns.iter().find(|column| column.name == name).map(|column| column.number)
        };
        let pair = |(source, held): &(String, String)| {
            Some((number(old, source)?, number(self.held, held)?))
        };
        self.shadow.survivors.iter().filter_map(pair).collect()
    }

    /// Returns the old table's identity columns, with the expressions of their next numbers.
    async fn numbers(&self, session: &Session) -> Result<Vec<(String, String)>> {
        let rows = session.query(sql::SEQUENCES, &[&self.source]).await;
        let rows = rows.doing("read the sequences")?;
        let identities = rows.iter().filter(|row| row.get(2));
        Ok(identities.map(|row| (row.get(0), sql::next_number(row.get(1)))).collect())
    }

    /// Reads what hangs on the altered table, and connects it with what hung on the old one.
    async fn originals(&self, session: &Session) -> Result<Originals> {
        let views = materialized_views::list(session, self.shadow.oid).await?;
        let now = dependents::read(session, self.names, self.shadow.oid, &views).await?;
        let original =
            |now: &Dependent| self.dependents.iter().find(|was| was.object == now.object).cloned();
        let dropped = self
            .dependents
            .iter()
            .filter(|was| !now.iter().any(|now| now.object == was.object))
            .cloned()
            .collect();
        let queries = queries(session, &views).await?.into_iter().filter_map(|(view, query)| {
            let was = self.queries.iter().find(|(name, _)| *name == view);
            was.map(|(_, was)| (query, was.clone()))
        });
        Ok(Originals {
            queries: queries.collect(),
            dropped,
            carried: now.into_iter().map(|now| (now.clone(), original(&now))).collect(),
        })
    }

    /// Returns the tables that the swap back must lock for the foreign keys that come back.
    fn parents(&self, originals: &Originals) -> Vec<String> {
        if !originals.dropped.iter().any(|dependent| dependent.is_key) {
            return Vec::new();
        }
        let tables = self.locked_relations.iter().filter(|relation| !relation.is_view);
        tables.map(|relation| relation.name.clone()).collect()
    }
}

/// Returns the index that must be built on the old table to find its rows, if it has none.
async fn lookup(session: &Session, old: u32, layout: &mut Layout) -> Result<Option<DeferredIndex>> {
    if lookup_index::is_searchable(session, old, layout).await? {
        return Ok(None);
    }
    let name = format!("altergeist_key_{}", names::tag(&layout.shadow));
    let columns: Vec<String> = layout.keys.iter().map(|key| quote::quoted(&key.shadow)).collect();
    layout.helper_index = Some(name.clone());
    Ok(Some(DeferredIndex {
        create: sql::create_helper_index(&layout.shadow, &name, false, &columns),
        name,
        tablespace: String::new(),
        constraint: None,
        finish: Vec::new(),
    }))
}

/// Sorts the dependents of the altered table for the swap back: those that come back as they were
/// before the first swap, and those that others have made or changed since. What the clauses
/// created is not among them.
pub(crate) fn sort(
    originals: &Originals,
    dependents: &[Dependent],
) -> (Vec<Dependent>, Vec<Dependent>) {
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for dependent in dependents {
        let is_same =
            |now: &Dependent| now.object == dependent.object && now.after == dependent.after;
        match originals.carried.iter().find(|(now, _)| is_same(now)) {
            Some((_, Some(was))) => known.push(was.clone()),
            Some((_, None)) => {}
            None => new.push(dependent.clone()),
        }
    }
    let is_free = |was: &&Dependent| !new.iter().any(|new| new.object == was.object);
    known.extend(originals.dropped.iter().filter(is_free).cloned());
    (known, new)
}
