//! The swap: one transaction that puts the shadow in the source's place and creates the dependents.

use crate::cutover::blockers;
use crate::cutover::dependents::{self, Dependent};
use crate::cutover::locked_relations::{self, LockedRelation};
use crate::cutover::materialized_views::{self, MaterializedView};
use crate::cutover::owned::{sequences, statistics};
use crate::cutover::replacement_views;
use crate::cutover::reversible::{self, Reversible};
use crate::facts::{Facts, ShadowFacts};
use crate::journal;
use crate::plan::cascade::Cascade;
use crate::plan::refusals;
use crate::plan::rehearsal::Adapted;
use crate::schema::catalogue::{self, SchemaState};
use crate::schema::definition::{self, Attribute};
use crate::schema::user_definition;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::session::Session;
use crate::server::version::Version;
use crate::shadow::concurrent_ddl;
use crate::shadow::guard;
use crate::sql;
use altergeist_contract::{Error, ForeignKeys, Kind, Result};

/// What the swap needs to know.
pub(crate) struct Swapper {
    pub(crate) names: Names,
    pub(crate) facts: Facts,
    pub(crate) locked_relations: Vec<LockedRelation>,
    pub(crate) views: Vec<MaterializedView>,
    pub(crate) cascade: Cascade,
    pub(crate) adapted: Adapted,
    pub(crate) identities: Vec<String>,
    pub(crate) foreign_keys: ForeignKeys,
    pub(crate) version: Version,
    /// Whether the old table is kept current afterwards.
    pub(crate) is_reversible: bool,
    pub(crate) reverse_sets: Vec<(String, String)>,
}

/// The dependents as the swap creates them.
struct Arranged {
    /// Those that are created with the old names of columns.
    first: Vec<Dependent>,
    /// Those that come afterwards, on the way back only: with the altered table's names.
    then: Vec<Dependent>,
}

impl Swapper {
    /// Reads everything that the swap will read, before the lock. That prepares its statements and
    /// fills the session's catalogue cache. If the swap would be refused, this refuses it, and
    /// nobody waits.
    pub(crate) async fn rehearse(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let attempted = || format!("prepare the cut-over of {}", self.names.display);
        session.run(&sql::begin_read_only(&sql::swap_settings())).await.doing(attempted)?;
        self.check_source(session, shadow).await?;
        own_objects::require(session, &attempted()).await?;
        definition::describe(session, shadow.oid).await?;
        dependents::read(session, &self.names, self.facts.source, &self.views).await?;
        replacement_views::definitions(session, &self.views, &self.adapted).await?;
        definition::attributes(session, shadow.oid).await?;
        for table in [self.facts.source, shadow.oid] {
            sequences(session, table).await?;
            statistics(session, table).await?;
        }
        session.run(sql::ROLLBACK).await.doing(attempted)
    }

    /// Gives the shadow its last constraints, and drops what only the run needed.
    async fn complete_shadow(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let mut script = shadow.late.clone();
        if !self.is_reversible {
            script.push(sql::drop_publication(&self.names.publication));
        }
        if shadow.is_guarded {
            script.extend(guard::drop(
                &self.names,
                &user_definition::partitions(session, shadow.oid).await?,
            ));
        }
        let attempted = || format!("swap {} with its shadow", self.names.display);
        session.run(&script.join(";\n")).await.trying_clauses(attempted)
    }

