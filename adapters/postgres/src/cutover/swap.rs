//! The swap: one transaction that puts the shadow in the source's place and creates the dependents.

use crate::cutover::blockers;
use crate::cutover::dependents::{self, Dependent};
use crate::cutover::locked_relations::{self, LockedRelation};
use crate::cutover::materialized_views::{self, MaterializedView};
use crate::cutover::replacement_views;
use crate::facts::{Facts, ShadowFacts};
use crate::plan::cascade::Cascade;
use crate::plan::refusals;
use crate::plan::rehearsal::Adapted;
use crate::schema::catalogue::{self, SchemaState};
use crate::schema::definition;
use crate::schema::user_definition;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::session::Session;
use crate::server::version::Version;
use crate::shadow::concurrent_ddl;
use crate::shadow::guard;
use crate::sql;
use crate::sql::quote::qualified;
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
        script.push(sql::drop_publication(&self.names.publication));
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
        let Some(made) = self.adapted.of(&dependents) else {
            return Err(Error::new(Kind::Busy, attempted(), "a dependent object has just changed"));
        };
        let materialized =
            replacement_views::definitions(session, &self.views, &self.adapted).await?;
        let wanted =
            dependents::wanted(&made, &shadow.survivors, &shadow.final_steps, self.foreign_keys);
        let columns = definition::column_names(session, shadow.oid).await?;
        let (old_names, new_names) =
            dependents::renames(&self.names.source(), &shadow.survivors, &columns);
        let (before, after) = self.sequences(session, shadow).await?;
        let (views_before, views_after) =
            replacement_views::swap(session, &self.names, &self.views).await?;
        let mut script = self.cascade.statements();
        let is_there = |dependent: &&Dependent| !self.cascade.drops(&dependent.object);
        let dropped = dependents.iter().filter(is_there);
        script.extend(dropped.filter_map(|dependent| dependent.before.clone()));
        script.extend(before);
        script.extend(self.moves(session, shadow).await?);
        script.extend(self.identities.iter().cloned());
        script.extend(views_before);
        script.extend(old_names);
        session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
        dependents::make(session, &self.names, &wanted).await?;
        dependents::check(session, &self.names, shadow.oid, &wanted).await?;
        let new_views = materialized_views::list(session, shadow.oid).await?;
        if replacement_views::definitions(session, &new_views, &Adapted::default()).await?
            != materialized
        {
            return Err(Error::refused(attempted(), "a materialized view is not what it was"));
        }
        let script: Vec<String> = views_after.into_iter().chain(new_names).chain(after).collect();
        session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
        self.run_final_steps(session, shadow).await?;
        self.restore_identity(session).await?;
        let lines = definition::describe(session, shadow.oid).await?;
        let facts = Facts {
            done: Some(definition::structure(&lines)),
            shadow: Some(ShadowFacts {
                finish: self.left_for_later(shadow, wanted),
                ..shadow.clone()
            }),
            own_identity: None,
            ..self.facts.clone()
        };
        self.save_facts(session, &facts).await
    }

    /// Gives both tables the source's own replica identity, if the run had set another one.
    async fn restore_identity(&self, session: &Session) -> Result<()> {
        let Some(own) = &self.facts.own_identity else { return Ok(()) };
        let tables = [self.names.source(), self.names.old()];
        let script = tables.map(|table| sql::own_identity(&table, own)).join(";\n");
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
        proofs.chain(self.views.iter().filter_map(MaterializedView::refresh)).collect()
    }

    /// Returns the statements that move the tables, and the statistics, which do not move with
    /// them.
    pub(crate) async fn moves(
        &self,
        session: &Session,
        shadow: &ShadowFacts,
    ) -> Result<Vec<String>> {
        let names = &self.names;
        let of_source = statistics(session, self.facts.source).await?;
        let of_shadow = statistics(session, shadow.oid).await?;
        let moved = |schema: &str, name: &str, to: &str| sql::move_statistics(schema, name, to);
        let mut moves: Vec<String> =
            of_source.iter().map(|(name, schema)| moved(schema, name, &names.old_schema)).collect();
        moves.push(sql::move_table(&names.source(), &names.old_schema));
        moves.push(sql::move_table(&names.shadow(), &names.schema));
        if shadow.layout.is_partitioned {
            let partitions = user_definition::partitions(session, shadow.oid).await?;
            moves.extend(
                partitions
                    .iter()
                    .map(|(name, schema)| sql::move_table(&qualified(schema, name), &names.schema)),
            );
        }
        moves.extend(of_shadow.iter().map(|(name, schema)| {
            let home = of_source
                .iter()
                .find(|(was, _)| was == name)
                .map_or(&names.schema, |(_, home)| home);
            moved(schema, name, home)
        }));
        Ok(moves)
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

    /// Returns statements on sequences for before and after the move. A sequence of a source column
    /// goes to the shadow's column, unless that has its own.
    pub(crate) async fn sequences(
        &self,
        session: &Session,
        shadow: &ShadowFacts,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let of_source = sequences(session, self.facts.source).await?;
        let of_shadow = sequences(session, shadow.oid).await?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let has_identity = |column: &str| {
            of_source.iter().any(|(name, _, is_identity)| name == column && *is_identity)
        };
        for (column, sequence, is_identity) in &of_source {
            let Some(heir) = shadow.layout.columns.iter().find(|heir| heir.source == *column)
            else {
                continue;
            };
            // After a serial column became an identity, its sequence stays with the column and is
            // not used.
            let is_left_over = !is_identity && has_identity(column);
            // The shadow's own sequence continues from the old one.
            let own = of_shadow.iter().find(|(name, ..)| *name == heir.name && !is_left_over);
            let stays_beside = shadow.final_steps.kept_serials.contains(column) && !is_identity;
            match own {
                Some((_, own, _)) if stays_beside => {
                    before.push(sql::advance_sequence(own, sequence));
                }
                Some((_, own, _)) => before.push(sql::continue_sequence(own, sequence)),
                None => {}
            }
            if !is_identity && (own.is_none() || stays_beside) {
                before.push(sql::detach_sequence(sequence));
                after.push(sql::attach_sequence(sequence, &self.names.source(), &heir.name));
                if shadow.is_unlogged && self.version.has_unlogged_sequences() {
                    after.push(sql::set_sequence_unlogged(sequence));
                }
            }
        }
        Ok((before, after))
    }

    pub(crate) async fn save_facts(&self, session: &Session, facts: &Facts) -> Result<()> {
        let attempted = || format!("write the journal of {}", self.names.display);
        let text = serde_json::to_string(facts)
            .map_err(|error| Error::fatal(attempted(), error.to_string()))?;
        let failed = |error: tokio_postgres::Error| own_objects::journal_error(attempted(), &error);
        // The rehearsal has planned these queries.
        session.run(sql::LOCK_JOURNAL).await.map_err(failed)?;
        own_objects::require(session, &attempted()).await?;
        session.run(&sql::save_facts(&self.names.display, &text)).await.map_err(failed)
    }
}

/// Returns the sequences of a table's columns: column, sequence, and whether it is an identity's.
async fn sequences(session: &Session, table: u32) -> Result<Vec<(String, String, bool)>> {
    let rows = session.query(sql::SEQUENCES, &[&table]).await;
    let rows = rows.doing("read the sequences")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Returns the extended statistics of a table: name and schema.
async fn statistics(session: &Session, table: u32) -> Result<Vec<(String, String)>> {
    let rows = session.query(sql::STATISTICS, &[&table]).await;
    let rows = rows.doing("read the extended statistics")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