    /// Does everything up to the commit. It stops if another session changed anything since the run
    /// began.
    pub(crate) async fn swap(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let attempted = || format!("swap {} with its shadow", self.names.display);
        session.run(&sql::swap_settings()).await.trying_clauses(attempted)?;
        self.check_source(session, shadow).await?;
        self.complete_shadow(session, shadow).await?;
        self.check_shadow(session, shadow).await?;
        self.make_room(session).await?;
        let dependents =
            dependents::read(session, &self.names, self.facts.source, &self.views).await?;
        let queries = match self.is_reversible {
            true => reversible::queries(session, &self.views).await?,
            false => Vec::new(),
        };
        let held = definition::attributes(session, shadow.oid).await?;
        let made = Box::pin(self.change_places(session, shadow, &dependents, &held)).await?;
        self.run_final_steps(session, shadow).await?;
        self.restore_identity(session).await?;
        let lines = definition::describe(session, shadow.oid).await?;
        let way_back = Reversible {
            names: &self.names,
            version: self.version,
            source: self.facts.source,
            shadow,
            locked_relations: &self.locked_relations,
            reverse_sets: &self.reverse_sets,
            held: &held,
            dependents: &dependents,
            queries,
        };
        let reverse = match self.is_reversible {
            true => Some(Box::new(Box::pin(way_back.prepare(session)).await?)),
            false => self.facts.reverse.clone(),
        };
        let facts = Facts {
            done: Some(definition::structure(&lines)),
            shadow: Some(ShadowFacts {
                finish: self.left_for_later(shadow, made),
                ..shadow.clone()
            }),
            own_identity: None,
            reverse,
            ..self.facts.clone()
        };
        self.save_facts(session, &facts).await
    }

    /// Moves both tables, and creates the dependents on the one that has the name now. Returns
    /// these.
    async fn change_places(
        &self,
        session: &Session,
        shadow: &ShadowFacts,
        dependents: &[Dependent],
        held: &[Attribute],
    ) -> Result<Vec<Dependent>> {
        let attempted = || format!("swap {} with its shadow", self.names.display);
        let arranged = self.arrange(dependents, shadow)?;
        let materialized =
            replacement_views::definitions(session, &self.views, &self.adapted).await?;
        let columns: Vec<String> = held.iter().map(|column| column.name.clone()).collect();
        let renames = dependents::renames(&self.names.source(), &shadow.survivors, &columns);
        let (before, after) = self.sequences(session, shadow).await?;
        let (views_before, views_after) =
            replacement_views::swap(session, &self.names, &self.views).await?;
        let mut script = self.cascade.statements();
        let is_there = |dependent: &&Dependent| !self.cascade.drops(&dependent.object);
        let dropped = dependents.iter().filter(is_there);
        script.extend(dropped.filter_map(|dependent| dependent.before.clone()));
        if self.is_reversible {
            script.extend(dependents.iter().filter_map(|dependent| dependent.strip.clone()));
        }
        script.extend(before);
        script.extend(self.moves(session, shadow).await?);
        script.extend(self.identities.iter().cloned());
        script.extend(views_before);
        if !self.names.is_turned {
            script.extend(renames.0.iter().cloned());
        }
        session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
        dependents::make(session, &self.names, &arranged.first).await?;
        dependents::check(session, &self.names, shadow.oid, &arranged.first).await?;
        let new_views = materialized_views::list(session, shadow.oid).await?;
        if replacement_views::definitions(session, &new_views, &Adapted::default()).await?
            != materialized
        {
            return Err(Error::refused(attempted(), "a materialized view is not what it was"));
        }
        let mut script = views_after;
        if self.names.is_turned {
            self.create_new(session, shadow, &arranged.then, &renames).await?;
        } else {
            script.extend(renames.1);
        }
        script.extend(after);
        session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
        Ok(arranged.first.into_iter().chain(arranged.then).collect())
    }

    /// Decides how each dependent of the source is created on the shadow.
    fn arrange(&self, dependents: &[Dependent], shadow: &ShadowFacts) -> Result<Arranged> {
        let attempted = || format!("swap {} with its shadow", self.names.display);
        if let Some(originals) = &shadow.originals {
            let (first, then) = reversible::sort(originals, dependents);
            let kept = dependents::wanted(
                &then,
                &shadow.survivors,
                &shadow.final_steps,
                ForeignKeys::Carry,
            );
            if let Some(lost) = then.iter().find(|dependent| !kept.contains(dependent)) {
                let reason = format!(
                    "the {} was made after the swap, and the old table cannot have it; drop it \
                     first",
                    lost.object
                );
                return Err(Error::refused(attempted(), reason));
            }
            return Ok(Arranged { first, then });
        }
        let Some(made) = self.adapted.of(dependents) else {
            return Err(Error::new(Kind::Busy, attempted(), "a dependent object has just changed"));
        };
        let wanted =
            dependents::wanted(&made, &shadow.survivors, &shadow.final_steps, self.foreign_keys);
        Ok(Arranged { first: wanted, then: Vec::new() })
    }

    /// On the way back, creates what others have hung on the altered table since the first swap.
    /// It is spelled with that table's columns.
    async fn create_new(
        &self,
        session: &Session,
        shadow: &ShadowFacts,
        new: &[Dependent],
        (there, back): &(Vec<String>, Vec<String>),
    ) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let attempted = || format!("swap {} with its shadow", self.names.display);
        session.run(&there.join(";\n")).await.trying_clauses(attempted)?;
        dependents::make(session, &self.names, new).await.map_err(made_after_the_swap)?;
        let views = materialized_views::list(session, shadow.oid).await?;
        let found = dependents::read(session, &self.names, shadow.oid, &views).await?;
        let is_missing = |new: &&Dependent| {
            !found.iter().any(|it| it.object == new.object && it.after == new.after)
        };
        if let Some(missing) = new.iter().find(is_missing) {
            let reason = format!(
                "the {} was made after the swap, and would not be the same on the old table; drop \
                 it first",
                missing.object
            );
            return Err(Error::refused(attempted(), reason));
        }
        session.run(&back.join(";\n")).await.trying_clauses(attempted)
    }

    /// Gives both tables the source's own replica identity, if the run had set another one. On the
    /// way back only the altered table had another.
    async fn restore_identity(&self, session: &Session) -> Result<()> {
        let Some(own) = &self.facts.own_identity else { return Ok(()) };
        let mut tables = vec![self.names.old()];
        if !self.names.is_turned {
            tables.push(self.names.source());
        }
        let statements = tables.iter().map(|table| sql::own_identity(table, own));
        let script = statements.collect::<Vec<_>>().join(";\n");
        let attempted = || format!("swap {} with its shadow", self.names.display);
        session.run(&script).await.trying_clauses(attempted)
    }

    /// Returns the statements for after the swap, which check the rows that were copied.
    fn left_for_later(&self, shadow: &ShadowFacts, made: Vec<Dependent>) -> Vec<String> {
        let proofs = made.into_iter().filter_map(|dependent| dependent.finish);
        let proofs = proofs.filter_map(|proof| {
            let other = shadow.final_steps.other_proofs.iter().find(|(known, _)| *known == proof);
            other.map_or(Some(proof), |(_, other)| other.clone())
        });
        // Only there is a bound to prove if the old table was a partition.
        let bound = self.is_reversible.then(|| sql::validate_bound(&self.names.old()));
        proofs.chain(self.views.iter().filter_map(MaterializedView::refresh)).chain(bound).collect()
    }

    pub(crate) async fn check_source(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let refused = |reason: String| {
            Error::refused(format!("swap {} with its shadow", self.names.display), reason)
        };
        let source = catalogue::table_id(session, &self.names.schema, &self.names.table).await?;
        let own =
            catalogue::table_id(session, &self.names.shadow_schema, &self.names.table).await?;
        if source != Some(self.facts.source) || own != Some(shadow.oid) {
            return Err(refused(
                "the source or the shadow is not the table it was when the run began".to_owned(),
            ));
        }
        let now = definition::describe(session, self.facts.source).await?;
        let changed = definition::differences(&self.facts.source_lines, &now);
        if !concurrent_ddl::unfollowable(&self.facts.source_lines, &now).is_empty() {
            return Err(refused(format!(
                "it was changed by another session: {}",
                changed.join(", ")
            )));
        }
        if !changed.is_empty() {
            let attempted = format!("swap {} with its shadow", self.names.display);
            return Err(Error::new(
                Kind::Busy,
                attempted,
                "what the shadow must follow has just changed",
            ));
        }
        self.check_relations(session, shadow).await
    }

    /// Checks that what is connected with the source is what the swap was prepared for.
    async fn check_relations(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let attempted = || format!("swap {} with its shadow", self.names.display);
        let cascade = self.cascade.again(session, self.facts.source).await?;
        let views = cascade.without(materialized_views::list(session, self.facts.source).await?);
        if !blockers::temporary(session, self.facts.source).await?.is_empty()
            || cascade != self.cascade
            || views != self.views
            || !replacement_views::are_ready(session, &views, shadow.oid).await?
            || locked_relations::list(
                session,
                &self.names.display,
                self.facts.source,
                &views,
                &cascade.relations(),
            )
            .await?
                != self.locked_relations
        {
            return Err(Error::new(Kind::Busy, attempted(), "a dependent object has just changed"));
        }
        let mut new =
            refusals::find(session, &self.names, self.facts.source, &views, self.foreign_keys)
                .await?;
        new.retain(|obstacle| !shadow.final_steps.drops(&obstacle.object));
        if !new.is_empty() {
            let names: Vec<String> = new.into_iter().map(|obstacle| obstacle.object).collect();
            let reason = format!("new objects depend on it: {}", names.join(", "));
            return Err(Error::refused(attempted(), reason));
        }
        Ok(())
    }

    /// Checks that the shadow is, object by object, what the clauses made of the clone.
    pub(crate) async fn check_shadow(&self, session: &Session, shadow: &ShadowFacts) -> Result<()> {
        let now = definition::describe(session, shadow.oid).await?;
        let differing = definition::differences(&shadow.lines, &now);
        if differing.is_empty() {
            return Ok(());
        }
        let reason = format!("the shadow is not what it should be: {}", differing.join(", "));
        Err(Error::refused(format!("swap {} with its shadow", self.names.display), reason))
    }

    /// Renames columns, and runs the clauses about objects that the swap has just created.
    pub(crate) async fn run_final_steps(
        &self,
        session: &Session,
        shadow: &ShadowFacts,
    ) -> Result<()> {
        let attempted = || format!("swap {} with its shadow", self.names.display);
        let final_steps = &shadow.final_steps;
        if let Some(wanted) = &final_steps.structure {
            session.run(&final_steps.renames.join(";\n")).await.trying_clauses(attempted)?;
            let now = definition::structure(&definition::describe(session, shadow.oid).await?);
            if now != *wanted {
                return Err(Error::refused(
                    attempted(),
                    "after the rename of columns, the table is not what it should be",
                ));
            }
        }
        if final_steps.clauses.is_empty() {
            return Ok(());
        }
        let path = sql::use_search_path(&final_steps.search_path);
        let script =
            format!("{path};\n{};\n{}", final_steps.clauses.join(";\n"), sql::use_own_language());
        session.run(&script).await.trying_clauses(attempted)
    }

    pub(crate) async fn make_room(&self, session: &Session) -> Result<()> {
        let attempted = format!("make room for the old table of {}", self.names.display);
        own_objects::keep_schemas(session, &attempted).await?;
        own_objects::require_schema(session, &self.names.old_schema, &attempted).await?;
        match catalogue::schema_state(session, &self.names.old_schema).await? {
            SchemaState::Missing => {
                definition::make_schema(session, &self.names.old_schema, self.facts.source).await
            }
            SchemaState::Ours => {
                definition::open_to_owner(session, &self.names.old_schema, self.facts.source).await
            }
            SchemaState::Foreign => Err(Error::refused(
                attempted,
                format!("the schema {} was created by another user", self.names.old_schema),
            )),
        }
    }

    pub(crate) async fn save_facts(&self, session: &Session, facts: &Facts) -> Result<()> {
        let attempted = || format!("write the journal of {}", self.names.display);
        let text = journal::written(&self.names, facts);
        let failed = |error: tokio_postgres::Error| own_objects::journal_error(attempted(), &error);
        // The rehearsal has planned these queries.
        session.run(sql::LOCK_JOURNAL).await.map_err(failed)?;
        own_objects::require(session, &attempted()).await?;
        session.run(&sql::save_facts(&self.names.display, &text)).await.map_err(failed)
    }
}

/// The server's refusal to create an object on the old table, with the remedy.
fn made_after_the_swap(error: Error) -> Error {
    match error.kind {
        Kind::Refused | Kind::Fatal => {
            let reason = format!("{}. It was made after the swap: drop it first", error.reason);
            Error { reason, ..error }
        }
        _ => error,
    }
}
